//! Tells people what has happened: an SLA is broken or kept again, a run failed or went well, a search found a limit, a report
//! was made, something became worse.
//!
//! What has happened is an [`Occurrence`]. What breaks together is one outage and one message, and its end refers to it; each receiver
//! gets at most so many messages an hour, and what is more is told in one. Who is told what and when is a
//! function of what has happened and the time; a single task sends. It never makes anybody wait, tries again what cannot be taken, and
//! counts and says what is lost.
//!
//! It refuses to decide what is a breach or a failure: whoever saw it says so. It reads no settings from files, and keeps nothing across
//! processes.
//!
//! | module | what |
//! |---|---|
//! | `occurrence` | what has happened |
//! | `watch` | what a run's events say |
//! | `outage`, `planner` | what belongs together, and who is told when |
//! | `message`, `text`, `picture` | a message, made of foreign text |
//! | `slack`, `teams`, `pagerduty`, `webhook`, `mail` | its forms |
//! | `lane`, `send`, `notifier` | what waits, one try, and the task |

#[cfg(test)]
mod golden;
mod lane;
mod mail;
mod message;
mod notifier;
mod occurrence;
mod outage;
mod pagerduty;
mod picture;
mod planner;
mod send;
mod slack;
mod teams;
mod text;
mod watch;
mod webhook;

pub use lane::Fate;
pub use notifier::{Notifier, Teller, Tested, test};
pub use occurrence::{
    Breach, BreakingPoint, CapacityNews, Kept, Occurrence, Page, Recovery, Regression, ReportEnded, ReportOf,
    RunEnded, SearchEnded, Subject,
};
pub use send::{Answer, ReceiverError};
pub use watch::RunWatch;
pub use webhook::{webhook_key, webhook_signature};
