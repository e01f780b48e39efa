"""While a call is under way: progress as it happens, cancellation, clients that leave."""

import anyio
import pytest

from world import call, connected, text_of, until

pytestmark = pytest.mark.anyio


async def test_output_is_told_while_the_command_runs(server, way, sandbox):
    told = []

    async with connected(server, way) as client:
        where = {"sandbox_id": sandbox}

        async def on_progress(progress, total, message):
            told.append((progress, message))
            if "first" in message:
                # The command waits for what only happens because this came before its end.
                await call(client, "write_file", **where, path="/tmp/go-on", content="")

        command = "echo first; until [ -e /tmp/go-on ]; do sleep 0.02; done; echo grün >&2; rm /tmp/go-on"
        with anyio.fail_after(60):
            ran = await call(
                client, "run_command", on_progress, **where, command=command, timeout_seconds=50
            )
    assert (ran["stdout"], ran["stderr"], ran["exit_code"]) == ("first\n", "grün\n", 0)
    words = "".join(message for _, message in told)
    assert words.startswith(f"[{ran['command_id']} started]\n")
    assert words.endswith("first\ngrün\n")
    numbers = [progress for progress, _ in told]
    assert numbers == sorted(set(numbers)), "progress increases"


async def test_what_code_writes_is_told_while_it_runs(server, sandbox):
    told = []

    async with connected(server) as client:
        where = {"sandbox_id": sandbox}

        async def on_progress(progress, total, message):
            told.append(message)
            if "first" in message:
                await call(client, "write_file", **where, path="/tmp/go-on", content="")

        code = "import os,time\nprint('first', flush=True)\nwhile not os.path.exists('/tmp/go-on'): time.sleep(0.02)"
        with anyio.fail_after(60):
            ran = await call(client, "run_code", on_progress, **where, code=code)
    assert (ran["state"], "".join(told)) == ("succeeded", "first\n")


async def test_a_cancelled_call_kills_its_command(server, way, sandbox):
    async with connected(server, way) as client:
        identity = await cancelled_call(
            client, "run_command", sandbox_id=sandbox, command="trap '' TERM; echo on; sleep 600"
        )
        # The connection goes on.
        await call(client, "get_sandbox", sandbox_id=sandbox)
    ended = until(lambda: ended_command(server, identity), "the command is killed")
    assert ended["state"] == "cancelled"


async def test_a_cancelled_run_of_code_keeps_its_variables(server, way, sandbox):
    async with connected(server, way) as client:
        await call(client, "run_code", sandbox_id=sandbox, code="x = 1")
        identity = await cancelled_call(
            client, "run_code", sandbox_id=sandbox, code="print('on')\nwhile True: pass"
        )
        assert identity is None
        with anyio.fail_after(30):
            after = await call(client, "run_code", sandbox_id=sandbox, code="x + 1")
    assert after["values"][0]["text/plain"] == "2"


@pytest.mark.parametrize("way", ["stdio", "http"])
async def test_a_client_that_leaves_ends_what_it_waited_for(server, way, sandbox):
    """Of the protocol's generation with sessions over HTTP, only a cancellation does that."""
    begun = anyio.Event()
    seen = []

    async def on_progress(progress, total, message):
        seen.append(message)
        if "on" in message.splitlines():
            begun.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def run():
                async with connected(server, way) as client:
                    await client.call_tool(
                        "run_command",
                        {"sandbox_id": sandbox, "command": "echo on; sleep 600"},
                        progress_callback=on_progress,
                    )

            tasks.start_soon(run)
            await begun.wait()
            tasks.cancel_scope.cancel()
    identity = seen[0].split()[0].strip("[")
    ended = until(lambda: ended_command(server, identity), "the command is killed")
    assert ended["state"] == "cancelled"


async def test_calls_run_beside_one_another_up_to_a_bound(server, sandbox):
    async with connected(server) as client:
        answers = []

        async def run():
            command = "until [ -e /tmp/all ]; do sleep 0.05; done"
            arguments = {"sandbox_id": sandbox, "command": command, "timeout_seconds": 50}
            answers.append(await client.call_tool("run_command", arguments))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for _ in range(33):
                    tasks.start_soon(run)
                while not answers:
                    await anyio.sleep(0.02)
                (refused,) = answers
                assert refused.is_error and "(rate_limited)" in text_of(refused)
                path = f"/v1/sandboxes/{sandbox}/files?path=/tmp/all"
                await anyio.to_thread.run_sync(lambda: server.native("PUT", path, content=b""))
    assert len(answers) == 33
    assert [answer.is_error for answer in answers].count(True) == 1


async def cancelled_call(client, name, /, **arguments) -> str | None:
    """Cancels a call once what it runs has written "on"; the id of its command, if it told one."""
    begun = anyio.Event()
    seen = []

    async def on_progress(progress, total, message):
        seen.append(message)
        if "on" in message.splitlines():
            begun.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def run():
                await client.call_tool(name, arguments, progress_callback=on_progress)

            tasks.start_soon(run)
            await begun.wait()
            tasks.cancel_scope.cancel()
    return seen[0].split()[0].strip("[") if "started]" in seen[0] else None


def ended_command(server, identity):
    command = server.command(identity)
    return command if command["ended_at"] else None
