use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plimsoll_data::Permutation;
use plimsoll_run::{Feed, FeedOrder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The rows of a run, shared by setup, every worker and teardown: a unique row goes out once.
#[derive(Debug, Clone, Default)]
pub struct Feeds(Vec<Arc<Rows>>);

impl Feeds {
    /// The feeds of a plan, nothing drawn yet.
    pub fn new(feeds: &[Feed], seed: u64) -> Self {
        Self(
            (0_u64..)
                .zip(feeds)
                .map(|(index, feed)| Rows::new(feed.clone(), seed.wrapping_add(index)))
                .collect(),
        )
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
}

impl Rows {
    pub(crate) fn new(feed: Feed, seed: u64) -> Arc<Self> {
        let order = Permutation::new(feed.table.rows(), seed);
        Arc::new(Self { feed, drawn: AtomicU64::new(0), seed, order })
    }

    /// The next row's number, for this arrival of its load; `None` when a unique feed has run out.
    pub(crate) fn draw(&self, arrival: u64) -> Option<u64> {
        let rows = self.feed.table.rows();
        if self.feed.order == FeedOrder::Recorded {
            return Some(arrival % rows);
        }
        let n = self.drawn.fetch_add(1, Ordering::Relaxed);
        match self.feed.order {
            FeedOrder::Unique => (n < rows).then_some(n),
            FeedOrder::Sequential | FeedOrder::Recorded => Some(n % rows),
            FeedOrder::Shuffled => Some(self.order.at(n % rows)),
            FeedOrder::Random => {
                let mut random = ChaCha8Rng::seed_from_u64(self.seed);
                random.set_stream(n);
                Some(random.random_range(0..rows))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_data::{Format, Source, Table};

    fn rows(order: FeedOrder) -> Arc<Rows> {
        Rows::new(feed("f", 4, order), 9)
    }

    fn feed(name: &str, rows: u64, order: FeedOrder) -> Feed {
        let lines: String = (0..rows).map(|n| format!("{n}\n")).collect();
        let source = Source::Memory(format!("n\n{lines}").into_bytes().into());
        let table = Table::open(source, Format::Csv { delimiter: b',' }, |_, _| {}).unwrap();
        Feed { name: name.into(), table: Arc::new(table), digest: String::new(), order }
    }

    fn drawn(order: FeedOrder, count: usize) -> Vec<Option<u64>> {
        let rows = rows(order);
        (0..count).map(|_| rows.draw(7)).collect()
    }

    #[test]
    fn random_rows_of_two_feeds_have_nothing_to_do_with_each_other() {
        let feed = |name: &str| feed(name, 100, FeedOrder::Random);
        let feeds = Feeds::new(&[feed("one"), feed("other")], 8);
        let drawn = |feed| (0..1000).filter_map(|_| feeds.get(feed)?.draw(0)).collect::<Vec<_>>();
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
        assert_eq!([2, 0, 3, 1, 4].map(|arrival| rows.draw(arrival)), [2, 0, 3, 1, 0].map(Some));
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
