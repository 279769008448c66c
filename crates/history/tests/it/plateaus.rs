use std::sync::Arc;

use plimsoll_history::History;
use plimsoll_run::{LoadSeries, RunEvent, RunPlateaus, State};

use crate::sample;
use crate::support::{connect, first, history, record};

fn says(events: &[RunEvent]) -> RunPlateaus {
    let started = Arc::new(first(events).clone());
    let (mut state, mut series) = (State::new(Arc::clone(&started)), LoadSeries::new(started));
    for event in events {
        state.apply(event);
        series.apply(event);
    }
    RunPlateaus::of(&state, series)
}

async fn change(history: &History, statement: &'static str) {
    sqlx::raw_sql(statement).execute(&mut connect(history).await).await.unwrap();
}

#[tokio::test]
async fn what_a_run_says_is_kept_as_it_was_found_and_goes_with_the_run() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 2), 40, 2, 9);
    record(&history, &events).await;
    let found = says(&events);
    assert_eq!(found.found.as_ref().unwrap().steady.len(), 1, "{found:?}");
    assert!(history.plateaus("storefront").await.unwrap().is_empty());
    history.keep_plateaus("run", &found).await.unwrap();
    history.keep_plateaus("no such run", &found).await.unwrap();
    assert!(history.plateaus("another").await.unwrap().is_empty());
    assert_eq!(history.plateaus("storefront").await.unwrap(), [("run".to_owned(), found)].into());
    history.delete(&["run"]).await.unwrap();
    assert!(history.plateaus("storefront").await.unwrap().is_empty());
}

#[tokio::test]
async fn what_another_build_found_or_nobody_can_read_is_left_out() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 1), 20, 1, 9);
    record(&history, &events).await;
    for statement in
        ["UPDATE plateaus SET revision = revision + 1", "UPDATE plateaus SET data = substr(data, 1, 99)"]
    {
        history.keep_plateaus("run", &says(&events)).await.unwrap();
        assert_eq!(history.plateaus("storefront").await.unwrap().len(), 1);
        change(&history, statement).await;
        assert!(history.plateaus("storefront").await.unwrap().is_empty(), "after {statement}");
    }
}

/// Fails when the same record gives other plateaus, or the same plateaus other text: then histories hold what this
/// build would not find, and [`RunPlateaus::REVISION`] must change with the golden file.
#[test]
fn the_revision_changes_with_what_is_found() {
    let found = says(&sample::events(&sample::started("run", 2), 40, 2, 9));
    let text = format!("{:#}\n", serde_json::json!({"revision": RunPlateaus::REVISION, "run": found}));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/plateaus.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}
