//! `plimsoll validate` and `plimsoll schema`.

use plimsoll_run::{ExitCode, LoadModel, RunPlan};
use plimsoll_units::duration;
use plimsoll_workload::{RateProfile, StageKind};

use crate::arguments::ValidateArguments;
use crate::plan::{self, Changes};
use crate::{Outcome, Stop, files};

pub(crate) fn validate(arguments: &ValidateArguments) -> Outcome {
    let mut worst = ExitCode::Success;
    for path in &arguments.plans {
        match plan::load(path, Changes { set: arguments.set.clone(), ..Changes::default() }) {
            Ok(parsed) => {
                crate::say::outln!("{}: ok, {}", path.display(), describe(&parsed.plan));
                if !arguments.quiet {
                    plan::tell(&parsed.advice);
                }
            }
            Err(stop) => {
                if let Some(error) = &stop.error {
                    crate::say::errln!("error: {error:#}");
                }
                worst = stop.code;
            }
        }
    }
    Ok(worst)
}

pub(crate) fn schema() -> Outcome {
    let schema = format!("{:#}\n", plimsoll_spec::schema());
    files::put(std::path::Path::new("-"), &schema).map_err(Stop::internal)?;
    Ok(ExitCode::Success)
}

/// What a load will do, in words.
fn offers(load: &LoadModel) -> String {
    match load {
        LoadModel::Open { stages, .. } => {
            let profile = RateProfile::new(stages);
            // A log has whole requests, and its curve rounded times. Nobody reads all digits of a rate.
            let is_whole = stages.iter().any(|stage| matches!(stage.kind, StageKind::Replay(_)));
            let total = if is_whole { profile.total().round() } else { profile.total().ceil() };
            format!("{total} arrivals, {}/s at most", (profile.peak() * 100.0).round() / 100.0)
        }
        LoadModel::Closed { stages, limits } => {
            let users = format!("{} users at most", plimsoll_workload::UserProfile::new(stages).peak());
            limits
                .iterations
                .map_or(users.clone(), |iterations| format!("{iterations} iterations by {users}"))
        }
    }
}

/// What a plan will do, in a line.
fn describe(plan: &RunPlan) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let load = plan.loads().map(offers).collect::<Vec<_>>().join(" beside ");
    let length = plan.loads().map(LoadModel::length).max().unwrap_or_default();
    format!(
        "`{}`: {load}, {}, {}, {}",
        plan.name,
        duration::format(length),
        count(plan.scenarios.len(), "scenario"),
        count(plan.objectives.len() + plan.overload_objectives.len(), "objective")
    )
}
