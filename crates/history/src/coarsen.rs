//! Seconds that are old become minutes, and minutes hours: one chunk takes the place of others, in one transaction.

use std::ops::Range;
use std::sync::Arc;

use plimsoll_measure::{Edges, Phase, SECOND};
use plimsoll_run::wire::{self, SecondRows};
use plimsoll_run::{CoursePoint, RunEvent, Shape, Started, Stretch, StretchBuilder};
use plimsoll_sla::Evaluator;

use crate::sql::{Kind, SqlConnection};
use crate::store::load_rows;
use crate::{Error, History, Result, chunk, course};

/// Windows longer than this are not followed into what is let go of: it would mean to read as many seconds anew for each
/// minute. What came of them is then unknown, and said.
const LONGEST_WINDOW: u32 = 300;

/// A run that is made coarser.
pub(crate) struct Coarsener {
    kind: Kind,
    run: i64,
    id: String,
    shape: Arc<Started>,
    /// When the stages ended in whole seconds, where they ended already.
    stages_ended: Option<u64>,
}

/// Chunks that become one.
struct Group {
    seconds: Range<i64>,
    chunks: Vec<Vec<u8>>,
    /// What the windows that begin in it reach into.
    behind: Vec<Vec<SecondRows>>,
}

impl Coarsener {
    /// Reads what its seconds mean.
    pub(crate) async fn of(history: &History, run: i64) -> Result<Self> {
        let failed = |error| history.failed(error);
        let (id, line): (String, String) = sqlx::query_as("SELECT id, started FROM runs WHERE run = $1")
            .bind(run)
            .fetch_one(history.pool())
            .await
            .map_err(failed)?;
        let started = started(&id, &line)?;
        let marks: Vec<String> =
            sqlx::query_scalar("SELECT line FROM marks WHERE run = $1 ORDER BY sequence")
                .bind(run)
                .fetch_all(history.pool())
                .await
                .map_err(failed)?;
        let grace = marks.iter().filter_map(|line| wire::from_line(line, &Edges::default()).ok());
        let stages_ended = grace.into_iter().find_map(|event| match event {
            RunEvent::Phase { phase: Phase::Grace, at } => Some(at / SECOND),
            _ => None,
        });
        Ok(Self { kind: history.kind(), run, id, shape: started, stages_ended })
    }

    /// Makes one chunk of the first ones of resolution `from` that begin within the same `period` seconds, when these
    /// are all before `before`. Returns how many seconds they held; `None`: there are none.
    pub(crate) async fn next(
        &self,
        history: &History,
        from: i64,
        period: i64,
        before: i64,
    ) -> Result<Option<u64>> {
        let failed = |error| history.failed(error);
        let mut connection = history.pool().acquire().await.map_err(failed)?;
        let group = self.group(&mut connection, from, period, before).await.map_err(failed)?;
        let Some(group) = group else { return Ok(None) };
        let (seconds, count) = (group.seconds.clone(), group.chunks.len() as i64);
        let (started, stages_ended, id) = (Arc::clone(&self.shape), self.stages_ended, self.id.clone());
        let path = history.path().to_owned();
        let packing = tokio::task::spawn_blocking(move || {
            let stretches = stretches(&started.shape, stages_ended, &group)
                .map_err(|what| Error::Damaged { path: path.clone(), what: format!("run {id}: {what}") })?;
            let rows: Vec<SecondRows> = stretches.iter().map(wire::stretch_to_rows).collect();
            let data = chunk::pack(&rows).map_err(|source| Error::File { path, source })?;
            Ok::<_, Error>((stretches, data))
        });
        let (stretches, data) = packing.await.map_err(|stopped| history.stopped(stopped))??;
        let recorded = stretches.iter().map(|stretch| stretch.recorded).sum();
        let points = course::whole(stretches.iter().map(CoursePoint::of_stretch));
        let replaced = Replaced { run: self.run, from, period, seconds, count };
        let moved =
            replaced.by(history.kind(), &mut connection, &data, points.as_ref()).await.map_err(failed)?;
        Ok(Some(if moved { recorded } else { 0 }))
    }

    async fn group(
        &self,
        connection: &mut SqlConnection,
        from: i64,
        period: i64,
        before: i64,
    ) -> std::result::Result<Option<Group>, sqlx::Error> {
        let first: Option<i64> =
            sqlx::query_scalar("SELECT min(first_second) FROM chunks WHERE run = $1 AND resolution = $2")
                .bind(self.run)
                .bind(from)
                .fetch_one(&mut *connection)
                .await?;
        let Some(first) = first else { return Ok(None) };
        let end = first - first % period + period;
        let chunks: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT last_second, data FROM chunks WHERE run = $1 AND resolution = $2 \
             AND first_second >= $3 AND first_second < $4 ORDER BY first_second",
        )
        .bind(self.run)
        .bind(from)
        .bind(first)
        .bind(end)
        .fetch_all(&mut *connection)
        .await?;
        let last = chunks.last().map_or(first, |(last, _)| *last);
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM seconds WHERE run = $1 AND second < $2")
            .bind(self.run)
            .bind(end)
            .fetch_one(&mut *connection)
            .await?;
        // Seconds that are not packed yet belong to it too.
        if end > before || last >= before || rows > 0 {
            return Ok(None);
        }
        let mut group = Group {
            seconds: first..last + 1,
            chunks: chunks.into_iter().map(|(_, data)| data).collect(),
            behind: Vec::new(),
        };
        let window = self.longest_window();
        if from == 1 && window > 1 {
            group.behind = self.behind(connection, last, last + window).await?;
        }
        Ok(Some(group))
    }

    /// The longest window that is followed, in seconds.
    fn longest_window(&self) -> i64 {
        let windows = self.shape.shape.objectives.iter().filter_map(|objective| objective.over);
        windows.filter(|over| *over <= LONGEST_WINDOW).max().map_or(0, i64::from)
    }

    /// The seconds after one and before another.
    async fn behind(
        &self,
        connection: &mut SqlConnection,
        after: i64,
        before: i64,
    ) -> std::result::Result<Vec<Vec<SecondRows>>, sqlx::Error> {
        let chunks: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT data FROM chunks WHERE run = $1 AND resolution = 1 AND first_second > $2 AND first_second < $3 \
             ORDER BY first_second",
        )
        .bind(self.run)
        .bind(after)
        .bind(before)
        .fetch_all(&mut *connection)
        .await?;
        let mut behind: Vec<Vec<SecondRows>> = Vec::new();
        for data in chunks {
            behind.push(chunk::unpack(&data).map_err(|error| sqlx::Error::Decode(error.into()))?);
        }
        let mut last = behind.iter().flatten().last().map_or(after, |rows| rows.second as i64);
        loop {
            let rows = load_rows(self.kind, connection, self.run, last, before).await?;
            let Some(newest) = rows.last() else { return Ok(behind) };
            last = newest.second as i64;
            behind.push(rows);
        }
    }
}

/// The first event of a run.
pub(crate) fn started(id: &str, line: &str) -> Result<Arc<Started>> {
    let broken = |source| Error::Record { run: id.to_owned(), source };
    match wire::from_line(line, &Edges::default()).map_err(broken)? {
        RunEvent::Started(started) => Ok(started),
        _ => Err(broken(wire::WireError::Value { field: "started", found: line.to_owned() })),
    }
}

/// Seconds or stretches of a group as one stretch, or some: none reaches across the end of the warm-up or of the stages,
/// where figures begin and end to count.
fn stretches(
    shape: &Shape,
    stages_ended: Option<u64>,
    group: &Group,
) -> std::result::Result<Vec<Stretch>, String> {
    let cuts = [Some(shape.warmup.ceil() as u64), stages_ended, Some(shape.stages_end().floor() as u64)];
    let part = |second: u64| cuts.iter().flatten().filter(|cut| **cut <= second).count();
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut open: Option<(usize, StretchBuilder)> = None;
    for data in &group.chunks {
        for rows in chunk::unpack(data).map_err(|error| error.to_string())? {
            let event = wire::event_from_rows(&rows, &shape.edges).map_err(|error| error.to_string())?;
            let this = part(rows.second);
            if open.as_ref().is_some_and(|(part, _)| *part != this) {
                stretches.extend(open.take().and_then(|(_, builder)| builder.finish()));
            }
            let (_, builder) = open.get_or_insert_with(|| (this, StretchBuilder::new(shape)));
            match event {
                RunEvent::Second(second) => builder.second(&second),
                RunEvent::Stretch(stretch) => builder.stretch(&stretch),
                _ => {}
            }
        }
    }
    stretches.extend(open.and_then(|(_, builder)| builder.finish()));
    if shape.objectives.iter().any(|objective| objective.over.is_some()) && is_fine(&stretches) {
        judge_windows(shape, stages_ended, group, &mut stretches)?;
    }
    Ok(stretches)
}

/// Whether they were made from seconds: stretches bring what came of their windows with them.
fn is_fine(stretches: &[Stretch]) -> bool {
    stretches.iter().all(|stretch| stretch.seconds <= crate::store::CHUNK_SECONDS.into())
}

/// Says what came of the windows that begin in each stretch.
fn judge_windows(
    shape: &Shape,
    stages_ended: Option<u64>,
    group: &Group,
    stretches: &mut [Stretch],
) -> std::result::Result<(), String> {
    let objectives = &shape.objectives;
    let mut judges: Vec<Evaluator> = Vec::new();
    for stretch in stretches.iter() {
        let values = shape.measure_edges();
        let judge = Evaluator::with_values(objectives.clone(), &shape.edges, &values, shape.span());
        let mut judge = judge.only_windows_in(stretch.range());
        stages_ended.into_iter().for_each(|end| judge.end_stages(end));
        judges.push(judge);
    }
    let mut fold = |rows: &SecondRows| {
        let event = wire::event_from_rows(rows, &shape.edges).map_err(|error| error.to_string())?;
        if let RunEvent::Second(second) = event {
            judges.iter_mut().for_each(|judge| judge.second(&second.frame));
        }
        Ok::<_, String>(())
    };
    for data in &group.chunks {
        for rows in chunk::unpack(data).map_err(|error| error.to_string())? {
            fold(&rows)?;
        }
    }
    group.behind.iter().flatten().try_for_each(fold)?;
    for (stretch, judge) in stretches.iter_mut().zip(judges) {
        let mut tallies = judge.window_tallies();
        let over = |index: &u16| objectives.get(usize::from(*index)).and_then(|objective| objective.over);
        tallies.retain(|index, _| over(index).is_some_and(|over| over <= LONGEST_WINDOW));
        stretch.windows = tallies;
    }
    Ok(())
}

/// What a chunk takes the place of.
struct Replaced {
    run: i64,
    from: i64,
    period: i64,
    seconds: Range<i64>,
    count: i64,
}

impl Replaced {
    /// Puts a chunk in its place, unless somebody else has done so meanwhile.
    async fn by(
        &self,
        kind: Kind,
        connection: &mut SqlConnection,
        data: &[u8],
        whole: Option<&CoursePoint>,
    ) -> std::result::Result<bool, sqlx::Error> {
        let Self { run, from, period, seconds, count } = self;
        let mut transaction = kind.begin_writing(connection).await?;
        let deleted = sqlx::query(
            "DELETE FROM chunks WHERE run = $1 AND resolution = $2 AND first_second BETWEEN $3 AND $4",
        )
        .bind(run)
        .bind(from)
        .bind(seconds.start)
        .bind(seconds.end - 1)
        .execute(&mut *transaction)
        .await?;
        if deleted.rows_affected() != count.cast_unsigned() {
            transaction.rollback().await?;
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO chunks (run, first_second, last_second, data, resolution) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(run)
        .bind(seconds.start)
        .bind(seconds.end - 1)
        .bind(data)
        .bind(period)
        .execute(&mut *transaction)
        .await?;
        self.course(&mut transaction, whole).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Lets go of points that are finer than what is left, and makes those that an older build did not.
    async fn course(
        &self,
        connection: &mut SqlConnection,
        whole: Option<&CoursePoint>,
    ) -> std::result::Result<(), sqlx::Error> {
        let Self { run, period, seconds, .. } = self;
        let known: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM course WHERE run = $1 AND width = $2 AND first_second = $3",
        )
        .bind(run)
        .bind(period)
        .bind(seconds.start - seconds.start % period)
        .fetch_one(&mut *connection)
        .await?;
        if let (0, Some(whole)) = (known, whole) {
            let widths: Vec<i64> = course::WIDTHS.into_iter().filter(|width| width >= period).collect();
            course::add(connection, *run, whole, &widths).await?;
        }
        sqlx::query("DELETE FROM course WHERE run = $1 AND width < $2 AND first_second BETWEEN $3 AND $4")
            .bind(run)
            .bind(period)
            .bind(seconds.start - seconds.start % period)
            .bind(seconds.end - 1)
            .execute(connection)
            .await?;
        Ok(())
    }
}
