"""Files over SFTP and scp."""

import hashlib
import os
import subprocess
from pathlib import Path

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
        ("put /etc/hostname /no/such/directory/x", "No such file"),
        ("rm /tmp", "Failure"),
        ("rmdir /etc", "Failure"),
        ("rmdir /tmp/full", "Failure"),
        ("mkdir /tmp/full", "Failure"),
        ("ls /no/such", "not found"),
        ("symlink a b", "unsupported"),
    ],
)
def test_what_cannot_be_done_says_why(box: Box, line: str, why: str) -> None:
    box.shell("mkdir -p /tmp/full && touch /tmp/full/file")
    done = box.way.sftp(line)
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
    large = here / "large"
    block = os.urandom(MIB)
    with open(large, "wb") as file:
        for n in range(300):
            file.write(n.to_bytes(8, "big") + block)

    def peak() -> int:
        status = Path(f"/proc/{box.pinfold.server.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) << 10

    box.way.sftp(f"put {here}/small /tmp/warm")
    before = peak()
    put = box.way.sftp(f"put {large} /tmp/large")
    assert put.returncode == 0, put.stderr
    assert box.shell("sha256sum /tmp/large").split()[0] == digest(large)
    got = box.way.sftp(f"get /tmp/large {here}/back")
    assert got.returncode == 0, got.stderr
    assert digest(here / "back") == digest(large)
    assert peak() - before < 100 * MIB


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
    until(lambda: "file.write" in str(box.pinfold.call("GET", "/v1/audit")), "the upload's beginning")
    client.kill()
    client.wait()
    assert box.shell("cat /tmp/file") == "before\n"


def test_a_directory_of_many_files_is_listed_whole(box: Box) -> None:
    box.shell("mkdir many; cd many; seq -f file-%g 1 1500 | xargs touch")
    done = box.way.sftp("ls -1 many")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("many/file-") == 1500
