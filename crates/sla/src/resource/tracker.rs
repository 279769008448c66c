//! Judging a figure of a resource by the readings that came in.
//!
//! A reading is what one look at a source found. A look that found nothing is a gap and never a zero; where fewer than
//! half of the looks had the figure, only what holds whatever was not seen is decided. A window is judged when the
//! second after it has closed, because a look at the end of a second is answered in the next one.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use plimsoll_measure::{ResourceScrape, ResourceUnit};
use plimsoll_units::Quantile;

use super::{Among, OfResource, ResourceName, human};
use crate::judge::counted;
use crate::{Comparison, Verdict};

/// One objective over a resource, and what it has seen.
#[derive(Debug, Clone)]
pub(crate) struct ResourceTracker {
    of: OfResource,
    name: ResourceName,
    unit: ResourceUnit,
    comparison: Comparison,
    bound: f64,
    /// The whole seconds that are looked at.
    seconds: Range<u64>,
    /// The source and the whole name of what was found to be meant.
    meant: Option<(Arc<str>, Arc<str>)>,
    trouble: Option<String>,
    /// Looks at each source that may be meant.
    looks: BTreeMap<Arc<str>, u64>,
    all: Readings,
    windows: Option<Windows>,
    /// The first second that has not closed yet.
    open: u64,
    /// Seconds in a row in which it missed: windows, or the run so far.
    pub(crate) missing_for: u32,
}

/// Windows of one length, moved by a second.
#[derive(Debug, Clone)]
struct Windows {
    length: u64,
    /// The last second of the next window to be judged.
    next: u64,
    /// Looks within a length of the next window, with their seconds; `None` where one found nothing.
    looks: VecDeque<(u64, Option<f64>)>,
    judged: u64,
    missed: u64,
    undecided: u64,
    latest: Option<Said>,
    worst: Option<f64>,
    first: Option<(u64, Said)>,
}

/// What readings say.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) verdict: Verdict,
    pub(crate) observed: Option<f64>,
    pub(crate) why: String,
}

impl ResourceTracker {
    pub(crate) fn new(
        (of, name, unit): (OfResource, ResourceName, ResourceUnit),
        (comparison, bound): (Comparison, f64),
        over: Option<u32>,
        seconds: Range<u64>,
    ) -> Self {
        let windows = over.map(|over| {
            let length = u64::from(over.max(1));
            Windows {
                length,
                next: seconds.start.saturating_add(length - 1),
                looks: VecDeque::new(),
                judged: 0,
                missed: 0,
                undecided: 0,
                latest: None,
                worst: None,
                first: None,
            }
        });
        let all = Readings::new(of, comparison, bound);
        Self {
            of,
            name,
            unit,
            comparison,
            bound,
            seconds,
            meant: None,
            trouble: None,
            looks: BTreeMap::new(),
            all,
            windows,
            open: 0,
            missing_for: 0,
        }
    }

    pub(crate) fn bound(&self) -> f64 {
        self.bound
    }

    pub(crate) fn end_at(&mut self, end: u64) {
        self.seconds.end = self.seconds.end.min(end);
    }

    /// Takes in a look at a source.
    pub(crate) fn look(&mut self, scrape: &ResourceScrape) {
        let second = scrape.second();
        if self.of == OfResource::Leak || !self.seconds.contains(&second) || !self.name.is_of(&scrape.source)
        {
            return;
        }
        *self.looks.entry(Arc::clone(&scrape.source)).or_default() += 1;
        let value = self.reading(scrape);
        if let Some(value) = value {
            self.all.add(value);
        }
        let is_meant = self.meant.as_ref().is_none_or(|(source, _)| *source == scrape.source);
        if let Some(windows) = self.windows.as_mut().filter(|_| is_meant) {
            windows.looks.push_back((second, value));
        }
    }

    /// The value of what is meant, where this look found it.
    fn reading(&mut self, scrape: &ResourceScrape) -> Option<f64> {
        let figures = scrape.figures.as_ref().ok()?;
        let figures: Vec<_> = figures.iter().filter(|figure| figure.value.is_finite()).collect();
        let figure = match self.name.among(figures.iter().map(|figure| &*figure.name)) {
            Among::None => return None,
            Among::One(at) => figures[at],
            Among::Several(one, other) => {
                let [one, other] = [one, other].map(|at| &*figures[at].name);
                self.be_in_trouble(|| format!("there are several: `{one}` and `{other}`; name one of them"));
                return None;
            }
        };
        let (source, name) =
            self.meant.get_or_insert_with(|| (Arc::clone(&scrape.source), Arc::clone(&figure.name)));
        if (&*source, &*name) != (&scrape.source, &figure.name) {
            let both = format!("`{source}.{name}` and `{}.{}`", scrape.source, figure.name);
            self.be_in_trouble(|| format!("there are several: {both}; name one of them"));
            return None;
        }
        let fits = figure.unit == self.unit
            || (self.unit, figure.unit) == (ResourceUnit::Count, ResourceUnit::PerSecond);
        if !fits {
            let (found, asked) = (figure.unit.label(), self.unit.label());
            self.be_in_trouble(|| format!("it is counted in {found}, and the bound is in {asked}"));
            return None;
        }
        Some(figure.value)
    }

    fn be_in_trouble(&mut self, why: impl FnOnce() -> String) {
        self.trouble.get_or_insert_with(why);
    }

    /// A second has closed; looks at it may still come with the next one.
    pub(crate) fn close(&mut self, second: u64) {
        self.judge_windows(second);
        self.open = second.saturating_add(1);
        if self.windows.is_none() && self.seconds.contains(&second) {
            let missed = self.so_far() == Some(Verdict::Missed);
            self.missing_for = if missed { self.missing_for.saturating_add(1) } else { 0 };
        }
    }

    /// Seconds have closed that are told as one: what was found in each of them is gone.
    pub(crate) fn pass_over(&mut self, seconds: Range<u64>) {
        let is_asked_for = seconds.start < self.seconds.end && self.seconds.start < seconds.end;
        if self.of != OfResource::Leak && is_asked_for {
            let Range { start, end } = seconds;
            self.be_in_trouble(|| {
                format!("of the seconds {start} to {} only sums are kept", end.saturating_sub(1))
            });
        }
        self.judge_windows(seconds.end);
        self.open = seconds.end;
    }

    /// Judges the windows that end before this second.
    fn judge_windows(&mut self, before: u64) {
        let Some(mut windows) = self.windows.take() else { return };
        while windows.next < before.min(self.seconds.end) {
            let said = self.say(&windows.readings(self), windows.looks_within());
            self.missing_for =
                if said.verdict == Verdict::Missed { self.missing_for.saturating_add(1) } else { 0 };
            windows.count(said, self.comparison);
            // Where nobody looked for long, windows are all the same: there may be very many.
            let look = windows.looks.front().map_or(u64::MAX, |(second, _)| *second);
            let empty = look.min(before).min(self.seconds.end).saturating_sub(windows.next);
            windows.judged += empty;
            windows.undecided += empty;
            windows.next += empty;
        }
        self.windows = Some(windows);
    }

    /// How it stands while the run goes on.
    pub(crate) fn status(&self) -> (Option<Verdict>, Option<f64>, u64, u64) {
        match &self.windows {
            None => (self.so_far(), self.all.figure(self.of), 0, 0),
            Some(windows) => {
                let latest = windows.latest.as_ref();
                let observed = latest.and_then(|said| said.observed);
                (latest.map(|said| said.verdict), observed, windows.missed, windows.judged)
            }
        }
    }

    /// What more readings may still turn is not said.
    fn so_far(&self) -> Option<Verdict> {
        let may_rise = matches!(
            (self.of, self.comparison.wants_less()),
            (OfResource::Max, false) | (OfResource::Min, true)
        );
        match self.say(&self.all, self.looks()).verdict {
            Verdict::Inconclusive => None,
            Verdict::Missed if may_rise => None,
            verdict => Some(verdict),
        }
    }

    /// How often the source that is meant was looked at; of several that may be, the one looked at most.
    fn looks(&self) -> u64 {
        match &self.meant {
            Some((source, _)) => self.looks.get(source).copied().unwrap_or_default(),
            None => self.looks.values().copied().max().unwrap_or_default(),
        }
    }

    /// The last word.
    pub(crate) fn finish(&self) -> Said {
        if self.windows.is_none() {
            return self.say(&self.all, self.looks());
        }
        let mut last = self.clone();
        last.judge_windows(self.open);
        match &last.windows {
            Some(windows) => windows.finish(&last.name, last.unit, last.trouble.clone()),
            None => Said::undecided(None, String::new()),
        }
    }

    fn say(&self, readings: &Readings, looks: u64) -> Said {
        let observed = readings.figure(self.of);
        if let Some(trouble) = &self.trouble {
            return Said::undecided(None, trouble.clone());
        }
        let Some(figure) = observed else {
            let why = match looks {
                0 => format!("nobody looked for `{}`", self.name),
                looks => format!("{} found no `{}`", counted(looks, "look", "looks"), self.name),
            };
            return Said::undecided(None, why);
        };
        let (holds, grounds) = match self.of {
            OfResource::Quantile(quantile) => {
                let (within, count) = (readings.within, readings.count);
                if count < quantile.fewest() {
                    let values = counted(count, "reading is", "readings are");
                    let why = format!("{values} too few for {quantile}, which needs {}", quantile.fewest());
                    return Said::undecided(observed, why);
                }
                let kept = within >= quantile.rank(count);
                let side = match self.comparison {
                    Comparison::Le | Comparison::Gt => "at most",
                    Comparison::Lt | Comparison::Ge => "below",
                };
                let grounds = format!(" ({within} of {count} readings were {side} that)");
                (kept == self.comparison.wants_less(), grounds)
            }
            _ => (self.comparison.holds(figure, self.bound), String::new()),
        };
        let side = match self.comparison {
            Comparison::Le => "at most",
            Comparison::Lt => "below",
            Comparison::Ge => "at least",
            Comparison::Gt => "above",
        };
        let (was, bound) = (human(self.unit, figure), human(self.unit, self.bound));
        let why = format!("{}({}) was {was} where {side} {bound} was promised{grounds}", self.of, self.name);
        if readings.count * 2 < looks && !self.is_sure(holds) {
            let seen = format!("only {} of {looks} looks found it", readings.count);
            return Said::undecided(observed, format!("{why}, but {seen}"));
        }
        let verdict = if holds { Verdict::Met } else { Verdict::Missed };
        Said { verdict, observed, why }
    }

    /// Whether that stays so whatever was not seen: what went too high once did.
    fn is_sure(&self, holds: bool) -> bool {
        match (self.of, self.comparison.wants_less()) {
            (OfResource::Max, less) => holds != less,
            (OfResource::Min, less) => holds == less,
            _ => false,
        }
    }
}

impl Said {
    fn undecided(observed: Option<f64>, why: String) -> Self {
        Self { verdict: Verdict::Inconclusive, observed, why }
    }
}

impl Windows {
    /// The first second of the next window.
    fn start(&self) -> u64 {
        self.next.saturating_add(1).saturating_sub(self.length)
    }

    fn within(&self) -> impl Iterator<Item = &(u64, Option<f64>)> {
        let range = self.start()..=self.next;
        self.looks.iter().filter(move |(second, _)| range.contains(second))
    }

    fn readings(&self, tracker: &ResourceTracker) -> Readings {
        let mut readings = Readings::new(tracker.of, tracker.comparison, tracker.bound);
        self.within().filter_map(|(_, value)| *value).for_each(|value| readings.add(value));
        readings
    }

    fn looks_within(&self) -> u64 {
        self.within().count() as u64
    }

    /// Takes what the next window says, and moves on by a second.
    fn count(&mut self, said: Said, comparison: Comparison) {
        self.judged += 1;
        let worse = if comparison.wants_less() { f64::max } else { f64::min };
        self.worst = match (self.worst, said.observed) {
            (Some(worst), Some(observed)) => Some(worse(worst, observed)),
            (worst, observed) => worst.or(observed),
        };
        // The first that missed is told; without one the first that nobody can decide.
        let is_first = match said.verdict {
            Verdict::Met => false,
            Verdict::Missed => {
                self.missed += 1;
                self.missed == 1
            }
            Verdict::Inconclusive => {
                self.undecided += 1;
                self.undecided == 1 && self.missed == 0
            }
        };
        if is_first {
            self.first = Some((self.next, said.clone()));
        }
        self.latest = Some(said);
        self.next = self.next.saturating_add(1);
        let start = self.start();
        while self.looks.front().is_some_and(|(second, _)| *second < start) {
            self.looks.pop_front();
        }
    }

    fn finish(&self, name: &ResourceName, unit: ResourceUnit, trouble: Option<String>) -> Said {
        let Self { length, judged, missed, undecided, .. } = self;
        let verdict = match (judged, missed, undecided) {
            (0, _, _) => Verdict::Inconclusive,
            (_, 0, 0) => Verdict::Met,
            (_, 0, _) => Verdict::Inconclusive,
            (..) => Verdict::Missed,
        };
        let all = counted(*judged, "window", "windows");
        let first = self.first.as_ref().map(|(last, said)| {
            let end = last.saturating_add(1);
            format!("the first, from second {} to {end}: {}", end.saturating_sub(*length), said.why)
        });
        let why = match (trouble, first) {
            (Some(trouble), _) if verdict == Verdict::Inconclusive => trouble,
            (_, Some(first)) if *missed > 0 => format!("{missed} of {all} of {length}s missed; {first}"),
            (_, Some(first)) => format!("{undecided} of {all} of {length}s cannot be decided; {first}"),
            _ if *judged == 0 => format!("no window of {length}s of `{name}` was full"),
            _ => {
                let worst = self.worst.map(|worst| format!("; the worst was {}", human(unit, worst)));
                format!("all {all} of {length}s met it{}", worst.unwrap_or_default())
            }
        };
        Said { verdict, observed: self.worst, why }
    }
}

/// The readings of a stretch, in bounded room.
#[derive(Debug, Clone)]
struct Readings {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    last: f64,
    /// Those at or below the bound, or below it where it is excluded: what a quantile is judged by.
    within: u64,
    is_within: (Comparison, f64),
    /// How they are spread, where a quantile is asked for.
    spread: Option<BTreeMap<i32, u64>>,
}

impl Readings {
    fn new(of: OfResource, comparison: Comparison, bound: f64) -> Self {
        let spread = matches!(of, OfResource::Quantile(_)).then(BTreeMap::new);
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { count: 0, sum: 0.0, min, max, last: 0.0, within: 0, is_within: (comparison, bound), spread }
    }

    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.last = value;
        let (comparison, bound) = self.is_within;
        self.within += u64::from(match comparison {
            Comparison::Le | Comparison::Gt => value <= bound,
            Comparison::Lt | Comparison::Ge => value < bound,
        });
        if let Some(spread) = &mut self.spread {
            *spread.entry(cell(value)).or_default() += 1;
        }
    }

    fn figure(&self, of: OfResource) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        match of {
            OfResource::Quantile(quantile) => Some(self.quantile(quantile)),
            OfResource::Mean => Some(self.sum / self.count as f64),
            OfResource::Max => Some(self.max),
            OfResource::Min => Some(self.min),
            OfResource::Last => Some(self.last),
            OfResource::Leak => None,
        }
    }

    /// To a tenth of a percent; on the side of the bound where it was counted to be.
    fn quantile(&self, quantile: Quantile) -> f64 {
        let rank = quantile.rank(self.count);
        let mut below = 0;
        let cells = self.spread.iter().flatten();
        let at = cells.map(|(cell, count)| (*cell, *count)).find(|(_, count)| {
            below += count;
            below >= rank
        });
        let value = at.map_or(self.max, |(cell, _)| middle(cell)).clamp(self.min, self.max);
        let bound = self.is_within.1;
        if self.within >= rank { value.min(bound) } else { value.max(bound) }
    }
}

/// Cells are a tenth of a percent wide; what is smaller than a billionth either way is zero.
const CELL: f64 = 1.001;
const SMALLEST: f64 = 1e-9;

fn cell(value: f64) -> i32 {
    let size = value.abs();
    if size < SMALLEST {
        return 0;
    }
    // Beyond 10^18 all are one: so there are at most some 120,000 cells.
    let index = 1 + ((size.min(1e18) / SMALLEST).ln() / CELL.ln()).floor() as i32;
    if value < 0.0 { -index } else { index }
}

fn middle(cell: i32) -> f64 {
    if cell == 0 {
        return 0.0;
    }
    let size = SMALLEST * CELL.powf(f64::from(cell.abs()) - 0.5);
    if cell < 0 { -size } else { size }
}
