use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plimsoll_driver::{
    Clock, Collector, Driver, DriverConfig, DriverError, Feeds, Http1, Message, NetworkTransport, Once,
    Origin, Places, Room, Shortage, Transport, TransportError,
};
use plimsoll_exporters::{Exporters, RecordGate, SamplesError, SamplesFile};
use plimsoll_history::{Filter, History, Interrupted, Recorded, Recorder};
use plimsoll_measure::{Frame, Phase, SECOND, Vitals};
use plimsoll_run::{
    AddressShape, Calibration, Change, Command, Ended, Gauges, Model, Note, Refusal, ResourceScrape, Resumed,
    RunEvent, RunInfo, RunPlan, RunStatus, SamplesSettings, Second, Shape, Started, State, Steered,
    Steerings,
};
use plimsoll_sla::Objective;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::commands::Commands;
use crate::control::Control;
use crate::machine::machine;
use crate::profiles::{Answer, Profiles};
use crate::resources::Resources;
use crate::sinks;
use crate::vitals::Sampler;

/// How far wall and monotonic clock may part in a second before it is told: half a second is beyond
/// any slewing.
const CLOCK_STEP_NANOS: u64 = 500_000_000;

/// How long the end of a run waits for the record and the exporters before it gives its verdict.
const FLUSH: Duration = Duration::from_millis(1500);

/// How far ahead a load that is steered changes: every worker knows by then, however busy its processor is.
const AHEAD: u64 = 200_000_000;

/// Changes take effect at whole tenths of a second, which people read and figures split well.
const TENTH: u64 = 100_000_000;

/// What cannot be done with the rows of a run that goes on.
const READ: &str = "read";

/// Why a run ended that [`Control::stop`] stopped.
const STOPPED: &str = "stopped by request";

/// What to run.
#[derive(Debug)]
pub struct RunConfig {
    /// The plan.
    pub plan: Arc<RunPlan>,
    /// The run's id, where whoever asks for it knows it beforehand; else a new one.
    pub id: Option<String>,
    /// Threads to offer the load from.
    pub workers: usize,
    /// Our own version.
    pub plimsoll: String,
    /// The run that it goes on with, in place of a new one: its plan is this one, and its process died.
    pub resumed: Option<Box<Interrupted>>,
    /// The file that keeps which rows of the plan's feeds were used, where the run is to go on when this process dies.
    pub rows: Option<PathBuf>,
    /// What this machine adds and can offer, where that was learnt before.
    pub calibration: Option<Calibration>,
    /// Where the run is recorded, if anywhere.
    pub history: Option<History>,
    /// Where its measurements go.
    pub exporters: Exporters,
    /// Who watches. A watcher that does not keep up misses events; the record does not.
    pub watcher: Option<mpsc::Sender<RunEvent>>,
}

/// A run that could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Connections cannot be made ready.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// This machine has no room for what the plan has at once.
    #[error(transparent)]
    Shortage(#[from] Shortage),
    /// The load cannot be offered.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The file of samples cannot be begun.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The record cannot be used; nothing was sent.
    #[error("the run cannot be recorded")]
    History(#[from] plimsoll_history::Error),
    /// The record cannot be begun, and the setup or the first of the load went out before that was known.
    #[error("the run cannot be recorded, and its setup or some of its load may have been sent")]
    Unrecorded(#[source] plimsoll_history::Error),
    /// Which rows were used cannot be kept, or is not known.
    #[error("{}: which rows of the plan's feeds were used cannot be {what}", .path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// `kept`, or `read` where a run goes on.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The target's name stands for other addresses than before.
    #[error("the run cannot go on: its requests went to {was}, and would go to {is} now")]
    Addresses {
        /// Those of the record.
        was: String,
        /// Those of now.
        is: String,
    },
}

impl RunError {
    /// Whether it is for now that a run cannot go on, as far as that is not the record's to say: who uses its rows may be about to
    /// claim it.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Rows { what: READ, source, .. } if source.kind() == ErrorKind::ResourceBusy)
    }
}

/// A run that has ended, however it did.
#[derive(Debug)]
pub struct Finished {
    /// Its whole state; [`State::summary`] has the figures.
    pub state: State,
    /// What became of its record.
    pub recorded: Option<Recorded>,
    /// Still serving the final values, for [`Exporters::close`].
    pub exporters: Exporters,
}

/// Runs a plan to its end, or what is left of it where it goes on with a run whose process died.
///
/// # Errors
/// When it could not begin; nothing was sent then, unless it is [`RunError::Unrecorded`]: the schedule does not wait for a file,
/// so load goes out until that is known, and then no more.
pub async fn run(config: RunConfig, control: Control) -> Result<Finished, RunError> {
    let _closing = control.until_dropped();
    let plan = Arc::clone(&config.plan);
    let (origin, was) = match &config.resumed {
        Some(interrupted) => (origin(&interrupted.state), Some(&interrupted.state.started().info)),
        None => (Origin::default(), None),
    };
    let seed = was.map_or_else(|| plan.seed.unwrap_or_else(|| rand::random::<u64>() >> 11), |was| was.seed);
    let id = was.map(|was| was.id.clone()).or_else(|| config.id.clone());
    let id = id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    // A reference to the whole would not go to other threads.
    let (history, rows) = (config.history.as_ref(), config.rows.as_deref());
    let (feeds, rows) = feeds(&plan, (&id, seed), rows, history, config.resumed.is_some()).await?;
    if let (Some(history), Some(interrupted)) = (&config.history, &config.resumed) {
        // Before anything is sent or used up, of two who go on with a run one is refused: here, or because the other has its
        // rows. Only who has those makes the record his, as nobody else goes on with it from then on.
        history.claim(interrupted).await?;
    }
    let samples = samples(&config)?;
    let (network, warnings) = Box::pin(network(&plan, config.workers)).await?;
    let shape = shape(&config, &network)?;
    let driver_config = DriverConfig {
        plan: Arc::clone(&plan),
        shape: Arc::new(shape),
        seed,
        run_id: id,
        workers: config.workers.max(1),
        transport: Transport::Network(network),
        setup: Arc::new([]),
        feeds,
        http1: Http1::default(),
        origin,
        observe: false,
    };
    let setup = before(&driver_config, &control).await?;
    let captures = setup.as_ref().map(|setup| Arc::clone(&setup.captures)).unwrap_or_default();
    let driver_config = DriverConfig { setup: captures, ..driver_config };
    match setup {
        Some(Once { shard, failure: Some(failure), .. }) => {
            let mut frame = Frame::new(driver_config.origin.second);
            shard.merge_into(&mut frame);
            let end = match control.stop.is_cancelled() {
                true => (RunStatus::Interrupted, STOPPED.to_owned()),
                false => (RunStatus::Failed, failure),
            };
            let offset = Duration::from_secs(driver_config.origin.second);
            let start = Instant::now().checked_sub(offset).unwrap_or_else(Instant::now);
            let telling = Telling::begin(config, samples, &driver_config, start).await;
            let telling = telling.map_err(RunError::Unrecorded)?;
            rows.keep();
            Ok(Box::pin(telling.fail(frame, end, &driver_config)).await)
        }
        setup => {
            let driver = Driver::start(&driver_config)?;
            let mut telling = match Telling::begin(config, samples, &driver_config, driver.started).await {
                Ok(telling) => telling,
                Err(error) => {
                    driver.stop();
                    return Err(RunError::Unrecorded(error));
                }
            };
            rows.keep();
            warnings.into_iter().for_each(|warning| telling.note(warning));
            // A run that goes on has told the rest.
            if telling.state.resumptions().is_empty() {
                not_judged(&plan).chain(not_replayed(&plan)).for_each(|words| telling.note(words));
                let shortfall = telling.state.started().calibration.as_ref();
                let shortfall =
                    shortfall.and_then(|calibration| calibration.shortfall(telling.state.shape()));
                shortfall.into_iter().for_each(|words| telling.note(words));
            }
            Ok(Box::pin(telling.follow(driver, setup, &driver_config, &control)).await)
        }
    }
}

/// The file of samples. Of a run that goes on it is another than before, as each has a beginning and an end.
fn samples(config: &RunConfig) -> Result<Option<SamplesFile>, SamplesError> {
    let Some(settings) = &config.plan.samples else { return Ok(None) };
    let Some(interrupted) = &config.resumed else { return SamplesFile::create(settings).map(Some) };
    let mut name = settings.file.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-resumed-{}", interrupted.state.resumptions().len() + 1));
    if let Some(extension) = settings.file.extension() {
        name.push(".");
        name.push(extension);
    }
    let settings = SamplesSettings { file: settings.file.with_file_name(name), ..settings.clone() };
    SamplesFile::create(&settings).map(Some)
}

/// What the seconds of the run mean: as its record has it, where it has begun.
fn shape(config: &RunConfig, network: &NetworkTransport) -> Result<Shape, RunError> {
    // One address is the target itself, and told by it.
    let addresses = Some(network.addresses()).filter(|all| all.len() > 1).unwrap_or_default();
    let Some(interrupted) = &config.resumed else {
        return Ok(Shape { addresses, ..Shape::of(&config.plan) });
    };
    let shape = interrupted.state.shape().clone();
    if shape.addresses == addresses {
        return Ok(shape);
    }
    let names = |all: &[AddressShape]| match all {
        [] => "one address".to_owned(),
        all => all.iter().map(|address| address.name.as_str()).collect::<Vec<_>>().join(", "),
    };
    Err(RunError::Addresses { was: names(&shape.addresses), is: names(&addresses) })
}

/// Rows for templates, behind those that were used.
async fn feeds(
    plan: &RunPlan,
    (id, seed): (&str, u64),
    rows: Option<&Path>,
    history: Option<&History>,
    goes_on: bool,
) -> Result<(Feeds, NewFile), RunError> {
    let feeds = &plan.feeds;
    let Some(path) = rows.filter(|_| plan.draws_rows()) else {
        return Ok((Feeds::new(feeds, seed), NewFile(None)));
    };
    let identity = match history {
        Some(history) => history.identity().await?,
        None => String::new(),
    };
    let failed = |what| move |source| RunError::Rows { path: path.to_owned(), what, source };
    if goes_on {
        let places = Places::go_on(path, &identity).map_err(failed(READ))?;
        let feeds = Feeds::resumed(feeds, seed, &places).map_err(failed(READ))?;
        return Ok((feeds, NewFile(None)));
    }
    let places = Places::begin(path, &identity).map_err(failed("kept"))?;
    // Not before the file is ours: another process might record the run in between.
    not_recorded(history, id).await.inspect_err(|_| places.give_back())?;
    let kept = Feeds::kept(feeds, seed, &places);
    let new = NewFile(Some(places));
    Ok((kept.map_err(failed("kept"))?, new))
}

/// Makes sure that the rows of a run are of no use to anybody: what it used before it was recorded, it used for nothing.
async fn not_recorded(history: Option<&History>, id: &str) -> Result<(), RunError> {
    let Some(history) = history else { return Ok(()) };
    let filter = Filter { id: Some(id.to_owned()), ..Filter::default() };
    match history.list(&filter).await?.is_empty() {
        true => Ok(()),
        false => Err(plimsoll_history::Error::RunExists { id: id.to_owned() }.into()),
    }
}

/// A file that goes again unless the run begins: its name is that of the run, which may be tried once more. It goes while it is
/// still ours, so that it is never the file of whoever tries.
struct NewFile(Option<Places>);

impl NewFile {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        self.0.iter().for_each(Places::remove);
    }
}

/// Where a run stood whose process died.
fn origin(state: &State) -> Origin {
    let shape = state.shape();
    let mut begun = vec![0; shape.own_loads.len() + 1];
    for (key, arrivals, _) in state.iterations() {
        let own = shape.own_loads.iter().position(|load| load.scenario == key.scenario);
        begun[own.map_or(0, |own| own + 1)] += arrivals;
    }
    let told = state.steerings().all().iter();
    let steers = told.flat_map(|steered| {
        steered.loads.iter().map(|load| (*load, steered.effective, steered.change.wanted()))
    });
    Origin {
        second: state.last_second().map_or(0, |last| last + 1),
        resumptions: state.resumptions().len() as u64 + 1,
        begun,
        steers: steers.collect(),
    }
}

/// What is promised and no run at the plan's own load shows.
fn not_judged(plan: &RunPlan) -> impl Iterator<Item = String> {
    plan.overload_objectives.iter().map(|objective| {
        let Objective { name, text, .. } = objective;
        let name = if name == text { format!("`{name}`") } else { format!("`{name}` ({text})") };
        format!("{name} is not judged here: `plimsoll limit --overload` judges it")
    })
}

/// What of a log is not replayed as it stands there.
fn not_replayed(plan: &RunPlan) -> impl Iterator<Item = String> {
    plan.scenarios
        .iter()
        .filter_map(|scenario| scenario.replay.as_ref())
        .flat_map(|replay| replay.notes.clone())
}

/// What connections need, and what this machine may turn out to have too little of.
async fn network(plan: &RunPlan, workers: usize) -> Result<(NetworkTransport, Vec<String>), RunError> {
    let network = NetworkTransport::new(plan).await?;
    let mut warnings = Vec::new();
    for shortage in network.shortages(plan, &Room::now(workers.max(1))) {
        if shortage.is_certain() {
            return Err(shortage.into());
        }
        warnings.push(shortage.to_string());
    }
    Ok((network, warnings))
}

async fn before(config: &DriverConfig, control: &Control) -> Result<Option<Once>, DriverError> {
    if config.plan.setup.is_empty() {
        return Ok(None);
    }
    let clock = Clock::real(Instant::now());
    let (steps, stop) = (config.plan.setup.clone(), control.stop.clone());
    Once::run(config.clone(), steps, Phase::Setup, config.origin.second, clock, stop).await.map(Some)
}

/// Lets the sinks have a second when the record has it.
fn record_first(mut recorded: watch::Receiver<u64>, gate: RecordGate) {
    gate.close();
    tokio::spawn(async move {
        while recorded.changed().await.is_ok() {
            gate.recorded(*recorded.borrow());
        }
        gate.open();
    });
}

/// The run's state and everybody who is told of it.
struct Telling {
    state: State,
    recorder: Option<Recorder>,
    exporters: Exporters,
    samples: Option<SamplesFile>,
    /// Requests chosen for their trace that found no room.
    skipped_traces: u64,
    history: Option<History>,
    watcher: Option<mpsc::Sender<RunEvent>>,
    clock_was: i128,
    started: Instant,
    /// Wall time of offset zero, were there no gap in the load: what is told from here on is that much later.
    started_nanos: i64,
    /// What a process before this one left in flight, until it is told.
    lost: Option<Frame>,
    /// The file of the rows that were used.
    rows: Option<PathBuf>,
    resources: Option<Resources>,
    profiles: Option<Profiles>,
    /// Who looks for what is asked through the history.
    commands: Option<Commands>,
    /// Sources of which it was told that they could not be scraped or have too many series.
    told: BTreeSet<(Arc<str>, bool)>,
}

impl Telling {
    async fn begin(
        mut config: RunConfig,
        samples: Option<SamplesFile>,
        driver: &DriverConfig,
        start: Instant,
    ) -> plimsoll_history::Result<Self> {
        let now = Instant::now();
        let ahead = start.saturating_duration_since(now).as_nanos() as i128;
        let ago = now.saturating_duration_since(start).as_nanos() as i128;
        let started_nanos = (wall_nanos() + ahead - ago) as i64;
        if let Some(interrupted) = config.resumed.take() {
            return Box::pin(Self::go_on(config, interrupted, samples, driver, (start, started_nanos))).await;
        }
        let plan = &config.plan;
        let started = Arc::new(Started {
            info: RunInfo {
                id: driver.run_id.clone(),
                started_nanos,
                seed: driver.seed,
                version: plan.version.clone(),
                environment: plan.environment.clone(),
                tags: plan.tags.clone(),
                machine: machine(),
                plimsoll: config.plimsoll.clone(),
                target: plan.target.clone(),
            },
            shape: Shape::clone(&driver.shape),
            plan_text: plan.text.clone(),
            calibration: config.calibration.take(),
        });
        let recorder = match &config.history {
            Some(history) => Some(Recorder::start(history, &started).await?),
            None => None,
        };
        let state = State::new(Arc::clone(&started));
        let mut telling = Self::new(config, state, recorder, samples, (start, started_nanos));
        telling.tell(RunEvent::Started(started));
        Ok(telling)
    }

    /// Goes on with a run whose process died.
    async fn go_on(
        config: RunConfig,
        interrupted: Box<Interrupted>,
        samples: Option<SamplesFile>,
        driver: &DriverConfig,
        (start, started_nanos): (Instant, i64),
    ) -> plimsoll_history::Result<Self> {
        let recorder = match &config.history {
            Some(history) => Some(Recorder::resume(history, &interrupted).await?),
            None => None,
        };
        let Interrupted { state, last, .. } = *interrupted;
        let running = state.iterations().map(|(key, _, running)| (key, running));
        let nothing = Frame::new(0);
        let last = last.as_ref().map_or(&nothing, |last| &last.frame);
        let lost = plimsoll_driver::lost(last, running, driver.origin.second);
        let at = driver.origin.second * SECOND;
        let wall_nanos = started_nanos.saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
        let away = u64::try_from(wall_nanos.saturating_sub(state.last_wall_nanos())).unwrap_or(0);
        // A process that died before its first second has told of them already.
        let is_told = state.resumptions().iter().any(|one| one.at == at);
        let cut = if is_told { 0 } else { lost.requests(|_| true) };
        let resumed = Resumed { at, wall_nanos, away, cut };
        let started = Arc::clone(state.started());
        let mut telling = Self::new(config, state, recorder, samples, (start, started_nanos));
        telling.lost = Some(lost);
        // Whoever writes offsets as times of day has only what comes now.
        let seen = RunEvent::Started(Arc::new(started.seen_from(&resumed)));
        telling.exporters.send(&seen);
        telling.samples.iter().for_each(|samples| samples.send(&seen));
        if let Some(watcher) = &telling.watcher {
            let _ = watcher.try_send(RunEvent::Started(started));
        }
        telling.tell(RunEvent::Resumed(resumed));
        Ok(telling)
    }

    fn new(
        config: RunConfig,
        state: State,
        recorder: Option<Recorder>,
        samples: Option<SamplesFile>,
        (started, started_nanos): (Instant, i64),
    ) -> Self {
        if let Some(recorder) = &recorder {
            record_first(recorder.seconds(), config.exporters.record_gate());
        }
        let mut exporters = config.exporters;
        if let Some(history) = &config.history {
            sinks::complete(history, &mut exporters);
        }
        Self {
            state,
            recorder,
            exporters,
            history: config.history,
            samples,
            skipped_traces: 0,
            watcher: config.watcher,
            clock_was: i128::from(started_nanos),
            started,
            started_nanos,
            lost: None,
            rows: config.rows,
            resources: None,
            profiles: None,
            commands: None,
            told: BTreeSet::new(),
        }
    }

    /// Folds an event and hands it to everybody.
    fn tell(&mut self, event: RunEvent) {
        self.state.apply(&event);
        if let Some(recorder) = &self.recorder {
            recorder.record(&event);
        }
        self.exporters.send(&event);
        self.samples.iter().for_each(|samples| samples.send(&event));
        if let Some(watcher) = &self.watcher {
            let _ = watcher.try_send(event);
        }
    }

    fn note(&mut self, text: String) {
        let at = self.started.elapsed().as_nanos() as u64;
        self.tell(RunEvent::Note(Note { at, text }));
    }

    fn second(&mut self, frame: Frame, gauges: Gauges, vitals: Vitals, resources: Vec<ResourceScrape>) {
        self.skipped_traces += frame.singles.skipped_traces;
        let end = (frame.second + 1) * SECOND;
        let wall_nanos = self.started_nanos + i64::try_from(end).unwrap_or(i64::MAX / 2);
        let notes: Vec<_> = resources.iter().filter_map(|scrape| self.trouble_of(scrape)).collect();
        self.tell(RunEvent::Second(Arc::new(Second { frame, gauges, vitals, resources, wall_nanos })));
        let judged =
            tracing::info_span!("judge", plimsoll.second = end / SECOND - 1).in_scope(|| self.state.judged());
        let came = self.profiles.as_mut().map(|profiles| {
            profiles.judged(&judged, self.state.shape());
            profiles.take()
        });
        self.tell(RunEvent::Judged(Arc::new(judged)));
        self.profiled(came.unwrap_or_default());
        notes.into_iter().for_each(|note| self.note(note));
        self.notice_trouble();
    }

    /// What is worth telling of a scrape, of each source once.
    fn trouble_of(&mut self, scrape: &ResourceScrape) -> Option<String> {
        let trouble = match &scrape.figures {
            Err(reason) => format!("could not be scraped: {reason}"),
            Ok(_) if scrape.left_out > 0 => {
                format!("has {} series more than are kept of one source", scrape.left_out)
            }
            Ok(_) => return None,
        };
        let is_new = self.told.insert((Arc::clone(&scrape.source), scrape.figures.is_err()));
        is_new.then(|| format!("resource `{}` {trouble}", scrape.source))
    }

    /// Tells what went wrong around the measuring: the wall clock, the record, the exporters.
    fn notice_trouble(&mut self) {
        // The monotonic clock says what the wall clock should show; points keep the former.
        let shift = wall_nanos() - self.started.elapsed().as_nanos() as i128;
        if shift.abs_diff(self.clock_was) > u128::from(CLOCK_STEP_NANOS) {
            let step = (shift - self.clock_was) as f64 / 1e9;
            self.clock_was = shift;
            self.note(format!(
                "the wall clock was set by {step:+.3} s; points keep the time it showed at the start"
            ));
        }
        let trouble = self.recorder.as_ref().and_then(Recorder::trouble);
        trouble
            .into_iter()
            .chain(self.exporters.notes())
            .chain(self.samples.iter().flat_map(SamplesFile::notes))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|text| self.note(text));
    }

    /// Follows a driver to its end.
    async fn follow(
        mut self,
        mut driver: Driver,
        setup: Option<Once>,
        config: &DriverConfig,
        control: &Control,
    ) -> Finished {
        self.watch_resources(&config.plan);
        self.ask_for_profiles(config);
        self.commands = self
            .history
            .as_ref()
            .map(|history| Commands::follow(history, &config.run_id, self.state.shape(), control));
        let mut collector = Collector::starting_at(config.origin.second, driver.workers());
        setup.iter().for_each(|setup| collector.add_extra(&setup.shard));
        let mut course = Course::new(config, &self.state);
        course.reach(&mut self, config.origin.second * SECOND);
        let (mut offering_ended, mut last, mut told_trouble) = (Vec::new(), 0, false);
        let mut enough = false;
        while !collector.is_finished() {
            tokio::select! {
                message = driver.messages.recv() => match message {
                    Some(Message::Shard { worker, shard }) => {
                        collector.add(worker, &shard);
                        driver.give_back(worker, shard);
                    }
                    Some(Message::OfferingEnded { at }) => {
                        offering_ended.push(at);
                        if offering_ended.len() == driver.workers() {
                            let at = offering_ended.iter().copied().max().unwrap_or(at);
                            course.end_stages(&mut self, at);
                        }
                    }
                    Some(Message::Finished { worker, at }) => {
                        collector.finish(worker);
                        last = last.max(at);
                    }
                    None => break,
                },
                () = control.stop.cancelled(), if course.end.is_none() => {
                    course.end = Some((RunStatus::Interrupted, STOPPED.to_owned()));
                    driver.stop();
                }
                () = control.orders.came.notified() => {
                    for (command, answer) in control.orders.take() {
                        // Whoever does not wait for the answer has asked all the same.
                        let _ = answer.send(self.steer(&command, &driver, &mut course));
                    }
                }
                () = control.enough.cancelled(), if !enough => {
                    enough = true;
                    driver.stop();
                }
            }
            if let Some(resources) = self.resources.as_ref().filter(|_| collector.is_finished()) {
                // The load is over; what is told of its last seconds should have their resources.
                resources.settle().await;
            }
            while let Some(frame) = collector.take() {
                let frame = self.with_lost(frame);
                let gauges = course.gauges(&driver, &frame, self.state.steerings());
                let vitals = course.vitals.sample(driver.take_stall());
                let second_end = (frame.second + 1) * SECOND;
                course.reach(&mut self, frame.second * SECOND);
                let resources = self.resources.as_ref().map(Resources::take).unwrap_or_default();
                self.second(frame, gauges, vitals, resources);
                if course.end.is_none() && self.recorder.as_ref().is_some_and(Recorder::is_taken) {
                    // It took this process for dead, and two would offer twice the load.
                    let reason = "another process goes on with the run".to_owned();
                    course.end = Some((RunStatus::Failed, reason));
                    driver.stop();
                }
                let abort = self.state.abort().filter(|_| course.end.is_none());
                if let Some(index) = abort.filter(|_| course.has_more_to_offer(second_end)) {
                    course.end = Some((RunStatus::Aborted, self.abort_reason(index)));
                    driver.stop();
                }
            }
            if let Some(trouble) = driver.trouble().filter(|_| !told_trouble) {
                told_trouble = true;
                self.note(trouble);
            }
        }
        if let Some(failure) = driver.failure() {
            course.end = Some((RunStatus::Failed, failure));
        }
        driver.join();
        self.resources = None;
        let torn_down = control.refusing(self.after_load(config, control)).await;
        self.finish(torn_down.unwrap_or(last), course.end).await
    }

    /// Cleans up, which waits for nobody who looks at the target, and says when that was done; then waits for those.
    async fn after_load(&mut self, config: &DriverConfig, control: &Control) -> Option<u64> {
        let torn_down = self.teardown(config).await;
        if let Some(profiles) = self.profiles.take() {
            let came = profiles.finish(&control.stop).await;
            self.profiled(came);
        }
        if let Some(commands) = self.commands.take() {
            commands.finish(FLUSH).await;
        }
        torn_down
    }

    /// The first second behind a resumption, with what the process before it left in flight.
    fn with_lost(&mut self, frame: Frame) -> Frame {
        let Some(mut lost) = self.lost.take() else { return frame };
        lost.absorb(&frame);
        // The requests told one by one are not added up with anything.
        Frame { singles: frame.singles, ..lost }
    }

    /// Makes the load other than planned a moment from now, and tells everybody.
    fn steer(&mut self, command: &Command, driver: &Driver, course: &mut Course) -> Result<Steered, Refusal> {
        if course.end.is_some() || course.told == Some(Phase::Grace) {
            return Err(Refusal::Over);
        }
        let (at, shape) = (driver.clock.now(), self.state.shape());
        let effective = (at + AHEAD).next_multiple_of(TENTH);
        let steerings = self.state.steerings();
        let mut steered = steerings.decide(shape, command, at, effective)?;
        let is_end = steered.change == Change::Stop && steerings.stops_all(shape, &steered);
        if is_end {
            // Nothing is left that a later moment would be for.
            steered.effective = at;
            course.end = Some((RunStatus::Interrupted, format!("{STOPPED} of {}", steered.by)));
            driver.stop();
        } else {
            let wanted = steered.change.wanted();
            steered.loads.iter().for_each(|load| driver.steer(*load, effective, wanted));
        }
        self.tell(RunEvent::Steered(Arc::new(steered.clone())));
        Ok(steered)
    }

    /// Begins to look at what the target uses. A run goes on without it.
    fn watch_resources(&mut self, plan: &RunPlan) {
        match Resources::start(plan, self.started) {
            Ok(resources) => self.resources = resources,
            Err(error) => self.note(format!("the resources are not looked at: {error}")),
        }
    }

    /// Begins to ask for profiles. A run goes on without them.
    fn ask_for_profiles(&mut self, config: &DriverConfig) {
        match Profiles::start(config, &self.state, self.started) {
            Ok(profiles) => self.profiles = profiles,
            Err(error) => self.note(format!("no profiles are fetched: {error}")),
        }
    }

    fn profiled(&mut self, came: Vec<Answer>) {
        for answer in came {
            match answer {
                Ok(taken) => self.tell(RunEvent::Profile(taken)),
                Err(reason) => self.note(reason),
            }
        }
    }

    fn abort_reason(&self, index: usize) -> String {
        let objective = &self.state.shape().objectives[index];
        let length = objective.abort_after.unwrap_or_default();
        format!("`{}` was missed for {length} s without a break", objective.name)
    }

    /// Setup failed or was stopped: there is no load, and teardown runs all the same.
    async fn fail(mut self, frame: Frame, end: (RunStatus, String), config: &DriverConfig) -> Finished {
        let at = config.origin.second * SECOND;
        self.tell(RunEvent::Phase { phase: Phase::Grace, at });
        let frame = self.with_lost(frame);
        self.second(frame, Gauges::default(), Vitals::default(), Vec::new());
        let last = self.teardown(config).await.unwrap_or(at);
        self.finish(last, Some(end)).await
    }

    async fn finish(mut self, last: u64, end: Option<(RunStatus, String)>) -> Finished {
        let (status, reason) = match end {
            Some((status, reason)) => (status, Some(reason)),
            None => (RunStatus::Completed, None),
        };
        if self.skipped_traces > 0 {
            let skipped = self.skipped_traces;
            self.note(format!(
                "{skipped} requests chosen by `trace` found no room: no exemplar or span tells of them"
            ));
        }
        let mut ended = Ended { at: last, status, reason, exports: Vec::new(), samples: None };
        if let Some(samples) = &mut self.samples {
            ended.samples = Some(samples.finish(FLUSH).await);
        }
        ended.exports = self.exporters.finish(&Arc::new(ended.clone()), FLUSH).await;
        if let Some(history) = &self.history
            && let Err(error) = sinks::keep(history, self.exporters.earlier()).await
        {
            self.note(format!("what became of the points of earlier runs is not in the history: {error}"));
        }
        self.notice_trouble();
        self.tell(RunEvent::Ended(Arc::new(ended)));
        self.exporters.keep_summary(&self.state.summary());
        let recorded = match self.recorder.take() {
            Some(recorder) => Some(recorder.finish(FLUSH).await),
            None => None,
        };
        if let Some(path) = self.rows.filter(|_| recorded.as_ref().is_none_or(|recorded| recorded.ended)) {
            // It is over: nobody goes on with its rows. A file that stays does no harm.
            let _ = std::fs::remove_file(path);
        }
        Finished { state: self.state, recorded, exporters: self.exporters }
    }

    /// Runs teardown, if there is any, and says when it was done.
    async fn teardown(&mut self, config: &DriverConfig) -> Option<u64> {
        if config.plan.teardown.is_empty() {
            return None;
        }
        if self.recorder.as_ref().is_some_and(Recorder::is_taken) {
            // Nobody reads of it in the record, and whoever watches does.
            self.note(
                "no teardown is made: another process goes on with the run, and makes it at its end"
                    .to_owned(),
            );
            return None;
        }
        let second = self.state.last_second().map_or(0, |last| last + 1);
        match Once::run(
            config.clone(),
            config.plan.teardown.clone(),
            Phase::Teardown,
            second,
            Clock::real(self.started),
            // Teardown cleans up after the run, also after one that was stopped.
            CancellationToken::new(),
        )
        .await
        {
            Ok(once) => {
                let mut frame = Frame::new(second);
                once.shard.merge_into(&mut frame);
                self.second(frame, Gauges::default(), Vitals::default(), Vec::new());
                once.failure.into_iter().for_each(|failure| self.note(failure));
            }
            Err(error) => self.note(format!("teardown: {error}")),
        }
        Some(self.started.elapsed().as_nanos() as u64)
    }
}

/// Where a run stands in its plan.
struct Course {
    shape: Arc<Shape>,
    told: Option<Phase>,
    end: Option<(RunStatus, String)>,
    vitals: Sampler,
}

impl Course {
    fn new(config: &DriverConfig, state: &State) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Workers beside idle processors are as much at their limit as workers on all of them.
        let cores = cores.min(config.workers) as f64;
        Self {
            shape: Arc::clone(&config.shape),
            told: phase_told(state),
            end: None,
            vitals: Sampler::new(cores, port(&config.plan.target)),
        }
    }

    /// Tells of warm-up and measured phase when an offset shows that they have begun.
    fn reach(&mut self, telling: &mut Telling, offset: u64) {
        let warmup = (self.shape.warmup * 1e9).round() as u64;
        let (phase, at) = if offset < warmup { (Phase::Warmup, 0) } else { (Phase::Measured, warmup) };
        if self.told.is_none_or(|told| told < phase) {
            self.told = Some(phase);
            telling.tell(RunEvent::Phase { phase, at });
        }
    }

    /// Tells that the stages ended at an offset. What comes after is grace, whatever was planned there.
    fn end_stages(&mut self, telling: &mut Telling, at: u64) {
        if self.told == Some(Phase::Grace) {
            // They had ended before the run went on.
            return;
        }
        self.reach(telling, at.saturating_sub(1));
        self.told = Some(Phase::Grace);
        telling.tell(RunEvent::Phase { phase: Phase::Grace, at });
        telling.profiles.iter().for_each(Profiles::ended);
    }

    /// Whether stages are left after an offset. Where none are, all was offered and nothing can be
    /// aborted any more.
    fn has_more_to_offer(&self, offset: u64) -> bool {
        self.told != Some(Phase::Grace) && (offset as f64) < self.shape.stages_end() * 1e9
    }

    fn gauges(&self, driver: &Driver, frame: &Frame, steerings: &Steerings) -> Gauges {
        let by_users = frame
            .iterations
            .iter()
            .filter(|(key, _)| self.shape.model_of(key.scenario) == Model::Closed)
            .map(|(_, series)| series.arrivals)
            .sum::<u64>() as f64;
        let second = frame.second as f64;
        let offered_rate = by_users + steerings.mean_rate(&self.shape, second, second + 1.0);
        Gauges { offered_rate, virtual_users: driver.users(), connections: driver.connections() }
    }
}

/// The last phase that a run has told of.
fn phase_told(state: &State) -> Option<Phase> {
    let last = state.last_second()?;
    if state.stages_ended().is_some() {
        return Some(Phase::Grace);
    }
    let is_warmup = ((last * SECOND) as f64) < state.shape().warmup * 1e9;
    Some(if is_warmup { Phase::Warmup } else { Phase::Measured })
}

/// The port a target is reached at, by which our connections to it are known among our sockets.
fn port(target: &str) -> Option<u16> {
    url::Url::parse(target).ok()?.port_or_known_default()
}

fn wall_nanos() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128)
}
