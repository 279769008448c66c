//! Every rule of counting has a test, by name.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

use std::path::{Path, PathBuf};

/// Names in back quotes that end a rule: `Tests: `a`, `b`.`
fn named(rule: &str) -> Vec<&str> {
    let Some((_, tests)) = rule.split_once("Tests:") else { return Vec::new() };
    tests.split('`').skip(1).step_by(2).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn each_point_of_counting_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/counting.md")).unwrap();
    let mut files = Vec::new();
    sources(&root.join("crates"), &mut files);
    sources(&root.join("tests"), &mut files);
    let code: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let mut missing = Vec::new();
    for point in 1..=18 {
        let start = page
            .find(&format!("\n{point}. **"))
            .unwrap_or_else(|| panic!("point {point} is not on the page"));
        let rest = &page[start..];
        let end = rest.find(&format!("\n{}. **", point + 1)).unwrap_or(rest.len());
        let tests = named(&rest[..end]);
        assert!(!tests.is_empty(), "point {point} names no test");
        missing.extend(tests.into_iter().filter(|name| !code.contains(&format!("fn {name}("))));
    }
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
