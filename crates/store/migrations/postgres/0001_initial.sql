-- The same tables as migrations/sqlite/0001_initial.sql; change both together.
-- Times are microseconds since the epoch, documents are JSON. Ids and names that are ordered or
-- unique use the collation "C", so that they sort by bytes as in SQLite.

CREATE TABLE settings (
    name TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE orgs (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE projects (
    id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    name TEXT COLLATE "C" NOT NULL,
    quota_live_sandboxes BIGINT,
    quota_vcpu_millis BIGINT,
    quota_memory_mib BIGINT,
    created_at BIGINT NOT NULL,
    UNIQUE (org_id, name)
);

CREATE INDEX projects_by_org ON projects (org_id, created_at DESC, id DESC);

CREATE TABLE keys (
    id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    role TEXT NOT NULL,
    prefix TEXT NOT NULL,
    secret_hash BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);

CREATE INDEX keys_by_org ON keys (org_id, created_at DESC, id DESC);

-- scope: a project's id, or '' for what every project may use.
CREATE TABLE images (
    id TEXT COLLATE "C" PRIMARY KEY,
    scope TEXT COLLATE "C" NOT NULL,
    source TEXT NOT NULL,
    layers TEXT NOT NULL,
    config TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE INDEX images_by_scope ON images (scope, created_at DESC, id DESC) WHERE deleted_at IS NULL;

CREATE TABLE image_names (
    scope TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    image_id TEXT COLLATE "C" NOT NULL REFERENCES images (id),
    PRIMARY KEY (scope, name, tag)
);

CREATE INDEX image_names_by_image ON image_names (image_id);

CREATE TABLE templates (
    id TEXT COLLATE "C" PRIMARY KEY,
    scope TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    latest BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE UNIQUE INDEX templates_by_name ON templates (scope, name) WHERE deleted_at IS NULL;
CREATE INDEX templates_by_scope ON templates (scope, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;

CREATE TABLE template_versions (
    id TEXT COLLATE "C" PRIMARY KEY,
    template_id TEXT COLLATE "C" NOT NULL REFERENCES templates (id),
    version BIGINT NOT NULL,
    spec TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (template_id, version)
);

-- org_id, image_id, vcpu_millis, memory_mib and live repeat facts of other columns for the indexes.
CREATE TABLE sandboxes (
    id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    image_id TEXT COLLATE "C" NOT NULL REFERENCES images (id),
    vcpu_millis BIGINT NOT NULL,
    memory_mib BIGINT NOT NULL,
    spec TEXT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    live BIGINT NOT NULL,
    reason TEXT,
    failure TEXT,
    created_at BIGINT NOT NULL,
    running_since BIGINT,
    expires_at BIGINT,
    last_active_at BIGINT NOT NULL,
    ended_at BIGINT
);

CREATE INDEX sandboxes_by_project ON sandboxes (project_id, created_at DESC, id DESC);
CREATE INDEX sandboxes_by_org ON sandboxes (org_id, created_at DESC, id DESC);
CREATE INDEX sandboxes_live ON sandboxes (project_id, vcpu_millis, memory_mib) WHERE live = 1;
CREATE INDEX sandboxes_live_by_image ON sandboxes (image_id) WHERE live = 1;

CREATE TABLE sandbox_metadata (
    sandbox_id TEXT COLLATE "C" NOT NULL REFERENCES sandboxes (id),
    key TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (sandbox_id, key)
);

-- rank orders the states of a command: 0 queued, 1 starting, 2 running, 3 ended.
CREATE TABLE commands (
    id TEXT COLLATE "C" PRIMARY KEY,
    sandbox_id TEXT COLLATE "C" NOT NULL REFERENCES sandboxes (id),
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    spec TEXT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    rank BIGINT NOT NULL,
    exit_kind TEXT,
    exit_value BIGINT,
    cancel TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    last_seq BIGINT,
    truncated BIGINT NOT NULL
);

CREATE INDEX commands_by_sandbox ON commands (sandbox_id, created_at DESC, id DESC);
CREATE INDEX commands_unfinished ON commands (sandbox_id) WHERE rank < 3;

CREATE TABLE idempotency_keys (
    scope TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    request_hash BYTEA NOT NULL,
    resource_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (scope, operation, key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE usage_records (
    sandbox_id TEXT COLLATE "C" NOT NULL REFERENCES sandboxes (id),
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    from_at BIGINT NOT NULL,
    to_at BIGINT NOT NULL,
    vcpu_millis_ms BIGINT NOT NULL,
    memory_mib_ms BIGINT NOT NULL,
    wall_ms BIGINT NOT NULL,
    cpu_used_us BIGINT NOT NULL,
    PRIMARY KEY (sandbox_id, from_at)
);

CREATE INDEX usage_records_by_project ON usage_records (project_id, from_at);

CREATE TABLE usage_marks (
    sandbox_id TEXT COLLATE "C" PRIMARY KEY REFERENCES sandboxes (id),
    metered_to BIGINT NOT NULL,
    cpu_counter_us BIGINT NOT NULL
);

-- No references: the trail outlives what it speaks of.
CREATE TABLE audit_events (
    id TEXT COLLATE "C" PRIMARY KEY,
    at BIGINT NOT NULL,
    org_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT,
    request_id TEXT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    outcome TEXT NOT NULL,
    details TEXT NOT NULL
);

CREATE INDEX audit_events_by_org ON audit_events (org_id, at DESC, id DESC);
CREATE INDEX audit_events_by_project ON audit_events (project_id, at DESC, id DESC);
