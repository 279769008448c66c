//! Requests told one by one: which are chosen, and the trace that each belongs to.

use std::cell::{Cell, RefCell};

use plimsoll_measure::{Purposes, Sample, Single, SingleRule, TraceContext};
use plimsoll_run::RunPlan;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a worker needs to choose requests; there is none where the plan asks for no single requests.
#[derive(Debug)]
pub(crate) struct Singles {
    trace: Option<SingleRule>,
    samples: Option<SingleRule>,
    /// Decides which requests are of the shares.
    seed: u64,
    /// How many requests this worker has begun.
    begun: Cell<u64>,
    ids: RefCell<ChaCha8Rng>,
}

/// What is decided of a request before it is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    /// Where the request is to carry a trace of ours.
    pub(crate) trace: Option<TraceContext>,
    drawn: Purposes,
}

impl Singles {
    /// What a plan asks for. `place` is the worker's among those that begin requests in this run.
    pub(crate) fn of(plan: &RunPlan, seed: u64, run_id: &str, place: u64) -> Option<Self> {
        let (trace, samples) = (plan.trace, plan.samples.as_ref().map(|samples| samples.rule));
        if trace.is_none() && samples.is_none() {
            return None;
        }
        // Traces of two runs meet in one store, so the run decides about ids too (FNV-1a).
        let run = run_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut ids = ChaCha8Rng::seed_from_u64(seed ^ run);
        ids.set_stream(place);
        let seed = seed.wrapping_add(place);
        Some(Self { trace, samples, seed, begun: Cell::new(0), ids: RefCell::new(ids) })
    }

    /// Decides about the next request. Where a plan has a `traceparent` of its own, ours does not go out
    /// and nothing can be told of the trace.
    pub(crate) fn begin(&self, is_traced_by_plan: bool) -> Begun {
        let n = self.begun.replace(self.begun.get() + 1);
        let draws = |rule: Option<SingleRule>| rule.is_some_and(|rule| rule.draws(self.seed, n));
        let trace = self.trace.filter(|_| !is_traced_by_plan);
        let drawn = Purposes { trace: draws(trace), samples: draws(self.samples) };
        let trace =
            trace.map(|_| TraceContext { trace_id: self.id(), span_id: self.id(), sampled: drawn.trace });
        Begun { trace, drawn }
    }

    /// The same request sent once more: another span of its trace.
    pub(crate) fn go_on(&self, begun: &mut Begun) {
        begun.trace.iter_mut().for_each(|trace| trace.span_id = self.id());
    }

    /// An id that is not all zero, which is what ids are that mean nothing.
    fn id<const LENGTH: usize>(&self) -> [u8; LENGTH] {
        let mut id = [0; LENGTH];
        while id == [0; LENGTH] {
            self.ids.borrow_mut().fill_bytes(&mut id);
        }
        id
    }

    /// What is told of a request that has ended, if anything.
    pub(crate) fn choose(&self, begun: &Begun, sample: &Sample) -> Option<Single> {
        let takes = |rule: Option<SingleRule>, drawn| rule.is_some_and(|rule| rule.takes(drawn, sample));
        let purposes = Purposes {
            trace: begun.trace.is_some() && takes(self.trace, begun.drawn.trace),
            samples: takes(self.samples, begun.drawn.samples),
        };
        let single = Single { sample: *sample, trace: begun.trace, purposes };
        (purposes != Purposes::default()).then_some(single)
    }
}
