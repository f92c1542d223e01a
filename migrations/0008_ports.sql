-- Pairs of ports: who has one, for whom one is kept, which nobody gets. A pair that is free has no row.
-- what: 'reserved', 'pinned' (reserved, and kept for its name afterwards), 'kept' (for its name, which has it not now),
-- 'blocked' (for nobody, with a reason). `mac` is the row's tag, as everywhere.
CREATE TABLE port (
    id       INTEGER PRIMARY KEY,
    public   INTEGER NOT NULL UNIQUE,
    internal INTEGER NOT NULL UNIQUE,
    what     TEXT NOT NULL,
    name     TEXT UNIQUE,
    reason   TEXT,
    at_ms    INTEGER NOT NULL,
    who      TEXT NOT NULL,
    mac      BLOB,
    CHECK ((what = 'blocked') = (name IS NULL)),
    CHECK ((what = 'blocked') = (reason IS NOT NULL))
) STRICT;

-- A number is in one pair, also where a range was moved to where the other one was. Rows are replaced, never updated.
CREATE TRIGGER port_once BEFORE INSERT ON port
WHEN NEW.public = NEW.internal OR EXISTS (SELECT 1 FROM port WHERE public = NEW.internal OR internal = NEW.public)
BEGIN
    SELECT RAISE(ABORT, 'the port is in another pair');
END;

-- What was, from at_ms to until_ms. Before free_ms nobody else gets the pair.
CREATE TABLE port_past (
    id       INTEGER PRIMARY KEY,
    public   INTEGER NOT NULL,
    internal INTEGER NOT NULL,
    what     TEXT NOT NULL,
    name     TEXT,
    reason   TEXT,
    at_ms    INTEGER NOT NULL,
    who      TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    ender    TEXT NOT NULL,
    free_ms  INTEGER NOT NULL,
    mac      BLOB
) STRICT;
