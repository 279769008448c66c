//! What is kept of SLAs: all of a second or nothing, and no more than is needed.

use plimsoll_history::{History, SlaBreach, SlaChanges, SlaMonth, SlaStatus};

use crate::support::history;

const DAY: u64 = 86_400;

#[tokio::test]
async fn what_was_kept_is_there_when_the_record_is_opened_again() {
    let (place, history) = history().await;
    let checkout = history.sla_number("checkout", None).await.unwrap();
    let tenant = history.sla_number("checkout", Some("a")).await.unwrap();
    assert_ne!(checkout, tenant);
    assert_eq!(history.sla_number("checkout", Some("a")).await.unwrap(), tenant);
    let breach = SlaBreach {
        sla: tenant,
        found: 500 * DAY,
        began: 500 * DAY - 2,
        ended: None,
        why: "7 of 7".to_owned(),
    };
    let month = SlaMonth { sla: tenant, month: "2026-11".to_owned(), outcome: "{}".to_owned() };
    let first = SlaChanges {
        journal: vec![1, 2],
        states: vec![(tenant, vec![7])],
        statuses: vec![SlaStatus { sla: tenant, judged: 17, status: "{}".to_owned() }],
        months: vec![month.clone()],
        breaches: vec![breach.clone()],
        forget: 0,
    };
    let upto = history.keep_slas(&first).await.unwrap();
    let next = history.keep_slas(&SlaChanges { journal: vec![3], ..SlaChanges::default() }).await.unwrap();
    assert!(next > upto);
    drop(history);

    let history = History::open(place.location()).await.unwrap();
    let slas = history.slas().await.unwrap();
    let told: Vec<_> = slas
        .iter()
        .map(|sla| (sla.number, sla.value.as_deref(), sla.status.as_deref(), sla.judged))
        .collect();
    assert_eq!(told, [(checkout, None, None, None), (tenant, Some("a"), Some("{}"), Some(17))]);
    let mut states = Vec::new();
    history.each_sla_state(|kept| states.push((kept.sla, kept.upto, kept.state))).await.unwrap();
    assert_eq!(states, [(tenant, upto, vec![7])]);
    assert_eq!(history.sla_journal().await.unwrap(), [(upto, vec![1, 2]), (next, vec![3])]);
    assert_eq!(history.sla_months("2026-11").await.unwrap(), [month]);
    assert_eq!(history.sla_months("2026-12").await.unwrap(), []);
    assert_eq!(history.sla_breaches(600 * DAY).await.unwrap(), [breach], "it goes on");
}

#[tokio::test]
async fn journals_and_old_breaches_are_let_go() {
    let (_place, history) = history().await;
    let sla = history.sla_number("checkout", None).await.unwrap();
    let breach =
        |found: u64| SlaBreach { sla, found, began: found, ended: Some(found + 9), why: String::new() };
    let mut entry = 0;
    for day in [10, 20, 500] {
        let changes =
            SlaChanges { breaches: vec![breach(day * DAY)], forget: entry, ..SlaChanges::default() };
        entry = history.keep_slas(&changes).await.unwrap();
    }
    let journal = history.sla_journal().await.unwrap();
    assert_eq!(journal.iter().map(|(entry, _)| *entry).collect::<Vec<_>>(), [entry]);
    assert_eq!(history.sla_breaches(0).await.unwrap(), [breach(500 * DAY)]);
    // A breach that has ended replaces itself.
    let ended = SlaBreach { ended: Some(500 * DAY + 60), ..breach(500 * DAY) };
    let changes = SlaChanges { breaches: vec![ended.clone()], forget: i64::MAX, ..SlaChanges::default() };
    let last = history.keep_slas(&changes).await.unwrap();
    assert_eq!(history.sla_breaches(0).await.unwrap(), [ended]);
    assert_eq!(history.sla_journal().await.unwrap().last().map(|(entry, _)| *entry), Some(last));
}

#[tokio::test]
async fn a_second_is_kept_whole_or_not_at_all() {
    let (_place, history) = history().await;
    let unknown = SlaMonth { sla: 99, month: "2026-11".to_owned(), outcome: String::new() };
    let changes = SlaChanges { journal: vec![1], months: vec![unknown], ..SlaChanges::default() };
    history.keep_slas(&changes).await.unwrap_err();
    assert_eq!(history.sla_journal().await.unwrap(), []);
}
