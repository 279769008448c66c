//! Rebuilds the web page's assets.
//!
//! The built files are committed, so that building Plimsoll needs no npm; whoever changes the
//! page's sources runs this and commits both.

use std::process::Command;

use anyhow::ensure;

use crate::command;

const FOLDER: &str = "crates/service/web";

pub(crate) fn run() -> anyhow::Result<()> {
    let folder = crate::root()?.join(FOLDER);
    ensure!(folder.join("package.json").is_file(), "{FOLDER}/package.json does not exist");
    command::run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))?;
    command::run(Command::new("npm").args(["run", "build"]).current_dir(&folder))
}
