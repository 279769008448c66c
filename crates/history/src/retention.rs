//! How long what is kept, and in how fine a grain.
//!
//! What becomes of a run is decided by plain numbers ([`Retention::keep`]) and done in steps of one transaction each,
//! so that a recorder never waits long, and whoever is killed between two of them leaves a whole record. Nothing is
//! old because of a clock alone: what counts as old is bounded by the newest that was recorded, and a leap ahead is
//! believed only after it has lasted for a day.

use std::time::Duration;

use sqlx::Row;

use crate::coarsen::Coarsener;
use crate::sql::{Kind, SqlRow};
use crate::{History, Result};

const NANOS: i64 = 1_000_000_000;
/// This part of the size, one of so many, is left free: for what is recorded until somebody looks again.
const FREE: u64 = 20;
/// Annotations may take this part of the size: one of so many.
const SHARE_OF_ANNOTATIONS: u64 = 10;
const HOUR: i64 = 3600;
const DAY: Duration = Duration::from_secs(86_400);

/// Seconds are kept for at least this long: whoever looks at what has just happened wants them, and what comes of
/// windows is found in them.
const LEAST_SECONDS: Duration = Duration::from_secs(3600);

/// The smallest bound of size, in bytes: an empty record and some minutes of a run.
const LEAST_SIZE: u64 = 10_000_000;

/// A clock that is further ahead than this of what was believed last is in doubt: a weekend without a service is not.
const LEAP: Duration = Duration::from_secs(3 * 86_400);

/// How long what is kept. Times are those since a second was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// So long every second by itself.
    pub seconds: Duration,
    /// So long minutes.
    pub minutes: Duration,
    /// So long hours; then a run that has ended is deleted.
    pub hours: Duration,
    /// So large the file may be, in bytes.
    pub size: Option<u64>,
}

impl Default for Retention {
    /// A week of seconds, 90 days of minutes, two years of hours, 1 GB: whoever lets a service run for months without a
    /// thought of its disk is to find it as it was.
    fn default() -> Self {
        Self { seconds: 7 * DAY, minutes: 90 * DAY, hours: 730 * DAY, size: Some(1_000_000_000) }
    }
}

/// A retention that contradicts itself.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MalformedRetention {
    /// Too short to be of use.
    #[error("`seconds` must be an hour or longer")]
    Seconds,
    /// Finer grains end first.
    #[error(
        "`{finer}` must not be longer than `{coarser}`: first seconds become minutes, then minutes hours"
    )]
    Order {
        /// The finer one.
        finer: &'static str,
        /// The coarser one.
        coarser: &'static str,
    },
    /// Too little to be of use.
    #[error("`size` must be 10MB or more")]
    Size,
}

/// A run as far as its age matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAge {
    /// Its id.
    pub id: String,
    /// Wall time of its start in nanoseconds since 1970, or that of a run recorded before it that began later by its
    /// clock: what was recorded later is never older.
    pub began: i64,
    /// How many seconds it has so far.
    pub seconds: i64,
    /// Whether it has ended.
    pub has_ended: bool,
    number: i64,
}

/// What is kept of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Seconds from one on; before that minutes from one on; and hours before these.
    From {
        /// The first second that is kept by itself.
        seconds: i64,
        /// The first second that is kept in a minute.
        minutes: i64,
    },
}

/// What was done, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retained {
    /// Seconds that became minutes.
    pub to_minutes: u64,
    /// Seconds that became hours.
    pub to_hours: u64,
    /// Ids of runs that were deleted.
    pub deleted: Vec<String>,
    /// Annotations that were deleted.
    pub annotations: u64,
    /// How large the file is, in bytes; space that is free within it left out.
    pub bytes: u64,
    /// How often ages were halved to keep to the size.
    pub halved: u32,
    /// Whether the clock is so far ahead that it is not believed yet.
    pub doubts_clock: bool,
}

impl Retention {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// When seconds are kept for less than an hour, or longer than minutes, or these longer than hours.
    pub fn check(&self) -> std::result::Result<(), MalformedRetention> {
        if self.seconds < LEAST_SECONDS {
            return Err(MalformedRetention::Seconds);
        }
        if self.seconds > self.minutes {
            return Err(MalformedRetention::Order { finer: "seconds", coarser: "minutes" });
        }
        if self.minutes > self.hours {
            return Err(MalformedRetention::Order { finer: "minutes", coarser: "hours" });
        }
        if self.size.is_some_and(|size| size < LEAST_SIZE) {
            return Err(MalformedRetention::Size);
        }
        Ok(())
    }

    /// How large the file may be when somebody has looked, in bytes: 95% of [`Self::size`].
    pub fn kept_within(&self) -> Option<u64> {
        self.size.map(|size| size - size / FREE)
    }

    /// What is kept of a run at a moment in nanoseconds since 1970.
    pub fn keep(&self, run: &RunAge, now: i64) -> Keep {
        let second_at = |age: Duration| {
            let moment = now.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
            (moment.saturating_sub(run.began)).div_euclid(NANOS).max(0)
        };
        if run.has_ended && second_at(self.hours) > run.seconds {
            return Keep::Nothing;
        }
        Keep::From { seconds: second_at(self.seconds), minutes: second_at(self.minutes) }
    }

    /// Annotations that ended before this moment are not kept, at a moment; both in nanoseconds since 1970.
    fn keeps_annotations_from(&self, now: i64) -> i64 {
        now.saturating_sub(i64::try_from(self.hours.as_nanos()).unwrap_or(i64::MAX))
    }

    /// The same with half the age of seconds and of minutes; `None`: they are as short as they get.
    fn halved(&self) -> Option<Self> {
        let seconds = (self.seconds / 2).max(LEAST_SECONDS);
        let minutes = (self.minutes / 2).max(DAY).max(seconds);
        let halved = Self { seconds, minutes: minutes.min(self.minutes), ..self.clone() };
        (halved != *self).then_some(halved)
    }
}

/// The latest moment that was believed, and since when a later one is in doubt; nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Belief {
    at: i64,
    doubted_since: Option<i64>,
}

/// What time it is for retention, and what to remember of it.
fn believe(clock: i64, newest: i64, known: Option<Belief>) -> (i64, Belief) {
    let now = clock.min(newest);
    let Some(known) = known else { return (now, Belief { at: now, doubted_since: None }) };
    let (leap, day) = (LEAP.as_nanos() as i64, DAY.as_nanos() as i64);
    if now <= known.at.saturating_add(leap) {
        return (now, Belief { at: known.at.max(now), doubted_since: None });
    }
    // A clock that went back while in doubt has to last anew.
    let since = known.doubted_since.unwrap_or(now).min(now);
    if now >= since.saturating_add(day) {
        return (now, Belief { at: now, doubted_since: None });
    }
    (known.at, Belief { at: known.at, doubted_since: Some(since) })
}

impl History {
    /// Makes old seconds minutes, old minutes hours, and deletes runs and annotations that are older than hours are kept;
    /// where the file takes more than 95% of what it may, ages of seconds and minutes are halved until it fits (to an hour
    /// and a day), then the oldest runs that have ended are deleted; both end as soon as it fits. `clock` is the wall time, nanoseconds
    /// since 1970.
    ///
    /// Each step is one short transaction. Interrupted anywhere, the record stays whole and the next call goes on.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub async fn retain(&self, retention: &Retention, clock: i64) -> Result<Retained> {
        self.mark_interrupted().await?;
        self.compact().await?;
        let runs = self.run_ages().await?;
        let (now, belief) = self.believed(&runs, clock).await?;
        self.remember(belief).await?;
        let mut done = Retained { doubts_clock: belief.doubted_since.is_some(), ..Retained::default() };
        let mut left = Vec::with_capacity(runs.len());
        for run in runs {
            if self.retain_run(&run, retention.keep(&run, now), None, &mut done).await? {
                left.push(run);
            }
        }
        done.annotations = self.forget_annotations(retention.keeps_annotations_from(now)).await?;
        if let Some(size) = retention.size {
            // However many alerts are told, runs keep their room.
            done.annotations += self.shrink_annotations(size / SHARE_OF_ANNOTATIONS).await?;
        }
        let size = retention.kept_within();
        let mut retention = retention.clone();
        while !self.fits(size).await? {
            let Some(halved) = retention.halved() else {
                self.make_room(&left, size, &mut done).await?;
                break;
            };
            (retention, done.halved) = (halved, done.halved + 1);
            for run in &left {
                self.retain_run(run, retention.keep(run, now), size, &mut done).await?;
            }
        }
        if done.to_minutes + done.to_hours + done.annotations > 0 || !done.deleted.is_empty() {
            self.give_space_back().await?;
        }
        done.bytes = self.bytes_in_use().await?;
        Ok(done)
    }

    /// Whether the file is as small as it has to be.
    async fn fits(&self, size: Option<u64>) -> Result<bool> {
        match size {
            None => Ok(true),
            Some(size) => Ok(self.bytes_in_use().await? <= size),
        }
    }

    /// What [`Self::retain`] would do for reasons of age, run by run, and how large the file is now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn would_retain(
        &self,
        retention: &Retention,
        clock: i64,
    ) -> Result<(Vec<(RunAge, Keep)>, Retained)> {
        let runs = self.run_ages().await?;
        let (now, belief) = self.believed(&runs, clock).await?;
        let mut would = Retained {
            bytes: self.bytes_in_use().await?,
            annotations: self.annotations_before(retention.keeps_annotations_from(now)).await?,
            doubts_clock: belief.doubted_since.is_some(),
            ..Retained::default()
        };
        let mut kept = Vec::new();
        for run in runs {
            let keep = retention.keep(&run, now);
            match keep {
                Keep::Nothing => would.deleted.push(run.id.clone()),
                Keep::From { seconds, minutes } => {
                    would.to_minutes += self.seconds_before(&run, 1, seconds).await?;
                    would.to_hours += self.seconds_before(&run, 60, minutes).await?;
                }
            }
            kept.push((run, keep));
        }
        Ok((kept, would))
    }

    /// Where a size is given, only until the file is that small. Whether the run is still there.
    async fn retain_run(
        &self,
        run: &RunAge,
        keep: Keep,
        until: Option<u64>,
        done: &mut Retained,
    ) -> Result<bool> {
        match keep {
            Keep::Nothing => {
                if self.forget(run).await? {
                    done.deleted.push(run.id.clone());
                    return Ok(false);
                }
            }
            Keep::From { seconds, minutes } => {
                done.to_minutes += self.coarsen(run, (1, 60), seconds, until).await?;
                done.to_hours += self.coarsen(run, (60, HOUR), minutes, until).await?;
            }
        }
        Ok(true)
    }

    /// Makes chunks of one resolution before a second those of another.
    async fn coarsen(
        &self,
        run: &RunAge,
        (from, to): (i64, i64),
        before: i64,
        until: Option<u64>,
    ) -> Result<u64> {
        if before == 0 || self.seconds_before(run, from, before).await? == 0 {
            return Ok(0);
        }
        let coarsener = Coarsener::of(self, run.number).await?;
        let mut moved = 0;
        while until.is_none() || !self.fits(until).await? {
            let Some(seconds) = coarsener.next(self, from, to, before).await? else { break };
            moved += seconds;
        }
        Ok(moved)
    }

    /// How many seconds of a run are kept at a resolution before a second.
    async fn seconds_before(&self, run: &RunAge, resolution: i64, before: i64) -> Result<u64> {
        let seconds: Option<i64> = sqlx::query_scalar(
            "SELECT CAST(sum(last_second - first_second + 1) AS BIGINT) FROM chunks \
             WHERE run = $1 AND resolution = $2 AND first_second < $3",
        )
        .bind(run.number)
        .bind(resolution)
        .bind(before)
        .fetch_one(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(seconds.unwrap_or(0).cast_unsigned())
    }

    /// Deletes the oldest runs that have ended until the file fits.
    async fn make_room(&self, runs: &[RunAge], size: Option<u64>, done: &mut Retained) -> Result<()> {
        for run in runs.iter().filter(|run| run.has_ended) {
            if self.fits(size).await? {
                break;
            }
            if self.forget(run).await? {
                done.deleted.push(run.id.clone());
            }
        }
        Ok(())
    }

    /// Deletes a run that has ended, at once: by then it is hours, or as coarse as it gets. Whether it was still there.
    async fn forget(&self, run: &RunAge) -> Result<bool> {
        let deleted = sqlx::query("DELETE FROM runs WHERE run = $1 AND status IS NOT NULL")
            .bind(run.number)
            .execute(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        if deleted.rows_affected() > 0 {
            self.forget_rows(&run.id).await;
        }
        Ok(deleted.rows_affected() > 0)
    }

    /// Every run, the first recorded first.
    async fn run_ages(&self) -> Result<Vec<RunAge>> {
        let failed = |error| self.failed(error);
        let rows = sqlx::query(
            "SELECT run, id, max(started_at) OVER (ORDER BY run) AS began, last_second, CASE WHEN status IS NULL THEN 0 ELSE 1 END AS ended \
             FROM runs ORDER BY run",
        )
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        let age = |row: &SqlRow| {
            Ok(RunAge {
                id: row.try_get("id")?,
                began: row.try_get("began")?,
                seconds: row
                    .try_get::<Option<i64>, _>("last_second")?
                    .map_or(0, |last| last.saturating_add(1)),
                has_ended: row.try_get::<i64, _>("ended")? != 0,
                number: row.try_get("run")?,
            })
        };
        rows.iter().map(age).collect::<std::result::Result<_, _>>().map_err(failed)
    }

    async fn believed(&self, runs: &[RunAge], clock: i64) -> Result<(i64, Belief)> {
        let known: Option<(i64, Option<i64>)> =
            sqlx::query_as("SELECT believed_at, doubted_since FROM retention WHERE one = 1")
                .fetch_optional(self.pool())
                .await
                .map_err(|error| self.failed(error))?;
        let newest = |run: &RunAge| run.began.saturating_add(run.seconds.saturating_mul(NANOS));
        let newest = runs.iter().map(newest).max().unwrap_or(clock);
        Ok(believe(clock, newest, known.map(|(at, doubted_since)| Belief { at, doubted_since })))
    }

    async fn remember(&self, belief: Belief) -> Result<()> {
        sqlx::query(
            "INSERT INTO retention (one, believed_at, doubted_since) VALUES (1, $1, $2) ON CONFLICT (one) DO UPDATE \
             SET believed_at = excluded.believed_at, doubted_since = excluded.doubted_since",
        )
            .bind(belief.at)
            .bind(belief.doubted_since)
            .execute(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// How much of the file holds something.
    async fn bytes_in_use(&self) -> Result<u64> {
        let bytes: i64 = sqlx::query_scalar(match self.kind() {
            Kind::Sqlite => {
                "SELECT (pages.page_count - free.freelist_count) * size.page_size \
                 FROM pragma_page_count AS pages, pragma_freelist_count AS free, pragma_page_size AS size"
            }
            // What is deleted gives its space back at some later time, so that only what is packed is counted.
            Kind::Postgres => {
                "SELECT CAST(coalesce((SELECT sum(octet_length(data)) FROM chunks), 0) \
                 + coalesce((SELECT sum(octet_length(data)) FROM course), 0) AS BIGINT)"
            }
        })
        .fetch_one(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(bytes.cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_NANOS: i64 = 86_400 * NANOS;

    fn run(began_day: i64, seconds: i64, has_ended: bool) -> RunAge {
        RunAge { id: "r".into(), began: began_day * DAY_NANOS, seconds, has_ended, number: 1 }
    }

    #[test]
    fn what_is_kept_depends_on_when_it_was_recorded() {
        let retention = Retention::default();
        let keep = |run: RunAge, day: i64| retention.keep(&run, day * DAY_NANOS);
        let from =
            |seconds: i64, minutes: i64| Keep::From { seconds: seconds * 86_400, minutes: minutes * 86_400 };
        assert_eq!(keep(run(100, 60, true), 100), from(0, 0));
        assert_eq!(keep(run(100, 60, true), 107), from(0, 0));
        assert_eq!(keep(run(100, 60, true), 108), from(1, 0));
        // Of a run of months the old part only.
        assert_eq!(keep(run(0, 100 * 86_400, false), 100), from(93, 10));
        assert_eq!(keep(run(0, 60, true), 730), from(723, 640));
        assert_eq!(keep(run(0, 60, true), 731), Keep::Nothing);
        assert_eq!(keep(run(0, 60, false), 731), from(724, 641), "a run that goes on is never deleted");
        assert_eq!(keep(run(100, 60, true), 0), from(0, 0), "nothing is old for a clock that went back");
    }

    #[test]
    fn a_retention_that_contradicts_itself_is_refused() {
        let default = Retention::default();
        assert_eq!(default.check(), Ok(()));
        let check = |retention: Retention| retention.check().unwrap_err();
        assert_eq!(
            check(Retention { seconds: Duration::from_secs(3599), ..default }),
            MalformedRetention::Seconds
        );
        let order = |finer, coarser| MalformedRetention::Order { finer, coarser };
        assert_eq!(check(Retention { minutes: DAY, ..default }), order("seconds", "minutes"));
        assert_eq!(check(Retention { hours: 80 * DAY, ..default }), order("minutes", "hours"));
        assert_eq!(check(Retention { size: Some(9_999_999), ..default }), MalformedRetention::Size);
    }

    #[test]
    fn halving_ends() {
        let mut retention = Retention::default();
        let mut times = 0;
        while let Some(halved) = retention.halved() {
            assert_eq!(halved.check(), Ok(()));
            (retention, times) = (halved, times + 1);
        }
        assert_eq!((retention.seconds, retention.minutes, times), (LEAST_SECONDS, DAY, 8));
    }

    #[test]
    fn a_leap_of_the_clock_is_believed_after_a_day() {
        let day = |day: i64| day * DAY_NANOS;
        let known = |at, doubted_since| Some(Belief { at: day(at), doubted_since });
        let now = |clock, newest, known| believe(day(clock), day(newest), known);
        assert_eq!(now(100, 90, None).0, day(90), "nothing is older than the newest says");
        assert_eq!(now(101, 101, known(100, None)).0, day(101));
        assert_eq!(now(50, 101, known(100, None)), (day(50), Belief { at: day(100), doubted_since: None }));
        // A year ahead, and what is recorded then says so too.
        let (at, belief) = now(465, 465, known(100, None));
        assert_eq!((at, belief.doubted_since), (day(100), Some(day(465))));
        let (at, belief) = believe(day(465) + DAY_NANOS / 2, day(466), Some(belief));
        assert_eq!((at, belief.doubted_since), (day(100), Some(day(465))));
        let (at, back) = now(101, 466, Some(belief));
        assert_eq!((at, back.doubted_since), (day(101), None), "the clock was put right");
        let (at, belief) = now(466, 466, Some(belief));
        assert_eq!((at, belief.doubted_since), (day(466), None));
    }
}
