use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_exposition::Readings;
use plimsoll_run::{Ended, ExportCount, ExportSettings, KafkaExport, RunEvent, Summary};

use tokio_util::sync::CancellationToken;

use crate::budgeted::Budgeted;
use crate::delivery::{Delivery, LeftOver, Queue};
use crate::disk::{self, Disk};
use crate::feed::{Feed, Outlet, RecordGate};
use crate::otlp::{Otlp, Signal};
use crate::store::{MEMORY_BYTES, Memory};
use crate::{
    Ledger, LiveMetrics, Notes, Sink, SinkError, Unfinished, cloudwatch, elasticsearch, file, influxdb,
    prometheus, remote_write, statsd,
};

/// Where one run's measurements go.
///
/// The order of a run: [`Self::start`] before the first event, [`Self::send`] each event, [`Self::finish`]
/// after the last second and before the end is told, [`Self::close`] when nobody waits for a result any more.
#[derive(Debug)]
pub struct Exporters {
    live: Arc<LiveMetrics>,
    endpoint: Option<prometheus::Endpoint>,
    linger: Option<Duration>,
    keep: Duration,
    feed: Option<Feed>,
    deliveries: Vec<Deliveries>,
    unfinished: Vec<Unfinished>,
    record: RecordGate,
    notes: Notes,
    readings: Option<Readings>,
    finished: Vec<ExportCount>,
    earlier: Vec<(String, ExportCount)>,
}

/// What is delivered to one sink: what earlier runs left, then what this run tells.
#[derive(Debug)]
struct Deliveries {
    own: Queue,
    left: Vec<(String, Queue)>,
    task: Delivery,
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

/// The names of all sinks, which are their keys in a plan.
pub const SINKS: &[&str] = &[
    "remote_write",
    "influxdb",
    "otlp",
    "otlp_traces",
    "file",
    "statsd",
    "elasticsearch",
    "cloudwatch",
    "kafka",
];

/// The sinks a plan asks for, in the order of their keys in the documentation.
///
/// # Errors
/// When settings cannot be used. Whether a server is there is found out while sending.
pub fn sinks(settings: &ExportSettings) -> Result<Vec<Arc<dyn Sink>>, SinkError> {
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    if let Some(remote_write) = &settings.remote_write {
        sinks.push(Arc::new(remote_write::RemoteWrite::new(remote_write)?));
    }
    if let Some(influxdb) = &settings.influxdb {
        sinks.push(Arc::new(influxdb::InfluxDb::new(influxdb)?));
    }
    if let Some(otlp) = &settings.otlp {
        sinks.push(Arc::new(Otlp::new(otlp, Signal::Metrics)?));
        if otlp.traces {
            sinks.push(Arc::new(Otlp::new(otlp, Signal::Traces)?));
        }
    }
    if let Some(file) = &settings.file {
        sinks.push(Arc::new(file::File::new(file)?));
    }
    if let Some(statsd) = &settings.statsd {
        sinks.push(Arc::new(statsd::Statsd::new(statsd)?));
    }
    if let Some(elasticsearch) = &settings.elasticsearch {
        sinks.push(Arc::new(elasticsearch::Elasticsearch::new(elasticsearch)?));
    }
    if let Some(cloudwatch) = &settings.cloudwatch {
        sinks.push(Arc::new(cloudwatch::CloudWatch::new(cloudwatch)?));
    }
    if let Some(kafka) = &settings.kafka {
        sinks.push(self::kafka(kafka)?);
    }
    let series = settings.series.unwrap_or(ExportSettings::SERIES);
    Ok(sinks.into_iter().map(|sink| -> Arc<dyn Sink> { Arc::new(Budgeted::new(sink, series)) }).collect())
}

#[cfg(feature = "kafka")]
fn kafka(settings: &KafkaExport) -> Result<Arc<dyn Sink>, SinkError> {
    Ok(Arc::new(crate::kafka::Kafka::new(settings)))
}

#[cfg(not(feature = "kafka"))]
fn kafka(_: &KafkaExport) -> Result<Arc<dyn Sink>, SinkError> {
    let reason =
        "this build has no Kafka: build one with `cargo build --release -p plimsoll --features kafka`";
    Err(SinkError::new("kafka", reason))
}

impl Exporters {
    /// Opens what the plan asks for. Metrics are folded into `live`, which outlives the run. What
    /// earlier runs left in the spool for the same sinks goes out first.
    ///
    /// # Errors
    /// When the endpoint's port is taken or a URL is none. Whether a remote sink is there is found out while running.
    pub async fn start(settings: &ExportSettings, live: Arc<LiveMetrics>) -> Result<Self, ExportError> {
        let sinks = sinks(settings)?;
        let endpoint = match &settings.prometheus {
            Some(endpoint) => Some(prometheus::Endpoint::bind(endpoint.listen, Arc::clone(&live)).await?),
            None => None,
        };
        let notes = Notes::default();
        let (mut outlets, mut deliveries, mut unfinished) = (Vec::new(), Vec::new(), Vec::new());
        for sink in sinks {
            let left = left_over(&sink, settings, &live, &notes);
            let own =
                Queue::new(Box::new(Memory::new(MEMORY_BYTES)), Ledger::new(sink.name()), notes.clone());
            live.watch(own.ledger());
            let queues = left.iter().map(|left| left.found.clone()).collect();
            let task = Delivery::start(Arc::clone(&sink), queues, own.clone());
            let runs = left.iter().map(|left| (left.run.clone(), left.found.queue.clone())).collect();
            deliveries.push(Deliveries { own: own.clone(), left: runs, task });
            unfinished.extend(left.into_iter().filter_map(|left| left.unfinished(&sink)));
            outlets.push(Outlet { sink, queue: own, spool: settings.spool.clone(), live: Arc::clone(&live) });
        }
        let record = RecordGate::default();
        let feed = match outlets.is_empty() {
            true => None,
            false => Some(Feed::start(outlets, record.clone())?),
        };
        Ok(Self {
            live,
            endpoint,
            linger: settings.prometheus.as_ref().and_then(|endpoint| endpoint.linger),
            keep: settings.prometheus.as_ref().map_or(Duration::ZERO, |endpoint| endpoint.keep),
            feed,
            deliveries,
            unfinished,
            record,
            notes,
            readings: None,
            finished: Vec::new(),
            earlier: Vec::new(),
        })
    }

    /// Runs whose process died before all their seconds were in the spool. Who has their record tells
    /// them again; until these are dropped, the queues that follow wait.
    pub fn unfinished(&mut self) -> Vec<Unfinished> {
        std::mem::take(&mut self.unfinished)
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
        self.deliveries.iter().map(|deliveries| deliveries.own.ledger().counts()).collect()
    }

    /// What is worth telling about sinks since the last call: each thing once, without secrets.
    pub fn notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// What has become of the points of earlier runs that waited when this one began, by run and sink.
    /// It is known when this run has finished.
    pub fn earlier(&self) -> &[(String, ExportCount)] {
        &self.earlier
    }

    /// Tells the sinks of the run's end, of which the counts of exported points are not known yet, and
    /// delivers what waits for at most `deadline`; what is left then stays in the spool, and without one is lost.
    /// `/metrics` stays open. Gives the final counts. Events sent later go to `/metrics` alone.
    pub async fn finish(&mut self, ended: &Arc<Ended>, deadline: Duration) -> Vec<ExportCount> {
        self.unfinished.clear();
        self.feed(&RunEvent::Ended(Arc::clone(ended)));
        if let Some(feed) = self.feed.take()
            && !feed.finish().await
        {
            self.notes.tell(
                "export",
                "export: the disk stands still; the last seconds are not exported".to_owned(),
            );
        }
        let finish = |Deliveries { own, left, task }: Deliveries| async move {
            task.finish(deadline).await;
            (own, left)
        };
        let deliveries = std::mem::take(&mut self.deliveries);
        for (own, left) in futures_util::future::join_all(deliveries.into_iter().map(finish)).await {
            self.finished.push(self.settle(&own, deadline));
            for (run, queue) in left {
                let count = self.settle(&queue, deadline);
                self.earlier.push((run, count));
            }
        }
        self.finished.clone()
    }

    /// This process is done with a queue.
    fn settle(&self, queue: &Queue, deadline: Duration) -> ExportCount {
        let before = queue.ledger().counts();
        let left = queue.leave();
        match &left.folder {
            Some(folder) => self.live.keep(folder, queue.ledger()),
            None => self.live.settle(queue.ledger()),
        }
        if left.waiting > 0 {
            queue.tell(
                "left",
                &format!(
                    "{} points were not taken within {deadline:?} after the run; they wait in the spool and go out with the \
                     next run that exports there, or by `plimsoll spool deliver PLAN`",
                    left.waiting
                ),
            );
        }
        let lost = before.backlog.saturating_sub(left.waiting);
        if lost > 0 {
            queue.tell(
                "left and lost",
                &format!("{lost} points were not taken within {deadline:?} after the run and are lost"),
            );
        }
        match left.account {
            Some(account) => ExportCount {
                sink: before.sink,
                produced: account.produced,
                acknowledged: account.acknowledged,
                backlog: account.backlog,
                lost: account.lost,
            },
            None => queue.ledger().counts(),
        }
    }

    /// Takes the summary of the run once it is over, for whoever scrapes afterwards.
    pub fn keep_summary(&self, summary: &Summary) {
        self.live.keep_summary(summary, self.keep);
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
        for Deliveries { own, left, task } in std::mem::take(&mut self.deliveries) {
            drop(task);
            for queue in left.iter().map(|(_, queue)| queue).chain([&own]) {
                self.settle(queue, Duration::ZERO);
            }
        }
    }
}

/// A queue that an earlier run left.
struct Left {
    run: String,
    last_second: Option<u64>,
    has_ended: bool,
    found: LeftOver,
}

impl Left {
    fn unfinished(self, sink: &Arc<dyn Sink>) -> Option<Unfinished> {
        let LeftOver { queue, complete } = self.found;
        if self.has_ended {
            complete.cancel();
            return None;
        }
        Some(Unfinished::new(self.run, self.last_second, Arc::clone(sink), queue, complete))
    }
}

/// What earlier runs left for a sink, and nobody else is delivering.
fn left_over(
    sink: &Arc<dyn Sink>,
    settings: &ExportSettings,
    live: &LiveMetrics,
    notes: &Notes,
) -> Vec<Left> {
    let Some(root) = &settings.spool.directory else { return Vec::new() };
    let name = sink.name();
    let (folders, errors) = disk::waiting_for(root, &**sink);
    for error in errors {
        notes.tell(
            &format!("{name} spool {error}"),
            format!("{name}: what waits in the spool is not delivered: {error}"),
        );
    }
    let mut left = Vec::new();
    for folder in folders {
        match Disk::open(&folder, &settings.spool) {
            Ok(Some(disk)) => {
                let queue = disk.queue();
                let (run, waiting) = (queue.about().run.clone(), queue.account().backlog);
                let (last_second, has_ended) = (queue.last_second(), queue.is_ended());
                let ledger = live.take_up(&folder, name, waiting);
                let queue = Queue::new(Box::new(disk), ledger, notes.clone());
                let found = LeftOver { queue, complete: CancellationToken::new() };
                left.push(Left { run, last_second, has_ended, found });
            }
            Ok(None) => {}
            Err(error) => notes.tell(
                &format!("{name} spool {error}"),
                format!("{name}: what waits in the spool is not delivered: {error}"),
            ),
        }
    }
    left
}

#[cfg(all(test, not(feature = "kafka")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_kafka_says_how_to_make_one_with_it() {
        let kafka = KafkaExport { brokers: vec!["127.0.0.1:9092".to_owned()], topic: "load".to_owned() };
        let settings = ExportSettings { kafka: Some(kafka), ..ExportSettings::default() };
        let error = sinks(&settings).unwrap_err().to_string();
        assert!(
            error.starts_with("kafka: this build has no Kafka") && error.contains("--features kafka"),
            "{error}"
        );
    }
}
