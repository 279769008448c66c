//! Points that outlive the process: left by one run, delivered by the next.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_exporters::{Exporters, LiveMetrics, Replay, sinks};
use plimsoll_run::{ExportCount, ExportSettings, InfluxExport, InfluxPlace, RunEvent, SpoolSettings};
use plimsoll_testkit::{Answer, Receiver, wait_for};
use tempfile::TempDir;

use crate::run::{DEADLINE, Run, balanced, finish_after};

fn settings(url: &str, spool: &Path) -> ExportSettings {
    let place = InfluxPlace::Version2 { org: "o".to_owned(), bucket: "b".to_owned(), token: None };
    let influxdb = InfluxExport { url: url.to_owned(), place };
    let spool = SpoolSettings { directory: Some(spool.to_owned()), ..SpoolSettings::default() };
    ExportSettings { influxdb: Some(influxdb), spool, ..ExportSettings::default() }
}

async fn start(settings: &ExportSettings) -> (Exporters, Arc<LiveMetrics>) {
    let live = Arc::new(LiveMetrics::new());
    (Exporters::start(settings, Arc::clone(&live)).await.unwrap(), live)
}

/// A run of so many seconds, as its record would have it.
fn record(seconds: u64) -> (Run, Vec<RunEvent>) {
    let mut run = Run::new();
    let mut events = vec![run.start()];
    events.extend((0..seconds).map(|second| run.next_second(50 + second)));
    (run, events)
}

fn send(exporters: &mut Exporters, events: &[RunEvent]) {
    events.iter().for_each(|event| exporters.send(event));
}

async fn finish(exporters: &mut Exporters, seconds: u64, deadline: Duration) -> ExportCount {
    let [count] = finish_after(exporters, seconds, deadline).await.try_into().unwrap();
    count
}

/// Every line that came, each once.
fn lines(receiver: &Receiver) -> BTreeSet<String> {
    let texts: Vec<String> = receiver.received().iter().map(|one| one.text().unwrap()).collect();
    texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect()
}

/// Lines of requests and other series of seconds; what judging says of made-up requests is another matter.
fn of_seconds(lines: &BTreeSet<String>) -> BTreeSet<&str> {
    let is_judged =
        |line: &&str| line.starts_with("plimsoll_sla") || line.starts_with("plimsoll_run_validity");
    lines.iter().map(String::as_str).filter(|line| !is_judged(line)).collect()
}

fn is_empty(spool: &TempDir) -> bool {
    let queues = std::fs::read_dir(spool.path()).unwrap().flatten();
    queues.flat_map(|sink| std::fs::read_dir(sink.path()).unwrap()).count() == 0
}

/// A sink that is not there, at an address where another one may be later.
async fn absent() -> (Receiver, String) {
    let receiver = Receiver::start([Answer::Status(503), Answer::Status(204)]).await.unwrap();
    let url = receiver.url();
    (receiver, url)
}

#[tokio::test]
async fn what_a_sink_did_not_take_goes_out_with_the_next_run() {
    let spool = TempDir::new().unwrap();
    let stalling = Receiver::start([Answer::Stall, Answer::Stall, Answer::Status(204)]).await.unwrap();
    let settings = settings(&stalling.url(), spool.path());
    let (first_run, events) = record(3);
    let (mut first, live) = start(&settings).await;
    send(&mut first, &events);
    let left = finish(&mut first, 3, Duration::from_millis(300)).await;
    assert!(left.backlog > 0 && left.backlog == left.produced, "{left:?}");
    assert_eq!(live.export_counts(), std::slice::from_ref(&left));
    let notes = first.notes().join("\n");
    assert!(notes.contains("they wait in the spool"), "{notes}");
    drop(first);

    let (mut second, live) = start(&settings).await;
    assert_eq!(live.export_counts()[0].backlog, left.backlog, "what waits is counted from the start");
    assert!(second.unfinished().is_empty(), "the first run ended well");
    let (second_run, events) = record(2);
    send(&mut second, &events);
    let own = finish(&mut second, 2, DEADLINE).await;
    assert_eq!((own.backlog, own.lost), (0, 0));
    let [(run, earlier)] = second.earlier() else { panic!("{:?}", second.earlier()) };
    assert_eq!((run, earlier.acknowledged), (&first_run.id, left.backlog));
    assert_eq!(live.export_counts()[0].produced, left.backlog + own.produced);
    let found = lines(&stalling);
    assert_eq!(found.len() as u64, left.produced + own.produced);
    let texts: Vec<String> = stalling.received().iter().map(|one| one.text().unwrap()).collect();
    let first_of_second = texts.iter().position(|text| text.contains(&second_run.id)).unwrap();
    assert!(
        texts[first_of_second + 1..].iter().all(|text| !text.contains(&first_run.id)),
        "what waited goes first, so that every series is in order"
    );
    assert!(is_empty(&spool), "nothing stays behind");
}

#[tokio::test]
async fn a_run_whose_process_died_is_completed_from_its_record() {
    let spool = TempDir::new().unwrap();
    let (receiver, url) = absent().await;
    let settings = settings(&url, spool.path());
    let (run, events) = record(6);
    let (mut first, live) = start(&settings).await;
    send(&mut first, &events[..4]);
    wait_for(DEADLINE, "three seconds", async || {
        let count = live.export_counts()[0].clone();
        // Eleven series a second and more.
        if count.produced > 30 { Ok(()) } else { Err(format!("{count:?}")) }
    })
    .await
    .unwrap();
    // No end is told: so a dead process leaves it.
    drop(first);

    let (mut second, _) = start(&settings).await;
    for mut unfinished in second.unfinished() {
        assert_eq!(unfinished.run(), run.id);
        events.iter().for_each(|event| unfinished.send(event));
        unfinished.finish();
    }
    let (_, own) = record(1);
    send(&mut second, &own);
    assert_eq!(finish(&mut second, 1, DEADLINE).await.lost, 0);
    let found = lines(&receiver);

    // The same run, sent whole to another place.
    let whole = Receiver::start([Answer::Status(204)]).await.unwrap();
    let plain = ExportSettings { spool: SpoolSettings::default(), ..settings.clone() };
    let elsewhere = ExportSettings {
        influxdb: plain.influxdb.map(|influxdb| InfluxExport { url: whole.url(), ..influxdb }),
        ..ExportSettings::default()
    };
    let [sink] = sinks(&elsewhere).unwrap().try_into().unwrap();
    let mut replay = Replay::start(sink);
    for event in &events {
        assert!(replay.send(event, DEADLINE).await);
    }
    let (count, notes) = replay.finish(DEADLINE).await;
    assert_eq!((count.lost, count.backlog, notes), (0, 0, Vec::new()));
    let expected = lines(&whole);
    let of_run: BTreeSet<String> = found.into_iter().filter(|line| line.contains(&run.id)).collect();
    assert_eq!(of_seconds(&of_run), of_seconds(&expected));
    assert!(is_empty(&spool));
}

#[tokio::test]
async fn two_processes_never_deliver_one_queue() {
    let spool = TempDir::new().unwrap();
    let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
    let settings = settings(&receiver.url(), spool.path());
    let (mut first, _) = start(&settings).await;
    let (_, events) = record(2);
    send(&mut first, &events);
    let (mut second, live) = start(&settings).await;
    assert!(second.unfinished().is_empty(), "the queue is another's");
    assert_eq!(live.export_counts()[0].produced, 0);
    let (_, others) = record(3);
    send(&mut second, &others);
    let counts = [finish(&mut first, 2, DEADLINE).await, finish(&mut second, 3, DEADLINE).await];
    assert!(counts.iter().all(|count| count.lost == 0 && count.backlog == 0 && count.produced > 0));
    assert_eq!(lines(&receiver).len() as u64, counts[0].produced + counts[1].produced);
    assert!(is_empty(&spool));
}

#[tokio::test]
async fn without_a_place_on_disk_points_wait_in_memory_and_it_is_said() {
    let spool = TempDir::new().unwrap();
    let file = spool.path().join("file");
    std::fs::write(&file, "").unwrap();
    let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
    let (mut exporters, _) = start(&settings(&receiver.url(), &file)).await;
    let (_, events) = record(2);
    send(&mut exporters, &events);
    let count = finish(&mut exporters, 2, DEADLINE).await;
    assert_eq!((count.lost, count.acknowledged), (0, count.produced));
    let notes = exporters.notes().join("\n");
    assert!(notes.contains("points wait in memory only"), "{notes}");
}

/// A receiver that hangs until it is told to take all that comes.
async fn hanging() -> (Receiver, String) {
    let receiver = Receiver::start([Answer::Status(503)]).await.unwrap();
    let url = receiver.url();
    (receiver, url)
}

/// The one queue in a spool.
fn queue(spool: &TempDir) -> PathBuf {
    let [sink] = folders(spool.path()).try_into().unwrap();
    let [run] = folders(&sink).try_into().unwrap();
    run
}

/// Removes a folder, whoever writes there meanwhile.
fn remove_all(folder: &Path) {
    while let Err(error) = std::fs::remove_dir_all(folder) {
        assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty, "{error}");
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// How many points these events are: until so many are in a spool, a thread writes there.
async fn points_of(events: &[RunEvent]) -> u64 {
    let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
    let mut settings = settings(&receiver.url(), Path::new(""));
    settings.spool = SpoolSettings::default();
    let (mut exporters, _) = start(&settings).await;
    send(&mut exporters, events);
    finish(&mut exporters, 0, DEADLINE).await.produced
}

/// Waits for a count of the one sink, which adds up at every look.
async fn until(exporters: &Exporters, what: &str, is_so: impl Fn(&ExportCount) -> bool) -> ExportCount {
    wait_for(DEADLINE, what, async || {
        let [count] = exporters.counts().try_into().unwrap();
        balanced(std::slice::from_ref(&count));
        if is_so(&count) { Ok(count) } else { Err(format!("{count:?}")) }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_spool_that_is_removed_while_it_is_in_use_costs_what_waited_and_nothing_else() {
    type Removal = fn(&TempDir);
    let removals: [(&str, Removal, bool); 4] = [
        ("all of it", |spool| remove_all(spool.path()), true),
        ("the queue", |spool| remove_all(&queue(spool)), true),
        (
            "what says whose it is",
            |spool| std::fs::remove_file(queue(spool).join("about.json")).unwrap(),
            true,
        ),
        ("a segment", |spool| std::fs::remove_file(queue(spool).join("00000001.log")).unwrap(), false),
    ];
    for (what, remove, is_told) in removals {
        let spool = TempDir::new().unwrap();
        let (receiver, url) = hanging().await;
        let (run, events) = record(6);
        let (begin, whole) = (points_of(&events[..4]).await, points_of(&events).await);
        let (mut exporters, _) = start(&settings(&url, spool.path())).await;
        send(&mut exporters, &events[..4]);
        // Tried in vain, so that part of it is on its way.
        receiver.wait_for(1, DEADLINE).await.unwrap();
        until(&exporters, "three seconds", |count| count.produced == begin).await;
        remove(&spool);
        send(&mut exporters, &events[4..]);
        let before = until(&exporters, "six seconds", |count| count.produced == whole).await;
        receiver.answer_with([Answer::Status(204)]);
        let count = finish(&mut exporters, 6, DEADLINE).await;
        assert_eq!(count.backlog, 0, "{what}: {count:?}");
        let taken = lines(&receiver);
        let notes = exporters.notes().join("\n");
        // What was read before is sent, whatever became of its file.
        assert!(
            count.acknowledged > 0 && count.acknowledged + count.lost == count.produced,
            "{what}: {notes}"
        );
        assert!(count.lost < before.produced, "{what}: {count:?}");
        let moments = taken.iter().map(|line| line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap());
        let last = (run.moment(6) * 1000.0).round() as i64;
        assert_eq!(moments.max().unwrap() / 1_000_000, last, "{what}: the last second is there");
        assert_eq!(
            notes.contains("was removed while it was in use, and is made again"),
            is_told,
            "{what}: {notes}"
        );
        if count.lost > 0 {
            assert!(
                notes.contains(&format!("{} points cannot be read and are lost", count.lost)),
                "{what}: {notes}"
            );
        }
        assert!(!spool.path().exists() || is_empty(&spool), "{what}");
    }
}

#[tokio::test]
async fn what_waits_in_a_spool_that_is_removed_is_not_said_to_wait() {
    let spool = TempDir::new().unwrap();
    let (_receiver, url) = hanging().await;
    let (_, events) = record(3);
    let (mut exporters, live) = start(&settings(&url, spool.path())).await;
    send(&mut exporters, &events);
    let whole = points_of(&events).await;
    until(&exporters, "three seconds", |count| count.produced == whole).await;
    // Nothing but the end is told afterwards, and there is no place to make it again.
    let sink = folders(spool.path()).pop().unwrap();
    remove_all(&sink);
    std::fs::write(&sink, "").unwrap();
    let count = finish(&mut exporters, 3, Duration::from_millis(300)).await;
    assert_eq!((count.backlog, count.acknowledged, count.lost), (0, 0, count.produced));
    assert_eq!(live.export_counts(), [count]);
    let notes = exporters.notes().join("\n");
    assert!(notes.contains("are lost") && !notes.contains("wait in the spool"), "{notes}");
}

/// What a queue's files are like after something went wrong with the disk.
#[tokio::test]
async fn damage_to_a_spool_costs_what_it_hits_and_the_next_run_says_so() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("cut in the middle", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut by a byte", |bytes| bytes.truncate(bytes.len() - 1)),
        ("a flipped bit in the middle", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
        }),
        ("a flipped bit in its head", |bytes| bytes[9] ^= 1),
        ("zeros at its end", |bytes| {
            let half = bytes.len() / 2;
            bytes[half..].fill(0);
        }),
    ];
    for (what, damage) in damages {
        let spool = TempDir::new().unwrap();
        let (receiver, url) = hanging().await;
        let settings = settings(&url, spool.path());
        let (first_run, events) = record(5);
        let (mut first, _) = start(&settings).await;
        send(&mut first, &events);
        let left = finish(&mut first, 5, Duration::from_millis(100)).await;
        assert_eq!(left.backlog, left.produced);
        drop(first);
        let segment = queue(&spool).join("00000001.log");
        let mut bytes = std::fs::read(&segment).unwrap();
        damage(&mut bytes);
        std::fs::write(&segment, bytes).unwrap();

        receiver.answer_with([Answer::Status(204)]);
        let before = receiver.received().len();
        let (mut second, live) = start(&settings).await;
        assert_eq!(live.export_counts()[0].backlog, left.backlog, "{what}: as the account has it");
        let (_, events) = record(1);
        send(&mut second, &events);
        let own = finish(&mut second, 1, DEADLINE).await;
        assert_eq!((own.backlog, own.lost), (0, 0), "{what}");
        let [(run, earlier)] = second.earlier() else { panic!("{:?}", second.earlier()) };
        balanced(std::slice::from_ref(earlier));
        assert_eq!((run, earlier.produced, earlier.backlog), (&first_run.id, left.produced, 0), "{what}");
        let texts = receiver.received()[before..].iter().map(|one| one.text().unwrap()).collect::<Vec<_>>();
        let arrived = texts.iter().flat_map(|text| text.lines()).filter(|line| line.contains(run)).count();
        assert_eq!(earlier.acknowledged, arrived as u64, "{what}");
        let notes = second.notes().join("\n");
        let is_hit = what != "a flipped bit in its head";
        assert_eq!(earlier.lost > 0, is_hit, "{what}: {earlier:?} {notes}");
        if is_hit {
            assert!(
                notes.contains(&format!("{} points cannot be read and are lost", earlier.lost)),
                "{what}: {notes}"
            );
        }
        let now = live.export_counts()[0].clone();
        balanced(std::slice::from_ref(&now));
        assert_eq!((now.lost, now.backlog), (earlier.lost, 0), "{what}");
        assert!(is_empty(&spool), "{what}");
    }
}

/// What cannot be a queue any more is named and left as it is, and nobody else waits for it.
#[tokio::test]
async fn a_queue_that_cannot_be_opened_is_named_and_costs_nobody_else() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm, &str); 4] = [
        ("its name is cut", |queue| std::fs::write(queue.join("about.json"), "{").unwrap(), "about.json"),
        ("a file of others", |queue| std::fs::write(queue.join("notes.txt"), "x").unwrap(), "notes.txt"),
        (
            "no segment",
            |queue| std::fs::write(queue.join("00000001.log"), "a diary\n".repeat(100)).unwrap(),
            "00000001.log",
        ),
        (
            "of a later version",
            |queue| {
                let about = std::fs::read_to_string(queue.join("about.json")).unwrap();
                let later = about.replace("\"format\": 1", "\"format\": 9");
                std::fs::write(queue.join("about.json"), later).unwrap();
            },
            "has format 9",
        ),
    ];
    for (what, harm, named) in harms {
        let spool = TempDir::new().unwrap();
        let (receiver, url) = hanging().await;
        let settings = settings(&url, spool.path());
        let (_, events) = record(2);
        let (mut first, _) = start(&settings).await;
        send(&mut first, &events);
        finish(&mut first, 2, Duration::from_millis(100)).await;
        drop(first);
        let left = queue(&spool);
        harm(&left);
        let files = |folder: &Path| {
            let files = folders(folder).into_iter().map(|file| (file.clone(), std::fs::read(file).unwrap()));
            files.collect::<BTreeSet<_>>()
        };
        let before = files(&left);

        receiver.answer_with([Answer::Status(204)]);
        let (mut second, live) = start(&settings).await;
        let (_, events) = record(2);
        send(&mut second, &events);
        let own = finish(&mut second, 2, DEADLINE).await;
        assert_eq!((own.backlog, own.lost), (0, 0), "{what}");
        assert_eq!(live.export_counts(), [own], "{what}: what cannot be counted is in no count");
        let notes = second.notes();
        let [note] = notes.as_slice() else { panic!("{what}: told once: {notes:?}") };
        assert!(note.contains("what waits in the spool is not delivered") && note.contains(named), "{note}");
        drop(second);
        assert_eq!(files(&left), before, "{what}: it is left as it is");
    }
}
