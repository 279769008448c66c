//! One step: from its due to its end, over redirects.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use cookie_store::{Cookie, CookieStore};
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION, SET_COOKIE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use plimsoll_measure::{
    CloseReason, DataRow, KeptRequest, Opening, Outcome, PendingKey, Phase, Sample, SeriesKey, TraceContext,
    ValueKey,
};
use plimsoll_run::Variable;

use crate::Failure;
use crate::addresses::ELSEWHERE;
use crate::compile::{
    CompiledBody, CompiledSource, CompiledUrl, Step, escape_body, fill, fill_url, path_and_query, resolve,
};
use crate::connection::{Answer, AnswerLimit, Connection, within};
use crate::measures::{Json, as_text};
use crate::message::{Extra, Message};
use crate::pool::Lease;
use crate::recorder::{InFlight, Recorder};
use crate::resources::Exhausted;
use crate::singles::{Begun, Singles};
use crate::transport::{Opened, Origin};
use crate::worker::Worker;

/// The most cookies a user keeps, which is what browsers keep of a site: a target that names each
/// cookie anew must not make a closed user grow for as long as it lives.
const COOKIES: usize = 180;

/// The longest cookie that is kept, attributes and all, as in browsers (RFC 6265, section 6.1).
const COOKIE_BYTES: usize = 4096;

/// How often a request is taken to another connection because its own turned out to be closed, or its
/// stream to be refused. A target that goes on so is told instead of being hammered.
const MOST_REPLACED: u32 = 8;

/// Whoever makes requests: a virtual user of the closed model, or an iteration of the open one.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) number: u64,
    cookies: Option<Box<CookieStore>>,
    /// Whether it lives for more than an iteration.
    closed: bool,
    /// A closed user keeps its own connection; others share the worker's pool.
    own: Option<Option<Box<Connection>>>,
    /// When the last answer on its own connection ended.
    left_off: Option<u64>,
    /// What it does to have a connection.
    connecting: Cell<Connecting>,
}

/// What somebody without a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Connecting {
    /// Nothing, or waits for one that others have.
    #[default]
    No,
    /// Waits for the plan's rate of new connections.
    Waits,
    /// Opens one.
    Opens,
}

impl User {
    /// A user on the shared pool.
    pub(crate) fn sharing(number: u64) -> Self {
        Self { number, cookies: None, closed: false, own: None, left_off: None, connecting: Cell::default() }
    }

    /// A closed user, with a connection of its own where connections are not shared.
    pub(crate) fn closed(number: u64, owning: bool) -> Self {
        let own = owning.then_some(None);
        Self { number, cookies: None, closed: true, own, left_off: None, connecting: Cell::default() }
    }

    /// Whether it lives for more than an iteration.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

/// What an iteration knows.
#[derive(Debug)]
pub(crate) struct Values {
    pub(crate) captures: Vec<Option<String>>,
    /// (feed, row) drawn for this iteration.
    pub(crate) rows: Vec<(u16, usize)>,
    pub(crate) iteration: u64,
    pub(crate) user: u64,
}

/// The phase and stage an iteration was due in.
pub(crate) type Place = (Phase, Option<u16>);

/// How a step ended.
#[derive(Debug)]
pub(crate) struct StepEnd {
    pub(crate) done: u64,
    pub(crate) succeeded: bool,
    /// Nothing was sent because this machine could not; the step is not counted.
    pub(crate) not_offered: bool,
    /// No answer came, so trying again at once would only spin.
    pub(crate) no_answer: bool,
}

/// Why a step's request cannot be made. It is a step not reached, and not counted as a request.
enum Unsendable {
    /// A hole has no value: an earlier step did not capture it.
    Unknown,
    /// The values are there, and what they make cannot be sent. In words without the values.
    Filled(String),
}

/// A connection in use, and what gives it back.
struct Held {
    connection: Box<Connection>,
    lease: Option<Lease>,
}

/// What there is to send a request on.
enum Access {
    /// A connection.
    Held(Held),
    /// The right to open one to this address of the target.
    Open(Option<Lease>, u16),
    /// Nothing until somebody gives a connection back.
    Wait(u16),
}

/// Counts a connection from before it opens for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicU64>);

impl Counted {
    /// The right to open a connection, of which there are `room`: the last descriptors are not ours to
    /// take, since the record needs some too.
    pub(crate) fn new(count: &Arc<AtomicU64>, room: Option<u64>) -> Result<Self, Failure> {
        let counted = Self(Arc::clone(count));
        let others = count.fetch_add(1, Ordering::Relaxed);
        if room.is_some_and(|room| others >= room) {
            return Err(Failure::ours(Exhausted::Descriptors.to_string()));
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
        due: u64,
    ) -> StepEnd {
        let ready = self.clock.now();
        let (phase, stage) = place;
        let key = PendingKey { step: step.index, phase, stage };
        let mut message = match self.message(step, values) {
            Ok(message) => message,
            Err(unsendable) => {
                if let Unsendable::Filled(what) = unsendable {
                    let label = self.shape.steps.get(usize::from(step.index)).map_or("?", |step| &*step.step);
                    self.trouble(&format!("`{label}` was not sent: with the values filled in {what}"));
                }
                return StepEnd { done: ready, succeeded: false, not_offered: false, no_answer: true };
            }
        };
        let request = InFlight { key, due, ready, first_sent: None, address: 0, traffic: None };
        let slot = self.recorder.borrow_mut().begin(request, ready.saturating_add(self.timeout));
        let mut begun = self.singles.as_ref().map(|singles| self.begin_single(singles, slot, &message));
        let limit =
            AnswerLimit { headers: step.reads_headers, body: step.reads_body, max_body: self.http.max_body };
        let mut first_sent = None;
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
            let next = match &result {
                Ok(answer) => self.redirect(user, &message, step, answer, followed),
                Err(_) => Ok(None),
            };
            let (outcome, failure, next) = match (result, next) {
                (_, Ok(Some(next))) => (Outcome::Redirect, None, Some(next)),
                (_, Err(failure)) | (Err(failure), _) => (failure.outcome, Some(failure), None),
                (Ok(answer), Ok(None)) => {
                    let json = Json::of(&answer);
                    self.measure(step, place, &answer, &json);
                    match judge(step, values, &answer, &json, done.saturating_sub(due)) {
                        Ok(()) => (Outcome::Ok, None, None),
                        Err(failure) => (failure.outcome, Some(failure), None),
                    }
                }
            };
            if let Some(failure) = &failure
                && failure.ours
            {
                self.recorder.borrow_mut().end(slot);
                self.trouble(&failure.message);
                return StepEnd { done, succeeded: false, not_offered: true, no_answer: true };
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
            recorder.keep(&sample, || self.whole(&sample, failure.as_ref(), user, values));
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
                done,
                succeeded: outcome.is_success(),
                not_offered: false,
                no_answer: !outcome.is_answer(),
            };
        }
        unreachable!("redirects are bounded by the plan")
    }

    /// Counts what an answer says of the plan's own values.
    fn measure(&self, step: &Step, (phase, stage): Place, answer: &Answer, json: &Json<'_>) {
        for measure in &step.measures {
            let observed = measure.observe(answer, json);
            let key = ValueKey { value: measure.index, step: step.index, phase, stage };
            self.recorder.borrow_mut().value(key, answer.done, observed);
        }
    }

    /// Decides about a request whether it is told by itself, and in which trace.
    #[cold]
    #[inline(never)]
    fn begin_single(&self, singles: &Singles, slot: usize, message: &Message) -> Begun {
        let begun = singles.begin(message.is_traced);
        self.recorder.borrow_mut().begun(slot, begun);
        begun
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
            Some(DataRow { feed, row: *row as u64 })
        });
        KeptRequest {
            sample: *sample,
            message: failure.map(|failure| failure.message.clone()),
            iteration: values.iteration,
            user: user.closed.then_some(user.number),
            row,
            worker: self.share.index as u16,
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
                            return (Err(user.timed_out(self.http.timeout)), None);
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
            let extra = Extra { cookies: user.cookies_for(message), trace };
            let overdue = |context: &Context<'_>| self.is_overdue(slot, context);
            let Some(result) = held.connection.exchange(message, extra, limit, overdue).await else {
                held.connection.closes(CloseReason::Timeout);
                return (Err(user.timed_out(self.http.timeout)), opened);
            };
            match &result {
                Ok(answer) if held.connection.is_reusable() => {
                    user.left_off = Some(answer.done);
                    held.release(user);
                }
                Ok(_) => held.connection.closes(CloseReason::TargetClosed),
                Err(_)
                    if opened.is_none()
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
            return (result, opened);
        }
        unreachable!("replacing is bounded")
    }

    /// What there is to send a request on right now.
    fn access(&self, user: &mut User, due: u64, origin: &Rc<Origin>) -> Access {
        let (known, lease, address) = match &mut user.own {
            Some(own) => {
                let known = own.take().and_then(|connection| connection.leading_to(origin));
                (known, None, self.turns.at(user.number))
            }
            None => {
                let address = self.pool.next_address();
                let Some(mut lease) = self.pool.take(origin, address) else { return Access::Wait(address) };
                (lease.connection.take(), Some(lease), address)
            }
        };
        match known {
            None => Access::Open(lease, address),
            // Due when the last answer ended: nothing can have been heard of the connection since.
            Some(connection) if user.own.is_some() && user.left_off == Some(due) => {
                Access::Held(Held { connection, lease })
            }
            Some(connection) => self.use_or_replace(connection, lease, address),
        }
    }

    /// A connection if it is usable, else the right to open another.
    fn use_or_replace(&self, mut connection: Box<Connection>, lease: Option<Lease>, address: u16) -> Access {
        if connection.is_usable() {
            return Access::Held(Held { connection, lease });
        }
        self.recorder.borrow_mut().reconnect(self.clock.now());
        Access::Open(lease, address)
    }

    /// A connection to send a request on, once it is open or somebody gives it back.
    async fn hold(&self, user: &User, origin: &Rc<Origin>, mut access: Access) -> Result<Held, Failure> {
        loop {
            let (lease, address) = match access {
                Access::Held(held) => return Ok(held),
                Access::Open(lease, address) => (lease, address),
                Access::Wait(address) => {
                    let mut lease = self.pool.wait(origin).await;
                    access = match lease.connection.take() {
                        Some(connection) => self.use_or_replace(connection, Some(lease), address),
                        None => Access::Open(Some(lease), address),
                    };
                    continue;
                }
            };
            let Some(sessions) = &self.sessions else {
                let (opened, counted) = self.open(user, origin, address).await?;
                let origin = Rc::clone(origin);
                let (clock, ledger, reading) = (self.clock, &self.ledger, &self.reading);
                let connection =
                    Connection::new(origin, opened, clock, counted, ledger, self.http1, reading).await?;
                return Ok(Held { connection, lease });
            };
            let open = || self.open(user, origin, address);
            if let Some((slot, opened)) = sessions.slot(origin, address, self.clock, open).await? {
                let connection = Connection::of_stream(Rc::clone(origin), slot, self.clock, opened);
                return Ok(Held { connection, lease });
            }
            // The target allows no more streams at once than there are.
            lease.into_iter().for_each(Lease::retire);
            access = Access::Wait(address);
        }
    }

    /// Opens a byte stream, in the plan's time for that.
    async fn open(
        &self,
        user: &User,
        origin: &Rc<Origin>,
        address: u16,
    ) -> Result<(Opened, Counted), Failure> {
        if self.shared.pacer.is_limited() {
            // Waiting for the plan's own rate is no part of connecting.
            user.connecting.set(Connecting::Waits);
            self.shared.pacer.turn(self.clock).await;
        }
        user.connecting.set(Connecting::Opens);
        let opening = async {
            let counted = Counted::new(&self.shared.connections, self.shared.room)?;
            let opened = self.transport.open(origin, address, self.clock).await?;
            Ok((opened, counted))
        };
        let opened = tokio::time::timeout(self.http.connect_timeout, opening).await.unwrap_or_else(|_| {
            let limit = plimsoll_units::duration::format(self.http.connect_timeout);
            Err(Failure::new(Outcome::Timeout, format!("no connection within {limit}")))
        });
        user.connecting.set(Connecting::No);
        match opened {
            Ok((opened, counted)) => {
                self.recorder.borrow_mut().opened(self.clock.now(), opened.way());
                Ok((opened, counted))
            }
            // What we could not even try says nothing about connecting.
            Err(failure) if failure.ours => {
                let open = self.shared.connections.load(Ordering::Relaxed);
                Err(Failure::ours(format!("{}: {open} connections are open", failure.message)))
            }
            Err(failure) => {
                self.recorder.borrow_mut().opened(self.clock.now(), Opening::Failed);
                Err(failure)
            }
        }
    }

    /// The step's request: made before the load where it has no holes, else filled now.
    fn message(&self, step: &Step, values: &Values) -> Result<Rc<Message>, Unsendable> {
        if let Some(message) = &step.fixed {
            return Ok(Rc::clone(message));
        }
        let unknown = |_| Unsendable::Unknown;
        let value = |variable| self.value(variable, values);
        let (origin, uri) = match &step.url {
            CompiledUrl::Fixed(origin, uri) => (Rc::clone(origin), uri.clone()),
            CompiledUrl::Filled(template) => {
                let text = fill_url(template, value).map_err(unknown)?;
                resolve(&self.target, &text)
                    .map_err(|_| Unsendable::Filled("its URL is no URL".to_owned()))?
            }
        };
        let mut headers = HeaderMap::clone(&step.headers.fixed);
        for (name, template) in &step.headers.filled {
            let text = fill(template, value, |value, out| out.push_str(value)).map_err(unknown)?;
            let text = HeaderValue::from_str(&text).map_err(|_| {
                Unsendable::Filled(format!("its header `{name}` holds a line feed or control character"))
            })?;
            headers.append(name, text);
        }
        if !headers.contains_key(HOST) {
            let host = origin.host_header();
            let host = host.ok_or_else(|| Unsendable::Filled("its host cannot be named".to_owned()))?;
            headers.insert(HOST, host);
        }
        let body = match &step.body {
            CompiledBody::Fixed(bytes) => bytes.clone(),
            CompiledBody::Filled(template, kind) => {
                fill(template, value, |value, out| escape_body(*kind, value, out)).map_err(unknown)?.into()
            }
        };
        Ok(Message::new(origin, step.method.clone(), uri, headers, body))
    }

    /// Whether the request of this slot is overdue; if not, its task is woken when it is.
    fn is_overdue(&self, slot: usize, context: &Context<'_>) -> bool {
        self.recorder.borrow_mut().is_overdue(slot, context.waker())
    }

    fn value(&self, variable: Variable, values: &Values) -> Option<String> {
        match variable {
            Variable::Capture(slot) => values.captures.get(usize::from(slot)).cloned().flatten(),
            Variable::Setup(slot) => self.setup.get(usize::from(slot)).cloned().flatten(),
            Variable::Column { feed, column } => {
                let (_, row) = values.rows.iter().find(|(known, _)| *known == feed)?;
                let rows = &self.feeds.get(feed)?.feed.rows;
                rows.get(*row)?.get(usize::from(column)).cloned()
            }
            Variable::Iteration => Some(values.iteration.to_string()),
            Variable::User => Some(values.user.to_string()),
            Variable::RunId => Some(self.run_id.clone()),
        }
    }

    /// Keeps the answer's cookies and says where it redirects to, if it does.
    fn redirect(
        &self,
        user: &mut User,
        message: &Message,
        step: &Step,
        answer: &Answer,
        followed: u32,
    ) -> Result<Option<Rc<Message>>, Failure> {
        let Some(headers) = answer.headers() else { return Ok(None) };
        if headers.contains_key(SET_COOKIE) {
            user.keep_cookies(message, headers);
        }
        let location = match headers.get(LOCATION) {
            Some(location) if is_redirect(answer.status) && self.http.redirects > 0 => location,
            _ => return Ok(None),
        };
        // A plan that expects this very status wants to see it.
        let status = answer.status.as_u16();
        if step.expect.plain.status.iter().any(|range| (range.first..=range.last).contains(&status)) {
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
        let origin = Origin::of(&url).ok_or_else(wrong)?;
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

impl User {
    /// The `cookie` header for a request, where the user has any for it.
    fn cookies_for(&self, message: &Message) -> Option<HeaderValue> {
        let store = self.cookies.as_ref()?;
        let url = message.url()?;
        let pairs: Vec<_> =
            store.get_request_values(&url).map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() {
            return None;
        }
        let mut value = HeaderValue::from_str(&pairs.join("; ")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Why the time of a step ran out. Where the plan let no connection start, that is not the target's doing.
    fn timed_out(&self, timeout: Duration) -> Failure {
        let timeout = plimsoll_units::duration::format(timeout);
        if self.connecting.take() == Connecting::Waits {
            return Failure::ours(format!("`http.connect_rate` let no connection start within {timeout}"));
        }
        Failure::new(Outcome::Timeout, format!("no whole answer within {timeout}"))
    }

    fn keep_cookies(&mut self, message: &Message, headers: &HeaderMap) {
        let Some(url) = message.url() else { return };
        let store = self.cookies.get_or_insert_with(Box::default);
        let texts = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        for text in texts.filter(|text| text.len() <= COOKIE_BYTES) {
            let Ok(cookie) = Cookie::parse(text, &url) else { continue };
            if has_room(store, &cookie) {
                // A cookie that lies about its domain is refused by the store, which is what a browser does.
                let _ = store.insert(cookie.into_owned(), &url);
            }
        }
    }
}

/// Whether a user may keep another cookie: one it has already, or one of [`COOKIES`] that are valid.
fn has_room(store: &mut CookieStore, cookie: &Cookie<'_>) -> bool {
    let place = |cookie: &Cookie<'_>| {
        (String::from(&cookie.domain), String::from(&cookie.path), cookie.name().to_owned())
    };
    let (domain, path, name) = place(cookie);
    if store.contains_any(&domain, &path, &name) || store.iter_any().count() < COOKIES {
        return true;
    }
    let expired: Vec<_> = store.iter_any().filter(|cookie| cookie.is_expired()).map(place).collect();
    for (domain, path, name) in &expired {
        store.remove(domain, path, name);
    }
    !expired.is_empty()
}

impl Held {
    fn release(self, user: &mut User) {
        match (self.lease, &mut user.own) {
            (Some(mut lease), _) => lease.connection = Some(self.connection),
            (None, Some(own)) => *own = Some(self.connection),
            (None, None) => {}
        }
    }
}

/// The trace that a request is to carry.
fn trace(begun: &Option<Begun>) -> Option<&TraceContext> {
    begun.as_ref()?.trace.as_ref()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Whether an answer is what the step expects, and what the step takes from it.
fn judge(
    step: &Step,
    values: &mut Values,
    answer: &Answer,
    json: &Json<'_>,
    took: u64,
) -> Result<(), Failure> {
    let expect = &step.expect.plain;
    let status = answer.status.as_u16();
    let right = if expect.status.is_empty() {
        (200..400).contains(&status)
    } else {
        expect.status.iter().any(|range| (range.first..=range.last).contains(&status))
    };
    if !right {
        return Err(Failure::new(Outcome::Status, format!("status {status}")));
    }
    let unexpected = |message: String| Err(Failure::new(Outcome::Expectation, message));
    let shown = |value: String| if expect.secret { "***".to_owned() } else { value };
    for header in &expect.headers {
        let found = answer.header(&header.name);
        match (&header.value, found) {
            (_, None) => return unexpected(format!("header `{}` is missing", header.name)),
            (Some(value), Some(found)) if found.as_bytes() != value.as_bytes() => {
                return unexpected(format!("header `{}` is not `{}`", header.name, shown(value.clone())));
            }
            _ => {}
        }
    }
    if !expect.body_contains.is_empty() {
        let body = String::from_utf8_lossy(&answer.body);
        if let Some(missing) = expect.body_contains.iter().find(|text| !body.contains(text.as_str())) {
            return unexpected(format!("the body does not contain `{}`", shown(missing.clone())));
        }
    }
    for (path, query, value) in &step.expect.json {
        let found = json.first_match(query);
        if found.as_ref() != Some(value) {
            return unexpected(format!("`{path}` is not {}", shown(value.to_string())));
        }
    }
    if let Some(within) = expect.within
        && u128::from(took) > within.as_nanos()
    {
        return unexpected(format!("took longer than {}", plimsoll_units::duration::format(within)));
    }
    for capture in &step.captures {
        let found = match &capture.source {
            CompiledSource::Header(name) => {
                answer.header(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            }
            CompiledSource::Regex(regex) => capture_regex(regex, &answer.body),
            CompiledSource::JsonPath(query) => json.first_match(query).as_ref().map(as_text),
        };
        let Some(found) = found else {
            return Err(Failure::new(
                Outcome::Capture,
                format!("`{}` was not found in the answer", capture.name),
            ));
        };
        if let Some(slot) = values.captures.get_mut(capture.slot) {
            *slot = Some(found);
        }
    }
    Ok(())
}

fn capture_regex(regex: &regex::Regex, body: &[u8]) -> Option<String> {
    let body = String::from_utf8_lossy(body);
    let found = regex.captures(&body)?;
    found.get(1).or_else(|| found.get(0)).map(|text| text.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Uri;

    fn kept(user: &User) -> usize {
        user.cookies.as_ref().map_or(0, |store| store.iter_any().count())
    }

    #[test]
    fn a_user_keeps_a_bounded_number_of_cookies() {
        let url = url::Url::parse("http://shop.test/").unwrap();
        let origin = Rc::new(Origin::of(&url).unwrap());
        let message =
            Message::new(origin, Method::GET, Uri::from_static("/"), HeaderMap::new(), Bytes::new());
        let mut user = User::closed(0, true);
        let set = |user: &mut User, cookie: String| {
            let mut headers = HeaderMap::new();
            headers.append(SET_COOKIE, HeaderValue::from_str(&cookie).unwrap());
            user.keep_cookies(&message, &headers);
        };
        (0..1000).for_each(|number| set(&mut user, format!("n{number}=1")));
        assert_eq!(kept(&user), COOKIES);
        set(&mut user, "n0=2".to_owned());
        assert_eq!(
            user.cookies.as_ref().unwrap().get("shop.test", "/", "n0").map(|cookie| cookie.value()),
            Some("2"),
            "one that is known may change"
        );
        set(&mut user, "n1=1; max-age=0".to_owned());
        set(&mut user, "late=1".to_owned());
        assert!(user.cookies.as_ref().unwrap().contains("shop.test", "/", "late"), "in place of n1");
        set(&mut user, format!("large={}", "x".repeat(COOKIE_BYTES)));
        assert_eq!(kept(&user), COOKIES);
    }
}
