-- Settings and their history. A setting that was never set has no row: its default holds.
-- what: 'value', 'default' (set back), or 'secret', whose value is sealed under ('setting', key).
-- The id is a column of its own, because VACUUM may number hidden rowids anew and the tag holds the number.
CREATE TABLE setting (
    id      INTEGER PRIMARY KEY,
    key     TEXT NOT NULL UNIQUE,
    what    TEXT NOT NULL,
    value   TEXT,
    version INTEGER NOT NULL CHECK (version >= 1),
    at_ms   INTEGER NOT NULL,
    who     TEXT NOT NULL,
    mac     BLOB
) STRICT;

-- One row for each version that was ever saved, the one that holds now among them.
CREATE TABLE setting_past (
    id      INTEGER PRIMARY KEY,
    key     TEXT NOT NULL,
    version INTEGER NOT NULL,
    what    TEXT NOT NULL,
    value   TEXT,
    at_ms   INTEGER NOT NULL,
    who     TEXT NOT NULL,
    mac     BLOB,
    UNIQUE (key, version)
) STRICT;
