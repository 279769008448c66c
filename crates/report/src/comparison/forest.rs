//! Changes and their intervals on one axis, in a terminal's characters.

use plimsoll_stats::Interval;

use super::figures::change;

/// No change.
const NONE: char = '│';
/// Within the interval.
const WITHIN: char = '─';
/// The change itself.
const CHANGE: char = '●';
/// What goes on beyond the axis.
const LEFT: char = '◂';
const RIGHT: char = '▸';
/// The axis goes no further than this to either side, whatever the intervals: else small changes would all look like none.
const FURTHEST: f64 = 0.5;
/// Nor does it end before this.
const NEAREST: f64 = 0.01;

/// An axis from as much less to as much more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    furthest: f64,
    columns: usize,
}

impl Axis {
    /// Over these intervals in so many columns, at least 9; an odd number of them, so that no change has one of its own.
    pub(super) fn over(intervals: impl Iterator<Item = Interval>, columns: usize) -> Self {
        let ends = intervals.flat_map(|interval| [interval.low.abs(), interval.high.abs()]);
        let furthest = ends.filter(|end| end.is_finite()).fold(NEAREST, f64::max).min(FURTHEST);
        Self { furthest, columns: (columns.max(9) - 1) | 1 }
    }

    /// The column of a change.
    fn column(self, share: f64) -> usize {
        let last = (self.columns - 1) as f64;
        let place = (share / self.furthest).clamp(-1.0, 1.0);
        ((place + 1.0) / 2.0 * last).round() as usize
    }

    /// The words above it.
    pub(super) fn head(self) -> String {
        let (left, right) = (change(-self.furthest), change(self.furthest));
        let middle = self.columns / 2;
        let room = middle.saturating_sub(left.chars().count());
        let rest = self.columns.saturating_sub(middle + 1);
        format!("{left}{:room$}0{right:>rest$}", "")
    }

    /// A change and its interval.
    pub(super) fn line(self, share: f64, interval: Interval) -> String {
        let mut cells = vec![' '; self.columns];
        cells[self.columns / 2] = NONE;
        let known = [share, interval.low, interval.high].iter().all(|value| !value.is_nan());
        if known {
            let (low, high) = (self.column(interval.low), self.column(interval.high));
            cells[low..=high.max(low)].fill(WITHIN);
            if interval.low < -self.furthest {
                cells[0] = LEFT;
            }
            if interval.high > self.furthest {
                cells[self.columns - 1] = RIGHT;
            }
            if share.abs() <= self.furthest {
                cells[self.column(share)] = CHANGE;
            }
        }
        cells.into_iter().collect::<String>().trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(furthest: f64) -> Axis {
        Axis::over(std::iter::once(Interval { low: -furthest, high: 0.0 }), 21)
    }

    #[test]
    fn changes_have_their_places() {
        let line = |share, low, high| axis(0.1).line(share, Interval { low, high });
        assert_eq!(axis(0.1).head(), "-10%      0      +10%");
        assert_eq!(line(0.05, 0.02, 0.08), "          │ ───●───");
        assert_eq!(line(0.0, -0.1, 0.1), "──────────●──────────");
        assert_eq!(line(0.3, 0.05, 0.6), "          │    ─────▸");
        assert_eq!(line(-0.3, -0.6, -0.2), "◂         │");
    }

    #[test]
    fn nothing_hangs_or_panics() {
        for value in [0.0, 1e-300, f64::MAX, f64::INFINITY, f64::NAN, -1.0] {
            let axis = Axis::over(std::iter::once(Interval { low: value, high: value }), 3);
            assert!(axis.head().chars().count() >= 9, "{value}");
            let _ = axis.line(value, Interval { low: value, high: value });
        }
    }
}
