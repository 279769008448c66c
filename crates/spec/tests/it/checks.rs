//! What steps look at and count.

use plimsoll_run::{Action, Check, Expect, StatusRange};

use crate::{LOAD, plan, with};

const STEPS: &str = "
      - { name: list, get: /list, check: { found: { status: 200 }, quick: { within: 200ms, not: { status: 5xx } } } }
      - { group: more, steps: [ { name: buy, post: /buy, check: { found: { status: 201 } } } ] }";

#[test]
fn checks_have_their_step_and_are_numbered_through_the_plan() {
    let setup = "setup: [{ name: make, post: /x, check: { made: { contains: ok } } }]";
    let plan = plan(&with(LOAD, STEPS, setup));
    let labels: Vec<_> =
        plan.checks.iter().map(|check| (&*check.step, &*check.check, check.scenario_index)).collect();
    assert_eq!(
        labels,
        [
            ("list", "found", Some(0)),
            ("list", "quick", Some(0)),
            ("buy", "found", Some(0)),
            ("make", "made", None)
        ]
    );
    let mut found = Vec::new();
    for actions in [&plan.setup, &plan.scenarios[0].actions] {
        Action::walk(actions, &mut |action| {
            if let Action::Request(request) = action {
                found.extend(request.checks.iter().cloned());
            }
        });
    }
    let indices: Vec<_> = found.iter().map(|check| check.check).collect();
    assert_eq!(indices, [3, 0, 1, 2]);
    let status =
        |status| Expect { status: vec![StatusRange { first: status, last: status }], ..Expect::default() };
    assert_eq!(found[1], Check { check: 0, expect: status(200) });
    assert_eq!(found[3], Check { check: 2, expect: status(201) });
}

#[test]
fn checks_change_the_hash_and_their_order_does_not() {
    let of =
        |check: &str| plan(&with(LOAD, &format!("\n      - {{ name: list, get: /list{check} }}"), "")).hash;
    let [none, one, two] = [
        "",
        ", check: { a: { status: 200 }, b: { contains: x } }",
        ", check: { b: { contains: x }, a: { status: 200 } }",
    ]
    .map(of);
    assert_ne!(none, one);
    assert_eq!(one, two);
    assert_ne!(one, of(", check: { a: { status: 201 }, b: { contains: x } }"));
    assert_ne!(one, of(", check: { c: { status: 200 }, b: { contains: x } }"));
}
