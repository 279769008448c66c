//! Other people's load generators: which there are, how they are asked, what they answer.
//!
//! Each has a module that knows its flags and reads its output, both as pure functions.

mod ab;
mod h2load;
mod hey;
mod install;
mod oha;
mod siege;
mod wrk;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::GENERATOR_CORE;
use super::process::{Finished, pinned, run};
use super::quantiles::Percentiles;

pub(super) use install::{Missing, find};

/// How much longer than its load a program may take before it is taken for hanging.
const LONGEST_TAIL: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Wrk,
    Ab,
    H2load,
    Hey,
    Siege,
    Oha,
}

impl Peer {
    const ALL: [Self; 6] = [Self::Wrk, Self::Ab, Self::H2load, Self::Oha, Self::Hey, Self::Siege];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::Ab => "ab",
            Self::H2load => "h2load",
            Self::Hey => "hey",
            Self::Siege => "siege",
            Self::Oha => "oha",
        }
    }
}

/// A peer that this machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) peer: Peer,
    program: PathBuf,
    /// As its package or its installer says.
    pub(super) version: String,
}

/// Requests as a tool counted them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Requests {
    pub(super) succeeded: f64,
    pub(super) failed: f64,
}

/// As many requests as so many connections can do, one at a time on each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed<'a> {
    pub(super) url: &'a str,
    pub(super) connections: u32,
    pub(super) seconds: u32,
}

/// A fixed number of requests per second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open<'a> {
    pub(super) url: &'a str,
    pub(super) rate: u32,
    /// As many as may be used at once.
    pub(super) connections: u32,
    pub(super) seconds: u32,
}

/// What a tool says of a load at a fixed rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Told {
    pub(super) requests: Requests,
    pub(super) response_time: Percentiles,
}

/// A way in which a peer can offer a fixed rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FixedRate {
    Oha,
    /// With its option that times from when a request was due.
    OhaCorrected,
    Hey,
    H2load,
}

impl FixedRate {
    pub(super) const ALL: [Self; 4] = [Self::OhaCorrected, Self::Oha, Self::Hey, Self::H2load];

    fn peer(self) -> Peer {
        match self {
            Self::Oha | Self::OhaCorrected => Peer::Oha,
            Self::Hey => Peer::Hey,
            Self::H2load => Peer::H2load,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Oha => "oha -q",
            Self::OhaCorrected => "oha -q --latency-correction",
            Self::Hey => "hey -q",
            Self::H2load => "h2load --rps",
        }
    }

    /// The program for it, where the machine has it.
    pub(super) fn among(self, found: &[Found]) -> Option<&Found> {
        found.iter().find(|found| found.peer == self.peer())
    }
}

impl fmt::Display for FixedRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.peer.name())
    }
}

impl Found {
    /// Runs a closed loop on the generator's core.
    pub(super) fn closed(&self, load: &Closed<'_>, folder: &Path) -> anyhow::Result<(Requests, Finished)> {
        let arguments = match self.peer {
            Peer::Wrk => wrk::closed(load),
            Peer::Ab => ab::closed(load),
            Peer::H2load => h2load::closed(load),
            Peer::Hey => hey::closed(load),
            Peer::Oha => oha::closed(load),
            Peer::Siege => {
                let settings = folder.join("siegerc");
                std::fs::write(&settings, siege::SETTINGS)?;
                siege::closed(load, &settings)
            }
        };
        let finished = self.run(&arguments, load.seconds, folder)?;
        let read = match self.peer {
            Peer::Wrk => wrk::requests,
            Peer::Ab => ab::requests,
            Peer::H2load => h2load::requests,
            Peer::Hey => hey::requests,
            Peer::Oha => oha::requests,
            Peer::Siege => siege::requests,
        };
        let requests = self.understood(read(&finished.output), &finished)?;
        Ok((requests, finished))
    }

    /// Runs HTTP/2 with so many streams on each connection, by prior knowledge. Only h2load can.
    pub(super) fn streams(
        &self,
        load: &Closed<'_>,
        streams: u32,
        folder: &Path,
    ) -> anyhow::Result<(Requests, Finished)> {
        ensure!(self.peer == Peer::H2load, "{self} is not asked for HTTP/2");
        let finished = self.run(&h2load::streams(load, streams), load.seconds, folder)?;
        let requests = self.understood(h2load::requests(&finished.output), &finished)?;
        Ok((requests, finished))
    }

    /// Runs a fixed rate on the generator's core.
    pub(super) fn open(
        &self,
        way: FixedRate,
        load: &Open<'_>,
        folder: &Path,
    ) -> anyhow::Result<(Told, Finished)> {
        let log = folder.join("h2load.tsv");
        let arguments = match way {
            FixedRate::Oha => oha::open(load, oha::Timed::FromSending),
            FixedRate::OhaCorrected => oha::open(load, oha::Timed::FromDue),
            FixedRate::Hey => hey::open(load),
            FixedRate::H2load => {
                // It adds to a file that is there.
                let _ = std::fs::remove_file(&log);
                h2load::open(load, &log)
            }
        };
        let finished = self.run(&arguments, load.seconds, folder)?;
        let told = match way {
            FixedRate::Oha | FixedRate::OhaCorrected => oha::told(&finished.output),
            FixedRate::Hey => hey::told(&finished.output),
            FixedRate::H2load => {
                h2load::told(&finished.output, &std::fs::read_to_string(&log).unwrap_or_default())
            }
        };
        let told = self.understood(told, &finished)?;
        Ok((told, finished))
    }

    fn run(&self, arguments: &[String], seconds: u32, folder: &Path) -> anyhow::Result<Finished> {
        let mut command = pinned(GENERATOR_CORE, &self.program);
        let longest = Duration::from_secs(seconds.into()) + LONGEST_TAIL;
        run(command.args(arguments), folder, longest, |_, _| {})?.well()
    }

    fn understood<T>(&self, read: Option<T>, finished: &Finished) -> anyhow::Result<T> {
        let beginning: String = finished.output.chars().take(2_000).collect();
        read.with_context(|| format!("{self} did not say what was expected:\n{beginning}"))
    }
}

/// The number after a word, like `1,234` after `Complete requests:`.
fn number_after(output: &str, word: &str) -> Option<f64> {
    let line = output.lines().find_map(|line| line.trim().strip_prefix(word))?;
    line.split_whitespace().next()?.trim_end_matches(',').parse().ok()
}

/// Words as arguments.
fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
