"""What an installation's sandboxes are made of, as the machine itself shows it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PATIENCE = 60.0
T = TypeVar("T")


def until(found: Callable[[], T], what: str) -> T:
    """The first true value of `found`."""
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.02)
    return value


class Outside:
    """Looks at one data directory's things."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.instance = (data / "instance").read_text().strip()

    def processes(self) -> dict[int, str]:
        """Each process of each sandbox, with the name it was given."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"/{self.instance}/" in (process / "cgroup").read_text():
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    found[int(process.name)] = b" ".join(words).decode(errors="replace")
        return found

    def guests(self) -> dict[int, str]:
        """The first process of each sandbox, with the sandbox's id."""
        found = {}
        for pid in self.processes():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                inside = [line.split() for line in status.splitlines() if line.startswith("NSpid:")]
                groups = Path(f"/proc/{pid}/cgroup").read_text()
                if inside[0][-1] == "1":
                    found[pid] = groups.split(f"/{self.instance}/")[1].split()[0].split("/")[0]
        return found

    def speakers(self) -> dict[str, int]:
        """The process of each run of `talk.py`, by its name."""
        words = {pid: text.split() for pid, text in self.processes().items()}
        return {text[4]: pid for pid, text in words.items() if len(text) > 4 and "talk.py" in text[3]}

    def groups(self) -> list[str]:
        """Control groups of sandboxes; those that a server has made ahead are nobody's yet."""
        return [
            str(Path(at, name))
            for at, names, _ in os.walk("/sys/fs/cgroup")
            for name in names
            if at.endswith(f"/{self.instance}") and not name.startswith("ahead-")
        ]

    def slots(self) -> dict[str, str]:
        """Ranges of ids in use on this machine; a link of the network bears the range's number."""
        slots = Path("/run/pinfold/slots")
        found = {}
        for slot in slots.iterdir() if slots.exists() else []:
            with contextlib.suppress(OSError):
                if str(self.data) in os.readlink(slot):
                    found[slot.name] = os.readlink(slot)
        return found

    def mounts(self) -> list[str]:
        """Mounts of sandboxes in the machine's own namespace, without that of their common pool."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        places = [line.split()[4] for line in lines]
        own = str(self.data / "sandboxes")
        return [at for at in places if at.startswith(own) and not at.endswith("/.pool")]

    def directories(self) -> list[str]:
        """Directories and disks of sandboxes."""
        sandboxes = self.data / "sandboxes"
        found = [*sandboxes.glob("sbx_*"), *(sandboxes / ".pool").rglob("sbx_*")]
        return [str(path) for path in found]

    def everything(self) -> dict[str, object]:
        """All of it; nothing where nothing is left."""
        all_of_it = {
            "processes": self.processes(),
            "cgroups": self.groups(),
            "slots": self.slots(),
            "mounts": self.mounts(),
            "directories": self.directories(),
        }
        return {what: found for what, found in all_of_it.items() if found}

    def check_nothing_left(self) -> None:
        """The kernel takes some things apart behind the answer."""
        deadline = time.monotonic() + PATIENCE
        while left := self.everything():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.1)


def links(slots: dict[str, str]) -> list[str]:
    """Which network links of these slots exist."""
    names = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
    present = {line.split()[1].split("@")[0].rstrip(":") for line in names.splitlines()}
    return sorted(present & {f"pfsb{slot}" for slot in slots})


def kill(pid: int) -> None:
    """As the kernel does when memory runs out; it may have gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def memory_kib(pid: int, what: str) -> int:
    """Of a process: `VmRSS` is what it has in memory, `VmHWM` the most it ever had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {what}")


def forget_peak(pid: int) -> None:
    """`VmHWM` counts from now on (proc(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
