"""Artifacts, what is collected behind a command, and signed downloads."""

import asyncio
import hashlib

import httpx
import pytest
from server import KEY

pytestmark = pytest.mark.anyio


async def test_an_artifact_is_a_copy_that_outlives_its_sandbox(sdk, client, fails):
    sandbox = await sdk(client.sandboxes.create)
    await sdk(client.files.write, sandbox.id, "out/report.txt", "first", create_parents=True)
    made = await sdk(client.artifacts.create, sandbox.id, path="out/report.txt")
    assert made["id"].startswith("art_") and made["sandboxId"] == sandbox.id
    assert (made["name"], made["sizeBytes"]) == ("report.txt", 5)
    assert made["sourcePath"] == "/workspace/out/report.txt" and made["objectKey"]
    assert made["projectId"] == sandbox["projectId"] and "deletedAt" not in made
    assert None not in made.values()
    await sdk(client.files.write, sandbox.id, "out/report.txt", "second")
    assert await sdk(client.artifacts.download, made["id"]) == b"first"
    named = await sdk(sandbox.artifacts.create, path="/workspace/out/report.txt", name="Büro 1")
    assert named["name"] == "Büro 1"
    assert await sdk(sandbox.artifacts.list) == [named, made]
    await sdk(client.sandboxes.kill, sandbox.id)
    assert await sdk(client.artifacts.get, made["id"]) == made
    assert await sdk(client.artifacts.list, sandbox.id) == [named, made]
    assert await sdk(client.artifacts.download, named["id"]) == b"second"
    with fails("sandbox_destroyed", 410):
        await sdk(client.artifacts.create, sandbox.id, path="out/report.txt")


async def test_a_deleted_artifact_leaves_its_facts(sdk, client, sandbox, fails):
    await sdk(client.files.write, sandbox.id, "f", "x")
    made = await sdk(client.artifacts.create, sandbox.id, path="f")
    deleted = await sdk(client.artifacts.delete, made["id"])
    assert deleted == {**made, "deletedAt": deleted["deletedAt"]}
    assert await sdk(client.artifacts.delete, made["id"]) == deleted
    assert await sdk(client.artifacts.get, made["id"]) == deleted
    assert await sdk(client.artifacts.list, sandbox.id) == []
    for call in (client.artifacts.download, client.artifacts.download_url):
        with fails("not_found", 404):
            await sdk(call, made["id"])
    for nobody in ("art_0", "obj_0", "nonsense"):
        for call in (client.artifacts.get, client.artifacts.delete, client.artifacts.download):
            with fails("not_found", 404):
                await sdk(call, nobody)
    with fails("not_found", 404):
        await sdk(client.artifacts.list, "sbx_0")


async def test_other_objects_of_the_server_are_no_artifacts(sdk, client, server, fails):
    uploaded = server.native(
        "POST", "/v1/objects/upload", params={"name": "theirs"}, content=b"not an artifact"
    ).json()
    begun = server.native("POST", "/v1/objects", json={"name": "begun"}).json()
    for other in (uploaded, begun):
        id_ = other["id"].replace("obj_", "art_")
        for call in (
            client.artifacts.get,
            client.artifacts.download,
            client.artifacts.download_url,
            client.artifacts.delete,
        ):
            with fails("not_found", 404):
                await sdk(call, id_)
            with fails("not_found", 404):
                await sdk(call, other["id"])
        # Nothing happened to it.
        assert server.native("GET", f"/v1/objects/{other['id']}").json() == other
    content = server.native("GET", f"/v1/objects/{uploaded['id']}/content")
    assert content.content == b"not an artifact"


async def test_downloads_say_what_they_are_and_run_nowhere(sdk, client, sandbox, server):
    page = "<script>alert(1)</script>"
    await sdk(client.files.write, sandbox.id, "büro.html", page)
    made = await sdk(client.artifacts.create, sandbox.id, path="büro.html")
    assert made["contentType"] == "text/html"
    signed = (await sdk(client.artifacts.download_url, made["id"]))["url"]
    direct = f"{server.base_url}/v1/artifacts/{made['id']}/download"
    headers = {"Authorization": f"Bearer {KEY}"}
    for url in (signed, direct):
        whole = httpx.get(url, headers=headers)
        assert (whole.status_code, whole.text) == (200, page)
        assert whole.headers["content-length"] == str(len(page))
        assert "b%C3%BCro.html" in whole.headers["content-disposition"]
        assert whole.headers["content-disposition"].startswith("attachment")
        assert whole.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in whole.headers["content-security-policy"]
        tag = whole.headers["etag"]
        for wanted, status, body in [
            ({"Range": "bytes=1-6"}, 206, page[1:7]),
            ({"Range": "bytes=-3"}, 206, page[-3:]),
            ({"Range": "bytes=20-", "If-Range": tag}, 206, page[20:]),
            ({"Range": "bytes=20-", "If-Range": '"other"'}, 200, page),
        ]:
            part = httpx.get(url, headers={**headers, **wanted})
            assert (part.status_code, part.text) == (status, body)
        beyond = httpx.get(url, headers={**headers, "Range": "bytes=1000-"})
        assert (beyond.status_code, beyond.json()["error"]["code"]) == (416, "invalid_request")
        head = httpx.head(url, headers=headers)
        assert (head.status_code, head.content) == (200, b"")


async def test_artifacts_come_from_the_workspace_alone(sdk, client, sandbox, fails):
    await sdk(client.commands.run, sandbox.id, "ln -s /etc/passwd link; ln -s /nope/x dangling")
    for path in ("/etc/passwd", "../etc/passwd", "link", "dangling", "/workspacefoo"):
        with fails("path_outside_workspace", 400):
            await sdk(client.artifacts.create, sandbox.id, path=path)
        with fails("path_outside_workspace", 400):
            await sdk(client.files.download_url, sandbox.id, path)
    for call, options in [
        (client.artifacts.create, {"path": "missing"}),
        (client.files.download_url, {"path": "missing"}),
    ]:
        with fails("file_not_found", 404):
            await sdk(call, sandbox.id, **options)
    for call in (client.artifacts.create, client.files.download_url):
        with fails("path_is_directory", 400):
            await sdk(call, sandbox.id, path="/workspace")


async def test_one_key_makes_one_artifact(sdk, client, sandbox, fails):
    await sdk(client.files.write, sandbox.id, "f", "x")
    options = {"path": "f", "idempotency_key": "artifact"}
    calls = [sdk(client.artifacts.create, sandbox.id, **options) for _ in range(10)]
    made = await asyncio.gather(*calls)
    assert all(one == made[0] for one in made)
    assert await sdk(client.artifacts.list, sandbox.id) == made[:1]
    with fails("idempotency_key_reused", 409):
        await sdk(client.artifacts.create, sandbox.id, **options, name="other")


async def test_a_large_file_comes_by_every_way(sdk, client, sandbox):
    line = "head -c 120000000 /dev/urandom > big; sha256sum big | cut -d' ' -f1"
    result = await sdk(client.commands.run, sandbox.id, line)
    digest = result["stdout"].strip()
    made = await sdk(client.artifacts.create, sandbox.id, path="big")
    content = await sdk(client.artifacts.download, made["id"])
    assert hashlib.sha256(content).hexdigest() == digest
    signed = await sdk(client.artifacts.download_url, made["id"])
    assert signed["method"] == "GET" and signed["authMode"] == "api_key"
    assert signed["url"].startswith("http://") and isinstance(signed["headers"], dict)
    file = await sdk(client.files.download_url, sandbox.id, "big")
    assert set(file) == {"url", "method", "authMode"}
    for url in (signed["url"], file["url"]):
        for _ in range(2):
            with httpx.stream("GET", url) as answer:
                assert answer.status_code == 200
                sum_ = hashlib.sha256()
                for piece in answer.iter_bytes():
                    sum_.update(piece)
            assert sum_.hexdigest() == digest
    part = httpx.get(file["url"], headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == content[10:20]


async def test_signed_urls_are_for_one_thing_and_cannot_be_forged(sdk, client, sandbox, server):
    await sdk(client.files.write, sandbox.id, "f", "one")
    url = (await sdk(client.files.download_url, sandbox.id, "f"))["url"]
    assert httpx.get(url).content == b"one"
    assert (await sdk(client._transport.download, url)) == b"one"
    for forged in (url[:-1] + ("A" if url[-1] != "A" else "B"), url + "A", url[:-8], url[:-40] + "x"):
        answer = httpx.get(forged)
        assert answer.status_code in (403, 404) and answer.json()["error"]["code"]
    # Behind a good URL the path is still confined.
    await sdk(client.commands.run, sandbox.id, "rm f; ln -s /etc/passwd f")
    answer = httpx.get(url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "path_outside_workspace")
    assert httpx.put(url, content=b"x").status_code in (403, 405)


@pytest.mark.parametrize(
    ("line", "on", "status", "names"),
    [
        ("echo a > a; echo b > b", None, "succeeded", ["a", "renamed"]),
        ("echo a > a; echo b > b; exit 1", None, "skipped", []),
        ("echo a > a; echo b > b; exit 1", "always", "succeeded", ["a", "renamed"]),
        ("echo a > a", "success", "partial", ["a"]),
        ("true", "success", "failed", []),
    ],
)
async def test_files_are_collected_behind_a_command(sdk, client, sandbox, line, on, status, names):
    collect = [{"path": "a"}, {"path": "/workspace/b", "name": "renamed"}]
    options = {"collect": collect, "collect_on": on, "idempotency_key": "collect"}
    result = await sdk(client.commands.run, sandbox.id, line, **options)
    assert result["collectStatus"] == status
    missing = [error["path"] for error in result.get("collectErrors", [])]
    assert len(missing) == {"succeeded": 0, "skipped": 0, "partial": 1, "failed": 2}[status]
    for error in result.get("collectErrors", []):
        assert set(error) == {"code", "message", "path"} and error["code"] == "file_not_found"
    artifacts = await sdk(client.artifacts.list, sandbox.id)
    assert sorted(artifact["name"] for artifact in artifacts) == names
    assert await sdk(client.commands.get, result["id"]) == result
    assert await sdk(client.commands.run, sandbox.id, line, **options) == result
    assert await sdk(client.artifacts.list, sandbox.id) == artifacts


async def test_collecting_is_confined_and_callbacks_replay(sdk, client, sandbox):
    out = []
    line = "echo said; ln -s /etc/passwd link; mkdir d; echo x > ok"
    paths = ["link", "/etc/passwd", "d", "ok"]
    options = {"collect": [{"path": path} for path in paths], "on_stdout": out.append}
    result = await sdk(client.commands.run, sandbox.id, line, **options)
    assert "".join(out) == "said\n" and result["collectStatus"] == "partial"
    assert [(error["path"], error["code"]) for error in result["collectErrors"]] == [
        ("link", "path_outside_workspace"),
        ("/etc/passwd", "path_outside_workspace"),
        ("d", "artifact_collect_failed"),
    ]
    assert [one["name"] for one in await sdk(client.artifacts.list, sandbox.id)] == ["ok"]
