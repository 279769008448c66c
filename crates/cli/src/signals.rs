//! Ctrl-C and its relatives: the first asks, the second insists.

use plimsoll_run::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Calls `ask` at the first SIGINT, SIGTERM or SIGHUP and ends the process at the second.
///
/// # Errors
/// When signals cannot be listened to.
pub(crate) fn on_interrupt(ask: impl Fn() + Send + 'static) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if asked {
                std::process::exit(i32::from(ExitCode::Interrupted as u8));
            }
            asked = true;
            ask();
        }
    }))
}
