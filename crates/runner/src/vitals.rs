//! What the machine does to the generator, second by second.
//!
//! A sampler reads the kernel's counters under `/proc` and `/sys` and says what changed since it last
//! did: some thirty small files, under a millisecond, once a second, on the runner's own thread. A
//! machine without such a file leaves the figure out; nothing here can fail a run.

mod connections;
pub(crate) mod parse;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use plimsoll_measure::Vitals;

use crate::machine::cpu_seconds;

/// Samples closer together than this would measure the clock tick and give nothing.
const SHORTEST: Duration = Duration::from_millis(500);

/// Takes a sample of the vitals each second.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// Processors this run may use.
    cores: f64,
    /// The target's port, by which our connections to it are known.
    port: Option<u16>,
    local_ports: Option<u64>,
    /// Bytes per second of the interfaces that have a speed.
    links: BTreeMap<String, f64>,
    last: (Instant, Counters),
}

/// What only counts up, at one moment.
#[derive(Debug, Clone, Default)]
struct Counters {
    /// CPU seconds of this process.
    cpu: Option<f64>,
    /// CPU seconds of each worker's thread and, where known, seconds it waited for a processor.
    workers: BTreeMap<u64, (f64, Option<f64>)>,
    /// Ticks of all processors and stolen ones.
    machine: Option<(u64, u64)>,
    throttled: Option<f64>,
    retransmits: Option<u64>,
    /// Bytes received and sent per interface.
    interfaces: BTreeMap<String, (u64, u64)>,
    /// Microseconds.
    memory_pressure: Option<u64>,
}

impl Sampler {
    /// Begins now, for a run that may use so many processors and whose target is reached at `port`.
    pub(crate) fn new(cores: f64, port: Option<u16>) -> Self {
        let first = Counters::read();
        let links = first.interfaces.keys().filter_map(|name| {
            let speed = parse::link_speed(&text(Path::new("/sys/class/net").join(name).join("speed"))?)?;
            Some((name.clone(), speed))
        });
        Self {
            cores,
            port,
            local_ports: text("/proc/sys/net/ipv4/ip_local_port_range")
                .and_then(|text| parse::port_range(&text)),
            links: links.collect(),
            last: (Instant::now(), first),
        }
    }

    /// What happened since the last sample; nothing when that is hardly over.
    pub(crate) fn sample(&mut self, stall: Option<Duration>) -> Vitals {
        let elapsed = self.last.0.elapsed();
        let stall_seconds = stall.map(|stall| stall.as_secs_f64());
        if elapsed < SHORTEST {
            return Vitals { stall_seconds, ..Vitals::default() };
        }
        let (now, counters) = (Instant::now(), Counters::read());
        let before = std::mem::replace(&mut self.last, (now, counters));
        let counters = &self.last.1;
        let sockstat = text("/proc/net/sockstat");
        let sockets = |what| parse::sockets(sockstat.as_deref()?, "TCP", what);
        let sockets6 = text("/proc/net/sockstat6").and_then(|text| parse::sockets(&text, "TCP6", "inuse"));
        let (round_trip_seconds, receive_queue_bytes) = self.port.map(connections::look).unwrap_or_default();
        Vitals {
            stall_seconds,
            descriptors: descriptors(Path::new("/proc/self/fd")),
            descriptor_limit: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
            tcp_sockets: sockets("inuse").map(|count| count + sockets6.unwrap_or(0)),
            time_wait_sockets: sockets("tw"),
            local_ports: self.local_ports,
            round_trip_seconds,
            receive_queue_bytes,
            rss_bytes: text("/proc/self/status").and_then(|text| parse::kilobytes(&text, "VmRSS")),
            memory_available_bytes: text("/proc/meminfo")
                .and_then(|text| parse::kilobytes(&text, "MemAvailable")),
            ..counters.since(&before.1, elapsed.as_secs_f64(), self.cores, &self.links)
        }
    }
}

impl Counters {
    fn read() -> Self {
        let file = |path: &str| text(path);
        Self {
            cpu: cpu_seconds(),
            workers: workers(),
            machine: file("/proc/stat").and_then(|text| parse::machine_cpu(&text)),
            throttled: file("/sys/fs/cgroup/cpu.stat")
                .or_else(|| file("/sys/fs/cgroup/cpu/cpu.stat"))
                .and_then(|text| parse::throttled(&text)),
            retransmits: file("/proc/net/snmp")
                .and_then(|text| parse::network_counter(&text, "Tcp", "RetransSegs")),
            interfaces: file("/proc/net/dev")
                .map(|text| {
                    parse::interfaces(&text)
                        .map(|(name, received, sent)| (name.to_owned(), (received, sent)))
                        .collect()
                })
                .unwrap_or_default(),
            memory_pressure: file("/proc/pressure/memory").and_then(|text| parse::pressure(&text)),
        }
    }

    /// What was added since `before`, over `elapsed` seconds.
    fn since(&self, before: &Self, elapsed: f64, cores: f64, links: &BTreeMap<String, f64>) -> Vitals {
        let workers =
            || self.workers.iter().filter_map(|(thread, now)| Some((now, before.workers.get(thread)?)));
        let share = |seconds: f64| (seconds / elapsed).clamp(0.0, 1.0);
        let most = |shares: &mut dyn Iterator<Item = f64>| shares.reduce(f64::max);
        let link_shares = links.iter().filter_map(|(name, speed)| {
            let (now, was) = (self.interfaces.get(name)?, before.interfaces.get(name)?);
            let bytes = now.0.saturating_sub(was.0).max(now.1.saturating_sub(was.1));
            Some(bytes as f64 / elapsed / speed)
        });
        Vitals {
            cpu_ratio: self.cpu.zip(before.cpu).map(|(now, was)| share((now - was) / cores)),
            worker_cpu_ratio: most(&mut workers().map(|(now, was)| share(now.0 - was.0))),
            worker_wait_ratio: most(&mut workers().filter_map(|(now, was)| Some(share(now.1? - was.1?)))),
            steal_ratio: self.machine.zip(before.machine).and_then(|(now, was)| {
                let (all, stolen) = (now.0.saturating_sub(was.0), now.1.saturating_sub(was.1));
                (all > 0).then(|| stolen as f64 / all as f64)
            }),
            throttled_ratio: self.throttled.zip(before.throttled).map(|(now, was)| (now - was) / elapsed),
            retransmits: self.retransmits.zip(before.retransmits).map(|(now, was)| now.saturating_sub(was)),
            link_ratio: most(&mut { link_shares }),
            memory_pressure_ratio: self
                .memory_pressure
                .zip(before.memory_pressure)
                .map(|(now, was)| share(now.saturating_sub(was) as f64 / 1e6)),
            ..Vitals::default()
        }
    }
}

/// CPU time and waiting time of our workers' threads, by thread.
fn workers() -> BTreeMap<u64, (f64, Option<f64>)> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let worker = |thread: std::fs::DirEntry| {
        let stat = text(thread.path().join("stat"))?;
        let (_, ticks) = parse::thread(&stat).filter(|(name, _)| name.starts_with("worker-"))?;
        // Ticks are a hundredth of a second, and some kernels keep nothing finer.
        let fine = text(thread.path().join("schedstat")).and_then(|text| parse::schedule(&text));
        let times = match fine {
            Some((on_cpu, waiting)) => (on_cpu as f64 / 1e9, Some(waiting as f64 / 1e9)),
            None => (ticks as f64 / parse::TICKS_PER_SECOND, None),
        };
        Some((thread.file_name().to_str()?.parse().ok()?, times))
    };
    threads.filter_map(worker).collect()
}

/// Open descriptors of the process with this directory of them. Kernels since 6.2 give their number as
/// the directory's size, which spares reading ten thousand names each second.
pub(crate) fn descriptors(directory: &Path) -> Option<u64> {
    match std::fs::metadata(directory).ok()?.len() {
        0 => Some(std::fs::read_dir(directory).ok()?.count() as u64),
        size => Some(size),
    }
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vitals_are_what_was_added_over_the_time_that_passed() {
        let links = [("eth0".to_owned(), 1000.0)].into();
        let interfaces = |bytes| {
            [("eth0".to_owned(), (bytes, 2 * bytes)), ("lo".to_owned(), (9 * bytes, 9 * bytes))].into()
        };
        let before = Counters {
            cpu: Some(10.0),
            workers: [(1, (1.0, Some(0.0))), (2, (1.0, Some(5.0))), (3, (0.0, None))].into(),
            machine: Some((1000, 10)),
            throttled: Some(1.0),
            retransmits: Some(40),
            interfaces: interfaces(0),
            memory_pressure: Some(0),
        };
        let after = Counters {
            cpu: Some(12.0),
            // The third has ended, the fourth has only begun.
            workers: [(1, (2.5, Some(0.5))), (2, (1.5, Some(6.0))), (4, (9.0, Some(9.0)))].into(),
            machine: Some((1400, 30)),
            throttled: Some(2.0),
            retransmits: Some(43),
            interfaces: interfaces(500),
            memory_pressure: Some(1_000_000),
        };
        let vitals = after.since(&before, 2.0, 2.0, &links);
        let expected = Vitals {
            cpu_ratio: Some(0.5),
            worker_cpu_ratio: Some(0.75),
            worker_wait_ratio: Some(0.5),
            steal_ratio: Some(0.05),
            throttled_ratio: Some(0.5),
            retransmits: Some(3),
            link_ratio: Some(0.5),
            memory_pressure_ratio: Some(0.5),
            ..Vitals::default()
        };
        assert_eq!(vitals, expected);
        assert_eq!(after.since(&Counters::default(), 2.0, 2.0, &links), Vitals::default());
        assert_eq!(Counters::default().since(&before, 2.0, 2.0, &links), Vitals::default());
    }

    #[test]
    fn this_machine_has_vitals() {
        let mut sampler = Sampler::new(1.0, None);
        let stall = Some(Duration::from_millis(3));
        let too_soon = sampler.sample(stall);
        assert_eq!(too_soon, Vitals { stall_seconds: Some(0.003), ..Vitals::default() });
        sampler.last.0 -= SHORTEST;
        let vitals = sampler.sample(None);
        assert!(vitals.cpu_ratio.is_some_and(|ratio| ratio <= 1.0));
        assert!(vitals.descriptors.is_some_and(|open| open >= 3));
        assert!(vitals.descriptors <= vitals.descriptor_limit);
        assert!(vitals.rss_bytes > Some(1_000_000));
        assert_eq!((vitals.stall_seconds, vitals.round_trip_seconds), (None, None));
    }
}
