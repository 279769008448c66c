//! What was recorded is what happened: live, ended, compacted.

use std::sync::Arc;

use plimsoll_history::{History, Recorder};
use plimsoll_measure::{
    Frame, IterationKey, Outcome, PendingKey, Phase, SECOND, Sample, SeriesKey, Shard, Vitals,
};
use plimsoll_run::{Ended, Gauges, Note, RunEvent, RunStatus, Second, Started, Steered};
use proptest::prelude::*;

use crate::sample;
use crate::support::{first, history, lines, record, summary, until};

#[tokio::test]
async fn a_run_comes_back_in_its_order_before_and_after_compaction() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 3), 150, 3, 4);
    let recorded = record(&history, &events).await;
    assert_eq!((recorded.lost_seconds, recorded.ended, recorded.trouble), (0, true, None));
    assert_eq!(lines(&history.events("run").await.unwrap()), lines(&events));
    assert_eq!(history.compact().await.unwrap(), 150);
    assert_eq!(lines(&history.events("run").await.unwrap()), lines(&events));
    assert_eq!(history.compact().await.unwrap(), 0);
    assert_eq!(summary(&history.events("run").await.unwrap()), summary(&events));
}

#[tokio::test]
async fn seconds_after_one_are_found_in_rows_and_in_chunks() {
    let (_directory, history) = history().await;
    record(&history, &sample::events(&sample::started("run", 1), 130, 1, 1)).await;
    for _ in ["rows", "chunks"] {
        for (known, expected) in [
            (None, 0..130),
            (Some(0), 1..130),
            (Some(75), 76..130),
            (Some(129), 130..130),
            (Some(u64::MAX), 0..0),
        ] {
            let seconds = history.seconds_after("run", known).await.unwrap();
            let numbers: Vec<u64> = seconds.iter().map(|second| second.frame.second).collect();
            assert_eq!(numbers, expected.collect::<Vec<u64>>(), "after {known:?}");
        }
        history.compact().await.unwrap();
    }
}

#[tokio::test]
async fn a_live_run_is_followed_from_elsewhere() {
    let (_directory, history) = history().await;
    let elsewhere = History::open(history.location()).await.unwrap();
    let events = sample::events(&sample::started("run", 2), 5, 2, 3);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    let mut reader = elsewhere.read("run").await.unwrap();
    let mut seen = reader.next().await.unwrap();
    for event in &events[1..] {
        recorder.record(event);
        until("the event", async || {
            seen.append(&mut reader.next().await.unwrap());
            (lines(&seen).last() == lines(std::slice::from_ref(event)).last()).then_some(())
        })
        .await;
    }
    assert!(reader.is_finished());
    assert!(reader.next().await.unwrap().is_empty());
    assert_eq!(lines(&seen), lines(&events));
}

#[tokio::test]
async fn a_live_run_has_no_end_and_is_not_compacted() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 1), 3, 1, 1);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    let so_far = &events[..events.len() - 2];
    so_far.iter().for_each(|event| recorder.record(event));
    until("recording", async || {
        (lines(&history.events("run").await.unwrap()) == lines(so_far)).then_some(())
    })
    .await;
    assert_eq!(history.compact().await.unwrap(), 0);
    // Dropped without a word, it is interrupted although its process lives.
    drop(recorder);
    let ended = until("the mark", async || {
        let RunEvent::Ended(ended) = history.events("run").await.unwrap().pop()? else { return None };
        Some(ended)
    })
    .await;
    assert_eq!((ended.status, ended.at), (RunStatus::Interrupted, 3 * SECOND));
    assert_eq!(history.compact().await.unwrap(), 3);
}

#[tokio::test]
async fn a_run_without_a_second_is_a_run() {
    let (_directory, history) = history().await;
    let started = sample::started("run", 0);
    Recorder::start(&history, &started).await.unwrap().finish(crate::support::DEADLINE).await;
    let events = history.events("run").await.unwrap();
    let RunEvent::Ended(ended) = &events[1] else { panic!("{events:?}") };
    assert_eq!((events.len(), ended.at, ended.status), (2, 0, RunStatus::Interrupted));
    let row = history.list(&plimsoll_history::Filter::default()).await.unwrap().remove(0);
    assert_eq!((row.duration_seconds, row.status), (None, Some(RunStatus::Interrupted)));
}

#[derive(Debug, Clone)]
enum Happening {
    Second { skipped: u8, samples: Vec<(u16, u8, u64)> },
    Phase(u8),
    Note(String),
    Steered(u8),
    Judged,
}

fn happening() -> impl Strategy<Value = Happening> {
    let samples = prop::collection::vec((0_u16..3, any::<u8>(), 0_u64..9_000_000_000), 0..12);
    prop_oneof![
        6 => (0_u8..3, samples).prop_map(|(skipped, samples)| Happening::Second { skipped, samples }),
        1 => any::<u8>().prop_map(Happening::Phase),
        1 => any::<String>().prop_map(Happening::Note),
        1 => any::<u8>().prop_map(Happening::Steered),
        1 => Just(Happening::Judged),
    ]
}

/// Makes events of what happened, in a run of three steps.
fn events(happenings: &[Happening]) -> Vec<RunEvent> {
    let started = sample::started("run", 3);
    let mut number = 0;
    let mut events = vec![RunEvent::Started(Arc::new(started.clone()))];
    for happening in happenings {
        events.push(match happening {
            Happening::Second { skipped, samples } => {
                number += u64::from(*skipped);
                let second = second(number, samples, &started);
                number += 1;
                RunEvent::Second(Arc::new(second))
            }
            Happening::Phase(phase) => RunEvent::Phase {
                phase: Phase::ALL[usize::from(*phase) % Phase::ALL.len()],
                at: number * SECOND,
            },
            Happening::Note(text) => RunEvent::Note(Note { at: number * SECOND, text: text.clone() }),
            Happening::Steered(level) => RunEvent::Steered(Arc::new(Steered {
                at: number * SECOND,
                effective: number * SECOND + SECOND / 2,
                loads: vec![0],
                change: format!("rate {level}/s").parse().unwrap(),
                by: "anna".into(),
            })),
            Happening::Judged => {
                let state = plimsoll_run::State::new(Arc::new(started.clone()));
                RunEvent::Judged(Arc::new(state.judged()))
            }
        });
    }
    let ended = Ended {
        at: number * SECOND,
        status: RunStatus::Aborted,
        reason: None,
        exports: vec![],
        samples: None,
    };
    events.push(RunEvent::Ended(Arc::new(ended)));
    events
}

fn second(number: u64, samples: &[(u16, u8, u64)], started: &Started) -> Second {
    let mut shard = Shard::new(number, started.shape.edges.clone());
    for (step, outcome, took) in samples {
        let outcome = Outcome::ALL[usize::from(*outcome) % Outcome::ALL.len()];
        let due = number * SECOND;
        shard.record(&Sample {
            key: SeriesKey { step: *step, phase: Phase::Measured, stage: Some(0), outcome },
            due,
            ready: due + 1,
            sent: Some(due + 2),
            done: due + 2 + took,
            connect: Some(*took / 3),
            tls: None,
            first_byte: None,
            status: Some(200),
            received_bytes: *took,
            sent_bytes: 1,
            address: 0,
        });
        shard.error(outcome, *step, due, "line\nfeed");
        shard.pending(PendingKey { step: *step, phase: Phase::Measured, stage: None }, *took, None);
        shard.arrival(IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(0) });
    }
    let mut frame = Frame::new(number);
    shard.merge_into(&mut frame);
    Second {
        frame,
        gauges: Gauges::default(),
        vitals: Vitals::default(),
        resources: Vec::new(),
        wall_nanos: number as i64,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_folds_to_the_same_summary(happenings in prop::collection::vec(happening(), 0..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_directory, history) = history().await;
            let events = events(&happenings);
            record(&history, &events).await;
            let before = history.events("run").await.unwrap();
            prop_assert_eq!(lines(&before), lines(&events));
            prop_assert_eq!(summary(&before), summary(&events));
            history.compact().await.unwrap();
            let after = history.events("run").await.unwrap();
            prop_assert_eq!(summary(&after), summary(&events));
            let mut export = Vec::new();
            history.export("run", &mut export).await.unwrap();
            let replayed = plimsoll_history::read_export(export.as_slice()).collect::<Result<Vec<_>, _>>().unwrap();
            prop_assert_eq!(summary(&replayed), summary(&events));
            Ok(())
        })?;
    }
}
