"""What no well-meaning client sends."""

import asyncio
import json
import os

import anyio
import pytest
from mcp import MCPError

from test_access import INITIALIZE, LIST, answer_of, begin, post
from world import HTTP, call, connected, refused

pytestmark = pytest.mark.anyio


async def test_unknown_tools_and_wrong_arguments_are_refused_in_words(server, way, sandbox):
    async with connected(server, way) as client:
        with pytest.raises(MCPError, match="no_such_tool"):
            await client.call_tool("no_such_tool", {})
        for tool, arguments in [
            ("get_sandbox", {}),
            ("get_sandbox", {"sandbox_id": 5}),
            ("get_sandbox", {"sandbox_id": sandbox, "extra": 1}),
            ("run_command", {"sandbox_id": sandbox, "command": "true", "timeout_seconds": 0}),
            ("run_command", {"sandbox_id": sandbox, "command": "true", "timeout_seconds": -1}),
            ("run_command", {"sandbox_id": sandbox, "command": "true", "timeout_seconds": 1e9}),
            ("run_command", {"sandbox_id": sandbox, "command": "true", "timeout_seconds": 10**18}),
            ("run_command", {"sandbox_id": sandbox, "command": "a\0b"}),
            ("read_file", {"sandbox_id": sandbox, "path": "/x", "length": 1 << 40}),
            ("read_file", {"sandbox_id": sandbox, "path": ""}),
            ("write_file", {"sandbox_id": sandbox, "path": "/x", "content": "?", "encoding": "base64"}),
            ("read_output", {"command_id": "cmd_1", "position": "1+2+3"}),
            ("expose_port", {"sandbox_id": sandbox, "port": 0}),
            ("expose_port", {"sandbox_id": sandbox, "port": 70000}),
            ("extend_sandbox", {"sandbox_id": sandbox, "ttl_minutes": 2**63}),
            ("create_sandbox", {"ttl_minutes": 0}),
            ("create_sandbox", {"memory_mib": 1}),
        ]:  # fmt: skip
            try:
                words = await refused(client, tool, "invalid_argument", **arguments)
            except AssertionError as wrong:
                raise AssertionError(f"{tool} {arguments}") from wrong
            assert words
        await refused(client, "get_sandbox", "sandbox_not_found", sandbox_id="../../etc")
        await refused(client, "read_output", "command_not_found", command_id="cmd_1")
        await refused(client, "read_file", "file_not_found", sandbox_id=sandbox, path="/none")
        await refused(client, "read_file", "not_a_file", sandbox_id=sandbox, path="/tmp")
        await refused(client, "create_sandbox", "image_not_found", image="no-such-image-here")


async def test_no_path_leads_out_of_the_sandbox(server, sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    async with connected(server) as client:
        where = {"sandbox_id": sandbox}
        for path in (str(secret), "../" * 40 + str(secret).lstrip("/"), f"/proc/1/root{secret}"):
            result = await client.call_tool("read_file", {**where, "path": path})
            assert result.is_error, path
        await call(client, "run_command", **where, command=f"ln -s {tmp_path} /tmp/link")
        await call(client, "write_file", **where, path="/tmp/link/secret", content="changed")
    assert secret.read_text() == "of the host"


async def test_large_arguments_are_refused_and_the_connection_goes_on(server, way, sandbox):
    async with connected(server, way) as client:
        where = {"sandbox_id": sandbox}
        await call(client, "write_file", **where, path="/tmp/most", content="x" * (2 << 20))
        await refused(
            client, "write_file", "body_too_large", **where, path="/tmp/more", content="x" * (2 << 20) + "x"
        )
        code = "#" * (256 << 10) + "#"
        result = await client.call_tool("run_code", {**where, "code": code})
        assert result.is_error
        await call(client, "get_sandbox", **where)
    message = {**LIST, "params": {"cursor": "x" * (5 << 20)}}
    assert post(server, message, server.key, begin(server)).status_code == 413


async def test_output_that_is_no_text_or_endless_does_no_harm(server, way, sandbox):
    async with connected(server, way) as client:
        where = {"sandbox_id": sandbox}
        ran = await call(client, "run_command", **where, command=r"printf 'a\377\000b'")
        assert ran["stdout"] == "a\ufffd\x00b"

        told = []

        async def on_progress(progress, total, message):
            told.append(len(message.encode()))

        ran = await call(
            client, "run_command", on_progress, **where, command="head -c 3000000 /dev/zero | tr '\\0' y"
        )
        assert ran["truncated"] and len(ran["stdout"]) < 70_000 and ran["stderr"] == ""
        assert sum(told) < (1 << 20) + 10_000 and max(told) <= 8 << 10
        # Beginnings of characters that do not go on.
        with anyio.fail_after(60):
            ran = await call(client, "run_command", on_progress, **where, command=r"printf '\342\342'")
        assert ran["stdout"] == "\ufffd\ufffd"
        value = await call(client, "run_code", **where, code="'z' * 10_000_000")
        assert len(json.dumps(value)) < 100_000


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"jsonrpc":"2.0"}', b"[" * 100_000,
     b'{"jsonrpc":"2.0","id":1,"method":"no/such"}', b'{"jsonrpc":"1.0","id":{},"method":5}'],
)  # fmt: skip
async def test_what_is_no_message_is_refused(server, body):
    response = post(server, body, server.key, **{"content-type": "application/json"})
    assert 400 <= response.status_code < 500, response.text
    assert post(server, INITIALIZE, server.key).status_code == 200


async def test_requests_of_the_wrong_form_are_refused(server):
    def status(method, **headers):
        headers = {"authorization": f"Bearer {server.key}", **headers}
        return HTTP.request(method, f"{server.url}/mcp", headers=headers, content=b"{}").status_code

    assert status("POST") in (406, 415)
    assert status("POST", accept="text/html", **{"content-type": "application/json"}) == 406
    assert status("PUT") == 405
    assert status("GET", accept="text/event-stream") in (400, 405)
    assert status("DELETE", **{"mcp-session-id": "x" * 10_000}) == 404
    response = post(server, LIST, server.key)
    assert 400 <= response.status_code < 500, "no session was begun"
    response = post(server, LIST, server.key, begin(server), **{"mcp-protocol-version": "1999-01-01"})
    assert response.status_code == 400


async def test_stdio_outlives_lines_that_are_no_messages(server):
    environment = {**os.environ, "PINFOLD_URL": server.url, "PINFOLD_API_KEY": server.key}
    process = await asyncio.create_subprocess_exec(
        server.binary, "mcp", env=environment, limit=64 << 20,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        lines = [
            json.dumps(INITIALIZE).encode(),
            json.dumps(initialized).encode(),
            b"not json",
            b"\xff\xfe\x00",
            b"x" * (5 << 20),
            b"{}",
            json.dumps(LIST).encode(),
        ]
        process.stdin.write(b"\n".join(lines) + b"\n")
        await process.stdin.drain()
        while True:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            assert line, "it ended"
            message = json.loads(line)
            if message.get("id") == 2:
                break
        assert message["result"]["tools"]
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        if process.returncode is None:
            process.kill()


async def test_no_answer_and_no_log_holds_a_key(server, sandbox):
    response = post(server, INITIALIZE, server.key)
    assert server.key not in response.text and server.key not in str(response.headers)
    answer_of(response)
    assert server.key not in server.log(1 << 30)
