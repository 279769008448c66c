//! Points on their way to a request, however long that is.

use std::sync::Arc;

use plimsoll_measure::Edges;
use prost::Message;
use rustc_hash::FxHashMap;

use super::proto::{Batch, Durations, Point, Shown};
use super::{Current, Series, Word};
use crate::catalogue::Unit;
use crate::number::{float, seconds};
use crate::{Exemplar, HistogramValue};

/// Points of one part: few enough that a part of a busy second is no request of its own.
const PART_POINTS: usize = 500;

/// The most characters of an exemplar's labels, names and values together, in OpenMetrics; more is refused.
const EXEMPLAR_LETTERS: usize = 128;

/// What one event adds to the series of one lane. It can be sent alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How many series it tells about, each at one moment.
    pub points: u64,
    /// Its lane.
    pub lane: u8,
    /// For [`super::request`].
    pub body: Vec<u8>,
}

/// Bytes that no encoder wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no points")]
pub struct Damaged;

/// Two parts with half the points each; `None`: there is but one, or the part is damaged.
pub fn halves(part: &Part) -> Option<[Part; 2]> {
    let batch = Batch::decode(part.body.as_slice()).ok()?;
    if batch.points.len() < 2 {
        return None;
    }
    let (first, second) = batch.points.split_at(batch.points.len() / 2);
    let half = |points: &[Point]| {
        let mut symbols = Symbols::default();
        let mut moved = symbols.moved(&batch.symbols);
        let points: Option<Vec<Point>> = points.iter().map(|point| moved.point(point.clone())).collect();
        Some(finished(&symbols, points?, part.lane))
    };
    Some([half(first)?, half(second)?])
}

/// Puts points together.
#[derive(Debug)]
pub(super) struct Builder {
    lane: u8,
    done: Vec<Part>,
    symbols: Symbols,
    points: Vec<Point>,
    /// The edges last seen and their texts: nearly always those of the next histogram too.
    edges: Option<(Edges, Vec<u32>)>,
}

impl Builder {
    pub(super) fn new(lane: u8) -> Self {
        Self { lane, done: Vec::new(), symbols: Symbols::default(), points: Vec::new(), edges: None }
    }

    pub(super) fn push(&mut self, series: &Series, word: Word, at_ms: i64) {
        if self.points.len() >= PART_POINTS {
            self.cut();
        }
        let metric = series.metric;
        let labels = series.labels.iter().flat_map(|(name, value)| [name, value]);
        let labels = labels.map(|text| self.symbols.of_shared(text)).collect();
        let (value, durations) = match &series.value {
            Current::Count(count) => (*count as f64, None),
            Current::Level(level) => (*level, None),
            Current::Durations(durations) => (0.0, Some(self.durations(durations))),
        };
        let exemplars = match (&series.value, word) {
            (Current::Durations(durations), Word::Value) => self.exemplars(series, durations, at_ms),
            _ => Vec::new(),
        };
        self.points.push(Point {
            metric: self.symbols.of(metric.name),
            kind: series.kind().into(),
            help: self.symbols.of(metric.help),
            unit: self.symbols.of(metric.unit.map_or("", Unit::label)),
            labels,
            at_ms,
            created_ms: series.created_ms.unwrap_or_default(),
            first: series.written_ms.is_none() && series.created_ms.is_some() && word == Word::Value,
            stale: word == Word::Stale,
            value,
            durations,
            exemplars,
        });
    }

    pub(super) fn finish(mut self) -> Vec<Part> {
        self.cut();
        self.done
    }

    fn cut(&mut self) {
        if !self.points.is_empty() {
            let (symbols, points) = (std::mem::take(&mut self.symbols), std::mem::take(&mut self.points));
            self.edges = None;
            self.done.push(finished(&symbols, points, self.lane));
        }
    }

    fn durations(&mut self, value: &HistogramValue) -> Durations {
        let (spans, deltas) = value.native().spans();
        let cumulative = value.classic().map(|(_, count)| count).chain([value.count()]).collect();
        Durations {
            count: value.count(),
            sum: value.sum(),
            zero_count: value.native().zero,
            offsets: spans.iter().map(|span| span.offset).collect(),
            lengths: spans.iter().map(|span| span.length).collect(),
            deltas,
            edges: self.edges(value.edges()),
            cumulative,
        }
    }

    fn edges(&mut self, edges: &Edges) -> Vec<u32> {
        match &self.edges {
            Some((known, texts)) if known == edges => texts.clone(),
            _ => {
                let finite = edges.nanos().iter().map(|nanos| float(seconds(*nanos)));
                let texts: Vec<u32> =
                    finite.chain(["+Inf".to_owned()]).map(|text| self.symbols.of(&text)).collect();
                self.edges = Some((edges.clone(), texts.clone()));
                texts
            }
        }
    }

    fn exemplars(&mut self, series: &Series, value: &HistogramValue, at_ms: i64) -> Vec<Shown> {
        let fits = |exemplar: &&Exemplar| {
            let letters = |(name, value): &(String, String)| name.chars().count() + value.chars().count();
            exemplar.labels.iter().map(letters).sum::<usize>() <= EXEMPLAR_LETTERS
        };
        let mut shown: Vec<Shown> = series
            .exemplars
            .iter()
            .filter(fits)
            .map(|exemplar| {
                let mut labels: Vec<_> =
                    exemplar.labels.iter().filter(|(_, value)| !value.is_empty()).collect();
                labels.sort();
                labels.dedup_by(|one, other| one.0 == other.0);
                Shown {
                    labels: labels
                        .iter()
                        .flat_map(|(name, value)| [name, value])
                        .map(|text| self.symbols.of(text))
                        .collect(),
                    value: seconds(exemplar.nanos),
                    at_ms: exemplar.wall_nanos.map_or(at_ms, |nanos| nanos.div_euclid(1_000_000)),
                    bucket: value.edges().bucket(exemplar.nanos) as u32,
                }
            })
            .collect();
        shown.sort_by_key(|shown| shown.at_ms);
        shown
    }
}

/// Texts by the order in which they were first needed.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    index: FxHashMap<Arc<str>, u32>,
    list: Vec<Arc<str>>,
}

impl Symbols {
    pub(super) fn of(&mut self, text: &str) -> u32 {
        match self.index.get(text) {
            Some(found) => *found,
            None => self.add(text.into()),
        }
    }

    fn of_shared(&mut self, text: &Arc<str>) -> u32 {
        match self.index.get(text) {
            Some(found) => *found,
            None => self.add(Arc::clone(text)),
        }
    }

    fn add(&mut self, text: Arc<str>) -> u32 {
        let next = self.list.len() as u32;
        self.list.push(Arc::clone(&text));
        self.index.insert(text, next);
        next
    }

    pub(super) fn text(&self, symbol: u32) -> &str {
        self.list.get(symbol as usize).map_or("", AsRef::as_ref)
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(AsRef::as_ref)
    }

    /// Where the texts of another list stand in this one.
    fn moved<'t>(&'t mut self, from: &'t [String]) -> Moved<'t> {
        Moved { from, to: vec![None; from.len()], symbols: self }
    }
}

/// Points of another list of symbols on their way to this one. Each text is looked up once.
struct Moved<'t> {
    from: &'t [String],
    to: Vec<Option<u32>>,
    symbols: &'t mut Symbols,
}

impl Moved<'_> {
    /// `None`: it refers to a text that is not in the list.
    fn point(&mut self, mut point: Point) -> Option<Point> {
        let exemplars = point.exemplars.iter_mut().flat_map(|shown| &mut shown.labels);
        let edges = point.durations.iter_mut().flat_map(|durations| &mut durations.edges);
        let own = [&mut point.metric, &mut point.help, &mut point.unit];
        for symbol in own.into_iter().chain(&mut point.labels).chain(edges).chain(exemplars) {
            *symbol = self.symbol(*symbol)?;
        }
        Some(point)
    }

    fn symbol(&mut self, symbol: u32) -> Option<u32> {
        let place = self.to.get_mut(symbol as usize)?;
        if place.is_none() {
            *place = Some(self.symbols.of(self.from.get(symbol as usize)?));
        }
        *place
    }
}

fn finished(symbols: &Symbols, points: Vec<Point>, lane: u8) -> Part {
    let count = points.len() as u64;
    let batch = Batch { symbols: symbols.texts().map(str::to_owned).collect(), points };
    Part { points: count, lane, body: batch.encode_to_vec() }
}

/// Reads parts as they wait, all with the same symbols.
pub(super) fn read<'a>(
    bodies: impl IntoIterator<Item = &'a [u8]>,
    symbols: &mut Symbols,
) -> Result<Vec<Point>, Damaged> {
    let mut points = Vec::new();
    for body in bodies {
        let batch = Batch::decode(body).map_err(|_| Damaged)?;
        let mut moved = symbols.moved(&batch.symbols);
        for point in batch.points {
            points.push(moved.point(point).ok_or(Damaged)?);
        }
    }
    Ok(points)
}
