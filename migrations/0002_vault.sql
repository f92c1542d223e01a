-- Operators get a tag over their row.
ALTER TABLE operator ADD COLUMN mac BLOB;
