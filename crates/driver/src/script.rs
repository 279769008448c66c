//! What an iteration does, as a list that a journey goes through by a number: so one that thinks needs no
//! stack, whatever it is within.

use std::ops::Range;

use plimsoll_run::{Action, Branch, If, Repeat, Request, RunPlan, Scenario, Template, Variable};
use plimsoll_workload::Pause;

use crate::comparison::CompiledComparison;
use crate::compile::{CompileError, Step, Target};

/// Steps, pauses and where to go on.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) actions: Vec<Instruction>,
    pub(crate) captures: usize,
    /// Indexes of the feeds it draws from.
    pub(crate) feeds: Vec<u16>,
    /// How a closed user rests between two iterations, where it does.
    pub(crate) rest: Option<Box<Rest>>,
}

/// How a closed user rests between two iterations.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) think_time: Option<Pause>,
    /// Nanoseconds that two starts are at least apart.
    pub(crate) pacing: u64,
}

/// One thing to do. Without another word the next one follows.
#[derive(Debug)]
pub(crate) enum Instruction {
    Request(Box<Step>),
    Pause(Pause),
    /// Makes values for later steps, by their slots.
    Set(Box<[(usize, Template)]>),
    /// A group begins.
    Enter(u16),
    /// The innermost group ends.
    Leave,
    /// What is repeated begins, and ends with an [`Self::Again`] before `end`. How often is drawn from this range.
    Repeat {
        times: Range<u32>,
        end: usize,
    },
    /// Back to `start`, unless that was the last time.
    Again {
        start: usize,
    },
    /// On to `otherwise` where a value is not what it must be.
    Unless(Box<Condition>),
    Jump(usize),
    /// On to one of these places, each behind the sum of the weights up to its own.
    OneOf(Box<[(u64, usize)]>),
    Parallel(Box<Parallel>),
}

/// What decides where to go on.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) value: Template,
    pub(crate) is: CompiledComparison,
    pub(crate) otherwise: usize,
}

/// Steps that are made at once.
#[derive(Debug)]
pub(crate) struct Parallel {
    pub(crate) group: u16,
    pub(crate) steps: Vec<Step>,
}

impl Script {
    pub(crate) fn new(
        plan: &RunPlan,
        target: &Target,
        actions: &[Action],
        captures: u16,
    ) -> Result<Self, CompileError> {
        let mut feeds = Vec::new();
        let mut slots = usize::from(captures);
        Action::walk(actions, &mut |action| {
            feeds.extend(variables(action).into_iter().filter_map(feed_of));
            // Teardown brings captures of its own, which nobody has counted.
            slots =
                capture_slots(action).into_iter().map(|slot| usize::from(slot) + 1).fold(slots, usize::max);
        });
        feeds.sort_unstable();
        feeds.dedup();
        let mut writer = Writer { plan, target, script: Vec::new() };
        writer.actions(actions)?;
        Ok(Self { actions: writer.script, captures: slots, feeds, rest: None })
    }

    /// The script of a scenario, whose users rest.
    pub(crate) fn resting(mut self, scenario: &Scenario) -> Self {
        let (think_time, pacing) = (scenario.think_time, scenario.pacing);
        if think_time.is_some() || pacing.is_some() {
            let pacing = pacing.map_or(0, |pacing| u64::try_from(pacing.as_nanos()).unwrap_or(u64::MAX));
            self.rest = Some(Box::new(Rest { think_time, pacing }));
        }
        self
    }
}

/// Writes actions one behind the other.
struct Writer<'a> {
    plan: &'a RunPlan,
    target: &'a Target,
    script: Vec<Instruction>,
}

impl Writer<'_> {
    fn actions(&mut self, actions: &[Action]) -> Result<(), CompileError> {
        actions.iter().try_for_each(|action| self.action(action))
    }

    fn action(&mut self, action: &Action) -> Result<(), CompileError> {
        match action {
            Action::Request(request) => {
                let step = self.step(request)?;
                self.script.push(Instruction::Request(Box::new(step)));
            }
            Action::Pause(range) => self.script.push(Instruction::Pause(*range)),
            Action::Set(assignments) => {
                let values = assignments.iter().map(|set| (usize::from(set.slot), set.value.clone()));
                self.script.push(Instruction::Set(values.collect()));
            }
            Action::Group(group) => {
                self.script.push(Instruction::Enter(group.group));
                self.actions(&group.actions)?;
                self.script.push(Instruction::Leave);
            }
            Action::Repeat(repeat) => self.repeat(repeat)?,
            Action::If(choice) => self.choice(choice)?,
            Action::OneOf(branches) => self.one_of(branches)?,
            Action::Parallel(group) => {
                let mut steps = Vec::new();
                Action::requests(&group.actions, &mut |request| steps.push(self.step(request)));
                let steps = steps.into_iter().collect::<Result<_, _>>()?;
                let parallel = Parallel { group: group.group, steps };
                self.script.push(Instruction::Parallel(Box::new(parallel)));
            }
        }
        Ok(())
    }

    fn step(&self, request: &Request) -> Result<Step, CompileError> {
        Step::new(self.plan, self.target, request)
    }

    /// Leaves room for an instruction that has to know where others end.
    fn later(&mut self) -> usize {
        self.script.push(Instruction::Jump(0));
        self.script.len() - 1
    }

    fn repeat(&mut self, repeat: &Repeat) -> Result<(), CompileError> {
        let begin = self.later();
        let start = self.script.len();
        self.actions(&repeat.actions)?;
        self.script.push(Instruction::Again { start });
        let times = repeat.min..repeat.max.saturating_add(1);
        self.script[begin] = Instruction::Repeat { times, end: self.script.len() };
        Ok(())
    }

    fn choice(&mut self, choice: &If) -> Result<(), CompileError> {
        let is = CompiledComparison::new(&choice.is)
            .map_err(|reason| CompileError { step: "if".to_owned(), reason })?;
        let condition = self.later();
        self.actions(&choice.then)?;
        let over = (!choice.otherwise.is_empty()).then(|| self.later());
        let otherwise = self.script.len();
        self.actions(&choice.otherwise)?;
        if let Some(over) = over {
            self.script[over] = Instruction::Jump(self.script.len());
        }
        let value = choice.value.clone();
        self.script[condition] = Instruction::Unless(Box::new(Condition { value, is, otherwise }));
        Ok(())
    }

    fn one_of(&mut self, branches: &[Branch]) -> Result<(), CompileError> {
        let draw = self.later();
        let (mut places, mut ends, mut sum) = (Vec::new(), Vec::new(), 0);
        for branch in branches {
            sum += u64::from(branch.weight);
            places.push((sum, self.script.len()));
            self.actions(&branch.actions)?;
            ends.push(self.later());
        }
        for end in ends {
            self.script[end] = Instruction::Jump(self.script.len());
        }
        self.script[draw] = Instruction::OneOf(places.into());
        Ok(())
    }
}

/// What an action itself fills in, and not what is within it.
fn variables(action: &Action) -> Vec<Variable> {
    match action {
        Action::Request(request) => request.templates().flat_map(Template::variables).collect(),
        Action::Set(assignments) => assignments.iter().flat_map(|set| set.value.variables()).collect(),
        Action::If(choice) => choice.value.variables().collect(),
        Action::Pause(_) | Action::Group(_) | Action::Repeat(_) | Action::OneOf(_) | Action::Parallel(_) => {
            Vec::new()
        }
    }
}

fn capture_slots(action: &Action) -> Vec<u16> {
    match action {
        Action::Request(request) => request.captures.iter().map(|capture| capture.slot).collect(),
        Action::Set(assignments) => assignments.iter().map(|set| set.slot).collect(),
        _ => Vec::new(),
    }
}

fn feed_of(variable: Variable) -> Option<u16> {
    match variable {
        Variable::Column { feed, .. } => Some(feed),
        Variable::Capture(_)
        | Variable::Setup(_)
        | Variable::Made(_)
        | Variable::Iteration
        | Variable::User
        | Variable::RunId => None,
    }
}
