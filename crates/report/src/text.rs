//! What a terminal shows when a run has ended: verdicts first, then figures, then where to read on.

use plimsoll_measure::{Interval, Intervals, LatencyFigures, Opening, Timing};
use plimsoll_run::{ExportCount, ObjectiveSummary};
use plimsoll_sla::{Severity, Validity, Verdict};
use plimsoll_units::{ByteCount, Quantile, duration};

use crate::{Recommendation, Run, findings, parts, resources, words};

/// How the text is to look, and what it points to.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// Columns of the terminal; below 40 it is written for 40.
    pub width: usize,
    /// Whether verdicts are coloured (ANSI).
    pub color: bool,
    /// What was written where: ("report", "run.html").
    pub files: Vec<(String, String)>,
}

/// Lines of a narrower terminal wrap by themselves.
const NARROWEST: usize = 40;
/// Longer lines are hard to read, however wide the terminal.
const WIDEST: usize = 110;
/// Kinds of failure that are shown; the report has them all.
const ERRORS: usize = 5;
/// How much of the body of a failed answer is shown, in characters; the report has more.
const BODY: usize = 160;
pub(crate) const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(Clone, Copy)]
pub(crate) enum Tone {
    Good,
    Bad,
    Doubt,
    Strong,
    Soft,
}

/// The run as text for a terminal, lines ended by line feeds.
pub fn text(run: &Run, options: &Text) -> String {
    let mut out = Writer::new(options);
    headline(&mut out, run);
    objectives(&mut out, run);
    figures(&mut out, run);
    latencies(&mut out, run);
    chart(&mut out, run);
    errors(&mut out, run);
    measured(&mut out, run);
    exports(&mut out, run);
    next_steps(&mut out, run);
    out.files(options);
    out.finish()
}

fn headline(out: &mut Writer, run: &Run) {
    let summary = &run.summary;
    let plan = out.toned(Tone::Strong, &words::plain(&summary.plan));
    let verdict = out.toned(verdict_tone(run.verdict()), &words::verdict_word(run.verdict()).to_uppercase());
    let trust = match summary.validity.verdict {
        Validity::Valid => Tone::Good,
        Validity::Suspect => Tone::Doubt,
        Validity::Invalid => Tone::Bad,
    };
    let validity = out.toned(trust, &format!("generator {}", summary.validity.verdict.label()));
    out.line(&format!("{plan}  {verdict}  {validity}"));
    let info = &summary.info;
    let about = format!(
        "{} against {}, {}, run {}",
        words::status_word(summary),
        info.target,
        words::length(summary.duration_seconds),
        info.id
    );
    out.wrapped("", &about, Tone::Soft);
    for caveat in run.caveats() {
        out.wrapped("", &caveat, Tone::Doubt);
    }
}

fn objectives(out: &mut Writer, run: &Run) {
    if run.summary.objectives.is_empty() {
        return;
    }
    out.line("");
    for objective in &run.summary.objectives {
        objective_lines(out, objective);
    }
}

fn objective_lines(out: &mut Writer, objective: &ObjectiveSummary) {
    let judgement = &objective.judgement;
    let sign = match (judgement.verdict, objective.severity) {
        (Verdict::Met, _) => "✓",
        (Verdict::Missed, Severity::Critical) => "✗",
        (Verdict::Missed, Severity::Warning) => "!",
        (Verdict::Inconclusive, _) => "?",
    };
    let tone = match (judgement.verdict, objective.severity) {
        (Verdict::Missed, Severity::Warning) => Tone::Doubt,
        (verdict, _) => verdict_tone(Some(verdict)),
    };
    let verdict = out.toned(tone, &format!("{sign} {:<12}", judgement.verdict.label()));
    let name = out.toned(Tone::Strong, &words::plain(&objective.name));
    out.line(&format!("{verdict} {name}  {}", words::plain(&objective.text)));
    out.wrapped("               ", &judgement.why, Tone::Soft);
}

fn figures(out: &mut Writer, run: &Run) {
    let totals = &run.summary.totals;
    out.line("");
    for (name, value, beside) in [
        ("requests", words::count(totals.requests), words::rate(totals.request_rate)),
        ("succeeded", words::count(totals.succeeded), words::rate(totals.throughput)),
        ("failed", words::count(totals.failed), words::ratio(totals.error_ratio)),
        ("dropped", words::count(totals.dropped), words::ratio(totals.dropped_ratio)),
        ("cut", words::count(totals.cut), String::new()),
        ("received", ByteCount(totals.received_bytes).to_string(), String::new()),
    ] {
        let name = out.toned(Tone::Soft, &format!("{name:<10}"));
        out.line(format!("{name} {value:>12}  {beside:>9}").trim_end());
    }
    for stage in run.summary.stages.iter().filter(|stage| stage.recovery.is_some()) {
        let name = out.toned(Tone::Soft, &format!("{:<10}", "recovery"));
        let beside = format!("after stage {}", stage.index);
        out.line(&format!("{name} {:>12}  {beside}", words::recovery(stage.recovery)));
    }
}

fn latencies(out: &mut Writer, run: &Run) {
    out.line("");
    let heads = ["p50", "p90", "p95", "p99", "p99.9", "max"];
    // A narrow terminal keeps the columns that fit; the report has them all.
    let columns = heads.len().min((out.width - 14) / 9);
    let head: String = heads[..columns].iter().map(|head| format!("{head:>9}")).collect();
    let head = out.toned(Tone::Soft, &format!("{:<14}{head}", ""));
    out.line(&head);
    for timing in [Timing::ResponseTime, Timing::ServiceTime] {
        let figures = run.summary.timings.get(&timing).cloned().unwrap_or_default();
        let LatencyFigures { p50, p90, p95, p99, p99_9, max, .. } = figures;
        let values = [p50, p90, p95, p99, p99_9, max].map(words::seconds);
        let values: String = values[..columns].iter().map(|value| format!("{value:>9}")).collect();
        out.line(&format!("{:<14}{values}", timing.name().replace('_', " ")));
        let Intervals { p50, p90, p95, p99, p99_9, .. } = figures.intervals;
        let intervals = &[p50, p90, p95, p99, p99_9][..columns.min(5)];
        let ends = |name: &str, end: fn(Interval) -> f64| {
            let cells = intervals
                .iter()
                .map(|interval| interval.map_or_else(String::new, |found| duration::human(end(found))));
            let cells: String = cells.map(|cell| format!("{cell:>9}")).collect();
            (!cells.trim().is_empty()).then(|| format!("{name:<14}{cells}"))
        };
        for line in [ends("  95% from", |interval| interval.low), ends("  to", |interval| interval.high)] {
            let line = line.map(|line| out.toned(Tone::Soft, line.trim_end()));
            line.into_iter().for_each(|line| out.line(&line));
        }
    }
    if let Some(calibration) = &run.started.calibration {
        out.wrapped("", &calibration.floor(), Tone::Soft);
    }
}

/// The 95th percentile over the run in one line of blocks, the highest block for the highest value.
fn chart(out: &mut Writer, run: &Run) {
    let timeline = &run.summary.timeline;
    if timeline.is_empty() {
        return;
    }
    let columns = (out.width - 2).min(timeline.len());
    let mut worst = vec![None::<f64>; columns];
    let mut peak: Option<(f64, f64)> = None;
    for (index, point) in timeline.iter().enumerate() {
        let p95 = point.response_time.quantile(Quantile::P95).map(|nanos| nanos as f64 / 1e9);
        let Some(p95) = p95 else { continue };
        let column = &mut worst[index * columns / timeline.len()];
        *column = Some(column.map_or(p95, |known| known.max(p95)));
        if peak.is_none_or(|(highest, _)| p95 > highest) {
            peak = Some((p95, point.second as f64));
        }
    }
    let Some((highest, at)) = peak else { return };
    let blocks = worst.into_iter().map(|value| match value {
        Some(value) => BARS[((value / highest * 8.0).ceil() as usize).clamp(1, 8) - 1],
        None => ' ',
    });
    let blocks: String = blocks.collect();
    out.line("");
    let title = format!(
        "p95 of response time over the run, highest {} at {}",
        words::seconds(Some(highest)),
        words::offset(at)
    );
    out.wrapped("", &title, Tone::Soft);
    out.line(blocks.trim_end());
}

pub(crate) fn errors(out: &mut Writer, run: &Run) {
    let errors = &run.summary.errors;
    if errors.is_empty() {
        return;
    }
    out.line("");
    for kind in errors.iter().take(ERRORS) {
        let name = out.toned(Tone::Bad, &format!("{:<12}", kind.outcome.label().replace('_', " ")));
        out.line(&format!("{name} {:>10}", words::count(kind.count)));
        if let Some(sample) = kind.samples.first() {
            out.wrapped("  ", &format!("{}: {}", run.step_of(sample), sample.message), Tone::Soft);
        }
        let kept = run.summary.steps.iter().flat_map(|step| &step.failed_sample);
        let kept = kept.filter(|request| request.sample.key.outcome == kind.outcome);
        if let Some(exchange) = kept.filter_map(|request| request.exchange.as_ref()).next() {
            let body: String = exchange.body.iter().flat_map(|body| body.chars()).take(BODY).collect();
            let answer = if body.is_empty() { String::new() } else { format!(" was answered {body}") };
            out.wrapped("  ", &format!("{} {}{answer}", exchange.method, exchange.url), Tone::Soft);
        }
    }
    if errors.len() > ERRORS {
        out.line(&format!("and {} more kinds", errors.len() - ERRORS));
    }
}

/// What to do next about what was found.
pub(crate) fn next_steps(out: &mut Writer, run: &Run) {
    let found = crate::recommendations(&run.summary);
    if found.is_empty() {
        return;
    }
    out.line("");
    for Recommendation { seen, likely, next } in found {
        let side = out.toned(Tone::Doubt, likely.label());
        out.line(&side);
        out.wrapped("  ", &seen, Tone::Strong);
        out.wrapped("  ", &next, Tone::Soft);
    }
}

/// The slowest request, the connections, how unequal addresses are and the target's resources, each in a
/// sentence.
fn measured(out: &mut Writer, run: &Run) {
    let summary = &run.summary;
    let slowest = summary.steps.iter().filter_map(|step| Some((step, step.slowest.first()?)));
    let slowest = slowest.max_by_key(|(_, request)| request.response_time()).map(|(step, request)| {
        let seconds = |nanos: u64| words::seconds(Some(nanos as f64 / 1e9));
        let parts =
            parts::parts(&request.sample).map(|part| format!("{} {}", part.name, seconds(part.nanos)));
        format!(
            "slowest: {} of {}, due at {}, ended as {}: {}",
            seconds(request.response_time()),
            step.step,
            words::offset(request.sample.due as f64 / 1e9),
            parts::ending(request),
            parts.join(", ")
        )
    });
    let figures = &summary.connections;
    let connections = (!figures.is_empty()).then(|| {
        let failed = figures.opened(Opening::Failed);
        format!(
            "connections: opened {}, {} failed to open; {} of requests went over a used one",
            words::opened(figures),
            words::count(failed),
            words::ratio(figures.reuse_ratio())
        )
    });
    let skew = summary.skew.map(|skew| {
        let ratio =
            |value: Option<f64>| value.map_or(words::NO_DATA.to_owned(), |value| format!("{value:.2}"));
        format!(
            "{} addresses: largest share over smallest {}, largest median over smallest {}",
            summary.addresses.len(),
            ratio(skew.share),
            ratio(skew.p50)
        )
    });
    let samples = summary.samples.map(|samples| format!("samples: {}", words::samples(samples)));
    let resources = resources::sentence(summary).into_iter().chain(findings::sentences(summary));
    let values = crate::groups::sentences(summary).chain(crate::checks::sentences(summary));
    let values = values.chain(crate::values::sentences(summary));
    let sentences: Vec<_> =
        values.chain(slowest).chain(connections).chain(skew).chain(resources).chain(samples).collect();
    if !sentences.is_empty() {
        out.line("");
        sentences.iter().for_each(|sentence| out.wrapped("", sentence, Tone::Soft));
    }
}

/// What became of the points of each sink, and how to deliver what waits.
fn exports(out: &mut Writer, run: &Run) {
    let exports = &run.summary.exports;
    if exports.is_empty() {
        return;
    }
    out.line("");
    for ExportCount { sink, produced, acknowledged, backlog, lost } in exports {
        let [produced, taken, waiting, gone] = [*produced, *acknowledged, *backlog, *lost].map(words::count);
        let sentence =
            format!("export to {sink}: {produced} points, {taken} taken, {waiting} waiting, {gone} lost");
        out.wrapped("", &sentence, if *backlog + *lost > 0 { Tone::Doubt } else { Tone::Soft });
    }
    let has_ended = run.summary.status.is_some();
    if has_ended && exports.iter().any(|export| export.backlog > 0) {
        let how =
            "`plimsoll spool deliver PLAN` delivers what waits, and so does the next run that exports there";
        out.wrapped("", how, Tone::Soft);
    }
}

fn verdict_tone(verdict: Option<Verdict>) -> Tone {
    match verdict {
        Some(Verdict::Met) => Tone::Good,
        Some(Verdict::Missed) => Tone::Bad,
        Some(Verdict::Inconclusive) => Tone::Doubt,
        None => Tone::Soft,
    }
}

pub(crate) struct Writer {
    lines: String,
    color: bool,
    width: usize,
}

impl Writer {
    pub(crate) fn new(options: &Text) -> Self {
        let width = options.width.clamp(NARROWEST, WIDEST);
        Self { lines: String::new(), color: options.color, width }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn finish(self) -> String {
        self.lines
    }

    /// What was written where.
    pub(crate) fn files(&mut self, options: &Text) {
        if options.files.is_empty() {
            return;
        }
        self.line("");
        let longest = options.files.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, place) in &options.files {
            let name = self.toned(Tone::Soft, &format!("{name:<longest$}"));
            self.line(&format!("{name}  {}", words::plain(place)));
        }
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.lines.push_str(line);
        self.lines.push('\n');
    }

    /// Text as it stands in a line of its own or part of one; it must be plain already.
    pub(crate) fn toned(&self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "1;32",
            Tone::Bad => "1;31",
            Tone::Doubt => "1;33",
            Tone::Strong => "1",
            Tone::Soft => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// A sentence from a plan or target, broken between words.
    pub(crate) fn wrapped(&mut self, indent: &str, text: &str, tone: Tone) {
        let room = self.width.saturating_sub(indent.len()).max(20);
        let mut line = String::new();
        for word in words::plain(text).split_whitespace() {
            let used = line.chars().count();
            if used > 0 && used + 1 + word.chars().count() > room {
                let full = self.toned(tone, &std::mem::take(&mut line));
                self.line(&format!("{indent}{full}"));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            let rest = self.toned(tone, &line);
            self.line(&format!("{indent}{rest}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use proptest::prelude::*;

    fn options(width: usize, color: bool) -> Text {
        Text {
            width,
            color,
            files: vec![("report".into(), "out/run.html".into()), ("json".into(), "run.json".into())],
        }
    }

    #[test]
    fn the_text_stays_as_it_was_read() {
        fixture::golden("report.txt", &text(&fixture::run(), &options(100, false)));
        fixture::golden("report-narrow.txt", &text(&fixture::run(), &options(50, false)));
    }

    #[test]
    fn colour_changes_nothing_else() {
        let coloured = text(&fixture::run(), &options(100, true));
        let mut plain = String::new();
        for (index, part) in coloured.split("\u{1b}[").enumerate() {
            plain.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(plain, text(&fixture::run(), &options(100, false)));
    }

    #[test]
    fn a_run_without_data_has_a_text() {
        let found = text(&fixture::nothing(), &options(0, false));
        assert!(found.contains("running against") && found.contains('–'), "{found}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn nothing_from_outside_steers_the_terminal(text_from_outside in "[a-z\u{0}-\u{1f}\u{7f}-\u{9f}]{0,30}") {
            let run = fixture::hostile(&text_from_outside);
            let found = text(&run, &options(80, false));
            prop_assert!(found.chars().all(|c| c == '\n' || !c.is_control()), "{found:?}");
        }
    }
}
