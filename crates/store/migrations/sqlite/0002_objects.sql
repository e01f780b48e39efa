-- The same tables as migrations/postgres/0002_objects.sql; change both together.

-- Projects that exist get the bound that new ones begin with: 100 GiB.
ALTER TABLE projects ADD COLUMN quota_object_bytes INTEGER;
UPDATE projects SET quota_object_bytes = 107374182400;

-- Content in the object storage, where its id names it. Equal content has one row.
CREATE TABLE blobs (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- A deleted object keeps its row, without its blob. blob_id is the only reference that keeps content.
CREATE TABLE objects (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    metadata TEXT NOT NULL,
    state TEXT NOT NULL,
    blob_id TEXT REFERENCES blobs (id),
    size_bytes INTEGER,
    digest TEXT,
    source_sandbox_id TEXT,
    source_path TEXT,
    created_at INTEGER NOT NULL,
    sealed_at INTEGER,
    deleted_at INTEGER,
    expires_at INTEGER
) STRICT;

CREATE INDEX objects_by_project ON objects (project_id, created_at DESC, id DESC);
CREATE INDEX objects_by_org ON objects (org_id, created_at DESC, id DESC);
CREATE INDEX objects_by_source ON objects (source_sandbox_id, created_at DESC, id DESC)
    WHERE source_sandbox_id IS NOT NULL;
CREATE INDEX objects_by_blob ON objects (blob_id) WHERE blob_id IS NOT NULL;
CREATE INDEX objects_in_use ON objects (project_id, size_bytes) WHERE blob_id IS NOT NULL;
CREATE INDEX objects_expiring ON objects (expires_at)
    WHERE state <> 'deleted' AND expires_at IS NOT NULL;
CREATE INDEX objects_uploading ON objects (created_at) WHERE state = 'uploading';
