//! What people and programs read, against files: `UPDATE_GOLDEN=1` writes them anew.

use std::path::Path;

use plimsoll_run::{EmailSettings, ExitCode, MailTls, NotifySettings};
use plimsoll_sla::{Severity, Verdict};

use crate::message::{self, HeldBack, Message};
use crate::outage::Outages;
use crate::send::{Remark, remarks};
use crate::{
    Breach, BreakingPoint, CapacityNews, Kept, Page, Recovery, Regression, ReportEnded, ReportOf, RunEnded,
    SearchEnded, Subject, mail, pagerduty, slack, teams, webhook,
};

const START: u64 = 1_700_000_000;

/// What somebody may write where a name is asked for.
const HOSTILE: &str =
    "<!channel> *bold* [x](http://evil.example) <script>alert(1)</script>\r\nBcc: all@example.com \u{202E}";

fn settings() -> NotifySettings {
    NotifySettings { link: Some("https://plimsoll.example".to_owned()), ..NotifySettings::default() }
}

fn breach(promise: &str, objective: &str, why: &str) -> Breach {
    Breach {
        subject: Subject::Service("checkout".to_owned()),
        promise: promise.to_owned(),
        objective: objective.to_owned(),
        began: START,
        found: START + 4,
        why: why.to_owned(),
        severity: Severity::Critical,
        course: [0.1, 0.1, 0.12, 0.11, 0.3, 0.41, 0.4].map(Some).to_vec(),
        page: Some(Page::Sla("checkout latency".to_owned())),
    }
}

fn run(code: ExitCode, plan: &str) -> RunEnded {
    let kept = |name: &str, verdict, why: &str| Kept {
        name: name.to_owned(),
        objective: "p95(response_time) <= 250ms".to_owned(),
        verdict,
        severity: Severity::Critical,
        why: why.to_owned(),
    };
    let verdict = if code == ExitCode::Success { Verdict::Met } else { Verdict::Missed };
    RunEnded {
        plan: plan.to_owned(),
        run: "018c-2f".to_owned(),
        ended: START + 300,
        code,
        reason: None,
        target: "https://shop.example".to_owned(),
        version: Some("1.4.2".to_owned()),
        environment: Some("staging".to_owned()),
        validity: ("valid", Vec::new()),
        objectives: vec![
            kept("few errors", Verdict::Met, "0.02% of 150000 requests failed"),
            kept("quick pages", verdict, "93.1% of 150000 requests took at most 250 ms"),
        ],
        figures: vec![("requests", "150000".to_owned()), ("p95 response time", "412 ms".to_owned())],
        course: [0.2, 0.21, 0.2, 0.4, 0.5, 0.3].map(Some).to_vec(),
        report: Some("/home/ann/run.html".to_owned()),
    }
}

fn search(code: ExitCode, found: Option<BreakingPoint>) -> SearchEnded {
    SearchEnded {
        plan: "storefront".to_owned(),
        search: "018c-5a".to_owned(),
        schedule: Some("weekly".to_owned()),
        ended: START + 90,
        code,
        reason: None,
        target: "https://shop.example".to_owned(),
        found,
        report: None,
        page: Some(Page::Report("/api/v1/reports/weekly/2023-11-14T22-13-20.000Z.html".to_owned())),
    }
}

fn point() -> BreakingPoint {
    BreakingPoint {
        is_users: false,
        is_sure: true,
        low: Some(779.06),
        high: Some(793.3),
        limit: Some(786.18),
        throughput: Some(778.9),
        side: Some("target".to_owned()),
        symptom: Some("the queue grows: 17 ms more response time with every second".to_owned()),
    }
}

fn report(is_made: bool, of: ReportOf, words: &str) -> ReportEnded {
    let page = "/api/v1/reports/headroom/2023-11-14T22-13-20.000Z.html".to_owned();
    ReportEnded {
        schedule: "headroom".to_owned(),
        of,
        ended: START + 4,
        is_made,
        words: words.to_owned(),
        page: is_made.then_some(Page::Report(page)),
    }
}

/// One message of each kind, by the name of its files.
fn messages() -> Vec<(&'static str, Message)> {
    let settings = settings();
    let id = || "msg_018c2f_1".to_owned();
    let mut outages = Outages::new(&settings);
    let passed = std::time::Duration::from_secs;
    let quick =
        breach("quick pages", "p95(response_time) <= 250ms", "93.1% of 8000 requests took at most 250 ms");
    outages.breach(quick, passed(0), || "out_018c2f_1".to_owned());
    outages.breach(
        breach("few errors", "error_ratio <= 0.1%", "2% of 8000 requests failed"),
        passed(1),
        String::new,
    );
    let began = outages.due(passed(5));
    for promise in ["quick pages", "few errors"] {
        let subject = Subject::Service("checkout".to_owned());
        outages.recovery(&Recovery { subject, promise: promise.to_owned(), ended: START + 723 }, passed(723));
    }
    let over = outages.due(passed(753));
    let outage = |told: &[(crate::outage::News, crate::outage::Outage)]| {
        told.first().map(|(news, outage)| message::outage(id(), *news, outage, &settings)).unwrap()
    };
    let hostile = RunEnded {
        reason: Some(HOSTILE.to_owned()),
        target: HOSTILE.to_owned(),
        ..run(ExitCode::Missed, HOSTILE)
    };
    let unmade = SearchEnded {
        reason: Some("was refused: error: the disk is full".to_owned()),
        page: None,
        ..search(ExitCode::Usage, None)
    };
    let held = HeldBack {
        messages: 12,
        since: START,
        first: vec!["2023-11-14 22:13:20 UTC checkout breaks its SLA".to_owned()],
    };
    vec![
        ("breach", outage(&began)),
        ("recovery", outage(&over)),
        ("failure", message::run_ended(id(), &run(ExitCode::Missed, "storefront"), &settings)),
        ("success", message::run_ended(id(), &run(ExitCode::Success, "storefront"), &settings)),
        ("hostile", message::run_ended(id(), &hostile, &settings)),
        ("limit", message::search_ended(id(), &search(ExitCode::Success, Some(point())), &settings)),
        ("limit_failed", message::search_ended(id(), &unmade, &settings)),
        (
            "report",
            message::report_ended(
                id(),
                &report(true, ReportOf::Capacity { plan: "storefront".to_owned() }, "was written"),
                &settings,
            ),
        ),
        (
            "report_failed",
            message::report_ended(
                id(),
                &report(
                    false,
                    ReportOf::Slas { month: "2023-10".to_owned() },
                    "was not written (exit code 2): error: nothing is kept of SLAs in 2023-10",
                ),
                &settings,
            ),
        ),
        (
            "regression",
            message::regression(
                id(),
                &Regression {
                    subject: Subject::Plan("storefront".to_owned()),
                    at: START,
                    baseline: "run 018c-1a of version 1.4.1".to_owned(),
                    worse: vec!["p95(response_time) is 12% longer: 280 ms after 250 ms".to_owned()],
                    page: Some(Page::Run("018c-2f".to_owned())),
                },
                &settings,
            ),
        ),
        (
            "capacity",
            message::capacity(
                id(),
                &CapacityNews {
                    subject: Subject::Plan("storefront".to_owned()),
                    at: START,
                    why: "traffic reaches the limit on 2024-03-01".to_owned(),
                    figures: vec![
                        ("limit".to_owned(), "812/s".to_owned()),
                        ("headroom".to_owned(), "18%".to_owned()),
                    ],
                    page: None,
                },
                &settings,
            ),
        ),
        ("test", message::test(id(), START, "team", &settings)),
        ("held_back", message::held_back(id(), START + 3600, &held, 30)),
    ]
}

fn email() -> EmailSettings {
    EmailSettings {
        host: "smtp.example".to_owned(),
        port: 587,
        tls: MailTls::Starttls,
        login: None,
        from: "plimsoll@shop.example".to_owned(),
        to: vec!["ops@shop.example".to_owned(), "ann@shop.example".to_owned()],
    }
}

fn check(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == found, "{name} differs; read the difference after UPDATE_GOLDEN=1:\n{found}");
}

fn pretty(body: &serde_json::Value) -> String {
    format!("{body:#}\n")
}

#[test]
fn every_form_of_every_message_is_as_it_was() {
    for (name, message) in messages() {
        let none: &[Remark] = &[];
        check(&format!("slack/{name}.json"), &pretty(&slack::body(&message, none)));
        check(&format!("teams/{name}.json"), &pretty(&teams::body(&message, none)));
        check(&format!("pagerduty/{name}.json"), &pretty(&pagerduty::body(&message, none, "KEY")));
        check(&format!("webhook/{name}.json"), &pretty(&webhook::body(&message, none)));
        let mail = mail::mail(&message, none, &email(), mail::date(START + 310)).unwrap();
        check(&format!("email/{name}.eml"), &String::from_utf8(mail.formatted()).unwrap());
    }
}

#[test]
fn what_is_late_and_what_was_lost_is_said_in_every_form() {
    let (_, message) = messages().remove(0);
    let said = remarks(&message, 3, START + 4000);
    assert_eq!(said.len(), 2);
    let mail = mail::mail(&message, &said, &email(), mail::date(START + 4000)).unwrap();
    for form in [
        slack::body(&message, &said).to_string(),
        teams::body(&message, &said).to_string(),
        pagerduty::body(&message, &said, "KEY").to_string(),
        webhook::body(&message, &said).to_string(),
        String::from_utf8(mail.formatted()).unwrap().replace("=\r\n", ""),
    ] {
        assert!(form.contains("told 1h6m40s after it happened"), "{form}");
        assert!(form.contains("3 messages before this one could not be delivered"), "{form}");
    }
    assert_eq!(remarks(&message, 0, START + 20), []);
}

/// The limits that Slack's reference of Block Kit states.
#[test]
fn slack_takes_every_message() {
    for (name, message) in messages() {
        let body = slack::body(&message, &[]);
        let blocks = body["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50, "{name}");
        for block in blocks {
            let length =
                |value: &serde_json::Value| value["text"].as_str().map_or(0, |text| text.chars().count());
            match block["type"].as_str().unwrap() {
                "header" => assert!((1..=150).contains(&length(&block["text"])), "{name}"),
                "section" if block.get("fields").is_some() => {
                    let fields = block["fields"].as_array().unwrap();
                    assert!(
                        fields.len() <= 10 && fields.iter().all(|field| (1..=2000).contains(&length(field))),
                        "{name}"
                    );
                }
                "section" => assert!((1..=3000).contains(&length(&block["text"])), "{name}"),
                "context" => assert!(block["elements"].as_array().unwrap().len() <= 10, "{name}"),
                other => panic!("{name}: {other}"),
            }
        }
    }
}

/// What the reference of PagerDuty's Events API v2 states of an event.
#[test]
fn pagerduty_takes_every_message() {
    for (name, message) in messages() {
        let event = pagerduty::body(&message, &[], "KEY");
        assert!(["trigger", "resolve"].contains(&event["event_action"].as_str().unwrap()), "{name}");
        assert!(event["dedup_key"].as_str().unwrap().len() <= 255, "{name}");
        assert!(event["payload"]["summary"].as_str().unwrap().chars().count() <= 1024, "{name}");
        let severity = event["payload"]["severity"].as_str().unwrap();
        assert!(["critical", "error", "warning", "info"].contains(&severity), "{name}");
        assert!(event.to_string().len() < 512 * 1024, "{name}");
    }
    let long = Subject::Service("é".repeat(300));
    let breach = Breach { subject: long, ..breach("p", "o", "w") };
    let mut outages = Outages::new(&settings());
    outages.breach(breach, std::time::Duration::ZERO, || "out".to_owned());
    let told = outages.due(std::time::Duration::from_secs(5));
    let message = message::outage("m".to_owned(), told[0].0, &told[0].1, &settings());
    assert!(message.key.len() <= 255, "{}", message.key);
}

#[test]
fn the_title_of_a_search_says_what_it_came_to() {
    let titled = |code, found| message::search_ended(String::new(), &search(code, found), &settings()).title;
    let users =
        || BreakingPoint { is_users: true, low: Some(23.0), high: Some(24.0), limit: Some(23.0), ..point() };
    for (code, found, title) in [
        (ExitCode::Success, Some(point()), "The limit of storefront is 786.2 arrivals/s"),
        (ExitCode::Success, Some(users()), "The limit of storefront is 23 users"),
        (
            ExitCode::Success,
            Some(BreakingPoint { high: None, ..point() }),
            "storefront kept 779.1 arrivals/s, the most that was tried",
        ),
        (
            ExitCode::Missed,
            Some(BreakingPoint { low: None, limit: None, ..point() }),
            "storefront kept not even 793.3 arrivals/s",
        ),
        (
            ExitCode::Missed,
            Some(point()),
            "The limit of storefront is 786.2 arrivals/s; too little is left beyond it",
        ),
        (
            ExitCode::Undecided,
            Some(point()),
            "The limit of storefront is 786.2 arrivals/s; what is left beyond it is not sure",
        ),
        (
            ExitCode::Undecided,
            Some(BreakingPoint { is_sure: false, ..point() }),
            "The limit of storefront is not sure: from 779.1 arrivals/s to 793.3 arrivals/s",
        ),
        (
            ExitCode::Undecided,
            Some(BreakingPoint { side: Some("generator".to_owned()), ..point() }),
            "A search for the limit of storefront told little: this machine was at its end first",
        ),
        (ExitCode::Undecided, None, "A search for the limit of storefront found none"),
        (ExitCode::Unreachable, Some(point()), "A search for the limit of storefront got no answer"),
        (ExitCode::Usage, Some(point()), "A search for the limit of storefront could not go on"),
        (ExitCode::Internal, None, "A search for the limit of storefront failed by our own fault"),
    ] {
        assert_eq!(titled(code, found), title, "{code:?}");
    }
}

/// The form of `plimsoll limit --json`.
#[test]
fn a_breaking_point_is_read_as_a_search_writes_it() {
    let read = |unit: &str, point: serde_json::Value| {
        let json = serde_json::json!({ "schema": 1, "unit": unit, "sure": true, "breaking_point": point });
        BreakingPoint::read(&json)
    };
    let open = serde_json::json!({
        "concurrent_users": 26.0, "rate": 786.18, "max_throughput": 778.9, "low": 779.06, "high": 793.3,
        "first_symptom": "the queue grows: 17 ms more response time with every second", "side": "target",
        "resource": null,
    });
    assert_eq!(read("per_second", open.clone()), Some(point()));
    // In the closed model `rate` is the throughput, and the limit are users.
    let users = read("users", open).unwrap();
    assert_eq!(
        (users.limit, users.interval().as_str()),
        (Some(779.06), "kept 779 users and missed 793 users")
    );
    let busy = serde_json::json!({ "low": 5.0, "high": null, "side": "resource", "resource": "pool" });
    let busy = read("per_second", busy).unwrap();
    assert_eq!(
        (busy.side.as_deref(), busy.interval().as_str()),
        (Some("pool"), "kept 5.0/s, and tried no more")
    );
    for nothing in
        [serde_json::json!({ "low": null, "high": null }), serde_json::json!({}), serde_json::Value::Null]
    {
        assert_eq!(read("per_second", nothing), None);
    }
}

#[test]
fn hostile_names_mean_nothing_anywhere() {
    let (_, message) = messages().into_iter().find(|(name, _)| *name == "hostile").unwrap();
    let body = slack::body(&message, &[]);
    assert!(!body["text"].as_str().unwrap().contains('<'), "{body}");
    let markup: Vec<&str> = body["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|block| block["text"]["type"] == "mrkdwn")
        .map(|block| block["text"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(markup, ["<https://plimsoll.example/#/runs/018c-2f|Open the run>"]);
    let card = teams::body(&message, &[]).to_string();
    assert!(!card.contains("\"TextBlock\"") && !card.contains("FactSet"), "{card}");
    let mail = mail::mail(&message, &[], &email(), mail::date(START)).unwrap();
    let text = String::from_utf8(mail.formatted()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    assert!(!unfolded.lines().any(|line| line.to_lowercase().starts_with("bcc")), "{head}");
    let (_, html) = body.split_once("text/html").unwrap();
    assert!(!html.replace("=\r\n", "").contains("<script"), "{html}");
    assert!(mail.envelope().to().iter().all(|address| address.domain() == "shop.example"));
}
