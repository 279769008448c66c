use std::fmt;

use serde_json::Value;

/// What a value must be: the words that `expect`, `check`, `if` and `until` share.
///
/// A text that is written as a number is compared as one where a number is asked for. What is not there
/// is nothing that can be compared: only [`Comparison::Exists`] and [`Comparison::Not`] can hold of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// This very value.
    Equals(Value),
    /// Any of these.
    OneOf(Vec<Value>),
    /// That it is there, or that it is not.
    Exists(bool),
    /// A text with this in it.
    Contains(String),
    /// A text in which this regular expression matches.
    Matches(String),
    /// A number above this.
    Above(f64),
    /// A number of at least this.
    AtLeast(f64),
    /// A number below this.
    Below(f64),
    /// A number of at most this.
    AtMost(f64),
    /// Not that.
    Not(Box<Comparison>),
    /// All of these.
    All(Vec<Comparison>),
}

impl fmt::Display for Comparison {
    /// As it completes "the value is not ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(value) => write!(f, "{value}"),
            Self::OneOf(values) => {
                let values: Vec<_> = values.iter().map(Value::to_string).collect();
                write!(f, "one of {}", values.join(", "))
            }
            Self::Exists(true) => f.write_str("there"),
            Self::Exists(false) => f.write_str("absent"),
            Self::Contains(text) => write!(f, "a text with `{text}` in it"),
            Self::Matches(pattern) => write!(f, "a text that matches `{pattern}`"),
            Self::Above(number) => write!(f, "above {number}"),
            Self::AtLeast(number) => write!(f, "at least {number}"),
            Self::Below(number) => write!(f, "below {number}"),
            Self::AtMost(number) => write!(f, "at most {number}"),
            Self::Not(other) => write!(f, "other than {other}"),
            Self::All(all) => {
                for (position, each) in all.iter().enumerate() {
                    write!(f, "{}{each}", if position > 0 { " and " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}
