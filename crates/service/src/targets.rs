//! Where runs may be sent that somebody starts through the service. Without it, whoever may start a run could have the
//! service ask what only the service's machine can reach.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use url::{Host, Url};

use crate::network::Network;

/// Which targets are allowed. Empty: loopback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets(Vec<Target>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Network(Network),
    /// A name, in lower case.
    Name(String),
    /// All names that end so: `.example.org`.
    Below(String),
}

/// Why a run may not be sent somewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No address of HTTP.
    #[error("`{found}` is no URL of a target; write `https://shop.example.org`")]
    NoUrl {
        /// The text.
        found: String,
    },
    /// The list has no such target.
    #[error("`{host}` ({address}) is not among the targets that are allowed: {allowed}")]
    NotAllowed {
        /// Its host.
        host: String,
        /// The address that is not allowed.
        address: IpAddr,
        /// What is.
        allowed: String,
    },
    /// The name means no address.
    #[error("the addresses of `{host}` are not known: {why}")]
    Unresolved {
        /// The name.
        host: String,
        /// Why.
        why: String,
    },
}

/// An entry that is neither name nor network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no target; write `shop.example.org`, `*.example.org` or `10.0.0.0/8`")]
pub struct NoTarget {
    /// The text.
    pub found: String,
}

impl Targets {
    /// Reads a list.
    ///
    /// # Errors
    /// When an entry is neither a name nor a network.
    pub fn parse<S: AsRef<str>>(list: &[S]) -> Result<Self, NoTarget> {
        list.iter().map(|entry| entry.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a run may be sent to `url`, and the addresses to use: those that were looked at. Asking the name again
    /// could give others.
    ///
    /// A name on the list is allowed wherever it leads. Any other is allowed where every one of its addresses is.
    ///
    /// # Errors
    /// When it is no URL of HTTP, when its name means no address, or when one of its addresses is not allowed.
    pub async fn allowed(&self, url: &str) -> Result<Vec<SocketAddr>, TargetError> {
        let no_url = || TargetError::NoUrl { found: url.to_owned() };
        let parsed = Url::parse(url).map_err(|_| no_url())?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(no_url());
        }
        let port = parsed.port_or_known_default().ok_or_else(no_url)?;
        let (host, addresses) = match parsed.host().ok_or_else(no_url)? {
            Host::Ipv4(address) => (address.to_string(), vec![SocketAddr::new(address.into(), port)]),
            Host::Ipv6(address) => (address.to_string(), vec![SocketAddr::new(address.into(), port)]),
            Host::Domain(name) => (name.to_owned(), resolve(name, port).await?),
        };
        let refused = addresses.iter().find(|address| !self.has(&host, address.ip()));
        match refused {
            None => Ok(addresses),
            Some(address) => {
                Err(TargetError::NotAllowed { host, address: address.ip(), allowed: self.words() })
            }
        }
    }

    fn has(&self, host: &str, address: IpAddr) -> bool {
        if self.0.is_empty() {
            return address.to_canonical().is_loopback();
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().any(|target| match target {
            Target::Network(network) => network.has(address),
            Target::Name(name) => *name == host,
            Target::Below(end) => host.len() > end.len() && host.ends_with(end.as_str()),
        })
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        if self.0.is_empty() {
            return "loopback, since `targets` is not configured".to_owned();
        }
        let words = self.0.iter().map(|target| match target {
            Target::Network(network) => network.to_string(),
            Target::Name(name) => name.clone(),
            Target::Below(end) => format!("*{end}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

async fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, TargetError> {
    let unresolved = |why: String| TargetError::Unresolved { host: name.to_owned(), why };
    let found = tokio::net::lookup_host((name, port)).await.map_err(|error| unresolved(error.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() { Err(unresolved("there are none".to_owned())) } else { Ok(found) }
}

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let text = text.to_ascii_lowercase();
        let name = text.strip_prefix("*.").unwrap_or(&text).trim_end_matches('.');
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        // A last label of digits is half an address, never a name.
        let is_number =
            name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if !name.split('.').all(is_label) || is_number {
            return Err(NoTarget { found: text });
        }
        Ok(if text.starts_with("*.") { Self::Below(format!(".{name}")) } else { Self::Name(name.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(list: &[&str], url: &str) -> Result<Vec<SocketAddr>, String> {
        Targets::parse(list).unwrap().allowed(url).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn until_something_is_configured_only_loopback_is_a_target() {
        for url in
            ["http://127.0.0.1:8080", "http://[::1]/", "https://127.9.9.9", "http://[::ffff:127.0.0.1]/"]
        {
            assert!(told(&[], url).await.is_ok(), "{url}");
        }
        for (url, word) in [
            ("http://169.254.169.254/latest", "loopback, since `targets` is not configured"),
            ("http://0.0.0.0/", "is not among"),
            ("http://10.0.0.1/", "is not among"),
            // Other ways to write an address are the address.
            ("http://0xa9fea9fe/", "169.254.169.254"),
            ("http://2852039166/", "169.254.169.254"),
            ("http://[::ffff:169.254.169.254]/", "is not among"),
            ("file:///etc/passwd", "is no URL"),
            ("gopher://127.0.0.1/", "is no URL"),
            ("127.0.0.1:80", "is no URL"),
            ("", "is no URL"),
        ] {
            let error = told(&[], url).await.unwrap_err();
            assert!(error.contains(word), "{url}: {error}");
        }
        assert_eq!(told(&[], "http://127.0.0.1").await.unwrap(), ["127.0.0.1:80".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_list_allows_what_it_names_and_nothing_else() {
        for (list, url, allowed) in [
            (&["10.0.0.0/8"][..], "http://10.1.2.3/", true),
            (&["10.0.0.0/8"], "http://127.0.0.1/", false),
            (&["10.0.0.0/8"], "http://[::ffff:10.1.2.3]/", true),
            (&["localhost"], "http://LOCALHOST:1/", true),
            (&["localhost"], "http://127.0.0.1/", false),
            (&["127.0.0.0/8", "::1"], "http://localhost/", true),
            (&["10.0.0.0/8"], "http://localhost/", false),
            (&["example.org"], "http://localhost/", false),
        ] {
            assert_eq!(told(list, url).await.is_ok(), allowed, "{url} of {list:?}");
        }
        let targets = Targets::parse(&["*.Example.org", "shop.example.com."]).unwrap();
        let anywhere = "8.8.8.8".parse().unwrap();
        for (host, allowed) in [
            ("a.example.org", true),
            ("a.b.example.org", true),
            ("example.org", false),
            ("evilexample.org", false),
            ("shop.example.com", true),
            ("shop.example.com.", true),
            ("x.shop.example.com", false),
        ] {
            assert_eq!(targets.has(host, anywhere), allowed, "{host}");
        }
    }

    #[test]
    fn an_entry_is_a_name_or_a_network() {
        for wrong in ["", "*", "*.", "http://a", "a b", "10.0.0", "a..b", "*.*.b", "a/8", "a:80"] {
            assert!(Targets::parse(&[wrong]).is_err(), "{wrong}");
        }
    }
}
