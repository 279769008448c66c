//! Where the limit of each plan is, and how near traffic comes to it.

use super::board::{Board, Limit, Link, Look, Source, Variable, panel, query, row};
use super::promql::{Chosen, level, rate};
use crate::catalogue;

const PLAN: Chosen = Chosen { matchers: "plan=~\"$plan\"", and: "" };

pub(super) fn board() -> Board {
    let (limit, requests) = (&catalogue::CAPACITY_LIMIT, &catalogue::REQUESTS);
    let estimate = level(limit, PLAN.with("plan=~\"$plan\", bound=\"estimate\""));
    let done = rate("plan", requests, PLAN.with("plan=~\"$plan\", outcome=~\"ok|redirect\""));
    let headroom = level(&catalogue::CAPACITY_HEADROOM, PLAN);
    let panels = vec![
        panel(
            "Headroom now",
            "Free share of the limit beside the busiest traffic that was told; below zero traffic is over the limit.",
            "percentunit",
            vec![query("{{plan}}", headroom.clone())],
        )
        .look(Look::Now(&[(f64::NEG_INFINITY, "red"), (0.1, "orange"), (0.3, "green")]))
        .width(12)
        .link(Link::Page("Capacity", "/capacity")),
        panel(
            "Limit now",
            "The limit as it was last foretold or measured.",
            "reqps",
            vec![query("{{plan}}", estimate.clone())],
        )
        .look(Look::Now(&[]))
        .link(Link::Page("Capacity", "/capacity")),
        panel(
            "Limit",
            "The limit of each plan as it was last foretold or measured, and its 90% interval.",
            "reqps",
            vec![query("{{plan}} {{bound}}", level(limit, PLAN))],
        )
        .link(Link::Page("Capacity", "/capacity")),
        panel(
            "Headroom",
            "Free share of the limit over time; the dashed line is where a page is sent.",
            "percentunit",
            vec![query("{{plan}}", headroom)],
        )
        .look(Look::Limits(vec![Limit { value: 0.1, color: "red" }]))
        .link(Link::Page("Capacity", "/capacity")),
        panel(
            "Load of runs beside the limit",
            "Requests of runs that succeed, per second, and the limit.",
            "reqps",
            vec![query("{{plan}} succeeded", done.clone()), query("{{plan}} limit", estimate.clone())],
        ),
        panel(
            "Use of the limit by runs",
            "Requests of runs that succeed as a share of the limit; above 100% the limit was too low.",
            "percentunit",
            vec![query("{{plan}}", format!("{done} / on (plan) max by (plan) ({estimate})"))],
        ),
    ];
    Board {
        uid: "plimsoll-capacity".to_owned(),
        title: "Plimsoll: capacity".to_owned(),
        description: "Where the limit of each plan is, and how near traffic comes to it.",
        source: Source::Prometheus,
        variables: vec![Variable {
            name: "plan",
            label: "Plan",
            query: format!("label_values({}, plan)", limit.name),
        }],
        annotations: Vec::new(),
        rows: vec![row("Limits and headroom", panels)],
        refresh: "1m",
        from: "now-7d",
    }
}
