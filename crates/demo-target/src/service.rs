//! The [`Floor`] in real time: requests wait here until they are done there.
//!
//! All workers' threads share one floor. The first of them sleeps until something is due on it and
//! tells whoever is done; arrivals move the floor on too. Being late delays answers by as much and
//! changes nothing on the floor, whose time is arithmetic.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use crate::floor::{Floor, Reading, Ticket, Work};
use crate::gate::Full;
use crate::locked;
use crate::model::Model;
use crate::pacer::Pacer;

type Done = oneshot::Sender<()>;

impl Ticket for Done {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}

#[derive(Debug)]
pub(crate) struct Service {
    origin: Instant,
    timed: Mutex<Timed>,
    /// Something is due earlier than [`Timed::woken_at`].
    changed: Notify,
}

#[derive(Debug)]
struct Timed {
    floor: Floor<Done>,
    /// Until when [`Service::run`] sleeps, seconds from the origin.
    woken_at: f64,
}

/// What is read for a scrape.
#[derive(Debug, Clone)]
pub(crate) struct Readings {
    pub(crate) resources: Vec<Reading>,
    pub(crate) waiting: usize,
    pub(crate) replicas: Option<u32>,
}

impl Service {
    pub(crate) fn new() -> Self {
        let timed = Timed { floor: Floor::new(&Model::PLAIN), woken_at: f64::INFINITY };
        Self { origin: Instant::now(), timed: Mutex::new(timed), changed: Notify::new() }
    }

    /// From now on the floor is as this model says.
    pub(crate) fn configure(&self, model: &Model) {
        let mut timed = self.up_to_now();
        timed.floor.configure(model);
        self.wake_in_time(&mut timed);
    }

    /// Waits until a request of so much work is done, of which the pool does its share.
    pub(crate) async fn work(&self, work: Duration, pool_share: f64) -> Result<(), Full> {
        let seconds = work.as_secs_f64();
        let work = Work { worker: seconds * (1.0 - pool_share), pool: seconds * pool_share };
        let (ticket, done) = oneshot::channel();
        {
            let mut timed = self.up_to_now();
            timed.floor.arrive(work, ticket).map_err(|_| Full)?;
            self.wake_in_time(&mut timed);
        }
        // The sender lives on the floor until it is used, and the floor as long as the target.
        done.await.map_err(|_| Full)
    }

    pub(crate) fn readings(&self) -> Readings {
        let timed = self.up_to_now();
        let floor = &timed.floor;
        Readings { resources: floor.readings(), waiting: floor.waiting(), replicas: floor.replicas() }
    }

    /// Tells those who are done, for as long as it runs: one worker does.
    pub(crate) async fn run(&self, pacer: &Pacer) {
        loop {
            let next = {
                let mut timed = self.up_to_now();
                let next = timed.floor.next_due();
                timed.woken_at = next.unwrap_or(f64::INFINITY);
                next
            };
            match next {
                Some(at) => {
                    // Rounded up, so that what is awaited is due when it wakes.
                    let until = self.origin + Duration::from_secs_f64(at) + Duration::from_nanos(1);
                    tokio::select! {
                        () = pacer.sleep_until(until) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    fn up_to_now(&self) -> MutexGuard<'_, Timed> {
        let mut timed = locked(&self.timed);
        // The clock is read under the lock: the floor's time never goes back.
        let now = self.origin.elapsed().as_secs_f64();
        for done in timed.floor.advance(now) {
            // One who left meanwhile is nobody to tell.
            let _ = done.send(());
        }
        timed
    }

    fn wake_in_time(&self, timed: &mut Timed) {
        let next = timed.floor.next_due().unwrap_or(f64::INFINITY);
        if next < timed.woken_at {
            timed.woken_at = next;
            self.changed.notify_one();
        }
    }
}

/// Burns CPU time of this thread.
pub(crate) fn burn(time: Duration) {
    let Some(start) = thread_time() else { return };
    while thread_time().is_some_and(|now| now.saturating_sub(start) < time) {
        std::hint::spin_loop();
    }
}

/// CPU time of this thread so far. There is such a clock on every Linux.
fn thread_time() -> Option<Duration> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).ok()?;
    Some(Duration::from(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_really_burnt() {
        let before = thread_time().unwrap();
        burn(Duration::from_millis(3));
        assert!(thread_time().unwrap() - before >= Duration::from_millis(3));
    }
}
