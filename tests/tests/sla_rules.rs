//! `plimsoll sla rules`: what it writes is understood by promtool, whose own tests of it pass.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::path::Path;
use std::process::{Command, Output};

use plimsoll_testkit::{binary, promtool};

fn rules(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("plimsoll").unwrap());
    command.current_dir(folder).args(["sla", "rules"]).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Files in the folder that end so, sorted.
fn files(folder: &Path, end: &str) -> Vec<String> {
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    names.sort();
    names
}

/// Each file of rules is right, and each file of tests passes.
fn prove(folder: &Path) {
    for file in files(folder, ".rules.yml") {
        promtool(folder, &["check", "rules", &file]).unwrap();
    }
    for file in files(folder, ".test.yml") {
        promtool(folder, &["test", "rules", &file]).unwrap();
    }
}

/// An SLO of this indicator, budgeting method, objective and anything else.
fn slo(name: &str, indicator: &str, method: &str, objective: &str, window: &str, more: &str) -> String {
    format!(
        "---\napiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: {name}{more}}}\nspec:\n  service: shop\n  indicator:\n    \
         metadata: {{name: {name}-sli}}\n    spec:\n      {indicator}\n  timeWindow: [{{duration: {window}, isRolling: true}}]\n  \
         budgetingMethod: {method}\n  objectives: [{objective}]\n"
    )
}

fn counters(counted: &str, query: &str, total: &str) -> String {
    let metric = |query: &str| format!("{{metricSource: {{type: Prometheus, spec: {{query: '{query}'}}}}}}");
    format!("ratioMetric: {{counter: true, {counted}: {}, total: {}}}", metric(query), metric(total))
}

/// Alerts of one condition, with another for when there are no data.
fn policies(condition: &str) -> String {
    format!(
        "  alertPolicies:\n    - kind: AlertPolicy\n      metadata: {{name: own}}\n      spec:\n        alertWhenBreaching: true\n        \
         alertWhenNoData: true\n        conditions:\n          - kind: AlertCondition\n            metadata: {{name: own}}\n            \
         spec: {{severity: page, condition: {{kind: burnrate, {condition}}}}}\n        notificationTargets:\n          - kind: \
         AlertNotificationTarget\n            metadata: {{name: on-call}}\n            spec: {{target: pager}}\n"
    )
}

const ERRORS: &str = r#"sum(http_requests_total{job="shop",code=~"5.."})"#;
const ALL: &str = r#"sum(http_requests_total{job="shop"})"#;

#[test]
fn every_kind_of_objective_has_rules_that_pass_their_own_tests() {
    let folder = tempfile::tempdir().unwrap();
    let occurrences = "Occurrences";
    let three_nines = "{target: 0.999}";
    let figure = "thresholdMetric: {metricSource: {type: Prometheus, spec: {query: 'max(queue_length)'}}}";
    let share = "ratioMetric: {rawType: failure, raw: {metricSource: {type: Prometheus, spec: {query: 'avg(avg_over_time(error_share[{{.window}}]))'}}}}";
    let windowed = counters(
        "good",
        r#"sum(rate(calls_total{outcome!~"failed|lost"}[{{.window}}]))"#,
        "sum(rate(calls_total[{{.window}}]))",
    );
    let documents = [
        slo("bad-of-all", &counters("bad", ERRORS, ALL), occurrences, three_nines, "30d", ""),
        slo("windowed", &windowed, occurrences, "{target: 0.95}", "7d", ""),
        slo(
            "short",
            &counters("good", "sum(ok)", "sum(ok) + sum(failed)"),
            occurrences,
            "{target: 0.99}",
            "1h",
            "",
        ),
        slo("minute", &counters("good", "ok", "all"), occurrences, "{target: 0.9}", "1m", ""),
        slo(
            "tenants",
            &counters("bad", "sum(failed)", "sum(all)"),
            occurrences,
            three_nines,
            "30d",
            ", annotations: {plimsoll/for-each: tenant, plimsoll/runbook-url: \"https://example.com/{{ tenant }}\"}",
        ) + &policies("op: gt, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m"),
        slo(
            "teams",
            &counters("bad", "sum by (team, job) (failed)", "sum(all)"),
            occurrences,
            three_nines,
            "30d",
            ", annotations: {plimsoll/for-each: team}",
        ),
        slo(
            "slices",
            &counters("bad", ERRORS, ALL),
            "Timeslices",
            "{target: 0.99, timeSliceTarget: 0.95, timeSliceWindow: 5m}",
            "28d",
            "",
        ) + &policies("op: gte, threshold: 2, lookbackWindow: 1d, alertAfter: 0m"),
        slo(
            "shares-of-slices",
            &counters("good", "ok", "all"),
            "RatioTimeslices",
            "{target: 0.99, timeSliceWindow: 1m}",
            "28d",
            "",
        ),
        slo("queue", figure, occurrences, "{target: 0.99, op: lte, value: 100}", "30d", "")
            + &policies("op: gt, threshold: 10, lookbackWindow: 6h, alertAfter: 10m"),
        slo("raw", share, "RatioTimeslices", "{target: 0.99, timeSliceWindow: 5m}", "30d", ""),
    ];
    std::fs::write(folder.path().join("slo.yaml"), documents.concat()).unwrap();
    let output = rules(folder.path(), &["slo.yaml", "--out", "rules"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("no test"), "{}", text(&output.stderr));
    let written = folder.path().join("rules");
    assert_eq!(files(&written, ".rules.yml").len(), documents.len());
    assert_eq!(files(&written, ".test.yml").len(), documents.len());
    prove(&written);
    // All of them are one file for standard output.
    let output = rules(folder.path(), &["slo.yaml"]);
    std::fs::write(folder.path().join("all.yml"), &output.stdout).unwrap();
    promtool(folder.path(), &["check", "rules", "all.yml"]).unwrap();
}

/// What Prometheus cannot count is refused, and then nothing is written at all.
#[test]
fn what_cannot_be_said_is_refused_with_the_reason() {
    let runs = "ratioMetric: {counter: true, good: {metricSource: {type: Plimsoll, spec: {plan: p}}}, \
                total: {metricSource: {type: Plimsoll, spec: {plan: p}}}}";
    let figure = "thresholdMetric: {metricSource: {type: Prometheus, spec: {query: 'vector(1)'}}}";
    let each = ", annotations: {plimsoll/for-each: tenant}";
    let cases = [
        (
            counters("good", "avg(ok)", "sum(all)"),
            "",
            "`avg(ok)` has `avg(ok)`, which is no number of events",
        ),
        (counters("good", "sum(ok", "sum(all)"), "", "`sum(ok` is no PromQL"),
        (counters("good", "sum by (job) (ok)", "sum(all)"), each, "drops the label `tenant`"),
        (runs.to_owned(), each, "the counters of runs have no label `tenant`"),
        (figure.to_owned(), "", "`vector(1)` looks at no series"),
    ];
    for (indicator, more, why) in cases {
        let folder = tempfile::tempdir().unwrap();
        let objective = if indicator.starts_with("threshold") {
            "{target: 0.9, op: gt, value: 1}"
        } else {
            "{target: 0.9}"
        };
        let sound = slo("sound", &counters("good", "ok", "all"), "Occurrences", "{target: 0.9}", "30d", "");
        let wrong = slo("wrong", &indicator, "Occurrences", objective, "30d", more);
        std::fs::write(folder.path().join("slo.yaml"), sound + &wrong).unwrap();
        let output = rules(folder.path(), &["slo.yaml", "--out", "rules"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("no rules for `wrong`") && said.contains(why), "{why}: {said}");
        assert!(!folder.path().join("rules").exists());
    }
}

/// What Prometheus says otherwise, or not at all, is told.
#[test]
fn what_is_left_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let excluded =
        ", annotations: {plimsoll/exclude: \"2026-11-01T00:00:00Z/2026-11-01T02:00:00Z database moves\"}";
    let hours = "{target: 0.99, timeSliceTarget: 0.95, timeSliceWindow: 1h}";
    let documents = [
        slo("moved", &counters("good", "ok", "all"), "Occurrences", "{target: 0.9}", "30d", excluded),
        slo("hours", &counters("good", "ok", "all"), "Timeslices", hours, "30d", "")
            + &policies("op: gt, threshold: 2, lookbackWindow: 2h, alertAfter: 0m"),
    ];
    std::fs::write(folder.path().join("slo.yaml"), documents.concat()).unwrap();
    let output = rules(folder.path(), &["slo.yaml", "--out", "rules"]);
    let said = text(&output.stderr);
    let expected = [
        "note: `moved`: the published alert at 14.4 over 1h is left out: a burn rate of 14.4 can never be",
        "note: `moved`: what is excluded (database moves) is counted here; its alerts are silent until",
        "note: `hours`: whether somebody is told that an alert is over is not said by rules",
        "note: `hours`: the alert `page` over 2h can never fire",
    ];
    for expected in expected {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let written = folder.path().join("rules");
    prove(&written);
    let moved = std::fs::read_to_string(written.join("moved.rules.yml")).unwrap();
    assert!(moved.contains("on () (vector(time()) < 1793491200 or vector(time()) >= "), "{moved}");
}

/// Alerts are silent during what is excluded and for their short window behind it, and not for longer.
#[test]
fn what_is_excluded_alerts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let excluded =
        ", annotations: {plimsoll/exclude: \"1970-01-01T01:00:00Z/1970-01-01T02:00:00Z database moves\"}";
    let document =
        slo("moved", &counters("bad", "failed", "all"), "Occurrences", "{target: 0.999}", "30d", excluded);
    std::fs::write(folder.path().join("slo.yaml"), document).unwrap();
    assert_eq!(rules(folder.path(), &["slo.yaml", "--out", "."]).status.code(), Some(0));
    // Two outages of 20 minutes: from 1:10 on, and from 3:00 on.
    let test = "rule_files: [moved.rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n      \
                - {series: all, values: '0+60x240'}\n      - {series: failed, values: '0x70 60+60x19 1200x90 1260+60x19 2400x40'}\n    \
                promql_expr_test:\n";
    let burns = "count(ALERTS{alertname=\"PlimsollErrorBudgetBurns\",alertstate=\"firing\",window=\"1h\"}) or vector(0)";
    let cases = [("1h9m", 0), ("1h25m", 0), ("2h4m", 0), ("2h50m", 0), ("3h10m", 1), ("3h40m", 0)];
    let asked = cases.map(|(time, alerts)| {
        format!("      - {{expr: '{burns}', eval_time: {time}, exp_samples: [{{labels: '{{}}', value: {alerts}}}]}}\n")
    });
    std::fs::write(folder.path().join("test.yml"), test.to_owned() + &asked.concat()).unwrap();
    promtool(folder.path(), &["test", "rules", "test.yml"]).unwrap();
}

/// The rules of the objectives in `config/sla` are shipped, and are what is written of them.
#[test]
fn shipped_rules_are_what_is_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in files(&root.join("config/sla"), ".yaml") {
        let file = root.join("config/sla").join(file);
        let output = rules(folder.path(), &[file.to_str().unwrap(), "--out", "."]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    let shipped = root.join("alerts/sla");
    let written = files(folder.path(), ".yml");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        std::fs::create_dir_all(&shipped).unwrap();
        files(&shipped, ".yml").iter().for_each(|file| std::fs::remove_file(shipped.join(file)).unwrap());
        for file in &written {
            std::fs::copy(folder.path().join(file), shipped.join(file)).unwrap();
        }
    }
    assert_eq!(files(&shipped, ".yml"), written);
    for file in &written {
        let [shipped, written] =
            [&shipped, folder.path()].map(|folder| std::fs::read_to_string(folder.join(file)).unwrap());
        assert!(shipped == written, "alerts/sla/{file} is not what is written; UPDATE_GOLDEN=1 renews it");
    }
    prove(&shipped);
}
