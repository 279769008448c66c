//! How the demand of a request grows with use, and where that leaves the limit.
//!
//! A resource that is busy to the share u gives
//!
//! X(u) = C·(u − a) / (w + c·u + k·u²), w + c + k = 1
//!
//! a is what it is busy without requests and C(1 − a) what it gives when it is busy all the time. Of the time
//! that a request then takes, the share w is its work, c is contention and k is coherency: the Universal Scalability
//! Law in use instead of users (N. J. Gunther, "Guerrilla Capacity Planning", 2007, §4.4), and with w = 1 the utilisation
//! law. What users do to throughput is the same law with u = N/N₁, N₁ the users who keep the resource busy.
//!
//! From loads well below the limit c and k are known badly, and a best fit alone would be as likely far off as near.
//! So every (c, k) counts by how likely it makes what was measured (J. A. Hoeting et al., "Bayesian Model
//! Averaging: A Tutorial", Statistical Science 14(4), 1999): before the data, demand that does not grow, that grows by
//! contention, by coherency and by both are four laws alike, and within each all shares are. C and a are integrated over
//! exactly (they are linear), the noise by its conjugate prior, c and k on a grid that closes in on where they are likely.
//! The limit is the median of what is left, its interval their quantiles.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma::ln_gamma;

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// How busy the resource was, a share of full use.
    pub(crate) used: f64,
    /// Requests per second, above zero.
    pub(crate) throughput: f64,
    /// The standard deviation of throughput's logarithm, up to a factor that all rows share.
    pub(crate) deviation: f64,
}

/// What is known of a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// Its median.
    pub(crate) throughput: f64,
    /// The lower end of the 90% interval.
    pub(crate) low: f64,
    /// The upper end.
    pub(crate) high: f64,
    /// How busy the resource is without requests, at the median.
    pub(crate) idle: f64,
    /// Seconds of the whole resource that a request takes when nothing else happens.
    pub(crate) demand: f64,
}

/// Cells of the grid along one share.
const CELLS: usize = 24;
/// How often the grid closes in.
const ROUNDS: usize = 4;
/// Shares less likely than the best by more than this (a logarithm) do not count.
const UNLIKELY: f64 = 9.0;
/// Clocks and sampling leave this share of a measurement open, however well a law fits.
const FLOOR: f64 = 0.002;
/// A resource that does more than this without requests is not one they use up.
const MOST_IDLE: f64 = 0.5;
/// A law that keeps this share of the belief lies within the interval with its own: nobody can say that it is not the one.
const BELIEVED: f64 = 0.15;
/// With more rows than this neighbours are put together.
const MOST_ROWS: usize = 200;
/// Points that stand for a distribution, each as likely as the others.
const NODES: usize = 15;
const FEW_NODES: usize = 5;

/// The limit by the rows. `full` is the standard error of the logarithm of full use itself, zero where `used` is measured;
/// `None` where no law fits.
pub(crate) fn limit(rows: &[Row], full: f64, idle: Idle) -> Option<Limit> {
    let rows = condensed(rows);
    let scale = rows.iter().map(|row| row.throughput).fold(0.0, f64::max);
    let mut laws: Vec<Law> = Vec::new();
    for columns in 1..=idle.most_columns() {
        for grows in GROWS {
            let fit = |shares| Fit::of(&rows, scale, shares, columns);
            laws.push(Law { fits: grid(grows, fit), limits: Vec::new(), weight: 0.0 });
        }
    }
    let best = laws.iter().map(Law::best).fold(f64::NEG_INFINITY, f64::max);
    let ends: Vec<f64> = match Normal::new(0.0, full) {
        Ok(normal) => middles(FEW_NODES).map(|share| normal.inverse_cdf(share).exp()).collect(),
        Err(_) => vec![1.0],
    };
    laws.iter_mut().for_each(|law| law.weigh(best, &ends));
    let fits = || laws.iter().flat_map(|law| &law.fits);
    let total: f64 = fits().map(|(weight, _)| (weight - best).exp()).sum();
    let mean = |figure: fn(&Fit) -> f64| {
        fits().map(|(weight, fit)| (weight - best).exp() * figure(fit)).sum::<f64>() / total
    };
    let mut all: Vec<(f64, f64)> = laws.iter().flat_map(|law| law.limits.iter().copied()).collect();
    all.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (mut low, mut high) = (quantile(&all, 0.05)?, quantile(&all, 0.95)?);
    for law in laws.iter().filter(|law| law.weight >= BELIEVED * total) {
        low = low.min(quantile(&law.limits, 0.05)?);
        high = high.max(quantile(&law.limits, 0.95)?);
    }
    Some(Limit {
        throughput: quantile(&all, 0.5)? * scale,
        low: low * scale,
        high: high * scale,
        idle: mean(Fit::idle),
        demand: mean(Fit::demand) / scale,
    })
}

/// Whether a resource may be busy without requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    Never,
    Perhaps,
}

impl Idle {
    fn most_columns(self) -> usize {
        match self {
            Self::Never => 1,
            Self::Perhaps => 2,
        }
    }
}

/// Which of contention and coherency a law has.
const GROWS: [[bool; 2]; 4] = [[false, false], [true, false], [false, true], [true, true]];

/// One of the laws: what of it is likely, and what it makes of the limit.
struct Law {
    /// With the logarithm of their weights.
    fits: Vec<(f64, Fit)>,
    /// Limits over the scale of throughput with their weights, in order.
    limits: Vec<(f64, f64)>,
    weight: f64,
}

impl Law {
    fn best(&self) -> f64 {
        self.fits.iter().map(|(weight, _)| *weight).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Turns fits into limits, with weights over that of the best fit of all laws.
    fn weigh(&mut self, best: f64, ends: &[f64]) {
        self.fits.retain(|(weight, _)| *weight > best - UNLIKELY);
        let Some((_, first)) = self.fits.first() else { return };
        // All fits of one law have as many degrees of freedom.
        let Ok(student) = StudentsT::new(0.0, 1.0, first.degrees) else { return };
        let errors: Vec<f64> = middles(NODES).map(|share| student.inverse_cdf(share)).collect();
        for (weight, fit) in &self.fits {
            let weight = (weight - best).exp();
            self.weight += weight;
            for end in ends {
                let (limit, error) = fit.limit(*end);
                self.limits.extend(errors.iter().map(|away| (limit * (error * away).exp(), weight)));
            }
        }
        self.limits.retain(|(limit, _)| limit.is_finite());
        self.limits.sort_by(|left, right| left.0.total_cmp(&right.0));
    }
}

/// The law of some shares, with what is linear in it fitted.
struct Fit {
    shares: [f64; 2],
    /// C over the scale of throughput.
    slope: f64,
    /// C·a over the same.
    offset: f64,
    /// Variances and covariance of these two.
    covariance: [f64; 3],
    degrees: f64,
}

impl Fit {
    /// With the logarithm of how likely it makes the rows; `None` where it cannot be.
    fn of(rows: &[Row], scale: f64, shares: [f64; 2], columns: usize) -> Option<(f64, Self)> {
        let [contention, coherency] = shares;
        let work = 1.0 - contention - coherency;
        let mut square = [0.0; 3];
        let mut product = [0.0; 2];
        let mut whole = 0.0;
        for row in rows {
            let growth = work + contention * row.used + coherency * row.used * row.used;
            let throughput = row.throughput / scale;
            let weight = (row.deviation * throughput).powi(-2);
            let (first, second) = (row.used / growth, -1.0 / growth);
            square[0] += weight * first * first;
            square[1] += weight * second * second;
            square[2] += weight * first * second;
            product[0] += weight * first * throughput;
            product[1] += weight * second * throughput;
            whole += weight * throughput * throughput;
        }
        let determinant =
            if columns == 1 { square[0] } else { square[0] * square[1] - square[2] * square[2] };
        let [slope, offset] = if columns == 1 {
            [product[0] / square[0], 0.0]
        } else {
            [
                (product[0] * square[1] - product[1] * square[2]) / determinant,
                (product[1] * square[0] - product[0] * square[2]) / determinant,
            ]
        };
        // What rounding leaves of an idle share is none, and belongs to the law without.
        let least = if columns == 1 { 0.0 } else { 1e-9 * slope };
        let possible = determinant > 0.0 && slope > 0.0 && (least..=MOST_IDLE * slope).contains(&offset);
        let degrees = rows.len().checked_sub(columns).filter(|degrees| *degrees > 0)? as f64;
        if !possible {
            return None;
        }
        let left = (whole - slope * product[0] - offset * product[1]).max(0.0) + degrees * FLOOR * FLOOR;
        // ∫∫ of the normal likelihood over what is linear and over the variance (A. Gelman et al., "Bayesian Data Analysis",
        // 3rd ed., §14.2), C being any size alike and a any share up to its most.
        let linear = columns as f64 / 2.0 * std::f64::consts::TAU.ln() - determinant.ln() / 2.0;
        let noise = ln_gamma(degrees / 2.0) - degrees / 2.0 * (left / 2.0).ln();
        let before = -slope.ln() - if columns == 2 { (MOST_IDLE * slope).ln() } else { 0.0 };
        let variance = left / degrees / determinant;
        let covariance = if columns == 1 {
            [variance, 0.0, 0.0]
        } else {
            [variance * square[1], variance * square[0], -variance * square[2]]
        };
        let weight = linear + noise + before;
        weight.is_finite().then_some((weight, Self { shares, slope, offset, covariance, degrees }))
    }

    /// Over the scale of throughput.
    fn demand(&self) -> f64 {
        self.work() / self.slope
    }

    fn work(&self) -> f64 {
        1.0 - self.shares[0] - self.shares[1]
    }

    fn idle(&self) -> f64 {
        self.offset / self.slope
    }

    /// The highest throughput up to this use, and the standard error of its logarithm.
    fn limit(&self, end: f64) -> (f64, f64) {
        let ([contention, coherency], work, idle) = (self.shares, self.work(), self.idle());
        // Where d ln X/du = 0: k·u² − 2a·k·u − (w + a·c) = 0.
        let best = if coherency > 0.0 {
            idle + (idle * idle + (work + idle * contention) / coherency).sqrt()
        } else {
            f64::INFINITY
        };
        let used = best.min(end);
        let reached = self.slope * used - self.offset;
        let [slope, offset, both] = self.covariance;
        let variance = used * used * slope + offset - 2.0 * used * both;
        (reached / (work + contention * used + coherency * used * used), variance.max(0.0).sqrt() / reached)
    }
}

/// What is likely of two shares that each lie in 0..1, add up to less than one and are zero unless free, with the logarithm of
/// its weight: of all of them together that of one law.
fn grid(free: [bool; 2], fit: impl Fn([f64; 2]) -> Option<(f64, Fit)>) -> Vec<(f64, Fit)> {
    let mut spans = free.map(|free| if free { (0.0, 1.0) } else { (0.0, 0.0) });
    let mut found = Vec::new();
    for round in 0..ROUNDS {
        let steps = spans.map(|(from, to)| (to - from) / CELLS as f64);
        let places = |axis: usize| {
            let count = if free[axis] { CELLS } else { 1 };
            (0..count).map(move |cell| spans[axis].0 + (cell as f64 + 0.5) * steps[axis])
        };
        // Of two free shares half of the square is possible.
        let area: f64 = (0..2).filter(|axis| free[*axis]).map(|axis| steps[axis]).product();
        let density = if free == [true, true] { 2.0 } else { 1.0 };
        let cells = places(0).flat_map(|contention| places(1).map(move |coherency| (contention, coherency)));
        let cells = cells.filter(|(contention, coherency)| contention + coherency < 1.0);
        found = cells
            .filter_map(|(contention, coherency)| {
                let (weight, fit) = fit([contention, coherency])?;
                Some((weight + (area * density).ln(), fit))
            })
            .collect();
        let best = found.iter().map(|(weight, _)| *weight).fold(f64::NEG_INFINITY, f64::max);
        let likely = || found.iter().filter(|(weight, _)| *weight > best - UNLIKELY);
        let mut closer = spans;
        for axis in (0..2).filter(|axis| free[*axis]) {
            let shares = || likely().map(|(_, fit)| fit.shares[axis]);
            let least = shares().fold(1.0, f64::min) - steps[axis];
            let most = shares().fold(0.0, f64::max) + steps[axis];
            closer[axis] = (least.max(spans[axis].0), most.min(spans[axis].1));
        }
        let narrower =
            (0..2).any(|axis| closer[axis].1 - closer[axis].0 < 0.6 * (spans[axis].1 - spans[axis].0));
        if !narrower || round + 1 == ROUNDS || found.is_empty() {
            break;
        }
        spans = closer;
    }
    found
}

/// The middles of shares that are each as likely as the others.
fn middles(count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |node| (node as f64 + 0.5) / count as f64)
}

/// The value below which this share of the weight of sorted values lies.
fn quantile(sorted: &[(f64, f64)], share: f64) -> Option<f64> {
    let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut below = 0.0;
    sorted.iter().find_map(|(value, weight)| {
        below += weight;
        (below >= share * total).then_some(*value)
    })
}

fn condensed(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort_by(|left, right| left.used.total_cmp(&right.used));
    if rows.len() <= MOST_ROWS {
        return rows;
    }
    let group = |group: usize| {
        let rows = &rows[group * rows.len() / MOST_ROWS..(group + 1) * rows.len() / MOST_ROWS];
        let mean = |figure: fn(&Row) -> f64| rows.iter().map(figure).sum::<f64>() / rows.len() as f64;
        Row {
            used: mean(|row| row.used),
            throughput: mean(|row| row.throughput),
            deviation: mean(|row| row.deviation),
        }
    };
    (0..MOST_ROWS).map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    /// Rows of a law at eight shares of use up to `most`.
    fn rows(shares: [f64; 2], idle: f64, most: f64, deviation: f64, seed: u64) -> Vec<Row> {
        let [contention, coherency] = shares;
        let mut noise = Noise::new(seed);
        let mut row = |step: i32| {
            let used = idle + (most - idle) * f64::from(step) / 8.0;
            let growth = 1.0 - contention - coherency + contention * used + coherency * used * used;
            let throughput = 1000.0 * (used - idle) / growth * (deviation * noise.normal()).exp();
            Row { used, throughput, deviation: 1.0 }
        };
        (1..=8).map(&mut row).collect()
    }

    #[test]
    fn an_exact_law_is_found_again() {
        for (shares, idle, expected) in [
            ([0.0, 0.0], 0.0, 1000.0),
            ([0.0, 0.0], 0.10, 900.0),
            ([0.4, 0.0], 0.0, 1000.0),
            ([0.2, 0.3], 0.0, 1000.0),
            // Beyond its peak at u² = w/k more use gives less.
            ([0.0, 0.8], 0.0, 1000.0 * 0.5 / 0.4),
        ] {
            let most = if shares[1] > 0.0 { 0.9 } else { 0.7 };
            let found = limit(&rows(shares, idle, most, 0.0, 1), 0.0, Idle::Perhaps).unwrap();
            assert!((found.throughput / expected - 1.0).abs() < 0.01, "{shares:?} {idle}: {found:?}");
            assert!(found.low <= expected && expected <= found.high, "{shares:?} {idle}: {found:?}");
            assert!((found.idle - idle).abs() < 0.01, "{shares:?} {idle}: {found:?}");
        }
    }

    #[test]
    fn the_interval_widens_with_what_is_not_known() {
        let width = |most: f64, deviation: f64| {
            let found = limit(&rows([0.3, 0.2], 0.0, most, deviation, 5), 0.0, Idle::Never).unwrap();
            found.high / found.low
        };
        assert!(width(0.3, 0.01) > width(0.6, 0.01) && width(0.6, 0.01) > width(0.95, 0.01));
        assert!(width(0.6, 0.02) > width(0.6, 0.002));
    }

    #[test]
    fn many_rows_are_as_good_as_few_and_no_rows_are_none() {
        let many: Vec<Row> = (0..500).flat_map(|seed| rows([0.3, 0.0], 0.0, 0.8, 0.02, seed)).collect();
        let found = limit(&many, 0.0, Idle::Never).unwrap();
        assert!((found.throughput / 1000.0 - 1.0).abs() < 0.02, "{found:?}");
        assert!(limit(&[], 0.0, Idle::Perhaps).is_none());
        assert!(limit(&many[..1], 0.0, Idle::Perhaps).is_none());
    }
}
