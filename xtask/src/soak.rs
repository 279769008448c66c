//! Endurance tests: hours of load, watched for memory that grows and numbers that drift.

/// Every soak by name.
const SOAKS: [(&str, Soak); 0] = [];

type Soak = fn() -> anyhow::Result<()>;

pub(crate) fn run(name: &str) -> anyhow::Result<()> {
    crate::find("soak", &SOAKS, name)?()
}
