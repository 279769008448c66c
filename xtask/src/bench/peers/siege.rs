//! siege: <https://www.joedog.org/siege-manual/>. It has a thread for each connection.

use std::path::Path;

use super::{Closed, Requests, words};

/// One request at a time on connections that stay open, without the pauses and the page parsing that it
/// has by itself.
pub(super) const SETTINGS: &str = "\
verbose = false
quiet = true
json_output = true
show-logfile = false
logging = false
gmethod = GET
parser = false
limit = 255
protocol = HTTP/1.1
connection = keep-alive
benchmark = true
cache = false
";

pub(super) fn closed(load: &Closed<'_>, settings: &Path) -> Vec<String> {
    let Closed { url, connections, seconds } = load;
    let mut arguments = vec!["-R".to_owned(), settings.display().to_string()];
    arguments.extend(words(&format!("-b -c {connections} -t {seconds}S {url}/")));
    arguments
}

/// From its JSON, which may follow other words.
pub(super) fn requests(output: &str) -> Option<Requests> {
    let figure = |name: &str| -> Option<f64> {
        let (_, rest) = output.split_once(&format!("\"{name}\":"))?;
        rest.split([',', '}']).next()?.trim().parse().ok()
    };
    Some(Requests { succeeded: figure("successful_transactions")?, failed: figure("failed_transactions")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_output_is_read() {
        let output = "
{	\"transactions\":			       49596,
	\"availability\":			      100.00,
	\"elapsed_time\":			        2.94,
	\"concurrency\":			        3.87,
	\"successful_transactions\":	       49590,
	\"failed_transactions\":		           6,
	\"longest_transaction\":		        0.06,
	\"shortest_transaction\":		        0.00
}
";
        assert_eq!(requests(output), Some(Requests { succeeded: 49_590.0, failed: 6.0 }));
        assert_eq!(requests("[error] socket: unable to connect"), None);
    }
}
