use std::fmt::{Display, Write};

use crate::words;

/// HTML that is being written.
///
/// Markup is always a constant of this crate (`&'static str`) and everything else is escaped, so a
/// text of a plan or a target cannot become markup by a slip.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// Writes markup with an escaped value in place of each `{}`.
    pub(crate) fn put(&mut self, markup: &'static str, values: &[&dyn Display]) -> &mut Self {
        let mut values = values.iter();
        let mut parts = markup.split("{}");
        self.0.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let value = values.next();
            debug_assert!(value.is_some(), "a value is missing in `{markup}`");
            if let Some(value) = value {
                // Writing into a string cannot fail.
                let _ = write!(Escape(&mut self.0), "{value}");
            }
            self.0.push_str(part);
        }
        debug_assert!(values.next().is_none(), "a value too many for `{markup}`");
        self
    }

    /// The whole text.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// Escapes for text and for attributes in double quotes alike.
struct Escape<'a>(&'a mut String);

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                c => self.0.push_str(&words::plain(c.encode_utf8(&mut [0; 4]))),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_become_markup() {
        let mut page = Page::default();
        page.put("<a title=\"{}\">{}</a>", &[&"\" onclick='x", &"<script>&\u{0}\u{202e}"]);
        assert_eq!(page.finish(), "<a title=\"&quot; onclick=&#39;x\">&lt;script&gt;&amp;  </a>");
    }
}
