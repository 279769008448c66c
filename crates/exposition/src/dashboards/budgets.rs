//! Promises over days and months: state, budget and how fast it goes.

use plimsoll_sla::Sla;

use super::board::{Board, Limit, Link, Look, Panel, Row, Source, Variable, panel, query, row};
use super::overview::{VERDICTS, breaches};
use super::promql::{Chosen, level, quoted, rate};
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
        uid: "plimsoll-slas",
        title: "Plimsoll: SLAs and budgets",
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

/// Of some promises: a row each.
pub(super) fn of(slas: &[Sla]) -> Board {
    Board {
        uid: "plimsoll-slas-of-files",
        title: "SLAs",
        description: "Rendered by `plimsoll sla dashboards`.",
        source: Source::Prometheus,
        variables: Vec::new(),
        annotations: vec![breaches()],
        rows: slas.iter().map(one).collect(),
        refresh: "10s",
        from: "now-6h",
    }
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
                vec![query("{{sla}}", rate("sla", &catalogue::SLA_GOOD_EVENTS, chosen))],
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

/// All events less the good ones. Both are counted together, so a good one without its event cannot be.
fn bad(by: &str, matchers: &str) -> String {
    let growth =
        |metric: &Metric| format!("sum by ({by}) (rate({}{{{matchers}}}[$__rate_interval]))", metric.name);
    format!("{} - {}", growth(&catalogue::SLA_EVENTS), growth(&catalogue::SLA_GOOD_EVENTS))
}

/// The page of the service that shows SLAs.
const PAGE: Link = Link::Page("Page of SLAs", "/sla");

fn one(sla: &Sla) -> Row {
    let slo = &sla.slo;
    let matchers = format!("sla={}", quoted(&slo.name));
    let level = |metric: &Metric| format!("{}{{{matchers}}}", metric.name);
    let named = |what: &str| format!("{what}: {}", slo.name);
    let promise = format!("{} of events are good over {}", slo.target, slo.period);
    let panels: Vec<Panel> = vec![
        panel(
            &named("State now"),
            &format!("How it stands; promised: {promise}."),
            "none",
            vec![query("", state(&matchers))],
        )
        .look(Look::Words(STATES))
        .width(6),
        panel(
            &named("Budget left now"),
            "Unspent share of the period's error budget; below zero more was spent than there was.",
            "percentunit",
            vec![query("", level(&catalogue::ERROR_BUDGET_REMAINING))],
        )
        .look(LEFT)
        .width(6),
        panel(
            &named("Kept"),
            &format!("Share of good events over the period; promised: {promise}."),
            "percentunit",
            vec![query("", format!("{}{{{matchers}, window=\"period\"}}", catalogue::SLA_COMPLIANCE.name))],
        )
        .look(Look::Now(&[]))
        .width(6),
        panel(
            &named("Detection delay"),
            "From the first bad second of the latest breach to when it was found.",
            "s",
            vec![query("", level(&catalogue::SLA_DETECTION_DELAY))],
        )
        .look(Look::Now(&[]))
        .width(6),
        panel(&named("State"), "How it stood over time.", "none", vec![query("{{sla}}", state(&matchers))])
            .look(Look::States(STATES))
            .width(8),
        panel(
            &named("Budget left"),
            "Unspent share of the period's error budget; the dashed line is where it is spent.",
            "percentunit",
            vec![query("left", level(&catalogue::ERROR_BUDGET_REMAINING))],
        )
        .look(Look::Limits(vec![Limit { value: 0.0, color: "red" }]))
        .width(8),
        panel(
            &named("Burn rates"),
            "Bad events in multiples of what is allowed, by window; dashed: where somebody is told.",
            "none",
            vec![query("{{window}}", level(&catalogue::BURN_RATE))],
        )
        .look(Look::Limits(factors(sla)))
        .width(8),
        panel(
            &named("Compliance"),
            "Share of good events by window; the dashed line is what was promised.",
            "percentunit",
            vec![query("{{window}}", level(&catalogue::SLA_COMPLIANCE))],
        )
        .look(Look::Limits(vec![Limit { value: slo.target.share().to_f64(), color: "green" }]))
        .width(12),
        panel(
            &named("Events"),
            "Good and bad events per second.",
            "none",
            vec![
                query(
                    "good",
                    format!("sum(rate({}{{{matchers}}}[$__rate_interval]))", catalogue::SLA_GOOD_EVENTS.name),
                ),
                query("bad", bad("sla", &matchers)),
            ],
        )
        .width(12),
    ];
    let panels = panels.into_iter().map(|panel| panel.link(PAGE)).collect();
    Row { title: format!("{}: {}", sla.service, sla.title), panels }
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
