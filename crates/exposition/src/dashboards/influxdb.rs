//! A run while it goes on, for InfluxDB, in InfluxQL: versions 1, 2 (through its InfluxQL route) and 3 understand it.
//!
//! Points hold what each second added, so that queries sum them up. There are no percentile fields, and InfluxQL cannot make a
//! percentile of counts: shown are the counts at the edges, as a heatmap and as shares within a duration, and the slowest.

use std::fmt::Write as _;

use plimsoll_measure::Edges;
use serde_json::json;

use super::board::{Board, Link, Look, Panel, Query, Row, Source, Variable, panel, query, row};
use super::overview::{VALIDITY, VERDICTS};
use crate::catalogue::{self, Metric};
use crate::number::seconds;

/// What a run has one of.
const RUN: &str = r#""plan" =~ /^$plan$/ AND "run" =~ /^$run$/"#;
/// What a scenario has one of.
const SCENARIO: &str = r#""plan" =~ /^$plan$/ AND "run" =~ /^$run$/ AND "scenario" =~ /^$scenario$/"#;
/// Requests.
const REQUESTS: &str =
    r#""plan" =~ /^$plan$/ AND "run" =~ /^$run$/ AND "scenario" =~ /^$scenario$/ AND "step" =~ /^$step$/"#;
/// What a run's latency figures cover.
const ANSWERED: &str = r#"("outcome" = 'ok' OR "outcome" = 'timeout')"#;
/// In seconds: around what people ask of services.
const WITHIN: [&str; 6] = ["0.05", "0.1", "0.25", "0.5", "1", "2.5"];

pub(super) fn board() -> Board {
    let values = |metric: &Metric, key: &str, chosen: &str| {
        let chosen = if chosen.is_empty() { String::new() } else { format!(" WHERE {chosen}") };
        format!("SHOW TAG VALUES FROM \"{}\" WITH KEY = \"{key}\"{chosen}", metric.measurement())
    };
    let (info, requests) = (&catalogue::RUN_INFO, &catalogue::REQUESTS);
    let plan = r#""plan" =~ /^$plan$/"#;
    let scenario = r#""plan" =~ /^$plan$/ AND "scenario" =~ /^$scenario$/"#;
    Board {
        uid: "plimsoll-influxdb".to_owned(),
        title: "Plimsoll: run (InfluxDB)".to_owned(),
        description: "Load, latency, errors and objectives of runs while they go on.",
        source: Source::InfluxDb,
        variables: vec![
            Variable { name: "plan", label: "Plan", query: values(info, "plan", "") },
            Variable { name: "run", label: "Run", query: values(info, "run", plan) },
            Variable { name: "scenario", label: "Scenario", query: values(requests, "scenario", plan) },
            Variable { name: "step", label: "Step", query: values(requests, "step", scenario) },
        ],
        annotations: vec![runs()],
        rows: vec![load(), objectives(), below()],
        refresh: "5s",
        from: "now-15m",
    }
}

/// A mark where each run begins.
fn runs() -> serde_json::Value {
    let source = json!({ "type": "influxdb", "uid": "${datasource}" });
    let query = format!(
        "SELECT first(\"value\") AS \"value\", \"run\" AS \"text\" FROM \"{}\" WHERE $timeFilter AND {RUN} GROUP BY \"run\"",
        catalogue::RUN_INFO.measurement()
    );
    json!({
        "name": "Runs",
        "datasource": source,
        "enable": true,
        "iconColor": "blue",
        "query": query,
        "textColumn": "text",
        "target": { "refId": "Anno", "fromAnnotations": true, "query": query, "textColumn": "text" },
    })
}

/// What is asked of a metric, in steps that the time shown has room for.
fn select(fields: &str, metric: &Metric, chosen: &str, by: &[&str]) -> String {
    let mut groups = "time($__interval)".to_owned();
    for tag in by {
        // Writing into a string cannot fail.
        let _ = write!(groups, ", \"{tag}\"");
    }
    let measurement = metric.measurement();
    format!(
        "SELECT {fields} FROM \"{measurement}\" WHERE $timeFilter AND {chosen} GROUP BY {groups} fill(none)"
    )
}

/// What was counted, per second.
fn rate(legend: &str, metric: &Metric, chosen: &str, by: &[&str]) -> Query {
    query(legend, select("sum(\"count\") * 1000 / $__interval_ms", metric, chosen, by))
}

/// As [`rate`], where it is any: what never happens has no name in a legend.
fn happened(legend: &str, metric: &Metric, chosen: &str, by: &[&str]) -> Query {
    rate(legend, metric, &format!("{chosen} AND \"count\" > 0"), by)
}

fn level(legend: &str, metric: &Metric, chosen: &str, by: &[&str]) -> Query {
    query(legend, select("last(\"value\")", metric, chosen, by))
}

/// The counts between edges, under the name of the upper one.
fn lengths(metric: &Metric, chosen: &str) -> Query {
    let edges = Edges::with_thresholds([]);
    let mut below = String::new();
    let mut fields = Vec::new();
    for edge in edges.nanos() {
        let name = seconds(*edge).to_string();
        let upto = format!("sum(\"le_{name}\")");
        fields.push(format!("{upto}{below} AS \"{name}\""));
        below = format!(" - {upto}");
    }
    fields.push(format!("sum(\"count\"){below} AS \"more\""));
    query("$col", select(&fields.join(", "), metric, chosen, &[]))
}

/// The share of durations that were at most so long, for some lengths.
fn shares(metric: &Metric, chosen: &str) -> Vec<Query> {
    let share = |edge: &&str| {
        let field = format!("sum(\"le_{edge}\") / sum(\"count\")");
        query(format!("within {edge} s"), select(&field, metric, chosen, &[]))
    };
    WITHIN.iter().map(share).collect()
}

fn slowest(legend: &str, metric: &Metric, chosen: &str) -> Query {
    query(legend, select("max(\"max\")", metric, chosen, &[]))
}

fn load() -> Row {
    let requests = &catalogue::REQUESTS;
    let answered = format!("{REQUESTS} AND {ANSWERED}");
    let succeeded = format!("{REQUESTS} AND (\"outcome\" = 'ok' OR \"outcome\" = 'redirect')");
    let failed = format!("{REQUESTS} AND \"outcome\" != 'ok' AND \"outcome\" != 'redirect'");
    let plan = &["plan"];
    row(
        "Load and answers",
        vec![
            panel(
                "Offered and done",
                "What the plan asks for, and what came of it. Iterations of several steps send several requests.",
                "reqps",
                vec![
                    level("iterations offered, $tag_plan", &catalogue::OFFERED_RATE, RUN, plan),
                    rate("iterations ended", &catalogue::ITERATION_TIME, SCENARIO, &[]),
                    rate("requests", requests, REQUESTS, &[]),
                    rate("requests succeeded", requests, &succeeded, &[]),
                ],
            )
            .link(Link::Run),
            panel(
                "Failed and cut requests",
                "Requests that did not succeed, by how they ended.",
                "reqps",
                vec![happened("$tag_outcome", requests, &failed, &["outcome"])],
            )
            .look(Look::Stacked)
            .link(Link::Run),
            panel(
                "Response times",
                "How many requests took how long, from when they were due: a second group or a long tail shows here first.",
                "s",
                vec![lengths(&catalogue::RESPONSE_TIME, &answered)],
            )
            .look(Look::Heatmap)
            .link(Link::Run),
            panel(
                "Response time: shares",
                "Share of requests that took at most so long, from when they were due; counted, not estimated.",
                "percentunit",
                shares(&catalogue::RESPONSE_TIME, &answered),
            ),
            panel(
                "Service time: shares",
                "Share of requests for which the target took at most so long.",
                "percentunit",
                shares(&catalogue::SERVICE_TIME, &answered),
            ),
            panel(
                "Slowest",
                "The longest of each kind of duration in each step of the time shown.",
                "s",
                vec![
                    slowest("response", &catalogue::RESPONSE_TIME, &answered),
                    slowest("service", &catalogue::SERVICE_TIME, &answered),
                    slowest("wait", &catalogue::WAIT, REQUESTS),
                    slowest("connect", &catalogue::CONNECT_TIME, REQUESTS),
                    slowest("first byte", &catalogue::FIRST_BYTE_TIME, REQUESTS),
                ],
            ),
            panel(
                "In flight",
                "Requests, users and connections at the end of each second.",
                "none",
                vec![
                    level("requests, $tag_plan", &catalogue::IN_FLIGHT_REQUESTS, RUN, plan),
                    level("virtual users, $tag_plan", &catalogue::VIRTUAL_USERS, RUN, plan),
                    level("connections, $tag_plan", &catalogue::CONNECTIONS, RUN, plan),
                ],
            ),
            panel(
                "Dropped arrivals",
                "Arrivals that were due and not offered, by whose fault it was.",
                "reqps",
                vec![happened("$tag_cause", &catalogue::DROPPED_ARRIVALS, SCENARIO, &["cause"])],
            )
            .look(Look::Stacked),
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
                vec![level("$tag_sla", &catalogue::SLA_MET, RUN, &["sla"])],
            )
            .look(Look::States(VERDICTS))
            .link(Link::Run),
            panel(
                "Objectives: observed",
                "The figure each objective looks at, in base units.",
                "none",
                vec![level("$tag_sla", &catalogue::SLA_OBSERVED, RUN, &["sla"])],
            ),
        ],
    )
}

fn below() -> Row {
    let bytes = |legend: &str, metric| rate(legend, metric, REQUESTS, &[]);
    let runs = format!(
        "SELECT first(\"value\") AS \"Value\" FROM \"{}\" WHERE $timeFilter AND {RUN} GROUP BY \"run\", \"plan\", \"version\", \"environment\"",
        catalogue::RUN_INFO.measurement()
    );
    let resource = |unit: &str| {
        let chosen = format!("{RUN} AND {unit}");
        vec![level("$tag_source $tag_resource", &catalogue::RESOURCE, &chosen, &["source", "resource"])]
    };
    let panels: Vec<Panel> = vec![
        panel(
            "Bytes",
            "Bytes of requests that ended.",
            "Bps",
            vec![bytes("received", &catalogue::RECEIVED_BYTES), bytes("sent", &catalogue::SENT_BYTES)],
        ),
        panel(
            "Connections opened and closed",
            "Opened by handshake, closed by reason; a service that keeps connections closes few.",
            "cps",
            vec![
                happened("opened, tls $tag_tls", &catalogue::CONNECTIONS_OPENED, RUN, &["tls"]),
                happened("closed: $tag_reason", &catalogue::CONNECTIONS_CLOSED, RUN, &["reason"]),
            ],
        ),
        panel(
            "Target: memory",
            "Bytes, as the plan's resources say.",
            "bytes",
            resource("\"unit\" = 'bytes'"),
        ),
        panel(
            "Target: other figures",
            "Processors, shares, things, seconds and rates, as the plan's resources say.",
            "none",
            resource("\"unit\" != 'bytes'"),
        ),
        panel(
            "Validity of the generator",
            "Whether the figures can be trusted.",
            "none",
            vec![level("$tag_plan", &catalogue::RUN_VALIDITY, RUN, &["plan"])],
        )
        .look(Look::States(VALIDITY)),
        panel(
            "Generator",
            "Shares of each second that the generator used; near 100% it becomes late.",
            "percentunit",
            vec![
                level("used", &catalogue::GENERATOR_CPU, r#""run" =~ /^$run$/"#, &[]),
                level("busiest worker", &catalogue::GENERATOR_WORKER_CPU, r#""run" =~ /^$run$/"#, &[]),
            ],
        ),
        panel(
            "Schedule lag",
            "How late the generator was at worst.",
            "s",
            vec![slowest("slowest", &catalogue::SCHEDULE_LAG, REQUESTS)],
        ),
        panel(
            "Runs",
            "Runs that lived in the time shown; a run's id leads to its page.",
            "none",
            vec![query("", runs)],
        )
        .look(Look::Table(&["run", "plan", "version", "environment"], None))
        .width(24),
    ];
    row("Around it", panels)
}
