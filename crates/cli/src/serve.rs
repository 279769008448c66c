//! `plimsoll serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use plimsoll_history::Retention;
use plimsoll_notify::Notifier;
use plimsoll_run::{ExitCode, NotifySettings};
use plimsoll_service::{Ceilings, Config, Plans, Promises, Pulse, Reach, ReadPlan, Schedule, Service};
use plimsoll_units::Rate;
use sd_notify::NotifyState;
use serde::Deserialize;
use serde_saphyr::Spanned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::access::{RawAccess, RawAuth, RawLimits, RawTls};
use crate::arguments::{HistoryArgument, ServeArguments};
use crate::plan::Changes;
use crate::retain::RawRetention;
use crate::schedules::{self, RawSchedule};
use crate::{Outcome, Stop, files, notify, plan, retain, signals, sla};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7700);

/// `config/plimsoll.yaml` as typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    listen: Option<String>,
    history: Option<String>,
    #[serde(default)]
    sla: Vec<PathBuf>,
    retention: Option<RawRetention>,
    /// Read by itself, as a plan's is.
    #[serde(rename = "notify")]
    _notify: Option<serde::de::IgnoredAny>,
    auth: Option<RawAuth>,
    tls: Option<RawTls>,
    #[serde(default)]
    hosts: Vec<String>,
    metrics: Option<String>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    targets: Vec<String>,
    plans: Option<PathBuf>,
    #[serde(default)]
    schedules: Vec<Spanned<RawSchedule>>,
    reports: Option<PathBuf>,
    ceilings: Option<RawCeilings>,
    edit_plans: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCeilings {
    rate: Option<String>,
    users: Option<u32>,
    runs: Option<u32>,
}

/// The service's configuration as meant.
#[derive(Debug)]
pub(crate) struct ServeConfig {
    listen: Option<SocketAddr>,
    history: Option<PathBuf>,
    /// Files of SLAs, from where the configuration is.
    slas: Vec<PathBuf>,
    /// The folder of plans, from where the configuration is.
    plans: Option<PathBuf>,
    schedules: Vec<Schedule>,
    /// Where reports that schedules make go, from where the configuration is.
    reports: Option<PathBuf>,
    ceilings: Ceilings,
    /// Whether plans may not be changed over HTTP.
    has_fixed_plans: bool,
    /// Who may ask, as typed.
    access: RawAccess,
    /// How long what is kept; `None`: for ever.
    retention: Option<Retention>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: None,
            history: None,
            slas: Vec::new(),
            plans: None,
            schedules: Vec::new(),
            reports: None,
            ceilings: Ceilings::default(),
            has_fixed_plans: false,
            access: RawAccess::default(),
            retention: Some(Retention::default()),
        }
    }
}

impl ServeConfig {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Stop> {
        std::fs::read_to_string(path)
            .map_err(anyhow::Error::new)
            .and_then(|text| Self::parse(&text))
            .with_context(|| path.display().to_string())
            .map_err(Stop::usage)
    }

    /// How long what is kept; `None`: for ever.
    pub(crate) fn retention(self) -> Option<Retention> {
        self.retention
    }

    /// Reads a configuration. The error says where and what is allowed.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let raw: Raw = serde_saphyr::from_str(text).map_err(|error| anyhow!("{error}"))?;
        let listen = raw
            .listen
            .map(|text| {
                text.parse()
                    .map_err(|_| anyhow!("listen: `{text}` is not an address; write `127.0.0.1:7700`"))
            })
            .transpose()?;
        let history = raw.history.map(|text| history(&text)).transpose()?;
        let schedules = schedules::read(raw.schedules, raw.reports.is_some())?;
        if raw.plans.is_none() && !schedules.is_empty() {
            return Err(anyhow!("schedules: without `plans`, the folder of plans, nothing can be started"));
        }
        if raw.plans.is_none() && raw.reports.is_some() {
            return Err(anyhow!(
                "reports: without `plans`, the folder of plans, nothing is started that makes one"
            ));
        }
        let ceilings = raw.ceilings.map(ceilings).transpose()?.unwrap_or_default();
        let has_fixed_plans = raw.edit_plans == Some(false);
        let (auth, tls, hosts) = (raw.auth, raw.tls, raw.hosts);
        let (metrics, limits, targets) = (raw.metrics, raw.limits, raw.targets);
        let access = RawAccess { auth, tls, hosts, metrics, limits, targets };
        let retention = raw.retention.map_or_else(|| Ok(Some(Retention::default())), RawRetention::read)?;
        Ok(Self {
            listen,
            history,
            slas: raw.sla,
            plans: raw.plans,
            schedules,
            reports: raw.reports,
            ceilings,
            has_fixed_plans,
            access,
            retention,
        })
    }
}

fn ceilings(raw: RawCeilings) -> anyhow::Result<Ceilings> {
    let rate = raw
        .rate
        .map(|text| text.parse::<Rate>().map_err(|error| anyhow!("ceilings: rate: {error}")))
        .transpose()?;
    let runs = raw.runs.unwrap_or(Ceilings::default().runs);
    if runs == 0 {
        return Err(anyhow!("ceilings: runs: with 0 nothing could ever be started; write 1 or more"));
    }
    Ok(Ceilings { rate: rate.map(Rate::per_second), users: raw.users, runs })
}

/// How the service reads plans: as `plimsoll run` does.
fn read_plan() -> ReadPlan {
    ReadPlan::new(|name, text, folder, reach| match reach {
        Reach::Anywhere => plan::read(name, text, folder, Changes::default()),
        Reach::Folder => plan::read_within(name, text, folder),
    })
}

fn history(text: &str) -> anyhow::Result<PathBuf> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(text.into());
    }
    let path = text.strip_prefix("sqlite:").unwrap_or(text);
    if path.is_empty() || text.contains("://") {
        let scheme = text.split_once(':').map_or(text, |(scheme, _)| scheme);
        return Err(anyhow!(
            "history: this version cannot open `{scheme}:`; write `sqlite:PATH` or `postgres://USER@HOST/DATABASE`"
        ));
    }
    Ok(path.into())
}

/// What the files of SLAs promise, and where the events come from.
fn promises(files: &[PathBuf]) -> Result<Promises, Stop> {
    let (documents, slas) = sla::promises(files)?;
    let connections = sla::connections(&documents, |name| std::env::var(name).ok()).map_err(Stop::usage)?;
    Ok(Promises { slas, connections })
}

pub(crate) async fn serve(arguments: ServeArguments) -> Outcome {
    let (config, receivers) = match &arguments.config {
        None => (ServeConfig::default(), None),
        Some(path) => configuration(path)?,
    };
    let beside = arguments.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let files: Vec<PathBuf> = config.slas.iter().map(|file| beside.join(file)).collect();
    let promises = promises(&files)?;
    let judged = promises.slas.len();
    let access = config.access.meant(beside).map_err(Stop::usage)?;
    let plans = match &config.plans {
        Some(folder) => Some(Plans {
            folder: std::path::absolute(beside.join(folder)).map_err(Stop::usage)?,
            read: read_plan(),
            schedules: schedules::placed(config.schedules.clone(), beside)?,
            reports: config
                .reports
                .as_ref()
                .map(|folder| schedules::reports(&beside.join(folder)))
                .transpose()?,
            ceilings: config.ceilings,
            targets: access.targets.clone(),
            program: std::env::current_exe().map_err(Stop::internal)?,
            is_editable: !config.has_fixed_plans,
        }),
        None => None,
    };
    let listen = arguments.listen.or(config.listen).unwrap_or(LISTEN);
    let history = HistoryArgument { history: arguments.history.history.or(config.history) };
    let history = files::history(&history).await?;
    let mut lock = history.lock_service().await.map_err(Stop::usage)?;
    let tested = receivers.clone().unwrap_or_default();
    let notifier = receivers.map(Notifier::start).transpose().map_err(Stop::usage)?;
    let teller = notifier.as_ref().map(Notifier::teller);
    let shown = config.plans.as_ref().map(|plans| (beside.join(plans), config.schedules.len()));
    let reports = config.reports.as_ref().map(|folder| beside.join(folder));
    let kept = config.retention.as_ref().map_or_else(|| "everything".to_owned(), retain::words);
    let retention = config.retention;
    let config = Config { listen, history: history.clone(), promises, teller, plans, access };
    let service = Service::bind(config).await.map_err(Stop::usage)?.retaining(retention).telling(tested);
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let _signals = signals::on_interrupt(move || {
        tell_supervisor(NotifyState::Stopping);
        stopper.cancel();
    })
    .map_err(Stop::internal)?;
    let scheme = if service.is_secure() { "https" } else { "http" };
    crate::say::outln!("listening on {scheme}://{}", service.addr());
    crate::say::errln!("history  {}", history.path().display());
    crate::say::errln!("kept     {kept}");
    if judged > 0 {
        crate::say::errln!("SLAs     {judged}");
    }
    if let Some((plans, schedules)) = shown {
        crate::say::errln!("plans    {}, {schedules} schedules", plans.display());
    }
    if let Some(reports) = reports {
        crate::say::errln!("reports  {}", reports.display());
    }
    let supervised = tokio::spawn(supervise(service.pulse()));
    let lost = {
        let mut running = std::pin::pin!(service.run(stop.clone()));
        tokio::select! {
            () = &mut running => None,
            error = lock.lost() => {
                stop.cancel();
                running.await;
                Some(error)
            }
        }
    };
    supervised.abort();
    if let Some(notifier) = notifier {
        notify::finish(notifier).await;
    }
    match lost {
        None => Ok(ExitCode::Success),
        Some(error) => Err(Stop::internal(error)),
    }
}

/// What a file says, and who is told by it.
fn configuration(path: &Path) -> Result<(ServeConfig, Option<NotifySettings>), Stop> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(anyhow::Error::new);
    let text = text.with_context(|| name.clone()).map_err(Stop::usage)?;
    let config = ServeConfig::parse(&text).with_context(|| name.clone()).map_err(Stop::usage)?;
    let receivers = plan::notify(&name, text)?;
    Ok((config, receivers))
}

/// Tells systemd, where it started us, that the service is ready, and while its looks at the record go on, that it lives.
async fn supervise(mut pulse: watch::Receiver<Pulse>) {
    if pulse.wait_for(|pulse| pulse.is_ready).await.is_err() {
        return;
    }
    tell_supervisor(NotifyState::Ready);
    // As often as the manual of sd_watchdog_enabled asks: twice in the time after which it gives us up.
    let Some(every) = sd_notify::watchdog_enabled().map(|time| time / 2).filter(|every| !every.is_zero())
    else {
        return;
    };
    let mut ticks = tokio::time::interval(every);
    let mut seen = 0;
    loop {
        ticks.tick().await;
        let looks = pulse.borrow().looks;
        if looks > seen {
            tell_supervisor(NotifyState::Watchdog);
        }
        seen = looks;
    }
}

fn tell_supervisor(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_service::{Job, Missed, Overlap, When};

    use super::*;

    #[test]
    fn every_shipped_configuration_parses() {
        for text in [
            include_str!("../../../config/plimsoll.yaml"),
            include_str!("../../../config/compose/plimsoll.yaml"),
        ] {
            let config = ServeConfig::parse(text).unwrap();
            assert_eq!(config.retention, Some(Retention::default()), "what is shipped says the defaults");
            let access = config.access.meant(Path::new("")).unwrap();
            access.check(config.listen.unwrap()).unwrap();
        }
    }

    #[test]
    fn mistakes_are_told_with_what_is_allowed() {
        for (text, told) in [
            ("listen: here", "write `127.0.0.1:7700`"),
            (
                "history: mysql://ann:hush@db/plimsoll",
                "cannot open `mysql:`; write `sqlite:PATH` or `postgres://",
            ),
            ("lissten: 127.0.0.1:1", "lissten"),
            ("listen: [", ""),
            ("sla: 7", ""),
            ("schedules: [{ name: a, plan: b, when: continuous }]", "without `plans`"),
            ("reports: r", "without `plans`"),
            ("ceilings: { rate: fast }", "ceilings: rate"),
            ("ceilings: { runs: 0 }", "1 or more"),
            ("retention: all", "write `none`"),
            ("retention: { seconds: 7 }", "seconds"),
            ("retention: { seconds: 1m }", "`seconds` must be an hour or longer"),
            ("retention: { minutes: 1d }", "`seconds` must not be longer than `minutes`"),
            ("retention: { size: 1MB }", "`size` must be 10MB or more"),
            ("retention: { weeks: 3w }", ""),
        ] {
            let error = ServeConfig::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        let unsaid = ServeConfig::parse("").unwrap();
        assert_eq!((unsaid.listen, unsaid.retention), (None, Some(Retention::default())));
        assert_eq!(ServeConfig::parse("retention: none").unwrap().retention, None);
        let some = ServeConfig::parse("retention: { seconds: 6h, size: none }").unwrap().retention.unwrap();
        let seconds = std::time::Duration::from_secs(6 * 3600);
        assert_eq!(some, Retention { seconds, size: None, ..Retention::default() });
        assert_eq!(
            ServeConfig::parse("history: sqlite:/tmp/h.db").unwrap().history,
            Some("/tmp/h.db".into())
        );
    }

    #[test]
    fn schedules_and_ceilings_are_read() {
        let text = "plans: plans\nceilings: { rate: 60/min, users: 5 }\nschedules:\n  \
                    - { name: nightly, plan: stress.yaml, when: \"0 2 * * *\", zone: Europe/Berlin, overlap: queue, missed: once }\n  \
                    - { name: all-day, plan: shop, when: continuous }\n";
        let config = ServeConfig::parse(text).unwrap();
        assert_eq!(config.ceilings, Ceilings { rate: Some(1.0), users: Some(5), runs: 4 });
        let [nightly, all_day] = &config.schedules[..] else { panic!("{:?}", config.schedules) };
        assert_eq!((nightly.name.as_str(), &nightly.job), ("nightly", &Job::Plan("stress".to_owned())));
        assert_eq!(nightly.when.to_string(), "0 2 * * * Europe/Berlin");
        assert_eq!((nightly.overlap, nightly.missed), (Overlap::Queue, Missed::Once));
        assert_eq!((all_day.overlap, all_day.missed), (Overlap::Skip, Missed::Skip));
        assert!(matches!(all_day.when, When::Continuous));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = ServeConfig::parse(&text);
        }
    }
}
