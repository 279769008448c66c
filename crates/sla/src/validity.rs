//! Whether the generator can be trusted, and what kept it from its work.

mod cause;
mod evidence;

use std::collections::BTreeMap;

use plimsoll_measure::{Distribution, Edges, Frame, Histogram, LatencyFigures, Timing, Vitals};
use plimsoll_units::{Quantile, duration};

pub use cause::Cause;
pub use evidence::{Evidence, Lasting, Late, Row, SecondSpan};

use SecondSpan as Span;
use cause::exhausted;

/// Lag below this never matters: an unloaded machine's scheduler alone is late by tens of
/// microseconds, now and then by more, and HTTP over loopback answers in about that time.
const LAG_FLOOR_SECONDS: f64 = 0.001;
/// Response time includes lag, so a lag of this share of the median colours the figures by about as
/// much as the differences people look for between two builds.
const LAG_SHARE_OF_MEDIAN: f64 = 0.05;
/// With ten times the tolerated lag, half of a median response time may be our own doing. A worker
/// that stands still for as long each second is as bad where there is no schedule to be late for.
const INVALID_LAG_FACTOR: f64 = 10.0;
/// Arrivals per generator drop that are tolerated: one in a thousand is the error ratio most
/// objectives promise, and unknown outcomes must stay below what they could turn.
const SUSPECT_ARRIVALS_PER_DROP: u64 = 1000;
/// One in a hundred: p99 itself could be among the requests that were never sent.
const INVALID_ARRIVALS_PER_DROP: u64 = 100;
/// A single bad second may be a connection storm; five in a row are a machine that is too small.
const LASTING_SECONDS: u64 = 5;
/// Fewer lags than these have no p99. Their maximum stands for it, and since one hiccup among a
/// handful of requests is no pattern, it can make a run suspect but not invalid.
const FEWEST_LAGS: u64 = 100;
/// A stall makes late by as long as it lasts; one of less than half a lag is another matter.
const EXPLAINS: f64 = 0.5;
/// Segments sent again that are worth a word: more than one for this many requests, and not a handful.
const REQUESTS_PER_RETRANSMIT: u64 = 1000;
const FEWEST_RETRANSMITS: u64 = 10;

/// How many gaps of the wall clock are kept.
const GAPS: usize = 10_000;

/// Whether the generator can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Validity {
    /// It kept its schedule.
    #[default]
    Valid,
    /// It was late or hindered enough to colour the figures.
    Suspect,
    /// Its figures say more about itself than about the target.
    Invalid,
}

impl Validity {
    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Suspect => "suspect",
            Self::Invalid => "invalid",
        }
    }

    /// Its value in metrics: 1, 0.5 or 0.
    pub fn value(self) -> f64 {
        match self {
            Self::Valid => 1.0,
            Self::Suspect => 0.5,
            Self::Invalid => 0.0,
        }
    }
}

/// Whether the generator can be trusted, and why not.
///
/// What it is judged by is the generator's own, except that a slower target forgives more lag:
/// response times and drops at `max_in_flight` never count against the generator.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValidityReport {
    /// The verdict: the worst of lag, drops and what hindered it for seconds in a row.
    pub verdict: Validity,
    /// What speaks against it, in words with figures, when and why; empty when valid. Clock times are UTC.
    pub reasons: Vec<String>,
    /// What else happened to the run that is neither the generator's doing nor the target's.
    pub remarks: Vec<String>,
    /// ready - due over all requests of the measured phases.
    pub schedule_lag: LatencyFigures,
    /// Arrivals the generator could not offer.
    pub generator_drops: u64,
    /// Mean over the measured seconds of the share of its processors that the generator used.
    pub generator_cpu_ratio: Option<f64>,
}

/// Folds seconds into a verdict about the generator, in constant memory.
///
/// Only measured phases count: a warm-up is there to be rough. A second counts as measured when
/// anything of a measured phase happened in it.
#[derive(Debug, Clone)]
pub struct ValidityTracker {
    clock: WallClock,
    edges: Edges,
    lag: Histogram,
    response_time: Histogram,
    arrivals: u64,
    generator_drops: u64,
    cpu_sum: f64,
    cpu_seconds: u64,
    /// The last measured second.
    last: Option<u64>,
    late: Late,
    dropping: Option<Span>,
    /// What the generator had run out of when it first dropped an arrival for want of it.
    exhausted: Option<String>,
    lasting: BTreeMap<Cause, Lasting>,
    /// What last hindered the generator, and in which second.
    hindrance: Option<(u64, Cause, f64)>,
    requests: u64,
    retransmits: u64,
    /// The second with the most segments sent again.
    most_retransmits: Option<(u64, u64)>,
}

/// What the wall clock showed in the seconds of a run.
#[derive(Debug, Clone)]
struct WallClock {
    /// At offset zero, nanoseconds since 1970.
    start: i64,
    /// From which second on it was how many nanoseconds later, as nobody generated load meanwhile.
    gaps: Vec<(u64, i64)>,
}

impl ValidityTracker {
    /// A tracker before the first second; `edges` are those the frames are counted at, and
    /// `started_nanos` is the wall time of the run's start in nanoseconds since 1970.
    pub fn new(edges: Edges, started_nanos: i64) -> Self {
        Self {
            clock: WallClock::new(started_nanos),
            lag: Histogram::new(edges.clone()),
            response_time: Histogram::new(edges.clone()),
            edges,
            arrivals: 0,
            generator_drops: 0,
            cpu_sum: 0.0,
            cpu_seconds: 0,
            last: None,
            late: Late::default(),
            dropping: None,
            exhausted: None,
            lasting: BTreeMap::new(),
            hindrance: None,
            requests: 0,
            retransmits: 0,
            most_retransmits: None,
        }
    }

    /// From this second on, everything was so many nanoseconds later than its offset says.
    pub fn resumed(&mut self, second: u64, away: u64) {
        if self.clock.gaps.len() < GAPS {
            self.clock.gaps.push((second, i64::try_from(away).unwrap_or(i64::MAX)));
        }
    }

    /// Folds seconds that are told as one, and what they said each by itself.
    pub fn stretch(&mut self, frame: &Frame, evidence: &Evidence) {
        let mut lag = Distribution::empty(self.edges.clone());
        self.drops(frame, &mut lag);
        self.lag.add(&lag);
        self.absorb(evidence);
    }

    /// Adds what is counted and gives this frame's drops; its lags go into `lag`.
    fn drops(&mut self, frame: &Frame, lag: &mut Distribution) -> u64 {
        for (key, series) in frame.series.iter().filter(|(key, _)| key.phase.is_measured()) {
            self.requests += series.requests;
            series.timings.get(&Timing::ScheduleLag).into_iter().for_each(|of| lag.merge(of));
            if key.outcome.counts_for_latency() {
                let times = series.timings.get(&Timing::ResponseTime);
                times.into_iter().for_each(|of| self.response_time.add(of));
            }
        }
        let mut drops = 0;
        for (_, series) in frame.iterations.iter().filter(|(key, _)| key.phase.is_measured()) {
            self.arrivals += series.arrivals;
            drops += series.dropped_generator;
        }
        self.generator_drops += drops;
        drops
    }

    /// Folds the next closed second and what the machine did to the generator in it.
    pub fn second(&mut self, frame: &Frame, vitals: &Vitals) {
        let mut lag = Distribution::empty(self.edges.clone());
        let drops = self.drops(frame, &mut lag);
        self.lag.add(&lag);
        if !is_measured(frame) {
            return;
        }
        self.last = Some(frame.second);
        self.vitals(frame.second, vitals);
        self.lags(frame.second, &lag);
        if drops > 0 {
            Span::extend(&mut self.dropping, frame.second);
            self.exhausted = self.exhausted.take().or_else(|| exhausted(vitals));
        }
    }

    fn vitals(&mut self, second: u64, vitals: &Vitals) {
        if let Some(ratio) = vitals.cpu_ratio.filter(|ratio| ratio.is_finite()) {
            self.cpu_sum += ratio;
            self.cpu_seconds += 1;
        }
        let tolerated = self.tolerated();
        if let Some((cause, figure)) = Cause::of(vitals, tolerated) {
            self.hindrance = Some((second, cause, figure));
        }
        for cause in Cause::ALL {
            if let Some(figure) = cause.figure(vitals, INVALID_LAG_FACTOR * tolerated) {
                let row = Lasting::at(second, figure);
                self.lasting.entry(cause).and_modify(|rows| rows.absorb(&row)).or_insert(row);
            }
        }
        if let Some(count) = vitals.retransmits {
            self.retransmits += count;
            if self.most_retransmits.is_none_or(|(most, _)| count > most) {
                self.most_retransmits = Some((count, second));
            }
        }
    }

    /// Whether this second was late, by what is tolerated so far.
    fn lags(&mut self, second: u64, lag: &Distribution) {
        let p99 = lag.quantile(Quantile::P99);
        let Some(nanos) = p99.or(lag.max()) else { return };
        if seconds(nanos) <= self.tolerated() {
            return;
        }
        Span::extend(&mut self.late.span, second);
        self.late.worst = self.late.worst.max((nanos, p99.is_some()));
        // A request that is late by some seconds ends so much after what hindered it, and the vitals
        // of those seconds came with the first of them.
        let reach = seconds(nanos).ceil() as u64 + 1;
        if let Some((at, cause, figure)) = self.hindrance
            && second.saturating_sub(at) <= reach
            && (cause != Cause::Stalled || figure >= EXPLAINS * seconds(nanos))
        {
            let (count, most) = self.late.causes.entry(cause).or_insert((0, 0.0));
            (*count, *most) = (*count + 1, most.max(figure));
        }
    }

    /// The lag in seconds that is tolerated, beside what requests take so far.
    fn tolerated(&self) -> f64 {
        let median = self.response_time.quantile(Quantile::P50).map(seconds);
        median.map_or(0.0, |median| LAG_SHARE_OF_MEDIAN * median).max(LAG_FLOOR_SECONDS)
    }

    /// What can be said so far.
    pub fn report(&self) -> ValidityReport {
        let (mut verdict, mut reasons) = (Validity::Valid, Vec::new());
        let findings = [self.judge_lag(), self.judge_drops()];
        for (finding, reason) in findings.into_iter().flatten().chain(self.judge_lasting()) {
            verdict = verdict.max(finding);
            reasons.push(reason);
        }
        ValidityReport {
            verdict,
            reasons,
            remarks: self.remark_retransmits().into_iter().collect(),
            schedule_lag: LatencyFigures::from(&self.lag),
            generator_drops: self.generator_drops,
            generator_cpu_ratio: (self.cpu_seconds > 0).then(|| self.cpu_sum / self.cpu_seconds as f64),
        }
    }

    fn judge_lag(&self) -> Option<(Validity, String)> {
        let p99 = self.lag.quantile(Quantile::P99);
        let lag = seconds(p99.or(self.lag.max())?);
        let limit = self.tolerated();
        if lag <= limit {
            return None;
        }
        let few = self.lag.count() < FEWEST_LAGS;
        let verdict =
            if lag > INVALID_LAG_FACTOR * limit && !few { Validity::Invalid } else { Validity::Suspect };
        let figure = if few { "the longest" } else { "p99" };
        let (run, limit) = (duration::human(lag), duration::human(limit));
        let (worst, worst_is_p99) = self.late.worst;
        // Seconds were held against what requests took until then, which may have been more.
        let (worst, at_p99) = match self.late.span {
            Some(_) => (seconds(worst), worst_is_p99),
            None => (lag, !few),
        };
        let reason = format!(
            "the generator, not the target, added up to {}{}{}{}; {figure} schedule lag {run}, tolerated {limit}",
            duration::human(worst),
            if at_p99 { " at p99" } else { "" },
            self.when(self.late.span),
            self.late.cause().map_or_else(String::new, |cause| format!(": {cause}")),
        );
        Some((verdict, reason))
    }

    fn judge_drops(&self) -> Option<(Validity, String)> {
        let Self { arrivals, generator_drops: drops, .. } = self;
        let more_than_one_in = |number: u64| u128::from(*drops) * u128::from(number) > u128::from(*arrivals);
        if !more_than_one_in(SUSPECT_ARRIVALS_PER_DROP) {
            return None;
        }
        let verdict =
            if more_than_one_in(INVALID_ARRIVALS_PER_DROP) { Validity::Invalid } else { Validity::Suspect };
        let percent = 100.0 * *drops as f64 / (*arrivals).max(1) as f64;
        let reason = format!(
            "the generator could not offer {drops} of {arrivals} arrivals ({percent:.2}%){}{}",
            self.when(self.dropping),
            self.exhausted.as_ref().map_or_else(String::new, |cause| format!(": {cause}")),
        );
        Some((verdict, reason))
    }

    fn judge_lasting(&self) -> impl Iterator<Item = (Validity, String)> {
        let long = self.lasting.iter().filter(|(_, rows)| rows.longest.span.seconds >= LASTING_SECONDS);
        long.filter_map(|(cause, rows)| {
            let Row { span, least } = rows.longest;
            let (words, length, when) = (cause.lasting(least)?, span.seconds, self.when(Some(span)));
            Some((Validity::Suspect, format!("{words} for {length} s in a row{when}")))
        })
    }

    fn remark_retransmits(&self) -> Option<String> {
        let count = self.retransmits;
        if count < FEWEST_RETRANSMITS || count.saturating_mul(REQUESTS_PER_RETRANSMIT) <= self.requests {
            return None;
        }
        let (most, second) = self.most_retransmits?;
        let at = self.clock.at(second);
        Some(format!(
            "TCP had to send {count} segments again, {most} of them at {at}: the network or the target's \
             machine lost or delayed them, not the generator"
        ))
    }

    /// When something was so, in words that follow others.
    fn when(&self, span: Option<Span>) -> String {
        let Some(Span { first, last, seconds }) = span else { return String::new() };
        let (from, to) = (self.clock.at(first), self.clock.at(last));
        let unbroken = last - first + 1 == seconds;
        if unbroken && self.last == Some(last) && seconds > 1 {
            format!(" from {from} on")
        } else if first == last {
            format!(" at {from}")
        } else if unbroken {
            format!(" from {from} to {to}")
        } else {
            format!(" in {seconds} s between {from} and {to}")
        }
    }
}

impl Late {
    /// What hindered the generator in most of these seconds, in words.
    fn cause(&self) -> Option<String> {
        // Among equals the first, whose cause lies deepest. A stall is what the others look like where
        // the kernel counts them late: a wait for a processor shows when it is over.
        let most =
            self.causes.iter().rev().max_by_key(|(cause, (count, _))| (**cause != Cause::Stalled, *count));
        most.map(|(cause, (_, figure))| cause.words(*figure))
    }
}

impl WallClock {
    fn new(start: i64) -> Self {
        Self { start, gaps: Vec::new() }
    }

    /// When a second of the run begins, as a clock in UTC shows it; days after the first are counted.
    fn at(&self, second: u64) -> String {
        const DAY: i64 = 86_400;
        let start = self.start.div_euclid(1_000_000_000);
        let gaps = self.gaps.iter().take_while(|(from, _)| *from <= second).map(|(_, nanos)| nanos);
        let gaps = gaps.fold(self.start, |later, gap| later.saturating_add(*gap)).div_euclid(1_000_000_000);
        let now = gaps.saturating_add(i64::try_from(second).unwrap_or(i64::MAX));
        let (day, time) = (now.div_euclid(DAY) - start.div_euclid(DAY), now.rem_euclid(DAY));
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        let day = if day > 0 { format!(" on day {}", day + 1) } else { String::new() };
        format!("{hour:02}:{minute:02}:{second:02} UTC{day}")
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn is_measured(frame: &Frame) -> bool {
    frame.series.keys().any(|key| key.phase.is_measured())
        || frame.iterations.keys().any(|key| key.phase.is_measured())
        || frame.pending.keys().any(|key| key.phase.is_measured())
}

#[cfg(test)]
mod tests;
