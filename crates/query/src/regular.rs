use regex::{Regex, RegexBuilder};

/// The most memory in bytes that a compiled expression may take.
///
/// Matching takes time linear in the text whatever the expression is; what can explode is the expression
/// itself, as `(a{1000}){1000}` does.
pub const MOST_REGEX_BYTES: usize = 1 << 20;

/// A regular expression of a plan.
///
/// # Errors
/// In words: it is none, or compiled it is larger than [`MOST_REGEX_BYTES`].
pub fn regular(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(MOST_REGEX_BYTES).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            format!("compiled it takes more than {} KiB of memory", MOST_REGEX_BYTES >> 10)
        }
        error => {
            let why = error.to_string();
            why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_that_explodes_is_refused() {
        assert_eq!(regular("(a{1000}){1000}").unwrap_err(), "compiled it takes more than 1024 KiB of memory");
        assert_eq!(regular("a(b").unwrap_err(), "unclosed group");
        assert!(regular("a+").unwrap().is_match("baa"));
    }
}
