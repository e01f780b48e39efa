-- The same table as migrations/sqlite/0005_pipeline_runs.sql; change both together.

-- A number is never given twice, also where the newest run has been removed.
-- steps holds what has become of the steps; what they wrote stands in journals.
CREATE TABLE pipeline_runs (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    sandbox_id TEXT COLLATE "C" NOT NULL,
    spec TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    steps TEXT COLLATE "C" NOT NULL,
    failure TEXT COLLATE "C",
    cancel BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT
);

CREATE INDEX pipeline_runs_by_project ON pipeline_runs (project_id, id DESC);
CREATE INDEX pipeline_runs_by_org ON pipeline_runs (org_id, id DESC);
CREATE INDEX pipeline_runs_unfinished ON pipeline_runs (id) WHERE ended_at IS NULL;
