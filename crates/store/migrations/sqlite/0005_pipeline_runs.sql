-- The same table as migrations/postgres/0005_pipeline_runs.sql; change both together.

-- AUTOINCREMENT: a number is never given twice, also where the newest run has been removed.
-- steps holds what has become of the steps; what they wrote stands in journals.
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
