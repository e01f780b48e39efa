"""The vendor's guide of its object-oriented client, from top to bottom, each snippet as it is printed
(but for key, address and what no released SDK takes), against a server of its own."""

import asyncio
import pathlib
import tarfile

import pytest
import runloop_api_client
from runloop_api_client import AsyncRunloopSDK, RunloopSDK
from runloop_api_client.lib.polling import PollingConfig
from sdk import VERSION
from server import KEY, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("seed")).start()
    yield server
    server.stop()


@pytest.fixture
def runloop(server, monkeypatch):
    monkeypatch.setenv("RUNLOOP_API_KEY", KEY)
    monkeypatch.setenv("RUNLOOP_BASE_URL", server.base_url)
    with RunloopSDK() as runloop:
        yield runloop


def test_quickstart_synchronous(runloop, capsys):
    with runloop.devbox.create(name="my-devbox") as devbox:
        result = devbox.cmd.exec(command="echo 'Hello from Runloop!'")
        print(result.stdout())
        devbox.cmd.exec(command="ls -la", stdout=lambda line: print("stdout:", line))
    printed = capsys.readouterr().out
    assert printed.startswith("Hello from Runloop!\n\nstdout: total")
    blueprint = runloop.blueprint.create(
        name="my-blueprint",
        dockerfile="FROM host\nRUN echo 'Hello' > /hello.txt\n",
    )
    devbox = blueprint.create_devbox(name="dev-from-blueprint")
    assert devbox.file.read(file_path="/hello.txt") == "Hello\n"
    devbox.shutdown()
    obj = runloop.storage_object.upload_from_text("Hello world!", name="greeting.txt")
    assert obj.download_as_text() == "Hello world!"


def test_quickstart_asynchronous(runloop, capsys):
    async def main():
        runloop = AsyncRunloopSDK()
        async with await runloop.devbox.create(name="async-devbox") as devbox:
            result = await devbox.cmd.exec(command="pwd")
            print(await result.stdout())

            def capture(line: str) -> None:
                print(">>", line)

            await devbox.cmd.exec(command="ls -d /", stdout=capture)
            await devbox.file.write(file_path="/tmp/test.txt", contents="Hello")
            assert await devbox.file.read(file_path="/tmp/test.txt") == "Hello"
        await runloop.aclose()

    asyncio.run(main())
    assert capsys.readouterr().out == "/home/user\n\n>> /\n\n"


def test_devboxes(runloop):
    devbox = runloop.devbox.create(name="my-devbox")
    existing = runloop.devbox.from_id(devbox_id=devbox.id)
    devboxes = runloop.devbox.list(limit=10)
    assert devbox.id in [one.id for one in devboxes]
    info = existing.get_info()
    assert f"Devbox {info.name} is {info.status}" == "Devbox my-devbox is running"
    devbox.suspend()
    devbox.await_suspended()
    devbox.resume()
    devbox.keep_alive()
    devbox.await_running()
    devbox.shutdown()


def test_executions(runloop):
    with runloop.devbox.create() as devbox:
        result = devbox.cmd.exec(command="ls -la /tmp")
        assert (result.exit_code, result.success, result.failed) == (0, True, False)
        assert result.stdout().startswith("total") and result.stderr() == ""
        assert result.result.status == "completed"
        execution = devbox.cmd.exec_async(command="sleep 600")
        assert execution.execution_id and execution.devbox_id == devbox.id
        state = execution.get_state()
        assert (state.status, state.exit_status) == ("running", None)
        execution.kill()
        assert execution.result().failed
        lines, errors, everything = [], [], []
        result = devbox.cmd.exec(
            command="echo out; echo err >&2",
            stdout=lines.append,
            stderr=errors.append,
            output=everything.append,
        )
        assert (lines, errors, result.exit_code) == (["out\n"], ["err\n"], 0)
        assert sorted(everything) == ["err\n", "out\n"]


def test_files(runloop, tmp_path):
    with runloop.devbox.create() as devbox:
        text = 'console.log("Hello from devbox!");'
        devbox.file.write(file_path="/home/user/app.js", contents=text)
        assert devbox.file.read(file_path="/home/user/app.js") == text
        local = tmp_path / "local_file.txt"
        local.write_text("of here")
        devbox.file.upload(path="/home/user/upload.txt", file=pathlib.Path(local))
        data = devbox.file.download(path="/home/user/upload.txt")
        assert data == b"of here"


def test_network(runloop):
    with runloop.devbox.create() as devbox:
        ssh_key = devbox.net.create_ssh_key()
        assert ssh_key.url and "PRIVATE KEY" in ssh_key.ssh_private_key
        if VERSION < (1, 12):
            tunnel = devbox.net.create_tunnel(port=8080)
            assert tunnel.url.startswith("http")
            devbox.net.remove_tunnel(port=8080)


def test_blueprints(runloop):
    blueprint = runloop.blueprint.create(
        name="my-blueprint-name",
        dockerfile="FROM host\nRUN mkdir /of-the-dockerfile\n",
        system_setup_commands=["echo numpy > installed"],
    )
    found = runloop.blueprint.from_id(blueprint_id=blueprint.id)
    assert blueprint.id in [one.id for one in runloop.blueprint.list()]
    assert found.get_info().status == "build_complete"
    assert found.logs().logs
    devboxes = (
        blueprint.create_devbox(name="devbox-from-blueprint"),
        runloop.devbox.create_from_blueprint_name(
            blueprint_name="my-blueprint-name", name="my-devbox-from-blueprint"
        ),
    )
    blueprint.delete()
    for devbox in devboxes:
        result = devbox.cmd.exec(command="cat installed; ls -d /of-the-dockerfile")
        assert result.stdout() == "numpy\n/of-the-dockerfile\n"
        devbox.shutdown()


def test_snapshots(runloop):
    polling = PollingConfig(timeout_seconds=300.0, interval_seconds=2.0)
    devbox = runloop.devbox.create(name="my-devbox", polling_config=polling)
    devbox.cmd.exec(command="echo feature > feature")
    snapshot = devbox.snapshot_disk(name="my-snapshot", commit_message="Added new features")
    later = devbox.snapshot_disk_async(name="my-snapshot", commit_message="Added new features")
    later.await_completed(
        polling_config=PollingConfig(timeout_seconds=600.0, interval_seconds=5.0)
    )
    found = runloop.snapshot.from_id(snapshot_id=snapshot.id)
    assert {one.id for one in runloop.snapshot.list()} >= {snapshot.id, later.id}
    assert len(runloop.snapshot.list(devbox_id=devbox.id)) == 2
    assert found.get_info().status == "complete"
    found.update(name="updated-snapshot-name", metadata={"version": "v2.0"})
    new = snapshot.create_devbox(name="devbox-from-snapshot")
    other = runloop.devbox.create_from_snapshot(
        snapshot_id=snapshot.id, name="my-devbox-from-snapshot"
    )
    found.delete()
    assert found.get_info().status == "deleted"
    for one in (new, other):
        assert one.cmd.exec(command="cat feature").stdout() == "feature\n"
        one.shutdown()
    devbox.shutdown()


def test_storage_objects(runloop, tmp_path):
    storage = runloop.storage_object.create(
        name="my-file.txt", content_type="text", metadata={"project": "demo"}
    )
    storage.upload_content("Hello, World!")
    storage.complete()
    path = tmp_path / "file.txt"
    path.write_text("of a file")
    uploaded = runloop.storage_object.upload_from_file(path, name="my-file.txt")
    assert uploaded.download_as_text() == "of a file"
    uploaded = runloop.storage_object.upload_from_text(
        "Hello, World!", name="my-text.txt", metadata={"source": "text"}
    )
    uploaded = runloop.storage_object.upload_from_bytes(
        b"binary content", name="my-file.bin", content_type="binary"
    )
    assert uploaded.download_as_bytes() == b"binary content"
    assert storage.refresh().state == "READ_ONLY"
    assert storage.get_download_url(duration_seconds=3600).download_url.startswith("http")
    assert storage.download_as_text() == "Hello, World!"
    assert storage.id in [one.id for one in runloop.storage_object.list()]
    storage.delete()


def test_mounts(runloop, tmp_path):
    storage = runloop.storage_object.upload_from_text("Hello, World!", name="my-data.txt")
    packed = tmp_path / "project.tar.gz"
    (tmp_path / "readme").write_text("read me")
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(tmp_path / "readme", "readme")
    project = runloop.storage_object.upload_from_file(packed, name="project.tar.gz")
    mounts = [
        {
            "type": "object_mount",
            "object_id": storage.id,
            "object_path": "/home/user/data.txt",
        },
        {
            "type": "object_mount",
            "object_id": project.id,
            "object_path": "/home/user/project",
        },
    ]
    with runloop.devbox.create(name="my-devbox", mounts=mounts) as devbox:
        result = devbox.cmd.exec(command="cat /home/user/data.txt")
        assert result.stdout() == "Hello, World!"
        assert "readme" in devbox.cmd.exec(command="ls -la /home/user/project/").stdout()


def test_the_rest_client_and_errors(runloop):
    raw = runloop.api.devboxes.create()
    assert raw.status in ("provisioning", "initializing", "running")
    runloop.api.devboxes.shutdown(raw.id)
    with pytest.raises(runloop_api_client.NotFoundError) as caught:
        runloop.api.devboxes.retrieve("dbx_nobodys")
    assert caught.value.status_code == 404 and caught.value.response is not None
    nowhere = RunloopSDK(base_url="http://127.0.0.1:9/runloop", max_retries=0)
    with pytest.raises(runloop_api_client.APIConnectionError) as caught:
        nowhere.devbox.create(name="example-devbox")
    assert caught.value.__cause__ is not None


def test_configuration(server):
    runloop = RunloopSDK(
        bearer_token=KEY,
        base_url=server.base_url,
        timeout=60.0,
        max_retries=3,
        default_headers={"X-Custom-Header": "value"},
    )
    assert isinstance(runloop.devbox.list(), list)
    runloop.close()
