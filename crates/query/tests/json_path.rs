//! JSONPath against the compliance suite of RFC 9535.
//!
//! The cases are facts that are read and not copied: `cts.json` of
//! jsonpath-standard/jsonpath-compliance-test-suite (BSD-2-Clause), from the folder `PLIMSOLL_CONFORMANCE`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::path::PathBuf;

use plimsoll_query::JsonPath;
use serde_json::Value;

const ORDER: &str = "`..[a, b]` finds what it should, selector by selector where the suite goes node by node";
const NESTED: &str = "a filter within a filter that tests for existence finds nothing";
const COMPARED: &str = "a function whose result is compared with nothing is taken, where it is no selector";
const SINGULAR: &str = "`length` of what may be many nodes is taken, where it is no selector";

/// The cases that the library does not carry, by name, and why. The list is exact: one that begins to pass
/// fails the test.
const NOT_CARRIED: [(&str, &str); 9] = [
    ("basic, descendant segment, multiple selectors", ORDER),
    ("basic, descendant segment, object traversal, multiple selectors", ORDER),
    ("filter, nested", NESTED),
    ("functions, count, result must be compared", COMPARED),
    ("functions, length, result must be compared", COMPARED),
    ("functions, value, result must be compared", COMPARED),
    ("functions, length, non-singular query arg", SINGULAR),
    ("functions, length, non-singular query arg, multiple index selectors", SINGULAR),
    ("functions, length, non-singular query arg, multiple name selectors", SINGULAR),
];

/// Why a case is not as the suite has it; `None` where it is.
fn differs(case: &Value) -> Option<String> {
    let selector = case["selector"].as_str().unwrap();
    let path = JsonPath::new(selector);
    if case["invalid_selector"] == true {
        return path.is_ok().then(|| "an invalid selector is taken".to_owned());
    }
    let path = match path {
        Ok(path) => path,
        Err(error) => return Some(format!("a valid selector is refused: {error}")),
    };
    let found = Value::from_iter(path.all(&case["document"]).into_iter().cloned());
    let allowed = match &case["results"] {
        Value::Array(results) => results.clone(),
        _ => vec![case["result"].clone()],
    };
    (!allowed.contains(&found)).then(|| format!("found {found}"))
}

#[test]
fn the_compliance_suite_passes_but_for_a_named_list() {
    let file = std::env::var_os("PLIMSOLL_CONFORMANCE")
        .map(|folder| PathBuf::from(folder).join("jsonpath/cts.json"))
        .filter(|file| file.exists());
    let Some(file) = file else {
        eprintln!("NOT RUN: the compliance suite of JSONPath (no jsonpath/cts.json in PLIMSOLL_CONFORMANCE)");
        return;
    };
    let suite: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let cases = suite["tests"].as_array().unwrap();
    assert!(cases.len() > 600, "{} cases", cases.len());
    let failed: Vec<_> =
        cases.iter().filter_map(|case| Some((case["name"].as_str().unwrap(), differs(case)?))).collect();
    let new: Vec<_> =
        failed.iter().filter(|(name, _)| !NOT_CARRIED.iter().any(|(known, _)| known == name)).collect();
    assert!(new.is_empty(), "{} cases fail that are not on the list: {new:#?}", new.len());
    let passing: Vec<_> =
        NOT_CARRIED.iter().filter(|(known, _)| !failed.iter().any(|(name, _)| name == known)).collect();
    assert!(passing.is_empty(), "these pass now: {passing:#?}");
    for (name, why) in NOT_CARRIED {
        println!("not carried: {name}: {why}");
    }
}

/// What the documentation of plans says of it, so that it stays true.
#[test]
fn what_is_not_carried_is_as_it_is_said() {
    let document = serde_json::json!([{ "a": 1, "b": 2 }, { "a": 3, "b": 4 }]);
    let found =
        |path: &str| Value::from_iter(JsonPath::new(path).unwrap().all(&document).into_iter().cloned());
    assert_eq!(found("$..['a', 'b']"), serde_json::json!([1, 3, 2, 4]));
    assert_eq!(found("$[?@[?@ > 1]]"), serde_json::json!([]));
    assert_eq!(found("$[?@.a > 1].b"), serde_json::json!([4]), "a filter alone finds");
    assert!(JsonPath::new("$[?length(@.a)]").is_ok());
    assert!(JsonPath::new("$[?length(@.*) > 1]").is_ok());
}
