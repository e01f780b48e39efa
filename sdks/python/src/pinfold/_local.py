"""A server on this machine, started where none runs, ended when nobody uses it any more.

```text
program  --shared lock on `users`-->  guard  --child-->  pinfold serve --ephemeral
```
Each program that uses the private server holds a shared lock on the file `users` for as long as it
lives, however it ends. The guard, a small process of its own, waits for the exclusive lock, which it
gets when the last of them is gone, and ends the server. The lock on `start` is held by whoever looks
for a server or starts one, so that two programs do not start two.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import httpx

from pinfold._core.settings import is_loopback
from pinfold.errors import BinaryNotFoundError, LocalServerError

try:
    import fcntl
except ImportError:  # pragma: no cover - there are no sandboxes on such a system either
    fcntl = None  # type: ignore[assignment]

_START_SECONDS = 60.0
_END_SECONDS = 20.0
_POLL_SECONDS = 0.02
_NOTICE_MAX_BYTES = 4096
_LOG_TAIL_BYTES = 2000


@dataclass(frozen=True)
class LocalServer:
    """A server of this machine."""

    url: str
    key: str = field(repr=False)


@dataclass
class _Use:
    """Our use of a private server."""

    server: LocalServer
    directory: Path
    users: IO[bytes]
    """Holds the shared lock."""
    guard: subprocess.Popen[bytes] | None
    """Where we started it."""


_uses: dict[Path, _Use] = {}
_lock = threading.Lock()


def server(
    binary: str | os.PathLike[str] | None, data_dir: str | os.PathLike[str] | None
) -> LocalServer:
    """A server that runs: that of this user, else a private one. Safe from threads and processes."""
    if fcntl is None:
        raise LocalServerError("a local server needs Linux; name one with PINFOLD_URL")
    if data_dir is None:
        running = _running(_default_dir(), os.environ.get("PINFOLD_API_KEY"))
        if running is not None:
            return running
        data_dir = _user_data_dir() / "pinfold-local"
    directory = Path(data_dir).absolute()
    with _lock:
        known = _uses.get(directory)
        if known is not None:
            if _healthy(known.server):
                return known.server
            known.users.close()
            del _uses[directory]
        use = _use(directory, binary)
        if not _uses:
            atexit.register(_leave, os.getpid())
        _uses[directory] = use
        return use.server


def _use(directory: Path, binary: str | os.PathLike[str] | None) -> _Use:
    _make_private(directory)
    deadline = time.monotonic() + _START_SECONDS
    with _open(directory / "start") as start:
        _acquire(start, fcntl.LOCK_EX, deadline)
        users = _open(directory / "users")
        try:
            # While a guard ends its server it has the lock to itself.
            _acquire(users, fcntl.LOCK_SH, deadline)
            running, guard = _running(directory, None), None
            if running is None:
                guard = _start(directory, _program(binary))
                running = _awaited(directory, guard, deadline)
            return _Use(running, directory, users, guard)
        except BaseException:
            users.close()
            raise


def _program(binary: str | os.PathLike[str] | None) -> str:
    asked = binary or os.environ.get("PINFOLD_BIN")
    found = shutil.which(os.fspath(asked) if asked else "pinfold")
    if found is not None:
        return found
    if asked:
        raise BinaryNotFoundError(f"{asked} is not a program that can be run")
    raise BinaryNotFoundError(
        "no program `pinfold` on the PATH: install it, name it with PINFOLD_BIN, or use a server "
        "that runs elsewhere with Client(url, api_key)"
    )


def _start(directory: Path, program: str) -> subprocess.Popen[bytes]:
    # Settings of another server are not ours.
    kept = ("PINFOLD_LOG", "PINFOLD_LOG_FORMAT")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PINFOLD_") or name in kept
    }
    with open(directory / "server.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("_guard.py")), directory, program],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            # Ctrl-C at a terminal is for the program, which then ends in its own way.
            start_new_session=True,
        )


def _awaited(
    directory: Path, guard: subprocess.Popen[bytes], deadline: float
) -> LocalServer:
    while guard.poll() is None:
        running = _running(directory, None)
        if running is not None:
            return running
        if time.monotonic() > deadline:
            guard.terminate()
            raise LocalServerError(f"the server did not start in {_START_SECONDS:.0f} seconds")
        time.sleep(_POLL_SECONDS)
    with open(directory / "server.log", "rb") as log:
        log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL_BYTES))
        said = log.read().decode("utf-8", "replace").strip()
    raise LocalServerError(f"the server did not start; it said: {said}")


def _running(directory: Path, key: str | None) -> LocalServer | None:
    """The server of a data directory, if it answers and we have its key."""
    try:
        with open(directory / "server.lock", "rb") as notice:
            owner = os.fstat(notice.fileno()).st_uid
            if owner != os.geteuid():
                return None
            url = json.loads(notice.read(_NOTICE_MAX_BYTES)).get("url")
        key = key or (directory / "admin.key").read_text()
    except (OSError, ValueError, AttributeError):
        return None
    # The key belongs to a server of this machine, so it is sent nowhere else.
    if not isinstance(url, str) or not is_loopback(url) or _listeners(url) != {owner}:
        return None
    running = LocalServer(url, key.strip())
    return running if _healthy(running) else None


def _listeners(url: str) -> set[int]:
    """The users who listen at a port of this machine (proc(5), /proc/net/tcp).

    A server that was killed leaves its notice, and its port to anybody.
    """
    try:
        port = urlsplit(url).port
    except ValueError:
        return set()
    users = set()
    for family in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{family}") as table:
            for line in table:
                facts = line.split()
                # "0A" is LISTEN.
                if facts[3] == "0A" and facts[1].rsplit(":", 1)[1] == f"{port or 80:04X}":
                    users.add(int(facts[7]))
    return users


def _healthy(running: LocalServer) -> bool:
    headers = {"authorization": f"Bearer {running.key}"}
    try:
        with httpx.Client(trust_env=False, timeout=5.0, headers=headers) as client:
            return client.get(f"{running.url}/v1/whoami").status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return False


def _leave(owner: int) -> None:
    """At the interpreter's end. Waits for the end of a server that we started and nobody uses."""
    if os.getpid() != owner:
        # A fork of ours: what it inherited is not its own to end.
        return
    for use in list(_uses.values()):
        use.users.close()
        if use.guard is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                _await_end(use.directory, use.guard)
    _uses.clear()


def _await_end(directory: Path, guard: subprocess.Popen[bytes]) -> None:
    grace = time.monotonic() + 1.0
    with _open(directory / "users") as users:
        while guard.poll() is None and time.monotonic() < grace:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                # Nobody has it, and the guard is about to take it.
                fcntl.flock(users, fcntl.LOCK_UN)
                time.sleep(_POLL_SECONDS)
                continue
            try:
                fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                # The guard has it and ends the server.
                guard.wait(_END_SECONDS)
                return
            # Other programs use the server.
            return


def _acquire(file: IO[bytes], kind: int, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LocalServerError(
                    f"another program has been starting or ending the server of {file.name} for "
                    f"{_START_SECONDS:.0f} seconds"
                ) from None
            time.sleep(_POLL_SECONDS)


def _open(path: Path) -> IO[bytes]:
    try:
        return open(path, "ab")
    except OSError as error:
        raise LocalServerError(f"cannot use {path}: {error.strerror}") from None


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = directory.stat()
    except OSError as error:
        raise LocalServerError(f"cannot use {directory}: {error.strerror}") from None
    if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o022:
        raise LocalServerError(f"{directory} can be written by others; name another data_dir")


def _default_dir() -> Path:
    """Where `pinfold serve` keeps its things when nobody says otherwise."""
    named = os.environ.get("PINFOLD_DATA_DIR")
    if named:
        return Path(named)
    return Path("/var/lib/pinfold") if os.geteuid() == 0 else _user_data_dir() / "pinfold"


def _user_data_dir() -> Path:
    """XDG Base Directory Specification 0.8: relative values count as not set."""
    data = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(data):
        return Path(data)
    home = os.environ.get("HOME", "")
    if not os.path.isabs(home):
        raise LocalServerError("neither HOME nor XDG_DATA_HOME is set; name a data_dir")
    return Path(home) / ".local" / "share"
