-- The same column as migrations/sqlite/0020_withdrawn_images.sql; change both together.

-- When an image was deleted that sandboxes still need: nobody finds it any more, and it goes with the
-- last of them.
ALTER TABLE images ADD COLUMN withdrawn_at BIGINT;
CREATE INDEX images_withdrawn ON images (withdrawn_at) WHERE withdrawn_at IS NOT NULL AND deleted_at IS NULL;
