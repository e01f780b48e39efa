-- The same tables as migrations/sqlite/0015_tunnels.sql; change both together.

-- A tunnel reaches every port of its sandbox, which has one. A row goes when the tunnel is removed, or
-- some time after its sandbox has ended. spec: what opens it, and what its requests do to the sandbox.
CREATE TABLE tunnels (
    sandbox_id TEXT COLLATE "C" PRIMARY KEY REFERENCES sandboxes (id),
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    tunnel_key TEXT COLLATE "C" NOT NULL UNIQUE,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    spec TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Which command is the terminal of a name. The row comes before the command, and goes some time after
-- it has ended.
CREATE TABLE terminals (
    sandbox_id TEXT COLLATE "C" NOT NULL REFERENCES sandboxes (id),
    name TEXT COLLATE "C" NOT NULL,
    command_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (sandbox_id, name)
);
