//! `auth`, `tls`, `hosts`, `metrics`, `limits` and `targets` of the service's configuration.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use plimsoll_history::Scope;
use plimsoll_run::Targets;
use plimsoll_service::{Access, Auth, Limits, Proxy, Tls};
use plimsoll_units::{ByteCount, Rate};
use serde::Deserialize;

/// The keys as typed, of one level with the others of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawAccess {
    pub(crate) auth: Option<RawAuth>,
    pub(crate) tls: Option<RawTls>,
    pub(crate) hosts: Vec<String>,
    pub(crate) metrics: Option<String>,
    pub(crate) limits: RawLimits,
    pub(crate) targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "auth: write `tokens`, `none` or `{ proxy: { header, from, scope } }`")]
pub(crate) enum RawAuth {
    Word(String),
    Proxy { proxy: RawProxy },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProxy {
    header: String,
    from: Vec<String>,
    scope: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "tls: write `{ cert: FILE, key: FILE }` or `none`")]
pub(crate) enum RawTls {
    Word(String),
    Files { cert: PathBuf, key: PathBuf },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawLimits {
    requests: Option<String>,
    body: Option<String>,
    connections: Option<usize>,
    listeners: Option<usize>,
}

impl RawAccess {
    /// What the keys mean; paths are from `beside`.
    pub(crate) fn meant(self, beside: &Path) -> anyhow::Result<Access> {
        let open_metrics = match self.metrics.as_deref() {
            None | Some("closed") => false,
            Some("open") => true,
            Some(other) => {
                return Err(anyhow!("metrics: `{other}` is not understood; write `open` or `closed`"));
            }
        };
        for host in &self.hosts {
            let is_name = !host.is_empty() && !host.contains(['/', '@', ' ', '*']) && !host.contains("://");
            ensure!(is_name, "hosts: `{host}` is no name; write `plimsoll.example.org`, without port");
        }
        Ok(Access {
            auth: self.auth.map_or(Ok(Auth::Off), RawAuth::meant)?,
            tls: self.tls.map_or(Ok(Tls::Unsaid), |tls| tls.meant(beside))?,
            hosts: self.hosts,
            open_metrics,
            limits: self.limits.meant()?,
            targets: Targets::parse(&self.targets).context("targets")?,
        })
    }
}

impl RawAuth {
    fn meant(self) -> anyhow::Result<Auth> {
        match self {
            Self::Word(word) if word == "tokens" => Ok(Auth::Tokens),
            Self::Word(word) if word == "none" => Ok(Auth::Off),
            Self::Word(word) => {
                Err(anyhow!("auth: `{word}` is not understood; write `tokens`, `none` or `{{ proxy: ... }}`"))
            }
            Self::Proxy { proxy } => proxy.meant().map(Auth::Proxy).context("auth: proxy"),
        }
    }
}

impl RawProxy {
    fn meant(self) -> anyhow::Result<Proxy> {
        let header = self.header.parse().map_err(|_| {
            anyhow!("header: `{}` is no name of a header; write `x-forwarded-user`", self.header)
        })?;
        ensure!(
            !self.from.is_empty(),
            "from: there is no address; write those the proxy asks from, `[10.0.0.0/8]`"
        );
        let from = self.from.iter().map(|from| from.parse()).collect::<Result<_, _>>().context("from")?;
        let scope = self.scope.as_deref().unwrap_or("read");
        let scope = Scope::from_label(scope)
            .ok_or_else(|| anyhow!("scope: `{scope}` is no scope; write `read`, `run` or `admin`"))?;
        Ok(Proxy { header, from, scope })
    }
}

impl RawTls {
    fn meant(self, beside: &Path) -> anyhow::Result<Tls> {
        match self {
            Self::Word(word) if word == "none" => Ok(Tls::Off),
            Self::Word(word) => {
                Err(anyhow!("tls: `{word}` is not understood; write `{{ cert: FILE, key: FILE }}` or `none`"))
            }
            Self::Files { cert, key } => Ok(Tls::Files { cert: beside.join(cert), key: beside.join(key) }),
        }
    }
}

impl RawLimits {
    fn meant(self) -> anyhow::Result<Limits> {
        let usual = Limits::default();
        let requests = match &self.requests {
            None => usual.requests,
            Some(text) => text.parse::<Rate>().context("limits: requests")?.per_second(),
        };
        ensure!(requests > 0.0, "limits: requests: nobody could ask; write `200/s`");
        let body = match &self.body {
            None => usual.body,
            Some(text) => usize::try_from(text.parse::<ByteCount>().context("limits: body")?.0)?,
        };
        ensure!(body <= 64 << 20, "limits: body: it is kept in memory; write 64MB at most");
        let connections = self.connections.unwrap_or(usual.connections);
        let listeners = self.listeners.unwrap_or(usual.listeners);
        ensure!(
            (1..=100_000).contains(&connections),
            "limits: connections: {connections} is not between 1 and 100000"
        );
        ensure!(
            (1..connections.max(2)).contains(&listeners),
            "limits: listeners: {listeners} is not between 1 and less than the {connections} connections"
        );
        Ok(Limits { requests, body, connections, listeners, ..usual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(text: &str) -> Result<Access, String> {
        let raw: RawAccess = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        raw.meant(Path::new("/etc/plimsoll")).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn what_is_written_is_meant() {
        let access = meant(
            "auth: { proxy: { header: X-Forwarded-User, from: [10.0.0.0/8, '::1'], scope: run } }\n\
             tls: { cert: tls/cert.pem, key: /k.pem }\nhosts: [plimsoll.example.org]\nmetrics: open\n\
             limits: { requests: 10/s, body: 64KiB, listeners: 5 }\ntargets: [10.0.0.0/8, '*.example.org']\n",
        )
        .unwrap();
        let Auth::Proxy(proxy) = access.auth else { panic!("no proxy") };
        assert_eq!((proxy.header.as_str(), proxy.from.len()), ("x-forwarded-user", 2));
        assert_eq!(proxy.scope, Scope::Run);
        let files = Tls::Files { cert: "/etc/plimsoll/tls/cert.pem".into(), key: "/k.pem".into() };
        assert_eq!(access.tls, files);
        let limits = Limits { requests: 10.0, body: 65536, listeners: 5, ..Limits::default() };
        assert_eq!((access.limits, access.open_metrics), (limits, true));
        assert!(matches!(meant("auth: tokens\ntls: none").unwrap().auth, Auth::Tokens));
        assert_eq!(meant("auth: tokens\ntls: none").unwrap().tls, Tls::Off);
    }

    #[test]
    fn mistakes_are_told_with_what_is_allowed() {
        for (text, told) in [
            ("auth: token", "write `tokens`, `none` or"),
            ("auth: { proxy: { header: 'a b', from: [10.0.0.1] } }", "no name of a header"),
            ("auth: { proxy: { header: a, from: [] } }", "there is no address"),
            ("auth: { proxy: { header: a, from: [10.0.0.0/64] } }", "write `10.0.0.0/8`"),
            (
                "auth: { proxy: { header: a, from: [10.0.0.1], scope: all } }",
                "write `read`, `run` or `admin`",
            ),
            ("auth: [tokens]", "write `tokens`, `none` or"),
            ("tls: off", "or `none`"),
            ("tls: tsl", "or `none`"),
            ("hosts: ['http://a']", "without port"),
            ("metrics: public", "write `open` or `closed`"),
            ("limits: { requests: fast }", "a rate"),
            ("limits: { requests: 0/s }", "nobody could ask"),
            ("limits: { body: 1GB }", "64MB at most"),
            ("limits: { connections: 0 }", "between 1"),
            ("limits: { listeners: 512 }", "less than the 512 connections"),
            ("limits: { bodies: 1 }", "bodies"),
            ("targets: ['http://a/']", "write `shop.example.org`"),
        ] {
            let error = meant(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
