//! Names from plans become labels, and a plan may name a step as it likes: each form gives every label of
//! every metric back, or as its documentation says.

use std::collections::BTreeMap;
use std::sync::Arc;

use influxdb_line_protocol::parse_lines;
use plimsoll_measure::{Edges, Histogram};
use plimsoll_run::{OtlpHistograms, OtlpTemporality};
use plimsoll_testkit::remote_write::{broken_rules, decode_plain};
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use proptest::prelude::*;
use prost::Message;
use serde_json::Value as Json;

use crate::catalogue::{ALL, Kind, Metric};
use crate::fixture::Fixture;
use crate::otlp::MetricsEncoder;
use crate::otlp::messages::collector::metrics::v1::ExportMetricsServiceRequest;
use crate::otlp::messages::common::v1::{KeyValue, any_value};
use crate::otlp::messages::metrics::v1::metric::Data;
use crate::prometheus::{Format, scrape};
use crate::remote_write::{self, Form, Histograms, Version};
use crate::statsd::{self, Tags};
use crate::{Change, Family, HistogramValue, Labels, Point, Reading, Report, Value, documents, line, rows};

/// Names that some format stumbles over.
const KNOWN: &[&str] = &[
    "",
    " ",
    "\"",
    "\\",
    "\\\\\\",
    "\n",
    "a\nb\r\nc",
    "ends\\",
    "a\\,b=\\ c",
    "a,b=c d",
    "{{ x }}|#@:;",
    "# EOF",
    "\u{0}\u{7f}\u{85}",
    "\u{2028}é∑🦀",
    "\u{202e}olleh",
    "=1+1",
    "NaN",
    "(overflow)",
];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(KNOWN).prop_map(str::to_owned),
        3 => "[\\\\\"\n,= |#@:{}]{0,9}",
        3 => any::<String>(),
        1 => (any::<char>(), 1_000_usize..5_000).prop_map(|(letter, count)| letter.to_string().repeat(count)),
    ]
}

/// The labels of each metric by its name.
type Found = BTreeMap<String, BTreeMap<String, String>>;

fn labels_of(metric: &Metric, names: &[String], at: usize) -> Labels {
    (0..metric.labels.len()).map(|label| Arc::from(&*names[(at + label) % names.len()])).collect()
}

/// What a form is to give back of metrics with these names: as `shown`, and without those it leaves out.
fn expected(names: &[String], called: fn(&Metric) -> &str, shown: impl Fn(&str) -> Option<String>) -> Found {
    let labels = |at: usize, metric: &'static Metric| {
        let values = labels_of(metric, names, at);
        let shown = metric.labels.iter().zip(&values).map(|(label, value)| Some((*label, shown(value)?)));
        shown.flatten().map(|(label, value)| (label.to_owned(), value)).collect()
    };
    ALL.iter().enumerate().map(|(at, metric)| (called(metric).to_owned(), labels(at, metric))).collect()
}

fn told(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn durations() -> Histogram {
    let mut histogram = Histogram::new(Edges::default());
    [7_000_000, 90_000_000_000].into_iter().for_each(|nanos| histogram.record(nanos));
    histogram
}

/// A second in which every metric there is has a value.
fn report(names: &[String]) -> Report {
    let readings = ALL.iter().enumerate().map(|(at, metric)| {
        let change = match metric.kind {
            Kind::Counter => Change::Count(3),
            Kind::Gauge | Kind::Info => Change::Level(Some(1.0)),
            Kind::Histogram => Change::Durations(durations().distribution()),
        };
        Reading::new(metric, labels_of(metric, names, at), change)
    });
    Report { wall_nanos: 1_700_000_001_000_000_000, readings: readings.collect() }
}

/// The same as sums.
fn families(names: &[String]) -> Vec<Family> {
    let families = ALL.iter().enumerate().map(|(at, metric)| {
        let value = match metric.kind {
            Kind::Counter => Value::Counter(3),
            Kind::Gauge | Kind::Info => Value::Gauge(1.0),
            Kind::Histogram => {
                let mut value = HistogramValue::new(Edges::default());
                value.add(&durations().distribution());
                Value::Histogram(Box::new(value))
            }
        };
        Family { metric, points: vec![Point::new(labels_of(metric, names, at), value)] }
    });
    families.collect()
}

fn name_of(metric: &Metric) -> &str {
    metric.name
}

fn measurement_of(metric: &Metric) -> &str {
    metric.measurement()
}

/// Of a histogram its count.
fn in_text(text: &str) -> Found {
    let samples = scrape::samples(text).map(Result::unwrap);
    let of_histograms = |name: &str| ALL.iter().find(|metric| name == format!("{}_count", metric.name));
    let found = samples.filter_map(|sample| {
        let known = ALL.iter().find(|metric| sample.name == metric.name);
        let metric = known.or_else(|| of_histograms(&sample.name))?;
        let labels = sample.labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Some((metric.name.to_owned(), labels.collect()))
    });
    found.collect()
}

fn in_protobuf(mut bytes: &[u8]) -> Found {
    let mut found = Found::new();
    while !bytes.is_empty() {
        let family = MetricFamily::decode_length_delimited(&mut bytes).unwrap();
        let [metric] = &family.metric[..] else { panic!("one series") };
        let labels = metric.label.iter().map(|pair| (pair.name.clone(), pair.value.clone()));
        found.insert(family.name, labels.collect());
    }
    found
}

fn in_lines(lines: &[String]) -> Found {
    let text = lines.join("\n");
    let parsed: Vec<_> = parse_lines(&text).map(Result::unwrap).collect();
    assert_eq!(parsed.len(), lines.len());
    let found = parsed.iter().map(|line| {
        let tags = line.series.tag_set.iter().flatten();
        let tags = tags.map(|(name, value)| (name.to_string(), value.to_string()));
        let own = ALL.iter().find(|metric| line.series.measurement == metric.measurement()).unwrap();
        let tags = tags.filter(|(name, _)| name != "run" || own.labels.contains(&"run"));
        (line.series.measurement.to_string(), tags.collect())
    });
    found.collect()
}

/// One object with a name and labels each.
fn in_objects<'o>(objects: impl IntoIterator<Item = (&'o Json, &'o Json)>) -> Found {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let labels = |labels: &Json| {
        let labels = labels.as_object().into_iter().flatten();
        labels.map(|(name, value)| (name.clone(), text(value))).collect()
    };
    objects.into_iter().map(|(name, found)| (text(name), labels(found))).collect()
}

fn in_csv(rows: &[String]) -> Found {
    let text = format!("{}\n{}\n", rows::csv_header(), rows.join("\n"));
    assert_eq!(text.lines().count(), rows.len() + 1, "a row is a line");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let found = reader.records().map(|row| {
        let row = row.unwrap();
        let cells: BTreeMap<_, _> = header.iter().zip(&row).collect();
        let metric = ALL.iter().find(|metric| metric.name == cells["metric"]).unwrap();
        let labels = metric.labels.iter().filter(|label| **label != "run" && !cells[*label].is_empty());
        (metric.name.to_owned(), labels.map(|label| (label.to_string(), cells[label].to_owned())).collect())
    });
    found.collect()
}

fn in_datagrams(entries: &[String]) -> Found {
    let lines = entries.iter().flat_map(|entry| entry.split('\n'));
    let found = lines.map(|line| {
        let (name, rest) = line.split_once(':').unwrap();
        let tags = rest.split('|').find_map(|section| section.strip_prefix('#'));
        let tags = tags.into_iter().flat_map(|tags| tags.split(',')).map(|tag| tag.split_once(':').unwrap());
        let labels = tags.map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
        (name.replacen("p.", "plimsoll_", 1), labels)
    });
    found.collect()
}

fn in_otlp(body: &[u8]) -> Found {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let labels = |attributes: &[KeyValue]| {
        let text = |pair: &KeyValue| match &pair.value.as_ref().unwrap().value {
            Some(any_value::Value::StringValue(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
        attributes.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
    };
    let found = scopes.flat_map(|scope| &scope.metrics).map(|metric| {
        let attributes = match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => &gauge.data_points[0].attributes,
            Data::Sum(sum) => &sum.data_points[0].attributes,
            Data::ExponentialHistogram(histogram) => &histogram.data_points[0].attributes,
            other => panic!("{other:?}"),
        };
        (metric.name.clone(), labels(attributes))
    });
    found.collect()
}

fn in_remote_write(body: &[u8], version: u8) -> Found {
    let written = decode_plain(body, version).unwrap();
    assert_eq!(broken_rules(&written, version), Vec::<String>::new());
    let found = written.series.iter().map(|series| {
        let mut labels: BTreeMap<_, _> = series.labels.iter().cloned().collect();
        (labels.remove("__name__").unwrap(), labels)
    });
    found.collect()
}

fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// See the section on StatsD in the documentation.
fn tag(text: &str) -> String {
    let has_meaning = |letter: char| letter.is_control() || letter.is_whitespace() || ",|#@".contains(letter);
    text.chars().map(|letter| if has_meaning(letter) { '_' } else { letter }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn scrapes_keep_every_name(names in prop::collection::vec(name(), 1..7)) {
        let families = families(&names);
        let all = expected(&names, name_of, |value| Some(value.to_owned()));
        for format in [Format::Text, Format::OpenMetrics] {
            let text = String::from_utf8(format.encode(&families)).unwrap();
            prop_assert_eq!(&in_text(&text), &all);
        }
        prop_assert_eq!(in_protobuf(&Format::Protobuf.encode(&families)), all);
    }

    #[test]
    fn pushed_series_keep_every_name(names in prop::collection::vec(name(), 1..7)) {
        let (mut fixture, report) = (Fixture::new(), report(&names));
        let event = fixture.second();
        let all = expected(&names, measurement_of, told);
        let (temporality, form) = (OtlpTemporality::Cumulative, OtlpHistograms::Exponential);
        let parts = MetricsEncoder::new(&fixture.started(), temporality, form).encode(&event, Some(&report));
        let found: Found = parts.iter().flat_map(|part| in_otlp(&part.body)).collect();
        prop_assert_eq!(found, all);

        let parts = remote_write::Encoder::new(BTreeMap::new(), 1).encode(&event, Some(&report));
        for (version, number) in [(Version::V1, 1), (Version::V2, 2)] {
            let bodies = parts.iter().map(|part| part.body.as_slice());
            let form = Form { version, histograms: Histograms::Native };
            let made = remote_write::request(bodies, form).unwrap();
            prop_assert_eq!(in_remote_write(&made.body, number), expected(&names, name_of, told));
        }
    }

    #[test]
    fn lines_and_documents_keep_names_as_stated(names in prop::collection::vec(name(), 1..7)) {
        let (fixture, report) = (Fixture::new(), report(&names));
        let lines = expected(&names, measurement_of, |value| told(&line::tag_value(value)));
        prop_assert_eq!(in_lines(&line::encode(&report, "r")), lines);

        // A file has the run in a place of its own.
        let without_run = |found: Found| -> Found {
            let without = |(name, mut labels): (String, BTreeMap<String, String>)| {
                labels.remove("run");
                (name, labels)
            };
            found.into_iter().map(without).collect()
        };
        let exact = expected(&names, name_of, told);
        let objects = rows::json(&report, "r");
        let texts: Vec<String> = objects.iter().map(Json::to_string).collect();
        prop_assert!(texts.iter().all(|text| !text.contains(['\n', '\r'])));
        let read: Vec<Json> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        prop_assert_eq!(in_objects(read.iter().map(|row| (&row["metric"], &row["labels"]))), without_run(exact.clone()));
        let in_rows = expected(&names, name_of, |value| told(&plain(value)));
        prop_assert_eq!(in_csv(&rows::csv(&report, "r")), without_run(in_rows));

        let documents = documents::points(&fixture.started(), &report);
        let fields = documents.iter().map(|document| &document.fields);
        let found = fields.map(|fields| (&fields["plimsoll"]["metric"], &fields["labels"]));
        prop_assert_eq!(in_objects(found), exact);
    }

    #[test]
    fn datagrams_keep_names_as_stated(names in prop::collection::vec(name(), 1..7)) {
        let report = report(&names);
        let mut all = expected(&names, measurement_of, |value| told(&tag(value)));
        ALL.iter().filter(|metric| metric.kind == Kind::Info).for_each(|metric| {
            all.remove(metric.measurement());
        });
        prop_assert_eq!(in_datagrams(&statsd::encode(&report, "p", Tags::DogStatsD)), all);

        let with_values = ALL.iter().enumerate().filter(|(_, metric)| metric.kind != Kind::Info);
        for ((at, metric), entry) in with_values.zip(statsd::encode(&report, "p", Tags::None)) {
            let labels = labels_of(metric, &names, at);
            for line in entry.split('\n') {
                let (name, rest) = line.split_once(':').unwrap();
                let rest_of_name = name.strip_prefix(&metric.measurement().replacen("plimsoll_", "p.", 1)).unwrap();
                let parts: Vec<&str> = rest_of_name.split('.').skip(1).take(labels.len()).collect();
                let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
                prop_assert!(parts.len() == labels.len() && parts.iter().all(|part| part.chars().all(is_plain)));
                prop_assert!(parts.iter().zip(&labels).all(|(part, label)| part.chars().count() == label.chars().count().max(1)));
                prop_assert_eq!(rest.split('|').count(), 2);
            }
        }
    }
}
