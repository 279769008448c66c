//! Points that charts are drawn from, in several widths, so that any stretch of a run of months is drawn in a moment.

use std::io::{Read, Write};
use std::ops::Range;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use plimsoll_run::{CoursePoint, MalformedCourse};

use crate::sql::SqlConnection;
use crate::{Error, History, Result};

/// The widths of points in seconds, the finest first. Each is a multiple of the one before, and a chart of a thousand
/// points over a month reads a few thousand of some of them.
pub(crate) const WIDTHS: [i64; 4] = [1, 60, 600, 3600];

/// A row that unpacks to more than this is none of ours: an hour in a point is some kilobytes.
const LARGEST_BYTES: u64 = 64 << 20;

/// The course of a run over some of its seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// How wide a point is in seconds. Where only minutes or hours are kept, they are as wide as these.
    pub width: u64,
    /// The points in their order. Where nothing was recorded is none.
    pub points: Vec<CoursePoint>,
}

impl History {
    /// The course of a run over the seconds `[from, to)` in at most `most` points (but where only wider ones are kept);
    /// `None`: an older build recorded this run, and its course is only to be had from its events.
    ///
    /// # Errors
    /// When there is no run with exactly this id, or the file cannot be read.
    pub async fn course(&self, id: &str, seconds: Range<u64>, most: usize) -> Result<Option<Course>> {
        let failed = |error| self.failed(error);
        let row: Option<(i64, Option<i64>)> =
            sqlx::query_as("SELECT run, last_second FROM runs WHERE id = $1")
                .bind(id)
                .fetch_optional(self.pool())
                .await
                .map_err(failed)?;
        let Some((run, last_second)) = row else { return Err(self.no_run(id).await) };
        let last = u64::try_from(last_second.unwrap_or(-1)).unwrap_or(0);
        let to = seconds.end.min(last.saturating_add(1));
        let from = seconds.start.min(to);
        let width = (to - from).div_ceil(most.max(1) as u64).max(1);
        let range = signed(from)..signed(to);
        let mut connection = self.pool().acquire().await.map_err(failed)?;
        let mut transaction = self.kind().begin_reading(&mut connection).await.map_err(failed)?;
        let rows = load(&mut transaction, run, range, signed(width)).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        let Some(rows) = rows else { return Ok(None) };
        // Some thousand histograms take longer than a thread that serves others may be held.
        let drawing = tokio::task::spawn_blocking(move || draw(&rows, from..to, width));
        let drawn = drawing.await.map_err(|stopped| self.stopped(stopped))?;
        let points = drawn.map_err(|error| Error::Damaged {
            path: self.path().to_owned(),
            what: format!("run {id}: {error}"),
        })?;
        Ok(Some(Course { width, points }))
    }
}

/// A row of points.
enum Row {
    Packed(Vec<u8>),
    Bare(Vec<u8>),
}

/// The rows that a chart of this width is drawn from: the widest points that are not too wide, where they are still
/// kept; else wider ones; and behind the last of them the seconds that are not packed yet.
async fn load(
    connection: &mut SqlConnection,
    run: i64,
    seconds: Range<i64>,
    width: i64,
) -> std::result::Result<Option<Vec<Row>>, sqlx::Error> {
    // Points up to twice as wide as asked for still are half as many as asked for.
    let chosen = WIDTHS.iter().rposition(|known| *known <= width * 2).unwrap_or(0);
    let (mut before, mut rows, mut behind) = (i64::MAX, Vec::new(), seconds.start);
    for width in WIDTHS.into_iter().skip(chosen) {
        let mut found: Vec<(i64, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT first_second, last_second, data FROM course \
             WHERE run = $1 AND width = $2 AND first_second < $3 AND last_second >= $4 ORDER BY first_second DESC",
        )
        .bind(run)
        .bind(width)
        .bind(before.min(seconds.end))
        .bind(seconds.start)
        .fetch_all(&mut *connection)
        .await?;
        // A wider point that reaches into what is there already would tell of it twice.
        found.retain(|(_, last, _)| *last < before);
        behind = found.first().map_or(behind, |(_, last, _)| behind.max(last + 1));
        before = found.last().map_or(before, |(first, _, _)| before.min(*first));
        rows.extend(found.into_iter().map(|(_, _, data)| Row::Packed(data)));
        if before <= seconds.start {
            break;
        }
    }
    rows.reverse();
    let bare: Vec<Option<Vec<u8>>> = sqlx::query_scalar(
        "SELECT point FROM seconds WHERE run = $1 AND second >= $2 AND second < $3 ORDER BY second",
    )
    .bind(run)
    .bind(behind)
    .bind(seconds.end)
    .fetch_all(&mut *connection)
    .await?;
    let is_empty = rows.is_empty() && bare.is_empty() && !seconds.is_empty();
    let is_old = is_empty || bare.iter().any(Option::is_none);
    rows.extend(bare.into_iter().flatten().map(Row::Bare));
    Ok((!is_old).then_some(rows))
}

fn draw(
    rows: &[Row],
    seconds: Range<u64>,
    width: u64,
) -> std::result::Result<Vec<CoursePoint>, MalformedCourse> {
    let slot = |second: u64| second.saturating_sub(seconds.start) / width;
    let mut points: Vec<CoursePoint> = Vec::new();
    for row in rows {
        let read = match row {
            Row::Packed(data) => unpack(data)?,
            Row::Bare(data) => CoursePoint::read_all(data)?,
        };
        for point in read {
            if point.end() <= seconds.start || point.point.second >= seconds.end {
                continue;
            }
            match points.last_mut() {
                Some(last) if slot(last.point.second) == slot(point.point.second) => last.absorb(&point),
                _ => points.push(point),
            }
        }
    }
    Ok(points)
}

/// Packs points into a row.
pub(crate) fn pack(points: &[CoursePoint]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    points.iter().for_each(|point| point.write(&mut bytes));
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes)?;
    encoder.finish()
}

fn unpack(data: &[u8]) -> std::result::Result<Vec<CoursePoint>, MalformedCourse> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(data).take(LARGEST_BYTES).read_to_end(&mut bytes).map_err(|_| MalformedCourse)?;
    CoursePoint::read_all(&bytes)
}

/// Points in one: each is taken in by those of every width that hold it. Part of the transaction that packs the
/// seconds themselves, so that a second is in a course once.
pub(crate) async fn add(
    connection: &mut SqlConnection,
    run: i64,
    whole: &CoursePoint,
    widths: &[i64],
) -> std::result::Result<(), sqlx::Error> {
    let (first, last) = (signed(whole.point.second), signed(whole.end()) - 1);
    for width in widths {
        let start = first - first % width;
        let known: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT data FROM course WHERE run = $1 AND width = $2 AND first_second = $3")
                .bind(run)
                .bind(width)
                .bind(start)
                .fetch_optional(&mut *connection)
                .await?;
        let known = known.map(|data| unpack(&data)).transpose().map_err(decoded)?;
        let mut point = whole.clone();
        if let Some(mut known) = known.and_then(self::whole) {
            known.absorb(whole);
            point = known;
        }
        let data = pack(std::slice::from_ref(&point)).map_err(sqlx::Error::Io)?;
        put(connection, run, *width, start..last + 1, &data).await?;
    }
    Ok(())
}

/// Writes a row.
pub(crate) async fn put(
    connection: &mut SqlConnection,
    run: i64,
    width: i64,
    seconds: Range<i64>,
    data: &[u8],
) -> std::result::Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO course (run, width, first_second, last_second, data) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (run, width, first_second) \
         DO UPDATE SET last_second = excluded.last_second, data = excluded.data",
    )
    .bind(run)
    .bind(width)
    .bind(seconds.start)
    .bind(seconds.end - 1)
    .bind(data)
    .execute(connection)
    .await?;
    Ok(())
}

/// Points in their order as one.
pub(crate) fn whole(points: impl IntoIterator<Item = CoursePoint>) -> Option<CoursePoint> {
    points.into_iter().reduce(|mut one, later| {
        one.absorb(&later);
        one
    })
}

fn decoded(error: MalformedCourse) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

fn signed(second: u64) -> i64 {
    i64::try_from(second).unwrap_or(i64::MAX)
}
