//! What people are told of wrong documents: each `cases/openslo/NAME.yaml` with its `.txt`. With
//! `PLIMSOLL_UPDATE_GOLDEN=1` the expected texts are written anew.

use std::path::Path;

use super::{documents, rendered};

#[test]
fn wrong_documents_are_told_what_is_wrong() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/openslo");
    let mut cases: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    assert!(cases.len() >= 5, "the cases are there");
    for path in cases {
        let told = rendered(&documents(&[&std::fs::read_to_string(&path).unwrap()]));
        let golden = path.with_extension("txt");
        if std::env::var_os("PLIMSOLL_UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &told).unwrap();
        }
        assert_eq!(told, std::fs::read_to_string(&golden).unwrap_or_default(), "{}", path.display());
    }
}

#[test]
fn objects_know_their_file_and_line() {
    let service = |name: &str| format!("apiVersion: openslo/v1\nkind: Service\nmetadata: {{name: {name}}}\n");
    let first = format!("# comment\n{}---\n---\n{}", service("a"), service("b"));
    let second = r#"[{"apiVersion": "openslo/v1", "kind": "Service", "metadata": {"name": "c"}},
        {"apiVersion": "openslo/v1", "kind": "Service", "metadata": {"name": "d"}}]"#;
    let found = documents(&[&first, second]);
    let places: Vec<_> =
        found.found.iter().map(|found| (found.file, found.line, found.name.as_str())).collect();
    assert_eq!(places, [(0, 2, "a"), (0, 7, "b"), (1, 1, "c"), (1, 2, "d")]);
    assert!(found.is_right());
}

#[test]
fn json_is_read_as_it_is_written() {
    let text = "{\n\t\"apiVersion\": \"openslo/v1\",\n\t\"kind\": \"Service\",\n\t\"metadata\": {\"name\": \"a\", \
                \"displayName\": \"\\u00fc\\/ \\\"x\\\"\"},\n\t\"spec\": {\"description\": \"a:b # no comment\"}\n}\n";
    let found = documents(&[text]);
    assert!(found.is_right(), "{:?}", super::told(&found));
    let object = found.objects().next().unwrap();
    assert_eq!(object.metadata().display_name.as_deref(), Some("ü/ \"x\""));
}

#[test]
fn countless_mistakes_are_counted() {
    let text = "- {apiVersion: openslo/v1, kind: Service, metadata: {}, spek: 1}\n".repeat(5000);
    let found = documents(&[&text]);
    assert_eq!((found.issues.len(), found.errors_left_out), (100, 9900));
    assert!(found.found.iter().all(|found| found.errors == 2));
}

/// Work grows with the text and no faster: each of these would take hours if it grew with its square.
#[test]
fn large_files_are_read() {
    let keys: String = (0..40_000).map(|key| format!("    'a b{key}': x\n")).collect();
    let labels = format!("apiVersion: openslo/v1\nkind: Service\nmetadata:\n  name: a\n  labels:\n{keys}");
    let unknown = format!(
        "apiVersion: openslo/v1\nkind: Service\nmetadata:\n  name: a\n{}",
        keys.replace("    ", "  ")
    );
    let services = "- {apiVersion: openslo/v1, kind: Service, metadata: {name: a}}\n".repeat(10_000);
    let empty = format!(
        "apiVersion: openslo/v1\nkind: SLO\nspec:\n  objectives:\n{}",
        "    - {op: 5}\n".repeat(20_000)
    );
    let policies = "- {apiVersion: openslo/v1, kind: AlertPolicy, metadata: {name: a}, spec: {conditions: [{conditionRef: b}]}}\n";
    for text in [labels, unknown, services, empty, policies.repeat(5_000)] {
        let found = documents(&[&text]);
        assert!(found.errors_left_out + found.warnings_left_out > 0);
    }
}
