//! Seconds told as one, as records have them: the head of a second, and this beside it.

use std::collections::BTreeMap;

use plimsoll_measure::Edges;
use plimsoll_sla::{Cause, Evidence, Lasting, Late, Row, SecondSpan, WindowTally};
use serde::{Deserialize, Serialize};

use crate::{FigureStretch, Level, Levels, ResourceUnit, Second, SourceStretch, Stretch};

use super::{Form, HeadLine, SeriesLine, WireError, is_zero, second_in};

#[derive(Serialize, Deserialize)]
pub(super) struct StretchLine {
    seconds: u64,
    recorded: u64,
    #[serde(default)]
    levels: LevelsLine,
    #[serde(default)]
    generator: EvidenceLine,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    windows: Vec<WindowLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sources: Vec<SourceLine>,
}

/// Count, least, sum, most.
type LevelLine = (u64, f64, f64, f64);

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct LevelsLine {
    offered_rate: LevelLine,
    virtual_users: LevelLine,
    connections: LevelLine,
    in_flight: LevelLine,
    requests: LevelLine,
    failed: LevelLine,
}

/// First, last, how many.
type SpanLine = (u64, u64, u64);

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct EvidenceLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    cpu_sum: f64,
    cpu_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<SpanLine>,
    #[serde(skip_serializing_if = "is_zero")]
    worst_lag: u64,
    worst_is_p99: bool,
    /// Cause, in how many seconds, the most of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    late_causes: Vec<(String, u64, f64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropping: Option<SpanLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exhausted: Option<String>,
    /// Cause, and its first, longest and last row, each with the least of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lasting: Vec<(String, [(SpanLine, f64); 3])>,
    #[serde(skip_serializing_if = "is_zero")]
    retransmits: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    most_retransmits: Option<(u64, u64)>,
}

#[derive(Serialize, Deserialize)]
struct WindowLine {
    objective: u16,
    judged: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    missed: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    undecided: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worst: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_missed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_undecided: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SourceLine {
    source: String,
    scrapes: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    gaps: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    left_out: u64,
    /// Name, unit, values.
    #[serde(default)]
    figures: Vec<(String, String, LevelLine)>,
}

/// The head of a stretch, without what needs the seconds.
pub(super) fn stretch_head(stretch: &Stretch, form: Form) -> HeadLine {
    let bare = Second {
        frame: stretch.frame.clone(),
        gauges: stretch.gauges,
        vitals: plimsoll_measure::Vitals::default(),
        resources: Vec::new(),
        wall_nanos: stretch.wall_nanos,
    };
    HeadLine { stretch: Some(Box::new(stretch_out(stretch))), ..super::head_out(&bare, form) }
}

pub(super) fn stretch_in(
    mut head: HeadLine,
    series: Vec<SeriesLine>,
    edges: &Edges,
) -> Result<Stretch, WireError> {
    let missing = || WireError::Value { field: "stretch", found: String::new() };
    let line = *head.stretch.take().ok_or_else(missing)?;
    if line.seconds == 0 || head.second.checked_add(line.seconds).is_none() {
        return Err(WireError::Value { field: "seconds", found: line.seconds.to_string() });
    }
    let Second { frame, gauges, wall_nanos, .. } = second_in(head, series, edges)?;
    Ok(Stretch {
        frame,
        seconds: line.seconds,
        recorded: line.recorded,
        gauges,
        levels: levels_in(&line.levels),
        wall_nanos,
        evidence: evidence_in(line.generator),
        windows: line.windows.into_iter().map(window_in).collect(),
        resources: line.sources.into_iter().map(source_in).collect(),
    })
}

fn stretch_out(stretch: &Stretch) -> StretchLine {
    StretchLine {
        seconds: stretch.seconds,
        recorded: stretch.recorded,
        levels: levels_out(&stretch.levels),
        generator: evidence_out(&stretch.evidence),
        windows: stretch.windows.iter().map(|(index, tally)| window_out(*index, tally)).collect(),
        sources: stretch.resources.iter().map(source_out).collect(),
    }
}

fn level_out(level: &Level) -> LevelLine {
    (level.count, level.least, level.sum, level.most)
}

fn level_in((count, least, sum, most): LevelLine) -> Level {
    Level { count, least, sum, most }
}

fn levels_out(levels: &Levels) -> LevelsLine {
    let Levels { offered_rate, virtual_users, connections, in_flight, requests, failed } = levels;
    LevelsLine {
        offered_rate: level_out(offered_rate),
        virtual_users: level_out(virtual_users),
        connections: level_out(connections),
        in_flight: level_out(in_flight),
        requests: level_out(requests),
        failed: level_out(failed),
    }
}

fn levels_in(line: &LevelsLine) -> Levels {
    Levels {
        offered_rate: level_in(line.offered_rate),
        virtual_users: level_in(line.virtual_users),
        connections: level_in(line.connections),
        in_flight: level_in(line.in_flight),
        requests: level_in(line.requests),
        failed: level_in(line.failed),
    }
}

fn span_out(span: SecondSpan) -> SpanLine {
    (span.first, span.last, span.seconds)
}

fn span_in((first, last, seconds): SpanLine) -> SecondSpan {
    // What contradicts itself says less, and no more.
    SecondSpan { first, last: last.max(first), seconds }
}

fn evidence_out(evidence: &Evidence) -> EvidenceLine {
    let Evidence {
        last,
        cpu_sum,
        cpu_seconds,
        late,
        dropping,
        exhausted,
        lasting,
        retransmits,
        most_retransmits,
    } = evidence;
    let row = |row: &Row| (span_out(row.span), row.least);
    let rows = |(cause, rows): (&Cause, &Lasting)| {
        (cause.label().to_owned(), [row(&rows.first), row(&rows.longest), row(&rows.present)])
    };
    let late_causes =
        late.causes.iter().map(|(cause, (count, most))| (cause.label().to_owned(), *count, *most));
    EvidenceLine {
        last: *last,
        cpu_sum: *cpu_sum,
        cpu_seconds: *cpu_seconds,
        late: late.span.map(span_out),
        worst_lag: late.worst.0,
        worst_is_p99: late.worst.1,
        late_causes: late_causes.collect(),
        dropping: dropping.map(span_out),
        exhausted: exhausted.clone(),
        lasting: lasting.iter().map(rows).collect(),
        retransmits: *retransmits,
        most_retransmits: *most_retransmits,
    }
}

/// Causes that a later version knows are left out.
fn evidence_in(line: EvidenceLine) -> Evidence {
    let row = |(span, least): (SpanLine, f64)| Row { span: span_in(span), least };
    let lasting = line.lasting.into_iter().filter_map(|(cause, [first, longest, present])| {
        let rows = Lasting { first: row(first), longest: row(longest), present: row(present) };
        Some((Cause::from_label(&cause)?, rows))
    });
    let causes = line
        .late_causes
        .into_iter()
        .filter_map(|(cause, count, most)| Some((Cause::from_label(&cause)?, (count, most))));
    Evidence {
        last: line.last,
        cpu_sum: line.cpu_sum,
        cpu_seconds: line.cpu_seconds,
        late: Late {
            span: line.late.map(span_in),
            worst: (line.worst_lag, line.worst_is_p99),
            causes: causes.collect(),
        },
        dropping: line.dropping.map(span_in),
        exhausted: line.exhausted,
        lasting: lasting.collect::<BTreeMap<_, _>>(),
        retransmits: line.retransmits,
        most_retransmits: line.most_retransmits,
    }
}

fn window_out(objective: u16, tally: &WindowTally) -> WindowLine {
    let WindowTally { judged, missed, undecided, worst, first_missed, first_undecided } = tally.clone();
    WindowLine { objective, judged, missed, undecided, worst, first_missed, first_undecided }
}

fn window_in(line: WindowLine) -> (u16, WindowTally) {
    let WindowLine { objective, judged, missed, undecided, worst, first_missed, first_undecided } = line;
    (objective, WindowTally { judged, missed, undecided, worst, first_missed, first_undecided })
}

fn source_out(source: &SourceStretch) -> SourceLine {
    let figures = source
        .figures
        .iter()
        .map(|figure| (figure.name.to_string(), figure.unit.label().to_owned(), level_out(&figure.level)));
    SourceLine {
        source: source.source.to_string(),
        scrapes: source.scrapes,
        gaps: source.gaps,
        reason: source.reason.clone(),
        left_out: source.left_out,
        figures: figures.collect(),
    }
}

fn source_in(line: SourceLine) -> SourceStretch {
    let figures = line.figures.into_iter().filter_map(|(name, unit, level)| {
        let unit = ResourceUnit::from_label(&unit)?;
        Some(FigureStretch { name: name.into(), unit, level: level_in(level) })
    });
    SourceStretch {
        source: line.source.into(),
        scrapes: line.scrapes,
        gaps: line.gaps,
        reason: line.reason,
        left_out: line.left_out,
        figures: figures.collect(),
    }
}
