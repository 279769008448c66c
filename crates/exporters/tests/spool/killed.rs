//! A process that appends is killed in the middle of it, and others go on where it stopped.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use plimsoll_exporters::spool::{Limits, list};

use super::{SMALL, create, open, piece};

const ROOT: &str = "PLIMSOLL_TEST_SPOOL_ROOT";
const LIMITS: Limits = Limits { bytes: 100 << 20, segment_bytes: 64 << 10, ..SMALL };

/// Pieces of the report of a second: several, so that it can be half written.
fn report(second: u64) -> [plimsoll_exporters::Piece; 3] {
    let body = format!("{second}:{}", "x".repeat(second as usize % 5_000));
    [piece(1, &body), piece(2, &body), piece(3, "")]
}

/// Nothing by itself: the process that the other test starts and kills.
#[test]
fn appends_until_it_is_killed() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let mut queue = match list(Path::new(&root)).0.first() {
        Some(found) => open(&found.folder, LIMITS),
        None => create(Path::new(&root), LIMITS),
    };
    let mut output = std::io::stdout();
    for second in queue.last_second().map_or(0, |last| last + 1).. {
        assert_eq!(queue.append(second, &report(second)).lost, 0);
        writeln!(output, "appended {second}").unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_had_appended() {
    let root = tempfile::tempdir().unwrap();
    let mut expected = 0;
    for round in 1..=6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["killed::appends_until_it_is_killed", "--exact", "--nocapture"])
            .env(ROOT, root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let appended =
            |line: String| line.strip_prefix("appended ").map(|second| second.parse::<u64>().unwrap());
        let mut told = lines.by_ref().map_while(Result::ok).filter_map(appended);
        assert!(told.nth(round * 37).is_some(), "it appends");
        child.kill().unwrap();
        let last_told = told.last();
        child.wait().unwrap();

        let folder = &list(root.path()).0[0].folder;
        let mut queue = open(folder, LIMITS);
        let last = queue.last_second().unwrap();
        if let Some(told) = last_told {
            assert!((told..=told + 1).contains(&last), "{told} was told, {last} is there");
        }
        assert_eq!(queue.account().produced, 6 * (last + 1), "reports are whole");
        // Half of what waits is taken each time, so the next process goes on in the middle.
        while expected < last {
            let pieces = queue.read(6, 1 << 20).unwrap().pieces;
            assert_eq!(pieces, report(expected));
            queue.settle(6);
            expected += 1;
            if expected % 50 == 0 {
                break;
            }
        }
        let account = queue.account();
        assert_eq!((account.acknowledged, account.lost), (6 * expected, 0));
    }
}
