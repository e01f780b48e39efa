-- The same table as migrations/postgres/0013_snapshots.sql; change both together.

-- What people say about snapshots of sandboxes; it stays when the image is removed.
CREATE TABLE snapshots (
    image_id TEXT PRIMARY KEY REFERENCES images (id),
    org_id TEXT NOT NULL REFERENCES orgs (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    name TEXT,
    message TEXT,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;

CREATE INDEX snapshots_by_project ON snapshots (project_id, created_at DESC, image_id DESC);
CREATE INDEX snapshots_by_org ON snapshots (org_id, created_at DESC, image_id DESC);
