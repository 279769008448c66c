//! The shop floor: what happens to requests at places that are few, as arithmetic over time.
//!
//! A request is first worked on by a worker and then, where there is a pool, at one of its places. Both
//! lines are first come, first served. Work of one request goes on at the rate
//! `r(n) = 1 / (1 + σ (n - 1) + κ n (n - 1))` while a worker each has `n` of them, so that `n` requests
//! of `D` seconds of work each are done at `n r(n) / D` per second: Gunther's universal scalability law,
//! by construction and not by approximation (N. J. Gunther, "A General Theory of Computational
//! Scalability Based on Rational Functions", arXiv:0808.1431, eq. 1).
//!
//! Nothing here sleeps or looks at a clock: [`Floor::advance`] is told how late it is and works off
//! everything that became due, each thing at its own moment. A caller that comes late finds what it
//! would have found in time, so the limits of the floor do not depend on how busy the machine is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::model::{Autoscale, Model};

/// Who waits for the end of a request.
pub(crate) trait Ticket {
    /// Nobody does any more: it need not be begun. What is begun is finished, as in most services.
    fn is_gone(&self) -> bool;
}

/// Seconds of work that a request asks for: of a worker, then at the pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Work {
    pub(crate) worker: f64,
    pub(crate) pool: f64,
}

/// The floor as a model describes it. Times are seconds from an origin of the caller's.
#[derive(Debug)]
pub(crate) struct Floor<T> {
    now: f64,
    /// Workers of one replica.
    workers: Option<u32>,
    /// How many may wait, at the workers and at the pool together.
    queue: u32,
    worker: Station<T>,
    pool: Station<T>,
    scaler: Option<Scaler>,
    /// Sums up to the last whole second, and what that second added to those before it.
    until_second: [Sums; 2],
    last_second: [Sums; 2],
    done: Vec<T>,
}

/// A resource of the floor as it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub(crate) resource: &'static str,
    /// How much of it there is; `None` is no limit.
    pub(crate) places: Option<f64>,
    /// Busy place-seconds so far.
    pub(crate) busy_seconds: f64,
    /// Its busy share over the last whole second; `None` without a limit and before the first is over.
    pub(crate) utilisation: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    busy_seconds: f64,
    place_seconds: f64,
    work_seconds: f64,
}

impl Sums {
    fn since(self, before: Self) -> Self {
        Self {
            busy_seconds: self.busy_seconds - before.busy_seconds,
            place_seconds: self.place_seconds - before.place_seconds,
            work_seconds: self.work_seconds - before.work_seconds,
        }
    }

    /// Between 0 and 1: a place that was taken away may still be busy.
    fn busy_ratio(self) -> Option<f64> {
        (self.place_seconds > 0.0).then(|| (self.busy_seconds / self.place_seconds).min(1.0))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    WorkerDone,
    PoolDone,
    SecondOver,
    ReplicaReady,
    Decision,
}

impl<T: Ticket> Floor<T> {
    pub(crate) fn new(model: &Model) -> Self {
        let mut floor = Self {
            now: 0.0,
            workers: None,
            queue: 0,
            worker: Station::new(),
            pool: Station::new(),
            scaler: None,
            until_second: Default::default(),
            last_second: Default::default(),
            done: Vec::new(),
        };
        floor.configure(model);
        floor
    }

    /// From now on the floor is as this model says. What is worked on goes on.
    pub(crate) fn configure(&mut self, model: &Model) {
        self.workers = model.workers;
        self.queue = model.queue;
        (self.worker.sigma, self.worker.kappa) = (model.contention, model.coherency);
        self.pool.places = model.pool.map(|pool| pool.places);
        self.scaler = match (model.autoscale, self.scaler.take()) {
            (Some(settings), Some(scaler)) => Some(scaler.with(settings, self.now)),
            (Some(settings), None) => Some(Scaler::new(settings, self.now, self.worker.sums)),
            (None, _) => None,
        };
        self.place_workers();
        self.pool.fill();
    }

    fn place_workers(&mut self) {
        let replicas = self.replicas().unwrap_or(1);
        self.worker.places = self.workers.map(|workers| workers.saturating_mul(replicas));
        self.worker.fill();
    }

    /// A request arrives now, which [`Self::advance`] must have been told.
    pub(crate) fn arrive(&mut self, work: Work, ticket: T) -> Result<(), T> {
        if !self.worker.has_room() && self.waiting() >= self.queue as usize {
            self.worker.forget_those_who_left();
            self.pool.forget_those_who_left();
            if self.waiting() >= self.queue as usize {
                return Err(ticket);
            }
        }
        self.worker.enter(Request { demand: work.worker, afterwards: work.pool, ticket });
        Ok(())
    }

    /// Works off what was due until `now` and says who is done, in order.
    pub(crate) fn advance(&mut self, now: f64) -> Vec<T> {
        while let Some((at, event)) = self.next() {
            if at > now {
                break;
            }
            self.pass(at);
            self.happen(event);
        }
        self.pass(now);
        std::mem::take(&mut self.done)
    }

    /// When [`Self::advance`] has to be called for others' sake; it may be called at any time.
    pub(crate) fn next_due(&self) -> Option<f64> {
        self.events().filter(|(_, event)| *event != Event::SecondOver).map(|(at, _)| at).reduce(f64::min)
    }

    fn next(&self) -> Option<(f64, Event)> {
        self.events().min_by(|one, other| one.0.total_cmp(&other.0))
    }

    fn events(&self) -> impl Iterator<Item = (f64, Event)> {
        let scaler = self.scaler.as_ref();
        [
            self.worker.next_end(self.now).map(|at| (at, Event::WorkerDone)),
            self.pool.next_end(self.now).map(|at| (at, Event::PoolDone)),
            scaler.and_then(|scaler| scaler.starting.front()).map(|at| (*at, Event::ReplicaReady)),
            scaler.map(|scaler| (scaler.next_decision, Event::Decision)),
            Some((self.now.floor() + 1.0, Event::SecondOver)),
        ]
        .into_iter()
        .flatten()
    }

    fn pass(&mut self, now: f64) {
        let span = (now - self.now).max(0.0);
        self.worker.pass(span);
        self.pool.pass(span);
        self.now = self.now.max(now);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::WorkerDone => match self.worker.finish_first() {
                Some(Request { afterwards, ticket, .. }) if afterwards > 0.0 => {
                    self.pool.enter(Request { demand: afterwards, afterwards: 0.0, ticket });
                }
                request => self.done.extend(request.map(|request| request.ticket)),
            },
            Event::PoolDone => {
                let request = self.pool.finish_first();
                self.done.extend(request.map(|request| request.ticket));
            }
            Event::SecondOver => {
                let sums = [self.worker.sums, self.pool.sums];
                for (index, sums) in sums.into_iter().enumerate() {
                    self.last_second[index] = sums.since(self.until_second[index]);
                    self.until_second[index] = sums;
                }
            }
            Event::ReplicaReady => {
                self.scaler.iter_mut().for_each(Scaler::ready);
                self.place_workers();
            }
            Event::Decision => {
                let sums = self.worker.sums;
                self.scaler.iter_mut().for_each(|scaler| scaler.decide(sums));
                self.place_workers();
            }
        }
    }

    /// Replicas at work, where there is an autoscaler.
    pub(crate) fn replicas(&self) -> Option<u32> {
        self.scaler.as_ref().map(|scaler| scaler.replicas)
    }

    /// How many wait, at the workers and at the pool.
    pub(crate) fn waiting(&self) -> usize {
        self.worker.waiting.len() + self.pool.waiting.len()
    }

    /// The floor's resources, those that there are.
    pub(crate) fn readings(&self) -> Vec<Reading> {
        let station = |resource, station: &Station<T>, index: usize| Reading {
            resource,
            places: station.places.map(f64::from),
            busy_seconds: station.sums.busy_seconds,
            utilisation: self.last_second[index].busy_ratio(),
        };
        // The share σ of all work is done one after the other: by one worker in all, who is busy for
        // σ times the work done. n r(n) σ stays below 1 whatever n is.
        let sigma = self.worker.sigma;
        let serial = Reading {
            resource: "serial",
            places: Some(1.0),
            busy_seconds: self.worker.serial_seconds,
            utilisation: (self.now >= 1.0).then(|| (sigma * self.last_second[0].work_seconds).min(1.0)),
        };
        let mut readings = vec![station("workers", &self.worker, 0)];
        readings.extend(self.pool.places.map(|_| station("pool", &self.pool, 1)));
        readings.extend((sigma > 0.0).then_some(serial));
        readings
    }
}

/// Places that requests hold while they are worked on.
#[derive(Debug)]
struct Station<T> {
    /// `None` is no limit.
    places: Option<u32>,
    sigma: f64,
    kappa: f64,
    /// Work that each request here has been given since the station was last empty, seconds.
    given: f64,
    /// By the value of `given` at which they are done.
    busy: BinaryHeap<Reverse<Busy<T>>>,
    entered: u64,
    waiting: VecDeque<Request<T>>,
    sums: Sums,
    serial_seconds: f64,
}

#[derive(Debug)]
struct Request<T> {
    /// Seconds of work here.
    demand: f64,
    /// Seconds of work at the pool, once a worker has done what it does.
    afterwards: f64,
    ticket: T,
}

#[derive(Debug)]
struct Busy<T> {
    done_at: f64,
    /// Among equals the first to come is the first to go.
    number: u64,
    request: Request<T>,
}

impl<T> PartialEq for Busy<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<T> Eq for Busy<T> {}
impl<T> PartialOrd for Busy<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Busy<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.done_at.total_cmp(&other.done_at).then(self.number.cmp(&other.number))
    }
}

impl<T: Ticket> Station<T> {
    fn new() -> Self {
        Self {
            places: None,
            sigma: 0.0,
            kappa: 0.0,
            given: 0.0,
            busy: BinaryHeap::new(),
            entered: 0,
            waiting: VecDeque::new(),
            sums: Sums::default(),
            serial_seconds: 0.0,
        }
    }

    fn has_room(&self) -> bool {
        self.places.is_none_or(|places| self.busy.len() < places as usize)
    }

    fn enter(&mut self, request: Request<T>) {
        self.waiting.push_back(request);
        self.fill();
    }

    fn fill(&mut self) {
        while self.has_room() {
            let Some(request) = self.waiting.pop_front() else { return };
            if request.ticket.is_gone() {
                continue;
            }
            self.entered += 1;
            let done_at = self.given + request.demand;
            self.busy.push(Reverse(Busy { done_at, number: self.entered, request }));
        }
    }

    fn forget_those_who_left(&mut self) {
        self.waiting.retain(|request| !request.ticket.is_gone());
    }

    /// Seconds of work that each request is given in a second.
    fn rate(&self) -> f64 {
        let n = self.busy.len() as f64;
        1.0 / (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0))
    }

    fn next_end(&self, now: f64) -> Option<f64> {
        let Reverse(first) = self.busy.peek()?;
        Some(now + (first.done_at - self.given).max(0.0) / self.rate())
    }

    fn pass(&mut self, span: f64) {
        self.sums.place_seconds += self.places.map_or(0.0, f64::from) * span;
        if self.busy.is_empty() {
            return;
        }
        let (n, given) = (self.busy.len() as f64, self.rate() * span);
        self.given += given;
        self.sums.busy_seconds += n * span;
        self.sums.work_seconds += n * given;
        self.serial_seconds += self.sigma * n * given;
    }

    fn finish_first(&mut self) -> Option<Request<T>> {
        let Reverse(first) = self.busy.pop()?;
        // Its moment was reached up to rounding; the others were given as much.
        self.given = if self.busy.is_empty() { 0.0 } else { self.given.max(first.done_at) };
        self.fill();
        Some(first.request)
    }
}

/// Adds and removes replicas by how busy they are.
///
/// Every `interval` it wants `ceil(replicas × utilisation / target)` of them, within its bounds: the
/// rule of Kubernetes' horizontal pod autoscaler, without its tolerance and its windows.
#[derive(Debug)]
struct Scaler {
    settings: Autoscale,
    replicas: u32,
    /// When those that were started will be ready, in order.
    starting: VecDeque<f64>,
    next_decision: f64,
    at_decision: Sums,
}

impl Scaler {
    fn new(settings: Autoscale, now: f64, sums: Sums) -> Self {
        Self {
            settings,
            replicas: settings.min,
            starting: VecDeque::new(),
            next_decision: now + settings.interval(),
            at_decision: sums,
        }
    }

    fn with(mut self, settings: Autoscale, now: f64) -> Self {
        self.next_decision = self.next_decision.min(now + settings.interval());
        self.settings = settings;
        self.replicas = self.replicas.clamp(settings.min, settings.max);
        self.starting.truncate((settings.max - self.replicas) as usize);
        self
    }

    fn ready(&mut self) {
        self.replicas += u32::from(self.starting.pop_front().is_some());
    }

    fn decide(&mut self, sums: Sums) {
        let now = self.next_decision;
        self.next_decision = now + self.settings.interval();
        let busy_ratio = sums.since(std::mem::replace(&mut self.at_decision, sums)).busy_ratio();
        let wanted = self.wanted(busy_ratio.unwrap_or(0.0));
        while self.all() > wanted && self.starting.pop_back().is_some() {}
        self.replicas = self.replicas.min(wanted);
        while self.all() < wanted {
            self.starting.push_back(now + self.settings.delay());
        }
    }

    fn wanted(&self, utilisation: f64) -> u32 {
        /// Rounding of the quotient must not add a replica.
        const ROUNDING: f64 = 1e-9;
        let Autoscale { min, max, target_utilisation, .. } = self.settings;
        let wanted = (f64::from(self.replicas) * utilisation / target_utilisation - ROUNDING).ceil();
        (wanted.max(0.0) as u32).clamp(min, max)
    }

    fn all(&self) -> u32 {
        self.replicas + self.starting.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Latency, Pool};

    impl Ticket for u32 {
        fn is_gone(&self) -> bool {
            *self == GONE
        }
    }

    const GONE: u32 = u32::MAX;

    /// Exponential with a mean of one: as random as service times are usually taken to be.
    fn exponential(n: u64) -> f64 {
        let share = crate::model::mix(n) >> 11;
        -(1.0 - share as f64 / (1_u64 << 53) as f64).ln()
    }

    /// Requests per second of `users` who send the next one when the last is done, and the floor.
    fn closed(model: &Model, users: u32, mean: f64, requests: u64) -> (f64, Floor<u32>) {
        let share = model.pool.map_or(0.0, |pool| pool.share);
        let mut drawn = 0;
        let mut work = || {
            drawn += 1;
            let demand = mean * exponential(drawn);
            Work { worker: demand * (1.0 - share), pool: demand * share }
        };
        let mut floor = Floor::new(model);
        (0..users).for_each(|user| floor.arrive(work(), user).unwrap());
        let mut done = 0;
        while done < requests {
            let at = floor.next_due().unwrap();
            for user in floor.advance(at) {
                done += 1;
                floor.arrive(work(), user).unwrap();
            }
        }
        (done as f64 / floor.now, floor)
    }

    fn check_near(what: &str, found: f64, expected: f64, tolerance: f64) {
        assert!((found / expected - 1.0).abs() < tolerance, "{what}: {found}, expected {expected}");
    }

    #[test]
    fn throughput_follows_the_scalability_law() {
        let mean = 0.01;
        for (sigma, kappa) in [(0.0, 0.0), (0.05, 0.0), (0.02, 0.0005), (0.3, 0.01)] {
            let model = Model { contention: sigma, coherency: kappa, ..Model::default() };
            for users in [1, 4, 16, 64] {
                let n = f64::from(users);
                let expected = n / (mean * (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0)));
                let (found, floor) = closed(&model, users, mean, 40_000);
                // The mean of 40,000 exponential times has a standard error of 0.5%.
                check_near(&format!("{sigma} {kappa} {users}"), found, expected, 0.02);
                let serial = floor.readings().into_iter().find(|reading| reading.resource == "serial");
                assert_eq!(serial.is_some(), sigma > 0.0);
                if let Some(serial) = serial {
                    let busy = serial.busy_seconds / floor.now;
                    check_near("serial share", busy, found * mean * sigma, 0.02);
                }
            }
        }
    }

    #[test]
    fn the_limit_is_what_the_model_says_it_is() {
        let mean = 0.02;
        let latency = Latency::Fixed { ms: mean * 1e3 };
        let base = Model { latency, workers: Some(8), ..Model::default() };
        for (model, bottleneck) in [
            (base, "workers"),
            (Model { contention: 0.1, ..base }, "workers"),
            (Model { contention: 0.02, coherency: 0.004, ..base }, "workers"),
            (Model { pool: Some(Pool { places: 2, share: 0.5 }), ..base }, "pool"),
            (Model { pool: Some(Pool { places: 6, share: 0.25 }), ..base }, "workers"),
        ] {
            let (found, floor) = closed(&model, 500, mean, 60_000);
            let limit = model.limit(1).unwrap();
            check_near(&format!("{model:?}"), found, limit.overloaded, 0.02);
            let busiest = floor.readings().into_iter().filter(|reading| reading.resource != "serial");
            let busiest = busiest.max_by(|one, other| {
                let ratio = |reading: &Reading| reading.busy_seconds / reading.places.unwrap();
                ratio(one).total_cmp(&ratio(other))
            });
            assert_eq!(busiest.unwrap().resource, bottleneck, "{model:?}");
        }
    }

    #[test]
    fn utilisation_is_throughput_times_demand_over_places() {
        let pool = Some(Pool { places: 10, share: 0.25 });
        let model = Model { workers: Some(4), pool, ..Model::default() };
        let mut floor = Floor::new(&model);
        let mut most = 0.0_f64;
        // 100 a second, evenly, 20 ms each: 15 ms of four workers and 5 ms of ten places.
        for request in 0..1000 {
            floor.advance(f64::from(request) * 0.01);
            floor.arrive(Work { worker: 0.015, pool: 0.005 }, request).unwrap();
            most = most.max(floor.waiting() as f64);
        }
        floor.advance(10.0);
        let readings = floor.readings();
        let ratios: Vec<_> = readings.iter().map(|reading| reading.utilisation.unwrap()).collect();
        assert!((ratios[0] - 0.375).abs() < 1e-9 && (ratios[1] - 0.05).abs() < 1e-9, "{ratios:?}");
        assert!((readings[0].busy_seconds - 15.0).abs() < 0.02, "{readings:?}");
        assert_eq!(most, 0.0);
        floor.advance(12.5);
        let idle = floor.readings().into_iter().map(|reading| reading.utilisation).collect::<Vec<_>>();
        assert_eq!(idle, [Some(0.0), Some(0.0)]);
    }

    #[test]
    fn places_are_given_in_the_order_of_arrival_and_the_queue_has_an_end() {
        let model = Model { workers: Some(1), queue: 2, ..Model::default() };
        let mut floor = Floor::new(&model);
        let work = Work { worker: 1.0, pool: 0.0 };
        assert_eq!([1, 2, 3].map(|ticket| floor.arrive(work, ticket)), [Ok(()); 3]);
        assert_eq!(floor.arrive(work, 4), Err(4));
        assert_eq!(floor.advance(1.5), [1]);
        assert_eq!(floor.arrive(work, 5), Ok(()));
        // Each begins when the one before it ends, however late anybody looks.
        assert_eq!((floor.advance(4.0), floor.waiting()), (vec![2, 3, 5], 0));
        assert_eq!(floor.now, 4.0);
        assert_eq!((floor.next_due(), floor.advance(100.0)), (None, vec![]));
    }

    #[test]
    fn one_who_left_is_not_begun() {
        let model = Model { workers: Some(1), queue: 1, ..Model::default() };
        let mut floor = Floor::new(&model);
        let work = Work { worker: 1.0, pool: 0.0 };
        floor.arrive(work, 1).unwrap();
        floor.arrive(work, GONE).unwrap();
        floor.arrive(work, 2).unwrap();
        assert_eq!(floor.advance(2.0), [1, 2]);
    }

    #[test]
    fn the_model_changes_while_requests_are_worked_on() {
        let mut model = Model { workers: Some(1), ..Model::default() };
        let mut floor = Floor::new(&model);
        (0..4).for_each(|ticket| floor.arrive(Work { worker: 1.0, pool: 1.0 }, ticket).unwrap());
        floor.advance(0.5);
        model.workers = Some(2);
        floor.configure(&model);
        assert_eq!(floor.waiting(), 2);
        assert_eq!(floor.advance(2.0), [0], "no pool, so its part is a delay");
        model.workers = None;
        model.pool = Some(Pool { places: 1, share: 0.5 });
        floor.configure(&model);
        assert_eq!(floor.advance(10.0), [1, 2, 3]);
        assert_eq!(floor.readings()[0].utilisation, None, "no limit, no share of it");
    }

    #[test]
    fn replicas_follow_the_load() {
        let autoscale =
            Autoscale { min: 1, max: 4, target_utilisation: 0.5, interval_ms: 1000, delay_ms: 2500 };
        let model = Model { workers: Some(10), autoscale: Some(autoscale), ..Model::default() };
        let mut floor = Floor::new(&model);
        let mut story = Vec::new();
        // 10 ms each; a load of `level` keeps as many workers busy.
        for (level, seconds) in [(4, 3), (18, 8), (2, 4)] {
            for _ in 0..seconds {
                for _ in 0..100 {
                    let now = floor.now;
                    for ticket in 0..level {
                        floor.arrive(Work { worker: 0.01, pool: 0.0 }, ticket).unwrap();
                    }
                    floor.advance(now + 0.01);
                }
                story.push(floor.replicas().unwrap());
            }
        }
        // One is enough; then 18 busy ask for ceil(10 / 5) = 2 of one that is full, ready 2.5 s after,
        // and for 4 once there are two; at last one again.
        assert_eq!(story[..3], [1, 1, 1]);
        assert_eq!(story[3..11], [1, 1, 1, 2, 2, 2, 4, 4], "{story:?}");
        assert_eq!(story[11..], [4, 1, 1, 1], "{story:?}");
    }

    #[test]
    fn replicas_stay_within_their_bounds_when_those_change() {
        let autoscale = Autoscale { min: 3, max: 5, target_utilisation: 0.5, interval_ms: 1000, delay_ms: 0 };
        let mut model = Model { workers: Some(2), autoscale: Some(autoscale), ..Model::default() };
        let mut floor = Floor::<u32>::new(&model);
        assert_eq!((floor.replicas(), floor.worker.places), (Some(3), Some(6)));
        model.autoscale = Some(Autoscale { min: 1, max: 2, ..autoscale });
        floor.configure(&model);
        assert_eq!((floor.replicas(), floor.worker.places), (Some(2), Some(4)));
        floor.advance(5.0);
        assert_eq!(floor.replicas(), Some(1));
        model.autoscale = None;
        floor.configure(&model);
        assert_eq!((floor.replicas(), floor.worker.places), (None, Some(2)));
    }

    proptest! {
        #[test]
        fn late_looks_change_nothing(
            arrivals in prop::collection::vec((0.0..0.5_f64, 0.0..1.0_f64, 0.0..0.5_f64), 1..40),
            looks in prop::collection::vec(0.0..0.3_f64, 0..60),
            workers in 1..4_u32, places in 1..3_u32, contention in 0.0..0.5_f64, coherency in 0.0..0.1_f64,
        ) {
            let pool = Some(Pool { places, share: 0.5 });
            let model = Model { workers: Some(workers), pool, contention, coherency, ..Model::default() };
            let tell = |looks: &[f64]| {
                let mut floor = Floor::new(&model);
                let (mut now, mut looks, mut done) = (0.0, looks.iter().cycle(), Vec::new());
                for (number, (gap, worker, pool)) in (0..).zip(&arrivals) {
                    let next = now + gap;
                    while let Some(look) = looks.next().filter(|look| now + **look < next && **look > 0.01) {
                        now += look;
                        done.extend(floor.advance(now));
                    }
                    now = next;
                    done.extend(floor.advance(now));
                    let work = Work { worker: *worker, pool: *pool };
                    prop_assert_eq!(floor.arrive(work, number), Ok(()));
                }
                done.extend(floor.advance(1e4));
                Ok((done, floor.worker.sums, floor.pool.sums))
            };
            let (often, seldom) = (tell(&looks)?, tell(&[])?);
            prop_assert_eq!(&often.0, &seldom.0);
            prop_assert_eq!(seldom.0.len(), arrivals.len());
            for (one, other) in [(often.1, seldom.1), (often.2, seldom.2)] {
                prop_assert!((one.busy_seconds - other.busy_seconds).abs() < 1e-6);
                prop_assert!((one.work_seconds - other.work_seconds).abs() < 1e-6);
            }
        }
    }
}
