//! Each rule with the smallest change that breaks it. Names and paths are those of the official validator's own tests,
//! as far as it has the rule.

use plimsoll_sla::openslo::{Object, Referenced, inline};

use super::{documents, told};

const SLO: &str = r#"
apiVersion: openslo/v1
kind: SLO
metadata:
  name: web-availability
  displayName: Availability of the web
  labels:
    env: [prod]
    team: shop
  annotations:
    openslo.com/folder: ./here
spec:
  description: most requests succeed
  service: web
  indicator:
    metadata: {name: good-requests}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: good}}}
        total: {metricSource: {type: Prometheus, spec: {query: all}}}
  timeWindow:
    - duration: 4w
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - displayName: Good
      target: 0.995
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: page}
      spec:
        alertWhenBreaching: true
        conditions:
          - kind: AlertCondition
            metadata: {name: fast}
            spec:
              severity: page
              condition: {kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m}
        notificationTargets:
          - kind: AlertNotificationTarget
            metadata: {name: mail}
            spec: {target: email}
"#;

const THRESHOLD: &str = "
apiVersion: openslo/v1
kind: SLO
metadata: {name: web-latency}
spec:
  service: web
  indicator:
    metadata: {name: latency}
    spec:
      thresholdMetric: {metricSource: {type: Prometheus, spec: {query: p95}}}
  timeWindow:
    - duration: 1M
      calendar: {startTime: 2022-01-01 00:00:00, timeZone: Europe/Zurich}
  budgetingMethod: Timeslices
  objectives:
    - {op: lt, value: 200, targetPercent: 99.5, timeSliceTarget: 0.95, timeSliceWindow: 1m}
";

const SMALL: &str = "
apiVersion: openslo/v1
kind: DataSource
metadata: {name: prometheus}
spec: {type: Prometheus, connectionDetails: {url: http://localhost}}
---
apiVersion: openslo/v1
kind: Service
metadata: {name: web}
spec: {description: the web}
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast}
spec: {severity: page, condition: {kind: burnrate, op: gte, threshold: 6, lookbackWindow: 6h}}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: mail}
spec: {target: email}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: page}
spec:
  conditions: [{conditionRef: fast}]
  notificationTargets: [{targetRef: mail}]
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: errors}
spec:
  ratioMetric:
    bad: {metricSource: {metricSourceRef: prometheus, spec: {query: bad}}}
    total: {metricSource: {metricSourceRef: prometheus, spec: {query: all}}}
";

const V1ALPHA: &str = "
apiVersion: openslo/v1alpha
kind: SLO
metadata: {name: web, displayName: Web}
spec:
  service: web
  indicator:
    thresholdMetric: {source: Prometheus, queryType: promql, query: p95}
  timeWindows: [{unit: Week, count: 1, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - {displayName: Good, value: 200, op: lt, target: 0.98}
";

/// What is told of a text in which something stands in the place of something else.
#[track_caller]
fn check(base: &str, from: &str, to: &str, expected: &[&str]) {
    assert!(base.contains(from), "`{from}` is there");
    let text = base.replacen(from, to, 1);
    assert_eq!(told(&documents(&[&text])), expected, "{from} -> {to}\n{text}");
}

#[test]
fn what_is_right_is_told_nothing_of() {
    for text in [SLO, THRESHOLD, SMALL, V1ALPHA] {
        check(text, "", "", &[]);
    }
}

#[test]
fn envelopes() {
    for (from, to, expected) in [
        ("apiVersion: openslo/v1\n", "", &["error required apiVersion"][..]),
        ("openslo/v1", "openslo/v2", &["error one_of apiVersion"]),
        ("openslo/v1", "v1", &["error one_of apiVersion"]),
        ("openslo/v1", "openslo.com/v2alpha", &["error unsupported_version apiVersion"]),
        ("kind: SLO", "kind: Slo", &["error one_of kind"]),
        ("kind: SLO\n", "", &["error required kind"]),
        ("kind: SLO", "kind: [SLO]", &["error type kind"]),
        ("spec:\n", "spek: {}\nspec:\n", &["error unknown_key spek"]),
        (
            "name: web-availability",
            "nam: web",
            &["error required metadata.name", "error unknown_key metadata.nam"],
        ),
        ("  name: web-availability\n", "", &["error required metadata.name"]),
        ("name: web-availability", "name: Web", &["error string_dns_label metadata.name"]),
        ("name: web-availability", "name: 5", &["error type metadata.name"]),
        ("name: web-availability", "name: \"\"", &["error required metadata.name"]),
        ("team: shop", "a b: shop", &["error string_match_regexp metadata.labels['a b']"]),
        ("team: shop", "team: 5", &["error type metadata.labels.team"]),
        ("team: shop", "team: [a, true]", &["error type metadata.labels.team[1]"]),
        ("team: shop", "team: []", &[]),
        ("openslo.com/folder", "a/b/c", &["error string_match_regexp metadata.annotations['a/b/c']"]),
        ("./here", "[x]", &["error type metadata.annotations['openslo.com/folder']"]),
    ] {
        check(SLO, from, to, expected);
    }
    let long = "x".repeat(64);
    check(SLO, "Availability of the web", &long, &["error string_max_length metadata.displayName"]);
    let longer = "ü".repeat(1051);
    check(SLO, "most requests succeed", &longer, &["error string_max_length spec.description"]);
    check(SLO, "most requests succeed", &"ü".repeat(1050), &[]);
    check("apiVersion: openslo/v1\nkind: Service", "", "", &["error required metadata"]);
    check("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}", "", "", &["error required spec"]);
    check("5", "", "", &["error type "]);
    check("[5, {}]", "", "", &["error type ", "error required apiVersion", "error required kind"]);
}

#[test]
fn promises() {
    for (from, to, expected) in [
        ("  service: web\n", "", &["error required spec.service"][..]),
        ("Occurrences", "Occurences", &["error one_of spec.budgetingMethod"]),
        ("  budgetingMethod: Occurrences\n", "", &["error required spec.budgetingMethod"]),
        (
            "indicator:\n",
            "indicatorRef: good\n  indicator:\n",
            &["error mutually_exclusive spec", "error unresolved_reference spec.indicatorRef"],
        ),
        (
            "target: 0.995",
            "target: 0.995\n      indicatorRef: x",
            &["error mutually_exclusive spec", "error unresolved_reference spec.objectives[0].indicatorRef"],
        ),
        ("target: 0.995", "", &["error mutually_exclusive spec.objectives[0]"]),
        (
            "target: 0.995",
            "targetPercent: 99.5\n      target: 0.995",
            &["error mutually_exclusive spec.objectives[0]"],
        ),
        ("target: 0.995", "target: 0", &["warning nothing_promised spec.objectives[0].target"]),
        ("target: 0.995", "target: 1", &["error less_than spec.objectives[0].target"]),
        ("target: 0.995", "target: 0.9999999", &[]),
        ("target: 0.995", "target: -0.1", &["error greater_than_or_equal_to spec.objectives[0].target"]),
        ("target: 0.995", "target: \"0.9\"", &["error type spec.objectives[0].target"]),
        ("target: 0.995", "target: 99%", &["error type spec.objectives[0].target"]),
        ("target: 0.995", "target: .nan", &["error type spec.objectives[0].target"]),
        ("target: 0.995", "target: .inf", &["error type spec.objectives[0].target"]),
        ("target: 0.995", "target: 1e999", &["error type spec.objectives[0].target"]),
        ("target: 0.995", "targetPercent: 100", &["error less_than spec.objectives[0].targetPercent"]),
        ("target: 0.995", "targetPercent: 100.0001", &["error less_than spec.objectives[0].targetPercent"]),
        ("target: 0.995", "targetPercent: 99.999", &[]),
        ("target: 0.995", "target: 0.995\n      op: gt", &["warning forbidden spec.objectives[0].op"]),
        ("target: 0.995", "target: 0.995\n      value: 1", &["error forbidden spec.objectives[0].value"]),
        ("    - displayName: Good\n      target: 0.995\n", "", &["error required spec.objectives"]),
        ("- duration: 4w\n      isRolling: true", "[]", &["error slice_length spec.timeWindow"]),
        (
            "  timeWindow:\n    - duration: 4w\n      isRolling: true\n",
            "",
            &["error slice_length spec.timeWindow"],
        ),
        (
            "- duration: 4w",
            "- {duration: 1d, isRolling: true}\n    - duration: 4w",
            &["error slice_length spec.timeWindow"],
        ),
        ("duration: 4w", "duration: 4x", &["error one_of spec.timeWindow[0].duration.unit"]),
        ("duration: 4w", "duration: 0w", &["error greater_than spec.timeWindow[0].duration"]),
        (
            "duration: 4w",
            "duration: -4w",
            &["error greater_than_or_equal_to spec.timeWindow[0].duration.value"],
        ),
        ("duration: 4w", "duration: 28 days", &["error duration_shorthand spec.timeWindow[0].duration"]),
        ("duration: 4w", "duration: 28", &["error type spec.timeWindow[0].duration"]),
        ("duration: 4w", "duration:", &["error required spec.timeWindow[0].duration"]),
        ("isRolling: true", "isRolling: false", &["error calendar spec.timeWindow[0]"]),
        ("isRolling: true", "isRolling: yes", &["error type spec.timeWindow[0].isRolling"]),
        (
            "isRolling: true",
            "isRolling: true\n      calendar: {startTime: 2022-01-01 00:00:00, timeZone: UTC}",
            &["error calendar spec.timeWindow[0]"],
        ),
    ] {
        check(SLO, from, to, expected);
    }
    for (from, to, expected) in [
        ("op: lt, ", "", &["error required spec.objectives[0].op"][..]),
        ("op: lt, ", "op: below, ", &["error one_of spec.objectives[0].op"]),
        ("value: 200, ", "", &["error required spec.objectives[0].value"]),
        ("value: 200, ", "value: a lot, ", &["error type spec.objectives[0].value"]),
        ("timeSliceTarget: 0.95, ", "", &["error required spec.objectives[0].timeSliceTarget"]),
        (
            "timeSliceTarget: 0.95",
            "timeSliceTarget: 0",
            &["error greater_than spec.objectives[0].timeSliceTarget"],
        ),
        ("timeSliceTarget: 0.95", "timeSliceTarget: 1", &[]),
        (
            "timeSliceTarget: 0.95",
            "timeSliceTarget: 1.1",
            &["error less_than_or_equal_to spec.objectives[0].timeSliceTarget"],
        ),
        (", timeSliceWindow: 1m", "", &["error required spec.objectives[0].timeSliceWindow"]),
        (
            "timeSliceWindow: 1m",
            "timeSliceWindow: 5",
            &["warning duration_shorthand spec.objectives[0].timeSliceWindow"],
        ),
        (
            "timeSliceWindow: 1m",
            "timeSliceWindow: 1.5",
            &["error duration_shorthand spec.objectives[0].timeSliceWindow"],
        ),
        (
            "timeSliceWindow: 1m",
            "timeSliceWindow: 31d",
            &["error less_than_or_equal_to spec.objectives[0].timeSliceWindow"],
        ),
        ("Timeslices", "RatioTimeslices", &[]),
        ("duration: 1M", "duration: 1m", &["warning calendar_unit spec.timeWindow[0].duration"]),
        (
            "2022-01-01 00:00:00",
            "2022-13-01 00:00:00",
            &["error string_date_time spec.timeWindow[0].calendar.startTime"],
        ),
        ("Europe/Zurich", "Europe/Bern", &["error string_time_zone spec.timeWindow[0].calendar.timeZone"]),
        (", timeZone: Europe/Zurich", "", &["error string_time_zone spec.timeWindow[0].calendar.timeZone"]),
    ] {
        check(THRESHOLD, from, to, expected);
    }
}

#[test]
fn composites() {
    let indicator = "  indicator:\n    metadata: {name: latency}\n    spec:\n      thresholdMetric: {metricSource: {type: Prometheus, spec: {query: p95}}}\n";
    let own = "op: lt, indicator: {metadata: {name: latency}, spec: {thresholdMetric: {metricSource: {type: Prometheus, spec: {query: p95}}}}}";
    let composite = THRESHOLD.replacen(indicator, "", 1).replacen("op: lt", own, 1);
    for (from, to, expected) in [
        ("", "", &[][..]),
        ("op: lt", "op: lt, compositeWeight: 0.5", &[]),
        ("op: lt", "op: lt, compositeWeight: 0", &["error greater_than spec.objectives[0].compositeWeight"]),
        ("op: lt, ", "", &["error required spec.objectives[0].op"]),
        (
            "op: lt",
            "op: lt, indicatorRef: x",
            &[
                "error mutually_exclusive spec.objectives[0]",
                "error unresolved_reference spec.objectives[0].indicatorRef",
            ],
        ),
        (
            "query: p95",
            "",
            &["error required spec.objectives[0].indicator.spec.thresholdMetric.metricSource.spec"],
        ),
        (
            "  objectives:\n",
            "  objectives:\n    - {target: 0.5, timeSliceTarget: 0.5, timeSliceWindow: 1m}\n",
            &["error required spec.objectives[0].indicator"],
        ),
    ] {
        check(&composite, from, to, expected);
    }
    check(THRESHOLD, indicator, "", &["error mutually_exclusive spec"]);
}

#[test]
fn indicators() {
    let good = "        good: {metricSource: {type: Prometheus, spec: {query: good}}}\n";
    let total = "        total: {metricSource: {type: Prometheus, spec: {query: all}}}\n";
    let ratio = "spec.indicator.spec.ratioMetric";
    let raw = format!("{}        rawType: success\n", total.replace("total", "raw"));
    let of = |rule: &str, path: &str| format!("error {rule} {ratio}{path}");
    for (from, to, expected) in [
        (good, String::new(), vec![of("one_of_properties", "")]),
        (total, String::new(), vec![of("mutually_exclusive", "")]),
        (total, format!("{total}{}", total.replace("total", "raw")), vec![of("mutually_exclusive", "")]),
        (total, format!("{total}{}", total.replace("total", "bad")), vec![of("mutually_exclusive", "")]),
        (total, total.replace("total", "bad"), vec![of("mutually_exclusive", "")]),
        (total, total.replace("{query: all}", "{}"), vec![of("required", ".total.metricSource.spec")]),
        (total, total.replace("{query: all}", "[]"), vec![of("type", ".total.metricSource.spec")]),
        (
            total,
            "        total: {metricSource: {}}\n".to_owned(),
            vec![of("required", ".total.metricSource")],
        ),
        (total, "        total: {}\n".to_owned(), vec![of("required", ".total.metricSource")]),
        (
            total,
            total.replace("type: Prometheus, ", ""),
            vec![format!("warning required {ratio}.total.metricSource.type")],
        ),
        (
            total,
            total.replace("type: Prometheus", "metricSourceRef: My"),
            vec![
                of("string_dns_label", ".total.metricSource.metricSourceRef"),
                format!("warning unresolved_reference {ratio}.total.metricSource.metricSourceRef"),
            ],
        ),
        (&format!("{good}{total}"), raw.clone(), vec![]),
        (&format!("{good}{total}"), raw.replace("success", "good"), vec![of("one_of", ".rawType")]),
        (&format!("{good}{total}"), raw.replace("rawType: success", ""), vec![of("required", ".rawType")]),
    ] {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(SLO, from, &to, &expected);
    }
    let sli = "apiVersion: openslo/v1\nkind: SLI\nmetadata: {name: a}\nspec: {}";
    check(sli, "", "", &["error mutually_exclusive spec"]);
}

#[test]
fn alerts() {
    let (policy, condition) = ("spec.alertPolicies[0]", "spec.alertPolicies[0].spec.conditions[0]");
    let target = "spec.alertPolicies[0].spec.notificationTargets[0]";
    for (from, to, expected) in [
        ("kind: AlertPolicy\n", "kind: Service\n", vec![format!("error equal_to {policy}.kind")]),
        ("- kind: AlertPolicy\n      metadata", "- metadata", vec![format!("error required {policy}.kind")]),
        (
            "- kind: AlertPolicy\n",
            "- alertPolicyRef: page\n      kind: AlertPolicy\n",
            vec![
                format!("error mutually_exclusive {policy}"),
                format!("error unresolved_reference {policy}.alertPolicyRef"),
            ],
        ),
        (
            "metadata: {name: page}",
            "metadata: {name: a-}",
            vec![format!("error string_dns_label {policy}.metadata.name")],
        ),
        ("      metadata: {name: page}\n", "", vec![format!("error required {policy}.metadata")]),
        (
            "alertWhenBreaching: true",
            "alertWhenBreaching: 1",
            vec![format!("error type {policy}.spec.alertWhenBreaching")],
        ),
        ("severity: page", "severity: \"\"", vec![format!("error required {condition}.spec.severity")]),
        ("kind: burnrate", "kind: rate", vec![format!("error one_of {condition}.spec.condition.kind")]),
        ("kind: burnrate, ", "", vec![format!("warning required {condition}.spec.condition.kind")]),
        ("op: gt, ", "", vec![format!("warning required {condition}.spec.condition.op")]),
        ("op: gt", "op: lte", vec![format!("warning low_burn_rate {condition}.spec.condition.op")]),
        ("op: gt", "op: lt", vec![format!("warning low_burn_rate {condition}.spec.condition.op")]),
        ("op: gt", "op: gte", vec![]),
        ("threshold: 14.4, ", "", vec![format!("error required {condition}.spec.condition.threshold")]),
        (
            "lookbackWindow: 1h, ",
            "",
            vec![format!("error required {condition}.spec.condition.lookbackWindow")],
        ),
        (
            "lookbackWindow: 1h",
            "lookbackWindow: 0h",
            vec![format!("error greater_than {condition}.spec.condition.lookbackWindow")],
        ),
        ("alertAfter: 5m", "alertAfter: 0m", vec![]),
        (
            "alertAfter: 5m",
            "alertAfter: 5s",
            vec![format!("error one_of {condition}.spec.condition.alertAfter.unit")],
        ),
        ("kind: AlertCondition", "kind: AlertPolicy", vec![format!("error equal_to {condition}.kind")]),
        ("spec: {target: email}", "spec: {target: \"\"}", vec![format!("error required {target}.spec")]),
        (
            "spec: {target: email}",
            "spec: {description: x}",
            vec![format!("error required {target}.spec.target")],
        ),
        (
            "kind: AlertNotificationTarget\n            metadata: {name: mail}\n            spec: {target: email}",
            "{}",
            vec![format!("error mutually_exclusive {target}")],
        ),
    ] {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(SLO, from, to, &expected);
    }
    for (from, to, expected) in [
        ("[{conditionRef: fast}]", "[]", &["error slice_length spec.conditions"][..]),
        (
            "[{conditionRef: fast}]",
            "[{conditionRef: fast}, {conditionRef: fast}]",
            &["error slice_length spec.conditions"],
        ),
        ("[{conditionRef: fast}]", "[{}]", &["error mutually_exclusive spec.conditions[0]"]),
        ("[{conditionRef: fast}]", "{conditionRef: fast}", &["error type spec.conditions"]),
        ("[{conditionRef: fast}]", "[{conditionRef: }]", &["error required spec.conditions[0].conditionRef"]),
        (
            "[{conditionRef: fast}]",
            "[{conditionRef: slow}]",
            &["error unresolved_reference spec.conditions[0].conditionRef"],
        ),
        ("[{targetRef: mail}]", "", &["error slice_min_length spec.notificationTargets"]),
        (
            "[{targetRef: mail}]",
            "[{targetRef: Mail}]",
            &[
                "error string_dns_label spec.notificationTargets[0].targetRef",
                "error unresolved_reference spec.notificationTargets[0].targetRef",
            ],
        ),
        (
            "condition: {kind: burnrate, op: gte, threshold: 6, lookbackWindow: 6h}",
            "condition: {}",
            &["error required spec.condition"],
        ),
        ("type: Prometheus, connectionDetails", "connectionDetails", &["error required spec.type"]),
        (", connectionDetails: {url: http://localhost}", "", &["error required spec.connectionDetails"]),
    ] {
        check(SMALL, from, to, expected);
    }
}

#[test]
fn references_go_across_files() {
    let slo = THRESHOLD.replacen("  service", "  alertPolicies: [{alertPolicyRef: page}]\n  service", 1);
    assert_eq!(told(&documents(&[&slo, SMALL])), [""; 0]);
    assert_eq!(told(&documents(&[SMALL, &slo])), [""; 0]);
    assert_eq!(
        told(&documents(&[&slo])),
        ["error unresolved_reference spec.alertPolicies[0].alertPolicyRef"]
    );
    let other =
        SMALL.replacen("kind: Service\nmetadata: {name: web}", "kind: Service\nmetadata: {name: shop}", 1);
    assert_eq!(told(&documents(&[&slo, &other])), ["warning unresolved_reference spec.service"]);
    assert_eq!(told(&documents(&[SLO, SLO])), ["error duplicate metadata.name"]);
    let service = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: web}\n";
    assert_eq!(told(&documents(&[service, service])), ["warning duplicate metadata.name"]);
}

#[test]
fn what_an_objective_needs_is_known_of_indicators_elsewhere() {
    let indicator = "indicator:\n    metadata: {name: latency}\n    spec:\n      thresholdMetric: {metricSource: {type: Prometheus, spec: {query: p95}}}";
    let by_name = THRESHOLD.replacen(indicator, "indicatorRef: errors", 1);
    assert_eq!(
        told(&documents(&[&by_name, SMALL])),
        ["warning forbidden spec.objectives[0].op", "error forbidden spec.objectives[0].value",]
    );
    let threshold = "ratioMetric:\n    bad: {metricSource: {metricSourceRef: prometheus, spec: {query: bad}}}\n    total: ";
    let small = SMALL.replacen(threshold, "thresholdMetric: ", 1);
    assert_eq!(told(&documents(&[&by_name, &small])), [""; 0]);
    let bare = by_name.replacen("op: lt, value: 200, ", "", 1);
    assert_eq!(
        told(&documents(&[&bare, &small])),
        ["error required spec.objectives[0].value", "error required spec.objectives[0].op",]
    );
    let unread = by_name.replacen("value: 200", "value: x", 1);
    assert_eq!(told(&documents(&[&unread, &small])), ["error type spec.objectives[0].value"]);
}

#[test]
fn older_documents() {
    for (from, to, expected) in [
        (
            "source: Prometheus",
            "source: my-prometheus",
            &["error string_alpha spec.indicator.thresholdMetric.source"][..],
        ),
        (", query: p95", "", &["error required spec.indicator.thresholdMetric.query"]),
        (
            "{source: Prometheus, queryType: promql, query: p95}",
            "{}",
            &["error required spec.indicator.thresholdMetric"],
        ),
        ("value: 200, ", "", &["error required spec.objectives[0].value"]),
        ("op: lt, ", "", &["error required spec.objectives[0].op"]),
        ("target: 0.98", "target: 1", &["error less_than spec.objectives[0].target"]),
        (", target: 0.98", "", &["error required spec.objectives[0].target"]),
        ("Occurrences", "RatioTimeslices", &["error one_of spec.budgetingMethod"]),
        (
            "Occurrences",
            "Timeslices",
            &["error required spec.objectives[0].timeSliceTarget", "warning conversion spec.objectives[0]"],
        ),
        ("unit: Week", "unit: Year", &["error one_of spec.timeWindows[0].unit"]),
        ("unit: Week, count: 1", "unit: Second, count: 90", &["error conversion spec.timeWindows[0].count"]),
        ("unit: Week, count: 1", "unit: Second, count: 120", &[]),
        ("count: 1", "count: 0", &["error greater_than spec.timeWindows[0].count"]),
        (
            "count: 1",
            "count: -1",
            &["error greater_than spec.timeWindows[0].count", "error conversion spec.timeWindows[0].count"],
        ),
        ("isRolling: true", "isRolling: false", &["error calendar spec.timeWindows[0]"]),
        ("displayName: Web", "labels: {a: b}", &["error unknown_key metadata.labels"]),
        ("kind: SLO", "kind: SLI", &["error one_of kind"]),
        (
            "  indicator:\n    thresholdMetric: {source: Prometheus, queryType: promql, query: p95}\n",
            "",
            &["error mutually_exclusive spec"],
        ),
    ] {
        check(V1ALPHA, from, to, expected);
    }
}

#[test]
fn older_documents_become_new_ones() {
    let ratio = |good: &str| {
        format!(
            "ratioMetrics: {{incremental: true, good: {{source: Prometheus, queryType: promql, query: {good}}}, total: {{source: Prometheus, queryType: promql, query: all}}}}"
        )
    };
    let indicator =
        "  indicator:\n    thresholdMetric: {source: Prometheus, queryType: promql, query: p95}\n";
    let base = V1ALPHA.replacen(indicator, "", 1);
    let one = base.replacen("op: lt", &ratio("good"), 1);
    let found = documents(&[&one]);
    assert_eq!(told(&found), ["warning conversion spec.objectives[0].value"]);
    let Some(Object::Slo(slo)) = found.objects().next() else { panic!("it is an SLO") };
    let shared =
        slo.spec.indicator.as_ref().and_then(|indicator| indicator.spec.ratio_metric.as_ref()).unwrap();
    assert!(shared.counter);
    assert_eq!(shared.good.as_ref().unwrap().spec["query"], "good");
    assert_eq!(slo.spec.time_window[0].duration.unwrap().to_string(), "1w");

    let second = format!("\n    - {{displayName: Fast, value: 1, {}, target: 0.9}}\n", ratio("fast"));
    let two = format!("{}{second}", one.trim_end());
    let found = documents(&[&two]);
    assert_eq!(found.issues.len(), 4, "{:?}", told(&found));
    let Some(Object::Slo(slo)) = found.objects().next() else { panic!("it is an SLO") };
    assert!(slo.spec.is_composite() && slo.spec.indicator.is_none());
    assert_eq!(slo.spec.objectives[1].indicator.as_ref().unwrap().metadata.name, "web-2");
}

#[test]
fn what_is_named_is_put_in_its_place() {
    let text = THRESHOLD.replacen(
        "indicator:\n    metadata: {name: latency}\n    spec:\n      thresholdMetric: {metricSource: {type: Prometheus, spec: {query: p95}}}",
        "alertPolicies: [{alertPolicyRef: page}]\n  indicatorRef: errors",
        1,
    );
    let found = documents(&[&text, SMALL]);
    let objects: Vec<Object> = found.objects().cloned().collect();
    let inlined = inline(&objects, Referenced::Remove).unwrap();
    let kinds: Vec<_> = inlined.iter().map(Object::name).collect();
    assert_eq!(kinds, ["web-latency", "prometheus", "web"]);
    let Object::Slo(slo) = &inlined[0] else { panic!("it is an SLO") };
    let policy = slo.spec.alert_policies[0].inline.as_ref().unwrap();
    assert_eq!(policy.spec.conditions[0].inline.as_ref().unwrap().metadata.name, "fast");
    assert_eq!(policy.spec.notification_targets[0].inline.as_ref().unwrap().spec.target, "email");
    assert!(slo.spec.indicator.is_some() && slo.spec.indicator_ref.is_none());
    assert_eq!(inline(&inlined, Referenced::Remove).as_ref(), Ok(&inlined), "there is nothing left to do");

    let missing = inline(&objects[..1], Referenced::Keep).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "`spec.alertPolicies[0].alertPolicyRef` of the SLO `web-latency` names the AlertPolicy `page`, which is not there"
    );
}
