use std::fmt;

/// Where in a document something stands: `spec.objectives[0].target`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Into a map.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

impl Path {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// A value of the map that stands here.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    /// An item of the list that stands here.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }

    /// The steps from the document on.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// What it lies in, from the document on.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        (0..self.0.len()).map(|length| Self(self.0[..length].to_vec()))
    }

    /// Whether this is `other` or lies in it.
    pub fn lies_in(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for Path {
    /// As the official validator writes it: keys that are no plain words stand in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_word =
            |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if !is_word(key) => write!(f, "['{key}']")?,
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_the_official_validator_writes_them() {
        let spec = Path::root().key("spec");
        assert_eq!(spec.key("objectives").index(0).key("op").to_string(), "spec.objectives[0].op");
        assert_eq!(spec.key("a b").key("c").to_string(), "spec['a b'].c");
        assert_eq!(Path::root().to_string(), "");
        assert!(spec.key("a").lies_in(&spec) && spec.lies_in(&spec) && !spec.lies_in(&spec.key("a")));
    }
}
