-- The same table as migrations/sqlite/0012_ssh_keys.sql; change both together.

-- Public keys that open one sandbox over SSH; a private one is kept nowhere.
CREATE TABLE ssh_keys (
    id TEXT COLLATE "C" PRIMARY KEY,
    sandbox_id TEXT COLLATE "C" NOT NULL REFERENCES sandboxes (id),
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    public_key TEXT NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" REFERENCES keys (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

CREATE UNIQUE INDEX ssh_keys_by_fingerprint ON ssh_keys (sandbox_id, fingerprint);
CREATE INDEX ssh_keys_by_sandbox ON ssh_keys (sandbox_id, created_at DESC, id DESC);
