//! Files of promises to what judges them.

use proptest::prelude::*;

use plimsoll_sla::{Counted, Events, Good, Keeper, Method, Sla, Source as From};
use plimsoll_spec::Source;
use plimsoll_spec::openslo::read_slas;

/// The files in `config/sla`.
const SHIPPED: [(&str, &str); 2] = [
    ("checkout.yaml", include_str!("../../../../config/sla/checkout.yaml")),
    ("storefront.yaml", include_str!("../../../../config/sla/storefront.yaml")),
];

/// An SLO around what a case changes.
const BASE: &str = r"
apiVersion: openslo/v1
kind: SLO
metadata:
  name: web
  annotations: {ANNOTATIONS}
spec:
  service: shop
  indicator: {metadata: {name: good}, spec: {INDICATOR}}
  timeWindow: [WINDOW]
  budgetingMethod: METHOD
  objectives:
    - OBJECTIVE
  alertPolicies: [POLICY]
";

const COUNTERS: &str = "ratioMetric: {counter: true, \
    good: {metricSource: {type: Prometheus, spec: {query: 'sum(a)'}}}, \
    total: {metricSource: {type: Prometheus, spec: {query: 'sum(b)'}}}}";

/// Words of [`BASE`] and what stands in their place.
type Changes<'t> = &'t [(&'t str, &'t str)];

fn document(changes: Changes<'_>) -> Source {
    let mut text = BASE.to_owned();
    let defaults = [
        ("ANNOTATIONS", ""),
        ("INDICATOR", COUNTERS),
        ("WINDOW", "{duration: 30d, isRolling: true}"),
        ("METHOD", "Occurrences"),
        ("OBJECTIVE", "target: 0.999"),
        ("POLICY", ""),
    ];
    for (name, value) in changes.iter().copied().chain(defaults) {
        text = text.replacen(name, value, 1);
    }
    Source { name: "slo.yaml".to_owned(), text }
}

fn right(changes: Changes<'_>) -> Vec<Sla> {
    let (documents, slas) = read_slas(&[document(changes)]);
    let issues: Vec<_> = documents.issues.iter().map(|issue| issue.diagnostic.to_string()).collect();
    assert!(documents.is_right(), "{changes:?}: {issues:?}");
    slas
}

fn policy(condition: &str) -> String {
    format!(
        "{{kind: AlertPolicy, metadata: {{name: p}}, spec: {{alertWhenBreaching: true, conditions: [{{kind: AlertCondition, \
         metadata: {{name: c}}, spec: {{severity: page, condition: {{kind: burnrate, {condition}}}}}}}], notificationTargets: \
         [{{kind: AlertNotificationTarget, metadata: {{name: t}}, spec: {{target: email}}}}]}}}}"
    )
}

#[test]
fn shipped_files_are_promises() {
    let sources = SHIPPED.map(|(name, text)| Source { name: name.to_owned(), text: text.to_owned() });
    let (documents, slas) = read_slas(&sources);
    assert_eq!(documents.issues, []);
    let told: Vec<_> = slas
        .iter()
        .map(|sla| {
            (sla.slo.name.as_str(), sla.slo.target.to_string(), sla.slo.period.to_string(), sla.alerts.len())
        })
        .collect();
    let told: Vec<_> =
        told.iter().map(|(name, target, period, n)| (*name, target.as_str(), period.as_str(), *n)).collect();
    assert_eq!(
        told,
        [
            ("checkout-available", "99.95%", "the last 2419200 s", 4),
            ("checkout-minutes", "99.5%", "the calendar quarter in America/New_York", 1),
            ("storefront-available", "99.9%", "the last 2592000 s", 4),
            ("storefront-fast", "99%", "the calendar month in Europe/Berlin", 4),
        ]
    );
    assert_eq!(slas[1].no_data.as_deref(), Some("page"));
    assert_eq!(slas[1].alerts[0].notify, ["on-call"]);
    let Events::Counters { source, counted, .. } = &slas[0].events else { panic!("{:?}", slas[0].events) };
    assert_eq!(*source, From::Prometheus(Some("prometheus".to_owned())));
    assert!(matches!(counted, Counted::Bad(_)));
    let Events::Runs(runs) = &slas[3].events else { panic!("{:?}", slas[3].events) };
    assert_eq!(runs.good, Good::Within("250ms".to_owned()));
    assert_eq!(runs.objective(slas[3].slo.target.share()), "within(response_time, 250ms) >= 99%");
    assert_eq!(slas[2].policy.len(), 2);
}

#[test]
fn what_an_slo_says_is_kept() {
    let [sla] = &right(&[])[..] else { panic!() };
    assert_eq!((sla.slo.name.as_str(), sla.title.as_str(), sla.service.as_str()), ("web", "web", "shop"));
    assert_eq!(sla.slo.method, Method::Occurrences);

    // A target of 90% cannot burn 14.4 times too fast: the published rule is left out, with the reason.
    let [sla] = &right(&[("OBJECTIVE", "target: 0.9")])[..] else { panic!() };
    assert_eq!((sla.alerts.len(), sla.never.len()), (3, 1));

    let several = "{displayName: Good enough, target: 0.99}\n    - {target: 0.999}";
    let slas = right(&[("OBJECTIVE", several)]);
    let names: Vec<_> = slas.iter().map(|sla| (sla.slo.name.as_str(), sla.title.as_str())).collect();
    assert_eq!(names, [("web-good-enough", "web: Good enough"), ("web-2", "web: 99.9%")]);

    let annotations = "plimsoll/for-each: tenant, plimsoll/exclude: \
        '2026-11-01T00:00:00Z/2026-11-01T02:00:00+01:00 moving house; 2026-12-01T00:00:00Z/2026-12-01T00:00:01Z'";
    let [sla] = &right(&[("ANNOTATIONS", annotations)])[..] else { panic!() };
    assert_eq!(sla.each.as_deref(), Some("tenant"));
    let exclusions: Vec<_> = sla
        .exclusions
        .iter()
        .map(|exclusion| (exclusion.seconds.end - exclusion.seconds.start, &*exclusion.reason))
        .collect();
    assert_eq!(exclusions, [(3600, "moving house"), (1, "")]);

    let condition = policy("op: gte, threshold: 2, lookbackWindow: 1h, alertAfter: 5m");
    let [sla] = &right(&[("POLICY", &condition)])[..] else { panic!() };
    let rule = sla.alerts[0].rule;
    assert_eq!(
        (rule.factor.to_f64(), rule.long, rule.short, rule.hold, rule.at_least),
        (2.0, 3600, 3600, 300, true)
    );

    let figure = "thresholdMetric: {metricSource: {type: Plimsoll, spec: {plan: demo, step: list, figure: p95(response_time)}}}";
    let [sla] = &right(&[("INDICATOR", figure), ("OBJECTIVE", "{op: lte, value: 0.25, target: 0.99}")])[..]
    else {
        panic!()
    };
    let Events::Runs(runs) = &sla.events else { panic!() };
    assert_eq!(runs.good, Good::Second("p95(response_time) <= 0.25s".to_owned()));
    assert_eq!((runs.step.as_deref(), runs.over()), (Some("list"), Some(1)));
}

/// What is right by the specification and cannot be judged, the rule, and a part of what is said.
#[test]
fn what_cannot_be_judged_is_told_with_its_place() {
    let of_type = |kind: &str, counter: bool| {
        format!(
            "ratioMetric: {{counter: {counter}, good: {{metricSource: {{type: {kind}, spec: {{query: a}}}}}}, \
             total: {{metricSource: {{type: {kind}, spec: {{query: b}}}}}}}}"
        )
    };
    let slow = policy("op: lte, threshold: 2, lookbackWindow: 1h, alertAfter: 5m");
    let week = policy("op: gt, threshold: 2, lookbackWindow: 7d, alertAfter: 5m");
    let never = policy("op: gt, threshold: 1000, lookbackWindow: 1h, alertAfter: 5m");
    let raw = "ratioMetric: {rawType: success, raw: {metricSource: {type: Prometheus, spec: {query: a}}}}";
    let plimsoll = |good: &str, total: &str| {
        format!(
            "ratioMetric: {{counter: true, good: {{metricSource: {{type: Plimsoll, spec: {good}}}}}, total: {{metricSource: \
             {{type: Plimsoll, spec: {total}}}}}}}"
        )
    };
    let calendar = |length: &str, start: &str| {
        format!("{{duration: {length}, calendar: {{startTime: '{start}', timeZone: UTC}}}}")
    };
    let cases: &[(Changes<'_>, &str, &str)] = &[
        (&[("OBJECTIVE", "target: 0")], "spec.objectives[0].target", "promises nothing"),
        (&[("OBJECTIVE", "target: 0.99999999999999")], "spec.objectives[0].target", "twelve"),
        (&[("INDICATOR", &of_type("Datadog", true))], "metricSource.type", "cannot be asked"),
        (&[("INDICATOR", &of_type("Prometheus", false))], "ratioMetric.counter", "{{.window}}"),
        (&[("INDICATOR", &of_type("OpenMetrics", true))], "metricSourceRef", "DataSource"),
        (&[("INDICATOR", raw)], "ratioMetric.raw", "RatioTimeslices"),
        (&[("INDICATOR", &plimsoll("{step: a}", "{step: a}"))], "good.metricSource.spec", "has no `plan`"),
        (&[("INDICATOR", &plimsoll("{plan: a}", "{plan: b}"))], "total.metricSource.spec.plan", "differs"),
        (&[("INDICATOR", &plimsoll("{plan: a, within: soon}", "{plan: a}"))], "spec.within", "`soon`"),
        (&[("INDICATOR", &plimsoll("{plan: a, within: 0s}", "{plan: a}"))], "spec.within", "above 0"),
        (&[("INDICATOR", &plimsoll("{plan: a, withn: 1s}", "{plan: a}"))], "spec.withn", "within"),
        (&[("WINDOW", "{duration: 2Y, isRolling: true}")], "timeWindow[0].duration", "366 days"),
        (&[("WINDOW", &calendar("2w", "2026-01-01 00:00:00"))], "timeWindow[0].duration", "`1w`"),
        (&[("WINDOW", &calendar("1M", "2026-01-01 00:00:30"))], "timeWindow[0].calendar", "whole minutes"),
        (
            &[
                ("METHOD", "Timeslices"),
                ("OBJECTIVE", "{target: 0.9, timeSliceTarget: 0.9, timeSliceWindow: 7m}"),
            ],
            "timeSliceWindow",
            "divide a day",
        ),
        (&[("POLICY", &slow)], "condition.op", "`gt`"),
        (&[("POLICY", &week)], "conditions[0].spec.condition", "3 days"),
        (&[("POLICY", &never)], "conditions[0].spec.condition", "can never be"),
        (&[("ANNOTATIONS", "plimsoll/exclude: yesterday")], "plimsoll/exclude", "2026-11-01T00:00:00Z/"),
        (
            &[("ANNOTATIONS", "plimsoll/exclude: 2026-11-02T00:00:00Z/2026-11-01T00:00:00Z")],
            "plimsoll/exclude",
            "later end",
        ),
        (&[("ANNOTATIONS", "plimsoll/budget-policy: stop")], "plimsoll/budget-policy", "75%:"),
        (&[("ANNOTATIONS", "plimsoll/for-each: a-b")], "plimsoll/for-each", "tenant"),
        (&[("ANNOTATIONS", "plimsoll/foreach: a")], "plimsoll/foreach", "plimsoll/for-each"),
        (
            &[("OBJECTIVE", "{displayName: A b, target: 0.9}\n    - {displayName: a-B, target: 0.99}")],
            "spec.objectives",
            "web-a-b",
        ),
    ];
    for (changes, path, said) in cases {
        let (documents, slas) = read_slas(&[document(changes)]);
        let errors: Vec<String> = documents
            .issues
            .iter()
            .filter(|issue| issue.diagnostic.weight == plimsoll_spec::Weight::Error)
            .map(|issue| {
                let place = issue.diagnostic.excerpt.as_ref().map(|excerpt| excerpt.line);
                format!("{} {} {place:?} {:?}", issue.path, issue.diagnostic, issue.diagnostic.help)
            })
            .collect();
        assert!(slas.is_empty(), "{changes:?}");
        assert!(
            errors
                .iter()
                .any(|error| error.contains(path) && error.contains(said) && error.contains("Some(")),
            "{changes:?}: {errors:#?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Any value in the place of any other in the shipped files, one line at a time: nothing panics, and what is promised can
    /// be judged.
    #[test]
    fn no_value_panics(
        (text, line) in prop::sample::select(&SHIPPED[..]).prop_flat_map(|(_, text)| (Just(text), 0..text.lines().count())),
        value in prop::sample::select(vec![
            "", "~", "x", "5", "-1", "0", "1", "0.999999999999", "1e-300", ".nan", ".inf", "[]", "{}", "{ a: b }", "true", "\"\"", "1m",
            "366d", "53w", "12M", "1Y", "1000000000h", "{duration: 1m, isRolling: true}", "Timeslices", "RatioTimeslices", "lte", "Plimsoll",
            "{target: 0.5, timeSliceTarget: 1, timeSliceWindow: 1d}", "2026-01-01T00:00:00Z/9999-12-31T23:59:59Z",
            "-9999-01-01T00:00:00Z/2026-01-01T00:00:00Z x",
        ]),
    ) {
        let changed: String = text
            .lines()
            .enumerate()
            .map(|(index, text)| match text.split_once(": ") {
                Some((key, _)) if index == line => format!("{key}: {value}\n"),
                _ => format!("{text}\n"),
            })
            .collect();
        let (documents, slas) = read_slas(&[Source { name: "slo.yaml".to_owned(), text: changed }]);
        prop_assert!(documents.is_right() || slas.is_empty());
        for sla in slas {
            prop_assert!(Keeper::new(&sla).is_ok(), "{:?}", sla);
        }
    }
}
