//! What is rendered for other programs is understood by them.

use std::path::Path;

use plimsoll_exposition::dashboards;
use plimsoll_testkit::{Prometheus, PrometheusSetup, promtool};

#[test]
fn promtool_accepts_the_alert_rules() {
    let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../alerts");
    let said = promtool(&alerts, &["check", "rules", "plimsoll.rules.yml"]).unwrap();
    assert!(said.contains("8 rules found"), "{said}");
}

#[tokio::test]
async fn prometheus_parses_every_query_of_the_dashboard() {
    let prometheus = Prometheus::start(PrometheusSetup::default()).await.unwrap();
    for query in dashboards::queries() {
        let query = query.replace("$__rate_interval", "1m").replace("$plan", ".*");
        prometheus.format_query(&query).await.unwrap();
    }
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
