"""Disks that are full: inside a sandbox, and under the server."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import talks
from crowd import insist
from outside import Outside, until
from reader import Reader
from support.server import Server
from wire import Caller

FULL_WORDS = ("No space left on device\n", "Disk quota exceeded\n")
SMALL = {"image": "host", "memory_mib": 256, "disk_mib": 64, "pids": 64}


def test_a_full_disk_inside_is_told_and_is_nobody_elses(caller: Caller) -> None:
    """The program and the file API are both told. Commands go on, their output too, and so does all
    else as soon as there is room.

    Seen to fail: with a disk large enough for what is written.
    """
    box, other = caller.create(disk_mib=32), caller.create(disk_mib=64)
    written = caller.sh(box, "head -c 100000000 /dev/zero > big; echo $?; wc -c < big")
    said, size = written["stdout"].split()
    # ENOSPC of a disk in memory, EDQUOT of one in the pool.
    assert said == "1" and written["stderr"].endswith(FULL_WORDS), written
    assert int(size) <= 32 << 20
    answer = caller.write(box, "/workspace/more", b"x" * 2_000_000)
    assert (answer.status, answer.code) == (409, "disk_full"), answer.body
    missing = caller.sh(box, "test ! -e more; echo $?; seq 1 100000 | tail -1")
    assert missing["stdout"] == "0\n100000\n", "nothing half-written is left"
    assert caller.sh(other, "head -c 20000000 /dev/zero > big && echo room")["stdout"] == "room\n"
    caller.sh(box, "rm big && sync")
    until(lambda: caller.write(box, "/workspace/more", b"x" * 2_000_000).status < 300, "room")


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server whose data directory is a file system of 48 MB.

    The disks of its sandboxes are in memory, as where there are no programs for btrfs: a pool would
    share the fate of the file system that it lies on (docs/guarantees.md says how).
    """
    monkeypatch.setenv("PATH", "/nonexistent")
    data = tmp_path / "data"
    data.mkdir()
    mount = ["-t", "tmpfs", "-o", "size=48m,mode=700", "chaos", str(data)]
    subprocess.run(["/bin/mount", *mount], check=True)
    try:
        server = Server(tmp_path)
        server.start()
        yield server
        (data / "filler").unlink(missing_ok=True)
        if not server.alive:
            server.start()
        server.stop()
        Outside(data).check_nothing_left()
    finally:
        # Lazily: nothing of it may stay in the way, also where the test failed.
        subprocess.run(["/bin/umount", "--lazy", str(data)], check=True)


def recorded_state(data: Path, command: str) -> str:
    """Of a command, as it will be found behind a crash; no answer of the server shows that."""
    with closing(sqlite3.connect(f"file:{data}/pinfold.db?mode=ro", uri=True)) as database:
        found = database.execute("SELECT state FROM commands WHERE id = ?", (command,))
        return str(found.fetchone()[0])


def fill(data: Path) -> None:
    """Takes all of the room that is left."""
    size = 1 << 20
    with open(data / "filler", "ab", buffering=0) as filler:
        while size:
            try:
                filler.write(bytes(size))
            except OSError:
                size //= 2


def test_a_full_disk_under_the_server_is_told_and_costs_nothing_but_output(
    small_disk: Server, outside_of_small: Outside
) -> None:
    """What cannot be recorded is refused, and nothing is made. What runs goes on: its output is cut,
    which is told, and its end is what it was. With room again all is as before, without a restart.

    Seen to fail: with the database's one writer left in a transaction that SQLite had ended, as it
    was before the fix that came with this test (every change failed until the server was restarted);
    with output dropped without a record that says so.
    """
    server, data = small_disk, small_disk.directory / "data"
    caller = Caller(server.url, server.key)
    box = caller.create()
    talks.bring(caller, box)
    command = caller.start(box, *talks.argv("one"))
    reader = Reader(lambda: caller, command).start()
    until(lambda: reader.last > 20, "it writes")

    fill(data)
    until(lambda: reader.truncated, "readers are told that output is missing")
    made: dict[str, str] = {}
    refused: list[str] = []
    requests = {"create": ("/v1/sandboxes", SMALL)}
    start = {"shell": 'echo ran >> "$KEY"; echo whole', "env": {"KEY": "kept"}}
    requests["start"] = (f"/v1/sandboxes/{box}/commands", start)

    def is_refused(kind: str) -> bool:
        # A file that is cut gives room back, which may just be enough for one.
        fill(data)
        key = f"{kind}{len(made)}"
        answer = caller.call("POST", *requests[kind], key)
        if answer.status == 201:
            made[key] = answer.json["id"]
            return False
        assert (answer.status, answer.code) == (503, "unavailable"), answer.body
        assert "disk is full" in answer.json["error"]["message"]
        refused.append(key)
        return True

    for kind in requests:
        until(lambda kind=kind: is_refused(kind), f"{kind} is refused")
    sandboxes = 1 + sum(key.startswith("create") for key in made)
    assert len(caller.good("GET", "/v1/sandboxes")["items"]) == sandboxes
    assert caller.call("GET", "/healthz").status == 200
    assert caller.write(box, "/workspace/one.finish", b"").status < 300
    ended = caller.ended(command)
    assert (ended["state"], ended["exit_code"], ended["truncated"]) == ("exited", 7, True)
    kinds = [record["type"] for record in reader.join().records]
    assert kinds[-2:] == ["truncated", "end"] and set(kinds[:-2]) == {"output"}
    talks.check_broken_off("one", reader.stdout, reader.stderr)
    talks.check_kept(caller, reader)

    unwritten = (data / "journals" / command).stat().st_size
    os.unlink(data / "filler")
    for key in refused:
        path, value = requests[key.rstrip("0123456789")]
        answer = insist(lambda: caller.call("POST", path, value, once=key))
        assert answer.status == 201, "the same key, and now for the first time"
        made[key] = answer.json["id"]
    started = [each for key, each in made.items() if key.startswith("start")]
    for each in started:
        assert caller.ended(each)["exit_code"] == 0
        assert caller.output(each, "stdout") == b"whole\n" or each not in refused
    assert caller.sh(box, "cat kept")["stdout"] == "ran\n" * len(started)

    # What was told while nothing could be recorded is recorded as soon as it can be.
    until(lambda: recorded_state(data, command) == "exited", "the end is recorded")
    journal = data / "journals" / command
    until(lambda: journal.stat().st_size > unwritten, "the marks are in the journal")
    server.kill()
    server.start()
    again = caller.command(command)
    assert again == ended
    talks.check_kept(caller, reader)
    listed = {each["id"]: each["state"] for each in caller.good("GET", "/v1/sandboxes")["items"]}
    boxes = [box, *(each for key, each in made.items() if key.startswith("create"))]
    assert listed == dict.fromkeys(boxes, "running")
    assert sorted(outside_of_small.guests().values()) == sorted(boxes)


@pytest.fixture
def outside_of_small(small_disk: Server) -> Outside:
    """The machine's view of it."""
    return Outside(small_disk.directory / "data")
