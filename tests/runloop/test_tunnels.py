"""Tunnels of single ports, as SDKs up to 1.12 have them."""

import httpx
import pytest
from sdk import VERSION
from server import KEY, until

pytestmark = pytest.mark.anyio

SERVE = "cd /tmp && echo through > page && python3 -m http.server 8080 --bind 0.0.0.0"


async def test_a_port_is_reached_until_its_tunnel_is_removed(sdk, server, devbox):
    await sdk(devbox.cmd.exec_async, command=SERVE)
    if VERSION < (1, 12):
        tunnel = await sdk(devbox.net.create_tunnel, port=8080)
        assert (tunnel.devbox_id, tunnel.port) == (devbox.id, 8080)
        url = tunnel.url
    else:
        headers = {"authorization": f"Bearer {KEY}"}
        create = f"{server.base_url}/v1/devboxes/{devbox.id}/create_tunnel"
        url = httpx.post(create, json={"port": 8080}, headers=headers).json()["url"]
    page = url.rstrip("/") + "/page"
    until(lambda: httpx.get(page).status_code == 200, "the port is reached")
    assert httpx.get(page).text == "through\n"
    if VERSION < (1, 12):
        assert await sdk(devbox.net.remove_tunnel, port=8080) is not None
    else:
        remove = f"{server.base_url}/v1/devboxes/{devbox.id}/remove_tunnel"
        assert httpx.post(remove, json={"port": 8080}, headers=headers).json() == {}
    assert httpx.get(page).status_code in (404, 410)
