"""The file calls while code inside swaps what they go through. Paths are resolved inside, so the worst
that a race wins is another place of the same sandbox: nothing of this machine is ever read, listed,
written or removed."""

from __future__ import annotations

import io
import secrets
import tarfile
from pathlib import Path
from typing import Any

import pytest
from world import Sandbox

# Exchanges a directory with links to where the machine's own things would be, as fast as it can.
SWAPPER = """
import ctypes, os
libc = ctypes.CDLL(None)
os.makedirs("/workspace/way", exist_ok=True)
for name, target in [("root", "/"), ("up", "../" * 40), ("proc", "/proc/1/root"),
                     ("self", "/proc/self/root"), ("cwd", "/proc/1/cwd")]:
    os.symlink(target, f"/workspace/{name}")
print("ready", flush=True)
while True:
    for name in ("root", "up", "proc", "self", "cwd"):
        for _ in range(2):
            libc.renameat2(-100, b"/workspace/way", -100, f"/workspace/{name}".encode(), 2)
"""


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory of this machine, at a path that no sandbox has."""
    (tmp_path / "secret").write_text(secrets.token_hex(16))
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    return tmp_path


def picture(top: Path) -> list[Any]:
    return sorted(
        (str(path), path.lstat().st_mode, path.lstat().st_mtime_ns, path.is_file() and path.read_text())
        for path in [top, *top.rglob("*")]
    )


def test_races_of_links_reach_nothing_of_the_machine(sandbox: Sandbox, canary: Path) -> None:
    secret, before = (canary / "secret").read_text(), picture(canary)
    sandbox.put("/tmp/swap.py", SWAPPER.encode())
    swapper = sandbox.start(argv=["python3", "/tmp/swap.py"])
    sandbox.says(swapper, "ready")
    http, files = sandbox.pinfold.http, f"{sandbox.path}/files"
    inside = f"/workspace/way{canary}"
    file, statuses = {"path": f"{inside}/secret"}, set()
    for number in range(40):
        answers = [
            http.get(files, params=file),
            http.get(f"{files}/stat", params=file),
            http.get(f"{files}/list", params={"path": inside}),
            http.get(f"{files}/archive", params={"path": inside}),
            http.put(files, params={"path": f"{inside}/new{number}", "parents": "true"}, content=b"x"),
            http.post(f"{files}/mkdir", json={"path": f"{inside}/made{number}"}),
            http.post(f"{files}/chmod", json={**file, "mode": "0777"}),
            http.post(f"{files}/move", json={"from": file["path"], "to": "/workspace/stolen"}),
            http.post(f"{files}/move", json={"from": "/tmp/swap.py", "to": f"{inside}/put"}),
            http.put(f"{files}/archive", params={"path": inside}, content=tar(("f", b"x", {}))),
            http.delete(files, params={"path": inside, "recursive": "true"}),
        ]
        for answer in answers:
            statuses.add(answer.status_code)
            assert answer.status_code < 500, answer.text
            assert secret not in answer.text
        sandbox.put("/tmp/swap.py", SWAPPER.encode())
    assert picture(canary) == before
    assert len(statuses) > 2, "some calls went through and some did not"
    sandbox.pinfold.call("POST", f"/v1/commands/{swapper}/cancel", json={"mode": "force"})
    sandbox.ended(swapper)
    sandbox.is_well()


def tar(*entries: tuple[str, bytes | None, dict[str, Any]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content, fields in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content or b"")
            for field, value in fields.items():
                setattr(entry, field, value)
            archive.addfile(entry, io.BytesIO(content or b""))
    return made.getvalue()


DEVICE = {"devmajor": 8, "devminor": 0, "mode": 0o666}
#: What is in the archive, and whether it is refused or harmless.
ARCHIVES = {
    "..": (tar(("../../../../..{}/evil", b"x", {})), "refused"),
    ".. in the middle": (tar(("a/../../..{}/evil", b"x", {})), "refused"),
    "absolute": (tar(("{}/evil", b"x", {})), "harmless"),
    "link to a file of the machine": (
        tar(("l", None, {"type": tarfile.SYMTYPE, "linkname": "{}/secret"}), ("l", b"evil", {})),
        "harmless",
    ),
    "through a link": (
        tar(("l", None, {"type": tarfile.SYMTYPE, "linkname": "{}"}), ("l/evil", b"x", {})),
        "harmless",
    ),
    "hard link": (
        tar(("h", None, {"type": tarfile.LNKTYPE, "linkname": "{}/secret"}), ("h", b"evil", {})),
        "refused",
    ),
    "hard link to ..": (
        tar(("h", None, {"type": tarfile.LNKTYPE, "linkname": "../../../..{}/secret"})),
        "refused",
    ),
    "block device": (tar(("d", None, {"type": tarfile.BLKTYPE, **DEVICE})), "refused"),
    "character device": (tar(("d", None, {"type": tarfile.CHRTYPE, **DEVICE})), "refused"),
}


@pytest.mark.parametrize("name", list(ARCHIVES))
def test_hostile_archives_reach_nothing_of_the_machine(
    sandbox: Sandbox, canary: Path, name: str
) -> None:
    before = picture(canary)
    archive, fate = ARCHIVES[name]
    archive = placed(archive, str(canary))
    answer = sandbox.pinfold.http.put(
        f"{sandbox.path}/files/archive", params={"path": "/workspace/in"}, content=archive
    )
    assert answer.is_success == (fate == "harmless"), answer.text
    assert answer.status_code < 500
    assert picture(canary) == before
    found = sandbox.shell("find / -xdev \\( -type b -o -name d -type c \\) 2>/dev/null; true")
    assert found == "", found
    sandbox.is_well()


def placed(archive: bytes, where: str) -> bytes:
    """The same archive with `{}` as a path of this machine."""
    entries = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as read:
        for entry in read:
            fields = {
                "type": entry.type, "linkname": entry.linkname.replace("{}", where),
                "devmajor": entry.devmajor, "devminor": entry.devminor, "mode": entry.mode,
            }  # fmt: skip
            body = read.extractfile(entry).read() if entry.isreg() else None
            entries.append((entry.name.replace("{}", where), body, fields))
    return tar(*entries)
