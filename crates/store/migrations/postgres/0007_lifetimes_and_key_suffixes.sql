-- There is no 0006: the number was never used.

-- ttl_ms: the lifetime that was set last, where that is not the one of the specification any more.
ALTER TABLE sandboxes ADD COLUMN ttl_ms BIGINT;

-- The last characters of a secret, for recognising it; empty for keys from before.
ALTER TABLE keys ADD COLUMN suffix TEXT NOT NULL DEFAULT '';
