//! Asking once a second: every SLA of one source, over a few connections.
//!
//! An SLA whose last question is not answered is not asked again, and a question that several have in common is asked
//! once. A source that fails is asked less often for a while; one that says that the question is wrong, rarely.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use plimsoll_sla::openslo::{Operator, RawType};
use plimsoll_sla::{Counted, Counts, Events, Method, Moment, Sla, Source};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ask::{Asked, Failure, selected};
use super::bench::MOST_VALUES;
use super::desk::Seen;
use super::growth::{Beside, Growth, Sample};
use super::judge::{Connection, SlaError, Slas};
use super::question::Question;
use super::selector::Selector;

/// Questions that are under way at one source.
const AT_ONCE: usize = 8;
/// How long after the beginning of a second it is asked about: clocks differ a little.
const AFTER: Duration = Duration::from_millis(50);
/// Seconds between two questions while a source fails: 1, 2, 4, and not more than this.
const SELDOM: u64 = 5;
/// Seconds until a wrong question is asked again.
const RARELY: u64 = 30;

/// A source and what is asked of it.
#[derive(Debug)]
pub(crate) struct Poller {
    asked: Asked,
    is_prometheus: bool,
    questions: Vec<Polled>,
}

/// An SLA whose events come from elsewhere.
#[derive(Debug)]
struct Polled {
    sla: usize,
    each: Option<String>,
    what: What,
    failures: u32,
    not_before: u64,
}

#[derive(Debug)]
enum What {
    Counters { part: Question, beside: Beside, total: Question, growth: BTreeMap<Option<String>, Growth> },
    Figure { question: Question, op: Operator, value: f64 },
    Share { question: Question, of: RawType },
}

/// A second's question, asked once however many want to know.
type Cells = Mutex<BTreeMap<String, Arc<OnceCell<Result<Arc<[Sample]>, Failure>>>>>;

/// What is asked about one second.
#[derive(Debug)]
struct Round {
    at: u64,
    asked: Asked,
    is_prometheus: bool,
    cells: Cells,
    page: OnceCell<Result<Arc<str>, Failure>>,
    turn: Arc<Semaphore>,
}

/// One poller for each source.
///
/// # Errors
/// When an SLA cannot be asked for.
pub(super) fn pollers(
    slas: &[Arc<Sla>],
    connections: &BTreeMap<Source, Connection>,
) -> Result<Vec<Poller>, SlaError> {
    let mut pollers: BTreeMap<&Source, Poller> = BTreeMap::new();
    for (index, sla) in slas.iter().enumerate() {
        let refuse = |why: String| SlaError { sla: sla.slo.name.clone(), why };
        let Some(source) = source(&sla.events) else {
            if sla.each.is_some() {
                return Err(refuse("runs have no label to judge each value of".to_owned()));
            }
            continue;
        };
        let is_prometheus = matches!(source, Source::Prometheus(_));
        if !pollers.contains_key(source) {
            let connection = connections.get(source).ok_or_else(|| {
                refuse(format!(
                    "nobody knows where {source} is: give a `DataSource` with `connectionDetails: {{url}}`"
                ))
            })?;
            let asked =
                Asked::new(connection, is_prometheus).map_err(|why| refuse(format!("{source}: {why}")))?;
            pollers.insert(source, Poller { asked, is_prometheus, questions: Vec::new() });
        }
        let what = what(&sla.events, is_prometheus).map_err(refuse)?;
        if let (Some(poller), Some(what)) = (pollers.get_mut(source), what) {
            poller.questions.push(Polled {
                sla: index,
                each: sla.each.clone(),
                what,
                failures: 0,
                not_before: 0,
            });
        }
    }
    Ok(pollers.into_values().collect())
}

fn source(events: &Events) -> Option<&Source> {
    match events {
        Events::Runs(_) => None,
        Events::Counters { source, .. } | Events::Figure { source, .. } | Events::Share { source, .. } => {
            Some(source)
        }
    }
}

fn what(events: &Events, is_prometheus: bool) -> Result<Option<What>, String> {
    let selectable = |question: Question| match Selector::parse(&question.query) {
        None if !is_prometheus => Err(format!(
            "`{}` is no selector of a page: write `requests_total{{code=\"200\"}}`",
            question.query
        )),
        _ => Ok(question),
    };
    let counter = |query: &str| {
        let question = Question::counter(query)
            .ok_or_else(|| format!("`{query}` does not say what happens in a second: give counters, or `sum(increase(requests_total[{{{{.window}}}}]))`"))?;
        selectable(question)
    };
    Ok(Some(match events {
        Events::Runs(_) => return Ok(None),
        Events::Counters { counted, total, .. } => {
            let (query, beside) = match counted {
                Counted::Good(query) => (query, Beside::Good),
                Counted::Bad(query) => (query, Beside::Bad),
            };
            What::Counters { part: counter(query)?, beside, total: counter(total)?, growth: BTreeMap::new() }
        }
        Events::Figure { query, op, value, .. } => {
            What::Figure { question: selectable(Question::figure(query))?, op: *op, value: *value }
        }
        Events::Share { query, of, .. } => {
            What::Share { question: selectable(Question::figure(query))?, of: *of }
        }
    }))
}

/// The wall clock, since 1970.
fn wall() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// When is asked next: a moment after a second began. The one of `now` has its turn too, where `last` is not it.
fn next(now: Duration, last: u64) -> Duration {
    let second = now.as_secs();
    Duration::from_secs(if second == last { second + 1 } else { second }) + AFTER
}

impl Poller {
    /// Asks every second until `ended`.
    pub(super) async fn run(self, slas: Arc<Slas>, ended: CancellationToken) {
        let mut idle = self.questions;
        let mut busy: JoinSet<Polled> = JoinSet::new();
        let turn = Arc::new(Semaphore::new(AT_ONCE));
        let mut last = 0;
        while !ended.is_cancelled() {
            let now = wall();
            if next(now, last) <= now {
                let at = now.as_secs();
                last = at;
                let round = Arc::new(Round {
                    at,
                    asked: self.asked.clone(),
                    is_prometheus: self.is_prometheus,
                    cells: Mutex::default(),
                    page: OnceCell::new(),
                    turn: Arc::clone(&turn),
                });
                // After a clock that was ahead has been put right, nothing waits for the time it showed.
                let (due, later): (Vec<_>, Vec<_>) =
                    idle.drain(..).partition(|one| one.not_before <= at || one.not_before > at + RARELY);
                idle = later;
                for polled in due {
                    let (round, slas) = (Arc::clone(&round), Arc::clone(&slas));
                    busy.spawn(async move { polled.ask(&round, &slas).await });
                }
            }
            let next = next(wall(), last);
            tokio::select! {
                Some(done) = busy.join_next() => match done {
                    Ok(polled) => idle.push(polled),
                    Err(error) => tracing::error!(%error, "asking for an SLA's events failed"),
                },
                () = tokio::time::sleep(next.saturating_sub(wall()).min(Duration::from_secs(1))) => {}
                () = ended.cancelled() => {}
            }
        }
        busy.shutdown().await;
    }
}

impl Round {
    /// The answer to a question about this second.
    async fn answer(&self, question: &Question) -> Result<Arc<[Sample]>, Failure> {
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(question.query.clone()).or_default())
        };
        cell.get_or_init(|| self.ask(question)).await.clone()
    }

    async fn ask(&self, question: &Question) -> Result<Arc<[Sample]>, Failure> {
        if self.is_prometheus {
            // The semaphore is never closed.
            let _turn = self.turn.acquire().await;
            return self.asked.query(&question.query, self.at).await.map(Arc::from);
        }
        let page = self.page.get_or_init(async || self.asked.page().await.map(Arc::from)).await.clone()?;
        match Selector::parse(&question.query) {
            Some(selector) => selected(&page, &selector).map(Arc::from),
            None => Ok(Arc::default()),
        }
    }
}

/// What was seen of each value of the label.
type SeenOf = Vec<(Option<String>, Seen)>;

impl Polled {
    async fn ask(mut self, round: &Round, slas: &Slas) -> Self {
        match self.read(round).await {
            Ok((seen, doubt)) => {
                (self.failures, self.not_before) = (0, 0);
                // What is read at the beginning of a second has happened in the one before it.
                slas.hand_in(self.sla, round.at.saturating_sub(1), seen, doubt).await;
            }
            Err(failure) => {
                let wait = if failure.is_lasting { RARELY } else { (1 << self.failures.min(8)).min(SELDOM) };
                self.failures = self.failures.saturating_add(1);
                self.not_before = round.at + wait;
                slas.trouble(self.sla, Some(failure.why));
            }
        }
        self
    }

    /// What happened in the second, and what is odd about it.
    async fn read(&mut self, round: &Round) -> Result<(SeenOf, Option<String>), Failure> {
        let each = self.each.as_deref();
        match &mut self.what {
            What::Counters { part, beside, total, growth } => {
                let (part_read, total_read) = tokio::try_join!(round.answer(part), round.answer(total))?;
                let part_read = by_value(&part_read, each, part.is_many)?;
                let total_read = by_value(&total_read, each, total.is_many)?;
                let (mut seen, mut doubt) = (Vec::new(), None);
                if total_read.is_empty() {
                    doubt = Some("there are no series of all events".to_owned());
                }
                for (value, total) in total_read.into_iter().take(MOST_VALUES + 1) {
                    let part = part_read.get(&value).map_or(&[][..], Vec::as_slice);
                    match growth.entry(value.clone()).or_default().read(round.at, *beside, part, &total) {
                        Ok(Some(counts)) => {
                            seen.push((value, Seen::Moment(Moment { counts, overdue: 0 })));
                        }
                        Ok(None) => {}
                        Err(why) => doubt = Some(why),
                    }
                }
                Ok((seen, doubt))
            }
            What::Figure { question, op, value: bound } => {
                let (op, bound) = (*op, *bound);
                figures(&round.answer(question).await?, each, |figure| {
                    let is_good = match op {
                        Operator::Gte => figure >= bound,
                        Operator::Gt => figure > bound,
                        Operator::Lte => figure <= bound,
                        Operator::Lt => figure < bound,
                    };
                    let counts = Counts::new(u64::from(is_good), 1).unwrap_or(Counts::ZERO);
                    Some(Seen::Moment(Moment { counts, overdue: 0 }))
                })
            }
            What::Share { question, of } => {
                let is_good = *of == RawType::Success;
                figures(&round.answer(question).await?, each, |share| {
                    let good = if is_good { share } else { 1.0 - share };
                    (0.0..=1.0).contains(&good).then_some(Seen::Share((good * Method::PARTS as f64) as u64))
                })
            }
        }
    }
}

/// What each figure says; what is no figure is no data.
fn figures(
    read: &[Sample],
    each: Option<&str>,
    says: impl Fn(f64) -> Option<Seen>,
) -> Result<(SeenOf, Option<String>), Failure> {
    let (mut seen, mut doubt) = (Vec::new(), None);
    let read = by_value(read, each, false)?;
    if read.is_empty() {
        doubt = Some("the query gives nothing".to_owned());
    }
    for (value, samples) in read {
        for (_, figure) in samples {
            match Some(figure).filter(|figure| !figure.is_nan()).and_then(&says) {
                Some(said) => seen.push((value.clone(), said)),
                None => doubt = Some(format!("the query gives {figure}")),
            }
        }
    }
    Ok((seen, doubt))
}

/// The series of each value of the label, or all of them; series without the label are nobody's.
fn by_value(
    read: &[Sample],
    each: Option<&str>,
    is_many: bool,
) -> Result<BTreeMap<Option<String>, Vec<Sample>>, Failure> {
    let mut found: BTreeMap<Option<String>, Vec<Sample>> = BTreeMap::new();
    for sample in read {
        let value = match each {
            None => None,
            Some(label) => match sample.0.get(label).filter(|value| !value.is_empty()) {
                Some(value) => Some(value.clone()),
                None => continue,
            },
        };
        found.entry(value).or_default().push(sample.clone());
    }
    if !is_many && let Some(many) = found.values().find(|samples| samples.len() > 1) {
        let why = format!("the query gives {} series; one is needed: wrap it in sum(...)", many.len());
        return Err(Failure { why, is_lasting: false });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever part of a second a service begins in, it asks within one, and then once in each.
    #[test]
    fn the_first_question_is_asked_within_a_second() {
        for begun in [0, 1, 20, 49, 50, 51, 500, 999] {
            let begun = Duration::from_secs(1_000) + Duration::from_millis(begun);
            let (mut now, mut last, mut asked) = (begun, 0, Vec::new());
            while now < begun + Duration::from_secs(10) {
                if next(now, last) <= now {
                    last = now.as_secs();
                    asked.push(last);
                }
                now += next(now, last).saturating_sub(now).min(Duration::from_secs(1));
            }
            assert!(
                asked.len() >= 9 && asked.windows(2).all(|two| two[1] == two[0] + 1),
                "{begun:?}: {asked:?}"
            );
        }
    }
}
