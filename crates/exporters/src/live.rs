use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use plimsoll_exposition::prometheus::Format;
use plimsoll_exposition::{Family, LastRun, Metrics, last_run_families};
use plimsoll_run::{ExportCount, RunEvent, Summary};

use crate::{Ledger, lock};

/// The metrics of the process: one for all its runs, shared by whoever serves `/metrics`.
#[derive(Debug, Default)]
pub struct LiveMetrics {
    metrics: Mutex<Metrics>,
    sinks: Mutex<Sinks>,
    /// The last run of each plan that is over, and until when it is shown.
    last: Mutex<BTreeMap<String, (LastRun, Instant)>>,
}

#[derive(Debug, Default)]
struct Sinks {
    live: Vec<Ledger>,
    /// Those of queues that were left, by their folders.
    waiting: BTreeMap<PathBuf, Ledger>,
    /// What became of the points of runs that ended.
    past: BTreeMap<String, ExportCount>,
}

/// The answer to a scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposition {
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its body, not compressed.
    pub body: Vec<u8>,
}

impl LiveMetrics {
    /// Before the first run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds the next event of the run with this id. [`crate::Exporters::send`] does it for its run.
    pub fn apply(&self, run: &str, event: &RunEvent) {
        lock(&self.metrics).apply(run, event);
    }

    /// So many series of a run were beyond the budget of a sink.
    pub fn overflowed(&self, sink: &str, series: u64) {
        lock(&self.metrics).overflowed(sink, series);
    }

    /// What a scrape with this `Accept` header is answered.
    pub fn expose(&self, accept: &str) -> Exposition {
        let format = Format::negotiate(accept);
        let exports = self.export_counts();
        // Writing is left to the time after the lock: the runner may be waiting for it.
        let mut families = lock(&self.metrics).families(&exports);
        families.extend(self.last_runs(Instant::now()));
        Exposition { content_type: format.content_type(), body: format.encode(&families) }
    }

    /// Shows the summary of a run that is over, for so long or until its plan has run again.
    pub fn keep_summary(&self, summary: &Summary, length: Duration) {
        if let Some(until) = Instant::now().checked_add(length).filter(|_| !length.is_zero()) {
            lock(&self.last).insert(summary.plan.clone(), (LastRun::of(summary), until));
        }
    }

    fn last_runs(&self, now: Instant) -> Vec<Family> {
        let mut last = lock(&self.last);
        last.retain(|_, (_, until)| *until > now);
        last_run_families(&last.values().map(|(run, _)| run).collect::<Vec<_>>())
    }

    /// What became of the points of each sink over the life of the process.
    pub fn export_counts(&self) -> Vec<ExportCount> {
        let sinks = lock(&self.sinks);
        let mut counts = sinks.past.clone();
        for ledger in &sinks.live {
            add(&mut counts, ledger.counts());
        }
        counts.into_values().collect()
    }

    pub(crate) fn watch(&self, ledger: &Ledger) {
        lock(&self.sinks).live.push(ledger.clone());
    }

    /// The ledger of what waits in a folder: the one it had in this process before, or a new one.
    pub(crate) fn take_up(&self, folder: &Path, sink: &str, waiting: u64) -> Ledger {
        let mut sinks = lock(&self.sinks);
        if let Some(ledger) = sinks.waiting.remove(folder) {
            return ledger;
        }
        let ledger = Ledger::new(sink);
        ledger.produced(waiting);
        sinks.live.push(ledger.clone());
        ledger
    }

    /// What the ledger counts waits in a folder, and may be taken up again.
    pub(crate) fn keep(&self, folder: &Path, ledger: &Ledger) {
        lock(&self.sinks).waiting.insert(folder.to_owned(), ledger.clone());
    }

    /// The ledger's counts are final.
    pub(crate) fn settle(&self, ledger: &Ledger) {
        let mut sinks = lock(&self.sinks);
        let before = sinks.live.len();
        sinks.live.retain(|known| !known.is(ledger));
        if sinks.live.len() < before {
            add(&mut sinks.past, ledger.counts());
        }
    }
}

fn add(counts: &mut BTreeMap<String, ExportCount>, more: ExportCount) {
    match counts.get_mut(&more.sink) {
        Some(sum) => {
            sum.produced += more.produced;
            sum.acknowledged += more.acknowledged;
            sum.backlog += more.backlog;
            sum.lost += more.lost;
        }
        None => {
            counts.insert(more.sink.clone(), more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::started;

    fn summary(plan: &str, requests: u64) -> Summary {
        let state = plimsoll_run::State::new(started(plan));
        let mut summary = state.summary();
        summary.totals.requests = requests;
        summary.totals.error_ratio = (requests > 0).then_some(0.25);
        summary
    }

    #[test]
    fn a_run_that_is_over_is_shown_for_a_while_or_until_the_next() {
        let live = LiveMetrics::new();
        let minute = Duration::from_secs(60);
        let shown = |at: Instant| {
            let values = |family: &Family| {
                let points = family.points.iter().map(|point| point.labels.join(" "));
                (family.metric.name, points.collect::<Vec<_>>())
            };
            live.last_runs(at).iter().map(values).collect::<Vec<_>>()
        };
        live.keep_summary(&summary("never", 1), Duration::ZERO);
        assert_eq!(shown(Instant::now()), []);
        live.keep_summary(&summary("a", 8), minute);
        live.keep_summary(&summary("b", 0), 10 * minute);
        let body = String::from_utf8(live.expose("").body).unwrap();
        for line in [
            "plimsoll_last_run_requests{plan=\"a\"} 8",
            "plimsoll_last_run_requests{plan=\"b\"} 0",
            "plimsoll_last_run_error_ratio{plan=\"a\"} 0.25",
        ] {
            assert!(body.lines().any(|found| found == line), "{line}\nis missing in\n{body}");
        }
        assert!(!body.contains("plimsoll_last_run_error_ratio{plan=\"b\"}"), "no data is no series");
        live.keep_summary(&summary("a", 9), minute);
        assert!(
            String::from_utf8(live.expose("").body)
                .unwrap()
                .contains("plimsoll_last_run_requests{plan=\"a\"} 9")
        );
        let later = Instant::now() + 2 * minute;
        assert_eq!(shown(later), [("plimsoll_last_run_requests", vec!["b".to_owned()])]);
        assert_eq!(shown(later + 10 * minute), []);
    }

    #[test]
    fn counts_of_sinks_run_on_over_runs() {
        let live = LiveMetrics::new();
        for _ in 0..2 {
            let ledger = Ledger::new("influxdb");
            live.watch(&ledger);
            ledger.produced(5);
            ledger.acknowledged(4);
            let backlog = live.export_counts()[0].backlog;
            assert_eq!(backlog, 1);
            ledger.give_up();
            live.settle(&ledger);
            live.settle(&ledger);
        }
        let [count] = live.export_counts().try_into().unwrap();
        assert_eq!((count.produced, count.acknowledged, count.backlog, count.lost), (10, 8, 0, 2));
        assert_eq!(lock(&live.sinks).live.len(), 0, "ended runs leave nothing behind");
    }
}
