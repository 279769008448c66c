//! How good the answers of `plimsoll capacity` are, beside what they have to be.
//!
//! The trials themselves stand with the crate's tests, which hold them to bounds; here they are told.

use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use super::chart::{Bar, Chart, Kind};
use super::programs::{Programs, remove};
use super::table::{Table, figure};
use super::{Arguments, document};
use crate::command::{cargo, read, run};

const FILE: &str = "docs/capacity.md";

/// Runs the trials, prints the table and, when asked to, writes it into the guide.
pub(super) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let trials = ["run", "--quiet", "--release", "-p", "plimsoll-capacity", "--example", "accuracy"];
    let printed = read(cargo().args(trials))?;
    let mut scores = printed.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    scores.push(json!({ "name": "year", "seconds": year(arguments.no_build)? }));
    let scores = Scores(scores);
    let table = table(&scores)?;
    println!("{}", table.markdown());
    if arguments.write {
        let chart = chart(&scores)?;
        document::write_image(chart.file, &chart.svg())?;
        let section = format!("{}\n![{}](images/{})\n", table.markdown(), chart.title, chart.file);
        document::write(FILE, "capacity", &section)?;
    }
    Ok(())
}

/// Seconds until `plimsoll capacity` has reported on a year of hourly runs; the median of three.
fn year(no_build: bool) -> anyhow::Result<f64> {
    let programs = if no_build { Programs::built()? } else { Programs::build()? };
    let [history, report] = ["year.db", "year.html"].map(|name| programs.folder.join(name));
    for suffix in ["", "-wal", "-shm"] {
        remove(&programs.folder.join(format!("year.db{suffix}")))?;
    }
    let example = ["run", "--quiet", "--release", "-p", "plimsoll-history", "--example", "year", "--"];
    run(cargo().args(example).arg(&history))?;
    let mut took = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let mut command = Command::new(&programs.plimsoll);
        command.args(["capacity", "--plan", "year", "--runs", "8760", "--history"]).arg(&history);
        read(command.arg("--report").arg(&report))?;
        took.push(begun.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    Ok(took[1])
}

struct Scores(Vec<Value>);

impl Scores {
    fn of(&self, name: &str) -> anyhow::Result<&Value> {
        let found = self.0.iter().find(|score| score["name"] == name);
        found.with_context(|| format!("the trials have no score `{name}`"))
    }
}

fn table(scores: &Scores) -> anyhow::Result<Table> {
    let mut table = Table::new(&[
        "what",
        "asked",
        "answered",
        "mean accuracy",
        "median error",
        "within 5%",
        "within 10%",
        "90% interval holds",
        "target",
    ]);
    let history = "mean 98.2%, median 0.5%, 92% within 5%, 60% answered";
    let limit = "median under 5%, 90% within 10%, 85 to 95% held";
    let mut rows = vec![
        ("history i7".to_owned(), "peak from three levels and the version before, i7".to_owned(), history),
        ("history ec2".to_owned(), "the same, ec2".to_owned(), ""),
        ("history all".to_owned(), "the same, all hardware".to_owned(), "stated"),
        ("last peak all".to_owned(), "the last version's peak alone".to_owned(), ""),
        ("three levels all".to_owned(), "the best of the three levels alone".to_owned(), ""),
        (
            "one run i7 up to 15%".to_owned(),
            "peak from one run, last doubling up to 15%, i7".to_owned(),
            "mean over 97%",
        ),
        ("one run all up to 15%".to_owned(), "the same, all hardware".to_owned(), "mean over 97%"),
        ("one run all over 15%".to_owned(), "one run, last doubling over 15%".to_owned(), "no number"),
    ];
    const SHAPES: [&str; 4] = ["contention", "coherency", "saturation", "pool limit"];
    for shape in SHAPES {
        for noise in ["0.3%", "1%", "2%"] {
            rows.push((
                format!("simulated {shape} {noise} load"),
                format!("simulated {shape}, {noise} noise, users up to 60% of the peak's"),
                if noise == "1%" { limit } else { "" },
            ));
        }
    }
    for (reading, words) in [
        ("throughput", "users up to 60% of the peak's throughput"),
        ("rate", "rates up to 60% of the peak's throughput"),
    ] {
        for shape in SHAPES {
            rows.push((
                format!("simulated {shape} 1% {reading}"),
                format!("simulated {shape}, 1% noise, {words}"),
                "85 to 95% held",
            ));
        }
    }
    let percent = |value: f64| format!("{:.1}%", value * 100.0);
    for (name, words, target) in rows {
        let score = scores.of(&name)?;
        let cell = |key: &str| figure(score[key].as_f64(), percent);
        // What was said without an interval has none that could hold.
        let coverage = if name.starts_with("last") || name.starts_with("three") {
            figure(None, percent)
        } else {
            cell("coverage")
        };
        table.row([
            words,
            format!("{:.0}", score["asked"].as_f64().unwrap_or_default()),
            cell("answered"),
            cell("mean_accuracy"),
            cell("median_error"),
            cell("within_5"),
            cell("within_10"),
            coverage,
            target.to_owned(),
        ]);
    }
    for (name, words, target) in [
        ("speed", "10,000 points fitted and drawn again", "under 1 s"),
        ("year", "a report over a year of hourly runs", "under 5 s"),
    ] {
        let seconds = scores.of(name)?["seconds"].as_f64();
        let seconds = figure(seconds, |seconds| format!("{seconds:.2} s"));
        let cells = [words.to_owned(), seconds].into_iter().chain(std::iter::repeat_n(String::new(), 6));
        table.row(cells.chain([target.to_owned()]));
    }
    Ok(table)
}

fn chart(scores: &Scores) -> anyhow::Result<Chart> {
    let bar = |score: &str, name: &str, kind| {
        let accuracy = scores.of(score)?["mean_accuracy"].as_f64().context("a score without answers")?;
        let value = 1.0 - accuracy;
        anyhow::Ok(Bar { name: name.to_owned(), value, label: format!("{:.1}%", value * 100.0), kind })
    };
    let bars = vec![
        bar("history all", "three levels and history", Kind::Ours)?,
        bar("last peak all", "last version's peak", Kind::Measured)?,
        bar("three levels all", "best of three levels", Kind::Measured)?,
        bar("one run all up to 15%", "one run that flattens", Kind::Ours)?,
    ];
    Ok(Chart { title: "Mean error of the peak on published curves", file: "bench-capacity.svg", bars })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_that_is_missing_is_named() {
        let scores = Scores(vec![serde_json::json!({ "name": "history i7", "asked": 2 })]);
        assert!(scores.of("history i7").is_ok());
        let error = table(&scores).unwrap_err().to_string();
        assert_eq!(error, "the trials have no score `history ec2`");
    }
}
