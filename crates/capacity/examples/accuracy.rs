//! Prints how good answers are as one JSON object for each score, for `cargo xtask bench capacity`.

#![expect(clippy::unwrap_used, reason = "a program of this project's own, on data of its own")]

#[path = "../tests/trials/mod.rs"]
mod trials;

use plimsoll_capacity::{LoadKind, Point, Points, Question, answer};
use trials::{Reading, Score, Shape, history, one_run, published, simulations, without_models};

fn main() {
    let curves = published();
    for hardware in [Some("i7"), Some("ec2"), None] {
        let place = hardware.unwrap_or("all");
        print(&format!("history {place}"), &history(&curves, hardware));
        let [last, seen] = without_models(&curves, hardware);
        print(&format!("last peak {place}"), &last);
        print(&format!("three levels {place}"), &seen);
        let scores = one_run(&curves, hardware);
        for (class, score) in &scores {
            print(&format!("one run {place} {class}"), score);
        }
        let flat = scores["up to 5%"].clone().with(&scores["5 to 15%"]);
        print(&format!("one run {place} up to 15%"), &flat);
    }
    for reading in Reading::ALL {
        for shape in Shape::ALL {
            for noise in [0.003, 0.01, 0.02] {
                let score = simulations(shape, reading, noise, 0..300);
                let name = format!("simulated {} {}% {}", shape.label(), noise * 100.0, reading.label());
                print(&name, &score);
            }
        }
    }
    println!("{{\"name\": \"speed\", \"seconds\": {}}}", speed());
}

/// How long ten thousand points take, in seconds.
fn speed() -> f64 {
    let points = (1..=10_000).map(|index| {
        let load = f64::from(index) / 50.0;
        // A little off the curve, without a random draw.
        let noise = 1.0 + 0.01 * (f64::from(index) * 12.9898).sin();
        Point::new(load, noise * 1000.0 * load / (load.powi(2) + 900.0).sqrt())
    });
    let question = Question::new(Points::new(points.collect(), LoadKind::Users).unwrap());
    let started = std::time::Instant::now();
    std::hint::black_box(answer(&question));
    started.elapsed().as_secs_f64()
}

fn print(name: &str, score: &Score) {
    let figures = [
        ("asked", score.asked as f64),
        ("answered", score.answered()),
        ("mean_accuracy", score.mean_accuracy()),
        ("median_error", score.error(0.5)),
        ("p90_error", score.error(0.9)),
        ("within_5", score.within(0.05)),
        ("within_10", score.within(0.10)),
        ("coverage", score.coverage()),
    ];
    let figures = figures.map(|(name, value)| match value.is_finite() {
        true => format!("\"{name}\": {value}"),
        false => format!("\"{name}\": null"),
    });
    println!("{{\"name\": \"{name}\", {}}}", figures.join(", "));
}
