use plimsoll_units::Ratio;

use crate::{Sample, Timing};

/// The most single requests that all workers together hand over per second; further ones are counted
/// as skipped. About 10 MB in memory while a second has so many.
pub const SINGLES_PER_SECOND: usize = 65_536;

/// What a share of everything is in [`SingleRule`]: shares are kept as whole numbers of 2^-32.
const WHOLE: u128 = 1 << 32;

/// Which requests are told one by one, decided before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SingleRule {
    /// In 2^-32.
    share: u64,
    /// Nanoseconds of response time.
    slower_than: Option<u64>,
    failed: bool,
}

impl SingleRule {
    /// A share of all requests, whatever becomes of them; those whose response time is longer than
    /// `slower_than` nanoseconds; and, if so `failed`, those that fail.
    pub fn new(share: Ratio, slower_than: Option<u64>, failed: bool) -> Self {
        Self { share: (share.get() * WHOLE as f64).round() as u64, slower_than, failed }
    }

    /// The share of all requests, from 0 to 1.
    pub fn share(&self) -> f64 {
        self.share as f64 / WHOLE as f64
    }

    /// Whether request `n` of a sequence is one of the share.
    ///
    /// The sequence is cut into stretches of 1/share requests, rounded to whole ones without letting
    /// the rounding add up, and of each stretch the seed picks one. So among the first `n` there are
    /// n x share, give or take less than one, and steps that take turns have their turn in it too.
    pub fn draws(&self, seed: u64, n: u64) -> bool {
        if self.share == 0 {
            return false;
        }
        let share = u128::from(self.share);
        let stretch = u128::from(n) * share / WHOLE;
        let start = |stretch: u128| (stretch * WHOLE).div_ceil(share) as u64;
        let (first, next) = (start(stretch), start(stretch + 1));
        n - first == mixed(seed ^ mixed(stretch as u64)) % (next - first)
    }

    /// Whether a request that has ended is told, `drawn` or not.
    pub fn takes(&self, drawn: bool, sample: &Sample) -> bool {
        let is_slow = |limit| Timing::ResponseTime.of(sample).is_some_and(|time| time > limit);
        drawn || (self.failed && sample.key.outcome.is_failure()) || self.slower_than.is_some_and(is_slow)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the result depends on every bit
/// of the number.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a request says of the trace it belongs to (W3C Trace Context, version 00).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace: one step of an iteration, its redirects included. Not all zero.
    pub trace_id: [u8; 16],
    /// The request: parent of what the target does for it. Not all zero.
    pub span_id: [u8; 8],
    /// Whether the target was asked to record it.
    pub sampled: bool,
}

impl TraceContext {
    /// The value of the `traceparent` header: always of one length.
    pub fn traceparent(&self) -> [u8; 55] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"00-................................-................-00";
        let bytes = self.trace_id.iter().zip((3..).step_by(2));
        for (byte, at) in bytes.chain(self.span_id.iter().zip((36..).step_by(2))) {
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
        }
        text[54] = b'0' + u8::from(self.sampled);
        text
    }
}

/// What single requests are told for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purposes {
    /// Spans and exemplars.
    pub trace: bool,
    /// The file of samples.
    pub samples: bool,
}

/// A request told by itself, in numbers alone: what it was is its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Single {
    /// Its offsets, outcome, status, bytes and address.
    pub sample: Sample,
    /// Its trace, where it carried one of ours.
    pub trace: Option<TraceContext>,
    /// Who asked for it; at least one did.
    pub purposes: Purposes,
}

/// The requests of a second that are told one by one: in no record, and so in no replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Singles {
    /// In the order each worker's ended.
    pub requests: Vec<Single>,
    /// How many that were chosen for tracing had no room.
    pub skipped_traces: u64,
    /// How many that were chosen for the file of samples had no room.
    pub skipped_samples: u64,
}

impl Singles {
    /// Takes one in, or counts it where there are `room` of them already.
    pub(crate) fn tell(&mut self, single: &Single, room: usize) {
        if self.requests.len() < room {
            self.requests.push(*single);
        } else {
            self.skipped_traces += u64::from(single.purposes.trace);
            self.skipped_samples += u64::from(single.purposes.samples);
        }
    }

    /// Forgets all and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        (self.skipped_traces, self.skipped_samples) = (0, 0);
    }

    /// Adds another worker's.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests.extend_from_slice(&other.requests);
        self.skipped_traces += other.skipped_traces;
        self.skipped_samples += other.skipped_samples;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outcome, Phase, SeriesKey};
    use proptest::prelude::*;

    fn rule(share: f64) -> SingleRule {
        SingleRule::new(Ratio::new(share).unwrap(), None, false)
    }

    proptest! {
        /// At every moment, not only in the end.
        #[test]
        fn a_share_is_exact_to_less_than_one(share in 0.0..=1.0_f64, seed: u64, length in 1_u64..5000) {
            let (rule, mut drawn) = (rule(share), 0.0);
            for n in 0..length {
                drawn += f64::from(u8::from(rule.draws(seed, n)));
                let due = (n + 1) as f64 * share;
                prop_assert!((drawn - due).abs() < 1.0 + 1e-5, "{drawn} of {} at {share}", n + 1);
            }
        }

        #[test]
        fn no_number_is_too_large(share in 0.0..=1.0_f64, seed: u64, n: u64) {
            let rule = rule(share);
            prop_assert_eq!(rule.draws(seed, n), rule.draws(seed, n));
        }
    }

    #[test]
    fn all_and_none_are_shares_too() {
        assert!((0..1000).all(|n| rule(1.0).draws(7, n)));
        assert!(!(0..1000).any(|n| rule(0.0).draws(7, n)));
    }

    #[test]
    fn the_seed_picks_and_no_turn_is_left_out() {
        let drawn = |seed| (0..10_000).filter(|n| rule(0.1).draws(seed, *n)).collect::<Vec<_>>();
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        // Ten steps in turn: every tenth request would always be of the same one.
        let mut turns = [0_u32; 10];
        drawn(1).iter().for_each(|n| turns[(n % 10) as usize] += 1);
        // 1,000 draws among ten: 100 each with a standard deviation of 9.5; five of them.
        assert!(turns.iter().all(|count| count.abs_diff(100) < 48), "{turns:?}");
    }

    #[test]
    fn slow_and_failed_requests_are_taken_where_asked_for() {
        let sample = |outcome, took: u64| {
            let key = SeriesKey { step: 0, phase: Phase::Measured, stage: None, outcome };
            Sample { done: 100 + took, ..Sample::at(key, 100) }
        };
        let none = Ratio::new(0.0).unwrap();
        let slow = SingleRule::new(none, Some(50), false);
        assert!(!slow.takes(false, &sample(Outcome::Ok, 50)));
        assert!(slow.takes(false, &sample(Outcome::Ok, 51)));
        assert!(slow.takes(true, &sample(Outcome::Ok, 1)), "drawn");
        assert!(!slow.takes(false, &sample(Outcome::Status, 1)));
        let failed = SingleRule::new(none, None, true);
        assert!(failed.takes(false, &sample(Outcome::Status, 1)));
        assert!(!failed.takes(false, &sample(Outcome::Ok, 1 << 60)));
        assert!(!failed.takes(false, &sample(Outcome::Cut, 1)), "nobody knows how it would have ended");
    }

    #[test]
    fn a_traceparent_is_that_of_the_standard() {
        // The example of W3C Trace Context, section 3.2.
        let context = TraceContext {
            trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes(),
            span_id: 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes(),
            sampled: true,
        };
        let text = |context: TraceContext| String::from_utf8(context.traceparent().to_vec()).unwrap();
        assert_eq!(text(context), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let not = TraceContext { sampled: false, ..context };
        assert_eq!(text(not), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
    }

    #[test]
    fn what_has_no_room_is_counted_for_each_purpose() {
        let key = SeriesKey { step: 0, phase: Phase::Measured, stage: None, outcome: Outcome::Ok };
        let single = |trace, samples| Single {
            sample: Sample::at(key, 0),
            trace: None,
            purposes: Purposes { trace, samples },
        };
        let mut singles = Singles::default();
        for (trace, samples) in [(true, false), (true, true), (true, true), (false, true), (false, true)] {
            singles.tell(&single(trace, samples), 1);
        }
        assert_eq!((singles.requests.len(), singles.skipped_traces, singles.skipped_samples), (1, 2, 4));
        let mut sum = singles.clone();
        sum.merge(&singles);
        assert_eq!((sum.requests.len(), sum.skipped_traces, sum.skipped_samples), (2, 4, 8));
        singles.clear();
        assert_eq!(singles, Singles::default());
    }
}
