//! One run, in full.

use std::fmt::Display;

use plimsoll_measure::{Interval, LatencyFigures, Timing};
use plimsoll_run::Summary;
use plimsoll_sla::Verdict;
use plimsoll_units::ByteCount;

use super::{Page, measured, plots};
use crate::run::capital;
use crate::{Run, resources, words};

pub(super) fn article(page: &mut Page, run: &Run) {
    page.put("<article>\n", &[]);
    banner(page, run);
    key_figures(page, &run.summary);
    objectives(page, &run.summary);
    next_steps(page, &run.summary);
    charts(page, run);
    latencies(page, run);
    stages(page, run);
    steps(page, &run.summary);
    scenarios(page, &run.summary);
    crate::groups::section(page, &run.summary);
    crate::checks::section(page, &run.summary);
    errors(page, run);
    measured::kept(page, run);
    measured::addresses(page, &run.summary);
    measured::connections(page, &run.summary);
    crate::values::section(page, &run.summary);
    resources::section(page, &run.summary);
    crate::profiles::section(page, &run.summary);
    phases(page, &run.summary);
    validity(page, &run.summary);
    exports(page, &run.summary);
    samples(page, &run.summary);
    steered(page, &run.summary);
    alerts(page, run);
    notes(page, &run.summary);
    facts(page, run);
    page.put("</article>\n", &[]);
}

fn banner(page: &mut Page, run: &Run) {
    let summary = &run.summary;
    let verdict = run.verdict();
    page.put(
        "<header class=\"banner {}\"><div><p class=\"brow\">Load test report</p><h1>{}</h1>",
        &[&verdict_class(verdict), &summary.plan],
    );
    page.put(
        "<p>{} against {}, {}, {}</p></div>",
        &[
            &words::moment_for_people(summary.info.started_nanos),
            &summary.info.target,
            &words::length(summary.duration_seconds),
            &words::status_word(summary),
        ],
    );
    page.put("<p class=\"verdict\"><b>{}</b>", &[&words::verdict_word(verdict)]);
    let validity = summary.validity.verdict.label();
    page.put("<span class=\"validity {}\">generator {}</span></p>", &[&validity, &validity]);
    for caveat in run.caveats() {
        page.put("<p class=\"caveat\">{}</p>", &[&caveat]);
    }
    page.put("</header>\n", &[]);
}

/// What to do next about what was found.
fn next_steps(page: &mut Page, summary: &Summary) {
    let found = crate::recommendations(summary);
    if found.is_empty() {
        return;
    }
    table(page, "What to do next", &["Seen", "Likely", "Next"], &[], |page| {
        for one in &found {
            page.put(
                "<tr><td class=\"why\">{}</td><td>{}</td><td class=\"why\">{}</td></tr>\n",
                &[&one.seen, &one.likely.label(), &one.next],
            );
        }
    });
}

fn key_figures(page: &mut Page, summary: &Summary) {
    let totals = &summary.totals;
    let response = figures(summary, Timing::ResponseTime);
    page.put("<section aria-label=\"Key figures\"><dl class=\"key\">", &[]);
    for (name, value, beside) in [
        ("Requests", words::count(totals.requests), words::rate(totals.request_rate)),
        (
            "Throughput",
            words::rate(totals.throughput),
            format!("{} succeeded", words::count(totals.succeeded)),
        ),
        ("Error ratio", words::ratio(totals.error_ratio), format!("{} failed", words::count(totals.failed))),
        ("Median", words::seconds(response.p50), "response time".to_owned()),
        ("p95", words::seconds(response.p95), "response time".to_owned()),
        ("p99", words::seconds(response.p99), "response time".to_owned()),
        (
            "Dropped",
            words::count(totals.dropped),
            format!("{} of {} arrivals", words::ratio(totals.dropped_ratio), words::count(totals.arrivals)),
        ),
        ("Cut", words::count(totals.cut), "in flight at the end".to_owned()),
        (
            "Received",
            ByteCount(totals.received_bytes).to_string(),
            format!("{} sent", ByteCount(totals.sent_bytes)),
        ),
    ] {
        page.put("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>", &[&name, &value, &beside]);
    }
    page.put("</dl></section>\n", &[]);
}

fn objectives(page: &mut Page, summary: &Summary) {
    if summary.objectives.is_empty() {
        return;
    }
    let columns = ["Objective", "Verdict", "Observed", "Target", "Promise", "Why"];
    table(page, "Objectives", &columns, &[2, 3], |page| {
        for objective in &summary.objectives {
            let judgement = &objective.judgement;
            page.put(
                "<tr><th scope=\"row\">{}<small>{}</small></th>",
                &[&objective.name, &objective.severity.label()],
            );
            let verdict = judgement.verdict.label();
            page.put("<td><span class=\"mark {}\">{}</span></td>", &[&verdict, &verdict]);
            cells(page, &[judgement.observed, judgement.target].map(|value| words::figure(objective, value)));
            page.put(
                "<td><code>{}</code></td><td class=\"why\">{}</td></tr>",
                &[&objective.text, &judgement.why],
            );
        }
    });
}

fn charts(page: &mut Page, run: &Run) {
    let summary = &run.summary;
    page.put("<section aria-label=\"Charts\" class=\"charts\">\n", &[]);
    plots::latency(run).draw(page);
    plots::throughput(run).draw(page);
    let curves = [
        ("response time", "response", &summary.response_curve),
        ("service time", "service", &summary.service_curve),
    ];
    let curves = curves.into_iter().map(|(name, class, curve)| (name.to_owned(), class, curve));
    plots::percentiles("Latency by percentile", curves).draw(page);
    plots::in_flight(run).draw(page);
    plots::resources(run).iter().for_each(|chart| chart.draw(page));
    page.put("</section>\n", &[]);
}

fn latencies(page: &mut Page, run: &Run) {
    let summary = &run.summary;
    let columns =
        ["Latency", "Count", "Min", "Mean", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "Max"];
    table(page, "Latency", &columns, &(1..12).collect::<Vec<_>>(), |page| {
        for (timing, figures) in &summary.timings {
            // What every request has is shown even when empty; handshakes only where there were any.
            let always = matches!(timing, Timing::ResponseTime | Timing::ServiceTime);
            if !always && figures.count == 0 {
                continue;
            }
            let name = timing.name().replace('_', " ");
            page.put("<tr><th scope=\"row\">{}", &[&name]);
            if always {
                page.put("<small>95% interval</small>", &[]);
            }
            page.put("</th>", &[]);
            cells(page, &[words::count(figures.count)]);
            cells(page, &[figures.min, figures.mean].map(words::seconds));
            for (value, interval) in quantiles(figures) {
                page.put("<td class=\"n\">{}", &[&words::seconds(value)]);
                if always {
                    page.put("<small class=\"within\">{}</small>", &[&words::narrow_interval(interval)]);
                }
                page.put("</td>", &[]);
            }
            cells(page, &[words::seconds(figures.max)]);
            page.put("</tr>\n", &[]);
        }
    });
    if let Some(calibration) = &run.started.calibration {
        page.put("<p>{}.</p>\n", &[&capital(&calibration.floor())]);
    }
}

/// The quantiles of a row, each with what it may really be.
fn quantiles(figures: &LatencyFigures) -> [(Option<f64>, Option<Interval>); 7] {
    let within = &figures.intervals;
    [
        (figures.p50, within.p50),
        (figures.p75, within.p75),
        (figures.p90, within.p90),
        (figures.p95, within.p95),
        (figures.p99, within.p99),
        (figures.p99_9, within.p99_9),
        (figures.p99_99, within.p99_99),
    ]
}

fn stages(page: &mut Page, run: &Run) {
    let summary = &run.summary;
    if summary.stages.is_empty() {
        return;
    }
    let mut columns =
        vec!["Stage", "From", "To", "Offered", "Throughput", "Errors", "p50", "p95", "p99", "Max"];
    let has_spikes = summary.stages.iter().any(|stage| stage.recovery.is_some());
    columns.extend(has_spikes.then_some("Recovery"));
    table(page, "Stages", &columns, &(1..columns.len()).collect::<Vec<_>>(), |page| {
        for stage in &summary.stages {
            let response = &stage.response_time;
            let whose = stage.scenario.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            let steered = if stage.steered { ", steered" } else { "" };
            let planned = words::stage(&stage.shape, stage.model);
            let name = format!("{}: {planned}{whose}{steered}", stage.index);
            let mut cells = vec![
                words::offset(stage.shape.start),
                words::offset(stage.shape.end),
                words::rate(run.of_stage(stage, stage.offered)),
                words::rate(run.of_stage(stage, stage.throughput)),
                words::ratio(stage.error_ratio),
            ];
            cells.extend([response.p50, response.p95, response.p99, response.max].map(words::seconds));
            cells.extend(has_spikes.then(|| words::recovery(stage.recovery)));
            row(page, &name, &cells);
        }
    });
}

fn steps(page: &mut Page, summary: &Summary) {
    if summary.steps.is_empty() {
        return;
    }
    let columns = [
        "Step",
        "Scenario",
        "Requests",
        "Failed",
        "Throughput",
        "Received",
        "p50",
        "p95",
        "p99",
        "Max",
        "Service p95",
        "Statuses",
    ];
    table(page, "Steps", &columns, &(2..11).collect::<Vec<_>>(), |page| {
        for step in &summary.steps {
            let response = &step.response_time;
            page.put("<tr><th scope=\"row\">{}</th><td>{}</td>", &[&step.step, &step.scenario]);
            let mut numbers = vec![
                words::count(step.requests),
                words::count(step.failed),
                words::rate(step.throughput),
                ByteCount(step.received_bytes).to_string(),
            ];
            let times = [response.p50, response.p95, response.p99, response.max, step.service_time.p95];
            numbers.extend(times.map(words::seconds));
            cells(page, &numbers);
            let statuses = step.statuses.iter();
            let statuses: Vec<_> =
                statuses.map(|(status, count)| format!("{status}: {}", words::count(*count))).collect();
            page.put("<td>{}</td></tr>", &[&statuses.join(", ")]);
        }
    });
}

fn scenarios(page: &mut Page, summary: &Summary) {
    if summary.scenarios.is_empty() {
        return;
    }
    let columns = [
        "Scenario",
        "Users",
        "Iterations",
        "Of them failed",
        "Requests",
        "Failed",
        "Throughput",
        "Response p95",
        "Iteration p50",
        "Iteration p95",
    ];
    table(page, "Scenarios", &columns, &(1..10).collect::<Vec<_>>(), |page| {
        for scenario in &summary.scenarios {
            let users = match summary.model {
                plimsoll_run::Model::Open => words::NO_DATA.to_owned(),
                plimsoll_run::Model::Closed => words::count(scenario.users),
            };
            let cells = [
                users,
                words::count(scenario.iterations),
                words::count(scenario.iterations_failed),
                words::count(scenario.requests),
                words::count(scenario.failed),
                words::rate(scenario.throughput),
                words::seconds(scenario.response_time.p95),
                words::seconds(scenario.iteration_time.p50),
                words::seconds(scenario.iteration_time.p95),
            ];
            row(page, &scenario.name, &cells);
        }
    });
}

fn errors(page: &mut Page, run: &Run) {
    if run.summary.errors.is_empty() {
        page.put("<section><h2>Errors</h2><p>No request failed.</p></section>\n", &[]);
        return;
    }
    table(
        page,
        "Errors",
        &["Kind", "Requests", "Step", "What was said", "Seen", "First", "Last"],
        &[1, 4, 5, 6],
        |page| {
            for kind in &run.summary.errors {
                let name = kind.outcome.label().replace('_', " ");
                page.put(
                    "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td>",
                    &[&name, &words::count(kind.count)],
                );
                if kind.samples.is_empty() {
                    page.put("<td></td><td></td><td></td><td></td><td></td></tr>", &[]);
                }
                for (index, sample) in kind.samples.iter().enumerate() {
                    if index > 0 {
                        page.put("<tr><td></td><td></td>", &[]);
                    }
                    page.put(
                        "<td>{}</td><td class=\"why\">{}</td>",
                        &[&run.step_of(sample), &sample.message],
                    );
                    let offset = |nanos| words::offset(plots::nanos_in_seconds(nanos));
                    cells(page, &[words::count(sample.count), offset(sample.first), offset(sample.last)]);
                    page.put("</tr>", &[]);
                }
            }
        },
    );
}

fn phases(page: &mut Page, summary: &Summary) {
    table(page, "Phases", &["Phase", "Requests", "Failed", "Dropped", "Cut"], &[1, 2, 3, 4], |page| {
        for phase in &summary.phases {
            let counts = [phase.requests, phase.failed, phase.dropped, phase.cut];
            row(page, &phase.phase.label(), &counts.map(words::count));
        }
    });
}

fn validity(page: &mut Page, summary: &Summary) {
    let report = &summary.validity;
    let lag = &report.schedule_lag;
    page.put("<section><h2>Generator</h2><p>Whether the generator can be trusted: ", &[]);
    let label = report.verdict.label();
    page.put("<span class=\"validity {}\">{}</span>.</p>", &[&label, &label]);
    if !report.reasons.is_empty() {
        page.put("<ul>", &[]);
        for reason in &report.reasons {
            page.put("<li>{}</li>", &[reason]);
        }
        page.put("</ul>", &[]);
    }
    list(
        page,
        &[
            (
                "Schedule lag",
                format!(
                    "p50 {}, p99 {}, max {}",
                    words::seconds(lag.p50),
                    words::seconds(lag.p99),
                    words::seconds(lag.max)
                ),
            ),
            ("Arrivals it could not offer", words::count(report.generator_drops)),
            ("Own CPU", words::ratio(report.generator_cpu_ratio)),
        ],
    );
    page.put("</section>\n", &[]);
}

fn exports(page: &mut Page, summary: &Summary) {
    if summary.exports.is_empty() {
        return;
    }
    table(page, "Export", &["Sink", "Produced", "Acknowledged", "Backlog", "Lost"], &[1, 2, 3, 4], |page| {
        for export in &summary.exports {
            let counts = [export.produced, export.acknowledged, export.backlog, export.lost];
            row(page, &export.sink, &counts.map(words::count));
        }
    });
}

fn samples(page: &mut Page, summary: &Summary) {
    if let Some(samples) = summary.samples {
        let words = words::samples(samples);
        page.put("<section><h2>Samples</h2><p>{}</p></section>\n", &[&words]);
    }
}

/// How the load was made other than planned.
fn steered(page: &mut Page, summary: &Summary) {
    if summary.steered.is_empty() {
        return;
    }
    table(page, "Steered", &crate::steered::COLUMNS, &[0], |page| {
        for cells in crate::steered::rows(summary) {
            page.put("<tr>", &[]);
            for cell in &cells {
                page.put("<td>{}</td>", &[cell]);
            }
            page.put("</tr>\n", &[]);
        }
    });
    if let Some(more) = crate::steered::left_out(summary) {
        page.put("<p>{}.</p>\n", &[&more]);
    }
}

/// What others told meanwhile.
fn alerts(page: &mut Page, run: &Run) {
    if run.alerts.is_empty() {
        return;
    }
    table(page, crate::alerts::HEADING, &crate::alerts::COLUMNS, &[], |page| {
        for cells in crate::alerts::rows(run) {
            page.put("<tr>", &[]);
            for cell in &cells {
                page.put("<td class=\"why\">{}</td>", &[cell]);
            }
            page.put("</tr>\n", &[]);
        }
    });
    if let Some(more) = crate::alerts::left_out(run) {
        page.put("<p>{}.</p>\n", &[&more]);
    }
}

fn notes(page: &mut Page, summary: &Summary) {
    if summary.notes.is_empty() {
        return;
    }
    page.put("<section><h2>Notes</h2><ul>", &[]);
    for note in &summary.notes {
        page.put("<li><b>{}</b> {}</li>", &[&words::offset(plots::nanos_in_seconds(note.at)), &note.text]);
    }
    page.put("</ul></section>\n", &[]);
}

fn facts(page: &mut Page, run: &Run) {
    let info = &run.summary.info;
    let machine = &info.machine;
    let absent = || words::NO_DATA.to_owned();
    page.put("<section><h2>The run</h2>", &[]);
    let mut facts = vec![
        ("Run", info.id.clone()),
        ("Plan", format!("{} ({})", run.summary.plan, run.summary.plan_hash)),
        ("Model", run.summary.model.label().to_owned()),
        ("Target", info.target.clone()),
        ("Version", info.version.clone().unwrap_or_else(absent)),
        ("Environment", info.environment.clone().unwrap_or_else(absent)),
        ("Started", words::moment_for_people(info.started_nanos)),
        ("Duration", words::length(run.summary.duration_seconds)),
        ("Measured", words::length(run.summary.measured_seconds)),
        ("Seed", info.seed.to_string()),
    ];
    let tags: Vec<_> = info.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !tags.is_empty() {
        facts.push(("Tags", tags.join(", ")));
    }
    facts.push((
        "Machine",
        format!(
            "{}: {}, {} cores, {}, {}",
            machine.host,
            machine.cpu,
            machine.cores,
            ByteCount(machine.memory_bytes),
            machine.system
        ),
    ));
    facts.push(("Plimsoll", info.plimsoll.clone()));
    list(page, &facts);
    if !run.started.plan_text.is_empty() {
        page.put(
            "<details><summary>The plan as it ran</summary><pre tabindex=\"0\">{}</pre></details>",
            &[&run.started.plan_text],
        );
    }
    page.put("</section>\n", &[]);
}

/// A table with a heading; `numeric` columns stand to the right.
pub(crate) fn table(
    page: &mut Page,
    heading: &str,
    columns: &[&str],
    numeric: &[usize],
    rows: impl FnOnce(&mut Page),
) {
    page.put("<section><h2>{}</h2>", &[&heading]);
    page.put(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table><thead><tr>",
        &[&heading],
    );
    for (index, column) in columns.iter().enumerate() {
        let class = if numeric.contains(&index) { "n" } else { "" };
        page.put("<th scope=\"col\" class=\"{}\">{}</th>", &[&class, column]);
    }
    page.put("</tr></thead><tbody>\n", &[]);
    rows(page);
    page.put("</tbody></table></div></section>\n", &[]);
}

/// A row of numbers with its name.
pub(super) fn row(page: &mut Page, name: &dyn Display, values: &[String]) {
    page.put("<tr><th scope=\"row\">{}</th>", &[name]);
    cells(page, values);
    page.put("</tr>\n", &[]);
}

pub(crate) fn cells(page: &mut Page, values: &[String]) {
    for value in values {
        page.put("<td class=\"n\">{}</td>", &[value]);
    }
}

pub(super) fn list(page: &mut Page, facts: &[(&str, String)]) {
    page.put("<dl class=\"facts\">", &[]);
    for (name, value) in facts {
        page.put("<div><dt>{}</dt><dd>{}</dd></div>", &[name, value]);
    }
    page.put("</dl>", &[]);
}

pub(super) fn verdict_class(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("none", Verdict::label)
}

fn figures(summary: &Summary, timing: Timing) -> LatencyFigures {
    summary.timings.get(&timing).cloned().unwrap_or_default()
}
