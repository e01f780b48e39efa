"""Parts of the kernel that have let containers out: what a sandbox's root may ask of them."""

from __future__ import annotations

from typing import Any

import pytest
from world import Pinfold

#: What a call gives that this kernel would carry out for somebody else. ENOSYS is the answer of
#: calls that programs have to do without; EACCES that of PID 1's own files.
REFUSALS = {"EPERM", "ENOSYS", "EACCES"}
FAMILIES = {1, 2, 10, 16}  # unix, IPv4, IPv6, netlink


@pytest.fixture(scope="module")
def attempts(pinfold: Pinfold) -> dict[str, Any]:
    with pinfold.sandbox() as sandbox:
        return sandbox.probe("kernel")


def test_every_way_into_the_kernel_s_dangerous_parts_is_refused(attempts: dict[str, Any]) -> None:
    got = {name: gave for name, gave in attempts.items() if name.split()[0] not in ("socket", "socketpair", "made")}
    assert len(got) > 100
    # overlayfs hands out no handle of its root, so there is none to open.
    assert got.pop("open_by_handle_at root") in REFUSALS | {"ENOTSUP"}
    assert {name: gave for name, gave in got.items() if gave not in REFUSALS} == {}


def test_sockets_are_of_four_families_however_they_are_made(attempts: dict[str, Any]) -> None:
    """`socketpair` makes a socket of its family before it finds that the family has no pairs: the
    kernel would load the module of a rare one."""
    by_call = {name: gave for name, gave in attempts.items() if name.startswith("socket")}
    for call, families in (("socket", FAMILIES), ("socketpair", {1})):
        others = {
            name: gave
            for name, gave in by_call.items()
            if name.split()[0] == call and int(name.split()[1]) not in families
        }
        assert len(others) > 100
        assert set(others.values()) == {"EPERM"}, others
    assert by_call["socket 1 1"] == by_call["socket 2 1"] == by_call["socketpair 1 1"] == "ok"
    for name in ("raw 4", "raw 4 any", "raw 6", "packet", "packet in 2"):
        assert attempts[f"made {name}"] == "EPERM", name
