"""Previews: their records, and their addresses as a program uses them."""

import re

import httpx
import pytest
from server import KEY, until

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


APP = """
import http.server
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        size = int(self.headers.get('content-length') or 0)
        seen = [self.command, self.path, self.headers.get('authorization', 'none'),
                self.headers.get('x-mine', 'none'), self.rfile.read(size).decode()]
        body = '|'.join(seen).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command != 'HEAD' else b'')
    do_POST = do_HEAD = do_PUT = do_DELETE = do_GET
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('127.0.0.1', 8000), App).serve_forever()
"""


async def test_an_address_serves_with_and_without_a_path(sdk, client, sandbox):
    await sdk(client.files.write, sandbox.id, "app.py", APP)
    await sdk(client.commands.start, sandbox.id, "python3 app.py")
    preview = (await sdk(client.previews.create, sandbox.id, port=8000))["preview"]
    url, key = preview["url"], {"Authorization": f"Bearer {KEY}", "x-mine": "kept"}
    until(lambda: httpx.get(url, headers=key).status_code == 200, "the application serves")
    # As callers of this vendor write it: no redirect is followed, and the key stays outside.
    for method in ("GET", "POST", "PUT", "DELETE"):
        for path, target in [("", "/"), ("/", "/"), ("/a/b?c=%20d", "/a/b?c=%20d"), ("?q=1", "/?q=1")]:
            answer = httpx.request(method, url + path, headers=key, content=b"body")
            assert answer.status_code == 200, (method, path, answer.headers)
            assert answer.text == f"{method}|{target}|none|kept|body"
    assert httpx.head(url, headers=key).status_code == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert httpx.get(url, headers=headers).status_code in (401, 403)
    # A browser's page needs the slash, for its relative references.
    page = httpx.get(url, headers={**key, "Accept": "text/html,*/*;q=0.8"})
    assert page.status_code == 308 and page.headers["location"].endswith(f"{preview['slug']}/")
    silent = (await sdk(client.previews.create, sandbox.id, port=8001))["preview"]
    answer = httpx.get(silent["url"], headers=key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "preview_unavailable")
    await sdk(client.previews.revoke, preview["id"])
    assert httpx.get(url, headers=key).status_code in (404, 410)


async def test_a_token_opens_its_preview_alone(sdk, client, sandbox):
    await sdk(client.files.write, sandbox.id, "app.py", APP)
    await sdk(client.commands.start, sandbox.id, "python3 app.py")
    made = await sdk(client.previews.create, sandbox.id, port=8000, auth_mode="token")
    url, token = made["preview"]["url"], {"Authorization": f"Bearer {made['previewToken']}"}
    until(lambda: httpx.get(url, headers=token).status_code == 200, "the application serves")
    assert httpx.get(url, headers=token).text == "GET|/|none|none|"
    assert httpx.get(url, headers={"Authorization": "Bearer pvt_wrong"}).status_code in (401, 403)
    other = (await sdk(client.previews.create, sandbox.id, port=8001))["preview"]
    assert httpx.get(other["url"], headers=token).status_code in (401, 403)
