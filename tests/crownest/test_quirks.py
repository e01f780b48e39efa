"""Oddities of the dialect that no other scenario meets; `quirks.md` names the test of each."""

import contextlib
import json
import pathlib
import re
import sqlite3

import httpx
import pytest
from server import KEY, Server, until

pytestmark = pytest.mark.anyio

HERE = pathlib.Path(__file__).parent
QUIRKS = HERE.parents[1] / "crates/dialects/src/crownest/quirks.md"


def test_every_quirk_names_a_test_that_exists():
    entries = re.split(r"(?m)^(?=\d+\. )", QUIRKS.read_text())[1:]
    tests = "\n".join(path.read_text() for path in HERE.glob("test_*.py"))
    rust = "\n".join(path.read_text() for path in QUIRKS.parent.rglob("*.rs"))
    for number, entry in enumerate(entries, 1):
        assert entry.startswith(f"{number}. "), entry
        named = re.findall(r"`(test_\w+)`", entry)
        named_in_rust = re.findall(r"`crownest::[\w:]*tests::(\w+)`", entry)
        whole_files = re.findall(r"`(test_\w+\.py)`", entry)
        assert named or named_in_rust or whole_files, entry
        for name in named:
            assert re.search(rf"def {name}\(", tests), name
        for name in named_in_rust:
            assert f"fn {name}(" in rust, name
        for name in whole_files:
            assert (HERE / name).exists(), name


async def test_every_answer_but_a_download_is_json(client, sandbox, server, sdk):
    await sdk(client.files.write, sandbox.id, "f", "x")
    made = await sdk(client.artifacts.create, sandbox.id, path="f")
    preview = (await sdk(client.previews.create, sandbox.id, port=80))["preview"]
    context = await sdk(client.code.create_context, sandbox.id)
    base = f"/crownest/v1/sandboxes/{sandbox.id}"
    for method, path in [
        ("DELETE", f"{base}/files?path=f"),
        ("DELETE", f"/crownest/v1/artifacts/{made['id']}"),
        ("DELETE", f"/crownest/v1/previews/{preview['id']}"),
        ("DELETE", f"{base}/code/contexts/{context['id']}"),
        ("DELETE", base),
        ("GET", "/crownest/v1/nowhere"),
        ("POST", "/crownest/v1/nowhere"),
        ("DELETE", "/crownest/v1/projects"),
    ]:
        answer = server.native(method, path)
        assert answer.headers["content-type"].startswith("application/json"), path
        assert isinstance(answer.json(), dict)
        assert (answer.status_code == 200) == ("error" not in answer.json())


async def test_sandboxes_made_otherwise_have_their_image_for_a_template(sdk, client, server):
    request = {"image": "host", "workdir": "/tmp"}
    made = server.native("POST", "/v1/sandboxes", json=request)
    assert made.status_code in (200, 201), made.text
    id_ = made.json()["id"]
    shown = await sdk(client.sandboxes.get, id_)
    assert shown["templateSlug"] == "host" and shown["templateId"].startswith("tpl_")
    assert shown["templateVersion"] == "1" and shown["templateVersionId"].startswith("tplv_")
    assert "ttlMs" not in shown and "expiresAt" not in shown
    assert None not in shown.to_dict().values()
    assert id_ in [one["id"] for one in await sdk(client.sandboxes.list)]
    where = await sdk(client.commands.run, id_, "pwd")
    assert where["stdout"] == "/tmp\n"
    await sdk(client.sandboxes.kill, id_)


async def test_any_template_of_the_server_can_be_named(sdk, client, server, fails):
    name = f"mine-{sdk.name}"
    request = {"image": "host", "env": {"MINE": "yes"}}
    made = server.native("PUT", f"/v1/templates/{name}", json=request)
    assert made.status_code in (200, 201), made.text
    sandbox = await sdk(client.sandboxes.create, template=name)
    assert sandbox["templateSlug"] == name
    said = await sdk(client.commands.run, sandbox.id, "echo $MINE")
    assert said["stdout"] == "yes\n"
    version = sandbox["templateVersionId"]
    # The version decides; what stands beside it is not looked at.
    for options in ({"template_version_id": version}, {"template_version_id": version, "template": "x"}):
        other = await sdk(client.sandboxes.create, **options)
        assert (other["templateSlug"], other["templateVersionId"]) == (name, version)
        await sdk(client.sandboxes.kill, other.id)
    default = await sdk(client.sandboxes.create)
    assert default["templateSlug"] == "base"
    for made in (sandbox, default):
        await sdk(client.sandboxes.kill, made.id)
    with fails("invalid_request", 400, "template"):
        await sdk(client.sandboxes.create, template="no-such-template")


def is_recorded(data, command: str) -> bool:
    with contextlib.closing(sqlite3.connect(f"file:{data}/pinfold.db?mode=ro", uri=True)) as db:
        row = db.execute("SELECT state FROM commands WHERE id = ?", (command,)).fetchone()
    return row == ("exited",)


async def test_output_that_is_no_longer_kept_is_a_gap(sdk, tmp_path, fails):
    server = Server(tmp_path).start()
    try:
        client = sdk.client(api_key=KEY, base_url=server.base_url, timeout=60)
        sandbox = await sdk(client.sandboxes.create)
        spoke = await sdk(client.commands.run, sandbox.id, "echo out; sleep 0.1; echo more")
        silent = await sdk(client.commands.run, sandbox.id, "true")
        assert spoke["stdoutTruncated"] is False
        # An end is told before it is recorded, and until then the journal is never removed.
        until(lambda: is_recorded(server.data, silent["id"]), "the ends are recorded")
        server.kill()
        (journal,) = server.data.rglob(spoke["id"])
        journal.unlink()
        # One that wrote nothing has none; its end stands among those of others.
        assert not list(server.data.rglob(silent["id"]))
        (ends,) = server.data.rglob("silent")
        ends.unlink()
        server.start()
        for command, lost in ((spoke, True), (silent, False)):
            shown = await sdk(client.commands.get, command["id"])
            assert (shown["stdout"], shown["stderr"]) == ("", "")
            assert (shown["stdoutTruncated"], shown["stderrTruncated"]) == (lost, lost)
            assert (shown["status"], shown["exitCode"]) == ("exited", 0)
        with fails("stream_gap", 409):
            await sdk(client.commands.logs, spoke["id"])
        with fails("stream_gap", 409):
            async for _ in sdk.each(client.commands.stream_logs, spoke["id"]):
                pass
        assert await sdk(client.commands.logs, silent["id"]) == []
        await sdk(client.sandboxes.kill, sandbox.id)
        await sdk.close(client)
    finally:
        server.stop()


async def test_statuses_of_the_http_edge_are_kept(server):
    headers = {"Authorization": f"Bearer {KEY}"}
    url = f"{server.base_url}/v1/sandboxes"
    for answer, status in [
        (httpx.put(url, headers=headers), 405),
        (httpx.get(f"{url}?cursor={'x' * 20_000}", headers=headers), 414),
        (httpx.post(url, headers=headers, content=b"<a/>"), 415),
    ]:
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["code"] == "invalid_request"
    broken = httpx.post(
        url, headers={**headers, "content-type": "application/json"}, content=b'{"ttlMs": '
    )
    assert broken.status_code == 400 and json.loads(broken.text)["error"]["code"] == "invalid_request"


async def test_scopes_tell_what_a_key_may(sdk, client, server):
    for role, more in (("member", False), ("admin", True)):
        made = server.native("POST", "/v1/keys", json={"name": "scoped", "role": role}).json()
        shown = await sdk(client.api_keys.get, made["key"]["id"])
        assert "sandbox:create" in shown["scopes"] and "code:run" in shown["scopes"]
        assert ("api_key:revoke" in shown["scopes"]) == more
        # An admin's key is of every project, so it names none.
        assert ("projectIds" in shown) == (not more)
        await sdk(client.api_keys.revoke, shown["id"])
