//! A new session of runs against stored ones of days before.
//!
//! What a machine does differently from one day to the next is no change of the program, and more runs on one day do not
//! average it away: a stored baseline of one session makes every test on runs cry wolf in 36 to 71% at a drift of 1%. So the
//! unit is the session here, and how much sessions differ is what a change is told from.

use crate::two_sample::{Comparison, Moments, ROUNDING, Refusal, Runs, Side, Test, enough_and_positive};

/// The fewest stored sessions whose scatter says anything.
pub(crate) const FEWEST_SESSIONS: usize = 3;

/// What is kept of the runs that were made together, of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Session {
    /// How many runs.
    pub runs: usize,
    /// The geometric mean of their values, in the metric's unit.
    pub level: f64,
    /// By how much they differ: a standard deviation of logarithms, 0.02 is about 2%; 0 of one run.
    pub noise: f64,
}

impl Session {
    /// The summary of the runs of a session.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of no runs, and of values that are not positive and finite; they are told of the candidate.
    pub fn of(runs: Runs<'_>) -> Result<Self, Refusal> {
        enough_and_positive(Side::Candidate, runs.values, 1)?;
        let moments = Moments::of(runs.values.iter().map(|value| value.ln()));
        Ok(Self { runs: moments.count, level: moments.mean.exp(), noise: moments.variance.sqrt() })
    }
}

/// Compares a new session with at least three stored ones of the same machine, as logarithms of their levels.
///
/// The change is that from the mean of the k stored ones, its standard error s √(1 + 1/k) with their standard deviation s, and k - 1 degrees of freedom:
/// the prediction interval of one further value (G. J. Hahn and W. Q. Meeker, *Statistical Intervals*, 1991, section 4.3.1). Where the new
/// session has fewer runs than the stored ones had, what its runs scatter more is added. In the comparison found, runs are
/// sessions ([`Test::Sessions`]), and so are those that [`Comparison::runs_for`] asks for.
///
/// It supposes that sessions scatter about one level. Where they wander (each starts where the last one was), the level before
/// is not where the next one is: see [`change_points`](crate::change_points()) and compare side by side.
///
/// # Errors
///
/// [`Refusal::TooFewSessions`], or [`Refusal::NotPositive`] and [`Refusal::NotFinite`] of a session's level.
pub fn against_sessions(stored: &[Session], new: &Session) -> Result<Comparison, Refusal> {
    if stored.len() < FEWEST_SESSIONS {
        return Err(Refusal::TooFewSessions { found: stored.len() });
    }
    let levels: Vec<f64> = stored.iter().map(|session| session.level).collect();
    enough_and_positive(Side::Base, &levels, 1)?;
    enough_and_positive(Side::Candidate, &[new.level], 1)?;
    let base = Moments::of(levels.iter().map(|level| level.ln()));
    let log_ratio = new.level.ln() - base.mean;
    let (count, runs) = (base.count as f64, (base.count, 1));
    let error = (base.variance * (1.0 + 1.0 / count) + more_scatter(stored, new)).sqrt();
    let freedom = count - 1.0;
    if error <= ROUNDING * (1.0 + base.mean.abs()) {
        return Ok(Comparison::without_scatter(base.mean, log_ratio, runs));
    }
    let levels = (base.mean, new.level.ln());
    Ok(Comparison::by_t(Test::Sessions, levels, error, freedom, base.variance.sqrt(), runs))
}

/// By how much the variance of a new session's mean is larger than that of the stored ones, as its runs are fewer.
fn more_scatter(stored: &[Session], new: &Session) -> f64 {
    let all = || stored.iter().chain([new]).filter(|session| session.runs > 1);
    let degrees: f64 = all().map(|session| (session.runs - 1) as f64).sum();
    let squares: f64 = all().map(|session| (session.runs - 1) as f64 * session.noise.powi(2)).sum();
    let of_mean = |session: &Session| 1.0 / session.runs.max(1) as f64;
    let usual = stored.iter().map(of_mean).sum::<f64>() / stored.len() as f64;
    let more = (of_mean(new) - usual).max(0.0);
    if degrees > 0.0 { more * squares / degrees } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;
    use crate::{Direction, Rule, Verdict, two_sample};

    fn session(level: f64, runs: usize) -> Session {
        Session { runs, level, noise: 0.02 }
    }

    #[test]
    fn a_worked_example() {
        // Logarithms -0.1, 0, 0.1: standard deviation 0.1; 0.3 is 0.3/(0.1 √(4/3)) = 2.598 deviations off, two degrees.
        let stored = [-0.1_f64, 0.0, 0.1].map(|log| session(log.exp(), 5));
        let found = against_sessions(&stored, &session(0.3_f64.exp(), 5)).unwrap();
        assert!((found.error - 0.1 * (4.0_f64 / 3.0).sqrt()).abs() < 1e-12, "{found:?}");
        assert!((found.p - 0.121_677).abs() < 1e-4 && found.test == Test::Sessions, "{found:?}");
        // With one run instead of five, 0.02² × (1 - 1/5) is added.
        let few = against_sessions(&stored, &session(0.3_f64.exp(), 1)).unwrap();
        assert!((few.error.powi(2) - found.error.powi(2) - 0.000_32).abs() < 1e-9, "{few:?}");
    }

    #[test]
    fn bad_input_is_refused_in_its_own_words() {
        let good = session(1.0, 5);
        assert_eq!(against_sessions(&[good; 2], &good), Err(Refusal::TooFewSessions { found: 2 }));
        let nan = session(f64::NAN, 5);
        assert!(matches!(
            against_sessions(&[good, nan, good], &good),
            Err(Refusal::NotFinite { run: 2, .. })
        ));
        let zero = session(0.0, 5);
        assert!(matches!(against_sessions(&[good; 3], &zero), Err(Refusal::NotPositive { .. })));
        let none = Runs { unit: "seconds", values: &[] };
        assert!(matches!(Session::of(none), Err(Refusal::TooFewRuns { found: 0, .. })));
        let equal = against_sessions(&[good; 3], &good).unwrap();
        assert_eq!((equal.change, equal.p), (0.0, 1.0));
        // Three equal ones do not make the fourth impossible.
        assert_eq!(against_sessions(&[good; 3], &session(1.1, 5)).unwrap().p, 0.5);
    }

    /// A session whose level is off by `drift`, with runs of 2% noise.
    fn made(noise: &mut Noise, drift: f64, runs: usize) -> Vec<f64> {
        let level = 10.0 * (drift * noise.normal()).exp();
        noise.log_normal(runs, level, 0.02)
    }

    /// Percent of p below 5%, and of verdicts of a regression, without any change.
    fn cries_wolf(drift: f64, stored: usize, runs: usize, sets: u64) -> (f64, f64) {
        let (mut low, mut called) = (0, 0);
        for seed in 0..sets {
            let mut noise = Noise::new(seed);
            let mut one = || Session::of(Runs { unit: "", values: &made(&mut noise, drift, runs) }).unwrap();
            let past: Vec<Session> = (0..stored).map(|_| one()).collect();
            let found = against_sessions(&past, &one()).unwrap();
            low += u32::from(found.p < 0.05);
            let verdict = Rule::default().judge(&found, Direction::LowerIsBetter, found.p, 1);
            called += u32::from(verdict == Verdict::Regression);
        }
        (100.0 * f64::from(low) / sets as f64, 100.0 * f64::from(called) / sets as f64)
    }

    #[test]
    fn sessions_that_drift_are_no_change() {
        for (stored, runs) in [(10, 5), (10, 30), (5, 10)] {
            let (low, called) = cries_wolf(0.01, stored, runs, 4000);
            // 0.34% is one standard error of the simulation.
            assert!((4.0..=5.7).contains(&low), "{stored} {runs}: {low}%");
            assert!(called <= 2.0, "{stored} {runs}: {called}%");
        }
        // What runs alone make of it: why this is here.
        let alone = (0..500).filter(|seed| {
            let mut noise = Noise::new(*seed);
            let (base, new) = (made(&mut noise, 0.01, 30), made(&mut noise, 0.01, 30));
            let runs = |values| Runs { unit: "", values };
            two_sample(runs(&base), runs(&new)).unwrap().p < 0.05
        });
        assert!(alone.count() > 200);
    }

    #[test]
    fn a_change_larger_than_the_drift_is_found() {
        let is_found = |seed: &u64| {
            let mut noise = Noise::new(*seed);
            let mut one = |factor: f64| {
                let values: Vec<f64> = made(&mut noise, 0.01, 5).iter().map(|value| factor * value).collect();
                Session::of(Runs { unit: "", values: &values }).unwrap()
            };
            let past: Vec<Session> = (0..10).map(|_| one(1.0)).collect();
            let found = against_sessions(&past, &one(1.08)).unwrap();
            Rule::default().judge(&found, Direction::LowerIsBetter, found.p, 1) == Verdict::Regression
        };
        let found = (0..500).filter(is_found).count();
        assert!(found >= 475, "{found} of 500");
    }

    /// `cargo test -p plimsoll-stats -- --ignored --nocapture table_of_sessions`.
    #[test]
    #[ignore = "a minute of simulation"]
    fn table_of_sessions() {
        for (drift, stored, runs) in
            [(0.01, 3, 5), (0.01, 5, 5), (0.01, 10, 5), (0.01, 10, 30), (0.03, 10, 10), (0.0, 10, 10)]
        {
            println!("| {drift} | {stored} | {runs} | {:.2?} |", cries_wolf(drift, stored, runs, 40_000));
        }
    }
}
