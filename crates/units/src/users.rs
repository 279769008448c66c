use std::fmt;
use std::str::FromStr;

use crate::{ParseError, number};

/// A number of virtual users, at most ten million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Users(pub u32);

impl FromStr for Users {
    type Err = ParseError;

    /// Reads `64 users`, `1 user`, `10k users` and a bare count.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong =
            || ParseError::new(text, "a number of users", "`64 users` or `10k users`, up to 10 million");
        let (value, rest) = number::split(text.trim()).ok_or_else(wrong)?;
        let (multiple, rest) = match rest.strip_prefix(['k', 'K']) {
            Some(rest) => (1e3, rest),
            None => (1.0, rest),
        };
        if !matches!(rest.trim(), "" | "user" | "users") {
            return Err(wrong());
        }
        let users = value * multiple;
        if users.fract() != 0.0 || users > 1e7 {
            return Err(wrong());
        }
        Ok(Self(users as u32))
    }
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { "user" } else { "users" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, users) in
            [("64 users", 64), ("1 user", 1), ("10k users", 10_000), ("8", 8), ("1.5k", 1500), ("0 users", 0)]
        {
            assert_eq!(text.parse(), Ok(Users(users)), "{text}");
        }
        for text in ["", "users", "1.5 users", "-1 users", "5 people", "20000k users"] {
            assert!(text.parse::<Users>().is_err(), "{text}");
        }
        assert_eq!((Users(1).to_string(), Users(64).to_string()), ("1 user".into(), "64 users".into()));
    }
}
