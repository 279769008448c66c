//! How far something has come that takes longer than one likes to wait without a word.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Nothing is said of what is over sooner.
const SILENCE: Duration = Duration::from_secs(1);

/// How often a terminal is told, and how often a log.
const EACH: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];

/// Tells standard error how many of so many things are done: in one line of a terminal, or now and then in a log.
#[derive(Debug)]
pub(crate) struct Progress {
    doing: &'static str,
    total: usize,
    done: usize,
    next: Instant,
    terminal: bool,
    told: bool,
}

impl Progress {
    pub(crate) fn new(doing: &'static str, total: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { doing, total, done: 0, next: Instant::now() + SILENCE, terminal, told: false }
    }

    pub(crate) fn one_more(&mut self) {
        self.done += 1;
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + EACH[usize::from(!self.terminal)];
        self.told = true;
        let Self { doing, total, done, .. } = self;
        if self.terminal {
            crate::say::err!("\r{doing}: {done} of {total}");
        } else {
            crate::say::errln!("{doing}: {done} of {total}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told && self.terminal {
            crate::say::err!("\r\x1b[K");
        }
    }
}
