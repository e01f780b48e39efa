-- What was kept of a sandbox's files behind a command: a JSON document, written once.
CREATE TABLE command_collects (
    command_id TEXT COLLATE "C" PRIMARY KEY REFERENCES commands (id),
    report TEXT NOT NULL
);
