//! `{{ name }}` in texts: where the holes are, without saying what fills them.

use std::ops::Range;

/// A piece of a text with holes, by its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Stands for itself.
    Text(Range<usize>),
    /// Two braces that stand for themselves, written `{{ "{{" }}`.
    Braces,
    /// Is filled; the range is the hole's, braces included.
    Hole(Range<usize>, String),
}

/// Why a text cannot be split, and the bytes that are to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HoleError {
    #[error("`{{{{` is not closed by `}}}}`")]
    Open(Range<usize>),
    #[error("`{{{{ }}}}` names nothing")]
    Empty(Range<usize>),
}

impl HoleError {
    pub(crate) fn range(&self) -> Range<usize> {
        match self {
            Self::Open(range) | Self::Empty(range) => range.clone(),
        }
    }
}

/// Splits a text at its holes.
pub(crate) fn split(text: &str) -> Result<Vec<Piece>, HoleError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("{{").map(|open| at + open) {
        if open > at {
            pieces.push(Piece::Text(at..open));
        }
        let close = closing(&text[open..]).ok_or(HoleError::Open(open..text.len()))?;
        let close = open + close + 2;
        match text[open + 2..close - 2].trim() {
            "" => return Err(HoleError::Empty(open..close)),
            "\"{{\"" | "'{{'" => pieces.push(Piece::Braces),
            name => pieces.push(Piece::Hole(open..close, name.to_owned())),
        }
        at = close;
    }
    if at < text.len() {
        pieces.push(Piece::Text(at..text.len()));
    }
    Ok(pieces)
}

/// Where the braces that close a hole begin. Those inside a quoted argument of a function do not.
fn closing(hole: &str) -> Option<usize> {
    let first = hole.find("}}")?;
    let Some(open) = hole[..first].find('(') else { return Some(first) };
    let (mut quote, mut is_escaped) = (None, false);
    for (at, character) in hole.char_indices().skip_while(|(at, _)| *at < open) {
        match (quote, character) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '}') if hole[at..].starts_with("}}") => return Some(at),
            (None, _) => {}
        }
    }
    // A quote that is never closed is told with the call.
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn holes_are_found() {
        let hole = |range, name: &str| Piece::Hole(range, name.to_owned());
        for (text, pieces) in [
            ("", vec![]),
            ("plain", vec![Piece::Text(0..5)]),
            ("{{ a }}", vec![hole(0..7, "a")]),
            ("x{{a}}y", vec![Piece::Text(0..1), hole(1..6, "a"), Piece::Text(6..7)]),
            ("{{ \"{{\" }}", vec![Piece::Braces]),
            ("a } b { c }}", vec![Piece::Text(0..12)]),
            ("{{ f('}}') }}", vec![hole(0..13, "f('}}')")]),
            ("{{ f('}} }}", vec![hole(0..8, "f('"), Piece::Text(8..11)]),
            ("{{ it's }}'", vec![hole(0..10, "it's"), Piece::Text(10..11)]),
        ] {
            assert_eq!(split(text), Ok(pieces), "{text}");
        }
        assert_eq!(split("a {{ b"), Err(HoleError::Open(2..6)));
        assert_eq!(split("a {{  }}"), Err(HoleError::Empty(2..8)));
    }

    proptest! {
        #[test]
        fn the_pieces_cover_the_text(text in "[ab{} \"]{0,30}") {
            if let Ok(pieces) = split(&text) {
                let length: usize = pieces.iter().map(|piece| match piece {
                    Piece::Text(range) | Piece::Hole(range, _) => range.len(),
                    Piece::Braces => 0,
                }).sum();
                prop_assert!(length <= text.len());
            }
        }
    }
}
