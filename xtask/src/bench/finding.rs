//! Figures beside what is asked of them.

use std::fmt;

use super::table::{Table, figure};

/// One figure beside what is asked of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) figure: String,
    pub(super) found: String,
    pub(super) asked: String,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    Missed,
    NotMeasured,
}

impl Verdict {
    pub(super) fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }
}

impl Finding {
    /// A figure that there may be none of, which is then not measured.
    pub(super) fn new(
        name: impl Into<String>,
        value: Option<f64>,
        write: impl Fn(f64) -> String,
        asked: impl Into<String>,
        meets: impl Fn(f64) -> bool,
    ) -> Self {
        Self {
            figure: name.into(),
            found: figure(value, write),
            asked: asked.into(),
            verdict: value.map_or(Verdict::NotMeasured, |value| Verdict::of(meets(value))),
        }
    }

    /// Something that could not be measured, and why.
    pub(super) fn not_measured(name: impl Into<String>, error: &anyhow::Error) -> Self {
        let reason = format!("{error:#}");
        Self {
            figure: name.into(),
            found: reason.lines().next().unwrap_or_default().to_owned(),
            asked: String::new(),
            verdict: Verdict::NotMeasured,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::NotMeasured => "not measured",
        })
    }
}

/// All of them as a table, and below it those that were missed.
pub(super) fn verdicts(findings: &[Finding]) -> String {
    let mut table = Table::new(&["figure", "found", "asked", ""]);
    for Finding { figure, found, asked, verdict } in findings {
        table.row([figure.clone(), found.clone(), asked.clone(), verdict.to_string()]);
    }
    let lost: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Missed)
        .map(|finding| finding.figure.as_str())
        .collect();
    let lost = match lost.as_slice() {
        [] => String::new(),
        lost => format!("\nWhere we lose: {}.\n", lost.join("; ")),
    };
    format!("{}{lost}", table.markdown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_stands_beside_what_is_asked_and_losses_are_named() {
        let under = |figure: &str, value| {
            Finding::new(figure, value, |value| format!("{value:.1} s"), "under 2 s", |value| value < 2.0)
        };
        let findings = [under("a", Some(1.0)), under("b", Some(2.0)), under("c", None)];
        assert_eq!(
            verdicts(&findings),
            "| figure | found | asked |  |\n|---|---|---|---|\n\
             | a | 1.0 s | under 2 s | met |\n\
             | b | 2.0 s | under 2 s | **missed** |\n\
             | c | – | under 2 s | not measured |\n\
             \nWhere we lose: b.\n"
        );
        assert!(!verdicts(&findings[..1]).contains("lose"));
    }

    #[test]
    fn what_failed_is_not_measured() {
        let error = anyhow::anyhow!("no port\nand more").context("measuring wrk");
        let finding = Finding::not_measured("cost", &error);
        assert_eq!(finding.found, "measuring wrk: no port");
        assert_eq!(finding.verdict, Verdict::NotMeasured);
    }
}
