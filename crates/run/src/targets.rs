//! Where the connections of a run may lead. Without such a list whoever may start a run on a machine could have it ask
//! what only that machine can reach.
//!
//! A list is asked for each connection, when its address is known and before it is opened. What names a plan itself
//! says where to find (`http.resolve`, `http.dns`) are no names of the list: its author could have them lead anywhere.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Subnet;

/// Which targets are allowed. Empty: loopback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets(Vec<Target>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Subnet(Subnet),
    /// A name, in lower case.
    Name(String),
    /// All names that end so: `.example.org`.
    Below(String),
    /// A socket of this machine.
    Socket(PathBuf),
}

/// An entry that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is no target; write `shop.example.org`, `*.example.org`, `10.0.0.0/8` or `/run/shop.sock`"
)]
pub struct NoTarget {
    /// The text.
    pub found: String,
}

impl Targets {
    /// Reads a list.
    ///
    /// # Errors
    /// When an entry is neither a name nor a network nor the path of a socket.
    pub fn parse<S: AsRef<str>>(list: &[S]) -> Result<Self, NoTarget> {
        list.iter().map(|entry| entry.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address is allowed, whatever it is called.
    pub fn has_address(&self, address: IpAddr) -> bool {
        if self.0.is_empty() {
            return address.to_canonical().is_loopback();
        }
        self.0.iter().any(|target| matches!(target, Target::Subnet(subnet) if subnet.has(address)))
    }

    /// Whether a name is allowed, wherever it leads.
    pub fn has_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().any(|target| match target {
            Target::Name(allowed) => *allowed == name,
            Target::Below(end) => name.len() > end.len() && name.ends_with(end.as_str()),
            Target::Subnet(_) | Target::Socket(_) => false,
        })
    }

    /// Whether the socket of this path is allowed.
    pub fn has_socket(&self, path: &Path) -> bool {
        self.0.iter().any(|target| matches!(target, Target::Socket(allowed) if allowed == path))
    }

    /// As an argument has it, so that reading it gives the same list.
    pub fn entries(&self) -> Vec<String> {
        if self.0.is_empty() {
            return vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()];
        }
        self.0.iter().map(Target::entry).collect()
    }

    /// In words.
    pub fn words(&self) -> String {
        if self.0.is_empty() {
            return "loopback, since `targets` is not configured".to_owned();
        }
        self.entries().join(", ")
    }
}

impl Target {
    fn entry(&self) -> String {
        match self {
            Self::Subnet(subnet) => subnet.to_string(),
            Self::Name(name) => name.clone(),
            Self::Below(end) => format!("*{end}"),
            Self::Socket(path) => path.display().to_string(),
        }
    }
}

impl FromStr for Targets {
    type Err = NoTarget;

    /// Reads a list with `,` between its entries.
    fn from_str(text: &str) -> Result<Self, NoTarget> {
        Self::parse(&text.split(',').map(str::trim).collect::<Vec<_>>())
    }
}

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        if let Ok(subnet) = text.parse() {
            return Ok(Self::Subnet(subnet));
        }
        let path = Path::new(text);
        // One with a `..` could be another than it seems, and `,` stands between entries.
        let is_plain = path.components().all(|part| part != std::path::Component::ParentDir);
        if path.is_absolute() && path.file_name().is_some() && is_plain && !text.contains(',') {
            return Ok(Self::Socket(path.to_owned()));
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

    #[test]
    fn a_list_has_networks_names_and_sockets() {
        let targets = Targets::parse(&["*.Example.org", "shop.example.com.", "10.0.0.0/8", "/run/shop.sock"]);
        let targets = targets.unwrap();
        for (name, has) in [
            ("a.example.org", true),
            ("A.B.EXAMPLE.ORG", true),
            ("a.example.org.", true),
            ("example.org", false),
            ("badexample.org", false),
            ("a.example.org.evil.net", false),
            ("shop.example.com", true),
            ("www.shop.example.com", false),
            ("10.0.0.1", false),
            ("/run/shop.sock", false),
        ] {
            assert_eq!(targets.has_name(name), has, "{name}");
        }
        for (address, has) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("127.0.0.1", false), ("::1", false)]
        {
            assert_eq!(targets.has_address(address.parse().unwrap()), has, "{address}");
        }
        for (path, has) in
            [("/run/shop.sock", true), ("/run/docker.sock", false), ("/run/x/../shop.sock", false)]
        {
            assert_eq!(targets.has_socket(Path::new(path)), has, "{path}");
        }
    }

    #[test]
    fn an_empty_list_has_loopback_alone_and_no_name() {
        for targets in [Targets::default(), Targets::parse(&Targets::default().entries()).unwrap()] {
            for (address, has) in [
                ("127.0.0.1", true),
                ("127.9.9.9", true),
                ("::1", true),
                ("::ffff:127.0.0.1", true),
                ("0.0.0.0", false),
                ("::", false),
                ("169.254.169.254", false),
            ] {
                assert_eq!(targets.has_address(address.parse().unwrap()), has, "{address}");
            }
            assert!(!targets.has_name("localhost") && !targets.has_socket(Path::new("/run/x")));
        }
    }

    #[test]
    fn a_list_is_read_again_as_it_was_written() {
        let text = "*.example.org,shop.example.com,10.0.0.0/8,::1/128,/run/shop.sock";
        let targets: Targets = text.parse().unwrap();
        assert_eq!(targets.entries().join(",").parse(), Ok(targets));
    }

    #[test]
    fn what_is_no_target_is_told() {
        for wrong in [
            "",
            "http://x",
            "a b",
            "*",
            "*.",
            "1.2.3",
            "10.0.0.0/33",
            "x..y",
            "*.*.org",
            "a:80",
            "/",
            "/run/../x",
            "run/x",
        ] {
            assert!(Targets::parse(&[wrong]).is_err(), "{wrong}");
        }
        assert!("".parse::<Targets>().is_err(), "an empty list is not written as nothing");
        assert!("a,".parse::<Targets>().is_err());
    }
}
