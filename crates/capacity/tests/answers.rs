//! Awkward points: an answer with its reason, or a refusal with the next step.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use plimsoll_capacity::{
    Answer, Basis, Bound, Bounded, Earlier, LoadKind, ModelName, Point, Points, Question, Saturation, answer,
    read_table,
};
use plimsoll_units::Quantile;
use proptest::prelude::*;

fn points(pairs: &[(f64, f64)], kind: LoadKind) -> Points {
    Points::new(pairs.iter().map(|(load, throughput)| Point::new(*load, *throughput)).collect(), kind)
        .unwrap()
}

fn ask(pairs: &[(f64, f64)]) -> Answer {
    answer(&Question::new(points(pairs, LoadKind::Users)))
}

#[track_caller]
fn refused(answer: &Answer, words: &[&str]) {
    assert_eq!(answer.peak, None);
    let refusal = answer.refusals.iter().find(|refusal| refusal.about == "peak").unwrap();
    for expected in words {
        let told = format!("{}; {}", refusal.why, refusal.next);
        assert!(told.contains(expected), "`{expected}` is not in: {told}");
    }
}

const RISING: [(f64, f64); 4] = [(8.0, 100.0), (16.0, 198.0), (32.0, 380.0), (64.0, 640.0)];

#[test]
fn a_peak_that_was_seen_is_told() {
    let found = ask(&[(8.0, 100.0), (16.0, 190.0), (32.0, 300.0), (64.0, 330.0), (128.0, 328.0)]);
    let peak = found.peak.unwrap();
    assert_eq!((found.saturation, peak.basis), (Saturation::Saturated, Basis::Measured));
    assert!((328.0..340.0).contains(&peak.throughput) && peak.low < 330.0 && peak.high > 331.0, "{peak:?}");
    assert!(found.refusals.is_empty());
}

#[test]
fn what_still_rises_has_no_peak() {
    let found = ask(&RISING);
    refused(
        &found,
        &["not saturated, at least 640/s", "gained 68%", "run at 128 users and 256 users", "cpu_ratio"],
    );
    assert_eq!(found.at_least.unwrap().throughput, 640.0);
    assert_eq!(found.next_loads, [128.0, 256.0]);
}

#[test]
fn too_little_is_refused() {
    refused(
        &ask(&[(8.0, 100.0)]),
        &["one load does not show", "three", "16 users and 32 users and 64 users"][..1],
    );
    refused(&ask(&[(8.0, 100.0), (16.0, 180.0)]), &["2 different loads do not show a bend"]);
    refused(&ask(&[(8.0, 100.0); 20]), &["one load does not show"]);
    refused(&ask(&[(8.0, 0.0), (16.0, 0.0), (32.0, 0.0)]), &["nothing succeeded", "look why"]);
}

#[test]
fn units_that_change_on_the_way_are_seen() {
    refused(
        &ask(&[(8.0, 100.0), (16.0, 190.0), (32.0, 300_000.0), (64.0, 330_000.0)]),
        &["units seem to be mixed"],
    );
}

#[test]
fn a_service_that_declines_from_the_start_has_its_peak_at_the_lowest_load() {
    let found = ask(&[(1.0, 100.0), (2.0, 90.0), (4.0, 75.0), (8.0, 55.0), (16.0, 35.0)]);
    let peak = found.peak.unwrap();
    assert_eq!(peak.load, 1.0);
    assert!((95.0..=105.0).contains(&peak.throughput), "{peak:?}");
}

#[test]
fn a_flat_service_is_flat() {
    let peak = ask(&[(1.0, 100.0), (2.0, 100.5), (4.0, 99.8), (8.0, 100.2)]).peak.unwrap();
    assert!((99.0..102.0).contains(&peak.throughput) && peak.high < 106.0, "{peak:?}");
}

#[test]
fn an_open_loop_past_its_limit_is_saturated() {
    let rates: Vec<(f64, f64)> =
        (1..=12).map(|step| f64::from(step) * 100.0).map(|rate| (rate, rate.min(950.0))).collect();
    let found = answer(&Question::new(points(&rates, LoadKind::Rate)));
    let peak = found.peak.unwrap();
    assert!((930.0..980.0).contains(&peak.throughput), "{peak:?}");
}

#[test]
fn one_ruined_point_changes_nothing() {
    let curve = |load: f64| 1000.0 * load / (load.powi(3) + 20_f64.powi(3)).cbrt();
    let loads = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
    let clean: Vec<(f64, f64)> = loads.iter().map(|load| (*load, curve(*load))).collect();
    let expected = ask(&clean).peak.unwrap().throughput;
    for ruined in 1..loads.len() {
        for factor in [0.4, 3.0] {
            let mut pairs = clean.clone();
            pairs[ruined].1 *= factor;
            let found = ask(&pairs);
            assert_eq!(found.left_out.len(), 1, "{ruined} by {factor}: {:?}", found.warnings);
            assert_eq!(found.left_out[0].load, loads[ruined]);
            let peak = found.peak.map(|peak| peak.throughput);
            assert!(
                peak.is_none_or(|peak| (peak / expected - 1.0).abs() < 0.05),
                "{ruined} by {factor}: {peak:?}"
            );
        }
    }
}

#[test]
fn history_foretells_what_one_run_cannot() {
    let loads = [8.0, 16.0, 32.0, 64.0, 128.0];
    let old: Vec<(f64, f64)> = loads.into_iter().zip([100.0, 190.0, 350.0, 500.0, 490.0]).collect();
    let new: Vec<(f64, f64)> = old[..3].iter().map(|(load, throughput)| (*load, throughput * 1.2)).collect();
    let mut question = Question::new(points(&new, LoadKind::Users));
    question.history = vec![Earlier { name: "1.0".into(), points: points(&old, LoadKind::Users) }];
    question.predict = vec![64.0, 256.0];
    let found = answer(&question);
    let peak = found.peak.unwrap();
    assert_eq!((peak.basis, peak.load), (Basis::History, 64.0));
    assert!((peak.throughput - 600.0).abs() < 1e-6 && peak.low < 600.0 && peak.high > 600.0, "{peak:?}");
    assert!((found.predictions[0].throughput.unwrap().value - 600.0).abs() < 1e-6);
    assert_eq!(found.predictions[1].throughput, None, "nobody went there");
    assert!(found.refusals.iter().any(|refusal| refusal.about == "throughput at 256"));

    let mut bent = new;
    bent[2].1 *= 0.8;
    question.points = points(&bent, LoadKind::Users);
    let found = answer(&question);
    assert_eq!(found.peak, None);
    assert!(found.warnings.iter().any(|words| words.contains("another shape")), "{:?}", found.warnings);
}

/// Levels with the throughputs of an old version, and of a new one that is 1.2 times as fast as far as it went.
fn versions(old: &[f64], measured: usize) -> (Points, Earlier) {
    let loads = [8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
    let old: Vec<(f64, f64)> = loads.into_iter().zip(old.iter().copied()).collect();
    let new: Vec<(f64, f64)> = loads[..measured].iter().map(|load| (*load, 1.2 * at(&old, *load))).collect();
    (points(&new, LoadKind::Users), Earlier { name: "1.0".into(), points: points(&old, LoadKind::Users) })
}

/// What a curve has at a load; beyond its end it goes on as it went.
fn at(curve: &[(f64, f64)], load: f64) -> f64 {
    let (last, throughput) = curve[curve.len() - 1];
    curve.iter().find(|level| level.0 == load).map_or(throughput * load / last, |level| level.1)
}

#[test]
fn an_earlier_run_that_was_not_saturated_promises_no_peak() {
    for measured in 3..6 {
        let (points, earlier) = versions(&[100.0, 190.0, 350.0, 600.0], measured);
        let found = answer(&Question { history: vec![earlier], ..Question::new(points) });
        refused(&found, &["not saturated", "run at"]);
    }
}

#[test]
fn a_resource_is_asked_where_an_earlier_run_did_not_get_as_far() {
    let (points, earlier) = versions(&[100.0, 190.0, 350.0], 5);
    let busy = points.points().iter().cloned().map(|mut point| {
        point.resources.insert("cpu".into(), point.throughput / 2000.0);
        point
    });
    let points = Points::new(busy.collect(), LoadKind::Users).unwrap();
    let found = answer(&Question { history: vec![earlier], ..Question::new(points) });
    let peak = found.peak.unwrap();
    assert_eq!(peak.basis, Basis::Utilisation);
    assert!((peak.throughput - 2000.0).abs() < 20.0, "{peak:?}");
}

#[test]
fn a_peak_that_was_seen_is_not_overruled_by_an_earlier_one() {
    let (points, earlier) = versions(&[100.0, 190.0, 350.0, 500.0, 510.0, 500.0], 6);
    let found = answer(&Question { history: vec![earlier], ..Question::new(points) });
    assert_eq!(found.peak.unwrap().basis, Basis::Measured);
}

#[test]
fn a_flat_start_is_no_peak_where_an_earlier_run_went_on_from_there() {
    let (points, earlier) = versions(&[100.0, 150.0, 153.0, 200.0, 204.0], 3);
    let found = answer(&Question { history: vec![earlier], ..Question::new(points) });
    let peak = found.peak.unwrap();
    assert_eq!((found.saturation, peak.basis, peak.load), (Saturation::Saturated, Basis::History, 128.0));
}

#[test]
fn a_bend_that_the_earlier_run_did_not_have_is_carried_on_by_nobody() {
    let (_, earlier) = versions(&[100.0, 190.0, 350.0, 600.0, 620.0], 3);
    let bent = points(&[(8.0, 100.0), (16.0, 170.0), (32.0, 190.0)], LoadKind::Users);
    let found = answer(&Question { history: vec![earlier], ..Question::new(bent.clone()) });
    assert_eq!(found.saturation, Saturation::Nearly);
    refused(&found, &["nearly saturated, at least 190/s", "another shape", "run at 64 users and 128 users"]);
    assert_eq!(answer(&Question::new(bent)).peak.unwrap().basis, Basis::Model);
}

#[test]
fn no_objective_holds_above_the_peak_of_an_open_loop() {
    let timed = |(load, throughput, p95): (f64, f64, f64)| {
        let mut point = Point::new(load, throughput);
        point.response_time.insert(Quantile::P95, p95);
        point
    };
    let levels = [
        (100.0, 100.0, 0.02),
        (200.0, 200.0, 0.02),
        (400.0, 400.0, 0.03),
        (700.0, 500.0, 0.4),
        (1400.0, 500.0, 3.0),
    ];
    let points = Points::new(levels.into_iter().map(timed).collect(), LoadKind::Rate).unwrap();
    let bound =
        Bound { text: "p95 <= 250ms".into(), of: Bounded::ResponseTime(Quantile::P95), at_most: 0.25 };
    let found = answer(&Question { bounds: vec![bound], ..Question::new(points) });
    let (peak, allowed) = (found.peak.unwrap(), found.sla_limits[0].outcome.clone().unwrap());
    assert!(allowed.load <= peak.throughput && allowed.low <= allowed.load, "{allowed:?} {peak:?}");
    assert!(allowed.high >= allowed.load && allowed.high <= peak.high.max(allowed.load), "{allowed:?}");
}

#[test]
fn a_busy_resource_says_where_it_ends() {
    let busy = |(load, throughput): (f64, f64)| {
        let mut point = Point::new(load, throughput);
        point.resources.insert("cpu".into(), 0.02 + throughput * 0.0008);
        point.resources.insert("disk".into(), throughput * 0.0001);
        point
    };
    let points = Points::new(RISING.into_iter().map(busy).collect(), LoadKind::Users).unwrap();
    let found = answer(&Question::new(points));
    let peak = found.peak.unwrap();
    assert_eq!(peak.basis, Basis::Utilisation);
    assert!((peak.throughput / (0.98 / 0.0008) - 1.0).abs() < 0.01, "{peak:?}");
    assert_eq!(found.resources[0].name, "cpu");
}

#[test]
fn requests_that_wait_for_something_else_are_not_foretold_by_what_was_recorded() {
    // A lock ends throughput at 1,000/s, and the processors are half busy then.
    let locked = |load: f64| {
        let mut point = Point::new(load, 1000.0 * load / (load + 20.0));
        point.resources.insert("cpu".into(), point.throughput / 2000.0);
        point
    };
    let users = [2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0].map(locked).to_vec();
    let found = answer(&Question::new(Points::new(users, LoadKind::Users).unwrap()));
    refused(
        &found,
        &["2.4 times as long at the highest load", "no recorded resource explains", "such as a pool, a lock"],
    );
    assert_eq!(found.resources.len(), 1, "where the processors run out is known all the same");
}

#[test]
fn what_may_run_out_anywhere_has_no_limit() {
    // At a third of its use coherency hardly shows, and noise of 5% hides what does.
    let noise = [1.05, 0.95, 1.04, 0.96, 1.05, 0.95];
    let point = |(index, factor): (usize, f64)| {
        let used = 0.055 * (index + 1) as f64;
        let mut point = Point::new(1000.0 * used, factor * 1000.0 * used / (1.0 + used + used * used));
        point.resources.insert("cpu".into(), used);
        point
    };
    let points = noise.into_iter().enumerate().map(point).collect();
    let found = answer(&Question::new(Points::new(points, LoadKind::Users).unwrap()));
    refused(
        &found,
        &["cpu runs out somewhere between", "do not tell how its demand grows", "load cpu further"],
    );
}

#[test]
fn what_the_points_do_not_tell_of_a_model_is_not_identified() {
    let told = |found: &Answer, name: &str| {
        let roofline = found.models.iter().find(|model| model.name == ModelName::Roofline).unwrap();
        roofline.parameter(name).unwrap().identified
    };
    let line = ask(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0].map(|load| (load, 10.0 * load)));
    assert!(!told(&line, "ceiling") && !told(&line, "knee"), "a line has no ceiling: {:?}", line.models);
    let flat = ask(&[(8.0, 100.0), (16.0, 190.0), (32.0, 300.0), (64.0, 330.0), (128.0, 331.0)]);
    assert!(told(&flat, "ceiling") && told(&flat, "knee"), "{:?}", flat.models);
}

#[test]
fn a_reason_and_what_to_do_stand_each_in_their_place() {
    let mut points: Vec<Point> =
        RISING.iter().map(|(load, throughput)| Point::new(*load, *throughput)).collect();
    for (index, point) in points.iter_mut().enumerate() {
        point.resources.insert("cpu".into(), 0.02 * (index + 1) as f64);
        point.response_time.insert("p95".parse().unwrap(), 0.1);
    }
    let bound = |quantile: &str, at_most| Bound {
        text: format!("{quantile} <= {at_most}"),
        of: Bounded::ResponseTime(quantile.parse().unwrap()),
        at_most,
    };
    let question = Question {
        bounds: vec![bound("p95", 0.5), bound("p95", 0.01), bound("p99", 0.5)],
        traffic: vec![("today".into(), 100.0)],
        predict: vec![1000.0],
        ..Question::new(Points::new(points, LoadKind::Users).unwrap())
    };
    let found = answer(&question);
    assert_eq!(found.refusals.len(), 6, "{:?}", found.refusals);
    const DOING: [&str; 6] = ["run ", "load ", "record ", "measure ", "find ", "look "];
    for refusal in &found.refusals {
        assert!(DOING.iter().any(|word| refusal.next.starts_with(word)), "{refusal:?}");
        assert!(!DOING.iter().any(|word| refusal.why.contains(&format!("; {word}"))), "{refusal:?}");
    }
}

#[test]
fn an_objective_is_told_between_two_levels() {
    let queue = |load: f64| {
        let mut point = Point::new(load, load);
        point.response_time.insert("p95".parse().unwrap(), 0.1 / (1.0 - load / 100.0));
        point
    };
    let points = Points::new([20.0, 40.0, 60.0, 80.0, 90.0].map(queue).to_vec(), LoadKind::Rate).unwrap();
    let bound =
        |at_most| Bound { text: "quick".into(), of: Bounded::ResponseTime("p95".parse().unwrap()), at_most };
    let mut question = Question::new(points);
    question.bounds = vec![bound(0.4), bound(2.0), bound(0.01)];
    let found = answer(&question);
    let allowed = found.sla_limits[0].outcome.as_ref().unwrap();
    assert!((allowed.load - 75.0).abs() < 1e-9, "one queue is interpolated exactly: {allowed:?}");
    assert_eq!((allowed.low, allowed.high), (60.0, 80.0));
    let why = |index: usize| found.sla_limits[index].outcome.as_ref().unwrap_err().to_string();
    assert!(why(1).contains("met at every load up to 90"), "{}", why(1));
    assert!(why(2).contains("missed already at the lowest load, 20"), "{}", why(2));
}

#[test]
fn response_times_in_several_units_have_no_objective() {
    let point = |(load, p95): (f64, f64)| {
        let mut point = Point::new(load, load);
        point.response_time.insert("p95".parse().unwrap(), p95);
        point
    };
    let rows = [(8.0, 0.08), (16.0, 81.0), (32.0, 0.086), (64.0, 0.3)].map(point);
    let of = Bounded::ResponseTime("p95".parse().unwrap());
    let question = Question {
        bounds: vec![Bound { text: "quick".into(), of, at_most: 0.25 }],
        ..Question::new(Points::new(rows.to_vec(), LoadKind::Rate).unwrap())
    };
    let found = answer(&question);
    let refusal = found.refusals.iter().find(|refusal| refusal.about == "quick").unwrap();
    assert!(refusal.why.contains("from load 16 to 32") && refusal.why.contains("units seem"), "{refusal:?}");
    assert_eq!(refusal.next, "write all response times in one unit");
}

#[test]
fn the_peak_that_a_model_reaches_has_a_load_that_can_be_run() {
    let curve = |load: f64| 1000.0 * load / (load * load + 900.0).sqrt();
    let pairs: Vec<(f64, f64)> = [6.25, 12.5, 25.0, 50.0, 100.0].map(|load| (load, curve(load))).to_vec();
    let peak = ask(&pairs).peak.unwrap();
    assert_eq!(peak.basis, Basis::Model);
    assert!(
        peak.load > 80.0 && peak.load < 300.0 && (peak.throughput / 1000.0 - 1.0).abs() < 0.04,
        "{peak:?}"
    );
}

#[test]
fn among_many_noisy_levels_the_unlucky_one_does_not_decide() {
    let points = (1..=4000).map(|index| {
        let load = f64::from(index) / 50.0;
        let mut point = Point::new(load, load);
        let noise = 1.0 + 0.2 * (f64::from(index) * 12.9898).sin();
        point.response_time.insert("p95".parse().unwrap(), noise * 0.1 / (1.0 - load / 100.0));
        point
    });
    let mut question = Question::new(Points::new(points.collect(), LoadKind::Rate).unwrap());
    let of = Bounded::ResponseTime("p95".parse().unwrap());
    question.bounds = vec![Bound { text: "quick".into(), of, at_most: 0.2 }];
    let allowed = *answer(&question).sla_limits[0].outcome.as_ref().unwrap();
    assert!((allowed.load - 50.0).abs() < 2.0, "{allowed:?}");
}

#[test]
fn a_million_points_are_few() {
    let curve = |load: f64| 1000.0 * load / (load + 50.0);
    let pairs: Vec<(f64, f64)> =
        (1..=1_000_000).map(|index| f64::from(index) / 1000.0).map(|load| (load, curve(load))).collect();
    let peak = ask(&pairs).peak.unwrap();
    assert!((950.0..1010.0).contains(&peak.throughput), "{peak:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_points_panic_and_no_number_is_bare(
        pairs in proptest::collection::vec((1e-3_f64..1e6, 0.0_f64..1e6), 1..12),
        predict in proptest::collection::vec(1e-3_f64..1e7, 0..3),
    ) {
        let mut question = Question::new(points(&pairs, LoadKind::Unknown));
        question.predict = predict;
        let found = answer(&question);
        if let Some(peak) = found.peak {
            prop_assert!(peak.low <= peak.throughput && peak.throughput <= peak.high, "{:?}", peak);
            prop_assert!(peak.throughput.is_finite() && peak.load > 0.0);
        } else {
            prop_assert!(found.refusals.iter().any(|refusal| refusal.about == "peak"));
        }
        for estimate in found.predictions.iter().filter_map(|prediction| prediction.throughput) {
            prop_assert!(estimate.low <= estimate.value && estimate.value <= estimate.high, "{:?}", estimate);
        }
    }

    #[test]
    fn units_of_load_and_throughput_change_nothing(load in 0.01_f64..100.0, throughput in 0.01_f64..100.0) {
        let pairs = [(8.0, 100.0), (16.0, 190.0), (32.0, 300.0), (64.0, 330.0), (128.0, 328.0)];
        let scaled = pairs.map(|(at, value)| (at * load, value * throughput));
        let (one, other) = (ask(&pairs).peak.unwrap(), ask(&scaled).peak.unwrap());
        prop_assert!((other.throughput / throughput / one.throughput - 1.0).abs() < 0.01, "{:?} {:?}", one, other);
    }
}

/// The corpus of `cargo xtask fuzz table`: each is read or refused, and what is read is answered or refused.
#[test]
fn every_table_of_the_corpus_is_answered_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/table");
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned();
        let Ok(mut table) = read_table(&text, &[]) else { continue };
        read += 1;
        let found = answer(&Question::new(table.runs.pop().unwrap().points));
        assert!(
            found.peak.is_some() || found.refusals.iter().any(|refusal| refusal.about == "peak"),
            "{text}"
        );
    }
    assert!(read >= 4, "{read} tables could be read");
}
