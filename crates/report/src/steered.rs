//! How the load of a run was made other than planned while it went on.

use plimsoll_run::{Change, SteeredSummary, Summary};

use crate::words;

/// What is told of each change.
pub(crate) const COLUMNS: [&str; 4] = ["From", "Load", "Of", "Asked for by"];

/// How many are told one by one, as many as notes.
const MOST: usize = 200;

/// The changes, a row each.
pub(crate) fn rows(summary: &Summary) -> impl Iterator<Item = [String; 4]> {
    summary.steered.iter().take(MOST).map(|steered| {
        let SteeredSummary { effective, scenario, change, by, .. } = steered;
        let whose = scenario.clone().unwrap_or_else(|| "the whole load".to_owned());
        [format!("{effective:.1} s"), change.words(), whose, by.clone()]
    })
}

/// How many there are besides.
pub(crate) fn left_out(summary: &Summary) -> Option<String> {
    let more = summary.steered.len().saturating_sub(MOST);
    (more > 0).then(|| format!("And {} more", words::count(more as u64)))
}

/// When the load as a whole was other than planned, as offsets in seconds. Loads of single scenarios lie beside each
/// other: what was steered of one says nothing about the others.
pub(crate) fn stretches(summary: &Summary) -> impl Iterator<Item = (f64, f64)> {
    let end = summary.stages.iter().map(|stage| stage.shape.end).fold(0.0, f64::max);
    let whole: Vec<_> = summary.steered.iter().filter(|steered| steered.scenario.is_none()).collect();
    let mut found: Vec<(f64, f64)> = Vec::new();
    for (index, steered) in whole.iter().enumerate() {
        let until = whole.get(index + 1).map_or(end, |next| next.effective);
        match found.last_mut() {
            _ if steered.change == Change::Resume || until <= steered.effective => {}
            Some(last) if last.1 == steered.effective => last.1 = until,
            _ => found.push((steered.effective, until)),
        }
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Text, fixture, html, json, markdown, text};

    #[test]
    fn every_form_says_that_a_run_was_steered_and_how() {
        let run = fixture::steered();
        let said = "from 12.0 s: 800/s, asked for by anna; from 20.5 s: paused, asked for by bob; from 22.0 s: as planned, \
                    asked for by bob. Figures and verdicts are those of what was really offered";
        let terminal = text(&run, &Text { width: 100, ..Text::default() });
        let words = terminal.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said), "{terminal}");
        let page = markdown(&run);
        assert!(page.contains(said) && page.contains("| 20.5 s | paused | the whole load | bob |"), "{page}");
        let page = html(std::slice::from_ref(&run));
        assert!(page.contains(said) && page.contains("<i class=\"steered\">"), "{page}");
        assert_eq!(stretches(&run.summary).collect::<Vec<_>>(), [(12.0, 22.0)]);
        let value = json(&run);
        let first = serde_json::json!({
            "at": 11.75, "effective": 12.0, "scenario": null, "change": "rate 800/s", "by": "anna",
        });
        assert_eq!((value["steered"].as_array().unwrap().len(), &value["steered"][0]), (3, &first));
        let stages = value["stages"].as_array().unwrap();
        let touched: Vec<_> = stages.iter().filter(|stage| stage["steered"] == true).collect();
        assert!(!touched.is_empty() && touched.len() < stages.len(), "{stages:?}");
        assert!(touched.iter().all(|stage| stage["recovery_seconds"].is_null()));
    }

    #[test]
    fn thousands_of_changes_are_counted_and_not_told_one_by_one() {
        let mut run = fixture::steered();
        let one = run.summary.steered[0].clone();
        run.summary.steered = vec![one; 5000];
        assert_eq!(
            (rows(&run.summary).count(), left_out(&run.summary).as_deref()),
            (200, Some("And 4,800 more"))
        );
        assert!(markdown(&run).contains("; and 4997 more. Figures"));
    }
}
