//! A run while it goes on, and what is left of it.

use serde_json::Value;

use super::board::{Board, Link, Look, Panel, Row, Source, Variable, annotation, panel, query, row};
use super::promql::{Chosen, ended, happened, lengths, level, quantile, quantiles, rate};
use crate::catalogue::{self, Metric};

/// While a run that was chosen lives.
const LIVE: &str = " and on (job, instance, plan) plimsoll_run_info{run=~\"$run\"}";
/// What a run has one of.
const RUN: Chosen = Chosen { matchers: "plan=~\"$plan\"", and: LIVE };
/// Requests.
const REQUESTS: Chosen = RUN.with("plan=~\"$plan\", scenario=~\"$scenario\", step=~\"$step\"");
const SUCCEEDED: Chosen =
    RUN.with("plan=~\"$plan\", scenario=~\"$scenario\", step=~\"$step\", outcome=~\"ok|redirect\"");
const FAILED: Chosen =
    RUN.with("plan=~\"$plan\", scenario=~\"$scenario\", step=~\"$step\", outcome!~\"ok|redirect|cut\"");
const NOT_SUCCEEDED: Chosen =
    RUN.with("plan=~\"$plan\", scenario=~\"$scenario\", step=~\"$step\", outcome!~\"ok|redirect\"");
/// Requests whose outcome is known.
const KNOWN: Chosen = RUN.with("plan=~\"$plan\", scenario=~\"$scenario\", step=~\"$step\", outcome!=\"cut\"");
/// What a run's latency figures cover.
const ANSWERED: Chosen =
    RUN.with("plan=~\"$plan\", scenario=~\"$scenario\", step=~\"$step\", outcome=~\"ok|timeout\"");
/// Answers of which a check did not hold.
const NOT_HELD: Chosen =
    RUN.with("plan=~\"$plan\", scenario=~\"$scenario\", step=~\"$step\", result=\"fail\"");
const SCENARIO: Chosen = RUN.with("plan=~\"$plan\", scenario=~\"$scenario\"");
/// What is told of a plan's last run.
const LAST: Chosen = Chosen { matchers: "plan=~\"$plan\"", and: "" };

/// 1 valid, 0.5 suspect, 0 invalid.
pub(super) const VALIDITY: &[(&str, &str, &str)] =
    &[("1", "valid", "green"), ("0.5", "suspect", "orange"), ("0", "invalid", "red")];
/// 1 met, 0 missed.
pub(super) const VERDICTS: &[(&str, &str, &str)] = &[("1", "met", "green"), ("0", "missed", "red")];

pub(super) fn board() -> Board {
    Board {
        uid: "plimsoll".to_owned(),
        title: "Plimsoll: run".to_owned(),
        description: "Load, latency, errors and objectives of runs while they go on.",
        source: Source::Prometheus,
        variables: variables(),
        annotations: annotations(),
        rows: vec![now(), load(), objectives(), connections(), target(), measures(), after()],
        refresh: "5s",
        from: "now-15m",
    }
}

fn variables() -> Vec<Variable> {
    let values = |metric: &Metric, chosen: &str, label: &str| {
        format!("label_values({}{{{chosen}}}, {label})", metric.name)
    };
    let (info, requests) = (&catalogue::RUN_INFO, &catalogue::REQUESTS);
    vec![
        Variable {
            name: "plan",
            label: "Plan",
            query: format!("label_values({}, plan)", catalogue::RUN_VALIDITY.name),
        },
        Variable { name: "run", label: "Run", query: values(info, "plan=~\"$plan\"", "run") },
        Variable {
            name: "scenario",
            label: "Scenario",
            query: values(requests, "plan=~\"$plan\"", "scenario"),
        },
        Variable {
            name: "step",
            label: "Step",
            query: values(requests, "plan=~\"$plan\", scenario=~\"$scenario\"", "step"),
        },
    ]
}

fn annotations() -> Vec<Value> {
    let info = level(&catalogue::RUN_INFO, Chosen { matchers: "plan=~\"$plan\", run=~\"$run\"", and: "" });
    let phases = format!(
        "sum by (plan, phase) (rate({}{{plan=~\"$plan\", phase!=\"measured\"}}[1m]){LIVE})",
        catalogue::REQUESTS.name
    );
    vec![
        annotation("Runs", "blue", &info, "{{plan}}", "{{run}} {{version}} {{environment}}"),
        annotation("Phases", "purple", &phases, "{{plan}}", "{{phase}}"),
        breaches(),
    ]
}

/// While an SLA is broken.
pub(super) fn breaches() -> Value {
    let expression = format!("max by (plan, sla) ({}{{state=\"breaching\"}})", catalogue::SLA_STATE.name);
    annotation("Breaches", "red", &expression, "{{sla}}", "breaching")
}

fn now() -> Row {
    let requests = &catalogue::REQUESTS;
    let all = rate("", requests, KNOWN);
    // Without a failure there is no series of failures; 0 only where requests ended.
    let failed = format!("({} or {all} * 0) / {all}", rate("", requests, FAILED));
    let panels = vec![
        panel(
            "Succeeded",
            "Requests that succeeded per second.",
            "reqps",
            vec![query("", rate("", requests, SUCCEEDED))],
        )
        .look(Look::Now(&[])),
        panel(
            "Failed share",
            "Share of requests that failed, of those whose outcome is known.",
            "percentunit",
            vec![query("", failed)],
        )
        .look(Look::Now(&[(0.0, "green"), (0.001, "orange"), (0.01, "red")])),
        panel(
            "p99 of response time",
            "99 of 100 requests took at most this long, from when they were due.",
            "s",
            vec![query("", quantile("0.99", "", &catalogue::RESPONSE_TIME, ANSWERED))],
        )
        .look(Look::Now(&[])),
        panel(
            "In flight now",
            "Requests in flight at the end of the last second.",
            "none",
            vec![query("", format!("sum({})", level(&catalogue::IN_FLIGHT_REQUESTS, RUN)))],
        )
        .look(Look::Now(&[])),
        panel(
            "Objectives missed",
            "How many objectives are missed now; undecided ones are not counted as either.",
            "none",
            vec![query("", format!("count({0}) - sum({0})", level(&catalogue::SLA_MET, RUN)))],
        )
        .look(Look::Now(&[(0.0, "green"), (1.0, "red")])),
        panel(
            "Generator",
            "Whether the figures can be trusted: the worst of the runs.",
            "none",
            vec![query("", format!("min({})", level(&catalogue::RUN_VALIDITY, RUN)))],
        )
        .look(Look::Words(VALIDITY))
        .link(Link::Board("Generator health", "plimsoll-generator")),
    ];
    row("Now", panels.into_iter().map(|panel| panel.width(4)).collect())
}

fn load() -> Row {
    let requests = &catalogue::REQUESTS;
    row(
        "Load and answers",
        vec![
            panel(
                "Offered and done",
                "What the plan asks for, and what came of it. Iterations of several steps send several requests.",
                "reqps",
                vec![
                    query("iterations offered", format!("sum({})", level(&catalogue::OFFERED_RATE, RUN))),
                    query("iterations ended", ended(&catalogue::ITERATION_TIME, SCENARIO)),
                    query("requests", rate("", requests, REQUESTS)),
                    query("requests succeeded", rate("", requests, SUCCEEDED)),
                ],
            )
            .link(Link::Run),
            panel(
                "Failed and cut requests",
                "Requests that did not succeed, by how they ended.",
                "reqps",
                vec![query("{{outcome}}", happened("outcome", requests, NOT_SUCCEEDED))],
            )
            .look(Look::Stacked)
            .link(Link::Run),
            panel(
                "Response times",
                "How many requests a second took how long, from when they were due: a second group or a long tail shows here first.",
                "s",
                vec![query("{{le}}", lengths(&catalogue::RESPONSE_TIME, ANSWERED))],
            )
            .look(Look::Heatmap)
            .link(Link::Run),
            panel(
                "Response time",
                "From when a request was due: what a user waits, the generator's queue included.",
                "s",
                quantiles(&catalogue::RESPONSE_TIME, ANSWERED),
            )
            .link(Link::Run),
            panel(
                "Service time",
                "From a request's first byte out: what the target took.",
                "s",
                quantiles(&catalogue::SERVICE_TIME, ANSWERED),
            ),
            panel(
                "Slowest steps",
                "99 of 100 requests of a step took at most this long, from when they were due.",
                "s",
                vec![query("{{scenario}}: {{step}}", quantile("0.99", "scenario, step", &catalogue::RESPONSE_TIME, ANSWERED))],
            ),
            panel(
                "In flight",
                "Requests, users and connections at the end of each second.",
                "none",
                vec![
                    query("requests", format!("sum({})", level(&catalogue::IN_FLIGHT_REQUESTS, RUN))),
                    query("virtual users", format!("sum({})", level(&catalogue::VIRTUAL_USERS, RUN))),
                    query("connections", format!("sum({})", level(&catalogue::CONNECTIONS, RUN))),
                ],
            ),
            panel(
                "Dropped arrivals",
                "Arrivals that were due and not offered, by whose fault it was.",
                "reqps",
                vec![query("{{cause}}", happened("cause", &catalogue::DROPPED_ARRIVALS, SCENARIO))],
            )
            .look(Look::Stacked),
            panel(
                "Iteration time",
                "From when an iteration was due to the end of its last step, pauses included.",
                "s",
                quantiles(&catalogue::ITERATION_TIME, SCENARIO),
            ),
            panel(
                "Time of groups",
                "From when the first step of a group was due to the end of its last, pauses included.",
                "s",
                vec![
                    query("{{group}} p50", quantile("0.5", "group", &catalogue::GROUP_TIME, SCENARIO)),
                    query("{{group}} p95", quantile("0.95", "group", &catalogue::GROUP_TIME, SCENARIO)),
                ],
            ),
            panel(
                "Bytes",
                "Bytes of requests that ended.",
                "Bps",
                vec![
                    query("received", rate("", &catalogue::RECEIVED_BYTES, REQUESTS)),
                    query("sent", rate("", &catalogue::SENT_BYTES, REQUESTS)),
                ],
            ),
        ],
    )
}

fn objectives() -> Row {
    row(
        "What was promised",
        vec![
            panel(
                "Objectives",
                "Whether each objective is met; empty while undecided.",
                "none",
                vec![query("{{sla}}", level(&catalogue::SLA_MET, RUN))],
            )
            .look(Look::States(VERDICTS))
            .link(Link::Run),
            panel(
                "Objectives: observed",
                "The figure each objective looks at, in base units.",
                "none",
                vec![query("{{sla}}", level(&catalogue::SLA_OBSERVED, RUN))],
            )
            .link(Link::Board("SLAs and budgets", "plimsoll-slas")),
        ],
    )
}

fn connections() -> Row {
    let p99 = |legend: &str, metric: &Metric, chosen| query(legend, quantile("0.99", "", metric, chosen));
    row(
        "Connections",
        vec![
            panel(
                "Connecting and waiting",
                "Where response time goes before the target has the request: no free connection, TCP, TLS.",
                "s",
                vec![
                    p99("wait p99", &catalogue::WAIT, REQUESTS),
                    p99("connect p99", &catalogue::CONNECT_TIME, REQUESTS),
                    p99("tls p99", &catalogue::TLS_TIME, REQUESTS),
                    p99("none idle p99", &catalogue::CONNECTION_WAIT, RUN),
                    p99("first byte p99", &catalogue::FIRST_BYTE_TIME, REQUESTS),
                ],
            ),
            panel(
                "Connections opened",
                "Opened by handshake, and attempts that opened none.",
                "cps",
                vec![
                    query("opened, tls {{tls}}", happened("tls", &catalogue::CONNECTIONS_OPENED, RUN)),
                    query("failed to open", happened("", &catalogue::CONNECTIONS_FAILED, RUN)),
                ],
            )
            .look(Look::Stacked),
            panel(
                "Connections closed",
                "Closed, by reason; a service that keeps connections closes few.",
                "cps",
                vec![query("{{reason}}", happened("reason", &catalogue::CONNECTIONS_CLOSED, RUN))],
            )
            .look(Look::Stacked)
            .width(8),
            panel(
                "Requests on each connection",
                "Requests that a connection had carried when it closed.",
                "none",
                vec![query(
                    "requests on each",
                    format!(
                        "{} / {}",
                        rate("", &catalogue::CONNECTION_REQUESTS, RUN),
                        rate("", &catalogue::CONNECTIONS_CLOSED, RUN)
                    ),
                )],
            )
            .width(8),
            panel(
                "Connections used again",
                "Share of requests that went over a connection which had carried one before.",
                "percentunit",
                vec![query("{{plan}}", level(&catalogue::CONNECTION_REUSE, RUN))],
            )
            .width(8),
        ],
    )
}

fn target() -> Row {
    /// How a figure of the target is called.
    const NAMED: &str = "{{source}} {{resource}}";
    let resource = |matchers| vec![query(NAMED, level(&catalogue::RESOURCE, RUN.with(matchers)))];
    let mut others = resource("plan=~\"$plan\", unit=~\"count|seconds|per_second|bytes_per_second\"");
    others.push(query(
        "{{source}} gaps",
        happened("source", &catalogue::RESOURCE_SCRAPES, RUN.with("plan=~\"$plan\", outcome=\"gap\"")),
    ));
    row(
        "Target",
        vec![
            panel(
                "Target: processors and shares",
                "Processors kept busy, and shares that the target tells of itself, as the plan's resources say.",
                "none",
                resource("plan=~\"$plan\", unit=~\"cores|ratio\""),
            )
            .width(8),
            panel(
                "Target: memory",
                "Bytes, as the plan's resources say.",
                "bytes",
                resource("plan=~\"$plan\", unit=\"bytes\""),
            )
            .width(8),
            panel(
                "Target: other figures",
                "Things, seconds and rates, as the plan's resources say; and scrapes that failed, per second.",
                "none",
                others,
            )
            .width(8),
        ],
    )
}

/// What plans take from replies, measure by measure.
fn measures() -> Row {
    let p95 = |metric: &Metric| vec![query("{{measure}} p95", quantile("0.95", "measure", metric, REQUESTS))];
    let amount = |metric: &Metric| query("{{measure}}", rate("measure", metric, REQUESTS));
    let good = rate("measure", &catalogue::MEASURE_GOOD, REQUESTS);
    let events = rate("measure", &catalogue::MEASURE_EVENTS, REQUESTS);
    let missed = rate("scenario, step, check", &catalogue::CHECKS, NOT_HELD);
    let checked = rate("scenario, step, check", &catalogue::CHECKS, REQUESTS);
    let panels = vec![
        panel(
            "Times from replies",
            "95 of 100 times that the plan takes from replies are at most this.",
            "s",
            p95(&catalogue::MEASURE_SECONDS),
        ),
        panel(
            "Sizes from replies",
            "95 of 100 sizes that the plan takes from replies are at most this.",
            "bytes",
            p95(&catalogue::MEASURE_BYTES),
        ),
        panel(
            "Numbers from replies",
            "95 of 100 numbers that the plan takes from replies are at most this.",
            "none",
            p95(&catalogue::MEASURE_VALUE),
        ),
        panel(
            "Amounts from replies",
            "What the plan's counters add up per second: whole numbers and bytes.",
            "none",
            vec![amount(&catalogue::MEASURE_AMOUNT), amount(&catalogue::MEASURE_AMOUNT_BYTES)],
        ),
        panel(
            "Ratios from replies",
            "Of the replies with a value, the share of those that the plan looks for.",
            "percentunit",
            vec![query("{{measure}}", format!("{good} / {events}"))],
        ),
        panel(
            "Replies without a value",
            "Replies in which a value of the plan's was absent or too large to be counted.",
            "reqps",
            vec![query(
                "{{measure}} {{cause}}",
                happened("measure, cause", &catalogue::MEASURE_MISSING, REQUESTS),
            )],
        )
        .look(Look::Stacked),
    ];
    let checks = panel(
        "Checks that failed",
        "Of the answers that a check looked at, the share of which it did not hold.",
        "percentunit",
        vec![query("{{scenario}}: {{step}}: {{check}}", format!("{missed} / {checked}"))],
    );
    let panels = panels.into_iter().map(|panel| panel.width(8)).chain([checks.width(24)]);
    row("What the plan takes from replies", panels.collect())
}

fn after() -> Row {
    let runs = format!(
        "group by (plan, run, version, environment) (max_over_time({}{{plan=~\"$plan\", run=~\"$run\"}}[$__range]))",
        catalogue::RUN_INFO.name
    );
    let last = |title: &str, description: &str, unit, legend: &str, metric: &Metric, look: Look| -> Panel {
        panel(title, description, unit, vec![query(legend, level(metric, LAST))]).look(look).width(6)
    };
    row(
        "After the run",
        vec![
            panel(
                "Runs",
                "Runs that lived in the time shown; a run's id leads to its page.",
                "none",
                vec![query("", runs)],
            )
            .look(Look::Table(&["run", "plan", "version", "environment"], None))
            .width(24),
            last(
                "Last run: requests",
                "Requests of each plan's last run, measured phase and grace; for a while after its end.",
                "none",
                "{{plan}}",
                &catalogue::LAST_RUN_REQUESTS,
                Look::Now(&[]),
            ),
            last(
                "Last run: failed share",
                "Share of the last run's requests that failed.",
                "percentunit",
                "{{plan}}",
                &catalogue::LAST_RUN_ERROR_RATIO,
                Look::Now(&[(0.0, "green"), (0.001, "orange"), (0.01, "red")]),
            ),
            last(
                "Last run: response time",
                "Quantiles of the last run's response time over the whole of it, as its report has them.",
                "s",
                "{{plan}} {{quantile}}",
                &catalogue::LAST_RUN_RESPONSE_TIME,
                Look::Now(&[]),
            ),
            last(
                "Last run: objectives",
                "Whether the last run met each objective.",
                "none",
                "{{plan}} {{sla}}",
                &catalogue::LAST_RUN_SLA_MET,
                Look::Words(VERDICTS),
            ),
        ],
    )
}
