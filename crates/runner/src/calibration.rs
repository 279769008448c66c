//! What this machine adds by itself, and how much of a plan it can offer.
//!
//! The plan's own steps go through the real driver to a bare target in the same process, which answers
//! everything at once: first in a closed loop for the highest rate, then at a modest one for the noise
//! floor. What only the real target could answer (captures, expectations), what would take time
//! (pauses) and what leads elsewhere (other hosts, TLS, source addresses) is left out, and nothing is
//! sent but to our own listener on loopback. Generator and target share the processors, so the rate is
//! one the machine can offer at least.

mod null;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_driver::{
    Collector, Driver, DriverConfig, DriverError, Feeds, Http1, Message, NetworkTransport, Origin, Transport,
    TransportError,
};
use plimsoll_measure::{Frame, Histogram, LatencyFigures, Limits, Outcome, Timing};
use plimsoll_run::{
    Action, AddressChoice, Calibration, Expect, ExportSettings, Feed, FeedOrder, Floor, Header, HttpSettings,
    HttpVersion, Load, LoadModel, Network, NotifySettings, OnFailure, Part, PlannedTarget, Request, RunPlan,
    Scenario, Shape, Template, TlsSettings, UserLimits, Variable,
};
use plimsoll_units::{Rate, Users};
use plimsoll_workload::{Spacing, Stage, StageKind};

use crate::Control;
use null::NullTarget;

/// More connections than these raise no rate: each has its request under way while others are served.
const MOST_CONNECTIONS: u32 = 64;
/// A modest rate: a quarter of what the machine can offer, and no more than a thousand in half a second.
const MODEST_SHARE: f64 = 0.25;
const MODEST_RATE: f64 = 2000.0;
/// Shares of the highest rate that are tried one after the other until one leaves on schedule.
const KEPT_SHARES: [f64; 9] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];
/// The lag at p99, in seconds, up to which a rate is kept: what validity tolerates of fast targets.
const KEPT_LAG: f64 = 0.001;
/// At the start of each load connections are opened; it is not counted.
const WARM_UP: Duration = Duration::from_millis(50);
/// A machine that others have wholly taken may answer nothing for a moment; this long is tried once more.
const PATIENCE: Duration = Duration::from_secs(3);
/// A seed decides draws from feeds and their order, which matter to nobody here.
const SEED: u64 = 1;

/// How long a calibration may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoroughness {
    /// Under a second, before a run.
    Short,
    /// Up to a quarter of a minute: longer loads, and the highest rate that is kept.
    Long,
}

/// A calibration that told nothing.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The bare target could not be started.
    #[error("starting the bare target: {0}")]
    Target(#[from] std::io::Error),
    /// Connections to it cannot be made ready.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The load cannot be offered.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Not one iteration ended.
    #[error("the bare target answered none of the plan's requests")]
    Unanswered,
}

/// Learns the noise floor of this machine and the highest rate it can offer of a plan. `None` when
/// `control` stopped it.
///
/// # Errors
/// When the bare target or the load against it cannot be started, or nothing was answered.
pub async fn calibrate(
    plan: &RunPlan,
    workers: usize,
    thoroughness: Thoroughness,
    control: &Control,
) -> Result<Option<Calibration>, CalibrationError> {
    let null = NullTarget::start()?;
    let (closed, open) = match thoroughness {
        Thoroughness::Short => (Duration::from_millis(250), Duration::from_millis(500)),
        Thoroughness::Long => (Duration::from_secs(2), Duration::from_secs(3)),
    };
    let connections = plan.connections().most.clamp(1, MOST_CONNECTIONS);
    let offer = async |load| {
        let plan = bare(plan, &null.url(), connections, load);
        Box::pin(offer(plan, workers, control)).await
    };
    let users = |length| LoadModel::Closed {
        stages: hold(Users(connections), length),
        limits: UserLimits::default(),
    };
    let mut lengths = [closed, PATIENCE].into_iter();
    let highest_rate = loop {
        let length = lengths.next().ok_or(CalibrationError::Unanswered)?;
        let Some(fastest) = offer(users(length)).await? else { return Ok(None) };
        if fastest.iterations > 0 {
            break fastest.iterations as f64 / length.as_secs_f64();
        }
    };
    let mut kept_rate = None;
    if thoroughness == Thoroughness::Long {
        for share in KEPT_SHARES {
            let rate = share * highest_rate;
            let Some(tried) = offer(arrivals(rate, Duration::from_millis(500))).await? else {
                return Ok(None);
            };
            if tried.kept_its_schedule() {
                kept_rate = Some(rate);
                break;
            }
        }
    }
    let rate = (MODEST_SHARE * highest_rate).min(MODEST_RATE);
    let Some(modest) = offer(arrivals(rate, open)).await? else { return Ok(None) };
    Ok(Some(Calibration {
        rate,
        service_time: Floor::from(&modest.service_time),
        schedule_lag: Floor::from(&modest.schedule_lag),
        connections,
        highest_rate,
        kept_rate,
    }))
}

fn arrivals(rate: f64, length: Duration) -> LoadModel {
    // A rate that is none is no load, of which nothing comes.
    let rate = Rate::new(rate).unwrap_or(Rate::ZERO);
    let max_in_flight = MOST_CONNECTIONS * 16;
    LoadModel::Open { stages: hold(rate, length), spacing: Spacing::Uniform, max_in_flight }
}

fn hold<L>(level: L, length: Duration) -> Vec<Stage<L>> {
    vec![Stage { kind: StageKind::Hold(level), length: WARM_UP + length }]
}

/// What came of one load, its warm-up left out.
#[derive(Debug)]
struct Offered {
    /// Iterations that were due in it and ended in it.
    iterations: u64,
    dropped: u64,
    service_time: LatencyFigures,
    schedule_lag: LatencyFigures,
}

/// Offers a load to its end; `None` when it was stopped before.
async fn offer(
    plan: RunPlan,
    workers: usize,
    control: &Control,
) -> Result<Option<Offered>, CalibrationError> {
    let network = NetworkTransport::new(&plan).await?;
    let shape = Arc::new(Shape::of(&plan));
    let mut driver = Driver::start(&DriverConfig {
        feeds: Feeds::new(&plan.feeds, SEED),
        plan: Arc::new(plan),
        shape: Arc::clone(&shape),
        seed: SEED,
        run_id: "calibration".to_owned(),
        workers: workers.max(1),
        transport: Transport::Network(network),
        setup: Arc::new([]),
        http1: Http1::default(),
        origin: Origin::default(),
        observe: false,
    })?;
    let mut collector = Collector::new(driver.workers());
    let (mut frames, mut stopped) = (Vec::new(), false);
    while !collector.is_finished() {
        tokio::select! {
            message = driver.messages.recv() => match message {
                Some(Message::Shard { worker, shard }) => collector.add(worker, &shard),
                Some(Message::Finished { worker, .. }) => collector.finish(worker),
                Some(Message::OfferingEnded { .. }) => {}
                None => break,
            },
            () = control.stopped(), if !stopped => {
                stopped = true;
                driver.stop();
            }
        }
        frames.extend(std::iter::from_fn(|| collector.take()));
    }
    driver.join();
    Ok((!stopped).then(|| Offered::of(&frames, &shape)))
}

impl Offered {
    fn kept_its_schedule(&self) -> bool {
        self.dropped == 0 && self.schedule_lag.p99.is_some_and(|lag| lag <= KEPT_LAG)
    }

    fn of(frames: &[Frame], shape: &Shape) -> Self {
        let iterations = || {
            let all = frames.iter().flat_map(|frame| &frame.iterations);
            all.filter(|(key, _)| key.phase.is_measured()).map(|(_, series)| series)
        };
        let figures = |timing| {
            let mut histogram = Histogram::new(shape.edges.clone());
            let answered = frames.iter().flat_map(|frame| &frame.series);
            answered
                .filter(|(key, _)| key.phase.is_measured() && key.outcome == Outcome::Ok)
                .filter_map(|(_, series)| series.timings.get(&timing))
                .for_each(|times| histogram.add(times));
            LatencyFigures::from(&histogram)
        };
        Self {
            iterations: iterations().map(|series| series.ended - series.failed).sum(),
            dropped: iterations()
                .map(|series| series.dropped_in_flight_limit + series.dropped_generator)
                .sum(),
            service_time: figures(Timing::ServiceTime),
            schedule_lag: figures(Timing::ScheduleLag),
        }
    }
}

/// The plan's steps as they can be sent to the bare target.
fn bare(plan: &RunPlan, target: &str, connections: u32, model: LoadModel) -> RunPlan {
    let http = &plan.http;
    RunPlan {
        name: plan.name.clone(),
        hash: String::new(),
        text: String::new(),
        target: target.to_owned(),
        targets: vec![PlannedTarget { url: target.to_owned(), weight: 1 }],
        addresses: AddressChoice::First,
        version: None,
        environment: None,
        tags: std::collections::BTreeMap::new(),
        seed: Some(SEED),
        load: Load { model, warmup: WARM_UP, grace: Duration::from_secs(1) },
        http: HttpSettings {
            version: HttpVersion::Http1,
            connections: Some(connections),
            streams: 1,
            connect_rate: None,
            source: Vec::new(),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            redirects: 0,
            max_body: http.max_body,
            headers: bare_headers(&http.headers),
            network: Network::default(),
        },
        tls: TlsSettings::default(),
        feeds: plan.feeds.iter().map(endless).collect(),
        functions: plan.functions.clone(),
        setup: Vec::new(),
        setup_captures: 0,
        teardown: Vec::new(),
        scenarios: plan.scenarios.iter().map(bare_scenario).collect(),
        steps: plan.steps.clone(),
        groups: Vec::new(),
        checks: Vec::new(),
        objectives: Vec::new(),
        overload_objectives: Vec::new(),
        resources: Vec::new(),
        profiles: None,
        export: ExportSettings::default(),
        notify: NotifySettings::default(),
        // They cost what they cost in the run.
        trace: plan.trace,
        samples: plan.samples.clone(),
        resume: false,
        measures: Vec::new(),
        limits: Limits::default(),
    }
}

/// Rows that never run out.
fn endless(feed: &Feed) -> Feed {
    let order = match feed.order {
        FeedOrder::Unique => FeedOrder::Sequential,
        order => order,
    };
    Feed { order, ..feed.clone() }
}

fn bare_scenario(scenario: &Scenario) -> Scenario {
    let mut requests = Vec::new();
    Action::requests(&scenario.actions, &mut |request| {
        requests.push(Action::Request(Box::new(bare_request(request))));
    });
    Scenario {
        name: scenario.name.clone(),
        // One with a load of its own has no weight.
        weight: if scenario.load.is_some() { 1 } else { scenario.weight },
        actions: requests,
        ..Scenario::default()
    }
}

fn bare_request(request: &Request) -> Request {
    Request {
        url: below(&request.url),
        headers: bare_headers(&request.headers),
        query: request.query.as_ref().map(filled),
        body: request.body.as_ref().map(|body| body.map(filled)),
        timeout: None,
        expect: Expect::default(),
        captures: Vec::new(),
        measures: Vec::new(),
        checks: Vec::new(),
        on_failure: OnFailure::Continue,
        retry: None,
        until: None,
        ..request.clone()
    }
}

/// All but those that say where a message ends or what the connection becomes: the bare target knows one
/// way only.
fn bare_headers(headers: &[Header]) -> Vec<Header> {
    const FRAMING: [&str; 5] = ["connection", "content-length", "expect", "transfer-encoding", "upgrade"];
    let others =
        headers.iter().filter(|header| !FRAMING.contains(&header.name.to_ascii_lowercase().as_str()));
    others.map(|header| Header { value: filled(&header.value), ..header.clone() }).collect()
}

/// A path, whatever the holes are filled with: what begins with a slash is never an absolute URL.
fn below(url: &Template) -> Template {
    let mut parts = filled(url).parts;
    if !matches!(parts.first(), Some(Part::Text(text)) if text.starts_with('/')) {
        parts.insert(0, Part::Text("/".to_owned()));
    }
    Template { parts }
}

/// Holes that only answers of the real target could fill hold a zero.
fn filled(template: &Template) -> Template {
    let part = |part: &Part| match part {
        Part::Variable(Variable::Capture(_) | Variable::Setup(_)) => Part::Text("0".to_owned()),
        Part::Text(_) | Part::Secret(_) | Part::Variable(_) => part.clone(),
    };
    Template { parts: template.parts.iter().map(part).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_leads_anywhere_else() {
        let variable = |variable| Template { parts: vec![Part::Variable(variable)] };
        let column = Variable::Column { feed: 0, column: 0 };
        for (url, expected) in [
            (Template::text("/products"), Template::text("/products")),
            (Template::text("products"), vec_of(&["/", "products"])),
            (Template::text("http://example.org/"), vec_of(&["/", "http://example.org/"])),
            (Template::default(), Template::text("/")),
            (variable(Variable::Capture(3)), vec_of(&["/", "0"])),
            (variable(column), Template { parts: vec![Part::Text("/".into()), Part::Variable(column)] }),
        ] {
            assert_eq!(below(&url), expected);
        }
    }

    fn vec_of(texts: &[&str]) -> Template {
        Template { parts: texts.iter().map(|text| Part::Text((*text).to_owned())).collect() }
    }
}
