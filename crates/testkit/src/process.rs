//! A server process on loopback that never outlives its test.
//!
//! Dropping a [`Process`] kills it by its id and waits for it. When the test process itself is
//! killed nobody drops anything, so each child asks the kernel to be killed with its parent
//! (`setpriv --pdeathsig`). That signal belongs to the *thread* that made the child, which is why
//! one thread that lives as long as the process makes them all.
//!
//! A server is started once its own process holds listeners on its ports: a stranger who
//! took a port in between is never mistaken for it, and the start is tried again elsewhere.

use std::ffi::OsString;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::Program;
use crate::wait::wait_for;

/// Generous, because tests of a whole workspace start dozens of servers on two busy cores.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(60);

/// A port is lost between picking and binding it only now and then; five times in a row is a fault.
const START_ATTEMPTS: usize = 5;

/// A folder that stays is a nuisance and no reason to hold a test up.
const LEAVING_DEADLINE: Duration = Duration::from_secs(5);

/// What servers say when somebody else has their port.
const PORT_TAKEN: [&str; 3] = ["already in use", "port not available", "cannot assign requested address"];

/// A running server with a folder of its own.
#[derive(Debug)]
pub struct Process {
    child: Child,
    launch: Launch,
    // Removed when this is dropped, after `Drop::drop` has ended the process.
    folder: TempDir,
}

/// What it takes to start a server, and to start it again after it was stopped.
#[derive(Debug, Clone)]
struct Launch {
    program: Program,
    settings: Settings,
    ports: Vec<u16>,
}

/// What a server is told when it starts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) arguments: Vec<OsString>,
    /// Added to the environment of the test.
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

impl From<Vec<OsString>> for Settings {
    fn from(arguments: Vec<OsString>) -> Self {
        Self { arguments, environment: Vec::new() }
    }
}

impl Process {
    /// Starts `program` on `N` free ports.
    ///
    /// `configure` writes its files into the given folder and returns its arguments, or all its [`Settings`];
    /// `ready` is asked, once it listens, until it succeeds.
    pub(crate) async fn start<const N: usize, S: Into<Settings>>(
        program: Program,
        configure: impl Fn(&Path, [u16; N]) -> anyhow::Result<S>,
        ready: impl AsyncFn([u16; N]) -> anyhow::Result<()>,
    ) -> anyhow::Result<(Self, [u16; N])> {
        for _ in 0..START_ATTEMPTS {
            let folder = tempfile::Builder::new().prefix("plimsoll-test-").tempdir()?;
            let ports = free_ports::<N>()?;
            let settings = configure(folder.path(), ports)?.into();
            let launch = Launch { program, settings, ports: ports.to_vec() };
            let mut process = Self { child: launch.spawn(folder.path())?, launch, folder };
            match process.become_ready(async || ready(ports).await).await? {
                Start::Ready => return Ok((process, ports)),
                Start::PortTaken => {}
            }
        }
        bail!("`{}` lost its port {START_ATTEMPTS} times in a row", program.name)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The folder that holds its configuration, data and log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        read_log(self.folder.path())
    }

    /// Stops it from running without ending it, as a machine that hangs: connections stay open
    /// and new ones are taken by the kernel, but nobody answers.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it run on after [`freeze`](Self::freeze).
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Bytes that were sent to its ports and that it has not read: while it is frozen, what hangs there.
    pub fn unread(&self) -> anyhow::Result<u64> {
        let table = std::fs::read_to_string("/proc/net/tcp")?;
        let waiting = table.lines().filter_map(Connection::parse);
        Ok(waiting
            .filter(|connection| self.launch.ports.contains(&connection.port))
            .map(|connection| connection.unread)
            .sum())
    }

    /// Kills it. Its files and ports are kept for [`start_again`](Self::start_again).
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again with the same files on the same ports, and waits until it listens.
    ///
    /// # Errors
    /// When it does not come up, which includes that somebody took its port meanwhile.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        self.child = self.launch.spawn(self.folder.path())?;
        match self.become_ready(async || Ok(())).await? {
            Start::Ready => Ok(()),
            Start::PortTaken => {
                bail!("the port of `{}` was taken while it was down", self.launch.program.name)
            }
        }
    }

    async fn become_ready(&mut self, ready: impl AsyncFn() -> anyhow::Result<()>) -> anyhow::Result<Start> {
        let name = self.launch.program.name;
        let outcome = wait_for(START_DEADLINE, "it to listen and answer", async || {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Err(status));
            }
            if !listens_on(self.child.id(), &self.launch.ports)? {
                bail!("it does not listen on {:?}", self.launch.ports);
            }
            ready().await.map(Ok)
        })
        .await;
        match outcome {
            Ok(Ok(())) => Ok(Start::Ready),
            Ok(Err(status)) => self.explain_exit(status),
            Err(error) => bail!("`{name}` did not start: {error:#}\n{}", self.log()),
        }
    }

    fn explain_exit(&self, status: ExitStatus) -> anyhow::Result<Start> {
        let log = self.log();
        let lower = log.to_lowercase();
        if PORT_TAKEN.iter().any(|words| lower.contains(words)) {
            return Ok(Start::PortTaken);
        }
        bail!("`{}` ended with {status} instead of starting:\n{log}", self.launch.program.name)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id())?;
        Ok(kill(Pid::from_raw(id), signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its own children (the browser's) die a moment later and write into the folder until then.
        let deadline = Instant::now() + LEAVING_DEADLINE;
        while somebody_works_in(self.folder.path()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

enum Start {
    Ready,
    PortTaken,
}

impl Launch {
    fn spawn(&self, folder: &Path) -> anyhow::Result<Child> {
        let mut command = mortal(&self.program.locate()?)?;
        command.args(&self.settings.arguments);
        let log = File::options().create(true).append(true).open(folder.join(LOG))?;
        // Whatever it leaves lying about is removed with the folder.
        command.env("TMPDIR", folder);
        command.envs(self.settings.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        spawn_for_life(command).with_context(|| format!("cannot start `{}`", self.program.name))
    }
}

/// A command for `program` that the kernel kills when the thread that spawns it ends.
///
/// A parent that ended before the child could ask for that is noticed by the child itself: it has
/// another parent by then.
fn mortal(program: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(Program::SETPRIV.locate()?);
    command.args(["--pdeathsig", "KILL", "--", "sh", "-c", r#"test "$PPID" = "$0" && exec "$@""#]);
    command.arg(std::process::id().to_string()).arg(program);
    Ok(command)
}

const LOG: &str = "process.log";

fn read_log(folder: &Path) -> String {
    std::fs::read(folder.join(LOG))
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// A command to start, and where to send the child.
type Order = (Command, mpsc::SyncSender<std::io::Result<Child>>);

/// Starts `command` from the thread that lives as long as this process.
fn spawn_for_life(command: Command) -> std::io::Result<Child> {
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                // A caller that has gone away drops the receiver; its child is reaped by nobody
                // else, so it is ended here.
                if let Err(mpsc::SendError(Ok(mut orphan))) = reply.send(command.spawn()) {
                    let _ = orphan.kill();
                    let _ = orphan.wait();
                }
            }
        });
        orders
    });
    let gone = || std::io::Error::other("the thread that starts servers is gone");
    let (reply, child) = mpsc::sync_channel(1);
    SPAWNER.send((command, reply)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

/// Picks ports nobody listens on right now. All are held until the last is picked, so they differ.
fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// Whether process `id` itself holds a listening socket on each of `ports`.
fn listens_on(id: u32, ports: &[u16]) -> anyhow::Result<bool> {
    let own: Vec<PathBuf> = std::fs::read_dir(format!("/proc/{id}/fd"))?
        // A descriptor may be closed between listing and reading it.
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .collect();
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let listeners: Vec<Listener> =
        tables.iter().flat_map(|table| table.lines().filter_map(Listener::parse)).collect();
    let holds = |port: &u16| {
        listeners.iter().any(|listener| {
            listener.port == *port && own.contains(&PathBuf::from(format!("socket:[{}]", listener.inode)))
        })
    };
    Ok(ports.iter().all(holds))
}

/// Whether a process has `folder` as its working folder, as servers and their children do.
fn somebody_works_in(folder: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    let mut working =
        processes.filter_map(|process| std::fs::read_link(process.ok()?.path().join("cwd")).ok());
    working.any(|place| place == folder)
}

/// A line of `/proc/net/tcp` whose socket listens.
struct Listener {
    port: u16,
    inode: u64,
}

impl Listener {
    /// Columns: number, local address:port in hexadecimal, remote, state (0A is LISTEN), ..., inode at 9.
    fn parse(line: &str) -> Option<Self> {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = columns.get(1)?.rsplit_once(':')?;
        if *columns.get(3)? != "0A" {
            return None;
        }
        Some(Self { port: u16::from_str_radix(port, 16).ok()?, inode: columns.get(9)?.parse().ok()? })
    }
}

/// A line of `/proc/net/tcp` whose socket is connected.
struct Connection {
    port: u16,
    unread: u64,
}

impl Connection {
    /// Columns as of [`Listener`]; state 01 is ESTABLISHED, and 4 is bytes to send:bytes to read, in hexadecimal.
    fn parse(line: &str) -> Option<Self> {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = columns.get(1)?.rsplit_once(':')?;
        let (_, unread) = columns.get(4)?.split_once(':')?;
        if *columns.get(3)? != "01" {
            return None;
        }
        Some(Self {
            port: u16::from_str_radix(port, 16).ok()?,
            unread: u64::from_str_radix(unread, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn only_the_holder_of_a_listener_is_said_to_listen() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listens_on(std::process::id(), &[port]).unwrap());
        assert!(!listens_on(std::process::id(), &[port, 1]).unwrap());
        let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(!listens_on(stranger.id(), &[port]).unwrap());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn what_a_connection_has_not_read_is_seen() {
        let line = "  1: 0100007F:4E20 0100007F:D2F0 01 00000000:0000002A 00:00000000 00000000 0 0 77 1";
        let connection = Connection::parse(line).unwrap();
        assert_eq!((connection.port, connection.unread), (20_000, 42));
        assert!(Connection::parse(&line.replace(" 01 ", " 0A ")).is_none());
    }

    #[test]
    fn ports_picked_together_differ() {
        let mut ports = free_ports::<8>().unwrap().to_vec();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_shows_what_it_said() {
        let broken = Program::NGINX;
        let error = Process::start(
            broken,
            |_, [_]: [u16; 1]| Ok(["-t", "-c", "/no/such"].map(OsString::from).to_vec()),
            async |_| Ok(()),
        )
        .await
        .unwrap_err();
        assert!(error.to_string().contains("/no/such"), "{error}");
    }

    /// A server whose test process was killed dies with it, whichever thread started it.
    #[test]
    fn a_killed_parent_takes_its_servers_along() {
        if std::env::var_os("TESTKIT_PARENT").is_some() {
            return run_as_parent();
        }
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(["process::tests::a_killed_parent_takes_its_servers_along", "--exact", "--nocapture"])
            .env("TESTKIT_PARENT", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(parent.stdout.take().unwrap());
        let server: u32 = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split("server=").nth(1)?.trim().parse().ok())
            .unwrap();
        parent.kill().unwrap();
        parent.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while is_alive(server) {
            assert!(Instant::now() < deadline, "server {server} outlived its parent");
            std::thread::yield_now();
        }
    }

    fn run_as_parent() {
        // The thread that asks for the server ends at once; the server has to stay.
        let mut server = std::thread::spawn(|| {
            let mut command = mortal(Path::new("/bin/sleep")).unwrap();
            command.arg("600").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            spawn_for_life(command).unwrap()
        })
        .join()
        .unwrap();
        println!("server={}", server.id());
        server.wait().unwrap();
    }

    /// Whether a process with this id exists, a zombie counting as gone.
    fn is_alive(id: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat"))
            .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
    }
}
