//! Results in the guide, between the markers of each benchmark.

use anyhow::Context;

/// Where most of them stand.
pub(super) const BENCHMARKS: &str = "docs/benchmarks.md";
const IMAGES: &str = "docs/images";

/// Replaces what stands between a benchmark's markers in a file.
pub(super) fn write(file: &str, benchmark: &str, section: &str) -> anyhow::Result<()> {
    let path = crate::root()?.join(file);
    let document = std::fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
    let written = replace(&document, benchmark, section)
        .with_context(|| format!("{file} has no markers `{}` and `{}`", begin(benchmark), end(benchmark)))?;
    std::fs::write(path, written)?;
    Ok(())
}

/// Writes a picture that the document shows.
pub(super) fn write_image(file: &str, svg: &str) -> anyhow::Result<()> {
    let path = crate::root()?.join(IMAGES).join(file);
    std::fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))
}

fn begin(benchmark: &str) -> String {
    format!("<!-- bench {benchmark} -->\n")
}

fn end(benchmark: &str) -> String {
    format!("<!-- end of bench {benchmark} -->\n")
}

fn replace(document: &str, benchmark: &str, section: &str) -> Option<String> {
    let (begin, end) = (begin(benchmark), end(benchmark));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{section}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_changes_and_writing_again_changes_nothing() {
        let document = "# Top\n<!-- bench engine -->\nold\n<!-- end of bench engine -->\nrest\n";
        let once = replace(document, "engine", "new").unwrap();
        assert_eq!(once, "# Top\n<!-- bench engine -->\n\nnew\n<!-- end of bench engine -->\nrest\n");
        assert_eq!(replace(&once, "engine", "new"), Some(once));
        assert_eq!(replace(document, "other", "new"), None);
    }
}
