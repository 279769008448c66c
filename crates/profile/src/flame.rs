use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use crate::Profile;
use crate::read::amount;

/// Size of the drawing in its own units.
const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
/// What is narrower is not drawn: it could not be seen, and there may be any number of it.
const NARROWEST: f64 = 0.4;
/// Calls on top of each other that are drawn.
const HIGHEST: usize = 200;
/// Boxes of a drawing by itself, of more the widest.
const MOST_BOXES: usize = 4_000;
/// Calls that are told apart; of more, those that come later are counted in their callers only.
const MOST_CALLS: usize = 500_000;
/// About how wide a letter is.
const LETTER: f64 = 7.0;

/// What was counted where: calls on their callers, the wider the more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flame {
    /// The unit of values.
    pub unit: Arc<str>,
    /// The first is that of everything; each other one lies within one that comes before it and is one less deep.
    pub calls: Vec<FlameCall>,
}

/// A call in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlameCall {
    /// What was called.
    pub name: Arc<str>,
    /// Calls below it.
    pub depth: u32,
    /// What was counted left of it.
    pub start: u64,
    /// What was counted in it and in what it called.
    pub value: u64,
}

/// A box of a drawing, in the drawing's own units.
#[derive(Debug, Clone, PartialEq)]
pub struct FlameBox {
    /// Its left edge.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// How wide it is.
    pub width: f64,
    /// How high it is.
    pub height: f64,
    /// Its colour as `#rrggbb`; black letters can be read on it.
    pub colour: &'static str,
    /// Name, value and share; not escaped.
    pub title: String,
    /// As much of the name as it has room for, maybe nothing; not escaped.
    pub label: String,
}

/// A call while they are collected.
#[derive(Default)]
struct Call {
    name: u32,
    value: u64,
    called: HashMap<u32, usize>,
}

impl Flame {
    /// Of a kind (a place in [`Profile::kinds`]) with so many calls, of more the widest. What is below zero (of a
    /// difference) is left out.
    pub fn of(profile: &Profile, kind: usize, most: usize) -> Self {
        let unit = profile.kinds.get(kind).map_or_else(|| Arc::from(""), |kind| Arc::clone(&kind.unit));
        let tree = tree(profile, kind);
        let mut calls = Vec::new();
        place(&tree, &profile.names, (0, 0, 0), &mut calls);
        // What is left stands on something: a call is never wider than its caller, and comes after it.
        if calls.len() > most {
            calls.sort_by_key(|call| std::cmp::Reverse(call.value));
            calls.truncate(most.max(1));
        }
        Self { unit, calls }
    }

    /// Width and height of the drawing.
    pub fn size(&self) -> (f64, f64) {
        let rows = self.calls.iter().map(|call| call.depth + 1).max().unwrap_or(1);
        (WIDTH, f64::from(rows) * ROW + 2.0)
    }

    /// What to draw, callers below those that they call.
    pub fn boxes(&self) -> impl Iterator<Item = FlameBox> {
        let all = self.calls.first().map_or(1, |call| call.value.max(1)) as f64;
        let (_, bottom) = self.size();
        self.calls.iter().map(move |call| {
            let width = call.value as f64 / all * WIDTH;
            let letters = ((width - 6.0) / LETTER).max(0.0) as usize;
            let FlameCall { name, value, .. } = call;
            FlameBox {
                left: call.start as f64 / all * WIDTH,
                top: bottom - f64::from(call.depth + 1) * ROW,
                width,
                height: ROW - 1.0,
                colour: colour(name),
                title: format!(
                    "{name}: {} ({:.2}%)",
                    amount(&self.unit, *value),
                    *value as f64 / all * 100.0
                ),
                label: if letters >= 3 { name.chars().take(letters).collect() } else { String::new() },
            }
        })
    }
}

/// Draws what of a kind (a place in [`Profile::kinds`]) was counted where, as a whole SVG document. Every name is escaped,
/// and a pointer on a call shows its name, its value and its share.
pub fn flame_graph(profile: &Profile, kind: usize) -> String {
    let flame = Flame::of(profile, kind, MOST_BOXES);
    let (width, height) = flame.size();
    let title = profile.kinds.get(kind).map_or("", |kind| &*kind.name);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"monospace\" font-size=\"12\"><title>{}</title>\n",
        escaped(title)
    );
    for one in flame.boxes() {
        let FlameBox { left, top, width, height, colour, title, label } = one;
        let _ = write!(
            svg,
            "<g><title>{}</title><rect x=\"{left:.2}\" y=\"{top:.1}\" width=\"{width:.2}\" height=\"{height:.1}\" \
             fill=\"{colour}\" rx=\"1\"/>",
            escaped(&title),
        );
        if !label.is_empty() {
            let (x, y) = (left + 3.0, top + 12.0);
            let _ = write!(svg, "<text x=\"{x:.2}\" y=\"{y:.1}\" fill=\"#000\">{}</text>", escaped(&label));
        }
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// All calls, the first being that of everything.
fn tree(profile: &Profile, kind: usize) -> Vec<Call> {
    let mut calls = vec![Call::default()];
    for stack in &profile.stacks {
        let value = u64::try_from(stack.value(kind)).unwrap_or(0);
        if value == 0 {
            continue;
        }
        calls[0].value = calls[0].value.saturating_add(value);
        let mut at = 0;
        for frame in stack.frames.iter().take(HIGHEST) {
            let next = calls.len();
            if next >= MOST_CALLS && !calls[at].called.contains_key(frame) {
                break;
            }
            let place = *calls[at].called.entry(*frame).or_insert(next);
            if place == next {
                calls.push(Call { name: *frame, ..Call::default() });
            }
            calls[place].value = calls[place].value.saturating_add(value);
            at = place;
        }
    }
    calls
}

/// Adds a call (its place, what is left of it, calls below it) and what it called. As deep as [`HIGHEST`].
fn place(
    calls: &[Call],
    names: &[Arc<str>],
    (index, start, depth): (usize, u64, u32),
    found: &mut Vec<FlameCall>,
) {
    let Call { name, value, called } = &calls[index];
    let name = match index {
        0 => Arc::from("all"),
        _ => names.get(*name as usize).map_or_else(|| Arc::from("?"), Arc::clone),
    };
    found.push(FlameCall { name, depth, start, value: *value });
    let narrowest = (calls[0].value as f64 * NARROWEST / WIDTH) as u64;
    let mut called: Vec<usize> = called.values().copied().collect();
    // Whatever else is in a profile, a call stands where its name puts it: drawings can be compared.
    called.sort_unstable_by_key(|call| (names.get(calls[*call].name as usize), *call));
    let mut start = start;
    for next in called {
        if calls[next].value > narrowest {
            place(calls, names, (next, start, depth + 1), found);
        }
        start = start.saturating_add(calls[next].value);
    }
}

/// A colour that a name always has. Black letters can be read on each of them, on light pages and dark ones.
fn colour(name: &str) -> &'static str {
    const COLOURS: [&str; 8] =
        ["#f2b134", "#f4a261", "#f28e6b", "#eec170", "#e9a178", "#f6c667", "#e8925a", "#f0a85c"];
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    COLOURS[hash as usize % COLOURS.len()]
}

/// Text between tags or in quotes of XML, without the characters that XML does not have.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
