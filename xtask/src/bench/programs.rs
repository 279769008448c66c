//! Our own two programs, built for release, and what a run of a plan gave and cost.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::machine::{Server, free_port, pinned, waited_children_cpu};
use super::{GENERATOR_CORE, TARGET_CORE};

/// How often a run is looked at. The kernel keeps the high-water mark of memory by itself, so
/// looking rarely loses only what comes after the last look.
const LOOK: Duration = Duration::from_millis(50);

/// How much longer than its load a run may take before it is taken for hanging.
const LONGEST_TAIL: Duration = Duration::from_secs(60);

/// `plimsoll` and `plimsoll-demo-target`, and a folder for what they write.
#[derive(Debug)]
pub(crate) struct Programs {
    plimsoll: PathBuf,
    target: PathBuf,
    folder: PathBuf,
}

/// A run of a plan that came to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    /// What `--json` wrote.
    pub(crate) json: Value,
    pub(crate) cpu_seconds: f64,
    /// The most memory it ever had resident, in bytes.
    pub(crate) peak_memory: u64,
}

impl Ran {
    /// A number of the JSON by its JSON pointer.
    pub(crate) fn number(&self, pointer: &str) -> anyhow::Result<f64> {
        number(&self.json, pointer).with_context(|| format!("the run has no {pointer}"))
    }
}

/// A number by its JSON pointer; none where there is `null` or nothing.
pub(super) fn number(json: &Value, pointer: &str) -> Option<f64> {
    json.pointer(pointer)?.as_f64()
}

impl Programs {
    /// Builds them.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let packages = ["--package", "plimsoll", "--package", "plimsoll-demo-target"];
        crate::command::run(crate::command::cargo().args(["build", "--release"]).args(packages))?;
        Self::built()
    }

    /// Takes them as they were built last.
    pub(crate) fn built() -> anyhow::Result<Self> {
        let target_folder = crate::target_folder()?;
        let release = target_folder.join("release");
        let folder = target_folder.join("bench").join("engine");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { plimsoll: release.join("plimsoll"), target: release.join("plimsoll-demo-target"), folder })
    }

    /// The demo target on its core, with a latency model as its flag takes it.
    pub(crate) fn target(&self, latency: &str) -> anyhow::Result<Target> {
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let mut command = pinned(TARGET_CORE, text(&self.target)?);
        let server = Server::start(command.args(["--listen", &listen, "--latency", latency]), port)?;
        Ok(Target { addr: listen.parse()?, _server: server })
    }

    /// Runs a plan on the generator's core, with one worker and a history of its own. `watch` sees
    /// the resident memory in bytes now and then.
    pub(crate) fn run(
        &self,
        plan: &str,
        length: Duration,
        mut watch: impl FnMut(Duration, u64),
    ) -> anyhow::Result<Ran> {
        let [plan_file, json, history, log] =
            ["plan.yaml", "run.json", "history.db", "plimsoll.log"].map(|name| self.folder.join(name));
        for old in ["run.json", "history.db", "history.db-wal", "history.db-shm"] {
            remove(&self.folder.join(old))?;
        }
        std::fs::write(&plan_file, plan)?;
        let mut command = pinned(GENERATOR_CORE, text(&self.plimsoll)?);
        command.arg("run").arg(&plan_file).args(["--workers", "1", "--no-tui", "--history"]).arg(&history);
        command.arg("--json").arg(&json);
        let output = File::create(&log)?;
        command.stdout(output.try_clone()?).stderr(output).stdin(Stdio::null());
        let before = waited_children_cpu()?;
        let mut child = Kept(command.spawn()?);
        let (started, mut peak_memory) = (Instant::now(), 0);
        let status = loop {
            if let Some(status) = child.0.try_wait()? {
                break status;
            }
            ensure!(started.elapsed() < length + LONGEST_TAIL, "the run does not end");
            if let Some(memory) = Memory::of(child.0.id()) {
                peak_memory = peak_memory.max(memory.peak);
                watch(started.elapsed(), memory.resident);
            }
            std::thread::sleep(LOOK);
        };
        let cpu_seconds = (waited_children_cpu()? - before).as_secs_f64();
        let Ok(json) = std::fs::read(&json) else {
            bail!("the run ended with {status}:\n{}", std::fs::read_to_string(&log)?);
        };
        Ok(Ran { json: serde_json::from_slice(&json)?, cpu_seconds, peak_memory })
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the build folder's name is not text")
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// A child that does not outlive an error of ours.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Memory of a process in bytes, as Linux tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Memory {
    resident: u64,
    peak: u64,
}

impl Memory {
    fn of(process: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?)
    }

    /// From `/proc/PID/status`; a process that has ended has none.
    fn parse(status: &str) -> Option<Self> {
        let kilobytes = |name: &str| -> Option<u64> {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        Some(Self { resident: kilobytes("VmRSS")? * 1024, peak: kilobytes("VmHWM")? * 1024 })
    }
}

/// A demo target that runs.
#[derive(Debug)]
pub(crate) struct Target {
    addr: SocketAddr,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_and_a_dead_process_has_none() {
        let status = "Name:\tplimsoll\nVmPeak:\t  900 kB\nVmHWM:\t    40 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(Memory::parse(status), Some(Memory { resident: 12 * 1024, peak: 40 * 1024 }));
        assert_eq!(Memory::parse("Name:\tplimsoll\nState:\tZ (zombie)\n"), None);
        assert!(Memory::of(std::process::id()).is_some_and(|memory| memory.peak >= memory.resident));
    }

    #[test]
    fn a_number_that_is_null_is_none() {
        let json = serde_json::json!({ "latency": { "p50": 0.5, "p99_9": null } });
        assert_eq!(number(&json, "/latency/p50"), Some(0.5));
        assert_eq!(number(&json, "/latency/p99_9"), None);
        assert_eq!(number(&json, "/latency/p10"), None);
    }
}
