use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_measure::{
    CheckKey, CheckSeries, CloseReason, ConnectionFigures, Distribution, DropCause, Edges, Frame, GroupKey,
    GroupSeries, IterationKey, IterationSeries, Opening, RequestCounts, SECOND, Series, SeriesKey, Single,
    Timing, ValueForm, ValueKey, ValueSeries, ValueUnit, Vitals,
};
use plimsoll_run::{Judged, ResourceScrape, RunEvent, Second, Started};
use plimsoll_sla::Verdict;

use crate::catalogue::{self as metrics, Metric};
use crate::{Exemplar, Labels, exemplars};

/// What the events of one run mean for its series, one event after the other.
///
/// Requests are grouped by their labels: the stage is no label, and steps of one name are one series.
#[derive(Debug)]
pub struct Readings {
    started: Arc<Started>,
    plan: Arc<str>,
    steps: Vec<Step>,
    scenarios: Vec<Scenario>,
    measures: Vec<Measure>,
    /// Good events and events of each objective so far.
    events: Vec<(u64, u64)>,
    /// What the connections closed so far had carried.
    carried: RequestCounts,
    /// The labels of the resources that have a level now, by source.
    resources: BTreeMap<Arc<str>, BTreeSet<Labels>>,
}

#[derive(Debug)]
struct Step {
    /// The first step with the same labels.
    first: u16,
    scenario: Arc<str>,
    step: Arc<str>,
}

#[derive(Debug)]
struct Scenario {
    first: u16,
    name: Arc<str>,
}

#[derive(Debug)]
struct Measure {
    name: Arc<str>,
    form: ValueForm,
    unit: ValueUnit,
    /// Those of its histograms, in billionths of the unit.
    edges: Edges,
}

/// What one event means.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The wall time it stands for, nanoseconds since 1970: for a second its end.
    pub wall_nanos: i64,
    /// At most one per series.
    pub readings: Vec<Reading>,
}

impl Report {
    /// How many of its readings have a value.
    pub fn points(&self) -> u64 {
        self.readings.iter().filter(|reading| reading.has_value()).count() as u64
    }
}

/// What happened to one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The metric.
    pub metric: &'static Metric,
    /// The series' labels.
    pub labels: Labels,
    /// What happened.
    pub change: Change,
    /// Single requests to look at that `change` counts too; only durations have any, few a second.
    pub exemplars: Vec<Exemplar>,
}

impl Reading {
    /// One without exemplars.
    pub fn new(metric: &'static Metric, labels: Labels, change: Change) -> Self {
        Self { metric, labels, change, exemplars: Vec::new() }
    }

    /// Whether there is something to tell: an empty histogram and a level that ends have nothing.
    pub fn has_value(&self) -> bool {
        match &self.change {
            Change::Count(_) => true,
            Change::Level(level) => level.is_some(),
            Change::Durations(durations) => durations.count() > 0,
        }
    }
}

/// What happens to a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A counter counts so many more.
    Count(u64),
    /// A gauge stands at this; `None`: there is no value now.
    Level(Option<f64>),
    /// A histogram counts these too: times in nanoseconds, anything else in billionths of its unit.
    Durations(Distribution),
}

impl Readings {
    /// Reads a run from its first event on.
    pub fn new(started: Arc<Started>) -> Self {
        let shape = &started.shape;
        let first = |equal: &dyn Fn(usize) -> bool, own: usize| (0..own).find(|at| equal(*at)).unwrap_or(own);
        let step = |(own, step): (usize, &plimsoll_run::StepShape)| Step {
            first: first(&|at| labels_of(&shape.steps[at]) == labels_of(step), own) as u16,
            scenario: step.scenario.as_str().into(),
            step: step.step.as_str().into(),
        };
        let scenario = |(own, scenario): (usize, &plimsoll_run::ScenarioShape)| Scenario {
            first: first(&|at| shape.scenarios[at].name == scenario.name, own) as u16,
            name: scenario.name.as_str().into(),
        };
        Self {
            plan: shape.plan.as_str().into(),
            steps: shape.steps.iter().enumerate().map(step).collect(),
            scenarios: shape.scenarios.iter().enumerate().map(scenario).collect(),
            measures: shape.measures.iter().map(Measure::of).collect(),
            events: vec![(0, 0); shape.objectives.len()],
            carried: RequestCounts::default(),
            resources: BTreeMap::new(),
            started,
        }
    }

    /// The run's id.
    pub fn run(&self) -> &str {
        &self.started.info.id
    }

    /// What the next event means; `None`: nothing.
    pub fn read(&mut self, event: &RunEvent) -> Option<Report> {
        match event {
            RunEvent::Started(started) => Some(Report {
                wall_nanos: started.info.started_nanos,
                readings: vec![self.run_info(Some(1.0))],
            }),
            RunEvent::Second(second) => {
                Some(Report { wall_nanos: second.wall_nanos, readings: self.second(second) })
            }
            RunEvent::Judged(judged) => {
                Some(Report { wall_nanos: self.end_of(judged.second), readings: self.judged(judged) })
            }
            RunEvent::Ended(ended) => {
                Some(Report { wall_nanos: self.after(ended.at), readings: self.ended() })
            }
            // A point has the time of a second: what only a sum is known of has no points.
            RunEvent::Stretch(_)
            | RunEvent::Phase { .. }
            | RunEvent::Steered(_)
            | RunEvent::Profile(_)
            | RunEvent::Note(_) => None,
            RunEvent::Resumed(resumed) => {
                self.started = Arc::new(self.started.seen_from(resumed));
                None
            }
        }
    }

    fn second(&mut self, second: &Second) -> Vec<Reading> {
        let mut readings = Vec::new();
        let first = |key: SeriesKey| self.first(key);
        let exemplars = exemplars::shown(&second.frame.singles.requests, &self.started.shape.edges, first);
        for (key, series) in self.grouped(&second.frame) {
            let exemplars = exemplars.get(&key).map(Vec::as_slice).unwrap_or_default();
            self.requests(key, series, exemplars, &mut readings);
        }
        for (key, series) in self.grouped_values(&second.frame) {
            self.values(key, &series, &mut readings);
        }
        for (key, series) in &second.frame.groups {
            readings.extend(self.group(*key, series));
        }
        for (key, series) in &second.frame.checks {
            self.check(*key, series, &mut readings);
        }
        for (key, series) in self.grouped_iterations(&second.frame) {
            self.iterations(key, series, &mut readings);
        }
        let gauges = &second.gauges;
        readings.extend([
            self.level(&metrics::OFFERED_RATE, gauges.offered_rate),
            self.level(&metrics::VIRTUAL_USERS, gauges.virtual_users as f64),
            self.level(&metrics::IN_FLIGHT_REQUESTS, second.frame.in_flight() as f64),
            self.level(&metrics::CONNECTIONS, gauges.connections as f64),
            self.run_info(Some(1.0)),
        ]);
        self.connections(&second.frame.connections, &mut readings);
        self.resources(&second.resources, &mut readings);
        let own = |metric, change| Reading::new(metric, Vec::new(), change);
        readings.extend(levels(&second.vitals).map(|(metric, level)| own(metric, Change::Level(level))));
        readings.extend(
            second.vitals.retransmits.map(|count| own(&metrics::GENERATOR_RETRANSMITS, Change::Count(count))),
        );
        readings
    }

    fn requests(&self, key: SeriesKey, series: Series, exemplars: &[&Single], readings: &mut Vec<Reading>) {
        let (scenario, step) = self.step_labels(key.step);
        let labels: Labels = vec![
            Arc::clone(&self.plan),
            scenario,
            step,
            key.phase.label().into(),
            key.outcome.label().into(),
        ];
        let exemplars = exemplars
            .iter()
            .filter_map(|single| exemplars::exemplar(single, &labels[2], self.after(single.sample.done)));
        let mut exemplars = exemplars.collect();
        for (timing, distribution) in series.timings {
            let mut reading =
                Reading::new(metrics::of(timing), labels.clone(), Change::Durations(distribution));
            if timing == Timing::ResponseTime {
                reading.exemplars = std::mem::take(&mut exemplars);
            }
            readings.push(reading);
        }
        let mut push = |metric: &'static Metric, change: Change| {
            readings.push(Reading::new(metric, labels.clone(), change));
        };
        push(&metrics::RECEIVED_BYTES, Change::Count(series.received_bytes));
        push(&metrics::SENT_BYTES, Change::Count(series.sent_bytes));
        let unanswered = series.requests.saturating_sub(series.statuses.values().sum());
        let statuses = series.statuses.iter().map(|(status, count)| (status.to_string(), *count));
        for (status, count) in statuses.chain((unanswered > 0).then(|| (String::new(), unanswered))) {
            let mut labels = labels.clone();
            labels.push(status.into());
            readings.push(Reading::new(&metrics::REQUESTS, labels, Change::Count(count)));
        }
    }

    fn step_labels(&self, step: u16) -> (Arc<str>, Arc<str>) {
        match self.steps.get(usize::from(step)) {
            Some(step) => (Arc::clone(&step.scenario), Arc::clone(&step.step)),
            None if step == SeriesKey::OVERFLOW_STEP => ("".into(), SeriesKey::OVERFLOW_NAME.into()),
            None => ("".into(), "".into()),
        }
    }

    fn values(&self, key: ValueKey, series: &ValueSeries, readings: &mut Vec<Reading>) {
        let Some(measure) = self.measures.get(usize::from(key.value)) else { return };
        let (scenario, step) = self.step_labels(key.step);
        let labels: Labels =
            vec![Arc::clone(&self.plan), scenario, step, key.phase.label().into(), Arc::clone(&measure.name)];
        let mut push = |metric: &'static Metric, labels: Labels, change: Change| {
            readings.push(Reading::new(metric, labels, change));
        };
        for (metric, change) in measure.changes(series) {
            push(metric, labels.clone(), change);
        }
        for (cause, count) in [("absent", series.absent), ("out_of_range", series.out_of_range)] {
            let mut labels = labels.clone();
            labels.push(cause.into());
            push(&metrics::MEASURE_MISSING, labels, Change::Count(count));
        }
    }

    fn iterations(&self, key: IterationKey, series: IterationSeries, readings: &mut Vec<Reading>) {
        let scenario = self.scenarios.get(usize::from(key.scenario));
        let scenario = scenario.map_or_else(|| "".into(), |scenario| Arc::clone(&scenario.name));
        let labels: Labels = vec![Arc::clone(&self.plan), scenario, key.phase.label().into()];
        for cause in DropCause::ALL {
            let mut labels = labels.clone();
            labels.push(cause.label().into());
            let change = Change::Count(series.dropped(cause));
            readings.push(Reading::new(&metrics::DROPPED_ARRIVALS, labels, change));
        }
        if let Some(time) = series.time {
            readings.push(Reading::new(&metrics::ITERATION_TIME, labels, Change::Durations(time)));
        }
    }

    fn group(&self, key: GroupKey, series: &GroupSeries) -> Option<Reading> {
        let group = self.started.shape.groups.get(usize::from(key.group))?;
        let labels: Labels = vec![
            Arc::clone(&self.plan),
            group.scenario.as_str().into(),
            group.group.as_str().into(),
            key.phase.label().into(),
        ];
        Some(Reading::new(&metrics::GROUP_TIME, labels, Change::Durations(series.time.clone()?)))
    }

    fn check(&self, key: CheckKey, series: &CheckSeries, readings: &mut Vec<Reading>) {
        let Some(check) = self.started.shape.checks.get(usize::from(key.check)) else { return };
        for (result, count) in [("pass", series.passed), ("fail", series.failed)] {
            let labels: Labels = vec![
                Arc::clone(&self.plan),
                check.scenario.as_str().into(),
                check.step.as_str().into(),
                key.phase.label().into(),
                check.check.as_str().into(),
                result.into(),
            ];
            readings.push(Reading::new(&metrics::CHECKS, labels, Change::Count(count)));
        }
    }

    fn connections(&mut self, figures: &ConnectionFigures, readings: &mut Vec<Reading>) {
        let plan = || vec![Arc::clone(&self.plan)];
        let with = |label: &str| vec![Arc::clone(&self.plan), label.into()];
        let mut push = |metric, labels, change| readings.push(Reading::new(metric, labels, change));
        for opening in Opening::ALL {
            let count = Change::Count(figures.opened(opening));
            match opening.tls_label() {
                Some(tls) => push(&metrics::CONNECTIONS_OPENED, with(tls), count),
                None => push(&metrics::CONNECTIONS_FAILED, plan(), count),
            }
        }
        for reason in CloseReason::ALL {
            let count = Change::Count(figures.closed(reason));
            push(&metrics::CONNECTIONS_CLOSED, with(reason.label()), count);
        }
        push(&metrics::CONNECTION_REQUESTS, plan(), Change::Count(figures.requests.sum()));
        if let Some(wait) = &figures.wait {
            push(&metrics::CONNECTION_WAIT, plan(), Change::Durations(wait.clone()));
        }
        self.carried.merge(&figures.requests);
        if let Some(ratio) = self.carried.reuse_ratio() {
            push(&metrics::CONNECTION_REUSE, plan(), Change::Level(Some(ratio)));
        }
    }

    /// Several scrapes of a source in one second are told by the last of them. What a scrape does not
    /// find any more is gone, and after a gap everything of its source is.
    fn resources(&mut self, scrapes: &[ResourceScrape], readings: &mut Vec<Reading>) {
        let mut by_source: BTreeMap<&Arc<str>, Vec<&ResourceScrape>> = BTreeMap::new();
        for scrape in scrapes {
            by_source.entry(&scrape.source).or_default().push(scrape);
        }
        for (source, scrapes) in by_source {
            let gaps = scrapes.iter().filter(|scrape| scrape.figures.is_err()).count();
            for (outcome, count) in [("ok", scrapes.len() - gaps), ("gap", gaps)] {
                let labels = vec![Arc::clone(&self.plan), Arc::clone(source), outcome.into()];
                let change = Change::Count(count as u64);
                readings.push(Reading::new(&metrics::RESOURCE_SCRAPES, labels, change));
            }
            let figures = scrapes.last().and_then(|last| last.figures.as_deref().ok()).unwrap_or_default();
            let now: BTreeMap<Labels, f64> = figures
                .iter()
                .map(|figure| {
                    let (plan, source) = (Arc::clone(&self.plan), Arc::clone(source));
                    (vec![plan, source, Arc::clone(&figure.name), figure.unit.label().into()], figure.value)
                })
                .collect();
            let known = self.resources.entry(Arc::clone(source)).or_default();
            let before = std::mem::replace(known, now.keys().cloned().collect());
            let gone =
                before.into_iter().filter(|labels| !now.contains_key(labels)).map(|labels| (labels, None));
            let gone: Vec<_> = gone.collect();
            let levels = now.into_iter().map(|(labels, value)| (labels, Some(value)));
            let levels = gone.into_iter().chain(levels);
            readings.extend(
                levels.map(|(labels, level)| Reading::new(&metrics::RESOURCE, labels, Change::Level(level))),
            );
        }
    }

    fn judged(&mut self, judged: &Judged) -> Vec<Reading> {
        let mut readings = vec![self.level(&metrics::RUN_VALIDITY, judged.validity.value())];
        let objectives = self.started.shape.objectives.iter();
        for ((objective, status), before) in objectives.zip(&judged.statuses).zip(&mut self.events) {
            let labels: Labels = vec![Arc::clone(&self.plan), objective.name.as_str().into()];
            // What breaks it right now is told before the whole run is spoilt.
            let met = match status.verdict {
                _ if status.breach.is_some() => Some(0.0),
                Some(Verdict::Met) => Some(1.0),
                Some(Verdict::Missed) => Some(0.0),
                Some(Verdict::Inconclusive) | None => None,
            };
            let mut push = |metric: &'static Metric, change: Change| {
                readings.push(Reading::new(metric, labels.clone(), change));
            };
            push(&metrics::SLA_MET, Change::Level(met));
            push(&metrics::SLA_OBSERVED, Change::Level(status.observed));
            if let (Some(good), Some(total)) = (status.good_events, status.total_events) {
                push(&metrics::SLA_GOOD_EVENTS, Change::Count(good.saturating_sub(before.0)));
                push(&metrics::SLA_EVENTS, Change::Count(total.saturating_sub(before.1)));
                *before = (good.max(before.0), total.max(before.1));
            }
        }
        readings
    }

    /// Levels end with the run; verdicts stay as its last word, and what was counted stays counted.
    fn ended(&self) -> Vec<Reading> {
        let plan: Labels = vec![Arc::clone(&self.plan)];
        let gone = |metric, labels: &Labels| Reading::new(metric, labels.clone(), Change::Level(None));
        let own = levels(&Vitals::default()).map(|(metric, _)| gone(metric, &Vec::new()));
        let mut readings = vec![
            gone(&metrics::OFFERED_RATE, &plan),
            gone(&metrics::VIRTUAL_USERS, &plan),
            gone(&metrics::IN_FLIGHT_REQUESTS, &plan),
            gone(&metrics::CONNECTIONS, &plan),
            gone(&metrics::CONNECTION_REUSE, &plan),
            self.run_info(None),
        ];
        readings.extend(own);
        readings.extend(self.resources.values().flatten().map(|labels| gone(&metrics::RESOURCE, labels)));
        readings
    }

    fn level(&self, metric: &'static Metric, level: f64) -> Reading {
        Reading::new(metric, vec![Arc::clone(&self.plan)], Change::Level(Some(level)))
    }

    fn run_info(&self, level: Option<f64>) -> Reading {
        let info = &self.started.info;
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        let labels = vec![
            Arc::clone(&self.plan),
            info.id.as_str().into(),
            text(&info.version),
            text(&info.environment),
        ];
        Reading::new(&metrics::RUN_INFO, labels, Change::Level(level))
    }

    /// The first of the series that share their labels with this one.
    fn first(&self, key: SeriesKey) -> SeriesKey {
        let step = self.steps.get(usize::from(key.step)).map_or(key.step, |step| step.first);
        SeriesKey { step, stage: None, ..key }
    }

    fn grouped(&self, frame: &Frame) -> BTreeMap<SeriesKey, Series> {
        let mut grouped: BTreeMap<SeriesKey, Series> = BTreeMap::new();
        for (key, series) in &frame.series {
            let group = grouped.entry(self.first(*key)).or_default();
            group.requests += series.requests;
            group.received_bytes += series.received_bytes;
            group.sent_bytes += series.sent_bytes;
            for (status, count) in &series.statuses {
                *group.statuses.entry(*status).or_default() += count;
            }
            for (timing, distribution) in &series.timings {
                merge(&mut group.timings, *timing, distribution);
            }
        }
        grouped
    }

    fn grouped_values(&self, frame: &Frame) -> BTreeMap<ValueKey, ValueSeries> {
        let mut grouped: BTreeMap<ValueKey, ValueSeries> = BTreeMap::new();
        for (key, series) in &frame.values {
            let step = self.steps.get(usize::from(key.step)).map_or(key.step, |step| step.first);
            grouped.entry(ValueKey { step, stage: None, ..*key }).or_default().merge(series);
        }
        grouped
    }

    fn grouped_iterations(&self, frame: &Frame) -> BTreeMap<IterationKey, IterationSeries> {
        let mut grouped: BTreeMap<IterationKey, IterationSeries> = BTreeMap::new();
        for (key, series) in &frame.iterations {
            let scenario = self.scenarios.get(usize::from(key.scenario));
            let scenario = scenario.map_or(key.scenario, |scenario| scenario.first);
            let group = grouped.entry(IterationKey { scenario, stage: None, ..*key }).or_default();
            group.dropped_in_flight_limit += series.dropped_in_flight_limit;
            group.dropped_generator += series.dropped_generator;
            match (&mut group.time, &series.time) {
                (Some(known), Some(more)) => known.merge(more),
                (known @ None, more) => known.clone_from(more),
                (_, None) => {}
            }
        }
        grouped
    }

    fn end_of(&self, second: u64) -> i64 {
        self.after(second.saturating_add(1).saturating_mul(SECOND))
    }

    fn after(&self, offset: u64) -> i64 {
        self.started.info.started_nanos.saturating_add(i64::try_from(offset).unwrap_or(i64::MAX))
    }
}

impl Measure {
    fn of(shape: &plimsoll_run::MeasureShape) -> Self {
        Self {
            name: shape.name.as_str().into(),
            form: shape.form,
            unit: shape.unit,
            edges: shape.unit.edges_in_billionths(&shape.edges),
        }
    }

    /// What its values of a second are to each of its metrics.
    fn changes(&self, series: &ValueSeries) -> Vec<(&'static Metric, Change)> {
        match (self.form, self.unit) {
            (ValueForm::Histogram, unit) => {
                let metric = match unit {
                    ValueUnit::Seconds => &metrics::MEASURE_SECONDS,
                    ValueUnit::Bytes => &metrics::MEASURE_BYTES,
                    ValueUnit::Number => &metrics::MEASURE_VALUE,
                };
                let values = series.values.iter().map(|values| unit.in_billionths(values, &self.edges));
                values.map(|values| (metric, Change::Durations(values))).collect()
            }
            (ValueForm::Counter, ValueUnit::Bytes) => {
                vec![(&metrics::MEASURE_AMOUNT_BYTES, Change::Count(series.total))]
            }
            (ValueForm::Counter, _) => vec![(&metrics::MEASURE_AMOUNT, Change::Count(series.total))],
            (ValueForm::Ratio, _) => vec![
                (&metrics::MEASURE_GOOD, Change::Count(series.total)),
                (&metrics::MEASURE_EVENTS, Change::Count(series.taken)),
            ],
        }
    }
}

/// The levels of the generator itself, which belong to the process and not to a plan.
fn levels(vitals: &Vitals) -> [(&'static Metric, Option<f64>); 17] {
    let whole = |level: Option<u64>| level.map(|level| level as f64);
    [
        (&metrics::GENERATOR_CPU, vitals.cpu_ratio),
        (&metrics::GENERATOR_WORKER_CPU, vitals.worker_cpu_ratio),
        (&metrics::GENERATOR_WORKER_WAIT, vitals.worker_wait_ratio),
        (&metrics::GENERATOR_STEAL, vitals.steal_ratio),
        (&metrics::GENERATOR_THROTTLED, vitals.throttled_ratio),
        (&metrics::GENERATOR_STALL, vitals.stall_seconds),
        (&metrics::GENERATOR_DESCRIPTORS, whole(vitals.descriptors)),
        (&metrics::GENERATOR_DESCRIPTORS_LIMIT, whole(vitals.descriptor_limit)),
        (&metrics::GENERATOR_TCP_SOCKETS, whole(vitals.tcp_sockets)),
        (&metrics::GENERATOR_TIME_WAIT_SOCKETS, whole(vitals.time_wait_sockets)),
        (&metrics::GENERATOR_LOCAL_PORTS, whole(vitals.local_ports)),
        (&metrics::GENERATOR_ROUND_TRIP, vitals.round_trip_seconds),
        (&metrics::GENERATOR_RECEIVE_QUEUE, whole(vitals.receive_queue_bytes)),
        (&metrics::GENERATOR_LINK, vitals.link_ratio),
        (&metrics::GENERATOR_RSS, whole(vitals.rss_bytes)),
        (&metrics::GENERATOR_AVAILABLE_MEMORY, whole(vitals.memory_available_bytes)),
        (&metrics::GENERATOR_MEMORY_PRESSURE, vitals.memory_pressure_ratio),
    ]
}

fn labels_of(step: &plimsoll_run::StepShape) -> (&str, &str) {
    (&step.scenario, &step.step)
}

fn merge(timings: &mut BTreeMap<Timing, Distribution>, timing: Timing, more: &Distribution) {
    match timings.get_mut(&timing) {
        Some(known) => known.merge(more),
        None => {
            timings.insert(timing, more.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    fn count(report: &Report, metric: &Metric) -> Vec<(String, u64)> {
        let labels = |labels: &Labels| labels.join(" ");
        report
            .readings
            .iter()
            .filter(|reading| reading.metric == metric)
            .map(|reading| match &reading.change {
                Change::Count(count) => (labels(&reading.labels), *count),
                Change::Level(_) => (labels(&reading.labels), 0),
                Change::Durations(durations) => (labels(&reading.labels), durations.count()),
            })
            .collect()
    }

    #[test]
    fn stages_and_steps_of_one_name_are_one_series() {
        let mut fixture = Fixture::new();
        // Steps 0 and 1 share their labels; stages 0 and 1 are no label.
        for (step, stage) in [(0, 0), (1, 0), (0, 1), (2, 0)] {
            fixture.request(step, stage, Some(200), 5_000_000);
        }
        fixture.request(0, 0, None, 5_000_000);
        let mut readings = Readings::new(fixture.started());
        let report = readings.read(&fixture.second()).unwrap();
        let requests = count(&report, &metrics::REQUESTS);
        assert_eq!(
            requests,
            [
                ("shop browse list measured ok 200".to_owned(), 3),
                ("shop browse list measured reset ".to_owned(), 1),
                ("shop browse buy measured ok 200".to_owned(), 1),
            ]
        );
        assert_eq!(
            count(&report, &metrics::RESPONSE_TIME)[0],
            ("shop browse list measured ok".to_owned(), 3)
        );
        assert_eq!(report.wall_nanos, fixture.wall_nanos(1));
    }

    #[test]
    fn no_series_is_read_twice_in_one_report() {
        let mut fixture = Fixture::busy();
        let mut readings = Readings::new(fixture.started());
        for event in [fixture.second(), fixture.judged()] {
            let report = readings.read(&event).unwrap();
            let mut seen: Vec<_> =
                report.readings.iter().map(|reading| (reading.metric.name, &reading.labels)).collect();
            let before = seen.len();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), before);
            for reading in &report.readings {
                assert_eq!(reading.labels.len(), reading.metric.labels.len(), "{}", reading.metric.name);
            }
        }
    }

    #[test]
    fn connections_are_counted_by_how_and_why() {
        let mut fixture = Fixture::new();
        fixture.connections();
        let mut readings = Readings::new(fixture.started());
        let first = readings.read(&fixture.second()).unwrap();
        let named = |metric, label: &str| {
            let counts = count(&first, metric);
            counts.iter().find(|(labels, _)| *labels == format!("shop {label}")).unwrap().1
        };
        assert_eq!(named(&metrics::CONNECTIONS_OPENED, "none"), 1);
        assert_eq!(named(&metrics::CONNECTIONS_OPENED, "resumed"), 1);
        assert_eq!(named(&metrics::CONNECTIONS_CLOSED, "idle_closed"), 1);
        assert_eq!(named(&metrics::CONNECTIONS_CLOSED, "goaway"), 0, "there is a series before the first");
        assert_eq!(count(&first, &metrics::CONNECTIONS_FAILED), [("shop".to_owned(), 1)]);
        assert_eq!(count(&first, &metrics::CONNECTION_REQUESTS), [("shop".to_owned(), 4)]);
        assert_eq!(count(&first, &metrics::CONNECTION_WAIT), [("shop".to_owned(), 1)]);
        let level = |report: &Report, metric: &Metric| {
            let found = report.readings.iter().find(|reading| reading.metric == metric);
            found.map(|reading| reading.change.clone())
        };
        assert_eq!(level(&first, &metrics::CONNECTION_REUSE), Some(Change::Level(Some(0.75))));
        let second = readings.read(&Fixture::new().second()).unwrap();
        assert_eq!(
            level(&second, &metrics::CONNECTION_REUSE),
            Some(Change::Level(Some(0.75))),
            "over the run"
        );
    }

    #[test]
    fn what_found_no_room_has_a_name() {
        let mut fixture = Fixture::new();
        fixture.request(SeriesKey::OVERFLOW_STEP, 0, Some(200), 1);
        let report = Readings::new(fixture.started()).read(&fixture.second()).unwrap();
        assert_eq!(count(&report, &metrics::REQUESTS), [("shop  (overflow) measured ok 200".to_owned(), 1)]);
    }

    #[test]
    fn values_of_a_plan_are_told_in_their_units() {
        let mut fixture = Fixture::new();
        fixture.values();
        let report = Readings::new(fixture.started()).read(&fixture.second()).unwrap();
        let told = |metric: &'static Metric| {
            let told = report.readings.iter().filter(|reading| reading.metric == metric);
            let told: Vec<_> = told
                .map(|reading| {
                    let value = match &reading.change {
                        Change::Durations(values) => values.sum() as f64 / 1e9,
                        Change::Count(count) => *count as f64,
                        Change::Level(_) => f64::NAN,
                    };
                    (reading.labels.join(" "), value)
                })
                .collect();
            told
        };
        let one = |name: &str, value| vec![(format!("shop browse buy measured {name}"), value)];
        assert_eq!(told(&metrics::MEASURE_SECONDS), one("db_time", 1.0));
        assert_eq!(told(&metrics::MEASURE_BYTES), one("size", 512.0));
        assert_eq!(told(&metrics::MEASURE_VALUE), one("queue", 10.0));
        assert_eq!(told(&metrics::MEASURE_AMOUNT), one("rows", 10.0));
        assert_eq!(told(&metrics::MEASURE_AMOUNT_BYTES), one("read", 512.0));
        assert_eq!(told(&metrics::MEASURE_GOOD), one("cache_hit", 1.0));
        assert_eq!(told(&metrics::MEASURE_EVENTS), one("cache_hit", 1.0));
        let missing = told(&metrics::MEASURE_MISSING);
        assert_eq!(missing.len(), 12);
        assert_eq!(missing[0], ("shop browse buy measured db_time absent".to_owned(), 1.0));
        assert_eq!(missing[1], ("shop browse buy measured db_time out_of_range".to_owned(), 0.0));
    }

    #[test]
    fn a_step_nobody_knows_is_counted_all_the_same() {
        let mut fixture = Fixture::new();
        fixture.request(99, 0, Some(200), 1);
        let mut readings = Readings::new(fixture.started());
        let report = readings.read(&fixture.second()).unwrap();
        assert_eq!(count(&report, &metrics::REQUESTS), [("shop   measured ok 200".to_owned(), 1)]);
    }
}
