//! A promise that is judged: whatever comes when, and the same after it was stored.

#![expect(clippy::unwrap_used, reason = "what helpers of tests read is sound")]

use plimsoll_sla::{
    AlertRule, BurnRule, Condition, Counts, Entry, Events, Exclusion, Good, Keeper, Method, Moment, Period,
    RunEvents, Share, Sla, Slice, Slo, Unreadable,
};
use proptest::prelude::*;

const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
/// A Monday at midnight, UTC.
const START: u64 = 1_767_571_200;

fn sla(period: u64, method: Method) -> Sla {
    let slo = Slo {
        name: "checkout".to_owned(),
        target: "99.9%".parse().unwrap(),
        period: Period::rolling(period).unwrap(),
        method,
    };
    let alerts = BurnRule::published(&slo.period, method).map(|rule| AlertRule {
        rule,
        severity: rule.urgency.label().to_owned(),
        notify: Vec::new(),
        resolved: true,
    });
    let events = RunEvents { plan: "demo".to_owned(), scenario: None, step: None, good: Good::Succeeded };
    Sla {
        slo,
        title: String::new(),
        service: String::new(),
        description: None,
        events: Events::Runs(events),
        alerts: alerts.into(),
        never: Vec::new(),
        no_data: None,
        runbook_url: None,
        each: None,
        exclusions: Vec::new(),
        policy: Vec::new(),
        part_of: None,
    }
}

fn moment(bad: u64, total: u64) -> Option<Moment> {
    Some(Moment { counts: Counts::new(total - bad, total).unwrap(), overdue: 0 })
}

/// A keeper after a quiet hour of 100 requests a second.
fn settled(sla: &Sla) -> Keeper {
    let mut keeper = Keeper::new(sla).unwrap();
    for second in START..START + HOUR {
        keeper.second(second, moment(0, 100)).unwrap();
    }
    assert_eq!(keeper.state().condition, Condition::Ok);
    keeper
}

#[test]
fn an_outage_is_a_breach_and_its_delay_is_kept() {
    let mut keeper = settled(&sla(30 * DAY, Method::Occurrences));
    assert_eq!(keeper.delay(), None);
    let outage = keeper.now();
    let state = keeper.second(outage, moment(100, 100)).unwrap();
    assert_eq!((state.condition, state.since, state.delay), (Condition::Breaching, outage + 1, Some(1)));
    for second in outage + 1..outage + 300 {
        keeper.second(second, moment(0, 100)).unwrap();
    }
    assert_ne!(keeper.state().condition, Condition::Breaching);
    assert_eq!(keeper.delay(), Some(1));
    assert_eq!(keeper.budget().spent(), 100);
    assert_eq!(keeper.windows().first(), Some(&300));
}

#[test]
fn the_state_sees_what_is_a_little_late() {
    for (by, condition) in [(1, Condition::Breaching), (10, Condition::Breaching), (30, Condition::Ok)] {
        let mut keeper = settled(&sla(30 * DAY, Method::Occurrences));
        let late = keeper.now() - by;
        keeper.late(late, Counts::new(0, 50).unwrap()).unwrap();
        let state = keeper.second(keeper.now(), moment(0, 100)).unwrap();
        assert_eq!(state.condition, condition, "{by} s late");
        assert_eq!(keeper.over(late..late + 1).spent(), 50, "it counts in its own second");
    }
}

#[test]
fn an_excluded_second_does_not_count_and_is_no_data() {
    let mut with = sla(30 * DAY, Method::Occurrences);
    let window = START + HOUR..START + 2 * HOUR;
    with.exclusions = vec![Exclusion { seconds: window, reason: "moving".to_owned() }];
    let mut keeper = settled(&with);
    for second in START + HOUR..START + HOUR + 20 {
        keeper.second(second, moment(100, 100)).unwrap();
    }
    assert_eq!((keeper.budget().spent(), keeper.state().condition), (0, Condition::Undecided));
    // Taken out of the file, it ends now; what was left out stays so.
    let without = sla(30 * DAY, Method::Occurrences);
    let mut keeper = Keeper::from_bytes(&keeper.to_bytes(), &without).unwrap();
    keeper.second(START + HOUR + 20, moment(100, 100)).unwrap();
    assert_eq!((keeper.budget().spent(), keeper.state().condition), (100, Condition::Breaching));
}

#[test]
fn silence_is_undecided_and_time_may_go_on_by_days() {
    let mut keeper = settled(&sla(30 * DAY, Method::Occurrences));
    let now = keeper.now();
    for second in now..now + 10 {
        assert_eq!(keeper.state().condition, Condition::Ok);
        keeper.second(second, None).unwrap();
    }
    assert_eq!(keeper.state().condition, Condition::Undecided);
    assert!(keeper.second(now + 5 * DAY, moment(0, 1)).is_err(), "a clock is not believed so far ahead");
    keeper.resume(now + 5 * DAY).unwrap();
    let state = keeper.second(now + 5 * DAY, moment(0, 100)).unwrap();
    assert_eq!(state.condition, Condition::Ok);
    assert_eq!(keeper.budget().events().total(), 100 * u128::from(HOUR) + 100);
    assert_eq!(Keeper::new(&sla(DAY, Method::Occurrences)).unwrap().resume(now).unwrap().since, 0);
}

#[test]
fn a_share_counts_by_its_size_and_is_one_event_to_the_state() {
    let method = Method::RatioTimeslices { slice: Slice::new(60).unwrap() };
    let mut keeper = Keeper::new(&sla(30 * DAY, method)).unwrap();
    for second in START..START + 120 {
        keeper.share(second, Method::PARTS * 9995 / 10_000).unwrap();
    }
    assert_eq!(keeper.budget().attained().unwrap().to_f64(), 0.9995);
    assert_eq!(keeper.state().condition, Condition::Ok);
    for second in START + 120..START + 128 {
        keeper.share(second, Method::PARTS / 2).unwrap();
    }
    assert_eq!(keeper.state().condition, Condition::Breaching, "eight bad readings on end");
}

#[test]
fn bytes_of_others_are_refused() {
    let minutes = Method::Timeslices { slice: Slice::new(60).unwrap(), target: Share::ONE };
    let bytes = settled(&sla(30 * DAY, Method::Occurrences)).to_bytes();
    let refused = |bytes: &[u8], method| Keeper::from_bytes(bytes, &sla(30 * DAY, method)).unwrap_err();
    assert_eq!(refused(&bytes, minutes), Unreadable::Method);
    assert_eq!(refused(&[], minutes), Unreadable::Length);
    assert_eq!(refused(&[9, 0], minutes), Unreadable::Version(9));
}

/// What happens in a stretch of seconds.
#[derive(Debug, Clone, Copy)]
enum Stretch {
    Traffic { seconds: u64, bad: u64, total: u64, overdue: u64 },
    Silence(u64),
    Late { by: u64, bad: u64 },
    Gap(u64),
    Back(u64),
}

fn stretch() -> impl Strategy<Value = Stretch> {
    prop_oneof![
        4 => (1..400_u64, 0..20_u64, 20..2000_u64, 0..5_u64)
            .prop_map(|(seconds, bad, total, overdue)| Stretch::Traffic { seconds, bad, total, overdue }),
        1 => (1..30_u64).prop_map(Stretch::Silence),
        1 => (0..4000_u64, 1..100_u64).prop_map(|(by, bad)| Stretch::Late { by, bad }),
        1 => (0..3 * DAY).prop_map(Stretch::Gap),
        1 => (0..HOUR).prop_map(Stretch::Back),
    ]
}

fn entries(stretches: &[Stretch]) -> Vec<Entry> {
    let mut now = START;
    let mut entries = Vec::new();
    for stretch in stretches {
        match *stretch {
            Stretch::Traffic { seconds, bad, total, overdue } => {
                for second in now..now + seconds {
                    let counts = Counts::new(total - bad, total).unwrap();
                    entries.push(Entry::Second { second, moment: Some(Moment { counts, overdue }) });
                }
                now += seconds;
            }
            Stretch::Silence(seconds) => {
                entries.extend((now..now + seconds).map(|second| Entry::Second { second, moment: None }));
                now += seconds;
            }
            Stretch::Late { by, bad } => {
                entries.push(Entry::Late { second: now - by, counts: Counts::new(0, bad).unwrap() });
            }
            Stretch::Gap(seconds) => {
                now += seconds;
                entries.push(Entry::Resumed { now });
            }
            Stretch::Back(seconds) => now -= seconds,
        }
    }
    entries
}

fn method() -> impl Strategy<Value = Method> {
    let slice = Slice::new(60).unwrap();
    prop_oneof![
        2 => Just(Method::Occurrences),
        1 => Just(Method::Timeslices { slice, target: "99%".parse().unwrap() }),
        1 => Just(Method::RatioTimeslices { slice }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn stored_and_read_it_goes_on_as_if_nothing_had_been(
        stretches in prop::collection::vec(stretch(), 1..12),
        method in method(),
        period in prop_oneof![Just(60_u64), Just(DAY), Just(30 * DAY)],
        cut in 0.0..1.0_f64,
    ) {
        let sla = sla(period.max(method.slice().unwrap_or(1) * 60), method);
        let entries = entries(&stretches);
        let cut = (entries.len() as f64 * cut) as usize;
        let mut whole = Keeper::new(&sla).unwrap();
        let mut stored = Keeper::new(&sla).unwrap();
        for (index, entry) in entries.into_iter().enumerate() {
            if index == cut {
                stored = Keeper::from_bytes(&stored.to_bytes(), &sla).unwrap();
            }
            prop_assert_eq!(whole.tell(entry), stored.tell(entry));
            prop_assert_eq!(whole.state(), stored.state());
        }
        prop_assert_eq!(whole.to_bytes(), stored.to_bytes());
        prop_assert_eq!(whole.state().why(), stored.state().why());
    }

    #[test]
    fn a_journal_gives_back_what_was_told(
        stretches in prop::collection::vec(stretch(), 1..6),
        share in 0..=Method::PARTS,
        damaged in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut entries = entries(&stretches);
        entries.push(Entry::Share { second: START, good: share });
        let told: Vec<_> = entries.into_iter().enumerate().map(|(at, entry)| (at as u64 % 7, entry)).collect();
        prop_assert_eq!(Entry::from_bytes(&Entry::to_bytes(&told)), Ok(told));
        let _ = Entry::from_bytes(&damaged);
    }

    #[test]
    fn damaged_bytes_never_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        more in prop::collection::vec(stretch(), 1..4),
    ) {
        let sla = sla(30 * DAY, Method::Occurrences);
        let mut keeper = Keeper::new(&sla).unwrap();
        for second in START..START + 400 {
            keeper.second(second, moment(second % 2, 100)).unwrap();
        }
        let mut bytes = keeper.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(mut read) = Keeper::from_bytes(&bytes, &sla) {
            for entry in entries(&more) {
                let _ = read.tell(entry);
                let _ = (read.budget().remaining_ratio(), read.state().why());
            }
        }
    }
}
