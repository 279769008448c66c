//! A test for `promtool test rules`: healthy, burning, recovered and silent times, and what each alert is to say.
//!
//! What is expected is what our own judging says of the same events at the same steps, so a test that
//! passes is an agreement of the two.

use std::fmt::Write;

use plimsoll_sla::{Alert as Judged, BurnAlerts, BurnRule, Counts, Ledger, Sla};

use super::counting::Counting;
use super::example::{example, shown};
use super::promql::window;
use super::yaml::quoted;
use super::{Alert, SILENCE, SILENT, TOLD, is_faster};

/// Events of an evaluation.
const EVENTS: u64 = 60;
/// How long it is healthy before the first fault, in steps.
const HEALTHY: u64 = 10;
/// More evaluations would make nobody surer.
const MOST_EVALUATIONS: u64 = 50_000;
/// Where our own judging starts: a midnight, for the windows of tests begin before their first event.
const MIDNIGHT: u64 = 20_000 * 86_400;

/// A test, and what was found out on the way.
pub(super) struct Drill {
    pub(super) test: String,
    pub(super) notes: Vec<String>,
}

/// What happens during a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Good,
    Bad,
    Silent,
}

pub(super) fn drill(
    sla: &Sla,
    counting: &Counting<'_>,
    interval: u64,
    alerts: &[Alert],
) -> Result<Drill, String> {
    let input = Input::new(sla, counting)?;
    let mut course = Course::new(sla, counting, interval).ok_or("its alerts cannot be judged")?;
    let longest = sla.alerts.iter().map(|alert| alert.rule.long + alert.rule.hold).max().unwrap_or(0);
    // A slice counts when it is over, so phases are whole ones.
    if (longest * 2 + (HEALTHY + 6) * course.unit) / interval > MOST_EVALUATIONS {
        return Err(format!("it would take more than {MOST_EVALUATIONS} evaluations"));
    }
    let (checks, at_worst) = drive(&mut course, sla, alerts, longest);
    let never = sla
        .alerts
        .iter()
        .enumerate()
        .filter(|(position, _)| !at_worst.iter().any(|firing| firing.position == *position));
    let notes = never
        .map(|(_, alert)| {
            format!(
                "the alert `{}` over {} can never fire: not even an outage of all that time has as many events as it asks for",
                alert.severity,
                window(alert.rule.long)
            )
        })
        .collect();
    let mut test = format!(
        "evaluation_interval: {interval}\ntests:\n  - interval: {interval}\n    input_series:\n",
        interval = window(interval)
    );
    input.write(&course.phases, interval, &mut test);
    test.push_str("    alert_rule_test:\n");
    for check in &checks {
        check.write(alerts, &input.each, &mut test);
    }
    Ok(Drill { test, notes })
}

/// Lets all four times pass: what is to be seen at their ends, and what fires at worst.
fn drive(course: &mut Course, sla: &Sla, alerts: &[Alert], longest: u64) -> (Vec<Check>, Vec<Firing>) {
    let unit = course.unit;
    let look = |course: &Course, what| {
        let firing = [course.firing(), course.told(sla, alerts)].concat();
        Check { time: course.now, what, firing }
    };
    course.go(Phase::Good, HEALTHY * unit);
    let mut checks = vec![look(course, "healthy")];
    let end = course.now + longest + 2 * unit;
    while course.firing().len() < sla.alerts.len() && course.now < end {
        course.go(Phase::Bad, unit);
    }
    let at_worst = course.firing();
    if !sla.alerts.is_empty() {
        checks.push(look(course, "burning"));
    }
    let end = course.now + longest + 2 * unit;
    course.go(Phase::Good, unit);
    while !course.firing().is_empty() && course.now < end {
        course.go(Phase::Good, unit);
    }
    checks.push(look(course, "recovered"));
    course.go(Phase::Silent, (SILENCE + 2 * course.interval + 60).next_multiple_of(unit));
    let mut at_end = look(course, "silent");
    let silent = alerts.iter().position(|alert| alert.name == SILENT);
    at_end.firing.extend(silent.map(|position| Firing { position, share: 0.0 }));
    checks.push(at_end);
    (checks, at_worst)
}

/// What is to be seen at a time.
struct Check {
    time: u64,
    what: &'static str,
    firing: Vec<Firing>,
}

impl Check {
    fn write(&self, alerts: &[Alert], each: &Option<(String, String)>, out: &mut String) {
        let mut names: Vec<&str> = alerts.iter().map(|alert| alert.name).collect();
        names.dedup();
        for name in names {
            let _ = write!(
                out,
                "      # {}\n      - eval_time: {}\n        alertname: {name}\n",
                self.what,
                window(self.time)
            );
            let firing =
                self.firing.iter().filter_map(|firing| Some((alerts.get(firing.position)?, firing.share)));
            let firing: Vec<(&Alert, f64)> = firing.filter(|(alert, _)| alert.name == name).collect();
            out.push_str(if firing.is_empty() {
                "        exp_alerts: []\n"
            } else {
                "        exp_alerts:\n"
            });
            for (alert, share) in firing {
                expected(alert, share, each, out);
            }
        }
    }
}

/// An alert that fires.
#[derive(Debug, Clone, Copy)]
struct Firing {
    position: usize,
    /// The share of bad events over its long window.
    share: f64,
}

/// What happens, judged as it happens.
struct Course {
    ledger: Ledger,
    alerts: BurnAlerts,
    interval: u64,
    /// Phases are whole multiples of it.
    unit: u64,
    /// Good and bad events of an evaluation.
    events: u64,
    phases: Vec<(Phase, u64)>,
    /// When each rule fired last.
    fired: Vec<Option<u64>>,
    now: u64,
}

impl Course {
    fn new(sla: &Sla, counting: &Counting<'_>, interval: u64) -> Option<Self> {
        let alerts = BurnAlerts::new(&sla.slo, sla.alerts.iter().map(|alert| alert.rule).collect()).ok()?;
        let slice = sla.slo.method.slice().unwrap_or(1);
        // The interval is their greatest common divisor.
        let unit = alerts.step() * (slice / super::greatest_common_divisor(alerts.step(), slice));
        let events = if counting.counters().is_some() { EVENTS } else { 1 };
        Some(Self {
            ledger: Ledger::new(&sla.slo),
            alerts,
            interval,
            unit,
            events,
            fired: vec![None; sla.alerts.len()],
            phases: Vec::new(),
            now: 0,
        })
    }

    fn go(&mut self, phase: Phase, seconds: u64) {
        let ticks = seconds / self.interval;
        for _ in 0..ticks {
            self.now += self.interval;
            let now = MIDNIGHT + self.now;
            let counts = match phase {
                Phase::Good => Counts::new(self.events, self.events),
                Phase::Bad => Counts::new(0, self.events),
                Phase::Silent => Ok(Counts::ZERO),
            };
            if let (Ok(counts), true) = (counts, phase != Phase::Silent) {
                // Time goes on by itself and never back.
                let _ = self.ledger.record(now - 1, counts);
            }
            let _ = self.ledger.resume(now);
            self.alerts.judge(&self.ledger, now);
            for (alert, fired) in self.alerts.alerts().iter().zip(&mut self.fired) {
                if alert.since.is_some() {
                    *fired = Some(self.now);
                }
            }
        }
        match self.phases.last_mut() {
            Some((last, length)) if *last == phase => *length += ticks,
            _ => self.phases.push((phase, ticks)),
        }
    }

    /// The alerts that mute others.
    fn told(&self, sla: &Sla, alerts: &[Alert]) -> Vec<Firing> {
        let rules = || sla.alerts.iter().map(|alert| &alert.rule);
        let lately = |slower: &BurnRule| {
            let mut fired = rules().zip(&self.fired).filter(|(rule, _)| is_faster(rule, slower));
            fired.any(|(_, fired)| fired.is_some_and(|fired| self.now - fired < slower.short))
        };
        let mutes = |alert: &Alert| {
            let has = |name: &str, value: &str| {
                alert.labels.iter().any(|label| label.0 == name && label.1 == value)
            };
            let is_for = |rule: &BurnRule| {
                has("window", &window(rule.long)) && has("factor", &rule.factor.to_string())
            };
            alert.name == TOLD && rules().any(|rule| is_for(rule) && lately(rule))
        };
        let muting = alerts.iter().enumerate().filter(|(_, alert)| mutes(alert));
        muting.map(|(position, _)| Firing { position, share: 0.0 }).collect()
    }

    fn firing(&self) -> Vec<Firing> {
        let fires = |(position, alert): (usize, &Judged)| {
            alert.since?;
            let events = alert.reading?.long.events();
            Some(Firing { position, share: events.bad() as f64 / events.total() as f64 })
        };
        self.alerts.alerts().iter().enumerate().filter_map(fires).collect()
    }
}

/// The series that make events.
struct Input {
    series: Vec<Fed>,
    /// The label and its value where there is a promise for each.
    each: Option<(String, String)>,
}

struct Fed {
    shown: String,
    values: Values,
}

enum Values {
    /// A counter that grows with good events, with bad ones, or both.
    Grows { good: bool, bad: bool },
    /// A reading that says this when all is good, and that when not.
    Says { good: f64, bad: f64 },
}

impl Input {
    fn new(sla: &Sla, counting: &Counting<'_>) -> Result<Self, String> {
        let each = sla.each.as_deref();
        if let Some((total, counted, is_good)) = counting.counters() {
            let example = example(total, counted, is_good, each)?;
            let mut all: Vec<_> = example.good.iter().chain(&example.bad).collect();
            all.sort();
            all.dedup();
            let value = each.and_then(|each| Some((each.to_owned(), all.first()?.get(each)?.clone())));
            if all
                .iter()
                .any(|labels| value.as_ref().is_some_and(|(each, one)| labels.get(each) != Some(one)))
            {
                return Err("its series have no label in common".to_owned());
            }
            let fed = |labels: &&super::example::Labels| Fed {
                shown: shown(labels),
                values: Values::Grows {
                    good: example.good.contains(labels),
                    bad: example.bad.contains(labels),
                },
            };
            return Ok(Self { series: all.iter().map(fed).collect(), each: value });
        }
        let (series, good, bad) = counting.reading().ok_or("it has no series")?;
        let each = each.map(|each| (each.to_owned(), "one".to_owned()));
        let mut shown = series.to_string();
        if let Some((label, value)) = &each {
            shown = shown.replace('}', &format!(",{label}=\"{value}\"}}"));
        }
        Ok(Self { series: vec![Fed { shown, values: Values::Says { good, bad } }], each })
    }

    fn write(&self, phases: &[(Phase, u64)], interval: u64, out: &mut String) {
        for Fed { shown, values } in &self.series {
            let _ = write!(out, "      - series: {}\n        values: \"", quoted(shown));
            match values {
                Values::Grows { good, bad } => grown(phases, *good, *bad, out),
                Values::Says { good, bad } => {
                    out.push('_');
                    for (phase, ticks) in phases.iter().filter(|(phase, _)| *phase != Phase::Silent) {
                        let value = if *phase == Phase::Good { good } else { bad };
                        let _ = write!(out, " {value}x{}", ticks.saturating_sub(1));
                    }
                    // What a query says no more is gone at once.
                    out.push_str(" stale");
                }
            }
            out.push_str("\"\n");
        }
        let times: Vec<String> = phases
            .iter()
            .map(|(phase, ticks)| {
                let what = match phase {
                    Phase::Good => "good",
                    Phase::Bad => "bad",
                    Phase::Silent => "silent",
                };
                format!("{} {what}", window(ticks * interval))
            })
            .collect();
        let _ = writeln!(out, "    # {}", times.join(", "));
    }
}

/// A counter from 0 on, one sample for each evaluation, in promtool's notation: `a+bxN` are N + 1 samples.
fn grown(phases: &[(Phase, u64)], good: bool, bad: bool, out: &mut String) {
    let mut value = 0;
    out.push('0');
    for (phase, ticks) in phases.iter().filter(|(phase, _)| *phase != Phase::Silent) {
        let by = match phase {
            Phase::Good if good => EVENTS,
            Phase::Bad if bad => EVENTS,
            _ => 0,
        };
        let _ = write!(out, " {}+{by}x{}", value + by, ticks.saturating_sub(1));
        value += by * ticks;
    }
}

fn expected(alert: &Alert, share: f64, each: &Option<(String, String)>, out: &mut String) {
    out.push_str("          - exp_labels:\n");
    for (name, value) in &alert.labels {
        let _ = writeln!(out, "              {name}: {}", quoted(value));
    }
    if let Some((name, value)) = each {
        let _ = writeln!(out, "              {name}: {}", quoted(value));
    }
    out.push_str("            exp_annotations:\n");
    for (name, value) in &alert.annotations {
        let mut text = value.replace("{{ $value | humanizePercentage }}", &humanized(share));
        if let Some((label, of)) = each {
            text = text.replace(&format!("{{{{ $labels.{label} }}}}"), of);
        }
        let text = text.replace(r#"{{ "{{" }}"#, "{{");
        let _ = writeln!(out, "              {name}: {}", quoted(&text));
    }
}

/// As `humanizePercentage` of Prometheus: `%.4g` of a hundred times the share.
fn humanized(share: f64) -> String {
    let percent = share * 100.0;
    let scientific = format!("{percent:.3e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let trimmed = |number: &str| match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number.to_owned(),
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    match exponent {
        -4..=3 => {
            let digits = usize::try_from(3 - exponent).unwrap_or(0);
            trimmed(&format!("{percent:.digits$}")) + "%"
        }
        _ => format!("{}e{}{:02}%", trimmed(digits), if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_written_as_prometheus_writes_them() {
        let cases = [
            (0.0, "0%"),
            (1.0, "100%"),
            (0.5, "50%"),
            (1.0 / 3.0, "33.33%"),
            (0.0144, "1.44%"),
            (0.999_999, "100%"),
            (0.000_001_234_56, "0.0001235%"),
            (0.000_000_123_456, "1.235e-05%"),
        ];
        for (share, text) in cases {
            assert_eq!(humanized(share), text);
        }
    }
}
