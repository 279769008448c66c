//! A message as it is meant, before any receiver's form.

use plimsoll_run::{ExitCode, NotifySettings, Occasion};
use plimsoll_sla::{Severity, Verdict};
use plimsoll_units::duration::human;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::outage::{Broken, News, Outage};
use crate::picture::Picture;
use crate::text::{count, listed, moment, path, plain, rfc3339, span};
use crate::{
    BreakingPoint, CapacityNews, Page, Regression, ReportEnded, ReportOf, RunEnded, SearchEnded, Subject,
};

/// The longest title: what Slack takes as a header.
const TITLE: usize = 140;
/// The longest line.
const LINE: usize = 400;
/// The most lines: who needs more follows the link.
pub(crate) const LINES: usize = 10;

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Bad,
    Warning,
    Good,
    Neutral,
}

/// What a pager does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incident {
    /// Opens an incident, or adds to the one that is open.
    Trigger,
    /// Closes it.
    Resolve,
}

/// A message. Every text in it is plain and bounded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    /// Unique, and the same however often it is sent.
    pub(crate) id: String,
    /// What it is to machines: `sla.breached`.
    pub(crate) event: &'static str,
    /// When what it tells of happened: Unix seconds.
    pub(crate) at: u64,
    pub(crate) tone: Tone,
    pub(crate) title: String,
    pub(crate) lines: Vec<String>,
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) picture: Option<Picture>,
    pub(crate) link: Option<Link>,
    /// The outage it belongs to, and whether it is the first of it.
    pub(crate) thread: Option<(String, bool)>,
    /// What an incident is known by: the same for all that is told of one subject.
    pub(crate) key: String,
    pub(crate) incident: Incident,
    /// What it is about, in words for machines.
    pub(crate) data: Value,
}

/// Where more is to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) text: &'static str,
    pub(crate) url: String,
}

impl Link {
    fn new(settings: &NotifySettings, page: Option<&Page>) -> Option<Self> {
        let base = settings.link.as_deref()?;
        let (text, path) = match page? {
            Page::Run(id) => ("Open the run", format!("#/runs/{}", path(id))),
            Page::Sla(name) => ("Open the SLA", format!("sla/{}", path(name))),
            Page::Report(place) => ("Open the report", path(place.trim_start_matches('/'))),
        };
        Some(Self { text, url: format!("{base}/{path}") })
    }
}

/// What incidents of a subject are known by. Pagers allow 255 characters.
fn key(subject: &Subject) -> String {
    key_of(subject.kind(), subject.name())
}

fn key_of(kind: &str, name: &str) -> String {
    let key = format!("plimsoll/{kind}/{}", path(name));
    // Something is put behind it for what is no outage.
    if key.len() <= 240 {
        return key;
    }
    let digest = Sha256::digest(name.as_bytes());
    let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("plimsoll/{kind}/{digest}")
}

fn subject(of: &Subject) -> Value {
    json!({ "kind": of.kind(), "name": plain(of.name(), LINE) })
}

/// Where to look for what an outage is about: the first page that is known.
fn page_of(outage: &Outage) -> Option<&Page> {
    outage.broken.values().find_map(|broken| broken.page.as_ref())
}

fn promise(name: &str, broken: &Broken) -> Value {
    json!({
        "promise": plain(name, LINE),
        "objective": plain(&broken.objective, LINE),
        "severity": broken.severity.label(),
        "why": plain(&broken.why, LINE),
        "began": rfc3339(broken.began),
        "found": rfc3339(broken.found),
        "ended": broken.ended.map(rfc3339),
        "times": broken.times,
    })
}

/// What is told of an outage.
pub(crate) fn outage(id: String, news: News, outage: &Outage, settings: &NotifySettings) -> Message {
    let name = plain(outage.subject.name(), 80);
    let chosen: Vec<(&String, &Broken)> = match news {
        News::Began | News::Over => outage.broken.iter().collect(),
        News::More => outage.broken.iter().filter(|(_, broken)| !broken.told).collect(),
    };
    let names: Vec<String> = chosen.iter().map(|(name, _)| plain(name, 60)).collect();
    let all = names.len() as u64 + outage.beyond;
    let names = listed(names.iter().map(String::as_str), 4);
    let lasted = outage.ended().unwrap_or(outage.began).saturating_sub(outage.began);
    let title = match (news, all) {
        (News::Began, 1) => format!("{name} breaks its SLA: {names}"),
        (News::Began, _) => format!("{name} breaks {all} of its SLAs: {names}"),
        (News::More, 1) => format!("{name} breaks one more SLA: {names}"),
        (News::More, _) => format!("{name} breaks {all} more of its SLAs: {names}"),
        (News::Over, 1) => format!("{name} keeps its SLA again after {}: {names}", span(lasted)),
        (News::Over, _) => format!("{name} keeps its {all} SLAs again after {}: {names}", span(lasted)),
    };
    let mut lines: Vec<String> = chosen
        .iter()
        .take(LINES)
        .map(|(name, broken)| match (news, broken.ended) {
            (News::Over, Some(ended)) => {
                let again =
                    if broken.times > 1 { format!(", {} times", broken.times) } else { String::new() };
                let lasted = span(ended.saturating_sub(broken.began));
                format!("{name} ({}): broken for {lasted}{again}", broken.objective)
            }
            _ => format!("{name} ({}): {}, since {}", broken.objective, broken.why, moment(broken.began)),
        })
        .map(|line| plain(&line, LINE))
        .collect();
    if all > lines.len() as u64 {
        lines.push(format!("and {} more", all - lines.len() as u64));
    }
    let newest = chosen.iter().max_by_key(|(_, broken)| broken.found);
    let picture = newest.and_then(|(name, broken)| {
        Picture::new(plain(&format!("{name} in the seconds before it was found"), LINE), &broken.course)
    });
    let is_warning = chosen.iter().all(|(_, broken)| broken.severity == Severity::Warning);
    let at = match news {
        News::Began => outage.began,
        News::More => newest.map_or(outage.began, |(_, broken)| broken.began),
        News::Over => outage.ended().unwrap_or(outage.began),
    };
    Message {
        id,
        event: match news {
            News::Began | News::More => "sla.breached",
            News::Over => "sla.recovered",
        },
        at,
        tone: match news {
            News::Over => Tone::Good,
            News::Began | News::More if is_warning => Tone::Warning,
            News::Began | News::More => Tone::Bad,
        },
        title: plain(&title, TITLE),
        lines,
        facts: vec![
            (outage.subject.kind().to_owned(), name),
            ("since".to_owned(), moment(outage.began)),
            ("outage".to_owned(), outage.id.clone()),
        ],
        picture: picture.filter(|_| news != News::Over),
        link: Link::new(settings, page_of(outage)),
        thread: Some((outage.id.clone(), news == News::Began)),
        key: key(&outage.subject),
        incident: if news == News::Over { Incident::Resolve } else { Incident::Trigger },
        data: json!({
            "outage": outage.id,
            "subject": subject(&outage.subject),
            "began": rfc3339(outage.began),
            "ended": if news == News::Over { outage.ended().map(rfc3339) } else { None },
            "promises": chosen.iter().take(LINES).map(|(name, broken)| promise(name, broken)).collect::<Vec<_>>(),
            "promises_in_all": all,
        }),
    }
}

/// What is told of a run that is over.
pub(crate) fn run_ended(id: String, run: &RunEnded, settings: &NotifySettings) -> Message {
    let plan = plain(&run.plan, 80);
    let failing = |verdict: Verdict| {
        let is_meant =
            move |kept: &&crate::Kept| kept.verdict == verdict && kept.severity == Severity::Critical;
        run.objectives.iter().filter(is_meant).count() as u64
    };
    let title = match run.code {
        ExitCode::Success if run.objectives.is_empty() => format!("A run of {plan} ended well"),
        ExitCode::Success => format!("A run of {plan} met its objectives"),
        ExitCode::Missed => {
            format!("A run of {plan} missed {}", count(failing(Verdict::Missed), "objective"))
        }
        ExitCode::Undecided if run.validity.0 != "valid" => {
            format!("A run of {plan} says nothing: its generator was {}", run.validity.0)
        }
        ExitCode::Undecided => {
            format!(
                "A run of {plan} decided nothing: {} inconclusive",
                count(failing(Verdict::Inconclusive), "objective")
            )
        }
        ExitCode::Unreachable => format!("A run of {plan} got no answer"),
        ExitCode::Usage => format!("A run of {plan} could not be made"),
        ExitCode::Internal => format!("A run of {plan} failed by our own fault"),
        ExitCode::Interrupted => format!("A run of {plan} was interrupted"),
    };
    let mut lines: Vec<String> = run.reason.iter().map(|reason| plain(reason, LINE)).collect();
    let mut kept: Vec<&crate::Kept> = run.objectives.iter().collect();
    // What was not kept first: it is why somebody is told.
    kept.sort_by_key(|kept| match kept.verdict {
        Verdict::Missed => 0,
        Verdict::Inconclusive => 1,
        Verdict::Met => 2,
    });
    lines.extend(kept.iter().map(|kept| {
        let severity = if kept.severity == Severity::Warning { ", warning only" } else { "" };
        let line =
            format!("{}: {} ({}{severity}): {}", kept.verdict.label(), kept.name, kept.objective, kept.why);
        plain(&line, LINE)
    }));
    lines.extend(run.validity.1.iter().map(|reason| plain(&format!("generator: {reason}"), LINE)));
    cut(&mut lines);
    let texts = [
        ("target", Some(&run.target)),
        ("version", run.version.as_ref()),
        ("environment", run.environment.as_ref()),
    ];
    let mut facts: Vec<(String, String)> = texts
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), plain(value?, 200))))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    facts.extend(run.figures.iter().map(|(name, value)| ((*name).to_owned(), plain(value, 200))));
    if !run.run.is_empty() {
        facts.push(("generator".to_owned(), run.validity.0.to_owned()));
        facts.push(("run".to_owned(), plain(&run.run, 200)));
    }
    facts.extend(run.report.iter().map(|file| ("report".to_owned(), plain(file, LINE))));
    let highest = run.course.iter().flatten().copied().fold(0.0, f64::max);
    let succeeded = run.code == ExitCode::Success;
    Message {
        id,
        event: if succeeded { "run.succeeded" } else { "run.failed" },
        at: run.ended,
        tone: match run.code {
            ExitCode::Success => Tone::Good,
            ExitCode::Undecided | ExitCode::Interrupted => Tone::Warning,
            _ => Tone::Bad,
        },
        title: plain(&title, TITLE),
        picture: Picture::new(format!("p95 of response time, up to {}", human(highest)), &run.course),
        link: Link::new(settings, Some(&Page::Run(run.run.clone())).filter(|_| !run.run.is_empty())),
        thread: None,
        key: key(&Subject::Plan(run.plan.clone())),
        incident: if succeeded { Incident::Resolve } else { Incident::Trigger },
        data: json!({
            "plan": plan,
            "run": plain(&run.run, 200),
            "exit_code": run.code as u8,
            "reason": run.reason.as_deref().map(|reason| plain(reason, LINE)),
            "validity": run.validity.0,
            "objectives": kept.iter().take(LINES).map(|kept| json!({
                "name": plain(&kept.name, LINE),
                "objective": plain(&kept.objective, LINE),
                "severity": kept.severity.label(),
                "verdict": kept.verdict.label(),
                "why": plain(&kept.why, LINE),
            })).collect::<Vec<_>>(),
            "objectives_in_all": kept.len(),
        }),
        lines,
        facts,
    }
}

fn cut(lines: &mut Vec<String>) {
    let more = lines.len().saturating_sub(LINES);
    if more > 0 {
        lines.truncate(LINES);
        lines.push(format!("and {more} more"));
    }
}

/// What is told of a search for a limit that is over.
pub(crate) fn search_ended(id: String, search: &SearchEnded, settings: &NotifySettings) -> Message {
    let plan = plain(&search.plan, 80);
    let found = search.found.as_ref();
    let reason = search.reason.as_ref().map(|reason| plain(reason, LINE));
    let mut lines: Vec<String> = reason.iter().cloned().collect();
    if let Some(found) = found {
        lines.push(found.interval());
        lines.extend(limited_by(found).map(|text| plain(&text, LINE)));
        lines.extend(
            found.throughput.map(|rate| format!("{rate:.1} requests/s answered well at what was kept")),
        );
    }
    let texts = [
        ("target", Some(&search.target)),
        ("schedule", search.schedule.as_ref()),
        ("search", Some(&search.search)),
        ("report", search.report.as_ref()),
    ];
    let facts = texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), plain(value?, LINE))));
    let succeeded = search.code == ExitCode::Success;
    Message {
        id,
        event: if search.occasions().contains(&Occasion::Capacity) { "limit.found" } else { "limit.failed" },
        at: search.ended,
        tone: match search.code {
            ExitCode::Success => Tone::Good,
            ExitCode::Undecided | ExitCode::Interrupted => Tone::Warning,
            ExitCode::Internal | ExitCode::Usage | ExitCode::Missed | ExitCode::Unreachable => Tone::Bad,
        },
        title: plain(&search_title(&plan, search.code, found), TITLE),
        facts: facts.filter(|(_, value)| !value.is_empty()).collect(),
        picture: None,
        link: Link::new(settings, search.page.as_ref()),
        thread: None,
        key: format!("{}/limit", key(&Subject::Plan(search.plan.clone()))),
        incident: if succeeded { Incident::Resolve } else { Incident::Trigger },
        data: json!({
            "plan": plan,
            "search": plain(&search.search, 200),
            "schedule": search.schedule.as_deref().map(|schedule| plain(schedule, 200)),
            "exit_code": search.code as u8,
            "reason": reason,
            "breaking_point": found.map(breaking_point),
        }),
        lines,
    }
}

/// What a search came to, in a few words.
fn search_title(plan: &str, code: ExitCode, found: Option<&BreakingPoint>) -> String {
    let search = format!("A search for the limit of {plan}");
    match (code, found) {
        (ExitCode::Unreachable, _) => format!("{search} got no answer"),
        (ExitCode::Usage, None) => format!("{search} could not be made"),
        (ExitCode::Usage, Some(_)) => format!("{search} could not go on"),
        (ExitCode::Internal, _) => format!("{search} failed by our own fault"),
        (ExitCode::Interrupted, _) => format!("{search} was interrupted"),
        (ExitCode::Success, None) => format!("{search} ended well"),
        (ExitCode::Missed | ExitCode::Undecided, None) => format!("{search} found none"),
        (ExitCode::Success | ExitCode::Missed | ExitCode::Undecided, Some(found)) => {
            let beyond = match code {
                ExitCode::Missed => "; too little is left beyond it",
                ExitCode::Undecided => "; what is left beyond it is not sure",
                _ => "",
            };
            match (found.low, found.high) {
                _ if found.is_ours() => format!("{search} told little: this machine was at its end first"),
                (None, Some(high)) => format!("{plan} kept not even {}", found.amount(high)),
                (Some(low), Some(high)) if !found.is_sure => format!(
                    "The limit of {plan} is not sure: from {} to {}",
                    found.amount(low),
                    found.amount(high)
                ),
                (Some(low), Some(_)) => {
                    format!("The limit of {plan} is {}{beyond}", found.amount(found.limit.unwrap_or(low)))
                }
                (Some(low), None) => {
                    format!("{plan} kept {}, the most that was tried{beyond}", found.amount(low))
                }
                (None, None) => format!("{search} found none"),
            }
        }
    }
}

fn limited_by(found: &BreakingPoint) -> Option<String> {
    let who = match found.side.as_deref()? {
        who @ ("target" | "network") => format!("the {who}"),
        "generator" => "the machine that searched".to_owned(),
        resource => format!("the target's {resource}"),
    };
    let symptom = found.symptom.as_ref().map(|symptom| format!(": {symptom}")).unwrap_or_default();
    Some(format!("limited by {who}{symptom}"))
}

fn breaking_point(found: &BreakingPoint) -> Value {
    json!({
        "unit": if found.is_users { "users" } else { "per_second" },
        "sure": found.is_sure,
        "limit": found.limit,
        "low": found.low,
        "high": found.high,
        "max_throughput": found.throughput,
        "limited_by": found.side.as_deref().map(|side| plain(side, 200)),
        "first_symptom": found.symptom.as_deref().map(|symptom| plain(symptom, LINE)),
    })
}

/// What is told of a report that was made, or was not.
pub(crate) fn report_ended(id: String, report: &ReportEnded, settings: &NotifySettings) -> Message {
    let (schedule, words) = (plain(&report.schedule, 200), plain(&report.words, LINE));
    let (kind, of) = match &report.of {
        ReportOf::Capacity { plan } => ("capacity", format!("the capacity of {}", plain(plan, 80))),
        ReportOf::Slas { month } => ("sla", format!("SLAs in {}", plain(month, 80))),
    };
    let made = if report.is_made { "was made" } else { "was not made" };
    Message {
        id,
        event: if report.is_made { "report.made" } else { "report.failed" },
        at: report.ended,
        tone: if report.is_made { Tone::Good } else { Tone::Warning },
        title: plain(&format!("A report of {of} {made}"), TITLE),
        facts: vec![("schedule".to_owned(), schedule.clone())],
        picture: None,
        link: Link::new(settings, report.page.as_ref()),
        thread: None,
        key: key_of("schedule", &report.schedule),
        incident: if report.is_made { Incident::Resolve } else { Incident::Trigger },
        data: json!({
            "schedule": schedule,
            "kind": kind,
            "plan": match &report.of {
                ReportOf::Capacity { plan } => Some(plain(plan, 80)),
                ReportOf::Slas { .. } => None,
            },
            "month": match &report.of {
                ReportOf::Capacity { .. } => None,
                ReportOf::Slas { month } => Some(plain(month, 80)),
            },
            "words": words,
        }),
        lines: vec![words],
    }
}

/// What is told of a regression.
pub(crate) fn regression(id: String, found: &Regression, settings: &NotifySettings) -> Message {
    let name = plain(found.subject.name(), 80);
    let mut lines: Vec<String> = found.worse.iter().map(|line| plain(line, LINE)).collect();
    cut(&mut lines);
    Message {
        id,
        event: "regression.found",
        at: found.at,
        tone: Tone::Warning,
        title: plain(
            &format!("{name} became worse: {}", count(found.worse.len() as u64, "regression")),
            TITLE,
        ),
        facts: vec![
            (found.subject.kind().to_owned(), name),
            ("compared with".to_owned(), plain(&found.baseline, 200)),
        ],
        picture: None,
        link: Link::new(settings, found.page.as_ref()),
        thread: None,
        key: format!("{}/regression", key(&found.subject)),
        incident: Incident::Trigger,
        data: json!({
            "subject": subject(&found.subject),
            "baseline": plain(&found.baseline, 200),
            "worse": lines,
        }),
        lines,
    }
}

/// What is told of a limit that comes near.
pub(crate) fn capacity(id: String, news: &CapacityNews, settings: &NotifySettings) -> Message {
    let name = plain(news.subject.name(), 80);
    let facts: Vec<(String, String)> =
        news.figures.iter().take(LINES).map(|(name, value)| (plain(name, 80), plain(value, 200))).collect();
    let figures: serde_json::Map<String, Value> =
        facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    Message {
        id,
        event: "capacity.low",
        at: news.at,
        tone: Tone::Warning,
        title: plain(&format!("{name} comes near its limit"), TITLE),
        lines: vec![plain(&news.why, LINE)],
        facts,
        picture: None,
        link: Link::new(settings, news.page.as_ref()),
        thread: None,
        key: format!("{}/capacity", key(&news.subject)),
        incident: Incident::Trigger,
        data: json!({ "subject": subject(&news.subject), "why": plain(&news.why, LINE), "figures": figures }),
    }
}

/// A message that says that messages come.
pub(crate) fn test(id: String, at: u64, receiver: &str, settings: &NotifySettings) -> Message {
    let on = "this is what a message looks like; nothing has happened";
    Message {
        id,
        event: "test",
        at,
        tone: Tone::Neutral,
        title: "Plimsoll can reach you: this is a test".to_owned(),
        lines: vec![on.to_owned()],
        facts: vec![("receiver".to_owned(), plain(receiver, 200))],
        picture: Picture::new("a course, as an example", &[1.0, 2.0, 3.0, 5.0, 8.0, 5.0, 3.0, 2.0].map(Some)),
        link: settings.link.as_ref().map(|url| Link { text: "Open Plimsoll", url: format!("{url}/") }),
        thread: None,
        key: "plimsoll/test".to_owned(),
        incident: Incident::Trigger,
        data: json!({ "receiver": plain(receiver, 200) }),
    }
}

/// What was not told one by one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HeldBack {
    pub(crate) messages: u64,
    pub(crate) since: u64,
    /// The titles of the first, with when.
    pub(crate) first: Vec<String>,
}

/// What is told in place of what would have been too much.
pub(crate) fn held_back(id: String, at: u64, held: &HeldBack, at_most: u32) -> Message {
    let mut lines = held.first.clone();
    let more = held.messages.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    Message {
        id,
        event: "held_back",
        at,
        tone: Tone::Warning,
        title: format!("{} held back since {}", count(held.messages, "message"), moment(held.since)),
        lines,
        facts: vec![("at most".to_owned(), format!("{at_most} messages an hour"))],
        picture: None,
        link: None,
        thread: None,
        key: "plimsoll/held-back".to_owned(),
        incident: Incident::Trigger,
        data: json!({ "messages": held.messages, "since": rfc3339(held.since), "first": held.first }),
    }
}

/// The title of a message with when it was, for a list.
pub(crate) fn entry(message: &Message) -> String {
    plain(&format!("{} {}", moment(message.at), message.title), LINE)
}

/// Of what a message is.
pub(crate) fn occasion(news: News) -> Occasion {
    match news {
        News::Began | News::More => Occasion::Breach,
        News::Over => Occasion::Recovery,
    }
}

/// What is told when things happened faster than they could be taken.
pub(crate) fn missed(id: String, at: u64, things: u64) -> Message {
    Message {
        id,
        event: "missed",
        at,
        tone: Tone::Warning,
        title: format!("{} could not be told: too much happened at once", count(things, "thing")),
        lines: vec!["what stands on the pages of the service is whole".to_owned()],
        facts: Vec::new(),
        picture: None,
        link: None,
        thread: None,
        key: "plimsoll/missed".to_owned(),
        incident: Incident::Trigger,
        data: json!({ "things": things }),
    }
}
