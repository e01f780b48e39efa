-- The same table as migrations/sqlite/0014_network_policies.sql; change both together.

-- Rules that sandboxes of a project follow. A row goes when its policy is deleted, which none of a live
-- sandbox is: sandboxes that have ended may name one that is gone.
CREATE TABLE network_policies (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    name TEXT COLLATE "C" NOT NULL,
    description TEXT,
    rules TEXT NOT NULL,
    annotations TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_by TEXT COLLATE "C" REFERENCES keys (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX network_policies_by_project ON network_policies (project_id, created_at DESC, id DESC);
CREATE INDEX network_policies_by_name ON network_policies (project_id, name);

ALTER TABLE sandboxes ADD COLUMN network_policy_id TEXT COLLATE "C";

CREATE INDEX sandboxes_by_network_policy ON sandboxes (network_policy_id) WHERE live = 1;
