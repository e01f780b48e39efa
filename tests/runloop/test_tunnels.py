"""Tunnels of single ports, as SDKs up to 1.12 have them, and of all ports."""

import httpx
import pytest
from runloop_api_client import BadRequestError, NotFoundError
from sdk import VERSION
from server import KEY, until
from tunnels import DOMAIN, HEADER, PORT, ask, bearer, host, open_socket, raw, seen, serve
from websockets.exceptions import ConnectionClosed

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


async def remove(sdk, server, devbox):
    """Without a port, which SDKs before 1.12.1 always send."""
    if VERSION >= (1, 12):
        assert await sdk(devbox.net.remove_tunnel) == {}
        return
    url = f"{server.base_url}/v1/devboxes/{devbox.id}/remove_tunnel"
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    assert httpx.post(url, headers=headers).json() == {}


async def test_every_port_is_reached_until_the_tunnel_is_removed(sdk, server, devbox):
    assert await sdk(devbox.get_tunnel) is None
    assert await sdk(devbox.get_tunnel_url, 8080) is None
    tunnel = await sdk(devbox.net.enable_tunnel)
    assert tunnel.auth_mode == "open" and not tunnel.auth_token
    if VERSION >= (3, 0):
        assert (tunnel.http_keep_alive, tunnel.wake_on_http) == (True, False)
    assert await sdk(devbox.get_tunnel) == tunnel
    url = await sdk(devbox.get_tunnel_url, 8080)
    domain = "tunnel.runloop.ai" if VERSION < (1, 13) else "tunnel.127.0.0.1"
    assert url == f"https://8080-{tunnel.tunnel_key}.{domain}"
    for port in (PORT, 65535):
        await serve(sdk, devbox, port)
        for name in (
            httpx.URL(url).host.replace("8080", str(port), 1),
            host(tunnel.tunnel_key, port),
            host(tunnel.tunnel_key, port) + ":443",
            host(tunnel.tunnel_key.upper(), port, DOMAIN.upper()) + ".",
        ):
            answer = ask(server, name, "/v1/devboxes?a=1")
            assert answer.json()["target"] == "/v1/devboxes?a=1", name
            assert ["host", name] in seen(answer)
    name = host(tunnel.tunnel_key)
    with open_socket(server, name, "/ws") as ws:
        ws.send("hello")
        assert ws.recv() == "hello"
        with httpx.stream("GET", f"{server.url}/events", headers={"host": name}) as events:
            lines = events.iter_lines()
            assert next(lines) == "data: first"
            await remove(sdk, server, devbox)
            # What was open ends with it.
            with pytest.raises((httpx.HTTPError, StopIteration)):
                while next(lines) != "data: second":
                    pass
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=30)
    assert ask(server, name).status_code == 404
    assert await sdk(devbox.get_tunnel) is None
    await remove(sdk, server, devbox)


async def test_a_token_opens_its_tunnel_and_the_application_never_sees_it(
    sdk, server, runloop, devbox
):
    tunnel = await sdk(devbox.net.enable_tunnel, auth_mode="authenticated")
    token = tunnel.auth_token
    assert tunnel.auth_mode == "authenticated" and token
    # It is shown each time.
    assert (await sdk(devbox.get_info)).tunnel.auth_token == token
    listed = await sdk(runloop.api.devboxes.list, limit=5)
    assert [one.tunnel for one in listed.devboxes if one.id == devbox.id] == [tunnel]
    await serve(sdk, devbox)
    name = host(tunnel.tunnel_key)
    other = await sdk(runloop.devbox.create, tunnel={"auth_mode": "authenticated"})
    foreign = (await sdk(other.get_tunnel)).auth_token
    for headers in (
        {},
        bearer("wrong"),
        {HEADER: "Bearer"},
        {HEADER: ""},
        bearer(token[:-1]),
        bearer(token + "0"),
        bearer(foreign),
        bearer(foreign, "authorization"),
        bearer(token, "x-tunnel-authorization"),
        bearer(token, "proxy-authorization"),
        {"authorization": f"Basic {token}"},
        {"cookie": f"token={token}; pinfold_preview={token}"},
        {"x-forwarded-authorization": f"Bearer {token}"},
    ):
        assert ask(server, name, headers=headers).status_code == 401, headers
    with pytest.raises(Exception, match="401"):
        open_socket(server, name, "/ws").close()
    own = {"authorization": "Bearer of-the-application", "cookie": "a=1"}
    for headers, left in (
        (bearer(token), None),
        (bearer(token, "authorization"), None),
        ({**own, **bearer(token)}, own),
        ({"authorization": f"Bearer {token}", HEADER: f"bearer {token}"}, None),
        ({**bearer(token), "x_runloop_tunnel_authorization": f"Bearer {token}"}, None),
        ({**bearer(token), "connection": f"keep-alive, {HEADER}"}, None),
        ({**bearer(token), "referer": f"http://x/?pinfold_token={token}"}, None),
    ):
        answer = ask(server, name, headers=headers)
        assert token not in answer.text, headers
        got = dict(seen(answer))
        assert {key: got[key] for key in left or {}} == (left or {})
        assert "authorization" not in got or left
    with open_socket(server, name, "/ws", additional_headers=bearer(token)) as ws:
        ws.send(b"\0\1")
        assert ws.recv() == b"\0\1"
    # Another one has another token, and the old one opens nothing.
    await remove(sdk, server, devbox)
    again = await sdk(devbox.net.enable_tunnel, auth_mode="authenticated")
    assert again.auth_token != token and again.tunnel_key != tunnel.tunnel_key
    assert ask(server, name, headers=bearer(token)).status_code == 404
    assert ask(server, host(again.tunnel_key), headers=bearer(token)).status_code == 401
    await sdk(other.shutdown)


async def test_a_devbox_has_one_tunnel_and_a_retry_finds_it(sdk, server, devbox, refused, runloop):
    tunnel = await sdk(devbox.net.enable_tunnel)
    with refused(BadRequestError, 400):
        await sdk(devbox.net.enable_tunnel)
    with refused(BadRequestError, 400):
        await sdk(devbox.net.enable_tunnel, auth_mode="authenticated")
    with refused(BadRequestError, 400):
        await sdk(devbox.net.enable_tunnel, auth_mode="public")
    retry = {"x-stainless-retry-count": "1"}
    assert await sdk(devbox.net.enable_tunnel, extra_headers=retry) == tunnel
    with refused(BadRequestError, 400):
        await sdk(devbox.net.enable_tunnel, auth_mode="authenticated", extra_headers=retry)
    with refused(NotFoundError, 404):
        await sdk(runloop.api.devboxes.enable_tunnel, "dbx_01ARZ3NDEKTSV4RRFFQ69G5FAV")


async def test_a_tunnel_comes_with_its_devbox_and_ends_with_it(sdk, server, runloop, refused):
    key = {"x-request-id": f"tunnel-{sdk.name}-{VERSION}"}
    asked = {"auth_mode": "authenticated", "http_keep_alive": False}
    made = await sdk(runloop.api.devboxes.create, tunnel=asked, extra_headers=key)
    assert made.tunnel.auth_mode == "authenticated" and made.tunnel.auth_token
    if VERSION >= (3, 0):
        assert (made.tunnel.http_keep_alive, made.tunnel.wake_on_http) == (False, False)
    again = await sdk(runloop.api.devboxes.create, tunnel=asked, extra_headers=key)
    assert (again.id, again.tunnel) == (made.id, made.tunnel)
    devbox = runloop.devbox.from_id(made.id)
    await sdk(devbox.await_running)
    await serve(sdk, devbox)
    name, token = host(made.tunnel.tunnel_key), bearer(made.tunnel.auth_token)
    seen(ask(server, name, headers=token))
    with open_socket(server, name, "/ws", additional_headers=token) as ws:
        await sdk(devbox.shutdown)
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=30)
    assert ask(server, name, headers=token).status_code == 410
    assert (await sdk(devbox.get_info)).tunnel is None
    with refused(BadRequestError, 400):
        await sdk(devbox.net.enable_tunnel)
    with refused(BadRequestError, 400):
        await sdk(runloop.api.devboxes.create, tunnel={"auth_mode": "everybody"})


async def test_a_request_wakes_a_suspended_devbox_where_it_may(sdk, server, runloop):
    launch = {"launch_commands": ["(sleep 1; exec python3 -m http.server 8080) >/dev/null 2>&1 &"]}
    asleep, awake = [
        await sdk(
            runloop.devbox.create,
            launch_parameters=launch,
            tunnel={"wake_on_http": wake, "auth_mode": mode},
        )
        for wake, mode in ((False, "open"), (True, "authenticated"))
    ]
    tunnel = await sdk(awake.get_tunnel)
    for devbox in (asleep, awake):
        await sdk(devbox.suspend)
        await sdk(devbox.await_suspended)
    closed = ask(server, host((await sdk(asleep.get_tunnel)).tunnel_key), "/")
    assert closed.status_code == 502
    assert (await sdk(asleep.get_info)).status == "suspended"
    # Whoever may not come in wakes nobody.
    assert ask(server, host(tunnel.tunnel_key), "/").status_code == 401
    assert ask(server, host(tunnel.tunnel_key), "/", headers=bearer("x")).status_code == 401
    assert (await sdk(awake.get_info)).status == "suspended"
    woken = ask(server, host(tunnel.tunnel_key), "/", headers=bearer(tunnel.auth_token))
    assert woken.status_code == 200, woken.text
    assert (await sdk(awake.get_info)).status == "running"
    for devbox in (asleep, awake):
        await sdk(devbox.shutdown)


async def test_hosts_that_are_nobodys_reach_nothing(sdk, server, devbox):
    tunnel = await sdk(devbox.net.enable_tunnel)
    key = tunnel.tunnel_key
    await serve(sdk, devbox)
    allowed = {"authorization": f"Bearer {KEY}"}
    for name in (
        host(key, 0),
        host(key, 65536),
        host(key, "080"),
        host(key, 99999999999999999999),
        host(key + "a"),
        host(key[:-1]),
        host("a" * len(key)),
        host("pty-" + key),
        host("pty-" + key, 13 + 1),
        host(""),
    ):
        answer = ask(server, name, "/v1/devboxes", headers=allowed)
        assert answer.status_code == 404 and "devboxes" not in answer.json(), name
    # Hosts that are no tunnel's are the API's, and never the application.
    for name in (
        host(key, ""),
        host(key, "-8080"),
        host(key, "+8080"),
        host(key, "80a"),
        f"[::1]:{server.port}",
        f"x.{host(key)}",
        f"8080-{key}.tunnels.example.org",
        f"8080-{key}.example.org",
    ):
        answer = raw(server, f"GET /x HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")
        assert answer.startswith("HTTP/1.1 404"), (name, answer)
    twice = f"GET /x HTTP/1.1\r\nHost: {host(key)}\r\nHost: {{}}\r\nConnection: close\r\n\r\n"
    for other in ("127.0.0.1", host(key)):
        answer = raw(server, twice.format(other))
        assert not answer.startswith("HTTP/1.1 200"), answer
    absolute = f"GET http://{host(key)}/y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert '"target": "/y"' in raw(server, absolute)
    user = f"GET /x HTTP/1.1\r\nHost: a@{host(key)}\r\nConnection: close\r\n\r\n"
    assert not raw(server, user).startswith("HTTP/1.1 200")
    # No address of a preview leads to it either.
    for path in (f"/p/{key}/x", f"/p/8080-{key}/x", f"/p/p-{key}/x"):
        assert httpx.get(f"{server.url}{path}").status_code == 404


@pytest.mark.skipif(VERSION < (3, 0), reason="this SDK makes no keys")
async def test_who_may_only_look_is_shown_no_tunnel(sdk, server, runloop, devbox):
    await sdk(devbox.net.enable_tunnel, auth_mode="authenticated")
    read = {"resource_type": "RESOURCE_TYPE_DEVBOXES", "access_level": "ACCESS_LEVEL_READ"}
    made = await sdk(runloop.api.restricted_keys.create, scopes=[read])
    headers = {"authorization": f"Bearer {made.key_secret}"}
    url = f"{server.base_url}/v1/devboxes/{devbox.id}"
    shown = httpx.get(url, headers=headers)
    assert shown.status_code == 200 and shown.json()["tunnel"] is None
    for action in ("enable_tunnel", "remove_tunnel", "create_pty_tunnel"):
        assert httpx.post(f"{url}/{action}", headers=headers).status_code == 403, action


async def test_keys_of_other_projects_open_nothing(sdk, server, devbox):
    tunnel = await sdk(devbox.net.enable_tunnel, auth_mode="authenticated")
    await serve(sdk, devbox)
    admin = {"authorization": f"Bearer {KEY}"}
    name = f"other-{sdk.name}-{VERSION[0]}"
    project = httpx.post(f"{server.url}/v1/projects", json={"name": name}, headers=admin).json()
    asked = {"name": name, "role": "member", "project_id": project["id"]}
    key = httpx.post(f"{server.url}/v1/keys", json=asked, headers=admin).json()["secret"]
    stranger = {"authorization": f"Bearer {key}"}
    answer = ask(server, host(tunnel.tunnel_key), headers=stranger)
    assert answer.status_code == 403 and key not in answer.text
    # Those of its own project may come in, and stay outside all the same.
    answer = ask(server, host(tunnel.tunnel_key), headers=admin)
    assert answer.status_code == 200 and KEY not in answer.text
    url = f"{server.base_url}/v1/devboxes/{devbox.id}"
    for action in ("enable_tunnel", "remove_tunnel", "create_pty_tunnel"):
        refused = httpx.post(f"{url}/{action}", headers=stranger)
        assert refused.status_code == 404, action
    assert await sdk(devbox.get_tunnel) == tunnel


async def test_other_surfaces_do_not_list_it(sdk, server, devbox):
    await sdk(devbox.net.enable_tunnel)
    sandbox = devbox.id.replace("dbx_", "sbx_")
    headers = {"authorization": f"Bearer {KEY}"}
    listed = httpx.get(f"{server.url}/v1/sandboxes/{sandbox}/previews", headers=headers)
    assert listed.status_code == 200 and listed.json()["items"] == []
