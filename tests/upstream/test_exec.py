"""Commands: results, limits, streams and hang-ups."""

import gc
import threading
import time
from typing import Any

import pytest
from conftest import eventually

from pinfold.upstream import ExecResult, SandboxError, TimeoutError, UpstreamError


def running(sandbox: Any, what: str) -> bool:
    return bool(sandbox.exec(["pgrep", "-f", what]).exit_code == 0)


def test_arguments_arrive_byte_for_byte(sandbox: Any) -> None:
    arguments = ["a b", "'\"", "$HOME", ";", "\n", "", "é" * 50_000, "`x`"]
    show = "import sys; sys.stdout.write(repr(sys.argv[1:]))"
    result = sandbox.exec(["python3", "-c", show, *arguments])
    assert result == ExecResult(0, repr(arguments), "")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["false"], 1),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
        (["bash", "-c", "kill -TERM $$"], 143),
        (["cat"], 0),
        (["bash", "-c", "sleep 60 & exit 5"], 5),
    ],
)
def test_endings_are_results(sandbox: Any, command: list[str], code: int) -> None:
    result = sandbox.exec(command)
    assert result.exit_code == code
    assert (result.stderr != "") == (code in (126, 127))


@pytest.mark.parametrize("command", ["ls", b"ls", ["ls", 1], None, [b"ls"]])
def test_what_is_no_list_of_text_is_a_type_error(sandbox: Any, command: Any) -> None:
    with pytest.raises(TypeError):
        sandbox.exec(command)


@pytest.mark.parametrize("command", [[], ["a\0b"], [""]])
def test_what_names_no_program_is_refused(sandbox: Any, command: list[str]) -> None:
    with pytest.raises(SandboxError) as refused:
        sandbox.exec(command)
    assert refused.value.status_code == 400


def test_bytes_that_are_no_text_are_replaced_and_the_rest_untouched(sandbox: Any) -> None:
    result = sandbox.exec(["printf", r"a\r\n\0\xff\xc3"])
    assert result.stdout == "a\r\n\0\ufffd\ufffd"


def test_sixteen_mib_fit_and_more_does_not(sandbox: Any) -> None:
    fits = "import sys; sys.stdout.write('x' * (16 << 20))"
    assert len(sandbox.exec(["python3", "-c", fits]).stdout) == 16 << 20
    with pytest.raises(SandboxError) as refused:
        sandbox.exec(["bash", "-c", "yes xxxxxxxx"])
    assert refused.value.status_code == 413
    eventually(lambda: not running(sandbox, "yes xx"))


def test_past_its_timeout_a_command_is_killed(connect: Any) -> None:
    client = connect(timeout=1.0)
    with client.sandbox() as sandbox:
        with pytest.raises(TimeoutError) as late:
            sandbox.exec(["bash", "-c", "sleep 4711 & sleep 4711"])
        assert late.value.status_code is None
        assert not running(sandbox, "sleep 4711")


def test_commands_run_beside_each_other(sandbox: Any) -> None:
    waits = ["bash", "-c", "until test -e go; do sleep 0.02; done; echo went"]
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(sandbox.exec(waits).stdout))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    sandbox.write_file("go", "")
    for thread in threads:
        thread.join(20)
    assert results == ["went\n"] * 3


def test_a_stream_yields_lines_as_they_come(sandbox: Any) -> None:
    script = "printf 'a\\r\\n\\nb\\u2028c'; until test -e go; do sleep 0.02; done; echo; printf end; exit 4"
    result = sandbox.exec(["bash", "-c", script], stream=True)
    assert next(result.stdout) == "a\r"
    assert next(result.stdout) == ""
    assert result.exit_code is None
    sandbox.write_file("go", "")
    assert list(result.stdout) == ["b\u2028c", "end"]
    assert result.exit_code == 4


def test_a_long_stream_is_whole(sandbox: Any) -> None:
    result = sandbox.exec(["seq", "20000"], stream=True)
    assert [int(line) for line in result] == list(range(1, 20_001))
    assert result.exit_code == 0


def test_stopping_early_does_nothing(sandbox: Any) -> None:
    result = sandbox.exec(["bash", "-c", "echo a; echo b; sleep 0.2; echo c"], stream=True)
    for line in result:
        assert line == "a"
        break
    assert list(result) == ["b", "c"]


@pytest.mark.parametrize("way", ["close", "block", "lose"])
def test_a_hang_up_kills_the_process_group(sandbox: Any, way: str) -> None:
    script = "sleep 8151 & echo started; sleep 8151"
    result = sandbox.exec(["bash", "-c", script], stream=True)
    assert next(result.stdout) == "started"
    assert running(sandbox, "sleep 8151")
    if way == "close":
        result.close()
        result.close()
        assert list(result) == [] and result.exit_code is None
    elif way == "block":
        with result:
            pass
    del result
    gc.collect()
    eventually(lambda: not running(sandbox, "sleep 8151"), 5)


def test_leaving_the_block_ends_streams_silently(client: Any) -> None:
    lines: list[str] = []
    with client.sandbox() as sandbox:
        result = sandbox.exec(["bash", "-c", "echo a; sleep 600"], stream=True)
        assert next(result.stdout) == "a"
        reader = threading.Thread(target=lambda: lines.extend(result))
        reader.start()
    reader.join(10)
    assert not reader.is_alive() and lines == []
    assert result.exit_code is None


def test_a_destroyed_sandbox_ends_its_commands_with_an_error(connect: Any) -> None:
    client = connect()
    sandbox = client.sandbox()
    faults: list[BaseException] = []

    def run() -> None:
        try:
            sandbox.exec(["bash", "-c", "touch here; sleep 600"])
        except UpstreamError as fault:
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: "here" in sandbox.exec(["ls"]).stdout)
    began = time.monotonic()
    sandbox.destroy()
    thread.join(10)
    assert faults and time.monotonic() - began < 10


def test_a_stream_of_what_cannot_start_ends_with_its_code(sandbox: Any) -> None:
    result = sandbox.exec(["no-such-program"], stream=True)
    assert list(result) == [] and result.exit_code == 127
