//! What an answer is asked and what is taken from it, on a simulated clock.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::CLIENT;
use crate::common::{Measured, config, get, open, plan};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use plimsoll_driver::{Simulation, Transport};
use plimsoll_measure::Outcome;
use plimsoll_run::{
    Absent, Action, Capture, CaptureSource, Check, Comparison, Expect, HeaderExpectation, MOST_CAPTURED,
    Part, Pick, Request, StatusRange, Template, Variable,
};
use serde_json::json;

const SHOP: &str = r#"<shop><item id="a">5</item><item id="b">7</item></shop>"#;
const ITEMS: &str = r#"{"items":[{"id":"a"},{"id":"b"},{"id":"c"}],"total":3}"#;

/// Gives every request this body after 20 ms, with some headers, and remembers the paths.
fn server(body: String) -> (Transport, Arc<Mutex<Vec<String>>>) {
    let (asked, body) = (Arc::new(Mutex::new(Vec::new())), Bytes::from(body));
    let all = Arc::clone(&asked);
    let transport = Transport::Memory(Arc::new(move || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (all, body) = (Arc::clone(&all), body.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            all.lock().unwrap().push(request.uri().to_string());
            let body = body.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let response = http::Response::builder()
                    .header("x-count", "12")
                    .header("x-tag", "one")
                    .header("x-tag", "two")
                    .header("set-cookie", "sid=first; path=/")
                    .header("set-cookie", "sid=s7; path=/; httponly");
                Ok::<_, Infallible>(response.body(Full::new(body)).unwrap())
            }
        });
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service),
        );
        near
    }));
    (transport, asked)
}

async fn run(body: &str, steps: Vec<Request>) -> (Measured, Vec<String>) {
    let (transport, asked) = server(body.to_owned());
    let actions = steps.into_iter().map(|step| Action::Request(Box::new(step))).collect();
    let plan = plan("http://simulated", open(1.0, 1.0), actions);
    let measured = Measured::of(Simulation::run(&config(plan, transport, CLIENT)).await.unwrap());
    let asked = asked.lock().unwrap().clone();
    (measured, asked)
}

/// How an answer with this body is judged.
async fn judged(body: &str, expect: Expect) -> Outcome {
    let step = Request { expect, ..get(0, "/") };
    run(body, vec![step]).await.0.outcomes()[0].0
}

fn equals(text: &str) -> Comparison {
    Comparison::Equals(json!(text))
}

fn not(other: Comparison) -> Comparison {
    Comparison::Not(Box::new(other))
}

fn header(name: &str, is: Comparison) -> Expect {
    Expect { headers: vec![HeaderExpectation { name: name.to_owned(), is }], ..Expect::default() }
}

fn of_body(is: Comparison) -> Expect {
    Expect { body: Some(is), ..Expect::default() }
}

fn of_size(is: Comparison) -> Expect {
    Expect { size: Some(is), ..Expect::default() }
}

fn of_xpath(path: &str, is: Comparison) -> Expect {
    Expect { xpath: vec![(path.to_owned(), is)], ..Expect::default() }
}

fn of_json(path: &str, is: Comparison) -> Expect {
    Expect { json: vec![(path.to_owned(), is)], ..Expect::default() }
}

fn of_schema(schema: serde_json::Value) -> Expect {
    Expect { schema: Some(schema), ..Expect::default() }
}

fn within(millis: u64) -> Expect {
    Expect { first_byte_within: Some(Duration::from_millis(millis)), ..Expect::default() }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_held_against_every_word_and_its_opposite() {
    let schema = |kind: &str| of_schema(json!({ "properties": { "total": { "type": kind } } }));
    let deep = "[".repeat(1 << 20);
    let deep_xml = "<a>".repeat(1 << 18);
    let status = |first, last| Expect { status: vec![StatusRange { first, last }], ..Expect::default() };
    for (body, expect, holds) in [
        (ITEMS, header("x-count", equals("12")), true),
        (ITEMS, header("x-count", equals("13")), false),
        (ITEMS, header("x-count", Comparison::AtLeast(12.0)), true),
        (ITEMS, header("x-count", Comparison::Matches("^1".into())), true),
        (ITEMS, header("x-none", Comparison::Exists(true)), false),
        (ITEMS, header("x-none", Comparison::Exists(false)), true),
        ("ok", of_body(equals("ok")), true),
        ("ok", of_body(not(Comparison::Matches("k$".into()))), false),
        ("", of_body(equals("")), true),
        ("12345", of_size(Comparison::Equals(json!(5))), true),
        ("12345", of_size(Comparison::AtMost(4.0)), false),
        (SHOP, of_xpath("//item[2]/@id", equals("b")), true),
        (SHOP, of_xpath("count(//item)", Comparison::Above(2.0)), false),
        (ITEMS, of_xpath("//item", Comparison::Exists(true)), false),
        (ITEMS, schema("integer"), true),
        (ITEMS, schema("string"), false),
        (SHOP, of_schema(json!(true)), false),
        (&deep, of_schema(json!(true)), false),
        (&deep, of_json("$..a", Comparison::Exists(true)), false),
        (&deep_xml, of_xpath("//a", Comparison::Exists(true)), false),
        (ITEMS, within(20), true),
        (ITEMS, within(19), false),
        (ITEMS, status(500, 599), false),
    ] {
        let shown: String = format!("{} {expect:?}", &body[..body.len().min(60)]);
        let outcome = judged(body, expect.clone()).await;
        let failure = if expect.status.is_empty() { Outcome::Expectation } else { Outcome::Status };
        assert_eq!(outcome, if holds { Outcome::Ok } else { failure }, "{shown}");
        let opposite = Expect { not: Some(Box::new(expect)), ..Expect::default() };
        let outcome = judged(body, opposite).await;
        assert_eq!(outcome, if holds { Outcome::Expectation } else { Outcome::Ok }, "not {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn none_of_several_may_hold() {
    let contains =
        |texts: [&str; 2]| Expect { body_contains: texts.map(str::to_owned).into(), ..Expect::default() };
    for (texts, outcome) in [
        (["error", "warning"], Outcome::Ok),
        (["error", "total"], Outcome::Expectation),
        (["items", "total"], Outcome::Expectation),
    ] {
        let expect = Expect { not: Some(Box::new(contains(texts))), ..Expect::default() };
        assert_eq!(judged(ITEMS, expect).await, outcome, "{texts:?}");
    }
}

/// The path that the next step asks for with what was captured, or how capturing failed.
async fn captured(body: &str, source: CaptureSource, pick: Pick, absent: Absent) -> Result<String, Outcome> {
    let take =
        Request { captures: vec![Capture { pick, absent, ..Capture::new("c", 0, source) }], ..get(0, "/") };
    let parts = vec![Part::Text("/got/".to_owned()), Part::Variable(Variable::Capture(0))];
    let then = Request { url: Template { parts }, ..get(1, "") };
    let (measured, asked) = run(body, vec![take, then]).await;
    match asked.get(1) {
        Some(path) => Ok(path["/got/".len()..].to_owned()),
        None => Err(measured
            .outcomes()
            .iter()
            .find(|(outcome, _)| *outcome != Outcome::Ok)
            .map_or(Outcome::Ok, |(outcome, _)| *outcome)),
    }
}

fn regex(pattern: &str, group: Option<&str>) -> CaptureSource {
    CaptureSource::Regex { pattern: pattern.to_owned(), group: group.map(str::to_owned) }
}

#[tokio::test(start_paused = true)]
async fn one_of_many_is_captured() {
    let ids = || CaptureSource::JsonPath("$.items[*].id".to_owned());
    let words = || regex(r#""(i)(?<last>d)":"(\w)""#, Some("3"));
    let items = || CaptureSource::XPath("//item/@id".to_owned());
    let tags = || CaptureSource::Header("x-tag".to_owned());
    for (body, source, pick, found) in [
        (ITEMS, ids(), Pick::First, "a"),
        (ITEMS, ids(), Pick::Last, "c"),
        (ITEMS, ids(), Pick::Nth(2), "b"),
        (ITEMS, words(), Pick::First, "a"),
        (ITEMS, words(), Pick::Last, "c"),
        (ITEMS, words(), Pick::Nth(2), "b"),
        (ITEMS, regex("(i)(?<last>d)", Some("last")), Pick::First, "d"),
        (ITEMS, regex("i(d)", None), Pick::First, "d"),
        (ITEMS, regex("i(d)", Some("0")), Pick::First, "id"),
        (SHOP, items(), Pick::First, "a"),
        (SHOP, items(), Pick::Last, "b"),
        (SHOP, CaptureSource::XPath("sum(//item)".to_owned()), Pick::First, "12"),
        (ITEMS, tags(), Pick::First, "one"),
        (ITEMS, tags(), Pick::Nth(2), "two"),
        (ITEMS, CaptureSource::Cookie("sid".to_owned()), Pick::First, "s7"),
    ] {
        let what = format!("{source:?} {pick:?}");
        assert_eq!(captured(body, source, pick, Absent::Fails).await.as_deref(), Ok(found), "{what}");
    }
    let drawn = captured(ITEMS, ids(), Pick::Random, Absent::Fails).await.unwrap();
    assert!(["a", "b", "c"].contains(&&*drawn), "{drawn}");
    for _ in 0..3 {
        let again = captured(ITEMS, ids(), Pick::Random, Absent::Fails).await.unwrap();
        assert_eq!(again, drawn, "the seed decides");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_too_long_is_told() {
    let none = || CaptureSource::JsonPath("$.none".to_owned());
    let all = || regex("(?s).*", None);
    assert_eq!(captured(ITEMS, none(), Pick::First, Absent::Fails).await, Err(Outcome::Capture));
    let default = Absent::Is("d".to_owned());
    assert_eq!(captured(ITEMS, none(), Pick::First, default).await.as_deref(), Ok("d"));
    assert_eq!(captured(ITEMS, none(), Pick::First, Absent::Unknown).await, Err(Outcome::Ok), "not sent");
    for pick in [Pick::Nth(4), Pick::Last, Pick::Random] {
        let source = CaptureSource::JsonPath("$.items[?@.id == 'x']".to_owned());
        assert_eq!(captured(ITEMS, source, pick, Absent::Fails).await, Err(Outcome::Capture), "{pick:?}");
    }
    let longest = "x".repeat(1000);
    assert_eq!(captured(&longest, all(), Pick::First, Absent::Fails).await, Ok(longest));
    let too_long = "x".repeat(MOST_CAPTURED + 1);
    assert_eq!(captured(&too_long, all(), Pick::First, Absent::Unknown).await, Err(Outcome::Capture));
    for hostile in ["[".repeat(1 << 20), "<a>".repeat(1 << 18)] {
        let path = CaptureSource::XPath("//a".to_owned());
        assert_eq!(captured(&hostile, path, Pick::First, Absent::Fails).await, Err(Outcome::Capture));
        assert_eq!(captured(&hostile, none(), Pick::First, Absent::Fails).await, Err(Outcome::Capture));
    }
}

#[tokio::test(start_paused = true)]
async fn checks_are_counted_and_decide_about_nothing() {
    let status =
        |status| Expect { status: vec![StatusRange { first: status, last: status }], ..Expect::default() };
    let checks = [
        of_json("$.total", Comparison::Equals(json!(3))),
        status(404),
        Expect { not: Some(Box::new(status(404))), ..Expect::default() },
    ];
    let checks = checks.into_iter().zip(0..).map(|(expect, check)| Check { check, expect }).collect();
    let (measured, _) = run(ITEMS, vec![Request { checks, ..get(0, "/") }, get(1, "/then")]).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 2)]);
    let mut counted: Vec<_> = measured
        .frames
        .iter()
        .flat_map(|frame| &frame.checks)
        .map(|(key, series)| (key.check, series.passed, series.failed))
        .collect();
    counted.sort_unstable();
    assert_eq!(counted, [(0, 1, 0), (1, 0, 1), (2, 1, 0)]);
}
