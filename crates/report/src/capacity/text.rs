//! An answer under a terminal's prompt: the limit first, then what it is drawn from.

use plimsoll_capacity::{Answer, Basis, Estimate, LoadKind, Parameter, Question, Saturation, Symptom};

use super::plot::plot;
use crate::text::{Tone, Writer};
use crate::{Text, words};

/// More notes are not told on a terminal.
const NOTES: usize = 12;

/// Nor are earlier runs before the last so many.
const EARLIER: usize = 5;

/// The answer as text for a terminal, lines ended by line feeds. `when` are sentences about the date on which the
/// limit will be reached, the most important first.
pub fn capacity_text(
    name: &str,
    question: &Question,
    answer: &Answer,
    when: &[String],
    options: &Text,
) -> String {
    let mut out = Writer::new(options);
    let kind = question.points.kind();
    headline(&mut out, name, kind, answer);
    limits(&mut out, kind, answer);
    for (index, sentence) in when.iter().enumerate() {
        out.wrapped("", sentence, if index == 0 { Tone::Strong } else { Tone::Soft });
    }
    predictions(&mut out, kind, answer);
    drawing(&mut out, question, answer);
    models(&mut out, answer);
    evidence(&mut out, answer);
    for warning in answer.warnings.iter().take(NOTES) {
        out.wrapped("", &format!("note: {warning}"), Tone::Doubt);
    }
    rest(&mut out, answer.warnings.len().saturating_sub(NOTES), "notes", Tone::Doubt);
    out.files(options);
    out.finish()
}

fn headline(out: &mut Writer, name: &str, kind: LoadKind, answer: &Answer) {
    let name = out.toned(Tone::Strong, &words::plain(name));
    match answer.peak {
        Some(peak) => {
            let found = out.toned(Tone::Good, &format!("peak {}", words::rate(Some(peak.throughput))));
            out.line(&format!("{name}  {found} at {}", kind.word(peak.load)));
            let interval =
                format!("90% from {} to {}; {}", number(peak.low), number(peak.high), basis(peak.basis));
            out.wrapped("", &interval, Tone::Soft);
        }
        None => {
            let refused = out.toned(Tone::Doubt, "no peak can be told");
            out.line(&format!("{name}  {refused}"));
        }
    }
    for refusal in &answer.refusals {
        out.wrapped("", &format!("{}: {}", refusal.about, refusal.why), Tone::Doubt);
        out.wrapped("  ", &format!("next: {}", refusal.next), Tone::Soft);
    }
}

fn limits(out: &mut Writer, kind: LoadKind, answer: &Answer) {
    for limit in &answer.sla_limits {
        if let Ok(allowed) = &limit.outcome {
            out.wrapped("", &format!("{}: up to {}", limit.text, allowed.words(kind)), Tone::Strong);
        }
    }
    if let Some(point) = answer.breaking_point {
        let words = format!(
            "breaks at {} ({} to {}): {}",
            kind.word(point.load),
            words::significant(point.low),
            words::significant(point.high),
            breaks(point.symptom)
        );
        out.wrapped("", &words, Tone::Soft);
    }
    for left in &answer.headroom {
        let percent = |ratio: f64| format!("{:.0}%", ratio * 100.0);
        let words = format!(
            "headroom over {} ({}): {} ({} to {}) of the limit by {}",
            left.name,
            words::rate(Some(left.traffic)),
            percent(left.ratio),
            percent(left.low),
            percent(left.high),
            left.of
        );
        out.wrapped("", &words, if left.low < 0.0 { Tone::Bad } else { Tone::Good });
    }
    for supposed in &answer.what_if {
        let runs_out = supposed.bottleneck.as_ref().map(|name| format!("; {name} runs out first"));
        let words = format!(
            "with {}: {}{}",
            supposed.change,
            range(supposed.throughput),
            runs_out.unwrap_or_default()
        );
        out.wrapped("", &words, Tone::Strong);
        out.wrapped("  ", &format!("if {}", supposed.assumption), Tone::Soft);
    }
}

fn predictions(out: &mut Writer, kind: LoadKind, answer: &Answer) {
    for prediction in &answer.predictions {
        let found = prediction.throughput.map_or(words::NO_DATA.to_owned(), range);
        out.line(&format!("at {:<14} {found}", kind.word(prediction.load)));
    }
}

fn drawing(out: &mut Writer, question: &Question, answer: &Answer) {
    let levels = question.points.levels();
    let points: Vec<(f64, f64)> = levels.iter().map(|level| (level.load, level.throughput)).collect();
    let chosen = answer.models.iter().find(|model| Some(model.name) == answer.chosen);
    let lines = plot(&points, |load| chosen.map(|model| model.at(load)), out.width(), number);
    if !lines.is_empty() {
        out.line("");
        let name = chosen.map_or("no model", |model| model.name.label());
        out.wrapped("", &format!("throughput against load; ● measured, · {name}"), Tone::Soft);
        lines.iter().for_each(|line| out.line(line));
    }
}

fn models(out: &mut Writer, answer: &Answer) {
    if answer.models.is_empty() {
        return;
    }
    out.line("");
    let head = out.toned(Tone::Soft, &format!("{:<14}{:>12}{:>9}  parameters", "model", "error ahead", "R2"));
    out.line(&head);
    for model in &answer.models {
        let parameters: Vec<String> = model
            .parameters
            .iter()
            .map(|parameter| match parameter.standard_error {
                _ if !parameter.identified => format!("{} not identified", parameter.name),
                Some(error) => format!("{} {} ±{}", parameter.name, short(parameter.value), short(error)),
                None => format!("{} {}", parameter.name, short(parameter.value)),
            })
            .collect();
        let chosen = if Some(model.name) == answer.chosen { "*" } else { "" };
        let r2 = model.r2.map_or(words::NO_DATA.to_owned(), |r2| format!("{r2:.4}"));
        out.line(&format!(
            "{:<14}{:>12}{r2:>9}  {}",
            format!("{}{chosen}", model.name.label()),
            words::ratio(model.cross_validated_error()),
            parameters.join(", ")
        ));
    }
}

fn evidence(out: &mut Writer, answer: &Answer) {
    out.line("");
    for model in &answer.latency_models {
        let word = |parameter: &Parameter| match parameter.identified {
            true => format!("{} {}", parameter.name, short(parameter.value)),
            false => format!("{} not identified", parameter.name),
        };
        let parameters: Vec<String> = model.parameters.iter().map(word).collect();
        let words = format!(
            "{} as {}: {}; inner levels foretold within {}",
            model.quantile,
            model.name.label(),
            parameters.join(", "),
            words::ratio(model.cross_validated_error)
        );
        out.wrapped("", &words, Tone::Soft);
    }
    let verdict = saturation(answer.saturation);
    let gain =
        answer.last_gain.map(|gain| format!(": the last doubling of load gained {:.1}%", gain * 100.0));
    out.wrapped("", &format!("{verdict}{}", gain.unwrap_or_default()), Tone::Soft);
    for limit in &answer.resources {
        let estimate = Estimate { value: limit.throughput, low: limit.low, high: limit.high };
        let words = format!(
            "{} was {:.0}% busy at most and runs out at {}",
            limit.name,
            limit.busiest * 100.0,
            range(estimate)
        );
        out.wrapped("", &words, Tone::Soft);
    }
    let accepted: Vec<_> = answer.history.iter().filter(|earlier| earlier.outcome.is_ok()).collect();
    let more = accepted.len().saturating_sub(EARLIER);
    for earlier in &accepted[more..] {
        if let Ok(scaled) = &earlier.outcome {
            let words = format!(
                "earlier run {}: {:.3} times its throughput, levels agree within {:.1}%; its own peak was {}",
                earlier.name,
                scaled.ratio,
                scaled.disagreement * 100.0,
                number(scaled.earlier_peak)
            );
            out.wrapped("", &words, Tone::Soft);
        }
    }
    rest(out, more, "earlier runs", Tone::Soft);
}

fn rest(out: &mut Writer, more: usize, what: &str, tone: Tone) {
    if more > 0 {
        out.wrapped("", &format!("{} more {what}: --json", words::count(more as u64)), tone);
    }
}

/// What a peak is drawn from.
pub(super) fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Measured => "it was seen: the last doubling of load gained hardly anything",
        Basis::Model => "a model carried the curve on from where it was nearly flat",
        Basis::History => "an earlier run of the service, scaled to this one",
        Basis::Utilisation => "the utilisation of the resource that runs out first",
    }
}

/// How overload shows.
pub(super) fn breaks(symptom: Symptom) -> &'static str {
    match symptom {
        Symptom::Errors => "more than 1% of requests fail",
        Symptom::Saturation => "more load brings no more throughput",
    }
}

/// How near to its limit the service was brought.
pub(super) fn saturation(saturation: Saturation) -> &'static str {
    match saturation {
        Saturation::Saturated => "saturated",
        Saturation::Nearly => "nearly saturated",
        Saturation::NotSaturated => "not saturated",
    }
}

fn range(estimate: Estimate) -> String {
    format!("{}/s (90% from {} to {})", number(estimate.value), number(estimate.low), number(estimate.high))
}

pub(super) fn number(value: f64) -> String {
    words::significant(value)
}

/// A parameter: some are millions, some millionths.
pub(super) fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 { format!("{value:.2e}") } else { words::significant(value) }
}
