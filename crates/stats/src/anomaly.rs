use crate::points::{Point, finite};
use crate::ranks::{MAD_TO_DEVIATION, median, quantile};

/// Values that a mark looks at together: of five, three have to be unusual, so no single one ever is.
const TOGETHER: usize = 5;
/// Values around one that say what is usual there: five minutes of seconds.
const AROUND: usize = 301;
/// The fewest values that anything is said about.
const LEAST_POINTS: usize = 60;
/// How many robust standard deviations of such medians away from the usual one is unusual. Of a normal distribution it is 2 in
/// a billion; what is left is for distributions and scales that are not known well.
const UNUSUAL: f64 = 6.0;
/// A mark reaches as far as values are half as far away.
const EDGE: f64 = UNUSUAL / 2.0;
/// Marks with no more than so many usual values between them are one.
const NEAR: usize = 10;
/// What is less than this share away from the usual value is not worth a mark.
const LEAST_SHARE: f64 = 0.05;
/// From here on a distribution is skewed, by the difference of its outer deciles from the median over their distance.
const SKEWED: f64 = 0.1;

/// A stretch in which a series was not what it usually is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anomaly {
    /// Place of its first value (seconds).
    pub start: f64,
    /// Place of its last value.
    pub end: f64,
    /// What was usual where it was farthest away.
    pub usual: f64,
    /// What it was there: a median of five values.
    pub found: f64,
    /// How far away that is in robust standard deviations; at least 6, negative below the usual.
    pub deviations: f64,
}

/// Where a series is unusual, in order; `None` with fewer than 60 values.
///
/// Medians of five values are held against the median of the 301 around them, in units of their own median absolute
/// deviation (F. R. Hampel, *The influence curve and its role in robust estimation*, JASA 69, 1974) over the series or around
/// them, whichever is larger; so autocorrelation counts, as what wanders has medians that wander. Skewed positive
/// values are looked at as logarithms. Six deviations are unusual, and at least 5% of the usual value and six
/// times the smallest step between values are.
///
/// A mark lasts for three values at least: one that is alone is none. What lasts longer than half of 301 values becomes
/// usual; near the ends there are fewer around, and so less is found. On noise (normal, log-normal, counted, autocorrelated) there is at most one mark in 3,600 values; the tests
/// simulate it. Give values at like load ([`at_like_load`](crate::at_like_load)).
pub fn anomalies(points: &[Point]) -> Option<Vec<Anomaly>> {
    let points = finite(points);
    if points.len() < LEAST_POINTS {
        return None;
    }
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    let view = View::of(&values);
    let seen: Vec<f64> = values.iter().map(|value| view.see(*value)).collect();
    let (short, usual) = (rolling_median(&seen, TOGETHER), rolling_median(&seen, AROUND));
    let away: Vec<f64> = short.iter().zip(&usual).map(|(one, other)| one - other).collect();
    let distances: Vec<f64> = away.iter().map(|away| away.abs()).collect();
    let overall = median(&mut distances.clone())?;
    let step = smallest_step(&values);
    let scaled = |(index, around): (usize, f64)| {
        // One step of the values where they are, in the view.
        let grain = match view {
            View::Plain => step,
            View::Logarithm => (step / values[index]).min(1.0).ln_1p(),
        };
        let scale = (overall.max(around) * MAD_TO_DEVIATION).max(grain);
        let (was, is) = (view.back(usual[index]), view.back(short[index]));
        let is_worth_a_mark = (is - was).abs() >= LEAST_SHARE * was.abs();
        let deviation = away[index] / scale;
        // Constants have no scale, and differences of enormous numbers none either.
        if is_worth_a_mark && deviation.is_finite() { deviation } else { 0.0 }
    };
    let deviations: Vec<f64> =
        rolling_median(&distances, AROUND).into_iter().enumerate().map(scaled).collect();
    let mark = |(first, last): (usize, usize)| {
        let by_size =
            |one: &usize, other: &usize| deviations[*one].abs().total_cmp(&deviations[*other].abs());
        let farthest = (first..=last).max_by(by_size).unwrap_or(first);
        Anomaly {
            start: points[first].at,
            end: points[last].at,
            usual: view.back(usual[farthest]),
            found: view.back(short[farthest]),
            deviations: deviations[farthest],
        }
    };
    Some(stretches(&deviations).into_iter().map(mark).collect())
}

/// First and last index of each stretch that is unusual, those near each other together.
fn stretches(deviations: &[f64]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut index = 0;
    while index < deviations.len() {
        let deviation = deviations[index];
        if deviation.abs() < UNUSUAL {
            index += 1;
            continue;
        }
        let same = |other: f64| other.abs() >= EDGE && (other > 0.0) == (deviation > 0.0);
        // Not back over what was looked at already: linear time.
        let from = found.last().map_or(0, |(_, last)| last + 1);
        let before = deviations[from..index].iter().rev().take_while(|other| same(**other)).count();
        let after = deviations[index..].iter().take_while(|other| same(**other)).count();
        let (first, last) = (index - before, index + after - 1);
        match found.last_mut() {
            Some((_, end)) if first <= *end + NEAR + 1 => *end = last,
            _ => found.push((first, last)),
        }
        index = last + 1;
    }
    found
}

/// How values are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Plain,
    Logarithm,
}

impl View {
    /// The one in which the outer deciles are more alike.
    fn of(values: &[f64]) -> Self {
        let skew = |view: Self| {
            let mut seen: Vec<f64> = values.iter().map(|value| view.see(*value)).collect();
            let decile = |seen: &mut [f64], share| quantile(seen, share).unwrap_or_default();
            let [low, middle, high] = [0.1, 0.5, 0.9].map(|share| decile(&mut seen, share));
            if high > low { ((high - middle) - (middle - low)) / (high - low) } else { 0.0 }
        };
        let is_positive = values.iter().all(|value| *value > 0.0);
        let plain = skew(Self::Plain);
        match is_positive && plain > SKEWED && skew(Self::Logarithm).abs() < plain {
            true => Self::Logarithm,
            false => Self::Plain,
        }
    }

    fn see(self, value: f64) -> f64 {
        match self {
            Self::Plain => value,
            Self::Logarithm => value.ln(),
        }
    }

    fn back(self, seen: f64) -> f64 {
        match self {
            Self::Plain => seen,
            Self::Logarithm => seen.exp(),
        }
    }
}

/// The smallest difference between two values that differ; 0 where none do.
fn smallest_step(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let steps = sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0.0);
    let smallest = steps.fold(f64::INFINITY, f64::min);
    if smallest.is_finite() { smallest } else { 0.0 }
}

/// The median of the `width` (odd) values around each; of fewer near the ends, as many on either side, so that a ramp has
/// itself as its median. Time is n x width at worst, with a small constant: a sorted window that values enter and leave.
fn rolling_median(values: &[f64], width: usize) -> Vec<f64> {
    let place = |window: &[f64], value: &f64| window.partition_point(|other| other.total_cmp(value).is_lt());
    let (mut window, mut held) = (Vec::with_capacity(width + 1), 0..0);
    let median = |index: usize| {
        let reach = (width / 2).min(index).min(values.len() - 1 - index);
        while held.end <= index + reach {
            window.insert(place(&window, &values[held.end]), values[held.end]);
            held.end += 1;
        }
        while held.start < index - reach {
            window.remove(place(&window, &values[held.start]));
            held.start += 1;
        }
        window[window.len() / 2]
    };
    (0..values.len()).map(median).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::noise::{Noise, each_second};

    #[test]
    fn a_bump_is_marked_with_its_place_and_size() {
        let mut noise = Noise::new(1);
        let bump = |n: i32| if (400..430).contains(&n) { 80.0 } else { 50.0 };
        let points = each_second((0..900).map(|n| bump(n) + noise.normal()));
        let [found] = anomalies(&points).unwrap()[..] else { panic!("one mark") };
        assert!((found.start - 400.0).abs() <= 2.0 && (found.end - 429.0).abs() <= 2.0, "{found:?}");
        assert!((found.usual - 50.0).abs() < 1.0 && (found.found - 80.0).abs() < 3.0, "{found:?}");
        assert!(found.deviations > 6.0, "{found:?}");
    }

    #[test]
    fn a_dip_is_below_and_a_single_value_is_none() {
        let mut noise = Noise::new(2);
        let course = |n: i32| match n {
            100 | 101 => 500.0,
            300..310 => 1.0,
            _ => 50.0,
        };
        let points = each_second((0..600).map(|n| course(n) + noise.normal()));
        let [found] = anomalies(&points).unwrap()[..] else { panic!("one mark") };
        assert!(found.deviations < -6.0 && found.start >= 298.0 && found.end <= 311.0, "{found:?}");
    }

    #[test]
    fn marks_near_each_other_are_one() {
        let course = |n: i32| if (200..210).contains(&n) || (216..226).contains(&n) { 90.0 } else { 50.0 };
        let found = anomalies(&each_second((0..600).map(|n| course(n) + f64::from(n % 3)))).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].start <= 202.0 && found[0].end >= 223.0, "{found:?}");
    }

    #[test]
    fn a_step_of_the_level_and_a_ramp_are_none() {
        let mut noise = Noise::new(3);
        let step = each_second((0..1200).map(|n| if n < 600 { 50.0 } else { 90.0 } + noise.normal()));
        assert_eq!(anomalies(&step), Some(Vec::new()));
        let ramp = each_second((0..1200).map(|n| 0.1 * f64::from(n) + noise.normal()));
        assert_eq!(anomalies(&ramp), Some(Vec::new()));
    }

    #[test]
    fn few_values_say_nothing_and_constants_nothing_unusual() {
        assert_eq!(anomalies(&each_second([1.0, 2.0, 3.0])), None);
        assert_eq!(anomalies(&each_second([f64::NAN; 500])), None);
        assert_eq!(anomalies(&each_second([7.0; 500])), Some(Vec::new()));
        let blink = each_second((0..500).map(|n| if (250..260).contains(&n) { 8.0 } else { 7.0 }));
        assert_eq!(anomalies(&blink), Some(Vec::new()), "one thing more is the least that can be");
        let many = each_second(
            (0..500).map(|n| if (250..260).contains(&n) { 40.0 } else { 7.0 + f64::from(n % 2) }),
        );
        assert_eq!(anomalies(&many).map(|found| found.len()), Some(1));
    }

    /// An hour of a kind of noise.
    fn hour(kind: &str, noise: &mut Noise) -> Vec<f64> {
        let scaled = |values: Vec<f64>| values.into_iter().map(|value| 20.0 + 5.0 * value).collect();
        match kind {
            "white" => scaled((0..3600).map(|_| noise.normal()).collect()),
            "log-normal" => (0..3600).map(|_| noise.normal().exp()).collect(),
            "exponential" => (0..3600).map(|_| -noise.uniform().ln()).collect(),
            "poisson 1" => (0..3600).map(|_| noise.poisson(1.0)).collect(),
            "poisson 10" => (0..3600).map(|_| noise.poisson(10.0)).collect(),
            "student 3" => {
                let squares = |noise: &mut Noise| (0..3).map(|_| noise.normal().powi(2)).sum::<f64>();
                scaled((0..3600).map(|_| noise.normal() / (squares(noise) / 3.0).sqrt()).collect())
            }
            "ar 0.5" => scaled(noise.autoregressive(3600, 0.5)),
            "ar 0.9" => scaled(noise.autoregressive(3600, 0.9)),
            "ar 0.98" => scaled(noise.autoregressive(3600, 0.98)),
            "log-normal ar 0.9" => noise.autoregressive(3600, 0.9).into_iter().map(f64::exp).collect(),
            other => panic!("{other}"),
        }
    }

    const KINDS: [&str; 10] = [
        "white",
        "log-normal",
        "exponential",
        "poisson 1",
        "poisson 10",
        "student 3",
        "ar 0.5",
        "ar 0.9",
        "ar 0.98",
        "log-normal ar 0.9",
    ];

    fn marks_an_hour(kind: &str, hours: u64) -> f64 {
        let marks = |seed| anomalies(&each_second(hour(kind, &mut Noise::new(seed)))).unwrap().len();
        (0..hours).map(marks).sum::<usize>() as f64 / hours as f64
    }

    #[test]
    fn noise_has_at_most_one_mark_an_hour() {
        for kind in KINDS {
            let marks = marks_an_hour(kind, 20);
            assert!(marks <= 0.3, "{kind}: {marks} marks an hour");
        }
    }

    /// The share of bumps of ten seconds and so many standard deviations that are marked.
    fn found(kind: &str, size: f64, hours: u64) -> f64 {
        let is_found = |seed: &u64| {
            let mut values = hour(kind, &mut Noise::new(*seed));
            values[1800..1810].iter_mut().for_each(|value| *value += 5.0 * size);
            let is_there = |mark: &Anomaly| mark.start <= 1810.0 && mark.end >= 1799.0;
            anomalies(&each_second(values)).unwrap().iter().any(is_there)
        };
        (0..hours).filter(is_found).count() as f64 / hours as f64
    }

    #[test]
    fn bumps_are_found() {
        assert!(found("white", 5.0, 20) >= 0.95);
        assert!(found("ar 0.5", 8.0, 20) >= 0.9);
    }

    /// The table of the documentation: `cargo test -p plimsoll-stats -- --ignored --nocapture table_of_anomalies`.
    #[test]
    #[ignore = "a minute of simulation"]
    fn table_of_anomalies() {
        for kind in KINDS {
            let power = match kind {
                "white" | "student 3" | "ar 0.5" | "ar 0.9" | "ar 0.98" => [3.0, 5.0, 8.0, 12.0]
                    .map(|size| format!("{:.0}", 100.0 * found(kind, size, 100)))
                    .join(" | "),
                _ => "".to_owned(),
            };
            println!("| {kind} | {:.3} | {power} |", marks_an_hour(kind, 300));
        }
    }

    proptest! {
        #[test]
        fn rolling_medians_are_medians(values in prop::collection::vec(-9.0..9.0_f64, 1..40), half in 0_usize..9) {
            let found = rolling_median(&values, 2 * half + 1);
            prop_assert_eq!(found.len(), values.len());
            for index in 0..values.len() {
                let reach = half.min(index).min(values.len() - 1 - index);
                let expected = median(&mut values[index - reach..=index + reach].to_vec());
                prop_assert_eq!(Some(found[index]), expected);
            }
        }
    }
}
