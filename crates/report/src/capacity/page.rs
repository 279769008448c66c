//! What is known of the capacity of each plan, on one page of a service.

use serde_json::Value;

use super::report::CapacityReport;
use super::text::number;
use super::{charts, facts};
use crate::html::{Page, ServicePage, service_document};
use crate::words;

/// What is known of the capacity of one plan.
#[derive(Debug, Clone, Copy)]
pub struct CapacityPlan<'a> {
    /// The plan's name.
    pub plan: &'a str,
    /// What it is about.
    pub target: &'a str,
    /// The limit; `None` where nobody knows.
    pub limit: Option<CapacityLimit>,
    /// What was foretold last.
    pub foretold: Option<Foretold<'a>>,
    /// What a search measured last.
    pub measured: Option<Measured<'a>>,
    /// How good earlier predictions were.
    pub track_record: Option<&'a str>,
}

/// The newest limit of a plan, per second.
#[derive(Debug, Clone, Copy)]
pub struct CapacityLimit {
    /// The limit.
    pub estimate: f64,
    /// The ends of its interval, where they are known.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// Whether a search measured it; else it was foretold.
    pub is_measured: bool,
    /// The busiest traffic that was told.
    pub traffic: Option<f64>,
    /// (limit - traffic) / limit.
    pub headroom: Option<f64>,
}

/// An answer that was drawn from runs.
#[derive(Debug, Clone, Copy)]
pub struct Foretold<'a> {
    /// When, nanoseconds since 1970.
    pub made_nanos: i64,
    /// What was said; `None` where it cannot be drawn again.
    pub report: Option<CapacityReport<'a>>,
    /// Where the whole report is.
    pub href: &'a str,
    /// Where its JSON is.
    pub json: &'a str,
}

/// The result of a search on the live system.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// When, nanoseconds since 1970.
    pub made_nanos: i64,
    /// As [`limit_json`](crate::limit_json) wrote it.
    pub result: &'a Value,
    /// Where its JSON is.
    pub json: &'a str,
}

/// The page of a service. `unasked` are plans that have runs and no answer.
pub fn capacity_page(plans: &[CapacityPlan], unasked: &[&str]) -> String {
    let around = ServicePage { under: "/capacity", is_whole: true, changes: false };
    service_document("Capacity", around, |page| {
        page.put("<h1>Capacity</h1>\n", &[]);
        if plans.is_empty() {
            page.put("<p>No plan has an answer yet.</p>\n", &[]);
        }
        for plan in plans {
            section(page, plan);
        }
        if !unasked.is_empty() {
            page.put("<section><h2>Not asked yet</h2><p>", &[]);
            for (index, plan) in unasked.iter().enumerate() {
                page.put("{}{}", &[&if index > 0 { ", " } else { "" }, plan]);
            }
            page.put(
                "</p><p><small><code>plimsoll capacity --plan NAME</code> answers from recorded runs, \
                 <code>plimsoll limit PLAN</code> measures.</small></p></section>\n",
                &[],
            );
        }
    })
}

fn section(page: &mut Page, plan: &CapacityPlan) {
    let (word, class) = standing(plan);
    page.put("<article class=\"plan\">\n<header class=\"banner {}\"><div>", &[&class]);
    page.put("<p class=\"brow\">{}</p><h2>{}</h2>", &[&plan.target, &plan.plan]);
    let report = plan.foretold.and_then(|foretold| foretold.report);
    if let Some(report) = &report {
        page.put("<p>{}</p>", &[&facts::headline(report)]);
    }
    if let Some(sentence) = plan.measured.and_then(|measured| sentence(measured.result)) {
        page.put("<p>{}</p>", &[&sentence]);
    }
    page.put("</div><p class=\"verdict\"><b>{}</b></p>", &[&word]);
    for caveat in report.iter().flat_map(|report| facts::caveats(report.answer)) {
        page.put("<p class=\"caveat\">{}</p>", &[&caveat]);
    }
    page.put("</header>\n<dl class=\"key\">", &[]);
    for (name, value, beside) in figures(plan) {
        page.put("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>", &[&name, &value, &beside]);
    }
    page.put("</dl>\n", &[]);
    for sentence in report.iter().flat_map(|report| report.when) {
        page.put("<p>{}</p>\n", &[sentence]);
    }
    if let Some(record) = plan.track_record {
        page.put("<p>{}</p>\n", &[&record]);
    }
    if let Some(report) = &report {
        page.put("<div class=\"charts\">\n", &[]);
        charts::throughput(report).draw(page);
        charts::response_time(report).iter().for_each(|chart| chart.draw(page));
        page.put("</div>\n", &[]);
    }
    links(page, plan);
    page.put("</article>\n", &[]);
}

/// Whether the limit carries the traffic.
fn standing(plan: &CapacityPlan) -> (String, &'static str) {
    let headroom = |limit: CapacityLimit| {
        let (headroom, traffic) = (limit.headroom?, limit.traffic?);
        Some(match limit.low {
            _ if headroom < 0.0 => ("traffic over the limit".to_owned(), "missed"),
            Some(low) if traffic > low => (format!("headroom {}, or none", share(headroom)), "inconclusive"),
            _ => (format!("headroom {}", share(headroom)), "met"),
        })
    };
    match plan.limit {
        None => ("no limit can be told".to_owned(), "inconclusive"),
        Some(limit) => headroom(limit).unwrap_or_else(|| ("limit known".to_owned(), "none")),
    }
}

fn figures(plan: &CapacityPlan) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    if let Some(limit) = plan.limit {
        let within = match (limit.low, limit.high) {
            (Some(low), Some(high)) => format!("{} to {}, ", number(low), number(high)),
            _ => String::new(),
        };
        let by = if limit.is_measured { "measured" } else { "foretold" };
        all.push(("Limit".to_owned(), words::rate(Some(limit.estimate)), format!("{within}{by}")));
        if let (Some(headroom), Some(traffic)) = (limit.headroom, limit.traffic) {
            let beside = format!("beside traffic of {}", words::rate(Some(traffic)));
            all.push(("Headroom".to_owned(), share(headroom), beside));
        }
    }
    if let Some(report) = plan.foretold.and_then(|foretold| foretold.report) {
        // The headroom stands above, against the newest limit there is.
        let known = facts::figures(&report).into_iter();
        all.extend(
            known
                .filter(|fact| !fact.name.starts_with(facts::HEADROOM))
                .map(|fact| (fact.name, fact.value, fact.beside)),
        );
    }
    all.extend(what_limits(plan));
    all
}

/// What runs out first: as a search saw it, else as was foretold.
fn what_limits(plan: &CapacityPlan) -> Option<(String, String, String)> {
    let name = "What limits".to_owned();
    if let Some(measured) = plan.measured {
        let point = &measured.result["breaking_point"];
        if let Some(side) = point["side"].as_str() {
            let symptom = point["first_symptom"].as_str().unwrap_or_default().to_owned();
            return Some((name, point["resource"].as_str().unwrap_or(side).to_owned(), symptom));
        }
    }
    let answer = plan.foretold?.report?.answer;
    let (_, of) = answer.limit.as_ref()?;
    let resource = answer.resources.first();
    let runs_out =
        resource.map(|first| format!("{} runs out at {}", first.name, words::rate(Some(first.throughput))));
    Some(match answer.sla_limits.iter().any(|limit| limit.text == *of) {
        true => (name, "an objective".to_owned(), of.clone()),
        false => (name, of.clone(), runs_out.unwrap_or_default()),
    })
}

/// What a search found, from its JSON; `None` for what is none.
fn sentence(result: &Value) -> Option<String> {
    let point = &result["breaking_point"];
    let (low, high) = (point["low"].as_f64()?, point["high"].as_f64()?);
    let unit = if result["unit"] == "users" { " users" } else { "/s" };
    let side = match (point["side"].as_str(), point["resource"].as_str()) {
        (_, Some(resource)) => format!("; limited by the target's {resource}"),
        (Some(side), None) => format!("; limited by the {side}"),
        (None, None) => String::new(),
    };
    Some(format!("A search kept {}{unit} and missed {}{unit}{side}.", number(low), number(high)))
}

fn links(page: &mut Page, plan: &CapacityPlan) {
    page.put("<p class=\"links\">", &[]);
    if let Some(foretold) = plan.foretold {
        let made = words::moment_for_people(foretold.made_nanos);
        if foretold.report.is_some() {
            page.put("<span>Foretold {}: <a href=\"{}\">full report</a>, ", &[&made, &foretold.href]);
        } else {
            page.put("<span>Foretold {} by another version: ", &[&made]);
        }
        page.put("<a href=\"{}\">JSON</a></span> ", &[&foretold.json]);
    }
    if let Some(measured) = plan.measured {
        let made = words::moment_for_people(measured.made_nanos);
        page.put("<span>Measured {}: <a href=\"{}\">JSON</a></span>", &[&made, &measured.json]);
    }
    page.put("</p>\n", &[]);
}

fn share(ratio: f64) -> String {
    format!("{:.0}%", ratio * 100.0)
}
