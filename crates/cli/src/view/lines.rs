//! The same run as sentences, for logs and pipes.
//!
//! One line after the first second, the second and the fifth, then one every five seconds of the
//! run. The events decide, not a clock: the same run gives the same lines.

use std::sync::Arc;

use plimsoll_run::{Model, RunEvent, Started};
use plimsoll_sla::Verdict;

use super::watch::{RECENT, Watch};
use super::{screen, words};

/// Seconds from one line to the next.
const EVERY: u64 = 5;
/// The first lines come sooner: somebody waits to see that it works.
const EARLY: [u64; 2] = [1, 2];

/// Turns events into lines as they come.
#[derive(Debug, Default)]
pub(super) struct Lines {
    watch: Option<Watch>,
    banner: Vec<String>,
}

impl Lines {
    pub(super) fn new(banner: Vec<String>) -> Self {
        Self { watch: None, banner }
    }

    /// The lines this event is worth, without control characters.
    pub(super) fn tell(&mut self, event: &RunEvent) -> Vec<String> {
        if let RunEvent::Started(started) = event {
            self.watch = Some(Watch::new(Arc::clone(started)));
            let banner = self.banner.drain(..).map(|line| words::plain(&line));
            return std::iter::once(first_line(started)).chain(banner).collect();
        }
        let Some(watch) = &mut self.watch else { return Vec::new() };
        watch.apply(event);
        match event {
            // The verdicts of a second follow it, so the line waits for them.
            RunEvent::Judged(judged) if is_told(judged.second + 1) => vec![plain_line(watch)],
            RunEvent::Steered(steered) => {
                let said = words::plain(&steered.words(&watch.started.shape));
                vec![format!("Steered at {}: {said}", words::clock(steered.at as f64 / 1e9))]
            }
            RunEvent::Resumed(resumed) => {
                vec![format!("Resumed at {}: {}", words::clock(resumed.at as f64 / 1e9), resumed.words())]
            }
            RunEvent::Profile(taken) => {
                let (at, what) = (words::clock(taken.at as f64 / 1e9), words::plain(&taken.words()));
                vec![format!("Profile from {at}, {what}: {}", words::plain(&taken.file))]
            }
            RunEvent::Note(note) => {
                vec![format!("At {}: {}", words::clock(note.at as f64 / 1e9), words::plain(&note.text))]
            }
            RunEvent::Ended(ended) => {
                let at = words::clock(ended.at as f64 / 1e9);
                let reason = ended
                    .reason
                    .as_ref()
                    .map_or_else(String::new, |reason| format!(": {}", words::plain(reason)));
                vec![format!("Ended at {at}, {}{reason}.", ended.status.label())]
            }
            _ => Vec::new(),
        }
    }
}

fn is_told(second: u64) -> bool {
    EARLY.contains(&second) || second.is_multiple_of(EVERY)
}

fn first_line(started: &Started) -> String {
    let (info, shape) = (&started.info, &started.shape);
    let asks = match shape.iterations {
        Some(iterations) => format!("{} iterations", words::count(iterations)),
        None => words::length(shape.stages_end()),
    };
    let text = format!(
        "{} against {}: {} model, {asks}, run {}.",
        shape.plan,
        info.target,
        shape.model.label(),
        info.id
    );
    words::plain(&text)
}

/// How the run stands after its last second, in one sentence.
pub(crate) fn plain_line(watch: &Watch) -> String {
    let shape = &watch.started.shape;
    let end = watch.glances.back().map_or(0.0, |glance| glance.second as f64 + 1.0);
    let place = match shape.iterations {
        Some(asked) => {
            format!("{} of {} iterations", words::count(watch.totals.iterations), words::count(asked))
        }
        None => format!("of {}", words::clock(shape.stages_end())),
    };
    let phase = watch.phase.map_or("starting", |phase| phase.label());
    let rates = watch.rates(RECENT);
    let [asked, done, succeeded] = [0, 1, 2].map(|index| words::rate(rates.map(|rates| rates[index])));
    let asked_word = match shape.model {
        Model::Open => "asked",
        Model::Closed => "started",
    };
    let [p50, p95, p99] = [watch.recent.p50, watch.recent.p95, watch.recent.p99].map(words::latency);
    let levels = watch.levels;
    let total = |count: u64| words::known(levels.map(|_| count));
    let in_flight = words::known(levels.map(|levels| levels.in_flight));
    format!(
        "At {} {place} ({phase}): {asked_word} {asked}, done {done}, succeeded {succeeded}, response time p50 {p50}, p95 {p95}, p99 {p99} \
         over the last {} s; {} requests, {} failed{}, {} dropped, {in_flight} in flight; {}; {}generator {}.",
        words::clock(end),
        watch.glances.len().clamp(1, RECENT),
        total(watch.totals.requests),
        total(watch.totals.failed),
        kinds(watch),
        total(watch.totals.dropped),
        objectives(watch),
        resources(watch),
        if screen::is_judged(watch) { watch.validity.verdict.label() } else { "not judged yet" },
    )
}

/// What the target uses, as far as a sentence has room.
fn resources(watch: &Watch) -> String {
    const ROOM: usize = 4;
    let figures = watch.prominent().into_iter().take(ROOM).map(|(name, amount)| format!("{name} {amount}"));
    let figures = figures.collect::<Vec<_>>().join(", ");
    if figures.is_empty() { figures } else { format!("{figures}; ") }
}

fn kinds(watch: &Watch) -> String {
    let kinds = watch.failures().into_iter().map(|(outcome, failure)| {
        format!("{} {}", words::count(failure.count), outcome.label().replace('_', " "))
    });
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    if kinds.is_empty() { kinds } else { format!(" ({kinds})") }
}

fn objectives(watch: &Watch) -> String {
    let objectives: Vec<_> = watch.objectives().collect();
    if objectives.is_empty() {
        return "no objectives".to_owned();
    }
    let missed = objectives
        .iter()
        .filter(|(objective, status)| screen::standing(objective, status) == Some(Verdict::Missed));
    let names = missed.map(|(objective, _)| words::plain(&objective.name)).collect::<Vec<_>>().join(", ");
    let tally = screen::tally(&objectives);
    let breaching = objectives.iter().filter(|(_, status)| status.breach.is_some());
    let breaching =
        breaching.map(|(objective, _)| words::plain(&objective.name)).collect::<Vec<_>>().join(", ");
    let told = [("missed", names), ("breaching", breaching)];
    let told: Vec<_> = told
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {names}"))
        .collect();
    if told.is_empty() {
        format!("objectives so far: {tally}")
    } else {
        format!("objectives so far: {tally} ({})", told.join("; "))
    }
}
