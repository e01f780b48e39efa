"""Somebody at a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

SECONDS = 60


class Terminal:
    """A program with a terminal of its own, from the side of who types."""

    def __init__(self, line: list[str], rows: int = 33, columns: int = 99) -> None:
        self._ours, theirs = pty.openpty()
        self._size(rows, columns)
        self.process = subprocess.Popen(
            line,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm-pinned"},
        )
        os.close(theirs)
        self.seen = ""

    def _size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows: int, columns: int) -> None:
        self._size(rows, columns)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def sees(self, word: str) -> None:
        """Reads on until the word has come, and forgets what stood before its end."""
        deadline = time.monotonic() + SECONDS
        while word not in self.seen:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._ours], [], [], max(left, 0))
            assert ready, f"{word!r} did not come: {self.seen!r}"
            try:
                self.seen += os.read(self._ours, 65536).decode(errors="replace")
            except OSError as error:
                raise AssertionError(f"it ended without {word!r}: {self.seen!r}") from error
        self.seen = self.seen.split(word, 1)[1]

    def ends(self) -> int:
        """Its exit code."""
        while True:
            try:
                if not os.read(self._ours, 65536):
                    break
            except OSError:
                break
        return self.process.wait(SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
