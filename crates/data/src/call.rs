//! `name(arguments)` as people write it: to a function, or what is wrong with it.

use std::time::Duration;

use plimsoll_units::duration;

use crate::function::{Function, Kind, MOST_TEXT, check_format};
use crate::zipf::Zipf;

/// A function as its user sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// With its arguments.
    pub form: &'static str,
    /// What it makes.
    pub about: &'static str,
    /// The fewest and the most arguments.
    count: (usize, usize),
}

const fn signature(
    name: &'static str,
    form: &'static str,
    about: &'static str,
    count: (usize, usize),
) -> Signature {
    Signature { name, form, about, count }
}

const SIGNATURES: [Signature; 14] = [
    signature("int", "int(low, high)", "a whole number from `low` to `high`, each equally likely", (2, 2)),
    signature(
        "float",
        "float(low, high, digits)",
        "a number from `low` to `high`, evenly, with this many digits after the point (2 where left out)",
        (2, 3),
    ),
    signature(
        "normal",
        "normal(mean, deviation)",
        "a whole number, normally distributed with this standard deviation",
        (2, 2),
    ),
    signature(
        "zipf",
        "zipf(keys, exponent)",
        "a key from 1 to `keys`; key k has a probability proportional to 1 / k^exponent",
        (2, 2),
    ),
    signature("uuid", "uuid()", "a random UUID, version 4", (0, 0)),
    signature("first_name", "first_name()", "a given name", (0, 0)),
    signature("last_name", "last_name()", "a family name", (0, 0)),
    signature("name", "name()", "a given and a family name", (0, 0)),
    signature("email", "email()", "an address at example.com, hardly ever the same twice", (0, 0)),
    signature(
        "date",
        "date(format, from, to)",
        "a moment in UTC between two distances from now, like `-30d` and `0`, by strftime's format",
        (3, 3),
    ),
    signature("now", "now(format)", "the moment the request is made, in UTC, by strftime's format", (1, 1)),
    signature("text", "text(size)", "so many letters and digits, each one byte, at most 1,048,576", (1, 1)),
    signature("pick", "pick(a, b, ...)", "one of the texts, each equally likely", (1, usize::MAX)),
    signature(
        "sequence",
        "sequence()",
        "0, 1, 2 ... for each user: how often that user has filled this hole before",
        (0, 0),
    ),
];

/// Every function, in the order of the documentation.
pub fn signatures() -> &'static [Signature] {
    &SIGNATURES
}

/// Why a call is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no such function.
    #[error("there is no function `{0}`")]
    Unknown(String),
    /// It is not written as a call.
    #[error("a call is written `name(arguments)`: {0}")]
    Form(&'static str),
    /// Too few or too many arguments.
    #[error("`{form}` has {found} arguments here")]
    Count {
        /// The function with its arguments.
        form: &'static str,
        /// How many were given.
        found: usize,
    },
    /// An argument that cannot be.
    #[error("`{argument}` is no `{name}` of `{form}`: {wanted}")]
    Argument {
        /// The function with its arguments.
        form: &'static str,
        /// The argument's name.
        name: &'static str,
        /// The argument as it was written.
        argument: String,
        /// What is allowed.
        wanted: String,
    },
}

impl Function {
    /// Whether a text is meant to be a call: a name and a parenthesis.
    pub fn is_call(text: &str) -> bool {
        text.split_once('(').is_some_and(|(name, _)| is_name(name.trim()))
    }

    /// Reads a call.
    ///
    /// # Errors
    /// When there is no such function, or its arguments are not what it takes.
    pub fn parse(text: &str) -> Result<Self, CallError> {
        let (name, rest) =
            text.trim().split_once('(').ok_or(CallError::Form("the parenthesis is missing"))?;
        let name = name.trim();
        let known = SIGNATURES.iter().find(|signature| signature.name == name);
        let signature = known.ok_or_else(|| CallError::Unknown(name.to_owned()))?;
        let inner = rest.strip_suffix(')').ok_or(CallError::Form("nothing follows the last parenthesis"))?;
        let arguments = arguments(inner)?;
        let (fewest, most) = signature.count;
        if !(fewest..=most).contains(&arguments.len()) {
            return Err(CallError::Count { form: signature.form, found: arguments.len() });
        }
        let call = Call { form: signature.form, arguments: &arguments };
        let kind = call.kind(name)?;
        let shown: Vec<String> = arguments.iter().map(Argument::shown).collect();
        Ok(Self { kind, text: format!("{name}({})", shown.join(", ")) })
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[derive(Debug, PartialEq, Eq)]
enum Argument {
    /// In quotes, which are gone.
    Text(String),
    /// As it was written.
    Word(String),
}

impl Argument {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Word(word) => word.clone(),
        }
    }
}

/// Splits arguments at their commas. A text is in single or double quotes; a backslash in it takes the
/// character behind it as it is.
fn arguments(text: &str) -> Result<Vec<Argument>, CallError> {
    let mut arguments = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let argument;
        (argument, rest) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let (text, rest) = quoted(&rest[1..], quote)?;
                (Argument::Text(text), rest.trim_start())
            }
            _ => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Argument::Word(rest[..end].trim_end().to_owned()), &rest[end..])
            }
        };
        arguments.push(argument);
        match rest.strip_prefix(',').map(str::trim_start) {
            Some("") => return Err(CallError::Form("nothing follows the last comma")),
            Some(after) => rest = after,
            None if rest.is_empty() => {}
            None => return Err(CallError::Form("a comma stands between arguments")),
        }
    }
    Ok(arguments)
}

/// Reads a text up to its closing quote; returns what follows too.
fn quoted(text: &str, quote: char) -> Result<(String, &str), CallError> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => {
                value.push(character);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            _ if character == quote => return Ok((value, &text[at + character.len_utf8()..])),
            _ => value.push(character),
        }
    }
    Err(CallError::Form("a quote is not closed"))
}

/// A call whose number of arguments is right.
struct Call<'c> {
    form: &'static str,
    arguments: &'c [Argument],
}

impl Call<'_> {
    fn kind(&self, name: &str) -> Result<Kind, CallError> {
        Ok(match name {
            "int" => {
                let (low, high) = (self.whole(0, "low")?, self.whole(1, "high")?);
                self.ensure(low <= high, 1, "high", "a whole number not below `low`")?;
                Kind::Int { low, high }
            }
            "float" => {
                let (low, high) = (self.number(0, "low")?, self.number(1, "high")?);
                self.ensure(low <= high, 1, "high", "a number not below `low`")?;
                let digits = if self.arguments.len() > 2 { self.whole(2, "digits")? } else { 2 };
                self.ensure((0..=15).contains(&digits), 2, "digits", "a whole number from 0 to 15")?;
                Kind::Float { low, high, digits: digits as u8 }
            }
            "normal" => {
                let (mean, deviation) = (self.number(0, "mean")?, self.number(1, "deviation")?);
                self.ensure(deviation >= 0.0, 1, "deviation", "a number that is not negative")?;
                Kind::Normal { mean, deviation }
            }
            "zipf" => {
                let (keys, exponent) = (self.whole(0, "keys")?, self.number(1, "exponent")?);
                // Above, keys are no whole numbers of floating point any more.
                let is_right = (1..=1 << 53).contains(&keys);
                self.ensure(is_right, 0, "keys", "a whole number from 1 to 9007199254740992")?;
                let is_right = exponent > 0.0 && exponent <= 100.0;
                self.ensure(is_right, 1, "exponent", "a number above 0, at most 100")?;
                Kind::Zipf(Zipf::new(keys as u64, exponent))
            }
            "uuid" => Kind::Uuid,
            "first_name" => Kind::FirstName,
            "last_name" => Kind::LastName,
            "name" => Kind::Name,
            "email" => Kind::Email,
            "date" => {
                let format = self.format(0)?;
                let (from, to) = (self.distance(1, "from")?, self.distance(2, "to")?);
                self.ensure(from <= to, 2, "to", "a distance not before `from`")?;
                Kind::Date { format, from, to }
            }
            "now" => Kind::Now { format: self.format(0)? },
            "text" => {
                let size = self.whole(0, "size")?;
                let is_right = (0..=i64::from(MOST_TEXT)).contains(&size);
                self.ensure(is_right, 0, "size", "a whole number from 0 to 1048576")?;
                Kind::Text(size as u32)
            }
            "pick" => Kind::Pick(self.arguments.iter().map(|argument| argument.value().to_owned()).collect()),
            _ => Kind::Sequence,
        })
    }

    fn wrong(&self, position: usize, name: &'static str, wanted: impl Into<String>) -> CallError {
        let argument = self.arguments.get(position).map(Argument::shown).unwrap_or_default();
        CallError::Argument { form: self.form, name, argument, wanted: wanted.into() }
    }

    fn ensure(
        &self,
        is_right: bool,
        position: usize,
        name: &'static str,
        wanted: &str,
    ) -> Result<(), CallError> {
        if is_right { Ok(()) } else { Err(self.wrong(position, name, wanted)) }
    }

    fn word(&self, position: usize) -> Option<&str> {
        match self.arguments.get(position) {
            Some(Argument::Word(word)) => Some(word),
            Some(Argument::Text(_)) | None => None,
        }
    }

    fn whole(&self, position: usize, name: &'static str) -> Result<i64, CallError> {
        let number = self.word(position).and_then(|word| word.parse().ok());
        number.ok_or_else(|| self.wrong(position, name, "a whole number"))
    }

    fn number(&self, position: usize, name: &'static str) -> Result<f64, CallError> {
        let number: Option<f64> = self.word(position).and_then(|word| word.parse().ok());
        // Larger ones lose whole numbers, and their differences are no numbers.
        let number = number.filter(|number| number.abs() <= 9e15);
        number.ok_or_else(|| self.wrong(position, name, "a number"))
    }

    fn distance(&self, position: usize, name: &'static str) -> Result<i64, CallError> {
        let read = self.word(position).and_then(|word| {
            let (sign, length) = match word.strip_prefix('-') {
                Some(length) => (-1, length),
                None => (1, word),
            };
            let length: Duration = duration::parse(length).ok()?;
            Some(sign * length.as_secs() as i64)
        });
        read.ok_or_else(|| {
            self.wrong(position, name, "a distance from now like `-30d`, `0` or `90m`, at most ten years")
        })
    }

    fn format(&self, position: usize) -> Result<String, CallError> {
        let Some(Argument::Text(format)) = self.arguments.get(position) else {
            return Err(self.wrong(position, "format", "a text in quotes like \"%Y-%m-%d\""));
        };
        match check_format(format) {
            Ok(()) => Ok(format.clone()),
            Err(why) => Err(self.wrong(position, "format", why)),
        }
    }
}

impl Argument {
    fn value(&self) -> &str {
        match self {
            Self::Text(text) | Self::Word(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn calls_are_read() {
        for (text, shown) in [
            ("uuid()", "uuid()"),
            (" int( 1 ,100 ) ", "int(1, 100)"),
            ("pick('a', \"b\", c d)", "pick(\"a\", \"b\", c d)"),
            ("pick('it\\'s', '}}')", "pick(\"it's\", \"}}\")"),
            ("now('%Y')", "now(\"%Y\")"),
            ("float(0, 1)", "float(0, 1)"),
        ] {
            let function = Function::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(function.to_string(), shown);
            assert_eq!(Function::parse(shown), Ok(function), "{shown}");
        }
    }

    #[test]
    fn what_is_no_call_is_told() {
        for (text, told) in [
            ("uid()", "there is no function `uid`"),
            ("uuid(", "a call is written `name(arguments)`: nothing follows the last parenthesis"),
            ("uuid() + 1", "a call is written `name(arguments)`: nothing follows the last parenthesis"),
            ("uuid(1)", "`uuid()` has 1 arguments here"),
            ("int(1)", "`int(low, high)` has 1 arguments here"),
            ("int(1, )", "a call is written `name(arguments)`: nothing follows the last comma"),
            ("int(1 2, 3)", "`1 2` is no `low` of `int(low, high)`: a whole number"),
            ("int(5, 1)", "`1` is no `high` of `int(low, high)`: a whole number not below `low`"),
            ("int('1', 2)", "`\"1\"` is no `low` of `int(low, high)`: a whole number"),
            ("pick('a' 'b')", "a call is written `name(arguments)`: a comma stands between arguments"),
            ("pick('a)", "a call is written `name(arguments)`: a quote is not closed"),
            ("normal(1, NaN)", "`NaN` is no `deviation` of `normal(mean, deviation)`: a number"),
            (
                "zipf(0, 1)",
                "`0` is no `keys` of `zipf(keys, exponent)`: a whole number from 1 to 9007199254740992",
            ),
            ("text(1048577)", "`1048577` is no `size` of `text(size)`: a whole number from 0 to 1048576"),
            ("now(%Y)", "`%Y` is no `format` of `now(format)`: a text in quotes like \"%Y-%m-%d\""),
            (
                "date('%Y', 0, -1d)",
                "`-1d` is no `to` of `date(format, from, to)`: a distance not before `from`",
            ),
        ] {
            let error = Function::parse(text).expect_err(text);
            assert_eq!(error.to_string(), told, "{text}");
        }
        let error = Function::parse("now('%!')").expect_err("a directive that is none").to_string();
        assert!(error.starts_with("`\"%!\"` is no `format` of `now(format)`: "), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = Function::parse(&text);
        }

        #[test]
        fn no_arguments_panic(
            name in prop::sample::select(SIGNATURES.map(|signature| signature.name).to_vec()),
            inner in "[-0-9a-z%.,'\" \\\\()]{0,30}",
        ) {
            if let Ok(function) = Function::parse(&format!("{name}({inner})")) {
                prop_assert_eq!(Function::parse(&function.to_string()), Ok(function));
            }
        }
    }
}
