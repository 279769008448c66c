//! What the target and its machine use, scraped beside the load.
//!
//! A thread of its own looks at each source once per interval, at whole seconds from the start of the
//! run, so that a rate covers the seconds that have just ended. It never waits for the load nor the load
//! for it: answers are bounded in size and time, and what does not come is a gap with its reason. What
//! was found is picked up with the next second that closes.
//!
//! It knows few figures by name (`docs/plan.md` lists them) and keeps no others unless the plan names
//! them: a target may expose any number.

pub(crate) mod endpoint;
mod figures;
mod local;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plimsoll_run::{ResourceOrigin, ResourceScrape, ResourceSource, RunPlan};
use plimsoll_units::duration;
use tokio_util::sync::{CancellationToken, DropGuard};

use endpoint::Endpoint;
use figures::{Figure, Rates};
use local::{Host, Process};

/// Which part of an interval a scrape may take: it never runs into the next one.
const PART_OF_INTERVAL: f64 = 0.8;
/// A scrape that takes longer says nothing of the second it was made for.
const LONGEST_SCRAPE: Duration = Duration::from_secs(5);
/// How long the last seconds of a run wait for the scrapes that are due with them.
const LAST_SCRAPES: Duration = Duration::from_millis(300);
/// Nobody picks anything up for so long only if the run hangs.
const MOST_WAITING: usize = 10_000;

/// The sources of a run while it goes on. Dropping it ends the scraping.
#[derive(Debug)]
pub(crate) struct Resources {
    shared: Arc<Shared>,
    start: Instant,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    found: Mutex<Vec<ResourceScrape>>,
    /// When each source is looked at next, in nanoseconds from the start: beyond now unless it is being
    /// looked at.
    next_due: Vec<AtomicU64>,
}

impl Resources {
    /// Begins to look at the sources of a plan; `None` where there are none.
    ///
    /// # Errors
    /// When the system gives no thread; nothing is scraped then.
    pub(crate) fn start(plan: &RunPlan, start: Instant) -> std::io::Result<Option<Self>> {
        let sources = &plan.resources;
        if sources.is_empty() {
            return Ok(None);
        }
        let next_due = sources.iter().map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared { found: Mutex::default(), next_due });
        let stop = CancellationToken::new();
        let watches: Vec<_> = sources
            .iter()
            .enumerate()
            .map(|(index, source)| Watch {
                name: source.name.as_str().into(),
                eye: Eye::new(source, plan),
                interval: source.interval,
                rates: Rates::default(),
                start,
                index,
                shared: Arc::clone(&shared),
            })
            .collect();
        let (stopped, runtime) =
            (stop.clone(), tokio::runtime::Builder::new_current_thread().enable_all().build()?);
        std::thread::Builder::new().name("resources".to_owned()).spawn(move || {
            runtime.block_on(stopped.run_until_cancelled(async {
                let watches = watches.into_iter().map(|watch| tokio::spawn(watch.on()));
                for watch in watches.collect::<Vec<_>>() {
                    // Each goes on until all are stopped; one that panicked has said so.
                    let _ = watch.await;
                }
            }));
        })?;
        Ok(Some(Self { shared, start, _stop: stop.drop_guard() }))
    }

    /// What was found since the last call, in the order it came in.
    pub(crate) fn take(&self) -> Vec<ResourceScrape> {
        std::mem::take(&mut *self.shared.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for what is due by now, for a moment at most.
    pub(crate) async fn settle(&self) {
        const AGAIN: Duration = Duration::from_millis(2);
        let now = self.start.elapsed().as_nanos() as u64;
        let is_due = |due: &AtomicU64| due.load(Ordering::Acquire) <= now;
        let settled = async {
            while self.shared.next_due.iter().any(is_due) {
                tokio::time::sleep(AGAIN).await;
            }
        };
        let _ = tokio::time::timeout(LAST_SCRAPES, settled).await;
    }
}

/// One source, looked at again and again.
struct Watch {
    name: Arc<str>,
    eye: Eye,
    interval: Duration,
    rates: Rates,
    start: Instant,
    index: usize,
    shared: Arc<Shared>,
}

impl Watch {
    async fn on(mut self) {
        let interval = self.interval.as_nanos().max(1) as u64;
        let within = self.interval.mul_f64(PART_OF_INTERVAL).min(LONGEST_SCRAPE);
        let mut due = 0;
        loop {
            tokio::time::sleep_until((self.start + Duration::from_nanos(due)).into()).await;
            let scrape = self.scrape(within).await;
            // The first look only tells from where counters count, unless it fails.
            if due > 0 || scrape.figures.is_err() {
                let mut found = self.shared.found.lock().unwrap_or_else(PoisonError::into_inner);
                if found.len() < MOST_WAITING {
                    found.push(scrape);
                }
            }
            due = (self.start.elapsed().as_nanos() as u64 / interval + 1) * interval;
            self.shared.next_due[self.index].store(due, Ordering::Release);
        }
    }

    async fn scrape(&mut self, within: Duration) -> ResourceScrape {
        let began = self.start.elapsed();
        let looked = tokio::time::timeout(within, self.eye.look()).await;
        let looked = looked.unwrap_or_else(|_| Err(format!("no answer within {}", duration::format(within))));
        // The figures are of some moment between question and answer.
        let at = (began + self.start.elapsed()) / 2;
        let (figures, left_out) = match looked {
            Ok(figures) => {
                let (figures, left_out) = self.rates.figures(figures, at);
                (Ok(figures), left_out)
            }
            Err(reason) => (Err(reason), 0),
        };
        ResourceScrape { source: Arc::clone(&self.name), at: at.as_nanos() as u64, figures, left_out }
    }
}

/// How a kind of source is looked at.
enum Eye {
    Endpoint(Endpoint),
    Process(Process),
    Host(Host),
}

impl Eye {
    fn new(source: &ResourceSource, plan: &RunPlan) -> Self {
        match &source.origin {
            ResourceOrigin::Metrics(endpoint) => Self::Endpoint(Endpoint::new(endpoint, plan)),
            ResourceOrigin::Process(pid) => Self::Process(Process::of(*pid)),
            ResourceOrigin::Port(port) => Self::Process(Process::listening(*port)),
            ResourceOrigin::Host => Self::Host(Host),
        }
    }

    /// What there is to see now, or why there is nothing: words without secrets.
    async fn look(&mut self) -> Result<Vec<Figure>, String> {
        match self {
            Self::Endpoint(endpoint) => endpoint.look().await,
            Self::Process(process) => process.look(),
            Self::Host(host) => host.look(),
        }
    }
}
