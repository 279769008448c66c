//! `plimsoll compare`: what got worse between two sets of runs.

mod recorded;

use std::path::Path;

use anyhow::{Context, anyhow};
use plimsoll_compare::{Comparisons, read_samples};
use plimsoll_report::Text;
use plimsoll_run::ExitCode;
use plimsoll_stats::Rule;
use serde_json::Value;

use crate::arguments::{AnswerForms, CompareArguments};
use crate::{Outcome, Stop, files, tables};

/// What people call a table.
pub(crate) fn table_name(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() }
}

/// The bytes of a table.
pub(crate) fn open(path: &Path) -> Result<plimsoll_data::Source, Stop> {
    let opened = tables::open_or_input(path);
    opened.map_err(|error| Stop::usage(anyhow!("cannot read {}: {error}", table_name(path))))
}

pub(crate) async fn compare(arguments: &CompareArguments) -> Outcome {
    let (name, found) = match (&arguments.data, &arguments.base, &arguments.candidate) {
        (Some(path), ..) => (table_name(path), of_table(path, &arguments.higher)?),
        (None, Some(base), Some(candidate)) => {
            (format!("{candidate} against {base}"), recorded::compared(base, candidate, arguments).await?)
        }
        (None, ..) => {
            return Err(Stop::usage(anyhow!("name two sides, BASE and CANDIDATE, or a table with --data")));
        }
    };
    let json = || plimsoll_report::comparison_json(&found);
    let markdown = || plimsoll_report::comparison_markdown(&name, &found);
    answer(&arguments.forms, json, markdown, |options| {
        plimsoll_report::comparison_text(&name, &found, options)
    })?;
    Ok(code(&found))
}

fn of_table(path: &Path, higher: &[String]) -> Result<Comparisons, Stop> {
    let samples = read_samples(open(path)?).with_context(|| table_name(path)).map_err(Stop::usage)?;
    samples.compare(Rule::default(), higher).with_context(|| table_name(path)).map_err(Stop::usage)
}

/// A regression counts before what is not known.
fn code(found: &Comparisons) -> ExitCode {
    if found.has_regression() {
        ExitCode::Missed
    } else if found.is_undecided() {
        ExitCode::Undecided
    } else {
        ExitCode::Success
    }
}

/// Writes an answer in every form that was asked for, and for people.
pub(crate) fn answer(
    forms: &AnswerForms,
    json: impl FnOnce() -> Value,
    markdown: impl FnOnce() -> String,
    text: impl FnOnce(&Text) -> String,
) -> Result<(), Stop> {
    let mut written = files::Written::default();
    written.put("json", forms.json.as_deref(), || format!("{:#}\n", json()));
    written.put("markdown", forms.markdown.as_deref(), markdown);
    let paths = [&forms.json, &forms.markdown];
    let to_stdout = paths.into_iter().flatten().any(|path| path.as_os_str() == "-");
    let text = text(&crate::run::text_options(std::mem::take(&mut written.files), to_stdout));
    if to_stdout {
        crate::say::err!("{text}");
    } else {
        crate::say::out!("{text}");
    }
    written.tell()
}
