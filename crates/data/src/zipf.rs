use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Keys `1..=keys` whose probability is proportional to `1 / key^exponent`.
///
/// Rejection-inversion: Hörmann, Derflinger, "Rejection-inversion to generate variates from monotone
/// discrete distributions", ACM TOMACS 6(3), 1996. Constant time and memory whatever the number of keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Zipf {
    keys: f64,
    exponent: f64,
    /// The integral of the hat at 1.5, less one.
    from: f64,
    /// The integral of the hat at keys + 0.5.
    to: f64,
    /// What is this near below its key is taken without a look.
    near: f64,
}

impl Zipf {
    /// `keys` is at least 1, `exponent` is positive.
    pub(crate) fn new(keys: u64, exponent: f64) -> Self {
        let mut zipf = Self { keys: keys as f64, exponent, from: 0.0, to: 0.0, near: 0.0 };
        zipf.from = zipf.integral(1.5) - 1.0;
        zipf.to = zipf.integral(zipf.keys + 0.5);
        zipf.near = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.hat(2.0));
        zipf
    }

    pub(crate) fn draw(&self, random: &mut ChaCha8Rng) -> u64 {
        loop {
            let area = self.to + random.random::<f64>() * (self.from - self.to);
            let x = self.inverse(area);
            let key = (x + 0.5).floor().clamp(1.0, self.keys);
            if key - x <= self.near || area >= self.integral(key + 0.5) - self.hat(key) {
                return key as u64;
            }
        }
    }

    /// The hat: x^-exponent.
    fn hat(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The integral of the hat from 1 to x: (x^(1-exponent) - 1) / (1 - exponent), or ln x at exponent 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        expm1_over((1.0 - self.exponent) * log) * log
    }

    fn inverse(&self, area: f64) -> f64 {
        // Rounding may lead a little below the pole.
        let t = (area * (1.0 - self.exponent)).max(-1.0);
        (ln1p_over(t) * area).exp()
    }
}

/// (e^x - 1) / x, by its series where the quotient loses its digits.
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0)) }
}

/// ln(1 + x) / x, by its series where the quotient loses its digits.
fn ln1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x * (0.5 - x * (1.0 / 3.0 - x / 4.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn keys_come_as_often_as_the_law_says() {
        for exponent in [0.5, 1.0, 1.2, 3.0] {
            let (zipf, draws) = (Zipf::new(10, exponent), 200_000);
            let mut random = ChaCha8Rng::seed_from_u64(5);
            let mut seen = [0_f64; 10];
            (0..draws).for_each(|_| seen[zipf.draw(&mut random) as usize - 1] += 1.0);
            let total: f64 = (1..=10).map(|key| f64::from(key).powf(-exponent)).sum();
            let chi_squared: f64 = (1..=10)
                .map(|key| {
                    let expected = f64::from(key).powf(-exponent) / total * f64::from(draws);
                    (seen[key as usize - 1] - expected).powi(2) / expected
                })
                .sum();
            // Nine degrees of freedom: once in 100,000 draws of a right law it is above 39.
            assert!(chi_squared < 39.0, "exponent {exponent}: {chi_squared}");
        }
    }

    #[test]
    fn extremes_stay_within() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for (keys, exponent) in [(1, 1.0), (1, 100.0), (1 << 53, 0.001), (1 << 53, 1.0), (2, 100.0)] {
            let zipf = Zipf::new(keys, exponent);
            assert!((0..1000).all(|_| (1..=keys).contains(&zipf.draw(&mut random))), "{keys} {exponent}");
        }
    }
}
