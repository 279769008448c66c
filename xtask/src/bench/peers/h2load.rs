//! h2load of nghttp2: <https://nghttp2.org/documentation/h2load-howto.html>.

use std::path::Path;

use super::super::quantiles;
use super::{Closed, Open, Requests, Told, words};

pub(super) fn closed(load: &Closed<'_>) -> Vec<String> {
    let Closed { url, connections, seconds } = load;
    words(&format!("--h1 --threads=1 --clients={connections} --duration={seconds} {url}/"))
}

pub(super) fn streams(load: &Closed<'_>, streams: u32) -> Vec<String> {
    let Closed { url, connections, seconds } = load;
    words(&format!(
        "--threads=1 --clients={connections} --max-concurrent-streams={streams} --duration={seconds} {url}/"
    ))
}

/// Its rate is one for each client. Percentiles are in its log only, a line for each request.
pub(super) fn open(load: &Open<'_>, log: &Path) -> Vec<String> {
    let Open { url, rate, connections, seconds } = load;
    let each = f64::from(*rate) / f64::from(*connections);
    let mut arguments =
        words(&format!("--h1 --threads=1 --clients={connections} --rps={each} --duration={seconds}"));
    arguments.extend([format!("--log-file={}", log.display()), format!("{url}/")]);
    arguments
}

/// `requests: 480 total, 490 started, 480 done, 480 succeeded, 0 failed, 0 errored, 0 timeout`; what
/// errored or timed out is among the failed.
pub(super) fn requests(output: &str) -> Option<Requests> {
    let line = output.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let figure = |word: &str| -> Option<f64> {
        let part = line.split(", ").find(|part| part.ends_with(word))?;
        part.split(' ').next()?.parse().ok()
    };
    Some(Requests { succeeded: figure("succeeded")?, failed: figure("failed")? })
}

/// From its summary and its log: when it was sent, the status, microseconds until the answer's end.
pub(super) fn told(output: &str, log: &str) -> Option<Told> {
    let micros = |line: &str| line.split('\t').nth(2)?.trim().parse::<f64>().ok();
    let times: Option<Vec<f64>> = log.lines().map(|line| Some(micros(line)? / 1e6)).collect();
    Some(Told { requests: requests(output)?, response_time: quantiles::of_values(times?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "\
finished in 1.03s, 480.00 req/s, 71.72KB/s
requests: 480 total, 490 started, 480 done, 478 succeeded, 2 failed, 1 errored, 0 timeout
status codes: 478 2xx, 0 3xx, 0 4xx, 2 5xx
";

    #[test]
    fn its_summary_and_its_log_are_read() {
        let log = "1795310956149145\t200\t75723\n1795310956149150\t200\t754\n1795310956149154\t503\t75754\n";
        let told = told(SUMMARY, log).unwrap();
        assert_eq!(told.requests, Requests { succeeded: 478.0, failed: 2.0 });
        assert_eq!(told.response_time, [Some(0.075_723), None, None, None]);
        assert_eq!(super::told(SUMMARY, "1\t200\n"), None);
        assert_eq!(super::told("", log), None);
    }

    #[test]
    fn its_rate_is_one_for_each_client() {
        let load = Open { url: "http://h", rate: 5_000, connections: 100, seconds: 3 };
        assert_eq!(
            open(&load, Path::new("/x/log")).join(" "),
            "--h1 --threads=1 --clients=100 --rps=50 --duration=3 --log-file=/x/log http://h/"
        );
    }
}
