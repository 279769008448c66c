//! How long what is kept: as it is written, and `plimsoll runs retain`.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use plimsoll_history::{Keep, Retention};
use plimsoll_run::ExitCode;
use plimsoll_units::{ByteCount, duration};
use serde::Deserialize;

use crate::arguments::RetainArguments;
use crate::serve::ServeConfig;
use crate::{Outcome, Stop, files};

/// `retention` of a configuration as typed.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawRetention {
    Word(String),
    Ages(RawAges),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAges {
    seconds: Option<String>,
    minutes: Option<String>,
    hours: Option<String>,
    size: Option<String>,
}

impl RawRetention {
    /// What it means; `None`: everything is kept.
    pub(crate) fn read(self) -> anyhow::Result<Option<Retention>> {
        match self {
            Self::Word(word) if word == "none" => Ok(None),
            Self::Word(word) => Err(anyhow!(
                "retention: `{word}` is not understood; write `none`, or `seconds`, `minutes`, `hours` and `size`"
            )),
            Self::Ages(ages) => ages.over(Retention::default()).map(Some),
        }
    }
}

impl RawAges {
    fn over(self, mut retention: Retention) -> anyhow::Result<Retention> {
        let age = |name: &str, text: Option<String>, place: &mut Duration| {
            if let Some(text) = text {
                *place = duration::parse(&text).map_err(|error| anyhow!("retention: {name}: {error}"))?;
            }
            Ok::<_, anyhow::Error>(())
        };
        age("seconds", self.seconds, &mut retention.seconds)?;
        age("minutes", self.minutes, &mut retention.minutes)?;
        age("hours", self.hours, &mut retention.hours)?;
        match self.size.as_deref() {
            None => {}
            Some("none") => retention.size = None,
            Some(text) => {
                let ByteCount(size) = text.parse().map_err(|error| anyhow!("retention: size: {error}"))?;
                retention.size = Some(size);
            }
        }
        retention.check().map_err(|error| anyhow!("retention: {error}"))?;
        Ok(retention)
    }
}

/// In words, for whoever starts a service.
pub(crate) fn words(retention: &Retention) -> String {
    let size = retention.size.map_or_else(|| "any size".to_owned(), |size| ByteCount(size).to_string());
    format!(
        "seconds {}, minutes {}, hours {}, {size}",
        duration::format(retention.seconds),
        duration::format(retention.minutes),
        duration::format(retention.hours),
    )
}

pub(crate) async fn retain(arguments: RetainArguments) -> Outcome {
    let RetainArguments { config, seconds, minutes, hours, size, dry_run, history } = arguments;
    let base = match config.as_deref() {
        None => Some(Retention::default()),
        Some(path) => retention_of(path)?,
    };
    let Some(base) = base else {
        crate::say::errln!("the configuration says `retention: none`: everything is kept");
        return Ok(ExitCode::Success);
    };
    let retention = RawAges { seconds, minutes, hours, size }.over(base).map_err(Stop::usage)?;
    let history = files::history(&history).await?;
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let now = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    let (would, done) = match dry_run {
        true => {
            let (runs, would) = history.would_retain(&retention, now).await.map_err(Stop::usage)?;
            for (run, keep) in runs {
                if keep == Keep::Nothing {
                    crate::say::outln!("{}  would be deleted", run.id);
                }
            }
            ("would become", would)
        }
        false => {
            let done = history.retain(&retention, now).await.map_err(Stop::usage)?;
            done.deleted.iter().for_each(|id| crate::say::outln!("{id}  deleted"));
            ("became", done)
        }
    };
    crate::say::errln!("retention  {}", words(&retention));
    crate::say::outln!(
        "{} s {would} minutes, {} s hours; the history has {}",
        done.to_minutes,
        done.to_hours,
        ByteCount(done.bytes)
    );
    if done.annotations > 0 {
        let (count, were) = (done.annotations, if dry_run { "would be" } else { "were" });
        crate::say::outln!("{count} alerts that others told {were} deleted");
    }
    if done.halved > 0 {
        crate::say::errln!(
            "ages of seconds and minutes were halved {} times to keep to the size",
            done.halved
        );
    }
    if let Some(size) = retention.kept_within().filter(|size| done.bytes > *size) {
        let more = ByteCount(done.bytes - size);
        crate::say::errln!(
            "that is {more} more than 95% of `size`: ages of seconds and minutes are halved until it fits, then the oldest runs go"
        );
    }
    if done.doubts_clock {
        crate::say::errln!(
            "the clock is days ahead of what was recorded before: nothing is old by it until it has been so for a day"
        );
    }
    Ok(ExitCode::Success)
}

fn retention_of(path: &Path) -> Result<Option<Retention>, Stop> {
    ServeConfig::read(path).map(ServeConfig::retention)
}
