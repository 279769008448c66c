//! Every query of every dashboard against real servers that a real run has filled: each returns something.
//!
//! There is no Grafana here. Its variables are filled in by hand, as widely as they go.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

#[path = "dashboards/drawn.rs"]
mod drawn;
#[path = "dashboards/filled.rs"]
mod filled;

use std::path::{Path, PathBuf};

use filled::{Filled, fill};
use harness::{Desk, beside_others, root};
use plimsoll_testkit::{Prometheus, Series};
use serde_json::Value;

/// The dashboards of a folder, by name.
fn dashboards_in(folder: &Path) -> Vec<(String, Value)> {
    let mut read: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), json)
        })
        .collect();
    read.sort_by(|one, other| one.0.cmp(&other.0));
    read
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A query as Grafana sends it with every choice at "All".
fn chosen(dashboard: &Value, query: &str) -> String {
    let mut query = query.replace("$__rate_interval", "5s").replace("$__range", "5m");
    query = query.replace("$timeFilter", "time > now() - 10m").replace("$__interval_ms", "1000");
    query = query.replace("$__interval", "1s");
    for variable in list(&dashboard["templating"]["list"]) {
        query = query.replace(&format!("${}", variable["name"].as_str().unwrap()), ".*");
    }
    query
}

fn has_values(found: &[Series]) -> bool {
    let points = found.iter().flat_map(|series| &series.points);
    points.into_iter().any(|(_, value)| value.is_finite())
        || found.iter().any(|series| !series.histograms.is_empty())
}

/// What is asked of a server, with a name for whoever reads of a failure.
fn asked(name: &str, dashboard: &Value, key: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            let of = format!("{name}: {} {}", panel["title"], target["refId"]);
            all.push((of, chosen(dashboard, target[key].as_str().unwrap())));
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        let of = format!("{name}: annotation {}", annotation["name"]);
        all.push((of, chosen(dashboard, annotation[key].as_str().unwrap())));
    }
    all
}

async fn unanswered(prometheus: &Prometheus, filled: &Filled, dashboards: &[(String, Value)]) -> Vec<String> {
    let mut empty = Vec::new();
    for (name, dashboard) in dashboards.iter().filter(|(name, _)| name != "plimsoll-influxdb") {
        for (of, query) in asked(name, dashboard, "expr") {
            prometheus.format_query(&query).await.unwrap();
            let found = prometheus.query_range(&query, filled.from, filled.to, 1.0).await.unwrap();
            if !has_values(&found) {
                empty.push(format!("{of}: {query}"));
            }
        }
        for variable in list(&dashboard["templating"]["list"]) {
            let Some(query) = variable["query"]["query"].as_str() else { continue };
            let (selector, label) = query.strip_prefix("label_values(").unwrap().rsplit_once(", ").unwrap();
            let label = label.trim_end_matches(')');
            let query = chosen(dashboard, &format!("group by ({label}) (last_over_time({selector}[5m]))"));
            let found = prometheus.query(&query).await.unwrap();
            if found.iter().all(|series| series.label(label).is_empty()) {
                empty.push(format!("{name}: the choice {label}: {query}"));
            }
        }
    }
    empty
}

#[tokio::test]
async fn every_query_of_every_dashboard_finds_something() {
    let _machine = beside_others().await;
    let (filled, mut dashboards) = (fill().await, dashboards_in(&root().join("grafana/dashboards")));
    assert_eq!(dashboards.len(), 6);
    let desk = Desk::new();
    let promises = root().join("config/sla/storefront.yaml").display().to_string();
    let out = desk.path("dashboards");
    let ended = desk.plimsoll(["sla", "dashboards", &promises, "--out"]).arg(&out).ended().await;
    assert_eq!((ended.code, ended.stdout.trim()), (0, &*out.join("slas-storefront.json").to_string_lossy()));
    dashboards.extend(dashboards_in(&out));
    for (prometheus, kind) in [(&filled.native, "native"), (&filled.classic, "classic")] {
        let empty = unanswered(prometheus, &filled, &dashboards).await;
        assert!(empty.is_empty(), "with {kind} histograms nothing was found by\n{}", empty.join("\n"));
    }

    let (name, dashboard) = dashboards.iter().find(|(name, _)| name == "plimsoll-influxdb").unwrap();
    assert!(!has_values(&filled.native.query("plimsoll_nothing").await.unwrap()));
    let mut empty = Vec::new();
    let variables = list(&dashboard["templating"]["list"]).filter(|variable| variable["type"] == "query");
    let choices = variables.map(|variable| {
        (
            format!("{name}: the choice {}", variable["name"]),
            chosen(dashboard, variable["query"].as_str().unwrap()),
        )
    });
    for (of, query) in asked(name, dashboard, "query").into_iter().chain(choices) {
        let rows = filled.influx.query(&query).await.unwrap();
        let has_value = |column: (&String, &Value)| column.0 != "time" && !column.1.is_null();
        if !rows.iter().any(|row| row.columns.iter().any(has_value)) {
            empty.push(format!("{of}: {query}"));
        }
    }
    assert!(empty.is_empty(), "InfluxDB found nothing for\n{}", empty.join("\n"));

    // `cargo xtask dashboards` has a page to draw them with.
    let given = |name| std::env::var_os(name).map(PathBuf::from);
    if let (Some(page), Some(pictures)) =
        (given("PLIMSOLL_DASHBOARD_PAGE"), given("PLIMSOLL_DASHBOARD_PICTURES"))
    {
        drawn::draw(&page, &pictures, &filled, &dashboards).await;
    }
}
