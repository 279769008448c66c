use crate::points::{Point, finite, thinned};
use crate::ranks::median;
use crate::trend::{MOST, Trend, trend_of};

/// The fewest values that anything is said about.
const LEAST_POINTS: usize = 40;
/// The shortest series that anything is said about, in units of place (seconds).
const LEAST_SPAN: f64 = 60.0;
/// How unlikely growth by chance must be to be called a leak, and to be suspected; one-sided.
const LEAK_LEVEL: f64 = 0.001;
const SUSPECTED_LEVEL: f64 = 0.01;
/// One-sided 95% of the normal distribution, for whether growth slows down.
const SLOWER: f64 = 1.644_853_626_951_472_7;
/// Growth that keeps less than this share of itself from the third quarter to the fourth is about to end: what is
/// still to come is less than what came in the last quarter.
const ENDING: f64 = 0.45;
/// Growth of the later half below this share of the earlier one's is not the same growth: it is the end of a warm-up,
/// unless the last quarter shows it by itself.
const MUCH_SLOWER: f64 = 0.25;

/// By how much Schwarz's criterion has to differ to be very strong evidence (R. E. Kass and A. E. Raftery, *Bayes factors*,
/// JASA 90, 1995, section 3.2): the best place for a step is sought, and noise always has one.
const VERY_STRONG: f64 = 10.0;

/// How much growth over a series is worth a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeakFloor {
    /// In the unit of the values, such as 1 MB or 5 descriptors.
    pub amount: f64,
    /// As a share of the median, 0 to 1.
    pub share: f64,
}

/// Whether a series leaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeakVerdict {
    /// It does not grow, or not so much that it matters, or it has stopped growing.
    None,
    /// It grows, and it is not sure that it goes on.
    Suspected,
    /// It grows, steadily until the end.
    Leak,
    /// There are too few values, over too little time, to say anything.
    TooShort,
}

/// How a series grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// No more than chance explains, or than the floor.
    Insignificant,
    /// It grew and stopped, or is about to: a warm-up, a cache that filled.
    Ended,
    /// It grows slower and slower.
    Slowing,
    /// It is one step rather than a slope.
    Step,
    /// It grows, but the later half alone does not show it.
    Unconfirmed,
    /// It grows as much in the end as before.
    Steady,
}

/// How long a limit is away, in units of place (seconds).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UntilLimit {
    /// At the slope found; 0 when the limit is reached already.
    pub likely: f64,
    /// At the largest slope of the interval.
    pub soonest: f64,
    /// At the smallest slope of the interval; `None` when that does not grow.
    pub latest: Option<f64>,
}

/// What can be said of the growth of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leak {
    /// The answer.
    pub verdict: LeakVerdict,
    /// How it grows; `None` where that cannot be said.
    pub growth: Option<Growth>,
    /// The trend of all of it, or of the later half where only that grows on; `None` where there is none.
    pub trend: Option<Trend>,
    /// The limit's distance; `None` without a limit, without growth, or where the growth has ended.
    pub until_limit: Option<UntilLimit>,
    /// How many values there are.
    pub values: usize,
    /// From the first to the last of them, in units of place (seconds).
    pub span: f64,
}

impl Leak {
    /// Where too little is known: so many values over so much.
    fn too_short(values: usize, span: f64) -> Self {
        Self { verdict: LeakVerdict::TooShort, growth: None, trend: None, until_limit: None, values, span }
    }
}

/// Whether a series leaks: whether it grows with its places (seconds, or requests done) and goes on until the end.
///
/// At least 40 values over at least 60 units of place are asked for. [`trend`](crate::trend()) tells growth from chance; then
/// the later half has to show the same growth by itself. What filled up (growth of the later half that is none, or
/// that halves from the third quarter to the fourth) is [`Growth::Ended`] and no leak. A leak is called at a one-sided
/// 0.1% for the whole and 1% for the later half, suspected at 1%. Growth below `floor` over the whole span is no leak,
/// however sure. Where a single step explains the values better than a line (Schwarz's criterion), growth is suspected only.
///
/// `limit`, in the unit of the values, is what the growth may run into. Give values at like load
/// ([`at_like_load`](crate::at_like_load)): a target that has more to do uses more, and that is no leak. A random walk cannot
/// be told from a leak for sure by anybody; see the simulations in the tests.
pub fn leak(points: &[Point], floor: LeakFloor, limit: Option<f64>) -> Leak {
    let points = finite(points);
    let values = points.len();
    let span = points.first().zip(points.last()).map_or(0.0, |(first, last)| last.at - first.at);
    // Not `<`: a span that is no number is too short as well.
    let is_long = span >= LEAST_SPAN && span.is_finite() && values >= LEAST_POINTS;
    let Some(series) = is_long.then(|| Series::new(&points, floor)).flatten() else {
        return Leak::too_short(values, span);
    };
    let (verdict, growth) = series.judge();
    let trend = if growth == Growth::Ended { series.late } else { series.whole };
    let goes_on = matches!(verdict, LeakVerdict::Suspected | LeakVerdict::Leak);
    let until_limit = limit.filter(|_| goes_on).and_then(|limit| until(limit, &trend, series.last));
    Leak { verdict, growth: Some(growth), trend: Some(trend), until_limit, values, span }
}

/// A series with the trends of its parts.
struct Series {
    /// Of the later half.
    late_points: Vec<Point>,
    whole: Trend,
    early: Trend,
    late: Trend,
    third: Trend,
    fourth: Trend,
    /// Growth over the span that is worth a word.
    floor: f64,
    span: f64,
    last: f64,
}

impl Series {
    /// `None` where a part has too little of it for a trend.
    fn new(points: &[Point], floor: LeakFloor) -> Option<Self> {
        let (first, last) = (points.first()?.at, points.last()?.at);
        let between = |from: f64, to: f64| {
            let place = |share: f64| first + (last - first) * share;
            let begin = points.partition_point(|point| point.at < place(from));
            let end = points.partition_point(|point| point.at < place(to));
            // The last one belongs to the last part.
            &points[begin..if to < 1.0 { end } else { points.len() }]
        };
        let part = |from, to, most| trend_of(&thinned(between(from, to), most));
        let thin = thinned(points, MOST);
        let mut values: Vec<f64> = thin.iter().map(|point| point.value).collect();
        let level = median(&mut values)?.abs();
        let late_points = thinned(between(0.5, 1.0), MOST / 2);
        Some(Self {
            whole: trend_of(&thin)?,
            early: part(0.0, 0.5, MOST / 2)?,
            late: trend_of(&late_points)?,
            third: part(0.5, 0.75, MOST / 2)?,
            fourth: part(0.75, 1.0, MOST / 2)?,
            late_points,
            floor: floor.amount.max(floor.share * level),
            span: last - first,
            last,
        })
    }

    fn judge(&self) -> (LeakVerdict, Growth) {
        let late_matters = self.late.slope * self.span / 2.0 >= self.floor / 2.0;
        let whole_grows = self.whole.p_growth < SUSPECTED_LEVEL && self.whole.slope * self.span >= self.floor;
        // A warm-up before it bends the whole, which then looks autocorrelated: the later half may show it alone.
        let is_sure = self.late.p_growth < LEAK_LEVEL || (whole_grows && self.whole.p_growth < LEAK_LEVEL);
        let late_grows = late_matters && self.late.p_growth < SUSPECTED_LEVEL && (whole_grows || is_sure);
        if !late_grows {
            if !whole_grows {
                return (LeakVerdict::None, Growth::Insignificant);
            }
            // No sign of growth in a half is no sign that it has ended, unless as much as of the whole can be excluded.
            let is_excluded = self.late.interval.1 < self.whole.slope || !late_matters;
            return match is_excluded {
                true => (LeakVerdict::None, Growth::Ended),
                false => (LeakVerdict::Suspected, Growth::Unconfirmed),
            };
        }
        if self.is_slowing() {
            return match self.fourth.slope < ENDING * self.third.slope {
                true => (LeakVerdict::None, Growth::Ended),
                false => (LeakVerdict::Suspected, Growth::Slowing),
            };
        }
        let is_new = self.late.slope < MUCH_SLOWER * self.early.slope;
        if is_new && self.fourth.p_growth >= LEAK_LEVEL {
            return (LeakVerdict::None, Growth::Ended);
        }
        if self.is_step() {
            return (LeakVerdict::Suspected, Growth::Step);
        }
        match is_sure {
            true => (LeakVerdict::Leak, Growth::Steady),
            false => (LeakVerdict::Suspected, Growth::Unconfirmed),
        }
    }

    /// Whether the last quarter grows more slowly than the one before, beyond chance.
    fn is_slowing(&self) -> bool {
        let error = |trend: &Trend| (trend.interval.1 - trend.interval.0) / (2.0 * crate::trend::Z95);
        let error = error(&self.third).hypot(error(&self.fourth));
        let lost = self.third.slope - self.fourth.slope;
        // Less than a fifth is no shape to speak of.
        lost > 0.2 * self.third.slope && lost > SLOWER * error
    }

    /// Whether one step up explains the later half better than a line, each with its number of parameters.
    fn is_step(&self) -> bool {
        let count = self.late_points.len() as f64;
        let of_line: f64 =
            self.late_points.iter().map(|point| (point.value - self.late.value_at(point.at)).powi(2)).sum();
        let mean = self.late_points.iter().map(|point| point.value).sum::<f64>() / count;
        let all: f64 = self.late_points.iter().map(|point| (point.value - mean).powi(2)).sum();
        // What a step after the first k takes off the squares is (Σ of the first k)² n / (k (n - k)).
        let (mut sum, mut most) = (0.0_f64, 0.0_f64);
        for (index, point) in self.late_points.iter().enumerate().take(self.late_points.len() - 1) {
            sum += point.value - mean;
            let before = (index + 1) as f64;
            most = most.max(sum * sum * count / (before * (count - before)));
        }
        let of_step = (all - most).max(0.0);
        // n ln(RSS) + k ln n: a step has its place besides two levels, a line two figures.
        count * (of_step / of_line).ln() + count.ln() < -VERY_STRONG
    }
}

/// How long the line takes from the last place to the limit.
fn until(limit: f64, trend: &Trend, last: f64) -> Option<UntilLimit> {
    let left = (limit - trend.value_at(last)).max(0.0);
    let at = |slope: f64| (slope > 0.0).then(|| left / slope).filter(|time| time.is_finite());
    let (low, high) = trend.interval;
    Some(UntilLimit { likely: at(trend.slope)?, soonest: at(high)?, latest: at(low) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Noise, each_second};

    const FLOOR: LeakFloor = LeakFloor { amount: 0.0, share: 0.0 };

    fn check(values: impl IntoIterator<Item = f64>, verdict: LeakVerdict, growth: Growth) -> Leak {
        let found = leak(&each_second(values), FLOOR, None);
        assert_eq!((found.verdict, found.growth), (verdict, Some(growth)), "{found:?}");
        found
    }

    /// What a program holds: some noise around a course.
    fn around(seed: u64, count: u32, course: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut noise = Noise::new(seed);
        (0..count).map(|n| course(f64::from(n)) + noise.normal()).collect()
    }

    #[test]
    fn a_straight_line_is_a_leak_with_its_slope() {
        let found = check((0..600).map(|n| 1e8 + 1e4 * f64::from(n)), LeakVerdict::Leak, Growth::Steady);
        let slope = found.trend.unwrap().slope;
        assert!((slope - 1e4).abs() < 1.0, "{slope}");
        assert_eq!((found.values, found.span), (600, 599.0));
    }

    #[test]
    fn too_little_is_no_answer() {
        for (count, step) in [(0, 1.0), (3, 100.0), (39, 10.0), (100, 0.1)] {
            let points: Vec<_> =
                (0..count).map(|n| Point { at: f64::from(n) * step, value: f64::from(n) }).collect();
            assert_eq!(leak(&points, FLOOR, None).verdict, LeakVerdict::TooShort, "{count}");
        }
        let gaps = each_second([f64::NAN; 1000]);
        assert_eq!(leak(&gaps, FLOOR, None).verdict, LeakVerdict::TooShort);
        // All of it in two clumps: nothing is known of the quarters between.
        let clumps: Vec<_> =
            (0..100).map(|n| Point { at: f64::from(n + n / 50 * 9000), value: 1.0 }).collect();
        assert_eq!(leak(&clumps, FLOOR, None).verdict, LeakVerdict::TooShort);
    }

    #[test]
    fn what_stays_or_shrinks_or_fills_is_no_leak() {
        check([5.0; 300], LeakVerdict::None, Growth::Insignificant);
        check(around(1, 600, |n| -0.1 * n), LeakVerdict::None, Growth::Insignificant);
        let filled = leak(&each_second(around(2, 600, |n| (n * 0.5).min(60.0))), FLOOR, None);
        assert_eq!(filled.verdict, LeakVerdict::None, "{filled:?}");
        for filling in [20.0, 60.0, 120.0] {
            let course = |n: f64| 100.0 * (1.0 - (-n / filling).exp());
            let found = leak(&each_second(around(3, 600, course)), FLOOR, None);
            assert_eq!(found.verdict, LeakVerdict::None, "{filling}: {found:?}");
        }
    }

    #[test]
    fn growth_that_slows_down_is_suspected_and_one_step_is_no_leak() {
        check(
            around(4, 600, |n| 100.0 * (1.0 - (-n / 400.0).exp())),
            LeakVerdict::Suspected,
            Growth::Slowing,
        );
        for (at, height) in [(310.0, 20.0), (420.0, 20.0), (450.0, 3.0), (580.0, 10.0)] {
            let step = around(5, 600, |n| if n < at { 0.0 } else { height });
            let found = leak(&each_second(step), FLOOR, None);
            assert_ne!(found.verdict, LeakVerdict::Leak, "{at}: {found:?}");
        }
    }

    #[test]
    fn a_leak_after_a_warm_up_is_found() {
        check(around(6, 1200, |n| (n * 2.0).min(200.0) + 0.02 * n), LeakVerdict::Leak, Growth::Steady);
    }

    #[test]
    fn growth_below_the_floor_does_not_matter() {
        let points = each_second((0..600).map(|n| 1000.0 + 0.01 * f64::from(n)));
        let verdict = |amount, share| leak(&points, LeakFloor { amount, share }, None).verdict;
        assert_eq!(verdict(5.0, 0.0), LeakVerdict::Leak);
        assert_eq!(verdict(7.0, 0.0), LeakVerdict::None);
        assert_eq!(verdict(0.0, 0.01), LeakVerdict::None);
    }

    #[test]
    fn the_limit_is_projected_with_an_interval() {
        let points = each_second(around(7, 600, |n| 100.0 + 0.1 * n));
        let found = leak(&points, FLOOR, Some(260.0)).until_limit.unwrap();
        assert!((found.likely - 1000.0).abs() < 50.0, "{found:?}");
        assert!(found.soonest < found.likely && found.likely < found.latest.unwrap(), "{found:?}");
        let reached = leak(&points, FLOOR, Some(1.0)).until_limit.unwrap();
        assert_eq!((reached.likely, reached.latest), (0.0, Some(0.0)));
        assert_eq!(leak(&each_second([1.0; 99]), FLOOR, Some(2.0)).until_limit, None);
    }

    #[test]
    fn it_grows_with_requests_as_with_time() {
        let points: Vec<_> = (0..600)
            .map(|n| Point { at: f64::from(n) * 250.0, value: 1e6 + 300.0 * f64::from(n) * 250.0 })
            .collect();
        let found = leak(&points, FLOOR, None);
        assert_eq!(found.verdict, LeakVerdict::Leak);
        assert!((found.trend.unwrap().slope - 300.0).abs() < 1e-6, "bytes per request");
    }

    /// Series of a kind, by name: those without a leak, and how many of a hundred may be called one.
    fn courses(kind: &str, noise: &mut Noise, count: usize) -> Vec<f64> {
        match kind {
            "white" => (0..count).map(|_| noise.normal()).collect(),
            "log-normal" => (0..count).map(|_| noise.normal().exp()).collect(),
            "poisson" => (0..count).map(|_| noise.poisson(3.0)).collect(),
            "ar 0.5" => noise.autoregressive(count, 0.5),
            "ar 0.9" => noise.autoregressive(count, 0.9),
            "ar 0.98" => noise.autoregressive(count, 0.98),
            // A heap: it fills until it is collected, at a moment that varies.
            "saw" => {
                let mut level = 0.0;
                let step = |_| {
                    level = if level > 60.0 + 20.0 * noise.uniform() {
                        10.0
                    } else {
                        level + 3.0 * noise.uniform()
                    };
                    level
                };
                (0..count).map(step).collect()
            }
            "walk" => {
                let mut level = 0.0;
                let step = |_| {
                    level += noise.normal();
                    level
                };
                (0..count).map(step).collect()
            }
            "filling" => {
                let course = |n: usize| 20.0 * (1.0 - (-(n as f64) / (count as f64 / 5.0)).exp());
                (0..count).map(|n| course(n) + noise.normal()).collect()
            }
            other => panic!("{other}"),
        }
    }

    /// Shares in percent of (leak, suspected) among series of a kind with so much growth over all of it.
    fn shares(kind: &str, count: usize, growth: f64, series: u64) -> (f64, f64) {
        let (mut leaks, mut suspected) = (0, 0);
        for seed in 0..series {
            let values = courses(kind, &mut Noise::new(seed), count).into_iter().enumerate();
            let points = each_second(values.map(|(n, value)| value + growth * n as f64 / count as f64));
            match leak(&points, FLOOR, None).verdict {
                LeakVerdict::Leak => leaks += 1,
                LeakVerdict::Suspected => suspected += 1,
                LeakVerdict::None | LeakVerdict::TooShort => {}
            }
        }
        let percent = |count: i32| 100.0 * f64::from(count) / series as f64;
        (percent(leaks), percent(suspected))
    }

    const KINDS: [&str; 8] =
        ["white", "log-normal", "poisson", "ar 0.5", "ar 0.9", "ar 0.98", "saw", "filling"];

    #[test]
    fn noise_is_hardly_ever_a_leak() {
        for kind in KINDS {
            let (leaks, suspected) = shares(kind, 600, 0.0, 200);
            assert!(leaks <= 1.0 && suspected <= 3.5, "{kind}: {leaks}% leaks, {suspected}% suspected");
        }
    }

    #[test]
    fn leaks_are_found() {
        for (kind, growth, least) in
            [("white", 2.0, 85.0), ("ar 0.5", 3.0, 85.0), ("ar 0.9", 8.0, 70.0), ("saw", 80.0, 80.0)]
        {
            let (leaks, _) = shares(kind, 600, growth, 100);
            assert!(leaks >= least, "{kind}: {leaks}%");
        }
    }

    /// The table of the documentation: `cargo test -p plimsoll-stats -- --ignored --nocapture table_of_leaks`.
    #[test]
    #[ignore = "a minute of simulation"]
    fn table_of_leaks() {
        for kind in KINDS.into_iter().chain(["walk"]) {
            for count in [120, 600, 3600] {
                let row: Vec<String> = [0.0, 1.0, 2.0, 5.0, 10.0]
                    .map(|growth| shares(kind, count, growth, 500))
                    .map(|(leaks, suspected)| format!("{leaks:.1} + {suspected:.1}"))
                    .into();
                println!("| {kind} | {count} | {} |", row.join(" | "));
            }
        }
    }
}
