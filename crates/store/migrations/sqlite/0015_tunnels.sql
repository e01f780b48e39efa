-- The same tables as migrations/postgres/0015_tunnels.sql; change both together.

-- A tunnel reaches every port of its sandbox, which has one. A row goes when the tunnel is removed, or
-- some time after its sandbox has ended. spec: what opens it, and what its requests do to the sandbox.
CREATE TABLE tunnels (
    sandbox_id TEXT PRIMARY KEY REFERENCES sandboxes (id),
    id TEXT NOT NULL UNIQUE,
    tunnel_key TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id),
    spec TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Which command is the terminal of a name. The row comes before the command, and goes some time after
-- it has ended.
CREATE TABLE terminals (
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    name TEXT NOT NULL,
    command_id TEXT NOT NULL,
    PRIMARY KEY (sandbox_id, name)
) STRICT;
