"""The account, keys, and restricted keys."""

import time

import pytest
from runloop_api_client import AuthenticationError, BadRequestError, PermissionDeniedError
from sdk import VERSION

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(VERSION < (3, 0), reason="this SDK has none of it"),
]


def scope(kind: str, level: str) -> dict[str, str]:
    return {"resource_type": f"RESOURCE_TYPE_{kind}", "access_level": f"ACCESS_LEVEL_{level}"}


@pytest.fixture
async def client(sdk, server):
    """A client for another key."""
    clients = []

    def client(key: str):
        made = sdk.client(bearer_token=key, base_url=server.base_url, timeout=60)
        clients.append(made)
        return made

    yield client
    for made in clients:
        await sdk.close(made)


async def restricted(sdk, runloop, *scopes, **options):
    return await sdk(runloop.api.restricted_keys.create, scopes=list(scopes), **options)


async def test_the_account_is_the_project(sdk, runloop):
    me = await sdk(runloop.api.accounts.me)
    assert me.id.startswith("prj_") and me.name
    assert me.account_status == "ACCOUNT_STATUS_ENABLED" and me.created_at.endswith("Z")


async def test_a_key_works_at_once_until_its_time(sdk, runloop, server, client):
    expires = int(time.time() * 1000) + 3_600_000
    made = await sdk(runloop.api.apikeys.create, name="another", expires_at_ms=expires)
    assert (made.name, made.expires_at_ms) == ("another", expires)
    other = client(made.key_secret)
    mine = await sdk(runloop.api.accounts.me)
    assert await sdk(other.api.accounts.me) == mine
    # It makes others, none of which outlives it.
    child = await sdk(other.api.apikeys.create)
    assert child.expires_at_ms == expires
    with pytest.raises(BadRequestError):
        await sdk(other.api.apikeys.create, expires_at_ms=expires + 1)
    with pytest.raises(BadRequestError):
        await sdk(runloop.api.apikeys.create, expires_at_ms=1)
    short = await sdk(runloop.api.apikeys.create, expires_at_ms=int(time.time() * 1000) + 500)
    late = client(short.key_secret)
    deadline = time.monotonic() + 30
    with pytest.raises(AuthenticationError):
        while time.monotonic() < deadline:
            await sdk(late.api.accounts.me)
    assert made.key_secret not in server.log()


async def test_a_restricted_key_does_what_its_scopes_say(sdk, runloop, client):
    scopes = [scope("DEVBOXES", "WRITE"), scope("OBJECTS", "READ"), scope("ACCOUNT", "NONE")]
    made = await restricted(sdk, runloop, *scopes, name="narrow")
    assert [one.to_dict() for one in made.scopes] == scopes[:2]
    narrow = client(made.key_secret)
    devbox = await sdk(narrow.devbox.create)
    assert await sdk((await sdk(devbox.cmd.exec, command="echo in")).stdout) == "in\n"
    await sdk(narrow.storage_object.list)
    for refused, options in [
        (narrow.storage_object.upload_from_text, {"text": "x", "name": "n"}),
        (narrow.blueprint.list, {}),
        (narrow.snapshot.list, {}),
        (devbox.snapshot_disk, {}),
        (narrow.api.secrets.list, {}),
        (narrow.api.secrets.create, {"name": "N", "value": "v"}),
        (narrow.api.accounts.me, {}),
        (narrow.api.apikeys.create, {}),
        (narrow.api.restricted_keys.create, {"scopes": scopes[:1]}),
        (narrow.devbox.create, {"secrets": {"A": "ANY"}}),
    ]:
        with pytest.raises(PermissionDeniedError):
            await sdk(refused, **options)
    await sdk(devbox.shutdown)


async def test_a_key_that_reads_changes_nothing(sdk, runloop, client, devbox):
    made = await restricted(sdk, runloop, scope("DEVBOXES", "READ"))
    reader = client(made.key_secret)
    seen = reader.devbox.from_id(devbox.id)
    assert (await sdk(seen.get_info)).status == "running"
    for refused, options in [
        (seen.cmd.exec, {"command": "true"}),
        (seen.suspend, {}),
        (seen.shutdown, {}),
        (seen.file.write, {"file_path": "a", "contents": "b"}),
        (reader.devbox.create, {}),
        (seen.keep_alive, {}),
    ]:
        with pytest.raises(PermissionDeniedError):
            await sdk(refused, **options)
    assert (await sdk(devbox.get_info)).status == "running"


async def test_no_key_makes_a_wider_one(sdk, runloop, client):
    mine = [scope("ACCOUNT", "WRITE"), scope("OBJECTS", "READ")]
    keeper = client((await restricted(sdk, runloop, *mine)).key_secret)
    child = await restricted(sdk, keeper, scope("OBJECTS", "READ"))
    await sdk(client(child.key_secret).storage_object.list)
    with pytest.raises(PermissionDeniedError):
        await restricted(sdk, keeper, scope("OBJECTS", "WRITE"))
    with pytest.raises(PermissionDeniedError):
        await restricted(sdk, keeper, scope("DEVBOXES", "READ"))
    with pytest.raises(PermissionDeniedError):
        await sdk(keeper.api.apikeys.create)


async def test_what_has_no_scope_here_is_refused(sdk, runloop):
    for scopes in [[], [scope("DEVBOXES", "NONE")], [scope("SECRETS", "READ")],
                   [scope("DEVBOXES", "ALL")], [scope("OBJECTS", "READ")] * 2]:
        with pytest.raises(BadRequestError):
            await restricted(sdk, runloop, *scopes)


async def test_a_members_key_makes_none(sdk, server, client):
    made = server.native("POST", "/v1/keys", json={"name": "member", "role": "member"}).json()
    with pytest.raises(PermissionDeniedError):
        await sdk(client(made["secret"]).api.apikeys.create)
