use std::collections::BTreeMap;
use std::fmt;

use plimsoll_units::Quantile;
use serde::{Deserialize, Serialize};

/// One measurement in a steady state: what was offered and what came of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Point {
    /// Concurrent users, or arrivals per second; [`LoadKind`] says which.
    pub load: f64,
    /// Succeeded requests per second.
    pub throughput: f64,
    /// The standard error of `throughput`, in requests per second, where it is known.
    pub throughput_error: Option<f64>,
    /// Quantiles of response time, in seconds.
    pub response_time: BTreeMap<Quantile, f64>,
    /// Failed over all ended requests, a share of one.
    pub error_ratio: Option<f64>,
    /// How busy each resource was, a share of one, by its name.
    pub resources: BTreeMap<String, f64>,
    /// Throughput of each kind of request, by its name, where the mix was recorded.
    pub classes: BTreeMap<String, f64>,
}

impl Point {
    /// A point of which nothing else is known.
    pub fn new(load: f64, throughput: f64) -> Self {
        Self { load, throughput, ..Self::default() }
    }
}

/// What a load counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LoadKind {
    /// Users who wait for an answer before they ask again: a closed loop.
    Users,
    /// Arrivals per second, whatever the target does: an open loop.
    Rate,
    /// Nobody said.
    #[default]
    Unknown,
}

/// Measurements of one service under one version and mix: checked, and in the order of load.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    points: Vec<Point>,
    kind: LoadKind,
}

/// All measurements at one load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// The load.
    pub load: f64,
    /// Their mean throughput, requests per second.
    pub throughput: f64,
    /// How many there are.
    pub count: usize,
}

/// Why measurements are none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PointsError {
    /// Nothing was measured.
    #[error("there are no points; measure at three loads or more")]
    Empty,
    /// A figure that cannot be one.
    #[error("point {row}: {what} is {found}; it must be {allowed}")]
    Value {
        /// The place of the point among those given, from 1.
        row: usize,
        /// Which figure.
        what: String,
        /// Its value.
        found: f64,
        /// What it may be.
        allowed: &'static str,
    },
    /// An open loop cannot finish more than arrives.
    #[error("point {row}: throughput {throughput} is above the offered rate {load}; {advice}")]
    AboveRate {
        /// The place of the point among those given, from 1.
        row: usize,
        /// Arrivals per second.
        load: f64,
        /// Requests per second.
        throughput: f64,
        /// What to do.
        advice: &'static str,
    },
}

/// Warm-up left overs and rounding let throughput exceed the offered rate by a little.
const RATE_TOLERANCE: f64 = 1.05;
/// A utilisation is a quotient of two clocks: a little over one is rounding, more is another unit.
const BUSIEST: f64 = 1.02;

impl Points {
    /// Checks points and brings them in the order of load.
    ///
    /// # Errors
    /// The first point with a figure that cannot be: loads must be positive, throughput and times not
    /// negative, shares within one, everything finite, and open-loop throughput not above its rate.
    pub fn new(points: Vec<Point>, kind: LoadKind) -> Result<Self, PointsError> {
        if points.is_empty() {
            return Err(PointsError::Empty);
        }
        for (index, point) in points.iter().enumerate() {
            check(point, kind, index + 1)?;
        }
        let mut points = points;
        points.sort_by(|left, right| left.load.total_cmp(&right.load));
        Ok(Self { points, kind })
    }

    /// The points in the order of load.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// What their loads count.
    pub fn kind(&self) -> LoadKind {
        self.kind
    }

    /// One level for each different load, in their order.
    pub fn levels(&self) -> Vec<Level> {
        let same = self.points.chunk_by(|left, right| left.load == right.load);
        same.map(|points| Level {
            load: points[0].load,
            throughput: points.iter().map(|point| point.throughput).sum::<f64>() / points.len() as f64,
            count: points.len(),
        })
        .collect()
    }

    /// The points whose load is at most this, or `None` when there is none.
    pub fn up_to(&self, load: f64) -> Option<Self> {
        let points: Vec<Point> = self.points.iter().filter(|point| point.load <= load).cloned().collect();
        (!points.is_empty()).then_some(Self { points, kind: self.kind })
    }

    /// The same without some points, named by their place in the order of load.
    pub(crate) fn without(&self, left_out: &[usize]) -> Option<Self> {
        let kept = self.points.iter().enumerate().filter(|(index, _)| !left_out.contains(index));
        let points: Vec<Point> = kept.map(|(_, point)| point.clone()).collect();
        (!points.is_empty()).then_some(Self { points, kind: self.kind })
    }
}

impl LoadKind {
    /// How a load reads: `64 users`, `500/s`, `load 64`.
    pub fn word(self, load: f64) -> String {
        let load = Figure(load);
        match self {
            Self::Users => format!("{load} users"),
            Self::Rate => format!("{load}/s"),
            Self::Unknown => format!("load {load}"),
        }
    }
}

/// A number as people read it: four significant digits, whole from 1,000 on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure(pub(crate) f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        if value == 0.0 || !value.is_finite() {
            return write!(f, "{value}");
        }
        let decimals = (3 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
        let text = format!("{value:.decimals$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        f.write_str(text)
    }
}

fn check(point: &Point, kind: LoadKind, row: usize) -> Result<(), PointsError> {
    let must = |holds: bool, what: &str, found: f64, allowed: &'static str| {
        if holds { Ok(()) } else { Err(PointsError::Value { row, what: what.to_owned(), found, allowed }) }
    };
    let finite = f64::is_finite;
    let Point { load, throughput, .. } = *point;
    must(finite(load) && load > 0.0, "load", load, "a number above zero")?;
    must(finite(throughput) && throughput >= 0.0, "throughput", throughput, "a number, zero or more")?;
    if let Some(error) = point.throughput_error {
        must(finite(error) && error > 0.0, "the error of throughput", error, "a number above zero")?;
    }
    for (quantile, seconds) in &point.response_time {
        must(finite(*seconds) && *seconds >= 0.0, &quantile.to_string(), *seconds, "seconds, zero or more")?;
    }
    if let Some(ratio) = point.error_ratio {
        must((0.0..=1.0).contains(&ratio), "error_ratio", ratio, "a share from 0 to 1")?;
    }
    for (name, busy) in &point.resources {
        let allowed = "a share from 0 to 1 (of several cores: divided by their number)";
        must((0.0..=BUSIEST).contains(busy), name, *busy, allowed)?;
    }
    for (name, rate) in &point.classes {
        must(finite(*rate) && *rate >= 0.0, name, *rate, "a number, zero or more")?;
    }
    if kind == LoadKind::Rate && throughput > load * RATE_TOLERANCE {
        let advice = "give both per second, or name the column `users` when it counts users";
        return Err(PointsError::AboveRate { row, load, throughput, advice });
    }
    Ok(())
}
