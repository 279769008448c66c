//! Credentials that are made for each request, and bodies that come coded.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use plimsoll_driver::{Driver, Http1, NetworkTransport, Transport};
use plimsoll_measure::{Outcome, Phase};
use plimsoll_run::{Action, Auth, AwsCredentials, AwsSigning, Coding, LoadModel, OAuth2, RunPlan, Secret};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{Measured, closed, config, get, open, plan, until_finished};

/// Answers a head with status, headers and body.
type Answers = Arc<dyn Fn(&str) -> (u16, String, Vec<u8>) + Send + Sync>;

/// A server of one's own, on HTTP/1.1.
async fn server(answers: Answers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&answers)));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, answers: Answers) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let mut text = String::from_utf8(head).unwrap();
        let length = field(&text, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        text.push_str(&String::from_utf8_lossy(&body));
        let (status, headers, body) = answers(&text);
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
            return;
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn step(path: &str) -> Vec<Action> {
    vec![Action::Request(Box::new(get(0, path)))]
}

async fn run(plan: RunPlan) -> Measured {
    let transport = Transport::Network(NetworkTransport::new(&plan).await.unwrap());
    Measured::run(&config(plan, transport, Http1::default())).await
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a target with digest authentication saw: counts by nonce, and how often it asked.
#[derive(Default)]
struct Asked {
    nonces: Vec<u32>,
    refused: u32,
}

/// Every nonce holds for `life` requests, whose counts go up one by one.
fn digest_target(life: u32, password: &'static str) -> (Answers, Arc<Mutex<Asked>>) {
    let asked: Arc<Mutex<Asked>> = Arc::default();
    let kept = Arc::clone(&asked);
    let answers: Answers = Arc::new(move |head: &str| {
        let mut asked = kept.lock().unwrap();
        let authorization = field(head, "authorization").unwrap_or_default();
        let parameter = |name: &str| {
            let found =
                authorization.split([',', ' ']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_default().trim_matches('"').to_owned()
        };
        let (nonce, count, ours) = (parameter("nonce"), parameter("nc"), parameter("cnonce"));
        let uri = head.split(' ').nth(1).unwrap();
        let a1 = sha256(&format!("ann:shop:{password}"));
        let expected = sha256(&format!("{a1}:{nonce}:{count}:{ours}:auth:{}", sha256(&format!("GET:{uri}"))));
        let known = nonce.parse::<usize>().ok().filter(|nonce| *nonce < asked.nonces.len());
        if let Some(known) = known.filter(|_| parameter("response") == expected && parameter("uri") == uri) {
            assert_eq!(
                u32::from_str_radix(&count, 16).unwrap(),
                asked.nonces[known] + 1,
                "the count goes up"
            );
            asked.nonces[known] += 1;
            if asked.nonces[known] <= life {
                return (200, String::new(), b"welcome".to_vec());
            }
        }
        asked.refused += 1;
        asked.nonces.push(0);
        let nonce = asked.nonces.len() - 1;
        let header = format!(
            "www-authenticate: Digest realm=\"shop\", qop=\"auth\", algorithm=SHA-256, nonce=\"{nonce}\", opaque=\"o\"\r\n"
        );
        (401, header, Vec::new())
    });
    (answers, asked)
}

fn digest(address: SocketAddr, model: LoadModel, password: &str) -> RunPlan {
    let mut plan = plan(&format!("http://{address}"), model, step("/account?page=1"));
    let (username, password) = (Secret::new("ann"), Secret::new(password));
    plan.http.network.auth = Some(Auth::Digest { username, password });
    plan
}

#[tokio::test]
async fn a_challenge_is_answered_and_counted_as_a_hop() {
    let (answers, asked) = digest_target(5, "open sesame");
    let address = server(answers).await;
    let measured = run(digest(address, closed(2, 0.3), "open sesame")).await;
    let (ok, hops) = (measured.outcome(Outcome::Ok), measured.outcome(Outcome::Redirect));
    assert!(ok > 10, "{:?}", measured.outcomes());
    assert_eq!(measured.outcomes().len(), 2, "{:?}", measured.outcomes());
    let asked = asked.lock().unwrap();
    assert_eq!(u64::from(asked.refused), hops, "each challenge is a request of its step");
    // A nonce serves five requests, and a user has one after the other.
    assert!(ok >= 5 * (hops - 2) && ok <= 5 * hops, "{ok} answers after {hops} challenges");
}

#[tokio::test]
async fn every_iteration_of_the_open_model_is_asked_anew() {
    let (answers, _) = digest_target(5, "open sesame");
    let address = server(answers).await;
    let measured = run(digest(address, open(20.0, 0.5), "open sesame")).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 10), (Outcome::Redirect, 10)]);
}

#[tokio::test]
async fn a_wrong_password_is_a_status_and_ends_there() {
    let (answers, asked) = digest_target(5, "open sesame");
    let address = server(answers).await;
    let measured = run(digest(address, open(10.0, 0.3), "wrong")).await;
    assert_eq!(measured.outcomes(), [(Outcome::Redirect, 3), (Outcome::Status, 3)]);
    assert_eq!(asked.lock().unwrap().refused, 6);
    assert_eq!(measured.phase(Phase::Measured), 6);
}

/// A server of tokens that are good for two seconds, and of what they open.
fn token_server(refuses_after: u32) -> (Answers, Arc<Mutex<Vec<String>>>) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let granted = Mutex::new(0);
    let answers: Answers = Arc::new(move |head: &str| {
        if head.starts_with("POST /token") {
            let mut granted = granted.lock().unwrap();
            assert!(head.contains("grant_type=client_credentials&scope=read+write&audience=shop"), "{head}");
            if field(head, "authorization") != Some("Basic aWQ6cyUyRjE=") {
                return (401, String::new(), br#"{"error":"invalid_client"}"#.to_vec());
            }
            if *granted >= refuses_after {
                return (503, String::new(), Vec::new());
            }
            *granted += 1;
            let body = format!(r#"{{"access_token":"t{granted}","token_type":"Bearer","expires_in":2}}"#);
            return (200, String::new(), body.into_bytes());
        }
        let token = field(head, "authorization").unwrap_or("none").to_owned();
        let mut kept = kept.lock().unwrap();
        if kept.last() != Some(&token) {
            kept.push(token);
        }
        (200, String::new(), Vec::new())
    });
    (answers, seen)
}

fn oauth2(address: SocketAddr, secret: &str, seconds: f64) -> RunPlan {
    let mut plan = plan(&format!("http://{address}"), open(20.0, seconds), step("/"));
    plan.http.network.auth = Some(Auth::OAuth2(OAuth2 {
        token_url: format!("http://{address}/token"),
        client_id: Secret::new("id"),
        client_secret: Secret::new(secret),
        scope: Some("read write".into()),
        audience: Some("shop".into()),
        in_body: false,
    }));
    plan
}

#[tokio::test]
async fn a_token_is_fetched_before_the_load_and_renewed_beside_it() {
    let (answers, seen) = token_server(u32::MAX);
    let address = server(answers).await;
    let measured = run(oauth2(address, "s/1", 2.5)).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 50)]);
    // Renewed after 1.6 s. Two workers: around that moment one may still send what the other no longer does.
    let seen = seen.lock().unwrap();
    assert_eq!((seen.first().unwrap().as_str(), seen.last().unwrap().as_str()), ("Bearer t1", "Bearer t2"));
}

#[tokio::test]
async fn no_token_means_no_load_and_one_that_is_not_renewed_is_told() {
    let (answers, seen) = token_server(1);
    let address = server(answers).await;
    let error = NetworkTransport::new(&oauth2(address, "wrong", 1.0)).await.unwrap_err();
    let expected = format!("auth.oauth2: no token from http://{address}/token: status 401, `invalid_client`");
    assert_eq!(error.to_string(), expected);

    let plan = oauth2(address, "s/1", 2.5);
    let transport = Transport::Network(NetworkTransport::new(&plan).await.unwrap());
    let mut driver = Driver::start(&config(plan, transport, Http1::default())).unwrap();
    let measured = Measured::of(until_finished(&mut driver).await);
    let trouble = driver.trouble().unwrap();
    driver.join();
    assert_eq!(trouble, "the token of `auth.oauth2` could not be renewed: status 503");
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 50)], "the target decides whether the old one holds");
    assert_eq!(*seen.lock().unwrap(), ["Bearer t1"]);
}

#[tokio::test]
async fn requests_to_the_target_are_signed_and_no_others() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let answers: Answers = Arc::new(move |head: &str| {
        kept.lock().unwrap().push(head.to_owned());
        (200, String::new(), Vec::new())
    });
    let (target, other) = (server(Arc::clone(&answers)).await, server(answers).await);
    let mut actions = step("/?b=2&a=1");
    actions.push(Action::Request(Box::new(get(1, &format!("http://{other}/elsewhere")))));
    let mut plan = plan(&format!("http://{target}"), open(10.0, 0.1), actions);
    let (access_key_id, secret_access_key) = (Secret::new("AKID"), Secret::new("key"));
    let credentials = AwsCredentials { access_key_id, secret_access_key, session_token: None };
    let (region, service) = ("eu-central-1".into(), "execute-api".into());
    plan.http.network.auth = Some(Auth::Aws(AwsSigning { region, service, credentials }));
    assert_eq!(run(plan).await.outcomes(), [(Outcome::Ok, 2)]);
    for head in seen.lock().unwrap().iter() {
        let authorization = field(head, "authorization");
        if head.starts_with("GET /elsewhere") {
            assert_eq!(authorization, None);
        } else {
            assert!(authorization.unwrap().starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{head}");
            assert!(field(head, "x-amz-date").is_some());
        }
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bodies_are_decoded_for_who_looks_at_them_and_counted_as_they_came() {
    let hello = b"hello ".repeat(2000);
    let bodies =
        [("/hello", gzip(&hello)), ("/bomb", gzip(&vec![0; 200_000])), ("/broken", b"no gzip".to_vec())];
    let wire = bodies.iter().map(|(_, body)| body.len()).max().unwrap();
    let answers: Answers = Arc::new(move |head: &str| {
        let body =
            bodies.iter().find(|(path, _)| head.starts_with(&format!("GET {path} "))).unwrap().1.clone();
        (200, "content-encoding: gzip\r\n".to_owned(), body)
    });
    let address = server(answers).await;
    for (path, reads, decodes, outcome) in [
        ("/hello", true, true, Outcome::Ok),
        ("/hello", true, false, Outcome::Expectation),
        ("/bomb", true, true, Outcome::TooLarge),
        ("/bomb", false, true, Outcome::Ok),
        ("/broken", true, true, Outcome::Protocol),
        ("/broken", false, true, Outcome::Ok),
    ] {
        let mut plan = plan(&format!("http://{address}"), open(10.0, 0.2), step(path));
        plan.http.max_body = 100_000;
        if decodes {
            plan.http.network.compression = vec![Coding::Gzip];
        }
        if let Action::Request(request) = &mut plan.scenarios[0].actions[0]
            && reads
        {
            request.expect.body_contains = vec!["hello hello".into()];
        }
        let measured = run(plan).await;
        assert_eq!(measured.outcomes(), [(outcome, 2)], "{path} {reads} {decodes}");
        let received: u64 = measured
            .frames
            .iter()
            .flat_map(|frame| frame.series.values())
            .map(|series| series.received_bytes)
            .sum();
        assert!(received <= 2 * (wire as u64 + 100), "{path}: {received} bytes");
    }
}
