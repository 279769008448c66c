//! A month of one run, whose days are five minutes long: `cargo xtask bench service` has one whose days are days.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_history::{Recorder, Retention};
use plimsoll_measure::SECOND;
use plimsoll_run::{RunEvent, State};

use crate::retaining::{figures, folded};
use crate::sample;
use crate::support::history;

/// In seconds.
const DAY: u64 = 300;
const DAYS: u64 = 30;
/// So many seconds wait for the recorder at most: fewer than it holds before it loses some.
const AHEAD: u64 = 100;
/// Making a second takes longer than recording it, so these come again and again.
const DIFFERENT: u64 = 61;

#[tokio::test]
async fn a_month_takes_little_more_room_than_its_first_days_and_all_of_it_is_told() {
    let (_directory, history) = history().await;
    let mut started = sample::started("month", 1);
    started.shape.stages[0].end = (DAYS * DAY) as f64;
    let seconds: Vec<_> = (1..=DIFFERENT).map(|number| sample::second(number, 1, 2, &started)).collect();
    let days = |days: u64| Duration::from_secs(days * DAY);
    let retention = Retention { seconds: days(2), minutes: days(6), hours: days(1000), size: None };
    let recorder = Recorder::start(&history, &started).await.unwrap();
    let mut whole = State::new(Arc::new(started.clone()));
    let mut bytes = Vec::new();
    for number in 0..DAYS * DAY {
        let mut second = seconds[(number % DIFFERENT) as usize].clone();
        second.frame.second = number;
        second.wall_nanos = started.info.started_nanos + ((number + 1) * SECOND) as i64;
        let at = second.wall_nanos;
        let event = RunEvent::Second(Arc::new(second));
        recorder.record(&event);
        whole.apply(&event);
        recorder.seconds().wait_for(|recorded| recorded + AHEAD > number).await.unwrap();
        if (number + 1).is_multiple_of(DAY) {
            bytes.push(history.retain(&retention, at).await.unwrap().bytes);
        }
    }
    recorder.seconds().wait_for(|recorded| *recorded == DAYS * DAY).await.unwrap();
    let (first, last) = (bytes[..15].iter().max().unwrap(), bytes[15..].iter().max().unwrap());
    assert!(*last < first + first / 5, "the second half takes more than the first: {bytes:?}");
    let told = folded(&history.events("month").await.unwrap());
    assert_eq!(figures(&told.summary()), figures(&whole.summary()));
    let course = history.course("month", 0..u64::MAX, 500).await.unwrap().unwrap();
    assert_eq!(course.points.iter().map(|point| point.recorded).sum::<u64>(), DAYS * DAY);
    assert_eq!(course.points.iter().map(|point| point.point.requests).sum::<u64>(), DAYS * DAY * 2);
}
