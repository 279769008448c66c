//! Licences, bans and sources, by cargo-deny.
//!
//! Advisories are not asked here: their database needs the network, and the project's hosted
//! workflow asks it with cargo-audit.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{cargo, run};

const VERSION: &str = "0.20.2";

/// Checks the dependency tree against `deny.toml`.
pub(crate) fn check() -> anyhow::Result<()> {
    let program = installed()?;
    // The offline check reads the manifests of every platform's dependencies, and building has
    // fetched only this platform's.
    run(cargo().arg("fetch"))?;
    let mut command = Command::new(program);
    command.args(["--offline", "check", "licenses", "bans", "sources"]);
    run(command.current_dir(crate::root()?))
}

/// Finds cargo-deny, or builds it once into the target folder.
fn installed() -> anyhow::Result<PathBuf> {
    let tools = crate::target_folder()?.join("tools");
    let own = tools.join("bin/cargo-deny");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let everywhere = std::env::split_paths(&path).map(|folder| folder.join("cargo-deny"));
    if let Some(found) = std::iter::once(own.clone()).chain(everywhere).find(|file| file.is_file()) {
        return Ok(found);
    }
    println!("building cargo-deny {VERSION}, once (some minutes)");
    let mut install = Command::new("nice");
    install.arg("cargo").args(["install", "--quiet", "--locked", "--root"]).arg(&tools);
    run(install.arg(format!("cargo-deny@{VERSION}")))?;
    Ok(own)
}
