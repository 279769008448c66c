//! The target's `/metrics`, made with the `prometheus` crate as most Rust services make theirs, so
//! that scraping a target is tried against what users run.
//!
//! Counters here run on for the life of the process; a reset of the record does not touch them.

use std::sync::Mutex;

use prometheus::{
    Counter, CounterVec, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::floor::Reading;
use crate::locked;
use crate::model::Limit;
use crate::routes::Route;

/// Bucket bounds in seconds, from a loopback answer to a client's usual time-out.
const BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];

/// The kernel reports CPU time in units of 1/100 s to user space, whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGauge,
    waiting: IntGauge,
    capacity: Gauge,
    held_memory: IntGauge,
    open_connections: IntGauge,
    places: GaugeVec,
    busy_seconds: CounterVec,
    utilisation: GaugeVec,
    limit: GaugeVec,
    replicas: GaugeVec,
    cpu_seconds: Counter,
    resident_memory: IntGauge,
    open_fds: IntGauge,
    /// One scrape at a time, so that a gauge and its neighbour are of one moment.
    scraping: Mutex<()>,
}

/// What is read anew for each scrape.
#[derive(Debug, Clone)]
pub(crate) struct Readings {
    pub(crate) in_flight: u64,
    pub(crate) waiting: usize,
    /// `None` is no limit and shown as `+Inf`.
    pub(crate) capacity: Option<u32>,
    pub(crate) held_memory_bytes: u64,
    pub(crate) open_connections: u64,
    /// What the model can do, where it limits anything.
    pub(crate) limit: Option<Limit>,
    /// What requests share, where they share anything.
    pub(crate) resources: Vec<Reading>,
    pub(crate) replicas: Option<u32>,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let requests = Opts::new("demo_requests_total", "Requests answered in full.");
        let durations = HistogramOpts::new(
            "demo_request_duration_seconds",
            "Time from the parsed request head to the write of the last byte.",
        );
        let metrics = Self {
            registry: Registry::new(),
            requests: IntCounterVec::new(requests, &["route", "status"])?,
            durations: HistogramVec::new(durations.buckets(BUCKETS.to_vec()), &["route", "status"])?,
            in_flight: IntGauge::new("demo_in_flight_requests", "Requests being worked on or waiting.")?,
            waiting: IntGauge::new("demo_waiting_requests", "Requests waiting for a place.")?,
            capacity: Gauge::new("demo_capacity_places", "Requests worked on at once; +Inf is no limit.")?,
            held_memory: IntGauge::new("demo_held_memory_bytes", "Memory held on purpose.")?,
            open_connections: IntGauge::new("demo_open_connections", "Connections that are open.")?,
            places: GaugeVec::new(
                Opts::new("demo_places", "How much there is of a resource that requests share."),
                &["resource"],
            )?,
            busy_seconds: CounterVec::new(
                Opts::new("demo_busy_seconds_total", "Seconds for which places of a resource were busy."),
                &["resource"],
            )?,
            utilisation: GaugeVec::new(
                Opts::new("demo_utilisation_ratio", "Busy share of a resource over the last whole second."),
                &["resource"],
            )?,
            limit: GaugeVec::new(
                Opts::new("demo_limit_requests_per_second", "What the model can do, by its formula."),
                &["load"],
            )?,
            replicas: GaugeVec::new(
                Opts::new("demo_replicas", "Replicas at work, with an autoscaler."),
                &[],
            )?,
            cpu_seconds: Counter::new("process_cpu_seconds_total", "User and system CPU time spent.")?,
            resident_memory: IntGauge::new("process_resident_memory_bytes", "Resident memory size.")?,
            open_fds: IntGauge::new("process_open_fds", "Number of open file descriptors.")?,
            scraping: Mutex::new(()),
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.durations.clone()))?;
        metrics.registry.register(Box::new(metrics.in_flight.clone()))?;
        metrics.registry.register(Box::new(metrics.waiting.clone()))?;
        metrics.registry.register(Box::new(metrics.capacity.clone()))?;
        metrics.registry.register(Box::new(metrics.held_memory.clone()))?;
        metrics.registry.register(Box::new(metrics.open_connections.clone()))?;
        metrics.registry.register(Box::new(metrics.places.clone()))?;
        metrics.registry.register(Box::new(metrics.busy_seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.utilisation.clone()))?;
        metrics.registry.register(Box::new(metrics.limit.clone()))?;
        metrics.registry.register(Box::new(metrics.replicas.clone()))?;
        // Where the kernel does not tell, the process metrics are absent rather than zero.
        if Process::read().is_some() {
            metrics.registry.register(Box::new(metrics.cpu_seconds.clone()))?;
            metrics.registry.register(Box::new(metrics.resident_memory.clone()))?;
            metrics.registry.register(Box::new(metrics.open_fds.clone()))?;
        }
        Ok(metrics)
    }

    /// The handles of one series, to be kept by whoever counts: finding them takes locks.
    pub(crate) fn series(&self, route: Route, status: u16) -> (IntCounter, Histogram) {
        let status = status.to_string();
        let labels = [route.name(), status.as_str()];
        (self.requests.with_label_values(&labels), self.durations.with_label_values(&labels))
    }

    /// The metrics in Prometheus' text format.
    pub(crate) fn render(&self, readings: &Readings) -> Result<Vec<u8>, prometheus::Error> {
        let _one_at_a_time = locked(&self.scraping);
        self.in_flight.set(to_i64(readings.in_flight));
        self.waiting.set(to_i64(readings.waiting as u64));
        self.capacity.set(readings.capacity.map_or(f64::INFINITY, f64::from));
        self.held_memory.set(to_i64(readings.held_memory_bytes));
        self.open_connections.set(to_i64(readings.open_connections));
        self.share(readings);
        if let Some(process) = Process::read() {
            self.cpu_seconds.inc_by((process.cpu_seconds - self.cpu_seconds.get()).max(0.0));
            self.resident_memory.set(to_i64(process.resident_bytes));
            self.open_fds.set(to_i64(process.open_fds));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// What requests share now; what they share no longer is gone, save for what was counted.
    fn share(&self, readings: &Readings) {
        [&self.places, &self.utilisation, &self.limit, &self.replicas].into_iter().for_each(GaugeVec::reset);
        for reading in &readings.resources {
            let labels = [reading.resource];
            let busy_seconds = self.busy_seconds.with_label_values(&labels);
            busy_seconds.inc_by((reading.busy_seconds - busy_seconds.get()).max(0.0));
            if let Some(places) = reading.places {
                self.places.with_label_values(&labels).set(places);
            }
            if let Some(ratio) = reading.utilisation {
                self.utilisation.with_label_values(&labels).set(ratio);
            }
        }
        if let Some(Limit { peak, overloaded }) = readings.limit {
            self.limit.with_label_values(&["best"]).set(peak);
            self.limit.with_label_values(&["overload"]).set(overloaded);
        }
        if let Some(replicas) = readings.replicas {
            self.replicas.with_label_values::<&str>(&[]).set(replicas.into());
        }
    }
}

pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What the kernel says about this process.
#[derive(Debug, PartialEq)]
struct Process {
    cpu_seconds: f64,
    resident_bytes: u64,
    open_fds: u64,
}

impl Process {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        // Kernels since 6.2 give the number as the directory's size; older ones have it counted.
        let fds = std::fs::metadata("/proc/self/fd").ok()?.len();
        let open_fds = if fds > 0 { fds } else { std::fs::read_dir("/proc/self/fd").ok()?.count() as u64 };
        Self::parse(&stat, &status, open_fds)
    }

    fn parse(stat: &str, status: &str, open_fds: u64) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold anything, so fields are
        // counted from the last parenthesis; user and system time are the 14th and 15th.
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Self {
            cpu_seconds: (user + system) / TICKS_PER_SECOND,
            resident_bytes: kibibytes * 1024,
            open_fds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_figures_are_read_as_the_kernel_writes_them() {
        let stat = "7 (a ) odd name) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 2 0 100 1 1";
        let expected = Process { cpu_seconds: 3.0, resident_bytes: 2048 * 1024, open_fds: 7 };
        assert_eq!(Process::parse(stat, "Name:\tx\nVmRSS:\t    2048 kB\n", 7), Some(expected));
        for (stat, status) in [("", ""), (stat, ""), ("7 (x) S 1", "VmRSS: 1 kB"), (stat, "VmRSS: 1")] {
            assert_eq!(Process::parse(stat, status, 7), None, "{stat:?} {status:?}");
        }
    }

    #[test]
    fn no_limit_is_infinite_capacity() {
        let mut readings = readings();
        let metrics = Metrics::new().unwrap();
        let text = |readings: &_| String::from_utf8(metrics.render(readings).unwrap()).unwrap();
        assert!(text(&readings).contains("\ndemo_capacity_places inf\n"), "{}", text(&readings));
        assert!(text(&readings).contains("\ndemo_held_memory_bytes 1000000\n"));
        readings.capacity = Some(8);
        assert!(text(&readings).contains("\ndemo_capacity_places 8\n"));
    }

    #[test]
    fn what_is_shared_is_told_and_what_is_not_is_absent() {
        let mut readings = readings();
        let metrics = Metrics::new().unwrap();
        let text = |readings: &_| String::from_utf8(metrics.render(readings).unwrap()).unwrap();
        assert!(!text(&readings).contains("demo_utilisation_ratio"));
        let workers =
            Reading { resource: "workers", places: Some(4.0), busy_seconds: 12.5, utilisation: None };
        readings.resources = vec![workers.clone()];
        (readings.replicas, readings.limit) = (Some(3), Some(Limit { peak: 200.0, overloaded: 150.5 }));
        let first = text(&readings);
        for line in [
            "demo_places{resource=\"workers\"} 4",
            "demo_busy_seconds_total{resource=\"workers\"} 12.5",
            "demo_limit_requests_per_second{load=\"best\"} 200",
            "demo_limit_requests_per_second{load=\"overload\"} 150.5",
            "demo_replicas 3",
        ] {
            assert!(first.lines().any(|found| found == line), "{line} in {first}");
        }
        assert!(!first.contains("demo_utilisation_ratio"), "not before a second is over");
        readings.resources = vec![Reading { utilisation: Some(0.25), ..workers }];
        (readings.replicas, readings.limit) = (None, None);
        let second = text(&readings);
        assert!(second.contains("demo_utilisation_ratio{resource=\"workers\"} 0.25\n"), "{second}");
        assert!(!second.contains("demo_replicas ") && !second.contains("demo_limit_"), "{second}");
    }

    fn readings() -> Readings {
        Readings {
            in_flight: 3,
            waiting: 2,
            capacity: None,
            held_memory_bytes: 1_000_000,
            open_connections: 1,
            limit: None,
            resources: Vec::new(),
            replicas: None,
        }
    }
}
