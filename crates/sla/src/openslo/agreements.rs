//! Objects of OpenSLO to what can be judged: one [`Sla`] for each objective of each SLO.
//!
//! The specification leaves open how a query is written and what some things mean; what is taken here is said in
//! `docs/sla.md`. A right document that cannot be judged is told by the rule [`Rule::NotJudged`].
//! What the specification has no place for stands in annotations whose keys begin with `plimsoll/`.

use std::collections::HashMap;

use jiff::Timestamp;
use plimsoll_units::duration;

use super::{
    AlertConditionSpec, AlertPolicySpec, BudgetingMethod, DataSourceSpec, Definition, DurationUnit, Free,
    MetricSource, Object, Operator, Path, Referenced, Rule, SliSpec, SloObjective, SloSpec, TimeWindow,
    Violation, inline,
};
use crate::agreement::{
    AlertRule, Counted, Events, Exclusion, Good, Part, PolicyStep, RunEvents, Sla, Source,
};
use crate::{
    BurnAlerts, BurnRule, Expression, Factor, Method, Period, Share, Slice, Slo, Target, Unit, Urgency,
};

/// What the annotations are called that the specification has no place for.
const RUNBOOK: &str = "plimsoll/runbook-url";
const EACH: &str = "plimsoll/for-each";
const EXCLUDE: &str = "plimsoll/exclude";
const POLICY: &str = "plimsoll/budget-policy";
const ANNOTATIONS: [&str; 4] = [RUNBOOK, EACH, EXCLUDE, POLICY];

/// Everything that the SLOs among `objects` promise, and what is wrong with those that cannot be judged, with the
/// position of the object it is said of.
///
/// The objects are taken to be right by themselves and together ([`super::validate`], [`super::check_together`]): what those
/// refuse may be told here in other words.
pub fn agreements(objects: &[Object]) -> (Vec<Sla>, Vec<(usize, Violation)>) {
    let (mut slas, mut found) = (Vec::new(), Vec::new());
    // What is not there was told already.
    let Ok(inlined) = inline(objects, Referenced::Keep) else { return (slas, found) };
    let sources = sources(&inlined);
    let mut names = HashMap::new();
    for (position, object) in inlined.iter().enumerate() {
        let Object::Slo(slo) = object else { continue };
        let mut compiler = Compiler { sources: &sources, found: Vec::new() };
        let of_slo = compiler.slo(slo);
        found.extend(compiler.found.into_iter().map(|violation| (position, violation)));
        for sla in of_slo {
            if let Some(other) = names.insert(sla.slo.name.clone(), position) {
                let message = format!("is `{}` in labels, like another objective", sla.slo.name);
                let path = match other == position {
                    true => spec().key("objectives"),
                    false => Path::root().key("metadata").key("name"),
                };
                let help = "give the SLO another name, or the objective another `displayName`";
                found.push((position, Violation::error(path, Rule::Duplicate, message).help(help)));
                continue;
            }
            slas.push(sla);
        }
    }
    (slas, found)
}

fn sources(objects: &[Object]) -> HashMap<&str, &DataSourceSpec> {
    let source = |object| match object {
        &Object::DataSource(Definition { ref metadata, ref spec }) => Some((metadata.name.as_str(), spec)),
        _ => None,
    };
    objects.iter().filter_map(source).collect()
}

fn spec() -> Path {
    Path::root().key("spec")
}

struct Compiler<'o> {
    sources: &'o HashMap<&'o str, &'o DataSourceSpec>,
    found: Vec<Violation>,
}

/// What the objectives of an SLO have in common.
struct Common {
    name: String,
    title: String,
    period: Period,
    alerts: Vec<(AlertRule, Path)>,
    has_policies: bool,
    no_data: Option<String>,
    runbook_url: Option<String>,
    each: Option<String>,
    exclusions: Vec<Exclusion>,
    policy: Vec<PolicyStep>,
}

impl Compiler<'_> {
    fn refuse(&mut self, path: Path, message: impl Into<String>, help: &str) {
        let violation = Violation::error(path, Rule::NotJudged, message);
        self.found.push(if help.is_empty() { violation } else { violation.help(help) });
    }

    fn slo(&mut self, slo: &Definition<SloSpec>) -> Vec<Sla> {
        let common = self.common(slo);
        let SloSpec { indicator, objectives, .. } = &slo.spec;
        let mut slas = Vec::new();
        for (index, objective) in objectives.iter().enumerate() {
            let path = spec().key("objectives").index(index);
            let (sli, sli_path) = match (&objective.indicator, indicator) {
                (Some(own), _) => (own, path.key("indicator")),
                (None, Some(common)) => (common, spec().key("indicator")),
                (None, None) => {
                    let rule = Violation::error(spec().key("indicator"), Rule::Required, "is missing");
                    self.found.push(rule);
                    continue;
                }
            };
            let target = self.target(&path, objective);
            let method = self.method(&path, slo.spec.budgeting_method, objective);
            let events = self.events(&sli_path.key("spec"), &sli.spec, objective, &path);
            let (Some(common), Some(target), Some(method), Some(events)) = (&common, target, method, events)
            else {
                continue;
            };
            if matches!(events, Events::Share { .. }) && !matches!(method, Method::RatioTimeslices { .. }) {
                self.refuse(
                    sli_path.key("spec").key("ratioMetric").key("raw"),
                    "is a share of nobody knows how many events",
                    "give `good` and `total`, or use `budgetingMethod: RatioTimeslices`, which counts shares",
                );
                continue;
            }
            slas.extend(self.sla(slo, common, (index, objective), target, method, events));
        }
        slas
    }

    fn sla(
        &mut self,
        slo: &Definition<SloSpec>,
        common: &Common,
        (index, objective): (usize, &SloObjective),
        target: Target,
        method: Method,
        events: Events,
    ) -> Option<Sla> {
        let several = slo.spec.objectives.len() > 1;
        let said = objective.display_name.as_deref().filter(|name| !name.trim().is_empty());
        let name = match (several, said.map(slug).filter(|slug| !slug.is_empty())) {
            (false, _) => common.name.clone(),
            (true, Some(slug)) => format!("{}-{slug}", common.name),
            (true, None) => format!("{}-{}", common.name, index + 1),
        };
        let title = match (several, said) {
            (true, Some(said)) => format!("{}: {said}", common.title),
            (true, None) => format!("{}: {target}", common.title),
            (false, _) => common.title.clone(),
        };
        let promise = Slo { name, target, period: common.period.clone(), method };
        if let Some(slice) = method.slice()
            && slice > promise.period.usual_seconds()
        {
            let path = spec().key("objectives").index(index).key("timeSliceWindow");
            self.refuse(path, "is longer than the time the objective is for", "");
            return None;
        }
        let mut never = Vec::new();
        let alerts = match common.has_policies {
            true => self.own_alerts(&promise, &common.alerts),
            false => {
                let (alerts, refused) = BurnAlerts::published(&promise);
                never = refused;
                alerts.alerts().iter().map(|alert| AlertRule::published(alert.rule)).collect()
            }
        };
        let part_of = slo
            .spec
            .is_composite()
            .then(|| Part { name: common.name.clone(), weight: objective.composite_weight.unwrap_or(1.0) });
        Some(Sla {
            slo: promise,
            title,
            service: slo.spec.service.clone(),
            description: slo.spec.description.clone().filter(|text| !text.trim().is_empty()),
            events,
            alerts,
            never,
            no_data: common.no_data.clone(),
            runbook_url: common.runbook_url.clone(),
            each: common.each.clone(),
            exclusions: common.exclusions.clone(),
            policy: common.policy.clone(),
            part_of,
        })
    }

    fn common(&mut self, slo: &Definition<SloSpec>) -> Option<Common> {
        let metadata = &slo.metadata;
        let period = self.period(&slo.spec.time_window);
        let path = Path::root().key("metadata").key("annotations");
        for key in metadata.annotations.keys().filter(|key| key.starts_with("plimsoll/")) {
            if !ANNOTATIONS.contains(&key.as_str()) {
                let message =
                    format!("is none that means something here; there are {}", ANNOTATIONS.join(", "));
                self.found.push(Violation::error(path.key(key), Rule::UnknownKey, message));
            }
        }
        let annotation = |key: &str| metadata.annotations.get(key).map(|text| (path.key(key), text.trim()));
        let runbook_url = annotation(RUNBOOK).map(|(_, text)| text.to_owned());
        let each = annotation(EACH).and_then(|(path, text)| self.label(path, text));
        let exclusions = annotation(EXCLUDE).map(|(path, text)| self.exclusions(&path, text));
        let policy = annotation(POLICY).map(|(path, text)| self.budget_policy(&path, text));
        let alerts = self.policies(&slo.spec);
        let display_name = metadata.display_name.as_deref().filter(|name| !name.trim().is_empty());
        Some(Common {
            name: metadata.name.clone(),
            title: display_name.unwrap_or(&metadata.name).to_owned(),
            period: period?,
            has_policies: !slo.spec.alert_policies.is_empty(),
            no_data: alerts.1,
            alerts: alerts.0,
            runbook_url,
            each,
            exclusions: exclusions.unwrap_or_default(),
            policy: policy.unwrap_or_default(),
        })
    }

    fn label(&mut self, path: Path, text: &str) -> Option<String> {
        let is_label = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_label {
            self.refuse(path, "is no name of a label", "write one, like `tenant`");
        }
        is_label.then(|| text.to_owned())
    }

    /// `2026-11-01T00:00:00Z/2026-11-01T02:00:00Z moving house; ...`
    fn exclusions(&mut self, path: &Path, text: &str) -> Vec<Exclusion> {
        let mut exclusions = Vec::new();
        for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
            let (times, reason) = item.split_once(char::is_whitespace).unwrap_or((item, ""));
            let second = |text: &str| u64::try_from(text.parse::<Timestamp>().ok()?.as_second()).ok();
            let range = times.split_once('/').and_then(|(from, to)| Some(second(from)?..second(to)?));
            match range.filter(|range| !range.is_empty()) {
                Some(seconds) => exclusions.push(Exclusion { seconds, reason: reason.trim().to_owned() }),
                None => self.refuse(
                    path.clone(),
                    format!("has `{item}`, which is no time to leave out"),
                    "write a start, a later end and a reason, `;` between several: \
                     `2026-11-01T00:00:00Z/2026-11-01T02:00:00Z database moves`",
                ),
            }
        }
        exclusions
    }

    /// `75%: review every change; 100%: freeze releases`
    fn budget_policy(&mut self, path: &Path, text: &str) -> Vec<PolicyStep> {
        let mut steps = Vec::new();
        for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
            let step = item.split_once(':').and_then(|(spent, action)| {
                let spent: Share = spent.parse().ok()?;
                let action = action.trim();
                (spent.parts() > 0 && !action.is_empty())
                    .then(|| PolicyStep { spent, action: action.to_owned() })
            });
            match step {
                Some(step) => steps.push(step),
                None => self.refuse(
                    path.clone(),
                    format!("has `{item}`, which is no step"),
                    "write how much of the budget is spent and what is done then, `;` between several: \
                     `75%: review every change; 100%: freeze releases`",
                ),
            }
        }
        steps.sort_by_key(|step| step.spent);
        steps
    }

    fn target(&mut self, path: &Path, objective: &SloObjective) -> Option<Target> {
        let path = path.key(if objective.target.is_some() { "target" } else { "targetPercent" });
        let Some(ratio) = objective.target_ratio() else {
            self.found.push(Violation::error(path, Rule::Required, "is missing"));
            return None;
        };
        // The shortest decimal that is this number: what was typed.
        match ratio.to_string().parse::<Target>() {
            Ok(target) => Some(target),
            Err(error) => {
                self.refuse(path, format!("cannot be judged: {error}"), "");
                None
            }
        }
    }

    fn method(
        &mut self,
        path: &Path,
        method: Option<BudgetingMethod>,
        objective: &SloObjective,
    ) -> Option<Method> {
        let Some(method) = method else {
            let path = spec().key("budgetingMethod");
            self.found.push(Violation::error(path, Rule::Required, "is missing"));
            return None;
        };
        if method == BudgetingMethod::Occurrences {
            return Some(Method::Occurrences);
        }
        let window = path.key("timeSliceWindow");
        let Some(length) = objective.time_slice_window else {
            self.found.push(Violation::error(window, Rule::Required, "is missing"));
            return None;
        };
        let slice = match Slice::new(length.nominal_seconds()) {
            Ok(slice) => slice,
            Err(error) => {
                self.refuse(window, format!("cannot be judged: {error}"), "");
                return None;
            }
        };
        if method == BudgetingMethod::RatioTimeslices {
            return Some(Method::RatioTimeslices { slice });
        }
        let path = path.key("timeSliceTarget");
        let Some(share) = objective.time_slice_target else {
            self.found.push(Violation::error(path, Rule::Required, "is missing"));
            return None;
        };
        match share.to_string().parse::<Share>() {
            Ok(target) if target.parts() > 0 => Some(Method::Timeslices { slice, target }),
            Ok(_) => {
                self.refuse(path, "promises nothing: every slice would be good", "write more than 0");
                None
            }
            Err(error) => {
                self.refuse(path, format!("cannot be judged: {error}"), "");
                None
            }
        }
    }

    fn period(&mut self, windows: &[TimeWindow]) -> Option<Period> {
        let path = spec().key("timeWindow");
        let Some(window) = windows.first() else {
            self.found.push(Violation::error(path, Rule::Required, "is missing"));
            return None;
        };
        let (path, length) = (path.index(0), window.duration?);
        let period = match &window.calendar {
            Some(calendar) if !window.is_rolling => {
                let unit = match (length.count, length.unit) {
                    (1, DurationUnit::Day) | (24, DurationUnit::Hour) => Unit::Day,
                    (1, DurationUnit::Week) | (7, DurationUnit::Day) => Unit::Week,
                    (1, DurationUnit::Month) => Unit::Month,
                    (1, DurationUnit::Quarter) | (3, DurationUnit::Month) => Unit::Quarter,
                    (1, DurationUnit::Year) | (4, DurationUnit::Quarter) | (12, DurationUnit::Month) => {
                        Unit::Year
                    }
                    (count, unit) => {
                        self.refuse(
                            path.key("duration"),
                            format!(
                                "is `{count}{}`, which is no period of a calendar that is judged",
                                unit.letter()
                            ),
                            "write `1d`, `1w`, `1M`, `1Q` or `1Y`, or make it rolling",
                        );
                        return None;
                    }
                };
                Period::calendar_starting(unit, &calendar.time_zone, &calendar.start_time)
                    .map_err(|error| (path.key("calendar"), error))
            }
            _ => Period::rolling(length.nominal_seconds()).map_err(|error| (path.key("duration"), error)),
        };
        match period {
            Ok(period) => Some(period),
            Err((path, error)) => {
                self.refuse(path, format!("cannot be judged: {error}"), "");
                None
            }
        }
    }
}

/// Where events come from.
impl Compiler<'_> {
    fn events(
        &mut self,
        path: &Path,
        sli: &SliSpec,
        objective: &SloObjective,
        objective_path: &Path,
    ) -> Option<Events> {
        if let Some(metric) = &sli.threshold_metric {
            let path = path.key("thresholdMetric");
            let (Some(op), Some(value)) = (objective.op, objective.value) else {
                let missing = if objective.op.is_none() { "op" } else { "value" };
                let path = objective_path.key(missing);
                self.found.push(Violation::error(path, Rule::Required, "is missing"));
                return None;
            };
            return match self.source(&path, metric)? {
                Found::Plimsoll => self.figure_of_runs(&path, metric, op, value),
                Found::Elsewhere(source) => {
                    let query = self.query(&path, metric)?;
                    Some(Events::Figure { source, query, op, value })
                }
            };
        }
        let path = path.key("ratioMetric");
        let Some(ratio) = &sli.ratio_metric else {
            self.found.push(Violation::error(path, Rule::Required, "is missing"));
            return None;
        };
        if let Some(raw) = &ratio.raw {
            let path = path.key("raw");
            return match self.source(&path, raw)? {
                Found::Plimsoll => {
                    self.refuse(path, "is no share that Plimsoll's runs have", "give `good` and `total`");
                    None
                }
                Found::Elsewhere(source) => {
                    let query = self.query(&path, raw)?;
                    let of = ratio.raw_type.unwrap_or(super::RawType::Success);
                    Some(Events::Share { source, query, of })
                }
            };
        }
        let (counted, is_good, counted_path) = match (&ratio.good, &ratio.bad) {
            (Some(good), _) => (good, true, path.key("good")),
            (None, Some(bad)) => (bad, false, path.key("bad")),
            (None, None) => {
                self.found.push(Violation::error(path.key("good"), Rule::Required, "is missing"));
                return None;
            }
        };
        let total_path = path.key("total");
        let Some(total) = &ratio.total else {
            self.found.push(Violation::error(total_path, Rule::Required, "is missing"));
            return None;
        };
        match (self.source(&counted_path, counted)?, self.source(&total_path, total)?) {
            (Found::Plimsoll, Found::Plimsoll) if is_good => {
                self.requests_of_runs((&counted_path, counted), (&total_path, total))
            }
            (Found::Plimsoll, Found::Plimsoll) => {
                self.refuse(counted_path, "is no figure of Plimsoll's runs", "give `good` instead");
                None
            }
            (Found::Elsewhere(source), Found::Elsewhere(other)) if source == other => {
                let (counted, total) = (self.query(&counted_path, counted)?, self.query(&total_path, total)?);
                let says_events = ratio.counter || (is_windowed(&counted) && is_windowed(&total));
                if !says_events {
                    self.refuse(
                        path.key("counter"),
                        "is false, and figures of a moment do not say how many events there were",
                        "write `counter: true` with queries of counters, or say the window in both queries: \
                         `sum(increase(http_requests_total[{{.window}}]))`",
                    );
                    return None;
                }
                let counted = if is_good { Counted::Good(counted) } else { Counted::Bad(counted) };
                Some(Events::Counters { source, counted, total })
            }
            _ => {
                self.refuse(
                    total_path,
                    "comes from elsewhere than the other metric",
                    "take both from one source",
                );
                None
            }
        }
    }

    fn source(&mut self, path: &Path, metric: &MetricSource) -> Option<Found> {
        let declared = metric.data_source.as_deref().and_then(|name| self.sources.get(name));
        let word = metric.source_type.as_deref().or(declared.map(|spec| spec.source_type.as_str()));
        match (word.map(str::to_ascii_lowercase).as_deref(), &metric.data_source) {
            (Some("plimsoll"), _) => Some(Found::Plimsoll),
            (Some("prometheus"), name) => Some(Found::Elsewhere(Source::Prometheus(name.clone()))),
            (Some("openmetrics"), Some(name)) => Some(Found::Elsewhere(Source::Exposition(name.clone()))),
            (Some("openmetrics"), None) => {
                let path = path.key("metricSource").key("metricSourceRef");
                self.refuse(path, "is missing", "name a `DataSource` with the `url` that is to be scraped");
                None
            }
            (found, _) => {
                let path = path.key("metricSource").key("type");
                let message = match found {
                    None => "is missing".to_owned(),
                    Some(_) => format!("is `{}`, which cannot be asked", word.unwrap_or_default()),
                };
                self.refuse(path, message, "the types are `Prometheus`, `OpenMetrics` and `Plimsoll`");
                None
            }
        }
    }

    fn query(&mut self, path: &Path, metric: &MetricSource) -> Option<String> {
        let path = path.key("metricSource").key("spec");
        match metric.spec.get("query") {
            Some(Free::String(query)) if !query.trim().is_empty() => Some(query.trim().to_owned()),
            Some(_) => {
                self.refuse(path.key("query"), "is no text with a query", "");
                None
            }
            None => {
                self.refuse(path, "has no `query`", "write `query: sum(http_requests_total)`");
                None
            }
        }
    }
}

enum Found {
    Plimsoll,
    Elsewhere(Source),
}

/// Whether a query says over which time it looks by a name for the window.
fn is_windowed(query: &str) -> bool {
    crate::agreement::WINDOW_NAMES.iter().any(|name| query.contains(name))
}

/// Keys of metrics of our own runs.
impl Compiler<'_> {
    fn requests_of_runs(
        &mut self,
        (good_path, good): (&Path, &MetricSource),
        (total_path, total): (&Path, &MetricSource),
    ) -> Option<Events> {
        let (path, total_path) =
            (good_path.key("metricSource").key("spec"), total_path.key("metricSource").key("spec"));
        self.keys(&path, good, &["plan", "scenario", "step", "within", "apdex"])?;
        self.keys(&total_path, total, &["plan", "scenario", "step"])?;
        let mut runs = self.runs(&path, good)?;
        for key in ["plan", "scenario", "step"] {
            if good.spec.get(key) != total.spec.get(key) {
                self.refuse(
                    total_path.key(key),
                    "differs from that of `good`",
                    "good events are some of all",
                );
                return None;
            }
        }
        let times = (self.text(&path, good, "within"), self.text(&path, good, "apdex"));
        runs.good = match times {
            (None, None) => Good::Succeeded,
            (Some(time), None) => Good::Within(self.time(path.key("within"), time)?),
            (None, Some(time)) => Good::Apdex(self.time(path.key("apdex"), time)?),
            (Some(_), Some(_)) => {
                self.refuse(path.key("apdex"), "stands beside `within`", "write one of them");
                return None;
            }
        };
        Some(Events::Runs(runs))
    }

    fn figure_of_runs(
        &mut self,
        path: &Path,
        metric: &MetricSource,
        op: Operator,
        value: f64,
    ) -> Option<Events> {
        let path = path.key("metricSource").key("spec");
        self.keys(&path, metric, &["plan", "scenario", "step", "figure"])?;
        let mut runs = self.runs(&path, metric)?;
        let Some(figure) = self.text(&path, metric, "figure") else {
            self.refuse(
                path,
                "has no `figure`",
                "write one that objectives of plans know, like `throughput` or `p95(response_time)`",
            );
            return None;
        };
        let sign = match op {
            Operator::Lt => "<",
            Operator::Lte => "<=",
            Operator::Gt => ">",
            Operator::Gte => ">=",
        };
        // In base units, as everywhere: seconds, per second, shares of one.
        let fits = ["", "s", "/s", "B/s"]
            .into_iter()
            .map(|unit| format!("{figure} {sign} {value}{unit}"))
            .find(|text| Expression::parse(text).is_ok());
        let Some(objective) = fits else {
            let message = format!("`{figure}` is no figure of runs that can be {sign} {value}");
            self.refuse(path.key("figure"), message, "write one that objectives of plans know, like `throughput` or `p95(response_time)`; times are in seconds");
            return None;
        };
        runs.good = Good::Second(objective);
        Some(Events::Runs(runs))
    }

    fn runs(&mut self, path: &Path, metric: &MetricSource) -> Option<RunEvents> {
        let Some(plan) = self.text(path, metric, "plan") else {
            self.refuse(path.clone(), "has no `plan`", "write the name of the plan whose runs are meant");
            return None;
        };
        let (scenario, step) = (self.text(path, metric, "scenario"), self.text(path, metric, "step"));
        Some(RunEvents { plan, scenario, step, good: Good::Succeeded })
    }

    fn keys(&mut self, path: &Path, metric: &MetricSource, known: &[&str]) -> Option<()> {
        let unknown: Vec<&String> = metric.spec.keys().filter(|key| !known.contains(&key.as_str())).collect();
        for key in &unknown {
            let message = format!("means nothing here; there are {}", known.join(", "));
            self.found.push(Violation::error(path.key(key), Rule::UnknownKey, message));
        }
        unknown.is_empty().then_some(())
    }

    fn text(&mut self, path: &Path, metric: &MetricSource, key: &str) -> Option<String> {
        match metric.spec.get(key)? {
            Free::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => {
                self.refuse(path.key(key), "is no text", "");
                None
            }
        }
    }

    fn time(&mut self, path: Path, text: String) -> Option<String> {
        match duration::parse(&text) {
            Ok(time) if !time.is_zero() => Some(text),
            Ok(_) => {
                self.refuse(path, "is no time that a request could keep", "write one above 0, like `250ms`");
                None
            }
            Err(error) => {
                self.refuse(path, format!("cannot be read: {error}"), "");
                None
            }
        }
    }
}

/// Alerts of the user's own.
impl Compiler<'_> {
    /// The burn-rate alerts of an SLO's policies with where they stand, and how urgent it is that there are no data.
    fn policies(&mut self, slo: &SloSpec) -> (Vec<(AlertRule, Path)>, Option<String>) {
        let (mut alerts, mut no_data) = (Vec::new(), None);
        for (index, policy) in slo.alert_policies.iter().enumerate() {
            let Some(policy) = &policy.inline else { continue };
            let AlertPolicySpec { alert_when_no_data, alert_when_breaching, alert_when_resolved, .. } =
                policy.spec;
            let path = spec().key("alertPolicies").index(index).key("spec");
            let notify = policy.spec.notification_targets.iter().filter_map(|target| target.inline.as_ref());
            let notify: Vec<String> = notify.map(|target| target.metadata.name.clone()).collect();
            for (index, condition) in policy.spec.conditions.iter().enumerate() {
                let Some(condition) = &condition.inline else { continue };
                let severity = condition.spec.severity.trim().to_owned();
                if alert_when_no_data {
                    no_data.get_or_insert_with(|| severity.clone());
                }
                let path = path.key("conditions").index(index).key("spec").key("condition");
                if !alert_when_breaching {
                    continue;
                }
                if let Some(rule) = self.condition(&path, &condition.spec) {
                    let rule =
                        AlertRule { rule, severity, notify: notify.clone(), resolved: alert_when_resolved };
                    alerts.push((rule, path));
                }
            }
        }
        (alerts, no_data)
    }

    fn condition(&mut self, path: &Path, spec: &AlertConditionSpec) -> Option<BurnRule> {
        let condition = &spec.condition;
        let at_least = match condition.op.unwrap_or(Operator::Gt) {
            Operator::Gt => false,
            Operator::Gte => true,
            Operator::Lt | Operator::Lte => {
                let message = "asks for an alert while little burns, which is none";
                self.refuse(path.key("op"), message, "write `gt` or `gte`");
                return None;
            }
        };
        let factor = match condition.threshold?.to_string().parse::<Factor>() {
            Ok(factor) => factor,
            Err(error) => {
                self.refuse(path.key("threshold"), format!("cannot be judged: {error}"), "");
                return None;
            }
        };
        let window = condition.lookback_window?.nominal_seconds();
        let hold = condition.alert_after.map_or(0, |after| after.nominal_seconds());
        let urgent = ["page", "critical"].contains(&spec.severity.trim().to_ascii_lowercase().as_str());
        let urgency = if urgent { Urgency::Page } else { Urgency::Ticket };
        Some(BurnRule { factor, long: window, short: window, hold, at_least, urgency })
    }

    fn own_alerts(&mut self, slo: &Slo, alerts: &[(AlertRule, Path)]) -> Vec<AlertRule> {
        let mut fitting = Vec::new();
        for (alert, path) in alerts {
            match BurnAlerts::new(slo, vec![alert.rule]) {
                Ok(_) => fitting.push(alert.clone()),
                Err(error) => {
                    let message = format!("cannot be judged for {} over {}: {error}", slo.target, slo.period);
                    self.refuse(path.clone(), message, "");
                }
            }
        }
        fitting
    }
}

/// A text as part of a name: lower-case letters, digits, and dashes for all else.
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}
