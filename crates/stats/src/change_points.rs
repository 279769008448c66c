//! Where the level of a history of runs changes: step by step, for reading it.
//!
//! What noise is supposed: values scatter about levels that hold for a while, one value after another alike to a degree that is
//! estimated and allowed for, and now and then a single one is far off. A gate needs repeated runs side by side
//! ([`compare_all`](crate::compare_all)); one new value of a history cannot tell a change from an outlier, and nothing here pretends so.

use std::collections::VecDeque;

use crate::divisive::{WINDOW, sides, split};
use crate::ranks::{MAD_TO_DEVIATION, median};
use crate::student::two_sided;
use crate::trend::Z95;

/// How unlikely a change by chance has to be, after correction for its place having been sought.
const LEVEL: f64 = 0.01;
/// The same where each new value is another look at the same noise.
const WATCH_LEVEL: f64 = 0.001;
/// That of candidates, before they are merged.
const CANDIDATE_LEVEL: f64 = 0.01;
/// A level is held by at least so many values: two may be outliers.
const LEAST_LEVEL: usize = 3;
/// A value is an outlier so many deviations from the values before it and from those after it.
const OUTLIER: f64 = 5.0;
/// From so many values to each side: two of them may be outliers themselves.
const NEIGHBOURS: usize = 4;
/// No more than this is believed of how alike neighbours are: beyond, nothing would ever be a change.
const MOST_ALIKE: f64 = 0.97;

/// What makes a change worth a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangeFloor {
    /// As a share of the level before, 0.025 is 2.5%.
    pub share: f64,
    /// In standard deviations of the values about their levels.
    pub deviations: f64,
}

impl Default for ChangeFloor {
    /// 2.5%, and as much as the values scatter: less is seen by nobody in a history.
    fn default() -> Self {
        Self { share: 0.025, deviations: 1.0 }
    }
}

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// The index of the first value at the new level.
    pub index: usize,
    /// The level before, back to the change before that: a mean without outliers, in the unit of the values.
    pub before: f64,
    /// The level after, up to the next change.
    pub after: f64,
    /// after / before - 1; `None` where the level before is not above 0.
    pub change: Option<f64>,
    /// How likely so much of a difference is by chance, corrected for autocorrelation and for the place having been sought: 0 to 1.
    pub p: f64,
}

/// What a series tells of its levels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// In the order of the series.
    pub points: Vec<ChangePoint>,
    /// Indices of single values, or two in a row, far from those before and after: they are in no level.
    pub outliers: Vec<usize>,
    /// How much values scatter about their levels: a standard deviation in their unit, without outliers.
    pub noise: f64,
    /// How alike neighbours about their level are: the autocorrelation at lag one, 0 where it cannot be told from none.
    pub alike: f64,
}

/// The changes of level of a series of values in the order of their time, one of each run or session.
///
/// Candidates come from E-divisive over windows of 50 values that overlap by half, as in Hunter (see [`hunter`](crate::hunter)). The
/// weakest are merged until each holds: a t test of the levels to both sides, its number of values divided by (1 + r)/(1 - r)
/// for the autocorrelation r about the levels (R. K. Bayley and J. M. Hammersley, *The "effective" number of independent
/// observations in an autocorrelated time series*, J. Royal Statistical Society Supplement 8, 1946), its p multiplied by the
/// number of places it was sought among (Bonferroni), below 1%; a level of at least three values; and the floor. Then each
/// place is moved to where the squares about both levels are least, and tested again.
///
/// In simulations there are 0.002 to 0.006 alerts in 100 values of white noise, at most 0.03 with tails of Student's t of three degrees
/// or spikes, at most 0.08 where neighbours are alike (r from 0.3 to 0.9, or a random walk). Of the steps of 5% in noise of 2%, 99.8%
/// are found within 5 values of their place with 20 values or more after it, 89% with 5. A step in noise that is alike has to be as
/// much larger as that noise wanders.
///
/// Values that are not finite are gaps: they are in no level, and indices count them. n² time at worst in the number of candidates, n
/// in that of values; the same series has the same answer.
pub fn change_points(values: &[f64], floor: ChangeFloor) -> Changes {
    changes(values, floor, LEVEL)
}

/// The same at any level.
fn changes(values: &[f64], floor: ChangeFloor, level: f64) -> Changes {
    let places: Vec<usize> = (0..values.len()).filter(|index| values[*index].is_finite()).collect();
    let raw: Vec<f64> = places.iter().map(|index| values[*index]).collect();
    let outliers = outliers(&raw);
    let series = Series { values: without(&raw, &outliers), floor, level };
    let mut found = split(&series.values, WINDOW, CANDIDATE_LEVEL);
    series.merge(&mut found);
    series.move_to_best(&mut found);
    series.merge(&mut found);
    let scatter = series.scatter(&found);
    let points = sides(&found, &series.values).zip(&found).map(|((left, right), place)| {
        let (before, after) = (mean(left), mean(right));
        let change = (before > 0.0).then(|| after / before - 1.0);
        ChangePoint { index: places[*place], before, after, change, p: scatter.p(left, right) }
    });
    Changes {
        points: points.collect(),
        outliers: outliers.iter().map(|index| places[*index]).collect(),
        noise: scatter.deviation,
        alike: scatter.alike,
    }
}

fn mean(values: &[f64]) -> f64 {
    // Shares first: a sum of finite numbers may not be finite.
    let count = values.len() as f64;
    values.iter().map(|value| value / count).sum()
}

/// Indices of values far from those before and from those after, which agree on it.
fn outliers(values: &[f64]) -> Vec<usize> {
    let mut steps: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    // The difference of two has √2 of the deviation of one.
    let deviation = median(&mut steps).unwrap_or_default() * MAD_TO_DEVIATION / std::f64::consts::SQRT_2;
    let least = OUTLIER * deviation;
    let is_outlier = |index: &usize| {
        let value = values[*index];
        let mut before = values[index.saturating_sub(NEIGHBOURS)..*index].to_vec();
        let mut after = values[index + 1..(index + 1 + NEIGHBOURS).min(values.len())].to_vec();
        if before.len() < LEAST_LEVEL || after.len() < LEAST_LEVEL {
            return false;
        }
        let (Some(before), Some(after)) = (median(&mut before), median(&mut after)) else { return false };
        let (from, to) = (value - before, value - after);
        from.abs() > least && to.abs() > least && (from > 0.0) == (to > 0.0)
    };
    let far: Vec<usize> = (0..values.len()).filter(is_outlier).collect();
    // As many in a row as hold a level are one.
    let rows = far.chunk_by(|one, next| one + 1 == *next);
    rows.filter(|row| row.len() < LEAST_LEVEL).flatten().copied().collect()
}

/// The values with each outlier replaced by what is usual around it.
fn without(values: &[f64], outliers: &[usize]) -> Vec<f64> {
    let mut kept = values.to_vec();
    for index in outliers {
        let from = index.saturating_sub(NEIGHBOURS);
        let to = (index + NEIGHBOURS + 1).min(values.len());
        let mut around: Vec<f64> =
            (from..to).filter(|other| !outliers.contains(other)).map(|other| values[other]).collect();
        kept[*index] = median(&mut around).unwrap_or(values[*index]);
    }
    kept
}

/// Values without gaps and outliers.
struct Series {
    values: Vec<f64>,
    floor: ChangeFloor,
    level: f64,
}

impl Series {
    /// Takes the weakest place away until all hold.
    fn merge(&self, places: &mut Vec<usize>) {
        while let Some(weakest) = self.weakest(places) {
            places.remove(weakest);
        }
    }

    /// The place that holds least, of those that do not.
    fn weakest(&self, places: &[usize]) -> Option<usize> {
        let scatter = self.scatter(places);
        let strength = |(left, right): (&[f64], &[f64])| {
            let is_short = left.len().min(right.len()) < LEAST_LEVEL;
            let p = if is_short { 1.0 } else { scatter.p(left, right) };
            // Below the floor it is weak however sure; among those, the smallest is the weakest.
            let size = self.size(mean(left), mean(right), scatter.deviation);
            (p, size)
        };
        let fails = |(p, size): &(f64, f64)| *p >= self.level || *size < 1.0;
        let worse =
            |one: &(f64, f64), other: &(f64, f64)| one.0.total_cmp(&other.0).then(other.1.total_cmp(&one.1));
        sides(places, &self.values)
            .map(strength)
            .enumerate()
            .filter(|(_, strength)| fails(strength))
            .max_by(|(_, one), (_, other)| worse(one, other))
            .map(|(index, _)| index)
    }

    /// A change in units of the floor.
    fn size(&self, before: f64, after: f64, deviation: f64) -> f64 {
        let least = (self.floor.share * before.abs()).max(self.floor.deviations * deviation);
        let change = (after - before).abs();
        if change > 0.0 { change / least } else { 0.0 }
    }

    /// How values scatter about the levels between places.
    fn scatter(&self, places: &[usize]) -> Scatter {
        Scatter::of(&self.values, places)
    }

    /// Moves each place to where both its levels fit best, between its neighbours.
    fn move_to_best(&self, places: &mut [usize]) {
        for index in 0..places.len() {
            let start = if index == 0 { 0 } else { places[index - 1] };
            let end = places.get(index + 1).copied().unwrap_or(self.values.len());
            if let Some(best) = best_step(&self.values[start..end]) {
                places[index] = start + best;
            }
        }
    }
}

/// Where a single step fits values best: squares about both means are least where n m/(n + m) (m₁ - m₂)² is largest.
fn best_step(values: &[f64]) -> Option<usize> {
    let count = values.len() as f64;
    let all = mean(values);
    let mut sum = 0.0;
    let mut best: Option<(usize, f64)> = None;
    for (index, value) in values.iter().enumerate() {
        let before = index as f64;
        let is_inner = index >= LEAST_LEVEL && index + LEAST_LEVEL <= values.len();
        let gain = sum * sum * count / (before * (count - before));
        if is_inner && best.is_none_or(|(_, most)| gain > most) {
            best = Some((index, gain));
        }
        sum += value - all;
    }
    best.map(|(index, _)| index)
}

/// How values scatter about their levels.
struct Scatter {
    /// Standard deviation.
    deviation: f64,
    /// Autocorrelation at lag one, 0 where it is not significant.
    alike: f64,
}

impl Scatter {
    fn of(values: &[f64], places: &[usize]) -> Self {
        let (mut squares, mut products, mut pairs) = (0.0, 0.0, 0.0);
        let bounds = [0].into_iter().chain(places.iter().copied()).chain([values.len()]);
        let bounds: Vec<usize> = bounds.collect();
        for part in bounds.windows(2) {
            let level = &values[part[0]..part[1]];
            let middle = mean(level);
            squares += level.iter().map(|value| (value - middle).powi(2)).sum::<f64>();
            products += level.windows(2).map(|two| (two[0] - middle) * (two[1] - middle)).sum::<f64>();
            pairs += level.len().saturating_sub(1) as f64;
        }
        let (count, levels) = (values.len() as f64, places.len() as f64 + 1.0);
        let degrees = (count - levels).max(1.0);
        let raw = if squares > 0.0 && pairs > 0.0 { products / squares * count / pairs } else { 0.0 };
        // With an estimated mean it is too small by (1 + 3r)/n in each level (M. G. Kendall, Biometrika 41, 1954).
        let unbiased = raw + (1.0 + 3.0 * raw) * levels / count;
        let is_significant = raw > Z95 / count.sqrt() || unbiased > 2.0 * Z95 / count.sqrt();
        let alike = if is_significant { unbiased.clamp(0.0, MOST_ALIKE) } else { 0.0 };
        Self { deviation: (squares / degrees).sqrt(), alike }
    }

    /// The corrected p of two levels beside each other.
    fn p(&self, left: &[f64], right: &[f64]) -> f64 {
        let variance =
            |values: &[f64], middle: f64| values.iter().map(|value| (value - middle).powi(2)).sum::<f64>();
        let (before, after) = (mean(left), mean(right));
        let (n, m) = (left.len() as f64, right.len() as f64);
        let pooled = (variance(left, before) + variance(right, after)) / (n + m - 2.0).max(1.0);
        let inflation = (1.0 + self.alike) / (1.0 - self.alike);
        let error = (pooled * inflation * (1.0 / n + 1.0 / m)).sqrt();
        let difference = after - before;
        // What rounding makes of equal values is no scatter.
        let is_equal = difference.abs() <= 1e-12 * before.abs().max(after.abs());
        let t = if is_equal { 0.0 } else { difference / error };
        let freedom = ((n + m) / inflation - 2.0).max(1.0);
        (two_sided(t, freedom) * (n + m - 1.0)).min(1.0)
    }
}

/// Change points as values arrive.
///
/// Each is told once, when it is sure: at a level of 0.1%, because each value is another look. In simulations a step of 2.5
/// deviations is usually told with its fourth value, and 0.02 alerts come in 100 values of white noise. What is told stands, even
/// where later values would take it back, and places may come out better in the end: [`change_points`] of everything has the last word.
#[derive(Debug, Clone)]
pub struct ChangeWatch {
    floor: ChangeFloor,
    /// The latest values, from the last change told before the window on.
    values: VecDeque<f64>,
    /// How many came before them.
    gone: usize,
    /// The place of the last change told.
    told: Option<usize>,
}

/// So many of the latest values are looked at with each new one: what an old level was is known from fewer.
const WATCHED: usize = 4 * WINDOW;

impl ChangeWatch {
    /// A watch without values.
    pub fn new(floor: ChangeFloor) -> Self {
        Self { floor, values: VecDeque::new(), gone: 0, told: None }
    }

    /// Takes the next value, and tells a change that it makes sure; indices count all values from the first, gaps included.
    pub fn push(&mut self, value: f64) -> Option<ChangePoint> {
        self.values.push_back(value);
        if self.values.len() > WATCHED {
            self.values.pop_front();
            self.gone += 1;
        }
        let found = changes(self.values.make_contiguous(), self.floor, WATCH_LEVEL).points;
        let mut last = *found.last()?;
        last.index += self.gone;
        // The place of one told may move by a few; a level has three values at least.
        let is_new = self.told.is_none_or(|told| last.index >= told + LEAST_LEVEL);
        is_new.then(|| {
            self.told = Some(last.index);
            last
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn found(values: &[f64]) -> Vec<usize> {
        change_points(values, ChangeFloor::default()).points.iter().map(|point| point.index).collect()
    }

    fn noise_of(kind: &str, count: usize, seed: u64) -> Vec<f64> {
        let mut noise = Noise::new(seed);
        match kind {
            "alike 0.3" => noise.autoregressive(count, 0.3),
            "alike 0.6" => noise.autoregressive(count, 0.6),
            "alike 0.9" => noise.autoregressive(count, 0.9),
            "spikes" => {
                (0..count).map(|_| noise.normal() + if noise.uniform() < 0.02 { 15.0 } else { 0.0 }).collect()
            }
            "heavy-tailed" => (0..count)
                .map(|_| {
                    let squares: f64 = (0..3).map(|_| noise.normal().powi(2)).sum();
                    noise.normal() / (squares / 3.0).sqrt()
                })
                .collect(),
            "walk" => (0..count)
                .scan(0.0, |at, _| {
                    *at += noise.normal() / 3.0;
                    Some(*at)
                })
                .collect(),
            _ => (0..count).map(|_| noise.normal()).collect(),
        }
    }

    /// Alerts in 100 values, and percent of series with any.
    fn false_alerts(kind: &str, count: usize, spread: f64, sets: u64) -> (f64, f64) {
        let each: Vec<usize> = (0..sets)
            .map(|seed| {
                let values: Vec<f64> =
                    noise_of(kind, count, seed).iter().map(|value| 100.0 * (1.0 + spread * value)).collect();
                found(&values).len()
            })
            .collect();
        let all = each.iter().sum::<usize>() as f64;
        let any = each.iter().filter(|alerts| **alerts > 0).count() as f64;
        (100.0 * all / (count as f64 * sets as f64), 100.0 * any / sets as f64)
    }

    /// Percent of steps found within two values of their place, and alerts elsewhere in 100 series.
    fn steps_found(step: f64, spread: f64, before: usize, after: usize, sets: u64) -> (f64, f64) {
        let (mut hits, mut others) = (0, 0);
        for seed in 0..sets {
            let mut noise = Noise::new(seed);
            let value = |index: usize| 100.0 * if index < before { 1.0 } else { 1.0 + step };
            let values: Vec<f64> =
                (0..before + after).map(|index| value(index) * (1.0 + spread * noise.normal())).collect();
            let found = found(&values);
            let near = found.iter().filter(|index| index.abs_diff(before) <= 5).count();
            hits += usize::from(near > 0);
            others += found.len() - near.min(1);
        }
        (100.0 * hits as f64 / sets as f64, 100.0 * others as f64 / sets as f64)
    }

    #[test]
    fn a_step_has_its_place_levels_and_change() {
        let mut noise = Noise::new(1);
        let values: Vec<f64> = (0..80).map(|n| if n < 50 { 100.0 } else { 120.0 } + noise.normal()).collect();
        let found = change_points(&values, ChangeFloor::default());
        let [point] = found.points[..] else { panic!("{found:?}") };
        assert_eq!((point.index, found.alike), (50, 0.0));
        assert!((point.before - 100.0).abs() < 0.5 && (point.after - 120.0).abs() < 0.6, "{point:?}");
        assert!((point.change.unwrap() - 0.2).abs() < 0.01 && point.p < 1e-9, "{point:?}");
        assert!((found.noise - 1.0).abs() < 0.2, "{found:?}");
    }

    #[test]
    fn several_levels_back_and_forth_are_all_found() {
        let mut noise = Noise::new(2);
        let level = |n: i32| [100.0, 110.0, 100.0, 130.0][(n / 40) as usize];
        let values: Vec<f64> = (0..160).map(|n| level(n) + noise.normal()).collect();
        assert_eq!(found(&values), [40, 80, 120]);
    }

    #[test]
    fn single_outliers_are_named_and_are_no_change() {
        let mut noise = Noise::new(3);
        let mut values: Vec<f64> = (0..100).map(|_| 100.0 + noise.normal()).collect();
        (values[20], values[60], values[61]) = (500.0, 10.0, 12.0);
        let found = change_points(&values, ChangeFloor::default());
        assert_eq!((found.points.len(), &found.outliers[..]), (0, &[20, 60, 61][..]), "{found:?}");
        assert!(found.noise < 1.3, "{found:?}");
    }

    #[test]
    fn gaps_are_counted_and_nothing_comes_of_nothing() {
        let mut values: Vec<f64> = (0..40).map(|n| if n < 20 { 10.0 } else { 20.0 }).collect();
        values.insert(5, f64::NAN);
        values.insert(6, f64::INFINITY);
        assert_eq!(found(&values), [22]);
        for nothing in [&[][..], &[1.0], &[f64::NAN; 9], &[5.0; 300], &[1.0, 2.0, 1.0, 2.0]] {
            assert_eq!(found(nothing), [0; 0], "{nothing:?}");
        }
        assert_eq!(found(&[f64::MAX, f64::MIN, f64::MAX, 0.0, 1.0, f64::MAX]), [0; 0]);
    }

    #[test]
    fn what_is_below_the_floor_is_no_change() {
        let values: Vec<f64> = (0..60).map(|n| if n < 30 { 100.0 } else { 102.0 }).collect();
        assert_eq!(found(&values), [0; 0]);
        let low = ChangeFloor { share: 0.01, deviations: 1.0 };
        assert_eq!(change_points(&values, low).points.len(), 1);
    }

    #[test]
    fn levels_from_or_below_zero_have_no_share() {
        let values: Vec<f64> = (0..40).map(|n| if n < 20 { 0.0 } else { 5.0 }).collect();
        let all = change_points(&values, ChangeFloor::default());
        assert_eq!((all.points.len(), all.points[0].change), (1, None));
    }

    #[test]
    fn a_slope_is_no_staircase() {
        let mut noise = Noise::new(4);
        let values: Vec<f64> = (0..300).map(|n| 100.0 + 0.2 * f64::from(n) + noise.normal()).collect();
        let steps = found(&values).len();
        let otava = crate::hunter(&values, &crate::Hunter::default()).len();
        assert!(steps <= 2 && otava >= 6, "{steps} {otava}");
    }

    #[test]
    fn noise_hardly_ever_is_a_change() {
        for (kind, spread, most) in [
            ("white", 0.02, 0.08),
            ("white", 0.05, 0.08),
            ("heavy-tailed", 0.05, 0.08),
            ("spikes", 0.05, 0.08),
        ] {
            let (alerts, _) = false_alerts(kind, 100, spread, 300);
            assert!(alerts <= most, "{kind} {spread}: {alerts} in 100 values");
        }
    }

    #[test]
    fn steps_of_five_percent_are_found() {
        for (before, after) in [(50, 50), (180, 20), (100, 100)] {
            let (hits, _) = steps_found(0.05, 0.02, before, after, 300);
            assert!(hits >= 98.0, "{before} {after}: {hits}%");
        }
    }

    /// How many values after a step of 5% in noise of 2% it is told, if within 30; and how many alerts were told before.
    fn told_after(seed: u64) -> (Option<usize>, usize) {
        let mut noise = Noise::new(seed);
        let mut watch = ChangeWatch::new(ChangeFloor::default());
        let mut early = 0;
        for index in 0..130 {
            let level = if index < 100 { 100.0 } else { 105.0 };
            let told = watch.push(level * (1.0 + 0.02 * noise.normal()));
            match told {
                Some(point) if point.index.abs_diff(100) <= 5 => return (Some(index - 99), early),
                Some(_) => early += 1,
                None => {}
            }
        }
        (None, early)
    }

    #[test]
    fn changes_are_told_as_they_come_and_once() {
        let each: Vec<_> = (0..40).map(told_after).collect();
        let mut delays: Vec<f64> = each.iter().filter_map(|one| one.0).map(|delay| delay as f64).collect();
        assert!(delays.len() >= 39, "{each:?}");
        assert!(median(&mut delays).is_some_and(|usual| usual <= 6.0), "{each:?}");
        assert!(each.iter().map(|one| one.1).sum::<usize>() <= 3, "0.08 in 100 values: {each:?}");
        let mut watch = ChangeWatch::new(ChangeFloor::default());
        let step = (0..1000).map(|n| if n < 300 { 10.0 } else { 20.0 });
        let told: Vec<_> = step.filter_map(|value| watch.push(value)).map(|point| point.index).collect();
        assert_eq!(told, [300], "once, though what came before is forgotten");
    }

    #[test]
    fn ten_thousand_values_take_no_time() {
        let mut noise = Noise::new(5);
        let values: Vec<f64> =
            (0..10_000).map(|n| f64::from(n / 500 % 2) * 10.0 + 100.0 + noise.normal()).collect();
        let start = std::time::Instant::now();
        assert_eq!(found(&values).len(), 19);
        // A third of a second; the room is for a busy machine.
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }

    /// Series as histories are, with the places of their changes.
    fn history(seed: u64) -> (Vec<f64>, Vec<usize>) {
        let mut noise = Noise::new(seed);
        let count = 80 + (noise.uniform() * 200.0) as usize;
        let changes = (noise.uniform() * 4.0) as usize;
        let mut places: Vec<usize> =
            (0..changes).map(|_| 10 + (noise.uniform() * (count as f64 - 20.0)) as usize).collect();
        places.sort_unstable();
        places.dedup_by(|later, earlier| *later < *earlier + 10);
        let kinds = ["white", "alike 0.3", "alike 0.6", "heavy-tailed", "spikes", "white"];
        let kind = kinds[seed as usize % kinds.len()];
        let slope = if seed % 6 == 5 { 4.0 * noise.normal() / count as f64 } else { 0.0 };
        let mut levels = vec![0.0];
        for _ in &places {
            let size = (2.0 + 3.0 * noise.uniform()) * if noise.uniform() < 0.5 { 1.0 } else { -1.0 };
            levels.push(levels[levels.len() - 1] + size);
        }
        let level = |index: usize| levels[places.iter().filter(|place| **place <= index).count()];
        let values = noise_of(kind, count, seed + 1_000_000);
        let value =
            |(index, noise): (usize, &f64)| 100.0 + 2.0 * (level(index) + slope * index as f64 + noise);
        (values.iter().enumerate().map(value).collect(), places)
    }

    /// Precision and recall within 5 values, the start counted as found, as the Turing Change Point Dataset has it; their mean F1.
    fn f1(of: impl Fn(&[f64]) -> Vec<usize>, sets: u64) -> f64 {
        let each = |seed: u64| {
            let (values, mut true_places) = history(seed);
            let mut found = of(&values);
            true_places.insert(0, 0);
            found.insert(0, 0);
            let mut left = found.clone();
            let hits = true_places
                .iter()
                .filter(|place| {
                    let near = left.iter().position(|found| found.abs_diff(**place) <= 5);
                    near.map(|index| left.remove(index)).is_some()
                })
                .count() as f64;
            let (precision, recall) = (hits / found.len() as f64, hits / true_places.len() as f64);
            2.0 * precision * recall / (precision + recall)
        };
        (0..sets).map(each).sum::<f64>() / sets as f64
    }

    #[test]
    fn more_is_right_than_by_telling_nothing_or_everything() {
        let ours = f1(found, 120);
        let (nothing, otava) =
            (f1(|_| vec![], 120), f1(|v| crate::hunter(v, &crate::Hunter::default()), 120));
        assert!(ours >= 0.9 && ours > otava && ours > nothing, "{ours} {otava} {nothing}");
    }

    /// `cargo test -p plimsoll-stats -- --ignored --nocapture table_of_changes`.
    #[test]
    #[ignore = "a minute of simulation"]
    fn table_of_changes() {
        for kind in ["white", "heavy-tailed", "spikes", "alike 0.3", "alike 0.6", "alike 0.9", "walk"] {
            for (count, spread) in [(100, 0.02), (100, 0.05), (365, 0.05)] {
                let (alerts, series) = false_alerts(kind, count, spread, 1000);
                println!("| {kind} {spread}, {count} values | {alerts:.3} in 100 | {series:.1}% of series |");
            }
        }
        for (before, after) in [(50, 50), (100, 100), (180, 20), (95, 5), (10, 10), (200, 165)] {
            println!("| +5%, {before} + {after} | {:.1?} |", steps_found(0.05, 0.02, before, after, 2000));
        }
        let told: Vec<_> = (0..300).map(told_after).collect();
        let mut delays: Vec<f64> = told.iter().filter_map(|one| one.0).map(|delay| delay as f64).collect();
        let early: usize = told.iter().map(|one| one.1).sum();
        println!(
            "| online | {} of 300, usually after {:?}, {early} early |",
            delays.len(),
            median(&mut delays)
        );
        let hunter =
            |floor| move |v: &[f64]| crate::hunter(v, &crate::Hunter { floor, ..Default::default() });
        println!(
            "| F1 | ours {:.3} | none {:.3} | Hunter {:.3}, with 2.5% {:.3} | E-divisive {:.3} |",
            f1(found, 600),
            f1(|_| vec![], 600),
            f1(hunter(0.0), 600),
            f1(hunter(0.025), 600),
            f1(|v| crate::e_divisive(v, 0.05, 100, 1), 100)
        );
    }
}
