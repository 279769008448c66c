use crate::Secret;

/// Text with holes, split once when the plan is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    /// Texts and holes in order.
    pub parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// As it stands, and never shown.
    Secret(Secret),
    /// Filled for each request.
    Variable(Variable),
}

/// What fills a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variable {
    /// A value captured earlier in the same iteration, or the same run of setup or teardown, by slot.
    Capture(u16),
    /// A value captured by a setup step, by slot, for all that comes after setup.
    Setup(u16),
    /// A column of the row the iteration drew from a feed.
    Column {
        /// Index of the feed.
        feed: u16,
        /// Index of the column.
        column: u16,
    },
    /// What a function makes, by its index in [`RunPlan::functions`](crate::RunPlan); each hole has one of its own.
    Made(u16),
    /// The number of the iteration within the run, from 0.
    Iteration,
    /// The number of the virtual user, from 0; in the open model every iteration is a fresh user.
    User,
    /// The id of the run.
    RunId,
}

impl Template {
    /// A template without holes.
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(text.into())] }
    }

    /// The whole text, if there are no holes and no secrets.
    pub fn as_text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The holes.
    pub fn variables(&self) -> impl Iterator<Item = Variable> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) | Part::Secret(_) => None,
            Part::Variable(variable) => Some(*variable),
        })
    }

    /// Appends the filled text to `out`. `value` gives the text of a variable; a hole without a
    /// value stops the filling and is returned.
    pub fn fill(
        &self,
        out: &mut String,
        mut value: impl FnMut(Variable, &mut String) -> bool,
    ) -> Result<(), Variable> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Secret(secret) => out.push_str(secret.expose()),
                Part::Variable(variable) => {
                    if !value(*variable, out) {
                        return Err(*variable);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_sent_and_never_shown() {
        let template = Template { parts: vec![Part::Secret(Secret::new("hunter2"))] };
        let mut out = String::new();
        assert_eq!(template.fill(&mut out, |_, _| false), Ok(()));
        assert_eq!(out, "hunter2");
        assert!(!format!("{template:?}").contains("hunter2"));
        assert_eq!(template.as_text(), None);
    }
}
