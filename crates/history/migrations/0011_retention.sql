-- How a second went, small: what charts are drawn from. Absent in seconds that older builds recorded.
ALTER TABLE seconds ADD COLUMN point BLOB;

-- How many seconds at most are told as one in a chunk: 1, 60 or 3600.
ALTER TABLE chunks ADD COLUMN resolution INTEGER NOT NULL DEFAULT 1;

CREATE INDEX chunks_by_resolution ON chunks (run, resolution, first_second);

-- Points that charts are drawn from, each `width` seconds wide at most, compressed. Of width 1 a row has those of a
-- chunk, of others one, and `first_second` is a multiple of the width.
CREATE TABLE course (
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    width INTEGER NOT NULL,
    first_second INTEGER NOT NULL,
    last_second INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run, width, first_second)
) STRICT;

-- What `list` and looking for the dead ask for, twice a second while a service runs.
CREATE INDEX runs_by_start ON runs (started_at, run);
CREATE INDEX live_runs ON runs (run) WHERE status IS NULL;

-- The latest moment that retention believed in, and since when a later one is in doubt.
CREATE TABLE retention (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    believed_at INTEGER NOT NULL,
    doubted_since INTEGER
) STRICT;
