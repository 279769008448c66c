//! A bar chart as SVG, readable on a light and on a dark page.

/// Bars beside each other's names, the first at the top.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// Its file's name.
    pub(super) file: &'static str,
    pub(super) bars: Vec<Bar>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) name: String,
    /// Its length; a negative one is drawn as long as a positive one.
    pub(super) value: f64,
    /// What is written at its end.
    pub(super) label: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ours,
    Measured,
    /// Somebody else's figure, scaled.
    Published,
}

const WIDTH: f64 = 760.0;
/// Where bars begin, right of the names.
const LEFT: f64 = 210.0;
/// What labels need at the end of the longest bar.
const LABEL: f64 = 120.0;
const ROW: f64 = 26.0;
const TOP: f64 = 40.0;

impl Chart {
    pub(super) fn svg(&self) -> String {
        let height = TOP + ROW * self.bars.len() as f64 + 10.0;
        let longest = self.bars.iter().map(|bar| bar.value.abs()).fold(f64::MIN_POSITIVE, f64::max);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
             <title>{title}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
             <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"600\" fill=\"#1a1a1a\">{title}</text>\n",
            title = escaped(self.title)
        );
        for (index, bar) in self.bars.iter().enumerate() {
            let y = TOP + ROW * index as f64;
            let length = (bar.value.abs() / longest * (WIDTH - LEFT - LABEL)).max(1.0);
            let style = match bar.kind {
                Kind::Ours => "fill=\"#0b6e99\"",
                Kind::Measured => "fill=\"#9aa5ad\"",
                Kind::Published => "fill=\"#ffffff\" stroke=\"#9aa5ad\" stroke-dasharray=\"4 3\"",
            };
            svg += &format!(
                "<text x=\"{name_x}\" y=\"{text_y}\" text-anchor=\"end\" fill=\"#1a1a1a\">{name}</text>\n\
                 <rect x=\"{LEFT}\" y=\"{bar_y}\" width=\"{length:.1}\" height=\"18\" {style}/>\n\
                 <text x=\"{label_x:.1}\" y=\"{text_y}\" fill=\"#1a1a1a\">{label}</text>\n",
                name_x = LEFT - 8.0,
                text_y = y + 17.0,
                bar_y = y + 4.0,
                label_x = LEFT + length + 6.0,
                name = escaped(&bar.name),
                label = escaped(&bar.label),
            );
        }
        svg + "</svg>\n"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, value: f64, kind: Kind) -> Bar {
        Bar { name: name.to_owned(), value, label: format!("{value}"), kind }
    }

    #[test]
    fn the_longest_bar_fills_the_width_and_names_are_escaped() {
        let bars = vec![
            bar("a<b", 5.0, Kind::Ours),
            bar("c", -10.0, Kind::Measured),
            bar("d", 0.0, Kind::Published),
        ];
        let svg = Chart { title: "CPU & time", file: "x.svg", bars }.svg();
        for expected in
            ["CPU &amp; time</text>", "a&lt;b", "width=\"215.0\"", "width=\"430.0\"", "width=\"1.0\""]
        {
            assert!(svg.contains(expected), "{expected} in {svg}");
        }
        assert_eq!(svg.matches("<rect").count(), 4);
        assert!(svg.ends_with("</svg>\n"));
    }
}
