use plimsoll_capacity::{LoadKind, Plateaus};
use plimsoll_sla::Validity;
use serde::{Deserialize, Serialize};

use crate::{Counts, Lineage, LoadSeries, State};

/// What a run says about capacity: the levels that it held until they were steady, and what one must know to put
/// them beside those of other runs.
///
/// Finding them takes the whole record of a run, so a history keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlateaus {
    /// Seconds from the start of the run to where the times of its plateaus count from.
    pub begins: f64,
    /// What runs must share with it to be measurements of one curve.
    pub lineage: Lineage,
    /// What its loads count.
    pub kind: LoadKind,
    /// What its throughput counts.
    pub counts: Counts,
    /// Whether its generator may have been the limit.
    pub suspect: bool,
    /// Its plateaus, or why there can be none.
    pub found: Result<Plateaus, String>,
}

impl RunPlateaus {
    /// Changes when the same record would give other plateaus, or they would be written otherwise: those of
    /// another revision are found anew.
    pub const REVISION: u32 = 1;

    /// Those of a run that is over, from two folds of its events.
    pub fn of(state: &State, series: LoadSeries) -> Self {
        let (kind, counts) = (series.kind(), series.counts());
        let validity = state.summary().validity;
        let found = match validity.verdict {
            Validity::Invalid => {
                let why = validity.reasons.first().map_or_else(String::new, |reason| format!(": {reason}"));
                Err(format!("its generator cannot be trusted{why}"))
            }
            Validity::Valid | Validity::Suspect => {
                let found = Plateaus::of(&series.finish());
                Ok(if kind == LoadKind::Rate { found.within_rates() } else { found })
            }
        };
        Self {
            begins: state.shape().warmup.ceil(),
            lineage: Lineage::of(state.started()),
            kind,
            counts,
            suspect: validity.verdict == Validity::Suspect,
            found,
        }
    }
}
