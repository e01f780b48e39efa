-- The same table as migrations/postgres/0019_axon_usage.sql; change both together.

-- What the axons of a project that are not deleted hold together. Made with a project's first axon.
CREATE TABLE axon_usage (
    project_id TEXT PRIMARY KEY REFERENCES projects (id),
    event_bytes INTEGER NOT NULL
) STRICT;

INSERT INTO axon_usage (project_id, event_bytes)
SELECT project_id, SUM(event_bytes) FROM axons WHERE deleted_at IS NULL GROUP BY project_id;
