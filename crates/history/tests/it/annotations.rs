//! Alerts that others told: kept once, found by what they overlap, and bounded.

use std::slice::from_ref;
use std::time::Duration;

use plimsoll_history::{MOST_ANNOTATIONS, Overlapping, Retention};
use plimsoll_run::Annotation;

use crate::sample;
use crate::support::{connect, first, history, record};

const DAY: i64 = 86_400_000_000_000;

fn alert(fingerprint: &str, starts_nanos: i64, ends_nanos: Option<i64>) -> Annotation {
    Annotation {
        fingerprint: fingerprint.to_owned(),
        starts_nanos,
        ends_nanos,
        name: "CheckoutSlow <b>".to_owned(),
        severity: Some("page".to_owned()),
        summary: None,
        labels: [("alertname".to_owned(), "CheckoutSlow <b>".to_owned())].into(),
        link: None,
        receiver: "plimsoll".to_owned(),
        told_nanos: starts_nanos + 1,
    }
}

fn names(found: &[Annotation]) -> Vec<&str> {
    found.iter().map(|annotation| annotation.fingerprint.as_str()).collect()
}

#[tokio::test]
async fn an_alert_that_is_told_again_is_there_once_and_as_it_was_told_last() {
    let (_place, history) = history().await;
    let all = Overlapping::default();
    assert_eq!(history.annotations(&all).await.unwrap(), []);
    history.keep_annotations(&[]).await.unwrap();

    let firing = alert("a", 100, None);
    history.keep_annotations(from_ref(&firing)).await.unwrap();
    assert_eq!(history.annotations(&all).await.unwrap(), from_ref(&firing));
    let labels =
        ["alertname", "instance", "quote\"", "ü"].map(|name| (name.to_owned(), format!("{name} \\ '")));
    let resolved = Annotation {
        ends_nanos: Some(250),
        name: "Other".to_owned(),
        severity: None,
        summary: Some("it was $1 slow; DROP TABLE runs".to_owned()),
        labels: labels.into(),
        link: Some("http://prometheus.example/graph?g0.expr=up".to_owned()),
        receiver: "other".to_owned(),
        told_nanos: 260,
        ..firing.clone()
    };
    // Twice in one message, and again.
    history.keep_annotations(&[firing.clone(), resolved.clone()]).await.unwrap();
    assert_eq!(history.annotations(&all).await.unwrap(), from_ref(&resolved));
    history.keep_annotations(from_ref(&resolved)).await.unwrap();
    assert_eq!(history.annotations(&all).await.unwrap(), from_ref(&resolved));

    // The same alert that begins again is another one, and so is another alert at the same time.
    let (again, beside) = (alert("a", 300, None), alert("b", 100, None));
    history.keep_annotations(&[again.clone(), beside.clone()]).await.unwrap();
    assert_eq!(history.annotations(&all).await.unwrap(), [again, beside, resolved]);
}

#[tokio::test]
async fn what_overlaps_is_found_and_paged_through() {
    let (_place, history) = history().await;
    let alerts = [
        alert("before", 10, Some(99)),
        alert("into", 10, Some(100)),
        alert("around", 10, Some(500)),
        alert("within", 150, Some(160)),
        alert("out of", 199, Some(900)),
        alert("firing", 50, None),
        alert("after", 200, None),
        alert("point", 150, Some(150)),
    ];
    history.keep_annotations(&alerts).await.unwrap();
    let which = Overlapping { from_nanos: Some(100), until_nanos: Some(200), ..Overlapping::default() };
    let found = history.annotations(&which).await.unwrap();
    let order = ["out of", "within", "point", "firing", "into", "around"];
    assert_eq!(names(&found), order);

    let mut paged = Vec::new();
    let mut page = Overlapping { limit: Some(2), ..which.clone() };
    loop {
        let found = history.annotations(&page).await.unwrap();
        let Some(last) = found.last() else { break };
        page.after = Some((last.starts_nanos, last.fingerprint.clone()));
        // What comes in at the front meanwhile is told on no page twice.
        history.keep_annotations(&[alert("new", 199 - paged.len() as i64 % 2, None)]).await.unwrap();
        paged.extend(found);
    }
    assert_eq!(names(&paged), order);
    let from =
        Overlapping { from_nanos: Some(i64::MIN), until_nanos: Some(i64::MIN), ..Overlapping::default() };
    assert_eq!(history.annotations(&from).await.unwrap(), []);
}

#[tokio::test]
async fn no_more_than_so_many_are_kept_and_those_that_ended_first_go_first() {
    let (_place, history) = history().await;
    let mut connection = connect(&history).await;
    // All but two of what there is room for, in one statement.
    sqlx::raw_sql(
        "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 99998) \
         INSERT INTO annotations (starts_at, fingerprint, ends_at, name, labels, receiver, told_at) \
         SELECT 1000 + number, 'f' || CAST(number AS TEXT), 300000 - number, 'n', '{}', 'r', 1 FROM numbers",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let mut count = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM annotations");
        count.fetch_one(&mut connection).await.unwrap()
    };
    let (old, firing) = (alert("old", 1, Some(2)), alert("firing", 0, None));
    history.keep_annotations(&[old.clone(), firing.clone()]).await.unwrap();
    assert_eq!(count().await, i64::from(MOST_ANNOTATIONS));
    let first = Overlapping { until_nanos: Some(1000), ..Overlapping::default() };
    assert_eq!(names(&history.annotations(&first).await.unwrap()), ["old", "firing"]);

    history
        .keep_annotations(&[alert("new", 900_000, None), alert("newer", 900_001, Some(900_002))])
        .await
        .unwrap();
    assert_eq!(count().await, i64::from(MOST_ANNOTATIONS));
    assert_eq!(names(&history.annotations(&first).await.unwrap()), ["firing"], "nobody said that it is over");
    let of_last = Overlapping { from_nanos: Some(0), until_nanos: Some(101_000), ..Overlapping::default() };
    let kept = history.annotations(&of_last).await.unwrap();
    assert!(kept.iter().all(|annotation| annotation.fingerprint != "f99998"), "the next that ended");
    assert!(kept.iter().any(|annotation| annotation.fingerprint == "f99997"));

    // Where all of them fire, those go that began first.
    sqlx::raw_sql("UPDATE annotations SET ends_at = NULL")
        .execute(&mut connect(&history).await)
        .await
        .unwrap();
    history.keep_annotations(&[alert("last", 900_003, None)]).await.unwrap();
    assert_eq!(count().await, i64::from(MOST_ANNOTATIONS));
    assert_eq!(history.annotations(&first).await.unwrap(), []);
}

#[tokio::test]
async fn annotations_are_let_go_of_when_runs_of_their_time_are() {
    let (_place, history) = history().await;
    let events = sample::events(&sample::started("run", 1), 2, 1, 1);
    record(&history, &events).await;
    // The record believes no clock further than what it holds.
    let now = first(&events).info.started_nanos + 2_000_000_000;
    let alerts = [
        alert("long over", now - 12 * DAY, Some(now - 11 * DAY)),
        alert("over", now - 12 * DAY, Some(now - 9 * DAY)),
        alert("firing and told of late", now - 12 * DAY, None),
        alert("firing and never told again", now - 13 * DAY, None),
    ];
    let alerts = alerts.map(|alert| match alert.fingerprint.as_str() {
        "firing and told of late" => Annotation { told_nanos: now, ..alert },
        _ => alert,
    });
    history.keep_annotations(&alerts).await.unwrap();
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let retention = Retention { seconds: days(1), minutes: days(2), hours: days(10), size: None };
    let (_, would) = history.would_retain(&retention, now + DAY).await.unwrap();
    assert_eq!(would.annotations, 2);
    assert_eq!(history.annotations(&Overlapping::default()).await.unwrap().len(), 4, "only looked at");
    assert_eq!(history.retain(&retention, now + DAY).await.unwrap().annotations, 2);
    let kept = history.annotations(&Overlapping::default()).await.unwrap();
    assert_eq!(names(&kept), ["over", "firing and told of late"]);
    assert_eq!(history.retain(&retention, now + DAY).await.unwrap().annotations, 0);
}

#[tokio::test]
async fn what_begins_anew_has_ended_before() {
    let (_directory, history) = history().await;
    let all = Overlapping::default();
    history.keep_annotations(&[alert("one", 100, None), alert("other", 100, None)]).await.unwrap();
    // Nobody told its end: the one that could was started anew.
    history.keep_annotations(&[alert("one", 300, None)]).await.unwrap();
    let told = [alert("one", 300, None), alert("other", 100, None), alert("one", 100, Some(300))];
    assert_eq!(history.annotations(&all).await.unwrap(), told);
    // It turns out to have begun before.
    history.keep_annotations(&[alert("one", 200, None)]).await.unwrap();
    let told = [alert("one", 200, None), alert("other", 100, None), alert("one", 100, Some(300))];
    assert_eq!(history.annotations(&all).await.unwrap(), told);
    // A late word of another time of it changes nothing of this one.
    history.keep_annotations(&[alert("one", 50, Some(60))]).await.unwrap();
    assert_eq!(history.annotations(&all).await.unwrap()[..3], told);
}

#[tokio::test]
async fn alerts_without_number_leave_runs_their_room() {
    let (_directory, history) = history().await;
    let long = |n: i64| Annotation {
        summary: Some("x".repeat(1000)),
        ..alert(&format!("a{n}"), n, (n > 0).then_some(n + 1))
    };
    let alerts: Vec<_> = (0..3000).map(long).collect();
    history.keep_annotations(&alerts).await.unwrap();
    let retention = Retention { size: Some(10_000_000), ..Retention::default() };
    let done = history.retain(&retention, 5000).await.unwrap();
    let left = history.annotations(&Overlapping::default()).await.unwrap();
    assert_eq!((done.annotations, left.len()), (3000 - left.len() as u64, left.len()));
    assert!((500..=1000).contains(&left.len()), "{}", left.len());
    assert!(left.iter().any(|one| one.ends_nanos.is_none()), "what fires goes last");
}
