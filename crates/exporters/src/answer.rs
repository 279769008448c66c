use std::time::Duration;

/// What a server's answer means for the points that were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All were taken.
    Taken,
    /// Some were taken and `lost` of them never will be. What is of one `kind` is told once.
    Partly { lost: u64, kind: String, reason: String },
    /// None was taken, and none ever will be.
    Refused { kind: String, reason: String },
    /// None was taken: they are too many at once.
    TooLarge,
    /// It may be otherwise later; `after`: the server says when.
    Later { kind: String, reason: String, after: Option<Duration> },
}

/// The longest wait a server may ask for. One that wants more is asked again all the same.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How much of a server's words is told.
const REASON_LETTERS: usize = 300;

impl Answer {
    /// What an HTTP status means where a sink knows no better: 2xx taken, 413 too large, 429 and 5xx
    /// later, everything else refused. `said` are the server's words.
    pub(crate) fn of_status(status: u16, retry_after: Option<&str>, said: &str) -> Self {
        let meaning = match status {
            200..=299 => return Self::Taken,
            413 => return Self::TooLarge,
            429 | 500..=599 => {
                return Self::Later {
                    kind: status.to_string(),
                    reason: with_words(status, "the server cannot take points now; they wait", said),
                    after: retry_after.and_then(seconds),
                };
            }
            401 | 403 => "the credentials are not accepted; points are lost",
            404 => "there is nothing that takes points under this URL; points are lost",
            _ => "the server refused points; they are lost",
        };
        Self::refused(status, meaning, said)
    }

    pub(crate) fn refused(status: u16, meaning: &str, said: &str) -> Self {
        Self::Refused { kind: status.to_string(), reason: with_words(status, meaning, said) }
    }

    /// There was no answer.
    pub(crate) fn without(timeout: bool, error: &str) -> Self {
        let (kind, meaning) =
            if timeout { ("timeout", "no answer in time") } else { ("connection", "no connection") };
        let reason = format!("{meaning}, points wait: {}", shown(error));
        Self::Later { kind: kind.to_owned(), reason, after: None }
    }

    /// An answer began and did not end.
    pub(crate) fn broken_off(timeout: bool, error: &str) -> Self {
        if timeout {
            return Self::without(true, error);
        }
        let reason = format!("the answer broke off, points wait: {}", shown(error));
        Self::Later { kind: "broken off".to_owned(), reason, after: None }
    }
}

/// A status, what it means for us, and what the server says of it.
pub(crate) fn with_words(status: u16, meaning: &str, said: &str) -> String {
    match shown(said).as_str() {
        "" => format!("{status}: {meaning}"),
        said => format!("{status}: {meaning}; the server says: {said}"),
    }
}

/// The value of `Retry-After` in seconds. Dates are not understood: a clock may be wrong, and our own patience applies.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// One line of bounded length. The end is kept where it is cut: it is there that servers count.
pub(crate) fn shown(text: &str) -> String {
    let letters: Vec<char> =
        text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if letters.len() <= REASON_LETTERS {
        return letters.into_iter().collect();
    }
    let half = REASON_LETTERS / 2;
    let (start, end) = (&letters[..half], &letters[letters.len() - half..]);
    start.iter().chain(['…'].iter()).chain(end).collect()
}

/// How long to wait before trying again: doubling from a quarter of a second to fifteen, each
/// shortened by up to a half, so that many generators do not come back at once.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(15);

    /// The next wait; `random` is within `0.0..1.0`.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let full = Self::FIRST.saturating_mul(1 << self.tries.min(16)).min(Self::LONGEST);
        self.tries += 1;
        full.mul_f64(1.0 - random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_becomes_of_points() {
        let kind = |status| match Answer::of_status(status, None, "") {
            Answer::Taken => "taken",
            Answer::Partly { .. } => "partly",
            Answer::Refused { .. } => "refused",
            Answer::TooLarge => "too large",
            Answer::Later { .. } => "later",
        };
        let cases = [
            (200, "taken"),
            (204, "taken"),
            (302, "refused"),
            (400, "refused"),
            (401, "refused"),
            (404, "refused"),
            (413, "too large"),
            (422, "refused"),
            (429, "later"),
            (500, "later"),
            (503, "later"),
        ];
        for (status, expected) in cases {
            assert_eq!(kind(status), expected, "{status}");
        }
    }

    #[test]
    fn the_server_says_when_to_come_back() {
        let after = |header| match Answer::of_status(429, header, "") {
            Answer::Later { after, .. } => after,
            _ => None,
        };
        assert_eq!(after(None), None);
        assert_eq!(after(Some("7")), Some(Duration::from_secs(7)));
        assert_eq!(after(Some("99999999999")), Some(LONGEST_WAIT));
        assert_eq!(after(Some("Wed, 21 Oct 2015 07:28:00 GMT")), None);
    }

    #[test]
    fn a_reason_is_one_bounded_line() {
        let Answer::Refused { reason, .. } = Answer::of_status(400, None, &"long\n".repeat(1000)) else {
            panic!("refused")
        };
        assert!(reason.chars().count() < 400 && !reason.contains('\n'), "{reason}");
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..40).map(|_| backoff.next(0.0).as_millis()).collect();
        assert_eq!(waits[..8], [250, 500, 1000, 2000, 4000, 8000, 15000, 15000]);
        assert_eq!(Backoff::default().next(0.9999).as_millis(), 125);
    }
}
