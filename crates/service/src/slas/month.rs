//! What calendar months came to: kept beside the states, for they are asked for long after.

use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use plimsoll_sla::{Period, Unit, Verdict};
use serde_json::{Value, json};

use super::bench::Row;
use super::status::{exclusions, in_force, moment, step};

const VERSION: u64 = 1;

/// The current month and the one before it, as far as anything is known of them: `2026-11` and the outcome as JSON.
pub(super) fn outcomes(row: &Row) -> Vec<(String, String)> {
    let keeper = row.keeper();
    let zone = match &row.sla.slo.period {
        Period::Calendar(calendar) => calendar.zone(),
        Period::Rolling(_) => "UTC",
    };
    let (Some(first), Ok(months)) = (keeper.ledger().first(), Period::calendar(Unit::Month, zone)) else {
        return Vec::new();
    };
    let current = months.bounds_at(keeper.now().saturating_sub(1));
    let before = months.bounds_at(current.start.saturating_sub(1));
    [before, current]
        .into_iter()
        .filter(|range| range.end > first)
        .filter_map(|range| Some((name(range.start, zone)?, outcome(row, &range, zone).to_string())))
        .collect()
}

fn name(start: u64, zone: &str) -> Option<String> {
    let zone = TimeZoneDatabase::bundled().get(zone).unwrap_or(TimeZone::UTC);
    let start = Timestamp::from_second(start.try_into().ok()?).ok()?.to_zoned(zone);
    Some(format!("{:04}-{:02}", start.year(), start.month()))
}

fn outcome(row: &Row, range: &Range<u64>, zone: &str) -> Value {
    let (sla, keeper) = (&*row.sla, row.keeper());
    let upto = range.end.min(keeper.now());
    let window = keeper.ledger().window(range.start..upto);
    let budget = keeper.over(range.start..upto);
    let unit = u128::from(sla.slo.method.unit());
    let shown = |count: u128| if unit == 1 { json!(count as u64) } else { json!(count as f64 / unit as f64) };
    let excluded: u64 = keeper
        .ledger()
        .exclusions()
        .iter()
        .map(|one| one.end.min(upto).saturating_sub(one.start.max(range.start)))
        .sum();
    let mut excluded_here = exclusions(sla);
    if let Some(list) = excluded_here.as_array_mut() {
        let mut touches =
            sla.exclusions.iter().map(|one| one.seconds.start < upto && range.start < one.seconds.end);
        list.retain(|_| touches.next().unwrap_or(false));
    }
    json!({
        "schema": VERSION,
        "name": sla.slo.name,
        "label": row.label(),
        "value": row.value,
        "title": sla.title,
        "service": sla.service,
        "zone": zone,
        "from": moment(range.start),
        "to": moment(range.end),
        "is_over": keeper.now() >= range.end,
        "as_of": moment(keeper.now()),
        "target": sla.slo.target.share().to_f64(),
        "target_words": sla.slo.target.to_string(),
        "attained": budget.attained().map(plimsoll_sla::Exact::to_f64),
        "verdict": match budget.verdict() {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::Inconclusive => "undecided",
        },
        "good": shown(budget.events().good()),
        "bad": shown(budget.events().bad()),
        "total": shown(budget.events().total()),
        "budget_remaining_ratio": budget.remaining_ratio().map(plimsoll_sla::Exact::to_f64),
        "policy": in_force(sla, budget.remaining_ratio().map(|left| 1.0 - left.to_f64())).map(step),
        "seconds": upto.saturating_sub(range.start),
        "seconds_seen": window.seen,
        "seconds_excluded": excluded,
        "exclusions": excluded_here,
        "part_of": sla.part_of.as_ref().map(|part| json!({ "name": part.name, "weight": part.weight })),
    })
}
