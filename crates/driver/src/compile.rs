//! A plan made ready for sending: what can be done once is done before the load starts.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use jsonpath_rust::parser::model::JpQuery;
use plimsoll_run::{
    Action, BodyKind, Capture, CaptureSource, Expect, Header, OnFailure, Part, PauseRange, Request, RunPlan,
    Template, Variable,
};

use crate::measures::CompiledMeasure;
use crate::message::{Message, decides_framing};
use crate::transport::Origin;

/// A step that cannot be sent as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step `{step}`: {reason}")]
pub struct CompileError {
    /// The step's name.
    pub step: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The target of a plan: where requests go whose URL is only a path.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) origin: Rc<Origin>,
    /// Path that prefixes every step's, without a trailing slash.
    pub(crate) prefix: String,
}

/// Steps and pauses in order.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) actions: Vec<CompiledAction>,
    pub(crate) captures: usize,
    /// Indexes of the feeds it draws from.
    pub(crate) feeds: Vec<u16>,
}

#[derive(Debug)]
pub(crate) enum CompiledAction {
    Request(Box<Step>),
    Pause(PauseRange),
}

/// A step ready for sending.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) index: u16,
    pub(crate) method: Method,
    /// The whole request, where it has no holes.
    pub(crate) fixed: Option<Rc<Message>>,
    pub(crate) url: CompiledUrl,
    pub(crate) headers: CompiledHeaders,
    pub(crate) body: CompiledBody,
    pub(crate) expect: CompiledExpect,
    pub(crate) captures: Vec<CompiledCapture>,
    pub(crate) measures: Vec<CompiledMeasure>,
    pub(crate) on_failure: OnFailure,
    /// Whether anybody looks at the headers of the answer.
    pub(crate) reads_headers: bool,
    /// Whether anybody looks at the body.
    pub(crate) reads_body: bool,
}

#[derive(Debug)]
pub(crate) enum CompiledUrl {
    /// Without holes.
    Fixed(Rc<Origin>, Uri),
    /// Path and query, or an absolute URL, to be filled.
    Filled(Template),
}

#[derive(Debug)]
pub(crate) struct CompiledHeaders {
    /// Everything without holes; `host` too where it is known before the load starts.
    pub(crate) fixed: HeaderMap,
    pub(crate) filled: Vec<(HeaderName, Template)>,
}

#[derive(Debug)]
pub(crate) enum CompiledBody {
    Fixed(Bytes),
    Filled(Template, BodyKind),
}

#[derive(Debug)]
pub(crate) struct CompiledExpect {
    pub(crate) plain: Expect,
    pub(crate) json: Vec<(String, JpQuery, serde_json::Value)>,
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

impl Target {
    pub(crate) fn of(plan: &RunPlan) -> Result<Self, CompileError> {
        let wrong = || CompileError {
            step: "target".to_owned(),
            reason: format!("`{}` is not an http or https URL", plan.target),
        };
        let url = url::Url::parse(&plan.target).map_err(|_| wrong())?;
        let origin = Origin::of(&url).ok_or_else(wrong)?;
        Ok(Self { origin: Rc::new(origin), prefix: url.path().trim_end_matches('/').to_owned() })
    }
}

impl Script {
    pub(crate) fn new(
        plan: &RunPlan,
        target: &Target,
        actions: &[Action],
        captures: u16,
    ) -> Result<Self, CompileError> {
        let mut feeds: Vec<u16> = actions.iter().flat_map(variables).filter_map(feed_of).collect();
        feeds.sort_unstable();
        feeds.dedup();
        // Teardown brings captures of its own, which nobody has counted.
        let captures = actions.iter().flat_map(capture_slots).map(|slot| slot + 1).fold(captures, u16::max);
        let actions = actions.iter().map(|action| match action {
            Action::Pause(range) => Ok(CompiledAction::Pause(*range)),
            Action::Request(request) => {
                Ok(CompiledAction::Request(Box::new(Step::new(plan, target, request)?)))
            }
        });
        Ok(Self { actions: actions.collect::<Result<_, _>>()?, captures: usize::from(captures), feeds })
    }
}

fn variables(action: &Action) -> Vec<Variable> {
    match action {
        Action::Pause(_) => Vec::new(),
        Action::Request(request) => {
            let headers = request.headers.iter().flat_map(|header| header.value.variables());
            request
                .url
                .variables()
                .chain(headers)
                .chain(request.body.iter().flat_map(Template::variables))
                .collect()
        }
    }
}

fn capture_slots(action: &Action) -> Vec<u16> {
    match action {
        Action::Pause(_) => Vec::new(),
        Action::Request(request) => request.captures.iter().map(|capture| capture.slot).collect(),
    }
}

fn feed_of(variable: Variable) -> Option<u16> {
    match variable {
        Variable::Column { feed, .. } => Some(feed),
        Variable::Capture(_)
        | Variable::Setup(_)
        | Variable::Iteration
        | Variable::User
        | Variable::RunId => None,
    }
}

impl Step {
    fn new(plan: &RunPlan, target: &Target, request: &Request) -> Result<Self, CompileError> {
        let label = plan.steps.get(usize::from(request.step)).map_or("?", |step| step.step.as_str());
        let wrong = |reason: String| CompileError { step: label.to_owned(), reason };
        let body = match &request.body {
            None => CompiledBody::Fixed(Bytes::new()),
            Some(template) => match fixed_text(template) {
                Some(text) => CompiledBody::Fixed(Bytes::copy_from_slice(text.as_bytes())),
                None => CompiledBody::Filled(template.clone(), request.body_kind),
            },
        };
        let expect = CompiledExpect::new(&request.expect).map_err(wrong)?;
        let captures = request
            .captures
            .iter()
            .map(CompiledCapture::new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?;
        let measures = request.measures.iter().map(|measure| CompiledMeasure::new(measure, &plan.measures));
        let measures = measures.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let reads_body = !expect.json.is_empty()
            || measures.iter().any(CompiledMeasure::reads_body)
            || !expect.plain.body_contains.is_empty()
            || captures.iter().any(|capture| !matches!(capture.source, CompiledSource::Header(_)));
        let url = CompiledUrl::new(target, &request.url).map_err(wrong)?;
        let origin = match &url {
            CompiledUrl::Fixed(origin, _) => Some(&**origin),
            CompiledUrl::Filled(_) => None,
        };
        let headers = CompiledHeaders::new(&plan.http.headers, &request.headers, origin).map_err(wrong)?;
        let reads_headers = !expect.plain.headers.is_empty()
            || measures.iter().any(CompiledMeasure::reads_headers)
            || captures.iter().any(|capture| matches!(capture.source, CompiledSource::Header(_)));
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| wrong(format!("`{}` is no HTTP method", request.method)))?;
        let fixed = match (&url, &body) {
            (CompiledUrl::Fixed(origin, uri), CompiledBody::Fixed(body))
                if headers.filled.is_empty() && headers.fixed.contains_key(HOST) =>
            {
                let (origin, uri) = (Rc::clone(origin), uri.clone());
                Some(Message::new(origin, method.clone(), uri, headers.fixed.clone(), body.clone()))
            }
            _ => None,
        };
        Ok(Self {
            index: request.step,
            method,
            fixed,
            url,
            headers,
            body,
            expect,
            captures,
            measures,
            on_failure: request.on_failure,
            reads_headers,
            reads_body,
        })
    }
}

/// Whether all requests of a plan can be compiled into bytes.
pub(crate) fn is_plain(plan: &RunPlan) -> bool {
    let plain =
        |headers: &[Header]| !headers.iter().any(|header| decides_framing(&header.name.to_ascii_lowercase()));
    let scenarios = plan.scenarios.iter().flat_map(|scenario| &scenario.actions);
    plain(&plan.http.headers)
        && scenarios.chain(&plan.setup).chain(&plan.teardown).all(|action| match action {
            Action::Pause(_) => true,
            Action::Request(request) => request.method != "CONNECT" && plain(&request.headers),
        })
}

impl CompiledUrl {
    fn new(target: &Target, template: &Template) -> Result<Self, String> {
        match fixed_text(template) {
            None => Ok(Self::Filled(template.clone())),
            Some(text) => {
                let (origin, uri) = resolve(target, &text)?;
                Ok(Self::Fixed(origin, uri))
            }
        }
    }
}

/// Where a step's URL leads: an absolute URL elsewhere, or a path below the target.
pub(crate) fn resolve(target: &Target, text: &str) -> Result<(Rc<Origin>, Uri), String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        let url = url::Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))?;
        let origin = Origin::of(&url).ok_or_else(|| format!("`{text}` has no host"))?;
        let uri = path_and_query(&url)?;
        let origin = if origin == *target.origin { Rc::clone(&target.origin) } else { Rc::new(origin) };
        return Ok((origin, uri));
    }
    let slash = if text.starts_with('/') { "" } else { "/" };
    let uri = format!("{}{slash}{text}", target.prefix);
    let uri = uri.parse().map_err(|_| format!("`{text}` is no path and query"))?;
    Ok((Rc::clone(&target.origin), uri))
}

/// The part of a URL that goes into the request line.
pub(crate) fn path_and_query(url: &url::Url) -> Result<Uri, String> {
    let text = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    text.parse().map_err(|_| format!("`{text}` is no path and query"))
}

impl CompiledHeaders {
    fn new(common: &[Header], own: &[Header], origin: Option<&Origin>) -> Result<Self, String> {
        let (mut fixed, mut filled) = (HeaderMap::new(), Vec::new());
        let overridden = |header: &&Header| !own.iter().any(|mine| mine.name == header.name);
        for header in common.iter().filter(overridden).chain(own) {
            let name = HeaderName::from_bytes(header.name.as_bytes())
                .map_err(|_| format!("`{}` is no header name", header.name))?;
            match fixed_text(&header.value) {
                None => filled.push((name, header.value.clone())),
                Some(text) => {
                    // The value may be a secret, so only the name is told.
                    let mut value = HeaderValue::from_str(&text).map_err(|_| {
                        format!(
                            "the value of header `{}` holds a line feed or control character",
                            header.name
                        )
                    })?;
                    value.set_sensitive(header.secret);
                    fixed.append(name, value);
                }
            }
        }
        let names_host = fixed.contains_key(HOST) || filled.iter().any(|(name, _)| *name == HOST);
        if let Some(host) = origin.filter(|_| !names_host).and_then(Origin::host_header) {
            fixed.insert(HOST, host);
        }
        Ok(Self { fixed, filled })
    }
}

impl CompiledExpect {
    fn new(expect: &Expect) -> Result<Self, String> {
        let json =
            expect.json.iter().map(|(path, value)| Ok((path.clone(), json_path(path)?, value.clone())));
        Ok(Self { plain: expect.clone(), json: json.collect::<Result<_, String>>()? })
    }
}

impl CompiledCapture {
    fn new(capture: &Capture) -> Result<Self, String> {
        let source = match &capture.source {
            CaptureSource::JsonPath(path) => CompiledSource::JsonPath(json_path(path)?),
            CaptureSource::Regex(text) => CompiledSource::Regex(
                regex::Regex::new(text)
                    .map_err(|error| format!("`{text}` is no regular expression: {error}"))?,
            ),
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

/// The text of a template without holes, secrets exposed: from here on it goes to the target only.
fn fixed_text(template: &Template) -> Option<String> {
    let none = |_| None;
    fill(template, none, |value, out| out.push_str(value)).ok()
}

/// Fills a template; `escape` treats what comes from variables.
pub(crate) fn fill(
    template: &Template,
    value: impl Fn(Variable) -> Option<String>,
    escape: impl Fn(&str, &mut String),
) -> Result<String, Variable> {
    let mut out = String::new();
    for part in &template.parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Secret(secret) => out.push_str(secret.expose()),
            Part::Variable(variable) => escape(&value(*variable).ok_or(*variable)?, &mut out),
        }
    }
    Ok(out)
}

/// Characters that cannot stand in a URL as they are. Separators stay: a captured link is a whole path.
const NOT_IN_URL: percent_encoding::AsciiSet = percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What would end a path too early.
const NOT_IN_PATH: percent_encoding::AsciiSet = NOT_IN_URL.add(b'?').add(b'#').add(b'%');

/// What would end a value of a query too early, or mean a space.
const NOT_IN_QUERY: percent_encoding::AsciiSet = NOT_IN_PATH.add(b'&').add(b'=').add(b'+').add(b'/');

/// Fills a URL. A hole at its very start stands for a whole link and keeps its separators; one in the
/// path or the query is a value and cannot become anything else.
pub(crate) fn fill_url(
    template: &Template,
    value: impl Fn(Variable) -> Option<String>,
) -> Result<String, Variable> {
    let mut out = String::new();
    for part in &template.parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Secret(secret) => out.push_str(secret.expose()),
            Part::Variable(variable) => {
                let value = value(*variable).ok_or(*variable)?;
                let escaped = match (out.is_empty(), out.contains('?')) {
                    (true, _) => percent_encoding::utf8_percent_encode(&value, &NOT_IN_URL),
                    (false, false) => percent_encoding::utf8_percent_encode(&value, &NOT_IN_PATH),
                    (false, true) => percent_encoding::utf8_percent_encode(&value, &NOT_IN_QUERY),
                };
                let escaped = escaped.to_string();
                out.push_str(&escaped);
            }
        }
    }
    Ok(out)
}

pub(crate) fn escape_body(kind: BodyKind, value: &str, out: &mut String) {
    match kind {
        BodyKind::Text => out.push_str(value),
        BodyKind::Json => {
            // Serializing a text cannot fail; the quotes stand in the template.
            let quoted = serde_json::to_string(value).unwrap_or_default();
            out.push_str(quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default());
        }
        BodyKind::Form => out.extend(url::form_urlencoded::byte_serialize(value.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_for_where_they_go() {
        let escaped = |kind| {
            let mut out = String::new();
            escape_body(kind, "\"a\" & b\n", &mut out);
            out
        };
        assert_eq!(escaped(BodyKind::Text), "\"a\" & b\n");
        assert_eq!(escaped(BodyKind::Json), "\\\"a\\\" & b\\n");
        assert_eq!(escaped(BodyKind::Form), "%22a%22+%26+b%0A");
    }

    #[test]
    fn a_value_in_a_url_stays_one_value() {
        let hole = || Part::Variable(Variable::Iteration);
        let filled = |before: &str, value: &str| {
            let template = Template { parts: vec![Part::Text(before.to_owned()), hole()] };
            fill_url(&template, |_| Some(value.to_owned())).unwrap()
        };
        assert_eq!(
            filled("", "/next page?x=ü&y=1"),
            "/next%20page?x=%C3%BC&y=1",
            "a captured link is a whole link"
        );
        assert_eq!(filled("/files/", "a/b?c#d"), "/files/a/b%3Fc%23d");
        assert_eq!(filled("/search?q=", "salt & pepper=50%"), "/search?q=salt%20%26%20pepper%3D50%25");
    }
}
