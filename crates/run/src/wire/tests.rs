use super::*;
use crate::{ResourceFigure, ResourceScrape, ResourceUnit};
use plimsoll_measure::{
    CheckKey, CloseReason, DataRow, Exchange, GroupKey, KeptRequest, Observed, Opening, Sample, Shard,
    ValueKey,
};
use proptest::prelude::*;

pub(crate) fn started() -> Started {
    let expression = "p95(response_time) <= 250ms";
    Started {
        info: RunInfo {
            id: "run".into(),
            started_nanos: 1_700_000_000_000_000_000,
            seed: u64::MAX,
            version: Some("1.4.2".into()),
            environment: None,
            tags: [("a".to_owned(), "b".to_owned())].into(),
            machine: Machine { cores: 2, ..Machine::default() },
            plimsoll: "0.1.0".into(),
            target: "http://127.0.0.1:8080".into(),
        },
        shape: Shape {
            plan: "p".into(),
            plan_hash: "h".into(),
            model: Model::Open,
            scenarios: vec![ScenarioShape { name: "browse".into(), weight: 3 }],
            steps: vec![StepShape {
                scenario: "browse".into(),
                scenario_index: Some(0),
                step: "list".into(),
            }],
            groups: vec![GroupShape {
                scenario: "browse".into(),
                scenario_index: Some(0),
                group: "look".into(),
            }],
            checks: vec![CheckShape {
                scenario: "browse".into(),
                scenario_index: Some(0),
                step: "list".into(),
                check: "has goods".into(),
            }],
            stages: vec![StageShape {
                kind: "hold".into(),
                start: 0.0,
                end: 10.0,
                from: 5.0,
                to: 5.0,
                course: Vec::new(),
            }],
            own_loads: vec![LoadShape {
                scenario: 0,
                model: Model::Closed,
                stages: vec![StageShape {
                    kind: "spike".into(),
                    start: 0.0,
                    end: 9.0,
                    from: 3.0,
                    to: 3.0,
                    course: Vec::new(),
                }],
            }],
            warmup: 1.0,
            grace: 5.0,
            iterations: None,
            edges: Edges::with_thresholds([250_000_000]),
            objectives: vec![
                Objective {
                    name: "quick".into(),
                    text: expression.into(),
                    expression: Expression::parse(expression).unwrap(),
                    over: Some(5),
                    filter: Filter { steps: Some([0].into()), scenarios: Some([0].into()), stage: None },
                    abort_after: None,
                    severity: Severity::Warning,
                    message: Some("look at the cache".into()),
                },
                Objective {
                    name: "short queue".into(),
                    text: "p95(queue) <= 1000".into(),
                    expression: Expression::parse_with(
                        "p95(queue) <= 1000",
                        &[OwnValue {
                            index: 0,
                            name: ValueName::new("queue").unwrap(),
                            form: ValueForm::Histogram,
                            unit: ValueUnit::Number,
                        }],
                    )
                    .unwrap(),
                    over: None,
                    filter: Filter::default(),
                    abort_after: None,
                    severity: Severity::Critical,
                    message: None,
                },
            ],
            addresses: vec![AddressShape { name: "10.0.0.1:80".into(), weight: 2 }],
            measures: vec![MeasureShape {
                name: ValueName::new("queue").unwrap(),
                form: ValueForm::Histogram,
                unit: ValueUnit::Number,
                edges: ValueUnit::Number.edges([512_000]),
            }],
            limits: Limits { series: 7, memory_bytes: 8 },
        },
        plan_text: "name: p\n".into(),
        calibration: Some(Calibration {
            rate: 500.0,
            service_time: Floor { count: 1000, p50: Some(0.1), p99_9: Some(0.3), ..Floor::default() },
            schedule_lag: Floor { max: Some(0.5), ..Floor::default() },
            connections: 16,
            highest_rate: 20_000.5,
            kept_rate: Some(1.0 / 3.0),
        }),
    }
}

fn second(samples: &[(u8, u64, u64)]) -> Second {
    let value_edges = started().shape.measure_edges().into();
    let mut shard = Shard::new(4, started().shape.edges).with_addresses(3).with_value_edges(value_edges);
    for (outcome, due, took) in samples {
        let outcome = Outcome::ALL[usize::from(*outcome) % Outcome::ALL.len()];
        let key = SeriesKey { step: 0, phase: Phase::Measured, stage: Some(0), outcome };
        let sample = Sample {
            key,
            due: *due,
            ready: due + 10,
            sent: Some(due + 20),
            done: due + 20 + took,
            connect: (took % 2 == 0).then_some(1000),
            tls: None,
            first_byte: Some(*took),
            status: Some(200),
            received_bytes: 7,
            sent_bytes: 3,
            address: (took % 3) as u16,
        };
        shard.record(&sample);
        shard.keep(&KeptRequest {
            sample,
            message: outcome.is_failure().then(|| "it \"failed\"".to_owned()),
            iteration: *due,
            user: (took % 2 == 0).then_some(7),
            row: (took % 5 == 0).then(|| DataRow { feed: "users".into(), row: 3 }),
            worker: 1,
            exchange: (took % 3 == 0).then(|| {
                let headers = vec![("server".to_owned(), "a \"shop\"".to_owned())];
                let body = (took % 2 == 0).then(|| "{}".to_owned());
                Exchange { method: "GET".to_owned(), url: "http://a.test/".to_owned(), headers, body }
                    .bounded()
            }),
        });
        shard.connection_opened(Opening::ALL[(took % 4) as usize]);
        shard.connection_closed(CloseReason::ALL[(took % 9) as usize], took % 2500);
        if took % 2 == 0 {
            shard.connection_waited(*took);
        }
        shard.error(outcome, 0, *due, "it went wrong");
        let observed = match took % 4 {
            0 => Observed::Ticks(*took),
            1 => Observed::Amount(*took),
            2 => Observed::Absent,
            _ => Observed::OutOfRange,
        };
        shard.value(ValueKey { value: 0, step: 0, phase: Phase::Measured, stage: Some(0) }, observed);
        shard.pending(PendingKey { step: 0, phase: Phase::Measured, stage: None }, *took, None);
        let key = IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(0) };
        shard.arrival(key);
        shard.iteration(key, *took, false);
        shard.group(GroupKey { group: 0, phase: Phase::Measured }, *took, took.is_multiple_of(2));
        shard.check(CheckKey { check: 0, phase: Phase::Measured }, took.is_multiple_of(3));
    }
    let mut frame = Frame::new(4);
    shard.merge_into(&mut frame);
    frame.overflowed_series = samples.len() as u64;
    Second {
        frame,
        gauges: Gauges { offered_rate: 5.0, ..Gauges::default() },
        vitals: Vitals { cpu_ratio: Some(0.25), ..Vitals::default() },
        resources: samples.iter().map(scrape).collect(),
        wall_nanos: 17,
    }
}

/// Every third one is a gap.
fn scrape((kind, at, left_out): &(u8, u64, u64)) -> ResourceScrape {
    let figure = |unit: ResourceUnit| ResourceFigure {
        name: format!("busy{{at=\"{}\"}}", unit.label()).into(),
        unit,
        value: *at as f64 / 3.0,
    };
    let figures = match kind % 3 {
        0 => Err("no answer within 800ms".to_owned()),
        count => Ok(ResourceUnit::ALL[..usize::from(count * 3)].iter().copied().map(figure).collect()),
    };
    ResourceScrape { source: "shop".into(), at: *at, figures, left_out: *left_out }
}

#[test]
fn resources_of_a_later_version_are_read_as_far_as_they_are_known() {
    let head = r#"{"second":4,"resources":[{"source":"a","at":5,"figures":[["x","furlongs",1],["y","cores",2]],"new":1}]}"#;
    let rows = SecondRows { second: 4, head: head.into(), series: Vec::new() };
    let read = from_rows(&rows, &started().shape.edges).unwrap().resources;
    let figure = ResourceFigure { name: "y".into(), unit: ResourceUnit::Cores, value: 2.0 };
    let expected = ResourceScrape { source: "a".into(), at: 5, figures: Ok(vec![figure]), left_out: 0 };
    assert_eq!(read, [expected]);
    let before = SecondRows { head: r#"{"second":4}"#.into(), ..rows };
    assert_eq!(from_rows(&before, &started().shape.edges).unwrap().resources, []);
}

#[test]
fn the_first_and_the_last_event_survive() {
    let before = started();
    let line = to_line(&RunEvent::Started(Arc::new(before.clone()))).unwrap();
    let RunEvent::Started(after) = from_line(&line, &Edges::default()).unwrap() else { panic!("{line}") };
    assert_eq!(*after, before);
    let count = ExportCount { sink: "influxdb".into(), produced: 3, acknowledged: 1, backlog: 1, lost: 1 };
    let before = Ended {
        at: 5,
        status: RunStatus::Aborted,
        reason: Some("why".into()),
        exports: vec![count],
        samples: Some(SamplesCount { written: 7, skipped: 2 }),
    };
    let line = to_line(&RunEvent::Ended(Arc::new(before.clone()))).unwrap();
    let RunEvent::Ended(after) = from_line(&line, &Edges::default()).unwrap() else { panic!("{line}") };
    assert_eq!(*after, before);
}

#[test]
fn a_later_version_is_refused_by_its_number() {
    let line = to_line(&RunEvent::Started(Arc::new(started()))).unwrap().replacen(
        "\"version\":1",
        "\"version\":2",
        1,
    );
    let error = from_line(&line, &Edges::default()).unwrap_err();
    assert_eq!(error.to_string(), "the record is of version 2, this build reads up to 1");
}

#[test]
fn a_record_of_before_connections_were_counted_is_read() {
    let line = r#"{"event":"second","second":4,"connections":3,"reconnects":2}"#;
    let RunEvent::Second(second) = from_line(line, &Edges::default()).unwrap() else { panic!() };
    assert_eq!(second.frame, Frame { reconnects: 2, ..Frame::new(4) });
    assert_eq!(second.gauges.connections, 3);
}

#[test]
fn a_reason_that_a_later_version_knows_is_skipped() {
    let line = r#"{"event":"second","second":4,"connection_counts":{"closed":{"error":2,"tired":1}}}"#;
    let RunEvent::Second(second) = from_line(line, &Edges::default()).unwrap() else { panic!() };
    assert_eq!(second.frame.connections.closed(CloseReason::Error), 2);
}

#[test]
fn what_was_steered_survives_and_a_change_that_is_none_is_told() {
    for change in ["rate 800.5/s", "users 200", "scale 1.5", "pause", "resume", "stop"] {
        let change = change.parse().unwrap();
        let before = Steered { at: 7, effective: u64::MAX, loads: vec![0, 2], change, by: "anna".into() };
        let line = to_line(&RunEvent::Steered(Arc::new(before.clone()))).unwrap();
        let RunEvent::Steered(after) = from_line(&line, &Edges::default()).unwrap() else { panic!("{line}") };
        assert_eq!(*after, before);
    }
    let line = r#"{"event":"steered","at":1,"effective":2,"loads":[0],"change":"faster"}"#;
    let error = from_line(line, &Edges::default()).unwrap_err();
    assert_eq!(error.to_string(), "change: `faster` means nothing here");
}

#[test]
fn where_a_run_went_on_survives_and_is_told_in_words() {
    let before = Resumed { at: 5_000_000_000, wall_nanos: 86_403_000_000_000, away: 7_250_000_000, cut: 2 };
    let line = to_line(&RunEvent::Resumed(before)).unwrap();
    let RunEvent::Resumed(after) = from_line(&line, &Edges::default()).unwrap() else { panic!("{line}") };
    assert_eq!(after, before);
    assert_eq!(
        after.words(),
        "no load from 23:59:55 to 00:00:03 UTC: the generator was away for 7.2 s. What it had sent after its last recorded \
         second is in no figure; the 2 requests in flight then count as cut"
    );
}

#[test]
fn unknown_fields_are_skipped() {
    let event = from_line(r#"{"event":"note","at":1,"text":"t","colour":"red"}"#, &Edges::default()).unwrap();
    assert!(matches!(event, RunEvent::Note(Note { at: 1, .. })));
}

/// A fraction that a quick reading of decimals misses by its last bit.
#[test]
fn fractions_survive_to_the_last_bit() {
    for ratio in [0.009_921_262_136_687_698, 1.0 / 3.0, 0.1 + 0.2, f64::MIN_POSITIVE] {
        let mut before = second(&[]);
        before.gauges.offered_rate = ratio;
        before.vitals.cpu_ratio = Some(ratio);
        let after = from_rows(&to_rows(&before), &started().shape.edges).unwrap();
        assert_eq!((after.gauges, after.vitals), (before.gauges, before.vitals));
    }
}

#[test]
fn every_vital_survives_and_a_record_without_them_is_read() {
    let mut before = second(&[]);
    before.vitals = Vitals {
        cpu_ratio: Some(0.125),
        worker_cpu_ratio: Some(0.25),
        worker_wait_ratio: Some(0.375),
        steal_ratio: Some(0.5),
        throttled_ratio: Some(0.625),
        stall_seconds: Some(0.75),
        descriptors: Some(7),
        descriptor_limit: Some(8),
        tcp_sockets: Some(9),
        time_wait_sockets: Some(10),
        local_ports: Some(11),
        retransmits: Some(12),
        round_trip_seconds: Some(1.625),
        receive_queue_bytes: Some(14),
        link_ratio: Some(1.875),
        rss_bytes: Some(16),
        memory_available_bytes: Some(17),
        memory_pressure_ratio: Some(2.25),
    };
    let rows = to_rows(&before);
    assert_eq!(from_rows(&rows, &started().shape.edges).unwrap().vitals, before.vitals);
    let without = SecondRows { head: r#"{"second":4,"generator_cpu_ratio":0.5}"#.into(), ..rows };
    let read = from_rows(&without, &started().shape.edges).unwrap().vitals;
    assert_eq!(read, Vitals { cpu_ratio: Some(0.5), ..Vitals::default() });
    assert!(!to_rows(&Second { vitals: read, ..before }).head.contains("vitals"));
}

proptest! {
    #[test]
    fn seconds_survive_as_a_line_and_as_rows(samples in prop::collection::vec((any::<u8>(), 0_u64..4_000_000_000, 0_u64..9_000_000_000), 0..40)) {
        let before = second(&samples);
        let edges = started().shape.edges;
        let line = to_line(&RunEvent::Second(Arc::new(before.clone()))).unwrap();
        prop_assert!(!line.contains('\n'));
        let RunEvent::Second(after) = from_line(&line, &edges).unwrap() else { panic!("{line}") };
        prop_assert_eq!(&*after, &before);
        prop_assert_eq!(from_rows(&to_rows(&before), &edges).unwrap(), before);
    }

    #[test]
    fn no_line_panics(line in ".{0,200}") {
        let _ = from_line(&line, &Edges::default());
    }

    #[test]
    fn no_damage_panics(position in any::<prop::sample::Index>(), byte in any::<char>()) {
        let mut line = to_line(&RunEvent::Second(Arc::new(second(&[(0, 5, 6_000_000)])))).unwrap();
        let at = position.index(line.len());
        line.replace_range(at..=at, &byte.to_string());
        let _ = from_line(&line, &Edges::default());
    }
}
