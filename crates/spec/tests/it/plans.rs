//! The plans we ship, their schema, and the page that explains them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_run::{LoadModel, RunPlan};
use plimsoll_spec::{Inputs, Parsed, Source, parse, schema};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn shipped() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("config/plans")).unwrap();
    let mut plans: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    plans.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    plans.sort();
    plans
}

fn read(path: &Path) -> Parsed {
    let directory = path.parent().unwrap();
    let files = |name: &str| std::fs::read(directory.join(name)).map_err(|error| error.to_string());
    let source = Source { name: path.display().to_string(), text: std::fs::read_to_string(path).unwrap() };
    parse(&source, &Inputs::new(&|_| None, &files))
        .unwrap_or_else(|errors| panic!("{}", crate::rendered(&errors)))
}

fn length(plan: &RunPlan) -> Duration {
    plan.loads().map(LoadModel::length).max().unwrap()
}

/// YAML as the JSON that an editor sees.
fn json(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn shipped_plans_are_right_and_worth_running() {
    let plans = shipped();
    let names: BTreeSet<_> = plans.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    let expected = [
        "demo", "jobs", "journey", "limit", "limited", "media", "payment", "replay", "schedule", "search",
        "shop", "spike", "steady", "stress", "tenants", "users",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    for path in plans {
        let Parsed { plan, advice } = read(&path);
        assert_eq!(plan.name, path.file_stem().unwrap().to_str().unwrap());
        assert!((20..=60).contains(&length(&plan).as_secs()), "{} takes {:?}", plan.name, length(&plan));
        assert!(!plan.objectives.is_empty());
        // They run against a target beside them; nothing else about them needs a word of caution.
        let words: Vec<_> = advice.iter().map(|advice| advice.message.as_str()).collect();
        let expected: &[&str] = match plan.name.as_str() {
            "replay" => &[
                "the target is on the generator's own host",
                "lines of the log `access.log` that are not replayed for their method: 6 of 527 (POST 6)",
                "requests of the log `access.log` that are out of order: 6, by 1s at most; each is replayed with the one before it",
            ],
            "stress" => &["the target is on the generator's own host", "the load jumps to its first level"],
            _ => &["the target is on the generator's own host"],
        };
        assert_eq!(words, expected, "{}", plan.name);
    }
}

#[test]
fn the_demo_takes_a_minute() {
    let plan = read(&root().join("config/plans/demo.yaml")).plan;
    assert_eq!(length(&plan), Duration::from_secs(60));
    assert_eq!(plan.load.warmup, Duration::from_secs(5));
}

#[test]
fn shipped_plans_validate_against_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for path in shipped() {
        let plan = json(&std::fs::read_to_string(&path).unwrap());
        let errors: Vec<_> = validator.iter_errors(&plan).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_is_wrong_in_shape() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let right = crate::with(crate::LOAD, crate::STEPS, "");
    assert!(validator.is_valid(&json(&right)));
    for (from, to) in [
        ("name: test", "nam: test"),
        ("warmup: 5s", "warmup: 5"),
        ("over: 5s", "over: five"),
        ("hold: 100/s", "hold: 100/fortnight"),
        ("get: /", "got: /"),
        ("for: 60s", "for: 60s, form: x"),
        ("steps: [", "weight: -1\n    steps: ["),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert!(!validator.is_valid(&json(&wrong)), "{wrong}");
    }
}

/// Every key of the schema, and each with words beside it.
fn keys(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                for (key, property) in properties {
                    assert!(property["description"].as_str().is_some_and(|about| !about.is_empty()), "{key}");
                    keys.insert(key.clone());
                }
            }
            members.values().for_each(|member| self::keys(member, keys));
        }
        Value::Array(items) => items.iter().for_each(|item| self::keys(item, keys)),
        _ => {}
    }
}

#[test]
fn the_guide_explains_every_key() {
    let guide = std::fs::read_to_string(root().join("docs/plan.md")).unwrap();
    let mut all = BTreeSet::new();
    keys(&schema(), &mut all);
    assert!(all.len() > 60);
    let missing: Vec<_> = all.iter().filter(|key| !guide.contains(&format!("`{key}`"))).collect();
    assert_eq!(missing, Vec::<&String>::new());
}

/// The examples of the guide are plans, or parts that fit into one.
fn examples() -> Vec<String> {
    let guide = std::fs::read_to_string(root().join("docs/plan.md")).unwrap();
    let examples = guide.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let whole = |example: &str| {
        let mut text = example.to_owned();
        for (key, default) in [
            ("name:", "name: example\n"),
            ("target:", "target: https://shop.example\n"),
            ("load:", "load: { stages: [{ ramp: 10/s, over: 10s }, { hold: 10/s, for: 5m }] }\n"),
            ("scenarios:", "scenarios: [{ name: browse, steps: [{ name: list, get: / }] }]\n"),
        ] {
            if !text.lines().any(|line| line.starts_with(key)) {
                text.push_str(default);
            }
        }
        text
    };
    examples.map(whole).collect()
}

#[test]
fn the_examples_of_the_guide_are_right() {
    let examples = examples();
    assert!(examples.len() >= 5);
    for text in examples {
        let env = [
            ("TOKEN", "x"),
            ("PASSWORD", "y"),
            ("INFLUX_TOKEN", "z"),
            ("OTLP_TOKEN", "z"),
            ("ELASTIC_KEY", "z"),
            ("SLACK_URL", "https://hooks.slack.com/services/a"),
            ("PAGERDUTY_KEY", "z"),
            ("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ];
        if let Err(errors) = crate::parse_with(&text, &env, &[]) {
            panic!("{text}\n{}", crate::rendered(&errors));
        }
    }
}

/// Plans that are there for the keys that no shipped plan and no example of the guide has.
fn for_keys() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Notes the keys of `schema` that `value` has, each below the key it belongs to: `load.stages`.
fn note(schema: &Value, below: &str, value: &Value, noted: &mut BTreeSet<String>) {
    if let Some(place) = schema["$ref"].as_str() {
        return note(whole().pointer(place.trim_start_matches('#')).unwrap(), "steps", value, noted);
    }
    let branches = schema["anyOf"].as_array().into_iter().flatten();
    for branch in branches.chain(["if", "else"].iter().filter_map(|word| schema.get(word))) {
        note(branch, below, value, noted);
    }
    for item in value.as_array().into_iter().flatten() {
        if let Some(items) = schema.get("items") {
            note(items, below, item, noted);
        }
    }
    for (key, member) in value.as_object().into_iter().flatten() {
        if let Some(property) = schema["properties"].get(key) {
            noted.insert(format!("{below}.{key}"));
            note(property, key, member, noted);
        } else if let Some(named) = schema.get("additionalProperties") {
            note(named, below, member, noted);
        }
    }
}

/// Every key of a schema, each below the key it belongs to.
fn places(schema: &Value, below: &str, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            for (word, member) in members {
                match (word.as_str(), member) {
                    ("properties", Value::Object(properties)) => {
                        for (key, property) in properties {
                            found.insert(format!("{below}.{key}"));
                            places(property, key, found);
                        }
                    }
                    ("$defs", Value::Object(definitions)) => {
                        definitions.values().for_each(|definition| places(definition, "steps", found));
                    }
                    _ => places(member, below, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| places(item, below, found)),
        _ => {}
    }
}

fn whole() -> &'static Value {
    static SCHEMA: std::sync::LazyLock<Value> = std::sync::LazyLock::new(schema);
    &SCHEMA
}

#[test]
fn every_key_of_the_schema_is_in_a_plan_that_is_read() {
    let mut noted = BTreeSet::new();
    let shipped = shipped().into_iter().map(|path| std::fs::read_to_string(path).unwrap());
    for text in shipped.chain(examples()) {
        note(whole(), "", &json(&text), &mut noted);
    }
    let validator = jsonschema::validator_for(whole()).unwrap();
    for text in for_keys() {
        crate::parsed(&text);
        let errors: Vec<_> = validator.iter_errors(&json(&text)).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{text}");
        note(whole(), "", &json(&text), &mut noted);
    }
    let mut all = BTreeSet::new();
    places(whole(), "", &mut all);
    assert!(all.len() > 300, "{}", all.len());
    let missing: Vec<_> = all.difference(&noted).collect();
    assert!(missing.is_empty(), "{} of {} are in no plan: {missing:#?}", missing.len(), all.len());
}
