//! Whether an answer is what its step expects, and what the step takes from it.

use std::time::Duration;

use http::header::HeaderName;
use jsonpath_rust::parser::model::JpQuery;
use plimsoll_measure::Outcome;
use plimsoll_run::{Capture, CaptureSource, Comparison, Expect};

use crate::Failure;
use crate::comparison::{CompiledComparison, regular};
use crate::compile::{CompiledUntil, Step};
use crate::connection::Answer;
use crate::fill::Values;
use crate::measures::{Json, as_text};

#[derive(Debug)]
pub(crate) struct CompiledExpect {
    pub(crate) plain: Expect,
    pub(crate) json: Vec<JsonExpectation>,
}

/// A JSON path of an answer and what its first match must be.
#[derive(Debug)]
pub(crate) struct JsonExpectation {
    path: String,
    query: JpQuery,
    wanted: Comparison,
    is: CompiledComparison,
}

#[derive(Debug)]
pub(crate) struct CompiledCapture {
    pub(crate) name: String,
    pub(crate) slot: usize,
    pub(crate) source: CompiledSource,
}

#[derive(Debug)]
pub(crate) enum CompiledSource {
    JsonPath(JpQuery),
    Regex(regex::Regex),
    Header(HeaderName),
}

impl CompiledExpect {
    pub(crate) fn new(expect: &Expect) -> Result<Self, String> {
        let json = expect.json.iter().map(|(path, wanted)| {
            let (query, is) = (json_path(path)?, CompiledComparison::new(wanted)?);
            Ok(JsonExpectation { path: path.clone(), query, wanted: wanted.clone(), is })
        });
        Ok(Self { plain: expect.clone(), json: json.collect::<Result<_, String>>()? })
    }

    pub(crate) fn reads_body(&self) -> bool {
        !self.json.is_empty() || !self.plain.body_contains.is_empty()
    }

    pub(crate) fn reads_headers(&self) -> bool {
        !self.plain.headers.is_empty()
    }

    /// Whether an answer is judged by its status alone.
    pub(crate) fn is_status_alone(&self) -> bool {
        !self.reads_body() && !self.reads_headers() && self.plain.within.is_none()
    }

    /// Whether an answer may have this status.
    #[inline]
    pub(crate) fn is_right(&self, status: u16) -> bool {
        match self.plain.status.as_slice() {
            [] => (200..400).contains(&status),
            ranges => ranges.iter().any(|range| (range.first..=range.last).contains(&status)),
        }
    }

    /// Whether an answer, which `took` so many nanoseconds since its request was due, is what it must be.
    pub(crate) fn meets(&self, answer: &Answer, json: &Json<'_>, took: u64) -> Result<(), Failure> {
        let expect = &self.plain;
        let status = answer.status.as_u16();
        if !self.is_right(status) {
            return Err(Failure::new(Outcome::Status, format!("status {status}")));
        }
        let unexpected = |message: String| Err(Failure::new(Outcome::Expectation, message));
        let shown = |value: String| if expect.secret { "***".to_owned() } else { value };
        for header in &expect.headers {
            let found = answer.header(&header.name);
            match (&header.value, found) {
                (_, None) => return unexpected(format!("header `{}` is missing", header.name)),
                (Some(value), Some(found)) if found.as_bytes() != value.as_bytes() => {
                    return unexpected(format!("header `{}` is not `{}`", header.name, shown(value.clone())));
                }
                _ => {}
            }
        }
        if !expect.body_contains.is_empty() {
            let body = String::from_utf8_lossy(&answer.body);
            if let Some(missing) = expect.body_contains.iter().find(|text| !body.contains(text.as_str())) {
                return unexpected(format!("the body does not contain `{}`", shown(missing.clone())));
            }
        }
        for JsonExpectation { path, query, wanted, is } in &self.json {
            if !is.holds(json.first_match(query).as_ref()) {
                return unexpected(format!("`{path}` is not {}", shown(wanted.to_string())));
            }
        }
        if let Some(within) = expect.within
            && u128::from(took) > within.as_nanos()
        {
            return unexpected(format!("took longer than {}", plimsoll_units::duration::format(within)));
        }
        Ok(())
    }
}

impl CompiledCapture {
    pub(crate) fn new(capture: &Capture) -> Result<Self, String> {
        let source = match &capture.source {
            CaptureSource::JsonPath(path) => CompiledSource::JsonPath(json_path(path)?),
            CaptureSource::Regex(text) => CompiledSource::Regex(regular(text)?),
            CaptureSource::Header(name) => CompiledSource::Header(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header name"))?,
            ),
        };
        Ok(Self { name: capture.name.clone(), slot: usize::from(capture.slot), source })
    }
}

pub(crate) fn json_path(path: &str) -> Result<JpQuery, String> {
    jsonpath_rust::parser::parse_json_path(path).map_err(|error| format!("`{path}` is no JSON path: {error}"))
}

/// Whether an answer is what the step expects, and what the step takes from it. False: the answer is
/// right, but not yet what the step waits for, and nothing was taken from it.
pub(crate) fn judge(
    step: &Step,
    values: &mut Values,
    answer: &Answer,
    json: &Json<'_>,
    took: u64,
    is_last: impl FnOnce(&CompiledUntil) -> bool,
) -> Result<bool, Failure> {
    step.expect.meets(answer, json, took)?;
    if let Some(until) = &step.until
        && let Err(failure) = until.expect.meets(answer, json, took)
    {
        if !is_last(until) {
            return Ok(false);
        }
        let waited = plimsoll_units::duration::format(Duration::from_nanos(until.timeout));
        let message = format!("not done after {waited}: {}", failure.message);
        return Err(Failure::new(Outcome::Expectation, message));
    }
    for capture in &step.captures {
        let found = match &capture.source {
            CompiledSource::Header(name) => {
                answer.header(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            }
            CompiledSource::Regex(regex) => capture_regex(regex, &answer.body),
            CompiledSource::JsonPath(query) => json.first_match(query).as_ref().map(as_text),
        };
        let Some(found) = found else {
            return Err(Failure::new(
                Outcome::Capture,
                format!("`{}` was not found in the answer", capture.name),
            ));
        };
        if let Some(slot) = values.captures.get_mut(capture.slot) {
            *slot = Some(found);
        }
    }
    Ok(true)
}

fn capture_regex(regex: &regex::Regex, body: &[u8]) -> Option<String> {
    let body = String::from_utf8_lossy(body);
    let found = regex.captures(&body)?;
    found.get(1).or_else(|| found.get(0)).map(|text| text.as_str().to_owned())
}
