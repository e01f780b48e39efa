-- The same tables as migrations/sqlite/0003_previews.sql; change both together.

-- active: holds its sandbox's port; 0 from the revocation on, or from when another preview took the
-- place of one that had expired. token_hash is set where a token opens it.
CREATE TABLE previews (
    id TEXT COLLATE "C" PRIMARY KEY,
    slug TEXT COLLATE "C" NOT NULL UNIQUE,
    sandbox_id TEXT COLLATE "C" NOT NULL REFERENCES sandboxes (id),
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    port BIGINT NOT NULL,
    access TEXT NOT NULL,
    token_hash BYTEA,
    active BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE UNIQUE INDEX previews_active ON previews (sandbox_id, port) WHERE active = 1;
CREATE INDEX previews_by_sandbox ON previews (sandbox_id, created_at DESC, id DESC);

-- Links that open a preview in a browser, once: a row goes when its link is used. key_id: who made it.
CREATE TABLE preview_links (
    secret_hash BYTEA PRIMARY KEY,
    preview_id TEXT COLLATE "C" NOT NULL REFERENCES previews (id),
    key_id TEXT COLLATE "C",
    expires_at BIGINT NOT NULL
);

CREATE INDEX preview_links_by_expiry ON preview_links (expires_at);
