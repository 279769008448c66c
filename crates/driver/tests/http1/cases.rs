//! Answers as data: what each is, and what the reader says of it.
//!
//! Cases marked with a project are facts from its published tests of responses: llhttp
//! (nodejs/llhttp, test/response), hyper (hyperium/hyper, src/proto/h1/role.rs and decode.rs), h11
//! (python-hyper/h11, h11/tests/test_io.py). Their readers differ in strictness; the result is ours.

use plimsoll_driver::http1::{
    MAX_EXTENSIONS, MAX_HEAD, MAX_HEADERS, MAX_INFORMATIONAL, MAX_TRAILER, MAX_TRAILERS, ReadError,
};

use crate::harness::MAX_BODY;
use crate::hyper::Difference;

/// One stream, which ends after its last byte.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) head_request: bool,
    pub(crate) stream: Vec<u8>,
    pub(crate) expected: Expected,
    pub(crate) differs: Option<Difference>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expected {
    /// The connection can be used again.
    Reusable(u16, String),
    /// It cannot.
    Last(u16, String),
    Error(ReadError),
}

impl Case {
    fn head(mut self) -> Self {
        self.head_request = true;
        self
    }

    fn differs(mut self, difference: Difference) -> Self {
        self.differs = Some(difference);
        self
    }
}

fn case(name: &'static str, stream: impl AsRef<[u8]>, expected: Expected) -> Case {
    let stream = stream.as_ref().to_vec();
    Case { name, head_request: false, stream, expected, differs: None }
}

fn reusable(status: u16, body: &str) -> Expected {
    Expected::Reusable(status, body.to_owned())
}

fn last(status: u16, body: &str) -> Expected {
    Expected::Last(status, body.to_owned())
}

fn error(error: ReadError) -> Expected {
    Expected::Error(error)
}

/// A 200 with these header lines, each ended by CRLF, and what follows the head.
pub(crate) fn ok(headers: &str, rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n{rest}")
}

/// A 200 with this body in chunks.
pub(crate) fn chunked(body: &str) -> String {
    ok("transfer-encoding: chunked\r\n", body)
}

pub(crate) fn all() -> Vec<Case> {
    [
        status_lines(),
        heads(),
        lengths(),
        codings(),
        chunks(),
        trailers(),
        bodiless(),
        informational(),
        limits(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn status_lines() -> Vec<Case> {
    use ReadError::{EndInHead, LineEnd, NoAnswer, StatusLine, Version};
    vec![
        case("nothing", "", error(NoAnswer)),
        case("an empty line", "\r\n", error(EndInHead)),
        case("a carriage return", "\r", error(EndInHead)),
        case("a status line cut short", "HTTP/1.1 20", error(EndInHead)),
        case("a head without its end", "HTTP/1.1 200 OK\r\nserver: x\r\n", error(EndInHead)),
        case("a head half ended", "HTTP/1.1 200 OK\r\nserver: x\r\n\r", error(EndInHead)),
        case("no headers (llhttp)", "HTTP/1.1 404 Not Found\r\n\r\n", last(404, "")),
        case("no reason (llhttp)", "HTTP/1.1 301\r\n\r\n", last(301, "")),
        case("an empty reason (llhttp)", "HTTP/1.1 200 \r\n\r\n", last(200, "")),
        case("a long reason", "HTTP/1.1 200 Fine, \t really\r\n\r\n", last(200, "")),
        case("a reason in Latin-1", b"HTTP/1.1 200 \xdcber\r\n\r\n", last(200, "")),
        case("a reason with NUL (h11)", "HTTP/1.0 200 OK\0xxxx\r\n\r\n", error(StatusLine)),
        case("a reason with DEL", "HTTP/1.1 200 O\x7fK\r\n\r\n", error(StatusLine)),
        case("two spaces before the reason (llhttp)", "HTTP/1.1 200  OK\r\n\r\n", last(200, "")),
        case("two spaces before the status (llhttp)", "HTTP/1.1  200 OK\r\n\r\n", error(StatusLine)),
        case("a tab after the version (llhttp)", "HTTP/1.1\t200 OK\r\n\r\n", error(Version)),
        case("one digit (llhttp)", "HTTP/1.1 2 OK\r\n\r\n", error(StatusLine)),
        case("two digits", "HTTP/1.1 20 OK\r\n\r\n", error(StatusLine)),
        case("four digits", "HTTP/1.1 2000 OK\r\n\r\n", error(StatusLine)),
        case("no status", "HTTP/1.1\r\n\r\n", error(Version)),
        case("a negative status", "HTTP/1.1 -20 OK\r\n\r\n", error(StatusLine)),
        case("status 000", "HTTP/1.1 000 Zero\r\n\r\n", error(StatusLine)),
        case("status 099", "HTTP/1.1 099 Low\r\n\r\n", error(StatusLine)),
        case("status 999", "HTTP/1.1 999 High\r\n\r\n", last(999, "")),
        case("a status glued to the reason", "HTTP/1.1 200OK\r\n\r\n", error(StatusLine)),
        case("HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", error(Version)),
        case("HTTP/2", "HTTP/2 200 OK\r\n\r\n", error(Version)),
        case("HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", error(Version)),
        case("HTTP/0.9", "<html>hello</html>", error(Version)),
        case("HTTP/5.6 (llhttp)", "HTTP/5.6 200 OK\r\n\r\n", error(Version)),
        case("HTTP/01.1 (llhttp)", "HTTP/01.1 200 OK\r\n\r\n", error(Version)),
        case("HTTP/11.1 (llhttp)", "HTTP/11.1 200 OK\r\n\r\n", error(Version)),
        case("HTTP/1.01 (llhttp)", "HTTP/1.01 200 OK\r\n\r\n", error(Version)),
        case("HTP (llhttp)", "HTP/1.1 200 OK\r\n\r\n", error(Version)),
        case("HTTPER (llhttp)", "HTTPER/1.1 200 OK\r\n\r\n", error(Version)),
        case("RTSP (llhttp)", "RTSP/1.1 200 OK\r\n\r\n", error(Version)),
        case("ICE (llhttp)", "ICE/1.1 200 OK\r\n\r\n", error(Version)),
        case("lower case", "http/1.1 200 OK\r\n\r\n", error(Version)),
        case("a space before", " HTTP/1.1 200 OK\r\n\r\n", error(Version)),
        case("a NUL before", "\0HTTP/1.1 200 OK\r\n\r\n", error(Version)),
        case("a byte order mark before", "\u{feff}HTTP/1.1 200 OK\r\n\r\n", error(Version)),
        case("another protocol's greeting", "SSH-2.0-OpenSSH_9.9\r\n", error(Version)),
        case("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x46", error(Version)),
        case("HTTP/2 settings", b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80", error(Version)),
        case("a request", "GET / HTTP/1.1\r\nhost: a\r\n\r\n", error(Version)),
        case("empty lines before", "\r\n\n\r\nHTTP/1.1 204 No Content\r\n\r\n", reusable(204, "")),
        case("a bare CR before (llhttp)", "\rHTTP/1.1 200 OK\r\n\r\n", error(LineEnd)),
        case(
            "a bare CR for a line end (llhttp)",
            "HTTP/1.1 200 OK\rcontent-length: 0\r\n\r\n",
            error(StatusLine),
        ),
        case(
            "two CRs for a line end (llhttp)",
            "HTTP/1.1 200 OK\r\rcontent-length: 4\r\n\r\nEvil",
            error(StatusLine),
        ),
        case("a bare CR without a reason", "HTTP/1.1 200\rX\r\n\r\n", error(StatusLine)),
        case("only LFs (llhttp)", "HTTP/1.1 200 OK\nfoo: abc\nbar: def\n\nBODY\n", last(200, "BODY\n")),
        case("LF and CRLF mixed (h11)", "HTTP/1.1 200 OK\r\na: val\nb: c\n\r\n", last(200, "")),
        case("1.0 ends with the connection (hyper)", "HTTP/1.0 200 OK\r\n\r\nhello", last(200, "hello")),
        case("1.0 with a length", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", last(200, "hi")),
        case(
            "1.0 that stays (hyper)",
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: Keep-Alive\r\n\r\nhi",
            reusable(200, "hi"),
        ),
        case(
            "1.0 that stays and has no length (llhttp)",
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\nHTTP/1.0 200 OK\r\n\r\n",
            last(200, "HTTP/1.0 200 OK\r\n\r\n"),
        ),
        case(
            "1.0 that stays and closes",
            "HTTP/1.0 204 No\r\nconnection: keep-alive\r\nconnection: close\r\n\r\n",
            last(204, ""),
        ),
    ]
}

fn heads() -> Vec<Case> {
    use ReadError::{HeaderName, HeaderValue, LineEnd, StatusLine};
    let length = |headers: &str| ok(&format!("{headers}content-length: 2\r\n"), "hi");
    vec![
        case("a plain head", length("server: x\r\ndate: today\r\n"), reusable(200, "hi")),
        case("no value (h11)", length("foo:\r\n"), reusable(200, "hi")),
        case("a value of blanks (h11)", length("foo: \t \t \r\n"), reusable(200, "hi")),
        case("blanks around a value (h11)", length("foo:\t a a a a a \t\r\n"), reusable(200, "hi")),
        case("no blank before a value", length("foo:bar\r\n"), reusable(200, "hi")),
        case("a value in Latin-1", b"HTTP/1.1 204 No\r\na: \xe4\xff\x80\r\n\r\n", reusable(204, "")),
        case("a value with NUL", length("foo: a\0b\r\n"), error(HeaderValue)),
        case("a value that begins with NUL", length("foo:\0\r\n"), error(HeaderValue)),
        case("a value with DEL", length("foo: a\x7fb\r\n"), error(HeaderValue)),
        case("a value with ESC", length("foo: \x1b[2J\r\n"), error(HeaderValue)),
        case("a bare CR in a value (llhttp)", length("foo: 1\rbar: 2\r\n"), error(HeaderValue)),
        case("a bare CR after the colon", length("foo:\rbar\r\n"), error(HeaderValue)),
        case("a bare LF ends a header", length("foo: 1\nbar: 2\r\n"), reusable(200, "hi")),
        case("a name with a space", length("foo bar: 1\r\n"), error(HeaderName)),
        case("a space before the colon (hyper, h11)", length("foo : 1\r\n"), error(HeaderName)),
        case("a tab before the colon (h11)", length("foo\t: 1\r\n"), error(HeaderName)),
        case("an empty name (h11)", length(": 1\r\n"), error(HeaderName)),
        case("no colon", length("foo\r\n"), error(HeaderName)),
        case("a name with NUL", length("fo\0o: 1\r\n"), error(HeaderName)),
        case("a name in UTF-8", length("f\u{f6}\u{f6}: 1\r\n"), error(HeaderName)),
        case("a name with brackets", length("foo[]: 1\r\n"), error(HeaderName)),
        case("all a name may hold", length("!#$%&'*+-.^_`|~aZ09: 1\r\n"), reusable(200, "hi")),
        case("a folded value (h11)", length("foo: multi\r\n line\r\n"), error(HeaderName)),
        case("a value folded with a tab", length("foo: multi\r\n\tline\r\n"), error(HeaderName)),
        case("a folded first header (llhttp, h11)", length(" foo: 1\r\n"), error(HeaderName)),
        case(
            "a folded transfer-encoding",
            ok("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n"),
            error(HeaderName),
        ),
        case("a bare CR where a header begins", length("\rfoo: 1\r\n"), error(LineEnd)),
        case("a bare CR before the body", "HTTP/1.1 200 OK\r\n\rbody", error(LineEnd)),
        case("a CR before the first CRLF", "HTTP/1.1 200 OK\r\r\n\r\n", error(StatusLine)),
        case(
            "a dollar in a name (llhttp)",
            length("X-$PrototypeBI-Version: 1.6.0.3\r\n"),
            reusable(200, "hi"),
        ),
        case("close", length("connection: close\r\n"), last(200, "hi")),
        case("close, in capitals", length("CONNECTION: CLOSE\r\n"), last(200, "hi")),
        case("close among others", length("connection: foo, \tclose ,bar\r\n"), last(200, "hi")),
        case(
            "close, then keep-alive",
            length("connection: close\r\nconnection: keep-alive\r\n"),
            last(200, "hi"),
        ),
        case("keep-alive, then close", length("connection: keep-alive, close\r\n"), last(200, "hi")),
        case(
            "keep-alive",
            length("connection: keep-alive\r\nkeep-alive: timeout=5\r\n"),
            reusable(200, "hi"),
        ),
        case("closet", length("connection: closet\r\n"), reusable(200, "hi")),
        case("close as a header", length("close: connection\r\n"), reusable(200, "hi")),
        case("proxy-connection (llhttp)", length("proxy-connection: close\r\n"), reusable(200, "hi")),
        case(
            "an upgrade that is offered (llhttp)",
            length("connection: upgrade\r\nupgrade: h2c\r\n"),
            reusable(200, "hi"),
        ),
        case(
            "close beside what is no token",
            b"HTTP/1.1 204 No\r\nconnection: \xff, close\r\n\r\n",
            reusable(204, ""),
        ),
        case(
            "a header twice",
            length("set-cookie: a=1\r\nset-cookie: b=2\r\nlocation: /\r\n"),
            reusable(200, "hi"),
        ),
        case("more than was announced", ok("content-length: 2\r\n", "hi!"), last(200, "hi")),
        case(
            "an answer nobody asked for",
            ok("content-length: 2\r\n", "hiHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            last(200, "hi"),
        ),
    ]
}

fn lengths() -> Vec<Case> {
    use ReadError::{BodyTooLarge, ContentLength, EndInBody};
    let length = |value: &str, body: &str| ok(&format!("content-length: {value}\r\n"), body);
    vec![
        case("zero (hyper)", length("0", ""), reusable(200, "")),
        case("five", length("5", "hello"), reusable(200, "hello")),
        case(
            "leading zeros (llhttp)",
            length("0000000000000000000000000000005", "hello"),
            reusable(200, "hello"),
        ),
        case("tabs around (llhttp)", ok("Content-Length:\t5\t\r\n", "hello"), reusable(200, "hello")),
        case("in capitals", ok("CONTENT-LENGTH:5\r\n", "hello"), reusable(200, "hello")),
        case("a name that is longer (llhttp)", ok("content-length-x: 0\r\n", "OK"), last(200, "OK")),
        case("a name that is shorter", ok("content-lengt: 0\r\n", "OK"), last(200, "OK")),
        case("underscore", ok("content_length: 0\r\n", "OK"), last(200, "OK")),
        case("a body cut short", length("5", "hell"), error(EndInBody)),
        case("a body that never comes", length("5", ""), error(EndInBody)),
        case("negative", length("-1", ""), error(ContentLength)),
        case("plus", length("+5", "hello"), error(ContentLength)),
        case("empty", length("", "hello"), error(ContentLength)),
        case("hexadecimal", length("0x5", "hello"), error(ContentLength)),
        case("a fraction", length("5.0", "hello"), error(ContentLength)),
        case("an exponent", length("5e0", "hello"), error(ContentLength)),
        case("words", length("five", "hello"), error(ContentLength)),
        case("a space within", length("5 5", "hello"), error(ContentLength)),
        case("a semicolon", length("5;a=b", "hello"), error(ContentLength)),
        case("Latin-1", b"HTTP/1.1 200 OK\r\ncontent-length: 5\xff\r\n\r\nhello", error(ContentLength)),
        case("superscript", length("\u{b2}", "hi"), error(ContentLength)),
        case("Arabic digits", length("\u{665}", "hello"), error(ContentLength)),
        case("twice the same", length("5\r\nContent-Length: 5", "hello"), reusable(200, "hello")),
        case("a list of the same", length("5, 5,5", "hello"), reusable(200, "hello")),
        case("the same with zeros", length("5, 05", "hello"), reusable(200, "hello")),
        case("twice and different (hyper)", length("8\r\nContent-Length: 9", "hello"), error(ContentLength)),
        case("a list of different", length("5, 6", "hello"), error(ContentLength)),
        case("a list with a gap", length("5,,5", "hello"), error(ContentLength)),
        case("a list that ends in a comma", length("5,", "hello"), error(ContentLength)),
        case("right, then wrong", length("5\r\ncontent-length: x", "hello"), error(ContentLength)),
        case("wrong, then right", length("x\r\ncontent-length: 5", "hello"), error(ContentLength)),
        case(
            "as much as is allowed",
            length("100000", &"a".repeat(100_000)),
            reusable(200, &"a".repeat(100_000)),
        ),
        case("one too many", length("100001", ""), error(BodyTooLarge)),
        case("2 to the 63", length("9223372036854775808", ""), error(BodyTooLarge)),
        case("near 64 bits", length("18446744073709551613", ""), error(BodyTooLarge)),
        case("64 bits", length("18446744073709551615", ""), error(BodyTooLarge))
            .differs(Difference::AnnouncedTooLarge),
        case("more than 64 bits", length("18446744073709551616", ""), error(ContentLength)),
        case("much more than 64 bits", length(&"9".repeat(400), ""), error(ContentLength)),
        case("until the end, too long", ok("", &"a".repeat(100_001)), error(BodyTooLarge)),
        case("until the end, just allowed", ok("", &"a".repeat(100_000)), last(200, &"a".repeat(100_000))),
    ]
}

fn codings() -> Vec<Case> {
    use ReadError::TransferEncoding;
    let with = |headers: &str, body: &str| ok(&format!("{headers}\r\n"), body);
    let body = "2\r\nhi\r\n0\r\n\r\n";
    vec![
        case("chunked (hyper)", with("transfer-encoding: chunked", body), reusable(200, "hi")),
        case("in capitals", with("TRANSFER-ENCODING: CHUNKED", body), reusable(200, "hi")),
        case("blanks around", with("transfer-encoding: \t chunked \t", body), reusable(200, "hi")),
        case("last of a list (hyper)", with("transfer-encoding: gzip, chunked", body), reusable(200, "hi")),
        case(
            "last of several",
            with("transfer-encoding: gzip\r\ntransfer-encoding: chunked", body),
            reusable(200, "hi"),
        ),
        case("chunked twice", with("transfer-encoding: chunked, chunked", body), reusable(200, "hi")),
        case(
            "first of a list (llhttp)",
            with("transfer-encoding: chunked, deflate", "World"),
            last(200, "World"),
        ),
        case(
            "first of several (llhttp)",
            with("transfer-encoding: chunked\r\ntransfer-encoding: identity", "World"),
            last(200, "World"),
        ),
        case("not chunked (hyper)", with("transfer-encoding: yolo", "World"), last(200, "World")),
        case("almost chunked", with("transfer-encoding: xchunked", "World"), last(200, "World")),
        case("chunked with a parameter", with("transfer-encoding: chunked;a=b", "World"), last(200, "World")),
        case("quoted", with("transfer-encoding: \"chunked\"", "World"), last(200, "World")),
        case("empty", with("transfer-encoding:", "World"), last(200, "World")),
        case("ends in a comma", with("transfer-encoding: chunked,", "World"), last(200, "World")),
        case("begins with a comma", with("transfer-encoding: ,chunked", body), reusable(200, "hi")),
        case("vertical tab", with("transfer-encoding: \x0bchunked", body), error(ReadError::HeaderValue)),
        case(
            "Latin-1",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: \xff,chunked\r\n\r\nWorld",
            last(200, "World"),
        ),
        case("a space in the name", with("transfer-encoding : chunked", body), error(ReadError::HeaderName)),
        case("another header", with("x-transfer-encoding: chunked", "World"), last(200, "World")),
        case(
            "chunked, then a length (hyper)",
            with("transfer-encoding: chunked\r\ncontent-length: 10", body),
            last(200, "hi"),
        )
        .differs(Difference::TwoFramings),
        case(
            "a length, then chunked (hyper)",
            with("content-length: 3\r\ntransfer-encoding: chunked", body),
            last(200, "hi"),
        )
        .differs(Difference::TwoFramings),
        case(
            "a broken length beside chunked",
            with("content-length: -3\r\ntransfer-encoding: chunked", body),
            last(200, "hi"),
        )
        .differs(Difference::TwoFramings),
        case(
            "a length beside another coding",
            with("content-length: 2\r\ntransfer-encoding: gzip", "World"),
            last(200, "World"),
        ),
        case(
            "HTTP/1.0 (hyper)",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            error(TransferEncoding),
        ),
        case(
            "HTTP/1.0 with a length",
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: identity\r\n\r\n",
            error(TransferEncoding),
        ),
        case(
            "and the target closes",
            with("transfer-encoding: chunked\r\nconnection: close", body),
            last(200, "hi"),
        ),
    ]
}

fn chunks() -> Vec<Case> {
    use ReadError::{BodyTooLarge, ChunkEnd, ChunkExtension, ChunkSize, EndInBody, Trailer};
    let large = "a".repeat(0xffff);
    vec![
        case("no chunk (h11)", chunked("0\r\n\r\n"), reusable(200, "")),
        case("zeros", chunked("00\r\n\r\n"), reusable(200, "")),
        case("one chunk", chunked("5\r\nhello\r\n0\r\n\r\n"), reusable(200, "hello")),
        case("two chunks (hyper)", chunked("3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n"), reusable(200, "foobar")),
        case(
            "both cases of hex (h11)",
            chunked(&format!("aA\r\n{}\r\n0\r\n\r\n", "x".repeat(0xaa))),
            reusable(200, &"x".repeat(0xaa)),
        ),
        case("a leading zero (hyper)", chunked("01\r\n!\r\n0\r\n\r\n"), reusable(200, "!")),
        case("sixteen digits", chunked("0000000000000001\r\n!\r\n0\r\n\r\n"), reusable(200, "!")),
        case("seventeen digits", chunked("00000000000000001\r\n!\r\n0\r\n\r\n"), error(ChunkSize))
            .differs(Difference::LongChunkSize),
        case("a zero before sixteen digits", chunked("0ffffffffffffffff\r\na:\r\n"), error(ChunkSize))
            .differs(Difference::LongChunkSize),
        case("endless zeros", chunked(&"0".repeat(100_000)), error(ChunkSize))
            .differs(Difference::LongChunkSize),
        case("a hundred nines (h11)", chunked(&format!("{}\r\nxxx", "9".repeat(100))), error(ChunkSize)),
        case("overflow (hyper)", chunked("f0000000000000003\r\n"), error(ChunkSize)),
        case("as large as 64 bits", chunked("ffffffffffffffff\r\nabc"), error(BodyTooLarge))
            .differs(Difference::AnnouncedTooLarge),
        case(
            "sizes that add up beyond 64 bits",
            chunked("2\r\nhi\r\nffffffffffffffff\r\nabc"),
            error(BodyTooLarge),
        )
        .differs(Difference::AnnouncedTooLarge),
        case(
            "more than is allowed",
            chunked(&format!("ffff\r\n{large}\r\nffff\r\n{large}\r\n0\r\n\r\n")),
            error(BodyTooLarge),
        ),
        case(
            "two chunks just allowed",
            chunked(&format!("ffff\r\n{large}\r\n86a1\r\n{}\r\n0\r\n\r\n", "b".repeat(0x86a1))),
            reusable(200, &(large.clone() + &"b".repeat(0x86a1))),
        ),
        case(
            "one byte too many",
            chunked(&format!("ffff\r\n{large}\r\n86a2\r\n{}\r\n0\r\n\r\n", "b".repeat(0x86a2))),
            error(BodyTooLarge),
        ),
        case("no size (hyper)", chunked("\r\n\r\n"), error(ChunkSize)),
        case("an LF for a size", chunked("\nhi"), error(ChunkSize)),
        case("not hex (hyper)", chunked("X\r\n"), error(ChunkSize)),
        case("a digit and not hex (hyper)", chunked("1X\r\n"), error(ChunkSize)),
        case("0x", chunked("0x5\r\nhello\r\n0\r\n\r\n"), error(ChunkSize)),
        case("negative (hyper)", chunked("-1\r\n"), error(ChunkSize)),
        case("plus", chunked("+5\r\nhello\r\n0\r\n\r\n"), error(ChunkSize)),
        case("an underscore", chunked("1_0\r\n"), error(ChunkSize)),
        case("NUL in a size (h11)", chunked("10\0\r\nxxx"), error(ChunkSize)),
        case("a blank before a size", chunked(" 5\r\nhello\r\n0\r\n\r\n"), error(ChunkSize)),
        case("a missing zero (hyper)", chunked("1\r\nZ\r\n\r\n\r\n"), error(ChunkSize)),
        case("CR without LF after a size (hyper)", chunked("F\rF"), error(ChunkSize)),
        case("LF without CR after a size", chunked("5\nhello\r\n0\r\n\r\n"), error(ChunkSize)),
        case(
            "blanks after a size (h11, llhttp)",
            chunked("5   \t \r\nhello\r\n0 \r\n\r\n"),
            reusable(200, "hello"),
        ),
        case("a digit after blanks (hyper)", chunked("1 A\r\n"), error(ChunkSize)),
        case("an extension after blanks only (hyper)", chunked("1 invalid extension\r\n"), error(ChunkSize)),
        case(
            "extensions (h11)",
            chunked("5; hello=there\r\nhello\r\n0; random=\"junk\"; some=more; canbe=long\r\n\r\n"),
            reusable(200, "hello"),
        ),
        case("odd extensions (hyper)", chunked("1;;;  ;\r\n!\r\n0   ;   \r\n\r\n"), reusable(200, "!")),
        case(
            "an extension with anything",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;\0\x7f\xff\r\n!\r\n0\r\n\r\n",
            reusable(200, "!"),
        ),
        case("a line feed in an extension (hyper)", chunked("1;reject\nnewlines\r\n"), error(ChunkExtension)),
        case("a CR in an extension", chunked("1;a\rb\r\n!\r\n"), error(ChunkSize)),
        case("an extension cut short (hyper)", chunked("1;no CRLF"), error(EndInBody)),
        case("a chunk too long (h11)", chunked("3\r\nxxx__1a\r\n"), error(ChunkEnd)),
        case("the CR alone after a chunk (h11)", chunked("3\r\nxxx\r_1a\r\n"), error(ChunkEnd)),
        case("the LF alone after a chunk (h11)", chunked("3\r\nxxx_\n1a\r\n"), error(ChunkEnd)),
        case("no line end after a chunk", chunked("3\r\nxxx0\r\n\r\n"), error(ChunkEnd)),
        case("LF for CRLF after a chunk", chunked("3\r\nxxx\n0\r\n\r\n"), error(ChunkEnd)),
        case("a chunk too short", chunked("6\r\nxxx\r\n0\r\n\r\n"), error(ChunkSize)),
        case("nothing after the head", chunked(""), error(EndInBody)),
        case("cut in a size", chunked("5"), error(EndInBody)),
        case("cut after a size", chunked("5\r\n"), error(EndInBody)),
        case("cut in a chunk (hyper)", chunked("9\r\nfoo bar"), error(EndInBody)),
        case("cut after a chunk", chunked("3\r\nfoo\r\n"), error(EndInBody)),
        case("cut after the last chunk", chunked("3\r\nfoo\r\n0\r\n"), error(EndInBody)),
        case("cut before the last LF", chunked("3\r\nfoo\r\n0\r\n\r"), error(EndInBody)),
        case("something for the last LF", chunked("3\r\nfoo\r\n0\r\n\rX"), error(Trailer)),
        case("more after the end", chunked("3\r\nfoo\r\n0\r\n\r\n0"), last(200, "foo")),
        case("a chunk after the last one", chunked("0\r\n\r\n3\r\nfoo\r\n0\r\n\r\n"), last(200, "")),
        case(
            "a line feed in a chunk (llhttp, amazon.com)",
            chunked("1\r\n\n\r\n0\r\n\r\n"),
            reusable(200, "\n"),
        ),
        case(
            "line ends in a chunk (llhttp)",
            chunked(
                "25  \r\nThis is the data in the first chunk\r\n\r\n1C\r\nand this is the second one\r\n\r\n0  \r\n\r\n",
            ),
            reusable(200, "This is the data in the first chunk\r\nand this is the second one\r\n"),
        ),
        case(
            "an answer in a chunk",
            chunked("13\r\nHTTP/1.1 200 OK\r\n\r\n\r\n0\r\n\r\n"),
            reusable(200, "HTTP/1.1 200 OK\r\n\r\n"),
        ),
    ]
}

fn trailers() -> Vec<Case> {
    use ReadError::{EndInBody, Trailer};
    let trailer = |lines: &str| chunked(&format!("2\r\nhi\r\n0\r\n{lines}\r\n"));
    vec![
        case("one (h11)", trailer("Some: header\r\n"), reusable(200, "hi")),
        case("three", trailer("a: 1\r\nb:\r\nc:\t x\t \r\n"), reusable(200, "hi")),
        case(
            "in Latin-1",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: \xe4\r\n\r\n",
            reusable(200, ""),
        ),
        case("a length in it", trailer("content-length: 500\r\n"), reusable(200, "hi")),
        case(
            "a coding in it",
            trailer("transfer-encoding: gzip\r\nconnection: close\r\n"),
            reusable(200, "hi"),
        ),
        case("no colon", trailer("foo\r\n"), error(Trailer)),
        case("no name", trailer(": foo\r\n"), error(Trailer)),
        case("a blank before the colon", trailer("a : foo\r\n"), error(Trailer)),
        case("a blank before the name", trailer(" a: foo\r\n"), error(Trailer)),
        case("folded", trailer("a: foo\r\n bar\r\n"), error(Trailer)),
        case("NUL in a name", trailer("a\0: b\r\n"), error(Trailer)),
        case("NUL in a value", trailer("a: b\0\r\n"), error(Trailer)),
        case("DEL in a value", trailer("a: b\x7f\r\n"), error(Trailer)),
        case("CR without LF (hyper)", trailer("bad\r\r\n"), error(Trailer)),
        case("CR without LF in a value", trailer("a: b\rc\r\n"), error(Trailer)),
        case("LF without CR", trailer("a: b\nc: d\r\n"), error(Trailer)),
        case("LF for the empty line", chunked("0\r\n\n"), error(Trailer))
            .differs(Difference::BrokenBeforeCut),
        case("junk after a stray LF", trailer("\njunk\r\n"), error(Trailer))
            .differs(Difference::StrayLineFeedInTrailer),
        case("junk after two LFs", trailer("a: b\n\njunk\r\n"), error(Trailer))
            .differs(Difference::StrayLineFeedInTrailer),
        case("broken and cut", chunked("0\r\nfoo\r\nbar"), error(Trailer))
            .differs(Difference::BrokenBeforeCut),
        case("cut in a name", chunked("0\r\nfoo"), error(EndInBody)),
        case("cut in a value", chunked("0\r\nfoo: b"), error(EndInBody)),
        case("cut after a line", chunked("0\r\nfoo: b\r\n"), error(EndInBody)),
        case("an answer for a trailer", chunked("0\r\nHTTP/1.1 200 OK\r\n\r\n"), error(Trailer)),
    ]
}

fn bodiless() -> Vec<Case> {
    vec![
        case("204 (hyper)", "HTTP/1.1 204 No Content\r\n\r\n", reusable(204, "")),
        case("204 with a length", "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", reusable(204, "")),
        case("204 with a body", "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", last(204, "")),
        case(
            "204 with chunks",
            "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            last(204, ""),
        ),
        case(
            "204, then another answer (llhttp)",
            "HTTP/1.1 204 No content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            last(204, ""),
        ),
        case(
            "204 with a broken length",
            "HTTP/1.1 204 No\r\ncontent-length: x, -5\r\n\r\n",
            reusable(204, ""),
        ),
        case("204 that closes (llhttp)", "HTTP/1.1 204 No\r\nconnection: close\r\n\r\n", last(204, "")),
        case(
            "204 of 1.0 that stays (llhttp)",
            "HTTP/1.0 204 No\r\nconnection: keep-alive\r\n\r\n",
            reusable(204, ""),
        ),
        case("205 has a body", "HTTP/1.1 205 Reset\r\ncontent-length: 2\r\n\r\nhi", reusable(205, "hi")),
        case("304 (hyper)", "HTTP/1.1 304 Not Modified\r\n\r\n", reusable(304, "")),
        case(
            "304 with a length (llhttp)",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n",
            reusable(304, ""),
        ),
        case(
            "304 with a coding (llhttp)",
            "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n",
            reusable(304, ""),
        ),
        case(
            "304 of 1.0 with a coding",
            "HTTP/1.0 304 Not\r\ntransfer-encoding: chunked\r\n\r\n",
            last(304, ""),
        ),
        case("HEAD (hyper)", ok("content-length: 8\r\n", ""), reusable(200, "")).head(),
        case("HEAD with a coding", chunked(""), reusable(200, "")).head(),
        case("HEAD without a length", ok("", ""), reusable(200, "")).head(),
        case("HEAD with a body", ok("content-length: 2\r\n", "hi"), last(200, "")).head(),
        case(
            "HEAD with an endless length",
            ok("content-length: 99999999999999999999999\r\n", ""),
            reusable(200, ""),
        )
        .head(),
        case(
            "HEAD after 100",
            "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            reusable(200, ""),
        )
        .head(),
        case(
            "HEAD, error",
            "HTTP/1.1 500 E\r\ncontent-length: 5\r\nconnection: close\r\n\r\n",
            last(500, ""),
        )
        .head(),
        case("HEAD cut in the head", "HTTP/1.1 200 OK\r\n", error(ReadError::EndInHead)).head(),
    ]
}

fn informational() -> Vec<Case> {
    use ReadError::{EndInHead, SwitchingProtocols, TooManyInformational, Version};
    let many = |count: usize| "HTTP/1.1 103 Hint\r\nlink: a\r\n\r\n".repeat(count);
    let end = ok("content-length: 2\r\n", "hi");
    vec![
        case("100 (hyper, llhttp)", format!("HTTP/1.1 100 Continue\r\n\r\n{end}"), reusable(200, "hi")),
        case(
            "100 with a length",
            format!("HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\n{end}"),
            reusable(200, "hi"),
        ),
        case(
            "100 with a body",
            format!("HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\nhello{end}"),
            error(Version),
        ),
        case(
            "100 that closes",
            format!("HTTP/1.1 100 Continue\r\nconnection: close\r\n\r\n{end}"),
            reusable(200, "hi"),
        ),
        case(
            "100, an empty line, 404 (llhttp)",
            "HTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 14\r\n\r\n404: Not Found",
            reusable(404, "404: Not Found"),
        ),
        case(
            "103 (hyper, llhttp)",
            format!("HTTP/1.1 103 Early Hints\r\nLink: </styles.css>; rel=preload\r\n\r\n{end}"),
            reusable(200, "hi"),
        ),
        case(
            "100, 102, 103, 199",
            format!(
                "HTTP/1.1 100 A\r\n\r\nHTTP/1.1 102 B\r\n\r\nHTTP/1.1 103 C\r\n\r\nHTTP/1.0 199 D\r\n\r\n{end}"
            ),
            reusable(200, "hi"),
        ),
        case("100 with LFs", format!("HTTP/1.1 100\n\n{end}"), reusable(200, "hi")),
        case("100 and nothing", "HTTP/1.1 100 Continue\r\n\r\n", error(EndInHead)),
        case("100 and half a head", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", error(EndInHead)),
        case("100 and junk", "HTTP/1.1 100 Continue\r\n\r\njunk", error(Version)),
        case("as many as are allowed", many(usize::from(MAX_INFORMATIONAL)) + &end, reusable(200, "hi")),
        case("one too many", many(usize::from(MAX_INFORMATIONAL) + 1) + &end, error(TooManyInformational))
            .differs(Difference::TooManyInformational),
        case("endless", many(10_000), error(TooManyInformational)).differs(Difference::TooManyInformational),
        case(
            "101 (hyper, llhttp)",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
            error(SwitchingProtocols),
        )
        .differs(Difference::SwitchingProtocols),
        case(
            "101 with a length (llhttp)",
            "HTTP/1.1 101 Switching Protocols\r\ncontent-length: 4\r\n\r\nbodyproto",
            error(SwitchingProtocols),
        )
        .differs(Difference::SwitchingProtocols),
        case("100, then 101", "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 101 S\r\n\r\n", error(SwitchingProtocols))
            .differs(Difference::SwitchingProtocols),
        case("101 to HEAD", "HTTP/1.1 101 S\r\n\r\n", error(SwitchingProtocols))
            .head()
            .differs(Difference::SwitchingProtocols),
    ]
}

fn limits() -> Vec<Case> {
    use ReadError::{ChunkExtension, EndInHead, HeadTooLarge, TooManyHeaders, TrailerTooLarge, Version};
    // "HTTP/1.1 200 OK\r\n" "a: " "\r\n" "\r\n" and a `content-length: 0`.
    let of_size = |size: usize| ok(&format!("content-length: 0\r\na: {}\r\n", "v".repeat(size - 43)), "");
    let headers = |count: usize| ok(&("a: b\r\n".repeat(count - 1) + "content-length: 0\r\n"), "");
    let trailer = |size: usize| chunked(&format!("0\r\na:{}\r\n\r\n", "v".repeat(size - 4)));
    let extension = |size: usize| chunked(&format!("0;{}\r\n\r\n", "e".repeat(size)));
    let (head, extensions) = (MAX_HEAD, usize::from(MAX_EXTENSIONS));
    let (lines, bytes) = (usize::from(MAX_TRAILERS), usize::from(MAX_TRAILER));
    vec![
        case("a head of the largest size", of_size(head), reusable(200, "")),
        case("a head one byte larger", of_size(head + 1), error(HeadTooLarge))
            .differs(Difference::HeadTooLarge),
        case("a head of 300 KiB", of_size(300 << 10), error(HeadTooLarge)).differs(Difference::HeadTooLarge),
        case("an endless value", ok(&format!("a: {}", "v".repeat(1 << 20)), ""), error(HeadTooLarge)),
        case("an endless name", format!("HTTP/1.1 200 OK\r\n{}", "n".repeat(1 << 20)), error(HeadTooLarge)),
        case("an endless reason", format!("HTTP/1.1 200 {}", "r".repeat(1 << 20)), error(HeadTooLarge)),
        case("endless empty lines", "\r\n".repeat(1 << 18), error(HeadTooLarge)),
        case("endless line feeds, then junk", "\n".repeat(9000) + "x", error(Version)),
        case("many empty lines", "\r\n".repeat(9000), error(EndInHead)),
        case("a large head that is cut", ok(&format!("a: {}", "v".repeat(20_000)), ""), error(EndInHead)),
        case(
            "a large head that is broken and cut",
            ok(&format!("a: {}\0b", "v".repeat(20_000)), ""),
            error(ReadError::HeaderValue),
        )
        .differs(Difference::BrokenBeforeCut),
        case("as many headers as are allowed", headers(MAX_HEADERS), reusable(200, "")),
        case("one header too many", headers(MAX_HEADERS + 1), error(TooManyHeaders)),
        case("endless headers", ok(&"a: b\r\n".repeat(100_000), ""), error(TooManyHeaders)),
        case("the largest trailer", trailer(bytes), reusable(200, "")),
        case("a trailer one byte larger", trailer(bytes + 1), error(TrailerTooLarge)),
        case("an endless trailer", trailer(1 << 20), error(TrailerTooLarge)),
        case(
            "as many trailers as are allowed",
            chunked(&format!("0\r\n{}\r\n", "a:\r\n".repeat(lines))),
            reusable(200, ""),
        ),
        case(
            "one trailer too many",
            chunked(&format!("0\r\n{}\r\n", "a:\r\n".repeat(lines + 1))),
            error(TrailerTooLarge),
        ),
        case("the largest extension", extension(extensions), reusable(200, "")),
        case("an extension one byte larger", extension(extensions + 1), error(ChunkExtension)),
        case(
            "extensions that add up (hyper)",
            chunked(&format!("{0}{0}0\r\n\r\n", format!("1;{}\r\nA\r\n", "x".repeat(extensions / 3 * 2)))),
            error(ChunkExtension),
        ),
        case(
            "endless blanks",
            chunked(&format!("0{}\r\n\r\n", " ".repeat(extensions + 1))),
            error(ChunkExtension),
        )
        .differs(Difference::BlanksAreExtension),
        case(
            "an endless body",
            chunked(&"1\r\na\r\n".repeat(MAX_BODY as usize + 1)),
            error(ReadError::BodyTooLarge),
        ),
    ]
}
