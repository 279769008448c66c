//! Grafana dashboards: of a run, of promises and budgets, of the generator, of capacity and of exporters.
//!
//! Each is a file of its own under `grafana/dashboards`, rendered from here and held equal by a test. Queries quote
//! the catalogue's names. Quantiles come from summed histograms, never from other quantiles; whatever averages is refused.
//! Heatmaps and quantiles ask for native histograms and, where there are none, for classic buckets.

mod board;
mod budgets;
mod capacity;
mod exporters;
mod generator;
mod influxdb;
mod overview;
mod promql;
#[cfg(test)]
mod quantiles;

use plimsoll_sla::Sla;

/// A dashboard as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dashboard {
    /// The file's name, the same as its `uid`.
    pub name: &'static str,
    /// What Grafana reads.
    pub json: String,
}

/// Those that are shipped.
pub fn shipped() -> [Dashboard; 6] {
    [
        overview::board(),
        budgets::board(),
        generator::board(),
        capacity::board(),
        exporters::board(),
        influxdb::board(),
    ]
    .map(|board| Dashboard { name: board.uid, json: board.render() })
}

/// A dashboard of these promises: `title` and `name` (its `uid`) are the caller's.
pub fn of_slas(name: &str, title: &str, slas: &[Sla]) -> String {
    budgets::of(slas).render_as(name, title)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::catalogue::{self, Kind};

    fn read(dashboard: &Dashboard) -> Value {
        serde_json::from_str(&dashboard.json).unwrap()
    }

    fn panels(dashboard: &Value) -> Vec<Value> {
        dashboard["panels"].as_array().unwrap().clone()
    }

    #[test]
    fn every_name_in_a_panel_is_in_the_catalogue() {
        let measurements: Vec<_> = catalogue::ALL.iter().map(|metric| metric.measurement()).collect();
        for dashboard in shipped() {
            let unknown = catalogue::unknown_names(&dashboard.json).into_iter();
            let is_influx = dashboard.name == "plimsoll-influxdb";
            let unknown = unknown.filter(|name| !is_influx || !measurements.contains(name));
            assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", dashboard.name);
        }
    }

    #[test]
    fn together_they_cover_the_catalogue() {
        let text: String = shipped().iter().map(|dashboard| dashboard.json.clone()).collect();
        let unseen = catalogue::ALL.iter().filter(|metric| {
            let names = match metric.kind {
                Kind::Histogram => vec![format!("{}_bucket", metric.name), format!("{}{{", metric.name)],
                Kind::Counter | Kind::Gauge | Kind::Info => vec![metric.name.to_owned()],
            };
            !names.iter().all(|name| text.contains(name))
        });
        assert_eq!(unseen.map(|metric| metric.name).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn panels_have_places_and_names_of_their_own() {
        for dashboard in shipped() {
            let panels = panels(&read(&dashboard));
            for field in ["id", "title", "gridPos"] {
                let values: BTreeSet<_> = panels.iter().map(|panel| panel[field].to_string()).collect();
                assert_eq!(values.len(), panels.len(), "{}: {field}", dashboard.name);
            }
            let mut taken = BTreeSet::new();
            for panel in &panels {
                let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
                assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
                for x in at("x")..at("x") + at("w") {
                    for y in at("y")..at("y") + at("h") {
                        assert!(taken.insert((x, y)), "{}: {} overlaps", dashboard.name, panel["title"]);
                    }
                }
            }
        }
    }

    #[test]
    fn every_panel_says_what_it_shows_in_which_unit() {
        for dashboard in shipped() {
            for panel in panels(&read(&dashboard)).iter().filter(|panel| panel["type"] != "row") {
                let name = format!("{}: {}", dashboard.name, panel["title"]);
                assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}");
                assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}");
                let targets = panel["targets"].as_array().unwrap();
                let letters: BTreeSet<_> = targets.iter().map(|target| target["refId"].to_string()).collect();
                assert_eq!((letters.len(), targets.is_empty()), (targets.len(), false), "{name}");
            }
        }
    }

    #[test]
    fn every_variable_is_used_and_none_is_missing() {
        const GRAFANA: [&str; 7] = [
            "__rate_interval",
            "__range",
            "__interval",
            "__interval_ms",
            "__value",
            "__url_time_range",
            "timeFilter",
        ];
        for dashboard in shipped() {
            let list = read(&dashboard)["templating"]["list"].clone();
            let mut given: BTreeSet<_> =
                list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
            let used: BTreeSet<_> = dashboard
                .json
                .split('$')
                .skip(1)
                .map(|rest| {
                    let rest = rest.strip_prefix('{').unwrap_or(rest);
                    rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                        .next()
                        .unwrap()
                        .to_owned()
                })
                .filter(|name| {
                    !name.is_empty() && name != "__all" && !name.starts_with("tag_") && name != "col"
                })
                .collect();
            for name in &used {
                let known = given.remove(name) || GRAFANA.contains(&name.as_str());
                assert!(known, "{}: ${name} is nothing", dashboard.name);
            }
            assert_eq!(given, BTreeSet::new(), "{}: not used", dashboard.name);
        }
    }

    #[test]
    fn no_panel_averages_quantiles() {
        for dashboard in shipped() {
            assert_eq!(quantiles::complaints(&read(&dashboard)), Vec::<String>::new(), "{}", dashboard.name);
        }
    }
}
