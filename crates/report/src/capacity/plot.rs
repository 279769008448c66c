//! Throughput against load in a terminal's characters.

/// A measured place.
const POINT: char = '●';
/// The model between them.
const CURVE: char = '·';
/// Rows of the drawing.
const HEIGHT: usize = 12;

/// Draws points and a curve into lines of at most `width` columns, the labels of the axes included.
///
/// Nothing is drawn without a point that has throughput.
pub(super) fn plot(
    points: &[(f64, f64)],
    curve: impl Fn(f64) -> Option<f64>,
    width: usize,
    word: impl Fn(f64) -> String,
) -> Vec<String> {
    let last = points.iter().map(|(load, _)| *load).fold(0.0, f64::max);
    let most = points.iter().map(|(_, throughput)| *throughput).fold(0.0, f64::max);
    let label = word(most).chars().count().max(3);
    let columns = width.saturating_sub(label + 3).min(72);
    if columns < 8 || last <= 0.0 || most <= 0.0 {
        return Vec::new();
    }
    let top = most * 1.08;
    let mut cells = vec![vec![' '; columns]; HEIGHT];
    let row = |throughput: f64| {
        let share = (throughput / top).clamp(0.0, 1.0);
        HEIGHT - 1 - ((share * HEIGHT as f64) as usize).min(HEIGHT - 1)
    };
    let column = |load: f64| ((load / last * (columns - 1) as f64).round() as usize).min(columns - 1);
    let curve = (0..columns).filter_map(|place| {
        let load = (place as f64).max(0.5) / (columns - 1) as f64 * last;
        Some((place, curve(load).filter(|value| (0.0..=top).contains(value))?))
    });
    for (place, throughput) in curve {
        cells[row(throughput)][place] = CURVE;
    }
    for (load, throughput) in points {
        cells[row(*throughput)][column(*load)] = POINT;
    }
    let mut lines: Vec<String> = cells
        .into_iter()
        .enumerate()
        .map(|(index, cells)| {
            let label_here = if index == row(most) { word(most) } else { String::new() };
            let cells: String = cells.into_iter().collect();
            format!("{label_here:>label$} │{cells}").trim_end().to_owned()
        })
        .collect();
    let end = word(last);
    lines.push(format!("{:>label$} └{}", "0", "─".repeat(columns)));
    lines.push(format!("{:>label$}  0{end:>width$}", "", width = columns - 1));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_curve_have_their_places() {
        let lines = plot(&[(1.0, 5.0), (10.0, 10.0)], Some, 30, |value| format!("{value}"));
        assert_eq!(lines.len(), HEIGHT + 2);
        let places: usize = lines.iter().map(|line| line.matches(POINT).count()).sum();
        assert_eq!(places, 2);
        assert!(lines.iter().all(|line| line.chars().count() <= 30), "{lines:#?}");
        assert!(lines[0].ends_with(POINT), "{lines:#?}");
    }

    #[test]
    fn what_cannot_be_drawn_is_not() {
        for points in [&[][..], &[(1.0, 0.0)], &[(0.0, 0.0)]] {
            assert!(plot(points, |_| None, 80, |value| value.to_string()).is_empty());
        }
        assert!(plot(&[(1.0, 1.0)], |_| None, 5, |value| value.to_string()).is_empty());
    }
}
