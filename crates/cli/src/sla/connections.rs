//! How to get to the sources of SLAs: what `connectionDetails` say, with what the environment adds.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use plimsoll_run::Secret;
use plimsoll_service::{Connection, Credentials};
use plimsoll_sla::Source;
use plimsoll_sla::openslo::Object;
use plimsoll_spec::openslo::Documents;
use serde_json::Value;

const ALLOWED: [&str; 4] = ["url", "token", "user", "password"];

/// The connection of each data source that is a Prometheus or a page; `${NAME}` is taken from `variable`.
pub(crate) fn connections(
    documents: &Documents,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<BTreeMap<Source, Connection>> {
    let mut found = BTreeMap::new();
    for object in documents.objects() {
        let Object::DataSource(source) = object else { continue };
        let name = source.metadata.name.clone();
        let key = match source.spec.source_type.to_ascii_lowercase().as_str() {
            "prometheus" => Source::Prometheus(Some(name.clone())),
            "openmetrics" => Source::Exposition(name.clone()),
            _ => continue,
        };
        let Some(details) = &source.spec.connection_details else { continue };
        let connection =
            connection(details, &variable).map_err(|error| anyhow!("data source `{name}`: {error}"))?;
        found.insert(key, connection);
    }
    Ok(found)
}

fn connection(details: &Value, variable: &impl Fn(&str) -> Option<String>) -> anyhow::Result<Connection> {
    let Some(details) = details.as_object() else {
        bail!("`connectionDetails` are keys and values: `url`, and `token` or `user` and `password`")
    };
    // Only names of keys are told: values may be secret.
    if let Some(key) = details.keys().find(|key| !ALLOWED.contains(&key.as_str())) {
        bail!("`connectionDetails` has the key `{key}`; allowed are {}", ALLOWED.join(", "));
    }
    let text = |key: &str| match details.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => {
            substituted(text, variable).map(Some).map_err(|error| anyhow!("`{key}`: {error}"))
        }
        Some(_) => Err(anyhow!("`{key}` is no text")),
    };
    let url = text("url")?.ok_or_else(|| anyhow!("`connectionDetails` has no `url`"))?;
    let credentials = match (text("token")?, text("user")?, text("password")?) {
        (None, None, None) => None,
        (Some(token), None, None) => Some(Credentials::Token(Secret::new(token))),
        (None, Some(user), Some(password)) => {
            Some(Credentials::Password { user, password: Secret::new(password) })
        }
        _ => bail!("write `token`, or `user` and `password`"),
    };
    Ok(Connection { url: Secret::new(url), credentials })
}

/// A text with each `${NAME}` replaced.
fn substituted(text: &str, variable: &impl Fn(&str) -> Option<String>) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let Some((name, after)) = behind.split_once('}') else { bail!("`${{` without `}}`") };
        out.push_str(before);
        out.push_str(&variable(name).ok_or_else(|| anyhow!("the environment has no `{name}`"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_spec::openslo::read;

    fn check(details: &str, expected: &str) {
        let text = format!(
            "apiVersion: openslo/v1\nkind: DataSource\nmetadata: {{name: p}}\nspec: {{type: Prometheus, connectionDetails: {details}}}\n"
        );
        let documents = read(&[plimsoll_spec::Source { name: "f".to_owned(), text }]);
        let variable = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
        let told = match connections(&documents, variable) {
            Ok(found) => {
                let connection = &found[&Source::Prometheus(Some("p".to_owned()))];
                assert!(!format!("{connection:?}").contains("s3cret"));
                let credentials = match &connection.credentials {
                    None => String::new(),
                    Some(Credentials::Token(token)) => format!(" token {}", token.expose()),
                    Some(Credentials::Password { user, password }) => {
                        format!(" {user} {}", password.expose())
                    }
                };
                format!("{}{credentials}", connection.url.expose())
            }
            Err(error) => error.to_string(),
        };
        assert!(told.contains(expected), "{details}: {told}");
        assert!(!told.contains("open sesame"), "{told}");
    }

    #[test]
    fn details_become_connections() {
        check("{url: \"http://h:9090\"}", "http://h:9090");
        check("{url: \"http://h\", token: \"${TOKEN}\"}", "http://h token s3cret");
        check("{url: \"http://h\", user: a, password: \"x${TOKEN}y\"}", "http://h a xs3crety");
        check("{url: \"http://h\", token: \"${MISSING}\"}", "the environment has no `MISSING`");
        check("{url: \"http://h\", token: \"${TOKEN\"}", "without");
        check("{url: \"http://h\", password: open sesame}", "write `token`, or `user` and `password`");
        check("{url: \"http://h\", apiKey: open sesame}", "the key `apiKey`; allowed are url");
        check("{url: \"http://h\", token: [open sesame]}", "`token` is no text");
        check("{token: x}", "no `url`");
        check("[url]", "keys and values");
    }
}
