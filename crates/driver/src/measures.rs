//! Values that a plan takes from answers.

use std::cell::OnceCell;

use http::HeaderName;
use plimsoll_measure::{MOST_COUNTED, Observed, ValueUnit};
use plimsoll_query::JsonPath;
use plimsoll_run::{MeasureRead, MeasureSource, PlannedMeasure, RequestMeasure};
use serde_json::Value;

use crate::connection::Answer;
use crate::server_timing;

/// A value that is taken from the answers of a step.
#[derive(Debug)]
pub(crate) struct CompiledMeasure {
    /// Its position among the plan's.
    pub(crate) index: u16,
    unit: ValueUnit,
    source: Source,
    read: MeasureRead,
}

#[derive(Debug)]
enum Source {
    Header(HeaderName),
    ServerTiming(String),
    JsonPath(JsonPath),
    BodySize,
}

/// A body as JSON, read when somebody asks for it.
#[derive(Debug)]
pub(crate) struct Json<'a> {
    body: &'a [u8],
    read: OnceCell<Option<Value>>,
}

impl<'a> Json<'a> {
    pub(crate) fn of(answer: &'a Answer) -> Self {
        Self { body: &answer.body, read: OnceCell::new() }
    }

    /// All of it; `None` of what is no JSON.
    pub(crate) fn value(&self) -> Option<&Value> {
        self.read.get_or_init(|| plimsoll_query::json(self.body)).as_ref()
    }

    /// What a path finds; nothing in a body that is no JSON.
    pub(crate) fn matches(&self, path: &JsonPath) -> Vec<&Value> {
        self.value().map(|value| path.all(value)).unwrap_or_default()
    }

    /// The first match of a path.
    pub(crate) fn first_match(&self, path: &JsonPath) -> Option<&Value> {
        self.matches(path).into_iter().next()
    }
}

/// A match as a text: that of a text without its quotes.
pub(crate) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl CompiledMeasure {
    pub(crate) fn new(measure: &RequestMeasure, planned: &[PlannedMeasure]) -> Result<Self, String> {
        let source = match &measure.source {
            MeasureSource::Header(name) => Source::Header(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header name"))?,
            ),
            MeasureSource::ServerTiming(metric) => Source::ServerTiming(metric.clone()),
            MeasureSource::JsonPath(path) => Source::JsonPath(JsonPath::new(path)?),
            MeasureSource::BodySize => Source::BodySize,
        };
        let unit =
            planned.get(usize::from(measure.measure)).map_or(ValueUnit::Number, |planned| planned.unit);
        Ok(Self { index: measure.measure, unit, source, read: measure.read.clone() })
    }

    pub(crate) fn reads_headers(&self) -> bool {
        matches!(self.source, Source::Header(_) | Source::ServerTiming(_))
    }

    pub(crate) fn reads_body(&self) -> bool {
        !self.reads_headers()
    }

    /// What an answer says of it.
    pub(crate) fn observe(&self, answer: &Answer, json: &Json<'_>) -> Observed {
        let text = match &self.source {
            Source::Header(name) => {
                answer.header(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            }
            Source::ServerTiming(metric) => self.server_timing(answer, metric),
            Source::JsonPath(query) => json.first_match(query).map(as_text),
            Source::BodySize => Some(answer.body.len().to_string()),
        };
        text.map_or(Observed::Absent, |text| self.read(text.trim()))
    }

    /// A text is compared with the description of an entry, a number is its duration.
    fn server_timing(&self, answer: &Answer, metric: &str) -> Option<String> {
        let headers = answer.headers()?.get_all("server-timing").iter();
        let entry = server_timing::find(headers.map(http::HeaderValue::as_bytes), metric)?;
        match self.read {
            MeasureRead::Equals(_) => entry.description,
            MeasureRead::Number { .. } | MeasureRead::Whole => entry.duration,
        }
    }

    fn read(&self, text: &str) -> Observed {
        match &self.read {
            MeasureRead::Equals(wanted) => Observed::Match(text == wanted),
            MeasureRead::Number { factor } => match number(text) {
                Some(value) => self.unit.ticks(value * factor).map_or(Observed::OutOfRange, Observed::Ticks),
                None => Observed::Absent,
            },
            MeasureRead::Whole => match number(text) {
                Some(value) if value.fract() != 0.0 => Observed::Absent,
                Some(value) if value > MOST_COUNTED as f64 => Observed::OutOfRange,
                Some(value) => Observed::Amount(value as u64),
                None => Observed::Absent,
            },
        }
    }
}

/// A number that is finite and not below zero, in digits; `inf` and `nan` are words.
fn number(text: &str) -> Option<f64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|value: &f64| is_digits && value.is_finite() && *value >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};
    use plimsoll_measure::{ValueForm, ValueName};

    fn answer(headers: &[(&'static str, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| {
            map.append(*name, value.parse().unwrap());
        });
        Answer::new(StatusCode::OK, Some(Box::new(map)), body.as_bytes().to_vec(), 0)
    }

    fn observed(source: MeasureSource, read: MeasureRead, unit: ValueUnit, answer: &Answer) -> Observed {
        let planned = PlannedMeasure { name: ValueName::new("x").unwrap(), form: ValueForm::Histogram, unit };
        let measure = RequestMeasure { measure: 0, source, read };
        CompiledMeasure::new(&measure, &[planned]).unwrap().observe(answer, &Json::of(answer))
    }

    #[test]
    fn what_is_a_value_is_one_and_nothing_else() {
        use Observed::{Absent, Amount, Match, OutOfRange, Ticks};
        let one = MeasureRead::Number { factor: 1.0 };
        let equals = || MeasureRead::Equals("HIT".to_owned());
        for (text, read, expected) in [
            ("5", one.clone(), Ticks(5 * 512_000)),
            (" 0.5 ", one.clone(), Ticks(256_000)),
            ("1e3", one.clone(), Ticks(512_000_000)),
            ("0", one.clone(), Ticks(0)),
            ("", one.clone(), Absent),
            ("-1", one.clone(), Absent),
            ("nan", one.clone(), Absent),
            ("inf", one.clone(), Absent),
            ("1e999", one.clone(), Absent),
            ("5 ms", one.clone(), Absent),
            ("0x10", one.clone(), Absent),
            ("168750001", one, OutOfRange),
            ("7", MeasureRead::Whole, Amount(7)),
            ("7.0", MeasureRead::Whole, Amount(7)),
            ("7.5", MeasureRead::Whole, Absent),
            ("1e13", MeasureRead::Whole, OutOfRange),
            ("HIT", equals(), Match(true)),
            ("hit", equals(), Match(false)),
            ("", equals(), Match(false)),
        ] {
            let answer = answer(&[("x-value", text)], "");
            let header = MeasureSource::Header("x-value".to_owned());
            assert_eq!(observed(header, read, ValueUnit::Number, &answer), expected, "{text:?}");
        }
        let without = MeasureSource::Header("x-value".to_owned());
        assert_eq!(observed(without, equals(), ValueUnit::Number, &answer(&[], "")), Absent);
    }

    #[test]
    fn every_source_is_read() {
        let answer = answer(
            &[("server-timing", "app;dur=9"), ("server-timing", "db;dur=1.5;desc=HIT, x;dur=no")],
            r#"{"rows": 3, "text": "4", "flag": true, "null": null}"#,
        );
        let milliseconds = || MeasureRead::Number { factor: 1e-3 };
        let timing = |metric: &str, read| {
            observed(MeasureSource::ServerTiming(metric.to_owned()), read, ValueUnit::Seconds, &answer)
        };
        assert_eq!(timing("db", milliseconds()), Observed::Ticks(1_500_000));
        assert_eq!(timing("x", milliseconds()), Observed::Absent);
        assert_eq!(timing("nothing", milliseconds()), Observed::Absent);
        assert_eq!(timing("db", MeasureRead::Equals("HIT".to_owned())), Observed::Match(true));
        assert_eq!(timing("app", MeasureRead::Equals("HIT".to_owned())), Observed::Absent);
        let json = |path: &str| {
            let source = MeasureSource::JsonPath(path.to_owned());
            observed(source, MeasureRead::Whole, ValueUnit::Number, &answer)
        };
        assert_eq!(json("$.rows"), Observed::Amount(3));
        assert_eq!(json("$.text"), Observed::Amount(4));
        assert_eq!([json("$.flag"), json("$.null"), json("$.none")], [Observed::Absent; 3]);
        let size =
            |unit| observed(MeasureSource::BodySize, MeasureRead::Number { factor: 1.0 }, unit, &answer);
        assert_eq!(size(ValueUnit::Bytes), Observed::Ticks(answer.body.len() as u64 * 512));
    }
}
