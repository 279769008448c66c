//! Runs, searches and reports as processes of their own: what goes wrong in one takes neither the service nor another
//! with it, and the memory of one that has ended is the system's again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plimsoll_notify::BreakingPoint;
use plimsoll_run::{ExitCode, TRY_AGAIN, Targets};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// How much of what a run said at its end is kept, in bytes.
const KEPT: usize = 4_096;

/// How much of what a search has found: some hundred bytes for each of its runs, of which there are dozens.
const FOUND: usize = 1 << 20;

/// Starts runs of the program we are.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    /// The program.
    pub(crate) program: PathBuf,
    /// Where it records.
    pub(crate) history: OsString,
}

/// What a process does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Work {
    /// Runs a plan.
    Run {
        /// Decides every random choice; drawn where it is not said.
        seed: Option<u64>,
    },
    /// Goes on with a run whose process died: the record knows everything else.
    Resume,
    /// Searches the limit of a plan.
    Search {
        /// The highest load that it may try.
        most: f64,
        /// Where its report goes.
        report: Option<PathBuf>,
        /// Where that is asked for over HTTP.
        page: Option<String>,
    },
    /// Writes a report, as these arguments say.
    Report(Vec<OsString>),
}

/// What is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The id of the run or the search.
    pub(crate) id: String,
    /// What it does.
    pub(crate) work: Work,
    /// The plan's text: what was read and found right, whatever its file says by now.
    pub(crate) text: String,
    /// Files that the plan names are looked up here.
    pub(crate) folder: PathBuf,
    /// Tags beside the plan's.
    pub(crate) tags: BTreeMap<String, String>,
    /// Where its connections may lead: what each of these allows.
    pub(crate) targets: Vec<Targets>,
}

/// A run that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    child: Child,
    text: String,
}

/// How a process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// The last it said on standard error.
    pub(crate) said: String,
    /// What a search wrote on standard output: its JSON.
    pub(crate) found: String,
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

    /// Whether its process could not go on with a run for now, and decided nothing.
    pub(crate) fn was_put_off(&self) -> bool {
        self.had_process && self.code == Some(TRY_AGAIN.into())
    }

    /// How a run ended whose process was killed, and this one did not go on with it.
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

    /// How a search ended, in words for people, with what it found.
    pub(crate) fn search_words(&self) -> String {
        let found: Value = serde_json::from_str(&self.found).unwrap_or_default();
        let interval = BreakingPoint::read(&found).map(|found| found.interval());
        let is_ours = found["breaking_point"]["side"] == "generator";
        match (self.code, interval) {
            (Some(0), Some(interval)) => interval,
            (Some(0), None) => "completed".to_owned(),
            (Some(3), _) => "kept not even its lowest load".to_owned(),
            (Some(4), Some(interval)) if is_ours => format!("{interval}; this machine was the limit"),
            (Some(4), None) if is_ours => "told nothing: this machine was the limit".to_owned(),
            (Some(4), Some(interval)) => format!("{interval}; not sure"),
            (Some(5), _) => "reached no server".to_owned(),
            // It found something, and could not go on or write its report.
            (Some(1 | 2), Some(interval)) => {
                let doubt = match &found["sure"] {
                    _ if is_ours => "; this machine was the limit",
                    Value::Bool(false) => "; not sure",
                    _ => "",
                };
                format!("{interval}{doubt}; {}", self.first_line())
            }
            _ => self.words(),
        }
    }

    /// Where a search found that its target breaks.
    pub(crate) fn breaking_point(&self) -> Option<BreakingPoint> {
        BreakingPoint::read(&serde_json::from_str(&self.found).ok()?)
    }

    /// How a report was made, in words for people; `is_there`: it is in its place.
    pub(crate) fn report_words(&self, is_there: bool) -> String {
        match (is_there, self.code) {
            (true, Some(4)) => "was written, and leaves something unanswered".to_owned(),
            (true, _) => "was written".to_owned(),
            (false, Some(code)) => format!("was not written (exit code {code}): {}", self.first_line()),
            (false, None) if self.said.is_empty() => "was not written: its process was killed".to_owned(),
            (false, None) => format!("was not written: {}", self.first_line()),
        }
    }

    pub(crate) fn first_line(&self) -> &str {
        let mut lines = self.said.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.clone().find(|line| line.starts_with("error"));
        first.or_else(|| lines.next()).unwrap_or("nothing was said")
    }
}

impl Launcher {
    /// Starts a process. It has a group of processes of its own: Ctrl-C at our terminal is ours to hand on.
    pub(crate) fn start(&self, launch: Launch) -> io::Result<Launched> {
        let mut command = Command::new(&self.program);
        // Not among the arguments: whoever lists processes would read a password of the database.
        command.env("PLIMSOLL_HISTORY", &self.history);
        let mut out = Stdio::null();
        match &launch.work {
            Work::Run { seed } => {
                command.args(["run", "-", "--quiet", "--id", &launch.id]);
                if let Some(seed) = seed {
                    command.arg("--seed").arg(seed.to_string());
                }
            }
            Work::Resume => {
                command.args(["runs", "resume", &launch.id, "--quiet"]);
            }
            Work::Search { most, report, page } => {
                command.args(["limit", "-", "--quiet", "--json", "-", "--id", &launch.id]);
                command.arg("--most").arg(most.to_string());
                // What only its process knows ends with the service: nobody could find a search again that is between
                // two of its runs.
                command.arg("--parent").arg(std::process::id().to_string());
                if let Some(report) = report {
                    command.arg("--report").arg(report);
                }
                if let Some(page) = page {
                    command.arg("--report-page").arg(page);
                }
                out = Stdio::piped();
            }
            Work::Report(arguments) => {
                command.args(arguments);
            }
        }
        for (key, value) in &launch.tags {
            command.arg("--tag").arg(format!("{key}={value}"));
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
            .stdout(out)
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
        let (said, found) =
            tokio::join!(last(self.child.stderr.take(), KEPT), last(self.child.stdout.take(), FOUND));
        let fate = Fate { said, found, had_process: true, ..Fate::default() };
        match self.child.wait().await {
            Ok(status) => Fate { code: status.code(), ..fate },
            Err(error) => Fate { said: format!("its end is not known: {error}"), ..fate },
        }
    }
}

/// The end of what a stream says, so many bytes at most.
async fn last(stream: Option<impl AsyncRead + Unpin>, most: usize) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 1_024]);
    let Some(mut stream) = stream else { return String::new() };
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        kept.drain(..kept.len().saturating_sub(most));
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
        fate_of(script, Work::Run { seed: Some(7) }).await
    }

    async fn fate_of(script: &str, work: Work) -> Fate {
        let folder = tempfile::tempdir().unwrap();
        let is_of_the_plan = matches!(work, Work::Run { .. } | Work::Search { .. });
        let tag = is_of_the_plan.then(|| ("schedule".to_owned(), "nightly".to_owned()));
        let launch = Launch {
            id: "abc".to_owned(),
            work,
            text: "name: x\n".to_owned(),
            folder: folder.path().to_owned(),
            tags: tag.into_iter().collect(),
            targets: vec![Targets::default(), "shop.example.org,10.0.0.0/8".parse().unwrap()],
        };
        launcher(script, folder.path()).start(launch).unwrap().ended().await
    }

    #[tokio::test]
    async fn a_run_is_told_everything_and_its_end_is_known() {
        let fate = fate("cat >&2; echo \"$@ $PLIMSOLL_HISTORY\" >&2; exit 3").await;
        assert_eq!(fate.code, Some(3));
        assert!(fate.was_run());
        let told = "name: x
run - --quiet --id abc --seed 7 --tag schedule=nightly \
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
        let fate = fate_of("cat >/dev/null; echo \"$@ $PLIMSOLL_HISTORY\" >&2; exit 0", Work::Resume).await;
        // Where it may be sent is in no record.
        let told =
            "runs resume abc --quiet --targets 127.0.0.0/8,::1/128 --targets shop.example.org,10.0.0.0/8 /";
        assert!(fate.said.starts_with(told) && fate.said.ends_with("/h.db\n"), "{}", fate.said);
        assert!(!fate.was_killed());
    }

    #[tokio::test]
    async fn a_search_is_told_its_bound_and_its_parent_and_what_it_found_is_read() {
        let page = Some("/api/v1/reports/weekly/now.html".to_owned());
        let work = Work::Search { most: 2000.5, report: Some("/r/weekly/now.html".into()), page };
        let json = "{\"unit\":\"per_second\",\"breaking_point\":{\"low\":779.06,\"high\":793.3}}";
        let fate = fate_of(&format!("cat >/dev/null; echo \"$@\" >&2; echo '{json}'"), work).await;
        let parent = std::process::id();
        let told = format!(
            "limit - --quiet --json - --id abc --most 2000.5 --parent {parent} --report /r/weekly/now.html \
             --report-page /api/v1/reports/weekly/now.html --tag schedule=nightly --targets 127.0.0.0/8,::1/128 --targets shop.example.org,10.0.0.0/8\n"
        );
        assert_eq!(fate.said, told);
        assert_eq!(fate.search_words(), "kept 779.1/s and missed 793.3/s");
    }

    #[test]
    fn what_a_search_found_is_told_as_far_as_it_is_known() {
        let users = r#"{"unit":"users","breaking_point":{"low":64,"high":66,"side":"target"}}"#;
        let most = r#"{"unit":"per_second","breaking_point":{"low":2000,"high":null}}"#;
        let ours = r#"{"unit":"per_second","breaking_point":{"low":500,"high":null,"side":"generator"}}"#;
        let unsure = r#"{"unit":"per_second","sure":false,"breaking_point":{"low":5,"high":null}}"#;
        let full = "error: cannot write /r/x.html: full";
        for (code, found, said, expected) in [
            (Some(0), users, "", "kept 64 users and missed 66 users"),
            (Some(0), most, "", "kept 2000.0/s, and tried no more"),
            (Some(0), "no JSON", "", "completed"),
            (Some(3), users, "", "kept not even its lowest load"),
            (Some(4), users, "", "kept 64 users and missed 66 users; not sure"),
            (Some(4), ours, "", "kept 500.0/s, and tried no more; this machine was the limit"),
            (Some(4), "{}", "", "left something undecided"),
            (Some(5), "{}", "", "reached no server"),
            (Some(130), users, "", "was stopped"),
            (Some(2), "", "error: --most 5 is below 10", "was refused: error: --most 5 is below 10"),
            (Some(1), users, full, "kept 64 users and missed 66 users; error: cannot write /r/x.html: full"),
            (
                Some(1),
                unsure,
                full,
                "kept 5.0/s, and tried no more; not sure; error: cannot write /r/x.html: full",
            ),
            (
                Some(2),
                ours,
                "error: no route",
                "kept 500.0/s, and tried no more; this machine was the limit; error: no route",
            ),
            (None, "", "", "was killed"),
        ] {
            let fate = Fate {
                code,
                said: said.to_owned(),
                found: found.to_owned(),
                had_process: true,
                not_resumed: None,
            };
            assert_eq!(fate.search_words(), expected, "{code:?} {found}");
        }
    }

    #[test]
    fn a_report_is_written_where_it_is_in_its_place_and_nowhere_else() {
        for (code, is_there, said, expected) in [
            (Some(0), true, "", "was written"),
            (Some(4), true, "error: no", "was written, and leaves something unanswered"),
            (Some(4), false, "error: no plateau", "was not written (exit code 4): error: no plateau"),
            (Some(0), false, "", "was not written (exit code 0): nothing was said"),
            (None, false, "", "was not written: its process was killed"),
            (None, false, "it could not be started", "was not written: it could not be started"),
        ] {
            let fate = Fate { code, said: said.to_owned(), ..Fate::default() };
            assert_eq!(fate.report_words(is_there), expected, "{code:?} {said}");
        }
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
        let refused =
            fate_of("echo 'error: run abc is not resumed: too often' >&2; exit 2", Work::Resume).await;
        assert!(refused.was_refused() && refused.could_speak());
        let fate = refused.not_resumed();
        assert!(fate.was_killed() && !fate.was_refused() && !fate.could_speak());
        let words = "was killed and does not go on: error: run abc is not resumed: too often";
        assert_eq!((fate.words().as_str(), fate.exit_code()), (words, ExitCode::Internal));
    }
}
