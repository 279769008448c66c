//! PostgreSQL, with a cluster of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use anyhow::{Context, ensure};
use nix::unistd::{Uid, User, chown};
use tokio::sync::Mutex;

use crate::Program;
use crate::process::Process;

/// Where Debian keeps the programs of each version: only those that a person calls are in `PATH`.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Who a server runs as when the test is root, which it refuses to be.
const SERVER: &str = "postgres";

/// A running server. Everybody on loopback may do everything.
#[derive(Debug)]
pub struct Postgres {
    pub process: Process,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts one and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        let programs = programs()?;
        let (process, [port]) = Process::start(
            Program::SETPRIV,
            |folder, [port]: [u16; 1]| {
                let data = folder.join("data");
                let mut initdb = as_server(programs.join("initdb").into_os_string(), folder)?;
                initdb.extend(
                    ["--no-sync", "-U", SERVER, "-A", "trust", "-E", "UTF8", "-D"].map(OsString::from),
                );
                initdb.push(data.clone().into());
                let output = Command::new(Program::SETPRIV.locate()?).args(initdb).output()?;
                let said = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "initdb ended with {}:\n{said}", output.status);
                let mut server = as_server(programs.join("postgres").into_os_string(), folder)?;
                server.extend(["-D".into(), data.into(), "-p".into(), port.to_string().into()]);
                server.extend(["-k".into(), folder.into(), "-h".into(), "127.0.0.1".into()]);
                // What a test keeps need not outlive the machine.
                server.extend(
                    [
                        "-c",
                        "fsync=off",
                        "-c",
                        "full_page_writes=off",
                        "-c",
                        "synchronous_commit=off",
                        "-c",
                        "max_connections=200",
                    ]
                    .map(OsString::from),
                );
                Ok(server)
            },
            async |[port]| ask(&programs, port, "SELECT 1").await,
        )
        .await?;
        Ok(Self { process, port, databases: AtomicU32::new(0) })
    }

    /// The one that tests of this process share while any of them uses it.
    pub async fn shared() -> anyhow::Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start().await?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    /// Makes a database, and returns its URL.
    pub async fn database(&self) -> anyhow::Result<String> {
        let name = format!("plimsoll_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        ask(&programs()?, self.port, &format!("CREATE DATABASE {name}")).await?;
        Ok(format!("postgres://{SERVER}@127.0.0.1:{}/{name}", self.port))
    }
}

async fn ask(programs: &Path, port: u16, statement: &str) -> anyhow::Result<()> {
    let (psql, port) = (programs.join("psql"), port.to_string());
    let mut command = tokio::process::Command::new(psql);
    command.args(["-h", "127.0.0.1", "-U", SERVER, "-d", "postgres", "-q", "-p", &port, "-c", statement]);
    let output = command.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The folder with the programs of the newest version.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let folders = versions.map(|entry| entry.path()).filter(|path| path.join("bin/initdb").is_file());
    let newest = folders.max_by_key(number).map(|path| path.join("bin"));
    newest.context("PostgreSQL is not installed: apt-get install --no-install-recommends postgresql")
}

/// A program as an ordinary user, where the test is root, who then owns the folder. Arguments of `setpriv`.
fn as_server(program: OsString, folder: &Path) -> anyhow::Result<Vec<OsString>> {
    if !Uid::effective().is_root() {
        return Ok(vec!["--".into(), program]);
    }
    let user = User::from_name(SERVER)?.with_context(|| format!("there is no user `{SERVER}`"))?;
    chown(folder, Some(user.uid), Some(user.gid))?;
    let ids = [format!("--reuid={}", user.uid), format!("--regid={}", user.gid)];
    let mut arguments = ids.map(OsString::from).to_vec();
    arguments.extend(["--clear-groups".into(), "--".into(), program]);
    Ok(arguments)
}
