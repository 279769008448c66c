//! Decimal numbers in text: digits, an optional fraction, `_` between digits, nothing else.

/// Splits `12.5ms` into `12.5` and `ms`. `None` unless a plain non-negative decimal comes first.
pub(crate) fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || digits.ends_with(['.', '_']) {
        return None;
    }
    let value: f64 = digits.replace('_', "").parse().ok()?;
    value.is_finite().then_some((value, rest))
}
