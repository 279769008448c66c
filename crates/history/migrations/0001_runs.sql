-- Times are nanoseconds: since 1970 where the name says at, else offsets from the start of the run.
-- Text that holds an event is a line of the export format.

CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    plan TEXT NOT NULL,
    plan_hash TEXT NOT NULL,
    version TEXT,
    environment TEXT,
    tags TEXT NOT NULL,
    target TEXT NOT NULL,
    -- The bits of an unsigned number.
    seed INTEGER NOT NULL,
    host TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    plimsoll TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    started TEXT NOT NULL,
    -- No status while it is being recorded.
    status TEXT,
    -- No last event when its process was killed.
    ended TEXT,
    ended_offset INTEGER,
    last_second INTEGER,
    lost_seconds INTEGER NOT NULL DEFAULT 0,
    summary TEXT,
    -- Who records it, and when that was last seen to work.
    owner_space TEXT NOT NULL,
    owner_process INTEGER NOT NULL,
    owner_started INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

CREATE INDEX runs_of_a_plan ON runs (plan, started_at);

-- These two have row ids, because their rows are large: SQLite keeps no more than a quarter of a page
-- of a row in a table without, and the rest would take a page of its own.
CREATE TABLE seconds (
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    second INTEGER NOT NULL,
    head TEXT NOT NULL,
    PRIMARY KEY (run, second)
) STRICT;

-- The series of a second in the order of their row ids.
CREATE TABLE series (
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    second INTEGER NOT NULL,
    line TEXT NOT NULL
) STRICT;

CREATE INDEX series_of_a_second ON series (run, second);

-- Phases and notes.
CREATE TABLE marks (
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    -- The last second recorded before it, -1 before the first.
    after_second INTEGER NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (run, sequence)
) STRICT, WITHOUT ROWID;

-- Seconds of an ended run, compressed.
CREATE TABLE chunks (
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    first_second INTEGER NOT NULL,
    last_second INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run, first_second)
) STRICT;

-- The mark of our files: "PLIM".
PRAGMA application_id = 1347176781;
