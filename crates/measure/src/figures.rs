use plimsoll_units::Quantile;

use crate::{Histogram, Intervals};

/// The figures people read off a latency distribution, in seconds. What has no data is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LatencyFigures {
    /// How many durations they stand on.
    pub count: u64,
    /// The shortest, exactly.
    pub min: Option<f64>,
    /// The exact mean.
    pub mean: Option<f64>,
    /// Standard deviation, from the buckets.
    pub stddev: Option<f64>,
    /// The longest, exactly.
    pub max: Option<f64>,
    /// The median.
    pub p50: Option<f64>,
    /// The 75th percentile.
    pub p75: Option<f64>,
    /// The 90th percentile.
    pub p90: Option<f64>,
    /// The 95th percentile.
    pub p95: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
    /// The 99.9th percentile.
    pub p99_9: Option<f64>,
    /// The 99.99th percentile.
    pub p99_99: Option<f64>,
    /// Within what each of these quantiles really lies.
    pub intervals: Intervals,
}

impl LatencyFigures {
    /// The figures of a histogram whose values are so many to one of their unit.
    pub fn in_units(histogram: &Histogram, per_one: u64) -> Self {
        let per_one = per_one as f64;
        let exact = |value: u64| value as f64 / per_one;
        let quantile = |quantile| histogram.quantile(quantile).map(exact);
        Self {
            count: histogram.count(),
            min: histogram.min().map(exact),
            mean: histogram.mean().map(|value| value / per_one),
            stddev: histogram.stddev().map(|value| value / per_one),
            max: histogram.max().map(exact),
            p50: quantile(Quantile::P50),
            p75: quantile(Quantile::P75),
            p90: quantile(Quantile::P90),
            p95: quantile(Quantile::P95),
            p99: quantile(Quantile::P99),
            p99_9: quantile(Quantile::P99_9),
            p99_99: quantile(Quantile::P99_99),
            intervals: Intervals::in_units(histogram, per_one),
        }
    }
}

impl From<&Histogram> for LatencyFigures {
    fn from(histogram: &Histogram) -> Self {
        Self::in_units(histogram, crate::SECOND)
    }
}
