//! Points as they wait, and the few parts of protobuf that requests are written with.
//!
//! Requests are written without messages in between: one histogram is some twenty series of up to nine
//! labels, thousands of times a second.

use prost::Message;
use prost::encoding::{WireType, encoded_len_varint};

/// Points of one lane and event. Texts stand in `symbols` once and are referred to by their position.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Batch {
    #[prost(string, repeated, tag = "1")]
    pub(super) symbols: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub(super) points: Vec<Point>,
}

/// One series at one moment.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Point {
    #[prost(uint32, tag = "1")]
    pub(super) metric: u32,
    #[prost(enumeration = "MetricType", tag = "2")]
    pub(super) kind: i32,
    #[prost(uint32, tag = "3")]
    pub(super) help: u32,
    #[prost(uint32, tag = "4")]
    pub(super) unit: u32,
    /// Names and values in turn, ascending by name.
    #[prost(uint32, repeated, tag = "5")]
    pub(super) labels: Vec<u32>,
    #[prost(int64, tag = "6")]
    pub(super) at_ms: i64,
    /// When it began to count; 0: it does not count.
    #[prost(int64, tag = "7")]
    pub(super) created_ms: i64,
    /// Whether a zero at `created_ms` comes before it.
    #[prost(bool, tag = "8")]
    pub(super) first: bool,
    /// Whether the series ends here; its value then means nothing.
    #[prost(bool, tag = "9")]
    pub(super) stale: bool,
    #[prost(double, tag = "10")]
    pub(super) value: f64,
    #[prost(message, optional, tag = "11")]
    pub(super) durations: Option<Durations>,
    #[prost(message, repeated, tag = "12")]
    pub(super) exemplars: Vec<Shown>,
}

/// The value of a histogram.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Durations {
    #[prost(uint64, tag = "1")]
    pub(super) count: u64,
    #[prost(double, tag = "2")]
    pub(super) sum: f64,
    #[prost(uint64, tag = "3")]
    pub(super) zero_count: u64,
    #[prost(sint32, repeated, tag = "4")]
    pub(super) offsets: Vec<i32>,
    #[prost(uint32, repeated, tag = "5")]
    pub(super) lengths: Vec<u32>,
    #[prost(sint64, repeated, tag = "6")]
    pub(super) deltas: Vec<i64>,
    /// Texts of the classic edges, the infinite one among them.
    #[prost(uint32, repeated, tag = "7")]
    pub(super) edges: Vec<u32>,
    /// One per edge.
    #[prost(uint64, repeated, tag = "8")]
    pub(super) cumulative: Vec<u64>,
}

/// An exemplar.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Shown {
    #[prost(uint32, repeated, tag = "1")]
    pub(super) labels: Vec<u32>,
    #[prost(double, tag = "2")]
    pub(super) value: f64,
    #[prost(int64, tag = "3")]
    pub(super) at_ms: i64,
    /// The classic bucket it belongs to.
    #[prost(uint32, tag = "4")]
    pub(super) bucket: u32,
}

/// Numbered as in both versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum MetricType {
    Unknown = 0,
    Counter = 1,
    Gauge = 2,
    Histogram = 3,
    Info = 6,
}

fn key(out: &mut Vec<u8>, tag: u32, kind: WireType) {
    varint(out, u64::from(tag) << 3 | kind as u64);
}

/// As prost writes it, but a number at once and not byte by byte: most of a request are such numbers.
pub(super) fn varint(out: &mut Vec<u8>, value: u64) {
    let (bytes, length) = bytes_of(value);
    out.extend_from_slice(&bytes[..length]);
}

/// Seven bits a byte, the lowest first, and how many bytes that are.
fn bytes_of(mut value: u64) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let length = encoded_len_varint(value);
    for byte in &mut bytes[..length] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    bytes[length - 1] &= 0x7f;
    (bytes, length)
}

pub(super) fn uint(out: &mut Vec<u8>, tag: u32, value: u64) {
    key(out, tag, WireType::Varint);
    varint(out, value);
}

/// Negative numbers take ten bytes, as protobuf's `int64` has it.
pub(super) fn int(out: &mut Vec<u8>, tag: u32, value: i64) {
    uint(out, tag, value as u64);
}

pub(super) fn sint(out: &mut Vec<u8>, tag: u32, value: i64) {
    uint(out, tag, zigzag(value));
}

pub(super) fn double(out: &mut Vec<u8>, tag: u32, value: f64) {
    key(out, tag, WireType::SixtyFourBit);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn text(out: &mut Vec<u8>, tag: u32, value: &str) {
    key(out, tag, WireType::LengthDelimited);
    varint(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

pub(super) fn packed(out: &mut Vec<u8>, tag: u32, values: impl Iterator<Item = u64>) {
    message(out, tag, |out| values.for_each(|value| varint(out, value)));
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Writes a message whose length is known once it is written; most lengths take one byte or two.
pub(super) fn message(out: &mut Vec<u8>, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
    key(out, tag, WireType::LengthDelimited);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    let (bytes, size) = bytes_of(length as u64);
    if size > 1 {
        out.resize(out.len() + size - 1, 0);
        out.copy_within(at + 1..at + 1 + length, at + size);
    }
    out[at..at + size].copy_from_slice(&bytes[..size]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_messages_are_written_as_prost_does(value in any::<u64>(), shift in 0_u32..64, length in 0_usize..20_000) {
            let value = value >> shift;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            uint(&mut ours, 17, value);
            prost::encoding::uint64::encode(17, &value, &mut theirs);
            let body = vec![7_u8; length];
            message(&mut ours, 3, |out| out.extend_from_slice(&body));
            prost::encoding::bytes::encode(3, &body, &mut theirs);
            prop_assert_eq!(ours, theirs);
        }
    }
}
