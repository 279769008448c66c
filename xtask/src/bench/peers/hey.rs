//! hey: <https://github.com/rakyll/hey>.

use super::super::quantiles;
use super::{Closed, Open, Requests, Told, words};

pub(super) fn closed(load: &Closed<'_>) -> Vec<String> {
    let Closed { url, connections, seconds } = load;
    words(&format!("-cpus 1 -c {connections} -z {seconds}s {url}/"))
}

/// Its rate is one for each connection. The list of all requests has tenths of a millisecond, as has
/// its summary, and percentiles beyond the summary's.
pub(super) fn open(load: &Open<'_>) -> Vec<String> {
    let Open { url, rate, connections, seconds } = load;
    let each = f64::from(*rate) / f64::from(*connections);
    words(&format!("-cpus 1 -c {connections} -q {each} -z {seconds}s -o csv {url}/"))
}

/// From the summary: `[200] 34275 responses` below a heading, `[4] reason` below another.
pub(super) fn requests(output: &str) -> Option<Requests> {
    let (_, statuses) = output.split_once("Status code distribution:")?;
    let (statuses, errors) = statuses.split_once("Error distribution:").unwrap_or((statuses, ""));
    let mut requests = Requests { succeeded: 0.0, failed: 0.0 };
    for (status, rest) in statuses.lines().filter_map(bracketed) {
        let count: f64 = rest.split_whitespace().next()?.parse().ok()?;
        if status.starts_with('2') {
            requests.succeeded += count;
        } else {
            requests.failed += count;
        }
    }
    requests.failed +=
        errors.lines().filter_map(bracketed).filter_map(|(count, _)| count.parse::<f64>().ok()).sum::<f64>();
    Some(requests)
}

/// `[a]  b` in its two parts.
fn bracketed(line: &str) -> Option<(&str, &str)> {
    line.trim().strip_prefix('[')?.split_once(']')
}

/// From the list of all requests. Those that failed are not in it.
pub(super) fn told(output: &str) -> Option<Told> {
    let mut lines = output.lines();
    lines.next().filter(|heading| heading.starts_with("response-time,"))?;
    let (mut times, mut requests) = (Vec::new(), Requests { succeeded: 0.0, failed: 0.0 });
    for line in lines {
        let mut fields = line.split(',');
        times.push(fields.next()?.parse().ok()?);
        match fields.nth(5)?.starts_with('2') {
            true => requests.succeeded += 1.0,
            false => requests.failed += 1.0,
        }
    }
    Some(Told { requests, response_time: quantiles::of_values(times) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_summary_is_read() {
        let well = "\
Details (average, fastest, slowest):
  resp read:	0.0000 secs, 0.0000 secs, 0.0048 secs

Status code distribution:
  [200]	2839 responses
  [503]	4 responses



";
        assert_eq!(requests(well), Some(Requests { succeeded: 2839.0, failed: 4.0 }));
        let refused =
            "Status code distribution:\n\nError distribution:\n  [4]\tGet \"http://127.0.0.1:1/\": refused\n";
        assert_eq!(requests(refused), Some(Requests { succeeded: 0.0, failed: 4.0 }));
        assert_eq!(requests("usage"), None);
    }

    #[test]
    fn its_list_is_read() {
        let list = "\
response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset
0.0389,0.0001,0.0000,0.0002,0.0386,0.0001,200,0.0273
0.0067,0.0000,0.0000,0.0000,0.0067,0.0000,200,0.2676
0.0001,0.0000,0.0000,0.0000,0.0000,0.0000,503,0.4869
";
        let told = told(list).unwrap();
        assert_eq!(told.requests, Requests { succeeded: 2.0, failed: 1.0 });
        assert_eq!(told.response_time, [Some(0.0067), None, None, None]);
        assert_eq!(super::told("response-time,x\n0.1\n"), None);
        assert_eq!(super::told(""), None);
    }

    #[test]
    fn its_rate_is_one_for_each_connection() {
        let load = Open { url: "http://h", rate: 5_000, connections: 100, seconds: 3 };
        assert_eq!(open(&load).join(" "), "-cpus 1 -c 100 -q 50 -z 3s -o csv http://h/");
    }
}
