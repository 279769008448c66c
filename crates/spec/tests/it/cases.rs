//! What wrong plans are told: each `cases/NAME.yaml` with its `cases/NAME.txt`.
//!
//! Lines `# set: path=value` and `# env: NAME=value` at the head of a case are what they say. With
//! `PLIMSOLL_UPDATE_GOLDEN=1` the expected texts are written anew.

use std::path::{Path, PathBuf};

use crate::{parse_with, rendered};

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(directory).unwrap();
    let mut cases: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    cases
}

fn told(text: &str) -> String {
    let head = |word: &str| -> Vec<&str> {
        text.lines()
            .filter_map(|line| line.strip_prefix("# ")?.strip_prefix(word)?.strip_prefix(": "))
            .collect()
    };
    let env: Vec<_> = head("env").into_iter().filter_map(|pair| pair.split_once('=')).collect();
    match parse_with(text, &env, &head("set")) {
        Ok(_) => panic!("this plan is right:\n{text}"),
        Err(errors) => rendered(&errors),
    }
}

#[test]
fn wrong_plans_are_told_what_is_wrong() {
    let update = std::env::var_os("PLIMSOLL_UPDATE_GOLDEN").is_some();
    let cases = cases();
    assert!(cases.len() > 10, "the cases are there");
    for path in cases {
        let told = told(&std::fs::read_to_string(&path).unwrap());
        let golden = path.with_extension("txt");
        if update {
            std::fs::write(&golden, &told).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(told, expected, "{}", path.display());
    }
}

#[test]
fn colour_is_an_option() {
    let errors = parse_with("name: 1", &[], &[]).unwrap_err();
    assert!(errors[0].render(true).contains('\u{1b}'));
    assert!(!errors[0].render(false).contains('\u{1b}'));
}

#[test]
fn countless_mistakes_are_counted() {
    let text = crate::with(crate::LOAD, &format!("[{}]", "x, ".repeat(5000)), "");
    let errors = parse_with(&text, &[], &[]).unwrap_err();
    assert_eq!(errors.len(), 101);
    assert_eq!(errors[100].to_string(), "mistakes beyond these: 4900");
}
