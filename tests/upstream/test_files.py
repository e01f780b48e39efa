"""Files: content and paths arrive exactly; what cannot be is refused."""

import os
from typing import Any

import pytest

from pinfold.upstream import SandboxError


@pytest.mark.parametrize("content", ["", "a\r\nb", "EOF\n$HOME `x`\0", "é€", b"\xff\x00\r\n"])
def test_content_arrives_exactly(sandbox: Any, content: str | bytes) -> None:
    sandbox.write_file("a", content)
    assert sandbox.read_file("/workspace/a", binary=isinstance(content, bytes)) == content
    assert sandbox.exec(["stat", "-c", "%a", "a"]).stdout == "644\n"


@pytest.mark.parametrize(
    "path", ["b?c#d", "%41", "a+b", "'\"", "new\nline", "-rf", "ünï/ço dé", "/tmp/x/y/z", "a\\b", "&=;"]
)
def test_paths_arrive_exactly(sandbox: Any, path: str) -> None:
    sandbox.write_file(path, path)
    assert sandbox.read_file(path) == path
    found = sandbox.exec(["python3", "-c", "import sys; print(open(sys.argv[1]).read(), end='')", path])
    assert found.stdout == path


def test_large_files_go_both_ways(sandbox: Any) -> None:
    content = os.urandom(64 << 20)
    sandbox.write_file("big", content)
    assert sandbox.read_file("big", binary=True) == content


def test_what_cannot_be_read_or_written_is_refused(sandbox: Any) -> None:
    sandbox.write_file("file", b"\xff")
    with pytest.raises(SandboxError) as missing:
        sandbox.read_file("nothing")
    assert missing.value.status_code == 404
    for call in (
        lambda: sandbox.read_file("/workspace"),
        lambda: sandbox.write_file("/workspace", "x"),
        lambda: sandbox.read_file("file/x"),
        lambda: sandbox.write_file("file/x", "x"),
        lambda: sandbox.read_file("a\0"),
        lambda: sandbox.write_file("", "x"),
        lambda: sandbox.write_file("/proc/version", "x"),
    ):
        with pytest.raises(SandboxError) as refused:
            call()
        assert 400 <= (refused.value.status_code or 0) < 500
    with pytest.raises(SandboxError) as garbled:
        sandbox.read_file("file")
    assert garbled.value.status_code is None
    with pytest.raises(TypeError):
        sandbox.write_file("a", 7)
