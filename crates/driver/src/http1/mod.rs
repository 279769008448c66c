//! Reads HTTP/1.1 responses from bytes (RFC 9112), for connections that carry one request at a time.
//!
//! A [`ResponseReader`] takes what a connection delivers, in whatever pieces it comes, and says where the
//! response ends. How the bytes are split never changes the result. The usual response, whose head arrives
//! whole, is parsed where it lies: nothing is copied or allocated unless headers or a body are wanted. It
//! knows no socket, clock or runtime, and it decodes no content (`content-encoding` is the target's).
//!
//! Memory is bounded by [`MAX_HEAD`] bytes for a head that arrives in pieces, [`Want::max_body`] bytes for a
//! body that is kept, and constants.
//!
//! # Where an answer is ambiguous
//!
//! It is read as hyper 1.12 reads it, because a plan must see the same target whichever of the two carried
//! its requests: `transfer-encoding` beats `content-length`; a transfer coding that does not end in `chunked`
//! lasts until the connection closes; equal `content-length`s are one, different ones are an error; folded
//! headers and a space before the colon are refused; a missing reason phrase, a line feed alone as the end of
//! a line of the head and empty lines before the head are accepted; 204, 304 and answers to HEAD have no body
//! whatever their headers say. It differs in this, and is never laxer:
//!
//! | here | hyper 1.12 |
//! |---|---|
//! | a head is at most [`MAX_HEAD`] bytes | about 400 KiB |
//! | at most [`MAX_INFORMATIONAL`] responses 1xx before the final one | any number |
//! | 101 is an error: no request asks for an upgrade | an answer without a body |
//! | `transfer-encoding` beside `content-length`: read as chunked, the connection is not used again (RFC 9112, section 6.3) | used again |
//! | a chunk size has at most 16 digits, leading zeros counted | any number of zeros |
//! | blanks after a chunk size count as extension | not counted |
//! | the lines of a trailer end in CRLF, each is `name: value` | what follows a stray line feed is ignored |
//! | a chunk that exceeds [`Want::max_body`] is refused when its size is read | (the caller counts) |
//! | what is broken is an error at once, also when the connection closes afterwards | sometimes told as an early close |

mod chunked;
mod error;
mod reader;

pub use chunked::{MAX_EXTENSIONS, MAX_TRAILER, MAX_TRAILERS};
pub use error::ReadError;
pub use reader::{KnownHead, MAX_HEAD, MAX_HEADERS, MAX_INFORMATIONAL, ResponseReader, Want};
