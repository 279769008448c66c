//! A question about capacity and its answer.

use crate::history::{Compared, Earlier, Unlike, compare, highest};
use crate::latency::{LatencyModel, latency_models};
use crate::least_squares::Curve;
use crate::outliers::outliers;
use crate::peak::{Basis, Curved, Peak, has_a_limit, smoothed};
use crate::points::{Figure, LoadKind};
use crate::sla_limit::{Bound, SlaLimit, sla_limit};
use crate::utilisation::{NoLimit, ResourceLimit, limits, unexplained};
use crate::what_if::{Supposed, WhatIf, suppose};
use crate::{
    Level, Model, ModelName, Point, Points, Saturation, choice, data, history, last_gain, sla_limit as sla,
};

/// What somebody wants to know of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The run that is asked about.
    pub points: Points,
    /// Earlier runs of the same service, the oldest first.
    pub history: Vec<Earlier>,
    /// Loads whose throughput is to be foretold.
    pub predict: Vec<f64>,
    /// Objectives whose highest load is to be found.
    pub bounds: Vec<Bound>,
    /// Traffic to hold against the limit, by name: requests per second.
    pub traffic: Vec<(String, f64)>,
    /// Changes whose effect is to be told.
    pub what_if: Vec<WhatIf>,
    /// Decides every random draw.
    pub seed: u64,
}

impl Question {
    /// The question about a run's peak and nothing else.
    pub fn new(points: Points) -> Self {
        Self {
            points,
            history: Vec::new(),
            predict: Vec::new(),
            bounds: Vec::new(),
            traffic: Vec::new(),
            what_if: Vec::new(),
            seed: 1,
        }
    }
}

/// What can be said, and why the rest cannot.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Every model that the points carry.
    pub models: Vec<Model>,
    /// The one that is gone by.
    pub chosen: Option<ModelName>,
    /// How near to its limit the service was brought.
    pub saturation: Saturation,
    /// By which share the last doubling of load raised throughput.
    pub last_gain: Option<f64>,
    /// The highest level that was measured: what the service gives at least.
    pub at_least: Option<Level>,
    /// The peak; `None` when nothing reaches it.
    pub peak: Option<Peak>,
    /// Throughput at the loads that were asked about, in their order.
    pub predictions: Vec<Prediction>,
    /// The highest load of each objective, in their order.
    pub sla_limits: Vec<SlaLimit>,
    /// Queueing curves of the quantiles that were measured.
    pub latency_models: Vec<LatencyModel>,
    /// Where the service breaks.
    pub breaking_point: Option<BreakingPoint>,
    /// Resources and where each runs out, the nearest first.
    pub resources: Vec<ResourceLimit>,
    /// Earlier runs and what each foretells.
    pub history: Vec<Compared>,
    /// The limit that traffic is held against, and which one that is: the lowest of the peak's and those of
    /// objectives.
    pub limit: Option<(Estimate, String)>,
    /// Traffic against the limit.
    pub headroom: Vec<Headroom>,
    /// Effects of changes.
    pub what_if: Vec<Supposed>,
    /// Points that belong to no curve of the others.
    pub left_out: Vec<Point>,
    /// What a reader has to know.
    pub warnings: Vec<String>,
    /// What was asked and is not answered, with why and what to do next.
    pub refusals: Vec<Refusal>,
    /// The loads that would answer most of it.
    pub next_loads: Vec<f64>,
}

/// Throughput at a load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The load.
    pub load: f64,
    /// Requests per second, with the 90% interval of a measurement there; `None` when refused.
    pub throughput: Option<Estimate>,
}

/// A figure with its 90% interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The load from which a service no longer does what it should.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakingPoint {
    /// The load.
    pub load: f64,
    /// The highest load without the symptom.
    pub low: f64,
    /// The lowest load with it.
    pub high: f64,
    /// What shows first.
    pub symptom: Symptom,
}

/// How overload shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symptom {
    /// More than a hundredth of requests fail.
    Errors,
    /// More load brings no more throughput.
    Saturation,
}

impl Symptom {
    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Saturation => "saturation",
        }
    }
}

/// What is left of a limit beside some traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Headroom {
    /// What people call the traffic.
    pub name: String,
    /// Requests per second.
    pub traffic: f64,
    /// The limit it is held against, requests per second: the lowest of the peak's and those of objectives.
    pub limit: Estimate,
    /// Which limit that is.
    pub of: String,
    /// 1 − traffic/limit; negative when traffic is above the limit.
    pub ratio: f64,
    /// The same with the lower end of the limit's interval.
    pub low: f64,
    /// And with the upper one.
    pub high: f64,
}

/// Something that was asked and is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked.
    pub about: String,
    /// Why nobody can know.
    pub why: String,
    /// What to do to know it.
    pub next: String,
}

/// Failures beyond this share are a symptom and not an accident.
const MANY_ERRORS: f64 = 0.01;
/// The fewest loads that show a bend.
const FEWEST_LEVELS: usize = 3;
/// Throughput per unit of load may rise by caches that warm up, but not by this factor from one level to
/// the next, nor fall by the other: that is another unit.
const RISES: f64 = 8.0;
const FALLS: f64 = 40.0;
/// Runs of one version at one load seldom differ by more (p90 of published replicates: 4.4%).
const REPLICATES_DIFFER: f64 = 0.15;
/// How far beyond the highest load throughput is foretold.
const FARTHEST: f64 = 8.0;

/// Answers what can be answered.
pub fn answer(question: &Question) -> Answer {
    let mut notes = Notes::default();
    let (points, left_out) = without_outliers(&question.points, &mut notes);
    let levels = points.levels();
    let models = choice::models(&data::throughput(&points));
    let gain = last_gain(&levels, points.kind());
    let units = mixed_units(&levels);
    let saturation = if units.is_some() { Saturation::NotSaturated } else { Saturation::of(gain) };
    let bounded = saturation != Saturation::NotSaturated;
    let chosen = choice::best(&models, |name| !bounded || has_a_limit(name));
    let curved = chosen.and_then(|chosen| Curved::new(&points, chosen));
    let compared: Vec<Compared> = question.history.iter().map(|earlier| compare(&levels, earlier)).collect();
    let (resources, no_limits) = limits(&points);
    let evidence = Evidence {
        levels: &levels,
        saturation,
        gain,
        curved: curved.as_ref(),
        history: &compared,
        resources: &resources,
        unexplained: unexplained(&points, &resources),
        seed: question.seed,
    };
    let peak = match &units {
        Some(why) => {
            notes.refuse("peak", why, "write all loads and all throughputs in one unit");
            None
        }
        None => evidence.peak(&mut notes),
    };
    let next_loads =
        if peak.is_some_and(|peak| peak.basis == Basis::Measured) { Vec::new() } else { next_loads(&levels) };
    if peak.is_none() && units.is_none() {
        refuse_peak(&evidence, &no_limits, &next_loads, &points, &mut notes);
    }
    replicates_differ(&points, &mut notes);
    history_notes(&compared, &mut notes);
    let predictions: Vec<Prediction> = question
        .predict
        .iter()
        .map(|load| Prediction {
            load: *load,
            throughput: units.is_none().then(|| evidence.throughput(*load, &mut notes)).flatten(),
        })
        .collect();
    let sla_limits: Vec<SlaLimit> = question.bounds.iter().map(|bound| sla_limit(&points, bound)).collect();
    for (limit, bound) in sla_limits.iter().zip(&question.bounds) {
        if let Err(why) = &limit.outcome {
            notes.refuse(&limit.text, &why.to_string(), &why.next());
        }
        notes.warnings.extend(sla::caveat(points.kind(), bound));
    }
    let sla_limits = within_peak(sla_limits, points.kind(), peak);
    let limit = nearest_limit(&question.points.levels(), peak, &sla_limits);
    let headroom = headroom(question, limit.as_ref(), &mut notes);
    let what_if = suppose(&question.what_if, peak, &resources, &mut notes.refusals);
    Answer {
        chosen: chosen.map(|model| model.name),
        saturation,
        last_gain: gain,
        at_least: highest(&levels),
        peak,
        predictions,
        sla_limits,
        latency_models: latency_models(&points),
        breaking_point: breaking_point(&points, &levels, saturation, peak),
        resources,
        history: compared,
        limit,
        headroom,
        what_if,
        left_out,
        warnings: notes.warnings,
        refusals: notes.refusals,
        next_loads,
        models,
    }
}

#[derive(Debug, Default)]
struct Notes {
    warnings: Vec<String>,
    refusals: Vec<Refusal>,
}

impl Notes {
    fn warn(&mut self, words: String) {
        self.warnings.push(words);
    }

    fn refuse(&mut self, about: &str, why: &str, next: &str) {
        let (about, why, next) = (about.to_owned(), why.to_owned(), next.to_owned());
        self.refusals.push(Refusal { about, why, next });
    }
}

/// All that a peak can be drawn from.
struct Evidence<'a> {
    levels: &'a [Level],
    saturation: Saturation,
    gain: Option<f64>,
    curved: Option<&'a Curved<'a>>,
    history: &'a [Compared],
    resources: &'a [ResourceLimit],
    /// By which factor requests took longer without a resource to explain it.
    unexplained: Option<f64>,
    seed: u64,
}

impl Evidence<'_> {
    /// What was seen goes before what is foretold, and history before what resources or curves promise.
    fn peak(&self, notes: &mut Notes) -> Option<Peak> {
        let own = || self.curved?.peak(self.saturation, self.gain.unwrap_or_default(), self.seed);
        match self.saturation {
            Saturation::Saturated => self.by_history().or_else(own),
            // What its last doubling gained was little, yet the curve that it is about to bend into has changed.
            Saturation::Nearly if self.has_another_shape() => None,
            Saturation::Nearly => self.by_history().or_else(own),
            Saturation::NotSaturated => self.by_history().or_else(|| self.by_utilisation(notes)),
        }
    }

    /// Whether the latest earlier run that could be compared has the curve of another shape.
    fn has_another_shape(&self) -> bool {
        let is_compared = |earlier: &&Compared| !matches!(earlier.outcome, Err(Unlike::TooFewShared { .. }));
        let latest = self.history.iter().rev().find(is_compared);
        latest.is_some_and(|earlier| matches!(earlier.outcome, Err(Unlike::OtherShape { .. })))
    }

    /// By the latest earlier run that has the shape of this one and whose peak came at a higher load than all of
    /// this one. A run that was not saturated had no peak: its highest load is where somebody stopped.
    fn by_history(&self) -> Option<Peak> {
        let furthest = self.levels.last()?.load;
        let accepted = self.history.iter().filter_map(|earlier| earlier.outcome.as_ref().ok());
        let scaled = accepted.rev().find(|scaled| scaled.up_to.is_none() && scaled.load > furthest)?;
        let Estimate { value: throughput, low, high } = scaled.estimate();
        let seen = highest(self.levels).map_or(0.0, |level| level.throughput);
        Some(Peak {
            load: scaled.load,
            throughput,
            low: low.max(seen.min(throughput)),
            high,
            basis: Basis::History,
        })
    }

    /// By the resource that runs out first.
    fn by_utilisation(&self, notes: &mut Notes) -> Option<Peak> {
        let limit = self.resources.first().filter(|_| self.unexplained.is_none())?;
        let seen = highest(self.levels)?;
        notes.warn(format!(
            "the peak is where {} is busy all the time; it holds if nothing that was not recorded runs out before",
            limit.name
        ));
        // The load is that of the curve where it has one; else users and throughput grow alike until then.
        let load = self.curved.and_then(|curved| load_of(curved, limit.throughput, seen.load));
        Some(Peak {
            load: load.unwrap_or(seen.load * limit.throughput / seen.throughput),
            throughput: limit.throughput.max(seen.throughput),
            low: limit.low.max(seen.throughput.min(limit.throughput)),
            high: limit.high.max(seen.throughput),
            basis: Basis::Utilisation,
        })
    }

    fn throughput(&self, load: f64, notes: &mut Notes) -> Option<Estimate> {
        let name = format!("throughput at {}", Figure(load));
        let (Some(first), Some(last)) = (self.levels.first(), self.levels.last()) else { return None };
        if !(load.is_finite() && load > 0.0) {
            notes.refuse(&name, "a load is a number above zero", "ask for another load");
            return None;
        }
        let scaled = self.history.iter().filter_map(|earlier| earlier.outcome.as_ref().ok()).next_back();
        let beyond = load > last.load * (1.0 + 1e-9);
        if beyond && let Some(estimate) = scaled.and_then(|scaled| scaled.at(load)) {
            return Some(estimate);
        }
        if beyond && self.saturation == Saturation::NotSaturated {
            let why = format!(
                "it lies beyond the highest load, {}, where throughput still rises",
                Figure(last.load)
            );
            notes.refuse(
                &name,
                &why,
                "run up to that load, or add earlier runs of the service that went there",
            );
            return None;
        }
        if load > last.load * FARTHEST || load < first.load / FARTHEST {
            let why = format!(
                "the loads that were measured, {} to {}, are too far away",
                Figure(first.load),
                Figure(last.load)
            );
            notes.refuse(&name, &why, "run nearer to that load");
            return None;
        }
        let Some(curved) = self.curved else {
            notes.refuse(&name, "no model fits the points", "measure at three loads or more");
            return None;
        };
        let (low, high) = curved.interval(load);
        let value = curved.at(load);
        value.is_finite().then_some(Estimate {
            value: value.max(0.0),
            low: low.max(0.0),
            high: high.max(0.0),
        })
    }
}

/// The load where a curve first gives this throughput, if it does so within reach.
fn load_of(curved: &Curved<'_>, throughput: f64, from: f64) -> Option<f64> {
    const STEPS: i32 = 200;
    let loads = (0..=STEPS).map(|step| from * FARTHEST.powf(f64::from(step) / f64::from(STEPS)));
    let family = curved.chosen.family();
    loads.into_iter().find(|load| family.value(curved.chosen.theta(), *load) >= throughput)
}

fn without_outliers(points: &Points, notes: &mut Notes) -> (Points, Vec<Point>) {
    let data = data::throughput(points);
    // Rows of condensed data are no points.
    let found = if data.len() == points.points().len() { outliers(&data) } else { Vec::new() };
    match points.without(&found) {
        Some(kept) if !found.is_empty() => {
            let left_out: Vec<Point> = found.iter().map(|index| points.points()[*index].clone()).collect();
            for point in &left_out {
                notes.warn(format!(
                    "left out: throughput {} at load {} belongs to no curve through the other points",
                    Figure(point.throughput),
                    Figure(point.load)
                ));
            }
            (kept, left_out)
        }
        _ => (points.clone(), Vec::new()),
    }
}

/// Why loads or throughputs seem to be in several units, if they do.
fn mixed_units(levels: &[Level]) -> Option<String> {
    levels.windows(2).find_map(|pair| {
        let [left, right] = pair else { return None };
        if left.throughput <= 0.0 || right.throughput <= 0.0 {
            return None;
        }
        let change = (right.throughput / right.load) / (left.throughput / left.load);
        let steps = right.load / left.load;
        (change > RISES || change < 1.0 / (FALLS * steps)).then(|| {
            format!(
                "from load {} to {} throughput goes from {} to {}: units seem to be mixed",
                Figure(left.load),
                Figure(right.load),
                Figure(left.throughput),
                Figure(right.throughput)
            )
        })
    })
}

/// Says when runs at one load differ as runs of one version and mix do not.
fn replicates_differ(points: &Points, notes: &mut Notes) {
    let same = points.points().chunk_by(|left, right| left.load == right.load);
    let spreads = same.filter(|points| points.len() > 1).filter_map(|points| {
        let throughputs = || points.iter().map(|point| point.throughput);
        let (low, high) = (throughputs().fold(f64::INFINITY, f64::min), throughputs().fold(0.0, f64::max));
        (low > 0.0).then(|| (points[0].load, high / low - 1.0))
    });
    let wide: Vec<(f64, f64)> = spreads.filter(|(_, spread)| *spread > REPLICATES_DIFFER).collect();
    if let Some((load, spread)) = wide.iter().copied().max_by(|left, right| left.1.total_cmp(&right.1)) {
        notes.warn(format!(
            "throughput differs by up to {:.0}% at one load ({}): if these are runs of several versions or mixes, \
             tell them apart with a `run` column",
            spread * 100.0,
            Figure(load)
        ));
    }
}

fn history_notes(compared: &[Compared], notes: &mut Notes) {
    for earlier in compared {
        if let Err(why) = &earlier.outcome {
            notes.warn(format!("the earlier run {} is left aside: {why}", earlier.name));
        }
    }
}

/// Twice and four times the highest load, or what is missing below three levels.
fn next_loads(levels: &[Level]) -> Vec<f64> {
    match levels {
        [] => Vec::new(),
        [only] => vec![only.load * 2.0, only.load * 4.0, only.load * 8.0],
        [.., last] => vec![last.load * 2.0, last.load * 4.0],
    }
}

fn refuse_peak(
    evidence: &Evidence<'_>,
    no_limits: &[NoLimit],
    next: &[f64],
    points: &Points,
    notes: &mut Notes,
) {
    let levels = evidence.levels;
    let most = highest(levels).map_or(0.0, |level| level.throughput);
    if most <= 0.0 {
        notes.refuse("peak", "nothing succeeded at any load", "look why every request failed");
        return;
    }
    let mut why = match evidence.gain {
        None => format!(
            "{} not show a bend, {FEWEST_LEVELS} are needed; at least {}/s is possible",
            match levels.len() {
                1 => "one load does".to_owned(),
                several => format!("{several} different loads do"),
            },
            Figure(most)
        ),
        Some(gain) if evidence.saturation == Saturation::Nearly => format!(
            "nearly saturated, at least {}/s: the last doubling of load gained {:.0}%, but the curve has another shape              than that of the latest earlier run, so that neither tells where it ends",
            Figure(most),
            gain * 100.0
        ),
        Some(gain) => format!(
            "not saturated, at least {}/s: the last doubling of load still gained {:.0}%, and a service that \
             still gains over 15% does not reveal where that ends",
            Figure(most),
            gain * 100.0
        ),
    };
    let loads: Vec<String> = next.iter().map(|load| points.kind().word(*load)).collect();
    let mut next = format!("run at {}", loads.join(" and "));
    if points.points().iter().all(|point| point.resources.is_empty()) {
        next +=
            ", or record the utilisation of what may run out (cpu_ratio), or add earlier runs of the service";
    }
    for limit in no_limits {
        why += &format!("; {limit}");
        next += &format!("; {}", limit.next());
    }
    if let Some(slower) = evidence.unexplained {
        why += &format!(
            "; requests took {slower:.1} times as long at the highest load as at the lowest, which no recorded resource \
             explains: they wait for something else"
        );
        next += "; record what requests wait for, such as a pool, a lock or another service";
    }
    notes.refuse("peak", &why, &next);
}

/// Arrivals that come faster than the peak wait ever longer: however short the wait was when it was measured, no
/// objective holds above it.
fn within_peak(mut limits: Vec<SlaLimit>, kind: LoadKind, peak: Option<Peak>) -> Vec<SlaLimit> {
    let Some(peak) = peak.filter(|_| kind == LoadKind::Rate) else { return limits };
    for allowed in limits.iter_mut().filter_map(|limit| limit.outcome.as_mut().ok()) {
        allowed.load = allowed.load.min(peak.throughput);
        allowed.low = allowed.low.min(allowed.load);
        allowed.high = allowed.high.min(peak.high).max(allowed.load);
    }
    limits
}

/// Where errors begin, or else where throughput ends.
fn breaking_point(
    points: &Points,
    levels: &[Level],
    saturation: Saturation,
    peak: Option<Peak>,
) -> Option<BreakingPoint> {
    let errors = Bound { text: String::new(), of: sla::Bounded::ErrorRatio, at_most: MANY_ERRORS };
    let by_errors = sla_limit(points, &errors).outcome.ok().map(|allowed| BreakingPoint {
        load: allowed.load,
        low: allowed.low,
        high: allowed.high,
        symptom: Symptom::Errors,
    });
    let by_saturation = || {
        let peak = peak.filter(|_| saturation != Saturation::NotSaturated)?;
        let smooth = smoothed(levels);
        let reached = smooth.iter().position(|level| level.throughput >= peak.throughput * 0.95)?;
        let low = reached.checked_sub(1).map_or(smooth[reached].load, |below| smooth[below].load);
        let load = smooth[reached].load;
        Some(BreakingPoint { load, low, high: load.max(low), symptom: Symptom::Saturation })
    };
    match (by_errors, by_saturation()) {
        (Some(errors), Some(saturation)) if saturation.load < errors.load => Some(saturation),
        (errors, saturation) => errors.or(saturation),
    }
}

fn nearest_limit(levels: &[Level], peak: Option<Peak>, limits: &[SlaLimit]) -> Option<(Estimate, String)> {
    let of_peak = peak.map(|peak| {
        let Peak { throughput: value, low, high, .. } = peak;
        (Estimate { value, low, high }, "peak".to_owned())
    });
    let of_bounds = limits.iter().filter_map(|limit| {
        let allowed = limit.outcome.as_ref().ok()?;
        let at = |load| history::interpolate(levels, load).unwrap_or(allowed.throughput);
        let (low, high) = (at(allowed.low), at(allowed.high));
        let value = allowed.throughput;
        Some((Estimate { value, low: low.min(value), high: high.max(value) }, limit.text.clone()))
    });
    let nearest =
        of_peak.into_iter().chain(of_bounds).min_by(|left, right| left.0.value.total_cmp(&right.0.value));
    nearest.filter(|(limit, _)| limit.value > 0.0)
}

fn headroom(question: &Question, limit: Option<&(Estimate, String)>, notes: &mut Notes) -> Vec<Headroom> {
    let named = question.traffic.iter();
    named
        .filter_map(|(name, traffic)| {
            let Some((limit, of)) = limit.cloned() else {
                let levels = question.points.levels();
                let most = highest(&levels).map_or(0.0, |level| level.throughput);
                let why = if *traffic <= most {
                    format!("no limit is known; at least {}/s is possible", Figure(most))
                } else {
                    "no limit is known".to_owned()
                };
                notes.refuse(&format!("headroom for {name}"), &why, "find the peak first");
                return None;
            };
            let left = |limit: f64| 1.0 - traffic / limit;
            Some(Headroom {
                name: name.clone(),
                traffic: *traffic,
                limit,
                of,
                ratio: left(limit.value),
                low: left(limit.low),
                high: left(limit.high),
            })
        })
        .collect()
}
