-- The same table as migrations/postgres/0010_secrets.sql; change both together.

-- Secrets of projects. sealed: the value under the installation's key, bound to this id, project and name.
CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_by TEXT REFERENCES keys (id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX secrets_by_name ON secrets (project_id, name);
CREATE INDEX secrets_by_project ON secrets (project_id, created_at DESC, id DESC);
