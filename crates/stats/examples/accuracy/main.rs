//! How often comparisons are wrong, and what they find, beside the usual rules on the same data.
//!
//! `cargo run --release -p plimsoll-stats --example accuracy`
//!
//! Everything is simulated from seeds, so that it says the same everywhere. A line of JSON for each figure, with the number of
//! trials that it is of; `cargo xtask bench compare` puts them beside what is asked.

use plimsoll_stats::{
    ChangeFloor, Direction, Pair, Progress, Rule, Runs, Session, Verdict, against_sessions, change_points,
    compare_all, sequential, two_sample,
};
use serde_json::{Value, json};

use noise::Noise;
use rules::{ALL, Sample};

/// What `noise` is a neighbour of where it belongs.
use plimsoll_stats::Point;

#[expect(dead_code, reason = "the tests draw more")]
#[path = "../../src/noise.rs"]
mod noise;
mod rules;

/// Requests of a run whose quantiles matter.
const REQUESTS: usize = 2000;
/// What a target has that serves nobody else: milliseconds.
const MEDIAN: f64 = 20.0;

fn main() {
    let tell = |line: Value| println!("{line}");
    for shape in Shape::ALL {
        for effect in [0.01, 0.02, 0.05] {
            tell(false_alarms(shape, effect, 5, 1000));
        }
    }
    for runs in [3, 10, 20] {
        tell(false_alarms(Shape::LogNormal, 0.02, runs, 1000));
    }
    for change in [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1] {
        tell(power(change, 1000));
    }
    tell(found_at_five_percent(20_000));
    tell(tail(500));
    for spread in [0.01, 0.02, 0.03, 0.05] {
        tell(until_decided(spread, 10_000));
    }
    for runs in [5, 10, 30] {
        tell(stored(runs, 20_000));
    }
    for runs in [2, 3, 5, 10, 30] {
        tell(coverage(runs, 20_000));
    }
    tell(history(400));
    tell(white_noise(2000));
}

/// How the requests of a run scatter.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    LogNormal,
    /// A fifth misses the cache.
    Bimodal,
    /// Pareto with index 2.5: a mean of sorts, hardly a variance.
    HeavyTailed,
    /// Neighbours have 0.9 in common.
    Autocorrelated,
}

impl Shape {
    const ALL: [Self; 4] = [Self::LogNormal, Self::Bimodal, Self::HeavyTailed, Self::Autocorrelated];

    fn name(self) -> &'static str {
        match self {
            Self::LogNormal => "log-normal",
            Self::Bimodal => "bimodal",
            Self::HeavyTailed => "heavy-tailed",
            Self::Autocorrelated => "autocorrelated",
        }
    }

    fn draw(self, noise: &mut Noise, count: usize) -> Vec<f64> {
        match self {
            Self::LogNormal => noise.log_normal(count, MEDIAN, 0.5),
            Self::Bimodal => {
                let mut one = |_| {
                    let level = if noise.uniform() < 0.2 { 2.0 * MEDIAN } else { MEDIAN / 2.0 };
                    level * (0.2 * noise.normal()).exp()
                };
                (0..count).map(&mut one).collect()
            }
            Self::HeavyTailed => (0..count).map(|_| MEDIAN / 2.0 * noise.uniform().powf(-0.4)).collect(),
            Self::Autocorrelated => {
                let values = noise.autoregressive(count, 0.9);
                values.into_iter().map(|value| MEDIAN * (0.5 * value).exp()).collect()
            }
        }
    }
}

/// The requests of each run of a side; `effect` is what a run has in common: a standard deviation of logarithms.
fn side(noise: &mut Noise, shape: Shape, effect: f64, change: f64, runs: usize) -> Sample {
    let one = |_| {
        let level = (1.0 + change) * (effect * noise.normal()).exp();
        let mut requests = shape.draw(noise, REQUESTS);
        requests.iter_mut().for_each(|request| *request *= level);
        requests
    };
    Sample::new((0..runs).map(one).collect())
}

/// In which share of trials each rule calls a regression of the p95.
fn called(
    shape: Shape,
    effect: f64,
    change: f64,
    runs: usize,
    trials: u64,
) -> serde_json::Map<String, Value> {
    let mut counts = [0_u32; ALL.len()];
    for seed in 0..trials {
        let mut noise = Noise::new(seed);
        let base = side(&mut noise, shape, effect, 0.0, runs);
        let candidate = side(&mut noise, shape, effect, change, runs);
        for ((_, rule), count) in ALL.iter().zip(&mut counts) {
            *count += u32::from(rule(&base, &candidate));
        }
    }
    let share = |count: u32| json!(f64::from(count) / trials as f64);
    ALL.iter().zip(counts).map(|((name, _), count)| ((*name).to_owned(), share(count))).collect()
}

fn false_alarms(shape: Shape, effect: f64, runs: usize, trials: u64) -> Value {
    let called = called(shape, effect, 0.0, runs, trials);
    json!({ "figure": "false alarms", "noise": shape.name(), "effect": effect, "runs": runs, "trials": trials, "called": called })
}

fn power(change: f64, trials: u64) -> Value {
    let called = called(Shape::LogNormal, 0.02, change, 6, trials);
    json!({ "figure": "power", "change": change, "runs": 6, "trials": trials, "called": called })
}

fn runs(values: &[f64]) -> Runs<'_> {
    Runs { unit: "milliseconds", values }
}

fn pair<'a>(base: &'a [f64], candidate: &'a [f64]) -> Pair<'a> {
    let direction = Direction::LowerIsBetter;
    Pair { base: runs(base), candidate: runs(candidate), direction, tolerance: 0.1 }
}

fn is_regression(base: &[f64], candidate: &[f64]) -> bool {
    let judged = compare_all(&[pair(base, candidate)], &Rule::default());
    judged.into_iter().flatten().any(|judged| judged.verdict == Verdict::Regression)
}

/// One declared metric whose runs scatter by 2%, 6 a side, 5% slower.
fn found_at_five_percent(trials: u64) -> Value {
    let found = (0..trials).filter(|seed| {
        let mut noise = Noise::new(*seed);
        let base = noise.log_normal(6, MEDIAN, 0.02);
        is_regression(&base, &noise.log_normal(6, 1.05 * MEDIAN, 0.02))
    });
    json!({ "figure": "found at 5%", "trials": trials, "share": found.count() as f64 / trials as f64 })
}

/// The slowest 5% get 10% slower: which of four metrics, corrected together, say so. 10 runs a side of 20,000 requests.
fn tail(trials: u64) -> Value {
    const METRICS: [&str; 4] = ["p50", "p95", "p99", "mean"];
    /// Φ⁻¹(0.95).
    const SLOWEST: f64 = 1.644_853_627;
    let slow = MEDIAN * (0.5 * SLOWEST).exp();
    let of_side = |noise: &mut Noise, factor: f64| {
        let mut values: [Vec<f64>; 4] = Default::default();
        for _ in 0..10 {
            let level = (0.02 * noise.normal()).exp();
            let mut requests = noise.log_normal(20_000, MEDIAN, 0.5);
            for request in &mut requests {
                *request *= level * if *request > slow { factor } else { 1.0 };
            }
            let run = Sample::new(vec![requests]);
            for (values, value) in values.iter_mut().zip([run.p(0.5), run.p(0.95), run.p(0.99), run.mean()]) {
                values.extend(value);
            }
        }
        values
    };
    let mut found = [0_u32; METRICS.len()];
    for seed in 0..trials {
        let mut noise = Noise::new(seed);
        let (base, candidate) = (of_side(&mut noise, 1.0), of_side(&mut noise, 1.1));
        let pairs: Vec<Pair<'_>> =
            base.iter().zip(&candidate).map(|(base, candidate)| pair(base, candidate)).collect();
        for (judged, found) in compare_all(&pairs, &Rule::default()).into_iter().zip(&mut found) {
            *found += u32::from(judged.is_ok_and(|judged| judged.verdict == Verdict::Regression));
        }
    }
    let share = |count: u32| json!(f64::from(count) / trials as f64);
    let found: serde_json::Map<String, Value> =
        METRICS.iter().zip(found).map(|(name, count)| ((*name).to_owned(), share(count))).collect();
    json!({ "figure": "tail", "trials": trials, "found": found })
}

/// As many of no change as of 5% more, runs added until it is decided.
fn until_decided(spread: f64, trials: u64) -> Value {
    let (mut wrong, mut undecided, mut used) = (0_u32, 0_u32, 0_usize);
    for seed in 0..trials {
        for change in [0.0, 0.05] {
            let mut noise = Noise::new(seed);
            let (mut base, mut candidate) = (Vec::new(), Vec::new());
            let decided = loop {
                let direction = Direction::LowerIsBetter;
                match sequential(runs(&base), runs(&candidate), direction, &Rule::default()) {
                    Ok((_, Progress::More { until })) => {
                        let more = until - base.len();
                        base.extend(noise.log_normal(more, MEDIAN, spread));
                        candidate.extend(noise.log_normal(more, MEDIAN * (1.0 + change), spread));
                    }
                    Ok((_, decided)) => break decided,
                    // Positive values and one unit are never refused.
                    Err(refusal) => panic!("{refusal}"),
                }
            };
            used += base.len();
            match decided {
                Progress::Undecided => undecided += 1,
                Progress::Regression => wrong += u32::from(change == 0.0),
                _ => wrong += u32::from(change > 0.0),
            }
        }
    }
    let all = 2.0 * trials as f64;
    json!({
        "figure": "until decided", "noise": spread, "trials": 2 * trials,
        "right": 1.0 - f64::from(wrong) / (all - f64::from(undecided)),
        "undecided": f64::from(undecided) / all, "runs": used as f64 / all,
    })
}

/// A new session of the same version beside ten stored ones, and beside one: sessions differ by 1%, their runs by 2%.
fn stored(runs_a_session: usize, trials: u64) -> Value {
    let (mut ours, mut by_sessions, mut by_one) = (0_u32, 0_u32, 0_u32);
    for seed in 0..trials {
        let mut noise = Noise::new(seed);
        let mut session = || {
            let level = MEDIAN * (0.01 * noise.normal()).exp();
            noise.log_normal(runs_a_session, level, 0.02)
        };
        let past: Vec<Vec<f64>> = (0..10).map(|_| session()).collect();
        let new = session();
        let summary = |values: &Vec<f64>| Session::of(runs(values)).expect("positive values");
        let past_sessions: Vec<Session> = past.iter().map(summary).collect();
        let found = against_sessions(&past_sessions, &summary(&new)).expect("ten positive sessions");
        by_sessions += u32::from(found.p < 0.05);
        let verdict = Rule::default().judge(&found, Direction::LowerIsBetter, found.p, 1);
        ours += u32::from(verdict == Verdict::Regression);
        let one = two_sample(runs(&past[0]), runs(&new)).expect("positive values");
        by_one += u32::from(one.p < 0.05);
    }
    let share = |count: u32| f64::from(count) / trials as f64;
    json!({
        "figure": "stored", "runs": runs_a_session, "trials": trials,
        "called": share(ours), "differs_from_ten": share(by_sessions), "differs_from_one": share(by_one),
    })
}

/// How often the interval of 95% holds the truth.
fn coverage(count: usize, trials: u64) -> Value {
    let held = (0..trials).filter(|seed| {
        let mut noise = Noise::new(*seed);
        let base = noise.log_normal(count, MEDIAN, 0.02);
        let candidate = noise.log_normal(count, 1.05 * MEDIAN, 0.05);
        let found = two_sample(runs(&base), runs(&candidate)).expect("positive values");
        found.interval.low <= 0.05 && 0.05 <= found.interval.high
    });
    json!({ "figure": "coverage", "runs": count, "trials": trials, "share": held.count() as f64 / trials as f64 })
}

/// F1 of change points on histories of 100 to 400 values with up to five changes of 5 to 20%, noise of 1 to 3%, some of it alike
/// from one to the next, and a single outlier in a hundred; a change found within 5 places is found, as on the Turing Change Point
/// Dataset (van den Burg and Williams, 2020), where the beginning of each series counts as a change that everybody finds.
fn history(trials: u64) -> Value {
    const NEAR: usize = 5;
    let mut sum = 0.0;
    for seed in 0..trials {
        let mut noise = Noise::new(seed);
        let length = 100 + (300.0 * noise.uniform()) as usize;
        let (spread, phi) = (0.01 + 0.02 * noise.uniform(), 0.5 * noise.uniform());
        let mut truth: Vec<usize> = Vec::new();
        for _ in 0..(6.0 * noise.uniform()) as usize {
            let place = 15 + ((length - 30) as f64 * noise.uniform()) as usize;
            if truth.iter().all(|other| other.abs_diff(place) >= 15) {
                truth.push(place);
            }
        }
        truth.sort_unstable();
        let mut level = MEDIAN;
        let mut values = Vec::with_capacity(length);
        for (place, drift) in noise.autoregressive(length, phi).into_iter().enumerate() {
            if truth.contains(&place) {
                let change = 1.05 + 0.15 * noise.uniform();
                level *= if noise.uniform() < 0.5 { change } else { 1.0 / change };
            }
            let outlier = if noise.uniform() < 0.01 { 1.5 } else { 1.0 };
            values.push(level * outlier * (spread * drift).exp());
        }
        let changes = change_points(&values, ChangeFloor::default());
        let mut found: Vec<usize> = changes.points.into_iter().map(|point| point.index).collect();
        let said = found.len();
        let hits = truth.iter().filter(|place| {
            let near = found.iter().position(|index| index.abs_diff(**place) <= NEAR);
            near.map(|at| found.remove(at)).is_some()
        });
        let hits = hits.count() as f64 + 1.0;
        let (precision, recall) = (hits / (said as f64 + 1.0), hits / (truth.len() as f64 + 1.0));
        sum += 2.0 * precision * recall / (precision + recall);
    }
    json!({ "figure": "change points", "trials": trials, "f1": sum / trials as f64 })
}

/// Alerts in 100 values where nothing changes.
fn white_noise(trials: u64) -> Value {
    let alerts: usize = (0..trials)
        .map(|seed| {
            let values = Noise::new(seed).log_normal(200, MEDIAN, 0.02);
            change_points(&values, ChangeFloor::default()).points.len()
        })
        .sum();
    json!({ "figure": "white noise", "trials": trials, "alerts": alerts as f64 / (2 * trials) as f64 })
}
