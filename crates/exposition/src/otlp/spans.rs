use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use plimsoll_measure::{Outcome, Sample, SeriesKey, Single, TraceContext};
use plimsoll_run::{RunEvent, Started};
use prost::Message;

use super::{Encoded, attribute, of_value, resource, scope, time};

/// Spans of one part: some hundred kilobytes.
const PART_SPANS: usize = 500;

/// Words before a path in a step's label that are methods of HTTP.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Turns the traced requests of one run into spans of kind client, one event after the other. It has no state.
///
/// A span is a root and lasts from when its request was due to its last body byte: that is its response
/// time, and the generator's own share of it shows as the events `ready` and `sent`. Attributes follow the
/// semantic conventions for HTTP, as far as a step's label tells method and path.
#[derive(Debug)]
pub struct SpansEncoder {
    started: Arc<Started>,
    resource: Resource,
    scope: InstrumentationScope,
}

impl SpansEncoder {
    /// Begins with a run.
    pub fn new(started: &Arc<Started>) -> Self {
        Self { started: Arc::clone(started), resource: resource(started), scope: scope(started) }
    }

    /// The spans of an event, in parts of bounded size.
    pub fn encode(&self, event: &RunEvent) -> Vec<Encoded> {
        let RunEvent::Second(second) = event else { return Vec::new() };
        let singles = second.frame.singles.requests.iter().filter(|single| single.purposes.trace);
        let traced: Vec<(&Single, TraceContext)> =
            singles.filter_map(|single| Some((single, single.trace?))).collect();
        let part = |part: &[(&Single, TraceContext)]| {
            let spans = part.iter().map(|(single, trace)| self.span(&single.sample, *trace)).collect();
            Encoded { points: part.len() as u64, body: self.request(spans).encode_to_vec() }
        };
        traced.chunks(PART_SPANS).map(part).collect()
    }

    fn span(&self, sample: &Sample, trace: TraceContext) -> Span {
        let (scenario, step) = self.names(sample.key);
        let at = |offset| self.at(offset);
        let moments = [
            ("ready", Some(sample.ready)),
            ("sent", sample.sent),
            (
                "first byte",
                sample.sent.zip(sample.first_byte).map(|(sent, after)| sent.saturating_add(after)),
            ),
        ];
        let event = |(name, offset): (&str, Option<u64>)| {
            offset.map(|offset| Event {
                time_unix_nano: at(offset),
                name: name.to_owned(),
                ..Event::default()
            })
        };
        let status = sample.key.outcome.is_failure().then(|| Status {
            code: StatusCode::Error.into(),
            message: sample.key.outcome.label().to_owned(),
        });
        Span {
            trace_id: trace.trace_id.to_vec(),
            span_id: trace.span_id.to_vec(),
            flags: trace.sampled.into(),
            name: step.to_owned(),
            kind: SpanKind::Client.into(),
            start_time_unix_nano: at(sample.due),
            end_time_unix_nano: at(sample.done),
            attributes: self.attributes(sample, scenario, step),
            events: moments.into_iter().filter_map(event).collect(),
            status,
            ..Span::default()
        }
    }

    fn attributes(&self, sample: &Sample, scenario: &str, step: &str) -> Vec<KeyValue> {
        let key = sample.key;
        let mut attributes = Vec::new();
        let mut text = |name: &str, value: &str| {
            if !value.is_empty() {
                attributes.push(attribute(name, value));
            }
        };
        if let Some((method, template)) = step.split_once(' ').filter(|(word, _)| METHODS.contains(word)) {
            text("http.request.method", method);
            text("url.template", template);
        }
        text("plimsoll.scenario", scenario);
        text("plimsoll.step", step);
        text("plimsoll.phase", key.phase.label());
        text("plimsoll.outcome", key.outcome.label());
        text("error.type", &error_type(sample).unwrap_or_default());
        let server = self.server(sample.address).and_then(host_and_port);
        text("server.address", server.map_or("", |(host, _)| host));
        let mut number = |name: &str, value: i64| attributes.push(of_value(name, Value::IntValue(value)));
        if let Some(port) = server.and_then(|(_, port)| port) {
            number("server.port", port.into());
        }
        if let Some(status) = sample.status {
            number("http.response.status_code", status.into());
        }
        for (name, nanos) in
            [("plimsoll.connect_time_seconds", sample.connect), ("plimsoll.tls_time_seconds", sample.tls)]
        {
            let seconds = nanos.map(crate::number::seconds).map(Value::DoubleValue);
            attributes.extend(seconds.map(|seconds| of_value(name, seconds)));
        }
        attributes
    }

    fn names(&self, key: SeriesKey) -> (&str, &str) {
        match self.started.shape.steps.get(usize::from(key.step)) {
            Some(step) => (&step.scenario, &step.step),
            None => ("", SeriesKey::OVERFLOW_NAME),
        }
    }

    /// Where a request went, unless that was another host than the target.
    fn server(&self, address: u16) -> Option<&str> {
        let shape = &self.started.shape;
        match shape.addresses.get(usize::from(address)) {
            Some(address) => Some(&address.name),
            None if shape.addresses.is_empty() && address == 0 => Some(&self.started.info.target),
            None => None,
        }
    }

    fn at(&self, offset: u64) -> u64 {
        time(self.started.info.started_nanos.saturating_add(i64::try_from(offset).unwrap_or(i64::MAX)))
    }

    fn request(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope = Some(self.scope.clone());
        let scope_spans = vec![ScopeSpans { scope, spans, schema_url: String::new() }];
        let resource = Some(self.resource.clone());
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }],
        }
    }
}

/// The status where it is what was wrong, else in what way the request failed.
fn error_type(sample: &Sample) -> Option<String> {
    match (sample.key.outcome, sample.status) {
        (Outcome::Status, Some(status)) => Some(status.to_string()),
        (outcome, _) => outcome.is_failure().then(|| outcome.label().to_owned()),
    }
}

/// Host and port of a URL's text, or of `host:port`. An IPv6 address stands without its brackets.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    let usual = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host, port.or(usual)))
}

/// Two requests with half the spans each; `None`: there is but one, or it is no such request.
pub fn halves_of_spans(body: &[u8]) -> Option<[Encoded; 2]> {
    let mut first = ExportTraceServiceRequest::decode(body).ok()?;
    let mut second = first.clone();
    let total: usize = spans(&mut first).map(|spans| spans.len()).sum();
    let half = total / 2;
    let mut left = half;
    for (first, second) in spans(&mut first).zip(spans(&mut second)) {
        let here = left.min(first.len());
        left -= here;
        first.truncate(here);
        second.drain(..here);
    }
    let encoded = |spans: usize, request: &ExportTraceServiceRequest| Encoded {
        points: spans as u64,
        body: request.encode_to_vec(),
    };
    (total > 1).then(|| [encoded(half, &first), encoded(total - half, &second)])
}

fn spans(request: &mut ExportTraceServiceRequest) -> impl Iterator<Item = &mut Vec<Span>> {
    let scopes = request.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans);
    scopes.map(|scope| &mut scope.spans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use plimsoll_measure::{Phase, Purposes};

    const STARTED: u64 = 1_700_000_000_000_000_000;

    fn single(step: u16, outcome: Outcome, status: Option<u16>) -> Single {
        let key = SeriesKey { step, phase: Phase::Measured, stage: Some(0), outcome };
        let sample = Sample {
            ready: 1_010,
            sent: Some(1_200),
            done: 9_000,
            connect: Some(150_000),
            first_byte: Some(5_000),
            status,
            ..Sample::at(key, 1_000)
        };
        let trace = TraceContext { trace_id: [7; 16], span_id: [9; 8], sampled: true };
        Single { sample, trace: Some(trace), purposes: Purposes { trace: true, samples: false } }
    }

    fn encoded(fixture: &mut Fixture, singles: Vec<Single>) -> Vec<Encoded> {
        let RunEvent::Second(second) = fixture.second() else { panic!("a second") };
        let mut second = Arc::unwrap_or_clone(second);
        second.frame.singles.requests = singles;
        SpansEncoder::new(&fixture.started()).encode(&RunEvent::Second(Arc::new(second)))
    }

    fn decoded(part: &Encoded) -> Vec<Span> {
        let mut request = ExportTraceServiceRequest::decode(part.body.as_slice()).unwrap();
        spans(&mut request).flat_map(std::mem::take).collect()
    }

    fn one(step: &str, single: Single) -> Span {
        let parts = encoded(&mut Fixture::of("run", "shop", step), vec![single]);
        let [part] = parts.as_slice() else { panic!("{parts:?}") };
        assert_eq!(part.points, 1);
        decoded(part).remove(0)
    }

    fn text(span: &Span) -> String {
        let value = |pair: &KeyValue| match pair.value.clone().and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::DoubleValue(number)) => number.to_string(),
            other => panic!("{other:?}"),
        };
        let pairs: Vec<String> =
            span.attributes.iter().map(|pair| format!("{}={}", pair.key, value(pair))).collect();
        pairs.join(" ")
    }

    #[test]
    fn a_request_is_a_client_span_as_long_as_its_response_time() {
        let span = one("GET /list", single(0, Outcome::Ok, Some(200)));
        assert_eq!((span.name.as_str(), span.kind, span.flags), ("GET /list", SpanKind::Client as i32, 1));
        assert_eq!(
            (span.trace_id.as_slice(), span.span_id.as_slice()),
            ([7; 16].as_slice(), [9; 8].as_slice())
        );
        assert!(span.parent_span_id.is_empty());
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (STARTED + 1_000, STARTED + 9_000));
        assert_eq!(
            text(&span),
            "http.request.method=GET url.template=/list plimsoll.scenario=browse plimsoll.step=GET /list \
             plimsoll.phase=measured plimsoll.outcome=ok server.address=127.0.0.1 server.port=1 \
             http.response.status_code=200 plimsoll.connect_time_seconds=0.00015"
        );
        let events: Vec<_> =
            span.events.iter().map(|event| (event.name.as_str(), event.time_unix_nano - STARTED)).collect();
        assert_eq!(events, [("ready", 1_010), ("sent", 1_200), ("first byte", 6_200)]);
        assert_eq!(span.status, None);
    }

    #[test]
    fn a_failure_says_of_which_type() {
        for (outcome, status, expected) in [
            (Outcome::Status, Some(503), Some("503")),
            (Outcome::Expectation, Some(200), Some("expectation")),
            (Outcome::Timeout, None, Some("timeout")),
            (Outcome::Ok, Some(404), None),
            (Outcome::Cut, None, None),
        ] {
            let span = one("list", single(0, outcome, status));
            let found =
                text(&span).split(' ').find_map(|pair| pair.strip_prefix("error.type=").map(str::to_owned));
            assert_eq!(found.as_deref(), expected, "{outcome:?}");
            assert_eq!(span.status.is_some(), expected.is_some());
        }
    }

    #[test]
    fn a_name_is_no_method_and_no_path() {
        let span = one("get the list", single(0, Outcome::Ok, Some(200)));
        assert!(!text(&span).contains("http.request.method"), "{span:?}");
    }

    #[test]
    fn only_what_was_traced_is_told() {
        let mut fixture = Fixture::new();
        let asked = single(0, Outcome::Ok, Some(200));
        let other = Single { purposes: Purposes { trace: false, samples: true }, ..asked };
        let without = Single { trace: None, ..asked };
        assert_eq!(encoded(&mut fixture, vec![other, without]), []);
        let elsewhere = Single { sample: Sample { address: 3, ..asked.sample }, ..asked };
        let parts = encoded(&mut fixture, vec![other, elsewhere]);
        let [span] = decoded(&parts[0]).try_into().unwrap();
        assert!(!text(&span).contains("server.address"), "another host than the target");
    }

    #[test]
    fn a_part_is_bounded_and_can_be_halved_down_to_one_span() {
        let parts = encoded(&mut Fixture::new(), vec![single(9, Outcome::Ok, None); 1_203]);
        assert_eq!(parts.iter().map(|part| part.points).collect::<Vec<_>>(), [500, 500, 203]);
        let mut waiting = parts;
        let mut single = 0;
        while let Some(part) = waiting.pop() {
            assert_eq!(decoded(&part).len() as u64, part.points);
            match halves_of_spans(&part.body) {
                Some(halves) => waiting.extend(halves),
                None => single += part.points,
            }
        }
        assert_eq!(single, 1_203);
        assert_eq!(halves_of_spans(b"no request"), None);
    }

    #[test]
    fn servers_have_a_host_and_mostly_a_port() {
        let cases = [
            ("http://h:8080/x", Some(("h", Some(8080)))),
            ("https://h", Some(("h", Some(443)))),
            ("http://[::1]:7/", Some(("::1", Some(7)))),
            ("http://[::1]", Some(("::1", Some(80)))),
            ("10.0.0.1:99", Some(("10.0.0.1", Some(99)))),
            ("", None),
        ];
        for (given, expected) in cases {
            assert_eq!(host_and_port(given), expected, "{given}");
        }
    }
}
