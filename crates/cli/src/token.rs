//! `plimsoll token`: who may ask the service.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use plimsoll_history::{AuditEntry, Ceilings, History, KeptToken, Scope};
use plimsoll_run::{ExitCode, Targets};
use plimsoll_service::{Standing, TOKEN_PREFIX, token_hash, tokens_json};
use serde_json::{Value, json};

use crate::arguments::TokenCommand;
use crate::records::moment;
use crate::{Outcome, Stop, files, say};

/// Bytes of chance in the part of a token that is secret.
const SECRET: usize = 32;

/// Bytes of the part that is not.
const ID: usize = 6;

pub(crate) async fn token(command: TokenCommand) -> Outcome {
    match command {
        TokenCommand::Create { name, scope, expires, max_rate, max_users, targets, history } => {
            let history = files::history(&history).await?;
            Targets::parse(&targets).map_err(Stop::usage)?;
            let targets = (!targets.is_empty()).then_some(targets);
            let rate = max_rate.map(plimsoll_units::Rate::per_second);
            let ceilings = Ceilings { rate, users: max_users, targets };
            create(&history, name, scope, expires, ceilings).await
        }
        TokenCommand::List { json, history } => list(&files::history(&history).await?, json.as_deref()).await,
        TokenCommand::Revoke { token, history } => revoke(&files::history(&history).await?, &token).await,
    }
}

async fn create(
    history: &History,
    name: String,
    scope: Scope,
    expires: Option<Duration>,
    ceilings: Ceilings,
) -> Outcome {
    let id: String = chance::<ID>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let secret: String = chance::<SECRET>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let token = format!("{TOKEN_PREFIX}{id}_{secret}");
    let made_nanos = now();
    let expires_nanos =
        expires.map(|length| made_nanos.saturating_add(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)));
    let hash = token_hash(&token);
    let details = json!({ "name": name, "scope": scope.label() });
    let kept = KeptToken { id, name, hash, scope, ceilings, made_nanos, expires_nanos, revoked_nanos: None };
    history.keep_token(&kept).await.map_err(Stop::usage)?;
    audit(history, "token.create", &kept.id, details).await?;
    say::errln!(
        "token {} of {} with the scope `{}`; it is told this once:",
        kept.id,
        kept.name,
        scope.label()
    );
    say::outln!("{token}");
    Ok(ExitCode::Success)
}

async fn list(history: &History, path: Option<&Path>) -> Outcome {
    let (tokens, now) = (history.tokens().await.map_err(Stop::usage)?, now());
    if let Some(path) = path {
        files::put(path, &format!("{:#}\n", tokens_json(&tokens, now))).map_err(Stop::internal)?;
        return Ok(ExitCode::Success);
    }
    for token in &tokens {
        let expires = token.expires_nanos.map_or_else(|| "never".to_owned(), moment);
        say::outln!(
            "{}  {:<5}  {:<7}  made {}  expires {expires}  {}",
            token.id,
            token.scope.label(),
            Standing::of(token, now).label(),
            moment(token.made_nanos),
            crate::view::plain(&token.name),
        );
    }
    if tokens.is_empty() {
        say::errln!("there is no token; `plimsoll token create NAME` makes one");
    }
    Ok(ExitCode::Success)
}

async fn revoke(history: &History, asked: &str) -> Outcome {
    let tokens = history.tokens().await.map_err(Stop::usage)?;
    let meant: Vec<&KeptToken> =
        tokens.iter().filter(|token| token.id == asked || token.name == asked).collect();
    let [token] = meant[..] else {
        let words = match meant.len() {
            0 => format!("no token has the id or name `{asked}`; `plimsoll token list` has them"),
            count => format!("{count} tokens have the name `{asked}`; name one by its id"),
        };
        return Err(Stop::usage(anyhow!(words)));
    };
    if !history.revoke_token(&token.id, now()).await.map_err(Stop::usage)? {
        say::errln!("token {} was revoked already", token.id);
        return Ok(ExitCode::Success);
    }
    audit(history, "token.revoke", &token.id, json!({ "name": token.name })).await?;
    say::errln!("token {} of {} is good for nothing from now on", token.id, crate::view::plain(&token.name));
    Ok(ExitCode::Success)
}

/// Keeps who did something at this terminal.
pub(crate) async fn audit(history: &History, action: &str, what: &str, details: Value) -> Result<(), Stop> {
    let who = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let entry = AuditEntry {
        at_nanos: now(),
        who: who.unwrap_or_else(|| "unknown".to_owned()),
        known_by: "cli".to_owned(),
        action: action.to_owned(),
        what: what.to_owned(),
        details,
    };
    history.keep_audit(&entry).await.map_err(Stop::usage)
}

/// Bytes that nobody can foretell.
fn chance<const LENGTH: usize>() -> Result<[u8; LENGTH], Stop> {
    let mut bytes = [0; LENGTH];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Stop::internal(anyhow!("this machine gives no random bytes")))?;
    Ok(bytes)
}

fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
