//! Where on the axis of load to look next for the highest one that is kept.
//!
//! Loads double until one is missed. What a service does when it is offered too much is a first guess of
//! its limit, so the loads just below and just above are tried next; whatever the guess was worth, the
//! gap between the highest load that was kept and the lowest that was missed is halved until it is as
//! narrow as wanted. Both of its ends are tried again before they are believed: a load near the limit is
//! kept one time and missed the next.

use std::cmp::Ordering;

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchSettings {
    /// The load to begin with, above zero.
    pub from: f64,
    /// The highest that may be tried, at least `from`.
    pub most: f64,
    /// How narrow the gap must become, as a share of its lower end, above zero.
    pub precision: f64,
    /// Loads are whole numbers, as users are.
    pub whole: bool,
    /// How often each end of the gap is tried in all; at least once.
    pub looks: u32,
    /// The most trials in all: a service that keeps and misses the same load by turns is left undecided.
    pub trials: u32,
}

impl SearchSettings {
    /// A search between two loads: a gap of 2%, either end tried twice, at most 40 trials.
    pub fn between(from: f64, most: f64) -> Self {
        Self { from, most: most.max(from), precision: 0.02, whole: false, looks: 2, trials: 40 }
    }
}

/// How a trial at one load went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tried {
    /// The load.
    pub load: f64,
    /// Whether it was kept.
    pub kept: bool,
    /// What was done instead where it was missed because more was asked than can be done, in the unit
    /// of the load.
    pub sustained: Option<f64>,
}

/// Looks for the highest load that is kept.
#[derive(Debug, Clone)]
pub struct Search {
    settings: SearchSettings,
    tried: Vec<Tried>,
}

/// What the search says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// Try this load.
    Try(f64),
    /// That is all.
    Found(Gap),
}

/// Between which loads the limit lies.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Gap {
    /// The highest load that was kept; `None` when not even the lowest one was.
    pub low: Option<f64>,
    /// The lowest load that was missed; `None` when not even the highest one was.
    pub high: Option<f64>,
    /// Whether both ends were tried often enough and nothing speaks against them.
    pub is_sure: bool,
}

impl Gap {
    /// The middle; `None` without both ends.
    pub fn estimate(&self) -> Option<f64> {
        Some((self.low? + self.high?) / 2.0)
    }
}

/// The lowest load looked at is this share of the first one.
const LOWEST: f64 = 1.0 / 64.0;

/// How often a load was kept and missed.
#[derive(Debug, Clone, Copy)]
struct Votes {
    load: f64,
    kept: u32,
    missed: u32,
}

impl Votes {
    fn verdict(&self) -> Ordering {
        self.kept.cmp(&self.missed)
    }

    fn all(&self) -> u32 {
        self.kept + self.missed
    }
}

impl Search {
    /// A search that has tried nothing.
    pub fn new(settings: SearchSettings) -> Self {
        Self { settings, tried: Vec::new() }
    }

    /// The trials so far, in their order.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// Takes what a trial has shown.
    pub fn saw(&mut self, tried: Tried) {
        self.tried.push(tried);
    }

    /// The gap as far as it is known.
    pub fn gap(&self) -> Gap {
        let votes = self.votes();
        let high = votes.iter().find(|votes| votes.verdict() != Ordering::Greater);
        let below = |votes: &&Votes| high.is_none_or(|high| votes.load < high.load);
        let low = votes.iter().rev().filter(below).find(|votes| votes.verdict() == Ordering::Greater);
        let contradicted = high.is_some_and(|high| {
            votes.iter().any(|votes| votes.load > high.load && votes.verdict() == Ordering::Greater)
        });
        let looked = |votes: Option<&Votes>| {
            votes.is_none_or(|votes| votes.all() >= self.settings.looks && votes.verdict() != Ordering::Equal)
        };
        let (low_load, high_load) = (low.map(|votes| votes.load), high.map(|votes| votes.load));
        Gap { low: low_load, high: high_load, is_sure: looked(low) && looked(high) && !contradicted }
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        let gap = self.gap();
        if self.tried.len() >= self.settings.trials as usize {
            return Next::Found(Gap { is_sure: false, ..gap });
        }
        let votes = self.votes();
        // Kept as often as missed: it is the lowest missed one, or none, until another look decides.
        if let Some(open) = votes.iter().find(|votes| votes.verdict() == Ordering::Equal) {
            return Next::Try(open.load);
        }
        match (gap.low, gap.high) {
            (None, None) => Next::Try(self.rounded(self.settings.from)),
            (Some(low), None) if low >= self.settings.most => self.confirmed(gap),
            (Some(low), None) => Next::Try(self.rounded((2.0 * low).min(self.settings.most))),
            (None, Some(high)) => {
                let lower = self.rounded(high / 2.0);
                let is_lowest = lower < self.settings.from * LOWEST || lower >= high || lower <= 0.0;
                if is_lowest { self.confirmed(gap) } else { Next::Try(lower) }
            }
            (Some(low), Some(high)) => match self.between(low, high) {
                Some(load) => Next::Try(load),
                None => self.confirmed(gap),
            },
        }
    }

    /// Another look at an end that was not looked at often enough, the lower one first: it is the answer.
    fn confirmed(&self, gap: Gap) -> Next {
        let votes = self.votes();
        let few =
            |load: &f64| votes.iter().any(|votes| votes.load == *load && votes.all() < self.settings.looks);
        match gap.low.filter(few).or(gap.high.filter(few)) {
            Some(load) => Next::Try(load),
            None => Next::Found(gap),
        }
    }

    /// A load inside the gap, unless it is narrow enough.
    fn between(&self, low: f64, high: f64) -> Option<f64> {
        let precision = self.settings.precision;
        let smallest = if self.settings.whole { 1.0 } else { 0.0 };
        if high - low <= (precision * low).max(smallest) * (1.0 + 1e-9) {
            return None;
        }
        let is_new = |load: &f64| *load > low && *load < high;
        // What was done at the lowest load that asked for more than can be done.
        let missed = self.tried.iter().filter(|tried| !tried.kept && tried.load >= high);
        let lowest = missed.filter_map(|tried| Some((tried.load, tried.sustained?)));
        let guess = lowest.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, sustained)| sustained);
        // A little nearer to the guess than the precision asks for, so that the two make a gap that is narrow enough.
        let (under, over) = (1.0 - 0.45 * precision, 1.0 + 0.45 * precision);
        let tries = guess.into_iter().flat_map(|guess| [guess * under, guess * over]);
        // Too near to an end it would tell nothing new.
        let is_telling = |load: &f64| {
            let least = 0.25 * precision * low;
            *load - low > least && high - *load > least
        };
        let guessed = tries.map(|load| self.rounded(load)).find(|load| is_new(load) && is_telling(load));
        let middle = self.rounded(if high > 2.0 * low { (low * high).sqrt() } else { (low + high) / 2.0 });
        guessed.or(Some(middle)).filter(is_new)
    }

    fn rounded(&self, load: f64) -> f64 {
        if self.settings.whole { load.round().max(1.0) } else { load }
    }

    /// The votes by load, ascending.
    fn votes(&self) -> Vec<Votes> {
        let mut tried = self.tried.clone();
        tried.sort_by(|one, other| one.load.total_cmp(&other.load));
        let mut votes: Vec<Votes> = Vec::new();
        for Tried { load, kept, .. } in tried {
            if votes.last().is_none_or(|last| last.load != load) {
                votes.push(Votes { load, kept: 0, missed: 0 });
            }
            if let Some(last) = votes.last_mut() {
                last.kept += u32::from(kept);
                last.missed += u32::from(!kept);
            }
        }
        votes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Searches a service that keeps whatever this says, and does `limit` where it is asked for more.
    fn search(settings: SearchSettings, limit: f64, mut keeps: impl FnMut(f64) -> bool) -> (Gap, Search) {
        let mut search = Search::new(settings);
        loop {
            match search.next() {
                Next::Found(gap) => return (gap, search),
                Next::Try(load) => {
                    let kept = keeps(load);
                    search.saw(Tried { load, kept, sustained: (!kept).then_some(limit) });
                }
            }
        }
    }

    #[test]
    fn the_limit_lies_in_the_gap_and_few_trials_find_it() {
        for limit in [3.0, 17.0, 1000.0, 1024.0, 3217.0, 99_999.0] {
            let settings = SearchSettings::between(2.0, 1e6);
            let (gap, search) = search(settings, limit, |load| load <= limit);
            let (low, high) = (gap.low.unwrap(), gap.high.unwrap());
            assert!(gap.is_sure && low <= limit && limit < high, "{limit}: {gap:?}");
            assert!((gap.estimate().unwrap() / limit - 1.0).abs() <= 0.01, "{limit}: {gap:?}");
            let doublings = (limit / 2.0).log2().ceil() as usize + 1;
            assert!(search.tried().len() <= doublings + 6, "{limit}: {} trials", search.tried().len());
        }
    }

    #[test]
    fn a_wrong_guess_costs_trials_and_not_truth() {
        for guess in [1.0, 500.0, 2000.0, f64::INFINITY] {
            let (gap, _) = search(SearchSettings::between(10.0, 1e6), guess, |load| load <= 1000.0);
            assert!(gap.low.unwrap() <= 1000.0 && gap.high.unwrap() > 1000.0, "{guess}: {gap:?}");
        }
    }

    #[test]
    fn both_ends_may_be_missing() {
        let (gap, _) = search(SearchSettings::between(10.0, 300.0), 0.0, |_| true);
        assert_eq!((gap.low, gap.high, gap.is_sure), (Some(300.0), None, true));
        let (gap, search) = search(SearchSettings::between(64.0, 300.0), 0.0, |_| false);
        assert_eq!((gap.low, gap.high, gap.is_sure), (None, Some(1.0), true));
        assert!(search.tried().len() <= 8);
    }

    #[test]
    fn users_are_whole() {
        let settings = SearchSettings { whole: true, ..SearchSettings::between(1.0, 1000.0) };
        let (gap, search) = search(settings, 7.3, |load| load <= 7.0);
        assert_eq!((gap.low, gap.high), (Some(7.0), Some(8.0)));
        assert!(search.tried().iter().all(|tried| tried.load.fract() == 0.0));
    }

    #[test]
    fn a_load_that_is_kept_by_turns_leaves_the_search_undecided() {
        let mut turn = false;
        let (gap, search) = search(SearchSettings::between(10.0, 1e6), 0.0, |load| {
            turn = !turn;
            load < 100.0 || turn
        });
        assert!(!gap.is_sure || gap.low.unwrap() >= 80.0, "{gap:?}");
        assert!(search.tried().len() <= 40);
    }

    proptest! {
        /// Near the limit trials go either way; the answer stays within where they do.
        #[test]
        fn noise_near_the_limit_moves_the_answer_no_further_than_it_reaches(
            limit in 20.0_f64..20_000.0, noise in 0.0_f64..0.02, seed: u64,
        ) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let keeps = |load: f64| load <= limit * (1.0 + noise * (2.0 * random.random::<f64>() - 1.0));
            let (gap, search) = search(SearchSettings::between(5.0, 1e6), limit, keeps);
            prop_assert!(search.tried().len() <= 40);
            let estimate = gap.estimate().unwrap();
            prop_assert!((estimate / limit - 1.0).abs() <= noise + 0.0201, "{estimate} for {limit}");
        }
    }
}
