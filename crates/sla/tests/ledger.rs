//! Counts of months: exact whatever arrives when, bounded, and the same after they were stored.

#![expect(clippy::unwrap_used, reason = "what helpers of tests read is sound")]

use std::collections::BTreeMap;

use Fate::{Counted, Excluded, Forgotten};
use plimsoll_sla::{Counters, Counts, Fate, Ledger, Method, Period, Refused, Slice, Slo, Unit, Unreadable};
use proptest::prelude::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
/// A Monday at midnight, UTC.
const START: u64 = 1_767_571_200;

fn slo(period: Period, method: Method) -> Slo {
    Slo { name: "checkout".to_owned(), target: "99.9%".parse().unwrap(), period, method }
}

fn days(days: u64) -> Slo {
    slo(Period::rolling(days * DAY).unwrap(), Method::Occurrences)
}

fn slices(seconds: u64, target: &str) -> Method {
    Method::Timeslices { slice: Slice::new(seconds).unwrap(), target: target.parse().unwrap() }
}

fn counts(good: u64, total: u64) -> Counts {
    Counts::new(good, total).unwrap()
}

/// Good and total of a window.
fn events(ledger: &Ledger, range: std::ops::Range<u64>) -> (u128, u128) {
    let events = ledger.window(range).events;
    (events.good(), events.total())
}

/// A ledger with `good` of `total` in every second of `range`.
fn fill(ledger: &mut Ledger, range: std::ops::Range<u64>, good: u64, total: u64) {
    for second in range {
        assert_eq!(ledger.record(second, counts(good, total)), Ok(Counted));
    }
}

#[test]
fn a_window_is_exact_and_says_what_it_covers() {
    let mut ledger = Ledger::new(&days(30));
    fill(&mut ledger, START..START + 2 * HOUR, 9, 10);
    let now = START + 2 * HOUR;
    // Seconds for ten minutes: any edge.
    let window = ledger.window(now - 599..now - 1);
    assert_eq!((window.range, window.events.bad(), window.seen), (now - 599..now - 1, 598, 598));
    // Before that minutes: the edge moves down to the minute.
    let window = ledger.window(now - 3599..now);
    assert_eq!((window.range, window.events.bad(), window.seen), (now - HOUR..now, 3600, 3600));
    assert_eq!(events(&ledger, 0..u64::MAX), (64_800, 72_000));
    assert_eq!(events(&ledger, now..now - 1), (0, 0));
}

#[test]
fn silence_and_zero_traffic_are_two_things() {
    let mut ledger = Ledger::new(&days(30));
    assert_eq!((ledger.first(), ledger.now()), (None, 0));
    assert_eq!(ledger.window(START..START + 60).seen, 0);
    fill(&mut ledger, START..START + 10, 0, 0);
    fill(&mut ledger, START + 20..START + 30, 5, 5);
    let window = ledger.window(START..START + 30);
    assert_eq!((window.seen, window.events.total()), (20, 50));
    assert_eq!(ledger.window(START + 10..START + 20).seen, 0);
    assert_eq!((ledger.first(), ledger.now()), (Some(START), START + 30));
}

#[test]
fn late_data_counts_where_it_belongs() {
    let mut ledger = Ledger::new(&days(30));
    fill(&mut ledger, START..START + 10, 10, 10);
    ledger.record(START + DAY + 5 * HOUR, counts(1, 1)).unwrap();
    ledger.resume(START + 10 * DAY).unwrap();
    let now = START + 10 * DAY;
    for (second, bucket) in [(now - 5, 1), (now - 2 * HOUR - 7, MINUTE), (now - 6 * DAY - 7, HOUR)] {
        assert_eq!(ledger.record(second, counts(2, 3)), Ok(Counted));
        let start = second - second % bucket;
        assert_eq!(events(&ledger, start..start + bucket), (2, 3), "{bucket}");
        assert_eq!(ledger.window(start..start + bucket).seen, 1);
    }
    assert_eq!(ledger.record(now - 70 * DAY, counts(2, 3)), Ok(Forgotten));
    assert_eq!((ledger.forgotten().good(), ledger.forgotten().total()), (2, 3));
    assert_eq!(ledger.first(), Some(START));
    assert_eq!(events(&ledger, 0..now), (100 + 1 + 6, 100 + 1 + 9));
}

#[test]
fn a_clock_an_hour_back_adds_up() {
    let mut ledger = Ledger::new(&days(30));
    fill(&mut ledger, START..START + 2 * HOUR, 10, 10);
    fill(&mut ledger, START + HOUR..START + 3 * HOUR, 9, 10);
    assert_eq!(ledger.now(), START + 3 * HOUR);
    assert_eq!(events(&ledger, START + HOUR..START + 2 * HOUR), (19 * 3600, 20 * 3600));
    assert_eq!(ledger.window(START..START + 3 * HOUR).seen, 3 * HOUR);
}

#[test]
fn a_clock_a_day_ahead_is_a_gap_and_one_far_ahead_is_not_believed() {
    let mut ledger = Ledger::new(&days(30));
    fill(&mut ledger, START..START + HOUR, 10, 10);
    fill(&mut ledger, START + HOUR + DAY..START + HOUR + DAY + 60, 0, 10);
    fill(&mut ledger, START + HOUR..START + 2 * HOUR, 10, 10);
    assert_eq!(events(&ledger, START..START + 2 * HOUR), (72_000, 72_000));
    let far = START + HOUR + 4 * DAY;
    let by = far - ledger.now();
    assert_eq!(ledger.record(far, counts(0, 1)), Err(Refused::Ahead { second: far, by }));
    assert_eq!(
        ledger.record(u64::MAX, counts(0, 1)).map_err(|error| matches!(error, Refused::Ahead { .. })),
        Err(true)
    );
    // Whoever knows that the time is right says so.
    ledger.resume(far).unwrap();
    assert_eq!(ledger.record(far, counts(0, 1)), Ok(Counted));
    assert_eq!(Ledger::new(&days(30)).record(1 << 32, counts(0, 1)), Err(Refused::BeyondTime(1 << 32)));
}

#[test]
fn exclusions_count_neither_way() {
    let mut ledger = Ledger::new(&days(30));
    ledger.exclude(START + 30..START + 60).unwrap();
    for second in START..START + 100 {
        let excluded = (START + 30..START + 60).contains(&second);
        assert_eq!(ledger.record(second, counts(1, 2)), Ok(if excluded { Excluded } else { Counted }));
    }
    assert_eq!(events(&ledger, START..START + 100), (70, 140));
    assert_eq!(ledger.window(START..START + 100).seen, 70);
    // Declared afterwards, and touching the one before.
    ledger.exclude(START + 60..START + 70).unwrap();
    assert_eq!(events(&ledger, START..START + 100), (60, 120));
    assert_eq!(ledger.exclusions().len(), 1);
    assert_eq!(ledger.exclusions().first(), Some(&(START + 30..START + 70)));
    assert_eq!(ledger.exclude(START..START), Err(Refused::EmptyExclusion));
    assert!(ledger.exclude(START..u64::MAX).is_err());
}

#[test]
fn an_exclusion_of_old_times_takes_out_whole_buckets_only() {
    let mut ledger = Ledger::new(&days(30));
    fill(&mut ledger, START..START + 2 * HOUR, 1, 1);
    ledger.exclude(START + 30..START + 150).unwrap();
    assert_eq!(events(&ledger, START..START + 2 * HOUR).1, u128::from(2 * HOUR - 60));
    assert_eq!(ledger.record(START + 40, counts(0, 5)), Ok(Excluded));
}

/// An hour in which a month begins at half past is cut there.
#[test]
fn calendar_periods_are_exact_at_any_age() {
    let month = slo(Period::calendar(Unit::Month, "Asia/Kolkata").unwrap(), Method::Occurrences);
    let january = month.period.bounds_at(START);
    let mut ledger = Ledger::new(&month);
    fill(&mut ledger, january.end - HOUR..january.end, 1, 1);
    fill(&mut ledger, january.end..january.end + HOUR, 0, 1);
    for day in 1..30 {
        ledger.record(january.end + HOUR + day * DAY, Counts::ZERO).unwrap();
    }
    let window = ledger.window(january.clone());
    assert_eq!((window.range, window.events.good(), window.events.total()), (january.clone(), 3600, 3600));
    assert_eq!(events(&ledger, month.period.bounds_at(january.end)), (0, 3600));
}

#[test]
fn time_slices_count_once_each() {
    let method = slices(60, "95%");
    let mut ledger = Ledger::new(&slo(Period::rolling(DAY).unwrap(), method));
    fill(&mut ledger, START..START + 57, 1, 1);
    fill(&mut ledger, START + 57..START + 60, 0, 1); // 95% of sixty: good
    fill(&mut ledger, START + 60..START + 116, 1, 1);
    fill(&mut ledger, START + 116..START + 120, 0, 1); // four bad: not
    fill(&mut ledger, START + 120..START + 180, 0, 0); // no events: neither
    fill(&mut ledger, START + 180..START + 230, 0, 9); // not over: neither
    assert_eq!(events(&ledger, START..START + 240), (1, 2));
    assert_eq!(ledger.window(START..START + 240).seen, 230);
    // One late failure more, and the first was bad after all.
    ledger.record(START + 5, counts(0, 1)).unwrap();
    assert_eq!(events(&ledger, START..START + 60), (0, 1));
    // Judged again even when it is in a minute's bucket, but not after an hour.
    fill(&mut ledger, START + 240..START + HOUR, 1, 1);
    ledger.record(START + 60, counts(100, 100)).unwrap();
    assert_eq!(events(&ledger, START + 60..START + 120), (1, 1));
    fill(&mut ledger, START + HOUR..START + 2 * HOUR, 1, 1);
    assert_eq!(ledger.record(START + 61, counts(0, 100)), Ok(Forgotten));
    assert_eq!(events(&ledger, START + 60..START + 120), (1, 1));
}

#[test]
fn ratio_slices_count_by_their_share() {
    let method = Method::RatioTimeslices { slice: Slice::new(60).unwrap() };
    let mut ledger = Ledger::new(&slo(Period::rolling(DAY).unwrap(), method));
    fill(&mut ledger, START..START + 60, 999, 1000);
    ledger.record(START + 60, counts(1, 3)).unwrap();
    ledger.resume(START + 120).unwrap();
    // A quiet minute weighs as much as a busy one; a third is rounded down.
    let unit = u128::from(method.unit());
    assert_eq!(events(&ledger, START..START + 120), (999 * unit / 1000 + unit / 3, 2 * unit));
}

#[test]
fn an_excluded_slice_leaves_no_trace() {
    let mut ledger = Ledger::new(&slo(Period::rolling(DAY).unwrap(), slices(60, "100%")));
    fill(&mut ledger, START..START + 300, 0, 1);
    ledger.exclude(START + 60..START + 200).unwrap();
    assert_eq!(events(&ledger, START..START + 300), (0, 3));
}

#[test]
fn counters_that_reset_start_again() {
    let mut counters = Counters::default();
    for (good, total, expected) in [
        (90, 100, None), // fresh: nobody knows since when
        (95, 110, Some((5, 10))),
        (95, 110, Some((0, 0))), // no traffic
        (3, 4, Some((3, 4))),    // reset
        (2, 9, Some((2, 9))),    // only one went back: both were reset
    ] {
        let read = counters.read(good, total).unwrap();
        assert_eq!(read.map(|counts| (counts.good(), counts.total())), expected, "{good} of {total}");
    }
    assert!(counters.read(10, 9).is_err());
    assert!(counters.read(8, 10).is_err(), "six good events of one");
    assert_eq!(counters.read(5, 19).unwrap(), Some(counts(3, 10)));
    assert!(Counts::new(2, 1).is_err());
}

/// A year of every second would take long; an hour of each day is stored in as many buckets as it
/// has hours, and a full tier of seconds and minutes stands at its end.
#[test]
fn a_year_is_small() {
    let mut ledger =
        Ledger::new(&slo(Period::calendar(Unit::Year, "Europe/Berlin").unwrap(), slices(1, "100%")));
    let end = START + 401 * DAY;
    for second in (START..end - 4 * DAY).step_by(600) {
        ledger.record(second, counts(9_990_000, 10_000_000)).unwrap();
    }
    for second in (end - 4 * DAY..end - HOUR).step_by(20).chain(end - HOUR..end) {
        ledger.record(second, counts(9_990, 10_000)).unwrap();
    }
    let bytes = ledger.to_bytes();
    println!("a year: {} bytes", bytes.len());
    assert!(bytes.len() < 300_000, "{}", bytes.len());
}

#[test]
fn bytes_that_are_none_are_refused() {
    let slo = days(30);
    let mut ledger = Ledger::new(&slo);
    fill(&mut ledger, START..START + 700, 9, 10);
    let bytes = ledger.to_bytes();
    for length in 1..bytes.len() {
        assert!(Ledger::from_bytes(&bytes[..length], &slo).is_err(), "{length}");
    }
    let refused = |bytes: &[u8], slo: &Slo| Ledger::from_bytes(bytes, slo).map(|_| ()).unwrap_err();
    assert_eq!(refused(&[], &slo), Unreadable::Length);
    assert_eq!(refused(&[9], &slo), Unreadable::Version(9));
    assert_eq!(refused(&[bytes.as_slice(), &[0]].concat(), &slo), Unreadable::Length);
    let other = Slo { method: slices(60, "95%"), ..slo };
    assert_eq!(refused(&bytes, &other), Unreadable::Method);
}

#[test]
fn a_period_may_change() {
    let mut ledger = Ledger::new(&days(30));
    fill(&mut ledger, START..START + 3 * HOUR, 9, 10);
    for days in [1, 7, 90] {
        let mut read = Ledger::from_bytes(&ledger.to_bytes(), &self::days(days)).unwrap();
        fill(&mut read, START + 3 * HOUR..START + 4 * HOUR, 9, 10);
        assert_eq!(events(&read, START..START + 4 * HOUR), (9 * 14_400, 144_000), "{days}");
    }
}

/// Steps of a clock that mostly runs, sometimes jumps, and what each second saw.
fn seconds() -> impl Strategy<Value = Vec<(i64, u64, u64)>> {
    let step = prop_oneof![
        20 => Just(1_i64),
        2 => -4000_i64..4000,
        1 => -3 * DAY as i64..2 * DAY as i64,
    ];
    prop::collection::vec((step, 0..100_u64, 0..5_u64), 0..300)
}

fn methods() -> impl Strategy<Value = Method> {
    prop_oneof![
        Just(Method::Occurrences),
        Just(slices(45, "90%")),
        Just(Method::RatioTimeslices { slice: Slice::new(300).unwrap() }),
    ]
}

fn periods() -> impl Strategy<Value = Period> {
    prop_oneof![
        Just(Period::rolling(60).unwrap()),
        Just(Period::rolling(6 * HOUR).unwrap()),
        Just(Period::rolling(30 * DAY).unwrap()),
        Just(Period::calendar(Unit::Day, "Australia/Lord_Howe").unwrap()),
        Just(Period::calendar(Unit::Month, "Asia/Kathmandu").unwrap()),
    ]
}

proptest! {
    /// Against a map of seconds that forgets nothing.
    #[test]
    fn every_event_is_counted_once(steps in seconds(), period in periods(), cut in 0..10 * DAY) {
        let mut ledger = Ledger::new(&slo(period, Method::Occurrences));
        let mut map: BTreeMap<u64, (u128, u128)> = BTreeMap::new();
        let mut clock = START as i64;
        for (step, good, bad) in steps {
            clock += step;
            let second = clock as u64;
            match ledger.record(second, counts(good, good + bad)) {
                Ok(Counted) => {
                    let entry = map.entry(second).or_default();
                    *entry = (entry.0 + u128::from(good), entry.1 + u128::from(good + bad));
                }
                Ok(Forgotten) => {}
                other => prop_assert!(matches!(other, Err(Refused::Ahead { .. })), "{other:?}"),
            }
        }
        let middle = START - 5 * DAY + cut;
        let before = ledger.window(0..middle);
        let after = ledger.window(middle..u64::MAX);
        prop_assert_eq!(before.range.end, after.range.start);
        for window in [before, after] {
            // What a clock running ahead summed up is as coarse as it says.
            let expected = map.range(window.range).fold((0, 0), |sum, (_, one)| (sum.0 + one.0, sum.1 + one.1));
            prop_assert_eq!((window.events.good(), window.events.total()), expected);
        }
    }

    #[test]
    fn bytes_give_back_the_same_ledger(
        steps in seconds(), period in periods(), method in methods(), exclusion in 0..DAY,
    ) {
        let slo = slo(period, method);
        let mut ledger = Ledger::new(&slo);
        ledger.exclude(START + exclusion..START + exclusion + 1000).unwrap();
        let mut clock = START as i64;
        for (step, good, bad) in steps {
            clock += step;
            let _ = ledger.record(clock as u64, counts(good, good + bad));
        }
        let bytes = ledger.to_bytes();
        let read = Ledger::from_bytes(&bytes, &slo).unwrap();
        prop_assert_eq!(read.to_bytes(), bytes);
        let mut both = [ledger, read];
        for second in [clock as u64, clock as u64 + 1000, START] {
            let fates = both.each_mut().map(|one| one.record(second, counts(3, 7)));
            prop_assert_eq!(&fates[0], &fates[1]);
            prop_assert_eq!(both[0].window(0..second), both[1].window(0..second));
        }
        prop_assert_eq!(both[0].to_bytes(), both[1].to_bytes());
    }

    #[test]
    fn damaged_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200), method in methods(), period in periods(), sound in any::<bool>(),
    ) {
        let slo = slo(period, method);
        if sound {
            let mut ledger = Ledger::new(&slo);
            fill(&mut ledger, START..START + 100, 1, 2);
            let mut whole = ledger.to_bytes();
            for (place, byte) in bytes.iter().enumerate().take(6) {
                let place = (usize::from(*byte) * 7 + place) % whole.len();
                whole[place] ^= bytes[bytes.len() - 1];
            }
            bytes = whole;
        }
        if let Ok(mut read) = Ledger::from_bytes(&bytes, &slo) {
            let _ = read.record(read.now(), counts(1, 2));
            let _ = read.exclude(START..START + 90);
            let _ = read.resume(read.now() + DAY);
            prop_assert!(Ledger::from_bytes(&read.to_bytes(), &slo).is_ok());
        }
    }
}
