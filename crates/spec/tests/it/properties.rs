//! No text panics or hangs; what a plan says it says again.

use proptest::prelude::*;

use crate::{parse_with, rendered};

const PLAN: &str = include_str!("../../../../config/plans/journey.yaml");

/// Reads it and renders whatever there is to say: excerpts must hold for every place.
fn read(text: &str, set: &[&str]) {
    match parse_with(text, &[("A", "b")], set) {
        Ok(parsed) => drop(rendered(&parsed.advice)),
        Err(errors) => {
            assert!(!errors.is_empty());
            drop(rendered(&errors));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        read(&text, &[]);
    }

    #[test]
    fn nothing_like_yaml_panics(text in "[-a-c:{}\\[\\],&*!|>'\"#%@ \n$~<]{0,120}") {
        read(&text, &[]);
    }

    #[test]
    fn no_damage_to_a_plan_panics(
        cuts in prop::collection::vec((0..PLAN.len(), 0_usize..12, "[-a-z0-9:{}\\[\\],&*'\"# \n$ü]{0,6}"), 1..4),
    ) {
        let mut text = PLAN.to_owned();
        for (at, length, insert) in cuts {
            let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let (start, end) = (floor(at), floor(at + length));
            text.replace_range(start..end, &insert);
        }
        read(&text, &[]);
    }

    #[test]
    fn no_override_panics(set in "[a-d.=\\[\\]0-9{}:, $]{0,24}", value in ".{0,20}") {
        read(PLAN, &[&set, &format!("load.stages[0].over={value}"), &format!("{value}=x")]);
    }

    /// Any value in the place of any other.
    #[test]
    fn no_value_panics(
        path in prop::sample::select(vec![
            "name", "target", "load", "load.stages", "load.stages[0]", "load.stages[1].hold", "load.warmup", "http",
            "http.headers", "http.timeout", "data", "data.users.csv", "setup", "setup[0].capture", "scenarios",
            "scenarios[0].weight", "scenarios[0].steps", "scenarios[0].steps[0].json", "scenarios[0].steps[1].get",
            "scenarios[0].steps[1].expect", "scenarios[0].steps[2].pause", "scenarios[0].steps[5].expect.status",
            "sla", "sla[0].objective", "sla[0].over", "sla[1].where", "sla[1].where.step", "export", "auth", "tls",
            "tags", "seed", "scenarios[1].steps[2].form", "sla[0].where.stage", "load.preset", "load.max_in_flight",
        ]),
        value in prop::sample::select(vec![
            "", "~", "x", "5", "-1", "1.5", "[]", "{}", "[x]", "{ a: b }", "[[]]", "true", "99999999999999999999",
            "{{ x }}", "\"{{ user }}\"", "${A}", "${B}", "${secret:A}", "http://x", "http://a:b@x/", "10s", "0s", "1/s",
            "1e999/s", "10 users", "p95(response_time) <= 1s", "\"\\0\"", "ü", "&a [*a]", "stress", "closed",
            "300w", "p95(response_time) <= 2 x stage(1)", "[0, 65536]", "{ step: [list, list] }",
        ]),
    ) {
        read(PLAN, &[&format!("{path}={value}")]);
    }
}
