//! The pages that a person goes through, by keyboard and by hand.

use fantoccini::Locator;
use fantoccini::key::Key;
use plimsoll_history::{Ceilings, KeptToken, Scope};
use plimsoll_service::{Job, Missed, Month, Most, Overlap, Schedule, When};
use plimsoll_testkit::{Browser, wait_for};
use serde_json::json;

use crate::access::{kept, token, with_tokens};
use crate::browser::{pictures, press, read, shows, tab_to};
use crate::control::{RUN, carry_out, live};
use crate::scene::{DEADLINE, Scene, record, second, started};

const PLAN: &str = "name: shop\ntarget: http://127.0.0.1:1\nload: { stages: [{ hold: 10/s, for: 5s }] }\n\
                    scenarios: [{ name: one, steps: [{ get: / }] }]\n";

fn schedule(name: &str, when: &str) -> Schedule {
    starting(name, when, Job::Plan("shop".to_owned()))
}

fn starting(name: &str, when: &str, job: Job) -> Schedule {
    Schedule {
        name: name.to_owned(),
        job,
        keep: Schedule::KEPT,
        when: When::parse(when, "UTC").unwrap(),
        overlap: Overlap::Skip,
        missed: Missed::Skip,
    }
}

async fn click(browser: &Browser, selector: &str) {
    browser.client().find(Locator::Css(selector)).await.unwrap().click().await.unwrap();
}

/// Waits until an expression of the page's own language is true.
async fn comes_true(browser: &Browser, expression: &str) {
    let seen = wait_for(DEADLINE, expression, async || {
        let found = read(browser, expression).await;
        if found == "true" { Ok(()) } else { Err(found) }
    });
    seen.await.unwrap();
}

async fn complains_of_nothing(browser: &Browser) {
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_keyboard_is_enough_to_go_to_every_page() {
    let scene = Scene::starting(&[("shop.yaml", PLAN)], vec![schedule("nightly", "0 2 * * *")]).await;
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&scene.url).await.unwrap();
    shows(&browser, "main h1", "Runs").await;
    press(&browser, Key::Tab.into()).await;
    assert_eq!(read(&browser, "document.activeElement.textContent").await, "Skip to content");
    press(&browser, Key::Enter.into()).await;
    comes_true(&browser, "document.activeElement.id === 'main'").await;
    for (link, heading) in [
        ("#/compare", "Compare"),
        ("#/plans", "Plans"),
        ("#/schedules", "Schedules"),
        ("#/settings", "Settings"),
        ("#/runs", "Runs"),
    ] {
        tab_to(&browser, &format!(".top nav a[href='{link}']")).await;
        press(&browser, Key::Enter.into()).await;
        shows(&browser, "main h1", heading).await;
        assert_eq!(read(&browser, "document.activeElement.id").await, "main", "reading goes on at {heading}");
        let current = "[...document.querySelectorAll('[aria-current=page]')].map(a => a.textContent).join()";
        assert_eq!(read(&browser, current).await, heading);
    }
    // Pages that the service draws have the same links, and lead back.
    for (link, heading) in [("/sla", "SLAs"), ("/capacity", "Capacity")] {
        tab_to(&browser, &format!(".top nav a[href='{link}']")).await;
        press(&browser, Key::Enter.into()).await;
        shows(&browser, "main h1", heading).await;
        assert_eq!(
            read(&browser, "document.querySelector('[aria-current=page]').textContent").await,
            heading
        );
    }
    tab_to(&browser, ".top nav a[href='/#/plans']").await;
    press(&browser, Key::Enter.into()).await;
    shows(&browser, "main tbody", "shop").await;
    complains_of_nothing(&browser).await;
    scene.end().await;
}

#[tokio::test]
async fn colours_are_as_somebody_chose_on_every_page() {
    let scene = Scene::new().await;
    let browser = Browser::start().await.unwrap();
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.open(&format!("{}/#/settings", scene.url)).await.unwrap();
    shows(&browser, "main", "nobody is asked who they are").await;
    shows(&browser, "main", "loopback, since `targets` is not configured").await;
    pictures(&browser, "settings").await;
    let mut grounds = Vec::new();
    for theme in ["light", "dark"] {
        click(&browser, &format!("#theme-{theme}")).await;
        grounds.push(read(&browser, ground).await);
    }
    assert_ne!(grounds[0], grounds[1]);
    for page in ["/", "/sla", "/capacity"] {
        browser.open(&format!("{}{page}", scene.url)).await.unwrap();
        assert_eq!(read(&browser, ground).await, grounds[1], "{page} is dark, too");
    }
    complains_of_nothing(&browser).await;
    scene.end().await;
}

#[tokio::test]
async fn a_stretch_of_a_run_has_an_address() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 100).await;
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&format!("{}/#/runs/0198-past?from=5&to=10", scene.url)).await.unwrap();
    shows(&browser, ".zoom", "0:05 to 0:10 of 0:20").await;
    pictures(&browser, "stretch").await;
    // By buttons.
    click(&browser, ".zoom button:nth-of-type(2)").await;
    shows(&browser, ".zoom", "0:02 to 0:13 of 0:20").await;
    comes_true(&browser, "location.hash === '#/runs/0198-past?from=2&to=13'").await;
    // By keyboard; the chart keeps the focus.
    tab_to(&browser, "#chart-latency").await;
    press(&browser, '0').await;
    shows(&browser, ".zoom", "Drag over a chart").await;
    comes_true(&browser, "location.hash === '#/runs/0198-past'").await;
    press(&browser, '+').await;
    shows(&browser, ".zoom", "0:05 to 0:15 of 0:20").await;
    press(&browser, Key::Home.into()).await;
    shows(&browser, "#chart-latency .u-legend", "0:05").await;
    // By dragging, and back as browsers go back.
    let place = "const box = document.querySelector('#chart-rate .u-over').getBoundingClientRect(); \
                 return [box.left, box.top, box.width]";
    browser.run("document.querySelector('#chart-rate').scrollIntoView({ block: 'center' })").await.unwrap();
    let place = browser.run(place).await.unwrap();
    let of = |index: usize| place[index].as_f64().unwrap();
    for (kind, share) in
        [("mousePressed", 0.2), ("mouseMoved", 0.5), ("mouseMoved", 0.8), ("mouseReleased", 0.8)]
    {
        let event = json!({
            "type": kind, "x": of(0) + of(2) * share, "y": of(1) + 50.0, "button": "left", "buttons": 1, "clickCount": 1,
        });
        browser.devtools("Input.dispatchMouseEvent", event).await.unwrap();
    }
    // Whole seconds around what the pointer went over, wherever its pixels end.
    shows(&browser, ".zoom", "to 0:13 of 0:20").await;
    browser.client().back().await.unwrap();
    shows(&browser, ".zoom", "0:05 to 0:15 of 0:20").await;
    complains_of_nothing(&browser).await;
    scene.end().await;
}

#[tokio::test]
async fn runs_are_compared_by_ticking_them() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-one", 40).await;
    record(&scene.history, "0199-two", 100).await;
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&scene.url).await.unwrap();
    shows(&browser, ".chosen", "Tick two or more").await;
    tab_to(&browser, "#choose-0198-one").await;
    press(&browser, ' ').await;
    shows(&browser, ".chosen", "One run is ticked").await;
    click(&browser, "#choose-0199-two").await;
    pictures(&browser, "choosing").await;
    tab_to(&browser, ".chosen button").await;
    press(&browser, Key::Enter.into()).await;
    shows(&browser, "main h1", "Compare").await;
    comes_true(&browser, "location.hash === '#/compare?runs=0198-one%2C0199-two'").await;
    shows(&browser, ".compare tbody", "+60 ms (+150%)").await;
    shows(&browser, ".compare tbody", "the same").await;
    shows(&browser, ".compare", "Intervals: not available from single runs").await;
    shows(&browser, ".compare", "Plan, target, machine and Plimsoll are the same").await;
    tab_to(&browser, "#chart-p50").await;
    press(&browser, Key::Home.into()).await;
    shows(&browser, "#chart-p50 .u-legend", "40 ms").await;
    shows(&browser, "#chart-p50 .u-legend", "100 ms").await;
    pictures(&browser, "compare").await;
    // Without runs they are chosen there.
    browser.open(&format!("{}/#/compare", scene.url)).await.unwrap();
    shows(&browser, ".chosen", "Tick two or more").await;
    browser.open(&format!("{}/#/compare?runs=0198-one,none", scene.url)).await.unwrap();
    shows(&browser, "main [role=alert]", "none").await;
    scene.end().await;
}

#[tokio::test]
async fn plans_and_schedules_say_how_they_stand() {
    let wrong = PLAN.replace("hold: 10/s", "hold: ten");
    let files = [("shop.yaml", PLAN), ("wrong.yaml", wrong.as_str())];
    let scene =
        Scene::starting(&files, vec![schedule("nightly", "0 2 * * *"), schedule("spike", "on_demand")]).await;
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&format!("{}/#/plans", scene.url)).await.unwrap();
    shows(&browser, "tbody tr:first-child", "10/s").await;
    shows(&browser, "tbody tr:last-child .mistakes", "Line 3, column").await;
    assert_eq!(read(&browser, "document.querySelector('#start-wrong').disabled").await, "true");
    pictures(&browser, "plans").await;

    browser.open(&format!("{}/#/schedules", scene.url)).await.unwrap();
    shows(&browser, "tbody tr:first-child", "02:00:00 UTC").await;
    tab_to(&browser, "#pause-nightly").await;
    press(&browser, Key::Enter.into()).await;
    shows(&browser, "tbody tr:first-child", "paused").await;
    shows(&browser, "#pause-nightly", "Resume").await;
    assert_eq!(read(&browser, "document.activeElement.id").await, "pause-nightly", "the focus stays");
    pictures(&browser, "schedules").await;
    press(&browser, Key::Enter.into()).await;
    shows(&browser, "#pause-nightly", "Pause").await;
    complains_of_nothing(&browser).await;
    scene.end().await;
}

#[tokio::test]
async fn searches_and_reports_say_how_the_last_ended_and_lead_to_it() {
    let limit = Job::Limit { plan: "shop".to_owned(), most: Most::Rate(2000.0) };
    let capacity = Job::Capacity { plan: "storefront".to_owned(), options: Vec::new() };
    let sla = Job::Sla { files: Vec::new(), month: Month::Last };
    let schedules = vec![
        starting("a-limit", "on_demand", limit),
        starting("b-capacity", "0 6 * * 1", capacity),
        starting("c-month", "0 1 1 * *", sla),
    ];
    // A program of its own, which writes what it is asked for.
    let html = plimsoll_report::sla_month_html("2026-10", &[]);
    let scene = Scene::reporting(&[("shop.yaml", PLAN)], schedules, &html).await;
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&format!("{}/#/schedules", scene.url)).await.unwrap();
    shows(&browser, "tbody tr:nth-child(1)", "searches the limit of shop, up to 2000/s").await;
    shows(&browser, "tbody tr:nth-child(2)", "reports the capacity of storefront").await;
    shows(&browser, "tbody tr:nth-child(3)", "reports a month of SLAs").await;
    tab_to(&browser, "#start-a-limit").await;
    press(&browser, Key::Enter.into()).await;
    shows(&browser, "tbody tr:nth-child(1)", "kept 779.1/s and missed 793.3/s").await;
    // The second of a month is the newest, and the first is behind it.
    for reports in [0, 1] {
        tab_to(&browser, "#start-c-month").await;
        press(&browser, Key::Enter.into()).await;
        let links = format!(
            "document.querySelectorAll('tbody tr:nth-child(3) .outcome a').length === {}",
            reports + 1
        );
        comes_true(&browser, &links).await;
        comes_true(&browser, "!document.querySelector('#start-c-month').disabled").await;
    }
    shows(&browser, "tbody tr:nth-child(3)", "was written").await;
    shows(&browser, "tbody tr:nth-child(3)", "Earlier: ").await;
    pictures(&browser, "reports").await;
    let href = read(&browser, "document.querySelector('#report-of-c-month').href").await;
    browser.open(&href).await.unwrap();
    shows(&browser, "h1", "Service levels of 2026-10").await;
    complains_of_nothing(&browser).await;
    scene.end().await;
}

#[tokio::test]
async fn a_service_without_plans_says_so() {
    let scene = Scene::new().await;
    let browser = Browser::start().await.unwrap();
    for page in ["plans", "schedules"] {
        browser.open(&format!("{}/#/{page}", scene.url)).await.unwrap();
        shows(&browser, "main", "names no folder of `plans`").await;
    }
    scene.end().await;
}

#[tokio::test]
async fn no_name_becomes_markup() {
    let hostile = "<img src=x onerror='window.hurt = true'><script>window.hurt = true</script>";
    let plan = PLAN.replace("name: shop", &format!("name: {}", json!(hostile)));
    let wrong = PLAN.replace("get: /", &format!("{}: /", json!(hostile)));
    let files = [("shop.yaml", plan.as_str()), ("wrong.yaml", wrong.as_str())];
    let scene = Scene::starting(&files, vec![schedule(hostile, "on_demand")]).await;
    record(&scene.history, "0198-one", 40).await;
    record(&scene.history, "0199-two", 100).await;
    let browser = Browser::start().await.unwrap();
    for (page, told) in [
        ("#/", "storefront <b>"),
        ("#/runs/0198-one", "no answer <script>"),
        ("#/runs/<img src=x onerror=window.hurt=true>", "No such run"),
        ("#/compare?runs=0198-one,0199-two", "storefront <b>"),
        ("#/plans", hostile),
        ("#/plans/wrong", "Line 4"),
        ("#/schedules", hostile),
        ("#/settings", "look, start"),
    ] {
        browser.open("about:blank").await.unwrap();
        browser.open(&format!("{}/{page}", scene.url)).await.unwrap();
        shows(&browser, "main", told).await;
        let made =
            read(&browser, "document.querySelectorAll('main img, main script, main b b').length").await;
        assert_eq!((made.as_str(), page), ("0", page));
        assert_eq!(read(&browser, "window.hurt").await, "undefined", "{page}");
    }
    scene.end().await;
}

/// Presses a button by its words.
async fn push(browser: &Browser, words: &str) {
    let script = format!(
        "[...document.querySelectorAll('dialog[open] button, main button')] \
         .find(one => one.textContent === {words:?} && !one.disabled).click()"
    );
    browser.run(&script).await.unwrap();
}

#[tokio::test]
async fn a_run_is_steered_from_its_page() {
    let scene = Scene::new().await;
    let _recorder = live(&scene).await;
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&format!("{}/#/runs/{RUN}", scene.url)).await.unwrap();
    shows(&browser, ".controls", "Rate").await;
    tab_to(&browser, "#steer-level").await;
    for key in "x1.5".chars().chain([char::from(Key::Enter)]) {
        press(&browser, key).await;
    }
    let words = "from 12.3 s: 1.5 times the plan, asked for by local";
    let (asked, by) = carry_out(&scene.history, Ok((12_300_000_000, words))).await;
    assert_eq!((asked.as_str(), by.as_str()), ("scale 1.5", "local"));
    shows(&browser, ".controls [role=status]", words).await;

    // What the run refuses is told as it says it.
    push(&browser, "Pause").await;
    carry_out(&scene.history, Err("this run is one of a search")).await;
    shows(&browser, ".controls .bad", "this run is one of a search").await;

    // A stop asks first, and Escape means no.
    push(&browser, "Stop…").await;
    shows(&browser, "dialog", "Stop storefront <b>?").await;
    assert_eq!(read(&browser, "document.activeElement.textContent").await, "Go on");
    pictures(&browser, "stopping").await;
    press(&browser, Key::Escape.into()).await;
    comes_true(&browser, "document.querySelector('dialog') === null").await;
    assert!(scene.history.waiting_commands(RUN).await.unwrap().is_empty());
    push(&browser, "Stop…").await;
    push(&browser, "Stop it").await;
    let (asked, _) = carry_out(&scene.history, Ok((13_000_000_000, "from 13.0 s: stop"))).await;
    assert_eq!(asked, "stop");
    shows(&browser, ".controls [role=status]", "from 13.0 s: stop").await;
    scene.end().await;
}

async fn log_in(browser: &Browser, scene: &Scene, secret: &str) {
    browser.open(&scene.url).await.unwrap();
    shows(browser, "h1", "Log in").await;
    let field = browser.client().find(Locator::Css("#token")).await.unwrap();
    field.send_keys(secret).await.unwrap();
    click(browser, "button").await;
    shows(browser, "main h1", "Runs").await;
}

#[tokio::test]
async fn who_has_a_token_is_told_to_admins_alone() {
    let scene = Scene::guarded(with_tokens()).await;
    let admin = token(&scene.history, "anna", Scope::Admin).await;
    let targets = Some(vec!["shop.example".to_owned(), "10.0.0.0/8".to_owned()]);
    let night = KeptToken {
        ceilings: Ceilings { rate: Some(250.0), users: Some(50), targets },
        expires_nanos: Some(1_000_000_000),
        ..kept("night", Scope::Run)
    };
    scene.history.keep_token(&night).await.unwrap();
    token(&scene.history, "gone", Scope::Run).await;
    scene.history.revoke_token("gone", 2_000_000_000).await.unwrap();
    let reader = token(&scene.history, "reader", Scope::Read).await;
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    let settings = format!("{}/#/settings", scene.url);

    log_in(&browser, &scene, &admin).await;
    browser.open(&settings).await.unwrap();
    let row = |number: u32| format!("[aria-label=Tokens] tbody tr:nth-child({number})");
    for (number, name, holds) in [
        (1, "reader <b>", "until it is revoked"),
        (2, "anna <b>", "until it is revoked"),
        (3, "night <b>", "expired 1970-01-01 00:00:01 UTC"),
        (4, "gone <b>", "revoked 1970-01-01 00:00:02 UTC"),
    ] {
        shows(&browser, &row(number), name).await;
        shows(&browser, &row(number), holds).await;
    }
    shows(&browser, &row(3), "250/s, 50 users, at shop.example, 10.0.0.0/8").await;
    shows(&browser, "section[aria-label='Who did what']", "Nobody did anything yet").await;
    tab_to(&browser, ".scroll[aria-label='Who has a token']").await;
    pictures(&browser, "tokens").await;
    click(&browser, "#me button").await;
    // Nobody is logged out before the service has answered.
    shows(&browser, "h1", "Log in").await;

    log_in(&browser, &scene, &reader).await;
    browser.open(&settings).await.unwrap();
    for section in ["Tokens", "Who did what"] {
        let words = "Not for you to see: reader <b> has the scope read, and it takes admin";
        shows(&browser, &format!("section[aria-label='{section}']"), words).await;
    }
    assert_eq!(read(&browser, "document.querySelectorAll('main tbody').length").await, "0");
    complains_of_nothing(&browser).await;
    scene.end().await;
}

#[tokio::test]
async fn who_may_only_look_is_told_so_and_logs_out() {
    let scene = Scene::guarded(with_tokens()).await;
    let secret = token(&scene.history, "reader", Scope::Read).await;
    let recorder = plimsoll_history::Recorder::start(&scene.history, &started(RUN)).await.unwrap();
    recorder.record(&second(0, 10));
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&scene.url).await.unwrap();
    shows(&browser, "h1", "Log in").await;
    pictures(&browser, "login").await;
    log_in(&browser, &scene, &secret).await;
    shows(&browser, "#me", "reader <b>, read").await;
    browser.open(&format!("{}/#/runs/{RUN}", scene.url)).await.unwrap();
    shows(&browser, ".controls", "Not for you to steer: reader <b> has the scope read").await;
    comes_true(&browser, "[...document.querySelectorAll('.controls button')].every(one => one.disabled)")
        .await;
    pictures(&browser, "looking").await;
    browser.open(&format!("{}/sla", scene.url)).await.unwrap();
    shows(&browser, "#me", "reader <b>, read").await;
    click(&browser, "#me button").await;
    shows(&browser, "h1", "Log in").await;
    scene.end().await;
}
