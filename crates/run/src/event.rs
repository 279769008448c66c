use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_measure::{Frame, Phase, Vitals};
use plimsoll_sla::{Status, Validity};

use crate::{Calibration, ProfileTaken, ResourceScrape, Shape, Steered, Stretch};

/// Something that happened in a run. Cheap to clone: the large ones are shared.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// The first event.
    Started(Arc<Started>),
    /// A phase began.
    Phase {
        /// Which.
        phase: Phase,
        /// When, in nanoseconds from the start; for [`Phase::Grace`] this is when the stages really ended.
        at: u64,
    },
    /// A second closed.
    Second(Arc<Second>),
    /// Seconds told as one: a record tells old ones so. A live run never does.
    Stretch(Arc<Stretch>),
    /// What the objectives and the validity of the generator looked like after a second. Derived
    /// from the seconds before it, so records leave it out.
    Judged(Arc<Judged>),
    /// The load is to be other than planned from some moment on.
    Steered(Arc<Steered>),
    /// The run goes on in another process, after the one that offered its load had died.
    Resumed(Resumed),
    /// A profile of the target was fetched.
    Profile(Arc<ProfileTaken>),
    /// Something worth telling that is no measurement.
    Note(Note),
    /// The last event.
    Ended(Arc<Ended>),
}

/// The first event of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Which run.
    pub info: RunInfo,
    /// What its seconds mean.
    pub shape: Shape,
    /// The resolved plan text, without secrets.
    pub plan_text: String,
    /// What this machine adds and can offer by itself, where that was learnt before the run.
    pub calibration: Option<Calibration>,
}

/// Which run it is and where it ran.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    /// Unique; ids sort by time.
    pub id: String,
    /// Wall time of offset zero, nanoseconds since 1970.
    pub started_nanos: i64,
    /// The seed in use.
    pub seed: u64,
    /// The version of what is tested.
    pub version: Option<String>,
    /// Where it is tested.
    pub environment: Option<String>,
    /// Every tag.
    pub tags: BTreeMap<String, String>,
    /// The machine that offers the load.
    pub machine: Machine,
    /// Our own version.
    pub plimsoll: String,
    /// The target, without user information.
    pub target: String,
}

/// The machine that offers the load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Host name.
    pub host: String,
    /// Processor model.
    pub cpu: String,
    /// Processors this process may use.
    pub cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Operating system and kernel.
    pub system: String,
    /// A hash of processor model, cores and memory: equal for machines of one class.
    pub fingerprint: String,
}

/// One closed second.
#[derive(Debug, Clone, PartialEq)]
pub struct Second {
    /// What was measured.
    pub frame: Frame,
    /// What stood at its end.
    pub gauges: Gauges,
    /// What the machine did to the generator.
    pub vitals: Vitals,
    /// Scrapes of the target's resources that came in since the second before, each with its own
    /// moment: a slow answer speaks of an earlier second.
    pub resources: Vec<ResourceScrape>,
    /// Wall time of its end: start plus whole seconds, nanoseconds since 1970.
    pub wall_nanos: i64,
}

/// Levels at the end of a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gauges {
    /// Iterations per second asked for, by the plan or by who steered it; in the closed model, those started in
    /// the second.
    pub offered_rate: f64,
    /// Virtual users active: iterations running in the open model.
    pub virtual_users: u64,
    /// Open connections.
    pub connections: u64,
}

/// What judging says after a second.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The last second it stands on.
    pub second: u64,
    /// One per objective.
    pub statuses: Vec<Status>,
    /// Whether the generator can be trusted so far.
    pub validity: Validity,
}

/// A run goes on in another process, behind the last second that was recorded.
///
/// Its axis has the seconds of load alone: those in which nobody generated any are no seconds of the run, so that no
/// figure takes them for quiet ones. They are this gap, and what comes behind it is that much later on the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// Where, in nanoseconds from the start: the end of the last recorded second.
    pub at: u64,
    /// When it went on, nanoseconds since 1970.
    pub wall_nanos: i64,
    /// For how long nobody generated load, in nanoseconds; 0 where the wall clock was set back meanwhile.
    pub away: u64,
    /// Requests that were in flight at the end of the last recorded second. They are cut in the next.
    pub cut: u64,
}

impl Resumed {
    /// From when on nobody generated load, nanoseconds since 1970.
    pub fn away_from_nanos(&self) -> i64 {
        self.wall_nanos.saturating_sub(i64::try_from(self.away).unwrap_or(i64::MAX))
    }

    /// In a sentence for people.
    pub fn words(&self) -> String {
        let cut = match self.cut {
            0 => "nothing was in flight then".to_owned(),
            1 => "the request in flight then counts as cut".to_owned(),
            cut => format!("the {cut} requests in flight then count as cut"),
        };
        format!(
            "no load from {} to {} UTC: the generator was away for {:.1} s. What it had sent after its last recorded \
             second is in no figure; {cut}",
            time_of_day(self.away_from_nanos()),
            time_of_day(self.wall_nanos),
            self.away as f64 / 1e9,
        )
    }
}

fn time_of_day(wall_nanos: i64) -> String {
    let seconds = wall_nanos.div_euclid(1_000_000_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

impl Started {
    /// As if the run had begun so that its offsets behind a resumption show the wall time that they had.
    #[must_use]
    pub fn seen_from(&self, resumed: &Resumed) -> Self {
        let mut started = self.clone();
        started.info.started_nanos =
            resumed.wall_nanos.saturating_sub(i64::try_from(resumed.at).unwrap_or(i64::MAX));
        started
    }
}

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Nanoseconds from the start.
    pub at: u64,
    /// One sentence, without secrets.
    pub text: String,
}

/// The last event of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Nanoseconds from the start.
    pub at: u64,
    /// How it ended.
    pub status: RunStatus,
    /// Why, unless it completed.
    pub reason: Option<String>,
    /// What became of exported points, as far as is known now.
    pub exports: Vec<ExportCount>,
    /// What became of the requests chosen for the file of samples, where there is one.
    pub samples: Option<SamplesCount>,
}

/// What became of the requests chosen for the file of samples: chosen = written + skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SamplesCount {
    /// Rows in the file.
    pub written: u64,
    /// Requests that found no room or could not be written.
    pub skipped: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// Every stage was offered.
    Completed,
    /// An objective's `abort_after` ended it.
    Aborted,
    /// Somebody or something stopped it; a killed run is found as this.
    Interrupted,
    /// Setup failed or a feed ran out.
    Failed,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Completed, Self::Aborted, Self::Interrupted, Self::Failed];

    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Aborted => "aborted",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }

    /// The status with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.label() == label)
    }
}

/// What became of the points of one sink: produced = acknowledged + backlog + lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportCount {
    /// The sink's name.
    pub sink: String,
    /// Points made.
    pub produced: u64,
    /// Points the sink took.
    pub acknowledged: u64,
    /// Points waiting.
    pub backlog: u64,
    /// Points given up.
    pub lost: u64,
}
