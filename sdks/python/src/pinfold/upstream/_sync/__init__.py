"""The sync client, made from the async one."""
