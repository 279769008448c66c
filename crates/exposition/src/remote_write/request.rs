//! Requests of both versions.
//!
//! Field numbers are those of Prometheus' `prompb/types.proto` and `remote.proto` (1.0) and
//! `io/prometheus/write/v2/types.proto` (2.0). Histograms have the same numbers in both; 2.0 adds when a
//! series began to count.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::points::{Damaged, Symbols, read};
use super::proto::{Durations, Point, Shown, double, int, message, packed, sint, text, uint, varint, zigzag};
use crate::native::{SCHEMA, ZERO_THRESHOLD};

/// The value that says a series has ended; no other NaN may have these bits.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// What is written for a level that is no number.
const NOT_A_NUMBER: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// The label that is a series' own name.
const NAME: &str = "__name__";

/// The label of a classic bucket.
const EDGE: &str = "le";

/// Bytes of a point in a request, roughly: a number for how much room to begin with.
const USUAL_POINT: usize = 1024;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 1.0: `prometheus.WriteRequest`.
    V1,
    /// 2.0: `io.prometheus.write.v2.Request`.
    V2,
}

/// The form of histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Histograms {
    /// Native buckets alone.
    Native,
    /// Classic buckets alone.
    Classic,
    /// One beside the other.
    Both,
}

/// What a request looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Its version.
    pub version: Version,
    /// Its histograms.
    pub histograms: Histograms,
}

/// A request, and what it holds in the words of the protocol's answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The message, not compressed.
    pub body: Vec<u8>,
    /// Samples of floats.
    pub samples: u64,
    /// Samples of native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// The latest moment of a sample, Unix milliseconds.
    pub newest_ms: i64,
}

/// Writes a request of the bodies of [`super::Part`]s of one lane, in order. Each series is in it once, with its
/// samples in order.
///
/// # Errors
/// When a body is damaged.
pub fn request<'a>(bodies: impl IntoIterator<Item = &'a [u8]>, form: Form) -> Result<Request, Damaged> {
    let mut symbols = Symbols::default();
    // The protocol wants the empty text first.
    symbols.of("");
    let points = read(bodies, &mut symbols)?;
    let body = Vec::with_capacity(points.len() * USUAL_POINT);
    let request = Request { body, newest_ms: i64::MIN, ..Request::default() };
    let mut writer = Writer { form, symbols, labels: LabelSet::default(), request };
    let groups = grouped(&points);
    for group in &groups {
        writer.group(group);
    }
    Ok(writer.finish(&points))
}

/// The points of one series.
struct Group<'p> {
    first: &'p Point,
    points: Vec<&'p Point>,
}

fn grouped(points: &[Point]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known: FxHashMap<(u32, &[u32], &[u32]), usize> = FxHashMap::default();
    for point in points {
        let edges = point.durations.as_ref().map_or(&[][..], |durations| &durations.edges);
        match known.entry((point.metric, &point.labels, edges)) {
            Entry::Occupied(found) => groups[*found.get()].points.push(point),
            Entry::Vacant(free) => {
                free.insert(groups.len());
                groups.push(Group { first: point, points: vec![point] });
            }
        }
    }
    groups
}

struct Writer {
    form: Form,
    symbols: Symbols,
    /// Those of the group being written.
    labels: LabelSet,
    request: Request,
}

impl Writer {
    fn group(&mut self, group: &Group<'_>) {
        self.labels.set(&group.first.labels, &self.symbols, self.form.version);
        if group.first.durations.is_none() {
            self.name("", group);
            self.series(group, None, |point| point.value, &[]);
            return;
        }
        if self.form.histograms != Histograms::Native {
            self.classic(group);
        }
        if self.form.histograms != Histograms::Classic {
            self.native(group);
        }
    }

    fn classic(&mut self, group: &Group<'_>) {
        let of =
            |read: fn(&Durations) -> f64| move |point: &Point| point.durations.as_ref().map_or(0.0, read);
        let edges = group.first.durations.as_ref().map_or(&[][..], |durations| &durations.edges);
        self.name("_bucket", group);
        self.labels.edges(edges, &mut self.symbols, self.form.version);
        for bucket in 0..edges.len() {
            let cumulative = |point: &Point| {
                let counts = point.durations.as_ref().map_or(&[][..], |durations| &durations.cumulative);
                counts.get(bucket).map_or(0.0, |count| *count as f64)
            };
            let shown: Vec<&Shown> =
                exemplars(group).filter(|shown| shown.bucket as usize == bucket).collect();
            self.series(group, Some(bucket), cumulative, &shown);
        }
        self.name("_sum", group);
        self.series(group, None, of(|durations| durations.sum), &[]);
        self.name("_count", group);
        self.series(group, None, of(|durations| durations.count as f64), &[]);
    }

    /// The series that follow have the group's name and this after it.
    fn name(&mut self, suffix: &str, group: &Group<'_>) {
        let Self { form, symbols, labels, .. } = self;
        let name = match suffix {
            "" => group.first.metric,
            suffix => {
                let name = [symbols.text(group.first.metric), suffix].concat();
                symbols.of(&name)
            }
        };
        labels.name(name, symbols, form.version);
    }

    fn native(&mut self, group: &Group<'_>) {
        self.name("", group);
        let shown: Vec<&Shown> = exemplars(group).collect();
        let mut count = 0;
        let mut newest = i64::MIN;
        let version = self.form.version;
        self.entry(group, None, &shown, |out| {
            let tag = match version {
                Version::V1 => 4,
                Version::V2 => 3,
            };
            for point in &group.points {
                let Some(durations) = &point.durations else { continue };
                let zero = point.first.then_some((&EMPTY, point.created_ms));
                for (value, at_ms) in zero.into_iter().chain([(durations, point.at_ms)]) {
                    let stale = point.stale && at_ms == point.at_ms;
                    message(out, tag, |out| histogram(out, value, at_ms, stale, version, point.created_ms));
                    count += 1;
                    newest = newest.max(at_ms);
                }
            }
        });
        self.request.histograms += count;
        self.request.newest_ms = self.request.newest_ms.max(newest);
    }

    fn series(
        &mut self,
        group: &Group<'_>,
        bucket: Option<usize>,
        value: impl Fn(&Point) -> f64,
        shown: &[&Shown],
    ) {
        let version = self.form.version;
        let mut count = 0;
        let mut newest = i64::MIN;
        self.entry(group, bucket, shown, |out| {
            let mut sample = |value: f64, at_ms: i64, created_ms: i64| {
                message(out, 2, |out| {
                    double(out, 1, value);
                    int(out, 2, at_ms);
                    if version == Version::V2 && created_ms != 0 {
                        int(out, 3, created_ms);
                    }
                });
                count += 1;
                newest = newest.max(at_ms);
            };
            for point in &group.points {
                if point.first {
                    sample(0.0, point.created_ms, point.created_ms);
                }
                let value = match (point.stale, value(point)) {
                    (true, _) => STALE,
                    (false, value) if value.is_nan() => NOT_A_NUMBER,
                    (false, value) => value,
                };
                sample(value, point.at_ms, point.created_ms);
            }
        });
        self.request.samples += count;
        self.request.newest_ms = self.request.newest_ms.max(newest);
    }

    /// One `TimeSeries`.
    fn entry(
        &mut self,
        group: &Group<'_>,
        bucket: Option<usize>,
        shown: &[&Shown],
        values: impl FnOnce(&mut Vec<u8>),
    ) {
        self.request.exemplars += shown.len() as u64;
        let Self { form, symbols, labels, request, .. } = self;
        let (tag, exemplar_tag) = match form.version {
            Version::V1 => (1, 3),
            Version::V2 => (5, 4),
        };
        message(&mut request.body, tag, |out| {
            labels.write(out, bucket, form.version);
            values(out);
            for shown in shown {
                message(out, exemplar_tag, |out| {
                    exemplar_labels(out, &shown.labels, symbols, form.version);
                    double(out, 2, shown.value);
                    int(out, 3, shown.at_ms);
                });
            }
            if form.version == Version::V2 {
                message(out, 5, |out| {
                    uint(out, 1, group.first.kind.unsigned_abs().into());
                    uint(out, 3, group.first.help.into());
                    uint(out, 4, group.first.unit.into());
                });
            }
        });
    }

    fn finish(mut self, points: &[Point]) -> Request {
        match self.form.version {
            Version::V1 => self.metadata(points),
            Version::V2 => {
                let mut body = Vec::with_capacity(self.request.body.len() + 4096);
                self.symbols.texts().for_each(|symbol| text(&mut body, 4, symbol));
                body.append(&mut self.request.body);
                self.request.body = body;
            }
        }
        self.request
    }

    /// In 1.0 a metric is described once, beside its series.
    fn metadata(&mut self, points: &[Point]) {
        let metrics: BTreeMap<u32, &Point> = points.iter().map(|point| (point.metric, point)).collect();
        for (metric, point) in metrics {
            let (symbols, out) = (&self.symbols, &mut self.request.body);
            message(out, 3, |out| {
                uint(out, 1, point.kind.unsigned_abs().into());
                text(out, 2, symbols.text(metric));
                text(out, 4, symbols.text(point.help));
                text(out, 5, symbols.text(point.unit));
            });
        }
    }
}

/// The value of a histogram before its first.
static EMPTY: Durations = Durations {
    count: 0,
    sum: 0.0,
    zero_count: 0,
    offsets: Vec::new(),
    lengths: Vec::new(),
    deltas: Vec::new(),
    edges: Vec::new(),
    cumulative: Vec::new(),
};

fn exemplars<'p>(group: &'p Group<'p>) -> impl Iterator<Item = &'p Shown> {
    group.points.iter().flat_map(|point| &point.exemplars)
}

/// The labels that series have in common, written once: a histogram is some twenty series.
#[derive(Default)]
struct LabelSet {
    /// Before `__name__` in the order of names.
    before: Vec<u8>,
    /// Between `__name__` and `le`.
    between: Vec<u8>,
    /// After `le`.
    after: Vec<u8>,
    /// All before `le`.
    head: Vec<u8>,
    /// Edges by their texts, nearly always those of the next histogram too.
    edges: Vec<u32>,
    /// The label `le` of each edge.
    edge_labels: Vec<Vec<u8>>,
}

impl LabelSet {
    /// Takes names and values in turn, ascending by name.
    fn set(&mut self, labels: &[u32], symbols: &Symbols, version: Version) {
        let Self { before, between, after, .. } = self;
        [&mut *before, &mut *between, &mut *after].into_iter().for_each(|part| part.clear());
        for pair in labels.chunks_exact(2) {
            let out = match symbols.text(pair[0]) {
                name if name < NAME => &mut *before,
                name if name < EDGE => &mut *between,
                _ => &mut *after,
            };
            label(out, pair[0], pair[1], symbols, version);
        }
    }

    /// The name of the series that follow.
    fn name(&mut self, name: u32, symbols: &mut Symbols, version: Version) {
        let own = symbols.of(NAME);
        self.head.clear();
        self.head.extend_from_slice(&self.before);
        label(&mut self.head, own, name, symbols, version);
        self.head.extend_from_slice(&self.between);
    }

    /// The edges of the buckets that follow.
    fn edges(&mut self, edges: &[u32], symbols: &mut Symbols, version: Version) {
        if self.edges == edges {
            return;
        }
        let own = symbols.of(EDGE);
        self.edges = edges.to_vec();
        let written = |edge: &u32| {
            let mut out = Vec::new();
            label(&mut out, own, *edge, symbols, version);
            out
        };
        self.edge_labels = edges.iter().map(written).collect();
    }

    /// Writes them, the edge of a bucket among them.
    fn write(&self, out: &mut Vec<u8>, bucket: Option<usize>, version: Version) {
        let edge = bucket.and_then(|bucket| self.edge_labels.get(bucket)).map_or(&[][..], Vec::as_slice);
        let all = |out: &mut Vec<u8>| {
            [&self.head, edge, &self.after].into_iter().for_each(|part| out.extend_from_slice(part));
        };
        match version {
            Version::V1 => all(out),
            Version::V2 => message(out, 1, all),
        }
    }
}

/// In 1.0 a message with its texts, in 2.0 two numbers of a list.
fn label(out: &mut Vec<u8>, name: u32, value: u32, symbols: &Symbols, version: Version) {
    match version {
        Version::V1 => message(out, 1, |out| {
            text(out, 1, symbols.text(name));
            text(out, 2, symbols.text(value));
        }),
        Version::V2 => [name, value].into_iter().for_each(|symbol| varint(out, symbol.into())),
    }
}

fn exemplar_labels(out: &mut Vec<u8>, labels: &[u32], symbols: &Symbols, version: Version) {
    let all = |out: &mut Vec<u8>| {
        labels.chunks_exact(2).for_each(|pair| label(out, pair[0], pair[1], symbols, version));
    };
    match version {
        Version::V1 => all(out),
        Version::V2 => message(out, 1, all),
    }
}

fn histogram(
    out: &mut Vec<u8>,
    value: &Durations,
    at_ms: i64,
    stale: bool,
    version: Version,
    created_ms: i64,
) {
    let value = if stale { &EMPTY } else { value };
    uint(out, 1, value.count);
    double(out, 3, if stale { STALE } else { value.sum });
    sint(out, 4, SCHEMA.into());
    double(out, 5, ZERO_THRESHOLD);
    uint(out, 6, value.zero_count);
    for (offset, length) in value.offsets.iter().zip(&value.lengths) {
        message(out, 11, |out| {
            sint(out, 1, (*offset).into());
            uint(out, 2, (*length).into());
        });
    }
    packed(out, 12, value.deltas.iter().map(|delta| zigzag(*delta)));
    int(out, 15, at_ms);
    if version == Version::V2 && created_ms != 0 {
        int(out, 17, created_ms);
    }
}
