//! What others said while runs went on. It is told in wall time and belongs to no run: a run only shows what overlaps it.

use std::collections::BTreeMap;

use crate::{Resumed, Summary};

const SECOND: f64 = 1e9;

/// An alert, as an Alertmanager told it. All of it but the times is foreign text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// What tells the alert from others: with its start it is the same alert, however often it is told.
    pub fingerprint: String,
    /// When it began, nanoseconds since 1970.
    pub starts_nanos: i64,
    /// When it ended, nanoseconds since 1970; `None` while it fires.
    pub ends_nanos: Option<i64>,
    /// The name of the alert.
    pub name: String,
    /// How bad it is, in the words of whoever made the alert.
    pub severity: Option<String>,
    /// What it means, in a sentence.
    pub summary: Option<String>,
    /// Every label, its name and severity among them.
    pub labels: BTreeMap<String, String>,
    /// Where more is told of it: an address of http or https.
    pub link: Option<String>,
    /// The receiver of the Alertmanager that told it.
    pub receiver: String,
    /// When it was told last, nanoseconds since 1970.
    pub told_nanos: i64,
}

impl Annotation {
    /// Labels that say more than name and severity do, in the order of their names.
    pub fn other_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let others = self.labels.iter().filter(|(name, _)| *name != "alertname" && *name != "severity");
        others.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Where a run lies in wall time, which is what alerts are told in.
#[derive(Debug, Clone, PartialEq)]
pub struct WallTime {
    /// When it began, nanoseconds since 1970.
    pub started_nanos: i64,
    /// When it ended, nanoseconds since 1970; `None` while it runs.
    pub ended_nanos: Option<i64>,
    /// Where it went on after its process had died.
    pub resumed: Vec<Resumed>,
}

impl WallTime {
    /// Where a moment lies on the axis of the run, as [`Summary::offset_of`] has it.
    pub fn offset_of(&self, wall_nanos: i64) -> f64 {
        offset(self.started_nanos, &self.resumed, wall_nanos)
    }
}

impl Summary {
    /// Where a moment of the wall clock (nanoseconds since 1970) lies on the axis of the run, in seconds from its start:
    /// negative before it. Moments at which nobody generated load lie where the run went on.
    pub fn offset_of(&self, wall_nanos: i64) -> f64 {
        offset(self.info.started_nanos, &self.resumed, wall_nanos)
    }

    /// When it ended by the wall clock, nanoseconds since 1970; `None` while it runs.
    pub fn ended_nanos(&self) -> Option<i64> {
        self.status.map(|_| self.ended_nanos)
    }

    /// Where it lies in wall time.
    pub fn wall_time(&self) -> WallTime {
        WallTime {
            started_nanos: self.info.started_nanos,
            ended_nanos: self.ended_nanos(),
            resumed: self.resumed.clone(),
        }
    }
}

fn offset(started_nanos: i64, resumptions: &[Resumed], wall_nanos: i64) -> f64 {
    let since = |from: i64| wall_nanos.saturating_sub(from) as f64 / SECOND;
    let mut offset = since(started_nanos);
    for resumed in resumptions {
        let at = resumed.at as f64 / SECOND;
        if wall_nanos < resumed.wall_nanos {
            return offset.min(at);
        }
        offset = at + since(resumed.wall_nanos);
    }
    offset
}
