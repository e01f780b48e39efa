"""Files over SFTP and scp."""

import hashlib
import os
import subprocess
from pathlib import Path

import paramiko
import pytest
from world import Box, until

MIB = 1 << 20


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def here(box: Box) -> Path:
    """A directory of ours with some files in it."""
    here = box.pinfold.directory / "here"
    (here / "tree" / "deep").mkdir(parents=True)
    (here / "small").write_text("small\n")
    (here / "empty").touch()
    (here / "script").write_text("#!/bin/sh\necho ran\n")
    (here / "script").chmod(0o755)
    (here / "tree" / "one").write_text("1")
    (here / "tree" / "deep" / "two").write_bytes(os.urandom(MIB + 1))
    (here / "tree" / "deep" / "näme with space").write_text("3")
    return here


def test_a_session_of_sftp_does_what_its_user_says(box: Box, here: Path) -> None:
    done = box.way.sftp(
        f"""
        pwd
        mkdir made
        put {here}/small made/small
        put {here}/empty made/empty
        put {here}/script made/script
        chmod 640 made/small
        ls -l made
        rename made/small made/renamed
        put {here}/small made/again
        rename made/again made/renamed
        get made/renamed {here}/back
        get made/empty {here}/nothing
        rm made/empty
        cd made
        pwd
        cd ..
        mkdir gone
        rmdir gone
        """
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    workdir = box.pinfold.call("GET", box.path)["workdir"]
    assert f"Remote working directory: {workdir}\n" in said
    assert f"Remote working directory: {workdir}/made\n" in said
    assert "-rw-r-----" in said and "-rwxr-xr-x" in said, said
    assert (here / "back").read_text() == "small\n"
    assert (here / "nothing").read_bytes() == b""
    assert box.shell("ls made; made/script").split() == ["renamed", "script", "ran"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("get /no/such/file x", "not found"),
        ("put HERE/small /no/such/directory/x", 'dest open "/no/such/directory/x": No such file'),
        ("rm /tmp", "Failure"),
        ("rmdir /etc", "Failure"),
        ("rmdir /tmp/full", "Failure"),
        ("mkdir /tmp/full", "Failure"),
        ("ls /no/such", "not found"),
        ("symlink a b", "unsupported"),
    ],
)
def test_what_cannot_be_done_says_why(box: Box, here: Path, line: str, why: str) -> None:
    box.shell("mkdir -p /tmp/full && touch /tmp/full/file")
    done = box.way.sftp(line.replace("HERE", str(here)))
    assert done.returncode != 0
    assert why.lower() in done.stderr.lower(), done.stderr


def test_links_are_shown_and_followed(box: Box, here: Path) -> None:
    box.shell("mkdir real; echo inside > real/file; ln -s real link; ln -s real/file direct")
    done = box.way.sftp(f"ls link\nget link/file {here}/one\nget direct {here}/two\nrm direct")
    assert done.returncode == 0, done.stderr
    assert "link/file" in done.stdout
    assert (here / "one").read_text() == (here / "two").read_text() == "inside\n"
    assert box.shell("ls; cat real/file").split() == ["link", "real", "inside"]


def test_scp_copies_trees_both_ways(box: Box, here: Path) -> None:
    into = box.way.scp("-r", str(here / "tree"), ":copied")
    assert into.returncode == 0, into.stderr
    back = box.way.scp("-r", ":copied", str(here / "back"))
    assert back.returncode == 0, back.stderr
    for path in (here / "tree").rglob("*"):
        if path.is_file():
            twin = here / "back" / path.relative_to(here / "tree")
            assert digest(twin) == digest(path), path


def test_the_old_protocol_of_scp_works_where_the_image_has_scp(box: Box, here: Path) -> None:
    into = box.way.scp("-O", str(here / "tree" / "deep" / "two"), ":/tmp/two")
    assert into.returncode == 0, into.stderr
    back = box.way.scp("-O", ":/tmp/two", str(here / "back"))
    assert back.returncode == 0, back.stderr
    assert digest(here / "back") == digest(here / "tree" / "deep" / "two")


def test_a_large_file_goes_through_without_the_server_growing(box: Box, here: Path) -> None:
    large, back = here / "large", here / "back"
    block = os.urandom(MIB)
    with open(large, "wb") as file:
        for n in range(300):
            file.write(n.to_bytes(8, "big") + block)
    whole = digest(large)

    def put() -> None:
        assert box.shell("sha256sum /tmp/large && rm /tmp/large").split()[0] == whole

    def got() -> None:
        assert digest(back) == whole
        back.unlink()

    box.way.sftp(f"put {here}/small /tmp/warm")
    box.pinfold.peak_begins()
    before = box.pinfold.peak()
    for done in (box.way.sftp(f"put {large} /tmp/large"), box.way.sftp(f"get /tmp/large {back}")):
        assert done.returncode == 0, done.stderr
    got()
    put()
    for done in (box.way.scp(str(large), ":/tmp/large"), box.way.scp(":/tmp/large", str(back))):
        assert done.returncode == 0, done.stderr
    got()
    # It asks for all of a file before it takes any of it.
    with box.way.library() as transport:
        sftp = paramiko.SFTPClient.from_transport(transport)
        sftp.get("/tmp/large", str(back), prefetch=True)
        got()
        put()
        sftp.put(str(large), "/tmp/large")
        put()
    assert box.pinfold.peak() - before < 50 * MIB


def test_an_upload_that_was_cut_off_goes_on_where_it_ended(box: Box, here: Path) -> None:
    whole = here / "whole"
    whole.write_bytes(os.urandom(5 * MIB))
    part = here / "part"
    part.write_bytes(whole.read_bytes()[: 2 * MIB])
    done = box.way.sftp(f"put {part} /tmp/file\nreput {whole} /tmp/file")
    assert done.returncode == 0, done.stderr
    assert box.shell("sha256sum /tmp/file").split()[0] == digest(whole)


def test_a_file_stays_as_it_was_until_its_upload_is_whole(box: Box, here: Path) -> None:
    box.shell("echo before > /tmp/file")
    large = here / "large"
    with open(large, "wb") as file:
        file.truncate(1 << 40)
    line = ["sftp", *box.way.options("-P"), "-b", "-", box.way.place]
    client = subprocess.Popen(line, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert client.stdin is not None
    client.stdin.write(f"put {large} /tmp/file\n".encode())
    client.stdin.flush()

    def read() -> int:
        """Of the large file by now. The client is never further ahead of its answers than 16 MiB."""
        return int(Path(f"/proc/{client.pid}/io").read_text().split()[1])

    until(lambda: read() > 64 * MIB, "a part of the upload")
    client.kill()
    client.wait()
    assert box.shell("ls -A /tmp; cat /tmp/file") == "file\nbefore\n"


def test_a_directory_of_many_files_is_listed_whole(box: Box) -> None:
    box.shell("mkdir many; cd many; seq -f file-%g 1 21000 | xargs touch")
    done = box.way.sftp("ls -1 many")
    assert done.returncode == 0, done.stderr
    listed = [line for line in done.stdout.splitlines() if line.startswith("many/file-")]
    assert len(listed) == len(set(listed)) == 21000


def test_a_name_that_is_no_utf_8_is_never_taken_for_another(box: Box) -> None:
    box.shell(r"cd /tmp; echo one > $(printf 'x\376'); echo two > $(printf 'x\377')")
    with box.way.library() as transport:
        sftp = paramiko.SFTPClient.from_transport(transport)
        shown = sftp.listdir("/tmp")
        assert shown == ["x\ufffd", "x\ufffd"]
        for name in (b"/tmp/x\xff", shown[0].encode()):
            for refused in (sftp.stat, sftp.remove, sftp.open, sftp.listdir):
                with pytest.raises(OSError, match="no UTF-8"):
                    refused(name)
    assert box.shell("cat /tmp/x*") == "one\ntwo\n"


def test_a_session_of_sftp_says_whether_it_ended_well(box: Box) -> None:
    def said(requests: bytes) -> int:
        channel = transport.open_session()
        channel.settimeout(60)
        channel.invoke_subsystem("sftp")
        channel.sendall(requests)
        channel.shutdown_write()
        return channel.recv_exit_status()

    begin = packet(1, (3).to_bytes(4, "big"))
    name = b"/tmp/file"
    write = packet(3, (7).to_bytes(4, "big") + packet_text(name) + (0x1A).to_bytes(4, "big") + bytes(4))
    handle = (8).to_bytes(4, "big") + packet_text(b"0")
    content = packet(6, handle + bytes(8) + packet_text(b"whole"))
    with box.way.library() as transport:
        assert said(begin) == 0
        assert said(begin + write[:-1]) == 1, "half a request"
        assert said(begin + b"\xff\xff\xff\xff") == 1, "no request"
        assert said(begin + write + content) == 1, "a file that was not closed"
        assert box.shell("ls /tmp") == ""
        assert said(begin + write + content + packet(4, handle)) == 0
        assert box.shell("cat /tmp/file") == "whole"


def packet(kind: int, body: bytes) -> bytes:
    """A request of SFTP."""
    return packet_text(bytes([kind]) + body)


def packet_text(text: bytes) -> bytes:
    return len(text).to_bytes(4, "big") + text
