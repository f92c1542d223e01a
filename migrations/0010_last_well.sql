-- When a port last answered well, of what is published there since published_ms. It decides about nothing, so it has no tags:
-- it is written by whoever looks, also without the vault. Rows of what is published no more, or otherwise, go with the next look.
CREATE TABLE last_well (
    port         INTEGER PRIMARY KEY CHECK (port BETWEEN 1 AND 65535),
    name         TEXT NOT NULL,
    published_ms INTEGER NOT NULL,
    well_ms      INTEGER NOT NULL
) STRICT;
