//! `plimsoll trend`: where a history changed its level.

use anyhow::Context;
use plimsoll_compare::{Histories, read_series};
use plimsoll_run::ExitCode;
use plimsoll_stats::ChangeFloor;

use crate::arguments::TrendArguments;
use crate::compare::{answer, open, table_name};
use crate::{Outcome, Stop};

pub(crate) fn trend(arguments: &TrendArguments) -> Outcome {
    let name = table_name(&arguments.data);
    let read = read_series(open(&arguments.data)?, ChangeFloor::default());
    let found = read.with_context(|| name.clone()).map_err(Stop::usage)?;
    let json = || plimsoll_report::trend_json(&found);
    let markdown = || plimsoll_report::trend_markdown(&name, &found);
    answer(&arguments.forms, json, markdown, |options| plimsoll_report::trend_text(&name, &found, options))?;
    Ok(if arguments.fail_on_change { gate(&found) } else { ExitCode::Success })
}

/// No change found where not all was searched is not "no change".
fn gate(found: &Histories) -> ExitCode {
    if found.changes() > 0 {
        ExitCode::Missed
    } else if found.is_undecided() {
        ExitCode::Undecided
    } else {
        ExitCode::Success
    }
}
