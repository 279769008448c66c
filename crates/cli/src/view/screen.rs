//! The picture of a run: a pure function of what is known, the time and the room.
//!
//! Sections are ranked. With little room the less important ones give way whole or say what they
//! leave out, and the charts take what is left. States are words with a sign; colour only adds.

use plimsoll_measure::LatencyFigures;
use plimsoll_run::{Model, RunStatus};
use plimsoll_sla::{Objective, Severity, Status, Validity, Verdict};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::watch::Watch;
use super::{charts, words};

/// Objectives that are shown one by one; the report has them all.
const OBJECTIVES: usize = 6;
/// Names longer than this are cut so that the figures behind them stay in sight.
const LONGEST_NAME: usize = 24;
/// Columns of the longest word for where a run is, and the gap before it.
const LONGEST_STATE: usize = 13;
/// Widest progress bar.
const LONGEST_BAR: usize = 30;
/// Rows from which on a third belongs to the charts.
const ROWS_FOR_CHARTS: u16 = 14;
/// Columns below which words are not lined up, so that more of them fit.
const ALIGNED: usize = 50;

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) watch: &'a Watch,
    /// Seconds since the start.
    pub(crate) elapsed: f64,
}

/// Lines of one topic in at most so many columns and rows.
type Section = for<'a> fn(&Scene<'a>, usize, usize) -> Vec<Line<'static>>;

/// From top to bottom, with a rank: the lower, the longer it stays. The charts stand after [`ABOVE_CHARTS`] of them.
const SECTIONS: [(u8, Section); 10] = [
    (0, title),
    (1, progress),
    (2, load),
    (7, latencies),
    (3, totals),
    (6, errors),
    (5, objectives),
    (4, generator),
    (9, resources),
    (8, note),
];
const ABOVE_CHARTS: usize = 3;

/// Draws the scene into the area. It may be of any size; none panics.
pub(crate) fn render(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return;
    }
    let charts = if area.height >= ROWS_FOR_CHARTS && area.width >= charts::NARROWEST {
        (area.height / 3).max(charts::LOWEST)
    } else {
        0
    };
    let mut room = usize::from(area.height - charts);
    let mut sections: [Vec<Line<'static>>; SECTIONS.len()] = Default::default();
    let mut ranked: Vec<_> = SECTIONS.iter().zip(&mut sections).collect();
    ranked.sort_by_key(|((rank, _), _)| *rank);
    for ((_, section), lines) in ranked {
        *lines = section(scene, usize::from(area.width), room);
        lines.truncate(room);
        room -= lines.len();
    }
    let charts = if charts > 0 { charts + room as u16 } else { 0 };

    let mut y = area.y;
    for (index, lines) in sections.into_iter().enumerate() {
        if index == ABOVE_CHARTS && charts > 0 {
            charts::render(scene.watch, Rect { y, height: charts, ..area }, buffer);
            y += charts;
        }
        for line in lines {
            line.render(Rect { y, height: 1, ..area }, buffer);
            y += 1;
        }
    }
}

fn title(scene: &Scene<'_>, width: usize, _: usize) -> Vec<Line<'static>> {
    let Scene { watch, .. } = scene;
    let info = &watch.started.info;
    let state = match &watch.ended {
        Some(ended) => {
            let color = if ended.status == RunStatus::Completed { Color::Green } else { Color::Yellow };
            strong(ended.status.label()).fg(color)
        }
        None => strong(watch.phase.map_or("starting", |phase| phase.label())).fg(Color::Cyan),
    };
    let plan = words::plain(&watch.started.shape.plan);
    let plan = words::clipped(&plan, width.saturating_sub(LONGEST_STATE).max(1));
    let target = vec![dim("target "), Span::raw(words::plain(&info.target))];
    let run = vec![dim("run "), Span::raw(words::plain(&info.id))];
    vec![fit(vec![vec![strong(plan)], vec![state], target, run], width)]
}

fn progress(scene: &Scene<'_>, width: usize, _: usize) -> Vec<Line<'static>> {
    let Scene { watch, elapsed, .. } = scene;
    let shape = &watch.started.shape;
    if let Some(ended) = &watch.ended {
        let reason =
            ended.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", words::plain(reason)));
        let text = format!("ended at {}{reason}", words::clock(ended.at as f64 / 1e9));
        return vec![Line::raw(words::clipped(&text, width))];
    }
    let now = words::clock(*elapsed);
    let Some(progress) = watch.progress(*elapsed) else { return vec![Line::raw(now)] };
    let columns = (width / 3).min(LONGEST_BAR);
    let filled = (progress.share * columns as f64) as usize;
    let bar = vec![
        Span::styled("█".repeat(filled), Color::Cyan),
        dim("░".repeat(columns - filled)),
        Span::raw(format!(" {:>3}%", (progress.share * 100.0) as u64)),
    ];
    let place = match shape.iterations {
        Some(asked) => {
            format!("{} of {} iterations", words::count(watch.totals.iterations), words::count(asked))
        }
        None => format!("{now} of {}", words::clock(shape.stages_end())),
    };
    let left = match (progress.left, shape.iterations) {
        (Some(left), _) if left <= 0.0 => "waiting for the last answers".to_owned(),
        (Some(left), None) => format!("{} left", words::length(left)),
        (Some(left), Some(_)) => format!("about {} left", words::length(left)),
        (None, _) => format!("{} left", words::NO_DATA),
    };
    let stage = watch.stage(*elapsed).map(|(number, stage)| {
        let highest = if stage.kind == "ramp" { stage.to } else { stage.peak() };
        let level = format!("{}{}", words::significant(highest), shape.model.unit());
        let what = match stage.kind.as_str() {
            "pause" => "pause".to_owned(),
            "ramp" => format!("ramp to {level}"),
            kind if !stage.course.is_empty() => format!("{} up to {level}", words::plain(kind)),
            kind => format!("{} {level}", words::plain(kind)),
        };
        vec![Span::raw(format!("stage {number} of {}, {what}", shape.stages.len()))]
    });
    let mut parts = vec![bar, vec![Span::raw(place)], vec![Span::raw(left)]];
    parts.extend(stage);
    vec![fit(parts, width)]
}

fn load(scene: &Scene<'_>, width: usize, _: usize) -> Vec<Line<'static>> {
    let Scene { watch, elapsed, .. } = scene;
    let shape = &watch.started.shape;
    let rates = watch.rates(1);
    let [asked, done, succeeded] = [0, 1, 2].map(|index| words::rate(rates.map(|rates| rates[index])));
    let parts = match shape.model {
        Model::Open => vec![figure("asked", &asked), figure("done", &done), figure("succeeded", &succeeded)],
        Model::Closed => {
            let users = words::known(watch.levels.map(|levels| levels.gauges.virtual_users));
            let wanted = watch
                .steerings
                .level_at(shape, *elapsed)
                .map_or_else(|| words::NO_DATA.to_owned(), |level| words::count(level.round() as u64));
            vec![
                figure("users", &format!("{users} of {wanted}")),
                figure("done", &done),
                figure("succeeded", &succeeded),
            ]
        }
    };
    vec![headed("rate", parts, width)]
}

fn latencies(scene: &Scene<'_>, width: usize, room: usize) -> Vec<Line<'static>> {
    let Scene { watch, .. } = scene;
    let recent = format!("last {}s", watch.glances.len().clamp(1, super::watch::RECENT));
    let row = |name: &str, figures: &LatencyFigures| {
        let LatencyFigures { p50, p95, p99, p99_9, max, .. } = *figures;
        let values =
            [p50, p95, p99, p99_9, max].map(|value| vec![Span::raw(format!("{:>8}", words::latency(value)))]);
        headed(name, values.into(), width)
    };
    let heads = ["p50", "p95", "p99", "p99.9", "max"].map(|head| vec![dim(format!("{head:>8}"))]);
    let mut lines =
        vec![headed("", heads.into(), width), row(&recent, &watch.recent), row("measured", &watch.measured)];
    if room < lines.len() {
        // A row of figures whose heads are missing says nothing.
        lines.clear();
        if room > 0 {
            let LatencyFigures { p50, p95, p99, .. } = watch.recent;
            let figures = [("p50", p50), ("p95", p95), ("p99", p99)]
                .map(|(name, value)| figure(name, &words::latency(value)));
            lines.push(headed(&recent, figures.into(), width));
        }
    }
    lines
}

fn totals(scene: &Scene<'_>, width: usize, _: usize) -> Vec<Line<'static>> {
    let Scene { watch, .. } = scene;
    let levels = watch.levels;
    let total = |count: u64| words::known(levels.map(|_| count));
    let mut parts = vec![
        figure("requests", &total(watch.totals.requests)),
        counted("failed", &total(watch.totals.failed), watch.totals.failed),
        counted("dropped", &total(watch.totals.dropped), watch.totals.dropped),
        figure("in flight", &words::known(levels.map(|levels| levels.in_flight))),
        figure("users", &words::known(levels.map(|levels| levels.gauges.virtual_users))),
        figure("connections", &words::known(levels.map(|levels| levels.gauges.connections))),
    ];
    if watch.totals.cut > 0 {
        parts.push(counted("cut", &words::count(watch.totals.cut), watch.totals.cut));
    }
    let mut lines = vec![headed("so far", parts, width)];
    if watch.totals.unseen_seconds > 0 {
        let text = format!("this view missed {} s; the record did not", watch.totals.unseen_seconds);
        lines.push(Line::styled(words::clipped(&text, width), Color::Yellow));
    }
    lines
}

/// What the target uses, in one line; the report has the rest.
fn resources(scene: &Scene<'_>, width: usize, _: usize) -> Vec<Line<'static>> {
    let figures = scene.watch.prominent();
    let parts: Vec<_> = figures.iter().map(|(name, amount)| figure(name, amount)).collect();
    if parts.is_empty() { Vec::new() } else { vec![headed("target", parts, width)] }
}

fn errors(scene: &Scene<'_>, width: usize, room: usize) -> Vec<Line<'static>> {
    let Scene { watch, .. } = scene;
    let failures = watch.failures();
    if failures.is_empty() {
        let none = if watch.totals.requests > 0 { "none" } else { words::NO_DATA };
        return vec![headed("errors", vec![vec![Span::raw(none)]], width)];
    }
    let kinds = failures.iter().map(|(outcome, failure)| {
        let text = format!("{} {}", outcome.label().replace('_', " "), words::count(failure.count));
        vec![Span::styled(text, Color::Red)]
    });
    let mut lines = vec![headed("errors", kinds.collect(), width)];
    // Words are worth a row of their own where figures have theirs.
    if let Some((outcome, message)) = watch.latest_message()
        && room > 2
    {
        let step = watch.step(message.step).unwrap_or(words::NO_DATA);
        let at = words::clock(message.at as f64 / 1e9);
        let text = format!("at {at} {} in {step}: {}", outcome.label().replace('_', " "), message.text);
        let text = words::clipped(&words::plain(&text), width.saturating_sub(HEAD + 1));
        lines.push(headed("", vec![vec![Span::raw(text)]], width));
    }
    lines
}

fn objectives(scene: &Scene<'_>, width: usize, room: usize) -> Vec<Line<'static>> {
    let Scene { watch, .. } = scene;
    let objectives: Vec<_> = watch.objectives().collect();
    let room = room.min(OBJECTIVES);
    let shown = if objectives.len() <= room { objectives.len() } else { room.saturating_sub(1) };
    let names = objectives.iter().map(|(objective, _)| Span::raw(words::plain(&objective.name)).width());
    let column = names.max().unwrap_or(0).min(LONGEST_NAME);
    let mut lines: Vec<_> = objectives[..shown]
        .iter()
        .map(|(objective, status)| objective_line(objective, status, column, width))
        .collect();
    let rest = &objectives[shown..];
    if !rest.is_empty() {
        let text = format!("{}: {}", if shown == 0 { "objectives" } else { "others" }, tally(rest));
        lines.push(Line::raw(words::clipped(&text, width)));
    }
    lines
}

fn objective_line(objective: &Objective, status: &Status, column: usize, width: usize) -> Line<'static> {
    let standing = standing(objective, status);
    let (sign, color) = match (standing, objective.severity) {
        _ if status.breach.is_some() => match objective.severity {
            Severity::Critical => ("✗", Color::Red),
            Severity::Warning => ("!", Color::Yellow),
        },
        (Some(Verdict::Met), _) => ("✓", Color::Green),
        (Some(Verdict::Missed), Severity::Critical) => ("✗", Color::Red),
        (Some(Verdict::Missed), Severity::Warning) => ("!", Color::Yellow),
        (Some(Verdict::Inconclusive), _) => ("?", Color::Yellow),
        (None, _) => ("·", Color::Reset),
    };
    let bold = Style::new().fg(color).bold();
    let word = if status.breach.is_some() { "breaching" } else { verdict_word(standing) };
    let name = words::clipped(&words::plain(&objective.name), column);
    let observed = status.observed;
    let observed =
        observed.map_or_else(|| words::NO_DATA.to_owned(), |value| objective.expression.measure.human(value));
    let mut parts = if width < ALIGNED {
        vec![
            vec![Span::styled(format!("{sign} {word}"), bold)],
            vec![strong(name)],
            vec![Span::raw(observed)],
        ]
    } else {
        let padding = " ".repeat(column - Span::raw(&name).width());
        vec![
            vec![Span::styled(format!("{sign} {word:<12}"), bold)],
            vec![strong(name), Span::raw(format!("{padding} {observed:>8}"))],
        ]
    };
    // How bad it is comes before the promise, which stands in the plan.
    if let Some(breach) = &status.breach {
        parts.push(vec![Span::styled(breach.why.clone(), color)]);
    } else if status.missing_for_seconds > 0 {
        let text = format!("missing for {}", words::length(f64::from(status.missing_for_seconds)));
        parts.push(vec![Span::styled(text, color)]);
    } else if status.missed_windows > 0 {
        let text = format!("met again, {} of {} windows missed", status.missed_windows, status.windows);
        parts.push(vec![Span::styled(text, color)]);
    }
    let over =
        objective.over.map_or_else(String::new, |over| format!(" over {}", words::length(f64::from(over))));
    parts.push(vec![dim(words::plain(&objective.text) + &over)]);
    fit(parts, width)
}

fn generator(scene: &Scene<'_>, width: usize, _: usize) -> Vec<Line<'static>> {
    let report = &scene.watch.validity;
    let color = match report.verdict {
        Validity::Valid => Color::Green,
        Validity::Suspect => Color::Yellow,
        Validity::Invalid => Color::Red,
    };
    let mut parts = if is_judged(scene.watch) {
        vec![vec![Span::styled(report.verdict.label(), Style::new().fg(color).bold())]]
    } else {
        vec![vec![Span::raw(words::NO_DATA)]]
    };
    match report.reasons.first() {
        Some(reason) => {
            let used = HEAD + 2 + report.verdict.label().len() + 1;
            parts.push(vec![Span::raw(words::clipped(&words::plain(reason), width.saturating_sub(used)))]);
        }
        None => {
            let cpu = report
                .generator_cpu_ratio
                .map_or_else(|| words::NO_DATA.to_owned(), |ratio| format!("{:.0}%", ratio * 100.0));
            parts.extend([figure("lag p99", &words::latency(report.schedule_lag.p99)), figure("cpu", &cpu)]);
        }
    }
    vec![headed("generator", parts, width)]
}

fn note(scene: &Scene<'_>, width: usize, _: usize) -> Vec<Line<'static>> {
    let note = scene.watch.note.iter().map(|note| {
        let text = format!("at {}: {}", words::clock(note.at as f64 / 1e9), words::plain(&note.text));
        let text = words::clipped(&text, width.saturating_sub(HEAD + 1));
        headed("note", vec![vec![Span::raw(text)]], width)
    });
    note.collect()
}

/// Whether anything was measured that the generator can be judged by.
pub(super) fn is_judged(watch: &Watch) -> bool {
    watch.validity.schedule_lag.count > 0 || watch.validity.verdict != Validity::Valid
}

/// How an objective stands for the run. One missed window is a miss, however well it goes on.
pub(super) fn standing(objective: &Objective, status: &Status) -> Option<Verdict> {
    if objective.over.is_some() && status.missed_windows > 0 { Some(Verdict::Missed) } else { status.verdict }
}

fn verdict_word(standing: Option<Verdict>) -> &'static str {
    standing.map_or("undecided", Verdict::label)
}

/// `1 missed, 2 met, 1 undecided`, the worst first.
pub(super) fn tally(objectives: &[(&Objective, Status)]) -> String {
    let standings = [Some(Verdict::Missed), Some(Verdict::Inconclusive), Some(Verdict::Met), None];
    let counts = standings.into_iter().filter_map(|wanted| {
        let count =
            objectives.iter().filter(|(objective, status)| standing(objective, status) == wanted).count();
        (count > 0).then(|| format!("{count} {}", verdict_word(wanted)))
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// Columns of the word a line begins with.
const HEAD: usize = 10;

/// Parts behind a word, as long as they fit.
fn headed(head: &str, parts: Vec<Vec<Span<'static>>>, width: usize) -> Line<'static> {
    let column = if width < ALIGNED { head.len() } else { HEAD };
    let mut parts = parts.into_iter();
    // The word and its first figure belong together, so one column is enough between them.
    let mut first = vec![dim(format!("{head:<column$} "))];
    first.extend(parts.next().unwrap_or_default());
    fit(std::iter::once(first).chain(parts), width)
}

fn figure(name: &str, value: &str) -> Vec<Span<'static>> {
    vec![dim(format!("{name} ")), Span::raw(value.to_owned())]
}

/// A count that should be zero.
fn counted(name: &str, value: &str, count: u64) -> Vec<Span<'static>> {
    let color = if count > 0 { Color::Red } else { Color::Reset };
    vec![dim(format!("{name} ")), Span::styled(value.to_owned(), color)]
}

/// Parts side by side, two columns apart, as long as they fit; the first is always there.
fn fit(parts: impl IntoIterator<Item = Vec<Span<'static>>>, width: usize) -> Line<'static> {
    let mut line = Line::default();
    for part in parts {
        let wanted: usize = part.iter().map(Span::width).sum();
        let used = line.width();
        if used > 0 {
            if used + 2 + wanted > width {
                break;
            }
            line.push_span("  ");
        }
        line.spans.extend(part);
    }
    line
}

fn strong(text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), Modifier::BOLD)
}

fn dim(text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), Modifier::DIM)
}
