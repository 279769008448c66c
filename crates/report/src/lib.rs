//! A run as people and tools read it.
//!
//! [`json`] is the contract that scripts build on and [`json_schema`] says what holds for it;
//! [`html`] is a page that needs no network, [`markdown`] goes into a merge request, [`junit`] into a
//! CI job and [`text`] under a terminal's prompt. All of them write the figures of one
//! [`Summary`](plimsoll_run::Summary) and compute none of their own, so that they cannot disagree. What has no data is `null` in JSON and a
//! dash elsewhere, never zero.
//!
//! Names, messages and tags come from plans and targets: each format neutralises what would mean
//! something in it, down to the escape sequences of a terminal. Nothing here reads a file or a clock.

mod alerts;
mod calibration;
mod capacity;
mod chart;
mod checks;
mod comparison;
mod findings;
mod groups;
mod html;
mod json;
mod junit;
mod limit;
mod limit_report;
mod markdown;
mod next_steps;
mod once;
mod parts;
mod profiles;
mod quick;
mod resources;
mod run;
mod slas;
mod steered;
mod text;
mod told;
mod track;
mod trend;
mod values;
mod words;

#[cfg(test)]
mod fixture;

pub use alerts::MOST_ALERTS;
pub use calibration::{calibration_json, calibration_text};
pub use capacity::{
    CapacityLimit, CapacityPlan, CapacityReport, CapacitySource, Foretold, KeptCapacity, Measured,
    capacity_html, capacity_json, capacity_markdown, capacity_page, capacity_schema, capacity_text,
};
pub use comparison::{comparison_json, comparison_markdown, comparison_schema, comparison_text};
pub use html::{SCRIPT, STYLE, html};
pub use json::{json, json_schema};
pub use junit::junit;
pub use limit::{
    limit_json, limit_text, limit_trial_text, overload_text, overload_verdict_text, scaling_json,
    scaling_text,
};
pub use limit_report::{LimitReport, limit_html, limit_markdown, scaling_html, scaling_markdown};
pub use markdown::markdown;
pub use next_steps::{Recommendation, Side, recommendations};
pub use once::{TriedOut, once_json, once_text};
pub use quick::quick_text;
pub use run::Run;
pub use slas::{sla_month_html, sla_month_json, sla_month_markdown, sla_page, slas_page, slas_text};
pub use text::{Text, text};
pub use track::{track_record_json, track_record_sentence, track_record_text};
pub use trend::{trend_json, trend_markdown, trend_schema, trend_text};
