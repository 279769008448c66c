//! Promises over days and months: state, budget and how fast it goes.

use plimsoll_sla::Sla;

use super::board::{Board, Limit, Link, Look, Panel, Row, Source, Variable, panel, query, row};
use super::overview::{VERDICTS, breaches};
use super::promql::{Chosen, level, literal, quoted};
use crate::catalogue::{self, Metric};

/// As the code of a state, see [`state`].
const STATES: &[(&str, &str, &str)] = &[
    ("0", "undecided", "#8e8e8e"),
    ("1", "ok", "green"),
    ("2", "warning", "orange"),
    ("3", "breaching", "red"),
    ("4", "exhausted", "dark-purple"),
];
/// Shares of a budget.
const LEFT: Look = Look::Now(&[(f64::NEG_INFINITY, "red"), (0.1, "orange"), (0.25, "green")]);

pub(super) fn board() -> Board {
    let chosen = Chosen { matchers: "sla=~\"$sla\"", and: "" };
    Board {
        uid: "plimsoll-slas".to_owned(),
        title: "Plimsoll: SLAs and budgets".to_owned(),
        description: "What was promised, what is kept of it, and how fast the error budgets go.",
        source: Source::Prometheus,
        variables: vec![Variable {
            name: "sla",
            label: "SLA",
            query: format!("label_values({}, sla)", catalogue::SLA_TARGET.name),
        }],
        annotations: vec![breaches()],
        rows: vec![of_all(chosen), of_budgets(chosen), of_events(chosen)],
        refresh: "10s",
        from: "now-6h",
    }
}

/// Of what is promised of a service: all of it, and a row each.
pub(super) fn of(service: &str, slas: &[&Sla]) -> Board {
    let names: Vec<String> = slas.iter().map(|sla| regex(sla)).collect();
    let mut rows = vec![together(service, &format!("sla=~{}", quoted(&names.join("|"))))];
    rows.extend(slas.iter().map(|sla| Row { collapsed: slas.len() > FEW, ..one(sla) }));
    Board {
        uid: uid(service),
        title: format!("SLAs: {service}"),
        description: "What is promised of a service, rendered from the files that promise it by plimsoll sla dashboards.",
        source: Source::Prometheus,
        variables: Vec::new(),
        annotations: vec![breaches()],
        rows,
        refresh: "10s",
        from: "now-6h",
    }
}

/// Rows of more promises than these are opened when they are asked for.
const FEW: usize = 3;

/// Grafana allows 40 characters of few kinds. A name that has others, or is longer, is told apart by its hash (FNV-1a).
fn uid(service: &str) -> String {
    let plain: String = service
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' })
        .collect();
    if plain == service && plain.len() <= 35 {
        return format!("slas-{plain}");
    }
    let hash = service
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("slas-{}-{hash:08x}", plain.get(..26).unwrap_or(&plain))
}

/// The names of an SLA in metrics: with a label it is promised for each value of, the value follows.
fn regex(sla: &Sla) -> String {
    let name = literal(&sla.slo.name);
    if sla.each.is_some() { format!("{name}/.*") } else { name }
}

/// The state as a number: 0 for undecided, then ok, warning, breaching, exhausted.
fn state(matchers: &str) -> String {
    let name = catalogue::SLA_STATE.name;
    let code = |state: &str, code: u32| format!("{name}{{{matchers}, state=\"{state}\"}} * {code}");
    let codes = [code("ok", 1), code("warning", 2), code("breaching", 3), code("exhausted", 4)];
    // One state holds and the others are 0, so the largest is the one that holds.
    format!("max by (plan, sla) ({})", codes.join(" or "))
}

fn of_all(chosen: Chosen) -> Row {
    row(
        "How they stand",
        vec![
            panel("State now", "How each SLA stands.", "none", vec![query("{{sla}}", state(chosen.matchers))])
                .look(Look::Words(STATES))
                .link(PAGE),
            panel(
                "Budget left now",
                "Unspent share of each period's error budget; below zero more was spent than there was.",
                "percentunit",
                vec![query("{{sla}}", level(&catalogue::ERROR_BUDGET_REMAINING, chosen))],
            )
            .look(LEFT)
            .link(PAGE),
            panel("State", "How each SLA stood over time.", "none", vec![query("{{sla}}", state(chosen.matchers))])
                .look(Look::States(STATES))
                .link(PAGE),
            panel(
                "Objectives of runs",
                "Whether each objective is met: of runs over their own windows, of SLAs over the last seconds; empty while undecided.",
                "none",
                vec![query("{{plan}} {{sla}}", level(&catalogue::SLA_MET, chosen))],
            )
            .look(Look::States(VERDICTS)),
        ],
    )
}

fn of_budgets(chosen: Chosen) -> Row {
    let compliance = level(&catalogue::SLA_COMPLIANCE, chosen);
    row(
        "Budgets",
        vec![
            panel(
                "Budget left",
                "Unspent share of each period's error budget.",
                "percentunit",
                vec![query("{{sla}}", level(&catalogue::ERROR_BUDGET_REMAINING, chosen))],
            )
            .look(Look::Limits(vec![
                Limit { value: 0.0, color: "red" },
                Limit { value: 1.0, color: "green" },
            ]))
            .link(PAGE),
            panel(
                "Burn rates",
                "Bad events in multiples of what the SLA allows, by window: 1 spends exactly the budget.",
                "none",
                vec![query("{{sla}} {{window}}", level(&catalogue::BURN_RATE, chosen))],
            )
            .look(Look::Limits(vec![Limit { value: 1.0, color: "orange" }]))
            .link(PAGE),
            panel(
                "Compliance and target",
                "Share of good events, over the period and each window, and what was promised.",
                "percentunit",
                vec![
                    query("{{sla}} {{window}}", compliance),
                    query("{{sla}} target", level(&catalogue::SLA_TARGET, chosen)),
                ],
            )
            .decimals(3)
            .look(Look::Signed),
            panel(
                "Detection delay",
                "From the first bad second of the latest breach to when it was found.",
                "s",
                vec![query("{{sla}}", level(&catalogue::SLA_DETECTION_DELAY, chosen))],
            ),
        ],
    )
}

fn of_events(chosen: Chosen) -> Row {
    row(
        "Events",
        vec![
            panel(
                "Good events",
                "Good events per second.",
                "none",
                vec![query("{{sla}}", grown("sla", &catalogue::SLA_GOOD_EVENTS, chosen.matchers))],
            ),
            panel(
                "Bad events",
                "Events per second that were not good.",
                "none",
                vec![query("{{sla}}", bad("sla", chosen.matchers))],
            )
            .look(Look::Stacked),
            panel(
                "Observed",
                "The figure each objective looks at, in base units.",
                "none",
                vec![query("{{plan}} {{sla}}", level(&catalogue::SLA_OBSERVED, chosen))],
            )
            .width(24),
        ],
    )
}

/// All events less the good ones, which are counted at the same time.
fn bad(by: &str, matchers: &str) -> String {
    let (good, all) = (&catalogue::SLA_GOOD_EVENTS, &catalogue::SLA_EVENTS);
    format!("{} - {}", grown(by, all, matchers), grown(by, good, matchers))
}

fn grown(by: &str, metric: &Metric, matchers: &str) -> String {
    format!("sum by ({by}) (rate({}{{{matchers}}}[$__rate_interval]))", metric.name)
}

/// The page of the service that shows SLAs.
const PAGE: Link = Link::Page("Page of SLAs", "/sla");

/// All promises of a service beside each other.
fn together(service: &str, matchers: &str) -> Row {
    let left = || vec![query("{{sla}}", format!("{}{{{matchers}}}", catalogue::ERROR_BUDGET_REMAINING.name))];
    row(
        &format!("All of {service}"),
        vec![
            panel("State now", "How each SLA stands.", "none", vec![query("{{sla}}", state(matchers))])
                .look(Look::Words(STATES))
                .link(PAGE),
            panel("Budget left now", "Unspent share of each period's error budget.", "percentunit", left())
                .look(LEFT)
                .link(PAGE),
            panel("State", "How each SLA stood over time.", "none", vec![query("{{sla}}", state(matchers))])
                .look(Look::States(STATES))
                .link(PAGE),
            panel(
                "Budget left",
                "Unspent share of each period's error budget over time.",
                "percentunit",
                left(),
            )
            .look(Look::Limits(vec![SPENT]))
            .link(PAGE),
        ],
    )
}

/// Where a budget is spent.
const SPENT: Limit = Limit { value: 0.0, color: "red" };

fn one(sla: &Sla) -> Row {
    let slo = &sla.slo;
    let (matchers, each) = match sla.each {
        Some(_) => (format!("sla=~{}", quoted(&regex(sla))), "{{sla}} "),
        None => (format!("sla={}", quoted(&slo.name)), ""),
    };
    let level = |metric: &Metric| format!("{}{{{matchers}}}", metric.name);
    let named = |what: &str| format!("{what}: {}", slo.name);
    let promise = format!("{} of events are good over {}", slo.target, slo.period);
    let attained = format!("{}{{{matchers}, window=\"period\"}}", catalogue::SLA_COMPLIANCE.name);
    let delay = || query(each.trim_end(), level(&catalogue::SLA_DETECTION_DELAY));
    let legend = |what: &str| format!("{each}{what}");
    let panels: Vec<Panel> = vec![
        panel(
            &named("State now"),
            &format!("How it stands; promised: {promise}."),
            "none",
            vec![query(each.trim_end(), state(&matchers))],
        )
        .look(Look::Words(STATES))
        .width(6),
        panel(
            &named("Budget left now"),
            "Unspent share of the period's error budget; below zero more was spent than there was.",
            "percentunit",
            vec![query(each.trim_end(), level(&catalogue::ERROR_BUDGET_REMAINING))],
        )
        .look(LEFT)
        .width(6),
        panel(
            &named("Attained"),
            &format!("Share of good events over the period; promised: {promise}."),
            "percentunit",
            vec![query(each.trim_end(), attained)],
        )
        .decimals(3)
        .look(Look::Now(&[]))
        .width(6),
        panel(
            &named("Detection delay"),
            "From the first bad second of the latest breach to when it was found.",
            "s",
            vec![delay()],
        )
        .look(Look::Now(&[]))
        .width(6),
        panel(&named("State"), "How it stood over time.", "none", vec![query("{{sla}}", state(&matchers))])
            .look(Look::States(STATES)),
        panel(
            &named("Budget left"),
            "Unspent share of the period's error budget; the dashed line is where it is spent.",
            "percentunit",
            vec![query(legend("left"), level(&catalogue::ERROR_BUDGET_REMAINING))],
        )
        .look(Look::Limits(vec![SPENT])),
        panel(
            &named("Burn rates"),
            "Bad events in multiples of what is allowed, by window; dashed: where somebody is told.",
            "none",
            vec![query(legend("{{window}}"), level(&catalogue::BURN_RATE))],
        )
        .look(Look::Limits(factors(sla)))
        .width(8),
        panel(
            &named("Compliance"),
            "Share of good events by window; the dashed line is what was promised.",
            "percentunit",
            vec![query(legend("{{window}}"), level(&catalogue::SLA_COMPLIANCE))],
        )
        .decimals(3)
        .look(Look::Limits(vec![Limit { value: slo.target.share().to_f64(), color: "green" }]))
        .width(8),
        panel(
            &named("Events"),
            "Good and bad events per second.",
            "none",
            vec![
                query(legend("good"), grown("sla", &catalogue::SLA_GOOD_EVENTS, &matchers)),
                query(legend("bad"), bad("sla", &matchers)),
            ],
        )
        .width(8),
    ];
    // With a label it is promised for each value of there is a page for each, so that of all leads to them.
    let page = || if sla.each.is_some() { PAGE } else { Link::Sla(slo.name.clone()) };
    let panels = panels.into_iter().map(|panel| panel.link(page())).collect();
    row(&format!("{}: {}", slo.name, sla.title), panels)
}

/// The burn rates at which somebody is told, each once.
fn factors(sla: &Sla) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for alert in &sla.alerts {
        let color = if alert.severity == "page" { "red" } else { "orange" };
        limits.push(Limit { value: alert.rule.factor.to_f64(), color });
    }
    limits.sort_by(|one, other| one.value.total_cmp(&other.value));
    limits.dedup_by(|one, other| one.value == other.value);
    limits
}
