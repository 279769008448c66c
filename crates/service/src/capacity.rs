//! The limits of plans, from the answers that a history keeps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use plimsoll_capacity::{Answer, TrackRecord};
use plimsoll_exposition::PlanLimit;
use plimsoll_history::{AnswerBy, Error, History, KeptAnswer};
use plimsoll_report::{CapacityLimit, CapacityPlan, Foretold, KeptCapacity, Measured};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::shapes;

/// Plans whose answers are drawn; of those before them a page has the figures.
const DRAWN: usize = 24;

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

/// An answer as it can be shown.
#[derive(Debug)]
pub(crate) struct Shown {
    made_nanos: i64,
    /// The result as it was kept; null where that is no JSON.
    pub(crate) result: Value,
    /// What was asked and what can be said; `None` where it cannot be drawn again.
    foretold: Option<(KeptCapacity, Answer)>,
}

/// Answers that have been computed, by their number: reloading a page computes nothing.
#[derive(Debug)]
pub(crate) struct Answers {
    history: History,
    shown: Mutex<BTreeMap<i64, Arc<Shown>>>,
    /// An answer takes up to a second of a processor: one at a time, so that runs beside it have the others.
    turn: Semaphore,
}

/// A plan with everything its section is drawn from.
#[derive(Debug)]
struct Section {
    known: Known,
    shown: BTreeMap<i64, Arc<Shown>>,
    record: Option<String>,
}

impl Answers {
    pub(crate) fn new(history: History) -> Self {
        Self { history, shown: Mutex::default(), turn: Semaphore::new(1) }
    }

    /// What is known of each plan.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(crate) async fn known(&self) -> Result<Vec<Known>, Error> {
        let known = Known::all(self.history.answers().await?);
        let is_kept =
            |number: &i64| known.iter().any(|known| known.answers.iter().any(|(at, _)| at == number));
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).retain(|number, _| is_kept(number));
        Ok(known)
    }

    /// An answer as it can be shown; `None` where there is none of this number.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(crate) async fn shown(&self, number: i64) -> Result<Option<Arc<Shown>>, Error> {
        let answers = self.history.answers().await?;
        match answers.iter().find(|(at, _)| *at == number) {
            Some((_, kept)) => self.shown_as_of(number, kept).await,
            None => Ok(None),
        }
    }

    /// The whole report of an answer; `None` where it cannot be drawn again.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(crate) async fn report(&self, number: i64) -> Result<Option<String>, Error> {
        let answers = self.history.answers().await?;
        let Some((_, kept)) = answers.iter().find(|(at, _)| *at == number) else { return Ok(None) };
        let Some(shown) = self.shown_as_of(number, kept).await? else { return Ok(None) };
        let record = self.track_record(&kept.plan).await?;
        let drawn = spawn_blocking(move || {
            let (kept, answer) = shown.foretold.as_ref()?;
            Some(plimsoll_report::capacity_html(&kept.report(answer, record.as_deref())))
        });
        Ok(drawn.await.unwrap_or_else(|error| {
            tracing::error!(number, %error, "a report of capacity cannot be drawn");
            None
        }))
    }

    /// How good earlier predictions of a plan were, once one was measured.
    async fn track_record(&self, plan: &str) -> Result<Option<String>, Error> {
        let record = TrackRecord::of(&self.history.predictions(Some(plan)).await?);
        Ok((record.measured > 0).then(|| plimsoll_report::track_record_sentence(&record)))
    }

    async fn shown_as_of(&self, number: i64, kept: &KeptAnswer) -> Result<Option<Arc<Shown>>, Error> {
        let (made_nanos, told) = (kept.made_nanos, kept.estimate);
        if let Some(shown) = self.ready(number, made_nanos) {
            return Ok(Some(shown));
        }
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        if let Some(shown) = self.ready(number, made_nanos) {
            return Ok(Some(shown));
        }
        let Some(text) = self.history.answer(number).await? else { return Ok(None) };
        let drawn = spawn_blocking(move || {
            let inputs = text.inputs.and_then(|inputs| serde_json::from_str(&inputs).ok());
            let kept = inputs.as_ref().and_then(KeptCapacity::from_json);
            let foretold = kept.map(|kept| {
                let answer = kept.answer();
                (kept, answer)
            });
            // Another build may answer otherwise. Then what was told stands, and no chart contradicts it.
            let foretold = foretold
                .filter(|(_, answer)| is_same(told, answer.limit.as_ref().map(|(limit, _)| limit.value)));
            Shown { made_nanos, result: serde_json::from_str(&text.result).unwrap_or_default(), foretold }
        });
        let shown = match drawn.await {
            Ok(shown) => Arc::new(shown),
            Err(error) => {
                tracing::warn!(number, %error, "an answer cannot be drawn again");
                return Ok(None);
            }
        };
        let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(number, Arc::clone(&shown));
        Ok(Some(shown))
    }

    fn ready(&self, number: i64, made_nanos: i64) -> Option<Arc<Shown>> {
        let all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&number).filter(|shown| shown.made_nanos == made_nanos).cloned()
    }

    /// The page of all plans; `plans` are the names of those that have runs.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(crate) async fn page(&self, plans: Vec<String>) -> Result<String, Error> {
        let all = self.known().await?;
        let unasked: Vec<String> =
            plans.into_iter().filter(|plan| all.iter().all(|known| known.plan != *plan)).collect();
        let mut sections = Vec::new();
        for (at, known) in all.into_iter().enumerate() {
            let mut section = Section { record: None, shown: BTreeMap::new(), known };
            if at < DRAWN {
                for (number, kept) in &section.known.answers {
                    let shown = self.shown_as_of(*number, kept).await?;
                    section.shown.extend(shown.map(|shown| (*number, shown)));
                }
                let record = self.track_record(&section.known.plan).await?;
                section.record = record.map(|record| format!("Earlier predictions: {record}."));
            }
            sections.push(section);
        }
        let drawn = spawn_blocking(move || page(&sections, &unasked));
        Ok(drawn.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the page of capacity cannot be drawn");
            String::new()
        }))
    }
}

/// Whether two figures are one: numbers lose nothing on their way through the record but their last digits.
fn is_same(told: Option<f64>, found: Option<f64>) -> bool {
    match (told, found) {
        (Some(told), Some(found)) => (told - found).abs() <= told.abs() * 1e-9,
        (told, found) => told.is_none() && found.is_none(),
    }
}

/// Where an answer's report and JSON are.
fn places(number: i64) -> (String, String) {
    (format!("/capacity/{number}"), format!("/api/v1/capacity/{number}"))
}

fn page(sections: &[Section], unasked: &[String]) -> String {
    let places: BTreeMap<i64, (String, String)> = sections
        .iter()
        .flat_map(|section| &section.known.answers)
        .map(|(at, _)| (*at, places(*at)))
        .collect();
    let plans: Vec<CapacityPlan> = sections.iter().map(|section| plan(section, &places)).collect();
    let unasked: Vec<&str> = unasked.iter().map(String::as_str).collect();
    plimsoll_report::capacity_page(&plans, &unasked)
}

fn plan<'s>(section: &'s Section, places: &'s BTreeMap<i64, (String, String)>) -> CapacityPlan<'s> {
    let known = &section.known;
    let of = |by| {
        let (number, kept) = known.answers.iter().find(|(_, kept)| kept.by == by)?;
        Some((kept.made_nanos, section.shown.get(number), places.get(number)?))
    };
    let limit = known.limit().map(|(by, limit)| CapacityLimit {
        estimate: limit.estimate,
        low: limit.low,
        high: limit.high,
        is_measured: by == AnswerBy::Limit,
        traffic: limit.traffic,
        headroom: limit.headroom(),
    });
    let foretold = of(AnswerBy::Capacity).map(|(made_nanos, shown, (href, json))| {
        let drawn = shown.and_then(|shown| shown.foretold.as_ref());
        Foretold { made_nanos, report: drawn.map(|(kept, answer)| kept.report(answer, None)), href, json }
    });
    let measured = of(AnswerBy::Limit).and_then(|(made_nanos, shown, (_, json))| {
        Some(Measured { made_nanos, result: &shown?.result, json })
    });
    CapacityPlan {
        plan: &known.plan,
        target: known.answers.first().map_or("", |(_, kept)| &kept.target),
        limit,
        foretold,
        measured,
        track_record: section.record.as_deref(),
    }
}

/// What is known of each plan, as JSON.
pub(crate) fn list(known: &[Known]) -> Value {
    let answer = |(number, kept): &(i64, KeptAnswer)| {
        let (report, json) = places(*number);
        let report = (kept.by == AnswerBy::Capacity).then_some(report);
        json!({ "by": kept.by.label(), "made": shapes::moment(kept.made_nanos), "target": kept.target, "json": json, "report": report })
    };
    let plan = |known: &Known| {
        let limit = known.limit();
        json!({
            "plan": known.plan,
            "limit": limit.as_ref().map(|(by, limit)| {
                json!({ "estimate": limit.estimate, "low": limit.low, "high": limit.high, "by": by.label() })
            }),
            "traffic": limit.as_ref().and_then(|(_, limit)| limit.traffic),
            "headroom_ratio": limit.as_ref().and_then(|(_, limit)| limit.headroom()),
            "answers": known.answers.iter().map(answer).collect::<Vec<_>>(),
        })
    };
    json!({ "plans": known.iter().map(plan).collect::<Vec<_>>() })
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
    fn a_figure_is_the_same_but_for_its_last_digits() {
        for (told, found, same) in [
            (Some(750.0), Some(750.0 + 1e-9), true),
            (Some(525.0), Some(750.0), false),
            (Some(525.0), None, false),
            (None, Some(525.0), false),
            (None, None, true),
        ] {
            assert_eq!(is_same(told, found), same, "{told:?} and {found:?}");
        }
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
