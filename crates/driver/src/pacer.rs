//! The rate at which connections are started.

use std::time::Duration;

use plimsoll_run::HttpSettings;
use tokio::sync::Mutex;

use crate::Clock;

/// How far starts may lag behind the rate and catch up at once: more than a timer is late, and too
/// little for a burst that a target would notice.
const CATCH_UP: u64 = 10_000_000;

/// Lets connections start at a rate, first come, first served, whichever worker asks.
///
/// Starts are due at fixed distances for as long as somebody waits, so a timer that is late makes no
/// start later but its own. Whoever gives up leaves the queue, and takes nobody's turn along.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// Nanoseconds between two starts; `None`: no limit.
    interval: Option<u64>,
    /// When the next may start. tokio's lock is given in the order in which it was asked for.
    next: Mutex<u64>,
}

impl Pacer {
    pub(crate) fn new(http: &HttpSettings) -> Self {
        let interval = http.connect_rate.map(|rate| (1e9 / rate.per_second()).min(1e18) as u64);
        Self { interval, next: Mutex::new(0) }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.interval.is_some()
    }

    /// Waits until it is the caller's turn to start a connection. It may be dropped at any moment.
    pub(crate) async fn turn(&self, clock: Clock) {
        let Some(interval) = self.interval else { return };
        let asked = clock.now();
        let mut next = self.next.lock().await;
        let now = clock.now();
        let due = (*next).max(asked).max(now.saturating_sub(CATCH_UP));
        if due > now {
            tokio::time::sleep(Duration::from_nanos(due - now)).await;
        }
        *next = due + interval;
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use plimsoll_units::Rate;
    use tokio::task::LocalSet;
    use tokio::time::Instant;

    use super::*;

    const MILLI: u64 = 1_000_000;

    fn pacer(rate: f64) -> Rc<Pacer> {
        let interval = Rate::new(rate).map(|rate| (1e9 / rate.per_second()) as u64);
        Rc::new(Pacer { interval, next: Mutex::new(0) })
    }

    /// When each of these callers, who ask and give up at these milliseconds, had its turn.
    async fn turns(pacer: &Rc<Pacer>, callers: &[(u64, u64)]) -> Vec<Option<u64>> {
        let clock = Clock::Simulated(Instant::now());
        let tasks = callers.iter().map(|(asks, gives_up)| {
            let (pacer, asks, gives_up) = (Rc::clone(pacer), *asks, *gives_up);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(Duration::from_millis(asks)).await;
                let patience = Duration::from_millis(gives_up - asks);
                tokio::time::timeout(patience, pacer.turn(clock)).await.ok().map(|()| clock.now() / MILLI)
            })
        });
        let mut had = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            had.push(task.await.unwrap_or_default());
        }
        had
    }

    async fn check(rate: f64, callers: &[(u64, u64)], expected: &[Option<u64>]) {
        let had = LocalSet::new().run_until(turns(&pacer(rate), callers)).await;
        assert_eq!(had, expected, "{rate}/s: {callers:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn starts_are_due_at_the_rate() {
        const LATE: u64 = 1_000_000;
        check(100.0, &[(0, LATE); 4], &[Some(0), Some(10), Some(20), Some(30)]).await;
        // An idle while saves nothing up.
        check(
            100.0,
            &[(0, LATE), (500, LATE), (500, LATE), (505, LATE)],
            &[Some(0), Some(500), Some(510), Some(520)],
        )
        .await;
        check(0.5, &[(0, LATE), (1, LATE)], &[Some(0), Some(2000)]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_takes_no_turn_along() {
        const LATE: u64 = 1_000_000;
        // The second waits for its time, the third for the second; both leave.
        check(
            100.0,
            &[(0, LATE), (0, 5), (0, 8), (0, LATE), (0, LATE)],
            &[Some(0), None, None, Some(10), Some(20)],
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nobody_waits() {
        let pacer = Pacer::default();
        assert!(!pacer.is_limited());
        let clock = Clock::Simulated(Instant::now());
        for _ in 0..1000 {
            pacer.turn(clock).await;
        }
        assert_eq!(clock.now(), 0);
    }
}
