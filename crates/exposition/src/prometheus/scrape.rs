//! Reading what others expose: Prometheus' text format 0.0.4, and OpenMetrics text as far as it agrees.
//!
//! A text comes from outside. It is read line by line without copying it; a line that is none of the
//! format ends the reading, as it does in Prometheus, because what is half understood is not to be
//! trusted. Comments, time stamps and exemplars are passed over.

use std::borrow::Cow;
use std::collections::HashMap;

/// What a family of metrics is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only counts up, save when its process starts again.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Nobody said; its name may.
    Unknown,
}

/// One series' value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'t> {
    /// The sample's own name: of a histogram with `_bucket`, `_sum` or `_count`.
    pub name: Cow<'t, str>,
    /// Names and values in the order of the text.
    pub labels: Vec<(Cow<'t, str>, Cow<'t, str>)>,
    /// Any number: also infinite, or none.
    pub value: f64,
    /// What its family was said to be; parts of histograms and summaries that count are counters.
    pub kind: Kind,
}

impl Sample<'_> {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }
}

/// A line that is none of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not in Prometheus' text format")]
pub struct Malformed {
    /// Its number, from 1.
    pub line: usize,
}

/// The samples of a text, up to the first line that is none of the format.
pub fn samples(text: &str) -> Samples<'_> {
    Samples { lines: text.split('\n').enumerate(), kinds: HashMap::new(), failed: false }
}

/// See [`samples`].
#[derive(Debug)]
pub struct Samples<'t> {
    lines: std::iter::Enumerate<std::str::Split<'t, char>>,
    kinds: HashMap<&'t str, &'t str>,
    failed: bool,
}

impl<'t> Iterator for Samples<'t> {
    type Item = Result<Sample<'t>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let (index, line) = self.lines.next()?;
            let line = line.trim_matches([' ', '\t', '\r']);
            if let Some(comment) = line.strip_prefix('#') {
                let mut words = comment.split_ascii_whitespace();
                if let (Some("TYPE"), Some(family), Some(kind)) = (words.next(), words.next(), words.next()) {
                    self.kinds.insert(family.trim_matches('"'), kind);
                }
            } else if !line.is_empty() {
                let sample = sample(line).map(|sample| Sample { kind: self.kind(&sample.name), ..sample });
                self.failed = sample.is_none();
                return Some(sample.ok_or(Malformed { line: index + 1 }));
            }
        }
        None
    }
}

impl Samples<'_> {
    fn kind(&self, name: &str) -> Kind {
        match self.kinds.get(name).copied() {
            Some("counter") => return Kind::Counter,
            Some("gauge") => return Kind::Gauge,
            _ => {}
        }
        let family = |suffix| name.strip_suffix(suffix).and_then(|family| self.kinds.get(family)).copied();
        let parts = ["_bucket", "_count", "_sum"];
        let is_part = parts.into_iter().any(|part| matches!(family(part), Some("histogram" | "summary")));
        if is_part || family("_total") == Some("counter") { Kind::Counter } else { Kind::Unknown }
    }
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, rest) = line.split_at(line.find(['{', ' ', '\t'])?);
    let (mut name, mut labels, mut rest) = (Cow::Borrowed(name), Vec::new(), rest.trim_start());
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            inside = inside.trim_start();
            if let Some(end) = inside.strip_prefix('}') {
                rest = end;
                break;
            }
            let (key, after) = key(inside)?;
            let after = after.trim_start();
            match after.strip_prefix('=') {
                Some(value) => {
                    let (value, after) = quoted(value.trim_start())?;
                    labels.push((key, value));
                    inside = after.trim_start();
                }
                // Names beyond letters and digits stand in quotes among the labels.
                None if name.is_empty() && inside.starts_with('"') => (name, inside) = (key, after),
                None => return None,
            }
            match inside.strip_prefix(',') {
                Some(more) => inside = more,
                None if inside.starts_with('}') => {}
                None => return None,
            }
        }
    }
    if name.is_empty() {
        return None;
    }
    // After the value come a time stamp and, in OpenMetrics, an exemplar behind a `#`.
    let value = rest.split_once('#').map_or(rest, |(value, _)| value);
    let mut words = value.split_ascii_whitespace();
    let value = words.next()?.parse().ok()?;
    let time_stamp_fits = words.next().is_none_or(|word| word.parse::<f64>().is_ok());
    (time_stamp_fits && words.next().is_none()).then_some(Sample { name, labels, value, kind: Kind::Unknown })
}

/// The name of a label, and what follows it.
fn key(text: &str) -> Option<(Cow<'_, str>, &str)> {
    if text.starts_with('"') {
        return quoted(text);
    }
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
    let (key, rest) = text.split_at(text.find(|letter| !is_letter(letter))?);
    (!key.is_empty()).then_some((Cow::Borrowed(key), rest))
}

/// A text in double quotes, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })?;
    let (value, rest) = (inside.get(..end)?, inside.get(end + 1..)?);
    Some((unescaped(value), rest))
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => out.push('\n'),
                // What is escaped without need stands for itself.
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            letter => out.push(letter),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::Fixture;
    use crate::prometheus::Format;
    use crate::{Metrics, Value};

    /// Each sample as `name{label=value,...} value kind`.
    fn read(text: &str) -> Vec<String> {
        let sample = |sample: Result<Sample<'_>, Malformed>| match sample {
            Err(malformed) => malformed.to_string(),
            Ok(Sample { name, labels, value, kind }) => {
                let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{name}{{{}}} {value} {kind:?}", labels.join(","))
            }
        };
        samples(text).map(sample).collect()
    }

    #[test]
    fn samples_are_read_as_they_are_written() {
        for (text, expected) in [
            ("", vec![]),
            ("\n  \n# HELP up words { \"\n#\n# TYPE\n", vec![]),
            ("up 1", vec!["up{} 1 Unknown"]),
            ("up 1\r\n", vec!["up{} 1 Unknown"]),
            ("up\t{ }\t1.5e3 1395066363000", vec!["up{} 1500 Unknown"]),
            ("a:b{c=\"d\",e=\"f,}\\\"\\\\\\n\",} -Inf", vec!["a:b{c=d,e=f,}\"\\\n} -inf Unknown"]),
            ("a { c = \"d\" , e = \"ü\" } NaN", vec!["a{c=d,e=ü} NaN Unknown"]),
            (
                "# TYPE a counter\n# TYPE b gauge\n# TYPE c summary\na 1\nb 2\nc 3\nc_sum 4\nc_count 5",
                vec![
                    "a{} 1 Counter",
                    "b{} 2 Gauge",
                    "c{} 3 Unknown",
                    "c_sum{} 4 Counter",
                    "c_count{} 5 Counter",
                ],
            ),
            ("# TYPE a counter\na_total 1 # {trace=\"x\"} 0.5 1.2\n# EOF", vec!["a_total{} 1 Counter"]),
            (
                "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_created 9",
                vec!["h_bucket{le=+Inf} 3 Counter", "h_created{} 9 Unknown"],
            ),
            ("{\"my.metric\",\"my.label\"=\"x\"} 2", vec!["my.metric{my.label=x} 2 Unknown"]),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_line_that_is_none_ends_the_reading() {
        for line in [
            "up",
            "up one",
            "up 1 2 3",
            "up 1 soon",
            "up{a} 1",
            "up{a=b} 1",
            "up{a=\"b} 1",
            "up{a=\"b\" c=\"d\"} 1",
            "up{a=\"b\"",
            "{a=\"b\"} 1",
            "{} 1",
            "up{\"other\"} 1",
            "<html><body>Not Found</body></html>",
            "{\"error\": \"json\"}",
        ] {
            let text = format!("first 1\n{line}\nlast 1");
            let expected = ["first{} 1 Unknown", "line 2 is not in Prometheus' text format"];
            assert_eq!(read(&text), expected, "{line}");
        }
    }

    #[test]
    fn what_we_write_is_read() {
        let (mut metrics, mut fixture) = (Metrics::new(), Fixture::busy());
        metrics.apply("run", &fixture.start_event());
        metrics.apply("run", &fixture.second());
        let families = metrics.families(&[]);
        let levels = families.iter().flat_map(|family| {
            family.points.iter().filter_map(|point| match point.value {
                Value::Gauge(level) => Some((family.metric.name.to_owned(), level)),
                Value::Counter(_) | Value::Histogram(_) => None,
            })
        });
        let levels: Vec<_> = levels.collect();
        for format in [Format::Text, Format::OpenMetrics] {
            let text = String::from_utf8(format.encode(&families)).unwrap();
            let read: Vec<_> = samples(&text).collect::<Result<_, _>>().unwrap();
            let gauges: Vec<_> = read
                .iter()
                .filter(|sample| sample.kind == Kind::Gauge)
                .map(|sample| (sample.name.clone().into_owned(), sample.value))
                .collect();
            let shown = |(name, _): &&(String, f64)| gauges.iter().any(|(known, _)| known == name);
            assert_eq!(gauges, levels.iter().filter(shown).cloned().collect::<Vec<_>>(), "{format:?}");
            assert!(gauges.len() > 20, "{gauges:?}");
        }
    }

    /// The cases of OpenMetrics itself. What it allows is read, sample for sample. Of what it forbids, lines that cannot be
    /// read are refused; the rest (orders, clashes, blanks, missing ends) the older format allows, which is the one asked for.
    #[test]
    fn cases_of_openmetrics_are_read_sample_for_sample() {
        let Some(folder) = std::env::var_os("PLIMSOLL_CONFORMANCE") else {
            eprintln!("NOT RUN: the cases of OpenMetrics (PLIMSOLL_CONFORMANCE is not set)");
            return;
        };
        let folder = std::path::Path::new(&folder).join("openmetrics/tests/testdata/parsers");
        let unreadable =
            ["bad_missing_equal", "bad_missing_value", "bad_missing_or_wrong_quotes", "bad_text_after_eof_0"];
        let (mut allowed, mut refused) = (0, 0);
        for case in std::fs::read_dir(folder).unwrap() {
            let case = case.unwrap().path();
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            let test: serde_json::Value =
                serde_json::from_slice(&std::fs::read(case.join("test.json")).unwrap()).unwrap();
            let bytes = std::fs::read(case.join(test["file"].as_str().unwrap())).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let read: Vec<_> = samples(&text).collect();
            if test["shouldParse"] == true {
                allowed += 1;
                let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
                assert!(read.len() == lines && read.iter().all(Result::is_ok), "{name}: {read:?}");
            } else if unreadable.iter().any(|kind| name.starts_with(kind)) {
                refused += 1;
                assert!(read.iter().any(Result::is_err), "{name}: {read:?}");
            }
        }
        assert!(allowed >= 44 && refused >= 10, "{allowed} and {refused}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}|([a-z_]{1,5}|[{}\",= \t\\\\#]|[0-9.eE+-]{1,5}|\n){0,30}") {
            samples(&text).for_each(drop);
        }

        #[test]
        fn any_label_value_comes_back(value in any::<String>(), number in any::<f64>()) {
            let written = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let text = format!("a{{b=\"{written}\"}} {number}");
            let sample = samples(&text).next().unwrap().unwrap();
            prop_assert_eq!(sample.label("b"), Some(value.as_str()));
            prop_assert!(sample.value == number || number.is_nan() && sample.value.is_nan());
        }
    }
}
