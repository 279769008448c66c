//! Whether the generator kept its schedule, and what kept it from doing so.

use super::board::{Board, Link, Look, Query, Row, Source, Variable, panel, query, row};
use super::overview::VALIDITY;
use super::promql::{Chosen, happened, lengths, level, quantile, rate};
use crate::catalogue::{self, Metric};

const RUN: Chosen = Chosen { matchers: "plan=~\"$plan\", instance=~\"$instance\"", and: "" };
const OURS: Chosen =
    Chosen { matchers: "plan=~\"$plan\", instance=~\"$instance\", cause=\"generator\"", and: "" };
const MACHINE: Chosen = Chosen { matchers: "instance=~\"$instance\"", and: "" };

pub(super) fn board() -> Board {
    let values = |metric: &Metric, label: &str| format!("label_values({}, {label})", metric.name);
    Board {
        uid: "plimsoll-generator".to_owned(),
        title: "Plimsoll: generator health".to_owned(),
        description: "Whether the generator kept its schedule, so that its figures are the target's and not its own.",
        source: Source::Prometheus,
        variables: vec![
            Variable { name: "plan", label: "Plan", query: values(&catalogue::RUN_VALIDITY, "plan") },
            Variable {
                name: "instance",
                label: "Generator",
                query: values(&catalogue::GENERATOR_CPU, "instance"),
            },
        ],
        annotations: Vec::new(),
        rows: vec![schedule(), processors(), network()],
        refresh: "5s",
        from: "now-15m",
    }
}

fn own(legend: &str, metric: &Metric) -> Query {
    query(format!("{{{{instance}}}} {legend}").trim_end(), level(metric, MACHINE))
}

fn schedule() -> Row {
    let lag = &catalogue::SCHEDULE_LAG;
    row(
        "Schedule",
        vec![
            panel(
                "Validity",
                "Whether the figures can be trusted: valid, suspect or invalid.",
                "none",
                vec![query("{{plan}} {{instance}}", level(&catalogue::RUN_VALIDITY, RUN))],
            )
            .look(Look::States(VALIDITY))
            .link(Link::Page("Runs", "/")),
            panel(
                "Arrivals dropped by the generator",
                "Arrivals that were due and that the generator did not offer, of its own doing.",
                "reqps",
                vec![query("{{plan}}", happened("plan", &catalogue::DROPPED_ARRIVALS, OURS))],
            )
            .look(Look::Stacked),
            panel(
                "Schedule lags",
                "How many requests a second the generator got to how late.",
                "s",
                vec![query("{{le}}", lengths(lag, RUN))],
            )
            .look(Look::Heatmap),
            panel(
                "Schedule lag",
                "How late the generator itself was.",
                "s",
                vec![
                    query("p50", quantile("0.5", "", lag, RUN)),
                    query("p99", quantile("0.99", "", lag, RUN)),
                    query("p99.9", quantile("0.999", "", lag, RUN)),
                ],
            ),
        ],
    )
}

fn processors() -> Row {
    row(
        "Processors and memory",
        vec![
            panel(
                "Processors",
                "Shares of each second that the generator used; near 100% it becomes late.",
                "percentunit",
                vec![
                    own("used", &catalogue::GENERATOR_CPU),
                    own("busiest worker", &catalogue::GENERATOR_WORKER_CPU),
                ],
            ),
            panel(
                "Wanted and not had",
                "Shares of each second in which the generator could not have what it wanted.",
                "percentunit",
                vec![
                    own("worker waited for a processor", &catalogue::GENERATOR_WORKER_WAIT),
                    own("stolen by the host", &catalogue::GENERATOR_STEAL),
                    own("held by a quota", &catalogue::GENERATOR_THROTTLED),
                    own("waited for memory", &catalogue::GENERATOR_MEMORY_PRESSURE),
                ],
            ),
            panel(
                "Stalls",
                "How late a worker came to an appointment with itself; the latest of any worker.",
                "s",
                vec![own("", &catalogue::GENERATOR_STALL)],
            )
            .width(8),
            panel(
                "Memory",
                "Memory the generator uses (resident).",
                "bytes",
                vec![own("", &catalogue::GENERATOR_RSS)],
            )
            .width(8),
            panel(
                "Memory left",
                "Memory the generator's machine can still give without swapping.",
                "bytes",
                vec![own("", &catalogue::GENERATOR_AVAILABLE_MEMORY)],
            )
            .width(8),
        ],
    )
}

fn network() -> Row {
    row(
        "Network",
        vec![
            panel(
                "Descriptors and sockets",
                "What a machine runs out of, and how much of it there is.",
                "none",
                vec![
                    own("descriptors", &catalogue::GENERATOR_DESCRIPTORS),
                    own("descriptors limit", &catalogue::GENERATOR_DESCRIPTORS_LIMIT),
                    own("TCP sockets", &catalogue::GENERATOR_TCP_SOCKETS),
                    own("in TIME_WAIT", &catalogue::GENERATOR_TIME_WAIT_SOCKETS),
                    own("local ports", &catalogue::GENERATOR_LOCAL_PORTS),
                ],
            ),
            panel(
                "Link",
                "Use of the busiest network link as a share of its speed.",
                "percentunit",
                vec![own("", &catalogue::GENERATOR_LINK)],
            ),
            panel(
                "Round trip",
                "What TCP measures to the target: the network's share of each response time.",
                "s",
                vec![own("", &catalogue::GENERATOR_ROUND_TRIP)],
            )
            .width(8),
            panel(
                "TCP segments sent again",
                "The network, not the generator, lost them or was late.",
                "pps",
                vec![query("{{instance}}", rate("instance", &catalogue::GENERATOR_RETRANSMITS, MACHINE))],
            )
            .width(8),
            panel(
                "Receive queue",
                "What has arrived from the target and waits to be read, the most on one of some connections.",
                "bytes",
                vec![own("", &catalogue::GENERATOR_RECEIVE_QUEUE)],
            )
            .width(8),
        ],
    )
}
