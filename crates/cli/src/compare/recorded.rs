//! Both sides of a comparison from the history.
//!
//! The figures of a run are those of the JSON that was kept at its end, so that a year of runs is compared without reading
//! their seconds, also where those were thinned out. Only a run without one, whose process was killed, is folded again.

use std::collections::BTreeSet;

use anyhow::{Context, anyhow};
use plimsoll_compare::{Comparisons, RecordedRun, RunsError, compare_runs};
use plimsoll_history::{Filter, History, RunRow};
use plimsoll_run::LIMIT_TAG;
use plimsoll_stats::{Rule, Side};

use crate::arguments::CompareArguments;
use crate::progress::Progress;
use crate::{Stop, files, records};

/// So many plans or values are named where nothing was found.
const NAMED: usize = 8;

/// The runs of a side, as somebody names them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// Each by its id, the beginning of one, or `last`.
    Runs(Vec<String>),
    /// By what they are.
    That(Vec<Property>),
}

/// Something that runs have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Property {
    key: String,
    value: String,
}

impl Named {
    /// Reads `ID,ID,...` or `KEY=VALUE,KEY=VALUE,...`.
    fn read(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err("found nothing where a run should be named".to_owned());
        }
        let properties: Vec<Property> = parts.iter().filter_map(|part| Property::read(part)).collect();
        match properties.len() {
            0 => Ok(Self::Runs(parts.into_iter().map(str::to_owned).collect())),
            count if count == parts.len() => match properties.iter().find(|one| one.key.is_empty()) {
                Some(one) => Err(format!("found no name before `={}`", one.value)),
                None => Ok(Self::That(properties)),
            },
            _ => Err("found ids and what runs are side by side".to_owned()),
        }
    }
}

impl Named {
    /// Refuses what is said for both sides and otherwise for one.
    fn beside(self, arguments: &CompareArguments) -> Result<Self, String> {
        let Self::That(properties) = &self else { return Ok(self) };
        let for_both = |one: &&Property| match one.key.as_str() {
            "plan" => arguments.plan.is_some(),
            key => arguments.tags.iter().any(|(tag, _)| tag == key),
        };
        match properties.iter().find(for_both) {
            Some(Property { key, .. }) => Err(format!("found `{key}`, which is given for both sides")),
            None => Ok(self),
        }
    }
}

impl Property {
    fn read(part: &str) -> Option<Self> {
        let (key, value) = part.split_once('=')?;
        Some(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
    }
}

/// The filter of runs that have all these properties: `plan`, `hash`, `version`, `environment`, else a tag.
fn filter(properties: &[Property], arguments: &CompareArguments) -> Filter {
    let mut filter = Filter {
        plan: arguments.plan.clone(),
        tags: arguments.tags.iter().cloned().collect(),
        limit: Some(arguments.runs),
        ..Filter::default()
    };
    for Property { key, value } in properties {
        let value = value.clone();
        match key.as_str() {
            "plan" => filter.plan = Some(value),
            "hash" => filter.plan_hash = Some(value),
            "version" => filter.version = Some(value),
            "environment" => filter.environment = Some(value),
            tag => {
                filter.tags.insert(tag.to_owned(), value);
            }
        }
    }
    filter
}

/// Compares two sides of the history.
pub(super) async fn compared(
    base: &str,
    candidate: &str,
    arguments: &CompareArguments,
) -> Result<Comparisons, Stop> {
    let sides = [(Side::Base, base), (Side::Candidate, candidate)];
    let mut named = Vec::new();
    for (side, text) in sides {
        let allowed = "write ids with commas between (`last` is the latest run), or what the runs are, like `plan=shop,version=1.4`";
        let read = Named::read(text).and_then(|named| named.beside(arguments));
        let read = read.map_err(|found| anyhow!("{side} `{text}`: {found}; {allowed}"));
        named.push((side, read.map_err(Stop::usage)?));
    }
    let history = files::history(&arguments.history).await?;
    let mut rows = Vec::new();
    for (side, named) in &named {
        rows.push(rows_of(&history, *side, named, arguments).await?);
    }
    let mut progress = Progress::new("reading runs", rows.iter().map(Vec::len).sum());
    let mut runs = Vec::new();
    for rows in rows {
        let mut of_side = Vec::new();
        for row in rows {
            of_side.push(figures(&history, row).await?);
            progress.one_more();
        }
        runs.push(of_side);
    }
    drop(progress);
    let (candidate, base) = (runs.pop().unwrap_or_default(), runs.pop().unwrap_or_default());
    compare_runs(base, candidate, Rule::default()).map_err(|error| match error {
        // There were runs; that none of them can be trusted is no fault of who asked.
        RunsError::NoneLeft { .. } => Stop::refused(error),
        RunsError::BothSides { .. } | RunsError::NoStepInCommon { .. } | RunsError::Compare(_) => {
            Stop::usage(error)
        }
    })
}

/// The runs of a side, the oldest first.
async fn rows_of(
    history: &History,
    side: Side,
    named: &Named,
    arguments: &CompareArguments,
) -> Result<Vec<RunRow>, Stop> {
    match named {
        Named::That(properties) => {
            let filter = filter(properties, arguments);
            let mut rows = latest(history, filter.clone(), arguments.runs).await?;
            if rows.is_empty() {
                return Err(Stop::usage(nothing(history, side, &filter).await?));
            }
            rows.reverse();
            Ok(rows)
        }
        Named::Runs(asked) => {
            let (mut rows, mut known) = (Vec::new(), BTreeSet::new());
            for asked in asked {
                let id = history.find(asked).await.with_context(|| format!("{side} `{asked}`"));
                let id = id.map_err(Stop::usage)?;
                // One run that was named twice is one run.
                if known.insert(id.clone()) {
                    rows.push(row_of(history, side, id, arguments).await?);
                }
            }
            Ok(rows)
        }
    }
}

/// The latest so many runs that a filter lets through, without the trials of searches for limits unless those are asked for: each has
/// another load.
async fn latest(history: &History, mut filter: Filter, most: u32) -> Result<Vec<RunRow>, Stop> {
    let are_asked_for = filter.tags.contains_key(LIMIT_TAG);
    let most = most as usize;
    let mut rows = Vec::new();
    loop {
        let page = history.list(&filter).await.map_err(Stop::usage)?;
        let is_last = page.len() < most;
        filter.after = page.last().map(|row| (row.started_nanos, row.id.clone()));
        rows.extend(page.into_iter().filter(|row| are_asked_for || !row.tags.contains_key(LIMIT_TAG)));
        if is_last || rows.len() >= most {
            rows.truncate(most);
            return Ok(rows);
        }
    }
}

/// A run that was named, unless it is not one of those that both sides are to be of.
async fn row_of(
    history: &History,
    side: Side,
    id: String,
    arguments: &CompareArguments,
) -> Result<RunRow, Stop> {
    let filter = Filter { id: Some(id.clone()), ..filter(&[], arguments) };
    let row = history.list(&filter).await.map_err(Stop::usage)?.pop();
    row.ok_or_else(|| {
        let words = in_words(&Filter { id: None, ..filter });
        Stop::usage(anyhow!("{side}: run {id} is not one with {words}"))
    })
}

/// What a run says: by the JSON that was left at its end, or by its seconds.
async fn figures(history: &History, row: RunRow) -> Result<RecordedRun, Stop> {
    let kept = row.summary.as_deref().filter(|_| !row.is_live());
    if let Some(run) = kept.and_then(|text| RecordedRun::from_json(text).ok()) {
        return Ok(run);
    }
    let run = records::recorded(history, &row.id).await?;
    let json = plimsoll_report::json(&run).to_string();
    RecordedRun::from_json(&json).with_context(|| format!("run {}", row.id)).map_err(Stop::internal)
}

/// Why a side has no runs, and which there are.
async fn nothing(history: &History, side: Side, filter: &Filter) -> Result<anyhow::Error, Stop> {
    let everything = Filter { limit: Some(1000), ..Filter::default() };
    let rows = history.list(&everything).await.map_err(Stop::usage)?;
    let words = in_words(filter);
    let there_are = |what: &str, values: BTreeSet<String>| {
        let more = if values.len() > NAMED { ", ..." } else { "" };
        let values: Vec<String> = values.into_iter().take(NAMED).collect();
        if values.is_empty() { format!("no {what}") } else { format!("{what} {}{more}", values.join(", ")) }
    };
    if rows.is_empty() {
        return Ok(anyhow!("{side}: no runs are recorded here; `plimsoll run PLAN` records one"));
    }
    let plans = there_are("plans", rows.iter().map(|row| row.plan.clone()).collect());
    let versions = there_are("versions", rows.iter().filter_map(|row| row.version.clone()).collect());
    Ok(anyhow!(
        "{side}: no recorded run has {words} (trials of `plimsoll limit` are not taken); there are {plans}; {versions}"
    ))
}

fn in_words(filter: &Filter) -> String {
    let given = [
        ("plan", &filter.plan),
        ("hash", &filter.plan_hash),
        ("version", &filter.version),
        ("environment", &filter.environment),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let tags = filter.tags.iter().map(|(key, value)| (key.as_str(), value));
    given.chain(tags).map(|(name, value)| format!("{name} `{value}`")).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_ids_or_what_its_runs_are() {
        let runs = |ids: &[&str]| Ok(Named::Runs(ids.iter().map(|id| (*id).to_owned()).collect()));
        let that = |pairs: &[(&str, &str)]| {
            let property =
                |(key, value): &(&str, &str)| Property { key: (*key).to_owned(), value: (*value).to_owned() };
            Ok(Named::That(pairs.iter().map(property).collect()))
        };
        let wrong = |text: &str| Err(text.to_owned());
        for (text, expected) in [
            ("01a2", runs(&["01a2"])),
            ("01a2,01a3, last", runs(&["01a2", "01a3", "last"])),
            ("version=1.4", that(&[("version", "1.4")])),
            ("plan=shop,branch=a=b", that(&[("plan", "shop"), ("branch", "a=b")])),
            ("", wrong("found nothing where a run should be named")),
            ("01a2,,01a3", wrong("found nothing where a run should be named")),
            ("01a2,version=1.4", wrong("found ids and what runs are side by side")),
            ("=1.4", wrong("found no name before `=1.4`")),
        ] {
            assert_eq!(Named::read(text), expected, "{text}");
        }
    }
}
