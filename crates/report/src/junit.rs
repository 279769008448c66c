//! A run as JUnit XML: each objective is a test case, so that a CI job shows what was missed.
//!
//! What fails the job here is what the exit code fails it for: critical objectives that are missed
//! or inconclusive, an invalid generator, a run that did not come to its end. A missed warning and a
//! suspect generator pass, and say so.

use std::fmt::Write;

use plimsoll_run::{ObjectiveSummary, RunStatus};
use plimsoll_sla::{Severity, Validity, Verdict};

use crate::{Run, words};

/// What became of a test case.
enum Fate {
    Passed {
        remark: Option<String>,
    },
    Failed {
        kind: &'static str,
        why: String,
    },
    /// Nothing was tested: the run itself went wrong.
    Broken {
        kind: &'static str,
        why: String,
    },
}

struct Case {
    name: String,
    fate: Fate,
    details: String,
}

/// The run as one JUnit test suite.
pub fn junit(run: &Run) -> String {
    let summary = &run.summary;
    let cases: Vec<_> = std::iter::once(ending(run))
        .chain(std::iter::once(generator(run)))
        .chain(summary.objectives.iter().map(objective))
        .collect();
    let failures = cases.iter().filter(|case| matches!(case.fate, Fate::Failed { .. })).count();
    let errors = cases.iter().filter(|case| matches!(case.fate, Fate::Broken { .. })).count();
    let plan = attribute(&summary.plan);
    let counts = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" time=\"{:.3}\"",
        cases.len(),
        summary.duration_seconds
    );
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites name=\"plimsoll\" {counts}>");
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{plan}\" {counts} timestamp=\"{}\" hostname=\"{}\">",
        words::moment(summary.info.started_nanos),
        attribute(&summary.info.machine.host)
    );
    properties(&mut xml, run);
    for case in &cases {
        case_element(&mut xml, case, &plan);
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn ending(run: &Run) -> Case {
    let summary = &run.summary;
    let fate = match summary.status {
        Some(RunStatus::Completed) => Fate::Passed { remark: None },
        // Its objective is a failure of its own.
        Some(RunStatus::Aborted) => Fate::Passed { remark: summary.reason.clone() },
        Some(RunStatus::Interrupted | RunStatus::Failed) | None => Fate::Broken {
            kind: words::status_word(summary),
            why: summary.reason.clone().unwrap_or_else(|| "it did not come to its end".to_owned()),
        },
    };
    Case { name: "the run came to its end".to_owned(), fate, details: String::new() }
}

fn generator(run: &Run) -> Case {
    let report = &run.summary.validity;
    let reasons = report.reasons.join("; ");
    let fate = match report.verdict {
        Validity::Valid => Fate::Passed { remark: None },
        Validity::Suspect => Fate::Passed { remark: Some(format!("suspect: {reasons}")) },
        Validity::Invalid => Fate::Failed { kind: "invalid", why: reasons },
    };
    Case { name: "the generator kept its schedule".to_owned(), fate, details: String::new() }
}

fn objective(objective: &ObjectiveSummary) -> Case {
    let judgement = &objective.judgement;
    let why = judgement.why.clone();
    let fate = match (objective.severity, judgement.verdict) {
        (_, Verdict::Met) => Fate::Passed { remark: None },
        (Severity::Warning, verdict) => Fate::Passed { remark: Some(format!("warning, {verdict}: {why}")) },
        (Severity::Critical, verdict) => Fate::Failed { kind: verdict.label(), why },
    };
    let details = format!(
        "observed {}, target {}",
        words::figure(objective, judgement.observed),
        words::figure(objective, judgement.target)
    );
    Case { name: format!("{}: {}", objective.name, objective.text), fate, details }
}

fn properties(xml: &mut String, run: &Run) {
    let summary = &run.summary;
    let info = &summary.info;
    let totals = &summary.totals;
    let mut properties = vec![
        ("run", info.id.clone()),
        ("plan_hash", summary.plan_hash.clone()),
        ("seed", info.seed.to_string()),
        ("target", info.target.clone()),
        ("requests", totals.requests.to_string()),
        ("failed", totals.failed.to_string()),
        ("dropped", totals.dropped.to_string()),
        ("plimsoll", info.plimsoll.clone()),
    ];
    properties.extend(info.version.clone().map(|version| ("version", version)));
    properties.extend(info.environment.clone().map(|environment| ("environment", environment)));
    xml.push_str("    <properties>\n");
    for (name, value) in properties {
        let _ = writeln!(xml, "      <property name=\"{name}\" value=\"{}\"/>", attribute(&value));
    }
    xml.push_str("    </properties>\n");
}

fn case_element(xml: &mut String, case: &Case, plan: &str) {
    let open = format!("    <testcase classname=\"{plan}\" name=\"{}\" time=\"0\"", attribute(&case.name));
    let (element, kind, why) = match &case.fate {
        Fate::Passed { remark: None } => {
            let _ = writeln!(xml, "{open}/>");
            return;
        }
        Fate::Passed { remark: Some(remark) } => {
            let _ = writeln!(
                xml,
                "{open}>\n      <system-out>{}</system-out>\n    </testcase>",
                attribute(remark)
            );
            return;
        }
        Fate::Failed { kind, why } => ("failure", kind, why),
        Fate::Broken { kind, why } => ("error", kind, why),
    };
    let why = attribute(why);
    let details = attribute(&case.details);
    let body = if details.is_empty() { why.clone() } else { format!("{why}\n{details}") };
    let _ = writeln!(
        xml,
        "{open}>\n      <{element} type=\"{kind}\" message=\"{why}\">{body}</{element}>\n    </testcase>"
    );
}

/// Text that is safe in an attribute and between tags.
fn attribute(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in words::plain(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use proptest::prelude::*;

    #[test]
    fn the_document_stays_as_it_was_read() {
        fixture::golden("report.junit.xml", &junit(&fixture::run()));
    }

    #[test]
    fn what_fails_the_job_is_what_the_exit_code_says() {
        let counts = |run: &Run| {
            let xml = junit(run);
            (xml.matches("<failure").count(), xml.matches("<error").count())
        };
        assert_eq!(counts(&fixture::run()), (2, 0), "missed and inconclusive, not the warning, not suspect");
        assert_eq!(counts(&fixture::calm()), (0, 0));
        assert_eq!(counts(&fixture::nothing()), (0, 1), "a run that goes on has not passed");
        let mut invalid = fixture::calm();
        invalid.summary.validity.verdict = Validity::Invalid;
        assert_eq!(counts(&invalid), (1, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn no_text_breaks_the_document(text in "\\PC{0,16}[<>&\"'\u{0}-\u{1f}]{0,8}") {
            let xml = junit(&fixture::hostile(&text));
            // Every `<` opens one of our own elements.
            let ours = ["?xml", "testsuite", "/testsuite", "propert", "/propert", "testcase", "/testcase",
                        "failure", "/failure", "error", "/error", "system-out", "/system-out"];
            for part in xml.split('<').skip(1) {
                prop_assert!(ours.iter().any(|name| part.starts_with(name)), "{part}");
            }
            prop_assert!(xml.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
