use crate::{Flame, Kind, Profile, Row};

/// Functions that a digest tells of.
const ROWS: usize = 20;
/// Calls of its flame graph, of more the widest: it is kept with a run and shown in pages with others.
const CALLS: usize = 400;

/// What a profile says in short, small enough to be kept with a run: a few tens of kB at most.
#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    /// What was counted.
    pub kind: Kind,
    /// All of it, in the unit of the kind.
    pub total: i64,
    /// How long it was looked, in seconds; `None` where the profile does not say.
    pub duration: Option<f64>,
    /// The functions with the most in themselves, at most 20.
    pub top: Vec<Row>,
    /// How many functions there are.
    pub functions: usize,
    /// Where it was counted; at most 400 calls.
    pub flame: Flame,
}

impl Digest {
    /// Whether something in it became less, as in a profile of what changed. What is more and what is less then cancel
    /// out in the total, of which nothing is a share; the flame graph has only what became more.
    pub fn has_decreases(&self) -> bool {
        let more = self.flame.calls.first().map_or(0, |all| all.value);
        u64::try_from(self.total) != Ok(more) && !self.flame.calls.is_empty()
    }
}

impl Profile {
    /// Whether something of a kind (a place in [`Profile::kinds`]) became less, as in a profile of what changed: its total is
    /// then no whole that anything has a share of.
    pub fn has_decreases(&self, kind: usize) -> bool {
        self.stacks.iter().any(|stack| stack.value(kind) < 0)
    }

    /// What it says of a kind (a place in [`Profile::kinds`]) in short; `None` where it has no such kind.
    pub fn digest(&self, kind: usize) -> Option<Digest> {
        let mut top = self.top(kind);
        let functions = top.len();
        top.truncate(ROWS);
        Some(Digest {
            kind: self.kinds.get(kind)?.clone(),
            total: self.total(kind),
            duration: self.duration,
            top,
            functions,
            flame: Flame::of(self, kind, CALLS),
        })
    }
}
