//! Connections, addresses, kept requests and limits of a run.

use plimsoll_measure::{
    CloseReason, ConnectionFigures, Distribution, Histogram, KeptRequest, LatencyFigures, Opening,
    RequestCounts, SeriesKey,
};
use plimsoll_run::{AddressSummary, Summary};
use plimsoll_units::Quantile;
use serde_json::{Map, Value, json};

use super::{latency, offset};
use crate::{Run, parts};

/// What became of connections; `null` where nothing is known of any.
pub(super) fn connections(summary: &Summary) -> Value {
    let figures = &summary.connections;
    if figures.is_empty() {
        return Value::Null;
    }
    let closed: Map<_, _> = CloseReason::ALL
        .into_iter()
        .map(|reason| (reason.label().to_owned(), json!(figures.closed(reason))))
        .collect();
    json!({
        "opened": figures.opened_in_all(),
        "tls_full": figures.opened(Opening::TlsFull),
        "tls_resumed": figures.opened(Opening::TlsResumed),
        "failed": figures.opened(Opening::Failed),
        "closed": closed,
        "requests_per_connection": counts(&figures.requests),
        "reuse_ratio": figures.reuse_ratio(),
        "reconnects": summary.reconnects,
        "wait": latency(&waits(figures)),
    })
}

/// How long requests that found no idle connection waited for one.
pub(crate) fn waits(figures: &ConnectionFigures) -> LatencyFigures {
    figures.wait.as_ref().map(of_distribution).unwrap_or_default()
}

fn of_distribution(distribution: &Distribution) -> LatencyFigures {
    let mut histogram = Histogram::new(distribution.edges().clone());
    histogram.add(distribution);
    LatencyFigures::from(&histogram)
}

fn counts(requests: &RequestCounts) -> Value {
    json!({
        "count": requests.count(),
        "min": requests.min(),
        "mean": requests.mean(),
        "p50": requests.quantile(Quantile::P50),
        "p90": requests.quantile(Quantile::P90),
        "p99": requests.quantile(Quantile::P99),
        "max": requests.max(),
    })
}

pub(super) fn address(address: &AddressSummary) -> Value {
    json!({
        "address": address.address,
        "weight": address.weight,
        "requests": address.requests,
        "failed": address.failed,
        "share": address.share,
        "response_time": latency(&address.response_time),
    })
}

pub(super) fn skew(summary: &Summary) -> Value {
    summary.skew.map_or(Value::Null, |skew| json!({ "share": skew.share, "p50": skew.p50 }))
}

pub(super) fn overflow(summary: &Summary) -> Value {
    let counted = |overflow: plimsoll_run::OverflowSummary| {
        json!({
            "step": SeriesKey::OVERFLOW_NAME,
            "series": overflow.series,
            "requests": overflow.requests,
        })
    };
    summary.overflow.map_or(Value::Null, counted)
}

pub(super) fn kept(requests: &[KeptRequest], run: &Run) -> Vec<Value> {
    let seconds = |nanos: Option<u64>| nanos.map(offset);
    let kept = requests.iter().map(|request| {
        let sample = &request.sample;
        json!({
            "phase": sample.key.phase.label(),
            "stage": sample.key.stage,
            "outcome": sample.key.outcome.label(),
            "status": sample.status,
            "message": request.message,
            "response_time": offset(request.response_time()),
            "due": offset(sample.due),
            "ready": offset(sample.ready),
            "sent": seconds(sample.sent),
            "first_byte": seconds(parts::first_byte(sample)),
            "done": offset(sample.done),
            "connect_time": seconds(sample.connect),
            "tls_time": seconds(sample.tls),
            "received_bytes": sample.received_bytes,
            "sent_bytes": sample.sent_bytes,
            "iteration": request.iteration,
            "user": request.user,
            "row": request.row.as_ref().map(|row| json!({ "feed": row.feed, "row": row.row })),
            "address": parts::address(request, run),
            "worker": request.worker,
            "exchange": request.exchange.as_ref().map(|exchange| json!({
                "method": exchange.method,
                "url": exchange.url,
                "headers": exchange.headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
                "body": exchange.body,
            })),
        })
    });
    kept.collect()
}
