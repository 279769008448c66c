use super::*;
use plimsoll_measure::{IterationKey, IterationSeries, Outcome, Phase, Sample, SeriesKey, Shard};

const MS: u64 = 1_000_000;

/// A second in which `count` requests were late by `lag` and took `time` (nanoseconds).
fn frame(second: u64, phase: Phase, count: u64, lag: u64, time: u64) -> Frame {
    let mut shard = Shard::new(second, Edges::default());
    let key = SeriesKey { step: 0, phase, stage: Some(0), outcome: Outcome::Ok };
    for _ in 0..count {
        shard.record(&Sample {
            key,
            due: 0,
            ready: lag,
            sent: Some(lag),
            done: time,
            connect: None,
            tls: None,
            first_byte: None,
            status: Some(200),
            received_bytes: 0,
            sent_bytes: 0,
            address: 0,
        });
    }
    let mut frame = Frame::new(second);
    shard.merge_into(&mut frame);
    frame
}

fn arrivals(second: u64, arrivals: u64, dropped_generator: u64, dropped_in_flight_limit: u64) -> Frame {
    let key = IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(0) };
    let series = IterationSeries {
        arrivals,
        dropped_generator,
        dropped_in_flight_limit,
        ..IterationSeries::default()
    };
    let mut frame = Frame::new(second);
    frame.iterations.insert(key, series);
    frame
}

/// 12:03:00 UTC on some day.
const STARTED: i64 = (20_000 * 86_400 + 12 * 3600 + 3 * 60) * 1_000_000_000;

fn report(frames: &[(Frame, Option<f64>)]) -> ValidityReport {
    let with_vitals = |(frame, cpu_ratio): &(Frame, Option<f64>)| {
        (frame.clone(), Vitals { cpu_ratio: *cpu_ratio, ..Vitals::default() })
    };
    judged(&frames.iter().map(with_vitals).collect::<Vec<_>>())
}

fn judged(seconds: &[(Frame, Vitals)]) -> ValidityReport {
    let mut tracker = ValidityTracker::new(Edges::default(), STARTED);
    for (frame, vitals) in seconds {
        tracker.second(frame, vitals);
    }
    tracker.report()
}

/// Ten seconds of 200 requests of 20 ms; those of the given seconds are late by `lag` with these vitals.
fn late(seconds: &[u64], lag: u64, vitals: Vitals) -> ValidityReport {
    let calm = Vitals { cpu_ratio: Some(0.2), stall_seconds: Some(0.000_1), ..Vitals::default() };
    let second = |second: u64| match seconds.contains(&second) {
        true => (frame(second, Phase::Measured, 200, lag, lag + 20 * MS), vitals),
        false => (frame(second, Phase::Measured, 200, 0, 20 * MS), calm),
    };
    judged(&(0..10).map(second).collect::<Vec<_>>())
}

#[test]
fn nothing_measured_is_no_reason_for_doubt_and_gives_no_figures() {
    let report = report(&[]);
    assert_eq!(report, ValidityReport::default());
    assert_eq!((report.verdict.label(), report.verdict.value()), ("valid", 1.0));
}

#[test]
fn lag_is_measured_against_the_floor_and_the_median() {
    for (count, lag, time, verdict) in [
        (200, MS, 2 * MS, Validity::Valid),
        (200, 2 * MS, 4 * MS, Validity::Suspect),
        (200, 2 * MS, 60 * MS, Validity::Valid), // 5% of 60 ms is 3 ms
        (200, 11 * MS, 20 * MS, Validity::Invalid),
        (200, 20 * MS, 100 * MS, Validity::Suspect),
        (200, 51 * MS, 100 * MS, Validity::Invalid),
        (99, 51 * MS, 100 * MS, Validity::Suspect), // no p99 to speak of
        (1, 900 * MS, 1000 * MS, Validity::Suspect),
    ] {
        let report = report(&[(frame(0, Phase::Measured, count, lag, time), None)]);
        assert_eq!(report.verdict, verdict, "{count} requests late by {lag} ns of {time}");
        assert_eq!(report.reasons.is_empty(), verdict == Validity::Valid);
        assert_eq!(report.schedule_lag.count, count);
    }
}

#[test]
fn one_late_request_in_a_hundred_is_tolerated() {
    let frames = [
        (frame(0, Phase::Measured, 198, 0, 2 * MS), None),
        (frame(1, Phase::Measured, 2, 50 * MS, 52 * MS), None),
    ];
    assert_eq!(report(&frames).verdict, Validity::Valid);
}

#[test]
fn generator_drops_count_by_their_share() {
    for (due, drops, verdict) in [
        (1000, 1, Validity::Valid),
        (1000, 2, Validity::Suspect),
        (1000, 10, Validity::Suspect),
        (1000, 11, Validity::Invalid),
        (0, 0, Validity::Valid),
        (1, 1, Validity::Invalid),
    ] {
        let report = report(&[(arrivals(0, due, drops, 0), None)]);
        assert_eq!((report.verdict, report.generator_drops), (verdict, drops), "{drops} of {due}");
    }
}

#[test]
fn a_stalled_target_never_touches_validity() {
    let frames =
        [(frame(0, Phase::Measured, 500, 0, 30_000 * MS), Some(0.1)), (arrivals(1, 1000, 0, 900), Some(0.1))];
    let report = report(&frames);
    assert_eq!((report.verdict, report.reasons.len()), (Validity::Valid, 0));
}

#[test]
fn busy_processors_count_when_they_stay_busy() {
    let busy = |second, ratio| (arrivals(second, 10, 0, 0), Some(ratio));
    let row: Vec<_> = (0..5).map(|second| busy(second, 0.95)).collect();
    assert_eq!(report(&row).verdict, Validity::Suspect);
    assert_eq!(report(&row).generator_cpu_ratio, Some(0.95));
    assert_eq!(report(&row[..4]).verdict, Validity::Valid);
    let mut broken = row;
    broken[2] = busy(2, 0.9);
    assert_eq!(report(&broken).verdict, Validity::Valid, "exactly 90% is not over it");
    broken[2].1 = None;
    assert_eq!(report(&broken).verdict, Validity::Valid, "an unknown second ends the row");
    broken.remove(2);
    broken.push(busy(5, 1.0));
    assert_eq!(report(&broken).verdict, Validity::Valid, "and so does a missing one");
}

#[test]
fn warm_up_is_left_out() {
    let mut drops = arrivals(1, 0, 0, 0);
    let key = IterationKey { scenario: 0, phase: Phase::Warmup, stage: Some(0) };
    drops.iterations = [(key, arrivals(1, 10, 10, 0).iterations.into_values().next().unwrap())].into();
    let mut frames = vec![(frame(0, Phase::Warmup, 500, 900 * MS, 901 * MS), Some(1.0)), (drops, Some(1.0))];
    frames.extend((2..10).map(|second| (frame(second, Phase::Warmup, 1, 0, MS), Some(1.0))));
    assert_eq!(report(&frames), ValidityReport::default());
}

#[test]
fn reasons_say_what_how_much_when_and_why() {
    let busy = Vitals { cpu_ratio: Some(0.98), ..Vitals::default() };
    for (seconds, when) in [
        (&[5, 6, 7, 8, 9][..], " from 12:03:05 UTC on"),
        (&[9], " at 12:03:09 UTC"),
        (&[2, 3], " from 12:03:02 UTC to 12:03:03 UTC"),
        (&[1, 3, 9], " in 3 s between 12:03:01 UTC and 12:03:09 UTC"),
    ] {
        let report = late(seconds, 4 * MS, busy);
        assert_eq!(report.verdict, Validity::Suspect);
        let expected = format!(
            "the generator, not the target, added up to 4.00 ms at p99{when}: CPU 98%; p99 schedule lag 4.00 ms, \
             tolerated 1.00 ms"
        );
        assert_eq!(report.reasons[0], expected);
    }
}

#[test]
fn what_was_behind_a_gap_is_told_by_the_time_it_was_then() {
    let mut clock = WallClock::new(STARTED);
    assert_eq!(clock.at(7), "12:03:07 UTC");
    clock.gaps = vec![(5, 90_000_000_000), (8, 86_400_000_000_000)];
    assert_eq!(
        [4, 5, 7, 8].map(|second| clock.at(second)),
        ["12:03:04 UTC", "12:04:35 UTC", "12:04:37 UTC", "12:04:38 UTC on day 2"]
    );
}

#[test]
fn the_cause_that_hindered_most_of_the_late_seconds_is_named() {
    let none = Vitals::default();
    for (vitals, cause) in [
        (Vitals { cpu_ratio: Some(0.3), worker_cpu_ratio: Some(0.97), ..none }, ": CPU 97%"),
        (
            Vitals { worker_wait_ratio: Some(0.83), ..none },
            ": others had the CPU, and it waited for that 83% of the time",
        ),
        (
            Vitals { steal_ratio: Some(0.12), worker_wait_ratio: Some(0.5), cpu_ratio: Some(1.0), ..none },
            ": the machine's host gave 12% of its CPU time to others",
        ),
        (Vitals { throttled_ratio: Some(0.6), ..none }, ": a CPU quota held it for 60% of the time"),
        (
            Vitals { memory_pressure_ratio: Some(0.4), ..none },
            ": the machine waited for memory 40% of the time",
        ),
        (Vitals { link_ratio: Some(0.99), ..none }, ": network link 99%"),
        (Vitals { stall_seconds: Some(2.0), ..none }, ": it stood still for 2.00 s"),
        (Vitals { stall_seconds: Some(0.001_9), ..none }, ""),
        (Vitals { cpu_ratio: Some(f64::NAN), steal_ratio: Some(0.01), ..none }, ""),
        (none, ""),
    ] {
        let reason = &late(&[3, 4], 4 * MS, vitals).reasons[0];
        let (_, rest) = reason.split_once("12:03:04 UTC").unwrap();
        assert!(rest.starts_with(&format!("{cause}; p99")), "{vitals:?}: {reason}");
    }
}

/// The kernel counts a wait for a processor when it is over: until then there is only a stall.
#[test]
fn a_stall_is_no_cause_where_there_is_another() {
    let stall = Vitals { stall_seconds: Some(1.0), ..Vitals::default() };
    let crowded = Vitals { worker_wait_ratio: Some(0.9), ..stall };
    let second = |(second, vitals)| (frame(second, Phase::Measured, 200, 400 * MS, 420 * MS), vitals);
    let report = judged(&(0..).zip([stall, stall, crowded, stall]).map(second).collect::<Vec<_>>());
    assert!(report.reasons[0].contains("others had the CPU"), "{:?}", report.reasons);
}

/// The seconds that a stall spans close together when it is over: the first of them has the vitals, and
/// what was late ends in the last.
#[test]
fn a_long_stall_is_found_before_what_it_made_late() {
    let stall = Vitals { stall_seconds: Some(3.2), ..Vitals::default() };
    let quiet = |second| (frame(second, Phase::Measured, 100, 0, 20 * MS), Vitals::default());
    let mut seconds = vec![quiet(0), quiet(1), (Frame::new(2), stall)];
    seconds[2].0 = arrivals(2, 100, 0, 0);
    seconds
        .extend([(arrivals(3, 100, 0, 0), Vitals::default()), (arrivals(4, 100, 0, 0), Vitals::default())]);
    seconds.push((frame(5, Phase::Measured, 300, 3000 * MS, 3020 * MS), Vitals::default()));
    let report = judged(&seconds);
    assert_eq!(report.verdict, Validity::Invalid);
    assert!(report.reasons[0].contains("at 12:03:05 UTC: it stood still for 3.20 s"), "{:?}", report.reasons);
}

#[test]
fn what_hinders_for_seconds_in_a_row_makes_suspect() {
    let none = Vitals::default();
    for (vitals, words) in [
        (Vitals { cpu_ratio: Some(0.95), ..none }, "the generator used over 90% of its processors"),
        (Vitals { worker_cpu_ratio: Some(0.95), ..none }, "the generator used over 90% of its processors"),
        (
            Vitals { steal_ratio: Some(0.06), ..none },
            "the host of the generator's machine gave over 5% of its CPU time to others",
        ),
        (
            Vitals { throttled_ratio: Some(0.06), ..none },
            "a CPU quota held the generator for over 5% of the time",
        ),
        (Vitals { link_ratio: Some(0.95), ..none }, "the generator's network link was over 90% full"),
        (
            Vitals { stall_seconds: Some(0.011), ..none },
            "a worker of the generator stood still for at least 11.0 ms each second",
        ),
    ] {
        let row = |count| {
            let second = |second| (frame(second, Phase::Measured, 200, 0, 20 * MS), vitals);
            judged(&(0..count).map(second).collect::<Vec<_>>())
        };
        assert_eq!(row(4).verdict, Validity::Valid, "{words}");
        let report = row(7);
        assert_eq!(report.verdict, Validity::Suspect);
        assert_eq!(report.reasons, [format!("{words} for 7 s in a row from 12:03:00 UTC on")]);
    }
    for vitals in [
        // Others on the machine, and their memory, do harm by making us late and not before.
        Vitals { worker_wait_ratio: Some(0.5), ..none },
        Vitals { memory_pressure_ratio: Some(0.5), ..none },
        // A fast machine has stalls too, and a slow target forgives more.
        Vitals { stall_seconds: Some(0.009), ..none },
        Vitals { retransmits: Some(1000), receive_queue_bytes: Some(1 << 30), ..none },
    ] {
        let second = |second| (frame(second, Phase::Measured, 200, 0, 20 * MS), vitals);
        let report = judged(&(0..9).map(second).collect::<Vec<_>>());
        assert_eq!((report.verdict, report.reasons.len()), (Validity::Valid, 0), "{vitals:?}");
    }
}

#[test]
fn what_a_generator_ran_out_of_is_named_and_not_the_target() {
    let none = Vitals::default();
    for (vitals, cause) in [
        (
            Vitals { descriptors: Some(1020), descriptor_limit: Some(1024), ..none },
            ": 1020 of the 1024 file descriptors it may have were open",
        ),
        (
            Vitals {
                tcp_sockets: Some(8000),
                time_wait_sockets: Some(20_000),
                local_ports: Some(28_232),
                ..none
            },
            ": 8000 TCP sockets were open and 20000 in TIME_WAIT, for 28232 local ports",
        ),
        (Vitals { descriptors: Some(100), descriptor_limit: Some(1024), ..none }, ""),
        (none, ""),
    ] {
        let seconds = [(arrivals(0, 1000, 0, 0), none), (arrivals(1, 1000, 50, 0), vitals)];
        let report = judged(&seconds);
        assert_eq!(report.verdict, Validity::Invalid);
        let expected =
            format!("the generator could not offer 50 of 2000 arrivals (2.50%) at 12:03:01 UTC{cause}");
        assert_eq!(report.reasons, [expected]);
    }
}

#[test]
fn segments_sent_again_are_told_and_not_held_against_anybody_here() {
    let told = |count| {
        let second = |second| {
            let retransmits = Some(if second == 3 { count } else { 1 });
            (frame(second, Phase::Measured, 1000, 0, 20 * MS), Vitals { retransmits, ..Vitals::default() })
        };
        judged(&(0..10).map(second).collect::<Vec<_>>())
    };
    assert_eq!(told(1).remarks, Vec::<String>::new(), "one in a thousand");
    let report = told(31);
    assert_eq!((report.verdict, report.reasons.len()), (Validity::Valid, 0));
    assert_eq!(
        report.remarks,
        [
            "TCP had to send 40 segments again, 31 of them at 12:03:03 UTC: the network or the target's machine lost or \
          delayed them, not the generator"
        ]
    );
}

#[test]
fn clock_times_go_on_after_midnight_and_never_fail() {
    assert_eq!(WallClock::new(STARTED).at(10), "12:03:10 UTC");
    assert_eq!(WallClock::new(STARTED).at(86_400), "12:03:00 UTC on day 2");
    assert_eq!(WallClock::new(STARTED).at(12 * 3600), "00:03:00 UTC on day 2");
    assert_eq!(WallClock::new(-1).at(0), "23:59:59 UTC");
    for start in [i64::MIN, i64::MAX] {
        let _ = WallClock::new(start).at(u64::MAX);
    }
}
