//! The target as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Client, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A child that does not outlive its test.
struct Process {
    child: Child,
    addr: SocketAddr,
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { child, addr }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let stats = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap());
        stats.into_iter().all(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('T'))
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("it ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll-demo-target"));
    command.args(["--listen", "127.0.0.1:0"]).args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn it_serves_what_its_flags_say_until_told_to_end() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let flags = ["--latency", "uniform:1ms..2ms", "--capacity", "4", "--queue", "8", "--workers", "2"];
        let mut process =
            Process::start(&[&flags[..], &["--error-ratio", "0.1%", "--body-bytes", "99"]].concat());
        let mut client = Client::to(process.addr);
        let model = client.get("/control").json();
        assert_eq!(model["latency"], serde_json::json!({ "kind": "uniform", "min_ms": 1.0, "max_ms": 2.0 }));
        assert_eq!((&model["capacity"], &model["queue"]), (&4.into(), &8.into()));
        assert_eq!((&model["error_ratio"], &model["body_bytes"]), (&0.001.into(), &99.into()));
        client.send("GET", "/stall?for=10m", &[], b"");
        process.signal(signal);
        assert_eq!(process.ended().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_shared_service_is_made_by_flags() {
    let flags = "--service-workers 8 --pool 4,30% --contention 5% --coherency 0.1% --cpu-us 7 --autoscale 1..4,60%,1s,5s";
    let process = Process::start(&flags.split(' ').collect::<Vec<_>>());
    let model = Client::to(process.addr).get("/control").json();
    let autoscale = serde_json::json!({
        "min": 1, "max": 4, "target_utilisation": 0.6, "interval_ms": 1000, "delay_ms": 5000,
    });
    assert_eq!((&model["workers"], &model["cpu_us"]), (&8.into(), &7.into()));
    assert_eq!(model["pool"], serde_json::json!({ "places": 4, "share": 0.3 }));
    assert_eq!((&model["contention"], &model["coherency"]), (&0.05.into(), &0.001.into()));
    assert_eq!(model["autoscale"], autoscale);
}

#[test]
fn memory_that_is_held_is_really_there() {
    let process = Process::start(&["--memory-mb", "40"]);
    let mut client = Client::to(process.addr);
    let resident = |client: &mut Client| -> f64 {
        let metrics = client.get("/metrics");
        let line =
            metrics.text().lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        line.unwrap().parse().unwrap()
    };
    let held = resident(&mut client);
    assert!(held > 40e6, "{held}");
    assert_eq!(client.ask("PUT", "/control", &[], r#"{"memory_mb": 120}"#).status, 200);
    assert!(resident(&mut client) > held + 75e6);
    assert!(client.get("/metrics").text().contains("\ndemo_held_memory_bytes 120000000\n"));
    assert_eq!(client.ask("PUT", "/control", &[], r#"{"memory_mb": 0}"#).status, 200);
    assert!(resident(&mut client) < held);
}

#[test]
fn a_stopped_process_answers_when_it_goes_on() {
    let process = Process::start(&[]);
    let mut client = Client::to(process.addr);
    assert_eq!(client.get("/").status, 200);
    process.signal(Signal::SIGSTOP);
    eventually("every thread has stopped", || process.is_stopped());
    client.send("GET", "/", &[], b"");
    client.stream.get_ref().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let started = Instant::now();
    assert!(client.head().is_err(), "nothing comes from a stopped process");
    assert!(started.elapsed() >= Duration::from_millis(90));
    process.signal(Signal::SIGCONT);
    client.stream.get_ref().set_read_timeout(Some(crate::client::DEADLINE)).unwrap();
    assert_eq!(client.reply("GET").status, 200);
}

#[test]
fn what_cannot_be_is_said_and_ends_with_two() {
    let taken = Process::start(&[]);
    let addr = taken.addr.to_string();
    let cases: [(&[&str], &str); 7] = [
        (&["--listen", &addr], "cannot listen on 127.0.0.1:"),
        (&["--latency", "slow"], "`slow` is not a latency; write none,"),
        (&["--latency", "fixed:11m"], "a latency of 660000 ms is not within"),
        (&["--capacity", "0"], "capacity must be at least 1"),
        (&["--error-ratio", "200%"], "200%"),
        (&["--tls-cert", "cert.pem"], "--tls-key"),
        (&["--tls-cert", "/nowhere/c", "--tls-key", "/nowhere/k"], "cannot read /nowhere/c"),
    ];
    for (arguments, expected) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll-demo-target"));
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command.args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut message = String::new();
        child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}
