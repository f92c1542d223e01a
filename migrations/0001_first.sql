-- The first layout. A step is never edited once released; the next change is the next file.
-- Times are milliseconds since 1970, UTC. Identifiers are 16 random bytes.

-- "PROX": how a file is told from any other SQLite file.
PRAGMA application_id = 1347571544;

-- One row: which vault this is. `mac` is made with the vault key.
CREATE TABLE vault_meta (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    vault_id   BLOB NOT NULL CHECK (length(vault_id) = 16),
    created_ms INTEGER NOT NULL,
    epoch      INTEGER NOT NULL CHECK (epoch >= 1),
    mac        BLOB NOT NULL
) STRICT;

-- One way in: the vault key, wrapped for an operator's passphrase or for the recovery words.
-- `sum` needs no key and tells damage before anybody is asked for a passphrase;
-- `mac` is made with the vault key and tells tampering afterwards.
CREATE TABLE slot (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    kind        TEXT NOT NULL,
    operator    TEXT,
    header      BLOB NOT NULL,
    check_value BLOB NOT NULL,
    nonce       BLOB NOT NULL,
    wrapped     BLOB NOT NULL,
    row_version INTEGER NOT NULL,
    mac         BLOB NOT NULL,
    sum         BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX slot_of_operator ON slot (kind, operator);

-- The secrets: one sealed value for each (table, column, row) it belongs to.
CREATE TABLE sealed (
    table_name  TEXT NOT NULL,
    column_name TEXT NOT NULL,
    row_id      BLOB NOT NULL,
    scope_id    BLOB NOT NULL,
    epoch       INTEGER NOT NULL,
    row_version INTEGER NOT NULL,
    nonce       BLOB NOT NULL,
    body        BLOB NOT NULL,
    PRIMARY KEY (table_name, column_name, row_id)
) STRICT;

CREATE TABLE operator (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    name       TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
) STRICT;

-- AUTOINCREMENT: the number of a job names its systemd unit and its log, so it is never given twice.
CREATE TABLE job (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    state      TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    plan       TEXT NOT NULL,
    life       TEXT NOT NULL
) STRICT;

CREATE INDEX job_by_state ON job (state);
