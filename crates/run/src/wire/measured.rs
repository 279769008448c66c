//! Connections, addresses, kept requests, values and resources of a second, as records have them.

use std::collections::BTreeMap;

use plimsoll_measure::{
    AddressKey, AddressSeries, CheckKey, CheckSeries, CloseReason, ConnectionFigures, DataRow, Edges,
    Exchange, Frame, GroupKey, GroupSeries, Kept, KeptKey, KeptRequest, Opening, Outcome, Phase,
    RequestCounts, Sample, SeriesKey, ValueKey, ValueSeries,
};
use serde::{Deserialize, Serialize};

use crate::{ResourceFigure, ResourceScrape, ResourceUnit};

use super::{DistributionLine, Form, WireError, distribution_in, distribution_out, is_zero, label};

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
pub(super) struct ConnectionsLine {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    opened: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    closed: BTreeMap<String, u64>,
    /// A distribution in which a request is 512 ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<DistributionLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<DistributionLine>,
}

impl ConnectionsLine {
    pub(super) fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.closed.is_empty() && self.requests.is_none() && self.wait.is_none()
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AddressLine {
    address: u16,
    phase: String,
    requests: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    failed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_time: Option<DistributionLine>,
}

/// One scrape of a source of resources.
#[derive(Serialize, Deserialize)]
pub(super) struct ScrapeLine {
    source: String,
    at: u64,
    /// Why there are no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    /// Name, unit, value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    figures: Vec<(String, String, f64)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    left_out: u64,
}

pub(super) fn scrapes_out(scrapes: &[ResourceScrape]) -> Vec<ScrapeLine> {
    let scrape = |scrape: &ResourceScrape| {
        let ResourceScrape { source, at, figures, left_out } = scrape;
        let values = figures.as_deref().unwrap_or_default().iter();
        let values = values
            // JSON has no word for what is no number.
            .filter(|figure| figure.value.is_finite())
            .map(|figure| (figure.name.to_string(), figure.unit.label().to_owned(), figure.value));
        ScrapeLine {
            source: source.to_string(),
            at: *at,
            failed: figures.as_ref().err().cloned(),
            figures: values.collect(),
            left_out: *left_out,
        }
    };
    scrapes.iter().map(scrape).collect()
}

pub(super) fn scrapes_in(lines: Vec<ScrapeLine>) -> Vec<ResourceScrape> {
    let scrape = |line: ScrapeLine| {
        let figures = line.figures.into_iter().filter_map(|(name, unit, value)| {
            // A unit that a later version knows is no reason to refuse the rest.
            Some(ResourceFigure { name: name.into(), unit: ResourceUnit::from_label(&unit)?, value })
        });
        let figures = match line.failed {
            Some(reason) => Err(reason),
            None => Ok(figures.collect()),
        };
        ResourceScrape { source: line.source.into(), at: line.at, figures, left_out: line.left_out }
    };
    lines.into_iter().map(scrape).collect()
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeptLine {
    step: u16,
    phase: String,
    #[serde(default)]
    stage: Option<u16>,
    outcome: String,
    due: u64,
    ready: u64,
    #[serde(default)]
    sent: Option<u64>,
    done: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connect: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_byte: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default)]
    received_bytes: u64,
    #[serde(default)]
    sent_bytes: u64,
    #[serde(default)]
    address: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default)]
    iteration: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row: Option<RowLine>,
    #[serde(default)]
    worker: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exchange: Option<ExchangeLine>,
}

/// What went over the wire.
#[derive(Serialize, Deserialize)]
struct ExchangeLine {
    method: String,
    url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct RowLine {
    feed: String,
    row: u64,
}

/// Passes through a group of steps.
#[derive(Serialize, Deserialize)]
pub(super) struct GroupLine {
    group: u16,
    phase: String,
    ended: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    failed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<DistributionLine>,
}

pub(super) fn groups_out(frame: &Frame, form: Form) -> Vec<GroupLine> {
    let groups = frame.groups.iter().map(|(key, series)| GroupLine {
        group: key.group,
        phase: key.phase.label().to_owned(),
        ended: series.ended,
        failed: series.failed,
        time: series.time.as_ref().map(|times| distribution_out(times, form)),
    });
    groups.collect()
}

pub(super) fn groups_in(
    lines: Vec<GroupLine>,
    edges: &Edges,
) -> Result<BTreeMap<GroupKey, GroupSeries>, WireError> {
    let group = |line: GroupLine| {
        let key = GroupKey { group: line.group, phase: label("phase", &line.phase, Phase::from_label)? };
        let time = line.time.map(|time| distribution_in("group_time", &time, edges)).transpose()?;
        Ok((key, GroupSeries { ended: line.ended, failed: line.failed, time }))
    };
    lines.into_iter().map(group).collect()
}

/// Answers that a check looked at.
#[derive(Serialize, Deserialize)]
pub(super) struct CheckLine {
    check: u16,
    phase: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    passed: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    failed: u64,
}

pub(super) fn checks_out(frame: &Frame) -> Vec<CheckLine> {
    let checks = frame.checks.iter().map(|(key, series)| CheckLine {
        check: key.check,
        phase: key.phase.label().to_owned(),
        passed: series.passed,
        failed: series.failed,
    });
    checks.collect()
}

pub(super) fn checks_in(lines: Vec<CheckLine>) -> Result<BTreeMap<CheckKey, CheckSeries>, WireError> {
    let check = |line: CheckLine| {
        let key = CheckKey { check: line.check, phase: label("phase", &line.phase, Phase::from_label)? };
        Ok((key, CheckSeries { passed: line.passed, failed: line.failed }))
    };
    lines.into_iter().map(check).collect()
}

/// What was taken from replies.
#[derive(Serialize, Deserialize)]
pub(super) struct ValueLine {
    measure: u16,
    step: u16,
    phase: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage: Option<u16>,
    #[serde(default, skip_serializing_if = "is_zero")]
    taken: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    absent: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    out_of_range: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    total: u64,
    /// In ticks of the measure's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    values: Option<DistributionLine>,
    /// Those of the distribution: they are the measure's own and not the run's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    edges: Vec<u64>,
}

pub(super) fn values_out(frame: &Frame, form: Form) -> Vec<ValueLine> {
    let values = frame.values.iter().map(|(key, series)| ValueLine {
        measure: key.value,
        step: key.step,
        phase: key.phase.label().to_owned(),
        stage: key.stage,
        taken: series.taken,
        absent: series.absent,
        out_of_range: series.out_of_range,
        total: series.total,
        values: series.values.as_ref().map(|times| distribution_out(times, form)),
        edges: series.values.as_ref().map(|values| values.edges().nanos().to_vec()).unwrap_or_default(),
    });
    values.collect()
}

pub(super) fn values_in(lines: Vec<ValueLine>) -> Result<BTreeMap<ValueKey, ValueSeries>, WireError> {
    let value = |line: ValueLine| {
        let phase = label("phase", &line.phase, Phase::from_label)?;
        let edges = Edges::exactly(line.edges);
        let values = line.values.map(|values| distribution_in("values", &values, &edges)).transpose()?;
        let (taken, absent, out_of_range, total) = (line.taken, line.absent, line.out_of_range, line.total);
        let key = ValueKey { value: line.measure, step: line.step, phase, stage: line.stage };
        Ok((key, ValueSeries { taken, absent, out_of_range, total, values }))
    };
    lines.into_iter().map(value).collect()
}

pub(super) fn addresses_out(frame: &Frame, form: Form) -> Vec<AddressLine> {
    let addresses = frame.addresses.iter().map(|(key, series)| AddressLine {
        address: key.address,
        phase: key.phase.label().to_owned(),
        requests: series.requests,
        failed: series.failed,
        response_time: series.response_time.as_ref().map(|times| distribution_out(times, form)),
    });
    addresses.collect()
}

pub(super) fn addresses_in(
    lines: Vec<AddressLine>,
    edges: &Edges,
) -> Result<BTreeMap<AddressKey, AddressSeries>, WireError> {
    let mut addresses = BTreeMap::new();
    for line in lines {
        let key =
            AddressKey { address: line.address, phase: label("phase", &line.phase, Phase::from_label)? };
        let series = AddressSeries {
            requests: line.requests,
            failed: line.failed,
            response_time: line
                .response_time
                .map(|times| distribution_in("response_time", &times, edges))
                .transpose()?,
        };
        addresses.insert(key, series);
    }
    Ok(addresses)
}

pub(super) fn kept_out(frame: &Frame) -> Vec<KeptLine> {
    frame.kept.values().flat_map(|kept| kept.requests().map(request_out)).collect()
}

pub(super) fn kept_in(lines: Vec<KeptLine>) -> Result<BTreeMap<KeptKey, Kept>, WireError> {
    let mut all: BTreeMap<KeptKey, Kept> = BTreeMap::new();
    for line in lines {
        let request = request_in(line)?;
        let SeriesKey { step, phase, .. } = request.sample.key;
        all.entry(KeptKey { step, phase }).or_default().offer(&request);
    }
    Ok(all)
}

pub(super) fn connections_out(figures: &ConnectionFigures, form: Form) -> ConnectionsLine {
    let opened = Opening::ALL.into_iter().map(|way| (way.label().to_owned(), figures.opened(way)));
    let closed = CloseReason::ALL.into_iter().map(|why| (why.label().to_owned(), figures.closed(why)));
    let requests = figures.requests.distribution();
    ConnectionsLine {
        opened: opened.filter(|(_, count)| *count > 0).collect(),
        closed: closed.filter(|(_, count)| *count > 0).collect(),
        requests: (!requests.is_empty()).then(|| distribution_out(requests, form)),
        wait: figures.wait.as_ref().map(|times| distribution_out(times, form)),
    }
}

pub(super) fn connections_in(line: ConnectionsLine, edges: &Edges) -> Result<ConnectionFigures, WireError> {
    let mut figures = ConnectionFigures::default();
    // A word that a later version knows is no reason to refuse the rest.
    for (way, count) in line.opened {
        Opening::from_label(&way).into_iter().for_each(|way| figures.add_opened(way, count));
    }
    for (why, count) in line.closed {
        CloseReason::from_label(&why).into_iter().for_each(|why| figures.add_closed(why, count));
    }
    if let Some(requests) = line.requests {
        let none = Edges::exactly([]);
        figures.requests = RequestCounts::from_distribution(distribution_in("requests", &requests, &none)?);
    }
    figures.wait = line.wait.map(|wait| distribution_in("wait", &wait, edges)).transpose()?;
    Ok(figures)
}

fn request_out(request: &KeptRequest) -> KeptLine {
    let KeptRequest { sample, message, iteration, user, row, worker, exchange } = request;
    let SeriesKey { step, phase, stage, outcome } = sample.key;
    KeptLine {
        step,
        phase: phase.label().to_owned(),
        stage,
        outcome: outcome.label().to_owned(),
        due: sample.due,
        ready: sample.ready,
        sent: sample.sent,
        done: sample.done,
        connect: sample.connect,
        tls: sample.tls,
        first_byte: sample.first_byte,
        status: sample.status,
        received_bytes: sample.received_bytes,
        sent_bytes: sample.sent_bytes,
        address: sample.address,
        message: message.clone(),
        iteration: *iteration,
        user: *user,
        row: row.as_ref().map(|row| RowLine { feed: row.feed.clone(), row: row.row }),
        worker: *worker,
        exchange: exchange.as_ref().map(|exchange| {
            let Exchange { method, url, headers, body } = Exchange::clone(exchange);
            ExchangeLine { method, url, headers, body }
        }),
    }
}

fn request_in(line: KeptLine) -> Result<KeptRequest, WireError> {
    let key = SeriesKey {
        step: line.step,
        phase: label("phase", &line.phase, Phase::from_label)?,
        stage: line.stage,
        outcome: label("outcome", &line.outcome, Outcome::from_label)?,
    };
    Ok(KeptRequest {
        sample: Sample {
            key,
            due: line.due,
            ready: line.ready,
            sent: line.sent,
            done: line.done,
            connect: line.connect,
            tls: line.tls,
            first_byte: line.first_byte,
            status: line.status,
            received_bytes: line.received_bytes,
            sent_bytes: line.sent_bytes,
            address: line.address,
        },
        message: line.message,
        iteration: line.iteration,
        user: line.user,
        row: line.row.map(|row| DataRow { feed: row.feed, row: row.row }),
        worker: line.worker,
        exchange: line.exchange.map(|line| {
            let ExchangeLine { method, url, headers, body } = line;
            Exchange { method, url, headers, body }.bounded()
        }),
    })
}
