//! How the events of an SLA are counted in PromQL, window by window.

use plimsoll_sla::openslo::{Operator, RawType};
use plimsoll_sla::{Counted, Events, Method, RunEvents, Sla, Source};

use super::promql::{by, growth, looks_at_series, parse, window};
use super::{Record, Series};
use crate::catalogue;

/// What the events are, once they are known to be countable.
pub(super) struct Counting<'a> {
    sla: &'a Sla,
    /// Between two evaluations, in seconds.
    interval: u64,
    /// The events themselves; slices are made of them.
    raw: Raw,
}

/// Events before they are made into slices.
enum Raw {
    /// The growth of two counters.
    Counters { total: String, counted: String, is_good: bool },
    /// Readings of a figure.
    Readings { query: String, op: Operator, value: f64 },
    /// Readings of a share.
    Shares { query: String, of: RawType },
}

impl<'a> Counting<'a> {
    pub(super) fn new(sla: &'a Sla, interval: u64) -> Result<Self, String> {
        let raw = match &sla.events {
            Events::Runs(runs) => Self::of_runs(sla, runs)?,
            Events::Counters { source, counted, total } => {
                is_selector(source, total)?;
                let (query, is_good) = match counted {
                    Counted::Good(query) => (query, true),
                    Counted::Bad(query) => (query, false),
                };
                is_selector(source, query)?;
                Raw::Counters { total: total.clone(), counted: query.clone(), is_good }
            }
            Events::Figure { source, query, op, value } => {
                is_selector(source, query)?;
                Raw::Readings { query: at_a_moment(query)?, op: *op, value: *value }
            }
            Events::Share { source, query, of } => {
                is_selector(source, query)?;
                if !matches!(sla.slo.method, Method::RatioTimeslices { .. }) {
                    return Err(format!("`{query}` is a share of nobody knows how many events"));
                }
                Raw::Shares { query: at_a_moment(query)?, of: *of }
            }
        };
        let counting = Self { sla, interval, raw };
        // Both queries are read here, so a mistake in either is told once.
        if let Raw::Counters { total, counted, .. } = &counting.raw {
            counting.growth(total, 3600)?;
            counting.growth(counted, 3600)?;
        }
        Ok(counting)
    }

    fn of_runs(sla: &Sla, runs: &RunEvents) -> Result<Raw, String> {
        if let Some(each) = &sla.each {
            return Err(format!("the counters of runs have no label `{each}`"));
        }
        let selector = |metric: &catalogue::Metric| {
            let labels = [("plan", &runs.plan), ("sla", &sla.slo.name)];
            let labels = labels.map(|(name, value)| format!("{name}={}", super::promql::text(value)));
            format!("sum({}{{{}}})", metric.name, labels.join(","))
        };
        let (total, counted) = (selector(&catalogue::SLA_EVENTS), selector(&catalogue::SLA_GOOD_EVENTS));
        Ok(Raw::Counters { total, counted, is_good: true })
    }

    fn each(&self) -> Option<&'a str> {
        self.sla.each.as_deref()
    }

    fn series(&self, name: impl Into<String>) -> Series {
        Series::new(name, &self.sla.slo.name)
    }

    fn growth(&self, query: &str, seconds: u64) -> Result<String, String> {
        growth(query, seconds, self.each())
            .map(|growth| growth.text)
            .map_err(|why| format!("`{query}` {why}"))
    }

    /// The queries of the counters, and whether the second counts good events.
    pub(super) fn counters(&self) -> Option<(&str, &str, bool)> {
        match &self.raw {
            Raw::Counters { total, counted, is_good } => Some((total, counted, *is_good)),
            Raw::Readings { .. } | Raw::Shares { .. } => None,
        }
    }

    /// The series that takes what a query says, and what it says of a good and of a bad event.
    pub(super) fn reading(&self) -> Option<(Series, f64, f64)> {
        match &self.raw {
            Raw::Counters { .. } => None,
            Raw::Readings { op, value, .. } => {
                let apart = value.abs().max(1.0);
                let (below, above) = (value - apart, value + apart);
                Some(match op {
                    Operator::Lt | Operator::Lte => (self.series(READING), below, above),
                    Operator::Gt | Operator::Gte => (self.series(READING), above, below),
                })
            }
            Raw::Shares { .. } => Some((self.series(SHARE), 1.0, 0.0)),
        }
    }

    /// What windows are made of, besides what was there: the judged readings and slices.
    pub(super) fn prepared(&self) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        match &self.raw {
            Raw::Counters { .. } => {}
            Raw::Readings { query, op, value } => {
                let reading = self.series(READING);
                records.push(Record::new(&reading, query.clone()));
                // What is no number is no reading.
                let good = format!("{reading} {} bool {value} unless {reading} != {reading}", sign(*op));
                records.push(Record::new(&self.series(GOOD_READING), good));
            }
            Raw::Shares { query, of } => {
                // What is not within the whole is no share.
                let share = match of {
                    RawType::Success => format!("(\n{query}\n) >= 0 <= 1"),
                    RawType::Failure => format!("1 - ((\n{query}\n) >= 0 <= 1)"),
                };
                records.push(Record::new(&self.series(SHARE), share));
            }
        }
        if let Some(slice) = self.sla.slo.method.slice() {
            self.slices(slice, &mut records)?;
        }
        Ok(records)
    }

    /// Judges every slice once, at the first evaluation when it is over.
    fn slices(&self, slice: u64, records: &mut Vec<Record>) -> Result<(), String> {
        let (name, worth) = match (&self.raw, self.sla.slo.method) {
            (Raw::Shares { .. }, _) => {
                (SLICE_RATIO, format!("avg_over_time({})", self.series(SHARE).within(slice)))
            }
            (_, method) => {
                let (events, good, bad) = self.raw_events(slice, "slice_", records)?;
                let share = |of: &Series| format!("{of} / ({events} > 0)");
                match (method, &good) {
                    (Method::Timeslices { target, .. }, Some(good)) => {
                        (GOOD_SLICE, format!("{} >= bool {}", share(good), target.to_decimal()))
                    }
                    // Counted as it is told: a decimal and a quotient of integers are both rounded once.
                    (Method::Timeslices { target, .. }, None) => {
                        (GOOD_SLICE, format!("{} <= bool {}", share(&bad), target.rest().to_decimal()))
                    }
                    (_, Some(good)) => (SLICE_RATIO, share(good)),
                    (_, None) => (SLICE_RATIO, format!("1 - {}", share(&bad))),
                }
            }
        };
        let once = if slice > self.interval {
            format!(" and on () (vector(time() % {slice}) < {})", self.interval)
        } else {
            String::new()
        };
        records.push(Record::new(&self.series(name), format!("{worth}{once}")));
        Ok(())
    }

    /// All, good and bad events over a window, counted one by one.
    ///
    /// A counter that is not there has counted nothing yet, as long as the other is.
    fn raw_events(
        &self,
        seconds: u64,
        of: &str,
        records: &mut Vec<Record>,
    ) -> Result<(Series, Option<Series>, Series), String> {
        let named = |what: &str| self.series(format!("sla:{of}{what}:increase{}", window(seconds)));
        let (events, good, bad) = (named("events"), named("good_events"), named("bad_events"));
        let or_none = format!("or on ({}) 0 * {events}", self.each().unwrap_or_default());
        let rest = format!("{events} - {good}");
        match &self.raw {
            Raw::Counters { total, counted, is_good } => {
                records.push(Record::new(&events, self.growth(total, seconds)?));
                let counted = format!("{} {or_none}", self.growth(counted, seconds)?);
                if !is_good {
                    records.push(Record::new(&bad, counted));
                    return Ok((events, None, bad));
                }
                records.push(Record::new(&good, counted));
            }
            Raw::Readings { .. } | Raw::Shares { .. } => {
                self.summed(GOOD_READING, seconds, [&events, &good], records);
            }
        }
        records.push(Record::new(&bad, rest));
        Ok((events, Some(good), bad))
    }

    /// How many readings or slices there were within the window, and how many of them were good.
    fn summed(&self, name: &str, seconds: u64, [events, good]: [&Series; 2], records: &mut Vec<Record>) {
        let within = self.series(name).within(seconds);
        let by = by(self.each());
        records.push(Record::new(events, format!("sum{by}(count_over_time({within}))")));
        records.push(Record::new(good, format!("sum{by}(sum_over_time({within}))")));
    }

    /// All and bad events over a window, burn rate and share of good events.
    pub(super) fn over(&self, seconds: u64) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        let name = match self.sla.slo.method {
            Method::Occurrences => None,
            Method::Timeslices { .. } => Some(GOOD_SLICE),
            Method::RatioTimeslices { .. } => Some(SLICE_RATIO),
        };
        let (events, bad) = (self.events(seconds), self.bad(seconds));
        match name {
            None => {
                self.raw_events(seconds, "", &mut records)?;
            }
            Some(name) => {
                let good = self.series(format!("sla:good_events:increase{}", window(seconds)));
                self.summed(name, seconds, [&events, &good], &mut records);
                records.push(Record::new(&bad, format!("{events} - {good}")));
            }
        }
        let share = format!("{bad} / ({events} > 0)");
        let budget = self.sla.slo.target.budget().to_decimal();
        records.push(Record::new(&self.burn_rate(seconds), format!("{share} / {budget}")));
        let good_share = self.series(format!("sla:compliance:ratio_increase{}", window(seconds)));
        records.push(Record::new(&good_share, format!("1 - {share}")));
        Ok(records)
    }

    pub(super) fn events(&self, seconds: u64) -> Series {
        self.series(format!("sla:events:increase{}", window(seconds)))
    }

    pub(super) fn bad(&self, seconds: u64) -> Series {
        self.series(format!("sla:bad_events:increase{}", window(seconds)))
    }

    pub(super) fn burn_rate(&self, seconds: u64) -> Series {
        self.series(format!("sla:burn_rate:ratio_increase{}", window(seconds)))
    }

    /// When there were no events for as long as `silence`; where there is a promise for each value of a label, and there
    /// were some within `memory`.
    pub(super) fn silent(&self, silence: u64, memory: u64) -> Result<String, String> {
        let events = |seconds: u64| {
            Ok::<_, String>(match &self.raw {
                Raw::Counters { total, .. } => self.growth(total, seconds)?,
                Raw::Readings { .. } => self.counted(GOOD_READING, seconds),
                Raw::Shares { .. } => self.counted(SHARE, seconds),
            })
        };
        let lately = events(silence)?;
        Ok(match self.each() {
            None => format!("absent(({lately}) > 0)"),
            Some(each) => format!("({}) > 0 unless on ({each}) ({lately}) > 0", events(memory)?),
        })
    }

    fn counted(&self, name: &str, seconds: u64) -> String {
        format!("sum{}(count_over_time({}))", by(self.each()), self.series(name).within(seconds))
    }
}

const READING: &str = "sla:figure:value";
const GOOD_READING: &str = "sla:good_reading:bool";
const SHARE: &str = "sla:share:ratio";
const GOOD_SLICE: &str = "sla:good_slice:bool";
const SLICE_RATIO: &str = "sla:good_slice:ratio";

fn is_selector(source: &Source, query: &str) -> Result<(), String> {
    let expression = || parse(query).map_err(|why| format!("`{query}` {why}"));
    match source {
        Source::Prometheus(_) => Ok(()),
        Source::Exposition(_) => match expression()? {
            promql_parser::parser::Expr::VectorSelector(_) => Ok(()),
            _ => Err(format!("`{query}` is no selector, and what a service shows can only be selected")),
        },
    }
}

/// A query of a figure with the window it looks back over.
fn at_a_moment(query: &str) -> Result<String, String> {
    let complete = Events::over_window(query, Events::FIGURE_WINDOW).unwrap_or_else(|| query.to_owned());
    match parse(&complete) {
        Ok(expression) if !looks_at_series(&expression) => Err(format!("`{query}` looks at no series")),
        Ok(_) if complete.chars().any(|c| !matches!(c, '\n' | '\t') && super::yaml::must_be_escaped(c)) => {
            Err(format!("`{query}` has characters that cannot be shown"))
        }
        Ok(_) => Ok(complete),
        Err(why) => Err(format!("`{query}` {why}")),
    }
}

fn sign(op: Operator) -> &'static str {
    match op {
        Operator::Lt => "<",
        Operator::Lte => "<=",
        Operator::Gt => ">",
        Operator::Gte => ">=",
    }
}
