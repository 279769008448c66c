//! Other people's documents: the examples of the specification and the cases of its official library, each with what is told of it.

use std::path::PathBuf;

use plimsoll_sla::openslo::{Object, Referenced, inline};

use super::{documents, told};

/// Where other people's cases are; says so where they are nowhere.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("PLIMSOLL_CONFORMANCE").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("NOT RUN: the documents of OpenSLO (PLIMSOLL_CONFORMANCE is not set)");
    }
    folder
}

fn text(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(folder()?.join(path)).unwrap_or_else(|error| panic!("{path}: {error}")))
}

const SPECIFICATION: &str = "openslo/examples";
const EXAMPLES: &str = "openslo-go-sdk/pkg/openslo";
const CASES: &str = "openslo-go-sdk/pkg/openslosdk/test_data";

const NO_WINDOW: &str = "error slice_length spec.timeWindow";
const NO_GOOD_SOURCE: &str =
    "warning unresolved_reference spec.indicator.spec.ratioMetric.good.metricSource.metricSourceRef";
const NO_TOTAL_SOURCE: &str =
    "warning unresolved_reference spec.indicator.spec.ratioMetric.total.metricSource.metricSourceRef";
const NO_INLINE_SOURCE: &str =
    "warning unresolved_reference spec.indicator.spec.thresholdMetric.metricSource.metricSourceRef";
const NO_SOURCE: &str = "warning unresolved_reference spec.thresholdMetric.metricSource.metricSourceRef";
const NO_CONDITION: &str = "error unresolved_reference spec.conditions[0].conditionRef";
const NO_TARGET: &str = "error unresolved_reference spec.notificationTargets[0].targetRef";
const NO_SECOND_TARGET: &str = "error unresolved_reference spec.notificationTargets[1].targetRef";
const NO_POLICY: &str = "error unresolved_reference spec.alertPolicies[0].alertPolicyRef";
const NO_INDICATOR: &str = "error unresolved_reference spec.indicatorRef";
const NO_VALUE: &str = "error required spec.objectives[0].value";
const LOW: &str = "warning low_burn_rate spec.condition.op";
const OP_OF_RATIO: &str = "warning forbidden spec.objectives[0].op";

/// The folder, the file, and what is told of it alone. Files that the official library reads without following their
/// references have errors of references here, and of nothing else.
#[rustfmt::skip]
const FILES: &[(&str, &str, &[&str])] = &[
    (SPECIFICATION, "budgeting-method/occurences-slo.yaml", &[]),
    (SPECIFICATION, "budgeting-method/ratio-timeslices.yaml", &[OP_OF_RATIO]),
    (SPECIFICATION, "budgeting-method/timeslices-slo.yaml", &[
        "warning calendar_unit spec.timeWindow[0].duration",
        OP_OF_RATIO,
    ]),
    (SPECIFICATION, "treat-low-traffic-as-equally-important/timeslices-slo.yaml", &[OP_OF_RATIO]),
    (EXAMPLES, "v1/examples/alert_conditions.yaml", &[LOW]),
    (EXAMPLES, "v1/examples/alert_notification_targets.yaml", &[]),
    (EXAMPLES, "v1/examples/alert_policies.yaml", &[NO_CONDITION, NO_TARGET, NO_TARGET, NO_CONDITION]),
    (EXAMPLES, "v1/examples/data_sources.yaml", &[]),
    (EXAMPLES, "v1/examples/services.yaml", &["warning duplicate metadata.name"]),
    (EXAMPLES, "v1/examples/slis.yaml", &[
        "warning unresolved_reference spec.ratioMetric.good.metricSource.metricSourceRef",
        "warning unresolved_reference spec.ratioMetric.total.metricSource.metricSourceRef",
        "warning unresolved_reference spec.ratioMetric.bad.metricSource.metricSourceRef",
        "warning unresolved_reference spec.ratioMetric.total.metricSource.metricSourceRef",
        "warning unresolved_reference spec.ratioMetric.raw.metricSource.metricSourceRef",
        NO_SOURCE,
    ]),
    (EXAMPLES, "v1/examples/slos.yaml", &[OP_OF_RATIO]),
    (EXAMPLES, "v1alpha/examples/services.yaml", &[]),
    (EXAMPLES, "v1alpha/examples/slos.yaml", &[
        "warning conversion spec.objectives[0]",
        "warning conversion spec.objectives[0].value",
    ]),
    (CASES, "decode/sequence_of_objects.json", &[]),
    (CASES, "decode/sequence_of_objects.yaml", &[]),
    (CASES, "decode/single_object.json", &[]),
    (CASES, "decode/single_object.yaml", &[]),
    (CASES, "decode/two_documents.yaml", &[]),
    // Read by the official library, and refused by its validator.
    (CASES, "decode/v1_slos.yaml", &[NO_WINDOW, NO_GOOD_SOURCE, NO_TOTAL_SOURCE]),
    (CASES, "decode/v2alpha_data_source.yaml", &["error unsupported_version apiVersion"]),
    (CASES, "decode/v2alpha_slos.yaml", &[
        "error unsupported_version apiVersion",
        "error unsupported_version apiVersion",
    ]),
    (CASES, "encode/v1_slo.json", &[NO_WINDOW, NO_GOOD_SOURCE, NO_TOTAL_SOURCE]),
    (CASES, "encode/v1_slo.yaml", &[NO_WINDOW, NO_GOOD_SOURCE, NO_TOTAL_SOURCE]),
    (CASES, "export/inputs/custom_config.yaml", &[
        NO_INLINE_SOURCE,
        "error unresolved_reference spec.alertPolicies[0].spec.conditions[0].conditionRef",
        "error unresolved_reference spec.alertPolicies[0].spec.notificationTargets[0].targetRef",
        NO_SECOND_TARGET,
    ]),
    (CASES, "export/inputs/v1_alert_policies.yaml", &[NO_CONDITION, NO_TARGET, NO_SECOND_TARGET]),
    (CASES, "export/inputs/v1_slo.yaml", &[
        NO_INLINE_SOURCE,
        "error unresolved_reference spec.alertPolicies[0].spec.conditions[0].conditionRef",
    ]),
    (CASES, "export/outputs/custom_config.yaml", &[
        "error unresolved_reference spec.alertPolicies[0].spec.conditions[0].conditionRef",
        "error unresolved_reference spec.alertPolicies[0].spec.notificationTargets[0].targetRef",
        NO_INLINE_SOURCE,
        NO_SECOND_TARGET,
    ]),
    (CASES, "export/outputs/v1_alert_policies.yaml", &[NO_CONDITION, NO_TARGET, NO_SECOND_TARGET]),
    (CASES, "export/outputs/v1_slo.yaml", &[NO_CONDITION, NO_SOURCE]),
    (CASES, "inline/inputs/custom_config.yaml", &[
        NO_CONDITION,
        NO_TARGET,
        NO_POLICY,
        "error unresolved_reference spec.alertPolicies[1].alertPolicyRef",
        NO_INDICATOR,
    ]),
    (CASES, "inline/inputs/v1_alert_policies_invalid_condition.yaml", &[NO_CONDITION]),
    (CASES, "inline/inputs/v1_alert_policies_invalid_target.yaml", &[NO_SECOND_TARGET]),
    (CASES, "inline/inputs/v1_alert_policies_keep_refs.yaml", &[LOW]),
    (CASES, "inline/inputs/v1_alert_policies_remove_refs.yaml", &[LOW]),
    (CASES, "inline/inputs/v1_slo.yaml", &[NO_INLINE_SOURCE, NO_SOURCE, LOW]),
    // That the value is missing shows where the reference is followed; the official library does so without looking again.
    (CASES, "inline/inputs/v1_slo_invalid_policy.yaml", &[NO_POLICY, NO_VALUE, NO_SOURCE]),
    (CASES, "inline/inputs/v1_slo_invalid_sli.yaml", &[NO_INDICATOR, NO_SOURCE]),
    (CASES, "inline/inputs/v1_slo_invalid_target.yaml", &[
        "error unresolved_reference spec.alertPolicies[0].spec.notificationTargets[1].targetRef",
        NO_VALUE,
        NO_SOURCE,
    ]),
    (CASES, "inline/outputs/custom_config.yaml", &[
        NO_CONDITION,
        NO_TARGET,
        NO_POLICY,
        "error unresolved_reference spec.alertPolicies[1].alertPolicyRef",
        NO_INDICATOR,
    ]),
    (CASES, "inline/outputs/v1_alert_policies_keep_refs.yaml", &[
        "warning low_burn_rate spec.conditions[0].spec.condition.op",
        LOW,
    ]),
    (CASES, "inline/outputs/v1_alert_policies_remove_refs.yaml", &[
        "warning low_burn_rate spec.conditions[0].spec.condition.op",
        "warning low_burn_rate spec.conditions[0].spec.condition.op",
    ]),
    (CASES, "inline/outputs/v1_slo.yaml", &[
        NO_INLINE_SOURCE,
        "warning low_burn_rate spec.alertPolicies[0].spec.conditions[0].spec.condition.op",
        NO_INLINE_SOURCE,
    ]),
];

#[test]
fn every_document_is_told_what_its_authors_expect() {
    if folder().is_none() {
        return;
    }
    let mut wrong = String::new();
    for (folder, file, expected) in FILES {
        let found = documents(&[&text(&format!("{folder}/{file}")).unwrap()]);
        let said = told(&found);
        if said != *expected {
            wrong += &format!("{file}: {said:#?}\n");
        }
        if file.contains("_invalid_") {
            assert!(!found.is_right(), "{file}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_file_is_in_the_table() {
    let Some(root) = folder() else { return };
    let mut files = Vec::new();
    let mut folders = vec![root.join("openslo"), root.join("openslo-go-sdk")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    let table: Vec<_> = FILES.iter().map(|(folder, file, _)| format!("{folder}/{file}")).collect();
    files.retain(|file| !table.contains(file));
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn one_document_in_three_forms_is_one_object() {
    let Some(one) = text(&format!("{CASES}/decode/v1_slos.yaml")) else { return };
    let objects = |text: &str| documents(&[text]).objects().cloned().collect::<Vec<_>>();
    let expected = objects(&one);
    assert_eq!(expected.len(), 1);
    for file in ["v1_slo.yaml", "v1_slo.json"] {
        assert_eq!(objects(&text(&format!("{CASES}/encode/{file}")).unwrap()), expected, "{file}");
    }
}

/// What the official library makes of the same files, value by value.
#[test]
fn parts_are_put_in_their_place_as_the_official_library_does() {
    if folder().is_none() {
        return;
    }
    let objects = |file: &str| -> Vec<Object> {
        documents(&[&text(&format!("{CASES}/inline/{file}")).unwrap()]).objects().cloned().collect()
    };
    for (file, referenced) in [
        ("v1_alert_policies_keep_refs.yaml", Referenced::Keep),
        ("v1_alert_policies_remove_refs.yaml", Referenced::Remove),
        ("v1_slo.yaml", Referenced::Remove),
    ] {
        let expected = objects(&format!("outputs/{file}"));
        assert_eq!(inline(&objects(&format!("inputs/{file}")), referenced), Ok(expected), "{file}");
    }
    assert_eq!(
        objects("inputs/custom_config.yaml"),
        objects("outputs/custom_config.yaml"),
        "nothing is resolved here"
    );
    for (file, expected) in [
        ("v1_alert_policies_invalid_condition.yaml", "spec.conditions[0].conditionRef"),
        ("v1_alert_policies_invalid_target.yaml", "spec.notificationTargets[1].targetRef"),
        ("v1_slo_invalid_policy.yaml", "spec.alertPolicies[0].alertPolicyRef"),
        ("v1_slo_invalid_sli.yaml", "spec.indicatorRef"),
        ("v1_slo_invalid_target.yaml", "spec.alertPolicies[0].spec.notificationTargets[1].targetRef"),
    ] {
        let missing = inline(&objects(&format!("inputs/{file}")), Referenced::Keep).unwrap_err();
        assert_eq!(missing.path.to_string(), expected, "{file}");
    }
}
