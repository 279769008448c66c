-- What was asked of runs while they went on. Their own process looks here, carries it out and says what became of it.
CREATE TABLE commands (
    command INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    -- Nanoseconds since 1970.
    asked_at INTEGER NOT NULL,
    asked_by TEXT NOT NULL,
    change TEXT NOT NULL,
    -- The scenario whose own load it is about; absent: the load as a whole.
    scenario TEXT,
    -- When it was taken, or withdrawn; absent while it waits.
    taken_at INTEGER,
    -- Nanoseconds from the start of the run; absent where it is not carried out.
    effective INTEGER,
    -- In words, from when on and what.
    done TEXT,
    -- Why it is not carried out.
    refused TEXT
) STRICT;

CREATE INDEX commands_of_run ON commands (run, command);
CREATE INDEX commands_that_wait ON commands (run, command) WHERE taken_at IS NULL;
