//! Old seconds become minutes and hours, and what can be said of the run stays what it was.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plimsoll_history::{Course, Error, Filter, History, Recorder, Retention, read_export};
use plimsoll_measure::{SECOND, Vitals};
use plimsoll_run::{
    Change, CoursePoint, ResourceFigure, ResourceScrape, ResourceUnit, RunEvent, Second, Started, State,
    Steered, Summary, wire,
};
use plimsoll_sla::{Expression, Filter as Which, Objective, Severity, Verdict};
use sqlx::Connection;

use crate::sample;
use crate::support::{check_integrity, connect, first, history, lines, record, until};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: i64 = 86_400 * SECOND as i64;
/// An hour that becomes one, minutes, and some seconds.
const SECONDS: u64 = 4200;

/// Seconds for three minutes, minutes for seven, hours for ever. (People are held to an hour of seconds.)
pub(crate) fn short() -> Retention {
    Retention { seconds: 3 * MINUTE, minutes: 7 * MINUTE, hours: 100_000 * HOUR, size: None }
}

fn objective(text: &str, over: Option<u32>) -> Objective {
    Objective {
        name: text.into(),
        text: text.into(),
        expression: Expression::parse(text).unwrap(),
        over,
        filter: Which::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    }
}

/// A run that has something of everything that needs seconds.
fn run(id: &str) -> Vec<RunEvent> {
    static EVENTS: OnceLock<Vec<RunEvent>> = OnceLock::new();
    let mut events = EVENTS.get_or_init(make_run).clone();
    let mut started = first(&events).clone();
    started.info.id = id.into();
    events[0] = RunEvent::Started(Arc::new(started));
    events
}

fn make_run() -> Vec<RunEvent> {
    let mut started = sample::started("run", 1);
    started.shape.stages[0].end = SECONDS as f64;
    started.shape.warmup = 1.0;
    started.shape.objectives = vec![
        objective("p95(response_time) <= 123ms", None),
        objective("error_ratio < 1.5%", None),
        objective("max(response_time) <= 17ms", Some(10)),
        objective("error_ratio < 60%", Some(30)),
        objective("count(requests) > 5", Some(60)),
    ];
    let mut events = sample::events(&started, SECONDS, 1, 2);
    for event in &mut events {
        if let RunEvent::Second(second) = event {
            *event = RunEvent::Second(Arc::new(trouble(second, &started)));
        }
    }
    events
}

/// The statement that adds rows of so many values to a table.
fn insert(table: &str, rows: usize, values: usize) -> String {
    let row = |row: usize| {
        let of_row: Vec<String> = (1..=values).map(|value| format!("${}", row * values + value)).collect();
        format!("({})", of_row.join(", "))
    };
    format!("INSERT INTO {table} VALUES {}", (0..rows).map(row).collect::<Vec<_>>().join(", "))
}

/// Puts a run into the record at once: a recorder would take minutes.
pub(crate) async fn put(history: &History, events: &[RunEvent]) {
    let others = events.iter().filter(|event| !matches!(event, RunEvent::Second(_)));
    record(history, &others.cloned().collect::<Vec<_>>()).await;
    let (mut connection, mut last) = (connect(history).await, 0);
    let id = &first(events).info.id;
    let number: i64 = sqlx::query_scalar("SELECT run FROM runs WHERE id = $1")
        .bind(id)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let seconds = events.iter().filter_map(|event| match event {
        RunEvent::Second(second) => Some(second),
        _ => None,
    });
    for some in seconds.collect::<Vec<_>>().chunks(200) {
        let (mut heads, mut series) = (Vec::new(), Vec::new());
        for second in some {
            let rows = wire::to_rows(second);
            let mut point = Vec::new();
            CoursePoint::of_second(second).write(&mut point);
            last = second.frame.second as i64;
            heads.push((last, rows.head, point));
            series.extend(rows.series.into_iter().map(|line| (last, line)));
        }
        let text = insert("seconds (run, second, head, point)", heads.len(), 4);
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for (second, head, point) in heads {
            query = query.bind(number).bind(second).bind(head).bind(point);
        }
        query.execute(&mut *transaction).await.unwrap();
        let text = insert("series (run, second, line)", series.len(), 3);
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for (second, line) in series {
            query = query.bind(number).bind(second).bind(line);
        }
        query.execute(&mut *transaction).await.unwrap();
    }
    for update in [
        "UPDATE runs SET last_second = $2 WHERE run = $1",
        "UPDATE marks SET after_second = $2 WHERE run = $1 AND line LIKE '%grace%'",
        "UPDATE marks SET after_second = 0 WHERE run = $1 AND sequence > 0 AND line NOT LIKE '%grace%' AND $2 = $2",
    ] {
        sqlx::query(update).bind(number).bind(last).execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// What the generator and the target's machine were like.
fn trouble(second: &Second, started: &Started) -> Second {
    let number = second.frame.second;
    // Seven busy seconds across the end of a minute, and some now and then.
    let busy = (1_795..1_802).contains(&number) || number.is_multiple_of(701);
    let cpu = if busy { 0.97 } else { 0.25 };
    let vitals = Vitals { cpu_ratio: Some(cpu), retransmits: Some(number % 3), ..second.vitals };
    let figure =
        ResourceFigure { name: "cpu".into(), unit: ResourceUnit::Cores, value: (number % 64) as f64 };
    let scrape = ResourceScrape {
        source: "db".into(),
        at: (number + 1) * SECOND,
        figures: if number % 500 == 3 { Err("no answer".into()) } else { Ok(vec![figure]) },
        left_out: 0,
    };
    let mut second = Second { vitals, resources: vec![scrape], ..second.clone() };
    if number % 900 == 100 {
        // Nothing was answered in it.
        second.frame.series.clear();
    }
    assert_eq!(second.wall_nanos, started.info.started_nanos + ((number + 1) * SECOND) as i64);
    second
}

pub(crate) fn folded(events: &[RunEvent]) -> State {
    let mut state = State::new(Arc::new(first(events).clone()));
    events.iter().for_each(|event| state.apply(event));
    state
}

/// What must be the same however coarse a record is.
pub(crate) fn figures(summary: &Summary) -> String {
    let Summary {
        totals, phases, timings, errors, scenarios, steps, stages, connections, reconnects, ..
    } = summary;
    let steps: Vec<_> = steps
        .iter()
        .map(|step| (&step.step, step.requests, step.failed, &step.response_time, &step.statuses))
        .collect();
    let objectives: Vec<_> =
        summary.objectives.iter().map(|objective| (&objective.name, &objective.judgement)).collect();
    let resources: Vec<_> = summary
        .resources
        .iter()
        .map(|figure| (figure.count, figure.mean.map(|mean| (mean * 1e6).round()), figure.peak))
        .collect();
    let validity = (
        summary.validity.verdict,
        &summary.validity.reasons,
        &summary.validity.remarks,
        &summary.validity.schedule_lag,
    );
    format!(
        "{totals:#?}{phases:#?}{timings:#?}{errors:#?}{scenarios:#?}{steps:#?}{stages:#?}{connections:?}{reconnects}\n\
         {objectives:#?}{resources:?}{:?}{validity:#?}{:?}{:?}{}",
        summary.resource_sources, summary.response_curve, summary.notes, summary.duration_seconds
    )
}

/// How many events of each kind a record has.
pub(crate) fn kinds(events: &[RunEvent]) -> BTreeMap<u64, usize> {
    let mut kinds = BTreeMap::new();
    for event in events {
        let seconds = match event {
            RunEvent::Second(_) => 1,
            RunEvent::Stretch(stretch) => {
                if stretch.seconds > 60 {
                    3600
                } else {
                    60
                }
            }
            _ => continue,
        };
        *kinds.entry(seconds).or_default() += 1;
    }
    kinds
}

pub(crate) fn end(events: &[RunEvent]) -> i64 {
    let seconds = events.iter().filter(|event| matches!(event, RunEvent::Second(_))).count();
    first(events).info.started_nanos + (seconds as u64 * SECOND) as i64
}

#[tokio::test]
async fn a_coarse_record_gives_the_figures_and_verdicts_of_the_fine_one() {
    let (_directory, history) = history().await;
    let events = run("run");
    put(&history, &events).await;
    let fine = folded(&events).summary();
    assert!(fine.objectives.iter().any(|objective| objective.judgement.verdict == Verdict::Met));
    assert!(
        fine.objectives[2].judgement.why.contains("missed; the first, from second"),
        "{:#?}",
        fine.objectives
    );
    assert!(
        fine.validity.reasons.iter().any(|reason| reason.contains("7 s in a row")),
        "{:?}",
        fine.validity
    );

    let retained = history.retain(&short(), end(&events)).await.unwrap();
    assert_eq!((retained.to_minutes, retained.to_hours), (67 * 60, 3600));
    let kept = history.events("run").await.unwrap();
    // The second of the warm-up and what is measured are never told as one.
    assert_eq!(kinds(&kept), [(1, 180), (60, 7 + 1), (3600, 1)].into());
    assert_eq!(figures(&folded(&kept).summary()), figures(&fine));
    check_integrity(&history).await;
    assert_eq!(history.retain(&short(), end(&events)).await.unwrap().to_minutes, 0, "all is done");

    // Out of the file and back it is the same.
    let mut export = Vec::new();
    history.export("run", &mut export).await.unwrap();
    let read: Vec<RunEvent> = read_export(export.as_slice()).collect::<Result<_, _>>().unwrap();
    assert_eq!(lines(&read), lines(&kept));
}

#[tokio::test]
async fn how_a_run_was_steered_stays_to_the_nanosecond_in_a_minute_that_knows_both_rates() {
    let (_directory, history) = history().await;
    let mut events = beginning("run", 1500);
    for event in &mut events {
        if let RunEvent::Second(second) = event
            && second.frame.second >= 1110
        {
            let mut second = Second::clone(second);
            second.gauges.offered_rate = 7.0;
            *event = RunEvent::Second(Arc::new(second));
        }
    }
    let steered = Steered {
        at: 1109 * SECOND + 123,
        effective: 1110 * SECOND,
        loads: vec![0],
        change: Change::Rate("7/s".parse().unwrap()),
        by: "anna".into(),
    };
    let place = events.iter().position(|event| second_of(event) == Some(1110)).unwrap();
    events.insert(place, RunEvent::Steered(Arc::new(steered.clone())));
    put(&history, &events).await;
    let place = "UPDATE marks SET after_second = 1109 WHERE line LIKE '%\"steered\"%'";
    let moved = sqlx::query(place).execute(&mut connect(&history).await).await.unwrap();
    assert_eq!(moved.rows_affected(), 1);
    history.retain(&short(), end(&events)).await.unwrap();
    let kept = history.events("run").await.unwrap();
    let of_kept = folded(&kept);
    assert_eq!(of_kept.steerings().all(), [steered]);
    assert_eq!(figures(&of_kept.summary()), figures(&folded(&events).summary()));
    // It is told behind the minute that it lies in.
    let place = kept.iter().position(|event| matches!(event, RunEvent::Steered(_))).unwrap();
    let RunEvent::Stretch(minute) = &kept[place - 1] else { panic!("{:?}", kept[place - 1]) };
    assert_eq!(minute.range(), 1080..1140);
    let rate = minute.levels.offered_rate;
    assert_eq!((rate.least, rate.count), (7.0, 60));
    assert!(rate.most > 7.0, "{rate:?}");
}

#[tokio::test]
async fn windows_longer_than_are_followed_are_said_to_be_unknown() {
    let (_directory, history) = history().await;
    let mut events = beginning("run", 1500);
    let mut started = first(&events).clone();
    started.shape.objectives = vec![objective("error_ratio < 60%", Some(301))];
    events[0] = RunEvent::Started(Arc::new(started));
    put(&history, &events).await;
    assert_eq!(folded(&events).summary().objectives[0].judgement.verdict, Verdict::Met);
    history.retain(&Retention { minutes: HOUR * 2, ..short() }, end(&events)).await.unwrap();
    let judgement = folded(&history.events("run").await.unwrap()).summary().objectives.remove(0).judgement;
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    let why = "windows of 301s that begin in 1319 seconds cannot be judged: only sums are kept of them";
    assert_eq!(judgement.why, why);
}

#[tokio::test]
async fn a_live_run_is_folded_and_made_coarser_while_it_goes_on() {
    let (_directory, history) = history().await;
    let events: Vec<RunEvent> =
        run("run").into_iter().filter(|event| second_of(event).is_none_or(|second| second < 900)).collect();
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    let (all, last) = events.split_at(events.len() - 2);
    record_paced(&recorder, all).await;
    recorder.seconds().wait_for(|seconds| *seconds == 900).await.unwrap();
    let mut connection = connect(&history).await;
    let rows = until("the folding of old rows", async || {
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM seconds").fetch_one(&mut connection).await.unwrap();
        (rows < 500).then_some(rows)
    })
    .await;
    assert!(rows >= 120, "{rows}");
    assert!(history.list(&Filter::default()).await.unwrap()[0].is_live());
    let at = first(&events).info.started_nanos + 900 * SECOND as i64;
    let retained = history.retain(&Retention { seconds: 10 * MINUTE, ..short() }, at).await.unwrap();
    assert_eq!((retained.to_minutes, retained.to_hours), (300, 0));
    assert_eq!(
        figures(&folded(&history.events("run").await.unwrap()).summary()),
        figures(&folded(all).summary())
    );
    last.iter().for_each(|event| recorder.record(event));
    recorder.finish(crate::support::DEADLINE).await;
    assert_eq!(
        figures(&folded(&history.events("run").await.unwrap()).summary()),
        figures(&folded(&events).summary())
    );
}

/// Never further ahead than a backlog holds.
async fn record_paced(recorder: &Recorder, events: &[RunEvent]) {
    for event in events {
        recorder.record(event);
        if let Some(second) = second_of(event) {
            recorder.seconds().wait_for(|seconds| seconds + 100 > second).await.unwrap();
        }
    }
}

#[tokio::test]
async fn who_reads_while_seconds_become_minutes_is_told() {
    let (_directory, history) = history().await;
    let events = run("run");
    put(&history, &events).await;
    history.compact().await.unwrap();
    let mut reader = history.read("run").await.unwrap();
    for _ in 0..30 {
        reader.next().await.unwrap();
    }
    history.retain(&short(), end(&events)).await.unwrap();
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, Error::Coarsened { .. }), "{error}");
}

/// A short run that began on another day.
async fn begin(history: &History, id: &str, at: i64) {
    let mut events = run(id);
    events.retain(|event| second_of(event).is_none_or(|second| second < 3));
    put(history, &events).await;
    let query = sqlx::query("UPDATE runs SET started_at = $1 WHERE id = $2").bind(at).bind(id);
    query.execute(&mut connect(history).await).await.unwrap();
}

#[tokio::test]
async fn old_runs_are_deleted_and_a_clock_alone_deletes_nothing() {
    let (_directory, history) = history().await;
    let retention = Retention { hours: 24 * 10 * HOUR, ..short() };
    let started = first(&run("old")).info.started_nanos;
    begin(&history, "old", started).await;
    // A clock that is years ahead finds that nothing newer was recorded.
    let retained = history.retain(&retention, started + 3000 * DAY).await.unwrap();
    assert_eq!((retained.deleted, retained.doubts_clock), (vec![], false));
    // Neither does one that goes on recording with the wrong time, for a day.
    begin(&history, "far", started + 500 * DAY).await;
    for hour in [0, 12, 23] {
        let retained = history.retain(&retention, started + 500 * DAY + hour * DAY / 24).await.unwrap();
        assert_eq!((retained.deleted.len(), retained.doubts_clock), (0, true));
    }
    // The clock is put right, and what is recorded then is not older than what was recorded before it.
    begin(&history, "now", started + 2 * DAY).await;
    let retained = history.retain(&retention, started + 2 * DAY).await.unwrap();
    assert_eq!((retained.deleted.len(), retained.doubts_clock), (0, false));
    for day in [4, 6, 8, 10] {
        history.retain(&retention, started + day * DAY).await.unwrap();
    }
    let (_, would) = history.would_retain(&retention, started + 12 * DAY).await.unwrap();
    assert_eq!(would.deleted, ["old"]);
    assert!(history.find("old").await.is_ok(), "it was only asked");
    let retained = history.retain(&retention, started + 12 * DAY).await.unwrap();
    assert_eq!((retained.deleted, retained.doubts_clock), (vec!["old".to_owned()], false));
    let left: Vec<String> =
        history.list(&Filter::default()).await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(left, ["far", "now"]);
}

#[tokio::test]
async fn a_file_that_is_too_large_keeps_less_and_then_fewer() {
    let (_directory, history) = history().await;
    for number in 0..3 {
        let mut events = run(&format!("run {number}"));
        events.retain(|event| second_of(event).is_none_or(|second| second < 1500));
        put(&history, &events).await;
    }
    let at = end(&run("run 0")) + DAY;
    begin(&history, "now", at).await;
    let week = 168 * HOUR;
    let wide = Retention { seconds: week, minutes: week, hours: week, size: None };
    let before = history.retain(&wide, at).await.unwrap();
    assert_eq!((before.to_minutes, before.halved), (0, 0));
    let most = before.bytes / 5 * 4;
    let bounded = Retention { size: Some(most), ..wide.clone() };
    let retained = history.retain(&bounded, at).await.unwrap();
    assert!(
        retained.bytes <= most - most / 20 && retained.to_minutes > 0 && retained.halved > 1,
        "{retained:?}"
    );
    assert!(retained.to_minutes < 3 * 1500, "no more than is needed: {retained:?}");
    assert_eq!(retained.deleted.len(), 0);
    if let Some(file) = history.file() {
        let file = std::fs::metadata(file).unwrap().len();
        assert!(file <= retained.bytes + 1_000_000, "space is given back: {file}");
    }
    // When all is as coarse as it gets, the oldest goes, and no other.
    let coarsest = Retention { seconds: HOUR, minutes: 24 * HOUR, ..wide };
    let coarse = history.retain(&coarsest, at).await.unwrap();
    // A little less than there is, beside the twentieth that stays free.
    let most = (coarse.bytes - 1) / 19 * 20;
    let bounded = Retention { size: Some(most), ..coarsest };
    let retained = history.retain(&bounded, at).await.unwrap();
    assert_eq!(retained.deleted, ["run 0"]);
    assert!(retained.bytes < coarse.bytes, "{retained:?}");
    assert!(history.find("now").await.is_ok());
}

#[tokio::test]
async fn a_locked_file_is_told_and_the_next_time_goes_on() {
    let (_directory, history) = history().await;
    let events = beginning("run", 1500);
    put(&history, &events).await;
    let mut other = connect(&history).await;
    let lock = crate::database::lock(&mut other).await;
    let error = history.retain(&short(), end(&events)).await.unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    lock.rollback().await.unwrap();

    // In the middle of it, too.
    let (retaining, at) = (history.clone(), end(&events));
    let task = tokio::spawn(async move { retaining.retain(&short(), at).await });
    until("the first minutes", async || (chunks(&history, 60).await > 2).then_some(())).await;
    let lock = crate::database::lock(&mut other).await;
    // Unless it was done before.
    let stopped = task.await.unwrap();
    assert!(matches!(stopped, Ok(_) | Err(Error::Locked { .. })), "{stopped:?}");
    assert_eq!(told(&history.events("run").await.unwrap()), told(&events));
    lock.rollback().await.unwrap();
    let retained = history.retain(&short(), end(&events)).await.unwrap();
    assert!(retained.to_minutes < 22 * 60, "{retained:?}");
    let kept = history.events("run").await.unwrap();
    assert_eq!(figures(&folded(&kept).summary()), figures(&folded(&events).summary()));
}

/// The seconds that events tell of, each once and in their order, and their requests.
pub(crate) fn told(events: &[RunEvent]) -> (u64, u64) {
    let (mut next, mut requests) = (0, 0);
    for event in events {
        let (range, frame) = match event {
            RunEvent::Second(second) => (second.frame.second..second.frame.second + 1, &second.frame),
            RunEvent::Stretch(stretch) => (stretch.range(), &stretch.frame),
            _ => continue,
        };
        assert_eq!(range.start, next);
        next = range.end;
        requests += frame.requests(|_| true);
    }
    (next, requests)
}

#[tokio::test]
async fn given_up_anywhere_it_loses_and_doubles_nothing() {
    let (_directory, history) = history().await;
    let events = beginning("run", 1500);
    put(&history, &events).await;
    let mut patience = Duration::from_millis(30);
    loop {
        let (short, end) = (short(), end(&events));
        let done = tokio::time::timeout(patience, history.retain(&short, end)).await;
        assert_eq!(told(&history.events("run").await.unwrap()), told(&events));
        if done.is_ok_and(|retained| retained.is_ok()) {
            break;
        }
        patience = patience * 3 / 2;
    }
    check_integrity(&history).await;
}

/// The first seconds of a run.
pub(crate) fn beginning(id: &str, seconds: u64) -> Vec<RunEvent> {
    let mut events = run(id);
    events.retain(|event| second_of(event).is_none_or(|second| second < seconds));
    events
}

/// How many chunks a record has of a resolution.
async fn chunks(history: &History, resolution: i64) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM chunks WHERE resolution = $1").bind(resolution);
    count.fetch_one(&mut connect(history).await).await.unwrap()
}

/// The file that the killed child retains, and the moment until which.
const RETAINED: [&str; 2] = ["PLIMSOLL_TEST_RETAINED", "PLIMSOLL_TEST_RETAINED_AT"];

/// Not a test by itself: what is killed.
#[tokio::test]
async fn child_that_retains() {
    let [Ok(path), Ok(at)] = RETAINED.map(std::env::var) else { return };
    let history = History::open(path).await.unwrap();
    history.retain(&short(), at.parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn killed_anywhere_it_leaves_a_whole_record_and_the_next_time_goes_on() {
    let (_directory, history) = history().await;
    let events = beginning("run", 1500);
    put(&history, &events).await;
    let fine = folded(&events).summary();
    let at = end(&events);
    let mut is_killed = 0;
    // While seconds are packed; while they become minutes, early and late.
    for (resolution, enough) in [(1, 3), (60, 1), (60, 8), (60, 16)] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "retaining::child_that_retains"])
            .envs(RETAINED.into_iter().zip([history.location().to_str().unwrap().to_owned(), at.to_string()]))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("some of it", async || {
            let is_there = chunks(&history, resolution).await >= enough;
            (is_there || child.try_wait().unwrap().is_some()).then_some(())
        })
        .await;
        child.kill().unwrap();
        is_killed += u32::from(!child.wait().unwrap().success());
        check_integrity(&history).await;
        let kept = history.events("run").await.unwrap();
        assert_eq!(told(&kept), told(&events));
        assert_eq!(figures(&folded(&kept).summary()), figures(&fine));
    }
    assert!(is_killed > 0, "each child was done before it could be killed");
    history.retain(&short(), at).await.unwrap();
    let kept = history.events("run").await.unwrap();
    assert_eq!(kinds(&kept), [(1, 180), (60, 22 + 1)].into());
    assert_eq!(figures(&folded(&kept).summary()), figures(&fine));
}

fn spans(course: &Course) -> Vec<(u64, u64)> {
    course.points.iter().map(|point| (point.point.second, point.point.seconds)).collect()
}

#[tokio::test]
async fn any_stretch_of_a_run_is_drawn_and_no_peak_vanishes() {
    let (_directory, history) = history().await;
    let mut events = run("run");
    for event in &mut events {
        if let RunEvent::Second(second) = event
            && second.frame.second == 1500
        {
            let mut second = Second::clone(second);
            second.gauges.virtual_users = 777;
            *event = RunEvent::Second(Arc::new(second));
        }
    }
    put(&history, &events).await;
    let course = async |from: u64, to: u64, most: usize| {
        let course = history.course("run", from..to, most).await.unwrap().unwrap();
        assert!(course.points.len() <= most, "{}", course.points.len());
        course
    };
    let longest = folded(&events).summary().response_times.max();
    for stage in ["rows", "chunks", "minutes and hours"] {
        match stage {
            "chunks" => assert_eq!(history.compact().await.unwrap(), SECONDS),
            "minutes and hours" => drop(history.retain(&short(), end(&events)).await.unwrap()),
            _ => {}
        }
        let whole = course(0, u64::MAX, 300).await;
        let requests: u64 = whole.points.iter().map(|point| point.point.requests).sum();
        assert_eq!(requests, told(&events).1, "{stage}");
        assert_eq!(whole.points.iter().map(|point| point.recorded).sum::<u64>(), SECONDS, "{stage}");
        let peak = |point: &CoursePoint| point.point.users == 777 && point.levels.virtual_users.least < 4.0;
        assert!(whole.points.iter().any(peak), "{stage}");
        assert!(
            spans(&whole).windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0),
            "{stage} {:?}",
            spans(&whole)
        );
        let slowest = whole.points.iter().filter_map(|point| point.point.response_time.max()).max();
        assert!(slowest >= longest, "{stage}: {slowest:?} {longest:?}");
        // The last seconds are still there by themselves.
        assert_eq!(
            spans(&course(4100, 4110, 300).await),
            (4100..4110).map(|second| (second, 1)).collect::<Vec<_>>()
        );
        assert_eq!(spans(&course(4195, u64::MAX, 2).await), [(4195, 3), (4198, 2)], "{stage}");
    }
    assert_eq!(spans(&course(3700, 3900, 300).await), [(3660, 60), (3720, 60), (3780, 60), (3840, 60)]);
    assert!(course(20_000, 30_000, 10).await.points.is_empty());
}

fn second_of(event: &RunEvent) -> Option<u64> {
    if let RunEvent::Second(second) = event { Some(second.frame.second) } else { None }
}
