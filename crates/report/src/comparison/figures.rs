//! How levels, changes and probabilities read.

use plimsoll_compare::Compared;

use crate::words;

/// Numbers below this would read as 0 with the digits that people are shown.
const SMALL: f64 = 1e-6;
/// Numbers from here on are told by their power of ten.
const LARGE: f64 = 1e15;

/// A level in the unit of its metric.
pub(super) fn level(pair: &Compared, value: f64) -> String {
    let metric = pair.metric.as_str();
    let ends = |suffix: &str| metric.ends_with(suffix);
    match pair.unit.as_deref() {
        _ if !value.is_finite() => words::NO_DATA.to_owned(),
        None if metric == "error_ratio" => format!("{}%", number(value * 100.0)),
        Some("seconds" | "s") => words::seconds(Some(value)),
        Some("bytes") => crate::resources::bytes(value),
        Some(unit) => format!("{} {}", number(value), words::plain(unit)),
        None if ends("_seconds") => words::seconds(Some(value)),
        None if ends("_bytes") => crate::resources::bytes(value),
        None if metric == "throughput" || ends("_per_second") => format!("{}/s", number(value)),
        None => number(value),
    }
}

/// A number of whatever size, to about three digits.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        words::NO_DATA.to_owned()
    } else if value != 0.0 && !(SMALL..LARGE).contains(&value.abs()) {
        format!("{value:.2e}")
    } else {
        words::significant(value)
    }
}

/// A change with its sign: `+8.1%`, `-0.4%`, `0%`.
pub(crate) fn change(share: f64) -> String {
    if !share.is_finite() {
        return words::NO_DATA.to_owned();
    }
    let percent = share * 100.0;
    // Hundredths of a percent are below what any run shows.
    let percent = if percent.abs() < 0.005 { 0.0 } else { percent };
    let sign = if percent > 0.0 { "+" } else { "" };
    format!("{sign}{}%", number(percent))
}

/// A change without its sign.
pub(super) fn size(share: f64) -> String {
    change(share.abs()).trim_start_matches('+').to_owned()
}

/// A difference of shares in points of a percent with its sign: `+0.4 pp`, which is 4 in a thousand more.
pub(crate) fn points(difference: f64) -> String {
    if !difference.is_finite() {
        return words::NO_DATA.to_owned();
    }
    let points = difference * 100.0;
    // One request in a million.
    let points = if points.abs() < 0.0001 { 0.0 } else { points };
    let sign = if points > 0.0 { "+" } else { "" };
    format!("{sign}{} pp", number(points))
}

/// A difference of shares without its sign.
pub(super) fn points_size(difference: f64) -> String {
    points(difference.abs()).trim_start_matches('+').to_owned()
}

/// How likely by chance.
pub(crate) fn probability(p: f64) -> String {
    if p.is_nan() {
        words::NO_DATA.to_owned()
    } else if p < 0.0001 {
        "<0.0001".to_owned()
    } else if p < 0.001 {
        format!("{p:.4}")
    } else {
        format!("{p:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_a_sign_and_few_digits() {
        for (share, expected) in [
            (0.0814, "+8.14%"),
            (-0.004, "-0.4%"),
            (0.0, "0%"),
            (-0.000_001, "0%"),
            (1.5, "+150%"),
            (1e20, "+1.00e22%"),
            (f64::INFINITY, "–"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(change(share), expected, "{share}");
        }
        assert_eq!(size(-0.05), "5%");
    }

    #[test]
    fn differences_of_shares_are_points() {
        for (difference, expected) in [
            (0.004, "+0.4 pp"),
            (-0.000_25, "-0.025 pp"),
            (0.0, "0 pp"),
            (1e-9, "0 pp"),
            (1.0, "+100 pp"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(points(difference), expected, "{difference}");
        }
        assert_eq!(points_size(-0.001), "0.1 pp");
    }

    #[test]
    fn what_is_small_is_not_zero() {
        for (value, expected) in
            [(1e-9, "1.00e-9"), (-1e-9, "-1.00e-9"), (0.0, "0"), (1726.0, "1,726"), (2e300, "2.00e300")]
        {
            assert_eq!(number(value), expected, "{value}");
        }
        for (p, expected) in [(0.0, "<0.0001"), (0.000_23, "0.0002"), (0.0123, "0.012"), (1.0, "1.000")] {
            assert_eq!(probability(p), expected, "{p}");
        }
    }
}
