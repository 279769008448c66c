//! States are found in seconds, stay what they are, and are never made up.

#![expect(clippy::unwrap_used, reason = "what helpers of tests read is sound")]

mod kept;
mod months;

use Condition::{Breaching, Exhausted, Ok, Undecided, Warning};
use kept::{DAY, Kept, START, days, slo};
use months::{Binomial, healthy};
use plimsoll_sla::{Condition, Counts, Method, Moment, Period, Slice, Unit};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn condition(kept: &Kept) -> Condition {
    kept.judge.state().condition
}

/// The next second, of which nothing is known.
fn nothing(kept: &mut Kept) -> Condition {
    kept.now += 1;
    kept.alerts.judge(&kept.ledger, kept.now);
    kept.judge.judge(kept.now, None, &kept.ledger, &kept.alerts).condition
}

/// Seconds from the start of a fault to the state, after six hours of health, and the delay told.
fn detection(rate: u64, fault: f64, seed: u64) -> (u64, u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (health, faulty) = (Binomial::new(rate, 0.0005), (fault < 1.0).then(|| Binomial::new(rate, fault)));
    let mut kept = Kept::new(&days("99.9%", 30));
    for _ in 0..6 * 3600 {
        kept.second(health.draw(&mut random), rate, 0);
    }
    assert_eq!(condition(&kept), Ok, "{rate}/s, seed {seed}");
    let fault_at = kept.now;
    while condition(&kept) != Breaching {
        let bad = faulty.as_ref().map_or(rate, |faulty| faulty.draw(&mut random));
        kept.second(bad, rate, 0);
        assert!(kept.now < fault_at + 1000, "{rate}/s, {fault}, seed {seed}");
    }
    let state = kept.judge.state();
    assert_eq!(state.since, kept.now);
    (kept.now - fault_at, state.delay.unwrap())
}

/// The seeds are fixed: the worst of them is what is told.
#[test]
fn faults_are_found_in_seconds() {
    for (rate, fault, most) in [
        (1000, 1.0, 1),
        (1000, 0.1, 2),
        (1000, 0.02, 5),
        (100, 1.0, 1),
        (100, 0.1, 5),
        (10, 1.0, 1),
        (10, 0.1, 30),
        (1, 1.0, 10),
        (1, 0.1, 300),
    ] {
        let found: Vec<_> = (0..5).map(|seed| detection(rate, fault, seed)).collect();
        let worst = found.iter().map(|(seconds, _)| *seconds).max().unwrap();
        println!("{rate}/s, {}% fail: at most {worst} s", fault * 100.0);
        assert!(worst <= most, "{rate}/s, {fault}: {worst} s");
        if fault == 1.0 {
            // Nothing failed before, or it counts to the outage.
            assert!(found.iter().all(|(seconds, delay)| delay.abs_diff(*seconds) <= 1), "{found:?}");
        }
    }
}

/// Nothing ends any more; what waits longer than 250 ms is overdue. Then all of it ends at once.
#[test]
fn a_stall_shows_and_its_end_is_no_second_outage() {
    let mut kept = Kept::new(&days("99.9%", 30));
    for _ in 0..3600 {
        kept.second(0, 1000, 20);
    }
    let stalled_at = kept.now;
    assert_eq!(kept.second(0, 0, 750).condition, Breaching);
    assert_eq!(kept.judge.state().why(), "730 of 730 requests of the last 1s were bad or are overdue");
    for second in 1..20 {
        assert_eq!(kept.second(0, 0, 750 + second * 1000).condition, Breaching);
    }
    let over_at = kept.now;
    kept.second(19_730, 20_980, 20);
    while condition(&kept) == Breaching {
        kept.second(1, 1000, 20);
        assert!(kept.now < over_at + 20);
    }
    let quiet_at = kept.now;
    for _ in 0..600 {
        assert_ne!(kept.second(1, 1000, 20).condition, Breaching);
    }
    assert!(
        (stalled_at..quiet_at).contains(&kept.judge.state().since) || kept.judge.state().since >= quiet_at
    );
}

/// What makes up for looking every second of a year is exact for binomial counts, not only bounded.
#[test]
fn a_window_breaches_by_chance_once_in_more_than_a_billion_years() {
    let looks = 31_557_600.0 * 7.0;
    for rate in [1, 10, 100, 1000, 10_000] {
        for window in [1, 2, 5, 10, 30, 60] {
            let total = rate * window;
            let critical = (1..=total).find(|bad| breaches(*bad, total)).unwrap_or(total + 1) as usize;
            let chance = |share: f64| {
                let more_than = Binomial::new(total, share).more_than;
                more_than.get(critical - 1).copied().unwrap_or(0.0)
            };
            assert!(
                chance(0.001) * looks < 1e-9,
                "{rate}/s over {window} s from {critical}: {}",
                chance(0.001)
            );
            // A thousand months at half the budget.
            assert!(chance(0.0005) * looks * 83.0 < 1e-9, "{rate}/s over {window} s");
        }
    }
}

/// Whether a first second with these counts is a breach.
fn breaches(bad: u64, total: u64) -> bool {
    let mut kept = Kept::new(&days("99.9%", 30));
    kept.second(bad, total, 0).condition == Breaching
}

/// `examples/months.rs` does the same for a thousand months.
#[test]
fn healthy_services_raise_nothing() {
    for (seed, rate) in [1, 10, 100, 1000, 10_000].into_iter().enumerate() {
        let alarms = healthy(rate, 0.5, 1, seed as u64);
        assert_eq!((alarms.breaches, alarms.pages), (0, 0), "{rate}/s, seed {seed}");
    }
}

#[test]
fn no_data_is_undecided() {
    let mut kept = Kept::new(&days("99.9%", 30));
    let why = |kept: &Kept| kept.judge.state().why();
    assert_eq!((nothing(&mut kept), why(&kept).as_str()), (Undecided, "there has been no request yet"));
    kept.second(0, 0, 0);
    assert_eq!(why(&kept), "there has been no request yet");
    assert_eq!(kept.second(0, 5, 0).condition, Ok);
    let since = kept.now;
    for _ in 0..9 {
        assert_eq!(nothing(&mut kept), Ok);
    }
    assert_eq!(kept.judge.state().since, since);
    assert_eq!(nothing(&mut kept), Undecided);
    assert_eq!(why(&kept), "there has been no data for 10s");
    kept.second(0, 5, 0);
    for _ in 0..299 {
        assert_eq!(kept.second(0, 0, 0).condition, Ok);
    }
    assert_eq!(kept.second(0, 0, 0).condition, Undecided);
    assert_eq!(why(&kept), "there has been no request for 5m");
    // Before a gap there was an outage; after it nobody knows.
    kept.second(1000, 1000, 0);
    assert_eq!(condition(&kept), Breaching);
    for _ in 0..10 {
        nothing(&mut kept);
    }
    assert_ne!(kept.second(0, 1, 0).condition, Breaching);
}

#[test]
fn one_error_at_low_traffic_is_no_breach() {
    for (bad, total, breach) in [
        (1, 1, false),
        (5, 5, false),
        (6, 6, false),
        (7, 7, true),
        (10, 100, false),
        (19, 1000, false),
        (20, 1000, true),
    ] {
        assert_eq!(breaches(bad, total), breach, "{bad} of {total}");
    }
}

/// How often the state changes while a share of the requests fails.
fn changes(rate: u64, fault: f64, seconds: u64, seed: u64) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (health, faulty) = (Binomial::new(rate, 0.0005), Binomial::new(rate, fault));
    let mut kept = Kept::new(&days("99.9%", 30));
    let (mut changes, mut last) = (0, Undecided);
    for second in 0..seconds + 2000 {
        let draw = if (1000..seconds + 1000).contains(&second) { &faulty } else { &health };
        let condition = kept.second(draw.draw(&mut random), rate, 0).condition;
        let breaching = condition == Breaching;
        changes += usize::from(breaching != (last == Breaching));
        last = condition;
    }
    changes
}

#[test]
fn a_state_does_not_flap() {
    for (rate, fault) in
        [(1000, 0.5), (1000, 0.1), (1000, 0.01), (1000, 0.003), (100, 0.1), (10, 0.5), (10, 0.1), (1, 0.5)]
    {
        for seed in 0..3 {
            let changes = changes(rate, fault, 1200, seed);
            assert_eq!(changes, 2, "{rate}/s, {fault}, seed {seed}: begins and ends once");
        }
    }
}

#[test]
fn budgets_warn_and_run_out_and_come_back() {
    // An hour rolling, 99%: ten requests a second, 360 of 36,000 may fail.
    let mut kept = Kept::new(&slo("99%", Period::rolling(3600).unwrap()));
    let mut seen = vec![(Undecided, 0)];
    for second in 0..3 * 3600_u64 {
        // One error every 4 s for 25 minutes: 375, a quarter of a request in ten.
        let bad = u64::from((3600..5100).contains(&second) && second % 4 == 0);
        let condition = kept.second(bad, 10, 0).condition;
        if seen.last().is_none_or(|(last, _)| *last != condition) {
            seen.push((condition, second));
        }
        if condition == Exhausted {
            assert!(kept.judge.state().why().ends_with("% of the period's error budget are spent"));
        }
    }
    let conditions: Vec<_> = seen.iter().map(|(condition, _)| *condition).collect();
    assert_eq!(conditions, [Undecided, Ok, Warning, Exhausted, Warning, Ok], "{seen:?}");
}

/// One failed request in the first hour of a month spends no month, and three days of outage do.
#[test]
fn a_young_period_has_the_budget_it_will_have() {
    let month = Period::calendar(Unit::Month, "UTC").unwrap();
    let begin = month.bounds_at(START).end;
    let mut kept = Kept::new(&slo("99.9%", month));
    kept.now = begin - 3600;
    for _ in 0..3600 {
        kept.second(0, 1, 0);
    }
    kept.second(1, 1, 0);
    for _ in 0..120 {
        assert_eq!(kept.second(0, 1, 0).condition, Ok);
    }
    for _ in 0..3000 {
        kept.second(1, 1, 0);
    }
    for _ in 0..400 {
        kept.second(0, 1, 0);
    }
    assert_eq!(condition(&kept), Exhausted);
    assert!(kept.judge.state().why().contains("the period will have at the traffic so far"));
}

#[test]
fn slices_breach_by_what_makes_them_bad() {
    let slice = Slice::new(60).unwrap();
    for (target, bad, breach) in
        [("90%", 10, false), ("90%", 40, true), ("100%", 40, true), ("100%", 1, false)]
    {
        let method = Method::Timeslices { slice, target: target.parse().unwrap() };
        let mut kept = Kept::new(&plimsoll_sla::Slo { method, ..days("99%", 30) });
        for _ in 0..5 {
            kept.second(bad, 100, 0);
        }
        assert_eq!(condition(&kept) == Breaching, breach, "{target}, {bad}%");
    }
}

#[test]
fn clocks_that_jump_do_not_blind() {
    for jump in [-3600_i64, DAY as i64, -(DAY as i64)] {
        let mut kept = Kept::new(&days("99.9%", 30));
        for _ in 0..1000 {
            kept.second(0, 1000, 0);
        }
        kept.now = kept.now.checked_add_signed(jump).unwrap();
        kept.second(0, 1000, 0);
        assert_eq!(condition(&kept), Ok);
        assert_eq!(kept.second(900, 1000, 0).condition, Breaching, "{jump}");
        assert!(kept.judge.state().since <= kept.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anything_may_come(
        moments in prop::collection::vec((any::<Option<(u32, u32, u32)>>(), prop_oneof![9 => Just(1), 1 => -5000_i64..5000]), 0..200),
        period in prop::sample::select(vec![5, 60, 3600, DAY, 30 * DAY]),
    ) {
        let slo = slo("99.9%", Period::rolling(period).unwrap());
        let mut kept = Kept::new(&slo);
        for (moment, step) in moments {
            kept.now = kept.now.checked_add_signed(step).unwrap();
            let moment = moment.map(|(bad, good, overdue)| {
                let total = u64::from(good) + u64::from(bad);
                Moment { counts: Counts::new(good.into(), total).unwrap(), overdue: overdue.into() }
            });
            if let Some(moment) = moment {
                let _ = kept.ledger.record(kept.now - 1, moment.counts);
            }
            kept.alerts.judge(&kept.ledger, kept.now);
            let state = kept.judge.judge(kept.now, moment, &kept.ledger, &kept.alerts);
            prop_assert!(state.since <= kept.now && !state.why().is_empty());
            prop_assert!(state.delay.is_none() || state.condition == Breaching);
        }
    }
}
