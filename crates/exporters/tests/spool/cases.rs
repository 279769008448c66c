//! What a queue does in the cases that its documentation names.

use std::fs;
use std::path::Path;
use std::time::Duration;

use plimsoll_exporters::Piece;
use plimsoll_exporters::spool::{About, Account, Limits, Queue, SpoolError, Sync, WhenFull, list, look};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::foreign;
use super::{SMALL, about, create, open, piece};

/// The bodies of all that waits, each of which is acknowledged.
fn drain(queue: &mut Queue) -> Vec<String> {
    let mut bodies = Vec::new();
    while let pieces = queue.read(1_000, 1 << 20).unwrap().pieces
        && !pieces.is_empty()
    {
        queue.settle(pieces.iter().map(|piece| piece.points).sum());
        bodies.extend(pieces.into_iter().map(|piece| String::from_utf8(piece.body).unwrap()));
    }
    bodies
}

fn counts(account: Account) -> [u64; 4] {
    [account.produced, account.acknowledged, account.backlog, account.lost]
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_waits_outlives_its_process_and_an_empty_queue_goes() {
    let root = tempfile::tempdir().unwrap();
    let mut queue = create(root.path(), Limits::default());
    let folder = queue.folder().to_owned();
    assert_eq!((queue.last_second(), counts(queue.account())), (None, [0; 4]));
    assert_eq!(queue.append(0, &[]).lost, 0);
    assert_eq!(queue.append(7, &[piece(3, "a"), piece(4, "b")]).lost, 0);
    assert_eq!(queue.append(8, &[piece(5, "")]).lost, 0);
    drop(queue);

    let mut queue = open(&folder, Limits::default());
    assert_eq!((queue.last_second(), queue.is_ended()), (Some(8), false));
    assert_eq!(queue.read(1, 1).unwrap().pieces, [piece(3, "a")], "at least one");
    assert_eq!(queue.read(7, 100).unwrap().pieces, [piece(3, "a"), piece(4, "b")], "the same again");
    let settled = queue.settle(5);
    assert_eq!((settled.acknowledged, settled.lost), (5, 2));
    let settled = queue.settle(5);
    assert_eq!((settled.acknowledged, settled.lost), (0, 0), "what was read is settled once");
    assert_eq!(counts(queue.account()), [12, 5, 5, 2]);
    queue.append(9, &[piece(1, "c")]);
    queue.mark_ended().unwrap();
    drop(queue);

    let mut queue = open(&folder, Limits::default());
    assert!(queue.is_ended());
    assert_eq!((queue.last_second(), queue.about()), (Some(9), &about("run-1")));
    assert_eq!(drain(&mut queue), ["", "c"]);
    assert_eq!(counts(queue.account()), [13, 11, 0, 2]);
    queue.remove().unwrap();
    assert!(names(root.path()).is_empty());
    assert!(Queue::open(&folder, SMALL).unwrap().is_none(), "it is gone");
}

#[test]
fn one_process_has_it() {
    let root = tempfile::tempdir().unwrap();
    let queue = create(root.path(), SMALL);
    let folder = queue.folder().to_owned();
    assert!(Queue::open(&folder, SMALL).unwrap().is_none());
    assert!(matches!(Queue::create(root.path(), about("run-1"), SMALL), Err(SpoolError::Exists { .. })));
    assert!(look(&folder).unwrap().in_use);
    drop(queue);
    assert!(matches!(Queue::create(root.path(), about("run-1"), SMALL), Err(SpoolError::Exists { .. })));
    assert!(!look(&folder).unwrap().in_use);
    drop(open(&folder, SMALL));
}

#[test]
fn the_oldest_segments_give_way_and_nothing_is_counted_twice() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 1_000, segment_bytes: 250, ..SMALL };
    let mut queue = create(root.path(), limits);
    let body = "x".repeat(100);
    let mut appended = 0;
    while queue.append(appended, &[piece(10, &body)]).lost == 0 {
        appended += 1;
    }
    let lost = queue.account().lost;
    assert_eq!(lost, 10, "a segment of one piece went");
    // The oldest that is left is on its way when it gives way too.
    assert_eq!(queue.read(20, 1_000).unwrap().pieces.len(), 2);
    let one = queue.append(appended, &[piece(10, &body)]);
    assert_eq!((one.lost, one.is_full), (10, true));
    let settled = queue.settle(20);
    assert_eq!((settled.acknowledged, settled.lost), (10, 0), "the sink took it, but it was counted as lost");
    let all = queue.account();
    assert_eq!(all.produced, all.acknowledged + all.backlog + all.lost);
    assert_eq!((all.acknowledged, all.lost), (10, 20));
    // All that was read gives way: nothing is left to settle.
    queue.read(1, 1).unwrap();
    for second in 0..20 {
        queue.append(second, &[piece(10, &body)]);
    }
    let before = queue.account();
    assert_eq!(queue.settle(10).acknowledged, 0);
    assert_eq!(queue.account(), before);
}

#[test]
fn the_newest_are_refused_whole() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 400, when_full: WhenFull::DropNewest, ..SMALL };
    let mut queue = create(root.path(), limits);
    assert_eq!(queue.append(0, &[piece(1, "first"), piece(2, &"x".repeat(150))]).lost, 0);
    let refused = queue.append(1, &[piece(3, "small"), piece(4, &"x".repeat(150))]);
    assert_eq!((refused.lost, refused.is_full), (7, true));
    assert_eq!(queue.append(2, &[piece(5, "third")]).lost, 0);
    assert_eq!(queue.last_second(), Some(2));
    assert_eq!(drain(&mut queue).len(), 3);
    assert_eq!(queue.append(3, &[piece(1, &"x".repeat(200))]).lost, 0, "what was settled makes room");
    assert_eq!(counts(queue.account()), [16, 8, 1, 7]);
    let folder = queue.folder().to_owned();
    drop(queue);
    assert_eq!(counts(open(&folder, limits).account()), [16, 8, 1, 7]);
}

#[test]
fn what_never_fits_is_refused_and_costs_nobody_else() {
    let root = tempfile::tempdir().unwrap();
    let mut queue = create(root.path(), SMALL);
    queue.append(0, &[piece(1, "waits")]);
    assert_eq!(queue.append(1, &[piece(2, &"x".repeat(4_000))]).lost, 2);
    let huge = Piece { points: 3, lane: 0, body: vec![0; (16 << 20) + 1] };
    let mut large = create_named(root.path(), "large", Limits::default());
    let appended = large.append(0, &[huge]);
    assert_eq!((appended.lost, appended.is_full, appended.error.is_some()), (3, false, true));
    assert_eq!(drain(&mut queue), ["waits"]);
    assert_eq!(counts(large.account()), [3, 0, 0, 3]);
}

fn create_named(root: &Path, run: &str, limits: Limits) -> Queue {
    Queue::create(root, about(run), limits).unwrap()
}

#[test]
fn every_policy_of_syncing_keeps_what_a_killed_process_appended() {
    for sync in
        [Sync::Never, Sync::Every(Duration::ZERO), Sync::Every(Duration::from_secs(3600)), Sync::Always]
    {
        let root = tempfile::tempdir().unwrap();
        let limits = Limits { sync, ..SMALL };
        let mut queue = create(root.path(), limits);
        for second in 0..20 {
            let appended = queue.append(second, &[piece(1, &format!("{second:0100}"))]);
            assert!(appended.error.is_none() && appended.lost == 0);
        }
        let folder = queue.folder().to_owned();
        drop(queue);
        assert_eq!(drain(&mut open(&folder, limits)).len(), 20);
    }
}

#[test]
fn queues_are_listed_by_age_and_looked_at_without_opening() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(list(&root.path().join("none")).0, []);
    let mut newer = Queue::create(root.path(), About { created: 9, ..about("a") }, SMALL).unwrap();
    drop(Queue::create(root.path(), About { created: 3, ..about("b") }, SMALL).unwrap());
    let other = About { identity: "elsewhere".to_owned(), created: 5, ..about("a") };
    drop(Queue::create(root.path(), other.clone(), SMALL).unwrap());
    newer.append(1, &[piece(4, "x")]);
    // Neither is a queue: one is being made, one is somebody's.
    fs::create_dir_all(root.path().join("influxdb-00000000/new")).unwrap();
    fs::write(root.path().join("influxdb-00000000/file"), "").unwrap();
    let (found, errors) = list(root.path());
    assert!(errors.is_empty());
    let ages: Vec<_> = found.iter().map(|found| (found.about.created, found.about.run.as_str())).collect();
    assert_eq!(ages, [(3, "b"), (5, "a"), (9, "a")]);
    assert_eq!(found[1].about, other);
    let seen = look(&found[2].folder).unwrap();
    assert_eq!((seen.account.map(counts), seen.in_use, seen.ended), (Some([4, 0, 4, 0]), true, false));
    assert_eq!(seen.bytes, newer.bytes());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let root = tempfile::tempdir().unwrap();
    for run in ["", ".", "..", "../x", "a/b", "a b", "\u{e4}", &"x".repeat(129)] {
        let refused = Queue::create(root.path(), about(run), SMALL);
        assert!(matches!(refused, Err(SpoolError::Name(_))), "{run}");
    }
    assert!(names(root.path()).is_empty());
}

/// Opens a queue of which one file was changed; how it is refused. Nothing is removed.
fn refusal(change: impl FnOnce(&Path)) -> String {
    let root = tempfile::tempdir().unwrap();
    let mut queue = create(root.path(), SMALL);
    queue.append(0, &[piece(1, "a")]);
    let folder = queue.folder().to_owned();
    drop(queue);
    change(&folder);
    let before = names(&folder);
    let error = Queue::open(&folder, SMALL).unwrap_err().to_string();
    assert_eq!(names(&folder), before);
    error.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn what_no_queue_wrote_is_named_and_left() {
    let foreign = "is not part of this queue: move it elsewhere, then the queue can be opened";
    let write = |name: &'static str, bytes: &'static str| {
        move |folder: &Path| fs::write(folder.join(name), bytes).unwrap()
    };
    let text = "some notes that somebody has put here, longer than a head";
    assert_eq!(refusal(write("notes.txt", text)), format!("notes.txt {foreign}"));
    assert_eq!(refusal(write("00000002.log", text)), format!("00000002.log {foreign}"));
    assert_eq!(refusal(write("00000002.log", "x")), format!("00000002.log {foreign}"));
    assert_eq!(refusal(write("2.log", "")), format!("2.log {foreign}"));
    assert_eq!(refusal(write("account", text)), format!("account {foreign}"));
    assert_eq!(
        refusal(|folder| fs::create_dir(folder.join("00000002.log")).unwrap()),
        format!("00000002.log {foreign}")
    );
    let format = r#"{"format": 2}"#;
    assert_eq!(refusal(write("about.json", format)), "about.json has format 2, and this version knows 1");
    assert_eq!(refusal(write("about.json", "{}")), "cannot read about.json: it has no `format`");
    assert!(refusal(write("about.json", "")).starts_with("cannot read about.json: EOF"));
}

#[test]
fn the_segment_of_another_queue_is_foreign() {
    let root = tempfile::tempdir().unwrap();
    let mut other = create_named(root.path(), "other", SMALL);
    other.append(0, &[piece(1, "theirs")]);
    let theirs = other.folder().join("00000001.log");
    let error = refusal(|folder| {
        fs::copy(&theirs, folder.join("00000002.log")).unwrap();
    });
    assert!(error.starts_with("00000002.log is not part"), "{error}");
}

#[test]
fn without_an_account_what_is_there_is_sent_and_what_is_not_counts_as_lost() {
    let root = tempfile::tempdir().unwrap();
    let mut queue = create(root.path(), SMALL);
    let body = "x".repeat(300);
    for second in 0..4 {
        queue.append(second, &[piece(10, &body)]);
    }
    queue.read(20, 1_000).unwrap();
    queue.settle(20);
    queue.append(4, &[piece(7, &"x".repeat(4_000))]);
    queue.append(5, &[piece(10, "last")]);
    assert_eq!(counts(queue.account()), [57, 20, 30, 7]);
    let folder = queue.folder().to_owned();
    drop(queue);
    fs::write(folder.join("account"), "").unwrap();
    let mut queue = open(&folder, SMALL);
    assert_eq!(counts(queue.account()), [57, 0, 30, 27], "nobody knows what became of the first 20");
    assert_eq!(queue.last_second(), Some(5));
    assert_eq!(drain(&mut queue).len(), 3);
}

#[test]
fn files_that_never_reached_the_disk_are_zeros_and_their_points_are_lost() {
    let root = tempfile::tempdir().unwrap();
    let mut queue = create(root.path(), SMALL);
    for second in 0..3 {
        queue.append(second, &[piece(10, &"x".repeat(500))]);
    }
    let folder = queue.folder().to_owned();
    drop(queue);
    fs::write(folder.join("00000003.log"), [0; 584]).unwrap();
    let mut queue = open(&folder, SMALL);
    assert_eq!(drain(&mut queue).len(), 2);
    assert_eq!(counts(queue.account()), [30, 20, 0, 10]);
    drop(queue);
    fs::write(folder.join("account"), [0; 4192]).unwrap();
    assert_eq!(counts(open(&folder, SMALL).account()), [0; 4], "nothing is left that could tell");
}

#[test]
fn a_segment_that_is_gone_is_lost_to_the_point() {
    let root = tempfile::tempdir().unwrap();
    let mut queue = create(root.path(), SMALL);
    for second in 0..6 {
        queue.append(second, &[piece(10 + second, &"x".repeat(500))]);
    }
    let segment = |number: u64| queue.folder().join(format!("{number:08}.log"));
    fs::remove_file(segment(3)).unwrap();
    fs::remove_file(segment(6)).unwrap();
    assert_eq!(queue.read(1_000, 10_000).unwrap().pieces.len(), 2);
    queue.settle(21);
    let batch = queue.read(1_000, 10_000).unwrap();
    assert_eq!((batch.damaged, batch.pieces.len()), (12, 2));
    queue.settle(27);
    let batch = queue.read(1_000, 10_000).unwrap();
    assert_eq!((batch.damaged, batch.pieces.len()), (15, 0));
    assert_eq!(counts(queue.account()), [75, 48, 0, 27]);
}

/// What fuzzing begins with and found worth keeping, and many mutations of it, always the same.
#[test]
fn mutations_of_the_corpus_are_opened_or_refused() {
    const SEED: u64 = 0x1876;
    const MUTATIONS: usize = 1_000;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/spool");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    corpus.iter().for_each(|bytes| foreign::check(bytes));
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..MUTATIONS {
        let mut bytes = corpus[random.random_range(0..corpus.len())].clone();
        for _ in 0..random.random_range(1..6) {
            mutate(&mut bytes, &mut random);
        }
        foreign::check(&bytes);
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    // Most of an account is empty: what follows it is where something happens.
    let last = bytes.len().saturating_sub(1);
    let from = if random.random_range(0..3) == 0 { 0 } else { last.saturating_sub(300) };
    let at = random.random_range(from..=last);
    match random.random_range(0..5) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.random()),
        2 => drop(bytes.splice(at..bytes.len().min(at + 8), random.random::<[u8; 8]>())),
        3 => {
            let end = random.random_range(at..=last) + 1;
            let copy = bytes.get(at..end).unwrap_or_default().to_vec();
            bytes.extend(copy);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
    }
}

/// What earlier versions left on a disk must be readable, so the format is what it was.
/// `UPDATE_GOLDEN=1` writes the files anew.
#[test]
fn the_first_format_is_written_and_read() {
    let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spool/v1"));
    let root = tempfile::tempdir().unwrap();
    let mut queue = create(root.path(), SMALL);
    let folder = queue.folder().to_owned();
    queue.append(1, &[piece(1, "first"), piece(2, "second")]);
    queue.append(2, &[piece(3, &"x".repeat(4_000))]);
    queue.append(3, &[piece(4, "")]);
    queue.read(1, 1).unwrap();
    queue.settle(1);
    drop(queue);
    for name in ["about.json", "account", "00000001.log"] {
        let written = fs::read(folder.join(name)).unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(golden).unwrap();
            fs::write(golden.join(name), &written).unwrap();
        }
        assert!(fs::read(golden.join(name)).unwrap() == written, "{name} has another form");
    }
    for name in ["about.json", "account", "00000001.log"] {
        fs::copy(golden.join(name), folder.join(name)).unwrap();
    }
    let mut queue = open(&folder, SMALL);
    assert_eq!((counts(queue.account()), queue.last_second()), ([10, 1, 6, 3], Some(3)));
    assert_eq!(drain(&mut queue), ["second", ""]);
}
