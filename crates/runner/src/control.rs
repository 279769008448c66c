use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plimsoll_run::{Command, Refusal, Steered};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// How many commands may wait for the run to look. It does so at once, so that more are more than anybody means.
const MOST_WAITING: usize = 1000;

/// Steers and ends a run from outside. Clones are about the same run.
#[derive(Debug, Clone, Default)]
pub struct Control {
    pub(crate) stop: CancellationToken,
    pub(crate) enough: CancellationToken,
    pub(crate) orders: Arc<Orders>,
}

impl Control {
    /// Offers no more load. Requests in flight have their grace, then record and report are made. A
    /// setup that still runs ends at once, without any load after it; teardown runs in any case.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// All is known that the run was for: it ends as if its stages were over, and counts as completed.
    pub fn enough(&self) {
        self.enough.cancel();
    }

    /// Makes the load other than planned, and returns what is recorded of it: from when on, a little ahead of now.
    /// While setup runs it waits for the load to begin.
    ///
    /// # Errors
    /// When the run cannot do that, or has ended.
    pub async fn steer(&self, command: Command) -> Result<Steered, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.orders.push(command, answer)?;
        // Whoever drops it unanswered has ended.
        answered.await.unwrap_or(Err(Refusal::Ended))
    }

    /// Waits for something once the load is over, and tells whoever asks for another load meanwhile that it is.
    pub(crate) async fn refusing<T>(&self, waited: impl Future<Output = T>) -> T {
        tokio::select! {
            found = waited => found,
            never = self.refuse() => match never {},
        }
    }

    async fn refuse(&self) -> Infallible {
        loop {
            self.orders.came.notified().await;
            for (_, answer) in self.orders.take() {
                // Whoever does not wait for the answer has asked all the same.
                let _ = answer.send(Err(Refusal::Over));
            }
        }
    }

    /// For one of several runs: stopped with this one, and with enough for itself. Its load is decided by whoever
    /// runs several, and by nobody else.
    pub(crate) fn for_one_run(&self) -> Self {
        let orders = Orders::default();
        orders.close(Refusal::NotIts);
        Self { stop: self.stop.child_token(), enough: CancellationToken::new(), orders: Arc::new(orders) }
    }

    /// Whether it was told to stop.
    pub fn was_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends what is to be stopped with it.
    pub(crate) fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits until it was told to stop.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Refuses whatever is asked once this is dropped: the run has ended, however it did.
    pub(crate) fn until_dropped(&self) -> Closing {
        Closing(Arc::clone(&self.orders))
    }
}

/// A command, and who waits for what becomes of it.
pub(crate) type Order = (Command, oneshot::Sender<Result<Steered, Refusal>>);

/// Commands between those who ask and the run.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    waiting: Mutex<Waiting>,
    /// Told with each command.
    pub(crate) came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    orders: VecDeque<Order>,
    /// Why none is taken any more.
    closed: Option<Refusal>,
}

impl Orders {
    fn push(
        &self,
        command: Command,
        answer: oneshot::Sender<Result<Steered, Refusal>>,
    ) -> Result<(), Refusal> {
        let mut waiting = self.waiting();
        if let Some(refusal) = &waiting.closed {
            return Err(refusal.clone());
        }
        if waiting.orders.len() >= MOST_WAITING {
            return Err(Refusal::Busy);
        }
        waiting.orders.push_back((command, answer));
        self.came.notify_one();
        Ok(())
    }

    /// What was asked since the last call.
    pub(crate) fn take(&self) -> VecDeque<Order> {
        std::mem::take(&mut self.waiting().orders)
    }

    fn close(&self, refusal: Refusal) {
        let mut waiting = self.waiting();
        waiting.closed.get_or_insert(refusal);
        waiting.orders.clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes orders when it is dropped.
pub(crate) struct Closing(Arc<Orders>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close(Refusal::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command { change: plimsoll_run::Change::Pause, scenario: None, by: String::new() }
    }

    #[tokio::test]
    async fn a_run_of_a_search_is_not_steered_by_others() {
        let control = Control::default();
        assert_eq!(control.for_one_run().steer(command()).await, Err(Refusal::NotIts));
        drop(control.until_dropped());
        assert_eq!(control.steer(command()).await, Err(Refusal::Ended));
    }

    #[tokio::test]
    async fn who_asks_while_a_run_cleans_up_is_told_that_its_load_is_over() {
        let control = Control::default();
        assert_eq!(control.refusing(control.steer(command())).await, Err(Refusal::Over));
    }

    #[tokio::test]
    async fn thousands_who_ask_at_once_are_bounded_and_all_are_answered() {
        let control = Control::default();
        let closing = control.until_dropped();
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..3000 {
            let control = control.clone();
            asking.spawn(async move { control.steer(command()).await });
        }
        while control.orders.waiting().orders.len() < MOST_WAITING {
            tokio::task::yield_now().await;
        }
        // The run ends without having looked.
        tokio::task::yield_now().await;
        drop(closing);
        let answers = asking.join_all().await;
        let counted = |refusal: &Refusal| {
            answers.iter().filter(|answer| answer.as_ref().err() == Some(refusal)).count()
        };
        assert_eq!(counted(&Refusal::Ended) + counted(&Refusal::Busy), 3000);
        assert!(counted(&Refusal::Ended) >= MOST_WAITING);
    }
}
