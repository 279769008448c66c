-- What became of the points of a run, as far as it was known last, sink by sink.
CREATE TABLE deliveries (
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    sink TEXT NOT NULL,
    produced INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL,
    backlog INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    PRIMARY KEY (run, sink)
) STRICT, WITHOUT ROWID;
