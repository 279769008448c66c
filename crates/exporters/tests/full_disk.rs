//! A disk that takes no more. A limit on the size of files stands for it, since it needs no rights and
//! refuses in the middle of a write as a full disk does; it holds for the process, hence the file of its own.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use plimsoll_exporters::Piece;
use plimsoll_exporters::spool::{About, Limits, Queue};

fn allow(bytes: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, bytes.min(hard), hard).unwrap();
}

#[test]
fn what_the_disk_does_not_take_is_lost_and_counted_and_then_it_goes_on() {
    let mut too_large = SigSet::empty();
    too_large.add(Signal::SIGXFSZ);
    too_large.thread_block().unwrap();

    let root = tempfile::tempdir().unwrap();
    let about = About {
        sink: "influxdb".to_owned(),
        identity: String::new(),
        run: "run".to_owned(),
        plan: "plan".to_owned(),
        created: 0,
    };
    let mut queue = Queue::create(root.path(), about, Limits::default()).unwrap();
    let folder = queue.folder().to_owned();
    let piece = |second: u64| Piece { points: 2, lane: 0, body: format!("{second:01000}").into_bytes() };
    let (mut there, mut lost) = (Vec::new(), 0);
    // Room for the account and some reports; no room for either; for all.
    for (room, seconds) in
        [(8_000, 0..12), (100, 12..15), (8_000, 15..18), (u64::MAX, 18..25), (9_000, 25..28)]
    {
        allow(room);
        let mut refused = 0;
        for second in seconds {
            let appended = queue.append(second, &[piece(second), piece(second)]);
            match appended.error {
                Some(error) => {
                    assert_eq!((appended.lost, error.kind()), (4, std::io::ErrorKind::FileTooLarge));
                    refused += 1;
                }
                None => {
                    assert_eq!(appended.lost, 0);
                    there.extend([piece(second), piece(second)]);
                }
            }
            let length = folder.join("00000001.log").metadata().unwrap().len();
            assert_eq!(length, queue.bytes(), "nothing torn stays");
        }
        assert_eq!(refused == 0, room == u64::MAX);
        lost += refused * 4;
        let account = queue.account();
        assert_eq!((account.backlog, account.lost), (2 * there.len() as u64, lost));
    }
    allow(u64::MAX);
    queue.append(28, &[piece(28)]);
    there.push(piece(28));
    drop(queue);
    let mut queue = Queue::open(&folder, Limits::default()).unwrap().unwrap();
    assert_eq!(queue.read(u64::MAX, usize::MAX).unwrap().pieces, there);
    queue.settle(u64::MAX);
    let account = queue.account();
    assert_eq!((account.acknowledged, account.backlog, account.lost), (2 * there.len() as u64, 0, lost));
}
