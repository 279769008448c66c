//! What the figures were taken on.

use std::time::Instant;

/// The machine in a line: what a reader must know before comparing.
pub(super) fn facts() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    describe(
        cores,
        &read("/proc/cpuinfo"),
        &read("/proc/meminfo"),
        &read("/proc/sys/kernel/osrelease"),
        &governor,
    )
}

fn describe(cores: usize, processors: &str, memory: &str, system: &str, governor: &str) -> String {
    let value = |name: &str| processors.lines().find_map(|line| line.strip_prefix(name)?.split_once(": "));
    let model = value("model name").map_or("an unknown processor", |(_, model)| model);
    let flags = value("flags").map_or("", |(_, flags)| flags);
    let kind = if flags.split(' ').any(|flag| flag == "hypervisor") {
        "virtual machine"
    } else {
        "no virtual machine"
    };
    let governor = match governor.trim() {
        "" => "frequency not ours to see".to_owned(),
        governor => format!("governor {governor}"),
    };
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let total = total.and_then(|total| total.parse::<f64>().ok());
    let memory =
        total.map_or_else(|| "unknown memory".to_owned(), |total| format!("{:.0} GB", total * 1024.0 / 1e9));
    format!("{cores} cores of {model} ({kind}, {governor}), {memory}, Linux {}, loopback", system.trim())
}

/// What the whole machine did while figures were taken: on a busy one they mean less.
#[derive(Debug)]
pub(super) struct Busyness {
    began: Instant,
    at_start: Option<Ticks>,
    load: String,
}

/// From `/proc/stat`, in ticks since boot: all time, and the part that the host gave to others.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ticks {
    all: u64,
    stolen: u64,
}

impl Busyness {
    pub(super) fn start() -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        Self { began: Instant::now(), at_start: Ticks::now(), load }
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        let minutes = self.began.elapsed().as_secs_f64() / 60.0;
        let stolen = match (self.at_start, Ticks::now()) {
            (Some(before), Some(after)) if after.all > before.all => {
                let share = (after.stolen - before.stolen) as f64 / (after.all - before.all) as f64;
                format!("{:.1}% of all CPU time stolen by the host", share * 100.0)
            }
            _ => "stolen CPU time unknown".to_owned(),
        };
        format!("Taken in {minutes:.0} minutes; load average before {}, {stolen}.", self.load)
    }
}

impl Ticks {
    fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// The line `cpu user nice system idle iowait irq softirq steal guest guest_nice`; guests' time is
    /// in user already.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|tick| tick.parse().ok()).take(8).collect();
        Some(Self { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_described_in_a_line() {
        let cpu = "processor\t: 0\nmodel name\t: Example CPU @ 2GHz\nflags\t\t: fpu hypervisor avx2\n";
        assert_eq!(
            describe(2, cpu, "MemTotal:       24576000 kB\nMemFree: 1 kB\n", "6.1.0-1\n", ""),
            "2 cores of Example CPU @ 2GHz (virtual machine, frequency not ours to see), 25 GB, Linux 6.1.0-1, loopback"
        );
        assert_eq!(
            describe(8, "flags : fpu\n", "", "6.1", "performance\n"),
            "8 cores of an unknown processor (no virtual machine, governor performance), unknown memory, Linux 6.1, loopback"
        );
    }

    #[test]
    fn stolen_time_is_the_eighth_figure() {
        let ticks = Ticks::parse("cpu  10 1 5 80 2 0 1 7 3 0\ncpu0 1 2\n");
        assert_eq!(ticks, Some(Ticks { all: 106, stolen: 7 }));
        assert_eq!(Ticks::parse("cpu  10 1\n"), None);
        assert_eq!(Ticks::parse(""), None);
    }
}
