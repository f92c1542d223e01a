-- The audit log. `entry` is the frozen form of domain/audit/bytes.rs, `hash` its link of the chain, `mac` its seal.
-- `of_seq` repeats which intent an outcome belongs to, so that it is found; what the entry says counts.
CREATE TABLE audit (
    seq    INTEGER PRIMARY KEY,
    entry  BLOB NOT NULL,
    hash   BLOB NOT NULL,
    mac    BLOB NOT NULL,
    of_seq INTEGER
) STRICT;

CREATE INDEX audit_outcome ON audit (of_seq) WHERE of_seq IS NOT NULL;

-- One row: how the log goes on. `key` seals the entries of this epoch and is replaced by the next, which cannot be
-- turned back. `first_key` is what the verifier begins with; it lies here only until a vault takes it.
CREATE TABLE audit_state (
    only      INTEGER PRIMARY KEY CHECK (only = 1),
    log_id    BLOB NOT NULL CHECK (length(log_id) = 16),
    first_key BLOB,
    key       BLOB NOT NULL CHECK (length(key) = 32),
    epoch     INTEGER NOT NULL,
    began_ms  INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    hash      BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- The entry that said that a job is about to begin.
ALTER TABLE job ADD COLUMN intent INTEGER;
