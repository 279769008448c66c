//! What is kept beside runs, or found out after they ended: each time in place of what was kept before.

use plimsoll_history::{Filter, KeptSchedule, KeptTeardown};
use plimsoll_run::{ExportCount, RunEvent};

use crate::sample;
use crate::support::{history, record};

#[tokio::test]
async fn schedules_stand_as_they_were_kept_last() {
    let (_place, history) = history().await;
    for schedule in [
        KeptSchedule { due_nanos: None, is_paused: true },
        KeptSchedule { due_nanos: Some(1_800_000_000_000_000_000), is_paused: false },
    ] {
        history.keep_schedule("nightly", &schedule).await.unwrap();
        let kept = history.schedules().await.unwrap();
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [("nightly".to_owned(), schedule)]);
    }
}

#[tokio::test]
async fn a_teardown_and_deliveries_stand_as_they_were_kept_last() {
    let (_place, history) = history().await;
    record(&history, &sample::events(&sample::started("run", 1), 3, 1, 1)).await;
    for failure in [Some("no answer".to_owned()), None] {
        let teardown = KeptTeardown { made_nanos: 7, failure };
        history.keep_teardown("run", &teardown).await.unwrap();
        let kept = history.list(&Filter::default()).await.unwrap().remove(0).teardown;
        assert_eq!(kept, Some(teardown));
    }
    let missing = KeptTeardown { made_nanos: 7, failure: None };
    history.keep_teardown("none", &missing).await.unwrap_err();
    for backlog in [9, 0] {
        let count =
            ExportCount { sink: "late".into(), produced: 10, acknowledged: 10 - backlog, backlog, lost: 0 };
        history.keep_delivery("run", &count).await.unwrap();
        let events = history.events("run").await.unwrap();
        let Some(RunEvent::Ended(ended)) = events.last() else { panic!("no end") };
        let kept: Vec<_> = ended.exports.iter().filter(|count| count.sink == "late").collect();
        assert_eq!(kept, [&count]);
    }
}
