//! Budgets are exact and burn-rate rules are those of the book, at any period.

#![expect(clippy::unwrap_used, reason = "what helpers of tests read is sound")]

use plimsoll_sla::{
    Budget, BurnAlerts, BurnRule, Counts, ENOUGH_EVIDENCE, FEWEST_BAD, Factor, Ledger, Method, Period,
    RuleError, Slice, Slo, Sum, Unit, Urgency, Verdict,
};
use proptest::prelude::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
const START: u64 = 1_767_571_200;

fn slo(target: &str, period: Period) -> Slo {
    Slo { name: "checkout".to_owned(), target: target.parse().unwrap(), period, method: Method::Occurrences }
}

fn rolling(seconds: u64) -> Period {
    Period::rolling(seconds).unwrap()
}

fn counts(bad: u64, total: u64) -> Counts {
    Counts::new(total - bad, total).unwrap()
}

#[test]
fn budgets_are_exact() {
    use Verdict::{Inconclusive, Met, Missed};
    // Target, bad, total; allowed, remaining, burn rate as quotients; verdict.
    for (target, bad, total, allowed, remaining, burn, verdict) in [
        ("99.9%", 0, 0, (0, 1), (0, 1), None, Inconclusive),
        ("99.9%", 0, 1, (1, 1000), (1, 1000), Some((0, 1)), Met),
        ("99.9%", 1, 1, (1, 1000), (-999, 1000), Some((1000, 1)), Missed),
        ("99.9%", 1, 1000, (1, 1), (0, 1), Some((1, 1)), Met),
        ("99.9%", 1, 999, (999, 1000), (-1, 1000), Some((1000, 999)), Missed),
        ("99.95%", 3, 10_000, (5, 1), (2, 1), Some((3, 5)), Met),
        // A day of a million requests a second, where fractions of 53 bits would be off.
        (
            "99.9999999999%",
            1,
            1_000_000_000_001,
            (1_000_000_000_001, 1_000_000_000_000),
            (1, 1_000_000_000_000),
            Some((1_000_000_000_000, 1_000_000_000_001)),
            Met,
        ),
    ] {
        let budget = Budget::new(target.parse().unwrap(), Sum::from(counts(bad, total)));
        let same = |exact: plimsoll_sla::Exact, (numerator, denominator): (i128, i128)| {
            assert_eq!(
                exact.numerator() * denominator,
                numerator * exact.denominator() as i128,
                "{bad} of {total}"
            );
        };
        same(budget.allowed(), allowed);
        same(budget.remaining(), remaining);
        assert_eq!(budget.verdict(), verdict, "{bad} of {total}");
        assert_eq!(budget.burn_rate().is_some(), burn.is_some());
        if let (Some(rate), Some(ratio), Some(attained), Some(burn)) =
            (budget.burn_rate(), budget.remaining_ratio(), budget.attained(), burn)
        {
            same(rate, burn);
            same(ratio, (burn.1 - burn.0, burn.1));
            same(attained, (i128::from(total - bad), i128::from(total)));
        }
    }
}

/// Table 5-8 of the Site Reliability Workbook, as published.
#[test]
fn the_rules_for_thirty_days_are_the_published_ones() {
    let expected = [
        ("14.4", HOUR, 5 * MINUTE, Urgency::Page, 2),
        ("6", 6 * HOUR, 30 * MINUTE, Urgency::Page, 5),
        ("3", 24 * HOUR, 2 * HOUR, Urgency::Ticket, 10),
        ("1", 72 * HOUR, 6 * HOUR, Urgency::Ticket, 10),
    ];
    for period in
        [rolling(30 * DAY), rolling(90 * DAY), Period::calendar(Unit::Month, "Europe/Berlin").unwrap()]
    {
        let rules = BurnRule::published(&period, Method::Occurrences);
        for (rule, (factor, long, short, urgency, percent)) in rules.iter().zip(expected) {
            let factor: Factor = factor.parse().unwrap();
            assert_eq!((rule.factor, rule.long, rule.short, rule.urgency), (factor, long, short, urgency));
            if period == rolling(30 * DAY) {
                let spent = factor.to_f64() * long as f64 / (30 * DAY) as f64;
                assert!((spent * 100.0 - f64::from(percent)).abs() < 1e-9, "{factor}");
            }
        }
    }
}

#[test]
fn shorter_periods_have_shorter_windows() {
    for (period, slice, windows) in [
        (7 * DAY, 1, [(840, 120), (5040, 420), (20_160, 1680), (60_480, 5040)]),
        (DAY, 1, [(120, 60), (720, 60), (2880, 240), (8640, 720)]),
        (10 * HOUR, 1, [(50, 5), (300, 25), (1200, 100), (3600, 300)]),
        (HOUR, 1, [(5, 1), (30, 3), (120, 10), (360, 30)]),
        (MINUTE, 1, [(5, 1), (5, 1), (5, 1), (6, 1)]),
        (5, 1, [(5, 1), (5, 1), (5, 1), (5, 1)]),
        (7 * DAY, 300, [(900, 300), (5100, 600), (20_400, 1800), (60_600, 5100)]),
    ] {
        let method = match slice {
            1 => Method::Occurrences,
            _ => Method::RatioTimeslices { slice: Slice::new(slice).unwrap() },
        };
        let rules = BurnRule::published(&rolling(period), method);
        assert_eq!(rules.map(|rule| (rule.long, rule.short)), windows, "{period}");
        let slo = Slo { method, ..slo("99.9%", rolling(period)) };
        let (alerts, refused) = BurnAlerts::published(&slo);
        assert_eq!((alerts.alerts().len(), refused.len()), (4, 0), "{period}");
        assert_eq!(alerts.step(), if period > 10 * HOUR { 60 } else { 1 });
    }
}

#[test]
fn what_can_never_fire_is_refused() {
    // 14.4 times a budget of 10% is more than all; 6 times is not.
    let (alerts, refused) = BurnAlerts::published(&slo("90%", rolling(30 * DAY)));
    assert_eq!((alerts.alerts().len(), refused.len()), (3, 1));
    let (rule, error) = &refused[0];
    assert_eq!(rule.factor.to_string(), "14.4");
    assert_eq!(
        error.to_string(),
        "a burn rate of 14.4 can never be: with a budget of 10% not even an outage burns that fast"
    );
    // Exactly all: no share is above it.
    let rule = BurnRule {
        factor: "10".parse().unwrap(),
        long: HOUR,
        short: 300,
        hold: 0,
        at_least: false,
        urgency: Urgency::Page,
    };
    assert!(matches!(
        BurnAlerts::new(&slo("90%", rolling(DAY)), vec![rule]),
        Err(RuleError::NeverFires { .. })
    ));
    assert!(BurnAlerts::new(&slo("90.0001%", rolling(DAY)), vec![rule]).is_ok());
    for (long, short, expected) in [
        (300, HOUR, RuleError::Windows { long: 300, short: HOUR }),
        (300, 0, RuleError::Windows { long: 300, short: 0 }),
        (2 * DAY, HOUR, RuleError::TooLong { long: 2 * DAY }),
        (HOUR, 90, RuleError::Grain { grain: 60 }),
    ] {
        let rules = vec![BurnRule { long, short, ..rule }];
        assert_eq!(BurnAlerts::new(&slo("99%", rolling(DAY)), rules).map(|_| ()), Err(expected));
    }
    for factor in ["", "0", "-1", "1e3", "NaN", "1.2345", "99999999999", ".5", "0.000"] {
        assert!(factor.parse::<Factor>().is_err(), "{factor}");
    }
}

#[test]
fn thresholds_are_clean_decimals() {
    for (target, factor, text) in [
        ("99.9%", "14.4", "0.0144"),
        ("99.95%", "6", "0.003"),
        ("99.9999999999%", "1.001", "0.000000000001001"),
        ("50%", "1", "0.5"),
    ] {
        let rule = BurnRule {
            factor: factor.parse().unwrap(),
            long: HOUR,
            short: 300,
            hold: 0,
            at_least: false,
            urgency: Urgency::Page,
        };
        assert_eq!(rule.threshold(target.parse().unwrap()).to_string(), text);
        assert_eq!(rule.factor.to_string(), factor);
    }
}

/// Which factors fire at `now` when each second of the last hour was as `second` says.
fn firing(target: &str, second: impl Fn(u64) -> Counts) -> Vec<String> {
    let slo = slo(target, rolling(30 * DAY));
    let mut ledger = Ledger::new(&slo);
    for offset in 0..HOUR {
        ledger.record(START + offset, second(offset)).unwrap();
    }
    let (mut alerts, _) = BurnAlerts::published(&slo);
    let alerts = alerts.judge(&ledger, START + HOUR);
    alerts.iter().filter(|alert| alert.since.is_some()).map(|alert| alert.rule.factor.to_string()).collect()
}

#[test]
fn few_events_do_not_page() {
    let none: [&str; 0] = [];
    assert_eq!(firing("99.9%", |_| Counts::ZERO), none);
    // One error of one request, two of two, and three of three: that is an outage.
    assert_eq!(firing("99.9%", |offset| if offset == 3599 { counts(1, 1) } else { Counts::ZERO }), none);
    assert_eq!(firing("99.9%", |offset| if offset > 3597 { counts(1, 1) } else { Counts::ZERO }), none);
    assert_eq!(firing("99.9%", |offset| if offset > 3596 { counts(1, 1) } else { Counts::ZERO }).len(), 4);
    // 60 errors where 36 are allowed may be chance once in 700 looks; 120 are none.
    assert_eq!(firing("99.9%", |offset| counts(u64::from(offset % 60 == 0), 10)), none);
    assert_eq!(firing("99.9%", |offset| counts(u64::from(offset % 30 == 0), 10)), ["3", "1"]);
    // A share that is exactly the limit is not above it: 144 of 10,000.
    let exactly = |more: u64| move |offset: u64| counts(144 + u64::from(offset == 3500) * more, 10_000);
    assert_eq!(firing("99.9%", exactly(0)), ["6", "3", "1"]);
    assert_eq!(firing("99.9%", exactly(1)), ["14.4", "6", "3", "1"]);
    // It is over: the short windows are clean.
    assert_eq!(firing("99.9%", |offset| counts(u64::from(offset < 3000) * 10, 10)), ["6", "3", "1"]);
}

#[test]
fn an_alert_knows_since_when_and_ends() {
    let slo = slo("99.9%", rolling(30 * DAY));
    let (mut alerts, _) = BurnAlerts::published(&slo);
    let mut ledger = Ledger::new(&slo);
    let mut pages = Vec::new();
    for second in START..START + 9 * HOUR {
        let now = second + 1;
        let out = (START + 6 * HOUR..START + 6 * HOUR + 600).contains(&second);
        ledger.record(second, counts(if out { 1000 } else { 0 }, 1000)).unwrap();
        let since = alerts.judge(&ledger, now)[0].since;
        if pages.last() != Some(&since) {
            pages.push(since);
        }
    }
    // 1.44% of an hour are 51.84 s of outage: the first whole minute is above it.
    assert_eq!(pages, [None, Some(START + 6 * HOUR + 60), None]);
    let page = &alerts.alerts()[0];
    assert_eq!(
        page.rule.explain(&page.reading.unwrap(), slo.target),
        "the burn rate was 0.00 over 1h and 0.00 over 5m; 14.4 is the limit, a share of 0.0144 bad events"
    );
    // Silence ends every alert, and is no reading.
    let silent = alerts.judge(&ledger, START + 5 * DAY);
    assert!(silent.iter().all(|alert| alert.since.is_none()));
    let page = &silent[0];
    assert!(
        page.rule
            .explain(&page.reading.unwrap(), slo.target)
            .contains("unknown over 1h, which had no events")
    );
}

/// The query of docs/sla-budgets.md over counters that are read at every step.
fn query(rule: &BurnRule, target: f64, counters: &[(u64, u64)], step: u64, at: usize) -> bool {
    let increase = |window: u64| {
        let before = counters[at.saturating_sub((window / step) as usize)];
        ((counters[at].0 - before.0) as f64, (counters[at].1 - before.1) as f64)
    };
    let threshold: f64 = rule.threshold(format!("{target}").parse().unwrap()).to_string().parse().unwrap();
    let ((good, events), (good_short, events_short)) = (increase(rule.long), increase(rule.short));
    let (bad, mean) = (events - good, (1.0 - target) * events);
    (events - good) / events > threshold
        && (events_short - good_short) / events_short > threshold
        && bad >= FEWEST_BAD as f64
        && bad * (bad / mean).ln() - bad + mean >= ENOUGH_EVIDENCE
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Stretches of traffic and errors, drawn; every rule fires at the same steps as the query.
    #[test]
    fn rules_agree_with_the_query(
        stretches in prop::collection::vec((1..7200_u64, 0..50_u64, prop::sample::select(vec![0, 1, 2, 10, 100, 1000])), 1..10),
        period in prop::sample::select(vec![60, HOUR, 9 * HOUR, 2 * DAY, 30 * DAY]),
        target in prop::sample::select(vec![0.9, 0.99, 0.999, 0.9999]),
    ) {
        let slo = slo(&target.to_string(), rolling(period));
        let (mut alerts, _) = BurnAlerts::published(&slo);
        let step = alerts.step();
        let mut ledger = Ledger::new(&slo);
        let mut counters = vec![(0, 0)];
        let (mut good, mut events, mut second) = (0, 0, START);
        for (length, total, per_mille) in stretches {
            // Short periods look at every second, and a few thousand are enough.
            for _ in 0..if step == 1 { length.min(500) } else { length } {
                let bad = (events % 1000 + total * per_mille) / 1000;
                let bad = bad.min(total);
                ledger.record(second, counts(bad, total)).unwrap();
                (good, events, second) = (good + total - bad, events + total, second + 1);
                if second % step == 0 {
                    counters.push((good, events));
                    let at = counters.len() - 1;
                    for alert in alerts.judge(&ledger, second) {
                        let expected = query(&alert.rule, target, &counters, step, at);
                        prop_assert_eq!(alert.since.is_some(), expected, "{} at {}", alert.rule.factor, second);
                    }
                }
            }
        }
    }
}
