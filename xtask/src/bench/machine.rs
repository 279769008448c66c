//! Pinned processes and the CPU time they used.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::resource::{UsageWho, getrusage};

/// How long a server may take to listen.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// A command for `program` that runs on one core only.
pub(super) fn pinned(core: usize, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(core.to_string()).arg(program);
    command
}

/// What a program printed and what it cost.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) output: String,
    /// User and system time, its own children included.
    pub(super) cpu_seconds: f64,
}

/// Runs a program to its end. One at a time: the CPU time of whatever else we wait for meanwhile
/// would be counted too.
pub(super) fn run(command: &mut Command) -> anyhow::Result<Finished> {
    let before = waited_children_cpu()?;
    let output = crate::command::read(command)?;
    Ok(Finished { output, cpu_seconds: (waited_children_cpu()? - before).as_secs_f64() })
}

/// CPU time of all children that were waited for.
pub(super) fn waited_children_cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let parts = [usage.user_time(), usage.system_time()];
    let micros: i64 = parts.iter().map(|part| part.tv_sec() * 1_000_000 + part.tv_usec()).sum();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

/// A server on the target's core, killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
}

impl Server {
    /// Starts it and waits until `port` takes connections.
    pub(super) fn start(command: &mut Command, port: u16) -> anyhow::Result<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
        let mut server = Self { child };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended with {status}", crate::command::describe(command));
            }
            if started.elapsed() > START_DEADLINE {
                bail!("{} does not listen on port {port}", crate::command::describe(command));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// nginx with a small static answer: one process, no log, connections that are never closed.
    pub(super) fn nginx(core: usize, folder: &Path, port: u16) -> anyhow::Result<Self> {
        // The system's folders for these are root's.
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};"));
        let temporary = temporary.concat();
        let configuration = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr warn;\n\
             events {{ worker_connections 19000; }}\n\
             http {{ access_log off; {temporary} keepalive_requests 1000000000; server {{ listen 127.0.0.1:{port} backlog=4096;\n\
             location / {{ return 200 \"hello\\n\"; }} }} }}\n"
        );
        std::fs::write(folder.join("nginx.conf"), configuration)?;
        let folder = folder.to_str().context("the folder's name is not text")?;
        Self::start(pinned(core, "nginx").args(["-p", folder, "-c", "nginx.conf", "-e", "stderr"]), port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on right now.
pub(super) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Requests that wrk says it completed.
pub(super) fn wrk_requests(output: &str) -> anyhow::Result<f64> {
    let line = output.lines().find_map(|line| line.trim().split_once(" requests in "));
    let (count, _) = line.with_context(|| format!("wrk did not say how many requests it made:\n{output}"))?;
    Ok(count.parse()?)
}

/// What the figures were taken on, in a line.
pub(super) fn facts() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let processor = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let system = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores of {processor}, Linux {}, loopback", system.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_of_a_busy_child_is_seen() {
        let busy =
            run(Command::new("sh")
                .args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done"]));
        let busy = busy.unwrap();
        assert_eq!(busy.output, "done\n");
        assert!(busy.cpu_seconds > 0.0);
    }

    #[test]
    fn what_wrk_prints_is_read() {
        let output = "Running 1s test @ http://127.0.0.1:1/\n  51234 requests in 1.00s, 7.5MB read\nRequests/sec: 51234\n";
        assert_eq!(wrk_requests(output).unwrap(), 51234.0);
        wrk_requests("unable to connect").unwrap_err();
    }
}
