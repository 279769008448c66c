//! `export`: where measurements go while the run goes on.

use std::net::SocketAddr;
use std::path::PathBuf;

use plimsoll_run::{
    ExportSettings, InfluxExport, PrometheusExport, Secret, SpoolSettings, SpoolSync, WhenFull,
};
use plimsoll_units::ByteCount;

use crate::diagnostic::Finding;
use crate::http::web_url;
use crate::read::Reader;
use crate::tree::Node;
use crate::words;

/// A few seconds of a busy plan: with less, nothing could wait.
const LEAST_SPOOL: u64 = 1_000_000;

pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> ExportSettings {
    let Some(object) = reader.object(node, &words::EXPORT) else { return ExportSettings::default() };
    ExportSettings {
        prometheus: object.get("prometheus").and_then(|node| prometheus(reader, node)),
        influxdb: object.get("influxdb").and_then(|node| influxdb(reader, node)),
        spool: object.get("spool").map(|node| spool(reader, node)).unwrap_or_default(),
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
    let node = object.get("listen")?;
    let text = reader.text(node, "an address and a port")?;
    let Ok(listen) = text.parse::<SocketAddr>() else {
        reader.expected(node, "an address and a port", Some("write `127.0.0.1:9464`, or `[::1]:9464`"));
        return None;
    };
    Some(PrometheusExport { listen, linger: linger.flatten() })
}

fn influxdb(reader: &mut Reader<'_>, node: &Node) -> Option<InfluxExport> {
    const WHAT: &str = "a URL like `http://127.0.0.1:8086`";
    let object = reader.object(node, &words::INFLUXDB)?;
    let url = object.get("url").and_then(|node| {
        let text = reader.text(node, WHAT)?;
        let url = web_url(reader, node, &text, WHAT)?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            let finding = Finding::error(node.place, "this URL has neither credentials nor a query");
            reader.report(finding.help("write the `token`, `org` and `bucket` beside it"));
            return None;
        }
        Some(url.as_str().trim_end_matches('/').to_owned())
    });
    let org = object.get("org").and_then(|node| reader.text(node, "an organisation"));
    let bucket = object.get("bucket").and_then(|node| reader.text(node, "a bucket"));
    let token = object.get("token").map(|node| reader.text(node, "a token"));
    let token = match token {
        Some(token) => Some(Secret::new(token?)),
        None => None,
    };
    Some(InfluxExport { url: url?, org: org?, bucket: bucket?, token })
}
