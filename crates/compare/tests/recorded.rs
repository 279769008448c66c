//! Recorded runs side by side: what is said of them before any number, and what is compared.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use plimsoll_compare::{
    Comparisons, Finding, METRICS, NotCompared, RecordedRun, RunsError, Validity, compare_runs,
};
use plimsoll_stats::{Refusal, Rule, Side};
use serde_json::{Value, json};

/// A step that was asked 10,000 times in 50 s, its times around `p95`.
fn step(name: &str, p95: f64, failed: u64) -> Value {
    json!({
        "scenario": "shop", "step": name, "requests": 10_000, "failed": failed,
        "throughput": (10_000 - failed) as f64 / 50.0,
        "response_time": { "mean": p95 * 0.6, "p50": p95 * 0.5, "p95": p95, "p99": p95 * 1.3 },
    })
}

/// A run as its JSON has it, started so many minutes after midnight.
fn json_of(id: &str, minute: u32, steps: &[Value]) -> Value {
    json!({
        "schema": 1,
        "run": {
            "id": id, "plan": "shop", "plan_hash": "aa11", "started": format!("2026-11-23T{:02}:{:02}:00Z", minute / 60, minute % 60),
            "status": "completed", "version": "1.4", "environment": null, "plimsoll": "0.1.0", "model": "open",
            "target": "http://127.0.0.1:1", "reason": null, "measured_seconds": 50.0,
            "machine": { "host": "bench-1", "cpu": "CPU 3000", "cores": 4, "memory_bytes": 16_000_000_000_u64,
                "system": "Linux 6.12", "fingerprint": "4f2a" },
        },
        "validity": { "verdict": "valid", "reasons": [] },
        "steps": steps,
        "stages": [{ "scenario": null, "kind": "hold", "started": 0.0, "ended": 50.02, "from": 200.0, "to": 200.0 }],
        "something": "new",
    })
}

fn read(json: &Value) -> RecordedRun {
    RecordedRun::from_json(&json.to_string()).unwrap()
}

const NOISE: [f64; 6] = [1.0, 1.01, 0.995, 1.005, 1.0, 1.002];

/// Six runs in turn with those of the other side.
fn side(
    name: &str,
    first: u32,
    p95: f64,
    failed: u64,
    change: impl Fn(usize, &mut Value),
) -> Vec<RecordedRun> {
    let run = |(index, noise): (usize, &f64)| {
        let steps = [step("list", p95 * noise, failed + index as u64 % 2)];
        let mut run = json_of(&format!("{name}-{index}"), first + 2 * index as u32, &steps);
        change(index, &mut run);
        read(&run)
    };
    NOISE.iter().enumerate().map(run).collect()
}

fn base() -> Vec<RecordedRun> {
    side("base", 0, 0.1, 0, |_, _| ())
}

fn compared(base: Vec<RecordedRun>, candidate: Vec<RecordedRun>) -> Comparisons {
    compare_runs(base, candidate, Rule::default()).unwrap()
}

fn finding(found: &Comparisons, name: &str) -> Option<Finding> {
    found
        .pairs
        .iter()
        .find(|pair| pair.name() == name)
        .unwrap_or_else(|| panic!("{name}: {found:?}"))
        .finding()
}

#[test]
fn every_metric_of_a_step_is_compared() {
    let slower = compared(base(), side("next", 1, 0.12, 0, |_, _| ()));
    let metrics: Vec<&str> = slower.pairs.iter().map(|pair| pair.metric.as_str()).collect();
    assert_eq!(metrics, METRICS);
    assert!(
        slower.pairs.iter().all(|pair| pair.benchmark == "shop/list" && pair.runs == (6, 6)),
        "{slower:?}"
    );
    assert_eq!(slower.warnings, Vec::<String>::new());
    for (metric, expected) in [
        ("throughput", Finding::NoChange),
        ("mean", Finding::Regression),
        ("p50", Finding::Regression),
        ("p95", Finding::Regression),
        ("p99", Finding::Regression),
        ("error_ratio", Finding::NoChange),
    ] {
        assert_eq!(finding(&slower, &format!("shop/list/{metric}")), Some(expected), "{metric}");
    }
    let same = compared(base(), side("next", 1, 0.1, 0, |_, _| ()));
    assert!(!same.has_regression() && !same.is_undecided(), "{same:?}");
}

#[test]
fn failures_are_compared_as_counts_and_corrected_with_the_rest() {
    let found = compared(base(), side("next", 1, 0.1, 120, |_, _| ()));
    assert_eq!(finding(&found, "shop/list/error_ratio"), Some(Finding::Regression));
    let errors = found.pairs.iter().find(|pair| pair.metric == "error_ratio").unwrap();
    let judged = errors.judged_counts().unwrap();
    // 60,000 requests of each side, three of the base failed, 723 of the candidate.
    assert_eq!(errors.levels, (Some(3.0 / 60_000.0), Some(723.0 / 60_000.0)));
    assert!(errors.judged().is_none() && judged.p_adjusted >= judged.comparison.p);
    assert_eq!(errors.severity(), Some(plimsoll_stats::Severity::High));
}

#[test]
fn cut_requests_are_neither_failures_nor_successes() {
    let mut half = step("list", 0.1, 5);
    half["throughput"] = json!(80.0); // 4,000 of the 9,995 that did not fail
    let runs = |name: &str, minute: u32| {
        vec![
            read(&json_of(&format!("{name}1"), minute, std::slice::from_ref(&half))),
            read(&json_of(&format!("{name}2"), minute + 2, std::slice::from_ref(&half))),
        ]
    };
    let found = compared(runs("a", 0), runs("b", 1));
    let errors = found.pairs.iter().find(|pair| pair.metric == "error_ratio").unwrap();
    assert_eq!(errors.levels, (Some(10.0 / 8010.0), Some(10.0 / 8010.0)));
}

/// What a change of the JSON of the candidate is told as.
fn told(change: impl Fn(usize, &mut Value)) -> Vec<String> {
    compared(base(), side("next", 1, 0.1, 0, change)).warnings
}

#[test]
fn differences_are_said_first() {
    let set = |pointer: &'static str, value: Value| {
        told(move |_, run| *run.pointer_mut(pointer).unwrap() = value.clone())
    };
    for (pointer, value, expected) in [
        ("/run/plan", json!("store"), "plan differs: base shop; candidate store"),
        ("/run/plan_hash", json!("bb22"), "plan hash differs: base aa11; candidate bb22"),
        (
            "/run/target",
            json!("http://127.0.0.1:2"),
            "target differs: base http://127.0.0.1:1; candidate http://127.0.0.1:2",
        ),
        ("/run/environment", json!("staging"), "environment differs: base none; candidate staging"),
        (
            "/run/machine/fingerprint",
            json!("77aa"),
            "class of machine differs: base CPU 3000, 4 cores, 16.0 GB (4f2a); candidate CPU 3000, 4 cores, 16.0 GB (77aa)",
        ),
        ("/run/machine/host", json!("bench-2"), "host differs: base bench-1; candidate bench-2"),
        (
            "/run/machine/system",
            json!("Linux 7"),
            "operating system differs: base Linux 6.12; candidate Linux 7",
        ),
        ("/run/plimsoll", json!("0.2.0"), "version of Plimsoll differs: base 0.1.0; candidate 0.2.0"),
    ] {
        assert_eq!(set(pointer, value), [expected]);
    }
    // Another version is what a comparison is about; one plan has one load, whenever its last request came back.
    for (pointer, value) in [("/run/version", json!("1.5")), ("/stages/0/ended", json!(53.0))] {
        assert_eq!(set(pointer, value), Vec::<String>::new(), "{pointer}");
    }
    let other_load = told(|_, run| {
        run["run"]["plan_hash"] = json!("bb22");
        run["stages"] = json!([
            { "scenario": null, "kind": "ramp", "started": 0.0, "ended": 10.0, "from": 0.0, "to": 300.0 },
            { "scenario": "buy", "kind": "pause", "started": 10.0, "ended": 15.0, "from": 0.0, "to": 0.0 },
        ]);
    });
    assert_eq!(
        other_load,
        [
            "plan hash differs: base aa11; candidate bb22",
            "load differs: base open, 200/s for 50 s; candidate open, 0 to 300/s over 10 s, buy nothing for 5 s",
        ]
    );
    let mixed = told(|index, run| {
        if index < 2 {
            run["run"]["plan_hash"] = json!("bb22");
        }
    });
    assert_eq!(mixed, ["plan hash differs: base aa11; candidate bb22 (2 of the runs), aa11 (4 of the runs)"]);
}

#[test]
fn what_cannot_be_trusted_is_left_out_and_named() {
    let found = compared(
        base(),
        side("next", 1, 0.1, 0, |index, run| match index {
            0 | 1 => run["validity"] = json!({ "verdict": "invalid", "reasons": ["lag of 90 ms"] }),
            2 => {
                run["run"]["status"] = json!("aborted");
                run["run"]["reason"] = json!("`quick` was missed");
            }
            3 => run["validity"] = json!({ "verdict": "suspect", "reasons": ["lag of 9 ms"] }),
            _ => (),
        }),
    );
    assert_eq!(
        found.warnings,
        [
            "left out of candidate: run `next-0`, `next-1`: its generator cannot be trusted: lag of 90 ms",
            "left out of candidate: run `next-2`: it was aborted, and had not the whole load: `quick` was missed",
            "the generator was suspect in 0 of 6 runs of base and 1 of 3 of candidate, so figures may be its own, such as: lag of 9 ms",
        ]
    );
    let runs = found.runs.as_ref().unwrap();
    assert_eq!((runs.base.len(), runs.candidate.len(), runs.left_out.len()), (6, 3, 3));
    assert_eq!((runs.left_out[0].side, runs.left_out[0].run.validity), (Side::Candidate, Validity::Invalid));
    assert!(found.pairs.iter().all(|pair| pair.runs == (6, 3)), "{found:?}");
}

#[test]
fn what_was_made_apart_or_steered_is_told() {
    let later = compared(base(), side("next", 131, 0.1, 0, |_, _| ())).warnings;
    assert_eq!(
        later,
        [
            "all runs of base were made before those of candidate, 2 hours before: what became of the machine meanwhile looks \
          like a change. Make them in turn"
        ]
    );
    let steered = told(|index, run| {
        if index == 0 {
            run["steered"] = json!([{ "at": 1.0 }]);
        }
    });
    assert_eq!(
        steered,
        ["somebody steered the load of 0 of 6 runs of base and 1 of 6 runs of candidate: it was not the plan's"
            .replace("6 runs of candidate", "6 of candidate")]
    );
}

#[test]
fn one_run_tells_no_change_however_large() {
    let one = |name: &str, p95: f64, failed: u64| vec![read(&json_of(name, 0, &[step("list", p95, failed)]))];
    let found = compared(one("a", 0.1, 0), one("b", 5.0, 9_000));
    assert_eq!(
        found.warnings,
        [
            "base and candidate have one run, which does not say how much runs differ: no change can be told from luck, \
          however large. Make 5 more a side, in turn: 6 a side find a change of 5% where runs differ by 2%"
        ]
    );
    for pair in &found.pairs {
        let few = NotCompared::Refused(Refusal::TooFewRuns { side: Side::Base, found: 1 });
        assert_eq!(pair.outcome, Err(few));
        assert!(pair.levels.0.is_some() && pair.levels.1.is_some(), "what was measured is told: {pair:?}");
    }
    assert!(found.is_undecided() && !found.has_regression());
}

#[test]
fn what_cannot_be_compared_at_all_is_refused() {
    let run = |id: &str, step_name: &str| read(&json_of(id, 0, &[step(step_name, 0.1, 0)]));
    let refused = |base, candidate| compare_runs(base, candidate, Rule::default()).unwrap_err();
    assert_eq!(
        refused(vec![run("a", "list")], vec![run("b", "buy")]).to_string(),
        "base and candidate have no step in common: base has `shop/list`, candidate has `shop/buy`"
    );
    assert_eq!(
        refused(vec![run("a", "list"), run("b", "list")], vec![run("b", "list")]),
        RunsError::BothSides { id: "b".to_owned() }
    );
    let mut live = json_of("c", 0, &[step("list", 0.1, 0)]);
    live["run"]["status"] = json!("running");
    let nothing = read(&json_of("d", 0, &[]));
    assert_eq!(
        refused(vec![run("a", "list")], vec![read(&live), nothing]).to_string(),
        "candidate has no run that can be compared: run c: it goes on; run d: none of its requests was counted"
    );
    assert!(refused(Vec::new(), vec![run("a", "list")]).to_string().starts_with("base has no run"));
}

#[test]
fn what_few_requests_do_not_say_is_no_value() {
    let without = |index: usize, run: &mut Value| {
        if index < 5 {
            run["steps"][0]["response_time"]["p99"] = Value::Null;
            run["steps"][0]["response_time"]["p95"] = Value::Null;
        }
    };
    let found = compared(base(), side("next", 1, 0.1, 0, without));
    let p99 = found.pairs.iter().find(|pair| pair.metric == "p99").unwrap();
    assert_eq!(p99.runs, (6, 1));
    assert!(p99.is_undecided(), "{p99:?}");
    assert_eq!(
        found.warnings,
        ["p95, p99 of `shop/list` is not known of every run of candidate: too few requests were answered"]
    );
}

#[test]
fn many_runs_of_many_steps_are_compared_together() {
    let side = |name: &str, p95: f64| -> Vec<RecordedRun> {
        let run = |index: usize| {
            let noise = NOISE[index % NOISE.len()] * (1.0 + (index % 7) as f64 / 1000.0);
            let steps: Vec<Value> =
                (0..100).map(|number| step(&format!("s{number}"), p95 * noise, 0)).collect();
            read(&json_of(&format!("{name}{index}"), index as u32, &steps))
        };
        (0..50).map(run).collect()
    };
    let found = compared(side("a", 0.1), side("b", 0.105));
    assert_eq!(found.pairs.len(), 600);
    assert!(found.pairs.iter().all(|pair| pair.runs == (50, 50)));
    assert_eq!(found.pairs.iter().filter(|pair| pair.is_regression()).count(), 400);
}

#[test]
fn steps_of_setup_are_not_compared() {
    let mut once = step("log in", 0.1, 0);
    once["throughput"] = Value::Null;
    let run = |id: &str| vec![read(&json_of(id, 0, &[once.clone(), step("list", 0.1, 0)]))];
    let found = compared(run("a"), run("b"));
    assert!(found.pairs.iter().all(|pair| pair.benchmark == "shop/list"), "{found:?}");
}

#[test]
fn only_the_json_of_a_run_is_read() {
    let mut later = json_of("a", 0, &[]);
    later["schema"] = json!(2);
    for (text, expected) in [
        ("{}", "missing field `schema`"),
        ("[", "EOF"),
        (later.to_string().as_str(), "schema 2: only 1 is known"),
    ] {
        let error = RecordedRun::from_json(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
