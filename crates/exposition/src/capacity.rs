//! What a history says of the limits of plans, as series.

use crate::catalogue::{self, Metric};
use crate::{Family, Labels, Point, Value};

/// The limit of a plan and the traffic beside it, per second.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanLimit {
    /// The plan's name.
    pub plan: String,
    /// The limit.
    pub estimate: f64,
    /// The lower end of its interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// The busiest traffic that is known.
    pub traffic: Option<f64>,
}

impl PlanLimit {
    /// Free share of the limit, (limit - traffic) / limit: below 0 when traffic is over the limit. `None` without
    /// traffic, and where the limit is none.
    pub fn headroom(&self) -> Option<f64> {
        self.traffic.filter(|_| self.estimate > 0.0).map(|traffic| 1.0 - traffic / self.estimate)
    }
}

/// The series of these limits, one for each plan; none where nothing is known.
pub fn capacity_families(limits: &[PlanLimit]) -> Vec<Family> {
    let bounds = |limit: &PlanLimit| {
        let level = |bound: &str, value: f64| point(vec![limit.plan.as_str().into(), bound.into()], value);
        let ends = [("low", limit.low), ("high", limit.high)];
        let ends = ends.into_iter().filter_map(|(bound, value)| Some(level(bound, value?)));
        std::iter::once(level("estimate", limit.estimate)).chain(ends).collect::<Vec<_>>()
    };
    let headroom =
        |limit: &PlanLimit| limit.headroom().map(|ratio| point(vec![limit.plan.as_str().into()], ratio));
    let family = |metric: &'static Metric, points| Family { metric, points };
    let families = [
        family(&catalogue::CAPACITY_LIMIT, limits.iter().flat_map(bounds).collect()),
        family(&catalogue::CAPACITY_HEADROOM, limits.iter().filter_map(headroom).collect()),
    ];
    families.into_iter().filter(|family| !family.points.is_empty()).collect()
}

fn point(labels: Labels, value: f64) -> Point {
    Point::new(labels, Value::Gauge(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::Format;

    fn text(limits: &[PlanLimit]) -> String {
        let text = String::from_utf8(Format::Text.encode(&capacity_families(limits))).unwrap();
        let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        series.join("\n")
    }

    #[test]
    fn what_nobody_knows_has_no_series() {
        let known = PlanLimit {
            plan: "shop \"b\"".to_owned(),
            estimate: 400.0,
            low: Some(380.0),
            high: Some(420.5),
            traffic: Some(300.0),
        };
        let none = PlanLimit { low: None, high: None, traffic: None, ..known.clone() };
        let over = PlanLimit { plan: "over".to_owned(), traffic: Some(500.0), ..none };
        let limit = |bound: &str, value: &str| {
            format!("plimsoll_capacity_limit{{plan=\"shop \\\"b\\\"\",bound=\"{bound}\"}} {value}")
        };
        let ratio = "plimsoll_capacity_headroom_ratio";
        let all = [
            limit("estimate", "400"),
            limit("low", "380"),
            limit("high", "420.5"),
            format!("{ratio}{{plan=\"shop \\\"b\\\"\"}} 0.25"),
        ];
        assert_eq!(text(&[known]), all.join("\n"));
        assert_eq!(text(std::slice::from_ref(&none)), all[0]);
        assert!(text(std::slice::from_ref(&over)).ends_with(&format!("{ratio}{{plan=\"over\"}} -0.25")));
        assert_eq!(PlanLimit { estimate: 0.0, ..over }.headroom(), None);
        assert_eq!(text(&[]), "");
    }
}
