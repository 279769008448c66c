//! A request as it goes out: made once for a step without holes, anew for one with.

use std::cell::OnceCell;
use std::io::Write as _;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use plimsoll_measure::TraceContext;

use crate::auth::Signature;
use crate::proxy::Via;
use crate::transport::Origin;

/// The header that tells a trace (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";

/// What is not the same each time a request is sent.
#[derive(Debug)]
pub(crate) struct Extra<'a> {
    /// The value of the `cookie` header.
    pub(crate) cookies: Option<HeaderValue>,
    pub(crate) trace: Option<&'a TraceContext>,
    /// Credentials made for this request.
    pub(crate) signature: Signature,
}

impl Extra<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.cookies.is_none() && self.trace.is_none() && self.signature.is_empty()
    }

    /// Adds it to the headers of a request.
    pub(crate) fn add_to(self, headers: &mut HeaderMap) {
        if let Some(trace) = self.trace
            && let Ok(value) = HeaderValue::from_bytes(&trace.traceparent())
        {
            headers.insert(TRACEPARENT, value);
        }
        headers.extend(self.signature);
        if let Some(cookies) = self.cookies {
            headers.append(http::header::COOKIE, cookies);
        }
    }
}

/// One request, complete but for a user's cookies and its trace.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) origin: Rc<Origin>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the plan has a `traceparent` of its own.
    pub(crate) is_traced: bool,
    wire: OnceCell<Wire>,
}

/// The bytes of HTTP/1.1.
#[derive(Debug)]
struct Wire {
    /// Head and body.
    bytes: Box<[u8]>,
    /// Where the empty line begins: there is room for one more header.
    end_of_headers: usize,
}

/// Headers that decide how a message is framed or what becomes of its connection. The compiled
/// bytes leave all of this to themselves; a plan that sets one is served by hyper.
const FRAMING: [&str; 6] = ["connection", "content-length", "expect", "te", "transfer-encoding", "upgrade"];

/// Whether requests with this header (its name in lower case) cannot be compiled into bytes.
pub(crate) fn decides_framing(name: &str) -> bool {
    FRAMING.contains(&name)
}

impl Message {
    pub(crate) fn new(
        origin: Rc<Origin>,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Rc<Self> {
        let is_traced = headers.contains_key(TRACEPARENT);
        Rc::new(Self { origin, method, uri, headers, body, is_traced, wire: OnceCell::new() })
    }

    /// Where it goes, as a URL.
    pub(crate) fn url(&self) -> Option<url::Url> {
        url::Url::parse(&self.shown_url()).ok()
    }

    /// The same as a text for people.
    pub(crate) fn shown_url(&self) -> String {
        let scheme = if self.origin.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.origin.authority(), self.uri)
    }

    /// The bytes of HTTP/1.1, made when they are first asked for.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire.get_or_init(|| Wire::new(self)).bytes
    }

    /// Writes the same with more headers in place of what a buffer holds.
    pub(crate) fn write_wire(&self, extra: &Extra<'_>, buffer: &mut Vec<u8>) {
        let Wire { bytes, end_of_headers } = self.wire.get_or_init(|| Wire::new(self));
        let (head, rest) = bytes.split_at(*end_of_headers);
        buffer.clear();
        buffer.extend_from_slice(head);
        let mut add = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                buffer.extend_from_slice(part);
            }
        };
        extra.trace.into_iter().for_each(|trace| add(TRACEPARENT, &trace.traceparent()));
        extra.signature.iter().for_each(|(name, value)| add(name.as_str(), value.as_bytes()));
        extra.cookies.iter().for_each(|cookies| add("cookie", cookies.as_bytes()));
        buffer.extend_from_slice(rest);
    }

    /// The same for hyper.
    pub(crate) fn request(&self, extra: Extra<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target();
        *request.headers_mut() = HeaderMap::clone(&self.headers);
        if let Some(authorization) = self.to_proxy().and_then(|proxy| proxy.authorization.clone()) {
            request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, authorization);
        }
        extra.add_to(request.headers_mut());
        request
    }

    /// The proxy that it is sent to, and not only through.
    fn to_proxy(&self) -> Option<&Via> {
        self.origin.proxy.as_deref().filter(|_| !self.origin.tls)
    }

    /// What the request line says: path and query, or the whole URL to a proxy (RFC 9112, section 3.2).
    fn target(&self) -> Uri {
        if self.to_proxy().is_none() {
            return self.uri.clone();
        }
        let whole = format!("http://{}{}", self.origin.authority(), self.uri);
        // What makes no URL is sent as it is, for the proxy to refuse.
        whole.parse().unwrap_or_else(|_| self.uri.clone())
    }

    /// Whether its length is told even where there is no body: a method that means to send one
    /// (RFC 9110, section 8.6).
    pub(crate) fn tells_length(&self) -> bool {
        !self.body.is_empty() || matches!(self.method, Method::POST | Method::PUT | Method::PATCH)
    }
}

impl Wire {
    fn new(message: &Message) -> Self {
        let mut bytes = Vec::with_capacity(256 + message.body.len());
        bytes.extend_from_slice(message.method.as_str().as_bytes());
        bytes.push(b' ');
        // Writing into a vector cannot fail.
        let _ = write!(bytes, "{}", message.target());
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        if let Some(authorization) = message.to_proxy().and_then(|proxy| proxy.authorization.as_ref()) {
            bytes.extend_from_slice(b"proxy-authorization: ");
            bytes.extend_from_slice(authorization.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        for (name, value) in &message.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        if message.tells_length() {
            let _ = write!(bytes, "content-length: {}\r\n", message.body.len());
        }
        let end_of_headers = bytes.len();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&message.body);
        Self { bytes: bytes.into(), end_of_headers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(method: Method, body: &'static str) -> Rc<Message> {
        let url = url::Url::parse("http://shop.test:81/").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("text/plain"));
        headers.insert("host", HeaderValue::from_static("shop.test:81"));
        let uri = Uri::from_static("/cart?page=2");
        Message::new(Rc::new(Origin::of(&url).unwrap()), method, uri, headers, body.into())
    }

    #[test]
    fn the_bytes_are_those_of_the_standard() {
        let wire = |method, body| String::from_utf8(message(method, body).wire().to_vec()).unwrap();
        let head = |method| {
            format!("{method} /cart?page=2 HTTP/1.1\r\naccept: text/plain\r\nhost: shop.test:81\r\n")
        };
        assert_eq!(wire(Method::GET, ""), format!("{}\r\n", head("GET")));
        assert_eq!(wire(Method::DELETE, "x"), format!("{}content-length: 1\r\n\r\nx", head("DELETE")));
        assert_eq!(wire(Method::POST, ""), format!("{}content-length: 0\r\n\r\n", head("POST")));
    }

    #[test]
    fn cookies_and_the_trace_are_more_headers() {
        let message = message(Method::POST, "body");
        let cookies = || Some(HeaderValue::from_static("a=1; b=2"));
        let trace = TraceContext { trace_id: [0xab; 16], span_id: [1; 8], sampled: true };
        let mut buffer = b"what was there before".to_vec();
        let mut with = |cookies, trace| {
            message.write_wire(&Extra { cookies, trace, signature: Vec::new() }, &mut buffer);
            String::from_utf8(buffer.clone()).unwrap()
        };
        let head = String::from_utf8(message.wire().to_vec()).unwrap().replace("\r\n\r\nbody", "");
        let traceparent = "traceparent: 00-abababababababababababababababab-0101010101010101-01";
        assert_eq!(with(cookies(), None), format!("{head}\r\ncookie: a=1; b=2\r\n\r\nbody"));
        assert_eq!(with(None, Some(&trace)), format!("{head}\r\n{traceparent}\r\n\r\nbody"));
        assert_eq!(
            with(cookies(), Some(&trace)),
            format!("{head}\r\n{traceparent}\r\ncookie: a=1; b=2\r\n\r\nbody")
        );
    }
}
