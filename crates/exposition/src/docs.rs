//! The page of the user guide that lists the metrics.

use std::fmt::Write;

use crate::catalogue::{self, Kind, Metric};

/// `docs/metrics.md`.
pub fn metrics_page() -> String {
    let mut page = HEAD.to_owned();
    for metric in catalogue::ALL {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
        let unit = metric.unit.map_or("", |unit| unit.label());
        let kind = metric.kind.label();
        // Writing into a string cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {kind} | {unit} | {labels} | {} | {} |",
            metric.name,
            measurement(metric),
            metric.help
        );
    }
    page.push_str(TAIL);
    page
}

fn measurement(metric: &Metric) -> String {
    // What became of exported points is told to who scrapes, not through the sink itself; what a history or
    // the service says belongs to no run, and a summary is no measurement.
    if [&catalogue::EXPORT_POINTS, &catalogue::EXPORT_BACKLOG].contains(&metric)
        || !catalogue::of_runs().any(|of_run| of_run == metric)
    {
        return "none".to_owned();
    }
    let fields = match metric.kind {
        Kind::Counter => "count",
        Kind::Gauge | Kind::Info => "value",
        Kind::Histogram => "count, sum, min, max, le_…",
    };
    format!("`{}`: {fields}", metric.measurement())
}

const HEAD: &str = "# Metrics

What a run measures goes out while it runs: scraped by Prometheus from `/metrics`, or sent to other systems ([Exporters](exporters.md)).
Names are the same everywhere and stand in one catalogue (`crates/exposition/src/catalogue.rs`), from which this page,
the alert rules in `alerts/` and the [dashboards](dashboards.md) in `grafana/` are rendered. Units are base units.

| metric | kind | unit | labels | in InfluxDB | meaning |
|---|---|---|---|---|---|
";

const TAIL: &str = "
## Reading them

- `phase` is `setup`, `warmup`, `measured`, `grace` or `teardown`: the phase in which a request's iteration was due. Verdicts and totals
  of a run cover `measured` and `grace`; ask for `phase=~\"measured|grace\"` to see the same requests.
- `outcome` is `ok`, `redirect`, `status`, `expectation`, `capture`, `timeout`, `connect`, `tls`, `dns`, `reset`, `protocol`, `too_large` or `cut`.
  The latency figures of a run cover `ok` and `timeout`; ask for `outcome=~\"ok|timeout\"` to see the same.
- Counters and histograms run on for the life of the process. `plimsoll_run_info` and the levels of a run (`plimsoll_offered_rate`,
  `plimsoll_virtual_users`, `plimsoll_in_flight_requests`, `plimsoll_connections`, `plimsoll_connection_reuse_ratio`, `plimsoll_resource`, and the gauges of the generator) are there while it lives;
  verdicts stay until the same plan runs again. To see a verdict only while its run lives: `plimsoll_sla_met and on (plan) plimsoll_run_info`.
- What finds no room within a plan's `limits` is counted with `step=\"(overflow)\"`.
- `reason` is `idle_closed`, `target_closed`, `error`, `timeout`, `too_large`, `unasked_bytes`, `elsewhere`, `user_ended`, `run_ended`, `goaway`, `idle_timeout` or `not_reused`; `tls` is `none`, `full`
  or `resumed`. Connections belong to no phase.
- `plimsoll_resource` has a series for each figure of a source in the plan's `resources`: `resource` is `cpu`, `memory` and the like, or a metric's
  own name with its labels; `unit` is `cores`, `ratio`, `bytes`, `seconds`, `per_second`, `bytes_per_second` or `count`. It is absent after a scrape that failed.
- `plimsoll_capacity_limit` and `plimsoll_capacity_headroom_ratio` are no run's: `plimsoll serve` exposes them at its own `/metrics`, from the newest answer of
  `capacity --plan` or `limit` in its history. The limit is the nearest that `capacity` found, the lowest of the peak's and the objectives', and the ratio the least
  headroom it prints. After a `limit` of users (closed load) only `estimate` exists: the throughput at the highest load that was kept. Live traffic can be set against the limit too:
  `1 - sum(rate(http_requests_total[5m])) / on () plimsoll_capacity_limit{plan=\"shop\", bound=\"estimate\"}`.
- `plimsoll_sla_state`, `plimsoll_sla_target_ratio`, `plimsoll_sla_compliance_ratio`, `plimsoll_sla_detection_delay_seconds`, `plimsoll_error_budget_remaining_ratio`
  and `plimsoll_burn_rate` are of SLAs that outlast a run: `plimsoll serve` exposes them at its own `/metrics`. `window` is `period`, or a
  duration of the SLA's burn-rate rules like `5m` or `1h`. An SLA whose events do not come from a plan has no `plan`.
- What has no data has no series. An undecided objective has no `plimsoll_sla_met`.

## Prometheus

`/metrics` answers in text 0.0.4, OpenMetrics 1.0 or, where the scraper asks for it, protobuf. Each histogram has classic buckets: one fixed grid from
100 µs to 60 s and the thresholds of the plan's objectives, counted exactly, so that `..._bucket{le=\"0.25\"}` is the very figure an objective of 250 ms is judged by.
Should a plan come back with another threshold while the process lives, counting goes on at the new edge; what was counted before counts there only as far as
it is known to be at or below.
Exemplars come with the buckets in OpenMetrics and protobuf. Both say since when a series counts (`_created`, `created_timestamp`): the beginning of the second
in which it first did. A Prometheus before 2.50 stores `_created` as series of their own.

In protobuf each histogram also has native buckets of schema 6: neighbouring bounds differ by 1.1%, so what `histogram_quantile` gives is within 1.1% of
the duration (and 0.1% of the histogram behind it). Durations below a microsecond count as zero. A Prometheus that takes native histograms leaves the classic buckets out unless
told otherwise (`scrape_classic_histograms: true`, since 2.45; `always_scrape_classic_histograms` since 3.0); the rules and the dashboards ask for either kind.

A process that lives on after a run keeps the last figures of its summary for `keep` (10 minutes by default), or until the plan has run again.

After a run `plimsoll run` keeps `/metrics` open until one scrape has read the final values, or `linger` has passed: by default twice the interval seen between
scrapes, and no time if nobody scraped.

## InfluxDB

There is one point per second and series, stamped with the second's end. The measurement is the metric's name less its last suffix, where that is
`_total`, `_seconds` or `_ratio`; tags are the labels and `run`; a label without a value is no tag.

- A counter's `count` is what the one second added: `sum(count)` over a time is the number in it.
- A histogram's `count`, `sum`, `min`, `max` and `le_<edge>` are those of the one second. `le_0.25` is how many of the second's durations were at or below
  0.25 s: it is cumulative over edges, not over time. There is no `le_inf`: it would be `count`. Percentiles come from the sums of `le_` fields, never from averages.
- Names keep all characters but those the protocol cannot carry: control characters become spaces, and a backslash before `,`, `=`, a space, a quote, another backslash or
  the end becomes a slash.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_each_metric_and_nothing_else() {
        let page = metrics_page();
        for metric in catalogue::ALL {
            assert!(page.contains(&format!("| `{}` |", metric.name)), "{}", metric.name);
        }
        let measurements: Vec<_> = catalogue::ALL.iter().map(|metric| metric.measurement()).collect();
        let unknown: Vec<_> =
            catalogue::unknown_names(&page).into_iter().filter(|name| !measurements.contains(name)).collect();
        assert_eq!(unknown, Vec::<&str>::new());
    }
}
