"""Axons: events that are published and followed, and SQL beside them. The SDKs have them since 1.13."""

import asyncio
import json
import time

import pytest
from sdk import VERSION
from server import KEY, Server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(VERSION < (1, 13), reason="this SDK knows no axons"),
]

if VERSION >= (1, 13):
    from runloop_api_client import (
        APIConnectionError,
        APIStatusError,
        BadRequestError,
        InternalServerError,
        NotFoundError,
        PermissionDeniedError,
    )


def event(payload, **more):
    event = {"event_type": "push", "origin": "USER_EVENT", "source": "suite"}
    return event | {"payload": json.dumps(payload)} | more


async def take(sdk, axon, count, after=None):
    """The first events of a subscription, which is closed behind them."""
    query = {} if after is None else {"after_sequence": after}
    api = axon._client.axons
    if sdk.name == "sync":

        def taken():
            with api.subscribe_sse(axon.id, **query) as stream:
                return [next(stream) for _ in range(count)]

        return await asyncio.to_thread(taken)
    stream = await api.subscribe_sse(axon.id, **query)
    async with stream:
        return [await anext(stream) for _ in range(count)]


async def test_axons_are_made_listed_changed_and_deleted(sdk, runloop, refused):
    name = f"axon-{time.time_ns()}"
    axon = await sdk(runloop.axon.create, name=name, metadata={"team": "a", "of": name})
    info = await sdk(axon.get_info)
    assert info.id == axon.id and info.id.startswith("axn_")
    assert (info.name, info.metadata) == (name, {"team": "a", "of": name})
    assert info.deleted_at_ms is None and abs(info.created_at_ms / 1000 - time.time()) < 60
    plain = await sdk(runloop.axon.create)
    assert (await sdk(plain.get_info)).name is None
    api = runloop.api.axons
    changed = await sdk(api.update, axon.id, metadata={"of": name})
    assert changed.metadata == {"of": name}
    assert (await sdk(api.update, axon.id)).metadata == {"of": name}
    other = await sdk(runloop.axon.create, name=f"{name}-other", metadata={"of": name})
    for query in ({"name": name}, {"search": name[2:]}, {"extra_query": {"metadata[of]": name}}):
        listed = await sdk(runloop.axon.list, **query)
        assert [one.id for one in listed] == [other.id, axon.id], query
    one = await sdk(api.list, id=axon.id)
    assert [found.id for found in one.axons] == [axon.id]
    page = await sdk(api.list, name=name, limit=1)
    assert page.has_more
    everything = page.iter_pages()
    pages = [one async for one in everything] if sdk.name == "async" else list(everything)
    assert [one.id for each in pages for one in each.axons] == [other.id, axon.id]
    assert (await sdk(api.list)).total_count >= 3
    assert (await sdk(api.list, include_total_count=False)).total_count is None
    assert await sdk(api.delete, other.id) == {}
    gone = await sdk(api.retrieve, other.id)
    assert gone.deleted_at_ms >= gone.created_at_ms
    listed = await sdk(runloop.axon.list, name=name)
    assert [one.id for one in listed] == [other.id, axon.id], "deleted ones are listed"
    for call in (
        lambda: sdk(api.delete, other.id),
        lambda: sdk(api.update, other.id, metadata={}),
        lambda: sdk(api.events.list, other.id),
        lambda: sdk(other.publish, **event(1)),
        lambda: sdk(other.subscribe_sse),
        lambda: sdk(other.sql.query, sql="SELECT 1"),
        lambda: sdk(runloop.axon.from_id("axn_0").get_info),
        lambda: sdk(runloop.axon.from_id("none").get_info),
    ):
        with refused(NotFoundError, 404):
            await call()
    with refused(BadRequestError, 400):
        await sdk(runloop.axon.create, name="x" * 200)
    for one in (axon, plain):
        await sdk(api.delete, one.id)


async def test_events_are_followed_from_any_place(sdk, runloop, refused):
    axon = await sdk(runloop.axon.create, name="events")
    results = []
    for n, origin in enumerate(("USER_EVENT", "AGENT_EVENT", "EXTERNAL_EVENT")):
        results.append(await sdk(axon.publish, **event({"n": n, "text": "büro\u2028\n"}, origin=origin)))
    assert [one.sequence for one in results] == [1, 2, 3]
    seen = await take(sdk, axon, 3)
    assert [one.sequence for one in seen] == [1, 2, 3]
    assert [one.origin for one in seen] == ["USER_EVENT", "AGENT_EVENT", "EXTERNAL_EVENT"]
    assert [one.timestamp_ms for one in seen] == [one.timestamp_ms for one in results]
    assert json.loads(seen[1].payload) == {"n": 1, "text": "büro\u2028\n"}
    assert {(one.axon_id, one.event_type, one.source) for one in seen} == {
        (axon.id, "push", "suite")
    }
    assert [one.sequence for one in await take(sdk, axon, 1, after=2)] == [3]
    waiting = asyncio.create_task(take(sdk, axon, 2, after=3))
    # Silent for longer than the pings are apart.
    await asyncio.sleep(11)
    assert not waiting.done()
    for n in (4, 5):
        await sdk(axon.publish, **event(n))
    assert [json.loads(one.payload) for one in await waiting] == [4, 5]
    page = await sdk(runloop.api.axons.events.list, axon.id, limit=2)
    assert [one.sequence for one in page.events] == [5, 4]
    assert (page.has_more, page.total_count) == (True, 5)
    page = await sdk(runloop.api.axons.events.list, axon.id, starting_after="4")
    assert [one.sequence for one in page.events] == [3, 2, 1] and not page.has_more
    for bad in (
        event(1, origin="SYSTEM_EVENT"),
        event(1, source=""),
        event(1, event_type="x" * 300),
        event(1) | {"payload": "x" * 300_000},
        event(1) | {"payload": "a\0b"},
    ):
        with refused(BadRequestError, 400):
            await sdk(axon.publish, **bad)
    assert (await sdk(axon.publish, **event(6))).sequence == 6
    # Its end is the end of those who follow it.
    rest = asyncio.create_task(sdk.events(runloop.api.axons.subscribe_sse, axon.id))
    await asyncio.sleep(0.5)
    await sdk(runloop.api.axons.delete, axon.id)
    assert [one.sequence for one in await rest] == [1, 2, 3, 4, 5, 6]


async def test_many_publish_and_nothing_is_lost_or_seen_twice(sdk, runloop):
    axon = await sdk(runloop.axon.create)
    readers = [asyncio.create_task(take(sdk, axon, 60)) for _ in range(4)]

    async def publish(who):
        return [(await sdk(axon.publish, **event([who, n]))).sequence for n in range(10)]

    told = await asyncio.gather(*(publish(who) for who in range(6)))
    assert sorted(sum(told, [])) == list(range(1, 61))
    for reader in readers:
        seen = await reader
        assert [one.sequence for one in seen] == list(range(1, 61))
        for one in seen:
            who, n = json.loads(one.payload)
            assert told[who][n] == one.sequence
    again = {"extra_headers": {"x-request-id": f"again-{time.time_ns()}"}}
    first = await sdk(runloop.api.axons.publish, axon.id, **event("once"), **again)
    same = await sdk(runloop.api.axons.publish, axon.id, **event("once"), **again)
    assert first == same and first.sequence == 61
    await sdk(runloop.api.axons.delete, axon.id)


async def test_sql_answers_rows_columns_and_what_it_changed(sdk, runloop, refused):
    axon = await sdk(runloop.axon.create)
    sql = axon.sql
    made = await sdk(sql.query, sql="CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, x REAL, b)")
    assert (made.columns, made.rows, made.meta.changes) == ([], [], 0)
    insert = "INSERT INTO t (name, x, b) VALUES (?, ?, ?), ('two', 2, x'00ff')"
    done = await sdk(sql.query, sql=insert, params=["büro", 0.5, True])
    assert done.meta.changes == 2 and done.meta.duration_ms > 0
    found = await sdk(sql.query, sql="SELECT *, NULL AS n FROM t WHERE id < ?", params=[9])
    assert [(one.name, one.type) for one in found.columns] == [
        ("id", "INTEGER"),
        ("name", "TEXT"),
        ("x", "REAL"),
        ("b", ""),
        ("n", ""),
    ]
    assert found.rows == [[1, "büro", 0.5, 1, None], [2, "two", 2.0, "AP8=", None]]
    assert not found.meta.rows_read_limit_reached
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n {}) SELECT i FROM n"
    cut = await sdk(sql.query, sql=count.format("WHERE i < 20000"))
    assert len(cut.rows) == 10_000 and cut.meta.rows_read_limit_reached
    batch = await sdk(
        sql.batch,
        statements=[
            {"sql": "UPDATE t SET x = x + ?", "params": [1]},
            {"sql": "SELECT sum(x) FROM t"},
        ],
    )
    assert [one.error for one in batch.results] == [None, None]
    assert batch.results[0].success.meta.changes == 2
    assert batch.results[1].success.rows == [[4.5]]
    failed = await sdk(
        sql.batch,
        statements=[{"sql": "DELETE FROM t"}, {"sql": "SELEC"}, {"sql": "SELECT 1"}],
    )
    assert [one.success for one in failed.results] == [None] * 3
    messages = [one.error.message for one in failed.results]
    assert "syntax error" in messages[1] and "statement 2 failed" in messages[0] + messages[2]
    assert (await sdk(sql.query, sql="SELECT count(*) FROM t")).rows == [[2]]
    began = time.monotonic()
    for bad in (
        {"sql": "SELECT * FROM missing"},
        {"sql": "SELECT ?"},
        {"sql": "SELECT ?", "params": [[1]]},
        {"sql": "SELECT ?", "params": [2**63]},
        {"sql": "SELECT 1; SELECT 2"},
        {"sql": ""},
        {"sql": "ATTACH '/etc/passwd' AS p"},
        {"sql": "VACUUM INTO '/tmp/stolen.db'"},
        {"sql": "PRAGMA journal_mode = OFF"},
        {"sql": "PRAGMA database_list"},
        {"sql": "SELECT load_extension('x')"},
        {"sql": "BEGIN"},
        {"sql": "SELECT zeroblob(1000000000)"},
        {"sql": count.format("") + " WHERE i < 0"},
        {"sql": "SELECT count(*) FROM (SELECT DISTINCT randomblob(900) FROM (" + count.format("") + "))"},
    ):
        with refused(BadRequestError, 400):
            await sdk(sql.query, **bad)
    assert time.monotonic() - began < 60
    many = [{"sql": "SELECT 1"}] * 101
    with refused(BadRequestError, 400):
        await sdk(sql.batch, statements=many)
    assert (await sdk(sql.batch, statements=[])).results == []
    other = await sdk(runloop.axon.create)
    with refused(BadRequestError, 400):
        await sdk(other.sql.query, sql="SELECT * FROM t")
    for one in (axon, other):
        await sdk(runloop.api.axons.delete, one.id)


async def test_a_restricted_key_has_nothing_of_axons(sdk, runloop, server, refused):
    axon = await sdk(runloop.axon.create)
    key = await sdk(
        runloop.api.restricted_keys.create,
        name="narrow",
        scopes=[
            {"resource_type": "RESOURCE_TYPE_DEVBOXES", "access_level": "ACCESS_LEVEL_WRITE"}
        ],
    )
    narrow = sdk.client(bearer_token=key.key_secret, base_url=server.base_url, max_retries=0)
    foreign = narrow.axon.from_id(axon.id)
    for call in (
        lambda: sdk(narrow.axon.create),
        lambda: sdk(narrow.axon.list),
        lambda: sdk(foreign.get_info),
        lambda: sdk(foreign.publish, **event(1)),
        lambda: sdk(foreign.subscribe_sse),
        lambda: sdk(foreign.sql.query, sql="SELECT 1"),
        lambda: sdk(foreign.sql.batch, statements=[{"sql": "SELECT 1"}]),
        lambda: sdk(narrow.api.axons.delete, axon.id),
    ):
        with refused(PermissionDeniedError, 403):
            await call()
    await sdk.close(narrow)
    await sdk(runloop.api.axons.delete, axon.id)


async def test_a_killed_server_loses_no_event_and_no_row(sdk, tmp_path):
    server = Server(tmp_path / "killed").start()
    options = {"bearer_token": KEY, "base_url": server.base_url, "timeout": 30}
    client = sdk.client(**options, max_retries=0)
    axon = await sdk(client.axon.create)
    await sdk(axon.sql.query, sql="CREATE TABLE t (n INTEGER PRIMARY KEY, other INTEGER)")
    accepted, rows, seen = [], [], []

    async def publish():
        while True:
            accepted.append((await sdk(axon.publish, **event(len(accepted)))).sequence)

    async def write():
        for n in range(1_000_000):
            statements = [
                {"sql": "INSERT INTO t (n) VALUES (?)", "params": [n]},
                {"sql": "UPDATE t SET other = n WHERE n = ?", "params": [n]},
            ]
            batch = await sdk(axon.sql.batch, statements=statements)
            assert batch.results[1].success, batch
            rows.append(n)

    async def follow():
        if sdk.name == "async":
            async for one in await sdk(axon.subscribe_sse):
                seen.append(one.sequence)
            return

        def all_of_it():
            for one in axon.subscribe_sse():
                seen.append(one.sequence)

        await asyncio.to_thread(all_of_it)

    working = [asyncio.create_task(work()) for work in (publish, publish, write, follow)]
    deadline = time.monotonic() + 60
    while min(len(accepted), len(seen)) < 40 or len(rows) < 5:
        assert time.monotonic() < deadline, (len(accepted), len(seen), len(rows))
        assert not any(task.done() for task in working), working
        await asyncio.sleep(0.02)
    server.kill()
    ended = await asyncio.gather(*working, return_exceptions=True)
    assert all(isinstance(one, Exception) for one in ended[:3]), ended
    # Or its connections end in whichever test is under way when it is collected, as failures of that.
    await sdk.close(client)
    server.start()
    client = sdk.client(**options | {"base_url": server.base_url})
    axon = client.axon.from_id(axon.id)
    page = await sdk(client.api.axons.events.list, axon.id, limit=1)
    total = page.total_count
    assert total >= max(accepted)
    everything = await take(sdk, axon, total)
    assert [one.sequence for one in everything] == list(range(1, total + 1))
    assert seen == list(range(1, len(seen) + 1)), "in its place, before the kill as well"
    rest = await take(sdk, axon, total - len(seen), after=len(seen)) if total > len(seen) else []
    assert [one.sequence for one in rest] == list(range(len(seen) + 1, total + 1))
    found = (await sdk(axon.sql.query, sql="SELECT n, other FROM t ORDER BY n")).rows
    assert found[: len(rows)] == [[n, n] for n in rows] and len(found) <= len(rows) + 1
    assert all(n == other for n, other in found), "a batch is whole or not there"
    assert (await sdk(axon.sql.query, sql="PRAGMA integrity_check")).rows == [["ok"]]
    assert (await sdk(axon.publish, **event("after"))).sequence == total + 1
    await sdk.close(client)
    server.stop()


async def test_a_server_that_ends_in_order_tells_those_who_follow(sdk, tmp_path):
    server = Server(tmp_path / "ended").start()
    client = sdk.client(bearer_token=KEY, base_url=server.base_url, max_retries=0)
    axon = await sdk(client.axon.create)
    await sdk(axon.publish, **event(1))
    rest = asyncio.create_task(sdk.events(client.api.axons.subscribe_sse, axon.id))
    await asyncio.sleep(0.5)
    await asyncio.to_thread(server.stop)
    with pytest.raises((APIStatusError, APIConnectionError, InternalServerError)) as caught:
        await rest
    assert getattr(caught.value, "status_code", 408) == 408
    await sdk.close(client)
