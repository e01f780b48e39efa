-- The same table as migrations/postgres/0014_network_policies.sql; change both together.

-- Rules that sandboxes of a project follow. A row goes when its policy is deleted, which none of a live
-- sandbox is: sandboxes that have ended may name one that is gone.
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

ALTER TABLE sandboxes ADD COLUMN network_policy_id TEXT;

CREATE INDEX sandboxes_by_network_policy ON sandboxes (network_policy_id) WHERE live = 1;
