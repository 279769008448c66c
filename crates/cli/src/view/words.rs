//! How figures and foreign text read in a terminal.

use std::time::Duration;

use plimsoll_run::ResourceUnit;
use plimsoll_units::{ByteCount, duration};
use ratatui::text::Span;

/// Stands where there is no data.
pub(super) const NO_DATA: &str = "-";

/// A latency in seconds.
pub(super) fn latency(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| NO_DATA.to_owned(), duration::human)
}

/// Something per second.
pub(super) fn rate(value: Option<f64>) -> String {
    value.map_or_else(|| NO_DATA.to_owned(), |value| format!("{}/s", significant(value)))
}

/// A figure of a resource with its unit.
pub(super) fn amount(unit: ResourceUnit, value: f64) -> String {
    match unit {
        ResourceUnit::Cores => format!("{} cores", significant(value)),
        ResourceUnit::Ratio => format!("{}%", significant(value * 100.0)),
        ResourceUnit::Bytes => ByteCount(value.max(0.0).round() as u64).to_string(),
        ResourceUnit::Seconds => latency(Some(value)),
        ResourceUnit::PerSecond => rate(Some(value)),
        ResourceUnit::BytesPerSecond => format!("{}/s", ByteCount(value.max(0.0).round() as u64)),
        ResourceUnit::Count => significant(value),
    }
}

/// A whole number, where it is known.
pub(super) fn known(value: Option<u64>) -> String {
    value.map_or_else(|| NO_DATA.to_owned(), count)
}

/// A whole number with its thousands apart.
pub(super) fn count(value: u64) -> String {
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

/// About three significant digits: `0.00123`, `1.2`, `12.3`, `12,345`.
pub(super) fn significant(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return NO_DATA.to_owned();
    }
    if size == 0.0 {
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

/// How far a run has come, like a clock that never shows a second before it is over: `0:45`, `1:02:03`.
pub(super) fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A length in whole seconds, rounded up: `15s`, `4m30s`.
pub(super) fn length(seconds: f64) -> String {
    duration::format(Duration::from_secs(seconds.max(0.0).ceil() as u64))
}

/// Text of plans and targets on one line, without characters that steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_control() => ' ',
            // Invisible marks, and those that turn the direction of writing, can make a text read as another.
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => ' ',
            c => c,
        })
        .collect()
}

/// Text cut to `width` columns, with an ellipsis where something is missing.
pub(super) fn clipped(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width).collect();
    while !kept.is_empty() && Span::raw(&kept).width() + 1 > width {
        kept.pop();
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_read_well() {
        for (value, text) in [
            (0.0, "0"),
            (0.001_234, "0.00123"),
            (1.0, "1"),
            (9.999, "10"),
            (12.34, "12.3"),
            (99.96, "100"),
            (1234.5, "1,235"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(significant(value), text, "{value}");
        }
        assert_eq!((count(0), count(1_234_567)), ("0".into(), "1,234,567".into()));
        assert_eq!(
            (clock(59.9), clock(3723.0), clock(-1.0)),
            ("0:59".into(), "1:02:03".into(), "0:00".into())
        );
        assert_eq!((length(14.2), length(270.0), length(-3.0)), ("15s".into(), "4m30s".into(), "0s".into()));
        assert_eq!((latency(None), rate(None), known(None)), ("-".into(), "-".into(), "-".into()));
    }

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\r\nc\u{202e}d\u{9b}2Je"), "a [31mb  c d 2Je");
    }

    #[test]
    fn what_does_not_fit_says_so() {
        for (text, width, cut) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 5, "日本…"),
            ("日本", 3, "日…"),
            ("ab", 1, "…"),
            ("a", 0, ""),
        ] {
            assert_eq!(clipped(text, width), cut, "{text} in {width}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_its_place(text in ".{0,60}", width in 0_usize..40) {
            prop_assert!(Span::raw(clipped(&plain(&text), width)).width() <= width);
        }
    }
}
