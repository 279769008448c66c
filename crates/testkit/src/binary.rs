//! The workspace's own built programs.

use std::path::PathBuf;

use anyhow::{Context, bail};

/// Returns where `name` (`plimsoll`, `plimsoll-demo-target`) was built.
///
/// Cargo builds a package's binaries only for that package's own tests, so `cargo xtask test`
/// builds them first and this looks beside the running test: `target/<profile>/deps/..`.
///
/// # Errors
/// When it was not built; the message says how to.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile =
        test.parent().and_then(|deps| deps.parent()).context("the test runs outside a target folder")?;
    let program = profile.join(name);
    if !program.is_file() {
        bail!("{} is not built: cargo build --workspace --bins", program.display());
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_program_that_was_not_built_says_how_to_build_it() {
        let error = super::binary("plimsoll-that-is-not").unwrap_err();
        assert!(
            error.to_string().ends_with("plimsoll-that-is-not is not built: cargo build --workspace --bins")
        );
    }
}
