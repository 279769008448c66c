//! Sleeping until an offset, to some tens of microseconds.
//!
//! tokio's timers have a granularity of one millisecond, which would be the largest error of an
//! open-loop generator. Each worker instead keeps its own queue of deadlines behind one `timerfd`:
//! the kernel's high-resolution timer wakes the worker when the earliest is due. Nothing spins.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::Clock;

/// A worker's deadlines.
#[derive(Debug)]
pub(crate) struct Timers {
    clock: Clock,
    waiting: RefCell<BinaryHeap<Reverse<Deadline>>>,
    earlier: Notify,
    count: Cell<u64>,
}

#[derive(Debug)]
struct Deadline {
    due: u64,
    /// First come, first woken among equal deadlines.
    order: u64,
    waker: Waker,
}

/// The kernel's timer as a descriptor that tokio can wait for.
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Descriptor {
    #[expect(unsafe_code, reason = "tokio takes a foreign descriptor on a promise only")]
    fn open() -> io::Result<AsyncFd<Self>> {
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        // SAFETY: the wrapper owns its descriptor, hands it to nobody, and closes it only when it is
        // dropped, which `AsyncFd` does after it has stopped watching it.
        Ok(unsafe { AsyncFd::register(Self(timer)) }?)
    }
}

impl Timers {
    pub(crate) fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self { clock, waiting: RefCell::default(), earlier: Notify::new(), count: Cell::new(0) })
    }

    /// Wakes sleepers for as long as it is polled.
    pub(crate) async fn drive(self: Rc<Self>) {
        match self.clock {
            // Only a machine without a descriptor left fails here: then sleepers wake later, never not.
            Clock::Real(start) => match self.drive_finely().await {
                Ok(never) => match never {},
                Err(_) => self.drive_coarsely(start.instant()).await,
            },
            // The simulated clock sleeps in tokio's own timers.
            Clock::Simulated(_) => std::future::pending().await,
        }
    }

    async fn drive_finely(&self) -> io::Result<Infallible> {
        let timer = Descriptor::open()?;
        loop {
            let Some(due) = self.wake_due() else {
                self.earlier.notified().await;
                continue;
            };
            // A zero would disarm the timer instead of firing it.
            let wait = Duration::from_nanos(self.clock.until(due).max(1));
            timer
                .get_ref()
                .0
                .set(Expiration::OneShot(TimeSpec::from_duration(wait)), TimerSetTimeFlags::empty())?;
            tokio::select! {
                // Setting it anew forgets that it fired, so it need not be read.
                ready = timer.readable() => ready?.clear_ready(),
                () = self.earlier.notified() => {}
            }
        }
    }

    /// Within tokio's millisecond, which the schedule lag then shows.
    async fn drive_coarsely(&self, start: std::time::Instant) {
        loop {
            let next = match self.wake_due() {
                Some(due) => start + Duration::from_nanos(due),
                None => start + Duration::from_secs(u64::from(u32::MAX)),
            };
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = self.earlier.notified() => {}
            }
        }
    }

    /// Wakes whoever is due and returns the earliest deadline left.
    fn wake_due(&self) -> Option<u64> {
        let mut waiting = self.waiting.borrow_mut();
        loop {
            let due = waiting.peek()?.0.due;
            if !self.clock.has_reached(due) {
                return Some(due);
            }
            waiting.pop().into_iter().for_each(|Reverse(deadline)| deadline.waker.wake());
        }
    }

    /// Sleeps until an offset in nanoseconds from the start of the run.
    pub(crate) async fn sleep_until(self: &Rc<Self>, due: u64) {
        match self.clock {
            Clock::Real(_) => Sleep { timers: Rc::clone(self), due, registered: false }.await,
            Clock::Simulated(start) => tokio::time::sleep_until(start + Duration::from_nanos(due)).await,
        }
    }

    fn register(&self, due: u64, waker: Waker) {
        let order = self.count.get();
        self.count.set(order + 1);
        let mut waiting = self.waiting.borrow_mut();
        let is_earliest = waiting.peek().is_none_or(|earliest| due < earliest.0.due);
        waiting.push(Reverse(Deadline { due, order, waker }));
        if is_earliest {
            self.earlier.notify_one();
        }
    }
}

struct Sleep {
    timers: Rc<Timers>,
    due: u64,
    registered: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.timers.clock.has_reached(self.due) {
            return Poll::Ready(());
        }
        // The task stays the same between polls, so one registration lasts.
        if !self.registered {
            self.registered = true;
            self.timers.register(self.due, context.waker().clone());
        }
        Poll::Pending
    }
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}

impl Eq for Deadline {}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use futures_util::stream::FuturesUnordered;

    #[tokio::test]
    async fn sleepers_wake_in_their_order_with_and_without_a_descriptor() {
        for coarsely in [false, true] {
            // Ahead, so that all sleep before the first is due.
            let start = std::time::Instant::now() + Duration::from_millis(100);
            let timers = Timers::new(Clock::real(start));
            let woken = RefCell::new(Vec::new());
            let sleep = |millis: u64| {
                let (timers, woken) = (Rc::clone(&timers), &woken);
                async move {
                    timers.sleep_until(millis * 1_000_000).await;
                    assert!(start.elapsed() >= Duration::from_millis(millis));
                    woken.borrow_mut().push(millis);
                }
            };
            // They go on in the order in which they are woken, also when several are late at once.
            let sleepers: FuturesUnordered<_> = [30, 10, 20, 0].into_iter().map(sleep).collect();
            let driving = async {
                if coarsely { timers.drive_coarsely(start).await } else { Rc::clone(&timers).drive().await }
            };
            tokio::select! {
                () = sleepers.collect() => {}
                () = driving => {}
                () = tokio::time::sleep(Duration::from_secs(10)) => {}
            }
            assert_eq!(*woken.borrow(), [0, 10, 20, 30], "coarsely: {coarsely}");
        }
    }
}
