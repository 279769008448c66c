use plimsoll_capacity::{Foretold, PredictionOf, Truth};

use crate::support::history;

fn foretold(plan: &str, of: PredictionOf, made_nanos: i64) -> Foretold {
    Foretold {
        plan: plan.to_owned(),
        target: "http://127.0.0.1:8080".to_owned(),
        of,
        made_nanos,
        estimate: 1000.0,
        low: 950.0,
        high: 1050.5,
        inputs: vec!["run \"one\"".to_owned(), "two".to_owned()],
    }
}

#[tokio::test]
async fn a_measurement_scores_what_was_foretold_before_it_and_nothing_else() {
    let (_directory, history) = history().await;
    let peak = foretold("shop", PredictionOf::Peak, 1);
    let later = Foretold { estimate: 1001.0, ..foretold("shop", PredictionOf::Peak, 9) };
    let limit = foretold("shop", PredictionOf::Limit, 1);
    let other = foretold("other", PredictionOf::Peak, 1);
    let elsewhere = Foretold { target: "http://127.0.0.1:9".to_owned(), ..peak.clone() };
    for foretold in [&peak, &later, &limit, &other, &elsewhere] {
        history.foretell(foretold).await.unwrap();
    }
    let truth = Truth { value: 1020.25, measured_nanos: 5, by: "search".to_owned() };
    assert_eq!(history.score("shop", &peak.target, PredictionOf::Peak, &truth).await.unwrap(), 1);
    let again = Truth { value: 1.0, ..truth.clone() };
    assert_eq!(history.score("shop", &peak.target, PredictionOf::Peak, &again).await.unwrap(), 0);

    let of_shop = history.predictions(Some("shop")).await.unwrap();
    let found: Vec<_> = of_shop.iter().map(|scored| (&scored.foretold, &scored.truth)).collect();
    let (nothing, something) = (&None, &Some(truth));
    assert_eq!(found, [(&later, nothing), (&elsewhere, nothing), (&limit, nothing), (&peak, something)]);
    assert_eq!(history.predictions(None).await.unwrap().len(), 5);
}

#[tokio::test]
async fn what_is_asked_for_again_is_foretold_once() {
    let (_directory, history) = history().await;
    let first = foretold("shop", PredictionOf::Peak, 1);
    let from_more = Foretold { inputs: vec!["three".to_owned()], ..first.clone() };
    let again = Foretold { made_nanos: 2, low: 949.0, ..first.clone() };
    let truth = Truth { value: 1020.25, measured_nanos: 5, by: "search".to_owned() };
    for foretold in [&first, &from_more, &again] {
        history.foretell(foretold).await.unwrap();
    }
    assert_eq!(history.score("shop", &first.target, PredictionOf::Peak, &truth).await.unwrap(), 2);
    history.foretell(&again).await.unwrap();
    let kept = history.predictions(Some("shop")).await.unwrap();
    assert_eq!(kept.into_iter().map(|scored| scored.foretold).collect::<Vec<_>>(), [from_more, first]);
}
