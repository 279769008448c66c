//! Text that other people wrote, in YAML.

use std::fmt::Write;

/// A text in double quotes, whatever is in it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if must_be_escaped(c) => {
                // Writing into a string cannot fail. All of them are below 2^16.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What YAML cannot have as it is (YAML 1.2.2, section 5.1), or would take for the end of a line.
pub(super) fn must_be_escaped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A text as a template of Prometheus that gives just this text.
pub(super) fn verbatim(text: &str) -> String {
    text.replace("{{", r#"{{ "{{" }}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text() {
        let nasty = "a \"quote\" \\ and\nnext\tline \u{7f}\u{85}\u{2028} ünï {{ $labels.sla }}";
        let written = quoted(nasty);
        assert_eq!(written.lines().count(), 1);
        assert!(!written.chars().any(must_be_escaped));
        assert_eq!(verbatim("{{ x }}"), "{{ \"{{\" }} x }}");
    }
}
