"""Secrets, and devboxes that have their values."""

import time

import httpx
import pytest
from runloop_api_client import BadRequestError, ConflictError, NotFoundError
from sdk import VERSION
from server import KEY

pytestmark = pytest.mark.anyio


async def test_secrets_are_kept_and_never_shown(sdk, runloop, server):
    api = runloop.api.secrets
    name, value = f"TOKEN_{time.time_ns()}", "a-value-of-the-tests"
    made = await sdk(api.create, name=name, value=value)
    assert made.name == name and made.id.startswith("sec_")
    if VERSION < (3, 0):
        with pytest.raises(ConflictError):
            await sdk(api.create, name=name, value="other")
    if VERSION >= (1, 12):
        assert (await sdk(api.retrieve, name)).id == made.id
    listed = await sdk(api.list, limit=1)
    assert listed.secrets[0].name == name
    changed = await sdk(api.update, name, value=value + "-2")
    assert changed.update_time_ms >= changed.create_time_ms and value not in repr(changed)
    devbox = await sdk(runloop.devbox.create, secrets={"DB_PASS": name})
    result = await sdk(devbox.cmd.exec, command="printf %s $DB_PASS")
    assert await sdk(result.stdout) == value + "-2"
    assert value not in repr(await sdk(devbox.get_info))
    # A named shell keeps no values of secrets, which would hide those of the next life.
    url = f"{server.base_url}/v1/devboxes/{devbox.id}/execute_sync"
    headers = {"authorization": f"Bearer {KEY}"}
    for line in ("export KEPT=1", "test $KEPT = 1 && ! grep -r a-value-of-the-tests ~/.runloop"):
        body = {"command": line, "shell_name": "s"}
        ran = httpx.post(url, json=body, headers=headers, timeout=60).json()
        assert ran["exit_status"] == 0, ran
    await sdk(devbox.shutdown)
    await sdk(api.delete, name)
    with pytest.raises(NotFoundError):
        await sdk(api.delete, name)
    with pytest.raises(NotFoundError):
        await sdk(runloop.api.devboxes.create, secrets={"DB_PASS": name})
    with pytest.raises(BadRequestError):
        await sdk(api.create, name=name, value="")
    assert value not in server.log()


async def test_a_key_of_several_lines_is_in_its_variable_as_it_is(sdk, runloop):
    name, key = f"PEM_{time.time_ns()}", "-----BEGIN KEY-----\nb c\n-----END KEY-----\n"
    await sdk(runloop.api.secrets.create, name=name, value=key)
    devbox = await sdk(runloop.devbox.create, secrets={"PEM": name})
    result = await sdk(devbox.cmd.exec, command='printf %s "$PEM"')
    assert await sdk(result.stdout) == key
    await sdk(devbox.shutdown)
    await sdk(runloop.api.secrets.delete, name)


@pytest.mark.skipif(VERSION < (3, 0), reason="this SDK knows names only")
async def test_secrets_are_found_by_id(sdk, runloop):
    name = f"BY_ID_{time.time_ns()}"
    made = await sdk(runloop.secret.create, name, "one")
    info = await sdk(runloop.api.secrets.retrieve, name)
    handle = runloop.secret.from_id(info.id)
    assert (await sdk(handle.get_info)).name == name
    await sdk(handle.update, "two")
    await sdk(handle.delete)
    with pytest.raises(NotFoundError):
        await sdk(handle.get_info)
    assert made is not None
