//! Lines of JSON that are much alike, taken apart so that they compress well, and put together again byte for byte.
//!
//! Each object (with its key, where it has one) is an *entity*: its *form* is its text with the numbers, the counts of
//! histograms and the objects within taken out. A form is kept once, in the order of first use; each number in the column
//! of its form and place; counts as their bytes. What compresses then are columns of like numbers instead of text in
//! which every number is something else, and bytes instead of base64.
//!
//! Nothing here knows what the lines mean: what is no JSON is a form of its own, and what would not come back as it
//! was is not taken apart.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

/// What stands in a form for what was taken out; texts that have one of them are not taken apart.
const NUMBER: char = '\u{1}';
const COUNTS: char = '\u{2}';
const ENTITY: char = '\u{3}';
const TAKEN: [char; 3] = [NUMBER, COUNTS, ENTITY];

/// So many places of all forms together at most: a few bytes must not ask for much memory. A thousand series have some ten thousand.
const MOST_PLACES: usize = 1 << 22;

/// In front of the counts of a histogram.
const KEY_OF_COUNTS: &str = "\"counts\":\"";

/// Objects within objects beyond this are left as text.
const DEEPEST: usize = 32;

/// Takes lines apart; `None`: they hold what stands for something else here, or are less alike than lines of a record are.
pub(crate) fn fold(text: &str) -> Option<Vec<u8>> {
    if text.contains(TAKEN) {
        return None;
    }
    let mut folder = Folder::default();
    for line in text.split('\n') {
        folder.line(line);
        if folder.places > MOST_PLACES {
            return None;
        }
    }
    Some(folder.finish())
}

/// Puts together what [`fold`] took apart; `None`: it is damaged, or would be longer than `longest` bytes.
pub(crate) fn unfold(bytes: &[u8], longest: usize) -> Option<String> {
    Unfolder::of(bytes)?.text(longest)
}

#[derive(Default)]
struct Folder {
    forms: HashMap<String, usize>,
    in_order: Vec<String>,
    /// In all forms.
    places: usize,
    /// The form of each entity, those around others first.
    entities: Vec<u8>,
    /// By form and place; each number followed by a line feed.
    columns: Vec<Vec<String>>,
    lengths: Vec<u8>,
    counts: Vec<u8>,
}

/// What an entity is made of.
#[derive(Default)]
struct Entity<'a> {
    form: String,
    numbers: Vec<&'a str>,
    counts: Vec<Vec<u8>>,
    within: Vec<Entity<'a>>,
}

impl Folder {
    fn line(&mut self, line: &str) {
        let mut scanner = Scanner { text: line, at: 0 };
        let mut entity = Entity::default();
        scanner.entity_until(&mut entity, None, 0);
        self.add(&entity);
    }

    fn add(&mut self, entity: &Entity<'_>) {
        let known = self.forms.get(&entity.form).copied();
        let index = known.unwrap_or_else(|| {
            self.forms.insert(entity.form.clone(), self.in_order.len());
            self.places += entity.form.matches(TAKEN).count();
            self.in_order.push(entity.form.clone());
            self.columns.push(vec![String::new(); entity.numbers.len()]);
            self.in_order.len() - 1
        });
        put(&mut self.entities, index);
        for (column, number) in self.columns[index].iter_mut().zip(&entity.numbers) {
            column.push_str(number);
            column.push('\n');
        }
        for counts in &entity.counts {
            put(&mut self.lengths, counts.len());
            self.counts.extend_from_slice(counts);
        }
        entity.within.iter().for_each(|within| self.add(within));
    }

    fn finish(self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut section = |bytes: &[u8]| {
            put(&mut all, bytes.len());
            all.extend_from_slice(bytes);
        };
        section(self.in_order.join("\n").as_bytes());
        section(&self.entities);
        // Not by way of one text more: the numbers are most of it.
        let columns = self.columns.iter().flatten();
        put(&mut all, columns.clone().map(String::len).sum());
        columns.for_each(|column| all.extend_from_slice(column.as_bytes()));
        let mut section = |bytes: &[u8]| {
            put(&mut all, bytes.len());
            all.extend_from_slice(bytes);
        };
        section(&self.lengths);
        section(&self.counts);
        all
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Reads on until `close`, or the end of the text.
    fn entity_until(&mut self, entity: &mut Entity<'a>, close: Option<u8>, depth: usize) {
        let bytes = self.text.as_bytes();
        // Where the key of what may come next begins in the form.
        let mut key = None;
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' if self.text[self.at..].starts_with(KEY_OF_COUNTS) => {
                    entity.form.push_str(KEY_OF_COUNTS);
                    self.at += KEY_OF_COUNTS.len();
                    self.counts(entity);
                    key = None;
                }
                b'"' => {
                    key = Some((entity.form.len(), entity.numbers.len()));
                    self.string(entity);
                }
                b'{' if depth < DEEPEST => {
                    let mut within = Entity::default();
                    // A key with a number in it stays where its number is.
                    if let Some((start, _)) = key.filter(|(start, numbers)| {
                        entity.form[*start..].ends_with("\":") && *numbers == entity.numbers.len()
                    }) {
                        within.form = entity.form.split_off(start);
                    }
                    within.form.push('{');
                    self.at += 1;
                    self.entity_until(&mut within, Some(b'}'), depth + 1);
                    entity.form.push(ENTITY);
                    entity.within.push(within);
                    key = None;
                }
                b'0'..=b'9' => self.number(entity),
                _ => {
                    self.text_until(entity, |byte| matches!(byte, b'"' | b'{' | b'}' | b'0'..=b'9'));
                    if Some(byte) == close {
                        return;
                    }
                    if byte != b':' {
                        key = None;
                    }
                }
            }
        }
    }

    /// Takes one byte, and those behind it before one that is looked for; whole characters, as these are ASCII.
    fn text_until(&mut self, entity: &mut Entity<'a>, stop: impl Fn(u8) -> bool) {
        let rest = &self.text[self.at..];
        let first = rest.chars().next().map_or(1, char::len_utf8);
        // Braces by themselves: who closes is looked at one by one.
        let end = match rest.as_bytes()[0] {
            b'}' | b':' => first,
            _ => rest.bytes().skip(first).position(stop).map_or(rest.len(), |end| first + end),
        };
        entity.form.push_str(&rest[..end]);
        self.at += end;
    }

    fn string(&mut self, entity: &mut Entity<'a>) {
        entity.form.push('"');
        self.at += 1;
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    entity.form.push('"');
                    self.at += 1;
                    return;
                }
                b'0'..=b'9' => self.number(entity),
                b'\\' => {
                    let rest = &self.text[self.at..];
                    let escape: usize = rest.chars().take(2).map(char::len_utf8).sum();
                    entity.form.push_str(&rest[..escape]);
                    self.at += escape;
                }
                _ => self.text_until(entity, |byte| matches!(byte, b'"' | b'\\' | b'0'..=b'9')),
            }
        }
    }

    fn number(&mut self, entity: &mut Entity<'a>) {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        entity.form.push(NUMBER);
        entity.numbers.push(&rest[..end]);
        self.at += end;
    }

    /// The counts of a histogram, where writing them anew gives the same text.
    fn counts(&mut self, entity: &mut Entity<'a>) {
        let rest = &self.text[self.at..];
        let end = rest.find('"').unwrap_or(rest.len());
        match BASE64.decode(&rest[..end]).ok().filter(|bytes| BASE64.encode(bytes) == rest[..end]) {
            Some(bytes) => {
                entity.form.push(COUNTS);
                entity.counts.push(bytes);
            }
            None => entity.form.push_str(&rest[..end]),
        }
        self.at += end;
        if rest.len() > end {
            entity.form.push('"');
            self.at += 1;
        }
    }
}

struct Unfolder<'a> {
    forms: Vec<&'a str>,
    entities: &'a [u8],
    /// What is left of each column, by form and place.
    columns: Vec<Vec<&'a str>>,
    lengths: &'a [u8],
    counts: &'a [u8],
}

impl<'a> Unfolder<'a> {
    fn of(mut bytes: &'a [u8]) -> Option<Self> {
        let mut section = || {
            let length = take(&mut bytes)?;
            let (section, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            Some(section)
        };
        let forms = std::str::from_utf8(section()?).ok()?;
        if forms.matches(TAKEN).take(MOST_PLACES + 1).count() > MOST_PLACES {
            return None;
        }
        let forms: Vec<&str> = forms.split('\n').collect();
        let entities = section()?;
        let numbers = std::str::from_utf8(section()?).ok()?;
        let (lengths, counts) = (section()?, section()?);
        let columns = columns(&forms, entities, numbers)?;
        Some(Self { forms, entities, columns, lengths, counts })
    }

    fn text(mut self, longest: usize) -> Option<String> {
        let mut text = String::new();
        let mut first = true;
        while !self.entities.is_empty() {
            if !first {
                text.push('\n');
            }
            first = false;
            self.entity(&mut text, longest, 0)?;
        }
        Some(text)
    }

    fn entity(&mut self, text: &mut String, longest: usize, depth: usize) -> Option<()> {
        let index = take(&mut self.entities)?;
        let mut rest = *self.forms.get(index)?;
        let mut place = 0;
        // Numbers and counts of an entity come before the objects within it, wherever they stand in its text.
        let mut within = Vec::new();
        let begin = text.len();
        while let Some(at) = rest.find(TAKEN) {
            text.push_str(&rest[..at]);
            match rest.as_bytes()[at] {
                1 => {
                    let column = self.columns.get_mut(index)?.get_mut(place)?;
                    let (number, left) = column.split_once('\n')?;
                    *column = left;
                    text.push_str(number);
                    place += 1;
                }
                2 => {
                    let length = take(&mut self.lengths)?;
                    let (counts, left) = self.counts.split_at_checked(length)?;
                    self.counts = left;
                    BASE64.encode_string(counts, text);
                }
                _ => within.push(text.len() - begin),
            }
            rest = &rest[at + 1..];
        }
        text.push_str(rest);
        if text.len() > longest {
            return None;
        }
        if within.is_empty() {
            return Some(());
        }
        if depth > DEEPEST {
            return None;
        }
        let own = text.split_off(begin);
        let mut from = 0;
        for at in within {
            text.push_str(&own[from..at]);
            from = at;
            self.entity(text, longest, depth + 1)?;
        }
        text.push_str(&own[from..]);
        Some(())
    }
}

/// Cuts the numbers into columns: each is as long as its form is often used.
fn columns<'a>(forms: &[&str], mut entities: &[u8], numbers: &'a str) -> Option<Vec<Vec<&'a str>>> {
    let mut used = vec![0_usize; forms.len()];
    while !entities.is_empty() {
        *used.get_mut(take(&mut entities)?)? += 1;
    }
    let mut ends = numbers.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
    let mut from = 0;
    let mut all = Vec::with_capacity(forms.len());
    for (form, used) in forms.iter().zip(used) {
        let mut of_form = Vec::new();
        for _ in form.matches(NUMBER) {
            let end = match used {
                0 => from,
                used => ends.nth(used - 1)?,
            };
            of_form.push(&numbers[from..end]);
            from = end;
        }
        all.push(of_form);
    }
    Some(all)
}

/// Appends a number, seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, number: usize) {
    let mut rest = number;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// Takes what [`put`] appended off the front.
fn take(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0_usize;
    for (position, byte) in bytes.iter().take(9).enumerate() {
        number |= usize::from(byte & 0x7f).checked_shl(7 * position as u32)?;
        if byte & 0x80 == 0 {
            *bytes = &bytes[position + 1..];
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: usize = 1 << 20;

    /// Something like JSON, whole or not.
    fn like_json() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            Just("{".to_owned()),
            Just("}".to_owned()),
            Just("[".to_owned()),
            Just("],".to_owned()),
            Just(":".to_owned()),
            Just("\n".to_owned()),
            Just("\\\"".to_owned()),
            Just("\"counts\":\"".to_owned()),
            Just("\"counts\":\"Aa0\"".to_owned()),
            Just("\"p99\":".to_owned()),
            Just("\"key\":{".to_owned()),
            "[0-9]{1,12}",
            "\"[a-zü0-9\"\\\\]{0,6}\"",
            "[ä-ö.,-]{0,3}",
        ];
        prop::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn lines_come_back_byte_for_byte(text in like_json()) {
            let folded = fold(&text).unwrap();
            prop_assert_eq!(unfold(&folded, LONGEST), Some(text));
        }

        #[test]
        fn any_text_comes_back_or_is_not_taken_apart(text in any::<String>()) {
            match fold(&text) {
                Some(folded) => prop_assert_eq!(unfold(&folded, LONGEST), Some(text)),
                None => prop_assert!(text.contains(TAKEN)),
            }
        }

        #[test]
        fn no_damage_panics(text in like_json(), at in any::<prop::sample::Index>(), to: u8) {
            let mut folded = fold(&text).unwrap();
            let at = at.index(folded.len());
            folded[at] = to;
            let _ = unfold(&folded, LONGEST);
            let _ = unfold(&folded[..at], LONGEST);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(0_u8..8, 0..60)) {
            let _ = unfold(&bytes, LONGEST);
        }
    }

    #[test]
    fn an_object_is_a_form_with_its_key_and_its_numbers_are_columns() {
        let line = |requests: u64, sum: u64| {
            format!(
                r#"{{"step":3,"requests":{requests},"times":{{"response":{{"sum":"{sum}","counts":"Aa0"}}}}}}"#
            )
        };
        let mut folder = Folder::default();
        folder.line(&line(17, 400));
        folder.line(&line(23, 500));
        let forms = [
            "\u{3}",
            "{\"step\":\u{1},\"requests\":\u{1},\u{3}}",
            "\"times\":{\u{3}}",
            "\"response\":{\"sum\":\"\u{1}\",\"counts\":\"\u{2}\"}",
        ];
        assert_eq!(folder.in_order, forms);
        assert_eq!(folder.columns, [vec![], vec!["3\n3\n", "17\n23\n"], vec![], vec!["400\n500\n"]]);
        assert_eq!(folder.entities, [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(folder.counts, [1, 173, 1, 173]);
    }

    #[test]
    fn a_few_bytes_cannot_ask_for_much_memory() {
        let mut folder = Folder::default();
        folder.line(&"x".repeat(1000));
        folder.entities = vec![0; 100_000];
        assert!(unfold(&folder.finish(), LONGEST).is_none());
        // Neither by text nor by places for it.
        for place in TAKEN {
            let mut bytes = Vec::new();
            let forms = place.to_string().repeat(MOST_PLACES + 1);
            put(&mut bytes, forms.len());
            bytes.extend_from_slice(forms.as_bytes());
            bytes.extend_from_slice(&[0; 4]);
            assert!(unfold(&bytes, LONGEST).is_none());
        }
        assert_eq!(fold(&"0,".repeat(MOST_PLACES + 1)), None);
    }

    #[test]
    fn objects_within_objects_without_end_are_text() {
        let deep = "{".repeat(10_000);
        assert_eq!(unfold(&fold(&deep).unwrap(), LONGEST), Some(deep));
    }
}
