//! wrk: <https://github.com/wg/wrk>.

use super::{Closed, Requests, words};

pub(super) fn closed(load: &Closed<'_>) -> Vec<String> {
    let Closed { url, connections, seconds } = load;
    words(&format!("--threads 1 --connections {connections} --duration {seconds}s {url}"))
}

/// It counts every answer as a request, names those with other statuses, and socket errors by kind.
pub(super) fn requests(output: &str) -> Option<Requests> {
    let (count, _) = output.lines().find_map(|line| line.trim().split_once(" requests in "))?;
    let count: f64 = count.parse().ok()?;
    let refused = super::number_after(output, "Non-2xx or 3xx responses:").unwrap_or(0.0);
    let errors = output.lines().find_map(|line| line.trim().strip_prefix("Socket errors:"));
    let errors =
        errors.unwrap_or("").split([' ', ',']).filter_map(|word| word.parse::<f64>().ok()).sum::<f64>();
    Some(Requests { succeeded: count - refused, failed: refused + errors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_output_is_read() {
        let well = "\
Running 2s test @ http://127.0.0.1:8911/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    28.41ms   85.24ms 460.58ms   91.48%
    Req/Sec    33.28k    10.98k   44.15k    88.24%
  57662 requests in 2.10s, 8.41MB read
Requests/sec:  27498.68
Transfer/sec:      4.01MB
";
        assert_eq!(requests(well), Some(Requests { succeeded: 57_662.0, failed: 0.0 }));
        let badly = "  100 requests in 2.10s, 8.41MB read\n  Socket errors: connect 1, read 2, write 0, timeout 30\n  Non-2xx or 3xx responses: 40\n";
        assert_eq!(requests(badly), Some(Requests { succeeded: 60.0, failed: 73.0 }));
        assert_eq!(requests("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
    }
}
