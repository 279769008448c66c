use plimsoll_capacity::{Answer, Bound, Bounded, Earlier, LoadKind, Point, Points, Question, WhatIf, answer};
use proptest::prelude::*;
use serde_json::Value;

use super::{capacity_json, capacity_schema, capacity_text};
use crate::{Text, fixture};

const OPTIONS: Text = Text { width: 90, color: false, files: Vec::new() };

/// A service with a limit that was seen, a resource and an objective.
fn seen() -> Question {
    let loads = [8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
    let throughputs = [101.0, 198.0, 371.0, 560.0, 598.0, 601.0];
    let point = |(load, throughput): (f64, f64)| {
        let mut point = Point::new(load, throughput);
        point.response_time.insert("p95".parse().unwrap(), load / throughput);
        point.error_ratio = Some(if load > 200.0 { 0.04 } else { 0.0 });
        point.resources.insert("cpu".into(), throughput / 640.0);
        point
    };
    let points = loads.into_iter().zip(throughputs).map(point).collect();
    Question {
        predict: vec![100.0, 512.0],
        bounds: vec![Bound {
            text: "p95(response_time) <= 200ms".into(),
            of: Bounded::ResponseTime("p95".parse().unwrap()),
            at_most: 0.2,
        }],
        traffic: vec![("traffic".into(), 300.0)],
        what_if: vec![WhatIf::Machines(2.0), WhatIf::Demand { resource: "cpu".into(), factor: 0.5 }],
        ..Question::new(Points::new(points, LoadKind::Users).unwrap())
    }
}

/// A service of which nobody can say where it ends.
fn unsaturated(name: &str) -> Question {
    let points = |pairs: &[(f64, f64)]| {
        let points = pairs.iter().map(|(load, throughput)| Point::new(*load, *throughput)).collect();
        Points::new(points, LoadKind::Unknown).unwrap()
    };
    let old = points(&[(10.0, 50.0), (20.0, 80.0), (40.0, 90.0), (80.0, 91.0)]);
    Question {
        predict: vec![160.0],
        history: vec![Earlier { name: name.to_owned(), points: old }],
        traffic: vec![("traffic".into(), 100.0)],
        ..Question::new(points(&[(10.0, 50.0), (20.0, 99.0), (40.0, 190.0)]))
    }
}

fn check_against_schema(value: &Value) {
    let validator = jsonschema::draft202012::new(&capacity_schema()).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// Figures to nine digits: the last bits of a fit depend on the processor's multiplication.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_u64() => {
                format!("{float:.8e}").parse::<f64>().map_or(Value::Null, Value::from)
            }
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(rounded).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), rounded(value))).collect(),
        other => other.clone(),
    }
}

fn json(answer: &Answer) -> Value {
    let value = capacity_json(answer);
    check_against_schema(&value);
    rounded(&value)
}

#[test]
fn the_contract_stays_as_it_is() {
    fixture::golden("capacity.json", &format!("{:#}\n", json(&answer(&seen()))));
    fixture::golden("capacity-refused.json", &format!("{:#}\n", json(&answer(&unsaturated("1.0")))));
}

#[test]
fn the_text_stays_as_it_was_read() {
    for (file, question) in [("capacity.txt", seen()), ("capacity-refused.txt", unsaturated("1.0"))] {
        fixture::golden(file, &capacity_text("shop", &question, &answer(&question), &[], &OPTIONS));
    }
}

#[test]
fn keys_stand_in_the_order_of_the_contract() {
    let value = capacity_json(&answer(&seen()));
    let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let contract = ["schema", "models", "chosen", "peak", "predictions", "sla_limit", "warnings"];
    assert_eq!(keys[..contract.len()], contract);
    let model: Vec<_> = value["models"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(model[..4], ["name", "parameters", "r2", "cross_validated_error"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn nothing_from_outside_steers_the_terminal(name in "[a-z\u{0}-\u{1f}\u{7f}-\u{9f}]{0,30}") {
        let question = unsaturated(&name);
        let found = capacity_text(&name, &question, &answer(&question), &[], &OPTIONS);
        prop_assert!(found.chars().all(|c| c == '\n' || !c.is_control()), "{found:?}");
    }
}
