//! How figures read in every format that is for people.

use plimsoll_measure::{CloseReason, ConnectionFigures, Interval, Opening};
use plimsoll_run::{Model, ObjectiveSummary, SamplesCount, StageShape, Summary};
use plimsoll_sla::{Recovery, Verdict};
use plimsoll_units::duration;

/// Stands where there is no data.
pub(crate) const NO_DATA: &str = "–";

/// The verdict as a word, also where there is none.
pub(crate) fn verdict_word(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("no critical objectives", Verdict::label)
}

/// How it ended, also while it has not.
pub(crate) fn status_word(summary: &Summary) -> &'static str {
    summary.status.map_or("running", |status| status.label())
}

/// A length of time that was measured.
pub(crate) fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| NO_DATA.to_owned(), duration::human)
}

/// How long a target took to be itself again after a spike; nothing for another stage.
pub(crate) fn recovery(recovery: Option<Recovery>) -> String {
    match recovery {
        None => String::new(),
        Some(Recovery::After(seconds)) => duration::human(seconds),
        Some(Recovery::AtLeast(seconds)) if seconds > 0.0 => {
            format!("not within {}", duration::human(seconds))
        }
        Some(Recovery::AtLeast(_) | Recovery::Unknown) => NO_DATA.to_owned(),
    }
}

/// Within what a length of time lies.
pub(crate) fn interval(interval: Option<Interval>) -> String {
    interval.map_or_else(
        || NO_DATA.to_owned(),
        |Interval { low, high }| format!("{} to {}", duration::human(low), duration::human(high)),
    )
}

/// The same where there is little room: `18.4–20.1 ms`, the unit once where both ends share it.
pub(crate) fn narrow_interval(interval: Option<Interval>) -> String {
    let Some(Interval { low, high }) = interval else { return NO_DATA.to_owned() };
    let (low, high) = (duration::human(low), duration::human(high));
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number}–{high}"),
        _ => format!("{low}–{high}"),
    }
}

/// Something per second.
pub(crate) fn rate(value: Option<f64>) -> String {
    value.map_or_else(|| NO_DATA.to_owned(), |value| format!("{}/s", significant(value)))
}

/// A share of one as a percentage.
pub(crate) fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| NO_DATA.to_owned(), |value| format!("{}%", significant(value * 100.0)))
}

/// What became of the requests chosen for the file of samples.
pub(crate) fn samples(samples: SamplesCount) -> String {
    format!("{} requests written, {} skipped", count(samples.written), count(samples.skipped))
}

/// A whole number with its thousands apart.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// About three significant digits: `0`, `0.00123`, `1.2`, `12.3`, `123`, `12,345`.
pub(crate) fn significant(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size == 0.0 {
        return "0".to_owned();
    }
    if size >= 99.95 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(size.round() as u64));
    }
    let digits = 2 - (size.log10().floor() as i32).clamp(-9, 2);
    let text = format!("{value:.*}", digits.unsigned_abs() as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A place in a run: `0:45`, `12:30`, `1:02:03`.
pub(crate) fn offset(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// How long something took: `1m30s`, `8.25s`.
pub(crate) fn length(seconds: f64) -> String {
    if seconds >= 60.0 {
        duration::format(std::time::Duration::from_secs(seconds.round() as u64))
    } else {
        format!("{}s", significant(seconds.max(0.0)))
    }
}

/// A moment as RFC 3339 in UTC, given in nanoseconds since 1970.
pub(crate) fn moment(nanos: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanos))
        .map_or_else(|_| NO_DATA.to_owned(), |moment| moment.to_string())
}

/// The same to the second, as people read it.
pub(crate) fn moment_for_people(nanos: i64) -> String {
    let whole = moment(nanos - nanos.rem_euclid(1_000_000_000));
    whole.replace('T', " ").replace('Z', " UTC")
}

/// A figure of an objective in the unit of what it measures.
pub(crate) fn figure(objective: &ObjectiveSummary, value: Option<f64>) -> String {
    let Some(value) = value else { return NO_DATA.to_owned() };
    objective.figure.human(value)
}

/// What a stage asks for: `ramp to 200/s`, `hold 64 users`, `schedule up to 90/s`, `pause`.
pub(crate) fn stage(stage: &StageShape, model: Model) -> String {
    let level = format!("{}{}", significant(stage.peak()), model.unit());
    match stage.kind.as_str() {
        "pause" => "pause".to_owned(),
        "ramp" => format!("ramp to {}{}", significant(stage.to), model.unit()),
        kind if !stage.course.is_empty() => format!("{kind} up to {level}"),
        kind => format!("{kind} {level}"),
    }
}

/// How many connections were opened, and with what handshakes.
pub(crate) fn opened(figures: &ConnectionFigures) -> String {
    let all = count(figures.opened_in_all());
    let (full, resumed) = (figures.opened(Opening::TlsFull), figures.opened(Opening::TlsResumed));
    if full + resumed == 0 {
        return all;
    }
    format!("{all} ({} with a full TLS handshake, {} resumed)", count(full), count(resumed))
}

/// Why connections were closed, after their number.
pub(crate) fn close_reason(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::IdleClosed => "by the target while idle",
        CloseReason::TargetClosed => "by the target with an answer",
        CloseReason::Error => "broken under a request",
        CloseReason::Timeout => "after a time-out",
        CloseReason::TooLarge => "after an answer too large",
        CloseReason::UnaskedBytes => "after bytes nobody asked for",
        CloseReason::Elsewhere => "to make room for another host",
        CloseReason::UserEnded => "with their user",
        CloseReason::RunEnded => "at the end of the run",
        CloseReason::GoAway => "by GOAWAY",
        CloseReason::IdleTimeout => "because nobody had used them for long",
        CloseReason::NotReused => "after their one request",
    }
}

/// Text of plans and targets on one line, without characters that steer a terminal or break XML.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_control() => ' ',
            // Marks that turn the direction of writing can make a text read as another.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
            '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => ' ',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        for (value, text) in [
            (0.0, "0"),
            (0.001_234, "0.00123"),
            (0.05, "0.05"),
            (1.0, "1"),
            (1.234, "1.23"),
            (9.999, "10"),
            (12.34, "12.3"),
            (99.96, "100"),
            (1234.5, "1,235"),
            (-1234.4, "-1,234"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(significant(value), text, "{value}");
        }
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(offset(59.9), "1:00");
        assert_eq!(offset(3723.0), "1:02:03");
        assert_eq!(length(8.25), "8.25s");
        assert_eq!(length(3600.0), "1h");
        assert_eq!(moment(1_700_000_000_500_000_000), "2023-11-14T22:13:20.5Z");
        assert_eq!(moment_for_people(1_700_000_000_500_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!((seconds(None), rate(None), ratio(None)), ("–".into(), "–".into(), "–".into()));
    }

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\nc\u{202e}d"), "a [31mb c d");
    }
}
