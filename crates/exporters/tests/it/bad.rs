//! What real servers and bad conditions do to the exporters of a run. Whatever happens: at every look produced =
//! acknowledged + backlog + lost, each kind of trouble is told once, and what is not counted as lost is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_exporters::{Exporters, LiveMetrics};
use plimsoll_run::{
    ExportCount, ExportSettings, InfluxExport, InfluxPlace, OtlpExport, OtlpHistograms, OtlpProtocol,
    OtlpTemporality, RemoteWriteExport, RemoteWriteHistograms, RemoteWriteVersion, SpoolSettings,
};
use plimsoll_testkit::remote_write::{RemoteWriteReceiver, Reply, Speaks};
use plimsoll_testkit::{
    Answer, InfluxDb, OtlpAnswer, OtlpReceiver, Process, Prometheus, PrometheusSetup, Receiver, Rotel,
    wait_for,
};
use tempfile::TempDir;

use crate::otlp::requests;
use crate::run::{DEADLINE, Run, ended};

fn remote_write(url: &str) -> RemoteWriteExport {
    RemoteWriteExport {
        url: url.to_owned(),
        version: RemoteWriteVersion::Auto,
        token: None,
        login: None,
        headers: Vec::new(),
        labels: [].into(),
        histograms: RemoteWriteHistograms::Both,
        lanes: 2,
    }
}

fn influxdb(url: &str) -> InfluxExport {
    let place = InfluxPlace::Version1 { database: "own".to_owned(), retention_policy: None, user: None };
    InfluxExport { url: url.to_owned(), place }
}

fn otlp(url: &str, protocol: OtlpProtocol) -> OtlpExport {
    OtlpExport {
        url: url.to_owned(),
        protocol,
        headers: Vec::new(),
        temporality: OtlpTemporality::Cumulative,
        histograms: OtlpHistograms::Exponential,
        traces: false,
        gzip: true,
    }
}

fn spool(directory: &Path) -> SpoolSettings {
    SpoolSettings { directory: Some(directory.to_owned()), ..SpoolSettings::default() }
}

/// A run that is exported, looked at again and again.
struct Exported {
    exporters: Exporters,
    live: Arc<LiveMetrics>,
    run: Run,
    seconds: u64,
    notes: Vec<String>,
}

impl Exported {
    async fn start(settings: &ExportSettings, run: Run) -> Self {
        let live = Arc::new(LiveMetrics::new());
        let mut exporters = Exporters::start(settings, Arc::clone(&live)).await.unwrap();
        exporters.send(&run.start());
        Self { exporters, live, run, seconds: 0, notes: Vec::new() }
    }

    fn tell(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let event = self.run.next_second(100 + 37 * self.seconds);
            self.exporters.send(&event);
            self.exporters.send(&self.run.judged());
            self.seconds += 1;
            self.look();
        }
    }

    /// The counts now, as the run and as the process has them: both add up.
    fn look(&mut self) -> Vec<ExportCount> {
        self.notes.extend(self.exporters.notes());
        let counts = self.exporters.counts();
        for count in self.live.export_counts().iter().chain(&counts) {
            assert_eq!(count.produced, count.acknowledged + count.backlog + count.lost, "{count:?}");
        }
        counts
    }

    /// Waits until it is so of every sink.
    async fn until(&mut self, what: &str, is_so: impl Fn(&ExportCount) -> bool) {
        wait_for(DEADLINE, what, async || {
            let counts = self.look();
            if counts.iter().all(&is_so) { Ok(()) } else { Err(format!("{counts:?} {:?}", self.notes)) }
        })
        .await
        .unwrap();
    }

    /// Waits until every sink was told of in these words.
    async fn until_told(&mut self, words: &[&str]) {
        wait_for(DEADLINE, "notes", async || {
            self.look();
            let missing = words.iter().find(|words| !self.notes.iter().any(|note| note.contains(**words)));
            missing.map_or(Ok(()), |words| Err(format!("no {words:?} in {:?}", self.notes)))
        })
        .await
        .unwrap();
    }

    /// Nothing waits at its end.
    async fn finish(&mut self) -> Vec<ExportCount> {
        let counts = self.exporters.finish(&ended(self.seconds), DEADLINE).await;
        assert_eq!(self.look(), counts);
        for count in &counts {
            assert!(count.backlog == 0 && count.produced > 0, "{count:?} {:?}", self.notes);
        }
        counts
    }

    /// Each sink is told of so often at most, and nothing twice.
    fn assert_told(&self, most: usize) {
        let once: BTreeSet<&String> = self.notes.iter().collect();
        assert_eq!(once.len(), self.notes.len(), "{:?}", self.notes);
        for sink in ["remote_write", "influxdb", "otlp"] {
            let told = self.notes.iter().filter(|note| note.starts_with(&format!("{sink}: ")));
            assert!(told.count() <= most, "{:?}", self.notes);
        }
    }
}

/// Three real servers.
struct Servers {
    prometheus: Prometheus,
    influx: InfluxDb,
    rotel: Rotel,
}

impl Servers {
    async fn start() -> Self {
        let (prometheus, influx, rotel) =
            tokio::join!(Prometheus::start(PrometheusSetup::default()), InfluxDb::start(), Rotel::start());
        let influx = influx.unwrap();
        influx.create_database("own").await.unwrap();
        Self { prometheus: prometheus.unwrap(), influx, rotel: rotel.unwrap() }
    }

    fn settings(&self, protocol: OtlpProtocol, directory: &Path) -> ExportSettings {
        let url = match protocol {
            OtlpProtocol::Http => self.rotel.http_url(),
            OtlpProtocol::Grpc => self.rotel.grpc_url(),
        };
        ExportSettings {
            remote_write: Some(remote_write(&self.prometheus.remote_write_url())),
            influxdb: Some(influxdb(&self.influx.engine_url())),
            otlp: Some(otlp(&url, protocol)),
            spool: spool(directory),
            ..ExportSettings::default()
        }
    }

    fn processes(&mut self) -> [&mut Process; 3] {
        [&mut self.prometheus.process, &mut self.influx.engine, &mut self.rotel.process]
    }

    fn stop(&mut self) {
        self.processes().into_iter().for_each(|process| process.stop().unwrap());
    }

    async fn start_again(&mut self) {
        let [prometheus, influx, rotel] = self.processes().map(Process::start_again);
        let (prometheus, influx, rotel) = tokio::join!(prometheus, influx, rotel);
        prometheus.and(influx).and(rotel).unwrap();
    }

    /// Each has every request of the run; how many points the collector was sent, once it told of so many: it tells of
    /// them one by one.
    async fn have(&self, run: &Run, seconds: u64, least: u64) -> u64 {
        let total = run.requests();
        let rows =
            self.influx.query_database("own", "SELECT sum(count) FROM plimsoll_requests").await.unwrap();
        assert_eq!(rows[0].number("sum"), Some(total as f64), "InfluxDB");
        let (query, end) = ("sum(plimsoll_requests_total)", run.moment(seconds));
        let found = self.prometheus.query_range(query, end, end, 1.0).await.unwrap();
        assert_eq!(found[0].value(), Some(total as f64), "Prometheus");
        let temporality = OtlpTemporality::Cumulative;
        let all = |points: &[plimsoll_testkit::RotelPoint]| {
            points.len() as u64 >= least && requests(points, temporality).values().sum::<u64>() == total
        };
        self.rotel.wait_for_points(all, DEADLINE).await.unwrap().len() as u64
    }
}

#[tokio::test]
async fn servers_that_come_late_and_die_have_all_of_it_in_the_end() {
    let directory = TempDir::new().unwrap();
    let mut servers = Servers::start().await;
    servers.stop();
    let settings = servers.settings(OtlpProtocol::Grpc, directory.path());
    let mut exported = Exported::start(&settings, Run::new()).await;
    exported.tell(3);
    exported.until_told(&["remote_write: no conn", "influxdb: no conn", "otlp: no conn"]).await;
    exported.until("a backlog", |count| count.backlog > 0 && count.backlog == count.produced).await;

    servers.start_again().await;
    exported.until("points", |count| count.backlog == 0 && count.acknowledged > 0).await;
    exported.tell(2);
    exported.until("points", |count| count.backlog == 0).await;
    servers.stop();
    exported.tell(3);
    exported.until("a backlog", |count| count.backlog > 0 && count.lost == 0).await;
    let (counts, ()) = tokio::join!(exported.finish(), servers.start_again());
    assert!(counts.iter().all(|count| count.lost == 0), "{counts:?}");
    servers.have(&exported.run, 8, 0).await;
    // A server that starts says so with a status of its own.
    exported.assert_told(2);
}

#[tokio::test]
async fn servers_that_stand_still_and_go_on_have_each_point_once() {
    for protocol in [OtlpProtocol::Http, OtlpProtocol::Grpc] {
        let directory = TempDir::new().unwrap();
        let mut servers = Servers::start().await;
        let settings = servers.settings(protocol, directory.path());
        let mut exported = Exported::start(&settings, Run::new()).await;
        exported.tell(2);
        exported.until("points", |count| count.backlog == 0 && count.acknowledged > 0).await;
        servers.processes().into_iter().for_each(|process| process.freeze().unwrap());
        exported.tell(2);
        wait_for(DEADLINE, "requests under way", async || {
            let unread = servers.processes().map(|process| process.unread().unwrap());
            if unread.iter().all(|bytes| *bytes > 0) { Ok(()) } else { Err(format!("{unread:?}")) }
        })
        .await
        .unwrap();
        exported.tell(2);
        exported.until("a backlog", |count| count.backlog > 0 && count.lost == 0).await;
        servers.processes().into_iter().for_each(|process| process.thaw().unwrap());
        let counts = exported.finish().await;
        assert!(counts.iter().all(|count| count.lost == 0), "{counts:?}");
        let produced = counts.iter().find(|count| count.sink == "otlp").unwrap().produced;
        assert_eq!(servers.have(&exported.run, 6, produced).await, produced, "{protocol:?}");
        assert_eq!(exported.notes, Vec::<String>::new());
    }
}

/// With a clock that is moved on when nothing else happens: a server that is asked answers before.
#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_asked_again_and_told_of_once() {
    for protocol in [OtlpProtocol::Http, OtlpProtocol::Grpc] {
        let prometheus =
            RemoteWriteReceiver::start(Speaks::Two, [Reply::Hang, Reply::Hang, Reply::Take]).await.unwrap();
        let influx = Receiver::start([Answer::Stall, Answer::Stall, Answer::Status(204)]).await.unwrap();
        let collector = OtlpReceiver::start([OtlpAnswer::Stall, OtlpAnswer::Stall, OtlpAnswer::Take]);
        let collector = collector.await.unwrap();
        let settings = ExportSettings {
            remote_write: Some(RemoteWriteExport { lanes: 1, ..remote_write(&prometheus.url()) }),
            influxdb: Some(influxdb(&influx.url())),
            otlp: Some(otlp(&collector.url(), protocol)),
            ..ExportSettings::default()
        };
        let mut exported = Exported::start(&settings, Run::new()).await;
        let asked = tokio::time::Instant::now();
        exported.tell(3);
        exported.until("points", |count| count.acknowledged > 0 && count.backlog == 0).await;
        assert!(asked.elapsed() >= Duration::from_secs(20), "each is waited for as long as is said");
        exported.tell(2);
        let counts = exported.finish().await;
        assert!(counts.iter().all(|count| count.lost == 0), "{counts:?}");
        assert_eq!(prometheus.sum("plimsoll_requests_total", &[]), exported.run.requests() as f64);
        assert_eq!(prometheus.violations(), Vec::<String>::new());
        for requests in [
            influx.received().iter().map(|one| one.text().unwrap()).collect::<Vec<_>>(),
            collector.received().iter().map(|one| format!("{:?}", one.metrics)).collect(),
        ] {
            assert!(requests[0] == requests[1] && requests[1] == requests[2], "the same points again");
        }
        let [remote_write, influxdb, otlp] = exported.notes.as_slice() else {
            panic!("{:?}", exported.notes)
        };
        for note in [remote_write, influxdb, otlp] {
            assert!(note.contains("no answer in time, points wait"), "{note}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_none() {
    for protocol in [OtlpProtocol::Http, OtlpProtocol::Grpc] {
        let influx = Receiver::start([Answer::Half("{".to_owned()), Answer::Status(204)]).await.unwrap();
        let collector = OtlpReceiver::start([OtlpAnswer::Half, OtlpAnswer::Take]).await.unwrap();
        let settings = ExportSettings {
            influxdb: Some(influxdb(&influx.url())),
            otlp: Some(otlp(&collector.url(), protocol)),
            ..ExportSettings::default()
        };
        let mut exported = Exported::start(&settings, Run::new()).await;
        exported.tell(2);
        let counts = exported.finish().await;
        assert!(counts.iter().all(|count| count.lost == 0), "{counts:?} {:?}", exported.notes);
        assert_eq!(collector.received()[0].metrics, collector.received()[1].metrics, "the same points again");
        exported.assert_told(1);
        exported.until_told(&["influxdb: the answer broke off, points wait: ", "otlp: "]).await;
    }
}

/// A short run on a machine whose clock is so far ahead, to a Prometheus and an InfluxDB.
async fn by_clock(servers: &Servers, ahead: i64) -> (Run, Vec<ExportCount>, Vec<String>) {
    let zone = [("zone".to_owned(), format!("{ahead}"))].into();
    let pushed = RemoteWriteExport { labels: zone, ..remote_write(&servers.prometheus.remote_write_url()) };
    let settings = ExportSettings {
        remote_write: Some(pushed),
        influxdb: Some(influxdb(&servers.influx.engine_url())),
        ..ExportSettings::default()
    };
    let mut exported = Exported::start(&settings, Run::by_clock(ahead)).await;
    exported.tell(3);
    let counts = exported.finish().await;
    exported.assert_told(1);
    (exported.run, counts, exported.notes)
}

#[tokio::test]
async fn points_by_a_clock_that_is_off_are_there_or_lost_with_the_reason() {
    let servers = Servers::start().await;
    // Prometheus takes nothing that is an hour older than the newest it has, and all that is ahead: then the others are old.
    let too_old = "remote_write: 400: the server finds points too old, by what it has or by its clock; they are lost; \
                   the server says: out of bounds";
    for (ahead, expected) in [(0, None), (-3_700, Some(too_old)), (5_400, None), (1, Some(too_old))] {
        let (run, counts, notes) = by_clock(&servers, ahead).await;
        let [remote_write, influxdb] = counts.as_slice() else { panic!("{counts:?}") };
        assert_eq!(notes, Vec::from_iter(expected));
        assert_eq!(influxdb.lost, 0);
        assert_eq!(remote_write.lost, if expected.is_some() { remote_write.produced } else { 0 });
        let query = format!("sum(plimsoll_requests_total{{zone=\"{ahead}\"}})");
        let found = servers.prometheus.query_range(&query, run.moment(3), run.moment(3), 1.0).await.unwrap();
        let stored = found.first().and_then(plimsoll_testkit::Series::value);
        assert_eq!(stored, expected.is_none().then_some(run.requests() as f64));
        let query = format!("SELECT sum(count) FROM plimsoll_requests WHERE run = '{}'", run.id);
        let rows = servers.influx.query_database("own", &query).await.unwrap();
        assert_eq!(rows[0].number("sum"), Some(run.requests() as f64), "InfluxDB takes any time");
    }
}
