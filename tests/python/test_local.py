"""Private servers: started where none runs, shared, and ended behind the last program."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PACKAGE
from support.server import Server
from test_package import alone

DEADLINE_SECONDS = 30

# Says where its server is, and ends when its stdin does.
PROGRAM = """
import sys
from pinfold import Client
with Client.local() as client, client.sandboxes.create(memory_mib=64) as sandbox:
    assert sandbox.run("echo hi").stdout == "hi\\n"
    print(client.url, flush=True)
    sys.stdin.read()
"""

ASYNC_PROGRAM = """
import asyncio, sys
from pinfold import AsyncClient
async def main():
    async with AsyncClient.local() as client, client.sandboxes.create(memory_mib=64) as sandbox:
        assert (await sandbox.run("echo hi")).stdout == "hi\\n"
        print(client.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


TWICE = """
import sys
from pinfold import Client, PinfoldError
client = Client.local()
print(client.url, flush=True)
sys.stdin.readline()
try:
    client.whoami()
except PinfoldError as error:
    print(type(error).__name__, flush=True)
with Client.local() as client, client.sandboxes.create(memory_mib=64) as sandbox:
    print(sandbox.run("echo again").stdout, flush=True)
"""


class Programs:
    """Programs that use a private server."""

    def __init__(self, directory: Path) -> None:
        self.environment = {**alone(directory), "PYTHONPATH": str(PACKAGE / "src")}
        self.data = directory / "data" / "pinfold-local"
        self._all: list[subprocess.Popen[str]] = []

    def start(self, code: str = PROGRAM, **environment: str) -> subprocess.Popen[str]:
        """Starts one."""
        program = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**self.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._all.append(program)
        return program

    def server_pid(self) -> int:
        """The process that serves, or did."""
        return int(json.loads((self.data / "server.lock").read_text())["pid"])

    def end(self) -> None:
        """Whatever still runs."""
        for program in self._all:
            program.kill()
            program.communicate()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    programs.end()
    eventually(lambda: not alive(programs))


def alive(programs: Programs) -> bool:
    """Whether a server runs in the data directory."""
    try:
        command = Path(f"/proc/{programs.server_pid()}/cmdline").read_bytes()
        state = Path(f"/proc/{programs.server_pid()}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, ValueError):
        return False
    return str(programs.data).encode() in command and state != "Z"


def eventually(holds: Callable[[], Any]) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def url_of(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None and program.stderr is not None
    url = program.stdout.readline().strip()
    assert url, program.stderr.read()
    return url


@pytest.mark.parametrize("code", [PROGRAM, ASYNC_PROGRAM], ids=["sync", "async"])
def test_a_server_is_there_while_the_program_is(programs: Programs, code: str) -> None:
    program = programs.start(code)
    url_of(program)
    assert alive(programs)
    assert (programs.data / "admin.key").stat().st_mode & 0o777 == 0o600
    _, said = program.communicate("")
    assert (program.returncode, said) == (0, "")
    # When the interpreter has ended, so has the server.
    assert not alive(programs)


def test_programs_at_once_share_one_server_and_the_last_ends_it(programs: Programs) -> None:
    several = [programs.start() for _ in range(4)]
    assert len({url_of(each) for each in several}) == 1
    for each in several:
        assert alive(programs)
        each.communicate("")
        assert each.returncode == 0
    eventually(lambda: not alive(programs))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_that_is_killed_leaves_no_server(programs: Programs, number: int) -> None:
    program = programs.start()
    url_of(program)
    program.send_signal(number)
    program.wait()
    eventually(lambda: not alive(programs))
    # And the next one finds everything in order.
    program = programs.start()
    url_of(program)


def test_a_server_that_was_killed_is_started_again(programs: Programs) -> None:
    program = programs.start(TWICE)
    url_of(program)
    os.kill(programs.server_pid(), signal.SIGKILL)
    eventually(lambda: not alive(programs))
    assert program.stdin is not None
    program.stdin.write("\n")
    program.stdin.flush()
    said, error = program.communicate()
    assert (said.split(), program.returncode) == (["ConnectionFailedError", "again"], 0), error
    assert not alive(programs)


def test_a_server_of_this_user_is_used_as_it_is(programs: Programs, tmp_path: Path) -> None:
    server = Server(tmp_path / "own")
    server.start()
    try:
        program = programs.start(
            PINFOLD_DATA_DIR=str(server.directory / "data"), PINFOLD_API_KEY=server.key
        )
        assert url_of(program) == server.url
        program.communicate("")
        assert program.returncode == 0
        assert not programs.data.exists()
    finally:
        server.stop()


# Takes a port as another user, and says what it is asked.
STRANGER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
# Of a Python that may be out of this user's reach.
"".encode("idna")
os.setgid(65534)
os.setuid(65534)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", self.headers, flush=True)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def test_the_key_of_a_dead_server_is_not_shown_to_who_has_its_port(
    programs: Programs, tmp_path: Path
) -> None:
    stranger = programs.start(STRANGER)
    url = f"http://127.0.0.1:{url_of(stranger)}"
    left = tmp_path / "left"
    left.mkdir(mode=0o700)
    (left / "server.lock").write_text(json.dumps({"pid": os.getpid(), "url": url}))
    (left / "admin.key").write_text("s3cret")
    program = programs.start(PINFOLD_DATA_DIR=str(left))
    assert url_of(program) != url
    program.communicate("")
    stranger.terminate()
    assert stranger.communicate()[0] == ""


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PINFOLD_BIN": "", "PATH": "/nonexistent"}, "BinaryNotFoundError: no program `pinfold`"),
        ({"PINFOLD_BIN": "/nonexistent"}, "BinaryNotFoundError: /nonexistent is not a program"),
        ({"PINFOLD_BIN": "/bin/false"}, "LocalServerError: the server did not start"),
        ({"XDG_DATA_HOME": "/proc/none"}, "LocalServerError: cannot use /proc/none"),
    ],
)
def test_what_is_missing_is_said(
    programs: Programs, environment: dict[str, str], said: str
) -> None:
    program = programs.start(**environment)
    _, error = program.communicate("")
    assert program.returncode == 1
    assert said in error
