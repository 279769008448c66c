//! What is secret is sent and never shown: not in messages, excerpts, the kept text or `Debug`.

use plimsoll_run::{Action, InfluxPlace, ResourceOrigin, RunPlan};

use crate::{parse_with, rendered};

const ENV: [(&str, &str); 4] =
    [("TOKEN", "tok-3n-value"), ("PASS", "p4ss-word-x"), ("PLAIN", "visible"), ("URLPASS", "url-p4ss")];

/// Every secret of the plan below, typed or from the environment.
const SECRETS: [&str; 16] = [
    "tok-3n-value",
    "p4ss-word-x",
    "url-p4ss",
    "typed-bearer",
    "typed-cookie",
    "typed-body-password",
    "typed-key-header",
    "typed-default",
    "thekeyitself",
    "typed-scrape-password",
    "typed-scrape-key",
    "typed-profile-password",
    "typed-profile-key",
    "typed-otlp-token",
    "typed-push-password",
    "typed-push-key",
];

const PLAN: &str = r#"
name: secrets
target: "https://ann:${URLPASS}@shop.example/api"
load: { stages: [{ hold: 10/s, for: 10s }] }
tls: { cert: ca.pem, key: key.pem }
http: { headers: { cookie: "a=typed-cookie", x-api-key: typed-key-header, x-plain: "${PLAIN}" } }
tags: { area: "${PLAIN}", hidden: "${secret:TOKEN}" }
scenarios:
  - name: main
    steps:
      - name: sign in
        post: "/login?key=${secret:TOKEN}"
        headers: { authorization: "Bearer typed-bearer" }
        json: { user: ann, password: typed-body-password, note: "x ${secret:PASS} y" }
        capture: { token: { jsonpath: "$.token" } }
      - { name: use, get: /, headers: { authorization: "Bearer {{ token }}", x-default: "${secret:UNSET:-typed-default}" },
          expect: { contains: [plain, "${secret:PASS}"], json: { "$.key": "${secret:TOKEN}" }, headers: { set-cookie: typed-cookie } } }
      - { name: elsewhere, get: "https://bob:url-p4ss@other.example/x?y={{ user }}" }
resources:
  shop: { url: "http://eve:typed-scrape-password@127.0.0.1:1/metrics?key=${secret:TOKEN}", headers: { x-api-key: typed-scrape-key } }
profiles: { folder: kept, take: [{ kind: heap, url: "http://eve:typed-profile-password@127.0.0.1:1/heap?key=${secret:TOKEN}", headers: { x-api-key: typed-profile-key } }] }
export:
  influxdb: { url: "http://127.0.0.1:8086", org: o, bucket: b, token: "${TOKEN}" }
  otlp: { url: "http://127.0.0.1:4318", headers: { authorization: "Bearer typed-otlp-token" } }
  remote_write: { url: "http://127.0.0.1:9090/api/v1/write", username: ann, password: typed-push-password, headers: { x-api-key: typed-push-key } }
"#;

fn plan() -> RunPlan {
    parse_with(PLAN, &ENV, &[]).unwrap_or_else(|errors| panic!("{}", rendered(&errors))).plan
}

fn assert_hidden(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} shows {secret}:\n{text}");
    }
}

fn filled(plan: &RunPlan) -> String {
    let mut out = String::new();
    for action in &plan.scenarios[0].actions {
        let Action::Request(request) = action else { continue };
        for template in request.templates() {
            template
                .fill(&mut out, |_, out| {
                    out.push_str("HOLE");
                    true
                })
                .unwrap();
            out.push('\n');
        }
    }
    for (_, value) in plan.export.otlp.iter().flat_map(|otlp| &otlp.headers) {
        out.push_str(value.expose());
        out.push('\n');
    }
    for header in &plan.http.headers {
        header.value.fill(&mut out, |_, _| false).unwrap();
        out.push('\n');
    }
    for source in &plan.resources {
        let ResourceOrigin::Metrics(endpoint) = &source.origin else { continue };
        let headers = endpoint.headers.iter().map(|(_, value)| value);
        headers.chain([&endpoint.url]).for_each(|secret| out.push_str(&format!("{}\n", secret.expose())));
    }
    for source in plan.profiles.iter().flat_map(|profiles| &profiles.sources) {
        let headers = source.endpoint.headers.iter().map(|(_, value)| value);
        headers
            .chain([&source.endpoint.url])
            .for_each(|secret| out.push_str(&format!("{}\n", secret.expose())));
    }
    if let Some(push) = &plan.export.remote_write {
        let login = push.login.iter().map(|(_, password)| password);
        let headers = push.headers.iter().map(|(_, value)| value);
        login.chain(headers).for_each(|secret| out.push_str(&format!("{}\n", secret.expose())));
    }
    out
}

#[test]
fn an_expectation_says_whether_it_is_secret() {
    let plan = plan();
    let expected = plan.scenarios[0].actions.iter().map(|action| match action {
        Action::Request(request) => request.expect.secret,
        _ => false,
    });
    assert_eq!(expected.collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn secrets_are_kept_out_of_what_is_kept() {
    let plan = plan();
    assert_hidden("the kept text", &plan.text);
    assert_hidden("debug", &format!("{plan:?}"));
    for kept in [
        "token: \"${TOKEN}\"",
        "https://***${URLPASS}@shop.example/api",
        "key=${secret:TOKEN}",
        "x ${secret:PASS} y",
        "hidden: \"${secret:TOKEN}\"",
        "area: visible",
        "{{ token }}",
        "$.token",
    ] {
        assert!(plan.text.contains(kept), "no {kept} in\n{}", plan.text);
    }
}

#[test]
fn secrets_are_sent() {
    let plan = plan();
    let sent = filled(&plan);
    let encoded = ["thekeyitself", "url-p4ss", "typed-scrape-password", "typed-profile-password"];
    for secret in SECRETS.iter().filter(|secret| !encoded.contains(secret)) {
        assert!(sent.contains(secret), "{secret} is not sent:\n{sent}");
    }
    // `ann:url-p4ss` and `bob:url-p4ss`
    assert!(sent.contains("Basic YW5uOnVybC1wNHNz") && sent.contains("Basic Ym9iOnVybC1wNHNz"), "{sent}");
    // `eve:typed-scrape-password`
    assert!(sent.contains("Basic ZXZlOnR5cGVkLXNjcmFwZS1wYXNzd29yZA=="), "{sent}");
    assert!(sent.contains("https://other.example/x?y=HOLE"), "{sent}");
    assert_eq!(plan.target, "https://shop.example/api");
    assert!(plan.tls.key.as_ref().unwrap().expose().contains("thekeyitself"));
    let InfluxPlace::Version2 { token: Some(token), .. } = &plan.export.influxdb.as_ref().unwrap().place
    else {
        panic!("{:?}", plan.export.influxdb)
    };
    assert_eq!(token.expose(), "tok-3n-value");
    let secret: Vec<_> = plan.http.headers.iter().filter(|h| h.secret).map(|h| h.name.as_str()).collect();
    assert_eq!(secret, ["cookie", "x-api-key", "authorization"]);
}

#[test]
fn secrets_are_kept_out_of_messages() {
    for (from, to) in [
        // Something wrong on the lines of secrets.
        ("org: o,", "org: o, orgg: o,"),
        ("bucket: b,", ""),
        ("x-plain:", "\"x plain\":"),
        ("user: ann,", "user: \"{{ nobody }}\","),
        ("note: \"x ", "note: \"{{ nobody }} x "),
        ("Bearer {{ token }}", "Bearer {{ nobody }}"),
        ("\"Bearer typed-bearer\"", "[typed-bearer]"),
        ("area:", "area: { a: \"${secret:TOKEN}\" }, other:"),
        ("name: secrets", "name: \"${secret:PASS}\""),
        ("hold: 10/s", "hold: \"${secret:PASS}\""),
        ("name: elsewhere", "name: \"${secret:PASS}\""),
        ("https://ann:", "ftp://ann:"),
        ("@shop.example/api", "@shop.example/api?x=y"),
        ("@other.example", "@"),
        ("password: typed-body-password", "password: { typed-body-password: 1"),
        // No YAML any more.
        ("export:", "export: ]"),
        ("token: \"${TOKEN}\" }", "token: tok-3n-value ]"),
        ("\"a=typed-cookie\"", "a=typed-cookie ]"),
        ("target: \"https://ann:${URLPASS}@shop.example/api\"", "target: [https://ann:url-p4ss@shop.example"),
    ] {
        let wrong = PLAN.replacen(from, to, 1);
        assert_ne!(wrong, PLAN, "{from}");
        let errors = parse_with(&wrong, &ENV, &[]).map(|_| ()).expect_err(&wrong);
        assert_hidden(to, &rendered(&errors));
        assert_hidden(to, &format!("{errors:?}"));
        assert_hidden(to, &errors.iter().map(|error| error.to_string()).collect::<String>());
    }
}

#[test]
fn secrets_of_overrides_are_kept_out_of_messages() {
    for set in [
        "export.influxdb.token=[tok-3n-value",
        "export.influxdb.token=[tok-3n-value]",
        "export.influxdb.token.x=tok-3n-value",
        "auth.basic={ username: a, password: tok-3n-value, x: y }",
        "auth.bearer=tok-3n-value",
        "http.headers.authorization[0]=tok-3n-value",
        "target=ftp://a:tok-3n-value@shop.example",
    ] {
        let errors = parse_with(PLAN, &ENV, &[set]).map(|_| ()).expect_err(set);
        assert_hidden(set, &rendered(&errors));
    }
}
