"""Commands over SSH: what goes in, what comes out, how they end."""

import hashlib
import os
import subprocess

import pytest
from world import Box, until

MIB = 1 << 20


@pytest.mark.parametrize(
    ("line", "code"),
    [("true", 0), ("exit 7", 7), ("exit 255", 255), ("no-such-program-here", 127), ("", 0)],
)
def test_the_exit_code_of_a_command_is_that_of_ssh(box: Box, line: str, code: int) -> None:
    done = box.way.ssh("--", line)
    assert done.returncode == code, done.stderr


def test_stdout_and_stderr_come_apart(box: Box) -> None:
    done = box.way.ssh("echo out; echo err >&2; echo more")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\nmore\n", "err\n")


def test_a_command_begins_where_the_sandboxs_commands_begin(box: Box) -> None:
    facts = box.pinfold.call("GET", box.path)
    said = box.way.ssh("pwd; id -un").stdout.split()
    assert said == [facts["workdir"], facts["user"]]


def test_a_command_that_a_signal_ends_is_no_success(box: Box) -> None:
    done = box.way.ssh("kill -TERM $$; sleep 60")
    assert done.returncode == 255, done


def test_fifty_mebibytes_go_in_and_come_back_unchanged(box: Box) -> None:
    content = os.urandom(50 * MIB)
    digest = hashlib.sha256(content).hexdigest()
    into = box.way.ssh("sha256sum", input=content)
    assert into.stdout.decode().split()[0] == digest, into.stderr
    through = box.way.ssh("cat", input=content)
    assert hashlib.sha256(through.stdout).hexdigest() == digest, through.stderr


def test_a_command_that_reads_nothing_ends_while_its_client_still_sends(box: Box) -> None:
    done = box.way.ssh("echo done; exit 3", input=bytes(20 * MIB))
    assert (done.returncode, done.stdout) == (3, b"done\n"), done.stderr


def test_the_end_of_input_reaches_the_command(box: Box) -> None:
    done = box.way.ssh("wc -l; echo end", input="one\ntwo\n")
    assert done.stdout.split() == ["2", "end"]


def test_variables_of_the_client_reach_the_command_and_no_record(box: Box) -> None:
    done = box.way.ssh("echo $PINNED", options=("-o", "SetEnv=PINNED=hunter2"))
    assert done.stdout == "hunter2\n", done.stderr
    assert "hunter2" not in str(box.commands())
    log = box.pinfold.server.directory / "server.log"
    assert "hunter2" not in log.read_text()


def test_a_command_ends_with_its_client(box: Box) -> None:
    client = box.way.begin("echo begun; sleep 1000 & sleep 1000")
    assert client.stdout is not None
    assert client.stdout.readline() == b"begun\n"
    assert "sleep" in box.shell("cat /proc/[0-9]*/comm")
    client.kill()
    client.wait()
    until(lambda: "sleep" not in box.shell("cat /proc/[0-9]*/comm"), "the command's end")
    until(lambda: all(command["ended_at"] for command in box.commands()), "its record's end")


def test_one_connection_carries_many_commands(box: Box) -> None:
    control = box.pinfold.directory / "c"
    master = ("-o", f"ControlPath={control}", "-o", "ControlMaster=yes", "-N")
    client = box.way.begin(options=master)
    until(control.exists, "the connection")
    shared = ("-o", f"ControlPath={control}")
    running = [
        subprocess.Popen(
            box.way.command(f"cat; exit {n}", options=shared),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for n in range(10)
    ]
    for n, command in enumerate(running):
        out, _ = command.communicate(str(n).encode(), timeout=60)
        assert (out, command.returncode) == (str(n).encode(), n)
    for _ in range(40):
        assert box.way.ssh("true", options=shared).returncode == 0
    client.kill()
    client.communicate()


def test_what_is_refused_is_refused_clearly(box: Box) -> None:
    remote = box.way.ssh("true", options=("-o", "ExitOnForwardFailure=yes", "-R", "0:localhost:1"))
    assert remote.returncode == 255
    assert "remote port forwarding failed" in remote.stderr
    subsystem = box.way.ssh("netconf", options=("-s",))
    assert "subsystem request failed" in subsystem.stderr
    said = box.way.ssh("env", options=("-X", "-A")).stdout
    assert "DISPLAY" not in said and "SSH_AUTH_SOCK" not in said
