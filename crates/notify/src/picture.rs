//! A small picture of a course: signs of text that stand in every message, and bars of table cells for mail.
//!
//! Chats take pictures only from public addresses, and mail programs drop SVG and `data:`; both of these are seen everywhere.

use std::fmt::Write;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// As wide as a phone shows in a line.
const WIDEST: usize = 40;

/// The height of the highest bar in mail, in pixels.
const HEIGHT: f64 = 48.0;

/// The course of a figure from zero to its highest value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    /// What it shows, with the highest value.
    pub(crate) label: String,
    values: Vec<Option<f64>>,
}

impl Picture {
    /// `None` where there is nothing to draw. Of many values the highest of each stretch is drawn.
    pub(crate) fn new(label: impl Into<String>, course: &[Option<f64>]) -> Option<Self> {
        let finite = |value: &Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
        let stretch = course.len().div_ceil(WIDEST).max(1);
        let values: Vec<Option<f64>> =
            course.chunks(stretch).map(|values| values.iter().filter_map(finite).reduce(f64::max)).collect();
        let drawn = values.iter().flatten().count();
        (drawn > 1).then(|| Self { label: label.into(), values })
    }

    fn shares(&self) -> impl Iterator<Item = Option<f64>> {
        let most = self.values.iter().flatten().copied().fold(0.0, f64::max);
        self.values.iter().map(move |value| value.map(|value| if most > 0.0 { value / most } else { 0.0 }))
    }

    /// One sign for each value; where there is none, a space of the same width.
    pub(crate) fn text(&self) -> String {
        self.shares()
            .map(|share| {
                share.map_or('\u{2007}', |share| {
                    BARS[((share * 8.0).ceil() as usize).clamp(1, BARS.len()) - 1]
                })
            })
            .collect()
    }

    /// A row of table cells, each with a bar at its foot.
    pub(crate) fn html(&self, colour: &str) -> String {
        let mut cells = String::new();
        for share in self.shares() {
            // A value that is there has a bar, however low.
            let height = share.map_or(0.0, |share| (share * HEIGHT).round().max(1.0));
            let _ = write!(
                cells,
                "<td style=\"vertical-align:bottom;padding:0 1px 0 0\"><div style=\"width:6px;height:{height}px;background:{colour};font-size:0\"></div></td>"
            );
        }
        format!(
            "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" style=\"border-collapse:collapse;height:{HEIGHT}px\"><tr>{cells}</tr></table>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_is_drawn_from_zero() {
        let text = |course: &[Option<f64>]| Picture::new("", course).map(|picture| picture.text());
        assert_eq!(text(&[Some(0.0), Some(4.0), Some(8.0)]).unwrap(), "▁▄█");
        assert_eq!(text(&[Some(1.0), None, Some(1.0)]).unwrap(), "█\u{2007}█");
        assert_eq!(text(&[Some(0.0), Some(0.0)]).unwrap(), "▁▁");
        assert_eq!(text(&[]), None);
        assert_eq!(text(&[Some(1.0)]), None, "a point is no course");
        assert_eq!(text(&[Some(f64::NAN), Some(f64::INFINITY), Some(-1.0)]), None);
    }

    #[test]
    fn of_many_values_the_highest_are_drawn() {
        let mut course = vec![Some(1.0); 1000];
        course[500] = Some(100.0);
        let text = Picture::new("", &course).unwrap().text();
        assert_eq!(text.chars().count(), 40);
        assert_eq!(text.matches('█').count(), 1);
    }
}
