//! `export`: where measurements go while the run goes on.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll_run::{
    ElasticsearchExport, ExportSettings, FileExport, FileFormat, InfluxExport, InfluxPlace, KafkaExport,
    OtlpExport, OtlpHistograms, OtlpProtocol, OtlpTemporality, PrometheusExport, SearchCredentials, Secret,
    SpoolSettings, SpoolSync, StatsdAddress, StatsdExport, WhenFull,
};
use plimsoll_units::ByteCount;

use crate::diagnostic::{Finding, listed};
use crate::http::web_url;
use crate::read::{Object, Reader};
use crate::resources::headers;
use crate::tree::{Node, Value};
use crate::{cloudwatch, remote_write, words};

/// Some scrapes, whatever their interval.
const DEFAULT_KEEP: Duration = Duration::from_secs(600);

/// A few seconds of a busy plan: with less, nothing could wait.
const LEAST_SPOOL: u64 = 1_000_000;

pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> ExportSettings {
    let Some(object) = reader.object(node, &words::EXPORT) else { return ExportSettings::default() };
    ExportSettings {
        prometheus: object.get("prometheus").and_then(|node| prometheus(reader, node)),
        remote_write: object.get("remote_write").and_then(|node| remote_write::read(reader, node)),
        influxdb: object.get("influxdb").and_then(|node| influxdb(reader, node)),
        otlp: object.get("otlp").and_then(|node| otlp(reader, node)),
        spool: object.get("spool").map(|node| spool(reader, node)).unwrap_or_default(),
        file: object.get("file").and_then(|node| file(reader, node)),
        series: object
            .get("series")
            .and_then(|node| reader.whole(node, "a number of series", 1..=words::MOST_SERIES))
            .map(|series| series as u32),
        statsd: object.get("statsd").and_then(|node| statsd(reader, node)),
        elasticsearch: object.get("elasticsearch").and_then(|node| elasticsearch(reader, node)),
        cloudwatch: object.get("cloudwatch").and_then(|node| cloudwatch::read(reader, node)),
        kafka: object.get("kafka").and_then(|node| kafka(reader, node)),
    }
}

fn spool(reader: &mut Reader<'_>, node: &Node) -> SpoolSettings {
    let mut spool = SpoolSettings::default();
    let Some(object) = reader.object(node, &words::SPOOL) else { return spool };
    spool.directory =
        object.get("directory").and_then(|node| reader.text(node, "a folder")).map(PathBuf::from);
    if let Some(node) = object.get("size")
        && let Some(ByteCount(bytes)) = reader.quantity(node, "a size")
    {
        if bytes < LEAST_SPOOL {
            reader.expected(node, "a size of at least 1MB", None);
        }
        spool.size = bytes;
    }
    if let Some(node) = object.get("when_full")
        && reader.word(node, "what gives way", &["drop_oldest", "drop_newest"]) == Some("drop_newest")
    {
        spool.when_full = WhenFull::DropNewest;
    }
    if let Some(node) = object.get("sync") {
        spool.sync = match node.scalar().map(|scalar| scalar.text()).as_deref() {
            Some("never") => SpoolSync::Never,
            Some("always") => SpoolSync::Always,
            _ => reader.some_time(node).map_or(spool.sync, SpoolSync::Every),
        };
    }
    spool
}

fn prometheus(reader: &mut Reader<'_>, node: &Node) -> Option<PrometheusExport> {
    let object = reader.object(node, &words::PROMETHEUS)?;
    let linger = object.get("linger").map(|node| reader.duration(node));
    let keep = object.get("keep").and_then(|node| reader.duration(node)).unwrap_or(DEFAULT_KEEP);
    let node = object.get("listen")?;
    let text = reader.text(node, "an address and a port")?;
    let Ok(listen) = text.parse::<SocketAddr>() else {
        reader.expected(node, "an address and a port", Some("write `127.0.0.1:9464`, or `[::1]:9464`"));
        return None;
    };
    Some(PrometheusExport { listen, linger: linger.flatten(), keep })
}

fn influxdb(reader: &mut Reader<'_>, node: &Node) -> Option<InfluxExport> {
    let object = reader.object(node, &words::INFLUXDB)?;
    let url = object.get("url").and_then(|node| {
        base_url(reader, node, "a URL like `http://127.0.0.1:8086`", "write what belongs to it beside it")
    });
    let version = match object.get("version") {
        Some(node) => reader.whole(node, "a version of InfluxDB", 1..=3)?,
        None => 2,
    };
    let (own, needed): (&[&str], &[&str]) = match version {
        1 => (&["database", "retention_policy", "username", "password"], &["database"]),
        2 => (&["org", "bucket", "token"], &["org", "bucket"]),
        _ => (&["database", "token"], &["database"]),
    };
    let mut fits = true;
    for name in words::INFLUXDB.names().filter(|name| !["url", "version"].contains(name)) {
        let place = object.key_place(name);
        let message = match object.get(name) {
            Some(_) if !own.contains(&name) => format!("InfluxDB {version} has no `{name}`"),
            None if needed.contains(&name) => format!("`export.influxdb` has no `{name}`"),
            Some(_) | None => continue,
        };
        let help = format!("version {version} has the keys {}", listed(own.iter().copied()));
        reader.report(Finding::error(place, message).help(help));
        fits = false;
    }
    let mut text = |name, what| object.get(name).map(|node| reader.text(node, what));
    let (database, org, bucket) =
        (text("database", "a database"), text("org", "an organisation"), text("bucket", "a bucket"));
    let retention_policy = text("retention_policy", "a retention policy");
    let token = optional(text("token", "a token"));
    let user = user(reader, object);
    if !fits {
        return None;
    }
    let place = match version {
        1 => InfluxPlace::Version1 {
            database: database??,
            retention_policy: optional(retention_policy)?,
            user: user?,
        },
        2 => InfluxPlace::Version2 { org: org??, bucket: bucket??, token: token?.map(Secret::new) },
        _ => InfluxPlace::Version3 { database: database??, token: token?.map(Secret::new) },
    };
    Some(InfluxExport { url: url?, place })
}

fn file(reader: &mut Reader<'_>, node: &Node) -> Option<FileExport> {
    let object = reader.object(node, &words::FILE)?;
    let node = object.get("path")?;
    let path = PathBuf::from(reader.text(node, "a path")?);
    let format = match path.extension().and_then(OsStr::to_str) {
        Some("ndjson" | "jsonl") => FileFormat::Ndjson,
        Some("csv") => FileFormat::Csv,
        _ => {
            reader.expected(node, "a path that ends in `.ndjson`, `.jsonl` or `.csv`", None);
            return None;
        }
    };
    Some(FileExport { path, format })
}

fn statsd(reader: &mut Reader<'_>, node: &Node) -> Option<StatsdExport> {
    let object = reader.object(node, &words::STATSD)?;
    let address = object.get("address").and_then(|node| statsd_address(reader, node));
    let tags =
        object.get("tags").map(|node| reader.word(node, "how labels are told", &["dogstatsd", "none"]));
    let prefix = match object.get("prefix") {
        Some(node) => {
            let prefix = reader.text(node, "a prefix")?;
            let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
            if !prefix.chars().all(plain) {
                reader.expected(node, "a prefix of letters, digits, `_`, `-` and `.`", None);
                return None;
            }
            prefix
        }
        None => "plimsoll".to_owned(),
    };
    Some(StatsdExport { address: address?, dogstatsd: optional(tags)? != Some("none"), prefix })
}

fn statsd_address(reader: &mut Reader<'_>, node: &Node) -> Option<StatsdAddress> {
    const WHAT: &str = "host and port like `127.0.0.1:8125`, or `unix:` and a path";
    let text = reader.text(node, WHAT)?;
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        return Some(StatsdAddress::Unix(PathBuf::from(path)));
    }
    if has_port(&text) {
        return Some(StatsdAddress::Udp(text));
    }
    reader.expected(node, WHAT, None);
    None
}

/// Whether this is a host and a port.
fn has_port(text: &str) -> bool {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn kafka(reader: &mut Reader<'_>, node: &Node) -> Option<KafkaExport> {
    const WHAT: &str = "host and port like `127.0.0.1:9092`";
    let object = reader.object(node, &words::KAFKA)?;
    let brokers = object.get("brokers").map(|node| {
        let nodes = match &node.value {
            Value::List(_) => reader.some(node, "brokers"),
            _ => std::slice::from_ref(node),
        };
        let mut brokers = Vec::new();
        for node in nodes {
            let broker = reader.text(node, WHAT)?;
            if !has_port(&broker) || broker.contains("://") {
                reader.expected(node, WHAT, None);
                return None;
            }
            brokers.push(broker);
        }
        Some(brokers).filter(|brokers| !brokers.is_empty())
    });
    let topic = object.get("topic").map(|node| topic(reader, node));
    Some(KafkaExport { brokers: brokers??, topic: optional(topic)?.unwrap_or_else(|| "plimsoll".to_owned()) })
}

/// A name as Kafka allows it.
fn topic(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = reader.text(node, "a topic")?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    if name.chars().all(plain) && name.len() <= 249 && name != "." && name != ".." {
        return Some(name);
    }
    reader.expected(node, "a topic", Some("write letters, digits, `.`, `_` and `-`, at most 249"));
    None
}

fn elasticsearch(reader: &mut Reader<'_>, node: &Node) -> Option<ElasticsearchExport> {
    let object = reader.object(node, &words::ELASTICSEARCH)?;
    let url = object.get("url").and_then(|node| {
        base_url(reader, node, "a URL like `http://127.0.0.1:9200`", "write who you are beside it")
    });
    let index = match object.get("index") {
        Some(node) => index(reader, node)?,
        None => "plimsoll".to_owned(),
    };
    let data_stream = object.get("data_stream").map(|node| reader.flag(node));
    let mut secret = |name, what| object.get(name).map(|node| reader.text(node, what).map(Secret::new));
    let token = optional(secret("token", "a token"));
    let api_key = optional(secret("api_key", "an API key"));
    let user = user(reader, object);
    let credentials = match (token?, api_key?, user?) {
        (None, None, None) => None,
        (Some(token), None, None) => Some(SearchCredentials::Token(token)),
        (None, Some(key), None) => Some(SearchCredentials::ApiKey(key)),
        (None, None, Some((user, password))) => Some(SearchCredentials::User(user, password)),
        _ => {
            reader.error(node.place, "there is one of `token`, `api_key` and `username`");
            return None;
        }
    };
    Some(ElasticsearchExport {
        url: url?,
        index,
        data_stream: optional(data_stream)?.unwrap_or(false),
        credentials,
    })
}

/// A name as Elasticsearch allows it.
fn index(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = reader.text(node, "the name of an index")?;
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter);
    if name.chars().all(plain) && !name.starts_with(['.', '_', '-']) && name.len() <= 255 {
        return Some(name);
    }
    let help = "write lower case letters, digits, `.`, `_` and `-`, a letter or digit first";
    reader.expected(node, "the name of an index", Some(help));
    None
}

/// A URL without credentials and query, its last slash taken off. `help` says where these go instead.
pub(crate) fn base_url(reader: &mut Reader<'_>, node: &Node, what: &str, help: &str) -> Option<String> {
    let text = reader.text(node, what)?;
    let url = web_url(reader, node, &text, what)?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        let finding = Finding::error(node.place, "this URL has neither credentials nor a query");
        reader.report(finding.help(help));
        return None;
    }
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// `username` and `password`, both or neither.
pub(crate) fn user(reader: &mut Reader<'_>, object: Object<'_>) -> Option<Option<(String, Secret)>> {
    let mut text = |name, what| object.get(name).map(|node| reader.text(node, what));
    match (text("username", "a user"), text("password", "a password")) {
        (Some(user), Some(password)) => Some(Some((user?, Secret::new(password?)))),
        (None, None) => Some(None),
        (user, _) => {
            let (has, lacks) =
                if user.is_some() { ("username", "password") } else { ("password", "username") };
            reader.error(object.key_place(has), format!("`{has}` needs a `{lacks}` beside it"));
            None
        }
    }
}

/// What may be absent; the outer `None`: it is there and wrong.
pub(crate) fn optional<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(value) => value.map(Some),
        None => Some(None),
    }
}

fn otlp(reader: &mut Reader<'_>, node: &Node) -> Option<OtlpExport> {
    let object = reader.object(node, &words::OTLP)?;
    let mut word = |name: &str, what: &str, words: &[&'static str]| {
        object.get(name).and_then(|node| reader.word(node, what, words)).unwrap_or(words[0])
    };
    let protocol = match word("protocol", "a protocol", &["http", "grpc"]) {
        "grpc" => OtlpProtocol::Grpc,
        _ => OtlpProtocol::Http,
    };
    let temporality = match word("temporality", "a temporality", &["cumulative", "delta"]) {
        "delta" => OtlpTemporality::Delta,
        _ => OtlpTemporality::Cumulative,
    };
    let histograms = match word("histograms", "a form of histograms", &["exponential", "explicit"]) {
        "explicit" => OtlpHistograms::Explicit,
        _ => OtlpHistograms::Exponential,
    };
    let gzip = word("compression", "a compression", &["gzip", "none"]) == "gzip";
    let traces = object.get("traces").and_then(|node| reader.flag(node)).unwrap_or(true);
    let headers = object.get("headers").map(|node| headers(reader, node)).unwrap_or_default();
    let node = object.get("url")?;
    let url =
        base_url(reader, node, "a URL like `http://127.0.0.1:4318`", "write them as `headers` beside it")?;
    let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if protocol == OtlpProtocol::Grpc && has_path {
        let finding = Finding::error(node.place, "the URL of a gRPC receiver has no path");
        reader.report(finding.help("write scheme, host and port, like `http://127.0.0.1:4317`"));
        return None;
    }
    Some(OtlpExport { url, protocol, headers, temporality, histograms, traces, gzip })
}
