use plimsoll_units::Quantile;

use crate::{Distribution, Edges, Histogram, RESOLUTION_NANOS};

/// How an attempt to open a connection went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Opening {
    /// Open, without TLS.
    Plain,
    /// Open, after a full TLS handshake.
    TlsFull,
    /// Open, with a TLS session resumed.
    TlsResumed,
    /// Not opened: no address, refused, no answer, or the handshake failed.
    Failed,
}

impl Opening {
    /// Every way, in the order records keep them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::TlsFull, Self::TlsResumed, Self::Failed];

    /// Its word in records.
    pub fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::TlsFull => "tls_full",
            Self::TlsResumed => "tls_resumed",
            Self::Failed => "failed",
        }
    }

    /// The way with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|opening| opening.label() == label)
    }

    /// The value of the `tls` label; `None` for what did not open.
    pub fn tls_label(self) -> Option<&'static str> {
        match self {
            Self::Plain => Some("none"),
            Self::TlsFull => Some("full"),
            Self::TlsResumed => Some("resumed"),
            Self::Failed => None,
        }
    }
}

/// Why a connection was closed. A closed set: it is a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseReason {
    /// The target closed it while it was idle.
    IdleClosed,
    /// The target said with an answer that it closes: `connection: close`, or an answer that ends with
    /// the connection.
    TargetClosed,
    /// It broke while a request was on it.
    Error,
    /// A request on it timed out.
    Timeout,
    /// An answer on it was larger than is read.
    TooLarge,
    /// The target sent bytes that nobody had asked for.
    UnaskedBytes,
    /// It made room for one to another host.
    Elsewhere,
    /// The user it belonged to ended.
    UserEnded,
    /// The run ended.
    RunEnded,
    /// The target sent GOAWAY (HTTP/2).
    GoAway,
    /// Nobody had used it for as long as the plan keeps it.
    IdleTimeout,
    /// The plan uses no connection twice.
    NotReused,
}

impl CloseReason {
    /// Every reason, in the order reports list them.
    pub const ALL: [Self; 12] = [
        Self::IdleClosed,
        Self::TargetClosed,
        Self::Error,
        Self::Timeout,
        Self::TooLarge,
        Self::UnaskedBytes,
        Self::Elsewhere,
        Self::UserEnded,
        Self::RunEnded,
        Self::GoAway,
        Self::IdleTimeout,
        Self::NotReused,
    ];

    /// The value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            Self::IdleClosed => "idle_closed",
            Self::TargetClosed => "target_closed",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::UnaskedBytes => "unasked_bytes",
            Self::Elsewhere => "elsewhere",
            Self::UserEnded => "user_ended",
            Self::RunEnded => "run_ended",
            Self::GoAway => "goaway",
            Self::IdleTimeout => "idle_timeout",
            Self::NotReused => "not_reused",
        }
    }

    /// The reason with this label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.label() == label)
    }
}

/// What became of connections: all phases, because a connection belongs to none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConnectionFigures {
    opened: [u64; Opening::ALL.len()],
    closed: [u64; CloseReason::ALL.len()],
    /// How many requests each closed connection had carried.
    pub requests: RequestCounts,
    /// How long a request that found no idle connection waited for one, whether one was opened for it or
    /// another gave one back.
    pub wait: Option<Distribution>,
}

impl ConnectionFigures {
    /// How many attempts to open went this way.
    pub fn opened(&self, opening: Opening) -> u64 {
        self.opened[opening as usize]
    }

    /// How many were opened, with TLS or without.
    pub fn opened_in_all(&self) -> u64 {
        Opening::ALL
            .into_iter()
            .filter(|opening| *opening != Opening::Failed)
            .map(|way| self.opened(way))
            .sum()
    }

    /// How many were closed for this reason.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// Counts more attempts to open.
    pub fn add_opened(&mut self, opening: Opening, count: u64) {
        self.opened[opening as usize] += count;
    }

    /// Counts more connections closed.
    pub fn add_closed(&mut self, reason: CloseReason, count: u64) {
        self.closed[reason as usize] += count;
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.opened.iter().chain(&self.closed).all(|count| *count == 0) && self.wait.is_none()
    }

    /// The share of requests that went over a connection which had carried one before, of the
    /// connections that have closed.
    pub fn reuse_ratio(&self) -> Option<f64> {
        self.requests.reuse_ratio()
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for opening in Opening::ALL {
            self.add_opened(opening, other.opened(opening));
        }
        for reason in CloseReason::ALL {
            self.add_closed(reason, other.closed(reason));
        }
        self.requests.merge(&other.requests);
        match (&mut self.wait, &other.wait) {
            (Some(wait), Some(more)) => wait.merge(more),
            (wait @ None, Some(more)) => *wait = Some(more.clone()),
            (_, None) => {}
        }
    }
}

/// How many requests each of some connections carried: exact up to 2,047, then within 0.1%.
///
/// It is a [`Distribution`] with a request in place of each unit of [`RESOLUTION_NANOS`].
#[derive(Debug, Clone, PartialEq)]
pub struct RequestCounts(Distribution);

impl Default for RequestCounts {
    fn default() -> Self {
        Self(Distribution::empty(Edges::exactly([])))
    }
}

impl RequestCounts {
    /// Reads what [`Self::distribution`] gave.
    pub fn from_distribution(distribution: Distribution) -> Self {
        Self(distribution)
    }

    /// The form for records: a request is [`RESOLUTION_NANOS`].
    pub fn distribution(&self) -> &Distribution {
        &self.0
    }

    /// How many connections.
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// Connections that carried any request.
    pub fn used(&self) -> u64 {
        self.0.buckets().iter().filter(|(value, _)| *value >= RESOLUTION_NANOS).map(|(_, count)| count).sum()
    }

    /// Requests on all of them.
    pub fn sum(&self) -> u64 {
        u64::try_from(self.0.sum() / u128::from(RESOLUTION_NANOS)).unwrap_or(u64::MAX)
    }

    /// The mean.
    pub fn mean(&self) -> Option<f64> {
        self.0.mean().map(|mean| mean / RESOLUTION_NANOS as f64)
    }

    /// The fewest.
    pub fn min(&self) -> Option<u64> {
        self.0.min().map(|min| min / RESOLUTION_NANOS)
    }

    /// The most.
    pub fn max(&self) -> Option<u64> {
        self.0.max().map(|max| max / RESOLUTION_NANOS)
    }

    /// A quantile; `None` with fewer connections than it needs.
    pub fn quantile(&self, quantile: Quantile) -> Option<u64> {
        self.0.quantile(quantile).map(|requests| requests / RESOLUTION_NANOS)
    }

    /// The share of requests that were not the first on their connection: `1 - connections used / requests`.
    pub fn reuse_ratio(&self) -> Option<f64> {
        let requests = self.sum();
        (requests > 0).then(|| 1.0 - self.used() as f64 / requests as f64)
    }

    /// Adds those of other connections.
    pub fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }
}

/// What one worker's connections do within a second.
#[derive(Debug, Default)]
pub(crate) struct ConnectionRecorder {
    counts: ConnectionFigures,
    requests: Option<Box<Histogram>>,
    wait: Option<Box<Histogram>>,
}

impl ConnectionRecorder {
    pub(crate) fn opened(&mut self, opening: Opening) {
        self.counts.add_opened(opening, 1);
    }

    pub(crate) fn closed(&mut self, reason: CloseReason, requests: u64) {
        self.counts.add_closed(reason, 1);
        let histogram = self.requests.get_or_insert_with(|| Box::new(Histogram::new(Edges::exactly([]))));
        histogram.record(requests.saturating_mul(RESOLUTION_NANOS));
    }

    pub(crate) fn waited(&mut self, nanos: u64, edges: &Edges) {
        self.wait.get_or_insert_with(|| Box::new(Histogram::new(edges.clone()))).record(nanos);
    }

    pub(crate) fn clear(&mut self) {
        self.counts = ConnectionFigures::default();
        self.requests.iter_mut().chain(&mut self.wait).for_each(|histogram| histogram.clear());
    }

    pub(crate) fn merge_into(&self, figures: &mut ConnectionFigures) {
        figures.merge(&self.counts);
        if let Some(requests) = self.requests.as_ref().filter(|requests| !requests.is_empty()) {
            figures.requests.merge(&RequestCounts(requests.distribution()));
        }
        if let Some(wait) = &self.wait {
            crate::frame::merge_into(&mut figures.wait, wait.distribution());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(closed: &[(CloseReason, u64)]) -> ConnectionFigures {
        let (mut recorder, mut figures) = (ConnectionRecorder::default(), ConnectionFigures::default());
        closed.iter().for_each(|(reason, requests)| recorder.closed(*reason, *requests));
        recorder.merge_into(&mut figures);
        figures
    }

    #[test]
    fn requests_on_kept_connections_are_reused() {
        let check = |requests: &[u64], expected: Option<f64>| {
            let closed: Vec<_> = requests.iter().map(|requests| (CloseReason::RunEnded, *requests)).collect();
            assert_eq!(figures(&closed).reuse_ratio(), expected, "{requests:?}");
        };
        check(&[], None);
        check(&[0, 0], None);
        check(&[1, 1, 0], Some(0.0));
        check(&[4], Some(0.75));
        check(&[1, 9], Some(0.8));
    }

    #[test]
    fn requests_of_a_connection_are_counted_exactly() {
        let figures = figures(&[0, 1, 1, 3, 2047].map(|requests| (CloseReason::Timeout, requests)));
        let requests = &figures.requests;
        assert_eq!((requests.count(), requests.used(), requests.sum()), (5, 4, 2052));
        assert_eq!((requests.min(), requests.max()), (Some(0), Some(2047)));
        assert_eq!(requests.quantile(Quantile::P50), Some(1));
        assert_eq!(figures.closed(CloseReason::Timeout), 5);
    }

    #[test]
    fn labels_are_closed_sets() {
        for reason in CloseReason::ALL {
            assert_eq!(CloseReason::from_label(reason.label()), Some(reason));
        }
        for (position, opening) in Opening::ALL.into_iter().enumerate() {
            assert_eq!(Opening::from_label(opening.label()), Some(opening));
            assert_eq!(opening as usize, position);
        }
    }

    #[test]
    fn figures_of_workers_add_up() {
        let mut recorder = ConnectionRecorder::default();
        recorder.opened(Opening::Plain);
        recorder.opened(Opening::TlsResumed);
        recorder.opened(Opening::Failed);
        recorder.closed(CloseReason::GoAway, 7);
        recorder.waited(5_000_000, &Edges::default());
        let mut sum = ConnectionFigures::default();
        recorder.merge_into(&mut sum);
        recorder.merge_into(&mut sum);
        assert_eq!((sum.opened_in_all(), sum.opened(Opening::Failed)), (4, 2));
        assert_eq!((sum.requests.count(), sum.requests.sum()), (2, 14));
        assert_eq!(sum.wait.as_ref().map(Distribution::count), Some(2));
        recorder.clear();
        let mut nothing = ConnectionFigures::default();
        recorder.merge_into(&mut nothing);
        assert!(nothing.is_empty());
        assert_eq!(nothing, ConnectionFigures::default());
    }
}
