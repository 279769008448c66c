//! The connections of one worker that no user owns.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use plimsoll_measure::CloseReason;
use tokio::sync::oneshot;

use crate::addresses::Turns;
use crate::connection::Connection;
use crate::transport::Origin;

/// Idle connections, and the right to open more.
///
/// A request takes an idle connection, or opens one while fewer than `limit` are open, or waits its
/// turn. The most recently used connection goes out first, so that few stay warm at a low rate.
/// Where the target has several addresses they are asked for in turn, and a connection to another of
/// them serves only when no more may be opened.
#[derive(Debug)]
pub(crate) struct Pool {
    #[expect(clippy::vec_box, reason = "connections move from hand to hand")]
    idle: RefCell<Vec<Box<Connection>>>,
    waiting: RefCell<VecDeque<oneshot::Sender<Lease>>>,
    /// Rights given out or held by idle connections.
    taken: Cell<usize>,
    limit: usize,
    turns: Turns,
    /// Turns taken.
    turn: Cell<u64>,
}

impl Pool {
    /// A pool of at most `limit` connections, whose first turn is `turn`.
    pub(crate) fn new(limit: usize, turns: Turns, turn: u64) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            waiting: RefCell::default(),
            taken: Cell::new(0),
            limit: limit.max(1),
            turns,
            turn: Cell::new(turn),
        })
    }

    /// Waits for a connection that somebody gives back, or the right to open one.
    pub(crate) async fn wait(self: &Rc<Self>, origin: &Origin) -> Lease {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push_back(sender);
        match receiver.await {
            Ok(lease) => lease.to(origin),
            // Only a pool that is being torn down forgets who waits.
            Err(_) => std::future::pending().await,
        }
    }

    /// Which of the target's addresses is next.
    pub(crate) fn next_address(&self) -> u16 {
        if !self.turns.is_choice() {
            return 0;
        }
        self.turns.at(self.turn.replace(self.turn.get() + 1))
    }

    /// An idle connection to `origin` or the right to open one, if either is to be had.
    pub(crate) fn take(self: &Rc<Self>, origin: &Origin, address: u16) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let leads_there = |connection: &Connection| *connection.origin == *origin;
        let fits = |connection: &Connection| {
            leads_there(connection) && connection.address.is_none_or(|leads_to| leads_to == address)
        };
        let fitting = idle.iter().rposition(|connection| fits(connection)).or_else(|| {
            // To another address of the target: better than closing it to open one.
            let leading = idle.iter().rposition(|connection| leads_there(connection));
            leading.filter(|_| self.taken.get() >= self.limit)
        });
        if let Some(position) = fitting {
            return Some(Lease::new(self, Some(idle.remove(position))));
        }
        if self.taken.get() < self.limit {
            self.taken.set(self.taken.get() + 1);
            return Some(Lease::new(self, None));
        }
        idle.pop().map(|connection| Lease::new(self, Some(connection)).to(origin))
    }

    /// Closes connections that nobody has used since then.
    pub(crate) fn close_idle(&self, since: u64) {
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|connection| {
            let keeps = connection.idle_since >= since;
            if !keeps {
                connection.closes(CloseReason::IdleTimeout);
            }
            keeps
        });
        self.taken.set(self.taken.get() - (before - idle.len()));
    }

    /// Whether nobody has or wants anything of it.
    fn is_unused(&self) -> bool {
        self.taken.get() == 0 && self.waiting.borrow().is_empty()
    }

    /// Lets at most so many of those who wait open something.
    pub(crate) fn invite(self: &Rc<Self>, most: usize) {
        for _ in 0..most.min(self.limit.saturating_sub(self.taken.get())) {
            if self.waiting.borrow().is_empty() {
                return;
            }
            self.taken.set(self.taken.get() + 1);
            // It goes to whoever waits when it is dropped.
            drop(Lease::new(self, None));
        }
    }

    fn give_back(self: &Rc<Self>, mut connection: Option<Box<Connection>>) {
        loop {
            // Taken in a statement of its own: a lease that comes back drops into this very function.
            let next = self.waiting.borrow_mut().pop_front();
            let Some(next) = next else { break };
            match next.send(Lease::new(self, connection)) {
                Ok(()) => return,
                // That request has given up meanwhile.
                Err(lease) => connection = lease.disarm(),
            }
        }
        match connection {
            Some(connection) => self.idle.borrow_mut().push(connection),
            None => self.taken.set(self.taken.get() - 1),
        }
    }
}

/// A pool for each host, where the plan bounds connections by host.
#[derive(Debug)]
pub(crate) struct Hosts {
    pools: RefCell<Vec<(Origin, Rc<Pool>)>>,
    /// The most connections to each.
    limit: usize,
    turns: Turns,
    turn: u64,
}

/// Pools of hosts that nobody asks any more are forgotten beyond this many.
const FEW_HOSTS: usize = 64;

impl Hosts {
    pub(crate) fn new(limit: usize, turns: Turns, turn: u64) -> Self {
        Self { pools: RefCell::default(), limit, turns, turn }
    }

    /// The pool of a host.
    pub(crate) fn pool(&self, origin: &Origin) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        if let Some((_, pool)) = pools.iter().find(|(known, _)| known == origin) {
            return Rc::clone(pool);
        }
        if pools.len() >= FEW_HOSTS {
            pools.retain(|(_, pool)| !pool.is_unused());
        }
        let pool = Pool::new(self.limit, self.turns.clone(), self.turn);
        pools.push((origin.clone(), Rc::clone(&pool)));
        pool
    }

    /// Closes connections that nobody has used since then.
    pub(crate) fn close_idle(&self, since: u64) {
        self.pools.borrow().iter().for_each(|(_, pool)| pool.close_idle(since));
    }
}

/// The right to one connection, and maybe the connection. It goes back to the pool when it is
/// dropped, wherever that is: in a request that timed out, or on the way to one.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Option<Rc<Pool>>,
    pub(crate) connection: Option<Box<Connection>>,
}

impl Lease {
    fn new(pool: &Rc<Pool>, connection: Option<Box<Connection>>) -> Self {
        Self { pool: Some(Rc::clone(pool)), connection }
    }

    /// A connection that leads elsewhere makes room for one that leads here.
    fn to(mut self, origin: &Origin) -> Self {
        self.connection = self.connection.take().and_then(|connection| connection.leading_to(origin));
        self
    }

    /// Gives the right up without handing it to somebody else: it cannot be used at the moment.
    pub(crate) fn retire(mut self) {
        if let Some(pool) = self.pool.take() {
            pool.taken.set(pool.taken.get() - 1);
        }
    }

    fn disarm(mut self) -> Option<Box<Connection>> {
        self.pool = None;
        self.connection.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give_back(self.connection.take());
        }
    }
}
