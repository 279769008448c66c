//! Medians, ranks and autocorrelation: what the others are made of.

/// Makes the median absolute deviation of normal values their standard deviation: 1/Φ⁻¹(3/4).
pub(crate) const MAD_TO_DEVIATION: f64 = 1.482_602_218_505_602;

/// The median of finite values, which are put in some order; `None` of nothing. Linear time.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let (below, middle, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
    let upper = *middle;
    if count % 2 == 1 {
        return Some(upper);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Halves first: the sum of two finite numbers may not be finite.
    Some(lower / 2.0 + upper / 2.0)
}

/// The quantile `share` (0 to 1) of finite values, which are put in some order: the one that this share is below.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let index = ((last as f64 * share).round() as usize).min(last);
    Some(*values.select_nth_unstable_by(index, f64::total_cmp).1)
}

/// Ranks from 1; equal values share the mean of theirs. What is not finite has none and stays `NaN`.
pub(crate) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).filter(|index| values[*index].is_finite()).collect();
    order.sort_by(|one, other| values[*one].total_cmp(&values[*other]));
    let mut ranks = vec![f64::NAN; values.len()];
    let mut before = 0;
    for same in order.chunk_by(|one, other| values[*one] == values[*other]) {
        let rank = before as f64 + (same.len() as f64 + 1.0) / 2.0;
        same.iter().for_each(|index| ranks[*index] = rank);
        before += same.len();
    }
    ranks
}

/// The autocorrelation of values at lags 1 to `most`, over the pairs without a gap; 0 for constants.
///
/// r(k) = (n / n_k) Σ (x_t - m)(x_{t+k} - m) / Σ (x_t - m)², with n values and n_k pairs.
pub(crate) fn autocorrelation(values: &[f64], most: usize) -> Vec<f64> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let count = finite().count() as f64;
    let mean = finite().sum::<f64>() / count;
    let all: f64 = finite().map(|value| (value - mean).powi(2)).sum();
    let at = |lag: usize| {
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (one, other) in values.iter().zip(values.iter().skip(lag)) {
            let product = (one - mean) * (other - mean);
            if product.is_finite() {
                sum += product;
                pairs += 1.0;
            }
        }
        let unbiased = if pairs > 0.0 { sum / all * count / pairs } else { 0.0 };
        if unbiased.is_finite() { unbiased.clamp(-1.0, 1.0) } else { 0.0 }
    };
    (1..=most).map(at).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn medians_of_even_and_odd_numbers() {
        for (values, expected) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![3.0, 1.0], Some(2.0)),
            (vec![9.0, 1.0, 5.0], Some(5.0)),
            (vec![f64::MAX, f64::MAX], Some(f64::MAX)),
        ] {
            assert_eq!(median(&mut values.clone()), expected, "{values:?}");
        }
    }

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(ranks(&[5.0, 1.0, 5.0, 0.0]), [3.5, 2.0, 3.5, 1.0]);
        let with_gap = ranks(&[2.0, f64::NAN, 1.0]);
        assert!(with_gap[1].is_nan() && with_gap[0] == 2.0 && with_gap[2] == 1.0);
    }

    #[test]
    fn autocorrelation_of_what_alternates_and_of_what_stays() {
        let values: Vec<f64> = (0..100).map(|n| if n % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let found = autocorrelation(&values, 2);
        assert!((found[0] + 1.0).abs() < 1e-9 && (found[1] - 1.0).abs() < 1e-9, "{found:?}");
        assert_eq!(autocorrelation(&[4.0; 9], 3), [0.0; 3]);
        assert_eq!(autocorrelation(&[], 2), [0.0; 2]);
    }

    proptest! {
        #[test]
        fn ranks_add_up_whatever_the_ties(values in prop::collection::vec(0_u8..9, 0..60)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let count = values.len() as f64;
            prop_assert_eq!(ranks(&values).iter().sum::<f64>(), count * (count + 1.0) / 2.0);
        }
    }
}
