"""One request with one key happens once."""

import asyncio

import pytest

pytestmark = pytest.mark.anyio


async def test_twenty_creates_with_one_key_make_one_sandbox(sdk, client, fails):
    key, metadata = f"create-{sdk.name}", {"once": sdk.name}
    options = {"idempotency_key": key, "metadata": metadata}
    made = await asyncio.gather(*(sdk(client.sandboxes.create, **options) for _ in range(20)))
    assert len({one.id for one in made}) == 1
    assert len(await sdk(client.sandboxes.list, metadata=metadata)) == 1
    with fails("idempotency_key_reused", 409):
        await sdk(client.sandboxes.create, idempotency_key=key, metadata={"once": "other"})
    await sdk(client.sandboxes.kill, made[0].id)


async def test_twenty_runs_with_one_key_run_once(sdk, client, sandbox, fails):
    line = "sleep 0.3; echo x >> count; wc -l < count"
    options = {"idempotency_key": "run"}
    runs = [sdk(client.commands.run, sandbox.id, line, **options) for _ in range(20)]
    results = await asyncio.gather(*runs)
    assert all(result == results[0] for result in results)
    assert results[0]["stdout"] == "1\n"
    assert await sdk(client.files.read, sandbox.id, "count") == "x\n"
    for change in ({"cwd": "/tmp"}, {"timeout_ms": 1000}, {"env": {"A": "1"}}):
        with fails("idempotency_key_reused", 409):
            await sdk(client.commands.run, sandbox.id, line, **options, **change)
    with fails("idempotency_key_reused", 409):
        await sdk(client.commands.run, sandbox.id, "echo other", **options)


async def test_secret_values_count_for_the_request(sdk, client, sandbox, fails):
    options = {"idempotency_key": "env", "env": {"A": "1"}}
    first = await sdk(client.commands.run, sandbox.id, "echo $A", **options)
    again = await sdk(client.commands.run, sandbox.id, "echo $A", **options)
    assert first == again and first["stdout"] == "1\n"
    with fails("idempotency_key_reused", 409):
        await sdk(client.commands.run, sandbox.id, "echo $A", idempotency_key="env", env={"A": "2"})


async def test_a_key_is_of_its_route(sdk, client, sandbox):
    started = await sdk(client.commands.start, sandbox.id, "echo a", idempotency_key="shared")
    run = await sdk(client.commands.run, sandbox.id, "echo a", idempotency_key="shared")
    assert started["id"] != run["id"]
    again = await sdk(client.commands.start, sandbox.id, "echo a", idempotency_key="shared")
    assert again["id"] == started["id"] and again["status"] in ("queued", "starting")


async def test_extend_with_one_key_moves_once(sdk, client, sandbox, fails):
    options = {"ttl_ms": 50_000, "idempotency_key": "extend"}
    first = await sdk(client.sandboxes.extend, sandbox.id, **options)
    await asyncio.sleep(0.05)
    again = await sdk(client.sandboxes.extend, sandbox.id, **options)
    assert again["expiresAt"] == first["expiresAt"]
    with fails("idempotency_key_reused", 409):
        await sdk(client.sandboxes.extend, sandbox.id, ttl_ms=1, idempotency_key="extend")
    fresh = await sdk(client.sandboxes.extend, sandbox.id, ttl_ms=50_000)
    assert fresh["expiresAt"] > first["expiresAt"]


async def test_keys_have_a_length(sdk, client, sandbox, fails):
    await sdk(client.commands.run, sandbox.id, "true", idempotency_key="k" * 255)
    for key in ("k" * 256, ""):
        with fails("invalid_request", 400):
            await sdk(client.commands.run, sandbox.id, "true", idempotency_key=key)


async def test_a_refused_request_leaves_its_key_free(sdk, client, fails):
    key = f"refused-{sdk.name}"
    with fails("invalid_request", 400):
        await sdk(client.sandboxes.create, template="cobol", idempotency_key=key)
    made = await sdk(client.sandboxes.create, template="base", idempotency_key=key)
    await sdk(client.sandboxes.kill, made.id)
