//! The limits of plans, from the answers that a history keeps.

use plimsoll_exposition::PlanLimit;
use plimsoll_history::{AnswerBy, KeptAnswer};

/// What is known of the limit of one plan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    pub(crate) plan: String,
    /// The newest answers of each kind with their numbers, the latest first; at least one.
    pub(crate) answers: Vec<(i64, KeptAnswer)>,
}

impl Known {
    /// Of each plan, the one with the latest answer first.
    pub(crate) fn all(answers: Vec<(i64, KeptAnswer)>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (number, kept) in answers {
            match all.iter_mut().find(|known| known.plan == kept.plan) {
                Some(known) => known.answers.push((number, kept)),
                None => all.push(Self { plan: kept.plan.clone(), answers: vec![(number, kept)] }),
            }
        }
        all
    }

    /// The newest answer that has a figure, and the busiest traffic that was told with the newest forecast.
    pub(crate) fn limit(&self) -> Option<(AnswerBy, PlanLimit)> {
        let found = self.answers.iter().find_map(|(_, kept)| Some((kept, kept.estimate?)));
        let traffic = self.answers.iter().find_map(|(_, kept)| kept.traffic);
        found.map(|(KeptAnswer { plan, by, low, high, .. }, estimate)| {
            (*by, PlanLimit { plan: plan.clone(), estimate, low: *low, high: *high, traffic })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(plan: &str, by: AnswerBy, estimate: Option<f64>, traffic: Option<f64>) -> KeptAnswer {
        KeptAnswer {
            plan: plan.to_owned(),
            target: "http://127.0.0.1".to_owned(),
            by,
            made_nanos: 0,
            estimate,
            low: estimate.map(|value| value * 0.9),
            high: None,
            traffic,
        }
    }

    /// Answers in their order, the latest first, and the limit and headroom of `shop`.
    fn check(answers: &[(AnswerBy, Option<f64>, Option<f64>)], limit: Option<f64>, headroom: Option<f64>) {
        let of_shop = answers.iter().map(|(by, estimate, traffic)| kept("shop", *by, *estimate, *traffic));
        let other = kept("other", AnswerBy::Limit, Some(1.0), Some(1.0));
        let all =
            Known::all(of_shop.chain([other]).enumerate().map(|(at, kept)| (at as i64, kept)).collect());
        assert_eq!(all.iter().map(|known| known.plan.as_str()).collect::<Vec<_>>(), ["shop", "other"]);
        let found = all[0].limit().map(|(_, limit)| limit);
        assert_eq!(found.as_ref().map(|found| found.estimate), limit);
        assert_eq!(found.and_then(|found| found.headroom()), headroom);
    }

    #[test]
    fn the_newest_figure_counts_and_traffic_is_taken_from_where_it_was_told() {
        use AnswerBy::{Capacity, Limit};
        check(&[(Capacity, Some(400.0), Some(300.0))], Some(400.0), Some(0.25));
        check(&[(Limit, Some(500.0), None), (Capacity, Some(400.0), Some(300.0))], Some(500.0), Some(0.4));
        check(&[(Capacity, None, Some(300.0)), (Limit, Some(500.0), None)], Some(500.0), Some(0.4));
        check(&[(Capacity, Some(400.0), None)], Some(400.0), None);
        check(&[(Capacity, None, Some(300.0))], None, None);
    }
}
