//! What right plans mean.

use std::net::IpAddr;
use std::time::Duration;

use plimsoll_measure::SingleRule;
use plimsoll_run::{
    Absent, Action, AddressChoice, AwsCredentials, Body, BodyKind, CaptureSource, CloudWatchExport,
    CloudWatchResolution, Comparison, Connections, Expect, FeedOrder, FileFormat, HttpVersion, InfluxPlace,
    KafkaExport, LoadModel, OnFailure, OtlpHistograms, OtlpProtocol, OtlpTemporality, Part, Pick,
    RemoteWriteHistograms, RemoteWriteVersion, Request, ResourceOrigin, RunPlan, SamplesFormat,
    SearchCredentials, StatsdAddress, StatsdExport, Template, Variable,
};
use plimsoll_run::{AddressFamily, Auth, AwsSigning, HostAddress, Network, OAuth2, Reuse, Secret};
use plimsoll_sla::Severity;
use plimsoll_units::Rate;
use plimsoll_workload::{Pause, Spacing, Stage, StageKind};

use crate::{LOAD, STEPS, parse_with, plan, with};

fn request(plan: &RunPlan, index: usize) -> &Request {
    let mut requests = Vec::new();
    plan.scenarios
        .iter()
        .for_each(|scenario| Action::requests(&scenario.actions, &mut |request| requests.push(request)));
    requests[index]
}

/// The template with names in its holes, as a person would write it.
fn shown(template: &Template) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Secret(secret) => format!("<{}>", secret.expose()),
        Part::Variable(variable) => format!("{variable:?}"),
    };
    template.parts.iter().map(part).collect()
}

/// The only step of a plan.
fn step(step: &str) -> Request {
    request(&plan(&with(LOAD, &format!("[{step}]"), "")), 0).clone()
}

#[test]
fn what_is_not_said_has_its_default() {
    let plan = plan(
        "name: a\ntarget: http://shop.example/\nload: { stages: [{ ramp: 300/s, over: 10s }] }\nscenarios: [{ name: b, steps: [{ get: / }] }]\n",
    );
    assert_eq!(plan.target, "http://shop.example");
    let LoadModel::Open { spacing, max_in_flight, .. } = plan.load.model else { panic!("open") };
    assert_eq!((spacing, max_in_flight), (Spacing::Uniform, 1500));
    assert_eq!((plan.load.warmup, plan.load.grace), (Duration::ZERO, Duration::from_secs(5)));
    let http = &plan.http;
    assert_eq!((http.timeout, http.connect_timeout), (Duration::from_secs(5), Duration::from_secs(2)));
    assert_eq!((http.redirects, http.max_body, http.connections), (10, 16_000_000, None));
    assert!(http.headers[0].value.as_text().unwrap().starts_with("plimsoll/"));
    assert_eq!(plan.scenarios[0].weight, 1);
    assert_eq!(plan.steps[0].step, "GET /");
    assert!(plan.seed.is_none() && plan.version.is_none() && plan.objectives.is_empty());
    assert!(plan.export.prometheus.is_none() && plan.export.influxdb.is_none());
    assert_eq!((http.version, http.streams, http.connect_rate), (HttpVersion::Http1, 100, None));
    assert!(http.source.is_empty() && plan.targets.len() == 1);
    assert_eq!(plan.limits, plimsoll_measure::Limits::default());
}

#[test]
fn pauses_are_fixed_or_drawn() {
    let second = Duration::from_secs(1);
    for (text, expected) in [
        ("1s", Pause::fixed(second)),
        ("0", Pause::fixed(Duration::ZERO)),
        ("1s..2s", Pause::Even { min: second, max: 2 * second }),
        ("{ exponential: 1s }", Pause::Exponential { mean: second }),
        ("{ log_normal: { median: 1s, sigma: 0.5 } }", Pause::LogNormal { median: second, sigma: 0.5 }),
    ] {
        let plan = plan(&with(LOAD, &format!("[{{ get: / }}, {{ pause: {text} }}]"), ""));
        let Some(Action::Pause(pause)) = plan.scenarios[0].actions.last() else { panic!("a pause") };
        assert_eq!(*pause, expected, "{text}");
    }
}

/// A plan with these scenarios, and a load before them where one is given.
fn scenarios(load: &str, scenarios: &str) -> RunPlan {
    plan(&format!("name: a\ntarget: http://shop.example/\n{load}\nscenarios: [{scenarios}]\n"))
}

#[test]
fn scenarios_may_have_loads_of_their_own() {
    let shared = "load: { stages: [{ ramp: 10/s, over: 10s }] }";
    let own = "{ name: b, start_after: 5s, load: { model: closed, stages: [{ hold: 3 users, for: 20s }], at_most: 7/s, iterations_per_user: 2 }, steps: [{ get: / }] }";
    let read = scenarios(shared, &format!("{{ name: a, steps: [{{ get: / }}] }}, {own}"));
    assert_eq!(read.loads().map(LoadModel::length).collect::<Vec<_>>(), [10, 25].map(Duration::from_secs));
    let Some(LoadModel::Closed { stages, limits }) = &read.scenarios[1].load else { panic!("closed") };
    assert!(matches!(stages[0].kind, StageKind::Pause), "{stages:?}");
    assert_eq!((limits.per_user, limits.at_most.map(|rate| rate.per_second())), (Some(2), Some(7.0)));
    assert_eq!(read.scenarios[0].load, None);

    // Where every scenario has its own, the first is the only one that shares the plan's.
    let open = "{ name: a, load: { stages: [{ hold: 5/s, for: 5s }] }, steps: [{ get: / }] }";
    for load in ["", "load: { warmup: 1s, grace: 3s }"] {
        let read = scenarios(load, &format!("{open}, {own}"));
        assert!(matches!(read.load.model, LoadModel::Open { .. }));
        assert_eq!(read.load.warmup.is_zero(), load.is_empty());
        assert_eq!(read.scenarios.iter().map(|one| one.load.is_some()).collect::<Vec<_>>(), [false, true]);
    }
}

#[test]
fn users_think_between_steps_and_between_iterations() {
    let closed =
        "load: { model: closed, iterations: 9, stages: [{ ramp: 3 users, over: 5s }, { hold: 3, for: 5s }] }";
    let steps = |think: &str, steps: &str| {
        scenarios(closed, &format!("{{ name: a, {think} steps: [{steps}] }}")).scenarios.remove(0)
    };
    let shown = |scenario: &plimsoll_run::Scenario| {
        let action = |action: &Action| match action {
            Action::Pause(pause) => pause.always().map_or(0, |length| length.as_secs()).to_string(),
            Action::Request(_) => "-".to_owned(),
            other => panic!("{other:?}"),
        };
        scenario.actions.iter().map(action).collect::<Vec<_>>().join(" ")
    };
    let second = Some(Pause::fixed(Duration::from_secs(1)));
    for (text, expected, between) in [
        ("{ get: / }", "-", second),
        ("{ get: / }, { get: /b }", "- 1 -", second),
        ("{ get: / }, { pause: 5s }, { get: /b }, { get: /c }", "- 5 - 1 -", second),
        ("{ get: / }, { pause: 0 }", "- 0", None),
    ] {
        let scenario = steps("think_time: 1s, pacing: 10s,", text);
        assert_eq!((shown(&scenario).as_str(), scenario.think_time), (expected, between), "{text}");
        assert_eq!(scenario.pacing, Some(Duration::from_secs(10)));
    }
    assert_eq!(steps("think_time: 0,", "{ get: / }, { get: /b }").think_time, None);
    let LoadModel::Closed { limits, .. } = scenarios(closed, "{ name: a, steps: [{ get: / }] }").load.model
    else {
        panic!("closed")
    };
    assert_eq!(limits.iterations, Some(9));
}

#[test]
fn single_requests_are_asked_for() {
    let read = |text: &str| plan(&with(LOAD, STEPS, text));
    let rule = |share: f64, slower_than: Option<u64>, failed| {
        SingleRule::new(plimsoll_units::Ratio::new(share).unwrap(), slower_than, failed)
    };
    for (text, expected) in [
        ("trace: {}", rule(0.01, None, true)),
        ("trace: { share: 50%, failed: false }", rule(0.5, None, false)),
        ("trace: { share: 0, slower_than: 500ms }", rule(0.0, Some(500_000_000), true)),
        ("trace: { share: 0.25 }", rule(0.25, None, true)),
    ] {
        assert_eq!(read(text).trace, Some(expected), "{text}");
    }
    for (text, format, expected) in [
        ("{ file: a/b.csv }", SamplesFormat::Csv, rule(1.0, None, false)),
        ("{ file: b.ndjson, slower_than: 1s }", SamplesFormat::Ndjson, rule(0.0, Some(1_000_000_000), false)),
        ("{ file: b.ndjson, failed: all }", SamplesFormat::Ndjson, rule(0.0, None, true)),
        ("{ file: b.ndjson, failed: none }", SamplesFormat::Ndjson, rule(1.0, None, false)),
        ("{ file: b, format: csv, share: 1%, failed: all }", SamplesFormat::Csv, rule(0.01, None, true)),
    ] {
        let samples = read(&format!("samples: {text}")).samples.unwrap();
        assert_eq!((samples.format, samples.rule), (format, expected), "{text}");
    }
    let neither = read("");
    assert!(neither.trace.is_none() && neither.samples.is_none() && !neither.resume);
    assert!(read("resume: true").resume && !read("resume: false").resume);
    let resolved = read("samples: { file: \"${HOME:-x}.csv\" }").samples.unwrap();
    assert!(resolved.file.to_str().unwrap().ends_with(".csv"));
}

#[test]
fn a_receiver_of_the_opentelemetry_protocol_is_read() {
    let otlp = |settings: &str| {
        plan(&with(LOAD, STEPS, &format!("export: {{ otlp: {{ {settings} }} }}\n"))).export.otlp.unwrap()
    };
    let usual = otlp("url: \"https://collector.example/otlp/\"");
    assert_eq!((usual.url.as_str(), usual.protocol), ("https://collector.example/otlp", OtlpProtocol::Http));
    assert_eq!(
        (usual.temporality, usual.histograms),
        (OtlpTemporality::Cumulative, OtlpHistograms::Exponential)
    );
    assert!(usual.gzip && usual.headers.is_empty());
    assert!(!usual.traces, "the plan traces nothing");
    let traced = plan(&with(LOAD, STEPS, "trace: {}\nexport: { otlp: { url: \"http://127.0.0.1:1\" } }\n"));
    assert!(traced.export.otlp.unwrap().traces);
    let other = otlp(
        "url: \"http://127.0.0.1:4317\", protocol: grpc, temporality: delta, histograms: explicit, traces: false, \
         compression: none, headers: { X-Tenant: a }",
    );
    assert_eq!((other.url.as_str(), other.protocol), ("http://127.0.0.1:4317", OtlpProtocol::Grpc));
    assert_eq!((other.temporality, other.histograms), (OtlpTemporality::Delta, OtlpHistograms::Explicit));
    assert!(!other.gzip && !other.traces);
    let headers: Vec<_> = other.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("x-tenant", "a")]);
}

#[test]
fn profiles_are_read() {
    let text = "profiles:
  folder: kept
  take:
    - { kind: cpu }
    - { kind: heap, url: /mine, at: [start, end] }
    - { kind: mutex, url: 'http://10.0.0.1:6060/m?x=1', for: 5m, at: breach, headers: { X-A: b } }
";
    let plan = plan(&with(LOAD, STEPS, text));
    let profiles = plan.profiles.as_ref().unwrap();
    let shown = |source: &plimsoll_run::ProfileSource| {
        let at: Vec<_> = source.at.iter().map(|moment| moment.label()).collect();
        let headers: Vec<_> = source
            .endpoint
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={}", value.expose()))
            .collect();
        let (kind, url) = (source.kind.label(), source.endpoint.url.expose());
        format!("{kind} {url} {:?} {} {}", source.seconds, at.join(","), headers.join(","))
    };
    let found: Vec<_> = profiles.sources.iter().map(shown).collect();
    let target = plan.target.trim_end_matches('/');
    let expected = [
        format!("cpu {target}/debug/pprof/profile Some(10) peak "),
        format!("heap {target}/mine None start,end "),
        "mutex http://10.0.0.1:6060/m?x=1 Some(300) breach x-a=b".to_owned(),
    ];
    assert_eq!((profiles.folder.to_str(), &found[..]), (Some("kept"), &expected[..]));
    // They change nothing of what is done and promised.
    assert_eq!(plan.hash, crate::plan(&with(LOAD, STEPS, "")).hash);
}

#[test]
fn resources_are_read() {
    let text = "resources:
  process: http://127.0.0.1:8080/metrics
  shop: { url: \"https://ann:pw@shop.example/m?x=y#z\", metrics: queue, interval: 5s, headers: { X-Team: a, accept: b } }
  both: { url: http://127.0.0.1:1, metrics: [a_total, b] }
  local: { port: 8080 }
  worker: { pid: 4711, interval: 1m }
  token: host
  near: /metrics
";
    let plan = plan(&with(LOAD, STEPS, text));
    let shown = |source: &plimsoll_run::ResourceSource| {
        let origin = match &source.origin {
            ResourceOrigin::Host => "host".to_owned(),
            ResourceOrigin::Process(pid) => format!("pid {pid}"),
            ResourceOrigin::Port(port) => format!("port {port}"),
            ResourceOrigin::Metrics(endpoint) => {
                let headers =
                    endpoint.headers.iter().map(|(name, value)| format!("{name}={}", value.expose()));
                let headers: Vec<_> = headers.collect();
                format!("{} {:?} {headers:?}", endpoint.url.expose(), endpoint.metrics)
            }
        };
        format!("{} every {}s: {origin}", source.name, source.interval.as_secs())
    };
    let found: Vec<_> = plan.resources.iter().map(shown).collect();
    let expected = [
        "process every 1s: http://127.0.0.1:8080/metrics [] []",
        r#"shop every 5s: https://shop.example/m?x=y ["queue"] ["authorization=Basic YW5uOnB3", "x-team=a", "accept=b"]"#,
        r#"both every 1s: http://127.0.0.1:1/ ["a_total", "b"] []"#,
        "local every 1s: port 8080",
        "worker every 60s: pid 4711",
        "token every 1s: host",
        "near every 1s: http://shop.example/metrics [] []",
    ];
    assert_eq!(found, expected);
    // Looking on does not change what a run does.
    assert_eq!(plan.hash, self::plan(&with(LOAD, STEPS, "")).hash);
    assert!(plan.text.contains("token: host"), "{}", plan.text);
}

#[test]
fn what_may_be_in_flight_follows_the_peak_and_the_timeout() {
    for (load, http, expected) in [
        ("{ stages: [{ hold: 1/min, for: 10s }] }", "", 1),
        ("{ stages: [{ hold: 10/s, for: 10s }, { spike: 1000/s, for: 1s }] }", "", 5000),
        ("{ stages: [{ hold: 100/s, for: 10s }] }", "http: { timeout: 1500ms }", 150),
        ("{ stages: [{ hold: 1M/s, for: 10s }] }", "", 100_000),
        ("{ max_in_flight: 7, stages: [{ hold: 1M/s, for: 10s }] }", "", 7),
    ] {
        let LoadModel::Open { max_in_flight, .. } = plan(&with(load, STEPS, http)).load.model else {
            panic!("open")
        };
        assert_eq!(max_in_flight, expected, "{load}");
    }
}

#[test]
fn loads_are_read() {
    let load = |load: &str| format!("{:?}", plan(&with(load, STEPS, "")).load.model);
    for (text, words) in [
        (
            "{ arrivals: poisson, stages: [{ hold: 30k/min, for: 1m30s }] }",
            vec!["Hold(Rate(500.0))", "90s", "Poisson"],
        ),
        (
            "{ model: closed, stages: [{ ramp: 200 users, over: 30s }, { hold: 200, for: 5m }, { pause: 10s }] }",
            vec!["Ramp(Users(200))", "Hold(Users(200))", "Pause", "iterations: None"],
        ),
        (
            "{ model: closed, stages: [{ hold: 64 users, iterations: 100000 }] }",
            vec!["Hold(Users(64))", "86400s", "iterations: Some(100000)"],
        ),
        (
            "{ model: closed, stages: [{ hold: 64 users, iterations: 10, for: 1m }] }",
            vec!["length: 60s", "iterations: Some(10)"],
        ),
        (
            "{ preset: spike, base: 10/s, for: 100s }",
            vec!["Ramp(Rate(10.0))", "Spike(Rate(100.0)), length: 10s"],
        ),
        ("{ preset: peak, base: 10 users, model: closed }", vec!["Hold(Users(20)), length: 270s"]),
        ("{ preset: endurance, base: 10/s }", vec!["length: 12960s"]),
    ] {
        let read = load(text);
        for word in words {
            assert!(read.contains(word), "{text}: no {word} in {read}");
        }
    }
}

#[test]
fn steps_are_named_by_method_and_path() {
    let steps = "[{ get: \"/products?page={{ iteration }}\" }, { delete: \"/products/{{ user }}\" }, { post: \"https://other.example\" }, { put: \"https://other.example/x?y=1\" }, { name: mine, head: / }]";
    let plan = plan(&with(LOAD, steps, "setup: [{ post: /begin }]\nteardown: [{ post: /end }]"));
    let names: Vec<_> =
        plan.steps.iter().map(|shape| (shape.scenario.as_str(), shape.step.as_str())).collect();
    assert_eq!(
        names,
        [
            ("main", "GET /products"),
            ("main", "DELETE /products/{{ user }}"),
            ("main", "POST /"),
            ("main", "PUT /x"),
            ("main", "mine"),
            ("setup", "POST /begin"),
            ("teardown", "POST /end"),
        ]
    );
    let Action::Request(setup) = &plan.setup[0] else { panic!("a request") };
    let Action::Request(teardown) = &plan.teardown[0] else { panic!("a request") };
    assert_eq!((setup.step, teardown.step, request(&plan, 4).step), (5, 6, 4));
    assert_eq!(plan.steps[5].scenario_index, None);
}

#[test]
fn bodies_are_written() {
    let sent = |text: &str| {
        let request = step(text);
        let kind = request.headers.iter().find(|header| header.name == "content-type");
        let kind = kind.map(|header| header.value.as_text().unwrap().to_owned()).unwrap_or_default();
        let Some(Body::Text(body, escaped)) = &request.body else { panic!("a text") };
        (shown(body), *escaped, kind)
    };
    let json = |body: &str| (body.to_owned(), BodyKind::Json, "application/json".to_owned());
    for (text, expected) in [
        (
            r#"{ post: /, json: { a: 1, b: 1.5, c: true, d: null, e: "1", f: [x, "q\"\n"], g: {} } }"#,
            json(r#"{"a":1,"b":1.5,"c":true,"d":null,"e":"1","f":["x","q\"\n"],"g":{}}"#),
        ),
        (
            r#"{ post: /, json: { user: "{{ user }}", deep: { id: "n-{{ iteration }}" } } }"#,
            json(r#"{"user":"User","deep":{"id":"n-Iteration"}}"#),
        ),
        (r#"{ post: /, json: "{{ user }}" }"#, json(r#""User""#)),
        (r#"{ post: /, json: [-1, 0x10, 1e3, ~, yes] }"#, json(r#"[-1,16,1000.0,null,"yes"]"#)),
        (
            r#"{ post: /, form: { a b: "c&d={{ user }}", e: "" } }"#,
            (
                "a%20b=c%26d%3DUser&e=".to_owned(),
                BodyKind::Form,
                "application/x-www-form-urlencoded".to_owned(),
            ),
        ),
        (r#"{ post: /, body: "<{{ user }}>&" }"#, ("<User>&".to_owned(), BodyKind::Text, String::new())),
        (
            r#"{ post: /, json: {}, headers: { Content-Type: application/problem+json } }"#,
            ("{}".to_owned(), BodyKind::Json, "application/problem+json".to_owned()),
        ),
        (r#"{ post: /, body: "{{ '{{' }} x }}" }"#, ("{{ x }}".to_owned(), BodyKind::Text, String::new())),
    ] {
        assert_eq!(sent(text), expected, "{text}");
    }
}

#[test]
fn urls_are_written_as_they_can_be_sent() {
    for (url, expected) in [
        ("/a?b=c&d=%20", "/a?b=c&d=%20"),
        ("/a b/ü?q=\\\"x\\\"", "/a%20b/%C3%BC?q=%22x%22"),
        ("/p/{{ user }}?n={{ iteration }}", "/p/User?n=Iteration"),
        ("http://other.example:81/x", "http://other.example:81/x"),
    ] {
        assert_eq!(shown(&step(&format!("{{ get: \"{url}\" }}")).url), expected, "{url}");
    }
}

#[test]
fn expectations_and_captures_are_read() {
    let request = step(
        r#"{ get: /, expect: { status: [200, 4xx], headers: { ETag: true, x-a: "true", x-b: 5 }, contains: one, body_contains: [two, three], json: { "$.a": 1, "$.b": { c: [x] }, "$.d": "", "$.e": { at_least: 2, not: { one_of: [3, 4] } } }, within: 1s },
             capture: { a: { jsonpath: "$.a" }, b: { regex: "x(\\d+)" }, c: { header: X-Id } }, on_failure: continue }"#,
    );
    let expect = &request.expect;
    let status: Vec<_> = expect.status.iter().map(|range| (range.first, range.last)).collect();
    assert_eq!(status, [(200, 200), (400, 499)]);
    let headers: Vec<_> = expect.headers.iter().map(|h| (h.name.as_str(), h.is.to_string())).collect();
    let texts = [("etag", "there"), ("x-a", r#""true""#), ("x-b", r#""5""#)];
    assert_eq!(headers, texts.map(|(name, is)| (name, is.to_owned())));
    assert_eq!(expect.body_contains, ["two", "three", "one"]);
    let json: Vec<_> = expect.json.iter().map(|(path, is)| format!("{path} {is}")).collect();
    assert_eq!(
        json,
        ["$.a 1", r#"$.b {"c":["x"]}"#, r#"$.d """#, "$.e at least 2 and other than one of 3, 4"]
    );
    assert_eq!(expect.within, Some(Duration::from_secs(1)));
    let sources: Vec<_> = request.captures.iter().map(|c| (c.slot, c.source.clone())).collect();
    assert_eq!(
        sources,
        [
            (0, CaptureSource::JsonPath("$.a".to_owned())),
            (1, CaptureSource::Regex { pattern: "x(\\d+)".to_owned(), group: None }),
            (2, CaptureSource::Header("x-id".to_owned())),
        ]
    );
    assert_eq!(request.on_failure, OnFailure::Continue);
    assert!(request.captures.iter().all(|c| (c.pick, &c.absent) == (Pick::First, &Absent::Fails)));
    assert_eq!(step("{ get: / }").expect, Expect::default());
}

#[test]
fn whatever_an_answer_can_be_asked_is_read() {
    let request = step(
        r#"{ get: /, expect: { headers: { x-n: { at_least: 3, not: 5 }, x-w: { one_of: [1, b] } }, body: { not: "" }, size: { at_least: 2KB, not: 3KiB },
             xpath: { "//a/@id": 5, "count(//a)": { above: 1 } }, schema: { type: object, required: [id] }, first_byte_within: 200ms,
             not: { status: 5xx, contains: oops, schema: schemas/error.json, json: { "$.error": { exists: true } }, within: 1ms } },
             capture: { a: { cookie: sid, default: "" }, b: { regex: "x(\\d+)(?P<word>y)", group: word, match: last }, c: { regex: "x", group: 0, match: 3 },
             d: { xpath: "//a", match: random, optional: true }, e: { jsonpath: "$.*", match: first, default: none } } }"#,
    );
    let expect = &request.expect;
    let headers: Vec<_> = expect.headers.iter().map(|h| h.is.to_string()).collect();
    assert_eq!(headers, [r#"at least 3 and other than "5""#, r#"one of "1", "b""#]);
    assert_eq!(expect.body, Some(Comparison::Not(Box::new(Comparison::Equals("".into())))));
    assert_eq!(
        expect.size.as_ref().map(ToString::to_string).as_deref(),
        Some("at least 2000 and other than 3072")
    );
    let xpath: Vec<_> = expect.xpath.iter().map(|(path, is)| format!("{path} {is}")).collect();
    assert_eq!(xpath, [r#"//a/@id "5""#, "count(//a) above 1"]);
    assert_eq!(expect.schema, Some(serde_json::json!({ "type": "object", "required": ["id"] })));
    assert_eq!(expect.first_byte_within, Some(Duration::from_millis(200)));
    let not = expect.not.as_deref().unwrap();
    assert_eq!((not.status.len(), &*not.body_contains), (1, &["oops".to_owned()][..]));
    assert_eq!(not.schema, Some(serde_json::json!({ "required": ["error"] })));
    assert_eq!((not.json.len(), not.within), (1, Some(Duration::from_millis(1))));
    let captures: Vec<_> =
        request.captures.iter().map(|c| (c.source.clone(), c.pick, c.absent.clone())).collect();
    let regex = |pattern: &str, group: &str| CaptureSource::Regex {
        pattern: pattern.to_owned(),
        group: Some(group.to_owned()),
    };
    assert_eq!(
        captures,
        [
            (CaptureSource::Cookie("sid".to_owned()), Pick::First, Absent::Is(String::new())),
            (regex("x(\\d+)(?P<word>y)", "word"), Pick::Last, Absent::Fails),
            (regex("x", "0"), Pick::Nth(3), Absent::Fails),
            (CaptureSource::XPath("//a".to_owned()), Pick::Random, Absent::Unknown),
            (CaptureSource::JsonPath("$.*".to_owned()), Pick::First, Absent::Is("none".to_owned())),
        ]
    );
}

#[test]
fn what_is_asked_of_an_answer_is_part_of_the_plan() {
    let hash = |expect: &str, capture: &str| {
        let steps = format!(
            "[{{ get: /, expect: {{ {expect} }}, capture: {{ a: {{ jsonpath: $.a, {capture} }} }} }}]"
        );
        plan(&with(LOAD, &steps, "")).hash
    };
    let usual = hash("status: 200, headers: { x-a: b }", "match: first, optional: false");
    assert_eq!(hash("status: 200, headers: { x-a: { equals: b } }", ""), usual);
    for (expect, capture) in [
        ("status: 200, headers: { x-a: { not: b } }", ""),
        ("status: 200, headers: { x-a: b }, body: x", ""),
        ("status: 200, headers: { x-a: b }, size: 1", ""),
        ("status: 200, headers: { x-a: b }, xpath: { //a: b }", ""),
        ("status: 200, headers: { x-a: b }, schema: {}", ""),
        ("status: 200, headers: { x-a: b }, first_byte_within: 1s", ""),
        ("status: 200, headers: { x-a: b }, not: { contains: x }", ""),
        ("status: 200, headers: { x-a: b }", "match: last"),
        ("status: 200, headers: { x-a: b }", "optional: true"),
        ("status: 200, headers: { x-a: b }", "default: x"),
    ] {
        assert_ne!(hash(expect, capture), usual, "{expect} {capture}");
    }
    assert_ne!(Expect::default(), step("{ get: /, expect: { not: { size: 0 } } }").expect);
}

#[test]
fn each_hole_of_a_function_has_a_place_of_its_own() {
    let steps = r#"[{ get: "/{{ uuid() }}/{{ int(1, 9) }}?q={{ pick('a}}', 'b') }}", headers: { x-u: "{{ user.id }}" }, json: { id: "{{ uuid() }}", n: ["{{ user }}"] } }]"#;
    let rest = "setup: [{ name: s, post: /, body: \"{{ uuid() }}\" }]\nhttp: { headers: { x-id: \"{{ uuid() }}\" } }";
    let plan = plan(&with(LOAD, steps, rest));
    let functions: Vec<_> = plan.functions.iter().map(ToString::to_string).collect();
    assert_eq!(functions, ["uuid()", "uuid()", "uuid()", "int(1, 9)", "pick(\"a}}\", \"b\")", "uuid()"]);
    let request = request(&plan, 0);
    assert_eq!(shown(&request.url), "/Made(2)/Made(3)?q=Made(4)");
    assert_eq!(shown(&request.headers[0].value), "User");
    assert_eq!(
        request.body.iter().flat_map(Body::templates).map(shown).collect::<String>(),
        r#"{"id":"Made(5)","n":["User"]}"#
    );
}

#[test]
fn feeds_are_read_from_each_form() {
    let rest = r#"data: { a: { csv: users.csv, delimiter: "," }, b: { json: users.json, order: random }, c: { ndjson: users.ndjson, order: shuffled } }"#;
    let plan = plan(&with(LOAD, "[{ get: \"/{{ b.at.city }}/{{ at }}/{{ c.name }}\" }]", rest));
    let columns = |feed: usize| plan.feeds[feed].table.columns().join(" ");
    assert_eq!([columns(0), columns(1), columns(2)], ["name wish", "name at at.city", "name"]);
    assert_eq!(plan.feeds.iter().map(|feed| feed.table.rows()).collect::<Vec<_>>(), [2, 2, 2]);
    let url = "/Column { feed: 1, column: 2 }/Column { feed: 1, column: 1 }/Column { feed: 2, column: 0 }";
    assert_eq!(shown(&request(&plan, 0).url), url);
}

#[test]
fn the_hash_says_what_a_table_holds_and_not_how_it_is_written() {
    let hash =
        |feed: &str| plan(&with(LOAD, "[{ get: \"/{{ name }}\" }]", &format!("data: {{ a: {feed} }}"))).hash;
    assert_eq!(hash("{ json: names.json }"), hash("{ ndjson: users.ndjson }"));
    assert_ne!(hash("{ csv: users.csv }"), hash("{ ndjson: users.ndjson }"));
}

#[test]
fn holes_are_filled_by_what_their_names_stand_for() {
    let steps = r#"[{ name: a, get: "/{{ area }}", capture: { product: { jsonpath: "$.id" } } },
                    { name: b, get: "/{{ product }}/{{ users.name }}/{{ wish }}/{{ run.id }}/{{ id }}" }]"#;
    let rest = "data: { users: { csv: users.csv, order: unique }, one: { csv: one.csv } }\n\
                setup: [{ name: s, get: /, capture: { area: { header: x }, other: { header: y } } }, { name: v, get: \"/{{ area }}\" }]\n\
                teardown: [{ name: t, get: \"/{{ other }}\", capture: { last: { header: z } } }, { name: u, get: \"/{{ last }}\" }]";
    let plan = plan(&with(LOAD, steps, rest));
    assert_eq!(shown(&request(&plan, 0).url), "/Setup(0)");
    assert_eq!(
        shown(&request(&plan, 1).url),
        "/Capture(0)/Column { feed: 0, column: 0 }/Column { feed: 0, column: 1 }/RunId/Column { feed: 1, column: 0 }"
    );
    assert_eq!((plan.scenarios[0].captures, plan.setup_captures), (1, 3));
    let Action::Request(last) = &plan.teardown[1] else { panic!("a request") };
    assert_eq!(last.url.variables().collect::<Vec<_>>(), [Variable::Capture(2)]);
    let Action::Request(second) = &plan.setup[1] else { panic!("a request") };
    assert_eq!(second.url.variables().collect::<Vec<_>>(), [Variable::Capture(0)]);
    assert_eq!((plan.feeds[0].order, plan.feeds[1].order), (FeedOrder::Unique, FeedOrder::Sequential));
    let (mut reader, mut row) = (plimsoll_data::RowReader::default(), plimsoll_data::Row::default());
    reader.read(&plan.feeds[0].table, 1, &mut row).unwrap();
    assert_eq!(row.values().collect::<Vec<_>>(), ["bob", "rope"]);
}

#[test]
fn objectives_know_whom_they_are_about() {
    let text = format!(
        "name: test\ntarget: http://shop.example\nload: {LOAD}\nscenarios:\n\
         - {{ name: shop, steps: [{{ name: list, get: /a }}, {{ name: buy, get: /b }}] }}\n\
         - {{ name: office, steps: [{{ name: list, get: /c }}] }}\n\
         sla:\n\
         - {{ objective: \"p95(response_time) <= 250ms\" }}\n\
         - {{ name: b, objective: error_ratio <= 1%, where: {{ step: list }}, over: 30s, abort_after: 10s, severity: warning, message: hm }}\n\
         - {{ name: c, objective: error_ratio <= 1%, where: {{ scenario: shop, stage: 1 }} }}\n\
         - {{ name: d, objective: error_ratio <= 1%, where: {{ scenario: [office, shop], step: [list, buy] }} }}\n\
         - {{ name: e, objective: error_ratio <= 1%, where: {{ scenario: office, step: list }} }}\n"
    );
    let plan = plan(&text);
    let about = |index: usize| {
        let filter = &plan.objectives[index].filter;
        let list = |set: &Option<std::collections::BTreeSet<u16>>| {
            set.as_ref().map(|set| set.iter().copied().collect::<Vec<_>>())
        };
        (list(&filter.steps), list(&filter.scenarios), filter.stage)
    };
    assert_eq!(plan.objectives[0].name, "p95(response_time) <= 250ms");
    assert_eq!(about(0), (None, None, None));
    assert_eq!(about(1), (Some(vec![0, 2]), Some(vec![0, 1]), None));
    assert_eq!(about(2), (Some(vec![0, 1]), Some(vec![0]), Some(1)));
    assert_eq!(about(3), (Some(vec![0, 1, 2]), Some(vec![0, 1]), None));
    assert_eq!(about(4), (Some(vec![2]), Some(vec![1]), None));
    let second = &plan.objectives[1];
    assert_eq!((second.over, second.abort_after, second.severity), (Some(30), Some(10), Severity::Warning));
    assert_eq!(second.message.as_deref(), Some("hm"));
}

#[test]
fn what_is_promised_beyond_the_limit_is_no_objective_of_a_run() {
    let text = "sla: [{ objective: error_ratio <= 1% }, { name: sheds, objective: goodput_retained >= 80%, severity: warning }]";
    let plan = plan_of(text);
    let names = |objectives: &[plimsoll_sla::Objective]| {
        objectives.iter().map(|objective| (objective.name.clone(), objective.severity)).collect::<Vec<_>>()
    };
    assert_eq!(names(&plan.objectives), [("error_ratio <= 1%".to_owned(), Severity::Critical)]);
    assert_eq!(names(&plan.overload_objectives), [("sheds".to_owned(), Severity::Warning)]);
    assert_ne!(plan.hash, plan_of("sla: [{ objective: error_ratio <= 1% }]").hash);
}

#[test]
fn variables_and_overrides_come_before_reading() {
    let text = "name: ${NAME:-unnamed}\ntarget: \"http://${HOST}:8080\"\nload: { stages: [{ hold: \"${RATE:-5}/s\", for: 10s }] }\ntags: { note: \"$${HOME} costs $5\" }\nscenarios: [{ name: a, weight: \"${WEIGHT}\", steps: [{ get: / }] }]\n";
    let env = [("HOST", "shop.example"), ("WEIGHT", "3"), ("RATE", "")];
    let set = ["load.stages[0].for=1m", "load.grace=1s", "tags.version=1.10", "http.timeout=3s", "seed=9"];
    let plan = parse_with(text, &env, &set).unwrap().plan;
    assert_eq!((plan.name.as_str(), plan.target.as_str()), ("unnamed", "http://shop.example:8080"));
    assert_eq!(plan.scenarios[0].weight, 3);
    assert_eq!(plan.tags["note"], "${HOME} costs $5");
    assert_eq!(plan.version.as_deref(), Some("1.10"));
    let LoadModel::Open { stages, max_in_flight, .. } = &plan.load.model else { panic!("open") };
    assert_eq!((stages[0].length, *max_in_flight), (Duration::from_secs(60), 15));
    assert!(matches!(stages[0].kind, StageKind::Hold(_)));
    assert_eq!((plan.load.grace, plan.seed), (Duration::from_secs(1), Some(9)));
}

#[test]
fn the_command_line_wins() {
    let inputs = plimsoll_spec::Inputs {
        target: Some("https://other.example/api/".to_owned()),
        seed: Some(7),
        tags: [("version".to_owned(), "2".to_owned()), ("new".to_owned(), "x".to_owned())].into(),
        ..plimsoll_spec::Inputs::new(&|_| None, &crate::file)
    };
    let text = with(LOAD, STEPS, "seed: 1\ntags: { version: 1, kept: y }");
    let source = plimsoll_spec::Source { name: "plan.yaml".to_owned(), text };
    let plan = plimsoll_spec::parse(&source, &inputs).unwrap().plan;
    assert_eq!((plan.target.as_str(), plan.seed), ("https://other.example/api", Some(7)));
    assert_eq!(plan.version.as_deref(), Some("2"));
    assert_eq!(plan.tags.keys().collect::<Vec<_>>(), ["kept", "new", "version"]);
}

#[test]
fn a_plan_without_tags_takes_those_of_the_command_line() {
    let inputs = plimsoll_spec::Inputs {
        tags: [("environment".to_owned(), "staging".to_owned())].into(),
        ..plimsoll_spec::Inputs::new(&|_| None, &crate::file)
    };
    let source = plimsoll_spec::Source { name: "plan.yaml".to_owned(), text: with(LOAD, STEPS, "seed: 1") };
    let plan = plimsoll_spec::parse(&source, &inputs).unwrap().plan;
    assert_eq!(plan.environment.as_deref(), Some("staging"));
    assert_eq!(plan.tags.len(), 1);
}

#[test]
fn yaml_shares_with_anchors_and_merges() {
    let text = "name: a\ntarget: http://shop.example\nload: { stages: [{ hold: 5/s, for: 10s }] }\nscenarios:\n- name: one\n  steps: &steps\n  - &first { name: x, get: /x, expect: { status: 200 } }\n  - { <<: *first, name: y, expect: { status: 201 } }\n- { name: two, steps: *steps }\n";
    let plan = plan(text);
    assert_eq!(plan.steps.len(), 4);
    assert_eq!(request(&plan, 1).expect.status[0].first, 201);
    assert_eq!(shown(&request(&plan, 1).url), "/x");
}

#[test]
fn the_kept_text_is_the_same_plan() {
    let steps = r#"[{ name: "a: b #c", get: "/{{ user }}?x=1", headers: { x-n: "007", x-e: "" }, expect: { status: 2xx, json: { "$.a": 1.50, "$.b": "true", "$.c": null } } },
                    { pause: 1s..2s }, { name: '- "q"', post: /, json: { deep: [[1, "2"], {}, []], text: "line\nline ü\t", none: ~ } }]"#;
    let rest = "tags: { version: 1.10, cost: \"$${5}\", word: \"yes\", empty: \"\" }\nseed: 18446744073709551615\nsla: [{ objective: \"p95(response_time) <= 250ms\" }]";
    let first = plan(&with(LOAD, steps, rest));
    let second = plan(&first.text);
    assert_eq!(first.text, second.text);
    assert_eq!(first.hash, second.hash);
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

#[test]
fn the_hash_is_about_what_a_run_does() {
    let base = with(LOAD, STEPS, "http: { timeout: 60s, redirects: 3 }");
    let hash = |text: &str| plan(text).hash;
    let first = hash(&base);
    assert_eq!(first.len(), 16);
    for (from, to) in [
        ("timeout: 60s, redirects: 3", "redirects: 3, timeout: 1m"),
        ("100/s", "6k/min"),
        ("shop.example", "other.example:8080/api"),
        ("name: test", "# a comment\nname: \"test\""),
        (
            "http: {",
            "seed: 5\ntags: { version: x }\nexport: { prometheus: { listen: 127.0.0.1:0 } }\nhttp: {",
        ),
        ("http: {", "limits: { series: 10000 }\nhttp: {"),
        ("http: {", "samples: { file: x.csv }\nhttp: {"),
        ("http: {", "resume: true\nhttp: {"),
        ("http: {", "tls: { resumption: true }\nhttp: {"),
        ("redirects: 3", "redirects: 3, version: \"1.1\""),
        ("http: {", "auth: { bearer: abc }\nhttp: {"),
    ] {
        let same = base.replace(from, to);
        assert_ne!(same, base, "{from}");
        let hash = hash(&same);
        // Credentials are headers: that there are some is part of the plan, which ones is not.
        let other = hash == first;
        assert_eq!(other, !to.contains("bearer"), "{to}");
    }
    assert_eq!(
        hash(&base.replace("http: {", "auth: { bearer: abc }\nhttp: {")),
        hash(&base.replace("http: {", "auth: { bearer: xyz }\nhttp: {"))
    );
    for (from, to) in [
        ("100/s", "101/s"),
        ("http: {", "trace: { share: 5% }\nhttp: {"),
        ("warmup: 5s", "warmup: 4s"),
        ("get: /", "get: /x"),
        ("name: home", "name: house"),
        ("redirects: 3", "redirects: 4"),
        ("redirects: 3", "redirects: 3, version: 2"),
        ("redirects: 3", "redirects: 3, connect_rate: 5/s"),
        ("redirects: 3", "redirects: 3, source: 127.0.0.2"),
        ("http: {", "limits: { series: 5 }\nhttp: {"),
        ("http: {", "tls: { resumption: false }\nhttp: {"),
    ] {
        assert_ne!(hash(&base.replace(from, to)), first, "{to}");
    }
}

#[test]
fn the_order_of_keys_changes_no_hash() {
    let hash = |first: &str, second: &str| {
        let steps = format!(
            "[{{ name: x, get: /, headers: {{ a: \"1\", b: \"2\" }}, capture: {{ {first}, {second} }} }}, {{ name: y, get: \"/{{{{ id }}}}/{{{{ tag }}}}\" }}]"
        );
        plan(&with(LOAD, &steps, "")).hash
    };
    let (id, tag) = ("id: { jsonpath: \"$.id\" }", "tag: { header: etag }");
    assert_eq!(hash(id, tag), hash(tag, id));
    assert_ne!(hash(id, tag), hash("id: { jsonpath: \"$.other\" }", tag));
}

#[test]
fn ten_times_as_many_steps_take_little_more_than_ten_times_as_long_to_read() {
    use std::fmt::Write;
    let text = |count: usize| {
        let mut steps = String::from("\n");
        for n in 0..count {
            writeln!(steps, "    - {{ name: step {n}, post: \"/s/{n}?u={{{{ user }}}}\", json: {{ a: [1, 2, \"{{{{ iteration }}}}\"] }}, expect: {{ status: 200, json: {{ \"$.a\": 1 }} }}, capture: {{ c{n}: {{ jsonpath: \"$.x[{n}]\" }} }} }}").unwrap();
        }
        with(LOAD, &steps, "")
    };
    // The shortest of several, as others are at work on the machine. Every step against every other would be a hundred times.
    let shortest = |count: usize| {
        let text = text(count);
        let took = (0..3).map(|_| {
            let started = std::time::Instant::now();
            assert_eq!(plan(&text).steps.len(), count);
            started.elapsed()
        });
        took.min().unwrap()
    };
    let (hundred, thousand) = (shortest(100), shortest(1000));
    assert!(thousand < hundred * 50, "{hundred:?} {thousand:?}");
}

#[test]
fn targets_are_one_or_several() {
    let read = |target: &str| {
        let plan =
            plan(&with(LOAD, STEPS, "").replace("target: http://shop.example", &format!("target: {target}")));
        let all: Vec<_> = plan.targets.iter().map(|target| (target.url.clone(), target.weight)).collect();
        assert_eq!(plan.target, all[0].0, "the first stands for all");
        (all, plan.addresses, plan.hash)
    };
    let url = |url: &str, weight| (url.to_owned(), weight);
    let (all, addresses, one) = read("http://a.example:8080/api/");
    assert_eq!((all, addresses), (vec![url("http://a.example:8080/api", 1)], AddressChoice::First));
    let (all, addresses, by_name) = read("{ url: \"http://a.example:8080\", addresses: all }");
    assert_eq!((all, addresses), (vec![url("http://a.example:8080", 1)], AddressChoice::All));
    let (all, addresses, several) =
        read("[{ url: \"http://127.0.0.1:8080\", weight: 3 }, { url: \"http://127.0.0.2:8080/\" }]");
    assert_eq!(
        (all, addresses),
        (vec![url("http://127.0.0.1:8080", 3), url("http://127.0.0.2:8080", 1)], AddressChoice::First)
    );
    assert_eq!((&one, &one), (&by_name, &several), "a target is no part of the hash");
}

#[test]
fn the_engine_does_what_the_plan_says() {
    let http = "http: { version: 2, connections: 8, streams: 32, connect_rate: 30k/min, source: [127.0.0.2, \"::1\"] }";
    let plan = plan(&with(LOAD, STEPS, &format!("{http}\nlimits: {{ series: 50, memory: 64MB }}")));
    assert_eq!((plan.http.version, plan.http.streams), (HttpVersion::Http2, 32));
    assert_eq!(plan.http.connect_rate.map(|rate| rate.per_second()), Some(500.0));
    assert_eq!(plan.http.source, ["127.0.0.2".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert_eq!((plan.limits.series, plan.limits.memory_bytes), (50, 64_000_000));
    let one = plan_of("http: { source: 127.0.0.2 }");
    assert_eq!(one.http.source.len(), 1);
}

#[test]
fn the_way_to_the_target_is_what_the_plan_says() {
    let http = "http: { connections_per_host: 6, reuse: always, idle_timeout: 30s, tls_timeout: 1s, first_byte_timeout: 500ms, \
                resolve: { Shop.Example: 127.0.0.1, api.example: \"[::1]:8443\" }, dns: [127.0.0.1, \"127.0.0.1:5353\"], ip: 4, \
                proxy: \"http://ann:open%20sesame@127.0.0.1:3128\" }";
    let network = plan(&with(LOAD, STEPS, &format!("{http}\ntls: {{ min_version: 1.3 }}"))).http.network;
    let time = |millis| Some(Duration::from_millis(millis));
    assert_eq!((network.per_host, network.reuse), (Some(6), Some(Reuse::Always)));
    assert_eq!(
        (network.idle_timeout, network.tls_timeout, network.first_byte_timeout),
        (time(30_000), time(1000), time(500))
    );
    let host = |host: &str, ip: &str, port| HostAddress { host: host.into(), ip: ip.parse().unwrap(), port };
    assert_eq!(
        network.resolve,
        [host("shop.example", "127.0.0.1", None), host("api.example", "::1", Some(8443))]
    );
    assert_eq!(network.dns, ["127.0.0.1:53".parse().unwrap(), "127.0.0.1:5353".parse().unwrap()]);
    assert_eq!(network.family, AddressFamily::V4);
    let proxy = network.proxy.unwrap();
    assert_eq!((proxy.host.as_str(), proxy.port), ("127.0.0.1", 3128));
    assert_eq!(proxy.authorization.unwrap().expose(), "Basic YW5uOm9wZW4gc2VzYW1l");
    let socket = plan_of("http: { unix_socket: /run/app.sock }").http.network.unix_socket;
    assert_eq!(socket.unwrap().to_str(), Some("/run/app.sock"));
    assert_eq!(plan_of("http: {}").http.network, Network::default());
}

#[test]
fn credentials_are_made_as_the_plan_says() {
    let auth = |text: &str, env: &[(&str, &str)]| {
        let text = with(LOAD, STEPS, &format!("auth: {text}"));
        parse_with(&text, env, &[]).map(|parsed| parsed.plan.http.network.auth)
    };
    let secret = |text: &str| Secret::new(text);
    assert_eq!(
        auth("{ digest: { username: ann, password: p } }", &[]).unwrap(),
        Some(Auth::Digest { username: secret("ann"), password: secret("p") })
    );
    let oauth2 = "{ oauth2: { token_url: \"http://127.0.0.1:1/token\", client_id: id, client_secret: s, scope: read, credentials: body } }";
    assert_eq!(
        auth(oauth2, &[]).unwrap(),
        Some(Auth::OAuth2(OAuth2 {
            token_url: "http://127.0.0.1:1/token".into(),
            client_id: secret("id"),
            client_secret: secret("s"),
            scope: Some("read".into()),
            audience: None,
            in_body: true,
        }))
    );
    let aws = |region: &str, id: &str, key: &str, token: Option<&str>| {
        let (access_key_id, secret_access_key) = (secret(id), secret(key));
        let credentials =
            AwsCredentials { access_key_id, secret_access_key, session_token: token.map(secret) };
        Some(Auth::Aws(AwsSigning { region: region.into(), service: "s3".into(), credentials }))
    };
    let env = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
        ("AWS_SESSION_TOKEN", "token"),
    ];
    assert_eq!(
        auth("{ aws: { service: s3 } }", &env).unwrap(),
        aws("eu-central-1", "AKID", "key", Some("token"))
    );
    let own = "{ aws: { service: s3, region: us-east-1, access_key_id: MINE, secret_access_key: mine } }";
    assert_eq!(auth(own, &env).unwrap(), aws("us-east-1", "MINE", "mine", None), "none is mixed");
    for (wrong, env, expected) in [
        ("{ aws: { service: s3 } }", &env[..1], "`auth.aws` has no credentials"),
        ("{ aws: { service: s3 } }", &env[1..], "`auth.aws` has no region"),
        (
            "{ aws: { service: s3, access_key_id: a } }",
            &env[..],
            "`auth.aws.access_key_id` needs `auth.aws.secret_access_key` beside it",
        ),
        (
            "{ bearer: t, digest: { username: a, password: b } }",
            &[],
            "`auth` takes one of `basic`, `bearer`, `digest`, `oauth2` and `aws`",
        ),
        ("{}", &[], "`auth` takes one of `basic`, `bearer`, `digest`, `oauth2` and `aws`"),
        (
            "{ oauth2: { token_url: \"http://a:b@127.0.0.1/\", client_id: i, client_secret: s } }",
            &[],
            "a token endpoint has no credentials and no fragment in its URL",
        ),
    ] {
        let errors = auth(wrong, env).unwrap_err();
        assert!(errors[0].to_string().contains(expected), "{wrong}: {}", errors[0]);
    }
    let plan = plan(&with(LOAD, STEPS, &format!("auth: {oauth2}")));
    for text in [plan.text.clone(), format!("{plan:?}")] {
        assert!(text.contains("127.0.0.1:1/token") && !text.contains("client_secret: s"), "{text}");
    }
}

#[test]
fn compression_is_asked_for_once() {
    let headers = |http: &str| {
        let plan = plan_of(&format!("http: {{ {http} }}"));
        let found = plan.http.headers.iter().find(|header| header.name == "accept-encoding").cloned();
        (
            found.and_then(|header| header.value.as_text().map(str::to_owned)),
            plan.http.network.compression.len(),
        )
    };
    assert_eq!(
        headers("compression: [gzip, br, zstd, deflate]"),
        (Some("gzip, br, zstd, deflate".to_owned()), 4)
    );
    assert_eq!(headers("compression: br"), (Some("br".to_owned()), 1));
    assert_eq!(
        headers("compression: gzip, headers: { accept-encoding: identity }"),
        (Some("identity".to_owned()), 1)
    );
    assert_eq!(headers("{}".trim_matches(['{', '}'])), (None, 0));
}

#[test]
fn where_hosts_are_is_no_part_of_the_hash_and_how_connections_are_had_is() {
    let hash = |http: &str| plan_of(&format!("http: {{ {http} }}")).hash;
    let plain = plan_of("").hash;
    for same in
        ["resolve: { shop.example: 127.0.0.1 }", "dns: 127.0.0.1", "unix_socket: /run/app.sock", "ip: any"]
    {
        assert_eq!(hash(same), plain, "{same}");
    }
    let others = [
        "reuse: never",
        "reuse: per_user",
        "connections_per_host: 6",
        "idle_timeout: 1s",
        "tls_timeout: 1s",
        "first_byte_timeout: 1s",
        "ip: 4",
        "compression: gzip",
        "ip: 6",
        "proxy: \"http://127.0.0.1:1\"",
    ];
    let mut hashes: Vec<_> = others.iter().map(|http| hash(http)).chain([plain]).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), others.len() + 1);
}

fn plan_of(rest: &str) -> RunPlan {
    plan(&with(LOAD, STEPS, rest))
}

#[test]
fn how_many_connections_a_plan_needs() {
    let closed = "{ model: closed, stages: [{ ramp: 300 users, over: 10s }, { hold: 250 users, for: 10s }] }";
    let open = "{ max_in_flight: 450, stages: [{ hold: 10/s, for: 10s }] }";
    for (load, http, most, is_bound) in [
        (open, "{}", 450, true),
        (open, "{ connections: 7 }", 7, false),
        (open, "{ version: 2 }", 5, true),
        (open, "{ version: 2, streams: 451 }", 1, true),
        (open, "{ version: 2, connections: 9 }", 9, false),
        (closed, "{}", 300, false),
        (closed, "{ connections: 7 }", 300, false),
        (closed, "{ connections: 7, reuse: always }", 7, false),
        (closed, "{ connections_per_host: 7, reuse: always }", 7, false),
        (closed, "{ reuse: never }", 300, false),
        (open, "{ connections_per_host: 6 }", 6, false),
        (open, "{ reuse: per_user }", 450, true),
        (closed, "{ version: 2, streams: 7 }", 43, false),
        (closed, "{ version: 2, connections: 9 }", 9, false),
    ] {
        let plan = plan(&with(load, STEPS, &format!("http: {http}")));
        assert_eq!(plan.connections(), Connections { most, is_bound }, "{load} {http}");
    }
}

#[test]
fn remote_write_is_read_with_its_defaults() {
    let read = |text: &str| {
        let text =
            format!("export: {{ remote_write: {{ url: \"http://p:9090/api/v1/write?db=x\"{text} }} }}");
        plan(&with(LOAD, STEPS, &text)).export.remote_write.unwrap()
    };
    let usual = read("");
    assert_eq!(usual.url, "http://p:9090/api/v1/write?db=x");
    assert_eq!(
        (usual.version, usual.histograms, usual.lanes),
        (RemoteWriteVersion::Auto, RemoteWriteHistograms::Both, 4)
    );
    assert!(
        usual.token.is_none() && usual.login.is_none() && usual.headers.is_empty() && usual.labels.is_empty()
    );
    let all = read(
        ", version: 2, token: t, headers: { X-Scope-OrgID: a }, labels: { zone: b, job: \"\" }, histograms: native, lanes: 16",
    );
    assert_eq!(
        (all.version, all.histograms, all.lanes),
        (RemoteWriteVersion::Two, RemoteWriteHistograms::Native, 16)
    );
    assert_eq!(all.token.unwrap().expose(), "t");
    assert_eq!((all.headers[0].0.as_str(), all.headers[0].1.expose()), ("x-scope-orgid", "a"));
    assert_eq!(
        all.labels.into_iter().collect::<Vec<_>>(),
        [("job", ""), ("zone", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(read(", version: 1").version, RemoteWriteVersion::One);
    let (user, password) = read(", username: ann, password: p").login.unwrap();
    assert_eq!((user.as_str(), password.expose()), ("ann", "p"));
}

#[test]
fn sinks_are_read() {
    let export = |text: &str| plan(&with(LOAD, STEPS, &format!("export: {{ {text} }}"))).export;
    let place =
        |text: &str| export(&format!("influxdb: {{ url: http://127.0.0.1:1/, {text} }}")).influxdb.unwrap();
    let InfluxPlace::Version1 { database, retention_policy, user: Some((user, password)) } =
        place("version: 1, database: d, retention_policy: rp, username: ann, password: word").place
    else {
        panic!("version 1")
    };
    assert_eq!((database.as_str(), retention_policy.as_deref()), ("d", Some("rp")));
    assert_eq!((user.as_str(), password.expose()), ("ann", "word"));
    assert!(matches!(place("org: o, bucket: b").place, InfluxPlace::Version2 { token: None, .. }));
    assert!(matches!(
        place("version: 3, database: d, token: t").place,
        InfluxPlace::Version3 { token: Some(_), .. }
    ));
    assert_eq!(place("org: o, bucket: b").url, "http://127.0.0.1:1");
    for (path, format) in
        [("a.csv", FileFormat::Csv), ("b/c.ndjson", FileFormat::Ndjson), ("d.jsonl", FileFormat::Ndjson)]
    {
        let file = export(&format!("file: {{ path: {path} }}")).file.unwrap();
        assert_eq!((file.path.to_str(), file.format), (Some(path), format));
    }
    let statsd = |text: &str| export(&format!("statsd: {{ {text} }}")).statsd.unwrap();
    let udp = StatsdExport {
        address: StatsdAddress::Udp("localhost:8125".to_owned()),
        dogstatsd: true,
        prefix: "plimsoll".to_owned(),
    };
    assert_eq!(statsd("address: localhost:8125"), udp);
    let unix = StatsdExport {
        address: StatsdAddress::Unix("/run/s".into()),
        dogstatsd: false,
        prefix: "a.b".to_owned(),
    };
    assert_eq!(statsd("address: unix:/run/s, tags: none, prefix: a.b"), unix);
    let search = |text: &str| {
        export(&format!("elasticsearch: {{ url: http://127.0.0.1:1, {text} }}")).elasticsearch.unwrap()
    };
    assert!(search("index: x").credentials.is_none());
    assert!(matches!(search("api_key: k").credentials, Some(SearchCredentials::ApiKey(_))));
    assert!(matches!(search("token: t, data_stream: true").credentials, Some(SearchCredentials::Token(_))));
    assert!(matches!(search("username: a, password: b").credentials, Some(SearchCredentials::User(..))));
    assert_eq!(search("token: t").index, "plimsoll");
}

#[test]
fn kafka_is_read() {
    let read = |text: &str| {
        plan(&with(LOAD, STEPS, &format!("export: {{ kafka: {{ {text} }} }}"))).export.kafka.unwrap()
    };
    let one = KafkaExport { brokers: vec!["127.0.0.1:9092".to_owned()], topic: "plimsoll".to_owned() };
    assert_eq!(read("brokers: 127.0.0.1:9092"), one);
    let two =
        KafkaExport { brokers: ["a:1", "b:2"].map(str::to_owned).to_vec(), topic: "load.points".to_owned() };
    assert_eq!(read("brokers: ['a:1', 'b:2'], topic: load.points"), two);
}

#[test]
fn cloudwatch_is_read() {
    let read = |text: &str| {
        let text = with(LOAD, STEPS, &format!("export: {{ cloudwatch: {{ {text} }} }}"));
        plan(&text).export.cloudwatch.unwrap()
    };
    let least = read("");
    assert_eq!((least.region, least.endpoint, least.namespace.as_str()), (None, None, "Plimsoll"));
    assert_eq!(least.metrics, CloudWatchExport::DEFAULT_METRICS);
    assert!(least.dimensions.is_empty() && least.credentials.is_none());
    assert_eq!(least.resolution, CloudWatchResolution::Second);
    let all = read(
        "region: eu-west-1, namespace: Load/Shop, endpoint: http://127.0.0.1:4566/, resolution: 1m, \
         metrics: [service_time], dimensions: { Team: a b, Version: '' }, access_key_id: i, secret_access_key: k, session_token: t",
    );
    assert_eq!((all.region.as_deref(), all.namespace.as_str()), (Some("eu-west-1"), "Load/Shop"));
    assert_eq!(all.endpoint.as_deref(), Some("http://127.0.0.1:4566"));
    assert_eq!((all.metrics, all.resolution), (vec!["service_time"], CloudWatchResolution::Minute));
    let dimensions: Vec<_> =
        all.dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(dimensions, [("Team", "a b"), ("Version", "")]);
    let AwsCredentials { access_key_id, secret_access_key, session_token } = all.credentials.unwrap();
    assert_eq!((access_key_id.expose(), secret_access_key.expose()), ("i", "k"));
    assert_eq!(session_token.unwrap().expose(), "t");
}

#[test]
fn a_schedule_is_one_stage_with_the_rates_of_its_rows() {
    let load = |load: &str| match plan(&with(load, STEPS, "")).load.model {
        LoadModel::Open { stages, max_in_flight, .. } => (stages, max_in_flight),
        other => panic!("{other:?}"),
    };
    let points = |stages: &[Stage<Rate>]| match stages {
        [Stage { kind: StageKind::Schedule(curve), length }] => {
            let points = curve.points().iter().map(|(at, rate)| (at.as_secs_f64(), *rate));
            (points.collect::<Vec<_>>(), length.as_secs_f64())
        }
        other => panic!("{other:?}"),
    };
    let (stages, max_in_flight) = load("{ schedule: rates.csv, warmup: 5s }");
    assert_eq!(points(&stages), (vec![(0.0, 50.0), (10.0, 100.0), (60.0, 100.0), (90.0, 0.0)], 90.0));
    let timeout = plan(&with(LOAD, STEPS, "")).http.timeout.as_secs_f64();
    assert_eq!(f64::from(max_in_flight), 100.0 * timeout, "as for stages of the same rates");
    // A file from a spreadsheet: semicolons, quotes, a byte order mark, another column, an empty line.
    let steps = load("{ schedule: excel.csv, interpolate: steps }").0;
    assert_eq!(points(&steps), (vec![(0.0, 10.0), (5.0, 10.0)], 5.0));
    let linear = load("{ schedule: excel.csv, interpolate: linear }").0;
    assert_eq!(points(&linear).0, [(0.0, 10.0), (2.5, 10.0), (5.0, 0.0)]);
    // What is said of the plan follows the file, not its name.
    let hash = |load: &str| plan(&with(load, STEPS, "")).hash;
    assert_ne!(hash("{ schedule: excel.csv }"), hash("{ schedule: excel.csv, interpolate: steps }"));
    assert_eq!(hash("{ schedule: excel.csv }"), hash("{ schedule: excel.csv, interpolate: linear }"));
}

#[test]
fn a_replay_is_a_load_and_a_step_made_of_a_log() {
    let text = |replay: &str| {
        format!("name: test\ntarget: http://shop.example\nscenarios:\n  - {{ name: visitors, {replay} }}\n")
    };
    let read = |replay: &str| plan(&text(replay));
    let plan = read("start_after: 1s, replay: { log: access.log, speed: 2x, expect: { status: 200 } }");
    let LoadModel::Open { stages, max_in_flight, .. } = &plan.load.model else { panic!("it is open") };
    let [pause, Stage { kind: StageKind::Replay(curve), length }] = stages.as_slice() else {
        panic!("{stages:?}")
    };
    assert_eq!((pause.length, *length), (Duration::from_secs(1), Duration::from_secs(2)));
    let points = [(0, 4.0), (500, 4.0), (500, 0.0), (1500, 0.0), (1500, 2.0), (2000, 2.0)];
    assert_eq!(curve.points(), points.map(|(at, rate)| (Duration::from_millis(at), rate)));
    // Two in a second, twice as fast, for as long as a request may take.
    assert_eq!(f64::from(*max_in_flight), 4.0 * plan.http.timeout.as_secs_f64());
    assert_eq!(plan.feeds[0].table.rows(), 3);
    assert_eq!((plan.feeds[0].order, plan.feeds[0].name.as_str()), (FeedOrder::Recorded, "access.log"));
    let replay = plan.scenarios[0].replay.as_ref().unwrap();
    assert_eq!((replay.feed, replay.speed, replay.notes.len()), (0, 2.0, 0));
    assert_eq!((plan.steps.len(), plan.steps[0].step.as_str()), (1, "replay"));
    let [one, other] = [request(&plan, 0), request(&plan, 1)];
    assert_eq!((one.method.as_str(), other.method.as_str(), one.step, other.step), ("GET", "HEAD", 0, 0));
    assert_eq!((one.expect.status.len(), one.headers.len()), (1, 0));

    let only = read(
        "replay: { log: access.log, methods: [GET], name: page, max_in_flight: 7, headers: { x-a: b } }",
    );
    assert!(matches!(only.load.model, LoadModel::Open { max_in_flight: 7, .. }));
    assert_eq!((only.feeds[0].table.rows(), only.steps[0].step.as_str()), (2, "page"));
    assert_eq!(request(&only, 0).headers.len(), 1);
    assert_eq!(only.scenarios[0].replay.as_ref().unwrap().notes.len(), 1);
    // What a run does is in its hash.
    let hashes = ["1x", "2x", "1.0", "0.5x"]
        .map(|speed| read(&format!("replay: {{ log: access.log, speed: {speed} }}")).hash);
    assert_eq!(hashes[0], hashes[2]);
    assert!(hashes[0] != hashes[1] && hashes[0] != hashes[3] && hashes[0] != only.hash);

    // Beside other loads, and with a feed that templates name: the log is none of those.
    let beside = text("replay: { log: access.log }")
        + "  - { name: others, steps: [{ get: \"/{{ users.name }}\" }] }\n";
    let beside = crate::plan(
        &(beside + "load: { stages: [{ hold: 5/s, for: 5s }] }\ndata: { users: { csv: users.csv } }\n"),
    );
    assert_eq!(
        beside.feeds.iter().map(|feed| feed.name.as_str()).collect::<Vec<_>>(),
        ["users", "access.log"]
    );
    assert_eq!(beside.scenarios[0].replay.as_ref().unwrap().feed, 1);
}

#[test]
fn what_of_a_log_is_not_replayed_is_said() {
    let text = "name: test\ntarget: http://shop.example\nscenarios:\n  - { name: visitors, replay: { log: mixed.log } }\n";
    let crate::Parsed { plan, advice } = crate::parsed(text);
    let notes = [
        "lines of the log `mixed.log` that are not replayed for their method: 2 of 6 (POST 1, others 1)",
        "lines of the log `mixed.log` that cannot be replayed: 2 of 6; the first is line 5: it has no time that is understood",
        "requests of the log `mixed.log` that are out of order: 1, by 4s at most; each is replayed with the one before it",
    ];
    assert_eq!(plan.scenarios[0].replay.as_ref().unwrap().notes, notes);
    let told: Vec<_> = advice.iter().map(|advice| advice.message.as_str()).collect();
    assert!(notes.iter().all(|note| told.contains(note)), "{told:?}");
}
