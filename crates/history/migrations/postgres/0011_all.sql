-- The tables of a record in PostgreSQL, as of schema 11: what they mean is told beside those of SQLite.

CREATE TABLE runs (
    run BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    plan TEXT COLLATE "C" NOT NULL,
    plan_hash TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C",
    environment TEXT COLLATE "C",
    tags TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    seed BIGINT NOT NULL,
    host TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    plimsoll TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    started TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C",
    ended TEXT COLLATE "C",
    ended_offset BIGINT,
    last_second BIGINT,
    lost_seconds BIGINT NOT NULL DEFAULT 0,
    summary TEXT COLLATE "C",
    owner_space TEXT COLLATE "C" NOT NULL,
    owner_process BIGINT NOT NULL,
    owner_started BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

CREATE INDEX runs_of_a_plan ON runs (plan, started_at);

CREATE TABLE seconds (
    run BIGINT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    second BIGINT NOT NULL,
    head TEXT COLLATE "C" NOT NULL,
    point BYTEA,
    PRIMARY KEY (run, second)
);

CREATE TABLE series (
    place BIGINT GENERATED ALWAYS AS IDENTITY,
    run BIGINT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    second BIGINT NOT NULL,
    line TEXT COLLATE "C" NOT NULL
);

CREATE INDEX series_of_a_second ON series (run, second);

CREATE TABLE marks (
    run BIGINT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    after_second BIGINT NOT NULL,
    line TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run, sequence)
);

CREATE TABLE chunks (
    run BIGINT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    first_second BIGINT NOT NULL,
    last_second BIGINT NOT NULL,
    data BYTEA NOT NULL,
    resolution BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (run, first_second)
);

CREATE TABLE predictions (
    prediction BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    of TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    estimate DOUBLE PRECISION NOT NULL,
    low DOUBLE PRECISION NOT NULL,
    high DOUBLE PRECISION NOT NULL,
    inputs TEXT COLLATE "C" NOT NULL,
    truth DOUBLE PRECISION,
    measured_at BIGINT,
    measured_by TEXT COLLATE "C"
);

CREATE INDEX predictions_of_a_plan ON predictions (plan, made_at);

CREATE TABLE answers (
    answer BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    by TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    estimate DOUBLE PRECISION,
    low DOUBLE PRECISION,
    high DOUBLE PRECISION,
    traffic DOUBLE PRECISION,
    result TEXT COLLATE "C" NOT NULL,
    inputs TEXT COLLATE "C",
    UNIQUE (plan, by)
);

CREATE TABLE plateaus (
    run BIGINT PRIMARY KEY REFERENCES runs (run) ON DELETE CASCADE,
    revision BIGINT NOT NULL,
    data TEXT COLLATE "C" NOT NULL
);

CREATE TABLE deliveries (
    run BIGINT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    sink TEXT COLLATE "C" NOT NULL,
    produced BIGINT NOT NULL,
    acknowledged BIGINT NOT NULL,
    backlog BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    PRIMARY KEY (run, sink)
);

CREATE TABLE slas (
    sla BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    judged BIGINT,
    status TEXT COLLATE "C",
    UNIQUE (name, value)
);

CREATE TABLE sla_states (
    sla BIGINT PRIMARY KEY REFERENCES slas (sla) ON DELETE CASCADE,
    upto BIGINT NOT NULL,
    state BYTEA NOT NULL
);

CREATE TABLE sla_journal (
    entry BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    told BYTEA NOT NULL
);

CREATE TABLE sla_months (
    sla BIGINT NOT NULL REFERENCES slas (sla) ON DELETE CASCADE,
    month TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (sla, month)
);

CREATE TABLE sla_breaches (
    sla BIGINT NOT NULL REFERENCES slas (sla) ON DELETE CASCADE,
    found BIGINT NOT NULL,
    began BIGINT NOT NULL,
    ended BIGINT,
    why TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (sla, found)
);

CREATE TABLE teardowns (
    run BIGINT PRIMARY KEY REFERENCES runs (run) ON DELETE CASCADE,
    made_at BIGINT NOT NULL,
    failure TEXT COLLATE "C"
);

CREATE TABLE commands (
    command BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run BIGINT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    asked_at BIGINT NOT NULL,
    asked_by TEXT COLLATE "C" NOT NULL,
    change TEXT COLLATE "C" NOT NULL,
    scenario TEXT COLLATE "C",
    taken_at BIGINT,
    effective BIGINT,
    done TEXT COLLATE "C",
    refused TEXT COLLATE "C"
);

CREATE INDEX commands_of_run ON commands (run, command);

CREATE INDEX commands_that_wait ON commands (run, command) WHERE taken_at IS NULL;

CREATE TABLE schedules (
    name TEXT COLLATE "C" PRIMARY KEY,
    due_at BIGINT,
    paused BIGINT NOT NULL
);

CREATE TABLE tokens (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    max_rate DOUBLE PRECISION,
    max_users BIGINT,
    targets TEXT COLLATE "C",
    made_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE audit (
    entry BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    known_by TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    details TEXT COLLATE "C" NOT NULL
);

CREATE INDEX chunks_by_resolution ON chunks (run, resolution, first_second);

CREATE TABLE course (
    run BIGINT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    width BIGINT NOT NULL,
    first_second BIGINT NOT NULL,
    last_second BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (run, width, first_second)
);

CREATE INDEX runs_by_start ON runs (started_at, run);

CREATE INDEX live_runs ON runs (run) WHERE status IS NULL;

CREATE TABLE retention (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    believed_at BIGINT NOT NULL,
    doubted_since BIGINT
);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append only'; END $$;

CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
