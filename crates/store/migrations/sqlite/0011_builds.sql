-- The same tables as migrations/postgres/0011_builds.sql; change both together.

-- disk: the image whose copy of a disk this one begins with, itself or another.
-- step_key: what a step of a build was made from; such images are nobody's but the build cache's.
ALTER TABLE images ADD COLUMN disk TEXT;
ALTER TABLE images ADD COLUMN step_key TEXT;
ALTER TABLE images ADD COLUMN used_at INTEGER;
UPDATE images SET disk = id WHERE source LIKE '{"snapshot":%';

CREATE INDEX images_by_disk ON images (disk) WHERE disk IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX images_by_step ON images (scope, step_key, created_at DESC)
    WHERE step_key IS NOT NULL AND deleted_at IS NULL;

-- spec holds the names of secrets and no value. steps holds what has become of them; what they wrote
-- stands in journals.
CREATE TABLE builds (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    steps TEXT NOT NULL,
    warnings TEXT NOT NULL,
    sandboxes TEXT NOT NULL,
    image_id TEXT,
    failure TEXT,
    cancel INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER
) STRICT;

CREATE INDEX builds_by_project ON builds (project_id, created_at DESC, id DESC);
CREATE INDEX builds_by_org ON builds (org_id, created_at DESC, id DESC);
CREATE INDEX builds_unfinished ON builds (id) WHERE ended_at IS NULL;
