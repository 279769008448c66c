use plimsoll_measure::{Exchange, Sample};

/// A request as its author wants to see it, while a plan is tried out.
///
/// Secrets are taken out already, and captured values whose names say that they are some.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Index into [`RunPlan::steps`](crate::RunPlan::steps).
    pub step: u16,
    /// Its offsets, outcome, status and bytes; `None`: it was not sent.
    pub sample: Option<Sample>,
    /// What went over the wire.
    pub exchange: Exchange,
    /// Headers of the request but for a user's cookies.
    pub request_headers: Vec<(String, String)>,
    /// How the body of the request begins, if it has one.
    pub request_body: Option<String>,
    /// Why it failed, if it did: the first expectation that did not hold, or what became of the exchange.
    pub message: Option<String>,
    /// What was taken from the answer: name and value.
    pub captures: Vec<(String, String)>,
    /// What its checks say of the answer: name, and whether it holds.
    pub checks: Vec<(String, bool)>,
}
