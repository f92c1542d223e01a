-- Roles, second factors, tries.

-- Rows from before were made by the first set-up, and that makes an admin. Any other insert that names no role
-- makes the least of them. `guests` holds ids parted by blanks. A tag from before does not cover the new columns.
ALTER TABLE operator ADD COLUMN role TEXT NOT NULL DEFAULT 'viewer';
ALTER TABLE operator ADD COLUMN active INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1));
ALTER TABLE operator ADD COLUMN guests TEXT NOT NULL DEFAULT '';
ALTER TABLE operator ADD COLUMN second_factor INTEGER NOT NULL DEFAULT 0 CHECK (second_factor IN (0, 1));
ALTER TABLE operator ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operator ADD COLUMN row_version INTEGER NOT NULL DEFAULT 1;
UPDATE operator SET role = 'admin';

-- The last time step whose code was accepted; no step is accepted twice, and none before it. The secret is sealed.
CREATE TABLE second_factor (
    id          INTEGER PRIMARY KEY,
    operator_id BLOB NOT NULL UNIQUE CHECK (length(operator_id) = 16),
    last_step   INTEGER NOT NULL,
    row_version INTEGER NOT NULL,
    mac         BLOB
) STRICT;

-- Keyed hashes of the codes for a lost telephone; each is good once.
CREATE TABLE recovery_code (
    id          INTEGER PRIMARY KEY,
    operator_id BLOB NOT NULL CHECK (length(operator_id) = 16),
    hash        BLOB NOT NULL CHECK (length(hash) = 32),
    burned_ms   INTEGER,
    mac         BLOB
) STRICT;

-- Tries that were not (yet) followed by success. Written before a passphrase or code is looked at, so there is no
-- key to sign these rows with. Times are those of CLOCK_BOOTTIME in the named boot.
CREATE TABLE attempt (
    operator TEXT NOT NULL,
    kind     TEXT NOT NULL,
    count    INTEGER NOT NULL,
    boot     TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (operator, kind)
) STRICT;
