//! The end of a quick look: what people know from hey and oha, and what these leave out.

use std::collections::BTreeMap;

use plimsoll_measure::{Histogram, LatencyFigures, Timing};
use plimsoll_run::Model;
use plimsoll_sla::Validity;
use plimsoll_units::{ByteCount, Quantile, duration};

use crate::text::{self, Text, Tone, Writer};
use crate::{Run, words};

/// Bars from the fastest to the 99th percentile; what is slower has one more.
const BARS: u32 = 10;
/// The longest bar.
const LONGEST: usize = 40;

/// The run as a quick look at one URL for a terminal, lines ended by line feeds.
pub fn quick_text(run: &Run, options: &Text) -> String {
    let mut out = Writer::new(options);
    headline(&mut out, run);
    counts(&mut out, run);
    times(&mut out, run);
    bars(&mut out, &run.summary.response_times);
    statuses(&mut out, run);
    text::errors(&mut out, run);
    text::next_steps(&mut out, run);
    out.line("");
    out.wrapped("", &meaning(run), Tone::Soft);
    out.files(options);
    out.finish()
}

fn headline(out: &mut Writer, run: &Run) {
    let summary = &run.summary;
    let plan = out.toned(Tone::Strong, &words::plain(&summary.plan));
    let trust = match summary.validity.verdict {
        Validity::Valid => Tone::Good,
        Validity::Suspect => Tone::Doubt,
        Validity::Invalid => Tone::Bad,
    };
    let validity = out.toned(trust, &format!("generator {}", summary.validity.verdict.label()));
    out.line(&format!("{plan}  {validity}"));
    let level = words::significant(run.started.shape.peak());
    let offered = format!("{level}{}", summary.model.unit());
    let about = format!(
        "{} against {}, {offered}, {}, run {}",
        words::status_word(summary),
        summary.info.target,
        words::seconds(Some(summary.duration_seconds)),
        summary.info.id
    );
    out.wrapped("", &about, Tone::Soft);
    for caveat in run.caveats() {
        out.wrapped("", &caveat, Tone::Doubt);
    }
}

fn counts(out: &mut Writer, run: &Run) {
    let totals = &run.summary.totals;
    let each = |bytes: u64| match totals.requests {
        0 => String::new(),
        requests => format!("{} a request", ByteCount(bytes / requests)),
    };
    let counted = |name: &str, count: u64, beside: Option<String>| {
        (name.to_owned(), words::count(count), beside.unwrap_or_default())
    };
    let mut rows = vec![
        counted("requests", totals.requests, Some(words::rate(totals.request_rate))),
        counted("succeeded", totals.succeeded, Some(words::rate(totals.throughput))),
        counted("failed", totals.failed, Some(words::ratio(totals.error_ratio))),
    ];
    // In the closed model nobody is ever turned away.
    rows.extend(
        (totals.dropped > 0)
            .then(|| counted("dropped", totals.dropped, Some(words::ratio(totals.dropped_ratio)))),
    );
    rows.extend((totals.cut > 0).then(|| counted("cut", totals.cut, None)));
    rows.push((
        "received".to_owned(),
        ByteCount(totals.received_bytes).to_string(),
        each(totals.received_bytes),
    ));
    rows.push(("sent".to_owned(), ByteCount(totals.sent_bytes).to_string(), each(totals.sent_bytes)));
    rows.push((
        "connections".to_owned(),
        words::count(run.summary.connections.opened_in_all()),
        String::new(),
    ));
    out.line("");
    for (name, value, beside) in rows {
        let name = out.toned(Tone::Soft, &format!("{name:<11}"));
        out.line(format!("{name} {value:>12}  {beside:>9}").trim_end());
    }
}

/// A row for each part of a request that was ever measured.
fn times(out: &mut Writer, run: &Run) {
    const TIMINGS: [(Timing, &str); 5] = [
        (Timing::ResponseTime, "response"),
        (Timing::Wait, "wait"),
        (Timing::ConnectTime, "connect"),
        (Timing::TlsTime, "TLS"),
        (Timing::FirstByteTime, "first byte"),
    ];
    let heads = ["fastest", "mean", "p50", "p90", "p95", "p99", "slowest", "p99.9"];
    let columns = heads.len().min((out.width() - 11) / 9);
    let head: String = heads[..columns].iter().map(|head| format!("{head:>9}")).collect();
    out.line("");
    let head = out.toned(Tone::Soft, &format!("{:<11}{head}", "time"));
    out.line(&head);
    for (timing, name) in TIMINGS {
        let figures = run.summary.timings.get(&timing).cloned().unwrap_or_default();
        if figures.count == 0 && timing != Timing::ResponseTime {
            continue;
        }
        let LatencyFigures { min, mean, p50, p90, p95, p99, p99_9, max, .. } = figures;
        let values = [min, mean, p50, p90, p95, p99, max, p99_9].map(words::seconds);
        let values: String = values[..columns].iter().map(|value| format!("{value:>9}")).collect();
        out.line(&format!("{name:<11}{values}"));
    }
}

/// How many response times lie where: bars that each end so many times later than the one before, up to
/// the 99th percentile, and one for the rest. With bars of equal width, or without one for the rest, a
/// few slow requests would press all others into the first.
fn bars(out: &mut Writer, times: &Histogram) {
    let (Some(fastest), Some(slowest)) = (times.min(), times.max()) else { return };
    let most = times.quantile(Quantile::P99).unwrap_or(slowest);
    let times_later = most as f64 / fastest.max(1) as f64;
    let end = |bar: u32| match bar {
        BARS => most,
        bar => (fastest as f64 * times_later.powf(f64::from(bar) / f64::from(BARS))) as u64,
    };
    let mut ends: Vec<_> = (1..=BARS).map(end).collect();
    ends.push(slowest);
    ends.dedup();
    let mut below = 0;
    let mut counts = Vec::new();
    for end in ends {
        // The last holds what there is: a bucket reaches over its highest value.
        let up_to = if end == slowest { times.count() } else { times.at_or_below(end) };
        counts.push((end, up_to - below));
        below = up_to;
    }
    let highest = counts.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let room = LONGEST.min(out.width().saturating_sub(26)).max(1);
    out.line("");
    let head = out.toned(Tone::Soft, "response times up to");
    out.line(&head);
    for (end, count) in counts {
        // What is there is seen, however little it is.
        let length = (count as f64 / highest as f64 * room as f64).round() as usize;
        let bar = "■".repeat(length.max(usize::from(count > 0)));
        let line = format!("{:>10} {:>12}  {bar}", duration::human(end as f64 / 1e9), words::count(count));
        out.line(line.trim_end());
    }
}

fn statuses(out: &mut Writer, run: &Run) {
    let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
    for (status, count) in run.summary.steps.iter().flat_map(|step| &step.statuses) {
        *statuses.entry(*status).or_default() += count;
    }
    if statuses.is_empty() {
        return;
    }
    out.line("");
    for (status, count) in statuses {
        let tone = if status < 400 { Tone::Good } else { Tone::Bad };
        let name = out.toned(tone, &format!("status {status:<4}"));
        out.line(&format!("{name} {:>12}", words::count(count)));
    }
}

/// Whose response times these are.
fn meaning(run: &Run) -> String {
    match run.summary.model {
        Model::Closed => "closed: a user asks again once it was answered, so while the target is slow fewer ask, and these are the \
                          response times of those who did (coordinated omission); -r RATE asks on time whatever the target does"
            .to_owned(),
        Model::Open => "open: requests were due at the rate, whatever the target did, and response times count from then".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use plimsoll_measure::Edges;
    use proptest::prelude::*;

    #[test]
    fn the_quick_look_stays_as_it_was_read() {
        let options = |width| Text { width, ..Text::default() };
        fixture::golden("quick.txt", &quick_text(&fixture::run(), &options(100)));
        fixture::golden("quick-narrow.txt", &quick_text(&fixture::run(), &options(40)));
        fixture::golden("quick-nothing.txt", &quick_text(&fixture::nothing(), &options(100)));
    }

    fn drawn(values: &[u64]) -> Vec<(String, u64)> {
        let mut times = Histogram::new(Edges::default());
        values.iter().for_each(|value| times.record(*value));
        let mut out = Writer::new(&Text { width: 80, ..Text::default() });
        bars(&mut out, &times);
        let text = out.finish();
        let rows = text.lines().skip(2).map(|line| {
            let [number, unit, count] = line.split_whitespace().take(3).collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            (format!("{number} {unit}"), count.replace(',', "").parse().unwrap())
        });
        rows.collect()
    }

    #[test]
    fn one_slow_request_has_a_bar_of_its_own() {
        let mut values: Vec<u64> = (0..1000).map(|n| 1_000_000 + n * 1000).collect();
        values.push(3_000_000_000);
        let rows = drawn(&values);
        assert_eq!(rows.len(), 11);
        assert_eq!(rows.last().unwrap().0, "3.00 s");
        assert!(rows.last().unwrap().1 <= 11, "{rows:?}");
        assert!(rows[..10].iter().all(|(_, count)| (60..=150).contains(count)), "{rows:?}");
    }

    #[test]
    fn equal_times_are_one_bar() {
        assert_eq!(drawn(&[5_000_000; 3]), [("5.00 ms".to_owned(), 3)]);
        assert_eq!(drawn(&[]), []);
    }

    proptest! {
        #[test]
        fn each_is_in_one_bar(values in prop::collection::vec(1_u64..5_000_000_000, 1..300)) {
            prop_assert_eq!(drawn(&values).iter().map(|(_, count)| count).sum::<u64>(), values.len() as u64);
        }
    }
}
