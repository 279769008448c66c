//! From counts to a verdict, by numbers alone.
//!
//! What nobody knows (dropped arrivals, cut requests) is taken both ways: every figure is an
//! interval from all unknowns one way to all the other way, and a verdict stands only when both
//! ends agree. Quantiles over a value are not estimated at all: how many were within the threshold
//! is counted and compared with the rank that the quantile asks for.

use std::cmp::Ordering;

use plimsoll_units::Quantile;

use crate::tally::{Score, Sum, Waiting, add_buckets};
use crate::{Bound, Comparison, Countable, Expression, Measure, OwnFigure, OwnValue, Verdict};

/// What a window or a run says about an objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub(crate) verdict: Verdict,
    /// The figure as far as it is known, in base units.
    pub(crate) observed: Option<f64>,
    pub(crate) grounds: Grounds,
    /// Of the unknown outcomes, those of requests that `limits` had counted together.
    unplaced: u64,
    /// Of the unknown outcomes, those of requests without a reply to take a value from.
    unanswered: u64,
    /// Replies in which there was no value.
    absent: u64,
}

/// What a verdict stands on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Grounds {
    /// Nothing ended that the figure could be made of.
    NoData { unknown: u64 },
    /// Fewer values than the quantile needs.
    TooFew { values: u64, fewest: u64 },
    /// `within` of `known` were at or below the threshold, and `rank` of all must be.
    Ranked { within: u64, known: u64, unknown: u64, rank: u64 },
    /// A figure against its bound; `part` of `whole` where it is a share.
    Figure { share: Option<(u64, u64)>, unknown: u64 },
    /// The stage it is compared with has no figure.
    NoReference,
}

impl Reading {
    fn undecided(observed: Option<f64>, grounds: Grounds) -> Self {
        Self::decided(Verdict::Inconclusive, observed, grounds)
    }

    fn decided(verdict: Verdict, observed: Option<f64>, grounds: Grounds) -> Self {
        Self { verdict, observed, grounds, unplaced: 0, unanswered: 0, absent: 0 }
    }

    /// The same with what `sum` could not place or take.
    fn of(self, sum: &Sum) -> Self {
        let counts = &sum.counts;
        Self { unplaced: counts.unplaced, unanswered: counts.unanswered, absent: counts.absent, ..self }
    }
}

/// Judges an expression with a value bound. `seconds` is the length of what was summed.
pub(crate) fn judge(
    expression: &Expression,
    bound: f64,
    sum: &Sum,
    waiting: &Waiting,
    seconds: f64,
) -> Reading {
    let reading = match (expression.measure, expression.threshold()) {
        (
            Measure::Quantile(quantile, _) | Measure::Own(OwnFigure::Quantile(quantile), _),
            Some(threshold),
        ) => judge_quantile(quantile, expression, threshold, sum, waiting),
        (measure, _) => {
            let Some(figure) = figure(measure, sum, Some(waiting), seconds) else {
                return Reading::undecided(None, Grounds::NoData { unknown: sum.unknown() }).of(sum);
            };
            figure.against(expression.comparison, (bound, bound))
        }
    };
    reading.of(sum)
}

/// Judges what came after a stage by that stage's figure times `factor`. Also gives the bound.
pub(crate) fn judge_by_stage(
    expression: &Expression,
    factor: f64,
    (reference, reference_seconds): (&Sum, f64),
    (compared, compared_seconds): (&Sum, f64),
) -> (Reading, Option<f64>) {
    let measure = expression.measure;
    let Some(reference) = figure(measure, reference, None, reference_seconds) else {
        return (Reading::undecided(None, Grounds::NoReference), None);
    };
    let target = factor * reference.observed;
    let Some(figure) = figure(measure, compared, None, compared_seconds) else {
        let grounds = Grounds::NoData { unknown: compared.unknown() };
        return (Reading::undecided(None, grounds).of(compared), Some(target));
    };
    let bounds = (factor * reference.low, factor * reference.high);
    (figure.against(expression.comparison, bounds).of(compared), Some(target))
}

/// Of `known` outcomes `within` are at or below the threshold: does the quantile keep its side?
///
/// rank = ceil(q · total) of all must be within for `<=`, fewer than it for `>=`.
fn judge_quantile(
    quantile: Quantile,
    expression: &Expression,
    threshold: u64,
    sum: &Sum,
    waiting: &Waiting,
) -> Reading {
    let (comparison, per_one) = (expression.comparison, expression.measure.ticks_per_one() as f64);
    let too_large = sum.counts.out_of_range;
    let overdue = waiting.waited.count() - waiting.waited.at_or_below(threshold);
    let outlived = sum.waited.beyond();
    let (within, beyond) = (sum.latency.within, sum.latency.beyond() + outlived + overdue + too_large);
    let unknown = sum.unknown().saturating_sub(outlived);
    let known = within + beyond;
    if known == 0 {
        return Reading::undecided(None, Grounds::NoData { unknown });
    }
    let mut longer = sum.waited.longer();
    add_buckets(&mut longer, waiting.waited.buckets().iter().filter(|(value, _)| *value > threshold));
    // How large those are that are too large, nobody knows.
    longer.extend((too_large > 0).then_some((u64::MAX, too_large)));
    let observed = sum.latency.quantile(quantile, &longer).filter(|ticks| *ticks < u64::MAX);
    let observed = observed.map(|ticks| ticks as f64 / per_one);
    let total = known + unknown;
    let rank = quantile.rank(total);
    let reading =
        |verdict| Reading::decided(verdict, observed, Grounds::Ranked { within, known, unknown, rank });
    // A dead target is missed however few requests say so: not one of them was good.
    let good = if comparison.wants_less() { within } else { beyond };
    if good + unknown == 0 {
        return reading(Verdict::Missed);
    }
    if total < quantile.fewest() {
        return Reading::undecided(observed, Grounds::TooFew { values: total, fewest: quantile.fewest() });
    }
    let (met, possible) = if comparison.wants_less() {
        (within >= rank, within + unknown >= rank)
    } else {
        (within + unknown < rank, within < rank)
    };
    reading(match (met, possible) {
        (true, _) => Verdict::Met,
        (false, true) => Verdict::Inconclusive,
        (false, false) => Verdict::Missed,
    })
}

/// A figure from all unknowns at their lowest to all at their highest.
#[derive(Debug, Clone, Copy)]
struct Figure {
    low: f64,
    high: f64,
    /// As far as it is known.
    observed: f64,
    share: Option<(u64, u64)>,
    unknown: u64,
}

impl Figure {
    fn exact(value: f64) -> Self {
        Self { low: value, high: value, observed: value, share: None, unknown: 0 }
    }

    /// The verdict against a bound that itself lies between two values.
    fn against(self, comparison: Comparison, (lower, upper): (f64, f64)) -> Reading {
        let (best, worst, easy, hard) = if comparison.wants_less() {
            (self.low, self.high, upper, lower)
        } else {
            (self.high, self.low, lower, upper)
        };
        let verdict = if comparison.holds(worst, hard) {
            Verdict::Met
        } else if comparison.holds(best, easy) {
            Verdict::Inconclusive
        } else {
            Verdict::Missed
        };
        let grounds = Grounds::Figure { share: self.share, unknown: self.unknown };
        Reading::decided(verdict, Some(self.observed), grounds)
    }
}

/// Two figures closer than this part of themselves are equal: it takes away the dust of decimal
/// fractions in binary, and is far below one event in any count or a nanosecond in any duration.
const DUST: f64 = 1e-14;

impl Comparison {
    pub(crate) fn holds(self, value: f64, bound: f64) -> bool {
        let size = value.abs().max(bound.abs());
        let close = size.is_finite() && (value - bound).abs() <= DUST * size;
        let order = if close { Some(Ordering::Equal) } else { value.partial_cmp(&bound) };
        match self {
            Self::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Lt => order == Some(Ordering::Less),
            Self::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Self::Gt => order == Some(Ordering::Greater),
        }
    }
}

/// The figure over what was summed, or `None` without data. Rates are per second of `seconds`.
fn figure(measure: Measure, sum: &Sum, waiting: Option<&Waiting>, seconds: f64) -> Option<Figure> {
    let counts = &sum.counts;
    let unknown = sum.unknown();
    let requests = counts.requests() + waiting.map_or(0, |waiting| waiting.requests);
    let something = requests > 0;
    let per_one = measure.ticks_per_one() as f64;
    match measure {
        Measure::Quantile(quantile, _) | Measure::Own(OwnFigure::Quantile(quantile), _) => {
            quantile_figure(quantile, sum, per_one)
        }
        Measure::Mean(_) | Measure::Own(OwnFigure::Mean, _) => mean_figure(sum, per_one),
        Measure::Max(_) => max_figure(sum, waiting.and_then(|waiting| waiting.waited.max()), per_one),
        Measure::Own(OwnFigure::Max, OwnValue { unit, .. }) => {
            let beyond = sum.counts.out_of_range > 0;
            max_figure(sum, beyond.then(|| unit.highest() * unit.ticks_per_one()), per_one)
        }
        Measure::Own(OwnFigure::Count, _) => (counts.taken + counts.absent + unknown > 0).then(|| {
            let high = (counts.taken + unknown) as f64;
            Figure { high, unknown, ..Figure::exact(counts.taken as f64) }
        }),
        Measure::Own(OwnFigure::Ratio, _) => {
            share_figure(counts.total, counts.taken.saturating_sub(counts.total), unknown)
        }
        // A request without a reply brought nothing, and that is known.
        Measure::Own(OwnFigure::Rate, _) => {
            let unknown = unknown - counts.unanswered + counts.out_of_range;
            (counts.taken + counts.unanswered + counts.out_of_range > 0 && seconds > 0.0).then(|| {
                let rate = counts.total as f64 / seconds;
                Figure { high: unbounded(rate, unknown), unknown, ..Figure::exact(rate) }
            })
        }
        Measure::Count(countable) => count_figure(countable, sum, requests),
        Measure::ErrorRatio => share_figure(counts.failed, counts.succeeded, unknown),
        Measure::Availability => share_figure(counts.succeeded, counts.failed, unknown),
        Measure::Within(..) | Measure::Apdex(..) => Score::of(measure).and_then(|score| {
            let overdue = waiting.map_or(0, |waiting| score.expired(&waiting.waited));
            let known = score.full * (counts.succeeded + counts.failed + counts.expired + overdue);
            let unknown = unknown.saturating_sub(counts.expired);
            share_figure(counts.scored, known.saturating_sub(counts.scored), score.full * unknown)
        }),
        Measure::DroppedRatio => {
            share_figure(counts.dropped, counts.arrivals.saturating_sub(counts.dropped), 0)
        }
        Measure::Throughput => (something && seconds > 0.0).then(|| {
            let rate = |count: u64| count as f64 / seconds;
            let (low, high) = (rate(counts.succeeded), rate(counts.succeeded + unknown));
            Figure { high, unknown, ..Figure::exact(low) }
        }),
        // Nothing is retained of a limit that nobody went beyond; recoveries and resources are judged by themselves.
        Measure::GoodputRetained | Measure::RecoveryTime | Measure::Resource(..) => None,
        // How many bytes an unknown request would have brought, nobody can bound.
        Measure::ByteRate => (something && seconds > 0.0).then(|| {
            let rate = counts.received_bytes as f64 / seconds;
            Figure { high: unbounded(rate, unknown), unknown, ..Figure::exact(rate) }
        }),
    }
}

fn unbounded(known: f64, unknown: u64) -> f64 {
    if unknown > 0 { f64::INFINITY } else { known }
}

/// part / (part + rest), the unknown taken as either.
fn share_figure(part: u64, rest: u64, unknown: u64) -> Option<Figure> {
    let known = part + rest;
    (known > 0).then(|| {
        let whole = (known + unknown) as f64;
        Figure {
            low: part as f64 / whole,
            high: (part + unknown) as f64 / whole,
            observed: part as f64 / known as f64,
            share: Some((part, known)),
            unknown,
        }
    })
}

/// The lowest mean has every unknown at the time it is known to have waited, the highest has no end.
fn mean_figure(sum: &Sum, per_one: f64) -> Option<Figure> {
    let known = sum.latency.count + sum.waited.count;
    (known > 0).then(|| {
        let unknown = sum.unknown() + sum.counts.out_of_range;
        let seconds = (sum.latency.sum + sum.waited.sum) as f64 / per_one;
        let low = seconds / (sum.latency.count + unknown).max(1) as f64;
        let latency = sum.latency.mean().map_or(0.0, |ticks| ticks / per_one);
        // A cut request counts where it makes the mean longer; cut early it says nothing.
        let observed = latency.max(seconds / known as f64);
        let high = if unknown > 0 { f64::INFINITY } else { low };
        Figure { low, high, observed, share: None, unknown }
    })
}

/// Time waited is a lower bound of a duration, so it can make a maximum longer and never prove it short.
fn max_figure(sum: &Sum, at_least: Option<u64>, per_one: f64) -> Option<Figure> {
    let longest = sum.latency.max().max(sum.waited.max()).max(at_least)?;
    let (low, unknown) = (longest as f64 / per_one, sum.unknown() + sum.counts.out_of_range);
    let open_end = unknown > 0 || sum.latency.count == 0;
    Some(Figure { high: unbounded(low, u64::from(open_end)), unknown, ..Figure::exact(low) })
}

fn count_figure(countable: Countable, sum: &Sum, requests: u64) -> Option<Figure> {
    let counts = &sum.counts;
    let iterations = counts.arrivals + counts.iterations + counts.iterations_cut;
    let (data, count, unknown) = match countable {
        Countable::Timing(_) => (requests, sum.latency.count, sum.unknown()),
        Countable::Requests => (requests, counts.requests(), counts.dropped + counts.unplaced),
        Countable::Succeeded => (requests, counts.succeeded, sum.unknown()),
        Countable::Failed => (requests, counts.failed, sum.unknown()),
        Countable::Cut => (requests, counts.cut, counts.unplaced),
        Countable::Dropped => (iterations, counts.dropped, 0),
        Countable::Iterations => (iterations, counts.iterations, counts.dropped + counts.iterations_cut),
    };
    let high = (count + unknown) as f64;
    (data > 0).then(|| Figure { high, unknown, ..Figure::exact(count as f64) })
}

/// A quantile from the buckets, for comparing stages: at its lowest every unknown is as short as it
/// can be (the time waited, else zero), at its highest every one is longer than all others.
fn quantile_figure(quantile: Quantile, sum: &Sum, per_one: f64) -> Option<Figure> {
    let observed = sum.latency.quantile(quantile, &[])? as f64 / per_one;
    let unknown = sum.unknown() + sum.counts.out_of_range;
    if unknown == 0 {
        return Some(Figure::exact(observed));
    }
    let seconds = |ticks: u64| ticks as f64 / per_one;
    let rank = quantile.rank(sum.latency.count + unknown);
    let instant = unknown.saturating_sub(sum.waited.count);
    let low = match rank.checked_sub(instant) {
        None | Some(0) => 0.0,
        Some(rank) => sum.latency.ranked(rank, sum.waited.buckets()).map_or(0.0, seconds),
    };
    let high = sum.latency.ranked(rank, &[]).map_or(f64::INFINITY, seconds);
    // What cut requests are known to have waited may prove the quantile longer than the rest shows.
    let observed = observed.max(low);
    Some(Figure { low, high: high.max(low), observed, share: None, unknown })
}

/// The grounds of a reading as a clause for people, without a full stop.
pub(crate) fn explain(expression: &Expression, reading: &Reading, target: Option<f64>) -> String {
    let Expression { measure, comparison, bound } = expression;
    let unknowns = |unknown| unknowns(unknown, reading);
    match reading.grounds {
        Grounds::NoData { unknown } => format!("nothing was measured{}", unknowns(unknown)),
        Grounds::NoReference => match bound {
            Bound::Stage { stage, .. } => format!("stage {stage} has no data to compare with"),
            Bound::Value(_) => "there is nothing to compare with".to_owned(),
        },
        Grounds::TooFew { values, fewest } => {
            format!(
                "{} too few for {measure}, which needs {fewest}",
                counted(values, "value is", "values are")
            )
        }
        Grounds::Ranked { within, known, unknown, rank } => {
            let limit = target.map(|target| measure.human(target)).unwrap_or_default();
            // `< T` and `>= T` count what is below T, `<= T` and `> T` what is at most T.
            let (took, asked) = match comparison {
                Comparison::Le => ("at most", "at least"),
                Comparison::Lt => ("less than", "at least"),
                Comparison::Ge => ("less than", "fewer than"),
                Comparison::Gt => ("at most", "fewer than"),
            };
            let (of, verb) = match measure.own() {
                None => (counted(known, "request", "requests"), "took"),
                Some(_) => (counted(known, "value", "values"), "were"),
            };
            format!("{within} of {of} {verb} {took} {limit} where {asked} {rank} must{}", unknowns(unknown))
        }
        Grounds::Figure { share, unknown } => {
            let observed = reading.observed.map(|observed| measure.human(observed)).unwrap_or_default();
            // What is scored is counted in halves.
            let full = Score::of(*measure).map_or(1, |score| score.full);
            let parts = |count: u64| (count as f64 / full as f64).to_string();
            let unknown = unknown / full;
            let share = share
                .map(|(part, whole)| format!(" ({} of {})", parts(part), parts(whole)))
                .unwrap_or_default();
            let limit = target.map(|target| measure.human(target)).unwrap_or_default();
            let side = match comparison {
                Comparison::Le => "at most",
                Comparison::Lt => "below",
                Comparison::Ge => "at least",
                Comparison::Gt => "above",
            };
            let unknowns = unknowns(unknown);
            format!("{measure} was {observed}{share} where {side} {limit} was promised{unknowns}")
        }
    }
}

/// What nobody knows, by what made it unknown, and in how many replies there was no value.
fn unknowns(unknown: u64, reading: &Reading) -> String {
    let absent = match reading.absent {
        0 => String::new(),
        absent => format!(", and {} no value", counted(absent, "reply had", "replies had")),
    };
    if unknown == 0 {
        return absent;
    }
    let whose = match (reading.unanswered, reading.unplaced) {
        (0, 0) => counted(unknown, "dropped or cut one", "dropped or cut ones"),
        (0, unplaced) if unplaced >= unknown => {
            format!("{unknown} that `limits` had counted together")
        }
        (0, _) => format!("{unknown} that were dropped, cut or counted together by `limits`"),
        (_, 0) => counted(unknown, "dropped, cut or unanswered one", "dropped, cut or unanswered ones"),
        (..) => format!("{unknown} that were dropped, cut, unanswered or counted together by `limits`"),
    };
    format!("{absent}, and the outcome of {whose} is unknown")
}

pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
