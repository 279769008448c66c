//! Connections, addresses and kept requests of one run.

use plimsoll_measure::{CloseReason, FAILED_KEPT, KeptRequest, Opening, SLOWEST_KEPT};
use plimsoll_run::{StepSummary, Summary};

use super::single::{cells, list, row, table};
use super::{Page, plots};
use crate::{Run, json, parts, words};

pub(super) fn connections(page: &mut Page, summary: &Summary) {
    let figures = &summary.connections;
    if figures.is_empty() {
        return;
    }
    page.put("<section><h2>Connections</h2>", &[]);
    let requests = &figures.requests;
    let whole = |value: Option<u64>| value.map_or_else(|| words::NO_DATA.to_owned(), words::count);
    let waits = json::waits(figures);
    let closed: Vec<_> = CloseReason::ALL
        .into_iter()
        .filter(|reason| figures.closed(*reason) > 0)
        .map(|reason| format!("{} {}", words::count(figures.closed(reason)), words::close_reason(reason)))
        .collect();
    list(
        page,
        &[
            ("Opened", words::opened(figures)),
            ("Not opened", words::count(figures.opened(Opening::Failed))),
            ("Closed", if closed.is_empty() { words::NO_DATA.to_owned() } else { closed.join(", ") }),
            ("Replaced", format!("{} found closed before a byte left", words::count(summary.reconnects))),
            (
                "Requests on each",
                format!(
                    "median {}, most {}",
                    whole(requests.quantile(plimsoll_units::Quantile::P50)),
                    whole(requests.max())
                ),
            ),
            ("Reused", format!("{} of requests", words::ratio(figures.reuse_ratio()))),
            (
                "Waits for one",
                format!(
                    "{} requests, p50 {}, p99 {}, max {}",
                    words::count(waits.count),
                    words::seconds(waits.p50),
                    words::seconds(waits.p99),
                    words::seconds(waits.max)
                ),
            ),
        ],
    );
    page.put("</section>\n", &[]);
}

pub(super) fn addresses(page: &mut Page, summary: &Summary) {
    if summary.addresses.is_empty() {
        return;
    }
    let columns = ["Address", "Weight", "Requests", "Share", "Failed", "p50", "p95", "p99", "Max"];
    table(page, "Addresses", &columns, &(1..9).collect::<Vec<_>>(), |page| {
        for address in &summary.addresses {
            let mut values = vec![
                address.weight.to_string(),
                words::count(address.requests),
                words::ratio(address.share),
                words::count(address.failed),
            ];
            let times = &address.response_time;
            values.extend([times.p50, times.p95, times.p99, times.max].map(words::seconds));
            row(page, &address.address, &values);
        }
        if let Some(skew) = summary.skew {
            let columns = [("Skew of shares", skew.share), ("Skew of medians", skew.p50)];
            for (name, value) in columns {
                let value = value.map_or_else(|| words::NO_DATA.to_owned(), |ratio| format!("{ratio:.2}"));
                page.put(
                    "<tr><th scope=\"row\">{}<small>largest over smallest</small></th>\
                     <td class=\"n\" colspan=\"8\">{}</td></tr>\n",
                    &[&name, &value],
                );
            }
        }
    });
}

/// The slowest requests of each step over the run, and of those that failed the first and a sample, with
/// what each spent its time on and what went over the wire.
pub(super) fn kept(page: &mut Page, run: &Run) {
    let slowest = |step: &StepSummary| step.slowest.iter().take(SLOWEST_KEPT).cloned().collect::<Vec<_>>();
    let failed = |step: &StepSummary| {
        let mut failed: Vec<_> = step.first_failed.iter().take(FAILED_KEPT).cloned().collect();
        let others = step.failed_sample.iter().filter(|request| !failed.contains(request));
        failed.extend(others.cloned().collect::<Vec<_>>());
        failed
    };
    requests(page, run, "Slowest requests", slowest);
    requests(page, run, "Failed requests: the first, and a sample", failed);
}

fn requests(page: &mut Page, run: &Run, heading: &str, of: impl Fn(&StepSummary) -> Vec<KeptRequest>) {
    let steps: Vec<_> = run.summary.steps.iter().map(|step| (step, of(step))).collect();
    let longest = steps.iter().flat_map(|(_, requests)| requests).map(KeptRequest::response_time).max();
    let Some(longest) = longest else { return };
    let mut columns = vec![
        "Step",
        "Due",
        "Response",
        "Where it went",
        "Lag",
        "Wait",
        "First byte",
        "Body",
        "Ended",
        "Iteration",
    ];
    // What no request has would only make the table wide.
    let about = ["User", "Row", "Address", "What was said"];
    let about_all: Vec<_> = steps
        .iter()
        .flat_map(|(step, requests)| requests.iter().map(|request| (*step, request, about_of(request, run))))
        .collect();
    let shown: Vec<usize> =
        (0..about.len()).filter(|column| about_all.iter().any(|(_, _, of)| of[*column].is_some())).collect();
    columns.extend(shown.iter().map(|column| about[*column]));
    let has_exchange =
        steps.iter().flat_map(|(_, requests)| requests).any(|request| request.exchange.is_some());
    columns.extend(has_exchange.then_some("Exchange"));
    table(page, heading, &columns, &[1, 2, 4, 5, 6, 7, 9], |page| {
        for (step, request, about) in &about_all {
            page.put("<tr><th scope=\"row\">{}</th>", &[&step.step]);
            let sample = &request.sample;
            let seconds = |nanos| words::seconds(Some(plots::nanos_in_seconds(nanos)));
            let due = words::offset(plots::nanos_in_seconds(sample.due));
            cells(page, &[due, seconds(request.response_time())]);
            bar(page, request, longest);
            cells(page, &parts::parts(sample).map(|part| seconds(part.nanos)));
            page.put("<td>{}</td>", &[&parts::ending(request)]);
            cells(page, &[request.iteration.to_string()]);
            for column in &shown {
                let class = if *column == WORDS { "why" } else { "" };
                let text = about[*column].as_deref().unwrap_or_default();
                page.put("<td class=\"{}\">{}</td>", &[&class, &text]);
            }
            if has_exchange {
                exchange(page, request);
            }
            page.put("</tr>\n", &[]);
        }
    });
}

/// What went over the wire, behind its first line.
fn exchange(page: &mut Page, request: &KeptRequest) {
    let Some(exchange) = &request.exchange else {
        page.put("<td></td>", &[]);
        return;
    };
    let headers = exchange.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    let status = request.sample.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let answer = format!(
        "{status}\n{}\n{}",
        headers.collect::<String>(),
        exchange.body.as_deref().unwrap_or_default()
    );
    page.put(
        "<td class=\"why\"><details><summary>{} {}</summary><pre tabindex=\"0\">{}</pre></details></td>",
        &[&exchange.method, &exchange.url, &answer.trim_end()],
    );
}

/// Which of these is free text.
const WORDS: usize = 3;

/// Its user, row of data, address and words, where it has them.
fn about_of(request: &KeptRequest, run: &Run) -> [Option<String>; 4] {
    [
        request.user.map(|user| user.to_string()),
        request.row.as_ref().map(|row| format!("{} {}", row.feed, row.row)),
        parts::address(request, run).map(str::to_owned),
        request.message.clone(),
    ]
}

/// A bar as long as the request took, against the slowest of its table.
fn bar(page: &mut Page, request: &KeptRequest, longest: u64) {
    const WIDTH: f64 = 160.0;
    let parts = parts::parts(&request.sample);
    let text: Vec<_> = parts
        .iter()
        .map(|part| format!("{} {}", part.name, words::seconds(Some(plots::nanos_in_seconds(part.nanos)))))
        .collect();
    page.put(
        "<td><svg class=\"parts\" viewBox=\"0 0 160 12\" role=\"img\" aria-label=\"{}\"><title>{}</title>",
        &[&text.join(", "), &text.join(", ")],
    );
    let scale = WIDTH / longest.max(1) as f64;
    let mut from = 0.0;
    for part in parts {
        let width = part.nanos as f64 * scale;
        page.put(
            "<rect class=\"{}\" x=\"{}\" y=\"1\" width=\"{}\" height=\"10\"/>",
            &[&part.class, &format!("{from:.1}"), &format!("{width:.1}")],
        );
        from += width;
    }
    page.put("</svg></td>", &[]);
}
