//! `export.cloudwatch`: Amazon CloudWatch.

use std::collections::BTreeMap;

use plimsoll_run::{AwsCredentials, CloudWatchExport, CloudWatchResolution, Secret};

use crate::diagnostic::Finding;
use crate::export::{base_url, optional};
use crate::read::{Object, Reader};
use crate::tree::{Entry, Node};
use crate::words;

/// With those of a series these are at most the 30 that CloudWatch takes.
const MOST_DIMENSIONS: usize = 20;
const NAME_LETTERS: usize = 255;
const VALUE_LETTERS: usize = 1024;

pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<CloudWatchExport> {
    let object = reader.object(node, &words::CLOUDWATCH)?;
    let region = object.get("region").map(|node| region(reader, node));
    let namespace = object.get("namespace").map(|node| namespace(reader, node));
    let endpoint = object.get("endpoint").map(|node| {
        let what = "a URL like `http://127.0.0.1:4566`";
        base_url(reader, node, what, "write the keys beside it")
    });
    let dimensions = object.get("dimensions").map(|node| dimensions(reader, node)).unwrap_or_default();
    let metrics = object.get("metrics").map(|node| metrics(reader, node));
    let resolution = object.get("resolution").map(|node| reader.word(node, "a resolution", &["1s", "1m"]));
    let credentials = credentials(reader, object);
    Some(CloudWatchExport {
        region: optional(region)?,
        namespace: optional(namespace)?.unwrap_or_else(|| "Plimsoll".to_owned()),
        endpoint: optional(endpoint)?,
        dimensions,
        metrics: metrics.unwrap_or_else(|| CloudWatchExport::DEFAULT_METRICS.to_vec()),
        resolution: match optional(resolution)? {
            Some("1m") => CloudWatchResolution::Minute,
            _ => CloudWatchResolution::Second,
        },
        credentials: credentials?,
    })
}

/// It becomes part of a host's name.
fn region(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    const WHAT: &str = "a region like `eu-central-1`";
    let region = reader.text(node, WHAT)?;
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if !region.chars().all(plain) || region.starts_with('-') || region.len() > 32 {
        reader.expected(node, WHAT, None);
        return None;
    }
    Some(region)
}

/// As CloudWatch has it: letters, digits, `. - _ / # :` and space, no `:` first, and `AWS/` is Amazon's own.
fn namespace(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = reader.text(node, "a namespace")?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_/#: ".contains(letter);
    let is_own = !name.starts_with("AWS/") && !name.starts_with(':') && !name.trim().is_empty();
    if name.chars().all(plain) && is_own && name.len() <= NAME_LETTERS {
        return Some(name);
    }
    let help = "write letters, digits, `.`, `-`, `_`, `/`, `#`, `:` and spaces, at most 255, no `:` first and not `AWS/`";
    reader.expected(node, "a namespace", Some(help));
    None
}

fn dimensions(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, String> {
    let mut dimensions = BTreeMap::new();
    let is_text = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    for Entry { key, key_place, node } in reader.entries(node, "dimensions") {
        let is_name = is_text(key) && !key.trim().is_empty() && !key.starts_with(':');
        if !is_name || key.len() > NAME_LETTERS {
            let finding = Finding::error(*key_place, "this cannot be the name of a dimension");
            reader.report(finding.help("write visible ASCII and spaces, at most 255, no `:` first"));
        } else if CloudWatchExport::LABELS.contains(&key.as_str()) {
            let message = format!("`{key}` is a dimension of series already");
            reader.report(Finding::error(*key_place, message).help("choose another name"));
        } else if let Some(scalar) = reader.scalar(node, "the value of a dimension") {
            let value = scalar.text();
            let is_blank = !value.is_empty() && value.trim().is_empty();
            if !is_text(&value) || is_blank || value.len() > VALUE_LETTERS {
                let help = "write visible ASCII and spaces, at most 1024; an empty text takes a default away";
                reader.expected(node, "the value of a dimension", Some(help));
            } else {
                dimensions.insert(key.clone(), value);
            }
        }
    }
    if dimensions.len() > MOST_DIMENSIONS {
        reader.error(node.place, format!("there are more than {MOST_DIMENSIONS} dimensions"));
    }
    dimensions
}

fn metrics(reader: &mut Reader<'_>, node: &Node) -> Vec<&'static str> {
    let nodes = reader.some(node, "metrics");
    nodes.iter().filter_map(|node| reader.word(node, "a metric", &CloudWatchExport::METRICS)).collect()
}

/// A key with its id, both or neither; the outer `None`: they are there and wrong.
fn credentials(reader: &mut Reader<'_>, object: Object<'_>) -> Option<Option<AwsCredentials>> {
    let mut secret = |name, what| object.get(name).map(|node| reader.text(node, what).map(Secret::new));
    let id = secret("access_key_id", "the id of a key");
    let key = secret("secret_access_key", "a key");
    let token = secret("session_token", "a token");
    match (id, key) {
        (Some(id), Some(key)) => Some(Some(AwsCredentials {
            access_key_id: id?,
            secret_access_key: key?,
            session_token: optional(token)?,
        })),
        (None, None) if token.is_none() => Some(None),
        (id, _) => {
            let (has, lacks) = match (id, &token) {
                (Some(_), _) => ("access_key_id", "secret_access_key"),
                (None, Some(_)) => ("session_token", "access_key_id"),
                (None, None) => ("secret_access_key", "access_key_id"),
            };
            reader.error(object.key_place(has), format!("`{has}` needs `{lacks}` beside it"));
            None
        }
    }
}
