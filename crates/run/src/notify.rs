//! Who is told what has happened: the settings of `notify`, whoever reads them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::Secret;

/// Who is told what has happened, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifySettings {
    /// Who is told; their names are unique.
    pub receivers: Vec<NotifyReceiver>,
    /// Where the service's pages are, without a slash at the end: what messages link to.
    pub link: Option<String>,
    /// For how long breaches are gathered before an outage is told.
    pub gather: Duration,
    /// For how long everything is well before an outage is said to be over.
    pub settle: Duration,
}

impl NotifySettings {
    /// For how long breaches are gathered where nothing is said: what breaks together is found within seconds.
    pub const GATHER: Duration = Duration::from_secs(5);
    /// For how long all has to be well where nothing is said: what comes back sooner was not over.
    pub const SETTLE: Duration = Duration::from_secs(30);
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self { receivers: Vec::new(), link: None, gather: Self::GATHER, settle: Self::SETTLE }
    }
}

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyReceiver {
    /// What people call it.
    pub name: String,
    /// Of what it is told.
    pub on: BTreeSet<Occasion>,
    /// The most messages within any hour; at least one. Recoveries of what was told come on top.
    pub at_most: u32,
    /// How it is told.
    pub channel: NotifyChannel,
}

impl NotifyReceiver {
    /// The most messages within an hour where nothing is said.
    pub const AT_MOST: u32 = 30;
}

/// Something that somebody may want to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occasion {
    /// A run or a search failed, or a report was not made.
    Failure,
    /// Something became worse than it was.
    Regression,
    /// A run went well, or a report was made.
    Success,
    /// A promise is being broken.
    Breach,
    /// It is kept again.
    Recovery,
    /// A search found a limit, or a service comes near its own.
    Capacity,
}

impl Occasion {
    /// Every occasion.
    pub const ALL: [Self; 6] =
        [Self::Failure, Self::Regression, Self::Success, Self::Breach, Self::Recovery, Self::Capacity];

    /// Those that are told where nothing is said: what somebody has to look at, and that it is over.
    pub const USUAL: [Self; 4] = [Self::Failure, Self::Regression, Self::Breach, Self::Recovery];

    /// Its word in settings.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Regression => "regression",
            Self::Success => "success",
            Self::Breach => "breach",
            Self::Recovery => "recovery",
            Self::Capacity => "capacity",
        }
    }

    /// The words of all, in their order.
    pub const LABELS: [&'static str; 6] = [
        Self::ALL[0].label(),
        Self::ALL[1].label(),
        Self::ALL[2].label(),
        Self::ALL[3].label(),
        Self::ALL[4].label(),
        Self::ALL[5].label(),
    ];

    /// The occasion with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|occasion| occasion.label() == label)
    }
}

/// How somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyChannel {
    /// A Slack incoming webhook.
    Slack {
        /// Whoever knows it may write there.
        url: Secret,
    },
    /// A workflow of Microsoft Teams that takes cards.
    Teams {
        /// Whoever knows it may write there.
        url: Secret,
    },
    /// The Events API of PagerDuty, version 2.
    PagerDuty {
        /// Where events go.
        url: Secret,
        /// The integration key of a service.
        routing_key: Secret,
    },
    /// A webhook that is signed as Standard Webhooks says.
    Webhook {
        /// Where it goes.
        url: Secret,
        /// What it is signed with (`whsec_` and base64), each giving a signature; at least one.
        secrets: Vec<Secret>,
        /// Sent with it: names in lower case and values.
        headers: Vec<(String, Secret)>,
    },
    /// Mail over SMTP.
    Email(EmailSettings),
}

impl NotifyChannel {
    /// Its key in settings.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Webhook { .. } => "webhook",
            Self::Email(_) => "email",
        }
    }
}

/// Mail over SMTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailSettings {
    /// The host of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way there is covered.
    pub tls: MailTls,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// The address it comes from.
    pub from: String,
    /// The addresses it goes to; at least one.
    pub to: Vec<String>,
}

/// How the way to a mail server is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MailTls {
    /// The connection begins in the clear and must become TLS before anything is said.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// Not at all. Only ever by explicit word.
    None,
}

impl MailTls {
    /// The port where nothing is said.
    pub fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_means_its_occasion() {
        for occasion in Occasion::ALL {
            assert_eq!(Occasion::from_label(occasion.label()), Some(occasion));
        }
        assert_eq!(Occasion::LABELS, Occasion::ALL.map(Occasion::label));
        assert_eq!(Occasion::from_label("always"), None);
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let channel = NotifyChannel::Webhook {
            url: Secret::new("https://h.example/xyzzy"),
            secrets: vec![Secret::new("whsec_xyzzy")],
            headers: vec![("x-token".to_owned(), Secret::new("xyzzy"))],
        };
        assert!(!format!("{channel:?}").contains("xyzzy"));
    }
}
