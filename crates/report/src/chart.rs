//! Line charts as inline SVG.
//!
//! Written here because chart libraries bake their colours into what they draw: these lines carry
//! classes, and the page's style sheet gives them colours that suit a light screen, a dark one and
//! paper. A chart needs no script; with one, a pointer or the arrow keys read values off it.
//!
//! It draws what it is given: no smoothing, no bridging of gaps, and nothing where there is no data.

use std::fmt::Write;

use plimsoll_capacity::LoadKind;

use crate::html::Page;
use crate::words;

/// Size of the drawing in its own units; a page scales it to its column.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
/// The frame that lines are drawn in; the labels of the axes stand outside.
const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 28.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = HEIGHT - 30.0;

/// What ranges over decades is drawn from a nanosecond on, and nothing beyond thirty thousand years
/// or a billion a second: a record with absurd figures still has a bounded number of ticks.
const LOWEST: f64 = 1e-9;
const HIGHEST: f64 = 1e12;

/// Room for names beside the ends of curves, and how near two of them may come.
const ENDS: f64 = 36.0;
const APART: f64 = 17.0;

/// A ribbon may make a chart so many times as high as what it surrounds; beyond that it runs out of the frame.
const RIBBON_ROOM: f64 = 1.5;

/// A chart with one or more lines over the same axis.
#[derive(Debug, Default)]
pub(crate) struct Chart {
    /// What it shows, for people who see it and people who do not.
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// Behind the lines.
    pub(crate) bands: Vec<Band>,
    pub(crate) bounds: Vec<Bound>,
    /// Within what a line may really lie, behind it.
    pub(crate) ribbons: Vec<Ribbon>,
    pub(crate) lines: Vec<Line>,
    /// Single places, in front of everything.
    pub(crate) marks: Vec<Marks>,
    /// Names beside the right ends of curves, for curves that run close to each other.
    pub(crate) ends: Vec<End>,
}

/// The name of a curve beside where it ends.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) class: &'static str,
    pub(crate) y: f64,
}

/// How a place is marked: what lies close together is told apart by more than colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shape {
    #[default]
    Dot,
    Diamond,
    Triangle,
    Cross,
}

impl Shape {
    /// Its outline around 0 0; `None` for the dot, which is a circle.
    fn outline(self) -> Option<&'static str> {
        match self {
            Self::Dot => None,
            Self::Diamond => Some("M-5 0L0-5 5 0 0 5Z"),
            Self::Triangle => Some("M-5 4.2L0-5 5 4.2Z"),
            Self::Cross => Some("M-4-4L4 4M-4 4L4-4"),
        }
    }
}

/// What is counted along an edge, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Axis {
    /// Seconds from the start of the run, even.
    #[default]
    Offset,
    /// Days from some moment, even.
    Days,
    /// Users, arrivals per second or whatever else a load is, from zero, even.
    Load(LoadKind),
    /// Seconds, from zero, even.
    Time,
    /// Seconds, logarithmic: what ranges over decades.
    TimeInDecades,
    /// Something per second, from zero, even.
    PerSecond,
    /// Things, from zero, even.
    Count,
    /// Bytes, from zero, even.
    Bytes,
    /// Shares of one, from zero, even.
    Share,
    /// Shares of one with the tail drawn apart: each nine takes the same room.
    Nines,
}

/// A line through points in the order of x; `None` is a gap.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Which colour and stroke.
    pub(crate) class: &'static str,
    pub(crate) points: Vec<(f64, Option<f64>)>,
}

/// What lies between two values at each x, in the order of x.
#[derive(Debug)]
pub(crate) struct Ribbon {
    pub(crate) name: String,
    /// x, the lower and the upper end.
    pub(crate) points: Vec<(f64, f64, f64)>,
}

/// Places that belong together.
#[derive(Debug)]
pub(crate) struct Marks {
    pub(crate) name: String,
    pub(crate) class: &'static str,
    pub(crate) shape: Shape,
    pub(crate) places: Vec<Place>,
}

/// A value at an x, and within what it may really lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) within: Option<(f64, f64)>,
}

/// A stretch of x that is marked.
#[derive(Debug)]
pub(crate) struct Band {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) class: &'static str,
    /// Written at its top where there is room.
    pub(crate) label: String,
}

/// A level that lines should stay on one side of.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) name: String,
    /// Which colour.
    pub(crate) class: &'static str,
    pub(crate) value: f64,
}

impl Bound {
    /// What was promised.
    pub(crate) const PROMISE: &'static str = "promise";
}

impl Axis {
    /// The axis for durations that range from `low` to `high`: decades where an even one would
    /// press most of them against the ground.
    pub(crate) fn for_times(values: impl Iterator<Item = f64>) -> Self {
        Self::for_times_over(20.0, values)
    }

    /// The same, with decades where the longest is over so many times the shortest.
    pub(crate) fn for_times_over(times: f64, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| *value > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        if high > times * low { Self::TimeInDecades } else { Self::Time }
    }

    /// Where a value lies on a scale that is even.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Offset
            | Self::Days
            | Self::Load(_)
            | Self::Time
            | Self::PerSecond
            | Self::Count
            | Self::Bytes
            | Self::Share => value,
            Self::TimeInDecades => value.max(LOWEST).log10(),
            Self::Nines => -(1.0 - value).max(LOWEST).log10(),
        }
    }

    fn word(self, value: f64) -> String {
        match self {
            Self::Offset => words::offset(value),
            Self::Days => format!("day {}", words::significant(value)),
            Self::Load(LoadKind::Users) => format!("{} users", words::significant(value)),
            Self::Load(LoadKind::Unknown) => format!("load {}", words::significant(value)),
            Self::Load(LoadKind::Rate) => words::rate(Some(value)),
            Self::Time | Self::TimeInDecades => words::seconds(Some(value)),
            Self::PerSecond => words::rate(Some(value)),
            Self::Count => words::significant(value),
            Self::Bytes => crate::resources::bytes(value),
            Self::Share => words::ratio(Some(value)),
            Self::Nines => format!("{}%", (value * 1e8).round() / 1e6),
        }
    }

    fn starts_at_zero(self) -> bool {
        !matches!(self, Self::TimeInDecades)
    }

    /// Values worth a label between `low` and `high`, with their words.
    fn ticks(self, low: f64, high: f64) -> Vec<(f64, String)> {
        let labelled = |value: f64| (value, self.tick_word(value));
        match self {
            Self::Offset => {
                const STEPS: [f64; 14] = [
                    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
                ];
                let step = STEPS.into_iter().find(|step| (high - low) / step <= 6.5);
                even(step.unwrap_or_else(|| nice((high - low) / 5.0)), low, high).map(labelled).collect()
            }
            Self::Days | Self::Load(_) | Self::Time | Self::PerSecond | Self::Bytes | Self::Share => {
                even(nice((high - low) / 4.0), low, high).map(labelled).collect()
            }
            Self::Count => even(nice((high - low) / 4.0).max(1.0), low, high).map(labelled).collect(),
            Self::TimeInDecades => {
                let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
                let few = high / low < 300.0;
                let within: &[f64] = if few { &[1.0, 3.0] } else { &[1.0] };
                decades
                    .flat_map(|decade| within.iter().map(move |part| part * 10_f64.powi(decade)))
                    .filter(|value| (low * 0.999..=high * 1.001).contains(value))
                    .map(labelled)
                    .collect()
            }
            Self::Nines => [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999]
                .into_iter()
                .filter(|value| *value <= high)
                .map(labelled)
                .collect(),
        }
    }

    /// Ticks are round numbers: no digits behind the point where none are needed.
    fn tick_word(self, value: f64) -> String {
        match self {
            Self::Time | Self::TimeInDecades | Self::Bytes => {
                let word = self.word(value);
                match word.split_once(' ') {
                    Some((number, unit)) if number.contains('.') => {
                        format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
                    }
                    _ => word,
                }
            }
            // The title says what they are.
            Self::Load(_) => words::significant(value),
            Self::Offset | Self::Days | Self::PerSecond | Self::Count | Self::Share | Self::Nines => {
                self.word(value)
            }
        }
    }
}

/// The round number (1, 2 or 5 times a power of ten) next above `value`.
fn nice(value: f64) -> f64 {
    if !(value.is_finite() && value > 0.0) {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|part| part * power)
        .into_iter()
        .find(|step| *step >= value * 0.999)
        .unwrap_or(power)
}

fn even(step: f64, low: f64, high: f64) -> impl Iterator<Item = f64> {
    let first = (low / step).ceil() as i64;
    let last = (high / step * 1.000_001).floor() as i64;
    // No axis has a thousand labels; a step that is too fine for its range is a mistake, not a hang.
    (first..=last.min(first + 1000)).map(move |index| index as f64 * step)
}

/// One direction of the drawing: values on one side, drawing units on the other.
#[derive(Debug, Clone, Copy)]
struct Scale {
    axis: Axis,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn over(axis: Axis, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .map(|value| value.min(HIGHEST))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        let low = if axis.starts_at_zero() { low.min(0.0) } else { low.max(LOWEST) };
        let high = if axis.place(high) > axis.place(low) { high } else { low + 1.0 };
        Some(Self { axis, low, high, from, to })
    }

    /// Room above the highest value, so that no line runs along the edge.
    fn with_headroom(mut self) -> Self {
        match self.axis {
            Axis::TimeInDecades => {
                self.low = (self.low / 1.2).max(LOWEST);
                self.high *= 1.4;
            }
            Axis::Time | Axis::PerSecond | Axis::Count | Axis::Bytes | Axis::Share => {
                self.high *= 1.08;
                self.low *= 1.08;
            }
            Axis::Offset | Axis::Days | Axis::Load(_) | Axis::Nines => {}
        }
        self
    }

    fn at(&self, value: f64) -> f64 {
        let (low, high) = (self.axis.place(self.low), self.axis.place(self.high));
        let share = ((self.axis.place(value) - low) / (high - low)).clamp(0.0, 1.0);
        self.from + (self.to - self.from) * share
    }
}

impl Chart {
    /// Writes it as a `figure`, or a sentence where there is nothing to draw.
    pub(crate) fn draw(&self, page: &mut Page) {
        page.put("<figure class=\"chart\"><figcaption>{}</figcaption>", &[&self.title]);
        let bands = self.bands.iter().flat_map(|band| [band.from, band.to]);
        let xs = self.values().map(|(x, _)| x).chain(bands);
        let ends = self.places().filter_map(|place| place.within).flat_map(|(low, high)| [low, high]);
        let ys: Vec<f64> = self
            .values()
            .map(|(_, y)| y)
            .chain(self.bounds.iter().map(|bound| bound.value))
            .chain(ends)
            .collect();
        let room = ys.iter().copied().filter(|y| y.is_finite()).fold(0.0, f64::max) * RIBBON_ROOM;
        let ribbons =
            self.ribbons.iter().flat_map(|ribbon| &ribbon.points).map(|(_, _, high)| high.min(room));
        let ys = ys.iter().copied().chain(ribbons);
        let scales = (
            Scale::over(self.x, xs, LEFT, self.right()),
            Scale::over(self.y, ys, BOTTOM, TOP).map(Scale::with_headroom),
        );
        match scales {
            (Some(x), Some(y)) if self.values().next().is_some() => {
                self.legend(page);
                self.drawing(page, &x, &y);
            }
            _ => {
                page.put("<p class=\"none\">No data.</p>", &[]);
            }
        }
        page.put("</figure>\n", &[]);
    }

    /// Where its frame ends.
    fn right(&self) -> f64 {
        if self.ends.is_empty() { RIGHT } else { RIGHT - ENDS }
    }

    fn values(&self) -> impl Iterator<Item = (f64, f64)> {
        let lines = self.lines.iter().flat_map(|line| line.points.iter());
        lines.filter_map(|(x, y)| y.map(|y| (*x, y))).chain(self.places().map(|place| (place.x, place.y)))
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.marks.iter().flat_map(|marks| &marks.places)
    }

    fn legend(&self, page: &mut Page) {
        page.put("<ul class=\"legend\">", &[]);
        for line in &self.lines {
            page.put("<li><i class=\"{}\"></i>{}</li>", &[&line.class, &line.name]);
        }
        for ribbon in &self.ribbons {
            page.put("<li><i class=\"ribbon\"></i>{}</li>", &[&ribbon.name]);
        }
        for marks in &self.marks {
            match marks.shape.outline() {
                None => page.put("<li><i class=\"dot {}\"></i>{}</li>", &[&marks.class, &marks.name]),
                Some(outline) => page.put(
                    "<li><svg class=\"glyph\" viewBox=\"-6 -6 12 12\" aria-hidden=\"true\"><path class=\"dot {}\" d=\"{}\"/></svg>{}</li>",
                    &[&marks.class, &outline, &marks.name],
                ),
            };
        }
        for bound in &self.bounds {
            page.put("<li><i class=\"bound {}\"></i>{}</li>", &[&bound.class, &bound.name]);
        }
        if self.bands.iter().any(|band| band.class == "incident") {
            page.put("<li><i class=\"incident\"></i>over 1% failed or dropped</li>", &[]);
        }
        if self.bands.iter().any(|band| band.class == "limit") {
            page.put("<li><i class=\"limit band\"></i>here the limit lies</li>", &[]);
        }
        if self.bands.iter().any(|band| band.class == "steered") {
            page.put("<li><i class=\"steered\"></i>steered</li>", &[]);
        }
        if self.bands.iter().any(|band| band.class == "warmup") {
            page.put("<li><i class=\"warmup\"></i>warm-up</li>", &[]);
        }
        page.put("</ul>", &[]);
    }

    fn drawing(&self, page: &mut Page, x: &Scale, y: &Scale) {
        page.put(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" tabindex=\"0\" data-values=\"{}\">",
            &[&WIDTH, &HEIGHT, &self.in_words(), &self.values_as_json(x)],
        );
        for band in &self.bands {
            self.band(page, band, x);
        }
        for (value, word) in y.axis.ticks(y.low, y.high) {
            let at = short(y.at(value));
            page.put("<path class=\"grid\" d=\"M{} {}H{}\"/>", &[&LEFT, &at, &self.right()]);
            page.put(
                "<text class=\"y\" x=\"{}\" y=\"{}\" dy=\".32em\">{}</text>",
                &[&(LEFT - 8.0), &at, &word],
            );
        }
        for (value, word) in x.axis.ticks(x.low, x.high) {
            let at = short(x.at(value));
            page.put("<path class=\"tick\" d=\"M{} {}v5\"/>", &[&at, &BOTTOM]);
            page.put("<text class=\"x\" x=\"{}\" y=\"{}\">{}</text>", &[&at, &(BOTTOM + 20.0), &word]);
        }
        page.put("<path class=\"axis\" d=\"M{} {}H{}\"/>", &[&LEFT, &BOTTOM, &self.right()]);
        for ribbon in &self.ribbons {
            page.put("<path class=\"ribbon\" d=\"{}\"/>", &[&outline(&ribbon.points, x, y)]);
        }
        for bound in &self.bounds {
            page.put(
                "<path class=\"bound {}\" d=\"M{} {}H{}\"/>",
                &[&bound.class, &LEFT, &short(y.at(bound.value)), &self.right()],
            );
        }
        for line in &self.lines {
            page.put("<path class=\"line {}\" d=\"{}\"/>", &[&line.class, &path(&line.points, x, y)]);
        }
        for marks in &self.marks {
            for place in &marks.places {
                let (at, height) = (short(x.at(place.x)), short(y.at(place.y)));
                if let Some((low, high)) = place.within {
                    let (low, high) = (short(y.at(low)), short(y.at(high)));
                    page.put(
                        "<path class=\"whisker {}\" d=\"M{} {}V{}\"/>",
                        &[&marks.class, &at, &low, &high],
                    );
                }
                match marks.shape.outline() {
                    None => page.put(
                        "<circle class=\"dot {}\" cx=\"{}\" cy=\"{}\" r=\"4\"/>",
                        &[&marks.class, &at, &height],
                    ),
                    Some(outline) => page.put(
                        "<path class=\"dot {}\" transform=\"translate({} {})\" d=\"{}\"/>",
                        &[&marks.class, &at, &height, &outline],
                    ),
                };
            }
        }
        self.names(page, y);
        page.put("<path class=\"cursor\" d=\"M0 {}V{}\"/></svg><p class=\"hover\"></p>", &[&TOP, &BOTTOM]);
    }

    /// Names beside the ends of curves, none over another.
    fn names(&self, page: &mut Page, y: &Scale) {
        let mut ends: Vec<(f64, &End)> = self.ends.iter().map(|end| (y.at(end.y), end)).collect();
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut free = TOP;
        for (at, _) in &mut ends {
            *at = at.max(free);
            free = *at + APART;
        }
        let mut lowest = BOTTOM;
        for (at, end) in ends.iter_mut().rev() {
            *at = at.min(lowest);
            lowest = *at - APART;
            page.put(
                "<text class=\"end {}\" x=\"{}\" y=\"{}\" dy=\".32em\">{}</text>",
                &[&end.class, &(self.right() + 9.0), &short(*at), &end.name],
            );
        }
    }

    fn band(&self, page: &mut Page, band: &Band, x: &Scale) {
        let (from, to) = (x.at(band.from), x.at(band.to));
        page.put(
            "<rect class=\"band {}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            &[&band.class, &short(from), &TOP, &short(to - from), &(BOTTOM - TOP)],
        );
        // About seven units a letter.
        if !band.label.is_empty() && to - from > 7.0 * band.label.chars().count() as f64 {
            page.put(
                "<text class=\"stage\" x=\"{}\" y=\"{}\">{}</text>",
                &[&short(from + 3.0), &(TOP - 5.0), &band.label],
            );
        }
    }

    /// What it shows, for people who do not see it.
    fn in_words(&self) -> String {
        let mut text = format!("{}.", self.title);
        for line in &self.lines {
            let values = line.points.iter().filter_map(|(_, y)| *y);
            let (low, high) =
                values.fold((f64::INFINITY, 0.0_f64), |(low, high), y| (low.min(y), high.max(y)));
            if low <= high {
                let _ = write!(text, " {}: {} to {}.", line.name, self.y.word(low), self.y.word(high));
            }
        }
        for marks in &self.marks {
            let _ = match marks.places.as_slice() {
                [] => Ok(()),
                [place] => {
                    write!(text, " {}: {} at {}.", marks.name, self.y.word(place.y), self.x.word(place.x))
                }
                places => write!(text, " {}: {} places.", marks.name, places.len()),
            };
        }
        text
    }

    /// Where along x there are values, and what they are, in words: `[[x, "0:45 · p50 12 ms"], ...]`.
    fn values_as_json(&self, x: &Scale) -> String {
        let mut columns = std::collections::BTreeMap::<u64, String>::new();
        for line in &self.lines {
            for (at, value) in &line.points {
                // Offsets and shares are positive, so their bits are in their order.
                let text = columns.entry(at.max(0.0).to_bits()).or_insert_with(|| self.x.word(*at));
                if let Some(value) = value {
                    let _ = write!(text, " · {} {}", line.name, self.y.word(*value));
                }
            }
        }
        for marks in &self.marks {
            for place in &marks.places {
                let text = columns.entry(place.x.max(0.0).to_bits()).or_insert_with(|| self.x.word(place.x));
                let _ = write!(text, " · {} {}", marks.name, self.y.word(place.y));
                if let Some((low, high)) = place.within {
                    let _ = write!(text, " ({} to {})", self.y.word(low), self.y.word(high));
                }
            }
        }
        let columns: Vec<_> =
            columns.iter().map(|(at, text)| (short_number(x.at(f64::from_bits(*at))), text)).collect();
        serde_json::json!(columns).to_string()
    }
}

/// A path through the points, lifted at gaps; a point alone between gaps is a dot.
fn path(points: &[(f64, Option<f64>)], x: &Scale, y: &Scale) -> String {
    let mut path = String::new();
    let mut before = false;
    for (index, (at, value)) in points.iter().enumerate() {
        if let Some(value) = value {
            let pen = if before { 'L' } else { 'M' };
            let _ = write!(path, "{pen}{} {}", short(x.at(*at)), short(y.at(*value)));
            let alone = !before && points.get(index + 1).is_none_or(|(_, next)| next.is_none());
            if alone {
                path.push_str("h0");
            }
        }
        before = value.is_some();
    }
    path
}

/// Along the upper ends and back along the lower ones; nothing where there is nothing to surround.
fn outline(points: &[(f64, f64, f64)], x: &Scale, y: &Scale) -> String {
    let upper = points.iter().map(|(at, _, high)| (*at, Some(*high)));
    let lower = points.iter().rev().map(|(at, low, _)| (*at, Some(*low)));
    let around: Vec<_> = upper.chain(lower).collect();
    let path = path(&around, x, y);
    if path.is_empty() { path } else { format!("{path}Z") }
}

/// A tenth of a unit is finer than any screen shows.
fn short_number(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn short(value: f64) -> String {
    short_number(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: Axis, low: f64, high: f64) -> String {
        axis.ticks(low, high).into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (axis, low, high, expected) in [
            (Axis::Offset, 0.0, 62.0, "0:00 | 0:10 | 0:20 | 0:30 | 0:40 | 0:50 | 1:00"),
            (Axis::Offset, 0.0, 3600.0, "0:00 | 10:00 | 20:00 | 30:00 | 40:00 | 50:00 | 1:00:00"),
            (Axis::Offset, 0.0, 90_000.0, "0:00 | 5:33:20 | 11:06:40 | 16:40:00 | 22:13:20"),
            (Axis::Time, 0.0, 0.27, "0 s | 100 ms | 200 ms"),
            (Axis::TimeInDecades, 0.004, 2.8, "10 ms | 100 ms | 1 s"),
            (Axis::TimeInDecades, 0.002, 0.2, "3 ms | 10 ms | 30 ms | 100 ms"),
            (Axis::PerSecond, 0.0, 432.0, "0/s | 200/s | 400/s"),
            (Axis::Nines, 0.0, 0.9995, "50% | 90% | 99% | 99.9%"),
            (Axis::Load(LoadKind::Users), 0.0, 256.0, "0 | 100 | 200"),
            (Axis::Share, -0.05, 0.03, "-4% | -2% | 0% | 2%"),
            (Axis::Count, 0.0, 2.0, "0 | 1 | 2"),
        ] {
            assert_eq!(ticks(axis, low, high), expected, "{axis:?} {low} to {high}");
        }
    }

    #[test]
    fn gaps_stay_gaps() {
        let scale = |from, to| Scale { axis: Axis::Time, low: 0.0, high: 10.0, from, to };
        let points = [(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(3.0)), (4.0, None)];
        assert_eq!(path(&points, &scale(0.0, 100.0), &scale(0.0, 100.0)), "M0 10L10 20M30 30h0");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let mut page = Page::default();
        let chart = Chart {
            title: "Silence".into(),
            x: Axis::Offset,
            y: Axis::for_times(std::iter::empty()),
            bands: Vec::new(),
            bounds: vec![Bound { name: "bound".into(), class: Bound::PROMISE, value: 1.0 }],
            lines: vec![Line { name: "p50".into(), class: "p50", points: vec![(0.0, None)] }],
            ..Chart::default()
        };
        chart.draw(&mut page);
        assert!(page.finish().contains("No data."));
    }

    #[test]
    fn strange_numbers_do_not_hang_or_panic() {
        for high in [0.0, 1e-300, 1e300, f64::MAX, f64::NAN] {
            for axis in [
                Axis::Offset,
                Axis::Time,
                Axis::TimeInDecades,
                Axis::PerSecond,
                Axis::Count,
                Axis::Bytes,
                Axis::Share,
                Axis::Nines,
                Axis::Load(LoadKind::Users),
            ] {
                if let Some(scale) = Scale::over(axis, [0.0, high].into_iter(), 0.0, 1.0) {
                    let scale = scale.with_headroom();
                    assert!(axis.ticks(scale.low, scale.high).len() < 1100, "{axis:?} {high}");
                }
            }
        }
    }
}
