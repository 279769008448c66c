//! The plans of a folder: read again when they change, and kept as they were while an edit is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_run::{LoadModel, RunPlan};
use plimsoll_spec::{Diagnostic, Parsed, Weight};
use plimsoll_workload::{RateProfile, UserProfile};
use sha2::{Digest, Sha256};

/// The largest file that is read as a plan, in bytes: a plan that people write has some thousand.
pub(crate) const LARGEST: u64 = 1 << 20;

/// The most files that are read; a folder of more is not one of plans.
const MOST: usize = 1_000;

type Read = dyn Fn(&str, String, &Path) -> Result<Parsed, Vec<Diagnostic>> + Send + Sync;

/// Reads a plan: its name for messages, its text, and the folder that it names files from.
#[derive(Clone)]
pub struct ReadPlan(Arc<Read>);

impl ReadPlan {
    /// Reads plans in this way.
    pub fn new(
        read: impl Fn(&str, String, &Path) -> Result<Parsed, Vec<Diagnostic>> + Send + Sync + 'static,
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
    /// How long its stages last.
    pub(crate) length: Duration,
    /// What its author should know.
    pub(crate) advice: Vec<Diagnostic>,
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
        good(&self.read, &self.folder, file, text)
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
) -> Result<Good, Vec<Diagnostic>> {
    let Parsed { plan, advice } = (read.0)(file, text.clone(), folder)?;
    let digest = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    let length = plan.loads().map(LoadModel::length).max().unwrap_or_default();
    let targets = plan.targets.iter().map(|target| target.url.clone()).collect();
    Ok(Good { digest, name: plan.name.clone(), demand: Demand::of(&plan), targets, length, advice, text })
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

    fn read(name: &str, text: String, folder: &Path) -> Result<Parsed, Vec<Diagnostic>> {
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
