use std::time::Duration;

use serde_json::Value;

/// What an answer means for the points that were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// All were taken.
    Taken,
    /// Some were taken.
    Partly { lost: u64, kind: String, reason: String },
    /// None was taken, and none ever will be.
    Refused { kind: String, reason: String },
    /// None was taken: they are too many at once.
    TooLarge,
    /// It may be otherwise later; `after`: the server says when.
    Later { kind: String, reason: String, after: Option<Duration> },
}

/// The longest wait a server may ask for. One that wants more is asked again all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How much of a server's words is told.
const REASON_LETTERS: usize = 300;

impl Answer {
    /// The meaning of an answer to `points` points. `retry_after` counts in seconds; dates are not understood, and our own
    /// patience applies.
    pub(super) fn of(status: u16, retry_after: Option<&str>, body: &str, points: u64) -> Self {
        let said = words(body);
        let kind = status.to_string();
        let reason = |meaning: &str| match said.as_str() {
            "" => format!("{status}: {meaning}"),
            said => format!("{status}: {meaning}; the server says: {said}"),
        };
        match status {
            200..=299 => Self::Taken,
            413 => Self::TooLarge,
            429 | 500..=599 => Self::Later {
                kind,
                reason: reason("the server cannot take points now; they wait"),
                after: retry_after
                    .and_then(|seconds| seconds.trim().parse().ok())
                    .map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT)),
            },
            400 | 422 => match dropped(&said).filter(|lost| *lost < points) {
                Some(lost) => Self::Partly {
                    lost,
                    kind,
                    reason: reason("the server refused some points; they are lost"),
                },
                None => Self::Refused { kind, reason: reason("the server refused points; they are lost") },
            },
            401 | 403 => Self::Refused { kind, reason: reason("the token is not accepted; points are lost") },
            404 => Self::Refused {
                kind,
                reason: reason("there is no such bucket or organisation, or no InfluxDB; points are lost"),
            },
            _ => Self::Refused { kind, reason: reason("the server refused points; they are lost") },
        }
    }

    /// There was no answer.
    pub(super) fn without(timeout: bool, error: &str) -> Self {
        let (kind, meaning) =
            if timeout { ("timeout", "no answer in time") } else { ("connection", "no connection") };
        let reason = format!("{meaning}, points wait: {}", shown(error));
        Self::Later { kind: kind.to_owned(), reason, after: None }
    }
}

/// How many points a partial write left out, as InfluxDB 1 and 2 say it: `partial write: ... dropped=3`.
fn dropped(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("partial write")?;
    let (_, count) = rest.rsplit_once("dropped=")?;
    count.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// The reason in a body: of InfluxDB 2 `message`, of InfluxDB 1 `error`, else the text.
fn words(body: &str) -> String {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let field = |name: &str| json.as_ref()?.get(name)?.as_str().map(str::to_owned);
    shown(&field("message").or_else(|| field("error")).unwrap_or_else(|| body.to_owned()))
}

/// One line of bounded length. The end is kept where it is cut: it is there that InfluxDB counts.
fn shown(text: &str) -> String {
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
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(15);

    /// The next wait; `random` is within `0.0..1.0`.
    pub(super) fn next(&mut self, random: f64) -> Duration {
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
        let kind = |status| match Answer::of(status, None, "", 10) {
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
    fn a_partial_write_loses_what_was_dropped() {
        let body = r#"{"code":"invalid","message":"partial write: field type conflict: input field \"x\" dropped=3"}"#;
        let lost = |points| match Answer::of(400, None, body, points) {
            Answer::Partly { lost, .. } => Some(lost),
            _ => None,
        };
        assert_eq!(lost(10), Some(3));
        assert_eq!(lost(3), None, "all of them: refused");
        let version_1 = r#"{"error":"partial write: unable to parse 'x': missing fields dropped=1"}"#;
        assert!(matches!(Answer::of(400, None, version_1, 2), Answer::Partly { lost: 1, .. }));
        assert!(matches!(Answer::of(400, None, "dropped=1", 2), Answer::Refused { .. }));
    }

    #[test]
    fn the_server_says_when_to_come_back() {
        let after = |header| match Answer::of(429, header, "", 1) {
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
        let Answer::Refused { reason, .. } = Answer::of(400, None, &"long\n".repeat(1000), 1) else {
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
