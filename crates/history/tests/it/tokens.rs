//! Tokens, and who did what.

use plimsoll_history::{AuditEntry, Ceilings, KeptToken, Scope};
use serde_json::json;

use crate::support::{connect, history};

fn token(id: &str, scope: Scope) -> KeptToken {
    KeptToken {
        id: id.to_owned(),
        name: "ci".to_owned(),
        hash: [7; 32],
        scope,
        ceilings: Ceilings::default(),
        made_nanos: 1,
        expires_nanos: None,
        revoked_nanos: None,
    }
}

#[tokio::test]
async fn a_token_is_given_back_as_it_was_kept_and_revoked_once() {
    let (_directory, history) = history().await;
    let ceilings =
        Ceilings { rate: Some(0.5), users: Some(u64::MAX), targets: Some(vec!["10.0.0.0/8".to_owned()]) };
    let full = KeptToken { ceilings, expires_nanos: Some(-5), ..token("b", Scope::Run) };
    let plain = token("a", Scope::Admin);
    history.keep_token(&full).await.unwrap();
    history.keep_token(&plain).await.unwrap();
    assert!(history.keep_token(&plain).await.is_err(), "an id is given once");
    assert_eq!(history.tokens().await.unwrap(), [plain.clone(), full.clone()]);
    assert_eq!(history.token("b").await.unwrap(), Some(full));
    assert_eq!(history.token("c").await.unwrap(), None);

    assert!(history.revoke_token("a", 9).await.unwrap());
    assert!(!history.revoke_token("a", 10).await.unwrap(), "the first time stands");
    assert!(!history.revoke_token("c", 9).await.unwrap());
    assert_eq!(history.token("a").await.unwrap(), Some(KeptToken { revoked_nanos: Some(9), ..plain }));
}

#[tokio::test]
async fn what_somebody_did_stays() {
    let (_directory, history) = history().await;
    let entry = |number: i64| AuditEntry {
        at_nanos: number,
        who: "anna".to_owned(),
        known_by: "token".to_owned(),
        action: "run.delete".to_owned(),
        what: format!("run {number}"),
        details: json!({ "number": number }),
    };
    for number in 1..=5 {
        history.keep_audit(&entry(number)).await.unwrap();
    }
    let all: Vec<_> = (1..=5).rev().map(|number| (number, entry(number))).collect();
    assert_eq!(history.audited(10, None).await.unwrap(), all);
    assert_eq!(history.audited(2, Some(4)).await.unwrap(), all[2..4]);

    let mut connection = connect(&history).await;
    for change in ["DELETE FROM audit", "UPDATE audit SET who = 'bert'"] {
        let error = sqlx::query(change).execute(&mut connection).await.unwrap_err();
        assert!(error.to_string().contains("append only"), "{error}");
    }
    assert_eq!(history.audited(10, None).await.unwrap(), all);
}
