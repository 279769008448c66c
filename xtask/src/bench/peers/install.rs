//! Which peers this machine has, and how it comes by them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Found, Peer};
use crate::command::run;
use crate::packages;

/// The release of oha that is compared. It does not compile without its default features; with them it
/// needs a C compiler, and neither OpenSSL nor cmake.
const OHA: &str = "1.16.0";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Missing {
    /// Gets them from Debian and crates.io where that is possible.
    Install,
    Leave,
}

impl Peer {
    /// The Debian package; oha has none.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Wrk => Some("wrk"),
            Self::Ab => Some("apache2-utils"),
            Self::H2load => Some("nghttp2-client"),
            Self::Hey => Some("hey"),
            Self::Siege => Some("siege"),
            Self::Oha => None,
        }
    }
}

/// The peers that can be had, in the order in which they are shown. Those that cannot are named.
pub(in crate::bench) fn find(missing: Missing) -> anyhow::Result<Vec<Found>> {
    let tools = crate::target_folder()?.join("tools");
    if missing == Missing::Install {
        let wanted: Vec<&str> = Peer::ALL.into_iter().filter_map(Peer::package).collect();
        if let Err(error) = packages::install(&wanted) {
            println!("!!! {error:#}");
        }
        if program(Peer::Oha, &tools).is_none()
            && let Err(error) = build_oha(&tools)
        {
            println!("!!! oha cannot be built: {error:#}");
        }
    }
    let mut found = Vec::new();
    for peer in Peer::ALL {
        match program(peer, &tools) {
            Some(program) => found.push(Found { peer, version: version(peer, &program), program }),
            None => {
                println!("!!! WITHOUT {}: it is not installed, so nothing is compared with it", peer.name());
            }
        }
    }
    Ok(found)
}

/// Our own build comes before what the path has.
fn program(peer: Peer, tools: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools.join("bin")).chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(peer.name())).find(|file| file.is_file())
}

fn build_oha(tools: &Path) -> anyhow::Result<()> {
    println!("building oha {OHA}, once (some minutes)");
    let mut install = Command::new("nice");
    install.arg("cargo").args(["install", "--quiet", "--locked", "--root"]);
    run(install.arg(tools).arg(format!("oha@{OHA}")))
}

/// As Debian counts it; oha says itself, `oha 1.16.0`.
fn version(peer: Peer, program: &Path) -> String {
    let mut query = match peer.package() {
        Some(package) => {
            let mut query = Command::new("dpkg-query");
            query.args(["--show", "--showformat", "${Version}", package]);
            query
        }
        None => {
            let mut query = Command::new(program);
            query.arg("--version");
            query
        }
    };
    query.stderr(Stdio::null());
    let version = query.output().ok().filter(|output| output.status.success());
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    let version = version.as_deref().and_then(|version| version.split_whitespace().last());
    version.map_or_else(|| "of unknown version".to_owned(), str::to_owned)
}
