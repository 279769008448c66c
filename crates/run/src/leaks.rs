//! Objectives about leaks: whether a figure of a resource grows without end, as its course beside the load tells.

use plimsoll_sla::{Expression, Judgement, Measure, Objective, OfResource, ResourceName, Verdict};
use plimsoll_stats::{Growth, Leak, LeakVerdict};
use plimsoll_units::duration;

use crate::ResourceSummary;

/// The figure that is not to leak, where an objective is about that.
pub(crate) fn asked(expression: &Expression) -> Option<ResourceName> {
    match expression.measure {
        Measure::Resource(OfResource::Leak, name, _) => Some(name),
        _ => None,
    }
}

/// Whether a name means this figure, or may where it does not say which labels.
pub(crate) fn may_mean(name: &ResourceName, figure: &ResourceSummary) -> bool {
    let base = figure.name.split('{').next().unwrap_or_default();
    name.is_of(&figure.source) && (*figure.name == *name.figure() || base == name.figure())
}

/// The final word on an objective about a leak; `None` where it is about something else.
pub(crate) fn judge(objective: &Objective, figures: &[ResourceSummary]) -> Option<Judgement> {
    let measure = objective.expression.measure;
    let name = asked(&objective.expression)?;
    let undecided =
        |why: String| Judgement { verdict: Verdict::Inconclusive, observed: None, target: None, why };
    let figure = match meant(&name, figures) {
        Ok(figure) => figure,
        Err(why) => return Some(undecided(why)),
    };
    let Some(leak) = figure.findings.leak else {
        return Some(undecided(format!(
            "`{name}` was not looked at for leaks, as of rates and shares nobody asks"
        )));
    };
    let verdict = match leak.verdict {
        LeakVerdict::None => Verdict::Met,
        LeakVerdict::Leak => Verdict::Missed,
        LeakVerdict::Suspected | LeakVerdict::TooShort => Verdict::Inconclusive,
    };
    let message = objective.message.as_ref().filter(|_| verdict == Verdict::Missed);
    let why = explain(&leak, &|slope| measure.human(slope));
    let why = message.map_or(why.clone(), |message| format!("{why}: {message}"));
    Some(Judgement { verdict, observed: leak.trend.map(|trend| trend.slope), target: None, why })
}

/// The one figure that a name means, else why it is none.
fn meant<'f>(name: &ResourceName, figures: &'f [ResourceSummary]) -> Result<&'f ResourceSummary, String> {
    let all = || figures.iter().filter(|figure| figure.count > 0 && may_mean(name, figure));
    let is_just = |figure: &&ResourceSummary| *figure.name == *name.figure();
    let mut chosen: Vec<_> = all().filter(is_just).collect();
    if chosen.is_empty() {
        chosen = all().collect();
    }
    match chosen[..] {
        [] => Err(format!("no look found `{name}`")),
        [figure] => Ok(figure),
        [one, other, ..] => {
            let [one, other] = [one, other].map(|figure| format!("`{}.{}`", figure.source, figure.name));
            Err(format!("there are several: {one} and {other}; name one of them"))
        }
    }
}

/// `human` writes growth per second of run.
fn explain(leak: &Leak, human: &dyn Fn(f64) -> String) -> String {
    let (Some(trend), Some(growth)) = (leak.trend, leak.growth) else {
        let (values, span) = (leak.values, duration::human(leak.span));
        return format!(
            "too short to tell: {values} readings at like load over {span}, and it takes 40 over 60s"
        );
    };
    let how = match growth {
        Growth::Insignificant => "no more growth than chance explains, or than matters",
        Growth::Ended => "its growth has ended",
        Growth::Slowing => "it may leak: it grows ever more slowly",
        Growth::Step => "it may leak: it grew in a step",
        Growth::Unconfirmed => "it may leak: the later half alone does not show it",
        Growth::Steady if leak.verdict == LeakVerdict::Leak => "it leaks: it grows steadily",
        Growth::Steady => "it may leak: it grows",
    };
    let (low, high) = (human(trend.interval.0), human(trend.interval.1));
    format!("{how}; {} ({low} to {high} at 95%)", human(trend.slope))
}

#[cfg(test)]
mod tests {
    use plimsoll_sla::{Filter, Severity};
    use plimsoll_stats::{LeakFloor, Point, leak};

    use super::*;
    use crate::{ResourceFindings, ResourceUnit};

    fn figure(source: &str, name: &str, seconds: u64, value: impl Fn(u64) -> f64) -> ResourceSummary {
        let points: Vec<_> = (0..seconds).map(|at| Point { at: at as f64, value: value(at) }).collect();
        let found = leak(&points, LeakFloor { amount: 1e6, share: 0.01 }, None);
        ResourceSummary {
            source: source.into(),
            name: name.into(),
            unit: ResourceUnit::Bytes,
            count: seconds,
            mean: Some(1e8),
            peak: Some(1e8),
            course: Vec::new(),
            findings: ResourceFindings { leak: Some(found), ..ResourceFindings::default() },
        }
    }

    fn judged(text: &str, figures: &[ResourceSummary]) -> Judgement {
        let objective = Objective {
            name: "n".into(),
            text: text.into(),
            expression: Expression::parse_beside(text, &[]).unwrap(),
            over: None,
            filter: Filter::default(),
            abort_after: None,
            severity: Severity::Critical,
            message: Some("find it".into()),
        };
        judge(&objective, figures).unwrap()
    }

    fn noise(second: u64) -> f64 {
        (second.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 1e3
    }

    #[test]
    fn a_leak_is_missed_none_is_met_and_what_nobody_knows_is_neither() {
        use Verdict::{Inconclusive, Met, Missed};
        let flat = |second| 1e8 + noise(second);
        let grows = |second| 1e8 + 1e5 * second as f64 + noise(second);
        for (seconds, course, verdict, begins) in [
            (600, &flat as &dyn Fn(u64) -> f64, Met, "no more growth"),
            (600, &grows, Missed, "it leaks: it grows steadily; +360 MB an hour (+"),
            (50, &grows, Inconclusive, "too short to tell: 50 readings"),
        ] {
            let judgement = judged("leak(memory) = none", &[figure("shop", "memory", seconds, course)]);
            assert_eq!(judgement.verdict, verdict, "{judgement:?}");
            assert!(judgement.why.starts_with(begins), "{}", judgement.why);
            assert_eq!(judgement.why.ends_with(": find it"), verdict == Missed);
            assert_eq!((judgement.target, judgement.observed.is_some()), (None, seconds == 600));
        }
    }

    #[test]
    fn a_name_means_one_figure() {
        let flat = |second| 1e8 + noise(second);
        let memory = |source| figure(source, "memory", 600, flat);
        let two = [memory("shop"), memory("machine")];
        assert_eq!(judged("leak(shop.memory) = none", &two).verdict, Verdict::Met);
        let several = judged("leak(memory) = none", &two);
        assert_eq!(several.verdict, Verdict::Inconclusive);
        let why = "there are several: `shop.memory` and `machine.memory`; name one of them";
        assert_eq!(several.why, why);
        assert_eq!(judged("leak(heap) = none", &two).why, "no look found `heap`");
        let mut never = memory("shop");
        never.count = 0;
        assert_eq!(judged("leak(memory) = none", &[never]).verdict, Verdict::Inconclusive);
    }
}
