//! When traffic will reach the limit.

use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use jiff::Timestamp;
use plimsoll_capacity::{Answer, Estimate, Exhaustion, GrowthRate, Refusal, Traffic, Trend, exhaustion};
use serde_json::{Value, json};

/// What traffic the fitted peak is called in headrooms.
pub(super) const EXPECTED: &str = "expected peak";

/// How traffic goes on.
#[derive(Debug)]
pub(super) enum Growth {
    /// By a share that somebody gave, from a traffic that somebody gave.
    Given(GrowthRate),
    /// As it went.
    Fitted(Box<Trend>),
}

/// The date, or why there is none.
#[derive(Debug)]
pub(super) struct Forecast {
    growth: Growth,
    now: f64,
    outcome: Result<(Exhaustion, Estimate, String), Refusal>,
}

impl Forecast {
    /// Holds growth against the limit that the answer has for the traffic of this name.
    pub(super) fn of(growth: Growth, traffic: &str, found: &Answer, now: f64) -> Self {
        let headroom = found.headroom.iter().find(|headroom| headroom.name == traffic);
        let outcome = match headroom {
            Some(headroom) if headroom.limit.value > 0.0 => {
                let limit = headroom.limit;
                let date = match &growth {
                    Growth::Given(rate) => exhaustion(headroom.traffic, *rate, limit, now),
                    Growth::Fitted(trend) => trend.exhaustion(limit, now),
                };
                Ok((date, limit, headroom.of.clone()))
            }
            _ => Err(Refusal {
                about: "date of exhaustion".to_owned(),
                why: "there is no limit to hold the traffic against".to_owned(),
                next: "answer what is refused about the peak first, or give an objective with --sla"
                    .to_owned(),
            }),
        };
        Self { growth, now, outcome }
    }

    /// Why there is no date.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.outcome.as_ref().err()
    }

    pub(super) fn json(&self) -> Value {
        let Ok((found, limit, of)) = &self.outcome else { return Value::Null };
        let trend = match &self.growth {
            Growth::Given(_) => None,
            Growth::Fitted(trend) => Some(trend),
        };
        json!({
            "date": found.date.and_then(day),
            "low": found.low.and_then(day),
            "high": found.high.and_then(day),
            "reached": found.is_now(self.now),
            "traffic": found.traffic,
            "limit": {"value": limit.value, "low": limit.low, "high": limit.high, "of": of},
            "growth_per_month": {
                "ratio": found.per_month,
                "low": trend.map(|trend| trend.low),
                "high": trend.map(|trend| trend.high),
            },
            "basis": if trend.is_some() { "trend" } else { "given" },
            "days": trend.map(|trend| trend.values),
            "weekly_peak_ratio": trend.and_then(|trend| trend.weekly_peak),
        })
    }

    /// A few sentences for people.
    pub(super) fn sentences(&self) -> Vec<String> {
        // A refusal stands among the others.
        let Ok((found, limit, of)) = &self.outcome else { return Vec::new() };
        let date = |at: Option<f64>, none: &str| at.and_then(day).unwrap_or_else(|| none.to_owned());
        let interval = format!(
            "90% from {} to {}",
            date(found.low, "later than in five years"),
            date(found.high, "later than in five years, or never")
        );
        let percent = |ratio: f64| format!("{:+.1}%", ratio * 100.0);
        let headline = match found.date {
            _ if found.is_now(self.now) => {
                format!(
                    "exhausted now: traffic of {}/s is at the limit of {}/s ({of})",
                    figure(found.traffic),
                    figure(limit.value)
                )
            }
            Some(_) => format!("exhausted on {} ({interval})", date(found.date, "")),
            None => format!("not exhausted within five years ({interval})"),
        };
        let growth = match &self.growth {
            Growth::Given(_) => format!("growth of {} a month, as given", percent(found.per_month)),
            Growth::Fitted(trend) => {
                let weekly = trend.weekly_peak.map_or_else(String::new, |ratio| {
                    format!("; the busiest day of the week is {} above the mean day", percent(ratio))
                });
                format!(
                    "growth of {} a month (90% from {} to {}) over {} values{weekly}",
                    percent(found.per_month),
                    percent(trend.low),
                    percent(trend.high),
                    trend.values
                )
            }
        };
        vec![
            headline,
            format!(
                "peak traffic {}/s now, limit {}/s ({of}); {growth}; if it goes on like this",
                figure(found.traffic),
                figure(limit.value)
            ),
        ]
    }
}

/// Traffic from a table `time,value`: RFC 3339, a date or seconds since 1970, and arrivals per second.
pub(super) fn table(path: &Path) -> anyhow::Result<Vec<Traffic>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    read(&text).with_context(|| path.display().to_string())
}

fn read(text: &str) -> anyhow::Result<Vec<Traffic>> {
    let mut lines = (1..).zip(text.trim_start_matches('\u{feff}').lines()).filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let (_, heading) = lines.next().context("it is empty; its first line must be `time,value`")?;
    let heading: Vec<&str> = heading.split(',').map(str::trim).collect();
    ensure!(
        heading == ["time", "value"],
        "line 1: found `{}`; its heading must be `time,value`",
        heading.join(",")
    );
    lines
        .map(|(number, line)| {
            let (time, value) = line
                .split_once(',')
                .ok_or_else(|| anyhow!("line {number}: found `{line}`; write `time,value`"))?;
            let at = moment(time.trim()).with_context(|| format!("line {number}, column time"))?;
            let rate = value.trim().parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0);
            let rate = rate.ok_or_else(|| {
                anyhow!(
                    "line {number}, column value: found `{}`; write a rate per second, zero or more",
                    value.trim()
                )
            })?;
            Ok(Traffic { at, rate })
        })
        .collect()
}

/// A moment as seconds since 1970.
pub(super) fn moment(text: &str) -> anyhow::Result<f64> {
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
        && seconds >= 0.0
    {
        return Ok(seconds);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.as_nanosecond() as f64 / 1e9);
    }
    let date = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == "2026-01-31".len());
    let midnight = date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
    midnight.map(|midnight| midnight.timestamp().as_second() as f64).ok_or_else(|| {
        anyhow!("found `{text}`; write a time like 2026-01-31T12:00:00Z, a date like 2026-01-31, or seconds since 1970")
    })
}

fn day(at: f64) -> Option<String> {
    let moment = Timestamp::from_second(at as i64).ok()?;
    Some(moment.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string())
}

/// About four significant digits.
fn figure(value: f64) -> String {
    let digits = (3 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tables_are_read() {
        let read = read("time,value\n# a comment\n2026-01-01,5\n2026-01-01T00:00:10Z, 6.5\n\n1767225620,7\n")
            .unwrap();
        let read: Vec<_> = read.iter().map(|one| (one.at - 1_767_225_600.0, one.rate)).collect();
        assert_eq!(read, [(0.0, 5.0), (10.0, 6.5), (20.0, 7.0)]);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, expected) in [
            ("", "it is empty; its first line must be `time,value`"),
            ("date,rps\n", "line 1: found `date,rps`; its heading must be `time,value`"),
            ("time,value\n2026-01-01\n", "line 2: found `2026-01-01`; write `time,value`"),
            (
                "time,value\nyesterday,1\n",
                "line 2, column time: found `yesterday`; write a time like 2026-01-31T12:00:00Z, a date like 2026-01-31, or seconds since 1970",
            ),
            ("time,value\n1,-5\n", "line 2, column value: found `-5`; write a rate per second, zero or more"),
            (
                "time,value\n1,NaN\n",
                "line 2, column value: found `NaN`; write a rate per second, zero or more",
            ),
        ] {
            assert_eq!(format!("{:#}", read(text).unwrap_err()), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(time,value\n)?[0-9a-zT:,.\n-]{0,80}") {
            let _ = read(&text);
        }
    }
}
