//! What to do next: findings of a run, whose they probably are, and the command that looks further.
//!
//! Each rule looks at the figures of a run and at nothing else, says what was seen with the figures that show
//! it, and is silent where these are missing. A rule never changes a verdict: it may be wrong about whose
//! doing something was, and that is why it says "likely".

use plimsoll_measure::{CloseReason, LatencyFigures, Opening, Outcome, Timing};
use plimsoll_run::{Model, ObjectiveSummary, ResourceSummary, Summary};
use plimsoll_sla::{Measure, Validity, Verdict};
use plimsoll_stats::LeakVerdict;
use plimsoll_units::duration;

use crate::words::{self, count, ratio, seconds};

/// A finding of a run and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recommendation {
    /// What was seen, with figures.
    pub seen: String,
    /// Whose it probably is.
    pub likely: Side,
    /// What to do next, with the command for it where there is one.
    pub next: String,
}

/// Whose a finding probably is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is tested.
    Target,
    /// This machine and what else runs on it.
    Generator,
    /// What lies between the two.
    Network,
    /// What was asked for, and how.
    Plan,
}

impl Side {
    /// Its word in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Generator => "generator",
            Self::Network => "network",
            Self::Plan => "plan",
        }
    }
}

/// Fewer failures of a kind are told with the errors and need no advice of their own: a share of requests.
const OFTEN: f64 = 0.01;
/// Below it a quantile or a share says too little: a number of requests.
const ENOUGH: u64 = 100;
/// A tail so many times the median is one of two kinds of answers rather than of chance.
const LONG_TAIL: f64 = 10.0;
/// A part of the response time that is worth an advice of its own: a share.
const LARGE_PART: f64 = 0.2;
/// Load that rises by so much or more while what succeeds stays below so much is more than the target keeps: times.
const RISES: f64 = 1.2;
const FLAT: f64 = 1.05;
/// A burst: this share of the failures in that share of the time.
const BURST: (f64, f64) = (0.8, 0.1);

/// What was found in a run and is worth doing something about, the most pressing first.
pub fn recommendations(summary: &Summary) -> Vec<Recommendation> {
    const RULES: [fn(&Summary) -> Option<Recommendation>; 22] = [
        untrusted,
        unanswered,
        unreachable,
        unresolved,
        handshakes_fail,
        time_outs,
        rate_limit,
        resets,
        unexpected,
        burst,
        saturated,
        dropped,
        few_connections,
        no_reuse,
        full_handshakes,
        reconnects,
        long_tail,
        unequal_addresses,
        leaking,
        retransmits,
        no_warmup,
        own_host,
    ];
    let rules = RULES.into_iter().filter_map(|rule| rule(summary));
    rules.chain(summary.objectives.iter().filter_map(|objective| undecided(summary, objective))).collect()
}

fn advice(likely: Side, seen: String, next: impl Into<String>) -> Option<Recommendation> {
    Some(Recommendation { seen, likely, next: next.into() })
}

fn untrusted(summary: &Summary) -> Option<Recommendation> {
    let word = match summary.validity.verdict {
        Validity::Valid => return None,
        verdict => verdict.label(),
    };
    let why = summary.validity.reasons.first().map(|why| format!(": {why}")).unwrap_or_default();
    advice(
        Side::Generator,
        format!("the generator is {word}{why}"),
        "`plimsoll calibrate PLAN` tells how much of the plan this machine can offer; offer less, or from a machine with \
         nothing else to do",
    )
}

fn unanswered(summary: &Summary) -> Option<Recommendation> {
    if !summary.unanswered {
        return None;
    }
    let kind = summary.errors.first();
    let why = kind.and_then(|kind| kind.samples.first()).map(|sample| format!(": {}", sample.message));
    advice(
        Side::Target,
        format!("no request got any answer{}", why.unwrap_or_default()),
        format!("see whether it is up and where it listens: `plimsoll hit {} -n 1`", summary.info.target),
    )
}

fn leaking(summary: &Summary) -> Option<Recommendation> {
    let leaks = |figure: &&ResourceSummary| {
        figure.findings.leak.is_some_and(|leak| leak.verdict == LeakVerdict::Leak)
    };
    let figure = summary.resources.iter().find(leaks)?;
    advice(
        Side::Target,
        crate::findings::leaks(figure, &figure.findings.leak?)?,
        "let it run for longer at the same load to see whether it goes on; what the target holds early and late (heap \
         profiles, lists of its connections and descriptors) shows what is never given back",
    )
}

/// How many requests failed in this way, where that is often.
fn often(summary: &Summary, outcome: Outcome) -> Option<(u64, f64)> {
    let failed = summary.errors.iter().find(|kind| kind.outcome == outcome)?.count;
    let share = share(failed, summary.totals.requests)?;
    (share >= OFTEN && !summary.unanswered).then_some((failed, share))
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn unreachable(summary: &Summary) -> Option<Recommendation> {
    let (failed, share) = often(summary, Outcome::Connect)?;
    advice(
        Side::Target,
        format!("{} connections ({}) could not be opened", count(failed), ratio(Some(share))),
        "look at the target's limit of connections and its queue of those to be accepted (`ss -ltn` there); \
         `http: { connect_rate: 100/s }` opens them more slowly",
    )
}

fn unresolved(summary: &Summary) -> Option<Recommendation> {
    let (failed, share) = often(summary, Outcome::Dns)?;
    advice(
        Side::Network,
        format!("the target's name was not resolved for {} requests ({})", count(failed), ratio(Some(share))),
        "look at the name server; a target given by its address needs none",
    )
}

fn handshakes_fail(summary: &Summary) -> Option<Recommendation> {
    let (failed, share) = often(summary, Outcome::Tls)?;
    advice(
        Side::Target,
        format!("{} TLS handshakes ({}) failed", count(failed), ratio(Some(share))),
        format!(
            "see whether it is the certificate: `plimsoll hit {} -n 1 -k` accepts any",
            summary.info.target
        ),
    )
}

fn time_outs(summary: &Summary) -> Option<Recommendation> {
    let (failed, share) = often(summary, Outcome::Timeout)?;
    advice(
        Side::Target,
        format!("{} requests ({}) had no answer within their time-out", count(failed), ratio(Some(share))),
        "`plimsoll limit PLAN` finds the load at which it still answers",
    )
}

fn rate_limit(summary: &Summary) -> Option<Recommendation> {
    let of =
        |wanted: u16| -> u64 { summary.steps.iter().filter_map(|step| step.statuses.get(&wanted)).sum() };
    let (limited, overloaded) = (of(429), of(503));
    let (status, answers) = if limited >= overloaded { (429, limited) } else { (503, overloaded) };
    let share = share(answers, summary.totals.requests).filter(|share| *share >= OFTEN)?;
    let (what, next) = match status {
        429 => (
            "the target limits this client's rate",
            "offer less than it allows, or have it allow more to this machine",
        ),
        _ => ("the target sheds load", "`plimsoll limit PLAN` finds the load at which it does not"),
    };
    advice(
        Side::Target,
        format!("{} answers ({}) were {status}: {what}", count(answers), ratio(Some(share))),
        next,
    )
}

fn resets(summary: &Summary) -> Option<Recommendation> {
    let (failed, share) = often(summary, Outcome::Reset)?;
    advice(
        Side::Target,
        format!("{} connections ({}) broke under a request", count(failed), ratio(Some(share))),
        "look for restarts, limits of memory and idle time-outs of the target and of proxies before it",
    )
}

fn unexpected(summary: &Summary) -> Option<Recommendation> {
    let found: Vec<_> = [Outcome::Expectation, Outcome::Capture]
        .into_iter()
        .filter_map(|kind| often(summary, kind))
        .collect();
    let failed: u64 = found.iter().map(|(failed, _)| failed).sum();
    let share = share(failed, summary.totals.requests).filter(|_| failed > 0)?;
    advice(
        Side::Plan,
        format!("{} answers ({}) were not what the plan expects", count(failed), ratio(Some(share))),
        "`plimsoll run PLAN --once` shows one iteration with its answers and what was looked for in them",
    )
}

/// Failures that come at once have one cause at one time.
fn burst(summary: &Summary) -> Option<Recommendation> {
    let points = &summary.timeline;
    let failed: u64 = points.iter().map(|point| point.failed).sum();
    let most = (points.len() as f64 * BURST.1).floor() as usize;
    if failed < ENOUGH / 10 || most == 0 {
        return None;
    }
    let within = |from: usize| points.iter().skip(from).take(most).map(|point| point.failed).sum::<u64>();
    let from = (0..points.len()).max_by_key(|from| within(*from))?;
    let (in_it, first) = (within(from), points.get(from)?);
    let last = points.get((from + most - 1).min(points.len() - 1))?;
    (in_it as f64 >= failed as f64 * BURST.0).then_some(())?;
    let at = |second: u64| words::offset(second as f64);
    advice(
        Side::Target,
        format!(
            "{} of {} failures came between {} and {}",
            count(in_it),
            count(failed),
            at(first.second),
            at(last.second + last.seconds)
        ),
        format!(
            "look at the target's log of that time; `plimsoll report {} --report run.html` has the course and the failed requests",
            summary.info.id
        ),
    )
}

/// More is asked and no more comes back: beyond here only the queue grows.
fn saturated(summary: &Summary) -> Option<Recommendation> {
    if summary.model != Model::Open {
        return None;
    }
    let stages: Vec<_> =
        // The mean of a stage that was steered is of loads of all sorts.
        summary.stages.iter().filter(|stage| !stage.steered && stage.offered > 0.0 && stage.throughput > 0.0).collect();
    let found = stages.windows(2).find_map(|pair| {
        let [before, after] = pair else { return None };
        let rises = after.offered >= before.offered * RISES;
        (rises && after.throughput <= before.throughput * FLAT).then_some((before, after))
    });
    let (before, after) = found?;
    let rate = |rate: f64| words::rate(Some(rate));
    advice(
        Side::Target,
        format!(
            "from stage {} to {} the load rose from {} to {}, and what succeeded went from {} to {}",
            before.index + 1,
            after.index + 1,
            rate(before.offered),
            rate(after.offered),
            rate(before.throughput),
            rate(after.throughput)
        ),
        format!(
            "it is beyond its limit there: `plimsoll limit PLAN` searches it, `plimsoll capacity --plan '{}'` tells what the \
             records say of it",
            summary.plan
        ),
    )
}

fn dropped(summary: &Summary) -> Option<Recommendation> {
    let dropped = summary.totals.dropped.saturating_sub(summary.validity.generator_drops);
    let share = share(dropped, summary.totals.arrivals).filter(|share| *share >= OFTEN / 10.0)?;
    advice(
        Side::Target,
        format!(
            "{} arrivals ({}) were dropped because so many iterations were running",
            count(dropped),
            ratio(Some(share))
        ),
        "it answers more slowly than it is asked: `plimsoll limit PLAN` finds the load that it keeps; `load.max_in_flight` \
         is the bound",
    )
}

fn few_connections(summary: &Summary) -> Option<Recommendation> {
    let (wait, response) = (figures(summary, Timing::Wait), figures(summary, Timing::ResponseTime));
    let (wait, response) = (wait.p95?, response.p95?);
    // Opening a connection is part of the wait, and no sign of too few.
    let opening = figures(summary, Timing::ConnectTime).p95.unwrap_or(0.0);
    (wait - opening > response * LARGE_PART && wait > 0.001).then_some(())?;
    advice(
        Side::Plan,
        format!(
            "requests waited {} at p95 for a free connection, of a response time of {}",
            seconds(Some(wait)),
            seconds(Some(response))
        ),
        "`--set http.connections=N` gives them more; where the target bounds them, the wait is what its users have too",
    )
}

fn no_reuse(summary: &Summary) -> Option<Recommendation> {
    let figures = &summary.connections;
    let reused = figures.reuse_ratio().filter(|_| summary.totals.requests >= ENOUGH)?;
    let closed = figures.closed(CloseReason::TargetClosed);
    let by_target = share(closed, figures.opened_in_all()).unwrap_or(0.0);
    (reused < 0.5 && by_target > 0.5).then_some(())?;
    let connect = self::figures(summary, Timing::ConnectTime).p50;
    advice(
        Side::Target,
        format!(
            "only {} of requests went over a used connection, and opening one took {} at the median: the target closed {} \
             with an answer",
            ratio(Some(reused)),
            seconds(connect),
            count(closed)
        ),
        "switch keep-alive on at the target, or at the proxy before it",
    )
}

fn full_handshakes(summary: &Summary) -> Option<Recommendation> {
    let figures = &summary.connections;
    let (full, resumed) = (figures.opened(Opening::TlsFull), figures.opened(Opening::TlsResumed));
    let share = share(full, summary.totals.requests).filter(|_| full >= ENOUGH)?;
    (share >= 0.1 && full > resumed).then_some(())?;
    advice(
        Side::Target,
        format!(
            "{} TLS handshakes were made in full and {} resumed, one for every {} requests",
            count(full),
            count(resumed),
            words::significant(1.0 / share)
        ),
        "let the target keep connections open and resume sessions; in full they cost it most of what TLS costs",
    )
}

fn reconnects(summary: &Summary) -> Option<Recommendation> {
    let share = share(summary.reconnects, summary.totals.requests).filter(|share| *share >= OFTEN)?;
    advice(
        Side::Target,
        format!(
            "{} requests ({}) found their connection closed while it was idle",
            count(summary.reconnects),
            ratio(Some(share))
        ),
        "the target's keep-alive time is shorter than the users' pauses: make it longer, there or at the proxy before it",
    )
}

fn long_tail(summary: &Summary) -> Option<Recommendation> {
    let response = figures(summary, Timing::ResponseTime);
    let (p50, p99) = (response.p50?, response.p99?);
    // Where requests wait for connections or time out, that is the tail, and told above.
    let is_told = few_connections(summary).is_some() || time_outs(summary).is_some();
    (p99 >= p50 * LONG_TAIL && response.count >= ENOUGH * 10 && !is_told).then_some(())?;
    advice(
        Side::Target,
        format!(
            "the slowest hundredth took {} and more, {} times the median of {}",
            seconds(Some(p99)),
            words::significant(p99 / p50),
            seconds(Some(p50))
        ),
        format!(
            "look for what only some requests meet: a cache that misses, garbage collection, a lock, a slow row; `plimsoll report {} \
             --report run.html` has the slowest with their data",
            summary.info.id
        ),
    )
}

fn unequal_addresses(summary: &Summary) -> Option<Recommendation> {
    let times = summary.skew?.p50.filter(|times| *times >= 2.0)?;
    advice(
        Side::Target,
        format!(
            "of {} addresses one is {} times as slow as another",
            summary.addresses.len(),
            words::significant(times)
        ),
        "look at the slow one by itself: `plimsoll run PLAN --set target=ITS_URL`",
    )
}

fn retransmits(summary: &Summary) -> Option<Recommendation> {
    let remark = summary.validity.remarks.iter().find(|remark| remark.contains("TCP"))?;
    advice(Side::Network, remark.clone(), "compare with a run from a machine beside the target")
}

/// What a plan with promises leaves to chance.
fn no_warmup(summary: &Summary) -> Option<Recommendation> {
    (summary.warmup_seconds == 0.0 && !summary.objectives.is_empty()).then_some(())?;
    let jumps =
        summary.stages.first().is_some_and(|stage| matches!(stage.shape.kind.as_str(), "hold" | "spike"));
    let ramp = if jumps { " and no ramp" } else { "" };
    advice(
        Side::Plan,
        format!("there was no warm-up{ramp}: cold caches and new connections are in every verdict"),
        "`--set load.warmup=10s` leaves them out",
    )
}

fn own_host(summary: &Summary) -> Option<Recommendation> {
    let target = &summary.info.target;
    let (_, authority) = target.split_once("://")?;
    let is_own = ["127.", "localhost", "[::1]"].iter().any(|host| authority.starts_with(host));
    (is_own && !summary.objectives.is_empty()).then_some(())?;
    advice(
        Side::Plan,
        "the target was on the generator's own host, and both shared its processors".to_owned(),
        "run it from another machine before its figures are compared with anybody's",
    )
}

/// An objective that stayed open, and what would close it.
fn undecided(summary: &Summary, objective: &ObjectiveSummary) -> Option<Recommendation> {
    (objective.judgement.verdict == Verdict::Inconclusive).then_some(())?;
    let seen = format!("`{}` is inconclusive: {}", objective.name, objective.judgement.why);
    let unknown = summary.totals.dropped + summary.totals.cut;
    let next = match objective.figure {
        Measure::Quantile(quantile, timing)
            if figures(summary, timing).count < quantile.fewest() && figures(summary, timing).count > 0 =>
        {
            let times = quantile.fewest() as f64 / figures(summary, timing).count as f64;
            let needed = std::time::Duration::from_secs((summary.measured_seconds * times).ceil() as u64);
            format!(
                "{quantile} takes {} requests: measure for {} or more",
                quantile.fewest(),
                duration::format(needed)
            )
        }
        measure if measure.is_leak() => "measure for longer at the same load".to_owned(),
        Measure::Resource(..) => {
            "see that its source in `resources` answers all through the run, or measure for longer".to_owned()
        }
        _ if unknown > 0 => format!(
            "{} requests were dropped or cut, which may have been either: offer less, or give them a longer `load.grace`",
            count(unknown)
        ),
        _ => "measure for longer, or ask for less".to_owned(),
    };
    advice(Side::Plan, seen, next)
}

fn figures(summary: &Summary, timing: Timing) -> LatencyFigures {
    summary.timings.get(&timing).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use plimsoll_measure::{ConnectionFigures, Edges, ErrorSample, Histogram, RequestCounts};
    use plimsoll_run::{ErrorSummary, Skew};
    use plimsoll_sla::Severity;

    /// A run of which nothing is to be said: warm, elsewhere, a thousand answers of 10 to 20 ms.
    fn calm() -> Summary {
        let mut summary = fixture::run().summary;
        summary.info.target = "http://shop.example:8080".into();
        summary.validity.verdict = Validity::Valid;
        (summary.validity.reasons, summary.validity.remarks) = (Vec::new(), Vec::new());
        summary.errors = Vec::new();
        (summary.totals.requests, summary.totals.arrivals) = (1000, 1000);
        (summary.totals.dropped, summary.totals.cut) = (0, 0);
        summary.steps.iter_mut().for_each(|step| step.statuses = [(200, 500)].into());
        summary.timeline.iter_mut().for_each(|point| point.failed = 0);
        summary.stages.iter_mut().for_each(|stage| (stage.offered, stage.throughput) = (100.0, 100.0));
        summary.connections = ConnectionFigures::default();
        (summary.reconnects, summary.skew) = (0, None);
        summary.objectives.iter_mut().for_each(|objective| objective.judgement.verdict = Verdict::Met);
        let times = |p50, p95, p99| LatencyFigures {
            count: 1000,
            p50: Some(p50),
            p95: Some(p95),
            p99: Some(p99),
            ..LatencyFigures::default()
        };
        summary.timings = [
            (Timing::ResponseTime, times(0.010, 0.018, 0.020)),
            (Timing::Wait, times(0.000_01, 0.000_02, 0.000_03)),
            (Timing::ConnectTime, times(0.001, 0.002, 0.003)),
        ]
        .into();
        summary
    }

    fn fails(summary: &mut Summary, outcome: Outcome, count: u64) {
        let message = "connection refused".to_owned();
        let sample = ErrorSample { outcome, step: 0, message, first: 0, last: 0, count };
        summary.errors.push(ErrorSummary { outcome, count, samples: vec![sample] });
    }

    #[test]
    fn nothing_is_said_of_a_run_that_went_well() {
        assert_eq!(recommendations(&calm()), []);
        assert_eq!(recommendations(&fixture::nothing().summary), [], "nor of one of which nothing is known");
    }

    /// What is changed about a calm run, whose that probably is, and a part of what is said of it.
    type Case = (fn(&mut Summary), Side, &'static str);

    #[test]
    fn each_finding_has_its_advice() {
        let cases: [Case; 23] = [
            (
                |run| {
                    run.validity.verdict = Validity::Suspect;
                    run.validity.reasons = vec!["p99 schedule lag 4 ms".into()];
                },
                Side::Generator,
                "the generator is suspect: p99 schedule lag 4 ms",
            ),
            (
                |run| {
                    run.unanswered = true;
                    fails(run, Outcome::Connect, 1000);
                },
                Side::Target,
                "no request got any answer: connection refused",
            ),
            (|run| fails(run, Outcome::Connect, 10), Side::Target, "10 connections (1%) could not be opened"),
            (
                |run| fails(run, Outcome::Dns, 20),
                Side::Network,
                "the target's name was not resolved for 20 requests (2%)",
            ),
            (|run| fails(run, Outcome::Tls, 20), Side::Target, "20 TLS handshakes (2%) failed"),
            (|run| fails(run, Outcome::Timeout, 20), Side::Target, "20 requests (2%) had no answer"),
            (|run| fails(run, Outcome::Reset, 20), Side::Target, "20 connections (2%) broke under a request"),
            (
                |run| run.steps[0].statuses = [(200, 900), (429, 100)].into(),
                Side::Target,
                "100 answers (10%) were 429: the target limits",
            ),
            (
                |run| run.steps[0].statuses = [(200, 900), (503, 100)].into(),
                Side::Target,
                "100 answers (10%) were 503: the target sheds load",
            ),
            (
                |run| {
                    fails(run, Outcome::Expectation, 15);
                    fails(run, Outcome::Capture, 15);
                },
                Side::Plan,
                "30 answers (3%) were not what the plan expects",
            ),
            (
                |run| {
                    run.timeline[20].failed = 50;
                    run.timeline[21].failed = 40;
                    run.timeline[5].failed = 10;
                },
                Side::Target,
                "90 of 100 failures came between",
            ),
            (
                |run| {
                    (run.stages[0].offered, run.stages[0].throughput) = (100.0, 100.0);
                    (run.stages[1].offered, run.stages[1].throughput) = (200.0, 104.0);
                },
                Side::Target,
                "the load rose from 100/s to 200/s, and what succeeded went from 100/s to 104/s",
            ),
            (|run| run.totals.dropped = 50, Side::Target, "50 arrivals (5%) were dropped"),
            (
                |run| wait(run, 0.012),
                Side::Plan,
                "requests waited 12.0 ms at p95 for a free connection, of a response time of 18.0 ms",
            ),
            (
                |run| {
                    run.connections.add_opened(Opening::Plain, 900);
                    run.connections.add_closed(CloseReason::TargetClosed, 900);
                    let mut each = Histogram::new(Edges::exactly([]));
                    (0..900).for_each(|_| each.record(plimsoll_measure::RESOLUTION_NANOS));
                    run.connections.requests = RequestCounts::from_distribution(each.distribution());
                },
                Side::Target,
                "the target closed 900 with an answer",
            ),
            (
                |run| run.connections.add_opened(Opening::TlsFull, 200),
                Side::Target,
                "200 TLS handshakes were made in full and 0 resumed, one for every 5 requests",
            ),
            (|run| run.reconnects = 30, Side::Target, "30 requests (3%) found their connection closed"),
            (
                |run| response(run).p99 = Some(0.5),
                Side::Target,
                "took 500 ms and more, 50 times the median of 10.0 ms",
            ),
            (
                |run| run.skew = Some(Skew { share: Some(1.0), p50: Some(3.0) }),
                Side::Target,
                "one is 3 times as slow as another",
            ),
            (
                |run| run.validity.remarks = vec!["TCP had to send 40 segments again".into()],
                Side::Network,
                "TCP had to send 40 segments again",
            ),
            (|run| run.warmup_seconds = 0.0, Side::Plan, "there was no warm-up"),
            (|run| run.info.target = "http://127.0.0.1:8080".into(), Side::Plan, "the generator's own host"),
            (
                |run| {
                    run.measured_seconds = 10.0;
                    response(run).count = 50;
                    let objective = &mut run.objectives[0];
                    let figure = plimsoll_sla::Expression::parse("p99(response_time) <= 1s")
                        .map(|parsed| parsed.measure);
                    objective.figure = figure.unwrap();
                    objective.judgement.verdict = Verdict::Inconclusive;
                    objective.severity = Severity::Critical;
                },
                Side::Plan,
                "`quick pages` is inconclusive",
            ),
        ];
        for (change, side, seen) in cases {
            let mut run = calm();
            change(&mut run);
            let found = recommendations(&run);
            let [only] = found.as_slice() else { panic!("{seen}: {found:#?}") };
            assert_eq!(only.likely, side, "{seen}");
            assert!(only.seen.contains(seen), "{seen}: {}", only.seen);
            assert!(!only.next.is_empty());
        }
    }

    #[test]
    fn what_is_too_little_is_told_with_how_much_is_enough() {
        let mut run = calm();
        run.measured_seconds = 10.0;
        response(&mut run).count = 50;
        run.objectives[0].figure =
            plimsoll_sla::Expression::parse("p99(response_time) <= 1s").unwrap().measure;
        run.objectives[0].judgement.verdict = Verdict::Inconclusive;
        assert_eq!(recommendations(&run)[0].next, "p99 takes 100 requests: measure for 20s or more");
    }

    #[test]
    fn a_few_failures_are_no_finding() {
        let mut run = calm();
        fails(&mut run, Outcome::Timeout, 9);
        assert_eq!(recommendations(&run), []);
    }

    fn response(run: &mut Summary) -> &mut LatencyFigures {
        run.timings.get_mut(&Timing::ResponseTime).unwrap()
    }

    fn wait(run: &mut Summary, p95: f64) {
        run.timings.get_mut(&Timing::Wait).unwrap().p95 = Some(p95);
    }
}
