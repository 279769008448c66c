use std::collections::BTreeMap;

use plimsoll_measure::{Edges, Histogram};
use plimsoll_testkit::remote_write::{
    FloatSample, NativeSample, Written, WrittenSeries, broken_rules, decode_plain,
};
use proptest::prelude::*;

use super::*;
use crate::catalogue;
use crate::fixture::Fixture;

const START_MS: i64 = 1_700_000_000_000;

/// A run told by its reports, and all it wrote.
struct Told {
    encoder: Encoder,
    fixture: Fixture,
    parts: Vec<Part>,
}

impl Told {
    fn new() -> Self {
        Self::with(&[], 1)
    }

    fn with(labels: &[(&str, &str)], lanes: u8) -> Self {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { encoder: Encoder::new(labels, lanes), fixture: Fixture::new(), parts: Vec::new() }
    }

    /// What second `number` (from 1) says of these series.
    fn second(&mut self, number: i64, readings: Vec<Reading>) -> Vec<Part> {
        let event = self.fixture.second();
        self.tell(&event, number, readings)
    }

    fn end(&mut self, number: i64) -> Vec<Part> {
        let event = self.fixture.end_event();
        self.tell(&event, number, Vec::new())
    }

    fn tell(&mut self, event: &RunEvent, number: i64, readings: Vec<Reading>) -> Vec<Part> {
        let wall_nanos = (START_MS + number * 1000) * 1_000_000;
        let parts = self.encoder.encode(event, Some(&Report { wall_nanos, readings }));
        self.parts.extend_from_slice(&parts);
        parts
    }

    fn written(&self, version: Version, histograms: Histograms) -> Written {
        written(&self.parts, version, histograms)
    }
}

fn written(parts: &[Part], version: Version, histograms: Histograms) -> Written {
    let number = if version == Version::V1 { 1 } else { 2 };
    let bodies = parts.iter().map(|part| part.body.as_slice());
    let made = request(bodies, Form { version, histograms }).unwrap();
    let written = decode_plain(&made.body, number).unwrap();
    assert_eq!(broken_rules(&written, number), Vec::<String>::new());
    let sum = |count: fn(&WrittenSeries) -> usize| written.series.iter().map(count).sum::<usize>() as u64;
    assert_eq!(made.samples, sum(|series| series.samples.len()));
    assert_eq!(made.histograms, sum(|series| series.histograms.len()));
    assert_eq!(made.exemplars, sum(|series| series.exemplars.len()));
    written
}

fn find<'w>(written: &'w Written, metric: &str, labels: &[(&str, &str)]) -> Option<&'w WrittenSeries> {
    let has = |series: &WrittenSeries, name: &str, value: &str| {
        series.labels.iter().any(|(known, found)| known == name && found == value)
    };
    let mut found = written.series.iter().filter(|series| {
        has(series, "__name__", metric) && labels.iter().all(|(name, value)| has(series, name, value))
    });
    let first = found.next();
    assert!(found.next().is_none(), "{metric} is there once");
    first
}

/// Seconds since the start and values; stale is none.
fn samples(series: Option<&WrittenSeries>) -> Vec<(f64, Option<f64>)> {
    let sample = |sample: &FloatSample| {
        ((sample.at_ms - START_MS) as f64 / 1000.0, (!sample.is_stale()).then_some(sample.value))
    };
    series.unwrap().samples.iter().map(sample).collect()
}

fn requests(count: u64) -> Reading {
    let labels = ["shop", "browse", "list", "measured", "ok", "200"].map(Into::into).to_vec();
    Reading::new(&catalogue::REQUESTS, labels, Change::Count(count))
}

fn users(level: Option<f64>) -> Reading {
    Reading::new(&catalogue::VIRTUAL_USERS, vec!["shop".into()], Change::Level(level))
}

fn iterations(edges: &Edges, nanos: &[u64]) -> Reading {
    let mut histogram = Histogram::new(edges.clone());
    nanos.iter().for_each(|nanos| histogram.record(*nanos));
    let labels = ["shop", "browse", "measured"].map(Into::into).to_vec();
    Reading::new(&catalogue::ITERATION_TIME, labels, Change::Durations(histogram.distribution()))
}

#[test]
fn a_series_begins_at_zero_is_written_when_it_changes_and_ends() {
    let mut told = Told::new();
    told.second(1, vec![requests(3), users(Some(7.0))]);
    told.second(2, vec![requests(0), users(Some(7.0))]);
    told.second(3, vec![requests(2), users(Some(8.0))]);
    told.second(4, vec![requests(0), users(None)]);
    told.end(4);
    for version in [Version::V1, Version::V2] {
        let written = told.written(version, Histograms::Both);
        assert_eq!(
            samples(find(&written, "plimsoll_requests_total", &[])),
            [(0.0, Some(0.0)), (1.0, Some(3.0)), (3.0, Some(5.0)), (4.001, None)]
        );
        assert_eq!(
            samples(find(&written, "plimsoll_virtual_users", &[])),
            [(1.0, Some(7.0)), (3.0, Some(8.0)), (4.0, None)]
        );
    }
    let points: Vec<u64> = told.parts.iter().map(|part| part.points).collect();
    assert_eq!(points, [2, 2, 1, 1], "a point is a series at a moment; the zero before is none");
}

#[test]
fn a_series_that_stands_still_is_written_every_half_minute() {
    let mut told = Told::new();
    (1..=95).for_each(|second| {
        told.second(second, vec![requests(u64::from(second == 1)), users(Some(1.0))]);
    });
    told.end(95);
    let written = told.written(Version::V2, Histograms::Both);
    let moments = |metric: &str| -> Vec<f64> {
        samples(find(&written, metric, &[])).into_iter().map(|(at, _)| at).collect()
    };
    assert_eq!(moments("plimsoll_requests_total"), [0.0, 1.0, 31.0, 61.0, 91.0, 95.001]);
    assert_eq!(moments("plimsoll_virtual_users"), [1.0, 31.0, 61.0, 91.0, 95.001]);
}

#[test]
fn no_moment_of_a_series_is_written_twice() {
    let mut told = Told::new();
    told.second(1, vec![requests(1)]);
    // What comes for a moment that is written already waits for the next.
    told.second(1, vec![requests(2)]);
    told.second(2, vec![requests(0)]);
    told.second(3, vec![users(Some(1.0))]);
    told.second(3, vec![users(Some(2.0))]);
    told.end(3);
    let written = told.written(Version::V1, Histograms::Both);
    assert_eq!(
        samples(find(&written, "plimsoll_requests_total", &[])),
        [(0.0, Some(0.0)), (1.0, Some(1.0)), (2.0, Some(3.0)), (3.001, None)]
    );
    assert_eq!(
        samples(find(&written, "plimsoll_virtual_users", &[])),
        [(3.0, Some(1.0)), (3.001, Some(2.0)), (3.002, None)]
    );
}

#[test]
fn verdicts_wait_for_no_second() {
    let mut told = Told::new();
    told.fixture.verdict(Some(plimsoll_sla::Verdict::Met));
    let sla = |met: f64| {
        let labels = vec!["shop".into(), "quick pages".into()];
        Reading::new(&catalogue::SLA_MET, labels, Change::Level(Some(met)))
    };
    let judged = told.fixture.judged();
    for second in 1..=31 {
        told.second(second, vec![requests(1)]);
        told.tell(&judged, second, vec![sla(if second == 31 { 0.0 } else { 1.0 })]);
    }
    let written = told.written(Version::V2, Histograms::Both);
    assert_eq!(
        samples(find(&written, "plimsoll_sla_met", &[])),
        [(1.0, Some(1.0)), (31.0, Some(0.0))],
        "it is due and changes in the same second, and is written once with what it is"
    );
}

#[test]
fn histograms_are_native_classic_or_both() {
    let edges = Edges::exactly([1_000_000, 250_000_000]);
    let mut told = Told::new();
    told.second(1, vec![iterations(&edges, &[500_000, 250_000_000, 3_000_000_000])]);
    told.second(2, vec![iterations(&edges, &[250_000_001])]);
    told.end(2);
    let name = "plimsoll_iteration_time_seconds";
    for version in [Version::V1, Version::V2] {
        let both = told.written(version, Histograms::Both);
        let bucket = |edge: &str| {
            let series = find(&both, &format!("{name}_bucket"), &[("le", edge)]);
            samples(series).into_iter().map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(bucket("0.001"), [Some(0.0), Some(1.0), Some(1.0), None]);
        assert_eq!(bucket("0.25"), [Some(0.0), Some(2.0), Some(2.0), None]);
        assert_eq!(bucket("+Inf"), [Some(0.0), Some(3.0), Some(4.0), None]);
        let part = |suffix: &str| samples(find(&both, &format!("{name}_{suffix}"), &[]));
        assert_eq!(part("count")[2], (2.0, Some(4.0)));
        assert_eq!(part("sum")[2], (2.0, Some(3.500_500_001)));
        let native = &find(&both, name, &[]).unwrap().histograms;
        let counts: Vec<_> = native.iter().map(|sample| (sample.count, sample.zero_count)).collect();
        assert_eq!(counts, [(0, 0), (3, 0), (4, 0), (0, 0)]);
        assert_eq!(
            native.iter().map(NativeSample::is_stale).collect::<Vec<_>>(),
            [false, false, false, true]
        );
        assert_eq!((native[2].schema, native[2].sum), (6, 3.500_500_001));
        let created: Vec<_> = native.iter().map(|sample| sample.start_ms).collect();
        let expected = if version == Version::V2 { START_MS } else { 0 };
        assert_eq!(created, [expected; 4]);

        let alone = told.written(version, Histograms::Native);
        assert_eq!(alone.series.len(), 1);
        assert_eq!(find(&alone, name, &[]).unwrap().histograms, *native);
        let classic = told.written(version, Histograms::Classic);
        assert!(classic.series.iter().all(|series| series.histograms.is_empty()));
        assert_eq!(classic.series.len(), both.series.len() - 1);
    }
    assert_eq!(
        told.parts.iter().map(|part| part.points).sum::<u64>(),
        3,
        "in any form a histogram is one point"
    );
}

#[test]
fn every_series_is_described() {
    let mut told = Told::new();
    let edges = Edges::exactly([1_000_000]);
    told.second(1, vec![requests(1), users(Some(1.0)), iterations(&edges, &[7])]);
    let two = told.written(Version::V2, Histograms::Both);
    let kinds: Vec<_> = two
        .series
        .iter()
        .map(|series| {
            let described = series.described.as_ref().unwrap();
            assert!(described.help.ends_with('.'), "{}", described.help);
            (described.kind, described.unit.as_str())
        })
        .collect();
    let histogram = (3, "seconds");
    assert_eq!(kinds, [&[(1, ""), (2, "")], [histogram; 5].as_slice()].concat(), "in the order they began");
    assert_eq!(two.metadata, BTreeMap::new());
    let one = told.written(Version::V1, Histograms::Both);
    let kinds: Vec<_> =
        one.metadata.iter().map(|(name, described)| (name.as_str(), described.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("plimsoll_iteration_time_seconds", 3),
            ("plimsoll_requests_total", 1),
            ("plimsoll_virtual_users", 2)
        ]
    );
    assert_eq!(one.metadata["plimsoll_requests_total"].help, catalogue::REQUESTS.help);
}

#[test]
fn exemplars_go_with_their_bucket_and_with_the_native_histogram() {
    let edges = Edges::exactly([1_000_000, 250_000_000]);
    let mut reading = iterations(&edges, &[300_000_000, 100]);
    let exemplar = |trace: &str, nanos, wall_nanos| Exemplar {
        labels: vec![("trace_id".to_owned(), trace.to_owned()), ("step".to_owned(), "list".to_owned())],
        nanos,
        wall_nanos,
    };
    reading.exemplars = vec![
        exemplar("late", 300_000_000, Some((START_MS + 900) * 1_000_000)),
        exemplar("early", 300_000_000, Some((START_MS + 100) * 1_000_000)),
        exemplar("timeless", 100, None),
        exemplar(&"x".repeat(120), 100, None),
    ];
    let mut told = Told::new();
    told.second(1, vec![reading]);
    told.second(2, vec![iterations(&edges, &[5])]);
    for version in [Version::V1, Version::V2] {
        let written = told.written(version, Histograms::Both);
        let shown = |metric: &str, edge: &[(&str, &str)]| -> Vec<(String, f64, i64)> {
            let series = find(&written, metric, edge).unwrap();
            let read = |one: &plimsoll_testkit::remote_write::WrittenExemplar| {
                assert_eq!(one.labels[0], ("step".to_owned(), "list".to_owned()), "sorted");
                (one.labels[1].1.clone(), one.value, one.at_ms - START_MS)
            };
            series.exemplars.iter().map(read).collect()
        };
        let name = "plimsoll_iteration_time_seconds";
        let of = |trace: &str, value, at| (trace.to_owned(), value, at);
        let slow = [of("early", 0.3, 100), of("late", 0.3, 900)];
        assert_eq!(shown(&format!("{name}_bucket"), &[("le", "+Inf")]), slow);
        assert_eq!(shown(&format!("{name}_bucket"), &[("le", "0.001")]), [of("timeless", 1e-7, 1000)]);
        assert_eq!(shown(&format!("{name}_bucket"), &[("le", "0.25")]), []);
        assert_eq!(shown(name, &[]), [slow.as_slice(), &[of("timeless", 1e-7, 1000)]].concat());
    }
}

#[test]
fn labels_of_the_plan_come_to_every_series_and_a_metrics_own_stay() {
    let mut told = Told::with(
        &[("instance", "g1"), ("Zone", "b"), ("plan", "other"), ("empty", ""), ("le", "1"), ("__x", "1")],
        1,
    );
    told.second(1, vec![requests(1)]);
    let written = told.written(Version::V1, Histograms::Both);
    let labels: Vec<String> =
        written.series[0].labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        labels,
        [
            "Zone=b",
            "__name__=plimsoll_requests_total",
            "instance=g1",
            "outcome=ok",
            "phase=measured",
            "plan=shop",
            "scenario=browse",
            "status=200",
            "step=list"
        ]
    );
}

#[test]
fn a_run_told_again_is_written_again_byte_for_byte() {
    let tell = || {
        let mut told = Told::with(&[("instance", "g1")], 4);
        let mut fixture = Fixture::busy();
        let mut readings = crate::Readings::new(fixture.started());
        for event in [fixture.start_event(), fixture.second(), fixture.judged(), fixture.end_event()] {
            let report = readings.read(&event);
            told.parts.extend(told.encoder.encode(&event, report.as_ref()));
        }
        told.parts
    };
    let parts = tell();
    assert_eq!(parts, tell());
    assert!(parts.iter().any(|part| part.lane != parts[0].lane));
    let whole = written(&parts, Version::V2, Histograms::Both);
    let ended = |series: &WrittenSeries| {
        series.samples.last().is_some_and(FloatSample::is_stale)
            || series.histograms.last().is_some_and(NativeSample::is_stale)
    };
    assert!(whole.series.iter().all(ended), "every series ends with the run");
    let mut lanes: BTreeMap<Vec<(String, String)>, u8> = BTreeMap::new();
    for part in &parts {
        for series in written(std::slice::from_ref(part), Version::V2, Histograms::Both).series {
            let lane = *lanes.entry(series.labels.clone()).or_insert(part.lane);
            assert_eq!(lane, part.lane, "{:?} keeps its lane", series.labels);
        }
    }
}

#[test]
fn a_part_is_halved_down_to_one_point() {
    let mut told = Told::new();
    let edges = Edges::exactly([1_000_000]);
    let [part] =
        told.second(1, vec![requests(1), users(Some(1.0)), iterations(&edges, &[7])]).try_into().unwrap();
    let [first, second] = halves(&part).unwrap();
    assert_eq!((first.points, second.points), (1, 2));
    let together = written(&[first.clone(), second], Version::V1, Histograms::Both);
    assert_eq!(together, told.written(Version::V1, Histograms::Both));
    assert_eq!(halves(&first), None);
    assert_eq!(halves(&Part { body: vec![7], ..first }), None);
}

#[test]
fn many_series_are_many_parts() {
    let mut told = Told::with(&[], 3);
    let readings = (0..4000).map(|status| {
        let labels =
            ["shop", "browse", "list", "measured", "ok", &status.to_string()].map(Into::into).to_vec();
        Reading::new(&catalogue::REQUESTS, labels, Change::Count(1))
    });
    let parts = told.second(1, readings.collect());
    assert_eq!(parts.iter().map(|part| part.points).sum::<u64>(), 4000);
    for lane in 0..3 {
        let points: u64 = parts.iter().filter(|part| part.lane == lane).map(|part| part.points).sum();
        assert!((1000..1700).contains(&points), "{points} points in lane {lane}");
    }
    assert!(parts.iter().all(|part| part.points <= 500));
    assert_eq!(told.written(Version::V2, Histograms::Both).series.len(), 4000);
}

proptest! {
    #[test]
    fn any_names_keep_the_rules(plan in any::<String>(), step in any::<String>(), extra in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4)) {
        let mut fixture = Fixture::of("run", &plan, &step);
        fixture.request(0, 0, Some(204), 7_000_000);
        let mut readings = crate::Readings::new(fixture.started());
        let mut encoder = Encoder::new(extra, 2);
        let event = fixture.second();
        let report = readings.read(&event).unwrap();
        let parts = encoder.encode(&event, Some(&report));
        prop_assert_eq!(parts.iter().map(|part| part.points).sum::<u64>(), report.readings.iter().filter(|reading| reading.change != Change::Level(None)).count() as u64);
        let one = written(&parts, Version::V1, Histograms::Both);
        let two = written(&parts, Version::V2, Histograms::Both);
        let labels = |written: &Written| written.series.iter().map(|series| series.labels.clone()).collect::<Vec<_>>();
        prop_assert_eq!(labels(&one), labels(&two));
    }

    #[test]
    fn counts_arrive_whole_and_quantiles_within_their_error(seconds in prop::collection::vec(prop::collection::vec(2_000_u64..100_000_000_000, 0..60), 1..6), share in 0.0..1.0_f64) {
        let edges = Edges::with_thresholds([333_000_000]);
        let mut told = Told::new();
        for (number, nanos) in (1..).zip(&seconds) {
            told.second(number, vec![iterations(&edges, nanos)]);
        }
        let mut all: Vec<u64> = seconds.concat();
        all.sort_unstable();
        let written = told.written(Version::V2, Histograms::Both);
        let native = find(&written, "plimsoll_iteration_time_seconds", &[]).unwrap().histograms.last().unwrap();
        prop_assert_eq!(native.count, all.len() as u64);
        for edge in edges.nanos() {
            let text = crate::number::float(crate::number::seconds(*edge));
            let series = find(&written, "plimsoll_iteration_time_seconds_bucket", &[("le", text.as_str())]);
            let exact = all.iter().filter(|nanos| *nanos <= edge).count() as f64;
            prop_assert_eq!(series.unwrap().samples.last().unwrap().value, exact);
        }
        if !all.is_empty() {
            let rank = ((share * all.len() as f64).ceil().max(1.0) as usize).min(all.len());
            let truth = all[rank - 1] as f64 / 1e9;
            let found = native.quantile(share);
            prop_assert!((found / truth - 1.0).abs() < 0.012, "{} for {}", found, truth);
        }
    }

    #[test]
    fn damaged_bytes_are_an_error(body in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let form = Form { version: Version::V2, histograms: Histograms::Both };
        let _ = request([body.as_slice()], form);
        let mut told = Told::new();
        let [mut part] = told.second(1, vec![requests(1), iterations(&Edges::exactly([5]), &[7])]).try_into().unwrap();
        let at = at.index(part.body.len());
        part.body[at] ^= flip;
        let _ = request([part.body.as_slice()], form);
        let _ = halves(&part);
    }
}
