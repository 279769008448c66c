//! The highest load that still meets an objective.
//!
//! It is told only between two measured levels, one that meets the objective and one that misses it: a
//! response time beyond the loads that were measured is nobody's to know, because it turns upwards where
//! throughput ends.

use plimsoll_units::Quantile;

use crate::history::interpolate;
use crate::points::Figure;
use crate::{LoadKind, Point, Points};

/// A bound that loads are to stay within.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The objective as it was typed.
    pub text: String,
    /// What is bounded.
    pub of: Bounded,
    /// The most that is allowed: seconds, or a share of one.
    pub at_most: f64,
}

/// What a bound is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounded {
    /// A quantile of response time, in seconds.
    ResponseTime(Quantile),
    /// Failed over ended requests.
    ErrorRatio,
}

/// A bound and the load it allows.
#[derive(Debug, Clone, PartialEq)]
pub struct SlaLimit {
    /// The objective.
    pub text: String,
    /// The highest load, or why nobody knows.
    pub outcome: Result<Allowed, NoSlaLimit>,
}

/// The highest load that meets a bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowed {
    /// The load.
    pub load: f64,
    /// Throughput there, requests per second.
    pub throughput: f64,
    /// The highest load that was seen to meet it.
    pub low: f64,
    /// The lowest load above it that was seen to miss it.
    pub high: f64,
}

/// Why a bound has no known load.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoSlaLimit {
    /// The figure was not measured.
    #[error("{figure} was not measured at two loads or more")]
    NotMeasured {
        /// Which figure.
        figure: String,
    },
    /// It fell as no response time falls.
    #[error("from load {} to {} {figure} falls from {} s to {} s: units seem to be mixed", Figure(*low), Figure(*high), Figure(*before), Figure(*after))]
    MixedUnits {
        /// Which figure.
        figure: String,
        /// The lower load.
        low: f64,
        /// The higher load.
        high: f64,
        /// Seconds at the lower load.
        before: f64,
        /// Seconds at the higher one.
        after: f64,
    },
    /// Every level meets it.
    #[error("met at every load up to {}", Figure(*highest))]
    AlwaysMet {
        /// The highest load.
        highest: f64,
    },
    /// No level meets it.
    #[error("missed already at the lowest load, {}", Figure(*lowest))]
    NeverMet {
        /// The lowest load.
        lowest: f64,
    },
}

impl NoSlaLimit {
    /// What to do to know it.
    pub fn next(&self) -> String {
        match self {
            Self::NotMeasured { figure } => format!("measure {figure} at two loads or more; in a table, add a column for it"),
            Self::MixedUnits { .. } => "write all response times in one unit".to_owned(),
            Self::AlwaysMet { .. } => "run at higher loads until it is missed: an objective's load is told between two measured levels".to_owned(),
            Self::NeverMet { .. } => "run at lower loads until it is met: an objective's load is told between two measured levels".to_owned(),
        }
    }
}

impl Bounded {
    fn name(self) -> String {
        match self {
            Self::ResponseTime(quantile) => format!("{quantile}(response_time)"),
            Self::ErrorRatio => "error_ratio".to_owned(),
        }
    }
}

/// The highest load within a bound.
pub fn sla_limit(points: &Points, bound: &Bound) -> SlaLimit {
    SlaLimit { text: bound.text.clone(), outcome: allowed(points, bound) }
}

fn allowed(points: &Points, bound: &Bound) -> Result<Allowed, NoSlaLimit> {
    let measured = levels(points, bound.of);
    let (Some(first), Some(last)) = (measured.first(), measured.last()) else {
        return Err(NoSlaLimit::NotMeasured { figure: bound.of.name() });
    };
    if measured.len() < 2 {
        return Err(NoSlaLimit::NotMeasured { figure: bound.of.name() });
    }
    if let Bounded::ResponseTime(_) = bound.of
        && let Some([(low, before), (high, after)]) =
            measured.array_windows().find(|[(_, before), (_, after)]| *before > after * FALLS).copied()
    {
        return Err(NoSlaLimit::MixedUnits { figure: bound.of.name(), low, high, before, after });
    }
    let meets = |(_, value): &(f64, f64)| *value <= bound.at_most;
    // The first miss counts: loads beyond it that meet the bound again were lucky, or shed work.
    let Some(miss) = measured.iter().position(|level| !meets(level)) else {
        return Err(NoSlaLimit::AlwaysMet { highest: last.0 });
    };
    let Some(before) = miss.checked_sub(1) else {
        return Err(NoSlaLimit::NeverMet { lowest: first.0 });
    };
    let ((low, below), (high, above)) = (measured[before], measured[miss]);
    let share = match bound.of {
        // Of one queue 1/R falls in a straight line with load (M/M/1: R = S/(1 − ρ)).
        Bounded::ResponseTime(_) if below > 0.0 => {
            (1.0 / below - 1.0 / bound.at_most) / (1.0 / below - 1.0 / above)
        }
        Bounded::ResponseTime(_) | Bounded::ErrorRatio => (bound.at_most - below) / (above - below),
    };
    let load = low + share.clamp(0.0, 1.0) * (high - low);
    let throughput = interpolate(&points.levels(), load).unwrap_or_default();
    Ok(Allowed { load, throughput, low, high })
}

/// No response time falls by this factor from one load to the next higher one: that is another unit.
const FALLS: f64 = 50.0;

/// With more loads than this neighbours are put together: among many the first that misses is an unlucky one.
const MOST_LEVELS: usize = 50;

/// The median of a figure at each load where it was measured.
fn levels(points: &Points, of: Bounded) -> Vec<(f64, f64)> {
    let value = |point: &Point| match of {
        Bounded::ResponseTime(quantile) => point.response_time.get(&quantile).copied(),
        Bounded::ErrorRatio => point.error_ratio,
    };
    let known: Vec<(f64, f64)> =
        points.points().iter().filter_map(|point| Some((point.load, value(point)?))).collect();
    let same = known.chunk_by(|left, right| left.0 == right.0);
    let groups: Vec<&[(f64, f64)]> = if same.clone().count() <= MOST_LEVELS {
        same.collect()
    } else {
        known.chunks(known.len().div_ceil(MOST_LEVELS)).collect()
    };
    let median = |group: &[(f64, f64)]| {
        let mut values: Vec<f64> = group.iter().map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        // A group's load is that of its middle; of one load it is this load.
        (group[group.len() / 2].0, values[values.len() / 2])
    };
    groups.into_iter().map(median).collect()
}

/// What a closed loop hides, where it matters.
pub(crate) fn caveat(kind: LoadKind, bound: &Bound) -> Option<String> {
    let hides = kind == LoadKind::Users && matches!(bound.of, Bounded::ResponseTime(_));
    hides.then(|| {
        format!(
            "{}: users wait for answers before they ask again, which hides the queue that arrivals at a rate would meet",
            bound.text
        )
    })
}

impl Allowed {
    /// In words.
    pub fn words(&self, kind: LoadKind) -> String {
        format!(
            "{} ({} met it, {} missed it), {}/s",
            kind.word(self.load),
            Figure(self.low),
            Figure(self.high),
            Figure(self.throughput)
        )
    }
}
