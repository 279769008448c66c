//! `resources`: where figures of the target and its machine come from, beside the load.

use std::time::Duration;

use plimsoll_run::{Part, ResourceEndpoint, ResourceOrigin, ResourceSource, Secret};

use crate::diagnostic::Finding;
use crate::http::{any_header_name, is_header_value, take_userinfo, web_url};
use crate::read::{Object, Reader};
use crate::tree::{Entry, Node, Value};
use crate::words;
use url::Url;

/// More than anybody watches beside one load.
const MOST_SOURCES: usize = 16;
/// What a name in `metrics` may be long.
const LONGEST_NAME: usize = 200;
const EACH_SECOND: Duration = Duration::from_secs(1);
const WHAT: &str = "a URL like `http://127.0.0.1:8080/metrics`, a path like `/metrics`, `host`, or a map";

/// `target` is what a path is below; `None` where something is wrong with it.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, target: Option<&Url>) -> Vec<ResourceSource> {
    let entries = reader.entries(node, "resources, each by its name");
    if entries.len() > MOST_SOURCES {
        reader.error(node.place, format!("there are more than {MOST_SOURCES} resources"));
        return Vec::new();
    }
    entries.iter().filter_map(|entry| source(reader, entry, target)).collect()
}

fn source(reader: &mut Reader<'_>, entry: &Entry, target: Option<&Url>) -> Option<ResourceSource> {
    let Entry { key, key_place, node } = entry;
    let is_name = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
    if !is_name(key) || key.chars().count() > LONGEST_NAME {
        reader.error(*key_place, "this cannot be the name of a resource");
        return None;
    }
    let (origin, interval) = match &node.value {
        Value::Map(_) => {
            let object = reader.object(node, &words::RESOURCE)?;
            let interval = object.get("interval").map(|node| interval(reader, node));
            (of_object(reader, &object, target)?, interval.unwrap_or(Some(EACH_SECOND))?)
        }
        _ => {
            let text = reader.text(node, WHAT)?;
            let origin = match text.as_str() {
                "host" => ResourceOrigin::Host,
                _ => ResourceOrigin::Metrics(endpoint(reader, node, &text, target, WHAT)?),
            };
            (origin, EACH_SECOND)
        }
    };
    Some(ResourceSource { name: key.clone(), origin, interval })
}

fn interval(reader: &mut Reader<'_>, node: &Node) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(3600);
    let interval = reader.duration(node)?;
    if interval.subsec_nanos() > 0 || !(EACH_SECOND..=LONGEST).contains(&interval) {
        let help = "figures belong to seconds: write `1s`, `5s`";
        reader.expected(node, "whole seconds from 1s to 1h", Some(help));
        return None;
    }
    Some(interval)
}

fn of_object(reader: &mut Reader<'_>, object: &Object<'_>, target: Option<&Url>) -> Option<ResourceOrigin> {
    let [url, pid, port] = ["url", "pid", "port"].map(|key| object.get(key));
    if url.is_none() {
        for key in ["metrics", "headers"] {
            if object.get(key).is_some() {
                let finding = Finding::error(object.key_place(key), format!("`{key}` belongs to a `url`"));
                reader.report(finding.help("of a process of this machine it is known what there is to see"));
            }
        }
    }
    match (url, pid, port) {
        (Some(node), None, None) => {
            let text = reader.text(node, "a URL")?;
            let mut endpoint = endpoint(reader, node, &text, target, WHAT);
            let metrics = object.get("metrics").map(|node| metrics(reader, node)).unwrap_or_default();
            let headers = object.get("headers").map(|node| headers(reader, node)).unwrap_or_default();
            if let Some(endpoint) = &mut endpoint {
                let both = |(name, _): &(String, Secret)| name == "authorization";
                if endpoint.headers.iter().any(both) && headers.iter().any(both) {
                    let place = object.key_place("headers");
                    reader
                        .error(place, "the URL has credentials, and so have the headers: leave one of them");
                }
                endpoint.headers.extend(headers);
                endpoint.metrics = metrics;
            }
            endpoint.map(ResourceOrigin::Metrics)
        }
        (None, Some(node), None) => {
            let pid = reader.whole(node, "the number of a process", 1..=words::LAST_PID)?;
            Some(ResourceOrigin::Process(pid as u32))
        }
        (None, None, Some(node)) => {
            let port = reader.whole(node, "a port", 1..=u64::from(u16::MAX))?;
            Some(ResourceOrigin::Port(port as u16))
        }
        _ => {
            reader.report(Finding::error(object.place, "a resource has one of `url`, `pid` and `port`"));
            None
        }
    }
}

/// A path is below the target, as those of steps are.
pub(crate) fn endpoint(
    reader: &mut Reader<'_>,
    node: &Node,
    text: &str,
    target: Option<&Url>,
    what: &str,
) -> Option<ResourceEndpoint> {
    let below_target = match text.starts_with('/') {
        true => Some(format!("{}{text}", target?.as_str().trim_end_matches('/'))),
        false => None,
    };
    let mut url = web_url(reader, node, below_target.as_deref().unwrap_or(text), what)?;
    let credentials = take_userinfo(&mut url);
    url.set_fragment(None);
    let headers = credentials.into_iter().flat_map(|header| {
        let name = header.name;
        header.value.parts.into_iter().filter_map(move |part| match part {
            Part::Secret(value) => Some((name.clone(), value)),
            Part::Text(_) | Part::Variable(_) => None,
        })
    });
    Some(ResourceEndpoint { url: Secret::new(url), headers: headers.collect(), metrics: Vec::new() })
}

/// Values are sent as they stand: there is no iteration here that could fill a hole.
pub(crate) fn headers(reader: &mut Reader<'_>, node: &Node) -> Vec<(String, Secret)> {
    let mut headers: Vec<(String, Secret)> = Vec::new();
    for Entry { key, key_place, node } in reader.entries(node, "headers") {
        let Some(name) = any_header_name(reader, key, *key_place) else { continue };
        let Some(scalar) = reader.scalar(node, "the value of a header") else { continue };
        if !is_header_value(&scalar.text()) {
            reader.error(node.place, format!("the value of the header `{name}` holds control characters"));
        } else if headers.iter().any(|(known, _)| *known == name) {
            reader.error(*key_place, format!("the header `{name}` stands here twice"));
        } else {
            headers.push((name, Secret::new(scalar.text())));
        }
    }
    headers
}

fn metrics(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let mut metrics = Vec::new();
    for item in reader.one_or_more(node) {
        let Some(name) = reader.text(item, "the name of a metric") else { continue };
        let fits = |c: char| !c.is_control() && !c.is_whitespace() && !"{}\"".contains(c);
        if !name.chars().all(fits) || name.chars().count() > LONGEST_NAME {
            let help = "write it without labels: each of its series is kept by itself";
            reader.expected(item, "the name of a metric", Some(help));
        } else {
            metrics.push(name);
        }
    }
    metrics
}
