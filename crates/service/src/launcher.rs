//! Runs as processes of their own: what goes wrong in one takes neither the service nor another run with it, and the
//! memory of one that has ended is the system's again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plimsoll_run::{ExitCode, Targets};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// How much of what a run said at its end is kept, in bytes.
const KEPT: usize = 4_096;

/// Starts runs of the program we are.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    /// The program.
    pub(crate) program: PathBuf,
    /// Where it records.
    pub(crate) history: OsString,
}

/// What is to be run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Launch {
    /// The run's id.
    pub(crate) id: String,
    /// The plan's text: what was read and found right, whatever its file says by now.
    pub(crate) text: String,
    /// Files that the plan names are looked up here.
    pub(crate) folder: PathBuf,
    /// Tags beside the plan's.
    pub(crate) tags: BTreeMap<String, String>,
    /// Decides every random choice; drawn where it is not said.
    pub(crate) seed: Option<u64>,
    /// Where its connections may lead: what each of these allows.
    pub(crate) targets: Vec<Targets>,
    /// Whether it was run before and its process died: the record knows everything else.
    pub(crate) resumes: bool,
}

/// A run that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    child: Child,
    text: String,
}

/// How a run's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// The last it said on standard error.
    pub(crate) said: String,
    /// Whether there was a process at all.
    pub(crate) had_process: bool,
    /// Why it does not go on, where it was killed and would have.
    pub(crate) not_resumed: Option<String>,
}

impl Fate {
    /// Whether the plan was really run: it may have missed its objectives, or been stopped.
    pub(crate) fn was_run(&self) -> bool {
        matches!(self.code, Some(0 | 3 | 4 | 130))
    }

    /// Whether its process died of what is not its own doing: somebody killed it, or memory ran out.
    pub(crate) fn was_killed(&self) -> bool {
        self.had_process && self.code.is_none()
    }

    /// Whether its process found that there is nothing for it to do.
    pub(crate) fn was_refused(&self) -> bool {
        self.had_process && self.code == Some(ExitCode::Usage as i32)
    }

    /// How a run ended whose process was killed, and this one refused to go on with it.
    pub(crate) fn not_resumed(self) -> Self {
        Self { code: None, not_resumed: Some(self.first_line().to_owned()), ..self }
    }

    /// Whether its process ended as it meant to, and could tell whom its plan names: it was neither killed nor did it
    /// panic.
    pub(crate) fn could_speak(&self) -> bool {
        self.had_process && matches!(self.code, Some(0..=5 | 130))
    }

    /// The code, as ours mean it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let ours = [
            ExitCode::Success,
            ExitCode::Usage,
            ExitCode::Missed,
            ExitCode::Undecided,
            ExitCode::Unreachable,
            ExitCode::Interrupted,
        ];
        let found = ours.into_iter().find(|code| self.code == Some(*code as i32));
        found.unwrap_or(ExitCode::Internal)
    }

    /// How it ended, in words for people.
    pub(crate) fn words(&self) -> String {
        if let Some(why) = &self.not_resumed {
            return format!("was killed and does not go on: {why}");
        }
        let words = match self.code {
            Some(0) => "completed",
            Some(1) => "failed by a mistake of ours",
            Some(2) => "was refused",
            Some(3) => "missed an objective",
            Some(4) => "left something undecided",
            Some(5) => "reached no server",
            Some(130) => "was stopped",
            Some(code) => return format!("ended with exit code {code}: {}", self.first_line()),
            // What was never a process has said nothing of its own.
            None if self.said.is_empty() => "was killed",
            None => "was killed or could not be started",
        };
        match self.code {
            Some(1 | 2 | 5) => format!("{words}: {}", self.first_line()),
            _ => words.to_owned(),
        }
    }

    fn first_line(&self) -> &str {
        let mut lines = self.said.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.clone().find(|line| line.starts_with("error"));
        first.or_else(|| lines.next()).unwrap_or("nothing was said")
    }
}

impl Launcher {
    /// Starts a run. It has a group of processes of its own: Ctrl-C at our terminal is ours to hand on.
    pub(crate) fn start(&self, launch: Launch) -> io::Result<Launched> {
        let mut command = Command::new(&self.program);
        // Not among the arguments: whoever lists processes would read a password of the database.
        command.env("PLIMSOLL_HISTORY", &self.history);
        if launch.resumes {
            command.args(["runs", "resume", &launch.id, "--quiet"]);
        } else {
            command.args(["run", "-", "--quiet", "--id", &launch.id]);
            for (key, value) in &launch.tags {
                command.arg("--tag").arg(format!("{key}={value}"));
            }
            if let Some(seed) = launch.seed {
                command.arg("--seed").arg(seed.to_string());
            }
        }
        for list in &launch.targets {
            command.arg("--targets").arg(list.entries().join(","));
        }
        command
            .current_dir(&launch.folder)
            // Ours, to tell whoever supervises the service.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        Ok(Launched { child: command.spawn()?, text: launch.text })
    }
}

impl Launched {
    /// Its process id, while it lives.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Fate {
        if let Some(mut input) = self.child.stdin.take() {
            let text = std::mem::take(&mut self.text);
            // A process that does not read its plan says why at its end.
            tokio::spawn(async move { input.write_all(text.as_bytes()).await });
        }
        let said = match self.child.stderr.take() {
            Some(errors) => last(errors).await,
            None => String::new(),
        };
        match self.child.wait().await {
            Ok(status) => Fate { code: status.code(), said, had_process: true, not_resumed: None },
            Err(error) => Fate {
                code: None,
                said: format!("its end is not known: {error}"),
                had_process: true,
                not_resumed: None,
            },
        }
    }
}

/// The end of what a stream says.
async fn last(mut stream: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 1_024]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        kept.drain(..kept.len().saturating_sub(KEPT));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Asks a run's process to stop: its teardown is made and its record is whole.
pub(crate) fn stop(process: u32) {
    signal(process, Signal::SIGINT);
}

/// Ends a run's process that does not stop.
pub(crate) fn end(process: u32) {
    signal(process, Signal::SIGKILL);
}

fn signal(process: u32, signal: Signal) {
    let Ok(process) = i32::try_from(process) else { return };
    // One that has ended needs no signal.
    let _ = kill(Pid::from_raw(process), signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launcher(script: &str, folder: &std::path::Path) -> Launcher {
        use std::os::unix::fs::PermissionsExt;
        let program = folder.join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        Launcher { program, history: folder.join("h.db").into() }
    }

    async fn fate(script: &str) -> Fate {
        fate_of(script, false).await
    }

    async fn fate_of(script: &str, resumes: bool) -> Fate {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch {
            id: "abc".to_owned(),
            text: "name: x\n".to_owned(),
            folder: folder.path().to_owned(),
            tags: BTreeMap::from([("schedule".to_owned(), "nightly".to_owned())]),
            seed: Some(7),
            targets: vec![Targets::default(), "shop.example.org,10.0.0.0/8".parse().unwrap()],
            resumes,
        };
        launcher(script, folder.path()).start(launch).unwrap().ended().await
    }

    #[tokio::test]
    async fn a_run_is_told_everything_and_its_end_is_known() {
        let fate = fate("cat >&2; echo \"$@ $PLIMSOLL_HISTORY\" >&2; exit 3").await;
        assert_eq!(fate.code, Some(3));
        assert!(fate.was_run());
        let told = "name: x
run - --quiet --id abc --tag schedule=nightly --seed 7 \
                    --targets 127.0.0.0/8,::1/128 --targets shop.example.org,10.0.0.0/8 /";
        assert!(
            fate.said.starts_with(told)
                && fate.said.ends_with(
                    "/h.db
"
                ),
            "{}",
            fate.said
        );
        assert_eq!(fate.words(), "missed an objective");
    }

    #[tokio::test]
    async fn a_run_that_goes_on_has_everything_in_its_record() {
        let fate = fate_of("cat >/dev/null; echo \"$@ $PLIMSOLL_HISTORY\" >&2; exit 0", true).await;
        // Where it may be sent is in no record.
        let told =
            "runs resume abc --quiet --targets 127.0.0.0/8,::1/128 --targets shop.example.org,10.0.0.0/8 /";
        assert!(fate.said.starts_with(told) && fate.said.ends_with("/h.db\n"), "{}", fate.said);
        assert!(!fate.was_killed());
    }

    #[tokio::test]
    async fn what_a_run_says_is_kept_to_a_bound() {
        let fate =
            fate("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo; echo 'error: the end' >&2; exit 2").await;
        assert!(fate.said.len() <= KEPT, "{}", fate.said.len());
        assert!(!fate.was_run());
        assert!(fate.words().starts_with("was refused: "), "{}", fate.words());
    }

    #[tokio::test]
    async fn a_killed_run_is_told_as_killed() {
        let fate = fate("kill -9 $$").await;
        assert_eq!((fate.code, fate.words().as_str()), (None, "was killed"));
        assert!(fate.was_killed());
        assert!(!fate.was_run());
    }

    #[tokio::test]
    async fn a_killed_run_that_is_not_gone_on_with_could_not_speak() {
        let refused = fate_of("echo 'error: run abc is not resumed: too often' >&2; exit 2", true).await;
        assert!(refused.was_refused() && refused.could_speak());
        let fate = refused.not_resumed();
        assert!(fate.was_killed() && !fate.was_refused() && !fate.could_speak());
        let words = "was killed and does not go on: error: run abc is not resumed: too often";
        assert_eq!((fate.words().as_str(), fate.exit_code()), (words, ExitCode::Internal));
    }
}
