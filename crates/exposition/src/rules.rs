//! Alert rules for Prometheus: what somebody should be told while a run goes on.
//!
//! They speak of the objectives, of whether the figures can be trusted, and of whether they arrive.
//! How fast a target should be is a plan's objective and no rule here. No alert speaks of an SLA's state: that is shown
//! within seconds, and who is woken up is decided by burn rates ([`sla_rules`](crate::sla_rules)), so that one outage is told once.

use std::fmt::Write;

/// One alert.
#[derive(Debug)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// What must hold, in PromQL.
    pub expression: &'static str,
    /// For how long.
    pub lasting: &'static str,
    /// `critical` or `warning`.
    pub severity: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// What it means and what to look at.
    pub description: &'static str,
}

/// Every alert.
pub const ALERTS: [Alert; 10] = [
    Alert {
        name: "PlimsollSlaMissed",
        // An SLA with rules of its own is told by these, by how fast its budget goes.
        expression: "plimsoll_sla_met == 0 and on (job, instance, plan) plimsoll_run_info \
                     unless on (plan, sla) {__name__=~\"sla:events:increase.*\"}",
        lasting: "0s",
        severity: "critical",
        summary: "{{ $labels.plan }} misses its objective {{ $labels.sla }}",
        description: "The objective is judged over its own window, so a miss is told at once. \
                      plimsoll_sla_observed shows the figure.",
    },
    Alert {
        name: "PlimsollTargetDoesNotAnswer",
        expression: "sum by (job, instance, plan) (rate(plimsoll_requests_total{status=\"\"}[1m])) \
                     / sum by (job, instance, plan) (rate(plimsoll_requests_total[1m])) > 0.5 \
                     unless on (plan) {__name__=~\"sla:events:increase.*\"}",
        lasting: "15s",
        severity: "critical",
        summary: "The target of {{ $labels.plan }} does not answer most requests",
        description: "More than half of the requests ended without an HTTP status: timeouts, refused or broken connections. \
                      The label outcome of plimsoll_requests_total says which.",
    },
    Alert {
        name: "PlimsollGeneratorInvalid",
        expression: "plimsoll_run_validity == 0 and on (job, instance, plan) plimsoll_run_info",
        lasting: "0s",
        severity: "critical",
        summary: "The figures of {{ $labels.plan }} cannot be used",
        description: "The generator was so late or dropped so much of its own doing that its figures say more about itself \
                      than about the target. Give it more processors or offer less.",
    },
    Alert {
        name: "PlimsollGeneratorSuspect",
        expression: "plimsoll_run_validity == 0.5 and on (job, instance, plan) plimsoll_run_info",
        lasting: "10s",
        severity: "warning",
        summary: "The figures of {{ $labels.plan }} may be coloured by the generator",
        description: "The generator was late, busy, or dropped arrivals of its own doing. plimsoll_schedule_lag_seconds and \
                      plimsoll_generator_cpu_ratio say how much.",
    },
    Alert {
        name: "PlimsollArrivalsDropped",
        expression: "sum by (job, instance, plan, cause) (increase(plimsoll_dropped_arrivals_total[1m])) > 0",
        lasting: "0s",
        severity: "warning",
        summary: "{{ $labels.plan }} drops arrivals ({{ $labels.cause }})",
        description: "Arrivals were due and not offered: in_flight_limit because the target's slowness filled max_in_flight, \
                      generator because the generator could not.",
    },
    Alert {
        name: "PlimsollGeneratorBusy",
        expression: "plimsoll_generator_cpu_ratio > 0.9",
        lasting: "10s",
        severity: "warning",
        summary: "The generator at {{ $labels.instance }} has hardly any processor time left",
        description: "Beyond this the generator itself becomes late. Give it more processors or offer less.",
    },
    Alert {
        name: "PlimsollExportLosesPoints",
        expression: "sum by (job, instance, sink) (increase(plimsoll_export_points_total{fate=\"lost\"}[5m])) > 0",
        lasting: "0s",
        severity: "warning",
        summary: "Points for {{ $labels.sink }} are lost",
        description: "The sink refused points for good, or the backlog was full. The run's notes say why.",
    },
    Alert {
        name: "PlimsollExportStuck",
        expression: "plimsoll_export_backlog_points > 0 and on (job, instance, sink) \
                     increase(plimsoll_export_points_total{fate=\"acknowledged\"}[1m]) == 0",
        lasting: "1m",
        severity: "warning",
        summary: "{{ $labels.sink }} takes no points",
        description: "Points wait and none was taken for a minute. They are kept until the backlog is full; the run's notes say why.",
    },
    Alert {
        name: "PlimsollHeadroomSmall",
        expression: "plimsoll_capacity_headroom_ratio < 0.1",
        lasting: "0s",
        severity: "critical",
        summary: "Traffic of {{ $labels.plan }} leaves {{ $value | humanizePercentage }} of its limit",
        description: "Less than a tenth of the limit is free beside the busiest traffic. plimsoll_capacity_limit has its \
                      interval; the page /capacity of the service says what limits.",
    },
    Alert {
        name: "PlimsollHeadroomShrinks",
        expression: "max_over_time(plimsoll_capacity_headroom_ratio[30d]) - plimsoll_capacity_headroom_ratio > 0.1 \
                     and plimsoll_capacity_headroom_ratio < 0.5",
        lasting: "0s",
        severity: "warning",
        summary: "{{ $labels.plan }} has lost {{ $value | humanizePercentage }} of its limit as headroom within 30 days",
        description: "Traffic grew or the limit fell. capacity --plan with --growth or --traffic-data tells the date on \
                      which nothing is left.",
    },
];

/// `alerts/plimsoll.rules.yml`.
pub fn alert_rules() -> String {
    let mut out = "# Rendered from the metric catalogue; a test holds the two equal.\n\
                   groups:\n  - name: plimsoll\n    rules:\n"
        .to_owned();
    for alert in &ALERTS {
        let Alert { name, expression, lasting, severity, summary, description } = alert;
        // Writing into a string cannot fail.
        let _ = write!(
            out,
            "      - alert: {name}\n        expr: >-\n          {expression}\n        for: {lasting}\n        \
             labels:\n          severity: {severity}\n        annotations:\n          summary: '{}'\n          \
             description: '{}'\n",
            summary.replace('\'', "''"),
            description.replace('\'', "''"),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn every_name_in_a_rule_is_in_the_catalogue() {
        assert_eq!(catalogue::unknown_names(&alert_rules()), Vec::<&str>::new());
        assert_eq!(catalogue::unknown_names("plimsoll_made_up > 0"), ["plimsoll_made_up"]);
    }
}
