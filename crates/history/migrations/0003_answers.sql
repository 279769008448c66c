-- The last that was said of each plan's limit.
CREATE TABLE answers (
    answer INTEGER PRIMARY KEY,
    plan TEXT NOT NULL,
    target TEXT NOT NULL,
    -- `capacity` foretold it from runs, `limit` measured it by a search.
    by TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    -- Per second, of what the plan's load counts; absent where nobody knows.
    estimate REAL,
    low REAL,
    high REAL,
    -- The busiest traffic that was told, in the same unit.
    traffic REAL,
    -- What the command answered, as JSON.
    result TEXT NOT NULL,
    -- What it was made from, as JSON, where it can be drawn again.
    inputs TEXT,
    UNIQUE (plan, by)
) STRICT;
