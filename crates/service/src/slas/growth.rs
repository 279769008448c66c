//! Counters that are read again and again, and what has happened in between.
//!
//! | what is read | what it means |
//! |---|---|
//! | a series for the first time | nothing: nobody knows since when it counts |
//! | a new series beside others of its instance | it began at zero: its process was there and did not have it |
//! | less than before | the process began anew: what it shows has happened since |
//! | a series that was away | its growth counts at the reading that has it again, for up to an hour |
//! | no series of all events | no data |
//! | no series of good or bad events, but some of all | none of them happened |
//! | NaN, infinite, negative | no data; the next reading tells what happened since the last sound one |
//! | more good events than events | likewise |
//! | fractions | are carried on until they are whole events |

use std::collections::BTreeMap;

use plimsoll_sla::Counts;

use super::selector::Labels;

/// For how long a series that is away is remembered, in seconds.
const REMEMBERED: u64 = 3600;

/// More series than any promise has; it bounds the memory.
const MOST_SERIES: usize = 10_000;

/// What a sum of decimals may be off by.
const ROUNDING: f64 = 1e-6;

/// One series and its value.
pub(super) type Sample = (Labels, f64);

/// Which counter stands beside the one of all events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    Good,
    Bad,
}

/// The two counters of a promise.
#[derive(Debug, Clone, Default)]
pub(super) struct Growth {
    part: Side,
    total: Side,
    is_begun: bool,
}

/// The series of one counter.
#[derive(Debug, Clone, Default)]
struct Side {
    series: BTreeMap<Labels, Known>,
    /// What is not a whole event yet.
    carried: f64,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    value: f64,
    at: u64,
}

impl Growth {
    /// What has happened since the last reading; `None` where nobody knows. `part` are the good events or the bad ones.
    ///
    /// # Errors
    /// Why the reading is none.
    pub(super) fn read(
        &mut self,
        at: u64,
        beside: Beside,
        part: &[Sample],
        total: &[Sample],
    ) -> Result<Option<Counts>, String> {
        if total.is_empty() {
            return Ok(None);
        }
        let is_first = !self.is_begun;
        let (mut next_part, mut next_total) = (self.part.clone(), self.total.clone());
        let some = next_part.grow(at, part)?;
        let all = next_total.grow(at, total)?;
        if is_first {
            (self.part, self.total, self.is_begun) = (next_part, next_total, true);
            return Ok(None);
        }
        if some > all + 0.5 {
            let what = if beside == Beside::Good { "good" } else { "bad" };
            return Err(format!("{what} events grew by {some}, all events by {all}"));
        }
        let all = next_total.whole(all, f64::INFINITY);
        let some = next_part.whole(some, all as f64);
        (self.part, self.total) = (next_part, next_total);
        let good = if beside == Beside::Good { some } else { all - some };
        Counts::new(good, all).map(Some).map_err(|contradiction| contradiction.to_string())
    }
}

impl Side {
    /// How much all series have grown.
    fn grow(&mut self, at: u64, read: &[Sample]) -> Result<f64, String> {
        if read.len() > MOST_SERIES {
            return Err(format!("{} series are more than {MOST_SERIES}", read.len()));
        }
        let instances: Vec<_> = self.series.keys().map(instance).collect();
        let begins_at_zero = |labels: &Labels| {
            let own = instance(labels);
            own.iter().any(Option::is_some) && instances.contains(&own)
        };
        let mut grown = 0.0;
        let mut seen = BTreeMap::new();
        for (labels, value) in read {
            if !value.is_finite() || *value < 0.0 {
                return Err(format!("a counter shows {value}"));
            }
            if seen.insert(labels, ()).is_some() {
                return Err("a series comes twice".to_owned());
            }
            grown += match self.series.get(labels) {
                Some(known) if *value >= known.value => value - known.value,
                Some(_) => *value,
                None if begins_at_zero(labels) => *value,
                None => 0.0,
            };
        }
        let read = read.iter().map(|(labels, value)| (labels.clone(), Known { value: *value, at }));
        self.series.extend(read);
        self.series.retain(|_, known| known.at.abs_diff(at) <= REMEMBERED);
        Ok(grown)
    }

    /// The whole events among what has grown, at most so many; the rest is carried on.
    fn whole(&mut self, grown: f64, most: f64) -> u64 {
        let all = self.carried + grown;
        let whole = (all + ROUNDING).floor().clamp(0.0, most);
        self.carried = all - whole;
        whole as u64
    }
}

/// What tells one process from another.
fn instance(labels: &Labels) -> [Option<&String>; 2] {
    ["job", "instance"].map(|name| labels.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series(instance: &str, code: &str, value: f64) -> Sample {
        let labels = [("instance", instance), ("code", code)];
        (labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), value)
    }

    /// Readings of good and of all events, and what each says: good and all events, `-` for nobody knows, `!` refused.
    fn check(readings: &[(&[Sample], &[Sample])], expected: &str) {
        let mut growth = Growth::default();
        let said: Vec<String> = readings
            .iter()
            .enumerate()
            .map(|(at, (good, total))| match growth.read(at as u64, Beside::Good, good, total) {
                Ok(Some(counts)) => format!("{}/{}", counts.good(), counts.total()),
                Ok(None) => "-".to_owned(),
                Err(_) => "!".to_owned(),
            })
            .collect();
        assert_eq!(said.join(" "), expected);
    }

    fn one(good: f64, total: f64) -> (Vec<Sample>, Vec<Sample>) {
        (vec![series("a", "", good)], vec![series("a", "", total)])
    }

    fn check_one(readings: &[(f64, f64)], expected: &str) {
        let readings: Vec<_> = readings.iter().map(|(good, total)| one(*good, *total)).collect();
        let readings: Vec<_> = readings.iter().map(|(good, total)| (&good[..], &total[..])).collect();
        check(&readings, expected);
    }

    #[test]
    fn counters_become_events() {
        check_one(&[(90.0, 100.0), (95.0, 110.0), (95.0, 110.0)], "- 5/10 0/0");
        check_one(&[(90.0, 100.0), (3.0, 4.0), (5.0, 6.0)], "- 3/4 2/2");
        check_one(&[(0.0, 0.0), (0.6, 0.6), (1.2, 1.2), (2.0, 2.0)], "- 0/0 1/1 1/1");
    }

    #[test]
    fn what_cannot_be_is_refused_and_caught_up_with() {
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            check_one(&[(0.0, 0.0), (wrong, 5.0), (8.0, 10.0)], "- ! 8/10");
            check_one(&[(0.0, 0.0), (5.0, wrong), (8.0, 10.0)], "- ! 8/10");
        }
        check_one(&[(0.0, 0.0), (9.0, 5.0), (8.0, 10.0)], "- ! 8/10");
        let twice = [series("a", "", 1.0), series("a", "", 2.0)];
        check(&[(&twice, &twice)], "!");
    }

    #[test]
    fn each_series_is_a_counter_of_its_own() {
        let (a, b) = (|value| series("a", "200", value), |value| series("b", "200", value));
        let first = [a(100.0), b(1000.0)];
        let restarted = [a(5.0), b(1010.0)];
        check(&[(&first, &first), (&restarted, &restarted)], "- 15/15");
        // An instance that nobody knew may have counted for months; it is known from now on.
        let joined = [a(101.0), b(1000.0), series("c", "200", 7e6)];
        let later = [a(102.0), b(1000.0), series("c", "200", 7e6 + 3.0)];
        check(&[(&first, &first), (&joined, &joined), (&later, &later)], "- 1/1 4/4");
    }

    #[test]
    fn a_new_series_of_a_known_instance_began_at_zero() {
        let before = [series("a", "200", 100.0)];
        let good = [series("a", "200", 101.0)];
        let total = [series("a", "200", 101.0), series("a", "503", 40.0)];
        check(&[(&before, &before), (&good, &total)], "- 1/41");
    }

    #[test]
    fn series_that_are_away() {
        let both = [series("a", "200", 10.0)];
        let more = [series("a", "200", 25.0)];
        check(&[(&both, &both), (&[], &[]), (&more, &more)], "- - 15/15");
        check(&[(&[], &both), (&[], &more)], "- 0/15");
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_the_counters_grew_by(steps in prop::collection::vec((0..50_u32, 0..9_u32), 1..40)) {
            let mut growth = Growth::default();
            let (part, all) = one(0.0, 0.0);
            prop_assert_eq!(growth.read(0, Beside::Good, &part, &all), Ok(None));
            let (mut good, mut total) = (0.0, 0.0);
            let mut counted = (0, 0);
            for (at, (step, bad)) in steps.iter().enumerate() {
                let (step, bad) = (f64::from(*step) / 7.0, f64::from(*bad) / 7.0);
                good += step;
                total += step + bad;
                let (part, all) = one(good, total);
                let counts = growth.read(at as u64, Beside::Good, &part, &all).unwrap().unwrap();
                counted = (counted.0 + counts.good(), counted.1 + counts.total());
            }
            // A good event waits for the event that it is.
            prop_assert!((counted.0 as f64 - good).abs() < 2.001, "{counted:?} of {good}");
            prop_assert!((counted.1 as f64 - total).abs() < 1.001, "{counted:?} of {total}");
        }
    }
}
