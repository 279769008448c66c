//! A comparison under a terminal's prompt: what differs before any number, then the worst first.

use plimsoll_compare::{Compared, Comparisons};

use super::forest::Axis;
use super::{COLUMNS, headline, in_order, row, rule_in_words, sentences, sides, standing};
use crate::text::{Tone, Writer};
use crate::{Text, words};

/// More pairs are not told on a terminal.
const ROWS: usize = 40;
/// Nor are more sentences or warnings.
const SENTENCES: usize = 12;
/// Nor more lines of the drawing.
const LINES: usize = 16;
/// A name is cut to so many characters where there is no room for more.
const LEAST_NAME: usize = 12;
/// Columns that a narrow terminal does without, the least needed first: p, the interval, both levels.
const SPARED: [usize; 4] = [5, 4, 1, 2];

/// The comparison as text for a terminal, lines ended by line feeds. `name` is where the samples come from.
pub fn comparison_text(name: &str, found: &Comparisons, options: &Text) -> String {
    let mut out = Writer::new(options);
    let standing = standing(found);
    let tone = match standing.class {
        "missed" => Tone::Bad,
        "inconclusive" => Tone::Doubt,
        _ => Tone::Good,
    };
    let (name, word) = (out.toned(Tone::Strong, &words::plain(name)), out.toned(tone, &standing.word));
    out.line(&format!("{name}  {word}"));
    for side in sides(found) {
        out.wrapped("", &side, Tone::Soft);
    }
    for warning in found.warnings.iter().take(SENTENCES) {
        out.wrapped("", &format!("note: {warning}"), Tone::Doubt);
    }
    rest(&mut out, found.warnings.len(), SENTENCES, "notes");
    out.wrapped("", &headline(found), Tone::Soft);
    let pairs = in_order(found);
    out.line("");
    table(&mut out, &pairs);
    drawing(&mut out, &pairs);
    let sentences = sentences(&pairs);
    if !sentences.is_empty() {
        out.line("");
    }
    for sentence in sentences.iter().take(SENTENCES) {
        out.wrapped("", sentence, Tone::Strong);
    }
    rest(&mut out, sentences.len(), SENTENCES, "sentences");
    out.line("");
    out.wrapped("", &rule_in_words(found), Tone::Soft);
    out.files(options);
    out.finish()
}

/// That there are more.
fn rest(out: &mut Writer, count: usize, shown: usize, what: &str) {
    if count > shown {
        let more = words::count((count - shown) as u64);
        out.wrapped("", &format!("and {more} more {what}; the JSON has all"), Tone::Soft);
    }
}

/// A text cut to so many characters.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn table(out: &mut Writer, pairs: &[&Compared]) {
    let head = COLUMNS.map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(pairs.iter().take(ROWS).map(|pair| row(pair).map(|cell| words::plain(&cell))));
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let (kept, name) = fitting(&widths, out.width());
    for (index, row) in rows.iter().enumerate() {
        let cells = kept.iter().map(|column| {
            let (cell, width) = (&row[*column], widths[*column]);
            match column {
                0 => format!("{:<name$}", cut(cell, name)),
                6 => cell.clone(),
                _ => format!("{cell:>width$}"),
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let tone = match index.checked_sub(1).and_then(|index| pairs.get(index)) {
            None => Some(Tone::Soft),
            Some(pair) if pair.is_regression() => Some(Tone::Bad),
            Some(pair) if pair.is_undecided() => Some(Tone::Doubt),
            Some(pair) if pair.is_improvement() => Some(Tone::Good),
            Some(_) => None,
        };
        let line = tone.map_or_else(|| line.trim_end().to_owned(), |tone| out.toned(tone, line.trim_end()));
        out.line(&line);
    }
    rest(out, pairs.len(), ROWS, "rows");
}

/// The columns that fit into so much room, and how wide the first is.
fn fitting(widths: &[usize; COLUMNS.len()], room: usize) -> (Vec<usize>, usize) {
    let mut kept: Vec<usize> = (0..COLUMNS.len()).collect();
    let others = |kept: &[usize]| kept.iter().skip(1).map(|column| widths[*column] + 2).sum::<usize>();
    for spared in SPARED {
        if others(&kept) + widths[0].min(2 * LEAST_NAME) <= room {
            break;
        }
        kept.retain(|column| *column != spared);
    }
    let name = room.saturating_sub(others(&kept)).clamp(LEAST_NAME, widths[0].max(LEAST_NAME));
    (kept, name)
}

/// Each change with its interval, on one axis.
fn drawing(out: &mut Writer, pairs: &[&Compared]) {
    let known = |pair: &&Compared| {
        let comparison = pair.judged()?.comparison;
        Some((
            words::plain(&format!("{} {}", pair.benchmark, pair.metric)),
            comparison.change,
            comparison.interval,
        ))
    };
    let lines: Vec<_> = pairs.iter().filter_map(known).take(LINES).collect();
    if lines.is_empty() {
        return;
    }
    let longest = lines.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or_default();
    let name = longest.min(out.width() / 3).max(1);
    let axis = Axis::over(lines.iter().map(|(.., interval)| *interval), (out.width() - name - 2).min(61));
    out.line("");
    let head = out.toned(Tone::Soft, format!("{:name$}  {}", "", axis.head()).trim_end());
    out.line(&head);
    for (own, share, interval) in lines {
        out.line(format!("{:<name$}  {}", cut(&own, name), axis.line(share, interval)).trim_end());
    }
}
