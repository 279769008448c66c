use plimsoll_measure::{Edges, Histogram};
use proptest::prelude::*;

use super::*;
use crate::noise::{Noise, autoregressive};

/// A moment that serves its load, with a response time of so many milliseconds.
fn moment(load: f64, throughput: f64, millis: f64) -> Moment {
    let mut histogram = Histogram::new(Edges::default());
    (1..=20).for_each(|nth| histogram.record((millis * 1e5 * f64::from(nth)) as u64));
    Moment {
        load,
        throughput,
        ended: Some(Ended { failed: 0.0, all: throughput }),
        response_time: Some(histogram.distribution()),
        resources: [("cpu_ratio".to_owned(), load / 1000.0), ("memory_bytes".to_owned(), 5e6)].into(),
        ..Moment::default()
    }
}

fn series(moments: impl IntoIterator<Item = Moment>) -> Series {
    let mut series = Series::new(1.0);
    moments.into_iter().for_each(|moment| series.push(Some(moment)));
    series
}

/// Loads held for so many seconds each, throughput with noise and a slow start of a time constant.
fn held(levels: &[(f64, usize)], noise_ratio: f64, phi: f64, slow_start: f64, seed: u64) -> Series {
    let mut noise = Noise::new(seed);
    series(levels.iter().flat_map(|(load, seconds)| {
        let wobble = autoregressive(&mut noise, *seconds, phi);
        let moments = wobble.into_iter().enumerate().map(|(second, wobble)| {
            let start =
                if slow_start > 0.0 { 1.0 - 0.5 * (-(second as f64) / slow_start).exp() } else { 1.0 };
            moment(*load, load * start * (1.0 + noise_ratio * wobble), 10.0 / start)
        });
        moments.collect::<Vec<_>>()
    }))
}

#[test]
fn each_load_that_stood_still_is_a_plateau() {
    for (noise, phi, slow) in [(0.0, 0.0, 0.0), (0.03, 0.0, 0.0), (0.03, 0.5, 0.0), (0.02, 0.0, 4.0)] {
        let levels = [(50.0, 40), (100.0, 40), (200.0, 60), (110.0, 30)];
        let found = Plateaus::of(&held(&levels, noise, phi, slow, 3));
        assert_eq!(found.left_out, [], "{noise} {phi} {slow}");
        let loads: Vec<f64> = found.steady.iter().map(|plateau| plateau.load).collect();
        assert_eq!(loads, [50.0, 100.0, 200.0, 110.0]);
        for plateau in &found.steady {
            let error = (plateau.throughput.value / plateau.load - 1.0).abs();
            assert!(error < 0.02, "{noise} {phi} {slow}: {plateau:?}");
            assert!((plateau.resources["cpu_ratio"].value - plateau.load / 1000.0).abs() < 1e-9);
            assert!(!plateau.growing);
        }
    }
}

#[test]
fn the_cut_follows_the_transient() {
    let cut = |slow| Plateaus::of(&held(&[(100.0, 120)], 0.01, 0.0, slow, 9)).steady[0].transient;
    let (none, short, long) = (cut(0.0), cut(2.0), cut(8.0));
    assert!(
        none <= 15.0 && (4.0..=25.0).contains(&short) && (15.0..=60.0).contains(&long),
        "{none} {short} {long}"
    );
}

#[test]
fn a_point_says_what_the_plateau_was() {
    let found = Plateaus::of(&held(&[(100.0, 60)], 0.02, 0.0, 0.0, 1));
    let point = found.steady[0].point();
    assert_eq!(point.load, 100.0);
    assert_eq!(point.error_ratio, Some(0.0));
    assert_eq!(point.resources.keys().collect::<Vec<_>>(), ["cpu"]);
    assert!(point.throughput_error.unwrap() > 0.0);
    let median = point.response_time[&Quantile::P50];
    assert!((median / 0.01 - 1.0).abs() < 0.01, "{median}");
    crate::Points::new(vec![point], crate::LoadKind::Rate).unwrap();
}

#[test]
fn what_is_no_plateau_is_named() {
    let ramp = || (1..=60).map(|second| moment(f64::from(second) * 5.0, f64::from(second) * 5.0, 10.0));
    let flat = |load: f64, throughput: f64, seconds| {
        std::iter::repeat_with(move || moment(load, throughput, 10.0)).take(seconds)
    };
    let rising = (0..60).map(|second| moment(100.0, 60.0 + f64::from(second) * 0.5, 10.0));
    for (moments, expected) in [
        (ramp().collect::<Vec<_>>(), "the load moved between 5 and 300"),
        (flat(100.0, 100.0, 4).collect(), "load 100 stood still for 4 s once settled; 8 s are needed"),
        (
            flat(100.0, 100.0, 30).chain(flat(100.0, 60.0, 30)).collect(),
            "at load 100 throughput went from 100/s to 60/s after 30 s and did not come back",
        ),
        (rising.collect(), "at load 100 throughput was still rising at its end, by"),
    ] {
        let found = Plateaus::of(&series(moments));
        assert_eq!(found.steady, [], "{expected}");
        let why: Vec<String> = found.left_out.iter().map(|left| left.why.to_string()).collect();
        assert!(why.len() == 1 && why[0].starts_with(expected), "{why:?}");
    }
}

#[test]
fn ramps_between_holds_belong_to_none() {
    let mut moments = Vec::new();
    for level in 1..=3 {
        let (from, to) = (f64::from(level - 1) * 100.0, f64::from(level) * 100.0);
        moments.extend((1..=10).map(|second| {
            let load = from + (to - from) * (f64::from(second) - 0.5) / 10.0;
            moment(load, load, 10.0)
        }));
        moments.extend(std::iter::repeat_with(|| moment(to, to, 10.0)).take(20));
    }
    let found = Plateaus::of(&series(moments));
    let holds: Vec<_> = found.steady.iter().map(|plateau| (plateau.load, plateau.to)).collect();
    assert_eq!(holds, [(100.0, 30.0), (200.0, 60.0), (300.0, 90.0)]);
    assert!(found.steady.iter().all(|plateau| plateau.to - plateau.from >= 18.0), "{found:?}");
    assert!(found.left_out.iter().all(|left| matches!(left.why, Unsteady::Ramp { .. })), "{found:?}");
}

#[test]
fn a_ramp_that_hardly_moves_is_a_row_of_plateaus() {
    let moments = (0..1500).map(|second| {
        let load = 100.0 * (f64::from(second) * 0.0002).exp();
        moment(load, load, 10.0)
    });
    let found = Plateaus::of(&series(moments));
    assert!(found.steady.len() >= 5, "{}", found.steady.len());
    assert!(found.steady.windows(2).all(|pair| pair[0].load < pair[1].load));
}

#[test]
fn a_freeze_stays_in_and_makes_it_less_sure() {
    let calm = held(&[(100.0, 60)], 0.01, 0.0, 0.0, 4);
    let mut frozen = Series::new(1.0);
    for (second, moment) in calm.moments().iter().enumerate() {
        let stopped = |moment: Moment| Moment { throughput: 0.0, ..moment };
        let moment = moment.clone();
        frozen.push(if [40, 41].contains(&second) { moment.map(stopped) } else { moment });
    }
    let (calm, frozen) = (Plateaus::of(&calm), Plateaus::of(&frozen));
    assert_eq!(frozen.left_out, []);
    let (calm, frozen) = (&calm.steady[0].throughput, &frozen.steady[0].throughput);
    assert!(frozen.value < 0.98 * calm.value && frozen.standard_error > 5.0 * calm.standard_error);
}

#[test]
fn a_queue_that_builds_up_is_told() {
    let overloaded = (0..40).map(|second| moment(120.0, 100.0, 50.0 + 160.0 * f64::from(second)));
    let found = Plateaus::of(&series(overloaded));
    assert!(found.steady[0].growing, "{found:?}");
    assert_eq!(found.steady[0].throughput.value, 100.0);
}

/// How arrivals follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Arrivals {
    /// At random: the counts of seconds vary as much as their mean.
    Poisson,
    /// One like the other.
    Uniform,
    /// At random, and answered by a system whose speed wanders slowly.
    Wandering,
}

/// Of which share of plateaus it is said that throughput changed: seconds of arrivals at a rate that is another by a share from the
/// middle on. What is cut up to there as the way into the steady state counts too.
fn changes(arrivals: Arrivals, rate: f64, seconds: usize, change: f64, plateaus: u64) -> f64 {
    let found = (0..plateaus).filter(|seed| {
        let mut noise = Noise::new(*seed);
        let wander = autoregressive(&mut noise, seconds, 0.5);
        let mut next = noise.uniform() / rate;
        let moments = (0..seconds).map(|second| {
            let factor = if second < seconds / 2 { 1.0 } else { 1.0 + change };
            let mut count = 0.0;
            while next < (second + 1) as f64 {
                count += 1.0;
                let gap = if arrivals == Arrivals::Uniform { 1.0 } else { -noise.uniform().ln() };
                next += gap / (rate * factor);
            }
            let speed = if arrivals == Arrivals::Wandering { 1.0 + 0.03 * wander[second] } else { 1.0 };
            Moment { load: rate, throughput: count * speed, ..Moment::default() }
        });
        let found = Plateaus::of(&series(moments.collect::<Vec<_>>()));
        let moved = |why| matches!(why, Unsteady::Changed { .. } | Unsteady::Drifting { .. });
        let near = (seconds / 2) as f64 * 0.75;
        found.left_out.iter().any(|left| moved(left.why))
            || change > 0.0 && found.steady.iter().any(|plateau| plateau.transient > near)
    });
    found.count() as f64 / plateaus as f64
}

#[test]
fn chance_seldom_makes_a_change_and_a_change_is_seldom_missed() {
    use Arrivals::{Poisson, Uniform, Wandering};
    for (arrivals, rate, seconds, wrong, right) in [
        (Poisson, 200.0, 8, 0.01, 0.0),
        (Poisson, 200.0, 12, 0.01, 0.0),
        // Half a minute of such counts knows a change of 10% by four standard errors, and not where it is.
        (Poisson, 200.0, 30, 0.01, 0.5),
        (Poisson, 200.0, 60, 0.01, 0.9),
        (Poisson, 20.0, 30, 0.01, 0.0),
        (Uniform, 200.0, 12, 0.0, 1.0),
        (Uniform, 200.0, 30, 0.0, 1.0),
        (Wandering, 200.0, 30, 0.01, 0.4),
        (Wandering, 200.0, 60, 0.03, 0.8),
    ] {
        let alarms = changes(arrivals, rate, seconds, 0.0, 800);
        let found = changes(arrivals, rate, seconds, 0.1, 200);
        assert!(
            alarms <= wrong && found >= right,
            "{arrivals:?} at {rate}/s for {seconds} s: {alarms}, {found}"
        );
    }
}

#[test]
fn a_backlog_is_no_throughput_of_its_load() {
    let drained = (0..40).map(|second| moment(if second < 20 { 200.0 } else { 50.0 }, 100.0, 10.0));
    let found = Plateaus::of(&series(drained)).within_rates();
    assert_eq!(found.steady.iter().map(|plateau| plateau.load).collect::<Vec<_>>(), [200.0]);
    assert_eq!(
        found.left_out[0].why.to_string(),
        "at load 50 throughput was 100/s: what had waited before was worked off"
    );
}

#[test]
fn points_weigh_alike_but_for_those_less_sure() {
    let found = Plateaus::of(&held(&[(50.0, 60), (100.0, 60)], 0.0, 0.0, 0.0, 1));
    let errors: Vec<f64> =
        points(&found.steady).iter().map(|point| point.throughput_error.unwrap()).collect();
    assert!((errors[0] / errors[1] - 1.0).abs() < 0.01, "{errors:?}");
    let noisy = Plateaus::of(&held(&[(50.0, 60), (100.0, 60)], 0.2, 0.0, 0.0, 1));
    let errors: Vec<f64> =
        points(&noisy.steady).iter().map(|point| point.throughput_error.unwrap()).collect();
    assert!(errors[1] > 1.5 * errors[0], "{errors:?}");
}

#[test]
fn pauses_and_gaps_end_a_plateau() {
    let mut series = series(std::iter::repeat_with(|| moment(10.0, 10.0, 5.0)).take(20));
    series.push(None);
    (0..20).for_each(|_| series.push(Some(moment(10.0, 10.0, 5.0))));
    series.push(Some(moment(0.0, 0.0, 5.0)));
    (0..20).for_each(|_| series.push(Some(moment(10.0, 10.0, 5.0))));
    let spans: Vec<_> = Plateaus::of(&series).steady.iter().map(|found| (found.from, found.to)).collect();
    assert_eq!(spans, [(0.0, 20.0), (21.0, 41.0), (42.0, 62.0)]);
    assert_eq!(Plateaus::of(&Series::new(1.0)), Plateaus::default());
}

/// How often the 90% interval of throughput and the 95% interval of p50 hold the truth.
fn coverage(phi: f64, seconds: usize) -> (f64, f64, f64) {
    const RUNS: u64 = 300;
    let (mut throughput, mut quantile, mut steady) = (0.0, 0.0, 0.0);
    for seed in 0..RUNS {
        let mut noise = Noise::new(seed);
        let wobble = autoregressive(&mut noise, seconds, phi);
        let moments = wobble.iter().map(|wobble| {
            let mut histogram = Histogram::new(Edges::default());
            // Log-normal, and the whole second a little slower or faster.
            (0..30).for_each(|_| {
                let nanos = 10e6 * (0.3 * noise.normal() + 0.1 * wobble).exp();
                histogram.record(nanos as u64);
            });
            Moment {
                load: 100.0,
                throughput: 90.0 * (1.0 - 0.02 * wobble),
                response_time: Some(histogram.distribution()),
                ..Moment::default()
            }
        });
        let found = Plateaus::of(&series(moments));
        let Some(plateau) = found.steady.first() else { continue };
        steady += 1.0;
        let (low, high) = plateau.throughput.interval(0.9);
        throughput += f64::from(u8::from(low <= 90.0 && 90.0 <= high));
        let p50 = plateau.response_time[&Quantile::P50];
        quantile += f64::from(u8::from(p50.low <= 0.01 && p50.high.is_none_or(|high| 0.01 <= high)));
    }
    (throughput / steady, quantile / steady, steady / RUNS as f64)
}

#[test]
fn intervals_hold_the_truth() {
    for (phi, seconds) in [(0.0, 30), (0.0, 120), (0.5, 60), (0.5, 240), (0.8, 240)] {
        let (throughput, quantile, steady) = coverage(phi, seconds);
        let said = format!("phi {phi}, {seconds} s: {throughput} {quantile} {steady}");
        assert!((0.82..=0.97).contains(&throughput), "throughput, {said}");
        assert!((0.89..=1.0).contains(&quantile), "p50, {said}");
        assert!(steady > 0.95, "steady, {said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn units_and_clocks_do_not_matter(seed in 0..1000_u64, by in 1..6_i32, later in 0..50_usize) {
        let original = held(&[(40.0, 30), (80.0, 30), (120.0, 12)], 0.02, 0.3, 2.0, seed);
        let factor = f64::from(by).exp2();
        let mut scaled = Series::new(1.0);
        (0..later).for_each(|_| scaled.push(None));
        for moment in original.moments() {
            let grown = moment.clone().map(|moment| Moment {
                load: moment.load * factor,
                throughput: moment.throughput * factor,
                ..moment
            });
            scaled.push(grown);
        }
        let (one, other) = (Plateaus::of(&original), Plateaus::of(&scaled));
        prop_assert_eq!(one.steady.len(), other.steady.len());
        for (one, other) in one.steady.iter().zip(&other.steady) {
            prop_assert_eq!(one.from + later as f64, other.from);
            prop_assert_eq!(one.to + later as f64, other.to);
            prop_assert!((one.load * factor / other.load - 1.0).abs() < 1e-9);
            prop_assert!((one.throughput.value * factor / other.throughput.value - 1.0).abs() < 1e-9);
            prop_assert_eq!(&one.response_time, &other.response_time);
        }
    }

    #[test]
    fn no_series_panics(
        values in proptest::collection::vec((prop_oneof![0.0..1e4_f64, Just(0.0), Just(f64::NAN), Just(1e300)], -1.0..1e4_f64), 0..120),
    ) {
        let mut series = Series::new(1.0);
        values.iter().for_each(|(load, throughput)| {
            series.push(Some(Moment { load: *load, throughput: *throughput, ended: Some(Ended { failed: 1.0, all: 2.0 }), ..Moment::default() }));
        });
        let found = Plateaus::of(&series);
        for plateau in &found.steady {
            prop_assert!(plateau.throughput.value.is_finite() && plateau.throughput.standard_error.is_finite());
            prop_assert!(plateau.load > 0.0 && plateau.from < plateau.to);
        }
        found.left_out.iter().for_each(|left| { left.why.to_string(); });
    }
}
