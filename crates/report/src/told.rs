//! A result in figures, sentences, charts and tables: the same facts as a page and as Markdown.

use std::ops::Range;

use crate::chart::Chart;
use crate::html::{Page, cells, document, table};
use crate::{markdown, words};

/// More rows of a table nobody reads.
pub(crate) const ROWS: usize = 60;

/// What is told, in its order.
pub(crate) struct Told {
    /// What it is about: `Capacity`, before the name.
    pub(crate) about: &'static str,
    /// What kind of document it is.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) standing: Standing,
    /// The answer in a sentence.
    pub(crate) headline: String,
    /// What a reader must not overlook.
    pub(crate) caveats: Vec<String>,
    pub(crate) figures: Vec<Fact>,
    /// What is told in sentences, under their headings.
    pub(crate) sentences: Vec<(&'static str, Vec<String>)>,
    pub(crate) charts: Vec<Chart>,
    pub(crate) sheets: Vec<Sheet>,
    pub(crate) notes: Vec<String>,
}

/// How things stand, in a few words and as a class of the style sheet.
pub(crate) struct Standing {
    pub(crate) word: String,
    pub(crate) class: &'static str,
}

/// A figure with what is to be read beside it.
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) beside: String,
}

/// A table; the first column names its rows.
pub(crate) struct Sheet {
    pub(crate) heading: &'static str,
    pub(crate) columns: Vec<String>,
    /// Columns that stand to the right.
    pub(crate) numeric: Range<usize>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) below: Option<String>,
}

impl Fact {
    pub(crate) fn new(name: &str, value: String, beside: String) -> Self {
        Self { name: name.to_owned(), value, beside }
    }
}

impl Sheet {
    pub(crate) fn new(
        heading: &'static str,
        columns: &[&str],
        numeric: Range<usize>,
        rows: Vec<Vec<String>>,
    ) -> Self {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Self { heading, columns, numeric, rows, below: None }.elided()
    }

    /// The first and the last rows of a table that nobody would read.
    fn elided(mut self) -> Self {
        let more = self.rows.len().saturating_sub(ROWS);
        if more > 0 {
            self.rows.drain(ROWS / 2..ROWS / 2 + more);
            let first = words::count(ROWS as u64 / 2);
            self.below = Some(format!(
                "The first and the last {first}; {} between them are in the JSON.",
                words::count(more as u64)
            ));
        }
        self
    }
}

impl Told {
    /// As one HTML document that needs no network.
    pub(crate) fn html(&self) -> String {
        let Standing { word, class } = &self.standing;
        document(&format!("{} of {} · {word}", self.about, self.name), |page| {
            page.put("<article>\n", &[]);
            page.put(
                "<header class=\"banner {}\"><div><p class=\"brow\">{}</p><h1>{}</h1>",
                &[class, &self.kind, &self.name],
            );
            page.put("<p>{}</p></div>", &[&self.headline]);
            page.put("<p class=\"verdict\"><b>{}</b></p>", &[word]);
            for caveat in &self.caveats {
                page.put("<p class=\"caveat\">{}</p>", &[caveat]);
            }
            page.put("</header>\n<section aria-label=\"Key figures\"><dl class=\"key\">", &[]);
            for Fact { name, value, beside } in &self.figures {
                page.put("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>", &[name, value, beside]);
            }
            page.put("</dl></section>\n", &[]);
            for (heading, sentences) in &self.sentences {
                page.put("<section><h2>{}</h2>", &[heading]);
                for sentence in sentences {
                    page.put("<p>{}</p>", &[sentence]);
                }
                page.put("</section>\n", &[]);
            }
            if !self.charts.is_empty() {
                page.put("<section aria-label=\"Charts\" class=\"charts\">\n", &[]);
                self.charts.iter().for_each(|chart| chart.draw(page));
                page.put("</section>\n", &[]);
            }
            self.sheets.iter().for_each(|sheet| draw(page, sheet));
            if !self.notes.is_empty() {
                page.put("<section><h2>Notes</h2><ul>", &[]);
                for note in &self.notes {
                    page.put("<li>{}</li>", &[note]);
                }
                page.put("</ul></section>\n", &[]);
            }
            page.put("</article>\n", &[]);
        })
    }

    /// In GitHub-flavoured Markdown, without the charts. Names and sentences are escaped.
    pub(crate) fn markdown(&self) -> String {
        let escaped = markdown::escaped;
        let mut text = format!(
            "# {} of {}: {}\n\n{}\n\n",
            self.about,
            escaped(&self.name),
            escaped(&self.standing.word),
            escaped(&self.headline)
        );
        for caveat in &self.caveats {
            text += &format!("> {}\n\n", escaped(caveat));
        }
        let figures = self.figures.iter();
        let figures: Vec<_> = figures
            .map(|Fact { name, value, beside }| [name, value, beside].map(|cell| escaped(cell)).to_vec())
            .collect();
        markdown::table(&mut text, "Key figures", &["", "", ""], 1..2, &figures);
        for (heading, sentences) in &self.sentences {
            text += &format!("## {heading}\n\n");
            for sentence in sentences {
                text += &format!("{}\n\n", escaped(sentence));
            }
        }
        for Sheet { heading, columns, numeric, rows, below } in &self.sheets {
            let columns: Vec<String> = columns.iter().map(|column| escaped(column)).collect();
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            let rows: Vec<Vec<String>> =
                rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
            markdown::table(&mut text, heading, &columns, numeric.clone(), &rows);
            if let Some(below) = below {
                text += &format!("{}\n\n", escaped(below));
            }
        }
        if !self.notes.is_empty() {
            text += "## Notes\n\n";
            for note in &self.notes {
                text += &format!("- {}\n", escaped(note));
            }
        }
        format!("{}\n", text.trim_end())
    }
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
