//! What directs steps, as a plan's words become actions.

use std::time::Duration;

use plimsoll_measure::Outcome;
use plimsoll_run::{Action, Comparison, OnFailure, Request, RunPlan, Variable};
use serde_json::json;

use crate::{LOAD, plan, with};

fn actions(steps: &str) -> RunPlan {
    plan(&with(LOAD, steps, ""))
}

/// Actions as a person would tell them.
fn told(plan: &RunPlan, actions: &[Action]) -> String {
    let group = |index: u16| &plan.groups[usize::from(index)].group;
    let one = |action: &Action| match action {
        Action::Request(request) => plan.steps[usize::from(request.step)].step.clone(),
        Action::Pause(_) => "pause".into(),
        Action::Set(values) => {
            values.iter().map(|set| format!("{}={}", set.slot, set.name)).collect::<Vec<_>>().join(",")
        }
        Action::Group(inner) => format!("{}({})", group(inner.group), told(plan, &inner.actions)),
        Action::Parallel(inner) => format!("{}|{}|", group(inner.group), told(plan, &inner.actions)),
        Action::Repeat(repeat) => format!("{}-{}x({})", repeat.min, repeat.max, told(plan, &repeat.actions)),
        Action::If(choice) => {
            format!("{}?({}):({})", choice.is, told(plan, &choice.then), told(plan, &choice.otherwise))
        }
        Action::OneOf(branches) => {
            let all =
                branches.iter().map(|branch| format!("{}({})", branch.weight, told(plan, &branch.actions)));
            all.collect::<Vec<_>>().join("/")
        }
    };
    actions.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn requests(plan: &RunPlan) -> Vec<&Request> {
    let mut all = Vec::new();
    Action::requests(&plan.scenarios[0].actions, &mut |request| all.push(request));
    all
}

#[test]
fn steps_within_steps_are_read_to_any_depth() {
    let plan = actions(
        r#"[ { set: { a: x, b: "{{ iteration }}" } },
             { group: outer, steps: [ { name: one, get: / }, { group: inner, steps: [ { pause: 1s }, { name: two, get: / } ] } ] },
             { repeat: 2..5, steps: [ { repeat: 3, steps: [ { name: three, get: / } ] } ] },
             { parallel: [ { name: four, get: / }, { name: five, get: / } ] },
             { one_of: [ { weight: 7, steps: [ { name: six, get: / } ] }, { steps: [] } ] },
             { if: { value: "{{ a }}", above: 1, below: 3 }, steps: [ { name: seven, get: / } ], else: [ { pause: 1s } ] } ]"#,
    );
    assert_eq!(
        told(&plan, &plan.scenarios[0].actions),
        "0=a,1=b outer(one inner(pause two)) 2-5x(3-3x(three)) parallel|four five| 7(six)/1() above 1 and below 3?(seven):(pause)"
    );
    let groups: Vec<_> =
        plan.groups.iter().map(|group| (group.group.as_str(), group.scenario_index)).collect();
    assert_eq!(groups, [("inner", Some(0)), ("outer", Some(0)), ("parallel", Some(0))]);
}

#[test]
fn ways_that_exclude_each_other_capture_into_one_slot() {
    let plan = actions(
        r#"[ { get: /a, capture: { id: { header: id } } },
             { if: { value: "{{ id }}", exists: true },
               steps: [ { get: /b, capture: { token: { header: t }, only: { header: o } } } ],
               else: [ { get: /c, capture: { token: { header: u } } } ] },
             { get: "/{{ token }}/{{ only }}" } ]"#,
    );
    let all = requests(&plan);
    let slots: Vec<Vec<u16>> =
        all.iter().map(|request| request.captures.iter().map(|capture| capture.slot).collect()).collect();
    assert_eq!(slots, [vec![0], vec![1, 2], vec![1], vec![]]);
    let holes: Vec<_> = all[3].url.variables().collect();
    assert_eq!(holes, [Variable::Capture(1), Variable::Capture(2)]);
    assert_eq!(plan.scenarios[0].captures, 3);
}

#[test]
fn steps_that_are_made_again_say_when() {
    let plan = actions(
        r#"[ { get: /a, retry: { max: 3 } },
             { get: /b, retry: { max: 1, backoff: 2s, on: [status, capture, 429, 5xx] }, on_failure: stop },
             { get: /c, until: { jsonpath: "$.state", one_of: [done, lost] }, on_failure: end_journey },
             { get: /d, until: { expect: { status: 200 }, every: 250ms, timeout: 2m } } ]"#,
    );
    let all = requests(&plan);
    let told = |index: usize| {
        let retry = all[index].retry.clone().unwrap();
        let statuses: Vec<_> = retry.statuses.iter().map(|range| (range.first, range.last)).collect();
        (retry.max, retry.backoff.as_millis(), retry.outcomes, statuses)
    };
    assert_eq!(told(0), (3, 100, vec![Outcome::Connect, Outcome::Reset, Outcome::Timeout], vec![(502, 504)]));
    assert_eq!(told(1), (1, 2000, vec![Outcome::Status, Outcome::Capture], vec![(429, 429), (500, 599)]));
    assert_eq!(all[1].on_failure, OnFailure::StopRun);
    assert_eq!(all[2].on_failure, OnFailure::EndIteration);
    let until = all[2].until.as_ref().unwrap();
    assert_eq!((until.every, until.timeout), (Duration::from_secs(1), Duration::from_secs(30)));
    assert_eq!(until.expect.json[0].1, Comparison::OneOf(vec![json!("done"), json!("lost")]));
    let until = all[3].until.as_ref().unwrap();
    assert_eq!((until.every, until.timeout), (Duration::from_millis(250), Duration::from_secs(120)));
    assert_eq!(until.expect.status[0].first, 200);
}

#[test]
fn the_hash_knows_what_directs_steps() {
    let hash = |steps: &str| actions(steps).hash;
    let base = hash("[ { repeat: 3, steps: [ { get: /a } ] } ]");
    assert_eq!(base, hash("[ { repeat: 3..3, steps: [ { get: /a } ] } ]"));
    for other in [
        "[ { repeat: 4, steps: [ { get: /a } ] } ]",
        "[ { group: x, steps: [ { get: /a } ] } ]",
        "[ { get: /a } ]",
        "[ { get: /a, retry: { max: 3 } } ]",
        "[ { parallel: [ { get: /a } ] } ]",
        "[ { set: { x: y } }, { get: /a } ]",
    ] {
        assert_ne!(hash(other), base, "{other}");
    }
}

#[test]
fn users_think_between_steps_at_whatever_depth() {
    let steps = "[ { name: one, get: / }, { set: { a: b } }, \
         { repeat: 2, steps: [ { name: two, get: / }, { group: g, steps: [ { name: three, get: / }, { name: four, get: / } ] } ] }, \
         { parallel: [ { name: five, get: / }, { name: six, get: / } ] } ]";
    let text = with(LOAD, steps, "").replacen("steps:", "think_time: 1s\n    steps:", 1);
    let plan = plan(&text);
    assert_eq!(
        told(&plan, &plan.scenarios[0].actions),
        "one 0=a pause 2-2x(two pause g(three pause four) pause) parallel|five six|"
    );
}

#[test]
fn steps_within_steps_measure_too() {
    let plan = actions(
        r#"[ { group: g, steps: [ { repeat: 2, steps: [ { get: /a, measure: { queue: { header: x-queue, as: counter } } } ] } ] },
             { one_of: [ { steps: [ { get: /b, measure: { size: { body: size, as: histogram } } } ] } ] } ]"#,
    );
    let names: Vec<_> = plan.measures.iter().map(|measure| measure.name.to_string()).collect();
    assert_eq!(names, ["queue", "size"]);
    assert_eq!(requests(&plan).iter().map(|request| request.measures[0].measure).collect::<Vec<_>>(), [0, 1]);
}
