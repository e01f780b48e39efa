"""What a run of `talk.py` has to have left, to the byte."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from reader import Reader, data_of
from wire import Caller

PROGRAM = (Path(__file__).parent / "talk.py").read_bytes()
PLACE = "/workspace/talk.py"
ENDING = re.compile(rb"end (\d+) ([0-9a-f]{64})\n\Z")


def bring(caller: Caller, sandbox: str) -> None:
    """Puts the program into a sandbox."""
    answer = caller.write(sandbox, PLACE, PROGRAM)
    assert answer.status < 300, answer.body


def argv(name: str, pause: float = 0.2, most: int = 5000) -> list[str]:
    """What runs it. Bounded, so that a busy machine has no more to do the longer it takes."""
    return ["python3", "-S", "-E", PLACE, name, str(pause), str(most)]


def finish(caller: Caller, sandbox: str, names: list[str]) -> None:
    """Tells them to come to their ends."""
    files = " ".join(f"{name}.finish" for name in names)
    assert caller.sh(sandbox, f"touch {files}")["command"]["exit_code"] == 0


def check_lines(name: str, stdout: bytes) -> int:
    """Every whole line is the next one; how many there are."""
    lines = stdout.split(b"\n")[:-1]
    for number, line in enumerate(lines):
        assert line.split(b" ")[:2] == [name.encode(), b"%d" % number], (name, number, line[:80])
    return len(lines)


def check_whole(name: str, stdout: bytes, stderr: bytes) -> int:
    """All of both streams, once; how many lines."""
    ending = ENDING.search(stdout)
    assert ending, f"{name}: no ending: {stdout[-200:]!r}"
    said = stdout[: ending.start()]
    count = check_lines(name, said)
    assert count == int(ending[1]), (name, count, ending[1])
    assert hashlib.sha256(said).hexdigest() == ending[2].decode(), name
    assert stderr == b"".join(b"%d\n" % number for number in range(count)), name
    return count


def check_kept(caller: Caller, reader: Reader) -> None:
    """What is kept is what a reader saw that was cut off again and again: raw, and page by page."""
    command = reader.command
    for stream, written in reader.written.items():
        assert caller.output(command, stream) == written, f"{command}: another {stream}"
    paged = {"stdout": bytearray(), "stderr": bytearray()}
    facts = []
    for record in caller.pages(command, limit=300):
        if record["type"] == "output":
            paged[record["stream"]] += data_of(record)
        facts.append({name: record.get(name) for name in ("seq", "time", "type", "stream")})
    assert paged == reader.written, f"{command}: other pages"
    assert facts == reader.records, f"{command}: other records"


def check_ran_once(caller: Caller, sandbox: str, names: list[str]) -> None:
    """Each of them has left one line, and nothing else that runs them has left any."""
    found = caller.sh(sandbox, "grep -c '' *.ran")
    expected = {f"{name}.ran:1" for name in names}
    if len(names) == 1:
        expected = {"1"}
    assert set(found["stdout"].split()) == expected, found["stdout"]


def check_broken_off(name: str, stdout: bytes, stderr: bytes) -> tuple[int, int]:
    """The beginning of both streams without a gap: how many whole lines each has."""
    numbers = stderr.split(b"\n")[:-1]
    assert numbers == [b"%d" % number for number in range(len(numbers))], name
    return check_lines(name, stdout), len(numbers)
