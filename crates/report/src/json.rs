//! The JSON of a run: a contract. Keys keep their names and order; new ones come behind the old.

use plimsoll_measure::{Interval, LatencyFigures, Timing};
use plimsoll_run::{
    ErrorSummary, ObjectiveSummary, Resumed, ScenarioSummary, StageSummary, StepSummary, Summary,
};
use plimsoll_sla::Recovery;
use serde_json::{Map, Value, json};

use crate::calibration_json;
use crate::{Run, words};

mod measured;

pub(crate) use measured::waits;

/// The JSON of a run in figures: seconds, shares of one, requests per second; no data is `null`.
///
/// Of a run that goes on, `status` is `running` and `ended` is `null`.
pub fn json(run: &Run) -> Value {
    let summary = &run.summary;
    let figures = |timing| latency(summary.timings.get(&timing).unwrap_or(&LatencyFigures::default()));
    json!({
        "schema": 1,
        "run": identity(summary),
        "validity": validity(summary),
        "phases": summary.phases.iter().map(|phase| json!({
            "phase": phase.phase.label(),
            "requests": phase.requests,
            "failed": phase.failed,
            "dropped": phase.dropped,
            "cut": phase.cut,
        })).collect::<Vec<_>>(),
        "totals": totals(summary),
        "response_time": figures(Timing::ResponseTime),
        "service_time": figures(Timing::ServiceTime),
        "errors": summary.errors.iter().map(|kind| error(kind, run)).collect::<Vec<_>>(),
        "scenarios": summary.scenarios.iter().map(scenario).collect::<Vec<_>>(),
        "steps": summary.steps.iter().map(|one| step(one, run)).collect::<Vec<_>>(),
        "stages": summary.stages.iter().map(|one| stage(one, run)).collect::<Vec<_>>(),
        "resources": crate::resources::json(summary),
        "sla": summary.objectives.iter().map(objective).collect::<Vec<_>>(),
        "export": summary.exports.iter().map(|export| json!({
            "sink": export.sink,
            "produced": export.produced,
            "acknowledged": export.acknowledged,
            "backlog": export.backlog,
            "lost": export.lost,
        })).collect::<Vec<_>>(),
        "schedule_lag": figures(Timing::ScheduleLag),
        "wait": figures(Timing::Wait),
        "connect_time": figures(Timing::ConnectTime),
        "tls_time": figures(Timing::TlsTime),
        "first_byte_time": figures(Timing::FirstByteTime),
        "notes": summary.notes.iter().map(|note| json!({
            "at": offset(note.at),
            "text": note.text,
        })).collect::<Vec<_>>(),
        "connections": measured::connections(summary),
        "addresses": summary.addresses.iter().map(measured::address).collect::<Vec<_>>(),
        "skew": measured::skew(summary),
        "overflow": measured::overflow(summary),
        "calibration": run.started.calibration.as_ref().map(calibration_json),
        "resource_sources": crate::resources::sources_json(summary),
        "profiles": crate::profiles::json(summary),
        "samples": summary.samples.map(|samples| json!({
            "written": samples.written,
            "skipped": samples.skipped,
        })),
        "measures": crate::values::json(summary, latency),
        "recommendations": crate::recommendations(summary).iter().map(|one| json!({
            "seen": one.seen,
            "likely": one.likely.label(),
            "next": one.next,
        })).collect::<Vec<_>>(),
        "groups": crate::groups::json(summary, latency),
        "checks": crate::checks::json(summary),
        "steered": summary.steered.iter().map(|steered| json!({
            "at": steered.at,
            "effective": steered.effective,
            "scenario": steered.scenario,
            "change": steered.change.to_string(),
            "by": steered.by,
        })).collect::<Vec<_>>(),
        "resumed": summary.resumed.iter().map(resumed).collect::<Vec<_>>(),
    })
}

/// The JSON Schema that every [`json()`] validates against.
pub fn json_schema() -> Value {
    serde_json::from_str(include_str!("../schema/run.schema.json"))
        .unwrap_or_else(|error| unreachable!("the schema is a constant of this crate: {error}"))
}

fn identity(summary: &Summary) -> Value {
    let info = &summary.info;
    json!({
        "id": info.id,
        "plan": summary.plan,
        "plan_hash": summary.plan_hash,
        "started": words::moment(info.started_nanos),
        "ended": summary.status.map(|_| words::moment(summary.ended_nanos)),
        "duration_seconds": summary.duration_seconds,
        "status": words::status_word(summary),
        "seed": info.seed,
        "version": info.version,
        "environment": info.environment,
        "tags": info.tags,
        "machine": {
            "host": info.machine.host,
            "cpu": info.machine.cpu,
            "cores": info.machine.cores,
            "memory_bytes": info.machine.memory_bytes,
            "system": info.machine.system,
            "fingerprint": info.machine.fingerprint,
        },
        "plimsoll": info.plimsoll,
        "model": summary.model.label(),
        "target": info.target,
        "reason": summary.reason,
        "measured_seconds": summary.measured_seconds,
        "warmup_seconds": summary.warmup_seconds,
    })
}

/// Where a run went on after its process had died. The gap is between two seconds of the run and none of them.
fn resumed(resumed: &Resumed) -> Value {
    json!({
        "at": offset(resumed.at),
        "away_from": words::moment(resumed.away_from_nanos()),
        "away_until": words::moment(resumed.wall_nanos),
        "away_seconds": resumed.away as f64 / 1e9,
        "cut": resumed.cut,
    })
}

fn validity(summary: &Summary) -> Value {
    let report = &summary.validity;
    let lag = &report.schedule_lag;
    json!({
        "verdict": report.verdict.label(),
        "reasons": report.reasons,
        "schedule_lag": { "p50": lag.p50, "p99": lag.p99, "p99_9": lag.p99_9, "max": lag.max },
        "generator_drops": report.generator_drops,
        "generator_cpu_ratio": report.generator_cpu_ratio,
        "remarks": report.remarks,
    })
}

fn totals(summary: &Summary) -> Value {
    let totals = &summary.totals;
    json!({
        "iterations": totals.iterations,
        "requests": totals.requests,
        "succeeded": totals.succeeded,
        "failed": totals.failed,
        "dropped": totals.dropped,
        "cut": totals.cut,
        "received_bytes": totals.received_bytes,
        "sent_bytes": totals.sent_bytes,
        "throughput": totals.throughput,
        "request_rate": totals.request_rate,
        "error_ratio": totals.error_ratio,
        "availability": totals.error_ratio.map(|ratio| 1.0 - ratio),
        "arrivals": totals.arrivals,
        "dropped_ratio": totals.dropped_ratio,
    })
}

fn latency(figures: &LatencyFigures) -> Value {
    json!({
        "count": figures.count,
        "min": figures.min,
        "mean": figures.mean,
        "stddev": figures.stddev,
        "max": figures.max,
        "p50": figures.p50,
        "p75": figures.p75,
        "p90": figures.p90,
        "p95": figures.p95,
        "p99": figures.p99,
        "p99_9": figures.p99_9,
        "p99_99": figures.p99_99,
        "intervals": {
            "p50": interval(figures.intervals.p50),
            "p75": interval(figures.intervals.p75),
            "p90": interval(figures.intervals.p90),
            "p95": interval(figures.intervals.p95),
            "p99": interval(figures.intervals.p99),
            "p99_9": interval(figures.intervals.p99_9),
            "p99_99": interval(figures.intervals.p99_99),
        },
    })
}

fn interval(interval: Option<Interval>) -> Value {
    interval.map_or(Value::Null, |Interval { low, high }| json!([low, high]))
}

fn error(kind: &ErrorSummary, run: &Run) -> Value {
    let samples = kind.samples.iter().map(|sample| {
        json!({
            "step": run.step_of(sample),
            "message": sample.message,
            "first": offset(sample.first),
            "last": offset(sample.last),
            "count": sample.count,
        })
    });
    json!({
        "kind": kind.outcome.label(),
        "count": kind.count,
        "samples": samples.collect::<Vec<_>>(),
    })
}

fn scenario(scenario: &ScenarioSummary) -> Value {
    json!({
        "name": scenario.name,
        "users": scenario.users,
        "iterations": scenario.iterations,
        "iterations_failed": scenario.iterations_failed,
        "requests": scenario.requests,
        "failed": scenario.failed,
        "throughput": scenario.throughput,
        "response_time": latency(&scenario.response_time),
        "iteration_time": latency(&scenario.iteration_time),
    })
}

fn step(step: &StepSummary, run: &Run) -> Value {
    let statuses: Map<_, _> =
        step.statuses.iter().map(|(status, count)| (status.to_string(), json!(count))).collect();
    json!({
        "scenario": step.scenario,
        "step": step.step,
        "requests": step.requests,
        "failed": step.failed,
        "throughput": step.throughput,
        "received_bytes": step.received_bytes,
        "response_time": latency(&step.response_time),
        "service_time": latency(&step.service_time),
        "statuses": statuses,
        "slowest": measured::kept(&step.slowest, run),
        "first_failed": measured::kept(&step.first_failed, run),
        "failed_sample": measured::kept(&step.failed_sample, run),
    })
}

fn stage(stage: &StageSummary, run: &Run) -> Value {
    json!({
        "index": stage.index,
        "scenario": stage.scenario,
        "kind": stage.shape.kind,
        "started": stage.shape.start,
        "ended": stage.shape.end,
        "offered": run.of_stage(stage, stage.offered),
        "throughput": run.of_stage(stage, stage.throughput),
        "error_ratio": stage.error_ratio,
        "response_time": latency(&stage.response_time),
        "recovery_seconds": stage.recovery.and_then(Recovery::seconds),
        "from": stage.shape.from,
        "to": stage.shape.to,
        "steered": stage.steered,
    })
}

pub(crate) fn objective(objective: &ObjectiveSummary) -> Value {
    let judgement = &objective.judgement;
    json!({
        "name": objective.name,
        "objective": objective.text,
        "severity": objective.severity.label(),
        "verdict": judgement.verdict.label(),
        "observed": judgement.observed,
        "target": judgement.target,
        "why": judgement.why,
    })
}

/// Seconds from the start of the run.
fn offset(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn check_against_schema(value: &Value) {
        let validator = jsonschema::draft202012::new(&json_schema()).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    #[test]
    fn the_contract_stays_as_it_is() {
        let value = json(&fixture::run());
        fixture::golden("report.json", &format!("{value:#}\n"));
        check_against_schema(&value);
    }

    #[test]
    fn keys_stand_in_the_order_of_the_contract() {
        let value = json(&fixture::run());
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let contract = [
            "schema",
            "run",
            "validity",
            "phases",
            "totals",
            "response_time",
            "service_time",
            "errors",
            "scenarios",
            "steps",
            "stages",
            "resources",
            "sla",
            "export",
        ];
        assert_eq!(keys[..contract.len()], contract);
    }

    #[test]
    fn no_data_is_null() {
        let value = json(&fixture::nothing());
        check_against_schema(&value);
        assert_eq!(value["response_time"]["p50"], Value::Null);
        assert_eq!(value["totals"]["throughput"], Value::Null);
        assert_eq!(value["run"]["ended"], Value::Null);
        assert_eq!(value["run"]["status"], "running");
    }

    #[test]
    fn it_says_where_a_run_went_on_and_how_long_nobody_was_there() {
        let value = json(&fixture::resumed());
        let began = fixture::run().started.info.started_nanos;
        let after = |seconds: i64| words::moment(began + seconds * 1_000_000_000);
        assert_eq!(
            value["resumed"],
            json!([
                { "at": 20.0, "away_from": after(20), "away_until": after(110), "away_seconds": 90.0, "cut": 3 },
                { "at": 40.0, "away_from": after(40), "away_until": after(640), "away_seconds": 600.0, "cut": 0 },
            ])
        );
        check_against_schema(&value);
        assert_eq!(json(&fixture::run())["resumed"], json!([]));
    }

    #[test]
    fn a_stage_that_was_all_warm_up_has_no_rates() {
        let mut run = fixture::run();
        run.summary.warmup_seconds = run.summary.stages[0].shape.end;
        let value = json(&run);
        check_against_schema(&value);
        assert_eq!(value["stages"][0]["offered"], Value::Null);
        assert!(value["stages"][1]["offered"].is_number());
    }

    #[test]
    fn the_schema_refuses_what_is_no_run() {
        let validator = jsonschema::draft202012::new(&json_schema()).unwrap();
        let good = json(&fixture::run());
        for (path, wrong) in [
            ("/run/status", json!("finished")),
            ("/totals/requests", Value::Null),
            ("/totals/error_ratio", json!(1.5)),
            ("/sla/0/verdict", json!("passed")),
            ("/response_time/p99", json!("12 ms")),
            ("/schema", json!(2)),
        ] {
            let mut value = good.clone();
            *value.pointer_mut(path).unwrap() = wrong;
            assert!(!validator.is_valid(&value), "{path}");
        }
    }
}
