use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::points::{Point, thinned};
use crate::ranks::{autocorrelation, median, ranks};
use crate::trend::{MOST, trend_of};

/// The most that one series is moved against the other, in values.
pub const MOST_LAG: usize = 10;
/// Fewer independent values than that say nothing of a correlation.
const LEAST_EFFECTIVE: f64 = 8.0;
/// How likely any false one among all that are looked at may be.
const LEVEL: f64 = 0.01;
/// What explains less than a tenth of the ranks' variance is not worth a word.
const LEAST: f64 = 0.316;

/// Two series that go together. It is not said that one is the cause: both may follow a third.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Which pair.
    pub pair: usize,
    /// By how many values the first goes ahead of the second; negative where it follows.
    pub lag: i64,
    /// Spearman's coefficient, -1 to 1.
    pub rho: f64,
    /// How many independent values this is worth.
    pub effective: f64,
    /// How likely a correlation at least as strong would be anywhere among all pairs and lags if nothing went
    /// together; 0 to 1, after Holm.
    pub p: f64,
}

/// The pairs of series that go together, each at the lag (up to 10 values either way) where it is surest; those
/// that do not, or of which too little is known, are not there.
///
/// Both series of a pair have their values at the same places one apart; one that is not finite is a gap. Their
/// trend is taken off (the line of Theil and Sen), what remains is ranked (Spearman), and the number of values is corrected for autocorrelation,
/// 1/N* = 1/N + 2/N Σ (N - j)/N r_x(j) r_y(j) over j up to N/5, after B. J. Pyper and R. M. Peterman, *Comparison of methods to account for
/// autocorrelation in correlation analyses of fish data*, Can. J. Fish. Aquat. Sci. 55, 1998, eq. 1, where it lowers it. t with N* - 2 degrees of
/// freedom gives p, two-sided, and S. Holm, *A simple sequentially rejective multiple test procedure*, Scand. J. Statist. 6, 1979, corrects it for the number of
/// pairs and lags. Told are those with p below 1% and a coefficient of at least 0.316, a tenth of the variance.
pub fn correlations(pairs: &[(&[f64], &[f64])]) -> Vec<Correlation> {
    let mut all: Vec<Correlation> = Vec::new();
    for (pair, (one, other)) in pairs.iter().enumerate() {
        let (one, other) = (without_trend(one), without_trend(other));
        let most = MOST_LAG as i64;
        all.extend((-most..=most).filter_map(|lag| correlation(pair, &one, &other, lag)));
    }
    holm(&mut all, pairs.len() * (2 * MOST_LAG + 1));
    let is_worth_a_word = |found: &&Correlation| found.p < LEVEL && found.rho.abs() >= LEAST;
    let surest = |pair| {
        let of_it = all.iter().filter(is_worth_a_word).filter(|found| found.pair == pair);
        // Equally sure ones: the strongest, then the nearest.
        of_it.min_by(|one, other| {
            let by_strength = other.rho.abs().total_cmp(&one.rho.abs());
            one.p.total_cmp(&other.p).then(by_strength).then(one.lag.abs().cmp(&other.lag.abs()))
        })
    };
    (0..pairs.len()).filter_map(surest).copied().collect()
}

/// Puts into each what it is after Holm among `tests` of them: those that could not be made have p = 1.
fn holm(all: &mut [Correlation], tests: usize) {
    all.sort_by(|one, other| one.p.total_cmp(&other.p));
    let mut largest = 0.0_f64;
    for (index, found) in all.iter_mut().enumerate() {
        largest = largest.max(found.p * (tests - index) as f64).min(1.0);
        found.p = largest;
    }
}

/// The correlation of `one` with what `other` is `lag` values later, over those that have both.
fn correlation(pair: usize, one: &[f64], other: &[f64], lag: i64) -> Option<Correlation> {
    let shift = lag.unsigned_abs() as usize;
    let (ahead, behind) = if lag >= 0 { (one, other.get(shift..)?) } else { (one.get(shift..)?, other) };
    let both: (Vec<f64>, Vec<f64>) = ahead
        .iter()
        .zip(behind)
        .map(|(x, y)| if x.is_finite() && y.is_finite() { (*x, *y) } else { (f64::NAN, f64::NAN) })
        .unzip();
    let (x, y) = (ranks(&both.0), ranks(&both.1));
    let count = x.iter().filter(|rank| rank.is_finite()).count() as f64;
    let rho = pearson(&x, &y)?;
    let effective = effective(&x, &y, count);
    if effective < LEAST_EFFECTIVE {
        return None;
    }
    let freedom = effective - 2.0;
    // At exactly 1 the quotient has no bound, nor has t.
    let t = rho.abs() * (freedom / (1.0 - rho * rho).max(f64::EPSILON)).sqrt();
    let p = 2.0 * StudentsT::new(0.0, 1.0, freedom).ok()?.sf(t);
    Some(Correlation { pair, lag, rho, effective, p })
}

/// Pearson's coefficient of ranks, which share their gaps; `None` where one of them is constant.
fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let pairs = || x.iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite());
    let count = pairs().count() as f64;
    let (mean_x, mean_y) =
        (pairs().map(|(x, _)| x).sum::<f64>() / count, pairs().map(|(_, y)| y).sum::<f64>() / count);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs() {
        let (x, y) = (x - mean_x, y - mean_y);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    let rho = xy / (xx * yy).sqrt();
    rho.is_finite().then(|| rho.clamp(-1.0, 1.0))
}

fn effective(x: &[f64], y: &[f64], count: f64) -> f64 {
    let most = x.len() / 5;
    let both = autocorrelation(x, most).into_iter().zip(autocorrelation(y, most));
    let product =
        |(index, (x, y)): (usize, (f64, f64))| (count - (index + 1) as f64).max(0.0) / count * x * y;
    let sum: f64 = both.enumerate().map(product).sum();
    // What lowers the variance is left aside: it is as a rule an accident of the estimate.
    count / (1.0 + 2.0 * sum).max(1.0)
}

/// What remains without the line of Theil and Sen; of a series too short for one, without its median.
fn without_trend(values: &[f64]) -> Vec<f64> {
    let places = (0_u32..).map(f64::from);
    let points: Vec<Point> = places
        .zip(values)
        .filter(|(_, value)| value.is_finite())
        .map(|(at, value)| Point { at, value: *value })
        .collect();
    let thin = thinned(&points, MOST);
    let slope = trend_of(&thin).map_or(0.0, |trend| trend.slope);
    let mut rest: Vec<f64> =
        (0_u32..).zip(values).map(|(place, value)| value - slope * f64::from(place)).collect();
    let mut finite: Vec<f64> = rest.iter().copied().filter(|value| value.is_finite()).collect();
    let middle = median(&mut finite).unwrap_or_default();
    // Rounding must not make ranks where all are equal.
    let least = finite.iter().fold(0.0_f64, |most, value| most.max(value.abs())) * 1e-12;
    rest.iter_mut().for_each(|value| {
        *value -= middle;
        if value.abs() <= least {
            *value = 0.0;
        }
    });
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    /// A series and one that follows it `lag` values later, with so much noise of its own.
    fn followed(seed: u64, lag: usize, own: f64) -> (Vec<f64>, Vec<f64>) {
        let mut noise = Noise::new(seed);
        let leading = noise.autoregressive(400 + lag, 0.5);
        let following = leading.iter().take(400).map(|value| value + own * noise.normal()).collect();
        (leading[lag..].to_vec(), following)
    }

    #[test]
    fn what_follows_is_found_at_its_lag() {
        for lag in [0, 3, 10] {
            // The following one is, now, what the leading one was `lag` values ago.
            let (leading, following) = followed(1, lag, 0.5);
            let found = correlations(&[(&leading, &following)]);
            assert_eq!((found.len(), found[0].lag), (1, lag as i64), "{found:?}");
            assert!(found[0].rho > 0.7 && found[0].p < 0.001, "{found:?}");
            let back = correlations(&[(&following, &leading)]);
            assert_eq!(back[0].lag, -(lag as i64));
        }
    }

    #[test]
    fn a_common_trend_is_no_correlation() {
        let mut noise = Noise::new(2);
        let mut rising = || (0..300).map(|n| f64::from(n) + noise.normal()).collect::<Vec<_>>();
        let (one, other) = (rising(), rising());
        assert_eq!(correlations(&[(&one, &other)]), []);
    }

    #[test]
    fn constants_gaps_and_short_series_say_nothing() {
        let (leading, following) = followed(3, 0, 0.1);
        let line: Vec<f64> = (0..400).map(|n| 0.1 * f64::from(n)).collect();
        assert_eq!(correlations(&[(&[5.0; 400], &following), (&line, &following)]), []);
        assert_eq!(
            correlations(&[(&[f64::NAN; 400], &following), (&[], &[]), (&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0])]),
            []
        );
        assert_eq!(correlations(&[]), []);
        let mut gaps = leading;
        gaps.iter_mut().step_by(3).for_each(|value| *value = f64::NAN);
        assert_eq!(correlations(&[(&gaps, &following)]).len(), 1, "what is there suffices");
    }

    #[test]
    fn what_goes_the_other_way_is_negative() {
        let (leading, following) = followed(4, 2, 0.3);
        let against: Vec<f64> = following.iter().map(|value| -value).collect();
        let found = correlations(&[(&leading, &against)]);
        assert!(found[0].rho < -0.7 && found[0].lag == 2, "{found:?}");
    }

    /// Percent of sets of five unrelated pairs in which anything is told.
    fn told(phi: f64, count: usize, sets: u64) -> f64 {
        let is_told = |seed: &u64| {
            let mut noise = Noise::new(*seed);
            let series: Vec<Vec<f64>> = (0..6).map(|_| noise.autoregressive(count, phi)).collect();
            let pairs: Vec<(&[f64], &[f64])> =
                series[1..].iter().map(|one| (&one[..], &series[0][..])).collect();
            !correlations(&pairs).is_empty()
        };
        100.0 * (0..sets).filter(is_told).count() as f64 / sets as f64
    }

    /// Percent of pairs found whose correlation is as strong as `own` noise leaves it.
    fn found(own: f64, pairs: u64) -> f64 {
        let is_found = |seed: &u64| {
            let (leading, following) = followed(*seed, 3, own);
            correlations(&[(&leading, &following)]).iter().any(|found| (found.lag - 3).abs() <= 1)
        };
        100.0 * (0..pairs).filter(is_found).count() as f64 / pairs as f64
    }

    #[test]
    fn unrelated_series_are_hardly_ever_told() {
        for (phi, most) in [(0.0, 2.0), (0.5, 2.0), (0.9, 3.0)] {
            let told = told(phi, 300, 60);
            assert!(told <= most, "{phi}: {told}%");
        }
    }

    #[test]
    fn related_series_are_found() {
        assert!(found(1.0, 30) >= 95.0);
    }

    /// The table of the documentation: `cargo test -p plimsoll-stats -- --ignored --nocapture table_of_correlations`.
    #[test]
    #[ignore = "a minute of simulation"]
    fn table_of_correlations() {
        for phi in [0.0, 0.5, 0.9, 0.98] {
            println!("| unrelated, {phi} | {:.1} | {:.1} |", told(phi, 120, 500), told(phi, 300, 500));
        }
        for own in [0.5, 1.0, 1.5, 2.0] {
            println!("| related, {own} | {:.1} |", found(own, 300));
        }
    }
}
