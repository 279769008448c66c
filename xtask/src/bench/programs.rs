//! Our own programs, built for release, and what a run of a plan gave and cost.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::process::{Finished, Memory, Server, free_port, pinned, run};
use super::quantiles::number;
use super::{GENERATOR_CORE, TARGET_CORE};
use crate::command::cargo;

/// How much longer than its load a run may take before it is taken for hanging.
const LONGEST_TAIL: Duration = Duration::from_secs(90);

/// `plimsoll`, the demo target and examples of our crates, and a folder for what they write.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(super) plimsoll: PathBuf,
    target: PathBuf,
    examples: PathBuf,
    pub(super) folder: PathBuf,
}

/// A run of a plan that came to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    /// What `--json` wrote.
    pub(crate) json: Value,
    pub(crate) cost: Finished,
}

impl Ran {
    /// A number of the JSON by its JSON pointer.
    pub(crate) fn number(&self, pointer: &str) -> anyhow::Result<f64> {
        number(&self.json, pointer).with_context(|| format!("the run has no {pointer}"))
    }

    /// Requests that succeeded; an error when one did not.
    pub(super) fn succeeded(&self) -> anyhow::Result<f64> {
        let failed = self.number("/totals/failed")?;
        ensure!(failed == 0.0, "{failed} requests failed: {}", self.json["errors"]);
        self.number("/totals/succeeded")
    }
}

impl Programs {
    /// Builds them.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let build = || {
            let mut command = cargo();
            command.args(["build", "--release"]);
            command
        };
        let packages = ["--package", "plimsoll", "--package", "plimsoll-demo-target"];
        crate::command::run(build().args(packages))?;
        crate::command::run(build().args(["--package", "plimsoll-driver", "--example", "closed_loop"]))?;
        Self::built()
    }

    /// Takes them as they were built last.
    pub(crate) fn built() -> anyhow::Result<Self> {
        let target_folder = crate::target_folder()?;
        let release = target_folder.join("release");
        let folder = target_folder.join("bench");
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            plimsoll: release.join("plimsoll"),
            target: release.join("plimsoll-demo-target"),
            examples: release.join("examples"),
            folder,
        })
    }

    /// An example that was built.
    pub(super) fn example(&self, name: &str) -> PathBuf {
        self.examples.join(name)
    }

    /// The demo target on its core, with a latency model as its flag takes it.
    pub(crate) fn target(&self, latency: &str) -> anyhow::Result<Target> {
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let mut command = pinned(TARGET_CORE, &self.target);
        let server = Server::start(command.args(["--listen", &listen, "--latency", latency]), port)?;
        Ok(Target { addr: listen.parse()?, _server: server })
    }

    /// Runs a plan on the generator's core, with one worker and a history of its own.
    pub(crate) fn run(
        &self,
        plan: &str,
        length: Duration,
        watch: impl FnMut(Duration, Memory),
    ) -> anyhow::Result<Ran> {
        let [plan_file, json, history] =
            ["plan.yaml", "run.json", "history.db"].map(|name| self.folder.join(name));
        for old in ["run.json", "history.db", "history.db-wal", "history.db-shm"] {
            remove(&self.folder.join(old))?;
        }
        std::fs::write(&plan_file, plan)?;
        let mut command: Command = pinned(GENERATOR_CORE, &self.plimsoll);
        command
            .arg("run")
            .arg(&plan_file)
            .args(["--workers", "1", "--no-tui", "--no-calibrate", "--history"])
            .arg(&history);
        command.arg("--json").arg(&json);
        let cost = run(&mut command, &self.folder, length + LONGEST_TAIL, watch)?;
        // A run that missed an objective or was suspect ends with another code, and has a result.
        let Ok(json) = std::fs::read(&json) else {
            bail!("the run ended with {}:\n{}", cost.status, cost.output);
        };
        Ok(Ran { json: serde_json::from_slice(&json)?, cost })
    }

    /// Runs a plan with everything on: two objectives, `/metrics` scraped each second as Prometheus
    /// would, history.
    pub(super) fn run_whole(&self, plan: &Plan<'_>, length: Duration) -> anyhow::Result<Ran> {
        self.run_whole_watched(plan, length, |_, _| {})
    }

    pub(super) fn run_whole_watched(
        &self,
        plan: &Plan<'_>,
        length: Duration,
        watch: impl FnMut(Duration, Memory) + Send,
    ) -> anyhow::Result<Ran> {
        let metrics: SocketAddr = format!("127.0.0.1:{}", free_port()?).parse()?;
        let text = plan.text(metrics);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let scraper = scope.spawn(|| scrape(metrics, &ended));
            let ran = self.run(&text, length, watch);
            ended.store(true, Ordering::Relaxed);
            let scrapes = scraper.join().ok().context("the scraper panicked")?;
            let ran = ran?;
            ensure!(scrapes > 0, "/metrics was never scraped");
            Ok(ran)
        })
    }

    /// The engine without everything around it, for so many requests in a closed loop.
    pub(super) fn run_alone(&self, addr: &str, requests: u64) -> anyhow::Result<Finished> {
        let mut command = pinned(GENERATOR_CORE, &self.example("closed_loop"));
        command.arg(addr).arg(requests.to_string());
        run(&mut command, &self.folder, LONGEST_TAIL * 4, |_, _| {})?.well()
    }
}

/// A plan with everything on; only what differs between benchmarks is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) target: &'a str,
    /// Lines of `load`, each indented by two.
    pub(super) load: &'a str,
    /// The value of `http`.
    pub(super) http: &'a str,
    /// The value of `steps`.
    pub(super) steps: &'a str,
}

/// The steps of most benchmarks.
pub(super) const HOME: &str = "[ { name: home, get: / } ]";

impl Plan<'_> {
    fn text(&self, metrics: SocketAddr) -> String {
        let Plan { target, load, http, steps } = self;
        format!(
            "name: bench\ntarget: {target}\nload:\n{load}\nhttp: {http}\n\
             scenarios:\n  - name: bench\n    steps: {steps}\n\
             sla:\n  - {{ name: quick, objective: \"p95(response_time) <= 250ms\", over: 2s, severity: warning }}\n  \
             - {{ name: few errors, objective: \"error_ratio <= 0.1%\" }}\n\
             export:\n  prometheus: {{ listen: \"{metrics}\" }}\n"
        )
    }
}

/// Scrapes once a second until told, and says how often it was answered.
fn scrape(metrics: SocketAddr, ended: &AtomicBool) -> u32 {
    let (mut scrapes, mut last) = (0, Instant::now());
    while !ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        if last.elapsed() >= Duration::from_secs(1) {
            last = Instant::now();
            scrapes += u32::from(ask(metrics, "GET", "/metrics").is_ok());
        }
    }
    scrapes
}

pub(super) fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// A demo target that runs.
#[derive(Debug)]
pub(crate) struct Target {
    pub(super) addr: SocketAddr,
    _server: Server,
}

impl Target {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its own record of what it answered.
    pub(super) fn record(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&ask(self.addr, "GET", "/record")?)?)
    }

    /// Forgets what was recorded.
    pub(super) fn forget(&self) -> anyhow::Result<()> {
        ask(self.addr, "DELETE", "/record").map(drop)
    }

    /// Answers nothing for so many seconds.
    pub(super) fn freeze(&self, seconds: u64) -> anyhow::Result<()> {
        ask(self.addr, "POST", &format!("/control/freeze?for={seconds}s")).map(drop)
    }
}

/// One small request on a connection of its own; returns the body.
pub(super) fn ask(addr: SocketAddr, method: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // HTTP/1.0 has no chunks, so that the end of the connection is the end of the body.
    stream.write_all(format!("{method} {path} HTTP/1.0\r\nhost: {addr}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of head")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    ensure!(status.starts_with('2'), "{method} {path} was answered {status}");
    Ok(body.to_owned())
}
