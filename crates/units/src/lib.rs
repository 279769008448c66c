//! Quantities as people write them and as the program means them.
//!
//! A unit lives in the type, not in a name: a [`Rate`] is always per second, a [`Ratio`] always a
//! share of one, a [`ByteCount`] always bytes. Percent signs, `k` and `min` exist only in text, and
//! text is read here and nowhere else. Durations are [`std::time::Duration`]; [`duration`] reads and
//! writes them. Nothing here knows about plans, requests or clocks.

mod bytes;
pub mod duration;
mod number;
mod quantile;
mod rate;
mod ratio;
mod users;

pub use bytes::ByteCount;
pub use quantile::Quantile;
pub use rate::Rate;
pub use ratio::Ratio;
pub use users::Users;

/// Why a text is not the quantity it was read as: what was found and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {what}; write {allowed}")]
pub struct ParseError {
    /// The text as it was typed.
    pub found: String,
    /// What it was read as, with an article: "a rate".
    pub what: &'static str,
    /// Examples of what is allowed.
    pub allowed: &'static str,
}

impl ParseError {
    fn new(found: &str, what: &'static str, allowed: &'static str) -> Self {
        Self { found: found.to_owned(), what, allowed }
    }
}
