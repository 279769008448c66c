//! An InfluxDB with a real engine behind a version 2 write route.
//!
//! InfluxDB 2 itself is not packaged. The storage, the line-protocol parser and their errors are
//! those of InfluxDB 1.6.7; nginx in front of it answers `/api/v2/write` as version 2 does: it
//! checks the token (401), organisation and bucket (404) and passes the rest on. What is
//! version 2 alone (Flux, its own limits and error bodies) is not to be had here.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::process::Process;
use crate::{Program, http_client};

/// What the facade takes as organisation.
const ORGANISATION: &str = "plimsoll";
/// What the facade takes as token: made up, and good for a server that lives for one test.
const TOKEN: &str = "plimsoll-test-token";
/// The bucket that exists; the database behind it has another name so that the mapping shows.
const BUCKET: &str = "load";
const DATABASE: &str = "load_database";

/// A running InfluxDB and the route in front of it.
#[derive(Debug)]
pub struct InfluxDb {
    /// The storage engine.
    pub engine: Process,
    /// The version 2 route.
    pub route: Process,
    client: reqwest::Client,
    /// Who the engine asks for, if it asks.
    user: Option<(String, String)>,
    engine_port: u16,
    route_port: u16,
}

/// One row of an answer: a point, or a group of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub measurement: String,
    /// The tags of a `GROUP BY`.
    pub tags: BTreeMap<String, String>,
    /// Columns by name; `time` is in nanoseconds since the epoch.
    pub columns: BTreeMap<String, Value>,
}

impl Row {
    /// A column as a number, absent when it is null or not there.
    pub fn number(&self, column: &str) -> Option<f64> {
        self.columns.get(column).and_then(Value::as_f64)
    }
}

impl InfluxDb {
    /// Starts engine and route, and creates the database of the bucket.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_as(None).await
    }

    /// The same with an engine that asks everybody for this user and password. The route has neither.
    pub async fn start_with_user(user: &str, password: &str) -> anyhow::Result<Self> {
        Self::start_as(Some((user.to_owned(), password.to_owned()))).await
    }

    async fn start_as(user: Option<(String, String)>) -> anyhow::Result<Self> {
        let client = http_client()?;
        let (engine, [engine_port, _]) = Process::start(
            Program::INFLUXD,
            |folder, [http, rpc]: [u16; 2]| {
                std::fs::write(
                    folder.join("influxdb.conf"),
                    engine_configuration(folder, http, rpc, user.is_some()),
                )?;
                Ok(["run", "-config", "influxdb.conf"].map(Into::into).to_vec())
            },
            async |[http, _]| {
                client.get(format!("http://127.0.0.1:{http}/ping")).send().await?.error_for_status()?;
                Ok(())
            },
        )
        .await?;
        let (route, [route_port]) = Process::start(
            Program::NGINX,
            |folder, [port]: [u16; 1]| {
                std::fs::write(folder.join("nginx.conf"), route_configuration(port, engine_port))?;
                crate::nginx::arguments(folder)
            },
            async |_| Ok(()),
        )
        .await?;
        let mut influx = Self { engine, route, client, user: None, engine_port, route_port };
        if let Some((name, password)) = &user {
            // The first user may be made by anybody.
            let create = format!("CREATE USER \"{name}\" WITH PASSWORD '{password}' WITH ALL PRIVILEGES");
            influx.ask("", &create).await?;
        }
        influx.user = user;
        influx.create_database(DATABASE).await?;
        Ok(influx)
    }

    /// `http://127.0.0.1:PORT` of the version 2 route.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.route_port)
    }

    /// `http://127.0.0.1:PORT` of the engine itself (version 1: `/write?db=`, `/query`).
    pub fn engine_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.engine_port)
    }

    pub fn organisation(&self) -> &'static str {
        ORGANISATION
    }

    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Creates a database for the engine's own `/write?db=`.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        self.ask("", &format!("CREATE DATABASE \"{name}\"")).await?;
        Ok(())
    }

    /// Reads rows of the bucket with InfluxQL.
    ///
    /// # Errors
    /// When the engine cannot be asked or refuses the query; the message is its own.
    pub async fn query(&self, influxql: &str) -> anyhow::Result<Vec<Row>> {
        self.query_database(DATABASE, influxql).await
    }

    /// Reads rows of another database with InfluxQL.
    pub async fn query_database(&self, database: &str, influxql: &str) -> anyhow::Result<Vec<Row>> {
        let answer = self.ask(database, influxql).await?;
        let mut rows = Vec::new();
        for series in answer["results"][0]["series"].as_array().into_iter().flatten() {
            rows.extend(rows_of(series)?);
        }
        Ok(rows)
    }

    /// Writes lines to a database of the engine, timed now where they say no time.
    pub async fn write(&self, database: &str, lines: &str) -> anyhow::Result<()> {
        let url =
            reqwest::Url::parse_with_params(&format!("{}/write", self.engine_url()), [("db", database)])?;
        self.as_user(self.client.post(url)).body(lines.to_owned()).send().await?.error_for_status()?;
        Ok(())
    }

    fn as_user(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.user {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        }
    }

    async fn ask(&self, database: &str, influxql: &str) -> anyhow::Result<Value> {
        let parameters = [("db", database), ("epoch", "ns"), ("q", influxql)];
        let url = reqwest::Url::parse_with_params(&format!("{}/query", self.engine_url()), parameters)?;
        let answer: Value = self.as_user(self.client.post(url)).send().await?.json().await?;
        if let Some(error) = answer.get("error").or_else(|| answer["results"][0].get("error")) {
            bail!("influxdb refused `{influxql}`: {error}");
        }
        Ok(answer)
    }
}

fn rows_of(series: &Value) -> anyhow::Result<Vec<Row>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names: Vec<String> =
        series["columns"].as_array().context("a series has columns")?.iter().map(text).collect();
    let tags =
        series["tags"].as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value)));
    let tags: BTreeMap<String, String> = tags.collect();
    let values = series["values"].as_array().context("a series has values")?;
    let row = |value: &Value| Row {
        measurement: text(&series["name"]),
        tags: tags.clone(),
        columns: names.iter().cloned().zip(value.as_array().into_iter().flatten().cloned()).collect(),
    };
    Ok(values.iter().map(row).collect())
}

fn engine_configuration(folder: &Path, http: u16, rpc: u16, ask_for_user: bool) -> String {
    let data = folder.display();
    format!(
        r#"reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{data}/meta"
[data]
  dir = "{data}/data"
  wal-dir = "{data}/wal"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{http}"
  log-enabled = false
  auth-enabled = {ask_for_user}
[ifql]
  enabled = false
[monitor]
  store-enabled = false
"#
    )
}

/// The route says no in the order InfluxDB 2 does: token, organisation, bucket, precision.
fn route_configuration(port: u16, engine: u16) -> String {
    let http = format!(
        r#"  map $http_authorization $authorized {{ "Token {TOKEN}" 1; "Bearer {TOKEN}" 1; default 0; }}
  map $arg_bucket $database {{ {BUCKET} {DATABASE}; default ""; }}
  map $arg_precision $unit {{ "" n; ns n; us u; ms ms; s s; default ""; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    client_max_body_size 10m;
    default_type application/json;
    location = /ping {{ return 204; }}
    location = /api/v2/write {{
      if ($authorized = 0) {{ return 401 '{{"code":"unauthorized","message":"unauthorized access"}}'; }}
      if ($arg_org != "{ORGANISATION}") {{ return 404 '{{"code":"not found","message":"organization name not found"}}'; }}
      if ($database = "") {{ return 404 '{{"code":"not found","message":"bucket not found"}}'; }}
      if ($unit = "") {{ return 400 '{{"code":"invalid","message":"invalid precision"}}'; }}
      set $args db=$database&precision=$unit;
      rewrite ^ /write break;
      proxy_pass http://127.0.0.1:{engine};
    }}
    location / {{ return 404; }}
  }}"#
    );
    crate::nginx::configuration(&http)
}
