-- What services remember of their schedules.
CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    -- The last of its times that was dealt with, nanoseconds since 1970; absent before the first.
    due_at INTEGER,
    paused INTEGER NOT NULL
) STRICT;
