//! What a step sends, and how long it may take.

use std::time::Duration;

use plimsoll_run::{Action, Body, FormPart, LoadModel, Part, PartContent, Request, RunPlan, Template};

use crate::{LOAD, parse_with, plan, rendered, with};

fn requests(plan: &RunPlan) -> Vec<&Request> {
    let mut all = Vec::new();
    plan.scenarios.iter().for_each(|one| Action::requests(&one.actions, &mut |request| all.push(request)));
    all
}

/// The only step of a plan, and what it is called.
fn step(step: &str) -> (Request, String) {
    let plan = plan(&with(LOAD, &format!("[{step}]"), ""));
    (requests(&plan)[0].clone(), plan.steps[0].step.clone())
}

fn shown(template: &Template) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Secret(secret) => format!("<{}>", secret.expose()),
        Part::Variable(variable) => format!("{variable:?}"),
    };
    template.parts.iter().map(part).collect()
}

#[test]
fn any_method_is_written_in_full() {
    for (text, method, name) in [
        ("{ method: PROPFIND, url: /files }", "PROPFIND", "PROPFIND /files"),
        ("{ method: propfind, url: \"/files/{{ user }}\" }", "PROPFIND", "PROPFIND /files/{{ user }}"),
        ("{ method: get, url: / }", "GET", "GET /"),
        ("{ method: M-SEARCH, url: /, name: mine }", "M-SEARCH", "mine"),
        ("{ get: / }", "GET", "GET /"),
    ] {
        let (request, called) = step(text);
        assert_eq!((request.method.as_str(), called.as_str()), (method, name), "{text}");
    }
}

#[test]
fn a_query_is_encoded_and_leaves_the_name_alone() {
    for (text, query) in [
        ("{ get: /x, query: { a: b, list: [1, 2] } }", "a=b&list=1&list=2"),
        (r#"{ get: "/x?y=z", query: { "sp ace": "1&2=3/ä" } }"#, "sp%20ace=1%262%3D3%2F%C3%A4"),
        (
            r#"{ get: /x, query: { q: "a {{ user }}", r: ["{{ iteration }}", ""] } }"#,
            "q=a%20User&r=Iteration&r=",
        ),
        ("{ get: /x, query: { on: true, n: 1.50 } }", "on=true&n=1.50"),
    ] {
        let (request, name) = step(text);
        assert_eq!(request.query.as_ref().map(shown).as_deref(), Some(query), "{text}");
        assert_eq!(name, "GET /x");
    }
    for text in ["{ get: /x }", "{ get: /x, query: {} }", "{ get: /x, query: { none: [] } }"] {
        assert_eq!(step(text).0.query, None, "{text}");
    }
    let text = with(LOAD, "[{ get: /x, query: { token: abc, id: '${secret:ID}' } }]", "");
    let plan = parse_with(&text, &[("ID", "x y")], &[])
        .unwrap_or_else(|errors| panic!("{}", rendered(&errors)))
        .plan;
    assert_eq!(requests(&plan)[0].query.as_ref().map(shown).as_deref(), Some("token=<abc>&id=<x%20y>"));
    assert!(!plan.text.contains("abc") && !plan.text.contains("x y"), "{}", plan.text);
}

#[test]
fn a_file_is_sent_as_it_is() {
    let (request, _) = step("{ put: /x, file: body.bin }");
    let Some(Body::File(bytes)) = &request.body else { panic!("{:?}", request.body) };
    assert_eq!((&**bytes, request.headers.len()), (&b"\x00\xff{{ body }}"[..], 0));
    let (typed, _) =
        step("{ put: /x, file: body.bin, headers: { content-type: image/png }, compress_body: gzip }");
    assert_eq!((typed.headers[0].name.as_str(), typed.gzip), ("content-type", true));
}

#[test]
fn parts_of_a_form_are_texts_and_files() {
    let (request, _) = step(
        r#"{ post: /x, multipart: { a: "<{{ user }}>", n: 5, files: [{ file: body.bin }, { file: files/deep/a.csv }, { file: files/deep/a.csv, filename: "{{ run.id }}.csv", type: text/csv }], note: { text: "{}", type: "application/json; charset=utf-8" } } }"#,
    );
    let Some(Body::Multipart(parts)) = &request.body else { panic!("{:?}", request.body) };
    let told = |part: &FormPart| {
        let content = match &part.content {
            PartContent::Text(template) => shown(template),
            PartContent::File(bytes) => format!("{} bytes", bytes.len()),
        };
        let filename = part.filename.as_ref().map_or("-".into(), shown);
        format!("{} {filename} {} {content}", part.name, part.media_type.as_deref().unwrap_or("-"))
    };
    assert_eq!(
        parts.iter().map(told).collect::<Vec<_>>(),
        [
            "a - - <User>",
            "n - - 5",
            "files body.bin application/octet-stream 12 bytes",
            "files a.csv application/octet-stream 4 bytes",
            "files RunId.csv text/csv 4 bytes",
            "note - application/json; charset=utf-8 {}",
        ]
    );
    assert!(request.headers.is_empty(), "the boundary is not known yet");
}

#[test]
fn a_step_may_take_its_own_time_and_go_without_credentials() {
    let (request, _) = step("{ get: /, timeout: 250ms, auth: none }");
    assert_eq!((request.timeout, request.without_auth), (Some(Duration::from_millis(250)), true));
    let (usual, _) = step("{ get: / }");
    assert_eq!((usual.timeout, usual.without_auth, usual.gzip), (None, false, false));
    let text = with(LOAD, "[{ get: /, auth: none }]", "auth: { bearer: abc }");
    assert!(plan(&text).text.contains("auth: none"), "{}", plan(&text).text);
}

#[test]
fn what_may_be_in_flight_follows_the_longest_time_of_a_step() {
    let in_flight = |model: &LoadModel| match model {
        LoadModel::Open { max_in_flight, .. } => *max_in_flight,
        LoadModel::Closed { .. } => panic!("open"),
    };
    let load = "{ stages: [{ hold: 100/s, for: 60s }] }";
    for (steps, expected) in [
        ("[{ get: / }]", 500),
        ("[{ get: /, timeout: 1s }]", 100),
        ("[{ get: /, timeout: 1s }, { get: /slow, timeout: 20s }]", 2000),
        ("[{ get: /, timeout: 1s }, { get: /b }]", 500),
        ("[{ group: g, steps: [{ get: /, timeout: 10s }] }]", 1000),
    ] {
        let plan = plan(&with(load, steps, ""));
        assert_eq!(in_flight(&plan.load.model), expected, "{steps}");
        assert_eq!(plan.longest_timeout(), Duration::from_secs(u64::from(expected) / 100), "{steps}");
    }
    let own = format!(
        "name: a\ntarget: http://shop.example\nload: {load}\nscenarios:\n  - {{ name: a, steps: [{{ get: / }}] }}\n  - {{ name: b, load: {load}, steps: [{{ get: /, timeout: 30s }}] }}\n"
    );
    let plan = plan(&own);
    assert_eq!(plan.loads().map(in_flight).collect::<Vec<_>>(), [500, 3000]);
}

#[test]
fn the_hash_follows_what_is_sent() {
    let hash = |step: &str| plan(&with(LOAD, &format!("[{step}]"), "")).hash;
    let all = [
        "{ post: /, name: a }",
        "{ post: /, name: a, query: { a: b } }",
        "{ post: /, name: a, file: body.bin }",
        "{ post: /, name: a, file: users.csv }",
        "{ post: /, name: a, file: users.csv, compress_body: gzip }",
        "{ post: /, name: a, multipart: { a: b } }",
        "{ post: /, name: a, multipart: { a: { file: body.bin } } }",
        "{ post: /, name: a, multipart: { a: { file: users.csv, filename: body.bin } } }",
        "{ post: /, name: a, timeout: 7s }",
        "{ post: /, name: a, auth: none }",
        "{ method: PURGE, url: /, name: a }",
    ];
    let hashes: std::collections::BTreeSet<_> = all.iter().map(|step| hash(step)).collect();
    assert_eq!(hashes.len(), all.len());
    assert_eq!(hash("{ post: /, name: a }"), hash("{ method: post, url: /, name: a }"), "another spelling");
}
