//! Tables as Markdown, and figures as people read them.

/// A table with a heading.
#[derive(Debug)]
pub(super) struct Table {
    lines: String,
    columns: usize,
}

impl Table {
    pub(super) fn new(heading: &[&str]) -> Self {
        let lines = format!("| {} |\n|{}\n", heading.join(" | "), "---|".repeat(heading.len()));
        Self { lines, columns: heading.len() }
    }

    /// Adds a row. Cells that are missing are empty.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.columns, String::new());
        self.lines += &format!("| {} |\n", cells.join(" | "));
    }

    pub(super) fn markdown(&self) -> &str {
        &self.lines
    }
}

/// What stands where there is no figure.
pub(super) const NONE: &str = "–";

/// A figure by its own way of writing, or that there is none.
pub(super) fn figure(value: Option<f64>, write: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), write)
}

/// Seconds as such, as milliseconds or as microseconds, whichever reads better.
pub(super) fn time(seconds: f64) -> String {
    let micros = seconds * 1e6;
    match micros.abs() {
        small if small < 1e3 => format!("{micros:.0} µs"),
        middling if middling < 1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{seconds:.3} s"),
    }
}

/// The same with its sign.
pub(super) fn signed_time(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "−" } else { "+" };
    format!("{sign}{}", time(seconds.abs()))
}

/// Bytes as megabytes of 10^6.
pub(super) fn megabytes(bytes: f64) -> String {
    let megabytes = bytes / 1e6;
    if megabytes < 10.0 { format!("{megabytes:.1} MB") } else { format!("{megabytes:.0} MB") }
}

/// A whole number with commas.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = if number < 0.0 { "−".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_and_its_rows_are_whole() {
        let mut table = Table::new(&["tool", "p50"]);
        table.row(["wrk".to_owned()]);
        table.row(["ab".to_owned(), figure(None, time)]);
        assert_eq!(table.markdown(), "| tool | p50 |\n|---|---|\n| wrk |  |\n| ab | – |\n");
    }

    #[test]
    fn figures_are_short() {
        let cases = [
            (time(0.000_071), "71 µs"),
            (time(0.009_995_4), "10.00 ms"),
            (time(1.9), "1.900 s"),
            (signed_time(-0.000_005), "−5 µs"),
            (signed_time(0.0021), "+2.10 ms"),
            (megabytes(4_949_999.0), "4.9 MB"),
            (megabytes(367e6), "367 MB"),
            (grouped(0.0), "0"),
            (grouped(999.6), "1,000"),
            (grouped(-1_234_567.0), "−1,234,567"),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
    }
}
