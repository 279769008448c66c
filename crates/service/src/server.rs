use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use plimsoll_history::{History, Retention};
use plimsoll_notify::Teller;
use plimsoll_run::NotifySettings;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::access::{Access, AccessError, Tls};
use crate::capacity::Answers;
use crate::daemon::{Daemon, Ends, Plans};
use crate::followed::{Followed, Pulse};
use crate::routes::App;
use crate::serving::{CertificateError, Certificates};
use crate::slas::{OpenError, Poller, Promises, SlaError, Slas};
use crate::telling::Receivers;
use crate::{retainer, routes, serving, watcher};

/// What a service needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The record it shows.
    pub history: History,
    /// What it judges.
    pub promises: Promises,
    /// Who is told when promises are broken and kept again.
    pub teller: Option<Teller>,
    /// What it starts, where it starts plans.
    pub plans: Option<Plans>,
    /// Who may ask it.
    pub access: Access,
}

/// Why a service does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Somebody listens there already.
    #[error("{listen} is taken by another process; stop it, or listen elsewhere")]
    Taken {
        /// The address.
        listen: SocketAddr,
    },
    /// The address cannot be listened at.
    #[error("cannot listen at {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Others than this machine could ask, and nobody would know who.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Its certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An SLA cannot be judged.
    #[error(transparent)]
    Sla(SlaError),
    /// What was judged before cannot be read.
    #[error("what is kept of SLAs cannot be read")]
    Kept(#[source] plimsoll_history::Error),
    /// What is remembered of schedules cannot be read.
    #[error("what is kept of schedules cannot be read")]
    Schedules(#[source] plimsoll_history::Error),
}

/// A service that listens and does not answer yet: [`Self::run`] does.
#[derive(Debug)]
pub struct Service {
    listener: TcpListener,
    addr: SocketAddr,
    history: History,
    slas: Arc<Slas>,
    pollers: Vec<Poller>,
    daemon: Option<(Arc<Daemon>, Ends)>,
    pulse: watch::Sender<Pulse>,
    access: Arc<Access>,
    certificates: Option<Arc<Certificates>>,
    receivers: Receivers,
    retention: Option<Retention>,
}

impl Service {
    /// Takes the port, and goes on with SLAs where the last service left off.
    ///
    /// That only one service uses a record is for the caller to see to
    /// ([`History::lock_service`]): a page shown beside a demo does not need the right to be the one.
    ///
    /// # Errors
    /// When the port is taken or the address is not one of this machine, when others than this machine could ask
    /// without being known, or when a certificate or an SLA is no good.
    pub async fn bind(config: Config) -> Result<Self, ServiceError> {
        let (listen, access) = (config.listen, config.access);
        access.check(listen)?;
        let certificates = match &access.tls {
            Tls::Files { cert, key } => Some(Arc::new(Certificates::read(cert.clone(), key.clone())?)),
            Tls::Unsaid | Tls::Off => None,
        };
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ServiceError::Taken { listen },
            _ => ServiceError::Listen { listen, source },
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let (slas, pollers) = Slas::open(config.history.clone(), config.promises, config.teller.clone())
            .await
            .map_err(|error| match error {
                OpenError::Sla(error) => ServiceError::Sla(error),
                OpenError::History(error) => ServiceError::Kept(error),
            })?;
        let daemon = match config.plans {
            Some(plans) => Some(
                Daemon::open(config.history.clone(), plans, config.teller)
                    .await
                    .map_err(ServiceError::Schedules)?,
            ),
            None => None,
        };
        let (history, access) = (config.history, Arc::new(access));
        let (pulse, retention) = (watch::Sender::default(), None);
        let receivers = Receivers::default();
        Ok(Self {
            listener,
            addr,
            history,
            slas,
            pollers,
            daemon,
            pulse,
            access,
            certificates,
            receivers,
            retention,
        })
    }

    /// Keeps the record within these bounds while it runs; without it everything is kept.
    #[must_use]
    pub fn retaining(mut self, retention: Option<Retention>) -> Self {
        self.retention = retention;
        self
    }

    /// Lets an admin test those whom it tells.
    #[must_use]
    pub fn telling(mut self, settings: NotifySettings) -> Self {
        self.receivers = Receivers::new(settings);
        self
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Beats with each look at the record while it runs, for whoever supervises it.
    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    /// Whether it is asked over TLS.
    pub fn is_secure(&self) -> bool {
        self.certificates.is_some()
    }

    /// Answers until `stop` is cancelled: then every stream of events ends, other answers are finished, within ten
    /// seconds, and everything it started has ended when it returns.
    pub async fn run(self, stop: CancellationToken) {
        let followed = Arc::new(Followed::new(self.history, self.pulse));
        // Whatever ends the one ends the other.
        let ended = stop.child_token();
        let watcher =
            tokio::spawn(watcher::watch(Arc::clone(&followed), Arc::clone(&self.slas), ended.clone()));
        let retention = self.retention;
        let retainer = retention.clone().map(|retention| {
            tokio::spawn(retainer::retain(
                Arc::clone(&self.slas),
                followed.history().clone(),
                retention,
                ended.clone(),
            ))
        });
        let judge = tokio::spawn(Arc::clone(&self.slas).run(self.pollers, ended.clone()));
        let (daemon, starter) = match self.daemon {
            Some((daemon, ends)) => {
                let starter = tokio::spawn(Arc::clone(&daemon).run(ends, ended.clone()));
                (Some(daemon), Some(starter))
            }
            None => (None, None),
        };
        let limits = &self.access.limits;
        let app = App {
            answers: Arc::new(Answers::new(followed.history().clone())),
            followed,
            slas: self.slas,
            daemon,
            steering: Arc::default(),
            listeners: Arc::new(Semaphore::new(limits.listeners)),
            access: Arc::clone(&self.access),
            receivers: Arc::new(self.receivers),
            retention,
            ended: ended.clone(),
        };
        let router = routes::router(app, self.addr);
        serving::serve(self.listener, router, self.certificates, limits, ended.clone()).await;
        ended.cancel();
        if let Err(error) = watcher.await {
            tracing::error!(%error, "the watcher of the history failed");
        }
        if let Some(starter) = starter
            && let Err(error) = starter.await
        {
            tracing::error!(%error, "the starter of plans failed");
        }
        if let Err(error) = judge.await {
            tracing::error!(%error, "the judge of SLAs failed");
        }
        if let Some(retainer) = retainer
            && let Err(error) = retainer.await
        {
            tracing::error!(%error, "keeping the history within its bounds failed");
        }
    }
}
