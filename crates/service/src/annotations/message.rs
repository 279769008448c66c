//! The webhook of an Alertmanager, version "4": what of it is kept, and what is refused by its place.
//!
//! Fields that are not known are left alone, since an Alertmanager may send more of them some day. What is known and is not as
//! it has to be is refused with the whole message: half of a message would be taken for all of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plimsoll_run::Annotation;
use serde_json::{Map, Value};
use url::Url;

use crate::problem::{Kind, Mistake, Problem};
use crate::sent;

/// The version of the message that is understood.
const VERSION: &str = "4";

/// Alerts of one message.
const MOST_ALERTS: usize = 1000;

/// Mistakes of one message that are told; a sender makes the same one in each alert.
const MOST_MISTAKES: usize = 20;

/// Labels of one alert that are kept, those first by name.
const MOST_LABELS: usize = 64;

/// Characters that are kept of names: of an alert, a severity, a label, a receiver.
const NAME: usize = 200;

/// Characters that are kept of a label's value and of a summary.
const TEXT: usize = 1000;

/// Characters that are kept of all labels of an alert together.
const LABELS: usize = 4000;

/// Longer links are left out: cut they would lead elsewhere.
const LINK: usize = 2000;

/// What an Alertmanager writes for a time that is none.
const NEVER: &str = "0001-01-01T00:00:00Z";

type Found<T> = Result<T, Mistake>;

/// The alerts of a message that arrived at a moment, nanoseconds since 1970.
pub(super) fn read(body: &[u8], now: i64) -> Result<Vec<Annotation>, Problem> {
    let message: Map<String, Value> = sent::read(body)?;
    let invalid = |mistakes: Vec<Mistake>| {
        let words = mistakes.first().map(|mistake| mistake.message.clone()).unwrap_or_default();
        Problem::new(Kind::Invalid, format!("the message is refused: {words}")).with_mistakes(mistakes)
    };
    let receiver = head(&message).map_err(|mistake| invalid(vec![mistake]))?;
    let alerts = alerts(&message).map_err(|mistake| invalid(vec![mistake]))?;
    let (mut read, mut mistakes) = (Vec::with_capacity(alerts.len()), Vec::new());
    for (index, alert) in alerts.iter().enumerate() {
        match annotation(alert, &format!("$.alerts[{index}]"), &receiver, now) {
            Ok(annotation) => read.push(annotation),
            Err(mistake) => mistakes.push(mistake),
        }
        if mistakes.len() == MOST_MISTAKES {
            break;
        }
    }
    if mistakes.is_empty() { Ok(read) } else { Err(invalid(mistakes)) }
}

/// Whether the message is of a version that is understood; its receiver.
fn head(message: &Map<String, Value>) -> Found<String> {
    match message.get("version") {
        Some(Value::String(version)) if version == VERSION => {}
        found => {
            let found = found.map_or_else(|| "absent".to_owned(), shown);
            return Err(mistake(
                "$.version",
                &format!("is {found}; this service understands version \"{VERSION}\""),
            ));
        }
    }
    Ok(cut(text(message, "$", "receiver")?.unwrap_or_default(), NAME))
}

fn alerts(message: &Map<String, Value>) -> Found<&Vec<Value>> {
    let place = "$.alerts";
    match message.get("alerts") {
        Some(Value::Array(alerts)) if alerts.len() <= MOST_ALERTS => Ok(alerts),
        Some(Value::Array(alerts)) => Err(mistake(
            place,
            &format!(
                "has {}; a message may have {MOST_ALERTS} at most, see `max_alerts` of the receiver",
                alerts.len()
            ),
        )),
        Some(found) => Err(mistake(place, &format!("is {}; it has to be a list", shown(found)))),
        None => Err(mistake(place, "is absent; it has to be a list")),
    }
}

fn annotation(alert: &Value, place: &str, receiver: &str, now: i64) -> Found<Annotation> {
    let Value::Object(alert) = alert else {
        return Err(mistake(place, &format!("is {}; it has to be an object", shown(alert))));
    };
    let labels = texts(alert, place, "labels")?
        .ok_or_else(|| mistake(&format!("{place}.labels"), "is absent; an alert has labels"))?;
    let annotations = texts(alert, place, "annotations")?.unwrap_or_default();
    let (starts_nanos, ends_nanos) = times(alert, place)?;
    let kept = |text: &str, most: usize| Some(cut(text, most)).filter(|text| !text.is_empty());
    let summary = ["summary", "description"].iter().find_map(|name| kept(annotations.get(name)?, TEXT));
    Ok(Annotation {
        fingerprint: fingerprint(alert, place)?,
        starts_nanos,
        ends_nanos,
        name: labels
            .get("alertname")
            .and_then(|name| kept(name, NAME))
            .unwrap_or_else(|| "unnamed alert".to_owned()),
        severity: labels.get("severity").and_then(|severity| kept(severity, NAME)),
        summary,
        labels: bounded(&labels),
        link: text(alert, place, "generatorURL")?.and_then(link),
        receiver: receiver.to_owned(),
        told_nanos: now,
    })
}

/// It is a key, so that nothing of it can be cut.
fn fingerprint(alert: &Map<String, Value>, place: &str) -> Found<String> {
    let found = text(alert, place, "fingerprint")?.unwrap_or_default();
    let is_key = (1..=NAME).contains(&found.chars().count()) && !found.chars().any(char::is_control);
    if is_key {
        return Ok(found.to_owned());
    }
    let words = format!("has to be a text of 1 to {NAME} characters, none of them a control character");
    Err(mistake(&format!("{place}.fingerprint"), &words))
}

/// When it began, and when it ended if it has: what the sender expects of an alert that fires does not count.
fn times(alert: &Map<String, Value>, place: &str) -> Found<(i64, Option<i64>)> {
    let starts = time(alert, place, "startsAt")?
        .ok_or_else(|| mistake(&format!("{place}.startsAt"), "is absent; an alert begins at a moment"))?;
    let status = text(alert, place, "status")?;
    match status {
        Some("firing") => Ok((starts, None)),
        Some("resolved") => {
            let place = format!("{place}.endsAt");
            let ends = time_at(alert.get("endsAt"), &place)?
                .ok_or_else(|| mistake(&place, "is absent; an alert that is resolved ended at a moment"))?;
            if ends < starts {
                return Err(mistake(&place, "is before `startsAt`"));
            }
            Ok((starts, Some(ends)))
        }
        other => {
            let found = other.map_or_else(|| "absent".to_owned(), |other| shown(&other.into()));
            let words = format!("is {found}; it has to be \"firing\" or \"resolved\"");
            Err(mistake(&format!("{place}.status"), &words))
        }
    }
}

fn time(alert: &Map<String, Value>, place: &str, key: &str) -> Found<Option<i64>> {
    time_at(alert.get(key), &format!("{place}.{key}"))
}

fn time_at(found: Option<&Value>, place: &str) -> Found<Option<i64>> {
    let text = match found {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text == NEVER => return Ok(None),
        Some(Value::String(text)) => text,
        Some(found) => {
            return Err(mistake(
                place,
                &format!("is {}; it has to be a moment as of RFC 3339", shown(found)),
            ));
        }
    };
    let nanos = text.parse::<Timestamp>().ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    let nanos = nanos.filter(|nanos| *nanos >= 0);
    nanos.map(Some).ok_or_else(|| {
        let found = shown(&text.as_str().into());
        mistake(place, &format!("is {found}; it has to be a moment as of RFC 3339, from 1970 to 2262"))
    })
}

/// A text that may be absent.
fn text<'m>(object: &'m Map<String, Value>, place: &str, key: &str) -> Found<Option<&'m str>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(found) => {
            Err(mistake(&format!("{place}.{key}"), &format!("is {}; it has to be a text", shown(found))))
        }
    }
}

/// Names and texts, which may be absent as a whole.
fn texts<'m>(
    object: &'m Map<String, Value>,
    place: &str,
    key: &str,
) -> Found<Option<BTreeMap<&'m str, &'m str>>> {
    let place = format!("{place}.{key}");
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(found)) => {
            let one = |(name, value): (&'m String, &'m Value)| match value {
                Value::String(value) => Ok((name.as_str(), value.as_str())),
                value => {
                    let name = shown(&name.as_str().into());
                    Err(mistake(
                        &format!("{place}[{name}]"),
                        &format!("is {}; it has to be a text", shown(value)),
                    ))
                }
            };
            found.iter().map(one).collect::<Found<_>>().map(Some)
        }
        Some(found) => Err(mistake(&place, &format!("is {}; it has to be an object of texts", shown(found)))),
    }
}

/// As many labels as there is room for.
fn bounded(labels: &BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    let mut left = LABELS;
    let cut = labels.iter().take(MOST_LABELS).map(|(name, value)| (cut(name, NAME), cut(value, TEXT)));
    let fits = |(name, value): &(String, String)| {
        let long = name.chars().count() + value.chars().count();
        let fits = long <= left;
        left -= if fits { long } else { 0 };
        fits
    };
    cut.filter(fits).collect()
}

/// An address that a browser may be sent to, and that holds no password.
fn link(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https");
    let is_open = url.username().is_empty() && url.password().is_none();
    (is_web && is_open && url.as_str().len() <= LINK).then(|| url.to_string())
}

/// The start of a text. What no database takes and no page shows becomes a space.
fn cut(text: &str, most: usize) -> String {
    let is_long = text.chars().nth(most).is_some();
    let kept = text.chars().take(if is_long { most - 1 } else { most });
    let plain = kept.map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c });
    plain.chain(is_long.then_some('…')).collect()
}

/// What was found, short enough for a message.
fn shown(found: &Value) -> String {
    match found {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        found => cut(&found.to_string(), 60),
    }
}

fn mistake(place: &str, words: &str) -> Mistake {
    Mistake { line: None, column: None, message: format!("`{place}` {words}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_760_000_000_000_000_000;

    fn message() -> Value {
        json!({
            "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "plimsoll",
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am:9093",
            "some day": [{}],
            "alerts": [{
                "status": "firing",
                "labels": { "alertname": "Slow", "severity": "page", "instance": "shop:80" },
                "annotations": { "summary": "The shop is slow", "description": "p95 over 1 s" },
                "startsAt": "2026-11-23T05:00:00.5Z", "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus:9090/graph?g0.expr=up&g0.tab=1", "fingerprint": "7d4f62ea4bb40a0d",
                "later": null,
            }],
        })
    }

    /// The message with something else in place of what is at a pointer, or without it.
    fn with(pointer: &str, value: Option<Value>) -> Value {
        let mut message = message();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match (message.pointer_mut(parent).unwrap(), value) {
            (Value::Object(object), Some(value)) => drop(object.insert(key.to_owned(), value)),
            (Value::Object(object), None) => drop(object.remove(key)),
            (Value::Array(list), Some(value)) => list[key.parse::<usize>().unwrap()] = value,
            (other, _) => panic!("{pointer} in {other}"),
        }
        message
    }

    fn one(message: &Value) -> Annotation {
        read(message.to_string().as_bytes(), NOW).unwrap().remove(0)
    }

    #[test]
    fn an_alert_is_read_and_what_is_not_known_is_left_alone() {
        let nanos = |text: &str| text.parse::<Timestamp>().unwrap().as_nanosecond() as i64;
        let firing = one(&message());
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = Annotation {
            fingerprint: "7d4f62ea4bb40a0d".to_owned(),
            starts_nanos: nanos("2026-11-23T05:00:00.5Z"),
            ends_nanos: None,
            name: "Slow".to_owned(),
            severity: Some("page".to_owned()),
            summary: Some("The shop is slow".to_owned()),
            labels: [label("alertname", "Slow"), label("instance", "shop:80"), label("severity", "page")]
                .into(),
            link: Some("http://prometheus:9090/graph?g0.expr=up&g0.tab=1".to_owned()),
            receiver: "plimsoll".to_owned(),
            told_nanos: NOW,
        };
        assert_eq!(firing, expected);

        let mut resolved = with("/alerts/0/endsAt", Some("2026-11-23T06:01:00+01:00".into()));
        resolved["alerts"][0]["status"] = "resolved".into();
        assert_eq!(one(&resolved).ends_nanos, Some(nanos("2026-11-23T05:01:00Z")));
        resolved["alerts"][0]["endsAt"] = "2026-11-23T05:00:00.5Z".into();
        assert_eq!(one(&resolved).ends_nanos, Some(firing.starts_nanos), "it was over at once");
        // Until when a sender thinks that an alert fires is no end.
        assert_eq!(one(&with("/alerts/0/endsAt", Some("2026-11-23T05:04:00Z".into()))).ends_nanos, None);
        assert_eq!(one(&with("/alerts/0/endsAt", None)).ends_nanos, None);
    }

    #[test]
    fn what_an_alert_lacks_is_absent_and_a_description_stands_in_for_a_summary() {
        assert_eq!(
            one(&with("/alerts/0/annotations/summary", None)).summary.as_deref(),
            Some("p95 over 1 s")
        );
        assert_eq!(
            one(&with("/alerts/0/annotations/summary", Some("".into()))).summary.as_deref(),
            Some("p95 over 1 s")
        );
        assert_eq!(one(&with("/alerts/0/annotations", None)).summary, None);
        let bare = one(&with("/alerts/0/labels", Some(json!({ "job": "x" }))));
        assert_eq!((bare.name.as_str(), bare.severity), ("unnamed alert", None));
        assert_eq!(one(&with("/receiver", None)).receiver, "");
        assert_eq!(read(with("/alerts", Some(json!([]))).to_string().as_bytes(), NOW).unwrap(), []);
    }

    #[test]
    fn only_addresses_of_the_web_become_links() {
        for (text, kept) in [
            ("https://prometheus.example/graph", true),
            ("HTTP://prometheus:9090/graph", true),
            ("", false),
            ("/graph", false),
            ("javascript:alert(1)", false),
            (" java\nscript:alert(1)", false),
            ("data:text/html,<script>alert(1)</script>", false),
            ("file:///etc/passwd", false),
            ("http://anna:secret@prometheus/", false),
            ("http://", false),
        ] {
            let found = one(&with("/alerts/0/generatorURL", Some(text.into()))).link;
            assert_eq!(found.is_some(), kept, "{text}: {found:?}");
        }
        let long = format!("http://prometheus/{}", "x".repeat(2000));
        assert_eq!(one(&with("/alerts/0/generatorURL", Some(long.into()))).link, None);
        let quoted = one(&with("/alerts/0/generatorURL", Some("http://p/\"><script>".into()))).link.unwrap();
        assert!(!quoted.contains(['"', '<', '>']), "{quoted}");
    }

    #[test]
    fn texts_are_cut_to_bounds() {
        let long = "ü".repeat(5000);
        let mut message = with("/alerts/0/annotations/summary", Some(format!("a\u{0}b\nc {long}").into()));
        let labels: Map<String, Value> =
            (0..200).map(|number| (format!("label{number:03}"), long.clone().into())).collect();
        message["alerts"][0]["labels"] = labels.into();
        message["alerts"][0]["labels"]["alertname"] = long.clone().into();
        message["receiver"] = long.into();
        let found = one(&message);
        let summary = found.summary.unwrap();
        assert!(summary.starts_with("a b\nc ü") && summary.ends_with("ü…"), "{summary}");
        assert_eq!(summary.chars().count(), 1000);
        assert_eq!((found.name.chars().count(), found.receiver.chars().count()), (200, 200));
        let all: usize =
            found.labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
        assert!(found.labels.len() == 3 && all <= 4000, "{} labels, {all} characters", found.labels.len());
    }

    #[test]
    fn what_is_not_as_it_has_to_be_is_refused_by_its_place() {
        let alert = |key: &str, value: Option<Value>| with(&format!("/alerts/0/{key}"), value);
        let mut reversed = alert("endsAt", Some("2026-11-23T05:00:00.4Z".into()));
        reversed["alerts"][0]["status"] = "resolved".into();
        let many = vec![message()["alerts"][0].clone(); 1001];
        for (message, told) in [
            (
                with("/version", Some("5".into())),
                "`$.version` is \"5\"; this service understands version \"4\"",
            ),
            (with("/version", Some(4.into())), "`$.version` is 4; this"),
            (with("/version", None), "`$.version` is absent"),
            (with("/receiver", Some(json!([]))), "`$.receiver` is a list; it has to be a text"),
            (with("/alerts", None), "`$.alerts` is absent"),
            (with("/alerts", Some(Value::Null)), "`$.alerts` is null; it has to be a list"),
            (with("/alerts", Some(json!({}))), "`$.alerts` is an object; it has to be a list"),
            (with("/alerts", Some(many.into())), "`$.alerts` has 1001; a message may have 1000 at most"),
            (with("/alerts/0", Some("x".into())), "`$.alerts[0]` is \"x\"; it has to be an object"),
            (alert("labels", None), "`$.alerts[0].labels` is absent"),
            (
                alert("labels", Some("x".into())),
                "`$.alerts[0].labels` is \"x\"; it has to be an object of texts",
            ),
            (
                alert("labels", Some(json!({ "a.b": 7 }))),
                "`$.alerts[0].labels[\"a.b\"]` is 7; it has to be a text",
            ),
            (alert("annotations", Some(json!([]))), "`$.alerts[0].annotations` is a list"),
            (
                alert("annotations", Some(json!({ "summary": {} }))),
                "`$.alerts[0].annotations[\"summary\"]` is an object",
            ),
            (
                alert("status", None),
                "`$.alerts[0].status` is absent; it has to be \"firing\" or \"resolved\"",
            ),
            (alert("status", Some("suppressed".into())), "`$.alerts[0].status` is \"suppressed\""),
            (alert("startsAt", None), "`$.alerts[0].startsAt` is absent"),
            (alert("startsAt", Some(NEVER.into())), "`$.alerts[0].startsAt` is absent"),
            (alert("startsAt", Some(7.into())), "`$.alerts[0].startsAt` is 7; it has to be a moment"),
            (alert("startsAt", Some("yesterday".into())), "`$.alerts[0].startsAt` is \"yesterday\""),
            (alert("startsAt", Some("2026-11-23T05:00:00".into())), "`$.alerts[0].startsAt` is \"2026"),
            (alert("startsAt", Some("9999-01-01T00:00:00Z".into())), "from 1970 to 2262"),
            (alert("startsAt", Some("1969-12-31T23:59:59Z".into())), "from 1970 to 2262"),
            (
                alert("status", Some("resolved".into())),
                "`$.alerts[0].endsAt` is absent; an alert that is resolved",
            ),
            (reversed, "`$.alerts[0].endsAt` is before `startsAt`"),
            (alert("generatorURL", Some(json!(["http://x"]))), "`$.alerts[0].generatorURL` is a list"),
            (alert("fingerprint", None), "`$.alerts[0].fingerprint` has to be a text of 1 to 200 characters"),
            (alert("fingerprint", Some("".into())), "`$.alerts[0].fingerprint` has to be"),
            (alert("fingerprint", Some("a\u{0}b".into())), "`$.alerts[0].fingerprint` has to be"),
            (alert("fingerprint", Some("x".repeat(201).into())), "`$.alerts[0].fingerprint` has to be"),
        ] {
            let problem = read(message.to_string().as_bytes(), NOW).unwrap_err();
            assert_eq!(problem.kind(), Kind::Invalid, "{told}");
            assert!(problem.detail().contains(told), "{told}: {problem:?}");
        }
    }

    #[test]
    fn one_bad_alert_refuses_the_message_and_every_bad_one_is_named() {
        let good = message()["alerts"][0].clone();
        let alerts: Vec<Value> =
            (0..50).map(|number| if number % 2 == 0 { good.clone() } else { 1.into() }).collect();
        let problem = read(with("/alerts", Some(alerts.into())).to_string().as_bytes(), NOW).unwrap_err();
        let told = format!("{problem:?}");
        assert!(told.contains("`$.alerts[1]` is 1") && told.contains("`$.alerts[39]` is 1"), "{told}");
        assert!(!told.contains("$.alerts[41]"), "the first twenty: {told}");
    }

    #[test]
    fn what_is_no_json_object_is_refused_by_line_and_column() {
        let deep = format!("{{\"version\": \"4\", \"alerts\": {}", "[".repeat(10_000));
        for (body, told) in [
            (&b""[..], "EOF while parsing"),
            (b"[]", "no JSON object"),
            (b"null", "no JSON object"),
            (b"{\"version\": \"4\",\n  alerts: []}", "line 2 column 3"),
            (b"{\"version\": \"4\"} {}", "trailing characters"),
            (b"{\"version\": \"\xff\"}", "invalid unicode"),
            (br#"{"version": "\ud800"}"#, "hex escape"),
            (deep.as_bytes(), "recursion limit"),
        ] {
            let problem = read(body, NOW).unwrap_err();
            assert_eq!(problem.kind(), Kind::BadRequest, "{told}: {problem:?}");
            assert!(problem.detail().contains(told), "{told}: {problem:?}");
        }
    }

    /// Any JSON that is not too deep.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(json!("2026-11-23T05:00:00Z")),
            Just(json!("0001-01-01T00:00:00Z")),
            Just(json!("-009999-01-02T01:59:59Z")),
            Just(json!("firing")),
            Just(json!("resolved")),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|object| Value::Object(object.into_iter().collect())),
            ]
        })
    }

    fn is_bounded(found: &Annotation) -> bool {
        let texts =
            [Some(&found.name), found.severity.as_ref(), found.summary.as_ref(), Some(&found.receiver)];
        texts.into_iter().flatten().all(|text| text.chars().count() <= TEXT && !text.contains('\0'))
            && found.ends_nanos.is_none_or(|ends| ends >= found.starts_nanos)
            && found
                .link
                .as_ref()
                .is_none_or(|link| link.starts_with("http://") || link.starts_with("https://"))
            && (1..=NAME).contains(&found.fingerprint.chars().count())
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body, NOW);
        }

        #[test]
        fn no_json_makes_it_panic(body in any_json()) {
            let _ = read(body.to_string().as_bytes(), NOW);
        }

        #[test]
        fn whatever_is_in_place_of_a_field_it_is_read_within_bounds_or_refused(
            changes in proptest::collection::vec((0..16_usize, any_json()), 1..4),
        ) {
            let places = [
                "/version", "/receiver", "/alerts", "/status", "/alerts/0", "/alerts/0/status", "/alerts/0/labels",
                "/alerts/0/labels/alertname", "/alerts/0/labels/severity", "/alerts/0/annotations",
                "/alerts/0/annotations/summary", "/alerts/0/startsAt", "/alerts/0/endsAt", "/alerts/0/generatorURL",
                "/alerts/0/fingerprint", "/alerts/0/later",
            ];
            let mut message = message();
            for (place, value) in changes {
                if let Some(found) = message.pointer_mut(places[place]) {
                    *found = value;
                }
            }
            match read(message.to_string().as_bytes(), NOW) {
                Ok(read) => prop_assert!(read.iter().all(is_bounded), "{read:?}"),
                Err(problem) => prop_assert!(problem.detail().contains('$'), "{problem:?}"),
            }
        }
    }
}
