//! The file of samples: what is chosen is written or counted, whatever becomes of the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_exporters::{SamplesError, SamplesFile};
use plimsoll_measure::{
    Frame, Outcome, Phase, Purposes, Sample, SeriesKey, Single, SingleRule, Singles, Vitals,
};
use plimsoll_run::{Gauges, RunEvent, SamplesCount, SamplesFormat, SamplesSettings, Second};
use plimsoll_units::Ratio;

use crate::run::{DEADLINE, Run};

fn settings(file: PathBuf, format: SamplesFormat) -> SamplesSettings {
    SamplesSettings { file, format, rule: SingleRule::new(Ratio::new(1.0).unwrap(), None, false) }
}

fn create(file: &Path) -> Result<SamplesFile, SamplesError> {
    SamplesFile::create(&settings(file.to_owned(), SamplesFormat::Csv))
}

/// A second with so many requests chosen, after so many that had no room; one more is of no interest to
/// the file.
fn second(number: u64, requests: u64, skipped_samples: u64) -> RunEvent {
    let key = SeriesKey { step: 1, phase: Phase::Measured, stage: None, outcome: Outcome::Ok };
    let single = |n: u64, samples: bool| Single {
        sample: Sample { done: number * 1_000_000_000 + 5 * n, ..Sample::at(key, number * 1_000_000_000) },
        trace: None,
        purposes: Purposes { trace: !samples, samples },
    };
    let requests = (0..requests).map(|n| single(n, true)).chain([single(0, false)]).collect();
    let singles = Singles { requests, skipped_traces: 9, skipped_samples };
    let frame = Frame { singles, ..Frame::new(number) };
    let (gauges, vitals) = (Gauges::default(), Vitals::default());
    RunEvent::Second(Arc::new(Second { frame, gauges, vitals, resources: Vec::new(), wall_nanos: 0 }))
}

#[tokio::test]
async fn what_is_chosen_stands_in_the_file() {
    for format in [SamplesFormat::Csv, SamplesFormat::Ndjson] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/samples");
        let mut file = SamplesFile::create(&settings(path.clone(), format)).unwrap();
        file.send(&Run::new().start());
        (0..5).for_each(|number| file.send(&second(number, 3000, 0)));
        assert_eq!(file.finish(DEADLINE).await, SamplesCount { written: 15_000, skipped: 0 });
        assert_eq!(file.notes(), Vec::<String>::new());
        let text = std::fs::read_to_string(&path).unwrap();
        let rows: Vec<f64> = match format {
            SamplesFormat::Csv => {
                let mut reader = csv::Reader::from_reader(text.as_bytes());
                let column =
                    reader.headers().unwrap().iter().position(|name| name == "response_time").unwrap();
                reader.records().map(|row| row.unwrap()[column].parse().unwrap()).collect()
            }
            SamplesFormat::Ndjson => text
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
                .map(|row| row["response_time"].as_f64().unwrap())
                .collect(),
        };
        assert_eq!(rows.len(), 15_000);
        let expected = (0..5).flat_map(|_| (0..3000_u32).map(|n| f64::from(5 * n) / 1e9));
        assert!(rows.into_iter().eq(expected), "in order, each once");
    }
}

#[tokio::test]
async fn what_had_no_room_on_the_way_is_counted_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = create(&folder.path().join("samples.csv")).unwrap();
    file.send(&Run::new().start());
    (0..3).for_each(|number| file.send(&second(number, 10, 7)));
    assert_eq!(file.finish(DEADLINE).await, SamplesCount { written: 30, skipped: 21 });
    let notes = file.notes();
    assert!(matches!(&notes[..], [note] if note.contains("skipped")), "{notes:?}");
}

#[tokio::test]
async fn a_file_with_something_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.csv");
    std::fs::write(&path, "precious").unwrap();
    let error = create(&path).unwrap_err();
    assert!(matches!(error, SamplesError::NotEmpty(_)), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    assert!(matches!(create(folder.path()).unwrap_err(), SamplesError::Io { .. }), "a folder");
    assert!(matches!(create(&path.join("x")).unwrap_err(), SamplesError::Io { .. }), "below a file");
    std::fs::write(&path, "").unwrap();
    let first = create(&path).unwrap();
    assert!(matches!(create(&path).unwrap_err(), SamplesError::InUse(_)), "one writes");
    drop(first);
}

#[tokio::test]
async fn a_full_disk_costs_rows_and_nothing_else() {
    let mut file = create(Path::new("/dev/full")).unwrap();
    file.send(&Run::new().start());
    (0..4).for_each(|number| file.send(&second(number, 2000, 0)));
    assert_eq!(file.finish(DEADLINE).await, SamplesCount { written: 0, skipped: 8000 });
    let notes = file.notes();
    assert!(matches!(&notes[..], [note] if note.contains("No space left")), "{notes:?}");
}

/// Nobody reads the pipe: it takes a little, and then the thread hangs in a write.
#[tokio::test]
async fn a_file_that_takes_nothing_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let mut file = create(&path).unwrap();
    file.send(&Run::new().start());
    // More than may wait, by requests and by seconds.
    let (seconds, requests) = (60, 20_000);
    (0..seconds).for_each(|number| file.send(&second(number, requests, 0)));
    let counts = file.finish(Duration::from_millis(50)).await;
    assert_eq!(counts.written + counts.skipped, seconds * requests, "{counts:?}");
    assert!(counts.skipped > seconds * requests / 2, "{counts:?}");
    assert_eq!(file.notes().len(), 1);
}
