//! What a step sends, as it comes over the wire, and how long it may take.

use std::convert::Infallible;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::CLIENT;
use crate::common::{Measured, config, get, open, plan, seconds};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use plimsoll_driver::{Simulation, Transport};
use plimsoll_measure::{Outcome, Timing};
use plimsoll_run::{
    Action, Auth, AwsCredentials, AwsSigning, Body, BodyKind, FormPart, Header, HttpVersion, Load, Part,
    PartContent, Request, RunPlan, Scenario, Secret, Template, Variable,
};

type Asked = Arc<Mutex<Vec<http::Request<Bytes>>>>;

/// A server in the same simulation that speaks both versions and keeps what it is asked. The path says how many milliseconds
/// an answer takes.
fn server() -> (Transport, Asked) {
    let asked = Asked::default();
    let all = Arc::clone(&asked);
    let transport = Transport::Memory(Arc::new(move || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let all = Arc::clone(&all);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let all = Arc::clone(&all);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let millis = head.uri.path().trim_start_matches('/').parse().unwrap_or(1);
                all.lock().unwrap().push(http::Request::from_parts(head, body));
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from_static(b"ok"))))
            }
        });
        tokio::task::spawn_local(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(far), service).await;
        });
        near
    }));
    (transport, asked)
}

async fn simulate(plan: RunPlan, transport: Transport) -> Measured {
    Measured::of(Simulation::run(&config(plan, transport, CLIENT)).await.unwrap())
}

fn once(requests: Vec<Request>) -> RunPlan {
    let steps = requests.into_iter().map(|request| Action::Request(Box::new(request))).collect();
    plan("http://simulated", open(1.0, 1.0), steps)
}

/// What one iteration of these steps sends, over both versions: they must be alike.
async fn sent(requests: Vec<Request>, change: impl Fn(&mut RunPlan)) -> Vec<http::Request<Bytes>> {
    let mut both = Vec::new();
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        let (transport, asked) = server();
        let mut plan = once(requests.clone());
        plan.http.version = version;
        change(&mut plan);
        let measured = simulate(plan, transport).await;
        assert_eq!(measured.outcomes(), [(Outcome::Ok, requests.len() as u64)], "{version:?}");
        both.push(std::mem::take(&mut *asked.lock().unwrap()));
    }
    let (second, first) = (both.remove(1), both.remove(0));
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one.method(), other.method());
        assert_eq!(one.uri().path_and_query(), other.uri().path_and_query());
        assert_eq!(one.body(), other.body());
        for name in ["content-type", "content-encoding", "authorization"] {
            assert_eq!(one.headers().get(name), other.headers().get(name), "{name}");
        }
    }
    first
}

fn post(step: u16, body: Body) -> Request {
    Request { method: "POST".into(), body: Some(body), ..get(step, "/") }
}

fn with_hole(before: &str) -> Template {
    Template { parts: vec![Part::Text(before.into()), Part::Variable(Variable::RunId)] }
}

fn header<'a>(request: &'a http::Request<Bytes>, name: &str) -> Option<&'a str> {
    request.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn any_method_and_query_arrive_as_they_are_meant() {
    let propfind = Request { method: "PROPFIND".into(), ..get(0, "/files") };
    let fixed = Request { query: Some(Template::text("a=b%20c&list=1&list=2")), ..get(1, "/x?y=z") };
    let filled = Request { query: Some(with_hole("run=")), method: "PURGE".into(), ..get(2, "/x") };
    let empty = Request { query: Some(Template::text("a=")), method: "OPTIONS".into(), ..get(3, "/x") };
    let asked = sent(vec![propfind, fixed, filled, empty], |_| ()).await;
    let told = asked.iter().map(|one| format!("{} {}", one.method(), one.uri().path_and_query().unwrap()));
    let told: Vec<_> = told.collect();
    assert_eq!(
        told,
        ["PROPFIND /files", "GET /x?y=z&a=b%20c&list=1&list=2", "PURGE /x?run=run", "OPTIONS /x?a="]
    );
    assert!(asked.iter().all(|one| one.body().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn files_and_forms_arrive_byte_by_byte() {
    let bytes: Arc<[u8]> = (0..=255_u8).cycle().take(70_000).collect();
    let part = |content| FormPart { name: "text".into(), filename: None, media_type: None, content };
    let upload = FormPart {
        name: "upload".into(),
        filename: Some(Template::text("a.bin")),
        media_type: Some("image/png".into()),
        content: PartContent::File(Arc::clone(&bytes)),
    };
    let fixed = Body::Multipart(vec![part(PartContent::Text(Template::text("plain"))), upload.clone()]);
    let filled = Body::Multipart(vec![part(PartContent::Text(with_hole("id "))), upload]);
    let asked =
        sent(vec![post(0, Body::File(Arc::clone(&bytes))), post(1, fixed), post(2, filled)], |_| ()).await;
    assert_eq!(
        (asked[0].body(), header(&asked[0], "content-type")),
        (&Bytes::from_owner(bytes.to_vec()), None)
    );
    for (request, text) in [(&asked[1], "plain"), (&asked[2], "id run")] {
        let boundary =
            header(request, "content-type").unwrap().strip_prefix("multipart/form-data; boundary=");
        let boundary = boundary.unwrap();
        let mut expected = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"text\"\r\n\r\n{text}\r\n--{boundary}\r\n\
             content-disposition: form-data; name=\"upload\"; filename=\"a.bin\"\r\ncontent-type: image/png\r\n\r\n"
        )
        .into_bytes();
        expected.extend_from_slice(&bytes);
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(request.body() == &expected, "{} bytes, not {}", request.body().len(), expected.len());
        assert_eq!(header(request, "content-length").unwrap_or("none").parse().ok(), Some(expected.len()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_compressed_on_request() {
    let text = "the same again ".repeat(500);
    let body = |template| Body::Text(template, BodyKind::Text);
    let gzip = |step, body| Request { gzip: true, ..post(step, body) };
    let requests = vec![gzip(0, body(Template::text(text.as_str()))), gzip(1, body(with_hole(&text)))];
    let asked = sent(requests, |_| ()).await;
    for (request, expected) in asked.iter().zip([text.clone(), format!("{text}run")]) {
        assert_eq!(header(request, "content-encoding"), Some("gzip"));
        assert!(request.body().len() < 300, "{}", request.body().len());
        let mut read = String::new();
        flate2::read::GzDecoder::new(&request.body()[..]).read_to_string(&mut read).unwrap();
        assert_eq!(read, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_may_go_out_without_credentials() {
    let requests = || vec![get(0, "/"), Request { without_auth: true, ..get(1, "/") }];
    let value = Template { parts: vec![Part::Secret(Secret::new("Bearer abc"))] };
    let authorization = Header { name: "authorization".into(), value, secret: true };
    let asked = sent(requests(), |plan| plan.http.headers.push(authorization.clone())).await;
    let told: Vec<_> = asked.iter().map(|request| header(request, "authorization")).collect();
    assert_eq!(told, [Some("Bearer abc"), None]);
    let mut own = requests();
    own[1].headers.push(Header { value: Template::text("Own"), ..authorization.clone() });
    let asked = sent(own, |plan| plan.http.headers.push(authorization.clone())).await;
    assert_eq!(header(&asked[1], "authorization"), Some("Own"), "what the step itself says stays");

    // Signatures differ with the second they are made in, so one version is enough.
    let (transport, asked) = server();
    let mut plan = once(requests());
    plan.http.network.auth = Some(Auth::Aws(AwsSigning {
        region: "eu-central-1".into(),
        service: "shop".into(),
        credentials: AwsCredentials {
            access_key_id: Secret::new("id"),
            secret_access_key: Secret::new("key"),
            session_token: None,
        },
    }));
    simulate(plan, transport).await;
    let signed = |request: &http::Request<Bytes>| header(request, "authorization").is_some();
    let signed: Vec<_> = asked.lock().unwrap().iter().map(signed).collect();
    assert_eq!(signed, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_step_has_its_own_time() {
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        let (transport, _) = server();
        // Answers after 30, 300 and 3000 ms: the plan's second is too short for one, its own tenth for the other.
        let shorter = Request { timeout: Some(seconds(0.1)), ..get(0, "/300") };
        let longer = Request { timeout: Some(seconds(9.0)), ..get(1, "/3000") };
        let usual = get(2, "/30");
        let late = get(3, "/3000");
        let mut plan = RunPlan {
            load: Load { model: open(40.0, 2.0), warmup: Duration::ZERO, grace: seconds(10.0) },
            ..once(vec![shorter, longer, usual, late])
        };
        plan.http.version = version;
        plan.http.timeout = seconds(1.0);
        let alone = |action| Scenario {
            name: "main".into(),
            weight: 1,
            actions: vec![action],
            ..Scenario::default()
        };
        plan.scenarios = plan.scenarios.remove(0).actions.into_iter().map(alone).collect();
        let measured = simulate(plan, transport).await;
        let of = |step| {
            let count = |outcome| measured.requests(|key| key.step == step && key.outcome == outcome);
            (count(Outcome::Ok), count(Outcome::Timeout))
        };
        assert_eq!([0, 1, 2, 3].map(of), [(0, 20), (20, 0), (20, 0), (0, 20)], "{version:?}");
        let waited = |step| {
            let series = measured.frames.iter().flat_map(|frame| &frame.series);
            let of_step = series.filter(|(key, _)| key.step == step && key.outcome == Outcome::Timeout);
            of_step.filter_map(|(_, series)| series.timings.get(&Timing::ResponseTime)?.max()).max()
        };
        let near = |step, millis: u64| {
            let waited = waited(step).unwrap() / 1_000_000;
            assert!((millis..millis + 5).contains(&waited), "{version:?}: {waited} ms");
        };
        near(0, 100);
        near(3, 1000);
        let message = measured.message(Outcome::Timeout).unwrap();
        assert_eq!(message, "no whole answer within 100ms");
    }
}
