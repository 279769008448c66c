//! `cargo xtask fuzz`: coverage-guided fuzzing of what reads bytes from outside.
//!
//! The corpus in the repository is read and, but for `--merge`, never written: what a run finds stays in
//! `fuzz/target/corpus`, where the next run takes it up.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::command::run as run_command;

/// The programs in `fuzz/`, and the folder of `fuzz/corpus` each reads.
const TARGETS: [(&str, &str); 10] = [
    ("response", "response"),
    ("differential", "response"),
    ("plan", "plan"),
    ("openslo", "openslo"),
    ("events", "events"),
    ("histogram", "histogram"),
    ("scrape", "scrape"),
    ("table", "table"),
    ("spool", "spool"),
    ("server_timing", "server_timing"),
];

/// An input that takes longer than this is a finding, in seconds.
const SLOWEST: u32 = 10;

/// More than any reader needs, in MiB.
const MEMORY: u32 = 2048;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to fuzz; without it, all of them one after the other
    target: Option<String>,
    /// How long each is fuzzed
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Instead of fuzzing, adds to the corpus in the repository the smallest of what earlier runs found that
    /// reach code it does not reach yet
    #[arg(long)]
    merge: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let targets = match &arguments.target {
        Some(name) => vec![(name.as_str(), *crate::find("fuzz target", &TARGETS, name)?)],
        None => TARGETS.to_vec(),
    };
    ensure!(
        answers(&["cargo", "--version"]),
        "fuzzing needs a nightly toolchain: `rustup toolchain install nightly --profile minimal`"
    );
    ensure!(
        answers(&["cargo", "fuzz", "--version"]),
        "fuzzing needs cargo-fuzz: `cargo install cargo-fuzz --locked`"
    );
    let folder = crate::root()?.join("fuzz");
    for (target, corpus) in targets {
        let (kept, found) = (folder.join("corpus").join(corpus), folder.join("target/corpus").join(corpus));
        std::fs::create_dir_all(&found).with_context(|| format!("cannot create {}", found.display()))?;
        let mut command = nightly(&["cargo", "fuzz", "run", target]);
        command.current_dir(&folder);
        // libFuzzer writes into the first folder and reads all of them.
        match arguments.merge {
            true => command.args([&kept, &found]).args(["--", "-merge=1", "-use_counters=0"]),
            false => command
                .args([&found, &kept])
                .arg("--")
                .arg(format!("-max_total_time={}", arguments.seconds))
                .arg("-print_final_stats=1"),
        };
        let words = folder.join(format!("{corpus}.dict"));
        if words.exists() {
            command.arg(format!("-dict={}", words.display()));
        }
        command.arg(format!("-timeout={SLOWEST}")).arg(format!("-rss_limit_mb={MEMORY}"));
        run_command(&mut command)?;
    }
    Ok(())
}

/// A command of the nightly toolchain, whatever runs us.
fn nightly(words: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).args(words);
    command
}

fn answers(words: &[&str]) -> bool {
    let quiet = nightly(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::TARGETS;

    #[test]
    fn the_targets_are_those_of_the_fuzz_workspace() {
        let folder = crate::root().unwrap().join("fuzz");
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let names: Vec<&str> = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
            .collect();
        assert_eq!(names, TARGETS.map(|(name, _)| name));
        for (_, corpus) in TARGETS {
            let files = std::fs::read_dir(folder.join("corpus").join(corpus)).unwrap();
            assert!(files.count() > 0, "{corpus} has no corpus");
        }
    }
}
