"""Terminals over SSH."""

from collections.abc import Callable, Iterator

import pytest
from terminal import Terminal
from world import Box, until


@pytest.fixture
def typing(box: Box) -> Iterator[Callable[..., Terminal]]:
    """Opens terminals with an ssh in them."""
    opened = []

    def typing(*args: str, options: tuple[str, ...] = ()) -> Terminal:
        opened.append(Terminal(box.way.command(*args, options=options)))
        return opened[-1]

    yield typing
    for terminal in opened:
        terminal.close()


def test_a_shell_has_the_terminal_that_its_user_has(typing: Callable[..., Terminal]) -> None:
    terminal = typing()
    terminal.type("stty size; echo T=$TERM\n")
    terminal.sees("33 99")
    terminal.sees("T=xterm-pinned")
    terminal.resize(41, 123)
    terminal.type("until [ \"$(stty size)\" = '41 123' ]; do sleep 0.1; done; echo re''sized\n")
    terminal.sees("resized")
    terminal.type("exit 9\n")
    assert terminal.ends() == 9


def test_control_c_ends_what_runs_and_not_the_shell(typing: Callable[..., Terminal]) -> None:
    terminal = typing()
    # One process says it and sleeps: a shell's own child loses a signal that comes before it has begun.
    terminal.type("sh -c \"echo be''gun; exec sleep 1000\"\n")
    terminal.sees("begun")
    terminal.type("\x03")
    terminal.type("echo still he''re; exit 0\n")
    terminal.sees("still here")
    assert terminal.ends() == 0


def test_a_command_gets_a_terminal_where_its_user_wants_one(typing: Callable[..., Terminal]) -> None:
    terminal = typing("tty; echo err >&2; exit 4", options=("-t",))
    terminal.sees("/dev/pts/")
    terminal.sees("err")
    assert terminal.ends() == 4


def test_without_a_terminal_a_shell_reads_what_is_sent(box: Box) -> None:
    done = box.way.ssh(input="tty; echo out\nexit 5\n")
    assert (done.returncode, done.stdout) == (5, "not a tty\nout\n"), done.stderr


def test_a_shell_ends_when_its_terminal_is_closed(box: Box, typing: Callable[..., Terminal]) -> None:
    terminal = typing()
    terminal.type("echo be''gun; sleep 1000\n")
    terminal.sees("begun")
    terminal.process.kill()
    until(lambda: "sleep" not in box.shell("cat /proc/[0-9]*/comm"), "the shell's end")
