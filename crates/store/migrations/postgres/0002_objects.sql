-- The same tables as migrations/sqlite/0002_objects.sql; change both together.

-- Projects that exist get the bound that new ones begin with: 100 GiB.
ALTER TABLE projects ADD COLUMN quota_object_bytes BIGINT;
UPDATE projects SET quota_object_bytes = 107374182400;

-- Content in the object storage, where its id names it. Equal content has one row.
CREATE TABLE blobs (
    id TEXT COLLATE "C" PRIMARY KEY,
    digest TEXT COLLATE "C" NOT NULL UNIQUE,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- A deleted object keeps its row, without its blob. blob_id is the only reference that keeps content.
CREATE TABLE objects (
    id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    name TEXT COLLATE "C" NOT NULL,
    content_type TEXT NOT NULL,
    metadata TEXT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    blob_id TEXT COLLATE "C" REFERENCES blobs (id),
    size_bytes BIGINT,
    digest TEXT COLLATE "C",
    source_sandbox_id TEXT COLLATE "C",
    source_path TEXT,
    created_at BIGINT NOT NULL,
    sealed_at BIGINT,
    deleted_at BIGINT,
    expires_at BIGINT
);

CREATE INDEX objects_by_project ON objects (project_id, created_at DESC, id DESC);
CREATE INDEX objects_by_org ON objects (org_id, created_at DESC, id DESC);
CREATE INDEX objects_by_source ON objects (source_sandbox_id, created_at DESC, id DESC)
    WHERE source_sandbox_id IS NOT NULL;
CREATE INDEX objects_by_blob ON objects (blob_id) WHERE blob_id IS NOT NULL;
CREATE INDEX objects_in_use ON objects (project_id, size_bytes) WHERE blob_id IS NOT NULL;
CREATE INDEX objects_expiring ON objects (expires_at)
    WHERE state <> 'deleted' AND expires_at IS NOT NULL;
CREATE INDEX objects_uploading ON objects (created_at) WHERE state = 'uploading';
