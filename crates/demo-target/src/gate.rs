//! The target's capacity: so many requests are worked on at once, the next ones wait in line.
//!
//! Places are given first come, first served, and the limit can change at any time: a higher one
//! admits those who wait, a lower one takes effect as places come free. While there is no limit
//! nobody takes a place, so that the fast path costs one atomic load; requests that entered then are
//! not counted against a limit set later.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::locked;

/// Every place is taken and the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("every worker is busy and the queue is full")]
pub(crate) struct Full;

#[derive(Debug)]
pub(crate) struct Gate {
    limited: AtomicBool,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    limit: Option<u32>,
    longest: u32,
    busy: u32,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

impl Line {
    fn has_room(&self) -> bool {
        self.limit.is_none_or(|limit| self.busy < limit)
    }

    /// Takes from the line those who may enter now, and counts their places as taken.
    fn next_in(&mut self) -> Vec<oneshot::Sender<Place>> {
        let mut admitted = Vec::new();
        while self.has_room() {
            match self.waiting.pop_front() {
                Some(gone) if gone.is_closed() => {}
                Some(next) => {
                    self.busy += 1;
                    admitted.push(next);
                }
                None => break,
            }
        }
        admitted
    }
}

impl Gate {
    pub(crate) fn new(limit: Option<u32>, longest: u32) -> Arc<Self> {
        let line = Line { limit, longest, busy: 0, waiting: VecDeque::new() };
        Arc::new(Self { limited: AtomicBool::new(limit.is_some()), line: Mutex::new(line) })
    }

    /// Waits for a place. `Ok(None)` means that there is no limit and nothing to hold.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<Option<Place>, Full> {
        if !self.limited.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let turn = {
            let mut line = locked(&self.line);
            if line.limit.is_none() {
                return Ok(None);
            }
            if line.has_room() {
                line.busy += 1;
                return Ok(Some(Place(Arc::clone(self))));
            }
            if line.waiting.len() >= line.longest as usize {
                line.waiting.retain(|waiting| !waiting.is_closed());
            }
            if line.waiting.len() >= line.longest as usize {
                return Err(Full);
            }
            let (sender, turn) = oneshot::channel();
            line.waiting.push_back(sender);
            turn
        };
        // The sender lives in the line until it is used, and the line as long as the gate.
        turn.await.map(Some).map_err(|_| Full)
    }

    /// Sets how many may be worked on at once and how many may wait.
    pub(crate) fn set_limit(self: &Arc<Self>, limit: Option<u32>, longest: u32) {
        let admitted = {
            let mut line = locked(&self.line);
            line.limit = limit;
            line.longest = longest;
            self.limited.store(limit.is_some(), Ordering::Relaxed);
            line.next_in()
        };
        self.hand_out(admitted);
    }

    /// How many requests wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        locked(&self.line).waiting.iter().filter(|waiting| !waiting.is_closed()).count()
    }

    /// Must be called without the lock: a place nobody takes is given back at once.
    fn hand_out(self: &Arc<Self>, admitted: Vec<oneshot::Sender<Place>>) {
        for next in admitted {
            drop(next.send(Place(Arc::clone(self))));
        }
    }
}

/// One of the places; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        let admitted = {
            let mut line = locked(&self.0.line);
            line.busy = line.busy.saturating_sub(1);
            line.next_in()
        };
        self.0.hand_out(admitted);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Entry<'g> = Pin<Box<dyn Future<Output = Result<Option<Place>, Full>> + 'g>>;

    fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn enter(gate: &Arc<Gate>) -> Option<Place> {
        match poll(pin!(gate.enter())) {
            Poll::Ready(Ok(place)) => place,
            other => panic!("not admitted: {other:?}"),
        }
    }

    /// Stands in line and comes back pending.
    fn wait(gate: &Arc<Gate>) -> Entry<'_> {
        let mut entry: Entry<'_> = Box::pin(gate.enter());
        assert!(poll(entry.as_mut()).is_pending());
        entry
    }

    fn admitted(entry: &mut Entry<'_>) -> Option<Place> {
        match poll(entry.as_mut()) {
            Poll::Ready(Ok(place)) => place,
            _ => None,
        }
    }

    #[test]
    fn without_a_limit_nobody_takes_a_place() {
        assert!(enter(&Gate::new(None, 0)).is_none());
    }

    #[test]
    fn places_are_given_in_the_order_of_arrival() {
        let gate = Gate::new(Some(1), 2);
        let place = enter(&gate);
        let (mut first, mut second) = (wait(&gate), wait(&gate));
        assert!(matches!(poll(pin!(gate.enter())), Poll::Ready(Err(Full))));
        assert_eq!(gate.waiting(), 2);
        drop(place);
        assert!(admitted(&mut second).is_none());
        let place = admitted(&mut first).expect("the first in line is admitted");
        assert!(admitted(&mut second).is_none());
        drop(place);
        assert!(admitted(&mut second).is_some());
    }

    #[test]
    fn those_who_left_the_line_hold_nobody_up() {
        let gate = Gate::new(Some(1), 2);
        let place = enter(&gate);
        drop((wait(&gate), wait(&gate)));
        let mut patient = wait(&gate);
        drop(place);
        assert!(admitted(&mut patient).is_some());
    }

    #[test]
    fn a_place_given_to_one_who_left_is_passed_on() {
        let gate = Gate::new(Some(1), 2);
        let place = enter(&gate);
        let (left, mut patient) = (wait(&gate), wait(&gate));
        drop(place);
        drop(left);
        assert!(admitted(&mut patient).is_some());
    }

    #[test]
    fn the_limit_moves_in_both_directions() {
        let gate = Gate::new(Some(1), 9);
        let first = enter(&gate);
        let mut second = wait(&gate);
        gate.set_limit(Some(2), 9);
        let second = admitted(&mut second).expect("the higher limit admits");
        gate.set_limit(Some(1), 9);
        let mut third = wait(&gate);
        drop(first);
        assert!(admitted(&mut third).is_none(), "one is still busy");
        drop(second);
        assert!(admitted(&mut third).is_some());

        let _busy = enter(&gate);
        let mut waiting = wait(&gate);
        gate.set_limit(None, 9);
        assert!(poll(waiting.as_mut()).is_ready(), "no limit admits everybody");
    }
}
