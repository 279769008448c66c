//! The percentiles that are compared, from wherever they come.

use serde_json::Value;

/// Values that at least this share is at or below, and how people and tables write them.
pub(super) const QUANTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

/// One figure for each of [`QUANTILES`], in seconds; none with too few values.
pub(super) type Percentiles = [Option<f64>; QUANTILES.len()];

/// Of all values: the smallest with at least that share at or below it. With fewer than `1/(1-q)` values
/// it would only repeat the largest and is none.
pub(super) fn of_values(mut values: Vec<f64>) -> Percentiles {
    values.sort_by(f64::total_cmp);
    QUANTILES.map(|(share, _)| {
        let count = values.len() as f64;
        // Half a rank of room: no rounding of the product can reach a neighbour.
        let rank = (share * count - 1e-6).ceil();
        let enough = count * (1.0 - share) >= 1.0 - 1e-6;
        enough.then(|| values.get(rank as usize - 1).copied()).flatten()
    })
}

/// From an object with the members `p50`, `p90`, `p99` and `p99_9` at a JSON pointer: our own and the
/// demo target's way to write them.
pub(super) fn of_json(json: &Value, pointer: &str) -> Percentiles {
    QUANTILES.map(|(_, name)| number(json, &format!("{pointer}/{}", name.replace('.', "_"))))
}

/// A number by its JSON pointer; none where there is `null` or nothing.
pub(super) fn number(json: &Value, pointer: &str) -> Option<f64> {
    json.pointer(pointer)?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(of_values(hundred), [Some(50.0), Some(90.0), Some(99.0), None]);
        let thousand: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(of_values(thousand), [Some(500.0), Some(900.0), Some(990.0), Some(999.0)]);
        assert_eq!(of_values(vec![7.0, 9.0]), [Some(7.0), None, None, None]);
        assert_eq!(of_values(vec![7.0]), [None; 4]);
        assert_eq!(of_values(Vec::new()), [None; 4]);
    }

    #[test]
    fn what_is_null_is_none() {
        let json = serde_json::json!({ "latency": { "p50": 0.5, "p99": 2, "p99_9": null } });
        assert_eq!(of_json(&json, "/latency"), [Some(0.5), None, Some(2.0), None]);
        assert_eq!(number(&json, "/latency/p10"), None);
    }
}
