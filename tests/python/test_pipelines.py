"""Runs of pipelines through both clients, against a real server."""

from datetime import timedelta
from typing import Any

import pytest

from pinfold import errors
from pinfold.types import (
    PipelineEnded,
    PipelineRunState,
    PipelineStepState,
    StepEnded,
    StepStarted,
    StepWrote,
    StreamName,
)

DOCUMENT = """---
vcpu: 1
memory_mib: 256
---
# Greet
```bash
echo "hello $WHO" | tee greeting; echo oops >&2
```
# May fail
```bash continue-on-error
exit 3
```
```python
not a step
```
# Look
```bash name="look again" timeout=60
cat greeting; printf '\\377'
```
"""


def step(script: str) -> str:
    return f"```bash\n{script}\n```\n"


async def test_a_document_runs_to_its_end_and_its_report_holds_what_it_wrote(connect: Any) -> None:
    async with connect() as client:
        run = await client.pipelines.run(DOCUMENT, env={"WHO": "you"}, timeout=timedelta(minutes=5))
        assert run.ok and run.ended and run.state is PipelineRunState.COMPLETED
        assert (run.vcpu, run.memory_mib, run.timeout) == (1.0, 256, timedelta(minutes=5))
        assert [each.name for each in run.steps] == ["Greet", "May fail", "look again"]
        assert [each.exit_code for each in run.steps] == [0, 3, 0]
        assert run.steps[1].state is PipelineStepState.FAILED and run.steps[1].continue_on_error
        assert run.steps[2].timeout == timedelta(minutes=1)
        assert (run.passed_count, run.step_count) == (2, 3)

        report = await client.pipelines.report(run.id)
        assert report.run == run
        assert report.output[0].stdout == "hello you\n"
        assert report.output[0].stderr == "oops\n"
        assert report.output[2].stdout_bytes == b"hello you\n\xff"
        cut = await client.pipelines.report(run.id, stream_bytes=5)
        assert cut.output[0].stdout == "hello" and cut.output[0].stdout_truncated
        assert not cut.output[0].stderr_truncated

        command = await client.command(str(run.steps[0].command_id))
        stream = await command.output(stream="stdout")
        assert await stream.read() == b"hello you\n"


async def test_events_come_in_order_and_are_taken_up_behind_any(connect: Any) -> None:
    async with connect() as client:
        submitted = await client.pipelines.submit(step("echo one") + step("exit 7") + step("true"))
        assert not submitted.ended
        events = [event async for event in client.pipelines.stream(submitted.id)]
        assert isinstance(events[0], StepStarted) and events[0].name == "step 1"
        wrote = [event for event in events if isinstance(event, StepWrote)]
        assert (wrote[0].step, wrote[0].stream, wrote[0].text) == (0, StreamName.STDOUT, "one\n")
        ended = [event.result.state.value for event in events if isinstance(event, StepEnded)]
        assert ended == ["passed", "failed", "skipped"]
        last = events[-1]
        assert isinstance(last, PipelineEnded) and last.run.state is PipelineRunState.FAILED
        assert last.run.failure is None
        assert last.run == await client.pipelines.get(submitted.id)
        for at, event in enumerate(events[:-1]):
            rest = client.pipelines.stream(submitted.id, after_seq=event.seq)
            assert [each async for each in rest] == events[at + 1 :]


async def test_a_cancel_ends_a_run_and_its_sandbox(connect: Any) -> None:
    async with connect() as client:
        submitted = await client.pipelines.submit(step("sleep 1000"))
        async for event in client.pipelines.stream(submitted.id):
            if isinstance(event, StepStarted):
                break
        asked = await client.pipelines.cancel(submitted.id)
        assert asked.cancel_requested
        run = await client.pipelines.wait(submitted.id)
        assert run.state is PipelineRunState.CANCELLED
        assert run.failure is not None and run.failure.code == "cancelled"
        sandbox = await client.sandboxes.get(run.sandbox_id)
        assert sandbox.state == "destroyed"
        assert (await client.pipelines.cancel(submitted.id)).ended


async def test_one_key_makes_one_run_and_lists_know_states(connect: Any) -> None:
    async with connect() as client:
        key = f"key-{id(client)}"
        first = await client.pipelines.run(step("false"), idempotency_key=key)
        again = await client.pipelines.run(step("false"), idempotency_key=key)
        assert again.id == first.id
        with pytest.raises(errors.ConflictError):
            await client.pipelines.run(step("true"), idempotency_key=key)
        failed = [run.id async for run in client.pipelines.list(state="failed", page_size=1)]
        assert first.id in failed
        page = await client.pipelines.list(page_size=1).page()
        assert page.items[0].id == first.id and page.items[0].steps == ()
        done = [run.id async for run in client.pipelines.list(state=PipelineRunState.COMPLETED)]
        assert first.id not in done


async def test_what_is_wrong_with_a_document_is_told_at_once(connect: Any) -> None:
    async with connect() as client:
        with pytest.raises(errors.InvalidArgumentError) as none:
            await client.pipelines.submit("# nothing to do\n")
        assert "bash" in none.value.message
        with pytest.raises(errors.NotFoundError) as missing:
            await client.pipelines.submit(step("true"), image="img_" + "0" * 32)
        assert missing.value.code == "image_not_found"
        with pytest.raises(errors.NotFoundError) as unknown:
            await client.pipelines.get(999_999_999)
        assert unknown.value.code == "run_not_found"
