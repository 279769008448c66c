//! Headless Chromium, driven through chromedriver: what a person would see on a page.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::process::Process;
use crate::{Program, http_client};

/// Nothing of the outside world, nothing of the user's own profile.
const CHROMIUM_ARGUMENTS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
];

/// What a page is told the user prefers (`prefers-color-scheme`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorScheme {
    Light,
    Dark,
}

/// A browser with one window.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    session_url: String,
    http: reqwest::Client,
    pub process: Process,
}

impl Browser {
    /// Starts chromedriver and a browser with an empty profile.
    pub async fn start() -> anyhow::Result<Self> {
        let chromium = Program::CHROMIUM.locate()?;
        let setpriv = Program::SETPRIV.locate()?;
        let http = http_client()?;
        let (process, [port]) = Process::start(
            Program::CHROMEDRIVER,
            |folder, [port]: [u16; 1]| {
                // Killing chromedriver would leave the browser running, so the browser asks to be
                // killed with it.
                let wrapper = folder.join("chromium");
                let script = format!(
                    "#!/bin/sh\nexec '{}' --pdeathsig KILL -- '{}' \"$@\"\n",
                    setpriv.display(),
                    chromium.display()
                );
                std::fs::write(&wrapper, script)?;
                std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755))?;
                Ok(vec![format!("--port={port}").into()])
            },
            async |[port]| {
                http.get(format!("http://127.0.0.1:{port}/status")).send().await?.error_for_status()?;
                Ok(())
            },
        )
        .await?;
        let url = format!("http://127.0.0.1:{port}");
        let client = open_session(&url, process.folder()).await?;
        let session = client.session_id().await?.context("a session has an id")?;
        Ok(Self { client, session_url: format!("{url}/session/{session}"), http, process })
    }

    /// The WebDriver client: finding, clicking, typing.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) -> anyhow::Result<()> {
        Ok(self.client.goto(url).await?)
    }

    /// Runs a script in the page and returns what it returns.
    pub async fn run(&self, script: &str) -> anyhow::Result<Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// What axe-core finds wrong with the page as it stands, by the rules of WCAG 2.2 A and AA and its own: the rule, where, and
    /// why.
    ///
    /// # Errors
    /// When axe-core is not installed; the message says how to.
    pub async fn barriers(&self) -> anyhow::Result<Vec<String>> {
        let test = std::env::current_exe()?;
        let target = test.ancestors().nth(3).context("a test lies in target/<profile>/deps")?;
        let file = target.join("tools/accessibility/node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(&file)
            .with_context(|| format!("no {}: cargo xtask test --only packages", file.display()))?;
        self.client.execute(&axe, Vec::new()).await?;
        let script = "const done = arguments[0]; \
             axe.run(document, { resultTypes: ['violations'] }).then( \
               ({ violations }) => done(violations.flatMap(({ id, nodes }) => nodes.map( \
                 ({ target, failureSummary }) => `${id} at ${target.join(' ')}: ${failureSummary}`))), \
               (error) => done([`axe failed: ${error}`]))";
        let found = self.client.execute_async(script, Vec::new()).await?;
        let found = found.as_array().context("axe tells a list")?;
        Ok(found.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Sets the size of the page's view in CSS pixels; as narrow as a telephone is possible.
    pub async fn set_viewport(&self, width: u32, height: u32) -> anyhow::Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await?;
        Ok(())
    }

    /// Says what the user prefers.
    pub async fn set_color_scheme(&self, scheme: ColorScheme) -> anyhow::Result<()> {
        let value = match scheme {
            ColorScheme::Light => "light",
            ColorScheme::Dark => "dark",
        };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", features).await?;
        Ok(())
    }

    /// Writes the whole page, also what lies below the fold, to a PNG file.
    pub async fn screenshot(&self, file: &Path) -> anyhow::Result<()> {
        let options = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.devtools("Page.captureScreenshot", options).await?;
        let data = answer["data"].as_str().context("a screenshot has data")?;
        std::fs::write(file, base64::engine::general_purpose::STANDARD.decode(data)?)?;
        Ok(())
    }

    /// What the browser's console complained about since the last call (errors, failed loads).
    pub async fn console_errors(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.post("se/log", &json!({ "type": "browser" })).await?;
        let entries = entries.as_array().context("a log is a list")?;
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        Ok(severe.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Sends a command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> anyhow::Result<Value> {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.http.post(format!("{}/{path}", self.session_url)).json(body).send().await?;
        let status = answer.status();
        let mut answer: Value = answer.json().await?;
        if !status.is_success() {
            bail!("chromedriver refused {path}: {}", answer["value"]["message"]);
        }
        Ok(answer["value"].take())
    }
}

async fn open_session(url: &str, folder: &Path) -> anyhow::Result<Client> {
    let mut arguments: Vec<String> = CHROMIUM_ARGUMENTS.map(str::to_owned).to_vec();
    arguments.push(format!("--user-data-dir={}", folder.join("profile").display()));
    let capabilities = json!({
        "goog:chromeOptions": { "binary": folder.join("chromium"), "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    let Value::Object(capabilities) = capabilities else { bail!("capabilities are an object") };
    let connection = ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(url).await;
    connection.context("chromedriver did not open a browser")
}
