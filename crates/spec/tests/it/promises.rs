//! Other ways to say what is promised: the short form, and files of SLAs beside the plan.

use plimsoll_sla::Sla;
use plimsoll_spec::openslo::read_slas;
use plimsoll_spec::{Diagnostic, Inputs, Parsed, Source, parse};

use super::{LOAD, STEPS, file, parse_with, plan, rendered, with};

fn slas() -> Vec<Sla> {
    let text = include_str!("../../../../config/sla/storefront.yaml");
    let (documents, slas) = read_slas(&[Source { name: "slo.yaml".to_owned(), text: text.to_owned() }]);
    assert!(documents.is_right());
    slas
}

fn parse_beside(text: &str, slas: &[Sla]) -> Result<Parsed, Vec<Diagnostic>> {
    let env = |_: &str| None;
    let inputs = Inputs { slas, ..Inputs::new(&env, &file) };
    parse(&Source { name: "plan.yaml".to_owned(), text: text.to_owned() }, &inputs)
}

/// Names and expressions of a plan's objectives.
fn objectives(parsed: &plimsoll_run::RunPlan) -> Vec<(String, String)> {
    parsed
        .objectives
        .iter()
        .map(|objective| (objective.name.clone(), objective.expression.to_string()))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn the_short_form_is_ordinary_objectives() {
    let short = "sla: { max_average_latency: 100ms, max_p95_latency: 500ms, max_p99_latency: 1s, max_error_rate: 1%, min_throughput: 50/s }";
    let plan = plan(&with(LOAD, STEPS, short));
    let expected = [
        ("max_average_latency", "mean(response_time) <= 100ms"),
        ("max_p95_latency", "p95(response_time) <= 500ms"),
        ("max_p99_latency", "p99(response_time) <= 1s"),
        ("max_error_rate", "error_ratio <= 1%"),
        ("min_throughput", "throughput >= 50/s"),
    ];
    assert_eq!(objectives(&plan), pairs(&expected));
    // Nothing else knows it: the kept text has the list.
    assert!(
        plan.text.contains("p95(response_time) <= 500ms") && !plan.text.contains("sla: {"),
        "{}",
        plan.text
    );
    let long =
        expected.map(|(name, text)| format!("  - {{ name: {name}, objective: \"{text}\" }}\n")).concat();
    let same = super::plan(&with(LOAD, STEPS, &format!("sla:\n{long}")));
    assert_eq!((same.objectives, same.hash), (plan.objectives, plan.hash));
    let changed = parse_with(&with(LOAD, STEPS, short), &[], &["sla.max_p95_latency=2s"]).unwrap().plan;
    assert_eq!(objectives(&changed)[1].1, "p95(response_time) <= 2s");
}

#[test]
fn mistakes_in_the_short_form_are_told_where_they_are() {
    for (sla, told) in [
        ("{ max_p95_latency: 500 }", "a duration with a unit"),
        ("{ max_p95_latency: 0s }", "a bound that can be kept and missed"),
        ("{ max_error_rate: lots }", "a percentage like `0.1%`"),
        ("{ min_throughput: 5ms }", "a rate like `450/s`"),
        ("{ max_p95_latncy: 5ms }", "did you mean `max_p95_latency`?"),
        ("{ max_p95_latency: [5ms] }", "expected a value, found a list"),
        ("fast", "a list of objectives"),
    ] {
        let errors = parse_with(&with(LOAD, STEPS, &format!("sla: {sla}")), &[], &[]).unwrap_err();
        let said = rendered(&errors);
        assert!(said.contains(told) && said.contains("plan.yaml:"), "{sla}: {said}");
    }
}

#[test]
fn slas_of_a_plan_become_its_objectives() {
    let text = with(LOAD, STEPS, "").replace("name: test", "name: demo");
    let parsed = parse_beside(&text, &slas()).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    let expected = [
        ("storefront-available", "availability >= 99.9%"),
        ("storefront-fast", "within(response_time, 250ms) >= 99%"),
    ];
    assert_eq!(objectives(&parsed.plan), pairs(&expected));
    assert!(parsed.plan.text.contains("storefront-fast"), "a replay knows them: {}", parsed.plan.text);
    // Beside the plan's own, in whichever form.
    for own in ["sla: [{ name: own, objective: \"error_ratio <= 1%\" }]", "sla: { max_error_rate: 1% }"] {
        let parsed = parse_beside(&format!("{text}\n{own}"), &slas()).unwrap();
        assert_eq!(objectives(&parsed.plan).len(), 3, "{own}");
    }
}

#[test]
fn slas_that_do_not_go_with_a_plan_are_told() {
    let slas = slas();
    let of = |step: &str| {
        let mut slas = slas.clone();
        for sla in &mut slas {
            if let plimsoll_sla::Events::Runs(runs) = &mut sla.events {
                runs.step = Some(step.to_owned());
            }
        }
        slas
    };
    let demo = with(LOAD, STEPS, "").replace("name: test", "name: demo");
    for (text, slas, told) in [
        (with(LOAD, STEPS, ""), slas.clone(), "they are about runs of `demo`"),
        (demo.clone(), of("nowhere"), "`nowhere`"),
        (
            format!("{demo}\nsla: [{{ name: storefront-fast, objective: \"error_ratio <= 1%\" }}]"),
            slas.clone(),
            "two objectives are called `storefront-fast`",
        ),
    ] {
        let said = rendered(&parse_beside(&text, &slas).unwrap_err());
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(parse_beside(&demo, &of("home")).is_ok());
}
