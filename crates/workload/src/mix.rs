use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Which scenario each iteration is: a repeating order whose counts match the weights within one.
///
/// After any number n of iterations, scenario i has been drawn between w_i·n - 1 and w_i·n + 1
/// times. Each draw has a window in which it must come, as in Pfair scheduling (Baruah, Cohen,
/// Plaxton, Varvel, "Proportionate progress", Algorithmica 1996): the j-th draw of scenario i must
/// fall in [floor(j / w_i), ceil((j + 1) / w_i)). Taking the earliest deadline first among the open
/// windows meets them all; the seed decides ties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    order: Vec<u16>,
}

/// Weights that make no mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// Nothing could ever be drawn.
    #[error("the weights are all zero")]
    AllZero,
    /// The order would be too long to keep.
    #[error("the weights, divided by their common factor, add up to more than {limit}")]
    TooFine {
        /// The longest order kept.
        limit: u64,
    },
}

/// The longest order kept, in draws.
const LONGEST: u64 = 100_000;

impl Mix {
    /// The order for these weights.
    ///
    /// # Errors
    /// When all weights are zero, or their ratio is too fine.
    pub fn new(weights: &[u32], seed: u64) -> Result<Self, MixError> {
        let divisor = weights.iter().copied().fold(0, gcd);
        if divisor == 0 {
            return Err(MixError::AllZero);
        }
        let weights: Vec<u64> = weights.iter().map(|weight| u64::from(weight / divisor)).collect();
        let total: u64 = weights.iter().sum();
        if total > LONGEST || weights.len() > usize::from(u16::MAX) {
            return Err(MixError::TooFine { limit: LONGEST });
        }
        let mut rank: Vec<usize> = (0..weights.len()).collect();
        rank.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut drawn = vec![0_u64; weights.len()];
        let order = (0..total)
            .map(|slot| {
                let open =
                    (0..weights.len()).filter(|&i| weights[i] > 0 && drawn[i] * total / weights[i] <= slot);
                // Some window is always open: the weights fill every slot exactly once.
                let next = open
                    .min_by_key(|&i| (((drawn[i] + 1) * total).div_ceil(weights[i]), rank[i]))
                    .unwrap_or(0);
                drawn[next] += 1;
                next as u16
            })
            .collect();
        Ok(Self { order })
    }

    /// After how many iterations the order repeats.
    pub fn period(&self) -> u64 {
        self.order.len() as u64
    }

    /// The scenario of iteration `n`.
    pub fn scenario(&self, n: u64) -> usize {
        usize::from(self.order[(n % self.order.len() as u64) as usize])
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weights_that_make_no_mix_are_refused() {
        assert_eq!(Mix::new(&[0, 0], 1), Err(MixError::AllZero));
        assert_eq!(Mix::new(&[], 1), Err(MixError::AllZero));
        assert_eq!(Mix::new(&[1, 4_000_000_000], 1), Err(MixError::TooFine { limit: LONGEST }));
        assert!(Mix::new(&[4_000_000_000, 4_000_000_000], 1).is_ok());
    }

    #[test]
    fn a_zero_weight_is_never_drawn() {
        let mix = Mix::new(&[3, 0, 1], 5).unwrap();
        let drawn: Vec<_> = (0..8).map(|n| mix.scenario(n)).collect();
        assert_eq!(drawn.iter().filter(|i| **i == 0).count(), 6);
        assert_eq!(drawn.iter().filter(|i| **i == 1).count(), 0);
    }

    #[test]
    fn the_seed_changes_the_order() {
        let orders: Vec<_> = (0..20).map(|seed| Mix::new(&[1, 1, 1, 1], seed).unwrap().order).collect();
        assert!(orders.iter().any(|order| order != &orders[0]));
    }

    proptest! {
        #[test]
        fn counts_match_the_weights_within_one_at_every_moment(
            weights in prop::collection::vec(0_u32..60, 1..8),
            seed in any::<u64>(),
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let mix = Mix::new(&weights, seed).unwrap();
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            let mut drawn = vec![0_f64; weights.len()];
            for n in 0..(3 * mix.order.len() as u64) {
                drawn[mix.scenario(n)] += 1.0;
                for (count, weight) in drawn.iter().zip(&weights) {
                    let due = f64::from(*weight) / total * (n + 1) as f64;
                    prop_assert!((count - due).abs() <= 1.0, "{count} drawn, {due} due at {n}");
                }
            }
        }
    }
}
