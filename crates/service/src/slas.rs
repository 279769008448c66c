//! Promises that are judged every second for as long as the service runs, and longer.
//!
//! Events come from runs of the history, from a Prometheus that is asked, or from a page of metrics that is
//! read. A [`desk`] puts what comes in the order of seconds and tells its keeper; what keepers were told goes into the
//! history's journal each second, so that after `kill -9` they are what they were.
//!
//! | module | what |
//! |---|---|
//! | `question` | what to ask for the two counters of a promise |
//! | `selector` | which series of a page are meant |
//! | `growth` | counters, read again and again, become events |
//! | `desk` | the order of seconds |
//! | `bench` | all desks, and what is to be written |
//! | `ask`, `poll` | a Prometheus and a page, once a second |
//! | `news` | what somebody may want to be told |
//! | `judge` | the clock, the writing, and the start from what was kept |

mod ask;
mod bench;
mod desk;
mod growth;
mod judge;
mod month;
mod news;
mod poll;
mod question;
mod selector;
mod status;

pub(crate) use bench::RunSecond;
pub use judge::{Connection, Credentials, Promises, SlaError};
pub(crate) use judge::{OpenError, Slas};
pub(crate) use poll::Poller;
pub use status::with_composites;
