-- Addresses that are always lent to the same hardware address. `mac` is the row's tag, as everywhere.
CREATE TABLE pin (
    id      INTEGER PRIMARY KEY,
    hwaddr  TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL UNIQUE,
    at_ms   INTEGER NOT NULL,
    who     TEXT NOT NULL,
    mac     BLOB
) STRICT;

-- The most addresses of the range that were in use on a day (days since 1970, UTC). It decides about nothing, so it has
-- no tags: it is written by whoever looks, also without the vault.
CREATE TABLE pool_day (
    day  INTEGER PRIMARY KEY,
    used INTEGER NOT NULL CHECK (used >= 0)
) STRICT;
