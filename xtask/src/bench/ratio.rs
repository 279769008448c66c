//! Two sides in turns, and the table of their ratios.

/// One figure of both sides in one round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) ours: f64,
    pub(super) theirs: f64,
}

/// Measures both sides `rounds` times. The side that goes first alternates, so that a machine
/// which slows down or warms up favours neither.
pub(super) fn interleave(
    rounds: u32,
    mut ours: impl FnMut() -> anyhow::Result<f64>,
    mut theirs: impl FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for round in 0..rounds {
        let pair = if round % 2 == 0 {
            let ours = ours()?;
            Pair { ours, theirs: theirs()? }
        } else {
            let theirs = theirs()?;
            Pair { ours: ours()?, theirs }
        };
        pairs.push(pair);
    }
    Ok(pairs)
}

/// The middle value, the mean of the two middle ones of an even number; none of nothing.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(values[values.len() / 2 - 1], upper))
}

/// A table of one figure: medians of both sides, and median and range of the ratio ours / theirs.
pub(super) fn table(figure: &str, [ours, theirs]: [&str; 2], pairs: &[Pair]) -> String {
    let ratios = || pairs.iter().map(|pair| pair.ours / pair.theirs);
    let low = ratios().fold(f64::INFINITY, f64::min);
    let high = ratios().fold(f64::NEG_INFINITY, f64::max);
    let [Some(our_median), Some(their_median), Some(ratio)] = [
        median(pairs.iter().map(|pair| pair.ours)),
        median(pairs.iter().map(|pair| pair.theirs)),
        median(ratios()),
    ] else {
        return format!("{figure}: no rounds\n");
    };
    format!(
        "| {figure} | median |\n|---|---|\n| {ours} | {our_median:.1} |\n| {theirs} | {their_median:.1} |\n\
         | ratio | {ratio:.3} ({low:.3} to {high:.3} over {} rounds) |\n",
        pairs.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_of_nothing_there_is_none() {
        for (values, expected) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0], Some(5.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
        ] {
            assert_eq!(median(values), expected);
        }
    }

    #[test]
    fn sides_take_turns_in_going_first() {
        let order = std::cell::RefCell::new(String::new());
        let side = |letter: char| {
            let order = &order;
            move || {
                order.borrow_mut().push(letter);
                Ok(1.0)
            }
        };
        interleave(3, side('o'), side('t')).unwrap();
        assert_eq!(order.into_inner(), "ottoot");
    }

    #[test]
    fn the_table_shows_medians_and_the_range_of_ratios() {
        let pairs = [
            Pair { ours: 50.0, theirs: 100.0 },
            Pair { ours: 60.0, theirs: 100.0 },
            Pair { ours: 90.0, theirs: 100.0 },
        ];
        assert_eq!(
            table("requests per CPU-second", ["plimsoll", "wrk"], &pairs),
            "| requests per CPU-second | median |\n|---|---|\n| plimsoll | 60.0 |\n| wrk | 100.0 |\n\
             | ratio | 0.600 (0.500 to 0.900 over 3 rounds) |\n"
        );
        assert_eq!(table("x", ["a", "b"], &[]), "x: no rounds\n");
    }
}
