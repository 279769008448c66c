use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, io};

use plimsoll_measure::Edges;
use plimsoll_run::CoursePoint;
use plimsoll_run::wire::{self, SecondRows};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{ConnectOptions, Connection};

use crate::location::Location;
use crate::sql::{self, Kind, SqlConnection, SqlPool};
use crate::{Error, Result, chunk, coarsen, course, location, schema};

/// How long a call waits for another process that is writing. Writers hold the file for milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon opening is tried again where SQLite itself does not wait.
const RETRY: Duration = Duration::from_millis(50);

/// Readers of one process at a time; a writer has its own connection.
const READERS: u32 = 4;

/// Seconds in one chunk, and in one step of a reader.
pub(crate) const CHUNK_SECONDS: u32 = 60;

/// How long the file is left to others between two steps of tidying.
const BREATH: Duration = Duration::from_millis(10);

/// Pages given back to the file system at a time (4 MB), so that a recorder never waits long for it.
const PAGES_AT_A_TIME: &str = "PRAGMA incremental_vacuum(1000)";

/// The record of every run: one SQLite file, or a database of PostgreSQL. Cheap to clone; clones share connections.
///
/// Several processes may use the same file at once, on one machine and a local file system: the
/// write-ahead log that makes it possible does not work across a network. A database may be used from everywhere.
#[derive(Debug, Clone)]
pub struct History {
    place: Arc<Place>,
    pool: SqlPool,
}

/// Where a record is.
struct Place {
    kind: Kind,
    /// The file, or the URL without who asks.
    shown: PathBuf,
    /// What others open it by; of a database this may hold a password.
    location: OsString,
    options: AnyConnectOptions,
}

impl History {
    /// Opens a record at a path, `sqlite:PATH`, `sqlite://PATH` or `postgres://USER@HOST/DATABASE`; makes the file and
    /// its directories where they are missing, brings an older one up to date, and marks the runs whose process was
    /// killed. A database must be there.
    ///
    /// # Errors
    /// When the file is locked for five seconds, not a history file, of a newer schema, read-only,
    /// or cannot be written for want of space; when the database cannot be reached within as long.
    pub async fn open(location: impl AsRef<Path>) -> Result<Self> {
        sql::install();
        let place = match location::parse(location.as_ref())? {
            Location::File(path) => Place::file(path)?,
            Location::Postgres(url) => Place::postgres(url)?,
        };
        prepare(&place).await?;
        let kind = place.kind;
        let pool = AnyPoolOptions::new()
            .max_connections(READERS)
            .after_connect(move |connection, _| Box::pin(kind.greet(connection, PATIENCE)))
            .after_release(|connection, _| {
                // SQLite ends a transaction by itself on a full disk. It cannot be rolled back once more then, and sqlx
                // takes the connection for one within it from then on: it is closed.
                Box::pin(async move {
                    if connection.is_in_transaction() {
                        // Its end may still be on its way.
                        connection.ping().await?;
                    }
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_lazy_with(place.options.clone());
        let history = Self { place: place.into(), pool };
        history.mark_interrupted().await?;
        Ok(history)
    }

    /// The file; of a database its URL, without who asks.
    pub fn path(&self) -> &Path {
        &self.place.shown
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        (self.place.kind == Kind::Sqlite).then_some(self.path())
    }

    /// What another process opens the same record by, wherever it stands. It may hold a password, and belongs
    /// neither into a log nor on a command line.
    pub fn location(&self) -> &OsStr {
        &self.place.location
    }

    /// Closes every connection; what is left of the write-ahead log goes into the file.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// Folds the rows of ended runs into chunks, a minute at a time, and gives the space that this
    /// frees back. Returns how many seconds it moved. Interrupted anywhere, the record stays whole and
    /// the next call goes on.
    ///
    /// Of a run that goes on, the recorder does the same with seconds that are some minutes old.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn compact(&self) -> Result<u64> {
        let runs: Vec<i64> = sqlx::query_scalar(
            "SELECT run FROM runs WHERE status IS NOT NULL \
             AND EXISTS (SELECT 1 FROM seconds WHERE seconds.run = runs.run)",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let mut moved = 0;
        for run in runs {
            moved += self.compact_run(run, i64::MAX).await?;
        }
        if moved > 0 {
            self.give_space_back().await?;
        }
        Ok(moved)
    }

    /// Folds the rows of a run that lie before a second.
    pub(crate) async fn compact_run(&self, run: i64, before: i64) -> Result<u64> {
        let (mut after, mut moved) = (-1, 0);
        while let Some((last, seconds)) = self.compact_next(run, after, before).await? {
            after = last;
            moved += seconds;
        }
        Ok(moved)
    }

    /// Folds the next rows of a run after one second and before another, those of the same minute of the run; the last
    /// second looked at and how many moved.
    async fn compact_next(&self, run: i64, after: i64, before: i64) -> Result<Option<(i64, u64)>> {
        let failed = |error| self.failed(error);
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let first: Option<i64> = sqlx::query_scalar(
            "SELECT min(second) FROM seconds WHERE run = $1 AND second > $2 AND second < $3",
        )
        .bind(run)
        .bind(after)
        .bind(before)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
        let Some(first) = first else { return Ok(None) };
        let minute = i64::from(CHUNK_SECONDS);
        let end = (first - first % minute + minute).min(before);
        let rows = load_rows(self.kind(), &mut connection, run, after, end).await.map_err(failed)?;
        let points = load_points(&mut connection, run, first, end).await.map_err(failed)?;
        let Some(last) = rows.last().map(|rows| rows.second as i64) else { return Ok(None) };
        let edges = match points.iter().any(Option::is_none) {
            true => Some(self.edges(run).await?),
            false => None,
        };
        let count = rows.len() as i64;
        // A minute of many series takes tens of milliseconds, too long for a thread that serves others.
        let packed = tokio::task::spawn_blocking(move || Packed::of(&rows, points, edges.as_ref())).await;
        let packed = packed
            .unwrap_or_else(|stopped| Err(stopped.into()))
            .map_err(|source| Error::File { path: self.path().to_owned(), source })?;
        let moved =
            packed.store(self.kind(), &mut connection, run, first, last, count).await.map_err(failed)?;
        Ok(Some((last, if moved { count as u64 } else { 0 })))
    }

    /// Where the histograms of a run count.
    async fn edges(&self, run: i64) -> Result<Edges> {
        let (id, line): (String, String) = sqlx::query_as("SELECT id, started FROM runs WHERE run = $1")
            .bind(run)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(coarsen::started(&id, &line)?.shape.edges.clone())
    }

    /// A task that did not come to its end.
    pub(crate) fn stopped(&self, stopped: tokio::task::JoinError) -> Error {
        Error::File { path: self.path().to_owned(), source: stopped.into() }
    }

    /// Returns free pages to the file system and cuts the write-ahead log.
    pub(crate) async fn give_space_back(&self) -> Result<()> {
        // PostgreSQL does it by itself.
        if self.kind() == Kind::Postgres {
            return Ok(());
        }
        let failed = |error| self.failed(error);
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        loop {
            let free: i64 = sqlx::query_scalar("PRAGMA freelist_count")
                .fetch_one(&mut *connection)
                .await
                .map_err(failed)?;
            if free == 0 {
                break;
            }
            sqlx::query(PAGES_AT_A_TIME).execute(&mut *connection).await.map_err(failed)?;
            tokio::time::sleep(BREATH).await;
        }
        // Answers busy, without failing, while somebody reads; the log is then cut at another time.
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await.map_err(failed)?;
        Ok(())
    }

    pub(crate) fn pool(&self) -> &SqlPool {
        &self.pool
    }

    pub(crate) fn kind(&self) -> Kind {
        self.place.kind
    }

    /// A connection of its own, which waits `patience` for other writers.
    pub(crate) async fn connect(&self, patience: Duration) -> Result<SqlConnection> {
        self.place.connect(patience).await
    }

    pub(crate) fn failed(&self, error: sqlx::Error) -> Error {
        Error::store(self.path(), error)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest may hold a password.
        f.debug_tuple("Place").field(&self.shown).finish()
    }
}

impl Place {
    fn file(path: PathBuf) -> Result<Self> {
        let failed = |source| Error::File { path: path.clone(), source };
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        if let Some(directory) = directory {
            std::fs::create_dir_all(directory)
                .map_err(|source| Error::File { path: directory.to_owned(), source })?;
        }
        let options = location::url(&path).map_err(failed)?.parse();
        let options = options.map_err(|source| Error::store(&path, source))?;
        let location = std::path::absolute(&path).map_err(failed)?.into();
        Ok(Self { kind: Kind::Sqlite, shown: path, location, options })
    }

    fn postgres(url: String) -> Result<Self> {
        let options: AnyConnectOptions =
            url.parse().map_err(|source| Error::store(Path::new("postgres:"), source))?;
        let parsed = &options.database_url;
        let host = parsed.host_str().unwrap_or("localhost");
        let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
        let shown = format!("postgres://{host}{port}{}", parsed.path());
        Ok(Self { kind: Kind::Postgres, shown: shown.into(), location: url.into(), options })
    }

    async fn connect(&self, patience: Duration) -> Result<SqlConnection> {
        let failed = |error| Error::store(&self.shown, error);
        let connected = tokio::time::timeout(PATIENCE, self.options.connect()).await;
        let mut connection = connected.unwrap_or_else(|_| Err(sql::timed_out())).map_err(failed)?;
        self.kind.greet(&mut connection, patience).await.map_err(failed)?;
        Ok(connection)
    }
}

/// Makes the tables ready. Changing to the write-ahead log needs the file for oneself, for which SQLite
/// does not wait, so that two processes that make the same file at once have to try again.
async fn prepare(place: &Place) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let prepared = async {
            let mut connection = place.connect(PATIENCE).await?;
            schema::prepare(place.kind, &place.shown, &mut connection).await
        };
        match prepared.await {
            Err(error) if error.is_locked() && Instant::now() < deadline => tokio::time::sleep(RETRY).await,
            done => return done,
        }
    }
}

/// Seconds of a minute, packed, and their points.
struct Packed {
    rows: Vec<u8>,
    points: Vec<u8>,
    whole: Option<CoursePoint>,
}

impl Packed {
    /// `edges` are there where a point is not: an older build recorded these seconds.
    fn of(rows: &[SecondRows], points: Vec<Option<Vec<u8>>>, edges: Option<&Edges>) -> io::Result<Self> {
        let point = |(rows, point): (&SecondRows, Option<Vec<u8>>)| match (point, edges) {
            (Some(point), _) => CoursePoint::read_all(&point).map_err(io::Error::other),
            (None, Some(edges)) => match wire::from_rows(rows, edges) {
                Ok(second) => Ok(vec![CoursePoint::of_second(&second)]),
                // Whoever reads the run is told what is wrong with it.
                Err(_) => Ok(Vec::new()),
            },
            (None, None) => Ok(Vec::new()),
        };
        let points: Vec<Vec<CoursePoint>> = rows.iter().zip(points).map(point).collect::<io::Result<_>>()?;
        let points = points.concat();
        Ok(Self { rows: chunk::pack(rows)?, points: course::pack(&points)?, whole: course::whole(points) })
    }

    /// Puts a chunk in the place of its rows, unless they are no longer what was packed: somebody else may
    /// have packed them, or a run that was thought dead may have gone on.
    async fn store(
        &self,
        kind: Kind,
        connection: &mut SqlConnection,
        run: i64,
        first: i64,
        last: i64,
        count: i64,
    ) -> std::result::Result<bool, sqlx::Error> {
        let mut transaction = kind.begin_writing(connection).await?;
        let there: i64 =
            sqlx::query_scalar("SELECT count(*) FROM seconds WHERE run = $1 AND second BETWEEN $2 AND $3")
                .bind(run)
                .bind(first)
                .bind(last)
                .fetch_one(&mut *transaction)
                .await?;
        if there != count {
            return Ok(false);
        }
        sqlx::query("INSERT INTO chunks (run, first_second, last_second, data) VALUES ($1, $2, $3, $4)")
            .bind(run)
            .bind(first)
            .bind(last)
            .bind(&self.rows)
            .execute(&mut *transaction)
            .await?;
        if let Some(whole) = &self.whole {
            let [finest, wider @ ..] = course::WIDTHS;
            course::put(&mut transaction, run, finest, first..last + 1, &self.points).await?;
            course::add(&mut transaction, run, whole, &wider).await?;
        }
        for delete in [
            "DELETE FROM series WHERE run = $1 AND second BETWEEN $2 AND $3",
            "DELETE FROM seconds WHERE run = $1 AND second BETWEEN $2 AND $3",
        ] {
            sqlx::query(delete).bind(run).bind(first).bind(last).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}

/// The points of a run's rows from one second to another.
async fn load_points(
    connection: &mut SqlConnection,
    run: i64,
    first: i64,
    end: i64,
) -> std::result::Result<Vec<Option<Vec<u8>>>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT point FROM seconds WHERE run = $1 AND second >= $2 AND second < $3 ORDER BY second",
    )
    .bind(run)
    .bind(first)
    .bind(end)
    .fetch_all(connection)
    .await
}

/// The next rows of a run, after one second and before another, at most a chunk's worth.
pub(crate) async fn load_rows(
    kind: Kind,
    connection: &mut SqlConnection,
    run: i64,
    after: i64,
    before: i64,
) -> std::result::Result<Vec<SecondRows>, sqlx::Error> {
    let heads: Vec<(i64, String)> = sqlx::query_as(
        "SELECT second, head FROM seconds WHERE run = $1 AND second > $2 AND second < $3 ORDER BY second LIMIT $4",
    )
    .bind(run)
    .bind(after)
    .bind(before)
    .bind(i64::from(CHUNK_SECONDS))
    .fetch_all(&mut *connection)
    .await?;
    let Some(last) = heads.last().map(|(second, _)| *second) else { return Ok(Vec::new()) };
    let series: Vec<(i64, String)> = sqlx::query_as(match kind {
        Kind::Sqlite => {
            "SELECT second, line FROM series WHERE run = $1 AND second > $2 AND second <= $3 ORDER BY second, rowid"
        }
        Kind::Postgres => {
            "SELECT second, line FROM series WHERE run = $1 AND second > $2 AND second <= $3 ORDER BY second, place"
        }
    })
    .bind(run)
    .bind(after)
    .bind(last)
    .fetch_all(connection)
    .await?;
    let mut series = series.into_iter().peekable();
    let rows = heads.into_iter().map(|(second, head)| {
        let mut lines = Vec::new();
        while let Some((_, line)) = series.next_if(|(of, _)| *of == second) {
            lines.push(line);
        }
        SecondRows { second: second as u64, head, series: lines }
    });
    Ok(rows.collect())
}

/// The wall time, nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
