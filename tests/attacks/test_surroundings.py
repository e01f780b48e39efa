"""What a sandbox sees of its machine, enumerated rather than sampled."""

from __future__ import annotations

from typing import Any

import pytest
from world import Pinfold

DEVICES = [
    ["/dev/full", 1, 7],
    ["/dev/null", 1, 3],
    ["/dev/pts/ptmx", 5, 2],
    ["/dev/random", 1, 8],
    ["/dev/tty", 5, 0],
    ["/dev/urandom", 1, 9],
    ["/dev/zero", 1, 5],
]


@pytest.fixture(scope="module")
def seen(pinfold: Pinfold) -> dict[str, Any]:
    with pinfold.sandbox() as sandbox:
        return sandbox.probe("surroundings")


def test_no_file_of_proc_or_sys_opens_for_writing(seen: dict[str, Any]) -> None:
    assert seen["writable"] == []
    # Of PID 1 some files open, as the kernel judges each write by who writes: none succeeds.
    names = {path.rsplit("/", 1)[1] for path in seen["writable of PID 1"]}
    harmless = {"timerslack_ns", "current", "exec", "fscreate", "keycreate", "sockcreate"}
    assert names <= harmless
    assert set(seen["writes to PID 1"].values()) <= {"EPERM", "EACCES", "EINVAL", "EOPNOTSUPP"}


def test_programs_that_the_host_would_run_cannot_be_chosen(seen: dict[str, Any]) -> None:
    tried = {name: gave for name, gave in seen.items() if name.startswith("write /")}
    assert len(tried) == 6
    assert set(tried.values()) <= {"EROFS", "EACCES", "ENOENT"}, tried


def test_no_control_group_shows(seen: dict[str, Any]) -> None:
    assert not {"cgroup", "cgroup2", "sysfs", "securityfs", "debugfs"} & set(
        seen["kinds of mounts"]
    )
    assert seen["control files"] == []


def test_commands_are_born_with_their_three_streams_only(seen: dict[str, Any]) -> None:
    assert seen["descriptors"] == {"0": "pipe", "1": "pipe", "2": "pipe"}


def test_the_guest_s_socket_has_no_name_inside(seen: dict[str, Any]) -> None:
    assert seen["named sockets"] == []


def test_there_are_seven_devices_and_no_more_can_be_made(seen: dict[str, Any]) -> None:
    assert seen["devices"] == DEVICES
    made = {name: gave for name, gave in seen.items() if name.startswith("mknod")}
    assert len(made) == 24
    assert set(made.values()) == {"EPERM"}, made
    assert seen["open a whiteout"] != "ok"


def test_overlay_marks_and_the_image_are_out_of_reach(seen: dict[str, Any]) -> None:
    for name in ("redirect", "opaque", "metacopy"):
        assert seen[f"setxattr trusted.overlay.{name}"] == "EPERM"
    assert seen["write into the image"] != "ok"
    assert seen["replace a program of the image"] != "ok"
