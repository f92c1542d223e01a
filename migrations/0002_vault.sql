-- Operators get a tag over their row.
ALTER TABLE operator ADD COLUMN mac BLOB;

-- One row: how often the vault was changed, and a tag over the list of everything it answers for.
-- `audit_head` is the newest link of the audit log that is vouched for with it.
CREATE TABLE manifest (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    generation INTEGER NOT NULL CHECK (generation >= 1),
    audit_head BLOB CHECK (audit_head IS NULL OR length(audit_head) = 32),
    mac        BLOB NOT NULL
) STRICT;

-- A slot wraps a private key of its own, and the vault key is sealed to the public half of it: whoever holds the vault
-- key can change it for everybody without knowing anybody's passphrase.
ALTER TABLE slot ADD COLUMN sealed_key BLOB NOT NULL DEFAULT x'';
