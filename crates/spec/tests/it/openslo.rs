//! OpenSLO documents: what the rules say of them, and where.

mod cases;
mod conformance;
mod properties;
mod rules;

use plimsoll_spec::openslo::{Documents, read};
use plimsoll_spec::{Source, Weight};

/// Files as one set; their names are `a.yaml`, `b.yaml` and so on.
fn documents(texts: &[&str]) -> Documents {
    let named = ('a'..='z').zip(texts);
    let sources: Vec<_> =
        named.map(|(name, text)| Source { name: format!("{name}.yaml"), text: (*text).to_owned() }).collect();
    read(&sources)
}

/// `error required spec.service`, in the order of the text.
fn told(documents: &Documents) -> Vec<String> {
    let issues = documents.issues.iter().map(|issue| {
        let weight = match issue.diagnostic.weight {
            Weight::Error => "error",
            Weight::Warning => "warning",
            Weight::Advice => "advice",
        };
        format!("{weight} {} {}", issue.rule, issue.path)
    });
    issues.collect()
}

/// Everything there is to say, as people see it.
fn rendered(documents: &Documents) -> String {
    documents.issues.iter().map(|issue| format!("{}\n\n", issue.diagnostic.render(false))).collect()
}
