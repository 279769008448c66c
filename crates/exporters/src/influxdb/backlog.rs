use std::collections::VecDeque;

/// Lines that are sent together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    text: String,
    points: u64,
}

impl Chunk {
    /// Lines in chunks of at most so many points and bytes; a longer line is a chunk of its own.
    pub(super) fn of(lines: &[String], points: u64, bytes: usize) -> Vec<Self> {
        let mut chunks: Vec<Self> = Vec::new();
        for line in lines {
            match chunks.last_mut() {
                Some(last) if last.points < points && last.text.len() + line.len() < bytes => {
                    last.append(line, 1);
                }
                _ => chunks.push(Self { text: line.clone(), points: 1 }),
            }
        }
        chunks
    }

    fn append(&mut self, text: &str, points: u64) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.points += points;
    }

    /// Its lines, one below the other.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How many lines it has.
    pub(super) fn points(&self) -> u64 {
        self.points
    }

    /// Two chunks of about half the lines; `None`: it has but one.
    pub(super) fn halves(&self) -> Option<(Self, Self)> {
        let points = self.points / 2;
        if points == 0 {
            return None;
        }
        let (middle, _) = self.text.match_indices('\n').nth(points as usize - 1)?;
        let first = Self { text: self.text[..middle].to_owned(), points };
        let second = Self { text: self.text[middle + 1..].to_owned(), points: self.points - points };
        Some((first, second))
    }
}

/// Chunks that wait, oldest first, bounded in bytes.
#[derive(Debug)]
pub(super) struct Backlog {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    limit: usize,
}

impl Backlog {
    pub(super) fn new(limit: usize) -> Self {
        Self { chunks: VecDeque::new(), bytes: 0, limit }
    }

    /// Bytes of text that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts chunks at the end; how many of the oldest points had to go for them.
    pub(super) fn push(&mut self, chunks: Vec<Chunk>) -> u64 {
        for chunk in chunks {
            self.bytes += chunk.text.len();
            self.chunks.push_back(chunk);
        }
        let mut evicted = 0;
        while self.bytes > self.limit
            && let Some(oldest) = self.chunks.pop_front()
        {
            self.bytes -= oldest.text.len();
            evicted += oldest.points;
        }
        evicted
    }

    /// The oldest chunks as one of at most so many points and bytes; at least one chunk, if any waits.
    pub(super) fn take(&mut self, points: u64, bytes: usize) -> Option<Chunk> {
        let mut batch = self.chunks.pop_front()?;
        self.bytes -= batch.text.len();
        while let Some(next) = self.chunks.front()
            && batch.points + next.points <= points
            && batch.text.len() + next.text.len() < bytes
        {
            batch.append(&next.text, next.points);
            self.bytes -= next.text.len();
            self.chunks.pop_front();
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(lengths: &[usize]) -> Vec<String> {
        lengths.iter().map(|length| "x".repeat(*length)).collect()
    }

    #[test]
    fn the_oldest_give_way() {
        let mut backlog = Backlog::new(10);
        assert_eq!(backlog.push(Chunk::of(&lines(&[4, 4]), 1, 100)), 0);
        assert_eq!(backlog.push(Chunk::of(&lines(&[3]), 1, 100)), 1);
        assert_eq!(backlog.bytes(), 7);
        assert_eq!(backlog.push(Chunk::of(&lines(&[11]), 1, 100)), 3, "what never fits is lost too");
        assert_eq!((backlog.bytes(), backlog.take(1, 1)), (0, None));
    }

    #[test]
    fn a_chunk_is_halved_down_to_one_line() {
        let [chunk] = Chunk::of(&lines(&[1, 2, 3]), 9, 99).try_into().unwrap();
        let (first, second) = chunk.halves().unwrap();
        assert_eq!((first.text(), first.points(), second.text(), second.points()), ("x", 1, "xx\nxxx", 2));
        assert_eq!(first.halves(), None);
    }

    proptest! {
        #[test]
        fn no_line_is_lost_or_doubled(
            pushes in prop::collection::vec(prop::collection::vec(1_usize..30, 0..8), 0..8),
            points in 1_u64..6, bytes in 1_usize..80, limit in 1_usize..200,
        ) {
            let mut backlog = Backlog::new(limit);
            let (mut pushed, mut evicted, mut taken) = (0, 0, 0);
            for lengths in &pushes {
                pushed += lengths.len() as u64;
                evicted += backlog.push(Chunk::of(&lines(lengths), points, bytes));
                prop_assert!(backlog.bytes() <= limit);
            }
            while let Some(batch) = backlog.take(points, bytes) {
                prop_assert_eq!(batch.text().lines().count() as u64, batch.points());
                prop_assert!(batch.points() <= points.max(1));
                prop_assert!(batch.points() == 1 || batch.text().len() <= bytes);
                taken += batch.points();
            }
            prop_assert_eq!(pushed, evicted + taken);
            prop_assert_eq!(backlog.bytes(), 0);
        }
    }
}
