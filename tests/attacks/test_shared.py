"""What the kernel hands out to everybody by one number: a sandbox that takes all it can get takes
nothing from its neighbour and nothing from the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from world import INSIDE, Sandbox

WHATS = ["inotify", "signals", "timers", "terminals", "asynchronous", "locked", "queues", "threads",
         "pipes"]  # fmt: skip


def fresh_outside() -> dict[str, Any]:
    """What the machine's own root gets."""
    source = (INSIDE / "base.py").read_text() + (INSIDE / "fresh.py").read_text()
    done = subprocess.run([sys.executable, "-"], input=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("what", WHATS)
def test_what_one_sandbox_takes_others_still_have(
    sandbox: Sandbox, neighbour: Sandbox, what: str
) -> None:
    source = (INSIDE / "base.py").read_text() + (INSIDE / "exhaust.py").read_text()
    before = neighbour.probe("fresh"), fresh_outside()
    taker = sandbox.start(argv=["python3", "-"], stdin_data=f"WHAT = {what!r}\n{source}")
    sandbox.says(taker, "held")
    assert (neighbour.probe("fresh"), fresh_outside()) == before
    # Those calls do not exist inside: there is one small number of them for the whole machine.
    assert before[0].pop("asynchronous") == "ENOSYS"
    assert set(before[0].values()) == set(before[1].values()) == {"ok"}, before
    assert neighbour.shell("true", tty={"rows": 24, "cols": 80}) == ""
    sandbox.pinfold.call("POST", f"/v1/commands/{taker}/cancel", json={"mode": "force"})
    sandbox.ended(taker)
    sandbox.is_well()
