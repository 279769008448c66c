//! Whether the process that records a run still lives.
//!
//! A process id alone does not tell: ids are reused, and the file may be shared with containers and
//! other hosts whose ids mean other processes. So a process is named by the space its id counts in
//! (boot and id namespace), its id, and when it started. From another space nothing can be asked;
//! there only the time when it was last seen to work speaks.

use std::time::Duration;

/// How long a recorder of another host may stay silent. Recorders report every [`crate::recorder`]
/// beat, so a minute of silence is many missed ones and outlasts a reboot's worth of clock trouble.
const SILENCE: Duration = Duration::from_secs(60);

/// A process, named so that no later one is mistaken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Boot and id namespace; empty where the system does not tell.
    pub(crate) space: String,
    /// Its id.
    pub(crate) process: u32,
    /// When it started, in the kernel's ticks since boot; 0 where the system does not tell.
    pub(crate) started: i64,
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> Self {
        let process = std::process::id();
        match (space(), started(process)) {
            (Some(space), Some(started)) => Self { space, process, started },
            _ => Self { space: String::new(), process, started: 0 },
        }
    }

    /// Whether this machine has not been started anew since the process was, as far as it can tell.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        let boot = |space: &str| space.split(' ').next().map(str::to_owned);
        space().is_some_and(|here| boot(&here) == boot(&self.space))
    }

    /// Whether it still records: `seen_at` is when it last did, `now` the time now, both in
    /// nanoseconds since 1970.
    pub(crate) fn lives(&self, seen_at: i64, now: i64) -> bool {
        match space() {
            Some(here) if here == self.space => started(self.process) == Some(self.started),
            _ => now.saturating_sub(seen_at) <= SILENCE.as_nanos() as i64,
        }
    }
}

fn space() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// When a process started; `None` when there is none, or only the remains of one.
fn started(process: u32) -> Option<i64> {
    started_in(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// Reads field 22 of `/proc/PID/stat`. The second field is the program's name in parentheses and may
/// itself hold spaces and parentheses, so counting begins after the last one.
fn started_in(stat: &str) -> Option<i64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let is_dead = matches!(state, "Z" | "X" | "x");
    if is_dead { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = |name: &str, state: &str| {
            format!("7 ({name}) {state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2")
        };
        assert_eq!(started_in(&stat("sh", "S")), Some(98765));
        assert_eq!(started_in(&stat("a) R 1 (b", "R")), Some(98765));
        assert_eq!(started_in(&stat("sh", "Z")), None);
        assert_eq!(started_in("7 (sh"), None);
        assert_eq!(started_in(""), None);
    }

    #[test]
    fn an_id_that_was_given_to_a_later_process_fools_nobody() {
        let this = Owner::this();
        assert!(this.lives(0, i64::MAX));
        assert!(!Owner { started: this.started - 1, ..this }.lives(0, 0));
    }

    #[test]
    fn from_elsewhere_only_silence_tells() {
        let other = Owner { space: "another host".into(), ..Owner::this() };
        let minute = 60_000_000_000;
        assert!(other.lives(5, 5 + minute));
        assert!(!other.lives(5, 6 + minute));
    }
}
