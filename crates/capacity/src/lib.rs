//! Where a service's limit lies, and how sure that is.
//!
//! [`Points`] are measurements of one service in steady states; [`answer`] says of a [`Question`] about them
//! what can be said: the peak and where it comes, throughput at other loads, the highest load within an
//! objective, what runs out first, what is left beside some traffic. What the points do not carry is
//! refused with the reason and the next run to do.
//!
//! Where points come from: [`Plateaus`] are cut out of the seconds of a run or of a stored [`Series`]. And when the
//! limit will be reached: [`Trend`] fits how traffic grew, and [`Exhaustion`] is the date.
//!
//! Three things decide the design. A service that still gains from more load does not reveal where that
//! ends, so the gain of the last doubling is asked before any model ([`Saturation`]). Earlier runs of the
//! same service foretell better than every model of one run, so they go first ([`compare`]). And a model
//! is chosen by how it foretells higher loads from lower ones, never by how it explains what was seen.
//!
//! Loads are users or arrivals per second, throughput requests per second, times seconds, utilisations
//! shares of one, intervals 90%. Nothing here looks at a file or a clock; a seed decides every draw.

mod answer;
mod changes;
mod choice;
mod data;
mod demand;
mod estimate;
mod found;
mod growth;
mod history;
mod latency;
mod least_squares;
mod models;
#[cfg(test)]
mod noise;
mod outliers;
mod peak;
mod plateaus;
mod points;
mod saturation;
mod search;
mod series;
mod sla_limit;
mod table;
mod track;
mod trial;
mod utilisation;
mod what_if;

pub use answer::{Answer, BreakingPoint, Estimate, Headroom, Prediction, Question, Refusal, Symptom, answer};
pub use estimate::Mean;
pub use found::{Limit, Overload, Scaling, Side, TrialFigures};
pub use growth::{Exhaustion, GrowthRate, NoGrowth, NoTrend, Traffic, Trend, exhaustion};
pub use history::{Compared, Earlier, Scaled, Unlike, compare};
pub use latency::{LatencyModel, LatencyName, erlang_c, ggc_wait, latency_models, mmc_wait};
pub use least_squares::t_quantile;
pub use models::{Model, ModelName, Parameter, Usl, fit_usl};
pub use peak::{Basis, Peak};
pub use plateaus::{FEWEST_STEPS, LeftOut, Plateau, Plateaus, QuantileEstimate, Unsteady, points};
pub use points::{Level, LoadKind, Point, Points, PointsError};
pub use saturation::{Saturation, last_gain};
pub use search::{Gap, Next, Search, SearchSettings, Tried};
pub use series::{Ended, Moment, Series};
pub use sla_limit::{Allowed, Bound, Bounded, NoSlaLimit, SlaLimit, sla_limit};
pub use table::{COLUMNS, Table, TableError, TableRun, read_table};
pub use track::{Foretold, PredictionOf, Scored, TrackRecord, Truth};
pub use trial::{Cause, Decision, Standing, Trial, TrialSecond};
pub use utilisation::{NoLimit, ResourceLimit, limits};
pub use what_if::{Supposed, WhatIf};
