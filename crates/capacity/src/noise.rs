//! Random numbers for tests, the same on every machine.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Normal deviates from a seed.
pub(crate) struct Noise(ChaCha8Rng);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0.random::<f64>().max(f64::MIN_POSITIVE)
    }

    /// Standard normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * self.uniform().ln()).sqrt(), std::f64::consts::TAU * self.uniform());
        radius * angle.cos()
    }
}

/// A stationary first-order autoregression of mean zero and variance one.
pub(crate) fn autoregressive(noise: &mut Noise, count: usize, phi: f64) -> Vec<f64> {
    let mut value = noise.normal();
    let fresh = (1.0 - phi * phi).sqrt();
    (0..count)
        .map(|_| {
            let now = value;
            value = phi * value + fresh * noise.normal();
            now
        })
        .collect()
}
