//! Where a Prometheus finds the metrics of runs that go on, in the form of its HTTP service discovery.

use axum::Json;
use axum::extract::State;
use plimsoll_run::State as RunState;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::route::{Doc, READ, Route};
use crate::routes::App;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/api/v1/prometheus/targets", READ, targets).doc(Doc::json(
        "listPrometheusTargets",
        "Where the metrics of live runs are, for Prometheus's HTTP service discovery",
        "PrometheusTargets",
    ))]
}

async fn targets(State(app): State<App>) -> Json<Value> {
    let known = app.followed.known();
    Json(known.live.iter().filter_map(|(id, state)| target(id, state)).collect())
}

/// Of a run whose plan says where its metrics are. What another machine says of its own loopback helps nobody, and is told
/// all the same: with `host` a relabelling leaves it out.
fn target(id: &str, state: &RunState) -> Option<Value> {
    let started = state.started();
    let listen = listen(&started.plan_text)?;
    Some(json!({
        "targets": [listen],
        "labels": {
            "__meta_plimsoll_run": id,
            "__meta_plimsoll_plan": started.shape.plan,
            "__meta_plimsoll_host": started.info.machine.host,
        },
    }))
}

/// The address in a plan, where it is one: not a variable, and not a port that is chosen when the run begins.
fn listen(plan: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Plan {
        export: Export,
    }
    #[derive(Deserialize)]
    struct Export {
        prometheus: Prometheus,
    }
    #[derive(Deserialize)]
    struct Prometheus {
        listen: String,
    }
    let plan: Plan = serde_saphyr::from_str(plan).ok()?;
    let listen = plan.export.prometheus.listen;
    let (host, port) = listen.rsplit_once(':')?;
    let is_address = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    is_address.then_some(listen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_where_the_plan_says_one() {
        for (plan, told) in [
            (
                "name: a\nexport: { prometheus: { listen: 127.0.0.1:9464, linger: 30s } }",
                Some("127.0.0.1:9464"),
            ),
            ("export:\n  influxdb: { url: x }\n  prometheus:\n    listen: '[::1]:9464'", Some("[::1]:9464")),
            ("export: { prometheus: { listen: 127.0.0.1:0 } }", None),
            ("export: { prometheus: { listen: \"${LISTEN}\" } }", None),
            ("export: { prometheus: { } }", None),
            ("name: a", None),
            ("", None),
            ("{", None),
        ] {
            assert_eq!(listen(plan).as_deref(), told, "{plan}");
        }
    }
}
