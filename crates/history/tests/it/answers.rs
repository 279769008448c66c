use plimsoll_history::{AnswerBy, AnswerText, KeptAnswer};

use crate::support::history;

fn answer(plan: &str, by: AnswerBy, made_nanos: i64) -> KeptAnswer {
    KeptAnswer {
        plan: plan.to_owned(),
        target: "http://127.0.0.1:8080".to_owned(),
        by,
        made_nanos,
        estimate: Some(1000.0),
        low: Some(950.0),
        high: None,
        traffic: None,
    }
}

fn text(result: &str) -> AnswerText {
    AnswerText { result: result.to_owned(), inputs: None }
}

#[tokio::test]
async fn an_answer_takes_the_place_of_the_one_before_and_of_no_other() {
    let (_directory, history) = history().await;
    assert!(history.answers().await.unwrap().is_empty());
    let foretold = answer("shop", AnswerBy::Capacity, 1);
    let measured = answer("shop", AnswerBy::Limit, 2);
    let other = answer("o'ther", AnswerBy::Capacity, 3);
    for (kept, result) in [(&foretold, "{1}"), (&measured, "{2}"), (&other, "{3}")] {
        history.keep_answer(kept, &text(result)).await.unwrap();
    }
    let later = KeptAnswer { estimate: None, low: None, traffic: Some(300.5), made_nanos: 9, ..foretold };
    let in_full = AnswerText { inputs: Some("[]".to_owned()), ..text("{4}") };
    history.keep_answer(&later, &in_full).await.unwrap();

    let found = history.answers().await.unwrap();
    let kept: Vec<_> = found.iter().map(|(_, kept)| kept).collect();
    assert_eq!(kept, [&later, &other, &measured], "the latest first");
    let numbers: Vec<_> = found.iter().map(|(number, _)| *number).collect();
    assert_eq!(history.answer(numbers[0]).await.unwrap(), Some(in_full));
    assert_eq!(history.answer(numbers[2]).await.unwrap(), Some(text("{2}")));
    assert_eq!(history.answer(i64::MAX).await.unwrap(), None);
}
