//! A run made up second by second, with its own account of what it did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plimsoll_exporters::Exporters;
use plimsoll_measure::{
    Edges, Frame, IterationKey, Outcome, Phase, Purposes, SECOND, Sample, SeriesKey, Shard, Single,
    TraceContext, Vitals,
};
use plimsoll_run::{
    Ended, ExportCount, Gauges, Judged, Machine, Model, RunEvent, RunInfo, RunStatus, ScenarioShape, Second,
    Shape, Started, StepShape,
};
use plimsoll_sla::{Expression, Filter, Objective, Severity, Status, Validity, Verdict};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The plan's name needs escaping in every format there is.
pub(crate) const PLAN: &str = "shop, \"big\" = C:\\x";

pub(crate) struct Run {
    pub(crate) id: String,
    started: Arc<Started>,
    second: u64,
    /// Requests by outcome and phase.
    pub(crate) requests: BTreeMap<(&'static str, &'static str), u64>,
    pub(crate) received_bytes: u64,
    /// Response times in nanoseconds.
    pub(crate) response_times: Vec<u64>,
    /// Response times by trace, of those that are told with theirs.
    pub(crate) traced: BTreeMap<[u8; 16], u64>,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self::by_clock(0)
    }

    /// On a machine whose clock is so many seconds ahead.
    pub(crate) fn by_clock(ahead: i64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let id = format!("run-{}", now.as_nanos());
        let edges = Edges::with_thresholds([333_000_000]);
        let step = |step: &str| StepShape {
            scenario: "browse".to_owned(),
            scenario_index: Some(0),
            step: step.to_owned(),
        };
        let shape = Shape {
            plan: PLAN.to_owned(),
            plan_hash: "hash".to_owned(),
            model: Model::Open,
            scenarios: vec![ScenarioShape { name: "browse".to_owned(), weight: 1 }],
            steps: vec![step("GET /list?page={{ page }}"), step("buy")],
            groups: Vec::new(),
            checks: Vec::new(),
            stages: Vec::new(),
            own_loads: Vec::new(),
            warmup: 1.0,
            grace: 1.0,
            iterations: None,
            edges,
            objectives: vec![Objective {
                name: "quick pages".to_owned(),
                text: "p95(response_time) <= 333ms".to_owned(),
                expression: Expression::parse("p95(response_time) <= 333ms").unwrap(),
                over: None,
                filter: Filter::default(),
                abort_after: None,
                severity: Severity::Critical,
                message: None,
            }],
            addresses: Vec::new(),
            measures: Vec::new(),
            limits: plimsoll_measure::Limits::default(),
        };
        let info = RunInfo {
            id: id.clone(),
            // The last seconds are now: Prometheus and its kind look no further back.
            started_nanos: i64::try_from(now.as_nanos()).unwrap() + (ahead - 10) * SECOND as i64,
            seed: 1,
            version: Some("1.4.2".to_owned()),
            environment: Some("test".to_owned()),
            tags: BTreeMap::new(),
            machine: Machine::default(),
            plimsoll: "0.1.0".to_owned(),
            target: "http://127.0.0.1:1".to_owned(),
        };
        let started = Arc::new(Started { info, shape, plan_text: String::new(), calibration: None });
        Self {
            id,
            started,
            second: 0,
            requests: BTreeMap::new(),
            received_bytes: 0,
            response_times: Vec::new(),
            traced: BTreeMap::new(),
        }
    }

    /// The same run from its beginning, as a replay tells it.
    pub(crate) fn again(&self) -> Self {
        Self {
            id: self.id.clone(),
            started: Arc::clone(&self.started),
            second: 0,
            requests: BTreeMap::new(),
            received_bytes: 0,
            traced: BTreeMap::new(),
            response_times: Vec::new(),
        }
    }

    pub(crate) fn start(&self) -> RunEvent {
        RunEvent::Started(Arc::clone(&self.started))
    }

    /// The next second, in which `requests` requests end in every way and phase.
    pub(crate) fn next_second(&mut self, requests: u64) -> RunEvent {
        let mut shard = Shard::new(self.second, self.started.shape.edges.clone());
        for number in 0..requests {
            let phase = if self.second == 0 { Phase::Warmup } else { Phase::Measured };
            let outcome = match number % 10 {
                8 => Outcome::Status,
                9 => Outcome::Reset,
                _ => Outcome::Ok,
            };
            // From 200 µs to half a second, growing evenly by a factor.
            let nanos = (200_000.0 * 1.08_f64.powi((number % 100) as i32)) as u64;
            let key =
                SeriesKey { step: (number % 2) as u16, phase, stage: Some((number % 3) as u16), outcome };
            shard.record(&Sample {
                key,
                due: 0,
                ready: 10,
                sent: Some(20),
                done: nanos,
                connect: None,
                tls: None,
                first_byte: Some(nanos / 2),
                status: outcome.is_answer().then_some(if outcome == Outcome::Ok { 200 } else { 500 }),
                received_bytes: 1000 + number,
                sent_bytes: 100,
                address: 0,
            });
            if number % 7 == 0 {
                let trace_id = u128::from(self.second * 1_000_000 + number + 1).to_be_bytes();
                self.traced.insert(trace_id, nanos);
                let (base, trace) =
                    (self.second * SECOND, TraceContext { trace_id, span_id: [7; 8], sampled: true });
                let sample = Sample { status: None, ..Sample::at(key, base) };
                shard.tell(&Single {
                    sample: Sample { done: base + nanos, ..sample },
                    trace: Some(trace),
                    purposes: Purposes { trace: true, samples: false },
                });
            }
            *self.requests.entry((outcome.label(), phase.label())).or_default() += 1;
            self.received_bytes += 1000 + number;
            self.response_times.push(nanos);
            let iteration = IterationKey { scenario: 0, phase, stage: key.stage };
            shard.arrival(iteration);
            shard.iteration(iteration, nanos, outcome != Outcome::Ok);
        }
        let mut frame = Frame::new(self.second);
        shard.merge_into(&mut frame);
        self.second += 1;
        let gauges = Gauges { offered_rate: requests as f64, virtual_users: 3, connections: 4 };
        let vitals = Vitals { cpu_ratio: Some(0.5), ..Vitals::default() };
        let wall_nanos = self.started.info.started_nanos + (self.second * SECOND) as i64;
        RunEvent::Second(Arc::new(Second { frame, gauges, vitals, resources: Vec::new(), wall_nanos }))
    }

    pub(crate) fn judged(&self) -> RunEvent {
        let total = self.requests();
        let status = Status {
            verdict: Some(Verdict::Met),
            observed: Some(0.3),
            good_events: Some(total - total / 10),
            total_events: Some(total),
            ..Status::default()
        };
        RunEvent::Judged(Arc::new(Judged {
            second: self.second.saturating_sub(1),
            statuses: vec![status],
            validity: Validity::Valid,
        }))
    }

    pub(crate) fn end(&self) -> RunEvent {
        RunEvent::Ended(ended(self.second))
    }

    /// The wall time of a second's beginning, since 1970.
    pub(crate) fn wall_seconds(&self, second: u64) -> f64 {
        (self.started.info.started_nanos + (second * SECOND) as i64) as f64 / 1e9
    }

    /// The end of second `number`, counted from 1, in Unix seconds; 0 is the start.
    pub(crate) fn moment(&self, number: u64) -> f64 {
        (self.started.info.started_nanos / 1_000_000 + number as i64 * 1000) as f64 / 1000.0
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.values().sum()
    }

    /// How many response times are at or below this many nanoseconds.
    pub(crate) fn at_or_below(&self, nanos: u64) -> u64 {
        self.response_times.iter().filter(|time| **time <= nanos).count() as u64
    }

    /// Sum of response times in seconds.
    pub(crate) fn sum(&self) -> f64 {
        self.response_times.iter().map(|nanos| u128::from(*nanos)).sum::<u128>() as f64 / 1e9
    }

    /// The response time at a share of all.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.response_times.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted[rank - 1] as f64 / 1e9
    }
}

/// The end of a run after so many seconds.
pub(crate) fn ended(seconds: u64) -> Arc<Ended> {
    Arc::new(Ended {
        at: seconds * SECOND,
        status: RunStatus::Completed,
        reason: None,
        exports: Vec::new(),
        samples: None,
    })
}

/// Tells exporters a run from its start, each second with its verdicts. At every look the counts add up.
pub(crate) fn tell(exporters: &mut Exporters, run: &mut Run, seconds: u64) {
    exporters.send(&run.start());
    for second in 0..seconds {
        let event = run.next_second(100 + 37 * second);
        exporters.send(&event);
        exporters.send(&run.judged());
        balanced(&exporters.counts());
    }
}

/// A new run of so many seconds, told.
pub(crate) fn offer(exporters: &mut Exporters, seconds: u64) -> Run {
    let mut run = Run::new();
    tell(exporters, &mut run, seconds);
    run
}

/// What is known of each point of each sink adds up.
pub(crate) fn balanced(counts: &[ExportCount]) {
    for count in counts {
        assert_eq!(count.produced, count.acknowledged + count.backlog + count.lost, "{count:?}");
    }
}

/// Ends a run after so many seconds. The final counts add up, and stay.
pub(crate) async fn finish_after(
    exporters: &mut Exporters,
    seconds: u64,
    deadline: Duration,
) -> Vec<ExportCount> {
    let counts = exporters.finish(&ended(seconds), deadline).await;
    balanced(&counts);
    assert_eq!(exporters.counts(), counts);
    counts
}

/// Ends a run whose points have no place to wait. The count of its first sink.
pub(crate) async fn finish(exporters: &mut Exporters, deadline: Duration) -> ExportCount {
    let counts = finish_after(exporters, 9, deadline).await;
    assert!(counts.iter().all(|count| count.backlog == 0), "{counts:?}");
    counts[0].clone()
}
