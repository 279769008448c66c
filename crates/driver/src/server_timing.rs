//! `server-timing`: what a target says of itself in its answers.
//!
//! Read as browsers read it (W3C Server Timing, the parsing algorithm of its header): entries between commas,
//! parameters between semicolons, a value that is a token or a quoted text, names of parameters in any case,
//! the first of two parameters of one name. What does not fit is passed over up to the next separator.
//! Unlike there, a duration that is no number is none and not zero.

/// What an entry says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entry {
    /// `dur` as it stands: milliseconds.
    pub(crate) duration: Option<String>,
    /// `desc`.
    pub(crate) description: Option<String>,
}

/// The first entry with a name among the values of all `server-timing` headers.
pub(crate) fn find<'h>(values: impl IntoIterator<Item = &'h [u8]>, name: &str) -> Option<Entry> {
    values.into_iter().find_map(|value| find_in(value, name.as_bytes()))
}

fn find_in(value: &[u8], wanted: &[u8]) -> Option<Entry> {
    let mut cursor = Cursor(value);
    while !cursor.0.is_empty() {
        cursor.skip_space();
        let name = cursor.token();
        let entry = cursor.parameters();
        if name == wanted {
            return Some(entry);
        }
    }
    None
}

/// What is left to read.
struct Cursor<'h>(&'h [u8]);

impl<'h> Cursor<'h> {
    /// The parameters of an entry, up to the comma behind it, which is taken too.
    fn parameters(&mut self) -> Entry {
        let mut entry = Entry::default();
        loop {
            self.skip_while(|byte| byte != b';' && byte != b',');
            if self.take() != Some(b';') {
                return entry;
            }
            self.skip_space();
            let name = self.token();
            self.skip_space();
            let value = if self.0.first() == Some(&b'=') { self.value() } else { String::new() };
            let known = match () {
                () if name.eq_ignore_ascii_case(b"dur") => &mut entry.duration,
                () if name.eq_ignore_ascii_case(b"desc") => &mut entry.description,
                () => continue,
            };
            known.get_or_insert(value);
        }
    }

    /// What stands behind `=`.
    fn value(&mut self) -> String {
        self.take();
        self.skip_space();
        if self.0.first() != Some(&b'"') {
            return String::from_utf8_lossy(self.token()).into_owned();
        }
        self.take();
        let mut text = Vec::new();
        while let Some(byte) = self.take() {
            match byte {
                b'"' => break,
                // One that escapes nothing ends the value.
                b'\\' => text.extend(self.take()),
                byte => text.push(byte),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip_space(&mut self) {
        self.skip_while(|byte| byte == b' ' || byte == b'\t');
    }

    /// A token of RFC 9110, perhaps empty.
    fn token(&mut self) -> &'h [u8] {
        self.skip_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    }

    fn skip_while(&mut self, skipped: impl Fn(u8) -> bool) -> &'h [u8] {
        let end = self.0.iter().position(|byte| !skipped(*byte)).unwrap_or(self.0.len());
        let (skipped, rest) = self.0.split_at(end);
        self.0 = rest;
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(header: &str, name: &str) -> Option<(Option<String>, Option<String>)> {
        let values = header.split('\n').map(str::as_bytes);
        find(values, name).map(|entry| (entry.duration, entry.description))
    }

    /// A line feed stands between headers.
    #[test]
    fn entries_are_read_as_browsers_read_them() {
        let some = |dur: &str| Some((Some(dur.to_owned()), None));
        let with = |dur: &str, desc: &str| Some((Some(dur.to_owned()), Some(desc.to_owned())));
        for (header, expected) in [
            ("", None),
            (",,", None),
            ("dbx;dur=1", None),
            ("Db;dur=1", None),
            ("db", Some((None, None))),
            ("db;dur=53", some("53")),
            ("db;dur=53.2, app;dur=1", some("53.2")),
            ("app;dur=1,db;dur=53", some("53")),
            ("cache;desc=\"a, db;dur=9\", db;dur=2", some("2")),
            ("db ; dur = 5 ; desc = x", with("5", "x")),
            ("db;desc=x;dur=5", with("5", "x")),
            ("db;DUR=5;Desc=x", with("5", "x")),
            ("db;dur=5;dur=6", some("5")),
            ("db;dur=\"5\"", some("5")),
            ("db;desc=\"say \\\"hi\\\"\";dur=1", with("1", "say \"hi\"")),
            ("db;dur", Some((Some(String::new()), None))),
            ("db;dur=;x", Some((Some(String::new()), None))),
            ("db;dur=5 ms;desc=x", with("5", "x")),
            ("db;other=3;dur=5", some("5")),
            ("db;;dur=5", some("5")),
            ("db = 3 ;dur=5", some("5")),
            ("(bad);dur=1, db;dur=5", some("5")),
            ("db;dur=1, db;dur=2", some("1")),
            ("app;dur=1\ndb;dur=5", some("5")),
            ("db;desc=\"never ends;dur=5", Some((None, Some("never ends;dur=5".to_owned())))),
            ("db;desc=\"ends so\\", Some((None, Some("ends so".to_owned())))),
        ] {
            assert_eq!(found(header, "db"), expected, "{header:?}");
        }
    }

    fn quoted(text: &str) -> String {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }

    proptest! {
        #[test]
        fn what_is_written_by_the_grammar_is_found(
            before in prop::collection::vec(("[a-z]{3,5}", "[ -~]{0,8}", "[ \t]{0,2}"), 0..4),
            description in "[ -~]{0,12}",
            duration in 0.0..1e9_f64,
            first in any::<bool>(),
            split in any::<bool>(),
        ) {
            let others = before.iter().map(|(name, text, space)| {
                format!("{name}{space};{space}desc{space}={space}{}", quoted(text))
            });
            let (dur, desc) = (format!("dur={duration}"), format!("desc={}", quoted(&description)));
            let mine = if first { format!("db;{dur};{desc}") } else { format!("db ; {desc} ;\t{dur}") };
            let all: Vec<String> = others.chain([mine]).collect();
            let header = all.join(if split { "\n" } else { " ,\t" });
            prop_assert_eq!(found(&header, "db"), Some((Some(duration.to_string()), Some(description))));
        }

        #[test]
        fn no_header_panics_or_hangs(header in prop::collection::vec(any::<u8>(), 0..80), text in "[;,= \"\\\\durdbesc0-9.]{0,60}") {
            let _ = find([&header[..], text.as_bytes()], "db");
            let _ = find([text.as_bytes()], "");
        }
    }
}
