//! Profiles of the target, fetched at chosen moments beside the load.
//!
//! A thread of its own asks each endpoint, one question at a time, and keeps each answer as a file. It never
//! waits for the load nor the load for it: answers are bounded in size, time and number, and what does not
//! come is a note of the run and never its failure. Only the end of the run waits for what was asked last.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plimsoll_driver::DriverConfig;
use plimsoll_profile::{Digest, LARGEST, Profile};
use plimsoll_run::{
    Judged, ProfileKind, ProfileMoment, ProfileSource, ProfileTaken, ProfilesSettings, RunPlan, Shape, State,
};
use plimsoll_sla::Verdict;
use plimsoll_units::duration;
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode, Url};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::resources::endpoint::{Around, chain, ready};

/// How long an answer may take beyond the time that the target looks.
const ANSWER: Duration = Duration::from_secs(10);
/// What is asked for later than this, because the question before took so long, is of another moment.
const LATEST: Duration = Duration::from_secs(10);
/// The most profiles of a run.
const MOST: usize = 32;
/// Answers that are in memory at the same time take no more than this together.
const MOST_HELD: usize = 2 * LARGEST;
const ACCEPTED: HeaderValue = HeaderValue::from_static("*/*");

/// The profiles of a run while it goes on. Dropping it ends the asking.
#[derive(Debug)]
pub(crate) struct Profiles {
    shared: Arc<Shared>,
    sources: Vec<Source>,
    missed: BTreeSet<usize>,
    start: Instant,
    /// How long the last answers may take.
    longest: Duration,
    over: oneshot::Receiver<()>,
    _stop: DropGuard,
}

/// What became of a question: a profile, or why there is none, in words without secrets.
pub(crate) type Answer = Result<Arc<ProfileTaken>, String>;

/// Who is asked for what.
#[derive(Debug)]
struct Source {
    kind: ProfileKind,
    at: Vec<ProfileMoment>,
    /// Whether it looks for a while, so that its end is known beforehand.
    is_timed: bool,
    told: mpsc::UnboundedSender<Told>,
}

/// What an asker is told.
#[derive(Debug)]
enum Told {
    Ask(Order),
    /// The stages have ended: what is due later would be of no load.
    Ended,
}

#[derive(Debug)]
struct Shared {
    answers: Mutex<Answers>,
    /// How many were asked for; those that processes before this one took count.
    asked: AtomicUsize,
    /// Bytes of answers in memory.
    held: AtomicUsize,
    /// Whose turn it is to read a profile, which takes many times the size of the answer.
    turn: Semaphore,
}

#[derive(Debug, Default)]
struct Answers {
    found: Vec<Answer>,
    /// What is to be asked and has no answer.
    open: Vec<(ProfileKind, ProfileMoment)>,
}

impl Shared {
    fn new(asked: usize) -> Self {
        let (answers, held) = (Mutex::default(), AtomicUsize::new(0));
        Self { answers, asked: AtomicUsize::new(asked), held, turn: Semaphore::new(1) }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, kind: ProfileKind, moment: ProfileMoment) {
        self.answers().open.push((kind, moment));
    }

    fn tell(&self, kind: ProfileKind, moment: ProfileMoment, answer: Result<ProfileTaken, &str>) {
        let mut answers = self.answers();
        if let Some(place) = answers.open.iter().position(|open| *open == (kind, moment)) {
            answers.open.remove(place);
        }
        let answer = answer.map(Arc::new).map_err(|reason| words(kind, moment) + reason);
        answers.found.push(answer);
    }

    fn take(&self) -> Vec<Answer> {
        std::mem::take(&mut self.answers().found)
    }

    /// What came, and of all else why it will not.
    fn rest(&self, reason: &str) -> Vec<Answer> {
        let Answers { mut found, open } = std::mem::take(&mut *self.answers());
        found.extend(open.into_iter().map(|(kind, moment)| Err(words(kind, moment) + reason)));
        found
    }
}

/// A question to be asked.
#[derive(Debug)]
struct Order {
    moment: ProfileMoment,
    objective: Option<String>,
    /// When it should be asked, from the start.
    due: Duration,
}

impl Profiles {
    /// Begins to ask for the profiles of a plan; `None` where there are none.
    ///
    /// # Errors
    /// When the system gives no thread; nothing is asked then.
    pub(crate) fn start(
        config: &DriverConfig,
        state: &State,
        start: Instant,
    ) -> std::io::Result<Option<Self>> {
        let Some(ProfilesSettings { sources, .. }) = &config.plan.profiles else { return Ok(None) };
        let shared = Arc::new(Shared::new(state.profiles().len()));
        let stop = CancellationToken::new();
        let (is_over, over) = oneshot::channel();
        let (told, heard): (Vec<_>, Vec<_>) = sources.iter().map(|_| mpsc::unbounded_channel()).unzip();
        let longest = sources.iter().filter_map(|source| source.seconds).max().unwrap_or(0);
        let mut beginning = Beginning {
            plan: Arc::clone(&config.plan),
            shape: Arc::clone(&config.shape),
            run: config.run_id.clone(),
            earlier: Earlier::of(state, Duration::from_secs(config.origin.second)),
            start,
            shared: Arc::clone(&shared),
        };
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("profiles".to_owned()).spawn(move || {
            runtime.block_on(stopped.run_until_cancelled(async {
                let askers = beginning.askers().into_iter().zip(heard);
                let askers = askers.map(|(asker, orders)| tokio::spawn(asker.on(orders)));
                for asker in askers.collect::<Vec<_>>() {
                    // One that panicked has said so.
                    let _ = asker.await;
                }
            }));
            // Nobody waits any more where this fails.
            let _ = is_over.send(());
        })?;
        Ok(Some(Self {
            shared,
            sources: sources.iter().zip(told).map(Source::new).collect(),
            missed: missed_before(&state.judged(), state),
            start,
            longest: (Duration::from_secs(longest.into()) + ANSWER) * 2,
            over,
            _stop: stop.drop_guard(),
        }))
    }

    /// Asks for what objectives that were not missed before call for.
    pub(crate) fn judged(&mut self, judged: &Judged, shape: &Shape) {
        for index in missed(judged) {
            if self.missed.insert(index) {
                let objective = shape.objectives.get(index).map(|objective| objective.name.clone());
                self.order(ProfileMoment::Breach, objective.as_ref(), |_| true);
            }
        }
    }

    /// The stages have ended.
    pub(crate) fn ended(&self) {
        for source in &self.sources {
            // An asker that has ended has nothing left that could be due.
            let _ = source.told.send(Told::Ended);
        }
        self.order(ProfileMoment::End, None, |source| !source.is_timed);
    }

    fn order(&self, moment: ProfileMoment, objective: Option<&String>, which: impl Fn(&Source) -> bool) {
        for source in self.sources.iter().filter(|source| source.at.contains(&moment) && which(source)) {
            self.shared.open(source.kind, moment);
            let order = Order { moment, objective: objective.cloned(), due: self.start.elapsed() };
            // What an asker that has ended cannot answer stays open.
            let _ = source.told.send(Told::Ask(order));
        }
    }

    /// What came since the last call.
    pub(crate) fn take(&self) -> Vec<Answer> {
        self.shared.take()
    }

    /// Waits for what was asked, but not for ever and not for somebody who wants the run to end.
    pub(crate) async fn finish(mut self, stop: &CancellationToken) -> Vec<Answer> {
        self.sources.clear();
        let waited = stop.run_until_cancelled(tokio::time::timeout(self.longest, &mut self.over)).await;
        self.shared.rest(match waited {
            None => "the run was stopped",
            Some(Err(_)) => "the run waited no longer",
            Some(Ok(_)) => "nobody asks any more",
        })
    }
}

impl Source {
    fn new((source, told): (&ProfileSource, mpsc::UnboundedSender<Told>)) -> Self {
        let (kind, at, is_timed) = (source.kind, source.at.clone(), source.seconds.is_some());
        Self { kind, at, is_timed, told }
    }
}

/// The objectives that are missed.
fn missed(judged: &Judged) -> impl Iterator<Item = usize> {
    let verdicts = judged.statuses.iter().map(|status| status.verdict).enumerate();
    verdicts.filter_map(|(index, verdict)| (verdict == Some(Verdict::Missed)).then_some(index))
}

/// The objectives that had their turn in the processes before this one, where the run goes on.
fn missed_before(judged: &Judged, state: &State) -> BTreeSet<usize> {
    let missed_a_window = judged.statuses.iter().map(|status| status.missed_windows > 0);
    let missed_a_window = missed_a_window.enumerate().filter_map(|(index, has)| has.then_some(index));
    let has_name = |name: &String| state.shape().objectives.iter().position(|one| one.name == *name);
    let taken = state.profiles().iter().filter_map(|taken| has_name(taken.objective.as_ref()?));
    missed(judged).chain(missed_a_window).chain(taken).collect()
}

/// Which it is, as notes have it.
fn words(kind: ProfileKind, moment: ProfileMoment) -> String {
    format!("profile {} at {} was not taken: ", kind.label(), moment.label())
}

/// What became of profiles in the processes before this one, where the run goes on.
#[derive(Debug)]
struct Earlier {
    /// Where it goes on, from the start.
    origin: Duration,
    /// How often it went on.
    resumptions: usize,
    /// Whether its load had ended, so that what stands then was asked for.
    has_ended: bool,
    /// What is known to have become of something, and how often.
    told: BTreeMap<(ProfileKind, ProfileMoment), usize>,
}

impl Earlier {
    fn of(state: &State, origin: Duration) -> Self {
        let mut told = BTreeMap::new();
        for taken in state.profiles() {
            *told.entry((taken.kind, taken.moment)).or_default() += 1;
        }
        for kind in ProfileKind::ALL {
            for moment in ProfileMoment::ALL {
                let words = words(kind, moment);
                let notes = state.notes().iter().filter(|note| note.text.starts_with(&words)).count();
                *told.entry((kind, moment)).or_default() += notes;
            }
        }
        let (resumptions, has_ended) = (state.resumptions().len(), state.stages_ended().is_some());
        Self { origin, resumptions, has_ended, told }
    }

    /// Takes away what was due before the run went on, and returns what of that, and of what the end of the load asked for,
    /// nobody told of.
    fn lost(&mut self, source: &ProfileSource, orders: &mut VecDeque<Order>) -> Vec<ProfileMoment> {
        let due_later = orders.split_off(orders.partition_point(|order| order.due < self.origin));
        let past = std::mem::replace(orders, due_later);
        let of_end = self.has_ended && source.seconds.is_none() && source.at.contains(&ProfileMoment::End);
        let mut is_told = |moment: &ProfileMoment| match self.told.get_mut(&(source.kind, *moment)) {
            None | Some(0) => false,
            Some(times) => {
                *times -= 1;
                true
            }
        };
        let past = past.into_iter().map(|order| order.moment).chain(of_end.then_some(ProfileMoment::End));
        past.filter(|moment| !is_told(moment)).collect()
    }
}

/// What askers are made of. It is done beside the load, which has begun.
struct Beginning {
    plan: Arc<RunPlan>,
    shape: Arc<Shape>,
    run: String,
    earlier: Earlier,
    start: Instant,
    shared: Arc<Shared>,
}

impl Beginning {
    fn askers(&mut self) -> Vec<Asker> {
        let Some(ProfilesSettings { folder, sources }) = &self.plan.profiles else { return Vec::new() };
        let (planned, around) = (Planned::of(&self.shape), Around::of(&self.plan));
        let asker = |source: &ProfileSource| {
            let mut timed = planned.orders(source);
            for moment in self.earlier.lost(source, &mut timed) {
                self.shared.tell(source.kind, moment, Err("the process that asked for it died"));
            }
            timed.iter().for_each(|order| self.shared.open(source.kind, order.moment));
            Asker {
                ready: ready(&source.endpoint, &around, ACCEPTED)
                    .map(|(client, url)| (client, with_seconds(url, source.seconds))),
                timed,
                source: source.clone(),
                folder: folder.clone(),
                run: name(&self.run, self.earlier.resumptions),
                start: self.start,
                shared: Arc::clone(&self.shared),
            }
        };
        sources.iter().map(asker).collect()
    }
}

/// What the files of a run begin with: other words each time that it went on, so that no name comes twice.
fn name(run: &str, resumptions: usize) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let run: String = run.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if resumptions == 0 { run } else { format!("{run}-resumed-{resumptions}") }
}

/// The moments that a plan tells, in seconds from the start.
struct Planned {
    peak: f64,
    end: f64,
}

impl Planned {
    fn of(shape: &Shape) -> Self {
        Self { peak: shape.peak_second() as f64, end: shape.stages_end() }
    }

    /// What a source is asked for at these moments, the first one first.
    fn orders(&self, source: &ProfileSource) -> VecDeque<Order> {
        let due = |moment: &ProfileMoment| match moment {
            ProfileMoment::Start => Some(0.0),
            ProfileMoment::Peak => Some(self.peak),
            // It looks at what is before the end.
            ProfileMoment::End => source.seconds.map(|seconds| (self.end - f64::from(seconds)).max(0.0)),
            ProfileMoment::Breach => None,
        };
        let order = |moment: &ProfileMoment| {
            let due = Duration::try_from_secs_f64(due(moment)?).ok()?;
            Some(Order { moment: *moment, objective: None, due })
        };
        let mut orders: Vec<Order> = source.at.iter().filter_map(order).collect();
        orders.sort_by_key(|order| order.due);
        orders.into()
    }
}

fn with_seconds(mut url: Url, seconds: Option<u32>) -> Url {
    if let Some(seconds) = seconds {
        url.query_pairs_mut().append_pair("seconds", &seconds.to_string());
    }
    url
}

/// Who asks one endpoint.
struct Asker {
    /// Or why there can be no question.
    ready: Result<(Client, Url), String>,
    source: ProfileSource,
    timed: VecDeque<Order>,
    folder: PathBuf,
    /// What its files begin with.
    run: String,
    start: Instant,
    shared: Arc<Shared>,
}

impl Asker {
    async fn on(mut self, mut told: mpsc::UnboundedReceiver<Told>) {
        loop {
            let due = self.timed.front().map(|order| self.start + order.due);
            let next = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            // That the load has ended is heard before anything else is asked for.
            let told = tokio::select! {
                biased;
                told = told.recv() => told,
                () = next => self.timed.pop_front().map(Told::Ask),
            };
            match told {
                Some(Told::Ask(order)) => self.ask(order).await,
                Some(Told::Ended) => self.leave_out_timed(),
                None => break,
            }
        }
        self.leave_out_timed();
    }

    fn leave_out_timed(&mut self) {
        for Order { moment, .. } in std::mem::take(&mut self.timed) {
            self.fails(moment, "the load had ended before");
        }
    }

    fn fails(&self, moment: ProfileMoment, reason: &str) {
        self.shared.tell(self.source.kind, moment, Err(reason));
    }

    async fn ask(&self, Order { moment, objective, due }: Order) {
        let at = self.start.elapsed();
        if at > due + LATEST {
            return self.fails(moment, "the one before it took too long");
        }
        let number = self.shared.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if number > MOST {
            return self.fails(moment, &format!("a run takes no more than {MOST}"));
        }
        let looks = Duration::from_secs(self.source.seconds.unwrap_or(0).into());
        let within = looks + ANSWER;
        let fetched = tokio::time::timeout(within, self.fetch()).await;
        let fetched =
            fetched.unwrap_or_else(|_| Err(format!("no answer within {}", duration::format(within))));
        let file = self.file(number, moment);
        let kept = match fetched {
            Err(reason) => Err(reason),
            Ok(body) => {
                let (path, size) = (file.clone(), body.bytes.len() as u64);
                let _turn = self.shared.turn.acquire().await;
                let kept = tokio::task::spawn_blocking(move || keep(&path, &body.bytes)).await;
                kept.unwrap_or_else(|error| Err(error.to_string())).map(|digest| (digest, size))
            }
        };
        match kept {
            Err(reason) => self.fails(moment, &reason),
            Ok((digest, bytes)) => {
                let (at, kind, file) = (at.as_nanos() as u64, self.source.kind, file.display().to_string());
                let taken = ProfileTaken { at, kind, moment, objective, file, bytes, digest };
                self.shared.tell(kind, moment, Ok(taken));
            }
        }
    }

    /// A name that no other profile of any run has.
    fn file(&self, number: usize, moment: ProfileMoment) -> PathBuf {
        let (run, kind, moment) = (&self.run, self.source.kind.label(), moment.label());
        self.folder.join(format!("{run}-{number:02}-{kind}-{moment}.pb.gz"))
    }

    async fn fetch(&self) -> Result<Body, String> {
        let (client, url) = self.ready.as_ref().map_err(Clone::clone)?;
        let unreached = |error: reqwest::Error| chain(&error.without_url());
        let mut response = client.get(url.clone()).send().await.map_err(unreached)?;
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status().as_u16()));
        }
        let mut body = Body { bytes: Vec::new(), shared: Arc::clone(&self.shared) };
        while let Some(more) = response.chunk().await.map_err(unreached)? {
            body.add(&more)?;
        }
        Ok(body)
    }
}

/// An answer in memory.
struct Body {
    bytes: Vec<u8>,
    shared: Arc<Shared>,
}

impl Body {
    fn add(&mut self, more: &[u8]) -> Result<(), String> {
        if self.bytes.len() + more.len() > LARGEST {
            return Err(format!("an answer of more than {} MiB", LARGEST >> 20));
        }
        self.bytes.extend_from_slice(more);
        if self.shared.held.fetch_add(more.len(), Ordering::Relaxed) + more.len() > MOST_HELD {
            return Err(format!("more than {} MiB of answers came at the same time", MOST_HELD >> 20));
        }
        Ok(())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.shared.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// Reads a profile and keeps it as it came. What is none is not kept.
fn keep(path: &Path, bytes: &[u8]) -> Result<Digest, String> {
    let profile = Profile::read(bytes).map_err(|malformed| malformed.to_string())?;
    let digest = profile.digest(profile.usual).ok_or("it counts nothing")?;
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    put(path, bytes).map_err(failed)?;
    Ok(digest)
}

/// Writes a file that has its name only once it is whole, and takes the name from no other.
fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    // A process that died may have left one.
    let _ = std::fs::remove_file(&part);
    let written =
        std::fs::OpenOptions::new().write(true).create_new(true).open(&part).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    let named = written.and_then(|()| match std::fs::hard_link(&part, path) {
        // There are file systems without links.
        Err(error) if error.kind() != ErrorKind::AlreadyExists && !path.try_exists()? => {
            std::fs::rename(&part, path)
        }
        linked => linked,
    });
    // It has its own name now, or is not wanted.
    let _ = std::fs::remove_file(&part);
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{Edges, Limits, Phase};
    use plimsoll_profile::{Flame, Kind};
    use plimsoll_run::{
        Machine, Model, Note, ResourceEndpoint, Resumed, RunEvent, RunInfo, Secret, Started, TlsSettings,
    };
    use plimsoll_sla::{Status, Validity};
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    /// Answers each question by its path; none of the answers is a profile but that of `/good`.
    fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut line = String::new();
                let mut lines = BufReader::new(connection.try_clone().unwrap());
                lines.read_line(&mut line).unwrap();
                while lines.read_line(&mut String::new()).unwrap() > 2 {}
                // One kind, counted nowhere.
                let good = b"\x0a\x00";
                let (head, body): (_, &[u8]) = match line.split(['?', ' ']).nth(1).unwrap() {
                    "/good" if line.contains("?a=b&seconds=3 ") => ("200 OK", good),
                    "/moved" => ("302 Found\r\nlocation: /good?a=b&seconds=3", b""),
                    "/large" => ("200 OK", &[0; 1 << 20]),
                    "/text" => ("200 OK", b"hello"),
                    _ => ("500 Oh", b""),
                };
                let times = if line.contains("/large") { 65 } else { 1 };
                // Who has read enough hangs up.
                let _ = write!(connection, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
                let _ = (0..times).try_for_each(|_| connection.write_all(body));
            }
        });
        url
    }

    fn state() -> State {
        let shape = Shape {
            plan: "p".into(),
            plan_hash: "h".into(),
            model: Model::Open,
            scenarios: Vec::new(),
            steps: Vec::new(),
            groups: Vec::new(),
            checks: Vec::new(),
            stages: Vec::new(),
            own_loads: Vec::new(),
            warmup: 0.0,
            grace: 0.0,
            iterations: None,
            edges: Edges::default(),
            objectives: Vec::new(),
            addresses: Vec::new(),
            measures: Vec::new(),
            limits: Limits::default(),
        };
        let info = RunInfo {
            id: "r".into(),
            started_nanos: 0,
            seed: 0,
            version: None,
            environment: None,
            tags: BTreeMap::new(),
            machine: Machine::default(),
            plimsoll: String::new(),
            target: String::new(),
        };
        State::new(Arc::new(Started { info, shape, plan_text: String::new(), calibration: None }))
    }

    fn taken(kind: ProfileKind, moment: ProfileMoment) -> RunEvent {
        let kind_of = Kind { name: "cpu".into(), unit: "nanoseconds".into() };
        let flame = Flame { unit: "nanoseconds".into(), calls: Vec::new() };
        let digest = Digest { kind: kind_of, total: 0, duration: None, top: Vec::new(), functions: 0, flame };
        let file = "f".to_owned();
        RunEvent::Profile(Arc::new(ProfileTaken {
            at: 0,
            kind,
            moment,
            objective: None,
            file,
            bytes: 0,
            digest,
        }))
    }

    fn nothing_yet() -> Profiles {
        Profiles {
            shared: Arc::new(Shared::new(0)),
            sources: Vec::new(),
            missed: BTreeSet::new(),
            start: Instant::now(),
            longest: ANSWER,
            over: oneshot::channel().1,
            _stop: CancellationToken::new().drop_guard(),
        }
    }

    fn source(kind: ProfileKind, at: &[ProfileMoment], seconds: Option<u32>) -> ProfileSource {
        let url = Secret::new("http://127.0.0.1:1".to_owned());
        let endpoint = ResourceEndpoint { url, headers: Vec::new(), metrics: Vec::new() };
        ProfileSource { kind, endpoint, seconds, at: at.to_vec() }
    }

    fn order(moment: ProfileMoment, due: u64) -> Order {
        Order { moment, objective: None, due: Duration::from_secs(due) }
    }

    #[test]
    fn a_run_that_goes_on_asks_for_nothing_of_before_and_tells_what_was_lost() {
        use ProfileKind::{Cpu, Heap};
        use ProfileMoment::{End, Peak, Start};
        let mut state = state();
        let text = "profile heap at start was not taken: answered 500".to_owned();
        for event in [
            taken(Cpu, Start),
            RunEvent::Note(Note { at: 0, text }),
            RunEvent::Resumed(Resumed { at: 0, wall_nanos: 0, away: 0, cut: 0 }),
        ] {
            state.apply(&event);
        }
        let mut earlier = Earlier::of(&state, Duration::from_secs(60));
        for (kind, lost) in [(Cpu, &[Peak][..]), (Heap, &[Peak]), (Cpu, &[Start, Peak])] {
            let mut orders = VecDeque::from([order(Start, 0), order(Peak, 30), order(End, 60)]);
            let lost_now = earlier.lost(&source(kind, &[Start, Peak, End], Some(10)), &mut orders);
            assert_eq!(lost_now, lost, "a second one of a kind counts by itself");
            assert_eq!(orders.iter().map(|order| order.moment).collect::<Vec<_>>(), [End]);
        }
        assert_eq!(
            (name("r/1", 0), name("r/1", earlier.resumptions)),
            ("r_1".into(), "r_1-resumed-1".into())
        );
        let mut orders = VecDeque::from([order(Start, 0)]);
        let mut first = Earlier::of(&self::state(), Duration::ZERO);
        let lost = first.lost(&source(Cpu, &[Start], None), &mut orders);
        assert_eq!((lost, orders.len()), (Vec::new(), 1), "a run that begins");
    }

    #[test]
    fn what_the_end_of_the_load_asked_for_is_told_where_its_process_died() {
        use ProfileKind::{Goroutine, Heap};
        use ProfileMoment::End;
        let ends = [source(Heap, &[End], None), source(Goroutine, &[End], None)];
        let lost = |state: &State| {
            let mut earlier = Earlier::of(state, Duration::from_secs(60));
            ends.each_ref().map(|source| earlier.lost(source, &mut VecDeque::new()))
        };
        let mut state = state();
        assert_eq!(lost(&state), [vec![], vec![]], "the load goes on, and its end will ask");
        state.apply(&RunEvent::Phase { phase: Phase::Grace, at: 58_000_000_000 });
        state.apply(&taken(Goroutine, End));
        assert_eq!(lost(&state), [vec![End], vec![]]);
    }

    #[test]
    fn an_objective_that_was_missed_before_is_no_new_breach() {
        let status = |verdict: Option<Verdict>| Status {
            verdict,
            observed: None,
            // One of one window, which is not the latest.
            missed_windows: u64::from(verdict == Some(Verdict::Inconclusive)),
            windows: 0,
            missing_for_seconds: 0,
            good_events: None,
            total_events: None,
            overdue_events: 0,
            breach: None,
        };
        let judged = |verdicts: &[Option<Verdict>]| Judged {
            second: 0,
            statuses: verdicts.iter().map(|verdict| status(*verdict)).collect(),
            validity: Validity::Valid,
        };
        let (missed, met) = (Some(Verdict::Missed), Some(Verdict::Met));
        let before = judged(&[missed, met, Some(Verdict::Inconclusive), None]);
        let state = state();
        let (sender, mut orders) = mpsc::unbounded_channel();
        let (kind, at) = (ProfileKind::Heap, vec![ProfileMoment::Breach]);
        let sources = vec![Source { kind, at, is_timed: false, told: sender }];
        let mut profiles = Profiles { missed: missed_before(&before, &state), sources, ..nothing_yet() };
        profiles.judged(&judged(&[missed, met, missed, None]), state.shape());
        assert!(orders.try_recv().is_err(), "what is missed was missed before");
        profiles.judged(&judged(&[missed, missed, missed, None]), state.shape());
        let Told::Ask(order) = orders.try_recv().unwrap() else { panic!("the load goes on") };
        assert_eq!(order.moment, ProfileMoment::Breach);
        assert!(orders.try_recv().is_err(), "once");
    }

    #[tokio::test]
    async fn a_run_that_is_stopped_tells_of_what_was_open_and_of_nothing_else() {
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(nothing_yet().finish(&stop).await.is_empty(), "all was answered");
        let open = nothing_yet();
        open.shared.open(ProfileKind::Cpu, ProfileMoment::Peak);
        open.shared.open(ProfileKind::Heap, ProfileMoment::End);
        open.shared.tell(ProfileKind::Cpu, ProfileMoment::Peak, Err("answered 500"));
        let expected = [
            "profile cpu at peak was not taken: answered 500",
            "profile heap at end was not taken: the run was stopped",
        ];
        assert_eq!(open.finish(&stop).await, expected.map(|words| Err(words.to_owned())));
    }

    #[tokio::test]
    async fn what_is_due_behind_the_load_is_not_asked_for() {
        for _ in 0..20 {
            let shared = Arc::new(Shared::new(0));
            let timed = VecDeque::from([order(ProfileMoment::Peak, 60), order(ProfileMoment::End, 90)]);
            let asker = Asker { timed, ..asker("http://127.0.0.1:1/x".to_owned(), Path::new("x"), &shared) };
            let asker = Asker { ready: Err("it was asked".to_owned()), ..asker };
            let (sender, told) = mpsc::unbounded_channel();
            // All of it waits for the asker, and its peak is due.
            sender.send(Told::Ended).unwrap();
            sender.send(Told::Ask(order(ProfileMoment::Breach, 60))).unwrap();
            drop(sender);
            asker.on(told).await;
            let expected = [
                "profile heap at peak was not taken: the load had ended before",
                "profile heap at end was not taken: the load had ended before",
                "profile heap at breach was not taken: it was asked",
            ];
            assert_eq!(shared.take(), expected.map(|words| Err(words.to_owned())));
        }
    }

    #[test]
    fn answers_at_the_same_time_are_bounded() {
        let shared = Arc::new(Shared::new(0));
        let body = || Body { bytes: Vec::new(), shared: Arc::clone(&shared) };
        let (mut one, mut other, mut third) = (body(), body(), body());
        let much = vec![0; LARGEST];
        assert_eq!((one.add(&much), other.add(&much)), (Ok(()), Ok(())));
        assert!(one.add(&[0]).unwrap_err().contains("an answer of more than 64 MiB"));
        assert!(third.add(&[0]).unwrap_err().contains("more than 128 MiB of answers"));
        drop((one, third));
        assert_eq!(body().add(&[0]), Ok(()), "there is room again");
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole_and_takes_it_from_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heap.pb.gz");
        std::fs::write(folder.path().join("heap.pb.gz.part"), "what a dead process left").unwrap();
        put(&path, b"whole").unwrap();
        assert_eq!(put(&path, b"other").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left");
        // A folder of that name is something too.
        std::fs::create_dir(folder.path().join("taken")).unwrap();
        assert!(put(&folder.path().join("taken"), b"x").is_err());
    }

    fn asker(url: String, folder: &Path, shared: &Arc<Shared>) -> Asker {
        let endpoint = ResourceEndpoint { url: Secret::new(url), headers: Vec::new(), metrics: Vec::new() };
        let tls = TlsSettings::default();
        let around = Around { tls: &tls, target: "http://127.0.0.1", targets: &[], allowed: &[] };
        Asker {
            ready: ready(&endpoint, &around, ACCEPTED)
                .map(|(client, url)| (client, with_seconds(url, Some(3)))),
            source: ProfileSource { kind: ProfileKind::Heap, endpoint, seconds: None, at: Vec::new() },
            timed: VecDeque::new(),
            folder: folder.join("a/b"),
            run: name("run/../1", 0),
            start: Instant::now().checked_sub(Duration::from_secs(60)).unwrap(),
            shared: Arc::clone(shared),
        }
    }

    async fn asked(url: String, folder: &Path, due: Duration) -> Answer {
        let shared = Arc::new(Shared::new(0));
        let asker = asker(url, folder, &shared);
        asker.ask(Order { moment: ProfileMoment::Peak, objective: None, due }).await;
        let mut found = shared.take();
        assert_eq!(found.len(), 1);
        found.pop().unwrap()
    }

    #[tokio::test]
    async fn only_profiles_are_kept_and_all_else_is_told() {
        let (url, folder) = (server(), tempfile::tempdir().unwrap());
        let now = Duration::from_secs(60);
        let good = asked(format!("{url}/good?a=b"), folder.path(), now).await.unwrap();
        assert_eq!((good.bytes, good.digest.total, good.at >= 60_000_000_000), (2, 0, true));
        assert!(good.file.ends_with("a/b/run____1-01-heap-peak.pb.gz"), "{}", good.file);
        assert_eq!(std::fs::read(&good.file).unwrap(), b"\x0a\x00");
        for (path, due, reason) in [
            ("/good?a=b", now, "File exists"),
            ("/moved", now, "answered 302"),
            ("/large", now, "an answer of more than 64 MiB"),
            ("/text", now, "it is no profile in pprof's format"),
            ("/none", now, "answered 500"),
            ("/good?a=b", Duration::from_secs(49), "the one before it took too long"),
        ] {
            let told = asked(format!("{url}{path}"), folder.path(), due).await.unwrap_err();
            assert!(
                told.starts_with("profile heap at peak was not taken: ") && told.contains(reason),
                "{told}"
            );
        }
        assert_eq!(std::fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
    }
}
