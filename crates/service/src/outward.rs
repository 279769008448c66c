//! What a plan reaches beside its targets: where it exports to, whom it tells, what it reads figures from and which files it
//! writes. Who may write files on this machine may choose them; who writes plans over HTTP only among what is allowed,
//! for it is the service's machine that connects and writes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};

use plimsoll_run::{NotifyChannel, ResourceOrigin, RunPlan, StatsdAddress, Targets};
use url::{Host, Url};

/// A place, and the key of the plan that names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outward {
    key: &'static str,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A name or an address; never more of a URL, which may hold a secret.
    Host(String),
    /// A socket of this machine.
    Socket(PathBuf),
    /// A file or folder that is written.
    Written(PathBuf),
}

/// What a plan names.
pub(crate) fn of(plan: &RunPlan) -> BTreeSet<Outward> {
    let mut all = BTreeSet::new();
    let mut add = |key, place| {
        all.insert(Outward { key, place });
    };
    let targets: BTreeSet<Place> = plan.targets.iter().map(|target| of_url(&target.url)).collect();
    let export = &plan.export;
    let urls = [
        ("export.remote_write", export.remote_write.as_ref().map(|export| &export.url)),
        ("export.influxdb", export.influxdb.as_ref().map(|export| &export.url)),
        ("export.otlp", export.otlp.as_ref().map(|export| &export.url)),
        ("export.elasticsearch", export.elasticsearch.as_ref().map(|export| &export.url)),
        ("export.cloudwatch", export.cloudwatch.as_ref().and_then(|export| export.endpoint.as_ref())),
    ];
    urls.into_iter().filter_map(|(key, url)| Some((key, url?))).for_each(|(key, url)| add(key, of_url(url)));
    for broker in export.kafka.iter().flat_map(|kafka| &kafka.brokers) {
        add("export.kafka", of_authority(broker));
    }
    match export.statsd.as_ref().map(|statsd| &statsd.address) {
        Some(StatsdAddress::Udp(address)) => add("export.statsd", of_authority(address)),
        Some(StatsdAddress::Unix(path)) => add("export.statsd", Place::Socket(path.clone())),
        None => {}
    }
    for receiver in &plan.notify.receivers {
        add(
            "notify",
            match &receiver.channel {
                NotifyChannel::Slack { url }
                | NotifyChannel::Teams { url }
                | NotifyChannel::PagerDuty { url, .. }
                | NotifyChannel::Webhook { url, .. } => of_url(url.expose()),
                NotifyChannel::Email(mail) => Place::Host(mail.host.clone()),
            },
        );
    }
    let figures = plan.resources.iter().filter_map(|source| match &source.origin {
        ResourceOrigin::Metrics(endpoint) => Some(("resources", endpoint)),
        ResourceOrigin::Process(_) | ResourceOrigin::Port(_) | ResourceOrigin::Host => None,
    });
    let profiles = plan.profiles.iter().flat_map(|profiles| &profiles.sources);
    let profiles = profiles.map(|source| ("profiles", &source.endpoint));
    for (key, endpoint) in figures.chain(profiles) {
        let place = of_url(endpoint.url.expose());
        // Where the load goes is judged when it begins.
        if !targets.contains(&place) {
            add(key, place);
        }
    }
    let files = [
        ("export.file", export.file.as_ref().map(|file| &file.path)),
        ("export.spool", export.spool.directory.as_ref()),
        ("samples", plan.samples.as_ref().map(|samples| &samples.file)),
        ("profiles", plan.profiles.as_ref().map(|profiles| &profiles.folder)),
    ];
    for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file?))) {
        add(key, Place::Written(file.clone()));
    }
    all
}

/// What is wrong with the places that a plan names and did not name before.
pub(crate) fn mistakes(
    named: &BTreeSet<Outward>,
    before: &BTreeSet<Outward>,
    targets: &Targets,
) -> Vec<String> {
    named.difference(before).filter_map(|outward| outward.mistake(targets)).collect()
}

impl Outward {
    fn mistake(&self, targets: &Targets) -> Option<String> {
        let key = self.key;
        let not_allowed = |found: &str| {
            let allowed = targets.words();
            format!(
                "`{key}` leads to `{found}`, which is not among the targets that are allowed: {allowed}; \
                 a plan that is sent may name no other place that its file did not name before"
            )
        };
        match &self.place {
            Place::Host(host) => (!allows(targets, host)).then(|| not_allowed(host)),
            Place::Socket(path) => {
                (!targets.has_socket(path)).then(|| not_allowed(&path.display().to_string()))
            }
            Place::Written(path) => (!lies_within(path)).then(|| {
                let path = path.display();
                format!("`{key}` writes `{path}`, outside the folder of plans, where a plan that is sent may not write")
            }),
        }
    }
}

/// Names that are not on the list are not looked up: they may lead elsewhere by the time they are used.
fn allows(targets: &Targets, host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return targets.has_address(address);
    }
    let is_local = host.trim_end_matches('.').eq_ignore_ascii_case("localhost");
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    targets.has_name(host) || is_local && loopback.into_iter().all(|address| targets.has_address(address))
}

/// A link in there was made by somebody who may write files on this machine.
fn lies_within(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn of_url(url: &str) -> Place {
    let host = Url::parse(url).ok().and_then(|url| {
        Some(match url.host()? {
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
            // Of schemes other than HTTP addresses are read as names.
            Host::Domain(name) => name.to_owned(),
        })
    });
    // What has no host is allowed by no list.
    Place::Host(host.unwrap_or_default())
}

/// The host of `host:port`, read as URLs have it: other ways to write an address are the address.
fn of_authority(text: &str) -> Place {
    of_url(&format!("http://{text}"))
}

#[cfg(test)]
mod tests {
    use plimsoll_spec::{Inputs, Source, parse};

    use super::*;

    fn named(more: &str) -> BTreeSet<Outward> {
        let text = format!(
            "name: shop\ntarget: http://127.0.0.1:1\nload: {{ stages: [{{ hold: 10/s, for: 5s }}] }}\n\
             scenarios: [{{ name: one, steps: [{{ get: / }}] }}]\n{more}\n"
        );
        let none = |_: &str| None;
        let files = |_: &str| Err("none".to_owned());
        let source = Source { name: "shop.yaml".to_owned(), text };
        match parse(&source, &Inputs::new(&none, &files)) {
            Ok(parsed) => of(&parsed.plan),
            Err(wrong) => panic!("{more}: {}", wrong[0].render(false)),
        }
    }

    #[test]
    fn a_plan_that_is_sent_reaches_only_what_is_allowed() {
        for (more, word) in [
            ("", ""),
            ("resources: { shop: { url: /metrics } }", ""),
            ("export: { influxdb: { url: \"http://localhost:8086\", version: 1, database: x } }", ""),
            (
                "export: { influxdb: { url: \"http://10.0.0.1:8086\", version: 1, database: x } }",
                "`10.0.0.1`",
            ),
            (
                "export: { influxdb: { url: \"http://db.example.org\", version: 1, database: x } }",
                "`db.example.org`",
            ),
            (
                "export: { otlp: { url: \"http://169.254.169.254\" } }",
                "`export.otlp` leads to `169.254.169.254`",
            ),
            ("export: { remote_write: { url: \"http://2852039166/x\" } }", "`169.254.169.254`"),
            (
                "export: { kafka: { brokers: [\"127.0.0.1:9092\", \"10.0.0.1:9092\"], topic: x } }",
                "`10.0.0.1`",
            ),
            ("export: { statsd: { address: \"10.0.0.1:8125\" } }", "`10.0.0.1`"),
            ("export: { statsd: { address: \"unix:/run/docker.sock\" } }", "`/run/docker.sock`"),
            ("export: { file: { path: out.ndjson } }", ""),
            ("export: { file: { path: /etc/x.ndjson } }", "outside the folder"),
            ("samples: { file: ../x.ndjson }", "`samples` writes `../x.ndjson`"),
            ("profiles: { folder: kept, take: [{ kind: heap }] }", ""),
            ("profiles: { folder: /x, take: [{ kind: heap }] }", "`profiles` writes `/x`"),
            (
                "profiles: { folder: x, take: [{ kind: heap, url: \"http://10.0.0.1:6060/h\" }] }",
                "`profiles` leads to `10.0.0.1`",
            ),
            (
                "notify: { receivers: { team: { slack: { url: \"https://hooks.example.org/secret\" } } } }",
                "`hooks.example.org`",
            ),
            (
                "resources: { node: { url: \"http://10.0.0.1:9100/metrics\" } }",
                "`resources` leads to `10.0.0.1`",
            ),
        ] {
            let found = mistakes(&named(more), &BTreeSet::new(), &Targets::default());
            assert_eq!(found.len(), usize::from(!word.is_empty()), "{more}: {found:?}");
            assert!(found.iter().all(|found| found.contains(word) && !found.contains("secret")), "{found:?}");
        }
    }

    #[test]
    fn what_the_file_named_before_stays() {
        let before =
            named("export: { influxdb: { url: \"http://10.0.0.1:8086\", version: 1, database: x } }");
        let other = named("export: { influxdb: { url: \"http://10.0.0.1:8086\", version: 1, database: y } }");
        assert_eq!(mistakes(&other, &before, &Targets::default()), Vec::<String>::new());
        let elsewhere =
            named("export: { influxdb: { url: \"http://10.0.0.2:8086\", version: 1, database: x } }");
        assert_eq!(mistakes(&elsewhere, &before, &Targets::default()).len(), 1);
    }
}
