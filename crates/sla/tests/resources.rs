//! Objectives about what the target and its machine use.
//!
//! A second is what looks at the source `shop` found of `memory` in MB: `5` a reading, `x` a look that failed, `-` one
//! that found other figures only; ` ` separates seconds, `.` is a second in which nobody looked.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use Verdict::{Inconclusive, Met, Missed};
use plimsoll_measure::{Edges, Frame, ResourceFigure, ResourceScrape, ResourceUnit, SECOND};
use plimsoll_sla::{Evaluator, Expression, Filter, Judgement, Objective, Severity, Span, Status, Verdict};
use proptest::prelude::*;

fn objective(text: &str) -> Objective {
    Objective {
        name: "objective".to_owned(),
        text: text.to_owned(),
        expression: Expression::parse_beside(text, &[]).unwrap(),
        over: None,
        filter: Filter::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    }
}

fn over(text: &str, over: u32) -> Objective {
    Objective { over: Some(over), abort_after: Some(2), ..objective(text) }
}

fn figure(name: &str, unit: ResourceUnit, value: f64) -> ResourceFigure {
    ResourceFigure { name: name.into(), unit, value }
}

fn scrape(second: u64, figures: Result<Vec<ResourceFigure>, String>) -> ResourceScrape {
    ResourceScrape { source: "shop".into(), at: (second + 1) * SECOND, figures, left_out: 0 }
}

fn look(second: u64, text: &str) -> Vec<ResourceScrape> {
    let figures = match text {
        "." => return Vec::new(),
        "x" => Err("no answer".to_owned()),
        "-" => Ok(vec![figure("cpu", ResourceUnit::Cores, 1.0)]),
        value => Ok(vec![figure("memory", ResourceUnit::Bytes, value.parse::<f64>().unwrap() * 1e6)]),
    };
    vec![scrape(second, figures)]
}

fn span(first_second: u64) -> Span {
    Span { first_second, stages: vec![(0.0, 3.0), (3.0, 60.0)], ..Span::default() }
}

/// What was found in a second comes in with it.
fn evaluated(objective: Objective, first: u64, text: &str) -> Evaluator {
    let mut evaluator = Evaluator::new(vec![objective], &Edges::default(), span(first));
    for (second, text) in (0..).zip(text.split(' ')) {
        evaluator.resources(&look(second, text));
        evaluator.second(&Frame::new(second));
    }
    evaluator
}

fn judged(objective: Objective, text: &str) -> Judgement {
    evaluated(objective, 1, text).finish(60.0).remove(0)
}

fn check(text: &str, readings: &str, verdict: Verdict) {
    let judgement = judged(objective(text), readings);
    assert_eq!(judgement.verdict, verdict, "{text} of {readings}: {}", judgement.why);
}

#[test]
fn readings_of_the_measured_part_are_judged() {
    // The first second is warm-up.
    check("max(memory) <= 100MB", "999 50 100 70", Met);
    check("max(memory) <= 100MB", "1 50 101 70", Missed);
    check("max(shop.memory) < 100MB", "1 50 100 70", Missed);
    check("min(memory) >= 50MB", "1 50 100 70", Met);
    check("min(memory) > 50MB", "1 50 100 70", Missed);
    check("mean(memory) <= 70MB", "999 50 100 60", Met);
    check("mean(memory) <= 70MB", "1 50 100 70", Missed);
    check("last(memory) <= 60MB", "1 50 100 60", Met);
    check("last(memory) <= 60MB", "1 50 100 61", Missed);
    let judgement = judged(objective("max(memory) <= 100MB"), "1 50 101 70");
    assert_eq!((judgement.observed, judgement.target), (Some(1.01e8), Some(1e8)));
    assert_eq!(judgement.why, "max(memory) was 101 MB where at most 100 MB was promised");
}

#[test]
fn silence_is_not_success() {
    for (readings, why) in [
        ("1 . .", "nobody looked for `memory`"),
        ("1 x x", "2 looks found no `memory`"),
        ("1 - x -", "3 looks found no `memory`"),
        (
            "1 50 x x x",
            "max(memory) was 50.0 MB where at most 100 MB was promised, but only 1 of 4 looks found it",
        ),
    ] {
        let judgement = judged(objective("max(memory) <= 100MB"), readings);
        assert_eq!((judgement.verdict, judgement.why.as_str()), (Inconclusive, why), "{readings}");
    }
    check("max(memory) <= 100MB", "1 50 x x 60", Met);
    // What was too much once was too much, however little was seen.
    check("max(memory) <= 100MB", "1 101 x x x x", Missed);
    check("min(memory) >= 100MB", "1 50 x x x x", Missed);
    check("max(memory) >= 100MB", "1 100 x x x x", Met);
    check("mean(memory) <= 100MB", "1 101 x x x x", Inconclusive);
}

#[test]
fn quantiles_are_counted_at_the_bound() {
    let readings = |high: usize| {
        let all = (0..=20).map(|second| if second > 20 - high { "101" } else { "100" });
        all.collect::<Vec<_>>().join(" ")
    };
    check("p95(memory) <= 100MB", &readings(0), Met);
    check("p95(memory) <= 100MB", &readings(1), Met);
    check("p95(memory) <= 100MB", &readings(2), Missed);
    check("p95(memory) < 100MB", &readings(0), Missed);
    check("p95(memory) >= 100MB", &readings(0), Met);
    check("p95(memory) > 100MB", &readings(1), Missed);
    check("p95(memory) > 100MB", &readings(2), Met);
    check("p95(memory) <= 100MB", "1 50 50", Inconclusive);
    let judgement = judged(objective("p95(memory) <= 100MB"), &readings(2));
    let observed = judgement.observed.unwrap();
    assert!((observed / 1.01e8 - 1.0).abs() < 1e-3, "{observed}");
    assert!(judgement.why.ends_with("(18 of 20 readings were at most that)"), "{}", judgement.why);
}

#[test]
fn a_stage_may_be_looked_at_by_itself() {
    let filter = |stage| Filter { stage: Some(stage), ..Filter::default() };
    let stage = |stage, text| Objective { filter: filter(stage), ..objective(text) };
    let readings = "50 50 50 90 90";
    assert_eq!(judged(stage(0, "max(memory) <= 60MB"), readings).verdict, Met);
    assert_eq!(judged(stage(1, "max(memory) <= 60MB"), readings).verdict, Missed);
    assert_eq!(judged(stage(7, "max(memory) <= 60MB"), readings).verdict, Inconclusive);
}

#[test]
fn windows_are_judged_as_they_fill() {
    let judge = |readings: &str| judged(over("mean(memory) <= 100MB", 3), readings);
    let met = judge("1 90 110 100 90 90");
    assert_eq!(met.why, "all 3 windows of 3s met it; the worst was 100 MB", "{met:?}");
    let missed = judge("1 90 100 130 70");
    assert_eq!((missed.verdict, missed.observed), (Missed, Some(3.2e8 / 3.0)));
    assert_eq!(
        missed.why,
        "1 of 2 windows of 3s missed; the first, from second 1 to 4: mean(memory) was 107 MB where at most 100 MB \
         was promised"
    );
    assert_eq!(judge("1 90 90").why, "no window of 3s of `memory` was full");
    let gap = judge("1 90 90 90 x x x 90 90");
    assert_eq!(gap.verdict, Inconclusive);
    assert!(gap.why.starts_with("3 of 6 windows of 3s cannot be decided"), "{}", gap.why);
}

#[test]
fn a_run_is_aborted_by_unbroken_misses() {
    let aborted = |readings: &str| evaluated(over("max(memory) <= 100MB", 2), 0, readings).abort();
    assert_eq!(aborted("90 110 90 90 90"), Some(0), "two windows have the high one");
    assert_eq!(aborted("90 90 90 90 90"), None);
}

fn status(text: &str, readings: &str) -> Status {
    evaluated(objective(text), 0, readings).statuses().remove(0)
}

#[test]
fn what_may_still_turn_is_not_told_before_the_end() {
    for (text, readings, verdict) in [
        ("max(memory) <= 100MB", "50 60", Some(Met)),
        ("max(memory) <= 100MB", "50 101 60", Some(Missed)),
        ("max(memory) >= 100MB", "50 60", None),
        ("min(memory) <= 10MB", "50 60", None),
        ("mean(memory) <= 100MB", "101 102", Some(Missed)),
        ("mean(memory) <= 100MB", "x", None),
    ] {
        assert_eq!(status(text, readings).verdict, verdict, "{text} of {readings}");
    }
    assert_eq!(status("max(memory) <= 100MB", "50 60").observed, Some(6e7));
    assert_eq!(status("leak(memory) = none", "50 60"), Status::default());
}

#[test]
fn a_look_that_comes_late_counts_for_its_second() {
    let mut evaluator = Evaluator::new(vec![over("max(memory) <= 100MB", 2)], &Edges::default(), span(0));
    for second in 0..5_u64 {
        let late = second.checked_sub(1).map(|before| look(before, if before == 1 { "110" } else { "90" }));
        evaluator.resources(&late.unwrap_or_default());
        evaluator.second(&Frame::new(second));
    }
    let status = evaluator.statuses().remove(0);
    assert_eq!((status.windows, status.missed_windows), (3, 2));
}

#[test]
fn what_is_meant_is_one_figure_of_the_right_unit() {
    let judged = |text: &str, scrapes: &[ResourceScrape]| {
        let mut evaluator = Evaluator::new(vec![objective(text)], &Edges::default(), span(0));
        evaluator.resources(scrapes);
        evaluator.second(&Frame::new(0));
        let judgement = evaluator.finish(1.0).remove(0);
        (judgement.verdict, judgement.why)
    };
    let pool =
        |number: u8, value| figure(&format!("busy_ratio{{pool=\"{number}\"}}"), ResourceUnit::Ratio, value);
    let one = [scrape(0, Ok(vec![pool(0, 0.5)]))];
    assert_eq!(judged("max(busy_ratio) <= 80%", &one).0, Met);
    let two = [scrape(0, Ok(vec![pool(0, 0.5), pool(1, 0.9)]))];
    let (verdict, why) = judged("max(busy_ratio) <= 80%", &two);
    let several = r#"there are several: `busy_ratio{pool="0"}` and `busy_ratio{pool="1"}`; name one of them"#;
    assert_eq!((verdict, why.as_str()), (Inconclusive, several));
    assert_eq!(judged(r#"max(busy_ratio{pool="1"}) <= 80%"#, &two).0, Missed);
    let other = |source: &str| ResourceScrape {
        source: source.into(),
        ..scrape(0, Ok(vec![figure("memory", ResourceUnit::Bytes, 1e6)]))
    };
    let both = [other("shop"), other("till")];
    let several = "there are several: `shop.memory` and `till.memory`; name one of them";
    assert_eq!(judged("max(memory) <= 1MB", &both), (Inconclusive, several.to_owned()));
    assert_eq!(judged("max(till.memory) <= 1MB", &both).0, Met);
    // A counter whose name does not say that it is one.
    let rows = [scrape(0, Ok(vec![figure("rows", ResourceUnit::PerSecond, 5.0)]))];
    assert_eq!(judged("max(rows) <= 5/s", &rows).0, Met);
    let odd = [scrape(0, Ok(vec![figure("rows", ResourceUnit::Bytes, 5.0)]))];
    let why = "it is counted in bytes, and the bound is in count";
    assert_eq!(judged("max(rows) <= 5", &odd), (Inconclusive, why.to_owned()));
}

#[test]
fn seconds_far_apart_are_no_work() {
    let mut evaluator = Evaluator::new(vec![over("max(memory) <= 1MB", 30)], &Edges::default(), span(0));
    evaluator.resources(&look(3, "1"));
    evaluator.second(&Frame::new(5));
    evaluator.resources(&[ResourceScrape { at: u64::MAX, ..look(0, "1").remove(0) }]);
    evaluator.second(&Frame::new(u64::MAX - 1));
    assert_eq!(evaluator.finish(1e18)[0].verdict, Inconclusive);
}

proptest! {
    #[test]
    fn any_order_of_readings_is_judged_alike(mut values in prop::collection::vec(-1e3..1e3_f64, 20..80), bound in 0.0..1e3_f64) {
        let text = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        for figure in ["p90(memory) <= ", "max(memory) <= ", "min(memory) >= ", "p50(memory) < "] {
            let expression = format!("{figure}{}B", (bound * 1e6).round() as u64);
            let judge = |values: &[f64]| evaluated(objective(&expression), 0, &text(values)).finish(1.0).remove(0);
            let once = judge(&values);
            prop_assert!(once.verdict != Inconclusive);
            // What is observed never contradicts the verdict.
            let observed = once.observed.unwrap();
            let holds = if figure.ends_with(">= ") { observed >= bound * 1e6 - 1.0 } else { observed <= bound * 1e6 + 1.0 };
            prop_assert_eq!(holds, once.verdict == Met, "{} {:?}", expression, once);
            values.reverse();
            prop_assert_eq!(judge(&values), once);
        }
    }
}

#[test]
fn seconds_of_which_only_sums_are_kept_decide_nothing() {
    for objective in [objective("max(memory) <= 10MB"), over("mean(memory) <= 10MB", 2)] {
        let mut evaluator = Evaluator::new(vec![objective], &Edges::default(), span(0));
        evaluator.stretch(&Frame::new(0), 60, &std::collections::BTreeMap::new());
        for second in 60..70 {
            evaluator.resources(&look(second, "5"));
            evaluator.second(&Frame::new(second));
        }
        let judgement = evaluator.finish(60.0).remove(0);
        assert_eq!(judgement.verdict, Inconclusive, "{judgement:?}");
        assert!(judgement.why.contains("of the seconds 0 to 59 only sums are kept"), "{}", judgement.why);
    }
}
