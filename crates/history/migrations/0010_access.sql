-- Who may ask the service. The token itself is told once and kept nowhere.
CREATE TABLE tokens (
    -- The part of a token that is not secret.
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- SHA-256 of the whole token.
    hash BLOB NOT NULL,
    scope TEXT NOT NULL,
    -- Ceilings of what it starts: per second, users, and targets as JSON. Absent: as the service allows.
    max_rate REAL,
    max_users INTEGER,
    targets TEXT,
    made_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

-- Who did what. Nothing of it is ever changed or taken away.
CREATE TABLE audit (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    -- A name, and how it is known: `token`, `proxy`, `local` or `cli`.
    who TEXT NOT NULL,
    known_by TEXT NOT NULL,
    action TEXT NOT NULL,
    what TEXT NOT NULL,
    -- JSON.
    details TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append only'); END;
