//! Bodies that come coded (RFC 9110, section 8.4), for steps that look at them.
//!
//! What is decoded is bounded by the plan's `max_body`: a small body that becomes a large one ends the request as
//! `too_large`, and no more than the bound is ever held.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use plimsoll_measure::Outcome;
use plimsoll_run::Coding;

use crate::Failure;
use crate::connection::AnswerLimit;

/// The largest window of Zstandard in HTTP (RFC 9659).
const ZSTD_WINDOW: u64 = 8 << 20;

/// Codings on top of each other; more are an attack.
const MOST_LAYERS: usize = 3;

/// A body as it was before it was coded.
pub(crate) fn decode(headers: &HeaderMap, body: Vec<u8>, limit: AnswerLimit) -> Result<Vec<u8>, Failure> {
    let wrong = |message: String| Failure::new(Outcome::Protocol, message);
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| wrong("the body's coding cannot be read".to_owned()))?;
        codings.extend(value.split(',').map(|name| name.trim().to_ascii_lowercase()));
    }
    codings.retain(|name| !name.is_empty() && name != "identity");
    if codings.len() > MOST_LAYERS {
        return Err(wrong(format!("the body is coded {} times", codings.len())));
    }
    let mut body = body;
    if body.is_empty() {
        return Ok(body);
    }
    // The last one was put on last.
    for name in codings.iter().rev() {
        let coding = match name.as_str() {
            "x-gzip" => Some(Coding::Gzip),
            name => Coding::ALL.into_iter().find(|coding| coding.label() == name),
        };
        let coding = coding.ok_or_else(|| {
            let name: String = name.chars().filter(char::is_ascii_graphic).take(32).collect();
            wrong(format!("the body is coded as `{name}`, which nobody asked for"))
        })?;
        let decoded = read(coding, &body, limit.max_body);
        let decoded = decoded.map_err(|error| wrong(format!("the body is not {coding}: {error}")))?;
        if decoded.len() as u64 > limit.max_body {
            return Err(limit.too_large());
        }
        body = decoded;
    }
    Ok(body)
}

/// Decodes until the end, or until there is a byte more than allowed.
fn read(coding: Coding, body: &[u8], most: u64) -> std::io::Result<Vec<u8>> {
    let most = most.saturating_add(1);
    let mut decoded = Vec::new();
    match coding {
        Coding::Gzip => MultiGzDecoder::new(body).take(most).read_to_end(&mut decoded),
        Coding::Brotli => {
            brotli_decompressor::Decompressor::new(body, 4096).take(most).read_to_end(&mut decoded)
        }
        Coding::Zstd => {
            let wrong = |why: String| std::io::Error::new(std::io::ErrorKind::InvalidData, why);
            if zstd_window(body).is_some_and(|window| window > ZSTD_WINDOW) {
                return Err(wrong("its window is larger than 8 MB".to_owned()));
            }
            let decoder = ruzstd::decoding::StreamingDecoder::new(body);
            decoder.map_err(|error| wrong(error.to_string()))?.take(most).read_to_end(&mut decoded)
        }
        // It says zlib, and some servers send what is inside of it alone.
        Coding::Deflate => match ZlibDecoder::new(body).take(most).read_to_end(&mut decoded) {
            Err(_) if decoded.is_empty() => DeflateDecoder::new(body).take(most).read_to_end(&mut decoded),
            read => read,
        },
    }?;
    Ok(decoded)
}

/// How much a decoder is asked to remember (RFC 8878, section 3.1.1.1.2), where the frame says it and is not itself that long:
/// (1 + mantissa / 8) x 2^(10 + exponent).
fn zstd_window(frame: &[u8]) -> Option<u64> {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    let [_, _, _, _, descriptor, window, ..] = frame else { return None };
    let base = 1_u64 << (10 + (window >> 3));
    (descriptor & SINGLE_SEGMENT == 0).then(|| base + base / 8 * u64::from(window & 7))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(body: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(body: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// `hello hello hello`, as Node.js codes it.
    const HELLO_BROTLI: [u8; 20] = [
        0x1b, 0x10, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0x96, 0x6c, 0x20, 0x6f, 0x01, 0x4f,
        0x1c, 0x60, 0x1c,
    ];

    fn decoded(coding: &str, body: &[u8], max_body: u64) -> Result<Vec<u8>, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_str(coding).unwrap());
        decode(&headers, body.to_vec(), AnswerLimit { headers: true, body: true, max_body })
    }

    #[test]
    fn bodies_come_back() {
        let hello = b"hello hello hello";
        for (coding, body) in [
            ("gzip", gzip(hello)),
            ("x-gzip", gzip(hello)),
            ("deflate", zlib(hello)),
            ("deflate", raw(hello)),
            ("zstd", zstd(hello)),
            ("identity", hello.to_vec()),
            ("gzip, zstd", zstd(&gzip(hello))),
            ("GZIP", [gzip(b"hello hello"), gzip(b" hello")].concat()),
        ] {
            assert_eq!(decoded(coding, &body, 100).unwrap(), hello, "{coding}");
        }
        assert_eq!(decoded("br", &HELLO_BROTLI, 100).unwrap(), b"hello hello hello");
        assert_eq!(decoded("gzip", b"", 100).unwrap(), b"", "an answer to HEAD");
    }

    #[test]
    fn a_small_body_that_becomes_a_large_one_is_too_large() {
        let bomb = vec![0; 10_000_000];
        for (coding, body) in [
            ("gzip", gzip(&bomb)),
            ("deflate", zlib(&bomb)),
            ("zstd", zstd(&bomb)),
            ("gzip, gzip", gzip(&gzip(&bomb))),
        ] {
            let failure = decoded(coding, &body, 1_000_000).unwrap_err();
            assert_eq!(failure.outcome, Outcome::TooLarge, "{coding}");
        }
        assert_eq!(
            decoded("gzip", &gzip(&bomb), 10_000_000).unwrap().len(),
            10_000_000,
            "as large as allowed"
        );
    }

    #[test]
    fn what_is_not_as_it_says_is_told() {
        let mut short = gzip(b"hello");
        short.truncate(short.len() - 3);
        for (coding, body, expected) in [
            ("gzip", b"hello".as_slice(), "the body is not gzip: "),
            ("gzip", &short, "the body is not gzip: "),
            ("br", b"\xff\xff\xff", "the body is not br: "),
            ("zstd", b"hello", "the body is not zstd: "),
            (
                "zstd",
                b"\x28\xb5\x2f\xfd\x00\x70\x01\x00\x00",
                "the body is not zstd: its window is larger than 8 MB",
            ),
            ("deflate", b"\xff\xff", "the body is not deflate: "),
            ("compress", b"hello", "the body is coded as `compress`, which nobody asked for"),
            ("gzip, gzip, gzip, gzip", b"hello", "the body is coded 4 times"),
        ] {
            let failure = decoded(coding, body, 100).unwrap_err();
            assert_eq!(failure.outcome, Outcome::Protocol, "{coding}");
            assert!(failure.message.starts_with(expected), "{}", failure.message);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_bounded(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            for coding in Coding::ALL {
                if let Ok(decoded) = decoded(coding.label(), &body, 1000) {
                    prop_assert!(decoded.len() <= 1000);
                }
            }
        }
    }
}
