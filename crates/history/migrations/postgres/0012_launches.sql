-- Runs that a service started and that go on in another process where theirs dies. A run stands here from before it begins
-- until its process has ended by itself.
CREATE TABLE launches (
    run TEXT COLLATE "C" PRIMARY KEY,
    -- The name of its plan in the service's folder.
    plan TEXT COLLATE "C" NOT NULL,
    -- The schedule that started it; absent where somebody did.
    schedule TEXT COLLATE "C",
    -- Where whoever started it may send runs; absent where the service alone decides.
    targets TEXT COLLATE "C"
);
