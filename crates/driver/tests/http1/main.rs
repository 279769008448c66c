//! The reader of HTTP/1.1 responses under attack.

mod harness;

use harness::{cut, read, want};
use plimsoll_driver::http1::{ReadError, ResponseReader, Want};

fn check(stream: &[u8], expected: Result<(u16, &str, bool), ReadError>) {
    let whole = read([stream], want(false));
    let found = whole.as_ref().map(|answer| {
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned(), answer.keeps_alive)
    });
    let expected = expected.map(|(status, body, keeps_alive)| (status, body.to_owned(), keeps_alive));
    let text = String::from_utf8_lossy(stream);
    assert_eq!(found.map_err(|error| *error), expected, "{text:?}");
    for at in 0..stream.len() {
        assert_eq!(read(cut(stream, &[at]), want(false)), whole, "cut at {at}: {text:?}");
    }
    assert_eq!(read(stream.chunks(1), want(false)), whole, "byte by byte: {text:?}");
}

#[test]
fn bodies_end_where_their_framing_says() {
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Ok((200, "hello", true)));
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello!", Ok((200, "hello", false)));
    check(b"HTTP/1.1 200 OK\r\n\r\nhello", Ok((200, "hello", false)));
    check(b"HTTP/1.1 204 No Content\r\n\r\n", Ok((204, "", true)));
    check(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n",
        Ok((200, "abc0123456789", true)),
    );
    check(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nConnection: close\r\ncontent-length:1\n\n!",
        Ok((200, "!", false)),
    );
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", Err(ReadError::EndInBody));
    check(b"HTTP/1.1 200 OK\r\ncontent-le", Err(ReadError::EndInHead));
    check(b"", Err(ReadError::NoAnswer));
    check(b"HTTP/2.0 200 OK\r\n\r\n", Err(ReadError::Version));
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n", Err(ReadError::BodyTooLarge));
}

#[test]
fn a_reader_that_waits_is_small_and_reads_answer_after_answer() {
    assert!(size_of::<ResponseReader>() <= 256, "{} bytes", size_of::<ResponseReader>());
    let mut reader = ResponseReader::new();
    assert_eq!(reader.read(b"unasked"), Ok(Some(0)));
    for _ in 0..3 {
        reader.begin(Want { keep_headers: false, ..want(false) });
        assert!(!reader.has_begun());
        let answer = b"HTTP/1.1 302 Found\r\nserver: x\r\nlocation: /a\r\ncontent-length: 2\r\n\r\nab";
        assert_eq!(reader.read(answer), Ok(Some(answer.len())));
        assert!(reader.keeps_alive() && reader.has_begun());
        assert_eq!((reader.status(), reader.take_body()), (302, b"ab".to_vec()));
        let headers = reader.take_headers();
        assert_eq!((headers.len(), headers["location"].as_bytes()), (1, &b"/a"[..]));
    }
}
