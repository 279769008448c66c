//! Quantiles cannot be averaged, nor added, nor compared by their mean: the 99th percentile of two halves is not the mean of
//! theirs. This refuses what would do so, in queries and in what a panel makes of their answers.

use serde_json::Value;

use crate::catalogue;

/// What is wrong with a dashboard's panels in this respect.
pub(super) fn complaints(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        let mut complain = |what: String| found.push(format!("{}: {what}", panel["title"]));
        for target in panel["targets"].as_array().into_iter().flatten() {
            if let Some(Err(why)) = target["expr"].as_str().map(promql) {
                complain(why);
            }
            if let Some(Err(why)) = target["query"].as_str().map(influxql) {
                complain(why);
            }
        }
        for part in
            ["/options/reduceOptions/calcs", "/options/legend/calcs", "/transformations", "/fieldConfig"]
        {
            let text = panel.pointer(part).map(Value::to_string).unwrap_or_default();
            if text.contains("\"mean\"") || text.contains("\"median\"") {
                complain(format!("{part} averages"));
            }
        }
    }
    found
}

/// A query of Prometheus. Nothing may be averaged, and a quantile stands alone: neither inside of anything nor beside
/// anything but alternatives (`or`).
fn promql(query: &str) -> Result<(), String> {
    let refused = ["avg", "avg_over_time", "mean", "quantile", "quantile_over_time"];
    if let Some(word) = calls(query).find(|word| refused.contains(&word.to_ascii_lowercase().as_str())) {
        return Err(format!("`{word}` in `{query}`"));
    }
    for alternative in alternatives(query) {
        let inside = match alternative.strip_prefix("histogram_quantile(") {
            Some(rest) if closes_at_the_end(rest) => rest,
            _ if is_selector(alternative) => continue,
            _ => alternative,
        };
        if has_quantiles(inside) {
            return Err(format!("a quantile is only a part of `{alternative}`"));
        }
    }
    Ok(())
}

/// A query of InfluxDB: no function of it may make a mean or a quantile of fields.
fn influxql(query: &str) -> Result<(), String> {
    let refused = ["mean", "median", "percentile", "moving_average", "spread", "stddev"];
    match calls(query).find(|word| refused.contains(&word.to_ascii_lowercase().as_str())) {
        Some(word) => Err(format!("`{word}` in `{query}`")),
        None => Ok(()),
    }
}

/// Words before a parenthesis, with or without `by` or `without` between.
fn calls(query: &str) -> impl Iterator<Item = &str> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let mut rest = query;
    std::iter::from_fn(move || {
        let start = rest.find(is_word)?;
        let end = rest[start..].find(|letter| !is_word(letter)).map_or(rest.len(), |length| start + length);
        let (word, after) = (&rest[start..end], &rest[end..]);
        rest = after;
        Some((word, after.trim_start()))
    })
    .filter(|(_, after)| after.starts_with('(') || after.starts_with("by") || after.starts_with("without"))
    .map(|(word, _)| word)
}

/// What stands between the `or` that are in no parentheses.
fn alternatives(query: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (at, letter) in query.char_indices() {
        depth += i32::from("({[".contains(letter)) - i32::from(")}]".contains(letter));
        if depth == 0 && query[at..].starts_with(" or ") {
            parts.push(query[start..at].trim());
            start = at + " or ".len();
        }
    }
    parts.push(query[start..].trim());
    parts
}

/// Whether the parenthesis that is open before this text closes as its last letter.
fn closes_at_the_end(text: &str) -> bool {
    let mut depth = 1;
    let closing = text.char_indices().find(|(_, letter)| {
        depth += i32::from(*letter == '(') - i32::from(*letter == ')');
        depth == 0
    });
    closing.is_some_and(|(at, _)| at + 1 == text.len())
}

/// A name, and label matchers maybe.
fn is_selector(text: &str) -> bool {
    let name = text.split('{').next().unwrap_or_default();
    name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && (name.len() == text.len() || text.find('}') == Some(text.len() - 1))
}

/// Whether a text asks for quantiles, ready-made or not.
fn has_quantiles(text: &str) -> bool {
    let ready = catalogue::ALL.iter().filter(|metric| metric.labels.contains(&"quantile"));
    let is_percentile = |word: &str| {
        word.split('_').any(|part| {
            part.strip_prefix('p')
                .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|one| one.is_ascii_digit()))
        })
    };
    text.contains("quantile")
        || ready.into_iter().any(|metric| text.contains(metric.name))
        || text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').any(is_percentile)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_averages_quantiles_is_refused() {
        let quantile = "histogram_quantile(0.99, sum by (le) (rate(a_bucket[1m])))";
        let refused = [
            format!("avg({quantile})"),
            format!("avg by (instance) ({quantile})"),
            format!("AVG without (instance) ({quantile})"),
            format!("sum({quantile}) / count({quantile})"),
            format!("({quantile} + {quantile}) / 2"),
            format!("{quantile} * 0.5 + {quantile} * 0.5"),
            format!("avg_over_time({quantile}[1h:1m])"),
            format!("max({quantile})"),
            "histogram_quantile(0.99, avg by (le) (rate(a_bucket[1m])))".to_owned(),
            format!("histogram_quantile(0.5, {quantile})"),
            format!("{quantile} or sum({quantile})"),
            "quantile(0.9, a)".to_owned(),
            "quantile_over_time(0.9, a[5m])".to_owned(),
            "sum(plimsoll_last_run_response_time_seconds)".to_owned(),
            "sum by (plan) (rpc_duration_seconds{quantile=\"0.99\"})".to_owned(),
            "sum(service_p99_seconds) / 3".to_owned(),
            "avg(plimsoll_in_flight_requests)".to_owned(),
        ];
        for query in refused {
            assert!(promql(&query).is_err(), "{query}");
        }
        let taken = [
            quantile.to_owned(),
            format!("{quantile} or {quantile}"),
            "plimsoll_last_run_response_time_seconds{plan=~\"$plan\"}".to_owned(),
            "sum(rate(a_sum[1m])) / sum(rate(a_count[1m]))".to_owned(),
            "sum(plimsoll_in_flight_requests and on (plan) plimsoll_run_info)".to_owned(),
            "max by (sla) (a * 1 or b * 2)".to_owned(),
        ];
        for query in taken {
            assert_eq!(promql(&query), Ok(()), "{query}");
        }
        for query in [
            "SELECT mean(\"p99\") FROM a",
            "SELECT PERCENTILE(\"max\", 99) FROM a",
            "SELECT median(\"a\") FROM b",
        ] {
            assert!(influxql(query).is_err(), "{query}");
        }
        assert_eq!(influxql("SELECT sum(\"sum\") / sum(\"count\") FROM a"), Ok(()));
    }

    #[test]
    fn a_panel_that_averages_what_it_was_told_is_refused() {
        let panel = |options: Value, transformations: Value| json!({ "panels": [{ "title": "x", "targets": [], "options": options, "transformations": transformations }] });
        let none = json!([]);
        assert_eq!(
            complaints(&panel(json!({ "reduceOptions": { "calcs": ["lastNotNull"] } }), none.clone())).len(),
            0
        );
        assert_eq!(
            complaints(&panel(json!({ "reduceOptions": { "calcs": ["mean"] } }), none.clone())).len(),
            1
        );
        assert_eq!(complaints(&panel(json!({ "legend": { "calcs": ["max", "mean"] } }), none)).len(), 1);
        let reduce = json!([{ "id": "reduce", "options": { "reducers": ["mean"] } }]);
        assert_eq!(complaints(&panel(json!({}), reduce)).len(), 1);
        let bad = json!({ "panels": [{ "title": "x", "targets": [{ "expr": "avg(histogram_quantile(0.9, a))" }] }] });
        assert_eq!(complaints(&bad).len(), 1);
    }
}
