-- The same table as migrations/postgres/0018_gateways.sql; change both together.

-- Places outside that sandboxes call through the server. A row goes when its gateway is deleted: then
-- sandboxes may name one that is gone, and their calls are refused.
CREATE TABLE gateways (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    spec TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_by TEXT REFERENCES keys (id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX gateways_by_project ON gateways (project_id, kind, created_at DESC, id DESC);
CREATE INDEX gateways_by_name ON gateways (project_id, kind, name);
