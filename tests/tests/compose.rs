//! The compose file and what it mounts: nothing reachable from outside, nothing missing, nothing floating.
//!
//! Where a compose plugin is installed it is asked too; the rules that matter are checked without it.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_testkit::{amtool, promtool};
use serde_json::{Map, Value};

#[test]
fn every_published_port_is_on_loopback() {
    let mut published = 0;
    for (name, service) in services() {
        for port in list(&service["ports"]) {
            let port = port.as_str().unwrap_or_else(|| panic!("{name}: ports are written as text: {port}"));
            assert!(is_loopback_port(port), "{name}: {port}");
            published += 1;
        }
        assert!(
            service["network_mode"].is_null(),
            "{name}: a network of the host has no published ports to check"
        );
    }
    assert!(published > 0);
}

#[test]
fn the_rule_for_ports_itself() {
    for (port, good) in [
        ("127.0.0.1:80:80", true),
        ("80:80", false),
        ("80", false),
        ("0.0.0.0:80:80", false),
        ("127.0.0.1:80", false), // an address and a port, not two ports
        ("127.0.0.10:80:80", false),
    ] {
        assert_eq!(is_loopback_port(port), good, "{port}");
    }
}

#[test]
fn every_image_has_a_tag_that_stays() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        let (_, tag) = image.rsplit('/').next().unwrap().split_once(':').unwrap_or((image, "latest"));
        assert!(tag.starts_with(|first: char| first.is_ascii_digit() || first == 'v'), "{name}: {image}");
    }
}

#[test]
fn every_mounted_path_exists_and_every_volume_is_declared() {
    let compose = compose();
    let declared = compose["volumes"].as_object().unwrap();
    for (name, service) in services() {
        for mount in list(&service["volumes"]) {
            let (source, _) = mount.as_str().unwrap().split_once(':').unwrap();
            if source.starts_with(['.', '/']) {
                assert!(root().join(source).exists(), "{name}: {source} does not exist");
                assert!(
                    mount.as_str().unwrap().ends_with(":ro"),
                    "{name}: {source} is ours and not theirs to change"
                );
            } else {
                assert!(declared.contains_key(source), "{name}: volume {source} is not declared");
            }
        }
    }
}

#[test]
fn every_file_a_container_is_told_to_read_is_mounted() {
    for (name, service) in services() {
        let words = list(&service["command"]).chain(list(&service["entrypoint"]));
        for word in words.filter_map(Value::as_str) {
            let path = word.rsplit('=').next().unwrap();
            let Some(file) = list(&service["volumes"]).find_map(|mount| on_host(mount.as_str()?, path))
            else {
                continue;
            };
            assert!(file.exists(), "{name}: {path} is {}, which does not exist", file.display());
        }
    }
    let provider = yaml("grafana/provisioning/dashboards/plimsoll.yml");
    let services = services();
    let mount = services["grafana"]["volumes"][0].as_str().unwrap();
    let dashboards = on_host(mount, provider["providers"][0]["options"]["path"].as_str().unwrap()).unwrap();
    assert_eq!(dashboards, root().join("./grafana/dashboards"));
    let provisioning = services["grafana"]["environment"]["GF_PATHS_PROVISIONING"].as_str().unwrap();
    assert!(on_host(mount, provisioning).unwrap().join("datasources").is_dir());
}

#[test]
fn secrets_come_from_the_environment_and_their_defaults_say_what_they_are_for() {
    let mut secrets = 0;
    for (name, service) in services() {
        for (key, value) in service["environment"].as_object().into_iter().flatten() {
            if ["PASSWORD", "TOKEN", "SECRET"].iter().any(|word| key.contains(word)) {
                let value = value.as_str().unwrap();
                assert!(value.starts_with("${") && value.contains(":-demo-only-"), "{name}: {key}");
                secrets += 1;
            }
        }
    }
    assert!(secrets > 0);
}

#[test]
fn every_service_has_a_health_check_and_what_waits_for_it_exists() {
    let services = services();
    for (name, service) in &services {
        assert!(service["healthcheck"]["test"].is_array(), "{name} has no health check");
        for dependency in service["depends_on"].as_object().into_iter().flat_map(Map::keys) {
            assert!(services.contains_key(dependency), "{name} depends on {dependency}");
        }
    }
}

#[test]
fn prometheus_scrapes_and_notifies_services_that_exist_on_their_ports() {
    let services = services();
    let prometheus = yaml("alerts/prometheus.yml");
    let jobs = list(&prometheus["scrape_configs"]).chain(list(&prometheus["alerting"]["alertmanagers"]));
    let targets = jobs.flat_map(|job| list(&job["static_configs"])).flat_map(|group| list(&group["targets"]));
    let mut addresses: Vec<String> = targets.map(|target| target.as_str().unwrap().to_owned()).collect();
    for source in list(&yaml("grafana/provisioning/datasources/plimsoll.yml")["datasources"]) {
        addresses.push(source["url"].as_str().unwrap().trim_start_matches("http://").to_owned());
    }
    assert!(addresses.len() >= 6);
    for address in addresses {
        let (host, port) = address.split_once(':').unwrap();
        let service = services.get(host).unwrap_or_else(|| panic!("{address}: no such service"));
        let published = list(&service["ports"]).filter_map(Value::as_str);
        assert!(published.into_iter().any(|published| published.ends_with(&format!(":{port}"))), "{address}");
    }
}

#[test]
fn prometheus_and_alertmanager_accept_their_configuration() {
    let alerts = root().join("alerts");
    promtool(&alerts, &["check", "config", "--syntax-only", "prometheus.yml"]).unwrap();
    amtool(&alerts, &["check-config", "alertmanager.yml"]).unwrap();
}

#[test]
fn alerts_go_to_those_whom_they_concern() {
    let alerts = root().join("alerts");
    let cases = [
        ("page", "severity=page"),
        ("page", "severity=critical"),
        ("ticket", "severity=ticket"),
        ("ticket", "severity=warning"),
        ("nobody", "severity=none"),
        ("default", "severity=whatever"),
    ];
    for (receiver, label) in cases {
        let verify = format!("--verify.receivers={receiver}");
        let labels = [label, "service=storefront", "sla=storefront-available"];
        let command = ["config", "routes", "test", "--config.file=alertmanager.yml", &verify];
        amtool(&alerts, &[&command[..], &labels[..]].concat()).unwrap();
    }
}

#[test]
fn the_image_runs_as_nobody_special_and_holds_both_programs() {
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let stages: Vec<&str> = dockerfile.split("\nFROM ").collect();
    assert_eq!(stages.len(), 3, "a comment, a stage that builds and a stage that runs");
    for program in ["plimsoll", "plimsoll-demo-target"] {
        assert!(stages[1].contains(&format!("target/release/{program}")), "{program}");
    }
    let user = stages[2].lines().rev().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(!["root", "0"].contains(&user), "{user}");
    let toolchain = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let version = stages[1].trim_start_matches("rust:").split('-').next().unwrap();
    assert!(toolchain.contains(&format!("\"{version}")), "the image builds with {version}");
    for copied in stages[2].lines().filter(|line| line.starts_with("COPY") && !line.contains("--from")) {
        let source = copied.split(' ').find(|word| !word.starts_with("--") && *word != "COPY").unwrap();
        assert!(root().join(source).exists(), "{source}");
    }
}

/// The health check is run against a real server: right path, wrong path, nobody there.
#[tokio::test]
async fn the_health_check_tells_an_answer_from_a_refusal() {
    let nginx = plimsoll_testkit::NginxSetup {
        locations: "location = /down { return 503; }".to_owned(),
        ..plimsoll_testkit::NginxSetup::default()
    };
    let nginx = plimsoll_testkit::Nginx::with(nginx).await.unwrap();
    let url = nginx.url();
    let port = url.rsplit(':').next().unwrap();
    let answers = |port: &str, path: &str| {
        Command::new(root().join("deploy/answers")).args([port, path]).output().unwrap().status.success()
    };
    assert!(answers(port, "/healthz"));
    assert!(!answers(port, "/down"));
    assert!(!answers("1", "/healthz"));
}

#[test]
fn compose_itself_accepts_the_file() {
    let installed = Command::new("docker").args(["compose", "version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        // Written past the test harness, which keeps what a passing test prints to itself.
        let notice = b"!!! NOT RUN: `docker compose config`, for there is no compose plugin here\n";
        std::io::stderr().write_all(notice).unwrap();
        return;
    }
    let config = Command::new("docker")
        .args(["compose", "--profile", "load", "config", "--quiet"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(config.status.success(), "{}", String::from_utf8_lossy(&config.stderr));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn yaml(file: &str) -> Value {
    let text = fs::read_to_string(root().join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn compose() -> Value {
    yaml("docker-compose.yml")
}

fn services() -> Map<String, Value> {
    compose()["services"].as_object().unwrap().clone()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// `127.0.0.1:HOST:CONTAINER`.
fn is_loopback_port(port: &str) -> bool {
    port.strip_prefix("127.0.0.1:").is_some_and(|rest| rest.split(':').count() == 2)
}

/// Where a path of a container lies in the repository, through a mount `./SOURCE:TARGET:ro`.
fn on_host(mount: &str, path: &str) -> Option<PathBuf> {
    let mut parts = mount.split(':');
    let (source, target) = (parts.next()?, parts.next()?);
    let inside = path.strip_prefix(target)?.trim_start_matches('/');
    source.starts_with('.').then(|| root().join(source).join(inside))
}
