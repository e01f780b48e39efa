"""Blueprints: builds, their logs, and devboxes made from them."""

import hashlib
import time

import httpx
import pytest
from runloop_api_client import BadRequestError, NotFoundError, RunloopError
from server import KEY

pytestmark = pytest.mark.anyio


async def test_a_devbox_from_a_blueprint_has_what_was_built(sdk, runloop):
    name = f"my-blueprint {time.time_ns()}"
    blueprint = await sdk(
        runloop.blueprint.create,
        name=name,
        dockerfile="FROM host\nRUN echo 'Hello' > /hello.txt\n",
        system_setup_commands=["whoami > who", f"echo set up {name}"],
        file_mounts={"/etc/mounted": "a file"},
        metadata={"team": "a"},
        launch_parameters={"launch_commands": ["touch launched"]},
    )
    info = await sdk(blueprint.get_info)
    assert (info.name, info.status, info.state) == (name, "build_complete", "created")
    assert info.id.startswith("bpt_") and info.metadata == {"team": "a"}
    assert info.parameters.system_setup_commands == ["whoami > who", f"echo set up {name}"]
    logs = (await sdk(blueprint.logs)).logs
    assert f"set up {name}" in [line.message for line in logs]
    for make, how in (
        (blueprint.create_devbox, {}),
        (runloop.devbox.create_from_blueprint_id, {"blueprint_id": blueprint.id}),
        (runloop.devbox.create_from_blueprint_name, {"blueprint_name": name}),
    ):
        devbox = await sdk(make, name="devbox-from-blueprint", **how)
        result = await sdk(devbox.cmd.exec, command="cat /hello.txt who /etc/mounted; ls launched")
        assert await sdk(result.stdout) == "Hello\nuser\na filelaunched\n"
        assert (await sdk(devbox.get_info)).blueprint_id == blueprint.id
        await sdk(devbox.shutdown)
    listed = await sdk(runloop.blueprint.list, name=name)
    assert [one.id for one in listed] == [blueprint.id]
    upon = await sdk(
        runloop.blueprint.create,
        name=f"{name} upon",
        base_blueprint_id=blueprint.id,
        system_setup_commands=["cat /hello.txt > again"],
    )
    assert (await sdk(upon.get_info)).base_blueprint_id == blueprint.id
    await sdk(upon.delete)
    devbox = await sdk(blueprint.create_devbox)
    snapshot = await sdk(devbox.snapshot_disk)
    assert (await sdk(snapshot.get_info)).snapshot.source_blueprint_id == blueprint.id
    for source, wanted in ((blueprint, [snapshot.id]), (upon, [])):
        listed = await sdk(runloop.snapshot.list, source_blueprint_id=source.id)
        assert [one.id for one in listed] == wanted
    await sdk(blueprint.delete)
    result = await sdk(devbox.cmd.exec, command="cat /hello.txt")
    assert await sdk(result.stdout) == "Hello\n", "it outlives its blueprint"
    await sdk(devbox.shutdown)
    assert (await sdk(blueprint.get_info)).state == "deleted"
    with pytest.raises(NotFoundError):
        await sdk(runloop.api.devboxes.create, blueprint_id=blueprint.id)
    with pytest.raises(NotFoundError):
        await sdk(runloop.api.devboxes.create, blueprint_name=name)


async def test_a_build_that_fails_says_so_with_its_log(sdk, runloop):
    name = f"broken-{time.time_ns()}"
    with pytest.raises(RunloopError, match="failed"):
        await sdk(
            runloop.blueprint.create,
            name=name,
            dockerfile="FROM host\nRUN echo before; echo too bad >&2; exit 3\n",
        )
    failed = (await sdk(runloop.api.blueprints.list, name=name)).blueprints[0]
    assert (failed.status, failed.failure_reason) == ("failed", "build_failed")
    logs = (await sdk(runloop.api.blueprints.logs, failed.id)).logs
    assert {"before", "too bad"} <= {line.message for line in logs}
    with pytest.raises(BadRequestError):
        await sdk(runloop.api.devboxes.create, blueprint_id=failed.id)
    await sdk(runloop.api.blueprints.delete, failed.id)


async def test_a_context_is_what_copies_are_taken_from(sdk, runloop, tmp_path):
    (tmp_path / "from-context").write_text("of the context")
    storage = await sdk(runloop.storage_object.upload_from_dir, tmp_path, name="context")
    blueprint = await sdk(
        runloop.blueprint.create,
        name=f"with-context-{time.time_ns()}",
        dockerfile="FROM host\nCOPY from-context /copied\n",
        build_context={"type": "object", "object_id": storage.id},
    )
    devbox = await sdk(blueprint.create_devbox)
    assert await sdk(devbox.file.read, file_path="/copied") == "of the context"
    await sdk(devbox.shutdown)


async def test_what_is_no_blueprint_is_refused(sdk, runloop, refused):
    with refused(NotFoundError, 404):
        await sdk(runloop.api.blueprints.retrieve, "bpt_nobodys")
    with refused(BadRequestError, 400):
        await sdk(runloop.api.blueprints.create, name="bad", dockerfile="NOT A DOCKERFILE")
    preview = await sdk(runloop.api.blueprints.preview, name="p")
    assert preview.dockerfile.startswith("FROM ")


async def test_secrets_are_in_the_environment_of_a_build_and_nowhere_else(sdk, runloop, server):
    value = f"of-the-build-{time.time_ns()}"
    named = await sdk(runloop.api.secrets.create, name=f"BUILD-{time.time_ns()}", value=value)
    # Another line each time: another value alone makes no step anew.
    seen = f': {time.time_ns()}; test "$PASS" && printf %s "$PASS" | sha256sum | cut -d" " -f1'
    blueprint = await sdk(
        runloop.blueprint.create,
        name=f"with-secrets-{time.time_ns()}",
        dockerfile=f"FROM host\nRUN {seen} > /seen\n",
        system_setup_commands=[f"{seen} > mine"],
        secrets={"PASS": named.name},
    )
    parameters = (await sdk(blueprint.get_info)).parameters.to_dict()
    assert parameters["secrets"] == {"PASS": named.name}
    devbox = await sdk(blueprint.create_devbox)
    result = await sdk(devbox.cmd.exec, command="cat /seen mine; echo ${PASS:-none}")
    digest = hashlib.sha256(value.encode()).hexdigest()
    assert await sdk(result.stdout) == f"{digest}\n{digest}\nnone\n"
    search = f"grep -rslF -f <(printf '%s%s\\n' {value[:9]} {value[9:]}) $HOME /etc /tmp /run /seen"
    result = await sdk(devbox.cmd.exec, command=search)
    assert await sdk(result.stdout) == ""
    shown = (await sdk(blueprint.get_info)).to_json()
    shown += (await sdk(blueprint.logs)).to_json()
    headers = {"authorization": f"Bearer {KEY}"}
    for path in ("/v1/builds", "/v1/images", "/v1/audit"):
        shown += httpx.get(server.url + path, headers=headers).raise_for_status().text
    assert value not in shown
    await sdk(devbox.shutdown)
    await sdk(blueprint.delete)
    await sdk(runloop.api.secrets.delete, named.name)


async def test_a_secret_of_a_build_has_to_be_there(sdk, runloop, refused):
    with refused(NotFoundError, 404):
        await sdk(
            runloop.api.blueprints.create,
            name="without",
            dockerfile="FROM host\n",
            secrets={"PASS": "nobodys-secret"},
        )


async def test_a_home_is_its_users_whoever_made_it(sdk, runloop):
    dockerfile = "FROM host\nRUN mkdir -p /home/user/proj\n"
    for how in (
        {"file_mounts": {"/home/user/cfg.txt": "c", "~/.a/b/c": "", "/etc/g": ""}},
        {
            "file_mounts": {"/home/user/cfg.txt": "c", "~/.a/b/c": "", "/etc/g": ""},
            "system_setup_commands": ["echo more >> cfg.txt"],
        },
        {},
    ):
        name = f"home-{time.time_ns()}"
        blueprint = await sdk(runloop.blueprint.create, name=name, dockerfile=dockerfile, **how)
        devbox = await sdk(blueprint.create_devbox)
        seen = "touch ~/new && stat -c '%n %U' . proj cfg.txt .a .a/b .a/b/c /etc/g 2>/dev/null"
        result = await sdk(devbox.cmd.exec, command=seen)
        lines = (await sdk(result.stdout)).splitlines()
        assert lines[:2] == [". user", "proj root"]
        if how:
            theirs = [f"{path} user" for path in ("cfg.txt", ".a", ".a/b", ".a/b/c")]
            assert lines[2:] == [*theirs, "/etc/g root"]
        await sdk(devbox.shutdown)
        await sdk(blueprint.delete)


async def failing(sdk, runloop, line):
    """The log of a build whose line fails."""
    name = f"fails-{time.time_ns()}"
    dockerfile = f"FROM host\nRUN {line}\n"
    with pytest.raises(RunloopError, match="failed"):
        await sdk(runloop.blueprint.create, name=name, dockerfile=dockerfile)
    failed = (await sdk(runloop.api.blueprints.list, name=name)).blueprints[0]
    logs = (await sdk(runloop.api.blueprints.logs, failed.id)).logs
    await sdk(runloop.api.blueprints.delete, failed.id)
    return failed, logs


async def test_a_long_log_of_a_build_has_its_end(sdk, runloop):
    _, logs = await failing(sdk, runloop, "seq 1 300000; echo the error; exit 1")
    lines = [line.message for line in logs]
    assert {"1", "19000", "300000", "the error"} <= set(lines)
    assert lines.index("300000") + 1 == lines.index("the error") >= len(lines) - 3
    notices = [line.message for line in logs if line.level == "warn"]
    assert len(notices) == 1 and notices[0].endswith("lines are left out here")
    left_out = int(notices[0].split()[0])
    # Two steps, the failure and the notice are lines too.
    assert len(lines) + left_out == 300_000 + 1 + 2 + 1 + 1


async def test_a_line_of_a_log_is_whole_however_it_was_written(sdk, runloop):
    pieces = r"printf a; sleep .3; printf 'b\303'; sleep .3; printf '\274c\n'; printf end; exit 1"
    _, logs = await failing(sdk, runloop, pieces)
    assert ["abüc", "end"] == [line.message for line in logs][-3:-1]


@pytest.mark.parametrize(
    ("name", "uid", "home"), [("zoe", 1777, "/home/zoe"), ("root", 0, "/root")]
)
async def test_set_up_commands_run_as_the_user_of_launch_parameters(
    sdk, runloop, name, uid, home
):
    blueprint = await sdk(
        runloop.blueprint.create,
        name=f"users-{time.time_ns()}",
        dockerfile="FROM host\n",
        system_setup_commands=["id -u > who; pwd >> who", "test -w cfg"],
        file_mounts={"cfg": "c"},
        launch_parameters={"user_parameters": {"username": name, "uid": uid}},
    )
    devbox = await sdk(blueprint.create_devbox)
    seen = "cat who; pwd; id -un; stat -c '%u %n' who cfg . && touch new"
    result = await sdk(devbox.cmd.exec, command=seen)
    expected = f"{uid}\n{home}\n{home}\n{name}\n{uid} who\n{uid} cfg\n{uid} .\n"
    assert await sdk(result.stdout) == expected
    await sdk(devbox.shutdown)
    await sdk(blueprint.delete)


async def test_a_build_that_takes_too_much_memory_says_so(sdk, runloop):
    line = "bash -c 'head -c 100G /dev/zero | tail > /dev/null; exit ${PIPESTATUS[1]}'"
    failed, logs = await failing(sdk, runloop, line)
    assert failed.failure_reason == "out_of_memory"
    assert "ran out of memory" in logs[-1].message


async def test_what_was_taken_from_the_cache_is_in_the_log(sdk, runloop):
    dockerfile = f"FROM host\nRUN echo {time.time_ns()}\nRUN echo after\n"
    taken = []
    for name in ("first", "again"):
        blueprint = await sdk(runloop.blueprint.create, name=name, dockerfile=dockerfile)
        lines = [line.message for line in (await sdk(blueprint.logs)).logs]
        taken.append([was for line, was in zip(lines, lines[1:]) if line.startswith("RUN")])
        await sdk(blueprint.delete)
    assert "taken from the cache" not in taken[0] and taken[1] == ["taken from the cache"] * 2


async def test_a_build_of_nothing_new_is_complete_at_once(sdk, runloop):
    request = {"name": "at-once", "dockerfile": f"FROM host\nRUN sleep 1; echo {time.time_ns()}\n"}
    first = await sdk(runloop.api.blueprints.create, **request)
    assert first.status in ("queued", "building")
    await sdk(runloop.api.blueprints.await_build_complete, first.id)
    again = [await sdk(runloop.api.blueprints.create, **request) for _ in range(3)]
    assert "build_complete" in [one.status for one in again]
    for one in (first, *again):
        await sdk(runloop.api.blueprints.delete, one.id)


async def test_what_is_copied_is_not_older_than_its_source(sdk, runloop):
    began = int(time.time())
    blueprint = await sdk(
        runloop.blueprint.create,
        name="times",
        dockerfile=f"FROM host\nRUN echo {time.time_ns()}\nCOPY <<EOF /made/of/text\ntext\nEOF\n",
        file_mounts={"/mounted/file": "text"},
    )
    devbox = await sdk(blueprint.create_devbox)
    places = "/made /made/of /made/of/text /mounted /mounted/file"
    result = await sdk(devbox.cmd.exec, command=f"stat -c %Y {places}")
    times = [int(line) for line in (await sdk(result.stdout)).split()]
    assert len(times) == 5 and all(began - 1 <= one <= time.time() + 1 for one in times), times
    await sdk(devbox.shutdown)


async def test_what_has_no_effect_is_in_the_log(sdk, runloop):
    dockerfile = "FROM host\nVOLUME /data\nSTOPSIGNAL SIGINT\nHEALTHCHECK CMD true\n"
    blueprint = await sdk(
        runloop.blueprint.create, name=f"warned-{time.time_ns()}", dockerfile=dockerfile
    )
    logs = (await sdk(blueprint.logs)).logs
    warned = [line.message for line in logs if line.level == "warn"]
    assert [line.split(": ")[0] for line in warned] == [f"Dockerfile line {n}" for n in (2, 3, 4)]
    await sdk(blueprint.delete)


async def test_nothing_of_a_project_is_public(sdk, runloop, server):
    assert (await sdk(runloop.api.blueprints.list_public)).blueprints == []
    assert (await sdk(runloop.api.objects.list_public)).objects == []
    response = httpx.post(
        f"{server.base_url}/v1/blueprints/create_from_inspection",
        headers={"authorization": f"Bearer {KEY}"},
        json={},
    )
    assert response.status_code == 501
