-- A sum over each job's row. Rows from before have none.
ALTER TABLE job ADD COLUMN sum BLOB;
