//! What the target and its machine use, as one look at them found it.

use std::sync::Arc;

use crate::SECOND;

/// What one scrape of one source found.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceScrape {
    /// The source's name in the plan.
    pub source: Arc<str>,
    /// When, in nanoseconds from the start.
    pub at: u64,
    /// Each figure once; or why there is nothing, in words without secrets.
    pub figures: Result<Vec<ResourceFigure>, String>,
    /// Series that were found and left out, because the source has more than are kept.
    pub left_out: u64,
}

impl ResourceScrape {
    /// The second it speaks of: the one that ends next to it. Scrapes are due at whole seconds, where a
    /// rate covers the second that has just ended and a level is the one at its end.
    pub fn second(&self) -> u64 {
        (self.at.saturating_add(SECOND / 2) / SECOND).saturating_sub(1)
    }
}

/// One figure of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceFigure {
    /// What it is, like `cpu` or `http_connections{pool="db"}`.
    pub name: Arc<str>,
    /// What it is counted in.
    pub unit: ResourceUnit,
    /// Finite.
    pub value: f64,
}

impl ResourceFigure {
    /// Names that mean the same of every source, whatever its exporter calls them.
    pub const KNOWN: [&str; 14] = [
        "cpu",
        "cpu_ratio",
        "memory",
        "heap",
        "gc_pause",
        "open_fds",
        "threads",
        "network_in",
        "network_out",
        "disk_read",
        "disk_write",
        "connections",
        "run_queue",
        "memory_available",
    ];

    /// How soon a figure is told where there is no room for all: the lower the sooner. `None` is detail.
    pub fn prominence(name: &str, unit: ResourceUnit) -> Option<u8> {
        match name {
            "cpu" => Some(0),
            "memory" => Some(1),
            "cpu_ratio" => Some(3),
            // Of a machine not each processor by itself.
            name if name.starts_with("cpu_ratio{") => None,
            _ if unit == ResourceUnit::Ratio => Some(2),
            _ => None,
        }
    }
}

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceUnit {
    /// Processors kept busy: CPU seconds per second.
    Cores,
    /// A share of a whole, as a rule from 0 to 1.
    Ratio,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// What a counter counted per second.
    PerSecond,
    /// Bytes that a counter counted per second.
    BytesPerSecond,
    /// Things.
    Count,
}

impl ResourceUnit {
    /// Every unit.
    pub const ALL: [Self; 7] = [
        Self::Cores,
        Self::Ratio,
        Self::Bytes,
        Self::Seconds,
        Self::PerSecond,
        Self::BytesPerSecond,
        Self::Count,
    ];

    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Ratio => "ratio",
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::PerSecond => "per_second",
            Self::BytesPerSecond => "bytes_per_second",
            Self::Count => "count",
        }
    }

    /// The unit with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.label() == label)
    }
}

impl ResourceUnit {
    /// What a figure of one of [`ResourceFigure::KNOWN`] names is counted in.
    pub fn of_known(name: &str) -> Option<Self> {
        Some(match name {
            "cpu" => Self::Cores,
            "cpu_ratio" | "gc_pause" => Self::Ratio,
            "memory" | "heap" | "memory_available" => Self::Bytes,
            "network_in" | "network_out" | "disk_read" | "disk_write" => Self::BytesPerSecond,
            "open_fds" | "threads" | "connections" | "run_queue" => Self::Count,
            _ => return None,
        })
    }

    /// What a metric with this name (without labels) is counted in; of a counter the unit of its rate.
    pub fn of_metric(name: &str, is_counter: bool) -> Self {
        match name {
            _ if is_counter && name.contains("_bytes_") => Self::BytesPerSecond,
            _ if is_counter => Self::PerSecond,
            name if name.ends_with("_ratio") => Self::Ratio,
            name if name.ends_with("_bytes") => Self::Bytes,
            name if name.ends_with("_seconds") => Self::Seconds,
            _ => Self::Count,
        }
    }

    /// Whether a metric of unknown kind is a counter, by the customs of Prometheus.
    pub fn counts_by_name(name: &str) -> bool {
        ["_total", "_count", "_sum", "_bucket"].iter().any(|ending| name.ends_with(ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(at: u64) -> ResourceScrape {
        ResourceScrape { source: "shop".into(), at, figures: Ok(Vec::new()), left_out: 0 }
    }

    #[test]
    fn a_scrape_speaks_of_the_second_that_ends_next_to_it() {
        for (millis, second) in
            [(0, 0), (400, 0), (999, 0), (1000, 0), (1400, 0), (1600, 1), (2000, 1), (60_003, 59)]
        {
            assert_eq!(scrape(millis * 1_000_000).second(), second, "{millis} ms");
        }
    }

    #[test]
    fn known_figures_have_units_and_others_go_by_their_names() {
        assert!(ResourceFigure::KNOWN.iter().all(|name| ResourceUnit::of_known(name).is_some()));
        assert_eq!(ResourceUnit::of_known("queue_length"), None);
        for (name, unit) in [
            ("queue_length", ResourceUnit::Count),
            ("pool_busy_ratio", ResourceUnit::Ratio),
            ("cache_size_bytes", ResourceUnit::Bytes),
            ("oldest_seconds", ResourceUnit::Seconds),
            ("requests_total", ResourceUnit::PerSecond),
            ("sent_bytes_total", ResourceUnit::BytesPerSecond),
        ] {
            assert_eq!(ResourceUnit::of_metric(name, ResourceUnit::counts_by_name(name)), unit, "{name}");
        }
    }
}
