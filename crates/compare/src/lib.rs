//! Two sides of benchmarks compared, and histories searched for changes of level, out of samples that people and tools wrote, and
//! out of recorded runs.
//!
//! Samples become runs, one value of each ([`OfRun`] says which), runs become the two sides of a benchmark's metric, and all
//! pairs are judged together by [`plimsoll_stats::compare_all`]. What cannot be compared keeps its place in the answer, with the
//! reason: a benchmark that is missing or a run that is alone is never "no change".
//!
//! Tables are CSV of a stated shape ([`SAMPLE_COLUMNS`], [`SERIES_COLUMNS`]). What cannot be meant is refused with its place, what was
//! found and what is allowed, because a value that was guessed or passed over would be a wrong number. [`Samples`] and [`Histories`]
//! can be filled from elsewhere just as well.
//!
//! Recorded runs ([`RecordedRun`]) become samples of each of their steps ([`compare_runs`]). What they differ in beside the figures, and
//! which of them are left out and why, is part of the answer and comes before any number.
//!
//! Nothing here reads a file, looks at a clock or draws anything: the same table has the same answer.

mod comparison;
mod history;
mod metric;
mod recorded;
mod samples;
mod table;
mod time;

pub use comparison::{CompareError, Compared, Comparisons, Finding, Found, NotCompared};
pub use history::{Histories, History, HistoryRefusal, MOST_VALUES, SERIES_COLUMNS, read_series};
pub use metric::{OfRun, tolerance};
pub use recorded::{
    ComparedRuns, Difference, LeftOut, METRICS, RecordedRun, RunFacts, RunsError, Validity, compare_runs,
};
pub use samples::{OtherUnit, SAMPLE_COLUMNS, Sample, Samples, read_samples};
pub use table::DataError;
pub use time::Time;
