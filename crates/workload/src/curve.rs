use std::time::Duration;

/// A level over time that no few stages describe: linear between points, with a jump where two points have
/// one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    points: Vec<(Duration, f64)>,
}

impl Curve {
    /// The curve through these points. `None` unless the first is at zero, time never falls and passes, and
    /// levels are numbers from zero on.
    pub fn new(points: Vec<(Duration, f64)>) -> Option<Self> {
        let begins = points.first().is_some_and(|(at, _)| at.is_zero());
        let lasts = points.last().is_some_and(|(at, _)| !at.is_zero());
        let rises = points.windows(2).all(|pair| pair[0].0 <= pair[1].0);
        let is_level = points.iter().all(|(_, level)| level.is_finite() && *level >= 0.0);
        (begins && lasts && rises && is_level).then_some(Self { points })
    }

    /// The curve of levels that each last so long, one behind the other.
    pub fn of_steps(steps: impl IntoIterator<Item = (Duration, f64)>) -> Option<Self> {
        let (mut start, mut points): (_, Vec<(Duration, f64)>) = (Duration::ZERO, Vec::new());
        for (length, level) in steps {
            let end = start + length;
            match points.last_mut() {
                // A level that goes on needs no point where it does.
                Some(last) if last.1 == level => last.0 = end,
                _ => points.extend([(start, level), (end, level)]),
            }
            start = end;
        }
        Self::new(points)
    }

    /// Times from the start of the curve, and levels.
    pub fn points(&self) -> &[(Duration, f64)] {
        &self.points
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        self.points.last().map_or(Duration::ZERO, |(at, _)| *at)
    }

    /// Its level at the end.
    pub(crate) fn last(&self) -> f64 {
        self.points.last().map_or(0.0, |(_, level)| *level)
    }

    /// Its parts: offsets and levels of both ends.
    pub(crate) fn parts(&self) -> impl Iterator<Item = [(Duration, f64); 2]> {
        self.points.windows(2).map(|pair| [pair[0], pair[1]]).filter(|[from, to]| from.0 < to.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn what_is_no_curve_is_refused() {
        let ends = |level| vec![(at(0.0), level), (at(1.0), level)];
        assert!(Curve::new(ends(0.0)).is_some());
        for points in [
            Vec::new(),
            vec![(at(0.0), 1.0)],
            vec![(at(1.0), 1.0), (at(2.0), 1.0)],
            vec![(at(0.0), 1.0), (at(2.0), 1.0), (at(1.0), 1.0)],
            ends(-1.0),
            ends(f64::NAN),
            ends(f64::INFINITY),
        ] {
            assert_eq!(Curve::new(points.clone()), None, "{points:?}");
        }
    }

    #[test]
    fn steps_that_go_on_are_one() {
        let curve = Curve::of_steps([(at(1.0), 5.0), (at(2.0), 5.0), (at(1.0), 7.0)]).unwrap();
        let points = [(0.0, 5.0), (3.0, 5.0), (3.0, 7.0), (4.0, 7.0)];
        assert_eq!(curve.points(), points.map(|(seconds, level)| (at(seconds), level)));
        assert_eq!((curve.parts().count(), curve.length(), curve.last()), (2, at(4.0), 7.0));
    }
}
