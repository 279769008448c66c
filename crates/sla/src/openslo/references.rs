//! What several objects say together: names that refer to each other.

use std::collections::{HashMap, HashSet};

use super::validate::{MetricForm, Rules, shortened};
use super::{
    AlertConditionSpec, AlertNotificationTargetSpec, AlertPolicySpec, Definition, Inline, Kind, MetricSource,
    Object, Part, Path, Rule, SliSpec, SloSpec, Violation, Word,
};

/// What is wrong with objects that stand together, with the position of the object it is said of: names that are taken
/// twice, references to nothing, and objectives that do not go with the indicator they name.
///
/// Where two objects of a kind have one name, a reference means the first, as in the official library. Two services of one
/// name are one service, and a warning; any other two are an error.
pub fn check_together(objects: &[Object]) -> Vec<(usize, Violation)> {
    let names = Names::of(objects);
    let mut found = Vec::new();
    for (position, object) in objects.iter().enumerate() {
        let mut rules = Rules::default();
        names.duplicate(&mut rules, position, object);
        references(object, &mut |path, kind, name| names.follow(&mut rules, path, kind, name));
        if let Object::Slo(slo) = object {
            names.objectives(&mut rules, &slo.spec);
        }
        found.extend(rules.found.into_iter().map(|violation| (position, violation)));
    }
    found
}

/// The first object of every kind and name.
struct Names<'o> {
    objects: &'o [Object],
    first: HashMap<(Kind, &'o str), usize>,
    kinds: HashSet<Kind>,
}

impl<'o> Names<'o> {
    fn of(objects: &'o [Object]) -> Self {
        let mut first = HashMap::new();
        for (position, object) in objects.iter().enumerate() {
            first.entry((object.kind(), object.name())).or_insert(position);
        }
        let kinds = objects.iter().map(Object::kind).collect();
        Self { objects, first, kinds }
    }

    fn get(&self, kind: Kind, name: &str) -> Option<(usize, &'o Object)> {
        let position = *self.first.get(&(kind, name))?;
        Some((position, &self.objects[position]))
    }

    fn sli(&self, name: &str) -> Option<&'o Definition<SliSpec>> {
        match self.get(Kind::Sli, name) {
            Some((_, Object::Sli(sli))) => Some(sli),
            _ => None,
        }
    }

    fn duplicate(&self, rules: &mut Rules, position: usize, object: &Object) {
        let (kind, name) = (object.kind(), object.name());
        let is_first = self.first.get(&(kind, name)).is_none_or(|first| *first == position);
        if is_first || name.is_empty() {
            return;
        }
        let path = Path::root().key("metadata").key("name");
        let message = format!("is taken: there is another {} `{}`", kind.label(), shortened(name));
        rules.found.push(match kind {
            Kind::Service => {
                Violation::warning(path, Rule::Duplicate, message).help("both are taken for one service")
            }
            _ => Violation::error(path, Rule::Duplicate, message).help("give each its own name"),
        });
    }

    fn follow(&self, rules: &mut Rules, path: Path, kind: Kind, name: &str) {
        if name.is_empty() || self.get(kind, name).is_some() {
            return;
        }
        let message =
            format!("names the {} `{}`, which none of the files has", kind.label(), shortened(name));
        match kind {
            // A service is a name before it is an object, and a source may be the reader's own.
            Kind::Service if !self.kinds.contains(&kind) => {}
            Kind::Service | Kind::DataSource => {
                rules.found.push(Violation::warning(path, Rule::UnresolvedReference, message));
            }
            _ => {
                let violation = Violation::error(path, Rule::UnresolvedReference, message);
                rules.found.push(violation.help("name its file too, or write it out here"));
            }
        }
    }

    /// The rules that an objective's indicator makes, where the indicator stands elsewhere.
    fn objectives(&self, rules: &mut Rules, slo: &SloSpec) {
        for (index, objective) in slo.objectives.iter().enumerate() {
            let is_inline = objective.indicator.is_some()
                || (objective.indicator_ref.is_none() && slo.indicator.is_some());
            let reference = objective.indicator_ref.as_deref().or(slo.indicator_ref.as_deref());
            let Some(sli) = reference.filter(|_| !is_inline).and_then(|name| self.sli(name)) else {
                continue;
            };
            if let Some(form) = MetricForm::of(&sli.spec) {
                let path = Path::root().key("spec").key("objectives").index(index);
                rules.objective_of(&path, objective, form);
            }
        }
    }
}

/// Calls for every reference: where it stands, what it must name, and the name.
fn references(object: &Object, visit: &mut dyn FnMut(Path, Kind, &str)) {
    let spec = Path::root().key("spec");
    match object {
        Object::DataSource(_)
        | Object::AlertCondition(_)
        | Object::AlertNotificationTarget(_)
        | Object::Service(_) => {}
        Object::Sli(sli) => of_sli(&spec, &sli.spec, visit),
        Object::AlertPolicy(policy) => of_policy(&spec, &policy.spec, visit),
        Object::Slo(Definition { spec: slo, .. }) => {
            visit(spec.key("service"), Kind::Service, &slo.service);
            of_indicator(&spec, slo.indicator.as_ref(), slo.indicator_ref.as_deref(), visit);
            for (index, objective) in slo.objectives.iter().enumerate() {
                let path = spec.key("objectives").index(index);
                of_indicator(&path, objective.indicator.as_ref(), objective.indicator_ref.as_deref(), visit);
            }
            for (index, policy) in slo.alert_policies.iter().enumerate() {
                let path = spec.key("alertPolicies").index(index);
                if let Some(name) = &policy.reference {
                    visit(path.key("alertPolicyRef"), Kind::AlertPolicy, name);
                }
                if let Some(inline) = &policy.inline {
                    of_policy(&path.key("spec"), &inline.spec, visit);
                }
            }
        }
    }
}

fn of_indicator(
    path: &Path,
    inline: Option<&Definition<SliSpec>>,
    reference: Option<&str>,
    visit: &mut dyn FnMut(Path, Kind, &str),
) {
    if let Some(name) = reference {
        visit(path.key("indicatorRef"), Kind::Sli, name);
    }
    if let Some(indicator) = inline {
        of_sli(&path.key("indicator").key("spec"), &indicator.spec, visit);
    }
}

fn of_sli(spec: &Path, sli: &SliSpec, visit: &mut dyn FnMut(Path, Kind, &str)) {
    let mut metric = |path: Path, metric: &Option<MetricSource>| {
        if let Some(name) = metric.as_ref().and_then(|metric| metric.data_source.as_deref()) {
            visit(path.key("metricSource").key("metricSourceRef"), Kind::DataSource, name);
        }
    };
    metric(spec.key("thresholdMetric"), &sli.threshold_metric);
    if let Some(ratio) = &sli.ratio_metric {
        let path = spec.key("ratioMetric");
        for (name, part) in
            [("good", &ratio.good), ("bad", &ratio.bad), ("total", &ratio.total), ("raw", &ratio.raw)]
        {
            metric(path.key(name), part);
        }
    }
}

fn of_policy(spec: &Path, policy: &AlertPolicySpec, visit: &mut dyn FnMut(Path, Kind, &str)) {
    for (index, condition) in policy.conditions.iter().enumerate() {
        if let Some(name) = &condition.reference {
            visit(spec.key("conditions").index(index).key("conditionRef"), Kind::AlertCondition, name);
        }
    }
    for (index, target) in policy.notification_targets.iter().enumerate() {
        if let Some(name) = &target.reference {
            let path = spec.key("notificationTargets").index(index).key("targetRef");
            visit(path, Kind::AlertNotificationTarget, name);
        }
    }
}

/// What becomes of objects that were put where they are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referenced {
    /// They stay.
    Keep,
    /// They are left out.
    Remove,
}

/// A reference to something that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` of the {} `{object}` names the {} `{name}`, which is not there", of.label(), kind.label())]
pub struct Unresolved {
    /// The kind of the object that has the reference.
    pub of: Kind,
    /// Its name.
    pub object: String,
    /// Where in it the reference stands.
    pub path: Path,
    /// The kind of what it names.
    pub kind: Kind,
    /// The name.
    pub name: String,
}

/// Puts what alert policies and SLOs name where it is named, so that each says all by itself: indicators, policies,
/// conditions and targets. Data sources and services stay names.
///
/// # Errors
/// The first reference to something that is not there.
pub fn inline(objects: &[Object], referenced: Referenced) -> Result<Vec<Object>, Unresolved> {
    let mut inliner = Inliner { names: Names::of(objects), used: vec![false; objects.len()] };
    let mut inlined = Vec::with_capacity(objects.len());
    for object in objects {
        inlined.push(inliner.object(object).map_err(|missing| Unresolved {
            of: object.kind(),
            object: object.name().to_owned(),
            path: missing.path,
            kind: missing.kind,
            name: missing.name,
        })?);
    }
    if referenced == Referenced::Remove {
        let mut used = inliner.used.iter();
        inlined.retain(|_| used.next().is_some_and(|used| !used));
    }
    Ok(inlined)
}

struct Inliner<'o> {
    names: Names<'o>,
    used: Vec<bool>,
}

struct Missing {
    path: Path,
    kind: Kind,
    name: String,
}

impl<'o> Inliner<'o> {
    fn object(&mut self, object: &Object) -> Result<Object, Missing> {
        let spec = Path::root().key("spec");
        let mut object = object.clone();
        match &mut object {
            Object::AlertPolicy(policy) => self.policy(&spec, &mut policy.spec)?,
            Object::Slo(slo) => self.slo(&spec, &mut slo.spec)?,
            _ => {}
        }
        Ok(object)
    }

    fn find(&mut self, path: Path, kind: Kind, name: &str) -> Result<&'o Object, Missing> {
        match self.names.get(kind, name) {
            Some((position, object)) => {
                self.used[position] = true;
                Ok(object)
            }
            None => Err(Missing { path, kind, name: name.to_owned() }),
        }
    }

    fn slo(&mut self, spec: &Path, slo: &mut SloSpec) -> Result<(), Missing> {
        for (index, policy) in slo.alert_policies.iter_mut().enumerate() {
            let path = spec.key("alertPolicies").index(index);
            self.part(path.key("alertPolicyRef"), Kind::AlertPolicy, policy, |object| match object {
                Object::AlertPolicy(policy) => Some(policy),
                _ => None,
            })?;
            if let Some(inline) = &mut policy.inline {
                self.policy(&path.key("spec"), &mut inline.spec)?;
            }
        }
        self.indicator(spec, &mut slo.indicator, &mut slo.indicator_ref)?;
        for (index, objective) in slo.objectives.iter_mut().enumerate() {
            let path = spec.key("objectives").index(index);
            self.indicator(&path, &mut objective.indicator, &mut objective.indicator_ref)?;
        }
        Ok(())
    }

    fn indicator(
        &mut self,
        path: &Path,
        inline: &mut Option<Definition<SliSpec>>,
        reference: &mut Option<String>,
    ) -> Result<(), Missing> {
        let Some(name) = reference.as_deref() else { return Ok(()) };
        if let Object::Sli(sli) = self.find(path.key("indicatorRef"), Kind::Sli, name)? {
            *inline = Some(sli.clone());
            *reference = None;
        }
        Ok(())
    }

    fn policy(&mut self, spec: &Path, policy: &mut AlertPolicySpec) -> Result<(), Missing> {
        for (index, target) in policy.notification_targets.iter_mut().enumerate() {
            let path = spec.key("notificationTargets").index(index).key("targetRef");
            self.part(path, Kind::AlertNotificationTarget, target, as_notification_target)?;
        }
        for (index, condition) in policy.conditions.iter_mut().enumerate() {
            let path = spec.key("conditions").index(index).key("conditionRef");
            self.part(path, Kind::AlertCondition, condition, as_condition)?;
        }
        Ok(())
    }

    fn part<S: Clone + 'o>(
        &mut self,
        path: Path,
        kind: Kind,
        part: &mut Part<S>,
        of: impl Fn(&'o Object) -> Option<&'o Definition<S>>,
    ) -> Result<(), Missing> {
        let Some(name) = part.reference.as_deref() else { return Ok(()) };
        if let Some(Definition { metadata, spec }) = of(self.find(path, kind, name)?) {
            let inline = Inline { kind: Some(kind), metadata: metadata.clone(), spec: spec.clone() };
            *part = Part { reference: None, inline: Some(inline) };
        }
        Ok(())
    }
}

fn as_condition(object: &Object) -> Option<&Definition<AlertConditionSpec>> {
    match object {
        Object::AlertCondition(condition) => Some(condition),
        _ => None,
    }
}

fn as_notification_target(object: &Object) -> Option<&Definition<AlertNotificationTargetSpec>> {
    match object {
        Object::AlertNotificationTarget(target) => Some(target),
        _ => None,
    }
}
