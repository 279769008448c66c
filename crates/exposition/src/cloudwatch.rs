//! CloudWatch: a metric datum per second and series, as JSON.
//!
//! A counter's second is one value, a level too; of a histogram it is values with their counts, so that CloudWatch
//! makes percentiles of them. A datum may have 150 different values. With fewer nothing is merged; with more neighbouring
//! buckets are, the least and the greatest value staying by themselves: counts, minimum and maximum are exact, sum and average within
//! 0.1% and half a microsecond a value, as the histogram is. A merged value is the mean of its bucket, so that it differs from those it stands
//! for by less than the bucket is wide: `(greatest / least)^(1/147) - 1` at most, which is 4.8% from 1 ms to 1 s and 13% from
//! 1 µs to 60 s; the buckets are as narrow as these very values allow.
//!
//! Labels are dimensions, but for the plan, which is told as `TestSuite`. Series that only inform are left out.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use plimsoll_measure::Distribution;
use plimsoll_run::{CloudWatchExport, CloudWatchResolution, Started};
use serde_json::{Value, json};

use crate::catalogue::{Kind, Metric, Unit};
use crate::number::seconds;
use crate::{Change, Reading, Report};

/// The most different values of a datum, as `PutMetricData` has it.
pub const VALUES: usize = 150;

/// The most characters in the value of a dimension.
const DIMENSION_LETTERS: usize = 1024;

/// The largest magnitude of a value: 2^360. Levels beyond it, and the numbers too small to be told from zero, are not taken.
const EXPONENT: i32 = 360;

/// Turns reports of one run into data.
#[derive(Debug)]
pub struct Encoder {
    metrics: BTreeSet<&'static str>,
    /// Of every series, each a JSON object.
    dimensions: Vec<Value>,
    resolution: u32,
}

impl Encoder {
    /// For a run, as a plan asks for it.
    pub fn new(started: &Started, settings: &CloudWatchExport) -> Self {
        let version = started.info.version.as_deref().unwrap_or_default();
        let mut dimensions: BTreeMap<&str, &str> =
            [("TestSuite", started.shape.plan.as_str()), ("Version", version)].into();
        dimensions.extend(settings.dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let own = dimensions.into_iter().filter(|(_, value)| !value.is_empty());
        Self {
            metrics: settings.metrics.iter().copied().collect(),
            dimensions: own.map(|(name, value)| dimension(name, value)).collect(),
            resolution: match settings.resolution {
                CloudWatchResolution::Second => 1,
                CloudWatchResolution::Minute => 60,
            },
        }
    }

    /// A line of JSON per series that was asked for and has a value.
    pub fn encode(&self, report: &Report) -> Vec<String> {
        let at = report.wall_nanos.div_euclid(1_000_000) as f64 / 1000.0;
        let asked = report.readings.iter().filter(|reading| self.metrics.contains(name(reading.metric)));
        asked.filter_map(|reading| self.datum(reading, at)).collect()
    }

    fn datum(&self, reading: &Reading, at: f64) -> Option<String> {
        let metric = reading.metric;
        let labels = metric.labels.iter().zip(&reading.labels);
        let labels = labels.filter(|(name, value)| **name != "plan" && !value.is_empty());
        let own = labels.map(|(name, value)| dimension(name, value));
        let dimensions: Vec<Value> = self.dimensions.iter().cloned().chain(own).collect();
        let mut datum = json!({ "Timestamp": at, "MetricName": name(metric), "Dimensions": dimensions });
        match &reading.change {
            Change::Count(count) => datum["Value"] = json!(count),
            Change::Level(level) => datum["Value"] = json!(level.filter(|level| is_taken(*level))?),
            Change::Durations(durations) if durations.is_empty() => return None,
            Change::Durations(durations) => {
                let (values, counts): (Vec<f64>, Vec<u64>) =
                    values(durations).into_iter().map(|(value, count)| (seconds(value), count)).unzip();
                datum["Values"] = json!(values);
                datum["Counts"] = json!(counts);
            }
        }
        datum["Unit"] = json!(unit(metric));
        datum["StorageResolution"] = json!(self.resolution);
        Some(datum.to_string())
    }
}

/// What a metric is called: its measurement without `plimsoll_`, since the namespace says that.
fn name(metric: &Metric) -> &'static str {
    let measurement = metric.measurement();
    measurement.strip_prefix("plimsoll_").unwrap_or(measurement)
}

fn unit(metric: &Metric) -> &'static str {
    match (metric.unit, metric.kind) {
        (Some(Unit::Seconds), _) => "Seconds",
        (Some(Unit::Bytes), _) => "Bytes",
        (None, Kind::Counter) => "Count",
        // A share of one is none of CloudWatch's units: its `Percent` is of a hundred.
        (Some(Unit::Ratio) | None, _) => "None",
    }
}

fn is_taken(level: f64) -> bool {
    let largest = 2_f64.powi(EXPONENT);
    level == 0.0 || (largest.recip()..=largest).contains(&level.abs())
}

fn dimension(name: &str, value: &str) -> Value {
    json!({ "Name": name, "Value": plain(value) })
}

/// A text as the value of a dimension: visible ASCII and spaces, something that is no space among them, and not too long. Other bytes, and `%`,
/// are written as in URLs, so that different texts stay different; what is too long ends in a hash of the whole.
fn plain(text: &str) -> Cow<'_, str> {
    let blank = text.trim_matches(' ').is_empty();
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'%' || byte == b' ' && !blank;
    if text.len() <= DIMENSION_LETTERS && text.bytes().all(fits) {
        return text.into();
    }
    let mut plain = String::new();
    for byte in text.bytes() {
        if fits(byte) {
            plain.push(char::from(byte));
        } else {
            plain.push_str(&format!("%{byte:02X}"));
        }
    }
    if plain.len() > DIMENSION_LETTERS {
        // FNV-1a, which is the same wherever it is computed.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        plain.truncate(DIMENSION_LETTERS - 17);
        plain.push_str(&format!("%{hash:016X}"));
    }
    plain.into()
}

/// Values with their counts, ascending and different, at most [`VALUES`].
fn values(durations: &Distribution) -> Vec<(u64, u64)> {
    let (Some(least), Some(greatest)) = (durations.min(), durations.max()) else { return Vec::new() };
    let mut buckets: Vec<(u64, u64)> =
        durations.buckets().iter().map(|(value, count)| ((*value).clamp(least, greatest), *count)).collect();
    // One value is the least and one the greatest; in which buckets they are counted is known.
    let mut ends = vec![least];
    if durations.count() > 1 {
        ends.push(greatest);
    }
    if let Some((_, count)) = buckets.first_mut() {
        *count -= 1;
    }
    if durations.count() > 1
        && let Some((_, count)) = buckets.last_mut()
    {
        *count -= 1;
    }
    buckets.retain(|(_, count)| *count > 0);
    let inner = merged(&buckets, VALUES - 2);
    let mut values: BTreeMap<u64, u64> = inner.into_iter().collect();
    for end in ends {
        *values.entry(end).or_default() += 1;
    }
    values.into_iter().collect()
}

/// At most so many buckets in place of these, all equally wide relative to their values: the narrowest that are few enough.
fn merged(buckets: &[(u64, u64)], most: usize) -> Vec<(u64, u64)> {
    let [(least, _), .., (greatest, _)] = buckets else { return buckets.to_vec() };
    if buckets.len() <= most {
        return buckets.to_vec();
    }
    // So wide, `most - 1` of them reach from the least to the greatest; one is kept for what rounding does.
    let mut enough = (*greatest as f64 / (*least).max(1) as f64).powf(1.0 / (most - 1) as f64);
    let mut too_narrow = 1.0_f64;
    for _ in 0..HALVINGS {
        let between = (enough * too_narrow).sqrt();
        if grouped(buckets, between).len() <= most {
            enough = between;
        } else {
            too_narrow = between;
        }
    }
    grouped(buckets, enough)
}

/// How closely the narrowest width is looked for.
const HALVINGS: u32 = 12;

/// Buckets of which the greatest value is at most `ratio` times the least, each as its mean.
fn grouped(buckets: &[(u64, u64)], ratio: f64) -> Vec<(u64, u64)> {
    let mut groups: Vec<(u64, u64)> = Vec::new();
    let mut sum = 0_u128;
    let mut until = f64::NEG_INFINITY;
    for &(value, count) in buckets {
        let amount = u128::from(value) * u128::from(count);
        match groups.last_mut() {
            Some((mean, counted)) if value as f64 <= until => {
                sum += amount;
                *counted += count;
                *mean = ((sum + u128::from(*counted / 2)) / u128::from(*counted)) as u64;
            }
            _ => {
                sum = amount;
                until = value as f64 * ratio;
                groups.push((value, count));
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;
    use crate::fixture::Fixture;
    use crate::{OVERFLOW, Readings};
    use plimsoll_measure::{Edges, Histogram, RESOLUTION_NANOS};
    use proptest::prelude::*;

    fn settings() -> CloudWatchExport {
        CloudWatchExport {
            region: None,
            namespace: "Plimsoll".to_owned(),
            endpoint: None,
            dimensions: BTreeMap::new(),
            metrics: CloudWatchExport::DEFAULT_METRICS.to_vec(),
            resolution: CloudWatchResolution::Second,
            credentials: None,
        }
    }

    fn lines(fixture: &mut Fixture, settings: &CloudWatchExport) -> Vec<String> {
        let encoder = Encoder::new(&fixture.started(), settings);
        let mut readings = Readings::new(fixture.started());
        let events = [fixture.start_event(), fixture.second(), fixture.judged(), fixture.end_event()];
        let reports = events.iter().filter_map(|event| readings.read(event));
        reports.flat_map(|report| encoder.encode(&report)).collect()
    }

    #[test]
    fn a_second_is_written_as_stated() {
        let mut fixture = Fixture::new();
        fixture.request(0, 0, Some(200), 333_000_000);
        fixture.request(0, 0, Some(200), 1_000_000);
        fixture.request(0, 0, Some(200), 1_000_100);
        let lines = lines(&mut fixture, &settings());
        let dimensions = r#""Dimensions":[{"Name":"TestSuite","Value":"shop"},{"Name":"Version","Value":"1.4.2"},{"Name":"scenario","Value":"browse"},{"Name":"step","Value":"list"},{"Name":"phase","Value":"measured"},{"Name":"outcome","Value":"ok"}"#;
        for expected in [
            format!(
                r#"{{"Timestamp":1700000001.0,"MetricName":"requests",{dimensions},{{"Name":"status","Value":"200"}}],"Value":3,"Unit":"Count","StorageResolution":1}}"#
            ),
            format!(
                r#"{{"Timestamp":1700000001.0,"MetricName":"response_time",{dimensions}],"Values":[0.001,0.001000447,0.333],"Counts":[1,1,1],"Unit":"Seconds","StorageResolution":1}}"#
            ),
            r#"{"Timestamp":1700000001.0,"MetricName":"offered_rate","Dimensions":[{"Name":"TestSuite","Value":"shop"},{"Name":"Version","Value":"1.4.2"}],"Value":500.0,"Unit":"None","StorageResolution":1}"#.to_owned(),
        ] {
            assert!(lines.contains(&expected), "{expected}\nis missing in\n{}", lines.join("\n"));
        }
        assert!(!lines.iter().any(|line| line.contains("sla_met")), "undecided is no point");
    }

    #[test]
    fn a_plan_says_what_is_sent() {
        let mut settings = settings();
        settings.dimensions = [("Version", ""), ("TestSuite", "checkout"), ("Team", "a b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        settings.metrics = vec!["virtual_users"];
        settings.resolution = CloudWatchResolution::Minute;
        assert_eq!(
            lines(&mut Fixture::busy(), &settings),
            [
                r#"{"Timestamp":1700000001.0,"MetricName":"virtual_users","Dimensions":[{"Name":"Team","Value":"a b"},{"Name":"TestSuite","Value":"checkout"}],"Value":7.0,"Unit":"None","StorageResolution":60}"#
            ]
        );
    }

    /// Names stand in `run`, so that a plan that has them wrong is told where.
    #[test]
    fn a_plan_may_name_what_a_run_has_and_nothing_else() {
        let sent = |metric: &&'static Metric| {
            metric.kind != Kind::Info && !metric.name.starts_with("plimsoll_export_")
        };
        let sent: Vec<_> = catalogue::of_runs().filter(sent).collect();
        assert_eq!(sent.iter().map(|metric| name(metric)).collect::<Vec<_>>(), CloudWatchExport::METRICS);
        let labels: BTreeSet<_> = sent.iter().flat_map(|metric| metric.labels).copied().collect();
        assert_eq!(labels, CloudWatchExport::LABELS.into_iter().chain(["plan"]).collect());
        assert!(
            sent.iter().all(|metric| metric.labels.len() <= 30 - 22),
            "beside 20 of a plan and two by default"
        );
        assert!(
            CloudWatchExport::DEFAULT_METRICS.iter().all(|name| CloudWatchExport::METRICS.contains(name))
        );
    }

    /// The example of docs/exporters.md: one scenario, five steps that all answer 200, two objectives.
    #[test]
    fn metrics_are_as_many_as_the_documentation_says() {
        let guide = include_str!("../../../docs/exporters.md");
        assert!(guide.contains("16 custom metrics"), "5 + 5 + 2 + 1 + 1 + 2");
        let mut fixture = Fixture::new();
        [0, 2].into_iter().for_each(|step| fixture.request(step, 0, Some(200), 1_000_000));
        fixture.arrival();
        fixture.verdict(Some(plimsoll_sla::Verdict::Met));
        let lines = lines(&mut fixture, &settings());
        // Two steps and one objective.
        assert_eq!(lines.len(), 2 + 2 + 2 + 1 + 1 + 1, "{}", lines.join("\n"));
    }

    #[test]
    fn levels_that_cloudwatch_has_no_number_for_are_left_out() {
        let largest = 2_f64.powi(360);
        for (level, taken) in [
            (0.0, true),
            (-0.0, true),
            (-3.5, true),
            (largest, true),
            (-largest, true),
            (largest * 1.1, false),
            (largest.recip(), true),
            (largest.recip() / 1.1, false),
            (f64::NAN, false),
            (f64::INFINITY, false),
            (f64::NEG_INFINITY, false),
        ] {
            assert_eq!(is_taken(level), taken, "{level}");
        }
    }

    #[test]
    fn a_dimension_is_visible_ascii_and_different_texts_stay_different() {
        for (text, expected) in [
            ("GET /list?page={{ page }}", "GET /list?page={{ page }}"),
            (OVERFLOW, OVERFLOW),
            ("köln", "k%C3%B6ln"),
            ("100%", "100%25"),
            ("k%C3%B6ln", "k%25C3%25B6ln"),
            ("a\tb\n", "a%09b%0A"),
            ("  ", "%20%20"),
        ] {
            assert_eq!(plain(text), expected);
        }
        let (long, longer) = ("é".repeat(600), "é".repeat(601));
        assert_eq!((plain(&long).len(), plain(&longer).len()), (1024, 1024));
        assert_ne!(plain(&long), plain(&longer));
    }

    #[test]
    fn one_value_and_two_are_exact() {
        for (recorded, expected) in [
            (vec![], vec![]),
            (vec![1_234_567], vec![(1_234_567, 1)]),
            (vec![5, 1_234_567], vec![(5, 1), (1_234_567, 1)]),
            (vec![1_234_567; 9], vec![(1_234_567, 9)]),
            (vec![0, 0, 0], vec![(0, 3)]),
        ] {
            assert_eq!(values(&distribution(&recorded)), expected);
        }
    }

    fn distribution(values: &[u64]) -> Distribution {
        let mut histogram = Histogram::new(Edges::default());
        values.iter().for_each(|value| histogram.record(*value));
        histogram.distribution()
    }

    proptest! {
        #[test]
        fn counts_are_conserved_and_values_within_the_stated_error(
            // Spread evenly over their logarithms, up to a day and beyond.
            exponents in prop::collection::vec(0.0..48.0_f64, 1..1500),
        ) {
            let mut recorded: Vec<u64> = exponents.iter().map(|exponent| exponent.exp2() as u64).collect();
            recorded.sort_unstable();
            let sent = values(&distribution(&recorded));
            prop_assert!(sent.len() <= VALUES);
            prop_assert!(sent.is_sorted_by(|one, next| one.0 < next.0));
            prop_assert!(sent.iter().all(|(_, count)| *count > 0));
            prop_assert_eq!(sent.iter().map(|(_, count)| *count).sum::<u64>(), recorded.len() as u64);
            let (least, greatest) = (recorded[0], recorded[recorded.len() - 1]);
            prop_assert_eq!((sent[0].0, sent[sent.len() - 1].0), (least, greatest));
            // Of each value in order: by how much is that which stands for it another?
            let at_most = (greatest as f64 / least.max(RESOLUTION_NANOS) as f64).powf(1.0 / 147.0) - 1.0;
            let told = sent.iter().flat_map(|(value, count)| std::iter::repeat_n(*value, *count as usize));
            let day = plimsoll_measure::LONGEST_NANOS;
            for (value, told) in recorded.iter().zip(told) {
                let beyond = *value > day;
                let off = (told as f64 - *value as f64).abs();
                let allowed = (at_most + 0.0011) * *value as f64 + RESOLUTION_NANOS as f64;
                prop_assert!(beyond || off <= allowed, "{told} for {value}: {off} over {allowed}");
            }
            let sum = |values: &[(u64, u64)]| {
                values.iter().map(|(value, count)| u128::from(*value) * u128::from(*count)).sum::<u128>() as f64
            };
            let truth = recorded.iter().map(|value| u128::from(*value)).sum::<u128>() as f64;
            let allowed = 0.0011 * truth + (RESOLUTION_NANOS * recorded.len() as u64) as f64;
            prop_assert!(greatest > day || (sum(&sent) - truth).abs() <= allowed);
        }

        #[test]
        fn every_datum_is_json_that_cloudwatch_takes(plan in any::<String>(), step in any::<String>()) {
            let mut fixture = Fixture::of("run", &plan, &step);
            fixture.request(0, 0, Some(204), 7_000_000);
            let settings = CloudWatchExport { metrics: CloudWatchExport::METRICS.to_vec(), ..settings() };
            for line in lines(&mut fixture, &settings) {
                prop_assert!(!line.contains('\n'));
                let datum: Value = serde_json::from_str(&line).unwrap();
                let dimensions = datum["Dimensions"].as_array().unwrap();
                let names: BTreeSet<_> = dimensions.iter().map(|dimension| dimension["Name"].as_str().unwrap()).collect();
                prop_assert_eq!(names.len(), dimensions.len());
                for dimension in dimensions {
                    let value = dimension["Value"].as_str().unwrap();
                    prop_assert!((1..=1024).contains(&value.len()) && !value.trim().is_empty());
                    prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{}", value);
                }
                prop_assert_eq!(datum["Values"].as_array().map(Vec::len), datum["Counts"].as_array().map(Vec::len));
            }
        }

        #[test]
        fn different_texts_are_different_dimensions(one in ".{0,40}", other in ".{0,40}") {
            prop_assert_eq!(one == other, plain(&one) == plain(&other));
        }
    }
}
