//! Whether what was measured arrives.

use super::board::{Board, Look, Source, Variable, panel, query, row};
use super::promql::{Chosen, happened, level, rate};
use crate::catalogue;

const SINK: Chosen = Chosen { matchers: "sink=~\"$sink\"", and: "" };

pub(super) fn board() -> Board {
    let (points, backlog) = (&catalogue::EXPORT_POINTS, &catalogue::EXPORT_BACKLOG);
    let lost =
        format!("sum by (sink) (increase({}{{sink=~\"$sink\", fate=\"lost\"}}[$__range]))", points.name);
    let waiting = format!("sum by (sink) ({})", level(backlog, SINK));
    let panels = vec![
        panel(
            "Lost",
            "Points that were lost in the time shown, by sink.",
            "none",
            vec![query("{{sink}}", lost)],
        )
        .decimals(0)
        .look(Look::Now(&[(0.0, "green"), (1.0, "red")])),
        panel(
            "Waiting",
            "Points that wait to be taken, by sink.",
            "none",
            vec![query("{{sink}}", waiting.clone())],
        )
        .look(Look::Now(&[])),
        panel(
            "Points",
            "Points per second and sink by fate: what is produced is acknowledged, lost, or waits.",
            "none",
            vec![query("{{sink}} {{fate}}", rate("sink, fate", points, SINK))],
        ),
        panel(
            "Backlog",
            "Points that wait to be taken: what grows is a sink that is slower than the run, or away.",
            "none",
            vec![query("{{sink}}", waiting)],
        ),
        panel(
            "Lost points",
            "Points per second that a sink refused for good or that found no room.",
            "none",
            vec![query("{{sink}}", happened("sink", points, SINK.with("sink=~\"$sink\", fate=\"lost\"")))],
        )
        .look(Look::Stacked),
        panel(
            "Series beyond the budget",
            "Series of a run beyond a sink's budget, told together as (overflow) or left out.",
            "none",
            vec![query("{{sink}}", level(&catalogue::EXPORT_OVERFLOW_SERIES, SINK))],
        ),
    ];
    Board {
        uid: "plimsoll-exporters".to_owned(),
        title: "Plimsoll: exporters".to_owned(),
        description: "What became of each point that was measured: taken, lost, or waiting.",
        source: Source::Prometheus,
        variables: vec![Variable {
            name: "sink",
            label: "Sink",
            query: format!("label_values({}, sink)", points.name),
        }],
        annotations: Vec::new(),
        rows: vec![row("What became of points", panels)],
        refresh: "5s",
        from: "now-15m",
    }
}
