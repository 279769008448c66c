//! What schedules start beside runs, over HTTP: searches and reports.

use plimsoll_service::{Job, Missed, Month, Most, Overlap, Schedule, When};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::scene::Scene;

pub(crate) const PLAN: &str = "name: shop\ntarget: http://127.0.0.1:1\nload: { stages: [{ hold: 10/s, for: 5s }] }\n\
                    scenarios: [{ name: one, steps: [{ get: / }] }]\n";

pub(crate) fn schedule(name: &str, job: Job, keep: usize) -> Schedule {
    let (overlap, missed) = (Overlap::Skip, Missed::Skip);
    Schedule { name: name.to_owned(), job, keep, when: When::OnDemand, overlap, missed }
}

pub(crate) fn limit(plan: &str, most: Most) -> Job {
    Job::Limit { plan: plan.to_owned(), most }
}

pub(crate) fn month() -> Job {
    Job::Sla { files: Vec::new(), month: Month::Last }
}

pub(crate) async fn start(scene: &Scene, schedule: &str) -> (StatusCode, Option<String>, Value) {
    let url = format!("{}/api/v1/schedules/{schedule}/start", scene.url);
    let answer = scene.http.request(Method::POST, url).send().await.unwrap();
    let place = answer.headers().get("location").map(|place| place.to_str().unwrap().to_owned());
    (answer.status(), place, answer.json().await.unwrap_or_default())
}

/// A schedule, once it is so.
pub(crate) async fn standing(scene: &Scene, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let of_it = |told: &Value| {
        told["schedules"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned().unwrap()
    };
    of_it(&scene.json_where("/api/v1/schedules", |told| is_so(&of_it(told))).await)
}

#[tokio::test]
async fn a_search_tells_what_it_found_and_where_its_report_is() {
    let schedules = vec![schedule("weekly", limit("shop", Most::Rate(2000.0)), 50)];
    let scene = Scene::reporting(&[("shop.yaml", PLAN)], schedules, "<h1>limit</h1>").await;
    let fresh = standing(&scene, "weekly", |_| true).await;
    assert_eq!(
        (&fresh["kind"], &fresh["plan"], &fresh["most"]),
        (&"limit".into(), &"shop".into(), &"2000/s".into())
    );
    assert_eq!((&fresh["last"], &fresh["search"]), (&Value::Null, &Value::Null));
    scene.json_where("/api/v1/plans", |told| told["plans"][0]["facts"].is_object()).await;

    let (status, place, made) = start(&scene, "weekly").await;
    assert_eq!(status, StatusCode::CREATED, "{made:#}");
    let id = made["id"].as_str().unwrap();
    assert_eq!(place.unwrap(), format!("/api/v1/runs?tag=limit%3D{id}"));
    let told = standing(&scene, "weekly", |told| told["last"].is_object()).await;
    let last = &told["last"];
    assert_eq!((&last["words"], &last["search"]), (&"kept 779.1/s and missed 793.3/s".into(), &id.into()));
    let page = scene.get(last["report"].as_str().unwrap()).await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.text().await.unwrap(), "<h1>limit</h1>");
    assert!(told["notes"].to_string().contains(&format!("started search {id} by request")), "{told:#}");

    // A plan that a search is made of is not deleted.
    let url = format!("{}/api/v1/plans/shop", scene.url);
    let answer = scene.http.delete(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let audit = scene.json("/api/v1/audit").await;
    assert_eq!(audit["entries"][0]["details"], json!({ "kind": "limit", "plan": "shop" }));
    scene.end().await;
}

#[tokio::test]
async fn what_cannot_be_searched_says_why() {
    let away = PLAN.replace("127.0.0.1:1", "192.0.2.1");
    let schedules = vec![
        schedule("none", limit("nothing", Most::Rate(5.0)), 50),
        schedule("users", limit("shop", Most::Users(5)), 50),
        schedule("away", limit("away", Most::Rate(50.0)), 50),
    ];
    let scene = Scene::reporting(&[("shop.yaml", PLAN), ("away.yaml", &away)], schedules, "").await;
    scene.json_where("/api/v1/plans", |told| told["plans"][1]["facts"].is_object()).await;
    for (name, status, words) in [
        ("none", StatusCode::NOT_FOUND, "there is no plan `nothing`"),
        ("users", StatusCode::CONFLICT, "the plan `shop` offers arrivals per second: write it like `2000/s`"),
        ("away", StatusCode::FORBIDDEN, "is not among the targets that are allowed"),
        ("other", StatusCode::NOT_FOUND, "no schedule is called `other`"),
    ] {
        let (found, _, told) = start(&scene, name).await;
        assert_eq!(found, status, "{told:#}");
        assert!(told["detail"].as_str().unwrap().contains(words), "{told:#}");
    }
    scene.end().await;
}

#[tokio::test]
async fn reports_are_listed_served_and_the_oldest_deleted() {
    let capacity = Job::Capacity { plan: "storefront".to_owned(), options: vec!["--runs=5".to_owned()] };
    let schedules = vec![schedule("monthly", month(), 2), schedule("peak", capacity, 50)];
    let html = plimsoll_report::sla_month_html("2026-10", &[]);
    let scene = Scene::reporting(&[], schedules, &html).await;
    assert_eq!(scene.json("/api/v1/reports").await, json!({ "reports": [] }));
    scene.json_where("/api/v1/plans", |told| told["trouble"].is_null()).await;

    let mut made = Vec::new();
    for (count, name) in ["monthly", "peak", "monthly", "monthly"].into_iter().enumerate() {
        let (status, place, told) = start(&scene, name).await;
        assert_eq!(status, StatusCode::CREATED, "{told:#}");
        made.push(place.unwrap());
        assert!(made[count].ends_with(told["id"].as_str().unwrap()));
        standing(&scene, name, |told| told["last"]["report"] == made[count].as_str()).await;
    }
    let listed = scene.json("/api/v1/reports").await;
    let hrefs: Vec<&str> =
        listed["reports"].as_array().unwrap().iter().map(|made| made["href"].as_str().unwrap()).collect();
    assert_eq!(
        hrefs,
        [made[3].as_str(), &made[2], &made[1]],
        "two of a month are kept, and the latest is first"
    );
    assert_eq!(listed["reports"][0]["bytes"], html.len());
    assert_eq!(scene.get(&made[0]).await.status(), StatusCode::NOT_FOUND);

    let page = scene.get(&made[3]).await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.text().await.unwrap(), html);

    // One of another version is shown without its script, whatever that is.
    let place = made[3].trim_start_matches("/api/v1/");
    std::fs::write(scene.path(place), "<style>h1 {}</style><script>alert(1)</script>").unwrap();
    let page = scene.get(&made[3]).await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");

    std::fs::write(scene.path("secret.html"), "hush").unwrap();
    std::fs::write(scene.path("reports/monthly/secret.html"), "hush").unwrap();
    for path in [
        "monthly/secret.html",
        "..%2Fsecret.html",
        "monthly/..%2F..%2Fsecret.html",
        "%2e%2e/secret.html",
        "monthly%2F..%2F../secret.html",
        "monthly/%00",
        "monthly/2026-11-23T02-00-00.000Z.html",
    ] {
        let answer = scene.get(&format!("/api/v1/reports/{path}")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.text().await.unwrap().contains("hush"), "{path}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_report_that_is_not_made_leaves_nothing_and_says_why() {
    let schedules = vec![schedule("monthly", month(), 2)];
    // It ends with 1 and writes nothing.
    let scene = Scene::starting(&[], schedules).await;
    scene.json_where("/api/v1/plans", |told| told["trouble"].is_null()).await;
    let (status, _, told) = start(&scene, "monthly").await;
    assert_eq!(status, StatusCode::CREATED, "{told:#}");
    let told = standing(&scene, "monthly", |told| told["last"].is_object()).await;
    assert_eq!(told["last"]["words"], "was not written (exit code 1): nothing was said");
    assert_eq!(told["last"]["report"], Value::Null);
    assert_eq!(scene.json("/api/v1/reports").await, json!({ "reports": [] }));
    scene.end().await;
}
