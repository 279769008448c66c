/// What the measuring of a run may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most series of requests that are told apart; what comes beyond is counted together.
    pub series: u32,
    /// The most memory for histograms, in bytes.
    pub memory_bytes: u64,
}

impl Default for Limits {
    /// 10,000 series in 256 MB: a plan of a hundred steps has some thousands, and the memory of a small
    /// machine still holds them.
    fn default() -> Self {
        Self { series: 10_000, memory_bytes: 256_000_000 }
    }
}
