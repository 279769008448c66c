//! Whether one load can be kept, decided as soon as the seconds say so.
//!
//! An objective that is missed is one sign. The other is a backlog that grows: whoever is offered more
//! than it can do answers quickly at first and later and later as its queue gets longer, so that a short
//! trial would call kept what is bound to be missed. Requests in flight are regressed on time (ordinary
//! least squares, with its t interval); by Little's law their growth divided by the rate offered is by how
//! many seconds a second the response time grows. Only when that is too small to use up, within the
//! horizon, what is left of the objective, is a load kept.

use crate::t_quantile;
use crate::track::wilson;

/// How long a load must be kept for, in seconds, if it goes on as in the trial.
const HORIZON: f64 = 60.0;

/// A backlog that grows by more than this share of what is offered never ends well, however
/// patient the objective.
const MOST_GROWTH: f64 = 0.01;

/// Less growth than this cannot be told from none.
const LEAST_GROWTH: f64 = 0.001;

/// The two-sided level of the interval of growth: each of its ends decides with 95%.
const CONFIDENCE: f64 = 0.9;

/// Where less than this share of what is offered is done, there is no need of a slope to see it.
const FAR_TOO_MUCH: f64 = 0.9;

/// Seconds without which nothing is called kept.
const SHORTEST: usize = 4;

/// Seconds in a row in which an objective is missed, as far as the trial has gone, before it counts.
const MISSES: u32 = 2;

/// One measured second of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialSecond {
    /// Arrivals that were due.
    pub arrivals: u64,
    /// Arrivals that were dropped because too much was in flight.
    pub dropped: u64,
    /// Iterations that ended.
    pub ended: u64,
    /// Iterations in flight at its end.
    pub in_flight: u64,
    /// How the objectives stand, over the trial so far.
    pub standings: Vec<Standing>,
}

/// How an objective stands.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Standing {
    /// Missed, were the trial over now.
    pub is_missed: bool,
    /// Bad events and all events, where it counts any.
    pub events: Option<(u64, u64)>,
    /// The share of bad events that it allows, where it counts any.
    pub allowed: Option<f64>,
    /// For a quantile of a time: how far it is from its bound, in seconds, 0 when beyond.
    pub left_seconds: Option<f64>,
}

/// Why a load is missed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cause {
    /// The objective with this index.
    Objective(usize),
    /// Arrivals were dropped: the target has too many in flight.
    Dropped,
    /// What is in flight grows by this share of what is offered.
    Backlog(f64),
}

/// What a trial says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// The load is kept.
    Kept,
    /// It is missed.
    Missed(Cause),
}

/// A trial of one load.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The most measured seconds it takes.
    longest: usize,
    /// Whether more load leaves a backlog: not where users wait for their answers.
    is_open: bool,
    seconds: Vec<TrialSecond>,
    missing_for: Vec<u32>,
}

impl Trial {
    /// A trial of at most so many measured seconds, at least [a few](Self::shortest).
    pub fn new(longest_seconds: u32, is_open: bool) -> Self {
        let longest = (longest_seconds as usize).max(SHORTEST);
        Self { longest, is_open, seconds: Vec::new(), missing_for: Vec::new() }
    }

    /// The fewest seconds after which a load is called kept.
    pub fn shortest() -> u32 {
        SHORTEST as u32
    }

    /// Takes the next measured second, and says what is decided by now.
    pub fn second(&mut self, second: TrialSecond) -> Option<Decision> {
        self.missing_for.resize(second.standings.len(), 0);
        for (misses, standing) in self.missing_for.iter_mut().zip(&second.standings) {
            *misses = if standing.is_missed { *misses + 1 } else { 0 };
        }
        self.seconds.push(second);
        if let Some(cause) = self.missed() {
            return Some(Decision::Missed(cause));
        }
        if self.seconds.len() >= self.longest {
            return self.end();
        }
        self.is_kept().then_some(Decision::Kept)
    }

    /// The best that can be said when no more seconds come; `None` without any.
    pub fn end(&self) -> Option<Decision> {
        let last = self.seconds.last()?;
        if let Some(cause) = self.missed() {
            return Some(Decision::Missed(cause));
        }
        if let Some(index) = last.standings.iter().position(|standing| standing.is_missed) {
            return Some(Decision::Missed(Cause::Objective(index)));
        }
        match self.growth() {
            Some(growth) if growth.estimate > self.tolerated() => {
                Some(Decision::Missed(Cause::Backlog(growth.estimate)))
            }
            _ => Some(Decision::Kept),
        }
    }

    /// What was done in each second, where more was asked for than that: the backlog's growth taken
    /// from what was offered. `None` while nothing is known of it.
    pub fn sustained(&self) -> Option<f64> {
        let offered = self.offered()?;
        let growth = self.growth().filter(|growth| growth.estimate > 0.0);
        let dropped = self.seconds.iter().map(|second| second.dropped).sum::<u64>();
        let ended = self.seconds.iter().map(|second| second.ended).sum::<u64>() as f64;
        match growth {
            // What is dropped is no backlog, so what ended is all there is to go by.
            _ if dropped > 0 => Some(ended / self.seconds.len() as f64),
            Some(growth) => Some(offered * (1.0 - growth.estimate.min(1.0))),
            // Too short for a slope; far too much shows all the same.
            None => Some(ended / self.seconds.len() as f64).filter(|done| *done < FAR_TOO_MUCH * offered),
        }
    }

    /// Seconds measured.
    pub fn len(&self) -> usize {
        self.seconds.len()
    }

    /// Whether nothing was measured yet.
    pub fn is_empty(&self) -> bool {
        self.seconds.is_empty()
    }

    fn missed(&self) -> Option<Cause> {
        let last = self.seconds.last()?;
        if last.dropped > 0 {
            return Some(Cause::Dropped);
        }
        if let Some(index) = self.missing_for.iter().position(|misses| *misses >= MISSES) {
            return Some(Cause::Objective(index));
        }
        let growth = self.growth()?;
        (growth.low > self.tolerated()).then_some(Cause::Backlog(growth.estimate))
    }

    fn is_kept(&self) -> bool {
        let Some(last) = self.seconds.last() else { return false };
        self.seconds.len() >= SHORTEST
            && last.standings.iter().all(Standing::is_surely_kept)
            && (!self.is_open || self.growth().is_some_and(|growth| growth.high <= self.tolerated()))
    }

    /// By what share of the offered rate the backlog may grow.
    fn tolerated(&self) -> f64 {
        let standings = self.seconds.last().map(|second| &second.standings);
        let left = standings.into_iter().flatten().filter_map(|standing| standing.left_seconds);
        let least = left.fold(f64::INFINITY, f64::min);
        (least / HORIZON).clamp(LEAST_GROWTH, MOST_GROWTH)
    }

    fn offered(&self) -> Option<f64> {
        let arrivals = self.seconds.iter().map(|second| second.arrivals).sum::<u64>() as f64;
        (arrivals > 0.0).then(|| arrivals / self.seconds.len() as f64)
    }

    fn growth(&self) -> Option<Growth> {
        if !self.is_open {
            return None;
        }
        let in_flight: Vec<f64> = self.seconds.iter().map(|second| second.in_flight as f64).collect();
        Growth::of(&in_flight, self.offered()?)
    }
}

impl Standing {
    /// Whether the share of bad events is below the allowed one with confidence (Wilson's score
    /// interval, JASA 22, 1927); events are taken as independent.
    fn is_surely_kept(&self) -> bool {
        if self.is_missed {
            return false;
        }
        let (Some((bad, all)), Some(allowed)) = (self.events, self.allowed) else { return true };
        if all == 0 {
            return false;
        }
        wilson(bad, all).1 <= allowed
    }
}

/// By what share of what is offered the backlog grows.
#[derive(Debug, Clone, Copy)]
struct Growth {
    estimate: f64,
    low: f64,
    high: f64,
}

impl Growth {
    /// `None` with fewer than three seconds.
    fn of(in_flight: &[f64], offered: f64) -> Option<Self> {
        let n = in_flight.len();
        if n < 3 {
            return None;
        }
        let (middle, mean) = ((n as f64 - 1.0) / 2.0, in_flight.iter().sum::<f64>() / n as f64);
        let spread: f64 = (0..n).map(|at| (at as f64 - middle).powi(2)).sum();
        let slope = in_flight
            .iter()
            .enumerate()
            .map(|(at, value)| (at as f64 - middle) * (value - mean))
            .sum::<f64>()
            / spread;
        let residuals: f64 = in_flight
            .iter()
            .enumerate()
            .map(|(at, value)| (value - mean - slope * (at as f64 - middle)).powi(2))
            .sum();
        // Whole numbers are known to within one even where they lie on a line.
        let variance = (residuals / (n as f64 - 2.0)).max(1.0 / 12.0);
        let half = t_quantile(CONFIDENCE, n - 2)? * (variance / spread).sqrt();
        Some(Self {
            estimate: slope / offered,
            low: (slope - half) / offered,
            high: (slope + half) / offered,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// A service of one server that takes as long as it takes, offered arrivals at even distances: what
    /// it does second by second until the trial is decided, with `p95 <= 250 ms`.
    fn trial(rate: f64, capacity: f64, random: Option<u64>) -> (Option<Decision>, Trial) {
        let mut random = random.map(ChaCha8Rng::seed_from_u64);
        let (mut trial, mut free_at, mut ends) = (Trial::new(15, true), 0.0_f64, Vec::new());
        let (mut bad, mut all, mut arrived) = (0_u64, 0_u64, 0_u64);
        for second in 0..15_u64 {
            let until = (second + 1) as f64;
            let before = arrived;
            while (arrived as f64) / rate < until {
                let at = arrived as f64 / rate;
                let draw = random.as_mut().map_or(1.0, |random| -(1.0 - random.random::<f64>()).ln());
                free_at = free_at.max(at) + draw / capacity;
                ends.push((at, free_at));
                arrived += 1;
            }
            let ended: Vec<_> = ends.iter().filter(|(_, end)| *end < until).copied().collect();
            ends.retain(|(_, end)| *end >= until);
            bad += ended.iter().filter(|(at, end)| end - at > 0.25).count() as u64;
            all += ended.len() as u64;
            let mut times: Vec<f64> = ended.iter().map(|(at, end)| end - at).collect();
            times.sort_by(f64::total_cmp);
            let p95 = times.get(times.len() * 95 / 100).copied().unwrap_or_default();
            let decision = trial.second(TrialSecond {
                arrivals: arrived - before,
                dropped: 0,
                ended: ended.len() as u64,
                in_flight: ends.len() as u64,
                standings: vec![Standing {
                    is_missed: bad as f64 > 0.05 * all as f64,
                    events: Some((bad, all)),
                    allowed: Some(0.05),
                    left_seconds: Some((0.25 - p95).max(0.0)),
                }],
            });
            if decision.is_some() {
                return (decision, trial);
            }
        }
        (None, trial)
    }

    #[test]
    fn well_below_and_well_above_the_limit_few_seconds_decide() {
        let (decision, below) = trial(500.0, 1000.0, None);
        assert_eq!((decision, below.len()), (Some(Decision::Kept), 4));
        let (decision, above) = trial(2000.0, 1000.0, None);
        assert!(matches!(decision, Some(Decision::Missed(_))), "{decision:?}");
        assert!(above.len() <= 3);
        assert!((above.sustained().unwrap() / 1000.0 - 1.0).abs() < 0.01, "{:?}", above.sustained());
        let (decision, slightly) = trial(1030.0, 1000.0, None);
        assert!(matches!(decision, Some(Decision::Missed(Cause::Backlog(_)))), "{decision:?}");
        let sustained = slightly.sustained().unwrap();
        assert!((sustained / 1000.0 - 1.0).abs() < 0.003, "{sustained}");
    }

    /// Service times of chance, at 85% and 103% of the limit.
    #[test]
    fn chance_is_seldom_mistaken_for_growth_nor_growth_for_chance() {
        let kept = |rate: f64| {
            (0..200).filter(|seed| trial(rate, 1000.0, Some(*seed)).0 == Some(Decision::Kept)).count()
        };
        assert!(kept(850.0) >= 190, "{} of 200 at 85% of the limit were kept", kept(850.0));
        assert!(kept(1030.0) <= 12, "{} of 200 at 103% of the limit were kept", kept(1030.0));
    }

    #[test]
    fn a_drop_is_a_miss_at_once_and_no_seconds_say_nothing() {
        let second = TrialSecond { arrivals: 10, dropped: 1, ended: 5, in_flight: 5, standings: Vec::new() };
        assert_eq!(Trial::new(15, true).end(), None);
        let mut trial = Trial::new(15, true);
        assert_eq!(trial.second(second), Some(Decision::Missed(Cause::Dropped)));
        assert_eq!(trial.sustained(), Some(5.0));
    }

    #[test]
    fn users_leave_no_backlog() {
        let mut trial = Trial::new(15, false);
        let decisions: Vec<_> = (0..4)
            .map(|at| {
                let in_flight = 64 + 8 * at;
                trial.second(TrialSecond {
                    arrivals: 9,
                    dropped: 0,
                    ended: 9,
                    in_flight,
                    standings: Vec::new(),
                })
            })
            .collect();
        assert_eq!(decisions, [None, None, None, Some(Decision::Kept)]);
    }

    #[test]
    fn few_events_are_not_enough_to_be_sure() {
        let standing =
            |bad, all| Standing { events: Some((bad, all)), allowed: Some(0.01), ..Standing::default() };
        let cases = [(0, 0, false), (0, 100, false), (0, 1000, true), (9, 1000, false), (50, 10_000, true)];
        for (bad, all, sure) in cases {
            assert_eq!(standing(bad, all).is_surely_kept(), sure, "{bad} of {all}");
        }
    }
}
