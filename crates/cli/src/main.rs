//! `plimsoll`: arguments to intent, intent to exit code.
//!
//! What a command means is done by the crates below; here stand the words people type, the terminal,
//! signals, files, and the exit codes that scripts rely on. Human text goes to standard error
//! whenever JSON goes to standard output.

mod access;
mod arguments;
mod calibrate;
mod capacity;
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
}

impl Stop {
    /// The words are out already.
    pub(crate) fn told(code: ExitCode) -> Self {
        Self { code, error: None }
    }

    /// Bad usage, config or data.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: ExitCode::Usage, error: Some(error.into()) }
    }

    /// What was asked cannot be answered from what there is.
    pub(crate) fn refused(error: impl Into<anyhow::Error>) -> Self {
        Self { code: ExitCode::Undecided, error: Some(error.into()) }
    }

    /// Somebody who was asked does not answer.
    pub(crate) fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self { code: ExitCode::Unreachable, error: Some(error.into()) }
    }

    /// Our own fault, or this machine's.
    pub(crate) fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self { code: ExitCode::Internal, error: Some(error.into()) }
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
    let code = outcome.unwrap_or_else(|stop| {
        if let Some(error) = stop.error {
            crate::say::errln!("error: {error:#}");
        }
        stop.code
    });
    ProcessCode::from(code as u8)
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
