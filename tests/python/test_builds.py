"""Builds of images through both clients and the command line, against a real server."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.server import Server

from pinfold import errors
from pinfold.types import BuildEnded, BuildState, BuildStepEnded, BuildStepStarted, StepWrote

SMALL = {"memory_mib": 256, "disk_mib": 64, "network": "none"}


def in_directory(directory: Path) -> Path:
    """A context with something to leave out."""
    (directory / "sub").mkdir()
    (directory / "sub" / "a.txt").write_text("content\n")
    (directory / "no.log").write_text("left out\n")
    (directory / ".dockerignore").write_text("*.log\n")
    (directory / "Dockerfile").write_text(
        "FROM host\nARG WHO\nCOPY . /ctx/\nRUN echo hello $WHO; ls -A /ctx > /listed\n"
    )
    return directory


async def test_a_directory_becomes_an_image_that_boots(connect: Any, tmp_path: Path) -> None:
    context = in_directory(tmp_path)
    dockerfile = (context / "Dockerfile").read_text()
    async with connect() as client:
        sent: list[int] = []
        build = await client.builds.create(
            "py-built:1", dockerfile, context=context, args={"WHO": "you"}, progress=sent.append,
            files={"/etc/given": "given\n"}, setup=["cat /etc/given"], no_cache=True, **SMALL,
        )
        assert not build.ended and sent
        events = [event async for event in client.builds.stream(build.id)]
        written = "".join(event.text for event in events if isinstance(event, StepWrote))
        assert written == "hello you\ngiven\n"
        assert isinstance(events[0], BuildStepStarted) and isinstance(events[-1], BuildEnded)
        ended = await client.builds.wait(build.id)
        assert ended.ok and ended.state is BuildState.COMPLETE and ended == events[-1].build
        behind = [event async for event in client.builds.stream(build.id, after_seq=events[3].seq)]
        assert behind == events[4:]

        async with await client.sandboxes.create(image="py-built:1", memory_mib=256) as sandbox:
            shown = await sandbox.run("cat /listed /ctx/sub/a.txt")
            assert shown.stdout == ".dockerignore\nDockerfile\nsub\ncontent\n"
        image = await client.images.get("py-built:1")
        assert (image.id, image.build_id) == (ended.image_id, build.id)

        again = await client.builds.create(
            "py-built:1", dockerfile, context=build.context_id, args={"WHO": "you"},
            files={"/etc/given": "given\n"}, setup=["cat /etc/given"], **SMALL,
        )
        again = await client.builds.wait(again.id)
        assert again.ok and again.cached_count == again.step_count - 1
        listed = [each.id async for each in client.builds.list(name="py-built")]
        assert listed[:2] == [again.id, build.id]
        await client.builds.delete(again.id)
        with pytest.raises(errors.NotFoundError):
            await client.builds.get(again.id)


async def test_a_build_that_fails_says_where_and_why(connect: Any) -> None:
    async with connect() as client:
        build = await client.builds.create(
            "failing", "FROM host\nRUN echo broken >&2; exit 7\n",
            secrets={"TOKEN": "hunter2"}, **SMALL,
        )
        build = await client.builds.wait(build.id)
        assert not build.ok and build.failure.code == "step_failed" and build.failure.step == 1
        assert build.steps[1].exit_code == 7
        ends = [e async for e in client.builds.stream(build.id) if isinstance(e, BuildStepEnded)]
        assert [end.step for end in ends] == [0, 1]
        endless = await client.builds.create("endless", "FROM host\nRUN sleep 1000\n", **SMALL)
        assert (await client.builds.cancel(endless.id)).cancel_requested
        assert (await client.builds.wait(endless.id)).failure.code == "cancelled"
        with pytest.raises(errors.InvalidArgumentError) as refused:
            await client.builds.create("bad", "FROM host\nNOPE\n")
        assert "line 2" in str(refused.value)


def test_the_command_line_builds_a_directory(server: Server, tmp_path: Path) -> None:
    context = in_directory(tmp_path)
    def images(*args: str) -> subprocess.CompletedProcess[str]:
        return server.cli("images", *args)

    build = ["build", str(context), "--name", "cli-built:1", "--build-arg", "WHO=cli",
             "--network", "none", "--memory", "256m", "--disk", "64m"]
    done = images(*build)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("img_") and "hello cli" in done.stderr
    assert "[4/4] RUN" in done.stderr or "[3/3] RUN" in done.stderr
    again = images(*build, "--json")
    events = [json.loads(line) for line in again.stdout.splitlines()]
    assert events[-1]["build"]["cached_count"] == 2
    listed = json.loads(images("builds", "cli-built", "--json").stdout)
    assert [each["state"] for each in listed] == ["complete", "complete"]
    (context / "Dockerfile").write_text("FROM host\nRUN exit 9\n")
    failed = images(*build)
    assert failed.returncode != 0 and "exited with code 9" in failed.stderr
