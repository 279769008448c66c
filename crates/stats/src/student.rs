//! Student's t and the normal distribution, in the forms that comparisons of few runs ask for.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::beta::beta_reg;

/// With so many degrees of freedom Student's t is the normal distribution to five digits.
const AS_NORMAL: f64 = 100_000.0;

/// How likely a t at least as far from 0 is, to both sides: I_x(ν/2, 1/2) with x = ν/(ν + t²).
///
/// `freedom` is positive. What is no number has probability 1: it shows nothing.
pub(crate) fn two_sided(t: f64, freedom: f64) -> f64 {
    if t.is_nan() {
        return 1.0;
    }
    let p = if freedom >= AS_NORMAL {
        2.0 * Normal::standard().sf(t.abs())
    } else {
        beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t))
    };
    p.clamp(0.0, 1.0)
}

/// How likely a t of at least this much is.
pub(crate) fn above(t: f64, freedom: f64) -> f64 {
    let half = two_sided(t, freedom) / 2.0;
    if t >= 0.0 { half } else { 1.0 - half }
}

/// The t that a share `above` (0 to ½) lies above. `freedom` is positive.
pub(crate) fn critical(above: f64, freedom: f64) -> f64 {
    if freedom >= AS_NORMAL {
        return Normal::standard().inverse_cdf(1.0 - above);
    }
    // The parameters are positive, so there is such a distribution.
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |student| student.inverse_cdf(1.0 - above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tables_say() {
        for (share, freedom, expected) in [
            (0.025, 1.0, 12.706_205),
            (0.025, 2.0, 4.302_653),
            (0.025, 4.0, 2.776_445),
            (0.05, 10.0, 1.812_461),
            (0.0005, 8.0, 5.041_305),
            (0.025, 120.0, 1.979_930),
            (0.025, 5_000.0, 1.960_438),
            (0.025, 1e7, 1.959_964),
        ] {
            let found = critical(share, freedom);
            assert!((found - expected).abs() < 2e-5 * expected, "{share} {freedom}: {found} {expected}");
            assert!((above(found, freedom) - share).abs() < 1e-6, "{share} {freedom}");
            assert!((above(-found, freedom) - (1.0 - share)).abs() < 1e-6, "{share} {freedom}");
            assert!((two_sided(-found, freedom) - 2.0 * share).abs() < 2e-6, "{share} {freedom}");
        }
    }

    #[test]
    fn neither_infinity_nor_nothing_breaks_it() {
        assert_eq!(two_sided(f64::INFINITY, 3.0), 0.0);
        assert_eq!(two_sided(0.0, 3.0), 1.0);
        assert_eq!(two_sided(f64::NAN, 3.0), 1.0);
        assert!(critical(0.025, 1.3).is_finite());
    }
}
