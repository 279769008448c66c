//! Choices that are no part of the input, so that the files of a corpus are plain answers.

/// The same choices for the same bytes: FNV-1a, then xorshift.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold) | 1)
    }

    pub(crate) fn up_to(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
