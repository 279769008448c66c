//! oha: <https://github.com/hatoo/oha>.

use serde_json::Value;

use super::super::quantiles::number;
use super::{Closed, Open, Requests, Told, words};

/// From when a request's time runs at a fixed rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timed {
    FromSending,
    FromDue,
}

/// It has one thread where it may use one core only.
pub(super) fn closed(load: &Closed<'_>) -> Vec<String> {
    let Closed { url, connections, seconds } = load;
    words(&format!("--no-tui --output-format json -c {connections} -z {seconds}s {url}/"))
}

pub(super) fn open(load: &Open<'_>, timed: Timed) -> Vec<String> {
    let Open { url, rate, connections, seconds } = load;
    let correction = match timed {
        Timed::FromSending => "",
        Timed::FromDue => "--latency-correction",
    };
    words(&format!(
        "--no-tui --output-format json -c {connections} -q {rate} {correction} -z {seconds}s {url}/"
    ))
}

pub(super) fn requests(output: &str) -> Option<Requests> {
    read(&serde_json::from_str(output).ok()?)
}

/// Requests that the end of the time cut off are among its errors, and no failure.
const CUT_OFF: &str = "aborted due to deadline";

fn read(json: &Value) -> Option<Requests> {
    let mut requests = Requests { succeeded: 0.0, failed: 0.0 };
    for (status, count) in json.get("statusCodeDistribution")?.as_object()? {
        match status.starts_with('2') {
            true => requests.succeeded += count.as_f64()?,
            false => requests.failed += count.as_f64()?,
        }
    }
    for (error, count) in json.get("errorDistribution")?.as_object()? {
        requests.failed += if error == CUT_OFF { 0.0 } else { count.as_f64()? };
    }
    Some(requests)
}

pub(super) fn told(output: &str) -> Option<Told> {
    let json: Value = serde_json::from_str(output).ok()?;
    let response_time = super::super::quantiles::QUANTILES
        .map(|(_, name)| number(json.get("latencyPercentiles")?, &format!("/{name}")));
    Some(Told { requests: read(&json)?, response_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = r#"{
  "summary": { "successRate": 1.0, "total": 3.0, "slowest": 0.02, "fastest": 0.0001, "average": 0.002, "requestsPerSec": 4998.9 },
  "responseTimeHistogram": { "0.0001": 1 },
  "latencyPercentiles": { "p10": 0.0012, "p25": 0.0015, "p50": 0.002, "p75": 0.003, "p90": 0.0043, "p95": 0.0055, "p99": 0.008, "p99.9": 0.0125, "p99.99": null },
  "statusCodeDistribution": { "200": 14990, "503": 2 },
  "errorDistribution": { "aborted due to deadline": 7, "connection error": 1 }
}"#;

    #[test]
    fn its_output_is_read() {
        let told = told(OUTPUT).unwrap();
        assert_eq!(told.requests, Requests { succeeded: 14_990.0, failed: 3.0 });
        assert_eq!(told.response_time, [Some(0.002), Some(0.0043), Some(0.008), Some(0.0125)]);
        assert_eq!(requests(OUTPUT), Some(told.requests));
        assert_eq!(requests("{}"), None);
        assert_eq!(super::told("error"), None);
    }

    #[test]
    fn its_correction_is_a_flag() {
        let load = Open { url: "http://h", rate: 5_000, connections: 100, seconds: 3 };
        let expected = "--no-tui --output-format json -c 100 -q 5000 --latency-correction -z 3s http://h/";
        assert_eq!(open(&load, Timed::FromDue).join(" "), expected);
        assert_eq!(open(&load, Timed::FromSending).join(" "), expected.replace("--latency-correction ", ""));
    }
}
