//! `plimsoll demo`: the main job with nothing installed.
//!
//! It starts the demo target, offers the load of `config/plans/demo.yaml`, makes an incident halfway
//! and checks that the objectives saw it come and go. What it shows is a real run: same engine, same
//! record, same report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use plimsoll_demo_target::{Config, Control as TargetControl, DemoTarget, Latency, Model};
use plimsoll_exporters::LiveMetrics;
use plimsoll_history::History;
use plimsoll_run::{ExitCode, RunEvent, RunPlan, Shape};
use plimsoll_runner::Control;
use plimsoll_service::{Service, ServiceError};
use plimsoll_sla::{Severity, Verdict};
use plimsoll_units::duration;
use tokio_util::sync::CancellationToken;

use crate::arguments::{DemoArguments, OutputArguments};
use crate::plan::Changes;
use crate::run::{Begin, conclude, default_workers, offer};
use crate::{Outcome, Stop, files, plan, signals};

const PLAN: &str = include_str!("../../../config/plans/demo.yaml");
const USERS: &str = include_str!("../../../config/plans/users.csv");

/// The length the plan is written for.
const WRITTEN_FOR: f64 = 60.0;
/// Below it the incident would be shorter than the windows that must see it.
const SHORTEST: Duration = Duration::from_secs(30);
/// A round without `--for`: long enough to look around, short enough to wait for the incident.
const ROUND: Duration = Duration::from_secs(120);
/// The incident within the minute the plan is written for, in seconds.
const INCIDENT: (f64, f64) = (36.0, 44.0);

/// The target on a good day.
const CALM: Model = Model { latency: Latency::Lognormal { p50_ms: 20.0, p99_ms: 80.0 }, ..Model::PLAIN };

/// The target during the incident.
const INCIDENT_MODEL: Model =
    Model { latency: Latency::Lognormal { p50_ms: 400.0, p99_ms: 1500.0 }, error_ratio: 0.05, ..CALM };

pub(crate) async fn demo(arguments: DemoArguments) -> Outcome {
    let length = arguments.length.unwrap_or(ROUND);
    if length < SHORTEST {
        let (shortest, found) = (duration::format(SHORTEST), duration::format(length));
        return Err(Stop::usage(anyhow!(
            "--for {found} is too short for the story; it takes at least {shortest}"
        )));
    }
    let history = files::history(&arguments.history).await?;
    let listen = "127.0.0.1:0".parse().map_err(Stop::internal)?;
    let target = DemoTarget::spawn_thread(Config { listen, model: CALM, ..Config::default() })
        .map_err(Stop::internal)?;
    let service = bind(&arguments, &history).await?;
    let stop = CancellationToken::new();
    let banner = vec![
        format!("page     http://{}/", service.addr()),
        format!("target   http://{}/  (its own record: /record)", target.addr()),
    ];
    if !arguments.output.quiet {
        crate::say::errln!(
            "Plimsoll demo: calm, a peak, an incident, recovery; in {} a round",
            duration::format(length)
        );
    }
    let service = tokio::spawn(service.run(stop.clone()));
    let stage =
        Stage { target: &target, history: &history, live: Arc::new(LiveMetrics::new()), banner, length };
    let told = stage.rounds(&arguments).await;
    stop.cancel();
    let _ = service.await;
    target.shutdown().await;
    told
}

/// The port that was asked for, or a free one: a page elsewhere is better than no demo.
async fn bind(arguments: &DemoArguments, history: &History) -> Result<Service, Stop> {
    let config = |listen| plimsoll_service::Config {
        listen,
        history: history.clone(),
        promises: plimsoll_service::Promises::default(),
        teller: None,
        plans: None,
        access: plimsoll_service::Access::default(),
    };
    match Service::bind(config(arguments.listen)).await {
        Err(ServiceError::Taken { listen }) => {
            let any = std::net::SocketAddr::new(listen.ip(), 0);
            Service::bind(config(any)).await.map_err(Stop::usage)
        }
        bound => bound.map_err(Stop::usage),
    }
}

/// What every round plays on.
struct Stage<'a> {
    target: &'a DemoTarget,
    history: &'a History,
    live: Arc<LiveMetrics>,
    banner: Vec<String>,
    length: Duration,
}

impl Stage<'_> {
    async fn rounds(&self, arguments: &DemoArguments) -> Outcome {
        let stop = CancellationToken::new();
        let stopper = stop.clone();
        let _signals = signals::on_interrupt(move || stopper.cancel()).map_err(Stop::internal)?;
        loop {
            let code = Box::pin(self.round(arguments, &stop)).await?;
            // Ctrl-C is how a demo without `--for` ends.
            if stop.is_cancelled() {
                return Ok(ExitCode::Success);
            }
            if arguments.length.is_some() || code == ExitCode::Internal {
                return Ok(code);
            }
        }
    }

    async fn round(&self, arguments: &DemoArguments, stop: &CancellationToken) -> Outcome {
        let plan = Arc::new(self.plan()?);
        let control = Control::default();
        let (stopper, stopped) = (control.clone(), stop.clone());
        let watch = tokio::spawn(async move {
            stopped.cancelled().await;
            stopper.stop();
        });
        let story = Arc::new(std::sync::Mutex::new(Story::new(&plan, self.target.control(), self.length)));
        let watched = Arc::clone(&story);
        let observe = move |event: &RunEvent| {
            watched.lock().unwrap_or_else(std::sync::PoisonError::into_inner).see(event);
        };
        let output = self.output(&arguments.output);
        let live = Arc::clone(&self.live);
        let finished = offer(
            plan,
            Begin::default(),
            default_workers(),
            // Its target is in this process too: there is no floor below it to tell apart.
            None,
            Some(self.history),
            live,
            &output,
            &control,
            self.banner.clone(),
            observe,
        )
        .await;
        watch.abort();
        let ending = story.lock().unwrap_or_else(std::sync::PoisonError::into_inner).end();
        let finished = finished?;
        let summary = finished.state.summary();
        let judged = ExitCode::of_run(&summary, false);
        let whole = conclude(finished, Some(self.history), &output, plimsoll_report::text).await?;
        if stop.is_cancelled() {
            return Ok(ExitCode::Success);
        }
        if !output.quiet {
            crate::say::errln!("\n{}", ending.words());
        }
        Ok(match ending {
            _ if !whole => ExitCode::Internal,
            Ending::AsTold { .. } if arguments.strict => judged,
            Ending::AsTold { .. } => ExitCode::Success,
            Ending::NotMade | Ending::NotDetected | Ending::NotRecovered => ExitCode::Internal,
        })
    }

    /// The plan, stretched to the length of a round, pointed at the target.
    fn plan(&self) -> Result<RunPlan, Stop> {
        let factor = self.length.as_secs_f64() / WRITTEN_FOR;
        let stretched = |seconds: f64| {
            duration::format(Duration::from_millis((seconds * factor * 1000.0).round() as u64))
        };
        let stages =
            [("over", 5.0), ("for", 15.0), ("over", 4.0), ("for", 8.0), ("over", 2.0), ("for", 26.0)];
        let mut set: Vec<_> = (0..)
            .zip(stages)
            .map(|(index, (key, seconds))| format!("load.stages[{index}].{key}={}", stretched(seconds)))
            .collect();
        set.push(format!("load.warmup={}", stretched(5.0)));
        set.push(format!("target=http://{}", self.target.addr()));
        let read = |file: &str| match file {
            "users.csv" => Ok(USERS.as_bytes().to_vec()),
            _ => Err("no such file in the demo".to_owned()),
        };
        let changes = Changes { set, ..Changes::default() };
        Ok(plan::parse_with("config/plans/demo.yaml", PLAN.to_owned(), &read, changes)?.plan)
    }

    /// The demo always leaves a report, beside the history's file (or here, where it has none) unless a place was named.
    fn output(&self, output: &OutputArguments) -> OutputArguments {
        let mut output = output.clone();
        let name = PathBuf::from("demo-report.html");
        let beside = || self.history.file().map_or(name.clone(), |file| file.with_file_name(&name));
        output.files.report.get_or_insert_with(beside);
        output
    }
}

/// The incident, and what the objectives made of it.
struct Story {
    target: TargetControl,
    /// From and until which second the target misbehaves.
    incident: (u64, u64),
    /// Which objectives fail a run.
    critical: Vec<bool>,
    made: bool,
    /// The first second after which a critical objective was missed because of the incident.
    detected: Option<u64>,
    /// Whether none was missed when the objectives were last looked at.
    calm: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    AsTold { seconds_to_detect: u64 },
    NotMade,
    NotDetected,
    NotRecovered,
}

impl Story {
    fn new(plan: &RunPlan, target: TargetControl, length: Duration) -> Self {
        let factor = length.as_secs_f64() / WRITTEN_FOR;
        let second = |seconds: f64| (seconds * factor).round() as u64;
        Self {
            target,
            incident: (second(INCIDENT.0), second(INCIDENT.1)),
            critical: Shape::of(plan).objectives.iter().map(|o| o.severity == Severity::Critical).collect(),
            made: false,
            detected: None,
            calm: true,
        }
    }

    fn see(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Second(second) => {
                // Second k is over: k + 1 begins.
                let begins = second.frame.second + 1;
                if begins == self.incident.0 {
                    self.made = self.target.set_model(INCIDENT_MODEL).is_ok();
                } else if begins == self.incident.1 {
                    let _ = self.target.set_model(CALM);
                }
            }
            RunEvent::Judged(judged) => {
                let missed = judged
                    .statuses
                    .iter()
                    .zip(&self.critical)
                    .any(|(status, critical)| *critical && status.verdict == Some(Verdict::Missed));
                self.calm = !missed;
                if missed && self.made {
                    self.detected.get_or_insert(judged.second);
                }
            }
            RunEvent::Started(_)
            | RunEvent::Phase { .. }
            | RunEvent::Steered(_)
            | RunEvent::Resumed(_)
            | RunEvent::Stretch(_)
            | RunEvent::Profile(_)
            | RunEvent::Note(_)
            | RunEvent::Ended(_) => {}
        }
    }

    /// How it went. Leaves the target as it found it.
    fn end(&self) -> Ending {
        let _ = self.target.set_model(CALM);
        match self.detected {
            _ if !self.made => Ending::NotMade,
            None => Ending::NotDetected,
            Some(_) if !self.calm => Ending::NotRecovered,
            Some(second) => {
                Ending::AsTold { seconds_to_detect: (second + 1).saturating_sub(self.incident.0) }
            }
        }
    }
}

impl Ending {
    fn words(self) -> String {
        match self {
            Self::AsTold { seconds_to_detect } => format!(
                "The story went as told: the incident was detected within {seconds_to_detect} s and recovered from. \
                 An objective was missed on purpose; a real run would end with 3 (try --strict)."
            ),
            Self::NotMade => "The story did not go as told: the run ended before the incident.".to_owned(),
            Self::NotDetected => "The story did not go as told: no objective saw the incident.".to_owned(),
            Self::NotRecovered => {
                "The story did not go as told: objectives were still missed at the end.".to_owned()
            }
        }
    }
}
