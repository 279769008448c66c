-- Alerts that an Alertmanager told the service, in wall time (nanoseconds since 1970): no part of any run.
CREATE TABLE annotations (
    starts_at INTEGER NOT NULL,
    -- With its start it is the same alert, however often it is told.
    fingerprint TEXT NOT NULL,
    -- Absent while it fires.
    ends_at INTEGER,
    name TEXT NOT NULL,
    severity TEXT,
    summary TEXT,
    -- JSON: names and values.
    labels TEXT NOT NULL,
    link TEXT,
    receiver TEXT NOT NULL,
    told_at INTEGER NOT NULL,
    PRIMARY KEY (starts_at, fingerprint)
) STRICT, WITHOUT ROWID;

-- What a run of late overlaps, what is let go of first, and what fires of one fingerprint.
CREATE INDEX annotations_by_end ON annotations (ends_at, fingerprint);
