"""Projects, API keys, usage, credentials."""

import httpx
import pytest
from server import KEY

pytestmark = pytest.mark.anyio


def new_key(server, role="member", **more):
    answer = server.native("POST", "/v1/keys", json={"name": "suite", "role": role, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_projects_are_listed_with_their_fields(sdk, client):
    projects = await sdk(client.projects.list)
    assert projects
    for project in projects:
        assert set(project) == {"id", "orgId", "name", "createdAt"}
        assert project["id"].startswith("prj_") and project["orgId"].startswith("org_")


async def test_projects_are_created(sdk, client, fails):
    name = f"project {sdk.name}"
    made = await sdk(client.projects.create, name=name)
    assert made["name"] == name
    assert made in await sdk(client.projects.list)
    with fails("conflict", 409):
        await sdk(client.projects.create, name=name)
    with fails("invalid_request", 400, "name"):
        await sdk(client.projects.create, name="")


async def test_keys_are_shown_without_their_secret_and_revoked(sdk, client, server, fails):
    made = new_key(server)
    secret, key_id = made["secret"], made["key"]["id"]
    shown = await sdk(client.api_keys.get, key_id)
    assert shown["prefix"] == secret[: len(shown["prefix"])] and shown["last4"] == secret[-4:]
    assert shown["id"] == key_id and shown["name"] == "suite" and shown["scopes"]
    assert shown["createdByUserId"].startswith("usr_") and "revokedAt" not in shown
    listed = await sdk(client.api_keys.list)
    assert shown in listed and secret not in str(listed)
    member = sdk.client(api_key=secret, base_url=server.base_url)
    assert len(await sdk(member.projects.list)) == 1
    with fails("forbidden", 403):
        await sdk(member.api_keys.list)
    with fails("forbidden", 403):
        await sdk(member.projects.create, name="x")
    revoked = await sdk(client.api_keys.revoke, key_id)
    assert await sdk(client.api_keys.revoke, key_id) == revoked and revoked["revokedAt"]
    with fails("invalid_api_key", 401):
        await sdk(member.projects.list)
    await sdk.close(member)
    with fails("not_found", 404):
        await sdk(client.api_keys.get, "key_0")
    with fails("not_found", 404):
        await sdk(client.api_keys.revoke, "key_0")


async def test_usage_has_its_figures(sdk, client, sandbox):
    await sdk(client.commands.run, sandbox.id, "true")
    usage = await sdk(client.usage)
    assert set(usage) == {
        "period",
        "pricingVersion",
        "computeUnitSecondsPerCredit",
        "currencyPerCredit",
        "computeUnitSeconds",
        "credits",
        "quotas",
    }
    assert usage["period"]["start"] < usage["period"]["end"] == usage["period"]["resetAt"]
    assert usage["computeUnitSeconds"]["used"] > 0
    quota = usage["quotas"]["concurrentSandboxes"]
    assert quota["current"] >= 1 and quota["remaining"] == quota["limit"] - quota["current"]


async def test_credentials_are_needed(sdk, server, fails):
    for key in ("wrong", "x" * 2000):
        client = sdk.client(api_key=key, base_url=server.base_url)
        with fails("invalid_api_key", 401):
            await sdk(client.sandboxes.list)
        await sdk.close(client)
    bare = httpx.get(f"{server.base_url}/v1/sandboxes")
    assert (bare.status_code, bare.json()["error"]["code"]) == (401, "unauthenticated")


async def test_another_project_does_not_exist_for_a_member(sdk, client, server, sandbox, fails):
    other = await sdk(client.projects.create, name=f"apart {sdk.name}")
    made = new_key(server, project_id=other["id"])
    stranger = sdk.client(api_key=made["secret"], base_url=server.base_url)
    command = await sdk(client.commands.run, sandbox.id, "true")
    context = await sdk(client.code.create_context, sandbox.id)
    await sdk(client.files.write, sandbox.id, "kept", "x")
    artifact = await sdk(client.artifacts.create, sandbox.id, path="kept")
    preview = (await sdk(client.previews.create, sandbox.id, port=80))["preview"]
    for call, args in [
        (stranger.sandboxes.get, (sandbox.id,)),
        (stranger.sandboxes.kill, (sandbox.id,)),
        (stranger.commands.run, (sandbox.id, "true")),
        (stranger.commands.get, (command["id"],)),
        (stranger.commands.cancel, (command["id"],)),
        (stranger.commands.logs, (command["id"],)),
        (stranger.files.read, (sandbox.id, "x")),
        (stranger.files.write, (sandbox.id, "x", "y")),
        (stranger.files.download_url, (sandbox.id, "kept")),
        (stranger.code.create_context, (sandbox.id,)),
        (stranger.code.list_contexts, (sandbox.id,)),
        (stranger.code.get_context, (sandbox.id, context["id"])),
        (stranger.code.delete_context, (sandbox.id, context["id"])),
        (stranger.code.run, (sandbox.id, "1")),
        (stranger.artifacts.list, (sandbox.id,)),
        (stranger.artifacts.get, (artifact["id"],)),
        (stranger.artifacts.download, (artifact["id"],)),
        (stranger.artifacts.download_url, (artifact["id"],)),
        (stranger.artifacts.delete, (artifact["id"],)),
        (stranger.previews.list, (sandbox.id,)),
        (stranger.previews.get, (preview["id"],)),
        (stranger.previews.revoke, (preview["id"],)),
    ]:
        with fails("not_found", 404):
            await sdk(call, *args)
    for call, args in [
        (stranger.code.run_stream, (sandbox.id, "1")),
        (stranger.commands.stream_logs, (command["id"],)),
    ]:
        with fails("not_found", 404):
            async for _ in sdk.each(call, *args):
                pass
    with fails("not_found", 404):
        await sdk(stranger.sandboxes.extend, sandbox.id, ttl_ms=1000)
    with fails("not_found", 404):
        await sdk(stranger.sandboxes.create, project_id=sandbox["projectId"])
    assert await sdk(stranger.sandboxes.list) == []
    await sdk.close(stranger)


async def test_errors_have_one_form_everywhere(server):
    for method, path, status, code in [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("PATCH", "/v1/sandboxes", 405, "invalid_request"),
        ("POST", "/v1/sandboxes/sbx_0/extend", 400, "invalid_request"),
    ]:
        answer = server.native(method, f"/crownest{path}")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code), answer.text
        assert error["message"] and answer.headers["x-request-id"]
    for body in ("{", "[]", "7", '{"ttlMs": "x"}'):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        answer = httpx.post(f"{server.base_url}/v1/sandboxes", content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
