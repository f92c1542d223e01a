-- A sum over each job's row. Rows from before have none.
ALTER TABLE job ADD COLUMN sum BLOB;

-- An index that rots hides an unfinished job from whoever looks by it; the rows themselves tell when they rot.
DROP INDEX job_by_state;
