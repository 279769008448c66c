//! Files that are rendered stay equal to what the crate renders; `UPDATE_GOLDEN=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use plimsoll_exposition::{dashboards, docs, rules};

fn check(path: &str, rendered: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, rendered).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == rendered, "{path} is not what the crate renders: run its tests with UPDATE_GOLDEN=1");
}

#[test]
fn alert_rules_are_as_rendered() {
    check("alerts/plimsoll.rules.yml", &rules::alert_rules());
}

#[test]
fn the_dashboards_are_as_rendered() {
    let shipped = dashboards::shipped();
    for dashboard in &shipped {
        check(&format!("grafana/dashboards/{}.json", dashboard.name), &dashboard.json);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../grafana/dashboards");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), shipped.len(), "and nothing else lies there");
}

#[test]
fn the_metrics_page_is_as_rendered() {
    check("docs/metrics.md", &docs::metrics_page());
}
