//! Advice: what is worth knowing about plans that can be run.

use crate::{LOAD, STEPS, parsed, with};

/// The messages for a plan, the first words of each.
fn advice(load: &str, steps: &str, rest: &str) -> Vec<String> {
    parsed(&with(load, steps, rest)).advice.into_iter().map(|advice| advice.message).collect()
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_careful_plan_needs_none() {
    assert_eq!(advice(LOAD, STEPS, "sla: [{ objective: \"p99(response_time) <= 1s\", over: 10s }]"), none());
}

#[test]
fn each_thing_worth_knowing_is_said_once() {
    let closed =
        "{ model: closed, warmup: 5s, stages: [{ ramp: 5 users, over: 5s }, { hold: 5 users, for: 30s }] }";
    let counted = "{ model: closed, at_most: 10/s, iterations: 900, warmup: 5s, \
                   stages: [{ ramp: 5 users, over: 5s }, { hold: 5 users, for: 30s }] }";
    for (load, steps, rest, expected) in [
        ("{ stages: [{ ramp: 100/s, over: 10s }] }", STEPS, "", "there is no warm-up"),
        (
            "{ warmup: 1s, stages: [{ hold: 100/s, for: 10s }] }",
            STEPS,
            "",
            "the load jumps to its first level",
        ),
        (closed, STEPS, "", "the users of `main` never think"),
        (LOAD, STEPS, "data: { one: { csv: one.csv } }", "the feed `one` has one row"),
        (
            LOAD,
            "[{ get: \"/{{ users.name }}\" }]",
            "data: { users: { csv: users.csv, order: unique } }",
            "the feed `users` hands out each row once and has 2 rows for about 6250 iterations",
        ),
        (
            LOAD,
            STEPS,
            "sla: [{ objective: \"p99.99(response_time) <= 1s\" }]",
            "p99.99 needs 10000 requests, and the run has about 5769",
        ),
        (
            LOAD,
            STEPS,
            "sla: [{ objective: \"p99.9(response_time) <= 1s\", over: 5s }]",
            "p99.9 needs 1000 requests, and a window has about 481",
        ),
        (
            LOAD,
            STEPS,
            "sla: [{ name: x, objective: \"error_ratio <= 1%\", over: 40s, abort_after: 30s }]",
            "`x` can never abort the run",
        ),
        (
            counted,
            STEPS,
            "profiles: { folder: kept, take: [{ kind: heap, at: end }, { kind: cpu, at: end }] }",
            "the profile `cpu` at `end` may never be taken",
        ),
    ] {
        assert_eq!(advice(load, steps, rest), [expected], "{load} {steps} {rest}");
    }
    let known = "profiles: { folder: kept, take: [{ kind: cpu, at: end }] }";
    assert_eq!(advice(LOAD, STEPS, known), none());
    let fits = "profiles: { folder: kept, take: [{ kind: cpu, at: peak }, { kind: heap, at: end }] }";
    assert_eq!(advice(counted, STEPS, fits), none());
    assert_eq!(advice(closed, "[{ get: / }, { pause: 1s }]", ""), none());
}

#[test]
fn a_target_beside_the_generator_is_pointed_out() {
    for (target, is_own) in [
        ("http://localhost:8080", true),
        ("http://shop.localhost", true),
        ("http://127.0.0.1", true),
        ("http://127.8.9.1", true),
        ("http://[::1]:80", true),
        ("http://192.0.2.1", false),
        ("http://localhost.example", false),
    ] {
        let text = with(LOAD, STEPS, "").replace("http://shop.example", target);
        let words = parsed(&text).advice;
        assert_eq!(words.len(), usize::from(is_own), "{target}");
    }
}

#[test]
fn advice_is_rendered_as_such() {
    let text = with(LOAD, STEPS, "").replace("http://shop.example", "http://localhost");
    let rendered = parsed(&text).advice[0].render(false);
    assert!(
        rendered.starts_with("advice: the target is on the generator's own host\n --> plan.yaml:2:9"),
        "{rendered}"
    );
}
