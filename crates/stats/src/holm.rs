/// The p values of several tests of one comparison, corrected so that the smallest of all cries wolf no more often than one alone.
///
/// The k-th smallest of m is multiplied by m - k + 1 and is at least the one before it, at most 1: S. Holm, *A simple sequentially
/// rejective multiple test procedure*, Scandinavian J. of Statistics 6, 1979, section 3, whatever the dependence of the
/// tests. In the order they were given in. A p that is no number says nothing: it stays so, and counts as a test.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).filter(|index| !p_values[*index].is_nan()).collect();
    order.sort_by(|one, other| p_values[*one].total_cmp(&p_values[*other]));
    let mut adjusted = vec![f64::NAN; p_values.len()];
    let (mut left, mut before) = (p_values.len() as f64, 0.0_f64);
    for index in order {
        before = before.max((left * p_values[index]).min(1.0));
        adjusted[index] = before;
        left -= 1.0;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_smallest_bears_all_tests_and_none_overtakes() {
        for (given, expected) in [
            (&[][..], &[][..]),
            (&[0.03], &[0.03]),
            // 0.01 × 4, 0.02 × 3, 0.03 × 2, and 0.04 × 1 is not below the one before.
            (&[0.01, 0.04, 0.03, 0.02], &[0.04, 0.06, 0.06, 0.06]),
            (&[0.5, 0.6], &[1.0, 1.0]),
            (&[0.0, 1.0], &[0.0, 1.0]),
        ] {
            let found = holm(given);
            assert_eq!(found.len(), expected.len());
            for (one, other) in found.iter().zip(expected) {
                assert!((one - other).abs() < 1e-12, "{given:?}: {found:?}");
            }
        }
        let gap = holm(&[0.01, f64::NAN]);
        assert!(gap[0] == 0.02 && gap[1].is_nan(), "{gap:?}");
    }

    proptest! {
        #[test]
        fn none_gets_smaller_and_the_order_stays(values in prop::collection::vec(0.0..=1.0_f64, 1..40)) {
            let found = holm(&values);
            for (index, p) in values.iter().enumerate() {
                prop_assert!(found[index] >= *p && found[index] <= 1.0);
                for (other, q) in values.iter().enumerate() {
                    prop_assert!(p > q || found[index] <= found[other], "{values:?} {found:?}");
                }
            }
        }
    }
}
