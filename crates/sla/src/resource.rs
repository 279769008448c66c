//! Figures of what the target and its machine use, as objectives name and bound them.

mod tracker;

use std::fmt;
use std::time::Duration;

use plimsoll_measure::ResourceUnit;
use plimsoll_units::{ByteCount, Quantile, Rate, duration};

pub(crate) use tracker::ResourceTracker;

/// A figure of a resource as an objective names it: `memory`, of a certain source `shop.memory`, with labels
/// `shop.http_connections{pool="db"}`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResourceName {
    text: [u8; Self::LONGEST],
    length: u8,
    /// Bytes of the source before the dot; 0 where none is named.
    source: u8,
}

impl ResourceName {
    /// The most bytes.
    pub const LONGEST: usize = 120;

    /// The name of a figure, of any source that has it or of one; `None` where it cannot be one: a part is empty, the
    /// source has one of `(){}"`, or all of it is longer than [`Self::LONGEST`].
    pub fn new(source: Option<&str>, figure: &str) -> Option<Self> {
        let no_source = |text: &str| text.is_empty() || text.contains(['(', ')', '{', '}', '"']);
        let base = figure.split('{').next().unwrap_or_default();
        let no_figure = base.is_empty() || base.contains(['(', ')', '.', ',', '"']);
        if source.is_some_and(no_source) || no_figure || base.contains(char::is_whitespace) {
            return None;
        }
        let whole = source.map_or_else(|| figure.to_owned(), |source| format!("{source}.{figure}"));
        let mut text = [0; Self::LONGEST];
        text.get_mut(..whole.len())?.copy_from_slice(whole.as_bytes());
        Some(Self { text, length: whole.len() as u8, source: source.map_or(0, str::len) as u8 })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        // It was copied from a text.
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or_default()
    }

    /// The source, where one is named.
    pub fn source(&self) -> Option<&str> {
        (self.source > 0).then(|| &self.as_str()[..usize::from(self.source)])
    }

    /// The figure, labels and all.
    pub fn figure(&self) -> &str {
        let start = if self.source > 0 { usize::from(self.source) + 1 } else { 0 };
        &self.as_str()[start..]
    }

    /// The figure without labels.
    pub fn base(&self) -> &str {
        self.figure().split('{').next().unwrap_or_default()
    }

    /// Whether it may mean figures of this source.
    pub fn is_of(&self, source: &str) -> bool {
        self.source().is_none_or(|own| own == source)
    }

    /// Which of the figures of a source it means: the one with just this name; else, where it has no labels, the one
    /// of this name that has some.
    pub fn among<'n>(&self, figures: impl Iterator<Item = &'n str> + Clone) -> Among {
        if let Some(at) = figures.clone().position(|name| name == self.figure()) {
            return Among::One(at);
        }
        let labelled =
            |name: &str| name.strip_prefix(self.figure()).is_some_and(|rest| rest.starts_with('{'));
        let mut all = figures.enumerate().filter(|(_, name)| labelled(name)).map(|(at, _)| at);
        match (all.next(), all.next()) {
            (None, _) => Among::None,
            (Some(at), None) => Among::One(at),
            (Some(one), Some(other)) => Among::Several(one, other),
        }
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Which of several figures a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// None of them.
    None,
    /// The one at this place.
    One(usize),
    /// These two and perhaps more: it has to say which.
    Several(usize, usize),
}

/// What an objective may look at in a figure of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfResource {
    /// A quantile of its readings.
    Quantile(Quantile),
    /// Their mean.
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The last.
    Last,
    /// Whether it grows without end. It takes the course of the figure beside the load: an [`crate::Evaluator`] finds it
    /// inconclusive, and whoever has the course judges it.
    Leak,
}

impl fmt::Display for OfResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantile(quantile) => quantile.fmt(f),
            Self::Mean => f.write_str("mean"),
            Self::Max => f.write_str("max"),
            Self::Min => f.write_str("min"),
            Self::Last => f.write_str("last"),
            Self::Leak => f.write_str("leak"),
        }
    }
}

/// What a figure with this name, labels and all, is counted in; of a metric as its name tells.
pub(crate) fn unit_of(name: &ResourceName) -> ResourceUnit {
    let base = name.base();
    let by_name = || ResourceUnit::of_metric(base, ResourceUnit::counts_by_name(base));
    ResourceUnit::of_known(base).unwrap_or_else(by_name)
}

/// Whether a figure of this unit may be bounded by this text, and by what; else what is allowed.
///
/// A metric whose kind its name does not tell may be a counter, which is known as its rate: both are taken.
pub(crate) fn bound(name: &ResourceName, unit: ResourceUnit, text: &str) -> Result<f64, &'static str> {
    let size = |text: &str| {
        // A bare number would be read as bytes, which hardly anybody means.
        let has_unit = text.ends_with('B');
        text.parse().ok().filter(|_| has_unit).map(|ByteCount(bytes)| bytes as f64)
    };
    match unit {
        ResourceUnit::Bytes => size(text).ok_or("a size like `100MB`, `64MiB` or `2GB`"),
        ResourceUnit::BytesPerSecond => {
            let size = text.strip_suffix("/s").and_then(|text| size(text.trim_end()));
            size.ok_or("a size per second, like `10MB/s` or `512KiB/s`")
        }
        ResourceUnit::Seconds => duration::parse(text)
            .map(|duration| duration.as_nanos() as f64 / 1e9)
            .map_err(|_| "a duration with a unit, like `250ms` or `1.5s`"),
        ResourceUnit::Ratio => percent_or_number(text).ok_or("a percentage like `80%` or a share like `0.8`"),
        ResourceUnit::Cores => percent_or_number(text)
            .ok_or("processors like `1.5`, or a percentage of one of them like `80%` or `150%`"),
        ResourceUnit::PerSecond => rate(text).ok_or("a rate like `450/s` or `30k/min`"),
        ResourceUnit::Count => {
            let may_be_rate = ResourceUnit::of_known(name.base()).is_none();
            let of_rate = || rate(text).filter(|_| may_be_rate);
            crate::expression::number(text).or_else(of_rate).ok_or("a number like `10`, `0.5` or `10k`")
        }
    }
}

fn rate(text: &str) -> Option<f64> {
    text.parse().ok().map(Rate::per_second)
}

/// Reads `80%`, `150%`, `0.8` and `1.5`; a hundredth of a percentage is the closest number to what was written.
fn percent_or_number(text: &str) -> Option<f64> {
    match text.strip_suffix('%') {
        Some(percent) => crate::expression::number(percent.trim_end()).map(|percent| {
            let share = percent / 100.0;
            let closest = (share * 1e12).round() / 1e12;
            if (closest - share).abs() <= 1e-15 * share { closest } else { share }
        }),
        None => crate::expression::number(text),
    }
}

/// Writes a value so that [`bound`] reads it back exactly.
pub(crate) fn exact(unit: ResourceUnit, value: f64) -> String {
    match unit {
        ResourceUnit::Bytes => crate::expression::exact_size(value),
        ResourceUnit::BytesPerSecond => format!("{}/s", crate::expression::exact_size(value)),
        ResourceUnit::Seconds => duration::format(Duration::from_secs_f64(value.clamp(0.0, 1e9))),
        ResourceUnit::Ratio => {
            let percent = format!("{}%", (value * 1e8).round() / 1e6);
            if percent_or_number(&percent) == Some(value) { percent } else { value.to_string() }
        }
        ResourceUnit::PerSecond => format!("{value}/s"),
        ResourceUnit::Cores | ResourceUnit::Count => value.to_string(),
    }
}

/// Writes a value for people, with about three significant digits.
pub(crate) fn human(unit: ResourceUnit, value: f64) -> String {
    let size = |bytes: f64| {
        let sign = if bytes <= -0.5 { "-" } else { "" };
        format!("{sign}{}", ByteCount(bytes.abs().round() as u64))
    };
    match unit {
        ResourceUnit::Bytes => size(value),
        ResourceUnit::BytesPerSecond => format!("{}/s", size(value)),
        ResourceUnit::Seconds => duration::human(value),
        ResourceUnit::Ratio => format!("{}%", short(value * 100.0)),
        ResourceUnit::Cores => format!("{} cores", short(value)),
        ResourceUnit::PerSecond => format!("{}/s", short(value)),
        ResourceUnit::Count => short(value),
    }
}

/// Three digits behind the point at most.
fn short(value: f64) -> String {
    ((value * 1000.0).round() / 1000.0).to_string()
}

/// How fast something grows, given per second of run, as people read it: by the hour.
pub(crate) fn growth(unit: ResourceUnit, per_second: f64) -> String {
    let sign = if per_second > 0.0 { "+" } else { "" };
    format!("{sign}{} an hour", human(unit, per_second * 3600.0))
}

/// Whether a figure is one that may leak: a level of bytes or things, and not what is left of something.
pub(crate) fn may_leak(name: &ResourceName) -> bool {
    let is_level = matches!(unit_of(name), ResourceUnit::Bytes | ResourceUnit::Count);
    is_level && name.base() != "memory_available"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_source_a_figure_and_labels() {
        let name = ResourceName::new(Some("the shop"), r#"http_connections{pool="db"}"#).unwrap();
        assert_eq!((name.source(), name.base()), (Some("the shop"), "http_connections"));
        assert_eq!(name.figure(), r#"http_connections{pool="db"}"#);
        assert_eq!(name.to_string(), r#"the shop.http_connections{pool="db"}"#);
        assert!(name.is_of("the shop") && !name.is_of("other"));
        let any = ResourceName::new(None, "memory").unwrap();
        assert_eq!((any.source(), any.figure()), (None, "memory"));
        assert!(any.is_of("whatever"));
        for (source, figure) in [(Some(""), "memory"), (None, ""), (None, "a b"), (Some("a(b"), "memory")] {
            assert_eq!(ResourceName::new(source, figure), None, "{source:?} {figure}");
        }
        assert_eq!(ResourceName::new(None, &"x".repeat(121)), None);
    }

    #[test]
    fn a_name_means_just_itself_or_the_only_one_with_labels() {
        let name = |text| ResourceName::new(None, text).unwrap();
        let of = |text, figures: &[&str]| name(text).among(figures.iter().copied());
        assert_eq!(of("cpu_ratio", &["cpu", r#"cpu_ratio{cpu="0"}"#, "cpu_ratio"]), Among::One(2));
        assert_eq!(of("pool", &["pools", r#"pool{a="1"}"#]), Among::One(1));
        assert_eq!(of("pool", &[r#"pool{a="0"}"#, r#"pool{a="1"}"#]), Among::Several(0, 1));
        assert_eq!(of(r#"pool{a="1"}"#, &[r#"pool{a="0"}"#, r#"pool{a="1"}"#]), Among::One(1));
        assert_eq!(of("memory", &["cpu"]), Among::None);
    }

    #[test]
    fn bounds_are_written_as_people_do() {
        let read = |name: &str, text: &str| {
            let name = ResourceName::new(None, name).unwrap();
            bound(&name, unit_of(&name), text).ok()
        };
        for (name, text, value) in [
            ("memory", "100MB", Some(1e8)),
            ("memory", "64MiB", Some(67_108_864.0)),
            ("memory", "100", None),
            ("memory", "80%", None),
            ("cpu", "80%", Some(0.8)),
            ("cpu", "150%", Some(1.5)),
            ("cpu", "1.5", Some(1.5)),
            ("cpu", "1.5s", None),
            ("cpu_ratio", "7%", Some(0.07)),
            ("gc_pause", "0.7%", Some(0.007)),
            ("network_in", "10MB/s", Some(1e7)),
            ("network_in", "10MB", None),
            ("open_fds", "1k", Some(1000.0)),
            ("open_fds", "1k/s", None),
            ("queue_length", "12", Some(12.0)),
            ("rows", "12/s", Some(12.0)),
            ("rows_total", "12/s", Some(12.0)),
            ("rows_total", "12", None),
            ("oldest_seconds", "1.5s", Some(1.5)),
            ("cache_bytes", "1kB", Some(1000.0)),
        ] {
            assert_eq!(read(name, text), value, "{name} {text}");
        }
    }

    #[test]
    fn values_are_written_for_people() {
        for (unit, value, text) in [
            (ResourceUnit::Bytes, 1.234e8, "123 MB"),
            (ResourceUnit::BytesPerSecond, 1500.0, "1.50 kB/s"),
            (ResourceUnit::Cores, 0.123_456, "0.123 cores"),
            (ResourceUnit::Ratio, 0.8, "80%"),
            (ResourceUnit::Count, 12.0, "12"),
            (ResourceUnit::PerSecond, 3.5, "3.5/s"),
        ] {
            assert_eq!(human(unit, value), text);
        }
        assert_eq!(growth(ResourceUnit::Bytes, 1000.0), "+3.60 MB an hour");
        assert_eq!(growth(ResourceUnit::Bytes, -1000.0), "-3.60 MB an hour");
    }
}
