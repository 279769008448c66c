//! Sloth's published rules and ours decide alike over the same series.
//!
//! Sloth (github.com/slok/sloth, Apache-2.0) writes rules of the same burn rates. Its inputs and the rules that it makes of them
//! are read as facts from `PLIMSOLL_CONFORMANCE`. Ours ask for enough events beside; where only Sloth's fire, the burn rates of ours
//! exceed their factors too, and the events were too few.

use std::fmt::Write;
use std::path::PathBuf;

use plimsoll_exposition::sla_rules::{rules_file, sla_rules};
use plimsoll_sla::{AlertRule, BurnRule, Counted, Events, Sla, Source, Urgency};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Case, Course, DAY, HOUR, MINUTE, course, differing, values, window};

const STEP: u64 = MINUTE;
const PAGE: &str = "page";
const TICKET: &str = "ticket";

/// One of Sloth's outputs and the factors in it, of 1 h and 5 min, 6 h and 30 min, 1 d and 2 h, 3 d and 6 h.
struct Published {
    file: &'static str,
    days: u64,
    factors: [&'static str; 4],
}

const PUBLISHED: [Published; 2] = [
    Published { file: "out-base.yaml.tpl", days: 30, factors: ["14.4", "6", "3", "1"] },
    Published {
        file: "out-base-custom-windows-7d.yaml.tpl",
        days: 7,
        factors: ["13.44", "3.5", "1.4", "0.98"],
    },
];

const WINDOWS: [(u64, u64, Urgency); 4] = [
    (HOUR, 5 * MINUTE, Urgency::Page),
    (6 * HOUR, 30 * MINUTE, Urgency::Page),
    (DAY, 2 * HOUR, Urgency::Ticket),
    (3 * DAY, 6 * HOUR, Urgency::Ticket),
];

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("PLIMSOLL_CONFORMANCE");
    if folder.is_none() {
        eprintln!("NOT RUN: Sloth's rules (PLIMSOLL_CONFORMANCE is not set)");
    }
    Some(PathBuf::from(folder?).join("sloth/test/integration/prometheus/testdata"))
}

/// What follows the first `key:` in Sloth's input.
fn first<'t>(input: &'t str, key: &str) -> &'t str {
    let line = input.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'));
    line.unwrap().trim()
}

/// Sloth's rules, which are a template of its tests.
fn rendered(template: &str) -> String {
    let rules = template.split_once("\ngroups:").unwrap().1;
    let rules = rules.replace("{{ .version }}", "published").replace("{{\"{{", "{{").replace("}}\"}}", "}}");
    format!("groups:{rules}")
}

fn sla(case: &Case, published: &Published, counted: Counted, total: &str) -> Sla {
    let rules = WINDOWS.iter().zip(published.factors).map(|(&(long, short, urgency), factor)| {
        let rule =
            BurnRule { factor: factor.parse().unwrap(), long, short, hold: 0, at_least: false, urgency };
        AlertRule { rule, severity: urgency.label().to_owned(), notify: Vec::new(), resolved: true }
    });
    let events = Events::Counters { source: Source::Prometheus(None), counted, total: total.to_owned() };
    Sla { alerts: rules.collect(), events, ..case.sla() }
}

/// The burn rates of ours alone, without the conditions on few events.
fn only_rates(published: &Published, urgency: Urgency) -> String {
    let rates = WINDOWS.iter().zip(published.factors).filter(|(window, _)| window.2 == urgency);
    let rates = rates.map(|(&(long, short, _), factor)| {
        let over = |seconds: u64| {
            let window = window(seconds);
            let share = format!("sla:bad_events:increase{window} / sla:events:increase{window}");
            // Sloth multiplies like this.
            format!("{share} > {factor} * 0.001")
        };
        format!("({} and {})", over(long), over(short))
    });
    rates.collect::<Vec<_>>().join(" or ")
}

fn questions(published: &Published, course: &Course, groups: &[String]) -> (String, [String; 8]) {
    let firing = |labels: &str| format!("count(ALERTS{{alertstate=\"firing\",{labels}}})");
    let ours =
        |severity: &str| firing(&format!("alertname=\"PlimsollErrorBudgetBurns\",severity=\"{severity}\""));
    let theirs =
        |severity: &str| firing(&format!("alertname=\"myServiceAlert\",sloth_severity=\"{severity}\""));
    let rates = |urgency| format!("count({})", only_rates(published, urgency));
    let differ = |one: &str, other: &str| format!("({one} unless {other}) or ({other} unless {one})");
    let expressions = [
        differ(&rates(Urgency::Page), &theirs(PAGE)),
        differ(&rates(Urgency::Ticket), &theirs(TICKET)),
        format!("{} unless {}", ours(PAGE), theirs(PAGE)),
        format!("{} unless {}", ours(TICKET), theirs(TICKET)),
        format!("{} unless {}", theirs(PAGE), ours(PAGE)),
        format!("{} unless {}", theirs(TICKET), ours(TICKET)),
        // Nothing is wrong with these: they are asked so that they are counted.
        theirs(PAGE),
        theirs(TICKET),
    ];
    let mut out = input(course, groups);
    for step in 1..course.len() as u64 {
        for expression in &expressions {
            ask(expression, step, &mut out);
        }
    }
    (out, expressions)
}

fn ask(expression: &str, step: u64, out: &mut String) {
    writeln!(out, "      - {{expr: '{expression}', eval_time: {}, exp_samples: []}}", window(step * STEP))
        .unwrap();
}

/// Both files of rules, in the order of their groups, and the series that they look at.
fn input(course: &Course, groups: &[String]) -> String {
    let mut out = format!(
        "rule_files: [ours.yml, sloth.yml]\nevaluation_interval: 1m\ngroup_eval_order: [{}]\ntests:\n  - interval: 1m\n    \
         input_series:\n",
        groups.join(", ")
    );
    let series = "http_request_duration_seconds_count{job=\"myservice\",code=";
    for (code, text) in [
        ("200", values(course, |(good, _)| good)),
        ("500", values(course, |(good, total)| (total - good) / 2)),
        ("429", values(course, |(good, total)| total - good - (total - good) / 2)),
    ] {
        writeln!(out, "      - {{series: '{series}\"{code}\"}}', values: '{text}'}}").unwrap();
    }
    out.push_str("    promql_expr_test:\n");
    out
}

/// The names of all groups, as promtool wants them for their order.
fn groups(files: [&str; 2]) -> Vec<String> {
    let lines = files.into_iter().flat_map(str::lines);
    let names = lines.filter_map(|line| line.trim().strip_prefix("- name: "));
    names.map(|name| format!("\"{}\"", name.trim_matches('"'))).collect()
}

#[test]
fn sloth_decides_alike() {
    let Some(data) = folder() else { return };
    let read = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    let input = read("in-base.yaml");
    let (errors, total) = (first(&input, "error_query"), first(&input, "total_query"));
    let objective = format!("{}%", first(&input, "objective"));
    let case = |days: u64| Case {
        name: "Sloth",
        target: if objective == "99.9%" { "99.9%" } else { panic!("{objective}") },
        period: days * DAY,
        method: plimsoll_sla::Method::Occurrences,
        own: None,
        length: 6 * HOUR,
    };
    println!(
        "Sloth's file                          steps  pages  tickets  differing by rates  only ours  only Sloth's: pages  tickets"
    );
    for published in &PUBLISHED {
        let template = rendered(&read(published.file));
        let case = case(published.days);
        let sla = sla(&case, published, Counted::Bad(errors.to_owned()), total);
        let ours = rules_file([&sla_rules(&sla).unwrap()]);
        let groups = groups([&ours, &template]);
        let mut sums = [0; 8];
        let mut steps = 0;
        // Few requests, where one failure is a burn rate, and many.
        for (seed, rates) in [(1, [2]), (2, [6000])] {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let course = course(&case, &sla, STEP, &rates, &mut random);
            let folder = tempfile::tempdir().unwrap();
            let (test, expressions) = questions(published, &course, &groups);
            for (name, text) in [("ours.yml", &ours), ("sloth.yml", &template), ("test.yml", &test)] {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            let differing = differing(folder.path(), STEP).unwrap();
            for (expression, step) in &differing {
                // promtool writes quotes of an expression with a backslash.
                let expression = expression.trim_matches('"').replace("\\\"", "\"");
                let position = expressions.iter().position(|one| *one == expression);
                sums[position.unwrap_or_else(|| panic!("{expression} at step {step}"))] += 1;
            }
            steps += course.len() - 1;
        }
        let [pages_by_rate, tickets_by_rate, our_pages, our_tickets, pages, tickets, all_pages, all_tickets] =
            sums;
        println!(
            "{:36} {steps:6} {all_pages:6} {all_tickets:8} {:19} {:10} {pages:20} {tickets:8}",
            published.file,
            pages_by_rate + tickets_by_rate,
            our_pages + our_tickets
        );
        assert_eq!([pages_by_rate, tickets_by_rate, our_pages, our_tickets], [0; 4], "{}", published.file);
        assert!(all_pages > pages && all_tickets > tickets, "{}: nothing fires", published.file);
        assert!(pages > 0, "{}: a few events should be told apart", published.file);
    }
}

/// Of Sloth's OpenSLO document, whose rules have no alerts: the share of errors over each window.
#[test]
fn sloth_measures_alike() {
    let Some(data) = folder() else { return };
    let read = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    let document = read("in-openslo.yaml");
    let queries: Vec<&str> =
        document.lines().filter_map(|line| line.trim().strip_prefix("query: ")).collect();
    let [good, total] = queries[..] else { panic!("{queries:?}") };
    let published = &PUBLISHED[0];
    let template = rendered(&read("out-openslo.yaml.tpl"));
    let method = plimsoll_sla::Method::Occurrences;
    let case = Case { name: "Sloth", target: "99.9%", period: 30 * DAY, method, own: None, length: 3 * HOUR };
    let sla = sla(&case, published, Counted::Good(good.to_owned()), total);
    let ours = rules_file([&sla_rules(&sla).unwrap()]);
    let course = course(&case, &sla, STEP, &[600], &mut ChaCha8Rng::seed_from_u64(3));
    let mut test = input(&course, &groups([&ours, &template]));
    let mut asked = 0;
    for step in 1..course.len() as u64 {
        for seconds in WINDOWS.iter().flat_map(|(long, short, _)| [*long, *short]) {
            let window = window(seconds);
            let ours = format!("(1 - sla:compliance:ratio_increase{window})");
            let theirs = format!("slo:sli_error:ratio_rate{window}");
            ask(
                &format!("abs({ours} - on () {theirs}) > 1e-9 or ({ours} unless on () {theirs} == {theirs})"),
                step,
                &mut test,
            );
            asked += 1;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("ours.yml", &ours), ("sloth.yml", &template), ("test.yml", &test)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let differing = differing(folder.path(), STEP).unwrap();
    println!("shares of errors over windows, ours and Sloth's: {asked} compared, {} differ", differing.len());
    assert!(differing.is_empty(), "{:?}", differing.first());
}
