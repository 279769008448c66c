//! An answer as a page and as Markdown: the same facts, the page with charts.

use plimsoll_capacity::{Answer, Question};

use super::{charts, facts};
use crate::told::Told;

/// A question about capacity, its answer and what else is known beside them.
#[derive(Debug, Clone, Copy)]
pub struct CapacityReport<'a> {
    /// What people call the service.
    pub name: &'a str,
    /// What was asked, with the points that were measured.
    pub question: &'a Question,
    /// What can be said.
    pub answer: &'a Answer,
    /// Sentences about the date on which the limit will be reached, the most important first.
    pub when: &'a [String],
    /// How good earlier predictions were. Where it stands among the warnings too, it is told once.
    pub track_record: Option<&'a str>,
    /// Where the points come from; none where nobody knows.
    pub sources: &'a [CapacitySource],
}

/// Something that points were read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacitySource {
    /// A run, a file, a query.
    pub name: String,
    /// What it is used for, in a word or two.
    pub used: String,
    /// How many points it gave.
    pub points: usize,
    /// What is to be known of it: why it is not used, what was left out of it.
    pub remarks: Vec<String>,
}

/// The report as one HTML document that needs no network.
pub fn capacity_html(report: &CapacityReport) -> String {
    told(report).html()
}

/// The same facts in GitHub-flavoured Markdown, without the charts. Names and sentences are escaped.
pub fn capacity_markdown(report: &CapacityReport) -> String {
    told(report).markdown()
}

fn told(report: &CapacityReport) -> Told {
    let charts = [charts::response_time(report), charts::residuals(report)];
    Told {
        about: "Capacity",
        kind: "Capacity report",
        name: report.name.to_owned(),
        standing: facts::standing(report.answer),
        headline: facts::headline(report),
        caveats: facts::caveats(report.answer),
        figures: facts::figures(report),
        sentences: facts::sentences(report),
        charts: std::iter::once(charts::throughput(report)).chain(charts.into_iter().flatten()).collect(),
        sheets: facts::sheets(report),
        notes: facts::notes(report).into_iter().map(str::to_owned).collect(),
    }
}
