//! What the target and its machine used, in every form.

use plimsoll_run::{ResourceFigure, ResourceSourceSummary, ResourceSummary, ResourceUnit, Summary};
use plimsoll_units::ByteCount;
use serde_json::{Value, json};

use crate::chart::{Axis, Line};
use crate::html::Page;
use crate::{findings, words};

/// Figures that a sentence has room for; tables have them all.
const IN_A_SENTENCE: usize = 6;
/// Lines that can be told apart in one chart.
const IN_A_CHART: usize = 6;
const LINES: [&str; IN_A_CHART] = ["run0", "run1", "run2", "run3", "run4", "run5"];

pub(crate) fn json(summary: &Summary) -> Vec<Value> {
    let figure = |figure: &ResourceSummary| {
        json!({
            "name": &*figure.name,
            "unit": figure.unit.label(),
            "mean": figure.mean,
            "peak": figure.peak,
            "source": &*figure.source,
            "count": figure.count,
            "leak": findings::leak_json(figure),
            "anomalies": findings::anomalies_json(figure),
            "latency": findings::latency_json(figure),
        })
    };
    summary.resources.iter().map(figure).collect()
}

pub(crate) fn sources_json(summary: &Summary) -> Vec<Value> {
    let source = |source: &ResourceSourceSummary| {
        json!({
            "source": &*source.source,
            "scrapes": source.scrapes,
            "gaps": source.gaps,
            "reason": source.reason,
            "left_out": source.left_out,
        })
    };
    summary.resource_sources.iter().map(source).collect()
}

/// A figure with its unit, as people read it.
pub(crate) fn amount(unit: ResourceUnit, value: Option<f64>) -> String {
    let Some(number) = value else { return words::NO_DATA.to_owned() };
    match unit {
        ResourceUnit::Cores => format!("{} cores", words::significant(number)),
        ResourceUnit::Ratio => words::ratio(value),
        ResourceUnit::Bytes => bytes(number),
        ResourceUnit::Seconds => words::seconds(value),
        ResourceUnit::PerSecond => words::rate(value),
        ResourceUnit::BytesPerSecond => format!("{}/s", bytes(number)),
        ResourceUnit::Count => words::significant(number),
    }
}

/// A level of bytes may be a mean and so no whole number.
pub(crate) fn bytes(value: f64) -> String {
    ByteCount(value.max(0.0).round() as u64).to_string()
}

/// What is to be said of each source that could not always be scraped, or has more than is kept.
pub(crate) fn troubles(summary: &Summary) -> Vec<String> {
    let trouble = |source: &ResourceSourceSummary| {
        let reason = source.reason.as_deref().unwrap_or("no reason is known");
        let gaps = (source.gaps > 0).then(|| {
            let (gaps, all) = (words::count(source.gaps), words::count(source.scrapes));
            format!("{gaps} of {all} scrapes of `{}` failed: {reason}", source.source)
        });
        let left_out = (source.left_out > 0).then(|| {
            format!("`{}` has {} series more than are kept", source.source, words::count(source.left_out))
        });
        gaps.into_iter().chain(left_out)
    };
    summary.resource_sources.iter().flat_map(trouble).collect()
}

/// The figures that matter most, in a sentence; `None` where there are none.
pub(crate) fn sentence(summary: &Summary) -> Option<String> {
    let figures = main(summary).take(IN_A_SENTENCE).map(|figure| {
        let (mean, peak) = (amount(figure.unit, figure.mean), amount(figure.unit, figure.peak));
        format!("{} {} {mean}, at most {peak}", figure.source, figure.name)
    });
    let figures: Vec<_> = figures.chain(troubles(summary)).collect();
    (!figures.is_empty()).then(|| format!("resources: {}", figures.join("; ")))
}

/// Those that are told first.
fn main(summary: &Summary) -> impl Iterator<Item = &ResourceSummary> {
    let rank = |figure: &&ResourceSummary| ResourceFigure::prominence(&figure.name, figure.unit);
    let mut figures: Vec<_> = summary
        .resources
        .iter()
        .filter(|figure| figure.count > 0)
        .filter_map(|figure| Some((rank(&figure)?, figure)))
        .collect();
    figures.sort_by_key(|(rank, _)| *rank);
    figures.into_iter().map(|(_, figure)| figure)
}

/// One chart's worth of figures of one unit: its title, its axis and its lines.
pub(crate) fn charts(summary: &Summary) -> impl Iterator<Item = (String, Axis, Vec<Line>)> {
    ResourceUnit::ALL.into_iter().filter_map(|unit| {
        let (title, axis) = match unit {
            ResourceUnit::Cores => ("Resources: processors kept busy", Axis::Count),
            ResourceUnit::Ratio => ("Resources: shares", Axis::Share),
            ResourceUnit::Bytes => ("Resources: bytes", Axis::Bytes),
            ResourceUnit::Seconds => ("Resources: seconds", Axis::Time),
            ResourceUnit::PerSecond => ("Resources: counted per second", Axis::PerSecond),
            ResourceUnit::BytesPerSecond => ("Resources: bytes per second", Axis::Bytes),
            ResourceUnit::Count => ("Resources: things", Axis::Count),
        };
        // What a machine has left would press all that is used against the ground.
        let is_drawn = |figure: &&ResourceSummary| figure.unit == unit && &*figure.name != "memory_available";
        let mut figures: Vec<_> = summary.resources.iter().filter(is_drawn).collect();
        let all = figures.len();
        // Where not all can be told apart, the largest are drawn; a processor is one of many.
        let is_one_of_many = |figure: &ResourceSummary| figure.name.starts_with("cpu_ratio{");
        figures.sort_by(|one, other| {
            let largest = |figure: &ResourceSummary| figure.peak.unwrap_or(f64::NEG_INFINITY);
            let by_size = largest(other).total_cmp(&largest(one));
            is_one_of_many(one).cmp(&is_one_of_many(other)).then(by_size)
        });
        figures.truncate(IN_A_CHART);
        let shown = figures.len();
        let line = |(class, figure): (&&'static str, &ResourceSummary)| Line {
            name: format!("{} {}", figure.source, figure.name),
            class,
            points: figure.course.clone(),
        };
        let lines: Vec<_> = LINES.iter().zip(figures).map(line).collect();
        let of_all = if shown < all { format!(" ({shown} of {all})") } else { String::new() };
        (!lines.is_empty()).then(|| (format!("{title}{of_all}"), axis, lines))
    })
}

/// The table of a page, and what is to be said of the sources.
pub(crate) fn section(page: &mut Page, summary: &Summary) {
    if !summary.resources.is_empty() {
        let columns = ["Resource", "Source", "Mean", "Peak", "Scrapes"];
        crate::html::table(page, "Resources", &columns, &[2, 3, 4], |page| {
            for figure in &summary.resources {
                page.put("<tr><th scope=\"row\">{}</th><td>{}</td>", &[&figure.name, &figure.source]);
                let amounts = [figure.mean, figure.peak].map(|value| amount(figure.unit, value));
                let numbers = amounts.into_iter().chain([words::count(figure.count)]);
                numbers.for_each(|number| {
                    page.put("<td class=\"n\">{}</td>", &[&number]);
                });
                page.put("</tr>\n", &[]);
            }
        });
    }
    findings::section(page, summary);
    let troubles = troubles(summary);
    if !troubles.is_empty() {
        page.put("<section><h2>Gaps in the resources</h2><ul>", &[]);
        troubles.iter().for_each(|trouble| {
            page.put("<li>{}</li>", &[trouble]);
        });
        page.put("</ul></section>\n", &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_carry_their_units() {
        for (unit, value, expected) in [
            (ResourceUnit::Cores, Some(0.534), "0.534 cores"),
            (ResourceUnit::Ratio, Some(0.25), "25%"),
            (ResourceUnit::Bytes, Some(23_000_000.4), "23.0 MB"),
            (ResourceUnit::Bytes, Some(-1.0), "0 B"),
            (ResourceUnit::Seconds, Some(0.0125), "12.5 ms"),
            (ResourceUnit::PerSecond, Some(1200.0), "1,200/s"),
            (ResourceUnit::BytesPerSecond, Some(1.5e6), "1.50 MB/s"),
            (ResourceUnit::BytesPerSecond, None, "–"),
            (ResourceUnit::Count, Some(7.0), "7"),
            (ResourceUnit::Count, None, "–"),
        ] {
            assert_eq!(amount(unit, value), expected, "{unit:?}");
        }
    }
}
