use std::io;

use plimsoll_measure::Outcome;

/// Why a request did not get its answer, in words that carry no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    pub(crate) message: String,
    /// Whether the cause lies in this machine and not in the target.
    pub(crate) ours: bool,
}

impl Failure {
    pub(crate) fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into(), ours: false }
    }

    /// A TCP connection that did not come about.
    pub(crate) fn connect(error: &io::Error) -> Self {
        // EMFILE, ENFILE, ENOBUFS, ENOMEM and EADDRNOTAVAIL say that we ran out of something.
        let ours = matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12 | 99));
        let whose = if ours { "this machine cannot open another connection" } else { "connect" };
        Self { outcome: Outcome::Connect, message: format!("{whose}: {error}"), ours }
    }

    /// What hyper says of an exchange that broke off.
    pub(crate) fn of_hyper(error: &hyper::Error) -> Self {
        let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
        let outcome = match io.map(io::Error::kind) {
            Some(
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
                | io::ErrorKind::UnexpectedEof,
            ) => Outcome::Reset,
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
