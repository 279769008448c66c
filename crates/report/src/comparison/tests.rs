use plimsoll_compare::{Comparisons, RecordedRun, compare_runs, read_samples};
use plimsoll_data::Source;
use plimsoll_stats::Rule;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{comparison_json, comparison_markdown, comparison_schema, comparison_text};
use crate::{Text, fixture};

const OPTIONS: Text = Text { width: 100, color: false, files: Vec::new() };
const HEAD: &str = "benchmark,metric,variant,run,value,unit\n";

fn read(rows: &str) -> Comparisons {
    let table = format!("{HEAD}{rows}");
    let samples = read_samples(Source::Memory(table.as_bytes().into())).unwrap();
    samples.compare(Rule::default(), &[]).unwrap()
}

/// One run of each value.
fn rows(benchmark: &str, metric: &str, variant: &str, unit: &str, values: &[f64]) -> String {
    let row = |(run, value): (usize, &f64)| format!("{benchmark},{metric},{variant},{run},{value},{unit}\n");
    values.iter().enumerate().map(row).collect()
}

/// One of each verdict and of each reason why there is none.
fn some() -> Comparisons {
    let quiet = [0.1, 0.101, 0.0995, 0.1005, 0.1, 0.1002];
    let loud = [0.08, 0.1, 0.12, 0.09, 0.11];
    let times = |values: &[f64], factor: f64| values.iter().map(|value| value * factor).collect::<Vec<_>>();
    let mut text = String::new();
    for (benchmark, metric, unit, base, candidate) in [
        ("checkout", "p50", "seconds", quiet.to_vec(), times(&quiet, 1.002)),
        ("checkout", "p95", "seconds", quiet.to_vec(), times(&quiet, 1.08)),
        ("checkout", "p99", "seconds", loud.to_vec(), times(&loud, 1.03)),
        ("checkout", "throughput", "", times(&quiet, 5000.0), times(&quiet, 3500.0)),
        ("search", "p95", "seconds", quiet.to_vec(), times(&quiet, 0.8)),
        ("search", "errors", "", vec![0.0, 0.0, 1.0], vec![0.0, 2.0, 0.0]),
        ("search", "memory", "bytes", vec![1e8, 1.01e8], vec![1e8]),
        ("old", "p95", "seconds", quiet.to_vec(), Vec::new()),
        ("new", "p95", "seconds", Vec::new(), quiet.to_vec()),
    ] {
        text += &rows(benchmark, metric, "base", unit, &base);
        text += &rows(benchmark, metric, "candidate", unit, &candidate);
    }
    read(&text)
}

/// Two sides that are equal.
fn equal() -> Comparisons {
    let values = [10.0, 10.1, 9.95, 10.05];
    read(
        &(rows("a|b", "ns/op", "base", "ns", &values)
            + &rows("a|b", "ns/op", "candidate", "ns", &[10.01, 10.05, 9.97, 10.1])),
    )
}

/// A recorded run of the fixture, made another one.
fn run(id: &str, minute: usize, change: impl FnOnce(&mut Value)) -> RecordedRun {
    let mut run = crate::json(&fixture::run());
    run["run"]["id"] = json!(format!("019a-{id}"));
    run["run"]["started"] = json!(format!("2026-11-23T10:{minute:02}:00Z"));
    run["validity"] = json!({ "verdict": "valid", "reasons": [] });
    change(&mut run);
    RecordedRun::from_json(&run.to_string()).unwrap()
}

/// Two versions of which one fails more and is slower, in turn, with all that can be said of runs.
fn recorded() -> Comparisons {
    let noise = [1.0, 1.01, 0.995, 1.005, 1.0, 1.002];
    let side = |name: &str, first: usize, slower: f64, failed: u64, change: fn(usize, &mut Value)| {
        let one = |(index, noise): (usize, &f64)| {
            run(&format!("{name}{index}"), first + 2 * index, |run| {
                let times =
                    |p95: f64| json!({ "mean": p95 * 0.6, "p50": p95 * 0.5, "p95": p95, "p99": p95 * 1.3 });
                let step = |name: &str, p95: f64, failed: u64| {
                    json!({ "scenario": "browse", "step": name, "requests": 10_000, "failed": failed,
                        "throughput": (10_000 - failed) as f64 / 55.0, "response_time": times(p95 * noise) })
                };
                run["steps"] =
                    json!([step("list", 0.1 * slower, 1), step("buy", 0.2, failed + index as u64 % 2)]);
                change(index, run);
            })
        };
        noise.iter().enumerate().map(one).collect::<Vec<_>>()
    };
    let candidate = side("b", 1, 1.08, 40, |index, run| {
        run["run"]["version"] = json!("1.5.0");
        run["run"]["plan_hash"] = json!("77aa01");
        run["stages"][0]["to"] = json!(220.0);
        match index {
            4 => run["validity"] = json!({ "verdict": "suspect", "reasons": ["own CPU over 90% for 6 s"] }),
            5 => run["validity"] = json!({ "verdict": "invalid", "reasons": ["lag p99 of 90 ms"] }),
            _ => (),
        }
    });
    compare_runs(side("a", 0, 1.0, 0, |_, _| ()), candidate, Rule::default()).unwrap()
}

/// One run a side.
fn alone() -> Comparisons {
    compare_runs(vec![run("a", 0, |_| ())], vec![run("b", 1, |_| ())], Rule::default()).unwrap()
}

fn check_against_schema(found: &Comparisons) -> String {
    let value = comparison_json(found);
    let validator = jsonschema::draft202012::new(&comparison_schema()).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    format!("{:#}\n", fixture::rounded(&value))
}

#[test]
fn the_contract_stays_as_it_is() {
    fixture::golden("comparison.json", &check_against_schema(&some()));
    fixture::golden("comparison-equal.json", &check_against_schema(&equal()));
    fixture::golden("comparison-runs.json", &check_against_schema(&recorded()));
    check_against_schema(&alone());
}

#[test]
fn text_and_markdown_stay_as_they_were_read() {
    for (file, found) in [("comparison", some()), ("comparison-equal", equal())] {
        fixture::golden(&format!("{file}.txt"), &comparison_text("samples.csv", &found, &OPTIONS));
        fixture::golden(&format!("{file}.md"), &comparison_markdown("samples.csv", &found));
    }
    for (file, found) in [("comparison-runs", recorded()), ("comparison-alone", alone())] {
        fixture::golden(
            &format!("{file}.txt"),
            &comparison_text("version=1.5.0 against version=1.4.2", &found, &OPTIONS),
        );
        fixture::golden(
            &format!("{file}.md"),
            &comparison_markdown("version=1.5.0 against version=1.4.2", &found),
        );
    }
    let narrow = comparison_text("samples.csv", &some(), &Text { width: 50, ..OPTIONS });
    fixture::golden("comparison-narrow.txt", &narrow);
}

#[test]
fn colour_changes_nothing_else() {
    let coloured = comparison_text("samples.csv", &some(), &Text { color: true, ..OPTIONS });
    let mut plain = String::new();
    let mut parts = coloured.split("\u{1b}[");
    plain += parts.next().unwrap();
    parts.for_each(|part| plain += part.split_once('m').unwrap().1);
    assert_eq!(plain, comparison_text("samples.csv", &some(), &OPTIONS));
}

proptest! {
    #[test]
    fn whatever_the_values_there_is_an_answer(
        base in prop::collection::vec(prop_oneof![5 => 1.0..9.0_f64, 1 => prop::num::f64::NORMAL | prop::num::f64::ZERO], 1..9),
        candidate in prop::collection::vec(prop_oneof![5 => 1.0..9.0_f64, 1 => prop::num::f64::POSITIVE], 1..9),
        name in "[a-z\u{1b}\u{202e}|]{1,8}",
        width in 0..200_usize,
    ) {
        let candidate: Vec<f64> = candidate.into_iter().filter(|value| value.is_finite()).chain([1.0]).collect();
        let name = format!("\"x{name}\"");
        let found = read(&(rows(&name, "p95", "base", "", &base) + &rows(&name, "p95", "candidate", "", &candidate)));
        check_against_schema(&found);
        let text = comparison_text("a\u{1b}[2J", &found, &Text { width, ..OPTIONS });
        for form in [text, comparison_markdown("a\u{1b}[2J", &found)] {
            prop_assert!(!form.contains('\u{1b}') && !form.contains('\u{202e}') && !form.contains("NaN"), "{form}");
        }
    }
}
