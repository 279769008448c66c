//! `pause`, `think_time`: how long somebody waits.

use plimsoll_units::duration;
use plimsoll_workload::Pause;

use crate::diagnostic::Finding;
use crate::read::Reader;
use crate::tree::{Node, Value};
use crate::words;

const HELP: &str = "write `1s`, `200ms..2s` for anything between, `{ exponential: 1s }` or \
                    `{ log_normal: { median: 1s, sigma: 0.5 } }`";

/// The widest log-normal pause: with it, the longest draw is 3,000,000 times the shortest.
const WIDEST: f64 = 2.0;

/// A time, a range, or a distribution.
pub(crate) fn pause(reader: &mut Reader<'_>, node: &Node) -> Option<Pause> {
    if matches!(node.value, Value::Map(_)) {
        return drawn(reader, node);
    }
    let text = reader.text(node, "a pause")?;
    let (min, max) = text.split_once("..").unwrap_or((&text, &text));
    let (Ok(min), Ok(max)) = (duration::parse(min), duration::parse(max)) else {
        reader.expected(node, "a pause", Some(HELP));
        return None;
    };
    if min > max {
        reader.expected(node, "a pause that ends above its start", Some(HELP));
        return None;
    }
    Some(Pause::Even { min, max })
}

fn drawn(reader: &mut Reader<'_>, node: &Node) -> Option<Pause> {
    let object = reader.object(node, &words::DRAWN_PAUSE)?;
    match (object.get("exponential"), object.get("log_normal")) {
        (Some(mean), None) => {
            let mean = reader.some_time(mean)?;
            Some(Pause::Exponential { mean })
        }
        (None, Some(node)) => {
            let object = reader.object(node, &words::LOG_NORMAL)?;
            let median = object.get("median").and_then(|node| reader.some_time(node));
            let sigma = object.get("sigma").and_then(|node| sigma(reader, node));
            Some(Pause::LogNormal { median: median?, sigma: sigma? })
        }
        _ => {
            reader.report(Finding::error(object.place, "a pause is drawn in one way").help(HELP));
            None
        }
    }
}

fn sigma(reader: &mut Reader<'_>, node: &Node) -> Option<f64> {
    const WHAT: &str = "the standard deviation of a logarithm";
    let number: Option<f64> = reader.scalar(node, WHAT)?.text().parse().ok();
    let number = number.filter(|number| *number > 0.0 && *number <= WIDEST);
    if number.is_none() {
        reader.expected(node, WHAT, Some("write a number above 0 and up to 2, like `0.5`"));
    }
    number
}
