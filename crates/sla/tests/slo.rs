//! Targets are exact and periods are those of the calendar; both refuse what cannot be.

#![expect(clippy::unwrap_used, reason = "what helpers of tests read is sound")]

use plimsoll_sla::{Period, Share, ShareError, Slice, Target, Unit};
use proptest::prelude::*;

#[test]
fn shares_are_exact_and_written_as_percentages() {
    for (text, parts, of, shown) in [
        ("99.95%", 9995, 10_000, "99.95%"),
        ("0.9995", 9995, 10_000, "99.95%"),
        (" 99.950 % ", 9995, 10_000, "99.95%"),
        (".5", 5, 10, "50%"),
        ("1.0", 1, 1, "100%"),
        ("100%", 1, 1, "100%"),
        ("0", 0, 1, "0%"),
        ("007%", 7, 100, "7%"),
        ("0.5%", 5, 1000, "0.5%"),
        ("99.9999999999%", 999_999_999_999, 1_000_000_000_000, "99.9999999999%"),
        ("0.0000000001%", 1, 1_000_000_000_000, "0.0000000001%"),
        ("1.000000000000000000000000", 1, 1, "100%"),
    ] {
        let share: Share = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((share.parts(), share.of(), share.to_string().as_str()), (parts, of, shown), "{text}");
    }
}

#[test]
fn what_is_no_share_is_told_apart() {
    use ShareError::{BeyondTheWhole, NotAShare, TooFine};
    for text in ["", "%", "-1%", "+5%", "1e-3", "NaN", "inf", "5 %%", "0,5", "1/2", ".", "٩٩%"] {
        assert_eq!(text.parse::<Share>(), Err(NotAShare(text.to_owned())), "{text}");
    }
    for text in
        ["100.0001%", "1.0000001", "2", "101%", "99999999999999999999999999999999", "10000000000000001%"]
    {
        assert_eq!(text.parse::<Share>(), Err(BeyondTheWhole(text.to_owned())), "{text}");
    }
    for text in ["99.99999999999%", "0.9999999999999", "0.00000000000000000000000000000000001"] {
        assert_eq!(text.parse::<Share>(), Err(TooFine(text.to_owned())), "{text}");
    }
}

#[test]
fn a_target_promises_something_and_leaves_a_budget() {
    for text in ["0", "0%", "0.000"] {
        assert_eq!(text.parse::<Target>(), Err(ShareError::Nothing(text.to_owned())));
    }
    for text in ["1", "100%", "1.000"] {
        assert_eq!(text.parse::<Target>(), Err(ShareError::Everything(text.to_owned())));
    }
    assert!(matches!("100.0001%".parse::<Target>(), Err(ShareError::BeyondTheWhole(_))));
    let target: Target = "99.95%".parse().unwrap();
    assert_eq!((target.budget().parts(), target.budget().of()), (5, 10_000));
}

proptest! {
    #[test]
    fn a_share_reads_as_it_is_written(parts in 0_u64..=1_000_000_000_000) {
        let share: Share = format!("{}.{:012}", parts / 1_000_000_000_000, parts % 1_000_000_000_000).parse().unwrap();
        prop_assert_eq!(share.to_string().parse::<Share>(), Ok(share));
        prop_assert_eq!(u128::from(share.parts()) * 1_000_000_000_000, u128::from(parts) * u128::from(share.of()));
    }

    #[test]
    fn no_text_panics(text in "[0-9.% e+-]{0,40}") {
        let _ = text.parse::<Share>();
    }
}

#[test]
fn slices_divide_a_day() {
    for seconds in [1, 45, 60, 300, 3600, 86_400] {
        assert_eq!(Slice::new(seconds).map(Slice::seconds), Ok(seconds));
    }
    for seconds in [0, 7, 3601, 172_800, u64::MAX] {
        assert!(Slice::new(seconds).is_err(), "{seconds}");
    }
}

fn unix(moment: &str) -> u64 {
    moment.parse::<jiff::Timestamp>().unwrap().as_second() as u64
}

/// Each row: unit, zone, a moment, and when the period begins and ends that it is in.
#[test]
fn calendar_periods_begin_and_end_by_the_local_clock() {
    let rows = [
        (Unit::Day, "UTC", "2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
        (Unit::Day, "UTC", "2026-11-22T23:59:59Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
        // 23 and 25 hours.
        (Unit::Day, "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        (Unit::Day, "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        // Midnight is skipped, and midnight comes twice.
        (
            Unit::Day,
            "America/Sao_Paulo",
            "2018-11-04T12:00:00Z",
            "2018-11-04T03:00:00Z",
            "2018-11-05T02:00:00Z",
        ),
        (Unit::Day, "America/Havana", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
        // Half an hour of daylight saving, offsets of half hours and quarters.
        (
            Unit::Day,
            "Australia/Lord_Howe",
            "2026-04-04T20:00:00Z",
            "2026-04-04T13:00:00Z",
            "2026-04-05T13:30:00Z",
        ),
        (Unit::Day, "Asia/Kathmandu", "2026-01-01T00:00:00Z", "2025-12-31T18:15:00Z", "2026-01-01T18:15:00Z"),
        // A day that Samoa left out.
        (Unit::Week, "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-26T10:00:00Z", "2012-01-01T10:00:00Z"),
        (Unit::Week, "UTC", "2026-11-22T12:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
        (Unit::Month, "Asia/Kolkata", "2026-02-15T00:00:00Z", "2026-01-31T18:30:00Z", "2026-02-28T18:30:00Z"),
        (Unit::Month, "UTC", "2028-02-29T23:59:59Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        (
            Unit::Quarter,
            "Europe/Berlin",
            "2026-02-01T00:00:00Z",
            "2025-12-31T23:00:00Z",
            "2026-03-31T22:00:00Z",
        ),
        (
            Unit::Year,
            "America/New_York",
            "2026-07-01T00:00:00Z",
            "2026-01-01T05:00:00Z",
            "2027-01-01T05:00:00Z",
        ),
        (Unit::Year, "UTC", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1971-01-01T00:00:00Z"),
    ];
    for (unit, zone, moment, start, end) in rows {
        let period = Period::calendar(unit, zone).unwrap();
        assert_eq!(
            period.bounds_at(unix(moment)),
            unix(start)..unix(end),
            "{} of {moment} in {zone}",
            unit.label()
        );
    }
}

#[test]
fn calendar_periods_may_begin_at_another_time() {
    let noon = Period::calendar_starting(Unit::Month, "UTC", "2022-01-31 12:00:00").unwrap();
    // The last day where a month has no 31st, and the 31st again where it has.
    for (moment, start, end) in [
        ("2022-02-28T11:59:59Z", "2022-01-31T12:00:00Z", "2022-02-28T12:00:00Z"),
        ("2022-02-28T12:00:00Z", "2022-02-28T12:00:00Z", "2022-03-31T12:00:00Z"),
        ("2021-12-31T12:00:00Z", "2021-12-31T12:00:00Z", "2022-01-31T12:00:00Z"),
    ] {
        assert_eq!(noon.bounds_at(unix(moment)), unix(start)..unix(end), "{moment}");
    }
    for start in ["", "soon", "2022-01-01 12:00:30", "1969-01-01 00:00:00", "2022-02-30 00:00:00"] {
        assert!(Period::calendar_starting(Unit::Day, "UTC", start).is_err(), "{start}");
    }
}

#[test]
fn rolling_periods_are_what_has_just_passed() {
    let hour = Period::rolling(3600).unwrap();
    assert_eq!(hour.bounds_at(10_000), 6400..10_000);
    assert_eq!(hour.bounds_at(100), 0..100);
    for seconds in [0, 4, 366 * 86_400 + 1, u64::MAX] {
        assert!(Period::rolling(seconds).is_err(), "{seconds}");
    }
    for zone in ["", "Middle/Earth", "../etc/localtime", "Europe"] {
        assert!(Period::calendar(Unit::Day, zone).is_err(), "{zone}");
    }
}

proptest! {
    #[test]
    fn every_second_is_in_one_period_and_the_next_begins_where_it_ends(
        now in 0_u64..4_294_967_296,
        unit in prop::sample::select(vec![Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year]),
        zone in prop::sample::select(vec![
            "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia",
            "Africa/Casablanca", "America/St_Johns", "Antarctica/Troll",
        ]),
    ) {
        let period = Period::calendar(unit, zone).unwrap();
        let bounds = period.bounds_at(now);
        prop_assert!(bounds.contains(&now), "{bounds:?}");
        prop_assert!(bounds.end - bounds.start <= period.longest_seconds(), "{bounds:?}");
        prop_assert_eq!(period.bounds_at(bounds.end).start, bounds.end);
        prop_assert_eq!(period.bounds_at(bounds.end - 1), bounds);
    }
}
