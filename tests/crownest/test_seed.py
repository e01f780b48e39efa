"""The vendor's page of its Python reference, from top to bottom, each snippet as it is printed (but
for key and address), against a server of its own."""

import asyncio
import datetime
import time

import httpx
import pytest
from crownest import AsyncCrowNest, CrowNest, CrowNestApiError
from server import KEY, Server, until


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("seed")).start()
    yield server
    server.stop()


@pytest.fixture
def client(server, monkeypatch):
    monkeypatch.setenv("CROWNEST_API_KEY", KEY)
    client = CrowNest(api_key=None, base_url=server.base_url, timeout=660)
    with client:
        yield client


@pytest.fixture
def sandbox(client):
    sandbox = client.sandboxes.create(template="python")
    yield sandbox
    sandbox.kill()


def test_clients(server, monkeypatch):
    monkeypatch.delenv("CROWNEST_API_KEY", raising=False)
    with pytest.raises(ValueError):
        CrowNest(api_key=None, base_url=server.base_url)
    client = CrowNest(api_key=KEY, base_url=server.base_url, timeout=660)
    assert client.projects.list()
    client.close()

    async def main():
        async with AsyncCrowNest(api_key=KEY, base_url=server.base_url) as client:
            assert await client.projects.list()

    asyncio.run(main())
    with CrowNest(api_key="nobody's", base_url=server.base_url) as client:
        with pytest.raises(CrowNestApiError) as refused:
            client.projects.list()
    error = refused.value
    assert (error.status, error.code) == (401, "invalid_api_key") and hasattr(error, "details")


def test_sandboxes(client):
    version = None
    for template in ("python", "node", "python-node", "base"):
        made = client.sandboxes.create(template=template)
        assert made["templateSlug"] == template
        version = made["templateVersionId"]
        assert version.startswith("tplv_")
        made.kill()
    project = client.projects.list()[0]["id"]
    before = time.time()
    sandbox = client.sandboxes.create(
        template="base",
        template_version_id=version,
        ttl_ms=600_000,
        metadata={f"key-{n}": "value" for n in range(16)},
        project_id=project,
        idempotency_key=None,
    )
    assert sandbox["projectId"] == project and sandbox["ttlMs"] == 600_000
    expires = datetime.datetime.fromisoformat(sandbox.expiresAt).timestamp()
    assert before + 599 < expires < time.time() + 601
    with pytest.raises(CrowNestApiError) as refused:
        client.sandboxes.create(ttl_ms=999 * 3_600_000)
    assert refused.value.code == "sandbox_ttl_exceeded"
    assert client.sandboxes.get(sandbox.id)["id"] == sandbox.id
    listed = client.sandboxes.list()
    assert isinstance(listed, list) and isinstance(listed[0], dict)
    assert sandbox.id in [one["id"] for one in listed]
    # The handle.
    assert sandbox.id == sandbox["id"] and sandbox["status"] and dict(sandbox)
    assert sandbox.to_dict()["metadata"]["key-15"] == "value"
    for sub in (sandbox.commands, sandbox.files, sandbox.artifacts, sandbox.previews):
        assert sub is not None
    killed = client.sandboxes.kill(sandbox.id)
    assert killed["status"] == "destroyed" and client.sandboxes.kill(sandbox.id) == killed
    assert sandbox.id not in [one["id"] for one in client.sandboxes.list()]


def test_commands(client, sandbox, capsys):
    failed = client.commands.run(sandbox.id, "exit 7")
    assert (failed["status"], failed["exitCode"]) == ("exited", 7)
    result = client.commands.run(
        sandbox.id,
        "pwd; echo $GREETING | tee out.txt",
        cwd="/workspace",
        env={"GREETING": "hello"},
        timeout_ms=30_000,
        collect=[{"path": "out.txt", "name": "greeting"}, {"path": "out.txt"}],
        collect_on="success",
        idempotency_key=None,
    )
    assert (result["stdout"], result["stderr"]) == ("/workspace\nhello\n", "")
    assert result["collectStatus"] == "succeeded"
    names = {one["name"] for one in client.artifacts.list(sandbox.id)}
    assert names == {"greeting", "out.txt"}
    with pytest.raises(CrowNestApiError) as refused:
        client.commands.run(sandbox.id, "true", env={"CROWNEST_X": "1"})
    assert refused.value.code == "reserved_env_key"
    started = client.commands.start(
        sandbox.id, "sleep 600", cwd=None, env=None, timeout_ms=None, idempotency_key=None
    )
    assert started["status"] in ("queued", "starting")
    assert client.commands.get(started["id"])["id"] == started["id"]
    with pytest.raises(CrowNestApiError) as refused:
        client.commands.start(sandbox.id, "true", collect=[{"path": "x"}])
    assert refused.value.code == "invalid_request"
    for mode, signal in ((None, "SIGTERM"), ("force", "SIGKILL")):
        command = client.commands.start(sandbox.id, "sleep 600")
        until(lambda: client.commands.get(command["id"])["status"] == "running", "it runs")
        client.commands.cancel(command["id"], mode=mode)
        until(lambda: client.commands.get(command["id"])["status"] == "canceled", "its end")
        assert client.commands.get(command["id"])["terminationSignal"] == signal
    logs = client.commands.logs(result["id"], after_seq=None, limit=100)
    assert set(logs[0]) == {"commandId", "createdAt", "data", "seq", "stream"}
    assert "".join(chunk["data"] for chunk in logs) == result["stdout"]

    # The page's program, with a command that needs nothing installed.
    cmd = client.commands.start(sandbox.id, "echo 1 passed; exit 3")
    for event in client.commands.stream_logs(cmd["id"]):
        if event["type"] == "log":
            print(event["data"], end="")
        elif event["type"] == "terminal":
            print("exit code:", event["command"]["exitCode"])
    assert capsys.readouterr().out == "1 passed\nexit code: 3\n"


def test_files(client, sandbox):
    stat = client.files.write(
        sandbox.id, "dir/a.txt", "text", create_parents=True, encoding="utf8", overwrite=True
    )
    assert stat["path"] == "/workspace/dir/a.txt" and stat["sizeBytes"] == 4
    assert client.files.read(sandbox.id, "dir/a.txt") == "text"
    assert client.files.read(sandbox.id, "dir/a.txt", encoding="base64") == "dGV4dA=="
    assert [one["name"] for one in client.files.list(sandbox.id)] == ["dir"]
    assert client.files.list(sandbox.id, path="/workspace/dir")[0]["name"] == "a.txt"
    assert client.files.stat(sandbox.id, "dir")["type"] == "directory"
    assert client.files.mkdir(sandbox.id, "x/y", parents=True)["type"] == "directory"
    moved = client.files.move(sandbox.id, "dir/a.txt", "x/y/b.txt", overwrite=None)
    assert moved["path"] == "/workspace/x/y/b.txt"
    url = client.files.download_url(sandbox.id, "x/y/b.txt")
    assert (url["method"], url["authMode"]) == ("GET", "api_key")
    assert httpx.get(url["url"], headers={"Authorization": f"Bearer {KEY}"}).text == "text"
    with pytest.raises(CrowNestApiError) as refused:
        client.files.delete(sandbox.id, "x")
    assert refused.value.code == "directory_not_empty"
    assert client.files.delete(sandbox.id, "x/y/b.txt") is None
    with pytest.raises(CrowNestApiError) as refused:
        client.files.read(sandbox.id, "/etc/passwd")
    assert refused.value.code == "path_outside_workspace"


def test_artifacts(client, sandbox):
    client.files.write(sandbox.id, "report.txt", "kept")
    made = client.artifacts.create(sandbox.id, path="report.txt", name=None, idempotency_key=None)
    assert made["name"] == "report.txt"
    assert client.artifacts.get(made["id"]) == made
    assert client.artifacts.list(sandbox.id) == [made]
    client.sandboxes.kill(sandbox.id)
    assert client.artifacts.download(made["id"]) == b"kept"
    url = client.artifacts.download_url(made["id"])
    assert set(url) == {"url", "method", "headers", "authMode"}
    assert httpx.request(url["method"], url["url"], headers=url["headers"]).content == b"kept"
    deleted = client.artifacts.delete(made["id"])
    assert deleted["deletedAt"] and client.artifacts.delete(made["id"]) == deleted


def test_previews(client, sandbox):
    client.files.write(sandbox.id, "index.html", "<h1>served</h1>")
    client.commands.start(sandbox.id, "python3 -m http.server 8000")
    made = client.previews.create(sandbox.id, port=8000, auth_mode="authenticated")["preview"]
    assert client.previews.create(sandbox.id, port=8000)["preview"] == made
    assert client.previews.get(made["id"]) == made
    assert client.previews.list(sandbox.id) == [made]
    key = {"Authorization": f"Bearer {KEY}"}
    until(lambda: httpx.get(made["url"], headers=key).status_code == 200, "it serves")
    for path in ("", "/", "/index.html"):
        assert httpx.get(made["url"] + path, headers=key).text == "<h1>served</h1>"
    revoked = client.previews.revoke(made["id"])
    assert revoked["revokedAt"] and client.previews.revoke(made["id"]) == revoked


def test_projects(client):
    (project,) = client.projects.list()
    assert set(project) == {"id", "orgId", "name", "createdAt"}


def test_both_clients_have_every_method_of_the_page(server):
    page = {
        "sandboxes": "create get list kill",
        "commands": "run start get cancel logs stream_logs",
        "files": "read write delete list stat mkdir move download_url",
        "artifacts": "create get list download download_url delete",
        "previews": "create get list revoke",
        "projects": "list",
    }
    for made in (CrowNest, AsyncCrowNest):
        client = made(api_key=KEY, base_url=server.base_url)
        for resource, methods in page.items():
            for method in methods.split():
                assert callable(getattr(getattr(client, resource), method)), (resource, method)


def test_five_megabytes_of_output_come_whole(client, sandbox):
    line = "i=0; while [ $i -lt 5 ]; do head -c 1048576 /dev/zero | tr '\\0' x; i=$((i+1)); done"
    result = client.commands.run(sandbox.id, line)
    assert len(result["stdout"]) == 5 << 20 and result["stdoutTruncated"] is False
    streamed = sum(
        len(event["data"])
        for event in client.commands.stream_logs(result["id"])
        if event["type"] == "log"
    )
    assert streamed == 5 << 20
