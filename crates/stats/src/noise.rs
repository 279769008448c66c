//! Series from a seed, the same on every machine.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Point;

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

    /// How many events of a mean of `mean` per second, by counting exponential waits.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        let (mut count, mut waited) = (0.0, -self.uniform().ln());
        while waited < mean {
            count += 1.0;
            waited -= self.uniform().ln();
        }
        count
    }

    /// So many positive values around a median, whose logarithms are normal with this standard deviation.
    pub(crate) fn log_normal(&mut self, count: usize, median: f64, spread: f64) -> Vec<f64> {
        (0..count).map(|_| median * (spread * self.normal()).exp()).collect()
    }

    /// A stationary first-order autoregression of mean zero and variance one.
    pub(crate) fn autoregressive(&mut self, count: usize, phi: f64) -> Vec<f64> {
        let mut value = self.normal();
        let fresh = (1.0 - phi * phi).sqrt();
        let step = |_| {
            let now = value;
            value = phi * value + fresh * self.normal();
            now
        };
        (0..count).map(step).collect()
    }
}

/// The first value at second 0, and so on.
pub(crate) fn each_second(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
    (0_u32..).zip(values).map(|(second, value)| Point { at: f64::from(second), value }).collect()
}
