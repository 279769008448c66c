use plimsoll_measure::{Distribution, Edges, Frame, Histogram, LatencyFigures, Timing, Vitals};
use plimsoll_units::{Quantile, duration};

/// Lag below this never matters: an unloaded machine's scheduler alone is late by tens of
/// microseconds, now and then by more, and HTTP over loopback answers in about that time.
const LAG_FLOOR_SECONDS: f64 = 0.001;
/// Response time includes lag, so a lag of this share of the median colours the figures by about as
/// much as the differences people look for between two builds.
const LAG_SHARE_OF_MEDIAN: f64 = 0.05;
/// With ten times the tolerated lag, half of a median response time may be our own doing.
const INVALID_LAG_FACTOR: f64 = 10.0;
/// Arrivals per generator drop that are tolerated: one in a thousand is the error ratio most
/// objectives promise, and unknown outcomes must stay below what they could turn.
const SUSPECT_ARRIVALS_PER_DROP: u64 = 1000;
/// One in a hundred: p99 itself could be among the requests that were never sent.
const INVALID_ARRIVALS_PER_DROP: u64 = 100;
/// Above this use of its processors a generator queues its own work, whatever its lag says.
const BUSY_CPU_RATIO: f64 = 0.9;
/// A single busy second may be a connection storm; five in a row are a machine that is too small.
const BUSY_SECONDS: u32 = 5;
/// Fewer lags than these have no p99. Their maximum stands for it, and since one hiccup among a
/// handful of requests is no pattern, it can make a run suspect but not invalid.
const FEWEST_LAGS: u64 = 100;

/// Whether the generator can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Validity {
    /// It kept its schedule.
    #[default]
    Valid,
    /// It was late or busy enough to colour the figures.
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

/// The figures that validity is judged by. All are the generator's own, except that a slower target
/// forgives more lag: response times and drops at `max_in_flight` never count against the generator.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValidityInput {
    /// How many schedule lags were measured.
    pub lags: u64,
    /// Their p99 in seconds, or their maximum when they are fewer than a hundred.
    pub lag_p99: Option<f64>,
    /// Median response time in seconds.
    pub median_response_time: Option<f64>,
    /// Arrivals due, dropped ones included.
    pub arrivals: u64,
    /// Arrivals the generator could not offer.
    pub generator_drops: u64,
    /// The longest row of seconds in which the generator's processors were busy.
    pub busy_seconds: u32,
}

/// Whether the generator can be trusted, and why not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValidityReport {
    /// The verdict.
    pub verdict: Validity,
    /// What speaks against it, in words with figures; empty when valid.
    pub reasons: Vec<String>,
    /// ready - due over all requests of the measured phases.
    pub schedule_lag: LatencyFigures,
    /// Arrivals the generator could not offer.
    pub generator_drops: u64,
    /// Mean over the measured seconds of the share of its processors that the generator used.
    pub generator_cpu_ratio: Option<f64>,
}

impl ValidityInput {
    /// The verdict and its reasons: the worst of lag, drops and processor use.
    pub fn judge(&self) -> (Validity, Vec<String>) {
        let (mut verdict, mut reasons) = (Validity::Valid, Vec::new());
        let findings = [self.lag(), self.drops(), self.busy()];
        for (finding, reason) in findings.into_iter().flatten() {
            verdict = verdict.max(finding);
            reasons.push(reason);
        }
        (verdict, reasons)
    }

    fn lag(&self) -> Option<(Validity, String)> {
        let lag = self.lag_p99?;
        let share = self.median_response_time.map_or(0.0, |median| LAG_SHARE_OF_MEDIAN * median);
        let limit = share.max(LAG_FLOOR_SECONDS);
        if lag <= limit {
            return None;
        }
        let few = self.lags < FEWEST_LAGS;
        let verdict =
            if lag > INVALID_LAG_FACTOR * limit && !few { Validity::Invalid } else { Validity::Suspect };
        let figure = if few { "the longest" } else { "p99" };
        let (lag, limit) = (duration::human(lag), duration::human(limit));
        Some((verdict, format!("the generator was late: {figure} schedule lag {lag}, tolerated {limit}")))
    }

    fn drops(&self) -> Option<(Validity, String)> {
        let Self { arrivals, generator_drops: drops, .. } = self;
        let more_than_one_in = |number: u64| u128::from(*drops) * u128::from(number) > u128::from(*arrivals);
        if !more_than_one_in(SUSPECT_ARRIVALS_PER_DROP) {
            return None;
        }
        let verdict =
            if more_than_one_in(INVALID_ARRIVALS_PER_DROP) { Validity::Invalid } else { Validity::Suspect };
        let percent = 100.0 * *drops as f64 / (*arrivals).max(1) as f64;
        Some((
            verdict,
            format!("the generator could not offer {drops} of {arrivals} arrivals ({percent:.2}%)"),
        ))
    }

    fn busy(&self) -> Option<(Validity, String)> {
        let seconds = self.busy_seconds;
        let reason = || {
            let percent = BUSY_CPU_RATIO * 100.0;
            format!("the generator used over {percent}% of its processors for {seconds} s in a row")
        };
        (seconds >= BUSY_SECONDS).then(|| (Validity::Suspect, reason()))
    }
}

/// Folds seconds into a verdict about the generator, in constant memory.
///
/// Only measured phases count: a warm-up is there to be rough. A second counts as measured when
/// anything of a measured phase happened in it.
#[derive(Debug, Clone)]
pub struct ValidityTracker {
    lag: Histogram,
    response_time: Histogram,
    arrivals: u64,
    generator_drops: u64,
    cpu_sum: f64,
    cpu_seconds: u64,
    /// The second that ended the present row of busy ones, and how many these are.
    busy: Option<(u64, u32)>,
    longest_busy: u32,
}

impl ValidityTracker {
    /// A tracker before the first second; `edges` are those the frames are counted at.
    pub fn new(edges: Edges) -> Self {
        Self {
            lag: Histogram::new(edges.clone()),
            response_time: Histogram::new(edges),
            arrivals: 0,
            generator_drops: 0,
            cpu_sum: 0.0,
            cpu_seconds: 0,
            busy: None,
            longest_busy: 0,
        }
    }

    /// Folds the next closed second and what the machine did to the generator in it.
    pub fn second(&mut self, frame: &Frame, vitals: &Vitals) {
        for (key, series) in frame.series.iter().filter(|(key, _)| key.phase.is_measured()) {
            let add = |histogram: &mut Histogram, timing: Timing| {
                series.timings.get(&timing).into_iter().for_each(|of: &Distribution| histogram.add(of));
            };
            add(&mut self.lag, Timing::ScheduleLag);
            if key.outcome.counts_for_latency() {
                add(&mut self.response_time, Timing::ResponseTime);
            }
        }
        for (_, series) in frame.iterations.iter().filter(|(key, _)| key.phase.is_measured()) {
            self.arrivals += series.arrivals;
            self.generator_drops += series.dropped_generator;
        }
        if is_measured(frame)
            && let Some(ratio) = vitals.cpu_ratio.filter(|ratio| ratio.is_finite())
        {
            self.processors(frame.second, ratio);
        }
    }

    fn processors(&mut self, second: u64, ratio: f64) {
        self.cpu_sum += ratio;
        self.cpu_seconds += 1;
        if ratio <= BUSY_CPU_RATIO {
            return;
        }
        let row = match self.busy {
            Some((last, row)) if last.checked_add(1) == Some(second) => row.saturating_add(1),
            _ => 1,
        };
        self.busy = Some((second, row));
        self.longest_busy = self.longest_busy.max(row);
    }

    /// What can be said so far.
    pub fn report(&self) -> ValidityReport {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let input = ValidityInput {
            lags: self.lag.count(),
            lag_p99: self.lag.quantile(Quantile::P99).or(self.lag.max()).map(seconds),
            median_response_time: self.response_time.quantile(Quantile::P50).map(seconds),
            arrivals: self.arrivals,
            generator_drops: self.generator_drops,
            busy_seconds: self.longest_busy,
        };
        let (verdict, reasons) = input.judge();
        ValidityReport {
            verdict,
            reasons,
            schedule_lag: LatencyFigures::from(&self.lag),
            generator_drops: self.generator_drops,
            generator_cpu_ratio: (self.cpu_seconds > 0).then(|| self.cpu_sum / self.cpu_seconds as f64),
        }
    }
}

fn is_measured(frame: &Frame) -> bool {
    frame.series.keys().any(|key| key.phase.is_measured())
        || frame.iterations.keys().any(|key| key.phase.is_measured())
        || frame.pending.keys().any(|key| key.phase.is_measured())
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{IterationKey, IterationSeries, Outcome, Phase, Sample, SeriesKey, Shard};

    const MS: u64 = 1_000_000;

    /// A second in which `count` requests were late by `lag` and took `time` (nanoseconds).
    fn frame(second: u64, phase: Phase, count: u64, lag: u64, time: u64) -> Frame {
        let mut shard = Shard::new(second, Edges::default());
        let key = SeriesKey { step: 0, phase, stage: Some(0), outcome: Outcome::Ok };
        for _ in 0..count {
            shard.record(&Sample {
                key,
                due: 0,
                ready: lag,
                sent: Some(lag),
                done: time,
                connect: None,
                tls: None,
                first_byte: None,
                status: Some(200),
                received_bytes: 0,
                sent_bytes: 0,
                address: 0,
            });
        }
        let mut frame = Frame::new(second);
        shard.merge_into(&mut frame);
        frame
    }

    fn arrivals(second: u64, arrivals: u64, dropped_generator: u64, dropped_in_flight_limit: u64) -> Frame {
        let key = IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(0) };
        let series = IterationSeries {
            arrivals,
            dropped_generator,
            dropped_in_flight_limit,
            ..IterationSeries::default()
        };
        let mut frame = Frame::new(second);
        frame.iterations.insert(key, series);
        frame
    }

    fn report(frames: &[(Frame, Option<f64>)]) -> ValidityReport {
        let mut tracker = ValidityTracker::new(Edges::default());
        for (frame, cpu) in frames {
            tracker.second(frame, &Vitals { cpu_ratio: *cpu, ..Vitals::default() });
        }
        tracker.report()
    }

    #[test]
    fn nothing_measured_is_no_reason_for_doubt_and_gives_no_figures() {
        let report = report(&[]);
        assert_eq!(report, ValidityReport::default());
        assert_eq!((report.verdict.label(), report.verdict.value()), ("valid", 1.0));
    }

    #[test]
    fn lag_is_measured_against_the_floor_and_the_median() {
        for (count, lag, time, verdict) in [
            (200, MS, 2 * MS, Validity::Valid),
            (200, 2 * MS, 4 * MS, Validity::Suspect),
            (200, 2 * MS, 60 * MS, Validity::Valid), // 5% of 60 ms is 3 ms
            (200, 11 * MS, 20 * MS, Validity::Invalid),
            (200, 20 * MS, 100 * MS, Validity::Suspect),
            (200, 51 * MS, 100 * MS, Validity::Invalid),
            (99, 51 * MS, 100 * MS, Validity::Suspect), // no p99 to speak of
            (1, 900 * MS, 1000 * MS, Validity::Suspect),
        ] {
            let report = report(&[(frame(0, Phase::Measured, count, lag, time), None)]);
            assert_eq!(report.verdict, verdict, "{count} requests late by {lag} ns of {time}");
            assert_eq!(report.reasons.is_empty(), verdict == Validity::Valid);
            assert_eq!(report.schedule_lag.count, count);
        }
    }

    #[test]
    fn one_late_request_in_a_hundred_is_tolerated() {
        let frames = [
            (frame(0, Phase::Measured, 198, 0, 2 * MS), None),
            (frame(1, Phase::Measured, 2, 50 * MS, 52 * MS), None),
        ];
        assert_eq!(report(&frames).verdict, Validity::Valid);
    }

    #[test]
    fn generator_drops_count_by_their_share() {
        for (due, drops, verdict) in [
            (1000, 1, Validity::Valid),
            (1000, 2, Validity::Suspect),
            (1000, 10, Validity::Suspect),
            (1000, 11, Validity::Invalid),
            (0, 0, Validity::Valid),
            (1, 1, Validity::Invalid),
        ] {
            let report = report(&[(arrivals(0, due, drops, 0), None)]);
            assert_eq!((report.verdict, report.generator_drops), (verdict, drops), "{drops} of {due}");
        }
    }

    #[test]
    fn a_stalled_target_never_touches_validity() {
        let frames = [
            (frame(0, Phase::Measured, 500, 0, 30_000 * MS), Some(0.1)),
            (arrivals(1, 1000, 0, 900), Some(0.1)),
        ];
        let report = report(&frames);
        assert_eq!((report.verdict, report.reasons.len()), (Validity::Valid, 0));
    }

    #[test]
    fn busy_processors_count_when_they_stay_busy() {
        let busy = |second, ratio| (arrivals(second, 10, 0, 0), Some(ratio));
        let row: Vec<_> = (0..5).map(|second| busy(second, 0.95)).collect();
        assert_eq!(report(&row).verdict, Validity::Suspect);
        assert_eq!(report(&row).generator_cpu_ratio, Some(0.95));
        assert_eq!(report(&row[..4]).verdict, Validity::Valid);
        let mut broken = row;
        broken[2] = busy(2, 0.9);
        assert_eq!(report(&broken).verdict, Validity::Valid, "exactly 90% is not over it");
        broken[2].1 = None;
        assert_eq!(report(&broken).verdict, Validity::Valid, "an unknown second ends the row");
        broken.remove(2);
        broken.push(busy(5, 1.0));
        assert_eq!(report(&broken).verdict, Validity::Valid, "and so does a missing one");
    }

    #[test]
    fn warm_up_is_left_out() {
        let mut drops = arrivals(1, 0, 0, 0);
        let key = IterationKey { scenario: 0, phase: Phase::Warmup, stage: Some(0) };
        drops.iterations = [(key, arrivals(1, 10, 10, 0).iterations.into_values().next().unwrap())].into();
        let mut frames =
            vec![(frame(0, Phase::Warmup, 500, 900 * MS, 901 * MS), Some(1.0)), (drops, Some(1.0))];
        frames.extend((2..10).map(|second| (frame(second, Phase::Warmup, 1, 0, MS), Some(1.0))));
        assert_eq!(report(&frames), ValidityReport::default());
    }

    #[test]
    fn reasons_are_in_words_with_figures() {
        let input = ValidityInput {
            lags: 1000,
            lag_p99: Some(0.012),
            median_response_time: Some(0.1),
            arrivals: 2000,
            generator_drops: 50,
            busy_seconds: 7,
        };
        let (verdict, reasons) = input.judge();
        assert_eq!(verdict, Validity::Invalid);
        assert_eq!(
            reasons,
            [
                "the generator was late: p99 schedule lag 12.0 ms, tolerated 5.00 ms",
                "the generator could not offer 50 of 2000 arrivals (2.50%)",
                "the generator used over 90% of its processors for 7 s in a row",
            ]
        );
    }
}
