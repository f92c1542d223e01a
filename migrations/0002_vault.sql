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
