//! Datagrams as a listener of our own reads them, over UDP and a unix socket.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use plimsoll_exporters::{Exporters, LiveMetrics};
use plimsoll_run::{ExportCount, ExportSettings, StatsdAddress, StatsdExport};

use crate::run::{self, DEADLINE, Run, ended};

fn settings(address: StatsdAddress, dogstatsd: bool) -> ExportSettings {
    let statsd = Some(StatsdExport { address, dogstatsd, prefix: "load".to_owned() });
    ExportSettings { statsd, ..ExportSettings::default() }
}

async fn offer(settings: &ExportSettings, seconds: u64) -> (Run, ExportCount, Vec<String>) {
    let mut exporters = Exporters::start(settings, Arc::new(LiveMetrics::new())).await.unwrap();
    let run = run::offer(&mut exporters, seconds);
    let [count] =
        run::finish_after(&mut exporters, seconds, Duration::from_secs(3)).await.try_into().unwrap();
    assert_eq!(count.backlog, 0);
    (run, count, exporters.notes())
}

/// What a StatsD server makes of lines: sums by name, of values by their sample rate.
fn sums(datagrams: &[String], kind: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in datagrams.iter().flat_map(|datagram| datagram.lines()) {
        let (name, rest) = line.split_once(':').unwrap();
        let sections: Vec<_> = rest.split('|').collect();
        let value: f64 = sections[0].parse().unwrap();
        let rate = sections.iter().find_map(|section| section.strip_prefix('@'));
        let weight = rate.map_or(1.0, |rate| 1.0 / rate.parse::<f64>().unwrap());
        match (sections[1], kind) {
            ("c", "c") => *sums.entry(name.to_owned()).or_default() += value * weight,
            ("d", "d") => *sums.entry(name.to_owned()).or_default() += weight,
            ("c" | "d" | "g", _) => {}
            other => panic!("{other:?}"),
        }
    }
    sums
}

/// Reads datagrams while something is done, and what is left then.
async fn while_reading<T>(
    mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize> + Send + 'static,
    longest: usize,
    doing: impl Future<Output = T>,
) -> (T, Vec<String>) {
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        let mut datagrams = Vec::new();
        loop {
            let last = seen.load(Ordering::Relaxed);
            match receive(&mut buffer) {
                Ok(length) => {
                    assert!(length <= longest, "{length} bytes");
                    datagrams.push(std::str::from_utf8(&buffer[..length]).unwrap().to_owned());
                }
                Err(_) if last => return datagrams,
                Err(_) => {}
            }
        }
    });
    let done = doing.await;
    over.store(true, Ordering::Relaxed);
    (done, reader.join().unwrap())
}

const READ_WITHIN: Option<Duration> = Some(Duration::from_millis(100));

#[tokio::test]
async fn counters_and_distributions_arrive_to_the_last_request_over_udp() {
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    listener.set_read_timeout(READ_WITHIN).unwrap();
    // A datagram that finds no room is gone, and the reader of a busy machine is late.
    setsockopt(&listener, sockopt::RcvBuf, &(4 << 20)).unwrap();
    let settings = settings(StatsdAddress::Udp(listener.local_addr().unwrap().to_string()), true);
    let offered = offer(&settings, 3);
    let ((run, count, notes), datagrams) =
        while_reading(move |buffer| listener.recv(buffer), 1_432, offered).await;
    assert_eq!((count.lost, notes), (0, Vec::new()));
    assert!(datagrams.len() > 3);
    assert_eq!(sums(&datagrams, "c")["load.requests"], run.requests() as f64);
    assert_eq!(sums(&datagrams, "c")["load.received_bytes"], run.received_bytes as f64);
    let times = sums(&datagrams, "d")["load.response_time"];
    assert!((times - run.requests() as f64).abs() < 1e-6, "{times}");
    let tagged = datagrams.iter().flat_map(|datagram| datagram.lines());
    assert!(tagged.filter(|line| line.starts_with("load.requests:")).all(|line| line.contains(",outcome:")));
}

#[tokio::test]
async fn counts_at_the_edges_arrive_without_tags_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("statsd.sock");
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_read_timeout(READ_WITHIN).unwrap();
    let settings = settings(StatsdAddress::Unix(path), false);
    let offered = offer(&settings, 3);
    let ((run, count, notes), datagrams) =
        while_reading(move |buffer| listener.recv(buffer), 8_192, offered).await;
    assert_eq!((count.lost, notes), (0, Vec::new()));
    let sums = sums(&datagrams, "c");
    let of = |start: &str, end: &str| -> f64 {
        let named = sums.iter().filter(|(name, _)| name.starts_with(start) && name.ends_with(end));
        named.map(|(_, sum)| sum).sum()
    };
    assert_eq!(of("load.requests.", ""), run.requests() as f64);
    assert_eq!(of("load.response_time.", ".count"), run.requests() as f64);
    assert_eq!(of("load.response_time.", ".le_0_333"), run.at_or_below(333_000_000) as f64);
    assert!((of("load.response_time.", ".sum") - run.sum()).abs() < 1e-6);
    assert!(sums.keys().any(|name| name.contains(".GET__list_page____page___.")), "{:?}", sums.keys());
}

#[tokio::test]
async fn nobody_there_makes_points_wait() {
    let folder = tempfile::tempdir().unwrap();
    for address in [
        StatsdAddress::Unix(folder.path().join("none.sock")),
        StatsdAddress::Udp("nowhere.invalid:1".to_owned()),
    ] {
        let (_, count, notes) = offer(&settings(address.clone(), true), 1).await;
        assert_eq!((count.acknowledged, count.lost), (0, count.produced), "{address:?}");
        assert!(notes[0].starts_with("statsd: no connection, points wait: "), "{notes:?}");
        assert_eq!(notes.len(), 2, "{notes:?}");
    }
}

/// A port without a listener answers the datagram before; so one may be gone, and nothing is told twice.
#[tokio::test]
async fn what_a_port_without_listener_refuses_is_sent_again_and_not_twice() {
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let settings = settings(StatsdAddress::Udp(address.to_string()), true);
    let mut exporters = Exporters::start(&settings, Arc::new(LiveMetrics::new())).await.unwrap();
    let mut run = Run::new();
    exporters.send(&run.start());
    let event = run.next_second(200);
    exporters.send(&event);
    let refused = plimsoll_testkit::wait_for(DEADLINE, "a note", async || {
        let notes = exporters.notes();
        if notes.is_empty() { Err("none") } else { Ok(notes) }
    });
    assert!(refused.await.unwrap()[0].contains("points wait"));
    let listener = UdpSocket::bind(address).unwrap();
    listener.set_read_timeout(READ_WITHIN).unwrap();
    let end = ended(1);
    let finished = exporters.finish(&end, DEADLINE);
    let (counts, datagrams) = while_reading(move |buffer| listener.recv(buffer), 1_432, finished).await;
    assert_eq!(counts[0].lost, 0);
    let requests = sums(&datagrams, "c");
    let requests = requests.get("load.requests").copied().unwrap_or_default();
    assert!(requests <= run.requests() as f64, "{requests}");
}
