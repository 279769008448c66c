//! Requests of both versions.
//!
//! Field numbers are those of Prometheus' `prompb/types.proto` and `remote.proto` (1.0) and
//! `io/prometheus/write/v2/types.proto` (2.0). Histograms have the same numbers in both; 2.0 adds when a
//! series began to count.

use std::collections::{BTreeMap, HashMap};

use super::points::{Damaged, Symbols, read};
use super::proto::{Durations, Point, Shown, double, int, message, packed, sint, text, uint, zigzag};
use crate::native::{SCHEMA, ZERO_THRESHOLD};

/// The value that says a series has ended; no other NaN may have these bits.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// What is written for a level that is no number.
const NOT_A_NUMBER: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

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
    let mut writer = Writer { form, symbols, request: Request { newest_ms: i64::MIN, ..Request::default() } };
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
    let mut known: HashMap<(u32, &[u32], &[u32]), usize> = HashMap::new();
    for point in points {
        let edges = point.durations.as_ref().map_or(&[][..], |durations| &durations.edges);
        match known.entry((point.metric, &point.labels, edges)) {
            std::collections::hash_map::Entry::Occupied(found) => groups[*found.get()].points.push(point),
            std::collections::hash_map::Entry::Vacant(free) => {
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
    request: Request,
}

/// One sample of a series.
#[derive(Clone, Copy)]
struct Sample {
    value: f64,
    at_ms: i64,
    created_ms: i64,
}

impl Writer {
    fn group(&mut self, group: &Group<'_>) {
        if group.first.durations.is_none() {
            let labels = self.labels(group.first, "", None);
            self.series(group, &labels, samples(group, |point| point.value), &[]);
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
        let durations =
            |point: &Point, read: &dyn Fn(&Durations) -> f64| point.durations.as_ref().map_or(0.0, read);
        let edges = group.first.durations.as_ref().map_or(0, |durations| durations.edges.len());
        for bucket in 0..edges {
            let edge = group.first.durations.as_ref().and_then(|durations| durations.edges.get(bucket));
            let labels = self.labels(group.first, "_bucket", edge.copied());
            let read =
                |durations: &Durations| durations.cumulative.get(bucket).map_or(0.0, |count| *count as f64);
            let shown: Vec<&Shown> =
                exemplars(group).filter(|shown| shown.bucket as usize == bucket).collect();
            self.series(group, &labels, samples(group, |point| durations(point, &read)), &shown);
        }
        let labels = self.labels(group.first, "_sum", None);
        self.series(group, &labels, samples(group, |point| durations(point, &|value| value.sum)), &[]);
        let labels = self.labels(group.first, "_count", None);
        self.series(
            group,
            &labels,
            samples(group, |point| durations(point, &|value| value.count as f64)),
            &[],
        );
    }

    fn native(&mut self, group: &Group<'_>) {
        let labels = self.labels(group.first, "", None);
        let shown: Vec<&Shown> = exemplars(group).collect();
        let mut count = 0;
        let mut newest = i64::MIN;
        let version = self.form.version;
        self.entry(group, &labels, &shown, |out| {
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

    fn series(&mut self, group: &Group<'_>, labels: &[u32], samples: Vec<Sample>, shown: &[&Shown]) {
        let version = self.form.version;
        self.request.samples += samples.len() as u64;
        let newest = samples.iter().map(|sample| sample.at_ms).max();
        self.request.newest_ms = self.request.newest_ms.max(newest.unwrap_or(i64::MIN));
        self.entry(group, labels, shown, |out| {
            for sample in samples {
                message(out, 2, |out| {
                    double(out, 1, sample.value);
                    int(out, 2, sample.at_ms);
                    if version == Version::V2 && sample.created_ms != 0 {
                        int(out, 3, sample.created_ms);
                    }
                });
            }
        });
    }

    /// One `TimeSeries`.
    fn entry(
        &mut self,
        group: &Group<'_>,
        labels: &[u32],
        shown: &[&Shown],
        values: impl FnOnce(&mut Vec<u8>),
    ) {
        self.request.exemplars += shown.len() as u64;
        let Self { form, symbols, request } = self;
        let (tag, exemplar_tag) = match form.version {
            Version::V1 => (1, 3),
            Version::V2 => (5, 4),
        };
        message(&mut request.body, tag, |out| {
            label_set(out, labels, symbols, form.version);
            values(out);
            for shown in shown {
                message(out, exemplar_tag, |out| {
                    label_set(out, &shown.labels, symbols, form.version);
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

    /// The labels of a series, ascending by name, its own name and its edge among them.
    fn labels(&mut self, point: &Point, suffix: &str, edge: Option<u32>) -> Vec<u32> {
        let name = match suffix {
            "" => point.metric,
            suffix => {
                let name = [self.symbols.text(point.metric), suffix].concat();
                self.symbols.of(&name)
            }
        };
        let mut labels = point.labels.clone();
        self.insert(&mut labels, "__name__", name);
        if let Some(edge) = edge {
            self.insert(&mut labels, "le", edge);
        }
        labels
    }

    fn insert(&mut self, labels: &mut Vec<u32>, name: &str, value: u32) {
        let at = labels.chunks(2).take_while(|pair| self.symbols.text(pair[0]) < name).count() * 2;
        labels.splice(at..at, [self.symbols.of(name), value]);
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

fn samples(group: &Group<'_>, value: impl Fn(&Point) -> f64) -> Vec<Sample> {
    let mut samples = Vec::with_capacity(group.points.len() + 1);
    for point in &group.points {
        let created_ms = point.created_ms;
        if point.first {
            samples.push(Sample { value: 0.0, at_ms: created_ms, created_ms });
        }
        let value = if point.stale { STALE } else { value(point) };
        let value = if value.is_nan() && !point.stale { NOT_A_NUMBER } else { value };
        samples.push(Sample { value, at_ms: point.at_ms, created_ms });
    }
    samples
}

fn label_set(out: &mut Vec<u8>, labels: &[u32], symbols: &Symbols, version: Version) {
    match version {
        Version::V1 => {
            for pair in labels.chunks_exact(2) {
                message(out, 1, |out| {
                    text(out, 1, symbols.text(pair[0]));
                    text(out, 2, symbols.text(pair[1]));
                });
            }
        }
        Version::V2 => packed(out, 1, labels.iter().map(|symbol| u64::from(*symbol))),
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
