//! `profiles`: what the target tells of itself in pprof's format, and when it is asked.

use plimsoll_run::{ProfileKind, ProfileMoment, ProfileSource, ProfilesSettings};
use url::Url;

use crate::diagnostic::Finding;
use crate::read::Reader;
use crate::resources::{endpoint, headers};
use crate::singles::file;
use crate::tree::Node;
use crate::words;

/// More than any runtime gives out.
const MOST_SOURCES: usize = 16;
/// How long processors are watched where nothing is said, in seconds.
const USUAL_SECONDS: u32 = 10;
const WHAT: &str = "a URL like `http://127.0.0.1:6060/debug/pprof/heap`, or a path like `/debug/pprof/heap`";

/// `target` is what a path is below; `None` where something is wrong with it.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, target: Option<&Url>) -> Option<ProfilesSettings> {
    let object = reader.object(node, &words::PROFILES)?;
    let folder = object.get("folder").and_then(|node| file(reader, node, "a folder"));
    let take = object.get("take")?;
    let items = reader.list(take, "a list of profiles");
    if items.len() > MOST_SOURCES || items.is_empty() {
        reader.error(
            take.place,
            format!("there are {} profiles, and from 1 to {MOST_SOURCES} may be", items.len()),
        );
        return None;
    }
    let mut sources: Vec<ProfileSource> = Vec::new();
    for item in items {
        let Some(source) = source(reader, item, target) else { continue };
        if sources.iter().any(|known| known.endpoint.url == source.endpoint.url) {
            let finding = Finding::error(item.place, "this endpoint stands here twice");
            reader.report(finding.help("say all its moments at once: `at: [peak, breach]`"));
        }
        sources.push(source);
    }
    Some(ProfilesSettings { folder: folder?, sources })
}

fn source(reader: &mut Reader<'_>, node: &Node, target: Option<&Url>) -> Option<ProfileSource> {
    let object = reader.object(node, &words::PROFILE)?;
    let word = reader.word(object.get("kind")?, "a kind of profile", words::PROFILE_KINDS);
    let kind = word.and_then(ProfileKind::from_label);
    let at = object.get("at").map(|node| moments(reader, node));
    let seconds = object.get("for").map(|node| seconds(reader, node));
    let url = object.get("url").map(|node| (node, reader.text(node, "a URL")));
    let headers = object.get("headers").map(|node| headers(reader, node)).unwrap_or_default();
    let kind = kind?;
    // Where Go has them.
    let usual = match kind {
        ProfileKind::Cpu => "/debug/pprof/profile".to_owned(),
        other => format!("/debug/pprof/{}", other.label()),
    };
    let (place, url) = match url {
        Some((place, url)) => (place, url?),
        None => (node, usual),
    };
    let mut endpoint = endpoint(reader, place, &url, target, WHAT)?;
    let own = Url::parse(endpoint.url.expose()).ok();
    if own.is_some_and(|url| url.query_pairs().any(|(name, _)| name == "seconds")) {
        let finding = Finding::error(place.place, "the URL says `seconds`, which `for` says");
        reader.report(finding.help("leave it out of the URL and write how long it is to look: `for: 30s`"));
    }
    let is_login = |(name, _): &(String, _)| name == "authorization";
    if endpoint.headers.iter().any(is_login) && headers.iter().any(is_login) {
        let place = object.key_place("headers");
        reader.error(place, "the URL has credentials, and so have the headers: leave one of them");
    }
    endpoint.headers.extend(headers);
    let seconds = match seconds {
        Some(seconds) => Some(seconds?),
        None => (kind == ProfileKind::Cpu).then_some(USUAL_SECONDS),
    };
    Some(ProfileSource { kind, endpoint, seconds, at: at.unwrap_or_else(|| vec![ProfileMoment::Peak]) })
}

fn seconds(reader: &mut Reader<'_>, node: &Node) -> Option<u32> {
    let length = reader.duration(node)?;
    if length.subsec_nanos() > 0 || !(1..=300).contains(&length.as_secs()) {
        reader.expected(node, "whole seconds from 1s to 5m", None);
        return None;
    }
    u32::try_from(length.as_secs()).ok()
}

fn moments(reader: &mut Reader<'_>, node: &Node) -> Vec<ProfileMoment> {
    let mut found = Vec::new();
    for item in reader.one_or_more(node) {
        let word = reader.word(item, "when it is fetched", words::PROFILE_MOMENTS);
        let Some(moment) = word.and_then(ProfileMoment::from_label) else { continue };
        if found.contains(&moment) {
            reader.error(item.place, format!("`{}` stands here twice", moment.label()));
        } else {
            found.push(moment);
        }
    }
    found
}
