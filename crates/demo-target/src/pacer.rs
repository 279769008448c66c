//! Sleeping to a few tens of microseconds, for delays whose distribution is promised.
//!
//! The runtime's timer counts whole milliseconds and rounds up twice, so a 5 ms delay would take
//! 5 to 7 ms and answers would leave in bursts. The kernel's timer behind a file descriptor is exact;
//! one of them serves all sleepers of a worker and is always set for the earliest.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

#[derive(Debug)]
pub(crate) struct Pacer {
    timer: Rc<Timer>,
    waker: AbortHandle,
}

/// The kernel's timer, owned for as long as it lives, which is what makes it safe to be polled.
#[derive(Debug)]
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Descriptor {
    #[expect(unsafe_code, reason = "the runtime polls a foreign descriptor on a promise only")]
    fn open() -> io::Result<AsyncFd<Self>> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let descriptor = Self(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        // SAFETY: `Descriptor` owns its file descriptor, always names the same one, gives it to nobody
        // and closes it only when dropped, which `AsyncFd` does after it stopped polling it.
        Ok(unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?)
    }
}

#[derive(Debug)]
struct Timer {
    descriptor: AsyncFd<Descriptor>,
    sleepers: RefCell<BinaryHeap<Reverse<Sleeper>>>,
}

#[derive(Debug)]
struct Sleeper {
    until: Instant,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}
impl Eq for Sleeper {}
impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.until.cmp(&other.until)
    }
}

impl Pacer {
    /// Must be called within a runtime that runs local tasks.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = Rc::new(Timer { descriptor: Descriptor::open()?, sleepers: RefCell::default() });
        let waker = tokio::task::spawn_local(Rc::clone(&timer).wake_sleepers()).abort_handle();
        Ok(Self { timer, waker })
    }

    pub(crate) async fn sleep_until(&self, until: Instant) {
        let (wake, woken) = oneshot::channel();
        let is_earliest = {
            let mut sleepers = self.timer.sleepers.borrow_mut();
            sleepers.push(Reverse(Sleeper { until, wake }));
            sleepers.peek().is_some_and(|earliest| earliest.0.until == until)
        };
        if is_earliest && self.timer.set(until).is_err() {
            // The descriptor refuses no moment that can be reached; if it did, late beats never.
            tokio::time::sleep_until(until.into()).await;
            return;
        }
        // The waker lives as long as the worker, whose end ends this wait too.
        let _ = woken.await;
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.waker.abort();
    }
}

impl Timer {
    fn set(&self, until: Instant) -> io::Result<()> {
        // Zero would disarm the timer, so what is due already is due in a nanosecond.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(left));
        Ok(self.descriptor.get_ref().0.set(expiration, TimerSetTimeFlags::empty())?)
    }

    async fn wake_sleepers(self: Rc<Self>) {
        while let Ok(mut ready) = self.descriptor.readable().await {
            // Reading takes the expiration; one that was set anew meanwhile has none yet, which is no
            // harm. Nobody sets the timer between the two lines, so no expiration is overlooked.
            let _ = ready.get_inner().0.wait();
            ready.clear_ready();
            if let Some(next) = self.wake_due(Instant::now())
                && self.set(next).is_err()
            {
                return;
            }
        }
    }

    /// Wakes everybody who is due and says when the next one is.
    fn wake_due(&self, now: Instant) -> Option<Instant> {
        let mut sleepers = self.sleepers.borrow_mut();
        while let Some(earliest) = sleepers.peek() {
            if earliest.0.until > now && !earliest.0.wake.is_closed() {
                return Some(earliest.0.until);
            }
            if let Some(Reverse(due)) = sleepers.pop() {
                // One who stopped waiting needs no waking.
                let _ = due.wake.send(());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    const STEP: Duration = Duration::from_millis(1);

    /// Runs one story with a pacer. A sleep that never ends fails by its deadline.
    fn with_pacer(story: impl AsyncFnOnce(Rc<Pacer>)) {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        let whole = async { story(Rc::new(Pacer::new().unwrap())).await };
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), whole).await.unwrap() });
    }

    #[test]
    fn sleepers_wake_in_order_and_never_early() {
        with_pacer(async |pacer| {
            let start = Instant::now();
            let woken = Rc::new(RefCell::new(Vec::new()));
            let tasks = [5, 1, 4, 0, 2, 2, 3].map(|step| {
                let (pacer, woken) = (Rc::clone(&pacer), Rc::clone(&woken));
                tokio::task::spawn_local(async move {
                    pacer.sleep_until(start + step * STEP).await;
                    assert!(start.elapsed() >= step * STEP, "woken early");
                    woken.borrow_mut().push(step);
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(*woken.borrow(), [0, 1, 2, 2, 3, 4, 5]);
        });
    }

    #[test]
    fn one_who_stops_waiting_holds_nobody_up() {
        with_pacer(async |pacer| {
            let start = Instant::now();
            for _ in 0..10 {
                assert!(pacer.sleep_until(start + STEP).now_or_never().is_none());
            }
            pacer.sleep_until(start + 2 * STEP).await;
            assert!(start.elapsed() >= 2 * STEP);
            assert!(pacer.timer.sleepers.borrow().is_empty());
        });
    }
}
