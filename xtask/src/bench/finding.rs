//! Figures beside what is asked of them.

use std::fmt;

use super::rounds::Range;
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
    /// What is asked lies within what the rounds leave open.
    NotDecided,
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

    /// A figure of several rounds that may be `most` at most: decided only where `interval`, which holds it in 95 of 100
    /// cases, lies on one side.
    pub(super) fn at_most(
        name: impl Into<String>,
        (value, interval): (Option<f64>, Option<Range>),
        write: impl Fn(f64) -> String,
        most: f64,
    ) -> Self {
        let asked = format!("at most {}", write(most));
        let (Some(middle), Some(Range { low, high })) = (value, interval) else {
            let found = figure(value, write);
            let verdict = value.map_or(Verdict::NotMeasured, |_| Verdict::NotDecided);
            return Self { figure: name.into(), found, asked, verdict };
        };
        let verdict = match () {
            () if high <= most => Verdict::Met,
            () if low > most => Verdict::Missed,
            () => Verdict::NotDecided,
        };
        let found = format!("{} (95%: {} to {})", write(middle), write(low), write(high));
        Self { figure: name.into(), found, asked, verdict }
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
            Self::NotDecided => "not decided",
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
    fn a_bound_within_the_interval_is_not_decided() {
        let of =
            |interval| Finding::at_most("lag", (Some(1.0), interval), |ratio| format!("{ratio:.2}x"), 1.1);
        let between = |low, high| of(Some(Range { low, high }));
        assert_eq!(between(0.9, 1.1).verdict, Verdict::Met);
        assert_eq!(between(0.9, 1.2).verdict, Verdict::NotDecided);
        assert_eq!(between(1.2, 1.3).verdict, Verdict::Missed);
        assert_eq!(of(None).verdict, Verdict::NotDecided);
        assert_eq!(between(0.9, 1.2).found, "1.00x (95%: 0.90x to 1.20x)");
        assert_eq!(between(0.9, 1.2).asked, "at most 1.10x");
    }

    #[test]
    fn what_failed_is_not_measured() {
        let error = anyhow::anyhow!("no port\nand more").context("measuring wrk");
        let finding = Finding::not_measured("cost", &error);
        assert_eq!(finding.found, "measuring wrk: no port");
        assert_eq!(finding.verdict, Verdict::NotMeasured);
    }
}
