use plimsoll_history::{Error, Filter, History, KeptTeardown, Recorder, RunRow};
use plimsoll_run::{RunStatus, Started};

use crate::sample;
use crate::support::{DEADLINE, history, record};

/// Records a short run that started at `nanos`, changed as told.
async fn add(history: &History, id: &str, nanos: i64, change: impl FnOnce(&mut Started)) {
    let mut started = sample::started(id, 1);
    started.info.started_nanos = nanos;
    change(&mut started);
    record(history, &sample::events(&started, 2, 1, 1)).await;
}

async fn ids(history: &History, filter: Filter) -> Vec<String> {
    history.list(&filter).await.unwrap().into_iter().map(|run| run.id).collect()
}

#[tokio::test]
async fn a_row_tells_what_a_run_was() {
    let (_directory, history) = history().await;
    add(&history, "run", 5, |_| {}).await;
    history.set_summary("run", r#"{"schema":1}"#).await.unwrap();
    let found = history.list(&Filter::default()).await.unwrap();
    let expected = RunRow {
        id: "run".into(),
        plan: "storefront".into(),
        plan_hash: "hash".into(),
        version: Some("1.4.2".into()),
        environment: Some("staging".into()),
        tags: [("team".to_owned(), "shop \"one\"".to_owned())].into(),
        target: "http://127.0.0.1:8080".into(),
        seed: u64::MAX,
        host: "h".into(),
        fingerprint: "f".into(),
        plimsoll: "0.1.0".into(),
        started_nanos: 5,
        duration_seconds: Some(2.000_000_005),
        seen_nanos: found[0].seen_nanos,
        status: Some(RunStatus::Completed),
        lost_seconds: 0,
        summary: Some(r#"{"schema":1}"#.into()),
        crosses: vec![],
        teardown: None,
        owes_teardown: false,
    };
    assert_eq!(found, [expected]);
    assert!(found[0].seen_nanos > 2_000_000_005);
    assert!(matches!(history.set_summary("other", "{}").await, Err(Error::NoRun { .. })));
}

#[tokio::test]
async fn a_row_says_what_it_crosses_also_when_the_run_before_is_filtered_out() {
    let (_directory, history) = history().await;
    add(&history, "a", 1, |_| {}).await;
    add(&history, "b", 2, |run| run.shape.plan = "other".into()).await;
    add(&history, "c", 3, |_| {}).await;
    add(&history, "d", 4, |run| run.shape.plan_hash = "changed".into()).await;
    add(&history, "e", 5, |run| {
        run.info.plimsoll = "0.2.0".into();
        run.info.machine.fingerprint = "larger".into();
    })
    .await;
    let crosses = async |filter| {
        let runs = history.list(&filter).await.unwrap();
        runs.into_iter().map(|run| (run.id, run.crosses.join(" "))).collect::<Vec<_>>()
    };
    let row = |id: &str, crosses: &str| (id.to_owned(), crosses.to_owned());
    assert_eq!(
        crosses(Filter::default()).await,
        [row("e", "hash plimsoll machine"), row("d", "hash"), row("c", ""), row("b", ""), row("a", "")]
    );
    let latest = Filter { limit: Some(1), since_nanos: Some(5), ..Filter::default() };
    assert_eq!(crosses(latest).await, [row("e", "hash plimsoll machine")]);
}

#[tokio::test]
async fn a_filter_lets_through_what_it_names() {
    let (_directory, history) = history().await;
    add(&history, "a", 1, |_| {}).await;
    add(&history, "b", 2, |run| run.shape.plan = "other".into()).await;
    add(&history, "c", 3, |run| run.info.version = None).await;
    add(&history, "d", 4, |run| {
        run.info.tags = [("team".to_owned(), "two".to_owned()), ("a.b\"c".to_owned(), "x".to_owned())].into();
    })
    .await;
    add(&history, "e", 5, |run| run.info.environment = Some("production".into())).await;
    let live = Recorder::start(&history, &sample::started("live", 0)).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    let tags = |tags: &[(&str, &str)]| tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    for (filter, expected) in [
        (Filter::default(), "live e d c b a"),
        (Filter { plan: text("other"), ..Filter::default() }, "b"),
        (Filter { plan: text("storefront"), limit: Some(2), ..Filter::default() }, "live e"),
        (Filter { plan_hash: text("nothing"), ..Filter::default() }, ""),
        (Filter { version: text("1.4.2"), since_nanos: Some(2), ..Filter::default() }, "live e d b"),
        (Filter { environment: text("production"), ..Filter::default() }, "e"),
        (Filter { tags: tags(&[("team", "two")]), ..Filter::default() }, "d"),
        (Filter { tags: tags(&[("team", "two"), ("a.b\"c", "x")]), ..Filter::default() }, "d"),
        (Filter { tags: tags(&[("team", "two"), ("a.b\"c", "y")]), ..Filter::default() }, ""),
        (Filter { live: true, ..Filter::default() }, "live"),
    ] {
        assert_eq!(ids(&history, filter.clone()).await.join(" "), expected, "{filter:?}");
    }
    live.finish(DEADLINE).await;
    assert_eq!(ids(&history, Filter { live: true, ..Filter::default() }).await.join(" "), "");
}

#[tokio::test]
async fn spans_are_listed_from_the_first_that_began_a_part_at_a_time() {
    let (_folder, history) = history().await;
    for (id, nanos) in [("d", 4), ("b", 2), ("c", 2), ("a", 1)] {
        add(&history, id, nanos, |_| {}).await;
    }
    let live = Recorder::start(&history, &sample::started("e", 1)).await.unwrap();
    let (mut ids, mut after, mut parts) = (Vec::new(), None, Vec::new());
    loop {
        let spans = history.spans(0, after.as_ref(), 2).await.unwrap();
        parts.push(spans.len());
        let Some(last) = spans.last().cloned() else { break };
        ids.extend(spans.into_iter().map(|span| (span.id, span.is_live)));
        // What was deleted meanwhile is no reason to begin anew.
        if last.id == "b" {
            history.delete(&["b"]).await.unwrap();
        }
        after = Some(last);
    }
    let expected = [("a", false), ("b", false), ("c", false), ("d", false), ("e", true)];
    assert_eq!(ids, expected.map(|(id, is_live)| (id.to_owned(), is_live)), "{parts:?}");
    assert_eq!(parts, [2, 2, 1, 0]);
    let all = history.spans(0, None, 9).await.unwrap();
    let third = all.iter().find(|span| span.id == "c").unwrap();
    let later = history.spans(third.seen_nanos, None, 9).await.unwrap();
    let later: Vec<&str> = later.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(later, ["a", "c", "e"], "d was recorded before");
    drop(live);
}

#[tokio::test]
async fn a_run_is_found_by_the_start_of_its_id() {
    let (_directory, history) = history().await;
    assert_eq!(history.find("last").await.unwrap_err().to_string(), "no run is recorded yet");
    for (place, id) in ["abc1", "abc2", "abc", "b%", "c3", "c4", "c5", "c6", "c7", "c8"].iter().enumerate() {
        add(&history, id, place as i64, |_| {}).await;
    }
    for (asked, expected) in [
        ("last", "c8"),
        ("latest", "c8"),
        ("abc1", "abc1"),
        ("abc", "abc"),
        ("b", "b%"),
        ("b%", "b%"),
        ("ab", "`ab` is the start of 3 ids: abc, abc2, abc1"),
        ("c", "`c` is the start of 6 ids: c8, c7, c6, c5, c4, ..."),
        ("%", "no run's id starts with `%`, the latest of 10 is c8"),
        ("ABC1", "no run's id starts with `ABC1`, the latest of 10 is c8"),
    ] {
        let found = history.find(asked).await.unwrap_or_else(|error| error.to_string());
        assert_eq!(found, expected, "{asked}");
    }
}

#[tokio::test]
async fn runs_are_deleted_together_or_not_at_all_and_live_ones_never() {
    let (_directory, history) = history().await;
    add(&history, "a", 1, |_| {}).await;
    add(&history, "b", 2, |_| {}).await;
    let live = Recorder::start(&history, &sample::started("live", 0)).await.unwrap();
    let error = history.delete(&["a", "live"]).await.unwrap_err();
    assert_eq!(error.to_string(), "run live is still running");
    let error = history.delete(&["a", "gone"]).await.unwrap_err();
    assert!(matches!(error, Error::NoRun { .. }), "{error}");
    assert_eq!(ids(&history, Filter::default()).await.join(" "), "live b a");
    live.finish(DEADLINE).await;
    history.compact().await.unwrap();
    history.delete(&["a", "live"]).await.unwrap();
    assert_eq!(ids(&history, Filter::default()).await.join(" "), "b");
    assert_eq!(history.events("b").await.unwrap().len(), 8);
    assert!(matches!(history.events("a").await, Err(Error::NoRun { .. })));
}

#[tokio::test]
async fn an_id_is_recorded_once() {
    let (_directory, history) = history().await;
    add(&history, "a", 1, |_| {}).await;
    let error = Recorder::start(&history, &sample::started("a", 0)).await.unwrap_err();
    assert_eq!(error.to_string(), "run a is recorded already");
}

#[tokio::test]
async fn a_run_without_its_end_owes_its_teardown_until_it_is_made() {
    let (_directory, history) = history().await;
    add(&history, "ended", 1, teardown).await;
    for (id, nanos) in [("killed", 2), ("without", 3)] {
        let mut started = sample::started(id, 1);
        started.info.started_nanos = nanos;
        if id == "killed" {
            teardown(&mut started);
        }
        Recorder::start(&history, &started).await.unwrap().finish(DEADLINE).await;
    }
    let told = async || {
        let runs = history.list(&Filter::default()).await.unwrap();
        let told = runs.into_iter().map(|run| (run.id, run.owes_teardown, run.teardown));
        told.collect::<Vec<_>>()
    };
    let owed = |id: &str, owes| (id.to_owned(), owes, None);
    assert_eq!(told().await, [owed("without", false), owed("killed", true), owed("ended", false)]);
    for (failure, owes) in [(Some("no".to_owned()), true), (None, false)] {
        let made = KeptTeardown { made_nanos: 7, failure };
        history.keep_teardown("killed", &made).await.unwrap();
        assert_eq!(told().await[1], ("killed".to_owned(), owes, Some(made)));
    }
    let made = KeptTeardown { made_nanos: 7, failure: None };
    assert!(matches!(history.keep_teardown("other", &made).await, Err(Error::NoRun { .. })));
    history.delete(&["killed"]).await.unwrap();
    assert_eq!(told().await.len(), 2);
}

fn teardown(run: &mut Started) {
    run.shape.steps[0].scenario = "teardown".into();
    run.shape.steps[0].scenario_index = None;
}
