"""A sandbox that takes all that it can, and what others notice of it: nothing."""

from __future__ import annotations

import contextlib
import select
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.server import Server
from world import Pinfold, Sandbox, until

FORK = """
import os, time
made = 0
while True:
    try:
        if os.fork() == 0:
            time.sleep(1000)
            os._exit(0)
        made += 1
    except OSError as error:
        print("refused", error.errno, made, flush=True)
        time.sleep(1000)
"""
THREADS = """
import threading, time
made = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        made += 1
except RuntimeError:
    print("refused 11", made, flush=True)
    time.sleep(1000)
"""
MEMORY = {
    "pages": "x = bytearray(1 << 40)",
    "written pages": "x = []\nwhile True: x.append(b'x' * (1 << 20))",
    "shared memory": "f = open('/dev/shm/f', 'wb')\nwhile True: f.write(b'x' * (1 << 20))",
    "memory file": (
        "import os\nf = os.memfd_create('m')\nwhile True: os.write(f, b'x' * (1 << 20))"
    ),
    "mapped": (
        "import mmap\nm = []\n"
        "while True: m.append(mmap.mmap(-1, 1 << 24, flags=mmap.MAP_SHARED | 0x8000))"
    ),
    "sockets": (
        "import socket\np = []\n"
        "while True:\n  a, b = socket.socketpair(); a.setblocking(False); p += [a, b]\n"
        "  a.setsockopt(1, 7, 1 << 24)\n"
        "  try:\n    while a.send(b'x' * 65536): pass\n  except BlockingIOError: pass\n"
    ),
    "pipes": (
        "import os, fcntl\np = []\n"
        "while True:\n  r, w = os.pipe(); p += [r, w]; os.set_blocking(w, False)\n"
        "  try:\n    while os.write(w, b'x' * 65536): pass\n  except BlockingIOError: pass\n"
    ),
}


@pytest.mark.parametrize("bomb", [FORK, THREADS], ids=["processes", "threads"])
def test_a_fork_bomb_is_bounded_and_can_be_ended(
    sandbox: Sandbox, neighbour: Sandbox, bomb: str
) -> None:
    command = sandbox.start(argv=["python3", "-c", bomb])
    sandbox.says(command, "refused 11")
    made = int(sandbox.output(command).split()[-1])
    assert 8 < made <= 64
    # A file call needs a process inside, and says so where there is none left.
    assert sandbox.put("/tmp/file", b"kept").status_code == 503
    neighbour.is_well()
    sandbox.pinfold.call("POST", f"/v1/commands/{command}/cancel", json={"mode": "force"})
    assert sandbox.ended(command)["state"] == "cancelled"
    sandbox.is_well()


@pytest.mark.parametrize("bomb", list(MEMORY))
def test_memory_is_the_sandbox_s_own_whatever_it_is_taken_as(
    pinfold: Pinfold, neighbour: Sandbox, bomb: str
) -> None:
    with pinfold.sandbox(memory_mib=64) as sandbox:
        result = sandbox.python("import resource\n"
                                "resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))\n"
                                + MEMORY[bomb])  # fmt: skip
        assert result["command"]["exit_code"] != 0, "it ends, by the kernel or by an error"
        peak = pinfold.call("GET", f"{sandbox.path}/usage")["memory_peak_bytes"]
        assert peak <= 64 << 20
        neighbour.is_well()
        sandbox.is_well()


#: Each entry is as large as it gets, since it is their number that takes the time.
FILL = {
    "bytes": "f = open('/workspace/big', 'wb')\nwhile True: f.write(os.urandom(1 << 20))",
    "files": "while True: open(f'/workspace/{next(n):0250}', 'w').close()",
    "links": "while True: os.symlink('x' * 3000, f'/workspace/{next(n):0250}')",
    "attributes": "while True:\n  p = f'/workspace/{next(n)}'; open(p, 'w').close()\n"
                  "  os.setxattr(p, 'user.x', b'x' * 3000)",
}  # fmt: skip


@pytest.mark.parametrize("what", list(FILL))
def test_a_full_disk_is_the_sandbox_s_own(
    pinfold: Pinfold, neighbour: Sandbox, what: str
) -> None:
    with pinfold.sandbox(disk_mib=16) as sandbox:
        result = sandbox.python("import itertools, os\nn = itertools.count()\n" + FILL[what])
        said = result["stderr"]
        assert "quota exceeded" in said or "No space left" in said, said[-500:]
        assert result["command"]["state"] == "exited"
        answer = sandbox.put("/workspace/more", bytes(1 << 20))
        assert answer.json()["error"]["code"] == "disk_full", answer.text
        assert neighbour.put("/workspace/big", bytes(8 << 20)).is_success
        assert neighbour.shell("rm /workspace/big; echo > /workspace/f; cat /workspace/f") == "\n"
        # What is full can be emptied from inside.
        empty = "import shutil, os\nfor n in os.scandir('/workspace'): " \
                "shutil.rmtree(n) if n.is_dir(follow_symlinks=False) else os.unlink(n)"  # fmt: skip
        assert sandbox.python(empty)["command"]["exit_code"] == 0
        until(lambda: sandbox.put("/workspace/more", b"x").is_success, "room")


def test_a_flood_of_output_ends_at_its_cap_and_holds_nobody_up(
    sandbox: Sandbox, neighbour: Sandbox, server: Server
) -> None:
    cap = 1 << 20
    flood = {"shell": "yes flood & yes flood >&2 & wait", "output_cap_bytes": cap}
    commands = [sandbox.start(**flood) for _ in range(4)]
    def kept(command: str) -> int:
        files = [path for path in server.directory.rglob(f"*{command}*") if path.is_file()]
        return sum(path.stat().st_size for path in files)

    for command in commands:
        until(lambda: kept(command) >= cap - (64 << 10), "a full journal")
    neighbour.is_well()
    assert neighbour.shell("seq 200000 | tail -1") == "200000\n"
    sandbox.is_well()
    for command in commands:
        assert sandbox.pinfold.call("GET", f"/v1/commands/{command}")["state"] == "running"
        sandbox.pinfold.call("POST", f"/v1/commands/{command}/cancel", json={"mode": "force"})
        assert sandbox.ended(command)["truncated"], "who reads it is told"
        assert kept(command) < cap + (256 << 10)


def test_connections_to_a_preview_have_a_bound_and_others_go_on(
    pinfold: Pinfold, sandbox: Sandbox, neighbour: Sandbox
) -> None:
    """An application that answers nobody, and as many callers as come in."""
    silent = (
        "import socket, time\ns = socket.create_server(('127.0.0.1', 8000), backlog=1024)\n"
        "print('up', flush=True)\nkept = []\nwhile True: kept.append(s.accept())"
    )
    sandbox.says(sandbox.start(argv=["python3", "-c", silent]), "up")
    serve = neighbour.start(shell="cd /tmp; echo hello > f; exec python3 -um http.server 8000")
    neighbour.says(serve, "Serving")
    slow, quick = (previewed(pinfold, each) for each in (sandbox, neighbour))
    address = ("127.0.0.1", int(pinfold.url.rsplit(":", 1)[1]))
    path = slow.removeprefix(pinfold.url)
    with contextlib.ExitStack() as visit:
        visitors = [visit.enter_context(socket.create_connection(address)) for _ in range(560)]
        for visitor in visitors:
            visitor.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        until(lambda: len(answered(visitors)) >= 560 - 512, "all beyond the bound of 512")
        for visitor in answered(visitors):
            assert visitor.recv(4096).startswith(b"HTTP/1.1 503 ")
        assert httpx.get(f"{quick}f", trust_env=False, timeout=60).text == "hello\n"
        neighbour.is_well()
        sandbox.is_well()
        pinfold.call("DELETE", f"{sandbox.path}")
        until(lambda: len(answered(visitors)) == 560, "the end of all, with their sandbox")


def answered(visitors: list[socket.socket]) -> list[socket.socket]:
    waiting = select.poll()
    for visitor in visitors:
        waiting.register(visitor, select.POLLIN)
    ready = {number for number, _ in waiting.poll(0)}
    return [visitor for visitor in visitors if visitor.fileno() in ready]


def previewed(pinfold: Pinfold, sandbox: Sandbox) -> str:
    wish: dict[str, Any] = {"port": 8000, "access": "public"}
    made = pinfold.call("POST", f"{sandbox.path}/previews", json=wish)
    return f"{pinfold.url}/p/{made['preview']['slug']}/"


def test_nothing_of_a_bomb_stays_behind(pinfold: Pinfold, server: Server) -> None:
    with pinfold.sandbox() as sandbox:
        sandbox.says(sandbox.start(argv=["python3", "-c", FORK]), "refused")
        group = sandbox.id

        def groups() -> list[Path]:
            return [path for path in Path("/sys/fs/cgroup").rglob(f"*{group}*") if path.is_dir()]

        assert groups()
    until(lambda: not groups(), "the end of its control groups")
    until(lambda: not list((server.directory / "data" / "sandboxes").glob(f"*{group}*")), "files")
