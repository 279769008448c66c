//! InfluxDB line protocol: one point per second and series.
//!
//! A point is what one second added, never a running sum, so a query sums points up and a restart
//! loses nothing. The measurement is the metric's name less its last suffix; tags are its labels and
//! `run`. Counters have the integer field `count`, levels the float field `value`, histograms the
//! integers `count` and `le_<edge>` (cumulative, edge in seconds) and the floats `sum`, `min` and
//! `max` (seconds). There are no percentile fields: percentiles cannot be added up.
//!
//! Writing a point again overwrites it with itself, so delivering twice does no harm.

use std::borrow::Cow;
use std::fmt::Write as _;

use plimsoll_measure::{Distribution, Edges};

use crate::number::{seconds, shortest};
use crate::{Change, Reading, Report};

/// One point as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Point<'a> {
    /// The measurement's name, not empty.
    pub measurement: &'a str,
    /// Tags; those with an empty value are left out, because the protocol has none.
    pub tags: Vec<(&'a str, Cow<'a, str>)>,
    /// Fields, at least one.
    pub fields: Vec<(&'a str, Field)>,
    /// Nanoseconds since 1970.
    pub wall_nanos: i64,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// 64 bits, signed.
    Integer(i64),
    /// Finite.
    Float(f64),
}

/// Writes what an event means for the run's series, one line each. Lines without a value are left
/// out, so there may be fewer than readings.
pub fn encode(report: &Report, run: &str) -> Vec<String> {
    let mut names = EdgeNames::default();
    let line = |reading| line(reading, run, report.wall_nanos, &mut names);
    report.readings.iter().filter_map(line).collect()
}

/// The fields' names of the edges last seen: nearly always those of the next histogram too.
#[derive(Debug, Default)]
struct EdgeNames {
    edges: Option<Edges>,
    names: Vec<String>,
}

impl EdgeNames {
    fn of(&mut self, edges: &Edges) -> &[String] {
        if self.edges.as_ref() != Some(edges) {
            self.names = edges.nanos().iter().map(|edge| format!("le_{}", seconds(*edge))).collect();
            self.edges = Some(edges.clone());
        }
        &self.names
    }
}

fn line(reading: &Reading, run: &str, wall_nanos: i64, names: &mut EdgeNames) -> Option<String> {
    let fields = match &reading.change {
        Change::Count(count) => vec![("count", integer(*count))],
        Change::Level(level) => vec![("value", Field::Float(level.filter(|level| level.is_finite())?))],
        Change::Durations(durations) => histogram(durations, names)?,
    };
    let labels = reading.metric.labels.iter().copied().zip(&reading.labels);
    let mut tags: Vec<_> = labels.map(|(name, value)| (name, tag_value(value))).collect();
    if !reading.metric.labels.contains(&"run") {
        tags.push(("run", tag_value(run)));
    }
    let mut out = String::with_capacity(512);
    write(&mut out, &Point { measurement: reading.metric.measurement(), tags, fields, wall_nanos });
    Some(out)
}

fn histogram<'n>(durations: &Distribution, names: &'n mut EdgeNames) -> Option<Vec<(&'n str, Field)>> {
    let (min, max) = (durations.min()?, durations.max()?);
    let mut fields = Vec::with_capacity(4 + durations.edges().nanos().len());
    fields.extend([
        ("count", integer(durations.count())),
        ("sum", Field::Float(durations.sum() as f64 / 1e9)),
        ("min", Field::Float(seconds(min))),
        ("max", Field::Float(seconds(max))),
    ]);
    let mut cumulative = 0;
    for (name, count) in names.of(durations.edges()).iter().zip(durations.at_edges()) {
        cumulative += count;
        fields.push((name, integer(cumulative)));
    }
    Some(fields)
}

fn integer(count: u64) -> Field {
    Field::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A text that every reader of the protocol takes for the same tag value.
///
/// The protocol cannot say a line feed, and readers disagree about a backslash before a character
/// that has a meaning, another backslash or the end. Control characters become spaces, and such
/// backslashes become slashes; all else stays.
pub fn tag_value(text: &str) -> Cow<'_, str> {
    if !text.contains(|letter: char| letter.is_control() || letter == '\\') {
        return Cow::Borrowed(text);
    }
    let mut letters = text.trim_end_matches(char::is_control).chars().peekable();
    let mut out = String::with_capacity(text.len());
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied();
        out.push(match letter {
            letter if letter.is_control() => ' ',
            '\\' if next
                .is_none_or(|next| matches!(next, '\\' | ',' | '=' | ' ' | '"') || next.is_control()) =>
            {
                '/'
            }
            letter => letter,
        });
    }
    Cow::Owned(out)
}

/// Writes one point, without a line feed after it.
pub fn write(out: &mut String, point: &Point<'_>) {
    escape(out, point.measurement, &[',', ' ']);
    for (name, value) in point.tags.iter().filter(|(_, value)| !value.is_empty()) {
        out.push(',');
        escape(out, name, &[',', '=', ' ']);
        out.push('=');
        escape(out, value, &[',', '=', ' ']);
    }
    let mut mark = ' ';
    for (name, value) in &point.fields {
        out.push(mark);
        mark = ',';
        escape(out, name, &[',', '=', ' ']);
        out.push('=');
        // Writing into a string cannot fail.
        let _ = match value {
            Field::Integer(number) => write!(out, "{number}i"),
            Field::Float(number) => out.write_str(&shortest(*number)),
        };
    }
    let _ = write!(out, " {}", point.wall_nanos);
}

fn escape(out: &mut String, text: &str, special: &[char]) {
    let mut rest = text;
    while let Some(at) = rest.find(special) {
        out.push_str(&rest[..at]);
        out.push('\\');
        let (letter, after) = rest[at..].split_at(1);
        out.push_str(letter);
        rest = after;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Readings;
    use crate::fixture::Fixture;
    use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};
    use proptest::prelude::*;
    use serde_json::Value as Json;

    fn parse(line: &str) -> ParsedLine<'_> {
        let mut lines: Vec<_> = parse_lines(line).collect();
        assert_eq!(lines.len(), 1, "{line}");
        lines.remove(0).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn tags(line: &ParsedLine<'_>) -> Vec<(String, String)> {
        let tags = line.series.tag_set.iter().flatten();
        tags.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn lines(fixture: &mut Fixture) -> Vec<String> {
        let mut readings = Readings::new(fixture.started());
        let events = [fixture.second(), fixture.judged()];
        events
            .iter()
            .filter_map(|event| readings.read(event))
            .flat_map(|report| encode(&report, "r 1"))
            .collect()
    }

    #[test]
    fn a_second_is_written_as_stated() {
        let mut fixture = Fixture::new();
        fixture.request(0, 0, Some(200), 333_000_000);
        fixture.request(0, 1, Some(200), 1_000_000);
        let lines = lines(&mut fixture);
        let labels = "plan=shop,scenario=browse,step=list,phase=measured,outcome=ok";
        for expected in [
            format!("plimsoll_requests,{labels},status=200,run=r\\ 1 count=2i 1700000001000000000"),
            format!("plimsoll_received_bytes,{labels},run=r\\ 1 count=200i 1700000001000000000"),
            format!(
                "plimsoll_response_time,{labels},run=r\\ 1 count=2i,sum=0.334,min=0.001,max=0.333,le_0.0001=0i,\
                 le_0.00025=0i,le_0.0005=0i,le_0.001=1i,le_0.0025=1i,le_0.005=1i,le_0.01=1i,le_0.025=1i,le_0.05=1i,\
                 le_0.1=1i,le_0.25=1i,le_0.333=2i,le_0.5=2i,le_1=2i,le_2.5=2i,le_5=2i,le_10=2i,le_30=2i,le_60=2i \
                 1700000001000000000"
            ),
            "plimsoll_offered_rate,plan=shop,run=r\\ 1 value=500 1700000001000000000".to_owned(),
            "plimsoll_generator_cpu,run=r\\ 1 value=0.25 1700000001000000000".to_owned(),
            "plimsoll_run_info,plan=shop,run=run,version=1.4.2 value=1 1700000001000000000".to_owned(),
            "plimsoll_run_validity,plan=shop,run=r\\ 1 value=0.5 1700000001000000000".to_owned(),
        ] {
            assert!(lines.contains(&expected), "{expected}\nis missing in\n{}", lines.join("\n"));
        }
        assert!(!lines.iter().any(|line| line.starts_with("plimsoll_sla_met")), "undecided is no point");
    }

    #[test]
    fn a_request_without_an_answer_has_no_status_tag() {
        let mut fixture = Fixture::new();
        fixture.request(0, 0, None, 1);
        let lines = lines(&mut fixture);
        let line = lines.iter().find(|line| line.starts_with("plimsoll_requests,")).unwrap();
        assert!(line.contains("outcome=reset,run="), "{line}");
    }

    #[test]
    fn every_line_of_a_busy_second_parses() {
        for line in lines(&mut Fixture::busy()) {
            let parsed = parse(&line);
            assert!(parsed.timestamp == Some(1_700_000_001_000_000_000), "{line}");
            assert!(tags(&parsed).iter().any(|(name, _)| name == "run"), "{line}");
        }
    }

    #[test]
    fn tag_values_are_the_same_to_every_reader() {
        let cases = [
            ("plain", "plain"),
            ("GET /a b,c=d", "GET /a b,c=d"),
            ("line\nfeed\ttab", "line feed tab"),
            ("C:\\temp", "C:\\temp"),
            ("ends\\", "ends/"),
            ("a\\,b", "a/,b"),
            ("a\\\\b", "a/\\b"),
            ("\n", ""),
            ("ends\\\n", "ends/"),
        ];
        for (given, expected) in cases {
            assert_eq!(tag_value(given), expected, "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back_from_the_parser(plan in "\\PC{1,12}", step in any::<String>(), run in ".{0,6}") {
            let mut fixture = Fixture::of("run", &plan, &step);
            fixture.request(0, 0, Some(204), 7_000_000);
            let mut readings = Readings::new(fixture.started());
            let report = readings.read(&fixture.second()).unwrap();
            let lines = encode(&report, &run);
            let text = lines.join("\n");
            prop_assert_eq!(parse_lines(&text).count(), lines.len());
            let line = lines.iter().find(|line| line.starts_with("plimsoll_requests,")).unwrap();
            let mut expected = vec![("plan", plan), ("scenario", "browse".to_owned()), ("step", step), ("phase", "measured".to_owned()), ("outcome", "ok".to_owned()), ("status", "204".to_owned()), ("run", run)];
            expected.iter_mut().for_each(|(_, value)| *value = tag_value(value).into_owned());
            expected.retain(|(_, value)| !value.is_empty());
            let expected: Vec<_> = expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            prop_assert_eq!(tags(&parse(line)), expected);
        }

        #[test]
        fn fields_come_back_from_the_parser(integer in any::<i64>(), float in prop::num::f64::NORMAL | prop::num::f64::ZERO, wall_nanos in any::<i64>()) {
            let mut line = String::new();
            let fields = vec![("count", Field::Integer(integer)), ("sum", Field::Float(float))];
            write(&mut line, &Point { measurement: "m", tags: Vec::new(), fields, wall_nanos });
            let parsed = parse(&line);
            prop_assert_eq!(parsed.timestamp, Some(wall_nanos));
            prop_assert_eq!(parsed.field_value("count"), Some(&FieldValue::I64(integer)));
            prop_assert_eq!(parsed.field_value("sum"), Some(&FieldValue::F64(float)));
        }
    }

    /// Other people's cases, byte for byte, as far as their points have only the kinds of fields ours have.
    #[test]
    fn the_corpus_is_encoded_as_its_reference_does() {
        let Some(folder) = std::env::var_os("PLIMSOLL_CONFORMANCE") else {
            eprintln!("NOT RUN: the line protocol corpus (PLIMSOLL_CONFORMANCE is not set)");
            return;
        };
        let path = std::path::Path::new(&folder).join("line-protocol/corpus.json");
        let corpus: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let (mut run, mut other_fields) = (0, 0);
        for (name, case) in corpus["encode"].as_object().unwrap() {
            let point = &case["input"]["point"];
            let text = |value: &Json| value.as_str().unwrap().to_owned();
            let field = |field: &Json| {
                let value = &field["value"];
                let number = value["int"].as_i64().map(Field::Integer);
                let number = number.or_else(|| value["float"].as_f64().map(Field::Float))?;
                Some((text(&field["key"]), number))
            };
            let fields: Option<Vec<_>> = point["fields"].as_array().unwrap().iter().map(field).collect();
            let Some(fields) = fields else {
                other_fields += 1;
                continue;
            };
            let tag = |tag: &'static str, of: &Json| text(&of[tag]);
            let tags: Vec<_> = point["tags"]
                .as_array()
                .unwrap()
                .iter()
                .map(|of| (tag("key", of), tag("value", of)))
                .collect();
            let point = Point {
                measurement: point["name"].as_str().unwrap(),
                tags: tags.iter().map(|(name, value)| (name.as_str(), value.into())).collect(),
                fields: fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect(),
                wall_nanos: point["time"].as_i64().unwrap(),
            };
            let mut line = String::new();
            write(&mut line, &point);
            match case["output"]["result"].as_str() {
                Some(expected) => assert_eq!(line, expected, "{name}"),
                // The reference refuses an empty tag value; we leave such a tag out.
                None => assert_eq!(line, "cpu value=42 0", "{name}"),
            }
            run += 1;
        }
        assert!(run > 40, "{run} cases");
        eprintln!("{run} corpus cases agree; {other_fields} have strings or booleans, which no metric has");
    }
}
