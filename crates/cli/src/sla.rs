//! `plimsoll sla`: files of service-level objectives.

mod connections;
mod kept;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use plimsoll_exposition::sla_rules::{rules_file, sla_rules};
use plimsoll_run::ExitCode;
use plimsoll_sla::Sla;
use plimsoll_sla::openslo::Word;
use plimsoll_spec::openslo::{Documents, Found, Issue, Version, read, read_slas};
use plimsoll_spec::{Source, Weight};
use serde_json::{Value as Json, json};

use crate::arguments::SlaCommand;
use crate::view::plain;
use crate::{Outcome, Stop, files, plan, say};

pub(crate) use connections::connections;

pub(crate) async fn sla(command: &SlaCommand) -> Outcome {
    match command {
        SlaCommand::Check { files, json } => check(files, json.as_deref()),
        SlaCommand::Rules { files, out } => rules(files, out.as_deref()),
        SlaCommand::Dashboards { files, out } => dashboards(files, out),
        SlaCommand::Status { files, watch, json, history } => {
            kept::status(files, *watch, json.as_deref(), history).await
        }
        SlaCommand::Report { files, month, html, markdown, json, history } => {
            let forms =
                kept::Forms { html: html.as_deref(), markdown: markdown.as_deref(), json: json.as_deref() };
            kept::report(files, month, &forms, history).await
        }
    }
}

fn check(paths: &[PathBuf], json: Option<&Path>) -> Outcome {
    let sources = paths.iter().map(|path| source(path)).collect::<Result<Vec<_>, _>>()?;
    let documents = read(&sources);
    tell(&sources, &documents, json.is_some_and(|path| path.as_os_str() == "-"));
    if let Some(path) = json {
        files::put(path, &format!("{:#}\n", as_json(&sources, &documents))).map_err(Stop::internal)?;
    }
    Ok(if documents.is_right() { ExitCode::Success } else { ExitCode::Usage })
}

/// A dashboard for each service, in a file of its own.
fn dashboards(paths: &[PathBuf], out: &Path) -> Outcome {
    let (_, slas) = promises(paths)?;
    for dashboard in plimsoll_exposition::dashboards::of_slas(&slas) {
        let path = out.join(format!("{}.json", dashboard.name));
        files::put(&path, &dashboard.json).map_err(Stop::internal)?;
        say::outln!("{}", path.display());
    }
    Ok(ExitCode::Success)
}

/// What files of SLAs promise, as one set. What is wrong with them is told here, all of it; what to know of them too.
pub(crate) fn promises(paths: &[PathBuf]) -> Result<(Documents, Vec<Sla>), Stop> {
    let sources = paths.iter().map(|path| source(path)).collect::<Result<Vec<_>, _>>()?;
    let (documents, slas) = read_slas(&sources);
    plan::tell(&documents.issues.iter().map(|issue| issue.diagnostic.clone()).collect::<Vec<_>>());
    if !documents.is_right() {
        return Err(Stop::told(ExitCode::Usage));
    }
    if slas.is_empty() && !paths.is_empty() {
        let names = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(Stop::usage(anyhow::anyhow!("there is no SLO in {names}: nothing is promised")));
    }
    Ok((documents, slas))
}

/// Writes the rules of all SLAs, or of none where one of them cannot have any.
fn rules(paths: &[PathBuf], folder: Option<&Path>) -> Outcome {
    let (_, slas) = promises(paths)?;
    let (mut written, mut refused) = (Vec::new(), false);
    for sla in &slas {
        match sla_rules(sla) {
            Ok(rules) => written.push(rules),
            Err(error) => {
                refused = true;
                say::errln!("error: {}", plain(&error.to_string()));
            }
        }
    }
    if refused {
        return Ok(ExitCode::Usage);
    }
    for rules in &written {
        for note in &rules.notes {
            say::errln!("note: `{}`: {}", plain(&rules.name), plain(note));
        }
    }
    let Some(folder) = folder else {
        files::put(Path::new("-"), &rules_file(&written)).map_err(Stop::internal)?;
        return Ok(ExitCode::Success);
    };
    for rules in &written {
        let name = format!("{}.rules.yml", rules.name);
        files::put(&folder.join(&name), &rules_file([rules])).map_err(Stop::usage)?;
        if let Some(test) = rules.test_file(&name) {
            files::put(&folder.join(format!("{}.test.yml", rules.name)), &test).map_err(Stop::usage)?;
        }
        let (records, alerts) = rules.counts();
        say::errln!("{name}: {} and {}", count(records, "recording rule"), count(alerts, "alert"));
    }
    Ok(ExitCode::Success)
}

fn source(path: &Path) -> Result<Source, Stop> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {name}")).map_err(Stop::usage)?;
    Ok(Source { name, text })
}

/// Says of every object what it is, and then what there is to say of it.
fn tell(sources: &[Source], documents: &Documents, is_stdout_taken: bool) {
    let line = |line: String| match is_stdout_taken {
        true => say::errln!("{line}"),
        false => say::outln!("{line}"),
    };
    let about = |object: Option<usize>, file: usize| {
        let issues =
            documents.issues.iter().filter(move |issue| issue.object == object && issue.file == file);
        plan::tell(&issues.map(|issue| issue.diagnostic.clone()).collect::<Vec<_>>());
    };
    for (file, source) in sources.iter().enumerate() {
        about(None, file);
        for (position, found) in documents.found.iter().enumerate().filter(|(_, found)| found.file == file) {
            line(format!("{}:{}: {}", source.name, found.line, describe(found)));
            about(Some(position), file);
        }
    }
    for (left_out, what) in [(documents.errors_left_out, "errors"), (documents.warnings_left_out, "warnings")]
    {
        if left_out > 0 {
            say::errln!("{what} beyond these: {left_out}\n");
        }
    }
    let objects = count(documents.found.len(), "object");
    let (errors, warnings) = counts(documents);
    let said = [count(errors, "error"), count(warnings, "warning")].join(", ");
    line(format!("{objects} in {}: {said}", count(sources.len(), "file")));
}

/// What an object is and how it fared.
fn describe(found: &Found) -> String {
    let kind = found.kind.map_or("an object of no known kind", Word::label);
    let name = if found.name.is_empty() { String::new() } else { format!(" `{}`", plain(&found.name)) };
    let version = match found.version {
        Some(Version::V1alpha) => {
            format!(" of {}, read as {}", Version::V1alpha.label(), Version::V1.label())
        }
        Some(Version::V1) | None => String::new(),
    };
    let fared: Vec<String> = [(found.errors, "error"), (found.warnings, "warning")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| count(number, what))
        .collect();
    let fared = if fared.is_empty() { "ok".to_owned() } else { fared.join(", ") };
    format!("{kind}{name}{version}: {fared}")
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// All errors and warnings, those that are not shown too.
fn counts(documents: &Documents) -> (usize, usize) {
    let of = |weight: Weight| documents.issues.iter().filter(move |issue| issue.diagnostic.weight == weight);
    let errors = of(Weight::Error).count() + documents.errors_left_out;
    let warnings = of(Weight::Warning).count() + documents.warnings_left_out;
    (errors, warnings)
}

fn as_json(sources: &[Source], documents: &Documents) -> Json {
    let name = |file: usize| sources.get(file).map(|source| source.name.as_str());
    let object = |found: &Found| {
        json!({
            "file": name(found.file),
            "line": found.line,
            "version": found.version.map(Word::label),
            "kind": found.kind.map(Word::label),
            "name": (!found.name.is_empty()).then_some(&found.name),
            "errors": found.errors,
            "warnings": found.warnings,
        })
    };
    let issue = |Issue { file, object, path, rule, diagnostic }: &Issue| {
        let place = diagnostic.excerpt.as_ref();
        json!({
            "weight": if diagnostic.weight == Weight::Error { "error" } else { "warning" },
            "rule": rule.name(),
            "file": name(*file),
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
            "object": object,
            "path": path.to_string(),
            "message": diagnostic.message,
            "hint": diagnostic.label,
            "help": diagnostic.help,
        })
    };
    let (errors, warnings) = counts(documents);
    json!({
        "ok": documents.is_right(),
        "errors": errors,
        "warnings": warnings,
        "objects": documents.found.iter().map(object).collect::<Json>(),
        "issues": documents.issues.iter().map(issue).collect::<Json>(),
    })
}
