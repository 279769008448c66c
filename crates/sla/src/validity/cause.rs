//! What kept the generator from its work in a second, as far as its vitals tell.

use plimsoll_measure::Vitals;
use plimsoll_units::duration;

/// Above this use of its processors a generator queues its own work, whatever its lag says.
const BUSY_CPU_RATIO: f64 = 0.9;
/// Processor time that was wanted and not had: a twentieth of a second in pieces of a scheduler's
/// slice (some milliseconds) delays several requests in a hundred by more than is tolerated.
const MISSED_CPU_RATIO: f64 = 0.05;
/// A link this full has a queue of its own in front of it.
const FULL_LINK_RATIO: f64 = 0.9;
/// Waiting for memory is rare on a healthy machine; a tenth of the time is one that thrashes.
const MEMORY_PRESSURE_RATIO: f64 = 0.1;
/// Of descriptors or ports: what is opened and closed between two samples hides the last few.
const EXHAUSTED_RATIO: f64 = 0.95;

/// What can keep a generator from its work. In this order: who has the cause behind it named first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A CPU quota held it.
    Throttled,
    /// The machine's host gave the processors to others.
    Stolen,
    /// It used all of its processors.
    Busy,
    /// Others on the machine had the processors.
    Crowded,
    /// The network link was full.
    Link,
    /// The machine was short of memory.
    Memory,
    /// A worker came late to its own appointment, and nothing above says why.
    Stalled,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 7] =
        [Self::Throttled, Self::Stolen, Self::Busy, Self::Crowded, Self::Link, Self::Memory, Self::Stalled];

    /// Its word in records.
    pub fn label(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Stolen => "stolen",
            Self::Busy => "busy",
            Self::Crowded => "crowded",
            Self::Link => "link",
            Self::Memory => "memory",
            Self::Stalled => "stalled",
        }
    }

    /// The cause with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.label() == label)
    }

    /// How much of it there was, when that was more than a healthy generator sees; a stall longer than
    /// `stall` seconds.
    pub(super) fn figure(self, vitals: &Vitals, stall: f64) -> Option<f64> {
        let (figure, limit) = match self {
            Self::Throttled => (vitals.throttled_ratio, MISSED_CPU_RATIO),
            Self::Stolen => (vitals.steal_ratio, MISSED_CPU_RATIO),
            // The busiest worker: with one connection on two processors the process looks half idle.
            Self::Busy => (larger(vitals.cpu_ratio, vitals.worker_cpu_ratio), BUSY_CPU_RATIO),
            Self::Crowded => (vitals.worker_wait_ratio, MISSED_CPU_RATIO),
            Self::Link => (vitals.link_ratio, FULL_LINK_RATIO),
            Self::Memory => (vitals.memory_pressure_ratio, MEMORY_PRESSURE_RATIO),
            Self::Stalled => (vitals.stall_seconds, stall),
        };
        figure.filter(|figure| figure.is_finite() && *figure > limit)
    }

    /// The first cause that a second's vitals show, and how much of it.
    pub(super) fn of(vitals: &Vitals, stall: f64) -> Option<(Self, f64)> {
        Self::ALL.into_iter().find_map(|cause| Some((cause, cause.figure(vitals, stall)?)))
    }

    /// Words behind a colon, for a figure that is the most there was.
    pub(super) fn words(self, figure: f64) -> String {
        let percent = format!("{:.0}%", figure * 100.0);
        match self {
            Self::Throttled => format!("a CPU quota held it for {percent} of the time"),
            Self::Stolen => format!("the machine's host gave {percent} of its CPU time to others"),
            Self::Busy => format!("CPU {percent}"),
            Self::Crowded => format!("others had the CPU, and it waited for that {percent} of the time"),
            Self::Link => format!("network link {percent}"),
            Self::Memory => format!("the machine waited for memory {percent} of the time"),
            Self::Stalled => format!("it stood still for {}", duration::human(figure)),
        }
    }

    /// What is said when it lasted for some seconds, in none of which it was less than `least`; `None`
    /// where lasting alone does no harm: it is the lag that counts then.
    pub(super) fn lasting(self, least: f64) -> Option<String> {
        let percent = |ratio: f64| format!("{:.0}%", ratio * 100.0);
        match self {
            Self::Throttled => {
                let share = percent(MISSED_CPU_RATIO);
                Some(format!("a CPU quota held the generator for over {share} of the time"))
            }
            Self::Stolen => {
                let share = percent(MISSED_CPU_RATIO);
                Some(format!(
                    "the host of the generator's machine gave over {share} of its CPU time to others"
                ))
            }
            Self::Busy => {
                Some(format!("the generator used over {} of its processors", percent(BUSY_CPU_RATIO)))
            }
            Self::Link => {
                Some(format!("the generator's network link was over {} full", percent(FULL_LINK_RATIO)))
            }
            Self::Stalled => Some(format!(
                "a worker of the generator stood still for at least {} each second",
                duration::human(least)
            )),
            Self::Crowded | Self::Memory => None,
        }
    }
}

/// What a generator that could not open a connection had run out of.
pub(super) fn exhausted(vitals: &Vitals) -> Option<String> {
    let gone = |used: u64, of: u64| used as f64 >= EXHAUSTED_RATIO * of as f64;
    if let (Some(open), Some(limit)) = (vitals.descriptors, vitals.descriptor_limit)
        && gone(open, limit)
    {
        return Some(format!("{open} of the {limit} file descriptors it may have were open"));
    }
    let (sockets, ports) = (vitals.tcp_sockets?, vitals.local_ports?);
    let waiting = vitals.time_wait_sockets.unwrap_or(0);
    gone(sockets.saturating_add(waiting), ports).then(|| {
        format!("{sockets} TCP sockets were open and {waiting} in TIME_WAIT, for {ports} local ports")
    })
}

fn larger(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}
