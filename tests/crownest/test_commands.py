"""Commands: run, start, get, cancel, logs."""

import asyncio
import time

import pytest

pytestmark = pytest.mark.anyio


async def test_run_answers_with_the_whole_record(sdk, client, sandbox):
    result = await sdk(client.commands.run, sandbox.id, "echo out; echo err >&2; exit 3")
    assert result["status"] == "exited" and result["exitCode"] == 3
    assert (result["stdout"], result["stderr"]) == ("out\n", "err\n")
    assert (result["stdoutTruncated"], result["stderrTruncated"]) == (False, False)
    assert result["sandboxId"] == sandbox.id and result["id"].startswith("cmd_")
    assert result["cwd"] == "/workspace" and result["env"] == {}
    assert result["collectStatus"] == "not_requested"
    assert result["finishedAt"] >= result["startedAt"] and result["durationMs"] >= 0
    assert None not in result.values()
    assert await sdk(client.commands.get, result["id"]) == result


async def test_the_handle_runs_starts_and_cancels(sdk, client, sandbox):
    result = await sdk(sandbox.commands.run, "echo hi")
    assert result["stdout"] == "hi\n"
    command = await sdk(sandbox.commands.start, "sleep 60")
    await sdk(sandbox.commands.cancel, command["id"])
    events = [event async for event in sdk.each(client.commands.stream_logs, command["id"])]
    assert events[-1]["command"]["status"] == "canceled"


async def test_a_program_that_is_not_there_ends_as_in_a_shell(sdk, client, sandbox):
    result = await sdk(client.commands.run, sandbox.id, "no-such-program")
    assert (result["status"], result["exitCode"]) == ("exited", 127)
    assert "no-such-program" in result["stderr"]


async def test_commands_begin_in_the_workspace_or_where_asked(sdk, client, sandbox):
    async def where(**options):
        return (await sdk(client.commands.run, sandbox.id, "pwd", **options))["stdout"].strip()

    assert await where() == "/workspace"
    assert await where(cwd="/tmp") == "/tmp"
    await sdk(client.files.mkdir, sandbox.id, "sub")
    assert await where(cwd="sub") == "/workspace/sub"
    result = await sdk(client.commands.run, sandbox.id, "pwd", cwd="sub")
    assert result["cwd"] == "/workspace/sub"
    missing = await sdk(client.commands.run, sandbox.id, "pwd", cwd="/not/there")
    assert missing["exitCode"] != 0 and missing["stderr"]


async def test_environment_is_for_the_process_and_nobody_else(sdk, client, sandbox, server, fails):
    secret = f"s3cret-{sdk.name}-value"
    env = {"TOKEN": secret, "ÜBER": "x y\nz"}
    result = await sdk(client.commands.run, sandbox.id, "printenv TOKEN ÜBER", env=env)
    assert result["stdout"] == f"{secret}\nx y\nz\n"
    quiet = await sdk(client.commands.run, sandbox.id, "test -n \"$TOKEN\"", env=env)
    assert quiet["exitCode"] == 0
    shown = await sdk(client.commands.get, quiet["id"])
    assert secret not in str(shown)
    started = await sdk(client.commands.start, sandbox.id, "sleep 0.1", env=env)
    assert secret not in str(started)
    after = await sdk(client.commands.run, sandbox.id, "printenv TOKEN")
    assert after["exitCode"] == 1
    own = await sdk(client.commands.run, sandbox.id, "env")
    assert "CROWNEST" not in own["stdout"] and "bootstrap" not in own["stdout"]
    # The journal holds what the command printed itself; the database holds nothing of it.
    for path in server.data.glob("*.db*"):
        assert secret.encode() not in path.read_bytes(), path
    for key in ("CROWNEST", "CROWNEST_API_KEY", "CROWNEST_X"):
        for call in (client.commands.run, client.commands.start):
            with fails("reserved_env_key", 400):
                await sdk(call, sandbox.id, "true", env={key: "1"})


async def test_wrong_requests_are_refused(sdk, client, sandbox, fails):
    for call in (client.commands.run, client.commands.start):
        for command in ("", "   "):
            with fails("invalid_request", 400, "command"):
                await sdk(call, sandbox.id, command)
        for timeout in (0, -1, 600_001, "x"):
            with fails("invalid_request", 400, "timeoutMs"):
                await sdk(call, sandbox.id, "true", timeout_ms=timeout)
        with fails("invalid_request", 400):
            await sdk(call, sandbox.id, "true", env={"A": 1})
        with fails("invalid_request", 400):
            await sdk(call, sandbox.id, "true", env={"A=B": "1"})
    with fails("invalid_request", 400, "collectOn"):
        await sdk(client.commands.run, sandbox.id, "true", collect_on="never")
    for option in ({"collect": []}, {"collect_on": "always"}):
        with fails("invalid_request", 400):
            await sdk(client.commands.start, sandbox.id, "true", **option)


async def test_a_timeout_stops_the_whole_tree(sdk, client, sandbox):
    began = time.monotonic()
    line = "echo begun; sleep 300 & setsid sleep 300 & sleep 300"
    result = await sdk(client.commands.run, sandbox.id, line, timeout_ms=700)
    assert result["status"] == "timed_out" and time.monotonic() - began < 30
    assert result["stdout"] == "begun\n" and result["terminationSignal"] == "SIGKILL"
    left = await sdk(client.commands.run, sandbox.id, "pgrep -x sleep || ps ax | grep '[s]leep 300'")
    assert left["exitCode"] != 0, left


async def test_stdin_is_empty(sdk, client, sandbox):
    result = await sdk(client.commands.run, sandbox.id, "cat; echo end")
    assert result["stdout"] == "end\n"


async def test_start_answers_at_once_and_the_rest_follows(sdk, client, sandbox):
    command = await sdk(client.commands.start, sandbox.id, "sleep 1; echo late; exit 4")
    assert command["status"] in ("queued", "starting") and "exitCode" not in command
    running = await sdk(client.commands.get, command["id"])
    assert running["status"] == "running" and "stdout" not in running and "finishedAt" not in running
    events = [event async for event in sdk.each(client.commands.stream_logs, command["id"])]
    assert [event["type"] for event in events if event["type"] != "heartbeat"] == ["log", "terminal"]
    ended = await sdk(client.commands.get, command["id"])
    assert (ended["status"], ended["exitCode"], ended["stdout"]) == ("exited", 4, "late\n")


@pytest.mark.parametrize(("mode", "signal"), [(None, 15), ("graceful", 15), ("force", 9)])
async def test_cancel_signals_the_whole_tree(sdk, client, sandbox, mode, signal):
    line = "trap 'echo cleaning; exit 7' TERM; sleep 300 & echo ready; wait"
    command = await sdk(client.commands.start, sandbox.id, line)
    async for event in sdk.each(client.commands.stream_logs, command["id"]):
        if event["type"] == "log":
            answer = await sdk(client.commands.cancel, command["id"], mode=mode)
            assert answer["status"] in ("running", "canceled")
            break
    events = [event async for event in sdk.each(client.commands.stream_logs, command["id"])]
    ended = events[-1]["command"]
    assert ended["status"] == "canceled"
    assert ended["cancelMode"] == ("force" if signal == 9 else "graceful")
    assert ended["terminationSignal"] == ("SIGKILL" if signal == 9 else "SIGTERM")
    assert ended["canceledAt"] >= ended["startedAt"]
    assert ended["stdout"] == ("ready\n" if signal == 9 else "ready\ncleaning\n")
    left = await sdk(client.commands.run, sandbox.id, "pgrep -x sleep")
    assert left["exitCode"] == 1


async def test_cancelling_what_has_ended_changes_nothing(sdk, client, sandbox, fails):
    result = await sdk(client.commands.run, sandbox.id, "exit 5")
    for mode in (None, "force"):
        again = await sdk(client.commands.cancel, result["id"], mode=mode)
        assert (again["status"], again["exitCode"]) == ("exited", 5)
        assert "cancelMode" not in again
    with fails("invalid_request", 400, "mode"):
        await sdk(client.commands.cancel, result["id"], mode="please")
    with fails("not_found", 404):
        await sdk(client.commands.cancel, "cmd_0")
    with fails("not_found", 404):
        await sdk(client.commands.get, "cmd_0")


async def test_logs_come_in_pages_with_one_sequence(sdk, client, sandbox, server, fails):
    line = "for i in $(seq 120); do echo $i; echo e$i >&2; sleep 0.001; done"
    result = await sdk(client.commands.run, sandbox.id, line)
    chunks, after = [], None
    while True:
        page = await sdk(client.commands.logs, result["id"], after_seq=after, limit=7)
        assert len(page) <= 7
        if not page:
            break
        chunks += page
        after = page[-1]["seq"]
    seqs = [chunk["seq"] for chunk in chunks]
    assert seqs == sorted(set(seqs)) and seqs[0] >= 1
    text = {"stdout": "", "stderr": ""}
    for chunk in chunks:
        assert set(chunk) == {"commandId", "createdAt", "data", "seq", "stream"}
        assert chunk["commandId"] == result["id"] and chunk["data"]
        text[chunk["stream"]] += chunk["data"]
    assert text == {"stdout": result["stdout"], "stderr": result["stderr"]}
    assert result["stdout"].split() == [str(n) for n in range(1, 121)]
    default = await sdk(client.commands.logs, result["id"])
    assert default == chunks[:50]
    assert await sdk(client.commands.logs, result["id"], limit=100) == chunks[:100]
    raw = server.native("GET", f"/crownest/v1/commands/{result['id']}/logs", params={"limit": 5})
    assert raw.json()["hasMore"] is True and raw.json()["nextSeq"] == chunks[4]["seq"]
    query = {"afterSeq": seqs[-6], "limit": 5}
    raw = server.native("GET", f"/crownest/v1/commands/{result['id']}/logs", params=query)
    assert raw.json()["hasMore"] is False and "nextSeq" not in raw.json()
    assert len(raw.json()["data"]) == 5
    assert await sdk(client.commands.logs, result["id"], after_seq=10**9) == []
    for limit in (0, 101, -1, "x"):
        with fails("invalid_request", 400, "limit"):
            await sdk(client.commands.logs, result["id"], limit=limit)
    for after in (-1, "x"):
        with fails("invalid_request", 400, "afterSeq"):
            await sdk(client.commands.logs, result["id"], after_seq=after)
    with fails("not_found", 404):
        await sdk(client.commands.logs, "cmd_0")


async def test_records_and_logs_outlive_the_sandbox(sdk, client):
    sandbox = await sdk(client.sandboxes.create)
    result = await sdk(client.commands.run, sandbox.id, "echo remembered")
    await sdk(client.sandboxes.kill, sandbox.id)
    assert await sdk(client.commands.get, result["id"]) == result
    logs = await sdk(client.commands.logs, result["id"])
    assert "".join(chunk["data"] for chunk in logs) == "remembered\n"


async def test_five_megabytes_come_whole(sdk, client, sandbox):
    line = "python3 -c \"import sys; sys.stdout.write(''.join(f'{n:09}\\n' for n in range(500000)))\""
    result = await sdk(client.commands.run, sandbox.id, line)
    assert result["exitCode"] == 0, result["stderr"]
    whole = "".join(f"{n:09}\n" for n in range(500_000))
    assert result["stdout"] == whole and result["stdoutTruncated"] is False
    streamed = [
        event["data"]
        async for event in sdk.each(client.commands.stream_logs, result["id"])
        if event["type"] == "log"
    ]
    assert "".join(streamed) == whole


async def test_what_does_not_fit_into_the_record_is_in_the_logs(sdk, client, sandbox):
    result = await sdk(client.commands.run, sandbox.id, "head -c 9000000 /dev/zero | tr '\\0' x")
    assert result["stdoutTruncated"] is True and result["stderrTruncated"] is False
    assert len(result["stdout"]) == 8 << 20
    size = 0
    async for event in sdk.each(client.commands.stream_logs, result["id"]):
        size += len(event.get("data", ""))
    assert size == 9_000_000


async def test_callbacks_get_everything(sdk, client, sandbox):
    out, err = [], []
    options = {"on_stdout": out.append, "on_stderr": err.append}
    line = "for i in 1 2 3; do echo o$i; echo e$i >&2; sleep 0.05; done; exit 6"
    result = await sdk(client.commands.run, sandbox.id, line, **options)
    assert (result["status"], result["exitCode"]) == ("exited", 6)
    assert "".join(out) == "o1\no2\no3\n" and "".join(err) == "e1\ne2\ne3\n"
    out.clear()
    await sdk(client.commands.start, sandbox.id, "echo pumped", **options)
    for _ in range(200):
        if out:
            break
        await asyncio.sleep(0.05)
    assert "".join(out) == "pumped\n"


async def test_many_commands_at_once_stay_apart(sdk, client, sandbox):
    async def one(n):
        result = await sdk(client.commands.run, sandbox.id, f"sleep 0.1; echo {n}; exit {n}")
        return result["stdout"].strip(), result["exitCode"]

    found = await asyncio.gather(*(one(n) for n in range(12)))
    assert found == [(str(n), n) for n in range(12)]
