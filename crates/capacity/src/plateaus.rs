//! Steady plateaus in a series of seconds, and what was measured on each.
//!
//! Three questions are asked of each stretch, by statistics and not by fixed times:
//!
//! 1. *Where did the load stand still?* The logarithm of the load is cut where its mean changes
//!    (penalised least squares, see `changes.rs`). A stretch on which the load itself moved by more than
//!    5% from its first quarter to its last is a ramp and no plateau: what a system does on a ramp
//!    is an answer to loads that are already past. A ramp so slow that a stretch of it moves
//!    less is a row of plateaus.
//! 2. *When had the system settled?* What lies before the truncation point of the marginal standard error rule
//!    (White 1997), of throughput and of response time, is cut as the transient of its start.
//! 3. *Did it stay so?* A plateau whose throughput changed for good, or was still drifting at its end, is
//!    left out and said. A change counts if it is beyond the noise, correlation in time included, and
//!    more than 5%: less would be found in any long series. What came and went, such as a freeze of two
//!    seconds, is part of what the system does: it stays in and makes the figures less sure.
//!
//! Response time may go on growing while throughput stands still: requests come faster than they are
//! answered, and a queue builds up. Such a plateau is kept, because its throughput is the very limit, and
//! says that it is [`Plateau::growing`]: its quantiles would be higher had it lasted longer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use plimsoll_measure::Distribution;
use plimsoll_units::Quantile;
use serde::{Deserialize, Serialize};

use crate::changes::{noise, stretches, transient};
use crate::estimate::{self, Mean, correlation_time, median, t_quantile};
use crate::series::{Ended, Moment, Series};
use crate::{Point, points::Figure};

/// What is scraped may speak of a second that ended up to a second before, so the first seconds of a plateau tell
/// what a resource did at the load before it.
const RESOURCE_LAG: f64 = 2.0;

/// The fewest steps of a plateau: of fewer the error of a mean is a guess.
pub const FEWEST_STEPS: usize = 8;

/// What a change must exceed to matter, as a share.
const MATTERS: f64 = 0.05;

/// Loads nearer to each other than this are one load: what a clock or a mean of seconds leaves.
const SAME_LOAD: f64 = 0.02;

/// A relative deviation that is settled enough.
const SETTLED: f64 = 0.01;

/// How many standard errors a drift must be beyond zero.
const BEYOND_NOISE: f64 = 4.0;

/// The confidence that two regimes differ. Chance gets several tries at where to part them, and a plateau is thrown away
/// for it: at this level it happens to fewer than one in a hundred, by simulation.
const NO_CHANCE: f64 = 0.999;

/// Regimes are proposed as if noise were this share of what it is, and kept by [`apart`], which knows it better.
const EAGER: f64 = 0.8;

/// From this factor on, response time that rose along a plateau was growing.
const GROWTH: f64 = 1.25;

/// What two runs alike differ by at one level, as a share: between the median and the upper quartile of published
/// replicates.
const RUNS_DIFFER: f64 = 0.012;

/// How far an open load may be exceeded: edges of seconds, and rounding.
const ABOVE_RATE: f64 = 1.05;

/// The confidence of the interval of a quantile.
const LEVEL: f64 = 0.95;

/// The quantiles that a plateau has, where it has values enough for them.
const QUANTILES: [Quantile; 6] =
    [Quantile::P50, Quantile::P75, Quantile::P90, Quantile::P95, Quantile::P99, Quantile::P99_9];

/// What was measured while load and throughput stood still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// When it begins, transient left out, in seconds from the start of the series.
    pub from: f64,
    /// When it ends.
    pub to: f64,
    /// Seconds cut at its start, until the system had settled.
    pub transient: f64,
    /// The load: arrivals per second, or users; the median of its steps.
    pub load: f64,
    /// What succeeded per second.
    pub throughput: Mean,
    /// Failed over all ended, a share of one, where both are known and something ended.
    pub error_ratio: Option<Mean>,
    /// Quantiles of response time, from all its histograms as one.
    pub response_time: BTreeMap<Quantile, QuantileEstimate>,
    /// How much of each resource was used.
    pub resources: BTreeMap<String, Mean>,
    /// Throughput of each kind of request, where there is more than one.
    pub classes: BTreeMap<String, Mean>,
    /// Response time rose all the while: its quantiles are lower bounds of those of a longer plateau.
    pub growing: bool,
}

/// A quantile of response time and within what it lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QuantileEstimate {
    /// The quantile, in seconds.
    pub value: f64,
    /// The lower end of its 95% interval, in seconds.
    pub low: f64,
    /// The upper end; `None` where the values do not reach so far.
    pub high: Option<f64>,
}

/// A stretch that is no plateau.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// When it begins, in seconds from the start of the series.
    pub from: f64,
    /// When it ends.
    pub to: f64,
    /// Why.
    pub why: Unsteady,
}

/// Why a stretch of a series is no plateau.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Unsteady {
    /// The load moved.
    Ramp {
        /// The lowest load.
        lowest: f64,
        /// The highest load.
        highest: f64,
    },
    /// It was over before it could be measured.
    Short {
        /// The load.
        load: f64,
        /// Steady seconds.
        seconds: f64,
        /// The fewest that are needed.
        fewest: f64,
    },
    /// Throughput changed for good while the load stood still.
    Changed {
        /// The load.
        load: f64,
        /// When, in seconds from the start of the stretch.
        at: f64,
        /// Throughput before, per second.
        before: f64,
        /// Throughput after, per second.
        after: f64,
    },
    /// More was answered than arrived: what waited from before was worked off.
    Backlog {
        /// The load.
        load: f64,
        /// Throughput, per second.
        throughput: f64,
    },
    /// Throughput was still moving at its end.
    Drifting {
        /// The load.
        load: f64,
        /// From its start to its end, as a share of the mean; below zero when it fell.
        by: f64,
    },
}

impl fmt::Display for Unsteady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ramp { lowest, highest } => {
                write!(f, "the load moved between {} and {}", Figure(lowest), Figure(highest))
            }
            Self::Short { load, seconds, fewest } => write!(
                f,
                "load {} stood still for {} s once settled; {} s are needed",
                Figure(load),
                Figure(seconds),
                Figure(fewest)
            ),
            Self::Changed { load, at, before, after } => write!(
                f,
                "at load {} throughput went from {}/s to {}/s after {} s and did not come back",
                Figure(load),
                Figure(before),
                Figure(after),
                Figure(at.round())
            ),
            Self::Backlog { load, throughput } => write!(
                f,
                "at load {} throughput was {}/s: what had waited before was worked off",
                Figure(load),
                Figure(throughput)
            ),
            Self::Drifting { load, by } => write!(
                f,
                "at load {} throughput was still {} at its end, by {:.0}% in all",
                Figure(load),
                if by < 0.0 { "falling" } else { "rising" },
                by.abs() * 100.0
            ),
        }
    }
}

/// The plateaus of a series, and what is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plateaus {
    /// Steady ones, in order of time.
    pub steady: Vec<Plateau>,
    /// Stretches under load that are none, in order of time.
    pub left_out: Vec<LeftOut>,
}

impl Plateaus {
    /// Finds them. Moments without load belong to nothing, and gaps end a stretch.
    pub fn of(series: &Series) -> Self {
        let moments = series.moments();
        let step = series.step_seconds();
        let mut found = Self::default();
        for loaded in under_load(moments) {
            let loads: Vec<f64> = loaded.iter().map(|(_, moment)| moment.load.ln()).collect();
            let wobble = noise(&loads);
            let deviation = wobble.max(SAME_LOAD / 2.0);
            for hold in joined(stretches(&loads, deviation, FEWEST_STEPS / 2), &loads, deviation) {
                let begin = loaded[hold.start].0;
                let held: Vec<&Moment> = loaded[hold.clone()].iter().map(|(_, moment)| *moment).collect();
                let tolerance = (3.0 * wobble).max(SAME_LOAD);
                match steady(&held, &loads[hold.clone()], tolerance, step, begin) {
                    Ok(plateau) => found.steady.push(plateau),
                    Err(why) => {
                        let (from, to) = (begin as f64 * step, (begin + hold.len()) as f64 * step);
                        found.leave_out(LeftOut { from, to, why });
                    }
                }
            }
        }
        found
    }

    /// Without those on which more was answered than arrived, for loads that are arrivals per second and throughput
    /// that counts the same.
    #[must_use]
    pub fn within_rates(mut self) -> Self {
        let (above, steady) = self
            .steady
            .into_iter()
            .partition(|plateau: &Plateau| plateau.throughput.value > plateau.load * ABOVE_RATE);
        self.steady = steady;
        self.left_out.extend(above.into_iter().map(|plateau: Plateau| {
            let (load, throughput) = (plateau.load, plateau.throughput.value);
            LeftOut { from: plateau.from, to: plateau.to, why: Unsteady::Backlog { load, throughput } }
        }));
        self.left_out.sort_by(|one, other| one.from.total_cmp(&other.from));
        self
    }

    /// Pieces of one ramp are one.
    fn leave_out(&mut self, more: LeftOut) {
        if let (Some(last), Unsteady::Ramp { lowest, highest }) = (self.left_out.last_mut(), more.why)
            && let Unsteady::Ramp { lowest: low, highest: high } = &mut last.why
            && last.to == more.from
        {
            last.to = more.to;
            (*low, *high) = (low.min(lowest), high.max(highest));
            return;
        }
        self.left_out.push(more);
    }
}

impl Plateau {
    /// The plateau as a point of a curve: its means, and the standard error of its throughput.
    ///
    /// Of resources it has those that are shares of one (`cpu_ratio`, as `cpu`); one beyond it is no share.
    pub fn point(&self) -> Point {
        let shares = self.resources.iter().filter_map(|(name, busy)| {
            let name = name.strip_suffix("_ratio").filter(|_| (0.0..=1.0).contains(&busy.value))?;
            Some((name.to_owned(), busy.value))
        });
        let response_time = self.response_time.iter();
        Point {
            load: self.load,
            throughput: self.throughput.value,
            throughput_error: Some(self.throughput.standard_error),
            response_time: response_time.map(|(quantile, estimate)| (*quantile, estimate.value)).collect(),
            error_ratio: self.error_ratio.map(|estimate| estimate.value),
            resources: shares.collect(),
            classes: self.classes.iter().map(|(name, rate)| (name.clone(), rate.value)).collect(),
        }
    }
}

/// Plateaus as points of one curve, each with how much it weighs.
///
/// The error of a plateau is that of its own seconds. What it would be in another run differs by more, and by about
/// as much at each level; so points weigh alike but for those that are less sure than that.
pub fn points<'a>(plateaus: impl IntoIterator<Item = &'a Plateau>) -> Vec<Point> {
    let mut points: Vec<Point> = plateaus.into_iter().map(Plateau::point).collect();
    let highest = points.iter().map(|point| point.throughput).fold(0.0, f64::max);
    for point in &mut points {
        point.throughput_error = point.throughput_error.map(|error| error.hypot(RUNS_DIFFER * highest));
    }
    points
}

/// Moments with load that follow each other, with their places.
fn under_load(moments: &[Option<Moment>]) -> Vec<Vec<(usize, &Moment)>> {
    let mut all = vec![Vec::new()];
    for (index, moment) in moments.iter().enumerate() {
        match (moment, all.last_mut()) {
            (Some(moment), Some(stretch)) if moment.load > 0.0 => stretch.push((index, moment)),
            (_, Some(stretch)) if !stretch.is_empty() => all.push(Vec::new()),
            _ => {}
        }
    }
    all.retain(|stretch| !stretch.is_empty());
    all
}

/// Neighbours of one load are one stretch.
fn joined(stretches: Vec<Range<usize>>, loads: &[f64], deviation: f64) -> Vec<Range<usize>> {
    let level = |stretch: &Range<usize>| median(&loads[stretch.clone()]).unwrap_or_default();
    let mut all: Vec<Range<usize>> = Vec::new();
    for stretch in stretches {
        match all.last_mut() {
            Some(last) if (level(last) - level(&stretch)).abs() < deviation => last.end = stretch.end,
            _ => all.push(stretch),
        }
    }
    all
}

/// What was measured on a stretch of about one load, if it was steady.
fn steady(
    held: &[&Moment],
    loads: &[f64],
    tolerance: f64,
    step: f64,
    begin: usize,
) -> Result<Plateau, Unsteady> {
    let level = median(loads).unwrap_or_default();
    let near = |load: &f64| (load - level).abs() <= tolerance;
    let ramp = || Unsteady::Ramp {
        lowest: held.iter().map(|moment| moment.load).fold(f64::INFINITY, f64::min),
        highest: held.iter().map(|moment| moment.load).fold(0.0, f64::max),
    };
    // Steps of a ramp before or after it are not part of it.
    let first = loads.iter().position(near).unwrap_or(0);
    let last = loads.iter().rposition(near).map_or(0, |last| last + 1);
    let trimmed = last - first < loads.len();
    if (trimmed && last - first < FEWEST_STEPS) || moved(&loads[first..last]) {
        return Err(ramp());
    }
    let held = &held[first..last];
    let cut = settled(held);
    let load = median(&held.iter().map(|moment| moment.load).collect::<Vec<_>>()).unwrap_or_default();
    let kept = &held[cut..];
    if kept.len() < FEWEST_STEPS {
        let (seconds, fewest) = (kept.len() as f64 * step, FEWEST_STEPS as f64 * step);
        return Err(Unsteady::Short { load, seconds, fewest });
    }
    let from = (begin + first + cut) as f64 * step;
    let throughput: Vec<f64> = kept.iter().map(|moment| moment.throughput).collect();
    if let Some((at, before, after)) = changed(&throughput) {
        return Err(Unsteady::Changed { load, at: (first + cut + at) as f64 * step, before, after });
    }
    let (slope, t) = estimate::drift(&throughput);
    let by = slope * throughput.len() as f64 / estimate::average(&throughput);
    if by.is_finite() && by.abs() > MATTERS && t.abs() > BEYOND_NOISE {
        return Err(Unsteady::Drifting { load, by });
    }
    Ok(measured(kept, load, step, from, cut))
}

/// Whether the load itself went somewhere.
fn moved(loads: &[f64]) -> bool {
    let quarter = loads.len().div_ceil(4);
    let (first, last) = (&loads[..quarter], &loads[loads.len() - quarter..]);
    (estimate::average(last) - estimate::average(first)).abs() > MATTERS
}

/// How many steps it took until throughput and response time had settled. What never settles is for
/// others to tell.
fn settled(held: &[&Moment]) -> usize {
    let throughput: Vec<f64> = held.iter().map(|moment| moment.throughput).collect();
    let times = response_times(held);
    let half = held.len() / 2;
    let of_times = if times.len() == held.len() { transient(&times, SETTLED) } else { 0 };
    let cuts = [transient(&throughput, SETTLED * estimate::average(&throughput)), of_times];
    cuts.into_iter().filter(|cut| *cut < half).max().unwrap_or(0)
}

/// The logarithm of each step's mean response time, where it has one.
fn response_times(held: &[&Moment]) -> Vec<f64> {
    let means = held.iter().filter_map(|moment| moment.response_time.as_ref()?.mean());
    means.filter(|mean| *mean > 0.0).map(f64::ln).collect()
}

/// Where throughput changed for good, and its levels before and after: into two or more regimes of which none
/// holds two thirds.
fn changed(throughput: &[f64]) -> Option<(usize, f64, f64)> {
    let mean = estimate::average(throughput);
    let deviation = noise(throughput).max(mean * SAME_LOAD / 2.0);
    if deviation <= 0.0 {
        return None;
    }
    let mut regimes: Vec<Range<usize>> = Vec::new();
    for stretch in stretches(throughput, EAGER * deviation, FEWEST_STEPS / 2) {
        match regimes.last_mut() {
            Some(last) if !apart(&throughput[last.clone()], &throughput[stretch.clone()], mean) => {
                last.end = stretch.end;
            }
            _ => regimes.push(stretch),
        }
    }
    let longest = regimes.iter().map(Range::len).max()?;
    if regimes.len() < 2 || 3 * longest >= 2 * throughput.len() {
        return None;
    }
    let gap = |index: usize| {
        let of = |index: usize| estimate::average(&throughput[regimes[index].clone()]);
        (of(index), of(index + 1))
    };
    let widest = (0..regimes.len() - 1).max_by(|left, right| {
        let size = |index| {
            let (before, after) = gap(index);
            (after - before).abs()
        };
        size(*left).total_cmp(&size(*right))
    })?;
    let (before, after) = gap(widest);
    Some((regimes[widest].end, before, after))
}

/// Whether two regimes differ beyond noise, by more than what matters: by Student's t, correlation in time included. Its error
/// is that of one variance for both, because that of a few seconds alone is small by luck as often as not, or that of
/// their own, whichever is larger: of a freeze of two seconds it is.
fn apart(before: &[f64], after: &[f64], mean: f64) -> bool {
    let around = |values: &[f64]| {
        let mean = estimate::average(values);
        values.iter().map(|value| value - mean).collect::<Vec<_>>()
    };
    let gap = (estimate::average(before) - estimate::average(after)).abs();
    let [first, second] = [around(before), around(after)];
    let both = [first.as_slice(), &second].concat();
    let time = correlation_time(&both);
    let degrees = both.len() as f64 / time - 2.0;
    if gap <= MATTERS * mean || degrees <= 0.0 {
        return false;
    }
    let squares = |residuals: &[f64]| residuals.iter().map(|residual| residual * residual).sum::<f64>();
    let of = |residuals: &[f64]| squares(residuals) / (residuals.len() as f64).powi(2);
    let parts = 1.0 / before.len() as f64 + 1.0 / after.len() as f64;
    let variance = (squares(&both) / both.len() as f64 * parts).max(of(&first) + of(&second));
    gap > t_quantile(NO_CHANCE, degrees) * (variance * time * (degrees + 2.0) / degrees).sqrt()
}

fn measured(kept: &[&Moment], load: f64, step: f64, from: f64, cut: usize) -> Plateau {
    let seconds = kept.len() as f64 * step;
    // A count of whole requests between two moments is sure to one request.
    let counted =
        |estimate: Mean| Mean { standard_error: estimate.standard_error.max(1.0 / seconds), ..estimate };
    let of = |values: Vec<f64>| estimate::mean(&values);
    let sure = Mean { value: 0.0, standard_error: 0.0, degrees_of_freedom: 1.0 };
    let ended: Vec<Ended> = kept.iter().filter_map(|moment| moment.ended).collect();
    let error_ratio = (ended.len() == kept.len()).then(|| {
        let rates = |of: fn(&Ended) -> f64| ended.iter().map(of).collect::<Vec<_>>();
        estimate::ratio(&rates(|ended| ended.failed), &rates(|ended| ended.all))
    });
    let kinds: BTreeSet<&String> = kept.iter().flat_map(|moment| moment.classes.keys()).collect();
    let classes = kinds.iter().filter_map(|kind| {
        let rates = kept.iter().map(|moment| moment.classes.get(*kind).copied().unwrap_or(0.0));
        Some(((*kind).clone(), counted(of(rates.collect())?)))
    });
    let late = (RESOURCE_LAG / step).ceil() as usize;
    let settled = if kept.len() > 2 * late { &kept[late..] } else { kept };
    let names: BTreeSet<&String> = settled.iter().flat_map(|moment| moment.resources.keys()).collect();
    let resources = names.into_iter().filter_map(|name| {
        let read: Vec<f64> =
            settled.iter().filter_map(|moment| moment.resources.get(name).copied()).collect();
        // Of a resource that was read less than half of the time one does not know what it did.
        if 2 * read.len() < settled.len() { None } else { Some((name.clone(), of(read)?)) }
    });
    let times = response_times(kept);
    let (slope, t) = estimate::drift(&times);
    Plateau {
        from,
        to: from + seconds,
        transient: cut as f64 * step,
        load,
        throughput: counted(of(kept.iter().map(|moment| moment.throughput).collect()).unwrap_or(sure)),
        error_ratio: error_ratio.flatten(),
        response_time: quantiles(kept),
        resources: resources.collect(),
        classes: if kinds.len() > 1 { classes.collect() } else { BTreeMap::new() },
        growing: slope * times.len() as f64 > GROWTH.ln() && t > BEYOND_NOISE,
    }
}

/// Quantiles of all that ended on a plateau, with intervals that know that neighbours resemble each other.
///
/// The share of values at or below the quantile is a ratio of sums over seconds, whose error is that of
/// correlated seconds; the interval of the share is carried back to durations (R. S. Woodruff, "Confidence
/// Intervals for Medians and Other Position Measures", JASA 47, 1952). It is never taken as surer than
/// that of independent values.
fn quantiles(kept: &[&Moment]) -> BTreeMap<Quantile, QuantileEstimate> {
    let parts: Vec<&Distribution> = kept.iter().filter_map(|moment| moment.response_time.as_ref()).collect();
    let Some(all) = merged(&parts) else { return BTreeMap::new() };
    let counts: Vec<f64> = parts.iter().map(|part| part.count() as f64).collect();
    let estimates = QUANTILES.into_iter().filter_map(|quantile| {
        let nanos = all.quantile(quantile)?;
        let share = quantile.share();
        let within: Vec<f64> = parts.iter().map(|part| part.at_or_below(nanos) as f64).collect();
        let found = estimate::ratio(&within, &counts)?;
        let independent = (share * (1.0 - share) / all.count() as f64).sqrt();
        let half = found.standard_error.max(independent) * t_quantile(LEVEL, found.degrees_of_freedom);
        let low = reaching(&all, share - half).or(all.min())?;
        let high = if share + half < 1.0 { reaching(&all, share + half) } else { None };
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let value = seconds(nanos);
        let estimate = QuantileEstimate { value, low: seconds(low).min(value), high: high.map(seconds) };
        Some((quantile, estimate))
    });
    estimates.collect()
}

fn merged(parts: &[&Distribution]) -> Option<Distribution> {
    let mut all = (*parts.first()?).clone();
    parts[1..].iter().for_each(|part| all.merge(part));
    (!all.is_empty()).then_some(all)
}

/// The duration in nanoseconds below or at which a share of all lies; `None` for no share.
fn reaching(all: &Distribution, share: f64) -> Option<u64> {
    let rank = share * all.count() as f64;
    let mut seen = 0;
    let found = all.buckets().iter().find(|(_, count)| {
        seen += count;
        seen as f64 >= rank
    });
    found.filter(|_| share > 0.0).map(|(nanos, _)| *nanos)
}

#[cfg(test)]
mod tests;
