//! Looked at by a browser, as a person would.
//!
//! Pictures of every page are left in the build directory (`target/tmp/pages`), light and dark, wide
//! and narrow, for whoever changes how a page looks.

use std::path::Path;

use fantoccini::Locator;
use fantoccini::key::Key;
use plimsoll_capacity::{Foretold, PredictionOf, Truth};
use plimsoll_history::{AnswerBy, AnswerText, KeptAnswer, Recorder};
use plimsoll_measure::Outcome;
use plimsoll_testkit::{Browser, ColorScheme, wait_for};

use crate::scene::{DEADLINE, Scene, answer, ended, record, second, second_failing, started};

/// What an expression of the page's own language gives, as text.
pub(crate) async fn read(browser: &Browser, expression: &str) -> String {
    let found = browser.run(&format!("return String({expression})")).await.unwrap();
    found.as_str().unwrap_or_default().to_owned()
}

/// Waits until the page shows a text.
pub(crate) async fn shows(browser: &Browser, selector: &str, text: &str) {
    let expression = format!("document.querySelector({selector:?})?.textContent ?? 'nothing'");
    let wanted = format!("{selector} to show {text}");
    let seen = wait_for(DEADLINE, &wanted, async || {
        let found = read(browser, &expression).await;
        if found.to_lowercase().contains(&text.to_lowercase()) { Ok(()) } else { Err(found) }
    });
    seen.await.unwrap();
}

pub(crate) async fn press(browser: &Browser, key: char) {
    let focused = browser.client().active_element().await.unwrap();
    focused.send_keys(&key.to_string()).await.unwrap();
}

/// Goes through a page by the tabulator until a link or chart has the focus.
pub(crate) async fn tab_to(browser: &Browser, selector: &str) {
    for _ in 0..60 {
        press(browser, Key::Tab.into()).await;
        if read(browser, &format!("document.activeElement.matches({selector:?})")).await == "true" {
            return;
        }
    }
    panic!("{selector} is not reached by keyboard");
}

/// Looks at the page wide and narrow, light and dark: it never scrolls sideways, it follows what
/// the reader prefers, and axe finds nothing that keeps anybody out.
pub(crate) async fn pictures(browser: &Browser, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).unwrap();
    let mut grounds = Vec::new();
    for (scheme, word) in [(ColorScheme::Light, "light"), (ColorScheme::Dark, "dark")] {
        browser.set_color_scheme(scheme).await.unwrap();
        for width in [1280, 390] {
            browser.set_viewport(width, 900).await.unwrap();
            let fits = "document.documentElement.scrollWidth <= innerWidth";
            let drawn = "[...document.querySelectorAll('.plot')].every(plot => \
                 plot.querySelector('canvas')?.getBoundingClientRect().width <= plot.clientWidth + 1)";
            wait_for(DEADLINE, "the page to fit", async || {
                let found = (read(browser, fits).await, read(browser, drawn).await);
                if found == ("true".into(), "true".into()) {
                    Ok(())
                } else {
                    Err(format!("{word} {width}: {found:?}"))
                }
            })
            .await
            .unwrap();
            browser.screenshot(&folder.join(format!("{name}-{word}-{width}.png"))).await.unwrap();
            let barriers = browser.barriers().await.unwrap();
            assert_eq!(barriers, Vec::<String>::new(), "{name}, {word}, {width} pixels wide");
        }
        grounds.push(read(browser, "getComputedStyle(document.body).backgroundColor").await);
    }
    assert_ne!(grounds[0], grounds[1], "the page does not follow light and dark");
    browser.set_viewport(1280, 900).await.unwrap();
}

#[tokio::test]
async fn a_person_follows_a_live_run_and_reads_past_ones() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 100).await;
    let recorder = Recorder::start(&scene.history, &started("0199-live")).await.unwrap();
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();

    // The overview has both, and the live one moves.
    browser.open(&scene.url).await.unwrap();
    shows(&browser, "#link", "live").await;
    shows(&browser, ".card h3", "storefront <b>").await;
    shows(&browser, "tbody tr", "missed").await;
    (0..2).for_each(|number| recorder.record(&second(number, 30)));
    shows(&browser, ".card .facts", "0:02").await;
    pictures(&browser, "overview").await;

    // A keyboard is enough to open it.
    tab_to(&browser, ".card a").await;
    press(&browser, Key::Enter.into()).await;
    shows(&browser, ".banner h1", "storefront <b>").await;
    shows(&browser, ".progress", "0:02 of 0:20, 0:18 left").await;
    shows(&browser, ".objective:first-child", "met").await;
    shows(&browser, ".key", "requests so far198").await;

    // Seconds arrive without a reload, and so does a broken promise.
    browser.run("window.sameDocument = true").await.unwrap();
    for number in 2..12 {
        recorder.record(&second(number, if number < 5 { 30 } else { 120 }));
        shows(&browser, ".progress", &format!("0:{:02} of 0:20", number + 1)).await;
    }
    shows(&browser, ".objective:first-child", "breaching").await;
    shows(&browser, ".verdict", "1 missed now").await;
    pictures(&browser, "live").await;

    // The arrow keys read values off a chart.
    tab_to(&browser, "#chart-rate").await;
    press(&browser, Key::Home.into()).await;
    press(&browser, Key::Right.into()).await;
    shows(&browser, "#chart-rate .u-legend", "0:01").await;
    shows(&browser, "#chart-rate .u-legend", "98/s").await;

    // Its end is told too.
    (12..20).for_each(|number| recorder.record(&second(number, 120)));
    ended(20).iter().for_each(|event| recorder.record(event));
    recorder.finish(DEADLINE).await;
    shows(&browser, ".banner.missed .verdict", "completed").await;
    shows(&browser, ".objective:first-child", "495 of 1980 requests took at most").await;
    shows(&browser, ".key", "throughput98/s").await;
    assert_eq!(read(&browser, "window.sameDocument").await, "true", "the page was loaded anew");
    pictures(&browser, "past").await;

    // Back to the list, where it now stands among the past ones.
    browser.client().find(Locator::Css("a[href='#/']")).await.unwrap().click().await.unwrap();
    shows(&browser, ".cards", "nothing runs").await;
    assert_eq!(read(&browser, "document.querySelectorAll('tbody tr').length").await, "2");
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
    scene.end().await;
}

#[tokio::test]
async fn errors_are_drawn_by_kind_as_they_come_and_afterwards() {
    let scene = Scene::new().await;
    let recorder = Recorder::start(&scene.history, &started("0199-live")).await.unwrap();
    recorder.record(&second_failing(0, 30, &[]));
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&format!("{}/#/runs/0199-live", scene.url)).await.unwrap();
    shows(&browser, ".progress", "0:01 of 0:20").await;
    tab_to(&browser, "#chart-kinds").await;
    press(&browser, Key::Home.into()).await;
    shows(&browser, "#chart-kinds .u-legend", "all kinds0/s").await;

    // A kind that comes has its line, and whoever reads the chart by keyboard stays there.
    recorder.record(&second_failing(1, 30, &[(Outcome::Timeout, 2), (Outcome::Status, 5)]));
    shows(&browser, "#chart-kinds .u-legend", "status").await;
    assert_eq!(read(&browser, "document.activeElement.id").await, "chart-kinds", "the focus stays");
    press(&browser, Key::End.into()).await;
    shows(&browser, "#chart-kinds .u-legend", "0:01").await;
    shows(&browser, "#chart-kinds .u-legend", "status5/s").await;
    shows(&browser, "#chart-kinds .u-legend", "timeout2/s").await;

    let kinds = [Outcome::Status, Outcome::Timeout, Outcome::TooLarge, Outcome::Reset];
    for number in 2..20 {
        let failed: Vec<_> = kinds.into_iter().zip((0..4).map(|kind| (number * (kind + 3)) % 17)).collect();
        recorder.record(&second_failing(number, 30, &failed));
    }
    ended(20).iter().for_each(|event| recorder.record(event));
    recorder.finish(DEADLINE).await;
    shows(&browser, ".banner", "completed").await;
    tab_to(&browser, "#chart-kinds").await;
    press(&browser, Key::Home.into()).await;
    for _ in 0..5 {
        press(&browser, Key::Right.into()).await;
    }
    // Of the sixth second, in which 15, 3, 8 and 13 failed.
    for words in ["0:05", "status15/s", "timeout3/s", "reset13/s", "too large8/s"] {
        shows(&browser, "#chart-kinds .u-legend", words).await;
    }
    browser.run("document.querySelector('#chart-kinds').scrollIntoView({ block: 'center' })").await.unwrap();
    pictures(&browser, "errors").await;
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
    scene.end().await;
}

#[tokio::test]
async fn a_report_reads_well_and_its_charts_by_keyboard() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 100).await;
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("{}/#/runs/latest", scene.url)).await.unwrap();
    shows(&browser, ".links", "Report").await;
    let report = read(&browser, "document.querySelector('.links a').href").await;
    browser.open(&report).await.unwrap();
    shows(&browser, "h1", "storefront <b>").await;
    pictures(&browser, "report").await;
    tab_to(&browser, "svg").await;
    press(&browser, Key::Home.into()).await;
    shows(&browser, ".hover", "p95 100 ms").await;
    // Its style and script were allowed by their hashes, or the console would say so.
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
    scene.end().await;
}

#[tokio::test]
async fn a_person_reads_where_each_plan_breaks() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 100).await;
    let hostile = "checkout <img src=x onerror=alert(1)>";
    answer(&scene.history, hostile, 300.0, 1_790_000_000_000_000_000).await;
    answer(&scene.history, "search", 420.0, 1_790_000_100_000_000_000).await;
    let measured = KeptAnswer {
        plan: hostile.to_owned(),
        target: "http://127.0.0.1:8080".to_owned(),
        by: AnswerBy::Limit,
        made_nanos: 1_790_000_200_000_000_000,
        estimate: Some(401.0),
        low: Some(398.0),
        high: Some(404.0),
        traffic: None,
    };
    let point = r#"{"low":398.0,"high":404.0,"side":"resource","resource":"process cpu","first_symptom":"the queue grows: 12 ms more response time with every second"}"#;
    let result = format!(r#"{{"unit":"per_second","breaking_point":{point}}}"#);
    scene.history.keep_answer(&measured, &AnswerText { result, inputs: None }).await.unwrap();
    for (made_nanos, value) in [(1, 395.0), (2, 402.0)] {
        let foretold = Foretold {
            plan: hostile.to_owned(),
            target: measured.target.clone(),
            of: PredictionOf::Peak,
            made_nanos,
            estimate: 400.0,
            low: 390.0,
            high: 410.0,
            inputs: vec![format!("run {made_nanos}")],
        };
        scene.history.foretell(&foretold).await.unwrap();
        let truth = Truth { value, measured_nanos: made_nanos, by: "search".to_owned() };
        scene.history.score(hostile, &measured.target, PredictionOf::Peak, &truth).await.unwrap();
    }

    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&scene.url).await.unwrap();
    shows(&browser, "tbody tr", "storefront").await;
    // A keyboard is enough to come here, to read a chart and to go on.
    tab_to(&browser, "a[href='/capacity']").await;
    press(&browser, Key::Enter.into()).await;
    shows(&browser, "h1", "Capacity").await;
    shows(&browser, "article.plan h2", hostile).await;
    shows(&browser, "article.plan .verdict", "headroom 25%").await;
    shows(
        &browser,
        "article.plan .banner",
        "kept 398/s and missed 404/s; limited by the target's process cpu",
    )
    .await;
    shows(&browser, "article.plan", "of 2 of 2 predictions").await;
    shows(&browser, "article.plan + article.plan .verdict", "traffic over the limit").await;
    shows(&browser, "main > section", "storefront <b>").await;
    assert_eq!(
        read(&browser, "document.querySelectorAll('main img').length").await,
        "0",
        "a name became markup"
    );
    pictures(&browser, "capacity").await;
    tab_to(&browser, "article.plan svg").await;
    press(&browser, Key::End.into()).await;
    shows(&browser, "article.plan .hover", "measured 401/s").await;
    tab_to(&browser, "article.plan .links a").await;
    press(&browser, Key::Enter.into()).await;
    shows(&browser, "h1", "7 runs").await;
    shows(&browser, "article", "of 2 of 2 predictions").await;
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
    scene.end().await;
}

#[tokio::test]
async fn a_page_says_when_there_is_nothing_to_show() {
    let scene = Scene::new().await;
    let browser = Browser::start().await.unwrap();
    browser.open(&scene.url).await.unwrap();
    shows(&browser, "main", "No run is recorded yet").await;
    assert_eq!(
        read(&browser, "document.querySelector('.chosen').hidden").await,
        "true",
        "nothing to compare"
    );
    browser.open(&format!("{}/#/runs/none", scene.url)).await.unwrap();
    shows(&browser, "main", "No such run").await;
    pictures(&browser, "nothing").await;
    scene.end().await;
    shows(&browser, "#link", "not connected").await;
}
