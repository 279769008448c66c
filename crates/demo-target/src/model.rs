//! How the target behaves: what it decides for each request, as a pure function of a seed.
//!
//! The n-th request of a run draws the same delay and the same fate whichever worker serves it,
//! so a run with a given seed can be repeated. Nothing here sleeps, locks or looks at a clock.

use std::str::FromStr;
use std::time::Duration;

use plimsoll_units::{Ratio, duration};
use serde::{Deserialize, Serialize};

/// The longest delay one request may be given: a longer one is a typing mistake.
pub const LONGEST_DELAY: Duration = Duration::from_secs(600);
/// The most memory the target agrees to hold, in megabytes (10^6 bytes).
pub const MOST_MEMORY_MB: u64 = 16_384;
/// The largest answer body, in bytes.
pub const LARGEST_BODY: u64 = 16 << 30;

/// More workers or places than any machine can simulate.
pub const MOST_PLACES: u32 = 1_000_000;
/// The most CPU time that one request burns, in microseconds: more would freeze a thread.
pub const MOST_CPU_US: u32 = 1_000_000;

/// How many times as often a value beyond the median comes as one beyond the 99th percentile.
const MEDIAN_BEYOND_P99: f64 = 0.5 / 0.01;

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_841;

/// Everything about the target that can be changed while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// How long a request is worked on, once it has a place.
    pub latency: Latency,
    /// How many requests are worked on at once; `None` is no limit.
    pub capacity: Option<u32>,
    /// How many requests may wait for a place, first come first served; one more is answered 503.
    pub queue: u32,
    /// Which share of the requests is answered 500, from 0 to 1.
    pub error_ratio: f64,
    /// Memory held on purpose, really allocated and touched, in megabytes (10^6 bytes).
    pub memory_mb: u64,
    /// Answers shorter than this are filled up with spaces to this many bytes.
    pub body_bytes: u64,
    /// How many workers work on requests, one each, for as long as the latency says; `None` is no limit.
    pub workers: Option<u32>,
    /// A second limited resource, like database connections.
    pub pool: Option<Pool>,
    /// The share σ of all work that is done one request after the other, from 0 to 1.
    pub contention: f64,
    /// How much κ each pair of requests that are worked on keeps each other from it, from 0 to 1.
    pub coherency: f64,
    /// CPU time that each request really burns, in microseconds.
    pub cpu_us: u32,
    /// Adds and removes replicas, each with `workers`.
    pub autoscale: Option<Autoscale>,
}

/// A resource that requests need for the last part of their work, when their worker is free again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// How many requests it serves at once.
    pub places: u32,
    /// Its part of the work, from 0 to 1; the rest is the workers'.
    pub share: f64,
}

/// How replicas come and go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoscale {
    /// The fewest replicas, at least 1, and how many there are at first.
    pub min: u32,
    /// The most.
    pub max: u32,
    /// How busy the workers should be, above 0 and up to 1.
    pub target_utilisation: f64,
    /// How often it decides, in milliseconds, 10 to 3,600,000.
    pub interval_ms: u32,
    /// How long a new replica takes until it works, in milliseconds, up to 3,600,000.
    pub delay_ms: u32,
}

impl Autoscale {
    pub(crate) fn interval(&self) -> f64 {
        f64::from(self.interval_ms) / 1e3
    }

    pub(crate) fn delay(&self) -> f64 {
        f64::from(self.delay_ms) / 1e3
    }

    fn validate(&self) -> Result<(), ModelError> {
        const LONGEST_MS: u32 = 3_600_000;
        let Self { min, max, target_utilisation: target, interval_ms, delay_ms } = *self;
        if min == 0 || min > max || max > MOST_PLACES {
            return Err(ModelError::Replicas { min, max });
        }
        if !(target > 0.0 && target <= 1.0) {
            return Err(ModelError::TargetUtilisation(target));
        }
        if !(10..=LONGEST_MS).contains(&interval_ms) || delay_ms > LONGEST_MS {
            return Err(ModelError::AutoscaleTimes);
        }
        Ok(())
    }
}

/// What a model can do, in requests per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// At most, at the number of requests worked on at which it does most.
    pub peak: f64,
    /// When more requests wait than there are workers: less than the peak where coherency makes it so.
    pub overloaded: f64,
}

impl Model {
    /// A model that answers at once and limits nothing.
    pub const PLAIN: Self = Self {
        latency: Latency::None,
        capacity: None,
        queue: 10_000,
        error_ratio: 0.0,
        memory_mb: 0,
        body_bytes: 0,
        workers: None,
        pool: None,
        contention: 0.0,
        coherency: 0.0,
        cpu_us: 0,
        autoscale: None,
    };
}

impl Default for Model {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// Why a model cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    #[error("a latency of {0} ms is not within 0 to 600000 ms")]
    Delay(f64),
    #[error("the latency's {high} ms must not be below its {low} ms")]
    Order { low: f64, high: f64 },
    #[error("a {0} latency needs a p50_ms above zero")]
    ZeroMedian(&'static str),
    #[error("{name} {value} is not within 0 to 1")]
    Ratio { name: &'static str, value: f64 },
    #[error("capacity must be at least 1, or null for no limit")]
    NoCapacity,
    #[error("workers must be from 1 to 1000000, or null for no limit")]
    Workers,
    #[error("pool needs from 1 to 1000000 places")]
    PoolPlaces,
    #[error("cpu_us {0} exceeds the limit of 1000000")]
    TooMuchCpu(u32),
    #[error("autoscale needs workers: they are what a replica has")]
    NothingToScale,
    #[error("autoscale's min {min} must be at least 1 and not above its max {max}, which is at most 1000000")]
    Replicas { min: u32, max: u32 },
    #[error("autoscale's target_utilisation {0} is not above 0 and up to 1")]
    TargetUtilisation(f64),
    #[error("autoscale's interval_ms is from 10 to 3600000 and its delay_ms up to 3600000")]
    AutoscaleTimes,
    #[error("memory_mb {0} exceeds the limit of 16384")]
    TooMuchMemory(u64),
    #[error("body_bytes {0} exceeds the limit of 17179869184")]
    TooLargeBody(u64),
    #[error("the system does not give {0} MB of memory")]
    NoMemory(u64),
    #[error("not a model: {0}")]
    Malformed(String),
}

impl Model {
    /// Checks that every value is within its range.
    ///
    /// # Errors
    /// The first value that is not.
    pub fn validate(&self) -> Result<(), ModelError> {
        self.latency.validate()?;
        check_ratio("error_ratio", self.error_ratio)?;
        if self.capacity == Some(0) {
            return Err(ModelError::NoCapacity);
        }
        if self.memory_mb > MOST_MEMORY_MB {
            return Err(ModelError::TooMuchMemory(self.memory_mb));
        }
        if self.body_bytes > LARGEST_BODY {
            return Err(ModelError::TooLargeBody(self.body_bytes));
        }
        if self.workers.is_some_and(|workers| !(1..=MOST_PLACES).contains(&workers)) {
            return Err(ModelError::Workers);
        }
        if let Some(Pool { places, share }) = self.pool {
            check_ratio("pool share", share)?;
            if !(1..=MOST_PLACES).contains(&places) {
                return Err(ModelError::PoolPlaces);
            }
        }
        check_ratio("contention", self.contention)?;
        check_ratio("coherency", self.coherency)?;
        if self.cpu_us > MOST_CPU_US {
            return Err(ModelError::TooMuchCpu(self.cpu_us));
        }
        if let Some(autoscale) = self.autoscale {
            if self.workers.is_none() {
                return Err(ModelError::NothingToScale);
            }
            autoscale.validate()?;
        }
        Ok(())
    }

    /// Whether requests share workers or a pool, rather than only taking their time.
    pub(crate) fn has_floor(&self) -> bool {
        self.workers.is_some() || self.pool.is_some() || self.contention > 0.0 || self.coherency > 0.0
    }

    /// What the model can do with so many replicas (1 without an autoscaler); `None` where it limits
    /// nothing, or has both a capacity and a pool, for which there is no closed form. What the machine
    /// and `cpu_us` allow is not in it.
    ///
    /// With S the mean of the latency, f the pool's share, D = (1 - f) S and m the workers, n requests
    /// worked on are done at X(n) = n / (D (1 + σ (n - 1) + κ n (n - 1))) per second, and the pool does
    /// places / (f S). The peak is the smaller of the pool's and the largest X(n) with n up to m; under
    /// overload n is m.
    pub fn limit(&self, replicas: u32) -> Option<Limit> {
        let mean = self.latency.mean();
        let share = self.pool.map_or(0.0, |pool| pool.share);
        let demand = (1.0 - share) * mean;
        let workers = self.workers.map(|workers| workers.saturating_mul(replicas));
        let most = match (self.capacity, workers) {
            (Some(_), _) if self.pool.is_some() => return None,
            (Some(capacity), Some(workers)) => Some(capacity.min(workers)),
            (capacity, workers) => capacity.or(workers),
        };
        let (sigma, kappa) = (self.contention, self.coherency);
        let done = |n: f64| n / (demand * (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0)));
        let endless = if kappa > 0.0 { 0.0 } else { 1.0 / (demand * sigma) };
        // X rises up to sqrt((1 - σ) / κ) and falls after it; n is whole.
        let best = ((1.0 - sigma) / kappa).sqrt();
        let (peak, overloaded) = match most {
            Some(most) => {
                let most = f64::from(most);
                let around = [best.floor(), best.ceil(), most].map(|n| n.max(1.0).min(most));
                (around.map(done).into_iter().fold(0.0, f64::max), done(most))
            }
            None if kappa > 0.0 => {
                let around = [best.floor(), best.ceil()].map(|n| done(n.max(1.0)));
                (around[0].max(around[1]), endless)
            }
            None => (endless, endless),
        };
        let pool = self.pool.map_or(f64::INFINITY, |pool| f64::from(pool.places) / (share * mean));
        let limit = Limit { peak: peak.min(pool), overloaded: overloaded.min(pool) };
        limit.peak.is_finite().then_some(limit)
    }

    /// This model with the members that a JSON object names; the others stay as they are.
    ///
    /// # Errors
    /// When the text is no JSON object, a member is unknown, or a value is out of its range.
    pub fn changed_by(&self, json: &[u8]) -> Result<Self, ModelError> {
        let malformed = |error: serde_json::Error| ModelError::Malformed(error.to_string());
        let change: serde_json::Map<_, _> = serde_json::from_slice(json).map_err(malformed)?;
        let mut whole = serde_json::to_value(self).map_err(malformed)?;
        if let Some(members) = whole.as_object_mut() {
            members.extend(change);
        }
        let model: Self = serde_json::from_value(whole).map_err(malformed)?;
        model.validate()?;
        Ok(model)
    }

    /// What happens to request number `n`, counted from zero.
    pub fn fate(&self, seed: u64, n: u64) -> Fate {
        let share = |lane| uniform(seed, n, lane);
        Fate {
            delay: self.latency.delay(share),
            fails: self.error_ratio > 0.0 && share(2) < self.error_ratio,
        }
    }
}

/// What the model decides for one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fate {
    /// How long the request is worked on.
    pub delay: Duration,
    /// Whether it is answered 500.
    pub fails: bool,
}

/// How long a request is worked on. All times are in milliseconds, fractions allowed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Latency {
    /// Answers at once, without any sleep.
    #[default]
    None,
    /// Always the same.
    Fixed { ms: f64 },
    /// Anything between two bounds, equally likely.
    Uniform { min_ms: f64, max_ms: f64 },
    /// Lognormal through its median and its 99th percentile, cut off at [`LONGEST_DELAY`].
    Lognormal { p50_ms: f64, p99_ms: f64 },
    /// Pareto, whose tail is heavy, through its median and its 99th percentile, cut off at
    /// [`LONGEST_DELAY`]. With p99 over 50 times the median not even the mean is finite without the cut.
    Pareto { p50_ms: f64, p99_ms: f64 },
    /// Fast as a rule and slow for a share of the requests, from 0 to 1.
    Bimodal { fast_ms: f64, slow_ms: f64, slow_ratio: f64 },
}

impl Latency {
    fn validate(&self) -> Result<(), ModelError> {
        match *self {
            Self::None => Ok(()),
            Self::Fixed { ms } => check_delay(ms),
            Self::Uniform { min_ms, max_ms } => check_span(min_ms, max_ms),
            Self::Lognormal { p50_ms: 0.0, .. } => Err(ModelError::ZeroMedian("lognormal")),
            Self::Pareto { p50_ms: 0.0, .. } => Err(ModelError::ZeroMedian("pareto")),
            Self::Lognormal { p50_ms, p99_ms } | Self::Pareto { p50_ms, p99_ms } => {
                check_span(p50_ms, p99_ms)
            }
            Self::Bimodal { fast_ms, slow_ms, slow_ratio } => {
                check_span(fast_ms, slow_ms)?;
                check_ratio("slow_ratio", slow_ratio)
            }
        }
    }

    /// The mean, in seconds.
    pub fn mean(&self) -> f64 {
        let ms = match *self {
            Self::None => 0.0,
            Self::Fixed { ms } => ms,
            Self::Uniform { min_ms, max_ms } => f64::midpoint(min_ms, max_ms),
            Self::Lognormal { p50_ms, p99_ms } => {
                // The cut is beyond what makes a difference to the mean.
                let sigma = (p99_ms / p50_ms).ln() / Z99;
                p50_ms * (sigma * sigma / 2.0).exp()
            }
            Self::Pareto { p50_ms, p99_ms } => {
                // E min(X, L) = m + the integral of P(X > x) = (m / x)^a from m to L.
                let a = MEDIAN_BEYOND_P99.ln() / (p99_ms / p50_ms).ln();
                let lowest = p50_ms * 2.0_f64.powf(-1.0 / a);
                let longest = LONGEST_DELAY.as_secs_f64() * 1e3;
                let beyond = if (a - 1.0).abs() < 1e-9 {
                    lowest * (longest / lowest).ln()
                } else if a.is_finite() {
                    lowest / (a - 1.0) * (1.0 - (lowest / longest).powf(a - 1.0))
                } else {
                    0.0
                };
                lowest + beyond
            }
            Self::Bimodal { fast_ms, slow_ms, slow_ratio } => fast_ms + (slow_ms - fast_ms) * slow_ratio,
        };
        ms / 1e3
    }

    /// The delay for one request; `share(lane)` gives independent numbers within `0.0..1.0`.
    fn delay(&self, share: impl Fn(u64) -> f64) -> Duration {
        let ms = match *self {
            Self::None => return Duration::ZERO,
            Self::Fixed { ms } => ms,
            Self::Uniform { min_ms, max_ms } => min_ms + (max_ms - min_ms) * share(0),
            Self::Lognormal { p50_ms, p99_ms } => {
                // x = p50 e^(sigma z), with sigma such that z = 2.326 gives p99.
                let sigma = (p99_ms / p50_ms).ln() / Z99;
                p50_ms * (sigma * standard_normal(share(0), share(1))).exp()
            }
            Self::Pareto { p50_ms, p99_ms } => {
                // P(X > x) = (m / x)^a. Two quantiles fix both: p99 / p50 = 50^(1/a) and
                // p50 = m 2^(1/a), so a share s of the values lies beyond p50 (2 s)^(-1/a).
                let inverse_shape = (p99_ms / p50_ms).ln() / MEDIAN_BEYOND_P99.ln();
                let beyond = 1.0 - share(0);
                p50_ms * (2.0 * beyond).powf(-inverse_shape)
            }
            Self::Bimodal { fast_ms, slow_ms, slow_ratio } => {
                if share(0) < slow_ratio {
                    slow_ms
                } else {
                    fast_ms
                }
            }
        };
        from_ms(ms)
    }
}

/// A delay of `ms` milliseconds, cut off at [`LONGEST_DELAY`]; what is no number is no delay.
pub(crate) fn from_ms(ms: f64) -> Duration {
    let longest_ms = LONGEST_DELAY.as_secs_f64() * 1e3;
    Duration::from_secs_f64(ms.max(0.0).min(longest_ms) / 1e3)
}

fn check_delay(ms: f64) -> Result<(), ModelError> {
    let longest_ms = LONGEST_DELAY.as_secs_f64() * 1e3;
    if (0.0..=longest_ms).contains(&ms) { Ok(()) } else { Err(ModelError::Delay(ms)) }
}

fn check_span(low: f64, high: f64) -> Result<(), ModelError> {
    check_delay(low)?;
    check_delay(high)?;
    if low <= high { Ok(()) } else { Err(ModelError::Order { low, high }) }
}

fn check_ratio(name: &'static str, value: f64) -> Result<(), ModelError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(ModelError::Ratio { name, value }) }
}

/// Box and Muller's transform of two uniform numbers into one standard normal number.
fn standard_normal(first: f64, second: f64) -> f64 {
    // 1 - u lies in (0, 1], where the logarithm is finite.
    (-2.0 * (1.0 - first).ln()).sqrt() * (std::f64::consts::TAU * second).cos()
}

/// A number within `0.0..1.0` that depends on nothing but its arguments.
fn uniform(seed: u64, n: u64, lane: u64) -> f64 {
    let bits = mix(mix(seed.wrapping_add(lane)).wrapping_add(n));
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// SplitMix64: one well-mixed word from another. A counter fed through it is a good generator, and
/// its numbers stay the same for ever, which those of a library's default generator do not.
pub(crate) fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Why a text is no latency: what was found and what is allowed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LatencyTextError {
    #[error(
        "`{0}` is not a latency; write none, fixed:20ms, uniform:5ms..20ms, lognormal:20ms,80ms or pareto:20ms,200ms (median and 99th percentile) or bimodal:10ms,200ms,5% (fast, slow, share of slow)"
    )]
    Form(String),
    #[error(transparent)]
    Value(#[from] plimsoll_units::ParseError),
    #[error(transparent)]
    Range(#[from] ModelError),
}

impl FromStr for Latency {
    type Err = LatencyTextError;

    /// Reads `none`, `fixed:20ms`, `uniform:5ms..20ms`, `lognormal:20ms,80ms`, `pareto:20ms,200ms` or
    /// `bimodal:10ms,200ms,5%`.
    fn from_str(text: &str) -> Result<Self, LatencyTextError> {
        let wrong = || LatencyTextError::Form(text.to_owned());
        let (kind, values) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
        let pair = |separator| values.split_once(separator).ok_or_else(wrong);
        let latency = match kind {
            "none" if values.is_empty() => Self::None,
            "fixed" => Self::Fixed { ms: read_ms(values)? },
            "uniform" => {
                let (min, max) = pair("..")?;
                Self::Uniform { min_ms: read_ms(min)?, max_ms: read_ms(max)? }
            }
            "lognormal" => {
                let (p50, p99) = pair(",")?;
                Self::Lognormal { p50_ms: read_ms(p50)?, p99_ms: read_ms(p99)? }
            }
            "pareto" => {
                let (p50, p99) = pair(",")?;
                Self::Pareto { p50_ms: read_ms(p50)?, p99_ms: read_ms(p99)? }
            }
            "bimodal" => {
                let (fast, rest) = pair(",")?;
                let (slow, share) = rest.split_once(',').ok_or_else(wrong)?;
                let slow_ratio = share.trim().parse::<Ratio>()?.get();
                Self::Bimodal { fast_ms: read_ms(fast)?, slow_ms: read_ms(slow)?, slow_ratio }
            }
            _ => return Err(wrong()),
        };
        latency.validate()?;
        Ok(latency)
    }
}

/// Why a text is no pool or autoscaler: what was found and what is allowed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PartTextError {
    #[error("`{0}` is not a pool; write its places and its share of the work, like 4,30%")]
    Pool(String),
    #[error(
        "`{0}` is not an autoscaler; write the fewest and most replicas, how busy workers should be, how often it decides and how long a new replica takes, like 1..4,60%,1s,5s"
    )]
    Autoscale(String),
    #[error(transparent)]
    Value(#[from] plimsoll_units::ParseError),
}

impl FromStr for Pool {
    type Err = PartTextError;

    /// Reads `4,30%`. Whether the values are within their ranges is the model's to say.
    fn from_str(text: &str) -> Result<Self, PartTextError> {
        let wrong = || PartTextError::Pool(text.to_owned());
        let (places, share) = text.split_once(',').ok_or_else(wrong)?;
        let places = places.trim().parse().map_err(|_| wrong())?;
        Ok(Self { places, share: share.trim().parse::<Ratio>()?.get() })
    }
}

impl FromStr for Autoscale {
    type Err = PartTextError;

    /// Reads `1..4,60%,1s,5s`. Whether the values are within their ranges is the model's to say.
    fn from_str(text: &str) -> Result<Self, PartTextError> {
        let wrong = || PartTextError::Autoscale(text.to_owned());
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [replicas, target, interval, delay] = parts[..] else { return Err(wrong()) };
        let (min, max) = replicas.split_once("..").ok_or_else(wrong)?;
        let whole = |text: &str| text.trim().parse().map_err(|_| wrong());
        let ms = |text| Ok::<_, PartTextError>(duration::parse(text)?.as_millis());
        let short = |ms: u128| u32::try_from(ms).map_err(|_| wrong());
        Ok(Self {
            min: whole(min)?,
            max: whole(max)?,
            target_utilisation: target.parse::<Ratio>()?.get(),
            interval_ms: short(ms(interval)?)?,
            delay_ms: short(ms(delay)?)?,
        })
    }
}

fn read_ms(text: &str) -> Result<f64, plimsoll_units::ParseError> {
    Ok(duration::parse(text)?.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delays_ms(latency: Latency) -> Vec<f64> {
        let model = Model { latency, ..Model::default() };
        let mut delays: Vec<f64> = (0..100_000).map(|n| model.fate(7, n).delay.as_secs_f64() * 1e3).collect();
        delays.sort_by(f64::total_cmp);
        delays
    }

    fn check_quantile(latency: Latency, quantile: f64, expected_ms: f64) {
        let delays = delays_ms(latency);
        let found = delays[(quantile * delays.len() as f64) as usize];
        assert!((found / expected_ms - 1.0).abs() < 0.03, "{latency:?} q{quantile}: {found} ms");
    }

    #[test]
    fn delays_follow_the_distribution_that_was_asked_for() {
        let lognormal = Latency::Lognormal { p50_ms: 20.0, p99_ms: 80.0 };
        // A tail of 1/x^1.7: beyond p99 each tenth of the share is 10^(1/1.7) times as slow.
        let pareto = Latency::Pareto { p50_ms: 20.0, p99_ms: 200.0 };
        let bimodal = Latency::Bimodal { fast_ms: 10.0, slow_ms: 200.0, slow_ratio: 0.05 };
        check_quantile(Latency::Fixed { ms: 5.0 }, 0.9, 5.0);
        check_quantile(Latency::Uniform { min_ms: 10.0, max_ms: 20.0 }, 0.5, 15.0);
        check_quantile(lognormal, 0.5, 20.0);
        check_quantile(lognormal, 0.99, 80.0);
        check_quantile(pareto, 0.001, 20.0 / 10.0_f64.powf(2.0_f64.ln() / 50.0_f64.ln()));
        check_quantile(pareto, 0.5, 20.0);
        check_quantile(pareto, 0.9, 20.0 * 10.0_f64.powf(5.0_f64.ln() / 50.0_f64.ln()));
        check_quantile(pareto, 0.99, 200.0);
        check_quantile(Latency::Pareto { p50_ms: 5.0, p99_ms: 5.0 }, 0.99, 5.0);
        check_quantile(bimodal, 0.94, 10.0);
        check_quantile(bimodal, 0.96, 200.0);
    }

    #[test]
    fn errors_come_at_their_ratio_and_are_the_same_for_the_same_seed() {
        let model = Model { error_ratio: 0.1, ..Model::default() };
        let failures = |seed| (0..100_000).filter(|&n| model.fate(seed, n).fails).collect::<Vec<_>>();
        assert!((9_700..10_300).contains(&failures(1).len()));
        assert_eq!(failures(1), failures(1));
        assert_ne!(failures(1), failures(2));
        let all = Model { error_ratio: 1.0, ..model };
        assert!((0..1000).all(|n| all.fate(3, n).fails));
        assert!((0..1000).all(|n| !Model::default().fate(3, n).fails));
    }

    #[test]
    fn a_change_names_only_what_it_changes() {
        let model = Model { body_bytes: 512, ..Model::default() };
        let changed = model.changed_by(br#"{"latency": {"kind": "fixed", "ms": 3}, "capacity": 8}"#).unwrap();
        let latency = Latency::Fixed { ms: 3.0 };
        assert_eq!(changed, Model { latency, capacity: Some(8), ..model });
        assert_eq!(changed.changed_by(br#"{"capacity": null}"#).unwrap().capacity, None);
        assert_eq!(model.changed_by(b"{}").unwrap(), model);
    }

    #[test]
    fn a_wrong_change_is_refused_in_words() {
        let cases = [
            ("", "not a model: EOF while parsing a value"),
            ("[]", "not a model: invalid type"),
            (r#"{"latncy": 1}"#, "not a model: unknown field `latncy`"),
            (r#"{"latency": {"kind": "slow"}}"#, "not a model: unknown variant `slow`"),
            (r#"{"latency": {"kind": "fixed", "ms": 1, "p": 2}}"#, "not a model: unknown field `p`"),
            (r#"{"latency": {"kind": "fixed", "ms": -1}}"#, "a latency of -1 ms is not within"),
            (r#"{"latency": {"kind": "fixed", "ms": 1e9}}"#, "a latency of 1000000000 ms is not within"),
            (r#"{"latency": {"kind": "lognormal", "p50_ms": 0, "p99_ms": 1}}"#, "a lognormal latency needs"),
            (r#"{"latency": {"kind": "pareto", "p50_ms": 0, "p99_ms": 1}}"#, "a pareto latency needs"),
            (r#"{"latency": {"kind": "uniform", "min_ms": 2, "max_ms": 1}}"#, "the latency's 1 ms must not"),
            (r#"{"error_ratio": 1.5}"#, "error_ratio 1.5 is not within 0 to 1"),
            (r#"{"capacity": 0}"#, "capacity must be at least 1"),
            (r#"{"workers": 0}"#, "workers must be from 1"),
            (r#"{"pool": {"places": 0, "share": 0.5}}"#, "pool needs from 1"),
            (r#"{"pool": {"places": 1, "share": 1.5}}"#, "pool share 1.5 is not within 0 to 1"),
            (r#"{"pool": {"places": 1}}"#, "not a model: missing field `share`"),
            (r#"{"contention": 2}"#, "contention 2 is not within 0 to 1"),
            (r#"{"coherency": -0.1}"#, "coherency -0.1 is not within 0 to 1"),
            (r#"{"cpu_us": 1000001}"#, "cpu_us 1000001 exceeds"),
            (
                r#"{"autoscale": {"min": 1, "max": 2, "target_utilisation": 0.5, "interval_ms": 10, "delay_ms": 0}}"#,
                "autoscale needs workers",
            ),
            (
                r#"{"workers": 1, "autoscale": {"min": 3, "max": 2, "target_utilisation": 0.5, "interval_ms": 10, "delay_ms": 0}}"#,
                "autoscale's min 3 must",
            ),
            (
                r#"{"workers": 1, "autoscale": {"min": 1, "max": 2, "target_utilisation": 0, "interval_ms": 10, "delay_ms": 0}}"#,
                "autoscale's target_utilisation 0",
            ),
            (
                r#"{"workers": 1, "autoscale": {"min": 1, "max": 2, "target_utilisation": 1, "interval_ms": 9, "delay_ms": 0}}"#,
                "autoscale's interval_ms",
            ),
            (r#"{"memory_mb": 99999999}"#, "memory_mb 99999999 exceeds"),
            (r#"{"body_bytes": 99999999999}"#, "body_bytes 99999999999 exceeds"),
        ];
        for (change, expected) in cases {
            let error = Model::default().changed_by(change.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{change}: {error}");
        }
    }

    #[test]
    fn latencies_are_read_as_people_write_them() {
        let cases = [
            ("none", Latency::None),
            ("fixed:250us", Latency::Fixed { ms: 0.25 }),
            ("uniform:5ms..20ms", Latency::Uniform { min_ms: 5.0, max_ms: 20.0 }),
            ("lognormal:20ms,80ms", Latency::Lognormal { p50_ms: 20.0, p99_ms: 80.0 }),
            ("pareto:20ms,200ms", Latency::Pareto { p50_ms: 20.0, p99_ms: 200.0 }),
            ("bimodal:10ms,1s,5%", Latency::Bimodal { fast_ms: 10.0, slow_ms: 1000.0, slow_ratio: 0.05 }),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "none:1ms",
            "fixed",
            "fixed:20",
            "uniform:5ms",
            "bimodal:1ms,2ms",
            "lognormal:0,1ms",
            "pareto:2ms,1ms",
        ] {
            assert!(text.parse::<Latency>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mean_is_that_of_the_delays() {
        for latency in [
            Latency::None,
            Latency::Fixed { ms: 5.0 },
            Latency::Uniform { min_ms: 10.0, max_ms: 20.0 },
            Latency::Lognormal { p50_ms: 20.0, p99_ms: 80.0 },
            Latency::Pareto { p50_ms: 20.0, p99_ms: 60.0 },
            Latency::Pareto { p50_ms: 5.0, p99_ms: 5.0 },
            Latency::Bimodal { fast_ms: 10.0, slow_ms: 200.0, slow_ratio: 0.05 },
        ] {
            let delays = delays_ms(latency);
            let found = delays.iter().sum::<f64>() / delays.len() as f64 / 1e3;
            let expected = latency.mean();
            assert!((found - expected).abs() <= 0.02 * expected, "{latency:?}: {found}, not {expected}");
        }
        // Without the cut a tail of 1/x would have no mean: m + m ln(L / m).
        let endless = Latency::Pareto { p50_ms: 2.0, p99_ms: 100.0 }.mean();
        assert!((endless - (1.0 + 600_000.0_f64.ln()) / 1e3).abs() < 1e-9, "{endless}");
    }

    #[test]
    fn limits_follow_from_the_model() {
        let base = Model { latency: Latency::Fixed { ms: 20.0 }, ..Model::PLAIN };
        let pool = |places, share| Some(Pool { places, share });
        let limit = |peak, overloaded| Some((peak, overloaded));
        for (model, replicas, expected) in [
            (Model::PLAIN, 1, None),
            (base, 1, None),
            (Model { capacity: Some(64), ..base }, 1, limit(3200.0, 3200.0)),
            (Model { workers: Some(8), ..base }, 1, limit(400.0, 400.0)),
            (Model { workers: Some(8), ..base }, 3, limit(1200.0, 1200.0)),
            (Model { workers: Some(8), capacity: Some(2), ..base }, 1, limit(100.0, 100.0)),
            (Model { workers: Some(8), pool: pool(2, 0.5), ..base }, 1, limit(200.0, 200.0)),
            (Model { workers: Some(8), pool: pool(90, 0.5), ..base }, 1, limit(800.0, 800.0)),
            (Model { pool: pool(2, 0.5), ..base }, 1, limit(200.0, 200.0)),
            (Model { pool: pool(2, 0.5), capacity: Some(9), ..base }, 1, None),
            // 8 / (0.02 (1 + 0.1 x 7)) and, without workers, 1 / (0.02 x 0.1).
            (Model { workers: Some(8), contention: 0.1, ..base }, 1, limit(235.294, 235.294)),
            (Model { contention: 0.1, ..base }, 1, limit(500.0, 500.0)),
            // sqrt(0.9 / 0.01) = 9.49: nine do 9 / (0.02 (1 + 0.8 + 0.72)), ten a little less.
            (
                Model { contention: 0.1, coherency: 0.01, workers: Some(40), ..base },
                1,
                limit(178.571, 97.561),
            ),
            (Model { contention: 0.1, coherency: 0.01, ..base }, 1, limit(178.571, 0.0)),
        ] {
            let found = model.limit(replicas).map(|limit| (limit.peak, limit.overloaded));
            let near = |one: f64, other: f64| (one - other).abs() < 1e-3;
            let same = match (found, expected) {
                (Some(found), Some(expected)) => near(found.0, expected.0) && near(found.1, expected.1),
                (found, expected) => found == expected,
            };
            assert!(same, "{model:?}: {found:?}, not {expected:?}");
        }
    }

    #[test]
    fn pools_and_autoscalers_are_read_as_people_write_them() {
        assert_eq!("4, 30%".parse(), Ok(Pool { places: 4, share: 0.3 }));
        let autoscale =
            Autoscale { min: 1, max: 4, target_utilisation: 0.6, interval_ms: 1000, delay_ms: 5000 };
        assert_eq!("1..4, 60%, 1s, 5s".parse(), Ok(autoscale));
        for text in ["", "4", "4,30", "x,30%", "4,30%,1"] {
            assert!(text.parse::<Pool>().is_err(), "{text}");
        }
        for text in ["", "1..4", "1,60%,1s,5s", "1..4,60%,1s", "1..4,60%,1s,5s,6s", "1..4,60%,1s,90000d"] {
            assert!(text.parse::<Autoscale>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_part_text_is_read_or_refused(text in ".{0,40}") {
            let _ = (text.parse::<Pool>(), text.parse::<Autoscale>());
        }

        #[test]
        fn any_latency_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<Latency>();
        }

        #[test]
        fn any_change_is_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(model) = Model::default().changed_by(&bytes) {
                prop_assert!(model.validate().is_ok());
            }
        }

        #[test]
        fn delays_stay_within_bounds(p50 in 0.001..600_000.0_f64, factor in 1.0..1e6_f64, n: u64, seed: u64) {
            let p99_ms = (p50 * factor).min(600_000.0);
            for latency in [
                Latency::Lognormal { p50_ms: p50, p99_ms },
                Latency::Pareto { p50_ms: p50, p99_ms },
            ] {
                let model = Model { latency, ..Model::default() };
                prop_assert!(model.fate(seed, n).delay <= LONGEST_DELAY);
            }
        }
    }
}
