//! What steps send arrives at a target that reads it.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use harness::{Desk, Target, beside_others, ends, errors};

const PLAN: &str = r#"
name: sends
target: http://127.0.0.1:1
load: { model: closed, stages: [ { hold: 2 users, iterations: 6 } ] }
scenarios:
  - name: files
    steps:
      - name: upload
        post: /uploads
        query: { page: "{{ iteration }}", tag: [ "a b", "c&d" ] }
        multipart:
          title: "Picture {{ iteration }}"
          files: [ { file: a.bin, type: image/png }, { text: "x,{{ user }}", filename: "say \"{{ user }}\".csv" } ]
        expect:
          status: 201
          json:
            "$.parts[0].name": title
            "$.parts[0].text": { matches: "^Picture [0-9]+$" }
            "$.parts[1].filename": a.bin
            "$.parts[1].type": image/png
            "$.parts[1].bytes": 70000
            "$.parts[2].filename": { matches: "^say %22[0-9]%22.csv$" }
            "$.parts[2].text": { matches: "^x,[01]$" }
      - { name: fixed, post: /uploads, multipart: { a: b }, expect: { json: { "$.parts[0].text": b } } }
      - { name: put, method: put, url: "/files/f-{{ user }}", file: small.txt }
      - { name: look, get: "/files/f-{{ user }}", expect: { contains: ["not {", "filled }"] } }
      - { name: packed, post: /echo, file: small.txt, compress_body: gzip, expect: { contains: "\u001f" } }
      - { name: late, get: /latency/400, timeout: 50ms, on_failure: continue }
      - { name: slow, get: /latency/1500, timeout: 10s }
http: { timeout: 1s }
"#;

#[tokio::test]
async fn a_target_reads_what_steps_send() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    for version in ["1.1", "2"] {
        let desk = Desk::new();
        std::fs::write(desk.path("a.bin"), vec![0x89; 70_000]).unwrap();
        desk.write("small.txt", "not {{ filled }}");
        let ended =
            desk.run(PLAN).set([target.setting(), format!("http.version=\"{version}\"")]).ended().await;
        let json = desk.json();
        ends(&ended, &json, 0);
        for step in json["steps"].as_array().unwrap() {
            let late = if step["step"] == "late" { 6 } else { 0 };
            let told = (step["requests"].as_u64(), step["failed"].as_u64());
            assert_eq!(told, (Some(6), Some(late)), "HTTP/{version}: {step}");
        }
        assert_eq!(errors(&json, "timeout"), 6);
    }
    let record = target.record().await;
    assert_eq!(record.route("POST /uploads"), 24);
    assert_eq!(record.route("PUT /files/{name}"), 12);
}
