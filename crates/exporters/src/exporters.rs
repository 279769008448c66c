use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_exposition::Readings;
use plimsoll_run::{ExportCount, ExportSettings, RunEvent};

use crate::{LiveMetrics, Notes, influxdb, prometheus};

/// Where one run's measurements go.
///
/// The order of a run: [`Self::start`] before the first event, [`Self::send`] each event, [`Self::finish`]
/// after the last second and before the end is told, [`Self::close`] when nobody waits for a result any more.
#[derive(Debug)]
pub struct Exporters {
    live: Arc<LiveMetrics>,
    endpoint: Option<prometheus::Endpoint>,
    linger: Option<Duration>,
    influxdb: Option<influxdb::Writer>,
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
    /// The InfluxDB writer.
    #[error(transparent)]
    InfluxDb(#[from] influxdb::WriterError),
}

impl Exporters {
    /// Opens what the plan asks for. Metrics are folded into `live`, which outlives the run.
    ///
    /// # Errors
    /// When the endpoint's port is taken or a URL is none. Whether a remote sink is there is found out while running.
    pub async fn start(settings: &ExportSettings, live: Arc<LiveMetrics>) -> Result<Self, ExportError> {
        let notes = Notes::default();
        let influxdb = match &settings.influxdb {
            Some(influx) => Some(influxdb::Writer::start(influx, notes.clone())?),
            None => None,
        };
        let endpoint = match &settings.prometheus {
            Some(endpoint) => Some(prometheus::Endpoint::bind(endpoint.listen, Arc::clone(&live)).await?),
            None => None,
        };
        if let Some(writer) = &influxdb {
            live.watch(writer.ledger());
        }
        Ok(Self {
            live,
            endpoint,
            linger: settings.prometheus.as_ref().and_then(|endpoint| endpoint.linger),
            influxdb,
            notes,
            readings: None,
            finished: Vec::new(),
        })
    }

    /// Where `/metrics` is, if it is.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(prometheus::Endpoint::addr)
    }

    /// Takes the next event. Never waits for a sink.
    pub fn send(&mut self, event: &RunEvent) {
        if let RunEvent::Started(started) = event {
            self.readings = Some(Readings::new(Arc::clone(started)));
        }
        let Some(readings) = &mut self.readings else { return };
        self.live.apply(readings.run(), event);
        if let Some(writer) = &self.influxdb
            && let Some(report) = readings.read(event)
        {
            writer.send(&report, readings.run());
        }
    }

    /// What became of the points of each sink so far.
    pub fn counts(&self) -> Vec<ExportCount> {
        match &self.influxdb {
            Some(writer) => vec![writer.ledger().counts()],
            None => self.finished.clone(),
        }
    }

    /// What is worth telling about sinks since the last call: each thing once, without secrets.
    pub fn notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// Delivers what waits, for at most `deadline`; what is left then is lost. `/metrics` stays open.
    /// Gives the final counts. Events sent later go to `/metrics` alone.
    pub async fn finish(&mut self, deadline: Duration) -> Vec<ExportCount> {
        if let Some(writer) = self.influxdb.take() {
            let ledger = writer.ledger().clone();
            writer.finish(deadline).await;
            self.live.settle(&ledger);
            self.finished = vec![ledger.counts()];
        }
        self.finished.clone()
    }

    /// Keeps `/metrics` open until one scrape has read the values as they are now, or `linger` has
    /// passed; by default twice the interval seen between scrapes, and no time if nobody scraped.
    /// Dropping the future closes it at once.
    pub async fn close(mut self) {
        self.finish(Duration::ZERO).await;
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.finish(self.linger).await;
        }
    }
}

/// A run that is dropped in the middle sends nothing any more, and its counts say so.
impl Drop for Exporters {
    fn drop(&mut self) {
        if let Some(writer) = self.influxdb.take() {
            writer.ledger().give_up();
            self.live.settle(writer.ledger());
        }
    }
}
