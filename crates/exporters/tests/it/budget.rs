//! A plan with more series than a sink is to have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use plimsoll_exporters::{Exporters, LiveMetrics};
use plimsoll_exposition::OVERFLOW;
use plimsoll_exposition::otlp::messages::metrics::v1::{metric::Data, number_data_point::Value as Number};
use plimsoll_run::{
    ExportSettings, FileExport, FileFormat, OtlpExport, OtlpHistograms, OtlpProtocol, OtlpTemporality,
};
use plimsoll_testkit::{OtlpAnswer, OtlpReceiver};
use serde_json::Value;

use crate::run::{DEADLINE, Run, finish_after, tell};

const SECONDS: u64 = 4;

/// So many series are told one by one,
const BUDGET: u32 = 20;

/// and beyond them those that count and have no label but the plan: there is nothing they could be told together with.
const ALONE: usize = 2;

fn to_file(path: &Path, series: Option<u32>) -> ExportSettings {
    let file = FileExport { path: path.to_owned(), format: FileFormat::Ndjson };
    ExportSettings { file: Some(file), series, ..ExportSettings::default() }
}

fn otlp(url: String) -> OtlpExport {
    OtlpExport {
        url,
        protocol: OtlpProtocol::Http,
        headers: Vec::new(),
        temporality: OtlpTemporality::Delta,
        histograms: OtlpHistograms::Exponential,
        traces: false,
        gzip: false,
    }
}

/// Exports a run; what is told of its series beyond the budget at `/metrics`, and its notes.
async fn export(settings: &ExportSettings, run: &mut Run) -> (Vec<String>, Vec<String>) {
    let live = Arc::new(LiveMetrics::new());
    let mut exporters = Exporters::start(settings, Arc::clone(&live)).await.unwrap();
    tell(&mut exporters, run, SECONDS);
    for count in finish_after(&mut exporters, SECONDS, DEADLINE).await {
        assert_eq!((count.acknowledged, count.backlog, count.lost), (count.produced, 0, 0), "{count:?}");
    }
    let metrics = String::from_utf8(live.expose("").body).unwrap();
    let overflow = metrics.lines().filter(|line| line.starts_with("plimsoll_export_overflow_series{"));
    (overflow.map(str::to_owned).collect(), exporters.notes())
}

fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn series(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(|row| format!("{} {}", row["metric"], row["labels"])).collect()
}

/// Everything that adds up, by metric: counts, and the sum and the counts at the edges of histograms.
fn sums(rows: &[Value]) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let metric = row["metric"].as_str().unwrap();
        let edges = row["le"].as_object().into_iter().flatten();
        let edges = edges.map(|(edge, count)| (format!("{metric} at {edge}"), count));
        let own = ["count", "sum"].map(|field| (format!("{metric} {field}"), &row[field]));
        for (name, value) in own.into_iter().chain(edges) {
            *sums.entry(name).or_default() += value.as_f64().unwrap_or_default();
        }
    }
    // Sums of seconds are added in another order.
    sums.values_mut().for_each(|sum: &mut f64| *sum = (*sum * 1e6).round());
    sums.retain(|_, sum| *sum > 0.0);
    sums
}

#[tokio::test]
async fn series_beyond_the_budget_are_named_counted_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, limited) = (folder.path().join("whole.ndjson"), folder.path().join("limited.ndjson"));
    let mut run = Run::new();
    let (overflow, notes) = export(&to_file(&whole, None), &mut run).await;
    assert_eq!((overflow.len(), notes.len()), (0, 0), "there is room for all: {overflow:?} {notes:?}");

    let receiver = OtlpReceiver::start([OtlpAnswer::Take]).await.unwrap();
    let settings = ExportSettings { otlp: Some(otlp(receiver.url())), ..to_file(&limited, Some(BUDGET)) };
    let mut run = run.again();
    let (overflow, notes) = export(&settings, &mut run).await;

    let (whole, limited) = (rows(&whole), rows(&limited));
    let (named, by_name): (BTreeSet<_>, BTreeSet<_>) =
        series(&limited).into_iter().partition(|series| series.contains(OVERFLOW));
    assert!(by_name.len() <= BUDGET as usize + ALONE && by_name.is_subset(&series(&whole)), "{by_name:?}");
    assert!(named.iter().all(|series| series.contains("\"plan\":\"shop, ")), "whose it is stays: {named:?}");
    let beyond = series(&whole).len() - by_name.len();
    assert!(beyond > 20, "{beyond}");
    for sink in ["file", "otlp"] {
        let line = format!("plimsoll_export_overflow_series{{sink=\"{sink}\"}} {beyond}");
        assert!(overflow.contains(&line), "{line} in {overflow:?}");
        let told = notes.iter().filter(|note| note.starts_with(&format!("{sink}: its budget of series")));
        assert_eq!(told.count(), 1, "{notes:?}");
    }
    assert_eq!(sums(&limited), sums(&whole));
    let requests: u64 = run.requests.values().sum();
    let of = |metric: &str| {
        limited
            .iter()
            .filter(|row| row["metric"] == metric)
            .map(|row| row["count"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(of("plimsoll_requests_total"), requests);
    assert_eq!(of("plimsoll_response_time_seconds"), requests);
    assert_eq!(of("plimsoll_received_bytes_total"), run.received_bytes);

    // A sink of another form, which sums up by itself.
    let received = receiver.received();
    let points =
        received.iter().flat_map(|request| request.metrics()).flat_map(|metric| match &metric.data {
            Some(Data::Sum(sum)) if metric.name == "plimsoll_requests" => sum.data_points.clone(),
            _ => Vec::new(),
        });
    let sum: f64 = points
        .map(|point| match point.value {
            Some(Number::AsInt(count)) => count as f64,
            Some(Number::AsDouble(count)) => count,
            None => 0.0,
        })
        .sum();
    assert_eq!(sum, requests as f64);
}
