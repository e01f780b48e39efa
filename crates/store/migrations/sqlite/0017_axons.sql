-- The same tables as migrations/postgres/0017_axons.sql; change both together.

-- Streams of events. A row outlives its deletion for a while; its events do not.
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
