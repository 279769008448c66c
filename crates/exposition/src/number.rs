//! Numbers as Go writes them, because the readers of our text are written in Go: one edge must have
//! one spelling, whether it came as text or was written by Prometheus itself.

/// The shortest text that reads back as the same number, with an exponent below 1e-4 and from 1e6 on.
pub(crate) fn shortest(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = number.abs();
    if number == 0.0 || (1e-4..1e6).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// As [`shortest`], and always recognisable as no integer: the form of `le`.
pub(crate) fn float(number: f64) -> String {
    let text = shortest(number);
    if number.is_finite() && !text.contains(['.', 'e']) { text + ".0" } else { text }
}

/// Nanoseconds as seconds.
pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelt_as_in_go() {
        let cases = [
            (0.0, "0", "0.0"),
            (1.0, "1", "1.0"),
            (0.25, "0.25", "0.25"),
            (0.0001, "0.0001", "0.0001"),
            (0.00005, "5e-05", "5e-05"),
            (60.0, "60", "60.0"),
            (999_999.0, "999999", "999999.0"),
            (6_632_243.0, "6.632243e+06", "6.632243e+06"),
            (1e6, "1e+06", "1e+06"),
            (f64::MAX, "1.7976931348623157e+308", "1.7976931348623157e+308"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NAN, "NaN", "NaN"),
        ];
        for (number, short, with_point) in cases {
            assert_eq!((shortest(number).as_str(), float(number).as_str()), (short, with_point));
        }
    }
}
