//! The layers of the design, held against what the crates really depend on.
//!
//! The table is the design's. A crate it lacks fails until the table says it, and so does an edge
//! that does not go down. Purity is asked of `cargo tree`, because what matters is all that a
//! crate brings along and not the names in its own manifest.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Layers from the top; a crate depends on lower ones only.
const LAYERS: [(u8, &[&str]); 10] = [
    (9, &["cli"]),
    (8, &["service"]),
    (7, &["fleet", "pipeline"]),
    (6, &["runner"]),
    (5, &["driver", "exporters", "history", "notify", "chaos"]),
    (4, &["exposition", "report", "spec"]),
    (3, &["run"]),
    (2, &["sla", "capacity", "compare"]),
    (1, &["workload", "measure", "data", "stats", "profile", "faults"]),
    (0, &["units", "query"]),
];

/// Crates without runtime, files, network, clock or environment: every layer up to this one.
const HIGHEST_PURE_LAYER: u8 = 4;

/// What no pure crate brings along.
const IMPURE: [&str; 9] =
    ["tokio", "mio", "hyper", "hyper-util", "reqwest", "sqlx", "sqlx-core", "axum", "socket2"];

/// Crates beside the layers: which of ours each may use, and who may use it (tests aside).
const BESIDE: [(&str, &[&str], &[&str]); 4] =
    [("demo-target", &["units"], &["cli"]), ("testkit", &[], &[]), ("tests", &[], &[]), ("xtask", &[], &[])];

/// Second TLS stacks: with two in one binary, rustls panics wherever none was picked by hand.
const FOREIGN_TLS: [&str; 4] = ["ring", "openssl", "openssl-sys", "native-tls"];

/// A dependency of one workspace crate on another, tests left out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
}

#[test]
fn every_crate_is_in_the_table() {
    let unknown: Vec<String> =
        workspace().into_keys().filter(|name| layer(name).is_none() && beside(name).is_none()).collect();
    assert!(unknown.is_empty(), "the table lacks {unknown:?}");
}

#[test]
fn crates_depend_on_lower_layers_only() {
    let edges = edges();
    assert!(!edges.is_empty());
    let wrong: Vec<Edge> = edges.into_iter().filter(|edge| !is_allowed(&edge.from, &edge.to)).collect();
    assert!(wrong.is_empty(), "the table has no such edges: {wrong:#?}");
}

#[test]
fn the_rule_itself_tells_down_from_up() {
    for (from, to, allowed) in [
        ("cli", "units", true),
        ("units", "cli", false),
        ("driver", "history", false),
        ("sla", "measure", true),
        ("run", "run", false),
        ("cli", "demo-target", true),
        ("service", "demo-target", false),
        ("demo-target", "units", true),
        ("demo-target", "driver", false),
        ("runner", "testkit", false),
        ("tests", "testkit", false), // as an ordinary dependency; its tests use it
        ("nobody", "units", false),
    ] {
        assert_eq!(is_allowed(from, to), allowed, "{from} -> {to}");
    }
}

#[test]
fn pure_crates_bring_no_runtime_along() {
    for name in
        workspace().into_keys().filter(|name| layer(name).is_some_and(|layer| layer <= HIGHEST_PURE_LAYER))
    {
        let tree = tree(&["--package", &format!("plimsoll-{name}"), "--edges", "normal"]);
        let impure: Vec<&String> = tree.iter().filter(|package| IMPURE.contains(&package.as_str())).collect();
        assert!(impure.is_empty(), "`{name}` is pure and brings {impure:?} along");
    }
}

#[test]
fn there_is_one_tls_stack() {
    let tree = tree(&["--workspace", "--edges", "normal,build,dev"]);
    assert!(tree.iter().any(|package| package == "rustls"));
    let foreign: Vec<&String> =
        tree.iter().filter(|package| FOREIGN_TLS.contains(&package.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

fn is_allowed(from: &str, to: &str) -> bool {
    match (layer(from), layer(to)) {
        (Some(from), Some(to)) => to < from,
        (Some(_), None) => beside(to).is_some_and(|(_, used_by)| used_by.contains(&from)),
        (None, _) => beside(from).is_some_and(|(uses, _)| uses.contains(&to)),
    }
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, crates)| crates.contains(&name)).map(|(layer, _)| *layer)
}

fn beside(name: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
    BESIDE.iter().find(|(crate_name, ..)| *crate_name == name).map(|(_, uses, used_by)| (*uses, *used_by))
}

/// The crates of the workspace by their name in the table, as cargo describes them.
fn workspace() -> BTreeMap<String, Value> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (short(package["name"].as_str().unwrap()).to_owned(), package.clone())).collect()
}

fn edges() -> Vec<Edge> {
    let workspace = workspace();
    let edges = workspace.iter().flat_map(|(from, package)| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let ours =
            dependencies.filter(|dependency| dependency["path"].is_string() && dependency["kind"] != "dev");
        ours.map(|dependency| Edge {
            from: from.clone(),
            to: short(dependency["name"].as_str().unwrap()).to_owned(),
        })
    });
    edges.collect()
}

/// `plimsoll-units` is `units`; the binary's package is `plimsoll` and lives in `cli`.
fn short(package: &str) -> &str {
    match package {
        "plimsoll" => "cli",
        other => other.strip_prefix("plimsoll-").unwrap_or(other),
    }
}

/// The names of all packages in a dependency tree.
fn tree(arguments: &[&str]) -> Vec<String> {
    let printed = cargo(
        &[&["tree", "--offline", "--prefix", "none", "--no-dedupe", "--format", "{p}"], arguments].concat(),
    );
    let mut names: Vec<String> =
        printed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

fn cargo(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
