//! The connections of one worker that no user owns.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::connection::Connection;
use crate::transport::Origin;

/// Idle connections, and the right to open more.
///
/// A request takes an idle connection, or opens one while fewer than `limit` are open, or waits its
/// turn. The most recently used connection goes out first, so that few stay warm at a low rate.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Connection>>,
    waiting: RefCell<VecDeque<oneshot::Sender<Lease>>>,
    /// Rights given out or held by idle connections.
    taken: Cell<usize>,
    limit: usize,
}

impl Pool {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            waiting: RefCell::default(),
            taken: Cell::new(0),
            limit: limit.max(1),
        })
    }

    /// Waits for a connection to `origin` or the right to open one.
    pub(crate) async fn lease(self: &Rc<Self>, origin: &Origin) -> Lease {
        let mut lease = match self.lease_now(origin) {
            Some(lease) => lease,
            None => {
                let (sender, receiver) = oneshot::channel();
                self.waiting.borrow_mut().push_back(sender);
                match receiver.await {
                    Ok(lease) => lease,
                    // Only a pool that is being torn down forgets who waits.
                    Err(_) => std::future::pending().await,
                }
            }
        };
        // A connection that leads elsewhere makes room for one that leads here.
        lease.connection = lease.connection.take().filter(|connection| *connection.origin == *origin);
        lease
    }

    fn lease_now(self: &Rc<Self>, origin: &Origin) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let fitting = idle.iter().rposition(|connection| *connection.origin == *origin);
        if let Some(position) = fitting {
            return Some(Lease::new(self, Some(idle.remove(position))));
        }
        if self.taken.get() < self.limit {
            self.taken.set(self.taken.get() + 1);
            return Some(Lease::new(self, None));
        }
        idle.pop().map(|connection| Lease::new(self, Some(connection)))
    }

    fn give_back(self: &Rc<Self>, mut connection: Option<Connection>) {
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

/// The right to one connection, and maybe the connection. It goes back to the pool when it is
/// dropped, wherever that is: in a request that timed out, or on the way to one.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Option<Rc<Pool>>,
    pub(crate) connection: Option<Connection>,
}

impl Lease {
    fn new(pool: &Rc<Pool>, connection: Option<Connection>) -> Self {
        Self { pool: Some(Rc::clone(pool)), connection }
    }

    fn disarm(mut self) -> Option<Connection> {
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
