use plimsoll_compare::{Histories, read_series};
use plimsoll_data::Source;
use plimsoll_stats::ChangeFloor;
use proptest::prelude::*;

use super::{trend_json, trend_markdown, trend_schema, trend_text};
use crate::{Text, fixture};

const OPTIONS: Text = Text { width: 90, color: false, files: Vec::new() };

fn read(rows: &str) -> Histories {
    let table = format!("series,time,value\n{rows}");
    read_series(Source::Memory(table.as_bytes().into()), ChangeFloor::default()).unwrap()
}

/// A change with an outlier, one that does not change, one by moments out of order, and one that is too short.
fn some() -> Histories {
    let mut rows = String::new();
    for index in 0..60_i32 {
        let level = if index < 40 { 100.0 } else { 112.5 };
        let value = if index == 20 { 200.0 } else { level + f64::from(index * 7 % 5) / 2.0 };
        rows += &format!("encode p95,{index},{value}\n");
        rows += &format!("flat,{},{}\n", 1_767_225_600 + 86_400 * index, 3 + index * 7 % 2);
    }
    for day in [2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] {
        let value = if day < 7 { 0.0 } else { 5.0 };
        rows += &format!("errors,2026-01-{day:02}T00:00:00Z,{value}\n");
    }
    read(&(rows + "short,1,1\nshort,2,\n"))
}

fn check_against_schema(found: &Histories) -> String {
    let value = trend_json(found);
    let validator = jsonschema::draft202012::new(&trend_schema()).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    format!("{:#}\n", fixture::rounded(&value))
}

#[test]
fn the_contract_stays_as_it_is() {
    fixture::golden("trend.json", &check_against_schema(&some()));
}

#[test]
fn text_and_markdown_stay_as_they_were_read() {
    fixture::golden("trend.txt", &trend_text("series.csv", &some(), &OPTIONS));
    fixture::golden("trend.md", &trend_markdown("series.csv", &some()));
}

#[test]
fn a_terminal_of_any_width_is_kept() {
    for width in [0, 40, 57, 200] {
        let text = trend_text("series.csv", &some(), &Text { width, ..OPTIONS });
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width.clamp(40, 110), "{widest} in {width}:\n{text}");
    }
}

proptest! {
    #[test]
    fn whatever_the_values_there_is_an_answer(
        values in prop::collection::vec(prop_oneof![5 => 1.0..9.0_f64, 1 => prop::num::f64::NORMAL | prop::num::f64::ZERO], 1..80),
        name in "[a-z\u{1b}\u{202e}|]{1,8}",
    ) {
        let rows: String = values.iter().enumerate().map(|(index, value)| format!("\"x{name}\",{index},{value}\n")).collect();
        let found = read(&rows);
        check_against_schema(&found);
        for form in [trend_text("a\u{1b}[2J", &found, &OPTIONS), trend_markdown("a\u{1b}[2J", &found)] {
            prop_assert!(!form.contains('\u{1b}') && !form.contains('\u{202e}') && !form.contains("NaN"), "{form}");
        }
    }
}
