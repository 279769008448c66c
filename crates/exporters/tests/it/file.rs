//! Files of points, read as anybody reads them, and on a disk that is full.

use std::path::Path;
use std::sync::Arc;

use plimsoll_exporters::{Exporters, LiveMetrics};
use plimsoll_run::{ExportCount, ExportSettings, FileExport, FileFormat};
use serde_json::Value;

use crate::run::{DEADLINE, Run, ended, finish_after, offer};

fn settings(path: &Path, format: FileFormat) -> ExportSettings {
    ExportSettings { file: Some(FileExport { path: path.to_owned(), format }), ..ExportSettings::default() }
}

/// A run of some seconds into a file.
async fn write(path: &Path, format: FileFormat, seconds: u64) -> (Run, ExportCount) {
    let live = Arc::new(LiveMetrics::new());
    let mut exporters = Exporters::start(&settings(path, format), live).await.unwrap();
    let run = offer(&mut exporters, seconds);
    let [count] = finish_after(&mut exporters, seconds, DEADLINE).await.try_into().unwrap();
    assert_eq!(exporters.notes(), Vec::<String>::new());
    (run, count)
}

#[tokio::test]
async fn ndjson_holds_every_request_of_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.ndjson");
    let (first, before) = write(&path, FileFormat::Ndjson, 4).await;
    let (second, after) = write(&path, FileFormat::Ndjson, 3).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len() as u64, before.acknowledged + after.acknowledged);
    assert_eq!((before.lost, after.lost), (0, 0));
    for run in [first, second] {
        let of = |metric: &str| {
            rows.iter().filter(|row| row["run"] == *run.id && row["metric"] == metric).collect::<Vec<_>>()
        };
        let sum = |metric: &str| of(metric).iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>();
        assert_eq!(sum("plimsoll_requests_total"), run.requests());
        assert_eq!(sum("plimsoll_received_bytes_total"), run.received_bytes);
        let times = of("plimsoll_response_time_seconds");
        let at_edge: u64 = times.iter().map(|row| row["le"]["0.333"].as_u64().unwrap()).sum();
        assert_eq!(at_edge, run.at_or_below(333_000_000));
        assert_eq!(times[0]["labels"]["plan"], crate::run::PLAN);
    }
}

#[tokio::test]
async fn csv_has_one_header_and_the_same_columns_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.csv");
    let (first, before) = write(&path, FileFormat::Csv, 2).await;
    let (second, after) = write(&path, FileFormat::Csv, 2).await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count() as u64, 1 + before.acknowledged + after.acknowledged);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (run_at, metric_at, count_at) = (at("run"), at("metric"), at("count"));
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    for run in [first, second] {
        let rows =
            rows.iter().filter(|row| row[run_at] == run.id && &row[metric_at] == "plimsoll_requests_total");
        let sum: u64 = rows.map(|row| row[count_at].parse::<u64>().unwrap()).sum();
        assert_eq!(sum, run.requests());
    }
}

#[tokio::test]
async fn two_runs_at_once_share_a_file_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.csv");
    let both = [write(&path, FileFormat::Csv, 9), write(&path, FileFormat::Csv, 9)];
    let counts: u64 =
        futures_util::future::join_all(both).await.iter().map(|(_, count)| count.acknowledged).sum();
    let text = std::fs::read_to_string(&path).unwrap();
    let rows = csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap).count();
    assert_eq!(rows as u64, counts);
}

/// `/dev/full` takes nothing and says that the disk is full.
#[tokio::test]
async fn a_full_disk_makes_points_wait_and_is_told_once() {
    let live = Arc::new(LiveMetrics::new());
    let settings = settings(Path::new("/dev/full"), FileFormat::Ndjson);
    let mut exporters = Exporters::start(&settings, live).await.unwrap();
    let mut run = Run::new();
    exporters.send(&run.start());
    for _ in 0..3 {
        let event = run.next_second(50);
        exporters.send(&event);
    }
    let deadline = std::time::Duration::from_secs(1);
    let [count] = exporters.finish(&ended(3), deadline).await.try_into().unwrap();
    assert_eq!((count.acknowledged, count.lost), (0, count.produced));
    let notes = exporters.notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].starts_with("file: cannot write /dev/full, points wait: "), "{notes:?}");
}

#[tokio::test]
async fn a_file_of_somebody_else_is_said_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.csv");
    std::fs::write(&path, "name,money\nann,7\n").unwrap();
    let error =
        Exporters::start(&settings(&path, FileFormat::Csv), Arc::new(LiveMetrics::new())).await.unwrap_err();
    assert!(error.to_string().ends_with("it stays as it is"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "name,money\nann,7\n");
}
