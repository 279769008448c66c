//! Reports that schedules have made: files of a folder, in a folder for each schedule.
//!
//! Processes of their own write them. What is asked for over HTTP is looked up among what is there, so that no name leads
//! anywhere else.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::{Path as Asked, State};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::guard;
use crate::plans::is_name;
use crate::problem::{Kind, Problem};
use crate::route::{Answer, Doc, READ, Route};
use crate::routes::{App, under};

/// The newest that a list tells.
const TOLD: usize = 1_000;

/// The largest file that is sent, in bytes: a report has some hundred thousand.
const LARGEST: u64 = 64 << 20;

/// What a process left of this age that died while it wrote. None writes for so long.
const LEFT: Duration = Duration::from_secs(3_600);

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/reports", READ, list).doc(Doc::json(
            "listReports",
            "Reports that schedules have made, the latest first",
            "Reports",
        )),
        Route::get("/api/v1/reports/{schedule}/{file}", READ, report).doc(Doc::new(
            "getScheduledReport",
            "A report that a schedule has made, one HTML file",
            Answer::Html,
        )),
    ]
}

async fn list(State(app): State<App>) -> Result<Json<Value>, Problem> {
    // Without a folder there are none.
    let all = match app.daemon()?.reports().cloned() {
        Some(reports) => {
            let listed = tokio::task::spawn_blocking(move || reports.all()).await;
            listed.map_err(failed)?.map_err(failed)?
        }
        None => Vec::new(),
    };
    let told: Vec<Value> = all.iter().take(TOLD).map(Made::told).collect();
    Ok(Json(json!({ "reports": told })))
}

async fn report(
    State(app): State<App>,
    Asked((schedule, file)): Asked<(String, String)>,
) -> Result<Response, Problem> {
    let none = || {
        Problem::not_found("this service keeps no reports: its configuration names no folder of `reports`")
    };
    let reports = app.daemon()?.reports().cloned().ok_or_else(none)?;
    let read = tokio::task::spawn_blocking(move || reports.read(&schedule, &file)).await;
    let page = read.map_err(failed)?.map_err(failed)?;
    let page = page.ok_or_else(|| Problem::not_found("there is no such report"))?;
    Ok(under(guard::kept_report_policy(&page), page))
}

/// Where the folder lies is nobody's business.
fn failed(error: impl std::fmt::Display) -> Problem {
    tracing::warn!(%error, "reports cannot be read");
    Problem::new(Kind::Internal, "the folder of reports cannot be read; the service's log says why")
}

/// Where a report of a schedule is asked for.
pub(crate) fn href(schedule: &str, file: &str) -> String {
    format!("/api/v1/reports/{schedule}/{file}")
}

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    folder: PathBuf,
}

/// A report that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    at: Timestamp,
    schedule: String,
    file: String,
    bytes: u64,
}

impl Made {
    fn told(&self) -> Value {
        json!({
            "schedule": self.schedule,
            "file": self.file,
            "at": self.at.to_string(),
            "bytes": self.bytes,
            "href": href(&self.schedule, &self.file),
        })
    }
}

impl Reports {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Whether the folder of a schedule is a link: nothing is listed where it leads, and no report is to go there. It waits for
    /// files.
    pub(crate) fn is_link(&self, schedule: &str) -> bool {
        fs::symlink_metadata(self.folder.join(schedule)).is_ok_and(|found| found.is_symlink())
    }

    /// Where a report goes.
    pub(crate) fn path(&self, schedule: &str, file: &str) -> PathBuf {
        self.folder.join(schedule).join(file)
    }

    /// Whether a report is there. It waits for files.
    pub(crate) fn has(&self, schedule: &str, file: &str) -> bool {
        fs::symlink_metadata(self.path(schedule, file)).is_ok_and(|found| found.is_file())
    }

    /// The reports of all schedules, the latest first. It waits for files.
    fn all(&self) -> io::Result<Vec<Made>> {
        let mut all = Vec::new();
        for name in names(&self.folder)? {
            if is_name(&name) {
                all.extend(self.of(&name)?);
            }
        }
        all.sort_by(|one, other| other.at.cmp(&one.at).then_with(|| one.schedule.cmp(&other.schedule)));
        Ok(all)
    }

    /// The reports of a schedule, the latest first. It waits for files.
    fn of(&self, schedule: &str) -> io::Result<Vec<Made>> {
        let folder = self.folder.join(schedule);
        // Not where a link leads.
        if !fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir()) {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        for file in names(&folder)? {
            let Some(at) = moment_of(&file) else { continue };
            // What vanishes between the two is gone.
            let Ok(found) = fs::symlink_metadata(folder.join(&file)) else { continue };
            if found.is_file() {
                all.push(Made { at, schedule: schedule.to_owned(), file, bytes: found.len() });
            }
        }
        all.sort_by_key(|made| Reverse(made.at));
        Ok(all)
    }

    /// A report, where it is one of those that are there. It waits for files.
    fn read(&self, schedule: &str, file: &str) -> io::Result<Option<String>> {
        if !is_name(schedule) {
            return Ok(None);
        }
        let Some(made) = self.of(schedule)?.into_iter().find(|made| made.file == file) else {
            return Ok(None);
        };
        if made.bytes > LARGEST {
            return Err(io::Error::other(format!(
                "{schedule}/{file} has {} bytes, and is no report",
                made.bytes
            )));
        }
        match fs::read_to_string(self.path(&made.schedule, &made.file)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes the oldest reports of a schedule, so that so many are kept, and what a process left of one that died while
    /// it wrote. The last that was made stays, also where a clock that was set back calls it old. It waits for files.
    pub(crate) fn prune(&self, schedule: &str, last: Option<&str>, keep: usize) -> io::Result<()> {
        let others = self.of(schedule)?.into_iter().filter(|made| Some(made.file.as_str()) != last);
        for made in others.skip(keep.saturating_sub(usize::from(last.is_some()))) {
            fs::remove_file(self.path(schedule, &made.file))?;
        }
        // Where a link leads nothing of ours lies.
        if self.is_link(schedule) {
            return Ok(());
        }
        let folder = self.folder.join(schedule);
        for file in names(&folder)? {
            if !is_part(&file) {
                continue;
            }
            let modified = fs::symlink_metadata(folder.join(&file)).and_then(|found| found.modified());
            let age = modified.ok().and_then(|then| SystemTime::now().duration_since(then).ok());
            if age.is_some_and(|age| age > LEFT) {
                fs::remove_file(folder.join(&file))?;
            }
        }
        Ok(())
    }
}

/// What a folder has, as far as it is text; nothing where there is no folder yet.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

/// How the report is called that is begun at a moment: `2026-11-23T02-00-00.125Z.html`, since not every system has
/// files with `:`.
pub(crate) fn file_of(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H-%M-%S%.3fZ.html").to_string()
}

/// When the report of this name was begun; `None`: none is called so.
pub(crate) fn moment_of(file: &str) -> Option<Timestamp> {
    let (date, time) = file.strip_suffix(".html")?.split_once('T')?;
    let at: Timestamp = format!("{date}T{}", time.replace('-', ":")).parse().ok()?;
    (file_of(at) == file).then_some(at)
}

/// Whether it is a report that is being written: its name with the process behind it.
fn is_part(file: &str) -> bool {
    let parts = file.strip_suffix(".part").and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(report, process)| moment_of(report).is_some() && process.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_report_is_called_by_when_it_was_begun_and_nothing_else_is_one() {
        for moment in ["2026-11-23T02:00:00Z", "2026-11-23T02:00:00.125Z", "0001-01-01T00:00:00Z"] {
            assert_eq!(moment_of(&file_of(at(moment))), Some(at(moment)), "{moment}");
        }
        assert_eq!(file_of(at("2026-11-23T02:00:00.1259Z")), "2026-11-23T02-00-00.125Z.html");
        for file in [
            "",
            ".html",
            "index.html",
            "2026-11-23.html",
            "2026-11-23T02-00-00Z.html",
            "2026-11-23T02-00-00.1259Z.html",
            "2026-11-23T02-00-00.125Z.htm",
            "2026-11-23T02-00-00.125+01-00.html",
            "2026-13-23T02-00-00.125Z.html",
            "2026-11-23T02:00:00.125Z.html",
            "../2026-11-23T02-00-00.125Z.html",
            "2026-11-23T02-00-00.125Z.html\0",
            "2026-11-23t02-00-00.125Z.html",
        ] {
            assert_eq!(moment_of(file), None, "{file}");
        }
        assert!(is_part("2026-11-23T02-00-00.125Z.html.4711.part"));
        for file in ["2026-11-23T02-00-00.125Z.html", "notes.html.4711.part", ".part", "a.part"] {
            assert!(!is_part(file), "{file}");
        }
    }

    #[test]
    fn what_is_there_is_listed_read_and_pruned_and_nothing_else() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("reports");
        let reports = Reports::new(folder.clone());
        assert_eq!(reports.all().unwrap(), [], "there is no folder before the first report");
        let files = ["2026-11-01T02-00-00.000Z.html", "2026-11-02T02-00-00.000Z.html"];
        let late = "2026-11-03T02-00-00.000Z.html";
        for (schedule, file) in
            [("nightly", files[0]), ("nightly", files[1]), ("nightly", late), ("month", files[1])]
        {
            fs::create_dir_all(folder.join(schedule)).unwrap();
            fs::write(reports.path(schedule, file), schedule).unwrap();
        }
        assert!(!reports.is_link("nightly") && !reports.is_link("new"), "one that is not there yet is made");
        // What people put there, and links.
        fs::write(folder.join("nightly/notes.txt"), "mine").unwrap();
        fs::write(outside.path().join(files[0]), "secret").unwrap();
        std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
        std::os::unix::fs::symlink("../../secret", folder.join("month").join(late)).unwrap();
        assert!(reports.is_link("up"), "where nothing is listed nothing is written");
        let told = |all: &[Made]| {
            all.iter().map(|made| format!("{} {}", made.schedule, &made.file[..10])).collect::<Vec<_>>()
        };
        let all = ["nightly 2026-11-03", "month 2026-11-02", "nightly 2026-11-02", "nightly 2026-11-01"];
        assert_eq!(told(&reports.all().unwrap()), all);

        let read = |schedule: &str, file: &str| reports.read(schedule, file).unwrap();
        assert_eq!(read("nightly", late).as_deref(), Some("nightly"));
        for (schedule, file) in [
            ("nightly", "notes.txt"),
            ("nightly", "../month/2026-11-02T02-00-00.000Z.html"),
            ("month", late),
            ("up", files[0]),
            ("..", files[0]),
            (".", files[0]),
            ("", files[0]),
            ("none", files[0]),
            ("nightly/../..", files[0]),
        ] {
            assert_eq!(read(schedule, file), None, "{schedule} {file}");
        }

        fs::write(folder.join("nightly").join(format!("{late}.4711.part")), "half").unwrap();
        reports.prune("nightly", Some(late), 2).unwrap();
        assert_eq!(told(&reports.of("nightly").unwrap()), ["nightly 2026-11-03", "nightly 2026-11-02"]);
        reports.prune("nightly", None, 2).unwrap();
        assert_eq!(reports.of("nightly").unwrap().len(), 2);
        // A clock that was set back.
        fs::write(reports.path("nightly", files[0]), "new").unwrap();
        reports.prune("nightly", Some(files[0]), 2).unwrap();
        assert_eq!(told(&reports.of("nightly").unwrap()), ["nightly 2026-11-03", "nightly 2026-11-01"]);
        assert!(folder.join("nightly/notes.txt").exists(), "what people put there stays");
        assert!(folder.join(format!("nightly/{late}.4711.part")).exists(), "it is being written");
        let then = SystemTime::now() - 2 * LEFT;
        let part = fs::File::options().write(true).open(folder.join(format!("nightly/{late}.4711.part")));
        part.unwrap().set_modified(then).unwrap();
        reports.prune("nightly", None, 2).unwrap();
        assert!(!folder.join(format!("nightly/{late}.4711.part")).exists(), "nobody writes it any more");
        reports.prune("none", None, 2).unwrap();
        let foreign = outside.path().join(format!("{late}.4711.part"));
        fs::File::create(&foreign).unwrap().set_modified(then).unwrap();
        reports.prune("up", None, 2).unwrap();
        assert!(foreign.exists(), "where a link leads nothing is deleted");
    }
}
