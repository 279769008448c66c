//! `plimsoll serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use plimsoll_notify::Notifier;
use plimsoll_run::{ExitCode, NotifySettings};
use plimsoll_service::{Config, Promises, Service};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::arguments::{HistoryArgument, ServeArguments};
use crate::{Outcome, Stop, files, notify, plan, signals, sla};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7700);

/// `config/plimsoll.yaml` as typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    listen: Option<String>,
    history: Option<String>,
    #[serde(default)]
    sla: Vec<PathBuf>,
    /// Read by itself, as a plan's is.
    #[serde(rename = "notify")]
    _notify: Option<serde::de::IgnoredAny>,
}

/// The service's configuration as meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServeConfig {
    listen: Option<SocketAddr>,
    history: Option<PathBuf>,
    /// Files of SLAs, from where the configuration is.
    slas: Vec<PathBuf>,
}

impl ServeConfig {
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
        Ok(Self { listen, history, slas: raw.sla })
    }
}

fn history(text: &str) -> anyhow::Result<PathBuf> {
    let path = text.strip_prefix("sqlite:").unwrap_or(text);
    if path.is_empty() || text.contains("://") {
        return Err(anyhow!("history: `{text}` is not a record this version can open; write `sqlite:PATH`"));
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
    let listen = arguments.listen.or(config.listen).unwrap_or(LISTEN);
    let history = HistoryArgument { history: arguments.history.history.or(config.history) };
    let history = files::history(&history).await?;
    let _lock = history.lock_service().map_err(Stop::usage)?;
    let notifier = receivers.map(Notifier::start).transpose().map_err(Stop::usage)?;
    let teller = notifier.as_ref().map(Notifier::teller);
    let service = Service::bind(Config { listen, history: history.clone(), promises, teller })
        .await
        .map_err(Stop::usage)?;
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let _signals = signals::on_interrupt(move || stopper.cancel()).map_err(Stop::internal)?;
    crate::say::outln!("listening on http://{}", service.addr());
    crate::say::errln!("history  {}", history.path().display());
    if judged > 0 {
        crate::say::errln!("SLAs     {judged}");
    }
    let served = service.run(stop).await;
    if let Some(notifier) = notifier {
        notify::finish(notifier).await;
    }
    served.map_err(Stop::internal)?;
    Ok(ExitCode::Success)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_configuration_parses() {
        for text in [
            include_str!("../../../config/plimsoll.yaml"),
            include_str!("../../../config/compose/plimsoll.yaml"),
        ] {
            let config = ServeConfig::parse(text).unwrap();
            assert!(config.listen.is_some(), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_what_is_allowed() {
        for (text, told) in [
            ("listen: here", "write `127.0.0.1:7700`"),
            ("history: postgres://db/plimsoll", "write `sqlite:PATH`"),
            ("lissten: 127.0.0.1:1", "lissten"),
            ("listen: [", ""),
            ("sla: 7", ""),
        ] {
            let error = ServeConfig::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert_eq!(ServeConfig::parse("").unwrap(), ServeConfig::default());
        assert_eq!(
            ServeConfig::parse("history: sqlite:/tmp/h.db").unwrap().history,
            Some("/tmp/h.db".into())
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = ServeConfig::parse(&text);
        }
    }
}
