use plimsoll_capacity::{
    Answer, Bound, Bounded, Earlier, LoadKind, Point, Points, Question, Refusal, WhatIf, answer,
};
use proptest::prelude::*;
use serde_json::Value;

use super::{
    CapacityLimit, CapacityPlan, CapacityReport, CapacitySource, Foretold, KeptCapacity, Measured,
    capacity_html, capacity_json, capacity_markdown, capacity_page, capacity_schema, capacity_text,
};
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

fn json(answer: &Answer) -> Value {
    let value = capacity_json(answer);
    check_against_schema(&value);
    fixture::rounded(&value)
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

/// Checks the page and the Markdown of a question together.
fn reports<T>(name: &str, question: &Question, check: impl FnOnce(String, String) -> T) -> T {
    let mut answer = answer(question);
    let record = format!("track record: 9 of 10 {name}");
    answer.warnings.push(record.clone());
    let when = ["exhausted on 2027-03-01 (90% from 2027-01-15 to 2027-06-30)".to_owned()];
    let source = CapacitySource {
        name: format!("run {name} of 2026-11-20"),
        used: "measured".to_owned(),
        points: question.points.points().len(),
        remarks: vec![format!("0:10 to 0:20 left out: {name}")],
    };
    let report = CapacityReport {
        name,
        question,
        answer: &answer,
        when: &when,
        track_record: Some(&record),
        sources: &[source],
    };
    check(capacity_html(&report), capacity_markdown(&report))
}

#[test]
fn the_reports_stay_as_they_were_looked_at() {
    let mut crooked = seen();
    // A point of another curve is marked and named.
    let mut points = crooked.points.points().to_vec();
    points.push(Point::new(96.0, 240.0));
    crooked.points = Points::new(points, LoadKind::Users).unwrap();
    for (file, question) in [("capacity", crooked), ("capacity-refused", unsaturated("1.0"))] {
        reports("shop", &question, |html, markdown| {
            fixture::golden(&format!("{file}.html"), &html);
            fixture::golden(&format!("{file}.md"), &markdown);
            for form in [html, markdown] {
                assert!(!form.contains("NaN") && !form.contains("inf "), "{file}");
                assert_eq!(form.matches("9 of 10").count(), 1, "a track record is told once");
            }
        });
    }
}

#[test]
fn what_is_kept_is_answered_as_before() {
    let mut with_all = seen();
    with_all.history = unsaturated("1.0").history;
    with_all.what_if.push(WhatIf::Mix([("buy".to_owned(), 0.25)].into()));
    with_all.bounds.push(Bound { text: "errors".into(), of: Bounded::ErrorRatio, at_most: 0.01 });
    for question in [with_all, unsaturated("1.0")] {
        let kept = KeptCapacity {
            name: "shop <b>".into(),
            question,
            warnings: vec!["a run is left out".into()],
            refusals: vec![Refusal { about: "date".into(), why: "none".into(), next: "wait".into() }],
            when: vec!["exhausted on 2027-03-01".into()],
            sources: vec![CapacitySource {
                name: "run 1".into(),
                used: "measured".into(),
                points: 3,
                remarks: vec!["0:10 left out".into()],
            }],
        };
        let text = kept.to_json().to_string();
        let read = KeptCapacity::from_json(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(read, kept);
        let found = read.answer();
        assert_eq!(capacity_json(&found), capacity_json(&kept.answer()));
        assert_eq!(found.warnings[0], "a run is left out");
        assert!(found.refusals.contains(&kept.refusals[0]));
    }
}

#[test]
fn what_is_not_as_it_was_kept_is_not_guessed() {
    let kept = KeptCapacity {
        name: "shop".into(),
        question: seen(),
        warnings: Vec::new(),
        refusals: Vec::new(),
        when: Vec::new(),
        sources: Vec::new(),
    };
    let good = kept.to_json();
    for (pointer, wrong) in [
        ("/schema", 2.into()),
        ("/points/kind", "people".into()),
        ("/points/points/0/load", (-1).into()),
        ("/points/points/0/response_time", serde_json::json!({"often": 1})),
        ("/bounds/0/of", "luck".into()),
        ("/seed", Value::Null),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = wrong;
        assert_eq!(KeptCapacity::from_json(&value), None, "{pointer}");
    }
}

/// A page with a plan of each kind, all with the same texts.
fn page(name: &str, question: &Question) -> String {
    let answer = answer(question);
    let report = CapacityReport {
        name,
        question,
        answer: &answer,
        when: &[format!("exhausted on 2027-03-01 {name}")],
        track_record: None,
        sources: &[],
    };
    let result = serde_json::json!({
        "unit": "per_second",
        "breaking_point": {"low": 580.0, "high": 600.0, "side": "resource", "resource": name, "first_symptom": name},
    });
    let foretold = Foretold {
        made_nanos: 1_790_000_000_000_000_000,
        report: Some(report),
        href: "/capacity/1",
        json: "/j/1",
    };
    let measured = Measured { made_nanos: 1_790_000_100_000_000_000, result: &result, json: "/j/2" };
    let limit = CapacityLimit {
        estimate: 590.0,
        low: Some(580.0),
        high: Some(600.0),
        is_measured: true,
        traffic: Some(300.0),
        headroom: Some(1.0 - 300.0 / 590.0),
    };
    let full = CapacityPlan {
        plan: name,
        target: "http://127.0.0.1:8080",
        limit: Some(limit),
        foretold: Some(foretold),
        measured: Some(measured),
        track_record: Some(name),
    };
    let others = [
        CapacityPlan { plan: "measured alone", foretold: None, track_record: None, ..full },
        CapacityPlan {
            plan: "over",
            limit: Some(CapacityLimit { headroom: Some(-0.2), ..limit }),
            foretold: None,
            ..full
        },
        CapacityPlan { plan: "no limit", limit: None, measured: None, track_record: None, ..full },
        CapacityPlan {
            plan: "of another version",
            limit: Some(CapacityLimit { low: None, high: None, traffic: None, headroom: None, ..limit }),
            foretold: Some(Foretold { report: None, ..foretold }),
            measured: None,
            ..full
        },
    ];
    capacity_page(&[[full].as_slice(), &others].concat(), &[name, "other"])
}

#[test]
fn the_page_of_plans_stays_as_it_was_looked_at() {
    let page = page("shop", &seen());
    fixture::golden("capacity-page.html", &page);
    assert!(!page.contains("NaN") && !page.contains("inf "));
    for word in ["headroom 49%", "traffic over the limit", "no limit can be told", "limit known"] {
        assert!(page.contains(&format!("<b>{word}</b>")), "{word}");
    }
}

#[test]
fn a_page_without_plans_says_so() {
    let page = capacity_page(&[], &[]);
    assert!(page.contains("No plan has an answer yet.") && !page.contains("Not asked yet"));
}

#[test]
fn few_points_and_many_have_a_report() {
    let run = |count: u32| {
        let points = (1..=count).map(|load| Point::new(f64::from(load), f64::from(load.min(40)) * 10.0));
        Question::new(Points::new(points.collect(), LoadKind::Unknown).unwrap())
    };
    for count in [1, 2, 3, 1000] {
        reports("shop", &run(count), |html, markdown| {
            assert!(html.contains("</html>") && !html.contains("NaN"), "{count}");
            assert!(html.len() < 200_000, "{count} points: {} bytes", html.len());
            let thinned = markdown.contains("One of every 17 of 1000 points.");
            assert_eq!(thinned, count == 1000, "{markdown}");
        });
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

    #[test]
    fn no_text_becomes_markup(text in "[<>\"'&/=|`a-z \u{0}-\u{1f}\u{202e}-]{0,16}") {
        let hostile = format!("{text}|\n# c <img src=x onerror=alert(1)>\"'></script><script>{text}");
        let mut question = seen();
        question.bounds[0].text.clone_from(&hostile);
        question.traffic[0].0.clone_from(&hostile);
        question.history = unsaturated(&hostile).history;
        reports(&hostile, &question, |html, markdown| {
            prop_assert!(!html.contains("<img") && !html.contains("\"'>"), "{hostile}");
            prop_assert_eq!(html.matches("<script").count(), 1);
            prop_assert_eq!(html.matches("</script").count(), 1);
            prop_assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;"));
            prop_assert!(!markdown.contains("\n# c") && !markdown.contains("| <img"), "{markdown}");
            let bars = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
            let page = page(&hostile, &question);
            // Those of the service's own: its mark, its two scripts and the one of charts.
            prop_assert_eq!((page.matches("<img").count(), page.matches("<script").count()), (1, 3));
            prop_assert!(!page.contains("\"'>"), "{hostile}");
            for table in markdown.split("\n\n").filter(|block| block.starts_with("| ")) {
                let head = table.lines().next().map(bars);
                prop_assert!(table.lines().all(|row| Some(bars(row)) == head), "{}", table);
            }
            Ok(())
        })?;
    }
}
