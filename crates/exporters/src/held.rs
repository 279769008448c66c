use std::collections::VecDeque;

use crate::Piece;
use crate::store::Settled;

/// Reports that a disk does not take: they wait in memory, in order, until it takes them or the sink does.
/// Bounded: the oldest give way, unless they are on their way to the sink.
#[derive(Debug)]
pub(crate) struct Held {
    reports: VecDeque<Report>,
    bytes: usize,
    limit: usize,
    /// How many of the oldest pieces are being sent.
    reading: usize,
}

/// The pieces of one second that wait.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) second: u64,
    pub(crate) pieces: Vec<Piece>,
}

impl Report {
    fn points(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.points).sum()
    }

    fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.body.len()).sum()
    }
}

impl Held {
    pub(crate) fn new(limit: usize) -> Self {
        Self { reports: VecDeque::new(), bytes: 0, limit, reading: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// Whether the oldest are on their way to the sink.
    pub(crate) fn is_being_read(&self) -> bool {
        self.reading > 0
    }

    /// Puts a report at the end.
    pub(crate) fn push(&mut self, report: Report) {
        self.bytes += report.bytes();
        self.reports.push_back(report);
    }

    /// The oldest report. Nothing must be on its way.
    pub(crate) fn front(&self) -> Option<&Report> {
        self.reports.front()
    }

    /// Takes the oldest report away; its points.
    pub(crate) fn pop(&mut self) -> u64 {
        self.remove(0)
    }

    fn remove(&mut self, index: usize) -> u64 {
        let Some(report) = self.reports.remove(index) else { return 0 };
        self.bytes -= report.bytes();
        report.points()
    }

    /// Gives up the oldest reports of which nothing is on its way, until the rest stays within the limit; their points.
    pub(crate) fn make_room(&mut self) -> u64 {
        let mut begun = 0;
        let mut pieces = 0;
        while pieces < self.reading {
            pieces += self.reports.get(begun).map_or(self.reading, |report| report.pieces.len());
            begun += 1;
        }
        let mut lost = 0;
        while self.bytes > self.limit && self.reports.len() > begun {
            lost += self.remove(begun);
        }
        lost
    }

    /// The oldest pieces: as many as stay within so many points and bytes, and at least one where any waits.
    pub(crate) fn read(&mut self, points: u64, bytes: usize) -> Vec<Piece> {
        let (mut points_read, mut bytes_read) = (0_u64, 0);
        let within = |piece: &&Piece| {
            let first = points_read == 0;
            points_read = points_read.saturating_add(piece.points.max(1));
            bytes_read += piece.body.len();
            first || (points_read <= points && bytes_read <= bytes)
        };
        let all = self.reports.iter().flat_map(|report| &report.pieces);
        let pieces: Vec<Piece> = all.take_while(within).cloned().collect();
        self.reading = pieces.len();
        pieces
    }

    /// So many points of the pieces read last were taken, and the others are lost.
    pub(crate) fn settle(&mut self, acknowledged: u64) -> Settled {
        let mut points = 0;
        for _ in 0..std::mem::take(&mut self.reading) {
            let Some(oldest) = self.reports.front_mut() else { break };
            let piece = oldest.pieces.remove(0);
            self.bytes -= piece.body.len();
            points += piece.points;
            if oldest.pieces.is_empty() {
                self.reports.pop_front();
            }
        }
        let acknowledged = acknowledged.min(points);
        Settled { acknowledged, lost: points - acknowledged }
    }

    /// Nothing is on its way any more: whoever sent it is gone.
    pub(crate) fn stop_reading(&mut self) {
        self.reading = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(second: u64, sizes: &[(u64, usize)]) -> Report {
        let piece =
            |(points, bytes): &(u64, usize)| Piece { points: *points, lane: 0, body: vec![0; *bytes] };
        Report { second, pieces: sizes.iter().map(piece).collect() }
    }

    #[test]
    fn the_oldest_give_way_unless_they_are_on_their_way() {
        let mut held = Held::new(10);
        held.push(report(1, &[(1, 3), (2, 3)]));
        assert_eq!(held.read(1, 100).len(), 1);
        held.push(report(2, &[(4, 3)]));
        held.push(report(3, &[(8, 4)]));
        assert_eq!((held.make_room(), held.bytes), (4, 10), "the second report");
        let settled = held.settle(9);
        assert_eq!((settled.acknowledged, settled.lost), (1, 0));
        assert_eq!(held.front().map(|front| (front.second, front.points())), Some((1, 2)));
        assert_eq!((held.pop(), held.pop(), held.pop(), held.bytes), (2, 8, 0, 0));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_uncounted_and_all_stays_in_order(
            steps in prop::collection::vec((prop::collection::vec((1_u64..5, 0_usize..20), 1..4), any::<bool>(), 0_u64..6), 0..30),
            points in 1_u64..8, bytes in 1_usize..60, limit in 0_usize..100,
        ) {
            let mut held = Held::new(limit);
            let (mut pushed, mut gone) = (0, 0);
            for (second, (sizes, settles, acknowledged)) in steps.into_iter().enumerate() {
                let new = report(second as u64, &sizes);
                pushed += new.points();
                held.push(new);
                gone += held.make_room();
                if !held.is_being_read() {
                    held.read(points, bytes);
                }
                if settles {
                    let settled = held.settle(acknowledged);
                    gone += settled.acknowledged + settled.lost;
                }
                let seconds: Vec<_> = held.reports.iter().map(|report| report.second).collect();
                prop_assert!(seconds.is_sorted());
                prop_assert_eq!(pushed, gone + held.reports.iter().map(Report::points).sum::<u64>());
                prop_assert_eq!(held.bytes, held.reports.iter().map(Report::bytes).sum::<usize>());
                prop_assert!(held.bytes <= limit || held.is_being_read());
            }
        }
    }
}
