//! Counts in the V2 and V2+DEFLATE forms of HdrHistogram, which its tools in other languages read.
//!
//! Both are a header of big-endian numbers and then the counts in the order of the buckets, each a
//! zigzag LEB128 number of at most nine bytes, a negative one standing for that many empty buckets.
//! Written and read here from the buckets that hold something, so that the cost is that of what was
//! counted and not of the 30,000 buckets there could be. The source of the format is
//! `AbstractHistogram.encodeIntoByteBuffer` of HdrHistogram for Java.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::layout::{DIGITS, PAGE, PAGES, bounds, index_of};
use crate::{LONGEST_NANOS, RESOLUTION_NANOS};

/// Two forms' first number; the low nibble of the second byte is the widest count in bytes.
const V2: u32 = 0x1c84_9303 | 0x10;
const V2_DEFLATE: u32 = 0x1c84_9304 | 0x10;

/// Length, offset of the buckets, digits, lowest and highest value, ratio of integers to doubles.
const HEADER: usize = 4 + 4 + 4 + 4 + 8 + 8 + 8;

/// The most that the counts of all our buckets can take: nine bytes each.
const MOST_BYTES: usize = HEADER + 9 * PAGE * PAGES;

/// Readers make room for values up to this one, even if all are smaller.
const HIGHEST: u64 = 4096 * RESOLUTION_NANOS;

/// Bytes that are not a histogram of ours.
#[derive(Debug, thiserror::Error)]
pub enum MalformedHistogram {
    /// Not an HDR histogram in V2 or V2+DEFLATE form, or with other buckets than ours.
    #[error("not an HDR V2 histogram: {0}")]
    Hdr(&'static str),
    /// The counts beside it contradict it.
    #[error("the histogram holds {buckets} values and its edges {edges}")]
    Counts {
        /// Values in the buckets.
        buckets: u64,
        /// Values at the edges.
        edges: u64,
    },
}

/// Writes (highest value of the bucket, count), ascending, as V2+DEFLATE.
pub(crate) fn write(buckets: &[(u64, u64)]) -> Vec<u8> {
    let mut plain = vec![0; HEADER];
    put_counts(&mut plain, buckets);
    let counts = plain.len() - HEADER;
    let highest = buckets.last().map_or(0, |(value, _)| *value).max(HIGHEST);
    let header = [
        &V2.to_be_bytes()[..],
        &(counts as u32).to_be_bytes(),
        &0_u32.to_be_bytes(),
        &DIGITS.to_be_bytes(),
        &RESOLUTION_NANOS.to_be_bytes(),
        &highest.to_be_bytes(),
        &1_f64.to_be_bytes(),
    ];
    plain[..HEADER].copy_from_slice(&header.concat());

    let packed = deflated(&plain);
    [&V2_DEFLATE.to_be_bytes()[..], &(packed.len() as u32).to_be_bytes(), &packed].concat()
}

/// Writes what stands behind the header of V2: for places where nobody else reads and much is compressed at once.
pub(crate) fn write_counts(buckets: &[(u64, u64)]) -> Vec<u8> {
    let mut counts = Vec::with_capacity(2 * buckets.len() + 2);
    put_counts(&mut counts, buckets);
    counts
}

fn put_counts(plain: &mut Vec<u8>, buckets: &[(u64, u64)]) {
    let mut next = 0;
    for &(value, count) in buckets {
        let index = index_of(value);
        match index - next {
            0 => {}
            1 => plain.push(0),
            gap => put(plain, -(gap as i64)),
        }
        put(plain, i64::try_from(count).unwrap_or(i64::MAX));
        next = index + 1;
    }
    if buckets.is_empty() {
        // The first bucket is always written.
        plain.push(0);
    }
}

/// Reads (highest value of the bucket, count), ascending, counts above zero, from either form.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<(u64, u64)>, MalformedHistogram> {
    let wrong = MalformedHistogram::Hdr;
    let (cookie, rest) = split_u32(bytes)?;
    let inflated;
    let plain = match cookie {
        V2 => bytes,
        V2_DEFLATE => {
            let (length, rest) = split_u32(rest)?;
            let packed = rest.get(..length as usize).ok_or(wrong("the bytes end too early"))?;
            inflated = inflated_from(packed).ok_or(wrong("its compressed part is damaged"))?;
            &inflated
        }
        _ => return Err(wrong("the first bytes are of another format")),
    };
    let (cookie, rest) = split_u32(plain)?;
    let (length, rest) = split_u32(rest)?;
    let (offset, rest) = split_u32(rest)?;
    let (digits, rest) = split_u32(rest)?;
    let (lowest, rest) = split_u64(rest)?;
    let (_highest, rest) = split_u64(rest)?;
    let (ratio, rest) = split_u64(rest)?;
    let ours = (V2, 0, DIGITS, RESOLUTION_NANOS, 1_f64.to_bits());
    if (cookie, offset, digits, lowest, ratio) != ours {
        return Err(wrong("its buckets are not ours"));
    }
    read_counts(rest.get(..length as usize).ok_or(wrong("the bytes end too early"))?)
}

/// Reads what [`write_counts`] wrote.
pub(crate) fn read_counts(mut counts: &[u8]) -> Result<Vec<(u64, u64)>, MalformedHistogram> {
    let wrong = MalformedHistogram::Hdr;
    let mut buckets = Vec::new();
    let mut index = 0_usize;
    while !counts.is_empty() {
        let (number, rest) = take(counts).ok_or(wrong("a count is cut off"))?;
        counts = rest;
        if number < 0 {
            let gap = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
            index = index.saturating_add(gap);
            continue;
        }
        if number > 0 {
            if index > index_of(LONGEST_NANOS) {
                return Err(wrong("it counts beyond a day"));
            }
            buckets.push((bounds(index).1, number.unsigned_abs()));
        }
        index = index.saturating_add(1);
    }
    Ok(buckets)
}

thread_local! {
    // A compressor is some hundred kilobytes and a record has a hundred small histograms a second: to make
    // one anew for each would cost ten times what it does.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), true));
    static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(true));
}

/// The bytes in zlib form.
fn deflated(plain: &[u8]) -> Vec<u8> {
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        // What does not shrink grows by five bytes a block of 32 KB, and by the six of the form.
        let mut packed = Vec::with_capacity(plain.len() + plain.len() / 1000 + 64);
        loop {
            let at = compress.total_in() as usize;
            match compress.compress_vec(&plain[at..], &mut packed, FlushCompress::Finish) {
                Ok(Status::Ok | Status::BufError) => packed.reserve(packed.capacity()),
                // It has no reason to fail: there is no dictionary and no stream that others wrote.
                Ok(Status::StreamEnd) | Err(_) => return packed,
            }
        }
    })
}

/// What zlib bytes hold; `None` if they are damaged, cut off, or more than a histogram can be.
fn inflated_from(packed: &[u8]) -> Option<Vec<u8>> {
    DECOMPRESS.with_borrow_mut(|decompress| {
        decompress.reset(true);
        let mut plain = Vec::with_capacity((packed.len() * 4).clamp(256, MOST_BYTES));
        loop {
            let before = (decompress.total_in(), decompress.total_out());
            let at = decompress.total_in() as usize;
            let status = decompress.decompress_vec(&packed[at..], &mut plain, FlushDecompress::None).ok()?;
            if status == Status::StreamEnd {
                return Some(plain);
            }
            if plain.len() == plain.capacity() {
                if plain.len() >= MOST_BYTES {
                    return None;
                }
                plain.reserve_exact(plain.len().min(MOST_BYTES - plain.len()));
            } else if before == (decompress.total_in(), decompress.total_out()) {
                return None;
            }
        }
    })
}

fn split_u32(bytes: &[u8]) -> Result<(u32, &[u8]), MalformedHistogram> {
    let (number, rest) =
        bytes.split_first_chunk().ok_or(MalformedHistogram::Hdr("the bytes end too early"))?;
    Ok((u32::from_be_bytes(*number), rest))
}

fn split_u64(bytes: &[u8]) -> Result<(u64, &[u8]), MalformedHistogram> {
    let (number, rest) =
        bytes.split_first_chunk().ok_or(MalformedHistogram::Hdr("the bytes end too early"))?;
    Ok((u64::from_be_bytes(*number), rest))
}

/// Appends a number: zigzag, then seven bits a byte, the lowest first; a ninth byte has all its bits.
fn put(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    for _ in 0..8 {
        if rest < 0x80 {
            bytes.push(rest as u8);
            return;
        }
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// Takes what [`put`] appended off the front.
fn take(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut zigzag = 0_u64;
    for (position, byte) in bytes.iter().take(9).enumerate() {
        let last = position == 8 || byte & 0x80 == 0;
        let bits = if position == 8 { *byte } else { byte & 0x7f };
        zigzag |= u64::from(bits) << (7 * position);
        if last {
            return Some(((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64), &bytes[position + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use flate2::write::ZlibEncoder;
    use hdrhistogram::Histogram as Hdr;
    use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
    use proptest::prelude::*;

    fn reference(counts: &[(u64, u64)]) -> Hdr<u64> {
        let mut reference = Hdr::new_with_bounds(RESOLUTION_NANOS, HIGHEST, DIGITS as u8).unwrap();
        reference.auto(true);
        counts.iter().for_each(|(value, count)| reference.record_n(*value, *count).unwrap());
        reference
    }

    fn buckets(reference: &Hdr<u64>) -> Vec<(u64, u64)> {
        reference.iter_recorded().map(|point| (point.value_iterated_to(), point.count_at_value())).collect()
    }

    fn counts() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let value = (0_u32..64, any::<u64>()).prop_map(|(bits, noise)| (noise >> bits).min(LONGEST_NANOS));
        let count = (15_u32..64, any::<u64>()).prop_map(|(bits, noise)| (noise >> bits).max(1));
        prop::collection::vec((value, count), 0..60)
    }

    proptest! {
        #[test]
        fn the_reference_reads_what_we_write(counts in counts()) {
            let reference = reference(&counts);
            let bytes = write(&buckets(&reference));
            let read: Hdr<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            // Not compared whole: of zeros alone the reference says 0 is the highest, and 511 once it has read them.
            prop_assert_eq!((read.len(), buckets(&read)), (reference.len(), buckets(&reference)));
            prop_assert_eq!(read_counts(&write_counts(&buckets(&reference))).unwrap(), buckets(&reference));
        }

        #[test]
        fn we_read_what_the_reference_writes(counts in counts()) {
            let reference = reference(&counts);
            let (mut plain, mut packed) = (Vec::new(), Vec::new());
            V2Serializer::new().serialize(&reference, &mut plain).unwrap();
            V2DeflateSerializer::new().serialize(&reference, &mut packed).unwrap();
            prop_assert_eq!(read(&plain).unwrap(), buckets(&reference));
            prop_assert_eq!(read_counts(&plain[HEADER..]).unwrap(), buckets(&reference));
            prop_assert_eq!(read(&packed).unwrap(), buckets(&reference));
        }

        #[test]
        fn a_damaged_byte_is_refused_or_read_but_never_panics(counts in counts(), at in any::<prop::sample::Index>(), to: u8) {
            let mut plain = Vec::new();
            V2Serializer::new().serialize(&reference(&counts), &mut plain).unwrap();
            for mut bytes in [plain, write(&buckets(&reference(&counts)))] {
                let at = at.index(bytes.len());
                bytes[at] = to;
                let _ = read(&bytes);
                let _ = read(&bytes[..at]);
            }
        }

        #[test]
        fn any_number_survives(number in any::<i64>()) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            prop_assert!(bytes.len() <= 9);
            prop_assert_eq!(take(&bytes), Some((number, &[][..])));
            prop_assert_eq!(take(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn a_small_file_cannot_ask_for_much_memory() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 64 << 20]).unwrap();
        let packed = encoder.finish().unwrap();
        let bytes = [&V2_DEFLATE.to_be_bytes()[..], &(packed.len() as u32).to_be_bytes(), &packed].concat();
        assert!(matches!(read(&bytes), Err(MalformedHistogram::Hdr(_))));
    }

    #[test]
    fn other_buckets_are_refused() {
        let mut other = Hdr::<u64>::new_with_bounds(1, 1_000_000, 2).unwrap();
        other.record(5).unwrap();
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&other, &mut bytes).unwrap();
        assert!(matches!(read(&bytes), Err(MalformedHistogram::Hdr("its buckets are not ours"))));
    }
}
