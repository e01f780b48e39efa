"""The guard of a private server: starts it, and ends it when no program uses it any more.

Run as a program with the server's data directory and the program `pinfold`. Knows nothing of the
rest of the package: it has to start fast and outlive whoever started it.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1
_END_SECONDS = 15.0


def _end_with_parent() -> None:
    """The server gets SIGTERM where the guard itself is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_when_unused(users: int, server: "subprocess.Popen[bytes]") -> None:
    fcntl.flock(users, fcntl.LOCK_EX)
    server.terminate()
    try:
        server.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()


def main(directory: str, program: str) -> int:
    """Guards one server until it has ended."""
    users = os.open(os.path.join(directory, "users"), os.O_RDWR)
    server = subprocess.Popen(
        [program, "--data-dir", directory, "serve", "--listen", "127.0.0.1:0", "--ephemeral"],
        stdin=subprocess.DEVNULL,
        preexec_fn=_end_with_parent,
    )
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    threading.Thread(target=_end_when_unused, args=(users, server), daemon=True).start()
    return server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
