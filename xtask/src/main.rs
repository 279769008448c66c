//! The project's own chores, one command each: `cargo xtask test` is what CI runs.
//!
//! Everything a check needs is installed or named by the check itself, so that a fresh clone and
//! a CI machine run the very same command.

mod bench;
mod command;
mod dashboards;
mod deny;
mod fuzz;
mod instructions;
mod npm;
mod null_server;
mod packages;
mod sink_server;
mod soak;
mod test;
mod tools;
mod web;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Plimsoll's chores")]
enum Chore {
    /// Checks everything: format, lints, tests against real servers, docs, licences
    Test {
        /// Runs these steps and no others, in their usual order
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<test::Step>,
    },
    /// Formats the workspace
    Fmt,
    /// Runs one benchmark, or all of them, and prints ratios
    Bench(bench::Arguments),
    /// Runs one endurance test
    Soak(soak::Arguments),
    /// Fuzzes what reads bytes from outside, with the nightly toolchain
    Fuzz(fuzz::Arguments),
    /// Rebuilds the committed web assets with npm
    Web,
    /// Draws the dashboards with Grafana's own components, 430 MB of npm packages
    Dashboards,
}

fn main() -> ExitCode {
    let outcome = match Chore::parse() {
        Chore::Test { only } => return test::run(&only),
        Chore::Fmt => command::run(command::cargo().args(["fmt", "--all"])),
        Chore::Bench(arguments) => bench::run(&arguments),
        Chore::Soak(arguments) => soak::run(&arguments),
        Chore::Fuzz(arguments) => fuzz::run(&arguments),
        Chore::Web => web::run(),
        Chore::Dashboards => dashboards::draw(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    Ok(root.to_owned())
}

/// Where cargo builds, `CARGO_TARGET_DIR` and configuration included.
fn target_folder() -> anyhow::Result<PathBuf> {
    let metadata = command::read(command::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    Ok(metadata["target_directory"].as_str().context("cargo metadata names no target folder")?.into())
}

/// The thing called `name` among `known`, or an error that lists them.
fn find<'a, T>(kind: &str, known: &'a [(&'static str, T)], name: &str) -> anyhow::Result<&'a T> {
    let found = known.iter().find(|(known, _)| *known == name).map(|(_, thing)| thing);
    found.with_context(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("no such {kind}: `{name}` (there is: {names})")
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn an_unknown_name_is_told_what_there_is() {
        let known = [("noise", 1), ("engine", 2)];
        assert_eq!(find("benchmark", &known, "engine").unwrap(), &2);
        let error = find("benchmark", &known, "enigne").unwrap_err();
        assert_eq!(error.to_string(), "no such benchmark: `enigne` (there is: noise, engine)");
        let error = find::<u8>("soak", &[], "x").unwrap_err();
        assert_eq!(error.to_string(), "no such soak: `x` (there is: none)");
    }
}
