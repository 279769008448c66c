use sqlx::Row;

use crate::sql::{self, SqlRow};
use crate::{Error, History, Result, Scope};

/// What a token is good for. The token itself is not here.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptToken {
    /// The part of it that is not secret, unique.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// SHA-256 of the whole token.
    pub hash: [u8; 32],
    /// What it allows.
    pub scope: Scope,
    /// Of what it starts.
    pub ceilings: Ceilings,
    /// When it was made, nanoseconds since 1970.
    pub made_nanos: i64,
    /// From when on it is good for nothing, nanoseconds since 1970.
    pub expires_nanos: Option<i64>,
    /// When it was revoked, nanoseconds since 1970.
    pub revoked_nanos: Option<i64>,
}

/// How much somebody may start. What is absent is as the service allows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ceilings {
    /// Arrivals per second.
    pub rate: Option<f64>,
    /// Virtual users.
    pub users: Option<u64>,
    /// Hosts and networks, as the service's list of targets has them.
    pub targets: Option<Vec<String>>,
}

impl History {
    /// Keeps a new token.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_token(&self, token: &KeptToken) -> Result<()> {
        let targets = token.ceilings.targets.as_ref().map(|targets| serde_json::json!(targets).to_string());
        sqlx::query(
            "INSERT INTO tokens (id, name, hash, scope, max_rate, max_users, targets, made_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&token.id)
        .bind(&token.name)
        .bind(token.hash.as_slice())
        .bind(token.scope.label())
        .bind(token.ceilings.rate)
        .bind(token.ceilings.users.map(u64::cast_signed))
        .bind(targets)
        .bind(token.made_nanos)
        .bind(token.expires_nanos)
        .persistent(sql::KEEP_NO_NUMBERS)
        .execute(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// The token with this id, also one that has expired or was revoked.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn token(&self, id: &str) -> Result<Option<KeptToken>> {
        let row = sqlx::query("SELECT * FROM tokens WHERE id = $1")
            .bind(id)
            .fetch_optional(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        row.map(|row| token(&row)).transpose().map_err(|error| self.failed(error))
    }

    /// Every token, the newest last.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn tokens(&self) -> Result<Vec<KeptToken>> {
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY made_at, id")
            .fetch_all(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        rows.iter().map(token).collect::<std::result::Result<_, _>>().map_err(|error| self.failed(error))
    }

    /// Makes a token good for nothing from now on. `false` where there is none with this id that is not revoked.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn revoke_token(&self, id: &str, now_nanos: i64) -> Result<bool> {
        let done = sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
            .bind(now_nanos)
            .bind(id)
            .execute(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        Ok(done.rows_affected() > 0)
    }
}

fn token(row: &SqlRow) -> std::result::Result<KeptToken, sqlx::Error> {
    let wrong = |what: String| sqlx::Error::Decode(what.into());
    let (hash, scope): (Vec<u8>, String) = (row.try_get("hash")?, row.try_get("scope")?);
    let targets: Option<String> = row.try_get("targets")?;
    let targets = targets.map(|targets| serde_json::from_str(&targets)).transpose();
    Ok(KeptToken {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        hash: hash.try_into().map_err(|_| wrong("the hash of a token has another length".to_owned()))?,
        scope: Scope::from_label(&scope).ok_or_else(|| wrong(format!("`{scope}` is no scope of a token")))?,
        ceilings: Ceilings {
            rate: row.try_get("max_rate")?,
            users: row.try_get::<Option<i64>, _>("max_users")?.map(i64::cast_unsigned),
            targets: targets.map_err(|error| sqlx::Error::Decode(error.into()))?,
        },
        made_nanos: row.try_get("made_at")?,
        expires_nanos: row.try_get("expires_at")?,
        revoked_nanos: row.try_get("revoked_at")?,
    })
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// When, nanoseconds since 1970.
    pub at_nanos: i64,
    /// Who.
    pub who: String,
    /// How that is known: `token`, `proxy`, `local` or `cli`.
    pub known_by: String,
    /// What was done, a word for each kind: `run.delete`.
    pub action: String,
    /// What it was done to.
    pub what: String,
    /// What else there is to say of it.
    pub details: serde_json::Value,
}

impl History {
    /// Keeps for good that somebody did something.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_audit(&self, entry: &AuditEntry) -> Result<()> {
        sqlx::query(
            "INSERT INTO audit (at, who, known_by, action, what, details) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(entry.at_nanos)
        .bind(&entry.who)
        .bind(&entry.known_by)
        .bind(&entry.action)
        .bind(&entry.what)
        .bind(entry.details.to_string())
        .execute(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// The latest entries of the audit log with their numbers, latest first; those before a number where one is given.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn audited(&self, limit: u32, before: Option<i64>) -> Result<Vec<(i64, AuditEntry)>> {
        let rows = sqlx::query("SELECT * FROM audit WHERE entry < $1 ORDER BY entry DESC LIMIT $2")
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        rows.iter()
            .map(entry)
            .collect::<std::result::Result<_, sqlx::Error>>()
            .map_err(|error: sqlx::Error| -> Error { self.failed(error) })
    }
}

fn entry(row: &SqlRow) -> std::result::Result<(i64, AuditEntry), sqlx::Error> {
    let details: String = row.try_get("details")?;
    let entry = AuditEntry {
        at_nanos: row.try_get("at")?,
        who: row.try_get("who")?,
        known_by: row.try_get("known_by")?,
        action: row.try_get("action")?,
        what: row.try_get("what")?,
        details: serde_json::from_str(&details).map_err(|error| sqlx::Error::Decode(error.into()))?,
    };
    Ok((row.try_get("entry")?, entry))
}
