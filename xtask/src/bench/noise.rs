//! wrk against itself: how far apart equal things look on this machine.

use anyhow::Context;

use super::Arguments;
use super::nginx::Nginx;
use super::peers::{self, Closed, Missing, Peer};
use super::rounds::{Series, interleave};
use super::table::Table;

pub(super) fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = crate::target_folder()?.join("bench");
    std::fs::create_dir_all(&folder)?;
    let found = peers::find(if arguments.no_build { Missing::Leave } else { Missing::Install })?;
    let wrk = found.iter().find(|found| found.peer == Peer::Wrk).context("noise is measured with wrk")?;
    let nginx = Nginx::start(&folder)?;
    let load = Closed { url: &nginx.url(), connections: 64, seconds: arguments.seconds };
    let rows = interleave(arguments.rounds, &["wrk", "wrk again"], |_| {
        let (requests, cost) = wrk.closed(&load, &folder)?;
        Ok(Some(requests.succeeded / cost.cpu_seconds))
    })?;
    let [once, again]: [Series; 2] =
        [0, 1].map(|side| rows.get(side).into_iter().flatten().copied().collect());
    let ratio = once.over(&again);
    let mut table = Table::new(&["requests per generator CPU-second", "median"]);
    for (name, series) in [("wrk", &once), ("wrk again", &again)] {
        table.row([
            name.to_owned(),
            series.median().map_or_else(String::new, |median| format!("{median:.0}")),
        ]);
    }
    if let (Some(median), Some(range)) = (ratio.median(), ratio.range()) {
        table.row([
            "ratio".to_owned(),
            format!("{median:.3} ({:.3} to {:.3} over {} rounds)", range.low, range.high, arguments.rounds),
        ]);
    }
    print!("{}", table.markdown());
    Ok(())
}
