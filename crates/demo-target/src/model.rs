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
}

impl Default for Model {
    fn default() -> Self {
        Self {
            latency: Latency::None,
            capacity: None,
            queue: 10_000,
            error_ratio: 0.0,
            memory_mb: 0,
            body_bytes: 0,
        }
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
        Ok(())
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
        let cases: [(&str, &str); 14] = [
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

    proptest! {
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
