//! `plimsoll hit`: a plan in flags, for a quick look.
//!
//! The flags become the text of a plan, and that text is read, run and recorded like any other, so that
//! what was looked at quickly can be written down with `--print-plan` and be grown.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use plimsoll_exporters::LiveMetrics;
use plimsoll_run::ExitCode;
use plimsoll_runner::Control;
use plimsoll_units::duration;

use crate::arguments::HitArguments;
use crate::plan::Changes;
use crate::run::{Begin, conclude, default_workers, offer};
use crate::{Outcome, Stop, files, plan, signals};

/// What hey and oha send when nothing is said.
const REQUESTS: u64 = 200;
const USERS: u32 = 50;

/// The methods that a step of a plan can have.
const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

/// The longest name that a plan may have.
const LONGEST_NAME: usize = 200;

pub(crate) async fn hit(arguments: HitArguments) -> Outcome {
    let body = match &arguments.body_file {
        Some(path) => Some(literal(&text_of(path)?)),
        None => arguments.body.clone(),
    };
    let text = plan_text(&arguments, body.as_deref()).map_err(Stop::usage)?;
    let parsed = plan::parse("these flags as a plan", text.clone(), Path::new("."), Changes::default())?;
    if arguments.print_plan {
        return files::put(Path::new("-"), &text).map(|()| ExitCode::Success).map_err(Stop::internal);
    }
    let history = match arguments.no_history {
        true => None,
        false => Some(files::history(&arguments.history).await?),
    };
    let control = Control::default();
    let stopper = control.clone();
    let _signals = signals::on_interrupt(move || stopper.stop()).map_err(Stop::internal)?;
    let finished = offer(
        Arc::new(parsed.plan),
        Begin::default(),
        arguments.workers.map_or_else(default_workers, usize::from),
        // A quick look begins at once.
        None,
        history.as_ref(),
        Arc::new(LiveMetrics::new()),
        &arguments.output,
        &control,
        Vec::new(),
        |_| {},
    )
    .await?;
    let code = ExitCode::of_run(&finished.state.summary(), false);
    conclude(finished, history.as_ref(), &arguments.output, plimsoll_report::quick_text)
        .await
        .map(|recorded| if recorded { code } else { ExitCode::Internal })
}

/// The text of a file that is sent as it is.
fn text_of(path: &Path) -> Result<String, Stop> {
    let named = || format!("cannot read the body {}", path.display());
    let bytes = std::fs::read(path).with_context(named).map_err(Stop::usage)?;
    String::from_utf8(bytes).map_err(|_| Stop::usage(anyhow!("the body {} is no UTF-8 text", path.display())))
}

/// A text that a plan takes for itself, whatever stands in it.
fn literal(text: &str) -> String {
    text.replace("${", "$${").replace("{{", r#"{{ "{{" }}"#)
}

/// The plan that the flags stand for.
fn plan_text(arguments: &HitArguments, body: Option<&str>) -> anyhow::Result<String> {
    let (target, path) = parts(&arguments.url)?;
    let method = arguments.method.as_deref().unwrap_or(if body.is_some() { "post" } else { "get" });
    let method = method.to_ascii_lowercase();
    if !METHODS.contains(&method.as_str()) {
        let shown: String = method.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(anyhow!("`{shown}` is not one of the methods {}", METHODS.join(", ").to_uppercase()));
    }
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{line}");
    };
    line(format!("name: {}", quoted(&name(&method, &target, &path))));
    line(format!("target: {}", quoted(&target)));
    line("load:".to_owned());
    let (model, stage) = load(arguments);
    line(format!("  model: {model}"));
    line(format!("  stages: [{{ {stage} }}]"));
    let http = http(arguments);
    if !http.is_empty() {
        line(format!("http: {{ {} }}", http.join(", ")));
    }
    if arguments.insecure {
        line("tls: { insecure: true }".to_owned());
    }
    if let Some((user, password)) =
        arguments.basic.as_deref().map(|basic| basic.split_once(':').unwrap_or((basic, "")))
    {
        line(format!("auth: {{ basic: {{ username: {}, password: {} }} }}", quoted(user), quoted(password)));
    }
    line("scenarios:".to_owned());
    line("  - name: hit".to_owned());
    line("    steps:".to_owned());
    line(format!("      - {method}: {}", quoted(&path)));
    let content_type = arguments.content_type.iter().map(|value| ("content-type".to_owned(), value.clone()));
    let headers: Vec<_> = arguments.headers.iter().cloned().chain(content_type).collect();
    if !headers.is_empty() {
        line("        headers:".to_owned());
        headers
            .iter()
            .for_each(|(name, value)| line(format!("          {}: {}", quoted(name), quoted(value))));
    }
    if let Some(body) = body {
        line(format!("        body: {}", quoted(body)));
    }
    Ok(text)
}

/// Users who ask a number of times or for a time; with a rate arrivals, as many or for as long.
fn load(arguments: &HitArguments) -> (&'static str, String) {
    let requests = arguments.requests.unwrap_or(REQUESTS);
    let length = arguments.length.map(duration::format);
    match (arguments.rate, length) {
        (Some(rate), Some(length)) => ("open", format!("hold: {rate}, for: {length}")),
        (Some(rate), None) => {
            // Rounded down: the last of n arrivals is due at (n - 1) / rate, and the next is not to be due any more.
            let nanos = requests as f64 / rate.per_second() * 1e9;
            let length = Duration::from_nanos((nanos as u64).max(1)).min(duration::LONGEST);
            ("open", format!("hold: {rate}, for: {}", duration::format(length)))
        }
        (None, length) => {
            let users = arguments.concurrency.unwrap_or(USERS);
            let (users, until) = match length {
                Some(length) => (users, format!("for: {length}")),
                // A user without a request to make would only be one more to count.
                None => {
                    let most = u32::try_from(requests).unwrap_or(u32::MAX);
                    (users.min(most), format!("iterations: {requests}"))
                }
            };
            ("closed", format!("hold: {users} users, {until}"))
        }
    }
}

fn http(arguments: &HitArguments) -> Vec<String> {
    let version = arguments.http2.then(|| "version: \"2\"".to_owned());
    let connections = arguments.concurrency.filter(|_| arguments.rate.is_some());
    let connections = connections.map(|connections| format!("connections: {connections}"));
    let timeout = arguments.timeout.map(|timeout| format!("timeout: {}", duration::format(timeout)));
    [version, connections, timeout].into_iter().flatten().collect()
}

/// A URL as the target and what is asked of it.
fn parts(url: &str) -> anyhow::Result<(String, String)> {
    let url = url.trim();
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.is_empty() {
        return Err(anyhow!("the URL has no host; write one like http://127.0.0.1:8080/products"));
    }
    // What stands behind `#` is for browsers and never sent.
    let rest = rest.split('#').next().unwrap_or_default();
    let slash = if rest.starts_with('/') { "" } else { "/" };
    Ok((format!("{scheme}://{authority}"), format!("{slash}{rest}")))
}

/// What the plan is called: the method and the URL, without credentials, query and what is filled in.
fn name(method: &str, target: &str, path: &str) -> String {
    let authority = target.split_once("://").map_or(target, |(_, authority)| authority);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = path.split(['?', '$', '{']).next().unwrap_or_default();
    let name = format!("{} {host}{path}", method.to_ascii_uppercase());
    let host_is_known = !host.contains(['$', '{']);
    let name = if host_is_known { name } else { method.to_ascii_uppercase() };
    name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect::<String>().trim_end().to_owned()
}

/// A text in YAML's double quotes, whatever stands in it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            // YAML takes few characters that are not printed as they are, and editors show fewer.
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser as _;
    use plimsoll_run::{Action, Body, LoadModel, RunPlan};
    use plimsoll_spec::{Inputs, Source};
    use proptest::prelude::*;

    fn flags(flags: &[&str]) -> HitArguments {
        let arguments = Arguments::try_parse_from(["plimsoll", "hit"].iter().chain(flags)).unwrap();
        match arguments.command {
            Command::Hit(arguments) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    fn text(arguments: &[&str]) -> String {
        let arguments = flags(arguments);
        plan_text(&arguments, arguments.body.as_deref()).unwrap()
    }

    fn parsed(text: &str) -> RunPlan {
        let env = |name: &str| (name == "TOKEN").then(|| "abc".to_owned());
        let none = |_: &str| Err("no file".to_owned());
        let source = Source { name: "flags".to_owned(), text: text.to_owned() };
        plimsoll_spec::parse(&source, &Inputs::new(&env, &none))
            .unwrap_or_else(|wrong| panic!("{text}\n{wrong:?}"))
            .plan
    }

    #[test]
    fn flags_stand_for_a_plan() {
        let check = |flags: &[&str], expected: &str| assert_eq!(text(flags), expected, "{flags:?}");
        check(
            &["127.0.0.1:8080"],
            r#"name: "GET 127.0.0.1:8080/"
target: "http://127.0.0.1:8080"
load:
  model: closed
  stages: [{ hold: 50 users, iterations: 200 }]
scenarios:
  - name: hit
    steps:
      - get: "/"
"#,
        );
        check(
            &[
                "https://me:secret@shop.test/cart?x=1#top",
                "-c20",
                "-r",
                "100",
                "-d10s",
                "-t1s",
                "-k",
                "--http2",
                "-H",
                "Accept:  text/plain",
                "-b",
                r#"{"a": "b"}"#,
                "-T",
                "application/json",
            ],
            r#"name: "POST shop.test/cart"
target: "https://me:secret@shop.test"
load:
  model: open
  stages: [{ hold: 100/s, for: 10s }]
http: { version: "2", connections: 20, timeout: 1s }
tls: { insecure: true }
scenarios:
  - name: hit
    steps:
      - post: "/cart?x=1"
        headers:
          "accept": "text/plain"
          "content-type": "application/json"
        body: "{\"a\": \"b\"}"
"#,
        );
    }

    #[test]
    fn how_much_is_asked() {
        let load = |more: &[&str]| load(&flags(&[&["http://a.test/"], more].concat()));
        for (flags, model, stage) in [
            (&["-n", "10"][..], "closed", "hold: 10 users, iterations: 10"),
            (&["-n", "1000", "-c", "7"], "closed", "hold: 7 users, iterations: 1000"),
            (&["-n", "10", "-d", "1m"], "closed", "hold: 50 users, for: 1m"),
            (&["-z", "1m"], "closed", "hold: 50 users, for: 1m"),
            (&["-r", "100"], "open", "hold: 100/s, for: 2s"),
            (&["-r", "3/s", "-n", "1"], "open", "hold: 3/s, for: 333ms333us333ns"),
            (&["-r", "30/min", "-d", "1h"], "open", "hold: 0.5/s, for: 1h"),
        ] {
            assert_eq!(load(flags), (model, stage.to_owned()), "{flags:?}");
        }
        for wrong in [["-r", "0"], ["-d", "0"], ["-n", "0"], ["-c", "0"], ["-d", "10"], ["-t", "0"]] {
            let flags = ["plimsoll", "hit", "http://a.test/"].iter().chain(&wrong);
            assert!(Arguments::try_parse_from(flags).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_rate_asks_as_often_as_was_said() {
        for rate in ["0.3", "1", "3", "7", "30", "333", "4999.5", "70k/s"] {
            for requests in ["1", "2", "199", "200", "12345"] {
                let plan = parsed(&text(&["http://a.test/", "-r", rate, "-n", requests]));
                let LoadModel::Open { stages, spacing, .. } = &plan.load.model else { panic!("it is open") };
                let profile = Arc::new(plimsoll_workload::RateProfile::new(stages));
                let arrivals = plimsoll_workload::Arrivals::new(profile, *spacing, 1).count();
                assert_eq!(arrivals.to_string(), requests, "at {rate}");
            }
        }
    }

    #[test]
    fn what_is_typed_means_what_it_means_in_a_plan() {
        let plan = parsed(&text(&["http://a.test/{{ iteration }}", "-H", "authorization: Bearer ${TOKEN}"]));
        assert_eq!(plan.name, "GET a.test/");
        assert!(!plan.text.contains("abc"), "{}", plan.text);
        let basic = parsed(&text(&["http://a.test/", "-a", "me:pass:word"]));
        assert!(basic.http.headers.iter().any(|header| header.name == "authorization" && header.secret));
    }

    #[test]
    fn what_cannot_be_asked_is_told() {
        for (url, flags) in [("", &[][..]), ("http://", &[]), ("http://a.test", &["-m", "BREW"])] {
            let arguments = self::flags(&[&[url], flags].concat());
            assert!(plan_text(&arguments, None).is_err(), "{url} {flags:?}");
        }
    }

    proptest! {
        /// Whatever a file holds is sent as it is.
        #[test]
        fn a_file_is_sent_as_it_is(body in "([ -~]|[${}\"\\\\\n\t#:é\u{7f}\u{2028}]){1,60}") {
            let arguments = flags(&["http://a.test/", "-m", "put"]);
            let plan = parsed(&plan_text(&arguments, Some(&literal(&body))).unwrap());
            let Action::Request(request) = &plan.scenarios[0].actions[0] else { panic!("it asks") };
            let sent: String = request.body.iter().flat_map(Body::templates).flat_map(|body| &body.parts).map(|part| match part {
                plimsoll_run::Part::Text(text) => text.as_str(),
                other => panic!("{other:?}"),
            }).collect();
            prop_assert_eq!(sent, body);
        }
    }
}
