-- The same tables as migrations/postgres/0001_initial.sql; change both together.
-- Times are microseconds since the epoch, documents are JSON.

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE orgs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT NOT NULL,
    quota_live_sandboxes INTEGER,
    quota_vcpu_millis INTEGER,
    quota_memory_mib INTEGER,
    created_at INTEGER NOT NULL,
    UNIQUE (org_id, name)
) STRICT;

CREATE INDEX projects_by_org ON projects (org_id, created_at DESC, id DESC);

CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    role TEXT NOT NULL,
    prefix TEXT NOT NULL,
    secret_hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT;

CREATE INDEX keys_by_org ON keys (org_id, created_at DESC, id DESC);

-- scope: a project's id, or '' for what every project may use.
CREATE TABLE images (
    id TEXT PRIMARY KEY,
    scope TEXT NOT NULL,
    source TEXT NOT NULL,
    layers TEXT NOT NULL,
    config TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;

CREATE INDEX images_by_scope ON images (scope, created_at DESC, id DESC) WHERE deleted_at IS NULL;

CREATE TABLE image_names (
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    tag TEXT NOT NULL,
    image_id TEXT NOT NULL REFERENCES images (id),
    PRIMARY KEY (scope, name, tag)
) STRICT;

CREATE INDEX image_names_by_image ON image_names (image_id);

CREATE TABLE templates (
    id TEXT PRIMARY KEY,
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    latest INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;

CREATE UNIQUE INDEX templates_by_name ON templates (scope, name) WHERE deleted_at IS NULL;
CREATE INDEX templates_by_scope ON templates (scope, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;

CREATE TABLE template_versions (
    id TEXT PRIMARY KEY,
    template_id TEXT NOT NULL REFERENCES templates (id),
    version INTEGER NOT NULL,
    spec TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (template_id, version)
) STRICT;

-- org_id, image_id, vcpu_millis, memory_mib and live repeat facts of other columns for the indexes.
CREATE TABLE sandboxes (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    image_id TEXT NOT NULL REFERENCES images (id),
    vcpu_millis INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    live INTEGER NOT NULL,
    reason TEXT,
    failure TEXT,
    created_at INTEGER NOT NULL,
    running_since INTEGER,
    expires_at INTEGER,
    last_active_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;

CREATE INDEX sandboxes_by_project ON sandboxes (project_id, created_at DESC, id DESC);
CREATE INDEX sandboxes_by_org ON sandboxes (org_id, created_at DESC, id DESC);
CREATE INDEX sandboxes_live ON sandboxes (project_id, vcpu_millis, memory_mib) WHERE live = 1;
CREATE INDEX sandboxes_live_by_image ON sandboxes (image_id) WHERE live = 1;

CREATE TABLE sandbox_metadata (
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (sandbox_id, key)
) STRICT;

-- rank orders the states of a command: 0 queued, 1 starting, 2 running, 3 ended.
CREATE TABLE commands (
    id TEXT PRIMARY KEY,
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    rank INTEGER NOT NULL,
    exit_kind TEXT,
    exit_value INTEGER,
    cancel TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    last_seq INTEGER,
    truncated INTEGER NOT NULL
) STRICT;

CREATE INDEX commands_by_sandbox ON commands (sandbox_id, created_at DESC, id DESC);
CREATE INDEX commands_unfinished ON commands (sandbox_id) WHERE rank < 3;

CREATE TABLE idempotency_keys (
    scope TEXT NOT NULL,
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    resource_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, operation, key)
) STRICT;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE usage_records (
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    from_at INTEGER NOT NULL,
    to_at INTEGER NOT NULL,
    vcpu_millis_ms INTEGER NOT NULL,
    memory_mib_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    cpu_used_us INTEGER NOT NULL,
    PRIMARY KEY (sandbox_id, from_at)
) STRICT;

CREATE INDEX usage_records_by_project ON usage_records (project_id, from_at);

CREATE TABLE usage_marks (
    sandbox_id TEXT PRIMARY KEY REFERENCES sandboxes (id),
    metered_to INTEGER NOT NULL,
    cpu_counter_us INTEGER NOT NULL
) STRICT;

-- No references: the trail outlives what it speaks of.
CREATE TABLE audit_events (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    org_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    key_id TEXT,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;

CREATE INDEX audit_events_by_org ON audit_events (org_id, at DESC, id DESC);
CREATE INDEX audit_events_by_project ON audit_events (project_id, at DESC, id DESC);
