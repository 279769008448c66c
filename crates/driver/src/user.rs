//! Whoever makes requests: cookies, and the connection that is its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use cookie_store::{Cookie, CookieStore};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use plimsoll_measure::Outcome;

use crate::Failure;
use crate::connection::Connection;
use crate::digest::Challenge;
use crate::message::Message;

/// The most cookies a user keeps, which is what browsers keep of a site: a target that names each
/// cookie anew must not make a closed user grow for as long as it lives.
const COOKIES: usize = 180;

/// The longest cookie that is kept, attributes and all, as in browsers (RFC 6265, section 6.1).
const COOKIE_BYTES: usize = 4096;

/// Whoever makes requests: a virtual user of the closed model, or an iteration of the open one.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) number: u64,
    /// Shared with what it does at the same time.
    cookies: Option<Rc<RefCell<CookieStore>>>,
    /// Whether it lives for more than an iteration.
    pub(crate) closed: bool,
    /// A closed user keeps its own connection; others share the worker's pool.
    pub(crate) own: Option<Option<Box<Connection>>>,
    /// When the last answer on its own connection ended.
    pub(crate) left_off: Option<u64>,
    /// What the target asked it to prove, where it did.
    pub(crate) challenge: Option<Box<Challenge>>,
    /// What it does to have a connection.
    pub(crate) connecting: Cell<Connecting>,
    /// Itself again, with connections of their own, for steps that are made at once.
    branches: Vec<User>,
}

/// What somebody without a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Connecting {
    /// Nothing, or waits for one that others have.
    #[default]
    No,
    /// Waits for the plan's rate of new connections.
    Waits,
    /// Opens one.
    Opens,
}

impl User {
    /// The user of one iteration, with a connection of its own where connections are not shared.
    pub(crate) fn visiting(number: u64, owning: bool) -> Self {
        Self { closed: false, ..Self::closed(number, owning) }
    }

    /// A closed user, with a connection of its own where connections are not shared.
    pub(crate) fn closed(number: u64, owning: bool) -> Self {
        Self {
            number,
            cookies: None,
            closed: true,
            own: owning.then_some(None),
            left_off: None,
            challenge: None,
            connecting: Cell::default(),
            branches: Vec::new(),
        }
    }

    /// Itself so many times, to make steps at once: with its cookies, and the first with its connection.
    pub(crate) fn branch(&mut self, count: usize) -> Vec<Self> {
        let mut branches = std::mem::take(&mut self.branches);
        let cookies = Rc::clone(self.cookies.get_or_insert_default());
        while branches.len() < count {
            let own = self.own.is_some().then_some(None);
            branches.push(Self { closed: self.closed, own, ..Self::closed(self.number, false) });
        }
        branches.iter_mut().for_each(|branch| branch.cookies = Some(Rc::clone(&cookies)));
        if let Some(first) = branches.first_mut() {
            std::mem::swap(&mut first.own, &mut self.own);
        }
        branches
    }

    /// Is one again. A closed user keeps the connections for the next time.
    pub(crate) fn join(&mut self, mut branches: Vec<Self>) {
        if let Some(first) = branches.first_mut() {
            std::mem::swap(&mut first.own, &mut self.own);
        }
        self.left_off = None;
        if self.closed {
            self.branches = branches;
        }
    }

    /// Whether it lives for more than an iteration.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

impl User {
    /// The `cookie` header for a request, where the user has any for it.
    #[inline]
    pub(crate) fn cookies_for(&self, message: &Message) -> Option<HeaderValue> {
        cookies_of(self.cookies.as_ref()?, message)
    }

    /// A cookie that the user would send to where an answer came from.
    pub(crate) fn cookie(&self, name: &str, message: &Message) -> Option<String> {
        let store = self.cookies.as_ref()?.borrow();
        let url = message.url()?;
        store.get_request_values(&url).find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    }

    /// Why the time of a step ran out. Where the plan let no connection start, that is not the target's doing.
    pub(crate) fn timed_out(&self, timeout: Duration) -> Failure {
        let timeout = plimsoll_units::duration::format(timeout);
        if self.connecting.take() == Connecting::Waits {
            return Failure::ours(format!("`http.connect_rate` let no connection start within {timeout}"));
        }
        Failure::new(Outcome::Timeout, format!("no whole answer within {timeout}"))
    }

    pub(crate) fn keep_cookies(&mut self, message: &Message, headers: &HeaderMap) {
        let Some(url) = message.url() else { return };
        let mut store = self.cookies.get_or_insert_default().borrow_mut();
        let texts = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        for text in texts.filter(|text| text.len() <= COOKIE_BYTES) {
            let Ok(cookie) = Cookie::parse(text, &url) else { continue };
            if is_for_a_whole_domain(&cookie, &message.origin.host) {
                continue;
            }
            if has_room(&mut store, &cookie) {
                // A cookie that lies about its domain is refused by the store, which is what a browser does.
                let _ = store.insert(cookie.into_owned(), &url);
            }
        }
    }
}

/// The `cookie` header of those in a store that are for a request.
#[cold]
fn cookies_of(store: &RefCell<CookieStore>, message: &Message) -> Option<HeaderValue> {
    let store = store.borrow();
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

/// Whether a cookie is meant for all hosts below a name like `com`, which no host can speak for (RFC 6265,
/// section 5.3, step 5).
fn is_for_a_whole_domain(cookie: &Cookie<'_>, host: &str) -> bool {
    cookie
        .domain()
        .map(|domain| domain.trim_start_matches('.'))
        .is_some_and(|domain| !domain.contains('.') && !domain.eq_ignore_ascii_case(host))
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Method, Uri};

    use super::*;
    use crate::transport::Origin;

    fn kept(user: &User) -> usize {
        user.cookies.as_ref().map_or(0, |store| store.borrow().iter_any().count())
    }

    fn user_after(host: &str, cookies: &[&str]) -> User {
        let url = url::Url::parse(&format!("http://{host}/")).unwrap();
        let origin = Rc::new(Origin::of(&url).unwrap());
        let message =
            Message::new(origin, Method::GET, Uri::from_static("/"), HeaderMap::new(), Bytes::new());
        let mut user = User::closed(0, true);
        let mut headers = HeaderMap::new();
        cookies.iter().for_each(|cookie| {
            headers.append(SET_COOKIE, HeaderValue::from_str(cookie).unwrap());
        });
        user.keep_cookies(&message, &headers);
        user
    }

    #[test]
    fn a_cookie_that_lies_about_its_domain_is_not_kept() {
        for (host, cookie, is_kept) in [
            ("shop.example", "a=1", true),
            ("shop.example", "a=1; domain=shop.example", true),
            ("www.shop.example", "a=1; domain=.shop.example", true),
            ("shop.example", "a=1; domain=example", false),
            ("shop.example", "a=1; domain=.example", false),
            ("shop.example", "a=1; domain=bank.example", false),
            ("shop.example", "a=1; domain=www.shop.example", false),
            ("shop.example", "a=1; domain=op.example", false),
            ("localhost", "a=1; domain=localhost", true),
            ("127.0.0.1", "a=1; domain=127.0.0.1", true),
            ("127.0.0.1", "a=1; domain=0.0.1", false),
            ("127.0.0.1", "a=1; domain=1", false),
        ] {
            assert_eq!(kept(&user_after(host, &[cookie])), usize::from(is_kept), "{host}: {cookie}");
        }
        let user = user_after("shop.example", &["a=1; path=/admin", "b=2; secure", "=3", "c", ""]);
        let url = url::Url::parse("http://shop.example/").unwrap();
        let message = Message::new(
            Rc::new(Origin::of(&url).unwrap()),
            Method::GET,
            Uri::from_static("/"),
            HeaderMap::new(),
            Bytes::new(),
        );
        assert_eq!(user.cookies_for(&message), None, "not for this path, not without TLS, not a cookie");
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
            user.cookies.as_ref().unwrap().borrow().get("shop.test", "/", "n0").map(|cookie| cookie.value()),
            Some("2"),
            "one that is known may change"
        );
        set(&mut user, "n1=1; max-age=0".to_owned());
        set(&mut user, "late=1".to_owned());
        assert!(user.cookies.as_ref().unwrap().borrow().contains("shop.test", "/", "late"), "in place of n1");
        set(&mut user, format!("large={}", "x".repeat(COOKIE_BYTES)));
        assert_eq!(kept(&user), COOKIES);
    }
}
