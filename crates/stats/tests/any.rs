//! Whatever the series: no panic, no figure that is no number, and time that grows with its length.

use plimsoll_stats::{LeakFloor, Point, anomalies, at_like_load, correlations, leak, trend};
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
