//! Curves over one axis as SVG, readable on a light and on a dark page.

/// Several curves, each with its name at its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curves {
    pub(super) title: &'static str,
    /// Its file's name.
    pub(super) file: &'static str,
    pub(super) x: &'static str,
    /// From 0 to 100.
    pub(super) y: &'static str,
    pub(super) curves: Vec<Curve>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    pub(super) name: &'static str,
    /// Ascending.
    pub(super) points: Vec<(f64, f64)>,
    pub(super) is_ours: bool,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 60.0;
/// Where curves end, left of the legend.
const RIGHT: f64 = 500.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 330.0;
/// Curves are told apart by these also where colours are not.
const DASHES: [&str; 5] = ["", "6 4", "2 3", "10 4 2 4", "14 5"];
const COLOURS: [&str; 5] = ["#0b6e99", "#b3541e", "#5b6770", "#7a3e9d", "#2e7d32"];

impl Curves {
    pub(super) fn svg(&self) -> String {
        let most = self
            .curves
            .iter()
            .flat_map(|curve| &curve.points)
            .map(|(x, _)| *x)
            .fold(f64::MIN_POSITIVE, f64::max);
        let place = |(x, y): (f64, f64)| {
            (LEFT + x / most * (RIGHT - LEFT), BOTTOM - y.clamp(0.0, 100.0) / 100.0 * (BOTTOM - TOP))
        };
        let title = escaped(self.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#1a1a1a\">\n<title>{title}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
             <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"600\">{title}</text>\n"
        );
        for tick in [0.0, 25.0, 50.0, 75.0, 100.0] {
            let (_, y) = place((0.0, tick));
            svg += &format!(
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"#d5dadd\"/>\n\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>\n",
                LEFT - 8.0,
                y + 4.0
            );
        }
        let mut ticks: Vec<f64> =
            self.curves.first().iter().flat_map(|curve| &curve.points).map(|(x, _)| *x).collect();
        ticks.dedup();
        for tick in ticks {
            let (x, _) = place((tick, 0.0));
            svg += &format!(
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick:.0}</text>\n",
                BOTTOM + 18.0
            );
        }
        svg += &format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n<text x=\"12\" y=\"{}\">{}</text>\n",
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 40.0,
            escaped(self.x),
            TOP - 14.0,
            escaped(self.y)
        );
        for (index, curve) in self.curves.iter().enumerate() {
            let points: Vec<String> = curve
                .points
                .iter()
                .map(|point| place(*point))
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let (colour, dashes) = (COLOURS[index % COLOURS.len()], DASHES[index % DASHES.len()]);
            let line = format!(
                "fill=\"none\" stroke=\"{colour}\" stroke-width=\"{}\" stroke-dasharray=\"{dashes}\"",
                if curve.is_ours { 3 } else { 2 }
            );
            let y = TOP + 12.0 + 24.0 * index as f64;
            svg += &format!(
                "<polyline points=\"{}\" {line}/>\n<polyline points=\"{},{y} {},{y}\" {line}/>\n<text x=\"{}\" y=\"{}\">{}</text>\n",
                points.join(" "),
                RIGHT + 14.0,
                RIGHT + 44.0,
                RIGHT + 52.0,
                y + 4.0,
                escaped(curve.name)
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

    #[test]
    fn curves_fill_the_frame_and_names_are_escaped() {
        let curve = |name, points: &[(f64, f64)], is_ours| Curve { name, points: points.to_vec(), is_ours };
        let curves = vec![
            curve("ours", &[(0.0, 0.0), (10.0, 100.0)], true),
            curve("a<b", &[(0.0, 50.0), (10.0, 120.0)], false),
        ];
        let svg = Curves { title: "found", file: "x.svg", x: "by", y: "share", curves }.svg();
        for expected in [
            "60.0,330.0 500.0,64.0",
            "60.0,197.0 500.0,64.0",
            ">a&lt;b</text>",
            "stroke-width=\"3\"",
            ">10</text>",
        ] {
            assert!(svg.contains(expected), "{expected} in {svg}");
        }
        assert_eq!(svg.matches("<polyline").count(), 4);
    }
}
