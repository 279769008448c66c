//! The Grafana dashboard: a run while it goes on, and whether its figures can be trusted.

use serde_json::{Value, json};

use crate::catalogue::{self, Metric};

/// What of a run the dashboard shows.
const CHOSEN: &str = "plan=~\"$plan\"";
/// As [`CHOSEN`], of what a run's latency figures cover.
const ANSWERED: &str = "plan=~\"$plan\", outcome=~\"ok|timeout\"";
/// Over which rates are taken.
const RATE: &str = "[$__rate_interval]";

/// A panel before it has a place.
#[derive(Debug)]
struct Panel {
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    queries: Vec<Query>,
    look: Look,
}

#[derive(Debug, Clone, Copy)]
enum Look {
    Lines,
    /// Lines that may go below zero.
    Signed,
    /// Lines that add up.
    Stacked,
    /// 1 met, 0 missed, over time.
    Verdicts,
    /// 1 valid, 0.5 suspect, 0 invalid, over time.
    Validity,
}

#[derive(Debug)]
struct Query {
    expression: String,
    legend: &'static str,
}

fn query(legend: &'static str, expression: String) -> Query {
    Query { expression, legend }
}

/// A quantile over a histogram's recent past, whichever kind of buckets was scraped.
fn quantile(share: &str, metric: &Metric, chosen: &str) -> String {
    let name = metric.name;
    format!(
        "histogram_quantile({share}, sum by (le) (rate({name}_bucket{{{chosen}}}{RATE}))) \
         or histogram_quantile({share}, sum(rate({name}{{{chosen}}}{RATE})))"
    )
}

fn rate(by: &str, metric: &Metric, chosen: &str) -> String {
    let by = if by.is_empty() { String::new() } else { format!(" by ({by}) ") };
    format!("sum{by}(rate({}{{{chosen}}}{RATE}))", metric.name)
}

fn panels() -> Vec<Panel> {
    let requests = &catalogue::REQUESTS;
    let quantiles = |metric: &Metric, chosen: &str| {
        [("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99"), ("p99.9", "0.999")]
            .into_iter()
            .map(|(legend, share)| query(legend, quantile(share, metric, chosen)))
            .collect::<Vec<_>>()
    };
    let level = |metric: &Metric| format!("{}{{{CHOSEN}}}", metric.name);
    /// How a figure of the target is called.
    const NAMED: &str = "{{source}} {{resource}}";
    let resource = |units: &str| format!("{}{{{CHOSEN}, unit=~\"{units}\"}}", catalogue::RESOURCE.name);
    let own = |legend, metric: &Metric| query(legend, metric.name.to_owned());
    let iterations = catalogue::ITERATION_TIME.name;
    vec![
        Panel {
            title: "Offered and done",
            description: "What the plan asks for, and what came of it. Iterations of several steps send several requests.",
            unit: "reqps",
            queries: vec![
                query("iterations offered", format!("sum({})", level(&catalogue::OFFERED_RATE))),
                query(
                    "iterations ended",
                    format!(
                        "sum(rate({iterations}_count{{{CHOSEN}}}{RATE})) \
                         or sum(histogram_count(rate({iterations}{{{CHOSEN}}}{RATE})))"
                    ),
                ),
                query("requests", rate("", requests, CHOSEN)),
                query("requests succeeded", rate("", requests, "plan=~\"$plan\", outcome=~\"ok|redirect\"")),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Response time",
            description: "From when a request was due: what a user waits, the generator's queue included.",
            unit: "s",
            queries: quantiles(&catalogue::RESPONSE_TIME, ANSWERED),
            look: Look::Lines,
        },
        Panel {
            title: "Service time",
            description: "From a request's first byte out: what the target took.",
            unit: "s",
            queries: quantiles(&catalogue::SERVICE_TIME, ANSWERED),
            look: Look::Lines,
        },
        Panel {
            title: "Failed and cut requests",
            description: "Requests that did not succeed, by how they ended.",
            unit: "reqps",
            queries: vec![query(
                "{{outcome}}",
                rate("outcome", requests, "plan=~\"$plan\", outcome!~\"ok|redirect\""),
            )],
            look: Look::Stacked,
        },
        Panel {
            title: "Objectives",
            description: "Whether each objective is met; empty while undecided.",
            unit: "none",
            queries: vec![query("{{sla}}", level(&catalogue::SLA_MET))],
            look: Look::Verdicts,
        },
        Panel {
            title: "Objectives: observed",
            description: "The figure each objective looks at, in base units.",
            unit: "none",
            queries: vec![query("{{sla}}", level(&catalogue::SLA_OBSERVED))],
            look: Look::Lines,
        },
        Panel {
            title: "In flight",
            description: "Requests, users and connections at the end of each second.",
            unit: "none",
            queries: vec![
                query("requests", format!("sum({})", level(&catalogue::IN_FLIGHT_REQUESTS))),
                query("virtual users", format!("sum({})", level(&catalogue::VIRTUAL_USERS))),
                query("connections", format!("sum({})", level(&catalogue::CONNECTIONS))),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Dropped arrivals",
            description: "Arrivals that were due and not offered, by whose fault it was.",
            unit: "reqps",
            queries: vec![query("{{cause}}", rate("cause", &catalogue::DROPPED_ARRIVALS, CHOSEN))],
            look: Look::Stacked,
        },
        Panel {
            title: "Connecting and waiting",
            description: "Where response time goes before the target has the request: no free connection, TCP, TLS.",
            unit: "s",
            queries: vec![
                query("wait p99", quantile("0.99", &catalogue::WAIT, CHOSEN)),
                query("connect p99", quantile("0.99", &catalogue::CONNECT_TIME, CHOSEN)),
                query("tls p99", quantile("0.99", &catalogue::TLS_TIME, CHOSEN)),
                query("none idle p99", quantile("0.99", &catalogue::CONNECTION_WAIT, CHOSEN)),
                query("first byte p99", quantile("0.99", &catalogue::FIRST_BYTE_TIME, CHOSEN)),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Connections opened and closed",
            description: "Opened by handshake, closed by reason; a service that keeps connections closes few.",
            unit: "cps",
            queries: vec![
                query("opened, tls {{tls}}", rate("tls", &catalogue::CONNECTIONS_OPENED, CHOSEN)),
                query("failed to open", rate("", &catalogue::CONNECTIONS_FAILED, CHOSEN)),
                query("closed: {{reason}}", rate("reason", &catalogue::CONNECTIONS_CLOSED, CHOSEN)),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Connections: use",
            description: "Requests that each connection had carried when it closed, and the share of requests that went over a used one.",
            unit: "none",
            queries: vec![
                query(
                    "requests on each",
                    format!(
                        "{} / {}",
                        rate("", &catalogue::CONNECTION_REQUESTS, CHOSEN),
                        rate("", &catalogue::CONNECTIONS_CLOSED, CHOSEN)
                    ),
                ),
                query("{{plan}} reused", level(&catalogue::CONNECTION_REUSE)),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Bytes",
            description: "Bytes of requests that ended.",
            unit: "Bps",
            queries: vec![
                query("received", rate("", &catalogue::RECEIVED_BYTES, CHOSEN)),
                query("sent", rate("", &catalogue::SENT_BYTES, CHOSEN)),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Target: processors and shares",
            description: "Processors kept busy, and shares that the target tells of itself, as the plan's resources say.",
            unit: "none",
            queries: vec![query(NAMED, resource("cores|ratio"))],
            look: Look::Lines,
        },
        Panel {
            title: "Target: memory",
            description: "Bytes, as the plan's resources say.",
            unit: "bytes",
            queries: vec![query(NAMED, resource("bytes"))],
            look: Look::Lines,
        },
        Panel {
            title: "Target: other figures",
            description: "Things, seconds and rates, as the plan's resources say; and scrapes that failed, per second.",
            unit: "none",
            queries: vec![
                query(NAMED, resource("count|seconds|per_second")),
                query(
                    "{{source}} gaps",
                    rate("source", &catalogue::RESOURCE_SCRAPES, "plan=~\"$plan\", outcome=\"gap\""),
                ),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Validity of the generator",
            description: "Whether the figures can be trusted.",
            unit: "none",
            queries: vec![query("{{plan}}", level(&catalogue::RUN_VALIDITY))],
            look: Look::Validity,
        },
        Panel {
            title: "Schedule lag",
            description: "How late the generator itself was.",
            unit: "s",
            queries: vec![
                query("p50", quantile("0.5", &catalogue::SCHEDULE_LAG, CHOSEN)),
                query("p99", quantile("0.99", &catalogue::SCHEDULE_LAG, CHOSEN)),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Generator: processors and memory",
            description: "Shares of each second: used, or wanted and not had.",
            unit: "percentunit",
            queries: vec![
                own("{{instance}} used", &catalogue::GENERATOR_CPU),
                own("{{instance}} busiest worker", &catalogue::GENERATOR_WORKER_CPU),
                own("{{instance}} worker waited for a processor", &catalogue::GENERATOR_WORKER_WAIT),
                own("{{instance}} stolen by the host", &catalogue::GENERATOR_STEAL),
                own("{{instance}} held by a quota", &catalogue::GENERATOR_THROTTLED),
                own("{{instance}} waited for memory", &catalogue::GENERATOR_MEMORY_PRESSURE),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Generator: stalls and round trips",
            description: "How late workers came to appointments with themselves, and what TCP measures to the target.",
            unit: "s",
            queries: vec![
                own("{{instance}} stall", &catalogue::GENERATOR_STALL),
                own("{{instance}} round trip", &catalogue::GENERATOR_ROUND_TRIP),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Generator: descriptors and sockets",
            description: "What a machine runs out of, and how much of it there is.",
            unit: "none",
            queries: vec![
                own("{{instance}} descriptors", &catalogue::GENERATOR_DESCRIPTORS),
                own("{{instance}} descriptors limit", &catalogue::GENERATOR_DESCRIPTORS_LIMIT),
                own("{{instance}} TCP sockets", &catalogue::GENERATOR_TCP_SOCKETS),
                own("{{instance}} in TIME_WAIT", &catalogue::GENERATOR_TIME_WAIT_SOCKETS),
                own("{{instance}} local ports", &catalogue::GENERATOR_LOCAL_PORTS),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Generator: network link",
            description: "Use of the busiest link as a share of its speed.",
            unit: "percentunit",
            queries: vec![own("{{instance}}", &catalogue::GENERATOR_LINK)],
            look: Look::Lines,
        },
        Panel {
            title: "Generator: TCP segments sent again",
            description: "The network, not the generator, lost them or was late.",
            unit: "pps",
            queries: vec![query(
                "{{instance}}",
                format!("rate({}{RATE})", catalogue::GENERATOR_RETRANSMITS.name),
            )],
            look: Look::Lines,
        },
        Panel {
            title: "Generator: bytes",
            description: "Memory used and left, and what has arrived and waits to be read.",
            unit: "bytes",
            queries: vec![
                own("{{instance}} resident", &catalogue::GENERATOR_RSS),
                own("{{instance}} available on the machine", &catalogue::GENERATOR_AVAILABLE_MEMORY),
                own("{{instance}} receive queue", &catalogue::GENERATOR_RECEIVE_QUEUE),
            ],
            look: Look::Lines,
        },
        Panel {
            title: "Capacity: limit",
            description: "The limit of each plan as it was last foretold or measured, and its 90% interval.",
            unit: "reqps",
            queries: vec![query("{{plan}} {{bound}}", level(&catalogue::CAPACITY_LIMIT))],
            look: Look::Lines,
        },
        Panel {
            title: "Capacity: headroom",
            description: "Free share of the limit beside the busiest traffic that was told; below zero traffic is over the limit.",
            unit: "percentunit",
            queries: vec![query("{{plan}}", level(&catalogue::CAPACITY_HEADROOM))],
            look: Look::Signed,
        },
        Panel {
            title: "Export",
            description: "Points per second by fate, and points that wait.",
            unit: "none",
            queries: vec![
                query(
                    "{{sink}} {{fate}}",
                    format!("sum by (sink, fate) (rate({}{RATE}))", catalogue::EXPORT_POINTS.name),
                ),
                query("{{sink}} backlog", catalogue::EXPORT_BACKLOG.name.to_owned()),
                query("{{sink}} series overflow", catalogue::EXPORT_OVERFLOW_SERIES.name.to_owned()),
            ],
            look: Look::Lines,
        },
    ]
    .into_iter()
    .chain(measures())
    .collect()
}

/// What plans take from replies, measure by measure.
fn measures() -> [Panel; 6] {
    let p95 = |metric: &Metric| {
        let name = metric.name;
        let expression = format!(
            "histogram_quantile(0.95, sum by (le, measure) (rate({name}_bucket{{{CHOSEN}}}{RATE}))) \
             or histogram_quantile(0.95, sum by (measure) (rate({name}{{{CHOSEN}}}{RATE})))"
        );
        vec![query("{{measure}} p95", expression)]
    };
    let amount = |metric: &Metric| query("{{measure}}", rate("measure", metric, CHOSEN));
    let (good, events) = (&catalogue::MEASURE_GOOD, &catalogue::MEASURE_EVENTS);
    let ratio = format!("{} / {}", rate("measure", good, CHOSEN), rate("measure", events, CHOSEN));
    [
        Panel {
            title: "Times from replies",
            description: "95 of 100 times that the plan takes from replies are at most this.",
            unit: "s",
            queries: p95(&catalogue::MEASURE_SECONDS),
            look: Look::Lines,
        },
        Panel {
            title: "Sizes from replies",
            description: "95 of 100 sizes that the plan takes from replies are at most this.",
            unit: "bytes",
            queries: p95(&catalogue::MEASURE_BYTES),
            look: Look::Lines,
        },
        Panel {
            title: "Numbers from replies",
            description: "95 of 100 numbers that the plan takes from replies are at most this.",
            unit: "none",
            queries: p95(&catalogue::MEASURE_VALUE),
            look: Look::Lines,
        },
        Panel {
            title: "Amounts from replies",
            description: "What the plan's counters add up per second: whole numbers and bytes.",
            unit: "none",
            queries: vec![amount(&catalogue::MEASURE_AMOUNT), amount(&catalogue::MEASURE_AMOUNT_BYTES)],
            look: Look::Lines,
        },
        Panel {
            title: "Ratios from replies",
            description: "Of the replies with a value, the share of those that the plan looks for.",
            unit: "percentunit",
            queries: vec![query("{{measure}}", ratio)],
            look: Look::Lines,
        },
        Panel {
            title: "Replies without a value",
            description: "Replies in which a value of the plan's was absent or too large to be counted.",
            unit: "reqps",
            queries: vec![query(
                "{{measure}} {{cause}}",
                rate("measure, cause", &catalogue::MEASURE_MISSING, CHOSEN),
            )],
            look: Look::Lines,
        },
    ]
}

/// Every query of the dashboard, with the variables Grafana fills in.
pub fn queries() -> Vec<String> {
    panels().into_iter().flat_map(|panel| panel.queries).map(|query| query.expression).collect()
}

/// `grafana/dashboards/plimsoll.json`.
pub fn overview() -> String {
    let panels: Vec<Value> =
        panels().iter().enumerate().map(|(place, panel)| panel_json(place, panel)).collect();
    let run_info = catalogue::RUN_INFO.name;
    let dashboard = json!({
        "uid": "plimsoll",
        "title": "Plimsoll",
        "description": "Load, latency, errors, objectives, and whether the figures can be trusted.",
        "tags": ["plimsoll"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "refresh": "5s",
        "time": { "from": "now-15m", "to": "now" },
        "timezone": "browser",
        "graphTooltip": 1,
        "templating": { "list": [
            {
                "name": "datasource",
                "label": "Data source",
                "type": "datasource",
                "query": "prometheus",
                "refresh": 1,
            },
            {
                "name": "plan",
                "label": "Plan",
                "type": "query",
                "datasource": source(),
                "query": { "query": format!("label_values({}, plan)", catalogue::RUN_VALIDITY.name), "refId": "plan" },
                "refresh": 2,
                "includeAll": true,
                "multi": true,
                "allValue": ".*",
                "current": { "text": "All", "value": "$__all" },
                "sort": 1,
            },
        ] },
        "annotations": { "list": [{
            "name": "Runs",
            "datasource": source(),
            "enable": true,
            "iconColor": "blue",
            "expr": format!("{run_info}{{{CHOSEN}}}"),
            "titleFormat": "{{plan}}",
            "textFormat": "{{run}} {{version}}",
        }] },
        "panels": panels,
    });
    format!("{dashboard:#}\n")
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// Two panels a row.
fn panel_json(place: usize, panel: &Panel) -> Value {
    let targets: Vec<Value> = panel
        .queries
        .iter()
        .zip('A'..='Z')
        .map(|(query, letter)| {
            json!({
                "refId": letter.to_string(),
                "datasource": source(),
                "expr": query.expression,
                "legendFormat": query.legend,
                "range": true,
            })
        })
        .collect();
    let (kind, defaults, options) = look(panel.look, panel.unit);
    json!({
        "id": place + 1,
        "type": kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": source(),
        "gridPos": { "h": 8, "w": 12, "x": place % 2 * 12, "y": place / 2 * 8 },
        "targets": targets,
        "fieldConfig": { "defaults": defaults, "overrides": [] },
        "options": options,
    })
}

fn look(look: Look, unit: &str) -> (&'static str, Value, Value) {
    let lines = |stacking: &str, fill: u32| {
        let custom = json!({
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": fill,
            "showPoints": "never",
            "spanNulls": false,
            "stacking": { "mode": stacking, "group": "A" },
        });
        let options = json!({
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
            "tooltip": { "mode": "multi", "sort": "desc" },
        });
        ("timeseries", json!({ "unit": unit, "min": 0, "custom": custom }), options)
    };
    let states = |words: &[(&str, &str, &str)]| {
        let words: serde_json::Map<String, Value> = words
            .iter()
            .enumerate()
            .map(|(index, (value, text, color))| {
                ((*value).to_owned(), json!({ "text": text, "color": color, "index": index }))
            })
            .collect();
        let defaults = json!({
            "unit": unit,
            "custom": { "lineWidth": 0, "fillOpacity": 70 },
            "mappings": [{ "type": "value", "options": words }],
        });
        let options = json!({
            "showValue": "auto",
            "mergeValues": true,
            "rowHeight": 0.9,
            "alignValue": "left",
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": false },
            "tooltip": { "mode": "single", "sort": "none" },
        });
        ("state-timeline", defaults, options)
    };
    match look {
        Look::Lines => lines("none", 0),
        Look::Signed => {
            let (kind, mut defaults, options) = lines("none", 0);
            defaults["min"] = Value::Null;
            (kind, defaults, options)
        }
        Look::Stacked => lines("normal", 30),
        Look::Verdicts => states(&[("1", "met", "green"), ("0", "missed", "red")]),
        Look::Validity => {
            states(&[("1", "valid", "green"), ("0.5", "suspect", "orange"), ("0", "invalid", "red")])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_in_a_panel_is_in_the_catalogue() {
        assert_eq!(catalogue::unknown_names(&overview()), Vec::<&str>::new());
    }

    #[test]
    fn the_dashboard_covers_the_catalogue() {
        let text = overview();
        // The dashboard is of runs that live; SLAs that outlast them have none yet.
        let live = catalogue::ALL.iter().filter(|metric| {
            !catalogue::OF_LAST_RUN.contains(metric) && !catalogue::OF_SLAS.contains(metric)
        });
        let unseen: Vec<_> = live.map(|metric| metric.name).filter(|name| !text.contains(name)).collect();
        // Counts of good and bad events are there for queries of burn rates, not to be looked at.
        assert_eq!(unseen, ["plimsoll_sla_good_events_total", "plimsoll_sla_events_total"]);
    }

    #[test]
    fn panels_have_places_and_names_of_their_own() {
        let dashboard: Value = serde_json::from_str(&overview()).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        for field in ["id", "title", "gridPos"] {
            let values: BTreeSet<_> = panels.iter().map(|panel| panel[field].to_string()).collect();
            assert_eq!(values.len(), panels.len(), "{field}");
        }
    }
}
