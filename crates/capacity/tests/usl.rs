//! The Universal Scalability Law against figures that others published.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use plimsoll_capacity::{Model, Points, Usl, fit_usl, read_table, t_quantile};

fn points(set: &str) -> Points {
    let (file, rows) = match set {
        "raytracer_first6" => ("raytracer", 6),
        "raytracer_first5" => ("raytracer", 5),
        "cisco_first10" => ("cisco", 10),
        "usl_synthetic" => ("synthetic_exact", usize::MAX),
        all => (all, usize::MAX),
    };
    let path = format!("{}/tests/data/usl_{file}.csv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let text: Vec<&str> = text.lines().take(rows.saturating_add(1)).collect();
    read_table(&text.join("\n"), &[]).unwrap().runs.remove(0).points
}

fn fit(set: &str, unbounded: bool) -> Model {
    fit_usl(Usl { unbounded, ..Usl::default() }, &points(set)).unwrap()
}

fn value(model: &Model, name: &str) -> f64 {
    model.parameter(name).unwrap().value
}

#[track_caller]
fn near(what: &str, found: f64, expected: f64, relative: f64) {
    let scale = expected.abs().max(1e-12);
    assert!((found - expected).abs() <= relative * scale, "{what}: {found}, not {expected}");
}

#[test]
fn the_optimum_and_its_errors_are_those_of_an_independent_minimiser() {
    let path = format!("{}/tests/data/usl_recomputed_fits.csv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = 0;
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |index: usize| cells[index].parse::<f64>().unwrap();
        let (set, bounded) = (cells[0], cells[2] == "True");
        let model = fit(set, !bounded);
        let name = |what: &str| format!("{what} of {set}, bounded {bounded}");
        for (parameter, at) in [("sigma", 3), ("kappa", 4), ("lambda", 5)] {
            let found = model.parameter(parameter).unwrap();
            if number(at).abs() < 1e-20 {
                assert_eq!(found.value, 0.0, "{}", name(parameter));
            } else {
                near(&name(parameter), found.value, number(at), 1e-4);
            }
            near(&name("the standard error"), found.standard_error.unwrap(), number(at + 3), 1e-3);
        }
        let (degrees, residual) = model.residual().unwrap();
        near(&name("the residual"), residual, number(9), 1e-4);
        near(&name("R squared"), model.r2.unwrap(), number(10), 1e-4);
        near(&name("t"), t_quantile(0.95, degrees).unwrap(), number(13), 1e-6);
        if number(11).is_finite() {
            let load = model.peak_load().unwrap();
            near(&name("the peak's load"), load, number(11), 1e-4);
            near(&name("the peak"), model.at(load), number(12), 1e-4);
        } else {
            assert_eq!(model.peak_load(), None, "{}", name("a peak"));
        }
        rows += 1;
    }
    assert_eq!(rows, 16);
}

/// usl4j's and usl-rs's own tests hold the book's values within 0.02% and 0.001%.
#[test]
fn the_published_figures_of_the_cisco_set_are_met() {
    let model = fit("cisco", false);
    near("sigma", value(&model, "sigma"), 0.026_715_91, 1e-5);
    near("kappa", value(&model, "kappa"), 0.000_769_094_5, 1e-5);
    near("lambda", value(&model, "lambda"), 995.6486, 1e-5);
    let load = model.peak_load().unwrap().floor();
    assert_eq!(load, 35.0);
    near("the peak", model.at(load), 12_341.0, 1e-4);
}

/// The R package `usl` prints these digits.
#[test]
fn the_published_figures_of_the_r_package_are_met() {
    for (set, sigma, kappa, lambda) in [
        ("specsdm91", 0.02773, 0.000_104_4, 90.00),
        ("raytracer_first6", 0.02444, 0.00163, 20.85605),
        ("raytracer_first5", 0.028, 0.001, 21.059),
        ("usl_synthetic", 0.02, 0.02, 1.0),
    ] {
        let model = fit(set, false);
        let digits = |found: f64, published: f64, unit: f64| {
            assert!((found - published).abs() <= unit, "{set}: {found}, not {published}");
        };
        digits(value(&model, "sigma"), sigma, if set == "raytracer_first5" { 5e-4 } else { 6e-6 });
        digits(value(&model, "kappa"), kappa, if kappa < 0.001 { 5e-8 } else { 5e-4 });
        digits(value(&model, "lambda"), lambda, 5e-3);
    }
    let model = fit("specsdm91", false);
    near("residual", model.residual().unwrap().1, 82.85, 1e-4);
    near("the peak's load", model.peak_load().unwrap(), 96.51956, 1e-4);
}

/// The package's own 95% interval takes qt(0.95, n - 1); the two-sided one with n - p is 1.58 times as wide.
#[test]
fn intervals_take_the_two_sided_quantile_with_the_right_degrees() {
    let model = fit("raytracer_first6", false);
    let (low, high) = model.interval("sigma", 0.95).unwrap();
    let error = model.parameter("sigma").unwrap().standard_error.unwrap();
    near("half the width", (high - low) / 2.0, 3.182_446_305_284_263 * error, 1e-9);
    near("against the published width", (high - low) / (0.04135 - 0.00754), 1.58, 0.01);
}

#[test]
fn a_known_lambda_is_kept() {
    let known = Usl { lambda: Some(955.16), unbounded: false };
    let model = fit_usl(known, &points("cisco")).unwrap();
    assert_eq!(value(&model, "lambda"), 955.16);
    assert!((0.015..0.03).contains(&value(&model, "sigma")), "{:?}", model.parameters);
}
