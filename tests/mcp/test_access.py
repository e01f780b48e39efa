"""Who may call: keys, sessions, projects, web pages; and how much."""

import json

import httpx
import pytest

from world import HTTP, Server, call, connected, refused, text_of

pytestmark = pytest.mark.anyio

VERSION = "2025-11-25"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": VERSION,
        "capabilities": {},
        "clientInfo": {"name": "by hand", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


def post(server, message, key=None, session=None, **headers) -> httpx.Response:
    """A message by hand, in the way of clients that have sessions."""
    sent = {"accept": "application/json, text/event-stream", **headers}
    if key is not None:
        sent["authorization"] = f"Bearer {key}"
    if session is not None:
        sent = {"mcp-session-id": session, "mcp-protocol-version": VERSION, **sent}
    body = {"content": message} if isinstance(message, bytes) else {"json": message}
    return HTTP.post(f"{server.url}/mcp", headers=sent, **body)


def answer_of(response: httpx.Response) -> dict:
    assert response.status_code == 200, response.text
    data = [line[5:] for line in response.text.splitlines() if line.startswith("data:")]
    return next(json.loads(line) for line in data if line.strip())


def begin(server, key=None) -> str:
    response = post(server, INITIALIZE, key or server.key)
    assert answer_of(response)["result"]["protocolVersion"] == VERSION
    session = response.headers["mcp-session-id"]
    assert post(server, INITIALIZED, key or server.key, session).status_code == 202
    return session


@pytest.mark.parametrize("way", ["http", "http-legacy"])
async def test_a_wrong_key_gets_nowhere(server, way):
    with pytest.raises(BaseException):
        async with connected(server, way, key="sk-wrong-0123456789-0123456789"):
            pass
    for key in (None, "sk-wrong-0123456789-0123456789"):
        response = post(server, INITIALIZE, key)
        assert response.status_code == 401
        error = response.json()["error"]
        assert error["data"]["code"] == "unauthenticated"
        assert error["data"]["request_id"] == response.headers["x-request-id"]


async def test_stdio_says_at_once_that_the_key_is_wrong(server):
    import os
    import subprocess

    environment = {**os.environ, "PINFOLD_URL": server.url, "PINFOLD_API_KEY": "sk-wrong-0123456789-012345"}
    done = subprocess.run(
        [server.binary, "mcp"], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode != 0 and done.stdout == ""
    assert "unauthenticated" in done.stderr or "key" in done.stderr
    assert "sk-wrong" not in done.stderr


async def test_a_session_is_of_the_key_that_began_it(server):
    session = begin(server)
    assert answer_of(post(server, LIST, server.key, session))["result"]["tools"]
    other = server.another_key()["secret"]
    unknown = post(server, LIST, other, "no-such-session")
    headers = {"authorization": f"Bearer {other}", "mcp-session-id": session}
    for response in (
        post(server, LIST, other, session),
        HTTP.delete(f"{server.url}/mcp", headers=headers),
        HTTP.get(f"{server.url}/mcp", headers={**headers, "accept": "text/event-stream"}),
    ):
        assert response.status_code == 404, "as if it did not exist"
        assert response.json()["error"]["message"] == unknown.json()["error"]["message"]
    assert answer_of(post(server, LIST, server.key, session))["result"]["tools"], "it lives on"
    headers["authorization"] = f"Bearer {server.key}"
    assert HTTP.delete(f"{server.url}/mcp", headers=headers).status_code == 204
    assert post(server, LIST, server.key, session).status_code == 404


async def test_a_key_of_a_session_that_is_revoked_ends_it(server):
    key = server.another_key()
    session = begin(server, key["secret"])
    assert server.native("DELETE", f"/v1/keys/{key['key']['id']}").status_code < 300
    assert post(server, LIST, key["secret"], session).status_code == 401


async def test_sessions_of_a_key_are_bounded_and_the_least_used_goes(server):
    key = server.another_key()["secret"]
    first, *rest = [begin(server, key) for _ in range(32)]
    assert post(server, LIST, key, first).status_code == 200
    newest = begin(server, key)
    assert post(server, LIST, key, rest[0]).status_code == 404
    for session in (first, rest[-1], newest):
        assert post(server, LIST, key, session).status_code == 200


async def test_tools_do_what_their_callers_key_may_do(server, way, sandbox):
    stranger = server.another_key(server.another_project())["secret"]
    async with connected(server, way, key=stranger) as client:
        for tool, arguments in {
            "get_sandbox": {},
            "destroy_sandbox": {},
            "run_command": {"command": "true"},
            "run_code": {"code": "1"},
            "read_file": {"path": "/etc/passwd"},
            "write_file": {"path": "/tmp/x", "content": ""},
            "expose_port": {"port": 80},
        }.items():
            await refused(client, tool, "sandbox_not_found", sandbox_id=sandbox, **arguments)
        assert (await call(client, "list_sandboxes"))["sandboxes"] == []
    async with connected(server, way) as client:
        assert (await call(client, "get_sandbox", sandbox_id=sandbox))["state"] == "running"


async def test_pages_of_others_are_refused(server):
    for origin in ("http://evil.example", "null", f"{server.url}1"):
        response = post(server, INITIALIZE, server.key, origin=origin)
        assert response.status_code == 403, origin
        assert response.json()["error"]["data"]["code"] == "permission_denied"
    # Rebinding: the page's own name leads here, so its requests are of its origin.
    name = f"evil.example:{server.port}"
    assert post(server, INITIALIZE, server.key, origin=f"http://{name}", host=name).status_code == 403
    assert post(server, INITIALIZE, server.key, origin=server.url).status_code == 200


async def test_requests_are_counted_and_carry_ids(server):
    response = post(server, INITIALIZE, server.key, **{"x-request-id": "req_mine"})
    assert response.headers["x-request-id"] == "req_mine"
    metrics = server.native("GET", "/metrics").text
    assert 'pinfold_http_requests_total{facade="mcp",method="POST",route="/mcp",status="200"}' in metrics


async def test_changes_are_audited_with_the_key_and_the_request(server):
    made = server.another_key()
    async with connected(server, key=made["secret"]) as client:
        box = await call(client, "create_sandbox", ttl_minutes=5)
        await call(client, "destroy_sandbox", sandbox_id=box["sandbox_id"])
    events = server.native("GET", "/v1/audit?limit=50").json()["items"]
    mine = [event for event in events if made["key"]["id"] in json.dumps(event)]
    assert any(box["sandbox_id"] in json.dumps(event) for event in mine), events[:3]


async def test_the_rate_limit_holds(tmp_path):
    server = Server(tmp_path, "--rate-limit", "1/h,20").start()
    try:
        key = server.another_key()["secret"]
        answers = [post(server, INITIALIZE, key) for _ in range(21)]
        assert [answer.status_code for answer in answers[:20]] == [200] * 20
        assert answers[20].status_code == 429
        assert int(answers[20].headers["retry-after"]) > 0
        assert answers[20].json()["error"]["data"]["code"] == "rate_limited"
        # A call counts once, whatever it asks of the API.
        key = server.another_key()["secret"]
        params = {"name": "list_images", "arguments": {}}
        message = {**LIST, "method": "tools/call", "params": params}
        session = begin(server, key)
        counted = [post(server, message, key, session) for _ in range(18)]
        assert [answer.status_code for answer in counted] == [200] * 18
        assert post(server, message, key, session).status_code == 429
    finally:
        server.stop()


async def test_a_server_that_comes_back_serves_its_sandboxes_to_new_sessions(tmp_path):
    server = Server(tmp_path).start()
    try:
        async with connected(server, "stdio") as client:
            box = (await call(client, "create_sandbox", ttl_minutes=5))["sandbox_id"]
            session = begin(server)
            await call(client, "write_file", sandbox_id=box, path="/tmp/kept", content="kept")
            server.kill()
            result = await client.call_tool("get_sandbox", {"sandbox_id": box})
            assert result.is_error and "pinfold serve" in text_of(result), "what to do is said"
            server.start()
            assert post(server, LIST, server.key, session).status_code == 404, "begin anew"
            read = await call(client, "read_file", sandbox_id=box, path="/tmp/kept")
            assert read["content"] == "kept", "who came by stdio goes on"
        async with connected(server, "http-legacy") as client:
            assert (await call(client, "get_sandbox", sandbox_id=box))["state"] == "running"
            # A session whose stream is open does not hold up the end.
            server.stop()
            log = server.log(1 << 20)
            assert "draining" in log and "cut after the time" not in log
    finally:
        server.stop()
