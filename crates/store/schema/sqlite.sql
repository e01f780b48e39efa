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
    created_at INTEGER NOT NULL, quota_object_bytes INTEGER,
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
, suffix TEXT NOT NULL DEFAULT '', quota_live_sandboxes INTEGER, quota_vcpu_millis INTEGER, quota_memory_mib INTEGER, scopes TEXT) STRICT;
CREATE INDEX keys_by_org ON keys (org_id, created_at DESC, id DESC);
CREATE TABLE images (
    id TEXT PRIMARY KEY,
    scope TEXT NOT NULL,
    source TEXT NOT NULL,
    layers TEXT NOT NULL,
    config TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
, disk TEXT, step_key TEXT, used_at INTEGER, withdrawn_at INTEGER) STRICT;
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
, ttl_ms INTEGER, key_id TEXT REFERENCES keys (id), network_policy_id TEXT) STRICT;
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
, purpose TEXT NOT NULL DEFAULT 'command', context_id TEXT) STRICT;
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
CREATE TABLE blobs (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
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
CREATE TABLE previews (
    id TEXT PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    port INTEGER NOT NULL,
    access TEXT NOT NULL,
    token_hash BLOB,
    active INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE UNIQUE INDEX previews_active ON previews (sandbox_id, port) WHERE active = 1;
CREATE INDEX previews_by_sandbox ON previews (sandbox_id, created_at DESC, id DESC);
CREATE TABLE preview_links (
    secret_hash BLOB PRIMARY KEY,
    preview_id TEXT NOT NULL REFERENCES previews (id),
    key_id TEXT,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX preview_links_by_expiry ON preview_links (expires_at);
CREATE TABLE code_contexts (
    id TEXT PRIMARY KEY,
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    language TEXT NOT NULL,
    cwd TEXT NOT NULL,
    asked_cwd TEXT,
    timeout_ms INTEGER NOT NULL,
    idle_timeout_ms INTEGER NOT NULL,
    is_default INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    interpreter_id TEXT,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE INDEX code_contexts_by_sandbox ON code_contexts (sandbox_id, created_at) WHERE deleted_at IS NULL;
CREATE INDEX code_contexts_by_expiry ON code_contexts (expires_at) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX code_contexts_default ON code_contexts (sandbox_id, language)
    WHERE is_default = 1 AND deleted_at IS NULL;
CREATE TABLE pipeline_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    sandbox_id TEXT NOT NULL,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    steps TEXT NOT NULL,
    failure TEXT,
    cancel INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER
) STRICT;
CREATE INDEX pipeline_runs_by_project ON pipeline_runs (project_id, id DESC);
CREATE INDEX pipeline_runs_by_org ON pipeline_runs (org_id, id DESC);
CREATE INDEX pipeline_runs_unfinished ON pipeline_runs (id) WHERE ended_at IS NULL;
CREATE INDEX sandboxes_live_by_key ON sandboxes (key_id, vcpu_millis, memory_mib)
    WHERE live = 1 AND key_id IS NOT NULL;
CREATE TABLE command_collects (
    command_id TEXT PRIMARY KEY REFERENCES commands (id),
    report TEXT NOT NULL
) STRICT;
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
CREATE INDEX images_by_disk ON images (disk) WHERE disk IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX images_by_step ON images (scope, step_key, created_at DESC)
    WHERE step_key IS NOT NULL AND deleted_at IS NULL;
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
CREATE TABLE ssh_keys (
    id TEXT PRIMARY KEY,
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    public_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    created_by TEXT REFERENCES keys (id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE UNIQUE INDEX ssh_keys_by_fingerprint ON ssh_keys (sandbox_id, fingerprint);
CREATE INDEX ssh_keys_by_sandbox ON ssh_keys (sandbox_id, created_at DESC, id DESC);
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
CREATE TABLE network_policies (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    description TEXT,
    rules TEXT NOT NULL,
    annotations TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_by TEXT REFERENCES keys (id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX network_policies_by_project ON network_policies (project_id, created_at DESC, id DESC);
CREATE INDEX network_policies_by_name ON network_policies (project_id, name);
CREATE INDEX sandboxes_by_network_policy ON sandboxes (network_policy_id) WHERE live = 1;
CREATE TABLE tunnels (
    sandbox_id TEXT PRIMARY KEY REFERENCES sandboxes (id),
    id TEXT NOT NULL UNIQUE,
    tunnel_key TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id),
    spec TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE terminals (
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    name TEXT NOT NULL,
    command_id TEXT NOT NULL,
    PRIMARY KEY (sandbox_id, name)
) STRICT;
CREATE TABLE axons (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT,
    metadata TEXT NOT NULL,
    -- The number of the last event: publishers queue up here, so none is given twice or left out.
    last_sequence INTEGER NOT NULL,
    event_bytes INTEGER NOT NULL,
    created_by TEXT REFERENCES keys (id),
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE INDEX axons_by_project ON axons (project_id, created_at DESC, id DESC);
CREATE INDEX axons_by_deletion ON axons (project_id, deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE TABLE axon_events (
    axon_id TEXT NOT NULL REFERENCES axons (id),
    sequence INTEGER NOT NULL,
    origin TEXT NOT NULL,
    source TEXT NOT NULL,
    event_type TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (axon_id, sequence)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE axon_usage (
    project_id TEXT PRIMARY KEY REFERENCES projects (id),
    event_bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX images_withdrawn ON images (withdrawn_at) WHERE withdrawn_at IS NOT NULL AND deleted_at IS NULL;
