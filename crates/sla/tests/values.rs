//! Objectives about values that a plan takes from replies.
//!
//! A second is a list of replies, `|` separates seconds: `5` a value, `+3` so many more for a counter, `y` and
//! `n` what is looked for and what is not, `-` a reply without a value, `!` one that is too large; `t` a time-out,
//! `c` a request that was cut, `d` a dropped arrival. `5*20` is twenty of them, `5#1` belongs to step 1.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::sync::Arc;

use Verdict::{Inconclusive, Met, Missed};
use plimsoll_measure::{
    DropCause, Edges, Frame, IterationKey, Observed, Outcome, Phase, Sample, SeriesKey, Shard, ValueForm,
    ValueKey, ValueName, ValueUnit,
};
use plimsoll_sla::{Evaluator, Expression, Filter, Judgement, Objective, OwnValue, Severity, Span, Verdict};

fn own() -> Vec<OwnValue> {
    let value = |(index, name, form)| OwnValue {
        index,
        name: ValueName::new(name).unwrap(),
        form,
        unit: ValueUnit::Number,
    };
    let values =
        [(0, "queue", ValueForm::Histogram), (1, "rows", ValueForm::Counter), (2, "hit", ValueForm::Ratio)];
    values.into_iter().map(value).collect()
}

fn objective(text: &str) -> Objective {
    Objective {
        name: "objective".to_owned(),
        text: text.to_owned(),
        expression: Expression::parse_with(text, &own()).unwrap(),
        over: None,
        filter: Filter::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    }
}

fn record(shard: &mut Shard, token: &str, value: OwnValue) {
    let (token, step) =
        token.split_once('#').map_or((token, 0), |(token, step)| (token, step.parse().unwrap()));
    let (phase, stage) = (Phase::Measured, Some(0));
    let iteration = IterationKey { scenario: step, phase, stage };
    if token == "d" {
        return shard.dropped(iteration, DropCause::InFlightLimit);
    }
    shard.arrival(iteration);
    let (outcome, observed) = match token {
        "t" => (Outcome::Timeout, None),
        "c" => (Outcome::Cut, None),
        "-" => (Outcome::Ok, Some(Observed::Absent)),
        "!" => (Outcome::Ok, Some(Observed::OutOfRange)),
        "y" => (Outcome::Ok, Some(Observed::Match(true))),
        "n" => (Outcome::Status, Some(Observed::Match(false))),
        _ => (Outcome::Ok, Some(number(token, value))),
    };
    shard.record(&Sample::at(SeriesKey { step, phase, stage, outcome }, 0));
    if let Some(observed) = observed {
        shard.value(ValueKey { value: value.index, step, phase, stage }, observed);
    }
}

fn number(token: &str, value: OwnValue) -> Observed {
    match token.strip_prefix('+') {
        Some(amount) => Observed::Amount(amount.parse().unwrap()),
        None => Observed::Ticks(value.unit.ticks(token.parse().unwrap()).unwrap()),
    }
}

fn judged(objective: Objective, text: &str) -> Judgement {
    let value = objective.expression.measure.own().unwrap();
    let edges: Arc<[Edges]> =
        own().iter().map(|own| own.unit.edges(objective.expression.threshold())).collect();
    let span = Span { first_second: 0, end_second: None, stages: vec![(0.0, 60.0)], ..Span::default() };
    let mut evaluator = Evaluator::with_values(vec![objective], &Edges::default(), &edges, span);
    for (second, text) in text.split('|').enumerate() {
        let mut shard = Shard::new(second as u64, Edges::default()).with_value_edges(Arc::clone(&edges));
        for token in text.split_whitespace() {
            let (token, count) = token.split_once('*').unwrap_or((token, "1"));
            (0..count.parse().unwrap()).for_each(|_| record(&mut shard, token, value));
        }
        let mut frame = Frame::new(second as u64);
        shard.merge_into(&mut frame);
        evaluator.second(&frame);
    }
    evaluator.finish(text.split('|').count() as f64).remove(0)
}

fn check(text: &str, seconds: &str, verdict: Verdict) {
    let judgement = judged(objective(text), seconds);
    assert_eq!(judgement.verdict, verdict, "{text} over {seconds}: {}", judgement.why);
}

#[test]
fn a_quantile_counts_at_its_threshold() {
    check("p75(queue) <= 10", "10 10 10 11", Met);
    check("p75(queue) <= 10", "10 10 10.001 11", Missed);
    check("p75(queue) < 10", "9 9 9.999 11", Met);
    check("p75(queue) < 10", "9 9 10 11", Missed);
    check("p75(queue) <= 0", "0 0 0 11", Met);
    check("p75(queue) > 10", "1 10.5 11 11", Met);
}

#[test]
fn each_form_has_its_figures() {
    check("mean(queue) <= 10", "5 15", Met);
    check("mean(queue) <= 10", "5 15.1", Missed);
    check("max(queue) <= 10", "5 10", Met);
    check("max(queue) <= 10", "5 10.01", Missed);
    check("count(queue) >= 3", "1 2 3", Met);
    check("count(queue) >= 3", "1 2 -", Missed);
    check("ratio(hit) >= 75%", "y y y n", Met);
    check("ratio(hit) >= 75%", "y y n n", Missed);
    check("rate(rows) >= 10/s", "+12 | +8", Met);
    check("rate(rows) >= 10/s", "+12 | +7", Missed);
}

#[test]
fn nothing_is_never_met() {
    for text in
        ["p75(queue) <= 10", "mean(queue) <= 10", "max(queue) <= 10", "ratio(hit) >= 1%", "rate(rows) >= 1/s"]
    {
        check(text, "", Inconclusive);
        check(text, "-*40", Inconclusive);
    }
}

#[test]
fn a_reply_without_a_value_is_told_and_is_no_value() {
    check("mean(queue) <= 10", "10 10 -*10", Met);
    check("ratio(hit) >= 50%", "y n -*10", Met);
    let why = judged(objective("mean(queue) <= 10"), "10 10 -*10").why;
    assert_eq!(why, "mean(queue) was 10 where at most 10 was promised, and 10 replies had no value");
}

#[test]
fn what_no_reply_told_is_unknown() {
    check("p75(queue) <= 10", "1*40 t*10", Met);
    check("p75(queue) <= 10", "1*40 t*20", Inconclusive);
    check("p75(queue) <= 10", "1*10 11*20 t*20", Missed);
    check("ratio(hit) >= 50%", "y*10 t*10", Met);
    check("ratio(hit) >= 50%", "y*10 t*10 d", Inconclusive);
    check("ratio(hit) >= 50%", "n*10 c*9", Missed);
    check("mean(queue) <= 10", "1 c", Inconclusive);
    check("mean(queue) <= 10", "15 t", Inconclusive);
    check("rate(rows) >= 10/s", "t*10", Missed);
    let why = judged(objective("p75(queue) <= 10"), "1*40 t*19 d").why;
    assert_eq!(
        why,
        "40 of 40 values were at most 10 where at least 45 must, and the outcome of \
         20 dropped, cut or unanswered ones is unknown"
    );
}

#[test]
fn what_is_too_large_is_beyond_every_bound() {
    check("p75(queue) <= 10", "1*30 !*10", Met);
    check("p75(queue) <= 10", "1*29 !*11", Missed);
    check("max(queue) <= 10", "1 !", Missed);
    check("mean(queue) <= 10", "1 !", Inconclusive);
    let judgement = judged(objective("p75(queue) <= 10"), "1*2 !*8");
    assert_eq!(judgement.observed, None, "nobody knows how large it was");
}

#[test]
fn filters_and_windows_hold_for_values_too() {
    let only = |step| Filter { steps: Some([step].into()), scenarios: Some([step].into()), stage: None };
    let of = |step| Objective { filter: only(step), ..objective("mean(queue) <= 10") };
    let seconds = "1#0 15#1 t#1";
    assert_eq!(judged(of(0), seconds).verdict, Met);
    assert_eq!(judged(of(1), seconds).verdict, Inconclusive);
    let over = Objective { over: Some(2), ..objective("mean(queue) <= 10") };
    assert_eq!(judged(over.clone(), "1 | 12 | 8 | 1").verdict, Met);
    assert_eq!(judged(over.clone(), "1 | 12 | 9 | 1").verdict, Missed);
    assert_eq!(judged(over, "1 | 2 | - | - | 3").verdict, Inconclusive, "a window without a value");
}
