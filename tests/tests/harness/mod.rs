//! What the end-to-end tests share: the built programs as children that never outlive their test, a
//! folder per test for plans, records and results, and readers for what the programs write.
//!
//! Nothing here knows how Plimsoll works inside. It is driven as people drive it: arguments, files,
//! signals, exit codes.

#![expect(dead_code, reason = "each test binary uses its part of it")]

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plimsoll_testkit::{Browser, ColorScheme, Program, binary, http_client, wait_for};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinHandle;

/// Far beyond what any run of these tests takes, also on a machine that compiles something beside them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often a measurement is made again when the generator itself says that it could not be trusted:
/// somebody else had the processor, which says nothing about the program.
const TRIES: usize = 4;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

static MACHINE: RwLock<()> = RwLock::const_new(());

/// For a test whose figures do not depend on how fast the machine is.
pub(crate) async fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// For a test that measures: no other of its binary runs meanwhile.
pub(crate) async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}

/// A folder of one test, with the history that its runs are recorded in.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("plimsoll-e2e-").tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a file and says where it is.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    /// `plimsoll` with these arguments on this desk's history.
    pub(crate) fn plimsoll<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Call {
        Call::new(self, &binary("plimsoll").unwrap()).args(arguments)
    }

    /// Another program with these arguments, found like a shell finds it.
    pub(crate) fn program<A: AsRef<OsStr>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Call {
        Call::new(self, Path::new(name)).args(arguments)
    }

    /// `plimsoll run PLAN --json run.json`, where the plan is this text.
    pub(crate) fn run(&self, plan: &str) -> Call {
        let plan = self.write("plan.yaml", plan);
        self.plimsoll(["run", &plan, "--json"]).arg(self.path("run.json"))
    }

    /// What [`Self::run`] wrote.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text("run.json")).unwrap()
    }

    /// The events of the latest recorded run.
    pub(crate) async fn events(&self) -> Events {
        self.events_of("last").await
    }

    /// The events of a recorded run.
    pub(crate) async fn events_of(&self, run: &str) -> Events {
        let exported = self.plimsoll(["runs", "export", run]).ended().await;
        assert_eq!(exported.code, 0, "{exported:?}");
        Events(exported.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

/// A command line of a program, not yet started.
pub(crate) struct Call {
    command: Command,
}

impl Call {
    fn new(desk: &Desk, program: &Path) -> Self {
        // The kernel kills the child with the thread of the test, should nobody else.
        let mut command = Command::new(Program::SETPRIV.locate().unwrap());
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command.env("PLIMSOLL_HISTORY", desk.path("history.db")).env("NO_COLOR", "1");
        command.current_dir(desk.folder.path());
        Self { command }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// `--set` for each.
    pub(crate) fn set<A: AsRef<str>>(mut self, changes: impl IntoIterator<Item = A>) -> Self {
        for change in changes {
            self.command.args(["--set", change.as_ref()]);
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = self.command.spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let out = child.stdout.take().unwrap();
        let told = follow(child.stderr.take().unwrap(), Arc::clone(&stderr));
        Running { child, started: Instant::now(), out: tokio::spawn(whole(out)), stderr, told }
    }

    /// Starts it and waits for its end.
    pub(crate) async fn ended(self) -> Ended {
        self.start().ended().await
    }
}

async fn whole(mut stream: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

fn follow(stream: impl AsyncRead + Unpin + Send + 'static, to: Arc<Mutex<String>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut text = to.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    })
}

/// A program that runs.
pub(crate) struct Running {
    child: Child,
    pub(crate) started: Instant,
    out: JoinHandle<String>,
    stderr: Arc<Mutex<String>>,
    told: JoinHandle<()>,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().try_into().unwrap()), signal).unwrap();
    }

    /// What it has said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Bytes of memory that it holds now.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> Ended {
        self.ended_within(PATIENCE).await
    }

    pub(crate) async fn ended_within(mut self, patience: Duration) -> Ended {
        let Ok(status) = tokio::time::timeout(patience, self.child.wait()).await else {
            panic!("it did not end within {patience:?}; it said:\n{}", self.stderr());
        };
        let took = self.started.elapsed();
        let _ = self.told.await;
        // Killed by a signal it has no code; no code of ours is negative.
        let code = status.unwrap().code().unwrap_or(-1);
        let stderr = self.stderr.lock().unwrap().clone();
        Ended { code, stdout: self.out.await.unwrap(), stderr, took }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

/// The demo target as a process of its own.
pub(crate) struct Target {
    running: Running,
    addr: SocketAddr,
    client: reqwest::Client,
    _desk: Desk,
}

impl Target {
    /// Starts one with these arguments and waits until it listens.
    pub(crate) async fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let desk = Desk::new();
        let mut call =
            Call::new(&desk, &binary("plimsoll-demo-target").unwrap()).args(["--listen", "127.0.0.1:0"]);
        call = call.args(arguments);
        call.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = call.command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let stderr = Arc::new(Mutex::new(String::new()));
        let told = follow(child.stderr.take().unwrap(), Arc::clone(&stderr));
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, out.read_line(&mut line)).await.expect("it listens").unwrap();
        let addr = line.trim().rsplit_once("://").expect("it says where").1.parse().unwrap();
        let running = Running { child, started: Instant::now(), out: tokio::spawn(whole(out)), stderr, told };
        Self { running, addr, client: http_client().unwrap(), _desk: desk }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// `target=URL`, for `--set`.
    pub(crate) fn setting(&self) -> String {
        format!("target={}", self.url())
    }

    /// Stops the process without ending it.
    pub(crate) fn freeze(&self) {
        self.running.signal(Signal::SIGSTOP);
    }

    /// Ends the process at once.
    pub(crate) fn kill(&self) {
        self.running.signal(Signal::SIGKILL);
    }

    pub(crate) fn thaw(&self) {
        self.running.signal(Signal::SIGCONT);
    }

    /// Its own record.
    pub(crate) async fn record(&self) -> Record {
        Record(self.client.get(format!("{}/record", self.url())).send().await.unwrap().json().await.unwrap())
    }

    /// Waits until it has been asked at least so often.
    pub(crate) async fn asked(&self, count: u64) {
        wait_for(PATIENCE, "requests at the target", async || {
            let seen = self.record().await.count();
            if seen >= count { Ok(()) } else { Err(format!("{seen} of {count}")) }
        })
        .await
        .unwrap();
    }
}

/// What a target says it was asked.
#[derive(Debug)]
pub(crate) struct Record(pub(crate) Value);

impl Record {
    /// Requests whose head was read.
    pub(crate) fn count(&self) -> u64 {
        self.0["access_count"].as_u64().unwrap()
    }

    /// Requests of a route like `GET /products`.
    pub(crate) fn route(&self, name: &str) -> u64 {
        let routes = self.0["routes"].as_array().unwrap();
        routes
            .iter()
            .find(|route| route["route"] == name)
            .map_or(0, |route| route["access_count"].as_u64().unwrap())
    }
}

/// The events of a recorded run.
pub(crate) struct Events(pub(crate) Vec<Value>);

impl Events {
    pub(crate) fn of<'e>(&'e self, kind: &'e str) -> impl Iterator<Item = &'e Value> {
        self.0.iter().filter(move |event| event["event"] == kind)
    }

    /// Arrivals per second, in order; dropped ones included.
    pub(crate) fn arrivals(&self) -> Vec<u64> {
        self.of("second").map(|second| sum(&second["iterations"], "arrivals")).collect()
    }

    /// How many requests of the run took longer than this, by the counts at its edges.
    pub(crate) fn slower(&self, timing: &str, than: Duration) -> u64 {
        let edges = self.of("started").next().unwrap()["shape"]["edges"].as_array().unwrap();
        let nanos = u64::try_from(than.as_nanos()).unwrap();
        let edge = edges.iter().position(|edge| edge.as_u64() == Some(nanos)).expect("one of the edges");
        let series = self.of("second").flat_map(|second| second["series"].as_array().unwrap());
        let counts = series.filter_map(|series| series["timings"][timing]["at_edges"].as_array());
        counts.flat_map(|counts| counts[edge + 1..].iter().map(|count| count.as_u64().unwrap())).sum()
    }
}

/// The sum of a member over a list.
pub(crate) fn sum(list: &Value, member: &str) -> u64 {
    list.as_array().into_iter().flatten().filter_map(|entry| entry[member].as_u64()).sum()
}

/// Requests of all phases.
pub(crate) fn requests(run: &Value) -> u64 {
    sum(&run["phases"], "requests")
}

/// Requests of one phase, 0 where the run had no such phase.
pub(crate) fn requests_in(run: &Value, phase: &str) -> u64 {
    let phases = run["phases"].as_array().unwrap();
    phases
        .iter()
        .filter(|entry| entry["phase"] == phase)
        .map(|entry| entry["requests"].as_u64().unwrap())
        .sum()
}

/// The verdict of an objective.
pub(crate) fn verdict<'r>(run: &'r Value, name: &str) -> &'r str {
    let objectives = run["sla"].as_array().unwrap();
    objectives.iter().find(|objective| objective["name"] == name).unwrap()["verdict"].as_str().unwrap()
}

/// How many requests failed in this way.
pub(crate) fn errors(run: &Value, kind: &str) -> u64 {
    let errors = run["errors"].as_array().unwrap();
    errors.iter().find(|error| error["kind"] == kind).map_or(0, |error| error["count"].as_u64().unwrap())
}

/// All notes of a run, one below the other.
pub(crate) fn notes(run: &Value) -> String {
    let notes = run["notes"].as_array().unwrap();
    notes.iter().map(|note| note["text"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Whether the generator itself says that its figures are worth nothing.
pub(crate) fn is_invalid(run: &Value) -> bool {
    run["validity"]["verdict"] == "invalid"
}

/// Holds a run to its exit code. A generator that says it was disturbed ends with 4 before any
/// verdict counts: where nothing is measured that is the machine's doing, and as good.
pub(crate) fn ends(ended: &Ended, run: &Value, code: i32) {
    let disturbed = matches!(code, 0 | 3) && ended.code == 4 && is_invalid(run);
    assert!(
        ended.code == code || disturbed,
        "ended with {} instead of {code}:\n{}",
        ended.code,
        ended.stderr
    );
}

/// Measures until the generator was not disturbed, as a person would. What disturbs it always is not
/// the machine, and is returned like any other result.
pub(crate) async fn undisturbed<T>(mut measure: impl AsyncFnMut() -> (Value, T)) -> (Value, T) {
    let mut last = measure().await;
    for _ in 1..TRIES {
        if !is_invalid(&last.0) {
            break;
        }
        last = measure().await;
    }
    last
}

/// Opens a report wide and narrow, light and dark, and leaves pictures of it in the build directory (`target/tmp/pages`).
pub(crate) async fn fits_every_screen(report: &str, name: &str) -> Browser {
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("file://{report}")).await.unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).unwrap();
    let mut grounds = Vec::new();
    for (scheme, word) in [(ColorScheme::Light, "light"), (ColorScheme::Dark, "dark")] {
        browser.set_color_scheme(scheme).await.unwrap();
        for width in [1280, 390] {
            browser.set_viewport(width, 900).await.unwrap();
            wait_for(PATIENCE, "the page to fit", async || {
                let fits = "return document.documentElement.scrollWidth <= innerWidth && \
                            [...document.querySelectorAll('.key div, .banner')].every(box => box.scrollWidth <= box.clientWidth)";
                let fits = browser.run(fits).await.unwrap();
                if fits == true { Ok(()) } else { Err(format!("{word} {width}: {fits}")) }
            })
            .await
            .unwrap();
            browser.screenshot(&folder.join(format!("{name}-{word}-{width}.png"))).await.unwrap();
        }
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor").await.unwrap());
    }
    assert_ne!(grounds[0], grounds[1], "the page does not follow light and dark");
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
    browser
}

/// Ports that the system gives to nobody by itself: connections begin at 32768. One that it may give away can be
/// the near end of anybody's connection by the time it is listened on.
const QUIET_PORTS: std::ops::Range<u16> = 20_000..32_768;

/// A port that nobody listens on now, for settings that take no 0.
pub(crate) fn free_port() -> u16 {
    use std::hash::{BuildHasher, RandomState};
    let width = u64::from(QUIET_PORTS.end - QUIET_PORTS.start);
    loop {
        let port = QUIET_PORTS.start + (RandomState::new().hash_one(()) % width) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
