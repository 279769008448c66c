//! The demo shop: what is served at each path.
//!
//! Answers depend on the request alone, so that a client can check them: page 3 of the products holds
//! the same ten products for ever. What a session put into its cart is kept for the latest
//! [`KEPT_CARTS`] sessions and forgotten after that, so that memory does not grow with the load.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, HeaderName,
    HeaderValue, LOCATION, RANGE, RETRY_AFTER, SET_COOKIE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use plimsoll_units::duration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::connection::{Connection, Content, Reply, Served};
use crate::files::{Files, uploaded};
use crate::gate::Full;
use crate::model::{LARGEST_BODY, LONGEST_DELAY, Model, from_ms, mix};
use crate::operator::{self, Operator};
use crate::{locked, service};

/// How many sessions' carts are remembered.
pub const KEPT_CARTS: usize = 65_536;
/// How many things fit into one cart.
const CART_SIZE: usize = 100;
/// Products are numbered from 1 to this.
const PRODUCTS: u64 = 10_000;
const PAGE_SIZE: u64 = 10;
/// Longest chain that `/redirect?n=` makes.
const MOST_REDIRECTS: u64 = 1_000;
/// Largest request body that is read into memory. `/echo` takes any size.
const LARGEST_REQUEST: usize = 1 << 20;

/// What is counted by itself in the record and in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Home,
    Products,
    Product,
    Search,
    Login,
    Cart,
    AddToCart,
    Checkout,
    Redirect,
    RedirectLoop,
    Status,
    Bytes,
    Echo,
    Stall,
    Latency,
    Close,
    Pay,
    BeginJob,
    Job,
    Limited,
    Media,
    Tenant,
    Files,
    PutFile,
    File,
    DeleteFile,
    Upload,
    Other,
}

impl Route {
    /// Every route, in the order of the enum.
    pub(crate) const ALL: [Self; 28] = [
        Self::Home,
        Self::Products,
        Self::Product,
        Self::Search,
        Self::Login,
        Self::Cart,
        Self::AddToCart,
        Self::Checkout,
        Self::Redirect,
        Self::RedirectLoop,
        Self::Status,
        Self::Bytes,
        Self::Echo,
        Self::Stall,
        Self::Latency,
        Self::Close,
        Self::Pay,
        Self::BeginJob,
        Self::Job,
        Self::Limited,
        Self::Media,
        Self::Tenant,
        Self::Files,
        Self::PutFile,
        Self::File,
        Self::DeleteFile,
        Self::Upload,
        Self::Other,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Home => "GET /",
            Self::Products => "GET /products",
            Self::Product => "GET /products/{id}",
            Self::Search => "GET /search",
            Self::Login => "POST /login",
            Self::Cart => "GET /cart",
            Self::AddToCart => "POST /cart",
            Self::Checkout => "POST /checkout",
            Self::Redirect => "GET /redirect",
            Self::RedirectLoop => "GET /redirect-loop",
            Self::Status => "GET /status/{code}",
            Self::Bytes => "GET /bytes/{n}",
            Self::Echo => "POST /echo",
            Self::Stall => "GET /stall",
            Self::Latency => "GET /latency/{ms}",
            Self::Close => "GET /close",
            Self::Pay => "POST /payments",
            Self::BeginJob => "POST /jobs",
            Self::Job => "GET /jobs/{id}",
            Self::Limited => "GET /limited",
            Self::Media => "GET /media/{n}",
            Self::Tenant => "GET /tenants/{tenant}",
            Self::Files => "GET /files",
            Self::PutFile => "PUT /files/{name}",
            Self::File => "GET /files/{name}",
            Self::DeleteFile => "DELETE /files/{name}",
            Self::Upload => "POST /uploads",
            Self::Other => "other",
        }
    }
}

/// Where a request goes, with the last part of its path where the route has a parameter.
#[derive(Debug, PartialEq)]
enum Destination<'p> {
    Shop(Route, &'p str),
    Operator(Operator),
    /// The path exists; these are its methods.
    WrongMethod(&'static str),
    Unknown,
}

fn destination<'p>(method: &Method, path: &'p str) -> Destination<'p> {
    let reads = method == Method::GET || method == Method::HEAD;
    let get = |route, part| {
        if reads { Destination::Shop(route, part) } else { Destination::WrongMethod("GET, HEAD") }
    };
    let post = |route| {
        if method == Method::POST { Destination::Shop(route, "") } else { Destination::WrongMethod("POST") }
    };
    match path {
        "/" => get(Route::Home, ""),
        "/products" => get(Route::Products, ""),
        "/search" => get(Route::Search, ""),
        "/login" => post(Route::Login),
        "/cart" if reads => Destination::Shop(Route::Cart, ""),
        "/cart" if method == Method::POST => Destination::Shop(Route::AddToCart, ""),
        "/cart" => Destination::WrongMethod("GET, HEAD, POST"),
        "/checkout" => post(Route::Checkout),
        "/redirect" => get(Route::Redirect, ""),
        "/redirect-loop" => get(Route::RedirectLoop, ""),
        "/echo" => post(Route::Echo),
        "/stall" => get(Route::Stall, ""),
        "/close" => get(Route::Close, ""),
        "/payments" => post(Route::Pay),
        "/jobs" => post(Route::BeginJob),
        "/limited" => get(Route::Limited, ""),
        "/files" => get(Route::Files, ""),
        "/uploads" => post(Route::Upload),
        _ => {
            if let Some(operator) = Operator::at(path) {
                return Destination::Operator(operator);
            }
            let parts = path.strip_prefix('/').and_then(|rest| rest.split_once('/'));
            match parts {
                Some(("products", id)) => get(Route::Product, id),
                Some(("status", code)) => get(Route::Status, code),
                Some(("bytes", count)) => get(Route::Bytes, count),
                Some(("latency", ms)) => get(Route::Latency, ms),
                Some(("jobs", id)) => get(Route::Job, id),
                Some(("media", count)) => get(Route::Media, count),
                Some(("tenants", tenant)) => get(Route::Tenant, tenant),
                Some(("files", name)) if reads => Destination::Shop(Route::File, name),
                Some(("files", name)) if method == Method::PUT => Destination::Shop(Route::PutFile, name),
                Some(("files", name)) if method == Method::DELETE => {
                    Destination::Shop(Route::DeleteFile, name)
                }
                Some(("files", _)) => Destination::WrongMethod("GET, HEAD, PUT, DELETE"),
                _ => Destination::Unknown,
            }
        }
    }
}

/// Answers one request.
pub(crate) async fn serve(connection: Rc<Connection>, request: Request<Incoming>) -> Served {
    let (parts, body) = request.into_parts();
    let response = match destination(&parts.method, parts.uri.path()) {
        Destination::Operator(operator) => {
            connection.begin(None);
            operator::answer(operator, connection.worker().control(), &parts, body).await
        }
        Destination::Shop(route, part) => {
            connection.begin(Some(route));
            let asked =
                Asked { route, part, query: parts.uri.query().unwrap_or(""), headers: &parts.headers };
            asked.worked_on(connection.worker(), body).await
        }
        Destination::WrongMethod(methods) => {
            connection.begin(Some(Route::Other));
            let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
            response
        }
        Destination::Unknown => {
            connection.begin(Some(Route::Other));
            problem(StatusCode::NOT_FOUND, "there is nothing at this path")
        }
    };
    connection.answered(response.status().as_u16());
    if connection.is_stream() && parts.method == Method::HEAD {
        return Ok(without_body(response).map(|content| Reply::new(content, connection)));
    }
    Ok(response.map(|content| Reply::new(content, connection)))
}

/// The head alone, with the length that the body would have had. Over HTTP/1.1 hyper does this.
fn without_body(page: Page) -> Page {
    let length = page.body().length();
    let mut page = page.map(|_| Content::default());
    if let Some(length) = length {
        set_header(&mut page, CONTENT_LENGTH, &length.to_string());
    }
    page
}

pub(crate) type Page = Response<Content>;

/// A request for one of the shop's routes.
struct Asked<'r> {
    route: Route,
    part: &'r str,
    query: &'r str,
    headers: &'r HeaderMap,
}

impl Asked<'_> {
    /// Waits for a place, takes as long as the model says, and answers when nothing is frozen.
    async fn worked_on(&self, worker: &crate::server::Worker, body: Incoming) -> Page {
        let control = worker.control();
        let model = control.model();
        let fate = control.next_fate(&model);
        let delay = self.own_delay().unwrap_or(fate.delay);
        let page = match control.gate().enter().await {
            Err(full) => problem(StatusCode::SERVICE_UNAVAILABLE, &full.to_string()),
            Ok(place) => {
                let served = serve_for(worker, &model, delay).await;
                let page = match served {
                    Err(full) => problem(StatusCode::SERVICE_UNAVAILABLE, &full.to_string()),
                    Ok(()) if fate.fails => {
                        problem(StatusCode::INTERNAL_SERVER_ERROR, "the model made this request fail")
                    }
                    Ok(()) => self.page(control.shop(), body).await,
                };
                control.thawed().await;
                drop(place);
                page
            }
        };
        // Again, for those who found the queue full.
        control.thawed().await;
        if has_body(page.status()) { page.map(|content| content.at_least(model.body_bytes)) } else { page }
    }

    /// The delay that the request itself asks for, in place of the model's.
    fn own_delay(&self) -> Option<Duration> {
        match self.route {
            Route::Latency => self.part.parse().ok().map(from_ms),
            Route::Stall => Some(duration_in(self.query).unwrap_or(Duration::ZERO)),
            _ => None,
        }
    }

    async fn page(&self, shop: &Shop, body: Incoming) -> Page {
        match self.route {
            Route::Home => text("Plimsoll's demo target\n"),
            Route::Products => products(self.query),
            Route::Product => product(self.part),
            Route::Search => search(self.query),
            Route::Login => shop.login(self.headers, body).await,
            Route::Cart => shop.cart(self.session(shop), self.must_be_logged_in()),
            Route::AddToCart => shop.add_to_cart(self.session(shop), self.must_be_logged_in(), body).await,
            Route::Checkout => shop.checkout(self.session(shop)),
            Route::Redirect => redirect(self.query),
            Route::RedirectLoop => found("/redirect-loop"),
            Route::Status => status(self.part),
            Route::Bytes => bytes(self.part),
            Route::Echo => echo(self.headers, body),
            Route::Stall => match duration_in(self.query) {
                Some(_) => text("stalled\n"),
                None => problem(StatusCode::BAD_REQUEST, "write for=2s, at most 10m"),
            },
            Route::Latency => match self.part.parse::<f64>() {
                Ok(ms) if (0.0..=LONGEST_DELAY.as_secs_f64() * 1e3).contains(&ms) => {
                    let mut page = text("late as asked\n");
                    set_header(&mut page, HeaderName::from_static("server-timing"), &format!("app;dur={ms}"));
                    page
                }
                _ => problem(StatusCode::BAD_REQUEST, "write milliseconds from 0 to 600000"),
            },
            Route::Close => {
                let mut page = text("closing\n");
                page.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                page
            }
            Route::Pay => pay(self.headers, body).await,
            Route::BeginJob => shop.begin_job(body).await,
            Route::Job => shop.job(self.part),
            Route::Limited => shop.limited(self.query),
            Route::Media => media(self.part, self.headers),
            Route::Tenant => tenant(self.part, self.headers),
            Route::Files => shop.files.list(),
            Route::File => shop.files.get(self.part),
            Route::DeleteFile => shop.files.delete(self.part),
            Route::PutFile => {
                collect(body).await.map_or_else(|page| page, |body| shop.files.put(self.part, body))
            }
            Route::Upload => {
                collect(body).await.map_or_else(|page| page, |body| uploaded(self.headers, &body))
            }
            Route::Other => problem(StatusCode::NOT_FOUND, "there is nothing at this path"),
        }
    }

    fn must_be_logged_in(&self) -> bool {
        parameter(self.query, "auth").is_some_and(|auth| auth == "1")
    }

    fn session(&self, shop: &Shop) -> Option<u64> {
        let issued = shop.sessions.load(Ordering::Relaxed);
        let cookies = self.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';'));
        let token = pairs.find_map(|pair| pair.trim().strip_prefix("session=s"))?;
        token.parse().ok().filter(|&session| 0 < session && session <= issued)
    }
}

/// Takes the time that a request is worked on: of its own, or of workers that it shares with others.
async fn serve_for(worker: &crate::server::Worker, model: &Model, delay: Duration) -> Result<(), Full> {
    if model.has_floor() {
        let pool_share = model.pool.map_or(0.0, |pool| pool.share);
        worker.control().service().work(delay, pool_share).await?;
    } else if !delay.is_zero() {
        worker.sleep(delay).await;
    }
    if model.cpu_us > 0 {
        service::burn(Duration::from_micros(model.cpu_us.into()));
    }
    Ok(())
}

fn has_body(status: StatusCode) -> bool {
    status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// What the shop remembers.
#[derive(Debug)]
pub(crate) struct Shop {
    /// The number of the last session issued; the first is 1.
    sessions: AtomicU64,
    orders: AtomicU64,
    /// Session n lives in slot n modulo their number until a later session needs the slot.
    carts: Vec<Mutex<Cart>>,
    jobs: AtomicU64,
    files: Files,
    /// The second that `/limited` counts, and how many it has let through in it.
    window: Mutex<(u64, u64)>,
    opened: Instant,
}

#[derive(Debug, Default)]
struct Cart {
    session: u64,
    products: Vec<Value>,
}

/// The longest job in milliseconds.
const LONGEST_JOB_MS: u64 = 600_000;

#[derive(Deserialize)]
struct JobOrder {
    takes_ms: u64,
}

#[derive(Deserialize)]
struct Payment {
    amount: f64,
}

#[derive(Deserialize)]
struct CartOrder {
    product: Value,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let carts = (0..KEPT_CARTS).map(|_| Mutex::default()).collect();
        Self {
            sessions: AtomicU64::new(0),
            orders: AtomicU64::new(0),
            carts,
            jobs: AtomicU64::new(0),
            files: Files::default(),
            window: Mutex::default(),
            opened: Instant::now(),
        }
    }

    async fn login(&self, headers: &HeaderMap, body: Incoming) -> Page {
        let body = match collect(body).await {
            Ok(body) => body,
            Err(page) => return page,
        };
        let is_form = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        let user = if is_form {
            form_urlencoded::parse(&body).find(|(name, _)| name == "user").map(|(_, user)| user.into_owned())
        } else {
            let json: Option<Value> = serde_json::from_slice(&body).ok();
            json.and_then(|json| json.get("user").and_then(Value::as_str).map(str::to_owned))
        };
        let Some(user) = user.filter(|user| !user.is_empty()) else {
            return problem(StatusCode::UNAUTHORIZED, "a user is needed, as JSON or as a form");
        };
        let session = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        let mut page = json_page(StatusCode::OK, &json!({ "user": user, "session": session }));
        set_header(&mut page, SET_COOKIE, &format!("session=s{session}; Path=/; HttpOnly"));
        page
    }

    fn cart(&self, session: Option<u64>, must_be_logged_in: bool) -> Page {
        if must_be_logged_in && session.is_none() {
            return not_logged_in();
        }
        let products =
            session.map(|session| self.with_cart(session, |cart| cart.clone())).unwrap_or_default();
        json_page(StatusCode::OK, &json!({ "cart": session, "products": products }))
    }

    async fn add_to_cart(&self, session: Option<u64>, must_be_logged_in: bool, body: Incoming) -> Page {
        if must_be_logged_in && session.is_none() {
            return not_logged_in();
        }
        let body = match collect(body).await {
            Ok(body) => body,
            Err(page) => return page,
        };
        let Ok(CartOrder { product }) = serde_json::from_slice(&body) else {
            return problem(StatusCode::BAD_REQUEST, "a JSON object with a product is needed");
        };
        let fits = session.is_none_or(|session| {
            self.with_cart(session, |cart| {
                let fits = cart.len() < CART_SIZE;
                if fits {
                    cart.push(product.clone());
                }
                fits
            })
        });
        if !fits {
            return problem(StatusCode::CONFLICT, "the cart is full");
        }
        json_page(StatusCode::CREATED, &json!({ "cart": session, "product": product }))
    }

    fn checkout(&self, session: Option<u64>) -> Page {
        if let Some(session) = session {
            self.with_cart(session, Vec::clear);
        }
        let order = self.orders.fetch_add(1, Ordering::Relaxed) + 1;
        let mut page = json_page(StatusCode::OK, &json!({ "order": order }));
        set_header(&mut page, HeaderName::from_static("x-order-id"), &order.to_string());
        page
    }

    /// Begins a job. Its id says when it will be done, so that nothing has to be remembered of it.
    async fn begin_job(&self, body: Incoming) -> Page {
        let body = match collect(body).await {
            Ok(body) => body,
            Err(page) => return page,
        };
        let Some(JobOrder { takes_ms }) =
            serde_json::from_slice(&body).ok().filter(|order: &JobOrder| order.takes_ms <= LONGEST_JOB_MS)
        else {
            return problem(StatusCode::BAD_REQUEST, "write takes_ms, milliseconds from 0 to 600000");
        };
        let begun = self.opened.elapsed().as_millis() as u64;
        let id = format!("{}-{begun}-{takes_ms}", self.jobs.fetch_add(1, Ordering::Relaxed) + 1);
        let mut page = json_page(StatusCode::ACCEPTED, &json!({ "job": id, "state": "running" }));
        set_header(&mut page, LOCATION, &format!("/jobs/{id}"));
        page
    }

    fn job(&self, id: &str) -> Page {
        let numbers: Option<Vec<u64>> = id.split('-').map(|part| part.parse().ok()).collect();
        let now = self.opened.elapsed().as_millis() as u64;
        match numbers.as_deref() {
            Some(&[number, begun, takes]) if number > 0 && begun <= now && takes <= LONGEST_JOB_MS => {
                let done = (now - begun).min(takes);
                let percent = (done * 100).checked_div(takes).unwrap_or(100);
                let state = if done == takes { "done" } else { "running" };
                json_page(StatusCode::OK, &json!({ "job": id, "state": state, "percent": percent }))
            }
            _ => problem(StatusCode::NOT_FOUND, "there is no such job"),
        }
    }

    /// Lets so many requests through in each second since the shop opened, all clients together.
    fn limited(&self, query: &str) -> Page {
        let limit = parameter(query, "per_second").map_or(Some(50), |text| text.parse::<u64>().ok());
        let Some(limit) = limit else {
            return problem(StatusCode::BAD_REQUEST, "per_second is a number");
        };
        let second = self.opened.elapsed().as_secs();
        let mut window = locked(&self.window);
        if window.0 != second {
            *window = (second, 0);
        }
        window.1 += 1;
        if window.1 <= limit {
            return text("within the limit\n");
        }
        drop(window);
        let mut page = problem(StatusCode::TOO_MANY_REQUESTS, "the limit of this second is reached");
        page.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        page
    }

    fn with_cart<T>(&self, session: u64, act: impl FnOnce(&mut Vec<Value>) -> T) -> T {
        let mut cart = locked(&self.carts[session as usize % self.carts.len()]);
        if cart.session < session {
            *cart = Cart { session, products: Vec::new() };
        }
        if cart.session == session {
            return act(&mut cart.products);
        }
        // The slot belongs to a later session by now: this one's cart is forgotten.
        act(&mut Vec::new())
    }
}

#[derive(Serialize)]
struct Product {
    id: u64,
    name: String,
    /// Whole cents as a decimal number, so that it reads the same everywhere.
    price: f64,
}

impl Product {
    fn numbered(id: u64) -> Self {
        const KINDS: [&str; 8] = ["anchor", "buoy", "cleat", "compass", "lantern", "oar", "rope", "sextant"];
        const MAKES: [&str; 8] = ["brass", "cork", "hemp", "iron", "linen", "oak", "steel", "teak"];
        let bits = mix(id);
        let make = MAKES[bits as usize % MAKES.len()];
        let kind = KINDS[(bits >> 8) as usize % KINDS.len()];
        let cents = 100 + (bits >> 16) % 49_900;
        Self { id, name: format!("{make} {kind} {id}"), price: cents as f64 / 100.0 }
    }
}

#[derive(Serialize)]
struct ProductPage {
    page: u64,
    items: Vec<Product>,
}

fn products(query: &str) -> Page {
    let page = match parameter(query, "page") {
        None => 1,
        Some(text) => match text.parse::<u64>() {
            Ok(page) if page > 0 => page,
            _ => return problem(StatusCode::BAD_REQUEST, "page is a number from 1"),
        },
    };
    let first = (page - 1).saturating_mul(PAGE_SIZE).saturating_add(1);
    let last = first.saturating_add(PAGE_SIZE - 1).min(PRODUCTS);
    let items = (first..=last).map(Product::numbered).collect();
    json_page(StatusCode::OK, &ProductPage { page, items })
}

fn product(id: &str) -> Page {
    match id.parse() {
        Ok(id) if (1..=PRODUCTS).contains(&id) => json_page(StatusCode::OK, &Product::numbered(id)),
        _ => problem(StatusCode::NOT_FOUND, "there is no such product"),
    }
}

/// The first ten products whose name holds the text, as the shop has them in order.
fn search(query: &str) -> Page {
    let Some(wanted) = parameter(query, "q") else {
        return problem(StatusCode::BAD_REQUEST, "write what to search as q=");
    };
    let names = (1..=1_000).map(Product::numbered);
    let items: Vec<Product> =
        names.filter(|product| product.name.contains(&*wanted)).take(PAGE_SIZE as usize).collect();
    json_page(StatusCode::OK, &json!({ "q": wanted, "items": items }))
}

/// Takes a payment once for each idempotency key: its number is made of the key, so the same key is the
/// same payment however often it comes.
async fn pay(headers: &HeaderMap, body: Incoming) -> Page {
    let body = match collect(body).await {
        Ok(body) => body,
        Err(page) => return page,
    };
    let Some(key) = headers.get("idempotency-key").filter(|key| !key.is_empty()) else {
        return problem(StatusCode::BAD_REQUEST, "an idempotency-key is needed");
    };
    match serde_json::from_slice(&body) {
        Ok(Payment { amount }) if amount > 10_000.0 => {
            problem(StatusCode::PAYMENT_REQUIRED, "declined: more than 10000 at once")
        }
        Ok(Payment { amount }) if amount > 0.0 => {
            let number = key.as_bytes().iter().fold(0, |hash, byte| mix(hash ^ u64::from(*byte)));
            let payment = format!("{number:016x}");
            json_page(
                StatusCode::CREATED,
                &json!({ "payment": payment, "state": "authorised", "amount": amount }),
            )
        }
        _ => problem(StatusCode::UNPROCESSABLE_ENTITY, "a JSON object with an amount above 0 is needed"),
    }
}

/// So many bytes of a medium, or the one range of them that is asked for (RFC 9110, section 14).
fn media(count: &str, headers: &HeaderMap) -> Page {
    let Some(size) = count.parse().ok().filter(|size| (1..=LARGEST_BODY).contains(size)) else {
        return problem(StatusCode::BAD_REQUEST, "write a number of bytes from 1 to 17179869184");
    };
    let stretch = |status, count| {
        let content = Content { spaces: count, ..Content::default() };
        let mut page = page(status, "video/mp4", content);
        page.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        page
    };
    // What is not understood is passed over, as the specification has it.
    match headers.get(RANGE).and_then(|range| Range::read(range.to_str().ok()?)) {
        None => stretch(StatusCode::OK, size),
        Some(range) => match range.within(size) {
            Some((first, last)) => {
                let mut page = stretch(StatusCode::PARTIAL_CONTENT, last - first + 1);
                set_header(&mut page, CONTENT_RANGE, &format!("bytes {first}-{last}/{size}"));
                page
            }
            None => {
                let mut page =
                    problem(StatusCode::RANGE_NOT_SATISFIABLE, "the medium ends before this range");
                set_header(&mut page, CONTENT_RANGE, &format!("bytes */{size}"));
                page
            }
        },
    }
}

/// One range of bytes as it is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// From a position, up to another one where there is one.
    From(u64, Option<u64>),
    /// The last ones.
    Last(u64),
}

impl Range {
    fn read(header: &str) -> Option<Self> {
        let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", last) => last.parse().ok().map(Self::Last),
            (first, "") => first.parse().ok().map(|first| Self::From(first, None)),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// First and last byte of a medium of this size, which is not empty.
    fn within(&self, size: u64) -> Option<(u64, u64)> {
        match *self {
            Self::From(first, last) => {
                (first < size).then(|| (first, last.map_or(size - 1, |last| last.min(size - 1))))
            }
            Self::Last(count) => (count > 0).then(|| (size.saturating_sub(count), size - 1)),
        }
    }
}

/// The catalogue of a tenant, to who says in a header that it is this tenant.
fn tenant(tenant: &str, headers: &HeaderMap) -> Page {
    if tenant.is_empty() || tenant.contains('/') {
        return problem(StatusCode::NOT_FOUND, "there is no such tenant");
    }
    if headers.get("x-tenant").is_none_or(|named| named.as_bytes() != tenant.as_bytes()) {
        return problem(StatusCode::FORBIDDEN, "x-tenant names another tenant");
    }
    let number = tenant.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte))) % (PRODUCTS / PAGE_SIZE);
    let first = number * PAGE_SIZE + 1;
    let items: Vec<Product> = (first..first + PAGE_SIZE).map(Product::numbered).collect();
    json_page(StatusCode::OK, &json!({ "tenant": tenant, "items": items }))
}

fn redirect(query: &str) -> Page {
    let hops = match parameter(query, "n") {
        None => Some(1),
        Some(text) => text.parse().ok().filter(|hops| (1..=MOST_REDIRECTS).contains(hops)),
    };
    match hops {
        Some(1) => found("/products"),
        Some(hops) => found(&format!("/redirect?n={}", hops - 1)),
        None => problem(StatusCode::BAD_REQUEST, "n is a number from 1 to 1000"),
    }
}

fn status(code: &str) -> Page {
    let code = code.parse().ok().filter(|code| (200..=599).contains(code));
    match code.map(StatusCode::from_u16) {
        Some(Ok(status)) if has_body(status) => page(status, "text/plain", Content::of(status.to_string())),
        Some(Ok(status)) => page(status, "text/plain", Content::default()),
        _ => problem(StatusCode::BAD_REQUEST, "a status is a number from 200 to 599"),
    }
}

fn bytes(count: &str) -> Page {
    match count.parse() {
        Ok(count) if count <= LARGEST_BODY => {
            let content = Content { spaces: count, ..Content::default() };
            page(StatusCode::OK, "application/octet-stream", content)
        }
        _ => problem(StatusCode::BAD_REQUEST, "write a number of bytes up to 17179869184"),
    }
}

fn echo(headers: &HeaderMap, body: Incoming) -> Page {
    let mut response = Response::new(Content { echo: Some(body), ..Content::default() });
    if let Some(kind) = headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    response
}

fn found(location: &str) -> Page {
    let mut page = page(StatusCode::FOUND, "text/plain", Content::default());
    set_header(&mut page, LOCATION, location);
    page
}

fn not_logged_in() -> Page {
    problem(StatusCode::UNAUTHORIZED, "log in first: a session cookie is needed")
}

pub(crate) fn text(words: &'static str) -> Page {
    page(StatusCode::OK, "text/plain", Content::of(words))
}

/// An error with its reason, as JSON.
pub(crate) fn problem(status: StatusCode, reason: &str) -> Page {
    json_page(status, &json!({ "error": reason }))
}

pub(crate) fn json_page(status: StatusCode, value: &impl Serialize) -> Page {
    match serde_json::to_vec(value) {
        Ok(json) => page(status, "application/json", Content::of(json)),
        Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Content::of(error.to_string())),
    }
}

pub(crate) fn page(status: StatusCode, kind: &'static str, content: Content) -> Page {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Sets a header made of our own numbers and words, which are always legal in one.
fn set_header(page: &mut Page, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        page.headers_mut().insert(name, value);
    }
}

/// The whole request body, or the answer to one that is too large or ends early.
pub(crate) async fn collect(body: Incoming) -> Result<Bytes, Page> {
    match Limited::new(body, LARGEST_REQUEST).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "this body may have at most 1 MiB"))
        }
        Err(error) => Err(problem(StatusCode::BAD_REQUEST, &error.to_string())),
    }
}

pub(crate) fn parameter<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The parameter `for`, up to ten minutes.
pub(crate) fn duration_in(query: &str) -> Option<Duration> {
    let text = parameter(query, "for")?;
    duration::parse(&text).ok().filter(|&wanted| wanted <= LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_stands_at_its_own_index() {
        for (index, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, index, "{}", route.name());
        }
    }

    #[test]
    fn requests_find_their_route() {
        use Destination::{Shop, Unknown, WrongMethod};
        let cases = [
            (Method::GET, "/", Shop(Route::Home, "")),
            (Method::HEAD, "/products", Shop(Route::Products, "")),
            (Method::GET, "/products/17", Shop(Route::Product, "17")),
            (Method::POST, "/cart", Shop(Route::AddToCart, "")),
            (Method::GET, "/latency/2.5", Shop(Route::Latency, "2.5")),
            (Method::POST, "/products", WrongMethod("GET, HEAD")),
            (Method::DELETE, "/cart", WrongMethod("GET, HEAD, POST")),
            (Method::GET, "/login", WrongMethod("POST")),
            (Method::GET, "/files", Shop(Route::Files, "")),
            (Method::PUT, "/files/a", Shop(Route::PutFile, "a")),
            (Method::DELETE, "/files/a", Shop(Route::DeleteFile, "a")),
            (Method::POST, "/files/a", WrongMethod("GET, HEAD, PUT, DELETE")),
            (Method::GET, "/nothing", Unknown),
            (Method::GET, "/jobs/1-0-5", Shop(Route::Job, "1-0-5")),
            (Method::GET, "/jobs", WrongMethod("POST")),
            (Method::GET, "/nothing/here", Unknown),
            (Method::GET, "/metrics", Destination::Operator(Operator::Metrics)),
        ];
        for (method, path, expected) in cases {
            assert_eq!(destination(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn ranges_are_those_of_the_specification() {
        for (header, size, expected) in [
            ("bytes=0-0", 10, Some(Some((0, 0)))),
            ("bytes=0-99", 10, Some(Some((0, 9)))),
            ("bytes=3-", 10, Some(Some((3, 9)))),
            ("bytes=-4", 10, Some(Some((6, 9)))),
            ("bytes=-40", 10, Some(Some((0, 9)))),
            ("bytes=-0", 10, Some(None)),
            ("bytes=10-", 10, Some(None)),
            ("bytes=4-3", 10, None),
            ("bytes=0-1,3-4", 10, None),
            ("lines=0-1", 10, None),
        ] {
            let found = Range::read(header).map(|range| range.within(size));
            assert_eq!(found, expected, "{header} of {size}");
        }
    }

    #[test]
    fn carts_are_kept_apart_and_the_oldest_is_forgotten() {
        let shop = Shop::new();
        let kept = KEPT_CARTS as u64;
        let put = |session: u64| shop.with_cart(session, |cart| cart.push(json!(session)));
        let has = |session| shop.with_cart(session, |cart| cart.clone());
        put(1);
        put(2);
        assert_eq!((has(1), has(2)), (vec![json!(1)], vec![json!(2)]));
        put(1 + kept);
        put(1);
        assert_eq!((has(1), has(1 + kept)), (vec![], vec![json!(1 + kept)]));
    }
}
