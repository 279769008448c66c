//! Profiles as profilers write them, and bytes that are none.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use plimsoll_profile::{Malformed, Profile, flame_graph};
use proptest::prelude::*;

/// Writes a profile as a profiler would: names, and stacks with the innermost frame first.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    texts: Vec<String>,
}

fn varint(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn number(field: u64, number: u64, to: &mut Vec<u8>) {
    varint(field << 3, to);
    varint(number, to);
}

fn bytes(field: u64, bytes: &[u8], to: &mut Vec<u8>) {
    varint(field << 3 | 2, to);
    varint(bytes.len() as u64, to);
    to.extend(bytes);
}

impl Writer {
    fn text(&mut self, text: &str) -> u64 {
        if self.texts.is_empty() {
            self.texts.push(String::new());
        }
        let place = self.texts.iter().position(|known| known == text).unwrap_or(self.texts.len());
        if place == self.texts.len() {
            self.texts.push(text.to_owned());
        }
        place as u64
    }

    fn kind(&mut self, name: &str, unit: &str) {
        let (mut kind, name, unit) = (Vec::new(), self.text(name), self.text(unit));
        number(1, name, &mut kind);
        number(2, unit, &mut kind);
        bytes(1, &kind, &mut self.bytes);
    }

    fn function(&mut self, id: u64, name: &str) {
        let (mut function, name) = (Vec::new(), self.text(name));
        number(1, id, &mut function);
        number(2, name, &mut function);
        bytes(5, &function, &mut self.bytes);
    }

    /// Of inlined functions the innermost first.
    fn location(&mut self, id: u64, address: u64, functions: &[u64]) {
        let mut location = Vec::new();
        number(1, id, &mut location);
        number(3, address, &mut location);
        for function in functions {
            let mut line = Vec::new();
            number(1, *function, &mut line);
            bytes(4, &line, &mut location);
        }
        bytes(4, &location, &mut self.bytes);
    }

    fn stack(&mut self, locations: &[u64], values: &[i64]) {
        let (mut sample, mut packed) = (Vec::new(), Vec::new());
        locations.iter().for_each(|id| varint(*id, &mut packed));
        bytes(1, &packed, &mut sample);
        // One by one, as older writers do.
        values.iter().for_each(|value| number(2, *value as u64, &mut sample));
        bytes(2, &sample, &mut self.bytes);
    }

    fn end(mut self) -> Vec<u8> {
        for text in std::mem::take(&mut self.texts) {
            bytes(6, text.as_bytes(), &mut self.bytes);
        }
        number(10, 30_000_000_000, &mut self.bytes);
        self.bytes
    }
}

/// `main` calls `work`, which calls itself and `<hash>`; one location has no name.
fn profile(work: i64) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.kind("samples", "count");
    writer.kind("cpu", "nanoseconds");
    for (id, name) in [(1, "main"), (2, "work"), (3, "<hash> & \"co\"")] {
        writer.function(id, name);
        writer.location(id, 0, &[id]);
    }
    writer.stack(&[2, 2, 1], &[1, work]);
    writer.stack(&[3, 2, 1], &[2, 300]);
    writer.stack(&[77, 1], &[1, 50]);
    writer.end()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn rows(profile: &Profile, kind: usize) -> Vec<String> {
    profile.top(kind).iter().map(|row| format!("{} {} {}", row.flat, row.cumulative, row.name)).collect()
}

#[test]
fn the_top_counts_itself_and_what_it_calls_once() {
    let read = Profile::read(&profile(100)).unwrap();
    assert_eq!((read.usual, read.duration, read.total(1)), (1, Some(30.0), 450));
    assert_eq!(
        rows(&read, 1),
        ["300 300 <hash> & \"co\"", "100 400 work", "50 50 location 77", "0 450 main"]
    );
    assert_eq!((read.kind("cpu"), read.kind("heap")), (Some(1), None));
    assert_eq!(Profile::read(&packed(&profile(100))), Ok(read));
}

/// Figures of pprof's own tests, in the order of its report: `cpuProfile` and `cpuProfileSmall` in
/// `internal/driver/driver_test.go` of google/pprof, and `internal/driver/testdata/pprof.cpu.flat.functions.text`.
#[test]
fn the_top_is_that_of_pprof() {
    let mut writer = Writer::default();
    writer.kind("samples", "count");
    writer.kind("cpu", "milliseconds");
    let names = ["line1000", "line2000", "line2001", "line3000", "line3001", "line3002"];
    for (id, name) in (1..).zip(names) {
        writer.function(id, name);
    }
    writer.location(1000, 0x1000, &[1]);
    writer.location(2000, 0x2000, &[3, 2]);
    writer.location(3000, 0x3000, &[6, 5, 4]);
    writer.location(3001, 0x3001, &[5, 4]);
    writer.location(3002, 0x3002, &[6, 4]);
    writer.stack(&[1000, 2000, 3000], &[1000, 1000]);
    writer.stack(&[1000, 3001], &[100, 100]);
    writer.stack(&[2000, 3002], &[10, 10]);
    writer.stack(&[3000], &[10, 10]);
    let read = Profile::read(&writer.end()).unwrap();
    // Where two have the same of their own, pprof goes by the name, and we by all that they called.
    let expected = [
        "1100 1100 line1000",
        "10 1020 line3002",
        "10 1010 line2001",
        "0 1120 line3000",
        "0 1110 line3001",
        "0 1010 line2000",
    ];
    assert_eq!(rows(&read, 1), expected);
    assert_eq!(read.total(1), 1120);

    let mut writer = Writer::default();
    writer.kind("samples", "count");
    writer.kind("cpu", "milliseconds");
    (1..=5).for_each(|id| writer.location(id * 1000, id * 0x1000, &[]));
    for stack in [&[1000, 2000, 3000][..], &[4000, 2000, 5000], &[3000], &[5000]] {
        writer.stack(stack, &[1000, 1000]);
    }
    let read = Profile::read(&writer.end()).unwrap();
    let expected =
        ["1000 2000 0x3000", "1000 2000 0x5000", "1000 1000 0x1000", "1000 1000 0x4000", "0 2000 0x2000"];
    assert_eq!(rows(&read, 1), expected);
}

#[test]
fn a_difference_is_what_is_more_and_less() {
    let (after, before) = (Profile::read(&profile(500)).unwrap(), Profile::read(&profile(100)).unwrap());
    let more = after.less(&before).unwrap();
    assert_eq!(rows(&more, 1), ["400 400 work", "0 400 main"]);
    assert_eq!(rows(&before.less(&after).unwrap(), 1)[0], "-400 -400 work");
    let mut heap = Writer::default();
    heap.kind("inuse_space", "bytes");
    assert_eq!(after.less(&Profile::read(&heap.end()).unwrap()), None);
}

#[test]
fn a_flame_graph_is_escaped_and_draws_every_call() {
    let read = Profile::read(&profile(100)).unwrap();
    let svg = flame_graph(&read, 1);
    assert!(svg.contains("&lt;hash&gt; &amp; &quot;co&quot;: 300 ns (66.67%)"), "{svg}");
    assert!(!svg.contains("<hash>") && svg.ends_with("</svg>\n"));
    // All, main, work twice, hash, and the one without a name.
    assert_eq!(svg.matches("<rect").count(), 6);
    let empty = flame_graph(&read, 9);
    assert_eq!(empty.matches("<rect").count(), 1, "{empty}");
}

#[test]
fn what_is_no_profile_says_why() {
    assert_eq!(Profile::read(b""), Err(Malformed::Broken { what: "list of kinds" }));
    assert_eq!(Profile::read(b"hello, this is text"), Err(Malformed::Broken { what: "message" }));
    assert!(matches!(Profile::read(&[0x1f, 0x8b, 8, 0]), Err(Malformed::Unpack(_))));
    let mut writer = Writer::default();
    writer.kind("cpu", "nanoseconds");
    writer.stack(&[1], &[1, 2, 3]);
    assert_eq!(Profile::read(&writer.end()), Err(Malformed::Values { found: 2, expected: 1 }));
    let bomb = packed(&vec![0; 200 << 20]);
    assert_eq!(Profile::read(&bomb), Err(Malformed::TooLargeUnpacked));
}

/// Any number of stacks may refer to few names, and each to what is not there.
#[test]
fn what_refers_to_more_than_there_is_stays_small() {
    let mut writer = Writer::default();
    writer.kind("cpu", "nanoseconds");
    writer.function(1, &"é".repeat(100_000));
    // A location of more functions than are looked at, one of functions that are not there, and one of no text.
    writer.location(1, 7, &[1; 5_000]);
    writer.location(2, 8, &[99, 98]);
    writer.function(3, "");
    writer.location(3, 9, &[3]);
    for _ in 0..1_000 {
        writer.stack(&[1; 2_000], &[1]);
    }
    writer.stack(&[2, 3, u64::MAX], &[1]);
    let read = Profile::read(&writer.end()).unwrap();
    let names: Vec<_> = read.names.iter().map(|name| name.chars().take(30).collect::<String>()).collect();
    assert_eq!(names[1..], ["0x8", "0x9", "location 18446744073709551615"]);
    assert_eq!((read.names[0].chars().count(), read.stacks[0].frames.len()), (301, 512));
}

/// Each name is another one: a drawing has the widest of them, and a difference of such profiles too.
#[test]
fn a_drawing_is_bounded() {
    let mut writer = Writer::default();
    writer.kind("cpu", "nanoseconds");
    for id in 0..60_000 {
        writer.stack(&[id % 11, id % 2_999], &[1]);
    }
    let svg = flame_graph(&Profile::read(&writer.end()).unwrap(), 0);
    assert!(svg.matches("<rect").count() <= 4_000, "{}", svg.matches("<rect").count());
    assert!(svg.len() < 2 << 20, "{}", svg.len());
}

#[test]
fn a_digest_is_small_and_says_of_how_many() {
    let mut writer = Writer::default();
    writer.kind("cpu", "nanoseconds");
    for id in 1..=2_000 {
        writer.stack(&[id, 7], &[3_000 - id as i64]);
    }
    let read = Profile::read(&writer.end()).unwrap();
    let digest = read.digest(0).unwrap();
    assert_eq!((digest.top.len(), digest.functions, digest.flame.calls.len()), (20, 2_000, 400));
    assert_eq!(
        (digest.total, digest.duration, &*digest.top[0].name),
        (read.total(0), Some(30.0), "location 1")
    );
    assert_eq!(read.digest(1), None);
    // Everything lies on what is one less deep.
    for call in &digest.flame.calls[1..] {
        let is_below = |other: &&plimsoll_profile::FlameCall| {
            other.depth + 1 == call.depth
                && other.start <= call.start
                && call.start + call.value <= other.start + other.value
        };
        assert!(digest.flame.calls.iter().any(|other| is_below(&other)), "{call:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Profile::read(&bytes);
    }

    /// What is cut off is told, or read as far as it is whole.
    #[test]
    fn no_cut_panics(length in 0..600_usize, pack in any::<bool>()) {
        let bytes = if pack { packed(&profile(100)) } else { profile(100) };
        let cut = &bytes[..length.min(bytes.len())];
        let read = Profile::read(cut);
        prop_assert_eq!(read.is_ok() && pack, pack && cut.len() == bytes.len());
    }

    /// A profile with some bytes changed gets farther than chance.
    #[test]
    fn no_damage_panics(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
        let mut bytes = profile(100);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(read) = Profile::read(&bytes) {
            for kind in 0..read.kinds.len() {
                let _ = (read.top(kind), flame_graph(&read, kind), read.less(&read));
            }
        }
    }
}
