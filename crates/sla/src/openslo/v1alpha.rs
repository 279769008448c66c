//! OpenSLO v1alpha: its two kinds, what is wrong with them, and what they are in v1.

use super::validate::Rules;
use super::{
    BudgetingMethod, Calendar, Definition, DurationShorthand, DurationUnit, Metadata, MetricSource, Object,
    Operator, Path, RatioMetric, Rule, ServiceSpec, SliSpec, SloObjective, TimeWindow, Violation, Word,
};

/// The length of a slice that v1alpha leaves unsaid.
const ASSUMED_SLICE: DurationShorthand = DurationShorthand::new(1, DurationUnit::Minute);

/// A promise of v1alpha.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SloSpec {
    /// What it is, in words.
    pub description: Option<String>,
    /// What it is about.
    pub service: String,
    /// A figure that objectives compare with their value; none where they have ratios.
    pub indicator: Option<Query>,
    /// What the budget counts.
    pub budgeting_method: Option<BudgetingMethod>,
    /// How long the budget lasts: exactly one.
    pub time_windows: Vec<Window>,
    /// What is promised.
    pub objectives: Vec<Objective>,
}

/// A query and where it is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// `Prometheus` and the like.
    pub source: String,
    /// What kind of query it is to the source.
    pub query_type: String,
    /// The query.
    pub query: String,
}

/// How long a budget lasts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// What `count` counts.
    pub unit: Option<Unit>,
    /// How many of the unit.
    pub count: i64,
    /// Whether it ends now, always.
    pub is_rolling: bool,
    /// When windows begin that do not roll.
    pub calendar: Option<Calendar>,
}

/// A unit of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// `Second`
    Second,
    /// `Day`
    Day,
    /// `Week`
    Week,
    /// `Month`
    Month,
    /// `Quarter`
    Quarter,
}

impl Word for Unit {
    const ALL: &'static [Self] = &[Self::Second, Self::Day, Self::Week, Self::Month, Self::Quarter];

    fn label(self) -> &'static str {
        match self {
            Self::Second => "Second",
            Self::Day => "Day",
            Self::Week => "Week",
            Self::Month => "Month",
            Self::Quarter => "Quarter",
        }
    }
}

/// What is promised.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objective {
    /// What people call it.
    pub display_name: Option<String>,
    /// What the indicator is compared with.
    pub value: Option<f64>,
    /// A share of events.
    pub ratio_metrics: Option<RatioMetrics>,
    /// The promised share of good.
    pub target: Option<f64>,
    /// The share of good events that makes a slice good.
    pub time_slice_target: Option<f64>,
    /// How the indicator is compared.
    pub op: Option<Operator>,
}

/// A share of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RatioMetrics {
    /// Good events.
    pub good: Query,
    /// All events.
    pub total: Query,
    /// Whether both are counters.
    pub incremental: bool,
}

/// What is wrong with a service of v1alpha.
pub fn validate_service(service: &Definition<ServiceSpec>) -> Vec<Violation> {
    let mut rules = Rules::default();
    rules.metadata(&Path::root().key("metadata"), &service.metadata);
    rules.description(&Path::root().key("spec"), service.spec.description.as_deref());
    rules.found
}

/// What is wrong with a promise of v1alpha.
pub fn validate_slo(slo: &Definition<SloSpec>) -> Vec<Violation> {
    let mut rules = Rules::default();
    rules.metadata(&Path::root().key("metadata"), &slo.metadata);
    rules.required_whole(&Path::root().key("spec"), &slo.spec, Rules::v1alpha_slo);
    rules.found
}

impl Rules {
    fn v1alpha_slo(&mut self, spec: &Path, slo: &SloSpec) {
        let has_ratios = slo.objectives.iter().any(|objective| objective.ratio_metrics.is_some());
        let (ratios, indicator) = ("objectives[*].ratioMetrics", slo.indicator.is_some());
        if !self.one_of_two(spec, ("indicator", indicator), (ratios, has_ratios)) {
            return;
        }
        self.description(spec, slo.description.as_deref());
        self.required(&spec.key("service"), !slo.service.is_empty());
        if let Some(query) = &slo.indicator {
            self.query(&spec.key("indicator").key("thresholdMetric"), query);
        }
        self.required(&spec.key("budgetingMethod"), slo.budgeting_method.is_some());
        if slo.budgeting_method == Some(BudgetingMethod::RatioTimeslices) {
            let message = "must be `Occurrences` or `Timeslices` in v1alpha";
            self.error(spec.key("budgetingMethod"), Rule::OneOf, message);
        }
        let windows = spec.key("timeWindows");
        self.exactly_one(&windows, slo.time_windows.len());
        for (index, window) in slo.time_windows.iter().enumerate() {
            self.v1alpha_window(&windows.index(index), window);
        }
        self.required(&spec.key("objectives"), !slo.objectives.is_empty());
        for (index, objective) in slo.objectives.iter().enumerate() {
            let path = spec.key("objectives").index(index);
            self.v1alpha_objective(&path, objective);
            if slo.budgeting_method == Some(BudgetingMethod::Timeslices) {
                self.time_slice_target(&path, objective.time_slice_target);
            }
            if objective.ratio_metrics.is_none() && !indicator {
                self.required(&path.key("ratioMetrics"), false);
            }
        }
    }

    fn v1alpha_window(&mut self, path: &Path, window: &Window) {
        self.calendar(path, window.is_rolling, window.calendar.as_ref());
        self.required(&path.key("unit"), window.unit.is_some());
        if window.count <= 0 {
            self.error(
                path.key("count"),
                Rule::GreaterThan,
                format!("must be above 0, found {}", window.count),
            );
        }
    }

    fn v1alpha_objective(&mut self, path: &Path, objective: &Objective) {
        self.required(&path.key("value"), objective.value.is_some());
        self.required(&path.key("target"), objective.target.is_some());
        self.share(path.key("target"), objective.target, 1.0);
        match &objective.ratio_metrics {
            None => self.required(&path.key("op"), objective.op.is_some()),
            Some(ratio) => {
                self.query(&path.key("ratioMetrics").key("good"), &ratio.good);
                self.query(&path.key("ratioMetrics").key("total"), &ratio.total);
                self.no_op_of_ratio(path, objective.op);
            }
        }
    }

    fn query(&mut self, path: &Path, query: &Query) {
        if *query == Query::default() {
            return self.required(path, false);
        }
        for (key, text) in [("source", &query.source), ("queryType", &query.query_type)] {
            self.required(&path.key(key), !text.is_empty());
            if !text.chars().all(|c| c.is_ascii_alphabetic()) {
                self.error(path.key(key), Rule::StringAlpha, "must be of letters alone");
            }
        }
        self.required(&path.key("query"), !query.query.is_empty());
    }
}

/// A service as v1 has it.
pub fn convert_service(service: &Definition<ServiceSpec>) -> Object {
    Object::Service(service.clone())
}

/// A promise as v1 has it, and what of it v1 has no equivalent for. The places are those of v1alpha.
pub fn convert_slo(slo: &Definition<SloSpec>) -> (Object, Vec<Violation>) {
    let mut lost = Vec::new();
    let spec = Path::root().key("spec");
    let Definition { metadata, spec: old } = slo;
    let time_window = old
        .time_windows
        .iter()
        .enumerate()
        .map(|(index, window)| window_of(&spec.key("timeWindows").index(index), window, &mut lost));
    let time_window = time_window.collect();
    // Objectives that all have the same ratio have one indicator in v1.
    let first = old.objectives.first().and_then(|objective| objective.ratio_metrics.as_ref());
    let is_shared = old.objectives.iter().all(|objective| objective.ratio_metrics.as_ref() == first);
    let indicator = match (&old.indicator, first) {
        (Some(query), _) => Some(threshold(query)),
        (None, Some(ratio)) if is_shared => Some(ratio_of(ratio)),
        _ => None,
    };
    let indicator = indicator.map(|spec| named(&metadata.name, spec));
    let has_slices = old.budgeting_method == Some(BudgetingMethod::Timeslices);
    let objectives = old.objectives.iter().enumerate().map(|(index, objective)| {
        let path = spec.key("objectives").index(index);
        let ratio = objective.ratio_metrics.as_ref();
        if ratio.is_some() && objective.value.is_some() {
            let message =
                "has no equivalent in v1, where a ratio is compared with the target alone: it is left out";
            lost.push(Violation::warning(path.key("value"), Rule::Conversion, message));
        }
        if has_slices {
            let message =
                format!("has slices of no stated length; v1 needs one, and `{ASSUMED_SLICE}` is assumed");
            lost.push(Violation::warning(path.clone(), Rule::Conversion, message));
        }
        if ratio.is_some() && !is_shared {
            let message = "has a ratio of its own, which in v1 makes the SLO a composite";
            lost.push(Violation::warning(path.key("ratioMetrics"), Rule::Conversion, message));
        }
        let own = ratio
            .filter(|_| !is_shared)
            .map(|ratio| named(&format!("{}-{}", metadata.name, index + 1), ratio_of(ratio)));
        SloObjective {
            display_name: objective.display_name.clone(),
            op: objective.op.filter(|_| ratio.is_none()),
            value: objective.value.filter(|_| ratio.is_none()),
            target: objective.target,
            time_slice_target: objective.time_slice_target,
            time_slice_window: has_slices.then_some(ASSUMED_SLICE),
            indicator: own,
            ..SloObjective::default()
        }
    });
    let objectives = objectives.collect();
    let new = super::SloSpec {
        description: old.description.clone(),
        service: old.service.clone(),
        indicator,
        budgeting_method: old.budgeting_method,
        time_window,
        objectives,
        ..super::SloSpec::default()
    };
    (Object::Slo(Definition { metadata: metadata.clone(), spec: new }), lost)
}

fn named(name: &str, spec: SliSpec) -> Definition<SliSpec> {
    Definition { metadata: Metadata { name: name.to_owned(), ..Metadata::default() }, spec }
}

fn metric(query: &Query) -> MetricSource {
    let spec = [("query", &query.query), ("queryType", &query.query_type)];
    MetricSource {
        data_source: None,
        source_type: Some(query.source.clone()),
        spec: spec.into_iter().map(|(key, text)| (key.to_owned(), text.as_str().into())).collect(),
    }
}

fn threshold(query: &Query) -> SliSpec {
    SliSpec { threshold_metric: Some(metric(query)), ..SliSpec::default() }
}

fn ratio_of(ratio: &RatioMetrics) -> SliSpec {
    let ratio = RatioMetric {
        counter: ratio.incremental,
        good: Some(metric(&ratio.good)),
        total: Some(metric(&ratio.total)),
        ..RatioMetric::default()
    };
    SliSpec { ratio_metric: Some(ratio), ..SliSpec::default() }
}

fn window_of(path: &Path, window: &Window, lost: &mut Vec<Violation>) -> TimeWindow {
    let count = u32::try_from(window.count).ok();
    let (unit, count) = match window.unit {
        None => (None, count),
        Some(Unit::Second) if window.count % 60 == 0 => {
            (Some(DurationUnit::Minute), count.map(|count| count / 60))
        }
        Some(Unit::Second) => (None, count),
        Some(Unit::Day) => (Some(DurationUnit::Day), count),
        Some(Unit::Week) => (Some(DurationUnit::Week), count),
        Some(Unit::Month) => (Some(DurationUnit::Month), count),
        Some(Unit::Quarter) => (Some(DurationUnit::Quarter), count),
    };
    let duration = unit.zip(count).map(|(unit, count)| DurationShorthand::new(count, unit));
    if duration.is_none() && window.unit.is_some() {
        let message =
            format!("has no equivalent in v1, whose shortest unit is a minute, found {}", window.count);
        lost.push(Violation::error(path.key("count"), Rule::Conversion, message));
    }
    TimeWindow { duration, is_rolling: window.is_rolling, calendar: window.calendar.clone() }
}
