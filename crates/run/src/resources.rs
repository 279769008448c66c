//! What the target and its machine use, scraped beside the load.
//!
//! Figures are levels (memory) or rates over the time since the scrape before (processors). A scrape
//! that failed is a gap with its reason and never a zero. What is kept of a run is bounded: so many
//! series, each with so many points.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_measure::{ResourceScrape, ResourceUnit};

use crate::findings::{Beside, Course, ResourceFindings};
use crate::{Level, SourceStretch, Timeline};

/// One figure over a run.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceSummary {
    /// The source's name in the plan.
    pub source: Arc<str>,
    /// What it is.
    pub name: Arc<str>,
    /// What it is counted in.
    pub unit: ResourceUnit,
    /// Values that mean and peak stand on: those of the measured part of the stages.
    pub count: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// The largest of them.
    pub peak: Option<f64>,
    /// Its course over the run, all phases: seconds from the start and the mean there; `None` where
    /// there was no value. At most [`Timeline::POINTS`].
    pub course: Vec<(f64, Option<f64>)>,
    /// What that course says.
    pub findings: ResourceFindings,
}

/// How often a source was scraped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSourceSummary {
    /// Its name in the plan.
    pub source: Arc<str>,
    /// Scrapes, all phases.
    pub scrapes: u64,
    /// Those of them that failed.
    pub gaps: u64,
    /// Why the last of those failed.
    pub reason: Option<String>,
    /// The most series left out of a scrape because there were more than are kept.
    pub left_out: u64,
}

/// The resources of a run so far.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    /// Seconds that a point of a course spans.
    width: u64,
    series: BTreeMap<(Arc<str>, Arc<str>), Series>,
    sources: BTreeMap<Arc<str>, Source>,
}

#[derive(Debug)]
struct Series {
    unit: ResourceUnit,
    measured: Tally,
    /// By second over [`Resources::width`].
    course: Vec<Tally>,
}

#[derive(Debug, Default)]
struct Source {
    scrapes: u64,
    gaps: u64,
    reason: Option<String>,
    left_out: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    count: u64,
    sum: f64,
    peak: f64,
}

impl Tally {
    fn add(&mut self, value: f64) {
        self.peak = if self.count == 0 { value } else { self.peak.max(value) };
        self.count += 1;
        self.sum += value;
    }

    fn merge(&mut self, other: Self) {
        self.peak = match (self.count, other.count) {
            (0, _) => other.peak,
            (_, 0) => self.peak,
            _ => self.peak.max(other.peak),
        };
        self.count += other.count;
        self.sum += other.sum;
    }

    fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl Resources {
    /// The most series kept of a run.
    const MOST_SERIES: usize = 1024;
    /// The most sources kept of a run.
    const MOST_SOURCES: usize = 64;
    /// Points of a course, before it is made as coarse as it is drawn: what is unusual lasts for three of them at
    /// least, so at an hour twelve seconds.
    const POINTS: usize = Timeline::POINTS * 4;
    /// Longer runs than a record can hold are a mistake, not a reason to widen points for ever.
    const LAST_SECOND: u64 = 1 << 40;

    /// Adds a scrape; only one within `measured` (seconds from the start) counts for mean and peak.
    pub(crate) fn add(&mut self, scrape: &ResourceScrape, measured: std::ops::Range<f64>) {
        if !self.sources.contains_key(&scrape.source) && self.sources.len() >= Self::MOST_SOURCES {
            return;
        }
        let second = scrape.second().min(Self::LAST_SECOND);
        let counts = measured.contains(&(second as f64));
        self.widen(second);
        let source = self.sources.entry(Arc::clone(&scrape.source)).or_default();
        source.scrapes += 1;
        let figures = match &scrape.figures {
            Ok(figures) => figures,
            Err(reason) => {
                source.gaps += 1;
                source.reason = Some(reason.clone());
                return;
            }
        };
        let mut left_out = scrape.left_out;
        for figure in figures.iter().filter(|figure| figure.value.is_finite()) {
            let key = (Arc::clone(&scrape.source), Arc::clone(&figure.name));
            if !self.series.contains_key(&key) && self.series.len() >= Self::MOST_SERIES {
                left_out += 1;
                continue;
            }
            let series = self.series.entry(key).or_insert_with(|| Series {
                unit: figure.unit,
                measured: Tally::default(),
                course: Vec::new(),
            });
            if counts {
                series.measured.add(figure.value);
            }
            let index = (second / self.width) as usize;
            if series.course.len() <= index {
                series.course.resize(index + 1, Tally::default());
            }
            series.course[index].add(figure.value);
        }
        source.left_out = source.left_out.max(left_out);
    }

    /// Adds what a source told over some seconds; it counts for mean and peak where these seconds are all measured.
    pub(crate) fn add_stretch(
        &mut self,
        stretch: &SourceStretch,
        seconds: &std::ops::Range<u64>,
        measured: &std::ops::Range<f64>,
    ) {
        if !self.sources.contains_key(&stretch.source) && self.sources.len() >= Self::MOST_SOURCES {
            return;
        }
        let middle = (seconds.start + (seconds.end - seconds.start) / 2).min(Self::LAST_SECOND);
        let last = seconds.end.saturating_sub(1);
        let counts = [seconds.start, last].iter().all(|second| measured.contains(&(*second as f64)));
        self.widen(middle);
        let source = self.sources.entry(Arc::clone(&stretch.source)).or_default();
        source.scrapes += stretch.scrapes;
        source.gaps += stretch.gaps;
        source.reason = stretch.reason.clone().or(source.reason.take());
        let mut left_out = stretch.left_out;
        for figure in &stretch.figures {
            let key = (Arc::clone(&stretch.source), Arc::clone(&figure.name));
            if !self.series.contains_key(&key) && self.series.len() >= Self::MOST_SERIES {
                left_out += 1;
                continue;
            }
            let Level { count, sum, most, .. } = figure.level;
            let tally = Tally { count, sum, peak: most };
            let series = self.series.entry(key).or_insert_with(|| Series {
                unit: figure.unit,
                measured: Tally::default(),
                course: Vec::new(),
            });
            if counts {
                series.measured.merge(tally);
            }
            let index = (middle / self.width) as usize;
            if series.course.len() <= index {
                series.course.resize(index + 1, Tally::default());
            }
            series.course[index].merge(tally);
        }
        let source = self.sources.entry(Arc::clone(&stretch.source)).or_default();
        source.left_out = source.left_out.max(left_out);
    }

    /// Makes points as wide as it takes for `second` to be among them.
    fn widen(&mut self, second: u64) {
        self.width = self.width.max(1);
        while second / self.width >= Self::POINTS as u64 {
            self.width *= 2;
            for series in self.series.values_mut() {
                let pairs = series.course.chunks(2).map(|pair| {
                    let mut whole = pair[0];
                    pair[1..].iter().for_each(|other| whole.merge(*other));
                    whole
                });
                series.course = pairs.collect();
            }
        }
    }

    /// The figures, and what their courses say beside the run.
    pub(crate) fn summaries(&self, beside: &Beside<'_>) -> Vec<ResourceSummary> {
        let mut figures = self.figures();
        let courses: Vec<Course> = self.series.values().map(|series| self.course(series, 1)).collect();
        beside.find(&mut figures, &courses);
        figures
    }

    /// Its points, so many together.
    fn course(&self, series: &Series, together: usize) -> Course {
        let width = self.width as f64 * together as f64;
        let point = |(index, tallies): (u64, &[Tally])| {
            let mut whole = Tally::default();
            tallies.iter().for_each(|tally| whole.merge(*tally));
            ((index as f64 + 0.5) * width, whole.mean())
        };
        (0..).zip(series.course.chunks(together)).map(point).collect()
    }

    fn figures(&self) -> Vec<ResourceSummary> {
        let longest = self.series.values().map(|series| series.course.len()).max().unwrap_or_default();
        // Powers of two, so that a point is as wide as one of the run's.
        let together = longest.div_ceil(Timeline::POINTS).max(1).next_power_of_two();
        let summary = |((source, name), series): (&(Arc<str>, Arc<str>), &Series)| ResourceSummary {
            source: Arc::clone(source),
            name: Arc::clone(name),
            unit: series.unit,
            count: series.measured.count,
            mean: series.measured.mean(),
            peak: (series.measured.count > 0).then_some(series.measured.peak),
            course: self.course(series, together),
            findings: ResourceFindings::default(),
        };
        self.series.iter().map(summary).collect()
    }

    pub(crate) fn sources(&self) -> Vec<ResourceSourceSummary> {
        let summary = |(name, source): (&Arc<str>, &Source)| ResourceSourceSummary {
            source: Arc::clone(name),
            scrapes: source.scrapes,
            gaps: source.gaps,
            reason: source.reason.clone(),
            left_out: source.left_out,
        };
        self.sources.iter().map(summary).collect()
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_measure::{ResourceFigure, SECOND};
    use proptest::prelude::*;

    use super::*;

    fn scrape(at: u64, values: &[(&str, f64)]) -> ResourceScrape {
        let figure = |(name, value): &(&str, f64)| ResourceFigure {
            name: (*name).into(),
            unit: ResourceUnit::Cores,
            value: *value,
        };
        let figures = Ok(values.iter().map(figure).collect());
        ResourceScrape { source: "shop".into(), at, figures, left_out: 0 }
    }

    #[test]
    fn what_was_measured_counts_and_gaps_are_no_zeros() {
        let mut resources = Resources::default();
        for second in 1..=6 {
            resources.add(&scrape(second * SECOND, &[("cpu", second as f64), ("odd", f64::NAN)]), 2.0..5.0);
        }
        let gap = ResourceScrape { figures: Err("no answer".into()), ..scrape(4 * SECOND, &[]) };
        resources.add(&gap, 2.0..5.0);
        let summaries = resources.figures();
        assert_eq!(summaries.len(), 1, "what is no number is no figure");
        let ResourceSummary { count, mean, peak, course, .. } = &summaries[0];
        // Seconds 2, 3 and 4 were scraped at their ends.
        assert_eq!((*count, *mean, *peak), (3, Some(4.0), Some(5.0)));
        assert_eq!((course.len(), course[0]), (6, (0.5, Some(1.0))));
        let source = &resources.sources()[0];
        assert_eq!((source.scrapes, source.gaps, source.reason.as_deref()), (7, 1, Some("no answer")));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut resources = Resources::default();
        for number in 0..3000_u64 {
            let name = format!("series {number}");
            let at = (1 + number * 100) * SECOND;
            resources.add(&scrape(at, &[(&name, 1.0), ("always", 2.0)]), 0.0..1e9);
        }
        let summaries = resources.figures();
        assert_eq!(summaries.len(), Resources::MOST_SERIES);
        assert_eq!(resources.sources()[0].left_out, 1);
        let always = summaries.iter().find(|summary| &*summary.name == "always").unwrap();
        assert_eq!((always.count, always.mean), (3000, Some(2.0)));
        assert!(summaries.iter().all(|summary| summary.course.len() <= Timeline::POINTS));
        assert!(always.course.iter().all(|(_, mean)| *mean == Some(2.0)));
    }

    proptest! {
        #[test]
        fn no_scrape_breaks_it(scrapes in prop::collection::vec((any::<u64>(), any::<f64>()), 0..50)) {
            let mut resources = Resources::default();
            let mut finite = 0;
            for (at, value) in scrapes {
                finite += u64::from(value.is_finite());
                resources.add(&scrape(at, &[("x", value)]), 0.0..f64::INFINITY);
            }
            let summaries = resources.figures();
            prop_assert_eq!(summaries.iter().map(|summary| summary.count).sum::<u64>(), finite);
            prop_assert!(summaries.iter().all(|summary| summary.course.len() <= Timeline::POINTS));
        }
    }
}
