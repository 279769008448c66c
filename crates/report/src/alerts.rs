//! Alerts that others told of the time a run ran in. They belong to no run, and nothing is judged by them.

use plimsoll_run::Annotation;

use crate::{Run, words};

pub(crate) const HEADING: &str = "Alerts while it ran";

/// What is told of each alert.
pub(crate) const COLUMNS: [&str; 6] = ["Alert", "Severity", "From", "To", "Labels", "Summary"];

/// How many alerts a report tells: those that began last. Whoever has one more than these has all that it says.
pub const MOST_ALERTS: u32 = 100;

/// Labels of one alert that there is room for.
const LABELS: usize = 8;

/// The alerts, a row each.
pub(crate) fn rows(run: &Run) -> impl Iterator<Item = [String; 6]> {
    let mut alerts: Vec<&Annotation> = run.alerts.iter().collect();
    alerts.sort_by_key(|alert| (alert.starts_nanos, &alert.fingerprint));
    let earlier = alerts.len().saturating_sub(MOST_ALERTS as usize);
    alerts.into_iter().skip(earlier).map(|alert| {
        let absent = || "–".to_owned();
        [
            alert.name.clone(),
            alert.severity.clone().unwrap_or_else(absent),
            from(run, alert),
            to(run, alert),
            labels(alert),
            alert.summary.clone().unwrap_or_else(absent),
        ]
    })
}

/// That there are more.
pub(crate) fn left_out(run: &Run) -> Option<String> {
    let are_all = run.alerts.len() <= MOST_ALERTS as usize;
    (!are_all).then(|| format!("There are earlier ones, too: these are the last {MOST_ALERTS} that began"))
}

fn from(run: &Run, alert: &Annotation) -> String {
    match run.summary.offset_of(alert.starts_nanos) {
        offset if offset < 0.0 => {
            format!("before it, {}", words::moment_for_people(alert.starts_nanos))
        }
        offset => words::offset(offset),
    }
}

fn to(run: &Run, alert: &Annotation) -> String {
    let Some(ends) = alert.ends_nanos else {
        return format!("not ended as of {}", words::moment_for_people(alert.told_nanos));
    };
    match run.summary.ended_nanos() {
        Some(over) if ends > over => format!("after it, {}", words::moment_for_people(ends)),
        _ => words::offset(run.summary.offset_of(ends)),
    }
}

fn labels(alert: &Annotation) -> String {
    let all: Vec<String> = alert.other_labels().map(|(name, value)| format!("{name}={value}")).collect();
    let more = all.len().saturating_sub(LABELS);
    let told = all[..all.len() - more].join(", ");
    if more > 0 { format!("{told} and {more} more") } else { told }
}

#[cfg(test)]
mod tests {
    use plimsoll_run::Resumed;

    use super::*;
    use crate::{fixture, html, markdown};

    const SECOND: i64 = 1_000_000_000;

    fn alert(run: &Run, from: f64, to: Option<f64>) -> Annotation {
        let at = |offset: f64| run.summary.info.started_nanos + (offset * 1e9) as i64;
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Annotation {
            fingerprint: "f".to_owned(),
            starts_nanos: at(from),
            ends_nanos: to.map(at),
            name: "Slow <img src=x>|".to_owned(),
            severity: Some("page".to_owned()),
            summary: Some("The shop is <b>slow</b>".to_owned()),
            labels: [label("alertname", "x"), label("severity", "page"), label("job", "shop|80")].into(),
            link: Some("http://prometheus/".to_owned()),
            receiver: "r".to_owned(),
            told_nanos: 1_700_000_000 * SECOND,
        }
    }

    #[test]
    fn a_report_tells_what_was_told_of_its_time_and_nothing_where_nothing_was() {
        let mut run = fixture::run();
        assert!(!markdown(&run).contains(HEADING) && !html(std::slice::from_ref(&run)).contains(HEADING));
        let end = run.summary.duration_seconds;
        let spans = [(12.4, Some(20.0)), (-5.0, Some(end + 60.0)), (3.0, None)];
        run.alerts = spans.map(|(from, to)| alert(&run, from, to)).to_vec();
        let cells: Vec<_> = rows(&run).collect();
        let of = |index: usize| (cells[index][2].as_str(), cells[index][3].as_str());
        assert!(of(0).0.starts_with("before it, 20") && of(0).1.starts_with("after it, 20"), "{cells:?}");
        assert_eq!(of(1), ("0:03", "not ended as of 2023-11-14 22:13:20 UTC"));
        assert_eq!(of(2), ("0:12", "0:20"));
        let page = markdown(&run);
        let row = "| Slow \\<img src=x\\>\\| | page | 0:12 | 0:20 | job=shop\\|80 | The shop is \\<b\\>slow\\</b\\> |";
        assert!(page.contains("## Alerts while it ran") && page.contains(row), "{page}");
        let page = html(std::slice::from_ref(&run));
        assert!(page.contains("Slow &lt;img src=x&gt;|") && !page.contains("<img"), "{page}");
        assert!(page.contains("The shop is &lt;b&gt;slow"));
    }

    #[test]
    fn of_very_many_the_last_are_told() {
        let mut run = fixture::run();
        run.alerts = (0..103).map(|number| alert(&run, f64::from(number) / 10.0, None)).collect();
        assert_eq!(rows(&run).count(), 100);
        assert_eq!(rows(&run).last().unwrap()[2], "0:10");
        let said = "There are earlier ones, too: these are the last 100 that began.";
        assert!(markdown(&run).contains(said) && html(std::slice::from_ref(&run)).contains(said));
        run.alerts.truncate(100);
        assert!(!markdown(&run).contains("earlier ones"));
    }

    #[test]
    fn a_run_that_was_away_has_the_seconds_of_load_alone() {
        let mut run = fixture::run();
        let started = run.summary.info.started_nanos;
        let away = |at: i64, wall: i64| Resumed {
            at: (at * SECOND) as u64,
            wall_nanos: started + wall * SECOND,
            away: 0,
            cut: 0,
        };
        // Ten seconds, ninety away, twenty more, a thousand away, and ten.
        run.summary.resumed = vec![away(10, 100), away(30, 1120)];
        for (wall, offset) in
            [(-3, -3.0), (0, 0.0), (9, 9.0), (50, 10.0), (100, 10.0), (119, 29.0), (700, 30.0), (1125, 35.0)]
        {
            assert_eq!(run.summary.offset_of(started + wall * SECOND), offset, "{wall}");
        }
    }
}
