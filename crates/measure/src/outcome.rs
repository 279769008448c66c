use std::fmt;

/// How a request ended. A closed set: it is a label of every load series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Every expectation held, or without one the status was 200 to 399.
    Ok,
    /// A redirect that was followed; the request that ended the chain has an outcome of its own.
    Redirect,
    /// The status was not what is expected, or 400 and above where nothing is.
    Status,
    /// The status was right and another expectation was not: header, body, JSON path, time.
    Expectation,
    /// A capture found nothing, so the steps that need it cannot be sent.
    Capture,
    /// No whole answer within the timeout.
    Timeout,
    /// No TCP connection: refused, unreachable, or no descriptor or port of our own left.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The host's name has no address.
    Dns,
    /// The connection ended before the answer did.
    Reset,
    /// What came back is not HTTP, or redirects went on beyond the limit.
    Protocol,
    /// The body is larger than `max_body`.
    TooLarge,
    /// Still in flight when the grace period ended: nobody knows how it would have ended.
    Cut,
}

impl Outcome {
    /// Every outcome, in the order reports list them.
    pub const ALL: [Self; 13] = [
        Self::Ok,
        Self::Redirect,
        Self::Status,
        Self::Expectation,
        Self::Capture,
        Self::Timeout,
        Self::Connect,
        Self::Tls,
        Self::Dns,
        Self::Reset,
        Self::Protocol,
        Self::TooLarge,
        Self::Cut,
    ];

    /// The value of the `outcome` label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Redirect => "redirect",
            Self::Status => "status",
            Self::Expectation => "expectation",
            Self::Capture => "capture",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::Cut => "cut",
        }
    }

    /// The outcome with this label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.label() == label)
    }

    /// Whether the request counts as succeeded. A followed redirect does: its status is a 3xx.
    pub fn is_success(self) -> bool {
        match self {
            Self::Ok | Self::Redirect => true,
            Self::Status
            | Self::Expectation
            | Self::Capture
            | Self::Timeout
            | Self::Connect
            | Self::Tls
            | Self::Dns
            | Self::Reset
            | Self::Protocol
            | Self::TooLarge
            | Self::Cut => false,
        }
    }

    /// Whether the request counts as failed. A cut request is neither failed nor succeeded.
    pub fn is_failure(self) -> bool {
        !self.is_success() && self != Self::Cut
    }

    /// Whether its time belongs to the latency figures: a request that succeeded, at the time its
    /// answer took, or one that timed out, at the time waited. Fast failures never flatter a
    /// quantile, and a redirect's time is part of the request that ends the chain.
    pub fn counts_for_latency(self) -> bool {
        matches!(self, Self::Ok | Self::Timeout)
    }

    /// Whether any answer came back: the target is there, however unhappy.
    pub fn is_answer(self) -> bool {
        matches!(
            self,
            Self::Ok | Self::Redirect | Self::Status | Self::Expectation | Self::Capture | Self::TooLarge
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_closed_set_of_the_design() {
        let labels: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.label()).collect();
        assert_eq!(
            labels.join(", "),
            "ok, redirect, status, expectation, capture, timeout, connect, tls, dns, reset, protocol, too_large, cut"
        );
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_label(outcome.label()), Some(outcome));
        }
    }

    #[test]
    fn a_cut_request_is_neither_failed_nor_succeeded() {
        assert!(!Outcome::Cut.is_failure() && !Outcome::Cut.is_success());
        let failed = Outcome::ALL.into_iter().filter(|outcome| outcome.is_failure()).count();
        let succeeded = Outcome::ALL.into_iter().filter(|outcome| outcome.is_success()).count();
        assert_eq!(failed + succeeded + 1, Outcome::ALL.len());
    }

    #[test]
    fn latency_figures_cover_successes_and_timeouts_only() {
        let covered: Vec<_> =
            Outcome::ALL.into_iter().filter(|outcome| outcome.counts_for_latency()).collect();
        assert_eq!(covered, [Outcome::Ok, Outcome::Timeout]);
    }
}
