//! StatsD and DogStatsD: a few lines of text per second and series.
//!
//! Counters are the second's count (`c`), levels gauges (`g`). With DogStatsD tags a histogram is one line
//! per bucket of a distribution (`d`), each value standing for as many as its sample rate says; buckets are as wide
//! as 1/64 of their value, so quantiles are at most 1.6% too high before the agent's own error. Without tags
//! a histogram is counters again, `count`, `sum` (seconds) and `le_<edge>`: these add up, where the percentiles
//! that a StatsD server makes of timers cannot be added up and look at unsampled values only.
//!
//! The protocol has no time: a second counts when it arrives. There is no run either, so that a run
//! makes no new series.

use plimsoll_measure::Distribution;

use crate::catalogue::Kind;
use crate::number::{seconds, shortest};
use crate::{Change, Reading, Report};

/// How labels are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tags {
    /// As `|#name:value` behind each value.
    DogStatsD,
    /// As part of the name, one after the other.
    None,
}

/// How wide a bucket may be, 2^-bits of its value.
const BUCKET_BITS: u32 = 6;

/// What an event means, one entry of one or more lines per series. Series without a value and those
/// that only inform are left out.
pub fn encode(report: &Report, prefix: &str, tags: Tags) -> Vec<String> {
    report.readings.iter().filter_map(|reading| series(reading, prefix, tags)).collect()
}

fn series(reading: &Reading, prefix: &str, tags: Tags) -> Option<String> {
    if reading.metric.kind == Kind::Info {
        return None;
    }
    let lines = Lines::new(reading, prefix, tags);
    let lines = match (&reading.change, tags) {
        (Change::Count(count), _) => vec![lines.of("", &count.to_string(), "c")],
        (Change::Level(level), _) => {
            let level = level.filter(|level| level.is_finite())?;
            let line = lines.of("", &level.to_string(), "g");
            // A sign means a change to plain StatsD, unless the gauge is at zero.
            let reset = (tags == Tags::None && level < 0.0).then(|| lines.of("", "0", "g"));
            reset.into_iter().chain([line]).collect()
        }
        (Change::Durations(durations), _) if durations.is_empty() => return None,
        (Change::Durations(durations), Tags::DogStatsD) => distribution(durations, &lines),
        (Change::Durations(durations), Tags::None) => counters(durations, &lines),
    };
    Some(lines.join("\n"))
}

fn distribution(durations: &Distribution, lines: &Lines) -> Vec<String> {
    let coarse = durations.coarse(BUCKET_BITS);
    let highest = durations.max().unwrap_or(u64::MAX);
    let line = |(value, count): &(u64, u64)| {
        let value = seconds((*value).min(highest)).to_string();
        match *count {
            1 => lines.of("", &value, "d"),
            count => lines.of("", &value, &format!("d|@{}", rate(count))),
        }
    };
    coarse.buckets().iter().map(line).collect()
}

/// A sample rate of which the inverse is `count`, whether a reader rounds it or cuts it off.
fn rate(count: u64) -> f64 {
    let rate = 1.0 / count as f64;
    if 1.0 / rate < count as f64 { rate.next_down() } else { rate }
}

fn counters(durations: &Distribution, lines: &Lines) -> Vec<String> {
    let mut out = vec![
        lines.of(".count", &durations.count().to_string(), "c"),
        lines.of(".sum", &(durations.sum() as f64 / 1e9).to_string(), "c"),
    ];
    let mut cumulative = 0;
    for (edge, count) in durations.edges().nanos().iter().zip(durations.at_edges()) {
        cumulative += count;
        if cumulative > 0 {
            let edge = shortest(seconds(*edge)).replace('.', "_");
            out.push(lines.of(&format!(".le_{edge}"), &cumulative.to_string(), "c"));
        }
    }
    out
}

/// What all lines of a series have in common.
struct Lines {
    name: String,
    tags: String,
}

impl Lines {
    fn new(reading: &Reading, prefix: &str, tags: Tags) -> Self {
        let measurement = reading.metric.measurement();
        let mut name = String::from(prefix);
        if !prefix.is_empty() {
            name.push('.');
        }
        name.push_str(measurement.strip_prefix("plimsoll_").unwrap_or(measurement));
        let labels = reading.metric.labels.iter().zip(&reading.labels);
        let tags = match tags {
            Tags::DogStatsD => {
                let tags = labels.filter(|(_, value)| !value.is_empty());
                let tags: Vec<_> = tags.map(|(label, value)| format!("{label}:{}", tag(value))).collect();
                if tags.is_empty() { String::new() } else { format!("|#{}", tags.join(",")) }
            }
            Tags::None => {
                for (_, value) in labels {
                    name.push('.');
                    name.push_str(&segment(value));
                }
                String::new()
            }
        };
        Self { name, tags }
    }

    fn of(&self, below: &str, value: &str, kind: &str) -> String {
        format!("{}{below}:{value}|{kind}{}", self.name, self.tags)
    }
}

/// What has a meaning in the protocol becomes an underscore, and so does space.
fn tag(text: &str) -> String {
    let plain = |letter: char| {
        !(letter.is_control() || letter.is_whitespace() || matches!(letter, ',' | '|' | '#' | '@'))
    };
    text.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect()
}

/// A part of a name between dots; one without a value is an underscore, so that each part has its place.
fn segment(text: &str) -> String {
    if text.is_empty() {
        return "_".to_owned();
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    text.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Readings;
    use crate::fixture::Fixture;
    use plimsoll_measure::Edges;
    use proptest::prelude::*;

    fn second(tags: Tags) -> Vec<String> {
        let mut fixture = Fixture::new();
        fixture.request(0, 0, Some(200), 333_000_000);
        fixture.request(0, 1, Some(200), 1_000_000);
        fixture.request(0, 1, Some(200), 1_000_000);
        let report = Readings::new(fixture.started()).read(&fixture.second()).unwrap();
        encode(&report, "load", tags)
    }

    #[test]
    fn a_second_is_written_as_stated() {
        let labels = "plan:shop,scenario:browse,step:list,phase:measured,outcome:ok";
        let lines = second(Tags::DogStatsD);
        for expected in [
            format!("load.requests:3|c|#{labels},status:200"),
            format!("load.response_time:0.001007615|d|@0.5|#{labels}\nload.response_time:0.333|d|#{labels}"),
            "load.offered_rate:500|g|#plan:shop".to_owned(),
            "load.generator_cpu:0.25|g".to_owned(),
        ] {
            assert!(lines.contains(&expected), "{expected}\nis missing in\n{}", lines.join("\n"));
        }
        let name = "load.response_time.shop.browse.list.measured.ok";
        let lines = second(Tags::None);
        for expected in [
            "load.requests.shop.browse.list.measured.ok.200:3|c".to_owned(),
            format!(
                "{name}.count:3|c\n{name}.sum:0.335|c\n{name}.le_0_001:2|c\n{name}.le_0_0025:2|c\n{name}.le_0_005:2|c\n\
                 {name}.le_0_01:2|c\n{name}.le_0_025:2|c\n{name}.le_0_05:2|c\n{name}.le_0_1:2|c\n{name}.le_0_25:2|c\n\
                 {name}.le_0_333:3|c\n{name}.le_0_5:3|c\n{name}.le_1:3|c\n{name}.le_2_5:3|c\n{name}.le_5:3|c\n\
                 {name}.le_10:3|c\n{name}.le_30:3|c\n{name}.le_60:3|c"
            ),
            "load.generator_cpu:0.25|g".to_owned(),
        ] {
            assert!(lines.contains(&expected), "{expected}\nis missing in\n{}", lines.join("\n"));
        }
        assert!(!lines.iter().any(|line| line.contains("run_info")));
    }

    #[test]
    fn a_level_below_zero_is_no_change_to_anybody() {
        let reading = Reading::new(&crate::catalogue::GENERATOR_CPU, Vec::new(), Change::Level(Some(-0.5)));
        let plain = series(&reading, "", Tags::None);
        assert_eq!(plain.as_deref(), Some("generator_cpu:0|g\ngenerator_cpu:-0.5|g"));
        assert_eq!(series(&reading, "", Tags::DogStatsD).as_deref(), Some("generator_cpu:-0.5|g"));
        for nothing in [None, Some(f64::NAN), Some(f64::INFINITY)] {
            let reading = Reading { change: Change::Level(nothing), ..reading.clone() };
            assert_eq!(series(&reading, "", Tags::None), None);
        }
        let empty = Change::Durations(Distribution::empty(Edges::with_thresholds([])));
        assert_eq!(series(&Reading { change: empty, ..reading }, "", Tags::None), None);
    }

    proptest! {
        #[test]
        fn a_sample_rate_stands_for_its_count(count in 1_u64..10_000_000) {
            let read: f64 = rate(count).to_string().parse().unwrap();
            prop_assert_eq!((1.0 / read) as u64, count, "cut off");
            prop_assert_eq!((1.0 / read).round() as u64, count, "rounded");
        }

        #[test]
        fn every_line_can_be_read_whatever_labels_hold(plan in any::<String>(), step in any::<String>()) {
            let mut fixture = Fixture::of("run", &plan, &step);
            for nanos in [1, 7_000_000, 7_100_000, 90_000_000_000] {
                fixture.request(0, 0, Some(204), nanos);
            }
            let report = Readings::new(fixture.started()).read(&fixture.second()).unwrap();
            let entries = encode(&report, "p", Tags::DogStatsD);
            let mut requests = 0.0;
            for line in entries.iter().flat_map(|entry| entry.split('\n')) {
                let (name, rest) = line.split_once(':').unwrap();
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte)), "{}", name);
                let sections: Vec<_> = rest.split('|').collect();
                let value: f64 = sections[0].parse().unwrap();
                prop_assert!(["c", "g", "d"].contains(&sections[1]));
                let rate = sections.iter().find_map(|section| section.strip_prefix('@'));
                if name == "p.response_time" {
                    requests += 1.0 / rate.map_or(1.0, |rate| rate.parse::<f64>().unwrap());
                    prop_assert!(value <= 90.0);
                }
            }
            prop_assert!((requests - 4.0_f64).abs() < 1e-9);
            for line in encode(&report, "p", Tags::None).iter().flat_map(|entry| entry.split('\n')) {
                let (name, rest) = line.split_once(':').unwrap();
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{}", name);
                prop_assert_eq!(rest.split('|').count(), 2);
            }
        }
    }
}
