//! A route: what is asked, by whom, and what a client has to know of it. There is one table of them
//! ([`crate::routes::table`]); the router, the document of the API and the test of who may do what are made from it.

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use plimsoll_history::Scope;

use crate::routes::App;

/// Of answers that tell nothing of any run, and of what a log-in needs.
pub(crate) const PUBLIC: Option<Scope> = None;
/// Of answers to questions.
pub(crate) const READ: Option<Scope> = Some(Scope::Read);
/// Of what starts or steers a run.
pub(crate) const RUN: Option<Scope> = Some(Scope::Run);
/// Of what deletes, and of what tells who did what.
pub(crate) const ADMIN: Option<Scope> = Some(Scope::Admin);

/// A method of a path.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// What is needed to ask; `None`: nothing.
    pub(crate) scope: Option<Scope>,
    /// Absent for pages, which are for people.
    pub(crate) doc: Option<Doc>,
    pub(crate) handler: MethodRouter<App>,
}

/// What the document of the API says of a route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doc {
    /// The name of the operation.
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) query: &'static [Parameter],
    /// The schema of the body that is sent.
    pub(crate) body: Option<&'static str>,
    pub(crate) answer: Answer,
}

/// A parameter of the query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    /// Its JSON Schema.
    pub(crate) schema: &'static str,
}

/// What a good answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// JSON with a schema of this name.
    Json(&'static str),
    /// JSON with a schema of this name, of what was made: 201.
    Made(&'static str),
    /// Nothing: 204.
    Done,
    Text,
    Html,
    /// A stream of server-sent events.
    Events,
    /// A page of metrics, in the text format of Prometheus.
    Metrics,
}

impl Doc {
    pub(crate) const fn new(name: &'static str, summary: &'static str, answer: Answer) -> Self {
        Self { name, summary, query: &[], body: None, answer }
    }

    pub(crate) const fn json(name: &'static str, summary: &'static str, schema: &'static str) -> Self {
        Self::new(name, summary, Answer::Json(schema))
    }
}

impl Route {
    pub(crate) fn get<H, T>(path: &'static str, scope: Option<Scope>, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        Self::new(Method::GET, MethodFilter::GET, path, scope, handler)
    }

    pub(crate) fn post<H, T>(path: &'static str, scope: Option<Scope>, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        Self::new(Method::POST, MethodFilter::POST, path, scope, handler)
    }

    pub(crate) fn put<H, T>(path: &'static str, scope: Option<Scope>, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        Self::new(Method::PUT, MethodFilter::PUT, path, scope, handler)
    }

    pub(crate) fn delete<H, T>(path: &'static str, scope: Option<Scope>, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        Self::new(Method::DELETE, MethodFilter::DELETE, path, scope, handler)
    }

    fn new<H, T>(
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        scope: Option<Scope>,
        handler: H,
    ) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        Self { method, path, scope, doc: None, handler: on(filter, handler) }
    }

    pub(crate) fn doc(mut self, doc: Doc) -> Self {
        self.doc = Some(doc);
        self
    }
}
