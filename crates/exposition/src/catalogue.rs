//! Every metric this version fills: name, kind, unit, labels, help.
//!
//! Dashboards, alerts and other people's queries rely on these names. Units are base units, labels
//! are small closed sets.

use plimsoll_measure::Timing;

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// How its values behave.
    pub kind: Kind,
    /// What its values are in, where they have a unit.
    pub unit: Option<Unit>,
    /// The labels of each of its series, in order.
    pub labels: &'static [&'static str],
    /// One sentence for people.
    pub help: &'static str,
}

/// How the values of a metric behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Counts up over the life of the process.
    Counter,
    /// A level.
    Gauge,
    /// A level that is always 1: its labels tell.
    Info,
    /// Counts durations by length.
    Histogram,
}

impl Kind {
    /// Its word for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
            Self::Histogram => "histogram",
        }
    }
}

/// A base unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share of one.
    Ratio,
}

impl Unit {
    /// Its word in metric names.
    pub fn label(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }
}

impl Metric {
    /// Its measurement in InfluxDB: the name less its last suffix, where that is `_total` or a unit.
    pub fn measurement(&self) -> &'static str {
        let suffixes = ["_total", "_seconds", "_ratio"];
        suffixes.into_iter().find_map(|suffix| self.name.strip_suffix(suffix)).unwrap_or(self.name)
    }
}

/// The labels of what belongs to a request.
const LOAD: &[&str] = &["plan", "scenario", "step", "phase", "outcome"];
const MEASURE: &[&str] = &["plan", "scenario", "step", "phase", "measure"];
const SLA: &[&str] = &["plan", "sla"];
const PLAN: &[&str] = &["plan"];

const fn duration(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit: Some(Unit::Seconds), labels, help }
}

const fn counter(
    name: &'static str,
    unit: Option<Unit>,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, unit, labels, help }
}

const fn gauge(
    name: &'static str,
    unit: Option<Unit>,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, labels, help }
}

/// done - due.
pub static RESPONSE_TIME: Metric = duration(
    "plimsoll_response_time_seconds",
    LOAD,
    "From when a request was due to its last body byte; what a user waits.",
);
/// done - sent.
pub static SERVICE_TIME: Metric = duration(
    "plimsoll_service_time_seconds",
    LOAD,
    "From a request's first byte out to its last body byte; what the target took.",
);
/// ready - due.
pub static SCHEDULE_LAG: Metric = duration(
    "plimsoll_schedule_lag_seconds",
    LOAD,
    "From when a request was due to when the generator got to it; its own lateness.",
);
/// sent - ready.
pub static WAIT: Metric = duration(
    "plimsoll_wait_seconds",
    LOAD,
    "From when the generator got to a request to its first byte out; no connection was free.",
);
/// TCP connect.
pub static CONNECT_TIME: Metric = duration(
    "plimsoll_connect_time_seconds",
    LOAD,
    "Opening a TCP connection, for requests that opened one.",
);
/// TLS handshake.
pub static TLS_TIME: Metric =
    duration("plimsoll_tls_time_seconds", LOAD, "The TLS handshake, for requests that made one.");
/// First byte out to first byte back.
pub static FIRST_BYTE_TIME: Metric = duration(
    "plimsoll_first_byte_time_seconds",
    LOAD,
    "From a request's first byte out to the first byte back.",
);
/// Arrival's due to last done.
pub static ITERATION_TIME: Metric = duration(
    "plimsoll_iteration_time_seconds",
    &["plan", "scenario", "phase"],
    "From when an iteration was due to the end of its last step, pauses included.",
);
/// Group's due to its last done.
pub static GROUP_TIME: Metric = duration(
    "plimsoll_group_time_seconds",
    &["plan", "scenario", "group", "phase"],
    "From when the first step of a group was due to the end of its last, pauses included.",
);
/// Answers that checks looked at.
pub static CHECKS: Metric = counter(
    "plimsoll_checks_total",
    None,
    &["plan", "scenario", "step", "phase", "check", "result"],
    "Answers that a check of a step looked at: pass or fail. A check decides about nothing else.",
);
/// Requests that ended.
pub static REQUESTS: Metric = counter(
    "plimsoll_requests_total",
    None,
    &["plan", "scenario", "step", "phase", "outcome", "status"],
    "Requests that ended, by how and with which HTTP status; status is empty without an answer.",
);
/// Arrivals not offered.
pub static DROPPED_ARRIVALS: Metric = counter(
    "plimsoll_dropped_arrivals_total",
    None,
    &["plan", "scenario", "phase", "cause"],
    "Arrivals that were due and not offered: in_flight_limit is the target's slowness, generator our own.",
);
/// Bytes read.
pub static RECEIVED_BYTES: Metric =
    counter("plimsoll_received_bytes_total", Some(Unit::Bytes), LOAD, "Bytes read for requests that ended.");
/// Bytes written.
pub static SENT_BYTES: Metric =
    counter("plimsoll_sent_bytes_total", Some(Unit::Bytes), LOAD, "Bytes written for requests that ended.");
/// What is asked for.
pub static OFFERED_RATE: Metric = gauge(
    "plimsoll_offered_rate",
    None,
    PLAN,
    "Iterations per second asked for, by the plan or by who steers the run; in the closed model those started in the last second.",
);
/// Active users.
pub static VIRTUAL_USERS: Metric = gauge(
    "plimsoll_virtual_users",
    None,
    PLAN,
    "Virtual users active; in the open model the iterations running.",
);
/// Requests on their way.
pub static IN_FLIGHT_REQUESTS: Metric =
    gauge("plimsoll_in_flight_requests", None, PLAN, "Requests in flight at the end of the last second.");
/// Open connections.
pub static CONNECTIONS: Metric =
    gauge("plimsoll_connections", None, PLAN, "Open connections at the end of the last second.");
/// Connections opened.
pub static CONNECTIONS_OPENED: Metric = counter(
    "plimsoll_connections_opened_total",
    None,
    &["plan", "tls"],
    "Connections opened: tls is none, full or resumed.",
);
/// Connections not opened.
pub static CONNECTIONS_FAILED: Metric = counter(
    "plimsoll_connections_failed_total",
    None,
    PLAN,
    "Attempts to open a connection that opened none.",
);
/// Connections closed.
pub static CONNECTIONS_CLOSED: Metric =
    counter("plimsoll_connections_closed_total", None, &["plan", "reason"], "Connections closed, by why.");
/// What closed connections had carried.
pub static CONNECTION_REQUESTS: Metric = counter(
    "plimsoll_connection_requests_total",
    None,
    PLAN,
    "Requests that connections had carried when they closed; over the connections closed, the mean of each.",
);
/// How often connections are used again.
pub static CONNECTION_REUSE: Metric = gauge(
    "plimsoll_connection_reuse_ratio",
    Some(Unit::Ratio),
    PLAN,
    "Share of requests that went over a connection which had carried one before, of the run's connections that have closed.",
);
/// Waiting for a connection.
pub static CONNECTION_WAIT: Metric = duration(
    "plimsoll_connection_wait_seconds",
    PLAN,
    "From when a request that found no idle connection asked for one to when it had one.",
);
/// Our own work.
pub static GENERATOR_CPU: Metric = gauge(
    "plimsoll_generator_cpu_ratio",
    Some(Unit::Ratio),
    &[],
    "CPU time of the generator over the last second as a share of the processors it may use.",
);
/// Its busiest thread.
pub static GENERATOR_WORKER_CPU: Metric = gauge(
    "plimsoll_generator_worker_cpu_ratio",
    Some(Unit::Ratio),
    &[],
    "CPU time of the busiest worker over the last second as a share of one processor.",
);
/// Ready and not run.
pub static GENERATOR_WORKER_WAIT: Metric = gauge(
    "plimsoll_generator_worker_wait_ratio",
    Some(Unit::Ratio),
    &[],
    "Share of the last second in which a worker was ready to run and others had the processor; the worst worker.",
);
/// Taken by the host.
pub static GENERATOR_STEAL: Metric = gauge(
    "plimsoll_generator_steal_ratio",
    Some(Unit::Ratio),
    &[],
    "Share of the machine's CPU time over the last second that its host gave to others (steal).",
);
/// Held by a quota.
pub static GENERATOR_THROTTLED: Metric = gauge(
    "plimsoll_generator_throttled_ratio",
    Some(Unit::Ratio),
    &[],
    "Share of the last second for which a CPU quota held the generator, summed over processors.",
);
/// Late to its own appointments.
pub static GENERATOR_STALL: Metric = gauge(
    "plimsoll_generator_stall_seconds",
    Some(Unit::Seconds),
    &[],
    "How late a worker came to an appointment with itself in the last second; the latest of any worker.",
);
/// Open descriptors.
pub static GENERATOR_DESCRIPTORS: Metric =
    gauge("plimsoll_generator_descriptors", None, &[], "Open file descriptors of the generator.");
/// Their limit.
pub static GENERATOR_DESCRIPTORS_LIMIT: Metric =
    gauge("plimsoll_generator_descriptors_limit", None, &[], "File descriptors the generator may have open.");
/// TCP sockets.
pub static GENERATOR_TCP_SOCKETS: Metric = gauge(
    "plimsoll_generator_tcp_sockets",
    None,
    &[],
    "TCP sockets in use in the generator's network namespace, its own and others'.",
);
/// TCP sockets that are over.
pub static GENERATOR_TIME_WAIT_SOCKETS: Metric = gauge(
    "plimsoll_generator_time_wait_sockets",
    None,
    &[],
    "TCP sockets in TIME_WAIT in the generator's network namespace; each keeps its port.",
);
/// Ports there are.
pub static GENERATOR_LOCAL_PORTS: Metric = gauge(
    "plimsoll_generator_local_ports",
    None,
    &[],
    "Ports the system may choose from for connections to one address and port.",
);
/// Sent again.
pub static GENERATOR_RETRANSMITS: Metric = counter(
    "plimsoll_generator_retransmits_total",
    None,
    &[],
    "TCP segments sent again in the generator's network namespace while it had a run.",
);
/// TCP's own measure.
pub static GENERATOR_ROUND_TRIP: Metric = gauge(
    "plimsoll_generator_round_trip_seconds",
    Some(Unit::Seconds),
    &[],
    "Smoothed TCP round-trip time to the target, the median over some connections.",
);
/// Arrived and not read.
pub static GENERATOR_RECEIVE_QUEUE: Metric = gauge(
    "plimsoll_generator_receive_queue_bytes",
    Some(Unit::Bytes),
    &[],
    "Bytes that have arrived from the target and are not read yet, the most on one of some connections.",
);
/// The network link.
pub static GENERATOR_LINK: Metric = gauge(
    "plimsoll_generator_link_ratio",
    Some(Unit::Ratio),
    &[],
    "Bytes received or sent over the last second, whichever are more, as a share of what the busiest link carries.",
);
/// Own memory.
pub static GENERATOR_RSS: Metric = gauge(
    "plimsoll_generator_rss_bytes",
    Some(Unit::Bytes),
    &[],
    "Memory of the generator that is in use (resident).",
);
/// Memory left.
pub static GENERATOR_AVAILABLE_MEMORY: Metric = gauge(
    "plimsoll_generator_available_memory_bytes",
    Some(Unit::Bytes),
    &[],
    "Memory the generator's machine can still give without swapping.",
);
/// Waiting for memory.
pub static GENERATOR_MEMORY_PRESSURE: Metric = gauge(
    "plimsoll_generator_memory_pressure_ratio",
    Some(Unit::Ratio),
    &[],
    "Share of the last second in which some task of the generator's machine waited for memory.",
);
/// What the target and its machine use.
pub static RESOURCE: Metric = gauge(
    "plimsoll_resource",
    None,
    &["plan", "source", "resource", "unit"],
    "A figure of the target's resources, as a source of the plan was last found to be; absent while it cannot be scraped.",
);
/// How often they were looked at.
pub static RESOURCE_SCRAPES: Metric = counter(
    "plimsoll_resource_scrapes_total",
    None,
    &["plan", "source", "outcome"],
    "Scrapes of a source of resources: outcome is ok, or gap where nothing came of it.",
);
/// Times that the plan takes from replies.
pub static MEASURE_SECONDS: Metric =
    duration("plimsoll_measure_seconds", MEASURE, "Times that the plan takes from replies.");
/// Sizes that the plan takes from replies.
pub static MEASURE_BYTES: Metric = Metric {
    name: "plimsoll_measure_bytes",
    kind: Kind::Histogram,
    unit: Some(Unit::Bytes),
    labels: MEASURE,
    help: "Sizes that the plan takes from replies.",
};
/// Numbers that the plan takes from replies.
pub static MEASURE_VALUE: Metric = Metric {
    name: "plimsoll_measure_value",
    kind: Kind::Histogram,
    unit: None,
    labels: MEASURE,
    help: "Numbers without a unit that the plan takes from replies.",
};
/// Sums of what the plan takes from replies.
pub static MEASURE_AMOUNT: Metric = counter(
    "plimsoll_measure_amount_total",
    None,
    MEASURE,
    "The sum of the whole numbers that the plan takes from replies as a counter.",
);
/// Sums of sizes that the plan takes from replies.
pub static MEASURE_AMOUNT_BYTES: Metric = counter(
    "plimsoll_measure_amount_bytes_total",
    Some(Unit::Bytes),
    MEASURE,
    "The sum of the sizes that the plan takes from replies as a counter.",
);
/// Replies that had what a ratio looks for.
pub static MEASURE_GOOD: Metric = counter(
    "plimsoll_measure_ratio_good_total",
    None,
    MEASURE,
    "Replies whose value is the one that the plan's ratio looks for.",
);
/// Replies that had a value for a ratio.
pub static MEASURE_EVENTS: Metric = counter(
    "plimsoll_measure_ratio_events_total",
    None,
    MEASURE,
    "Replies that had a value for the plan's ratio; good over events is the ratio.",
);
/// Replies without a value.
pub static MEASURE_MISSING: Metric = counter(
    "plimsoll_measure_missing_total",
    None,
    &["plan", "scenario", "step", "phase", "measure", "cause"],
    "Replies without a value of the plan's: cause is absent, or out_of_range where it is too large to be counted.",
);
/// Whether the generator can be trusted.
pub static RUN_VALIDITY: Metric = gauge(
    "plimsoll_run_validity",
    None,
    PLAN,
    "Whether the generator kept its schedule: 1 valid, 0.5 suspect, 0 invalid.",
);
/// Whether an objective is met.
pub static SLA_MET: Metric = gauge(
    "plimsoll_sla_met",
    None,
    SLA,
    "Whether the objective is met: 1 or 0, 0 too while the last seconds break it; absent while undecided.",
);
/// The figure an objective looks at.
pub static SLA_OBSERVED: Metric = gauge(
    "plimsoll_sla_observed",
    None,
    SLA,
    "The figure the objective looks at, in base units; absent without data.",
);
/// Good events.
pub static SLA_GOOD_EVENTS: Metric = counter(
    "plimsoll_sla_good_events_total",
    None,
    SLA,
    "Events that were good in the sense of the objective, where it counts events.",
);
/// All events.
pub static SLA_EVENTS: Metric = counter(
    "plimsoll_sla_events_total",
    None,
    SLA,
    "Events the objective looked at, where it counts events.",
);
/// Which run is live.
pub static RUN_INFO: Metric = Metric {
    name: "plimsoll_run_info",
    kind: Kind::Info,
    unit: None,
    labels: &["plan", "run", "version", "environment"],
    help: "A run that is live; the series ends with the run.",
};
/// What became of exported points.
pub static EXPORT_POINTS: Metric = counter(
    "plimsoll_export_points_total",
    None,
    &["sink", "fate"],
    "Points for a sink: produced is acknowledged plus lost plus the backlog.",
);
/// Points waiting.
pub static EXPORT_BACKLOG: Metric =
    gauge("plimsoll_export_backlog_points", None, &["sink"], "Points that wait to be taken by a sink.");

/// Series beyond a sink's budget.
pub static EXPORT_OVERFLOW_SERIES: Metric = gauge(
    "plimsoll_export_overflow_series",
    None,
    &["sink"],
    "Series beyond the budget of a sink in a run, told together as (overflow) or left out; absent where all were told.",
);

/// Where a plan's limit is.
pub static CAPACITY_LIMIT: Metric = gauge(
    "plimsoll_capacity_limit",
    None,
    &["plan", "bound"],
    "The limit as it was last foretold (capacity --plan) or measured (limit), requests per second, or iterations where \
     one takes several: bound is estimate, or low and high of its 90% interval; absent where nobody knows.",
);
/// What of it is free.
pub static CAPACITY_HEADROOM: Metric = gauge(
    "plimsoll_capacity_headroom_ratio",
    Some(Unit::Ratio),
    PLAN,
    "Free share of the limit: (limit - traffic) / limit, of the estimate and the busiest traffic told to capacity --plan; \
     below 0 when traffic is over the limit, absent without traffic or limit.",
);

/// How many requests the last run made.
pub static LAST_RUN_REQUESTS: Metric = gauge(
    "plimsoll_last_run_requests",
    None,
    PLAN,
    "Requests of the plan's last run, measured phase and grace; for a while after its end.",
);
/// How many of them failed.
pub static LAST_RUN_ERROR_RATIO: Metric = gauge(
    "plimsoll_last_run_error_ratio",
    Some(Unit::Ratio),
    PLAN,
    "Share of the last run's requests that failed, measured phase and grace; absent where none ended.",
);
/// How long they took.
pub static LAST_RUN_RESPONSE_TIME: Metric = gauge(
    "plimsoll_last_run_response_time_seconds",
    Some(Unit::Seconds),
    &["plan", "quantile"],
    "Quantiles of the last run's response time over the whole of it: 0.5, 0.95 and 0.99, as its report has them.",
);
/// What was promised.
pub static LAST_RUN_SLA_MET: Metric = gauge(
    "plimsoll_last_run_sla_met",
    None,
    SLA,
    "Whether the last run met the objective: 1 or 0; absent where that is undecided.",
);

/// How an SLA stands.
pub static SLA_STATE: Metric = gauge(
    "plimsoll_sla_state",
    None,
    &["plan", "sla", "state"],
    "How the SLA stands: 1 for the state that holds, 0 for the others; state is ok, warning, breaching, exhausted or undecided.",
);
/// What it promises.
pub static SLA_TARGET: Metric = gauge(
    "plimsoll_sla_target_ratio",
    Some(Unit::Ratio),
    SLA,
    "Share of events that the SLA promises to be good.",
);
/// What was kept.
pub static SLA_COMPLIANCE: Metric = gauge(
    "plimsoll_sla_compliance_ratio",
    Some(Unit::Ratio),
    &["plan", "sla", "window"],
    "Share of good events over the window: period is that of the SLA, others are those of its burn-rate rules, like 5m; \
     absent without events.",
);
/// How soon a breach was seen.
pub static SLA_DETECTION_DELAY: Metric = gauge(
    "plimsoll_sla_detection_delay_seconds",
    Some(Unit::Seconds),
    SLA,
    "From the first bad second of the SLA's latest breach to when it was found; absent before the first.",
);
/// What may still go wrong.
pub static ERROR_BUDGET_REMAINING: Metric = gauge(
    "plimsoll_error_budget_remaining_ratio",
    Some(Unit::Ratio),
    &["sla"],
    "Unspent share of the period's error budget; below 0 when more was spent than there was, absent without events.",
);
/// How fast the budget goes.
pub static BURN_RATE: Metric = gauge(
    "plimsoll_burn_rate",
    None,
    &["sla", "window"],
    "Share of bad events over the window, in multiples of what the SLA allows: 1 spends exactly the budget; absent without events.",
);

/// Every metric, in the order it is exposed.
pub static ALL: [&Metric; 73] = [
    &RESPONSE_TIME,
    &SERVICE_TIME,
    &SCHEDULE_LAG,
    &WAIT,
    &CONNECT_TIME,
    &TLS_TIME,
    &FIRST_BYTE_TIME,
    &ITERATION_TIME,
    &GROUP_TIME,
    &CHECKS,
    &REQUESTS,
    &DROPPED_ARRIVALS,
    &RECEIVED_BYTES,
    &SENT_BYTES,
    &OFFERED_RATE,
    &VIRTUAL_USERS,
    &IN_FLIGHT_REQUESTS,
    &CONNECTIONS,
    &CONNECTIONS_OPENED,
    &CONNECTIONS_FAILED,
    &CONNECTIONS_CLOSED,
    &CONNECTION_REQUESTS,
    &CONNECTION_REUSE,
    &CONNECTION_WAIT,
    &GENERATOR_CPU,
    &GENERATOR_WORKER_CPU,
    &GENERATOR_WORKER_WAIT,
    &GENERATOR_STEAL,
    &GENERATOR_THROTTLED,
    &GENERATOR_STALL,
    &GENERATOR_DESCRIPTORS,
    &GENERATOR_DESCRIPTORS_LIMIT,
    &GENERATOR_TCP_SOCKETS,
    &GENERATOR_TIME_WAIT_SOCKETS,
    &GENERATOR_LOCAL_PORTS,
    &GENERATOR_RETRANSMITS,
    &GENERATOR_ROUND_TRIP,
    &GENERATOR_RECEIVE_QUEUE,
    &GENERATOR_LINK,
    &GENERATOR_RSS,
    &GENERATOR_AVAILABLE_MEMORY,
    &GENERATOR_MEMORY_PRESSURE,
    &RESOURCE,
    &RESOURCE_SCRAPES,
    &MEASURE_SECONDS,
    &MEASURE_BYTES,
    &MEASURE_VALUE,
    &MEASURE_AMOUNT,
    &MEASURE_AMOUNT_BYTES,
    &MEASURE_GOOD,
    &MEASURE_EVENTS,
    &MEASURE_MISSING,
    &RUN_VALIDITY,
    &SLA_MET,
    &SLA_OBSERVED,
    &SLA_GOOD_EVENTS,
    &SLA_EVENTS,
    &RUN_INFO,
    &EXPORT_POINTS,
    &EXPORT_BACKLOG,
    &EXPORT_OVERFLOW_SERIES,
    &LAST_RUN_REQUESTS,
    &LAST_RUN_ERROR_RATIO,
    &LAST_RUN_RESPONSE_TIME,
    &LAST_RUN_SLA_MET,
    &CAPACITY_LIMIT,
    &CAPACITY_HEADROOM,
    &SLA_STATE,
    &SLA_TARGET,
    &SLA_COMPLIANCE,
    &SLA_DETECTION_DELAY,
    &ERROR_BUDGET_REMAINING,
    &BURN_RATE,
];

/// Those of a run that is over: they are filled from its summary.
pub static OF_LAST_RUN: [&Metric; 4] =
    [&LAST_RUN_REQUESTS, &LAST_RUN_ERROR_RATIO, &LAST_RUN_RESPONSE_TIME, &LAST_RUN_SLA_MET];

/// Those that are not a run's: they are filled from a history.
pub static OF_HISTORY: [&Metric; 2] = [&CAPACITY_LIMIT, &CAPACITY_HEADROOM];

/// Those of an SLA that is judged for longer than a run: the service fills them.
pub static OF_SLAS: [&Metric; 6] =
    [&SLA_STATE, &SLA_TARGET, &SLA_COMPLIANCE, &SLA_DETECTION_DELAY, &ERROR_BUDGET_REMAINING, &BURN_RATE];

/// Those that the events of a run fill, in the order of [`ALL`].
pub fn of_runs() -> impl Iterator<Item = &'static Metric> {
    let others = || OF_LAST_RUN.iter().chain(&OF_HISTORY).chain(&OF_SLAS);
    ALL.into_iter().filter(move |metric| !others().any(|other| other == metric))
}

/// The metric of a timing.
pub fn of(timing: Timing) -> &'static Metric {
    match timing {
        Timing::ResponseTime => &RESPONSE_TIME,
        Timing::ServiceTime => &SERVICE_TIME,
        Timing::ScheduleLag => &SCHEDULE_LAG,
        Timing::Wait => &WAIT,
        Timing::ConnectTime => &CONNECT_TIME,
        Timing::TlsTime => &TLS_TIME,
        Timing::FirstByteTime => &FIRST_BYTE_TIME,
    }
}

/// Names of ours in a text (a query, a rule) that no metric of the catalogue has. The suffixes a
/// histogram's series carry are understood.
pub fn unknown_names(text: &str) -> Vec<&str> {
    let is_word = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    text.split(|byte| !is_word(byte))
        .filter(|word| word.starts_with("plimsoll_"))
        .filter(|word| {
            !ALL.iter().any(|metric| match (metric.kind, word.strip_prefix(metric.name)) {
                (_, Some("")) => true,
                (Kind::Histogram, Some(suffix)) => matches!(suffix, "_bucket" | "_sum" | "_count"),
                _ => false,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_say_kind_and_unit() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("plimsoll_"), "{name}");
            assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(metric.kind == Kind::Info, name.ends_with("_info"), "{name}");
            let stem = name.strip_suffix("_total").unwrap_or(name);
            if let Some(unit) = metric.unit {
                assert!(stem.ends_with(unit.label()), "{name}");
            }
            assert!(metric.help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn names_and_measurements_are_unique() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        let measurements: BTreeSet<_> = ALL.iter().map(|metric| metric.measurement()).collect();
        assert_eq!((names.len(), measurements.len()), (ALL.len(), ALL.len()));
    }

    #[test]
    fn timings_are_named_after_themselves() {
        for timing in Timing::ALL {
            assert_eq!(of(timing).name, format!("plimsoll_{}_seconds", timing.name()));
            assert_eq!(of(timing).measurement(), format!("plimsoll_{}", timing.name()));
        }
    }

    #[test]
    fn only_the_run_info_carries_the_run() {
        let with_run: Vec<_> = ALL.iter().filter(|metric| metric.labels.contains(&"run")).collect();
        assert_eq!(with_run, [&&RUN_INFO]);
    }

    #[test]
    fn unknown_names_are_found() {
        let text =
            "rate(plimsoll_wait_seconds_bucket[1m]) + plimsoll_nothing / plimsoll_requests_total_bucket";
        assert_eq!(unknown_names(text), ["plimsoll_nothing", "plimsoll_requests_total_bucket"]);
    }
}
