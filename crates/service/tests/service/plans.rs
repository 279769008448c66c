//! Plans are looked at, written and deleted over HTTP.

use std::path::Path;

use plimsoll_history::{Ceilings as TokenCeilings, KeptToken, Scope};
use plimsoll_service::{
    Access, Auth, Ceilings, Job, Limits, Missed, Overlap, Plans, Reach, ReadPlan, Schedule, When, token_hash,
};
use plimsoll_spec::{Inputs, Source, parse};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::scene::Scene;

const PLAN: &str = "name: shop\ntarget: http://127.0.0.1:1\nload: { stages: [{ hold: 10/s, for: 5s }] }\n\
                    scenarios: [{ name: one, steps: [{ get: / }] }]\n";

fn plans(folder: &Path, is_editable: bool) -> Plans {
    let read = |name: &str, text: String, folder: &Path, reach: Reach| {
        let files = |file: &str| match reach {
            Reach::Anywhere => std::fs::read(folder.join(file)).map_err(|error| error.to_string()),
            Reach::Folder => Err(format!("{file} is not looked at")),
        };
        parse(&Source { name: name.to_owned(), text }, &Inputs::new(&|_| None, &files))
    };
    let schedule = Schedule {
        name: "nightly".to_owned(),
        job: Job::Plan("used".to_owned()),
        keep: Schedule::KEPT,
        when: When::OnDemand,
        overlap: Overlap::Skip,
        missed: Missed::Skip,
    };
    Plans {
        folder: folder.to_owned(),
        read: ReadPlan::new(read),
        schedules: vec![schedule],
        reports: None,
        ceilings: Ceilings::default(),
        targets: plimsoll_run::Targets::default(),
        program: "/bin/false".into(),
        is_editable,
    }
}

async fn scene(is_editable: bool) -> Scene {
    let limits = Limits { requests: 1e6, ..Limits::default() };
    Scene::starting_with(Access { limits, ..Access::default() }, |folder| {
        let folder = folder.join("plans");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("used.yaml"), PLAN).unwrap();
        plans(&folder, is_editable)
    })
    .await
}

struct Told {
    status: StatusCode,
    etag: Option<String>,
    body: Value,
}

async fn send(request: RequestBuilder) -> Told {
    let answer = request.send().await.unwrap();
    let (status, etag) = (answer.status(), answer.headers().get("etag").cloned());
    let etag = etag.map(|etag| etag.to_str().unwrap().to_owned());
    Told { status, etag, body: answer.json().await.unwrap_or_default() }
}

fn ask(scene: &Scene, method: Method, plan: &str) -> RequestBuilder {
    scene.http.request(method, format!("{}/api/v1/plans/{plan}", scene.url))
}

fn put(scene: &Scene, plan: &str, text: &str) -> RequestBuilder {
    ask(scene, Method::PUT, plan).header("content-type", "text/yaml").body(text.to_owned())
}

#[tokio::test]
async fn two_editors_do_not_overwrite_each_other() {
    let scene = scene(true).await;
    let file = scene.path("plans/shop.yaml");
    let made = send(put(&scene, "shop", PLAN).header("if-none-match", "*")).await;
    assert_eq!(made.status, StatusCode::OK, "{:#}", made.body);
    assert_eq!((&made.body["text"], &made.body["errors"]), (&PLAN.into(), &json!([])));
    assert_eq!(made.body["facts"]["peak_rate"], 10.0);
    let first = made.etag.unwrap();
    assert_eq!(made.body["etag"], first.as_str());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), PLAN);
    // It is known at once, not only at the next look.
    let listed = scene.json("/api/v1/plans").await;
    assert!(listed["plans"].as_array().unwrap().iter().any(|plan| plan["name"] == "shop"), "{listed:#}");

    let (anna, ben) = (PLAN.replace("10/s", "20/s"), PLAN.replace("10/s", "30/s"));
    let annas = send(put(&scene, "shop", &anna).header("if-match", &first)).await;
    assert_eq!((annas.status, &annas.body["facts"]["peak_rate"]), (StatusCode::OK, &20.0.into()));
    for (request, status, word) in [
        (put(&scene, "shop", &ben).header("if-match", &first), 412, "changed"),
        (put(&scene, "shop", &ben).header("if-match", format!("W/{first}")), 412, "changed"),
        (put(&scene, "shop", &ben).header("if-none-match", "*"), 412, "changed"),
        (put(&scene, "shop", &ben), 428, "unseen"),
        (put(&scene, "none", &ben).header("if-match", &first), 404, "not-found"),
        (ask(&scene, Method::DELETE, "shop").header("if-match", &first), 412, "changed"),
        (ask(&scene, Method::DELETE, "none"), 404, "not-found"),
        (ask(&scene, Method::DELETE, "used"), 409, "conflict"),
    ] {
        let told = send(request).await;
        assert_eq!(told.status.as_u16(), status, "{:#}", told.body);
        assert_eq!(told.body["type"], format!("urn:plimsoll:problem:{word}"));
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), anna);

    // Edited in the folder meanwhile, and wrongly: the text is the file's, with its mistakes.
    std::fs::write(&file, PLAN.replace("hold: 10/s", "hold: fast")).unwrap();
    let told = send(ask(&scene, Method::GET, "shop")).await;
    assert_eq!(told.body["errors"][0]["line"], 3, "{:#}", told.body);
    assert!(told.body["text"].as_str().unwrap().contains("hold: fast"));
    assert_eq!((&told.body["last_right"], &told.body["facts"]["peak_rate"]), (&anna.into(), &20.0.into()));
    let told = send(put(&scene, "shop", &ben).header("if-match", told.etag.unwrap())).await;
    assert_eq!((told.status, &told.body["last_right"]), (StatusCode::OK, &Value::Null), "{:#}", told.body);

    let deleted = send(ask(&scene, Method::DELETE, "shop")).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert!(!file.exists());
    assert_eq!(send(ask(&scene, Method::GET, "shop")).await.status, StatusCode::NOT_FOUND);
    let audit = scene.json("/api/v1/audit").await;
    let actions: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert!(actions.contains(&&"plan.put".into()) && actions[0] == "plan.delete", "{audit:#}");
    scene.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_not_written_and_says_where() {
    let scene = scene(true).await;
    let entries = || std::fs::read_dir(scene.path("plans")).unwrap().count();
    let anything = |request: RequestBuilder| request.header("if-match", "*");
    let wrong = send(anything(put(&scene, "used", &PLAN.replace("hold: 10/s", "hold: fast")))).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(wrong.body["errors"][0]["line"], 3, "{:#}", wrong.body);
    assert!(wrong.body["errors"][0]["column"].as_u64().is_some());
    let bomb: String = (1..40)
        .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(",")))
        .collect();
    let bomb = format!("{PLAN}a0: &a0 lol\n{bomb}");
    let deep = format!("name: {}", "[".repeat(500_000));
    let outside = format!("{PLAN}data: {{ users: {{ csv: /etc/passwd }} }}\n");
    for text in ["", "[]", "name: 1", "\u{0}", "- a\n- b", &bomb, &deep, &outside] {
        let told = send(anything(put(&scene, "used", text))).await;
        let start: String = text.chars().take(30).collect();
        assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY, "{start}: {:#}", told.body);
        assert!(!told.body.to_string().contains("root:"), "{:#}", told.body);
    }
    for (request, status) in [
        (put(&scene, "used", &"#".repeat((1 << 20) + 1)), 413),
        (put(&scene, "used", PLAN).header("if-match", "*").header("if-none-match", "*"), 400),
        (ask(&scene, Method::PUT, "used").header("content-type", "text/yaml").body(vec![0xff, 0xfe]), 400),
        (ask(&scene, Method::PUT, "used").header("content-type", "application/json").body(PLAN), 415),
        (ask(&scene, Method::PUT, "used").header("content-type", "text/plain").body(PLAN), 415),
        (put(&scene, "used.yaml", PLAN), 400),
        (put(&scene, ".hidden", PLAN), 400),
        (put(&scene, "..%2Fevil", PLAN), 400),
        // A client makes this a path above.
        (put(&scene, "%2e%2e", PLAN), 404),
        (put(&scene, "a%00b", PLAN), 400),
        (put(&scene, &"a".repeat(101), PLAN), 400),
        (put(&scene, "used", PLAN).header("origin", "http://evil.example"), 403),
        (ask(&scene, Method::GET, "..%2F..%2Fetc%2Fpasswd"), 404),
    ] {
        let told = send(request).await;
        assert_eq!(told.status.as_u16(), status, "{:#}", told.body);
    }
    assert_eq!(std::fs::read_to_string(scene.path("plans/used.yaml")).unwrap(), PLAN);
    assert_eq!(entries(), 1, "nothing is left lying about");

    let schema = scene.json("/api/v1/plan-schema").await;
    assert_eq!(schema, plimsoll_spec::schema());
    scene.end().await;
}

#[tokio::test]
async fn plans_are_changed_only_where_they_may_be() {
    let fixed = scene(false).await;
    for request in [
        put(&fixed, "new", PLAN),
        ask(&fixed, Method::DELETE, "used"),
        put(&fixed, "used", PLAN).header("if-match", "*"),
    ] {
        let told = send(request).await;
        assert_eq!(told.status, StatusCode::CONFLICT);
        assert!(told.body["detail"].as_str().unwrap().contains("edit_plans: false"), "{:#}", told.body);
    }
    fixed.end().await;

    let limits = Limits { requests: 1e6, ..Limits::default() };
    let scene = Scene::starting_with(Access { auth: Auth::Tokens, limits, ..Access::default() }, |folder| {
        plans(folder, true)
    })
    .await;
    let mut tokens = Vec::new();
    for scope in [Scope::Run, Scope::Admin] {
        let (id, secret) = (scope.label(), "5".repeat(64));
        let token = format!("plimsoll_{id}_{secret}");
        let kept = KeptToken {
            id: id.to_owned(),
            name: id.to_owned(),
            hash: token_hash(&token),
            scope,
            ceilings: TokenCeilings::default(),
            made_nanos: 0,
            expires_nanos: None,
            revoked_nanos: None,
        };
        scene.history.keep_token(&kept).await.unwrap();
        tokens.push(token);
    }
    let [run, admin] = &tokens[..] else { panic!() };
    assert_eq!(send(put(&scene, "new", PLAN).bearer_auth(run)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(send(put(&scene, "new", PLAN).bearer_auth(admin)).await.status, StatusCode::OK);
    scene.end().await;
}
