//! The bytes of a histogram in a record: none makes reading them panic, and what was read is written the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_measure::{Distribution, Edges};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Distribution::from_count_bytes(bytes, Edges::default(), &[], 0, 0, 0) {
        let again = Distribution::from_count_bytes(&read.to_count_bytes(), Edges::default(), &[], 0, 0, 0);
        assert_eq!(again.expect("what was written can be read").count(), read.count());
    }
    let Ok(read) = Distribution::from_hdr_bytes(bytes, Edges::default(), &[], 0, 0, 0) else { return };
    let again = Distribution::from_hdr_bytes(&read.to_hdr_bytes(), Edges::default(), &[], 0, 0, 0);
    assert_eq!(again.expect("what was written can be read").count(), read.count());
});
