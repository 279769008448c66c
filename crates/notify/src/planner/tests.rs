use std::collections::BTreeSet;

use plimsoll_run::{ExitCode, NotifyChannel, NotifyReceiver, Secret};
use plimsoll_sla::Severity;

use super::*;
use crate::{BreakingPoint, Recovery, ReportEnded, ReportOf, RunEnded, SearchEnded};

/// What every test begins at, in Unix seconds.
const START: u64 = 1_700_000_000;

fn receiver(on: &[Occasion], at_most: u32) -> NotifyReceiver {
    NotifyReceiver {
        name: "team".to_owned(),
        on: on.iter().copied().collect(),
        at_most,
        channel: NotifyChannel::Slack { url: Secret::new("https://hooks.example/x") },
    }
}

fn planner(receivers: Vec<NotifyReceiver>) -> Planner {
    let settings = NotifySettings { receivers, ..NotifySettings::default() };
    Planner::new(Arc::new(settings), "p".to_owned())
}

fn at(seconds: u64) -> Now {
    Now { passed: Duration::from_secs(seconds), unix: START + seconds }
}

fn breach(subject: &str, promise: &str, second: u64) -> Breach {
    Breach {
        subject: Subject::Service(subject.to_owned()),
        promise: promise.to_owned(),
        objective: "p95(response_time) <= 250ms".to_owned(),
        began: START + second,
        found: START + second,
        why: "too slow".to_owned(),
        severity: Severity::Critical,
        course: Vec::new(),
        page: None,
    }
}

fn recovery(subject: &str, promise: &str, second: u64) -> Occurrence {
    Occurrence::Recovery(Recovery {
        subject: Subject::Service(subject.to_owned()),
        promise: promise.to_owned(),
        ended: START + second,
    })
}

fn run(code: ExitCode) -> Occurrence {
    Occurrence::RunEnded(Box::new(RunEnded {
        plan: "shop".to_owned(),
        run: "r1".to_owned(),
        ended: START,
        code,
        reason: None,
        target: "http://127.0.0.1".to_owned(),
        version: None,
        environment: None,
        validity: ("valid", Vec::new()),
        objectives: Vec::new(),
        figures: Vec::new(),
        course: Vec::new(),
        report: None,
    }))
}

/// Lets time go on to a second, and gives the titles of what was told on the way, each with its second and receiver.
fn pass(planner: &mut Planner, from: u64, to: u64) -> Vec<String> {
    let mut titles = Vec::new();
    for second in from..=to {
        let told = planner.due(at(second));
        titles
            .extend(told.iter().map(|(receiver, message)| format!("{second} {receiver} {}", message.title)));
    }
    titles
}

#[test]
fn one_outage_is_one_message_and_its_end_refers_to_it() {
    let mut planner = planner(vec![receiver(&Occasion::USUAL, 30)]);
    for (second, promise) in [(0, "fast"), (2, "right"), (4, "there")] {
        assert!(planner.take(Occurrence::Breach(breach("shop", promise, second)), at(second)).is_empty());
        assert_eq!(pass(&mut planner, second, second), Vec::<String>::new());
    }
    let told = planner.due(at(5));
    let [(0, began)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(began.title, "shop breaks 3 of its SLAs: fast, right, there");
    for (second, promise) in [(60, "fast"), (61, "right"), (80, "there")] {
        planner.take(recovery("shop", promise, second), at(second));
    }
    assert_eq!(pass(&mut planner, 80, 109), Vec::<String>::new());
    let told = planner.due(at(110));
    let [(0, over)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(over.title, "shop keeps its 3 SLAs again after 1m20s: fast, right, there");
    assert_eq!(over.key, began.key);
    let outage = began.thread.clone().unwrap().0;
    assert_eq!(
        (began.thread.clone(), over.thread.clone()),
        (Some((outage.clone(), true)), Some((outage, false)))
    );
    assert_eq!(planner.next(), None, "nothing is left");
}

#[test]
fn what_joins_an_outage_is_told_together_after_five_minutes() {
    let mut planner = planner(vec![receiver(&Occasion::USUAL, 30)]);
    planner.take(Occurrence::Breach(breach("shop", "fast", 0)), at(0));
    assert_eq!(pass(&mut planner, 0, 20), ["5 0 shop breaks its SLA: fast"]);
    planner.take(Occurrence::Breach(breach("shop", "right", 20)), at(20));
    planner.take(Occurrence::Breach(breach("shop", "there", 200)), at(200));
    assert_eq!(pass(&mut planner, 200, 1000), ["305 0 shop breaks 2 more of its SLAs: right, there"]);
}

#[test]
fn what_comes_back_soon_was_not_over() {
    let mut planner = planner(vec![receiver(&Occasion::USUAL, 30)]);
    let mut titles = Vec::new();
    for second in 0..600 {
        let flaps = if second % 20 < 10 {
            Occurrence::Breach(breach("shop", "fast", second))
        } else {
            recovery("shop", "fast", second)
        };
        planner.take(flaps, at(second));
        titles.extend(pass(&mut planner, second, second));
    }
    titles.extend(pass(&mut planner, 600, 700));
    assert_eq!(titles, ["5 0 shop breaks its SLA: fast", "620 0 shop keeps its SLA again after 9m50s: fast"]);
}

#[test]
fn outages_of_different_subjects_are_told_apart() {
    let mut planner = planner(vec![receiver(&Occasion::USUAL, 30)]);
    planner.take(Occurrence::Breach(breach("shop", "fast", 0)), at(0));
    planner.take(Occurrence::Breach(breach("search", "fast", 0)), at(0));
    planner.take(recovery("search", "fast", 1), at(1));
    assert_eq!(
        pass(&mut planner, 1, 60),
        [
            "5 0 search breaks its SLA: fast",
            "5 0 shop breaks its SLA: fast",
            "31 0 search keeps its SLA again after 1s: fast"
        ]
    );
}

#[test]
fn each_receiver_is_told_of_what_it_wants() {
    let mut planner = planner(vec![
        receiver(&[Occasion::Breach], 30),
        receiver(&[Occasion::Recovery, Occasion::Success], 30),
        receiver(&[Occasion::Failure], 30),
    ]);
    planner.take(Occurrence::Breach(breach("shop", "fast", 0)), at(0));
    planner.take(recovery("shop", "fast", 10), at(10));
    assert_eq!(
        pass(&mut planner, 0, 60),
        ["5 0 shop breaks its SLA: fast", "40 1 shop keeps its SLA again after 10s: fast"]
    );
    for (code, told_to) in [
        (ExitCode::Success, Some(1)),
        (ExitCode::Missed, Some(2)),
        (ExitCode::Undecided, Some(2)),
        (ExitCode::Unreachable, Some(2)),
        (ExitCode::Usage, Some(2)),
        (ExitCode::Interrupted, None),
    ] {
        let told = planner.take(run(code), at(100));
        assert_eq!(told.first().map(|(receiver, _)| *receiver), told_to, "{code:?}");
    }
}

/// 10,000 breaches of 5,000 promises of 500 services within a minute.
#[test]
fn a_storm_is_a_few_messages_and_all_of_it_is_counted() {
    let mut planner = planner(vec![receiver(&Occasion::USUAL, 30)]);
    let (mut told, mut promises, mut held) = (0, 0, 0);
    let mut count = |all: Vec<Told>| {
        for (_, message) in all {
            told += 1;
            promises += message.data["promises_in_all"].as_u64().unwrap_or(0);
            held += message.data["messages"].as_u64().unwrap_or(0);
            assert!(message.lines.len() <= message::LINES + 1);
        }
    };
    for number in 0..10_000_u64 {
        let second = number * 60 / 10_000;
        let (service, promise) = (format!("s{}", number % 500), format!("p{}", number % 5000));
        count(planner.take(Occurrence::Breach(breach(&service, &promise, second)), at(second)));
        count(planner.due(at(second)));
    }
    (60..3600).for_each(|second| count(planner.due(at(second))));
    assert_eq!(told, 30, "{:?}", planner.held());
    let mut later = Vec::new();
    (3600..7300).for_each(|second| later.extend(planner.due(at(second))));
    let waited: u64 = later.iter().filter_map(|(_, message)| message.data["messages"].as_u64()).sum();
    assert!(waited > 0 && planner.held().is_empty(), "{later:?}");
}

#[test]
fn a_receiver_gets_so_many_an_hour_and_the_rest_in_one() {
    let mut planner = planner(vec![receiver(&[Occasion::Failure, Occasion::Breach, Occasion::Recovery], 3)]);
    planner.take(Occurrence::Breach(breach("shop", "fast", 0)), at(0));
    assert_eq!(pass(&mut planner, 5, 5).len(), 1);
    let told: usize = (10..20).map(|second| planner.take(run(ExitCode::Missed), at(second)).len()).sum();
    assert_eq!(told, 2);
    // Its end goes out whatever there is.
    planner.take(recovery("shop", "fast", 20), at(20));
    assert_eq!(pass(&mut planner, 20, 60), ["50 0 shop keeps its SLA again after 20s: fast"]);
    assert_eq!(planner.next(), Some(Duration::from_secs(5 + 3600)));
    let told = pass(&mut planner, 61, 3700);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("3605 0 8 messages held back since 2023-11-14 22:13:32 UTC"), "{told:?}");
}

#[test]
fn the_end_of_a_process_tells_what_it_knows() {
    let mut planner = planner(vec![receiver(&Occasion::ALL, 1)]);
    planner.take(Occurrence::Breach(breach("shop", "fast", 0)), at(0));
    planner.take(run(ExitCode::Missed), at(0));
    let titles: Vec<String> = planner.end(at(1)).iter().map(|(_, message)| message.title.clone()).collect();
    assert_eq!(titles.len(), 1, "{titles:?}");
    assert!(titles[0].starts_with("1 message held back"), "{titles:?}");
}

#[test]
fn the_end_of_a_run_is_no_recovery() {
    let mut planner = planner(vec![receiver(&Occasion::USUAL, 30)]);
    let of_plan =
        |promise: &str| Breach { subject: Subject::Plan("shop".to_owned()), ..breach("", promise, 0) };
    planner.take(Occurrence::Breach(of_plan("fast")), at(0));
    let titles: Vec<String> =
        planner.take(run(ExitCode::Missed), at(2)).iter().map(|(_, message)| message.title.clone()).collect();
    assert_eq!(titles, ["shop breaks its SLA: fast", "A run of shop missed 0 objectives"]);
    assert_eq!(pass(&mut planner, 2, 100), Vec::<String>::new());
}

#[test]
fn a_restart_tells_the_end_of_what_was_told_before() {
    let mut planner = planner(vec![receiver(&Occasion::USUAL, 30)]);
    planner.resume(breach("shop", "fast", 0), at(50));
    assert_eq!(pass(&mut planner, 50, 100), Vec::<String>::new());
    planner.take(recovery("shop", "fast", 100), at(100));
    assert_eq!(pass(&mut planner, 100, 200), ["130 0 shop keeps its SLA again after 1m40s: fast"]);
}

#[test]
fn what_could_not_be_taken_is_said() {
    let mut planner = planner(vec![receiver(&Occasion::USUAL, 30)]);
    planner.missed(7);
    assert_eq!(pass(&mut planner, 0, 10), ["0 0 7 things could not be told: too much happened at once"]);
}

#[test]
fn nobody_wants_everything_by_default() {
    let usual: BTreeSet<Occasion> = Occasion::USUAL.into_iter().collect();
    assert!(!usual.contains(&Occasion::Success) && !usual.contains(&Occasion::Capacity));
}

proptest::proptest! {
    /// However things follow each other, a receiver never gets more than it should within an hour, ends aside.
    #[test]
    fn no_hour_has_too_many(
        steps in proptest::collection::vec((0..200_u64, 0..6_u8, proptest::bool::ANY), 1..200),
        at_most in 1..5_u32,
    ) {
        let mut planner = planner(vec![receiver(&Occasion::ALL, at_most)]);
        let (mut now, mut told) = (0, Vec::new());
        for (wait, service, is_breach) in steps {
            now += wait;
            let service = format!("s{service}");
            let occurrence = match is_breach {
                true => Occurrence::Breach(breach(&service, "fast", now)),
                false => recovery(&service, "fast", now),
            };
            let mut all = planner.take(occurrence, at(now));
            all.extend(planner.due(at(now)));
            told.extend(all.iter().filter(|(_, message)| message.event != "sla.recovered").map(|_| now));
        }
        for (index, second) in told.iter().enumerate() {
            let within = told[index..].iter().take_while(|other| **other < second + 3600).count();
            proptest::prop_assert!(within <= at_most as usize, "{told:?}");
        }
    }
}

fn search(code: ExitCode, is_found: bool) -> Occurrence {
    let found = BreakingPoint {
        is_users: false,
        is_sure: true,
        low: Some(100.0),
        high: Some(102.0),
        limit: Some(101.0),
        throughput: None,
        side: None,
        symptom: None,
    };
    Occurrence::SearchEnded(Box::new(SearchEnded {
        plan: "shop".to_owned(),
        search: "s1".to_owned(),
        schedule: None,
        ended: START,
        code,
        reason: None,
        target: String::new(),
        found: is_found.then_some(found),
        report: None,
        page: None,
    }))
}

fn report(is_made: bool) -> Occurrence {
    Occurrence::ReportEnded(ReportEnded {
        schedule: "month".to_owned(),
        of: ReportOf::Slas { month: "2026-10".to_owned() },
        ended: START,
        is_made,
        words: String::new(),
        page: None,
    })
}

#[test]
fn searches_and_reports_are_told_once_to_who_wants_them() {
    let words: [&[Occasion]; 4] = [
        &[Occasion::Capacity],
        &[Occasion::Failure],
        &[Occasion::Success],
        &[Occasion::Capacity, Occasion::Failure],
    ];
    let receivers = || words.iter().map(|on| receiver(on, 30)).collect();
    for (occurrence, event, told) in [
        (search(ExitCode::Success, true), "limit.found", &[0, 3][..]),
        (search(ExitCode::Success, false), "limit.found", &[0, 3]),
        // An answer, and not the one hoped for.
        (search(ExitCode::Missed, true), "limit.found", &[0, 1, 3]),
        (search(ExitCode::Undecided, true), "limit.found", &[0, 1, 3]),
        (search(ExitCode::Undecided, false), "limit.failed", &[1, 3]),
        (search(ExitCode::Usage, true), "limit.failed", &[1, 3]),
        (search(ExitCode::Unreachable, false), "limit.failed", &[1, 3]),
        (search(ExitCode::Internal, false), "limit.failed", &[1, 3]),
        (search(ExitCode::Interrupted, true), "", &[]),
        (report(true), "report.made", &[2]),
        (report(false), "report.failed", &[1, 3]),
    ] {
        let found = planner(receivers()).take(occurrence.clone(), at(0));
        let who: Vec<usize> = found.iter().map(|(receiver, _)| *receiver).collect();
        assert_eq!(who, told, "{occurrence:?}");
        assert!(found.iter().all(|(_, message)| message.event == event), "{occurrence:?}");
    }
}

#[test]
fn searches_and_reports_take_of_the_hour_like_everything_else() {
    let mut planner = planner(vec![receiver(&[Occasion::Capacity, Occasion::Success], 2)]);
    let told = [search(ExitCode::Success, true), report(true), report(true), search(ExitCode::Success, true)]
        .map(|occurrence| planner.take(occurrence, at(10)).len());
    assert_eq!((told, planner.held()), ([1, 1, 0, 0], [(0, 2)].into()));
    let titles = pass(&mut planner, 3605, 3611);
    assert_eq!(titles, ["3610 0 2 messages held back since 2023-11-14 22:13:30 UTC"]);
}
