use std::collections::BTreeMap;

use super::DurationShorthand;

/// A value of whatever form: connection details, queries.
pub type Free = serde_json::Value;

/// A word of a closed set.
pub trait Word: Copy + 'static {
    /// All words of the set.
    const ALL: &'static [Self];

    /// How it is written.
    fn label(self) -> &'static str;

    /// What a word stands for.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|word| word.label() == text)
    }
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $word:ident = $label:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$of])* $word,)+
        }

        impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$word),+];

            fn label(self) -> &'static str {
                match self { $(Self::$word => $label,)+ }
            }
        }
    };
}

words! {
    /// The kinds of objects.
    Kind {
        /// Where measurements come from.
        DataSource = "DataSource",
        /// A promise.
        Slo = "SLO",
        /// What is measured.
        Sli = "SLI",
        /// When whom to alert.
        AlertPolicy = "AlertPolicy",
        /// When to alert.
        AlertCondition = "AlertCondition",
        /// Whom to alert.
        AlertNotificationTarget = "AlertNotificationTarget",
        /// What promises are about.
        Service = "Service",
    }
}

words! {
    /// How a measurement is compared with a value.
    Operator {
        /// Below.
        Lt = "lt",
        /// At most.
        Lte = "lte",
        /// Above.
        Gt = "gt",
        /// At least.
        Gte = "gte",
    }
}

words! {
    /// What a budget counts.
    BudgetingMethod {
        /// Good events among all events.
        Occurrences = "Occurrences",
        /// Good slices of time among all slices; a slice is good when enough of its events are.
        Timeslices = "Timeslices",
        /// The mean over slices of time of each slice's share of good events.
        RatioTimeslices = "RatioTimeslices",
    }
}

words! {
    /// What a stored ratio is the share of.
    RawType {
        /// Good among total.
        Success = "success",
        /// Bad among total.
        Failure = "failure",
    }
}

words! {
    /// What an alert condition looks at.
    AlertConditionKind {
        /// How many times faster than allowed the budget is used up.
        BurnRate = "burnrate",
    }
}

/// An object of OpenSLO v1.
#[expect(clippy::large_enum_variant, reason = "objects are few, and most are the largest")]
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// Where measurements come from.
    DataSource(Definition<DataSourceSpec>),
    /// A promise.
    Slo(Definition<SloSpec>),
    /// What is measured.
    Sli(Definition<SliSpec>),
    /// When whom to alert.
    AlertPolicy(Definition<AlertPolicySpec>),
    /// When to alert.
    AlertCondition(Definition<AlertConditionSpec>),
    /// Whom to alert.
    AlertNotificationTarget(Definition<AlertNotificationTargetSpec>),
    /// What promises are about.
    Service(Definition<ServiceSpec>),
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::DataSource(_) => Kind::DataSource,
            Self::Slo(_) => Kind::Slo,
            Self::Sli(_) => Kind::Sli,
            Self::AlertPolicy(_) => Kind::AlertPolicy,
            Self::AlertCondition(_) => Kind::AlertCondition,
            Self::AlertNotificationTarget(_) => Kind::AlertNotificationTarget,
            Self::Service(_) => Kind::Service,
        }
    }

    /// What it is called.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::DataSource(of) => &of.metadata,
            Self::Slo(of) => &of.metadata,
            Self::Sli(of) => &of.metadata,
            Self::AlertPolicy(of) => &of.metadata,
            Self::AlertCondition(of) => &of.metadata,
            Self::AlertNotificationTarget(of) => &of.metadata,
            Self::Service(of) => &of.metadata,
        }
    }

    /// Its name, empty where it has none.
    pub fn name(&self) -> &str {
        &self.metadata().name
    }
}

/// What something is called and what it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definition<S> {
    /// What it is called.
    pub metadata: Metadata,
    /// What it is.
    pub spec: S,
}

/// What an object is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Its name, unique among objects of its kind.
    pub name: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// Words to find it by.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Words for programs.
    pub annotations: BTreeMap<String, String>,
}

/// A part that stands where it is needed, or elsewhere under its name: exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part<S> {
    /// The name of the object that says it.
    pub reference: Option<String>,
    /// What is said here.
    pub inline: Option<Inline<S>>,
}

/// A part that stands where it is needed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inline<S> {
    /// What it is; there is one right kind in every place.
    pub kind: Option<Kind>,
    /// What it is called.
    pub metadata: Metadata,
    /// What it is.
    pub spec: S,
}

/// What promises are about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceSpec {
    /// What it is, in words.
    pub description: Option<String>,
}

/// Where measurements come from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataSourceSpec {
    /// What it is, in words.
    pub description: Option<String>,
    /// `Prometheus` and the like; no closed set.
    pub source_type: String,
    /// How to get there, in whatever form the source has.
    pub connection_details: Option<Free>,
}

/// What is measured: exactly one of the two metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SliSpec {
    /// What it is, in words.
    pub description: Option<String>,
    /// A figure that objectives compare with their value.
    pub threshold_metric: Option<MetricSource>,
    /// A share of events.
    pub ratio_metric: Option<RatioMetric>,
}

/// A share of events: `total` with `good` or `bad`, or the ready-made `raw`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RatioMetric {
    /// Whether the metrics are counters, which only grow, or figures of their moment. Means nothing for `raw`.
    pub counter: bool,
    /// Good events.
    pub good: Option<MetricSource>,
    /// Bad events.
    pub bad: Option<MetricSource>,
    /// All events.
    pub total: Option<MetricSource>,
    /// What `raw` is the share of.
    pub raw_type: Option<RawType>,
    /// The share itself.
    pub raw: Option<MetricSource>,
}

/// A query and where it is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricSource {
    /// The name of a data source.
    pub data_source: Option<String>,
    /// `Prometheus` and the like; the data source's where this is left out.
    pub source_type: Option<String>,
    /// The query, in whatever form the source takes.
    pub spec: serde_json::Map<String, Free>,
}

/// A promise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SloSpec {
    /// What it is, in words.
    pub description: Option<String>,
    /// What it is about; the name of a [`Kind::Service`] where there is one.
    pub service: String,
    /// What is measured, said here.
    pub indicator: Option<Definition<SliSpec>>,
    /// What is measured, by name.
    pub indicator_ref: Option<String>,
    /// What the budget counts.
    pub budgeting_method: Option<BudgetingMethod>,
    /// How long the budget lasts: exactly one.
    pub time_window: Vec<TimeWindow>,
    /// What is promised.
    pub objectives: Vec<SloObjective>,
    /// When whom to alert.
    pub alert_policies: Vec<Part<AlertPolicySpec>>,
}

impl SloSpec {
    /// Whether objectives have indicators of their own.
    pub fn is_composite(&self) -> bool {
        self.objectives.iter().any(SloObjective::has_indicator)
    }
}

/// How long a budget lasts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeWindow {
    /// Its length.
    pub duration: Option<DurationShorthand>,
    /// Whether it ends now, always; else it begins where the calendar says.
    pub is_rolling: bool,
    /// When windows begin.
    pub calendar: Option<Calendar>,
}

/// When calendar-aligned windows begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {
    /// `2022-01-01 12:00:00`, on the clocks of the zone.
    pub start_time: String,
    /// A name of the IANA time zone database.
    pub time_zone: String,
}

impl Calendar {
    /// When the first window begins, on the clocks of the zone; `None` where it is no such text.
    pub fn start(&self) -> Option<jiff::civil::DateTime> {
        // Go's layout has two digits for everything but the year; `strptime` would take one.
        let shape = "0000-00-00 00:00:00";
        let fits = self.start_time.len() == shape.len()
            && shape.bytes().zip(self.start_time.bytes()).all(|(shape, found)| match shape {
                b'0' => found.is_ascii_digit(),
                fixed => fixed == found,
            });
        // A leap second is no time of the calendar's.
        let is_minute = fits && !self.start_time.ends_with(":60");
        is_minute.then(|| self.start_time.replacen(' ', "T", 1).parse().ok())?
    }

    /// The zone, out of the data that come with the program; `None` where there is none of that name.
    pub fn zone(&self) -> Option<jiff::tz::TimeZone> {
        let zone = jiff::tz::TimeZoneDatabase::bundled().get(&self.time_zone).ok()?;
        // Zones are found in whatever case; their names are not written so.
        (zone.iana_name() == Some(self.time_zone.as_str())).then_some(zone)
    }
}

/// What an SLO promises.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SloObjective {
    /// What people call it.
    pub display_name: Option<String>,
    /// How a threshold metric is compared with `value`.
    pub op: Option<Operator>,
    /// What a threshold metric is compared with, in the metric's unit.
    pub value: Option<f64>,
    /// The promised share of good, `0.0..1.0`. This or `target_percent`.
    pub target: Option<f64>,
    /// The promised share of good in percent, `0.0..100.0`.
    pub target_percent: Option<f64>,
    /// The share of good events that makes a slice good, above 0 and at most 1.
    pub time_slice_target: Option<f64>,
    /// The length of a slice.
    pub time_slice_window: Option<DurationShorthand>,
    /// What is measured for this objective alone, said here.
    pub indicator: Option<Definition<SliSpec>>,
    /// What is measured for this objective alone, by name.
    pub indicator_ref: Option<String>,
    /// How much it counts among the objectives of a composite.
    pub composite_weight: Option<f64>,
}

impl SloObjective {
    /// Whether it has an indicator of its own.
    pub fn has_indicator(&self) -> bool {
        self.indicator.is_some() || self.indicator_ref.is_some()
    }

    /// The promised share of good, whichever way it is written. A percentage is divided as a decimal:
    /// `99.95` is 0.9995 and nothing beside it.
    pub fn target_ratio(&self) -> Option<f64> {
        self.target.or_else(|| format!("{}e-2", self.target_percent?).parse().ok())
    }
}

/// When whom to alert.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertPolicySpec {
    /// What it is, in words.
    pub description: Option<String>,
    /// Alert where there are no measurements.
    pub alert_when_no_data: bool,
    /// Alert while the condition holds.
    pub alert_when_breaching: bool,
    /// Say when it holds no longer.
    pub alert_when_resolved: bool,
    /// When: exactly one.
    pub conditions: Vec<Part<AlertConditionSpec>>,
    /// Whom: at least one.
    pub notification_targets: Vec<Part<AlertNotificationTargetSpec>>,
}

/// When to alert.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertConditionSpec {
    /// What it is, in words.
    pub description: Option<String>,
    /// How bad that is: `page` and the like; no closed set.
    pub severity: String,
    /// What must hold.
    pub condition: AlertCondition,
}

/// What must hold for an alert.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertCondition {
    /// What it looks at; a burn rate where it is left out.
    pub kind: Option<AlertConditionKind>,
    /// How the burn rate is compared; above the threshold where it is left out.
    pub op: Option<Operator>,
    /// A multiple of the rate that uses the budget up exactly at the end of its window.
    pub threshold: Option<f64>,
    /// The time over which the burn rate is taken.
    pub lookback_window: Option<DurationShorthand>,
    /// How long it must hold; not at all where it is left out.
    pub alert_after: Option<DurationShorthand>,
}

/// Whom to alert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertNotificationTargetSpec {
    /// What it is, in words.
    pub description: Option<String>,
    /// `email`, `slack` and the like; no closed set.
    pub target: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_becomes_the_share_that_was_typed() {
        for (percent, ratio) in [(99.95, 0.9995), (99.99, 0.9999), (0.0, 0.0), (50.0, 0.5), (99.999, 0.99999)]
        {
            let objective = SloObjective { target_percent: Some(percent), ..SloObjective::default() };
            assert_eq!(objective.target_ratio(), Some(ratio), "{percent}");
        }
        assert_eq!(SloObjective::default().target_ratio(), None);
    }

    #[test]
    fn calendars_begin_at_a_time_of_a_zone() {
        for (start_time, is_time) in [
            ("2022-01-01 12:00:00", true),
            ("2024-02-29 23:59:59", true),
            ("2023-02-29 12:00:00", false),
            ("2016-12-31 23:59:60", false),
            ("2022-01-01T12:00:00", false),
            ("2022-01-01", false),
            ("2022-1-1 12:00:00", false),
            ("2022-01-01 24:00:00", false),
            ("", false),
            ("2022-01-01 12:00:0ü", false),
        ] {
            let calendar = Calendar { start_time: start_time.to_owned(), ..Calendar::default() };
            assert_eq!(calendar.start().is_some(), is_time, "{start_time}");
        }
        for (time_zone, is_zone) in [
            ("America/New_York", true),
            ("Europe/Zurich", true),
            ("UTC", true),
            ("america/new_york", false),
            ("New_York", false),
            ("Local", false),
            ("+02:00", false),
            ("", false),
        ] {
            let calendar = Calendar { time_zone: time_zone.to_owned(), ..Calendar::default() };
            assert_eq!(calendar.zone().is_some(), is_zone, "{time_zone}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.label()), Some(*kind));
        }
        assert_eq!(Kind::parse("slo"), None);
    }
}
