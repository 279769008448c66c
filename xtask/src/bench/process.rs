//! Pinned processes, and what they cost.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};

/// How long a server may take to listen.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// How often a process is looked at. The kernel keeps the high-water mark of memory by itself, so
/// looking rarely loses only what comes after the last look.
const LOOK: Duration = Duration::from_millis(20);

/// A command for `program` that runs on one core only.
pub(super) fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(core.to_string()).arg(program);
    command
}

/// What a program printed and what it cost.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) output: String,
    /// User and system time, its own children included.
    pub(crate) cpu_seconds: f64,
    /// The most memory it ever had resident, in bytes.
    pub(crate) peak_memory: u64,
}

/// Runs a program to its end, at most so long, and looks at its memory now and then. Its output goes
/// through a file in `folder`, both channels into one. One program at a time: the CPU time of whatever
/// else we wait for meanwhile would be counted too.
pub(crate) fn run(
    command: &mut Command,
    folder: &Path,
    longest: Duration,
    mut watch: impl FnMut(Duration, Memory),
) -> anyhow::Result<Finished> {
    let words = crate::command::describe(command);
    let log = folder.join("output.txt");
    let output = File::create(&log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let before = waited_children_cpu()?;
    let mut child = Kept(command.spawn().with_context(|| format!("cannot run {words}"))?);
    let (started, mut peak_memory) = (Instant::now(), 0);
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        ensure!(started.elapsed() < longest, "{words} does not end");
        if let Some(memory) = Memory::of(child.0.id()) {
            peak_memory = peak_memory.max(memory.peak);
            watch(started.elapsed(), memory);
        }
        std::thread::sleep(LOOK);
    };
    let cpu_seconds = (waited_children_cpu()? - before).as_secs_f64();
    let mut bytes = Vec::new();
    File::open(&log)?.read_to_end(&mut bytes)?;
    let output = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Finished { status, output, cpu_seconds, peak_memory })
}

impl Finished {
    /// Refuses a program that ended badly.
    pub(super) fn well(self) -> anyhow::Result<Self> {
        ensure!(self.status.success(), "it ended with {}:\n{}", self.status, self.output);
        Ok(self)
    }
}

/// CPU time of all children that were waited for.
fn waited_children_cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let parts = [usage.user_time(), usage.system_time()];
    let micros: i64 = parts.iter().map(|part| part.tv_sec() * 1_000_000 + part.tv_usec()).sum();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

/// A child that does not outlive an error of ours.
#[derive(Debug)]
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
pub(crate) struct Memory {
    pub(crate) resident: u64,
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

/// A server on the target's core, killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Kept,
}

impl Server {
    /// Starts it and waits until `port` takes connections.
    pub(super) fn start(command: &mut Command, port: u16) -> anyhow::Result<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
        let mut server = Self { child: Kept(child) };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.child.0.try_wait()? {
                bail!("{} ended with {status}", crate::command::describe(command));
            }
            if started.elapsed() > START_DEADLINE {
                bail!("{} does not listen on port {port}", crate::command::describe(command));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

/// A port nobody listens on right now.
pub(super) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn output_and_cpu_time_of_a_busy_child_are_seen() {
        let folder = folder("busy");
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; echo error >&2";
        let busy = run(Command::new("sh").args(["-c", script]), &folder, LONGEST, |_, _| {}).unwrap();
        assert_eq!(busy.output, "done\nerror\n");
        assert!(busy.cpu_seconds > 0.0 && busy.peak_memory > 0);
        let failed = run(Command::new("sh").args(["-c", "echo no; exit 3"]), &folder, LONGEST, |_, _| {});
        let error = failed.unwrap().well().unwrap_err().to_string();
        assert!(error.starts_with("it ended with exit status: 3") && error.ends_with("no\n"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let folder = folder("endless");
        let mut endless = Command::new("sleep");
        let error = run(endless.arg("600"), &folder, Duration::ZERO, |_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "`sleep 600` does not end");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn memory_is_read_and_a_dead_process_has_none() {
        let status = "Name:\tplimsoll\nVmPeak:\t  900 kB\nVmHWM:\t    40 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(Memory::parse(status), Some(Memory { resident: 12 * 1024, peak: 40 * 1024 }));
        assert_eq!(Memory::parse("Name:\tplimsoll\nState:\tZ (zombie)\n"), None);
        assert!(Memory::of(std::process::id()).is_some_and(|memory| memory.peak >= memory.resident));
    }
}
