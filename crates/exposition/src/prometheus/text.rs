//! The two text forms. They differ in how a family is headed, in exemplars, and in the end mark.

use std::fmt::Write;

use crate::catalogue::{Kind, Metric};
use crate::number::{float, seconds, shortest};
use crate::{Exemplar, Family, HistogramValue, Labels, Value};

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Prometheus text 0.0.4.
    Classic,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

pub(super) fn encode(families: &[Family], dialect: Dialect) -> String {
    let mut out = String::new();
    for family in families {
        head(&mut out, family.metric, dialect);
        for point in &family.points {
            match &point.value {
                Value::Counter(count) => {
                    series(&mut out, family.metric, "", &point.labels, None);
                    put(&mut out, format_args!(" {count}\n"));
                }
                Value::Gauge(level) => {
                    series(&mut out, family.metric, "", &point.labels, None);
                    put(&mut out, format_args!(" {}\n", shortest(*level)));
                }
                Value::Histogram(value) => histogram(&mut out, family.metric, &point.labels, value, dialect),
            }
            if let (Dialect::OpenMetrics, Some(nanos)) = (dialect, point.created_nanos) {
                created(&mut out, family.metric, &point.labels, nanos);
            }
        }
    }
    if dialect == Dialect::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

/// An OpenMetrics family is named without the suffix its type gives to samples.
fn family_name(metric: &Metric) -> &'static str {
    let suffix = match metric.kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Gauge | Kind::Histogram => "",
    };
    metric.name.strip_suffix(suffix).unwrap_or(metric.name)
}

/// When a series began to count.
fn created(out: &mut String, metric: &Metric, labels: &Labels, nanos: i64) {
    out.push_str(family_name(metric));
    out.push_str("_created");
    if !metric.labels.is_empty() {
        label_set(out, metric.labels.iter().copied().zip(labels.iter().map(AsRef::as_ref)));
    }
    put(out, format_args!(" {}.{:03}\n", nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND) / 1_000_000));
}

fn head(out: &mut String, metric: &Metric, dialect: Dialect) {
    let (name, kind) = match (dialect, metric.kind) {
        (Dialect::Classic, Kind::Info) => (metric.name, Kind::Gauge),
        (Dialect::Classic, kind) => (metric.name, kind),
        (Dialect::OpenMetrics, kind) => (family_name(metric), kind),
    };
    put(out, format_args!("# HELP {name} {}\n", escaped(metric.help, dialect == Dialect::OpenMetrics)));
    put(out, format_args!("# TYPE {name} {}\n", kind.label()));
    if let (Dialect::OpenMetrics, Some(unit)) = (dialect, metric.unit) {
        put(out, format_args!("# UNIT {name} {}\n", unit.label()));
    }
}

fn histogram(out: &mut String, metric: &Metric, labels: &Labels, value: &HistogramValue, dialect: Dialect) {
    let buckets = value.classic().chain([(f64::INFINITY, value.count())]);
    for (bucket, (edge, count)) in buckets.enumerate() {
        series(out, metric, "_bucket", labels, Some(edge));
        put(out, format_args!(" {count}"));
        if let (Dialect::OpenMetrics, Some(found)) = (dialect, value.exemplar(bucket)) {
            exemplar(out, found);
        }
        out.push('\n');
    }
    series(out, metric, "_sum", labels, None);
    put(out, format_args!(" {}\n", shortest(value.sum())));
    series(out, metric, "_count", labels, None);
    put(out, format_args!(" {}\n", value.count()));
}

fn exemplar(out: &mut String, exemplar: &Exemplar) {
    out.push_str(" # ");
    let labels = exemplar.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    label_set(out, labels);
    put(out, format_args!(" {}", shortest(seconds(exemplar.nanos))));
    if let Some(nanos) = exemplar.wall_nanos {
        put(out, format_args!(" {}.{:09}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000)));
    }
}

fn series(out: &mut String, metric: &Metric, suffix: &str, labels: &Labels, edge: Option<f64>) {
    put(out, format_args!("{}{suffix}", metric.name));
    let edge = edge.map(float);
    let own = metric.labels.iter().copied().zip(labels.iter().map(AsRef::as_ref));
    let all = own.chain(edge.as_deref().map(|edge| ("le", edge)));
    if !metric.labels.is_empty() || edge.is_some() {
        label_set(out, all);
    }
}

fn label_set<'a>(out: &mut String, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut mark = '{';
    let mut empty = true;
    for (name, value) in labels {
        put(out, format_args!("{mark}{name}=\"{}\"", escaped(value, true)));
        (mark, empty) = (',', false);
    }
    out.push_str(if empty { "{}" } else { "}" });
}

/// With backslash and line feed escaped, and quotes where they would end the text.
fn escaped(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;
    use crate::fixture::Fixture;
    use crate::{Metrics, Point};
    use plimsoll_measure::{Edges, Histogram};
    use plimsoll_run::ExportCount;

    fn small() -> Vec<Family> {
        let edges = Edges::exactly([1_000_000, 250_000_000]);
        let mut durations = Histogram::new(edges.clone());
        [500_000, 250_000_000, 3_000_000_000].into_iter().for_each(|nanos| durations.record(nanos));
        let mut value = HistogramValue::new(edges);
        value.add(&durations.distribution());
        value.show(Exemplar {
            labels: vec![("trace_id".to_owned(), "a\"b".to_owned())],
            nanos: 250_000_000,
            wall_nanos: Some(1_700_000_000_250_000_000),
        });
        let labels: Labels = ["a\\b\"c\nd", "browse", "measured"].map(Into::into).to_vec();
        let sink: Labels = vec!["influxdb".into(), "lost".into()];
        let info: Labels = ["shop", "r1", "", ""].map(Into::into).to_vec();
        vec![
            Family {
                metric: &catalogue::ITERATION_TIME,
                points: vec![Point {
                    created_nanos: Some(1_700_000_000_250_000_000),
                    ..Point::new(labels, Value::Histogram(Box::new(value)))
                }],
            },
            Family {
                metric: &catalogue::GENERATOR_CPU,
                points: vec![Point::new(Vec::new(), Value::Gauge(0.25))],
            },
            Family { metric: &catalogue::RUN_INFO, points: vec![Point::new(info, Value::Gauge(1.0))] },
            Family { metric: &catalogue::EXPORT_POINTS, points: vec![Point::new(sink, Value::Counter(7))] },
        ]
    }

    #[test]
    fn classic_text_is_as_scrapers_expect() {
        let expected = r##"# HELP plimsoll_iteration_time_seconds From when an iteration was due to the end of its last step, pauses included.
# TYPE plimsoll_iteration_time_seconds histogram
plimsoll_iteration_time_seconds_bucket{plan="a\\b\"c\nd",scenario="browse",phase="measured",le="0.001"} 1
plimsoll_iteration_time_seconds_bucket{plan="a\\b\"c\nd",scenario="browse",phase="measured",le="0.25"} 2
plimsoll_iteration_time_seconds_bucket{plan="a\\b\"c\nd",scenario="browse",phase="measured",le="+Inf"} 3
plimsoll_iteration_time_seconds_sum{plan="a\\b\"c\nd",scenario="browse",phase="measured"} 3.2505
plimsoll_iteration_time_seconds_count{plan="a\\b\"c\nd",scenario="browse",phase="measured"} 3
# HELP plimsoll_generator_cpu_ratio CPU time of the generator over the last second as a share of the processors it may use.
# TYPE plimsoll_generator_cpu_ratio gauge
plimsoll_generator_cpu_ratio 0.25
# HELP plimsoll_run_info A run that is live; the series ends with the run.
# TYPE plimsoll_run_info gauge
plimsoll_run_info{plan="shop",run="r1",version="",environment=""} 1
# HELP plimsoll_export_points_total Points for a sink: produced is acknowledged plus lost plus the backlog.
# TYPE plimsoll_export_points_total counter
plimsoll_export_points_total{sink="influxdb",fate="lost"} 7
"##;
        assert_eq!(encode(&small(), Dialect::Classic), expected);
    }

    #[test]
    fn open_metrics_has_units_exemplars_and_an_end() {
        let text = encode(&small(), Dialect::OpenMetrics);
        for line in [
            "# TYPE plimsoll_iteration_time_seconds histogram",
            "# UNIT plimsoll_iteration_time_seconds seconds",
            r#"plimsoll_iteration_time_seconds_bucket{plan="a\\b\"c\nd",scenario="browse",phase="measured",le="0.25"} 2 # {trace_id="a\"b"} 0.25 1700000000.250000000"#,
            r#"plimsoll_iteration_time_seconds_created{plan="a\\b\"c\nd",scenario="browse",phase="measured"} 1700000000.250"#,
            "# UNIT plimsoll_generator_cpu_ratio ratio",
            "# TYPE plimsoll_run info",
            r#"plimsoll_run_info{plan="shop",run="r1",version="",environment=""} 1"#,
            "# TYPE plimsoll_export_points counter",
            r#"plimsoll_export_points_total{sink="influxdb",fate="lost"} 7"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis missing in\n{text}");
        }
        assert!(text.ends_with("} 7\n# EOF\n"));
        assert_eq!(encode(&[], Dialect::OpenMetrics), "# EOF\n");
    }

    #[test]
    fn a_whole_run_names_nothing_outside_the_catalogue() {
        let mut metrics = Metrics::new();
        let mut fixture = Fixture::busy();
        metrics.apply("run", &fixture.start_event());
        metrics.apply("run", &fixture.second());
        metrics.apply("run", &fixture.judged());
        let sink = ExportCount { sink: "influxdb".to_owned(), ..ExportCount::default() };
        let text = encode(&metrics.families(&[sink]), Dialect::Classic);
        assert_eq!(catalogue::unknown_names(&text), Vec::<&str>::new());
    }
}
