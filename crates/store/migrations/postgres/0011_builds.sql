-- The same tables as migrations/sqlite/0011_builds.sql; change both together.

-- disk: the image whose copy of a disk this one begins with, itself or another.
-- step_key: what a step of a build was made from; such images are nobody's but the build cache's.
ALTER TABLE images ADD COLUMN disk TEXT COLLATE "C";
ALTER TABLE images ADD COLUMN step_key TEXT COLLATE "C";
ALTER TABLE images ADD COLUMN used_at BIGINT;
UPDATE images SET disk = id WHERE source LIKE '{"snapshot":%';

CREATE INDEX images_by_disk ON images (disk) WHERE disk IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX images_by_step ON images (scope, step_key, created_at DESC)
    WHERE step_key IS NOT NULL AND deleted_at IS NULL;

-- spec holds the names of secrets and no value. steps holds what has become of them; what they wrote
-- stands in journals.
CREATE TABLE builds (
    id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    name TEXT COLLATE "C" NOT NULL,
    spec TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    steps TEXT COLLATE "C" NOT NULL,
    warnings TEXT COLLATE "C" NOT NULL,
    sandboxes TEXT COLLATE "C" NOT NULL,
    image_id TEXT COLLATE "C",
    failure TEXT COLLATE "C",
    cancel BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT
);

CREATE INDEX builds_by_project ON builds (project_id, created_at DESC, id DESC);
CREATE INDEX builds_by_org ON builds (org_id, created_at DESC, id DESC);
CREATE INDEX builds_unfinished ON builds (id) WHERE ended_at IS NULL;
