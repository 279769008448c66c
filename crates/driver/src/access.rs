//! How a request comes to a connection: its user's own, one of the shared pool, or a new one.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plimsoll_measure::{CloseReason, Opening, Outcome};

use crate::Failure;
use crate::connection::Connection;
use crate::pool::Lease;
use crate::resources::Exhausted;
use crate::transport::{Opened, Origin};
use crate::user::{Connecting, User};
use crate::worker::Worker;

/// A connection in use, and what gives it back.
pub(crate) struct Held {
    pub(crate) connection: Box<Connection>,
    lease: Option<Lease>,
}

/// What there is to send a request on.
pub(crate) enum Access {
    /// A connection.
    Held(Held),
    /// The right to open one to this address of the target.
    Open(Option<Lease>, u16),
    /// Nothing until somebody gives a connection back.
    Wait(u16),
}

/// Counts a connection from before it opens for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicU64>);

impl Counted {
    /// The right to open a connection, of which there are `room`: the last descriptors are not ours to
    /// take, since the record needs some too.
    pub(crate) fn new(count: &Arc<AtomicU64>, room: Option<u64>) -> Result<Self, Failure> {
        let counted = Self(Arc::clone(count));
        let others = count.fetch_add(1, Ordering::Relaxed);
        if room.is_some_and(|room| others >= room) {
            return Err(Failure::ours(Exhausted::Descriptors.to_string()));
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// What there is to send a request on right now.
    pub(crate) fn access(&self, user: &mut User, due: u64, origin: &Rc<Origin>) -> Access {
        let (known, lease, address) = match &mut user.own {
            Some(own) => {
                let known = own.take().and_then(|connection| connection.leading_to(origin));
                (known, None, self.turns.at(user.number))
            }
            None => {
                let address = self.pool.next_address();
                let lease = match &self.hosts {
                    None => self.pool.take(origin, address),
                    Some(hosts) => hosts.pool(origin).take(origin, address),
                };
                let Some(mut lease) = lease else { return Access::Wait(address) };
                (lease.connection.take(), Some(lease), address)
            }
        };
        match known {
            None => Access::Open(lease, address),
            // Due when the last answer ended: nothing can have been heard of the connection since.
            Some(connection) if user.own.is_some() && user.left_off == Some(due) => {
                Access::Held(Held { connection, lease })
            }
            Some(connection) => self.use_or_replace(connection, lease, address),
        }
    }

    /// A connection if it is usable, else the right to open another.
    fn use_or_replace(&self, mut connection: Box<Connection>, lease: Option<Lease>, address: u16) -> Access {
        if let Some(limit) = self.idle_limit
            && self.clock.now().saturating_sub(connection.idle_since) > limit
        {
            connection.closes(CloseReason::IdleTimeout);
            return Access::Open(lease, address);
        }
        if connection.is_usable() {
            return Access::Held(Held { connection, lease });
        }
        self.recorder.borrow_mut().reconnect(self.clock.now());
        Access::Open(lease, address)
    }

    /// A connection to send a request on, once it is open or somebody gives it back.
    pub(crate) async fn hold(
        &self,
        user: &User,
        origin: &Rc<Origin>,
        mut access: Access,
    ) -> Result<Held, Failure> {
        loop {
            let (lease, address) = match access {
                Access::Held(held) => return Ok(held),
                Access::Open(lease, address) => (lease, address),
                Access::Wait(address) => {
                    let mut lease = match &self.hosts {
                        None => self.pool.wait(origin).await,
                        Some(hosts) => hosts.pool(origin).wait(origin).await,
                    };
                    access = match lease.connection.take() {
                        Some(connection) => self.use_or_replace(connection, Some(lease), address),
                        None => Access::Open(Some(lease), address),
                    };
                    continue;
                }
            };
            let Some(sessions) = &self.sessions else {
                let (opened, counted) = self.open(user, origin, address).await?;
                let origin = Rc::clone(origin);
                let (clock, ledger, reading) = (self.clock, &self.ledger, &self.reading);
                let connection =
                    Connection::new(origin, opened, clock, counted, ledger, self.http1, reading).await?;
                return Ok(Held { connection, lease });
            };
            let open = || self.open(user, origin, address);
            if let Some((slot, opened)) = sessions.slot(origin, address, self.clock, open).await? {
                let connection = Connection::of_stream(Rc::clone(origin), slot, self.clock, opened);
                return Ok(Held { connection, lease });
            }
            // The target allows no more streams at once than there are.
            lease.into_iter().for_each(Lease::retire);
            access = Access::Wait(address);
        }
    }

    /// Opens a byte stream, in the plan's time for that.
    async fn open(
        &self,
        user: &User,
        origin: &Rc<Origin>,
        address: u16,
    ) -> Result<(Opened, Counted), Failure> {
        if self.shared.pacer.is_limited() {
            // Waiting for the plan's own rate is no part of connecting.
            user.connecting.set(Connecting::Waits);
            self.shared.pacer.turn(self.clock).await;
        }
        user.connecting.set(Connecting::Opens);
        let opening = async {
            let counted = Counted::new(&self.shared.connections, self.shared.room)?;
            let opened = self.transport.open(origin, address, self.clock).await?;
            Ok((opened, counted))
        };
        let opened = tokio::time::timeout(self.http.connect_timeout, opening).await.unwrap_or_else(|_| {
            let limit = plimsoll_units::duration::format(self.http.connect_timeout);
            Err(Failure::new(Outcome::Timeout, format!("no connection within {limit}")))
        });
        user.connecting.set(Connecting::No);
        match opened {
            Ok((opened, counted)) => {
                self.recorder.borrow_mut().opened(self.clock.now(), opened.way());
                Ok((opened, counted))
            }
            // What we could not even try says nothing about connecting.
            Err(failure) if failure.ours => {
                let open = self.shared.connections.load(Ordering::Relaxed);
                Err(Failure::ours(format!("{}: {open} connections are open", failure.message)))
            }
            Err(failure) => {
                if failure.is_notable {
                    self.trouble(&failure.message);
                }
                self.recorder.borrow_mut().opened(self.clock.now(), Opening::Failed);
                Err(failure)
            }
        }
    }
}

impl Held {
    /// Gives the connection back to whom it belongs, unused since then.
    pub(crate) fn release(mut self, user: &mut User, since: u64) {
        self.connection.idle_since = since;
        match (self.lease, &mut user.own) {
            (Some(mut lease), _) => lease.connection = Some(self.connection),
            (None, Some(own)) => *own = Some(self.connection),
            (None, None) => {}
        }
    }
}
