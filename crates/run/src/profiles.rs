//! Profiles of the target: which are asked for when, and what became of them.

use std::path::PathBuf;
use std::sync::Arc;

use plimsoll_profile::{Digest, Flame, FlameCall, Kind, Row};
use serde::{Deserialize, Serialize};

use crate::shape::Course;
use crate::wire::WireError;
use crate::{Model, ResourceEndpoint, Shape};

/// Which profiles of the target are fetched while the run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfilesSettings {
    /// Where the files are kept; relative to the working directory.
    pub folder: PathBuf,
    /// What is fetched.
    pub sources: Vec<ProfileSource>,
}

/// A profile that the target gives out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileSource {
    /// Of what.
    pub kind: ProfileKind,
    /// Where it is.
    pub endpoint: ResourceEndpoint,
    /// How long the target is to look, in seconds; `None`: what stands at the moment.
    pub seconds: Option<u32>,
    /// When it is fetched; each once.
    pub at: Vec<ProfileMoment>,
}

/// What a profile is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProfileKind {
    /// Where processors are kept busy.
    Cpu,
    /// What memory is in use.
    Heap,
    /// What memory was asked for.
    Allocs,
    /// Who holds locks that others wait for.
    Mutex,
    /// Where is waited.
    Block,
    /// What goroutines do.
    Goroutine,
}

impl ProfileKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Cpu, Self::Heap, Self::Allocs, Self::Mutex, Self::Block, Self::Goroutine];

    /// Its word in plans and results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Heap => "heap",
            Self::Allocs => "allocs",
            Self::Mutex => "mutex",
            Self::Block => "block",
            Self::Goroutine => "goroutine",
        }
    }

    /// The kind with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }
}

/// When a profile is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProfileMoment {
    /// When the stages begin.
    Start,
    /// When the greatest load begins that the plan asks for.
    Peak,
    /// When an objective is missed for the first time.
    Breach,
    /// When the stages end.
    End,
}

impl ProfileMoment {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Start, Self::Peak, Self::Breach, Self::End];

    /// Its word in plans and results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Peak => "peak",
            Self::Breach => "breach",
            Self::End => "end",
        }
    }

    /// The moment with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|moment| moment.label() == label)
    }
}

/// A profile that was fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileTaken {
    /// When it was asked for, in nanoseconds from the start.
    pub at: u64,
    /// Of what.
    pub kind: ProfileKind,
    /// Why then.
    pub moment: ProfileMoment,
    /// Of a breach the objective that was missed.
    pub objective: Option<String>,
    /// The file that it is kept in, as it came.
    pub file: String,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// What it says.
    pub digest: Digest,
}

impl ProfileTaken {
    /// Which it is, in words: `cpu at peak`.
    pub fn words(&self) -> String {
        match &self.objective {
            Some(objective) => format!("{} when `{objective}` was missed", self.kind.label()),
            None => format!("{} at {}", self.kind.label(), self.moment.label()),
        }
    }
}

impl Shape {
    /// The first whole second after the warm-up in which the most arrivals are planned; without any, the most users.
    ///
    /// Between two corners of its course a load is a line, and so is the sum of several: of the seconds that lie there,
    /// the first or the last has the most. So only those beside corners are looked at, however long the plan is.
    pub fn peak_second(&self) -> u64 {
        let has_arrivals = self.loads().any(|(model, _)| model == Model::Open);
        let counted = self.loads().filter(|(model, _)| !has_arrivals || *model == Model::Open);
        let courses: Vec<Course> = counted.map(|(_, stages)| Course::of(stages)).collect();
        let first = self.warmup.ceil() as u64;
        let last = (self.stages_end().floor() as u64).max(first + 1) - 1;
        let corners = courses.iter().flat_map(Course::corners).map(|offset| offset as u64);
        let beside = corners.flat_map(|second| [second.saturating_sub(1), second, second + 1]);
        let within = beside.filter(|second| (first..=last).contains(second));
        let mut seconds: Vec<u64> = within.chain([first, last]).collect();
        seconds.sort_unstable();
        seconds.dedup();
        let mut most = (first, f64::NEG_INFINITY);
        for second in seconds {
            let (from, to) = (second as f64, second as f64 + 1.0);
            let level = courses.iter().map(|course| course.mean(from, to)).sum::<f64>();
            // The mean of a second of a level that stands still is not always the same to the last bit.
            if level > most.1 * (1.0 + 1e-9) || most.1 == f64::NEG_INFINITY {
                most = (second, level);
            }
        }
        most.0
    }
}

/// A profile as a line of a record.
#[derive(Serialize, Deserialize)]
pub(crate) struct ProfileLine {
    at: u64,
    kind: String,
    moment: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    objective: Option<String>,
    file: String,
    bytes: u64,
    counted: String,
    unit: String,
    total: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    functions: usize,
    /// Each name once.
    names: Vec<String>,
    /// A place in `names`, in itself, with what it called.
    top: Vec<(usize, i64, i64)>,
    /// A place in `names`, calls below it, what is left of it, how much it is.
    calls: Vec<(usize, u32, u64, u64)>,
}

pub(crate) fn profile_out(taken: &ProfileTaken) -> ProfileLine {
    let Digest { kind, total, duration, top, functions, flame } = &taken.digest;
    let mut names: Vec<String> = Vec::new();
    let mut place = |name: &str| {
        names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        })
    };
    let top = top.iter().map(|row| (place(&row.name), row.flat, row.cumulative)).collect();
    let calls =
        flame.calls.iter().map(|call| (place(&call.name), call.depth, call.start, call.value)).collect();
    ProfileLine {
        at: taken.at,
        kind: taken.kind.label().to_owned(),
        moment: taken.moment.label().to_owned(),
        objective: taken.objective.clone(),
        file: taken.file.clone(),
        bytes: taken.bytes,
        counted: kind.name.to_string(),
        unit: kind.unit.to_string(),
        total: *total,
        duration: *duration,
        functions: *functions,
        names,
        top,
        calls,
    }
}

pub(crate) fn profile_in(line: ProfileLine) -> Result<ProfileTaken, WireError> {
    let wrong =
        |field: &'static str, found: &dyn ToString| WireError::Value { field, found: found.to_string() };
    let names: Vec<Arc<str>> = line.names.iter().map(|name| Arc::from(name.as_str())).collect();
    let name = |place: usize| names.get(place).cloned().ok_or_else(|| wrong("name", &place));
    let unit: Arc<str> = line.unit.as_str().into();
    let top = line.top.iter().map(|(place, flat, cumulative)| {
        Ok(Row { name: name(*place)?, flat: *flat, cumulative: *cumulative })
    });
    let calls = line.calls.iter().map(|(place, depth, start, value)| {
        Ok(FlameCall { name: name(*place)?, depth: *depth, start: *start, value: *value })
    });
    Ok(ProfileTaken {
        at: line.at,
        kind: ProfileKind::from_label(&line.kind).ok_or_else(|| wrong("kind", &line.kind))?,
        moment: ProfileMoment::from_label(&line.moment).ok_or_else(|| wrong("moment", &line.moment))?,
        objective: line.objective,
        file: line.file,
        bytes: line.bytes,
        digest: Digest {
            top: top.collect::<Result<_, WireError>>()?,
            flame: Flame { unit: Arc::clone(&unit), calls: calls.collect::<Result<_, WireError>>()? },
            kind: Kind { name: line.counted.as_str().into(), unit },
            total: line.total,
            duration: line.duration,
            functions: line.functions,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunEvent, wire};
    use plimsoll_measure::Edges;
    use plimsoll_profile::{Profile, Stack};

    fn taken() -> ProfileTaken {
        let stack = |frames: &[u32], value| Stack { frames: frames.to_vec(), values: vec![value] };
        let profile = Profile {
            kinds: vec![Kind { name: "cpu".into(), unit: "nanoseconds".into() }],
            usual: 0,
            duration: Some(10.0),
            names: vec!["main".into(), "<hash>".into()],
            stacks: vec![stack(&[0, 1], 30), stack(&[0], 10)],
        };
        ProfileTaken {
            at: 12_000_000_000,
            kind: ProfileKind::Cpu,
            moment: ProfileMoment::Breach,
            objective: Some("fast".into()),
            file: "profiles/run-01-cpu-breach.pb.gz".into(),
            bytes: 4_711,
            digest: profile.digest(0).unwrap(),
        }
    }

    #[test]
    fn a_record_has_the_whole_of_it() {
        let line = wire::to_line(&RunEvent::Profile(Arc::new(taken()))).unwrap();
        let RunEvent::Profile(found) = wire::from_line(&line, &Edges::default()).unwrap() else {
            panic!("{line}");
        };
        assert_eq!(*found, taken());
        for (from, to) in [
            ("[1,10,40]", "[7,10,40]"),
            ("\"moment\":\"breach\"", "\"moment\":\"never\""),
            ("\"kind\":\"cpu\"", "\"kind\":\"x\""),
        ] {
            let broken = line.replace(from, to);
            assert!(broken != line && wire::from_line(&broken, &Edges::default()).is_err(), "{line}");
        }
    }

    #[test]
    fn the_peak_is_where_the_most_begins() {
        let shape = |model, levels: &[(f64, f64)], warmup| {
            crate::load_series::tests::started(model, 1, levels, warmup).shape
        };
        for (levels, warmup, expected) in [
            (&[(50.0, 10.0), (100.0, 5.0), (100.0, 5.0), (20.0, 5.0)][..], 1.0, 10),
            (&[(100.0, 5.0), (50.0, 5.0)], 5.0, 5),
            (&[(0.1, 7.0)], 2.5, 3),
            (&[(1.0, 600_000.0), (2.0, 60_000.0)], 0.0, 600_000),
        ] {
            for model in [Model::Open, Model::Closed] {
                let found = shape(model, levels, warmup).peak_second();
                assert_eq!(found, expected, "{levels:?} after {warmup} s");
            }
        }
    }

    #[test]
    fn a_peak_of_a_second_in_a_day_is_found() {
        let mut shape = crate::load_series::tests::started(Model::Open, 1, &[(0.0, 86_400.0)], 0.0).shape;
        let level = |second: u32| if second == 50_003 { 900.0 } else { f64::from(100 + second % 7) };
        shape.stages[0].course = (0..=86_400).map(|second| (f64::from(second), level(second))).collect();
        assert_eq!(shape.peak_second(), 50_003, "the level after it is higher than that before it");
    }

    #[test]
    fn no_second_has_more_than_the_peak() {
        for seed in 0..200_u64 {
            // Stages that begin anywhere within a second, some of them shorter than one, and jump or ramp.
            let number = |place: u64| (seed * 31 + place).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let (mut at, mut course) = (0.0, vec![(0.0, (number(0) % 90) as f64)]);
            for place in 1..12 {
                let length = (number(place * 3) % 47) as f64 / 10.0;
                let from = if number(place * 3 + 1) % 2 == 0 { course[course.len() - 1].1 } else { 10.0 };
                course.push((at, from));
                at += length;
                course.push((at, (number(place * 3 + 2) % 100) as f64));
            }
            let mut shape = crate::load_series::tests::started(Model::Open, 1, &[(0.0, at)], 1.5).shape;
            shape.stages[0].course = course;
            let rate = |second: u64| shape.mean_rate(second as f64, second as f64 + 1.0);
            let found = rate(shape.peak_second());
            let most = (2..(at as u64).max(3)).map(rate).fold(f64::NEG_INFINITY, f64::max);
            assert!((found - most).abs() <= most * 1e-6, "{seed}: {found} and {most}, {:?}", shape.stages);
        }
    }

    #[test]
    fn words_come_back() {
        for kind in ProfileKind::ALL {
            assert_eq!(ProfileKind::from_label(kind.label()), Some(kind));
        }
        for moment in ProfileMoment::ALL {
            assert_eq!(ProfileMoment::from_label(moment.label()), Some(moment));
        }
        assert_eq!(taken().words(), "cpu when `fast` was missed");
    }
}
