//! The rules on one object, each where it stands in the document.

use super::{
    AlertConditionSpec, AlertNotificationTargetSpec, AlertPolicySpec, BudgetingMethod, Calendar,
    DataSourceSpec, Definition, DurationShorthand, DurationUnit, Inline, Kind, Metadata, MetricSource,
    Object, Operator, Part, Path, RatioMetric, Rule, SliSpec, SloObjective, SloSpec, TimeWindow, Violation,
    Word,
};

/// The longest description, in characters.
const LONGEST_DESCRIPTION: usize = 1050;
/// The longest display name, in characters.
const LONGEST_DISPLAY_NAME: usize = 63;
/// The longest name as RFC 1123 has them, in bytes; also of the name in a key.
const LONGEST_LABEL: usize = 63;
/// The longest prefix of an annotation's key, in bytes.
const LONGEST_PREFIX: usize = 253;

/// What is wrong with an object, as far as it alone can tell, and what whoever signs it should know. Errors
/// first of the whole, then of its parts.
///
/// References are followed by [`super::check_together`].
pub fn validate(object: &Object) -> Vec<Violation> {
    let mut rules = Rules::default();
    let root = Path::root();
    let spec = root.key("spec");
    rules.metadata(&root.key("metadata"), object.metadata());
    match object {
        Object::Service(of) => rules.description(&spec, of.spec.description.as_deref()),
        Object::DataSource(of) => rules.data_source(&spec, &of.spec),
        Object::Sli(of) => rules.sli(&spec, &of.spec),
        Object::Slo(of) => rules.required_whole(&spec, &of.spec, Rules::slo),
        Object::AlertPolicy(of) => rules.alert_policy(&spec, &of.spec),
        Object::AlertCondition(of) => rules.required_whole(&spec, &of.spec, Rules::alert_condition),
        Object::AlertNotificationTarget(of) => rules.notification_target(&spec, &of.spec),
    }
    rules.found
}

/// What objectives are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricForm {
    Threshold,
    Ratio,
}

impl MetricForm {
    /// The form of an indicator that has one.
    pub(super) fn of(sli: &SliSpec) -> Option<Self> {
        match (&sli.threshold_metric, &sli.ratio_metric) {
            (Some(_), None) => Some(Self::Threshold),
            (None, Some(_)) => Some(Self::Ratio),
            _ => None,
        }
    }
}

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) found: Vec<Violation>,
}

impl Rules {
    pub(super) fn error(&mut self, path: Path, rule: Rule, message: impl Into<String>) {
        self.found.push(Violation::error(path, rule, message));
    }

    pub(super) fn required(&mut self, path: &Path, is_there: bool) {
        if !is_there {
            self.error(path.clone(), Rule::Required, "is missing");
        }
    }

    /// Something of which nothing at all is there, or what is wrong with it.
    pub(super) fn required_whole<S: Default + PartialEq>(
        &mut self,
        path: &Path,
        whole: &S,
        rules: fn(&mut Self, &Path, &S),
    ) {
        self.required(path, *whole != S::default());
        if *whole != S::default() {
            rules(self, path, whole);
        }
    }

    fn at_most(&mut self, path: Path, text: Option<&str>, longest: usize) {
        let length = text.map_or(0, |text| text.chars().count());
        if length > longest {
            let message = format!("must have at most {longest} characters, has {length}");
            self.error(path, Rule::StringMaxLength, message);
        }
    }

    pub(super) fn description(&mut self, spec: &Path, description: Option<&str>) {
        self.at_most(spec.key("description"), description, LONGEST_DESCRIPTION);
    }

    pub(super) fn dns_label(&mut self, path: &Path, name: &str) {
        if !is_dns_label(name) {
            let message = format!("is no name as RFC 1123 has them, found `{}`", shortened(name));
            let help = "a name has 1 to 63 lower-case letters, digits and hyphens, and no hyphen at its ends";
            self.found.push(Violation::error(path.clone(), Rule::StringDnsLabel, message).help(help));
        }
    }

    /// A reference that must be a name, where there is one.
    fn reference(&mut self, path: &Path, name: Option<&str>) {
        if let Some(name) = name {
            self.dns_label(path, name);
        }
    }

    pub(super) fn named(&mut self, path: &Path, name: &str) {
        self.required(path, !name.is_empty());
        if !name.is_empty() {
            self.dns_label(path, name);
        }
    }

    pub(super) fn metadata(&mut self, path: &Path, metadata: &Metadata) {
        if *metadata == Metadata::default() {
            return self.required(path, false);
        }
        self.named(&path.key("name"), &metadata.name);
        self.at_most(path.key("displayName"), metadata.display_name.as_deref(), LONGEST_DISPLAY_NAME);
        for key in metadata.labels.keys().filter(|key| !is_key_name(key)) {
            let help = "a label's key has 1 to 63 letters, digits, hyphens, underscores and dots, and begins and ends with a letter or digit";
            let path = path.key("labels").key(key);
            self.found
                .push(Violation::error(path, Rule::StringMatchRegexp, "is no key of a label").help(help));
        }
        for key in metadata.annotations.keys().filter(|key| !is_annotation_key(key)) {
            let help = "an annotation's key is like a label's, maybe after a DNS name and a slash: `my-domain.org/my-key`";
            let path = path.key("annotations").key(key);
            self.found.push(
                Violation::error(path, Rule::StringMatchRegexp, "is no key of an annotation").help(help),
            );
        }
    }

    fn data_source(&mut self, spec: &Path, source: &DataSourceSpec) {
        self.description(spec, source.description.as_deref());
        self.required(&spec.key("type"), !source.source_type.is_empty());
        self.required(&spec.key("connectionDetails"), source.connection_details.is_some());
    }

    /// Exactly one of two. Both paths are named at the place that holds them.
    pub(super) fn one_of_two(
        &mut self,
        path: &Path,
        (one, has_one): (&str, bool),
        (other, has_other): (&str, bool),
    ) -> bool {
        match (has_one, has_other) {
            (true, true) => {
                let message = format!("has both `{one}` and `{other}`");
                let violation = Violation::error(path.clone(), Rule::MutuallyExclusive, message);
                self.found.push(violation.help("leave one of them"));
            }
            (false, false) => {
                let message = format!("has neither `{one}` nor `{other}`");
                let violation = Violation::error(path.clone(), Rule::MutuallyExclusive, message);
                self.found.push(violation.help("one of them is needed"));
            }
            _ => return true,
        }
        false
    }

    fn sli(&mut self, spec: &Path, sli: &SliSpec) {
        self.description(spec, sli.description.as_deref());
        self.one_of_two(
            spec,
            ("ratioMetric", sli.ratio_metric.is_some()),
            ("thresholdMetric", sli.threshold_metric.is_some()),
        );
        if let Some(metric) = &sli.threshold_metric {
            self.metric(&spec.key("thresholdMetric"), metric);
        }
        if let Some(ratio) = &sli.ratio_metric {
            self.ratio(&spec.key("ratioMetric"), ratio);
        }
    }

    /// As in the official validator, nothing is said of the parts before it is known which there are to be.
    fn ratio(&mut self, path: &Path, ratio: &RatioMetric) {
        if !self.one_of_two(path, ("raw", ratio.raw.is_some()), ("total", ratio.total.is_some())) {
            return;
        }
        let parts = [("bad", &ratio.bad), ("good", &ratio.good), ("raw", &ratio.raw)];
        let given: Vec<_> = parts.iter().filter(|(_, part)| part.is_some()).map(|(name, _)| *name).collect();
        if given.len() > 1 {
            let message = format!("has `{}` together", given.join("` and `"));
            let violation = Violation::error(path.clone(), Rule::MutuallyExclusive, message);
            return self.found.push(violation.help("`good` or `bad` goes with `total`, `raw` goes alone"));
        }
        if given.is_empty() {
            let violation =
                Violation::error(path.clone(), Rule::OneOfProperties, "has neither `good` nor `bad`");
            return self.found.push(violation.help("one of them is needed beside `total`"));
        }
        for (name, metric) in parts.into_iter().chain([("total", &ratio.total)]) {
            if let Some(metric) = metric {
                self.metric(&path.key(name), metric);
            }
        }
        if ratio.raw.is_some() {
            self.required(&path.key("rawType"), ratio.raw_type.is_some());
        }
    }

    fn metric(&mut self, path: &Path, metric: &MetricSource) {
        let path = path.key("metricSource");
        if *metric == MetricSource::default() {
            return self.required(&path, false);
        }
        let reference = metric.data_source.as_deref().filter(|name| !name.is_empty());
        self.reference(&path.key("metricSourceRef"), reference);
        self.required(&path.key("spec"), !metric.spec.is_empty());
        if reference.is_none() && metric.source_type.as_deref().is_none_or(str::is_empty) {
            let message = "is missing, and no `metricSourceRef` says it either";
            let violation = Violation::warning(path.key("type"), Rule::Required, message);
            self.found.push(violation.help("write `type: Prometheus`, or whatever is to answer the query"));
        }
    }

    fn slo(&mut self, spec: &Path, slo: &SloSpec) {
        self.indicators(spec, slo);
        self.description(spec, slo.description.as_deref());
        self.required(&spec.key("service"), !slo.service.is_empty());
        self.required(&spec.key("budgetingMethod"), slo.budgeting_method.is_some());
        self.exactly_one(&spec.key("timeWindow"), slo.time_window.len());
        for (index, window) in slo.time_window.iter().enumerate() {
            self.time_window(&spec.key("timeWindow").index(index), window);
        }
        self.required(&spec.key("objectives"), !slo.objectives.is_empty());
        let is_composite = slo.is_composite();
        for (index, objective) in slo.objectives.iter().enumerate() {
            let path = spec.key("objectives").index(index);
            self.objective(&path, objective, is_composite);
            self.slices(&path, objective, slo);
            // By reference the form is known to whoever follows the reference.
            let indicator = objective.indicator.as_ref().or(slo.indicator.as_ref());
            if let Some(form) = indicator.and_then(|indicator| MetricForm::of(&indicator.spec)) {
                self.objective_of(&path, objective, form);
            }
        }
        for (index, policy) in slo.alert_policies.iter().enumerate() {
            let path = spec.key("alertPolicies").index(index);
            self.part(&path, policy, ("alertPolicyRef", Kind::AlertPolicy), Self::alert_policy);
        }
    }

    fn indicators(&mut self, spec: &Path, slo: &SloSpec) {
        let has_own = slo.indicator.is_some() || slo.indicator_ref.is_some();
        let problem = match (has_own, slo.is_composite()) {
            (true, true) => Some("has an indicator beside those of its objectives"),
            (false, false) => Some("has no indicator, and neither have its objectives"),
            _ => None,
        };
        if let Some(message) = problem {
            let violation = Violation::error(spec.clone(), Rule::MutuallyExclusive, message);
            self.found.push(violation.help(
                "`indicator` or `indicatorRef` stands in `spec`, or in each of `spec.objectives` for a composite",
            ));
        }
        self.indicator(spec, slo.indicator.as_ref(), slo.indicator_ref.as_deref());
    }

    /// An indicator, said here or by name, where there is one.
    fn indicator(&mut self, path: &Path, inline: Option<&Definition<SliSpec>>, reference: Option<&str>) {
        if inline.is_some() && reference.is_some() {
            self.one_of_two(path, ("indicator", true), ("indicatorRef", true));
            return;
        }
        if let Some(indicator) = inline {
            let path = path.key("indicator");
            self.metadata(&path.key("metadata"), &indicator.metadata);
            self.sli(&path.key("spec"), &indicator.spec);
        }
        self.reference(&path.key("indicatorRef"), reference);
    }

    pub(super) fn exactly_one(&mut self, path: &Path, found: usize) {
        if found != 1 {
            let message = format!("must have exactly one item, has {found}");
            self.error(path.clone(), Rule::SliceLength, message);
        }
    }

    fn time_window(&mut self, path: &Path, window: &TimeWindow) {
        self.calendar(path, window.is_rolling, window.calendar.as_ref());
        self.some_time(&path.key("duration"), window.duration);
        if let (Some(_), Some(duration)) = (&window.calendar, window.duration)
            && matches!(duration.unit, DurationUnit::Minute | DurationUnit::Hour)
        {
            let message = format!("is aligned to a calendar, and `{duration}` is not made of its days");
            let violation = Violation::warning(path.key("duration"), Rule::CalendarUnit, message);
            self.found.push(violation.help("`m` is minutes: a month is `1M`"));
        }
    }

    pub(super) fn calendar(&mut self, path: &Path, is_rolling: bool, calendar: Option<&Calendar>) {
        match (is_rolling, calendar) {
            (true, Some(_)) => {
                self.error(path.clone(), Rule::Calendar, "has a `calendar` although it is rolling");
            }
            (false, None) => {
                let message = "has no `calendar` although it is not rolling";
                let violation = Violation::error(path.clone(), Rule::Calendar, message);
                self.found
                    .push(violation.help("write `isRolling: true`, or say in `calendar` when windows begin"));
            }
            _ => {}
        }
        let Some(calendar) = calendar else { return };
        if calendar.start().is_none() {
            let message = format!("is no date and time, found `{}`", shortened(&calendar.start_time));
            let path = path.key("calendar").key("startTime");
            self.found.push(
                Violation::error(path, Rule::StringDateTime, message)
                    .help("write it like `2026-01-31 12:30:00`"),
            );
        }
        if calendar.zone().is_none() {
            let message =
                format!("is no time zone of the IANA database, found `{}`", shortened(&calendar.time_zone));
            let path = path.key("calendar").key("timeZone");
            self.found.push(
                Violation::error(path, Rule::StringTimeZone, message)
                    .help("write it like `Europe/Warsaw` or `UTC`"),
            );
        }
    }

    /// A duration that is there and longer than zero.
    fn some_time(&mut self, path: &Path, duration: Option<DurationShorthand>) {
        match duration {
            None => self.required(path, false),
            Some(duration) if duration.is_zero() => {
                self.error(
                    path.clone(),
                    Rule::GreaterThan,
                    format!("must be longer than zero, found `{duration}`"),
                );
            }
            Some(_) => {}
        }
    }

    fn objective(&mut self, path: &Path, objective: &SloObjective, is_composite: bool) {
        self.one_of_two(
            path,
            ("target", objective.target.is_some()),
            ("targetPercent", objective.target_percent.is_some()),
        );
        self.share(path.key("target"), objective.target, 1.0);
        self.share(path.key("targetPercent"), objective.target_percent, 100.0);
        if !is_composite {
            return;
        }
        if !objective.has_indicator() {
            self.required(&path.key("indicator"), false);
        }
        self.indicator(path, objective.indicator.as_ref(), objective.indicator_ref.as_deref());
        if let Some(weight) = objective.composite_weight.filter(|weight| *weight <= 0.0) {
            let message = format!("must be above 0, found {weight}");
            self.error(path.key("compositeWeight"), Rule::GreaterThan, message);
        }
    }

    pub(super) fn share(&mut self, path: Path, share: Option<f64>, whole: f64) {
        let Some(share) = share else { return };
        if share < 0.0 {
            self.error(path, Rule::GreaterThanOrEqualTo, format!("must be 0 or above, found {share}"));
        } else if share >= whole {
            let violation =
                Violation::error(path, Rule::LessThan, format!("must be below {whole}, found {share}"));
            self.found.push(violation.help("a promise without any room has no budget to spend or to burn"));
        } else if share == 0.0 {
            let message = "promises nothing: every measurement meets a target of zero";
            self.found.push(Violation::warning(path, Rule::NothingPromised, message));
        }
    }

    /// What budgets of slices need.
    fn slices(&mut self, path: &Path, objective: &SloObjective, slo: &SloSpec) {
        let window = path.key("timeSliceWindow");
        match slo.budgeting_method {
            None | Some(BudgetingMethod::Occurrences) => return,
            Some(BudgetingMethod::Timeslices) => self.time_slice_target(path, objective.time_slice_target),
            Some(BudgetingMethod::RatioTimeslices) => {}
        }
        self.some_time(&window, objective.time_slice_window);
        let whole = slo.time_window.first().and_then(|window| window.duration);
        if let (Some(slice), Some(whole)) = (objective.time_slice_window, whole)
            && slice.nominal_seconds() > whole.nominal_seconds()
        {
            let message = format!("must not be longer than the window of `{whole}`, found `{slice}`");
            self.error(window, Rule::LessThanOrEqualTo, message);
        }
    }

    pub(super) fn time_slice_target(&mut self, path: &Path, target: Option<f64>) {
        let path = path.key("timeSliceTarget");
        match target {
            None => self.required(&path, false),
            Some(target) if target <= 0.0 => {
                self.error(path, Rule::GreaterThan, format!("must be above 0, found {target}"));
            }
            Some(target) if target > 1.0 => {
                self.error(path, Rule::LessThanOrEqualTo, format!("must be 1 at most, found {target}"));
            }
            Some(_) => {}
        }
    }

    /// What an objective needs of `value` and `op`, by what it is held against.
    pub(super) fn objective_of(&mut self, path: &Path, objective: &SloObjective, form: MetricForm) {
        match form {
            MetricForm::Threshold => {
                self.required(&path.key("value"), objective.value.is_some());
                self.required(&path.key("op"), objective.op.is_some());
            }
            MetricForm::Ratio => {
                if objective.value.is_some() {
                    let message = "must not be there: a ratio is compared with the target alone";
                    self.error(path.key("value"), Rule::Forbidden, message);
                }
                self.no_op_of_ratio(path, objective.op);
            }
        }
    }

    pub(super) fn no_op_of_ratio(&mut self, path: &Path, op: Option<Operator>) {
        if op.is_some() {
            let violation = Violation::warning(path.key("op"), Rule::Forbidden, "means nothing for a ratio");
            self.found.push(violation.help(
                "the examples of the specification have it, its official validator refuses it: leave it out",
            ));
        }
    }

    /// A part said here or by name.
    fn part<S: Default + PartialEq>(
        &mut self,
        path: &Path,
        part: &Part<S>,
        (reference, kind): (&str, Kind),
        rules: fn(&mut Self, &Path, &S),
    ) {
        if !self.one_of_two(path, (reference, part.reference.is_some()), ("spec", part.inline.is_some())) {
            return;
        }
        if let Some(name) = &part.reference {
            self.named(&path.key(reference), name);
        }
        if let Some(Inline { kind: found, metadata, spec }) = &part.inline {
            self.required(&path.key("kind"), found.is_some());
            if let Some(found) = found.filter(|found| *found != kind) {
                let message = format!("must be `{}`, found `{}`", kind.label(), found.label());
                self.error(path.key("kind"), Rule::EqualTo, message);
            }
            self.metadata(&path.key("metadata"), metadata);
            self.required_whole(&path.key("spec"), spec, rules);
        }
    }

    fn alert_policy(&mut self, spec: &Path, policy: &AlertPolicySpec) {
        self.description(spec, policy.description.as_deref());
        self.exactly_one(&spec.key("conditions"), policy.conditions.len());
        for (index, condition) in policy.conditions.iter().enumerate() {
            let path = spec.key("conditions").index(index);
            self.part(&path, condition, ("conditionRef", Kind::AlertCondition), Self::alert_condition);
        }
        let targets = spec.key("notificationTargets");
        if policy.notification_targets.is_empty() {
            self.error(targets.clone(), Rule::SliceMinLength, "must have at least one item");
        }
        for (index, target) in policy.notification_targets.iter().enumerate() {
            let kind = Kind::AlertNotificationTarget;
            self.part(&targets.index(index), target, ("targetRef", kind), Self::notification_target);
        }
    }

    fn alert_condition(&mut self, spec: &Path, condition: &AlertConditionSpec) {
        self.description(spec, condition.description.as_deref());
        self.required(&spec.key("severity"), !condition.severity.is_empty());
        let path = spec.key("condition");
        let condition = &condition.condition;
        if *condition == super::AlertCondition::default() {
            return self.required(&path, false);
        }
        if condition.kind.is_none() {
            let message = "is missing, taken as `burnrate`";
            let violation = Violation::warning(path.key("kind"), Rule::Required, message);
            self.found
                .push(violation.help("the specification has this default, its official validator has none"));
        }
        match condition.op {
            None => {
                let violation =
                    Violation::warning(path.key("op"), Rule::Required, "is missing, taken as `gt`");
                self.found.push(
                    violation.help("the specification has no `op` here, its official validator needs it"),
                );
            }
            Some(op @ (Operator::Lt | Operator::Lte)) => {
                let message = format!(
                    "`{}` alerts while little of the budget burns, and not while much does",
                    op.label()
                );
                let violation = Violation::warning(path.key("op"), Rule::LowBurnRate, message);
                self.found.push(violation.help("write `gt` or `gte` to be told of a high burn rate"));
            }
            Some(Operator::Gt | Operator::Gte) => {}
        }
        self.required(&path.key("threshold"), condition.threshold.is_some());
        self.some_time(&path.key("lookbackWindow"), condition.lookback_window);
    }

    fn notification_target(&mut self, spec: &Path, target: &AlertNotificationTargetSpec) {
        self.required(&spec.key("target"), !target.target.is_empty());
        self.description(spec, target.description.as_deref());
    }
}

/// A text short enough for a message.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
fn is_dns_label(name: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    is_framed(name, is_end, |byte| is_end(byte) || byte == b'-')
}

/// `^[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$`
fn is_key_name(key: &str) -> bool {
    is_framed(
        key,
        |byte| byte.is_ascii_alphanumeric(),
        |byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte),
    )
}

/// A name, maybe after labels of a DNS name and a slash.
fn is_annotation_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_key_name(key),
        Some((prefix, name)) => {
            prefix.len() <= LONGEST_PREFIX && prefix.split('.').all(is_dns_label) && is_key_name(name)
        }
    }
}

fn is_framed(text: &str, is_end: impl Fn(u8) -> bool, is_within: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    bytes.len() <= LONGEST_LABEL
        && ends.into_iter().all(|end| end.is_some_and(|end| is_end(*end)))
        && bytes.iter().all(|byte| is_within(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_have_their_form() {
        let long = "a".repeat(63);
        let longer = "a".repeat(64);
        for (text, dns, key, annotation) in [
            ("web", true, true, true),
            ("a", true, true, true),
            ("123-abc", true, true, true),
            (&long, true, true, true),
            (&longer, false, false, false),
            ("", false, false, false),
            ("-a", false, false, false),
            ("a-", false, false, false),
            ("Web", false, true, true),
            ("a.b_c", false, true, true),
            ("a b", false, false, false),
            ("ü", false, false, false),
            ("my-domain.org/my-key", false, false, true),
            ("a..b/key", false, false, false),
            ("/key", false, false, false),
            ("a/b/c", false, false, false),
            ("A.org/key", false, false, false),
        ] {
            assert_eq!(
                (is_dns_label(text), is_key_name(text), is_annotation_key(text)),
                (dns, key, annotation),
                "{text}"
            );
        }
        let prefix = vec!["a".repeat(63); 4].join(".");
        assert!(
            !is_annotation_key(&format!("{prefix}/key"))
                && is_annotation_key(&format!("{}/key", &prefix[..253]))
        );
    }
}
