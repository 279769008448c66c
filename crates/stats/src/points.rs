use crate::ranks::median;

/// A value at a place, as a rule seconds from the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Where: anything that grows.
    pub at: f64,
    /// What was there; a value that is not finite is a gap.
    pub value: f64,
}

/// How far the load of a point may be from the usual one, as a share of it.
const LIKE: f64 = 0.1;

/// The points that were taken at about the same load, 10% up or down of the median of `load` over the later half of
/// the points.
///
/// A target uses more when it has more to do: without this, a ramp of load would be taken for a leak and its stages
/// for anomalies. `load` has a value for each point, in any unit; a point whose load is not finite is left out.
/// Where there is no load to speak of (the usual one is 0), points without load remain.
pub fn at_like_load(points: &[Point], load: &[f64]) -> Vec<Point> {
    let both = || points.iter().zip(load).filter(|(_, load)| load.is_finite());
    let mut later: Vec<f64> = both().skip(both().count() / 2).map(|(_, load)| *load).collect();
    let Some(usual) = median(&mut later) else { return Vec::new() };
    let is_like = |load: f64| (load - usual).abs() <= LIKE * usual.abs();
    both().filter(|(_, load)| is_like(**load)).map(|(point, _)| *point).collect()
}

/// Those with finite place and value, in the order of their places.
pub(crate) fn finite(points: &[Point]) -> Vec<Point> {
    let is_finite = |point: &&Point| point.at.is_finite() && point.value.is_finite();
    let mut points: Vec<Point> = points.iter().filter(is_finite).copied().collect();
    points.sort_by(|one, other| one.at.total_cmp(&other.at));
    points
}

/// At most `most` points: where there are more (or several at one place), the medians over stretches of equal length.
///
/// `points` are in order. A stretch without points has none.
pub(crate) fn thinned(points: &[Point], most: usize) -> Vec<Point> {
    let is_distinct = points.windows(2).all(|pair| pair[0].at < pair[1].at);
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if is_distinct && points.len() <= most {
        return points.to_vec();
    }
    // Half of each: their difference may be too large for a number.
    let half_span = last.at / 2.0 - first.at / 2.0;
    let stretch = |point: &Point| {
        let share = (point.at / 2.0 - first.at / 2.0) / half_span;
        // As a share of nothing, all of it is in the first.
        ((share * most as f64) as usize).min(most.saturating_sub(1))
    };
    let middle = |points: &[Point]| {
        let mut values: Vec<f64> = points.iter().map(|point| point.value).collect();
        let count = points.len() as f64;
        let at = points.iter().map(|point| point.at / count).sum();
        Some(Point { at, value: median(&mut values)? })
    };
    points.chunk_by(|one, other| stretch(one) == stretch(other)).filter_map(middle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[(f64, f64)]) -> Vec<Point> {
        values.iter().map(|&(at, value)| Point { at, value }).collect()
    }

    #[test]
    fn gaps_are_left_out_and_order_is_made() {
        let found = finite(&points(&[(3.0, 1.0), (1.0, f64::NAN), (f64::INFINITY, 1.0), (2.0, 5.0)]));
        assert_eq!(found, points(&[(2.0, 5.0), (3.0, 1.0)]));
    }

    #[test]
    fn thinning_takes_medians_of_stretches() {
        let ten: Vec<_> = (0..10).map(|n| (f64::from(n), f64::from(n * n))).collect();
        assert_eq!(thinned(&points(&ten), 10), points(&ten));
        assert_eq!(thinned(&points(&ten), 2), points(&[(2.0, 4.0), (7.0, 49.0)]));
        let gap = [(0.0, 1.0), (0.5, 3.0), (99.0, 7.0), (99.5, 8.0), (100.0, 9.0)];
        assert_eq!(thinned(&points(&gap), 4).len(), 2, "a stretch without points has none");
        assert_eq!(thinned(&points(&[(1.0, 2.0), (1.0, 4.0)]), 9), points(&[(1.0, 3.0)]));
        assert_eq!(thinned(&[], 9), []);
    }

    #[test]
    fn a_ramp_of_load_is_left_out() {
        let series: Vec<_> = (0..10).map(|n| (f64::from(n), f64::from(n))).collect();
        let load = [10.0, 50.0, 90.0, 95.0, 100.0, 105.0, 100.0, f64::NAN, 120.0, 100.0];
        let kept: Vec<f64> = at_like_load(&points(&series), &load).iter().map(|point| point.at).collect();
        assert_eq!(kept, [2.0, 3.0, 4.0, 5.0, 6.0, 9.0]);
        assert_eq!(at_like_load(&points(&series), &[0.0; 10]).len(), 10);
        assert_eq!(at_like_load(&[], &[]), []);
    }
}
