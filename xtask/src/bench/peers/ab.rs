//! ApacheBench: <https://httpd.apache.org/docs/2.4/programs/ab.html>.

use super::{Closed, Requests, number_after, words};

pub(super) fn closed(load: &Closed<'_>) -> Vec<String> {
    let Closed { url, connections, seconds } = load;
    // The time limit sets a number of requests, which has to be overruled after it.
    words(&format!("-q -k -c {connections} -t {seconds} -n 100000000 {url}/"))
}

pub(super) fn requests(output: &str) -> Option<Requests> {
    let complete = number_after(output, "Complete requests:")?;
    let refused = number_after(output, "Non-2xx responses:").unwrap_or(0.0);
    let failed = number_after(output, "Failed requests:")? + refused;
    Some(Requests { succeeded: complete - failed, failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_output_is_read() {
        let well = "\
Concurrency Level:      64
Time taken for tests:   2.006 seconds
Complete requests:      71380
Failed requests:        0
Keep-Alive requests:    71380
";
        assert_eq!(requests(well), Some(Requests { succeeded: 71_380.0, failed: 0.0 }));
        let badly = "Complete requests:      100\nFailed requests:        1\nNon-2xx responses:      9\n";
        assert_eq!(requests(badly), Some(Requests { succeeded: 90.0, failed: 10.0 }));
        assert_eq!(requests("apr_socket_recv: Connection refused (111)\n"), None);
    }
}
