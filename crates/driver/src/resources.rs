//! What this machine has for connections: descriptors, ports, memory.
//!
//! What a plan needs for certain and cannot have is told before the load, with what is possible; what runs
//! out on the way is named for what it is. Neither is ever the target's fault.

use std::fmt;
use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use plimsoll_run::{HttpVersion, LoadModel, Reuse, RunPlan};

/// Descriptors kept for everything but connections: the record and its journals, exporters and who
/// scrapes them, the terminal, name lookups.
const KEPT: u64 = 64;

/// Descriptors that a worker has besides its connections: its poller, its wake-up and its timer, twice
/// over, since setup and teardown have a worker of their own.
const KEPT_PER_WORKER: u64 = 8;

/// What this machine has for connections, as far as it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Descriptors that connections of this process may have.
    pub descriptors: Option<u64>,
    /// Descriptors that the process may have in all, and could have without more rights.
    pub descriptor_limits: Option<(u64, u64)>,
    /// Ports that the system chooses from for connections from one address to one address and port.
    pub ports: Option<u64>,
}

impl Room {
    /// What there is at this moment for so many workers.
    pub fn now(workers: usize) -> Self {
        let limits = getrlimit(Resource::RLIMIT_NOFILE).ok();
        let open = std::fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as u64);
        let kept = KEPT + KEPT_PER_WORKER * workers as u64;
        let descriptors =
            limits.zip(open).map(|((soft, _), open)| soft.saturating_sub(open).saturating_sub(kept));
        let text = |name: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok();
        let reserved = text("ip_local_reserved_ports").unwrap_or_default();
        let ports = text("ip_local_port_range").and_then(|range| ports(&range, &reserved));
        Self { descriptors, descriptor_limits: limits, ports }
    }
}

/// Ports of a range like `32768 60999` that are not reserved, like `40000,50000-50009`.
fn ports(range: &str, reserved: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    let reserved = reserved.trim().split(',').filter_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.parse::<u16>().ok()?.max(first), to.parse::<u16>().ok()?.min(last));
        (u64::from(to) + 1).checked_sub(u64::from(from))
    });
    (u64::from(last) + 1).checked_sub(u64::from(first))?.checked_sub(reserved.sum())
}

/// The connections that a plan has to one address at most, and where they may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Host and port.
    pub(crate) to: String,
    pub(crate) connections: u64,
    /// Addresses of this machine that reach it.
    pub(crate) sources: u64,
}

/// Why a plan has so many connections, which decides what its author can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Each closed user has its own.
    Users,
    /// The plan asks for so many, or shares them over HTTP/2.
    Asked,
    /// It is only the most there can be: how many arrivals need depends on the target.
    Bound,
}

impl Need {
    fn of(plan: &RunPlan) -> Self {
        match (&plan.load.model, plan.http.version) {
            _ if plan.connections().is_bound => Self::Bound,
            (LoadModel::Closed { .. }, HttpVersion::Http1) if plan.reuse() != Reuse::Always => Self::Users,
            _ => Self::Asked,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Users | Self::Asked => "needs",
            Self::Bound => "may need",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Users => "ask for fewer users, or share connections with `http.version: \"2\"`",
            Self::Asked => "or ask for fewer connections",
            Self::Bound => {
                "or say with `http.connections` how many arrivals share; what is beyond counts as dropped by the generator"
            }
        }
    }
}

/// More connections than this machine has room for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// Of descriptors.
    #[error(
        "the plan {} {needed} connections at once, and this process has descriptors for {possible} of them \
         (`ulimit -n` is {}, `ulimit -Hn` {}): raise the limit, {}",
        need.verb(), limits.0, limits.1, need.remedy()
    )]
    Descriptors {
        /// Why.
        need: Need,
        /// Connections the plan has at once.
        needed: u64,
        /// How many there can be.
        possible: u64,
        /// Descriptors the process may have, and could have without more rights.
        limits: (u64, u64),
    },
    /// Of ports.
    #[error(
        "the plan {} {needed} connections at once to {to}, and there are ports for {possible} of them \
         ({ports} for each of {sources} source addresses, `net.ipv4.ip_local_port_range`): list {} addresses \
         in `http.source`, {}",
        need.verb(), needed.div_ceil((*ports).max(1)), need.remedy()
    )]
    Ports {
        /// Why.
        need: Need,
        /// Host and port that they lead to.
        to: String,
        /// Connections the plan has at once to one address.
        needed: u64,
        /// How many there can be.
        possible: u64,
        /// Ports of one source address.
        ports: u64,
        /// Source addresses.
        sources: u64,
    },
}

impl Shortage {
    /// Whether the load cannot be offered as planned, whatever the target does.
    pub fn is_certain(&self) -> bool {
        match self {
            Self::Descriptors { need, .. } | Self::Ports { need, .. } => *need != Need::Bound,
        }
    }
}

/// What a plan has at once and this machine has no room for.
pub(crate) fn shortages(plan: &RunPlan, demand: &Demand, room: &Room) -> Vec<Shortage> {
    let (need, needed) = (Need::of(plan), u64::from(plan.connections().most));
    let mut shortages = Vec::new();
    if let (Some(possible), Some(limits)) = (room.descriptors, room.descriptor_limits)
        && needed > possible
    {
        shortages.push(Shortage::Descriptors { need, needed, possible, limits });
    }
    if let Some(ports) = room.ports {
        let Demand { to, connections: needed, sources } = demand.clone();
        let possible = ports * sources;
        if needed > possible {
            shortages.push(Shortage::Ports { need, to, needed, possible, ports, sources });
        }
    }
    shortages
}

/// Something of this machine's that has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// The process may have no more descriptors.
    Descriptors,
    /// The machine may have no more open files.
    Files,
    /// No local port is left, or the source address is this machine's no longer.
    Ports,
    /// The kernel has no memory for it.
    Memory,
}

impl Exhausted {
    /// What an error of opening a connection says has run out, if it says so.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_raw(error.raw_os_error()?) {
            Errno::EMFILE => Some(Self::Descriptors),
            Errno::ENFILE => Some(Self::Files),
            Errno::EADDRNOTAVAIL | Errno::EADDRINUSE => Some(Self::Ports),
            Errno::ENOBUFS | Errno::ENOMEM => Some(Self::Memory),
            _ => None,
        }
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "this process has no descriptor left for another connection (`ulimit -n`)",
            Self::Files => "this machine has no open file left for another connection (`fs.file-max`)",
            Self::Ports => {
                "this machine has no local port left for another connection \
                 (`net.ipv4.ip_local_port_range`, `http.source`)"
            }
            Self::Memory => "this machine has no memory left for another connection",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_of_the_range_less_the_reserved_ones() {
        for (range, reserved, expected) in [
            ("32768\t60999\n", "\n", Some(28_232)),
            ("40000 40019", "", Some(20)),
            ("40000 40019", "40001,40010-40012,50000-50100,39000-40000", Some(15)),
            ("40000 40000", "40000", Some(0)),
            ("0 65535", "", Some(65_536)),
            ("40000", "", None),
            ("60000 40000", "", None),
            ("", "", None),
        ] {
            assert_eq!(ports(range, reserved), expected, "{range:?} less {reserved:?}");
        }
    }

    #[test]
    fn what_runs_out_is_named() {
        let named = |code| Exhausted::of(&io::Error::from_raw_os_error(code));
        for (code, expected) in [
            (nix::libc::EMFILE, Some(Exhausted::Descriptors)),
            (nix::libc::ENFILE, Some(Exhausted::Files)),
            (nix::libc::EADDRNOTAVAIL, Some(Exhausted::Ports)),
            (nix::libc::ENOBUFS, Some(Exhausted::Memory)),
            (nix::libc::ENOMEM, Some(Exhausted::Memory)),
            (nix::libc::ECONNREFUSED, None),
            (nix::libc::ETIMEDOUT, None),
        ] {
            assert_eq!(named(code), expected, "{code}");
        }
        assert_eq!(Exhausted::of(&io::Error::other("no code")), None);
    }

    #[test]
    fn this_machine_has_room() {
        let room = Room::now(2);
        let (soft, _) = room.descriptor_limits.unwrap_or_default();
        assert!(room.descriptors.is_some_and(|descriptors| descriptors < soft), "{room:?}");
        assert!(room.ports.is_some_and(|ports| (1..=65_536).contains(&ports)), "{room:?}");
    }

    #[test]
    fn a_shortage_says_what_is_possible_and_what_to_do() {
        let descriptors =
            |need| Shortage::Descriptors { need, needed: 30_000, possible: 19_900, limits: (20_000, 20_000) };
        assert!(descriptors(Need::Users).is_certain() && descriptors(Need::Asked).is_certain());
        assert!(!descriptors(Need::Bound).is_certain());
        assert_eq!(
            descriptors(Need::Users).to_string(),
            "the plan needs 30000 connections at once, and this process has descriptors for 19900 of them \
             (`ulimit -n` is 20000, `ulimit -Hn` 20000): raise the limit, ask for fewer users, or share \
             connections with `http.version: \"2\"`"
        );
        let asked = descriptors(Need::Asked).to_string();
        assert!(asked.ends_with(": raise the limit, or ask for fewer connections"), "{asked}");
        let ports = Shortage::Ports {
            need: Need::Bound,
            to: "127.0.0.1:8080".to_owned(),
            needed: 30_000,
            possible: 28_232,
            ports: 28_232,
            sources: 1,
        };
        assert_eq!(
            ports.to_string(),
            "the plan may need 30000 connections at once to 127.0.0.1:8080, and there are ports for 28232 of \
             them (28232 for each of 1 source addresses, `net.ipv4.ip_local_port_range`): list 2 addresses in \
             `http.source`, or say with `http.connections` how many arrivals share; what is beyond counts as \
             dropped by the generator"
        );
    }
}
