use plimsoll_measure::{KeptRequest, Sample};

use crate::Run;

/// What a request spent its response time with, one after the other; together they are all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// What people call it.
    pub(crate) name: &'static str,
    /// Its class in style sheets.
    pub(crate) class: &'static str,
    /// Nanoseconds.
    pub(crate) nanos: u64,
}

/// The four parts of a request's response time: due, ready, sent, first byte, done.
///
/// A request that was never sent waited for a connection to its end; one without an answer waited for
/// the first byte.
pub(crate) fn parts(sample: &Sample) -> [Part; 4] {
    let done = sample.done.max(sample.due);
    let ready = sample.ready.clamp(sample.due, done);
    let sent = sample.sent.unwrap_or(done).clamp(ready, done);
    let first_byte = first_byte(sample).unwrap_or(done).clamp(sent, done);
    [
        Part { name: "lag", class: "lag", nanos: ready - sample.due },
        Part { name: "wait", class: "wait", nanos: sent - ready },
        Part { name: "first byte", class: "answer", nanos: first_byte - sent },
        Part { name: "body", class: "body", nanos: done - first_byte },
    ]
}

/// When the first byte of the answer came, in nanoseconds from the start of the run.
pub(crate) fn first_byte(sample: &Sample) -> Option<u64> {
    let sent = sample.sent?;
    sample.first_byte.map(|after| sent.saturating_add(after).min(sample.done.max(sent)))
}

/// How it ended, in a word or a number: `200`, `timeout`, `503 status`.
pub(crate) fn ending(request: &KeptRequest) -> String {
    let outcome = request.sample.key.outcome;
    let word = outcome.label().replace('_', " ");
    match request.sample.status {
        Some(status) if outcome.is_success() => status.to_string(),
        Some(status) => format!("{status} {word}"),
        None => word,
    }
}

/// The name of the address it went to, where there are several.
pub(crate) fn address<'a>(request: &KeptRequest, run: &'a Run) -> Option<&'a str> {
    let addresses = &run.started.shape.addresses;
    addresses.get(usize::from(request.sample.address)).map(|address| address.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{Outcome, Phase, SeriesKey};
    use proptest::prelude::*;

    fn sample(ready: u64, sent: Option<u64>, first_byte: Option<u64>, done: u64) -> Sample {
        let key = SeriesKey { step: 0, phase: Phase::Measured, stage: None, outcome: Outcome::Ok };
        Sample { ready, sent, first_byte, done, ..Sample::at(key, 100) }
    }

    #[test]
    fn parts_follow_the_offsets() {
        let check = |sample: Sample, expected: [u64; 4]| {
            assert_eq!(parts(&sample).map(|part| part.nanos), expected, "{sample:?}");
        };
        check(sample(110, Some(130), Some(50), 200), [10, 20, 50, 20]);
        check(sample(110, Some(130), None, 200), [10, 20, 70, 0]);
        check(sample(110, None, None, 200), [10, 90, 0, 0]);
        check(sample(100, Some(100), Some(0), 100), [0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn parts_add_up(ready in 0_u64..300, sent in prop::option::of(0_u64..300), first in prop::option::of(0_u64..300), done in 100_u64..300) {
            let sum: u64 = parts(&sample(ready, sent, first, done)).iter().map(|part| part.nanos).sum();
            prop_assert_eq!(sum, done - 100);
        }
    }
}
