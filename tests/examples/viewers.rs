//! Looks at a live run of a service as many people do, and tells how late a page shows each second.
//!
//! `cargo run -p plimsoll-tests --example viewers URL RUN STARTED SECONDS VIEWERS`
//!
//! `STARTED` is when the run began, milliseconds since 1970. One viewer is a page in Chromium on the page of the run; the
//! others read the stream of events as pages do. Prints a line of JSON: of each second that the page came to show, the
//! milliseconds from its end until the frame with it was painted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use plimsoll_testkit::Browser;
use serde_json::{Value, json};

/// Notes the bar of progress and the time whenever the bar moves. What an animation frame changes is painted after it, so the
/// frame after that has begun when the one before is on the screen.
const NOTE: &str = "
    window.noted = [];
    const bar = document.querySelector('progress');
    new MutationObserver(() => {
        const second = bar.value;
        requestAnimationFrame(() => requestAnimationFrame(() => window.noted.push([second, Date.now()])));
    }).observe(bar, { attributes: true, attributeFilter: ['value'] });";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, run, started, seconds, viewers] = arguments.as_slice() else {
        anyhow::bail!("which URL, run, start, seconds and viewers?");
    };
    let (started, seconds, viewers): (f64, u64, usize) =
        (started.parse()?, seconds.parse()?, viewers.parse()?);
    let heard: Vec<Arc<AtomicU64>> = (1..viewers).map(|_| Arc::default()).collect();
    for bytes in &heard {
        tokio::spawn(listen(format!("{url}/api/v1/events"), Arc::clone(bytes)));
    }
    let browser = Browser::start().await?;
    browser.open(&format!("{url}/#/runs/{run}")).await?;
    let is_drawn = "const bar = document.querySelector('progress'); return bar !== null && bar.value > 0;";
    let drawn = async {
        while browser.run(is_drawn).await? != Value::Bool(true) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), drawn).await.context("the page shows no run")??;
    browser.run(NOTE).await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let noted = browser.run("return window.noted;").await?;
    let lag = |noted: &Value| Some(noted[1].as_f64()? - started - noted[0].as_f64()? * 1e3);
    let lags: Option<Vec<f64>> =
        noted.as_array().context("the page noted nothing")?.iter().map(lag).collect();
    let silent = heard.iter().filter(|bytes| bytes.load(Ordering::Relaxed) == 0).count();
    ensure!(silent == 0, "{silent} of {} viewers heard nothing", heard.len());
    println!("{}", json!({ "milliseconds": lags.context("a note is no number")? }));
    Ok(())
}

/// Reads the stream of events for as long as it comes.
async fn listen(url: String, heard: Arc<AtomicU64>) -> anyhow::Result<()> {
    let mut answer = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?;
    while let Some(bytes) = answer.chunk().await? {
        heard.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}
