//! What the name of a metric says of it. Which way it is better stands in [`plimsoll_stats::Direction::of`].

/// How the values of a run become the one that is compared, because the run is the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfRun {
    /// The middle value; of an even number the mean of the middle two. Of times and sizes: a single hiccup in a run is not the run. What
    /// became of the slowest it does not see; that is a metric of its own, such as the p99 of each run.
    Median,
    /// The sum by the number. Of what adds up: half a run at 100/s and half at 300/s is a run at 200/s, and of a share that is 0 in most
    /// parts of a run the median would be 0.
    Mean,
}

impl OfRun {
    /// The mean for `throughput`, `availability`, names that begin with `mean` and names that end in `_per_second`, `_ratio` or
    /// `_total`; else the median.
    pub fn of(metric: &str) -> Self {
        let adds_up = matches!(metric, "throughput" | "availability")
            || metric.starts_with("mean")
            || ["_per_second", "_ratio", "_total"].iter().any(|end| metric.ends_with(end));
        if adds_up { Self::Mean } else { Self::Median }
    }

    /// Its name: `median` or `mean`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Median => "median",
            Self::Mean => "mean",
        }
    }

    /// The value of a run; `None` of a run without values. `values` are put in order where that is needed.
    pub(crate) fn value(self, values: &mut [f64]) -> Option<f64> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        match self {
            // Shares first: a sum of finite numbers may not be finite.
            Self::Mean if count > 1 => Some(values.iter().map(|value| value / count as f64).sum()),
            Self::Median if count > 1 => {
                values.sort_by(f64::total_cmp);
                let (low, high) = (values[(count - 1) / 2], values[count / 2]);
                Some(if low == high { low } else { low / 2.0 + high / 2.0 })
            }
            Self::Mean | Self::Median => Some(values[0]),
        }
    }
}

/// By how much a metric may get worse where nobody says otherwise, as a share: what the severity of a regression is measured by.
///
/// 5% for throughput, 10% for a mean or memory, 15% for p95 or CPU, 20% for p99, else 10%: the further out in the tail, the more a
/// figure differs from run to run.
pub fn tolerance(metric: &str) -> f64 {
    let metric = metric.to_lowercase();
    let begins = |word: &str| metric.starts_with(word);
    if begins("throughput") {
        0.05
    } else if begins("p99") {
        0.2
    } else if begins("p95") || begins("cpu") {
        0.15
    } else {
        0.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_adds_up_has_a_mean() {
        for (metric, expected) in [
            ("p95", OfRun::Median),
            ("ns/op", OfRun::Median),
            ("time", OfRun::Median),
            ("throughput", OfRun::Mean),
            ("availability", OfRun::Mean),
            ("mean_response_time", OfRun::Mean),
            ("bytes_per_second", OfRun::Mean),
            ("error_ratio", OfRun::Mean),
            ("cpu_seconds_total", OfRun::Mean),
        ] {
            assert_eq!(OfRun::of(metric), expected, "{metric}");
        }
    }

    #[test]
    fn a_run_has_one_value() {
        for (values, median, mean) in [
            (&[][..], None, None),
            (&[3.0], Some(3.0), Some(3.0)),
            (&[3.0, 1.0], Some(2.0), Some(2.0)),
            (&[9.0, 1.0, 2.0], Some(2.0), Some(4.0)),
            (&[1.0, 9.0, 2.0, 4.0], Some(3.0), Some(4.0)),
            (&[f64::MAX, f64::MAX], Some(f64::MAX), Some(f64::MAX)),
            (&[0.0, 0.0, 0.0, 4.0], Some(0.0), Some(1.0)),
        ] {
            assert_eq!(OfRun::Median.value(&mut values.to_vec()), median, "{values:?}");
            assert_eq!(OfRun::Mean.value(&mut values.to_vec()), mean, "{values:?}");
        }
    }

    #[test]
    fn tails_are_tolerated_more() {
        for (metric, expected) in [
            ("throughput", 0.05),
            ("mean", 0.1),
            ("p95_seconds", 0.15),
            ("p99", 0.2),
            ("p99_9", 0.2),
            ("memory_bytes", 0.1),
            ("CPU", 0.15),
            ("anything", 0.1),
        ] {
            assert_eq!(tolerance(metric), expected, "{metric}");
        }
    }
}
