//! A plan made ready for sending: what can be done once is done before the load starts.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use plimsoll_run::{
    Action, Auth, Body, Header, HttpVersion, OnFailure, Request, Retry, Reuse, RunPlan, Template, Until,
};

use crate::evidence::Hidden;
use crate::fill::{fill, fill_url};
use crate::judge::{CompiledCapture, CompiledCheck, CompiledExpect};
use crate::measures::CompiledMeasure;
use crate::message::{Message, decides_framing};
use crate::payload::Payload;
use crate::proxy::Via;
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

/// A step ready for sending.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) index: u16,
    pub(crate) method: Method,
    /// The whole request, where it has no holes.
    pub(crate) fixed: Option<Rc<Message>>,
    pub(crate) url: CompiledUrl,
    pub(crate) headers: CompiledHeaders,
    pub(crate) body: Payload,
    pub(crate) expect: CompiledExpect,
    pub(crate) captures: Vec<CompiledCapture>,
    pub(crate) measures: Vec<CompiledMeasure>,
    pub(crate) checks: Vec<CompiledCheck>,
    pub(crate) on_failure: OnFailure,
    pub(crate) retry: Option<Retry>,
    pub(crate) until: Option<Box<CompiledUntil>>,
    /// Whether its answers are judged by their status alone, and nothing is taken from them.
    pub(crate) is_plain: bool,
    /// Whether anybody looks at the headers of the answer.
    pub(crate) reads_headers: bool,
    /// Whether anybody looks at the body.
    pub(crate) reads_body: bool,
    /// What nobody is to see of it.
    pub(crate) hidden: Hidden,
}

/// What a step's answer must become.
#[derive(Debug)]
pub(crate) struct CompiledUntil {
    pub(crate) expect: CompiledExpect,
    /// From an answer to when the next request is due, in nanoseconds.
    pub(crate) every: u64,
    /// From when the step was first due to when no further request is made.
    pub(crate) timeout: u64,
}

impl CompiledUntil {
    fn new(until: &Until) -> Result<Self, String> {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let expect = CompiledExpect::new(&until.expect)?;
        Ok(Self { expect, every: nanos(until.every), timeout: nanos(until.timeout) })
    }
}

#[derive(Debug)]
pub(crate) enum CompiledUrl {
    /// Without holes.
    Fixed(Rc<Origin>, Uri),
    /// Path and query, or an absolute URL, to be filled, and what is added to its query.
    Filled(Template, Option<Template>),
}

#[derive(Debug)]
pub(crate) struct CompiledHeaders {
    /// Everything without holes; `host` too where it is known before the load starts.
    pub(crate) fixed: HeaderMap,
    pub(crate) filled: Vec<(HeaderName, Template)>,
}

impl Target {
    pub(crate) fn of(plan: &RunPlan) -> Result<Self, CompileError> {
        let wrong = || CompileError {
            step: "target".to_owned(),
            reason: format!("`{}` is not an http or https URL", plan.target),
        };
        let url = url::Url::parse(&plan.target).map_err(|_| wrong())?;
        let proxy = plan.http.network.proxy.as_ref().map(Via::new).transpose();
        let proxy =
            proxy.map_err(|error| CompileError { step: "target".to_owned(), reason: error.to_string() })?;
        let origin = Origin { proxy: proxy.map(Arc::new), ..Origin::of(&url).ok_or_else(wrong)? };
        Ok(Self { origin: Rc::new(origin), prefix: url.path().trim_end_matches('/').to_owned() })
    }
}

impl Step {
    pub(crate) fn new(plan: &RunPlan, target: &Target, request: &Request) -> Result<Self, CompileError> {
        let label = plan.steps.get(usize::from(request.step)).map_or("?", |step| step.step.as_str());
        let wrong = |reason: String| CompileError { step: label.to_owned(), reason };
        let expect = CompiledExpect::new(&request.expect).map_err(wrong)?;
        let until = request.until.as_ref().map(CompiledUntil::new).transpose().map_err(wrong)?.map(Box::new);
        let captures = request
            .captures
            .iter()
            .map(CompiledCapture::new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?;
        let checks =
            request.checks.iter().map(CompiledCheck::new).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let measures = request.measures.iter().map(|measure| CompiledMeasure::new(measure, &plan.measures));
        let measures = measures.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let expects = || [&expect].into_iter().chain(until.iter().map(|until| &until.expect));
        let reads_body = expects().any(CompiledExpect::reads_body)
            || measures.iter().any(CompiledMeasure::reads_body)
            || checks.iter().any(CompiledCheck::reads_body)
            || captures.iter().any(CompiledCapture::reads_body);
        let url = CompiledUrl::new(target, &request.url, request.query.as_ref()).map_err(wrong)?;
        let origin = match &url {
            CompiledUrl::Fixed(origin, _) => Some(&**origin),
            CompiledUrl::Filled(..) => None,
        };
        let mut headers = CompiledHeaders::new(&plan.http.headers, request, origin).map_err(wrong)?;
        let body = Payload::new(request.body.as_ref(), request.gzip, &mut headers.fixed);
        if plan.reuse() == Reuse::Never && plan.http.version == HttpVersion::Http1 {
            // Whoever means to send one request says so (RFC 9112, section 9.6).
            headers.fixed.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let reads_headers = expects().any(CompiledExpect::reads_headers)
            || measures.iter().any(CompiledMeasure::reads_headers)
            || checks.iter().any(CompiledCheck::reads_headers)
            || captures.iter().any(CompiledCapture::reads_headers);
        // What a challenge asks and how a body is coded stands in them.
        let network = &plan.http.network;
        let reads_headers = reads_headers
            || matches!(network.auth, Some(Auth::Digest { .. }))
            || (reads_body && !network.compression.is_empty());
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| wrong(format!("`{}` is no HTTP method", request.method)))?;
        let common = plan.http.headers.iter().map(|header| &header.value);
        let hidden = Hidden::of(common.chain(request.templates()));
        let fixed = match (&url, &body) {
            (CompiledUrl::Fixed(origin, uri), Payload::Fixed(body))
                if headers.filled.is_empty() && headers.fixed.contains_key(HOST) =>
            {
                let (origin, uri) = (Rc::clone(origin), uri.clone());
                Some(Message::new(origin, method.clone(), uri, headers.fixed.clone(), body.clone()))
            }
            _ => None,
        };
        let takes_nothing =
            captures.is_empty() && measures.is_empty() && checks.is_empty() && until.is_none();
        Ok(Self {
            index: request.step,
            is_plain: takes_nothing && expect.is_status_alone(),
            method,
            fixed,
            url,
            headers,
            body,
            expect,
            captures,
            measures,
            checks,
            on_failure: request.on_failure,
            retry: request.retry.clone(),
            until,
            reads_headers,
            reads_body,
            hidden,
        })
    }
}

/// Whether all requests of a plan can be compiled into bytes.
pub(crate) fn is_plain(plan: &RunPlan) -> bool {
    let plain =
        |headers: &[Header]| !headers.iter().any(|header| decides_framing(&header.name.to_ascii_lowercase()));
    let mut is_plain = plain(&plan.http.headers);
    every_request(plan, &mut |request| {
        is_plain &= request.method != "CONNECT" && plain(&request.headers);
    });
    is_plain
}

/// How long the steps that say so may take, by their index; empty where none says so.
pub(crate) fn own_timeouts(plan: &RunPlan) -> Box<[Option<Duration>]> {
    let mut timeouts = Vec::new();
    every_request(plan, &mut |request| {
        let step = usize::from(request.step);
        if request.timeout.is_some() && timeouts.len() <= step {
            timeouts.resize(step + 1, None);
        }
        timeouts.get_mut(step).into_iter().for_each(|timeout| *timeout = request.timeout);
    });
    timeouts.into()
}

/// The steps that go out without the plan's credentials.
pub(crate) fn without_auth(plan: &RunPlan) -> Box<[u16]> {
    let mut without = Vec::new();
    every_request(plan, &mut |request| without.extend(request.without_auth.then_some(request.step)));
    without.into()
}

fn every_request(plan: &RunPlan, seen: &mut impl FnMut(&Request)) {
    let scenarios = plan.scenarios.iter().map(|scenario| &scenario.actions);
    for actions in scenarios.chain([&plan.setup, &plan.teardown]) {
        Action::requests(actions, seen);
    }
}

impl CompiledUrl {
    fn new(target: &Target, template: &Template, query: Option<&Template>) -> Result<Self, String> {
        let none = |_, _: &mut dyn FnMut(&str)| false;
        match fill_url(template, query, none) {
            Err(_) => Ok(Self::Filled(template.clone(), query.cloned())),
            Ok(text) => {
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
        let origin = origin.on_the_way_of(&target.origin);
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
    fn new(common: &[Header], request: &Request, origin: Option<&Origin>) -> Result<Self, String> {
        let (mut fixed, mut filled) = (HeaderMap::new(), Vec::new());
        let own = &request.headers;
        let goes_along = |header: &&Header| {
            let is_written = match header.name.as_str() {
                "authorization" => request.without_auth,
                "content-encoding" => request.gzip,
                "content-type" => matches!(request.body, Some(Body::Multipart(_))),
                _ => false,
            };
            !is_written && !own.iter().any(|mine| mine.name == header.name)
        };
        for header in common.iter().filter(goes_along).chain(own) {
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

/// The text of a template without holes, secrets exposed: from here on it goes to the target only.
pub(crate) fn fixed_text(template: &Template) -> Option<String> {
    let none = |_, _: &mut dyn FnMut(&str)| false;
    fill(template, none, |value, out| out.push_str(value)).ok()
}
