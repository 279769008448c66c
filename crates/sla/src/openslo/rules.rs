use std::fmt;

use super::Path;

/// Something wrong with a document, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, from the document on.
    pub path: Path,
    /// What was broken.
    pub rule: Rule,
    /// Whether the document still stands.
    pub weight: Weight,
    /// What is wrong, in one sentence without a full stop that follows the path: `must be below 1, found 1.5`.
    pub message: String,
    /// What to do about it, where that is not plain.
    pub help: Option<String>,
}

impl Violation {
    /// Something that stops the document from being used.
    pub fn error(path: Path, rule: Rule, message: impl Into<String>) -> Self {
        Self { path, rule, weight: Weight::Error, message: message.into(), help: None }
    }

    /// Something that whoever signs the document should know.
    pub fn warning(path: Path, rule: Rule, message: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, ..Self::error(path, rule, message) }
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether it stops the document from being used.
    pub fn is_error(&self) -> bool {
        self.weight == Weight::Error
    }
}

/// Whether a document can be used in spite of a [`Violation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weight {
    /// It cannot.
    Error,
    /// It can; whoever signs it should know.
    Warning,
}

macro_rules! rules {
    ($($(#[$about:meta])* $rule:ident = $name:literal,)+) => {
        /// What a document can break. The names are those of the official validator where it has the rule.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[$about])* $rule,)+
        }

        impl Rule {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$rule),+];

            /// Its name in results.
            pub fn name(self) -> &'static str {
                match self { $(Self::$rule => $name,)+ }
            }
        }
    };
}

rules! {
    /// Something that must be there is not.
    Required = "required",
    /// Something that must not be there is.
    Forbidden = "forbidden",
    /// Not the one value that is right.
    EqualTo = "equal_to",
    /// Not above a bound.
    GreaterThan = "greater_than",
    /// Below a bound.
    GreaterThanOrEqualTo = "greater_than_or_equal_to",
    /// Not below a bound.
    LessThan = "less_than",
    /// Above a bound.
    LessThanOrEqualTo = "less_than_or_equal_to",
    /// No name of the right form.
    StringMatchRegexp = "string_match_regexp",
    /// No name as RFC 1123 has them.
    StringDnsLabel = "string_dns_label",
    /// No date and time.
    StringDateTime = "string_date_time",
    /// No time zone.
    StringTimeZone = "string_time_zone",
    /// Too long a text.
    StringMaxLength = "string_max_length",
    /// Something other than letters.
    StringAlpha = "string_alpha",
    /// Too few or too many in a list.
    SliceLength = "slice_length",
    /// Too few in a list.
    SliceMinLength = "slice_min_length",
    /// None of a closed set of words.
    OneOf = "one_of",
    /// None of several of which one is needed.
    OneOfProperties = "one_of_properties",
    /// Several, or none, of which exactly one is needed.
    MutuallyExclusive = "mutually_exclusive",
    /// A calendar with a rolling window, or an aligned window without one.
    Calendar = "calendar",
    /// Neither YAML nor JSON, or of no kind that documents are written in.
    Syntax = "syntax",
    /// A value of another type.
    Type = "type",
    /// A key that means nothing here.
    UnknownKey = "unknown_key",
    /// No duration as OpenSLO writes them.
    DurationShorthand = "duration_shorthand",
    /// A version that is not read.
    UnsupportedVersion = "unsupported_version",
    /// Two of one kind with one name.
    Duplicate = "duplicate",
    /// A reference to something that is in none of the files.
    UnresolvedReference = "unresolved_reference",
    /// An alert that fires while little burns.
    LowBurnRate = "low_burn_rate",
    /// A calendar-aligned window in units that no calendar has.
    CalendarUnit = "calendar_unit",
    /// A target that promises nothing.
    NothingPromised = "nothing_promised",
    /// Something of v1alpha that v1 has no equivalent for.
    Conversion = "conversion",
    /// Right by the specification, and nothing here can judge it.
    NotJudged = "not_judged",
}

impl Rule {
    /// Whether it looks at what is there and what is not. Of a value that is there and could not be read, it would
    /// speak falsely.
    pub fn looks_at_presence(self) -> bool {
        use Rule::{Calendar, MutuallyExclusive, OneOfProperties, Required, SliceLength, SliceMinLength};
        matches!(
            self,
            Required | MutuallyExclusive | OneOfProperties | SliceLength | SliceMinLength | Calendar
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rules_are_unique() {
        let names: std::collections::BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
    }
}
