//! Rules for Prometheus that watch service-level objectives: `plimsoll sla rules`.
//!
//! They follow from the same [`Sla`] as our own judging and say the same at the same steps; `docs/sla-rules.md` says
//! where they cannot. Windows are asked of the counters themselves, however long they are: adding up
//! the growth of many short windows would extrapolate at the edges of each. What Prometheus cannot
//! say is refused with the reason or told as a note, and never left out in silence.
//!
//! Beside the rules there is a test for `promtool test rules` that drives each alert through healthy,
//! burning, recovered and silent times; what it expects comes from our own judging of the same events.
//! It reads no clock and writes no file.

mod counting;
mod drill;
mod example;
mod promql;
mod yaml;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write;

use plimsoll_sla::{
    AlertRule, BurnAlerts, BurnRule, ENOUGH_EVIDENCE, Events, FEWEST_BAD, Period, Sla, Urgency,
};

use counting::Counting;
use promql::window;
use yaml::{quoted, verbatim};

/// The alert that the budget goes too fast.
pub const BURNS: &str = "PlimsollErrorBudgetBurns";
/// Not for people: it mutes an alert of the budget of which a faster one was told lately.
pub const TOLD: &str = "PlimsollErrorBudgetTold";
/// The alert that there are no events.
pub const SILENT: &str = "PlimsollSlaNoData";

/// After so many seconds without an event there are none: the longest our own judging waits.
const SILENCE: u64 = 300;
/// For so long a value of a label is remembered to have had events, at least.
const MEMORY: u64 = 3600;
/// How often in a period the budget of all of it is looked at.
const LOOKS_IN_A_PERIOD: u64 = 8640;
/// The longest between two looks at it.
const LONGEST_LOOK: u64 = 3600;

/// The rules of one SLA.
#[derive(Debug, Clone)]
pub struct SlaRules {
    /// The name of the SLA.
    pub name: String,
    /// What Prometheus cannot say, or says otherwise, in sentences.
    pub notes: Vec<String>,
    /// Those of all series it records.
    labels: String,
    groups: Vec<Group>,
    test: Option<String>,
}

/// Why an SLA has no rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no rules for `{sla}`: {why}")]
pub struct NoRules {
    /// Its name.
    pub sla: String,
    /// Why not.
    pub why: String,
}

#[derive(Debug, Clone)]
struct Group {
    name: String,
    interval: u64,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
enum Rule {
    Record(Record),
    Alert(Alert),
}

/// A series that is made of others.
#[derive(Debug, Clone)]
struct Record {
    name: String,
    expression: String,
}

impl Record {
    fn new(series: &Series, expression: String) -> Self {
        Self { name: series.name.clone(), expression }
    }
}

#[derive(Debug, Clone)]
struct Alert {
    name: &'static str,
    expression: String,
    hold: u64,
    labels: Vec<(&'static str, String)>,
    annotations: Vec<(&'static str, String)>,
}

/// A recorded series of an SLA.
#[derive(Debug, Clone)]
struct Series {
    name: String,
    sla: String,
}

impl Series {
    fn new(name: impl Into<String>, sla: &str) -> Self {
        Self { name: name.into(), sla: promql::text(sla) }
    }

    /// What was recorded in the last `seconds`.
    fn within(&self, seconds: u64) -> String {
        format!("{self}{}", just_within(seconds))
    }
}

/// A range of the last `seconds` without their first moment: older versions of Prometheus count a sample at either
/// edge of a range, newer ones that at the later edge.
fn just_within(seconds: u64) -> String {
    let whole = if seconds > 1 { window(seconds - 1) } else { String::new() };
    format!("[{whole}500ms]")
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{sla={}}}", self.name, self.sla)
    }
}

/// The rules of `sla`.
///
/// # Errors
/// When Prometheus cannot count its events.
pub fn sla_rules(sla: &Sla) -> Result<SlaRules, NoRules> {
    rules(sla).map_err(|why| NoRules { sla: sla.slo.name.clone(), why })
}

fn rules(sla: &Sla) -> Result<SlaRules, String> {
    let burn: Vec<_> = sla.alerts.iter().map(|alert| alert.rule).collect();
    let step = BurnAlerts::new(&sla.slo, burn).map_err(|error| error.to_string())?.step();
    let interval = sla.slo.method.slice().map_or(step, |slice| greatest_common_divisor(step, slice));
    let counting = Counting::new(sla, interval)?;

    let mut records = counting.prepared()?;
    let windows: BTreeSet<u64> =
        sla.alerts.iter().flat_map(|alert| [alert.rule.short, alert.rule.long]).collect();
    for seconds in &windows {
        records.extend(counting.over(*seconds)?);
    }
    let alerts = alerts(sla, &counting, &windows)?;
    let (name, mut notes) = (&sla.slo.name, notes(sla));
    let rules =
        records.into_iter().map(Rule::Record).chain(alerts.iter().cloned().map(Rule::Alert)).collect();
    let mut groups = vec![Group { name: format!("sla:{name}"), interval, rules }];
    groups.extend(of_period(sla, &counting, &windows, interval)?);
    groups.retain(|group| !group.rules.is_empty());
    let test = match drill::drill(sla, &counting, interval, &alerts) {
        Ok(drilled) => {
            notes.extend(drilled.notes);
            Some(drilled.test)
        }
        Err(why) => {
            notes.push(format!("there is no test of its rules: {why}"));
            None
        }
    };
    let plan = plan(sla).map_or(String::new(), |plan| format!(", plan: {}", quoted(plan)));
    let labels = format!("{{sla: {}, service: {}{plan}}}", quoted(name), quoted(&sla.service));
    Ok(SlaRules { name: name.clone(), notes, labels, groups, test })
}

/// Those of the budget first, in the order of the SLA's own, then what mutes them, then that of silence.
fn alerts(sla: &Sla, counting: &Counting<'_>, windows: &BTreeSet<u64>) -> Result<Vec<Alert>, String> {
    let mut alerts: Vec<Alert> = Vec::new();
    for alert in &sla.alerts {
        let rendered = burns(sla, counting, alert);
        if alerts.iter().any(|other| other.labels == rendered.labels) {
            let AlertRule { rule, severity, .. } = alert;
            let (factor, long) = (rule.factor, window(rule.long));
            return Err(format!("two alerts `{severity}` at {factor} over {long} could not be told apart"));
        }
        alerts.push(rendered);
    }
    alerts.extend(sla.alerts.iter().filter_map(|alert| told(sla, &alert.rule)));
    if let Some(severity) = &sla.no_data {
        let memory = windows.last().copied().unwrap_or(0).max(MEMORY);
        alerts.push(silent(sla, severity, counting.silent(SILENCE, memory)?));
    }
    Ok(alerts)
}

/// The budget of the whole period, where it is a rolling one.
fn of_period(
    sla: &Sla,
    counting: &Counting<'_>,
    windows: &BTreeSet<u64>,
    interval: u64,
) -> Result<Option<Group>, String> {
    let Period::Rolling(period) = &sla.slo.period else { return Ok(None) };
    let (name, period) = (&sla.slo.name, u64::from(period.seconds()));
    let mut records = if windows.contains(&period) { Vec::new() } else { counting.over(period)? };
    let remaining = Series::new("sla:error_budget_remaining:ratio", name);
    records.push(Record::new(&remaining, format!("1 - {}", counting.burn_rate(period))));
    let interval = (period / LOOKS_IN_A_PERIOD).clamp(1, LONGEST_LOOK).next_multiple_of(interval);
    let rules = records.into_iter().map(Rule::Record).collect();
    Ok(Some(Group { name: format!("sla:{name}:period"), interval, rules }))
}

/// What is told beside the rules.
fn notes(sla: &Sla) -> Vec<String> {
    let mut notes = Vec::new();
    if let Period::Calendar(_) = sla.slo.period {
        notes.push(format!(
            "there is no rule for the budget that is left of {}: a range of PromQL has no calendar; \
             plimsoll_error_budget_remaining_ratio of `plimsoll serve` has it",
            sla.slo.period
        ));
    }
    for (rule, error) in &sla.never {
        notes.push(format!(
            "the published alert at {} over {} is left out: {error}",
            rule.factor,
            window(rule.long)
        ));
    }
    if sla.alerts.iter().any(|alert| !alert.resolved) {
        notes.push(
            "whether somebody is told that an alert is over is not said by rules: set `send_resolved` of the receiver"
                .to_owned(),
        );
    }
    for exclusion in &sla.exclusions {
        notes.push(format!(
            "what is excluded ({}) is counted here; its alerts are silent until the short window has passed it",
            exclusion.reason
        ));
    }
    if let Some(part) = &sla.part_of {
        notes.push(format!("the composite `{}` has no rules of its own, its parts have", part.name));
    }
    notes
}

fn burns(sla: &Sla, counting: &Counting<'_>, alert: &AlertRule) -> Alert {
    let AlertRule { rule, severity, notify, .. } = alert;
    let slo = &sla.slo;
    let threshold = rule.threshold(slo.target);
    let over = if rule.at_least { ">=" } else { ">" };
    let (events, bad) = (counting.events(rule.long), counting.bad(rule.long));
    let share =
        |seconds: u64| format!("{} / {} {over} {threshold}", counting.bad(seconds), counting.events(seconds));
    // A factor below 1 asks whether the budget goes faster than that.
    let expected = match rule.factor.to_f64() < 1.0 {
        true => threshold.to_string(),
        false => slo.target.budget().to_decimal(),
    };
    let evidence = format!("{bad} * ln({bad} / ({expected} * {events})) - {bad} + {expected} * {events}");
    let mut conditions = vec![share(rule.long)];
    if rule.short != rule.long {
        conditions.push(share(rule.short));
    }
    conditions.push(format!("{bad} >= {FEWEST_BAD}"));
    conditions.push(format!("{evidence} >= {ENOUGH_EVIDENCE}"));
    conditions.extend(not_excluded(sla, rule.short));
    let (long, short) = (window(rule.long), window(rule.short));
    let mut labels = labels(sla, severity, &long);
    labels.push(("factor", rule.factor.to_string()));
    if !notify.is_empty() {
        labels.push(("notify", notify.join(",")));
    }
    let reaches = if rule.at_least { "at least" } else { "over" };
    let summary = format!("{}: burn rate {reaches} {}", sla.title, rule.factor);
    let description = format!(
        " of the events of the last {long} were bad{}: {reaches} {}, which is a burn rate of {}. Promised are {} good events over {}.",
        if rule.short == rule.long { String::new() } else { format!(", and of the last {short} as well") },
        percent(&threshold.to_string()),
        rule.factor,
        slo.target,
        period(&slo.period),
    );
    let description = format!("{{{{ $value | humanizePercentage }}}}{}", verbatim(&description));
    let annotations = annotations(sla, &summary, description);
    Alert { name: BURNS, expression: conditions.join("\nand "), hold: rule.hold, labels, annotations }
}

/// Fires for an alert while a faster one does, or did within its short window: for so long the same outage keeps it firing.
fn told(sla: &Sla, slower: &BurnRule) -> Option<Alert> {
    let lately = |rule: &BurnRule| {
        let labels = [
            ("alertname", BURNS.to_owned()),
            ("alertstate", "firing".to_owned()),
            ("sla", sla.slo.name.clone()),
            ("window", window(rule.long)),
            ("factor", rule.factor.to_string()),
        ];
        let labels = labels.map(|(name, value)| format!("{name}={}", promql::text(&value)));
        format!("max_over_time(ALERTS{{{}}}{})", labels.join(","), just_within(slower.short))
    };
    let faster: Vec<String> = sla
        .alerts
        .iter()
        .map(|alert| &alert.rule)
        .filter(|rule| is_faster(rule, slower))
        .map(lately)
        .collect();
    if faster.is_empty() {
        return None;
    }
    let mut labels = labels(sla, "none", &window(slower.long));
    labels.push(("factor", slower.factor.to_string()));
    let expression = format!("max{}(\n  {}\n)", promql::by(sla.each.as_deref()), faster.join("\n  or "));
    let summary = format!("{}: a faster burn rate than {} was told lately", sla.title, slower.factor);
    let annotations = vec![("summary", verbatim(&summary))];
    Some(Alert { name: TOLD, expression, hold: 0, labels, annotations })
}

/// Whether one alert sees an outage before another does, and is at least as urgent.
fn is_faster(one: &BurnRule, other: &BurnRule) -> bool {
    let is_earlier = (one.short, Reverse(one.factor)) < (other.short, Reverse(other.factor));
    is_earlier && (one.urgency == Urgency::Page || other.urgency == Urgency::Ticket)
}

fn silent(sla: &Sla, severity: &str, expression: String) -> Alert {
    let expression =
        [expression].into_iter().chain(not_excluded(sla, SILENCE)).collect::<Vec<_>>().join("\nand ");
    let silence = window(SILENCE);
    let summary = format!("{}: no events", sla.title);
    let description = format!(
        "There was no event for {silence}, so nobody knows whether {} of them are good over {}.",
        sla.slo.target,
        period(&sla.slo.period)
    );
    let annotations = annotations(sla, &summary, verbatim(&description));
    Alert { name: SILENT, expression, hold: 0, labels: labels(sla, severity, &silence), annotations }
}

/// Not within what is excluded, nor for `after` seconds behind it.
fn not_excluded(sla: &Sla, after: u64) -> impl Iterator<Item = String> {
    sla.exclusions.iter().map(move |exclusion| {
        let (start, end) = (exclusion.seconds.start, exclusion.seconds.end + after);
        format!("on () (vector(time()) < {start} or vector(time()) >= {end})")
    })
}

fn labels(sla: &Sla, severity: &str, window: &str) -> Vec<(&'static str, String)> {
    let mut labels = vec![
        ("severity", severity.to_owned()),
        ("window", window.to_owned()),
        ("service", sla.service.clone()),
        ("sla", sla.slo.name.clone()),
    ];
    labels.extend(plan(sla).map(|plan| ("plan", plan.to_owned())));
    labels
}

/// The plan whose runs make the events.
fn plan(sla: &Sla) -> Option<&str> {
    match &sla.events {
        Events::Runs(runs) => Some(&runs.plan),
        Events::Counters { .. } | Events::Figure { .. } | Events::Share { .. } => None,
    }
}

/// `description` is a template already; the other texts are not.
fn annotations(sla: &Sla, summary: &str, mut description: String) -> Vec<(&'static str, String)> {
    if let Some(said) = &sla.description {
        let _ = write!(description, " {}", verbatim(said.trim()));
    }
    let each = sla.each.as_deref().map(|label| format!(" ({label} {{{{ $labels.{label} }}}})"));
    let summary = verbatim(summary) + &each.unwrap_or_default();
    let mut annotations = vec![("summary", summary), ("description", description)];
    if let Some(url) = &sla.runbook_url {
        annotations.push(("runbook_url", verbatim(url)));
    }
    annotations
}

/// The period for people.
fn period(period: &Period) -> String {
    match period {
        Period::Rolling(rolling) => format!("the last {}", window(rolling.seconds().into())),
        Period::Calendar(_) => period.to_string(),
    }
}

/// A decimal fraction as a percentage, with the same digits: `0.0144` is `1.44%`.
fn percent(decimal: &str) -> String {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let fraction = format!("{fraction:0<2}");
    let (hundredths, rest) = fraction.split_at(2);
    let whole = format!("{whole}{hundredths}");
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match rest.trim_end_matches('0') {
        "" => format!("{whole}%"),
        rest => format!("{whole}.{rest}%"),
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The rules of several SLAs as one file for `rule_files` of Prometheus.
pub fn rules_file<'a>(slas: impl IntoIterator<Item = &'a SlaRules>) -> String {
    let mut out = "# Written by `plimsoll sla rules`; docs/sla-rules.md of Plimsoll says what the series mean.\ngroups:\n".to_owned();
    for sla in slas {
        for group in &sla.groups {
            group.write(&sla.labels, &mut out);
        }
    }
    out
}

impl SlaRules {
    /// The file for `promtool test rules`, where the rules of this SLA are in the file `rules`; `None` where there is no
    /// test, and a note says why.
    pub fn test_file(&self, rules: &str) -> Option<String> {
        let test = self.test.as_ref()?;
        Some(format!("# Written by `plimsoll sla rules`.\nrule_files:\n  - {}\n{test}", quoted(rules)))
    }

    /// How many series it records, and how many alerts it has.
    pub fn counts(&self) -> (usize, usize) {
        let rules = || self.groups.iter().flat_map(|group| &group.rules);
        let alerts = rules().filter(|rule| matches!(rule, Rule::Alert(_))).count();
        (rules().count() - alerts, alerts)
    }
}

// Writing into a string cannot fail.
impl Group {
    fn write(&self, labels: &str, out: &mut String) {
        let _ = write!(
            out,
            "  - name: {}\n    interval: {}\n    rules:\n",
            quoted(&self.name),
            window(self.interval)
        );
        for rule in &self.rules {
            match rule {
                Rule::Record(record) => record.write(labels, out),
                Rule::Alert(alert) => alert.write(out),
            }
        }
    }
}

impl Record {
    fn write(&self, labels: &str, out: &mut String) {
        let _ = writeln!(out, "      - record: {}", self.name);
        write_expression(&self.expression, out);
        let _ = writeln!(out, "        labels: {labels}");
    }
}

impl Alert {
    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "      - alert: {}", self.name);
        write_expression(&self.expression, out);
        if self.hold > 0 {
            let _ = writeln!(out, "        for: {}", window(self.hold));
        }
        out.push_str("        labels:\n");
        for (name, value) in &self.labels {
            let _ = writeln!(out, "          {name}: {}", quoted(&verbatim(value)));
        }
        out.push_str("        annotations:\n");
        for (name, value) in &self.annotations {
            let _ = writeln!(out, "          {name}: {}", quoted(value));
        }
    }
}

fn write_expression(expression: &str, out: &mut String) {
    out.push_str("        expr: |-\n");
    for line in expression.lines() {
        let _ = writeln!(out, "          {}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_with_the_same_digits() {
        let cases =
            [("0.0144", "1.44%"), ("0.001", "0.1%"), ("0.5", "50%"), ("0.00036", "0.036%"), ("1", "100%")];
        for (decimal, text) in cases {
            assert_eq!(percent(decimal), text);
        }
    }
}
