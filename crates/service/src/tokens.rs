//! What is known of tokens: everything but what would let somebody in.

use axum::Json;
use axum::extract::State;
use plimsoll_history::KeptToken;
use serde_json::{Value, json};

use crate::access::now_nanos;
use crate::problem::Problem;
use crate::route::{ADMIN, Doc, Route};
use crate::routes::App;
use crate::shapes::moment;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/api/v1/tokens", ADMIN, tokens).doc(Doc::json(
        "listTokens",
        "Who has a token and what it allows, the newest last; no token, and no hash of one",
        "Tokens",
    ))]
}

/// There is no page of them: whoever makes one sits at the terminal, so they are few.
async fn tokens(State(app): State<App>) -> Result<Json<Value>, Problem> {
    Ok(Json(tokens_json(&app.followed.history().tokens().await?, now_nanos())))
}

/// Whether a token is good for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Good,
    /// Not any more: its time is over.
    Expired,
    /// Not any more: somebody said so.
    Revoked,
}

impl Standing {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Good, Self::Expired, Self::Revoked];

    /// How a token stands at a moment, nanoseconds since 1970.
    #[must_use]
    pub fn of(token: &KeptToken, now_nanos: i64) -> Self {
        if token.revoked_nanos.is_some() {
            return Self::Revoked;
        }
        let is_over = token.expires_nanos.is_some_and(|expires| expires <= now_nanos);
        if is_over { Self::Expired } else { Self::Good }
    }

    /// As it is written.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// Tokens as everybody is told of them, over HTTP and by the command line. Rates are per second, moments in the form of
/// RFC 3339, and what is not set is `null`; how they stand is said for a moment, nanoseconds since 1970.
#[must_use]
pub fn tokens_json(tokens: &[KeptToken], now_nanos: i64) -> Value {
    let rows: Vec<Value> = tokens.iter().map(|token| token_json(token, now_nanos)).collect();
    json!({ "tokens": rows })
}

fn token_json(token: &KeptToken, now_nanos: i64) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "scope": token.scope.label(),
        "standing": Standing::of(token, now_nanos).label(),
        "max_rate": token.ceilings.rate,
        "max_users": token.ceilings.users,
        "targets": token.ceilings.targets,
        "made": moment(token.made_nanos),
        "expires": token.expires_nanos.and_then(moment),
        "revoked": token.revoked_nanos.and_then(moment),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_history::{Ceilings, Scope};

    fn kept(expires_nanos: Option<i64>, revoked_nanos: Option<i64>) -> KeptToken {
        KeptToken {
            id: "ab12".to_owned(),
            name: "ci".to_owned(),
            hash: [0xcd; 32],
            scope: Scope::Run,
            ceilings: Ceilings {
                rate: Some(250.5),
                users: None,
                targets: Some(vec!["10.0.0.0/8".to_owned()]),
            },
            made_nanos: 5,
            expires_nanos,
            revoked_nanos,
        }
    }

    #[test]
    fn a_token_stands_as_its_times_say() {
        for (expires, revoked, standing) in [
            (None, None, Standing::Good),
            (Some(11), None, Standing::Good),
            (Some(10), None, Standing::Expired),
            (None, Some(9), Standing::Revoked),
            (Some(1), Some(9), Standing::Revoked),
        ] {
            assert_eq!(Standing::of(&kept(expires, revoked), 10), standing, "{expires:?} {revoked:?}");
        }
    }

    #[test]
    fn all_is_told_but_the_hash() {
        let told = tokens_json(&[kept(None, Some(1_000_000_000))], 10);
        assert_eq!(
            told["tokens"][0],
            json!({
                "id": "ab12", "name": "ci", "scope": "run", "standing": "revoked", "max_rate": 250.5, "max_users": null,
                "targets": ["10.0.0.0/8"], "made": "1970-01-01T00:00:00.000000005Z", "expires": null,
                "revoked": "1970-01-01T00:00:01Z",
            })
        );
    }
}
