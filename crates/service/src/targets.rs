//! Where runs may be sent that somebody starts through the service. It is looked at before they begin, so that what
//! cannot be is refused at once; what is met only on the way, each connection of the run looks at.

use std::net::SocketAddr;

use plimsoll_run::Targets;
use url::{Host, Url};

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
        address: std::net::IpAddr,
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

/// Whether a run may be sent to `url`.
///
/// A name on the list is allowed wherever it leads. Any other is allowed where every one of its addresses is.
///
/// # Errors
/// When it is no URL of HTTP, when its name means no address, or when one of its addresses is not allowed.
pub(crate) async fn check(targets: &Targets, url: &str) -> Result<(), TargetError> {
    let no_url = || TargetError::NoUrl { found: url.to_owned() };
    let parsed = Url::parse(url).map_err(|_| no_url())?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(no_url());
    }
    let port = parsed.port_or_known_default().ok_or_else(no_url)?;
    let (host, addresses) = match parsed.host().ok_or_else(no_url)? {
        Host::Ipv4(address) => (address.to_string(), vec![SocketAddr::new(address.into(), port)]),
        Host::Ipv6(address) => (address.to_string(), vec![SocketAddr::new(address.into(), port)]),
        Host::Domain(name) if targets.has_name(name) => return Ok(()),
        Host::Domain(name) => (name.to_owned(), resolve(name, port).await?),
    };
    let refused = addresses.iter().find(|address| !targets.has_address(address.ip()));
    refused.map_or(Ok(()), |address| {
        Err(TargetError::NotAllowed { host, address: address.ip(), allowed: targets.words() })
    })
}

async fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, TargetError> {
    let unresolved = |why: String| TargetError::Unresolved { host: name.to_owned(), why };
    let found = tokio::net::lookup_host((name, port)).await.map_err(|error| unresolved(error.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() { Err(unresolved("there are none".to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(list: &[&str], url: &str) -> Result<(), String> {
        check(&Targets::parse(list).unwrap(), url).await.map_err(|error| error.to_string())
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
    }
}
