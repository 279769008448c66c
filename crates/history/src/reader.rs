use std::sync::Arc;

use plimsoll_measure::{Edges, SECOND};
use plimsoll_run::wire::{self, SecondRows, WireError};
use plimsoll_run::{Ended, ExportCount, Note, RunEvent, RunStatus, Second, Started};
use sqlx::Row;

use crate::sql::{SqlConnection, SqlRow};
use crate::store::{load_rows, now};
use crate::{Error, History, Result, chunk, deliveries, runs};

/// Gives the events of a run in their order, a minute of them at a time, and follows a run that is
/// still being recorded, by this process or another.
///
/// The order is that of recording. A run whose process was killed ends with an [`Ended`] that says
/// interrupted after the last second; judgements are derived and are not among the events.
#[derive(Debug)]
pub struct Reader {
    history: History,
    id: String,
    run: i64,
    edges: Edges,
    started: Option<Arc<Started>>,
    after_second: i64,
    after_sequence: i64,
    finished: bool,
    has_died: bool,
}

impl History {
    /// Reads a run from its first event on.
    ///
    /// # Errors
    /// When there is no run with exactly this id, or its first event cannot be read.
    pub async fn read(&self, id: &str) -> Result<Reader> {
        let row: Option<(i64, String)> = sqlx::query_as("SELECT run, started FROM runs WHERE id = $1")
            .bind(id)
            .fetch_optional(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        let Some((run, line)) = row else { return Err(self.no_run(id).await) };
        let broken = |source| Error::Record { run: id.to_owned(), source };
        let RunEvent::Started(started) = wire::from_line(&line, &Edges::default()).map_err(broken)? else {
            return Err(broken(WireError::Value { field: "started", found: line }));
        };
        Ok(Reader {
            history: self.clone(),
            id: id.to_owned(),
            run,
            edges: started.shape.edges.clone(),
            started: Some(started),
            after_second: -1,
            after_sequence: -1,
            finished: false,
            has_died: false,
        })
    }

    /// Every event of a run so far. A long run takes much memory; [`History::read`] does not.
    ///
    /// # Errors
    /// As [`History::read`] and [`Reader::next`].
    pub async fn events(&self, id: &str) -> Result<Vec<RunEvent>> {
        let mut reader = self.read(id).await?;
        let mut events = Vec::new();
        loop {
            let mut more = reader.next().await?;
            if more.is_empty() {
                return Ok(events);
            }
            events.append(&mut more);
        }
    }

    /// The seconds of a run after one that is known (`None`: from the first), as far as they are recorded.
    ///
    /// # Errors
    /// As [`History::read`] and [`Reader::next`].
    pub async fn seconds_after(&self, id: &str, known: Option<u64>) -> Result<Vec<Arc<Second>>> {
        let mut reader = self.read(id).await?;
        reader.after_second = known.map_or(-1, |second| i64::try_from(second).unwrap_or(i64::MAX));
        let mut seconds = Vec::new();
        loop {
            let more = reader.next().await?;
            if more.is_empty() {
                return Ok(seconds);
            }
            seconds.extend(more.into_iter().filter_map(|event| match event {
                RunEvent::Second(second) => Some(second),
                _ => None,
            }));
        }
    }
}

impl Reader {
    /// The next events. Nothing means that there are no more for now; none ever come once
    /// [`Self::is_finished`].
    ///
    /// # Errors
    /// When the file cannot be read or what it holds is no event.
    pub async fn next(&mut self) -> Result<Vec<RunEvent>> {
        if self.finished {
            return Ok(Vec::new());
        }
        let step = self.load().await?;
        let mut events: Vec<RunEvent> = self.started.take().map(RunEvent::Started).into_iter().collect();
        let mut marks = step.marks.into_iter().peekable();
        let is_tail = step.seconds.is_empty();
        for event in self.decode(step.seconds).await? {
            let (first, last) = match &event {
                RunEvent::Stretch(stretch) => (stretch.frame.second, stretch.range().end.saturating_sub(1)),
                RunEvent::Second(second) => (second.frame.second, second.frame.second),
                _ => continue,
            };
            let (first, last) = (first as i64, last as i64);
            while let Some((sequence, _, line)) = marks.next_if(|(_, after, _)| *after < first) {
                events.push(self.mark(sequence, &line)?);
            }
            events.push(event);
            self.after_second = last;
        }
        for (sequence, _, line) in marks {
            events.push(self.mark(sequence, &line)?);
        }
        if let (true, Some(end)) = (is_tail, step.end) {
            self.end(end, &mut events)?;
        }
        Ok(events)
    }

    /// Whether the last event was given.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the run's process ended without a word; known once everything is read.
    pub fn has_died(&self) -> bool {
        self.has_died
    }

    /// A minute of many series takes a tenth of a second, too long for a thread that serves others.
    async fn decode(&self, rows: Vec<SecondRows>) -> Result<Vec<RunEvent>> {
        let edges = self.edges.clone();
        let decoding = tokio::task::spawn_blocking(move || {
            rows.iter().map(|rows| wire::event_from_rows(rows, &edges)).collect::<std::result::Result<_, _>>()
        });
        match decoding.await {
            Ok(decoded) => decoded.map_err(|source| self.broken(source)),
            Err(stopped) => Err(Error::File { path: self.history.path().to_owned(), source: stopped.into() }),
        }
    }

    fn mark(&mut self, sequence: i64, line: &str) -> Result<RunEvent> {
        self.after_sequence = sequence;
        wire::from_line(line, &self.edges).map_err(|source| self.broken(source))
    }

    fn end(&mut self, end: End, events: &mut Vec<RunEvent>) -> Result<()> {
        self.has_died = end.line.is_none();
        let ended = match end.line {
            Some(line) => wire::from_line(&line, &self.edges).map_err(|source| self.broken(source))?,
            None => RunEvent::Ended(Arc::new(Ended {
                at: end.whole_seconds * SECOND,
                status: end.status,
                reason: Some(died_after(end.whole_seconds)),
                exports: Vec::new(),
                samples: None,
            })),
        };
        let ended = match ended {
            RunEvent::Ended(ended) if !end.deliveries.is_empty() => {
                let mut ended = Arc::unwrap_or_clone(ended);
                ended.exports = deliveries::later(ended.exports, end.deliveries);
                RunEvent::Ended(Arc::new(ended))
            }
            other => other,
        };
        if end.lost_seconds > 0 {
            let at = if let RunEvent::Ended(ended) = &ended { ended.at } else { 0 };
            let text = format!("{} seconds could not be recorded and are missing here", end.lost_seconds);
            events.push(RunEvent::Note(Note { at, text }));
        }
        events.push(ended);
        self.finished = true;
        Ok(())
    }

    /// Looks once, in one transaction, so that what is seen belongs together.
    async fn load(&self) -> Result<Step> {
        let failed = |error| self.history.failed(error);
        let mut connection = self.history.pool().acquire().await.map_err(failed)?;
        let mut transaction = self.history.kind().begin_reading(&mut connection).await.map_err(failed)?;
        let row = sqlx::query(
            "SELECT status, ended, last_second, lost_seconds, \
             owner_space, owner_process, owner_started, seen_at FROM runs WHERE run = $1",
        )
        .bind(self.run)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
        let Some(row) = row else {
            drop(transaction);
            return Err(self.history.no_run(&self.id).await);
        };
        let mut end = End::of(&row).map_err(failed)?;
        if let Some(end) = &mut end {
            end.deliveries = deliveries::of_run(&mut transaction, self.run).await.map_err(failed)?;
        }
        let (seconds, before) = self.seconds(&mut transaction).await?;
        let marks = sqlx::query_as(
            "SELECT sequence, after_second, line FROM marks \
             WHERE run = $1 AND sequence > $2 AND after_second <= $3 ORDER BY sequence",
        )
        .bind(self.run)
        .bind(self.after_sequence)
        .bind(before)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Step { seconds, marks, end })
    }

    /// The next rows, and the last second that they tell of.
    async fn seconds(&self, connection: &mut SqlConnection) -> Result<(Vec<SecondRows>, i64)> {
        let failed = |error| self.history.failed(error);
        let chunk: Option<(i64, i64, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT first_second, last_second, resolution, data FROM chunks WHERE run = $1 AND last_second > $2 \
             ORDER BY first_second LIMIT 1",
        )
        .bind(self.run)
        .bind(self.after_second)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
        let before = chunk.as_ref().map_or(i64::MAX, |(first, ..)| *first);
        let rows = load_rows(self.history.kind(), connection, self.run, self.after_second, before)
            .await
            .map_err(failed)?;
        match chunk {
            // A part of it was given already, second by second.
            Some((first, _, resolution, _)) if resolution > 1 && first <= self.after_second => {
                Err(Error::Coarsened { id: self.id.clone() })
            }
            Some((_, last, _, data)) if rows.is_empty() => {
                let mut rows = chunk::unpack(&data).map_err(|error| Error::Damaged {
                    path: self.history.path().to_owned(),
                    what: format!("run {}: {error}", self.id),
                })?;
                rows.retain(|rows| rows.second as i64 > self.after_second);
                Ok((rows, last))
            }
            _ => {
                let last = rows.last().map_or(i64::MAX, |rows| rows.second as i64);
                Ok((rows, last))
            }
        }
    }

    fn broken(&self, source: WireError) -> Error {
        Error::Record { run: self.id.clone(), source }
    }
}

/// What one look at the record found.
struct Step {
    seconds: Vec<SecondRows>,
    /// Sequence, the second before it, line.
    marks: Vec<(i64, i64, String)>,
    end: Option<End>,
}

/// How a run ended, as its row tells.
struct End {
    status: RunStatus,
    line: Option<String>,
    /// Whole seconds recorded from its start on.
    whole_seconds: u64,
    lost_seconds: u64,
    /// What was found out later about its points.
    deliveries: Vec<ExportCount>,
}

/// Why a run ended whose process was killed, and what nobody knows about it.
fn died_after(seconds: u64) -> String {
    format!(
        "the process that recorded it ended without a word; what it sent after second {seconds}, at most two seconds \
         of load and what was in flight, is in no figure and in no sink"
    )
}

impl End {
    fn of(row: &SqlRow) -> std::result::Result<Option<Self>, sqlx::Error> {
        let Some(status) = runs::status(row, now())? else { return Ok(None) };
        let last_second: Option<i64> = row.try_get("last_second")?;
        Ok(Some(Self {
            status,
            line: row.try_get("ended")?,
            whole_seconds: last_second.map_or(0, |second| second as u64 + 1),
            lost_seconds: row.try_get::<i64, _>("lost_seconds")? as u64,
            deliveries: Vec::new(),
        }))
    }
}
