//! Queries of Prometheus as the dashboards write them.

use super::board::{Query, query};
use crate::catalogue::Metric;

/// Over which rates are taken: at least four scrapes, as Grafana counts.
const RATE: &str = "[$__rate_interval]";

/// What of a metric is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen {
    /// Label matchers.
    pub(super) matchers: &'static str,
    /// What else must be there, after the selector or the rate of it.
    pub(super) and: &'static str,
}

impl Chosen {
    /// The same with other matchers.
    pub(super) const fn with(self, matchers: &'static str) -> Self {
        Self { matchers, ..self }
    }
}

/// The level of a metric.
pub(super) fn level(metric: &Metric, chosen: Chosen) -> String {
    format!("{}{}", select(metric.name, chosen.matchers), chosen.and)
}

/// The growth of a counter per second, summed.
pub(super) fn rate(by: &str, metric: &Metric, chosen: Chosen) -> String {
    sum(by, &growth(metric.name, chosen))
}

/// As [`rate`], where it is any: what never happens has no name in a legend.
pub(super) fn happened(by: &str, metric: &Metric, chosen: Chosen) -> String {
    format!("{} > 0", rate(by, metric, chosen))
}

/// The native histogram of a metric's recent past, which is nothing where a Prometheus takes none.
fn native(by: &str, metric: &Metric, chosen: Chosen) -> String {
    sum(by, &growth(metric.name, chosen))
}

/// Its classic buckets.
fn classic(by: &str, metric: &Metric, chosen: Chosen) -> String {
    let by = if by.is_empty() { "le".to_owned() } else { format!("le, {by}") };
    sum(&by, &growth(&format!("{}_bucket", metric.name), chosen))
}

/// A quantile over a histogram's recent past, whichever kind of buckets was scraped.
pub(super) fn quantile(share: &str, by: &str, metric: &Metric, chosen: Chosen) -> String {
    format!(
        "histogram_quantile({share}, {}) or histogram_quantile({share}, {})",
        native(by, metric, chosen),
        classic(by, metric, chosen)
    )
}

/// How many durations a second there were at each length: native buckets, and classic ones where there are none.
pub(super) fn lengths(metric: &Metric, chosen: Chosen) -> String {
    let native = native("", metric, chosen);
    format!("{native} or ({} unless on () {native})", classic("", metric, chosen))
}

/// How many durations a second ended, whichever kind of buckets was scraped.
pub(super) fn ended(metric: &Metric, chosen: Chosen) -> String {
    let count = sum("", &growth(&format!("{}_count", metric.name), chosen));
    format!("histogram_count({}) or {count}", native("", metric, chosen))
}

/// The quantiles that people ask for.
pub(super) fn quantiles(metric: &Metric, chosen: Chosen) -> Vec<Query> {
    let shares = [("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99"), ("p99.9", "0.999")];
    shares.into_iter().map(|(legend, share)| query(legend, quantile(share, "", metric, chosen))).collect()
}

/// A text as PromQL reads it, with nothing in it that Grafana takes for a variable.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '$' => quoted.push_str("\\x24"),
            '[' => quoted.push_str("\\x5b"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A text as a part of a regular expression (RE2) that stands for itself.
pub(super) fn literal(text: &str) -> String {
    let mut literal = String::new();
    for letter in text.chars() {
        if letter.is_ascii_punctuation() && !"-_/".contains(letter) {
            literal.push('\\');
        }
        literal.push(letter);
    }
    literal
}

fn sum(by: &str, expression: &str) -> String {
    if by.is_empty() { format!("sum({expression})") } else { format!("sum by ({by}) ({expression})") }
}

fn growth(name: &str, chosen: Chosen) -> String {
    format!("rate({}{RATE}){}", select(name, chosen.matchers), chosen.and)
}

fn select(name: &str, matchers: &str) -> String {
    format!("{name}{{{matchers}}}")
}
