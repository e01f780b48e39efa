"""What a devbox used: over suspensions, over a server that dies, and after its end."""

import asyncio
import time

import pytest
from runloop_api_client import NotFoundError
from sdk import VERSION
from server import KEY, Server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(VERSION < (1, 7), reason="this SDK has none of it"),
]


async def usage_when(sdk, client, devbox_id, holds):
    """The usage as soon as something holds of it."""
    deadline = time.monotonic() + 60
    while True:
        used = await sdk(client.api.devboxes.retrieve_resource_usage, devbox_id)
        if holds(used):
            return used
        assert time.monotonic() < deadline, used
        await asyncio.sleep(0.2)


async def test_time_running_is_told_apart_from_time_there(sdk, tmp_path):
    server = Server(tmp_path).start()
    client = sdk.client(bearer_token=KEY, base_url=server.base_url, timeout=60)
    try:
        sizes = {"resource_size_request": "CUSTOM_SIZE", "custom_cpu_cores": 2,
                 "custom_gb_memory": 4, "custom_disk_size": 2}
        devbox = await sdk(client.devbox.create, launch_parameters=sizes)
        used = await usage_when(sdk, client, devbox.id, lambda u: u.total_active_seconds >= 2)
        info = await sdk(devbox.get_info)
        assert (used.id, used.status, used.end_time_ms) == (devbox.id, "running", None)
        assert used.start_time_ms == info.create_time_ms
        assert used.total_elapsed_seconds >= used.total_active_seconds
        assert used.vcpu_seconds // 2 == used.total_active_seconds
        assert used.memory_gb_seconds // 4 == used.total_active_seconds
        assert used.disk_gb_seconds // 2 == used.total_elapsed_seconds
        await sdk(devbox.suspend)
        slept = await usage_when(sdk, client, devbox.id, lambda u: u.status == "suspended")
        later = slept.total_elapsed_seconds + 2
        rest = await usage_when(
            sdk, client, devbox.id, lambda u: u.total_elapsed_seconds >= later
        )
        assert rest.total_active_seconds == slept.total_active_seconds
        await sdk(devbox.resume)
        wanted = rest.total_active_seconds + 2
        again = await usage_when(
            sdk, client, devbox.id, lambda u: u.total_active_seconds >= wanted
        )
        server.kill()
        server.start()
        # What ran meanwhile counts as well.
        after = await usage_when(
            sdk, client, devbox.id, lambda u: u.total_active_seconds > again.total_active_seconds
        )
        gone = await sdk(devbox.shutdown)
        ended = await sdk(client.api.devboxes.retrieve_resource_usage, devbox.id)
        assert (ended.status, ended.end_time_ms) == ("shutdown", gone.end_time_ms)
        assert ended.total_active_seconds >= after.total_active_seconds
        assert ended.total_elapsed_seconds == (ended.end_time_ms - ended.start_time_ms) // 1000
    finally:
        await sdk.close(client)
        server.stop()


async def test_usage_of_nothing_is_not_found(sdk, runloop):
    with pytest.raises(NotFoundError):
        await sdk(runloop.api.devboxes.retrieve_resource_usage, "dbx_nothing")
