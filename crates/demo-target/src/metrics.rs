//! The target's `/metrics`, made with the `prometheus` crate as most Rust services make theirs, so
//! that scraping a target is tried against what users run.
//!
//! Counters here run on for the life of the process; a reset of the record does not touch them.

use std::sync::Mutex;

use prometheus::{
    Counter, Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

use crate::locked;
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
    cpu_seconds: Counter,
    resident_memory: IntGauge,
    /// One scrape at a time, so that a gauge and its neighbour are of one moment.
    scraping: Mutex<()>,
}

/// What is read anew for each scrape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readings {
    pub(crate) in_flight: u64,
    pub(crate) waiting: usize,
    /// `None` is no limit and shown as `+Inf`.
    pub(crate) capacity: Option<u32>,
    pub(crate) held_memory_bytes: u64,
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
            cpu_seconds: Counter::new("process_cpu_seconds_total", "User and system CPU time spent.")?,
            resident_memory: IntGauge::new("process_resident_memory_bytes", "Resident memory size.")?,
            scraping: Mutex::new(()),
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.durations.clone()))?;
        metrics.registry.register(Box::new(metrics.in_flight.clone()))?;
        metrics.registry.register(Box::new(metrics.waiting.clone()))?;
        metrics.registry.register(Box::new(metrics.capacity.clone()))?;
        metrics.registry.register(Box::new(metrics.held_memory.clone()))?;
        // Where the kernel does not tell, the process metrics are absent rather than zero.
        if Process::read().is_some() {
            metrics.registry.register(Box::new(metrics.cpu_seconds.clone()))?;
            metrics.registry.register(Box::new(metrics.resident_memory.clone()))?;
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
    pub(crate) fn render(&self, readings: Readings) -> Result<Vec<u8>, prometheus::Error> {
        let _one_at_a_time = locked(&self.scraping);
        self.in_flight.set(to_i64(readings.in_flight));
        self.waiting.set(to_i64(readings.waiting as u64));
        self.capacity.set(readings.capacity.map_or(f64::INFINITY, f64::from));
        self.held_memory.set(to_i64(readings.held_memory_bytes));
        if let Some(process) = Process::read() {
            self.cpu_seconds.inc_by((process.cpu_seconds - self.cpu_seconds.get()).max(0.0));
            self.resident_memory.set(to_i64(process.resident_bytes));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
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
}

impl Process {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        Self::parse(&stat, &status)
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold anything, so fields are
        // counted from the last parenthesis; user and system time are the 14th and 15th.
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Self { cpu_seconds: (user + system) / TICKS_PER_SECOND, resident_bytes: kibibytes * 1024 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_figures_are_read_as_the_kernel_writes_them() {
        let stat = "7 (a ) odd name) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 2 0 100 1 1";
        let expected = Process { cpu_seconds: 3.0, resident_bytes: 2048 * 1024 };
        assert_eq!(Process::parse(stat, "Name:\tx\nVmRSS:\t    2048 kB\n"), Some(expected));
        for (stat, status) in [("", ""), (stat, ""), ("7 (x) S 1", "VmRSS: 1 kB"), (stat, "VmRSS: 1")] {
            assert_eq!(Process::parse(stat, status), None, "{stat:?} {status:?}");
        }
    }

    #[test]
    fn no_limit_is_infinite_capacity() {
        let readings = Readings { in_flight: 3, waiting: 2, capacity: None, held_memory_bytes: 1_000_000 };
        let metrics = Metrics::new().unwrap();
        let text = |readings| String::from_utf8(metrics.render(readings).unwrap()).unwrap();
        assert!(text(readings).contains("\ndemo_capacity_places inf\n"), "{}", text(readings));
        assert!(text(readings).contains("\ndemo_held_memory_bytes 1000000\n"));
        assert!(text(Readings { capacity: Some(8), ..readings }).contains("\ndemo_capacity_places 8\n"));
    }
}
