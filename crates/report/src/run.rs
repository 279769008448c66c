use std::sync::Arc;

use plimsoll_measure::{ErrorSample, SeriesKey};
use plimsoll_run::{Annotation, RunStatus, StageSummary, Started, State, Summary};
use plimsoll_sla::{Severity, Validity, Verdict};

use crate::words;

/// What a report is about: the figures of a run, and the names and the plan they refer to.
#[derive(Debug, Clone)]
pub struct Run {
    /// The figures.
    pub summary: Summary,
    /// Its first event: steps, stages, objectives, the plan's text.
    pub started: Arc<Started>,
    /// What others told of the time it ran in, in any order.
    pub alerts: Vec<Annotation>,
}

impl Run {
    /// A run at its end, or so far.
    pub fn of(state: &State) -> Self {
        Self { summary: state.summary(), started: Arc::clone(state.started()), alerts: Vec::new() }
    }

    /// The verdict of the critical objectives together: missed if one is, else inconclusive if one
    /// is. `None` without any.
    pub fn verdict(&self) -> Option<Verdict> {
        let objectives = self.summary.objectives.iter();
        let critical = objectives.filter(|objective| objective.severity == Severity::Critical);
        let rank = |verdict: &Verdict| match verdict {
            Verdict::Met => 0,
            Verdict::Inconclusive => 1,
            Verdict::Missed => 2,
        };
        critical.map(|objective| objective.judgement.verdict).max_by_key(rank)
    }

    /// What has to be known before any figure is read: an end before its time, a generator that
    /// cannot be trusted.
    pub(crate) fn caveats(&self) -> Vec<String> {
        let summary = &self.summary;
        let end = match summary.status {
            None => Some("The run goes on: these are the figures so far.".to_owned()),
            Some(RunStatus::Completed) => None,
            Some(status) => Some(match &summary.reason {
                Some(reason) => format!("The run was {}: {reason}", ended_word(status)),
                None => format!("The run was {}.", ended_word(status)),
            }),
        };
        let trust = match summary.validity.verdict {
            Validity::Valid => None,
            Validity::Suspect => Some("the generator is suspect"),
            Validity::Invalid => {
                Some("the generator is invalid: the figures say more about it than about the target")
            }
        };
        let trust = trust.map(|word| match summary.validity.reasons.as_slice() {
            [] => format!("{word}."),
            reasons => format!("{word}: {}", reasons.join("; ")),
        });
        let remarks = summary.validity.remarks.iter().cloned();
        end.into_iter()
            .chain(self.steered())
            .chain(self.resumed())
            .chain(trust)
            .chain(self.overflow())
            .chain(remarks)
            .map(|sentence| capital(&sentence))
            .collect()
    }

    /// That the load was not the plan's, and what the figures are of.
    fn steered(&self) -> Option<String> {
        /// More are in the list of them all.
        const TOLD: usize = 3;
        let all = &self.summary.steered;
        let told: Vec<_> = all.iter().take(TOLD).map(|steered| steered.words.as_str()).collect();
        let more = match all.len().saturating_sub(TOLD) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        (!all.is_empty()).then(|| {
            format!(
                "The load was steered while the run went on, {}{more}. Figures and verdicts are those of what was really \
                 offered, which is not what the plan says.",
                told.join("; ")
            )
        })
    }

    /// That nobody generated load for a while.
    fn resumed(&self) -> Option<String> {
        let all = &self.summary.resumed;
        let last = all.last()?;
        let away: u64 = all.iter().map(|resumed| resumed.away).sum();
        Some(match all.len() {
            1 => format!("The run went on after its process had died: {}.", last.words()),
            times => format!(
                "The run went on {times} times after its process had died, and was away for {:.1} s in all. The last time: {}.",
                away as f64 / 1e9,
                last.words()
            ),
        })
    }

    /// That figures of steps leave something out.
    fn overflow(&self) -> Option<String> {
        let overflow = self.summary.overflow?;
        Some(format!(
            "{} requests of at least {} series found no room within `limits` and were counted together as {}: \
             they are in the totals and in no step, scenario or stage, and unknown to objectives about one.",
            words::count(overflow.requests),
            words::count(overflow.series),
            SeriesKey::OVERFLOW_NAME
        ))
    }

    /// A rate of a stage; `None` for one that was warm-up all through, of which nothing is measured.
    pub(crate) fn of_stage(&self, stage: &StageSummary, rate: f64) -> Option<f64> {
        (stage.shape.end > self.summary.warmup_seconds).then_some(rate)
    }

    /// The name of the step an error belongs to.
    pub(crate) fn step_of(&self, sample: &ErrorSample) -> &str {
        self.started.shape.steps.get(usize::from(sample.step)).map_or("", |step| &step.step)
    }
}

fn ended_word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Completed => "completed",
        RunStatus::Aborted => "aborted",
        RunStatus::Interrupted => "interrupted",
        RunStatus::Failed => "ended as failed",
    }
}

pub(crate) fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use crate::{Text, fixture, html, json, markdown, text};

    #[test]
    fn every_form_says_for_how_long_nobody_generated_load() {
        let run = fixture::resumed();
        let said = "The run went on 2 times after its process had died, and was away for 690.0 s in all. The last time: no \
                    load from ";
        let terminal = text(&run, &Text { width: 100, ..Text::default() });
        let words = terminal.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said), "{terminal}");
        assert!(words.contains("the generator was away for 600.0 s"), "{terminal}");
        let page = markdown(&run);
        assert!(page.contains(said), "{page}");
        let page = html(std::slice::from_ref(&run));
        assert!(page.contains(said), "{page}");
        let notes = json(&run)["notes"].to_string();
        assert!(
            notes.contains("away for 90.0 s") && notes.contains("the 3 requests in flight then"),
            "{notes}"
        );
        assert!(!text(&fixture::run(), &Text::default()).contains("had died"));
    }
}
