//! What is measured: samples, their outcomes, histograms, and the frames that seconds are made of.
//!
//! A worker records each finished request as a [`Sample`] into the [`Shard`] of the second in which
//! it was done. Shards of one second from all workers merge into one [`Frame`], which never changes
//! afterwards and is all that judging, exporting and remembering ever see. Times are nanoseconds:
//! offsets from the start of the run, or lengths. This crate reads no clock; callers bring offsets.
//!
//! It keeps no sample but a bounded number of those that a plan asks to be told one by one, for a second:
//! memory depends on how many series a plan has, not on how many requests it sends.

mod check;
mod connections;
mod distribution;
mod edges;
mod exchange;
mod figures;
mod frame;
mod group;
mod hdr;
mod histogram;
mod interval;
mod kept;
mod layout;
mod limits;
mod outcome;
mod phase;
mod resource;
mod sample;
mod shard;
mod single;
mod table;
mod value;
mod vitals;

pub use check::{CheckKey, CheckSeries};
pub use connections::{CloseReason, ConnectionFigures, Opening, RequestCounts};
pub use distribution::Distribution;
pub use edges::Edges;
pub use exchange::Exchange;
pub use figures::LatencyFigures;
pub use frame::{
    AddressKey, AddressSeries, ErrorSample, Frame, IterationKey, IterationSeries, Pending, PendingKey, Series,
};
pub use group::{GroupKey, GroupSeries};
pub use hdr::MalformedHistogram;
pub use histogram::Histogram;
pub use interval::{Interval, Intervals};
pub use kept::{DataRow, FAILED_KEPT, FAILED_SAMPLE, KEPT_PERIOD, Kept, KeptKey, KeptRequest, SLOWEST_KEPT};
pub use layout::{LONGEST_NANOS, RESOLUTION_NANOS};
pub use limits::Limits;
pub use outcome::Outcome;
pub use phase::Phase;
pub use resource::{ResourceFigure, ResourceScrape, ResourceUnit};
pub use sample::{DropCause, Sample, SeriesKey, Timing};
pub use shard::Shard;
pub use single::{Purposes, SINGLES_PER_SECOND, Single, SingleRule, Singles, TraceContext};
pub use value::{
    MOST_COUNTED, MOST_VALUES, Observed, ValueForm, ValueKey, ValueName, ValueSeries, ValueUnit,
};
pub use vitals::Vitals;

/// Nanoseconds in one second.
pub const SECOND: u64 = 1_000_000_000;
