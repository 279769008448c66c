//! Regular expressions that a plan brings.

use crate::diagnostic::{Finding, Place};
use crate::read::Reader;

/// Whether a text is a regular expression; says why where it is none.
pub(crate) fn is_regex(reader: &mut Reader<'_>, pattern: &str, place: Place) -> bool {
    let Err(why) = plimsoll_query::regular(pattern) else { return true };
    reader.report(Finding::error(place, format!("this is not a regular expression: {why}")));
    false
}
