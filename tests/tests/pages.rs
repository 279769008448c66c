//! The pages of `plimsoll serve` as a person uses them, with real runs: starting, steering, stopping, and writing a plan.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::path::Path;

use fantoccini::Locator;
use fantoccini::key::Key;
use harness::{Desk, PATIENCE, Running, Target, beside_others, free_port};
use plimsoll_testkit::{Browser, ColorScheme, wait_for};

struct Pages {
    browser: Browser,
    url: String,
    _service: Running,
}

impl Pages {
    async fn open(desk: &Desk) -> Self {
        let config = desk.write("plimsoll.yaml", "plans: plans\n");
        let address = format!("127.0.0.1:{}", free_port());
        let service = desk.plimsoll(["serve", "-c", &config, "--listen", &address]).start();
        let url = format!("http://{address}");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        wait_for(PATIENCE, "the service", async || {
            let answer =
                client.get(format!("{url}/readyz")).send().await.map_err(|error| error.to_string())?;
            answer.error_for_status().map(drop).map_err(|error| error.to_string())
        })
        .await
        .unwrap();
        let browser = Browser::start().await.unwrap();
        browser.set_viewport(1280, 900).await.unwrap();
        Self { browser, url, _service: service }
    }

    async fn go(&self, page: &str) {
        self.browser.open(&format!("{}/{page}", self.url)).await.unwrap();
    }

    async fn read(&self, expression: &str) -> String {
        let found = self.browser.run(&format!("return String({expression})")).await.unwrap();
        found.as_str().unwrap_or_default().to_owned()
    }

    async fn comes_true(&self, expression: &str) {
        let seen = wait_for(PATIENCE, expression, async || {
            let found = self.read(expression).await;
            if found == "true" { Ok(()) } else { Err(found) }
        });
        if let Err(error) = seen.await {
            panic!("{error}; the page: {}", self.read("document.querySelector('main').innerText").await);
        }
    }

    async fn shows(&self, selector: &str, text: &str) {
        let found = format!("(document.querySelector({selector:?})?.textContent ?? '').includes({text:?})");
        self.comes_true(&found).await;
    }

    /// Presses a button by its words, once it can be.
    async fn press(&self, words: &str) {
        let find = format!(
            "[...document.querySelectorAll('dialog[open] button, main button')].find(one => one.textContent === {words:?} && !one.disabled)"
        );
        self.comes_true(&format!("{find} !== undefined")).await;
        self.browser.run(&format!("{find}.click()")).await.unwrap();
    }

    async fn write(&self, selector: &str, text: &str) {
        let field = self.browser.client().find(Locator::Css(selector)).await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Looks at the page wide and narrow, light and dark: nothing sticks out, and axe finds nothing that keeps anybody
    /// out. Leaves pictures in the build directory (`target/tmp/pages`).
    async fn fits_everybody(&self, name: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
        std::fs::create_dir_all(&folder).unwrap();
        for (scheme, word) in [(ColorScheme::Light, "light"), (ColorScheme::Dark, "dark")] {
            self.browser.set_color_scheme(scheme).await.unwrap();
            for width in [1280, 390] {
                self.browser.set_viewport(width, 900).await.unwrap();
                self.comes_true("document.documentElement.scrollWidth <= innerWidth").await;
                self.browser.screenshot(&folder.join(format!("{name}-{word}-{width}.png"))).await.unwrap();
                let barriers = self.browser.barriers().await.unwrap();
                assert_eq!(barriers, Vec::<String>::new(), "{name}, {word}, {width} pixels wide");
            }
        }
        self.browser.set_color_scheme(ColorScheme::Light).await.unwrap();
        self.browser.set_viewport(1280, 900).await.unwrap();
    }

    /// A refusal is told on the page; the browser's console tells it, too.
    async fn complains_of_nothing_but_refusals(&self) {
        let errors = self.browser.console_errors().await.unwrap();
        let others: Vec<_> = errors.iter().filter(|error| !error.contains("status of 4")).collect();
        assert_eq!(others, Vec::<&String>::new());
    }
}

fn plan(target: &Target, seconds: u32) -> String {
    format!(
        "name: shop\ntarget: {}\nload: {{ stages: [{{ hold: 20/s, for: {seconds}s }}], grace: 1s }}\n\
         scenarios: [{{ name: all, steps: [{{ name: list, get: \"/products?page=1\" }}] }}]\n\
         sla: [{{ name: slow enough to see, objective: \"throughput <= 30/s\" }}]\n",
        target.url()
    )
}

#[tokio::test]
async fn a_person_starts_a_run_steers_it_and_stops_it() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/shop.yaml", &plan(&target, 600));
    let pages = Pages::open(&desk).await;
    pages.go("#/plans").await;
    pages.press("Start").await;
    pages.shows(".banner h1", "shop").await;
    pages.shows(".key", "iterations asked for20/s").await;

    pages.write("#steer-level", "80/s").await;
    pages.press("Set").await;
    pages.shows(".controls [role=status]", "80/s").await;
    pages.shows(".key", "iterations asked for80/s").await;
    pages.shows(".steered", "80/s").await;

    pages.write("#steer-level", "many").await;
    pages.press("Set").await;
    pages.shows(".controls .bad", "Not done").await;
    pages.fits_everybody("steered").await;

    // What cannot be taken back is asked first, and Escape is no.
    pages.press("Stop…").await;
    pages.shows("dialog[open]", "Stop shop?").await;
    let focused = pages.browser.client().active_element().await.unwrap();
    focused.send_keys(&char::from(Key::Escape).to_string()).await.unwrap();
    pages.comes_true("document.querySelector('dialog') === null").await;
    pages.press("Pause").await;
    pages.shows(".key", "iterations asked for0/s").await;
    pages.press("Stop…").await;
    pages.press("Stop it").await;
    pages.shows(".verdict", "interrupted").await;
    pages.comes_true("document.querySelector('.controls') === null").await;
    pages.complains_of_nothing_but_refusals().await;
}

#[tokio::test]
async fn a_plan_is_written_wrongly_and_rightly() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/shop.yaml", &plan(&target, 2));
    let pages = Pages::open(&desk).await;
    pages.go("#/plans/shop").await;
    pages.shows(".state", "Valid: 20/s").await;
    pages.complains_of_nothing_but_refusals().await;

    // What can be written is offered, and taken by keyboard.
    let end = "const text = document.querySelector('#plan-text'); text.focus(); \
               text.setSelectionRange(text.value.length, text.value.length)";
    pages.browser.run(end).await.unwrap();
    pages.write("#plan-text", "see").await;
    pages.shows("#completions [aria-selected=true]", "seed").await;
    pages.write("#plan-text", &char::from(Key::Enter).to_string()).await;
    pages.comes_true("document.querySelector('#plan-text').value.endsWith('seed: ')").await;
    pages.write("#plan-text", "much").await;
    pages.shows(".mistakes", "Line 6, column 7").await;
    pages.shows(".numbers .wrong", "6").await;
    pages.fits_everybody("editor").await;

    // What is not saved is not lost by a slip.
    pages
        .browser
        .client()
        .find(Locator::Css(".top nav a[href='#/runs']"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    pages.shows("dialog[open]", "Leave without saving?").await;
    pages.press("Stay").await;
    pages.comes_true("location.hash === '#/plans/shop'").await;
    pages.press("Save").await;
    pages.shows(".state", "mistake").await;
    assert_eq!(std::fs::read_to_string(desk.path("plans/shop.yaml")).unwrap(), plan(&target, 2), "as it was");

    let correct = "const text = document.querySelector('#plan-text'); text.value = text.value.replace('much', '7'); \
                   text.dispatchEvent(new Event('input'))";
    pages.browser.run(correct).await.unwrap();
    pages.shows(".state", "Valid").await;
    pages.press("Save").await;
    pages
        .comes_true(
            "[...document.querySelectorAll('[role=status]')].some(one => one.textContent === 'Saved.')",
        )
        .await;
    let kept = std::fs::read_to_string(desk.path("plans/shop.yaml")).unwrap();
    assert!(kept.ends_with("seed: 7"), "{kept}");

    // Somebody else's change is not written over.
    desk.write("plans/shop.yaml", &plan(&target, 3));
    pages.browser.run(&correct.replace("'much', '7'", "'seed: 7', 'seed: 8'")).await.unwrap();
    pages.shows(".state", "Valid").await;
    pages.press("Save").await;
    pages.shows("main", "somebody else changed it").await;
    assert_eq!(std::fs::read_to_string(desk.path("plans/shop.yaml")).unwrap(), plan(&target, 3));
    pages.complains_of_nothing_but_refusals().await;
}
