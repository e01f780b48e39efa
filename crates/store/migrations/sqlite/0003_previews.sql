-- The same tables as migrations/postgres/0003_previews.sql; change both together.

-- active: holds its sandbox's port; 0 from the revocation on, or from when another preview took the
-- place of one that had expired. token_hash is set where a token opens it.
CREATE TABLE previews (
    id TEXT PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    port INTEGER NOT NULL,
    access TEXT NOT NULL,
    token_hash BLOB,
    active INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE UNIQUE INDEX previews_active ON previews (sandbox_id, port) WHERE active = 1;
CREATE INDEX previews_by_sandbox ON previews (sandbox_id, created_at DESC, id DESC);

-- Links that open a preview in a browser, once: a row goes when its link is used. key_id: who made it.
CREATE TABLE preview_links (
    secret_hash BLOB PRIMARY KEY,
    preview_id TEXT NOT NULL REFERENCES previews (id),
    key_id TEXT,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX preview_links_by_expiry ON preview_links (expires_at);
