//! What is read of a plan whose run is to be undone.

use plimsoll_run::RunPlan;
use plimsoll_spec::{Diagnostic, Inputs, Source, parse_teardown, teardown_needs_setup};

use crate::{LOAD, STEPS, file, parse_with, parsed, plan, rendered, with};

fn read(text: &str, env: &[(&str, &str)], is_kept: bool) -> Result<RunPlan, Vec<Diagnostic>> {
    let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let source = Source { name: "plan.yaml".to_owned(), text: text.to_owned() };
    parse_teardown(&source, &Inputs::new(&env, &file), is_kept)
}

const UNDONE: &str = "teardown: [{ name: undo, delete: '/x/{{ run.id }}' }]";

#[test]
fn what_only_the_load_needed_is_not_asked_for() {
    let text = "name: a\ntarget: http://shop.example\nload: ${NONE}\n\
         data: { users: { csv: gone.csv } }\nsla: [{ objective: '${NONE}' }]\n\
         export: { influxdb: { url: 'http://h:1', org: o, bucket: b, token: '${NONE}' } }\n\
         setup: [{ name: make, post: /x, file: gone.bin, headers: { x: '${NONE}' }, capture: { id: { header: x-id } } }, { group: g, steps: [{ set: { n: '1' } }] }]\n\
         teardown: [{ name: one, delete: '/x/{{ run.id }}' }, { name: two, delete: '/x/{{ id }}' }, { if: { value: '{{ n }}', above: 0 }, steps: [{ name: three, get: /y }] }, { set: { m: 'a{{ id }}' } }]\n\
         scenarios: nothing\n";
    let plan = read(text, &[], false).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    assert_eq!((plan.name.as_str(), plan.teardown.len()), ("a", 4));
    assert_eq!(teardown_needs_setup(&plan), ["two", "if", "set m"]);
    for needed in [
        "teardown: [{ name: a, delete: '/${NONE}' }]",
        "teardown: [{ name: a, put: /x, file: gone.bin }]",
        "teardown: [{ name: a, delete: '/{{ nothing }}' }]",
        "http: { headers: { x: '${NONE}' } }",
    ] {
        assert!(read(&with(LOAD, STEPS, needed), &[], false).is_err(), "{needed}");
    }
}

#[test]
fn the_plan_of_a_record_is_read_again_with_its_secrets() {
    let text = with(LOAD, STEPS, &format!("{UNDONE}\nauth: {{ bearer: '${{TOKEN}}' }}"));
    let kept =
        parse_with(&text, &[("TOKEN", "abc")], &[]).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    let again = read(&kept.plan.text, &[("TOKEN", "abc")], true);
    let again = again.unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    assert_eq!(again.http.headers, kept.plan.http.headers);
    let missing = rendered(&read(&kept.plan.text, &[], true).unwrap_err());
    assert!(missing.contains("TOKEN"), "{missing}");

    let typed = plan(&with(LOAD, STEPS, &format!("{UNDONE}\nauth: {{ bearer: abc }}"))).text;
    let told = rendered(&read(&typed, &[], true).unwrap_err());
    assert!(told.contains("a secret was typed here") && told.contains("`--plan FILE`"), "{told}");
    assert!(read(&typed, &[], false).is_ok(), "whoever gives the file means what stands there");
}

#[test]
fn a_teardown_that_needs_captures_is_advised_against() {
    let rest = "setup: [{ name: make, post: /x, capture: { id: { header: x-id } } }]\n";
    let advice = |teardown: &str| {
        let text = with(LOAD, STEPS, &format!("{rest}teardown: [{teardown}]"));
        let all = parsed(&text).advice.into_iter();
        all.map(|advice| advice.message).filter(|message| message.contains("teardown")).collect::<Vec<_>>()
    };
    assert_eq!(
        advice("{ name: undo, delete: '/x/{{ id }}' }"),
        ["`undo` of `teardown` needs what `setup` captured"]
    );
    assert!(advice("{ name: undo, delete: '/x/{{ run.id }}' }").is_empty());
}
