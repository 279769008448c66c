//! `notify`: who is told how it goes, of a plan and of a service alike.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use plimsoll_run::{EmailSettings, MailTls, NotifyChannel, NotifyReceiver, NotifySettings, Occasion, Secret};
use plimsoll_units::Rate;

use crate::diagnostic::{Finding, listed};
use crate::export::{base_url, optional, user};
use crate::http::web_url;
use crate::read::{Object, Reader};
use crate::resources::headers;
use crate::tree::{Entry, Node};
use crate::words;

/// More than anybody tells of one load.
const MOST_RECEIVERS: usize = 50;
/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// The keys of a receiver that say how it is told.
const CHANNELS: [&str; 5] = ["slack", "teams", "email", "pagerduty", "webhook"];

pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> NotifySettings {
    let mut settings = NotifySettings::default();
    let Some(object) = reader.object(node, &words::NOTIFY) else { return settings };
    let on = object.get("on").and_then(|node| occasions(reader, node));
    let on = on.unwrap_or_else(|| Occasion::USUAL.into_iter().collect());
    let at_most = object.get("at_most").and_then(|node| at_most(reader, node));
    let at_most = at_most.unwrap_or(NotifyReceiver::AT_MOST);
    settings.link = object.get("link").and_then(|node| {
        let what = "a URL like `https://plimsoll.example`";
        base_url(reader, node, what, "leave them out: everybody who is told sees it")
    });
    for (key, field) in [("gather", &mut settings.gather), ("settle", &mut settings.settle)] {
        if let Some(duration) = object.get(key).and_then(|node| reader.duration(node)) {
            *field = duration;
        }
    }
    if let Some(node) = object.get("receivers") {
        let entries = reader.entries(node, "receivers, each by its name");
        match entries.len() {
            0 => reader.expected(node, "receivers, each by its name", Some("at least one is needed")),
            1..=MOST_RECEIVERS => {}
            _ => reader.error(node.place, format!("there are more than {MOST_RECEIVERS} receivers")),
        }
        settings.receivers =
            entries.iter().filter_map(|entry| receiver(reader, entry, &on, at_most)).collect();
    }
    settings
}

fn occasions(reader: &mut Reader<'_>, node: &Node) -> Option<BTreeSet<Occasion>> {
    let mut occasions = BTreeSet::new();
    for node in reader.one_or_more(node) {
        let word = reader.word(node, "an occasion", &Occasion::LABELS)?;
        occasions.extend(Occasion::from_label(word));
    }
    if occasions.is_empty() {
        reader.expected(node, "occasions", Some(&format!("write some of {}", listed(Occasion::LABELS))));
        return None;
    }
    Some(occasions)
}

fn at_most(reader: &mut Reader<'_>, node: &Node) -> Option<u32> {
    let rate: Rate = reader.quantity(node, "a number of messages an hour")?;
    let per_hour = (rate.per_second() * 3600.0).round();
    if !(1.0..=3600.0).contains(&per_hour) {
        reader.expected(node, "from 1 to 3600 messages an hour", Some("write `30/h`"));
        return None;
    }
    Some(per_hour as u32)
}

fn receiver(
    reader: &mut Reader<'_>,
    entry: &Entry,
    on: &BTreeSet<Occasion>,
    usual: u32,
) -> Option<NotifyReceiver> {
    let Entry { key, key_place, node } = entry;
    if key.trim() != key || key.is_empty() || key.chars().count() > 100 || key.chars().any(char::is_control) {
        reader.error(*key_place, "this cannot be the name of a receiver");
        return None;
    }
    let object = reader.object(node, &words::RECEIVER)?;
    let own = object.get("on").map(|node| occasions(reader, node));
    let at_most = object.get("at_most").map(|node| at_most(reader, node));
    let ways: Vec<&str> = CHANNELS.into_iter().filter(|name| object.get(name).is_some()).collect();
    let [way] = ways[..] else {
        let finding = Finding::error(
            *key_place,
            match ways.len() {
                0 => format!("nothing says how `{key}` is told"),
                _ => format!("`{key}` is told in {} ways", ways.len()),
            },
        );
        reader.report(finding.help(format!("write one of {}", listed(CHANNELS))));
        return None;
    };
    let channel = object.get(way).and_then(|node| channel(reader, way, node))?;
    Some(NotifyReceiver {
        name: key.clone(),
        on: optional(own)?.unwrap_or_else(|| on.clone()),
        at_most: optional(at_most)?.unwrap_or(usual),
        channel,
    })
}

fn channel(reader: &mut Reader<'_>, way: &str, node: &Node) -> Option<NotifyChannel> {
    match way {
        "slack" => {
            let object = reader.object(node, &words::SLACK)?;
            Some(NotifyChannel::Slack { url: url(reader, object)? })
        }
        "teams" => {
            let object = reader.object(node, &words::TEAMS)?;
            Some(NotifyChannel::Teams { url: url(reader, object)? })
        }
        "pagerduty" => pagerduty(reader, node),
        "webhook" => webhook(reader, node),
        _ => email(reader, node),
    }
}

/// Whoever knows it may write there: it is a secret, and so is what is wrong with it.
fn url(reader: &mut Reader<'_>, object: Object<'_>) -> Option<Secret> {
    let node = object.get("url")?;
    let text = reader.text(node, "a URL")?;
    web_url(reader, node, &text, "an http or https URL with a host").map(Secret::new)
}

fn pagerduty(reader: &mut Reader<'_>, node: &Node) -> Option<NotifyChannel> {
    let object = reader.object(node, &words::PAGERDUTY)?;
    let own = object.get("url").map(|_| url(reader, object));
    let key = object.get("routing_key").and_then(|node| reader.text(node, "a routing key"));
    Some(NotifyChannel::PagerDuty {
        url: optional(own)?.unwrap_or_else(|| Secret::new(PAGERDUTY)),
        routing_key: Secret::new(key?),
    })
}

fn webhook(reader: &mut Reader<'_>, node: &Node) -> Option<NotifyChannel> {
    let object = reader.object(node, &words::WEBHOOK)?;
    let url = url(reader, object);
    let headers = object.get("headers").map(|node| headers(reader, node)).unwrap_or_default();
    let own = ["webhook-id", "webhook-timestamp", "webhook-signature", "content-type"];
    if let Some((name, _)) = headers.iter().find(|(name, _)| own.contains(&name.as_str())) {
        let name = name.clone();
        reader.error(object.key_place("headers"), format!("the header `{name}` is Plimsoll's own"));
    }
    let secrets = object.get("secret").map(|node| {
        let nodes = reader.one_or_more(node);
        let secrets: Option<Vec<Secret>> = nodes.iter().map(|node| secret(reader, node)).collect();
        if nodes.is_empty() {
            reader.expected(node, "a secret", Some("at least one is needed"));
        }
        secrets.filter(|secrets| !secrets.is_empty())
    });
    Some(NotifyChannel::Webhook { url: url?, secrets: secrets??, headers })
}

/// A secret as Standard Webhooks writes it.
fn secret(reader: &mut Reader<'_>, node: &Node) -> Option<Secret> {
    let text = reader.text(node, "a secret")?;
    let bytes = text.strip_prefix("whsec_").and_then(|text| BASE64_STANDARD.decode(text).ok());
    if bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len())) {
        return Some(Secret::new(text));
    }
    let finding = Finding::error(node.place, "this is not a secret of Standard Webhooks");
    let help = "write `whsec_` and the base64 of 24 to 64 random bytes: `echo whsec_$(openssl rand -base64 32)` makes one";
    reader.report(finding.help(help));
    None
}

fn email(reader: &mut Reader<'_>, node: &Node) -> Option<NotifyChannel> {
    let object = reader.object(node, &words::EMAIL)?;
    let tls = object.get("tls").map(|node| {
        Some(match reader.word(node, "how the way is covered", &["starttls", "tls", "none"])? {
            "tls" => MailTls::Tls,
            "none" => MailTls::None,
            _ => MailTls::Starttls,
        })
    });
    let tls = optional(tls).map(Option::unwrap_or_default);
    let server = object.get("server").and_then(|node| server(reader, node, tls.unwrap_or_default()));
    let from = object.get("from").and_then(|node| address(reader, node));
    let to = object.get("to").map(|node| {
        let nodes = reader.one_or_more(node);
        if nodes.is_empty() {
            reader.expected(node, "addresses", Some("at least one is needed"));
        }
        let all: Vec<Option<String>> = nodes.iter().map(|node| address(reader, node)).collect();
        all.into_iter().collect::<Option<Vec<String>>>().filter(|all| !all.is_empty())
    });
    let login = user(reader, object);
    let (host, port) = server?;
    Some(NotifyChannel::Email(EmailSettings { host, port, tls: tls?, login: login?, from: from?, to: to?? }))
}

fn server(reader: &mut Reader<'_>, node: &Node, tls: MailTls) -> Option<(String, u16)> {
    const WHAT: &str = "a host like `smtp.shop.example`, maybe with a port: `smtp.shop.example:587`";
    let text = reader.text(node, WHAT)?;
    // An address of IPv6 has colons of its own, so it stands in brackets where a port follows.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
        _ => (text.as_str(), Some(tls.port())),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_host = |letter: char| letter.is_ascii_alphanumeric() || "-._:".contains(letter);
    match port.filter(|port| *port > 0) {
        Some(port) if !host.is_empty() && host.chars().all(is_host) => Some((host.to_owned(), port)),
        _ => {
            reader.expected(node, WHAT, None);
            None
        }
    }
}

/// An address of mail, without a name and brackets. What it may hold in full is for who sends it to say.
fn address(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    const WHAT: &str = "an address of mail like `ops@shop.example`";
    let text = reader.text(node, WHAT)?;
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && !"<>(),:;@[]\\\"".contains(c))
    };
    match text.split_once('@') {
        Some((local, domain)) if plain(local) && plain(domain) => Some(text),
        _ => {
            reader.expected(node, WHAT, None);
            None
        }
    }
}
