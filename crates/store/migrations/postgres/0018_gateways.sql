-- The same table as migrations/sqlite/0018_gateways.sql; change both together.

-- Places outside that sandboxes call through the server. A row goes when its gateway is deleted: then
-- sandboxes may name one that is gone, and their calls are refused.
CREATE TABLE gateways (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT,
    spec TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_by TEXT COLLATE "C" REFERENCES keys (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX gateways_by_project ON gateways (project_id, kind, created_at DESC, id DESC);
CREATE INDEX gateways_by_name ON gateways (project_id, kind, name);
