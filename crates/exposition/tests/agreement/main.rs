//! Our own judging and Prometheus with our rules say the same at the same steps.
//!
//! Faults are drawn from a seed: outages, trickles, bursts, times without requests, without readings, and resets
//! of counters. What two counters showed at every step goes to [`Counters`], [`Ledger`] and [`BurnAlerts`], and as input series
//! through `promtool test rules` to the rules that [`sla_rules`] writes; at every step the same alerts
//! must fire. Where the edge of a window lies in a time without readings `increase` extrapolates; such steps
//! are counted apart.
//!
//! `PLIMSOLL_AGREEMENT_SEEDS` says how many courses are drawn of each objective: `cargo xtask soak agreement`.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod sloth;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use plimsoll_exposition::sla_rules::{rules_file, sla_rules};
use plimsoll_sla::{
    AlertRule, BurnAlerts, BurnRule, Counted, Counters, Events, Ledger, Method, Period, Sla, Slice, Slo,
    Source, Urgency,
};
use plimsoll_testkit::Program;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
/// A midnight: windows begin before the first reading.
const START: u64 = 20_000 * DAY;

struct Case {
    name: &'static str,
    target: &'static str,
    period: u64,
    method: Method,
    /// Own rules instead of the published ones: factor, window, hold.
    own: Option<(&'static str, u64, u64)>,
    /// How long it is watched.
    length: u64,
}

fn cases() -> Vec<Case> {
    let slice = Slice::new(MINUTE).unwrap();
    let case = |name, target, period, length| Case {
        name,
        target,
        period,
        method: Method::Occurrences,
        own: None,
        length,
    };
    vec![
        case("a minute", "95%", MINUTE, 300),
        case("an hour", "99.9%", HOUR, 900),
        case("a day", "99%", DAY, 6 * HOUR),
        case("thirty days", "99.9%", 30 * DAY, 12 * HOUR),
        Case { own: Some(("2", 10 * MINUTE, 3 * MINUTE)), ..case("own", "99.5%", 7 * DAY, 4 * HOUR) },
        Case {
            method: Method::Timeslices { slice, target: "99%".parse().unwrap() },
            ..case("slices", "95%", 7 * DAY, 8 * HOUR)
        },
        Case {
            method: Method::RatioTimeslices { slice },
            ..case("shares of slices", "99%", 7 * DAY, 8 * HOUR)
        },
    ]
}

impl Case {
    fn sla(&self) -> Sla {
        let slo = Slo {
            name: "agreed".to_owned(),
            target: self.target.parse().unwrap(),
            period: Period::rolling(self.period).unwrap(),
            method: self.method,
        };
        let (published, never) = BurnAlerts::published(&slo);
        let rules: Vec<BurnRule> = match self.own {
            None => published.alerts().iter().map(|alert| alert.rule).collect(),
            Some((factor, window, hold)) => {
                let factor = factor.parse().unwrap();
                let rule = BurnRule {
                    factor,
                    long: window,
                    short: window,
                    hold,
                    at_least: true,
                    urgency: Urgency::Page,
                };
                vec![rule]
            }
        };
        let alert = |rule: BurnRule| AlertRule {
            rule,
            severity: rule.urgency.label().to_owned(),
            notify: Vec::new(),
            resolved: true,
        };
        Sla {
            slo,
            title: "Agreed".to_owned(),
            service: "service".to_owned(),
            description: None,
            events: Events::Counters {
                source: Source::Prometheus(None),
                counted: Counted::Good("sum(good_total)".to_owned()),
                total: "sum(events_total)".to_owned(),
            },
            alerts: rules.into_iter().map(alert).collect(),
            never,
            no_data: None,
            runbook_url: None,
            each: None,
            exclusions: Vec::new(),
            policy: Vec::new(),
            part_of: None,
        }
    }
}

/// What two counters showed at each step, good and all events; nothing where nobody read them.
type Course = Vec<Option<(u64, u64)>>;

/// What happens for a while.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// So great a share of requests fails.
    Share(f64),
    NoRequests,
    /// The counters are not read; they may go on.
    NoReadings,
    /// They begin again at 0.
    Reset,
}

/// `rates` are requests in a step, of which one is drawn.
fn course(case: &Case, sla: &Sla, step: u64, rates: &[u64], random: &mut ChaCha8Rng) -> Course {
    let budget = sla.slo.target.budget().to_f64();
    let steps = case.length / step;
    let windows: Vec<u64> = sla.alerts.iter().flat_map(|alert| [alert.rule.short, alert.rule.long]).collect();
    let per_step = rates[random.random_range(0..rates.len())];
    let mut course = vec![Some((0, 0))];
    let (mut good, mut total) = (0, 0);
    while (course.len() as u64) <= steps {
        let window = windows[random.random_range(0..windows.len())].min(case.length / 3);
        let length = ((window as f64 * random.random_range(0.05..1.2)) as u64 / step).max(1);
        let fault = match random.random_range(0..12) {
            0..=3 => Fault::Share(budget * random.random_range(0.0..0.8)),
            4 | 5 => Fault::Share(budget * random.random_range(0.8..20.0)),
            6 => Fault::Share(1.0),
            7 | 8 => Fault::Share(random.random_range(0.02..0.6)),
            9 => Fault::NoRequests,
            10 => Fault::NoReadings,
            _ => Fault::Reset,
        };
        let length = match fault {
            Fault::Reset => 1,
            // Time slices are judged of what was read at their edges.
            Fault::NoReadings if sla.slo.method.slice().is_some() => 0,
            _ => length,
        };
        for _ in 0..length {
            let requests = match fault {
                Fault::NoRequests => 0,
                _ => random.random_range(per_step / 2..=per_step * 3 / 2).max(1),
            };
            let share = if let Fault::Share(share) = fault { share } else { 0.0 };
            let failed = requests as f64 * share.min(1.0);
            let failed = (failed as u64 + u64::from(random.random_bool(failed.fract()))).min(requests);
            // A reset that grew past what was there before is none that anybody could see.
            if matches!(fault, Fault::Reset) && good > requests {
                (good, total) = (0, 0);
            }
            good += requests - failed;
            total += requests;
            course.push((!matches!(fault, Fault::NoReadings)).then_some((good, total)));
        }
    }
    course.truncate(steps as usize + 1);
    course
}

/// An alert by what tells it from others: its long window and its factor.
type Fires = BTreeSet<(String, String)>;

/// What our own judging says at each step, and whether every window has readings at its edges.
fn judged(sla: &Sla, step: u64, course: &Course) -> Vec<(Fires, bool)> {
    let mut alerts = BurnAlerts::new(&sla.slo, sla.alerts.iter().map(|alert| alert.rule).collect()).unwrap();
    let (mut ledger, mut counters) = (Ledger::new(&sla.slo), Counters::default());
    let mut said = Vec::new();
    for (position, reading) in course.iter().enumerate() {
        let now = START + position as u64 * step;
        let grown = reading.and_then(|(good, total)| counters.read(good, total).unwrap());
        if let Some(grown) = grown {
            ledger.record(now - 1, grown).unwrap();
        }
        ledger.resume(now).unwrap();
        let fires = alerts.judge(&ledger, now).iter().filter(|alert| alert.since.is_some());
        let fires = fires.map(|alert| (window(alert.rule.long), alert.rule.factor.to_string())).collect();
        let is_read =
            |ago: u64| position.checked_sub((ago / step) as usize).is_none_or(|then| course[then].is_some());
        // Holding looks back on the steps before.
        let edges = sla.alerts.iter().flat_map(|alert| [0, alert.rule.long, alert.rule.short]);
        let hold = sla.alerts.iter().map(|alert| alert.rule.hold).max().unwrap_or(0);
        let clear = edges.flat_map(|edge| (0..=hold / step).map(move |ago| edge + ago * step)).all(is_read);
        said.push((fires, clear));
    }
    said
}

fn window(seconds: u64) -> String {
    let units = [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1)];
    let mut rest = seconds;
    let mut out = String::new();
    for (unit, length) in units {
        if rest >= length {
            write!(out, "{}{unit}", rest / length).unwrap();
            rest %= length;
        }
    }
    out
}

/// The rules without the series that no alert looks at: they cost promtool half of its time.
fn only_what_alerts_need(rules: &str) -> String {
    let (head, rules) = rules.split_once("    rules:\n").unwrap();
    let rules = rules.split("  - name: ").next().unwrap();
    let needed = rules
        .split_inclusive("\n      - ")
        .filter(|rule| !rule.contains("record: sla:burn_rate") && !rule.contains("record: sla:compliance"));
    let needed: String = needed.collect();
    format!("{head}    rules:\n{}\n", needed.trim_end().trim_end_matches('-'))
}

fn values(course: &Course, of: impl Fn((u64, u64)) -> u64) -> String {
    let value =
        |reading: &Option<(u64, u64)>| reading.map_or("_".to_owned(), |reading| of(reading).to_string());
    course.iter().map(value).collect::<Vec<_>>().join(" ")
}

/// What promtool is asked: at each step which alerts fire.
fn questions(step: u64, course: &Course, said: &[(Fires, bool)]) -> String {
    let mut out = format!(
        "rule_files: [rules.yml]\nevaluation_interval: {step}s\ntests:\n  - interval: {step}s\n    input_series:\n      \
         - {{series: good_total, values: '{}'}}\n      - {{series: events_total, values: '{}'}}\n    promql_expr_test:\n",
        values(course, |(good, _)| good),
        values(course, |(_, total)| total),
    );
    let expression =
        "count by (window, factor) (ALERTS{alertname=\"PlimsollErrorBudgetBurns\",alertstate=\"firing\"})";
    for (position, (fires, _)) in said.iter().enumerate() {
        let time = window(position as u64 * step);
        let time = if time.is_empty() { "0s" } else { &time };
        write!(out, "      - expr: '{expression}'\n        eval_time: {time}\n        exp_samples: [")
            .unwrap();
        for (window, factor) in fires {
            write!(out, "{{labels: '{{window=\"{window}\",factor=\"{factor}\"}}', value: 1}},").unwrap();
        }
        out.push_str("]\n");
    }
    out
}

/// What promtool found otherwise: the expression and the step.
fn differing(folder: &Path, step: u64) -> Result<BTreeSet<(String, u64)>, String> {
    let output = Command::new(Program::PROMTOOL.locate().unwrap())
        .args(["test", "rules", "test.yml"])
        .current_dir(folder)
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if output.status.success() {
        return Ok(BTreeSet::new());
    }
    let found = said.lines().filter_map(|line| line.trim().strip_prefix("expr: ")?.split_once(", time: "));
    let found: BTreeSet<(String, u64)> = found
        .filter_map(|(expression, time)| {
            let time = plimsoll_units::duration::parse(time.trim().trim_end_matches(',')).ok()?;
            Some((expression.to_owned(), time.as_secs() / step))
        })
        .collect();
    if found.is_empty() { Err(said) } else { Ok(found) }
}

/// What was compared of an objective.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    states: usize,
    firing: usize,
    different: usize,
    extrapolated: usize,
    different_extrapolated: usize,
}

fn compare(case: &Case, seed: u64) -> Tally {
    let sla = case.sla();
    let step = BurnAlerts::new(&sla.slo, Vec::new()).unwrap().step();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rates = [1, 10, 100, 1000].map(|per_second| per_second * step);
    let course = course(case, &sla, step, &rates, &mut random);
    let said = judged(&sla, step, &course);
    let folder = tempfile::tempdir().unwrap();
    let rules = rules_file([&sla_rules(&sla).unwrap()]);
    std::fs::write(folder.path().join("rules.yml"), only_what_alerts_need(&rules)).unwrap();
    std::fs::write(folder.path().join("test.yml"), questions(step, &course, &said)).unwrap();
    let differing =
        differing(folder.path(), step).unwrap_or_else(|said| panic!("{}, seed {seed}: {said}", case.name));
    let mut tally = Tally::default();
    for (position, (fires, is_clear)) in said.iter().enumerate() {
        let is_different = differing.iter().any(|(_, step)| *step == position as u64);
        tally.states += sla.alerts.len();
        tally.firing += fires.len();
        match is_clear {
            true if is_different => {
                println!("{}, seed {seed}: step {position} differs, ours {fires:?}", case.name);
                tally.different += 1;
            }
            true => {}
            false => {
                tally.extrapolated += 1;
                tally.different_extrapolated += usize::from(is_different);
            }
        }
    }
    tally
}

#[test]
fn the_same_alerts_fire_at_the_same_steps() {
    let seeds: u64 = std::env::var("PLIMSOLL_AGREEMENT_SEEDS").map_or(1, |seeds| seeds.parse().unwrap());
    let cases = cases();
    let work: Vec<(usize, u64)> =
        (1..=seeds).flat_map(|seed| (0..cases.len()).map(move |case| (case, seed))).collect();
    let next = AtomicUsize::new(0);
    let done: Vec<(usize, Tally)> = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            while let Some((case, seed)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.push((*case, compare(&cases[*case], *seed)));
            }
            done
        };
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut different = 0;
    println!("objective         states  firing  different | steps extrapolated  different");
    for (position, case) in cases.iter().enumerate() {
        let sum = |of: fn(&Tally) -> usize| -> usize {
            done.iter().filter(|(of, _)| *of == position).map(|(_, tally)| of(tally)).sum()
        };
        let (states, firing) = (sum(|tally| tally.states), sum(|tally| tally.firing));
        println!(
            "{:16} {states:7} {firing:7} {:10} | {:18} {:10}",
            case.name,
            sum(|tally| tally.different),
            sum(|tally| tally.extrapolated),
            sum(|tally| tally.different_extrapolated),
        );
        assert!(firing > 0 && firing < states, "{}: nothing fires, or everything does", case.name);
        different += sum(|tally| tally.different);
    }
    assert_eq!(different, 0);
}
