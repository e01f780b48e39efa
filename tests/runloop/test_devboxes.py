"""Devboxes: their lives, their parameters, their lists."""

import asyncio
import platform
import time

import httpx
import pytest
from runloop_api_client import (
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    UnprocessableEntityError,
)
from runloop_api_client.lib.polling import PollingConfig, PollingTimeout
from sdk import VERSION
from server import KEY

pytestmark = pytest.mark.anyio


async def exec_(sdk, devbox, command):
    result = await sdk(devbox.cmd.exec, command=command)
    return result.exit_code, await sdk(result.stdout)


async def test_a_devbox_runs_when_it_has_been_created(sdk, runloop, devbox):
    info = await sdk(devbox.get_info)
    assert info.status == "running" and info.name == "of-a-test"
    assert devbox.id == info.id and info.id.startswith("dbx_")
    assert abs(info.create_time_ms / 1000 - time.time()) < 600
    statuses = [step.status for step in info.state_transitions]
    assert statuses[0] == "provisioning" and statuses[-1] == "running"
    assert info.end_time_ms is None and info.failure_reason is None


async def test_its_user_has_a_home_and_a_login_shell(sdk, devbox):
    code, text = await exec_(sdk, devbox, "id -un; id -u; pwd; echo $HOME; shopt -q login_shell")
    assert (code, text) == (0, "user\n1000\n/home/user\n/home/user\n")
    code, _ = await exec_(sdk, devbox, "touch ~/mine && ! touch /root/x 2>/dev/null")
    assert code == 0


async def test_parameters_are_obeyed_and_said_again(sdk, runloop):
    parameters = {
        "resource_size_request": "CUSTOM_SIZE",
        "custom_cpu_cores": 1,
        "custom_gb_memory": 1,
        "custom_disk_size": 4,
        "launch_commands": ["echo one > order", "echo two >> order; echo $GREETING >> order"],
        "user_parameters": {"username": "dev", "uid": 4321},
        "keep_alive_time_seconds": 600,
    }
    devbox = await sdk(
        runloop.devbox.create,
        launch_parameters=parameters,
        environment_variables={"GREETING": "hello"},
        metadata={"team": "a b"},
        file_mounts={"/home/dev/a/b.txt": "mounted"},
        mounts=[{"type": "file_mount", "target": "c.txt", "content": "too"}],
    )
    info = await sdk(devbox.get_info)
    assert info.metadata == {"team": "a b"}
    assert info.launch_parameters.launch_commands == parameters["launch_commands"]
    assert info.launch_parameters.user_parameters.uid == 4321
    code, text = await exec_(sdk, devbox, "whoami; cat order a/b.txt c.txt")
    assert (code, text) == (0, "dev\none\ntwo\nhello\nmountedtoo")
    await sdk(devbox.shutdown)


async def test_root_works_in_its_own_home(sdk, runloop):
    parameters = {"user_parameters": {"username": "root", "uid": 0}}
    devbox = await sdk(runloop.devbox.create, launch_parameters=parameters)
    assert await exec_(sdk, devbox, "id -u; pwd") == (0, "0\n/root\n")
    await sdk(devbox.shutdown)


async def test_a_launch_command_that_fails_fails_the_devbox(sdk, runloop):
    parameters = {"launch_commands": ["true", "echo no >&2; exit 3"]}
    with pytest.raises(Exception, match="non-running terminal state: failure"):
        await sdk(runloop.devbox.create, name="doomed", launch_parameters=parameters)
    listed = await sdk(runloop.devbox.list, limit=1)
    info = await sdk(listed[0].get_info)
    assert (info.name, info.status, info.failure_reason) == ("doomed", "failure", "execution_failed")
    assert info.end_time_ms >= info.create_time_ms
    # The category says little; why it failed stands where it happened, and in the logs.
    why = "command 2 of its setup ended with status 3: no"
    assert info.state_transitions[-1].failure_reason == f"execution_failed: {why}"
    logs = (await sdk(runloop.api.devboxes.logs.list, info.id)).logs
    assert (logs[-1].level, logs[-1].message) == ("error", why)
    await sdk(listed[0].shutdown)


async def failed(sdk, runloop, **options):
    """A devbox whose set-up fails, and the last line of its logs."""
    with pytest.raises(Exception, match="non-running terminal state: failure"):
        await sdk(runloop.devbox.create, **options)
    info = await sdk((await sdk(runloop.devbox.list, limit=1))[0].get_info)
    logs = (await sdk(runloop.api.devboxes.logs.list, info.id)).logs
    return info, logs[-1].message


async def test_a_devbox_that_was_too_small_says_so(sdk, runloop):
    small = {"resource_size_request": "CUSTOM_SIZE", "custom_cpu_cores": 0.5}
    small |= {"custom_gb_memory": 0.5, "custom_disk_size": 0.5}
    content = bytes(600 << 20)
    storage = await sdk(
        runloop.storage_object.upload_from_bytes, content, name="large", content_type="binary"
    )
    mount = {"type": "object_mount", "object_id": storage.id, "object_path": "large"}
    info, why = await failed(sdk, runloop, mounts=[mount], launch_parameters=small)
    assert info.failure_reason == "out_of_disk" and storage.id in why, why
    small |= {"launch_commands": ["head -c 1G /dev/zero | tail > /dev/null; exit ${PIPESTATUS[1]}"]}
    info, why = await failed(sdk, runloop, launch_parameters=small)
    assert info.failure_reason == "out_of_memory" and "command 1" in why, why
    await sdk(storage.delete)


async def test_a_shutdown_is_told_at_once_and_for_ever(sdk, runloop):
    devbox = await sdk(runloop.devbox.create)
    gone = await sdk(devbox.shutdown)
    assert (gone.status, gone.shutdown_reason) == ("shutdown", "api_shutdown")
    info = await sdk(devbox.get_info)
    assert info.status == "shutdown" and info.end_time_ms is not None
    assert (await sdk(devbox.shutdown)).status == "shutdown"
    with pytest.raises(BadRequestError):
        await sdk(devbox.cmd.exec, command="true")


async def test_suspending_keeps_the_disk_and_resuming_launches_again(sdk, runloop, refused):
    parameters = {"launch_commands": ["echo begun >> begun"]}
    devbox = await sdk(runloop.devbox.create, launch_parameters=parameters)
    await sdk(devbox.file.write, file_path="kept", contents="kept")
    await sdk(devbox.suspend)
    await sdk(devbox.await_suspended)
    assert (await sdk(devbox.get_info)).status == "suspended"
    with refused(BadRequestError, 400):
        await sdk(runloop.api.devboxes.suspend, devbox.id)
    await sdk(devbox.resume)
    await sdk(devbox.await_running)
    assert await exec_(sdk, devbox, "cat kept begun") == (0, "keptbegun\nbegun\n")
    with refused(BadRequestError, 400):
        await sdk(runloop.api.devboxes.resume, devbox.id)
    await sdk(devbox.shutdown)


async def test_keeping_alive_answers_an_object(sdk, runloop, devbox):
    assert await sdk(runloop.api.devboxes.keep_alive, devbox.id) is not None


async def test_a_devbox_that_nobody_keeps_alive_is_shut_down(sdk, runloop):
    parameters = {"keep_alive_time_seconds": 4}
    devbox = await sdk(runloop.api.devboxes.create, launch_parameters=parameters)

    async def ended():
        return (await sdk(runloop.api.devboxes.retrieve, devbox.id)).status == "shutdown"

    deadline = time.monotonic() + 60
    while not await ended():
        assert time.monotonic() < deadline
    info = await sdk(runloop.api.devboxes.retrieve, devbox.id)
    assert info.shutdown_reason == "keep_alive_timeout"


async def test_an_idle_devbox_is_suspended(sdk, runloop):
    parameters = {"after_idle": {"idle_time_seconds": 2, "on_idle": "suspend"}}
    devbox = await sdk(runloop.devbox.create, launch_parameters=parameters)
    await sdk(devbox.await_suspended)
    await sdk(devbox.resume)
    await sdk(devbox.await_running)
    await sdk(devbox.shutdown)


async def test_lists_have_pages_and_filters(sdk, runloop):
    made = [await sdk(runloop.api.devboxes.create, name=f"listed-{n}") for n in range(3)]
    ids = [one.id for one in reversed(made)]
    page = await sdk(runloop.api.devboxes.list, limit=2)
    assert [one.id for one in page.devboxes] == ids[:2] and page.has_more
    page = await sdk(runloop.api.devboxes.list, limit=2, starting_after=ids[1])
    assert page.devboxes[0].id == ids[2]
    if sdk.name == "sync":
        first = []
        for one in await sdk(runloop.api.devboxes.list, limit=2):
            first.append(one.id)
            if len(first) == 3:
                break
        assert first == ids
    for one in made:
        await sdk(runloop.api.devboxes.shutdown, one.id)
    gone = await sdk(runloop.api.devboxes.list, limit=3, status="shutdown")
    assert [one.id for one in gone.devboxes] == ids
    running = await sdk(runloop.api.devboxes.list, limit=5000, status="running")
    assert not set(ids) & {one.id for one in running.devboxes}


async def test_a_page_has_5000_items_at_most(sdk, runloop, refused):
    for limit in (0, -1, 5001):
        with refused(BadRequestError, 400) as caught:
            await sdk(runloop.api.devboxes.list, limit=limit)
        assert "limit: must be from 1 to 5000" in caught.value.body["message"]


async def test_a_devbox_is_waited_for_as_long_as_was_said(sdk, runloop):
    name = f"slow-{time.time_ns()}"
    polling = PollingConfig(timeout_seconds=2.0, interval_seconds=1.0, max_attempts=1)
    began = time.monotonic()
    with pytest.raises(PollingTimeout):
        await sdk(
            runloop.devbox.create,
            name=name,
            launch_parameters={"launch_commands": ["sleep 60"]},
            polling_config=polling,
        )
    # Older SDKs tell nobody how long they will wait, and are held for ten seconds at once.
    assert time.monotonic() - began < (5 if VERSION >= (3,) else 14)
    [slow] = [one for one in await sdk(runloop.devbox.list) if (await sdk(one.get_info)).name == name]
    await sdk(slow.shutdown)


@pytest.mark.skipif(VERSION < (3,), reason="SDKs before 3.0 do not know it")
async def test_nothing_evicts_a_devbox(sdk, runloop):
    stream = await sdk(runloop.api.devboxes.watch_evictions)
    assert stream.response.headers["content-type"].startswith("text/event-stream")
    if sdk.name == "async":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 1)
    await sdk(stream.response.aclose if sdk.name == "async" else stream.close)


async def test_from_id_finds_one_that_runs(sdk, runloop, devbox):
    found = await sdk(runloop.devbox.from_id, devbox.id)
    assert (await sdk(found.get_info)).id == devbox.id


async def test_waits_answer_at_once_or_late_and_never_otherwise(server, devbox):
    url = f"{server.base_url}/v1/devboxes/{devbox.id}/wait_for_status"
    headers = {"authorization": f"Bearer {KEY}"}
    wait = {"statuses": ["running", "failure"], "timeout_seconds": 0.4999}
    reply = httpx.post(url, json=wait, headers=headers)
    assert (reply.status_code, reply.json()["status"]) == (200, "running")
    reply = httpx.post(url, json={**wait, "statuses": ["suspended"]}, headers=headers)
    assert reply.status_code == 408 and reply.headers["x-should-retry"] == "false"
    reply = httpx.post(url, json={**wait, "statuses": ["asleep"]}, headers=headers)
    assert reply.status_code == 400


async def test_a_repeated_request_makes_no_second_devbox(server):
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": f"once-{time.time_ns()}"}
    for path in ("devboxes", "devboxes/create_and_await_running"):
        url = f"{server.base_url}/v1/{path}"
        ids = {httpx.post(url, json={}, headers=headers, timeout=60).json()["id"] for _ in range(2)}
        assert len(ids) == 1
    httpx.post(f"{server.base_url}/v1/devboxes/{ids.pop()}/shutdown", headers=headers)


async def test_errors_are_told_by_their_status(sdk, server, runloop, devbox, refused):
    with refused(NotFoundError, 404):
        await sdk(runloop.api.devboxes.retrieve, "dbx_nobodys")
    with refused(NotFoundError, 404):
        await sdk(runloop.api.devboxes.retrieve, devbox.id.replace("dbx_", "sbx_"))
    for body in (
        {"launch_parameters": {"resource_size_request": "HUGE"}},
        {"launch_parameters": {"keep_alive_time_seconds": 10**6}},
        {"blueprint_id": "bpt_1", "snapshot_id": "snp_1"},
        {"name": "x" * 1000},
    ):
        with pytest.raises((BadRequestError, UnprocessableEntityError)):
            await sdk(runloop.api.devboxes.create, **body)
    for absent in (
        {"launch_parameters": {"required_services": ["db"]}},
        {"launch_parameters": {"lifecycle": {"resume_triggers": {"axon_event": True}}}},
        {"mounts": [{"type": "broker_mount", "axon_id": "axn_1"}]},
    ):
        with refused(InternalServerError, 501) as caught:
            await sdk(runloop.api.devboxes.create, **absent)
        assert "does not offer it; " in caught.value.body["message"]
    stranger = sdk.client(bearer_token="nobody's", base_url=server.base_url)
    with refused(AuthenticationError, 401):
        await sdk(stranger.api.devboxes.list)
    await sdk.close(stranger)


async def test_the_other_architecture_is_refused(sdk, runloop):
    other = "x86_64" if platform.machine() == "aarch64" else "arm64"
    with pytest.raises(BadRequestError):
        await sdk(runloop.api.devboxes.create, launch_parameters={"architecture": other})


async def test_the_context_ends_the_devbox(sdk, runloop):
    if sdk.name == "sync":

        def work():
            with runloop.devbox.create() as devbox:
                assert devbox.cmd.exec(command="true").success
            return devbox

        devbox = await sdk(work)
    else:
        async with await runloop.devbox.create() as devbox:
            assert (await devbox.cmd.exec(command="true")).success
    assert (await sdk(devbox.get_info)).status == "shutdown"


async def test_name_and_metadata_change_and_are_cleared(sdk, runloop, devbox):
    update = runloop.api.devboxes.update
    changed = await sdk(update, devbox.id, name="renamed", metadata={"a": "b"})
    assert (changed.name, changed.metadata) == ("renamed", {"a": "b"})
    changed = await sdk(update, devbox.id, metadata={"c": "d"})
    assert (changed.name, changed.metadata) == ("renamed", {"c": "d"})
    changed = await sdk(update, devbox.id, name="", metadata={})
    assert (changed.name, changed.metadata) == (None, {})
    assert (await sdk(devbox.get_info)).name is None


async def test_logs_tell_what_commands_did(sdk, runloop, devbox):
    result = await sdk(devbox.cmd.exec, command="echo said; echo complained >&2; exit 4")
    name = result.execution_id
    logs = (await sdk(runloop.api.devboxes.logs.list, devbox.id, execution_id=name)).logs
    assert logs[0].cmd == "echo said; echo complained >&2; exit 4" and logs[0].source == "exec"
    assert {one.message for one in logs[1:-1]} == {"said", "complained"}
    assert logs[-1].exit_code == 4 and {one.cmd_id for one in logs} == {name}
    every = (await sdk(runloop.api.devboxes.logs.list, devbox.id)).logs
    assert [one.cmd for one in every if one.cmd] == [logs[0].cmd]


async def test_long_logs_have_their_end(sdk, runloop, devbox):
    await sdk(devbox.cmd.exec, command="echo first")
    await sdk(devbox.cmd.exec, command="seq 1 300000; echo the end; exit 3")
    await sdk(devbox.cmd.exec, command="echo third")
    logs = (await sdk(runloop.api.devboxes.logs.list, devbox.id)).logs
    assert len(logs) <= 10_003
    assert logs[0].cmd.startswith("seq") and logs[1].level == "warn"
    lines = [line.message for line in logs if line.message]
    assert lines[-3:] == ["300000", "the end", "third"]
    numbers = [int(line) for line in lines[1:-2]]
    assert numbers == list(range(numbers[0], 300_001)) and len(numbers) > 9000


async def test_a_variable_that_no_process_could_have_is_refused(sdk, runloop, refused):
    fits, too_long = ({"BIG": "x" * bytes_} for bytes_ in (131_067, 131_068))
    devbox = await sdk(runloop.devbox.create, environment_variables=fits)
    assert await exec_(sdk, devbox, "echo ${#BIG}") == (0, "131067\n")
    await sdk(devbox.shutdown)
    with refused(BadRequestError, 400) as caught:
        await sdk(runloop.api.devboxes.create, environment_variables=too_long)
    assert "BIG" in str(caught.value)


async def test_what_is_wrong_is_said_in_the_words_of_the_request(sdk, runloop, refused):
    idle = {"after_idle": {"idle_time_seconds": 0, "on_idle": "suspend"}}
    with refused(BadRequestError, 400) as caught:
        await sdk(runloop.api.devboxes.create, launch_parameters=idle)
    assert "after_idle.idle_time_seconds: must be from 1" in str(caught.value)
    devbox = await sdk(runloop.devbox.create)
    await sdk(devbox.suspend)
    await sdk(devbox.await_suspended)
    with refused(BadRequestError, 400) as caught:
        await sdk(devbox.cmd.exec, command="true")
    assert "the devbox is suspended; resume it first" in str(caught.value)
    await sdk(devbox.shutdown)
    with refused(BadRequestError, 400) as caught:
        await sdk(devbox.cmd.exec, command="true")
    assert "the devbox has been shut down" in str(caught.value)
