//! A large table takes no more memory than a small one, in any order of its rows.
//!
//! Tables are made as they are read, so that no disk has to hold them. The ordinary test compares 2 MB and
//! 200 MB; `PLIMSOLL_FEED=whole` compares 10 MB and 10 GB, which `cargo xtask soak feed` does in a release build.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

#[expect(dead_code, reason = "the tests of the reader measure more")]
#[path = "../../../driver/tests/http1/allocations.rs"]
mod allocations;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_data::{
    Format, LogRules, LogTimes, Methods, Permutation, ReadAt, Row, RowReader, Source, Table,
};

#[global_allocator]
static COUNTING: allocations::Counting = allocations::Counting;

/// Bytes of a line: a number, a text in quotes and the line feed.
const LINE: u64 = 51;

/// Lines that are made when they are read.
#[derive(Debug)]
struct Made(u64);

impl Made {
    fn line(number: u64) -> [u8; LINE as usize] {
        let text = match number {
            0 => format!("{:<15},{:<34}\n", "number", "name"),
            _ => format!("{:015},\"the \"\"{:010}\"\" in its quotes\"\n", number - 1, number - 1),
        };
        text.into_bytes().try_into().unwrap()
    }
}

impl ReadAt for Made {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.0.saturating_sub(offset) as usize);
        let mut at = 0;
        while at < count {
            let place = offset + at as u64;
            let line = Self::line(place / LINE);
            let rest = &line[(place % LINE) as usize..];
            let taken = rest.len().min(count - at);
            into[at..at + taken].copy_from_slice(&rest[..taken]);
            at += taken;
        }
        Ok(count)
    }
}

/// Bytes of a line of a log.
const LOG_LINE: u64 = 80;

/// Lines of a log, made when they are read: fifty a second.
#[derive(Debug)]
struct Log(u64);

impl Log {
    fn line(number: u64) -> Vec<u8> {
        let second = number / 50;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let time = format!("[01/Jan/2026:{hour:02}:{minute:02}:{second:02} +0000]");
        format!("{:79}\n", format!("192.0.2.1 - - {time} \"GET /{number:09} HTTP/1.1\" 200 9")).into_bytes()
    }
}

impl ReadAt for Log {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let line = Self::line(offset / LOG_LINE);
        let rest = &line[(offset % LOG_LINE) as usize..];
        let taken = rest.len().min(into.len()).min(self.0.saturating_sub(offset) as usize);
        into[..taken].copy_from_slice(&rest[..taken]);
        Ok(taken)
    }
}

/// The most bytes that a log of this size held while it was replayed.
fn held_by_log(size: u64) -> isize {
    let rules = LogRules { methods: Methods::SAFE, tolerance: Duration::ZERO };
    let (before, requests) = (allocations::held(), size / LOG_LINE);
    let mut most = 0;
    let mut look = || most = most.max(allocations::held() - before);
    let source = Source::File(Arc::new(Log(requests * LOG_LINE)));
    let (table, summary) = Table::open_log(source, rules, |_, _, _| look()).unwrap();
    assert_eq!((table.rows(), summary.requests()), (requests, requests));
    let table = Arc::new(table);
    let mut times = LogTimes::new(Arc::clone(&table)).unwrap();
    let (mut reader, mut row) = (RowReader::default(), Row::default());
    for number in 0..requests {
        assert_eq!(times.next_time().unwrap(), Some(number * 20_000_000));
        reader.read(&table, number, &mut row).unwrap();
        assert_eq!(row.get(1), Some(&*format!("/{number:09}")));
        look();
    }
    most
}

/// The most bytes that a table of this size held, with three workers reading it in three orders.
fn held(size: u64) -> isize {
    let size = size / LINE * LINE;
    let before = allocations::held();
    let mut most = 0;
    let mut look = || most = most.max(allocations::held() - before);
    let table =
        Table::open(Source::File(Arc::new(Made(size))), Format::Csv { delimiter: b',' }, |_, _| look());
    let table = table.unwrap();
    let rows = size / LINE - 1;
    assert_eq!(table.rows(), rows);
    let order = Permutation::new(rows, 7);
    let mut readers: [RowReader; 3] = Default::default();
    let mut row = Row::default();
    for n in 0..20_000 {
        let last = rows - 1 - n % rows;
        for (reader, number) in readers.iter_mut().zip([n % rows, order.at(n % rows), last]) {
            reader.read(&table, number, &mut row).unwrap();
            assert_eq!(row.get(0).unwrap().parse(), Ok(number));
            assert_eq!(row.get(1), Some(&*format!("the \"{number:010}\" in its quotes")));
        }
        look();
    }
    most
}

#[test]
fn a_large_table_or_log_takes_no_more_memory_than_a_small_one() {
    let is_whole = std::env::var("PLIMSOLL_FEED").is_ok_and(|form| form == "whole");
    let (small, large) = if is_whole { (10_000_000, 10_000_000_000) } else { (2_000_000, 200_000_000) };
    let (of_small, of_large) = (held(small), held(large));
    println!("{small} bytes: {of_small} bytes held; {large} bytes: {of_large} bytes held");
    // What a table keeps of its rows has a bound, 8 MiB, and a vector that grew to it may have had twice that.
    let bound = 17 << 20;
    assert!(of_small < bound && of_large < bound, "{of_small} and {of_large} bytes held");

    let (of_small, of_large) = (held_by_log(400_000), held_by_log(20_000_000));
    println!("a log: {of_small} and {of_large} bytes held");
    // What grows is where rows are and how many came in each second, and both have bounds.
    let (places, seconds) = (8 * 20_000_000 / LOG_LINE, 2 * 8 * (20_000_000 / LOG_LINE / 50));
    let grown = (2 * places + 2 * seconds) as isize;
    assert!(of_large <= of_small + grown, "{of_small} and {of_large} bytes held");
}
