//! A service whose requests fail by chance, for tests and examples.

use plimsoll_sla::{Condition, Urgency};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::kept::{self, DAY, Kept};

/// How many of `total` requests fail that each fail with probability `share`.
pub(crate) struct Binomial {
    /// The probability of more than 0, 1, 2, ... failures.
    pub(crate) more_than: Vec<f64>,
}

impl Binomial {
    pub(crate) fn new(total: u64, share: f64) -> Self {
        let n = total as f64;
        let mut probability = (n * (-share).ln_1p()).exp();
        assert!(probability > 0.0, "too many failures for this way to draw them");
        let mut all = Vec::new();
        for k in 0..=total.min(2000) {
            all.push(probability);
            probability *= (n - k as f64) / (k as f64 + 1.0) * share / (1.0 - share);
        }
        // Summed up from the small end, so that the far tail is as exact as the rest.
        let mut more_than: Vec<f64> = all
            .iter()
            .rev()
            .scan(0.0, |sum, probability| {
                let more = *sum;
                *sum += probability;
                Some(more)
            })
            .collect();
        more_than.reverse();
        while more_than.last() == Some(&0.0) {
            more_than.pop();
        }
        Self { more_than }
    }

    pub(crate) fn draw(&self, random: &mut ChaCha8Rng) -> u64 {
        // All 64 bits: the probability of a thousand months is at stake.
        let chance = (random.next_u64() as f64 + 0.5) * 2.0_f64.powi(-64);
        self.more_than.iter().take_while(|more| chance < **more).count() as u64
    }
}

/// What months of a service without a fault led to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Alarms {
    pub(crate) months: u64,
    pub(crate) breaches: u64,
    pub(crate) pages: u64,
    pub(crate) tickets: u64,
    pub(crate) exhausted: u64,
}

/// Days of `rate` requests a second that spend this share of the budget of 99.9% over 30 days; the
/// state is judged every second.
pub(crate) fn healthy(rate: u64, share_of_budget: f64, days: u64, seed: u64) -> Alarms {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let failures = Binomial::new(rate, 0.001 * share_of_budget);
    let mut kept = Kept::new(&kept::days("99.9%", 30));
    let mut alarms = Alarms { months: days / 30, ..Alarms::default() };
    let (mut last, mut firing) = (Condition::Undecided, [false; 2]);
    for _ in 0..days * DAY {
        let condition = kept.second(failures.draw(&mut random), rate, 0).condition;
        if condition != last {
            alarms.breaches += u64::from(condition == Condition::Breaching);
            alarms.exhausted += u64::from(condition == Condition::Exhausted);
            last = condition;
        }
        if kept.now.is_multiple_of(kept.alerts.step()) {
            let fires = |urgency: Urgency| {
                kept.alerts
                    .alerts()
                    .iter()
                    .any(|alert| alert.rule.urgency == urgency && alert.since.is_some())
            };
            let now = [fires(Urgency::Page), fires(Urgency::Ticket)];
            alarms.pages += u64::from(now[0] && !firing[0]);
            alarms.tickets += u64::from(now[1] && !firing[1]);
            firing = now;
        }
    }
    alarms
}
