-- The same tables as migrations/sqlite/0017_axons.sql; change both together.

-- Streams of events. A row outlives its deletion for a while; its events do not.
CREATE TABLE axons (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    name TEXT COLLATE "C",
    metadata TEXT NOT NULL,
    -- The number of the last event: publishers queue up here, so none is given twice or left out.
    last_sequence BIGINT NOT NULL,
    event_bytes BIGINT NOT NULL,
    created_by TEXT COLLATE "C" REFERENCES keys (id),
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE INDEX axons_by_project ON axons (project_id, created_at DESC, id DESC);
CREATE INDEX axons_by_deletion ON axons (project_id, deleted_at, id) WHERE deleted_at IS NOT NULL;

CREATE TABLE axon_events (
    axon_id TEXT COLLATE "C" NOT NULL REFERENCES axons (id),
    sequence BIGINT NOT NULL,
    origin TEXT NOT NULL,
    source TEXT NOT NULL,
    event_type TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (axon_id, sequence)
);
