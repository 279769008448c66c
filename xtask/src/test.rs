//! `cargo xtask test`: every check, in order, up to the first that fails.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::ValueEnum;

use crate::command::{cargo, describe, run as run_command};
use crate::{dashboards, deny, instructions, packages, tools, web};

/// One check. The order of the variants is the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Debian packages and Python tools the tests need
    Packages,
    /// Formatting
    Fmt,
    /// Lints, warnings being errors
    Clippy,
    /// The programs that end-to-end tests run
    Build,
    /// All tests, against real servers
    Test,
    /// The web page's committed files against what its sources build
    Web,
    /// Dashboards against Grafana's published types
    Dashboards,
    /// Instructions per request, at most so many
    Instructions,
    /// Documentation, warnings being errors
    Doc,
    /// Licences, bans and sources of dependencies
    Deny,
}

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

/// The feature that is not in what ships.
const KAFKA: &str = "plimsoll-exporters/kafka";

/// Other people's test cases lie beside the checkout and are no part of it.
const CONFORMANCE: &str = "../shared/conformance";

/// Runs the steps. The last line printed, alone, counts the tests.
pub(crate) fn run(only: &[Step]) -> ExitCode {
    let steps = Step::value_variants().iter().filter(|step| only.is_empty() || only.contains(step));
    let mut count = Count::default();
    let mut times: Vec<(Step, Duration)> = Vec::new();
    let mut failure = None;
    for step in steps.copied() {
        heading(&format!("{} ({})", step.name(), step.explanation()));
        let started = Instant::now();
        let outcome = step.run(&mut count);
        times.push((step, started.elapsed()));
        if let Err(error) = outcome {
            failure = Some((step, error));
            break;
        }
    }
    heading("summary");
    for (step, time) in &times {
        let word = if failure.as_ref().is_some_and(|(failed, _)| failed == step) { "FAILED" } else { "ok" };
        println!("{:12} {word:6} {:>7.1} s", step.name(), time.as_secs_f64());
    }
    if let Some((step, error)) = &failure {
        println!("\nthe step `{}` failed: {error:#}", step.name());
        // The closing line must not read as a success when something else than a test failed.
        count.failed = count.failed.max(1);
    }
    println!("{}", count.closing_line());
    if failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Build => "build",
            Self::Test => "test",
            Self::Web => "web",
            Self::Dashboards => "dashboards",
            Self::Instructions => "instructions",
            Self::Doc => "doc",
            Self::Deny => "deny",
        }
    }

    fn explanation(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    fn run(self, count: &mut Count) -> anyhow::Result<()> {
        match self {
            Self::Packages => packages::ensure().and_then(|()| tools::ensure()),
            Self::Fmt => run_command(cargo().args(["fmt", "--all", "--check"])),
            Self::Clippy => {
                let everything = ["clippy", "--workspace", "--all-targets", "--features", KAFKA];
                run_command(cargo().args(everything).args(["--", "-D", "warnings"]))
            }
            // Cargo builds a package's programs for that package's own tests only.
            Self::Build => run_command(cargo().args(["build", "--workspace", "--bins"])),
            Self::Test => run_tests(count),
            Self::Web => web::check(),
            Self::Dashboards => dashboards::check_types(),
            Self::Instructions => instructions::check(),
            Self::Doc => run_command(
                cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
            ),
            Self::Deny => deny::check(),
        }
    }
}

fn run_tests(count: &mut Count) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    match conformance() {
        Some(folder) => {
            println!("conformance cases: {}", folder.display());
            command.env("PLIMSOLL_CONFORMANCE", folder);
        }
        None => println!(
            "!!! NOT RUN: conformance checks. Other people's cases are not at {CONFORMANCE}, \
             and PLIMSOLL_CONFORMANCE does not say where else they are."
        ),
    }
    let all = stream_and_count(&mut command, &mut std::io::stdout(), count);
    // What has a feature of its own is built once more, alone: the rest of the workspace is as it ships.
    let mut kafka = cargo();
    kafka.args(["test", "-p", "plimsoll-exporters", "--features", KAFKA, "--lib", "--test", "it", "kafka"]);
    all.and(stream_and_count(&mut kafka, &mut std::io::stdout(), count))
}

/// Where the cases of other people are: as the caller says, else beside the checkout.
fn conformance() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("PLIMSOLL_CONFORMANCE") {
        return Some(folder.into());
    }
    crate::root().ok()?.join(CONFORMANCE).canonicalize().ok()
}

/// Runs cargo test, passing its output on to `screen`, and adds its result lines to `count`.
fn stream_and_count(command: &mut Command, screen: &mut impl Write, count: &mut Count) -> anyhow::Result<()> {
    let words = describe(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {words}"))?;
    let output = child.stdout.take().context("its output is piped")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        screen.write_all(&line)?;
        screen.write_all(b"\n")?;
        count.add_line(&String::from_utf8_lossy(&line));
    }
    let status = child.wait()?;
    ensure!(status.success(), "{words} ended with {status}: {} tests failed", count.failed);
    Ok(())
}

impl Count {
    /// Adds a line such as `test result: ok. 12 passed; 0 failed; 0 ignored; ...`; others are nothing.
    fn add_line(&mut self, line: &str) {
        let Some(result) = line.trim().strip_prefix("test result: ") else { return };
        let figure = |word: &str| -> u64 {
            let words: Vec<&str> = result.split([' ', ';']).collect();
            let pair = words.windows(2).find(|pair| pair[1] == word);
            pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
        };
        self.passed += figure("passed");
        self.failed += figure("failed");
    }

    fn closing_line(self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }
}

fn heading(text: &str) {
    println!("\n=== {text} ===");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up_and_others_ignored() {
        let mut count = Count::default();
        for line in [
            "running 2 tests",
            "test 7 passed; 9 failed ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.09s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
            "test result: ",
        ] {
            count.add_line(line);
        }
        assert_eq!(count.closing_line(), "15 passed, 2 failed");
    }

    #[test]
    fn a_failing_run_still_tells_its_count() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'test result: FAILED. 1 passed; 4 failed; 0 ignored'; exit 101"]);
        let (mut screen, mut count) = (Vec::new(), Count::default());
        let error = stream_and_count(&mut command, &mut screen, &mut count).unwrap_err();
        assert_eq!(screen, b"test result: FAILED. 1 passed; 4 failed; 0 ignored\n");
        assert_eq!(count, Count { passed: 1, failed: 4 });
        assert!(error.to_string().ends_with(": 4 tests failed"), "{error}");
    }
}
