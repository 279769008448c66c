//! What was learnt of the machine, for those who ask for nothing else.

use std::fmt::Write;

use plimsoll_run::{Calibration, Floor, Shape};
use serde_json::{Value, json};

use crate::words;

/// Columns of the longest bar.
const BAR: usize = 40;

const KEPT: &str = "kept rate";

/// The figures of a calibration as JSON.
pub fn calibration_json(calibration: &Calibration) -> Value {
    json!({
        "rate": calibration.rate,
        "service_time": floor(&calibration.service_time),
        "schedule_lag": floor(&calibration.schedule_lag),
        "connections": calibration.connections,
        "highest_rate": calibration.highest_rate,
        "kept_rate": calibration.kept_rate,
    })
}

fn floor(floor: &Floor) -> Value {
    let Floor { count, p50, p90, p95, p99, p99_9, max } = floor;
    json!({ "count": count, "p50": p50, "p90": p90, "p95": p95, "p99": p99, "p99_9": p99_9, "max": max })
}

/// The same for people: the noise floor as a table, rates as bars. It takes the highest rate that is kept as looked for.
pub fn calibration_text(calibration: &Calibration, shape: &Shape) -> String {
    let mut text = format!("{}  on this machine, against a bare target\n\n", words::plain(&shape.plan));
    let mut row = |name: &str, cells: [String; 6]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>9}")).collect();
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", format!("{name:<14}{cells}").trim_end());
    };
    row("", ["p50", "p90", "p95", "p99", "p99.9", "max"].map(str::to_owned));
    row("noise floor", cells(&calibration.service_time));
    row("schedule lag", cells(&calibration.schedule_lag));
    let _ = writeln!(
        text,
        "at {} iterations/s; every figure of a run contains this, and nothing subtracts it\n",
        words::significant(calibration.rate)
    );
    let asked = Some(shape.peak_rate()).filter(|rate| *rate > 0.0);
    let rates = [
        ("highest rate", Some(calibration.highest_rate), "one after the other on each connection"),
        (KEPT, calibration.kept_rate, "schedule lag p99 at most 1 ms"),
        ("asked for", asked, "the plan's peak"),
    ];
    let longest = rates.iter().filter_map(|(_, rate, _)| *rate).fold(0.0, f64::max);
    for (name, rate, what) in rates {
        let Some(rate) = rate else {
            if name == KEPT {
                let _ = writeln!(
                    text,
                    "{name:<14}{:>11}  schedule lag p99 over 1 ms at each that was tried",
                    "none"
                );
            }
            continue;
        };
        let bar = "█".repeat(((rate / longest * BAR as f64).round() as usize).clamp(1, BAR));
        let _ = writeln!(text, "{name:<14}{:>11}  {bar:<BAR$}  {what}", words::rate(Some(rate)));
    }
    if let Some(shortfall) = calibration.shortfall(shape) {
        let _ = writeln!(text, "\n{shortfall}");
    }
    text
}

fn cells(floor: &Floor) -> [String; 6] {
    let Floor { p50, p90, p95, p99, p99_9, max, .. } = *floor;
    [p50, p90, p95, p99, p99_9, max].map(words::seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_text_stays_as_it_was_read() {
        let run = fixture::run();
        let calibration = run.started.calibration.clone().unwrap();
        fixture::golden("calibration.txt", &calibration_text(&calibration, &run.started.shape));
        let too_much = Calibration { highest_rate: 50.0, kept_rate: None, ..calibration };
        let text = calibration_text(&too_much, &run.started.shape);
        assert!(
            text.contains("kept rate            none  schedule lag")
                && text.contains("expect an invalid run"),
            "{text}"
        );
    }
}
