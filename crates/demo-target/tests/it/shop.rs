//! The routes of the shop, as a client sees them.

use std::io::{Read, Write};

use crate::client::{Client, eventually, target};
use plimsoll_demo_target::Model;

#[test]
fn headers_decide_what_a_payment_a_medium_and_a_tenant_are() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    let mut pay = |key: &str, body: &str| {
        let reply = client.ask("POST", "/payments", &[&format!("idempotency-key: {key}")], body);
        (reply.status, reply.text().to_owned())
    };
    let first = pay("one", r#"{"amount":5}"#);
    assert_eq!(first.0, 201);
    assert_eq!(first, pay("one", r#"{"amount":5}"#), "the same key is the same payment");
    assert_ne!(first, pay("other", r#"{"amount":5}"#));
    assert_eq!(pay("one", r#"{"amount":10001}"#).0, 402);
    assert_eq!(pay("one", r#"{"amount":0}"#).0, 422);
    assert_eq!(pay("one", "").0, 422);

    let part = client.ask("GET", "/media/1000", &["range: bytes=990-2000"], "");
    assert_eq!((part.status, part.text().len()), (206, 10));
    assert_eq!(part.header("content-range"), Some("bytes 990-999/1000"));
    let none = client.ask("GET", "/media/1000", &["range: bytes=1000-"], "");
    assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */1000")));

    let own = client.ask("GET", "/tenants/acme", &["x-tenant: acme"], "");
    assert_eq!(own.status, 200);
    assert!(own.text().starts_with(r#"{"tenant":"acme","items":[{"id":"#), "{}", own.text());
    assert_eq!(client.ask("GET", "/tenants/acme", &["x-tenant: other"], "").status, 403);
}

#[test]
fn every_route_answers_as_described() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    let cases = [
        ("GET", "/", "", 200, "Plimsoll"),
        ("HEAD", "/", "", 200, ""),
        ("GET", "/health", "", 200, "ok"),
        ("HEAD", "/health", "", 200, ""),
        ("GET", "/products", "", 200, r#"{"page":1,"items":[{"id":1,"#),
        ("GET", "/products?page=3", "", 200, r#"{"page":3,"items":[{"id":21,"#),
        ("GET", "/products?page=18446744073709551615", "", 200, r#""items":[]}"#),
        ("GET", "/products?page=0", "", 400, "a number from 1"),
        ("GET", "/products?page=x", "", 400, "a number from 1"),
        ("GET", "/products/17", "", 200, r#"{"id":17,"name":""#),
        ("GET", "/products/10001", "", 404, "no such product"),
        ("GET", "/products/", "", 404, "no such product"),
        ("POST", "/login", r#"{"user":"ada"}"#, 200, r#""user":"ada""#),
        ("POST", "/login", r#"{"user":""}"#, 401, "a user is needed"),
        ("POST", "/login", "{", 401, "a user is needed"),
        ("POST", "/cart", r#"{"product":17}"#, 201, r#"{"cart":null,"product":17}"#),
        ("POST", "/cart", "{}", 400, "with a product"),
        ("POST", "/cart?auth=1", r#"{"product":17}"#, 401, "session cookie"),
        ("GET", "/cart", "", 200, r#"{"cart":null,"products":[]}"#),
        ("GET", "/cart?auth=1", "", 401, "session cookie"),
        ("POST", "/checkout", "", 200, r#"{"order":1}"#),
        ("GET", "/redirect?n=0", "", 400, "from 1 to 1000"),
        ("GET", "/status/418", "", 418, "418"),
        ("GET", "/status/599", "", 599, "599"),
        ("GET", "/status/204", "", 204, ""),
        ("GET", "/status/304", "", 304, ""),
        ("GET", "/status/100", "", 400, "from 200 to 599"),
        ("GET", "/bytes/0", "", 200, ""),
        ("GET", "/bytes/17179869185", "", 400, "up to 17179869184"),
        ("POST", "/echo", "said once", 200, "said once"),
        ("GET", "/search?q=oak%20oar", "", 200, r#"{"q":"oak oar","items":[{"id":"#),
        ("GET", "/search?q=%00%ff", "", 200, r#""items":[]"#),
        ("GET", "/search", "", 400, "q="),
        ("GET", "/stall?for=1ms", "", 200, "stalled"),
        ("GET", "/stall?for=1", "", 400, "for=2s"),
        ("GET", "/stall?for=11m", "", 400, "for=2s"),
        ("GET", "/latency/0.5", "", 200, "late"),
        ("GET", "/latency/-1", "", 400, "0 to 600000"),
        ("GET", "/latency/nan", "", 400, "0 to 600000"),
        ("POST", "/payments", r#"{"amount":5}"#, 400, "idempotency-key"),
        ("POST", "/jobs", r#"{"takes_ms":0}"#, 202, r#"{"job":"1-"#),
        ("POST", "/jobs", r#"{"takes_ms":600001}"#, 400, "takes_ms"),
        ("GET", "/jobs/1-0-0", "", 200, r#"{"job":"1-0-0","state":"done","percent":100}"#),
        ("GET", "/jobs/1-0-600000", "", 200, r#""state":"running""#),
        ("GET", "/jobs/1-x-0", "", 404, "no such job"),
        ("GET", "/jobs/1-99999999999-0", "", 404, "no such job"),
        ("GET", "/limited?per_second=1000", "", 200, "within"),
        ("GET", "/limited?per_second=0", "", 429, "the limit"),
        ("GET", "/limited?per_second=x", "", 400, "a number"),
        ("GET", "/media/5", "", 200, "     "),
        ("GET", "/media/0", "", 400, "from 1 to"),
        ("GET", "/tenants/acme", "", 403, "x-tenant"),
        ("GET", "/tenants/", "", 404, "no such tenant"),
        ("GET", "/nowhere", "", 404, "nothing at this path"),
        ("DELETE", "/products", "", 405, "other methods"),
    ];
    for (method, path, body, status, expected) in cases {
        let reply = client.ask(method, path, &[], body);
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(reply.text().contains(expected), "{method} {path}: {}", reply.text());
    }
    let shop = cases.iter().filter(|(_, path, ..)| *path != "/health").count() as u64;
    let record = target.record();
    assert_eq!(record.access_count(), shop, "all but the operator's routes are counted");
}

#[test]
fn a_journey_logs_in_buys_and_checks_out() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    let form = "content-type: application/x-www-form-urlencoded";
    let login = client.ask("POST", "/login", &[form], "user=ada+l&password=x");
    assert_eq!(login.json()["user"], "ada l");
    assert_eq!(login.header("set-cookie"), Some("session=s1; Path=/; HttpOnly"));
    let other = client.ask("POST", "/login", &[], r#"{"user":"ben"}"#);
    assert_eq!(other.header("set-cookie"), Some("session=s2; Path=/; HttpOnly"));

    let (ada, ben, nobody) = ("cookie: theme=dark; session=s1", "cookie: session=s2", "cookie: session=s3");
    for (cookie, status) in [(ada, 201), (ben, 201), (nobody, 401), ("cookie: session=", 401)] {
        let body = format!("{{\"product\": \"for {cookie}\"}}");
        assert_eq!(client.ask("POST", "/cart?auth=1", &[cookie], &body).status, status, "{cookie}");
    }
    let cart = client.ask("GET", "/cart?auth=1", &[ada], "").json();
    assert_eq!(cart["products"], serde_json::json!([format!("for {ada}")]), "carts are kept apart");

    let checkout = client.ask("POST", "/checkout", &[ada], "");
    assert_eq!((checkout.header("x-order-id"), checkout.text()), (Some("1"), r#"{"order":1}"#));
    assert_eq!(client.ask("GET", "/cart", &[ada], "").json()["products"], serde_json::json!([]));
}

#[test]
fn a_chain_of_redirects_has_the_length_asked_for() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    let mut path = "/redirect?n=3".to_owned();
    let mut hops = 0;
    loop {
        let reply = client.get(&path);
        if reply.status == 200 {
            break;
        }
        assert_eq!(reply.status, 302);
        path = reply.header("location").unwrap().to_owned();
        hops += 1;
    }
    assert_eq!((hops, path.as_str()), (3, "/products"));
    assert_eq!(client.get("/redirect-loop").header("location"), Some("/redirect-loop"));
}

#[test]
fn large_bodies_are_streamed_and_counted() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    assert_eq!(client.get("/bytes/10000000").body.len(), 10_000_000);
    eventually("the answer is recorded", || target.record().answered() == 1);
    let record = target.record();
    let answers = &record.route("GET /bytes/{n}").unwrap().answers[0];
    assert!((10_000_000..10_001_000).contains(&answers.sent_bytes), "{}", answers.sent_bytes);

    client.send("GET", "/bytes/16000000000", &[], b"");
    assert_eq!(client.head().unwrap().header("content-length"), Some("16000000000"));
    client.stream.read_exact(&mut vec![0; 1 << 20]).unwrap();
    drop(client);
    eventually("a half-read answer is abandoned", || target.record().abandoned() == 1);
}

#[test]
fn an_echo_streams_what_it_is_sent() {
    let target = target(Model { body_bytes: 1 << 20, ..Model::default() });
    let mut client = Client::to(target.addr());
    let body = vec![b'e'; 3 << 20];
    let mut writer = client.stream.get_ref().try_clone().unwrap();
    let head = format!("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(head.as_bytes()).unwrap();
            writer.write_all(&body).unwrap();
        });
        assert!(client.reply("POST").body == body, "what came back is what was sent");
    });
}

#[test]
fn a_request_body_too_large_to_keep_is_refused() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    let head = "POST /login HTTP/1.1\r\nhost: test\r\ncontent-length: 9000000000\r\n\r\n";
    client.stream.get_mut().write_all(head.as_bytes()).unwrap();
    // The target may close before it has taken everything.
    let _ = client.stream.get_mut().write_all(&vec![b' '; (1 << 20) + 1]);
    assert_eq!(client.reply("POST").status, 413);
}

#[test]
fn pipelined_requests_are_answered_and_counted_one_by_one() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    let request = "GET /products/7 HTTP/1.1\r\nhost: test\r\n\r\n";
    client.stream.get_mut().write_all(request.repeat(50).as_bytes()).unwrap();
    for _ in 0..50 {
        assert_eq!(client.reply("GET").json()["id"], 7);
    }
    eventually("all are recorded", || target.record().answered() == 50);
    let record = target.record();
    let received: u64 = record.routes[0].answers.iter().map(|answers| answers.received_bytes).sum();
    assert_eq!(received, (request.len() * 50) as u64);
}

#[test]
fn close_says_so_and_closes() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    assert_eq!(client.get("/close").header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn nonsense_is_not_counted_as_a_request() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    client.stream.get_mut().write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n").unwrap();
    assert_eq!(client.reply("GET").status, 400);
    assert!(client.is_closed());
    assert_eq!(target.record().access_count(), 0);
}
