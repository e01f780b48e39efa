-- The same changes as migrations/sqlite/0008_key_quotas.sql; change both together.

-- What the live sandboxes that a key made may hold together; NULL is no bound.
ALTER TABLE keys ADD COLUMN quota_live_sandboxes BIGINT;
ALTER TABLE keys ADD COLUMN quota_vcpu_millis BIGINT;
ALTER TABLE keys ADD COLUMN quota_memory_mib BIGINT;

-- The key that made it; NULL where the process itself did, or before this was recorded.
ALTER TABLE sandboxes ADD COLUMN key_id TEXT COLLATE "C" REFERENCES keys (id);

CREATE INDEX sandboxes_live_by_key ON sandboxes (key_id, vcpu_millis, memory_mib)
    WHERE live = 1 AND key_id IS NOT NULL;
