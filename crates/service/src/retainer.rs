//! Makes old seconds minutes and old minutes hours, beside everything else.

use std::time::{Duration, SystemTime};

use plimsoll_history::{History, Retention};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::shapes;

/// How often. What has become old within it is some minutes of each run that goes on.
const PERIOD: Duration = Duration::from_secs(600);

/// Until the first time: whoever has just started a service looks at its pages first.
const AFTER: Duration = Duration::from_secs(30);

/// Retains until `ended`. To give up in the middle loses nothing.
pub(crate) async fn retain(history: History, retention: Retention, ended: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::select! {
        () = tokio::time::sleep(AFTER) => {}
        () = ended.cancelled() => return,
    }
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

/// The wall time, nanoseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
