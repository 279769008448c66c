//! How people say what a load is to do: at a command line and over HTTP alike.

use plimsoll_units::ParseError;

use crate::Change;

/// Why words are no change of a load. What they would have to be is said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no such command.
    #[error("`{}` is no command; there are rate, users, pause, resume and stop", .found.escape_debug())]
    NoCommand {
        /// The word.
        found: String,
    },
    /// A level is needed.
    #[error("it is not said to which {what}; or x1.5, 150% or `plan`")]
    NoValue {
        /// What, with an example.
        what: &'static str,
    },
    /// There is a value where none is needed.
    #[error(
        "`{}` is one word too many: only a rate and a number of users have a value", .found.escape_debug()
    )]
    Value {
        /// The value.
        found: String,
    },
    /// It begins like a share of the plan.
    #[error("`{}` is no share of the plan, like x1.5 or 150%", .found.escape_debug())]
    Share {
        /// The value.
        found: String,
    },
    /// It is no rate and no number of users.
    #[error("{0}; or x1.5, 150% or `plan`")]
    Level(#[source] ParseError),
}

impl Change {
    /// What a command and its value mean. Whether a run can do it is the run's to say.
    ///
    /// # Errors
    /// When they mean nothing.
    pub fn asked(command: &str, value: Option<&str>) -> Result<Self, AskError> {
        let value = value.map(str::trim);
        let change = match command {
            "rate" | "users" => return level(command, value),
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "stop" => Self::Stop,
            found => return Err(AskError::NoCommand { found: shortened(found) }),
        };
        match value {
            None => Ok(change),
            Some(found) => Err(AskError::Value { found: shortened(found) }),
        }
    }
}

fn level(command: &str, value: Option<&str>) -> Result<Change, AskError> {
    let is_rate = command == "rate";
    let Some(value) = value else {
        let what = if is_rate { "rate, like `rate 800/s`" } else { "number of users, like `users 200`" };
        return Err(AskError::NoValue { what });
    };
    match share_of_plan(value) {
        Some(share) => share,
        None if is_rate => value.parse().map(Change::Rate).map_err(AskError::Level),
        None => value.parse().map(Change::Users).map_err(AskError::Level),
    }
}

/// What is said in terms of the plan: `x1.5`, `150%`, `plan`.
fn share_of_plan(text: &str) -> Option<Result<Change, AskError>> {
    if text == "plan" {
        return Some(Ok(Change::Resume));
    }
    let (number, whole) = match (text.strip_prefix(['x', 'X']), text.strip_suffix('%')) {
        (Some(factor), _) => (factor, 1.0),
        (None, Some(percent)) => (percent, 100.0),
        (None, None) => return None,
    };
    let factor = number.trim().parse::<f64>().map(|number| Change::Scale(number / whole));
    Some(factor.map_err(|_| AskError::Share { found: shortened(text) }))
}

/// What is told back of a text is as long as one might have meant it.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_people_say_it() {
        for (command, value, read) in [
            ("rate", Some("800/s"), "rate 800/s"),
            ("rate", Some(" 1.5k/s"), "rate 1500/s"),
            ("rate", Some("x1.5"), "scale 1.5"),
            ("rate", Some("50%"), "scale 0.5"),
            ("rate", Some("plan"), "resume"),
            ("users", Some("200"), "users 200"),
            ("users", Some("X 2"), "scale 2"),
            ("pause", None, "pause"),
            ("resume", None, "resume"),
            ("stop", None, "stop"),
        ] {
            let change = Change::asked(command, value);
            assert_eq!(change.map(|change| change.to_string()), Ok(read.to_owned()), "{value:?}");
        }
    }

    #[test]
    fn what_is_no_change_says_what_would_be_one() {
        let long = "9".repeat(10_000);
        for (command, value, told) in [
            ("rate", None, "like `rate 800/s`; or x1.5"),
            ("users", None, "like `users 200`; or x1.5"),
            ("rate", Some("800"), "`800` is not a rate"),
            ("rate", Some("11M/s"), "up to 10M/s; or x1.5"),
            ("rate", Some("-5/s"), "is not a rate"),
            ("rate", Some(""), "is not a rate"),
            ("rate", Some("x"), "`x` is no share of the plan"),
            ("users", Some("1.5"), "up to 10 million"),
            ("users", Some("much%"), "`much%` is no share of the plan"),
            ("pause", Some("5s"), "`5s` is one word too many"),
            ("pause", Some(&long), "one word too many"),
            ("Rate", Some("5/s"), "`Rate` is no command; there are rate, users"),
            ("", None, "`` is no command"),
        ] {
            let found = Change::asked(command, value).unwrap_err().to_string();
            assert!(found.contains(told), "{value:?}: {found}");
            assert!(found.len() < 300, "{found}");
        }
    }
}
