"""Gateway configurations, and the devboxes that call through them without the secret."""

import base64
import hashlib
import time

import pytest
from gateways import VALUE, calls, comes, follow, goes_on, program, reaching, shell
from runloop_api_client import APIStatusError, BadRequestError, NotFoundError
from sdk import VERSION
from server import KEY

pytestmark = pytest.mark.anyio
newer = pytest.mark.skipif(VERSION < (3, 0), reason="this SDK knows neither")

BEARER = {"type": "bearer"}


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def reached(tmp_path_factory):
    with reaching(tmp_path_factory.mktemp("gateways")) as server:
        yield server


@pytest.fixture
async def outer(sdk, reached):
    client = sdk.client(bearer_token=KEY, base_url=reached.base_url, timeout=60)
    yield client
    await sdk.close(client)


@pytest.fixture
async def secret(sdk, outer):
    """Its name, with VALUE as its value."""
    name = f"SECRET_{time.time_ns()}"
    await sdk(outer.api.secrets.create, name=name, value=VALUE)
    return name


async def gateway(sdk, outer, endpoint="https://api.test/v1", **more):
    more = {"auth_mechanism": BEARER, **more}
    name = f"gateway-{time.time_ns()}"
    return await sdk(outer.gateway_config.create, name=name, endpoint=endpoint, **more)


async def made_with(sdk, outer, config, secret, **more):
    wanted = {"API": {"gateway": config.id, "secret": secret}}
    return await sdk(outer.devbox.create, gateways=wanted, **more)


async def test_configurations_are_made_changed_listed_and_deleted(sdk, runloop, refused):
    name = f"config-{time.time_ns()}"
    wanted = {"name": name, "endpoint": "https://api.example.com/v1"}
    header = {"type": "header", "key": "X-Api-Key"}
    made = await sdk(
        runloop.gateway_config.create, **wanted, auth_mechanism=header, description="some API"
    )
    info = await sdk(made.get_info)
    assert info.id == made.id and info.id.startswith("gwc_")
    assert (info.name, info.endpoint) == (name, wanted["endpoint"])
    assert (info.auth_mechanism.type, info.auth_mechanism.key) == ("header", "X-Api-Key")
    assert info.description == "some API" and info.create_time_ms > 0
    changed = await sdk(made.update, endpoint="https://api.example.org", auth_mechanism=BEARER)
    assert (changed.name, changed.endpoint) == (name, "https://api.example.org")
    assert (changed.auth_mechanism.type, changed.auth_mechanism.key) == ("bearer", None)
    assert (await sdk(made.get_info)).to_dict() == changed.to_dict()
    # A name is a label.
    other = await sdk(runloop.gateway_config.create, **wanted, auth_mechanism=BEARER)
    listed = await sdk(runloop.gateway_config.list, name=name[2:])
    assert [one.id for one in listed] == [other.id, made.id]
    page = await sdk(runloop.api.gateway_configs.list, name=name, limit=1)
    everything = page.iter_pages()
    pages = [one async for one in everything] if sdk.name == "async" else list(everything)
    assert [one.id for each in pages for one in each.gateway_configs] == [other.id, made.id]
    from_id = runloop.gateway_config.from_id(made.id)
    assert (await sdk(from_id.get_info)).name == name
    # What is of the other kind is not here.
    with refused(NotFoundError, 404):
        await sdk(runloop.api.mcp_configs.retrieve, made.id.replace("gwc_", "mcp_"))
    for one in (made, other):
        gone = await sdk(one.delete)
        assert gone.id == one.id
        with refused(NotFoundError, 404):
            await sdk(one.get_info)
        with refused(NotFoundError, 404):
            await sdk(one.update, description="x")


async def test_configurations_that_would_lead_astray_are_refused(sdk, runloop, refused):
    good = {"name": "n", "endpoint": "https://a.example", "auth_mechanism": BEARER}
    bad = [
        {"name": ""},
        {"endpoint": "http://a.example"},
        {"endpoint": "https://169.254.169.254/"},
        {"endpoint": "https://user:pass@a.example"},
        {"endpoint": "https://a.example/../b"},
        {"auth_mechanism": {"type": "header"}},
        {"auth_mechanism": {"type": "header", "key": "Host"}},
        {"auth_mechanism": {"type": "header", "key": "x\r\ny"}},
        {"auth_mechanism": {"type": "bearer", "key": "x"}},
        {"auth_mechanism": {"type": "digest"}},
    ]
    if VERSION >= (3, 0):
        bad += [
            {"custom_headers": [{"name": "x-a", "value": "1\r\nhost: b.example"}]},
            {"custom_headers": [{"name": "transfer-encoding", "value": "chunked"}]},
            {"custom_headers": [{"name": "x-a", "value": "1", "secret": "s"}]},
            {"custom_headers": [{"name": "x-a"}]},
            {"custom_headers": [{"name": f"x-{n}", "value": "1"} for n in range(9)]},
        ]
    for wrong in bad:
        with refused(BadRequestError, 400):
            await sdk(runloop.api.gateway_configs.create, **{**good, **wrong})


async def test_a_devbox_calls_with_a_token_and_the_secret_is_nowhere_inside(
    sdk, outer, secret, refused
):
    config = await gateway(sdk, outer)
    devbox = await made_with(sdk, outer, config, secret)
    view = await sdk(devbox.get_info)
    [(prefix, spec)] = view.gateway_specs.items()
    known = {one.name: one.id for one in (await sdk(outer.api.secrets.list, limit=1000)).secrets}
    assert (prefix, spec.gateway_config_id) == ("API", config.id)
    assert spec.secret_id == known[secret]
    env = await shell(sdk, devbox, "echo $API_URL; echo $API")
    url, token = env.split()
    assert url.startswith("http://") and token.startswith("gws_")
    [plain, posted, keyed] = await calls(
        sdk,
        devbox,
        "'/x/y?a=1%2F2&b'",
        "'/p', 'PATCH', b'body', {'x-own': '1', 'cookie': 'c'}",
        "'/k', name='x-api-key'",
    )
    status, seen, headers = plain
    assert status == 200 and headers["x-kept"] == "yes", plain
    assert (seen["method"], seen["path"]) == ("GET", "/v1/x/y?a=1%2F2&b")
    assert seen["headers"]["authorization"] == digest(f"Bearer {VALUE}")
    assert seen["headers"]["host"] == digest("api.test")
    assert digest(token) not in str(plain) and digest(f"Bearer {token}") not in str(plain)
    assert posted[1]["method"] == "PATCH" and posted[1]["sha256"] == digest("body")
    assert posted[1]["headers"]["x-own"] == digest("1")
    # Where programs put their API keys.
    assert keyed[1]["headers"]["authorization"] == digest(f"Bearer {VALUE}")
    assert "x-api-key" not in keyed[1]["headers"]
    looked = await shell(
        sdk,
        devbox,
        "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; "
        f"grep -rlF {VALUE[:10]} /etc /home /tmp /var /run 2>/dev/null || true",
    )
    assert VALUE not in looked and "API=gws_" in looked
    assert VALUE not in str((await sdk(devbox.get_info)).to_dict())
    # A status and a method of the API's own.
    [teapot, options] = await calls(sdk, devbox, "'/teapot'", "'/o', 'OPTIONS'")
    assert teapot[0] == 418 and options[1]["method"] == "OPTIONS"
    # Names of the outside are no concern of a gateway.
    reach = "import socket; socket.create_connection(('api.test', 443), 10)"
    result = await sdk(devbox.cmd.exec, command=f'python3 -c "{reach}"')
    assert result.exit_code != 0
    await sdk(devbox.shutdown)
    await sdk(config.delete)


async def test_changes_reach_running_devboxes_and_ends_are_told(sdk, outer, secret):
    config = await gateway(sdk, outer)
    devbox = await made_with(sdk, outer, config, secret)
    header = {"type": "header", "key": "X-Api-Key"}
    await sdk(config.update, auth_mechanism=header, endpoint="https://api.test/v2/")
    [[status, seen, _]] = await calls(sdk, devbox, "'/x'")
    assert status == 200 and seen["path"] == "/v2/x"
    assert seen["headers"]["x-api-key"] == digest(VALUE) and "authorization" not in seen["headers"]
    if VERSION >= (3, 0):
        await sdk(outer.api.secrets.create, name=f"{secret}_2", value="user:pass")
        basic = await sdk(
            config.update,
            auth_mechanism={"type": "basic"},
            custom_headers=[
                {"name": "X-Text", "value": "a b"},
                {"name": "X-Own", "secret": f"{secret}_2"},
            ],
        )
        assert basic.custom_headers[1].secret.startswith("sec_")
        [[_, seen, _]] = await calls(sdk, devbox, "'/x', headers={'x-text': 'forged'}")
        assert seen["headers"]["x-text"] == digest("a b")
        assert seen["headers"]["x-own"] == digest("user:pass")
        # What `Connection` names is not taken out of what the gateway puts in.
        forged = "headers={'connection': 'x-text, authorization, x-own'}"
        [[_, seen, _]] = await calls(sdk, devbox, f"'/x', {forged}")
        assert {"x-text", "x-own", "authorization"} <= set(seen["headers"])
        await sdk(config.update, custom_headers=[])
    await sdk(config.update, auth_mechanism=BEARER)
    await sdk(outer.api.secrets.update, secret, value=VALUE + "2")
    [[_, seen, _]] = await calls(sdk, devbox, "'/x'")
    assert seen["headers"]["authorization"] == digest(f"Bearer {VALUE}2")
    await sdk(outer.api.secrets.delete, secret)
    [[status, said, _]] = await calls(sdk, devbox, "'/x'")
    assert (status, said["error"]["code"]) == (403, "gateway_secret")
    await sdk(config.delete)
    [[status, said, _]] = await calls(sdk, devbox, "'/x'")
    assert (status, said["error"]["code"]) == (403, "gateway_gone")
    await sdk(devbox.shutdown)


async def test_streams_are_passed_as_they_come_and_bodies_have_no_bound(sdk, outer, secret):
    config = await gateway(sdk, outer)
    devbox = await made_with(sdk, outer, config, secret)
    stream = """
url = urllib.parse.urlsplit(os.environ['API_URL'])
token = {'authorization': 'Bearer ' + os.environ['API']}
events = http.client.HTTPConnection(url.hostname, 80, timeout=60)
events.request('GET', '/events', headers=token)
answer = events.getresponse()
first = answer.readline()
call('/go', 'POST')
print(json.dumps([first.decode(), answer.read().decode()]))
up = http.client.HTTPConnection(url.hostname, 80, timeout=60)
up.request('PUT', '/up', (bytes(1 << 20) for _ in range(48)), token, encode_chunked=True)
print(json.dumps(json.loads(up.getresponse().read())))
up.request('GET', '/big', headers=token)
print(json.dumps(len(up.getresponse().read())))
"""
    [events, sent, received] = await program(sdk, devbox, stream)
    assert events == ["data: one\n", "\ndata: two\n\n"]
    assert sent["size"] == 48 << 20 and received == 64 << 20
    await sdk(devbox.shutdown)
    await sdk(config.delete)


async def test_calls_under_way_end_with_what_they_stand_on(sdk, outer, secret):
    config = await gateway(sdk, outer)
    devbox = await made_with(sdk, outer, config, secret)
    begin = """
head = ' HTTP/1.1\\r\\nhost: gateway.pinfold.internal\\r\\nauthorization: Bearer ' + os.environ['API'] + '\\r\\n'
upgrade = 'connection: upgrade\\r\\nupgrade: beats\\r\\n'
slow = 'content-length: 5\\r\\n'
all(
    events=('GET /held' + head + '\\r\\n',),
    upgraded=('GET /upgraded' + head + upgrade + '\\r\\n',),
    # It waits for the rest of the body.
    sending=('POST /up' + head + slow + '\\r\\nbod',),
)
"""

    async def ended(*names):
        for name in names:
            await comes(sdk, devbox, f"test -e /tmp/{name}.over")

    outside = await calls(sdk, devbox, "'/ended'")
    before = len(outside[0][1])
    for change in ("endpoint", "secret", "no secret", "delete"):
        await shell(sdk, devbox, "rm -f /tmp/events* /tmp/upgraded* /tmp/sending*")
        await follow(sdk, devbox, begin)
        await comes(sdk, devbox, "test -s /tmp/events && grep -q 101 /tmp/upgraded")
        # What changes nothing about calls ends none.
        await sdk(config.update, description=change)
        await goes_on(sdk, devbox, "events", "upgraded")
        assert await shell(sdk, devbox, "cat /tmp/sending") == ""
        if change == "endpoint":
            await sdk(config.update, endpoint="https://api.test/v2")
        elif change == "secret":
            await sdk(outer.api.secrets.update, secret, value=VALUE + "2")
        elif change == "no secret":
            await sdk(outer.api.secrets.delete, secret)
        else:
            await sdk(config.delete)
        await ended("events", "upgraded", "sending")
        # It must not look like all of it.
        tail = await shell(sdk, devbox, "tail -c 5 /tmp/events")
        assert tail != "0\r\n\r\n"
        said = await shell(sdk, devbox, "cat /tmp/sending")
        assert "403 Forbidden" in said and "gateway_changed" in said
        if change == "no secret":
            await sdk(outer.api.secrets.create, name=secret, value=VALUE)
        if change == "delete":
            break
        # The upstream has lost them too.
        for _ in range(100):
            [[_, gone, _]] = await calls(sdk, devbox, "'/ended'")
            if len(gone) >= before + 2:
                break
        assert sorted(one[-5:] for one in gone[before:]) == ["/held", "raded"]
        before = len(gone)
    await sdk(devbox.shutdown)


async def test_a_token_is_good_in_its_own_devbox_and_nowhere_else(sdk, outer, secret):
    config = await gateway(sdk, outer)
    one = await made_with(sdk, outer, config, secret)
    two = await made_with(sdk, outer, config, secret)
    first = (await shell(sdk, one, "echo $API")).strip()
    second = (await shell(sdk, two, "echo $API")).strip()
    assert first != second
    said = first.removeprefix("gws_").split(".")[0]
    said = base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)).replace(b"SECRET", b"OTHER")
    claims = base64.urlsafe_b64encode(said).decode().rstrip("=")
    claims = f"gws_{claims}." + second.split(".")[1]
    got = await calls(
        sdk,
        two,
        f"'/x', token='{first}'",
        f"'/x', token='{claims}'",
        f"'/x', token='{second[:-2]}'",
        "'/x', token='gws_'",
        "'/x', token=''",
        f"'/x', headers={{'x-api-key': '{first}'}}",
        "'/x'",
    )
    for refusal in got[:6]:
        assert refusal[0] == 401, refusal
        assert refusal[1]["error"]["code"] == "gateway_token_invalid"
    assert got[6][0] == 200
    # From elsewhere the name does not exist, and there is no way to say it is somebody else's.
    bare = await sdk(outer.devbox.create)
    reach = "import socket; socket.create_connection(('gateway.pinfold.internal', 80), 10)"
    result = await sdk(bare.cmd.exec, command=f'python3 -c "{reach}"')
    assert result.exit_code != 0
    await sdk(bare.shutdown)
    await sdk(one.shutdown)
    [[status, *_]] = await calls(sdk, two, f"'/x', token='{first}'")
    assert status == 401
    # Each life has the same token.
    await sdk(two.suspend)
    await sdk(two.await_suspended)
    await sdk(two.resume)
    await sdk(two.await_running)
    assert (await shell(sdk, two, "echo $API")).strip() == second
    assert (await calls(sdk, two, "'/x'"))[0][0] == 200
    await sdk(two.shutdown)
    await sdk(config.delete)


async def test_calls_stay_below_the_endpoint_and_lead_nowhere_inwards(sdk, outer, secret):
    config = await gateway(sdk, outer)
    devbox = await made_with(sdk, outer, config, secret)
    paths = ["/../secret", "/%2e%2e/s", "/a/..%2fb", "/..;/a", "/%252e%252e/a", "/a/..%5c..%5cb"]
    got = await calls(sdk, devbox, *(f"{path!r}" for path in paths))
    for path, refusal in zip(paths, got, strict=True):
        assert (refusal[0], refusal[1]["error"]["code"]) == (400, "gateway_path"), path
    [slashes, moved] = await calls(sdk, devbox, "'//evil.test/x'", "'/redirect'")
    assert slashes[1]["path"] == "/v1/evil.test/x"
    assert moved[0] == 302 and "169.254.169.254" in moved[2]["location"]
    token = (await shell(sdk, devbox, "echo $API")).strip()
    head = f"authorization: Bearer {token}\\r\\nconnection: close\\r\\n\\r\\n"
    host = "host: gateway.pinfold.internal\\r\\n"
    got = await calls(
        sdk,
        devbox,
        f"'GET http://gateway.pinfold.internal/x HTTP/1.1\\r\\n{host}{head}'",
        f"'GET http://api.test/x HTTP/1.1\\r\\n{host}{head}'",
        f"'GET https://metadata.test/x HTTP/1.1\\r\\n{host}{head}'",
        f"'GET /x HTTP/1.1\\r\\n{host}host: api.test\\r\\n{head}'",
        f"'GET /x HTTP/1.1\\r\\nhost: api.test\\r\\n{head}'",
        f"'CONNECT api.test:443 HTTP/1.1\\r\\n{host}{head}'",
        f"'TRACE /x HTTP/1.1\\r\\n{host}{head}'",
        f"'OPTIONS * HTTP/1.1\\r\\n{host}{head}'",
        what="raw",
    )
    assert " 200 " in got[0].splitlines()[0], got[0]
    for refusal in got[1:7]:
        assert " 403 " in refusal.splitlines()[0] or "Error" in refusal, refusal
    assert " 400 " in got[7].splitlines()[0]
    for name in ("inward", "metadata", "own", "private", "nowhere", "unproven"):
        await sdk(config.update, endpoint=f"https://{name}.test/")
        [[status, said, _]] = await calls(sdk, devbox, "'/x'")
        assert (status, said["error"]["code"]) == (502, "gateway_upstream"), name
    await sdk(config.update, endpoint="https://rebind.test/")
    # Whatever it was at first: each connection is judged by what the name leads to then.
    got = await calls(sdk, devbox, "'/x'", "'/x'", "'/x'")
    assert [one[0] for one in got[1:]] == [502, 502], got
    await sdk(devbox.shutdown)
    await sdk(config.delete)


@newer
async def test_a_policy_with_a_name_says_whether_gateways_may_be_called(sdk, outer, secret):
    config = await gateway(sdk, outer)
    policy = await sdk(outer.network_policy.create, name="shut")
    launch = {"network_policy_id": policy.id}
    devbox = await made_with(sdk, outer, config, secret, launch_parameters=launch)
    [refusal] = await calls(sdk, devbox, "'/x'")
    assert "gaierror" in refusal
    await sdk(policy.update, allow_agent_gateway=True)
    [got] = await calls(sdk, devbox, "'/x'")
    assert got[0] == 200
    assert (await sdk(policy.get_info)).egress.allow_agent_gateway
    [refusal] = await calls(sdk, devbox, "'/mcp', url='http://mcp.pinfold.internal'")
    assert "gaierror" in refusal
    await sdk(policy.update, allow_agent_gateway=False)
    [refusal] = await calls(sdk, devbox, "'/x'")
    assert refusal[0] == 403 if isinstance(refusal, list) else "Error" in refusal or "gaierror" in refusal
    await sdk(devbox.shutdown)
    await sdk(policy.delete)
    await sdk(config.delete)


@newer
async def test_a_running_devbox_gets_a_token_of_its_own(sdk, outer, secret, refused):
    config = await gateway(sdk, outer)
    devbox = await sdk(outer.devbox.create)
    info = await sdk(config.get_info)
    create = outer.api.devboxes.create_gateway_token
    # By the name of the configuration.
    made = await sdk(create, devbox.id, gateway=info.name, secret=secret)
    assert (made.devbox_id, made.gateway_config_id) == (devbox.id, config.id)
    assert (made.endpoint, made.auth_mechanism.type) == ("https://api.test/v1", "bearer")
    [[status, seen, _]] = await calls(sdk, devbox, f"'/x', token={made.token!r}, url={made.url!r}")
    assert status == 200 and seen["headers"]["authorization"] == digest(f"Bearer {VALUE}")
    with refused(NotFoundError, 404):
        await sdk(create, devbox.id, gateway="nothing", secret=secret)
    with refused(NotFoundError, 404):
        await sdk(create, devbox.id, gateway=config.id, secret="nothing")
    await sdk(devbox.shutdown)
    with pytest.raises(APIStatusError):
        await sdk(create, devbox.id, gateway=config.id, secret=secret)
    await sdk(config.delete)


async def test_devboxes_with_gateways_that_cannot_be_are_refused(sdk, outer, secret, refused):
    config = await gateway(sdk, outer)
    create = outer.api.devboxes.create
    spec = {"gateway": config.id, "secret": secret}
    for wanted in (
        {"A": {**spec, "gateway": "nothing"}},
        {"A": {**spec, "gateway": "gwc_0123456789"}},
        {"A": {**spec, "secret": "nothing"}},
    ):
        with refused(NotFoundError, 404):
            await sdk(create, gateways=wanted)
    for wanted in ({"A=B": spec}, {"": spec}, {"A": spec, "A_URL": spec}):
        with refused(BadRequestError, 400):
            await sdk(create, gateways=wanted)
    # The newest of a name.
    info = await sdk(config.get_info)
    newest = await sdk(
        outer.gateway_config.create,
        name=info.name,
        endpoint="https://api.test/newest",
        auth_mechanism=BEARER,
    )
    devbox = await sdk(outer.devbox.create, gateways={"API": {**spec, "gateway": info.name}})
    [[_, seen, _]] = await calls(sdk, devbox, "'/x'")
    assert seen["path"] == "/newest/x"
    await sdk(devbox.shutdown)
    for one in (config, newest):
        await sdk(one.delete)
