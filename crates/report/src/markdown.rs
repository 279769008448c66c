//! A run as Markdown, for a merge request or a chat: tables that GitHub and GitLab render.

use std::fmt::Write;

use plimsoll_measure::{CloseReason, Intervals, Opening, Timing};
use plimsoll_units::ByteCount;

use crate::run::capital;
use crate::{Run, parts, words};

/// The run in GitHub-flavoured Markdown.
///
/// Texts of the plan and the target are escaped: a message with bars or asterisks stays a message.
pub fn markdown(run: &Run) -> String {
    let mut text = String::new();
    let summary = &run.summary;
    let _ = writeln!(
        text,
        "# {}: {}\n\n{} against {}, {}, {}, generator {}.\n",
        escaped(&summary.plan),
        words::verdict_word(run.verdict()),
        words::moment_for_people(summary.info.started_nanos),
        escaped(&summary.info.target),
        words::length(summary.duration_seconds),
        words::status_word(summary),
        summary.validity.verdict.label(),
    );
    for caveat in run.caveats() {
        let _ = writeln!(text, "> {}\n", escaped(&caveat));
    }
    objectives(&mut text, run);
    next_steps(&mut text, run);
    figures(&mut text, run);
    latencies(&mut text, run);
    steps(&mut text, run);
    groups(&mut text, run);
    checks(&mut text, run);
    errors(&mut text, run);
    slowest(&mut text, run);
    addresses(&mut text, run);
    connections(&mut text, run);
    values(&mut text, run);
    resources(&mut text, run);
    profiles(&mut text, run);
    steered(&mut text, run);
    alerts(&mut text, run);
    notes(&mut text, run);
    facts(&mut text, run);
    text
}

fn objectives(text: &mut String, run: &Run) {
    let rows: Vec<_> = run
        .summary
        .objectives
        .iter()
        .map(|objective| {
            let judgement = &objective.judgement;
            vec![
                escaped(&objective.name),
                code(&objective.text),
                objective.severity.label().to_owned(),
                format!("**{}**", judgement.verdict.label()),
                words::figure(objective, judgement.observed),
                words::figure(objective, judgement.target),
                escaped(&judgement.why),
            ]
        })
        .collect();
    let columns = ["Objective", "Promise", "Severity", "Verdict", "Observed", "Target", "Why"];
    table(text, "Objectives", &columns, 4..6, &rows);
}

fn next_steps(text: &mut String, run: &Run) {
    let found = crate::recommendations(&run.summary);
    let rows =
        found.iter().map(|one| vec![escaped(&one.seen), one.likely.label().to_owned(), escaped(&one.next)]);
    table(text, "What to do next", &["Seen", "Likely", "Next"], 0..0, &rows.collect::<Vec<_>>());
}

fn groups(text: &mut String, run: &Run) {
    let rows = crate::groups::rows(&run.summary);
    let rows: Vec<Vec<_>> =
        rows.iter().map(|cells| cells.iter().map(|cell| escaped(cell)).collect()).collect();
    table(text, "Groups of steps", &crate::groups::COLUMNS, 2..9, &rows);
}

fn checks(text: &mut String, run: &Run) {
    let rows = crate::checks::rows(&run.summary);
    let rows: Vec<Vec<_>> =
        rows.iter().map(|cells| cells.iter().map(|cell| escaped(cell)).collect()).collect();
    table(text, "Checks", &crate::checks::COLUMNS, 3..6, &rows);
}

fn values(text: &mut String, run: &Run) {
    let rows = crate::values::rows(&run.summary);
    let rows: Vec<Vec<_>> =
        rows.iter().map(|cells| cells.iter().map(|cell| escaped(cell)).collect()).collect();
    table(text, "Values from replies", &crate::values::COLUMNS, 2..5, &rows);
}

fn resources(text: &mut String, run: &Run) {
    let summary = &run.summary;
    let row = |figure: &plimsoll_run::ResourceSummary| {
        let amounts = [figure.mean, figure.peak].map(|value| crate::resources::amount(figure.unit, value));
        let [mean, peak] = amounts;
        vec![escaped(&figure.name), escaped(&figure.source), mean, peak]
    };
    let rows: Vec<_> = summary.resources.iter().map(row).collect();
    table(text, "Resources", &["Resource", "Source", "Mean", "Peak"], 2..4, &rows);
    for found in crate::findings::sentences(summary) {
        let _ = writeln!(text, "{}.\n", escaped(&capital(&found)));
    }
    for trouble in crate::resources::troubles(summary) {
        let _ = writeln!(text, "{}.\n", escaped(&capital(&trouble)));
    }
}

fn figures(text: &mut String, run: &Run) {
    let totals = &run.summary.totals;
    let rows = [
        ("Requests", words::count(totals.requests), words::rate(totals.request_rate)),
        ("Succeeded", words::count(totals.succeeded), words::rate(totals.throughput)),
        ("Failed", words::count(totals.failed), words::ratio(totals.error_ratio)),
        ("Dropped arrivals", words::count(totals.dropped), words::ratio(totals.dropped_ratio)),
        ("Cut", words::count(totals.cut), String::new()),
        ("Received", ByteCount(totals.received_bytes).to_string(), String::new()),
        ("Sent", ByteCount(totals.sent_bytes).to_string(), String::new()),
    ];
    let rows: Vec<_> = rows.map(|(name, count, rate)| vec![name.to_owned(), count, rate]).into();
    table(text, "Figures", &["", "Count", "Rate or share"], 1..3, &rows);
}

fn latencies(text: &mut String, run: &Run) {
    let row = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let rows: Vec<_> = [Timing::ResponseTime, Timing::ServiceTime]
        .into_iter()
        .filter_map(|timing| Some((timing, run.summary.timings.get(&timing)?)))
        .flat_map(|(timing, figures)| {
            let values = [figures.p50, figures.p90, figures.p95, figures.p99, figures.p99_9, figures.max];
            let Intervals { p50, p90, p95, p99, p99_9, .. } = figures.intervals;
            let within = [p50, p90, p95, p99, p99_9].map(words::interval);
            [
                row(&timing.name().replace('_', " "), &mut values.map(words::seconds).into_iter()),
                row("95% within", &mut within.into_iter().chain([String::new()])),
            ]
        })
        .collect();
    table(text, "Latency", &["", "p50", "p90", "p95", "p99", "p99.9", "Max"], 1..7, &rows);
    if let Some(calibration) = &run.started.calibration {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}.\n", escaped(&capital(&calibration.floor())));
    }
}

fn steps(text: &mut String, run: &Run) {
    let rows: Vec<_> = run
        .summary
        .steps
        .iter()
        .map(|step| {
            vec![
                escaped(&step.step),
                escaped(&step.scenario),
                words::count(step.requests),
                words::count(step.failed),
                words::rate(step.throughput),
                words::seconds(step.response_time.p50),
                words::seconds(step.response_time.p95),
                words::seconds(step.response_time.p99),
            ]
        })
        .collect();
    let columns = ["Step", "Scenario", "Requests", "Failed", "Throughput", "p50", "p95", "p99"];
    table(text, "Steps", &columns, 2..8, &rows);
}

fn errors(text: &mut String, run: &Run) {
    let mut rows = Vec::new();
    for kind in &run.summary.errors {
        let most = kind.samples.first();
        rows.push(vec![
            kind.outcome.label().replace('_', " "),
            words::count(kind.count),
            most.map_or_else(String::new, |sample| escaped(run.step_of(sample))),
            most.map_or_else(String::new, |sample| escaped(&sample.message)),
        ]);
    }
    table(text, "Errors", &["Kind", "Requests", "Step", "Most often"], 1..2, &rows);
}

/// The slowest request of each step, and what it spent its time on.
fn slowest(text: &mut String, run: &Run) {
    let mut rows = Vec::new();
    for step in &run.summary.steps {
        let Some(request) = step.slowest.first() else { continue };
        let seconds = |nanos: u64| words::seconds(Some(nanos as f64 / 1e9));
        let mut row = vec![
            escaped(&step.step),
            words::offset(request.sample.due as f64 / 1e9),
            seconds(request.response_time()),
        ];
        row.extend(parts::parts(&request.sample).map(|part| seconds(part.nanos)));
        row.push(parts::ending(request));
        rows.push(row);
    }
    let columns = ["Step", "Due", "Response", "Lag", "Wait", "First byte", "Body", "Ended"];
    table(text, "Slowest requests", &columns, 1..7, &rows);
}

fn addresses(text: &mut String, run: &Run) {
    let rows: Vec<_> = run
        .summary
        .addresses
        .iter()
        .map(|address| {
            vec![
                escaped(&address.address),
                address.weight.to_string(),
                words::count(address.requests),
                words::ratio(address.share),
                words::count(address.failed),
                words::seconds(address.response_time.p50),
                words::seconds(address.response_time.p99),
            ]
        })
        .collect();
    let columns = ["Address", "Weight", "Requests", "Share", "Failed", "p50", "p99"];
    table(text, "Addresses", &columns, 1..7, &rows);
}

fn connections(text: &mut String, run: &Run) {
    let figures = &run.summary.connections;
    if figures.is_empty() {
        return;
    }
    let count = |name: &str, count: u64| vec![name.to_owned(), words::count(count)];
    let mut rows = vec![
        vec!["opened".to_owned(), words::opened(figures)],
        count("not opened", figures.opened(Opening::Failed)),
        vec!["requests that went over a used one".to_owned(), words::ratio(figures.reuse_ratio())],
    ];
    let closed = CloseReason::ALL.into_iter().filter(|reason| figures.closed(*reason) > 0);
    rows.extend(
        closed
            .map(|reason| count(&format!("closed {}", words::close_reason(reason)), figures.closed(reason))),
    );
    table(text, "Connections", &["", "Count or share"], 1..2, &rows);
}

fn profiles(text: &mut String, run: &Run) {
    let cells = crate::profiles::cells(&run.summary);
    let rows: Vec<Vec<_>> =
        cells.iter().map(|cells| cells.iter().map(|cell| escaped(cell)).collect()).collect();
    table(text, "Profiles", &crate::profiles::COLUMNS, 2..6, &rows);
    for taken in &run.summary.profiles {
        let about = format!("{} {}", taken.words(), crate::profiles::about(taken));
        let _ = writeln!(text, "Profile of {}.\n", escaped(&about));
    }
}

/// How the load was made other than planned.
fn steered(text: &mut String, run: &Run) {
    let cells = crate::steered::rows(&run.summary);
    let rows: Vec<Vec<_>> = cells.map(|cells| cells.iter().map(|cell| escaped(cell)).collect()).collect();
    table(text, "Steered", &crate::steered::COLUMNS, 0..1, &rows);
    if let Some(more) = crate::steered::left_out(&run.summary) {
        let _ = writeln!(text, "{more}.\n");
    }
}

/// What others told meanwhile.
fn alerts(text: &mut String, run: &Run) {
    let cells = crate::alerts::rows(run);
    let rows: Vec<Vec<_>> = cells.map(|cells| cells.iter().map(|cell| escaped(cell)).collect()).collect();
    table(text, crate::alerts::HEADING, &crate::alerts::COLUMNS, 0..0, &rows);
    if let Some(more) = crate::alerts::left_out(run) {
        let _ = writeln!(text, "{more}.\n");
    }
}

/// What a reader has to know of how the run went, like what of a log was not replayed.
fn notes(text: &mut String, run: &Run) {
    if run.summary.notes.is_empty() {
        return;
    }
    text.push_str("## Notes\n\n");
    for note in &run.summary.notes {
        let at = words::offset(note.at as f64 / 1e9);
        let _ = writeln!(text, "- {at} {}", escaped(&note.text));
    }
    text.push('\n');
}

fn facts(text: &mut String, run: &Run) {
    let info = &run.summary.info;
    let _ = write!(
        text,
        "Run {}, plan hash {}, seed {}",
        code(&info.id),
        code(&run.summary.plan_hash),
        info.seed
    );
    for (word, value) in [("version", &info.version), ("environment", &info.environment)] {
        if let Some(value) = value {
            let _ = write!(text, ", {word} {}", escaped(value));
        }
    }
    let _ = writeln!(text, ", on {}, Plimsoll {}.", escaped(&info.machine.host), escaped(&info.plimsoll));
}

/// A table with a heading, or nothing without rows; `numeric` columns stand to the right.
pub(crate) fn table(
    text: &mut String,
    heading: &str,
    columns: &[&str],
    numeric: std::ops::Range<usize>,
    rows: &[Vec<String>],
) {
    if rows.is_empty() {
        return;
    }
    let rule: Vec<_> =
        (0..columns.len()).map(|index| if numeric.contains(&index) { "---:" } else { "---" }).collect();
    let _ = writeln!(text, "## {heading}\n\n| {} |\n| {} |", columns.join(" | "), rule.join(" | "));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
}

/// One line of text that Markdown and the HTML in it leave alone.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in words::plain(text).chars() {
        if "\\`*_[]<>&#|~!@".contains(c) {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

/// A code span. Within one only the backtick and, in a table, the bar mean anything.
fn code(text: &str) -> String {
    format!("`{}`", words::plain(text).replace('`', "'").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_text_stays_as_it_was_read() {
        fixture::golden("report.md", &markdown(&fixture::run()));
    }

    #[test]
    fn a_run_without_data_says_so() {
        let text = markdown(&fixture::nothing());
        assert!(text.contains("no critical objectives") && text.contains("running"), "{text}");
        assert!(text.contains("| response time | – | – |"), "{text}");
    }

    #[test]
    fn a_message_cannot_leave_its_cell() {
        let text = markdown(&fixture::hostile("a | b\n# c <img> `d` [e](f)"));
        assert!(!text.contains("\n# c") && text.contains("\\<img\\>"), "{text}");
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        for table in text.split("\n\n").filter(|block| block.starts_with('|')) {
            let head = table.lines().next().map(bars);
            assert!(table.lines().all(|row| Some(bars(row)) == head), "{table}");
        }
    }
}
