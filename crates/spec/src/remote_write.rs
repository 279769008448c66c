//! `export.remote_write`: a receiver of Prometheus remote write.

use std::collections::BTreeMap;

use plimsoll_run::{RemoteWriteExport, RemoteWriteHistograms, RemoteWriteVersion, Secret};

use crate::diagnostic::Finding;
use crate::export::user;
use crate::http::web_url;
use crate::read::Reader;
use crate::resources::headers;
use crate::tree::{Entry, Node};
use crate::words;

/// Requests under way at once: enough that one slow request does not hold all series up.
const DEFAULT_LANES: u8 = 4;

pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<RemoteWriteExport> {
    const WHAT: &str = "a URL like `http://127.0.0.1:9090/api/v1/write`";
    let object = reader.object(node, &words::REMOTE_WRITE)?;
    let url = object.get("url").and_then(|node| {
        let text = reader.text(node, WHAT)?;
        let url = web_url(reader, node, &text, WHAT)?;
        if !url.username().is_empty() || url.password().is_some() {
            let finding = Finding::error(node.place, "this URL has no credentials");
            reader.report(finding.help("write `token`, or `username` and `password`, beside it"));
            return None;
        }
        Some(url.as_str().to_owned())
    });
    let version = object.get("version").and_then(|node| reader.word(node, "a version", &["auto", "1", "2"]));
    let token = object.get("token").and_then(|node| reader.text(node, "a token")).map(Secret::new);
    let login = user(reader, object);
    if token.is_some() && matches!(login, Some(Some(_))) {
        let place = object.key_place("token");
        reader.error(place, "there is a `token`, and there is a `username`: leave one of them");
    }
    let headers = object.get("headers").map(|node| sent_headers(reader, node)).unwrap_or_default();
    let labels = object.get("labels").map(|node| labels(reader, node)).unwrap_or_default();
    let histograms = object
        .get("histograms")
        .and_then(|node| reader.word(node, "a form of histograms", &["both", "native", "classic"]));
    let lanes = object.get("lanes").and_then(|node| reader.whole(node, "lanes", 1..=16));
    Some(RemoteWriteExport {
        url: url?,
        version: match version {
            Some("1") => RemoteWriteVersion::One,
            Some("2") => RemoteWriteVersion::Two,
            _ => RemoteWriteVersion::Auto,
        },
        token,
        login: login?,
        headers,
        labels,
        histograms: match histograms {
            Some("native") => RemoteWriteHistograms::Native,
            Some("classic") => RemoteWriteHistograms::Classic,
            _ => RemoteWriteHistograms::Both,
        },
        lanes: lanes.and_then(|lanes| u8::try_from(lanes).ok()).unwrap_or(DEFAULT_LANES),
    })
}

/// Headers that say what a request is are the protocol's.
fn sent_headers(reader: &mut Reader<'_>, node: &Node) -> Vec<(String, Secret)> {
    const RESERVED: [&str; 6] = [
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-prometheus-remote-write-version",
    ];
    let headers = headers(reader, node);
    for (name, _) in &headers {
        if RESERVED.contains(&name.as_str()) {
            reader.error(node.place, format!("the header `{name}` is the protocol's own"));
        }
    }
    headers
}

fn labels(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for Entry { key, key_place, node } in reader.entries(node, "labels") {
        let word = key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        let starts = key.starts_with(|letter: char| letter.is_ascii_digit());
        if !word || key.is_empty() || starts || key.starts_with("__") || key == "le" {
            let finding = Finding::error(*key_place, format!("`{key}` cannot be the name of a label"));
            reader.report(finding.help(
                "letters, digits and `_`, not beginning with a digit or `__`, and not `le`, which is that of buckets",
            ));
        } else if let Some(scalar) = reader.scalar(node, "the value of a label") {
            labels.insert(key.clone(), scalar.text());
        }
    }
    labels
}
