//! `auth`: credentials, as a header or made for each request.

use plimsoll_run::{Auth, AwsCredentials, AwsSigning, Header, OAuth2, Secret};

use crate::diagnostic::Finding;
use crate::http::{authorization, basic, is_header_value, web_url};
use crate::read::Reader;
use crate::tree::Node;
use crate::words;

/// What `auth` asks for.
pub(crate) enum Credentials {
    /// The same with every request.
    Header(Header),
    /// Made for each.
    Made(Auth),
}

pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Credentials> {
    let object = reader.object(node, &words::AUTH)?;
    let mut kinds = words::AUTH.names().filter_map(|name| Some((name, object.get(name)?)));
    let (Some((kind, node)), None) = (kinds.next(), kinds.next()) else {
        let message = format!("`auth` takes one of {}", words::AUTH.listed());
        reader.report(Finding::error(object.place, message));
        return None;
    };
    match kind {
        "basic" => {
            let object = reader.object(node, &words::BASIC)?;
            let user = reader.text(object.get("username")?, "a user name")?;
            let password = reader.text(object.get("password")?, "a password")?;
            Some(Credentials::Header(authorization(basic(&user, &password))))
        }
        "bearer" => {
            let token = reader.text(node, "a token")?;
            if !is_header_value(&token) {
                reader.error(node.place, "a token cannot hold control characters");
                return None;
            }
            Some(Credentials::Header(authorization(format!("Bearer {token}"))))
        }
        "digest" => digest(reader, node).map(Credentials::Made),
        "oauth2" => oauth2(reader, node).map(Credentials::Made),
        _ => aws(reader, node).map(Credentials::Made),
    }
}

fn digest(reader: &mut Reader<'_>, node: &Node) -> Option<Auth> {
    let object = reader.object(node, &words::DIGEST)?;
    let mut texts = Vec::new();
    for (key, what) in [("username", "a user name"), ("password", "a password")] {
        let node = object.get(key)?;
        let text = reader.text(node, what)?;
        if !is_header_value(&text) {
            reader.error(node.place, format!("{what} cannot hold control characters"));
            return None;
        }
        texts.push(Secret::new(text));
    }
    let password = texts.pop()?;
    Some(Auth::Digest { username: texts.pop()?, password })
}

fn oauth2(reader: &mut Reader<'_>, node: &Node) -> Option<Auth> {
    const URL: &str = "a URL like `https://login.example/token`";
    let object = reader.object(node, &words::OAUTH2)?;
    let text =
        |reader: &mut Reader<'_>, key: &str| object.get(key).and_then(|node| reader.text(node, "a text"));
    let in_body = match object.get("credentials") {
        None => false,
        Some(node) => reader.word(node, "where id and secret stand", &["header", "body"])? == "body",
    };
    let (scope, audience) = (text(reader, "scope"), text(reader, "audience"));
    let url_node = object.get("token_url")?;
    let token_url = reader.text(url_node, URL)?;
    let url = web_url(reader, url_node, &token_url, URL)?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        let finding =
            Finding::error(url_node.place, "a token endpoint has no credentials and no fragment in its URL");
        reader.report(finding.help("they stand in `client_id` and `client_secret`"));
        return None;
    }
    Some(Auth::OAuth2(OAuth2 {
        token_url,
        client_id: Secret::new(text(reader, "client_id")?),
        client_secret: Secret::new(text(reader, "client_secret")?),
        scope,
        audience,
        in_body,
    }))
}

/// Region and credentials that do not stand there are those of the environment, as every program that uses AWS reads them.
fn aws(reader: &mut Reader<'_>, node: &Node) -> Option<Auth> {
    let object = reader.object(node, &words::AWS)?;
    let text =
        |reader: &mut Reader<'_>, key: &str| object.get(key).and_then(|node| reader.text(node, "a text"));
    let env = |name: &str| (reader.inputs.env)(name).filter(|value| !value.is_empty());
    let environment = [env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"), env("AWS_SESSION_TOKEN")];
    let region_of_environment = env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION"));
    let own = ["access_key_id", "secret_access_key"];
    for (key, other) in [(own[0], own[1]), (own[1], own[0]), ("session_token", own[0])] {
        if object.get(key).is_some() && object.get(other).is_none() {
            reader
                .error(object.key_place(key), format!("`auth.aws.{key}` needs `auth.aws.{other}` beside it"));
            return None;
        }
    }
    let [id, secret, token] = if object.get(own[0]).is_some() {
        own.into_iter()
            .chain(["session_token"])
            .map(|key| text(reader, key))
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_default()
    } else {
        environment.iter().flatten().for_each(|secret| reader.sources.keep_secret(secret));
        environment
    };
    let region = text(reader, "region").or(region_of_environment);
    let service = text(reader, "service")?;
    let mut missing = |what: &str, help: &str| {
        reader
            .report(Finding::error(object.place, format!("`auth.aws` has no {what}")).help(help.to_owned()));
    };
    let (Some(id), Some(secret)) = (id, secret) else {
        missing(
            "credentials",
            "write `access_key_id` and `secret_access_key`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        );
        return None;
    };
    let Some(region) = region else {
        missing("region", "write `region`, or set AWS_REGION");
        return None;
    };
    let credentials = AwsCredentials {
        access_key_id: Secret::new(id),
        secret_access_key: Secret::new(secret),
        session_token: token.map(Secret::new),
    };
    Some(Auth::Aws(AwsSigning { region, service, credentials }))
}
