//! Runs whose process died go on in the same record.

use plimsoll_history::{Error, Filter, History, KeptLaunch, Recorder};
use plimsoll_measure::SECOND;
use plimsoll_run::{Resumed, RunEvent, RunStatus};

use crate::sample;
use crate::support::{DEADLINE, connect, first, history, lines, until};

/// A record that was left behind: its recorder is gone, and said nothing of an end.
async fn left(history: &History, id: &str, events: &[RunEvent]) {
    let recorder = Recorder::start(history, first(events)).await.unwrap();
    events.iter().for_each(|event| recorder.record(event));
    recorder.finish(DEADLINE).await;
    assert!(history.has_died(id).await.unwrap());
}

#[tokio::test]
async fn a_run_goes_on_in_its_record_however_it_is_kept() {
    for (seconds, is_compacted) in [(7, false), (70, true), (60, true)] {
        let (_directory, history) = history().await;
        let all = sample::events(&sample::started("run", 2), 130, 2, 3);
        let is_later = |event: &RunEvent| match event {
            RunEvent::Second(second) => second.frame.second >= seconds,
            RunEvent::Phase { at, .. } => *at > SECOND,
            RunEvent::Ended(_) => true,
            _ => false,
        };
        let (later, before): (Vec<_>, Vec<_>) = all.iter().cloned().partition(is_later);
        left(&history, "run", &before).await;
        if is_compacted {
            assert_eq!(history.compact().await.unwrap(), seconds);
        }
        let interrupted = history.interrupted("run").await.unwrap();
        assert_eq!(interrupted.state.last_second(), Some(seconds - 1));
        assert_eq!(interrupted.last.as_ref().unwrap().frame.second, seconds - 1);
        assert!(interrupted.same_boot);

        let recorder = Recorder::resume(&history, &interrupted).await.unwrap();
        let live = history.list(&Filter { live: true, ..Filter::default() }).await.unwrap();
        assert_eq!(live.len(), 1, "it goes on");
        let resumed = Resumed { at: seconds * SECOND, wall_nanos: 9, away: 8, cut: 7 };
        let gap = RunEvent::Resumed(resumed);
        std::iter::once(&gap).chain(&later).for_each(|event| recorder.record(event));
        let recorded = recorder.finish(DEADLINE).await;
        assert_eq!((recorded.lost_seconds, recorded.ended), (0, true));
        history.compact().await.unwrap();
        let expected: Vec<_> = before.iter().cloned().chain([gap]).chain(later).collect();
        let found = history.events("run").await.unwrap();
        assert_eq!(lines(&found), lines(&expected));
        let row = history.list(&Filter::default()).await.unwrap().remove(0);
        assert_eq!((row.status, row.id.as_str()), (Some(RunStatus::Completed), "run"));
        // It ended by itself now.
        let error = history.interrupted("run").await.unwrap_err();
        assert!(matches!(error, Error::NotInterrupted { status: RunStatus::Completed, .. }), "{error}");
        assert!(!history.has_died("run").await.unwrap());
    }
}

#[tokio::test]
async fn a_run_that_lives_or_never_was_does_not_go_on() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 1), 3, 1, 1);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    events[..4].iter().for_each(|event| recorder.record(event));
    until("recording", async || (history.events("run").await.unwrap().len() >= 4).then_some(())).await;
    let error = history.interrupted("run").await.unwrap_err();
    assert!(matches!(error, Error::Live { .. }), "{error}");
    assert!(!history.has_died("run").await.unwrap() && !history.has_died("none").await.unwrap());
    assert!(matches!(history.interrupted("none").await, Err(Error::NoRun { .. })));
    drop(recorder);
}

#[tokio::test]
async fn a_run_goes_on_that_has_no_second_yet() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 1), 2, 1, 1);
    left(&history, "run", &events[..1]).await;
    let interrupted = history.interrupted("run").await.unwrap();
    assert!(interrupted.last.is_none() && interrupted.state.last_second().is_none());
    let recorder = Recorder::resume(&history, &interrupted).await.unwrap();
    events.iter().for_each(|event| recorder.record(event));
    assert!(recorder.finish(DEADLINE).await.ended);
    assert_eq!(lines(&history.events("run").await.unwrap()), lines(&events));
}

/// Makes another process the one that records a run.
async fn hand_over(history: &History) {
    let changed = sqlx::raw_sql("UPDATE runs SET owner_process = owner_process + 1");
    changed.execute(&mut connect(history).await).await.unwrap();
}

#[tokio::test]
async fn of_two_who_go_on_with_a_run_one_does() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 1), 3, 1, 1);
    left(&history, "run", &events[..4]).await;
    let interrupted = history.interrupted("run").await.unwrap();
    history.claim(&interrupted).await.unwrap();
    history.claim(&interrupted).await.expect("it is ours already");
    hand_over(&history).await;
    hand_over(&history).await;
    for refused in [
        history.claim(&interrupted).await.unwrap_err(),
        Recorder::resume(&history, &interrupted).await.unwrap_err(),
    ] {
        assert!(matches!(refused, Error::Live { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_recorder_that_was_taken_for_dead_writes_no_more() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 1), 4, 1, 1);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    events[..4].iter().for_each(|event| recorder.record(event));
    let before = until("recording", async || {
        let events = history.events("run").await.unwrap();
        (events.len() >= 4).then_some(events)
    })
    .await;
    assert!(!recorder.is_taken());
    hand_over(&history).await;
    events[4..].iter().for_each(|event| recorder.record(event));
    until("being told", async || recorder.is_taken().then_some(())).await;
    let trouble = recorder.trouble().unwrap();
    assert!(trouble.contains("another process goes on with the run"), "{trouble}");
    let recorded = recorder.finish(DEADLINE).await;
    let lost = events[4..].iter().filter(|event| matches!(event, RunEvent::Second(_))).count();
    assert_eq!((recorded.lost_seconds, recorded.ended), (lost as u64, false));
    let seconds = |events: &[RunEvent]| -> Vec<String> {
        lines(
            &events.iter().filter(|event| matches!(event, RunEvent::Second(_))).cloned().collect::<Vec<_>>(),
        )
    };
    assert_eq!(seconds(&history.events("run").await.unwrap()), seconds(&before), "nothing of it came");
}

#[tokio::test]
async fn the_places_of_rows_go_with_their_run_and_no_others() {
    let (_directory, history) = history().await;
    // Of a database they are in the working directory, which other tests have, too.
    for (id, is_its) in [("places-of-it", true), ("places-of-another", false)] {
        left(&history, id, &sample::events(&sample::started(id, 1), 3, 1, 1)[..4]).await;
        let rows = history.rows_file(id);
        let of = if is_its { history.identity().await.unwrap() } else { "another".to_owned() };
        std::fs::write(&rows, format!("{of}\n12345678")).unwrap();
        history.delete(&[id]).await.unwrap();
        assert_eq!(rows.exists(), !is_its);
        let _ = std::fs::remove_file(rows);
    }
}

#[tokio::test]
async fn a_history_is_known_again() {
    let (place, history) = history().await;
    let identity = history.identity().await.unwrap();
    assert!(identity.contains("made on 2") && identity.ends_with(" UTC"), "{identity}");
    assert_eq!(History::open(place.location()).await.unwrap().identity().await.unwrap(), identity);
}

#[tokio::test]
async fn what_a_service_starts_is_remembered_until_it_has_ended() {
    let (_directory, history) = history().await;
    let launch = |run: &str, schedule: Option<&str>| KeptLaunch {
        run: run.to_owned(),
        plan: "shop".to_owned(),
        schedule: schedule.map(str::to_owned),
        targets: schedule.is_none().then(|| "shop.example,10.0.0.0/8".to_owned()),
    };
    for launch in [launch("b", None), launch("a", Some("nightly"))] {
        history.keep_launch(&launch).await.unwrap();
    }
    assert_eq!(history.launches().await.unwrap(), [launch("a", Some("nightly")), launch("b", None)]);
    history.forget_launch("a").await.unwrap();
    history.forget_launch("a").await.unwrap();
    assert_eq!(history.launches().await.unwrap(), [launch("b", None)]);
    assert_ne!(history.rows_file("a"), history.rows_file("b"));
}
