//! What is kept of SLAs: how they stand, and what months came to.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use plimsoll_history::{History, KeptSla};
use plimsoll_run::ExitCode;
use plimsoll_service::with_composites;
use plimsoll_sla::Sla;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::promises;
use crate::arguments::HistoryArgument;
use crate::{Outcome, Stop, files, say, signals};

/// A status is written every minute at least: older than this, nobody judges any more.
const STALE: u64 = 90;

/// Goes to the beginning of the screen and clears what was there.
const AGAIN: &str = "\u{1b}[H\u{1b}[2J";

pub(super) async fn status(
    paths: &[PathBuf],
    watch: bool,
    json: Option<&Path>,
    history: &HistoryArgument,
) -> Outcome {
    let (_, slas) = promises(paths)?;
    let history = files::history(history).await?;
    if !watch {
        let rows = rows(&history, &slas).await?;
        if let Some(path) = json {
            let text = format!("{:#}\n", json!({ "schema": 1, "slas": rows }));
            files::put(path, &text).map_err(Stop::internal)?;
        }
        if json.is_none_or(|path| path.as_os_str() != "-") {
            say::out!("{}", plimsoll_report::slas_text(&rows));
        }
        return Ok(ExitCode::Success);
    }
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let _signals = signals::on_interrupt(move || stopper.cancel()).map_err(Stop::internal)?;
    let again = if std::io::stdout().is_terminal() { AGAIN } else { "" };
    while !stop.is_cancelled() {
        say::outln!("{again}{}", plimsoll_report::slas_text(&rows(&history, &slas).await?));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(ExitCode::Success)
}

/// How they stand, composites too; only those that are promised, where anything is.
async fn rows(history: &History, slas: &[Sla]) -> Result<Vec<Value>, Stop> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let kept = history.slas().await.map_err(Stop::internal)?;
    Ok(standing(&kept, slas, now))
}

fn standing(kept: &[KeptSla], slas: &[Sla], now: u64) -> Vec<Value> {
    let is_asked = |name: &str| slas.is_empty() || slas.iter().any(|sla| sla.slo.name == name);
    let mut rows: Vec<Value> =
        kept.iter().filter(|kept| is_asked(&kept.name)).map(|kept| row(kept, now)).collect();
    for sla in slas.iter().filter(|sla| !kept.iter().any(|kept| kept.name == sla.slo.name)) {
        let name = &sla.slo.name;
        rows.push(json!({
            "schema": 1, "name": name, "label": name, "target": sla.slo.target.share().to_f64(),
            "state": "undecided", "why": "no service has judged it yet",
        }));
    }
    with_composites(rows)
}

fn row(kept: &KeptSla, now: u64) -> Value {
    let told = kept.status.as_deref().and_then(|status| serde_json::from_str::<Value>(status).ok());
    let Some(mut row) = told else {
        let label =
            kept.value.as_ref().map_or_else(|| kept.name.clone(), |value| format!("{}/{value}", kept.name));
        return json!({
            "schema": 1, "name": kept.name, "label": label, "value": kept.value,
            "state": "undecided", "why": "no service has judged it yet",
        });
    };
    // What was true when a service ended is not known to be so any more.
    if kept.judged.is_none_or(|judged| now > judged + STALE) && row["as_of"].is_string() {
        let (then, when) =
            (row["state"].as_str().unwrap_or("").to_owned(), row["as_of"].as_str().unwrap_or("").to_owned());
        row["state"] = json!("undecided");
        row["since"] = Value::Null;
        row["why"] = json!(format!("no service has judged it since {when}, when it was {then}"));
    }
    row
}

/// What the report is written as.
#[derive(Debug)]
pub(super) struct Forms<'a> {
    pub(super) html: Option<&'a Path>,
    pub(super) markdown: Option<&'a Path>,
    pub(super) json: Option<&'a Path>,
}

pub(super) async fn report(
    paths: &[PathBuf],
    month: &str,
    forms: &Forms<'_>,
    history: &HistoryArgument,
) -> Outcome {
    if !is_month(month) {
        return Err(Stop::usage(anyhow!("--month: `{month}` is no month; write it like 2026-11")));
    }
    let (_, slas) = promises(paths)?;
    let history = files::history(history).await?;
    let rows = months(&history, month, &slas).await?;
    if rows.is_empty() {
        return Err(Stop::usage(anyhow!("nothing is kept of SLAs in {month}: `plimsoll serve` judges them")));
    }
    let mut written = files::Written::default();
    written.put("html", forms.html, || plimsoll_report::sla_month_html(month, &rows));
    written.put("markdown", forms.markdown, || plimsoll_report::sla_month_markdown(month, &rows));
    written.put("json", forms.json, || format!("{:#}\n", plimsoll_report::sla_month_json(month, &rows)));
    if forms.html.is_none() && forms.markdown.is_none() && forms.json.is_none() {
        say::out!("{}", plimsoll_report::sla_month_markdown(month, &rows));
    }
    written.tell()?;
    Ok(ExitCode::Success)
}

fn is_month(text: &str) -> bool {
    let (year, month) = text.split_once('-').unwrap_or_default();
    let digits =
        |part: &str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(year, 4) && digits(month, 2) && ("01"..="12").contains(&month)
}

/// What the month came to for each SLA, with the breaches that touch it.
async fn months(history: &History, month: &str, slas: &[Sla]) -> Result<Vec<Value>, Stop> {
    let outcomes = history.sla_months(month).await.map_err(Stop::internal)?;
    let breaches = history.sla_breaches(0).await.map_err(Stop::internal)?;
    let mut rows = BTreeMap::new();
    for kept in outcomes {
        let Ok(mut row) = serde_json::from_str::<Value>(&kept.outcome) else { continue };
        let name = row["name"].as_str().unwrap_or("").to_owned();
        if !slas.is_empty() && !slas.iter().any(|sla| sla.slo.name == name) {
            continue;
        }
        let (from, to) = (unix(&row["from"]), unix(&row["to"]));
        let touches = |began: u64, ended: Option<u64>| {
            to.is_none_or(|to| began < to) && from.is_none_or(|from| ended.is_none_or(|ended| ended > from))
        };
        let of_row = breaches
            .iter()
            .rev()
            .filter(|breach| breach.sla == kept.sla && touches(breach.began, breach.ended));
        row["breaches"] = of_row
            .map(|breach| {
                json!({
                    "began": moment(breach.began), "found": moment(breach.found),
                    "ended": breach.ended.map(moment), "why": breach.why,
                })
            })
            .collect();
        rows.insert(row["label"].as_str().unwrap_or("").to_owned(), row);
    }
    Ok(rows.into_values().collect())
}

fn unix(value: &Value) -> Option<u64> {
    let moment: jiff::Timestamp = value.as_str()?.parse().ok()?;
    moment.as_second().try_into().ok()
}

fn moment(second: u64) -> String {
    let moment = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    moment.map_or_else(|| second.to_string(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(name: &str, state: &str, judged: u64) -> KeptSla {
        let status =
            json!({"name": name, "label": name, "state": state, "as_of": moment(judged), "why": "so"});
        KeptSla {
            number: 1,
            name: name.to_owned(),
            value: None,
            status: Some(status.to_string()),
            judged: Some(judged),
        }
    }

    #[test]
    fn what_nobody_judges_any_more_is_undecided() {
        let told = |now: u64| {
            let rows = standing(&[kept("a", "ok", 1_000_000)], &[], now);
            (rows[0]["state"].as_str().unwrap().to_owned(), rows[0]["why"].as_str().unwrap().to_owned())
        };
        assert_eq!(told(1_000_060), ("ok".to_owned(), "so".to_owned()));
        let why = "no service has judged it since 1970-01-12T13:46:40Z, when it was ok";
        assert_eq!(told(1_000_091), ("undecided".to_owned(), why.to_owned()));
        let new = KeptSla { status: None, judged: None, value: Some("x".to_owned()), ..kept("a", "ok", 0) };
        let rows = standing(&[new], &[], 5);
        assert_eq!((rows[0]["label"].as_str(), rows[0]["state"].as_str()), (Some("a/x"), Some("undecided")));
    }

    #[test]
    fn a_month_is_a_year_and_two_digits() {
        for (text, expected) in [
            ("2026-11", true),
            ("2026-00", false),
            ("2026-13", false),
            ("2026-1", false),
            ("26-11", false),
            ("november", false),
            ("2026-11-01", false),
        ] {
            assert_eq!(is_month(text), expected, "{text}");
        }
    }
}
