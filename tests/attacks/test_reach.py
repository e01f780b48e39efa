"""Whom code inside can reach: this machine's processes, sockets and addresses, and PID 1's program."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server import Server
from world import INSIDE, Pinfold, Sandbox, until


@contextlib.contextmanager
def listening(family: socket.AddressFamily, address: object) -> Iterator[socket.socket]:
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()
        yield listener


def guest_of(sandbox: Sandbox) -> int:
    """Its PID 1 as this machine numbers it: the one that sees a file which nobody else has."""
    mark = f"/tmp/{secrets.token_hex(16)}"
    assert sandbox.put(mark, b"").is_success
    found = [
        int(process)
        for process in os.listdir("/proc")
        if process.isdigit() and os.path.exists(f"/proc/{process}/root{mark}")
    ]
    first = [process for process in found if _number_inside(process) == 1]
    assert len(first) == 1, found
    return first[0]


def _number_inside(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("NSpid")).split()[-1])


def digest(program: str) -> str:
    return hashlib.sha256(Path(program).read_bytes()).hexdigest()


def test_nobody_outside_is_reached(
    pinfold: Pinfold, sandbox: Sandbox, neighbour: Sandbox, server: Server, tmp_path: Path
) -> None:
    victim = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    theirs = neighbour.start(argv=["sleep", "1000"])
    abstract, named = secrets.token_hex(8), str(tmp_path / "socket")
    port = int(pinfold.url.rsplit(":", 1)[1])
    sockets = [str(path) for path in server.directory.rglob("*") if path.is_socket()]
    assert sockets, "guests listen in the server's directory"
    with (
        listening(socket.AF_UNIX, "\0" + abstract),
        listening(socket.AF_UNIX, named),
        listening(socket.AF_INET, ("0.0.0.0", 0)) as anywhere,
    ):
        ports = [port, anywhere.getsockname()[1], 22, 2375, 6443, 10250]
        source = f"ABSTRACT, PORTS, NAMES = {abstract!r}, {ports!r}, {[named, *sockets]!r}\n"
        source += "".join((INSIDE / f"{part}.py").read_text() for part in ("base", "reach"))
        result = sandbox.run(argv=["python3", "-"], stdin_data=source)
        assert result["command"]["exit_code"] == 0, result["stderr"]
        got = json.loads(result["stdout"])
    assert victim.poll() is None
    victim.kill()
    victim.wait()
    assert pinfold.call("GET", f"/v1/commands/{theirs}")["state"] == "running"
    assert got.pop("signal all") in ("ok", "ESRCH"), "whom there was, and that is nobody outside"
    assert got.pop("reached processes") == []
    assert got.pop("signals of a descriptor to others") == "ESRCH"
    addresses = {name: gave for name, gave in got.items() if name.startswith("address")}
    assert len(addresses) == 10 and set(addresses.values()) == {"ENETUNREACH"}, addresses
    ports_got = {name: gave for name, gave in got.items() if name.startswith("port")}
    assert len(ports_got) == 18 and set(ports_got.values()) == {"ECONNREFUSED"}, ports_got
    names = {name: gave for name, gave in got.items() if name.startswith("name")}
    assert len(names) == 1 + len(sockets) and set(names.values()) <= {"ENOENT", "EACCES"}, names
    assert got["abstract"] == "ECONNREFUSED"
    if os.uname().machine == "x86_64":
        assert got["x32 getpid"] == got["x32 mount"] == "ENOSYS"
        assert got["calls of 32 bits"] == "signal 31", "SIGSYS"
    assert got["no_new_privs"] == "1"
    assert got["ambient"] == "EPERM"
    assert (got["mapped"], got["map more"]) == ("65536", "EPERM")
    sandbox.is_well()


# `#!/proc/self/exe` has whoever starts it be started again, as runc was (CVE-2019-5736); the loop
# beside it tries to open the newest process's program, and writes into it if that lets it.
OVERWRITER = """
import os
while True:
    with open("/proc/loadavg") as file:
        newest = file.read().split()[-1]
    try:
        fd = os.open(f"/proc/{newest}/exe", os.O_RDONLY)
    except PermissionError:
        print("met", flush=True)
        continue
    except OSError:
        continue
    program = os.readlink(f"/proc/self/fd/{fd}")
    print("opened", program, flush=True)
    if "memfd" in program:
        for flags in (os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
            try:
                os.write(os.open(f"/proc/self/fd/{fd}", flags), b"evil")
                print("written", flush=True)
            except OSError as error:
                print("refused", error.errno, flush=True)
    os.close(fd)
"""


def test_the_guest_s_program_cannot_be_overwritten(
    pinfold: Pinfold, sandbox: Sandbox, neighbour: Sandbox
) -> None:
    programs = [f"/proc/{guest_of(each)}/exe" for each in (sandbox, neighbour)]
    before = [digest(program) for program in programs]
    sandbox.put("/tmp/again", b"#!/proc/self/exe\n")
    sandbox.put("/tmp/overwriter", OVERWRITER.encode())
    sandbox.shell("chmod +x /tmp/again; ln -s /proc/self/exe /tmp/itself")
    overwriter = sandbox.start(argv=["python3", "/tmp/overwriter"])
    sandbox.says(overwriter, "opened /usr")  # Itself: the loop works.

    def has_met() -> bool:
        for program in ("/tmp/again", "/tmp/itself", "/proc/self/exe"):
            again = sandbox.run(argv=[program])
            # The guest is a part of the spawner's program, which has nobody to serve there.
            refusal = again["stderr"].startswith("pinfold-spawner: ")
            assert refusal, "the guest's program was started again"
        return sandbox.output(overwriter).count("met") >= 20

    until(has_met, "20 meetings with the guest's program")
    said = sandbox.output(overwriter)
    assert "memfd" not in said and "written" not in said
    assert [digest(program) for program in programs] == before
    sandbox.is_well()


TYPE = """
import ctypes, fcntl, os, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
for request in (0x5412, 0x541C, 0x5423, 0xFFFFFFFF00005412 - (1 << 64)):
    libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_char_p]
    got = libc.ioctl(0, request, b"\\x03")
    print("typed" if got == 0 else f"errno {ctypes.get_errno()}", flush=True)
print(os.ttyname(0), os.tcgetpgrp(0) == os.getpgrp(), flush=True)
"""


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_nothing_is_typed_into_a_terminal_from_inside(sandbox: Sandbox, user: str) -> None:
    size = {"rows": 24, "cols": 80}
    said = sandbox.run(argv=["python3", "-c", TYPE], tty=size, user=user)["stdout"].split("\r\n")
    assert said[:4] == ["errno 1"] * 4, said
    assert said[4] == "/dev/pts/0 True", "it is this command's own terminal"
