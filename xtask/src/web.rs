//! Rebuilds the web page's assets, and holds those that are committed to be what their sources build.
//!
//! The built files are committed, so that building Plimsoll needs no npm; whoever changes the
//! page's sources runs this and commits both.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::{command, npm};

const FOLDER: &str = "crates/service/web";
const ASSETS: &str = "crates/service/assets";

/// What builds the page, beside its packages and its folder of sources.
const BUILD: [&str; 2] = ["build.mjs", "tsconfig.json"];

pub(crate) fn run() -> anyhow::Result<()> {
    let folder = crate::root()?.join(FOLDER);
    ensure!(folder.join("package.json").is_file(), "{FOLDER}/package.json does not exist");
    command::run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))?;
    command::run(Command::new("npm").args(["run", "build"]).current_dir(&folder))
}

/// Builds the page anew below the target folder and compares.
pub(crate) fn check() -> anyhow::Result<()> {
    let folder = npm::installed(FOLDER, "web")?;
    let root = crate::root()?;
    for file in BUILD {
        std::fs::copy(root.join(FOLDER).join(file), folder.join(file))?;
    }
    let sources = folder.join("src");
    if sources.exists() {
        std::fs::remove_dir_all(&sources)?;
    }
    std::fs::create_dir(&sources)?;
    for (name, bytes) in files(&root.join(FOLDER).join("src"))? {
        std::fs::write(sources.join(name), bytes)?;
    }
    command::run(Command::new("node_modules/.bin/tsc").arg("--noEmit").current_dir(&folder))?;
    command::run(Command::new("node").args(["build.mjs", "built"]).current_dir(&folder))?;
    let differing = differing(&files(&root.join(ASSETS))?, &files(&folder.join("built"))?);
    ensure!(
        differing.is_empty(),
        "{} in {ASSETS} {} not what {FOLDER} builds: run `cargo xtask web` and commit what it writes",
        differing.join(", "),
        if differing.len() == 1 { "is" } else { "are" }
    );
    println!("the files in {ASSETS} are what {FOLDER} builds");
    Ok(())
}

type Files = BTreeMap<String, Vec<u8>>;

/// The files of a folder, which has no folders.
fn files(folder: &Path) -> anyhow::Result<Files> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry?;
        let bytes = std::fs::read(entry.path()).with_context(|| entry.path().display().to_string())?;
        Ok((entry.file_name().to_string_lossy().into_owned(), bytes))
    };
    listed.map(file).collect()
}

/// What is in one of them only or not the same in both.
fn differing(committed: &Files, built: &Files) -> Vec<String> {
    let names = committed.keys().chain(built.keys().filter(|name| !committed.contains_key(*name)));
    names.filter(|name| committed.get(*name) != built.get(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_from_the_sources_is_named() {
        let files = |files: &[(&str, &str)]| -> Files {
            files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
        };
        let built = files(&[("app.css", "a"), ("app.js", "b")]);
        assert_eq!(differing(&built, &built), [""; 0]);
        let committed = files(&[("app.css", "a"), ("app.js", "<<<<<<< HEAD"), ("old.js", "c")]);
        assert_eq!(differing(&committed, &built), ["app.js", "old.js"]);
        assert_eq!(differing(&files(&[("app.css", "a")]), &built), ["app.js"]);
    }
}
