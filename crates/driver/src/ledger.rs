//! The connections of one worker: which are open, and why those that are not were closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use plimsoll_measure::CloseReason;
use slab::Slab;

use crate::Clock;

/// Touched when a connection opens or closes; a request counts up one number.
#[derive(Debug)]
pub(crate) struct Ledger {
    clock: Clock,
    /// Requests that each open connection has carried.
    open: RefCell<Slab<Rc<Cell<u64>>>>,
    closed: RefCell<Vec<Closed>>,
}

/// A connection that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed {
    /// When, in nanoseconds from the start.
    pub(crate) at: u64,
    pub(crate) reason: CloseReason,
    /// Requests it had carried.
    pub(crate) requests: u64,
}

/// An open connection's place in the ledger. Dropped with the connection, it says why that was.
#[derive(Debug)]
pub(crate) struct Entry {
    ledger: Rc<Ledger>,
    slot: usize,
    requests: Rc<Cell<u64>>,
    reason: Cell<CloseReason>,
}

impl Ledger {
    pub(crate) fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self { clock, open: RefCell::default(), closed: RefCell::default() })
    }

    /// Enters a connection that has just opened. Until somebody says otherwise it ends with its user.
    pub(crate) fn enter(self: &Rc<Self>) -> Entry {
        let requests = Rc::default();
        let slot = self.open.borrow_mut().insert(Rc::clone(&requests));
        Entry { ledger: Rc::clone(self), slot, requests, reason: Cell::new(CloseReason::UserEnded) }
    }

    /// What was closed since this was last asked.
    pub(crate) fn take_closed(&self) -> Vec<Closed> {
        std::mem::take(&mut *self.closed.borrow_mut())
    }

    /// The run has ended, and with it whatever is open.
    pub(crate) fn end(&self) {
        let open = std::mem::take(&mut *self.open.borrow_mut());
        open.iter().for_each(|(_, requests)| self.close(requests.get(), CloseReason::RunEnded));
    }

    fn close(&self, requests: u64, reason: CloseReason) {
        self.closed.borrow_mut().push(Closed { at: self.clock.now(), reason, requests });
    }
}

impl Entry {
    /// The connection carries another request.
    pub(crate) fn carry(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// Why the connection is about to be closed.
    pub(crate) fn closes(&self, reason: CloseReason) {
        self.reason.set(reason);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Not there any more: the run ended before.
        let entered = self.ledger.open.borrow_mut().try_remove(self.slot);
        entered.into_iter().for_each(|requests| self.ledger.close(requests.get(), self.reason.get()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_is_closed_once_and_for_one_reason() {
        let clock = Clock::real(std::time::Instant::now());
        let ledger = Ledger::new(clock);
        let enter = |requests| {
            let entry = ledger.enter();
            (0..requests).for_each(|_| entry.carry());
            entry
        };
        let (broken, owned, last) = (enter(3), enter(0), enter(70));
        broken.closes(CloseReason::Error);
        drop(broken);
        drop(owned);
        let told = |closed: Vec<Closed>| -> Vec<_> {
            closed.into_iter().map(|closed| (closed.reason, closed.requests)).collect()
        };
        assert_eq!(told(ledger.take_closed()), [(CloseReason::Error, 3), (CloseReason::UserEnded, 0)]);
        ledger.end();
        drop(last);
        assert_eq!(told(ledger.take_closed()), [(CloseReason::RunEnded, 70)]);
        assert_eq!(told(ledger.take_closed()), []);
    }
}
