//! Where the distribution of a series changes, by energy statistics: E-divisive, and what Hunter made of it.

use crate::student::two_sided;

/// How many values are compared with each other at a time, in windows that overlap by half.
pub(crate) const WINDOW: usize = 50;
/// Fewer values than this in a window have no halves.
const LEAST_WINDOW: usize = 2;

/// How [`hunter`] splits and merges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hunter {
    /// Values that are compared with each other at a time; at least 2, by default 50.
    pub window: usize,
    /// The p of a t test that a change is below, by default 0.001.
    pub level: f64,
    /// The smallest change, as a share of either level; by default 0.
    pub floor: f64,
}

impl Default for Hunter {
    fn default() -> Self {
        Self { window: WINDOW, level: 0.001, floor: 0.0 }
    }
}

/// The places where Hunter's method (now Apache Otava) sees changes, each the index of the first value after one.
///
/// Windows are split by the energy statistic while a t test at a relaxed level holds; then the weakest places are merged until
/// every one holds at the level and is above the floor: M. Fleming, P. Kołaczkowski, I. Kumar, S. Das, S. McCarthy, P.
/// Pattabhi and H. Ingo, *Hunter: Using Change Point Detection to Hunt for Performance Regressions*, ICPE 2023, section 3. It is
/// here to be compared with: single outliers are changes to it, and drift is a staircase. [`change_points`](crate::change_points())
/// is made for use. Values that are not finite break it into nonsense: give none.
pub fn hunter(values: &[f64], method: &Hunter) -> Vec<usize> {
    let mut places = split(values, method.window, relaxed(method.level));
    let mut tests: Vec<MeanTest> =
        sides(&places, values).map(|(left, right)| MeanTest::of(left, right)).collect();
    loop {
        // The first of equals.
        let weakest = (0..places.len())
            .max_by(|one, other| tests[*one].p.total_cmp(&tests[*other].p).then(other.cmp(one)));
        let Some(mut weakest) = weakest else { return places };
        if tests[weakest].p < method.level {
            let size = |index: &usize| tests[*index].magnitude();
            let smallest = (0..places.len()).min_by(|one, other| size(one).total_cmp(&size(other)));
            weakest = smallest.unwrap_or(weakest);
            if tests[weakest].magnitude() > method.floor {
                return places;
            }
        }
        places.remove(weakest);
        tests.remove(weakest);
        // As in Otava, the two places after what went are tested again, and the one before keeps its test.
        for (index, (left, right)) in sides(&places, values).enumerate().skip(weakest).take(2) {
            tests[index] = MeanTest::of(left, right);
        }
    }
}

/// The level of the first pass: weak places are found that stronger neighbours hide.
fn relaxed(level: f64) -> f64 {
    match level {
        level if level < 0.05 => 10.0 * level,
        level if level < 0.5 => 2.0 * level,
        level => level,
    }
}

/// The values before and after each place, up to the next ones.
pub(crate) fn sides<'a>(
    places: &'a [usize],
    values: &'a [f64],
) -> impl Iterator<Item = (&'a [f64], &'a [f64])> {
    (0..places.len()).map(|index| {
        let start = if index == 0 { 0 } else { places[index - 1] };
        let end = places.get(index + 1).copied().unwrap_or(values.len());
        (&values[start..places[index]], &values[places[index]..end])
    })
}

/// The first pass: candidates from windows that overlap by half.
pub(crate) fn split(values: &[f64], window: usize, level: f64) -> Vec<usize> {
    let window = window.max(LEAST_WINDOW);
    let (mut places, mut start) = (Vec::new(), 0);
    while start < values.len() {
        let end = (start + window).min(values.len());
        let found = divide(&values[start..end], level);
        let last = found.last().map_or(0, |place| place + start);
        places.extend(found.iter().map(|place| place + start));
        start = last.max(start + window / 2);
    }
    places.sort_unstable();
    places.dedup();
    places
}

/// Splits where the statistic is largest, again and again, while the t test of the largest holds.
fn divide(values: &[f64], level: f64) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::new();
    loop {
        let bounds: Vec<usize> =
            [0].into_iter().chain(places.iter().copied()).chain([values.len()]).collect();
        let candidates = bounds.windows(2).filter_map(|part| {
            let (index, statistic) = best_split(&values[part[0]..part[1]])?;
            Some((part[0], part[0] + index, part[1], statistic))
        });
        // The first of equals.
        let best = candidates.reduce(|one, other| if other.3 > one.3 { other } else { one });
        let Some((start, place, end, _)) = best else { return places };
        if MeanTest::of(&values[start..place], &values[place..end]).p > level {
            return places;
        }
        let at = places.partition_point(|other| *other < place);
        places.insert(at, place);
    }
}

/// The index where the energy statistic between what is before it and what is after (up to wherever that is best) is
/// largest, with the statistic; `None` of fewer than two values. Quadratic time and space.
///
/// Q(τ, κ) = mn/(m+n) E with E = 2/(mn) Σ|x-y| - 2/(n(n-1)) Σ|x-x'| - 2/(m(m-1)) Σ|y-y'|: D. S. Matteson and N. A. James, *A
/// nonparametric approach for multiple change point analysis of multivariate data*, JASA 109, 2014, eqs. 6 and 7.
fn best_split(values: &[f64]) -> Option<(usize, f64)> {
    let count = values.len();
    let within = Within::of(values);
    let mut best: Option<(usize, f64)> = None;
    for place in 1..count {
        for end in place + 1..=count {
            let (n, m) = (place as f64, (end - place) as f64);
            let (left, right) = (within.of_part(0, place), within.of_part(place, end));
            let between = within.of_part(0, end) - left - right;
            let of_own = |sum: f64, own: f64, other: f64| {
                if own > 1.0 { 2.0 * other / (n + m) / (own - 1.0) * sum } else { 0.0 }
            };
            let statistic = 2.0 / (n + m) * between - of_own(left, n, m) - of_own(right, m, n);
            if best.is_none_or(|(_, most)| statistic > most) {
                best = Some((place, statistic));
            }
        }
    }
    best
}

/// Sums of the distances between all values of a part.
struct Within {
    side: usize,
    sums: Vec<f64>,
}

impl Within {
    fn of(values: &[f64]) -> Self {
        let side = values.len() + 1;
        let mut sums = vec![0.0; side * side];
        for (end, value) in values.iter().enumerate() {
            let mut added = 0.0;
            for start in (0..end).rev() {
                added += (values[start] - value).abs();
                sums[start * side + end + 1] = sums[start * side + end] + added;
            }
        }
        Self { side, sums }
    }

    /// Of values from `start` to before `end`.
    fn of_part(&self, start: usize, end: usize) -> f64 {
        self.sums[start * self.side + end]
    }
}

/// Hunter's t test of two means.
struct MeanTest {
    before: f64,
    after: f64,
    p: f64,
}

impl MeanTest {
    /// Student's with the variances of whole populations (n, not n - 1, in the divisor), as Hunter has it: of few values p is
    /// too small. What has no difference and no scatter has p 1.
    fn of(left: &[f64], right: &[f64]) -> Self {
        let of = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance =
                values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
            (values.len() as f64, mean, variance)
        };
        let ((n, before, one), (m, after, other)) = (of(left), of(right));
        let freedom = n + m - 2.0;
        if freedom < 1.0 {
            return Self { before, after, p: 1.0 };
        }
        let pooled = ((n - 1.0) * one + (m - 1.0) * other) / freedom;
        let t = (before - after) / (pooled * (1.0 / n + 1.0 / m)).sqrt();
        Self { before, after, p: two_sided(t, freedom) }
    }

    /// The larger of the change as a share of the level before and as one of that after; levels of 0 have no share.
    fn magnitude(&self) -> f64 {
        let share = |of: f64, to: f64| if of == 0.0 { 0.0 } else { (to / of - 1.0).abs() };
        share(self.before, self.after).max(share(self.after, self.before))
    }
}

/// The places where E-divisive with a permutation test sees changes, in the order found; each is the index of the first value
/// after a change. N log N time for each permutation and place.
///
/// `level` is that of the test, 0 to 1, `permutations` how often values are shuffled within the parts found so far. The statistic
/// is that of [`hunter`] with n² and m² for n(n-1) and m(m-1) and without a second end, as in
/// mongodb/signal-processing-algorithms (D. Daly, W. Brown, H. Ingo, J. O'Leary and D. Bradford, *The use of change point
/// detection to identify software performance regressions in a continuous integration system*, ICPE 2020, section 3). The same
/// seed has the same places. It is here to be compared with; values that are not finite break it into nonsense.
pub fn e_divisive(values: &[f64], level: f64, permutations: usize, seed: u64) -> Vec<usize> {
    let mut draws = crate::bootstrap::Draws(seed);
    let mut found: Vec<usize> = Vec::new();
    let mut parts: Vec<Part> = Part::of(values, 0).into_iter().collect();
    loop {
        let Some(best) = (0..parts.len())
            .reduce(|one, other| if parts[other].best.1 > parts[one].best.1 { other } else { one })
        else {
            return found;
        };
        let (index, statistic) = parts[best].best;
        let beaten = (0..permutations)
            .filter(|_| {
                // Every part is shuffled, so that the draws do not depend on what the first ones gave.
                let most = parts.iter_mut().map(|part| part.shuffled(&mut draws)).fold(0.0, f64::max);
                most >= statistic
            })
            .count();
        if beaten as f64 / (permutations as f64 + 1.0) > level || index == 0 {
            return found;
        }
        let part = parts.remove(best);
        let place = part.start + index;
        found.push(place);
        let end = part.start + part.ranks.len();
        parts.extend(Part::of(&values[part.start..place], part.start));
        parts.extend(Part::of(&values[place..end], place));
    }
}

/// A part of a series between places.
struct Part {
    start: usize,
    /// Its values in ascending order.
    sorted: Vec<f64>,
    /// Distances of each of them to all.
    totals: Vec<f64>,
    /// Which of the sorted values stands where.
    ranks: Vec<usize>,
    /// Where the statistic is largest, with it.
    best: (usize, f64),
}

impl Part {
    fn of(values: &[f64], start: usize) -> Option<Self> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|one, other| values[*one].total_cmp(&values[*other]));
        let sorted: Vec<f64> = order.iter().map(|index| values[*index]).collect();
        let mut ranks = vec![0; values.len()];
        order.iter().enumerate().for_each(|(rank, index)| ranks[*index] = rank);
        let (all, count) = (sorted.iter().sum::<f64>(), sorted.len() as f64);
        let (mut below, mut totals) = (0.0, Vec::with_capacity(sorted.len()));
        for (rank, value) in sorted.iter().enumerate() {
            let rank = rank as f64;
            totals.push(rank * value - below + (all - below) - (count - rank) * value);
            below += value;
        }
        let mut part = Self { start, sorted, totals, ranks, best: (0, 0.0) };
        part.best = part.largest();
        (!values.is_empty()).then_some(part)
    }

    /// The largest statistic of its values in another order.
    fn shuffled(&mut self, draws: &mut crate::bootstrap::Draws) -> f64 {
        let kept = self.ranks.clone();
        for last in (1..self.ranks.len()).rev() {
            self.ranks.swap(last, draws.below(last + 1));
        }
        let most = self.largest().1;
        self.ranks = kept;
        most
    }

    /// The index with the largest statistic: sums between, before and after a place, moved along by one value at a time.
    fn largest(&self) -> (usize, f64) {
        let count = self.ranks.len();
        let mut seen = Seen::new(count);
        let (mut between, mut before) = (0.0, 0.0);
        let mut after = self.totals.iter().sum::<f64>() / 2.0;
        let mut best = (0, 0.0);
        for place in 0..count {
            if place > 0 {
                let (n, m) = (place as f64, (count - place) as f64);
                let energy = 2.0 * between / (n * m) - 2.0 * before / (n * n) - 2.0 * after / (m * m);
                let statistic = n * m / (n + m) * energy;
                if statistic > best.1 {
                    best = (place, statistic);
                }
            }
            let rank = self.ranks[place];
            let to_before = seen.distance(rank, self.sorted[rank]);
            let to_after = self.totals[rank] - to_before;
            seen.add(rank, self.sorted[rank]);
            between += to_after - to_before;
            before += to_before;
            after -= to_after;
        }
        best
    }
}

/// Values seen so far by rank: how many and how much, in binary indexed trees (P. M. Fenwick, Software: Practice and
/// Experience 24, 1994).
struct Seen {
    counts: Vec<f64>,
    sums: Vec<f64>,
    count: f64,
    sum: f64,
}

impl Seen {
    fn new(size: usize) -> Self {
        Self { counts: vec![0.0; size + 1], sums: vec![0.0; size + 1], count: 0.0, sum: 0.0 }
    }

    fn add(&mut self, rank: usize, value: f64) {
        let mut index = rank + 1;
        while index < self.counts.len() {
            self.counts[index] += 1.0;
            self.sums[index] += value;
            index += index & index.wrapping_neg();
        }
        self.count += 1.0;
        self.sum += value;
    }

    /// The sum of distances of a value to all that were seen.
    fn distance(&self, rank: usize, value: f64) -> f64 {
        let (mut index, mut count, mut sum) = (rank + 1, 0.0, 0.0);
        while index > 0 {
            count += self.counts[index];
            sum += self.sums[index];
            index &= index - 1;
        }
        count * value - sum + (self.sum - sum) - (self.count - count) * value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    #[test]
    fn a_step_is_split_where_it_is() {
        let step: Vec<f64> = (0..30).map(|n| if n < 15 { 50.0 } else { 100.0 }).collect();
        assert_eq!(best_split(&step).map(|found| found.0), Some(15));
        assert_eq!((best_split(&[1.0]), best_split(&[])), (None, None));
        assert_eq!(hunter(&step, &Hunter::default()), [15]);
        assert_eq!(e_divisive(&step, 0.01, 100, 1), [15]);
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        for values in [&[][..], &[1.0], &[1.0, 2.0], &[5.0; 200]] {
            assert_eq!(hunter(values, &Hunter::default()), [0; 0]);
            assert_eq!(e_divisive(values, 0.01, 100, 1), [0; 0]);
        }
    }

    /// The statistic from its definition, against the sums that are moved along.
    #[test]
    fn the_fast_statistic_is_the_slow_one() {
        let values: Vec<f64> = {
            let mut noise = Noise::new(1);
            (0..40).map(|n| (3.0 * noise.normal()).round() + f64::from(n / 20)).collect()
        };
        let distances = |one: &[f64], other: &[f64]| -> f64 {
            one.iter().map(|x| other.iter().map(|y| (x - y).abs()).sum::<f64>()).sum()
        };
        let slow = |place: usize| {
            let (left, right) = values.split_at(place);
            let (n, m) = (left.len() as f64, right.len() as f64);
            let energy = 2.0 * distances(left, right) / (n * m)
                - distances(left, left) / (n * n)
                - distances(right, right) / (m * m);
            n * m / (n + m) * energy
        };
        let part = Part::of(&values, 0).unwrap();
        let most = (1..values.len()).map(slow).fold(0.0, f64::max);
        assert!((part.best.1 - most).abs() < 1e-9, "{:?} {most}", part.best);
        assert!((slow(part.best.0) - most).abs() < 1e-9);
    }
}
