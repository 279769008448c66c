//! Processes of this machine and the machine itself, as the kernel's files under `/proc` tell of them.

use std::path::{Path, PathBuf};

use plimsoll_run::ResourceUnit::{Bytes, BytesPerSecond, Cores, Count, Ratio};

use super::figures::{Figure, is_disk, is_wire};
use crate::vitals::descriptors;
use crate::vitals::parse::{self, TICKS_PER_SECOND};

/// A process of this machine.
pub(super) struct Process {
    /// The port it listens on, where it is known by that.
    port: Option<u16>,
    /// Its number and when it started, once found: a number is given again to others.
    known: Option<(u32, Option<u64>)>,
    processors: f64,
}

impl Process {
    pub(super) fn of(pid: u32) -> Self {
        Self { port: None, known: Some((pid, None)), processors: processors() }
    }

    pub(super) fn listening(port: u16) -> Self {
        Self { port: Some(port), known: None, processors: processors() }
    }

    pub(super) fn look(&mut self) -> Result<Vec<Figure>, String> {
        if self.known.is_none() {
            let port = self.port.unwrap_or_default();
            let pid = listener(port)
                .ok_or_else(|| format!("no process that listens on port {port} can be seen here"))?;
            self.known = Some((pid, None));
        }
        let Some((pid, started)) = self.known else { return Err("no process is known".to_owned()) };
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let stat = text(folder.join("stat")).and_then(|text| parse::process(&text));
        let same = |process: &parse::Process| started.is_none_or(|known| known == process.started);
        let Some(process) = stat.filter(same) else {
            // One that is known by its port may be back under another number.
            self.known = self.known.filter(|_| self.port.is_none());
            return Err(format!("process {pid} is gone"));
        };
        self.known = Some((pid, Some(process.started)));
        let seconds = process.ticks as f64 / TICKS_PER_SECOND;
        let memory = text(folder.join("status")).and_then(|text| parse::kilobytes(&text, "VmRSS"));
        let mut figures = vec![
            Figure::counter("cpu", Cores, seconds),
            Figure::counter("cpu_ratio", Ratio, seconds / self.processors),
            Figure::level("threads", Count, process.threads as f64),
        ];
        figures.extend(memory.map(|bytes| Figure::level("memory", Bytes, bytes as f64)));
        // Only whoever may look into the process sees them.
        figures
            .extend(descriptors(&folder.join("fd")).map(|fds| Figure::level("open_fds", Count, fds as f64)));
        // Nor has everybody a look at what it reads and writes.
        let disk = text(folder.join("io")).unwrap_or_default();
        for (name, key) in [("disk_read", "read_bytes"), ("disk_write", "write_bytes")] {
            let bytes = parse::counted(&disk, key);
            figures.extend(bytes.map(|bytes| Figure::counter(name, BytesPerSecond, bytes as f64)));
        }
        Ok(figures)
    }
}

/// This machine.
pub(super) struct Host;

impl Host {
    pub(super) fn look(&self) -> Result<Vec<Figure>, String> {
        let stat = text("/proc/stat").ok_or("this system has no /proc/stat")?;
        let busy: Vec<(&str, u64)> = parse::processors(&stat).collect();
        let (mut figures, mut all) = (Vec::new(), 0.0);
        for (number, ticks) in &busy {
            let seconds = *ticks as f64 / TICKS_PER_SECOND;
            all += seconds;
            figures.push(Figure::counter(format!("cpu_ratio{{cpu={number:?}}}"), Ratio, seconds));
        }
        if !busy.is_empty() {
            let whole = [
                Figure::counter("cpu", Cores, all),
                Figure::counter("cpu_ratio", Ratio, all / busy.len() as f64),
            ];
            figures.splice(0..0, whole);
        }
        let running = parse::running(&stat);
        let memory = text("/proc/meminfo").unwrap_or_default();
        let kilobytes = |key| parse::kilobytes(&memory, key).map(|bytes| bytes as f64);
        let (total, available) = (kilobytes("MemTotal"), kilobytes("MemAvailable"));
        let levels = [
            total.zip(available).map(|(total, free)| Figure::level("memory", Bytes, total - free)),
            available.map(|bytes| Figure::level("memory_available", Bytes, bytes)),
            running.map(|tasks| Figure::level("run_queue", Count, tasks as f64)),
        ];
        let traffic = traffic().into_iter().chain(disks());
        let traffic = traffic.map(|(name, bytes)| Figure::counter(name, BytesPerSecond, bytes as f64));
        // Processors one by one come last: of many there may be more than are kept.
        let first = figures.len().min(2);
        figures.splice(first..first, levels.into_iter().flatten().chain(traffic));
        Ok(figures)
    }
}

/// Bytes that came in and went out of the machine's interfaces.
fn traffic() -> Vec<(&'static str, u64)> {
    let Some(text) = text("/proc/net/dev") else { return Vec::new() };
    let wires = || parse::interfaces(&text).filter(|(name, ..)| is_wire(name));
    let sum = |bytes: u64, more: u64| bytes.saturating_add(more);
    vec![
        ("network_in", wires().map(|(_, received, _)| received).fold(0, sum)),
        ("network_out", wires().map(|(_, _, sent)| sent).fold(0, sum)),
    ]
}

/// Bytes read from and written to the machine's disks.
fn disks() -> Vec<(&'static str, u64)> {
    let Some(text) = text("/proc/diskstats") else { return Vec::new() };
    // A partition is no device of its own here, and is counted with its disk.
    let is_whole = |name: &str| is_disk(name) && Path::new("/sys/block").join(name).exists();
    let disks = || parse::disks(&text).filter(|(name, ..)| is_whole(name));
    let sum = |bytes: u64, more: u64| bytes.saturating_add(more);
    vec![
        ("disk_read", disks().map(|(_, read, _)| read).fold(0, sum)),
        ("disk_write", disks().map(|(_, _, written)| written).fold(0, sum)),
    ]
}

/// Processors of the machine, at least one.
fn processors() -> f64 {
    let stat = text("/proc/stat").unwrap_or_default();
    (parse::processors(&stat).count() as f64).max(1.0)
}

/// The process with the lowest number that listens on this port, among those that we may look into.
fn listener(port: u16) -> Option<u32> {
    let sockets: Vec<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(text)
        .flat_map(|text| parse::listening(&text, port).collect::<Vec<_>>())
        .collect();
    let names: Vec<String> = sockets.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let holds = |pid: &u32| {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors
            .filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok())
            .any(|link| names.iter().any(|name| link.as_os_str() == name.as_str()))
    };
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut numbers: Vec<u32> =
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.into_iter().filter(|_| !names.is_empty()).find(holds)
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::figures::Rates;
    use super::*;
    use crate::machine::cpu_seconds;

    /// Figures of two looks between which this process worked for some ticks of the kernel.
    fn figures(look: &mut dyn FnMut() -> Result<Vec<Figure>, String>) -> Vec<(String, f64)> {
        let mut rates = Rates::default();
        rates.figures(look().unwrap(), Duration::ZERO);
        let (start, before) = (std::time::Instant::now(), cpu_seconds().unwrap());
        while cpu_seconds().unwrap() - before < 0.06 {
            std::hint::spin_loop();
        }
        let (figures, left_out) = rates.figures(look().unwrap(), start.elapsed());
        assert_eq!(left_out, 0);
        figures.into_iter().map(|figure| (figure.name.to_string(), figure.value)).collect()
    }

    fn value(figures: &[(String, f64)], name: &str) -> f64 {
        figures.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name} in {figures:?}")).1
    }

    #[test]
    fn this_process_is_seen_by_its_number_and_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut found = Process::listening(port);
        found.look().unwrap();
        assert_eq!(found.known.unwrap().0, std::process::id());
        for mut process in [Process::of(std::process::id()), found] {
            let figures = figures(&mut || process.look());
            assert!(value(&figures, "cpu") > 0.0, "{figures:?}");
            assert!(value(&figures, "memory") > 1e6 && value(&figures, "open_fds") >= 3.0, "{figures:?}");
            assert!(value(&figures, "threads") >= 1.0, "{figures:?}");
            assert!((0.0..=1.0).contains(&value(&figures, "cpu_ratio")), "{figures:?}");
        }
    }

    #[test]
    fn this_machine_is_seen() {
        let figures = figures(&mut || Host.look());
        assert!(value(&figures, "cpu_ratio") > 0.0 && value(&figures, "cpu_ratio") <= 1.0, "{figures:?}");
        assert!(value(&figures, "cpu_ratio{cpu=\"0\"}") <= 1.0, "{figures:?}");
        assert!(value(&figures, "memory") > 1e6 && value(&figures, "memory_available") > 1e6, "{figures:?}");
        assert!(value(&figures, "run_queue") >= 1.0, "{figures:?}");
    }

    #[test]
    fn what_is_not_there_is_told() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let reason = Process::listening(free).look().unwrap_err();
        assert_eq!(reason, format!("no process that listens on port {free} can be seen here"));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut process = Process::of(child.id());
        process.look().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.look().unwrap_err(), format!("process {} is gone", child.id()));
        // Its number may be another's by now: of a known one the start is known too.
        let mut other = Process { known: Some((std::process::id(), Some(0))), ..Process::of(1) };
        assert_eq!(other.look().unwrap_err(), format!("process {} is gone", std::process::id()));
    }
}
