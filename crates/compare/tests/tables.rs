//! Tables as people and tools write them, and as nobody should.

use plimsoll_compare::{Comparisons, Histories, HistoryRefusal, NotCompared, read_samples, read_series};
use plimsoll_data::Source;
use plimsoll_stats::{ChangeFloor, Direction, Refusal, Rule, Side, Verdict};
use proptest::prelude::*;

const HEAD: &str = "benchmark,metric,variant,run,value\n";

fn source(bytes: &[u8]) -> Source {
    Source::Memory(bytes.into())
}

fn compared(text: &str) -> Result<Comparisons, String> {
    let samples = read_samples(source(text.as_bytes())).map_err(|error| error.to_string())?;
    samples.compare(Rule::default(), &[]).map_err(|error| error.to_string())
}

fn searched(text: &str) -> Result<Histories, String> {
    read_series(source(text.as_bytes()), ChangeFloor::default()).map_err(|error| error.to_string())
}

/// Rows of a metric, one run of each value.
fn rows(metric: &str, variant: &str, values: &[f64]) -> String {
    let row = |(run, value): (usize, &f64)| format!("encode,{metric},{variant},{run},{value}\n");
    values.iter().enumerate().map(row).collect()
}

const STEADY: [f64; 5] = [10.0, 10.1, 9.95, 10.05, 10.0];
const SLOWER: [f64; 5] = [12.0, 12.1, 11.95, 12.05, 12.02];

fn verdict(found: &Comparisons, name: &str) -> Option<Verdict> {
    found.pairs.iter().find(|pair| pair.name() == name).and_then(|pair| Some(pair.judged()?.verdict))
}

#[test]
fn a_regression_an_improvement_and_no_change_are_told() {
    let mut text = HEAD.to_owned();
    for (metric, base, candidate) in [
        ("p95", STEADY, SLOWER),
        ("throughput", STEADY, SLOWER),
        ("p50", STEADY, STEADY.map(|value| value * 1.001)),
    ] {
        text += &rows(metric, "base", &base);
        text += &rows(metric, "candidate", &candidate);
    }
    let found = compared(&text).unwrap();
    assert_eq!(verdict(&found, "encode/p95"), Some(Verdict::Regression));
    assert_eq!(verdict(&found, "encode/throughput"), Some(Verdict::Improvement));
    assert!(matches!(verdict(&found, "encode/p50"), Some(Verdict::NoChange { .. })), "{found:?}");
    assert!(found.has_regression() && !found.is_undecided() && found.warnings.is_empty(), "{found:?}");
    assert_eq!(found.pairs[1].direction, Direction::HigherIsBetter);
}

#[test]
fn what_is_better_when_higher_may_be_said_and_has_to_exist() {
    let text = format!("{HEAD}{}{}", rows("score", "base", &STEADY), rows("score", "candidate", &SLOWER));
    let with = |higher: &str| {
        let samples = read_samples(source(text.as_bytes())).unwrap();
        samples.compare(Rule::default(), &[higher.to_owned()])
    };
    assert_eq!(verdict(&compared(&text).unwrap(), "encode/score"), Some(Verdict::Regression));
    assert_eq!(verdict(&with("score").unwrap(), "encode/score"), Some(Verdict::Improvement));
    let error = with("scores").unwrap_err().to_string();
    assert_eq!(error, "there is no metric `scores`; there are `score`");
}

#[test]
fn the_run_is_the_unit() {
    // A thousand values of two runs a side are two runs a side.
    let mut text = HEAD.to_owned();
    for (variant, level) in [("base", 10.0), ("candidate", 10.5)] {
        for run in 0..2 {
            for value in 0..500 {
                text += &format!(
                    "encode,p95,{variant},{run},{}\n",
                    level + f64::from(run) + f64::from(value % 7) / 100.0
                );
            }
        }
    }
    let found = compared(&text).unwrap();
    let [pair] = &found.pairs[..] else { panic!("{found:?}") };
    assert_eq!((pair.runs, pair.values), ((2, 2), (1000, 1000)));
    assert!(pair.is_undecided(), "{pair:?}");
}

#[test]
fn tables_are_written_in_many_ways() {
    let plain = format!("{HEAD}{}{}", rows("p95", "base", &STEADY), rows("p95", "candidate", &SLOWER));
    let expected = compared(&plain).unwrap();
    let quoted = plain.replace("encode", "\"encode\"").replace(",p95,", ", p95 ,");
    let turned: String =
        plain.lines().map(|line| line.rsplit(',').collect::<Vec<_>>().join(",") + "\n").collect();
    for text in [
        format!("\u{feff}{plain}"),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\n\n"),
        plain.trim_end().to_owned(),
        quoted,
        turned,
    ] {
        assert_eq!(compared(&text).unwrap(), expected, "{text}");
    }
    let named = plain.replace("encode", "\"a \"\"b\"\",\nc\"");
    assert_eq!(compared(&named).unwrap().pairs[0].benchmark, "a \"b\",\nc");
}

#[test]
fn mistakes_have_their_place() {
    let number =
        "write a finite number such as 12.5, with a point and no unit; leave a run without a value out";
    for (text, expected) in [
        ("", "it has no header line".to_owned()),
        (HEAD, "it has no rows".to_owned()),
        (
            "benchmark,metric,run,value\na,b,1,2\n",
            "the heading has no column `variant`: found `benchmark`, `metric`, `run`, `value`; allowed are \
             `benchmark`, `metric`, `variant`, `run`, `value`, and if known `unit`"
                .to_owned(),
        ),
        (&format!("{HEAD}a,b,base,1,NaN\n"), format!("line 2, column `value`: found `NaN`; {number}")),
        (&format!("{HEAD}a,b,base,1,\n"), format!("line 2, column `value`: found nothing; {number}")),
        (&format!("{HEAD}\r\n\"a\nb\",b,base,1,1\r\na,b,base,1,1ms\r\n"), format!("line 5, column `value`: found `1ms`; {number}")),
        (&format!("{HEAD}a,b,Base,1,1\n"), "line 2, column `variant`: found `Base`; write `base` or `candidate`".to_owned()),
        (&format!("{HEAD},b,base,1,1\n"), "line 2, column `benchmark`: found nothing; write the name of the benchmark".to_owned()),
        (&format!("{HEAD}a,b,base,1,1\na,b,base\n"), "line 3, column 1: the row has 3 values where the header has 5".to_owned()),
        // The first mistake is told, whoever finds it.
        (&format!("{HEAD}a,b,base,1,x\na,b,base\n"), format!("line 2, column `value`: found `x`; {number}")),
        (
            "benchmark,metric,variant,run,value,unit\na,b,base,1,1,ms\na,b,base,2,1,s\n",
            "line 3, column `unit`: found `s`; the samples before it on this side are in `ms`: one side has one unit".to_owned(),
        ),
    ] {
        assert_eq!(compared(text).unwrap_err(), expected, "{text}");
    }
    let error = read_samples(source(b"benchmark,metric,variant,run,value\na,b,base,1,\xff\n")).unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 12: this is not UTF-8");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let head = "benchmark,metric,variant,run,value,unit,note\n";
    let with_unit = |text: String, unit: &str| text.replace('\n', &format!(",{unit},\n"));
    let base = with_unit(rows("p95", "base", &STEADY), "ms");
    let other_unit =
        compared(&format!("{head}{base}{}", with_unit(rows("p95", "candidate", &SLOWER), "s"))).unwrap();
    assert!(
        matches!(other_unit.pairs[0].outcome, Err(NotCompared::Refused(Refusal::Units { .. }))),
        "{other_unit:?}"
    );
    assert_eq!(other_unit.warnings, ["columns that mean nothing here were passed over: `note`"]);
    for (values, expected) in [
        (
            &[12.0][..],
            "candidate has 1 run(s), at least 2 are needed: one run does not say how much runs differ",
        ),
        (
            &[12.0, 0.0],
            "run 2 of candidate has the value 0, only values above 0 have ratios: compare counts of failures as counts",
        ),
        (
            &[12.0, -1.0],
            "run 2 of candidate has the value -1, only values above 0 have ratios: compare counts of failures as counts",
        ),
    ] {
        let found =
            compared(&format!("{HEAD}{}{}", rows("p95", "base", &STEADY), rows("p95", "candidate", values)))
                .unwrap();
        let error = found.pairs[0].outcome.clone().unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(found.is_undecided() && !found.has_regression());
    }
}

#[test]
fn what_one_side_lacks_is_told_first() {
    let nothing = format!("{HEAD}{}{}", rows("p95", "base", &STEADY), rows("p50", "candidate", &STEADY));
    assert_eq!(
        compared(&nothing).unwrap_err(),
        "base and candidate have no benchmark with a metric in common: base has `encode/p95`, candidate has `encode/p50`"
    );
    assert_eq!(
        compared(&format!("{HEAD}{}", rows("p50", "candidate", &STEADY))).unwrap_err(),
        "base and candidate have no benchmark with a metric in common: base has nothing, candidate has `encode/p50`"
    );
    let found =
        compared(&format!("{nothing}{}{}", rows("p99", "base", &STEADY), rows("p99", "candidate", &SLOWER)))
            .unwrap();
    assert_eq!(
        found.warnings,
        [
            "candidate has no runs of `encode/p95`: it was removed, or it failed",
            "base has no runs of `encode/p50`: it is new"
        ]
    );
    let outcomes: Vec<_> = found.pairs[..2].iter().map(|pair| pair.outcome.clone().unwrap_err()).collect();
    assert_eq!(outcomes, [NotCompared::Missing(Side::Candidate), NotCompared::Missing(Side::Base)]);
    assert!(found.pairs[0].is_undecided() && !found.pairs[1].is_undecided());
    assert!(found.pairs[2].is_regression());
}

#[test]
fn equal_sides_are_no_change_and_copies_are_noticed() {
    let both = |values: &[f64]| {
        compared(&format!("{HEAD}{}{}", rows("p95", "base", values), rows("p95", "candidate", values)))
            .unwrap()
    };
    let zeros = both(&[0.0, 0.0, 0.0]);
    assert_eq!(verdict(&zeros, &zeros.pairs[0].name()), Some(Verdict::NoChange { within: 0.0 }));
    assert!(zeros.warnings.is_empty());
    let copied = both(&STEADY);
    assert!(matches!(verdict(&copied, &copied.pairs[0].name()), Some(Verdict::NoChange { .. })));
    assert_eq!(
        copied.warnings,
        ["both sides have the very same values of `encode/p95`: were the same runs given twice?"]
    );
}

#[test]
fn a_million_rows_are_read() {
    let mut text = HEAD.to_owned();
    for row in 0..1_000_000 {
        let variant = if row % 2 == 0 { "base" } else { "candidate" };
        text += &format!("b{},p95,{variant},{},{}\n", row / 2 % 50, row / 100_000, 10 + row % 7);
    }
    let found = compared(&text).unwrap();
    assert_eq!(found.pairs.len(), 50);
    assert_eq!(found.pairs.iter().map(|pair| pair.values.0 + pair.values.1).sum::<usize>(), 1_000_000);
}

#[test]
fn a_history_has_its_changes() {
    let mut text = "series,time,value\n".to_owned();
    for index in 0..60 {
        let level = if index < 40 { 100.0 } else { 120.0 };
        text += &format!("latency,{index},{}\n", level + f64::from(index % 5) / 2.0);
    }
    let found = searched(&text).unwrap();
    let changes = found.series[0].outcome.as_ref().unwrap();
    assert_eq!(changes.points.iter().map(|point| point.index).collect::<Vec<_>>(), [40]);
    assert!((changes.points[0].change.unwrap() - 0.2).abs() < 0.01, "{changes:?}");
    assert_eq!((found.changes(), found.is_undecided(), found.warnings.len()), (1, false, 0));
}

#[test]
fn clocks_that_run_backwards_are_put_right_and_told() {
    let forwards: Vec<String> =
        (10..40).map(|day| format!("a,{},{}\n", 86_400 * day, if day < 25 { 1.0 } else { 2.0 })).collect();
    let head = "series,time,value\n";
    let expected = searched(&format!("{head}{}", forwards.concat())).unwrap();
    assert_eq!(expected.changes(), 1);
    let backwards: Vec<String> = forwards.iter().rev().cloned().collect();
    let found = searched(&format!("{head}{}", backwards.concat())).unwrap();
    assert_eq!(found.series, expected.series);
    assert_eq!(
        found.warnings,
        ["`a`: time runs backwards 29 time(s), first in line 3; values were put in the order of their time"]
    );
}

#[test]
fn gaps_and_equal_times_are_told() {
    let found = searched("series,time,value\na,1,5\na,1,6\na,2,\na,3,NaN\n").unwrap();
    assert_eq!(
        found.warnings,
        [
            "`a`: 2 row(s) without a value are gaps",
            "`a`: 1 value(s) have the time of the one before and stay in the order of the table"
        ]
    );
    assert_eq!(found.series[0].outcome, Err(HistoryRefusal::TooShort { found: 2 }));
    assert!(found.is_undecided());
}

#[test]
fn mistakes_of_a_history_have_their_place() {
    let head = "series,time,value\n";
    for (rows, expected) in [
        (
            "a,yesterday,1\n",
            "line 2, column `time`: found `yesterday`; write RFC 3339 such as 2026-11-23T20:00:00Z, a date, Unix seconds or an index",
        ),
        (
            "a,1,1\nb,2026-01-01,1\na,2026-01-01,1\n",
            "line 4, column `time`: found `2026-01-01`; the value before it in this series has the time `1`: \
             write all times of a series as moments, or all as numbers",
        ),
        (
            "a,1,fast\n",
            "line 2, column `value`: found `fast`; write a finite number such as 12.5, with a point and no unit, or nothing for a gap",
        ),
        (",1,1\n", "line 2, column `series`: found nothing; write the name of the series"),
    ] {
        assert_eq!(searched(&format!("{head}{rows}")).unwrap_err(), expected, "{rows}");
    }
}

#[test]
fn a_recording_is_no_history() {
    let mut text = "series,time,value\n".to_owned();
    for index in 0..=plimsoll_compare::MOST_VALUES {
        text += &format!("a,{index},{}\n", index % 3);
    }
    let found = searched(&text).unwrap();
    let too_long = HistoryRefusal::TooLong { found: plimsoll_compare::MOST_VALUES + 1 };
    assert_eq!(found.series[0].outcome, Err(too_long));
}

fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]",
        4 => "[0-9]{1,3}(\\.[0-9])?",
        1 => "-?[0-9]{1,3}e-?[0-9]{1,3}",
        2 => Just("base".to_owned()),
        2 => Just("candidate".to_owned()),
        1 => Just("NaN".to_owned()),
        1 => "2026-0[1-9]-[0-3][0-9](T[0-2][0-9]:00:00Z)?",
        1 => any::<String>(),
    ]
}

/// Rows that are nearly right, so that they come far.
fn samples() -> impl Strategy<Value = String> {
    let value = prop_oneof![9 => (1..99_u32).prop_map(|value| value.to_string()), 1 => (-1e300..1e300_f64).prop_map(|value| value.to_string()), 1 => cell()];
    let row = ("[ab]", "(p95|throughput)", "(base|candidate)", 0..5_u8, value);
    let row = row.prop_map(|(benchmark, metric, variant, run, value)| {
        format!("{benchmark},{metric},{variant},{run},{value}\n")
    });
    prop::collection::vec(row, 0..60).prop_map(|rows| format!("{HEAD}{}", rows.concat()))
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_samples(source(&bytes));
        let _ = read_series(source(&bytes), ChangeFloor::default());
    }

    #[test]
    fn no_cells_make_reading_panic(rows in prop::collection::vec(prop::collection::vec(cell(), 3..6), 0..30)) {
        let body: String = rows.iter().map(|row| row.join(",") + "\n").collect();
        for text in [format!("{HEAD}{body}"), format!("series,time,value\n{body}")] {
            if let Err(error) = compared(&text) {
                prop_assert!(!error.is_empty() && !error.chars().any(char::is_control), "{error:?}");
            }
            let _ = searched(&text);
        }
    }

    #[test]
    fn every_pair_has_a_verdict_or_a_reason(text in samples()) {
        let Ok(found) = compared(&text) else { return Ok(()) };
        prop_assert!(!found.pairs.is_empty());
        for pair in &found.pairs {
            match &pair.outcome {
                Ok(_) => {
                    let judged = pair.judged().unwrap();
                    let comparison = judged.comparison;
                    prop_assert!(!comparison.change.is_nan() && !comparison.interval.low.is_nan(), "{pair:?}");
                    prop_assert!((0.0..=1.0).contains(&judged.p_adjusted) && comparison.p <= judged.p_adjusted, "{pair:?}");
                    prop_assert_eq!(pair.is_regression(), pair.severity().is_some());
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
