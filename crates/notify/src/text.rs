//! Foreign text made fit for messages: names and reasons come from plans, targets and whoever writes there.

use jiff::Timestamp;
use plimsoll_units::duration;
use std::time::Duration;

/// A text on one line without what could steer whoever shows it, of at most so many characters.
///
/// Control characters would end headers and lines; signs that turn the direction of text or have no width would make
/// it read as something else.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(most * 4));
    for letter in text.chars() {
        match letter {
            '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' => {}
            letter if letter.is_control() || letter.is_whitespace() => {
                if !clean.ends_with(' ') {
                    clean.push(' ');
                }
            }
            letter => clean.push(letter),
        }
    }
    shortened(clean.trim(), most)
}

/// The beginning of a text, with a sign where something is missing.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// `a, b, c and 4 more`.
pub(crate) fn listed<'t>(names: impl ExactSizeIterator<Item = &'t str>, most: usize) -> String {
    let all = names.len();
    let shown: Vec<&str> = names.take(most).collect();
    match all - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `1 run`, `3 runs`.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// `2026-11-23 05:05:36 UTC`; what no calendar knows is told as it is.
pub(crate) fn moment(seconds: u64) -> String {
    let known = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    known.map_or_else(|| seconds.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// `2026-11-23T05:05:36Z`.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let known = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    known.unwrap_or_default().to_string()
}

/// `12m3s`.
pub(crate) fn span(seconds: u64) -> String {
    duration::format(Duration::from_secs(seconds))
}

/// A text within HTML, in elements and in attributes.
pub(crate) fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// A part of the path of a URL, or of its fragment.
pub(crate) fn path(part: &str) -> String {
    let mut safe = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                safe.push(char::from(byte));
            }
            byte => safe.push_str(&format!("%{byte:02X}")),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_taken_out() {
        assert_eq!(plain("a\r\nBcc: b@example.com", 99), "a Bcc: b@example.com");
        assert_eq!(plain("\u{202E}txt.exe\u{200B}\u{0}", 99), "txt.exe");
        assert_eq!(plain("é".repeat(10).as_str(), 4), "ééé…");
        assert_eq!(plain("", 4), "");
    }

    #[test]
    fn lists_say_how_many_are_missing() {
        assert_eq!(listed(["a", "b", "c"].into_iter(), 3), "a, b, c");
        assert_eq!(listed(["a", "b", "c"].into_iter(), 1), "a and 2 more");
    }

    #[test]
    fn moments_are_told_in_utc() {
        assert_eq!(moment(1_614_265_330), "2021-02-25 15:02:10 UTC");
        assert_eq!(rfc3339(1_614_265_330), "2021-02-25T15:02:10Z");
        assert_eq!(moment(u64::MAX), u64::MAX.to_string());
        assert_eq!(span(723), "12m3s");
    }

    proptest::proptest! {
        #[test]
        fn text_is_one_bounded_line(text in ".{0,300}", most in 1..100_usize) {
            let clean = plain(&text, most);
            proptest::prop_assert!(clean.chars().count() <= most && !clean.chars().any(char::is_control));
        }
    }
}
