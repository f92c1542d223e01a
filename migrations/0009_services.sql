-- What is published: one row for each name that holds a pair of ports. `spec` is what and how, as JSON; `mac` is the row's
-- tag, as everywhere.
CREATE TABLE service (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE,
    spec  TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    who   TEXT NOT NULL,
    mac   BLOB
) STRICT;
