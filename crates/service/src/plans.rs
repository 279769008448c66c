//! The plans of a folder: read again when they change, and kept as they were while an edit is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_run::{Action, Auth, LoadModel, Part, Request, RunPlan, Template};
use plimsoll_spec::{Diagnostic, Parsed, Weight};
use plimsoll_workload::{RateProfile, UserProfile};
use sha2::{Digest, Sha256};

use crate::outward::{self, Outward};

/// The largest file that is read as a plan, in bytes: a plan that people write has some thousand.
pub(crate) const LARGEST: u64 = 1 << 20;

/// The most files that are read; a folder of more is not one of plans.
const MOST: usize = 1_000;

/// Which files a plan may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Any that the service can read: whoever wrote it into the folder can read them too.
    Anywhere,
    /// Those of the folder of plans: whoever sent it over HTTP need not be allowed to read anything else here.
    Folder,
}

type Read = dyn Fn(&str, String, &Path, Reach) -> Result<Parsed, Vec<Diagnostic>> + Send + Sync;

/// Reads a plan: its name for messages, its text, the folder that it names files from, and which.
#[derive(Clone)]
pub struct ReadPlan(Arc<Read>);

impl ReadPlan {
    /// Reads plans in this way.
    pub fn new(
        read: impl Fn(&str, String, &Path, Reach) -> Result<Parsed, Vec<Diagnostic>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for ReadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadPlan")
    }
}

/// A folder of plans, each by the name of its file without ending.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    read: ReadPlan,
    plans: BTreeMap<String, Shelved>,
    /// Why the folder itself cannot be read.
    pub(crate) trouble: Option<String>,
}

/// A plan of the folder, and what is wrong with its file as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Shelved {
    /// The file's name.
    pub(crate) file: String,
    /// As it was when it was right last, if ever since the service began.
    pub(crate) good: Option<Arc<Good>>,
    /// What is wrong with the file as it is now; empty where it is right.
    pub(crate) wrong: Vec<Diagnostic>,
    stamp: Stamp,
}

/// A plan that is right.
#[derive(Debug, Clone)]
pub(crate) struct Good {
    /// Its text.
    pub(crate) text: String,
    /// SHA-256 of the text, in hexadecimal digits.
    pub(crate) digest: String,
    /// The `plan` label.
    pub(crate) name: String,
    /// The most it offers.
    pub(crate) demand: Demand,
    /// Where it sends its requests.
    pub(crate) targets: Vec<String>,
    /// What it reaches beside them.
    pub(crate) outward: BTreeSet<Outward>,
    /// How long its stages last.
    pub(crate) length: Duration,
    /// Whether its runs tell their end themselves: it has a `notify` of its own.
    pub(crate) tells_itself: bool,
    /// Whether its runs go on where their process dies.
    pub(crate) resumes: bool,
    /// What its author should know.
    pub(crate) advice: Vec<Diagnostic>,
}

#[cfg(test)]
impl Good {
    pub(crate) fn named(name: &str, text: String) -> Self {
        Self {
            digest: digest(text.as_bytes()),
            text,
            name: name.to_owned(),
            demand: Demand::default(),
            targets: vec!["http://127.0.0.1:1".to_owned()],
            outward: BTreeSet::new(),
            length: Duration::ZERO,
            tells_itself: false,
            resumes: false,
            advice: Vec::new(),
        }
    }
}

/// The most that a run offers at once.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Demand {
    /// Arrivals per second of its open loads.
    pub(crate) rate: f64,
    /// Users of its closed loads.
    pub(crate) users: u32,
}

impl Demand {
    /// What of it is more than before; the rest is none.
    pub(crate) fn beyond(self, before: Self) -> Self {
        Self {
            rate: if self.rate > before.rate { self.rate } else { 0.0 },
            users: if self.users > before.users { self.users } else { 0 },
        }
    }

    /// The higher of each.
    pub(crate) fn most(self, other: Self) -> Self {
        Self { rate: self.rate.max(other.rate), users: self.users.max(other.users) }
    }

    /// The peaks of a plan's loads, added up: an upper bound, as they may lie apart in time.
    pub(crate) fn of(plan: &RunPlan) -> Self {
        let mut demand = Self::default();
        for load in plan.loads() {
            match load {
                LoadModel::Open { stages, .. } => demand.rate += RateProfile::new(stages).peak(),
                LoadModel::Closed { stages, .. } => {
                    demand.users = demand.users.saturating_add(UserProfile::new(stages).peak());
                }
            }
        }
        demand
    }
}

/// What changes when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            size: metadata.len(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// What a look at the folder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A plan is new, or was edited.
    Read(String),
    /// An edit is wrong: the plan stays as it was, or is not there where it never was right.
    Refused {
        /// The plan.
        plan: String,
        /// What is wrong, as the command line says it.
        why: String,
    },
    /// Its file is gone.
    Gone(String),
}

impl Shelf {
    pub(crate) fn new(folder: PathBuf, read: ReadPlan) -> Self {
        Self { folder, read, plans: BTreeMap::new(), trouble: None }
    }

    pub(crate) fn plans(&self) -> impl Iterator<Item = (&str, &Shelved)> {
        self.plans.iter().map(|(name, plan)| (name.as_str(), plan))
    }

    /// Reads what changed since the last look. It waits for files, so it is for a thread of its own.
    pub(crate) fn look(&mut self) -> Vec<Change> {
        let files = match files(&self.folder) {
            Ok(files) => files,
            Err(error) => {
                self.trouble = Some(format!("{}: {error}", self.folder.display()));
                return Vec::new();
            }
        };
        self.trouble = None;
        let mut changes = Vec::new();
        let gone: Vec<String> =
            self.plans.keys().filter(|name| !files.contains_key(*name)).cloned().collect();
        for name in gone {
            self.plans.remove(&name);
            changes.push(Change::Gone(name));
        }
        for (name, (file, stamp)) in files {
            // What is wrong may be put right in a file that the plan names.
            if self.plans.get(&name).is_some_and(|known| known.stamp == stamp && known.wrong.is_empty()) {
                continue;
            }
            changes.extend(self.take(name, file, stamp));
        }
        changes
    }

    fn take(&mut self, name: String, file: String, stamp: Stamp) -> Option<Change> {
        let (good, wrong_before) =
            self.plans.remove(&name).map(|before| (before.good, before.wrong)).unwrap_or_default();
        let read = self.read(&file, stamp.size);
        let (good, wrong, change) = match read {
            Ok(read) if good.as_ref().is_some_and(|good| good.digest == read.digest) => {
                let was_wrong = !wrong_before.is_empty();
                (good, Vec::new(), was_wrong.then(|| Change::Read(name.clone())))
            }
            Ok(read) => (Some(Arc::new(read)), Vec::new(), Some(Change::Read(name.clone()))),
            Err(wrong) => {
                let why = rendered(&wrong);
                let is_new = why != rendered(&wrong_before);
                (good, wrong, is_new.then(|| Change::Refused { plan: name.clone(), why }))
            }
        };
        self.plans.insert(name, Shelved { file, good, wrong, stamp });
        change
    }

    fn read(&self, file: &str, size: u64) -> Result<Good, Vec<Diagnostic>> {
        if size > LARGEST {
            let message = format!("the file has {size} bytes, and a plan has at most {LARGEST}");
            return Err(vec![whole(message)]);
        }
        let text = fs::read_to_string(self.folder.join(file))
            .map_err(|error| vec![whole(format!("the file cannot be read: {error}"))])?;
        good(&self.read, &self.folder, file, text, Reach::Anywhere)
    }
}

fn digest(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A plan's file as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) file: String,
    /// `None`: it is no text, or too large for a plan.
    pub(crate) text: Option<String>,
    /// What changes with the text, as HTTP has it; `None`: it is too large.
    pub(crate) etag: Option<String>,
}

/// What somebody says they have seen of a file that they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing is said.
    Unsaid,
    /// Whatever it is.
    Anything,
    /// That there is none.
    Nothing,
    /// One of these texts, by their etags.
    Texts(Vec<String>),
}

/// Why a plan's file is not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotWritten {
    #[error("there is no such plan")]
    Missing,
    #[error("somebody else has changed the plan since: look at its text again")]
    Changed,
    #[error("there is such a plan already")]
    Exists,
    #[error(
        "there is such a plan already: say in `If-Match` which text of it you have seen, or `*` for whatever it is"
    )]
    Unsaid,
    #[error("its file is a link or no file: change it where it really is")]
    NoFile,
    #[error("the folder has {MOST} plans, which is the most")]
    TooMany,
    #[error("its file has more than {LARGEST} bytes: put it right where it is")]
    Large,
    #[error("the folder of plans cannot be written: {error}")]
    Failed { error: io::Error, is_denied: bool },
    #[error("writing the plan failed")]
    Panicked,
}

impl From<io::Error> for NotWritten {
    fn from(error: io::Error) -> Self {
        let is_denied = matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull
        );
        Self::Failed { error, is_denied }
    }
}

/// The file of a plan, where there is one: of two that differ in their ending the longer ending counts.
fn place(folder: &Path, name: &str) -> io::Result<Option<(String, fs::Metadata)>> {
    for ending in ["yaml", "yml"] {
        let file = format!("{name}.{ending}");
        match fs::symlink_metadata(folder.join(&file)) {
            Ok(metadata) => return Ok(Some((file, metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The file of a plan as it is now. It waits for files.
pub(crate) fn found(folder: &Path, name: &str) -> io::Result<Option<Found>> {
    let Some((file, _)) = place(folder, name)? else { return Ok(None) };
    let path = folder.join(&file);
    let metadata = fs::metadata(&path)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.len() > LARGEST {
        return Ok(Some(Found { file, text: None, etag: None }));
    }
    let bytes = fs::read(&path)?;
    let etag = Some(etag(&bytes));
    Ok(Some(Found { file, text: String::from_utf8(bytes).ok(), etag }))
}

fn etag(text: &[u8]) -> String {
    format!("\"{}\"", digest(text))
}

impl Seen {
    /// Whether a file that is there may be changed.
    fn allows(&self, found: &Found) -> Result<(), NotWritten> {
        match (self, &found.etag) {
            (Self::Unsaid, _) => Err(NotWritten::Unsaid),
            (Self::Nothing, _) => Err(NotWritten::Exists),
            (Self::Anything, _) => Ok(()),
            (Self::Texts(_), None) => Err(NotWritten::Large),
            (Self::Texts(known), Some(etag)) if known.contains(etag) => Ok(()),
            (Self::Texts(_), Some(_)) => Err(NotWritten::Changed),
        }
    }
}

impl Shelf {
    /// Writes a plan, whole or not at all, where its file is as somebody has seen it.
    pub(crate) fn put(&mut self, name: &str, text: &str, seen: &Seen) -> Result<(), NotWritten> {
        let before = self.changeable(name, seen)?;
        if before.is_none() {
            if matches!(seen, Seen::Texts(_) | Seen::Anything) {
                return Err(NotWritten::Missing);
            }
            if files(&self.folder)?.len() >= MOST {
                return Err(NotWritten::TooMany);
            }
        }
        let (file, permissions) = match before {
            Some((file, metadata)) => (file, Some(metadata.permissions())),
            None => (format!("{name}.yaml"), None),
        };
        let beside = self.folder.join(format!(".{file}.new"));
        let written = self.write(&beside, text, permissions, &file);
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        Ok(written?)
    }

    fn write(
        &self,
        beside: &Path,
        text: &str,
        permissions: Option<fs::Permissions>,
        file: &str,
    ) -> io::Result<()> {
        // What a service left that was killed while it wrote.
        match fs::remove_file(beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut new = fs::File::create_new(beside)?;
        new.write_all(text.as_bytes())?;
        if let Some(permissions) = permissions {
            new.set_permissions(permissions)?;
        }
        new.sync_all()?;
        fs::rename(beside, self.folder.join(file))?;
        self.sync()
    }

    /// Deletes a plan whose file is as somebody has seen it.
    pub(crate) fn remove(&mut self, name: &str, seen: &Seen) -> Result<(), NotWritten> {
        let (file, _) = self.changeable(name, seen)?.ok_or(NotWritten::Missing)?;
        fs::remove_file(self.folder.join(file))?;
        Ok(self.sync()?)
    }

    /// The file of a plan that may be changed; `None`: there is none.
    fn changeable(&self, name: &str, seen: &Seen) -> Result<Option<(String, fs::Metadata)>, NotWritten> {
        // A name has no `/` and does not begin with a dot, so that it stays within the folder.
        if !is_name(name) {
            return Err(NotWritten::Missing);
        }
        let Some((file, metadata)) = place(&self.folder, name)? else { return Ok(None) };
        if !metadata.is_file() {
            return Err(NotWritten::NoFile);
        }
        let found = found(&self.folder, name)?.ok_or(NotWritten::NoFile)?;
        seen.allows(&found)?;
        Ok(Some((file, metadata)))
    }

    /// What was renamed or removed is so after a loss of power too.
    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.folder)?.sync_all()
    }
}

/// A mistake that has no place in the text.
pub(crate) fn whole(message: String) -> Diagnostic {
    Diagnostic { weight: Weight::Error, rule: None, message, label: None, help: None, excerpt: None }
}

/// Reads a text as if it were a file of `folder`.
pub(crate) fn good(
    read: &ReadPlan,
    folder: &Path,
    file: &str,
    text: String,
    reach: Reach,
) -> Result<Good, Vec<Diagnostic>> {
    let Parsed { plan, advice } = (read.0)(file, text.clone(), folder, reach)?;
    let digest = digest(text.as_bytes());
    let length = plan.loads().map(LoadModel::length).max().unwrap_or_default();
    let targets = sent_to(&plan);
    let tells_itself = !plan.notify.receivers.is_empty();
    let (name, demand, resumes) = (plan.name.clone(), Demand::of(&plan), plan.resume);
    let outward = outward::of(&plan);
    Ok(Good { digest, name, demand, targets, outward, length, tells_itself, resumes, advice, text })
}

/// Where a plan sends requests: its targets, hosts that its steps name, what stands before them and what grants tokens.
/// What a hole gives is known only when it is sent; the run looks at it then.
fn sent_to(plan: &RunPlan) -> Vec<String> {
    let mut all: Vec<String> = plan.targets.iter().map(|target| target.url.clone()).collect();
    let mut seen = |request: &Request| {
        if let Some(origin) = origin(&request.url)
            && !all.contains(&origin)
        {
            all.push(origin);
        }
    };
    let scenarios = plan.scenarios.iter().map(|scenario| &scenario.actions);
    for actions in scenarios.chain([&plan.setup, &plan.teardown]) {
        Action::requests(actions, &mut seen);
    }
    let network = &plan.http.network;
    all.extend(network.proxy.as_ref().map(|proxy| format!("http://{}:{}", proxy.host, proxy.port)));
    if let Some(Auth::OAuth2(oauth2)) = &network.auth {
        all.push(oauth2.token_url.clone());
    }
    all
}

/// Scheme and host that a URL begins with, where it begins with them. One whose host has a hole is no URL, and as such
/// not allowed.
fn origin(url: &Template) -> Option<String> {
    let mut text = String::new();
    for part in &url.parts {
        match part {
            Part::Text(more) => text.push_str(more),
            Part::Secret(more) => text.push_str(more.expose()),
            Part::Variable(_) => text.push('{'),
        }
    }
    let scheme = ["http://", "https://"].into_iter().find(|scheme| text.starts_with(scheme))?;
    let host = text.get(scheme.len()..)?.split(['/', '?', '#', '\\']).next()?;
    // Who may ask is not asked where to.
    let host = host.rsplit('@').next()?;
    Some(format!("{scheme}{host}"))
}

/// Mistakes as the command line shows them, without colour.
pub(crate) fn rendered(diagnostics: &[Diagnostic]) -> String {
    let all: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.render(false)).collect();
    all.join("\n\n")
}

/// The plans that are there: each file `NAME.yaml` or `NAME.yml` whose name can stand in a URL.
fn files(folder: &Path) -> io::Result<BTreeMap<String, (String, Stamp)>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        let (Some(stem), Some(file)) = (
            path.file_stem().and_then(|name| name.to_str()),
            path.file_name().and_then(|name| name.to_str()),
        ) else {
            continue;
        };
        if !is_yaml || !is_name(stem) {
            continue;
        }
        // What vanishes between the two is gone.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if !metadata.is_file() {
            continue;
        }
        // Of two that differ in their ending only, the longer ending counts, whichever is listed first.
        if file.ends_with(".yml") && files.contains_key(stem) {
            continue;
        }
        files.insert(stem.to_owned(), (file.to_owned(), Stamp::of(&metadata)));
        if files.len() > MOST {
            return Err(io::Error::other(format!("it has more than {MOST} plans")));
        }
    }
    Ok(files)
}

/// Whether a plan's file may be called so: letters, digits, `.`, `-` and `_`, beginning with one of the first two.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_spec::{Inputs, Source, parse};

    const PLAN: &str = "name: shop\ntarget: http://127.0.0.1:1\nload: { stages: [{ hold: 10/s, for: 5s }] }\n\
                        scenarios: [{ name: one, steps: [{ get: / }] }]\n";

    fn read(name: &str, text: String, folder: &Path, _: Reach) -> Result<Parsed, Vec<Diagnostic>> {
        let files = |file: &str| fs::read(folder.join(file)).map_err(|error| error.to_string());
        parse(&Source { name: name.to_owned(), text }, &Inputs::new(&|_| None, &files))
    }

    fn shelf(folder: &Path) -> Shelf {
        Shelf::new(folder.to_owned(), ReadPlan::new(read))
    }

    #[test]
    fn a_wrong_edit_keeps_the_plan_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.yaml");
        let mut shelf = shelf(folder.path());
        assert_eq!(shelf.look(), []);
        fs::write(&file, PLAN).unwrap();
        assert_eq!(shelf.look(), [Change::Read("shop".to_owned())]);
        assert_eq!(shelf.look(), [], "what did not change is not read again");
        let good = shelf.plans.get("shop").unwrap().good.clone().unwrap();
        assert_eq!((good.demand.rate, good.length), (10.0, Duration::from_secs(5)));

        fs::write(&file, PLAN.replace("hold: 10/s", "hold: ten")).unwrap();
        let changes = shelf.look();
        let [Change::Refused { plan, why }] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!(plan, "shop");
        assert!(why.contains("shop.yaml:3:"), "{why}");
        let shelved = shelf.plans.get("shop").unwrap();
        assert!(Arc::ptr_eq(shelved.good.as_ref().unwrap(), &good), "it stays as it was");
        assert_eq!(shelved.wrong.len(), 1);

        fs::write(&file, PLAN.replace("10/s", "20/s")).unwrap();
        assert_eq!(shelf.look(), [Change::Read("shop".to_owned())]);
        let shelved = shelf.plans.get("shop").unwrap();
        assert_eq!(shelved.good.as_ref().unwrap().demand.rate, 20.0);
        assert!(shelved.wrong.is_empty());

        fs::remove_file(&file).unwrap();
        assert_eq!(shelf.look(), [Change::Gone("shop".to_owned())]);
    }

    #[test]
    fn a_plan_that_never_was_right_is_not_there_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), "name: 1\n").unwrap();
        fs::write(folder.path().join("big.yaml"), vec![b'#'; LARGEST as usize + 1]).unwrap();
        fs::write(folder.path().join("latin.yaml"), b"name: \xff\n").unwrap();
        let mut shelf = shelf(folder.path());
        assert_eq!(shelf.look().len(), 3);
        for (name, told) in [("a", "target"), ("big", "at most 1048576"), ("latin", "cannot be read")] {
            let plan = shelf.plans.get(name).unwrap();
            assert!(plan.good.is_none());
            assert!(rendered(&plan.wrong).contains(told), "{name}: {}", rendered(&plan.wrong));
        }
    }

    #[test]
    fn a_plan_is_right_as_soon_as_the_file_is_there_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let plan = PLAN.to_owned() + "data: { users: { csv: users.csv } }\n";
        fs::write(folder.path().join("shop.yaml"), plan).unwrap();
        let mut shelf = shelf(folder.path());
        assert!(matches!(&shelf.look()[..], [Change::Refused { why, .. }] if why.contains("users.csv")));
        assert_eq!(shelf.look(), [], "the same mistake is told once");
        fs::write(folder.path().join("users.csv"), "name\nann\n").unwrap();
        assert_eq!(shelf.look(), [Change::Read("shop".to_owned())]);
        assert!(shelf.plans["shop"].good.is_some());
    }

    #[test]
    fn what_is_no_plan_is_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["users.csv", ".hidden.yaml", "a b.yaml", "über.yaml", "-x.yaml"] {
            fs::write(folder.path().join(name), PLAN).unwrap();
        }
        fs::create_dir(folder.path().join("folder.yaml")).unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.path().join("dead.yaml")).unwrap();
        let mut shelf = shelf(folder.path());
        assert_eq!(shelf.look(), []);
        fs::write(folder.path().join("b.yml"), PLAN).unwrap();
        assert_eq!(shelf.look(), [Change::Read("b".to_owned())]);
    }

    #[test]
    fn a_folder_that_cannot_be_read_keeps_the_plans() {
        let folder = tempfile::tempdir().unwrap();
        let plans = folder.path().join("plans");
        fs::create_dir(&plans).unwrap();
        fs::write(plans.join("a.yaml"), PLAN).unwrap();
        let mut shelf = shelf(&plans);
        assert_eq!(shelf.look().len(), 1);
        fs::rename(&plans, folder.path().join("away")).unwrap();
        assert_eq!(shelf.look(), []);
        assert!(shelf.trouble.as_ref().unwrap().contains("plans"));
        assert!(shelf.plans.contains_key("a"));
        fs::rename(folder.path().join("away"), &plans).unwrap();
        assert_eq!(shelf.look(), []);
        assert_eq!(shelf.trouble, None);
    }

    #[test]
    fn a_plan_is_written_whole_and_only_over_what_was_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |file: &str| folder.path().join(file);
        let mut shelf = shelf(folder.path());
        let other = PLAN.replace("10/s", "20/s");
        shelf.put("shop", PLAN, &Seen::Nothing).unwrap();
        assert_eq!(fs::read_to_string(path("shop.yaml")).unwrap(), PLAN);
        assert_eq!(shelf.look(), [Change::Read("shop".to_owned())]);
        let first = found(folder.path(), "shop").unwrap().unwrap().etag.unwrap();
        let texts = |etag: &str| Seen::Texts(vec![etag.to_owned()]);
        for (seen, told) in [
            (Seen::Unsaid, "say in `If-Match`"),
            (Seen::Nothing, "there is such a plan already"),
            (texts("\"0\""), "somebody else has changed"),
            (texts(first.trim_matches('"')), "somebody else has changed"),
        ] {
            let error = shelf.put("shop", &other, &seen).unwrap_err().to_string();
            assert!(error.contains(told), "{seen:?}: {error}");
        }
        assert_eq!(fs::read_to_string(path("shop.yaml")).unwrap(), PLAN);
        // What a killed service left is no hindrance, and rights stay as they are.
        fs::write(path(".shop.yaml.new"), "half").unwrap();
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        fs::set_permissions(path("shop.yaml"), rights).unwrap();
        shelf.put("shop", &other, &texts(&first)).unwrap();
        assert!(matches!(shelf.put("shop", PLAN, &texts(&first)), Err(NotWritten::Changed)));
        assert_eq!(fs::read_to_string(path("shop.yaml")).unwrap(), other);
        assert_eq!(fs::metadata(path("shop.yaml")).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        assert!(matches!(shelf.put("new", PLAN, &texts(&first)), Err(NotWritten::Missing)));
        assert!(matches!(shelf.remove("shop", &texts(&first)), Err(NotWritten::Changed)));
        shelf.remove("shop", &Seen::Anything).unwrap();
        assert!(matches!(shelf.remove("shop", &Seen::Anything), Err(NotWritten::Missing)));
        assert_eq!(shelf.look(), [Change::Gone("shop".to_owned())]);
    }

    #[test]
    fn nothing_is_written_outside_the_folder_or_through_a_link() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("plans");
        fs::create_dir(&folder).unwrap();
        let mut shelf = shelf(&folder);
        for name in ["../evil", "..", ".", "", "a/b", "/etc/x", ".hidden", "a\0b", "-x"] {
            assert!(shelf.put(name, PLAN, &Seen::Nothing).is_err(), "{name:?}");
            assert!(shelf.remove(name, &Seen::Anything).is_err(), "{name:?}");
        }
        let target = outside.path().join("mine.yaml");
        fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, folder.join("link.yaml")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("new.yaml"), folder.join("dead.yaml")).unwrap();
        // Where the new text is written first there is a link too.
        std::os::unix::fs::symlink(&target, folder.join(".shop.yaml.new")).unwrap();
        for name in ["link", "dead"] {
            for seen in [Seen::Anything, Seen::Nothing, Seen::Unsaid] {
                assert!(matches!(shelf.put(name, PLAN, &seen), Err(NotWritten::NoFile)), "{name} {seen:?}");
            }
            assert!(matches!(shelf.remove(name, &Seen::Anything), Err(NotWritten::NoFile)));
        }
        shelf.put("shop", PLAN, &Seen::Nothing).unwrap();
        fs::create_dir(folder.join("dir.yaml")).unwrap();
        assert!(matches!(shelf.put("dir", PLAN, &Seen::Anything), Err(NotWritten::NoFile)));
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert!(!outside.path().join("new.yaml").exists());
    }

    #[test]
    fn hosts_that_steps_name_are_where_a_plan_is_sent_too() {
        for (step, found) in [
            ("get: /a", &[][..]),
            ("get: \"http://127.0.0.1:1/a?b\"", &[]),
            ("get: \"https://shop.example/a\"", &["https://shop.example"]),
            ("get: \"http://169.254.169.254?x\"", &["http://169.254.169.254"]),
            ("get: \"http://{{ iteration }}.example/\"", &["http://{.example"]),
            ("get: \"/{{ iteration }}\"", &[]),
        ] {
            let text = PLAN.replace("get: /", step);
            let good = good(&ReadPlan::new(read), Path::new("."), "a.yaml", text, Reach::Anywhere);
            let targets = good.unwrap_or_else(|wrong| panic!("{}", rendered(&wrong))).targets;
            assert_eq!(targets[0], "http://127.0.0.1:1");
            assert_eq!(&targets[1..], found, "{step}");
        }
    }

    #[test]
    fn a_touched_file_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, PLAN).unwrap();
        let mut shelf = shelf(folder.path());
        shelf.look();
        fs::remove_file(&file).unwrap();
        fs::write(&file, PLAN).unwrap();
        assert_eq!(shelf.look(), []);
    }
}
