//! Where results and records go.

use std::io::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use plimsoll_history::History;
use plimsoll_report::Run;
use plimsoll_run::ExitCode;

use crate::Stop;
use crate::arguments::{FileArguments, HistoryArgument};

/// The folder of this user's data.
pub(crate) fn data_folder() -> Option<PathBuf> {
    let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    plimsoll_history::default_path(path("XDG_DATA_HOME").as_deref(), path("HOME").as_deref())
        .and_then(|file| file.parent().map(Path::to_path_buf))
}

/// Opens the history that was asked for, or the user's own.
pub(crate) async fn history(argument: &HistoryArgument) -> Result<History, Stop> {
    let path = match &argument.history {
        Some(path) => path.clone(),
        None => data_folder().map(|folder| folder.join("history.db")).ok_or_else(|| {
            Stop::usage(anyhow::anyhow!(
                "no data directory is known (HOME is not set); name a file with --history PATH"
            ))
        })?,
    };
    History::open(&path).await.map_err(Stop::usage)
}

/// What became of the forms that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Which is where: ("report", "run.html").
    pub(crate) files: Vec<(String, String)>,
    /// Why the others are not.
    pub(crate) failed: Vec<anyhow::Error>,
}

impl Written {
    /// Writes one form where it was asked for.
    pub(crate) fn put(&mut self, name: &str, path: Option<&Path>, text: impl FnOnce() -> String) {
        let Some(path) = path else { return };
        match put(path, &text()) {
            Ok(()) if path.as_os_str() == "-" => {}
            Ok(()) => self.files.push((name.to_owned(), path.display().to_string())),
            Err(error) => self.failed.push(error),
        }
    }

    /// Tells each failure. `Err` when there was one: people asked for what is not there.
    pub(crate) fn tell(&self) -> Result<(), Stop> {
        self.failed.iter().for_each(|error| crate::say::errln!("error: {error:#}"));
        if self.failed.is_empty() { Ok(()) } else { Err(Stop::told(ExitCode::Internal)) }
    }
}

/// Writes a result in every form that was asked for. One that cannot be written keeps no other back.
pub(crate) fn write(runs: &[Run], files: &FileArguments) -> Written {
    let mut written = Written::default();
    written.put("report", files.report.as_deref(), || plimsoll_report::html(runs));
    written.put("json", files.json.as_deref(), || json(runs));
    written.put("markdown", files.markdown.as_deref(), || {
        runs.iter().map(plimsoll_report::markdown).collect::<Vec<_>>().join("\n")
    });
    written.put("junit", files.junit.as_deref(), || {
        runs.first().map(plimsoll_report::junit).unwrap_or_default()
    });
    written
}

/// One run's JSON, or a list of several.
fn json(runs: &[Run]) -> String {
    let value = match runs {
        [run] => plimsoll_report::json(run),
        runs => runs.iter().map(plimsoll_report::json).collect(),
    };
    format!("{value:#}\n")
}

/// Whether something goes to standard output, so that people are spoken to on standard error.
pub(crate) fn uses_stdout(files: &FileArguments) -> bool {
    [&files.json, &files.report, &files.junit, &files.markdown]
        .into_iter()
        .flatten()
        .any(|path| path.as_os_str() == "-")
}

/// Writes a text to a file, or to standard output for `-`. A file is replaced whole or not at all.
pub(crate) fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        let mut out = std::io::stdout().lock();
        return out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .context("cannot write to standard output");
    }
    let problem = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(problem)?;
    }
    // Devices like /dev/stderr cannot be replaced, only written.
    if path.exists() && !path.is_file() {
        return std::fs::write(path, text).with_context(problem);
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let done = whole(&part, text).and_then(|()| std::fs::rename(&part, path)).map(|()| sync_folder(path));
    if done.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    done.with_context(problem)
}

/// Writes a file whose bytes are on the disk before it gets its name: else a loss of power may leave the name alone.
fn whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// What was renamed is so after a loss of power too, unless the folder may be written and not be read.
fn sync_folder(file: &Path) {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let opened = std::fs::File::open(folder.unwrap_or(Path::new(".")));
    let _ = opened.and_then(|folder| folder.sync_all());
}

/// A file of a folder by the name that a text gives it, which need not be trusted: it may neither climb out nor follow a
/// link out, and learns nothing of what is there.
pub(crate) fn within(folder: &Path, file: &str) -> Result<PathBuf, String> {
    let outside =
        || format!("it lies outside the folder of plans, where a plan that is sent may not look: `{file}`");
    let is_inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(file).components().all(is_inside) {
        return Err(outside());
    }
    let real = |path: &Path| path.canonicalize().map_err(|error| error.to_string());
    let (folder, path) = (real(folder)?, folder.join(file));
    match path.canonicalize() {
        Ok(path) if path.starts_with(&folder) => Ok(path),
        // A link whose end is missing tells as much as one that is not.
        Err(error) if path.symlink_metadata().is_err() => Err(error.to_string()),
        Ok(_) | Err(_) => Err(outside()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_text_that_is_sent_lie_in_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("plans");
        std::fs::create_dir_all(folder.join("data")).unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        std::fs::write(folder.join("data/users.csv"), "name").unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
        link("../secret", "out");
        link("../missing", "dead");
        link("..", "up");
        link("data/users.csv", "in");
        for (file, is_allowed) in [
            ("data/users.csv", true),
            ("./data/users.csv", true),
            ("in", true),
            ("data/../data/users.csv", false),
            ("../secret", false),
            ("../missing", false),
            ("/etc/passwd", false),
            ("out", false),
            ("dead", false),
            ("up/secret", false),
        ] {
            let found = within(&folder, file);
            assert_eq!(found.is_ok(), is_allowed, "{file}: {found:?}");
            assert!(is_allowed || found.unwrap_err().contains("outside the folder"), "{file}");
        }
        assert!(within(&folder, "none").unwrap_err().contains("No such file"));
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/result.json");
        put(&file, "one").unwrap();
        put(&file, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(
            std::fs::read_dir(file.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        let error = put(&file.join("below"), "x").unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
    }
}
