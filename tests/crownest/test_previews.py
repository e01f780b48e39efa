"""Previews: their records. Their addresses are tried in test_preview_addresses.py."""

import re

import pytest

pytestmark = pytest.mark.anyio


async def test_a_port_has_one_active_preview(sdk, client, sandbox):
    made = await sdk(client.previews.create, sandbox.id, port=8000)
    preview = made["preview"]
    assert set(made) == {"preview"}
    assert preview["authMode"] == "authenticated" and preview["port"] == 8000
    assert preview["sandboxId"] == sandbox.id and preview["id"].startswith("prv_")
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", preview["slug"])
    assert preview["slug"] in preview["url"] and not preview["url"].endswith("/")
    assert "revokedAt" not in preview and None not in preview.values()
    again = await sdk(sandbox.previews.create, port=8000, auth_mode="authenticated")
    assert again == made
    other = (await sdk(sandbox.previews.create, port=65535))["preview"]
    assert other["slug"] != preview["slug"]
    assert await sdk(client.previews.get, preview["id"]) == preview
    assert await sdk(client.previews.list, sandbox.id) == [other, preview]
    assert await sdk(sandbox.previews.list) == [other, preview]


async def test_a_revoked_preview_makes_room_for_another(sdk, client, sandbox):
    first = (await sdk(client.previews.create, sandbox.id, port=9))["preview"]
    revoked = await sdk(client.previews.revoke, first["id"])
    assert revoked == {**first, "revokedAt": revoked["revokedAt"]}
    assert await sdk(client.previews.revoke, first["id"]) == revoked
    assert await sdk(client.previews.get, first["id"]) == revoked
    second = (await sdk(client.previews.create, sandbox.id, port=9))["preview"]
    assert second["id"] != first["id"] and "revokedAt" not in second


async def test_a_token_is_shown_once(sdk, client, sandbox):
    made = await sdk(client.previews.create, sandbox.id, port=80, auth_mode="token")
    assert made["previewToken"].startswith("pvt_") and made["preview"]["authMode"] == "token"
    again = await sdk(client.previews.create, sandbox.id, port=80, auth_mode="token")
    assert again == {"preview": made["preview"]}


async def test_wrong_previews_are_refused(sdk, client, sandbox, fails):
    for port in (0, -1, 65536, 10**12):
        with fails("invalid_request", 400, "port"):
            await sdk(client.previews.create, sandbox.id, port=port)
    for port in ("80", 1.5, True):
        with fails("invalid_request", 400, "port"):
            await sdk(client.previews.create, sandbox.id, port=port)
    for mode in ("public", "none", ""):
        with fails("unsupported_preview_auth_mode", 400, "authMode"):
            await sdk(client.previews.create, sandbox.id, port=80, auth_mode=mode)
    for call, args in [
        (client.previews.get, ("prv_0",)),
        (client.previews.revoke, ("nonsense",)),
        (client.previews.list, ("sbx_0",)),
    ]:
        with fails("not_found", 404):
            await sdk(call, *args)
    with fails("not_found", 404):
        await sdk(client.previews.create, "sbx_0", port=80)


async def test_previews_end_with_their_sandbox_and_stay_readable(sdk, client, fails):
    sandbox = await sdk(client.sandboxes.create)
    preview = (await sdk(client.previews.create, sandbox.id, port=80))["preview"]
    await sdk(client.sandboxes.kill, sandbox.id)
    assert (await sdk(client.previews.get, preview["id"]))["id"] == preview["id"]
    assert len(await sdk(client.previews.list, sandbox.id)) == 1
    with fails("sandbox_destroyed", 410):
        await sdk(client.previews.create, sandbox.id, port=81)
