-- What was foretold of a plan's target, and what was measured later.
CREATE TABLE predictions (
    prediction INTEGER PRIMARY KEY,
    plan TEXT NOT NULL,
    target TEXT NOT NULL,
    -- `peak` or `limit`.
    of TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    estimate REAL NOT NULL,
    low REAL NOT NULL,
    high REAL NOT NULL,
    -- Ids of runs, as JSON.
    inputs TEXT NOT NULL,
    -- Absent until it was measured.
    truth REAL,
    measured_at INTEGER,
    measured_by TEXT
) STRICT;

CREATE INDEX predictions_of_a_plan ON predictions (plan, made_at);
