-- The same changes as migrations/sqlite/0016_key_scopes.sql; change both together.

-- What a key is confined to, a JSON array such as ["sandboxes:write"]; NULL is nothing.
ALTER TABLE keys ADD COLUMN scopes TEXT;
