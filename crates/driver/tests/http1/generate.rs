//! Answers made at random: mostly whole ones, and what becomes of them when bytes go astray.

use proptest::prelude::*;
use rand::{Rng, RngExt};

const STATUS_LINES: [&str; 14] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 404 Not Found\r\n",
    "HTTP/1.1 302\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.0 200 OK\r\n",
    "\r\nHTTP/1.1 500 \n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 103 Hint\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 101 Upgrade\r\n",
    "HTTP/2 200 OK\r\n",
    "HTTP/1.1 099 Low\r\n",
    "",
];

const HEADERS: [&str; 16] = [
    "server: x\r\n",
    "date: Sun, 22 Nov 2026 00:00:00 GMT\r\n",
    "location: /next\r\n",
    "set-cookie: a=1; path=/\r\n",
    "connection: close\r\n",
    "Connection: keep-alive\r\n",
    "content-length: 0\r\n",
    "content-length: 3\r\n",
    "Content-Length: 5, 5\r\n",
    "content-length: -1\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: gzip\r\n",
    "x:\n",
    "x: a\r\n b\r\n",
    "x : a\r\n",
    "x: \u{fc}\r\n",
];

/// What may go astray.
const PIECES: [&str; 22] = [
    "\r",
    "\n",
    "\r\n",
    "\0",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "0",
    "-",
    "f",
    "ffffffffffffffff",
    "0\r\n\r\n",
    "\r\n\r\n",
    "5\r\nhello\r\n",
    "a: b\r\n",
    "HTTP/1.1 ",
    "HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 100\r\n\r\n",
    "content-length: 1\r\n",
    "transfer-encoding: chunked\r\n",
];

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    WrongLength(u8),
    Chunked,
    None,
}

#[derive(Debug, Clone)]
enum Edit {
    Replace(usize, u8),
    Insert(usize, &'static str),
    Remove(usize, usize),
    Cut(usize),
    Repeat(usize, usize),
}

/// An answer as servers give it or nearly so, sometimes with a few edits.
pub(crate) fn answer() -> impl Strategy<Value = Vec<u8>> {
    let framing = prop_oneof![
        4 => Just(Framing::Length),
        1 => any::<u8>().prop_map(Framing::WrongLength),
        4 => Just(Framing::Chunked),
        1 => Just(Framing::None),
    ];
    let edits = prop_oneof![1 => Just(Vec::new()), 2 => prop::collection::vec(edit(), 1..4)];
    let headers = prop_oneof![
        3 => prop::collection::vec(prop::sample::select(&HEADERS[..4]), 0..5),
        1 => prop::collection::vec(prop::sample::select(&HEADERS[..]), 0..5),
    ];
    let body = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4);
    let trailers = prop::collection::vec(prop::sample::select(&HEADERS[..]), 0..2);
    (prop::sample::select(&STATUS_LINES[..]), headers, framing, body, trailers, edits).prop_map(
        |(status_line, headers, framing, body, trailers, edits)| {
            let mut stream = status_line.as_bytes().to_vec();
            headers.iter().for_each(|header| stream.extend(header.as_bytes()));
            write_body(&mut stream, framing, &body, &trailers);
            edits.iter().for_each(|edit| apply(&mut stream, edit));
            stream
        },
    )
}

fn write_body(stream: &mut Vec<u8>, framing: Framing, body: &[Vec<u8>], trailers: &[&str]) {
    let length = body.iter().map(Vec::len).sum::<usize>();
    match framing {
        Framing::Length => stream.extend(format!("Content-Length: {length}\r\n\r\n").as_bytes()),
        Framing::WrongLength(length) => stream.extend(format!("content-length:{length}\r\n\r\n").as_bytes()),
        Framing::None => stream.extend(b"\r\n"),
        Framing::Chunked => {
            stream.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for (index, chunk) in body.iter().filter(|chunk| !chunk.is_empty()).enumerate() {
                let extension = ["", ";a", " ", ";a=\"b\""][index % 4];
                stream.extend(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
                stream.extend(chunk);
                stream.extend(b"\r\n");
            }
            stream.extend(b"0\r\n");
            trailers.iter().for_each(|trailer| stream.extend(trailer.as_bytes()));
            stream.extend(b"\r\n");
            return;
        }
    }
    stream.extend(body.concat());
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = prop::sample::select(&PIECES[..]);
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (any::<usize>(), piece).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (any::<usize>(), 1_usize..20).prop_map(|(at, length)| Edit::Remove(at, length)),
        any::<usize>().prop_map(Edit::Cut),
        (any::<usize>(), 1_usize..40).prop_map(|(at, length)| Edit::Repeat(at, length)),
    ]
}

fn apply(stream: &mut Vec<u8>, edit: &Edit) {
    let place = |at: &usize| at % (stream.len() + 1);
    match edit {
        Edit::Replace(at, byte) => {
            let at = place(at);
            if let Some(found) = stream.get_mut(at) {
                *found = *byte;
            }
        }
        Edit::Insert(at, piece) => {
            let at = place(at);
            stream.splice(at..at, piece.bytes());
        }
        Edit::Remove(at, length) => {
            let at = place(at);
            stream.drain(at..(at + length).min(stream.len()));
        }
        Edit::Cut(at) => {
            let at = place(at);
            stream.truncate(at);
        }
        Edit::Repeat(at, length) => {
            let at = place(at);
            let again = stream[at..(at + length).min(stream.len())].to_vec();
            stream.splice(at..at, again);
        }
    }
}

/// One random edit, or a piece of another answer in the place of one's own.
pub(crate) fn mutate(stream: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut impl Rng) {
    let mut up_to = |limit: usize| random.random_range(0..limit);
    let (at, length) = (up_to(stream.len() + 1), 1 + up_to(20));
    let edit = match up_to(8) {
        0 | 1 => Edit::Replace(at, up_to(256) as u8),
        2 | 3 => Edit::Insert(at, PIECES[up_to(PIECES.len())]),
        4 => Edit::Remove(at, length),
        5 => Edit::Cut(at),
        6 => Edit::Repeat(at, length),
        _ => {
            let other = &corpus[up_to(corpus.len())];
            let from = up_to(other.len() + 1);
            stream.truncate(at);
            stream.extend(&other[from..]);
            return;
        }
    };
    apply(stream, &edit);
}
