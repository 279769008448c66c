use std::fmt;
use std::str::FromStr;

use plimsoll_units::{Rate, Users};
use plimsoll_workload::Wanted;

use crate::shape::{StageShape, end_of, mean_level, peak_level};
use crate::{Model, Shape};

/// How often a run can be steered: every change is kept for as long as it goes on, and memory is bounded.
const MOST_CHANGES: usize = 10_000;

/// The highest factor: more is a typing mistake.
const HIGHEST_FACTOR: f64 = 1000.0;

/// How many characters of who asked are kept.
const LONGEST_NAME: usize = 200;

/// What a load is to do in place of what its plan says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// This many arrivals per second.
    Rate(Rate),
    /// This many users.
    Users(Users),
    /// What its stages say at each moment, times this; above zero, at most 1,000.
    Scale(f64),
    /// Nothing, while the time of its stages goes on.
    Pause,
    /// What its stages say again.
    Resume,
    /// Nothing any more.
    Stop,
}

/// A text that is no change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is no change of a load; allowed are `rate 800/s`, `users 200`, `scale 1.5`, `pause`, `resume` and `stop`"
)]
pub struct NoChange {
    found: String,
}

impl fmt::Display for Change {
    /// As [`Change::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => write!(f, "rate {rate}"),
            Self::Users(users) => write!(f, "users {}", users.0),
            Self::Scale(factor) => write!(f, "scale {factor}"),
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

impl FromStr for Change {
    type Err = NoChange;

    /// Reads `rate 800/s`, `users 200`, `scale 1.5`, `pause`, `resume` and `stop`.
    fn from_str(text: &str) -> Result<Self, NoChange> {
        let wrong = || NoChange { found: text.chars().take(LONGEST_NAME).collect() };
        let (word, value) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let value = value.trim();
        match (word, value) {
            ("rate", value) => value.parse().map(Self::Rate).map_err(|_| wrong()),
            ("users", value) => value.parse().map(Self::Users).map_err(|_| wrong()),
            ("scale", value) => value.parse().map(Self::Scale).map_err(|_| wrong()),
            ("pause", "") => Ok(Self::Pause),
            ("resume", "") => Ok(Self::Resume),
            ("stop", "") => Ok(Self::Stop),
            _ => Err(wrong()),
        }
    }
}

impl Change {
    /// What the load is from then on, in words: `800/s`, `200 users`, `1.5 times the plan`.
    pub fn words(&self) -> String {
        match self {
            Self::Rate(rate) => rate.to_string(),
            Self::Users(users) => users.to_string(),
            Self::Scale(factor) => format!("{factor} times the plan"),
            Self::Pause => "paused".to_owned(),
            Self::Resume => "as planned".to_owned(),
            Self::Stop => "stopped".to_owned(),
        }
    }

    /// What it makes of a load.
    pub fn wanted(&self) -> Wanted {
        match self {
            Self::Rate(rate) => Wanted::Level(rate.per_second()),
            Self::Users(users) => Wanted::Level(f64::from(users.0)),
            Self::Scale(factor) => Wanted::Stages(*factor),
            Self::Pause | Self::Stop => Wanted::Level(0.0),
            Self::Resume => Wanted::Stages(1.0),
        }
    }
}

/// What somebody asks of a run while it goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// What is to change.
    pub change: Change,
    /// The scenario whose own load it is about; `None`: the load as a whole.
    pub scenario: Option<String>,
    /// Who asks, for the record.
    pub by: String,
}

/// A run was told to offer another load than its plan's.
#[derive(Debug, Clone, PartialEq)]
pub struct Steered {
    /// When that was decided, in nanoseconds from the start.
    pub at: u64,
    /// When it takes effect, likewise. What is due before it is as it was.
    pub effective: u64,
    /// Which loads: 0 is the one that scenarios share, behind it come [`Shape::own_loads`].
    pub loads: Vec<u16>,
    /// What it is from then on.
    pub change: Change,
    /// Who asked.
    pub by: String,
}

impl Steered {
    /// The scenario it is about, where it is about one of several loads.
    pub fn scenario<'a>(&self, shape: &'a Shape) -> Option<&'a str> {
        let [load] = self.loads[..] else { return None };
        let scenario = match load.checked_sub(1) {
            Some(own) => shape.own_loads.get(usize::from(own)).map(|load| load.scenario),
            None => shape.alone_without_own_load(),
        };
        shape.scenarios.get(usize::from(scenario?)).map(|scenario| scenario.name.as_str())
    }

    /// In a few words: `` from 12.0 s: 800/s of `browse`, asked for by anna ``.
    pub fn words(&self, shape: &Shape) -> String {
        let whose = match self.scenario(shape) {
            Some(name) => format!(" of `{name}`"),
            None if self.loads == [0] && !shape.own_loads.is_empty() => {
                " of the load that is shared".to_owned()
            }
            None => String::new(),
        };
        let by = if self.by.is_empty() { String::new() } else { format!(", asked for by {}", self.by) };
        format!("from {:.1} s: {}{whose}{by}", self.effective as f64 / 1e9, self.change.words())
    }
}

/// Why a run does not do what it was asked for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No scenario has this name.
    #[error("the plan has no scenario `{asked}`; it has {}", names(.known))]
    NoScenario {
        /// The name.
        asked: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Its share is a weight.
    #[error(
        "`{scenario}` has no load of its own: {} share one by weight, which is steered as a whole, without a scenario",
        names(.sharing)
    )]
    Shared {
        /// Its name.
        scenario: String,
        /// All that share.
        sharing: Vec<String>,
    },
    /// A rate for users.
    #[error("this load is of users (the closed model), who have no rate: ask for `users`")]
    NoRate,
    /// Users for a rate.
    #[error("this load is arrivals per second (the open model), which has no users to set: ask for a `rate`")]
    NoUsers,
    /// A log decides when its requests are due.
    #[error("this load replays a log, whose times are what it is about: it can only be stopped")]
    Replayed,
    /// A factor outside its bounds.
    #[error("a factor is above 0 and at most {HIGHEST_FACTOR}, not {found}; `pause` is none at all")]
    Factor {
        /// The factor.
        found: f64,
    },
    /// More than a plan may ask for.
    #[error("{found} times the plan is up to {level}, and a plan may ask for {limit} at most")]
    TooMuch {
        /// The factor.
        found: f64,
        /// What it would come to.
        level: String,
        /// The bound.
        limit: String,
    },
    /// This load was stopped.
    #[error("this load was stopped, which cannot be taken back")]
    Stopped,
    /// Nothing is left to steer.
    #[error("its stages are over: nothing more is offered that could be steered")]
    Over,
    /// It was steered too often.
    #[error("it was steered {MOST_CHANGES} times, which is the most: only `stop` is left")]
    Often,
    /// Too many ask at once.
    #[error("too many changes wait already: ask again in a second")]
    Busy,
    /// Its load is somebody else's.
    #[error("this run is one of a search or a calibration, which decides about its load itself")]
    NotIts,
    /// The run has ended.
    #[error("the run has ended")]
    Ended,
}

fn names(all: &[String]) -> String {
    // A plan may have thousands.
    const NAMED: usize = 10;
    let named: Vec<_> = all.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let more = if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
    format!("{}{more}", named.join(", "))
}

/// How a run was steered so far: the fold of its [`Steered`]s.
#[derive(Debug, Clone, Default)]
pub struct Steerings {
    told: Vec<Steered>,
    /// Of each load: from which second on what is wanted, in order.
    courses: Vec<Vec<(f64, Wanted)>>,
    stopped: Vec<u16>,
}

impl Steerings {
    /// Folds the next.
    pub fn apply(&mut self, steered: &Steered) {
        let at = steered.effective as f64 / 1e9;
        for load in &steered.loads {
            let index = usize::from(*load);
            if self.courses.len() <= index {
                self.courses.resize(index + 1, Vec::new());
            }
            let course = &mut self.courses[index];
            // As the driver does it: what is told later holds from its moment on.
            let kept = course.partition_point(|(from, _)| *from < at);
            course.truncate(kept);
            course.push((at, steered.change.wanted()));
            if steered.change == Change::Stop && !self.stopped.contains(load) {
                self.stopped.push(*load);
            }
        }
        if self.told.len() <= MOST_CHANGES {
            self.told.push(steered.clone());
        }
    }

    /// All of them, in their order.
    pub fn all(&self) -> &[Steered] {
        &self.told
    }

    /// Whether a load was other than planned anywhere between two offsets in seconds.
    pub fn touched(&self, load: usize, from: f64, to: f64) -> bool {
        let pieces = self.pieces(load, from, to);
        pieces.into_iter().any(|(_, _, wanted)| wanted != Wanted::Stages(1.0))
    }

    /// The mean rate of arrivals that the open loads were really asked for between two offsets in seconds.
    pub fn mean_rate(&self, shape: &Shape, from: f64, to: f64) -> f64 {
        let open = shape.loads().enumerate().filter(|(_, (model, _))| *model == Model::Open);
        open.map(|(load, (_, stages))| self.mean(load, stages, from, to)).sum()
    }

    /// The level that the load which scenarios share is really asked for at an offset in seconds; `None` outside
    /// its stages.
    pub fn level_at(&self, shape: &Shape, offset: f64) -> Option<f64> {
        let planned = shape.level_at(offset)?;
        let course = self.courses.first().map(Vec::as_slice).unwrap_or_default();
        let last = course.partition_point(|(from, _)| *from <= offset);
        Some(match last.checked_sub(1).map(|last| course[last].1) {
            None => planned,
            Some(Wanted::Level(level)) => level,
            Some(Wanted::Stages(factor)) => planned * factor,
        })
    }

    /// The highest level that a load is really asked for.
    pub(crate) fn peak(&self, load: usize, stages: &[StageShape]) -> f64 {
        self.peak_from(load, stages, 0.0)
    }

    fn peak_from(&self, load: usize, stages: &[StageShape], from: f64) -> f64 {
        if from >= end_of(stages) {
            return 0.0;
        }
        let highest = |(from, to, wanted): (f64, f64, Wanted)| match wanted {
            Wanted::Level(level) => level,
            Wanted::Stages(factor) => factor * peak_level(stages, from, to),
        };
        self.pieces(load, from, end_of(stages)).into_iter().map(highest).fold(0.0, f64::max)
    }

    /// The most that the open loads (arrivals per second) and the closed ones (users) are asked for together at any
    /// moment from an offset in seconds on: an upper bound, as their peaks may lie apart in time.
    pub fn most_from(&self, shape: &Shape, from: f64) -> (f64, f64) {
        let (mut rate, mut users) = (0.0, 0.0);
        for (load, (model, stages)) in shape.loads().enumerate() {
            let most = self.peak_from(load, stages, from);
            match model {
                Model::Open => rate += most,
                Model::Closed => users += most,
            }
        }
        (rate, users)
    }

    fn mean(&self, load: usize, stages: &[StageShape], from: f64, to: f64) -> f64 {
        let part = |(from, to, wanted): (f64, f64, Wanted)| match wanted {
            Wanted::Level(level) => level * (to.min(end_of(stages)) - from).max(0.0),
            Wanted::Stages(factor) => factor * mean_level(stages, from, to) * (to - from),
        };
        let pieces = self.pieces(load, from, to);
        if let [(_, _, Wanted::Stages(1.0))] = pieces[..] {
            return mean_level(stages, from, to);
        }
        pieces.into_iter().map(part).sum::<f64>() / (to - from)
    }

    /// What was wanted between two offsets, piece by piece.
    fn pieces(&self, load: usize, from: f64, to: f64) -> Vec<(f64, f64, Wanted)> {
        let course = self.courses.get(load).map(Vec::as_slice).unwrap_or_default();
        let first = course.partition_point(|(at, _)| *at <= from);
        let mut wanted = first.checked_sub(1).map_or(Wanted::Stages(1.0), |last| course[last].1);
        let (mut start, mut pieces) = (from, Vec::new());
        for (at, next) in course[first..].iter().take_while(|(at, _)| *at < to) {
            pieces.push((start, *at, wanted));
            (start, wanted) = (*at, *next);
        }
        pieces.push((start, to, wanted));
        pieces
    }

    /// What becomes of a command that is decided `at` and would take effect at `effective` (nanoseconds).
    ///
    /// # Errors
    /// When the run cannot do that.
    pub fn decide(
        &self,
        shape: &Shape,
        command: &Command,
        at: u64,
        effective: u64,
    ) -> Result<Steered, Refusal> {
        let change = command.change;
        let loads = which(shape, command)?;
        if self.told.len() >= MOST_CHANGES && change != Change::Stop {
            return Err(Refusal::Often);
        }
        // What is stopped or over is left out where all are meant; who means one of them is told.
        let (mut left, mut refusal) = (Vec::new(), None);
        for load in loads {
            match self.may(shape, load, change, effective) {
                Ok(()) => left.push(load),
                Err(reason @ (Refusal::Stopped | Refusal::Over)) => refusal = Some(reason),
                Err(reason) => return Err(reason),
            }
        }
        if left.is_empty() {
            return Err(refusal.unwrap_or(Refusal::Over));
        }
        let by = command.by.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        Ok(Steered { at, effective, loads: left, change, by })
    }

    /// Whether no load is left that offers anything once this stop is carried out.
    pub fn stops_all(&self, shape: &Shape, stop: &Steered) -> bool {
        let is_left = |(load, (_, stages)): (u16, (Model, &[StageShape]))| {
            let is_over = stop.effective as f64 / 1e9 >= end_of(stages);
            !is_over && !stop.loads.contains(&load) && !self.stopped.contains(&load)
        };
        !(0..).zip(shape.loads()).any(is_left)
    }

    fn may(&self, shape: &Shape, load: u16, change: Change, effective: u64) -> Result<(), Refusal> {
        let Some((model, stages)) = shape.loads().nth(usize::from(load)) else { return Err(Refusal::Over) };
        if self.stopped.contains(&load) {
            return Err(Refusal::Stopped);
        }
        if effective as f64 / 1e9 >= end_of(stages) {
            return Err(Refusal::Over);
        }
        match (change, model) {
            (Change::Stop, _) => return Ok(()),
            (Change::Rate(_), Model::Closed) => return Err(Refusal::NoRate),
            (Change::Users(_), Model::Open) => return Err(Refusal::NoUsers),
            _ => {}
        }
        if stages.iter().any(|stage| stage.kind == "replay") {
            return Err(Refusal::Replayed);
        }
        match change {
            Change::Scale(factor) => scale(factor, model, stages),
            _ => Ok(()),
        }
    }
}

fn scale(factor: f64, model: Model, stages: &[StageShape]) -> Result<(), Refusal> {
    /// As [`Users`] reads them.
    const MOST_USERS: f64 = 1e7;
    if !(factor > 0.0 && factor <= HIGHEST_FACTOR) {
        return Err(Refusal::Factor { found: factor });
    }
    let level = factor * stages.iter().map(StageShape::peak).fold(0.0, f64::max);
    let most = match model {
        Model::Open => Rate::HIGHEST,
        Model::Closed => MOST_USERS,
    };
    let words = |level: f64| format!("{level}{}", model.unit());
    if level > most {
        return Err(Refusal::TooMuch { found: factor, level: words(level), limit: words(most) });
    }
    Ok(())
}

/// The loads that a command is about.
fn which(shape: &Shape, command: &Command) -> Result<Vec<u16>, Refusal> {
    let all_names = || shape.scenarios.iter().map(|scenario| scenario.name.clone()).collect::<Vec<_>>();
    let sharing = shape.sharing();
    let Some(asked) = &command.scenario else {
        let own = 1..=shape.own_loads.len() as u16;
        let shared = (!sharing.is_empty()).then_some(0);
        return Ok(match command.change {
            // A level means one load. Which one is meant is clear without a name: the plan's.
            Change::Rate(_) | Change::Users(_) => vec![0],
            Change::Scale(_) | Change::Pause | Change::Resume | Change::Stop => {
                shared.into_iter().chain(own).collect()
            }
        });
    };
    let Some(index) = shape.scenarios.iter().position(|scenario| scenario.name == *asked) else {
        return Err(Refusal::NoScenario { asked: asked.clone(), known: all_names() });
    };
    let own = shape.own_loads.iter().position(|load| usize::from(load.scenario) == index);
    match own {
        Some(own) => Ok(vec![own as u16 + 1]),
        None if sharing.len() == 1 => Ok(vec![0]),
        None => {
            let sharing = sharing.iter().filter_map(|index| shape.scenarios.get(usize::from(*index)));
            let sharing = sharing.map(|scenario| scenario.name.clone()).collect();
            Err(Refusal::Shared { scenario: asked.clone(), sharing })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_series::tests::started;
    use crate::{LoadShape, ScenarioShape};

    const SECOND: u64 = 1_000_000_000;

    /// 100/s for 10 s, then 200/s for 10 s.
    fn alone() -> Shape {
        started(Model::Open, 1, &[(100.0, 10.0), (200.0, 10.0)], 0.0).shape
    }

    /// `browse` and `buy` share that by weight; `people` are 8 users for 15 s.
    fn beside_each_other() -> Shape {
        let mut shape = alone();
        let scenario = |name: &str| ScenarioShape { name: name.into(), weight: 1 };
        shape.scenarios = ["browse", "buy", "people"].map(scenario).to_vec();
        let stages = started(Model::Closed, 1, &[(8.0, 15.0)], 0.0).shape.stages;
        shape.own_loads = vec![LoadShape { scenario: 2, model: Model::Closed, stages }];
        shape
    }

    fn command(change: &str, scenario: &str) -> Command {
        let scenario = (!scenario.is_empty()).then(|| scenario.to_owned());
        Command { change: change.parse().unwrap(), scenario, by: "anna".into() }
    }

    fn decide(shape: &Shape, second: u64, change: &str, scenario: &str) -> Result<Vec<u16>, String> {
        let at = second * SECOND;
        let decided = Steerings::default().decide(shape, &command(change, scenario), at, at);
        decided.map(|steered| steered.loads).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn changes_read_as_they_are_written() {
        for text in ["rate 800/s", "rate 0.5/s", "users 200", "scale 1.5", "pause", "resume", "stop"] {
            assert_eq!(text.parse::<Change>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "rate",
            "rate 800",
            "rate -1/s",
            "rate 11M/s",
            "users 1.5",
            "users 11000000",
            "pause 3",
            "go",
            "scale x",
        ] {
            assert!(text.parse::<Change>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_command_is_about_the_loads_it_means() {
        let (alone, several) = (alone(), beside_each_other());
        for (shape, change, scenario, loads) in [
            (&alone, "rate 800/s", "", vec![0]),
            (&alone, "rate 800/s", "browse", vec![0]),
            (&alone, "pause", "", vec![0]),
            (&several, "rate 800/s", "", vec![0]),
            (&several, "users 20", "people", vec![1]),
            (&several, "scale 2", "people", vec![1]),
            (&several, "pause", "", vec![0, 1]),
            (&several, "stop", "people", vec![1]),
        ] {
            assert_eq!(decide(shape, 1, change, scenario), Ok(loads), "{change} {scenario}");
        }
        // One of them is over, and the other goes on.
        assert_eq!(decide(&several, 16, "pause", ""), Ok(vec![0]));
    }

    #[test]
    fn what_a_run_cannot_do_it_says() {
        let (mut replay, several) = (alone(), beside_each_other());
        replay.stages[1].kind = "replay".into();
        for (shape, second, change, scenario, words) in [
            (
                &several,
                1,
                "rate 8/s",
                "nobody",
                "the plan has no scenario `nobody`; it has `browse`, `buy`, `people`",
            ),
            (
                &several,
                1,
                "rate 8/s",
                "buy",
                "`buy` has no load of its own: `browse`, `buy` share one by weight",
            ),
            (&several, 1, "rate 8/s", "people", "ask for `users`"),
            (&several, 1, "users 8", "", "ask for a `rate`"),
            (&several, 16, "users 8", "people", "its stages are over"),
            (&several, 20, "pause", "", "its stages are over"),
            (&several, 1, "scale 0", "", "a factor is above 0 and at most 1000, not 0"),
            (&several, 1, "scale NaN", "", "a factor is above 0"),
            (&replay, 1, "pause", "", "replays a log"),
        ] {
            let found = decide(shape, second, change, scenario).unwrap_err();
            assert!(found.contains(words), "{change} {scenario}: {found}");
        }
        let mut fast = alone();
        fast.stages[0].from = 1e6;
        let found = decide(&fast, 1, "scale 11", "").unwrap_err();
        assert_eq!(found, "11 times the plan is up to 11000000/s, and a plan may ask for 10000000/s at most");
        assert_eq!(decide(&replay, 1, "stop", ""), Ok(vec![0]));
    }

    #[test]
    fn a_load_that_was_stopped_stays_so_and_changes_are_bounded() {
        let shape = beside_each_other();
        let mut steerings = Steerings::default();
        let steer = |steerings: &mut Steerings, change, scenario| {
            let decided = steerings.decide(&shape, &command(change, scenario), SECOND, SECOND);
            decided.inspect(|steered| steerings.apply(steered))
        };
        steer(&mut steerings, "stop", "people").unwrap();
        assert_eq!(steer(&mut steerings, "resume", "people"), Err(Refusal::Stopped));
        assert_eq!(steer(&mut steerings, "resume", "").unwrap().loads, [0]);
        for _ in 2..MOST_CHANGES {
            steer(&mut steerings, "pause", "").unwrap();
        }
        assert_eq!(steer(&mut steerings, "resume", ""), Err(Refusal::Often));
        assert!(steer(&mut steerings, "stop", "").is_ok());
        assert_eq!(steerings.courses[0].len(), 1, "what holds for no time is not kept");
    }

    #[test]
    fn the_rate_that_was_asked_for_is_exact_within_a_second_too() {
        let shape = beside_each_other();
        let mut steerings = Steerings::default();
        for (effective, change, scenario) in [
            (2 * SECOND + SECOND / 4, "rate 500/s", ""),
            (4 * SECOND, "pause", ""),
            (12 * SECOND + SECOND / 2, "scale 1.5", ""),
            (19 * SECOND, "resume", ""),
        ] {
            let steered = steerings.decide(&shape, &command(change, scenario), 0, effective).unwrap();
            steerings.apply(&steered);
        }
        let mean = |second: f64| steerings.mean_rate(&shape, second, second + 1.0);
        let found = [0.0, 1.0, 2.0, 3.0, 4.0, 11.0, 12.0, 13.0, 18.0, 19.0, 20.0].map(mean);
        assert_eq!(found, [100.0, 100.0, 400.0, 500.0, 0.0, 0.0, 150.0, 300.0, 300.0, 200.0, 0.0]);
        assert_eq!(
            [1.0, 3.0, 5.0, 13.0, 19.5].map(|at| steerings.level_at(&shape, at).unwrap()),
            [100.0, 500.0, 0.0, 300.0, 200.0]
        );
        let touched = |load, from, to| steerings.touched(load, from, to);
        assert!(
            !touched(0, 0.0, 2.0) && touched(0, 2.0, 3.0) && touched(1, 4.0, 5.0) && !touched(1, 0.0, 4.0)
        );
        assert!(!touched(0, 19.0, 20.0), "as planned again");
        assert_eq!(
            (steerings.peak(0, &shape.stages), steerings.peak(1, &shape.own_loads[0].stages)),
            (500.0, 12.0)
        );
    }

    #[test]
    fn the_most_that_is_still_to_come_is_what_each_load_is_asked_for() {
        // 100/s for 10 s, then 200/s for 10 s; beside it 8 users for 15 s.
        let shape = beside_each_other();
        let mut steerings = Steerings::default();
        let most = |steerings: &Steerings, from| steerings.most_from(&shape, from);
        assert_eq!(
            [0.0, 15.0, 20.0].map(|from| most(&steerings, from)),
            [(200.0, 8.0), (200.0, 0.0), (0.0, 0.0)]
        );
        for (effective, change, scenario, expected) in [
            (2, "rate 500/s", "", (500.0, 8.0)),
            (3, "scale 0.5", "", (100.0, 4.0)),
            (4, "users 50", "people", (100.0, 50.0)),
            (5, "pause", "", (0.0, 0.0)),
            (6, "resume", "", (200.0, 8.0)),
            (7, "stop", "people", (200.0, 0.0)),
        ] {
            let steered =
                steerings.decide(&shape, &command(change, scenario), 0, effective * SECOND).unwrap();
            steerings.apply(&steered);
            assert_eq!(most(&steerings, effective as f64), expected, "{change}");
        }
        assert_eq!(most(&steerings, 2.0), (500.0, 50.0), "what was before counts from where one looks");
    }

    #[test]
    fn who_reads_is_told_what_when_whose_and_by_whom() {
        let shape = beside_each_other();
        let words = |change, scenario| {
            let steered =
                Steerings::default().decide(&shape, &command(change, scenario), SECOND, 12 * SECOND);
            steered.unwrap().words(&shape)
        };
        assert_eq!(
            words("rate 800/s", ""),
            "from 12.0 s: 800/s of the load that is shared, asked for by anna"
        );
        assert_eq!(words("users 20", "people"), "from 12.0 s: 20 users of `people`, asked for by anna");
        assert_eq!(words("pause", ""), "from 12.0 s: paused, asked for by anna");
        assert_eq!(words("scale 1.5", ""), "from 12.0 s: 1.5 times the plan, asked for by anna");
    }
}
