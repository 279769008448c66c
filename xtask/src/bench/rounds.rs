//! Several sides in turns, and what their rounds say together.

use std::fmt;
use std::io::IsTerminal;

/// The figure of one side in each round; none where a round gave none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Series(Vec<Option<f64>>);

impl Series {
    pub(super) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().copied().flatten()
    }

    /// The middle round.
    pub(super) fn median(&self) -> Option<f64> {
        median(self.values())
    }

    /// Least and most.
    pub(super) fn range(&self) -> Option<Range> {
        let low = self.values().reduce(f64::min)?;
        Some(Range { low, high: self.values().reduce(f64::max)? })
    }

    /// Between which two rounds the median of all possible rounds lies in at least 95 of 100 cases, whatever their distribution;
    /// none of fewer than six. Conover, Practical Nonparametric Statistics, 3.2: ranks of a binomial distribution.
    pub(super) fn median_interval(&self) -> Option<Range> {
        let mut values: Vec<f64> = self.values().collect();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let (mut below, mut ways, mut rank) = (0.0, 0.5_f64.powi(count as i32), 0);
        // `below`: how likely fewer than `rank + 1` of all are below the median.
        while rank < count {
            below += ways;
            if below > 0.025 {
                break;
            }
            ways *= (count - rank) as f64 / (rank + 1) as f64;
            rank += 1;
        }
        let least = rank.checked_sub(1)?;
        Some(Range { low: values[least], high: values[count - 1 - least] })
    }

    /// How far least and most are apart; zero of nothing.
    pub(super) fn spread(&self) -> f64 {
        self.range().map_or(0.0, |range| range.high - range.low)
    }

    /// This side's figure as a multiple of another's, round by round: what slows a whole round down
    /// leaves it as it is.
    pub(super) fn over(&self, other: &Self) -> Self {
        let ratio = |(ours, theirs): (&Option<f64>, &Option<f64>)| Some((*ours)? / (*theirs)?);
        Self(self.0.iter().zip(&other.0).map(ratio).collect())
    }

    /// Each value changed.
    pub(super) fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().map(|value| value.map(&change)).collect())
    }
}

impl FromIterator<Option<f64>> for Series {
    fn from_iter<I: IntoIterator<Item = Option<f64>>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The middle value, the mean of the two middle ones of an even number; none of nothing.
fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(values[values.len() / 2 - 1], upper))
}

/// Lets each side measure once in each round. Another side begins each round, so that a machine which
/// slows down or warms up favours none. The outcome has a row for each side, in their own order.
pub(super) fn interleave<S: fmt::Display, T>(
    rounds: u32,
    sides: &[S],
    mut measure: impl FnMut(&S) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<Vec<T>>> {
    let shows = std::io::stderr().is_terminal();
    let mut rows: Vec<Vec<T>> = sides.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds as usize {
        for turn in 0..sides.len() {
            let index = (round + turn) % sides.len();
            let side = &sides[index];
            if shows {
                eprint!("\r  round {} of {rounds}: {:28}", round + 1, side.to_string());
            }
            let measured = measure(side);
            rows[index].push(measured.map_err(|error| error.context(format!("measuring {side}")))?);
        }
    }
    if shows {
        eprint!("\r{:50}\r", "");
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn the_median_is_the_middle_and_of_nothing_there_is_none() {
        for (values, expected) in
            [(&[][..], None), (&[3.0], Some(3.0)), (&[9.0, 1.0], Some(5.0)), (&[9.0, 1.0, 2.0], Some(2.0))]
        {
            assert_eq!(series(values).median(), expected);
        }
        let with_holes: Series = [Some(9.0), None, Some(1.0), Some(2.0)].into_iter().collect();
        assert_eq!((with_holes.median(), with_holes.spread()), (Some(2.0), 8.0));
        assert_eq!((series(&[]).range(), series(&[]).spread()), (None, 0.0));
    }

    /// Ranks as in table A3 of Conover.
    #[test]
    fn the_median_lies_between_ranks_of_a_binomial() {
        let interval = |count: u32| {
            let series: Series = (1..=count).map(|value| Some(f64::from(value))).collect();
            series.median_interval().map(|range| (range.low, range.high))
        };
        assert_eq!(interval(5), None);
        assert_eq!(interval(6), Some((1.0, 6.0)));
        assert_eq!(interval(9), Some((2.0, 8.0)));
        assert_eq!(interval(15), Some((4.0, 12.0)));
        assert_eq!(interval(20), Some((6.0, 15.0)));
    }

    #[test]
    fn ratios_are_those_within_a_round() {
        let theirs: Series = [Some(100.0), Some(50.0), None].into_iter().collect();
        let ratios = series(&[50.0, 50.0, 50.0]).over(&theirs);
        assert_eq!(ratios, [Some(0.5), Some(1.0), None].into_iter().collect());
        assert_eq!(ratios.range(), Some(Range { low: 0.5, high: 1.0 }));
    }

    #[test]
    fn sides_take_turns_in_going_first() {
        let mut order = String::new();
        let rows = interleave(4, &["a", "b", "c"], |side| {
            order.push_str(side);
            Ok(order.len())
        });
        assert_eq!(order, "abcbcacababc");
        assert_eq!(rows.unwrap(), [[1, 6, 8, 10], [2, 4, 9, 11], [3, 5, 7, 12]]);
        let error = interleave(1, &["a"], |_| -> anyhow::Result<()> { anyhow::bail!("no port") });
        assert_eq!(format!("{:#}", error.unwrap_err()), "measuring a: no port");
    }
}
