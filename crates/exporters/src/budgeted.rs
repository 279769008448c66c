use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use plimsoll_exposition::{Budget, Report};
use plimsoll_run::{RunEvent, Started};

use crate::{Answer, Encoder, Limits, Piece, Sink};

/// A sink with a budget of series for each run: what is beyond is told together, see [`Budget`].
///
/// The budget lies before the encoder, so that a run that is told again has the same series.
#[derive(Debug)]
pub(crate) struct Budgeted {
    sink: Arc<dyn Sink>,
    series: usize,
    overflowed: Arc<AtomicU64>,
}

impl Budgeted {
    pub(crate) fn new(sink: Arc<dyn Sink>, series: u32) -> Self {
        Self { sink, series: series as usize, overflowed: Arc::default() }
    }
}

impl Sink for Budgeted {
    fn name(&self) -> &'static str {
        self.sink.name()
    }

    fn identity(&self) -> String {
        self.sink.identity()
    }

    fn limits(&self) -> Limits {
        self.sink.limits()
    }

    fn encoder(&self, started: &Arc<Started>) -> Box<dyn Encoder> {
        Box::new(BudgetedEncoder {
            encoder: self.sink.encoder(started),
            budget: Budget::new(self.series),
            overflowed: Arc::clone(&self.overflowed),
        })
    }

    fn send<'a>(&'a self, pieces: &'a [Piece]) -> BoxFuture<'a, Answer> {
        self.sink.send(pieces)
    }

    fn halves(&self, piece: &Piece) -> Option<[Piece; 2]> {
        self.sink.halves(piece)
    }

    fn redact(&self, text: &str) -> String {
        self.sink.redact(text)
    }

    fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct BudgetedEncoder {
    encoder: Box<dyn Encoder>,
    budget: Budget,
    overflowed: Arc<AtomicU64>,
}

impl Encoder for BudgetedEncoder {
    fn encode(&mut self, event: &RunEvent, report: Option<&Report>) -> Vec<Piece> {
        let limited = report.and_then(|report| self.budget.limit(report));
        self.overflowed.fetch_max(self.budget.overflowed(), Ordering::Relaxed);
        self.encoder.encode(event, limited.as_ref().or(report))
    }
}
