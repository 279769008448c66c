//! Objectives against seconds written as text: each test names the point of the design it holds.
//!
//! A second is a list of requests, `|` separates seconds, `..` is a second that is left out, and a
//! number is a latency in milliseconds:
//! `50` succeeded, `t900` timed out, `f5` failed fast, `c800` cut after 800 ms, `u` cut before it
//! was sent, `p800` in flight for 800 ms, `d` and `g` dropped arrivals (full, generator), `w50` in
//! warm-up, `r50` in grace, `s50` in setup, `e50` in teardown. `50*20` is twenty of them, `50@1`
//! belongs to stage 1, `50#1` to step 1 and scenario 1.

use std::collections::BTreeSet;

use Verdict::{Inconclusive, Met, Missed};
use plimsoll_measure::{
    DropCause, Edges, Frame, IterationKey, Outcome, PendingKey, Phase, Sample, SeriesKey, Shard,
};
use plimsoll_sla::{
    Bound, Evaluator, Expression, Filter, Judgement, Measure, Objective, Recovery, Severity, Span, Status,
    Verdict,
};
use proptest::prelude::*;

fn objective(text: &str) -> Objective {
    Objective {
        name: "objective".to_owned(),
        text: text.to_owned(),
        expression: Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")),
        over: None,
        filter: Filter::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    }
}

fn over(text: &str, seconds: u32) -> Objective {
    Objective { over: Some(seconds), ..objective(text) }
}

fn edges(objective: &Objective) -> Edges {
    Edges::with_thresholds(objective.expression.counted_nanos())
}

/// Reads the requests of one second.
fn frame(second: u64, text: &str, edges: &Edges) -> Frame {
    let mut shard = Shard::new(second, edges.clone());
    for token in text.split_whitespace().filter(|token| *token != "..") {
        let (token, count) = split_number(token, '*', 1);
        let (token, index) = split_number(token, '#', 0);
        let (token, stage) = split_number(token, '@', 0);
        for _ in 0..count {
            record(&mut shard, token, index as u16, stage as u16);
        }
    }
    let mut frame = Frame::new(second);
    shard.merge_into(&mut frame);
    frame
}

fn split_number(token: &str, sign: char, absent: u64) -> (&str, u64) {
    match token.split_once(sign) {
        Some((rest, number)) => (rest, number.parse().unwrap_or_else(|_| panic!("no number in {token}"))),
        None => (token, absent),
    }
}

fn record(shard: &mut Shard, token: &str, index: u16, stage: u16) {
    let (kind, number) = token.split_at(token.find(|c: char| c.is_ascii_digit()).unwrap_or(token.len()));
    let nanos = (number.parse().unwrap_or(0.0) * 1e6_f64).round() as u64;
    let phase = match kind {
        "w" => Phase::Warmup,
        "r" => Phase::Grace,
        "s" => Phase::Setup,
        "e" => Phase::Teardown,
        _ => Phase::Measured,
    };
    let stage = matches!(phase, Phase::Measured | Phase::Warmup | Phase::Grace).then_some(stage);
    let iteration = IterationKey { scenario: index, phase, stage };
    let outcome = match kind {
        "t" => Outcome::Timeout,
        "f" => Outcome::Status,
        "c" | "u" => Outcome::Cut,
        "d" => return shard.dropped(iteration, DropCause::InFlightLimit),
        "g" => return shard.dropped(iteration, DropCause::Generator),
        "p" => return shard.pending(PendingKey { step: index, phase, stage }, nanos, Some(nanos)),
        _ => Outcome::Ok,
    };
    let sent = (kind != "u").then_some(0);
    shard.arrival(iteration);
    shard.record(&Sample {
        key: SeriesKey { step: index, phase, stage, outcome },
        due: 0,
        ready: 0,
        sent,
        done: nanos,
        connect: None,
        tls: None,
        first_byte: None,
        status: None,
        received_bytes: if outcome == Outcome::Ok { 1000 } else { 0 },
        sent_bytes: 0,
        address: 0,
    });
    match outcome {
        Outcome::Cut => shard.iteration_cut(iteration),
        _ => shard.iteration(iteration, nanos, outcome.is_failure()),
    }
}

/// An evaluator that has folded the seconds of `text` from second 0 on.
fn folded(objective: Objective, span: Span, text: &str) -> Evaluator {
    let edges = edges(&objective);
    let mut evaluator = Evaluator::new(vec![objective], &edges, span);
    for (second, text) in text.split('|').enumerate().filter(|(_, text)| text.trim() != "..") {
        evaluator.second(&frame(second as u64, text, &edges));
    }
    evaluator
}

fn judged(objective: Objective, span: Span, text: &str) -> Judgement {
    folded(objective, span, text).finish(text.split('|').count() as f64).remove(0)
}

/// Each stage is ten seconds long.
fn span(stages: u32) -> Span {
    let stages = (0..stages).map(|stage| (f64::from(stage) * 10.0, f64::from(stage + 1) * 10.0));
    Span { first_second: 0, end_second: None, stages: stages.collect(), ..Span::default() }
}

fn check(text: &str, seconds: &str, verdict: Verdict) {
    check_objective(objective(text), seconds, verdict);
}

fn check_objective(objective: Objective, seconds: &str, verdict: Verdict) {
    let text = objective.text.clone();
    let judgement = judged(objective, span(1), seconds);
    assert_eq!(judgement.verdict, verdict, "{text} with {seconds}: {}", judgement.why);
}

fn status(objective: Objective, seconds: &str) -> Status {
    folded(objective, span(1), seconds).statuses().remove(0)
}

/// One objective of each measure, both ways.
const ONE_OF_EACH: [&str; 26] = [
    "p75(response_time) <= 200ms",
    "p75(response_time) < 200ms",
    "p75(response_time) >= 200ms",
    "p75(response_time) > 200ms",
    "p75(service_time) <= 200ms",
    "mean(response_time) <= 200ms",
    "mean(response_time) >= 200ms",
    "max(response_time) <= 200ms",
    "max(response_time) >= 200ms",
    "error_ratio <= 10%",
    "error_ratio >= 10%",
    "availability >= 90%",
    "within(response_time, 200ms) >= 75%",
    "within(service_time, 200ms) <= 75%",
    "apdex(response_time, 200ms) >= 0.75",
    "apdex(response_time, 200ms) < 0.75",
    "dropped_ratio <= 10%",
    "throughput >= 2/s",
    "throughput <= 2/s",
    "byte_rate >= 2kB/s",
    "byte_rate <= 2kB/s",
    "count(response_time) >= 5",
    "count(requests) <= 5",
    "count(failed) <= 1",
    "count(succeeded) >= 5",
    "count(cut) <= 0",
];

// Promise 1: no data is never met.

#[test]
fn silence_is_not_success() {
    let more = ["count(dropped) <= 0", "count(iterations) >= 0", "goodput_retained >= 80%"];
    for text in ONE_OF_EACH.into_iter().chain(more) {
        for seconds in ["", " | | ", "w50 w50 | s50 | e50"] {
            check(text, seconds, Inconclusive);
            check_objective(over(text, 1), seconds, Inconclusive);
        }
        let judgement = judged(objective(text), span(1), "");
        assert_eq!((judgement.observed, judgement.why.as_str()), (None, "nothing was measured"), "{text}");
    }
}

#[test]
fn one_load_says_nothing_of_what_is_retained_beyond_the_limit() {
    for seconds in ["5 5 | 5 5", "f5 f5 | d d"] {
        check("goodput_retained >= 80%", seconds, Inconclusive);
        check_objective(over("goodput_retained >= 80%", 1), seconds, Inconclusive);
    }
}

#[test]
fn a_step_that_was_never_reached_proves_nothing() {
    let only_step_one = |text| {
        let steps = Some(BTreeSet::from([1]));
        Objective { filter: Filter { steps, ..Filter::default() }, ..objective(text) }
    };
    for text in ["count(failed) <= 0", "error_ratio <= 1%", "throughput <= 5/s"] {
        check_objective(only_step_one(text), "50 f50", Inconclusive);
    }
}

// Point 4: outcomes.

#[test]
fn an_exact_share_of_failures_is_within_its_bound() {
    for (text, seconds, verdict) in [
        ("error_ratio <= 0.7%", "5*993 f5*7", Met),
        ("error_ratio <= 0.7%", "5*992 f5*8", Missed),
        ("error_ratio < 0.7%", "5*993 f5*7", Missed),
        ("error_ratio <= 10%", "5*9 t900", Met),
        ("availability >= 99.3%", "5*993 f5*7", Met),
        ("availability > 99.3%", "5*993 f5*7", Missed),
        ("dropped_ratio <= 10%", "5*9 d", Met),
        ("dropped_ratio <= 10%", "5*9 g g", Missed),
        ("dropped_ratio <= 10%", "d", Missed),
        ("dropped_ratio <= 10%", "5*9 c5", Met), // a cut request was not dropped
    ] {
        check(text, seconds, verdict);
    }
}

#[test]
fn throughput_is_succeeded_requests_per_second() {
    for (text, seconds, verdict) in [
        ("throughput >= 2/s", "5 5 | 5 5", Met),
        ("throughput >= 2/s", "5 5 5 | 5", Met),
        ("throughput >= 2/s", "5 5 5 f5 | f5", Missed),
        ("throughput >= 0.1/s", "5 | | | | | | | | | ", Met),
        ("throughput > 2/s", "5 5 | 5 5", Missed),
        ("byte_rate >= 2kB/s", "5 5 | 5 5", Met),
        ("byte_rate >= 2kB/s", "5 5 | 5 f5", Missed),
        ("byte_rate < 2kB/s", "5 5 | 5 f5", Met),
    ] {
        check(text, seconds, verdict);
    }
}

#[test]
fn a_target_that_answers_nothing_has_no_throughput() {
    check_objective(over("throughput >= 2/s", 1), "5 5 | p900 p900", Missed);
    check_objective(over("byte_rate >= 2kB/s", 1), "5 5 | p900 p900", Missed);
}

#[test]
fn counts_are_exact() {
    for (text, seconds, verdict) in [
        ("count(requests) >= 4", "5 t9 f5 5", Met),
        ("count(requests) >= 5", "5 t9 f5 5", Missed),
        ("count(requests) >= 5", "5 t9 f5 5 c5", Met), // a cut request was sent
        ("count(response_time) <= 3", "5 t9 f5 5", Met),
        ("count(succeeded) > 2", "5 t9 f5 5", Missed),
        ("count(failed) <= 2", "5 t9 f5 5", Met),
        ("count(failed) < 2", "5 t9 f5 5", Missed),
        ("count(dropped) <= 1", "5 d", Met),
        ("count(dropped) <= 1", "5 d g", Missed),
        ("count(cut) <= 0", "5 c5", Missed),
        ("count(cut) <= 0", "5 d", Met),
        ("count(iterations) >= 3", "5 f5 5", Met),
        ("count(iterations) >= 4", "5 f5 5", Missed),
    ] {
        check(text, seconds, verdict);
    }
}

// Point 5: latency figures.

#[test]
fn an_exact_share_meets_the_objective() {
    check("p75(response_time) <= 200ms", "50 50 50 900", Met);
    check("p75(response_time) <= 200ms", "50 50 900 900", Missed);
}

#[test]
fn thresholds_are_counted_to_the_nanosecond() {
    for (text, at, verdict) in [
        ("p75(response_time) <= 200ms", "200", Met),
        ("p75(response_time) <= 200ms", "200.000001", Missed),
        ("p75(response_time) < 200ms", "199.999999", Met),
        ("p75(response_time) < 200ms", "200", Missed),
        ("p75(response_time) >= 200ms", "200", Met),
        ("p75(response_time) >= 200ms", "199.999999", Missed),
        ("p75(response_time) > 200ms", "200.000001", Met),
        ("p75(response_time) > 200ms", "200", Missed),
        ("max(response_time) <= 200ms", "200", Met),
        ("max(response_time) <= 200ms", "200.000001", Missed),
        ("max(response_time) < 200ms", "200", Missed),
        ("mean(response_time) <= 200ms", "200", Met),
        ("mean(response_time) < 200ms", "200", Missed),
        ("mean(response_time) <= 200ms", "200.000001", Missed),
    ] {
        check(text, &format!("{at}*4"), verdict);
    }
}

#[test]
fn a_quantile_from_below_is_the_complement_of_one_from_above() {
    // p75 of four values is the third.
    check("p75(response_time) >= 200ms", "50 50 300 300", Met);
    check("p75(response_time) >= 200ms", "50 50 50 300", Missed);
    check("p75(response_time) > 200ms", "50 50 200 300", Missed);
}

#[test]
fn fast_failures_never_flatter_a_quantile_and_timeouts_count() {
    check("p75(response_time) <= 200ms", "50 50 900 900 f1*96", Missed);
    check("p75(response_time) <= 200ms", "50 50 t900 t900", Missed);
    check("mean(response_time) <= 200ms", "300 f1*99", Missed);
    check("max(response_time) <= 200ms", "50 f900", Met);
    assert_eq!(judged(objective("p75(response_time) <= 200ms"), span(1), "f1*50").observed, None);
}

#[test]
fn a_quantile_without_enough_values_is_not_decided() {
    check("p95(response_time) <= 200ms", "50*19", Inconclusive);
    check("p95(response_time) <= 200ms", "50*20", Met);
    let judgement = judged(objective("p95(response_time) <= 200ms"), span(1), "50*19");
    assert_eq!(judgement.observed, None);
    assert_eq!(judgement.why, "19 values are too few for p95(response_time), which needs 20");
}

#[test]
fn observed_is_the_quantile_of_what_was_recorded() {
    let observed = |text: &str, seconds: &str| judged(objective(text), span(1), seconds).observed;
    assert_eq!(observed("p75(response_time) <= 1s", "1 2 3 4"), Some(0.003_000_319));
    assert_eq!(observed("p75(response_time) <= 1s", "3 3 3 3"), Some(0.003), "within the extremes");
    assert_eq!(observed("max(response_time) <= 1s", "1 2 3 4"), Some(0.004));
    assert_eq!(observed("mean(response_time) <= 1s", "1 2 3 4"), Some(0.0025));
    assert_eq!(observed("error_ratio <= 1%", "1 2 f3 4"), Some(0.25));
    assert_eq!(observed("availability >= 1%", "1 2 f3 4"), Some(0.75));
    assert_eq!(observed("throughput >= 1/s", "1 2 | f3 4"), Some(1.5));
    assert_eq!(observed("byte_rate >= 1MB/s", "1 2 | f3 4"), Some(1500.0));
    assert_eq!(observed("count(failed) <= 0", "1 2 | f3 4"), Some(1.0));
    assert_eq!(observed("dropped_ratio <= 1%", "1 2 | f3 d"), Some(0.25));
}

// Point 6: unknowns.

/// `#65535` stands in place of a step: requests of any step, for which there was no room.
#[test]
fn requests_counted_together_may_belong_to_a_step_or_not() {
    let of_step = |text: &str| Objective {
        filter: Filter { steps: Some([0].into()), ..Filter::default() },
        ..objective(text)
    };
    let of_stage =
        |text: &str| Objective { filter: Filter { stage: Some(0), ..Filter::default() }, ..objective(text) };
    for (objective, seconds, verdict) in [
        (objective("p75(response_time) <= 200ms"), "50*8 900#65535*8", Missed),
        (objective("error_ratio <= 10%"), "5*9 f5#65535", Met),
        (of_step("p75(response_time) <= 200ms"), "50*8 900#65535*2", Met),
        (of_step("p75(response_time) <= 200ms"), "50*8 900#65535*8", Inconclusive),
        (of_step("p75(response_time) <= 200ms"), "900*8 50#65535*2", Missed),
        (of_step("error_ratio <= 10%"), "5*19 f5#65535", Met),
        (of_step("error_ratio <= 10%"), "5*8 5#65535*8", Inconclusive),
        (of_step("count(requests) <= 10"), "5*8 5#65535*8", Inconclusive),
        (of_step("count(requests) <= 10"), "5*11 5#65535*8", Missed),
        (of_stage("error_ratio <= 10%"), "5*8 5#65535*8", Inconclusive),
    ] {
        check_objective(objective, seconds, verdict);
    }
}

#[test]
fn unknowns_are_taken_both_ways() {
    for (text, seconds, verdict) in [
        ("p75(response_time) <= 200ms", "50*9 d", Met), // 9 of 10 even if the dropped one was slow
        ("p75(response_time) <= 200ms", "50*3 d d", Inconclusive),
        ("p75(response_time) <= 200ms", "50*2 900*2 g*4", Inconclusive),
        ("p75(response_time) <= 200ms", "50*2 900*3 d*3", Missed), // 5 of 8 at best, 6 must
        ("p75(response_time) <= 200ms", "50*9 c10", Met),
        ("p75(response_time) <= 200ms", "50*3 c10 c10", Inconclusive),
        ("p75(response_time) <= 200ms", "50*3 u u", Inconclusive),
        ("p75(response_time) >= 200ms", "900*9 d", Met),
        ("p75(response_time) >= 200ms", "900*2 50*5 d", Inconclusive),
        ("p75(response_time) >= 200ms", "900*1 50*8 d", Missed),
        ("error_ratio <= 10%", "5*19 d", Met),
        ("error_ratio <= 10%", "5*8 f5 d", Inconclusive),
        ("error_ratio <= 10%", "5*7 f5*2 d", Missed),
        ("availability >= 90%", "5*8 f5 c5", Inconclusive),
        ("throughput >= 4/s", "5*4 d", Met),
        ("throughput >= 4/s", "5*3 d", Inconclusive),
        ("throughput >= 4/s", "5*2 d", Missed),
        ("throughput <= 4/s", "5*4 d", Inconclusive),
        ("count(succeeded) >= 4", "5*3 d", Inconclusive),
        ("count(failed) <= 0", "5*3 c5", Inconclusive),
        ("count(requests) >= 4", "5*3 d", Inconclusive),
        ("count(iterations) >= 4", "5*3 c5", Inconclusive),
        ("byte_rate >= 4kB/s", "5*3 d", Inconclusive),
        ("byte_rate >= 4kB/s", "5*4 d", Met),
        ("mean(response_time) <= 200ms", "50 d", Inconclusive),
        ("mean(response_time) <= 200ms", "500 d", Missed), // 250 ms even if the dropped one took none
        ("mean(response_time) <= 200ms", "300 d", Inconclusive),
        ("mean(response_time) >= 200ms", "500 d", Met),
        ("max(response_time) <= 200ms", "50 d", Inconclusive),
        ("max(response_time) <= 200ms", "500 d", Missed),
        ("max(response_time) >= 200ms", "500 d", Met),
    ] {
        check(text, seconds, verdict);
    }
}

#[test]
fn a_cut_request_is_bad_for_each_threshold_it_has_outlived() {
    check("p75(response_time) <= 200ms", "50*2 c900*2", Missed);
    check("p75(response_time) <= 200ms", "50*2 c200*2", Inconclusive);
    check("p75(service_time) <= 200ms", "50*2 c900*2", Missed);
    check("p75(service_time) <= 200ms", "50*2 u900*2", Inconclusive); // due, but never sent
    check("max(response_time) <= 200ms", "50 c900", Missed);
    check("mean(response_time) <= 200ms", "50 c900", Missed);
}

#[test]
fn an_overdue_request_is_bad_in_its_window_and_others_in_flight_are_not_counted() {
    check_objective(over("p75(response_time) <= 200ms", 1), "50*2 p900*2", Missed);
    check_objective(over("p75(response_time) <= 200ms", 1), "50*4 p100*9", Met);
    check_objective(over("p75(service_time) <= 200ms", 1), "50*2 p900*2", Missed);
    check_objective(over("max(response_time) <= 200ms", 1), "50*4 p900", Missed);
    check_objective(over("max(response_time) <= 200ms", 1), "50*4 p100", Met);
    // Only what is in flight at the end of the window counts, not on the way.
    check_objective(over("p75(response_time) <= 200ms", 2), "50 p900*9 | 50*3", Met);
}

#[test]
fn a_dead_target_is_missed_not_excused() {
    for seconds in ["t5000", "c5000", "t5000*50 d*10 c5000*10"] {
        check("p95(response_time) <= 200ms", seconds, Missed);
    }
    check_objective(over("p95(response_time) <= 200ms", 1), "p900", Missed);
    check("error_ratio <= 1%", "t5000*50 d*10", Missed);
    check("mean(response_time) <= 200ms", "c5000*2", Missed);
    check("max(response_time) <= 200ms", "c5000", Missed);
}

#[test]
fn what_is_observed_never_contradicts_a_miss() {
    for (text, seconds) in [
        ("p75(response_time) <= 200ms", "50*2 c900*2"),
        ("p75(response_time) <= 200ms", "50*2 p900*2"),
        ("mean(response_time) <= 200ms", "50 c900"),
        ("max(response_time) <= 200ms", "50 c900"),
    ] {
        let judgement = judged(objective(text), span(1), seconds);
        assert!(judgement.observed > judgement.target, "{text} with {seconds}: {judgement:?}");
    }
}

// Points 7 and 15: phases.

#[test]
fn only_measured_and_grace_count() {
    check("p75(response_time) <= 200ms", "50 50 50 900 w900*9 s900*9 e900*9", Met);
    check("p75(response_time) <= 200ms", "50 50 50 r900 r900", Missed);
    check("error_ratio <= 1%", "50 wf5*3 | s50", Met);
    check("count(requests) <= 2", "w50 s50 e50 50 r50", Met);
}

// Point 8: seconds.

#[test]
fn a_missing_second_is_a_second_without_data() {
    let judgement = judged(over("count(requests) <= 2", 2), span(1), "5 | .. | 5 | 5 | .. | .. | 5");
    let windows = status(over("count(requests) <= 2", 2), "5 | .. | 5 | 5 | .. | .. | 5");
    assert_eq!(judgement.verdict, Inconclusive, "one window held nothing: {}", judgement.why);
    assert_eq!((windows.windows, windows.missed_windows), (6, 0));
}

#[test]
fn a_closed_second_never_changes() {
    let objective = objective("count(requests) <= 2");
    let edges = edges(&objective);
    let mut evaluator = Evaluator::new(vec![objective], &edges, span(1));
    for second in [3, 3, 2, 4] {
        evaluator.second(&frame(second, "5", &edges));
    }
    assert_eq!(evaluator.finish(5.0)[0].observed, Some(2.0));
}

#[test]
fn a_gap_of_ages_takes_no_time() {
    let objective = over("error_ratio <= 1%", 30);
    let edges = edges(&objective);
    let mut evaluator = Evaluator::new(vec![objective], &edges, span(1));
    evaluator.second(&frame(5, "5", &edges));
    evaluator.second(&frame(u64::MAX - 1, "5", &edges));
    assert_eq!(evaluator.statuses()[0].windows, u64::MAX - 29);
    assert_eq!(evaluator.finish(1e18)[0].verdict, Inconclusive);
}

// Point 9: windows.

#[test]
fn a_window_is_judged_when_it_is_full() {
    for (seconds, windows, verdict) in
        [("5", 0, None), ("5 | 5", 0, None), ("5 | 5 | 5", 1, Some(Met)), ("5 | 5 | 5 | f5", 2, Some(Missed))]
    {
        let status = status(over("error_ratio <= 10%", 3), seconds);
        assert_eq!((status.windows, status.verdict), (windows, verdict), "{seconds}");
    }
}

#[test]
fn a_run_is_missed_by_any_window_and_met_by_all() {
    check_objective(over("error_ratio <= 50%", 2), "5 | f5 | 5 | f5", Met);
    check_objective(over("error_ratio <= 50%", 2), "5 | f5 | f5 | 5", Missed);
    check_objective(over("error_ratio <= 50%", 2), "5 | 5 | | | 5", Inconclusive);
    check_objective(over("error_ratio <= 50%", 2), "5 | f5 | f5 | | ", Missed);
    check_objective(over("error_ratio <= 50%", 9), "5 | 5 | 5", Inconclusive);
}

#[test]
fn observed_is_the_worst_window() {
    let judgement = judged(over("error_ratio <= 50%", 2), span(1), "5 | f5 | f5 | f5 | 5 | 5");
    assert_eq!(judgement.observed, Some(1.0));
    let judgement = judged(over("throughput >= 2/s", 2), span(1), "5*9 | 5 | 5*3 | 5*8");
    assert_eq!((judgement.verdict, judgement.observed), (Met, Some(2.0)));
}

#[test]
fn windows_lie_between_warm_up_and_the_end_of_the_stages() {
    let span = Span { first_second: 2, end_second: Some(5), stages: vec![(0.0, 5.0)], ..Span::default() };
    let seconds = "f5 | f5 | 5 | 5 | 5 | f5 | f5";
    let evaluator = folded(over("error_ratio <= 0%", 2), span.clone(), seconds);
    assert_eq!(evaluator.statuses()[0].windows, 2);
    assert_eq!(evaluator.finish(3.0)[0].verdict, Met);
    let early = Span { end_second: None, ..span };
    let edges = Edges::default();
    let mut evaluator = Evaluator::new(vec![over("error_ratio <= 0%", 2)], &edges, early);
    for (second, text) in seconds.split('|').enumerate() {
        if second == 4 {
            evaluator.end_stages(4);
            evaluator.end_stages(9); // never later again
        }
        evaluator.second(&frame(second as u64, text, &edges));
    }
    assert_eq!(evaluator.statuses()[0].windows, 1);
}

#[test]
fn windows_of_a_stage_lie_inside_it() {
    let filter = Filter { stage: Some(1), ..Filter::default() };
    let objective = Objective { filter, ..over("throughput >= 2/s", 3) };
    let span = Span {
        first_second: 0,
        end_second: Some(9),
        stages: vec![(0.0, 2.5), (2.5, 6.5), (6.5, 9.0)],
        ..Span::default()
    };
    let seconds = "5@0 | 5@0 | 5@1 | 5@1*2 | 5@1*2 | 5@1*2 | 5@1 | 5@2 | 5@2";
    let evaluator = folded(objective, span, seconds);
    assert_eq!(evaluator.statuses()[0].windows, 1, "the seconds 3, 4 and 5");
    assert_eq!(evaluator.finish(9.0)[0].verdict, Met);
}

#[test]
fn without_over_everything_measured_is_judged_after_the_drain() {
    let evaluator =
        folded(objective("throughput >= 1.5/s"), Span { end_second: Some(2), ..span(1) }, "5 | 5 p900 | 5");
    assert_eq!(evaluator.finish(2.0)[0].verdict, Met, "three in two seconds, one of them while draining");
}

#[test]
fn abort_after_counts_unbroken_misses_from_the_first_full_window() {
    for (after, seconds, reached) in [
        (2, "f5 | f5", None), // the first full window
        (1, "f5 | f5", Some(0)),
        (2, "f5 | f5 | f5", Some(0)),
        (2, "f5 | f5 | 5 | 5 | f5 | f5", None),
        (2, "f5 | | | f5", None),             // an undecided window breaks the row
        (2, "f5 | f5 | f5 | 5 | 5", Some(0)), // reached once
        (0, "5 | 5 | 5", None),
    ] {
        let objective = Objective { abort_after: Some(after), ..over("error_ratio <= 50%", 2) };
        assert_eq!(folded(objective, span(1), seconds).abort(), reached, "after {after}: {seconds}");
    }
}

#[test]
fn abort_after_without_windows_judges_the_run_so_far() {
    let aborting = |text| Objective { abort_after: Some(2), ..objective(text) };
    assert_eq!(folded(aborting("error_ratio <= 50%"), span(1), "f5 | f5").abort(), Some(0));
    assert_eq!(folded(aborting("error_ratio <= 50%"), span(1), "f5 | 5 5 | f5").abort(), None);
    // A count that is too low now may still grow.
    assert_eq!(folded(aborting("count(requests) >= 9"), span(1), "5 | 5 | 5").abort(), None);
    assert_eq!(folded(aborting("count(failed) <= 0"), span(1), "f5 | 5 | 5").abort(), Some(0));
    let drained = Span { end_second: Some(1), ..span(1) };
    assert_eq!(folded(aborting("error_ratio <= 50%"), drained, "f5 | f5 | f5").abort(), None);
}

#[test]
fn the_first_objective_to_be_reached_is_named() {
    let slow = Objective { abort_after: Some(3), ..objective("error_ratio <= 50%") };
    let quick = Objective { abort_after: Some(1), ..objective("error_ratio <= 50%") };
    let edges = Edges::default();
    let mut evaluator = Evaluator::new(vec![slow, quick], &edges, span(1));
    for second in 0..5 {
        evaluator.second(&frame(second, "f5", &edges));
    }
    assert_eq!(evaluator.abort(), Some(1));
    let missing: Vec<_> = evaluator.statuses().iter().map(|status| status.missing_for_seconds).collect();
    assert_eq!(missing, [5, 5]);
}

// Filters and stages.

#[test]
fn a_filter_narrows_requests_drops_and_requests_in_flight() {
    let narrowed = |text, filter: &Filter| Objective { filter: filter.clone(), ..objective(text) };
    let one = Some(BTreeSet::from([1]));
    let step = Filter { steps: one.clone(), scenarios: one, stage: None };
    for (text, seconds, verdict) in [
        ("error_ratio <= 0%", "5#1 f5#0", Met),
        ("error_ratio <= 0%", "5#1 d#0", Met),
        ("error_ratio <= 0%", "5#1 d#1", Inconclusive),
        ("p75(response_time) <= 200ms", "5#1*4 p900#0*9", Met),
        ("p75(response_time) <= 200ms", "5#1*4 p900#1*9", Missed),
        ("dropped_ratio <= 0%", "5#1 d#0", Met),
        ("count(iterations) <= 1", "5#1 5#0", Met),
    ] {
        check_objective(narrowed(text, &step), seconds, verdict);
    }
    let stage = Filter { stage: Some(1), ..Filter::default() };
    for (text, seconds, verdict) in [
        ("error_ratio <= 0%", "5@1 f5@0", Met),
        ("error_ratio <= 0%", "5@1 d@0", Met),
        ("error_ratio <= 0%", "5@1 d@1", Inconclusive),
        ("error_ratio <= 0%", "5@0", Inconclusive),
    ] {
        check_objective(narrowed(text, &stage), seconds, verdict);
    }
}

#[test]
fn a_stage_has_its_own_length() {
    let filter = Filter { stage: Some(1), ..Filter::default() };
    let objective = Objective { filter, ..objective("throughput >= 2/s") };
    let span = Span {
        first_second: 1,
        end_second: Some(6),
        stages: vec![(0.0, 4.0), (4.0, 6.0)],
        ..Span::default()
    };
    let evaluator = folded(objective, span, "5@0 | 5@0 | 5@0 | 5@0 | 5@1 5@1 | 5@1 5@1");
    assert_eq!(evaluator.finish(5.0)[0].observed, Some(2.0));
    assert_eq!(evaluator.finish(4.0)[0].observed, Some(4.0), "ended a second early");
}

#[test]
fn one_stage_is_judged_by_another() {
    let text = "p75(response_time) <= 1.5 x stage(0)";
    for (seconds, verdict) in [
        ("100@0*4 | 150@1*4", Met),
        ("100@0*4 | 151@1*4", Missed),
        ("100@0*4 | 100@1*2 900@2*2", Missed), // all stages behind it together
        ("900@0*4 | 150@1*4", Met),
        ("100@1*4", Inconclusive),
        ("100@0*4", Inconclusive),
        ("100@0*3 | 100@1*4", Inconclusive),     // no p75 of three
        ("100@0*4 | 100@1*3 d@1", Inconclusive), // the dropped one may have been the slow one
        ("100@0*4 | 100@1*9 d@1", Met),
        ("100@0*4 | 900@1*9 d@1", Missed),
        ("100@0*3 200@0*6 d@0 | 250@1*4", Met), // the 7th or 8th of ten: 200 ms either way
        ("100@0*3 d@0*3 | 140@1*4", Inconclusive), // what it is compared with is not known
        ("100@0*4 | 10@1*9 c900@1*9", Missed),  // a cut request waited at least that long
    ] {
        check_stages(objective(text), seconds, verdict);
    }
    let filter = Filter { stage: Some(2), ..Filter::default() };
    check_stages(Objective { filter, ..objective(text) }, "100@0*4 | 900@1*4 | 120@2*4", Met);
    check_stages(objective("error_ratio <= stage(0)"), "5@0 f5@0 | 5@1 f5@1", Met);
    check_stages(objective("error_ratio <= stage(0)"), "5@0 5@0 f5@0 | 5@1 f5@1", Missed);
}

fn check_stages(objective: Objective, seconds: &str, verdict: Verdict) {
    let text = objective.text.clone();
    let stages = Span { stages: vec![(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)], ..span(0) };
    let evaluator = folded(objective, stages, seconds);
    assert_eq!(evaluator.statuses()[0].verdict, None, "judged at the end only");
    let judgement = evaluator.finish(3.0).remove(0);
    assert_eq!(judgement.verdict, verdict, "{text} with {seconds}: {}", judgement.why);
}

#[test]
fn rates_of_stages_are_per_second_of_their_own() {
    let objective = objective("throughput >= 0.5 x stage(0)");
    let stages = Span { stages: vec![(0.0, 1.0), (1.0, 4.0)], ..span(0) };
    let judgement = folded(objective, stages, "5@0*4 | 5@1*2 | 5@1*2 | 5@1*2").finish(4.0).remove(0);
    assert_eq!((judgement.verdict, judgement.observed, judgement.target), (Met, Some(2.0), Some(2.0)));
}

// What people and metrics see.

#[test]
fn good_events_and_all_events_accumulate_over_the_run() {
    for (text, seconds, events) in [
        ("p75(response_time) <= 200ms", "50 900 | t900 f5 c900 c50 d", Some((1, 4))),
        ("p75(response_time) > 200ms", "50 900 | t900 f5 c900 c50 d", Some((3, 4))),
        ("error_ratio <= 1%", "50 900 | t900 f5 c900 d", Some((2, 4))),
        ("availability >= 1%", "50 900 | t900 f5 c900 d", Some((2, 4))),
        // A fast failure is no good answer, and neither is a time-out that came soon.
        ("within(response_time, 200ms) >= 1%", "50 200 201 f5 | t50 c900 c50 d", Some((2, 6))),
        // 2 for each of two, 1 for each of two, of 2 for each of the nine that are known.
        ("apdex(response_time, 200ms) >= 0.1", "50 200 201 800 801 f5 | t50 t900 c900 c300 d", Some((6, 18))),
        ("dropped_ratio <= 1%", "50 900 | t900 d g", Some((3, 5))),
        ("throughput >= 1/s", "50", None),
        ("mean(response_time) <= 1s", "50", None),
        ("p75(response_time) <= 2 x stage(0)", "50", None),
    ] {
        for objective in [objective(text), over(text, 1)] {
            let status = status(objective, seconds);
            assert_eq!(status.good_events.zip(status.total_events), events, "{text}");
        }
    }
}

#[test]
fn what_is_in_flight_and_bad_already_is_overdue() {
    for (text, overdue) in [
        ("p75(response_time) <= 200ms", 2),
        ("p75(response_time) > 200ms", 0),
        ("within(response_time, 200ms) >= 1%", 2),
        ("apdex(response_time, 200ms) >= 0.1", 2),
        ("availability >= 1%", 0),
    ] {
        for objective in [objective(text), over(text, 1)] {
            assert_eq!(status(objective, "50 | p50 p300 p900").overdue_events, overdue, "{text}");
        }
    }
}

#[test]
fn requests_are_scored_by_how_long_they_took() {
    for (text, seconds, verdict) in [
        ("within(response_time, 200ms) >= 75%", "200*3 201", Met),
        ("within(response_time, 200ms) >= 75%", "200*2 201*2", Missed),
        ("within(response_time, 200ms) >= 75%", "200*3 f5", Met),
        ("within(response_time, 200ms) >= 75%", "200*3 f5 d", Inconclusive),
        ("within(response_time, 200ms) >= 75%", "200*3 c100", Met),
        ("within(response_time, 200ms) >= 75%", "200*3 c100*2", Inconclusive),
        ("within(response_time, 200ms) >= 75%", "200*3 c300*2", Missed),
        ("apdex(response_time, 200ms) >= 0.75", "200 800", Met),
        ("apdex(response_time, 200ms) >= 0.75", "200 800 801", Missed),
        ("apdex(response_time, 200ms) >= 0.75", "200*3 f1", Met),
        ("apdex(response_time, 200ms) >= 0.75", "200*3 c300*2", Inconclusive),
        ("apdex(response_time, 200ms) >= 0.75", "200*3 c900*2", Missed),
    ] {
        check(text, seconds, verdict);
    }
    let why = |text: &str, seconds: &str| judged(objective(text), span(1), seconds).why;
    assert_eq!(
        why("within(response_time, 200ms) >= 75%", "200 f5"),
        "within(response_time, 200ms) was 50% (1 of 2) where at least 75% was promised"
    );
    assert_eq!(
        why("apdex(response_time, 200ms) >= 0.9", "200 800 801 d"),
        "apdex(response_time, 200ms) was 0.5 (1.5 of 3) where at least 0.9 was promised, and the outcome of 1 dropped or cut one is unknown"
    );
}

#[test]
fn a_run_that_may_still_be_decided_is_undecided() {
    assert_eq!(status(objective("p95(response_time) <= 200ms"), "50").verdict, None);
    assert_eq!(status(objective("error_ratio <= 1%"), "w5 | w5").verdict, None);
    assert_eq!(status(objective("error_ratio <= 1%"), "5").verdict, Some(Met));
    assert_eq!(status(objective("count(requests) >= 5"), "5").verdict, None);
    assert_eq!(status(over("error_ratio <= 1%", 1), "5 | ").verdict, Some(Inconclusive));
}

#[test]
fn why_is_one_sentence_with_the_counts() {
    let loud = |objective| Objective { message: Some("page the shop team".to_owned()), ..objective };
    for (objective, seconds, why) in [
        (
            loud(objective("p75(response_time) <= 200ms")),
            "50 50 900 900",
            "2 of 4 requests took at most 200 ms where at least 3 must: page the shop team",
        ),
        (
            loud(objective("p75(response_time) < 200ms")),
            "50*4",
            "4 of 4 requests took less than 200 ms where at least 3 must",
        ),
        (
            objective("p75(response_time) >= 200ms"),
            "900*4 d",
            "0 of 4 requests took less than 200 ms where fewer than 4 must, and the outcome of 1 dropped or cut one is unknown",
        ),
        (
            objective("error_ratio <= 10%"),
            "5*7 f5*2 d*2",
            "error_ratio was 22.2222% (2 of 9) where at most 10% was promised, and the outcome of 2 dropped or cut ones is unknown",
        ),
        (
            Objective {
                filter: Filter { steps: Some([0].into()), ..Filter::default() },
                ..objective("error_ratio <= 10%")
            },
            "5*8 5#65535*8",
            "error_ratio was 0% (0 of 8) where at most 10% was promised, and the outcome of 8 that `limits` had counted together is unknown",
        ),
        (
            Objective {
                filter: Filter { steps: Some([0].into()), ..Filter::default() },
                ..objective("error_ratio <= 10%")
            },
            "5*8 d 5#65535*8",
            "error_ratio was 0% (0 of 8) where at most 10% was promised, and the outcome of 9 that were dropped, cut or counted together by `limits` is unknown",
        ),
        (objective("throughput >= 450/s"), "5*4", "throughput was 4/s where at least 450/s was promised"),
        (objective("p75(response_time) <= stage(7)"), "5*4", "stage 7 has no data to compare with"),
        (
            over("max(response_time) < 200ms", 2),
            "50 | 100 | 70",
            "all 2 windows of 2s met it; the worst was 100 ms",
        ),
        (
            loud(over("max(response_time) < 200ms", 2)),
            "50 | 100 | 70 | 300 | 400",
            "2 of 4 windows of 2s missed; the first, from second 2 to 4: max(response_time) was 300 ms where below 200 ms was promised: page the shop team",
        ),
        (
            over("error_ratio <= 10%", 2),
            "5 | 5 | d",
            "1 of 2 windows of 2s cannot be decided; the first, from second 1 to 3: error_ratio was 0% (0 of 1) where at most 10% was promised, and the outcome of 1 dropped or cut one is unknown",
        ),
        (
            over("error_ratio <= 10%", 30),
            "5 | 5",
            "no window was full: of 30s the run measured 2 whole seconds",
        ),
    ] {
        assert_eq!(judged(objective, span(1), seconds).why, why);
    }
}

// Properties.

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "50",
            "50",
            "50",
            "199.9999",
            "200",
            "200.000001",
            "900",
            "t5000",
            "f5",
            "c10",
            "c900",
            "u5",
            "d",
            "g",
            "p100",
            "p900",
            "w900",
        ][..],
    )
}

fn second() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just("..".to_owned()),
        6 => prop::collection::vec(token(), 0..8).prop_map(|tokens| tokens.join(" ")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sliding_window_equals_counting_anew(
        seconds in prop::collection::vec(second(), 1..24),
        length in 1_usize..6,
        text in prop::sample::select(&ONE_OF_EACH[..]),
    ) {
        let sliding_objective = over(text, length as u32);
        let edges = edges(&sliding_objective);
        let mut sliding = Evaluator::new(vec![sliding_objective], &edges, span(1));
        for (index, _) in seconds.iter().enumerate().filter(|(_, text)| *text != "..") {
            sliding.second(&frame(index as u64, &seconds[index], &edges));
            let status = sliding.statuses().remove(0);
            prop_assert_eq!(status.windows, (index + 1).saturating_sub(length - 1) as u64);
            if index + 1 < length {
                continue;
            }
            let mut anew = Evaluator::new(vec![objective(text)], &edges, span(1));
            let inside = seconds.iter().enumerate().take(index + 1).skip(index + 1 - length);
            for (second, text) in inside {
                anew.second(&frame(second as u64, text, &edges));
            }
            let judgement = anew.finish(length as f64).remove(0);
            prop_assert_eq!(status.verdict, Some(judgement.verdict), "{} at {}", text, index);
            prop_assert_eq!(status.observed, judgement.observed, "{} at {}", text, index);
        }
    }

    #[test]
    fn more_good_events_never_turn_met_into_missed(
        seconds in prop::collection::vec(second(), 1..6), more in 1_usize..40,
    ) {
        for (text, good) in [
            ("p75(response_time) <= 200ms", "50"),
            ("p75(response_time) >= 200ms", "900"),
            ("error_ratio <= 10%", "50"),
            ("availability >= 90%", "50"),
            ("dropped_ratio <= 10%", "50"),
            ("throughput >= 2/s", "50"),
            ("max(response_time) <= 200ms", "50"),
            ("count(succeeded) >= 5", "50"),
        ] {
            let before = seconds.join("|");
            let after = format!("{before} {good}*{more}").replace(".. ", "");
            let verdict = |seconds: &str| judged(objective(text), span(1), seconds).verdict;
            if verdict(&before) == Met {
                prop_assert_eq!(verdict(&after), Met, "{} with {}", text, before);
            }
        }
    }

    #[test]
    fn more_unknowns_never_decide(
        seconds in prop::collection::vec(second(), 1..6), drops in 0_usize..9, cuts in 0_usize..9,
    ) {
        // Enough of everything for the quantile, which a few unknowns could otherwise complete.
        let before = format!("{} 50*2 900*2", seconds.join("|")).replace(".. ", "");
        let after = format!("{before} d*{drops} u5*{cuts}");
        // These two are about what unknowns are, not what they would have been.
        for text in ONE_OF_EACH.into_iter().filter(|text| !text.contains("cut") && !text.contains("dropped")) {
            let verdict = |seconds: &str| judged(objective(text), span(1), seconds).verdict;
            let (before, after) = (verdict(&before), verdict(&after));
            let allowed = after == before || after == Inconclusive;
            // A cut request was sent, so it counts as one.
            prop_assert!(allowed || text.contains("requests"), "{text}: {before} became {after}");
        }
    }

    #[test]
    fn every_verdict_has_a_reason_and_no_data_has_no_figure(
        seconds in prop::collection::vec(second(), 1..6),
        text in prop::sample::select(&ONE_OF_EACH[..]),
    ) {
        for objective in [objective(text), over(text, 2)] {
            let judgement = judged(objective, span(1), &seconds.join("|"));
            prop_assert!(!judgement.why.is_empty());
            prop_assert!(judgement.observed.is_none_or(f64::is_finite));
            // A quantile that unknowns complete is decided by counts, and has no figure all the same.
            prop_assert!(judgement.verdict != Met || judgement.observed.is_some() || text.starts_with('p'));
        }
    }
}

#[test]
fn a_recovery_is_judged_by_the_seconds_after_a_spike() {
    let stages = vec![(0.0, 4.0), (4.0, 5.0), (5.0, 30.0)];
    let span = Span { first_second: 0, end_second: Some(30), stages, spikes: vec![1] };
    let course = |slow: usize, calm: usize| {
        let seconds = ["20*30"; 4].into_iter().chain(["400*90"]);
        let seconds =
            seconds.chain(std::iter::repeat_n("300*30", slow)).chain(std::iter::repeat_n("21*30", calm));
        seconds.collect::<Vec<_>>().join("|")
    };
    for (slow, calm, expected, observed) in [
        (0, 10, Met, Some(0.0)),
        (3, 10, Met, Some(3.0)),
        (4, 10, Missed, Some(4.0)),
        (4, 0, Missed, None),
        (3, 0, Inconclusive, None),
        (2, 9, Inconclusive, None),
    ] {
        let evaluator = folded(objective("recovery_time <= 3s"), span.clone(), &course(slow, calm));
        let missed = evaluator.statuses()[0].verdict == Some(Missed);
        assert_eq!(missed, expected == Missed, "{slow} slow, {calm} calm: told while it goes on");
        assert!(evaluator.recovery(1).is_some_and(|it| it.seconds() == observed), "{slow}, {calm}");
        let judgement = evaluator.finish(30.0).remove(0);
        assert_eq!((judgement.verdict, judgement.observed), (expected, observed), "{slow} slow, {calm} calm");
        assert!(!judgement.why.is_empty());
        assert_eq!(evaluator.recovery(0), None);
    }
    // Failures keep it from being calm as slowness does.
    let failing = format!("{}|f20*30|f20*30|{}", ["20*30"; 5].join("|"), ["20*30"; 10].join("|"));
    assert_eq!(
        folded(objective("recovery_time <= 9s"), span, &failing).recovery(1),
        Some(Recovery::After(2.0))
    );
}

#[test]
fn one_of_each_is_one_of_each() {
    let quantiles = ONE_OF_EACH.iter().map(|text| Expression::parse(text).unwrap());
    let sorts: BTreeSet<_> = quantiles
        .filter(|expression| matches!(expression.bound, Bound::Value(_)))
        .map(|expression| match expression.measure {
            Measure::Quantile(..) => 0,
            Measure::Mean(_) => 1,
            Measure::Max(_) => 2,
            Measure::Count(_) => 3,
            Measure::ErrorRatio => 4,
            Measure::Availability => 5,
            Measure::DroppedRatio => 6,
            Measure::Throughput => 7,
            Measure::ByteRate => 8,
            Measure::GoodputRetained => 9,
            Measure::Within(..) => 10,
            Measure::Apdex(..) => 11,
            Measure::RecoveryTime => unreachable!("judged by the seconds after a spike"),
            Measure::Own(..) => unreachable!("a plan of its own takes these"),
            Measure::Resource(..) => unreachable!("judged by the readings of resources"),
        })
        .collect();
    assert_eq!(sorts.len(), 11);
}

#[test]
fn what_goes_wrong_in_the_last_seconds_is_told_long_before_the_run_is_spoilt() {
    let hour = |objective: Objective, last: &str| {
        let edges = edges(&objective);
        let span =
            Span { first_second: 0, end_second: Some(7200), stages: vec![(0.0, 7200.0)], ..Span::default() };
        let mut evaluator = Evaluator::new(vec![objective], &edges, span);
        for second in 0..3600 {
            evaluator.second(&frame(second, "5*100", &edges));
        }
        assert_eq!(evaluator.statuses()[0].breach, None);
        evaluator.second(&frame(3600, last, &edges));
        evaluator.statuses().remove(0)
    };
    for (text, last, is_found) in [
        ("availability >= 99.9%", "f5*100", true),
        ("availability >= 99.9%", "5*100", false),
        ("availability >= 99.9%", "5*99 f5", false),
        ("error_ratio <= 0.1%", "5*50 f5*50", true),
        ("within(response_time, 200ms) >= 99.9%", "201*100", true),
        ("apdex(response_time, 200ms) >= 0.95", "900*100", true),
        ("p99.9(response_time) <= 200ms", "201*100", true),
        // Nobody answers: what is in flight has outlived the objective.
        ("within(response_time, 200ms) >= 99.9%", "p300*100", true),
        ("within(response_time, 200ms) >= 99.9%", "p100*100", false),
        // Nobody can say what share may be bad.
        ("throughput >= 1/s", "f5*100", false),
        ("error_ratio <= 0%", "f5*100", false),
    ] {
        let status = hour(objective(text), last);
        assert_eq!(status.breach.is_some(), is_found, "{text} with {last}");
        if let Some(breach) = status.breach {
            assert_eq!((breach.since, breach.delay), (3601, 1), "{text}");
            assert_eq!(status.verdict, Some(Met), "{text}: a second in an hour spoils nothing");
        }
    }
    // A window has a verdict of its own every second.
    assert_eq!(hour(over("availability >= 99.9%", 10), "f5*100").breach, None);
}
