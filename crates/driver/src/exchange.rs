//! One step: from its due to its end, over redirects.

use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION, SET_COOKIE,
};
use http::{Method, StatusCode};
use plimsoll_measure::{
    CheckKey, CloseReason, DataRow, KeptRequest, Opening, Outcome, PendingKey, Phase, Sample, SeriesKey,
    TraceContext, ValueKey,
};
use plimsoll_run::Reuse;

use crate::Failure;
use crate::access::{Access, Held};
use crate::addresses::ELSEWHERE;
use crate::coding::decode;
use crate::compile::{CompiledUntil, Step, path_and_query};
use crate::connection::{Answer, AnswerLimit, within};
use crate::evidence;
use crate::fill::{Unsendable, Values};
use crate::judge::{Around, CompiledExpect, Seen, judge};
use crate::measures::Json;
use crate::message::{Extra, Message};
use crate::recorder::{InFlight, Recorder};
use crate::singles::Begun;
use crate::transport::Origin;
use crate::user::{Connecting, User};
use crate::worker::{Worker, nanos};

/// How often a request is taken to another connection because its own turned out to be closed, or its
/// stream to be refused. A target that goes on so is told instead of being hammered.
const MOST_REPLACED: u32 = 8;

/// The phase and stage an iteration was due in.
pub(crate) type Place = (Phase, Option<u16>);

/// Since when a step's request counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    pub(crate) due: u64,
    /// When the step was got to and its first byte left, where it is tried again: its time spans all tries.
    pub(crate) first: Option<(u64, Option<u64>)>,
    /// When a step that waits for something is not asked again; `None`: its time begins with this request.
    pub(crate) give_up: Option<u64>,
}

impl Since {
    pub(crate) fn due(due: u64) -> Self {
        Self { due, first: None, give_up: None }
    }
}

/// How a step ended, for now.
#[derive(Debug)]
pub(crate) struct StepEnd {
    /// When it was got to, and when its first byte left.
    pub(crate) began: (u64, Option<u64>),
    pub(crate) done: u64,
    pub(crate) succeeded: bool,
    /// The answer was right, but not yet what the step waits for.
    pub(crate) waits: bool,
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<u16>,
    /// Nothing was sent because this machine could not; the step is not counted.
    pub(crate) not_offered: bool,
    /// No answer came, so trying again at once would only spin.
    pub(crate) no_answer: bool,
}

/// One request of a step, whose result is known.
#[derive(Debug, Clone, Copy)]
struct Sent<'a> {
    step: &'a Step,
    message: &'a Rc<Message>,
    place: Place,
    since: Since,
    /// Redirects before it.
    followed: u32,
    done: u64,
    /// When the first byte of its answer came, and when its own had left.
    first_byte: Option<(u64, u64)>,
}

/// What became of one request of a step.
#[derive(Debug)]
struct Hop {
    outcome: Outcome,
    failure: Option<Failure>,
    /// The request that it leads to.
    next: Option<Rc<Message>>,
    answer: Option<Answer>,
    /// The answer was right, but not yet what the step waits for.
    waits: bool,
}

impl Hop {
    fn ok(answer: Answer) -> Self {
        Self { outcome: Outcome::Ok, failure: None, next: None, answer: Some(answer), waits: false }
    }

    fn failed(failure: Failure, answer: Option<Answer>) -> Self {
        Self { outcome: failure.outcome, failure: Some(failure), next: None, answer, waits: false }
    }
}

impl Answer {
    /// Whether its status is right, and it has no headers that lead on or set cookies.
    fn is_right_as_it_is(&self, expect: &CompiledExpect) -> bool {
        self.headers().is_none() && expect.is_right(self.status.as_u16())
    }
}

impl Worker {
    /// Runs one step that is due now and records each of its requests.
    pub(crate) async fn step(
        &self,
        user: &mut User,
        values: &mut Values,
        step: &Step,
        place: Place,
        since: Since,
    ) -> StepEnd {
        let now = self.clock.now();
        let due = since.due;
        let (ready, mut first_sent) = since.first.unwrap_or((now, None));
        let nothing = move |done| StepEnd {
            began: (ready, first_sent),
            done,
            succeeded: false,
            waits: false,
            outcome: Outcome::Connect,
            status: None,
            not_offered: false,
            no_answer: true,
        };
        let (phase, stage) = place;
        let key = PendingKey { step: step.index, phase, stage };
        let message = match &step.fixed {
            Some(message) => Ok(Rc::clone(message)),
            None => self.message(step, values),
        };
        let mut message = match message {
            Ok(message) => message,
            Err(unsendable) => {
                let unsent = unsendable.to_string();
                if let Unsendable::Filled(what) = unsendable {
                    let label = self.shape.steps.get(usize::from(step.index)).map_or("?", |step| &*step.step);
                    self.trouble(&format!("`{label}` was not sent: with the values filled in {what}"));
                }
                self.observer.iter().for_each(|observer| observer.miss(step, &unsent));
                return nothing(now);
            }
        };
        let request = InFlight { key, due, ready, first_sent, address: 0, traffic: None };
        let slot = self.recorder.borrow_mut().begin(request, now.saturating_add(self.timeout));
        let mut begun = if self.has_more { self.begin_more(slot, now, &message) } else { None };
        let observes = self.observer.is_some();
        let limit = AnswerLimit {
            headers: step.reads_headers || observes,
            body: step.reads_body || observes,
            max_body: self.http.max_body,
        };
        for followed in 0.. {
            let (result, opened) = self.attempt(user, slot, due, &message, trace(&begun), limit).await;
            let done = result.as_ref().map_or_else(|_| self.clock.now(), |answer| answer.done);
            let (traffic, address) = match self.recorder.borrow_mut().in_flight(slot) {
                Some(request) => (request.traffic.take(), request.address),
                None => (None, ELSEWHERE),
            };
            let sent = traffic.as_ref().and_then(|traffic| traffic.sent());
            first_sent = first_sent.or(sent);
            let status = result.as_ref().ok().map(|answer| answer.status.as_u16());
            let hop = match result {
                // The usual case, at the price of a comparison.
                Ok(answer) if step.is_plain && answer.is_right_as_it_is(&step.expect) => Hop::ok(answer),
                result => {
                    let first_byte = traffic.as_ref().and_then(|traffic| traffic.first_byte()).zip(sent);
                    let sent = Sent { step, message: &message, place, since, followed, done, first_byte };
                    self.judged(user, values, &sent, result)
                }
            };
            let Hop { outcome, failure, next, answer, waits } = hop;
            if let Some(failure) = &failure
                && failure.ours
            {
                self.recorder.borrow_mut().end(slot);
                self.trouble(&failure.message);
                return StepEnd { not_offered: true, ..nothing(done) };
            }
            let first_byte = traffic.as_ref().and_then(|traffic| traffic.first_byte());
            let sample = Sample {
                key: SeriesKey { step: step.index, phase, stage, outcome },
                due,
                ready,
                sent: first_sent,
                done,
                connect: opened.map(|(connect, _)| connect),
                tls: opened.and_then(|(_, tls)| tls),
                first_byte: first_byte.zip(sent).map(|(byte, sent)| byte.saturating_sub(sent)),
                status,
                received_bytes: traffic.as_ref().map_or(0, |traffic| traffic.read()),
                sent_bytes: traffic.as_ref().map_or(0, |traffic| traffic.written()),
                address,
            };
            let mut recorder = self.recorder.borrow_mut();
            recorder.record(&sample);
            let (failed, answer) = (failure.as_ref(), answer.as_ref());
            recorder.keep(&sample, || KeptRequest {
                exchange: Some(evidence::exchange(step, values, &self.setup, &message, answer)),
                ..self.whole(&sample, failed, user, values)
            });
            if let Some(observer) = &self.observer {
                observer.see(step, values, &message, answer, &sample, failed);
            }
            if let Some(begun) = &mut begun {
                self.end_single(&mut recorder, slot, begun, &sample);
            }
            if let Some(next) = next {
                recorder.in_flight(slot).into_iter().for_each(|request| request.first_sent = first_sent);
                message = next;
                continue;
            }
            recorder.end(slot);
            if let Some(failure) = &failure {
                recorder.error(outcome, step.index, done, &failure.message);
            }
            return StepEnd {
                began: (ready, first_sent),
                done,
                succeeded: outcome.is_success(),
                waits,
                outcome,
                status,
                not_offered: false,
                no_answer: !outcome.is_answer(),
            };
        }
        unreachable!("redirects are bounded by the plan")
    }

    /// What became of a request: where it goes on, or whether its answer is what the step expects.
    #[inline(never)]
    fn judged(
        &self,
        user: &mut User,
        values: &mut Values,
        sent: &Sent<'_>,
        result: Result<Answer, Failure>,
    ) -> Hop {
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => return Hop::failed(failure, None),
        };
        let Sent { step, message, place, since, followed, done, first_byte } = *sent;
        match self.redirect(user, message, step, &answer, followed) {
            Ok(None) => {}
            Ok(next) => return Hop { outcome: Outcome::Redirect, next, ..Hop::ok(answer) },
            Err(failure) => return Hop::failed(failure, Some(answer)),
        }
        let json = Json::of(&answer);
        self.measure(step, place, &answer, &json);
        let is_last = |until: &CompiledUntil| {
            let give_up = since.give_up.unwrap_or(since.due.saturating_add(until.timeout));
            done.saturating_add(until.every) > give_up
        };
        let around = Around { first_byte, user, message, seed: self.seed };
        let seen = Seen::new(&answer, &json, done.saturating_sub(since.due), around);
        let verdict = judge(step, values, &seen, is_last);
        // What a step still waits for is not looked at.
        if verdict.as_ref().map_or(true, |is_done| *is_done) {
            self.check(step, place, &seen, done);
        }
        drop(seen);
        match verdict {
            Ok(is_done) => Hop { waits: !is_done, ..Hop::ok(answer) },
            Err(failure) => Hop::failed(failure, Some(answer)),
        }
    }

    /// Counts which checks hold of an answer.
    fn check(&self, step: &Step, (phase, _): Place, seen: &Seen<'_>, done: u64) {
        for check in &step.checks {
            let key = CheckKey { check: check.index, phase };
            let holds = check.holds(seen);
            self.recorder.borrow_mut().check(key, done, holds);
            if let Some(observer) = &self.observer {
                let shape = self.shape.checks.get(usize::from(check.index));
                observer.check(shape.map_or("", |shape| &shape.check), holds);
            }
        }
    }

    /// Counts what an answer says of the plan's own values.
    fn measure(&self, step: &Step, (phase, stage): Place, answer: &Answer, json: &Json<'_>) {
        for measure in &step.measures {
            let observed = measure.observe(answer, json);
            let key = ValueKey { value: measure.index, step: step.index, phase, stage };
            self.recorder.borrow_mut().value(key, answer.done, observed);
        }
    }

    /// What most plans have not: a time of its own for the step, and single requests. Of these it decides
    /// whether the request is told by itself, and in which trace.
    #[cold]
    #[inline(never)]
    fn begin_more(&self, slot: usize, now: u64, message: &Message) -> Option<Begun> {
        if let Some(timeout) = self.own_timeout(slot) {
            self.recorder.borrow_mut().end_apart(slot, now.saturating_add(nanos(timeout)));
        }
        let begun = self.singles.as_ref()?.begin(message.is_traced);
        self.recorder.borrow_mut().begun(slot, begun);
        Some(begun)
    }

    /// The step whose request is in flight there.
    #[cold]
    fn step_of(&self, slot: usize) -> u16 {
        self.recorder.borrow_mut().in_flight(slot).map_or(u16::MAX, |request| request.key.step)
    }

    fn own_timeout(&self, slot: usize) -> Option<Duration> {
        *self.own_timeouts.get(usize::from(self.step_of(slot)))?
    }

    /// How long the request of a slot may take.
    #[cold]
    fn timeout_of(&self, slot: usize) -> Duration {
        self.own_timeout(slot).unwrap_or(self.http.timeout)
    }

    /// Tells a request that was recorded, if it was chosen; the next of its slot is another span.
    #[cold]
    #[inline(never)]
    fn end_single(&self, recorder: &mut Recorder, slot: usize, begun: &mut Begun, sample: &Sample) {
        let Some(singles) = &self.singles else { return };
        singles.choose(begun, sample).iter().for_each(|single| recorder.tell(single));
        singles.go_on(begun);
        recorder.begun(slot, *begun);
    }

    /// Everything that is known of a request.
    fn whole(&self, sample: &Sample, failure: Option<&Failure>, user: &User, values: &Values) -> KeptRequest {
        let row = values.rows.first().and_then(|(feed, row)| {
            let feed = self.feeds.get(*feed)?.feed.name.clone();
            Some(DataRow { feed, row: row.number })
        });
        KeptRequest {
            sample: *sample,
            message: failure.map(|failure| failure.message.clone()),
            iteration: values.iteration,
            user: user.closed.then_some(user.number),
            row,
            worker: self.share.index as u16,
            exchange: None,
        }
    }

    /// Connection and exchange of one hop, with how long opening the connection took if it opened one.
    async fn attempt(
        &self,
        user: &mut User,
        slot: usize,
        due: u64,
        message: &Message,
        trace: Option<&TraceContext>,
        limit: AnswerLimit,
    ) -> (Result<Answer, Failure>, Option<(u64, Option<u64>)>) {
        for replaced in 0.. {
            let mut held = match self.access(user, due, &message.origin) {
                Access::Held(held) => held,
                other => {
                    if let (Access::Open(_, address) | Access::Wait(address), Some(request)) =
                        (&other, self.recorder.borrow_mut().in_flight(slot))
                    {
                        let to_target = *message.origin == *self.target.origin;
                        request.address = if to_target { *address } else { ELSEWHERE };
                    }
                    let since = self.clock.now();
                    // Rare, and its state is large: in a box it costs waiting users no memory.
                    let opening = Box::pin(self.hold(user, &message.origin, other));
                    let held = within(opening, |context| self.is_overdue(slot, context)).await;
                    let now = self.clock.now();
                    match held {
                        Some(Ok(held)) => {
                            self.recorder.borrow_mut().waited(now, now - since);
                            held
                        }
                        Some(Err(failure)) => return (Err(failure), None),
                        None => {
                            if user.connecting.get() == Connecting::Opens {
                                self.recorder.borrow_mut().opened(now, Opening::Failed);
                            }
                            return (Err(user.timed_out(self.timeout_of(slot))), None);
                        }
                    }
                }
            };
            let opened = held.connection.opened.take();
            held.connection.begin();
            if let Some(request) = self.recorder.borrow_mut().in_flight(slot) {
                let traffic = &held.connection.traffic;
                request.address = traffic.address;
                request.traffic = Some(Rc::clone(traffic));
            }
            let signature = match &self.signer {
                None => Vec::new(),
                Some(signer) => signer.sign(user, message, self.step_of(slot)),
            };
            let extra = Extra { cookies: user.cookies_for(message), trace, signature };
            let result = match self.http.network.first_byte_timeout {
                None => {
                    let overdue = |context: &Context<'_>| self.is_overdue(slot, context);
                    held.connection.exchange(message, extra, limit, overdue).await
                }
                Some(first_byte) => {
                    // Rare, and its state is large.
                    let exchange = self.exchange_with(&mut held, slot, message, extra, limit, first_byte);
                    match Box::pin(exchange).await {
                        Ok(result) => result,
                        Err(failure) => {
                            held.connection.closes(CloseReason::Timeout);
                            return (Err(failure), opened);
                        }
                    }
                }
            };
            let Some(result) = result else {
                held.connection.closes(CloseReason::Timeout);
                return (Err(user.timed_out(self.timeout_of(slot))), opened);
            };
            match &result {
                Ok(_) if self.reuse == Reuse::Never => held.connection.closes(CloseReason::NotReused),
                Ok(answer) if held.connection.is_reusable() => {
                    user.left_off = Some(answer.done);
                    held.release(user, answer.done);
                }
                Ok(_) => held.connection.closes(CloseReason::TargetClosed),
                Err(_)
                    if (opened.is_none() || held.connection.traffic.is_refused())
                        && held.connection.traffic.sent().is_none()
                        && replaced < MOST_REPLACED =>
                {
                    // It had been closed while idle and not a byte left: another connection, no other request.
                    held.connection.closes(CloseReason::IdleClosed);
                    self.recorder.borrow_mut().reconnect(self.clock.now());
                    continue;
                }
                Err(failure) if failure.outcome == Outcome::TooLarge => {
                    held.connection.closes(CloseReason::TooLarge);
                }
                Err(_) => held.connection.closes(CloseReason::Error),
            }
            if self.decodes && limit.body {
                return (decoded(result, limit), opened);
            }
            return (result, opened);
        }
        unreachable!("replacing is bounded")
    }

    /// An exchange whose answer has to begin in time; fails when it does not.
    async fn exchange_with(
        &self,
        held: &mut Held,
        slot: usize,
        message: &Message,
        extra: Extra<'_>,
        limit: AnswerLimit,
        first_byte: Duration,
    ) -> Result<Option<Result<Answer, Failure>>, Failure> {
        let traffic = Rc::clone(&held.connection.traffic);
        let overdue = |context: &Context<'_>| self.is_overdue(slot, context);
        let mut exchange = pin!(held.connection.exchange(message, extra, limit, overdue));
        tokio::select! {
            biased;
            result = &mut exchange => return Ok(result),
            () = tokio::time::sleep(first_byte) => {}
        }
        if traffic.first_byte().is_some() {
            return Ok(exchange.await);
        }
        let limit = plimsoll_units::duration::format(first_byte);
        Err(Failure::new(Outcome::Timeout, format!("no first byte of an answer within {limit}")))
    }

    /// Whether the request of this slot is overdue; if not, its task is woken when it is.
    fn is_overdue(&self, slot: usize, context: &Context<'_>) -> bool {
        self.recorder.borrow_mut().is_overdue(slot, context.waker())
    }

    /// Keeps the answer's cookies and says where it redirects to, if it does.
    fn redirect(
        &self,
        user: &mut User,
        message: &Rc<Message>,
        step: &Step,
        answer: &Answer,
        followed: u32,
    ) -> Result<Option<Rc<Message>>, Failure> {
        let Some(headers) = answer.headers() else { return Ok(None) };
        if headers.contains_key(SET_COOKIE) {
            user.keep_cookies(message, headers);
        }
        if let Some(signer) = &self.signer
            && signer.is_challenged(user, message, step.index, answer)
        {
            return Ok(Some(Rc::clone(message)));
        }
        let location = match headers.get(LOCATION) {
            Some(location) if is_redirect(answer.status) && self.http.redirects > 0 => location,
            _ => return Ok(None),
        };
        // A plan that expects this very status wants to see it.
        let status = answer.status.as_u16();
        if step.expect.names(status) {
            return Ok(None);
        }
        if followed >= self.http.redirects {
            return Err(Failure::new(
                Outcome::Protocol,
                format!("redirected more than {} times", self.http.redirects),
            ));
        }
        let wrong = || Failure::new(Outcome::Protocol, "redirected to what is no http or https URL");
        let base = message.url().ok_or_else(wrong)?;
        let url = location.to_str().ok().and_then(|location| base.join(location).ok()).ok_or_else(wrong)?;
        let origin = Origin::of(&url).ok_or_else(wrong)?.on_the_way_of(&message.origin);
        let mut headers = message.headers.clone();
        if origin != *message.origin {
            // Credentials were given for one host, not for whatever it points to.
            for name in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE] {
                headers.remove(name);
            }
            headers.insert(HOST, origin.host_header().ok_or_else(wrong)?);
        }
        let same = origin == *message.origin;
        let origin = if same { Rc::clone(&message.origin) } else { Rc::new(origin) };
        let (mut method, mut body) = (message.method.clone(), message.body.clone());
        let becomes_get = answer.status == StatusCode::SEE_OTHER
            || (method == Method::POST
                && matches!(answer.status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND));
        if becomes_get && method != Method::HEAD {
            (method, body) = (Method::GET, Bytes::new());
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_LENGTH);
        }
        let uri = path_and_query(&url).map_err(|_| wrong())?;
        Ok(Some(Message::new(origin, method, uri, headers, body)))
    }
}

/// An answer with its body as it was before it was coded.
#[cold]
fn decoded(answer: Result<Answer, Failure>, limit: AnswerLimit) -> Result<Answer, Failure> {
    let mut answer = answer?;
    let body = std::mem::take(&mut answer.body);
    answer.body = match answer.headers() {
        Some(headers) => decode(headers, body, limit)?,
        None => body,
    };
    Ok(answer)
}

/// The trace that a request is to carry.
fn trace(begun: &Option<Begun>) -> Option<&TraceContext> {
    begun.as_ref()?.trace.as_ref()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
