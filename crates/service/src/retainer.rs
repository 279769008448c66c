//! Makes old seconds minutes and old minutes hours, beside everything else.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use plimsoll_history::{History, Retention};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::shapes;
use crate::slas::Slas;

/// How often. What has become old within it is some minutes of each run that goes on.
const PERIOD: Duration = Duration::from_secs(600);

/// Until the first time: whoever has just started a service looks at its pages first.
const AFTER: Duration = Duration::from_secs(30);

/// Retains until `ended`, once SLAs know what was recorded: what becomes minutes before that does not count for them.
/// To give up in the middle loses nothing.
pub(crate) async fn retain(
    slas: Arc<Slas>,
    history: History,
    retention: Retention,
    ended: CancellationToken,
) {
    tokio::select! {
        () = begin(&slas) => {}
        () = ended.cancelled() => return,
    }
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let retaining = async {
            ticks.tick().await;
            history.retain(&retention, now()).await
        };
        let retained = tokio::select! {
            retained = retaining => retained,
            () = ended.cancelled() => return,
        };
        match retained {
            Ok(done) => {
                if done.doubts_clock {
                    tracing::warn!(
                        "the clock is days ahead of what was recorded before: nothing is old by it for a day"
                    );
                }
                if !done.deleted.is_empty() || done.annotations > 0 || done.halved > 0 {
                    let runs = done.deleted.join(" ");
                    tracing::info!(
                        deleted = runs,
                        annotations = done.annotations,
                        halved = done.halved,
                        bytes = done.bytes,
                        "the history was kept within its bounds"
                    );
                }
                tracing::debug!(?done, "the history was looked after");
            }
            Err(error) => {
                let trouble = shapes::chain(&error);
                tracing::warn!(trouble, "old seconds stay as they are for now");
            }
        }
    }
}

async fn begin(slas: &Slas) {
    tokio::join!(slas.until_caught_up(), tokio::time::sleep(AFTER));
}

/// The wall time, nanoseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::fixture::judge_anew;

    #[tokio::test]
    async fn nothing_becomes_minutes_before_slas_know_it() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path().join("history.db")).await.unwrap();
        let slas = judge_anew(&history).await;
        tokio::time::pause();
        assert!(timeout(PERIOD * 100, begin(&slas)).await.is_err(), "it began before that");
        slas.caught_up();
        assert!(timeout(PERIOD, begin(&slas)).await.is_ok());
    }
}
