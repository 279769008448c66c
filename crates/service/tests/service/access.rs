//! Who may ask what, and what is refused before anybody is asked who they are.

use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_history::{Ceilings, History, KeptToken, Scope};
use plimsoll_service::{
    Access, AccessError, Auth, Limits, Patience, Proxy, ServiceError, Tls, routes, token_hash,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scene::{DEADLINE, Scene, record};

fn limits() -> Limits {
    Limits { requests: 1e6, ..Limits::default() }
}

pub(crate) fn with_tokens() -> Access {
    Access { auth: Auth::Tokens, limits: limits(), ..Access::default() }
}

/// Makes a token, as the command line does.
pub(crate) async fn token(history: &History, id: &str, scope: Scope) -> String {
    history.keep_token(&kept(id, scope)).await.unwrap();
    secret(id)
}

/// What is kept of the token with this id.
pub(crate) fn kept(id: &str, scope: Scope) -> KeptToken {
    KeptToken {
        id: id.to_owned(),
        name: format!("{id} <b>"),
        hash: token_hash(&secret(id)),
        scope,
        ceilings: Ceilings::default(),
        made_nanos: 0,
        expires_nanos: None,
        revoked_nanos: None,
    }
}

fn secret(id: &str) -> String {
    format!("plimsoll_{id}_{}", "5".repeat(64))
}

async fn expired(history: &History, id: &str, scope: Scope) -> String {
    history.keep_token(&KeptToken { expires_nanos: Some(1), ..kept(id, scope) }).await.unwrap();
    secret(id)
}

/// A path with its holes filled by what is not there.
fn filled(path: &str) -> String {
    let fill = |part: &str| match part {
        "{number}" => "1".to_owned(),
        part if part.starts_with('{') => "none".to_owned(),
        part => part.to_owned(),
    };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_answers_only_those_who_may_ask() {
    let scene = Scene::guarded(with_tokens()).await;
    let of = |scope: Scope| token(&scene.history, scope.label(), scope);
    let good = [of(Scope::Read).await, of(Scope::Run).await, of(Scope::Admin).await];
    let expired = expired(&scene.history, "expired", Scope::Admin).await;
    let revoked = token(&scene.history, "revoked", Scope::Admin).await;
    scene.history.revoke_token("revoked", 1).await.unwrap();
    let wrong = good[2].replace('5', "6");
    let http =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();

    let routes = routes();
    assert!(routes.len() > 20, "{routes:?}");
    for (method, path, scope) in routes {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{}", scene.url, filled(path));
        let ask = async |authorization: Option<String>| {
            let mut request = http.request(method.clone(), &url);
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            request.send().await.unwrap()
        };
        let (is_api, name) = (path.starts_with("/api/"), format!("{method} {path}"));
        let bearer = |token: &str| Some(format!("Bearer {token}"));
        for (who, authorization) in [
            ("nobody", None),
            ("wrong", bearer(&wrong)),
            ("unknown", bearer("plimsoll_none_x")),
            ("no token", bearer("x")),
            ("empty", Some("Bearer ".to_owned())),
            ("another scheme", Some(format!("Basic {}", good[2]))),
            ("expired", bearer(&expired)),
            ("revoked", bearer(&revoked)),
        ] {
            let answer = ask(authorization).await;
            let status = answer.status();
            if scope.is_none() {
                let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
                // The log-in itself says that there is no good token in the form.
                assert!(!refused.contains(&status) || name == "POST /login", "{name}, {who}: {status}");
            } else if is_api || path == "/metrics" {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}, {who}");
                assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
                let told: Value = answer.json().await.unwrap();
                assert_eq!(told["type"], "urn:plimsoll:problem:unauthenticated", "{name}, {who}");
            } else {
                assert_eq!(status, StatusCode::SEE_OTHER, "{name}, {who}");
                assert_eq!(answer.headers()["location"], "/login");
            }
        }
        for (has, token) in Scope::ALL.into_iter().zip(&good) {
            let status = ask(bearer(token)).await.status();
            let may = scope.is_none_or(|needed| has >= needed);
            let refused =
                [StatusCode::UNAUTHORIZED, StatusCode::SEE_OTHER].contains(&status) && scope.is_some();
            assert!(!refused, "{name}, {has:?}: {status}");
            assert_eq!(status == StatusCode::FORBIDDEN, !may, "{name}, {has:?}: {status}");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_is_good_for_nothing_from_then_on() {
    let scene = Scene::guarded(with_tokens()).await;
    let token = token(&scene.history, "a", Scope::Read).await;
    let ask = async || {
        let request = scene.http.get(format!("{}/api/v1/me", scene.url)).bearer_auth(&token);
        request.send().await.unwrap()
    };
    let me: Value = ask().await.json().await.unwrap();
    assert_eq!(
        (&me["name"], &me["scope"], &me["known_by"]),
        (&"a <b>".into(), &"read".into(), &"token".into())
    );
    scene.history.revoke_token("a", 1).await.unwrap();
    assert_eq!(ask().await.status(), 401);
    scene.end().await;
}

#[tokio::test]
async fn a_browser_logs_in_with_a_token_and_out_again() {
    let scene = Scene::guarded(with_tokens()).await;
    let token = token(&scene.history, "a", Scope::Read).await;
    let http =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let post = |path: &str, body: String| {
        let request = http.post(format!("{}{path}", scene.url)).header("origin", &scene.url);
        request.header("content-type", "application/x-www-form-urlencoded").body(body).send()
    };
    let refused = post("/login", "token=plimsoll_a_<script>".to_owned()).await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().get("set-cookie").is_none());
    let page = refused.text().await.unwrap();
    assert!(page.contains("the token is not known here") && !page.contains("<script"), "{page}");

    let answer = post("/login", format!("token={token}")).await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/".parse().unwrap())
    );
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let get = |path: &str| http.get(format!("{}{path}", scene.url)).header("cookie", &cookie).send();
    assert_eq!(get("/").await.unwrap().status(), 200);
    assert_eq!(get("/api/v1/me").await.unwrap().status(), 200);
    let page = get("/login").await.unwrap().text().await.unwrap();
    assert!(page.contains("a &lt;b&gt;") && !page.contains("<b>"), "{page}");
    let out = post("/logout", String::new()).await.unwrap();
    assert!(out.headers()["set-cookie"].to_str().unwrap().starts_with("plimsoll_token=; Path=/; Max-Age=0"));

    // A link of another site comes without the cookie: the browser is told to ask again by itself.
    let link = http.get(format!("{}/", scene.url)).header("sec-fetch-site", "cross-site");
    let answer = link.send().await.unwrap();
    assert_eq!((answer.status(), &answer.headers()["refresh"]), (StatusCode::OK, &"0".parse().unwrap()));
    assert!(answer.text().await.unwrap().len() < 20, "nothing of a run is in it");
    scene.end().await;
}

#[tokio::test]
async fn a_proxy_is_believed_where_it_is_expected_and_nowhere_else() {
    let proxy = |from: &str| {
        let header = "x-forwarded-user".parse().unwrap();
        let proxy = Proxy { header, from: vec![from.parse().unwrap()], scope: Scope::Run };
        Access { auth: Auth::Proxy(proxy), limits: limits(), ..Access::default() }
    };
    let scene = Scene::guarded(proxy("127.0.0.0/8")).await;
    let ask = async |scene: &Scene, names: &[&str]| {
        let mut request = scene.http.get(format!("{}/api/v1/me", scene.url));
        for name in names {
            request = request.header("x-forwarded-user", *name);
        }
        request.send().await.unwrap()
    };
    let me: Value = ask(&scene, &["anna"]).await.json().await.unwrap();
    assert_eq!(
        (&me["name"], &me["scope"], &me["known_by"]),
        (&"anna".into(), &"run".into(), &"proxy".into())
    );
    for names in [&[][..], &[""], &["anna", "root"]] {
        assert_eq!(ask(&scene, names).await.status(), 401, "{names:?}");
    }
    let token = token(&scene.history, "a", Scope::Admin).await;
    let with_token = scene.http.get(format!("{}/api/v1/audit", scene.url)).bearer_auth(token);
    assert_eq!(with_token.send().await.unwrap().status(), 200, "programs use tokens beside it");
    scene.end().await;

    let scene = Scene::guarded(proxy("10.0.0.0/8")).await;
    assert_eq!(ask(&scene, &["anna"]).await.status(), 401);
    scene.end().await;
}

#[tokio::test]
async fn what_was_deleted_and_by_whom_stays_known() {
    let scene = Scene::guarded(with_tokens()).await;
    record(&scene.history, "0198-past", 10).await;
    let (admin, run) =
        (token(&scene.history, "a", Scope::Admin).await, token(&scene.history, "r", Scope::Run).await);
    let delete = async |id: &str, token: &str| {
        let url = format!("{}/api/v1/runs/{id}", scene.url);
        scene.http.delete(url).bearer_auth(token).send().await.unwrap().status()
    };
    assert_eq!(delete("0198-past", &run).await, 403);
    assert_eq!(delete("0198", &admin).await, 404, "the start of an id may mean another run tomorrow");
    assert_eq!(delete("latest", &admin).await, 404);
    assert_eq!(delete("0198-past", &admin).await, 204);
    assert_eq!(delete("0198-past", &admin).await, 404);
    let audit =
        scene.http.get(format!("{}/api/v1/audit", scene.url)).bearer_auth(&admin).send().await.unwrap();
    let audit: Value = audit.json().await.unwrap();
    assert_eq!(audit["entries"].as_array().unwrap().len(), 1, "{audit:#}");
    let entry = &audit["entries"][0];
    assert_eq!((&entry["who"], &entry["known_by"]), (&"a <b>".into(), &"token".into()));
    assert_eq!((&entry["action"], &entry["what"]), (&"run.delete".into(), &"0198-past".into()));
    scene.end().await;
}

#[tokio::test]
async fn tokens_are_told_without_what_would_let_anybody_in() {
    let scene = Scene::guarded(with_tokens()).await;
    let admin = token(&scene.history, "a", Scope::Admin).await;
    let expired = expired(&scene.history, "e", Scope::Run).await;
    token(&scene.history, "r", Scope::Read).await;
    scene.history.revoke_token("r", 2_000_000_000).await.unwrap();
    let asked = scene.http.get(format!("{}/api/v1/tokens", scene.url)).bearer_auth(&admin);
    let text = asked.send().await.unwrap().text().await.unwrap();
    for token in [&admin, &expired] {
        let secret = token.rsplit('_').next().unwrap();
        let hash: String = token_hash(token).iter().map(|byte| format!("{byte:02x}")).collect();
        for part in [secret, &hash, "hash"] {
            assert!(!text.contains(part), "{text}");
        }
    }
    let told: Value = serde_json::from_str(&text).unwrap();
    let tokens = told["tokens"].as_array().unwrap();
    let all = |key: &str| tokens.iter().map(|token| token[key].clone()).collect::<Vec<_>>();
    assert_eq!(all("id"), ["a", "e", "r"]);
    assert_eq!(all("name"), ["a <b>", "e <b>", "r <b>"]);
    assert_eq!(all("scope"), ["admin", "run", "read"]);
    assert_eq!(all("standing"), ["good", "expired", "revoked"]);
    assert_eq!(all("revoked"), [Value::Null, Value::Null, "1970-01-01T00:00:02Z".into()]);
    scene.end().await;
}

#[tokio::test]
async fn beyond_loopback_nothing_starts_that_asks_nobody() {
    let scene = Scene::new().await;
    let listen: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let config = |access| plimsoll_service::Config {
        listen,
        history: scene.history.clone(),
        promises: plimsoll_service::Promises::default(),
        teller: None,
        plans: None,
        access,
    };
    for (access, refused) in
        [(Access::default(), AccessError::NoAuth { listen }), (with_tokens(), AccessError::NoTls { listen })]
    {
        let error = plimsoll_service::Service::bind(config(access)).await.unwrap_err();
        assert!(matches!(error, ServiceError::Access(found) if found == refused));
    }
    scene.end().await;
}

#[tokio::test]
async fn over_tls_the_cookie_and_the_way_are_for_tls_alone() {
    let folder = tempfile::tempdir().unwrap();
    let authority = plimsoll_testkit::Authority::new().unwrap();
    let (cert, key) = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("cert.pem"), &cert).unwrap();
    std::fs::write(path("key.pem"), &key).unwrap();
    let tls = Tls::Files { cert: path("cert.pem"), key: path("key.pem") };
    let scene = Scene::guarded(Access { tls, ..with_tokens() }).await;
    assert!(scene.url.starts_with("https://"));
    let token = token(&scene.history, "a", Scope::Read).await;
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let me = http.get(format!("{}/api/v1/me", scene.url)).bearer_auth(&token).send().await.unwrap();
    assert_eq!(me.status(), 200);
    assert!(me.headers().contains_key("strict-transport-security"));
    let form =
        http.post(format!("{}/login", scene.url)).header("content-type", "application/x-www-form-urlencoded");
    let answer = form.body(format!("token={token}")).send().await.unwrap();
    assert!(answer.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"));
    // Who talks to it without TLS, or says nothing, disturbs nobody.
    let address = scene.url.trim_start_matches("https://");
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let _silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(http.get(format!("{}/healthz", scene.url)).send().await.unwrap().status(), 200);
    scene.end().await;

    // What is no certificate is told before anybody is answered.
    std::fs::write(path("key.pem"), "no key").unwrap();
    let history = History::open(path("other.db")).await.unwrap();
    let tls = Tls::Files { cert: path("cert.pem"), key: path("key.pem") };
    let config = plimsoll_service::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        history,
        promises: plimsoll_service::Promises::default(),
        teller: None,
        plans: None,
        access: Access { tls, ..Access::default() },
    };
    let error = plimsoll_service::Service::bind(config).await.unwrap_err().to_string();
    assert!(error.contains("key.pem") && error.contains("there is no key in it"), "{error}");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 10).await;
    let url = format!("{}/api/v1/runs/0198-past", scene.url);
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = scene.http.delete(&url).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{name}: {value}");
        assert_eq!(answer.json::<Value>().await.unwrap()["type"], "urn:plimsoll:problem:cross-site");
    }
    for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let answer = scene.http.delete(&url).header("content-type", form).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 415, "{form}");
    }
    assert_eq!(scene.get("/api/v1/runs/0198-past").await.status(), 200, "it is still there");
    assert_eq!(scene.http.delete(&url).header("origin", &scene.url).send().await.unwrap().status(), 204);
    scene.end().await;
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let limits = Limits { requests: 5.0, ..Limits::default() };
    let scene = Scene::guarded(Access { limits, ..Access::default() }).await;
    let mut refused = None;
    for _ in 0..200 {
        let answer = scene.get("/healthz").await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("two hundred at once are too many");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.json::<Value>().await.unwrap()["type"], "urn:plimsoll:problem:too-many-requests");
    scene.end().await;
}

#[tokio::test]
async fn bodies_and_heads_have_bounds() {
    let limits = Limits { body: 1000, ..limits() };
    let scene = Scene::guarded(Access { limits, ..Access::default() }).await;
    let url = format!("{}/api/v1/runs/none", scene.url);
    let json =
        |body: reqwest::Body| scene.http.delete(&url).header("content-type", "application/json").body(body);
    assert_eq!(json("x".repeat(1001).into()).send().await.unwrap().status(), 413);
    let pieces = futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>("x".repeat(100))));
    assert_eq!(json(reqwest::Body::wrap_stream(pieces)).send().await.unwrap().status(), 413);
    assert_eq!(json("x".repeat(1000).into()).send().await.unwrap().status(), 404);
    for request in [
        format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "a: b\r\n".repeat(100)),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\na: {}\r\n\r\n", "b".repeat(64 << 10)),
        format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "b".repeat(64 << 10)),
    ] {
        let answer = raw(&scene, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 414"), "{answer:?}");
    }
    for path in [
        "/../../etc/passwd",
        "/assets/../../Cargo.toml",
        "/assets/%2e%2e%2f%2e%2e%2fCargo.toml",
        "//etc/passwd",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = raw(&scene, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    scene.end().await;
}

#[tokio::test]
async fn who_is_too_slow_is_not_waited_for() {
    let millis = Duration::from_millis;
    let patience = Patience { head: millis(200), body: millis(200), stall: millis(200) };
    let scene = Scene::guarded(Access { limits: Limits { patience, ..limits() }, ..Access::default() }).await;
    // Half a head, nothing at all, and a body that does not come.
    for half in ["GET / HTTP/1.1\r\nhost: local", ""] {
        let answer = raw(&scene, half.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer:?}");
    }
    let request = "DELETE /api/v1/runs/none HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                   content-length: 10\r\n\r\nhalf";
    let answer = raw(&scene, request.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("urn:plimsoll:problem:too-slow"),
        "{answer:?}"
    );
    assert_eq!(scene.get("/healthz").await.status(), 200);
    scene.end().await;
}

#[tokio::test]
async fn listeners_are_bounded_and_make_room_when_they_go() {
    let scene =
        Scene::guarded(Access { limits: Limits { listeners: 3, ..limits() }, ..Access::default() }).await;
    let mut listeners = Vec::new();
    for _ in 0..3 {
        let answer = scene.get("/api/v1/events").await;
        assert_eq!(answer.status(), 200);
        listeners.push(answer);
    }
    for _ in 0..200 {
        assert_eq!(scene.get("/api/v1/events").await.status(), 503);
    }
    assert_eq!(scene.get("/api/v1/runs").await.status(), 200, "others are answered");
    listeners.pop();
    let started = std::time::Instant::now();
    while scene.get("/api/v1/events").await.status() != 200 {
        assert!(started.elapsed() < DEADLINE);
    }
    scene.end().await;
}

/// Sends bytes and gives what comes until the connection ends.
async fn raw(scene: &Scene, bytes: &[u8]) -> String {
    let address = scene.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The service may have ended the connection before it was told all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}
