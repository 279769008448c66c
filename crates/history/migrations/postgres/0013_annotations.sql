-- Alerts that an Alertmanager told the service, in wall time (nanoseconds since 1970): no part of any run.
CREATE TABLE annotations (
    starts_at BIGINT NOT NULL,
    -- With its start it is the same alert, however often it is told.
    fingerprint TEXT COLLATE "C" NOT NULL,
    -- Absent while it fires.
    ends_at BIGINT,
    name TEXT COLLATE "C" NOT NULL,
    severity TEXT COLLATE "C",
    summary TEXT COLLATE "C",
    -- JSON: names and values.
    labels TEXT COLLATE "C" NOT NULL,
    link TEXT COLLATE "C",
    receiver TEXT COLLATE "C" NOT NULL,
    told_at BIGINT NOT NULL,
    PRIMARY KEY (starts_at, fingerprint)
);

-- What a run of late overlaps, what is let go of first, and what fires of one fingerprint.
CREATE INDEX annotations_by_end ON annotations (ends_at, fingerprint);
