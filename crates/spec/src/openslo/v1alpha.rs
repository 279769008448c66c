//! The two kinds of v1alpha, key by key, and what they are in v1.

use plimsoll_sla::openslo::v1alpha::{
    self, Objective, Query, RatioMetrics, SloSpec, Window, convert_service, convert_slo,
};
use plimsoll_sla::openslo::{Definition, Kind, Object, ServiceSpec, Violation, validate};

use super::read::{At, Reader};
use super::v1;

/// An object as v1 has it, and what is wrong with it as v1alpha has it or gets lost on the way.
pub(super) fn object(reader: &mut Reader, at: &At<'_>, kind: Kind) -> (Object, Vec<Violation>) {
    let Some(map) = reader.map(at, &["apiVersion", "kind", "metadata", "spec"]) else {
        return (Object::Service(Definition::default()), Vec::new());
    };
    let metadata = map.get("metadata").and_then(|at| reader.map(&at, &["name", "displayName"]));
    let metadata = v1::metadata(reader, metadata);
    let spec = map.get("spec");
    let (object, mut violations) = if kind == Kind::Slo {
        let slo: Definition<SloSpec> = Definition { metadata, spec: slo(reader, spec) };
        let (object, lost) = convert_slo(&slo);
        let mut violations = v1alpha::validate_slo(&slo);
        violations.extend(lost);
        (object, violations)
    } else {
        let service: Definition<ServiceSpec> = Definition { metadata, spec: v1::service(reader, spec) };
        (convert_service(&service), v1alpha::validate_service(&service))
    };
    // What is right in v1alpha is right in v1, unless v1 asks for more.
    if !violations.iter().any(Violation::is_error) {
        violations.extend(validate(&object).into_iter().filter(Violation::is_error));
    }
    (object, violations)
}

fn slo(reader: &mut Reader, at: Option<At<'_>>) -> SloSpec {
    const KEYS: &[&str] =
        &["description", "service", "indicator", "timeWindows", "budgetingMethod", "objectives"];
    let Some(map) = at.and_then(|at| reader.map(&at, KEYS)) else { return SloSpec::default() };
    let indicator = map.get("indicator").map(|at| {
        let threshold = reader.map(&at, &["thresholdMetric"]);
        query(reader, threshold.and_then(|map| map.get("thresholdMetric")))
    });
    let windows = reader.list(map.get("timeWindows"), "windows");
    let objectives = reader.list(map.get("objectives"), "objectives");
    SloSpec {
        description: reader.text(map.get("description")),
        service: reader.text_or_empty(map.get("service")),
        indicator,
        budgeting_method: reader.maybe_word(map.get("budgetingMethod")),
        time_windows: windows.iter().map(|at| window(reader, at)).collect(),
        objectives: objectives.iter().map(|at| objective(reader, at)).collect(),
    }
}

fn query(reader: &mut Reader, at: Option<At<'_>>) -> Query {
    let Some(map) = at.and_then(|at| reader.map(&at, &["source", "queryType", "query"])) else {
        return Query::default();
    };
    Query {
        source: reader.text_or_empty(map.get("source")),
        query_type: reader.text_or_empty(map.get("queryType")),
        query: reader.text_or_empty(map.get("query")),
    }
}

fn window(reader: &mut Reader, at: &At<'_>) -> Window {
    let Some(map) = reader.map(at, &["unit", "count", "isRolling", "calendar"]) else {
        return Window::default();
    };
    Window {
        unit: reader.maybe_word(map.get("unit")),
        count: reader.whole(map.get("count")),
        is_rolling: reader.flag(map.get("isRolling")),
        calendar: v1::calendar(reader, map.get("calendar")),
    }
}

fn objective(reader: &mut Reader, at: &At<'_>) -> Objective {
    const KEYS: &[&str] = &["displayName", "value", "ratioMetrics", "target", "timeSliceTarget", "op"];
    let Some(map) = reader.map(at, KEYS) else { return Objective::default() };
    Objective {
        display_name: reader.text(map.get("displayName")),
        value: reader.number(map.get("value")),
        ratio_metrics: map.get("ratioMetrics").and_then(|at| ratio(reader, &at)),
        target: reader.number(map.get("target")),
        time_slice_target: reader.number(map.get("timeSliceTarget")),
        op: reader.maybe_word(map.get("op")),
    }
}

fn ratio(reader: &mut Reader, at: &At<'_>) -> Option<RatioMetrics> {
    let map = reader.map(at, &["good", "total", "incremental"])?;
    Some(RatioMetrics {
        good: query(reader, map.get("good")),
        total: query(reader, map.get("total")),
        incremental: reader.flag(map.get("incremental")),
    })
}
