use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_run::wire::{self, SecondRows};
use plimsoll_run::{CoursePoint, RunEvent, RunStatus, Started};
use sqlx::Connection;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use crate::owner::Owner;
use crate::sql::{self, Kind, SqlConnection, Statement};
use crate::store::{CHUNK_SECONDS, now};
use crate::{Error, History, Interrupted, Result};

/// How many seconds wait in memory while the file cannot be written. Ten minutes outlast a backup or a
/// full disk that somebody clears; of 20 series they are some 50 MB.
pub const BACKLOG_SECONDS: usize = 600;

/// How many notes wait likewise. Further ones are dropped: a run that has more to tell repeats itself.
const BACKLOG_NOTES: usize = 200;

/// How soon a failed write is tried again, and how long one waits for other writers.
const RETRY: Duration = Duration::from_secs(1);

/// How long a database may take for one transaction.
const ANSWER: Duration = Duration::from_secs(20);

/// How often a recorder without events says that it lives. A tenth of the silence that counts as death.
const BEAT: Duration = Duration::from_secs(6);

/// Seconds written in one transaction when there is a backlog, so that other writers get their turn.
const SECONDS_AT_ONCE: usize = 20;

/// How long the file is left to others between two transactions of a backlog. SQLite does not queue
/// writers: one that waits looks again every 100 ms at most, and must find it free.
const BREATH: Duration = Duration::from_millis(50);

/// How many of the latest seconds of a run stay rows while it goes on: whoever follows it reads these.
const SECONDS_IN_ROWS: i64 = 120;

/// So many more have to be there before they are folded into chunks. Runs of some minutes are over by then.
const SECONDS_AT_A_TIME: i64 = 180;

/// Series written in one statement: SQLite binds 32,766 values, three each.
const SERIES_AT_ONCE: usize = 10_000;

/// Writes the events of one live run as they come.
///
/// [`Self::record`] never waits. A task of its own commits what has come, each second as soon as it is
/// there; while that fails it keeps a bounded backlog and tries again every second. Dropped without
/// [`Self::finish`], it writes what it has and marks the run interrupted.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    seconds: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Seconds that are not in the record.
    pub lost_seconds: u64,
    /// Whether the last event is in the record.
    pub ended: bool,
    /// Trouble that was not told yet, in one sentence.
    pub trouble: Option<String>,
}

impl Recorded {
    /// What of the run is not in the record, in words; `None` when it is whole.
    pub fn what_is_missing(self) -> Option<String> {
        let lost = match (self.lost_seconds, self.ended) {
            (0, true) => return None,
            (0, false) => "its end is not in the history".to_owned(),
            (lost, _) => format!("{lost} s of it are not in the history"),
        };
        Some(self.trouble.map_or(lost.clone(), |trouble| format!("{lost}: {trouble}")))
    }
}

impl Recorder {
    /// Begins the record of a run.
    ///
    /// # Errors
    /// When the run is recorded already, or the file cannot be written.
    pub async fn start(history: &History, started: &Started) -> Result<Self> {
        let run = insert_run(history, started).await?;
        Ok(Self::spawn(history, run, Place::default(), 0))
    }

    /// Goes on with the record of a run whose process died, which is [claimed](History::claim) where it was not.
    ///
    /// # Errors
    /// [`Error::Live`] when another process did so since it was read; when the file cannot be written.
    pub async fn resume(history: &History, interrupted: &Interrupted) -> Result<Self> {
        history.claim(interrupted).await?;
        let run = interrupted.run;
        let sequence: Option<i64> = sqlx::query_scalar("SELECT max(sequence) FROM marks WHERE run = $1")
            .bind(run)
            .fetch_one(history.pool())
            .await
            .map_err(|error| history.failed(error))?;
        let last_second = interrupted.state.last_second().and_then(|second| i64::try_from(second).ok());
        let place = Place { last_second, sequence: sequence.map_or(0, |last| last + 1) };
        Ok(Self::spawn(history, run, place, interrupted.lost_seconds))
    }

    fn spawn(history: &History, run: i64, place: Place, lost_seconds: u64) -> Self {
        let shared = Arc::new(Shared::default());
        shared.inbox().lost_seconds = lost_seconds;
        let whole = place.last_second.and_then(|last| u64::try_from(last + 1).ok()).unwrap_or(0);
        let (committed, seconds) = watch::channel(whole);
        let writer = Writer {
            shared: Arc::clone(&shared),
            history: history.clone(),
            connection: None,
            run,
            owner: Owner::this(),
            is_unsure: false,
            place,
            committed,
            folding: None,
            folded: 0,
        };
        Self { shared, seconds, task: tokio::spawn(writer.run()) }
    }

    /// Takes the next event. The first event and judgements are left out (the one is recorded already,
    /// the others are derived), and so is what comes after the last event.
    pub fn record(&self, event: &RunEvent) {
        self.shared.inbox().push(event);
        self.shared.wake.notify_one();
    }

    /// How many seconds, from the first on, are committed. It changes with every commit, and its
    /// sender goes when nothing more will be.
    pub fn seconds(&self) -> watch::Receiver<u64> {
        self.seconds.clone()
    }

    /// What is wrong with writing, in one sentence; told once per run, when it begins.
    pub fn trouble(&self) -> Option<String> {
        self.shared.inbox().trouble.tell()
    }

    /// Whether another process goes on with the run, having found no life in this one: nothing more is written.
    pub fn is_taken(&self) -> bool {
        self.shared.inbox().taken
    }

    /// Waits until everything is written, at most `patience`. What is not written then is still tried
    /// while the process lives.
    pub async fn finish(mut self, patience: Duration) -> Recorded {
        self.close();
        let written = timeout(patience, &mut self.task).await.is_ok();
        let mut inbox = self.shared.inbox();
        Recorded {
            lost_seconds: inbox.lost_seconds + inbox.seconds as u64,
            ended: written && inbox.ended,
            trouble: inbox.trouble.tell(),
        }
    }

    fn close(&self) {
        self.shared.inbox().closed = true;
        self.shared.wake.notify_one();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    wake: Notify,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events between the run and the file.
#[derive(Debug, Default)]
struct Inbox {
    events: VecDeque<RunEvent>,
    /// How many of them are seconds.
    seconds: usize,
    /// How many of them are notes.
    notes: usize,
    lost_seconds: u64,
    /// Whether the last event came; nothing after it belongs to the run.
    over: bool,
    /// Whether the last event was written.
    ended: bool,
    /// Whether no more events come.
    closed: bool,
    /// Whether the record is another process's now.
    taken: bool,
    trouble: Trouble,
}

#[derive(Debug, Default)]
enum Trouble {
    #[default]
    None,
    New(String),
    Told,
}

impl Trouble {
    fn tell(&mut self) -> Option<String> {
        match std::mem::replace(self, Self::Told) {
            Self::New(text) => Some(text),
            Self::None => {
                *self = Self::None;
                None
            }
            Self::Told => None,
        }
    }
}

impl Inbox {
    fn push(&mut self, event: &RunEvent) {
        if self.over {
            return;
        }
        match event {
            // Only records tell of stretches, and they are made from seconds.
            RunEvent::Started(_) | RunEvent::Judged(_) | RunEvent::Stretch(_) => return,
            RunEvent::Second(_) if self.seconds == BACKLOG_SECONDS => {
                self.lost_seconds += 1;
                return;
            }
            RunEvent::Second(_) => self.seconds += 1,
            RunEvent::Note(_) if self.notes == BACKLOG_NOTES => return,
            RunEvent::Note(_) => self.notes += 1,
            // All are bounded by the run itself.
            RunEvent::Phase { .. } | RunEvent::Steered(_) | RunEvent::Resumed(_) | RunEvent::Profile(_) => {}
            RunEvent::Ended(_) => self.over = true,
        }
        self.events.push_back(event.clone());
    }

    /// The events to write next; they stay here until they are written.
    fn next(&self) -> Vec<RunEvent> {
        let mut seconds = 0;
        let fits = |event: &&RunEvent| {
            seconds += usize::from(matches!(event, RunEvent::Second(_)));
            seconds <= SECONDS_AT_ONCE
        };
        self.events.iter().take_while(fits).cloned().collect()
    }

    fn written(&mut self, events: usize) {
        for event in self.events.drain(..events) {
            match event {
                RunEvent::Second(_) => self.seconds -= 1,
                RunEvent::Note(_) => self.notes -= 1,
                RunEvent::Ended(_) => self.ended = true,
                RunEvent::Started(_)
                | RunEvent::Stretch(_)
                | RunEvent::Judged(_)
                | RunEvent::Phase { .. }
                | RunEvent::Steered(_)
                | RunEvent::Resumed(_)
                | RunEvent::Profile(_) => {}
            }
        }
    }

    /// The record is another process's now: what waits is lost.
    fn lose_all(&mut self, error: &Error) {
        self.taken = true;
        self.trouble = Trouble::New(format!("history is not written any more: {}", error.told()));
    }

    fn failed(&mut self, error: &Error) {
        if matches!(self.trouble, Trouble::None) {
            let cause = error.told();
            let text =
                format!("history cannot be written: {cause}; up to {BACKLOG_SECONDS} seconds wait in memory");
            self.trouble = Trouble::New(text);
        }
    }
}

/// The one that writes a run.
struct Writer {
    shared: Arc<Shared>,
    history: History,
    connection: Option<SqlConnection>,
    run: i64,
    /// This process, as the record names it.
    owner: Owner,
    /// Whether what was written last may be in the record although nobody said so: its answer was lost on the way.
    is_unsure: bool,
    place: Place,
    committed: watch::Sender<u64>,
    /// What folds old rows into chunks.
    folding: Option<JoinHandle<()>>,
    /// Up to this second that was begun.
    folded: i64,
}

impl Writer {
    /// Folds old rows of a run that goes on, beside recording, so that a run of months takes no more room than its
    /// chunks. A failure loses nothing: the rows stay until the next time, or until the run has ended.
    fn fold_old_rows(&mut self) {
        let minute = i64::from(CHUNK_SECONDS);
        let before = (self.place.last_second.unwrap_or(-1) - SECONDS_IN_ROWS) / minute * minute;
        if before - self.folded < SECONDS_AT_A_TIME
            || self.folding.as_ref().is_some_and(|task| !task.is_finished())
        {
            return;
        }
        self.folded = before;
        let (history, run) = (self.history.clone(), self.run);
        self.folding = Some(tokio::spawn(async move {
            if let Err(error) = history.compact_run(run, before).await {
                tracing::debug!(%error, "old seconds of a live run stay rows for now");
            }
        }));
    }

    async fn run(mut self) {
        loop {
            let (events, closed, lost) = {
                let inbox = self.shared.inbox();
                (inbox.next(), inbox.closed, inbox.lost_seconds)
            };
            let is_last = events.is_empty() && closed;
            if events.is_empty() && !closed && timeout(BEAT, self.shared.wake.notified()).await.is_ok() {
                continue;
            }
            let count = events.len();
            match self.write(events, is_last, lost).await {
                Ok(true) => {
                    self.shared.inbox().written(count);
                    break;
                }
                Ok(false) => {
                    self.shared.inbox().written(count);
                    self.fold_old_rows();
                    if count >= SECONDS_AT_ONCE {
                        sleep(BREATH).await;
                    }
                }
                Err(error @ Error::Taken) => {
                    self.shared.inbox().lose_all(&error);
                    break;
                }
                Err(error) => {
                    self.shared.inbox().failed(&error);
                    if error.is_locked() {
                        // SQLite has waited already.
                        sleep(BREATH).await;
                    } else {
                        self.connection = None;
                        sleep(RETRY).await;
                    }
                }
            }
        }
        if let Some(folding) = self.folding {
            // What it has not folded is folded with the rest of the run.
            folding.abort();
            let _ = folding.await;
        }
        if let Some(connection) = self.connection {
            // What was committed is safe whether or not this works.
            let _ = connection.close().await;
        }
    }

    /// Commits events and a sign of life in one transaction; whether that ended the run. `is_last` marks
    /// a run that did not say how it ended.
    async fn write(&mut self, events: Vec<RunEvent>, is_last: bool, lost_seconds: u64) -> Result<bool> {
        let place = self.place;
        // Encoded before the file is locked, and not on a thread that serves others: it takes longer
        // than writing.
        let encoding = tokio::task::spawn_blocking(move || Batch::encode(place, &events));
        let mut batch = encoding.await.map_err(|stopped| Error::File {
            path: self.history.path().to_owned(),
            source: stopped.into(),
        })?;
        batch.lost_seconds = lost_seconds;
        if is_last && batch.status.is_none() {
            batch.status = Some(RunStatus::Interrupted);
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.history.connect(RETRY).await?),
        };
        let span = tracing::info_span!(
            "history commit",
            plimsoll.seconds = batch.seconds.len(),
            plimsoll.marks = batch.marks.len()
        );
        let kind = self.history.kind();
        let writing =
            commit(kind, connection, (self.run, &self.owner), &batch, self.is_unsure).instrument(span);
        let committed = match kind {
            Kind::Sqlite => writing.await,
            // Nobody says that a connection to another machine is gone.
            Kind::Postgres => timeout(ANSWER, writing).await.unwrap_or_else(|_| Err(sql::timed_out())),
        };
        self.is_unsure |= committed.is_err();
        if !committed.map_err(|error| self.history.failed(error))? {
            return Err(Error::Taken);
        }
        self.is_unsure = false;
        self.place = batch.place;
        let seconds = self.place.last_second.and_then(|last| u64::try_from(last + 1).ok());
        self.committed.send_replace(seconds.unwrap_or(0));
        Ok(batch.status.is_some())
    }
}

/// How far a record has come.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    last_second: Option<i64>,
    /// The sequence of the next mark.
    sequence: i64,
}

/// What one transaction writes.
#[derive(Debug, Default)]
struct Batch {
    /// Each with its point.
    seconds: Vec<(SecondRows, Vec<u8>)>,
    /// Sequence, the second before it, line.
    marks: Vec<(i64, i64, String)>,
    status: Option<RunStatus>,
    /// The last event, and its offset.
    ended: Option<(String, i64)>,
    lost_seconds: u64,
    /// How far the record has come with it.
    place: Place,
}

impl Batch {
    fn encode(place: Place, events: &[RunEvent]) -> Self {
        let mut batch = Self { place, ..Self::default() };
        for event in events {
            let line = || wire::to_line(event).unwrap_or_default();
            match event {
                RunEvent::Second(second) => {
                    batch.place.last_second = Some(second.frame.second as i64);
                    let mut point = Vec::new();
                    CoursePoint::of_second(second).write(&mut point);
                    batch.seconds.push((wire::to_rows(second), point));
                }
                RunEvent::Phase { .. }
                | RunEvent::Steered(_)
                | RunEvent::Resumed(_)
                | RunEvent::Profile(_)
                | RunEvent::Note(_) => {
                    let after = batch.place.last_second.unwrap_or(-1);
                    batch.marks.push((batch.place.sequence, after, line()));
                    batch.place.sequence += 1;
                }
                RunEvent::Ended(ended) => {
                    batch.status = Some(ended.status);
                    batch.ended = Some((line(), ended.at as i64));
                }
                RunEvent::Started(_) | RunEvent::Stretch(_) | RunEvent::Judged(_) => {}
            }
        }
        batch
    }
}

/// Writes a batch; false, and nothing is written, where the record is not this process's any more.
async fn commit(
    kind: Kind,
    connection: &mut SqlConnection,
    (run, owner): (i64, &Owner),
    batch: &Batch,
    is_unsure: bool,
) -> std::result::Result<bool, sqlx::Error> {
    let mut transaction = kind.begin_writing(connection).await?;
    let there = if is_unsure { there(&mut transaction, run).await? } else { Place::default() };
    // Before the rest: nobody takes the record over until that is committed.
    if !update_run(&mut transaction, (run, owner), batch).await? {
        transaction.rollback().await?;
        return Ok(false);
    }
    let is_new = |second: u64| there.last_second.is_none_or(|last| second as i64 > last);
    let seconds = batch.seconds.partition_point(|(rows, _)| !is_new(rows.second));
    let marks = batch.marks.partition_point(|(sequence, ..)| *sequence < there.sequence);
    insert_marks(&mut transaction, run, &batch.marks[marks..]).await?;
    insert_seconds(&mut transaction, run, &batch.seconds[seconds..]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// How far a record has come by its own account.
async fn there(connection: &mut SqlConnection, run: i64) -> std::result::Result<Place, sqlx::Error> {
    let (last_second, sequence) = sqlx::query_as(
        "SELECT last_second, (SELECT coalesce(max(sequence) + 1, 0) FROM marks WHERE marks.run = runs.run) \
         FROM runs WHERE run = $1",
    )
    .bind(run)
    .fetch_optional(connection)
    .await?
    .unwrap_or_default();
    Ok(Place { last_second, sequence })
}

async fn insert_run(history: &History, started: &Started) -> Result<i64> {
    let Started { info, shape, .. } = started;
    let owner = Owner::this();
    let tags = serde_json::to_string(&info.tags).unwrap_or_else(|_| "{}".to_owned());
    let inserted = sqlx::query_scalar(
        "INSERT INTO runs (id, plan, plan_hash, version, environment, tags, target, seed, host, fingerprint, \
         plimsoll, started_at, started, owner_space, owner_process, owner_started, seen_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) RETURNING run",
    )
    .bind(&info.id)
    .bind(&shape.plan)
    .bind(&shape.plan_hash)
    .bind(&info.version)
    .bind(&info.environment)
    .bind(tags)
    .bind(&info.target)
    .bind(info.seed.cast_signed())
    .bind(&info.machine.host)
    .bind(&info.machine.fingerprint)
    .bind(&info.plimsoll)
    .bind(info.started_nanos)
    .bind(wire::to_line(&RunEvent::Started(Arc::new(started.clone()))))
    .bind(owner.space)
    .bind(i64::from(owner.process))
    .bind(owner.started)
    .bind(now())
    // To ask for one row ends the statement at it, and says nothing of a commit that fails behind it on a full disk.
    .fetch_all(history.pool())
    .await
    .and_then(|inserted: Vec<i64>| inserted.first().copied().ok_or(sqlx::Error::RowNotFound));
    match inserted {
        Ok(run) => Ok(run),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(Error::RunExists { id: info.id.clone() })
        }
        Err(error) => Err(history.failed(error)),
    }
}

async fn insert_marks(
    connection: &mut SqlConnection,
    run: i64,
    marks: &[(i64, i64, String)],
) -> std::result::Result<(), sqlx::Error> {
    for (sequence, after, line) in marks {
        sqlx::query("INSERT INTO marks (run, sequence, after_second, line) VALUES ($1, $2, $3, $4)")
            .bind(run)
            .bind(sequence)
            .bind(after)
            .bind(line)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// One statement for the heads and one for all series: each statement is a trip to another thread.
async fn insert_seconds(
    connection: &mut SqlConnection,
    run: i64,
    seconds: &[(SecondRows, Vec<u8>)],
) -> std::result::Result<(), sqlx::Error> {
    if seconds.is_empty() {
        return Ok(());
    }
    let mut heads = Statement::new("INSERT INTO seconds (run, second, head, point) ");
    heads.rows(seconds, |row, (second, point)| {
        row.bind(run).push(", ").bind(second.second as i64).push(", ");
        row.bind(second.head.as_str()).push(", ").bind(point.as_slice());
    });
    heads.build().execute(&mut *connection).await?;
    let lines =
        seconds.iter().flat_map(|(rows, _)| rows.series.iter().map(|line| (rows.second, line.as_str())));
    let series: Vec<(u64, &str)> = lines.collect();
    for some in series.chunks(SERIES_AT_ONCE) {
        let mut lines = Statement::new("INSERT INTO series (run, second, line) ");
        lines.rows(some, |row, (second, line)| {
            row.bind(run).push(", ").bind(*second as i64).push(", ").bind(*line);
        });
        // The number of rows changes, so that keeping the statement would only fill a cache.
        lines.build().persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}

/// A run that others thought dead is live again by this: only its recorder knows. False where another process goes on with it.
async fn update_run(
    connection: &mut SqlConnection,
    (run, owner): (i64, &Owner),
    batch: &Batch,
) -> std::result::Result<bool, sqlx::Error> {
    let updated = sqlx::query(
        "UPDATE runs SET status = $1, ended = $2, ended_offset = $3, last_second = $4, lost_seconds = $5, \
         seen_at = $6 WHERE run = $7 AND owner_space = $8 AND owner_process = $9 AND owner_started = $10",
    )
    .bind(batch.status.map(RunStatus::label))
    .bind(batch.ended.as_ref().map(|(line, _)| line))
    .bind(batch.ended.as_ref().map(|(_, offset)| offset))
    .bind(batch.place.last_second)
    .bind(batch.lost_seconds as i64)
    .bind(now())
    .bind(run)
    .bind(&owner.space)
    .bind(i64::from(owner.process))
    .bind(owner.started)
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{Frame, Vitals};
    use plimsoll_run::{Gauges, Note, Second};

    fn second(number: u64) -> RunEvent {
        let (gauges, vitals) = (Gauges::default(), Vitals::default());
        let second =
            Second { frame: Frame::new(number), gauges, vitals, resources: Vec::new(), wall_nanos: 0 };
        RunEvent::Second(Arc::new(second))
    }

    #[test]
    fn the_backlog_is_bounded_and_what_it_refuses_is_counted() {
        let mut inbox = Inbox::default();
        for number in 0..1000 {
            inbox.push(&second(number));
            inbox.push(&RunEvent::Note(Note { at: number, text: "note".into() }));
        }
        assert_eq!((inbox.seconds, inbox.lost_seconds, inbox.notes), (600, 400, 200));
        let next = inbox.next();
        let seconds = next.iter().filter(|event| matches!(event, RunEvent::Second(_))).count();
        assert_eq!(seconds, SECONDS_AT_ONCE);
        inbox.written(next.len());
        assert_eq!((inbox.seconds, inbox.events.len()), (580, 800 - next.len()));
    }

    #[test]
    fn trouble_is_told_once() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.trouble.tell(), None);
        for _ in 0..3 {
            inbox.failed(&Error::Locked { path: "h.db".into() });
        }
        let text = "history cannot be written: h.db: the history file is locked by another process; \
                    up to 600 seconds wait in memory";
        assert_eq!(inbox.trouble.tell().as_deref(), Some(text));
        inbox.failed(&Error::Locked { path: "h.db".into() });
        assert_eq!(inbox.trouble.tell(), None);
    }
}
