//! Loads that are made other than planned while they go on, on a simulated clock.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::CLIENT;
use crate::common::{Measured, closed, config, get, open, plan};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use plimsoll_driver::{Order, Simulation, Transport};
use plimsoll_measure::{Outcome, Timing};
use plimsoll_run::{Action, LoadModel, UserLimits};
use plimsoll_units::Users;
use plimsoll_workload::{Spacing, Stage, StageKind, Wanted};

const MILLI: u64 = 1_000_000;

/// A server in the same simulation that answers after 10 ms.
fn server() -> Transport {
    Transport::Memory(Arc::new(|| {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let answer = service_fn(|_| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"hello"))))
        });
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), answer),
        );
        near
    }))
}

/// What became of a load that is told each change (milliseconds) and follows it from a later moment on.
async fn steered(model: LoadModel, workers: usize, orders: &[(u64, u64, Wanted)]) -> Measured {
    let steps = vec![Action::Request(Box::new(get(0, "/")))];
    let order = |(told, effective, wanted): &(u64, u64, Wanted)| Order {
        told: told * MILLI,
        load: 0,
        effective: effective * MILLI,
        wanted: *wanted,
    };
    let orders: Vec<_> = orders.iter().map(order).collect();
    let config = config(plan("http://simulated", model, steps), server(), CLIENT);
    Measured::of(Simulation::steered(&config, workers, &orders).await.unwrap())
}

/// Arrivals of each second.
fn arrivals(measured: &Measured) -> Vec<u64> {
    let of = |frame: &plimsoll_measure::Frame| frame.iterations.values().map(|series| series.arrivals).sum();
    measured.frames.iter().map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_followed_from_its_moment_on_by_every_worker() {
    let orders = [
        (1800, 2000, Wanted::Level(1000.0)),
        (3950, 4000, Wanted::Level(0.0)),
        (5950, 6000, Wanted::Stages(1.0)),
        (7250, 7500, Wanted::Stages(2.0)),
    ];
    for workers in 1..=4 {
        let measured = steered(open(100.0, 9.0), workers, &orders).await;
        assert_eq!(
            arrivals(&measured)[..9],
            [100, 100, 1000, 1000, 0, 0, 100, 150, 200],
            "{workers} workers"
        );
        assert_eq!(measured.outcomes(), [(Outcome::Ok, 2650)], "nothing is lost or doubled");
        assert_eq!(measured.timing(Timing::ScheduleLag).max(), Some(0), "and nobody is late");
        assert_eq!(measured.offering_ended, vec![9000 * MILLI; workers]);
    }
}

#[tokio::test(start_paused = true)]
async fn random_arrivals_are_the_same_however_many_workers_are_steered() {
    let LoadModel::Open { stages, max_in_flight, .. } = open(200.0, 6.0) else { unreachable!() };
    let model = LoadModel::Open { stages, spacing: Spacing::Poisson, max_in_flight };
    let orders = [
        (900, 1000, Wanted::Level(700.0)),
        (2900, 3000, Wanted::Level(0.0)),
        (3900, 4000, Wanted::Stages(1.0)),
    ];
    let alone = arrivals(&steered(model.clone(), 1, &orders).await);
    for workers in 2..=3 {
        assert_eq!(arrivals(&steered(model.clone(), workers, &orders).await), alone, "{workers} workers");
    }
    assert!(alone[3] == 0 && alone[1].abs_diff(700) < 150 && alone[4].abs_diff(200) < 80, "{alone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_comes_late_loses_and_doubles_nothing() {
    for (told, workers) in [(2500, 1), (2500, 3), (3200, 1), (3200, 3)] {
        let orders = [(told, 2000, Wanted::Level(200.0))];
        let measured = steered(open(100.0, 10.0), workers, &orders).await;
        assert_eq!(measured.arrivals(), 200 + 8 * 200, "told at {told} ms, {workers} workers");
        assert!(measured.timing(Timing::ScheduleLag).max() > Some(0), "what was late says so");
    }
}

#[tokio::test(start_paused = true)]
async fn users_come_at_once_and_leave_when_they_have_finished() {
    // Away from the moments at which iterations end.
    let orders = [
        (1900, 2000, Wanted::Level(10.0)),
        (3900, 4005, Wanted::Level(0.0)),
        (5900, 6000, Wanted::Stages(1.0)),
        (6900, 7005, Wanted::Stages(0.5)),
    ];
    for workers in 1..=3 {
        let measured = steered(closed(4, 8.0), workers, &orders).await;
        assert_eq!(arrivals(&measured)[..8], [400, 400, 1000, 1000, 10, 0, 400, 202], "{workers} workers");
        let cut = measured.outcome(Outcome::Cut);
        assert_eq!((measured.arrivals(), cut), (measured.outcome(Outcome::Ok), 0), "{workers} workers");
    }
}

#[tokio::test(start_paused = true)]
async fn users_that_were_not_planned_have_their_iterations_too() {
    let stages = vec![Stage { kind: StageKind::Hold(Users(2)), length: Duration::from_secs(60) }];
    let limits = UserLimits { per_user: Some(200), ..UserLimits::default() };
    let measured = steered(LoadModel::Closed { stages, limits }, 2, &[(900, 1000, Wanted::Level(5.0))]).await;
    assert_eq!(measured.ended(), 5 * 200);
    assert!(measured.finished.iter().all(|at| *at < 3100 * MILLI), "{:?}", measured.finished);
}
