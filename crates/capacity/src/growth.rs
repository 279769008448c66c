//! When traffic will reach a limit.
//!
//! What a system must carry is its busiest hour, so traffic is first reduced to the busiest hour of each day.
//! Then
//!
//! ln peak(day) = a + b·day + weekday + noise
//!
//! which is growth by a constant share with a weekly season. It is fitted so that single days (an outage, a
//! campaign) hardly move it (P. J. Huber, *Robust Statistics*, 1981, §7.8: M-estimates with k = 1.345, scale from
//! the median deviation), with the covariance of §7.6, widened by the integrated autocorrelation time of
//! the residuals, because a busy day follows a busy day (see `estimate.rs`).
//!
//! The date of exhaustion is when the expected peak of the week's busiest day reaches the limit. Its 90%
//! interval is where the confidence band of that line, with the limit's own uncertainty in it, does: the
//! inversion of E. C. Fieller, "Some Problems in Interval Estimation", JRSS B 16(2), 1954. It holds if
//! growth goes on as it went, which no statistics can promise; beyond five years nothing is said.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use nalgebra::{DMatrix, DVector};

use crate::Estimate;
use crate::estimate::{correlation_time, median, t_quantile};

/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// Days of a mean year and month.
const YEAR: f64 = 365.25;
const MONTH: f64 = YEAR / 12.0;
/// How far a date is looked for, in days.
const HORIZON: f64 = 5.0 * YEAR;
/// The fewest days that traffic must span, and the fewest values within them.
const FEWEST_DAYS: f64 = 21.0;
const FEWEST_VALUES: usize = 8;
/// A day of which less was recorded may have had its peak in the rest.
const WHOLE_DAY: f64 = 0.75;
/// The confidence of intervals.
const LEVEL: f64 = 0.9;
/// The standard normal quantile of a two-sided 90%.
const NORMAL: f64 = 1.644_853_627;
/// Residuals beyond so many standard deviations are held down to it: 95% efficient where none is wild.
const HUBER: f64 = 1.345;

/// Traffic at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Traffic {
    /// Seconds since 1970.
    pub at: f64,
    /// Arrivals per second, or users: in the unit of the limit.
    pub rate: f64,
}

/// A constant share by which traffic grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GrowthRate {
    /// ln of the factor of a day.
    per_day: f64,
}

impl GrowthRate {
    /// The share of a mean month (30.44 days): 0.05 is 5% a month.
    pub fn per_month(self) -> f64 {
        (self.per_day * MONTH).exp_m1()
    }
}

/// A growth that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no growth; write a share of a time, like `5%/month`, `1%/week` or `-10%/year`")]
pub struct NoGrowth {
    found: String,
}

impl FromStr for GrowthRate {
    type Err = NoGrowth;

    /// Reads `5%/month`; also of a `day`, `week` or `year`. Each share is above -100% and at most 10,000%.
    fn from_str(text: &str) -> Result<Self, NoGrowth> {
        let wrong = || NoGrowth { found: text.to_owned() };
        let (share, time) = text.split_once('/').ok_or_else(wrong)?;
        let share = share.trim().strip_suffix('%').ok_or_else(wrong)?;
        let share = share.trim().parse::<f64>().map_err(|_| wrong())? / 100.0;
        let days = match time.trim() {
            "day" => 1.0,
            "week" => 7.0,
            "month" => MONTH,
            "year" => YEAR,
            _ => return Err(wrong()),
        };
        if !(share > -1.0 && share <= 100.0) {
            return Err(wrong());
        }
        Ok(Self { per_day: share.ln_1p() / days })
    }
}

/// How traffic grew.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// How many values it stands on: days, or what was given where that is rarer.
    pub values: usize,
    /// When the first of them was, seconds since 1970.
    pub from: f64,
    /// When the last of them was.
    pub to: f64,
    /// Growth of a month.
    pub per_month: f64,
    /// The lower end of its 90% interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How much the busiest day of the week is above the mean day, as a share; `None` where the data
    /// show no days of the week.
    pub weekly_peak: Option<f64>,
    coefficients: DVector<f64>,
    covariance: DMatrix<f64>,
    degrees_of_freedom: f64,
    /// The weekday of the peaks forecast, where there is a season.
    busiest: Option<usize>,
}

/// Why traffic shows no trend.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoTrend {
    /// It was watched for too short a time.
    #[error(
        "traffic spans {days:.1} days; a trend beneath its weeks takes {FEWEST_DAYS} days: record longer, or give \
         the growth, like `5%/month`"
    )]
    Short {
        /// Days from the first to the last value.
        days: f64,
    },
    /// There are too few values.
    #[error(
        "traffic is known of {values} whole days (or weeks, months); a trend takes {FEWEST_VALUES} at least: record longer, or \
         give the growth, like `5%/month`"
    )]
    Few {
        /// Days, or what was given where that is rarer.
        values: usize,
    },
}

/// When a limit will be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exhaustion {
    /// When the expected peak reaches the limit, seconds since 1970; `None` when not within five years.
    pub date: Option<f64>,
    /// Not earlier, with a confidence of 90% on both ends together; `None` when not within five years.
    pub low: Option<f64>,
    /// Not later; `None` when that may be later than in five years, or never.
    pub high: Option<f64>,
    /// The expected peak at the beginning of the forecast, in the unit of the limit.
    pub traffic: f64,
    /// Growth of a month.
    pub per_month: f64,
}

impl Exhaustion {
    /// Whether the expected peak was at the limit when the forecast began.
    pub fn is_now(&self, now: f64) -> bool {
        self.date.is_some_and(|date| date <= now)
    }
}

impl Trend {
    /// Fits traffic, in any order; moments without traffic say nothing and are left out.
    ///
    /// # Errors
    /// When the data cannot carry a trend.
    pub fn of(traffic: &[Traffic]) -> Result<Self, NoTrend> {
        let peaks = peaks(traffic);
        let (Some(first), Some(last)) = (peaks.first(), peaks.last()) else {
            return Err(NoTrend::Few { values: 0 });
        };
        let span = (last.at - first.at) / DAY;
        if peaks.len() < FEWEST_VALUES {
            return Err(NoTrend::Few { values: peaks.len() });
        }
        // From the first midnight to the last one there is a day less than was seen.
        if span + 1.0 < FEWEST_DAYS {
            return Err(NoTrend::Short { days: span });
        }
        let season = has_weekdays(&peaks);
        let rows: Vec<DVector<f64>> = peaks.iter().map(|peak| row(peak.at, season)).collect();
        let design = DMatrix::from_fn(rows.len(), rows[0].len(), |at, column| rows[at][column]);
        let logs = DVector::from_iterator(peaks.len(), peaks.iter().map(|peak| peak.rate.ln()));
        let fit = robust(&design, &logs).ok_or(NoTrend::Few { values: peaks.len() })?;
        let busiest = season.then(|| {
            let effect = |weekday: &usize| weekday_effect(&fit.coefficients, *weekday);
            (0..7).max_by(|one, other| effect(one).total_cmp(&effect(other))).unwrap_or(0)
        });
        let half = t_quantile(LEVEL, fit.degrees_of_freedom) * fit.covariance[(1, 1)].sqrt();
        let slope = fit.coefficients[1];
        let per_month = |slope: f64| GrowthRate { per_day: slope }.per_month();
        Ok(Self {
            values: peaks.len(),
            from: first.at,
            to: last.at,
            per_month: per_month(slope),
            low: per_month(slope - half),
            high: per_month(slope + half),
            weekly_peak: busiest.map(|weekday| weekday_effect(&fit.coefficients, weekday).exp_m1()),
            coefficients: fit.coefficients,
            covariance: fit.covariance,
            degrees_of_freedom: fit.degrees_of_freedom,
            busiest,
        })
    }

    /// The expected peak at a moment, in the unit of traffic.
    pub fn peak(&self, at: f64) -> f64 {
        self.line(at).0.exp()
    }

    /// When the limit is reached, looked for from `now` (seconds since 1970) on.
    pub fn exhaustion(&self, limit: Estimate, now: f64) -> Exhaustion {
        let (level, unsure) = logarithm(limit);
        let quantile = t_quantile(LEVEL, self.degrees_of_freedom);
        let band = |side: f64| {
            move |at: f64| {
                let (value, variance) = self.line(at);
                value + side * ((quantile * quantile) * variance + (NORMAL * unsure).powi(2)).sqrt()
            }
        };
        Exhaustion {
            date: first_at(level, now, band(0.0)),
            low: first_at(level, now, band(1.0)),
            high: first_at(level, now, band(-1.0)),
            traffic: self.peak(now),
            per_month: self.per_month,
        }
    }

    /// ln of the expected peak, and its variance.
    fn line(&self, at: f64) -> (f64, f64) {
        let mut row = DVector::zeros(self.coefficients.len());
        row[0] = 1.0;
        row[1] = at / DAY - EPOCH;
        if let Some(weekday) = self.busiest {
            weekday_row(&mut row, weekday);
        }
        (self.coefficients.dot(&row), (row.transpose() * &self.covariance * &row)[(0, 0)].max(0.0))
    }
}

/// When traffic that is `traffic` now and grows by a given share reaches the limit. Growth counts as known;
/// the interval is the limit's.
pub fn exhaustion(traffic: f64, growth: GrowthRate, limit: Estimate, now: f64) -> Exhaustion {
    let line = |side: f64| {
        let (_, unsure) = logarithm(limit);
        move |at: f64| traffic.ln() + growth.per_day * (at - now) / DAY + side * NORMAL * unsure
    };
    let (level, _) = logarithm(limit);
    Exhaustion {
        date: first_at(level, now, line(0.0)),
        low: first_at(level, now, line(1.0)),
        high: first_at(level, now, line(-1.0)),
        traffic,
        per_month: growth.per_month(),
    }
}

impl fmt::Display for GrowthRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.1}%/month", self.per_month() * 100.0)
    }
}

/// Days are counted from here (2025-01-01), which keeps the numbers of a fit small.
const EPOCH: f64 = 20_089.0;

/// ln of a limit and its standard error.
fn logarithm(limit: Estimate) -> (f64, f64) {
    let width = (limit.high.max(limit.value) / limit.low.min(limit.value).max(f64::MIN_POSITIVE)).ln();
    (limit.value.ln(), width / (2.0 * NORMAL))
}

/// When a line first reaches a level, from `now` on and within the horizon.
fn first_at(level: f64, now: f64, line: impl Fn(f64) -> f64) -> Option<f64> {
    let mut before = line(now) - level;
    if before >= 0.0 {
        return Some(now);
    }
    (1..=HORIZON as u32).find_map(|day| {
        let at = now + f64::from(day) * DAY;
        let after = line(at) - level;
        if after >= 0.0 {
            return Some(at - DAY * after / (after - before));
        }
        before = after;
        None
    })
}

/// The busiest hour of each whole day, or each value where they are further apart than a day, in order of time.
fn peaks(traffic: &[Traffic]) -> Vec<Traffic> {
    let sound = |one: &&Traffic| one.at.is_finite() && one.rate.is_finite() && one.rate > 0.0;
    let mut sound: Vec<Traffic> = traffic.iter().filter(sound).copied().collect();
    sound.sort_by(|one, other| one.at.total_cmp(&other.at));
    let gaps: Vec<f64> =
        sound.windows(2).map(|pair| pair[1].at - pair[0].at).filter(|gap| *gap > 0.0).collect();
    let Some(spacing) = median(&gaps) else { return sound };
    if spacing > DAY * 1.5 {
        return sound;
    }
    let mut days: BTreeMap<i64, BTreeMap<i64, (f64, f64)>> = BTreeMap::new();
    for one in &sound {
        let hour = (one.at / 3600.0).floor() as i64;
        let (sum, count) = days.entry(hour.div_euclid(24)).or_default().entry(hour).or_default();
        *sum += one.rate;
        *count += 1.0;
    }
    let hours = (DAY / spacing.max(3600.0)).max(1.0);
    days.retain(|_, of_day| of_day.len() as f64 >= (WHOLE_DAY * hours).floor().max(1.0));
    let peak = |hours: &BTreeMap<i64, (f64, f64)>| {
        hours.values().map(|(sum, count)| sum / count).fold(0.0, f64::max)
    };
    // At noon, so that it belongs to its day whatever is rounded.
    days.iter().map(|(day, hours)| Traffic { at: (*day as f64 + 0.5) * DAY, rate: peak(hours) }).collect()
}

/// Whether there is a value of each day of the week, twice at least.
fn has_weekdays(peaks: &[Traffic]) -> bool {
    let mut seen = [0; 7];
    peaks.iter().for_each(|peak| seen[weekday(peak.at)] += 1);
    // Values a week apart or more would make the season out of nothing.
    peaks.len() >= FEWEST_DAYS as usize && seen.iter().all(|count| *count >= 2)
}

/// From Thursday, the first day of 1970, on.
fn weekday(at: f64) -> usize {
    (at / DAY).floor().rem_euclid(7.0) as usize
}

/// A day's row of the design: constant, day, and six weekdays against the seventh, so that effects add up to
/// zero.
fn row(at: f64, season: bool) -> DVector<f64> {
    let mut row = DVector::zeros(if season { 8 } else { 2 });
    row[0] = 1.0;
    row[1] = at / DAY - EPOCH;
    if season {
        weekday_row(&mut row, weekday(at));
    }
    row
}

fn weekday_row(row: &mut DVector<f64>, weekday: usize) {
    for other in 0..6 {
        row[2 + other] = if weekday == 6 { -1.0 } else { f64::from(u8::from(other == weekday)) };
    }
}

fn weekday_effect(coefficients: &DVector<f64>, weekday: usize) -> f64 {
    if weekday == 6 { -(2..8).map(|at| coefficients[at]).sum::<f64>() } else { coefficients[2 + weekday] }
}

struct Fit {
    coefficients: DVector<f64>,
    covariance: DMatrix<f64>,
    degrees_of_freedom: f64,
}

/// Huber's regression by iterated weights.
fn robust(design: &DMatrix<f64>, values: &DVector<f64>) -> Option<Fit> {
    let (count, columns) = (design.nrows() as f64, design.ncols() as f64);
    // Days count from their middle for the arithmetic, and from the epoch again in what is returned.
    let middle = design.column(1).mean();
    let mut centred = design.clone();
    centred.column_mut(1).add_scalar_mut(-middle);
    let mut weights = DVector::from_element(values.len(), 1.0);
    let mut coefficients = DVector::zeros(design.ncols());
    let mut residuals = values.clone();
    let mut scale = 0.0;
    for _ in 0..50 {
        let weighted = DMatrix::from_fn(centred.nrows(), centred.ncols(), |at, column| {
            centred[(at, column)] * weights[at]
        });
        let next = (centred.transpose() * &weighted).cholesky()?.solve(&(weighted.transpose() * values));
        let moved = (&next - &coefficients).amax();
        coefficients = next;
        residuals = values - &centred * &coefficients;
        let sizes: Vec<f64> = residuals.iter().map(|residual| residual.abs()).collect();
        scale = median(&sizes)? / 0.6745;
        if scale <= 1e-12 || moved < 1e-12 {
            break;
        }
        weights = residuals.map(|residual| (HUBER * scale / residual.abs()).min(1.0));
    }
    let held: Vec<f64> =
        residuals.iter().map(|residual| residual.clamp(-HUBER * scale, HUBER * scale)).collect();
    let inside = residuals.iter().filter(|residual| residual.abs() <= HUBER * scale).count() as f64 / count;
    // Huber's correction for the number of parameters.
    let correction = 1.0 + columns / count * (1.0 - inside) / inside.max(f64::MIN_POSITIVE);
    let squares: f64 = held.iter().map(|residual| residual * residual).sum();
    let time = correlation_time(&held);
    let freedom = (count / time - columns).max(1.0);
    let variance =
        correction.powi(2) * squares / (count - columns).max(1.0) / inside.max(f64::MIN_POSITIVE).powi(2)
            * time;
    let mut covariance = (centred.transpose() * &centred).cholesky()?.inverse() * variance;
    // a + b·(day − middle) as (a − b·middle) + b·day.
    let mut back = DMatrix::identity(design.ncols(), design.ncols());
    back[(0, 1)] = -middle;
    coefficients = &back * coefficients;
    covariance = &back * covariance * back.transpose();
    Some(Fit { coefficients, covariance, degrees_of_freedom: freedom })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Noise, autoregressive};
    use proptest::prelude::*;

    /// The first of January 2026, a Thursday.
    const START: f64 = 20_454.0 * DAY;
    const WEEK: [f64; 7] = [1.1, 1.0, 0.8, 0.7, 1.15, 1.2, 1.05];

    fn exactly(limit: f64) -> Estimate {
        Estimate { value: limit, low: limit, high: limit }
    }

    /// Days of traffic that grows, with a week and noise.
    fn days(count: usize, per_month: f64, deviation: f64, phi: f64, noise: &mut Noise) -> Vec<Traffic> {
        let per_day = per_month.ln_1p() / MONTH;
        let wobble = autoregressive(noise, count, phi);
        let day = |day: usize| {
            let at = START + (day as f64 + 0.5) * DAY;
            let rate = 100.0 * (per_day * day as f64 + deviation * wobble[day]).exp() * WEEK[weekday(at)];
            Traffic { at, rate }
        };
        (0..count).map(day).collect()
    }

    /// The day on which the peak of the busiest weekday reaches the limit.
    fn truth(per_month: f64, limit: f64) -> f64 {
        START + (0.5 + (limit / 120.0).ln() / (per_month.ln_1p() / MONTH)) * DAY
    }

    #[test]
    fn known_growth_gives_its_date() {
        let traffic = days(60, 0.05, 0.0, 0.0, &mut Noise::new(1));
        let trend = Trend::of(&traffic).unwrap();
        assert!((trend.per_month - 0.05).abs() < 1e-9, "{trend:?}");
        assert!((trend.weekly_peak.unwrap() - 0.2 / 0.98).abs() < 0.06, "{:?}", trend.weekly_peak);
        let found = trend.exhaustion(exactly(240.0), START + 60.0 * DAY);
        assert!((found.date.unwrap() - truth(0.05, 240.0)).abs() < DAY * 0.01, "{found:?}");
        let within = found.low.unwrap()..=found.high.unwrap();
        assert!(within.contains(&found.date.unwrap()));
    }

    #[test]
    fn intervals_hold_the_truth() {
        const RUNS: u64 = 400;
        for (count, per_month, phi) in [(60, 0.06, 0.0), (120, 0.04, 0.5), (365, 0.03, 0.6)] {
            let (mut dates, mut rates) = (0, 0);
            for seed in 0..RUNS {
                let traffic = days(count, per_month, 0.06, phi, &mut Noise::new(seed));
                let trend = Trend::of(&traffic).unwrap();
                rates += i32::from(trend.low <= per_month && per_month <= trend.high);
                let found = trend.exhaustion(exactly(300.0), START + count as f64 * DAY);
                let truth = truth(per_month, 300.0);
                dates += i32::from(
                    found.low.is_some_and(|low| low <= truth) && found.high.is_none_or(|high| truth <= high),
                );
            }
            for (what, held) in [("date", dates), ("growth", rates)] {
                let held = f64::from(held) / RUNS as f64;
                assert!((0.84..=0.97).contains(&held), "{what}, {count} days, phi {phi}: {held}");
            }
        }
    }

    #[test]
    fn wild_days_hardly_move_it() {
        let mut traffic = days(90, 0.05, 0.02, 0.0, &mut Noise::new(8));
        traffic[10].rate = 1.0;
        traffic[70].rate *= 6.0;
        traffic[71].rate *= 5.0;
        let trend = Trend::of(&traffic).unwrap();
        assert!((trend.per_month - 0.05).abs() < 0.01, "{trend:?}");
    }

    #[test]
    fn hours_count_by_the_busiest_of_each_day() {
        let per_day = 0.04_f64.ln_1p() / MONTH;
        let hour = |hour: u32| {
            let at = START + f64::from(hour) * 3600.0;
            let daily = 1.0 + 0.5 * (f64::from(hour % 24) / 24.0 * std::f64::consts::TAU).sin();
            Traffic { at, rate: 100.0 * (per_day * (at - START) / DAY).exp() * daily * WEEK[weekday(at)] }
        };
        // The last day has just begun: its night is not its peak.
        let traffic: Vec<Traffic> = (0..24 * 60 + 5).map(hour).collect();
        let trend = Trend::of(&traffic).unwrap();
        assert_eq!(trend.values, 60);
        assert!((trend.per_month - 0.04).abs() < 0.001, "{trend:?}");
        // The peak of the busiest weekday.
        let expected = 180.0 * (per_day * 60.0).exp();
        assert!((trend.peak(START + 60.0 * DAY) / expected - 1.0).abs() < 0.02);
    }

    #[test]
    fn months_have_no_weekdays() {
        let month = |month: u32| Traffic {
            at: START + f64::from(month) * MONTH * DAY,
            rate: 100.0 * 1.03_f64.powi(month as i32),
        };
        let trend = Trend::of(&(0..12).map(month).collect::<Vec<_>>()).unwrap();
        assert_eq!((trend.values, trend.weekly_peak), (12, None));
        assert!((trend.per_month - 0.03).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_carry_a_trend_is_refused() {
        let some = |count| Trend::of(&days(count, 0.05, 0.01, 0.0, &mut Noise::new(1)));
        assert_eq!(some(0).unwrap_err(), NoTrend::Few { values: 0 });
        assert_eq!(some(5).unwrap_err(), NoTrend::Few { values: 5 });
        assert_eq!(some(20).unwrap_err(), NoTrend::Short { days: 19.0 });
        some(21).unwrap();
    }

    #[test]
    fn what_does_not_grow_is_not_exhausted() {
        let now = START + 60.0 * DAY;
        let shrinking = Trend::of(&days(60, -0.05, 0.01, 0.0, &mut Noise::new(1))).unwrap();
        let found = shrinking.exhaustion(exactly(500.0), now);
        assert_eq!((found.date, found.low, found.high), (None, None, None));
        // Nothing is certain of what hardly moves: it may be soon, it may be never.
        let flat = Trend::of(&days(60, 0.002, 0.08, 0.0, &mut Noise::new(2))).unwrap();
        let found = flat.exhaustion(exactly(130.0), now);
        assert!(found.low.is_some() && found.high.is_none(), "{found:?}");
    }

    #[test]
    fn a_limit_that_is_reached_is_reached_now() {
        let trend = Trend::of(&days(60, 0.05, 0.01, 0.0, &mut Noise::new(1))).unwrap();
        let now = START + 60.0 * DAY;
        let found = trend.exhaustion(exactly(50.0), now);
        assert_eq!((found.date, found.low), (Some(now), Some(now)));
        assert!(found.is_now(now));
    }

    #[test]
    fn given_growth_needs_no_data() {
        let growth: GrowthRate = "5%/month".parse().unwrap();
        let limit = Estimate { value: 200.0, low: 180.0, high: 222.0 };
        let found = exhaustion(100.0, growth, limit, START);
        let months = |limit: f64| START + (limit / 100.0_f64).ln() / 1.05_f64.ln() * MONTH * DAY;
        for (found, limit) in [(found.low, 180.1), (found.date, 200.0), (found.high, 222.1)] {
            assert!((found.unwrap() - months(limit)).abs() < DAY, "{limit}");
        }
        assert_eq!(exhaustion(100.0, "-1%/week".parse().unwrap(), limit, START).date, None);
        assert_eq!(
            exhaustion(100.0, "1%/year".parse().unwrap(), limit, START).date,
            None,
            "not within five years"
        );
    }

    #[test]
    fn growth_is_read_and_written() {
        for (text, per_month) in
            [("5%/month", 0.05), ("0%/day", 0.0), ("12.682503013%/year", 0.01), (" 1.5 % / week ", 0.066_89)]
        {
            let read: GrowthRate = text.parse().unwrap();
            assert!((read.per_month() - per_month).abs() < 1e-4, "{text}: {}", read.per_month());
        }
        for text in [
            "5",
            "5%",
            "5/month",
            "%/month",
            "x%/month",
            "5%/fortnight",
            "-100%/year",
            "NaN%/day",
            "1e9%/day",
        ] {
            assert!(text.parse::<GrowthRate>().is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn twice_the_traffic_and_the_limit_is_the_same_date(seed in 0..500_u64, factor in 0.1..50.0_f64) {
            let traffic = days(50, 0.05, 0.05, 0.3, &mut Noise::new(seed));
            let scaled: Vec<_> = traffic.iter().map(|one| Traffic { rate: one.rate * factor, ..*one }).collect();
            let now = START + 50.0 * DAY;
            let dates = |traffic: &[Traffic], limit: f64| {
                let found = Trend::of(traffic).unwrap().exhaustion(exactly(limit), now);
                [found.low, found.date, found.high]
            };
            for (one, other) in dates(&traffic, 200.0).into_iter().zip(dates(&scaled, 200.0 * factor)) {
                prop_assert_eq!(one.is_some(), other.is_some());
                prop_assert!((one.unwrap_or(0.0) - other.unwrap_or(0.0)).abs() < 600.0);
            }
        }

        #[test]
        fn no_traffic_panics(
            values in proptest::collection::vec((prop_oneof![0.0..2e9_f64, Just(f64::NAN), -1e12..1e12_f64], prop_oneof![0.0..1e6_f64, Just(-1.0), Just(f64::INFINITY)]), 0..200),
        ) {
            let traffic: Vec<_> = values.iter().map(|(at, rate)| Traffic { at: *at, rate: *rate }).collect();
            if let Ok(trend) = Trend::of(&traffic) {
                trend.exhaustion(exactly(100.0), START);
            }
        }
    }
}
