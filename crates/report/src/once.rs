//! A plan tried out, request by request, for its author.

use plimsoll_measure::Timing;
use plimsoll_run::{Observed, StepShape};
use serde_json::{Value, json};

use crate::text::{Text, Tone, Writer};
use crate::{parts, words};

/// One part of a plan that was tried out.
#[derive(Debug, Clone, Copy)]
pub struct TriedOut<'a> {
    /// `setup`, a scenario's name, or `teardown`.
    pub name: &'a str,
    /// Its requests in the order they ended.
    pub observed: &'a [Observed],
    /// Why it did not end as it should, if so.
    pub failure: Option<&'a str>,
}

/// What was tried out as text for a terminal. `steps` are those of the plan.
pub fn once_text(tried: &[TriedOut<'_>], steps: &[StepShape], options: &Text) -> String {
    let mut out = Writer::new(options);
    for (index, part) in tried.iter().enumerate() {
        if index > 0 {
            out.line("");
        }
        let (tone, word) = match part.failure {
            None => (Tone::Good, "succeeded"),
            Some(_) => (Tone::Bad, "failed"),
        };
        let heading = out.toned(Tone::Strong, &words::plain(part.name));
        let word = out.toned(tone, word);
        out.line(&format!("{heading}  {word}"));
        part.observed.iter().for_each(|seen| request(&mut out, seen, steps));
        // Where a request failed it says so itself.
        if let Some(failure) =
            part.failure.filter(|_| part.observed.iter().all(|seen| seen.message.is_none()))
        {
            out.wrapped("  ", failure, Tone::Bad);
        }
    }
    out.finish()
}

fn request(out: &mut Writer, seen: &Observed, steps: &[StepShape]) {
    let Observed { exchange, sample, message, captures, checks, .. } = seen;
    let name = words::plain(name(seen, steps));
    out.line("");
    let ending = match (sample, message) {
        (Some(sample), None) => {
            out.toned(Tone::Good, &format!("✓ {}", sample.status.map_or_else(String::new, |s| s.to_string())))
        }
        (Some(sample), Some(_)) => {
            let outcome = sample.key.outcome.label().replace('_', " ");
            let status = sample.status.map_or_else(String::new, |status| format!("{status} "));
            out.toned(Tone::Bad, &format!("✗ {status}{outcome}"))
        }
        (None, _) => out.toned(Tone::Bad, "✗ not sent"),
    };
    let name = out.toned(Tone::Strong, &name);
    out.line(&format!("  {name}  {ending}"));
    if let Some(message) = message {
        out.wrapped("    ", message, Tone::Bad);
    }
    if let Some(sample) = sample {
        let seconds = |nanos: u64| words::seconds(Some(nanos as f64 / 1e9));
        let opened = [(Timing::ConnectTime, "connect"), (Timing::TlsTime, "TLS")];
        let opened = opened.into_iter().filter_map(|(timing, name)| Some((name, timing.of(sample)?)));
        let parts = parts::parts(sample).map(|part| (part.name, part.nanos));
        let parts = opened.chain(parts).map(|(name, nanos)| format!("{name} {}", seconds(nanos)));
        let took = seconds(sample.done.saturating_sub(sample.due));
        out.wrapped("    ", &format!("{took}: {}", parts.collect::<Vec<_>>().join(", ")), Tone::Soft);
    }
    out.line(&format!("    > {} {}", words::plain(&exchange.method), words::plain(&exchange.url)));
    let lines = |out: &mut Writer, sign: char, headers: &[(String, String)], body: Option<&str>| {
        for (name, value) in headers {
            out.line(&format!("    {sign} {}: {}", words::plain(name), words::plain(value)));
        }
        if let Some(body) = body {
            out.line(&format!("    {sign}"));
            pretty(body).lines().for_each(|line| out.line(&format!("    {sign} {}", words::plain(line))));
        }
    };
    lines(out, '>', &seen.request_headers, seen.request_body.as_deref());
    if let Some(status) = sample.and_then(|sample| sample.status) {
        out.line(&format!("    < {status}"));
        lines(out, '<', &exchange.headers, exchange.body.as_deref());
    }
    for (name, value) in captures {
        let name = out.toned(Tone::Strong, &words::plain(name));
        out.line(&format!("    {name} = {}", words::plain(value)));
    }
    for (name, holds) in checks {
        let (tone, word) = if *holds { (Tone::Good, "✓ passed") } else { (Tone::Bad, "✗ failed") };
        let word = out.toned(tone, word);
        out.line(&format!("    check {}  {word}", words::plain(name)));
    }
}

fn name<'a>(seen: &Observed, steps: &'a [StepShape]) -> &'a str {
    steps.get(usize::from(seen.step)).map_or("", |step| step.step.as_str())
}

/// JSON with a line for each member; anything else, also JSON that is cut off, as it is.
fn pretty(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => format!("{value:#}"),
        _ => body.to_owned(),
    }
}

/// The same as JSON: seconds from the start, `null` where there is nothing.
pub fn once_json(plan: &str, tried: &[TriedOut<'_>], steps: &[StepShape]) -> Value {
    let parts = tried.iter().map(|part| {
        let requests: Vec<_> = part.observed.iter().map(|seen| observed(seen, steps)).collect();
        json!({ "name": part.name, "succeeded": part.failure.is_none(), "why": part.failure, "requests": requests })
    });
    json!({ "schema": 1, "plan": plan, "parts": parts.collect::<Vec<_>>() })
}

fn observed(seen: &Observed, steps: &[StepShape]) -> Value {
    let Observed { exchange, sample, request_headers, request_body, message, captures, checks, .. } = seen;
    let offset = |nanos: u64| nanos as f64 / 1e9;
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>()
    };
    json!({
        "step": name(seen, steps),
        "outcome": sample.map(|sample| sample.key.outcome.label()),
        "message": message,
        "request": {
            "method": exchange.method,
            "url": exchange.url,
            "headers": pairs(request_headers),
            "body": request_body,
        },
        "answer": sample.and_then(|sample| sample.status).map(|status| json!({
            "status": status,
            "headers": pairs(&exchange.headers),
            "body": exchange.body,
        })),
        "captures": pairs(captures),
        "checks": checks.iter().map(|(name, holds)| json!({ "name": name, "passed": holds })).collect::<Vec<_>>(),
        "times": sample.map(|sample| json!({
            "due": offset(sample.due),
            "ready": offset(sample.ready),
            "sent": sample.sent.map(offset),
            "first_byte": parts::first_byte(&sample).map(offset),
            "done": offset(sample.done),
            "connect_time": sample.connect.map(offset),
            "tls_time": sample.tls.map(offset),
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use plimsoll_measure::{Exchange, Outcome, Phase, Sample, SeriesKey};

    fn seen(step: u16, outcome: Outcome, status: Option<u16>, body: &str) -> Observed {
        let key = SeriesKey { step, phase: Phase::Measured, stage: None, outcome };
        let ms = 1_000_000;
        let sample = Sample {
            ready: 2 * ms,
            sent: Some(3 * ms),
            done: 9 * ms,
            first_byte: status.map(|_| 5 * ms),
            connect: Some(ms),
            status,
            ..Sample::at(key, ms)
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Observed {
            step,
            sample: Some(sample),
            exchange: Exchange {
                method: "POST".into(),
                url: "http://127.0.0.1:8080/cart?token=***".into(),
                headers: vec![pair("content-type", "application/json"), pair("set-cookie", "***")],
                body: (!body.is_empty()).then(|| body.to_owned()),
            },
            request_headers: vec![pair("authorization", "***")],
            request_body: Some(r#"{"product":7}"#.into()),
            message: outcome.is_failure().then(|| "`$.total` is not at least 3".to_owned()),
            captures: if outcome.is_success() { vec![pair("order", "17")] } else { Vec::new() },
            checks: vec![("is quick".to_owned(), true), ("has items".to_owned(), outcome.is_success())],
        }
    }

    #[test]
    fn what_was_tried_out_stays_as_it_was_read() {
        let steps = ["login", "buy \u{1b}[2J"].map(|step| StepShape {
            scenario: "shop".into(),
            scenario_index: Some(0),
            step: step.into(),
        });
        let unsent = Observed {
            sample: None,
            message: Some("not sent: an earlier step did not capture what it needs".into()),
            request_headers: Vec::new(),
            request_body: None,
            exchange: Exchange { method: "GET".into(), ..Exchange::default() },
            captures: Vec::new(),
            checks: Vec::new(),
            ..seen(1, Outcome::Ok, None, "")
        };
        let shop = [
            seen(0, Outcome::Ok, Some(201), r#"{"id":17,"items":[1,2]}"#),
            seen(1, Outcome::Expectation, Some(200), "<h1>\u{1b}[2J"),
            unsent,
        ];
        let tried = [
            TriedOut { name: "shop", observed: &shop, failure: Some("measured failed") },
            TriedOut { name: "teardown", observed: &[], failure: Some("teardown was stopped") },
        ];
        fixture::golden("once.txt", &once_text(&tried, &steps, &Text { width: 80, ..Text::default() }));
        fixture::golden("once.json", &format!("{:#}\n", once_json("shop", &tried, &steps)));
    }
}
