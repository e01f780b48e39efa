"""Sandboxes, commands, terminals and code, through both clients, against a real server."""

import asyncio
import hashlib
import io
import os
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pinfold import End, Output, Truncated, WindowSize, errors
from pinfold.types import (
    CancelMode,
    CodeBegun,
    CodeComplete,
    CodeRunState,
    CommandState,
    ImageSource,
    NetworkMode,
    SandboxState,
    StreamName,
)


async def test_a_sandbox_lives_in_its_block_and_is_gone_behind_it(connect: Any) -> None:
    async with connect() as client:
        async with client.sandboxes.create(
            name="one",
            vcpu=0.5,
            memory_mib=128,
            metadata={"team": "a b"},
            env={"GREETING": "hi"},
            ttl=timedelta(hours=1),
        ) as sandbox:
            assert sandbox.state is SandboxState.RUNNING
            assert sandbox.name == "one"
            assert sandbox.facts.vcpu == 0.5
            assert sandbox.facts.ttl == timedelta(hours=1)
            assert sandbox.facts.network is NetworkMode.NONE
            assert sandbox.facts.created_at.tzinfo is timezone.utc
            assert sandbox.facts.env_names == ("GREETING",)
            run = await sandbox.run("echo $GREETING; echo oops >&2; exit 3")
            assert (run.stdout, run.stderr, run.exit_code, run.ok) == ("hi\n", "oops\n", 3, False)
            again = await client.sandboxes.get(sandbox.id)
            assert again.facts.metadata == {"team": "a b"}
        assert (await again.refresh()).state is SandboxState.DESTROYED
        await again.destroy()


async def test_a_failure_in_the_block_is_told_and_the_sandbox_still_goes(connect: Any) -> None:
    async with connect() as client:
        with pytest.raises(ZeroDivisionError):
            async with client.sandboxes.create() as sandbox:
                raise ZeroDivisionError
        assert (await sandbox.refresh()).state is SandboxState.DESTROYED


async def test_states_follow_each_other(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        assert (await sandbox.suspend()).state is SandboxState.SUSPENDED
        assert (await sandbox.resume()).state is SandboxState.RUNNING
        expires = (await sandbox.extend(60)).expires_at
        assert timedelta(0) < expires - datetime.now(timezone.utc) < timedelta(seconds=61)
        assert (await sandbox.usage()).processes >= 1
        try:
            assert (await sandbox.stop()).state is SandboxState.STOPPED
            assert (await sandbox.start()).state is SandboxState.RUNNING
        except errors.UnsupportedError as error:
            # Where disks cannot be kept the server says so, and so does its description.
            assert error.code == "unsupported"


async def test_lists_are_walked_page_by_page(connect: Any) -> None:
    async with connect() as client:
        made = [await client.sandboxes.create(metadata={"set": "pages"}) for _ in range(3)]
        try:
            pages = client.sandboxes.list(metadata={"set": "pages"}, page_size=2)
            assert [each.id async for each in pages] == [each.id for each in reversed(made)]
            first = await pages.page()
            assert len(first.items) == 2
            second = await pages.page(first.next_cursor)
            assert [each.id for each in second.items] == [made[0].id]
            assert second.next_cursor is None
            found = client.sandboxes.list(state=SandboxState.SUSPENDED, metadata={"set": "pages"})
            assert await found.all() == []
        finally:
            for each in made:
                await each.destroy()


async def test_one_idempotency_key_makes_one_thing(connect: Any) -> None:
    async with connect() as client:
        key = os.urandom(8).hex()
        async with client.sandboxes.create(name="k", idempotency_key=key) as sandbox:
            again = await client.sandboxes.create(name="k", idempotency_key=key)
            assert again.id == sandbox.id
            first = await sandbox.commands.start("echo once >> /tmp/f", idempotency_key=key + "c")
            second = await sandbox.commands.start("echo once >> /tmp/f", idempotency_key=key + "c")
            assert first.id == second.id
            await first.wait()
            assert await sandbox.files.read("/tmp/f") == b"once\n"


async def test_a_command_is_started_watched_and_waited_for(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        command = await sandbox.commands.start(
            ["sh", "-c", "echo out; echo err >&2; exit 7"], cwd="/tmp", env={"A": "1"}
        )
        records = [record async for record in command.stream()]
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
        written = {
            name: b"".join(r.data for r in records if isinstance(r, Output) and r.stream == name)
            for name in ("stdout", "stderr")
        }
        assert written == {"stdout": b"out\n", "stderr": b"err\n"}
        end = records[-1]
        assert isinstance(end, End) and end.command.exit_code == 7
        assert (await command.wait()).state is CommandState.EXITED
        assert command.exit_code == 7
        rest = [record async for record in command.stream(after_seq=records[0].seq)]
        assert rest == records[1:]
        only = [record async for record in command.stream(stream=StreamName.STDERR)]
        assert b"".join(r.data for r in only if isinstance(r, Output)) == b"err\n"
        page = await command.logs(limit=1)
        assert (len(page.records), page.next_after_seq, page.at_end) == (1, 1, False)
        async with command.output(follow=True) as output:
            assert sorted((await output.read()).split()) == [b"err", b"out"]
        found = await client.command(command.id)
        assert found.facts.argv == ("sh", "-c", "echo out; echo err >&2; exit 7")
        assert [each.id async for each in sandbox.commands.list()] == [command.id]
        assert (await sandbox.commands.get(command.id)).id == command.id


async def test_stdin_is_fed_and_closed(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        assert (await sandbox.run("cat", stdin="grün")).stdout == "grün"
        blob = bytes(range(256)) * 500
        run = await sandbox.run("sha256sum | cut -d' ' -f1", stdin=blob)
        assert run.stdout.strip() == hashlib.sha256(blob).hexdigest()
        command = await sandbox.commands.start("cat", open_stdin=True)
        await command.write_stdin("a text, ")
        await command.write_stdin(io.BytesIO(b"a file, "))
        await command.write_stdin(iter([b"pieces", b"."]))
        await command.close_stdin()
        await command.wait()
        async with command.output() as output:
            assert await output.read() == b"a text, a file, pieces."


async def test_commands_end_by_cancel_signal_and_time(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        cancelled = await sandbox.commands.start("sleep 100")
        with pytest.raises(errors.WaitTimeoutError):
            await cancelled.wait(timeout=0.1)
        await cancelled.cancel()
        assert (await cancelled.wait()).state is CommandState.CANCELLED
        forced = await sandbox.commands.start("trap '' TERM; sleep 100")
        await forced.cancel(CancelMode.FORCE)
        assert (await forced.wait()).state is CommandState.CANCELLED
        signalled = await sandbox.commands.start(["sleep", "100"])
        await signalled.signal("TERM")
        assert (await signalled.wait()).signal == 15
        assert signalled.exit_code == 143
        slow = await sandbox.run("sleep 100", timeout=timedelta(milliseconds=200))
        assert slow.command.state is CommandState.TIMED_OUT
        with pytest.raises(errors.CommandFailedError) as failed:
            await sandbox.run("echo said; exit 4", check=True)
        assert failed.value.result.stdout == "said\n"
        assert "ended with code 4" in str(failed.value)


async def test_a_signal_right_behind_the_start_is_not_lost(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        for _ in range(60):
            command = await sandbox.commands.start(["sleep", "100"])
            await command.signal("TERM")
            assert (await command.wait(timeout=5)).signal == 15


async def test_output_over_its_cap_is_cut_visibly(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        command = await sandbox.commands.start("yes | head -c 100000", output_cap_bytes=1000)
        records = [record async for record in command.stream()]
        assert any(isinstance(record, Truncated) for record in records)
        assert (await command.wait()).truncated
        large = await sandbox.run("head -c 3000000 /dev/zero | tr '\\0' x")
        assert len(large.stdout_bytes) == 1 << 20
        assert large.stdout_truncated and not large.stderr_truncated
        async with (await client.command(large.command.id)).output() as output:
            assert len(await output.read()) == 3_000_000


async def test_a_terminal_is_typed_into_left_and_attached_again(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        position, shown = 0, b""
        async with sandbox.pty(rows=30, cols=100) as pty:
            command_id = pty.command.id
            await pty.resize(40, 120)
            await pty.write("stty size; echo $((40+2))\n")
            async for event in pty:
                position = getattr(event, "seq", position)
                shown += getattr(event, "data", b"")
                if b"40 120" in shown and b"\n42" in shown and hasattr(event, "seq"):
                    break
        async with sandbox.pty(command_id=command_id, after_seq=position) as pty:
            await pty.write("exit 5\n")
            events = [event async for event in pty]
            assert pty.command.exit_code == 5
        assert b"40 120" not in b"".join(getattr(each, "data", b"") for each in events)
        command = await sandbox.commands.start("sleep 100", tty=WindowSize(10, 20))
        await command.resize(11, 21)
        await command.cancel()
        assert (await command.wait()).tty == WindowSize(10, 20)
        with pytest.raises(errors.NotFoundError):
            await sandbox.pty(command_id="cmd_none")


async def test_code_keeps_its_variables_from_run_to_run(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        context = await sandbox.code.create_context("python", timeout=20)
        first = await sandbox.code.run("print('hi'); x = 40", context_id=context.id)
        assert (first.stdout, first.ok, first.execution_count) == ("hi\n", True, 1)
        second = await sandbox.code.run("x + 2", context_id=context.id)
        assert second.result is not None and second.result.text == "42"
        failed = await sandbox.code.run("1 / 0", context_id=context.id)
        assert failed.state is CodeRunState.FAILED
        assert failed.error is not None and failed.error.name == "ZeroDivisionError"
        started = await sandbox.code.start("print('so far'); x", context_id=context.id)
        events = [event async for event in client.code.stream(started.id)]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert isinstance(events[-1], CodeComplete) and events[-1].run.stdout == "so far\n"
        rest = [event async for event in client.code.stream(started.id, after_seq=2)]
        assert rest == events[2:]
        assert (await client.code.get(started.id)).ok
        slow = await sandbox.code.start("import time; time.sleep(50)", context_id=context.id)
        async for event in client.code.stream(slow.id):
            if isinstance(event, CodeBegun):
                break
        assert (await client.code.interrupt(slow.id)).state is CodeRunState.INTERRUPTED
        assert context.id in [each.id for each in await sandbox.code.contexts()]
        assert (await client.code.restart_context(context.id)).generation > context.generation
        assert (await client.code.get_context(context.id)).language == "python"
        await client.code.delete_context(context.id)
        with pytest.raises(errors.NotFoundError):
            await client.code.get_context(context.id)


async def test_twenty_sandboxes_work_at_once(connect: Any) -> None:
    async with connect() as client:

        async def one(number: int) -> str:
            async with client.sandboxes.create(memory_mib=64) as sandbox:
                return str((await sandbox.run(["echo", str(number)])).stdout)

        said = await asyncio.gather(*(one(number) for number in range(20)))
        assert said == [f"{number}\n" for number in range(20)]


async def test_snapshots_and_forks_begin_with_what_was_on_the_disk(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create(disk_mib=64) as origin:
        await origin.files.write("/workspace/note", b"kept")
        image = await origin.snapshot("python-test-deps:1", labels={"stage": "one"})
        assert image.source is ImageSource.SNAPSHOT
        assert image.names == ("python-test-deps:1",)
        assert image.sandbox_id == origin.id
        assert image.config.labels["stage"] == "one"
        await origin.files.write("/workspace/note", b"changed")
        async with client.sandboxes.create(image="python-test-deps:1") as later:
            assert await later.files.read("/workspace/note") == b"kept"
            with pytest.raises(errors.ConflictError):
                await client.images.remove(image.id)
        async with client.sandboxes.create(fork_of=origin.id) as fork:
            assert fork.facts.forked_from == origin.id
            assert fork.facts.disk_mib == 64
            assert await fork.files.read("/workspace/note") == b"changed"
        await client.images.remove(image.id)
        with pytest.raises(errors.NotFoundError):
            await client.sandboxes.create(image=image.id)


async def test_the_working_directory_is_its_users_own_where_the_image_lacks_it(connect: Any) -> None:
    where = {"image": "host", "workdir": "/srv/not/there", "user": "nobody"}
    async with connect() as client, client.sandboxes.create(**where) as sandbox:
        assert (await sandbox.files.list("/srv/not/there")).entries == ()
        run = await sandbox.run("pwd && stat -c '%U %a' . && touch mine && ls", check=True)
        assert run.stdout == "/srv/not/there\nnobody 755\nmine\n"
