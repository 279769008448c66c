//! The seven kinds of v1, key by key.

use plimsoll_sla::openslo::{
    AlertCondition, AlertConditionSpec, AlertNotificationTargetSpec, AlertPolicySpec, Calendar,
    DataSourceSpec, Definition, Inline, Kind, Metadata, MetricSource, Object, Part, RatioMetric, ServiceSpec,
    SliSpec, SloObjective, SloSpec, TimeWindow,
};

use super::read::{At, Reader, free};

/// Reads a part of which a default is left where it is missing or no map.
type Read<S> = fn(&mut Reader, Option<At<'_>>) -> S;

const TOP: &[&str] = &["apiVersion", "kind", "metadata", "spec"];

/// An object whose version and kind are known.
pub(super) fn object(reader: &mut Reader, at: &At<'_>, kind: Kind) -> Object {
    match kind {
        Kind::DataSource => Object::DataSource(definition(reader, at, TOP, data_source)),
        Kind::Slo => Object::Slo(definition(reader, at, TOP, slo)),
        Kind::Sli => Object::Sli(definition(reader, at, TOP, sli)),
        Kind::AlertPolicy => Object::AlertPolicy(definition(reader, at, TOP, alert_policy)),
        Kind::AlertCondition => Object::AlertCondition(definition(reader, at, TOP, alert_condition)),
        Kind::AlertNotificationTarget => {
            Object::AlertNotificationTarget(definition(reader, at, TOP, notification_target))
        }
        Kind::Service => Object::Service(definition(reader, at, TOP, service)),
    }
}

fn definition<S: Default>(
    reader: &mut Reader,
    at: &At<'_>,
    keys: &[&'static str],
    spec: Read<S>,
) -> Definition<S> {
    let Some(map) = reader.map(at, keys) else { return Definition::default() };
    Definition { metadata: metadata(reader, map.get("metadata")), spec: spec(reader, map.get("spec")) }
}

pub(super) fn metadata(reader: &mut Reader, at: Option<At<'_>>) -> Metadata {
    let Some(map) = at.and_then(|at| reader.map(&at, &["name", "displayName", "labels", "annotations"]))
    else {
        return Metadata::default();
    };
    Metadata {
        name: reader.text_or_empty(map.get("name")),
        display_name: reader.text(map.get("displayName")),
        labels: reader.lists_of_texts(map.get("labels")),
        annotations: reader.texts(map.get("annotations")),
    }
}

pub(super) fn service(reader: &mut Reader, at: Option<At<'_>>) -> ServiceSpec {
    let map = at.and_then(|at| reader.map(&at, &["description"]));
    ServiceSpec { description: map.and_then(|map| reader.text(map.get("description"))) }
}

fn data_source(reader: &mut Reader, at: Option<At<'_>>) -> DataSourceSpec {
    let Some(map) = at.and_then(|at| reader.map(&at, &["description", "type", "connectionDetails"])) else {
        return DataSourceSpec::default();
    };
    DataSourceSpec {
        description: reader.text(map.get("description")),
        source_type: reader.text_or_empty(map.get("type")),
        connection_details: map.get("connectionDetails").map(|at| free(at.node)),
    }
}

fn sli(reader: &mut Reader, at: Option<At<'_>>) -> SliSpec {
    let Some(map) = at.and_then(|at| reader.map(&at, &["description", "thresholdMetric", "ratioMetric"]))
    else {
        return SliSpec::default();
    };
    SliSpec {
        description: reader.text(map.get("description")),
        threshold_metric: metric(reader, map.get("thresholdMetric")),
        ratio_metric: map.get("ratioMetric").and_then(|at| ratio(reader, &at)),
    }
}

fn ratio(reader: &mut Reader, at: &At<'_>) -> Option<RatioMetric> {
    let map = reader.map(at, &["counter", "good", "bad", "total", "rawType", "raw"])?;
    Some(RatioMetric {
        counter: reader.flag(map.get("counter")),
        good: metric(reader, map.get("good")),
        bad: metric(reader, map.get("bad")),
        total: metric(reader, map.get("total")),
        raw_type: reader.maybe_word(map.get("rawType")),
        raw: metric(reader, map.get("raw")),
    })
}

/// A metric; one whose source is missing is there all the same.
fn metric(reader: &mut Reader, at: Option<At<'_>>) -> Option<MetricSource> {
    let map = reader.map(&at?, &["metricSource"])?;
    let source = map.get("metricSource").and_then(|at| reader.map(&at, &["metricSourceRef", "type", "spec"]));
    let Some(source) = source else { return Some(MetricSource::default()) };
    Some(MetricSource {
        data_source: reader.text(source.get("metricSourceRef")),
        source_type: reader.text(source.get("type")),
        spec: reader.free_map(source.get("spec")),
    })
}

fn slo(reader: &mut Reader, at: Option<At<'_>>) -> SloSpec {
    const KEYS: &[&str] = &[
        "description",
        "service",
        "indicator",
        "indicatorRef",
        "timeWindow",
        "budgetingMethod",
        "objectives",
        "alertPolicies",
    ];
    let Some(map) = at.and_then(|at| reader.map(&at, KEYS)) else { return SloSpec::default() };
    let windows = reader.list(map.get("timeWindow"), "windows");
    let objectives = reader.list(map.get("objectives"), "objectives");
    let policies = reader.list(map.get("alertPolicies"), "alert policies");
    SloSpec {
        description: reader.text(map.get("description")),
        service: reader.text_or_empty(map.get("service")),
        indicator: indicator(reader, map.get("indicator")),
        indicator_ref: reader.text(map.get("indicatorRef")),
        budgeting_method: reader.maybe_word(map.get("budgetingMethod")),
        time_window: windows.iter().map(|at| time_window(reader, at)).collect(),
        objectives: objectives.iter().map(|at| objective(reader, at)).collect(),
        alert_policies: policies.iter().map(|at| part(reader, at, "alertPolicyRef", alert_policy)).collect(),
    }
}

fn indicator(reader: &mut Reader, at: Option<At<'_>>) -> Option<Definition<SliSpec>> {
    Some(definition(reader, &at?, &["metadata", "spec"], sli))
}

fn time_window(reader: &mut Reader, at: &At<'_>) -> TimeWindow {
    let Some(map) = reader.map(at, &["duration", "isRolling", "calendar"]) else {
        return TimeWindow::default();
    };
    TimeWindow {
        duration: reader.duration(map.get("duration")),
        is_rolling: reader.flag(map.get("isRolling")),
        calendar: calendar(reader, map.get("calendar")),
    }
}

pub(super) fn calendar(reader: &mut Reader, at: Option<At<'_>>) -> Option<Calendar> {
    let map = reader.map(&at?, &["startTime", "timeZone"])?;
    Some(Calendar {
        start_time: reader.text_or_empty(map.get("startTime")),
        time_zone: reader.text_or_empty(map.get("timeZone")),
    })
}

fn objective(reader: &mut Reader, at: &At<'_>) -> SloObjective {
    const KEYS: &[&str] = &[
        "displayName",
        "op",
        "value",
        "target",
        "targetPercent",
        "timeSliceTarget",
        "timeSliceWindow",
        "indicator",
        "indicatorRef",
        "compositeWeight",
    ];
    let Some(map) = reader.map(at, KEYS) else { return SloObjective::default() };
    SloObjective {
        display_name: reader.text(map.get("displayName")),
        op: reader.maybe_word(map.get("op")),
        value: reader.number(map.get("value")),
        target: reader.number(map.get("target")),
        target_percent: reader.number(map.get("targetPercent")),
        time_slice_target: reader.number(map.get("timeSliceTarget")),
        time_slice_window: reader.duration_or_minutes(map.get("timeSliceWindow")),
        indicator: indicator(reader, map.get("indicator")),
        indicator_ref: reader.text(map.get("indicatorRef")),
        composite_weight: reader.number(map.get("compositeWeight")),
    }
}

/// A part said here or by name.
fn part<S: Default>(reader: &mut Reader, at: &At<'_>, reference: &'static str, spec: Read<S>) -> Part<S> {
    const INLINE: [&str; 3] = ["kind", "metadata", "spec"];
    let [kind, of, what] = INLINE;
    let Some(map) = reader.map(at, &[reference, kind, of, what]) else { return Part::default() };
    let is_inline = INLINE.iter().any(|key| map.node.get(key).is_some());
    let inline = is_inline.then(|| Inline {
        kind: reader.maybe_word(map.get(kind)),
        metadata: metadata(reader, map.get(of)),
        spec: spec(reader, map.get(what)),
    });
    let is_named = map.node.get(reference).is_some();
    Part { reference: is_named.then(|| reader.text_or_empty(map.get(reference))), inline }
}

fn alert_policy(reader: &mut Reader, at: Option<At<'_>>) -> AlertPolicySpec {
    const KEYS: &[&str] = &[
        "description",
        "alertWhenNoData",
        "alertWhenBreaching",
        "alertWhenResolved",
        "conditions",
        "notificationTargets",
    ];
    let Some(map) = at.and_then(|at| reader.map(&at, KEYS)) else { return AlertPolicySpec::default() };
    let conditions = reader.list(map.get("conditions"), "alert conditions");
    let targets = reader.list(map.get("notificationTargets"), "notification targets");
    AlertPolicySpec {
        description: reader.text(map.get("description")),
        alert_when_no_data: reader.flag(map.get("alertWhenNoData")),
        alert_when_breaching: reader.flag(map.get("alertWhenBreaching")),
        alert_when_resolved: reader.flag(map.get("alertWhenResolved")),
        conditions: conditions.iter().map(|at| part(reader, at, "conditionRef", alert_condition)).collect(),
        notification_targets: targets
            .iter()
            .map(|at| part(reader, at, "targetRef", notification_target))
            .collect(),
    }
}

fn alert_condition(reader: &mut Reader, at: Option<At<'_>>) -> AlertConditionSpec {
    let Some(map) = at.and_then(|at| reader.map(&at, &["description", "severity", "condition"])) else {
        return AlertConditionSpec::default();
    };
    AlertConditionSpec {
        description: reader.text(map.get("description")),
        severity: reader.text_or_empty(map.get("severity")),
        condition: map.get("condition").map(|at| condition(reader, &at)).unwrap_or_default(),
    }
}

fn condition(reader: &mut Reader, at: &At<'_>) -> AlertCondition {
    let Some(map) = reader.map(at, &["kind", "op", "threshold", "lookbackWindow", "alertAfter"]) else {
        return AlertCondition::default();
    };
    AlertCondition {
        kind: reader.maybe_word(map.get("kind")),
        op: reader.maybe_word(map.get("op")),
        threshold: reader.number(map.get("threshold")),
        lookback_window: reader.duration(map.get("lookbackWindow")),
        alert_after: reader.duration(map.get("alertAfter")),
    }
}

fn notification_target(reader: &mut Reader, at: Option<At<'_>>) -> AlertNotificationTargetSpec {
    let Some(map) = at.and_then(|at| reader.map(&at, &["description", "target"])) else {
        return AlertNotificationTargetSpec::default();
    };
    AlertNotificationTargetSpec {
        description: reader.text(map.get("description")),
        target: reader.text_or_empty(map.get("target")),
    }
}
