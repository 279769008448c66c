//! The target's own record: what it was asked, what it answered and how long that took.
//!
//! It is the truth that a load generator's figures are compared with, so each figure has one exact
//! meaning:
//!
//! - **access count**: requests whose head was parsed in full. It is the sum of what was answered,
//!   what was abandoned and what is in flight, at every moment.
//! - **answered**: requests whose answer was handed to the kernel to the last byte, by status.
//! - **abandoned**: requests whose connection ended before that.
//! - **latency**: from the moment hyper hands over the parsed request head until the call that writes
//!   the last byte of the answer begins. So it is never longer than what the client saw; the client
//!   sees more by the time a request waits in the socket's receive buffer before the target reads it,
//!   by parsing, by the last write and by the network.
//!   Over HTTP/2 it ends when the answer's last frame was taken to be written.
//! - **arrival gap**: between the moments at which one request head and the next were parsed,
//!   whichever connections they came on. It tells whether a load comes evenly or in bursts.
//! - **bytes**: HTTP bytes read and written on the connection up to the end of the answer, heads
//!   included, TLS framing not. Over HTTP/2, where answers share a connection, they are what was read
//!   and written since the answer that ended before: right in sum and not for each.
//!
//! Each worker owns a shard and is the only one to lock it on the way of a request, so the lock is
//! never waited for except while a snapshot is taken. Memory is bounded by routes and statuses.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use hdrhistogram::Histogram;
use plimsoll_units::Quantile;
use prometheus::IntCounter;
use serde_json::{Value, json};

use crate::locked;
use crate::metrics::Metrics;
use crate::routes::Route;

/// Significant digits of the latency histograms.
const DIGITS: u8 = 3;

/// What one worker recorded.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Raised by a reset; a request that began under an older one is left out.
    epoch: u64,
    routes: Vec<RouteShard>,
    /// Since the arrival before, at whichever worker, in nanoseconds.
    arrival_gaps: Histogram<u64>,
    /// Requests being worked on, from whichever epoch.
    in_flight: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { epoch: 0, routes: Vec::new(), arrival_gaps: empty_histogram(), in_flight: 0 }
    }
}

#[derive(Debug, Default)]
struct RouteShard {
    access_count: u64,
    abandoned: u64,
    answers: Vec<AnswerShard>,
}

#[derive(Debug)]
struct AnswerShard {
    answers: Answers,
    counter: IntCounter,
    durations: prometheus::Histogram,
}

/// A request that was counted and has neither been answered nor abandoned yet.
#[derive(Debug)]
pub(crate) struct Ticket {
    route: Route,
    epoch: u64,
}

impl Shard {
    /// A request arrived, so long after the one before it; the first one came after none.
    pub(crate) fn begin(&mut self, route: Route, gap: Option<Duration>) -> Ticket {
        self.in_flight += 1;
        if let Some(gap) = gap {
            record(&mut self.arrival_gaps, gap);
        }
        self.route(route).access_count += 1;
        Ticket { route, epoch: self.epoch }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a ticket is used up: a request ends once")]
    pub(crate) fn abandon(&mut self, ticket: Ticket) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if ticket.epoch == self.epoch {
            self.route(ticket.route).abandoned += 1;
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a ticket is used up: a request ends once")]
    pub(crate) fn finish(&mut self, ticket: Ticket, answer: Answer, metrics: &Metrics) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if ticket.epoch != self.epoch {
            return;
        }
        let answers = &mut self.route(ticket.route).answers;
        let position = answers.iter().position(|known| known.answers.status == answer.status);
        let index = position.unwrap_or_else(|| {
            let (counter, durations) = metrics.series(ticket.route, answer.status);
            answers.push(AnswerShard { answers: Answers::none(answer.status), counter, durations });
            answers.len() - 1
        });
        let series = &mut answers[index];
        series.answers.add(&answer);
        series.counter.inc();
        series.durations.observe(answer.took.as_secs_f64());
    }

    fn route(&mut self, route: Route) -> &mut RouteShard {
        let index = route as usize;
        if self.routes.len() <= index {
            self.routes.resize_with(index + 1, RouteShard::default);
        }
        &mut self.routes[index]
    }

    fn reset(&mut self) {
        self.epoch += 1;
        self.routes.clear();
        self.arrival_gaps.reset();
    }
}

/// What is recorded about one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) took: Duration,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

/// Sums the shards up as of one moment: all of them are locked before the first is read.
pub(crate) fn snapshot(shards: &[Mutex<Shard>]) -> Record {
    let guards: Vec<MutexGuard<'_, Shard>> = shards.iter().map(locked).collect();
    let mut record = Record::default();
    for shard in &guards {
        for (route, recorded) in Route::ALL.into_iter().zip(&shard.routes) {
            record.route_mut(route).add(recorded);
        }
        merge(&mut record.arrival_gaps, &shard.arrival_gaps);
    }
    record.routes.retain(|route| route.access_count > 0);
    record
}

/// Forgets everything. Requests in flight are left out of the new record.
pub(crate) fn reset(shards: &[Mutex<Shard>]) {
    let guards: Vec<MutexGuard<'_, Shard>> = shards.iter().map(locked).collect();
    for mut shard in guards {
        shard.reset();
    }
}

/// How many requests are being worked on.
pub(crate) fn in_flight(shards: &[Mutex<Shard>]) -> u64 {
    shards.iter().map(|shard| locked(shard).in_flight).sum()
}

/// The target's own record as of one moment.
#[derive(Debug, Clone)]
pub struct Record {
    /// The routes that were asked for at least once, in a fixed order.
    pub routes: Vec<RouteRecord>,
    /// Times between one arrival and the next, in nanoseconds, three significant digits.
    pub arrival_gaps: Histogram<u64>,
}

impl Default for Record {
    fn default() -> Self {
        Self { routes: Vec::new(), arrival_gaps: empty_histogram() }
    }
}

/// The record of one route.
#[derive(Debug, Clone)]
pub struct RouteRecord {
    /// Method and path template, like `GET /products/{id}`; `other` for all that is no route.
    pub route: &'static str,
    /// Requests whose head was parsed in full.
    pub access_count: u64,
    /// Requests whose connection ended before the answer was written.
    pub abandoned: u64,
    /// What was answered, one entry for each status.
    pub answers: Vec<Answers>,
}

/// The answers with one status on one route.
#[derive(Debug, Clone)]
pub struct Answers {
    pub status: u16,
    /// Times in nanoseconds, three significant digits; the module documentation says from when to when.
    pub latency: Histogram<u64>,
    /// HTTP bytes read, request heads included.
    pub received_bytes: u64,
    /// HTTP bytes written, answer heads included.
    pub sent_bytes: u64,
}

impl Answers {
    fn none(status: u16) -> Self {
        Self { status, latency: empty_histogram(), received_bytes: 0, sent_bytes: 0 }
    }

    fn add(&mut self, answer: &Answer) {
        record(&mut self.latency, answer.took);
        self.received_bytes += answer.received_bytes;
        self.sent_bytes += answer.sent_bytes;
    }

    fn merge(&mut self, other: &Self) {
        merge(&mut self.latency, &other.latency);
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
    }

    /// How many answers there were.
    pub fn count(&self) -> u64 {
        self.latency.len()
    }
}

impl RouteRecord {
    fn add(&mut self, shard: &RouteShard) {
        self.access_count += shard.access_count;
        self.abandoned += shard.abandoned;
        for AnswerShard { answers, .. } in &shard.answers {
            match self.answers.iter_mut().find(|known| known.status == answers.status) {
                Some(known) => known.merge(answers),
                None => self.answers.push(answers.clone()),
            }
        }
        self.answers.sort_by_key(|answers| answers.status);
    }

    /// Requests that were answered in full.
    pub fn answered(&self) -> u64 {
        self.answers.iter().map(Answers::count).sum()
    }

    /// Requests that were neither answered nor abandoned yet.
    pub fn in_flight(&self) -> u64 {
        self.access_count - self.answered() - self.abandoned
    }

    /// How many answers had this status.
    pub fn with_status(&self, status: u16) -> u64 {
        self.answers.iter().filter(|answers| answers.status == status).map(Answers::count).sum()
    }

    fn to_json(&self) -> Value {
        let statuses: serde_json::Map<String, Value> = self
            .answers
            .iter()
            .map(|answers| {
                let mut status = json!({ "count": answers.count() });
                extend(&mut status, answers_json(std::slice::from_ref(answers)));
                (answers.status.to_string(), status)
            })
            .collect();
        let mut whole = json!({
            "route": self.route,
            "access_count": self.access_count,
            "answered": self.answered(),
            "abandoned": self.abandoned,
            "in_flight": self.in_flight(),
        });
        extend(&mut whole, answers_json(&self.answers));
        extend(&mut whole, json!({ "statuses": statuses }));
        whole
    }
}

impl Record {
    fn route_mut(&mut self, route: Route) -> &mut RouteRecord {
        let name = route.name();
        let index = self.routes.iter().position(|known| known.route == name).unwrap_or_else(|| {
            self.routes.push(RouteRecord { route: name, access_count: 0, abandoned: 0, answers: Vec::new() });
            self.routes.len() - 1
        });
        &mut self.routes[index]
    }

    /// The record of one route, by method and path template; `None` if it was never asked for.
    pub fn route(&self, route: &str) -> Option<&RouteRecord> {
        self.routes.iter().find(|known| known.route == route)
    }

    /// Requests whose head was parsed in full. `/control`, `/record`, `/metrics` and `/health` are not
    /// counted.
    pub fn access_count(&self) -> u64 {
        self.routes.iter().map(|route| route.access_count).sum()
    }

    /// Requests that were answered in full.
    pub fn answered(&self) -> u64 {
        self.routes.iter().map(RouteRecord::answered).sum()
    }

    /// Requests whose connection ended before the answer was written.
    pub fn abandoned(&self) -> u64 {
        self.routes.iter().map(|route| route.abandoned).sum()
    }

    /// Requests that were neither answered nor abandoned yet.
    pub fn in_flight(&self) -> u64 {
        self.access_count() - self.answered() - self.abandoned()
    }

    /// How many answers had this status, over all routes.
    pub fn with_status(&self, status: u16) -> u64 {
        self.routes.iter().map(|route| route.with_status(status)).sum()
    }

    /// The latency of all answers, in nanoseconds with three significant digits.
    pub fn latency(&self) -> Histogram<u64> {
        let mut whole = empty_histogram();
        for answers in self.routes.iter().flat_map(|route| &route.answers) {
            merge(&mut whole, &answers.latency);
        }
        whole
    }

    /// The record as `GET /record` gives it: seconds, bytes, `null` where there is no data.
    pub fn to_json(&self) -> Value {
        let mut whole = json!({
            "access_count": self.access_count(),
            "answered": self.answered(),
            "abandoned": self.abandoned(),
            "in_flight": self.in_flight(),
        });
        let all: Vec<Answers> = self.routes.iter().flat_map(|route| route.answers.iter().cloned()).collect();
        extend(&mut whole, answers_json(&all));
        extend(&mut whole, json!({ "arrival_gap": times_json(&self.arrival_gaps) }));
        let routes: Vec<Value> = self.routes.iter().map(RouteRecord::to_json).collect();
        extend(&mut whole, json!({ "routes": routes }));
        whole
    }
}

fn empty_histogram() -> Histogram<u64> {
    // It grows with the values it sees: a fast route keeps a small one.
    Histogram::new(DIGITS).unwrap_or_else(|_| unreachable!("three digits are within one to five"))
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    // It cannot fail: the histogram grows to whatever 64 bits hold.
    let _ = histogram.record(nanos.max(1));
}

fn merge(into: &mut Histogram<u64>, other: &Histogram<u64>) {
    // Both resize themselves and count in 64 bits, so there is nothing that could fail.
    if into.add(other).is_err() {
        unreachable!("a histogram that resizes takes every value");
    }
}

fn extend(whole: &mut Value, part: Value) {
    if let (Value::Object(whole), Value::Object(part)) = (whole, part) {
        whole.extend(part);
    }
}

fn answers_json(all: &[Answers]) -> Value {
    let mut sum = Answers::none(0);
    for answers in all {
        sum.merge(answers);
    }
    json!({
        "received_bytes": sum.received_bytes,
        "sent_bytes": sum.sent_bytes,
        "latency": times_json(&sum.latency),
    })
}

/// Seconds. A quantile q is `null` with fewer than 1/(1-q) values: it would only repeat the maximum.
fn times_json(histogram: &Histogram<u64>) -> Value {
    let count = histogram.len();
    let seconds = |nanos: f64| nanos / 1e9;
    let quantile = |quantile: Quantile| {
        // Half a rank below the rank asked for: no rounding of the product can reach a neighbour.
        let share = (quantile.rank(count) as f64 - 0.5) / count as f64;
        (count >= quantile.fewest()).then(|| seconds(histogram.value_at_quantile(share) as f64))
    };
    let any = |value: f64| (count > 0).then(|| seconds(value));
    json!({
        "count": count,
        "min": any(histogram.min() as f64),
        "mean": any(histogram.mean()),
        "max": any(histogram.max() as f64),
        "p50": quantile(Quantile::P50),
        "p75": quantile(Quantile::P75),
        "p90": quantile(Quantile::P90),
        "p95": quantile(Quantile::P95),
        "p99": quantile(Quantile::P99),
        "p99_9": quantile(Quantile::P99_9),
        "p99_99": quantile(Quantile::P99_99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_has_exactly_its_rank() {
        // 0.999 x 3,000 is 2,997 and not a hair more: the value after it is another.
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(1_000_000, 2997).unwrap();
        histogram.record_n(9_000_000, 3).unwrap();
        let p99_9 = times_json(&histogram)["p99_9"].as_f64().unwrap();
        assert!((p99_9 - 0.001).abs() < 1e-5, "{p99_9}");
    }
}
