//! What is rendered for other programs is understood by them.

use std::path::Path;

use plimsoll_exposition::dashboards;
use plimsoll_testkit::{Prometheus, PrometheusSetup, promtool};

#[test]
fn promtool_accepts_the_alert_rules() {
    let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../alerts");
    let said = promtool(&alerts, &["check", "rules", "plimsoll.rules.yml"]).unwrap();
    assert!(said.contains("10 rules found"), "{said}");
}

#[tokio::test]
async fn prometheus_parses_every_query_of_the_dashboards() {
    let prometheus = Prometheus::start(PrometheusSetup::default()).await.unwrap();
    let mut parsed = 0;
    for dashboard in dashboards::shipped() {
        let json: serde_json::Value = serde_json::from_str(&dashboard.json).unwrap();
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        let targets = list(&json["panels"]).into_iter().flat_map(|panel| list(&panel["targets"]));
        for asked in targets.chain(list(&json["annotations"]["list"])) {
            let Some(query) = asked["expr"].as_str() else { continue };
            let query = query.replace("$__rate_interval", "1m").replace("$__range", "5m");
            prometheus.format_query(&query).await.unwrap();
            parsed += 1;
        }
    }
    assert!(parsed > 100, "{parsed}");
}

#[test]
fn alerts_fire_when_they_should_and_not_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../alerts/plimsoll.rules.yml");
    let rules = rules.canonicalize().unwrap();
    let test = format!(
        r#"
rule_files: ["{}"]
evaluation_interval: 5s
tests:
  - interval: 5s
    input_series:
      - {{ series: 'plimsoll_run_info{{plan="live",run="1",job="p",instance="i"}}', values: '1x60' }}
      - {{ series: 'plimsoll_sla_met{{plan="live",sla="quick",job="p",instance="i"}}', values: '1x5 0x60' }}
      - {{ series: 'plimsoll_sla_met{{plan="over",sla="quick",job="p",instance="i"}}', values: '0x60' }}
      - {{ series: 'plimsoll_export_points_total{{sink="influxdb",fate="lost",job="p",instance="i"}}', values: '0x10 5x60' }}
      - {{ series: 'plimsoll_requests_total{{plan="live",status="",job="p",instance="i"}}', values: '0+1x60' }}
      - {{ series: 'plimsoll_requests_total{{plan="live",status="200",job="p",instance="i"}}', values: '0+9x60' }}
    alert_rule_test:
      - {{ eval_time: 10s, alertname: PlimsollSlaMissed, exp_alerts: [] }}
      - eval_time: 60s
        alertname: PlimsollSlaMissed
        exp_alerts:
          - exp_labels: {{ plan: live, sla: quick, job: p, instance: i, severity: critical }}
            exp_annotations:
              summary: live misses its objective quick
              description: The objective is judged over its own window, so a miss is told at once. plimsoll_sla_observed shows the figure.
      - {{ eval_time: 30s, alertname: PlimsollExportLosesPoints, exp_alerts: [] }}
      - {{ eval_time: 120s, alertname: PlimsollTargetDoesNotAnswer, exp_alerts: [] }}
"#,
        rules.display()
    );
    std::fs::write(folder.path().join("test.yml"), test).unwrap();
    promtool(folder.path(), &["test", "rules", "test.yml"]).unwrap();
}

/// Days pass between two answers about capacity, and rules are evaluated as seldom here.
#[test]
fn headroom_that_is_small_or_shrinks_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../alerts/plimsoll.rules.yml");
    let rules = rules.canonicalize().unwrap();
    let test = format!(
        r#"
rule_files: ["{}"]
evaluation_interval: 1d
tests:
  - interval: 1d
    input_series:
      - {{ series: 'plimsoll_capacity_headroom_ratio{{plan="steady"}}', values: '0.45x60' }}
      - {{ series: 'plimsoll_capacity_headroom_ratio{{plan="roomy"}}', values: '0.9x20 0.6x40' }}
      - {{ series: 'plimsoll_capacity_headroom_ratio{{plan="shrinks"}}', values: '0.5x20 0.25x40' }}
      - {{ series: 'plimsoll_capacity_headroom_ratio{{plan="over"}}', values: '-0.05x60' }}
    alert_rule_test:
      - {{ eval_time: 10d, alertname: PlimsollHeadroomShrinks, exp_alerts: [] }}
      - eval_time: 30d
        alertname: PlimsollHeadroomShrinks
        exp_alerts:
          - exp_labels: {{ plan: shrinks, severity: warning }}
            exp_annotations:
              summary: shrinks has lost 25% of its limit as headroom within 30 days
              description: Traffic grew or the limit fell. capacity --plan with --growth or --traffic-data tells the date on which nothing is left.
      - {{ eval_time: 58d, alertname: PlimsollHeadroomShrinks, exp_alerts: [] }}
      - eval_time: 1d
        alertname: PlimsollHeadroomSmall
        exp_alerts:
          - exp_labels: {{ plan: over, severity: critical }}
            exp_annotations:
              summary: Traffic of over leaves -5% of its limit
              description: Less than a tenth of the limit is free beside the busiest traffic. plimsoll_capacity_limit has its interval; the page /capacity of the service says what limits.
"#,
        rules.display()
    );
    std::fs::write(folder.path().join("test.yml"), test).unwrap();
    promtool(folder.path(), &["test", "rules", "test.yml"]).unwrap();
}
