"""The sync client, made from `_async` by `tools/make_sync.py`; only `_io.py` is written by hand."""
