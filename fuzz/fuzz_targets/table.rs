//! No table of points makes reading it or answering from it panic, and no answer has a figure that is none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_capacity::{Earlier, Question, answer, read_table};

/// More points only take longer.
const POINTS: usize = 24;

fuzz_target!(|text: &str| {
    let Ok(table) = read_table(text, &[]) else { return };
    let mut runs = table.runs;
    let count: usize = runs.iter().map(|run| run.points.points().len()).sum();
    assert!(runs.iter().all(|run| !run.points.points().is_empty()), "a run without points");
    if count > POINTS {
        return;
    }
    let Some(last) = runs.pop() else { return };
    let history = runs.into_iter().map(|run| Earlier { name: run.name.unwrap_or_default(), points: run.points });
    let question = Question { history: history.collect(), predict: vec![64.0], ..Question::new(last.points) };
    let found = answer(&question);
    match found.peak {
        Some(peak) => assert!(
            peak.low <= peak.throughput && peak.throughput <= peak.high && peak.high.is_finite() && peak.load.is_finite(),
            "{peak:?}"
        ),
        None => assert!(found.refusals.iter().any(|refusal| refusal.about == "peak"), "no peak, and no reason"),
    }
});
