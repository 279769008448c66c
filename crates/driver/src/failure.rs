use std::io;

use plimsoll_measure::Outcome;

use crate::connection::AnswerLimit;
use crate::http1::ReadError;
use crate::resources::Exhausted;
use crate::tls;

/// Why a request did not get its answer, in words that carry no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    pub(crate) message: String,
    /// Whether the cause lies in this machine and not in the target.
    pub(crate) ours: bool,
    /// Whether the run tells it once as a note, beside the samples of errors.
    pub(crate) is_notable: bool,
}

impl Failure {
    pub(crate) fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into(), ours: false, is_notable: false }
    }

    /// The cause lies in this machine, or in the plan.
    pub(crate) fn ours(message: impl Into<String>) -> Self {
        Self { ours: true, ..Self::new(Outcome::Connect, message) }
    }

    /// The connection would lead where whoever runs the plan lets none lead.
    pub(crate) fn not_allowed(message: impl Into<String>) -> Self {
        Self { is_notable: true, ..Self::new(Outcome::Connect, message) }
    }

    /// A TCP connection that did not come about.
    pub(crate) fn connect(error: &io::Error) -> Self {
        Self::exhausted(error).unwrap_or_else(|| Self::new(Outcome::Connect, format!("connect: {error}")))
    }

    /// What ran out, where an error says that something did.
    pub(crate) fn exhausted(error: &io::Error) -> Option<Self> {
        Exhausted::of(error).map(|exhausted| Self::ours(exhausted.to_string()))
    }

    /// The same with words before its own.
    pub(crate) fn before(self, words: &str) -> Self {
        Self { message: format!("{words}: {}", self.message), ..self }
    }

    /// A stream that broke between request and answer.
    pub(crate) fn of_exchange(error: &io::Error) -> Self {
        if let Some(failure) = tls::failure_in(error) {
            return failure;
        }
        if is_reset(error.kind()) {
            return Self::new(Outcome::Reset, format!("the connection broke: {error}"));
        }
        Self::new(Outcome::Protocol, format!("not HTTP/1.1: {error}"))
    }

    /// An answer that cannot be read.
    pub(crate) fn of_answer(error: &ReadError, limit: AnswerLimit) -> Self {
        match error.outcome() {
            Outcome::TooLarge => limit.too_large(),
            Outcome::Reset => Self::new(Outcome::Reset, "the connection ended before the answer did"),
            outcome => Self::new(outcome, format!("not HTTP/1.1: {error}")),
        }
    }

    /// What hyper says of an exchange that broke off.
    pub(crate) fn of_hyper(error: &hyper::Error) -> Self {
        let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
        if let Some(failure) = io.and_then(tls::failure_in) {
            return failure;
        }
        let outcome = match io.map(io::Error::kind) {
            Some(kind) if is_reset(kind) => Outcome::Reset,
            _ if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => Outcome::Reset,
            _ => Outcome::Protocol,
        };
        let message = match (outcome, io) {
            (Outcome::Reset, Some(io)) => format!("the connection broke: {io}"),
            (Outcome::Reset, None) => "the connection ended before the answer did".to_owned(),
            (_, Some(io)) => format!("not HTTP/1.1: {io}"),
            (_, None) => format!("not HTTP/1.1: {error}"),
        };
        Self::new(outcome, message)
    }
}

fn is_reset(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
    )
}
