//! A limit that was searched on a live system, and a step of the load, as pages and as Markdown.

use std::collections::BTreeMap;

use plimsoll_capacity::{Limit, LoadKind, Overload, Scaling, Side, TrialFigures};
use plimsoll_run::ObjectiveSummary;
use plimsoll_sla::{Bound as Promised, Measure, Objective, Severity, Verdict};
use plimsoll_units::Quantile;

use crate::chart::{Axis, Band, Bound, Chart, Line, Marks, Place, Shape};
use crate::limit::{RAMP_STEP_SECONDS, load, seconds};
use crate::told::{Fact, Sheet, Standing, Told};
use crate::words;

/// A limit with what is told beside it.
#[derive(Debug, Clone, Copy)]
pub struct LimitReport<'a> {
    /// What the search found.
    pub limit: &'a Limit,
    /// The objectives of the plan: the first quantile of response time among them is drawn.
    pub objectives: &'a [Objective],
    /// What is left beyond the limit.
    pub overloads: &'a [Overload],
    /// What was promised of that, and whether it was kept.
    pub promised: &'a [ObjectiveSummary],
}

/// The report as one HTML document that needs no network.
pub fn limit_html(report: &LimitReport) -> String {
    told(report).html()
}

/// The same facts in GitHub-flavoured Markdown, without the charts. Names and sentences are escaped.
pub fn limit_markdown(report: &LimitReport) -> String {
    told(report).markdown()
}

/// How a step of the load was taken, as one HTML document that needs no network.
pub fn scaling_html(plan: &str, scaling: &Scaling) -> String {
    step(plan, scaling).html()
}

/// The same facts in GitHub-flavoured Markdown. Names are escaped.
pub fn scaling_markdown(plan: &str, scaling: &Scaling) -> String {
    step(plan, scaling).markdown()
}

fn told(report: &LimitReport) -> Told {
    let LimitReport { limit, overloads, .. } = report;
    let charts = [
        Some(times(report)),
        Some(course(limit)),
        errors(limit),
        Some(throughput(limit)),
        beyond(limit, overloads),
    ];
    Told {
        about: "Limit",
        kind: "Search for the limit",
        name: limit.plan.clone(),
        standing: standing(limit),
        headline: headline(limit),
        caveats: caveats(report),
        figures: figures(report),
        sentences: Vec::new(),
        charts: charts.into_iter().flatten().collect(),
        sheets: vec![overload_sheet(overloads), promises(report.promised), trials(limit)],
        notes: limit.warnings.clone(),
    }
}

fn standing(limit: &Limit) -> Standing {
    let (word, class) = match (limit.gap.low, limit.gap.high) {
        _ if limit.side == Some(Side::Generator) => ("this machine was the limit", "inconclusive"),
        (Some(_), Some(_)) if limit.gap.is_sure => ("found", "met"),
        (Some(_), Some(_)) => ("unsure", "inconclusive"),
        (Some(_), None) => ("not reached", "none"),
        (None, Some(_)) => ("not even the lowest load", "missed"),
        (None, None) => ("nothing is known", "inconclusive"),
    };
    Standing { word: word.to_owned(), class }
}

fn headline(limit: &Limit) -> String {
    let unit = |value: f64| load(value, limit.is_users);
    let mut text = match (limit.gap.low, limit.gap.high) {
        (Some(low), Some(high)) => {
            format!("{} was kept and {} was missed", unit(low), unit(high))
        }
        (Some(low), None) => format!("At least {}: nothing above was missed or tried", unit(low)),
        (None, Some(high)) => format!("Below {}: not even that was kept", unit(high)),
        (None, None) => "No trial came to its end".to_owned(),
    };
    if let Some(side) = &limit.side {
        let symptom = limit.first_symptom.as_deref().unwrap_or("it showed no reason");
        text += &format!("; limited by {}: {symptom}", who(side));
    }
    text + "."
}

fn who(side: &Side) -> String {
    match side {
        Side::Resource(name) => format!("the target's {name}"),
        Side::Target | Side::Generator | Side::Network => format!("the {}", side.label()),
    }
}

fn caveats(report: &LimitReport) -> Vec<String> {
    let limit = report.limit;
    let mut caveats = Vec::new();
    if limit.side == Some(Side::Generator) {
        caveats.push(
            "The machine that offers the load was at its end first: what lies above is not known.".to_owned(),
        );
    } else if limit.gap.low.is_some() && limit.gap.high.is_some() && !limit.gap.is_sure {
        caveats.push("Looks disagree: take the interval and not its middle.".to_owned());
    }
    let spoiled = report.overloads.iter().filter(|overload| !overload.is_valid).count();
    if spoiled > 0 {
        caveats.push(format!(
            "This machine did not offer all of {spoiled} of {} overloads.",
            report.overloads.len()
        ));
    }
    caveats
}

fn figures(report: &LimitReport) -> Vec<Fact> {
    let limit = report.limit;
    let unit = |value: Option<f64>| {
        value.map_or_else(|| words::NO_DATA.to_owned(), |value| load(value, limit.is_users))
    };
    let interval = match (limit.gap.low, limit.gap.high) {
        (Some(_), Some(_)) => {
            format!("between {}, kept, and {}, missed", unit(limit.gap.low), unit(limit.gap.high))
        }
        (Some(_), None) => format!("{} was kept", unit(limit.gap.low)),
        (None, Some(_)) => format!("{} was missed", unit(limit.gap.high)),
        (None, None) => String::new(),
    };
    let at_once =
        limit.concurrent_users.map(|users| format!("{} iterations at once", words::significant(users)));
    let mut figures = vec![
        Fact::new("Limit", unit(limit.gap.estimate()), interval),
        Fact::new("Answered well at it", words::rate(limit.max_throughput), at_once.unwrap_or_default()),
    ];
    if let Some(side) = &limit.side {
        let what = match side {
            Side::Resource(name) => name.clone(),
            Side::Target | Side::Generator | Side::Network => side.label().to_owned(),
        };
        figures.push(Fact::new("What limits", what, limit.first_symptom.clone().unwrap_or_default()));
    }
    if let Some(worst) = least_retained(report.overloads) {
        figures.push(Fact::new(
            "Goodput retained",
            words::ratio(worst.retained),
            format!("at {} times the limit, the least of {}", worst.factor, report.overloads.len()),
        ));
    }
    let ramp = limit
        .requests_of_a_ramp(RAMP_STEP_SECONDS)
        .map(|ramp| format!("a ramp as fine takes {}", words::count(ramp.round() as u64)));
    let trials = format!("{} trials", limit.trials.len());
    figures.push(Fact::new(
        "Requests",
        words::count(limit.requests()),
        [Some(trials), ramp].into_iter().flatten().collect::<Vec<_>>().join("; "),
    ));
    figures
}

fn least_retained(overloads: &[Overload]) -> Option<&Overload> {
    let known = overloads.iter().filter(|overload| overload.retained.is_some());
    known.min_by(|one, other| one.retained.unwrap_or(0.0).total_cmp(&other.retained.unwrap_or(0.0)))
}

/// How the trials of a load went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Went {
    Kept,
    Missed,
    /// As often kept as missed.
    Unsure,
}

impl Went {
    const ALL: [Self; 3] = [Self::Kept, Self::Missed, Self::Unsure];

    fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Missed => "missed",
            Self::Unsure => "undecided: kept as often as missed",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Missed => "missed",
            Self::Unsure => "unsure",
        }
    }

    fn shape(self) -> Shape {
        match self {
            Self::Kept => Shape::Dot,
            Self::Missed => Shape::Cross,
            Self::Unsure => Shape::Diamond,
        }
    }
}

/// Each trial with how it went, in their order.
fn outcomes(limit: &Limit) -> Vec<(&TrialFigures, Went)> {
    let mut votes: BTreeMap<u64, i64> = BTreeMap::new();
    for trial in &limit.trials {
        *votes.entry(trial.load.to_bits()).or_default() += if trial.kept { 1 } else { -1 };
    }
    let went = |trial: &TrialFigures| match votes.get(&trial.load.to_bits()) {
        Some(0) => Went::Unsure,
        _ if trial.kept => Went::Kept,
        _ => Went::Missed,
    };
    limit.trials.iter().map(|trial| (trial, went(trial))).collect()
}

/// Places of trials, those of one kind together.
fn marks(limit: &Limit, value: impl Fn(&TrialFigures) -> Option<f64>) -> Vec<Marks> {
    let all = outcomes(limit);
    let of = |kind: Went| {
        let of_kind = all.iter().filter(|(_, went)| *went == kind);
        let places =
            of_kind.filter_map(|(trial, _)| Some(Place { x: trial.load, y: value(trial)?, within: None }));
        Marks {
            name: kind.word().to_owned(),
            class: kind.class(),
            shape: kind.shape(),
            places: places.collect(),
        }
    };
    Went::ALL.into_iter().map(of).filter(|marks| !marks.places.is_empty()).collect()
}

/// The stretch of load within which the limit lies.
fn gap(limit: &Limit) -> Vec<Band> {
    let ends = limit.gap.low.zip(limit.gap.high).into_iter();
    ends.map(|(from, to)| Band { from, to, class: "limit", label: String::new() }).collect()
}

fn axis(limit: &Limit) -> Axis {
    Axis::Load(if limit.is_users { LoadKind::Users } else { LoadKind::Rate })
}

fn against(limit: &Limit) -> &'static str {
    if limit.is_users { "users" } else { "arrivals per second" }
}

/// How much of an id tells runs of one history apart: its milliseconds.
const ID: usize = 13;

/// The quantiles that every trial has.
const QUANTILES: [Quantile; 3] = [Quantile::P50, Quantile::P95, Quantile::P99];

/// The quantile that is judged, of those that trials have, with its bound; p95 where none is.
fn judged(objectives: &[Objective]) -> (Quantile, Option<Bound>) {
    let of_trials = objectives.iter().find_map(|objective| {
        let Measure::Quantile(quantile, plimsoll_measure::Timing::ResponseTime) =
            objective.expression.measure
        else {
            return None;
        };
        let Promised::Value(value) = objective.expression.bound else { return None };
        let bound = Bound { name: objective.text.clone(), class: Bound::PROMISE, value };
        QUANTILES.contains(&quantile).then_some((quantile, Some(bound)))
    });
    of_trials.unwrap_or((Quantile::P95, None))
}

fn times(report: &LimitReport) -> Chart {
    let limit = report.limit;
    let (quantile, bound) = judged(report.objectives);
    let at = QUANTILES.iter().position(|known| *known == quantile).unwrap_or(1);
    let marks = marks(limit, |trial| trial.response_time[at]);
    let values = marks.iter().flat_map(|marks| marks.places.iter().map(|place| place.y));
    let y = Axis::for_times_over(10.0, values.chain(bound.as_ref().map(|bound| bound.value)));
    let scale = if y == Axis::TimeInDecades { " (logarithmic)" } else { "" };
    Chart {
        title: format!("The search: {quantile} of response time against {}{scale}", against(limit)),
        x: axis(limit),
        y,
        bands: gap(limit),
        bounds: bound.into_iter().collect(),
        marks,
        ..Chart::default()
    }
}

/// Only where any request failed.
fn errors(limit: &Limit) -> Option<Chart> {
    let any = limit.trials.iter().any(|trial| trial.error_ratio.is_some_and(|ratio| ratio > 0.0));
    any.then(|| Chart {
        title: format!("The search: failed requests against {}", against(limit)),
        x: axis(limit),
        y: Axis::Share,
        bands: gap(limit),
        marks: marks(limit, |trial| trial.error_ratio),
        ..Chart::default()
    })
}

/// Which load was tried when, and what was found.
fn course(limit: &Limit) -> Chart {
    let all = outcomes(limit);
    let of = |kind: Went| {
        let of_kind = (1..).zip(&all).filter(|(_, (_, went))| *went == kind);
        let places =
            of_kind.map(|(number, (trial, _))| Place { x: f64::from(number), y: trial.load, within: None });
        Marks {
            name: kind.word().to_owned(),
            class: kind.class(),
            shape: kind.shape(),
            places: places.collect(),
        }
    };
    let bounds = [("kept", limit.gap.low), ("missed", limit.gap.high)];
    let bound = |(word, value): (&str, Option<f64>)| {
        let value = value?;
        let name = format!("{} was {word}", load(value, limit.is_users));
        Some(Bound { name, class: if word == "kept" { "traffic" } else { Bound::PROMISE }, value })
    };
    Chart {
        title: format!("The search: {} of each trial, in their order", against(limit)),
        x: Axis::Count,
        y: if limit.is_users { Axis::Count } else { Axis::PerSecond },
        bounds: bounds.into_iter().filter_map(bound).collect(),
        marks: Went::ALL.into_iter().map(of).filter(|marks| !marks.places.is_empty()).collect(),
        ..Chart::default()
    }
}

fn throughput(limit: &Limit) -> Chart {
    Chart {
        title: format!("The search: requests answered well per second against {}", against(limit)),
        x: axis(limit),
        y: Axis::PerSecond,
        bands: gap(limit),
        marks: marks(limit, |trial| trial.throughput),
        ..Chart::default()
    }
}

/// What is answered beyond the limit.
fn beyond(limit: &Limit, overloads: &[Overload]) -> Option<Chart> {
    if overloads.is_empty() {
        return None;
    }
    let mut sorted: Vec<&Overload> = overloads.iter().collect();
    sorted.sort_by(|one, other| one.load.total_cmp(&other.load));
    let line = |name: &str, class, value: fn(&Overload) -> Option<f64>| Line {
        name: name.to_owned(),
        class,
        points: sorted.iter().map(|overload| (overload.load, value(overload))).collect(),
    };
    let mut answered = line("answered well", "p50", |overload| Some(overload.answered));
    // The curve begins at the limit, which says how much is lost beyond it.
    answered.points.splice(0..0, limit.gap.low.map(|low| (low, limit.max_throughput)));
    let in_time = line("of them in time", "p95 dashed", |overload| overload.in_time);
    let has_time = sorted.iter().any(|overload| overload.in_time.is_some());
    let dots = |line: &Line, class, shape| Marks {
        name: line.name.clone(),
        class,
        shape,
        places: line
            .points
            .iter()
            .filter_map(|(x, y)| Some(Place { x: *x, y: (*y)?, within: None }))
            .collect(),
    };
    let mut marks = vec![dots(&answered, "p50", Shape::Dot)];
    marks.extend(has_time.then(|| dots(&in_time, "p95", Shape::Diamond)));
    let lines = std::iter::once(answered).chain(has_time.then_some(in_time)).collect();
    Some(Chart {
        title: "At the limit and beyond: answers per second against arrivals per second".to_owned(),
        x: Axis::Load(LoadKind::Rate),
        y: Axis::PerSecond,
        lines,
        marks,
        ..Chart::default()
    })
}

fn overload_sheet(overloads: &[Overload]) -> Sheet {
    let rows = overloads.iter().map(|overload| {
        vec![
            format!("{} times", overload.factor),
            load(overload.load, false),
            words::rate(Some(overload.answered)),
            words::rate(overload.in_time),
            words::ratio(overload.retained),
            words::count(overload.refused),
            words::count(overload.timed_out),
            words::count(overload.dropped),
            overload
                .recovery_seconds
                .map_or_else(|| "not while watched".to_owned(), |recovery| format!("{recovery:.0} s")),
            if overload.is_valid { String::new() } else { "this machine did not offer all of it".to_owned() },
        ]
    });
    let columns = [
        "The limit",
        "Offered",
        "Answered well",
        "In time",
        "Goodput retained",
        "Refused",
        "Timed out",
        "Dropped",
        "Itself again after",
        "Remarks",
    ];
    let mut sheet = Sheet::new("Beyond the limit", &columns, 1..9, rows.collect());
    sheet.below = (!overloads.is_empty()).then(|| {
        "Goodput retained is what was answered well, and in time where that is promised, as a share of the \
         throughput at the limit."
            .to_owned()
    });
    sheet
}

fn promises(promised: &[ObjectiveSummary]) -> Sheet {
    let rows = promised.iter().map(|objective| {
        let severity = if objective.severity == Severity::Critical { "" } else { " (warning)" };
        let verdict = objective.judgement.verdict;
        let mark = match verdict {
            Verdict::Met | Verdict::Missed | Verdict::Inconclusive => verdict.label(),
        };
        vec![
            objective.name.clone(),
            objective.text.clone(),
            format!("{mark}{severity}"),
            objective.judgement.why.clone(),
        ]
    });
    Sheet::new("Promised beyond the limit", &["Name", "Objective", "Verdict", "Why"], 0..0, rows.collect())
}

fn trials(limit: &Limit) -> Sheet {
    let rows = outcomes(limit).into_iter().enumerate().map(|(index, (trial, _))| {
        let [p50, p95, p99] = trial.response_time;
        vec![
            (index + 1).to_string(),
            load(trial.load, limit.is_users),
            if trial.kept { "kept" } else { "missed" }.to_owned(),
            format!("{:.0} s", trial.seconds),
            words::count(trial.requests),
            words::rate(trial.throughput),
            words::seconds(p50),
            words::seconds(p95),
            words::seconds(p99),
            words::ratio(trial.error_ratio),
            trial.why.clone().unwrap_or_default(),
            trial.run.chars().take(ID).collect(),
        ]
    });
    let columns = [
        "Trial",
        "Load",
        "Verdict",
        "Measured",
        "Requests",
        "Answered well",
        "p50",
        "p95",
        "p99",
        "Errors",
        "Why",
        "Run",
    ];
    Sheet::new("Trials", &columns, 1..10, rows.collect())
}

fn step(plan: &str, scaling: &Scaling) -> Told {
    let (word, class) = match scaling.is_kept() {
        _ if !scaling.is_valid => ("this machine was disturbed", "inconclusive"),
        true => ("kept", "met"),
        false => ("missed", "missed"),
    };
    let settled =
        scaling.settled_seconds.map_or_else(|| words::NO_DATA.to_owned(), |after| format!("{after:.0} s"));
    let worst = scaling.worst_seconds.map_or_else(|| words::NO_DATA.to_owned(), seconds);
    let within = format!("{:.0} s are allowed", scaling.within_seconds);
    let band = format!("settled is up to {} times that", scaling.band);
    let mut figures = vec![
        Fact::new(
            "Step",
            format!("{} to {}", load(scaling.from, false), load(scaling.to, false)),
            String::new(),
        ),
        Fact::new("Settled after", settled, within),
        Fact::new("Response time before", seconds(scaling.baseline_seconds), format!("the mean; {band}")),
        Fact::new("At worst after", worst, "the mean of a second".to_owned()),
    ];
    if let Some((before, after)) = scaling.replicas {
        figures.push(Fact::new("Replicas", format!("{before} to {after}"), String::new()));
    }
    let headline = match scaling.settled_seconds {
        Some(after) => format!(
            "The target was itself again {after:.0} s after the step from {} to {}; {:.0} s are allowed.",
            load(scaling.from, false),
            load(scaling.to, false),
            scaling.within_seconds
        ),
        None => format!(
            "The target was not itself again while it was watched after the step from {} to {}; {:.0} s are allowed.",
            load(scaling.from, false),
            load(scaling.to, false),
            scaling.within_seconds
        ),
    };
    Told {
        about: "Scaling",
        kind: "Step of the load",
        name: plan.to_owned(),
        standing: Standing { word: word.to_owned(), class },
        headline,
        caveats: Vec::new(),
        figures,
        sentences: Vec::new(),
        charts: Vec::new(),
        sheets: Vec::new(),
        notes: vec![format!("run {}", scaling.run)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use plimsoll_capacity::Gap;
    use plimsoll_sla::{Expression, Filter, Judgement};
    use proptest::prelude::*;

    fn trial(load: f64, kept: bool, p95: Option<f64>, name: &str) -> TrialFigures {
        TrialFigures {
            load,
            kept,
            why: (!kept).then(|| format!("the queue grows {name}")),
            run: format!("0199-{load}"),
            seconds: if kept { 9.0 } else { 4.0 },
            requests: (load * 5.0) as u64,
            throughput: Some(load.min(792.0)),
            response_time: [p95.map(|p95| p95 * 0.9), p95, p95.map(|p95| p95 * 1.1)],
            error_ratio: Some(if load > 1000.0 { 0.02 } else { 0.0 }),
            in_flight: Some(load * 0.02),
        }
    }

    fn limit(name: &str) -> Limit {
        let trials = vec![
            trial(100.0, true, Some(0.0201), name),
            trial(200.0, true, Some(0.0203), name),
            trial(400.0, true, Some(0.021), name),
            trial(800.0, false, Some(0.31), name),
            trial(1600.0, false, None, name),
            trial(779.1, true, Some(0.025), name),
            trial(786.0, true, Some(0.04), name),
            trial(786.0, false, Some(0.09), name),
            trial(793.3, false, Some(0.12), name),
        ];
        Limit {
            plan: name.to_owned(),
            id: "0199".to_owned(),
            is_users: false,
            gap: Gap { low: Some(779.1), high: Some(793.3), is_sure: true },
            max_throughput: Some(778.9),
            concurrent_users: Some(26.0),
            first_symptom: Some(format!(
                "the queue grows: 11 ms more response time with every second {name}"
            )),
            is_saturation: true,
            side: Some(Side::Resource(name.to_owned())),
            trials,
            warnings: vec![format!("`busy` is left out {name}")],
        }
    }

    fn overload(factor: f64, name: &str) -> Overload {
        Overload {
            factor,
            load: 786.2 * factor,
            answered: 780.0 - 20.0 * factor,
            in_time: Some(700.0 - 60.0 * factor),
            retained: Some((700.0 - 60.0 * factor) / 780.0),
            refused: 7000,
            timed_out: 12,
            dropped: 3,
            recovery_seconds: (factor < 10.0).then_some(4.0),
            run: format!("0199-over {name}"),
            is_valid: factor < 10.0,
        }
    }

    fn check<T>(name: &str, limit: &Limit, factors: &[f64], check: impl FnOnce(String, String) -> T) -> T {
        let overloads: Vec<_> = factors.iter().map(|factor| overload(*factor, name)).collect();
        let text = "p95(response_time) <= 250ms";
        let objective = Objective {
            name: name.to_owned(),
            text: format!("{text} {name}"),
            expression: Expression::parse(text).unwrap(),
            over: None,
            filter: Filter::default(),
            abort_after: None,
            severity: Severity::Critical,
            message: None,
        };
        let promised = ObjectiveSummary {
            name: name.to_owned(),
            text: "goodput_retained >= 80%".to_owned(),
            figure: Measure::GoodputRetained,
            severity: Severity::Critical,
            judgement: Judgement {
                verdict: Verdict::Missed,
                observed: Some(0.12),
                target: Some(0.8),
                why: format!("12% is left at 10 times the limit {name}"),
            },
        };
        let promised = if factors.is_empty() { Vec::new() } else { vec![promised] };
        let report =
            LimitReport { limit, objectives: &[objective], overloads: &overloads, promised: &promised };
        check(limit_html(&report), limit_markdown(&report))
    }

    #[test]
    fn the_reports_stay_as_they_were_looked_at() {
        check("shop", &limit("shop"), &[2.0, 5.0, 10.0], |html, markdown| {
            fixture::golden("limit.html", &html);
            fixture::golden("limit.md", &markdown);
            for (mark, drawn) in
                [("dot kept\" cx", 16), ("dot missed\" transform", 11), ("dot unsure\" transform", 8)]
            {
                assert_eq!(
                    html.matches(mark).count(),
                    drawn,
                    "{mark}: four, three and two trials in each of four charts, less one without response times"
                );
            }
            assert!(html.contains("class=\"band limit\""), "the limit is marked");
        });
        let scaling = Scaling {
            from: 100.0,
            to: 400.0,
            within_seconds: 60.0,
            band: 1.5,
            baseline_seconds: 0.021,
            settled_seconds: Some(12.0),
            worst_seconds: Some(1.3),
            replicas: Some((1.0, 3.0)),
            run: "0199-step".to_owned(),
            is_valid: true,
        };
        fixture::golden("scaling.html", &scaling_html("shop", &scaling));
        fixture::golden("scaling.md", &scaling_markdown("shop", &scaling));
        let never = Scaling { settled_seconds: None, worst_seconds: None, replicas: None, ..scaling };
        assert!(scaling_html("shop", &never).contains("<b>missed</b>"));
    }

    #[test]
    fn a_search_that_found_nothing_has_a_report() {
        let whole = limit("shop");
        let gap = |low, high, is_sure| Limit { gap: Gap { low, high, is_sure }, ..whole.clone() };
        let none = Limit { trials: Vec::new(), side: None, max_throughput: None, ..gap(None, None, false) };
        for (limit, word) in [
            (gap(Some(779.1), Some(793.3), false), "unsure"),
            (gap(Some(779.1), None, true), "not reached"),
            (gap(None, Some(100.0), true), "not even the lowest load"),
            (none, "nothing is known"),
            (Limit { side: Some(Side::Generator), ..whole.clone() }, "this machine was the limit"),
            (Limit { is_users: true, ..whole.clone() }, "found"),
        ] {
            check("shop", &limit, &[], |html, markdown| {
                assert!(html.contains(&format!("<b>{word}</b>")), "{word}");
                assert!(markdown.starts_with(&format!("# Limit of shop: {word}\n")), "{markdown}");
                assert!(!html.contains("NaN") && !html.contains("Beyond the limit"));
            });
        }
    }

    #[test]
    fn the_page_needs_no_network() {
        check("shop", &limit("shop"), &[2.0], |html, _| {
            for word in ["src=", "href=", "@import", "url(", " style=", " onclick="] {
                assert!(!html.contains(word), "{word}");
            }
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn no_text_becomes_markup(text in "[<>\"'&/=|`a-z \u{0}-\u{1f}\u{202e}-]{0,16}") {
            let hostile = format!("{text}|\n# c <img src=x onerror=alert(1)>\"'></script><script>{text}");
            check(&hostile, &limit(&hostile), &[2.0], |html, markdown| {
                prop_assert!(!html.contains("<img") && !html.contains("\"'>"), "{hostile}");
                prop_assert_eq!(html.matches("<script").count(), 1);
                prop_assert!(!markdown.contains("\n# c") && !markdown.contains("| <img"), "{markdown}");
                Ok(())
            })?;
        }
    }
}
