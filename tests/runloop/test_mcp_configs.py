"""MCP configurations, and the tools that devboxes may use through them."""

import hashlib
import json
import time

import pytest
from gateways import VALUE, calls, comes, follow, goes_on, program, reaching, shell
from runloop_api_client import APIStatusError, BadRequestError, NotFoundError
from sdk import VERSION
from server import KEY

pytestmark = pytest.mark.anyio

LIST = {"jsonrpc": "2.0", "id": 5, "method": "tools/list"}
EVENTS = {"x-form": "events"}


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def reached(tmp_path_factory):
    with reaching(tmp_path_factory.mktemp("mcp")) as server:
        yield server


@pytest.fixture
async def outer(sdk, reached):
    client = sdk.client(bearer_token=KEY, base_url=reached.base_url, timeout=60)
    yield client
    await sdk.close(client)


@pytest.fixture
async def secret(sdk, outer):
    name = f"SECRET_{time.time_ns()}"
    await sdk(outer.api.secrets.create, name=name, value=VALUE)
    return name


async def config(sdk, outer, *tools, name=None):
    name = name or f"tools-{time.time_ns()}"
    create = outer.api.mcp_configs.create
    return await sdk(create, name=name, endpoint="https://mcp.test/mcp", allowed_tools=list(tools))


async def made_with(sdk, outer, config, secret):
    """A devbox with its token in TOOLS, also where the SDK cannot name the variable."""
    spec = {"mcp_config": config.id, "secret": secret}
    if VERSION >= (3, 0):
        return await sdk(outer.devbox.create, mcp={"TOOLS": spec})
    devbox = await sdk(outer.devbox.create, mcp=[spec])
    token = (await shell(sdk, devbox, "echo $RL_MCP_TOKEN")).strip()
    await sdk(devbox.shutdown)
    assert token.startswith("gws_")
    return await sdk(outer.devbox.create, mcp=[spec])


async def talk(sdk, devbox, *lines):
    # Older SDKs have one variable for all.
    alias = "os.environ.setdefault('TOOLS', os.environ.get('RL_MCP_TOKEN', ''))\n"
    return await program(sdk, devbox, alias + "".join(f"tried(mcp, {line})\n" for line in lines))


def names(answer):
    return [tool["name"] for tool in answer["result"]["tools"]]


def in_events(text):
    [line] = [line for line in text.splitlines() if line.startswith("data: ")]
    return json.loads(line.removeprefix("data: "))


async def done(sdk, devbox):
    """The tools that the upstream was asked for, by any test so far."""
    gateway = "http://mcp.pinfold.internal"
    return (await calls(sdk, devbox, f"'/called', url='{gateway}'"))[0]


async def test_configurations_are_made_changed_listed_and_deleted(sdk, runloop, refused):
    api, name = runloop.api.mcp_configs, f"github-{time.time_ns()}"
    wanted = {"name": name, "endpoint": "https://mcp.example.com/mcp"}
    made = await sdk(api.create, **wanted, allowed_tools=["github.search_*"], description="d")
    assert made.id.startswith("mcp_") and made.allowed_tools == ["github.search_*"]
    assert made.to_dict()["auth_mechanism"] == {"type": "bearer"}
    assert (await sdk(api.retrieve, made.id)).to_dict() == made.to_dict()
    changed = await sdk(api.update, made.id, allowed_tools=["get_?", "*"])
    assert changed.allowed_tools == ["get_?", "*"] and changed.name == name
    other = await sdk(api.create, **wanted, allowed_tools=[])
    listed = await sdk(api.list, name=name)
    assert [one.id for one in listed.mcp_configs] == [other.id, made.id]
    assert not listed.has_more
    for wrong in (
        {**wanted, "allowed_tools": ["[a-z]"]},
        {**wanted, "allowed_tools": [""]},
        {**wanted, "endpoint": "http://mcp.example.com", "allowed_tools": []},
    ):
        with refused(BadRequestError, 400):
            await sdk(api.create, **wrong)
    for one in (made, other):
        assert (await sdk(api.delete, one.id)).id == one.id
        with refused(NotFoundError, 404):
            await sdk(api.retrieve, one.id)


@pytest.mark.skipif(VERSION < (1, 10), reason="this SDK has the raw calls alone")
async def test_configurations_are_objects_of_the_newer_sdk(sdk, runloop, refused):
    made = await sdk(
        runloop.mcp_config.create,
        name="of-the-sdk",
        endpoint="https://mcp.example.com",
        allowed_tools=["*"],
        auth_mechanism={"type": "header", "key": "x-api-key"},
        custom_headers=[{"name": "x-a", "value": "1"}],
    )
    info = await sdk(made.get_info)
    assert (info.auth_mechanism.type, info.auth_mechanism.key) == ("header", "x-api-key")
    assert info.custom_headers[0].value == "1"
    assert made.id in [one.id for one in await sdk(runloop.mcp_config.list)]
    await sdk(runloop.mcp_config.from_id(made.id).update, custom_headers=[])
    assert not (await sdk(made.get_info)).custom_headers
    assert (await sdk(made.delete)).id == made.id
    with refused(NotFoundError, 404):
        await sdk(made.get_info)


async def test_a_devbox_uses_the_tools_that_are_allowed_and_no_others(sdk, outer, secret):
    made = await config(sdk, outer, "get_*")
    devbox = await made_with(sdk, outer, made, secret)
    if VERSION >= (3, 0):
        [(variable, spec)] = (await sdk(devbox.get_info)).mcp_specs.items()
        assert (variable, spec.mcp_config_id) == ("TOOLS", made.id)
    first = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    got = await talk(
        sdk,
        devbox,
        f"{first}",
        f"{note}",
        f"{LIST}",
        f"{LIST}, {EVENTS}",
        "tool('get_one')",
        f"tool('get_two'), {EVENTS}",
        "tool('put_three')",
        f"tool('put_three', id='a'), {EVENTS}",
    )
    assert got[0][0] == 200 and got[0][2]["mcp-session-id"] == "s1"
    assert got[0][1]["result"]["serverInfo"]["name"] == "t"
    assert got[1][0] == 202
    assert names(got[2][1]) == ["get_one", "get_two"]
    assert got[3][2]["content-type"] == "text/event-stream"
    assert names(in_events(got[3][1])) == ["get_one", "get_two"]
    assert got[4][1]["result"]["content"][0]["text"] == digest(f"Bearer {VALUE}")
    assert in_events(got[5][1])["result"]["content"]
    for refusal, asked in ((got[6], 1), (got[7], "a")):
        assert refusal[0] == 200 and refusal[1]["id"] == asked
        assert refusal[1]["error"]["code"] == -32602
        assert "put_three" in refusal[1]["error"]["message"]
    # What an earlier answer comes back as, on the stream of the server's own words.
    replayed = """
os.environ.setdefault('TOOLS', os.environ.get('RL_MCP_TOKEN', ''))
tried(call, None, 'GET', headers={'accept': 'text/event-stream'}, var='TOOLS')
tried(call, None, 'DELETE', var='TOOLS')
tried(call, None, 'PUT', b'{}', var='TOOLS')
tried(call, '/../called', 'GET', var='TOOLS')
"""
    [stream, ended, put, elsewhere] = await program(sdk, devbox, replayed)
    assert names(in_events(stream[1])) == ["get_one", "get_two"]
    assert ended[1]["authorization"] == digest(f"Bearer {VALUE}")
    assert put[0] == 405 and elsewhere[0] == 404
    # A change is in force with the next call.
    await sdk(outer.api.mcp_configs.update, made.id, allowed_tools=["put_*"])
    got = await talk(sdk, devbox, f"{LIST}", "tool('put_three')", "tool('get_one')")
    assert names(got[0][1]) == ["put_three"]
    assert "result" in got[1][1] and got[2][1]["error"]["code"] == -32602
    await sdk(outer.api.mcp_configs.delete, made.id)
    [[status, said, _]] = await talk(sdk, devbox, f"{LIST}")
    assert (status, said["error"]["code"]) == (403, "gateway_gone")
    await sdk(devbox.shutdown)


async def test_a_stream_ends_when_its_tools_change(sdk, outer, secret):
    made = await config(sdk, outer, "get_*")
    devbox = await made_with(sdk, outer, made, secret)
    begin = """
token = os.environ.get('TOOLS') or os.environ['RL_MCP_TOKEN']
host = 'mcp.pinfold.internal'
head = ' HTTP/1.1\\r\\nhost: ' + host + '\\r\\nauthorization: Bearer ' + token + '\\r\\nx-form: held\\r\\n\\r\\n'
all(stream=('GET /mcp' + head, host))
"""
    await follow(sdk, devbox, begin)
    await comes(sdk, devbox, "grep -q beat /tmp/stream")
    await sdk(outer.api.mcp_configs.update, made.id, description="x")
    await goes_on(sdk, devbox, "stream")
    await sdk(outer.api.mcp_configs.update, made.id, allowed_tools=["get_one"])
    await comes(sdk, devbox, "test -e /tmp/stream.over")
    assert "get_two" in await shell(sdk, devbox, "cat /tmp/stream")
    await sdk(devbox.shutdown)
    await sdk(outer.api.mcp_configs.delete, made.id)


async def test_no_spelling_and_no_batch_gets_a_tool_past_the_gateway(sdk, outer, secret):
    name = f"get-{time.time_ns()}"
    made = await config(sdk, outer, "get_one", name=name)
    devbox = await made_with(sdk, outer, made, secret)
    witness = await sdk(
        outer.gateway_config.create,
        name=f"witness-{time.time_ns()}",
        endpoint="https://api.test",
        auth_mechanism={"type": "bearer"},
    )
    watching = {"API": {"gateway": witness.id, "secret": secret}}
    watcher = await sdk(outer.devbox.create, gateways=watching)
    before = (await calls(sdk, watcher, "'/called'"))[0][1]
    call = '"id":1,"jsonrpc":"2.0"'
    forged = [
        f'{{{call},"method":"tools\\/c\\u0061ll","params":{{"name":"put_three"}}}}',
        f'{{{call},"method":"tools/call","params":{{"name":"get_one","name":"put_three"}}}}',
        f'{{{call},"method":"tools/call","params":{{"name":"put_three","name":"get_one"}}}}',
        f'{{{call},"method":"ping","method":"tools/call","params":{{"name":"put_three"}}}}',
        f'{{{call},"method":"ping","Method":"tools/call","params":{{"name":"put_three"}}}}',
        f'{{{call},"method":"tools/call","params":{{"name":"get_one"}},"Params":{{"name":"put_three"}}}}',
        f'{{{call},"method":"TOOLS/CALL","params":{{"name":"put_three"}}}}',
        f'\\ufeff{{{call},"method":"tools/call","params":{{"name":"put_three"}}}}',
        "[" * 5000 + "]" * 5000,
        "",
    ]
    lines = [f"{text!r}.encode()" if "ufeff" not in text else f"'{text}'.encode()" for text in forged]
    utf16 = f"{forged[0]!r}.encode('utf-16')"
    batch = "[tool('get_one', 7), tool('put_three', 7), {'jsonrpc': '2.0', 'id': 8, 'method': 'ping'}]"
    got = await talk(
        sdk,
        devbox,
        *lines,
        utf16,
        "tool('put_three'), {'content-type': 'text/plain'}",
        "tool('put_three'), {'content-type': 'application/json; charset=utf-7'}",
        "tool('put_three'), {'content-encoding': 'gzip'}",
        "b'[' + b' ' * (9 << 20) + b']'",
        batch,
    )
    for text, refusal in zip([*forged, "utf-16"], got[:11], strict=True):
        assert "error" in refusal[1], (text, refusal)
    for refusal in got[11:14]:
        assert (refusal[0], refusal[1]["error"]["code"]) == (400, "gateway_request"), refusal
    assert got[14] == "large" or got[14][0] == 413 or "BrokenPipe" in got[14] or "Reset" in got[14]
    # All or nothing, and each request of it is answered.
    assert [(one["id"], "error" in one) for one in got[15][1]] == [(7, True), (7, True), (8, True)]
    good = "[tool('get_one', 1), {'jsonrpc': '2.0', 'id': 2, 'method': 'tools/list'}]"
    [[status, answers, _]] = await talk(sdk, devbox, good)
    assert status == 200 and names(answers[1]) == ["get_one"]
    after = (await calls(sdk, watcher, "'/called'"))[0][1]
    assert after[len(before) :] == ["get_one"], "nothing of the others arrived"
    # A token of one kind of gateway is none of the other's.
    token = (await shell(sdk, watcher, "echo $API")).strip()
    url = "http://mcp.pinfold.internal/mcp"
    rules = "import socket; socket.create_connection(('mcp.pinfold.internal', 80), 10)"
    result = await sdk(watcher.cmd.exec, command=f'python3 -c "{rules}"')
    assert result.exit_code != 0, "only the kind that it was made with is there"
    [[status, *_]] = await talk(sdk, devbox, f"{LIST}, token={token!r}, url={url!r}")
    assert status == 401
    for one in (devbox, watcher):
        await sdk(one.shutdown)
    await sdk(outer.api.mcp_configs.delete, made.id)
    await sdk(witness.delete)


@pytest.mark.skipif(VERSION < (3, 0), reason="this SDK has no tokens")
async def test_a_running_devbox_gets_a_token_for_tools(sdk, outer, secret, refused):
    made = await config(sdk, outer, "get_one")
    devbox = await sdk(outer.devbox.create)
    create = outer.api.devboxes.create_mcp_token
    token = await sdk(create, devbox.id, mcp_config=made.name, secret=secret)
    assert (token.devbox_id, token.mcp_config_id) == (devbox.id, made.id)
    assert token.allowed_tools == ["get_one"] and token.endpoint == made.endpoint
    given = f"token={token.token!r}, url={token.url!r}"
    got = await talk(sdk, devbox, f"{LIST}, {given}", f"tool('put_three'), {given}")
    assert names(got[0][1]) == ["get_one"] and "error" in got[1][1]
    with refused(NotFoundError, 404):
        await sdk(create, devbox.id, mcp_config="nothing", secret=secret)
    await sdk(devbox.shutdown)
    with pytest.raises(APIStatusError):
        await sdk(create, devbox.id, mcp_config=made.id, secret=secret)
    await sdk(outer.api.mcp_configs.delete, made.id)


@pytest.mark.skipif(VERSION >= (3, 0), reason="this SDK names a variable for each")
async def test_one_of_a_list_has_the_variables_of_older_sdks(sdk, outer, secret):
    made = await config(sdk, outer, "*")
    spec = {"mcp_config": made.id, "secret": secret}
    with pytest.raises(APIStatusError) as refused:
        await sdk(outer.api.devboxes.create, mcp=[spec, spec])
    assert refused.value.status_code == 501
    await sdk(outer.api.mcp_configs.delete, made.id)
