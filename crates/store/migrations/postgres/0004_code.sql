-- Interpreters that keep their variables between runs of code. A row stays when its context has
-- been deleted: commands refer to it by name.
CREATE TABLE code_contexts (
    id TEXT COLLATE "C" PRIMARY KEY,
    sandbox_id TEXT COLLATE "C" NOT NULL REFERENCES sandboxes (id),
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    language TEXT COLLATE "C" NOT NULL,
    cwd TEXT NOT NULL,
    asked_cwd TEXT,
    timeout_ms BIGINT NOT NULL,
    idle_timeout_ms BIGINT NOT NULL,
    is_default BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    interpreter_id TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE INDEX code_contexts_by_sandbox ON code_contexts (sandbox_id, created_at) WHERE deleted_at IS NULL;
CREATE INDEX code_contexts_by_expiry ON code_contexts (expires_at) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX code_contexts_default ON code_contexts (sandbox_id, language)
    WHERE is_default = 1 AND deleted_at IS NULL;

-- command: somebody asked for it; interpreter, code_run: the engine's own, with their context.
ALTER TABLE commands ADD COLUMN purpose TEXT NOT NULL DEFAULT 'command';
ALTER TABLE commands ADD COLUMN context_id TEXT COLLATE "C";
