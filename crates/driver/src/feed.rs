use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plimsoll_data::Permutation;
use plimsoll_run::{Feed, FeedOrder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rows set aside at a time, before any of them goes out: as many are left out at most where a run goes on whose process
/// died. A write to the file each time costs less than a microsecond then.
const ASIDE: u64 = 16;

/// How often a file is looked for that others remove meanwhile.
const TRIES: usize = 10;

/// Longer than any name of a history.
const LONGEST_HEAD: u64 = 4_096;

/// The rows of a run, shared by setup, every worker and teardown: a unique row goes out once.
#[derive(Debug, Clone, Default)]
pub struct Feeds(Vec<Arc<Rows>>);

impl Feeds {
    /// The feeds of a plan, nothing drawn yet.
    pub fn new(feeds: &[Feed], seed: u64) -> Self {
        Self::from(feeds, seed, &[], None)
    }

    /// The same, and where each of them stands is kept in a file that outlives this process.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn kept(feeds: &[Feed], seed: u64, places: &Places) -> io::Result<Self> {
        // There is room for all that will ever be written.
        let bytes = [places.head.as_bytes(), &vec![0; feeds.len() * 8]].concat();
        {
            let file = places.file();
            file.set_len(0)?;
            file.write_all_at(&bytes, 0)?;
        }
        Ok(Self::from(feeds, seed, &[], Some(places)))
    }

    /// The feeds of a run that goes on, behind the rows that were set aside before.
    ///
    /// # Errors
    /// When the file cannot be read, or is that of other feeds.
    pub fn resumed(feeds: &[Feed], seed: u64, places: &Places) -> io::Result<Self> {
        let (head, mut bytes) = (places.head.len() as u64, vec![0; feeds.len() * 8]);
        {
            let file = places.file();
            if file.metadata()?.len() != head + bytes.len() as u64 {
                return Err(io::Error::other(format!("it is not of {} feeds", feeds.len())));
            }
            file.read_exact_at(&mut bytes, head)?;
        }
        let stood: Vec<u64> = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        Ok(Self::from(feeds, seed, &stood, Some(places)))
    }

    fn from(feeds: &[Feed], seed: u64, stood: &[u64], places: Option<&Places>) -> Self {
        let rows = |(index, feed): (u64, &Feed)| {
            let drawn = stood.get(index as usize).copied().unwrap_or(0);
            let aside = places.map(|places| Aside {
                file: Arc::clone(&places.file),
                at: places.head.len() as u64 + index * 8,
                until: AtomicU64::new(drawn),
            });
            Rows::new(feed.clone(), seed.wrapping_add(index), drawn, aside)
        };
        Self((0_u64..).zip(feeds).map(rows).collect())
    }

    pub(crate) fn get(&self, feed: u16) -> Option<&Rows> {
        self.0.get(usize::from(feed)).map(Arc::as_ref)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The file that keeps where the feeds of a run stand. It is locked while this process uses it, which the system undoes however
/// that ends.
///
/// Its first line names the history that has the run: one of the same id may be in another, and go on. Behind it stands a number
/// of eight bytes for each feed.
#[derive(Debug)]
pub struct Places {
    file: Arc<Mutex<File>>,
    path: PathBuf,
    head: String,
}

impl Places {
    /// A file for a run that begins: a new one, or what a process left behind that is no more. That no record knows the run is to
    /// be asked after this, as until then another process may begin it.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when another process uses it; when it belongs to another history, is there where files
    /// cannot be locked, or cannot be made.
    pub fn begin(path: &Path, history: &str) -> io::Result<Self> {
        for _ in 0..TRIES {
            let found = match File::options().read(true).write(true).create_new(true).open(path) {
                Ok(file) => Self::of(file, path, history, false),
                Err(there) if there.kind() == io::ErrorKind::AlreadyExists => Self::open(path, history, true),
                Err(error) => return Err(error),
            };
            match found {
                // Its process has just removed it.
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                found => return found,
            }
        }
        Err(io::Error::other("it leads nowhere, or others make and remove it all the time"))
    }

    /// The file of a run that goes on.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when another process uses it; when it is not there, or belongs to another history.
    pub fn go_on(path: &Path, history: &str) -> io::Result<Self> {
        // Where files have no locks, the record decides who goes on.
        Self::open(path, history, false)
    }

    /// Removes the file. Nobody else can use it before that.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Leaves the file as it was found: one that was made for this goes again, as does one in which nothing stands.
    pub fn give_back(&self) {
        if self.file().metadata().is_ok_and(|file| file.len() == 0) {
            self.remove();
        }
    }

    fn open(path: &Path, history: &str, is_taken_over: bool) -> io::Result<Self> {
        Self::of(File::options().read(true).write(true).open(path)?, path, history, is_taken_over)
    }

    fn of(mut file: File, path: &Path, history: &str, is_taken_over: bool) -> io::Result<Self> {
        held(file.try_lock(), is_taken_over)?;
        // Whoever had the lock before may have removed its file, also one that we have just made.
        let (ours, there) = (file.metadata()?, std::fs::metadata(path)?);
        if (ours.dev(), ours.ino()) != (there.dev(), there.ino()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut found = Vec::new();
        Read::by_ref(&mut file).take(LONGEST_HEAD).read_to_end(&mut found)?;
        let head = format!("{history}\n");
        // A process that died before it wrote anything has used nothing.
        if !found.is_empty() && !found.starts_with(head.as_bytes()) {
            let other = found.split(|byte| *byte == b'\n').next().unwrap_or_default();
            return Err(io::Error::other(format!(
                "it belongs to a run of the same id in another history ({}): take another id or directory, or remove the file \
                 if that run is not to go on",
                String::from_utf8_lossy(other).escape_debug()
            )));
        }
        Ok(Self { file: Arc::new(Mutex::new(file)), path: path.to_owned(), head })
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file of places may be used, by what came of locking it.
fn held(locked: Result<(), TryLockError>, is_taken_over: bool) -> io::Result<()> {
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it"))
        }
        // Where files have no locks, all else decides whose the file is.
        Err(TryLockError::Error(_)) if !is_taken_over => Ok(()),
        Err(TryLockError::Error(error)) => Err(io::Error::other(format!(
            "it is there, and cannot be locked ({error}), so that nobody knows whether another process uses it: remove it if none \
             does"
        ))),
    }
}

/// A feed that all workers draw from. Which row the n-th draw gets depends on n and the seed alone.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) feed: Feed,
    drawn: AtomicU64,
    seed: u64,
    /// The order of a shuffled feed.
    order: Permutation,
    /// Where it is kept how far it was drawn from, where it is.
    aside: Option<Aside>,
}

/// Rows that are set aside in a file before they go out.
#[derive(Debug)]
struct Aside {
    file: Arc<Mutex<File>>,
    at: u64,
    until: AtomicU64,
}

impl Aside {
    /// Makes sure that a row is among those set aside. What was written outlives the process, though not the machine.
    fn reach(&self, row: u64) -> io::Result<()> {
        if row < self.until.load(Ordering::Acquire) {
            return Ok(());
        }
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if row < self.until.load(Ordering::Acquire) {
            return Ok(());
        }
        let until = row.saturating_add(ASIDE);
        file.write_all_at(&until.to_le_bytes(), self.at)?;
        self.until.store(until, Ordering::Release);
        Ok(())
    }
}

impl Rows {
    fn new(feed: Feed, seed: u64, drawn: u64, aside: Option<Aside>) -> Arc<Self> {
        let order = Permutation::new(feed.table.rows(), seed);
        Arc::new(Self { feed, drawn: AtomicU64::new(drawn), seed, order, aside })
    }

    /// The next row's number, for this arrival of its load; `None` when a unique feed has run out.
    ///
    /// # Errors
    /// When it cannot be kept that the row was drawn; it must not go out then.
    pub(crate) fn draw(&self, arrival: u64) -> io::Result<Option<u64>> {
        let rows = self.feed.table.rows();
        if self.feed.order == FeedOrder::Recorded {
            return Ok(Some(arrival % rows));
        }
        let n = self.drawn.fetch_add(1, Ordering::Relaxed);
        if let Some(aside) = &self.aside {
            aside.reach(n)?;
        }
        Ok(match self.feed.order {
            FeedOrder::Unique => (n < rows).then_some(n),
            FeedOrder::Sequential | FeedOrder::Recorded => Some(n % rows),
            FeedOrder::Shuffled => Some(self.order.at(n % rows)),
            FeedOrder::Random => {
                let mut random = ChaCha8Rng::seed_from_u64(self.seed);
                random.set_stream(n);
                Some(random.random_range(0..rows))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_data::{Format, Source, Table};

    fn rows(order: FeedOrder) -> Arc<Rows> {
        Rows::new(feed("f", 4, order), 9, 0, None)
    }

    fn feed(name: &str, rows: u64, order: FeedOrder) -> Feed {
        let lines: String = (0..rows).map(|n| format!("{n}\n")).collect();
        let source = Source::Memory(format!("n\n{lines}").into_bytes().into());
        let table = Table::open(source, Format::Csv { delimiter: b',' }, |_, _| {}).unwrap();
        Feed { name: name.into(), table: Arc::new(table), digest: String::new(), order }
    }

    fn drawn(order: FeedOrder, count: usize) -> Vec<Option<u64>> {
        let rows = rows(order);
        (0..count).map(|_| rows.draw(7).unwrap()).collect()
    }

    #[test]
    fn random_rows_of_two_feeds_have_nothing_to_do_with_each_other() {
        let feed = |name: &str| feed(name, 100, FeedOrder::Random);
        let feeds = Feeds::new(&[feed("one"), feed("other")], 8);
        let drawn = |feed| (0..1000).filter_map(|_| feeds.get(feed)?.draw(0).unwrap()).collect::<Vec<_>>();
        let (one, other) = (drawn(0), drawn(1));
        // Of 1,000 even draws from 100 rows some 10 agree by chance, also with a neighbour's.
        for shift in [0, 1] {
            let same = (0..1000).filter(|n| one[*n] == other[*n ^ shift]).count();
            assert!(same < 40, "{same} of 1,000 are the same");
        }
    }

    #[test]
    fn an_arrival_of_a_replay_has_its_own_row_whoever_asks_first() {
        let rows = rows(FeedOrder::Recorded);
        assert_eq!([2, 0, 3, 1, 4].map(|arrival| rows.draw(arrival).unwrap()), [2, 0, 3, 1, 0].map(Some));
    }

    #[test]
    fn rows_go_on_behind_those_that_may_have_gone_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let feeds = [feed("one", 1000, FeedOrder::Unique), feed("other", 50, FeedOrder::Shuffled)];
        let draw = |feeds: &Feeds, feed: u16, count: usize| {
            let rows = feeds.get(feed).unwrap();
            (0..count).map(|_| rows.draw(0).unwrap()).collect::<Vec<_>>()
        };
        let resumed = |feeds: &[Feed]| Feeds::resumed(feeds, 9, &Places::go_on(&path, "here")?);
        let first = Feeds::kept(&feeds, 9, &Places::begin(&path, "here").unwrap()).unwrap();
        let mut unique = draw(&first, 0, 40);
        let mut shuffled = draw(&first, 1, 1);
        let busy = resumed(&feeds).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy, "its process lives");
        // The process dies: nothing is told to anybody.
        drop(first);
        let elsewhere = Places::go_on(&path, "there").unwrap_err().to_string();
        assert!(elsewhere.contains("in another history (here)"), "{elsewhere}");
        let then = resumed(&feeds).unwrap();
        assert_eq!(draw(&then, 0, 1), [Some(48)], "behind the last sixteen that were set aside");
        unique.extend(draw(&then, 0, 952));
        shuffled.extend(draw(&then, 1, 34));
        assert_eq!(unique.iter().flatten().collect::<std::collections::BTreeSet<_>>().len(), 991);
        assert_eq!(unique.last(), Some(&None), "those left out are gone");
        assert_eq!(shuffled.iter().flatten().collect::<std::collections::BTreeSet<_>>().len(), 35);
        drop(then);
        assert!(resumed(&feeds[..1]).unwrap_err().to_string().contains("not of 1 feeds"));
        let none = Places::go_on(&folder.path().join("none"), "here").unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_is_nobodys_any_more_is_taken_over_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let begin = || Places::begin(&path, "here");
        let feeds = [feed("one", 9, FeedOrder::Unique), feed("other", 9, FeedOrder::Unique)];
        let first = Feeds::kept(&feeds, 9, &begin().unwrap()).unwrap();
        first.get(0).unwrap().draw(0).unwrap();
        assert_eq!(begin().unwrap_err().to_string(), "another process uses it");
        drop(first);
        let second = Feeds::kept(&feeds[..1], 9, &begin().unwrap()).unwrap();
        assert_eq!(second.get(0).unwrap().draw(0).unwrap(), Some(0));
        drop(second);
        let third = Feeds::resumed(&feeds[..1], 9, &begin().unwrap()).unwrap();
        let drawn = third.get(0).unwrap().draw(0).unwrap();
        assert_eq!(drawn, None, "it was set aside, and as long as its feeds");
    }

    #[test]
    fn what_is_given_back_is_as_it_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let begin = || Places::begin(&path, "here").unwrap();
        begin().give_back();
        assert!(!path.exists(), "it was made for this");
        drop(Feeds::kept(&[feed("one", 9, FeedOrder::Unique)], 9, &begin()).unwrap());
        let before = std::fs::read(&path).unwrap();
        begin().give_back();
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_file_of_another_history_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let feeds = [feed("one", 9, FeedOrder::Unique)];
        drop(Feeds::kept(&feeds, 9, &Places::begin(&path, "shop.public").unwrap()).unwrap());
        let before = std::fs::read(&path).unwrap();
        // No prefix of a name is that name.
        for other in ["", "shop", "shop.public.more", "other.public"] {
            let error = Places::begin(&path, other).unwrap_err().to_string();
            assert!(
                error.contains("another history (shop.public)") && error.contains("remove the file"),
                "{error}"
            );
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::write(&path, "").unwrap();
        Places::begin(&path, "other.public")
            .expect("a process that died before it wrote anything has used nothing");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &path).unwrap();
        assert!(Places::begin(&path, "shop.public").unwrap_err().to_string().contains("leads nowhere"));
    }

    #[test]
    fn without_a_lock_nothing_is_taken_over() {
        let none = || Err(TryLockError::Error(io::ErrorKind::Unsupported.into()));
        assert!(held(none(), false).is_ok(), "a new file, or that of a run which only its record gives away");
        let refused = held(none(), true).unwrap_err().to_string();
        assert!(refused.contains("cannot be locked") && refused.contains("remove it"), "{refused}");
        for is_taken_over in [false, true] {
            assert!(held(Ok(()), is_taken_over).is_ok());
            let busy = held(Err(TryLockError::WouldBlock), is_taken_over).unwrap_err();
            assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        }
    }

    #[test]
    fn of_many_who_begin_and_give_up_none_removes_the_file_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let inode = |found: std::fs::Metadata| (found.dev(), found.ino());
        let begin_and_give_up = || {
            for _ in 0..2_000 {
                let Ok(places) = Places::begin(&path, "here") else { continue };
                let feeds = Feeds::kept(&[feed("one", 9, FeedOrder::Unique)], 9, &places).unwrap();
                let there = std::fs::metadata(&path).map(inode).ok();
                assert_eq!(
                    there,
                    places.file().metadata().map(inode).ok(),
                    "it is there as long as it is used"
                );
                // In the order in which a run that cannot begin lets go.
                drop(feeds);
                places.remove();
            }
        };
        std::thread::scope(|scope| {
            (0..3).for_each(|_| {
                scope.spawn(begin_and_give_up);
            });
        });
    }

    #[test]
    fn each_order_keeps_its_word() {
        assert_eq!(drawn(FeedOrder::Unique, 6), [Some(0), Some(1), Some(2), Some(3), None, None]);
        assert_eq!(drawn(FeedOrder::Sequential, 5), [Some(0), Some(1), Some(2), Some(3), Some(0)]);
        let shuffled = drawn(FeedOrder::Shuffled, 8);
        assert_eq!(shuffled[..4], shuffled[4..]);
        let mut once: Vec<_> = shuffled[..4].to_vec();
        once.sort_unstable();
        assert_eq!(once, [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(drawn(FeedOrder::Random, 50), drawn(FeedOrder::Random, 50), "the seed decides");
        assert!(drawn(FeedOrder::Random, 50).iter().all(|row| row.is_some_and(|row| row < 4)));
    }
}
