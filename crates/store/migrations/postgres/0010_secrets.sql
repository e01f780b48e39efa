-- The same table as migrations/sqlite/0010_secrets.sql; change both together.

-- Secrets of projects. sealed: the value under the installation's key, bound to this id, project and name.
CREATE TABLE secrets (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    name TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    created_by TEXT COLLATE "C" REFERENCES keys (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX secrets_by_name ON secrets (project_id, name);
CREATE INDEX secrets_by_project ON secrets (project_id, created_at DESC, id DESC);
