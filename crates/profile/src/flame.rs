use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use crate::Profile;

/// Size of the drawing in its own units.
const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
/// What is narrower is not drawn: it could not be seen, and there may be any number of it.
const NARROWEST: f64 = 0.4;
/// Calls on top of each other that are drawn.
const HIGHEST: usize = 200;
/// Boxes of a drawing, of more the widest: a page holds several drawings.
const MOST_BOXES: usize = 4_000;
/// Calls that are told apart; of more, those that come later are counted in their callers only.
const MOST_CALLS: usize = 500_000;
/// About how wide a letter is.
const LETTER: f64 = 7.0;

/// A call, its left edge and its depth.
type Drawn = (usize, f64, usize);

/// A call in its place: those below it are its callers.
#[derive(Default)]
struct Call {
    name: u32,
    value: u64,
    called: HashMap<u32, usize>,
}

/// Draws what of a kind (a place in [`Profile::kinds`]) was counted where: the wider the more, callers below those that
/// they call. What is below zero (of a difference) is left out. A whole SVG document; every name is escaped, and a
/// pointer on a call shows its name, its value and its share.
pub fn flame_graph(profile: &Profile, kind: usize) -> String {
    let calls = tree(profile, kind);
    let mut boxes = Vec::new();
    place(&calls, &profile.names, (0, 0.0, 0), &mut boxes);
    widest(&calls, &mut boxes);
    let rows = boxes.iter().map(|(_, _, depth)| depth + 1).max().unwrap_or(1);
    let height = rows as f64 * ROW + 2.0;
    let all = calls[0].value.max(1) as f64;
    let unit = profile.kinds.get(kind).map_or("", |kind| &*kind.unit);
    let title = profile.kinds.get(kind).map_or("", |kind| &*kind.name);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"monospace\" font-size=\"12\"><title>{}</title>\n",
        escaped(title)
    );
    for (index, left, depth) in boxes {
        let call = &calls[index];
        let width = call.value as f64 / all * WIDTH;
        let top = height - (depth + 1) as f64 * ROW;
        let name = match index {
            0 => "all",
            _ => profile.names.get(call.name as usize).map_or("?", |name| &**name),
        };
        let share = call.value as f64 / all * 100.0;
        let letters = ((width - 6.0) / LETTER).max(0.0) as usize;
        let _ = write!(
            svg,
            "<g><title>{}: {} {} ({share:.2}%)</title><rect x=\"{left:.2}\" y=\"{top:.1}\" width=\"{width:.2}\" \
             height=\"{:.1}\" fill=\"{}\" rx=\"1\"/>",
            escaped(name),
            call.value,
            escaped(unit),
            ROW - 1.0,
            colour(name),
        );
        if letters >= 3 {
            let shown: String = name.chars().take(letters).collect();
            let _ = write!(
                svg,
                "<text x=\"{:.2}\" y=\"{:.1}\" fill=\"#000\">{}</text>",
                left + 3.0,
                top + 12.0,
                escaped(&shown)
            );
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

/// Adds where a call and what it called is drawn: call, left edge, depth. As deep as [`HIGHEST`].
fn place(calls: &[Call], names: &[Arc<str>], drawn: Drawn, boxes: &mut Vec<Drawn>) {
    let (index, mut left, depth) = drawn;
    let all = calls[0].value.max(1) as f64;
    boxes.push(drawn);
    let mut called: Vec<usize> = calls[index].called.values().copied().collect();
    // Whatever else is in a profile, a call stands where its name puts it: drawings can be compared.
    called.sort_unstable_by_key(|call| (names.get(calls[*call].name as usize), *call));
    for next in called {
        let width = calls[next].value as f64 / all * WIDTH;
        if width >= NARROWEST {
            place(calls, names, (next, left, depth + 1), boxes);
        }
        left += width;
    }
}

/// Leaves so many boxes as a drawing may have. What is left stands on something: a call is never wider than its caller,
/// and comes after it.
fn widest(calls: &[Call], boxes: &mut Vec<Drawn>) {
    if boxes.len() > MOST_BOXES {
        boxes.sort_by_key(|(call, ..)| std::cmp::Reverse(calls[*call].value));
        boxes.truncate(MOST_BOXES);
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
