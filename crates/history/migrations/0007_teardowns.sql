-- Teardowns that were made after their run was gone: the last of each.
CREATE TABLE teardowns (
    run INTEGER PRIMARY KEY REFERENCES runs (run) ON DELETE CASCADE,
    made_at INTEGER NOT NULL,
    -- Why it failed; absent where it did not.
    failure TEXT
) STRICT;
