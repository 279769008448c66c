use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_exposition::Readings;
use plimsoll_run::{Ended, ExportCount, ExportSettings, RunEvent};

use crate::delivery::{Delivery, Queue};
use crate::feed::{Feed, Outlet, RecordGate};
use crate::store::{MEMORY_BYTES, Memory};
use crate::{Ledger, LiveMetrics, Notes, Sink, SinkError, influxdb, prometheus};

/// Where one run's measurements go.
///
/// The order of a run: [`Self::start`] before the first event, [`Self::send`] each event, [`Self::finish`]
/// after the last second and before the end is told, [`Self::close`] when nobody waits for a result any more.
#[derive(Debug)]
pub struct Exporters {
    live: Arc<LiveMetrics>,
    endpoint: Option<prometheus::Endpoint>,
    linger: Option<Duration>,
    feed: Option<Feed>,
    deliveries: Vec<(Queue, Delivery)>,
    record: RecordGate,
    notes: Notes,
    readings: Option<Readings>,
    finished: Vec<ExportCount>,
}

/// Why exporting cannot start: told before the run.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The `/metrics` endpoint.
    #[error(transparent)]
    Prometheus(#[from] prometheus::EndpointError),
    /// The settings of a sink.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The machine.
    #[error("cannot start the thread that exports: {0}")]
    Thread(#[from] std::io::Error),
}

/// The sinks a plan asks for, in the order of their keys in the documentation.
///
/// # Errors
/// When settings cannot be used. Whether a server is there is found out while sending.
pub fn sinks(settings: &ExportSettings) -> Result<Vec<Arc<dyn Sink>>, SinkError> {
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    if let Some(influxdb) = &settings.influxdb {
        sinks.push(Arc::new(influxdb::InfluxDb::new(influxdb)?));
    }
    Ok(sinks)
}

impl Exporters {
    /// Opens what the plan asks for. Metrics are folded into `live`, which outlives the run.
    ///
    /// # Errors
    /// When the endpoint's port is taken or a URL is none. Whether a remote sink is there is found out while running.
    pub async fn start(settings: &ExportSettings, live: Arc<LiveMetrics>) -> Result<Self, ExportError> {
        let notes = Notes::default();
        let sinks = sinks(settings)?;
        let endpoint = match &settings.prometheus {
            Some(endpoint) => Some(prometheus::Endpoint::bind(endpoint.listen, Arc::clone(&live)).await?),
            None => None,
        };
        let outlet = |sink: Arc<dyn Sink>| {
            let ledger = Ledger::new(sink.name());
            let queue = Queue::new(Box::new(Memory::new(MEMORY_BYTES)), ledger, notes.clone());
            Outlet { sink, queue }
        };
        let outlets: Vec<Outlet> = sinks.into_iter().map(outlet).collect();
        let record = RecordGate::default();
        let feed = match outlets.as_slice() {
            [] => None,
            outlets => Some(Feed::start(outlets.to_vec(), record.clone())?),
        };
        let deliver = |Outlet { sink, queue }: Outlet| {
            live.watch(queue.ledger());
            (queue.clone(), Delivery::start(sink, Vec::new(), queue))
        };
        Ok(Self {
            deliveries: outlets.into_iter().map(deliver).collect(),
            live,
            endpoint,
            linger: settings.prometheus.as_ref().and_then(|endpoint| endpoint.linger),
            feed,
            record,
            notes,
            readings: None,
            finished: Vec::new(),
        })
    }

    /// Where `/metrics` is, if it is.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(prometheus::Endpoint::addr)
    }

    /// Holds seconds back until the record has them, for whoever records the run.
    pub fn record_gate(&self) -> RecordGate {
        self.record.clone()
    }

    /// Takes the next event. Never waits for a sink or a disk.
    pub fn send(&mut self, event: &RunEvent) {
        if let RunEvent::Started(started) = event {
            self.readings = Some(Readings::new(Arc::clone(started)));
        }
        let Some(readings) = &self.readings else { return };
        self.live.apply(readings.run(), event);
        // The sinks are told of the end by `finish`, while they can still be waited for.
        if !matches!(event, RunEvent::Ended(_)) {
            self.feed(event);
        }
    }

    fn feed(&mut self, event: &RunEvent) {
        if let (Some(feed), Some(readings)) = (&self.feed, &mut self.readings) {
            feed.send(event.clone(), readings.read(event));
        }
    }

    /// What became of the points of each sink so far.
    pub fn counts(&self) -> Vec<ExportCount> {
        if self.deliveries.is_empty() {
            return self.finished.clone();
        }
        self.deliveries.iter().map(|(queue, _)| queue.ledger().counts()).collect()
    }

    /// What is worth telling about sinks since the last call: each thing once, without secrets.
    pub fn notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// Tells the sinks of the run's end, of which the counts of exported points are not known yet, and
    /// delivers what waits for at most `deadline`; what is left then is lost. `/metrics` stays open.
    /// Gives the final counts. Events sent later go to `/metrics` alone.
    pub async fn finish(&mut self, ended: &Arc<Ended>, deadline: Duration) -> Vec<ExportCount> {
        self.feed(&RunEvent::Ended(Arc::clone(ended)));
        if let Some(feed) = self.feed.take()
            && !feed.finish().await
        {
            self.notes.tell("export", "export: the disk stands still; the last seconds are lost".to_owned());
        }
        let deliveries = std::mem::take(&mut self.deliveries);
        if !deliveries.is_empty() {
            let finished = deliveries.into_iter().map(|(queue, delivery)| async move {
                delivery.finish(deadline).await;
                let lost = queue.ledger().give_up();
                if lost > 0 {
                    queue.tell(
                        "left",
                        &format!(
                            "{lost} points were not taken within {deadline:?} after the run and are lost"
                        ),
                    );
                }
                queue
            });
            let queues = futures_util::future::join_all(finished).await;
            queues.iter().for_each(|queue| self.live.settle(queue.ledger()));
            self.finished = queues.iter().map(|queue| queue.ledger().counts()).collect();
        }
        self.finished.clone()
    }

    /// Keeps `/metrics` open until one scrape has read the values as they are now, or `linger` has
    /// passed; by default twice the interval seen between scrapes, and no time if nobody scraped.
    /// Dropping the future closes it at once.
    pub async fn close(mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.finish(self.linger).await;
        }
    }
}

/// A run that is dropped in the middle sends nothing any more, and its counts say so.
impl Drop for Exporters {
    fn drop(&mut self) {
        self.record.open();
        for (queue, _) in self.deliveries.drain(..) {
            queue.ledger().give_up();
            self.live.settle(queue.ledger());
        }
    }
}
