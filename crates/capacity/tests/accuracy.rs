//! How good answers have to be, on published curves and on systems whose limit is known.
//!
//! The bounds were chosen on the curves of one hardware (ec2); the others judge them.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod trials;

use trials::{Reading, Shape, history, one_run, published, simulations, without_models};

#[test]
fn history_foretells_the_peak_of_the_next_version() {
    let curves = published();
    let judged = history(&curves, Some("i7"));
    assert!(judged.asked > 200 && judged.answered() >= 0.60, "{}", judged.answered());
    assert!(judged.mean_accuracy() >= 0.982, "{}", judged.mean_accuracy());
    assert!(judged.error(0.5) <= 0.005, "{}", judged.error(0.5));
    assert!(judged.within(0.05) >= 0.92, "{}", judged.within(0.05));
    assert!((0.85..=0.97).contains(&judged.coverage()), "{}", judged.coverage());
    let [last, seen] = without_models(&curves, Some("i7"));
    let best = last.mean_accuracy().max(seen.mean_accuracy());
    assert!(judged.mean_accuracy() > best, "{best} is had without any of this");
    let all = history(&curves, None);
    assert!(
        all.answered() >= 0.60 && all.mean_accuracy() >= 0.98,
        "{} {}",
        all.answered(),
        all.mean_accuracy()
    );
}

#[test]
fn a_flattening_run_foretells_its_peak_and_a_rising_one_is_refused() {
    // A quarter of the curves tell as much in a quarter of the time.
    let curves: Vec<_> = published().into_iter().step_by(4).collect();
    let scores = one_run(&curves, None);
    let flat = scores["up to 5%"].clone().with(&scores["5 to 15%"]);
    assert!(flat.asked > 300 && flat.answered() == 1.0, "{} {}", flat.asked, flat.answered());
    assert!(flat.mean_accuracy() >= 0.97, "{}", flat.mean_accuracy());
    assert!((0.85..=0.98).contains(&flat.coverage()), "{}", flat.coverage());
    assert_eq!(scores["over 15%"].answered(), 0.0, "no number where none can be known");
}

#[test]
fn a_recorded_resource_foretells_the_limit_and_its_interval_holds_it() {
    for shape in Shape::ALL {
        let score = simulations(shape, Reading::Load, 0.01, 0..150);
        let name = shape.label();
        assert!(score.answered() >= 0.95, "{name}: {}", score.answered());
        assert!(score.error(0.5) < 0.05, "{name}: median error {}", score.error(0.5));
        assert!(score.within(0.10) >= 0.90, "{name}: within 10% {}", score.within(0.10));
        assert!((0.85..=0.95).contains(&score.coverage()), "{name}: covered {}", score.coverage());
    }
}

#[test]
fn where_loads_do_not_tell_how_demand_grows_the_interval_says_so() {
    for reading in Reading::ALL.into_iter().filter(|reading| *reading != Reading::Load) {
        for shape in Shape::ALL {
            let score = simulations(shape, reading, 0.01, 0..120);
            let name = format!("{} by {}", shape.label(), reading.label());
            assert!((0.85..=0.99).contains(&score.coverage()), "{name}: covered {}", score.coverage());
            if shape != Shape::Coherency {
                assert!(score.answered() >= 0.80, "{name}: {}", score.answered());
                assert!(score.error(0.5) < 0.05, "{name}: median error {}", score.error(0.5));
                assert!(score.within(0.10) >= 0.80, "{name}: within 10% {}", score.within(0.10));
            }
        }
    }
}
