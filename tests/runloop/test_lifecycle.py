"""What devboxes do before they sleep."""

import time

import httpx
import pytest
from runloop_api_client import BadRequestError
from server import KEY

pytestmark = pytest.mark.anyio


def hooks(*commands, deadline=None, **others):
    said = {"suspend_commands": list(commands)}
    if deadline is not None:
        said["suspend_deadline_ms"] = deadline
    lifecycle = {"lifecycle_hooks": said, **others.pop("lifecycle", {})}
    return {**others, "lifecycle": lifecycle}


async def text(sdk, devbox, command):
    result = await sdk(devbox.cmd.exec, command=command)
    return await sdk(result.stdout)


async def test_suspend_commands_run_as_its_user_and_may_fail(sdk, runloop):
    commands = ["id -un >> log", "echo oh no >&2; exit 3", "echo last >> log"]
    launch = hooks(*commands, launch_commands=["echo launched >> log"])
    devbox = await sdk(runloop.devbox.create, launch_parameters=launch)
    said = (await sdk(devbox.get_info)).to_dict()["launch_parameters"]
    assert said["lifecycle"]["lifecycle_hooks"] == {"suspend_commands": commands}
    await sdk(devbox.suspend)
    await sdk(devbox.await_suspended)
    await sdk(devbox.resume)
    await sdk(devbox.await_running)
    assert await text(sdk, devbox, "cat log") == "launched\nuser\nlast\nlaunched\n"
    logs = (await sdk(runloop.api.devboxes.logs.list, devbox.id)).logs
    failed = [log.cmd_id for log in logs if log.exit_code == 3]
    assert [log.message for log in logs if log.cmd_id in failed and log.message] == ["oh no"]
    await sdk(devbox.shutdown)


async def test_a_devbox_is_suspending_until_its_commands_are_over(sdk, runloop, refused):
    launch = hooks("while ! test -e go; do sleep 0.05; done; echo said > log")
    devbox = await sdk(runloop.devbox.create, launch_parameters=launch)
    await sdk(devbox.cmd.exec, command="(sleep 2; touch go) > /dev/null 2>&1 &")
    view = await sdk(runloop.api.devboxes.suspend, devbox.id)
    assert view.status == "suspending"
    listed = await sdk(runloop.api.devboxes.list, status="suspending")
    assert devbox.id in [one.id for one in listed.devboxes]
    # Nothing new begins in it, and it is neither suspended again nor resumed yet.
    for call in (runloop.api.devboxes.suspend, runloop.api.devboxes.resume):
        with refused(BadRequestError, 400):
            await sdk(call, devbox.id)
    with refused(BadRequestError, 400):
        await sdk(runloop.api.devboxes.execute_sync, devbox.id, command="true")
    await sdk(devbox.await_suspended)
    await sdk(devbox.resume)
    await sdk(devbox.await_running)
    assert await text(sdk, devbox, "cat log") == "said\n"
    await sdk(devbox.shutdown)


async def test_what_hangs_is_given_up_at_the_deadline(sdk, runloop):
    launch = hooks("trap '' TERM; echo hangs > log; sleep 600", "echo more >> log", deadline=800)
    devbox = await sdk(runloop.devbox.create, launch_parameters=launch)
    begun = time.monotonic()
    await sdk(devbox.suspend)
    await sdk(devbox.await_suspended)
    assert time.monotonic() - begun < 30
    await sdk(devbox.resume)
    await sdk(devbox.await_running)
    assert await text(sdk, devbox, "cat log") == "hangs\n"
    await sdk(devbox.shutdown)


async def test_an_idle_devbox_runs_them_too(sdk, runloop):
    idle = {"after_idle": {"idle_time_seconds": 2, "on_idle": "suspend"}}
    launch = hooks("echo idle > log", lifecycle=idle)
    devbox = await sdk(runloop.devbox.create, launch_parameters=launch)
    await sdk(devbox.await_suspended)
    await sdk(devbox.resume)
    await sdk(devbox.await_running)
    assert await text(sdk, devbox, "cat log") == "idle\n"
    await sdk(devbox.shutdown)


async def test_a_shutdown_runs_none_and_waits_for_none(sdk, runloop):
    launch = hooks("sleep 600")
    devbox = await sdk(runloop.devbox.create, launch_parameters=launch)
    await sdk(runloop.api.devboxes.suspend, devbox.id)
    assert (await sdk(devbox.get_info)).status == "suspending"
    begun = time.monotonic()
    await sdk(devbox.shutdown)
    assert time.monotonic() - begun < 25
    assert (await sdk(devbox.get_info)).status == "shutdown"


async def test_a_repeated_request_is_answered_alike(sdk, runloop, server):
    devbox = await sdk(runloop.devbox.create, launch_parameters=hooks("sleep 2"))
    url = f"{server.base_url}/v1/devboxes/{devbox.id}/suspend"
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": "once"}
    first = httpx.post(url, json={}, headers=headers)
    again = httpx.post(url, json={}, headers={**headers, "x-stainless-retry-count": "1"})
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json()["status"] in ("suspending", "suspended")
    await sdk(devbox.shutdown)


async def test_deadlines_have_bounds(sdk, runloop, refused):
    for deadline in (0, 60_001):
        with refused(BadRequestError, 400) as caught:
            launch = hooks("true", deadline=deadline)
            await sdk(runloop.api.devboxes.create, launch_parameters=launch)
        assert "suspend_deadline_ms" in caught.value.body["message"]


async def test_a_devbox_with_an_entrypoint_is_shut_down_with_it(sdk, runloop, server):
    devbox = await sdk(
        runloop.devbox.create,
        entrypoint="cat log > seen; id -un >> seen; while ! test -e go; do sleep 0.05; done; exit 3",
        launch_parameters={"launch_commands": ["echo launched > log"]},
    )
    assert (await sdk(devbox.get_info)).status == "running"
    seen = ""
    while len(seen.splitlines()) < 2:
        seen = await text(sdk, devbox, "cat seen 2>/dev/null")
    assert seen == "launched\nuser\n"
    await sdk(runloop.api.devboxes.execute_async, devbox.id, command="touch go")
    url = f"{server.base_url}/v1/devboxes/{devbox.id}/wait_for_status"
    wait = {"statuses": ["shutdown"], "timeout_seconds": 20}
    ended = httpx.post(url, json=wait, headers={"authorization": f"Bearer {KEY}"}, timeout=60)
    assert (ended.status_code, ended.json()["status"]) == (200, "shutdown")
    info = await sdk(devbox.get_info)
    assert (info.status, info.shutdown_reason) == ("shutdown", "entrypoint_exit")


async def test_an_entrypoint_is_begun_again_when_a_devbox_is_resumed(sdk, runloop):
    devbox = await sdk(runloop.devbox.create, entrypoint="echo begun >> log; exec sleep 600")
    for begun in (1, 2):
        while (await text(sdk, devbox, "cat log 2>/dev/null")).count("begun") < begun:
            pass
        await sdk(devbox.suspend)
        await sdk(devbox.await_suspended)
        await sdk(devbox.resume)
        await sdk(devbox.await_running)
    await sdk(devbox.shutdown)
    assert (await sdk(devbox.get_info)).shutdown_reason == "api_shutdown"
