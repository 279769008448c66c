-- What is judged for months: an SLA, or one value of the label that it holds for each of ('' where there is none).
CREATE TABLE slas (
    sla INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    -- How it stood when that was written last (Unix seconds), for whoever asks while no service runs.
    judged INTEGER,
    status TEXT,
    UNIQUE (name, value)
) STRICT;

-- All that is known of it as of an entry of the journal.
CREATE TABLE sla_states (
    sla INTEGER PRIMARY KEY REFERENCES slas (sla) ON DELETE CASCADE,
    upto INTEGER NOT NULL,
    state BLOB NOT NULL
) STRICT;

-- What all of them were told within about a second, one row after the other.
CREATE TABLE sla_journal (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    told BLOB NOT NULL
) STRICT;

-- What a calendar month (2026-11) came to.
CREATE TABLE sla_months (
    sla INTEGER NOT NULL REFERENCES slas (sla) ON DELETE CASCADE,
    month TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (sla, month)
) STRICT, WITHOUT ROWID;

-- Unix seconds: the first bad one, the one it was found in, the one it ended with.
CREATE TABLE sla_breaches (
    sla INTEGER NOT NULL REFERENCES slas (sla) ON DELETE CASCADE,
    found INTEGER NOT NULL,
    began INTEGER NOT NULL,
    ended INTEGER,
    why TEXT NOT NULL,
    PRIMARY KEY (sla, found)
) STRICT, WITHOUT ROWID;
