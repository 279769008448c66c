use serde_json::Value;

use super::{budget, of, percent, policy, target};
use crate::words::{self, NO_DATA};

const COLUMNS: [&str; 7] = ["STATE", "SLA", "TARGET", "ATTAINED", "BUDGET LEFT", "BURN", "ALERTS"];

/// How SLAs stand, for a terminal: a line for each and what there is to say of those that are not well.
pub fn slas_text(rows: &[Value]) -> String {
    if rows.is_empty() {
        return "no SLA was judged yet\n".to_owned();
    }
    let mut table: Vec<[String; 7]> = vec![COLUMNS.map(str::to_owned)];
    table.extend(rows.iter().map(cells));
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for (index, row) in table.iter().enumerate() {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
        if let Some(row) = index.checked_sub(1).and_then(|index| rows.get(index)) {
            for line in remarks(row) {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    text
}

fn cells(row: &Value) -> [String; 7] {
    let fastest = row["burn_rates"].as_array().into_iter().flatten().find(|rate| rate["rate"].is_number());
    let burn = fastest.map_or_else(
        || NO_DATA.to_owned(),
        |fastest| {
            format!(
                "{} ({})",
                words::significant(fastest["rate"].as_f64().unwrap_or(0.0)),
                of(fastest, "window")
            )
        },
    );
    let is_composite = row["composite"] == true;
    [
        of(row, "state").to_owned(),
        words::plain(of(row, "label")),
        if is_composite { "composite".to_owned() } else { target(row) },
        percent(&row["attained"]),
        budget(&row["budget"]["remaining_ratio"]),
        burn,
        row["firing"].as_u64().unwrap_or(0).to_string(),
    ]
}

fn remarks(row: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if of(row, "state") != "ok" {
        let since = row["since"].as_str().map_or_else(String::new, |since| format!("since {since}: "));
        lines.push(format!("{since}{}", words::plain(of(row, "why"))));
    }
    if let Some(trouble) = row["trouble"].as_str() {
        lines.push(format!("no events: {}", words::plain(trouble)));
    }
    for alert in row["alerts"].as_array().into_iter().flatten() {
        if let Some(since) = alert["firing_since"].as_str() {
            let severity = words::plain(of(alert, "severity"));
            lines.push(format!("{severity} since {since}: {}", words::plain(of(alert, "why"))));
        }
    }
    lines.extend(policy(row).map(|policy| format!("policy: {}", words::plain(&policy))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stays_as_it_was_looked_at() {
        let text = slas_text(&super::super::tests::rows());
        assert!(!text.contains('\u{1b}'));
        crate::fixture::golden("slas.txt", &text);
        assert_eq!(slas_text(&[]), "no SLA was judged yet\n");
    }
}
