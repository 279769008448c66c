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

use std::collections::BTreeSet;

use plimsoll_sla::Sla;

use board::Board;

/// A dashboard as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dashboard {
    /// The file's name without its end, the same as its `uid`: at most 40 letters, digits, `-` and `_`.
    pub name: String,
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
    .map(Dashboard::of)
}

/// Those of promises: one for each service that anything is promised of, in the order of its first promise.
pub fn of_slas(slas: &[Sla]) -> Vec<Dashboard> {
    let mut services: Vec<&str> = slas.iter().map(|sla| sla.service.as_str()).collect();
    let mut seen = BTreeSet::new();
    services.retain(|service| seen.insert(*service));
    let of = |service: &str| slas.iter().filter(|sla| sla.service == service).collect::<Vec<_>>();
    services.into_iter().map(|service| Dashboard::of(budgets::of(service, &of(service)))).collect()
}

impl Dashboard {
    fn of(board: Board) -> Self {
        Self { json: board.render(), name: board.uid }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_sla::{AlertRule, BurnRule, Events, Method, Period, Slo};
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

    fn promised(name: &str, service: &str, each: Option<&str>) -> Sla {
        let slo = Slo {
            name: name.to_owned(),
            target: "99.9%".parse().unwrap(),
            period: Period::rolling(30 * 86_400).unwrap(),
            method: Method::Occurrences,
        };
        let rules = BurnRule::published(&slo.period, slo.method);
        let alert = |rule: BurnRule| AlertRule {
            rule,
            severity: rule.urgency.label().to_owned(),
            notify: Vec::new(),
            resolved: true,
        };
        Sla {
            title: format!("{name} is promised"),
            service: service.to_owned(),
            description: None,
            events: Events::Figure {
                source: plimsoll_sla::Source::Prometheus(None),
                query: "up".to_owned(),
                op: plimsoll_sla::openslo::Operator::Gte,
                value: 1.0,
            },
            alerts: rules.map(alert).into(),
            never: Vec::new(),
            no_data: None,
            runbook_url: None,
            each: each.map(str::to_owned),
            exclusions: Vec::new(),
            policy: Vec::new(),
            part_of: None,
            slo,
        }
    }

    #[test]
    fn promises_have_a_dashboard_for_each_service() {
        let slas = [
            promised("fast", "shop", None),
            promised("every.one", "shop", Some("tenant")),
            promised("odd \"$plan\" \\ [[x]]", "a service\nof a name that no uid has room for, é", None),
        ];
        let dashboards = of_slas(&slas);
        let names: Vec<_> = dashboards.iter().map(|dashboard| dashboard.name.as_str()).collect();
        assert_eq!(names, ["slas-shop", "slas-a-service-of-a-name-that-n-ce7a2a92"]);
        for dashboard in &dashboards {
            let read = read(dashboard);
            assert_eq!(quantiles::complaints(&read), Vec::<String>::new());
            assert_eq!(catalogue::unknown_names(&dashboard.json), Vec::<&str>::new());
            assert!(dashboard.name.len() <= 40);
        }
        let asked = |dashboard: &Dashboard, title: &str| {
            let panel = panels(&read(dashboard)).into_iter().find(|panel| panel["title"] == title).unwrap();
            panel["targets"][0]["expr"].as_str().unwrap().to_owned()
        };
        let left = "plimsoll_error_budget_remaining_ratio";
        for (dashboard, title, matchers) in [
            (0, "Budget left", r#"sla=~"fast|every\\.one/.*""#),
            (0, "Budget left: fast", r#"sla="fast""#),
            (0, "Budget left: every.one", r#"sla=~"every\\.one/.*""#),
            (1, r#"Budget left: odd "$plan" \ [[x]]"#, r#"sla="odd \"\x24plan\" \\ \x5b\x5bx]]""#),
        ] {
            assert_eq!(asked(&dashboards[dashboard], title), format!("{left}{{{matchers}}}"));
        }
        let page = |title: &str| {
            let panel =
                panels(&read(&dashboards[1])).into_iter().find(|panel| panel["title"] == title).unwrap();
            panel["links"][0]["url"].as_str().unwrap().to_owned()
        };
        assert_eq!(page("State"), "${page}/sla");
        let odd = "${page}/sla/odd%20%22%24plan%22%20%5C%20%5B%5Bx%5D%5D";
        assert_eq!(page(r#"State: odd "$plan" \ [[x]]"#), odd);
        // Where somebody is told: from the least factor on.
        let limits = panels(&read(&dashboards[0])).iter().find_map(|panel| {
            (panel["title"] == "Burn rates: fast")
                .then(|| panel["fieldConfig"]["defaults"]["thresholds"]["steps"].clone())
        });
        let values: Vec<_> =
            limits.unwrap().as_array().unwrap().iter().map(|step| step["value"].clone()).collect();
        assert_eq!(values, [Value::Null, 1.0.into(), 3.0.into(), 6.0.into(), 14.4.into()]);
    }

    #[test]
    fn what_is_promised_often_is_opened_when_asked_for() {
        let rows = |count: usize| {
            let slas: Vec<_> =
                (0..count).map(|number| promised(&format!("s{number}"), "shop", None)).collect();
            let rows = panels(&read(&of_slas(&slas)[0])).into_iter().filter(|panel| panel["type"] == "row");
            rows.map(|row| (row["collapsed"].as_bool().unwrap(), row["panels"].as_array().unwrap().len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(1), [(false, 0), (false, 0)]);
        assert_eq!(rows(4), [(false, 0), (true, 9), (true, 9), (true, 9), (true, 9)]);
        assert!(of_slas(&[]).is_empty());
    }

    #[test]
    fn no_panel_averages_quantiles() {
        for dashboard in shipped() {
            assert_eq!(quantiles::complaints(&read(&dashboard)), Vec::<String>::new(), "{}", dashboard.name);
        }
    }
}
