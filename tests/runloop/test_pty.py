"""Terminals over WebSocket: found by name, shown to one at a time, at hosts of their own."""

import asyncio
import time

import httpx
import pytest
import runloop_api_client
from runloop_api_client import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
)
from sdk import VERSION
from server import KEY, Server
from tunnels import HEADER, ask, bearer, host, open_socket, until
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(VERSION < (1, 21), reason="this SDK has none of it"),
]


class Pty:
    """The terminals of a devbox, as the SDK reaches them behind an operator's proxy."""

    def __init__(self, sdk, server, tunnel):
        self.sdk, self.server, self.tunnel = sdk, server, tunnel
        self.name = host(tunnel.tunnel_key, 13)
        kind = runloop_api_client.Runloop if sdk.name == "sync" else runloop_api_client.AsyncRunloop
        self.client = kind(
            base_url=server.url,
            bearer_token=tunnel.auth_token,
            default_headers={"host": self.name},
            max_retries=0,
        )

    async def connect(self, session, **options):
        return await self.sdk(self.client.pty.connect, session, **options)

    async def control(self, session, **options):
        return await self.sdk(self.client.pty.control, session, **options)

    def attach(self, view, **options):
        options.setdefault("additional_headers", bearer(self.tunnel.auth_token, "authorization"))
        return open_socket(self.server, self.name, view.connect_url, **options)


@pytest.fixture
async def pty(sdk, server, runloop, devbox):
    tunnel = await sdk(runloop.api.devboxes.create_pty_tunnel, devbox.id)
    pty = Pty(sdk, server, tunnel)
    yield pty
    await sdk(pty.client.close)


async def shown(ws, text: str, seconds: float = 60) -> str:
    """Everything up to that text; every frame of the server is binary."""

    def read() -> str:
        seen, deadline = b"", time.monotonic() + seconds
        while text.encode() not in seen:
            frame = ws.recv(timeout=max(deadline - time.monotonic(), 0.01))
            assert isinstance(frame, bytes)
            seen += frame
        return seen.decode(errors="replace")

    return await asyncio.to_thread(read)


async def closed(ws) -> int:
    def read() -> int:
        with pytest.raises(ConnectionClosed):
            while True:
                ws.recv(timeout=60)
        return ws.protocol.close_code

    return await asyncio.to_thread(read)


async def test_a_shell_is_typed_into_and_shown(pty, devbox):
    view = await pty.connect("main", cols=100, rows=40)
    assert view.created and not view.attached
    assert (view.session_name, view.cols, view.rows) == ("main", 100, 40)
    assert view.connect_url.startswith("/pty/main") and view.idle_ttl_seconds > 0
    with pty.attach(view) as ws:
        ws.send(b"stty size; whoami; pwd\r")
        assert "40 100" in await shown(ws, "/home/user\r\n")
        # Clients that send text mean typing too.
        ws.send("echo $((6*7))-$TERM\r")
        await shown(ws, "42-xterm-256color")
        assert (await pty.connect("main")).attached
        result = await pty.control("main", action="resize", cols=90, rows=30)
        assert result.session_name == "main" and result.status
        ws.send(b"stty size\r")
        await shown(ws, "30 90")
        ws.send(b"sleep 1000\r")
        await shown(ws, "sleep 1000")
        await asyncio.sleep(0.3)
        await pty.control("main", action="signal", signal="SIGINT")
        ws.send(b"echo in''terrupted\r")
        await shown(ws, "interrupted")
        ws.send(b"exit\r")
        assert await closed(ws) == 4000
    again = await pty.connect("main")
    assert again.created and (again.cols, again.rows) == (80, 24)


async def test_a_terminal_has_the_path_that_was_given(sdk, server, runloop):
    given = {"PATH": "/home/user:/usr/bin:/bin"}
    devbox = await sdk(runloop.devbox.create, environment_variables=given)
    tunnel = await sdk(runloop.api.devboxes.create_pty_tunnel, devbox.id)
    pty = Pty(sdk, server, tunnel)
    with pty.attach(await pty.connect("main")) as ws:
        ws.send(b"case $- in *i*) echo $PATH-$((6*7));; esac\r")
        seen = await shown(ws, "-42\r\n")
    assert "/home/user:/usr/bin:/bin:" in seen
    await sdk(pty.client.close)
    await sdk(devbox.shutdown)


async def test_a_shell_is_left_and_found_again(pty, sdk, devbox):
    view = await pty.connect("kept")
    with pty.attach(view) as ws:
        await shown(ws, "$ ")
        ws.send(b"mark=of-before; (sleep 1; echo la''ter; touch /tmp/done) &\r")
        await shown(ws, "of-before")
    await sdk(devbox.cmd.exec, command="until [ -e /tmp/done ]; do sleep 0.1; done")
    found = await pty.connect("kept")
    assert not found.created and not found.attached
    with pty.attach(found) as ws:
        # What was missed, and nothing twice.
        missed = await shown(ws, "later")
        assert "mark=of-before" not in missed
        ws.send(b"echo [$mark]\r")
        await shown(ws, "[of-before]")
        # One is attached at a time.
        with pytest.raises(InvalidStatus, match="409"):
            pty.attach(found)
    other = await pty.connect("other")
    assert other.created
    with pty.attach(other) as ws:
        ws.send(b"echo [$mark]\r")
        await shown(ws, "[]")


async def test_names_are_one_devboxes_and_race_for_one_shell(pty, sdk, runloop, server):
    views = await asyncio.gather(*(pty.connect("raced") for _ in range(8)))
    assert [view.created for view in views].count(True) == 1
    second = await sdk(runloop.devbox.create)
    tunnel = await sdk(runloop.api.devboxes.create_pty_tunnel, second.id)
    elsewhere = Pty(sdk, server, tunnel)
    assert (await elsewhere.connect("raced")).created
    await sdk(elsewhere.client.close)
    await sdk(second.shutdown)


async def test_a_terminal_is_closed_with_what_it_runs(pty, sdk, devbox):
    view = await pty.connect("closed")
    with pty.attach(view) as ws:
        ws.send(b"trap '' HUP TERM; sleep 4321\r")
        await shown(ws, "sleep 4321")
        await asyncio.sleep(0.3)
        assert (await pty.control("closed", action="close")).session_name == "closed"
        assert await closed(ws) == 4000
    left = await sdk(devbox.cmd.exec, command="grep -alx 'sleep.4321.' /proc/[0-9]*/cmdline | wc -l")
    assert (await sdk(left.stdout)).strip() == "0"
    assert (await pty.connect("closed")).created


async def test_what_is_wrong_is_refused(pty):
    for name in ("a b", "a.b", "ä", "x" * 257, "..%2Fx"):
        with pytest.raises((BadRequestError, NotFoundError)):
            await pty.connect(name)
    await pty.connect("here")
    for wrong in (
        {},
        {"action": "resize"},
        {"action": "resize", "cols": 0, "rows": 1},
        {"action": "resize", "cols": 1, "rows": 1001},
        {"action": "signal"},
        {"action": "signal", "signal": "SIGNOTHING"},
        {"action": "explode"},
    ):
        with pytest.raises(BadRequestError):
            await pty.control("here", **wrong)
    for action in ({"action": "close"}, {"action": "signal", "signal": "SIGINT"}):
        with pytest.raises(NotFoundError):
            await pty.control("nobodys", **action)
    plain = ask(pty.server, pty.name, "/pty/here/attach", headers=bearer(pty.tunnel.auth_token))
    assert plain.status_code == 426
    with pytest.raises(InvalidStatus, match="404"):
        open_socket(
            pty.server,
            pty.name,
            "/pty/nobodys/attach",
            additional_headers=bearer(pty.tunnel.auth_token),
        )


async def test_a_token_opens_what_it_was_made_for_and_nothing_else(
    pty, sdk, server, runloop, devbox
):
    key, token = pty.tunnel.tunnel_key, pty.tunnel.auth_token
    fresh = await sdk(runloop.api.devboxes.create_pty_tunnel, devbox.id)
    assert fresh.tunnel_key != key and fresh.auth_token != token
    assert (await sdk(devbox.get_info)).tunnel is None
    tunnel = await sdk(devbox.net.enable_tunnel, auth_mode="authenticated")
    await pty.connect("shell")
    path = "/pty/shell"
    for headers in (
        {},
        bearer("x.y"),
        bearer(token[:-1]),
        bearer(fresh.auth_token),
        bearer(tunnel.auth_token),
        bearer(KEY, "authorization"),
        {"authorization": token},
        {"authorization": f"Basic {token}"},
        {"x-pinfold-preview-token": token},
        {"cookie": f"token={token}"},
    ):
        for target in (path, f"{path}/attach"):
            assert ask(server, pty.name, target, headers=headers).status_code == 401, headers
        control = ask(
            server, pty.name, f"{path}/control", method="POST", json={"action": "close"},
            headers=headers,
        )
        assert control.status_code == 401, headers
    # The right places for the right token.
    assert ask(server, pty.name, path, headers=bearer(token)).status_code == 200
    assert ask(server, pty.name, f"{path}?token={token}").status_code == 200
    assert ask(server, host(fresh.tunnel_key, 13), path, headers=bearer(fresh.auth_token)).is_success
    # Of another port, another host, another route.
    for name in (host(key, 14), host(key, 8080), host(key, "013"), host(key[4:], 13)):
        assert ask(server, name, path, headers=bearer(token)).status_code == 404, name
    assert ask(server, pty.name, "/v1/devboxes", headers=bearer(token)).status_code == 404
    assert ask(server, "127.0.0.1", path, headers=bearer(token)).status_code == 404
    signed = f"{server.base_url}/v1/signed/{token}"
    assert httpx.get(signed).status_code == 403 and httpx.put(signed).status_code == 403
    assert httpx.get(f"{server.url}/v1/signed/{token}").status_code == 403
    api = f"{server.base_url}/v1/devboxes"
    assert httpx.get(api, headers=bearer(token, "authorization")).status_code == 401
    # A tunnel's own 13 is a port like any other, where nothing listens.
    of_tunnel = bearer(tunnel.auth_token)
    assert ask(server, host(tunnel.tunnel_key, 13), path, headers=of_tunnel).status_code == 502
    assert ask(server, host(tunnel.tunnel_key, 13), path, headers=bearer(token)).status_code == 401


async def test_clients_without_headers_show_the_token_as_a_subprotocol(pty):
    view = await pty.connect("browser")
    token = pty.tunnel.auth_token
    with pty.attach(view, additional_headers={}, subprotocols=["pty", token]) as ws:
        assert ws.subprotocol == token
        ws.send(b"echo hel''lo\r")
        await shown(ws, "hello")
    with pytest.raises(InvalidStatus, match="401"):
        pty.attach(view, additional_headers={}, subprotocols=["pty", "x.y"])


async def test_a_token_ends_with_its_key_and_its_devbox(sdk, server, runloop):
    devbox = await sdk(runloop.devbox.create)
    made = await sdk(runloop.api.apikeys.create, name="of-a-terminal")
    other = sdk.client(bearer_token=made.key_secret, base_url=server.base_url, timeout=60)
    tunnel = await sdk(other.api.devboxes.create_pty_tunnel, devbox.id)
    await sdk.close(other)
    pty = Pty(sdk, server, tunnel)
    view = await pty.connect("shell")
    with pty.attach(view) as ws:
        keys = httpx.get(f"{server.url}/v1/keys", headers=bearer(KEY, "authorization")).json()
        id = next(key["id"] for key in keys["items"] if key["name"] == "of-a-terminal")
        headers = bearer(KEY, "authorization")
        assert httpx.delete(f"{server.url}/v1/keys/{id}", headers=headers).is_success
        with pytest.raises(AuthenticationError):
            await pty.connect("shell")
        # Whoever is in is out soon.
        assert await closed(ws) == 1008
    await sdk(pty.client.close)
    mine = Pty(sdk, server, await sdk(runloop.api.devboxes.create_pty_tunnel, devbox.id))
    view = await mine.connect("shell")
    with mine.attach(view) as ws:
        await sdk(devbox.shutdown)
        assert await closed(ws) == 4000
    with pytest.raises(APIStatusError):
        await mine.connect("shell")
    with pytest.raises(BadRequestError):
        await sdk(runloop.api.devboxes.create_pty_tunnel, devbox.id)
    with pytest.raises(NotFoundError):
        await sdk(runloop.api.devboxes.create_pty_tunnel, "dbx_01ARZ3NDEKTSV4RRFFQ69G5FAV")
    await sdk(mine.client.close)


async def test_a_terminal_that_wrote_more_than_is_kept_says_so(pty, sdk):
    if sdk.name == "async":
        pytest.skip("the SDK has no part in it")
    view = await pty.connect("full")
    with pty.attach(view) as ws:
        ws.send(b"head -c 80000000 /dev/zero | tr '\\0' x\r")
        last = ""

        def drain() -> None:
            nonlocal last
            with pytest.raises(ConnectionClosed):
                while True:
                    last = ws.recv(timeout=60).decode()[-200:]

        await asyncio.to_thread(drain)
        assert "cannot be shown any further" in last and ws.protocol.close_code == 1011
    with pty.attach(view) as ws:
        await shown(ws, "cannot be shown any further")
        assert await closed(ws) == 1011
    await pty.control("full", action="close")
    assert (await pty.connect("full")).created


async def test_what_a_key_may_send_counts_at_terminals_too(sdk, tmp_path):
    server = Server(tmp_path / "limited", "--rate-limit", "60/h").start()
    client = sdk.client(bearer_token=KEY, base_url=server.base_url, max_retries=0)
    try:
        devbox = await sdk(client.devbox.create)
        tunnel = await sdk(client.api.devboxes.create_pty_tunnel, devbox.id)
        name = host(tunnel.tunnel_key, 13)
        headers = bearer(tunnel.auth_token)
        answers = [ask(server, name, "/pty/one", headers=headers) for _ in range(61)]
        assert answers[0].status_code == 200
        assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) > 0
        api = httpx.get(f"{server.url}/v1/sandboxes", headers=bearer(KEY, "authorization"))
        assert api.status_code == 429
    finally:
        await sdk.close(client)
        server.stop()
