//! From a path as typed to a plan as meant.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

use plimsoll_run::{ExitCode, ExportSettings, NotifySettings, RunPlan};
use plimsoll_sla::Sla;
use plimsoll_spec::{Diagnostic, Inputs, OpenTable, Parsed, Source};

use crate::{Stop, files};

/// What the command line changes about a plan.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) set: Vec<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) seed: Option<u64>,
    /// What SLA files promise.
    pub(crate) slas: Vec<Sla>,
}

/// Reads a plan file, or with `-` standard input, whose files are looked up where we are. Mistakes are told here, all of them.
pub(crate) fn load(path: &Path, changes: Changes) -> Result<Parsed, Stop> {
    let read = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = read.map_err(|error| {
        Stop::usage(anyhow::Error::new(error).context(format!("cannot read the plan {}", path.display())))
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    parse(&path.display().to_string(), text, folder, changes)
}

/// Reads a plan's text; files it names are looked up in `folder`.
pub(crate) fn parse(name: &str, text: String, folder: &Path, changes: Changes) -> Result<Parsed, Stop> {
    read(name, text, folder, changes).map_err(|diagnostics| {
        tell(&diagnostics);
        Stop::told(ExitCode::Usage)
    })
}

/// The same for who tells mistakes elsewhere.
pub(crate) fn read(
    name: &str,
    text: String,
    folder: &Path,
    changes: Changes,
) -> Result<Parsed, Vec<Diagnostic>> {
    let read = |file: &str| std::fs::read(folder.join(file)).map_err(|error| error.to_string());
    let open = |file: &str| crate::tables::open(&folder.join(file));
    parse_from(name, text, &read, Some(&open), changes)
}

/// The same for a text whose author may not read more than the folder: every file that it names lies in there.
pub(crate) fn read_within(name: &str, text: String, folder: &Path) -> Result<Parsed, Vec<Diagnostic>> {
    let read = |file: &str| std::fs::read(files::within(folder, file)?).map_err(|error| error.to_string());
    let open = |file: &str| crate::tables::open(&files::within(folder, file)?);
    parse_from(name, text, &read, Some(&open), Changes::default())
}

/// Reads a plan's text; `read` gives the files it names, tables too.
pub(crate) fn parse_with(
    name: &str,
    text: String,
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    changes: Changes,
) -> Result<Parsed, Stop> {
    parse_from(name, text, read, None, changes).map_err(|diagnostics| {
        tell(&diagnostics);
        Stop::told(ExitCode::Usage)
    })
}

fn parse_from(
    name: &str,
    text: String,
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    open: Option<&OpenTable<'_>>,
    changes: Changes,
) -> Result<Parsed, Vec<Diagnostic>> {
    let env = |name: &str| std::env::var(name).ok();
    let mut inputs = Inputs::new(&env, read);
    inputs.open = open;
    inputs.set = changes.set;
    inputs.tags = changes.tags;
    inputs.seed = changes.seed;
    inputs.slas = &changes.slas;
    let source = Source { name: name.to_owned(), text };
    plimsoll_spec::parse(&source, &inputs)
}

/// Reads a plan as a record keeps it; files that it names are looked up where we are.
pub(crate) fn kept(name: &str, text: String, changes: Changes) -> Result<RunPlan, Stop> {
    let elsewhere = |error: String| {
        format!(
            "{error} (files of the plan are looked up here: go to its folder, or name the plan with `--plan FILE`)"
        )
    };
    let env = |name: &str| std::env::var(name).ok();
    let read = |file: &str| std::fs::read(file).map_err(|error| elsewhere(error.to_string()));
    let open = |file: &str| crate::tables::open(Path::new(file)).map_err(elsewhere);
    let mut inputs = Inputs::new(&env, &read);
    inputs.open = Some(&open);
    inputs.set = changes.set;
    inputs.tags = changes.tags;
    plimsoll_spec::parse_kept(&Source { name: name.to_owned(), text }, &inputs).map_err(|diagnostics| {
        tell(&diagnostics);
        Stop::told(ExitCode::Usage)
    })
}

/// Reads of a plan what undoes its run. Without a folder the text is that of a record.
pub(crate) fn teardown(
    name: &str,
    text: String,
    folder: Option<&Path>,
    set: Vec<String>,
) -> Result<RunPlan, Stop> {
    let env = |name: &str| std::env::var(name).ok();
    let read = |file: &str| match folder {
        Some(folder) => std::fs::read(folder.join(file)).map_err(|error| error.to_string()),
        None => std::fs::read(file).map_err(|error| {
            format!("{error} (the record does not keep where the plan was: `--plan FILE` says it)")
        }),
    };
    let mut inputs = Inputs::new(&env, &read);
    inputs.set = set;
    let source = Source { name: name.to_owned(), text };
    plimsoll_spec::parse_teardown(&source, &inputs, folder.is_none()).map_err(|diagnostics| {
        tell(&diagnostics);
        Stop::told(ExitCode::Usage)
    })
}

/// Reads where a plan exports to, and nothing else of it.
pub(crate) fn export(name: &str, text: String) -> Result<ExportSettings, Stop> {
    let env = |name: &str| std::env::var(name).ok();
    let none = |_: &str| Err("files are not read here".to_owned());
    let source = Source { name: name.to_owned(), text };
    plimsoll_spec::parse_export(&source, &Inputs::new(&env, &none)).map_err(|diagnostics| {
        tell(&diagnostics);
        Stop::told(ExitCode::Usage)
    })
}

/// Reads where the plan in a file exports to.
pub(crate) fn export_of(path: &Path) -> Result<ExportSettings, Stop> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Stop::usage(anyhow::Error::new(error).context(format!("cannot read the plan {}", path.display())))
    })?;
    export(&path.display().to_string(), text)
}

/// Reads who is told, and nothing else: of a plan, or of a service's configuration. `None` where neither says it.
pub(crate) fn notify(name: &str, text: String) -> Result<Option<NotifySettings>, Stop> {
    let env = |name: &str| std::env::var(name).ok();
    let none = |_: &str| Err("files are not read here".to_owned());
    let source = Source { name: name.to_owned(), text };
    plimsoll_spec::parse_notify(&source, &Inputs::new(&env, &none)).map_err(|diagnostics| {
        tell(&diagnostics);
        Stop::told(ExitCode::Usage)
    })
}

/// Prints diagnostics to standard error.
pub(crate) fn tell(diagnostics: &[Diagnostic]) {
    let colour = colour();
    for diagnostic in diagnostics {
        crate::say::errln!("{}\n", diagnostic.render(colour));
    }
}

/// Whether standard error shows colour.
pub(crate) fn colour() -> bool {
    std::io::stderr().is_terminal() && no_color_is_unset()
}

/// Whether the user has not asked for plain text (no-color.org).
pub(crate) fn no_color_is_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
