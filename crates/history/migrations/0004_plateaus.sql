-- What a run says about capacity, found once from its seconds. Rows of another revision, or none at all, cost
-- nothing but time: they are found anew.
CREATE TABLE plateaus (
    run INTEGER PRIMARY KEY REFERENCES runs (run) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    data TEXT NOT NULL
) STRICT;
