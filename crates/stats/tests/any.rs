//! Whatever the series: no panic, no figure that is no number, and time that grows with its length.

use plimsoll_stats::{
    ChangeFloor, Count, Direction, LeakFloor, Pair, Point, Progress, Rule, Runs, Session, Verdict,
    against_sessions, anomalies, at_like_load, bootstrap_t, change_points, compare_all, compare_counts,
    correlations, leak, sequential, trend,
};
use proptest::prelude::*;

const FLOOR: LeakFloor = LeakFloor { amount: 0.0, share: 0.01 };

fn points() -> impl Strategy<Value = Vec<Point>> {
    let some = prop_oneof![
        4 => (0..9_u8).prop_map(f64::from),
        4 => -1e3..1e3_f64,
        1 => any::<f64>(),
        1 => Just(f64::NAN),
    ];
    let at = prop_oneof![9 => (0..2000_u16).prop_map(f64::from), 1 => any::<f64>()];
    prop::collection::vec((at, some).prop_map(|(at, value)| Point { at, value }), 0..400)
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    let some = prop_oneof![
        8 => (1..9_u8).prop_map(f64::from),
        8 => 1e-3..1e3_f64,
        1 => Just(0.0),
        1 => any::<f64>(),
    ];
    prop_oneof![
        3 => prop::collection::vec(some, 0..60),
        1 => prop::collection::vec((1..9_u8).prop_map(f64::from), 0..8),
        1 => prop::collection::vec(f64::MIN_POSITIVE..f64::MAX, 2..60),
    ]
}

proptest! {
    #[test]
    fn no_series_breaks_anything(points in points(), other in points(), limit in any::<f64>()) {
        let found = leak(&points, FLOOR, Some(limit));
        if let Some(trend) = found.trend {
            prop_assert!(trend.slope.is_finite() && (0.0..=1.0).contains(&trend.p_growth), "{:?}", found);
            prop_assert!(trend.interval.0 <= trend.slope && trend.slope <= trend.interval.1, "{:?}", found);
        }
        let _ = trend(&points);
        for mark in anomalies(&points).unwrap_or_default() {
            prop_assert!(mark.start <= mark.end && mark.deviations.abs() >= 6.0, "{:?}", mark);
            prop_assert!(mark.usual.is_finite() && mark.found.is_finite(), "{:?}", mark);
        }
        let values = |points: &[Point]| points.iter().map(|point| point.value).collect::<Vec<_>>();
        let (one, other) = (values(&points), values(&other));
        for found in correlations(&[(&one, &other), (&other, &one), (&one, &one)]) {
            prop_assert!(found.rho.abs() <= 1.0 && (0.0..=1.0).contains(&found.p), "{:?}", found);
        }
        prop_assert!(at_like_load(&points, &other).len() <= points.len());
    }

    #[test]
    fn no_runs_break_a_comparison(base in values(), candidate in values(), seed in any::<u64>()) {
        let runs = |values| Runs { unit: "seconds", values };
        let (base, candidate) = (runs(&base), runs(&candidate));
        let pair = Pair { base, candidate, direction: Direction::LowerIsBetter, tolerance: 0.1 };
        for judged in compare_all(&[pair; 3], &Rule::default()).into_iter().flatten() {
            let found = judged.comparison;
            prop_assert!((0.0..=1.0).contains(&found.p) && found.p <= judged.p_adjusted, "{:?}", judged);
            prop_assert!(found.interval.low <= found.interval.high, "{:?}", judged);
            prop_assert!(found.interval.low <= found.change && found.change <= found.interval.high, "{:?}", judged);
            prop_assert_eq!(judged.severity.is_some(), judged.verdict == Verdict::Regression);
            prop_assert!(judged.detectable >= 0.0, "{:?}", judged);
        }
        if let Some(found) = bootstrap_t(base.values, candidate.values, seed) {
            prop_assert!(found.low <= found.high, "{:?}", found);
        }
        if let Ok((_, Progress::NotWorse { within })) =
            sequential(base, candidate, Direction::HigherIsBetter, &Rule::default())
        {
            prop_assert!((0.0..0.05).contains(&within), "{}", within);
        }
        let sessions: Vec<Session> =
            base.values.iter().filter_map(|value| Session::of(Runs { unit: "seconds", values: &[*value] }).ok()).collect();
        for new in &sessions {
            if let Ok(found) = against_sessions(&sessions, new) {
                prop_assert!((0.0..=1.0).contains(&found.p), "{:?}", found);
            }
        }
    }

    #[test]
    fn no_counts_break_a_comparison(
        base in prop::collection::vec((any::<u64>(), any::<u64>()), 0..6),
        candidate in prop::collection::vec((0..5_u64, 0..100_u64), 0..6),
    ) {
        let counts = |counts: &[(u64, u64)]| -> Vec<Count> {
            counts.iter().map(|&(one, other)| Count { failed: one.min(other), of: one.max(other) }).collect()
        };
        let (base, candidate) = (counts(&base), counts(&candidate));
        for (one, other) in [(&base, &candidate), (&candidate, &base), (&candidate, &candidate)] {
            if let Ok(found) = compare_counts(one, other) {
                prop_assert!((0.0..=1.0).contains(&found.p) && found.dispersion >= 1.0, "{:?}", found);
                let (low, high) = found.interval;
                prop_assert!(-1.0 <= low && low <= high && high <= 1.0, "{:?}", found);
            }
        }
    }

    #[test]
    fn no_history_breaks_change_points(values in values()) {
        let found = change_points(&values, ChangeFloor::default());
        for point in &found.points {
            prop_assert!(point.index < values.len() && (0.0..=1.0).contains(&point.p), "{:?}", found);
        }
        prop_assert!(found.points.windows(2).all(|pair| pair[0].index < pair[1].index), "{:?}", found);
        let _ = plimsoll_stats::steady(&values);
    }

    /// Neither unit nor start of the clock matters.
    #[test]
    fn scale_and_start_change_no_answer(
        values in prop::collection::vec(0.0..10.0_f64, 100..200), slope in 0.0..1.0_f64, power in -8..8_i32,
    ) {
        let series = |start: f64, scale: f64| -> Vec<Point> {
            let place = |(index, value): (u32, &f64)| {
                let at = f64::from(index);
                Point { at: start + at, value: scale * (value + slope * at) }
            };
            (0..).zip(&values).map(place).collect()
        };
        let plain = leak(&series(0.0, 1.0), FLOOR, None);
        // Powers of two: no value is rounded.
        let other = leak(&series(4096.0, 2_f64.powi(power)), FLOOR, None);
        prop_assert_eq!((plain.verdict, plain.growth), (other.verdict, other.growth));
    }
}

#[test]
fn a_million_values_take_their_time_once() {
    let of = |count: u32| -> Vec<Point> {
        let value = |n: u32| f64::from(n.wrapping_mul(2_654_435_761) >> 12) + f64::from(n);
        (0..count).map(|n| Point { at: f64::from(n), value: value(n) }).collect()
    };
    let points = of(1_000_000);
    let start = std::time::Instant::now();
    assert!(leak(&points, FLOOR, None).trend.is_some());
    assert!(anomalies(&points).is_some());
    // Two seconds on a busy machine; a quadratic one would take days.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
