//! Carries out what others ask of a run through the history.

use std::time::Duration;

use plimsoll_history::{Error, History};
use plimsoll_run::{Refusal, Shape};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Control;

/// How often the history is looked at: a person who asks waits a second.
const EVERY: Duration = Duration::from_secs(1);

/// Looks into the history for as long as a run lasts, beside everything else that the run does.
#[derive(Debug)]
pub(crate) struct Commands {
    over: CancellationToken,
    task: JoinHandle<()>,
}

impl Commands {
    /// Begins to look for what is asked of a run.
    pub(crate) fn follow(history: &History, run: &str, shape: &Shape, control: &Control) -> Self {
        let over = CancellationToken::new();
        let follower = Follower {
            history: history.clone(),
            run: run.to_owned(),
            shape: shape.clone(),
            control: control.clone(),
            over: over.clone(),
        };
        Self { over, task: tokio::spawn(follower.follow()) }
    }

    /// Refuses what still waits. A file that cannot be written holds nobody up for longer than `patience`.
    pub(crate) async fn finish(self, patience: Duration) {
        self.over.cancel();
        let abort = self.task.abort_handle();
        if tokio::time::timeout(patience, self.task).await.is_err() {
            abort.abort();
        }
    }
}

struct Follower {
    history: History,
    run: String,
    shape: Shape,
    control: Control,
    over: CancellationToken,
}

impl Follower {
    async fn follow(self) {
        loop {
            let is_over = tokio::select! {
                () = self.over.cancelled() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            // The record itself tells what is wrong with the file; here one only looks again.
            if let Err(error) = self.look(is_over).await {
                tracing::debug!(%error, "what is asked of the run could not be read");
            }
            if is_over {
                return;
            }
        }
    }

    async fn look(&self, is_over: bool) -> Result<(), Error> {
        for kept in self.history.waiting_commands(&self.run).await? {
            if !self.history.take_command(kept.id).await? {
                continue;
            }
            let became = match is_over {
                true => Err(Refusal::Ended),
                false => self.control.steer(kept.command).await,
            };
            match became {
                Ok(steered) => {
                    let words = steered.words(&self.shape);
                    self.history.settle_command(kept.id, Ok((steered.effective, &words))).await?;
                }
                Err(refusal) => self.history.settle_command(kept.id, Err(&refusal.to_string())).await?,
            }
        }
        Ok(())
    }
}
