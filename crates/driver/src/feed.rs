use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use plimsoll_data::Permutation;
use plimsoll_run::{Feed, FeedOrder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rows set aside at a time, before any of them goes out: as many are left out at most where a run goes on whose process
/// died. A write to the file each time costs less than a microsecond then.
const ASIDE: u64 = 16;

/// The rows of a run, shared by setup, every worker and teardown: a unique row goes out once.
#[derive(Debug, Clone, Default)]
pub struct Feeds(Vec<Arc<Rows>>);

impl Feeds {
    /// The feeds of a plan, nothing drawn yet.
    pub fn new(feeds: &[Feed], seed: u64) -> Self {
        Self::from(feeds, seed, &[], None)
    }

    /// The same, and where each of them stands is kept in a new file that outlives this process.
    ///
    /// # Errors
    /// When the file cannot be written, or is there: that of another run, which may go on with its rows.
    pub fn kept(feeds: &[Feed], seed: u64, path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        // There is room for all that will ever be written.
        if let Err(error) = file.write_all_at(&vec![0; feeds.len() * 8], 0) {
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(Self::from(feeds, seed, &[], Some(file)))
    }

    /// The feeds of a run that goes on, behind the rows that were set aside before.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is that of other feeds.
    pub fn resumed(feeds: &[Feed], seed: u64, path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let mut bytes = vec![0; feeds.len() * 8];
        if file.metadata()?.len() != bytes.len() as u64 {
            return Err(io::Error::other(format!("it is not of {} feeds", feeds.len())));
        }
        file.read_exact_at(&mut bytes, 0)?;
        let stood: Vec<u64> = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        Ok(Self::from(feeds, seed, &stood, Some(file)))
    }

    fn from(feeds: &[Feed], seed: u64, stood: &[u64], file: Option<File>) -> Self {
        let file = file.map(|file| Arc::new(Mutex::new(file)));
        let rows = |(index, feed): (u64, &Feed)| {
            let drawn = stood.get(index as usize).copied().unwrap_or(0);
            let aside = file.as_ref().map(|file| Aside {
                file: Arc::clone(file),
                at: index * 8,
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
        let first = Feeds::kept(&feeds, 9, &path).unwrap();
        let mut unique = draw(&first, 0, 40);
        let mut shuffled = draw(&first, 1, 1);
        // The process dies: nothing is told to anybody.
        std::mem::forget(first);
        let then = Feeds::resumed(&feeds, 9, &path).unwrap();
        assert_eq!(draw(&then, 0, 1), [Some(48)], "behind the last sixteen that were set aside");
        unique.extend(draw(&then, 0, 952));
        shuffled.extend(draw(&then, 1, 34));
        assert_eq!(unique.iter().flatten().collect::<std::collections::BTreeSet<_>>().len(), 991);
        assert_eq!(unique.last(), Some(&None), "those left out are gone");
        assert_eq!(shuffled.iter().flatten().collect::<std::collections::BTreeSet<_>>().len(), 35);
        let again = Feeds::kept(&feeds, 9, &path).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists, "the places of that run stay");
        assert!(Feeds::resumed(&feeds[..1], 9, &path).unwrap_err().to_string().contains("not of 1 feeds"));
        assert!(Feeds::resumed(&feeds, 9, &folder.path().join("none")).is_err());
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
