//! `plimsoll`: arguments to intent, intent to exit code.
//!
//! What a command means is done by the crates below; here stand the words people type, the terminal,
//! signals, files, and the exit codes that scripts rely on. Human text goes to standard error
//! whenever JSON goes to standard output.

mod access;
mod arguments;
mod calibrate;
mod capacity;
mod compare;
mod control;
mod demo;
mod files;
mod hit;
mod limit;
mod notify;
mod once;
mod plan;
mod profile;
mod progress;
mod records;
mod resume;
mod retain;
mod run;
mod say;
mod schedules;
mod serve;
mod signals;
mod sla;
mod spool;
mod tables;
mod teardown;
mod telemetry;
mod token;
mod trend;
mod validate;
mod view;

use std::process::ExitCode as ProcessCode;

use arguments::{Arguments, Command};
use clap::Parser;
use plimsoll_run::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why a command ends without having done its work, and the code it ends with.
#[derive(Debug)]
pub(crate) struct Stop {
    code: ExitCode,
    /// Told on standard error unless it has been told already.
    error: Option<anyhow::Error>,
    /// Whether nothing is decided by it: the same may go well later.
    is_for_now: bool,
}

impl Stop {
    /// The words are out already.
    pub(crate) fn told(code: ExitCode) -> Self {
        Self { code, error: None, is_for_now: false }
    }

    fn because(code: ExitCode, error: anyhow::Error) -> Self {
        Self { code, error: Some(error), is_for_now: false }
    }

    /// Where it is the record that cannot be used for now, or another process uses what the run needs, nothing is decided.
    pub(crate) fn or_for_now(self) -> Self {
        let mut causes = self.error.iter().flat_map(|error| error.chain());
        let may_pass = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref().is_some_and(plimsoll_history::Error::may_pass)
                || cause.downcast_ref().is_some_and(plimsoll_runner::RunError::may_pass)
        };
        Self { is_for_now: causes.any(may_pass), ..self }
    }

    /// What the process ends with.
    fn code(&self) -> u8 {
        if self.is_for_now { plimsoll_run::TRY_AGAIN } else { self.code as u8 }
    }

    /// Bad usage, config or data.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::because(ExitCode::Usage, error.into())
    }

    /// What was asked cannot be answered from what there is.
    pub(crate) fn refused(error: impl Into<anyhow::Error>) -> Self {
        Self::because(ExitCode::Undecided, error.into())
    }

    /// Somebody who was asked does not answer.
    pub(crate) fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self::because(ExitCode::Unreachable, error.into())
    }

    /// Our own fault, or this machine's.
    pub(crate) fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self::because(ExitCode::Internal, error.into())
    }
}

type Outcome = Result<ExitCode, Stop>;

fn main() -> ProcessCode {
    let arguments = Arguments::parse();
    plimsoll_runner::keep_real_time_for_workers();
    // The one TLS provider, named once for whatever library asks.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // A load generator is made of sockets; without the right to more we go on with what there is.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    // The allocator asks for huge pages, of which the kernel keeps whole what is touched in part: a third
    // of the memory of ten thousand users. Where the call is refused they only need more.
    let _ = nix::sys::prctl::set_thp_disable(true);
    let outcome = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(async {
                let telemetry = telemetry::Telemetry::start();
                let outcome = command(arguments.command).await;
                if let Some(telemetry) = telemetry {
                    telemetry.end().await;
                }
                outcome
            });
            // A blocking read of a name server must not hold the end back.
            runtime.shutdown_timeout(std::time::Duration::from_millis(200));
            outcome
        }
        Err(error) => Err(Stop::internal(error)),
    };
    let code = match outcome {
        Ok(code) => code as u8,
        Err(stop) => {
            if let Some(error) = &stop.error {
                crate::say::errln!("error: {error:#}");
            }
            stop.code()
        }
    };
    ProcessCode::from(code)
}

async fn command(command: Command) -> Outcome {
    match command {
        Command::Demo(arguments) => Box::pin(demo::demo(arguments)).await,
        Command::Hit(arguments) => Box::pin(hit::hit(*arguments)).await,
        Command::Run(arguments) => Box::pin(run::run(arguments)).await,
        Command::Serve(arguments) => serve::serve(arguments).await,
        Command::Control(arguments) => Box::pin(control::control(arguments)).await,
        Command::Calibrate(arguments) => calibrate::calibrate(arguments).await,
        Command::Capacity(arguments) => Box::pin(capacity::capacity(&arguments)).await,
        Command::Compare(arguments) => Box::pin(compare::compare(&arguments)).await,
        Command::Trend(arguments) => trend::trend(&arguments),
        Command::Limit(arguments) => Box::pin(limit::limit(arguments)).await,
        Command::Validate(arguments) => validate::validate(&arguments),
        Command::Schema => validate::schema(),
        Command::Sla(command) => Box::pin(sla::sla(&command)).await,
        Command::Runs(command) => Box::pin(records::runs(command)).await,
        Command::Spool(command) => Box::pin(spool::spool(command)).await,
        Command::Notify(command) => notify::notify(&command).await,
        Command::Report(arguments) => records::report(arguments).await,
        Command::Token(command) => token::token(command).await,
        Command::Profile(command) => profile::profile(&command),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use plimsoll_history::Error;
    use plimsoll_runner::RunError;

    use super::*;

    #[test]
    fn only_what_may_pass_is_for_now() {
        let path = || std::path::PathBuf::from("history.db");
        let locked = || Error::Locked { path: path() };
        let rows = |what, kind: ErrorKind| RunError::Rows { path: path(), what, source: kind.into() };
        let damaged = Error::Damaged { path: path(), what: "torn".to_owned() };
        for (stop, expected) in [
            (Stop::usage(locked()), 75),
            // However deep it lies.
            (Stop::usage(RunError::History(locked())), 75),
            (Stop::usage(RunError::History(Error::Live { id: "r".to_owned() })), 2),
            (Stop::usage(RunError::Unrecorded(locked())), 75),
            (Stop::usage(rows("read", ErrorKind::ResourceBusy)), 75),
            (Stop::usage(rows("read", ErrorKind::NotFound)), 2),
            (Stop::usage(rows("kept", ErrorKind::ResourceBusy)), 2),
            (Stop::usage(damaged), 2),
            (Stop::usage(anyhow::anyhow!("run r is not resumed: its plan is another now")), 2),
            (Stop::told(ExitCode::Internal), 1),
        ] {
            assert_eq!(stop.or_for_now().code(), expected);
        }
        assert_eq!(Stop::usage(locked()).code(), 2, "only who asks tells the difference");
    }
}
