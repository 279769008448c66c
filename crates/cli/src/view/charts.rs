//! Rate and latency over the last minutes, side by side where there is room.
//!
//! Lines break where a second has no data: a line drawn through would invent some. Colour is never
//! the only sign: p50, p95 and p99 cannot cross, and what was asked is dotted.

use plimsoll_run::Model;
use plimsoll_units::duration;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

use super::watch::{Glance, Watch};
use super::words;

/// Columns from which on two charts stand side by side.
const WIDE: u16 = 72;
/// Columns between them.
const GAP: u16 = 2;
/// A title and a graph that still shows a shape.
pub(super) const LOWEST: u16 = 4;
/// Columns below which there is no graph beside its labels.
pub(super) const NARROWEST: u16 = 24;
/// Seconds that a chart spans at least, so that the first ones do not jump.
const SHORTEST: f64 = 10.0;

struct Curve {
    name: &'static str,
    sign: &'static str,
    marker: Marker,
    color: Color,
    points: Vec<(f64, Option<f64>)>,
}

/// Draws into an area of at least [`NARROWEST`] by [`LOWEST`].
pub(super) fn render(watch: &Watch, area: Rect, buffer: &mut Buffer) {
    if area.width < WIDE {
        latency(watch, area, buffer);
    } else {
        let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Length(GAP), Constraint::Fill(1)]);
        let [left, _, right] = halves.areas(area);
        rates(watch, left, buffer);
        latency(watch, right, buffer);
    }
}

fn rates(watch: &Watch, area: Rect, buffer: &mut Buffer) {
    let asked = match watch.started.shape.model {
        Model::Open => "asked",
        Model::Closed => "started",
    };
    let curves = [
        curve(watch, asked, "•", Marker::Dot, Color::Blue, |glance| Some(glance.asked)),
        curve(watch, "succeeded", "━", Marker::Braille, Color::Green, |glance| {
            Some(glance.succeeded as f64)
        }),
    ];
    draw(watch, area, buffer, "iterations", &curves, |value| format!("{}/s", words::significant(value)));
}

fn latency(watch: &Watch, area: Rect, buffer: &mut Buffer) {
    // The highest first in the legend as on the screen; the lowest is drawn last and stays visible.
    let curves = [("p99", Color::Red, 2), ("p95", Color::Yellow, 1), ("p50", Color::Cyan, 0)].map(
        |(name, color, index)| {
            curve(watch, name, "━", Marker::Braille, color, move |glance| glance.quantiles[index])
        },
    );
    draw(watch, area, buffer, "response time", &curves, duration::human);
}

fn curve(
    watch: &Watch,
    name: &'static str,
    sign: &'static str,
    marker: Marker,
    color: Color,
    value: impl Fn(&Glance) -> Option<f64>,
) -> Curve {
    // A second is drawn at its end: that is when it was over and became known.
    let points = watch.glances.iter().map(|glance| (glance.second as f64 + 1.0, value(glance))).collect();
    Curve { name, sign, marker, color, points }
}

fn draw(
    watch: &Watch,
    area: Rect,
    buffer: &mut Buffer,
    title: &str,
    curves: &[Curve],
    label: impl Fn(f64) -> String,
) {
    let [head, graph] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let from = watch.glances.front().map_or(0.0, |glance| glance.second as f64);
    let to = watch.glances.back().map_or(0.0, |glance| glance.second as f64 + 1.0).max(from + SHORTEST);
    let mut legend = vec![Span::styled(title.to_owned(), Style::new().add_modifier(Modifier::BOLD))];
    for curve in curves {
        legend.push(Span::styled(format!("  {} {}", curve.sign, curve.name), curve.color));
    }
    let legend = Line::from(legend);
    let range = Line::styled(format!("{}-{}", words::clock(from), words::clock(to)), Modifier::DIM);
    let room = usize::from(head.width).saturating_sub(legend.width() + 2);
    if range.width() <= room {
        range.right_aligned().render(head, buffer);
    }
    legend.render(head, buffer);

    let segments: Vec<_> = curves
        .iter()
        .flat_map(|curve| segments(curve).into_iter().map(move |points| (curve, points)))
        .collect();
    let highest = segments.iter().flat_map(|(_, points)| points).map(|(_, value)| *value).fold(0.0, f64::max);
    if segments.is_empty() {
        Line::styled("no data", Modifier::DIM).render(graph, buffer);
        return;
    }
    let top = round_up(highest);
    let marks: &[f64] = if graph.height < 5 { &[0.0, 1.0] } else { &[0.0, 0.5, 1.0] };
    let labels = marks.iter().map(|mark| if *mark == 0.0 { "0".to_owned() } else { label(top * mark) });
    let datasets = segments.iter().map(|(curve, points)| {
        Dataset::default().marker(curve.marker).graph_type(GraphType::Line).style(curve.color).data(points)
    });
    Chart::new(datasets.collect())
        .x_axis(Axis::default().bounds([from, to]))
        .y_axis(Axis::default().bounds([0.0, top]).labels(labels).style(Modifier::DIM))
        .legend_position(None)
        .render(graph, buffer);
}

/// Its points in rows without a gap.
fn segments(curve: &Curve) -> Vec<Vec<(f64, f64)>> {
    let rows =
        curve.points.chunk_by(|left, right| left.1.is_some() && right.1.is_some() && right.0 - left.0 <= 1.0);
    let known =
        rows.map(|row| row.iter().filter_map(|(at, value)| Some((*at, (*value)?))).collect::<Vec<_>>());
    known.filter(|row| !row.is_empty()).collect()
}

/// The next of 1, 2, 2.5, 5 times a power of ten, so that labels are short and seldom change.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_a_short_number_that_holds_everything() {
        for (value, top) in
            [(0.0, 1.0), (0.26, 0.5), (1.0, 1.0), (1.01, 2.0), (230.0, 250.0), (7e-5, 1e-4), (f64::NAN, 1.0)]
        {
            assert!((round_up(value) - top).abs() <= top * 1e-12, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn no_line_is_drawn_through_seconds_without_data() {
        let points = [Some(1.0), None, Some(2.0), Some(3.0), None, None].into_iter().enumerate();
        let mut curve = Curve {
            name: "p50",
            sign: "━",
            marker: Marker::Braille,
            color: Color::Cyan,
            points: points.map(|(at, value)| (at as f64, value)).collect(),
        };
        assert_eq!(segments(&curve), [vec![(0.0, 1.0)], vec![(2.0, 2.0), (3.0, 3.0)]]);
        curve.points = vec![(0.0, Some(1.0)), (5.0, Some(1.0))];
        assert_eq!(segments(&curve).len(), 2, "seconds that were never told are no data either");
        curve.points.clear();
        assert!(segments(&curve).is_empty());
    }
}
