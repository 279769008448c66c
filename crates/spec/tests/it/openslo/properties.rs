//! No text panics or hangs, and of what is wrong there is something to say.

use proptest::prelude::*;

use super::{documents, rendered};

const DOCUMENTS: &str = include_str!("../../cases/openslo/right.yaml");

fn read(text: &str) {
    let found = documents(&[text]);
    // Excerpts must hold for every place.
    let said = rendered(&found);
    assert_eq!(found.is_right(), !said.contains("error"), "{said}");
    assert!(found.is_right() || !found.issues.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        drop(rendered(&documents(&[&text])));
    }

    #[test]
    fn nothing_like_yaml_panics(text in "[-a-c:{}\\[\\],&*!|>'\"#%@ \n$~<]{0,120}") {
        drop(rendered(&documents(&[&text])));
    }

    #[test]
    fn no_damage_to_documents_panics(
        cuts in prop::collection::vec((0..DOCUMENTS.len(), 0_usize..12, "[-a-z0-9:{}\\[\\],&*'\"# \n$ü]{0,6}"), 1..4),
    ) {
        let mut text = DOCUMENTS.to_owned();
        for (at, length, insert) in cuts {
            let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let (start, end) = (floor(at), floor(at + length));
            text.replace_range(start..end, &insert);
        }
        drop(rendered(&documents(&[&text, DOCUMENTS])));
    }

    /// Any value in the place of any other, one line at a time.
    #[test]
    fn no_value_panics(
        line in 0..DOCUMENTS.lines().count(),
        value in prop::sample::select(vec![
            "", "~", "x", "5", "-1", "1.5", "[]", "{}", "[x]", "{ a: b }", "[[]]", "true", "99999999999999999999", "1e999",
            ".nan", "\"\"", "\"\\0\"", "ü", "&a [*a]", "4w", "-4w", "0m", "4294967296Y", "[{}]", "[{indicatorRef: x}]",
            "{metadata: {name: a}}", "2022-01-01 00:00:00", "openslo/v1alpha", "SLI", "Timeslices", "lte",
        ]),
    ) {
        let changed = DOCUMENTS.lines().enumerate().map(|(index, text)| match text.split_once(": ") {
            Some((key, _)) if index == line => format!("{key}: {value}\n"),
            _ => format!("{text}\n"),
        });
        read(&changed.collect::<String>());
    }
}
