//! Histories under a terminal's prompt.

use plimsoll_compare::{Histories, History};
use plimsoll_stats::Changes;

use super::{headline, place, standing, unsearched};
use crate::comparison::figures::{change, number, probability};
use crate::text::{BARS, Tone, Writer};
use crate::{Text, words};

/// More series are not told on a terminal; those that changed come first.
const SERIES: usize = 20;
/// Nor are more changes of one series, or warnings.
const LINES: usize = 12;
/// Below a value at which a new level begins.
const HERE: char = '▲';

/// Histories as text for a terminal, lines ended by line feeds. `name` is where they come from.
pub fn trend_text(name: &str, found: &Histories, options: &Text) -> String {
    let mut out = Writer::new(options);
    let standing = standing(found);
    let tone = match standing.class {
        "met" => Tone::Good,
        _ => Tone::Doubt,
    };
    let (name, word) = (out.toned(Tone::Strong, &words::plain(name)), out.toned(tone, &standing.word));
    out.line(&format!("{name}  {word}"));
    for warning in found.warnings.iter().take(LINES) {
        out.wrapped("", &format!("note: {warning}"), Tone::Doubt);
    }
    rest(&mut out, found.warnings.len(), LINES, "notes");
    out.wrapped("", &headline(found), Tone::Soft);
    let mut all: Vec<&History> = found.series.iter().collect();
    all.sort_by_key(|series| match &series.outcome {
        Ok(changes) if !changes.points.is_empty() => 0,
        Err(_) => 1,
        Ok(_) => 2,
    });
    for series in all.iter().take(SERIES) {
        out.line("");
        match &series.outcome {
            Ok(changes) => told(&mut out, series, changes),
            Err(_) => out.wrapped("", &unsearched(series).unwrap_or_default(), Tone::Doubt),
        }
    }
    rest(&mut out, all.len(), SERIES, "series");
    out.files(options);
    out.finish()
}

fn rest(out: &mut Writer, count: usize, shown: usize, what: &str) {
    if count > shown {
        let more = words::count((count - shown) as u64);
        out.wrapped("", &format!("and {more} more {what}; the JSON has all"), Tone::Soft);
    }
}

fn told(out: &mut Writer, series: &History, changes: &Changes) {
    let name = out.toned(Tone::Strong, &words::plain(&series.name));
    let alike = if changes.alike > 0.0 {
        format!(", neighbours alike by {:.2}", changes.alike)
    } else {
        String::new()
    };
    let outliers = match changes.outliers.len() {
        0 => String::new(),
        1 => ", 1 outlier".to_owned(),
        many => format!(", {} outliers", words::count(many as u64)),
    };
    let about = format!(
        "{} values, scatter {} about their levels{alike}{outliers}",
        words::count(series.count() as u64),
        number(changes.noise)
    );
    out.line(&name);
    out.wrapped("  ", &about, Tone::Soft);
    drawing(out, series, changes);
    for point in changes.points.iter().take(LINES) {
        let share = point.change.map_or_else(String::new, |share| format!(" ({})", change(share)));
        let words = format!(
            "from {} on (value {}): {} after {}{share}, p {}",
            place(series, point),
            words::count(point.index as u64 + 1),
            number(point.after),
            number(point.before),
            probability(point.p)
        );
        out.wrapped("  ", &words, Tone::Strong);
    }
    rest(out, changes.points.len(), LINES, "changes");
}

/// The series in one line of blocks from its lowest to its highest, a mark below where a level begins. Of values that share a
/// block it is the mean; outliers are left out, because beside them no level would differ from another.
fn drawing(out: &mut Writer, series: &History, changes: &Changes) {
    let count = series.values.len();
    let columns = (out.width() - 2).min(count);
    let column = |index: usize| index * columns / count.max(1);
    let mut means = vec![(0.0, 0_u32); columns];
    let is_drawn = |(index, value): &(usize, &f64)| {
        // They stand in their order.
        value.is_finite() && changes.outliers.binary_search(index).is_err()
    };
    for (index, value) in series.values.iter().enumerate().filter(is_drawn) {
        let (mean, seen) = &mut means[column(index)];
        *seen += 1;
        *mean += (value - *mean) / f64::from(*seen);
    }
    let known = means.iter().filter(|(mean, seen)| *seen > 0 && mean.is_finite()).map(|(mean, _)| *mean);
    let (low, high) =
        known.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| (low.min(mean), high.max(mean)));
    if low > high {
        return;
    }
    let block = |(mean, seen): &(f64, u32)| {
        // Halves first: a difference of finite numbers may not be finite.
        let share = if high > low { (mean / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0) } else { 0.5 };
        if *seen == 0 || !share.is_finite() { ' ' } else { BARS[((share * 8.0) as usize).min(7)] }
    };
    let blocks: String = means.iter().map(block).collect();
    let blocks = blocks.trim_end();
    out.line(&format!("  {blocks}"));
    let mut marks = vec![' '; columns];
    for point in &changes.points {
        if let Some(mark) = marks.get_mut(column(point.index)) {
            *mark = HERE;
        }
    }
    let marks: String = marks.into_iter().collect();
    if !changes.points.is_empty() {
        out.line(&format!("  {}", marks.trim_end()));
    }
    let without = if changes.outliers.is_empty() { "" } else { ", outliers left out" };
    out.wrapped("  ", &format!("lowest {}, highest {}{without}", number(low), number(high)), Tone::Soft);
}
