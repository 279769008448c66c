//! What the course of resources says, in every form: leaks, unusual stretches, and what latency went with.

use plimsoll_run::{LatencyCorrelation, ResourceSummary, Summary};
use plimsoll_stats::{Anomaly, Growth, Leak, LeakVerdict, UntilLimit};
use serde_json::{Value, json};

use crate::html::Page;
use crate::resources::amount;
use crate::words;

/// Marks and correlations that a page has room for, of each the strongest; JSON has them all.
const TOLD: usize = 5;
/// What lies farther ahead is not foretold: ten years.
const FAR: f64 = 10.0 * 365.25 * 86_400.0;
const HOUR: f64 = 3600.0;

pub(crate) fn leak_json(figure: &ResourceSummary) -> Value {
    let Some(leak) = figure.findings.leak else { return Value::Null };
    let until = |until: UntilLimit| json!({ "likely": until.likely, "soonest": until.soonest, "latest": until.latest });
    json!({
        "verdict": verdict(leak.verdict),
        "growth": leak.growth.map(growth),
        "per_second": leak.trend.map(|trend| trend.slope),
        "interval": leak.trend.map(|trend| [trend.interval.0, trend.interval.1]),
        "p": leak.trend.map(|trend| trend.p_growth),
        "per_request": figure.findings.per_request,
        "seconds_to_limit": leak.until_limit.map(until),
        "values": leak.values,
        "seconds": leak.span,
    })
}

pub(crate) fn anomalies_json(figure: &ResourceSummary) -> Value {
    let mark = |mark: &Anomaly| {
        json!({
            "start": mark.start,
            "end": mark.end,
            "usual": mark.usual,
            "found": mark.found,
            "deviations": mark.deviations,
        })
    };
    let marks = figure.findings.anomalies.as_ref();
    marks.map_or(Value::Null, |marks| marks.iter().map(mark).collect::<Vec<_>>().into())
}

pub(crate) fn latency_json(figure: &ResourceSummary) -> Value {
    figure.findings.latency.map_or(Value::Null, |latency| {
        json!({
            "rho": latency.rho,
            "lag_seconds": latency.lag,
            "effective_values": latency.effective,
            "p": latency.p,
        })
    })
}

/// The word for an answer, as objectives and JSON have it.
fn verdict(verdict: LeakVerdict) -> &'static str {
    match verdict {
        LeakVerdict::None => "none",
        LeakVerdict::Suspected => "suspected",
        LeakVerdict::Leak => "leak",
        LeakVerdict::TooShort => "too_short",
    }
}

fn growth(growth: Growth) -> &'static str {
    match growth {
        Growth::Insignificant => "insignificant",
        Growth::Ended => "ended",
        Growth::Slowing => "slowing",
        Growth::Step => "step",
        Growth::Unconfirmed => "unconfirmed",
        Growth::Steady => "steady",
    }
}

/// Everything that was found, a sentence each: leaks, then what was unusual, then what latency went with.
pub(crate) fn sentences(summary: &Summary) -> Vec<String> {
    let figures = || summary.resources.iter();
    let leaks = figures().filter_map(|figure| leaks(figure, &figure.findings.leak?));
    let marks = figures()
        .flat_map(|figure| figure.findings.anomalies.iter().flatten().map(move |mark| (figure, mark)));
    let mut marks: Vec<_> = marks.collect();
    marks.sort_by(|(_, one), (_, other)| other.deviations.abs().total_cmp(&one.deviations.abs()));
    let more = marks.len().saturating_sub(TOLD);
    let more = (more > 0).then(|| format!("{more} more unusual stretches are in the JSON"));
    let with_latency = figures().filter_map(|figure| Some((figure, figure.findings.latency?)));
    let mut with_latency: Vec<_> = with_latency.collect();
    with_latency.sort_by(|(_, one), (_, other)| other.rho.abs().total_cmp(&one.rho.abs()));
    let unusual = marks.iter().take(TOLD).map(|(figure, mark)| unusual(figure, mark));
    let together = with_latency.iter().take(TOLD).map(|(figure, latency)| together(figure, latency));
    leaks.chain(unusual).chain(more).chain(together).collect()
}

/// What leaks or may; `None` where nothing does.
pub(crate) fn leaks(figure: &ResourceSummary, leak: &Leak) -> Option<String> {
    let word = match leak.verdict {
        LeakVerdict::Leak => "leaks",
        LeakVerdict::Suspected => "may leak",
        LeakVerdict::None | LeakVerdict::TooShort => return None,
    };
    let trend = leak.trend?;
    let hourly = |slope: f64| amount(figure.unit, Some(slope * HOUR));
    let how = match leak.growth? {
        Growth::Steady => "as much in the end as before",
        Growth::Slowing => "ever more slowly",
        Growth::Step => "in one step rather than steadily",
        Growth::Unconfirmed => "which the later half alone does not show",
        Growth::Insignificant | Growth::Ended => return None,
    };
    let requests = figure
        .findings
        .per_request
        .map(|growth| format!(", {} per 1,000 requests", amount(figure.unit, Some(growth * 1000.0))));
    let limit = leak.until_limit.map(|until| {
        let (likely, soonest) = (ahead(until.likely), ahead(until.soonest));
        let latest = until.latest.map_or("never".to_owned(), ahead);
        format!("; at this rate its limit is reached in {likely} ({soonest} to {latest})")
    });
    Some(format!(
        "{} of {} {word}: at like load it grows by {} an hour ({} to {} at 95%{}), {how}, {}{}",
        figure.name,
        figure.source,
        hourly(trend.slope),
        hourly(trend.interval.0),
        hourly(trend.interval.1),
        requests.unwrap_or_default(),
        chance(trend.p_growth),
        limit.unwrap_or_default(),
    ))
}

fn unusual(figure: &ResourceSummary, mark: &Anomaly) -> String {
    format!(
        "{} of {} was unusual from {} to {}: {} where {} is usual",
        figure.name,
        figure.source,
        words::offset(mark.start),
        words::offset(mark.end),
        amount(figure.unit, Some(mark.found)),
        amount(figure.unit, Some(mark.usual)),
    )
}

fn together(figure: &ResourceSummary, latency: &LatencyCorrelation) -> String {
    let when = match latency.lag {
        lag if lag > 0.0 => format!("{} later", words::length(lag)),
        lag if lag < 0.0 => format!("{} earlier", words::length(-lag)),
        _ => "at the same time".to_owned(),
    };
    let how = if latency.rho < 0.0 { "falls as" } else { "rises with" };
    let rises = if latency.rho < 0.0 { " rises" } else { "" };
    format!(
        "the p95 response time {how} {} of {}{rises}, {when} (rank correlation {:.2}, {}): that does not make it the cause",
        figure.name,
        figure.source,
        latency.rho,
        chance(latency.p),
    )
}

fn chance(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {}", words::significant(p)) }
}

fn ahead(seconds: f64) -> String {
    match seconds {
        seconds if seconds > FAR => "more than ten years".to_owned(),
        // Nobody knows it to the second.
        seconds if seconds > HOUR => words::length((seconds / 60.0).round() * 60.0),
        seconds => words::length(seconds),
    }
}

/// What was found, as a list of a page.
pub(crate) fn section(page: &mut Page, summary: &Summary) {
    let sentences = sentences(summary);
    if sentences.is_empty() {
        return;
    }
    page.put("<section><h2>What the resources say</h2><ul>", &[]);
    sentences.iter().for_each(|sentence| {
        page.put("<li>{}</li>", &[sentence]);
    });
    page.put("</ul></section>\n", &[]);
}

#[cfg(test)]
mod tests {
    use plimsoll_run::{ResourceFindings, ResourceUnit};
    use plimsoll_stats::{LeakFloor, Point, leak};

    use super::*;

    fn figure(findings: ResourceFindings) -> ResourceSummary {
        ResourceSummary {
            source: "shop".into(),
            name: "memory".into(),
            unit: ResourceUnit::Bytes,
            count: 9,
            mean: Some(1e8),
            peak: Some(2e8),
            course: Vec::new(),
            findings,
        }
    }

    fn growing(limit: Option<f64>, value: impl Fn(u32) -> f64) -> ResourceSummary {
        let points = (0..600).map(|n| Point { at: f64::from(n), value: value(n) });
        let floor = LeakFloor { amount: 0.0, share: 0.0 };
        let leak = Some(leak(&points.collect::<Vec<_>>(), floor, limit));
        figure(ResourceFindings { leak, per_request: Some(250.0), ..ResourceFindings::default() })
    }

    #[test]
    fn a_leak_is_told_with_its_rate_its_chance_and_its_limit() {
        let figure = growing(Some(1e8 + 6e6 + 36e6), |n| 1e8 + 1e4 * f64::from(n));
        let told = leaks(&figure, &figure.findings.leak.unwrap()).unwrap();
        assert_eq!(
            told,
            "memory of shop leaks: at like load it grows by 36.0 MB an hour (36.0 MB to 36.0 MB at 95%, 250 kB per \
             1,000 requests), as much in the end as before, p < 0.001; at this rate its limit is reached in 1h \
             (1h to 1h)"
        );
        let json = leak_json(&figure);
        assert_eq!((json["verdict"].as_str(), json["growth"].as_str()), (Some("leak"), Some("steady")));
        let flat = growing(None, |_| 1e8);
        assert_eq!(leaks(&flat, &flat.findings.leak.unwrap()), None);
        assert_eq!(leak_json(&flat)["verdict"], "none");
        assert_eq!(leak_json(&self::figure(ResourceFindings::default())), Value::Null);
    }

    #[test]
    fn a_correlation_is_told_with_its_lag_and_its_caution() {
        let with = |rho, lag| {
            together(
                &figure(ResourceFindings::default()),
                &LatencyCorrelation { rho, lag, effective: 80.0, p: 0.004 },
            )
        };
        assert_eq!(
            with(0.62, 3.0),
            "the p95 response time rises with memory of shop, 3s later (rank correlation 0.62, p = 0.004): that does not \
             make it the cause"
        );
        assert!(with(-0.5, 0.0).contains("falls as memory of shop rises, at the same time"));
        assert!(with(0.5, -120.0).contains("2m earlier"));
    }

    #[test]
    fn unusual_stretches_are_told_up_to_a_number() {
        let mark = |deviations: f64| {
            let (start, end) = (deviations * 10.0, deviations * 10.0 + 5.0);
            Anomaly { start, end, usual: 1e6, found: 3e6, deviations }
        };
        let marks = (6..14).map(|n| mark(f64::from(n))).collect();
        let mut run = crate::fixture::run();
        run.summary.resources =
            vec![figure(ResourceFindings { anomalies: Some(marks), ..ResourceFindings::default() })];
        let told = sentences(&run.summary);
        assert_eq!(told.len(), 6, "{told:?}");
        assert_eq!(told[0], "memory of shop was unusual from 2:10 to 2:15: 3.00 MB where 1.00 MB is usual");
        assert_eq!(told[5], "3 more unusual stretches are in the JSON");
    }

    #[test]
    fn what_was_found_is_in_every_form_and_escaped() {
        let mut run = crate::fixture::run();
        let named = ResourceSummary { name: "<i>a|b</i>".into(), ..growing(None, |n| f64::from(n) * 1e4) };
        run.summary.resources = vec![named];
        let page = crate::html(std::slice::from_ref(&run));
        assert!(
            page.contains("What the resources say") && page.contains("&lt;i&gt;a|b&lt;/i&gt; of shop leaks")
        );
        assert!(!page.contains("<i>a|b"));
        let markdown = crate::markdown(&run);
        assert!(markdown.contains("\\<i\\>a\\|b\\</i\\> of shop leaks"), "{markdown}");
        let text = crate::text(&run, &crate::Text { width: 100, color: false, files: Vec::new() });
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("of shop leaks"), "{text}");
        let advice = crate::recommendations(&run.summary);
        assert!(advice.iter().any(|one| one.seen.contains("of shop leaks")), "{advice:?}");
    }
}
