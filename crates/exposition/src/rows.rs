//! Points as rows: a JSON object or a row of CSV per second and series.
//!
//! A row is what one second added, never a running sum. It has the time (RFC 3339, the second's end),
//! the run, the metric, its labels and its values: of a counter `count`, of a level `value`, of a histogram
//! `count`, `sum`, `min`, `max` (seconds) and `le`, which counts durations at or below each edge. There are no
//! percentiles: these cannot be added up.
//!
//! A row is always one line, whatever labels hold.

use std::borrow::Cow;
use std::sync::LazyLock;

use plimsoll_measure::Distribution;
use serde_json::{Map, Value, json};

use crate::number::{seconds, shortest};
use crate::{Change, Reading, Report, catalogue};

/// An event's points as JSON objects. Series without a value are left out, so there may be fewer than readings.
pub fn json(report: &Report, run: &str) -> Vec<Value> {
    let time = time(report.wall_nanos);
    report.readings.iter().filter_map(|reading| object(reading, run, &time)).collect()
}

/// An event's points as rows of CSV below [`csv_header`], without line feeds.
pub fn csv(report: &Report, run: &str) -> Vec<String> {
    let time = time(report.wall_nanos);
    report.readings.iter().filter_map(|reading| row(reading, run, &time)).collect()
}

/// The header of [`csv`], without a line feed: a column for each label that any metric has.
pub fn csv_header() -> String {
    let before = ["time", "run", "metric"].into_iter();
    let values = ["count", "value", "sum", "min", "max", "le"];
    before.chain(LABELS.iter().copied()).chain(values).collect::<Vec<_>>().join(",")
}

/// A moment as RFC 3339 in UTC.
pub fn time(wall_nanos: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(wall_nanos))
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}

/// The labels of all metrics but `run`, each once, in the order of the catalogue.
static LABELS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut labels = Vec::new();
    for label in catalogue::ALL.iter().flat_map(|metric| metric.labels) {
        if *label != "run" && !labels.contains(label) {
            labels.push(*label);
        }
    }
    labels
});

fn object(reading: &Reading, run: &str, time: &str) -> Option<Value> {
    let mut object = Map::new();
    object.insert("time".to_owned(), json!(time));
    object.insert("run".to_owned(), json!(run));
    object.insert("metric".to_owned(), json!(reading.metric.name));
    let labels = labels(reading).map(|(name, value)| (name.to_owned(), json!(value)));
    object.insert("labels".to_owned(), labels.collect());
    match &reading.change {
        Change::Count(count) => {
            object.insert("count".to_owned(), json!(count));
        }
        Change::Level(level) => {
            object.insert("value".to_owned(), json!(level.filter(|level| level.is_finite())?));
        }
        Change::Durations(durations) => {
            let (min, max) = (durations.min()?, durations.max()?);
            object.insert("count".to_owned(), json!(durations.count()));
            object.insert("sum".to_owned(), json!(durations.sum() as f64 / 1e9));
            object.insert("min".to_owned(), json!(seconds(min)));
            object.insert("max".to_owned(), json!(seconds(max)));
            let edges = cumulative(durations).map(|(edge, count)| (edge.to_string(), json!(count)));
            object.insert("le".to_owned(), edges.collect());
        }
    }
    Some(Value::Object(object))
}

fn row(reading: &Reading, run: &str, time: &str) -> Option<String> {
    let mut cells = vec![time.into(), cell(run), reading.metric.name.into()];
    let value_of = |label: &&str| labels(reading).find(|(name, _)| name == label).map(|(_, value)| value);
    cells.extend(LABELS.iter().map(|label| cell(value_of(label).unwrap_or_default())));
    let empty = || Cow::Borrowed("");
    let values: [Cow<'_, str>; 6] = match &reading.change {
        Change::Count(count) => [count.to_string().into(), empty(), empty(), empty(), empty(), empty()],
        Change::Level(level) => {
            let level = shortest(level.filter(|level| level.is_finite())?);
            [empty(), level.into(), empty(), empty(), empty(), empty()]
        }
        Change::Durations(durations) => {
            let (min, max) = (durations.min()?, durations.max()?);
            let edges = cumulative(durations).map(|(edge, count)| format!("{edge}={count}"));
            [
                durations.count().to_string().into(),
                empty(),
                shortest(durations.sum() as f64 / 1e9).into(),
                shortest(seconds(min)).into(),
                shortest(seconds(max)).into(),
                edges.collect::<Vec<_>>().join(";").into(),
            ]
        }
    };
    cells.extend(values);
    Some(cells.join(","))
}

/// The labels that have a value, without the run, which every row has.
fn labels(reading: &Reading) -> impl Iterator<Item = (&'static str, &str)> {
    let labels = reading.metric.labels.iter().copied().zip(reading.labels.iter().map(|label| &**label));
    labels.filter(|(name, value)| *name != "run" && !value.is_empty())
}

/// Each edge in seconds with how many durations were at or below it.
fn cumulative(durations: &Distribution) -> impl Iterator<Item = (f64, u64)> {
    let mut sum = 0;
    durations.edges().nanos().iter().zip(durations.at_edges()).map(move |(edge, count)| {
        sum += count;
        (seconds(*edge), sum)
    })
}

/// A text as a cell of CSV (RFC 4180). Control characters become spaces, so that a row is one line.
fn cell(text: &str) -> Cow<'_, str> {
    if !text.contains(|letter: char| letter.is_control() || matches!(letter, ',' | '"')) {
        return text.into();
    }
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if plain.contains([',', '"']) {
        format!("\"{}\"", plain.replace('"', "\"\"")).into()
    } else {
        plain.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Readings;
    use crate::fixture::Fixture;
    use proptest::prelude::*;

    fn reports(fixture: &mut Fixture) -> Vec<Report> {
        let mut readings = Readings::new(fixture.started());
        let events = [fixture.second(), fixture.judged()];
        events.iter().filter_map(|event| readings.read(event)).collect()
    }

    fn columns(line: &str) -> Vec<String> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1, "{line}");
        rows[0].iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_second_is_written_as_stated() {
        let mut fixture = Fixture::new();
        fixture.request(0, 0, Some(200), 333_000_000);
        fixture.request(0, 1, Some(200), 1_000_000);
        let reports = reports(&mut fixture);
        let objects: Vec<_> = reports.iter().flat_map(|report| json(report, "r 1")).collect();
        let found =
            |metric: &str| objects.iter().find(|object| object["metric"] == metric).unwrap().to_string();
        assert_eq!(
            found("plimsoll_requests_total"),
            r#"{"time":"2023-11-14T22:13:21Z","run":"r 1","metric":"plimsoll_requests_total","labels":{"plan":"shop","scenario":"browse","step":"list","phase":"measured","outcome":"ok","status":"200"},"count":2}"#
        );
        assert_eq!(
            found("plimsoll_response_time_seconds"),
            r#"{"time":"2023-11-14T22:13:21Z","run":"r 1","metric":"plimsoll_response_time_seconds","labels":{"plan":"shop","scenario":"browse","step":"list","phase":"measured","outcome":"ok"},"count":2,"sum":0.334,"min":0.001,"max":0.333,"le":{"0.0001":0,"0.00025":0,"0.0005":0,"0.001":1,"0.0025":1,"0.005":1,"0.01":1,"0.025":1,"0.05":1,"0.1":1,"0.25":1,"0.333":2,"0.5":2,"1":2,"2.5":2,"5":2,"10":2,"30":2,"60":2}}"#
        );
        assert!(!objects.iter().any(|object| object["metric"] == "plimsoll_sla_met"), "undecided is no row");
    }

    #[test]
    fn both_forms_say_the_same() {
        let header = columns(&csv_header());
        for report in reports(&mut Fixture::busy()) {
            let (objects, rows) = (json(&report, "r"), csv(&report, "r"));
            assert_eq!((objects.len(), rows.len()), (report.points() as usize, report.points() as usize));
            for (object, row) in objects.iter().zip(&rows) {
                let row = columns(row);
                assert_eq!(row.len(), header.len());
                for (name, cell) in header.iter().zip(&row) {
                    let value = object.get(name).or_else(|| object["labels"].get(name));
                    let expected = match value {
                        None => String::new(),
                        Some(Value::String(text)) => text.clone(),
                        Some(Value::Object(edges)) => edges
                            .iter()
                            .map(|(edge, count)| format!("{edge}={count}"))
                            .collect::<Vec<_>>()
                            .join(";"),
                        Some(number) => shortest(number.as_f64().unwrap()),
                    };
                    let same = match cell.parse::<f64>() {
                        Ok(number) => shortest(number) == expected || *cell == expected,
                        Err(_) => *cell == expected,
                    };
                    assert!(same, "{name}: {cell} for {expected}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_row_is_one_line_whatever_it_holds(plan in any::<String>(), step in any::<String>()) {
            let mut fixture = Fixture::of("run", &plan, &step);
            fixture.request(0, 0, Some(204), 7_000_000);
            let report = Readings::new(fixture.started()).read(&fixture.second()).unwrap();
            let plain = |text: &str| text.replace(char::is_control, " ");
            let at = |name: &str| columns(&csv_header()).iter().position(|column| column == name).unwrap();
            for (object, row) in json(&report, "r").iter().zip(csv(&report, "r")) {
                let line = object.to_string();
                prop_assert!(!line.contains('\n') && !row.contains(['\n', '\r']));
                if object["metric"] == "plimsoll_sent_bytes_total" {
                    let row = columns(&row);
                    prop_assert_eq!(&row[at("plan")], &plain(&plan));
                    prop_assert_eq!(&row[at("step")], &plain(&step));
                    prop_assert_eq!(object["labels"]["step"].as_str().unwrap_or_default(), step.as_str());
                }
            }
        }
    }
}
