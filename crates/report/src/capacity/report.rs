//! An answer as a page and as Markdown: the same facts, the page with charts.

use plimsoll_capacity::{Answer, Question};

use super::charts;
use super::facts::{self, Fact, Sheet, Standing};
use crate::html::{Page, cells, document, table};
use crate::markdown;

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
    let Standing { word, class } = facts::standing(report.answer);
    document(&format!("Capacity of {} · {word}", report.name), |page| {
        page.put("<article>\n", &[]);
        page.put(
            "<header class=\"banner {}\"><div><p class=\"brow\">Capacity report</p><h1>{}</h1>",
            &[&class, &report.name],
        );
        page.put("<p>{}</p></div>", &[&facts::headline(report)]);
        page.put("<p class=\"verdict\"><b>{}</b></p>", &[&word]);
        for caveat in facts::caveats(report.answer) {
            page.put("<p class=\"caveat\">{}</p>", &[&caveat]);
        }
        page.put("</header>\n<section aria-label=\"Key figures\"><dl class=\"key\">", &[]);
        for Fact { name, value, beside } in facts::figures(report) {
            page.put("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>", &[&name, &value, &beside]);
        }
        page.put("</dl></section>\n", &[]);
        for (heading, sentences) in facts::sentences(report) {
            page.put("<section><h2>{}</h2>", &[&heading]);
            for sentence in &sentences {
                page.put("<p>{}</p>", &[sentence]);
            }
            page.put("</section>\n", &[]);
        }
        page.put("<section aria-label=\"Charts\" class=\"charts\">\n", &[]);
        charts::throughput(report).draw(page);
        charts::response_time(report).iter().for_each(|chart| chart.draw(page));
        charts::residuals(report).iter().for_each(|chart| chart.draw(page));
        page.put("</section>\n", &[]);
        facts::sheets(report).iter().for_each(|sheet| draw(page, sheet));
        let notes = facts::notes(report);
        if !notes.is_empty() {
            page.put("<section><h2>Notes</h2><ul>", &[]);
            for note in notes {
                page.put("<li>{}</li>", &[&note]);
            }
            page.put("</ul></section>\n", &[]);
        }
        page.put("</article>\n", &[]);
    })
}

fn draw(page: &mut Page, sheet: &Sheet) {
    if sheet.rows.is_empty() {
        return;
    }
    let columns: Vec<&str> = sheet.columns.iter().map(String::as_str).collect();
    let numeric: Vec<usize> = sheet.numeric.clone().collect();
    table(page, sheet.heading, &columns, &numeric, |page| {
        for row in &sheet.rows {
            for (index, cell) in row.iter().enumerate() {
                if index == 0 {
                    page.put("<tr><th scope=\"row\">{}</th>", &[cell]);
                } else if sheet.numeric.contains(&index) {
                    cells(page, std::slice::from_ref(cell));
                } else {
                    page.put("<td class=\"why\">{}</td>", &[cell]);
                }
            }
            page.put("</tr>\n", &[]);
        }
    });
    if let Some(below) = &sheet.below {
        page.put("<p><small>{}</small></p>\n", &[below]);
    }
}

/// The same facts in GitHub-flavoured Markdown, without the charts. Names and sentences are escaped.
pub fn capacity_markdown(report: &CapacityReport) -> String {
    let escaped = markdown::escaped;
    let mut text = format!(
        "# Capacity of {}: {}\n\n{}\n\n",
        escaped(report.name),
        escaped(&facts::standing(report.answer).word),
        escaped(&facts::headline(report))
    );
    for caveat in facts::caveats(report.answer) {
        text += &format!("> {}\n\n", escaped(&caveat));
    }
    let figures: Vec<_> = facts::figures(report)
        .iter()
        .map(|Fact { name, value, beside }| [name, value, beside].map(|cell| escaped(cell)).to_vec())
        .collect();
    markdown::table(&mut text, "Key figures", &["", "", ""], 1..2, &figures);
    for (heading, sentences) in facts::sentences(report) {
        text += &format!("## {heading}\n\n");
        for sentence in &sentences {
            text += &format!("{}\n\n", escaped(sentence));
        }
    }
    for Sheet { heading, columns, numeric, rows, below } in facts::sheets(report) {
        let columns: Vec<String> = columns.iter().map(|column| escaped(column)).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
        markdown::table(&mut text, heading, &columns, numeric, &rows);
        if let Some(below) = below {
            text += &format!("{}\n\n", escaped(&below));
        }
    }
    let notes = facts::notes(report);
    if !notes.is_empty() {
        text += "## Notes\n\n";
        for note in notes {
            text += &format!("- {}\n", escaped(note));
        }
    }
    format!("{}\n", text.trim_end())
}
