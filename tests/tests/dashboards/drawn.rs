//! Pictures of the dashboards with what the servers found, drawn by a page that `cargo xtask dashboards` makes.

use std::collections::BTreeMap;
use std::path::Path;

use plimsoll_testkit::{Browser, ColorScheme, Prometheus, Row, Series, wait_for};
use serde_json::{Map, Value, json};

use crate::filled::Filled;
use crate::harness::PATIENCE;
use crate::{chosen, list};

/// Draws each dashboard wide and narrow, light and dark; that of runs also with classic histograms.
pub(crate) async fn draw(page: &Path, pictures: &Path, filled: &Filled, dashboards: &[(String, Value)]) {
    let mut drawn = Map::new();
    for (name, dashboard) in dashboards {
        let found = match name.as_str() {
            "plimsoll-influxdb" => in_influxdb(filled, dashboard).await,
            _ => in_prometheus(&filled.native, filled, dashboard).await,
        };
        drawn.insert(name.clone(), json!({ "json": dashboard, "found": found }));
        if name == "plimsoll" {
            let found = in_prometheus(&filled.classic, filled, dashboard).await;
            drawn.insert("plimsoll-classic".to_owned(), json!({ "json": dashboard, "found": found }));
        }
    }
    let data = json!({ "from": filled.from, "to": filled.to, "list": drawn });
    std::fs::write(page.join("data.js"), format!("const DASHBOARDS = {data};\n")).unwrap();
    let browser = Browser::start().await.unwrap();
    for (scheme, word) in [(ColorScheme::Light, "light"), (ColorScheme::Dark, "dark")] {
        browser.set_color_scheme(scheme).await.unwrap();
        for width in [1600, 800] {
            browser.set_viewport(width, 900).await.unwrap();
            for name in drawn.keys() {
                // Another document each time: a change behind the # alone would not draw anew.
                browser.open("about:blank").await.unwrap();
                browser.open(&format!("file://{}/index.html#{name}", page.display())).await.unwrap();
                let height = wait_for(PATIENCE, "a drawing", async || {
                    let ready = "return document.querySelector('#root > div') ? document.documentElement.scrollHeight : 0";
                    let height = browser.run(ready).await?.as_u64().unwrap_or(0);
                    if height > 300 { Ok(height) } else { anyhow::bail!("{height}") }
                });
                let height = u32::try_from(height.await.unwrap()).unwrap();
                browser.set_viewport(width, height).await.unwrap();
                let overflow = "return document.documentElement.scrollWidth - innerWidth";
                assert_eq!(browser.run(overflow).await.unwrap(), 0, "{name} is wider than {width}");
                browser.screenshot(&pictures.join(format!("{name}-{width}-{word}.png"))).await.unwrap();
                browser.set_viewport(width, 900).await.unwrap();
            }
        }
    }
    // Fonts and icons that a Grafana would serve are not there; nothing else may go wrong.
    let mut errors = browser.console_errors().await.unwrap();
    errors.retain(|error| error.contains("Uncaught"));
    errors.dedup();
    assert_eq!(errors, Vec::<String>::new());
}

/// What is found for each panel, by its number and the letter of the query.
async fn in_prometheus(prometheus: &Prometheus, filled: &Filled, dashboard: &Value) -> Value {
    let mut panels = Map::new();
    for panel in list(&dashboard["panels"]) {
        let mut found = Map::new();
        for target in list(&panel["targets"]) {
            let query = chosen(dashboard, target["expr"].as_str().unwrap());
            let series = match target["instant"] == true {
                true => prometheus.query(&query).await,
                false => prometheus.query_range(&query, filled.from, filled.to, 1.0).await,
            };
            let series = series.unwrap().iter().map(as_json).collect();
            found.insert(target["refId"].as_str().unwrap().to_owned(), series);
        }
        panels.insert(panel["id"].to_string(), found.into());
    }
    panels.into()
}

fn as_json(series: &Series) -> Value {
    json!({ "labels": series.labels, "points": series.points, "histograms": series.histograms })
}

async fn in_influxdb(filled: &Filled, dashboard: &Value) -> Value {
    let mut panels = Map::new();
    for panel in list(&dashboard["panels"]) {
        let mut found = Map::new();
        for target in list(&panel["targets"]) {
            let rows =
                filled.influx.query(&chosen(dashboard, target["query"].as_str().unwrap())).await.unwrap();
            let series = lines(&rows, target["alias"].as_str().unwrap());
            found.insert(target["refId"].as_str().unwrap().to_owned(), series);
        }
        panels.insert(panel["id"].to_string(), found.into());
    }
    panels.into()
}

/// A line for each group and column, called as `alias` says.
fn lines(rows: &[Row], alias: &str) -> Value {
    let mut lines: BTreeMap<(String, String), Series> = BTreeMap::new();
    for row in rows {
        let Some(nanos) = row.number("time") else { continue };
        for (column, value) in row.columns.iter().filter(|(column, _)| *column != "time") {
            let Some(value) = value.as_f64() else { continue };
            let line = lines.entry((format!("{:?}", row.tags), column.clone())).or_insert_with(|| {
                let mut name = alias.replace("$col", column);
                for (tag, value) in &row.tags {
                    name = name.replace(&format!("$tag_{tag}"), value);
                }
                let mut labels = row.tags.clone();
                let own = [("__alias", name), ("__apart", "yes".to_owned()), ("le", column.clone())];
                labels.extend(own.map(|(name, value)| (name.to_owned(), value)));
                Series { labels, points: Vec::new(), histograms: Vec::new() }
            });
            line.points.push((nanos / 1e9, value));
        }
    }
    lines.values().map(as_json).collect()
}
