//! Seconds told as one.
//!
//! A record that has become old keeps sums instead of seconds: counts and bytes are added, histograms merged bucket by
//! bucket, so that every figure that is made from sums, quantiles and counted thresholds among them, is to the last
//! digit what the seconds gave. What needs the seconds themselves is either kept beside the sums (what came of
//! windows, what hindered the generator, the least and the most of a level) or is gone, and then no figure pretends
//! otherwise.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use plimsoll_measure::Frame;
use plimsoll_sla::{Evidence, ValidityTracker, WindowTally};

use crate::{Gauges, ResourceScrape, ResourceUnit, Second, Shape};

/// Seconds in a row, told as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// Their sum. `frame.second` is the first of them, and requests in flight are those at the end of the last.
    pub frame: Frame,
    /// How many seconds it spans.
    pub seconds: u64,
    /// How many of these were recorded.
    pub recorded: u64,
    /// What stood at the end of the last.
    pub gauges: Gauges,
    /// How what stands at the end of a second went.
    pub levels: Levels,
    /// Wall time of its end, nanoseconds since 1970.
    pub wall_nanos: i64,
    /// What the seconds say about the generator each by itself.
    pub evidence: Evidence,
    /// What came of the windows that begin in it, by the number of the objective; objectives that are not here have no
    /// windows, or nobody knows.
    pub windows: BTreeMap<u16, WindowTally>,
    /// What sources of resources told, one by one.
    pub resources: Vec<SourceStretch>,
}

/// How what stands at the end of a second went over some.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Levels {
    /// The rate asked for.
    pub offered_rate: Level,
    /// Virtual users.
    pub virtual_users: Level,
    /// Open connections.
    pub connections: Level,
    /// Requests in flight.
    pub in_flight: Level,
    /// Requests that ended in a second.
    pub requests: Level,
    /// Requests that failed in a second.
    pub failed: Level,
}

/// A number of each second: the least, the sum and the most.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Level {
    /// How many numbers.
    pub count: u64,
    /// The least of them; 0 of none.
    pub least: f64,
    /// Their sum.
    pub sum: f64,
    /// The most of them; 0 of none.
    pub most: f64,
}

/// What one source of resources told over a stretch.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceStretch {
    /// The source's name in the plan.
    pub source: Arc<str>,
    /// Scrapes.
    pub scrapes: u64,
    /// Those of them that failed.
    pub gaps: u64,
    /// Why the last of those failed.
    pub reason: Option<String>,
    /// The most series left out of a scrape.
    pub left_out: u64,
    /// Each figure once.
    pub figures: Vec<FigureStretch>,
}

/// One figure of a source over a stretch.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureStretch {
    /// What it is.
    pub name: Arc<str>,
    /// What it is counted in.
    pub unit: ResourceUnit,
    /// Its values.
    pub level: Level,
}

impl Level {
    /// Of one number.
    pub fn of(number: f64) -> Self {
        Self { count: 1, least: number, sum: number, most: number }
    }

    /// Takes in others.
    pub fn merge(&mut self, other: &Self) {
        (self.least, self.most) = match (self.count, other.count) {
            (_, 0) => return,
            (0, _) => (other.least, other.most),
            _ => (self.least.min(other.least), self.most.max(other.most)),
        };
        self.count += other.count;
        self.sum += other.sum;
    }

    /// Sum over count.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl Levels {
    /// Of one second.
    pub fn of(second: &Second) -> Self {
        let Gauges { offered_rate, virtual_users, connections } = second.gauges;
        let count = |count: u64| Level::of(count as f64);
        Self {
            offered_rate: Level::of(offered_rate),
            virtual_users: count(virtual_users),
            connections: count(connections),
            in_flight: count(second.frame.in_flight()),
            requests: count(second.frame.requests(|_| true)),
            failed: count(second.frame.requests(|key| key.outcome.is_failure())),
        }
    }

    /// Takes in those of other seconds.
    pub fn merge(&mut self, other: &Self) {
        self.offered_rate.merge(&other.offered_rate);
        self.virtual_users.merge(&other.virtual_users);
        self.connections.merge(&other.connections);
        self.in_flight.merge(&other.in_flight);
        self.requests.merge(&other.requests);
        self.failed.merge(&other.failed);
    }
}

impl Stretch {
    /// The seconds it spans.
    pub fn range(&self) -> Range<u64> {
        self.frame.second..self.frame.second.saturating_add(self.seconds)
    }
}

/// Puts seconds, or stretches, together in their order.
#[derive(Debug)]
pub struct StretchBuilder {
    tracker: ValidityTracker,
    shape: Shape,
    whole: Option<Stretch>,
}

impl StretchBuilder {
    /// Nothing yet, of a run of this shape.
    pub fn new(shape: &Shape) -> Self {
        Self { tracker: ValidityTracker::new(shape.edges.clone(), 0), shape: shape.clone(), whole: None }
    }

    /// Adds the next second.
    pub fn second(&mut self, second: &Second) {
        self.tracker.second(&second.frame, &second.vitals);
        let mut resources = Vec::new();
        second.resources.iter().for_each(|scrape| add_scrape(&mut resources, scrape));
        self.add(&Stretch {
            frame: second.frame.clone(),
            seconds: 1,
            recorded: 1,
            gauges: second.gauges,
            levels: Levels::of(second),
            wall_nanos: second.wall_nanos,
            evidence: Evidence::default(),
            windows: BTreeMap::new(),
            resources,
        });
    }

    /// Adds the next stretch.
    pub fn stretch(&mut self, stretch: &Stretch) {
        self.tracker.stretch(&stretch.frame, &stretch.evidence);
        self.add(stretch);
    }

    fn add(&mut self, next: &Stretch) {
        let objectives = &self.shape.objectives;
        let Some(whole) = &mut self.whole else {
            let mut first = next.clone();
            // What went over the wire is for the minute it happened in.
            first.frame.kept.values_mut().for_each(plimsoll_measure::Kept::forget_exchanges);
            self.whole = Some(first);
            return;
        };
        whole.frame.absorb(&next.frame);
        whole.frame.kept.values_mut().for_each(plimsoll_measure::Kept::forget_exchanges);
        // What came of windows is known of the whole only where it is known of each part of it.
        let is_gapless = whole.range().end == next.frame.second;
        whole.windows.retain(|index, tally| match next.windows.get(index) {
            Some(later) if is_gapless => {
                let objective = objectives.get(usize::from(*index));
                let wants_less = objective.is_none_or(|known| known.expression.comparison.wants_less());
                tally.absorb(later, wants_less);
                true
            }
            _ => false,
        });
        whole.seconds = next.range().end.saturating_sub(whole.frame.second);
        whole.recorded += next.recorded;
        whole.gauges = next.gauges;
        whole.levels.merge(&next.levels);
        whole.wall_nanos = next.wall_nanos;
        next.resources.iter().for_each(|source| merge_source(&mut whole.resources, source));
    }

    /// What was added, as one; `None`: nothing was.
    pub fn finish(self) -> Option<Stretch> {
        let evidence = self.tracker.evidence();
        self.whole.map(|whole| Stretch { evidence, ..whole })
    }
}

fn add_scrape(sources: &mut Vec<SourceStretch>, scrape: &ResourceScrape) {
    let figures = scrape.figures.as_deref().unwrap_or_default().iter();
    let figures = figures.filter(|figure| figure.value.is_finite()).map(|figure| FigureStretch {
        name: Arc::clone(&figure.name),
        unit: figure.unit,
        level: Level::of(figure.value),
    });
    let source = SourceStretch {
        source: Arc::clone(&scrape.source),
        scrapes: 1,
        gaps: u64::from(scrape.figures.is_err()),
        reason: scrape.figures.as_ref().err().cloned(),
        left_out: scrape.left_out,
        figures: figures.collect(),
    };
    merge_source(sources, &source);
}

fn merge_source(sources: &mut Vec<SourceStretch>, more: &SourceStretch) {
    let Some(known) = sources.iter_mut().find(|known| known.source == more.source) else {
        sources.push(more.clone());
        return;
    };
    known.scrapes += more.scrapes;
    known.gaps += more.gaps;
    known.left_out = known.left_out.max(more.left_out);
    if more.reason.is_some() {
        known.reason.clone_from(&more.reason);
    }
    for figure in &more.figures {
        match known.figures.iter_mut().find(|known| known.name == figure.name && known.unit == figure.unit) {
            Some(known) => known.level.merge(&figure.level),
            None => known.figures.push(figure.clone()),
        }
    }
}
