//! Queueing formulas against simulated queues, and their fits against both.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use plimsoll_capacity::{
    LatencyName, LoadKind, Point, Points, Question, answer, erlang_c, ggc_wait, latency_models, mmc_wait,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How long service takes.
#[derive(Debug, Clone, Copy)]
enum Service {
    Exponential,
    Fixed,
    /// The sum of two exponential parts: a squared variation of one half.
    Erlang2,
}

/// What a queue of c servers did, first come first served, under Poisson arrivals.
struct Simulated {
    mean_wait: f64,
    /// The standard error of the mean wait, by batches.
    error: f64,
    /// Quantiles of response time: p50 and p95.
    quantiles: [f64; 2],
    utilisation: f64,
    throughput: f64,
}

const ARRIVALS: usize = 200_000;
const BATCHES: usize = 20;

fn simulate(servers: usize, rate: f64, service_time: f64, service: Service, seed: u64) -> Simulated {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut exponential = |mean: f64| {
        let uniform: f64 = random.random();
        -mean * (1.0 - uniform).ln()
    };
    let mut free = vec![0.0_f64; servers];
    let (mut now, mut busy) = (0.0, 0.0);
    let (mut waits, mut responses) = (Vec::new(), Vec::new());
    for arrival in 0..ARRIVALS + ARRIVALS / 10 {
        now += exponential(1.0 / rate);
        let time = match service {
            Service::Exponential => exponential(service_time),
            Service::Fixed => service_time,
            Service::Erlang2 => exponential(service_time / 2.0) + exponential(service_time / 2.0),
        };
        let server = (0..servers).min_by(|left, right| free[*left].total_cmp(&free[*right])).unwrap();
        let start = free[server].max(now);
        free[server] = start + time;
        busy += time;
        // The first tenth is the way into the steady state.
        if arrival >= ARRIVALS / 10 {
            waits.push(start - now);
            responses.push(start - now + time);
        }
    }
    let means: Vec<f64> = waits
        .chunks(ARRIVALS / BATCHES)
        .map(|batch| batch.iter().sum::<f64>() / batch.len() as f64)
        .collect();
    let mean_wait = means.iter().sum::<f64>() / means.len() as f64;
    let spread = means.iter().map(|mean| (mean - mean_wait).powi(2)).sum::<f64>();
    responses.sort_by(f64::total_cmp);
    let quantile = |share: f64| responses[(share * responses.len() as f64) as usize];
    Simulated {
        mean_wait,
        error: (spread / (BATCHES * (BATCHES - 1)) as f64).sqrt(),
        quantiles: [quantile(0.5), quantile(0.95)],
        utilisation: busy / now / servers as f64,
        throughput: (ARRIVALS + ARRIVALS / 10) as f64 / now,
    }
}

#[test]
fn closed_forms_are_what_simulated_queues_do() {
    for (servers, utilisation, service, variation) in [
        (1, 0.5, Service::Exponential, 1.0),
        (1, 0.8, Service::Exponential, 1.0),
        (4, 0.7, Service::Exponential, 1.0),
        (16, 0.9, Service::Exponential, 1.0),
        (1, 0.5, Service::Fixed, 0.0),
        (1, 0.85, Service::Fixed, 0.0),
        (1, 0.7, Service::Erlang2, 0.5),
    ] {
        let rate = utilisation * f64::from(servers) / 0.01;
        let found = simulate(servers as usize, rate, 0.01, service, 7);
        let expected = ggc_wait(servers, utilisation, 0.01, 1.0, variation).unwrap();
        let off = (found.mean_wait - expected).abs();
        // 3.5 standard errors, and a little for batches that know of each other.
        assert!(
            off <= 3.5 * found.error + 0.01 * expected,
            "{service:?} with {servers} at {utilisation}: {} ± {}, not {expected}",
            found.mean_wait,
            found.error
        );
    }
}

#[test]
fn many_servers_with_regular_service_are_within_the_approximations_error() {
    let found = simulate(8, 0.8 * 800.0, 0.01, Service::Fixed, 3);
    let expected = ggc_wait(8, 0.8, 0.01, 1.0, 0.0).unwrap();
    assert!((found.mean_wait / expected - 1.0).abs() < 0.15, "{} not {expected}", found.mean_wait);
}

#[test]
fn formulas_know_their_edges() {
    assert_eq!(erlang_c(1, 0.3), Some(0.3), "one server makes wait whom it serves");
    assert_eq!(erlang_c(3, 0.0), Some(0.0));
    assert_eq!((erlang_c(0, 0.5), erlang_c(2, 1.0), erlang_c(2, -0.1)), (None, None, None));
    assert_eq!(erlang_c(2, f64::NAN), None);
    assert!((erlang_c(2, 0.5).unwrap() - 1.0 / 3.0).abs() < 1e-12, "a textbook's figure");
    assert!(erlang_c(100_000, 0.99).unwrap() > 0.0, "and many servers overflow nothing");
    assert!((mmc_wait(1, 0.5, 2.0).unwrap() - 2.0).abs() < 1e-12);
}

fn measured(servers: usize, service: Service) -> Points {
    let rates = [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9].map(|share| share * servers as f64 * 100.0);
    let points = rates.into_iter().enumerate().map(|(seed, rate)| {
        let found = simulate(servers, rate, 0.01, service, seed as u64);
        let mut point = Point::new(rate, found.throughput.min(rate));
        point.response_time.insert("p50".parse().unwrap(), found.quantiles[0]);
        point.response_time.insert("p95".parse().unwrap(), found.quantiles[1]);
        point.resources.insert("servers".into(), found.utilisation.min(1.0));
        point
    });
    Points::new(points.collect(), LoadKind::Rate).unwrap()
}

#[test]
fn a_queues_curve_is_found_again() {
    for (servers, service) in [(1, Service::Exponential), (1, Service::Fixed), (8, Service::Exponential)] {
        let models = latency_models(&measured(servers, service));
        let of = |name: LatencyName| {
            models.iter().find(|model| model.name == name && model.quantile.to_string() == "p95").unwrap()
        };
        let name = if servers == 1 { LatencyName::OneServer } else { LatencyName::ManyServers };
        let model = of(name);
        let limit = model.parameters.iter().find(|parameter| parameter.name == "limit").unwrap().value;
        let truth = servers as f64 * 100.0;
        assert!((limit / truth - 1.0).abs() < 0.06, "{service:?} with {servers}: {limit}, not {truth}");
        assert!(model.cross_validated_error.unwrap() < 0.06, "{:?}", model.cross_validated_error);
        assert_eq!(model.at(truth * 2.0), None);
        let stick = of(LatencyName::HockeyStick);
        assert!(stick.at(truth * 2.0).unwrap() > stick.at(truth * 0.1).unwrap());
    }
}

#[test]
fn the_busy_share_of_a_simulated_queue_foretells_where_it_ends() {
    let points = measured(4, Service::Exponential).up_to(0.65 * 400.0).unwrap();
    let peak = answer(&Question::new(points)).peak.unwrap();
    assert!((peak.throughput / 400.0 - 1.0).abs() < 0.03, "{peak:?}");
}

#[test]
fn the_load_of_an_objective_is_that_of_the_queue() {
    use plimsoll_capacity::{Bound, Bounded};
    // p95 of M/M/1 is ln 20 · S/(1 − ρ): 60 ms at ρ = 0.5007 with S = 10 ms.
    let bound = Bound {
        text: "p95(response_time) <= 60ms".into(),
        of: Bounded::ResponseTime("p95".parse().unwrap()),
        at_most: 0.060,
    };
    let question = Question { bounds: vec![bound], ..Question::new(measured(1, Service::Exponential)) };
    let found = answer(&question);
    let allowed = *found.sla_limits[0].outcome.as_ref().unwrap();
    let truth = 100.0 * (1.0 - 20.0_f64.ln() * 0.01 / 0.060);
    assert!((allowed.load / truth - 1.0).abs() < 0.05, "{allowed:?}, not {truth}");
    assert!(allowed.low <= truth * 1.03 && truth * 0.97 <= allowed.high, "{allowed:?}");
}
