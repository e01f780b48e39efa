"""Executions: their ends, their output, their streams."""

import asyncio
import hashlib
import json
import time
import uuid

import httpx
import pytest
from runloop_api_client import BadRequestError, NotFoundError
from sdk import VERSION
from server import KEY

pytestmark = pytest.mark.anyio


async def test_a_result_tells_how_it_ended(sdk, devbox):
    result = await sdk(devbox.cmd.exec, command="echo out; echo err >&2; exit 7")
    assert (result.exit_code, result.success, result.failed) == (7, False, True)
    assert await sdk(result.stdout) == "out\n"
    assert await sdk(result.stderr) == "err\n"
    assert result.result.devbox_id == devbox.id
    missing = await sdk(devbox.cmd.exec, command="no-such-program")
    assert missing.exit_code == 127


async def test_callbacks_get_all_output_in_order(sdk, devbox):
    out, err, both = [], [], []
    line = "for n in $(seq 300); do echo é$n; done; echo oops >&2"
    result = await sdk(
        devbox.cmd.exec, command=line, stdout=out.append, stderr=err.append, output=both.append
    )
    whole = "".join(f"é{n}\n" for n in range(1, 301))
    assert "".join(out) == whole and "".join(err) == "oops\n"
    assert sorted("".join(both)) == sorted(whole + "oops\n")
    # The reply holds the last hundred lines, and the client reads the rest.
    assert result.result.stdout_truncated is True
    assert await sdk(result.stdout) == whole
    assert await sdk(result.stdout, num_lines=2) == "é299\né300"


async def test_large_output_is_exact(sdk, devbox):
    line = "head -c 3000000 /dev/zero | tr '\\0' x; printf 'ü%.0s' $(seq 5000)"
    result = await sdk(devbox.cmd.exec, command=line)
    assert await sdk(result.stdout) == "x" * 3_000_000 + "ü" * 5000


async def test_an_execution_is_followed_and_killed(sdk, devbox):
    line = "echo begun; touch /tmp/begun; sleep 600"
    execution = await sdk(devbox.cmd.exec_async, command=line)
    assert execution.devbox_id == devbox.id and execution.execution_id
    state = await sdk(execution.get_state)
    assert state.status == "running" and state.exit_status is None
    await sdk(devbox.cmd.exec, command="until [ -e /tmp/begun ]; do sleep 0.1; done")
    await sdk(execution.kill)
    result = await sdk(execution.result)
    assert result.exit_code not in (0, None)
    assert await sdk(result.stdout) == "begun\n"
    await sdk(execution.kill)
    assert (await sdk(execution.get_state)).status == "completed"


async def test_stdin_is_written_closed_and_interrupted(sdk, runloop, devbox):
    api = runloop.api.devboxes
    started = await sdk(api.execute_async, devbox.id, command="cat", attach_stdin=True)
    send = api.executions.send_std_in
    for options in ({"text": "one\n"}, {"text": "zwölf\n"}, {"signal": "EOF"}):
        sent = await sdk(send, started.execution_id, devbox_id=devbox.id, **options)
        assert sent.success and sent.execution_id == started.execution_id
    ended = await sdk(api.wait_for_command, started.execution_id, devbox_id=devbox.id, statuses=["completed"])
    assert (ended.exit_status, ended.stdout) == (0, "one\nzwölf\n")
    line = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done"
    started = await sdk(api.execute_async, devbox.id, command=line, attach_stdin=True)
    await first_output(sdk, api, devbox, started, "ready\n")
    await sdk(send, started.execution_id, devbox_id=devbox.id, signal="INTERRUPT")
    ended = await sdk(api.wait_for_command, started.execution_id, devbox_id=devbox.id, statuses=["completed"])
    assert (ended.exit_status, ended.stdout) == (5, "ready\ncaught\n")
    with pytest.raises(BadRequestError):
        await sdk(send, started.execution_id, devbox_id=devbox.id, text="late")
    deaf = await sdk(api.execute_async, devbox.id, command="sleep 60")
    with pytest.raises(BadRequestError):
        await sdk(send, deaf.execution_id, devbox_id=devbox.id, text="nobody reads")


async def first_output(sdk, api, devbox, started, text):
    """Waits until that much has been written."""
    if sdk.name == "sync":

        def read():
            got = ""
            with api.executions.stream_stdout_updates(
                started.execution_id, devbox_id=devbox.id
            ) as events:
                for event in events:
                    got += event.output
                    if got == text:
                        return

        await asyncio.to_thread(read)
    else:
        got = ""
        stream = await api.executions.stream_stdout_updates(
            started.execution_id, devbox_id=devbox.id
        )
        async for event in stream:
            got += event.output
            if got == text:
                return


async def test_synchronous_executions_answer_with_everything(sdk, runloop, devbox):
    api = runloop.api.devboxes
    done = await sdk(api.execute_sync, devbox.id, command="seq 150; echo e >&2; exit 2")
    assert done.exit_status == 2 and done.stderr == "e\n"
    assert done.stdout == "".join(f"{n}\n" for n in range(1, 151))


async def test_optimistic_executions_answer_in_time(sdk, runloop, devbox):
    api = runloop.api.devboxes
    done = await sdk(api.execute, devbox.id, command="echo quick", command_id=str(uuid.uuid4()))
    assert (done.status, done.exit_status, done.stdout) == ("completed", 0, "quick\n")
    name = str(uuid.uuid4())
    slow = await sdk(
        api.execute, devbox.id, command="sleep 600", command_id=name, optimistic_timeout=1
    )
    assert slow.status == "running"
    again = await sdk(
        api.execute, devbox.id, command="sleep 600", command_id=name, optimistic_timeout=1
    )
    # SDKs that send one id with all their commands get each of them done.
    assert (again.execution_id == slow.execution_id) == (VERSION >= (1, 11))
    done = await sdk(api.execute_and_await_completion, devbox.id, command="echo awaited")
    assert (done.status, done.stdout) == ("completed", "awaited\n")


async def test_last_n_cuts_lines_and_says_so(sdk, runloop, devbox):
    api = runloop.api.devboxes
    started = await sdk(api.execute_async, devbox.id, command="seq 10; echo e >&2")
    options = {"devbox_id": devbox.id, "statuses": ["completed"], "last_n": "3"}
    ended = await sdk(api.wait_for_command, started.execution_id, **options)
    assert (ended.stdout, ended.stdout_truncated) == ("8\n9\n10\n", True)
    assert (ended.stderr, ended.stderr_truncated) == ("e\n", False)


async def test_a_stream_goes_on_behind_any_offset(server, runloop, sdk, devbox):
    api = runloop.api.devboxes
    line = "printf 'añb\\n€c'; printf 'err' >&2"
    started = await sdk(api.execute_async, devbox.id, command=line)
    await sdk(
        api.wait_for_command, started.execution_id, devbox_id=devbox.id, statuses=["completed"]
    )
    url = f"{server.base_url}/v1/devboxes/{devbox.id}/executions/{started.execution_id}"
    headers = {"authorization": f"Bearer {KEY}", "accept": "text/event-stream"}

    def read(stream, **query):
        reply = httpx.get(f"{url}/stream_{stream}_updates", params=query, headers=headers)
        assert reply.headers["content-type"].startswith("text/event-stream")
        blocks = [block for block in reply.text.split("\n\n") if block.startswith("data:")]
        return [json.loads(block.removeprefix("data:")) for block in blocks]

    whole = "añb\n€c".encode()
    assert "".join(one["output"] for one in read("stdout", offset="")) == whole.decode()
    for offset in (0, 1, 3, 4, 5, 8, 9):
        events = read("stdout", offset=offset)
        assert "".join(one["output"] for one in events).encode() == whole[offset:]
        assert not events or events[-1]["offset"] == len(whole)
    assert read("stderr") == [{"output": "err", "offset": 3}]


async def test_executions_are_of_their_devbox(sdk, runloop, devbox, refused):
    api = runloop.api.devboxes
    started = await sdk(api.execute_async, devbox.id, command="true")
    other = await sdk(api.create)
    for place, name in ((other.id, started.execution_id), (devbox.id, "cmd_nobodys")):
        with refused(NotFoundError, 404):
            await sdk(api.executions.retrieve, name, devbox_id=place)
    await sdk(api.shutdown, other.id)


async def test_a_wait_that_is_late_may_be_repeated(server, sdk, runloop, devbox):
    started = await sdk(runloop.api.devboxes.execute_async, devbox.id, command="sleep 60")
    url = f"{server.base_url}/v1/devboxes/{devbox.id}/executions/{started.execution_id}"
    body = {"statuses": ["completed"], "timeout_seconds": 0.2}
    headers = {"authorization": f"Bearer {KEY}"}
    reply = httpx.post(f"{url}/wait_for_status", json=body, headers=headers)
    assert reply.status_code == 408 and "x-should-retry" not in reply.headers


async def test_a_repeated_request_starts_nothing_twice(server, devbox):
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": f"start-{time.time_ns()}"}
    url = f"{server.base_url}/v1/devboxes/{devbox.id}/execute_async"
    body = {"command": "echo once >> count"}
    replies = [httpx.post(url, json=body, headers=headers).json() for _ in range(2)]
    assert replies[0]["execution_id"] == replies[1]["execution_id"]


async def test_a_named_shell_keeps_its_state_and_its_order(server, devbox):
    url = f"{server.base_url}/v1/devboxes/{devbox.id}/execute_sync"
    headers = {"authorization": f"Bearer {KEY}"}

    def run(shell, command):
        body = {"command": command, "shell_name": shell}
        return httpx.post(url, json=body, headers=headers, timeout=60).json()

    run("a/../b", "mkdir -p deep; cd deep; export NAME='x y'; f() { echo f $NAME; }")
    assert run("a/../b", "pwd; f")["stdout"] == "/home/user/deep\nf x y\n"
    assert run("a/../b", "exit 7")["exit_status"] == 7
    assert run("a/../b", "pwd")["stdout"] == "/home/user/deep\n"
    assert run("other", "pwd; echo $NAME")["stdout"] == "/home/user\n\n"
    start = url.replace("execute_sync", "execute_async")
    slow = "touch begun; while ! test -e go; do sleep 0.02; done; echo first >> order"
    httpx.post(start, json={"command": slow, "shell_name": "q"}, headers=headers)
    run("x", "while ! test -e begun; do sleep 0.02; done")
    body = {"command": "echo second >> order", "shell_name": "q"}
    waiting = httpx.post(start, json=body, headers=headers).json()
    assert run("x", "test -e order")["exit_status"] == 1
    run("x", "touch go")
    place = url.replace("execute_sync", f"executions/{waiting['execution_id']}/wait_for_status")
    done = httpx.post(place, json={"statuses": ["completed"]}, headers=headers, timeout=60).json()
    assert done["exit_status"] == 0
    assert run("x", "cat order")["stdout"] == "first\nsecond\n"
    for left in ("( sleep 60; : ) > /dev/null 2>&1 &", "while :; do sleep 1; done > /dev/null 2>&1 &"):
        run("bg", left)
        assert run("bg", "echo free")["stdout"] == "free\n"


@pytest.mark.skipif(VERSION >= (3, 0), reason="this SDK has no named shells")
async def test_shells_of_the_sdk_keep_their_state(sdk, devbox):
    shell = devbox.shell("mine")
    await sdk(shell.exec, "cd /tmp; export A=1")
    result = await sdk(shell.exec, "pwd; echo $A")
    assert await sdk(result.stdout) == "/tmp\n1\n"


async def test_a_path_that_is_given_is_in_front_of_the_profiles(sdk, runloop):
    tool = "printf '#!/bin/sh\\necho of mine' > ~/tool; chmod +x ~/tool"
    launch = {"launch_commands": [tool, "tool > launched"]}
    given = {"PATH": "/home/user:/usr/bin:/bin"}
    devbox = await sdk(
        runloop.devbox.create, environment_variables=given, launch_parameters=launch
    )

    async def said(command, **how):
        result = await sdk(devbox.cmd.exec, command=command, **how)
        return (await sdk(result.stdout)).splitlines()

    assert await said("tool; cat launched; echo $PATH; echo $#") == [
        "of mine",
        "of mine",
        (path := (await said("echo $PATH"))[0]),
        "0",
    ]
    parts = path.split(":")
    assert parts[:3] == ["/home/user", "/usr/bin", "/bin"] and len(parts) == len(set(parts))
    # A shell keeps what its lines make of it, and what is given comes in once.
    execute = runloop.api.devboxes.execute_sync
    for _ in range(2):
        line = "tool; echo $PATH; export PATH=$PATH:/more"
        shown = await sdk(execute, devbox.id, command=line, extra_body={"shell_name": "one"})
    assert shown.stdout.splitlines() == ["of mine", f"{path}:/more"]
    await sdk(devbox.shutdown)
    nowhere = await sdk(runloop.devbox.create, environment_variables={"PATH": "/nowhere"})
    result = await sdk(nowhere.cmd.exec, command="echo $PATH; ls / > /dev/null && echo found")
    shown = (await sdk(result.stdout)).splitlines()
    assert shown[0].startswith("/nowhere:") and shown[1:] == ["found"]
    await sdk(nowhere.shutdown)


async def test_a_path_of_an_image_reaches_executions(sdk, runloop):
    dockerfile = (
        "FROM host\nRUN mkdir -p /opt/venv/bin; echo 'echo of the image' > /opt/venv/bin/tool; "
        "chmod +x /opt/venv/bin/tool\n"
        "ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin\n"
    )
    name = f"path-{time.time_ns()}"
    blueprint = await sdk(runloop.blueprint.create, name=name, dockerfile=dockerfile)
    devbox = await sdk(blueprint.create_devbox)
    result = await sdk(devbox.cmd.exec, command="tool")
    assert await sdk(result.stdout) == "of the image\n"
    # What is not right says so as it does without.
    result = await sdk(devbox.cmd.exec, command="echo fine\nnosuchprogram")
    assert "line 2: nosuchprogram" in await sdk(result.stderr) and result.exit_code == 127
    await sdk(devbox.shutdown)
    await sdk(blueprint.delete)


async def test_a_line_may_be_long(sdk, runloop, devbox, refused):
    for bytes_ in (100_000, 131_072, 500_000, 1_000_000):
        text = "ü" * (bytes_ // 2)
        line = f"LC_ALL=C; echo $# $0; x='{text}'; echo ${{#x}}\nfalse || exit 7"
        for how in ({}, {"extra_body": {"shell_name": "long"}}):
            shown = await sdk(
                runloop.api.devboxes.execute_sync, devbox.id, command=line, **how
            )
            assert (shown.stdout.splitlines(), shown.exit_status) == (
                ["0 bash", str(len(text.encode()))],
                7,
            )
    logs = (await sdk(runloop.api.devboxes.logs.list, devbox.id)).logs
    assert line in [one.cmd for one in logs]
    with refused(BadRequestError, 400) as caught:
        await sdk(devbox.cmd.exec, command="x" * (1 << 20))
    assert "at most 1048576 fit" in str(caught.value)


async def test_much_goes_to_stdin_at_once(sdk, runloop, devbox):
    execution = await sdk(devbox.cmd.exec_async, command="sha256sum", attach_stdin=True)
    text = "ü\n" * 2_600_000
    send = runloop.api.devboxes.executions.send_std_in
    for options in ({"text": text}, {"signal": "EOF"}):
        await sdk(send, execution.execution_id, devbox_id=devbox.id, **options)
    result = await sdk(execution.result)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert await sdk(result.stdout) == f"{digest}  -\n"
