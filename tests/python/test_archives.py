"""Archives of a sandbox are hostile: what they may write, and what is refused."""

import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.both import files_of
from support.network import scripted

from pinfold import errors
from pinfold._core.tar import pack
from pinfold._core.untar import Unpacked, Unpacker

END = bytes(1024)


def member(name: str, content: bytes = b"", **facts: Any) -> bytes:
    """One member in the plainest form."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for key, value in facts.items():
        setattr(header, key, value)
    return header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + padded(content)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def extended(content: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header with this content."""
    return member("pax", content, type=kind)


def record(key: str, value: str) -> bytes:
    """A record of an extended header, its length right."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def unpacked(target: Path, archive: bytes, size: int, **options: Any) -> Unpacked:
    """Feeds an archive in pieces of this size."""
    unpacker = Unpacker(target, **options)
    try:
        for start in range(0, len(archive), size):
            unpacker.feed(archive[start : start + size])
        return unpacker.finish()
    finally:
        unpacker.abort()


def found(directory: Path) -> list[str]:
    return sorted(str(each.relative_to(directory)) for each in directory.rglob("*"))


REFUSED = {
    "an absolute path": member("/etc/x", b"x"),
    "a way up": member("a/../../x", b"x"),
    "a way up in an extended header": extended(record("path", "../x")) + member("fine", b"x"),
    "a way up in a long name": member("L", b"../x\0", type=b"L") + member("fine", b"x"),
    "an absolute hard link": member("a", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "a hard link up": member("a", type=tarfile.LNKTYPE, linkname="../out"),
    "a hard link up in an extended header": extended(record("linkpath", "../out"))
    + member("a", type=tarfile.LNKTYPE, linkname="fine"),
    "a hard link to itself": member("a", b"x") + member("a", type=tarfile.LNKTYPE, linkname="a"),
    "a hard link to a link": member("l", type=tarfile.SYMTYPE, linkname="f")
    + member("a", type=tarfile.LNKTYPE, linkname="l"),
    "a hard link to nothing": member("a", type=tarfile.LNKTYPE, linkname="none"),
    "a hard link to a directory": member("d", type=tarfile.DIRTYPE)
    + member("a", type=tarfile.LNKTYPE, linkname="d"),
    "a file through a link": member("d", type=tarfile.SYMTYPE, linkname="e") + member("d/x", b"x"),
    "a hard link through a link": member("d", type=tarfile.SYMTYPE, linkname="e")
    + member("a", type=tarfile.LNKTYPE, linkname="d/x"),
    "endless depth": extended(record("path", "d/" * 300 + "f")) + member("fine", b"x"),
    "a file without a name": member("./.", b"x"),
    "a NUL in a name": extended(record("path", "a\0b")) + member("fine", b"x"),
    "an empty name": extended(record("path", "")) + member("fine", b"x"),
    "no header": b"x" * 512,
    "a header that was changed": member("a", b"x")[:100] + b"7" + member("a", b"x")[101:],
    "a negative size": member("a", size=-1),
    "a size that no file has": member("a", size=1 << 80),
    "a long name of endless size": member("L", type=b"L", size=2 << 20),
    "an extended header of endless size": member("x", type=tarfile.XHDTYPE, size=1 << 40),
    "a sparse file": member("s", b"x", type=tarfile.GNUTYPE_SPARSE),
    "a sparse file in an extended header": extended(record("GNU.sparse.major", "1")) + member("s", b"x"),
    "a size with a sign": extended(record("size", "-1")) + member("a", b"x"),
    "a size with a point": extended(record("size", "1.5")) + member("a", b"x"),
    "a size with other digits": extended(record("size", "٣")) + member("a", b"x"),
    "no size": extended(record("size", "")) + member("a", b"x"),
    "a size past every file": extended(record("size", "9" * 19)) + member("a", b"x"),
    "a size of endless digits": extended(record("size", "1" * 10_000)) + member("a", b"x"),
    "a record of no length": extended(b"0 path=x\n") + member("a", b"x"),
    "a record that is too short": extended(b"5 path=x\n") + member("a", b"x"),
    "a record that is too long": extended(b"99 path=x\n") + member("a", b"x"),
    "a record of endless length": extended(b"9" * 10_000 + b" path=x\n") + member("a", b"x"),
    "a record with zeros in front": extended(b"0" * 20 + b"9 path=x\n") + member("a", b"x"),
    "a record with a sign": extended(b"+9 path=x\n") + member("a", b"x"),
    "a record without a value": extended(b"8 path x\n") + member("a", b"x"),
    "a record without an end": extended(b"9 path=xy") + member("a", b"x"),
    "a record that is none": extended(b"\xff" * 30) + member("a", b"x"),
    "more than is there": member("a", size=4096),
    "nothing at all": b"",
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("size", [1, 511, 1 << 20])
def test_what_is_hostile_is_refused(tmp_path: Path, what: str, size: int) -> None:
    target = tmp_path / "in" / "side"
    # Cut short where the archive is to be too short, ended properly where something else is wrong.
    short = what in ("more than is there", "nothing at all")
    with pytest.raises(errors.UnsafeArchiveError):
        unpacked(target, REFUSED[what] + (b"" if short else END), size)
    assert found(tmp_path / "in") == ["side", *(f"side/{each}" for each in found(target))]
    assert not [each for each in target.rglob("*") if each.is_file() and each.name != "a"]


LINKS = {"": False, "..": False, "/etc": False, "../../x": False, "a/../../x": False, "x": True, "./x": True}


@pytest.mark.parametrize("leads", LINKS)
def test_links_that_lead_out_are_left_out_and_told(tmp_path: Path, leads: str) -> None:
    archive = member("l", type=tarfile.SYMTYPE, linkname=leads) + member("f", b"f") + END
    told = unpacked(tmp_path / "in", archive, 512)
    assert found(tmp_path / "in") == (["f", "l"] if LINKS[leads] else ["f"])
    assert told == Unpacked(1, () if LINKS[leads] else ("l",))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"])
def test_devices_and_pipes_are_left_out_with_their_content(tmp_path: Path, kind: bytes) -> None:
    archive = member("x", b"content", type=kind) + member("f", b"f") + END
    told = unpacked(tmp_path / "in", archive, 100)
    assert (found(tmp_path / "in"), told.skipped) == (["f"], ("x",))


def test_no_owner_and_no_special_bits_come_along(tmp_path: Path) -> None:
    facts = {"mode": 0o7777, "uid": 4711, "gid": 4711, "uname": "nobody"}
    archive = member("d", type=tarfile.DIRTYPE, **facts) + member("d/f", b"x", **facts) + END
    unpacked(tmp_path / "in", archive, 4096)
    for name in ("d", "d/f"):
        made = (tmp_path / "in" / name).stat()
        assert not made.st_mode & 0o7000 and made.st_uid == os.getuid()


def test_an_archive_opens_nothing_to_others(tmp_path: Path) -> None:
    target, before = tmp_path / "in", os.umask(0o027)
    try:
        (target / "private").mkdir(parents=True, mode=0o700)
        archive = b"".join(
            member(name, type=tarfile.DIRTYPE, mode=mode)
            for name, mode in (("open", 0o777), ("closed", 0o000), ("private", 0o777))
        )
        unpacked(target, archive + member("open/f", b"x", mode=0o666) + END, 512)
    finally:
        os.umask(before)
    modes = {name: (target / name).stat().st_mode & 0o777 for name in os.listdir(target)}
    # What is made obeys the umask and can be written into; what was there stays as it was.
    assert modes == {"open": 0o750, "closed": 0o700, "private": 0o700}
    assert (target / "open" / "f").stat().st_mode & 0o777 == 0o640


def test_extended_headers_are_of_the_next_member_only(tmp_path: Path) -> None:
    long = "n" * 200
    archive = (
        extended(record("path", "../all"), tarfile.XGLTYPE)
        + extended(record("comment", "x") + record("path", f"d/{long}") + record("size", "3"))
        + member("short", size=0)
        + padded(b"abc")
        + member("K", b"f\0", type=b"K")
        + member("l", type=tarfile.SYMTYPE, linkname="x")
        + member("f", b"f")
        + END
    )
    unpacked(tmp_path / "in", archive, 7)
    assert (tmp_path / "in" / "d" / long).read_bytes() == b"abc"
    assert os.readlink(tmp_path / "in" / "l") == "f"
    assert (tmp_path / "in" / "f").read_bytes() == b"f"


def test_what_was_there_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    target, outside = tmp_path / "in", tmp_path / "outside"
    target.mkdir()
    outside.write_bytes(b"precious")
    (target / "link").symlink_to(outside)
    os.link(outside, target / "hard")
    archive = member("link", b"1") + member("hard", b"2") + END
    unpacked(target, archive, 512)
    assert outside.read_bytes() == b"precious"
    assert stat.S_ISREG((target / "link").lstat().st_mode)
    (target / "out").symlink_to(tmp_path)
    with pytest.raises(errors.UnsafeArchiveError):
        unpacked(target, member("out/x", b"x") + END, 512)
    assert not (tmp_path / "x").exists()


def test_the_whole_is_bounded_where_the_caller_says_so(tmp_path: Path) -> None:
    archive = member("a", b"x" * 600) + member("b", b"x" * 600) + END
    with pytest.raises(errors.UnsafeArchiveError, match="more than 1000"):
        unpacked(tmp_path / "in", archive, 512, max_bytes=1000)
    assert found(tmp_path / "in") == ["a"]
    # What is announced counts, not only what has come.
    with pytest.raises(errors.UnsafeArchiveError):
        unpacked(tmp_path / "huge", member("a", size=1 << 60), 512, max_bytes=1 << 30)
    assert found(tmp_path / "huge") == []


def test_paths_that_this_machine_cannot_have_are_errors_of_ours(tmp_path: Path) -> None:
    for name in ("n" * 300, f"{'n' * 100}/" * 100 + "f"):
        archive = extended(record("path", name)) + member("x", b"x") + END
        with pytest.raises(errors.LocalFileError):
            unpacked(tmp_path / "in", archive, 4096)


@pytest.mark.parametrize("what", ["a way up", "a size of endless digits", "more than is there"])
async def test_a_download_of_a_hostile_answer_is_refused(
    connect: Callable[..., Any], tmp_path: Path, what: str
) -> None:
    entry = {
        "path": "/d", "name": "d", "kind": "directory", "size_bytes": 0, "mode": "0755", "uid": 0,
        "gid": 0, "modified_at": "2026-01-01T00:00:00Z", "link_target": None,
    }

    def reply(number: int, head: bytes) -> bytes:
        body = json.dumps(entry).encode() if b"/files/stat" in head else REFUSED[what]
        return b"HTTP/1.1 200 x\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)

    with scripted(reply) as (url, _):
        async with connect(url) as client:
            with pytest.raises(errors.UnsafeArchiveError):
                await files_of(client, "sbx_1").download("/d", tmp_path / "in" / "side")
    assert found(tmp_path) == ["in", "in/side"]


def test_archives_of_the_standard_library_come_through(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / ("d" * 120)).mkdir(parents=True)
    (source / ("d" * 120) / "ü").write_bytes(b"x" * 1000)
    (source / "l").symlink_to("d" * 120)
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w", format=form) as tar:
            tar.add(source, ".")
        target = tmp_path / f"target{form}"
        unpacked(target, written.getvalue(), 1000)
        assert found(target) == found(source)


def test_a_link_to_a_directory_stands_for_what_it_leads_to(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_bytes(b"x")
    (source / "l").symlink_to("f")
    (tmp_path / "alias").symlink_to(source)
    unpacked(tmp_path / "in", b"".join(pack(tmp_path / "alias")), 512)
    assert found(tmp_path / "in") == ["f", "l"]
    assert (tmp_path / "in" / "l").is_symlink()
