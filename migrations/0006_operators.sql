-- Roles, second factors, tries.

-- Rows from before were made by the first set-up, and that makes an admin: a row without a role is his. Every row of
-- today names one. Nothing gets a value here, so that the tags of those rows still hold (tagged.rs).
-- `guests` holds ids parted by blanks.
ALTER TABLE operator ADD COLUMN role TEXT;
ALTER TABLE operator ADD COLUMN active INTEGER CHECK (active IN (0, 1));
ALTER TABLE operator ADD COLUMN guests TEXT;
ALTER TABLE operator ADD COLUMN second_factor INTEGER CHECK (second_factor IN (0, 1));
ALTER TABLE operator ADD COLUMN changed_ms INTEGER;

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
