//! What the reader of a plan's results should know: true plans that may not mean what they say.

use std::net::IpAddr;

use plimsoll_run::{
    Action, Feed, FeedOrder, LoadModel, Part, ProfileMoment, ProfileSource, RunPlan, Scenario, Template,
    Variable,
};
use plimsoll_sla::{Measure, Objective};
use plimsoll_units::duration;
use plimsoll_workload::{RateProfile, StageKind};
use url::{Host, Url};

use crate::diagnostic::{Finding, Place};

/// Where the parts of a plan stand.
pub(crate) struct Places {
    pub(crate) target: Option<Place>,
    pub(crate) teardown: Option<Place>,
    pub(crate) load: Place,
    pub(crate) first_stage: Place,
    pub(crate) scenarios: Vec<Place>,
    pub(crate) feeds: Vec<Place>,
    pub(crate) objectives: Vec<Place>,
    pub(crate) profiles: Option<Place>,
}

/// Everything worth saying about a plan that can be run.
pub(crate) fn advise(plan: &RunPlan, places: &Places) -> Vec<Finding> {
    let mut advice = Vec::new();
    advice.extend(own_host(plan, places));
    advice.extend(no_warmup(plan, places));
    advice.extend(no_ramp(plan, places));
    advice.extend(users_that_never_think(plan, places));
    advice.extend(teardown_of_captures(plan, places));
    advice.extend(end_of_no_known_time(plan, places));
    for (feed, place) in plan.feeds.iter().zip(&places.feeds) {
        advice.extend(few_rows(plan, feed, *place));
    }
    for (objective, place) in plan.objectives.iter().zip(&places.objectives) {
        advice.extend(too_few_requests(plan, objective, *place));
        advice.extend(never_aborts(plan, objective, *place));
    }
    advice
}

fn own_host(plan: &RunPlan, places: &Places) -> Option<Finding> {
    let url = Url::parse(&plan.target).ok()?;
    let is_own = match url.host()? {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => IpAddr::from(address).is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    is_own.then(|| {
        Finding::advice(places.target, "the target is on the generator's own host")
            .help("both share its processors: the figures say less about the target than they seem to")
    })
}

fn no_warmup(plan: &RunPlan, places: &Places) -> Option<Finding> {
    plan.load.warmup.is_zero().then(|| {
        Finding::advice(places.load, "there is no warm-up")
            .help("cold caches and new connections count in every verdict; `warmup: 10s` leaves them out")
    })
}

fn no_ramp(plan: &RunPlan, places: &Places) -> Option<Finding> {
    let jumps = match &plan.load.model {
        LoadModel::Open { stages, .. } => {
            stages.first().is_some_and(|stage| matches!(stage.kind, StageKind::Hold(_) | StageKind::Spike(_)))
        }
        LoadModel::Closed { stages, .. } => {
            stages.first().is_some_and(|stage| matches!(stage.kind, StageKind::Hold(_) | StageKind::Spike(_)))
        }
    };
    jumps.then(|| {
        Finding::advice(places.first_stage, "the load jumps to its first level")
            .help("a short ramp before it tells a slow start from a slow target")
    })
}

fn users_that_never_think(plan: &RunPlan, places: &Places) -> Option<Finding> {
    let never = |scenario: &Scenario| {
        let LoadModel::Closed { limits, .. } = load_of(plan, scenario) else { return false };
        let rests = scenario.think_time.is_some() || scenario.pacing.is_some() || limits.at_most.is_some();
        let mut thinks = false;
        Action::walk(&scenario.actions, &mut |action| {
            thinks |= matches!(action, Action::Pause(pause) if !pause.is_zero());
        });
        !rests && !thinks
    };
    let runs = |scenario: &Scenario| scenario.weight > 0 || scenario.load.is_some();
    let position = plan.scenarios.iter().position(|scenario| runs(scenario) && never(scenario))?;
    let message = format!("the users of `{}` never think", plan.scenarios[position].name);
    let help = "without a `pause` or a `think_time` they ask as fast as the target answers: users then say nothing about people";
    Some(Finding::advice(places.scenarios.get(position).copied(), message).help(help))
}

fn teardown_of_captures(plan: &RunPlan, places: &Places) -> Option<Finding> {
    let needing = crate::teardown::needs_setup(plan);
    let first = needing.first()?;
    let message = format!("`{first}` of `teardown` needs what `setup` captured");
    Some(Finding::advice(places.teardown, message).help(
        "after a run that was killed nobody knows it any more: `plimsoll runs teardown` undoes what is named by `{{ run.id }}`",
    ))
}

/// A look at what is before the end begins by the planned one.
fn end_of_no_known_time(plan: &RunPlan, places: &Places) -> Option<Finding> {
    let looks_before_end =
        |source: &ProfileSource| source.seconds.is_some() && source.at.contains(&ProfileMoment::End);
    let source =
        plan.profiles.iter().flat_map(|profiles| &profiles.sources).find(|one| looks_before_end(one))?;
    plan.loads().any(LoadModel::may_end_early).then(|| {
        let kind = source.kind.label();
        let message = format!("the profile `{kind}` at `end` may never be taken");
        Finding::advice(places.profiles, message).help(
            "with `for` it begins so much before the planned end, and a load with a number of iterations may end \
             sooner: take it at `peak`",
        )
    })
}

fn few_rows(plan: &RunPlan, feed: &Feed, place: Place) -> Option<Finding> {
    let rows = feed.table.rows();
    if rows == 1 {
        let message = format!("the feed `{}` has one row", feed.name);
        return Some(
            Finding::advice(place, message).help("every iteration sends the same, which caches answer well"),
        );
    }
    let needed = rows_needed(plan, &feed.name)?;
    let is_short = feed.order == FeedOrder::Unique && (rows as f64) < needed.floor();
    is_short.then(|| {
        let message = format!(
            "the feed `{}` hands out each row once and has {rows} rows for about {needed:.0} iterations",
            feed.name
        );
        Finding::advice(place, message)
            .help("when they run out the run fails; `sequential` and `shuffled` start again")
    })
}

/// The load that a scenario is part of.
fn load_of<'p>(plan: &'p RunPlan, scenario: &'p Scenario) -> &'p LoadModel {
    scenario.load.as_ref().unwrap_or(&plan.load.model)
}

/// The share of a scenario among the iterations of its load.
fn share(plan: &RunPlan, scenario: &Scenario) -> f64 {
    if scenario.load.is_some() {
        return 1.0;
    }
    let sharing = plan.scenarios.iter().filter(|scenario| scenario.load.is_none());
    let total: f64 = sharing.map(|scenario| f64::from(scenario.weight)).sum();
    f64::from(scenario.weight) / total
}

/// How many iterations have templates that name a feed, where the plan says how many there are.
fn rows_needed(plan: &RunPlan, feed: &str) -> Option<f64> {
    let wanted = plan.feeds.iter().position(|known| known.name == feed)?;
    let names = |template: &Template| {
        template.parts.iter().any(|part| {
            matches!(part, Part::Variable(Variable::Column { feed, .. }) if usize::from(*feed) == wanted)
        })
    };
    let draws = |scenario: &&Scenario| {
        let mut draws = false;
        Action::walk(&scenario.actions, &mut |action| {
            draws |= match action {
                Action::Request(request) => request.templates().any(names),
                Action::Set(values) => values.iter().any(|set| names(&set.value)),
                Action::If(choice) => names(&choice.value),
                _ => false,
            };
        });
        draws
    };
    let drawing = plan.scenarios.iter().filter(draws);
    drawing.map(|scenario| Some(load_of(plan, scenario).iterations()? * share(plan, scenario))).sum()
}

/// A quantile needs values: with fewer than 1/(1-q) it is not given, and the verdict stays open.
fn too_few_requests(plan: &RunPlan, objective: &Objective, place: Place) -> Option<Finding> {
    let Measure::Quantile(quantile, _) = objective.expression.measure else { return None };
    let LoadModel::Open { stages, .. } = &plan.load.model else { return None };
    if plan.has_own_loads() {
        return None;
    }
    let profile = RateProfile::new(stages);
    let seconds = profile.length().as_secs_f64();
    // Mean requests per second over all stages: a rough figure is enough for advice.
    let mut rate = 0.0;
    for (index, shape) in plan.steps.iter().enumerate() {
        let Some(scenario) = shape.scenario_index.and_then(|index| plan.scenarios.get(usize::from(index)))
        else {
            continue;
        };
        let wanted = objective.filter.steps.as_ref().is_none_or(|steps| steps.contains(&(index as u16)));
        if wanted {
            rate += profile.total() / seconds * share(plan, scenario);
        }
    }
    let judged = match objective.over {
        Some(over) => f64::from(over),
        None => seconds - plan.load.warmup.as_secs_f64(),
    };
    let expected = rate * judged;
    (expected < quantile.fewest() as f64).then(|| {
        let what = if objective.over.is_some() { "a window has" } else { "the run has" };
        let message =
            format!("{quantile} needs {} requests, and {what} about {expected:.0}", quantile.fewest());
        Finding::advice(place, message).help(
            "with fewer the verdict is inconclusive: ask for a lower quantile, a longer time or more load",
        )
    })
}

fn never_aborts(plan: &RunPlan, objective: &Objective, place: Place) -> Option<Finding> {
    let (over, abort_after) = (objective.over?, objective.abort_after?);
    if plan.loads().any(LoadModel::may_end_early) {
        return None;
    }
    let length = plan.loads().map(LoadModel::length).max()?;
    let left = length.saturating_sub(plan.load.warmup).as_secs();
    (u64::from(over) + u64::from(abort_after) > left + 1).then(|| {
        let left = duration::format(std::time::Duration::from_secs(left));
        let message = format!("`{}` can never abort the run", objective.name);
        Finding::advice(place, message)
            .help(format!("window and `abort_after` together are longer than the {left} that are measured"))
    })
}
