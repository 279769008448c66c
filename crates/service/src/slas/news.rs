//! What of SLAs somebody may want to be told.

use plimsoll_history::SlaBreach;
use plimsoll_notify::{Breach, Occurrence, Page, Recovery, Subject, Teller};
use plimsoll_sla::Severity;

use super::bench::Row;
use super::desk::Told;

/// Something to tell.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    /// It has just happened.
    Happened(Occurrence),
    /// An earlier process told of it: its end is still to be told.
    Resumed(Breach),
}

impl News {
    pub(super) fn tell(self, teller: &Teller) {
        match self {
            Self::Happened(occurrence) => teller.tell(occurrence),
            Self::Resumed(breach) => teller.resume(breach),
        }
    }
}

/// The breaches that a desk found.
pub(super) fn breaches<'t>(row: &'t Row, told: &'t [Told]) -> impl Iterator<Item = News> + 't {
    told.iter().filter_map(|told| match told {
        Told::Found { began, found, why } => {
            Some(News::Happened(Occurrence::Breach(breach(row, *began, *found, why))))
        }
        // Its end may be that nobody can know any more, which is no recovery.
        Told::Over { .. } | Told::Entry(_) | Told::Refused(_) => None,
    })
}

/// Goes on with a breach that an earlier process told.
pub(super) fn resumed(row: &Row, known: &SlaBreach) -> News {
    News::Resumed(breach(row, known.began, known.found, &known.why))
}

/// It is kept again.
pub(super) fn over(row: &Row) -> News {
    let recovery = Recovery { subject: subject(row), promise: row.label(), ended: row.keeper().now() };
    News::Happened(Occurrence::Recovery(recovery))
}

fn breach(row: &Row, began: u64, found: u64, why: &str) -> Breach {
    let label = row.label();
    Breach {
        subject: subject(row),
        objective: format!("{} good", row.sla.slo.target),
        began,
        found,
        why: why.to_owned(),
        severity: Severity::Critical,
        course: Vec::new(),
        page: Some(Page::Sla(label.clone())),
        promise: label,
    }
}

fn subject(row: &Row) -> Subject {
    let service = &row.sla.service;
    Subject::Service(if service.is_empty() { row.sla.slo.name.clone() } else { service.clone() })
}
